"""The rules that Java's PKIX validator applies to a certification path (RFC 5280, 6.1, with Java's own ways).

Rule 1: what Java leaves alone is left alone: everything about an anchor except that it is a CA with a decent key; the extended
key usage of an intermediate; revocation.
Rule 2: `violations` lists every broken rule in the order in which Java meets them, so that verdict and findings agree.

Not modelled: Java's own block list and its distrust of certain public CAs, SHA-1 under an anchor that is in the JDK's own store,
policy mappings, older updates of one version where a later one decides otherwise (`Scenario.since` in the tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from allegra_tls_kit.certificate import PARSED_AT_ONCE
from allegra_tls_kit.finding import FindingCode
from allegra_tls_kit.names import violates
from allegra_tls_kit.reading import POLICY_MAPPINGS, UNLIMITED, VERSION_3, Reading, signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

FIRST_WITH_EDDSA = 15
FIRST_WITH_NIST_CURVES_ONLY = 16
_NIST_CURVES = {"secp256r1", "secp384r1", "secp521r1"}
"""The curves that Java takes; others were switched off first (`jdk.disabled.namedCurves`), and removed later."""
_LOWEST_KEY_SIZE = {"RSA": 1024, "DSA": 1024, "EC": 224}
_USAGE_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_ANY_POLICY = "2.5.29.32.0"
_SERVER_USAGES = {
    "1.3.6.1.5.5.7.3.1",  # serverAuth
    "2.5.29.37.0",  # anyExtendedKeyUsage
    "1.3.6.1.4.1.311.10.3.3",  # Microsoft's and Netscape's server gated crypto, which Java still takes for it
    "2.16.840.1.113730.4.1",
}
_RSA, _EC, _DSA, _NIST = "1.2.840.113549.1.1.", "1.2.840.10045.4.", "1.2.840.10040.4.", "2.16.840.1.101.3.4.3."
_SIGNATURES = {
    f"{_RSA}2": "MD2withRSA",
    f"{_RSA}4": "MD5withRSA",
    f"{_RSA}5": "SHA1withRSA",
    "1.3.14.3.2.29": "SHA1withRSA",
    f"{_RSA}14": "SHA224withRSA",
    f"{_RSA}11": "SHA256withRSA",
    f"{_RSA}12": "SHA384withRSA",
    f"{_RSA}13": "SHA512withRSA",
    f"{_RSA}10": "RSASSA-PSS",
    f"{_EC}1": "SHA1withECDSA",
    f"{_EC}3.1": "SHA224withECDSA",
    f"{_EC}3.2": "SHA256withECDSA",
    f"{_EC}3.3": "SHA384withECDSA",
    f"{_EC}3.4": "SHA512withECDSA",
    f"{_DSA}3": "SHA1withDSA",
    f"{_NIST}1": "SHA224withDSA",
    f"{_NIST}2": "SHA256withDSA",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
}
"""The signature algorithms that Java's TLS client offers for certificates, and the two that are switched off."""
_SWITCHED_OFF = ("MD2", "MD5")
_SHA3 = {
    f"{_NIST}{first + number}": f"SHA3-{size}with{key}"
    for first, key in ((9, "ECDSA"), (13, "RSA"))
    for number, size in enumerate((224, 256, 384, 512))
}
"""Those that it knows and does not offer; what OpenSSL does not check either, as SHA-384 with DSA, has no path to be judged."""
_FIRST_WITH_SHA3 = 16


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a path breaks; `words` is Java's own text for it."""

    code: FindingCode
    certificate: Reading
    words: str


def violations(path: Sequence[Reading], anchor: Reading | None, at: datetime, java_version: int) -> list[Violation]:
    """Return every rule that a path breaks, in the order in which Java meets them: from the anchor down to the leaf.

    Without an anchor, what depends on it is left out: the signature of the uppermost certificate.
    """
    found: list[Violation] = []
    above: list[Reading] = []
    remaining = len(path)
    policies = _Policies(len(path))
    issuer = anchor
    for level, certificate in enumerate(reversed(path), 1):
        is_leaf = level == len(path)
        found += _algorithm_violations(certificate, issuer, java_version)
        if not is_leaf:
            length = _ca_path_length(certificate, is_first=level == 1)
            found += _ca_violations(certificate, length, remaining)
            remaining = min(remaining - (not certificate.self_issued), UNLIMITED if length is None else length)
        if (is_leaf or not certificate.self_issued) and any(_bars(ca, certificate) for ca in above):
            found.append(Violation(FindingCode.NAME_CONSTRAINTS, certificate, "name constraints check failed"))
        above.append(certificate)
        if (words := policies.refusal(certificate, is_leaf=is_leaf)) is not None:
            found.append(Violation(FindingCode.POLICY, certificate, words))
        found += _basic_violations(certificate, issuer, at, java_version)
        if certificate.unknown_critical:
            found.append(Violation(FindingCode.CRITICAL_EXTENSION, certificate, "unrecognized critical extension(s)"))
        issuer = certificate
    return found


def anchor_violation(anchor: Reading) -> Violation | None:
    """Return why a certificate of the store cannot vouch for others; None where it can."""
    subject = f'TrustAnchor with subject "{anchor.subject.text}"'
    if anchor.version < VERSION_3:
        return None
    if anchor.path_length is None:
        return Violation(FindingCode.ANCHOR_NOT_A_CA, anchor, f"{subject} is not a CA certificate")
    if lacks_cert_sign(anchor):
        return Violation(
            FindingCode.ANCHOR_NOT_A_CA, anchor, f"{subject} does not have keyCertSign bit set in KeyUsage extension"
        )
    return None


def leaf_violations(leaf: Reading) -> list[Violation]:
    """Return what bars the leaf of a good path from being a TLS server."""
    found = []
    usage = leaf.extension(x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        found.append(Violation(FindingCode.KEY_USAGE, leaf, "KeyUsage does not allow digital signatures"))
    extended = leaf.extension(x509.ExtendedKeyUsage)
    if extended is not None and _SERVER_USAGES.isdisjoint(oid.dotted_string for oid in extended):
        words = "Extended key usage does not permit use for TLS server authentication"
        found.append(Violation(FindingCode.EXTENDED_KEY_USAGE, leaf, words))
    if not leaf.netscape_server:
        found.append(Violation(FindingCode.KEY_USAGE, leaf, "Netscape cert type does not permit use for SSL server"))
    return found


def signature_name(certificate: Reading) -> str:
    """Return Java's name of the signature algorithm, or its dotted OID."""
    oid = certificate.certificate.signature_algorithm_oid.dotted_string
    return _SIGNATURES.get(oid) or _SHA3.get(oid, oid)


def key_kind(key: object) -> str:
    """Return Java's word for the kind of a public key: `RSA`, `EC`, `DSA`, or `EdDSA` for the rest."""
    match key:
        case rsa.RSAPublicKey():
            return "RSA"
        case ec.EllipticCurvePublicKey():
            return "EC"
        case dsa.DSAPublicKey():
            return "DSA"
        case _:
            return "EdDSA"


def unsupported_key(certificate: Reading, java_version: int) -> str | None:
    """Return the kind of public key that this Java verifies no signature with; None for all others."""
    if certificate.key is None:
        return "an unknown kind"
    if isinstance(certificate.key, ec.EllipticCurvePublicKey):
        curve = certificate.key.curve.name
        return None if curve in _NIST_CURVES else curve
    return "EdDSA" if key_kind(certificate.key) == "EdDSA" and java_version < FIRST_WITH_EDDSA else None


def lacks_cert_sign(certificate: Reading) -> bool:
    """Tell whether a key usage is there and does not allow signing certificates."""
    usage = certificate.extension(x509.KeyUsage)
    return usage is not None and not usage.key_cert_sign


@lru_cache(maxsize=PARSED_AT_ONCE)
def _bars(ca: Reading, certificate: Reading) -> bool:
    constraints = ca.extension(x509.NameConstraints)
    return constraints is not None and violates(constraints, certificate.subject, certificate.alternative_names)


def _algorithm_violations(certificate: Reading, issuer: Reading | None, java_version: int) -> Iterator[Violation]:
    name = signature_name(certificate)
    failed = "Algorithm constraints check failed on"
    if name.startswith(_SWITCHED_OFF):
        yield Violation(FindingCode.WEAK, certificate, f"{failed} signature algorithm: {name}")
    usage = certificate.extension(x509.KeyUsage)
    if usage is not None and not any(getattr(usage, bit) for bit in _USAGE_BITS):
        yield Violation(FindingCode.KEY_USAGE, certificate, "incorrect KeyUsage extension bits")
    if _is_too_small(certificate):
        key = f"{key_kind(certificate.key)} {certificate.key_size} bit key"
        words = f"{failed} keysize limits: {key} used with certificate: {certificate.subject.text}"
        yield Violation(FindingCode.WEAK, certificate, words)
    elif (curve := _switched_off_curve(certificate, java_version)) is not None:
        yield Violation(FindingCode.UNSUPPORTED_ALGORITHM, certificate, f"{failed} disabled algorithm: {curve}")
    if issuer is not None and _is_too_small(issuer):
        yield Violation(FindingCode.WEAK, issuer, f"{failed} signature algorithm: {name}")
    elif issuer is not None and _switched_off_curve(issuer, java_version) is not None:
        yield Violation(FindingCode.UNSUPPORTED_ALGORITHM, issuer, f"{failed} signature algorithm: {name}")


def _switched_off_curve(certificate: Reading, java_version: int) -> str | None:
    """Return the curve of a key that this Java knows and refuses; None for all other keys."""
    if java_version >= FIRST_WITH_NIST_CURVES_ONLY or not isinstance(certificate.key, ec.EllipticCurvePublicKey):
        return None
    return unsupported_key(certificate, java_version)


def _is_too_small(certificate: Reading) -> bool:
    size = certificate.key_size
    return size is not None and size < _LOWEST_KEY_SIZE[key_kind(certificate.key)]


def _ca_path_length(certificate: Reading, *, is_first: bool) -> int | None:
    if certificate.version >= VERSION_3:
        return certificate.path_length
    return UNLIMITED if is_first and certificate.self_issued else None


def _ca_violations(certificate: Reading, length: int | None, remaining: int) -> Iterator[Violation]:
    if lacks_cert_sign(certificate):
        yield Violation(FindingCode.NOT_A_CA, certificate, "CA key usage check failed: keyCertSign bit is not set")
    failed = "basic constraints check failed:"
    if length is None:
        yield Violation(FindingCode.NOT_A_CA, certificate, f"{failed} this is not a CA certificate")
    elif remaining <= 0 and not certificate.self_issued:
        words = f"{failed} pathLenConstraint violated - this cert must be the last cert in the certification path"
        yield Violation(FindingCode.PATH_LENGTH, certificate, words)


def _basic_violations(certificate: Reading, issuer: Reading | None, at: datetime, java_version: int) -> Iterator[Violation]:
    if at > certificate.not_after:
        yield Violation(FindingCode.EXPIRED, certificate, "validity check failed")
    if at < certificate.not_before:
        yield Violation(FindingCode.NOT_YET_VALID, certificate, "validity check failed")
    if issuer is None:
        return
    name = signature_name(certificate)
    if unsupported_key(issuer, java_version) is not None:
        yield Violation(FindingCode.UNSUPPORTED_ALGORITHM, certificate, "signature check failed")
    elif not signed(certificate, issuer):
        yield Violation(FindingCode.BAD_SIGNATURE, certificate, "signature check failed")
    elif name not in _SIGNATURES.values():
        words = "signature check failed"
        if java_version >= _FIRST_WITH_SHA3:
            words = f"Algorithm constraints check failed on signature algorithm: {name}"
        yield Violation(FindingCode.UNSUPPORTED_ALGORITHM, certificate, words)


class _Policies:
    """The part of policy processing (RFC 5280, 6.1.3) that can refuse a path where any policy is acceptable.

    `valid` is None for any policy. A policy mapping counts as if it mapped to whatever is needed.
    """

    def __init__(self, length: int) -> None:
        self.valid: set[str] | None = None
        self.explicit = self.any_inhibited = length + 1

    def refusal(self, certificate: Reading, *, is_leaf: bool) -> str | None:
        """Take the next certificate on the way down; return Java's words where it must be refused."""
        policies = certificate.extension(x509.CertificatePolicies)
        named = {} if policies is None else {policy.policy_identifier.dotted_string: policy for policy in policies}
        any_policy = named.pop(_ANY_POLICY, None) is not None
        any_policy &= self.any_inhibited > 0 or (certificate.self_issued and not is_leaf)
        critical = policies is not None and certificate.extensions[x509.CertificatePolicies.oid].critical
        if critical and self.valid != set() and any(policy.policy_qualifiers for policy in named.values()):
            return "critical policy qualifiers present in certificate"
        if not any_policy:
            self.valid = set(named) if self.valid is None else self.valid & set(named)
        if is_leaf:
            self._count_down(certificate)
        refused = self.explicit == 0 and self.valid == set()
        if not is_leaf:
            self._count_down(certificate)
        if POLICY_MAPPINGS in certificate.extensions and self.valid != set():
            self.valid = None
        return "non-null policy tree required and policy tree is null" if refused else None

    def _count_down(self, certificate: Reading) -> None:
        if not certificate.self_issued:
            self.explicit, self.any_inhibited = max(self.explicit - 1, 0), max(self.any_inhibited - 1, 0)
        constraints, inhibit = certificate.extension(x509.PolicyConstraints), certificate.extension(x509.InhibitAnyPolicy)
        if constraints is not None and constraints.require_explicit_policy is not None:
            self.explicit = min(self.explicit, constraints.require_explicit_policy)
        if inhibit is not None:
            self.any_inhibited = min(self.any_inhibited, inhibit.skip_certs)
