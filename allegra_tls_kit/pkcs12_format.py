"""PKCS12 (RFC 7292) taken apart only as far as needed to change it without loss.

A change appends one unencrypted part with the new certificates, or takes bags out of such a part. Every other part stays byte
for byte what it was, whatever it holds: keys, secrets, attributes, algorithms nobody here knows. `cryptography` reads what is
encrypted, but its writers drop further keys and attributes, so they do not write here. A part without encryption is also what
Allegra needs: its JVM opens the store without a password and sees nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from allegra_tls_kit import ber
from allegra_tls_kit.errors import PasswordNeeded, UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.keystore import Entry, EntryKind
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allegra_tls_kit.keystore import Edit

MOST_ITERATIONS = 5_000_000
"""The JDK's own limit; what asks for more is not a store but an attack."""

_DATA, _ENCRYPTED = bytes.fromhex("2a864886f70d010701"), bytes.fromhex("2a864886f70d010706")
_BAG = bytes.fromhex("2a864886f70d010c0a01")  # followed by one octet
_KEY_BAGS, _CERTIFICATE_BAG, _SECRET_BAG = {_BAG + b"\x01", _BAG + b"\x02"}, _BAG + b"\x03", _BAG + b"\x05"
_X509 = bytes.fromhex("2a864886f70d01091601")
_FRIENDLY_NAME, _LOCAL_KEY_ID = bytes.fromhex("2a864886f70d010914"), bytes.fromhex("2a864886f70d010915")
_TRUSTED_KEY_USAGE = bytes.fromhex("6086480186f966adca7b0101")  # Oracle's 2.16.840.1.113894.746875.1.1
_ANY_USAGE = bytes.fromhex("551d2500")
_HASHES = {
    bytes.fromhex("2b0e03021a"): hashlib.sha1,
    bytes.fromhex("608648016503040201"): hashlib.sha256,
    bytes.fromhex("608648016503040202"): hashlib.sha384,
    bytes.fromhex("608648016503040203"): hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class _Mac:
    algorithm: bytes
    digest: bytes
    salt: bytes
    iterations: int
    raw_algorithm: bytes


@dataclass(frozen=True, slots=True)
class _Bag:
    raw: bytes
    kind: bytes
    certificate: bytes | None
    name: str | None
    key_id: bytes | None
    trusted: bool


@dataclass(frozen=True, slots=True)
class _File:
    parts: tuple[ber.Element, ...]
    safe: bytes
    mac: _Mac | None


def read(data: bytes, source: str, password: str | None) -> tuple[tuple[Entry, ...], bool, tuple[str, ...]]:
    """Return the entries, whether encrypted parts stayed unread, and notes."""
    file = _taken_apart(data, source)
    _check_mac(file, source, password)
    plain = [bag for part in file.parts for bag in _bags(part, source)]
    key_ids = {bag.key_id for bag in plain if bag.kind in _KEY_BAGS and bag.key_id}
    entries = _plain_entries(plain, key_ids)
    hidden = [part for part in file.parts if _kind(part) == _ENCRYPTED]
    notes: list[str] = []
    if password is not None:
        key_aliases = {entry.alias for entry in entries if entry.kind is EntryKind.PRIVATE_KEY}
        for part in hidden:
            entries += _encrypted_entries(part, source, password, key_aliases)
    if hidden:
        notes.append("certificates in it are encrypted: opened without a password, as Allegra does, Java does not see them")
    if not any(entry.anchor for entry in entries):
        notes.append("Java finds nothing to trust in this file (the trustAnchors parameter must be non-empty)")
    return tuple(entries), bool(hidden) and password is None, tuple(notes)


def has_mac(data: bytes) -> bool:
    """Tell whether the file is sealed at all; one without a MAC opens with any password (`cacerts` since JDK 18)."""
    return _taken_apart(data, "keystore").mac is not None


def rewrite(data: bytes, source: str, password: str | None, edit: Edit) -> bytes:
    """Return the store with certificates appended and unencrypted ones taken out; every other byte of content is kept."""
    file = _taken_apart(data, source)
    if file.mac is not None and password is None:
        raise PasswordNeeded(f"{source}: this PKCS12 file is sealed with a password; give it, keytool's usual one is changeit")
    _check_mac(file, source, password)
    parts, removed = _without(file, source, edit.remove)
    if removed < edit.remove:
        left = visible(", ".join(sorted(edit.remove - removed)))
        raise WouldLose(f"{source}: {left} cannot be taken out of an encrypted part here; use keytool -delete on a copy")
    if edit.add:
        parts.append(_plain_part([_certificate_bag(alias, der) for alias, der in edit.add.items()]))
    safe = ber.encode(ber.SEQUENCE, *parts)
    content = ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _DATA), ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, safe)))
    seal = b"" if file.mac is None else _sealed(file.mac, safe, password or "")
    return ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, b"\x03"), content, seal)


def _taken_apart(data: bytes, source: str) -> _File:
    try:
        version, content, *mac = ber.elements(ber.element(data, ber.SEQUENCE).content)
        kind, wrapped = ber.elements(content.content)
        if version.content != b"\x03" or kind.content != _DATA:
            raise ValueError("not version 3, or signed instead of sealed")  # noqa: TRY301 - one handler for all that is odd
        safe = ber.element(ber.element(wrapped.raw, ber.CONTEXT_0).content, ber.OCTET_STRING).content
        parts = tuple(ber.elements(ber.element(safe, ber.SEQUENCE).content))
        return _File(parts, safe, _mac(mac[0]) if mac else None)
    except (ValueError, IndexError) as error:
        raise UnreadableKeystore(
            f"{source}: a damaged or unusual PKCS12 file: {error}; restore a backup, or rewrite it with keytool"
        ) from None


def _mac(seal: ber.Element) -> _Mac:
    information, salt, *count = ber.elements(seal.content)
    algorithm, digest = ber.elements(information.content)
    iterations = int.from_bytes(count[0].content, "big") if count else 1
    if not 1 <= iterations <= MOST_ITERATIONS:
        raise ValueError(f"{iterations} iterations, more than the {MOST_ITERATIONS} that Java allows")
    return _Mac(ber.elements(algorithm.content)[0].content, digest.content, salt.content, iterations, algorithm.raw)


def _check_mac(file: _File, source: str, password: str | None) -> None:
    if file.mac is None or password is None:
        return
    if file.mac.algorithm not in _HASHES:
        raise WouldLose(f"{source}: sealed in a way (PBMAC1 or newer) that is not read here; use keytool for this file")
    if not hmac.compare_digest(_digest(file.mac, file.safe, password), file.mac.digest):
        raise WrongPassword(f"{source}: the password is wrong, or the file was altered; check where the password comes from")


def _digest(mac: _Mac, safe: bytes, password: str) -> bytes:
    from jks import rfc7292  # noqa: PLC0415 - pyjks is loaded when it is needed

    hashed = _HASHES[mac.algorithm]
    key = rfc7292.derive_key(hashed, rfc7292.PURPOSE_MAC_MATERIAL, password, mac.salt, mac.iterations, hashed().digest_size)
    return hmac.digest(bytes(key), safe, hashed().name)


def _sealed(mac: _Mac, safe: bytes, password: str) -> bytes:
    digest = ber.encode(ber.SEQUENCE, mac.raw_algorithm, ber.encode(ber.OCTET_STRING, _digest(mac, safe, password)))
    count = mac.iterations.to_bytes(mac.iterations.bit_length() // 8 + 1, "big")
    return ber.encode(ber.SEQUENCE, digest, ber.encode(ber.OCTET_STRING, mac.salt), ber.encode(ber.INTEGER, count))


def _kind(part: ber.Element) -> bytes:
    return ber.elements(part.content)[0].content


def _bags(part: ber.Element, source: str) -> Iterator[_Bag]:
    """Yield the bags of an unencrypted part; nothing for any other."""
    try:
        if _kind(part) != _DATA:
            return
        wrapped = ber.element(ber.elements(part.content)[1].content, ber.OCTET_STRING)
        for bag in ber.elements(ber.element(wrapped.content, ber.SEQUENCE).content):
            yield _bag(bag)
    except (ValueError, IndexError, UnicodeError) as error:
        raise UnreadableKeystore(f"{source}: a damaged part in this PKCS12 file: {error}; restore a backup") from None


def _bag(bag: ber.Element) -> _Bag:
    kind, value, *rest = ber.elements(bag.content)
    attributes: dict[bytes, bytes] = {}
    for attribute in ber.elements(rest[0].content) if rest else []:
        name, values = ber.elements(attribute.content)
        attributes[name.content] = values.content
    certificate = None
    if kind.content == _CERTIFICATE_BAG:
        form, wrapped = ber.elements(ber.element(value.content, ber.SEQUENCE).content)
        certificate = ber.element(wrapped.content, ber.OCTET_STRING).content if form.content == _X509 else None
    name_value = attributes.get(_FRIENDLY_NAME)
    friendly = None if name_value is None else ber.elements(name_value)[0].content.decode("utf-16-be")
    return _Bag(bag.raw, kind.content, certificate, friendly, attributes.get(_LOCAL_KEY_ID), _TRUSTED_KEY_USAGE in attributes)


def _plain_entries(bags: list[_Bag], key_ids: set[bytes]) -> list[Entry]:
    entries: list[Entry] = []
    unnamed = 0
    leaves = {bag.key_id or b"": bag.certificate for bag in bags if bag.certificate is not None and bag.key_id in key_ids}
    for bag in bags:
        if bag.certificate is not None and not bag.trusted and (bag.key_id in key_ids or (key_ids and bag.name is None)):
            continue  # part of the chain of a key
        name = bag.name
        if name is None:  # Java counts such entries through
            unnamed += 1
            name = str(unnamed)
        kind, leaf = _entry_kind(bag), bag.certificate
        if kind is EntryKind.PRIVATE_KEY:
            leaf = leaves.get(bag.key_id or b"")
        anchor = leaf is not None and kind in (EntryKind.TRUSTED, EntryKind.PRIVATE_KEY)
        held = bag.certificate if kind is EntryKind.TRUSTED and bag.certificate else bag.raw
        entries.append(Entry(name.lower(), kind, leaf, hashlib.sha256(held).hexdigest(), anchor))
    return entries


def _entry_kind(bag: _Bag) -> EntryKind:
    if bag.certificate is not None:
        return EntryKind.TRUSTED if bag.trusted else EntryKind.NOT_TRUSTED
    return EntryKind.PRIVATE_KEY if bag.kind in _KEY_BAGS else EntryKind.SECRET_KEY


def _encrypted_entries(part: ber.Element, source: str, password: str, key_aliases: set[str]) -> list[Entry]:
    """Read the certificates of one encrypted part, wrapped as a file of its own, so that cryptography decrypts it."""
    safe = ber.encode(ber.SEQUENCE, part.raw)
    content = ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _DATA), ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, safe)))
    alone = ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, b"\x03"), content)
    try:
        found = pkcs12.load_pkcs12(alone, password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WrongPassword(
            f"{source}: an encrypted part does not open: {visible(str(error), 120)}; check the password"
        ) from None
    entries: list[Entry] = []
    for number, item in enumerate(found.additional_certs, 1):
        name = item.friendly_name.decode("utf-8", "replace").lower() if item.friendly_name else None
        if name in key_aliases or (name is None and key_aliases):
            continue  # part of the chain of a key
        der = item.certificate.public_bytes(Encoding.DER)
        digest = hashlib.sha256(der).hexdigest()
        entries.append(Entry(name or str(number), EntryKind.TRUSTED, der, digest, False))  # noqa: FBT003
    return entries


def _without(file: _File, source: str, remove: frozenset[str]) -> tuple[list[bytes], set[str]]:
    """Return the parts as bytes, the named certificates taken out of unencrypted ones, and which were found."""
    parts: list[bytes] = []
    removed: set[str] = set()
    for part in file.parts:
        bags = list(_bags(part, source))
        kept = [bag for bag in bags if bag.certificate is None or (bag.name or "").lower() not in remove]
        if len(kept) == len(bags):
            parts.append(part.raw)
            continue
        removed |= {(bag.name or "").lower() for bag in bags if bag not in kept}
        if kept:
            parts.append(_plain_part([bag.raw for bag in kept]))
    return parts, removed


def _plain_part(bags: list[bytes]) -> bytes:
    contents = ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, *bags))
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _DATA), ber.encode(ber.CONTEXT_0, contents))


def _certificate_bag(alias: str, certificate: bytes) -> bytes:
    wrapped = ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, certificate))
    value = ber.encode(ber.CONTEXT_0, ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _X509), wrapped))
    attributes = ber.encode(
        ber.SET,
        *sorted(  # X.690, 11.6: DER sorts the elements of a set
            (
                _attribute(_FRIENDLY_NAME, ber.encode(ber.BMP_STRING, alias.encode("utf-16-be"))),
                _attribute(_TRUSTED_KEY_USAGE, ber.encode(ber.OID, _ANY_USAGE)),
            )
        ),
    )
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _CERTIFICATE_BAG), value, attributes)


def _attribute(name: bytes, value: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, name), ber.encode(ber.SET, value))
