"""Keystores as bytes, for tests: made by this kit and by cryptography, taken apart, and patched where it hurts."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12

from allegra_tls_kit import Snapshot, ber, keystore
from allegra_tls_kit.keystore import Edit
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

AT = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
HERE = Path("some.ks")


def read(data: bytes, password: str | None = None) -> Snapshot:
    return keystore.read(data, HERE, password)


def rewrite(data: bytes | None, add: Mapping[str, bytes] = {}, *remove: str, password: str | None = PASSWORD) -> bytes:
    return keystore.rewrite(data, HERE, password, Edit(add, frozenset(remove), AT))


def shown(snapshot: Snapshot) -> dict[str, tuple[str, str | None]]:
    return {entry.alias: (entry.kind.value, entry.sha256) for entry in snapshot.entries}


@lru_cache
def from_cryptography(kind: str, *, named: bool = True) -> bytes:
    """`bundle` is what `serialize_key_and_certificates` makes of CAs, `key` of a key and CAs; `truststore` is for Java."""
    what, _, protection = kind.partition(" ")
    encryption: KeySerializationEncryption = (
        NoEncryption() if protection == "plain" else BestAvailableEncryption(PASSWORD.encode())
    )
    if protection == "3des":
        builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        encryption = builder.kdf_rounds(65_536).hmac_hash(hashes.SHA1()).build(PASSWORD.encode())
    if protection == "aes":
        builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        encryption = builder.kdf_rounds(65_536).build(PASSWORD.encode())
    names = [b"Root CA", "Größte CA".encode()] if named else [None, None]
    cas = [pkcs12.PKCS12Certificate(issued.certificate, name) for issued, name in zip([ROOT, TRUSTED], names, strict=True)]
    if what == "truststore":
        return pkcs12.serialize_java_truststore(cas, encryption)
    if what == "bundle":
        return pkcs12.serialize_key_and_certificates(None, None, None, cas, encryption)
    return pkcs12.serialize_key_and_certificates(b"Own", LEAF.key, LEAF.certificate, cas, encryption)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Put one DER element in the place of another, all lengths around it made to fit."""
    made = []
    for element in ber.elements(data):
        if element.raw == old:
            made.append(new)
        elif old in element.content and (element.tag & 0x20 or element.tag == ber.OCTET_STRING):
            made.append(ber.encode(element.tag, replaced(element.content, old, new)))
        else:
            made.append(element.raw)
    return b"".join(made)


def inside(data: bytes) -> Iterator[ber.Element]:
    """Every element of DER bytes, also of those in octet strings."""
    for element in ber.elements(data):
        yield element
        if element.tag & 0x20 or element.tag == ber.OCTET_STRING:
            with contextlib.suppress(ValueError):
                yield from inside(element.content)


def sealed_with_pbmac1(data: bytes, function: str = "sha256", *, rounds: int = 2048, size: int | None = 32) -> bytes:
    """Seal a PKCS12 file anew, as RFC 9879 has it; its own salt and iterations are not used then."""

    def number(value: int) -> bytes:
        return ber.encode(ber.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    def algorithm(oid: str, *parameters: bytes) -> bytes:
        return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, bytes.fromhex(f"2a864886f70d{oid}")), *parameters)

    version, content, *_ = ber.elements(ber.element(data, ber.SEQUENCE).content)
    safe = ber.element(ber.elements(content.content)[1].content, ber.OCTET_STRING).content
    scheme = algorithm({"sha1": "0207", "sha224": "0208", "sha256": "0209", "sha384": "020a", "sha512": "020b"}[function])
    length = b"" if size is None else number(size)
    settings = ber.encode(ber.SEQUENCE, ber.encode(ber.OCTET_STRING, b"salt"), number(rounds), length, scheme)
    whole = algorithm("01050e", ber.encode(ber.SEQUENCE, algorithm("01050c", settings), scheme))
    key = hashlib.pbkdf2_hmac(function, PASSWORD.encode(), b"salt", min(rounds, 2048), size or 32)
    digest = ber.encode(ber.OCTET_STRING, hmac.digest(key, safe, function))
    seal = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, whole, digest), ber.encode(ber.OCTET_STRING, b"NOT USED"))
    return ber.encode(ber.SEQUENCE, version.raw, content.raw, seal)


def unsealed(data: bytes) -> bytes:
    """Take the MAC off a PKCS12 file."""
    return ber.encode(ber.SEQUENCE, *(part.raw for part in ber.elements(ber.element(data, ber.SEQUENCE).content)[:2]))


TWICE = rewrite(unsealed(from_cryptography("truststore plain")), {"aa": TRUSTED.der, "bb": NEW.der}).replace(b"\0b\0b", b"\0A\0A")
"""PKCS12 with two aliases that are one to Java."""
