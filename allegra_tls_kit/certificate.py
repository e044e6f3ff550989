"""Reading X.509 (RFC 5280): facts, fingerprints, one signature check; each distinct certificate is parsed once.

Rule 1: everything in a certificate was written by a stranger. What `CertificateFacts` holds is already made visible; what judges
(`path`, `identity`) works on the parsed certificate instead.
Rule 2: nothing that a certificate points at (AIA, OCSP, CRL) is ever fetched.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from allegra_tls_kit import armour
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.text import count, visible
from allegra_tls_kit.tidy import parsed, public_key_part, signed_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

_Value = TypeVar("_Value")

PARSED_AT_ONCE = 16_384
"""How many certificates are kept, those of ten thousand servers: 2 KB each for what it says, 10 KB where it is judged too."""
LISTED = 100
"""So many names or purposes are listed; behind them stands how many there are."""
SHA256_DIGITS = 64

_UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, x509.InvalidVersion)
_EKU_NAMES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
}


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says, for showing; every text made visible and bounded.

    `serial_number` is hexadecimal as keytool prints it; `not_before`, `not_after` are aware UTC; fingerprints are lower-case
    hex of the DER bytes. `subject_alt_name` holds `DNS:…`, `IP:…` and so on; of more than 100 the first, and after them how many
    there are, as of `extended_key_usage`. `is_ca` is basicConstraints CA:TRUE.
    `self_signed` means that its own key verifies it. `public_key_size` is bits, None for curves without a choice (Ed25519);
    `public_key_sha256` is of the SubjectPublicKeyInfo as it stands (RFC 7469, 2.4, in hex), which a renewal may keep.
    `key_usage` and `extended_key_usage` are empty where the extension is absent. `notes` names what could not be parsed.
    """

    subject: str
    subject_cn: str | None
    issuer: str
    issuer_cn: str | None
    subject_alt_name: tuple[str, ...]
    serial_number: str
    not_before: datetime
    not_after: datetime
    self_signed: bool
    is_ca: bool
    public_key_type: str
    public_key_size: int | None
    public_key_sha256: str
    signature_algorithm: str
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    ocsp_uri: str | None
    issuer_uri: str | None
    sha256: str
    sha1: str = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The shortest text that a person knows the certificate by: the CN, or else the subject, or else the fingerprint."""
        return self.subject_cn or self.subject or self.sha256[:16]


def sha256_of(der: bytes) -> str:
    """Return the SHA-256 fingerprint of DER bytes as lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def facts_or_words(der: bytes) -> CertificateFacts | str:
    """Return what a certificate says, or in words why it cannot be read: in a table of many that is one cell."""
    try:
        return certificate_facts(der)
    except CertificateError as error:
        return str(error)


@lru_cache(maxsize=PARSED_AT_ONCE)
def load(der: bytes) -> x509.Certificate:
    """Parse one certificate, one that is no strict DER from a tidied copy (see `tidy`); the same bytes are parsed once.

    Raises CertificateError. Extensions and names are parsed when they are looked at, and may still be malformed then.
    """
    return _parsed(der)


def _parsed(der: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # serial numbers of zero and the like: a matter for findings, not for stderr
            return parsed(der)
    except _UNREADABLE as error:
        raise CertificateError(f"{len(der)} bytes that are no X.509 certificate: {visible(str(error))}") from None


@lru_cache(maxsize=PARSED_AT_ONCE)
def certificate_facts(der: bytes) -> CertificateFacts:
    """Read what one DER certificate says.

    A part that is malformed becomes a note and reads as absent; CertificateError is raised only where the whole does not parse.
    """
    certificate = _parsed(der)  # not kept: with all its parts looked at it is as large as ten of these
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a CN of a megabyte, a country of three letters: shown, not complained of
        return _facts(der, certificate)


def _facts(der: bytes, certificate: x509.Certificate) -> CertificateFacts:
    parts = _Parts(certificate)
    part = parts.read
    no_key: tuple[str, int | None] = ("unknown", None)
    no_addresses: dict[x509.ObjectIdentifier, str] = {}
    kind, bits = part("public key", _key_facts, no_key)
    aia = part("authorityInfoAccess", _access_addresses, no_addresses)
    return CertificateFacts(
        subject=part("subject", lambda c: visible(c.subject.rfc4514_string()), ""),
        subject_cn=part("subject", lambda c: common_name(c.subject), None),
        issuer=part("issuer", lambda c: visible(c.issuer.rfc4514_string()), ""),
        issuer_cn=part("issuer", lambda c: common_name(c.issuer), None),
        subject_alt_name=part("subjectAltName", _alternative_names, ()),
        serial_number=part("serial number", lambda c: visible(f"{c.serial_number:x}"), "unknown"),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=part("signature", lambda c: c.issuer == c.subject and is_signed_by(der, c.public_key()), False),  # noqa: FBT003
        is_ca=part("basicConstraints", _is_ca, False),  # noqa: FBT003
        public_key_type=kind,
        public_key_size=bits,
        public_key_sha256=part("public key", lambda _: sha256_of(public_key_part(der)), ""),
        signature_algorithm=part("signature algorithm", _signature_algorithm, "unknown"),
        key_usage=part("keyUsage", _key_usage, ()),
        extended_key_usage=part("extendedKeyUsage", _extended_key_usage, ()),
        ocsp_uri=aia.get(AuthorityInformationAccessOID.OCSP),
        issuer_uri=aia.get(AuthorityInformationAccessOID.CA_ISSUERS),
        sha256=sha256_of(der),
        sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        notes=tuple(dict.fromkeys(parts.notes)),
    )


class _Parts:
    """Reads one part of a certificate after another; one that is malformed becomes a note and reads as absent."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.notes: list[str] = []
        self._certificate = certificate

    def read(self, what: str, how: Callable[[x509.Certificate], _Value], otherwise: _Value) -> _Value:
        try:
            return how(self._certificate)
        except (*_UNREADABLE, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            self.notes.append(f"{what} could not be read: {visible(str(error), 80)}")
            return otherwise


def role(facts: CertificateFacts, position: int) -> str:
    """Return `leaf`, `intermediate` or `root` for a certificate at this place of a chain, 0 being the leaf's."""
    if position == 0:
        return "leaf"
    return "root" if facts.self_signed else "intermediate"


def is_signed_by(der: bytes, key: object) -> bool:
    """Check a certificate's signature with one public key, SHA-1 and MD5 included, names and constraints left alone.

    `Certificate.verify_directly_issued_by` refuses SHA-1, which Java accepts under a private anchor; so the key's own verify.
    Raises CertificateError where the bytes are no certificate.
    """
    certificate = load(der)
    signature, signed = certificate.signature, signed_part(der)
    try:
        digest, parameters = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
        match key, parameters:
            case rsa.RSAPublicKey(), padding.PKCS1v15() | padding.PSS() if digest is not None:
                key.verify(signature, signed, parameters, digest)
            case rsa.RSAPublicKey(), None if isinstance(digest, hashes.MD5):  # whose padding `cryptography` does not tell
                key.verify(signature, signed, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey(), ec.ECDSA():
                key.verify(signature, signed, parameters)
            case dsa.DSAPublicKey(), None if digest is not None:
                key.verify(signature, signed, digest)
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey(), None if digest is None:
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def keytool_notation(sha256: str) -> str:
    """Return a hex fingerprint as keytool shows it: upper case, colons."""
    return ":".join(sha256[i : i + 2] for i in range(0, len(sha256), 2)).upper()


def certificates_in(data: bytes, source: str) -> tuple[bytes, ...]:
    """Return the DER of every certificate in a provider's file, each once, in their order.

    Read are PEM with any number of certificates and text around them, DER, several of it side by side, PKCS7, and base64 without
    lines around it; also in UTF-16, with a byte order mark, and with other line ends. Raises CertificateError that names `source`
    and what it is instead; a private key in it is refused, and nothing of it is repeated. One that cannot be read refuses all.
    """
    data = armour.plain(data)
    if (other := armour.other_than_certificates(data)) is not None:
        raise CertificateError(f"{source}: {other}")
    found: list[bytes] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PKCS7 in BER, serial numbers of zero: they are read all the same
            for blob in armour.blobs(data):
                found += _from_der(blob)
    except _UNREADABLE as error:
        which = f", after {len(found)} that are; nothing of it is used" if found else ""
        raise CertificateError(f"{source}: neither PEM, DER nor PKCS7 certificates{which} ({visible(str(error), 120)})") from None
    return tuple(dict.fromkeys(found))


def _from_der(data: bytes) -> tuple[bytes, ...]:
    try:
        load(data)
    except CertificateError:
        return tuple(each.public_bytes(Encoding.DER) for each in pkcs7.load_der_pkcs7_certificates(data))
    return (data,)


def common_name(name: x509.Name) -> str | None:
    """Return the most specific CN of a name, made visible; None where it has none."""
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return visible(str(values[-1].value)) if values else None


def _key_facts(certificate: x509.Certificate) -> tuple[str, int | None]:
    key = certificate.public_key()
    match key:
        case rsa.RSAPublicKey():
            return "RSA", key.key_size
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}", key.key_size
        case dsa.DSAPublicKey():
            return "DSA", key.key_size
        case _:
            return type(key).__name__.removesuffix("PublicKey").lstrip("_"), None


def _signature_algorithm(certificate: x509.Certificate) -> str:
    oid = certificate.signature_algorithm_oid
    return oid._name if oid._name != "Unknown OID" else oid.dotted_string  # noqa: SLF001 - the only name there is


def _extension(certificate: x509.Certificate, kind: type[_Value]) -> _Value | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value  # type: ignore[type-var]
    except x509.ExtensionNotFound:
        return None


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    return _first([*(_extension(certificate, x509.SubjectAlternativeName) or ())], _general_name, "name")


def _first(values: Sequence[_Value], show: Callable[[_Value], str], noun: str) -> tuple[str, ...]:
    shown = tuple(map(show, values[:LISTED]))
    return shown if len(values) <= LISTED else (*shown, f"… ({count(len(values), noun)})")


def _general_name(name: x509.GeneralName) -> str:
    kinds: dict[type[x509.GeneralName], str] = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.RFC822Name: "email"}
    kind = kinds.get(type(name), type(name).__name__)
    match name.value:
        case x509.Name() as value:
            return f"{kind}:{visible(value.rfc4514_string())}"
        case x509.ObjectIdentifier() as value:
            return f"{kind}:{value.dotted_string}"
        case value:
            return f"{kind}:{visible(str(value))}"


def _access_addresses(certificate: x509.Certificate) -> dict[x509.ObjectIdentifier, str]:
    access = _extension(certificate, x509.AuthorityInformationAccess)
    return {} if access is None else {a.access_method: visible(str(a.access_location.value)) for a in reversed(list(access))}


def _key_usage(certificate: x509.Certificate) -> tuple[str, ...]:
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None:
        return ()
    names = {
        "digital_signature": "digitalSignature",
        "content_commitment": "nonRepudiation",
        "key_encipherment": "keyEncipherment",
        "data_encipherment": "dataEncipherment",
        "key_agreement": "keyAgreement",
        "key_cert_sign": "keyCertSign",
        "crl_sign": "cRLSign",
    }
    return tuple(shown for attribute, shown in names.items() if getattr(usage, attribute))


def _extended_key_usage(certificate: x509.Certificate) -> tuple[str, ...]:
    purposes = [*(_extension(certificate, x509.ExtendedKeyUsage) or ())]
    return _first(purposes, lambda oid: _EKU_NAMES.get(oid, oid.dotted_string), "purpose")
