"""Distinguished names and name constraints as Java compares them (RFC 5280, 4.2.1.10 and 7.1, with Java's own ways).

Rule: names are data here, never text for a reader, except `DistinguishedName.text`, which is what Java writes into a message.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509

from allegra_tls_kit.identity import LABEL, address, matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EMAIL = "1.2.840.113549.1.9.1"
_COMMON_NAME = "2.5.4.3"
_KEYWORDS = {
    _COMMON_NAME: "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}
"""The attributes that Java compares as text (RFC 2253); all others are compared byte for byte."""
_FURTHER_KEYWORDS = {
    _EMAIL: "EMAILADDRESS",
    "2.5.4.4": "SURNAME",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.12": "T",
    "2.5.4.42": "GIVENNAME",
    "2.5.4.43": "INITIALS",
    "2.5.4.44": "GENERATION",
    "2.5.4.46": "DNQ",
}
_TEXT_TAGS = {12, 19}
"""UTF8String and PrintableString; values of any other type, BMPString and T61String too, are compared byte for byte."""
_SPECIAL = re.compile(r'^ | $|  |[,+=\n<>#;\\"]')
_MAILBOX = re.compile(r"(?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@)?[A-Za-z0-9._-]+")
LONGEST_DNS_NAME = 253
LONGEST_NORMALISED = 4096
"""What is longer is compared as it stands: to put accents in order takes the square of the time, of a megabyte ten minutes."""
MOST_COMPARISONS = 2**14
"""A hundred names under more than a hundred and fifty subtrees; a chain of 100 KB could ask for a hundred million."""


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """An X.500 name; two are equal where Java's `X500Principal` says so.

    `text` is Java's own notation, most specific part first; `common_name` the most specific CN; all raw, not yet made visible.
    """

    canonical: tuple[tuple[str, ...], ...]
    text: str = field(compare=False)
    common_name: str | None = field(compare=False)
    emails: tuple[str, ...] = field(compare=False)


def distinguished_name(name: x509.Name) -> DistinguishedName:
    """Read a name of a certificate."""
    attributes = [[*rdn] for rdn in name.rdns]
    flat = [attribute for rdn in reversed(attributes) for attribute in rdn]
    return DistinguishedName(
        canonical=tuple(tuple(sorted(map(_canonical, rdn))) for rdn in attributes),
        text=", ".join(" + ".join(map(_shown, rdn)) for rdn in reversed(attributes)),
        common_name=next((str(a.value) for a in flat if a.oid.dotted_string == _COMMON_NAME), None),
        emails=tuple(str(a.value) for a in flat if a.oid.dotted_string == _EMAIL),
    )


def _canonical(attribute: x509.NameAttribute[str | bytes]) -> str:
    oid, value, tag = attribute.oid.dotted_string, attribute.value, attribute._type.value  # noqa: SLF001 - its only holder
    if oid not in _KEYWORDS or tag not in _TEXT_TAGS or isinstance(value, bytes):
        return f"{oid}=#{tag:02x}{(value if isinstance(value, bytes) else value.encode()).hex()}"
    text = re.sub(" +", " ", value).strip("".join(map(chr, range(33)))).upper().lower()
    return f"{_KEYWORDS[oid]}={text if len(text) > LONGEST_NORMALISED else unicodedata.normalize('NFKD', text)}"


def _shown(attribute: x509.NameAttribute[str | bytes]) -> str:
    oid, value = attribute.oid.dotted_string, attribute.value
    keyword = _KEYWORDS.get(oid) or _FURTHER_KEYWORDS.get(oid) or f"OID.{oid}"
    text = f"#{value.hex()}" if isinstance(value, bytes) else value
    if _SPECIAL.search(text) and not isinstance(value, bytes):
        text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
    return f"{keyword}={text}"


def violates(
    constraints: x509.NameConstraints, subject: DistinguishedName, alternative_names: Iterable[x509.GeneralName] | None
) -> bool:
    """Tell whether a certificate with these names is barred by the name constraints of a CA above it.

    Java holds the subject, its e-mail addresses and its CN against them too, the last two only where subjectAltName has none.
    What would take more than MOST_COMPARISONS of a name with a subtree counts as barred; Java would go through with it.
    """
    names = [*map(_plain, _constrained_names(subject, alternative_names))]
    excluded = [*map(_plain, constraints.excluded_subtrees or ())]
    permitted = [*map(_plain, constraints.permitted_subtrees or ())]
    if len(names) * (len(excluded) + len(permitted)) > MOST_COMPARISONS:
        return True
    return any(
        any(_is_inside(subtree, name, wildcard=True) for subtree in excluded) or not _is_permitted(permitted, name)
        for name in names
    )


def _constrained_names(
    subject: DistinguishedName, alternative_names: Iterable[x509.GeneralName] | None
) -> Iterator[x509.GeneralName | DistinguishedName]:
    if subject.canonical:
        yield subject
    listed = [*(alternative_names or ())]
    yield from listed
    if alternative_names is None:
        yield from (x509.RFC822Name(email) for email in subject.emails if _MAILBOX.fullmatch(email))
    common_name = subject.common_name
    if common_name is None:
        return
    literal = address(common_name)
    if literal is not None:
        if not common_name.isdigit() and not any(isinstance(name, x509.IPAddress) for name in listed):
            yield x509.IPAddress(literal)
    elif _is_dns_name(common_name.replace("*", "z")) and not any(isinstance(name, x509.DNSName) for name in listed):
        yield x509.DNSName(common_name)


def _is_dns_name(text: str) -> bool:
    return len(text) <= LONGEST_DNS_NAME and all(LABEL.fullmatch(label) for label in text.split("."))


def _plain(name: x509.GeneralName | DistinguishedName) -> x509.GeneralName | DistinguishedName:
    return distinguished_name(name.value) if isinstance(name, x509.DirectoryName) else name


def _is_permitted(subtrees: Iterable[x509.GeneralName | DistinguishedName], name: x509.GeneralName | DistinguishedName) -> bool:
    found = [_is_inside(subtree, name, wildcard=False) for subtree in subtrees]
    of_its_kind = [inside for inside in found if inside is not None]
    return not of_its_kind or any(of_its_kind)


def _is_inside(
    subtree: x509.GeneralName | DistinguishedName, name: x509.GeneralName | DistinguishedName, *, wildcard: bool
) -> bool | None:
    """Tell whether the name lies in the subtree; None where the two are of different kinds."""
    match subtree, name:
        case DistinguishedName(canonical=base), DistinguishedName(canonical=canonical):
            return canonical[: len(base)] == base
        case x509.DNSName(value=base), x509.DNSName(value=text):
            return _is_subdomain(text.lower(), base.lower(), wildcard=wildcard)
        case x509.RFC822Name(value=base), x509.RFC822Name(value=text):
            return _is_mailbox_of(text.lower(), base.lower())
        case x509.UniformResourceIdentifier(value=base), x509.UniformResourceIdentifier(value=text):
            host = re.sub(r"^[^:]+://(?:[^/?#@]*@)?([^/?#:]*).*", r"\1", text, flags=re.DOTALL).lower()
            return host == base.lower() or (base.startswith(".") and _is_subdomain(host, base.lower(), wildcard=False))
        case x509.IPAddress(), x509.IPAddress():
            return _is_address_in(name.value, subtree.value)
        case _:
            return None


def _is_subdomain(text: str, base: str, *, wildcard: bool) -> bool:
    if text == base or (wildcard and "*" in text and matches(base, text, any_label=True)):
        return True
    if not base or not text.endswith(base):
        return False
    return (text[: -len(base)][-1] == ".") != (base[0] == ".")


def _is_mailbox_of(text: str, base: str) -> bool:
    if text == base:
        return True
    return "@" not in base and text.endswith(base if base.startswith(".") else f"@{base}")


def _is_address_in(value: object, subtree: object) -> bool:
    """Tell whether an address lies in a network; of anything else that stands in these places nothing lies in anything."""
    networks, addresses = ipaddress.IPv4Network | ipaddress.IPv6Network, ipaddress.IPv4Address | ipaddress.IPv6Address
    return isinstance(subtree, networks) and isinstance(value, addresses) and value in subtree
