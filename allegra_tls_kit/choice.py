"""What a person chose in a form, as values: frozen, and the `repr` of one can be pasted into a cell in the form's place.

The proof of a choice is a fingerprint that somebody else said. It is read in whatever notation it comes, and proves a certificate
by all of its digits alone: nothing is guessed, completed or taken for another.
"""

from __future__ import annotations

import base64
import re
import shlex
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import SHA256_DIGITS, facts_or_words, keytool_notation, sha256_of
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import FingerprintError, NotCompared, SecretError

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTEBOOK = "20_import_certificate"

_OTHER_KINDS = {40: "a SHA-1 fingerprint", 32: "an MD5 fingerprint"}
_SHORTEST_ROW = 8
"""Of hexadecimal digits; fewer may be a word, as in *ask a friend*."""
_ALGORITHM = re.compile(r"\b(?:sha[\s_-]?\d+(?:[-/](?:224|256|384|512))?|md5)(?://?)?", re.IGNORECASE)
"""A name whose digits are none of the fingerprint's; behind curl's, slashes."""
_RUNS = tuple(  # the second as well, for lines that were broken, and the first for a file's name behind, as sha256sum prints it
    re.compile(rf"(?<![^\W_])[0-9a-f](?:[{between}]*[0-9a-f])*(?![^\W_])", re.IGNORECASE) for between in (":.-", r"\s:.-")
)
_BASE64 = re.compile(r"(?<![\w+/])(?![0-9a-fA-F]{43})[A-Za-z0-9+/]{43}(?![\w+/])")
_LOOKS_LIKE_A_DIGIT = re.compile(  # full width, Greek, Cyrillic
    "[\uff10-\uff19\uff21-\uff26\uff41-\uff46\u0391\u0392\u0395\u0410\u0412\u0415\u0421\u0430\u0435\u0441]"
)


@dataclass(frozen=True, slots=True)
class ImportChoice:
    """What a person chose for an import; its `repr` can be pasted as a literal for an unattended run.

    `endpoint` is a URL, `certificate` the SHA-256 of the one to import, `reference` the fingerprint that was had over another
    channel, as pasted, and `reference_from` says from whom. `password_from` is a source, never a password.
    """

    endpoint: str
    certificate: str
    reference: str
    reference_from: str
    keystore: str
    password_from: str = "changeit"  # noqa: S105 - a source; this one is Java's published default
    operator: str = ""
    ticket: str = ""

    def __post_init__(self) -> None:
        """Refuse a password in the place of its source, with SecretError: a choice goes into the record."""
        if not is_password_source(self.password_from):
            raise SecretError(
                "password_from is no source; write prompt, env:NAME, file:PATH or changeit, never the password itself"
            )

    def checked_certificate(self, candidates: Iterable[bytes]) -> bytes:
        """Return the chosen certificate (DER) out of these, after comparing it with the reference.

        Raises NotCompared where no reference was given, or nobody who said it, and FingerprintError where it does not match, or
        the certificate is not among the candidates, as when the server has got another one since.
        """
        if not self.certificate:
            raise FingerprintError("no certificate was chosen; where the form offers none, no import would help this server")
        candidates = tuple(candidates)
        chosen = next((der for der in candidates if sha256_of(der) == self.certificate.lower()), None)
        if chosen is None:
            raise FingerprintError(
                f"the server does not show the chosen certificate {self.certificate[:16]}… any more; look again and choose again"
            )
        if not self.reference.strip():
            raise NotCompared("nothing is no proof; ask whoever runs the server for the certificate's whole SHA-256 fingerprint")
        if not self.reference_from.strip():
            raise NotCompared("say from whom the reference fingerprint is, in reference_from; it must not come from the server")
        check_fingerprint(chosen, self.reference, candidates)
        return chosen

    def run_command(self, confirm: str = "") -> str:
        """Return the command for a POSIX shell that makes the same import unattended; without `confirm` it stops at the plan.

        `confirm` is the plan's id. Empty parameters and `changeit` are left out; a certificate that the server does not send
        needs `-p CERTIFICATE_FILE=…` too, and `prompt` cannot be asked unattended. No password can be in it: a source stands in
        its place, and EndpointError is raised for a URL with one.
        """
        source = "" if self.password_from == "changeit" else self.password_from  # noqa: S105 - as above
        values = {
            "ENDPOINT": Endpoint.parse(self.endpoint).url,
            "REFERENCE": self.reference,
            "REFERENCE_FROM": self.reference_from,
            "KEYSTORE": self.keystore,
            "PASSWORD_FROM": source,
            "OPERATOR": self.operator,
            "TICKET": self.ticket,
            "CONFIRM": confirm,
        }
        words = [word for name, value in values.items() if value for word in ("-p", f"{name}={value}")]
        return shlex.join(["python", "-m", "allegra_tls_kit", "run", NOTEBOOK, *words])


@dataclass(frozen=True, slots=True)
class SurveyView:
    """What stood in a browser of a survey; `opened` is the URL of the server whose details were shown, empty for none.

    `state` is `all` or a state as `show_survey` words it, `sort` is `worst first`, `name` or `expiry`.
    """

    filter: str = ""
    state: str = "all"
    sort: str = "worst first"
    opened: str = ""


@dataclass(frozen=True, slots=True)
class KeystoreView:
    """What stood in a browser of a keystore; `opened` is the alias of the entry whose details were shown, empty for none.

    `state` is `all`, `seen by Java`, `ours` or `expires`, `sort` is `worst first`, `name` or `expiry`.
    """

    filter: str = ""
    state: str = "all"
    sort: str = "worst first"
    opened: str = ""


def reference_fingerprint(text: str) -> str:
    """Return the SHA-256 fingerprint that somebody supplied, in any common notation, as lower-case hex.

    Read are keytool's, OpenSSL's, certutil's, curl's, the browsers' and bare hex, in any language, upper or lower case, with
    colons, hyphens, dots, blanks or line ends between, and base64; a SHA-1 or MD5 beside it is passed over, and what is invisible
    is no part of it. Raises FingerprintError for SHA-1, MD5, prefixes, more than one, and anything else: none of these is proof.
    """
    seen = _ALGORITHM.sub("|", "".join(each for each in text if unicodedata.category(each) != "Cf"))
    runs = [re.sub(r"[\s:.-]", "", run).lower() for pattern in _RUNS for run in pattern.findall(seen)]
    whole = {run for run in runs if len(run) == SHA256_DIGITS} | {_hex(digest) for digest in _BASE64.findall(seen)}
    if len(whole) == 1:
        return whole.pop()
    instead = f"a text with {len(whole)} of them" if whole else _instead(seen, max(map(len, runs), default=0))
    raise FingerprintError(
        f"{instead} is no proof; ask for the whole SHA-256 fingerprint of the certificate, 64 hexadecimal digits"
    )


def _hex(digest: str) -> str:
    return base64.b64decode(f"{digest}=").hex()


def _instead(text: str, digits: int) -> str:
    """Return what a text is that is no fingerprint; `digits` is the length of its longest run of them."""
    if not text.strip():
        return "nothing"
    if odd := _LOOKS_LIKE_A_DIGIT.search(text):
        return f"a text with {odd[0]!r} ({unicodedata.name(odd[0])}), which only looks like a digit,"
    if digits < _SHORTEST_ROW:
        return "a text that is no row of hexadecimal digits"
    return _OTHER_KINDS.get(digits, f"a text with {digits} hexadecimal digits in a row")


def check_fingerprint(der: bytes, reference: str, others: Iterable[bytes] = ()) -> str:
    """Compare a certificate with a reference fingerprint; return the SHA-256 as lower-case hex.

    `others` are certificates (DER) beside it: where the reference is that of one of them, the error says so. Raises
    FingerprintError where the reference is no whole SHA-256 fingerprint or belongs to another certificate, or to a public key.
    """
    expected, actual = reference_fingerprint(reference), sha256_of(der)
    if expected != actual:
        raise FingerprintError(
            f"the certificate's SHA-256 is {keytool_notation(actual)}, the reference says {keytool_notation(expected)}"
            f"{_whose(expected, (der, *others))}; do not import it before whoever runs the server has explained the difference; "
            "where the reference is that of their CA, which this server does not send, ask them for its certificate too"
        )
    return actual


def _whose(sha256: str, certificates: Iterable[bytes]) -> str:
    for der in certificates:
        facts = facts_or_words(der)
        if isinstance(facts, str):  # of a server, and not what is to be imported
            continue
        if sha256 == facts.sha256:
            return f", which is that of another certificate here, {facts.name!r}"
        if sha256 == facts.public_key_sha256:
            return f", which is that of the public key of {facts.name!r}, a pin, and not of the certificate"
    return ""


def is_password_source(text: str) -> bool:
    """Tell whether a text has the form of a password's source, or is empty; anything else may be a password."""
    return re.fullmatch(r"(env|file):.+|prompt|changeit|", text) is not None
