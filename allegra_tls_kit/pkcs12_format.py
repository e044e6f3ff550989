"""PKCS12 (RFC 7292) taken apart only as far as needed to change it without loss.

A change appends one unencrypted part with the new certificates, or takes bags out of such a part. Every other part stays byte
for byte what it was, whatever it holds: keys, secrets, attributes, algorithms nobody here knows. The writers of `cryptography`
drop further keys and attributes, so they do not write here. A part without encryption is also what Allegra needs: its JVM opens
the store without a password and sees nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import load
from allegra_tls_kit.entry import Entry, EntryKind
from allegra_tls_kit.errors import NeedsKeytool, PasswordNeeded, UnreadableKeystore, WrongPassword
from allegra_tls_kit.pkcs12_encryption import HASHES, MAC_PURPOSE, decrypt, derive, iterations
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allegra_tls_kit.entry import Edit

_DATA, _ENCRYPTED = bytes.fromhex("2a864886f70d010701"), bytes.fromhex("2a864886f70d010706")
_BAG = bytes.fromhex("2a864886f70d010c0a01")  # followed by one octet
_BARE_KEY, _KEY, _CERTIFICATE, _SECRET = (_BAG + bytes([number]) for number in (1, 2, 3, 5))
_X509 = bytes.fromhex("2a864886f70d01091601")
_FRIENDLY_NAME, _LOCAL_KEY_ID = bytes.fromhex("2a864886f70d010914"), bytes.fromhex("2a864886f70d010915")
_TRUSTED_KEY_USAGE = bytes.fromhex("6086480186f966adca7b0101")  # Oracle's 2.16.840.1.113894.746875.1.1
_ANY_USAGE = bytes.fromhex("551d2500")


@dataclass(frozen=True, slots=True)
class _Mac:
    algorithm: bytes
    digest: bytes
    salt: bytes
    iterations: int
    raw_algorithm: bytes


@dataclass(frozen=True, slots=True)
class _Bag:
    """`hidden` means that it stood in an encrypted part."""

    raw: bytes
    kind: bytes
    certificate: bytes | None
    name: str | None
    key_id: bytes | None
    trusted: bool
    hidden: bool


@dataclass(frozen=True, slots=True)
class _File:
    parts: tuple[ber.Element, ...]
    safe: bytes
    mac: _Mac | None


def read(data: bytes, source: str, password: str | None) -> tuple[tuple[Entry, ...], bool, tuple[str, ...]]:
    """Return the entries, whether encrypted parts stayed unread, and notes."""
    file = _taken_apart(data, source)
    _check_mac(file, source, password)
    bags = [bag for part in file.parts for bag in _bags(part, source, password)]
    entries = tuple(entry for entry, _ in _entries(bags))
    hidden = any(_kind(part) == _ENCRYPTED for part in file.parts)
    notes: list[str] = []
    if hidden:
        notes.append("certificates in it are encrypted: opened without a password, as Allegra does, Java does not see them")
    if any(bag.kind == _BARE_KEY for bag in bags):
        notes.append("a private key in it is not encrypted; Java passes over it")
    return entries, hidden and password is None, tuple(notes)


def has_mac(data: bytes) -> bool:
    """Tell whether the file is sealed at all; one without a MAC opens with any password (`cacerts` since JDK 18)."""
    return _taken_apart(data, "keystore").mac is not None


def rewrite(data: bytes, source: str, password: str | None, edit: Edit) -> bytes:
    """Return the store with certificates appended and unencrypted ones taken out; every other byte of content is kept."""
    file = _taken_apart(data, source)
    if file.mac is not None and password is None:
        raise PasswordNeeded(f"{source}: this PKCS12 file is sealed with a password; give it, keytool's usual one is changeit")
    _check_mac(file, source, password)
    bags = [bag for part in file.parts for bag in _bags(part, source, password)]
    doomed = _doomed(list(_entries(bags)), source, edit.remove)
    parts = [_without(part, source, doomed) for part in file.parts]
    if edit.add:
        parts.append(_plain_part([_certificate_bag(alias.lower(), der) for alias, der in edit.add.items()]))
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
        for part in parts:
            _kind(part)
        return _File(parts, safe, _mac(mac[0]) if mac else None)
    except (ValueError, IndexError) as error:
        raise UnreadableKeystore(
            f"{source}: a damaged or unusual PKCS12 file: {error}; restore a backup, or rewrite it with keytool"
        ) from None


def _mac(seal: ber.Element) -> _Mac:
    information, salt, *count = ber.elements(seal.content)
    algorithm, digest = ber.elements(information.content)
    rounds = iterations(count[0]) if count else 1
    return _Mac(ber.elements(algorithm.content)[0].content, digest.content, salt.content, rounds, algorithm.raw)


def _check_mac(file: _File, source: str, password: str | None) -> None:
    if file.mac is None or password is None:
        return
    if file.mac.algorithm not in HASHES:
        raise UnreadableKeystore(f"{source}: sealed in a way (PBMAC1 or newer) that is not read here; use keytool for this file")
    if not hmac.compare_digest(_digest(file.mac, file.safe, password), file.mac.digest):
        raise WrongPassword(f"{source}: the password is wrong, or the file was altered; check where the password comes from")


def _digest(mac: _Mac, safe: bytes, password: str) -> bytes:
    hashed = HASHES[mac.algorithm]
    key = derive(hashed, MAC_PURPOSE, password, mac.salt, mac.iterations, hashed().digest_size)
    return hmac.digest(key, safe, hashed().name)


def _sealed(mac: _Mac, safe: bytes, password: str) -> bytes:
    digest = ber.encode(ber.SEQUENCE, mac.raw_algorithm, ber.encode(ber.OCTET_STRING, _digest(mac, safe, password)))
    count = mac.iterations.to_bytes(mac.iterations.bit_length() // 8 + 1, "big")
    return ber.encode(ber.SEQUENCE, digest, ber.encode(ber.OCTET_STRING, mac.salt), ber.encode(ber.INTEGER, count))


def _kind(part: ber.Element) -> bytes:
    return ber.elements(part.content)[0].content


def _bags(part: ber.Element, source: str, password: str | None) -> Iterator[_Bag]:
    """Yield the bags of a part, of an encrypted one with the password only; nothing for a part of another kind."""
    hidden = _kind(part) == _ENCRYPTED
    if (hidden and password is None) or _kind(part) not in (_DATA, _ENCRYPTED):
        return
    content = _decrypted(part, source, password or "") if hidden else None
    try:
        if content is None:
            content = ber.element(ber.elements(part.content)[1].content, ber.OCTET_STRING).content
        for bag in ber.elements(ber.element(content, ber.SEQUENCE).content):
            yield _bag(bag, hidden=hidden)
    except (ValueError, IndexError) as error:
        raise UnreadableKeystore(f"{source}: a damaged part in this PKCS12 file: {error}; restore a backup") from None


def _decrypted(part: ber.Element, source: str, password: str) -> bytes:
    try:
        return ber.element(decrypt(part, password), ber.SEQUENCE).raw
    except LookupError:
        raise UnreadableKeystore(f"{source}: a part is encrypted in a way that is not read here; use keytool for it") from None
    except ValueError as error:
        raise WrongPassword(f"{source}: an encrypted part does not open: {error}; check the password") from None


def _bag(bag: ber.Element, *, hidden: bool) -> _Bag:
    kind, value, *rest = ber.elements(bag.content)
    attributes: dict[bytes, bytes] = {}
    for attribute in ber.elements(rest[0].content) if rest else []:
        name, values = ber.elements(attribute.content)
        attributes[name.content] = values.content
    certificate = None
    if kind.content == _CERTIFICATE:
        form, wrapped = ber.elements(ber.element(value.content, ber.SEQUENCE).content)
        certificate = ber.element(wrapped.content, ber.OCTET_STRING).content if form.content == _X509 else None
    name_value = attributes.get(_FRIENDLY_NAME)
    friendly = None if name_value is None else ber.elements(name_value)[0].content.decode("utf-16-be")
    trusted = certificate is not None and _TRUSTED_KEY_USAGE in attributes
    return _Bag(bag.raw, kind.content, certificate, friendly, attributes.get(_LOCAL_KEY_ID), trusted, hidden)


def _entries(bags: list[_Bag]) -> Iterator[tuple[Entry, _Bag]]:
    """Yield what Java makes entries of, with the aliases it gives, and then what it passes over."""
    chains = _chains(bags)
    of_keys = {bag.raw for chain in chains.values() for bag in chain}
    seen = [bag for bag in bags if bag.trusted or bag.kind in (_KEY, _SECRET)]
    passed_over = [
        bag
        for bag in bags
        if bag.kind == _BARE_KEY or (bag.certificate is not None and not bag.trusted and bag.raw not in of_keys)
    ]
    unnamed = itertools.count(1)
    for bag in (*seen, *passed_over):
        alias = (str(next(unnamed)) if bag.name is None else bag.name).lower()
        yield _entry(alias, bag, chains.get(bag.raw, [])), bag


def _entry(alias: str, bag: _Bag, chain: list[_Bag]) -> Entry:
    if bag.certificate is not None:
        kind, held = (EntryKind.TRUSTED, bag.certificate) if bag.trusted else (EntryKind.NOT_TRUSTED, bag.raw)
        return Entry(alias, kind, bag.certificate, hashlib.sha256(held).hexdigest(), bag.trusted and not bag.hidden)
    kind = EntryKind.SECRET_KEY if bag.kind == _SECRET else EntryKind.PRIVATE_KEY
    content = hashlib.sha256(bag.raw + b"".join(link.raw for link in chain)).hexdigest()
    anchor = bag.kind == _KEY and bool(chain) and not chain[0].hidden
    return Entry(alias, kind, chain[0].certificate if chain else None, content, anchor)


def _chains(bags: list[_Bag]) -> dict[bytes, list[_Bag]]:
    """Return the certificates of each key as Java puts them together: the first by its key id, the others by issuer's name."""
    keys = [bag for bag in bags if bag.kind in (_KEY, _BARE_KEY)]
    loose = [bag for bag in reversed(bags) if keys and bag.certificate is not None and not bag.trusted]
    names = {bag.raw: _names(bag.certificate or b"") for bag in loose}
    by_id = {bag.key_id: bag for bag in loose if bag.key_id}
    by_subject = {names[bag.raw][0]: bag for bag in loose}
    chains: dict[bytes, list[_Bag]] = {}
    for key in keys:
        chain = chains.setdefault(key.raw, [])
        link = by_id.get(key.key_id or b"")
        while link is not None and link not in chain:
            chain.append(link)
            link = by_subject.get(names[link.raw][1])
    return chains


def _names(der: bytes) -> tuple[object, object]:
    """Return subject and issuer; a certificate that does not parse issues nothing and is issued by nobody."""
    try:
        return load(der).subject, load(der).issuer
    except (ValueError, TypeError):
        return None, None


def _doomed(entries: list[tuple[Entry, _Bag]], source: str, remove: frozenset[str]) -> frozenset[bytes]:
    doomed = {
        bag.raw: entry.alias for entry, bag in entries if entry.alias in remove and bag.certificate is not None and not bag.hidden
    }
    left = remove - set(doomed.values())
    if left:
        names = visible(", ".join(sorted(left)))
        raise NeedsKeytool(
            f"{source}: {names} is a key, is encrypted or is not there, so not taken out here; use keytool on a copy"
        )
    return frozenset(doomed)


def _without(part: ber.Element, source: str, doomed: frozenset[bytes]) -> bytes:
    """Return an unencrypted part without some bags, nothing where none is left, and any other part as it is."""
    bags = list(_bags(part, source, None))
    kept = [bag.raw for bag in bags if bag.raw not in doomed]
    if len(kept) == len(bags):
        return part.raw
    return _plain_part(kept) if kept else b""


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
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _CERTIFICATE), value, attributes)


def _attribute(name: bytes, value: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, name), ber.encode(ber.SET, value))
