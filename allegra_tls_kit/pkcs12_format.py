"""PKCS12 (RFC 7292) taken apart only as far as needed to change it without loss.

A change appends one unencrypted part with the new certificates, or takes bags out of a part. Every other part stays byte for
byte what it was, whatever it holds: keys, secrets, attributes, algorithms nobody here knows. The writers of `cryptography`
drop further keys and attributes, so they do not write here. A part without encryption is also what Allegra needs: its JVM opens
the store without a password and sees nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import load
from allegra_tls_kit.entry import LONGEST_CHAIN, MOST_ENTRIES, Contents, Entry, EntryKind, require_free
from allegra_tls_kit.errors import PasswordNeeded, UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.pkcs12_encryption import MOST_ITERATIONS, decrypt, encrypt_like, iterations, rounds_to_open, sealing_key
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
MOST_ENCRYPTED_PARTS = 10
"""Writers make one or two; together they may ask for as many iterations as Java allows for each."""
MOST_ATTRIBUTES = 100
"""Of one entry; keytool writes four at most."""


@dataclass(frozen=True, slots=True)
class _Mac:
    """The seal; `rest` is what stands behind the digest, as it stands."""

    algorithm: ber.Element
    digest: bytes
    salt: bytes
    iterations: int
    rest: tuple[bytes, ...]


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


class _Part(NamedTuple):
    """One of the contents that a file is made of (RFC 5652, 3): its kind, what it holds, and both as they stand."""

    kind: bytes
    content: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class _File:
    parts: tuple[_Part, ...]
    safe: bytes
    mac: _Mac | None


def read(data: bytes, source: str, password: str | None) -> Contents:
    """Return what the store holds, of encrypted parts only with the password.

    The integrity is checked where a password is given and the file is sealed at all: one without a MAC opens with any password
    (`cacerts` since JDK 18).
    """
    file = _taken_apart(data, source)
    checked = _checked(file, source, password) is not None
    bags = _all_bags(file, source, password)
    entries = tuple(entry for entry, _ in _entries(bags))
    hidden = any(part.kind == _ENCRYPTED for part in file.parts)
    notes: list[str] = []
    if hidden:
        notes.append("certificates in it are encrypted: opened without a password, as Allegra does, Java does not see them")
    if any(bag.kind == _BARE_KEY for bag in bags):
        notes.append("a private key in it is not encrypted; Java passes over it")
    times = Counter(entry.alias for entry in entries if entry.kind is not EntryKind.NOT_TRUSTED)
    if same := ", ".join(alias for alias, number in times.items() if number > 1):
        notes.append(f"more than one entry has the alias {visible(same)}; Java finds the last of them")
    return Contents(entries, checked, hidden and password is None, tuple(notes))


def rewrite(data: bytes, source: str, password: str | None, edit: Edit) -> bytes:
    """Return the store with certificates appended, unencrypted, and others taken out; every other part is kept as it stands."""
    file = _taken_apart(data, source)
    if file.mac is not None and password is None:
        raise PasswordNeeded(f"{source}: this PKCS12 file is sealed with a password; give it, keytool's usual one is changeit")
    key = _checked(file, source, password)
    entries = list(_entries(_all_bags(file, source, password)))
    require_free((entry.alias for entry, _ in entries), source, edit)
    doomed = _doomed(entries, source, edit.remove)
    parts = [_without(part, source, password, doomed) for part in file.parts]
    if edit.add:
        parts.append(_plain_part([_certificate_bag(alias.lower(), der) for alias, der in edit.add.items()]))
    safe = ber.encode(ber.SEQUENCE, *parts)
    content = ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _DATA), ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, safe)))
    seal = b"" if file.mac is None or key is None else _sealed(file.mac, hmac.digest(key[0], safe, key[1]))
    return ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, b"\x03"), content, seal)


def _taken_apart(data: bytes, source: str) -> _File:
    try:
        version, content, *mac = ber.elements(ber.element(data, ber.SEQUENCE).content)
        kind, wrapped = ber.elements(content.content)
        if version.content != b"\x03" or kind.content != _DATA:
            raise ValueError("not version 3, or signed instead of sealed")  # noqa: TRY301 - one handler for all that is odd
        safe = ber.element(ber.element(wrapped.raw, ber.CONTEXT_0).content, ber.OCTET_STRING).content
        parts = tuple(_part(part) for part in ber.elements(ber.element(safe, ber.SEQUENCE).content))
        if sum(part.kind == _ENCRYPTED for part in parts) > MOST_ENCRYPTED_PARTS:
            raise ValueError(f"more than {MOST_ENCRYPTED_PARTS} encrypted parts")  # noqa: TRY301 - as above
        return _File(parts, safe, _mac(mac[0]) if mac else None)
    except (ValueError, IndexError) as error:
        raise UnreadableKeystore(
            f"{source}: a damaged or unusual PKCS12 file: {error}; restore a backup, or rewrite it with keytool"
        ) from None


def _part(part: ber.Element) -> _Part:
    kind, *held = ber.elements(part.content)
    return _Part(kind.content, held[0].content if held else b"", part.raw)


def _mac(seal: ber.Element) -> _Mac:
    information, salt, *count = ber.elements(seal.content)
    algorithm, digest = ber.elements(information.content)
    rounds = iterations(count[0]) if count else 1
    return _Mac(algorithm, digest.content, salt.content, rounds, (salt.raw, *(element.raw for element in count)))


def _checked(file: _File, source: str, password: str | None) -> tuple[bytes, str] | None:
    """Return the key of the seal and its hash once they have proved the file unaltered; None where there is nothing to check."""
    mac = file.mac
    if mac is None or password is None:
        return None
    try:
        key, name = sealing_key(mac.algorithm, mac.salt, mac.iterations, password)
    except LookupError:
        raise UnreadableKeystore(f"{source}: sealed in a way that is not read here; use keytool for this file") from None
    except ValueError as error:
        raise UnreadableKeystore(f"{source}: a damaged seal: {error}; restore a backup") from None
    if not hmac.compare_digest(hmac.digest(key, file.safe, name), mac.digest):
        raise WrongPassword(f"{source}: the password is wrong, or the file was altered; check where the password comes from")
    return key, name


def _sealed(mac: _Mac, digest: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, mac.algorithm.raw, ber.encode(ber.OCTET_STRING, digest)), *mac.rest)


def _all_bags(file: _File, source: str, password: str | None) -> list[_Bag]:
    if password is not None:
        _require_openable(file, source)
    every = (bag for part in file.parts for bag in _bags(part, source, password))
    bags = list(itertools.islice(every, MOST_ENTRIES + 1))
    if len(bags) > MOST_ENTRIES:
        raise UnreadableKeystore(f"{source}: more than {MOST_ENTRIES:,} certificates and keys; no more are read here")
    return bags


def _require_openable(file: _File, source: str) -> None:
    asked = 0
    for part in file.parts:
        if part.kind == _ENCRYPTED:
            with contextlib.suppress(ValueError, IndexError):  # what is wrong with it is said where it is opened
                asked += rounds_to_open(part.content)
    if asked > MOST_ITERATIONS:
        raise UnreadableKeystore(
            f"{source}: its parts ask for {asked:,} iterations, more than the {MOST_ITERATIONS:,} that are waited for; "
            "look where this file comes from"
        )


def _bags(part: _Part, source: str, password: str | None) -> Iterator[_Bag]:
    """Yield the bags of a part, of an encrypted one with the password only; nothing for a part of another kind."""
    hidden = part.kind == _ENCRYPTED
    if (hidden and password is None) or part.kind not in (_DATA, _ENCRYPTED):
        return
    content = _decrypted(part, source, password or "") if hidden else None
    try:
        if content is None:
            content = ber.element(part.content, ber.OCTET_STRING).content
        for bag in ber.elements(ber.element(content, ber.SEQUENCE).content):
            yield _bag(bag, hidden=hidden)
    except (ValueError, IndexError) as error:
        raise UnreadableKeystore(f"{source}: a damaged part in this PKCS12 file: {error}; restore a backup") from None


def _decrypted(part: _Part, source: str, password: str) -> bytes:
    try:
        return decrypt(part.content, password)
    except LookupError:
        raise UnreadableKeystore(f"{source}: a part is encrypted in a way that is not read here; use keytool for it") from None
    except ValueError as error:
        raise WrongPassword(f"{source}: an encrypted part does not open: {error}; check the password") from None


def _bag(bag: ber.Element, *, hidden: bool) -> _Bag:
    kind, value, *rest = ber.elements(bag.content)
    attributes: dict[bytes, bytes] = {}
    for attribute in ber.elements(rest[0].content, MOST_ATTRIBUTES) if rest else []:
        name, values = ber.elements(attribute.content)
        attributes[name.content] = values.content
    certificate = None
    if kind.content == _CERTIFICATE:
        form, wrapped = ber.elements(ber.element(value.content, ber.SEQUENCE).content)
        certificate = ber.element(wrapped.content, ber.OCTET_STRING).content if form.content == _X509 else None
    name_value = attributes.get(_FRIENDLY_NAME)
    friendly = None if name_value is None else ber.elements(name_value)[0].content.decode("utf-16-be", "surrogatepass")
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
    named = [((str(next(unnamed)) if bag.name is None else bag.name).lower(), bag) for bag in (*seen, *passed_over)]
    last = {alias: id(bag) for alias, bag in named[: len(seen)] if not bag.hidden}
    for alias, bag in named:
        yield _entry(alias, bag, chains.get(bag.raw, []), found=last.get(alias) == id(bag)), bag


def _entry(alias: str, bag: _Bag, chain: list[_Bag], *, found: bool) -> Entry:
    """Return the entry of a bag; `found` means that Java comes upon it under this alias without a password."""
    if bag.certificate is not None:
        kind, held = (EntryKind.TRUSTED, bag.certificate) if bag.trusted else (EntryKind.NOT_TRUSTED, bag.raw)
        return Entry(alias, kind, bag.certificate, hashlib.sha256(held).hexdigest(), found)
    kind = EntryKind.SECRET_KEY if bag.kind == _SECRET else EntryKind.PRIVATE_KEY
    content = hashlib.sha256(bag.raw + b"".join(link.raw for link in chain)).hexdigest()
    anchor = found and bool(chain) and not chain[0].hidden
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
        met = {link.raw for link in chain}
        link = by_id.get(key.key_id or b"")
        while link is not None and link.raw not in met and len(chain) < LONGEST_CHAIN:
            chain.append(link)
            met.add(link.raw)
            link = by_subject.get(names[link.raw][1])
    return chains


def _names(der: bytes) -> tuple[object, object]:
    """Return subject and issuer; a certificate that does not parse issues nothing and is issued by nobody."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name too long, or of letters without a place in it, is compared all the same
            return load(der).subject, load(der).issuer
    except (ValueError, TypeError, KeyError):  # as in `tidy.parsed`
        return None, None


def _doomed(entries: list[tuple[Entry, _Bag]], source: str, remove: frozenset[str]) -> frozenset[bytes]:
    doomed = {bag.raw: entry.alias for entry, bag in entries if entry.alias in remove and bag.certificate is not None}
    left = remove - set(doomed.values())
    if left:
        names = visible(", ".join(sorted(left)))
        raise WouldLose(f"{source}: {names} is a key or is not there, so not taken out here; use keytool -delete on a copy")
    return frozenset(doomed)


def _without(part: _Part, source: str, password: str | None, doomed: frozenset[bytes]) -> bytes:
    """Return a part without some bags, nothing where none is left, and any other part as it is."""
    bags = [bag.raw for bag in _bags(part, source, password)] if doomed else []
    kept = [bag for bag in bags if bag not in doomed]
    if len(kept) == len(bags):
        return part.raw
    if not kept:
        return b""
    if part.kind == _DATA:
        return _plain_part(kept)
    closed = encrypt_like(part.content, password or "", ber.encode(ber.SEQUENCE, *kept))
    return ber.encode(ber.SEQUENCE, ber.encode(ber.OID, _ENCRYPTED), ber.encode(ber.CONTEXT_0, closed))


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
