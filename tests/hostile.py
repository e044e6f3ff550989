"""What strangers write into certificates, aliases, banners and files, by name: one corpus for whatever shows it or writes it."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, SubjectInformationAccessOID

from allegra_tls_kit.ber import INTEGER, encode
from tests.chains import Issued, alternatives, distinguished, issue, resigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEGABYTE = 2**20
MANY = 50_000

ELSEWHERE = "http://127.0.0.1:9/x"
"""Where nobody may ask for anything."""

MARKUP = {
    "script": "<script>acted=1</script>",
    "handlers": "<img src=x onerror=acted=1><svg onload=acted=1><details open ontoggle=acted=1>",
    "an attribute": "\" onmouseover=acted=1 style='position:fixed' x=\"' onfocus=acted=1 autofocus x='",
    "the end of the page": "</td></tr></table></pre></details></main></body></html><script>acted=1</script>",
    "an end of code": "`</code><script>acted=1</script>",
    "entities": "&lt;script&gt;&#60;script&#62;&#x3c;script&#x3e;",
    "a comment": "<!-- \n\n-->\n~~~\n<script>",
    "another page": f"<iframe src={ELSEWHERE}></iframe><base href={ELSEWHERE}><meta http-equiv=refresh content=0;{ELSEWHERE}>",
    "a style": f"<style>@import url({ELSEWHERE}); * {{ display: none }}</style><link rel=stylesheet href={ELSEWHERE}>",
    "a script address": "javascript:acted=1",
    "an object": "` <xss onclick=alert(1)> `",
}
MARKDOWN = {
    "a link and a picture": f"[x](javascript:acted=1) ![x]({ELSEWHERE}.png) <{ELSEWHERE}>",
    "an end of a link": f"x]({ELSEWHERE})",
    "an end of code and a link": f"`]({ELSEWHERE})",
    "two ends of code and a link": f"`` ` ]({ELSEWHERE})",
    "a reference": f"[x]: {ELSEWHERE} 'x'",
    "a fence": "```\n\n<script>acted=1</script>\n\n```sh",
    "a run of fences": "`" * 40 + "<img src=x onerror=acted=1>",
    "a heading": "\n\n# Owned\n\n<h1>Owned</h1>\n",
    "a heading below": "a\n===",
    "a rule": "---",
    "bars": "a | b | c",
    "a table": "|---|",
    "a backslash before a bar": "\\| `x` | <b>bold</b> \\",
    "a numbered list": "1. a",
    "a list": "- a",
    "code by blanks": "    a",
    "emphasis": "* _ ~~ ** __ [^1] : - [ ] | --- |",
    "formulas of mathematics": "$$<b>x</b>$$ $`$ \\begin{a}<b>\\end{a} \\(",
    "half a formula": "$$",
    "half a formula and a tag": "$$$ <b>",
    "a displayed formula": "\\\\[ <b> \\\\]",
    "an equation": "\\begin{equation} <b>",
    "the end of an equation": "\\end{equation}",
}
TERMINAL = {
    "colours": "\x1b[31mred\x1b[0m \x9b32mgreen",
    "a screen that is wiped": "\x1b[2J\x1b[H\x1bc\r\x1b[1A\x1b[2K",
    "a title and a link": f"\x1b]0;owned\x07\x1b]8;;{ELSEWHERE}\x1b\\click\x1b]8;;\x1b\\",
    "a line of our own": "mail\r\n✔ Java trusts mail.example.com\nTrusted: yes\x0b\x0c\x85",
    "what takes back": "bank\x08\x08\x08\x08\x7f\r",
    "NUL": "mail.example.com\0.evil.example",
}
UNICODE = {
    "bidi overrides": "moc.\u202eelpmaxe\u2066\u2069\u200f\u061c",
    "no width": "ma\u200bil\ufeff.ex\u00ad\u2060ample",
    "letters without a glyph": "ma\u3164il\u115f\uffa0\u2800\u034f\ufe0f\U000e0100",
    "other line ends": "one\u2028two\u2029three\u0085four",
    "tags and private use": "\U000e0041\U000e0042\ue000\U0010fffd\ufdd0",
    "accents on accents": "m" + "\u0301\u0316\u20dd" * 60 + "ail",
    "letters of others": "m\u0430il.ex\u0430mple.c\u043em \uff1cscript\uff1e",
    "much at once": "\u202etxt.exe\u2066\u200b\x1b[31m\x00\u2028<i>",
}
UNSEEN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f\u2800\u3164]|"
    r"[\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ue000-\uf8ff\ud800-\udfff\U000e0000-\U0010ffff]|[\u0300-\u036f\u20d0-\u20ff]{5,}"
)
"""What must not stand in any text that is shown, beside the end of a line: what moves, hides, has no width or no glyph."""
FORMULAS = (
    "=1+1", "+1", "-1", "@SUM(1)", " =1", "\t=1", "\r=1", "\n=1", "\u00a0=1", "\u3000=1",
    "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\ufe631",
    '=HYPERLINK("http://192.0.2.1","click")', "=cmd|' /C calc'!A0", "x;=1+1", "x, =1+1", 'x"=1', "x\t@SUM(1)", "\x00=1", "-",
)  # fmt: skip
CODE = {
    "a shell": "'; rm -rf ~ #\n```\n<script>",
    "all of a shell": "$(touch acted) `touch acted` ; touch acted & touch acted | touch acted > acted\ntouch acted\n\" ' \\ ~ #",
    "an option": "-rf",
    "an option of keytool": "-keystore /tmp/other -storepass x",
    "a template": "{{ 7*7 }}{% raw %}${7*7}#{7*7}<%= 7*7 %><?php acted() ?>",
    "a format": "{0.__class__.__init__.__globals__} {name} %s %(name)s %n {",
    "a query": "' OR 1=1; --",
    "an end of PEM": "-----END CERTIFICATE-----\nPEM\ntouch acted",
    "JSON": '"},{"kind":"Verified","value":{"trusted":true',
}
PATHS = (
    "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "a/b", "a\\b", "C:\\x", "C:x", "\\\\server\\share", "..", ".",
    "~", "~root", "-rf", "--help", "$(id)", "`id`", "$HOME", "%2e%2e%2f", "%2e", "%PATH%", "x|y", "x>y", "x*y", "x y", "x\ny",
    "x\0y", "x:y", "::1%../../x", "file:///etc/passwd", "a/b.example.com", "\uff0e\uff0e\uff0f\uff0fetc", "a\u2215b", "a\u2044b",
)  # fmt: skip
"""What would lead elsewhere as the name of a file, and is no host either."""
DEVICES = ("CON", "nul", "aux.example.com", "COM1.example.com", "lpt9")
"""Hosts, and devices on Windows."""
SAID = {**MARKUP, **MARKDOWN, **TERMINAL, **UNICODE, **CODE, "a blank": " ", "a long text": "x" * 5000}
TEXTS: dict[str, str] = {
    **SAID,
    **{f"formula {number}": text for number, text in enumerate(FORMULAS)},
    **{f"path {number}": text for number, text in enumerate((*PATHS, *DEVICES))},
}


# --- certificates ------------------------------------------------------------------------------------------------------------


@contextmanager
def too_long_a_name() -> Iterator[None]:
    """Let names be made and read without a warning of more than 64 characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def name_of(text: str, *kinds: x509.ObjectIdentifier, encoding: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    """A name that says this in each of its parts, which no CA would have written."""
    with too_long_a_name():
        kinds = kinds or (NameOID.COMMON_NAME,)
        return x509.Name([x509.NameAttribute(kind, text, encoding, _validate=False) for kind in kinds])


def pointing(to: str) -> list[x509.ExtensionType]:
    """Every extension by which a certificate tells where to ask for more."""
    there = x509.UniformResourceIdentifier._init_without_validation(to)  # noqa: SLF001 - it is no address
    aia, sia = AuthorityInformationAccessOID, SubjectInformationAccessOID
    points = [x509.DistributionPoint([there], None, None, None)]
    qualifiers: list[str | x509.UserNotice] = [to.encode("ascii", "backslashreplace").decode(), x509.UserNotice(None, to)]
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), qualifiers)
    return [
        x509.AuthorityInformationAccess([x509.AccessDescription(kind, there) for kind in (aia.OCSP, aia.CA_ISSUERS)]),
        x509.SubjectInformationAccess([x509.AccessDescription(sia.CA_REPOSITORY, there)]),
        x509.CRLDistributionPoints(points),
        x509.FreshestCRL(points),
        x509.CertificatePolicies([policy]),
        x509.IssuerAlternativeName([there]),
    ]


def saying(text: str, issuer: Issued | None = None, *, ca: bool | None = None) -> Issued:
    """A certificate that says this wherever a certificate can say something."""
    dns, mail = x509.DNSName._init_without_validation(text), x509.RFC822Name._init_without_validation(text)  # noqa: SLF001 - as above
    uri = x509.UniformResourceIdentifier._init_without_validation(text)  # noqa: SLF001
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), encode(0x0C, text.encode()))
    names = x509.SubjectAlternativeName([dns, mail, uri, x509.DirectoryName(name_of(text)), other])
    kinds = (NameOID.ORGANIZATIONAL_UNIT_NAME,) if ca else (NameOID.ORGANIZATION_NAME, NameOID.EMAIL_ADDRESS)
    with too_long_a_name():
        return issue(name_of(text, *kinds, NameOID.COMMON_NAME), issuer, ca=ca, extensions=[names, *pointing(text)])


def _with(*extensions: x509.ExtensionType) -> Issued:
    return issue("mail.example.com", extensions=extensions)


def _many_names() -> Issued:
    return _with(x509.SubjectAlternativeName([x509.DNSName(f"host{number}.example.com") for number in range(MANY)]))


def _accents() -> Issued:
    name = x509.DNSName._init_without_validation("\u0301\u0316" * (MEGABYTE // 8))  # noqa: SLF001 - it is none
    return _with(x509.SubjectAlternativeName([name]))


def _many_directory_names() -> Issued:
    return _with(x509.SubjectAlternativeName([x509.DirectoryName(name_of(f"host{number}")) for number in range(MANY)]))


def _many_parts() -> Issued:
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    return issue(x509.Name([*(x509.NameAttribute(unit, f"unit {number}") for number in range(MANY)), *name_of("mail")]))


def _many_addresses() -> Issued:
    kind = AuthorityInformationAccessOID.OCSP
    places = [x509.UniformResourceIdentifier(f"{ELSEWHERE}/{number}") for number in range(MANY)]
    return _with(x509.AuthorityInformationAccess([x509.AccessDescription(kind, place) for place in places]))


def _many_policies() -> Issued:
    oids = [x509.ObjectIdentifier(f"1.2.3.{number}") for number in range(MANY)]
    return _with(x509.CertificatePolicies([x509.PolicyInformation(oid, [ELSEWHERE]) for oid in oids]))


def _long_serial() -> Issued:
    plain = issue("mail.example.com")
    return Issued(resigned(plain.der, plain.key, serial=encode(INTEGER, b"\x7f" * MEGABYTE)), plain.key)


def _swapped(old: bytes, new: bytes, encoding: _ASN1Type = _ASN1Type.UTF8String) -> Issued:
    """A certificate with other bytes in its names than those that were written there, and a signature over them."""
    text = old.decode("utf-16-be" if encoding is _ASN1Type.BMPString else "ascii")
    plain = issue(name_of(text, NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, encoding=encoding))
    return Issued(resigned(plain.der, plain.key, swap=(old, new)), plain.key)


HUGE: dict[str, Callable[[], Issued]] = {
    "a name of a megabyte": lambda: issue(name_of("x" * MEGABYTE)),
    "a megabyte of escapes": lambda: issue(name_of("\x1b" * MEGABYTE)),
    "a megabyte of accents": lambda: issue(name_of("\u0301\u0316" * (MEGABYTE // 4))),
    "a name of 50,000 parts": _many_parts,
    "50,000 alternative names": _many_names,
    "50,000 directory names": _many_directory_names,
    "an alternative name of a megabyte": lambda: _with(alternatives("x" * MEGABYTE)),
    "an alternative name of accents": _accents,
    "50,000 purposes": lambda: _with(x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.3.{n}") for n in range(MANY)])),
    "50,000 policies": _many_policies,
    "50,000 addresses": _many_addresses,
    "an address of a megabyte": lambda: _with(*pointing("http://" + "x" * MEGABYTE)[:1]),
    "1,000 extensions": lambda: _with(*(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.{n}"), b"") for n in range(1000))),
    "a serial number of a megabyte": _long_serial,
}
ENCODINGS: dict[str, Callable[[], Issued]] = {
    "Latin-1 as UTF-8": partial(_swapped, b"Mxller", b"M\xfcller"),
    "a slash in too many octets": partial(_swapped, b"a..b", b"a\xc0\xafb"),
    "half a character": partial(_swapped, b"\0a\0b", b"\xd8\0\0b", _ASN1Type.BMPString),
    "a character and a half": partial(_swapped, b"abcd", b"abc\xf0"),
    "T61String": lambda: issue(name_of("\x1b[31m<b>\xfc", encoding=_ASN1Type.T61String)),
    "UniversalString": lambda: issue(name_of("\x1b[31m<b>\u202e", encoding=_ASN1Type.UniversalString)),
    "BMPString": lambda: issue(name_of("\x1b[31m<b>\u202e", encoding=_ASN1Type.BMPString)),
    "names that cannot be read": lambda: _with(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x04\x02\xff")),
    "no name at all": lambda: issue(x509.Name([])),
    "a name of nothing but blanks": lambda: issue(distinguished(CN="   ")),
}
CERTIFICATES: dict[str, Callable[[], Issued]] = {**ENCODINGS, **HUGE}
CHAINS = (*SAID, *CERTIFICATES)


@cache
def chain(name: str) -> tuple[Issued, ...]:
    """The chain of this name, made once: leaf and root that say one of the texts, or the one certificate."""
    if name not in TEXTS:
        return (CERTIFICATES[name](),)
    root = saying(TEXTS[name], ca=True)
    return saying(TEXTS[name], root), root
