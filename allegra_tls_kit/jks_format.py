"""JKS and JCEKS taken apart entry by entry: an entry that stays keeps its bytes, keys are neither opened nor sealed anew.

The two differ in their first bytes and in the secret keys that only JCEKS holds; their definition is Java's own reader. pyjks,
which the tests hold this against, cannot write JCEKS, reads no alias with an emoji in it, and its `save` empties the file before
it knows that it can write it.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.entry import LONGEST_CHAIN, MOST_ENTRIES, Contents, Entry, EntryKind, StoreType, require_free, store_type_of
from allegra_tls_kit.errors import PasswordNeeded, UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from allegra_tls_kit.entry import Edit

LONGEST_ALIAS = 65_535  # bytes, by the two octets of their number

_WHITENING = b"Mighty Aphrodite"
_VERSION = 2
_KEY, _TRUSTED, _SECRET = 1, 2, 3
_X509 = b"\0\5X.509"
_TWO_OCTETS = b"\x30\x82"
"""A SEQUENCE whose length has two octets (X.690, 8.1.3.5)."""
_START, _HEAD, _SHORT, _NUMBER, _DATE = (struct.Struct(each) for each in (">4sII", ">IH", ">H", ">I", ">Q"))
_BEFORE_CERTIFICATE = struct.Struct(">7sI")
_SEQUENCE = struct.Struct(">2sH")
_SERIALIZED_OBJECT = b"\xac\xed\0\5s"
_NULL, _REFERENCE, _CLASS, _STRING, _ARRAY, _END = b"pqrtux"
_SERIALIZABLE = 2


class _Item(NamedTuple):
    """Where in the file an entry stands, and what it holds beside alias and date; the alias as it is and as Java compares it."""

    name: str
    alias: str
    tag: int
    milliseconds: int
    held: tuple[slice, ...]
    place: slice


def read(data: bytes, source: str, password: str | None) -> Contents:
    """Return what the store holds; its integrity is checked where a password is given."""
    items = _taken_apart(data, source, password)
    is_jks = store_type_of(data, source) is StoreType.JKS
    found = {item.name: item for item in items if item.name == item.alias} if is_jks else {}
    entries = tuple([_entry(item, data, seen=found.get(item.name) is item) for item in items])
    notes = [] if is_jks else ["Java does not read JCEKS as a truststore unless it is told the type; Allegra does not tell it"]
    if any(item.name != item.alias for item in items):
        notes.append("an alias in it has upper-case letters; Java looks for it in lower case and does not find it")
    if same := _collisions(items):
        notes.append(f"more than one entry has the alias {same}; Java finds one of them at most")
    return Contents(entries, integrity_checked=password is not None, locked=False, notes=tuple(notes))


def rewrite(data: bytes | None, source: str, password: str | None, edit: Edit) -> bytes:
    """Return the store with entries added and removed; entries that stay keep their bytes and order. None becomes JKS."""
    if password is None:
        raise PasswordNeeded(f"{source}: a JKS or JCEKS file is sealed with a password; give it, keytool's usual one is changeit")
    items = [] if data is None else _taken_apart(data, source, password)
    if same := _collisions(items):
        raise WouldLose(
            f"{source}: the aliases of some entries differ in case only, or not at all ({same}); Java finds one of them at most, "
            "and the others would be lost; make the store anew, with an alias of its own for each"
        )
    require_free((item.alias for item in items), source, edit)
    stamp = _DATE.pack(int(edit.at.timestamp() * 1000))
    added: list[bytes] = []
    for alias, certificate in edit.add.items():
        name = _encoded(alias.lower(), source)
        before = _BEFORE_CERTIFICATE.pack(_X509, len(certificate))
        added += (_HEAD.pack(_TRUSTED, len(name)), name, stamp, before, certificate)
    removed = [item.place for item in items if item.alias in edit.remove]
    number = len(items) - len(removed) + len(edit.add)
    magic = b"\xfe\xed\xfe\xed" if data is None else data[:4]
    body: list[bytes | memoryview] = [_START.pack(magic, _VERSION, number), *_without(removed, items, data), *added]
    return b"".join([*body, _seal(body, password)])


def _without(removed: Iterable[slice], items: Sequence[_Item], data: bytes | None) -> Iterator[memoryview]:
    """Yield what is left of the entries when those at these places are cut out, in as few pieces as there can be."""
    whole = memoryview(data or b"")
    start = _START.size
    for place in removed:
        yield whole[start : place.start]
        start = place.stop
    yield whole[start : items[-1].place.stop if items else start]


def _collisions(items: list[_Item]) -> str:
    """Return the aliases that more than one entry has, as Java compares them, for showing; nothing where there is none."""
    if len({item.alias for item in items}) == len(items):
        return ""
    times = Counter(item.alias for item in items)
    return visible(", ".join(alias for alias, number in times.items() if number > 1))


def _entry(item: _Item, data: bytes, *, seen: bool) -> Entry:
    created = _date(item.milliseconds)
    if item.tag == _TRUSTED:
        certificate = data[item.held[0]]
        return Entry(item.alias, EntryKind.TRUSTED, certificate, sha256_of(certificate), seen, created)
    held = [data[place] for place in item.held]
    content = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in held)).hexdigest()
    if item.tag == _SECRET:
        return Entry(item.alias, EntryKind.SECRET_KEY, None, content, seen, created)
    _, *chain = held
    return Entry(item.alias, EntryKind.PRIVATE_KEY, chain[0] if chain else None, content, seen and bool(chain), created)


@lru_cache(maxsize=1024)  # many entries of a store are of one moment
def _date(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _encoded(alias: str, source: str) -> bytes:
    """Return an alias in Java's modified UTF-8: zero in two bytes, a character beyond the first plane as two halves of three."""
    halves = alias.encode("utf-16-be")
    text = "".join(map(chr, struct.unpack(f">{len(halves) // 2}H", halves)))
    name = text.encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
    if len(name) > LONGEST_ALIAS:
        raise WouldLose(f"{source}: alias {visible(alias, 40)!r} is too long for the format; choose letters and digits, and few")
    return name


def _decoded(raw: bytes) -> str:
    """Return an alias; raises ValueError where Java would not read it."""
    text = raw.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    if max(text) > "\uffff":
        raise ValueError("an alias is written in plain UTF-8, which Java does not read")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _taken_apart(data: bytes, source: str, password: str | None) -> list[_Item]:
    try:
        items, end = _items(data)
    except (IndexError, struct.error):
        raise UnreadableKeystore(f"{source}: a damaged keystore: it ends within an entry; restore a backup") from None
    except ValueError as error:
        raise UnreadableKeystore(f"{source}: a damaged keystore: {visible(str(error), 120)}; restore a backup") from None
    if password is None:
        return items
    seal = data[end : end + hashlib.sha1(usedforsecurity=False).digest_size]
    if not hmac.compare_digest(seal, _seal([memoryview(data)[:end]], password)):
        raise WrongPassword(f"{source}: the password is wrong, or the file was altered; check where the password comes from")
    return items


def _seal(body: Sequence[bytes | memoryview], password: str) -> bytes:
    digest = hashlib.sha1(password.encode("utf-16-be", "surrogatepass") + _WHITENING)  # noqa: S324 - the format knows no other
    for part in body:
        digest.update(part)
    return digest.digest()


def _items(data: bytes) -> tuple[list[_Item], int]:
    """Return the entries and where they end; raises ValueError, IndexError, struct.error where they do not fit together."""
    _, version, number = _START.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"version {version} of the format, which is not read here")
    if number > MOST_ENTRIES:
        raise ValueError(f"{number:,} entries, more than the {MOST_ENTRIES:,} that are read here")
    items = []
    at = _START.size
    for _ in range(number):
        start = at
        tag, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size + size
        raw = data[at - size : at]
        name = raw.decode("ascii") if raw.isascii() else _decoded(raw)
        (milliseconds,) = _DATE.unpack_from(data, at)
        at += _DATE.size
        if tag == _TRUSTED:
            held: tuple[slice, ...] = (_certificate(data, at),)
            at = held[0].stop
        else:
            held, at = _key(data, at, tag)
        items.append(_Item(name, name.lower(), tag, milliseconds, held, slice(start, at)))
    return items, at


def _key(data: bytes, at: int, tag: int) -> tuple[tuple[slice, ...], int]:
    """Return where a private key and its chain stand, or a sealed secret key; and where the entry ends."""
    if tag == _KEY:
        held = [_block(data, at)]
        at = held[0].stop
        (links,) = _NUMBER.unpack_from(data, at)
        if links > LONGEST_CHAIN:
            raise ValueError(f"a chain of {links:,} certificates, more than the {LONGEST_CHAIN} that are read here")
        at += 4
        for _ in range(links):
            held.append(_certificate(data, at))
            at = held[-1].stop
        return tuple(held), at
    if tag == _SECRET and data[0] == 0xCE:  # noqa: PLR2004 - JCEKS
        end = _after_secret_key(data, at)
        return (slice(at, end),), end
    raise ValueError(f"an entry of kind {tag}, which the format does not have")


def _certificate(data: bytes, at: int) -> slice:
    kind, size = _BEFORE_CERTIFICATE.unpack_from(data, at)
    at += _BEFORE_CERTIFICATE.size
    place = slice(at, at + size)
    if kind != _X509 or place.stop > len(data):
        raise ValueError("a certificate that is cut short, or of another kind than X.509")
    if _SEQUENCE.unpack_from(data, at) != (_TWO_OCTETS, size - 4):  # nearly all are of this length
        ber.whole(data[place], ber.SEQUENCE)
    return place


def _block(data: bytes, at: int) -> slice:
    (size,) = _NUMBER.unpack_from(data, at)
    end = at + 4 + size
    if end > len(data):
        raise ValueError("a length that goes beyond the end")
    return slice(at + 4, end)


def _after_secret_key(data: bytes, at: int) -> int:
    """Return where a serialised SealedObject ends: its classes, and a value for each of their fields.

    The grammar is that of Java's object serialization (its specification, 6.4), as far as the JDK's own key protector needs it.
    """
    if data[at : at + 5] != _SERIALIZED_OBJECT:
        raise ValueError("a secret key that is no serialised object")
    fields, at = _after_class(data, at + 5)
    for _ in range(fields):
        if data[at] == _ARRAY:
            _, at = _after_class(data, at + 1)
            at = _block(data, at).stop
        else:
            at = _after_text(data, at)
    if at > len(data):
        raise ValueError("a secret key that is cut short")
    return at


def _after_class(data: bytes, at: int) -> tuple[int, int]:
    """Return how many fields a class and those above it have, and where their description ends."""
    fields = 0
    while data[at] == _CLASS:
        at = _after_name(data, at + 1) + 8  # the number of its version
        (number,) = _SHORT.unpack_from(data, at + 1)
        if data[at] != _SERIALIZABLE:
            raise ValueError("a secret key of a class that writes itself in its own way")
        fields += number
        at += 3
        for _ in range(number):
            if data[at] not in b"[L":
                raise ValueError("a secret key of a class that is not read here")
            at = _after_text(data, _after_name(data, at + 1))
        if data[at] != _END:
            raise ValueError("a secret key of a class with annotations")
        at += 1
    return fields, _after_text(data, at)


def _after_text(data: bytes, at: int) -> int:
    """Return where a text ends, or nothing, or a reference to what stood before."""
    if data[at] == _STRING:
        return _after_name(data, at + 1)
    if data[at] not in (_NULL, _REFERENCE):
        raise ValueError("a secret key that holds what is not read here")
    return at + (1 if data[at] == _NULL else 5)


def _after_name(data: bytes, at: int) -> int:
    (size,) = _SHORT.unpack_from(data, at)
    return at + 2 + int(size)
