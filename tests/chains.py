"""Certificates for tests, also those that no decent CA would issue."""

from __future__ import annotations

import hashlib
import ipaddress
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO, PAST, FUTURE = NOW - timedelta(days=3000), NOW - timedelta(days=100), NOW + timedelta(days=1000)
_OIDS = {
    "sha256": "2a864886f70d01010b",
    "sha1": "2a864886f70d010105",
    "md5": "2a864886f70d010104",
    "sha3-256": "60864801650304030e",
}


@dataclass(frozen=True)
class Issued:
    der: bytes
    key: Key

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)


def distinguished(**parts: str) -> x509.Name:
    """`distinguished(O="Example", CN="mail")`, in this order."""
    oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "C": NameOID.COUNTRY_NAME, "E": NameOID.EMAIL_ADDRESS}
    return x509.Name([x509.NameAttribute(oids[kind], value) for kind, value in parts.items()])


def usage(*bits: str) -> x509.KeyUsage:
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ]
    return x509.KeyUsage(**{name: name in bits for name in names})


def alternatives(*names: str) -> x509.SubjectAlternativeName:
    """`dns` names as they are, addresses where they parse as such."""
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@lru_cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:  # noqa: ARG001 - another number, another key
    return rsa.generate_private_key(65537, bits)


def issue(  # noqa: PLR0913 - each test changes one of them
    subject: str | x509.Name,
    issuer: Issued | None = None,
    *,
    ca: bool | None = None,
    path_length: int | None = None,
    key: Key | None = None,
    public_key: object = None,
    start: datetime = PAST,
    end: datetime = FUTURE,
    issuer_name: x509.Name | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
    critical: Sequence[x509.ExtensionType] = (),
    key_ids: bool = True,
    serial: int | None = None,
    digest: str = "sha256",
    version: int = 3,
) -> Issued:
    """Issue a certificate; without an issuer it signs itself. `ca` None leaves basicConstraints out."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = subject if isinstance(subject, x509.Name) else distinguished(CN=subject)
    signer = key if issuer is None else issuer.key
    above = name if issuer is None else issuer.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name or above)
        .public_key(public_key or key.public_key())  # type: ignore[arg-type]
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if key_ids:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key or key.public_key()), critical=False)  # type: ignore[arg-type]
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    der = builder.sign(signer, algorithm).public_bytes(Encoding.DER)
    if digest != "sha256" or version != 3:
        der = resigned(der, signer, digest, version)
    return Issued(der, key)


def resigned(  # noqa: PLR0913 - each test changes one of them
    der: bytes,
    signer: Key,
    digest: str = "sha256",
    version: int = 3,
    *,
    serial: bytes | None = None,
    swap: tuple[bytes, bytes] = (b"", b""),
) -> bytes:
    """Sign a certificate again: with RSA and another digest, as version 1 without extensions, with another INTEGER as serial.

    `swap` replaces bytes in each field, by others of the same length or the whole field, in the algorithm outside too.
    """
    certificate = x509.load_der_x509_certificate(der)
    body = certificate.tbs_certificate_bytes
    if version == 1:
        body = _joined(0x30, *[part for part in _inside(body) if part[0] not in (0xA0, 0xA3)])
    if serial is not None:
        fields = _inside(body)
        body = _joined(0x30, fields[0], serial, *fields[2:])
    body = _joined(0x30, *[part.replace(*swap) for part in _inside(body)])
    algorithm = _inside(der)[1].replace(*swap)
    new_algorithm = algorithm.replace(bytes.fromhex(_OIDS["sha256"]), bytes.fromhex(_OIDS[digest]))
    body = body.replace(algorithm, new_algorithm, 1)
    if isinstance(signer, rsa.RSAPrivateKey):
        chosen = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1(), "md5": hashes.MD5(), "sha3-256": hashes.SHA3_256()}[digest]
        signature = signer.sign(body, padding.PKCS1v15(), chosen)
    else:
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        signature = signer.sign(body, ec.ECDSA(hashes.SHA256()))
    return _joined(0x30, body, new_algorithm, _joined(0x03, b"\0" + signature))


@dataclass(frozen=True)
class TinyRsa:
    """An RSA key too small for `cryptography` to sign with."""

    modulus: int
    private: int

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return rsa.RSAPublicNumbers(65537, self.modulus).public_key()

    def sign(self, der: bytes) -> bytes:
        """Replace the signature of a certificate that says it is signed with SHA-256 and RSA."""
        body, algorithm, _ = _inside(der)
        prefix = bytes.fromhex("3031300d060960864801650304020105000420")
        digest = prefix + hashlib.sha256(body).digest()
        size = (self.modulus.bit_length() + 7) // 8
        padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
        signature = pow(int.from_bytes(padded, "big"), self.private, self.modulus).to_bytes(size, "big")
        return _joined(0x30, body, algorithm, _joined(0x03, b"\0" + signature))


def tiny_rsa(bits: int) -> TinyRsa:
    numbers = random.Random(bits)
    primes: list[int] = []
    while len(primes) < 2:
        candidate = numbers.getrandbits(bits // 2) | (3 << (bits // 2 - 2)) | 1
        if candidate % 65537 != 1 and all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7)):
            primes.append(candidate)
    p, q = primes
    return TinyRsa(p * q, pow(65537, -1, (p - 1) * (q - 1)))


def _inside(der: bytes) -> list[bytes]:
    parts, data = [], der[_header(der) :]
    while data:
        header = _header(data)
        length = int.from_bytes(data[2:header], "big") if data[1] & 0x80 else data[1]
        parts.append(data[: header + length])
        data = data[header + length :]
    return parts


def _header(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _joined(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    octets = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
