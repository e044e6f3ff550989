"""What a keystore holds, and what may change in it: the words that the formats and their readers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import PlanRefused, UnreadableKeystore
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


MOST_ENTRIES = 100_000
"""In one file; whoever reads a store holds them all in memory, and 10,000 make a large one."""
LONGEST_CHAIN = 100
"""Certificates of one key; ten are many."""


class StoreType(StrEnum):
    """keytool's names of the formats."""

    JKS = "JKS"
    JCEKS = "JCEKS"
    PKCS12 = "PKCS12"


class EntryKind(StrEnum):
    """keytool's names of the entries, and one for certificates that Java passes over."""

    TRUSTED = "trustedCertEntry"
    PRIVATE_KEY = "PrivateKeyEntry"
    SECRET_KEY = "SecretKeyEntry"  # noqa: S105 - a word of keytool's
    NOT_TRUSTED = "certificate without Java's trust attribute"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `alias` is in lower case, as Java compares it, and unabridged: show it with `text.visible`.

    `certificate` is DER, of a private key the first of its chain; None for secret keys. `content` is a SHA-256 over what the
    entry holds, the encrypted key included, so that two states can be compared without opening it; of a trusted certificate
    it is the fingerprint. `created` is aware UTC, None in PKCS12. `anchor` tells whether a JVM that opens the file without a
    password, as Allegra does, trusts the certificate.
    """

    alias: str
    kind: EntryKind
    certificate: bytes | None = field(repr=False)
    content: str = field(repr=False)
    anchor: bool
    created: datetime | None = None

    @property
    def sha256(self) -> str | None:
        """The fingerprint of the certificate as lower-case hex."""
        if self.certificate is None:
            return None
        return self.content if self.kind is EntryKind.TRUSTED else sha256_of(self.certificate)


@dataclass(frozen=True, slots=True)
class Edit:
    """What changes in a keystore: trusted certificates to add (alias → DER), aliases to remove, the date of new entries."""

    add: Mapping[str, bytes]
    remove: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Contents:
    """What a reader found in a file; the words are those of `Snapshot`."""

    entries: tuple[Entry, ...]
    integrity_checked: bool
    locked: bool
    notes: tuple[str, ...]


def require_free(taken: Iterable[str], source: str, edit: Edit) -> None:
    """Raise PlanRefused where an alias to add is taken, as Java compares them, by an entry that stays or by another new one."""
    held = set(taken) - edit.remove
    for alias in edit.add:
        if alias.lower() in held:
            raise PlanRefused(f"{source}: alias {visible(alias)!r} is taken; choose another, nothing is replaced silently")
        held.add(alias.lower())


def store_type_of(data: bytes, source: str) -> StoreType:
    """Tell the format by the first bytes; raises UnreadableKeystore that says what it is instead."""
    if data.startswith(b"\xfe\xed\xfe\xed"):
        return StoreType.JKS
    if data.startswith(b"\xce\xce\xce\xce"):
        return StoreType.JCEKS
    if data.startswith(b"\x30") and len(data) > 2 and (data[1] & 0x80 or len(data) == data[1] + 2):  # noqa: PLR2004 - a BER header
        return StoreType.PKCS12
    if not data:
        raise UnreadableKeystore(
            f"{source}: the file is empty (0 bytes), as keytool leaves it when it is killed; restore a backup"
        )
    if b"-----BEGIN" in data[:4096]:
        raise UnreadableKeystore(f"{source}: this is PEM, not a keystore; import its certificates into one")
    raise UnreadableKeystore(f"{source}: neither JKS, JCEKS nor PKCS12; it begins {visible(data[:16].decode('latin-1'))!r}")
