"""What Java would say of a chain, against the anchors of one truststore; and every finding, not the first.

Rule 1: pure. The instant is an argument, so that a judgement can be repeated or made for another day.
Rule 2: a model of the JVM, held against real ones by the tests. What only a handshake shows (protocol versions, cipher suites,
client certificates) is not in a chain and not judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from allegra_tls_kit.alert import as_logged
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.finding import Finding, FindingCode, Severity
from allegra_tls_kit.identity import refusal
from allegra_tls_kit.path import LONGEST_CHAIN, Anchors, CertificationPath, anchors_of, certification_path, identifiers_match
from allegra_tls_kit.reading import Reading, read, self_signed, signed
from allegra_tls_kit.rules import Violation, anchor_violation, leaf_violations, signature_name, unsupported_key, violations
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

__all__ = ["Diagnosis", "Finding", "FindingCode", "Severity", "diagnose"]

JUDGED_AT_ONCE = 1024
"""Verdicts that are kept: a survey asks for each again when it is shown, tabulated and advised on."""
WARN_DAYS = 28
CRITICAL_DAYS = 14
SMALL_RSA_KEY = 2048
"""RSA keys below this are still accepted by Java, from 1024 bits on."""
NAMED_EXTRAS = 3
LONGEST_MESSAGE = 1000
_UNREADABLE_ANCHOR = "a certificate in the store cannot be read; if Java cannot either, it refuses the whole store; remove it"
_NO_ANCHORS = "Unexpected error: java.security.InvalidAlgorithmParameterException: the trustAnchors parameter must be non-empty"
_NO_PATH = "Java finds no path although the certificates fit; have the server send them in order, without others"
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
_REMEDIES = {
    FindingCode.ANCHOR_NOT_A_CA: "{name} is in the store, but for Java it is no CA that could vouch for another certificate; "
    "import the issuing CA, or the server's certificate itself",
    FindingCode.NOT_A_CA: "{name} stands between the server and the store and is no CA ({words}); "
    "the server needs a certificate from a proper intermediate",
    FindingCode.PATH_LENGTH: "{name} is one CA more than a CA above it allows; the CA above needs a larger path length",
    FindingCode.NAME_CONSTRAINTS: "a CA above {name} may not issue for its names; it needs a certificate from a CA that may",
    FindingCode.POLICY: "{name} does not meet what a CA above it demands ({words}); have it issued anew",
    FindingCode.CRITICAL_EXTENSION: "{name} has a critical extension that Java does not know; have it issued without",
    FindingCode.BAD_SIGNATURE: "the signature of {name} does not verify with the key of its issuer {issuer}; "
    "the certificate is damaged, or a CA of the same name has another key",
    FindingCode.EXPIRED: "{name} expired on {not_after}; it must be renewed at the server",
    FindingCode.NOT_YET_VALID: "{name} is not valid before {not_before}; compare the clocks, or wait",
    FindingCode.WEAK: "{name} is too weak for Java ({words}); have it issued anew with SHA-256 and RSA of 2048 bits or more",
    FindingCode.UNSUPPORTED_ALGORITHM: "Java cannot check {name} ({words}); have it issued with RSA or a NIST curve",
    FindingCode.KEY_USAGE: "the key usage of {name} does not fit a TLS server ({words}); have it issued with digitalSignature",
    FindingCode.EXTENDED_KEY_USAGE: "the extended key usage of {name} does not fit a TLS server; have it issued with serverAuth",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Java's verdict on one chain, and what was found on the way.

    `findings` has errors first; `verified_chain` is DER from leaf to anchor, empty where there is none; `message` is the sentence
    that Java would log, None where it trusts. The other fields repeat the question, so that it can be asked again.
    """

    trusted: bool
    findings: tuple[Finding, ...]
    verified_chain: tuple[bytes, ...] = field(repr=False)
    message: str | None
    chain: tuple[bytes, ...] = field(repr=False)
    server_name: str
    at: datetime
    endpoint_identification: str | None = None
    java_version: int = 17


def diagnose(  # noqa: PLR0913 - the question has these parts
    chain: Sequence[bytes],
    server_name: str,
    anchors: Sequence[bytes],
    *,
    at: datetime,
    endpoint_identification: str | None = None,
    java_version: int = 17,
) -> Diagnosis:
    """Judge a chain as the JVM's default trust manager would, reading a store with these anchors.

    `chain` is DER as the server sent it, leaf first; `anchors` DER of every trusted certificate; `at` an aware datetime.
    `endpoint_identification` is `HTTPS`, `LDAPS` or None: without it a name that does not match is a warning, as with JavaMail.
    Revocation is not checked, as in Java by default. Nothing that stands in a certificate makes this raise.
    """
    return _diagnosed(tuple(chain), server_name, tuple(anchors), at, endpoint_identification, java_version)


@lru_cache(maxsize=JUDGED_AT_ONCE)
def _diagnosed(  # noqa: PLR0913, PLR0917 - as above
    chain: tuple[bytes, ...],
    server_name: str,
    anchors: tuple[bytes, ...],
    at: datetime,
    endpoint_identification: str | None,
    java_version: int,
) -> Diagnosis:
    known = anchors_of(anchors)
    received, unreadable = _read_all(chain)
    obstacles = [*_obstacles(chain, received, unreadable, known, java_version)]
    none = CertificationPath((), None, None)
    found = certification_path(received, known, at, java_version) if received and known.ders else none
    wrong_name = _wrong_name(received[0], server_name, endpoint_identification, java_version) if received else None
    refused = obstacles[0][0] if obstacles else found.message
    message = refused or (wrong_name if endpoint_identification else None)
    findings = [finding for _, finding in obstacles]
    findings += _path_findings(received, known, found, at, java_version)
    findings += _name_findings(received, wrong_name, asked=endpoint_identification is not None)
    findings += [Finding(FindingCode.MALFORMED, Severity.WARNING, sha256_of(der), _UNREADABLE_ANCHOR) for der in known.malformed]
    codes = {finding.code for finding in findings if finding.severity is Severity.ERROR}
    verified = [certificate.der for certificate in (*found.path, found.anchor) if certificate is not None]
    return Diagnosis(
        trusted=message is None,
        findings=_in_order(findings, refused=message is not None),
        verified_chain=() if refused else tuple(verified),
        message=None if message is None else visible(as_logged(message, java_version, codes), LONGEST_MESSAGE),
        chain=chain,
        server_name=server_name,
        at=at,
        endpoint_identification=endpoint_identification,
        java_version=java_version,
    )


@lru_cache(maxsize=JUDGED_AT_ONCE)
def _wrong_name(leaf: Reading, server_name: str, identification: str | None, java_version: int) -> str | None:
    """Return Java's words on a name; kept, for of fifty thousand names each anchor that is tried would look at all anew."""
    return refusal(server_name, leaf.carried_names, identification=identification or "HTTPS", java_version=java_version)


def _in_order(findings: list[Finding], *, refused: bool) -> tuple[Finding, ...]:
    """Return the findings once each, errors first; a refusal that no finding explains is due to the order of the chain."""
    if refused and not any(finding.severity is Severity.ERROR for finding in findings):
        findings = [Finding(FindingCode.UNTRUSTED, Severity.ERROR, None, _NO_PATH), *findings]
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: _ORDER[finding.severity]))


def _read_all(chain: Sequence[bytes]) -> tuple[list[Reading], list[tuple[bytes, str]]]:
    """Read as much of the chain as Java would take; none where the leaf is unreadable, for then nothing can be judged."""
    readings: list[Reading] = []
    unreadable: list[tuple[bytes, str]] = []
    for position, der in enumerate(chain[:LONGEST_CHAIN], 1):
        try:
            readings.append(read(der))
        except CertificateError as error:
            unreadable.append((der, f"certificate {position} of the chain cannot be read ({error}); replace it at the server"))
    return (readings if readings and readings[0].der == chain[0] else []), unreadable


def _obstacles(
    chain: Sequence[bytes], received: list[Reading], unreadable: list[tuple[bytes, str]], known: Anchors, java_version: int
) -> Iterator[tuple[str, Finding]]:
    """Yield what makes Java give up before it looks for a path, with its sentence, in the order in which it notices."""
    kind = unsupported_key(received[0], java_version) if received else None
    if kind is not None:
        detail = f"Java {java_version} knows no handshake with a key of {kind}; the server needs an RSA key or a NIST curve"
        finding = Finding(FindingCode.UNSUPPORTED_ALGORITHM, Severity.ERROR, received[0].sha256, detail)
        yield "Received fatal alert: handshake_failure", finding
    if not chain:
        detail = "the server sent no certificate; its own configuration must name one"
        yield "null or zero-length certificate chain", Finding(FindingCode.NO_CERTIFICATE, Severity.ERROR, None, detail)
    if len(chain) > LONGEST_CHAIN:
        message = f"The certificate chain length ({len(chain)}) exceeds the maximum allowed length ({LONGEST_CHAIN})"
        detail = (
            f"the server sent {count(len(chain), 'certificate')}, Java takes {LONGEST_CHAIN}; have it send its own chain only"
        )
        yield message, Finding(FindingCode.CHAIN_TOO_LONG, Severity.ERROR, None, detail)
    for der, detail in unreadable:
        finding = Finding(FindingCode.MALFORMED, Severity.ERROR, sha256_of(der), detail)
        yield "Failed to parse server certificates", finding
    if not known.ders:
        detail = "Java sees no trusted certificate in the store: it is empty, or a PKCS12 that needs its password"
        yield _NO_ANCHORS, Finding(FindingCode.NO_ANCHORS, Severity.ERROR, None, detail)


def _path_findings(
    received: list[Reading], known: Anchors, found: CertificationPath, at: datetime, java_version: int
) -> Iterator[Finding]:
    if not received:
        return
    leaf = received[0]
    if leaf.der in known.ders:
        path, anchor = [leaf], None
        yield from _pinned_findings(leaf, at)
    elif found.anchor is not None:
        path, anchor = [*found.path], found.anchor
        yield from _rule_findings(path, anchor, at, java_version)
    else:
        path, anchor = _trail(received, known)
        yield from _trail_findings(received, path, anchor, known)
        yield from _rule_findings(path, anchor, at, java_version)
    yield from _weak_findings(path)
    yield from _expiry_findings(leaf, anchor, at)
    yield from _order_findings(received)
    for certificate in received:
        if certificate.unreadable:
            detail = f"{certificate.name} has an extension that cannot be read, which Java ignores: {certificate.unreadable[0]}"
            yield Finding(FindingCode.MALFORMED, Severity.WARNING, certificate.sha256, detail)


def _trail(received: list[Reading], known: Anchors | None) -> tuple[list[Reading], Reading | None]:
    """Follow names and signatures from the leaf as far as they lead; return the path, and the anchor where there is one."""
    path = [received[0]]
    while True:
        top = path[-1]
        anchors = [anchor for anchor in known.named(top.issuer) if signed(top, anchor)] if known else []
        if anchors:
            return path, anchors[-1]
        above = [c for c in received if c.subject == top.issuer and c not in path and signed(top, c)]
        if not above:
            return path, None
        path.append(above[0])


def _trail_findings(received: list[Reading], path: list[Reading], anchor: Reading | None, known: Anchors) -> Iterator[Finding]:
    """Say why the trail does not lead to an anchor; with an anchor, only its identifiers can be in the way."""
    top = path[-1]
    if anchor is not None:
        if not identifiers_match(top, anchor):
            detail = f"{anchor.name} is in the store, but {top.name} names another key identifier or serial number for it"
            remedy = "import the issue of that CA which it names"
            yield Finding(FindingCode.ISSUER_KEY_DIFFERS, Severity.ERROR, anchor.sha256, f"{detail}; {remedy}")
        return
    namesakes = known.named(top.issuer)
    if namesakes:
        detail = (
            f"the store has {namesakes[0].name} with another key than the one that signed {top.name}; import the one that did"
        )
        yield Finding(FindingCode.ISSUER_KEY_DIFFERS, Severity.ERROR, namesakes[0].sha256, detail)
    if self_signed(top) and len(path) == 1:
        detail = f"{top.name} is self-signed and not in the store; import it, or give the server a certificate from a CA"
        yield Finding(FindingCode.SELF_SIGNED, Severity.ERROR, top.sha256, detail)
    elif self_signed(top):
        detail = f"the root {top.name} is not in the store; import it after comparing its fingerprint"
        yield Finding(FindingCode.UNTRUSTED, Severity.ERROR, top.sha256, detail)
    elif any(certificate.subject == top.issuer for certificate in received):
        yield _finding(Violation(FindingCode.BAD_SIGNATURE, top, "signature check failed"))
    elif not namesakes:
        detail = f"{top.name} was issued by {top.issuer_name}, which is neither in the store nor sent by the server"
        if len(path) == 1:
            remedy = "have the server send its intermediate certificates, or import the issuer"
            yield Finding(FindingCode.INCOMPLETE_CHAIN, Severity.ERROR, top.sha256, f"{detail}; {remedy}")
        else:
            yield Finding(FindingCode.UNTRUSTED, Severity.ERROR, top.sha256, f"{detail}; import the issuer, or {top.name}")


def _rule_findings(path: list[Reading], anchor: Reading | None, at: datetime, java_version: int) -> Iterator[Finding]:
    yield from map(_finding, violations(path, anchor, at, java_version))
    yield from map(_finding, leaf_violations(path[0]))
    if anchor is not None and (violation := anchor_violation(anchor)) is not None:
        yield _finding(violation)


def _finding(violation: Violation) -> Finding:
    certificate = violation.certificate
    detail = _REMEDIES[violation.code].format(
        name=certificate.name,
        issuer=certificate.issuer_name,
        words=visible(violation.words),
        not_before=_day(certificate.not_before),
        not_after=_day(certificate.not_after),
    )
    return Finding(violation.code, Severity.ERROR, certificate.sha256, detail)


def _pinned_findings(leaf: Reading, at: datetime) -> Iterator[Finding]:
    detail = f"{leaf.name} itself is in the store, so Java looks at nothing else; a renewed certificate has to be imported again"
    yield Finding(FindingCode.PINNED, Severity.INFO, leaf.sha256, detail)
    yield from _overlooked(leaf, at, "Java trusts it all the same")


def _overlooked(certificate: Reading, at: datetime, meaning: str) -> Iterator[Finding]:
    """Tell of a certificate of the store that is out of its time, which Java does not look at."""
    name = f"{certificate.name} in the store"
    if at > certificate.not_after:
        detail = f"{name} expired on {_day(certificate.not_after)}; {meaning}"
        yield Finding(FindingCode.EXPIRED, Severity.INFO, certificate.sha256, detail)
    if at < certificate.not_before:
        detail = f"{name} starts on {_day(certificate.not_before)}; {meaning}"
        yield Finding(FindingCode.NOT_YET_VALID, Severity.INFO, certificate.sha256, detail)


def _weak_findings(path: list[Reading]) -> Iterator[Finding]:
    for certificate in path:
        reasons = []
        if signature_name(certificate).startswith("SHA1"):
            reasons.append(f"is signed with {signature_name(certificate)}")
        if isinstance(certificate.key, rsa.RSAPublicKey) and certificate.key.key_size < SMALL_RSA_KEY:
            reasons.append(f"has an RSA key of {certificate.key.key_size} bits")
        if reasons:
            detail = (
                f"{certificate.name} {' and '.join(reasons)}; have it replaced, even where Java accepts it under a private CA"
            )
            yield Finding(FindingCode.WEAK, Severity.WARNING, certificate.sha256, detail)


def _expiry_findings(leaf: Reading, anchor: Reading | None, at: datetime) -> Iterator[Finding]:
    left = leaf.not_after - at
    if timedelta(0) <= left <= timedelta(days=WARN_DAYS):
        urgency = "now" if left <= timedelta(days=CRITICAL_DAYS) else "soon"
        detail = f"{leaf.name} expires on {_day(leaf.not_after)}, in {count(left.days, 'day')}; renew it {urgency}"
        yield Finding(FindingCode.EXPIRES_SOON, Severity.WARNING, leaf.sha256, detail)
    if anchor is not None:
        yield from _overlooked(anchor, at, "Java does not mind while the chain is in order")


def _order_findings(received: list[Reading]) -> Iterator[Finding]:
    sent = [*dict.fromkeys(received)]
    needed, _ = _trail(sent, None)
    if [certificate for certificate in sent if certificate in needed] != needed:
        detail = "the server sends its certificates out of order; Java copes, others may not"
        yield Finding(FindingCode.OUT_OF_ORDER, Severity.INFO, None, detail)
    extra = [certificate for certificate in sent if certificate not in needed]
    if extra:
        names = ", ".join(certificate.name for certificate in extra[:NAMED_EXTRAS])
        more = " and others" if len(extra) > NAMED_EXTRAS else ""
        detail = f"the server sends {count(len(extra), 'certificate')} that its chain does not need: {names}{more}"
        yield Finding(FindingCode.EXTRA_CERTIFICATE, Severity.INFO, extra[0].sha256, detail)


def _name_findings(received: list[Reading], words: str | None, *, asked: bool) -> Iterator[Finding]:
    if words is None:
        return
    carried = received[0].carried_names
    names = [*carried.dns_names, *map(str, carried.addresses)] or [carried.common_name or "no name at all"]
    remedy = "mail connections do not check the name, LDAPS does"
    if asked:
        remedy = "connect by one of its names, or have it issued for the name in use"
    detail = f"{visible(words.rstrip('.'))}; the certificate is for {visible(', '.join(names), 200)}; {remedy}"
    yield Finding(FindingCode.MISMATCHED, Severity.ERROR if asked else Severity.WARNING, received[0].sha256, detail)


def _day(instant: datetime) -> str:
    return instant.date().isoformat()
