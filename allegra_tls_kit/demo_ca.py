"""The certificates of the laboratory: a private CA as a mail provider may run one, and the situations that people meet.

Rule: for demonstrations only. The keys protect nothing, and nothing of this belongs in a truststore that is in use.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from datetime import datetime

HOST = "localhost"
ADDRESS = "127.0.0.1"
SERVER_NAME = "mail.demo.test"
"""The name of every server, beside `localhost` and the address; `.test` never resolves (RFC 6761, 6.2)."""

LEAF_DAYS = 90
AUTHORITY_DAYS = 3650
AUTHORITY_AGE_DAYS = 365
"""The CA is older than whatever it issued, the expired certificate included."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one server's certificate is like.

    `days_left` is negative for an expired one. `name` is the only name in it; None stands for the right ones. `sends` is how
    many certificates of leaf, intermediate and root the server presents. A self-signed one is CA:FALSE and presented alone.
    """

    days_left: int = LEAF_DAYS
    name: str | None = None
    sends: int = 2
    self_signed: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's key and the certificates that it presents, DER, leaf first.

    `reference` is the certificate whose fingerprint the provider would read out: the root where what is presented leads to it,
    else the leaf, because there the root would not help.
    """

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    reference: bytes = field(repr=False)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS8, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def chain_pem(self) -> bytes:
        """The certificates in the order in which they are presented."""
        return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in self.chain)


class _Party(NamedTuple):
    """Somebody with a name and a key."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class PrivateAuthority:
    """A root that no Java knows, and the intermediate that issues for it."""

    root: x509.Certificate
    issuing: x509.Certificate
    issuer: _Party = field(repr=False)

    @property
    def root_pem(self) -> bytes:
        """The root, as the provider would hand it over."""
        return self.root.public_bytes(Encoding.PEM)

    def issue(self, terms: Terms, now: datetime) -> Identity:
        """Return a server's identity with a key of its own; `now` is aware."""
        server = _party(terms.name or SERVER_NAME)
        begin = now + timedelta(days=min(terms.days_left - LEAF_DAYS, -1))
        leaf = _signed(
            server,
            server if terms.self_signed else self.issuer,
            (begin, now + timedelta(days=terms.days_left)),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            x509.SubjectAlternativeName(_names(terms.name)),
        )
        presented = (leaf,) if terms.self_signed else (leaf, self.issuing, self.root)[: terms.sends]
        reference = self.root if self.issuing in presented else leaf
        return Identity(server.key, tuple(_der(certificate) for certificate in presented), _der(reference))


def private_authority(now: datetime) -> PrivateAuthority:
    """Create a root and its intermediate, `now` being aware; the root's key is forgotten at once."""
    top, issuer = _party("Demo Root CA"), _party("Demo Issuing CA")
    valid = now - timedelta(days=AUTHORITY_AGE_DAYS), now + timedelta(days=AUTHORITY_DAYS)
    root = _signed(top, top, valid, x509.BasicConstraints(ca=True, path_length=None))
    issuing = _signed(issuer, top, valid, x509.BasicConstraints(ca=True, path_length=0))
    return PrivateAuthority(root, issuing, issuer)


def _signed(
    subject: _Party,
    issuer: _Party,
    valid: tuple[datetime, datetime],
    constraints: x509.BasicConstraints,
    *others: x509.ExtensionType,
) -> x509.Certificate:
    own, signing = subject.key.public_key(), issuer.key.public_key()
    builder = x509.CertificateBuilder(issuer.name, subject.name, own, x509.random_serial_number(), *valid)
    builder = builder.add_extension(constraints, critical=True).add_extension(_usage(ca=constraints.ca), critical=True)
    identifiers = x509.SubjectKeyIdentifier.from_public_key(own), x509.AuthorityKeyIdentifier.from_issuer_public_key(signing)
    for extension in (*identifiers, *others):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer.key, SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _names(only: str | None) -> list[x509.GeneralName]:
    if only is not None:
        return [x509.DNSName(only)]
    return [x509.DNSName(HOST), x509.DNSName(SERVER_NAME), x509.IPAddress(ipaddress.ip_address(ADDRESS))]


def _party(common_name: str) -> _Party:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Demo Provider")
    name = x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return _Party(name, ec.generate_private_key(ec.SECP256R1()))


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
