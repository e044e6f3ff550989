"""One certificate as Java's rules look at it; read once, compared by its bytes.

Rule: an extension that cannot be parsed reads as absent where it is not critical, as it does in Java; cryptography would give up
all extensions of such a certificate.
"""

from __future__ import annotations

import ipaddress
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from allegra_tls_kit.ber import OID, SEQUENCE, element, elements, encode
from allegra_tls_kit.certificate import PARSED_AT_ONCE, is_signed_by, load, sha256_of
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.identity import CarriedNames
from allegra_tls_kit.names import DistinguishedName, distinguished_name
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from datetime import datetime

_Value = TypeVar("_Value", bound=x509.ExtensionType)
_Extensions = dict[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]

VERSION_3 = 3
"""The first version of X.509 with extensions."""
UNLIMITED = 2**31 - 1
"""The path length of a CA that sets no limit."""
_UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")
"""An extension that cryptography does not know."""
_NETSCAPE_CERT_TYPE = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
_NETSCAPE_SSL_SERVER = 0x40
_CRITICAL = b"\x01\x01\xff"
_UTC_TIME, _EXTENSIONS = 0x17, 0xA3
_VERSION_3_AND_A_SERIAL_NUMBER = bytes.fromhex("a003020102 020101")
# What Java's PKIX validator processes; the Netscape type is looked at, but refused where it is critical.
_KNOWN = {
    x509.BasicConstraints.oid,
    x509.NameConstraints.oid,
    x509.CertificatePolicies.oid,
    POLICY_MAPPINGS,
    x509.PolicyConstraints.oid,
    x509.InhibitAnyPolicy.oid,
    x509.SubjectAlternativeName.oid,
    x509.KeyUsage.oid,
    x509.ExtendedKeyUsage.oid,
}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A certificate, taken apart. `key` is None where it is of a kind that cryptography does not know.

    `path_length` is None for what is no CA, UNLIMITED for a CA without a limit. `spki` is the DER of the public key.
    """

    der: bytes = field(repr=False)
    sha256: str
    certificate: x509.Certificate = field(repr=False)
    version: int
    serial_number: int
    subject: DistinguishedName
    issuer: DistinguishedName
    not_before: datetime
    not_after: datetime
    key: object = field(repr=False)
    spki: bytes = field(repr=False)
    extensions: _Extensions = field(repr=False)
    unreadable: tuple[str, ...]

    def extension(self, kind: type[_Value]) -> _Value | None:
        """Return the value of an extension, None where there is none or it cannot be read."""
        found = self.extensions.get(kind.oid)
        return found.value if found is not None and isinstance(found.value, kind) else None

    @property
    def name(self) -> str:
        """The shortest text to know it by, made visible: the CN, the first dNSName, the subject, or the fingerprint."""
        first = next(iter(self.carried_names.dns_names), None)
        return visible(self.subject.common_name or first or self.subject.text, 80) or self.sha256[:16]

    @property
    def issuer_name(self) -> str:
        """The shortest text for its issuer, made visible."""
        return visible(self.issuer.common_name or self.issuer.text, 80) or "an issuer without a name"

    @property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name, whatever the signature."""
        return self.subject == self.issuer

    @property
    def path_length(self) -> int | None:
        """How many CAs that are not self-issued may follow below it."""
        constraints = self.extension(x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            return None
        return UNLIMITED if constraints.path_length is None else constraints.path_length

    @property
    def key_size(self) -> int | None:
        """Bits of an RSA, DSA or EC key; None for others."""
        key = self.key
        return key.key_size if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey) else None

    @property
    def unknown_critical(self) -> tuple[str, ...]:
        """The critical extensions that Java's validator does not process, as dotted OIDs."""
        return tuple(oid.dotted_string for oid, found in self.extensions.items() if found.critical and oid not in _KNOWN)

    @property
    def netscape_server(self) -> bool:
        """Whether the Netscape certificate type, where present, allows an SSL server."""
        found = self.extensions.get(_NETSCAPE_CERT_TYPE)
        bits = found.value.public_bytes()[3:4] if found is not None else b"\xff"
        return bool(bits and bits[0] & _NETSCAPE_SSL_SERVER)

    @property
    def alternative_names(self) -> tuple[x509.GeneralName, ...] | None:
        """The subjectAltName, None where there is none."""
        found = self.extension(x509.SubjectAlternativeName)
        return None if found is None else tuple(found)

    @property
    def carried_names(self) -> CarriedNames:
        """The names by which a server is identified."""
        names = self.alternative_names
        listed = names or ()
        return CarriedNames(
            dns_names=tuple(name.value for name in listed if isinstance(name, x509.DNSName)),
            addresses=tuple(
                name.value
                for name in listed
                if isinstance(name, x509.IPAddress) and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
            ),
            common_name=self.subject.common_name,
            alternative_names=names is not None,
        )


@lru_cache(maxsize=PARSED_AT_ONCE)
def read(der: bytes) -> Reading:
    """Read one certificate; the same bytes are read once.

    Raises CertificateError where the whole, a name, a date or a critical extension cannot be read. Java fails there as well, but
    for rarities: a date without seconds or with an offset, the year 0, a part of a name that is empty or no string, bytes behind
    the end.
    """
    certificate = load(der)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # serial numbers of zero again
            reading = _taken_apart(der, certificate)
        _check(reading)
    except _UNREADABLE as error:
        raise CertificateError(f"a certificate with a malformed part: {visible(str(error), 120)}") from None
    return reading


@lru_cache(maxsize=PARSED_AT_ONCE)
def signed(certificate: Reading, issuer: Reading) -> bool:
    """Tell whether the issuer's key verifies the certificate's signature; asked once for each pair."""
    return is_signed_by(certificate.der, issuer.key)


def self_signed(certificate: Reading) -> bool:
    """Tell whether the certificate is verified by its own key under its own name."""
    return certificate.self_issued and signed(certificate, certificate)


def _taken_apart(der: bytes, certificate: x509.Certificate) -> Reading:
    extensions, unreadable = _extensions(certificate)
    key, spki = _key(certificate)
    return Reading(
        der=der,
        sha256=sha256_of(der),
        certificate=certificate,
        version=certificate.version.value + 1,
        serial_number=certificate.serial_number,
        subject=distinguished_name(certificate.subject),
        issuer=distinguished_name(certificate.issuer),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=key,
        spki=spki,
        extensions=extensions,
        unreadable=unreadable,
    )


def _check(reading: Reading) -> None:
    """Refuse what Java refuses: empty names and extensions before version 3; RFC 5280, 4.1.2.4, 4.1.2.6 and 4.1.2.9."""
    if not reading.issuer.canonical:
        raise ValueError("the issuer has no name")
    if reading.version < VERSION_3 and reading.extensions:
        raise ValueError(f"version {reading.version} has no extensions")
    alternatives = reading.extensions.get(x509.SubjectAlternativeName.oid)
    if not reading.subject.canonical and reading.extensions and (alternatives is None or not alternatives.critical):
        raise ValueError("the subject has no name, and there is no critical subjectAltName instead")


def _key(certificate: x509.Certificate) -> tuple[object, bytes]:
    try:
        key = certificate.public_key()
        return key, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE:
        return None, certificate.tbs_certificate_bytes  # equal to nothing else


def _extensions(certificate: x509.Certificate) -> tuple[_Extensions, tuple[str, ...]]:
    try:
        return {extension.oid: extension for extension in certificate.extensions}, ()
    except _UNREADABLE:
        return _extensions_one_by_one(certificate)


def _extensions_one_by_one(certificate: x509.Certificate) -> tuple[_Extensions, tuple[str, ...]]:
    """Read each extension alone; raises ValueError where a critical one is malformed, or one comes twice."""
    body, *_algorithm_and_signature = elements(element(certificate.public_bytes(Encoding.DER), SEQUENCE).content)
    found: _Extensions = {}
    unreadable: list[str] = []
    for each in elements(element(elements(body.content)[-1].content, SEQUENCE).content):
        try:
            extension = next(iter(_with_nothing_but(each.raw).extensions))
        except _UNREADABLE as error:
            if _CRITICAL in [part.raw for part in elements(each.content)]:
                raise ValueError(str(error)) from None
            unreadable.append(visible(str(error), 80))
            continue
        if extension.oid in found:
            raise ValueError(f"extension {extension.oid.dotted_string} comes twice")
        found[extension.oid] = extension
    return found, tuple(unreadable)


def _with_nothing_but(extension: bytes) -> x509.Certificate:
    """Return a certificate of the least there can be; a copy of the real one for each extension could take gigabytes."""
    algorithm, nothing, bits = encode(SEQUENCE, encode(OID, b"\x2a\x03")), encode(SEQUENCE), b"\x03\x01\x00"
    validity = encode(SEQUENCE, *[encode(_UTC_TIME, b"200101000000Z")] * 2)
    fields = [_VERSION_3_AND_A_SERIAL_NUMBER, algorithm, nothing, validity, nothing, encode(SEQUENCE, algorithm, bits)]
    body = encode(SEQUENCE, *fields, encode(_EXTENSIONS, encode(SEQUENCE, extension)))
    return x509.load_der_x509_certificate(encode(SEQUENCE, body, algorithm, bits))
