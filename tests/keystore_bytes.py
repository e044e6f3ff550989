"""Keystores as bytes, for tests: made by this kit and by cryptography, taken apart, and patched where it hurts."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12

from allegra_tls_kit import Snapshot, ber, keystore
from allegra_tls_kit.keystore import Edit
from tests.stores import LEAF, PASSWORD, ROOT, TRUSTED

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


def unsealed(data: bytes) -> bytes:
    """Take the MAC off a PKCS12 file."""
    return ber.encode(ber.SEQUENCE, *(part.raw for part in ber.elements(ber.element(data, ber.SEQUENCE).content)[:2]))
