"""JKS and PKCS12 as values: bytes → snapshot, snapshot and a wish → bytes, where that loses nothing.

Pure: no file is opened here. The type is told by the bytes, never by the name, and is never changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import PlanRefused, UnreadableKeystore, WouldLose
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

DEFAULT_PASSWORD = "changeit"  # noqa: S105 - Java's published default, a convention and no secret
LONGEST_ALIAS = 65_535  # bytes, by the two octets of its length in JKS


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
    entry holds, the encrypted key included, so that two states can be compared without opening it. `created` is aware UTC,
    None in PKCS12. `anchor` tells whether a JVM that opens the file without a password, as Allegra does, trusts the certificate.
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
        return None if self.certificate is None else hashlib.sha256(self.certificate).hexdigest()


@dataclass(frozen=True, slots=True)
class Edit:
    """What changes in a keystore: trusted certificates to add (alias → DER), aliases to remove, the date of new entries."""

    add: Mapping[str, bytes]
    remove: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A keystore file at one moment.

    `sha256` is of the whole file, None where it is absent (`exists` False). `integrity_checked` tells whether a password proved
    the file unaltered. `locked` tells that encrypted parts were not read, for want of the password. `notes` says what a reader
    should know, for example that Java takes the file for empty.
    """

    path: Path
    exists: bool
    store_type: StoreType
    sha256: str | None
    entries: tuple[Entry, ...]
    integrity_checked: bool
    locked: bool
    notes: tuple[str, ...]

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The certificates (DER) that a JVM trusts which opens this file without a password, as Allegra does."""
        return tuple(entry.certificate for entry in self.entries if entry.anchor and entry.certificate is not None)

    def entry(self, alias: str) -> Entry | None:
        """Return the entry with this alias, compared as Java does, or None."""
        return next((entry for entry in self.entries if entry.alias == alias.lower()), None)


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


def read(data: bytes | None, path: Path, password: str | None = None) -> Snapshot:
    """Read a keystore's bytes; None stands for a file that is not there.

    Without a password the integrity is not checked and encrypted parts of PKCS12 stay unread, as for Allegra's JVM. Private keys
    are never decrypted. Raises WrongPassword and UnreadableKeystore.
    """
    from allegra_tls_kit import jks_format, pkcs12_format  # noqa: PLC0415 - pyjks is loaded when a keystore is

    if data is None:
        note = "the file does not exist; Java then uses the cacerts of its runtime"
        return Snapshot(path, False, StoreType.JKS, None, (), False, False, (note,))  # noqa: FBT003
    store_type = store_type_of(data, str(path))
    reader = pkcs12_format.read if store_type is StoreType.PKCS12 else jks_format.read
    entries, locked, notes = reader(data, str(path), password)
    checked = password is not None and (store_type is not StoreType.PKCS12 or pkcs12_format.has_mac(data))
    return Snapshot(path, True, store_type, hashlib.sha256(data).hexdigest(), entries, checked, locked, notes)  # noqa: FBT003


def rewrite(data: bytes | None, path: Path, password: str | None, edit: Edit) -> bytes:
    """Return the bytes of the keystore with the edit made and all else kept; a file that is not there becomes JKS.

    Raises PasswordNeeded where the seal has to be renewed and no password is given, WrongPassword, PlanRefused for an alias that
    is taken, and WouldLose where it cannot be done without loss.
    """
    from allegra_tls_kit import jks_format, pkcs12_format  # noqa: PLC0415 - as above

    taken = {entry.alias for entry in read(data, path, password).entries} - edit.remove
    for alias in edit.add:
        if not _java_reads(alias):
            raise WouldLose(
                f"{path}: alias {visible(alias)!r} cannot be written so that Java reads it; choose letters and digits"
            )
        if alias.lower() in taken:
            raise PlanRefused(f"{path}: alias {visible(alias)!r} is taken; choose another, nothing is replaced silently")
        taken.add(alias.lower())
    if data is not None and store_type_of(data, str(path)) is StoreType.PKCS12:
        return pkcs12_format.rewrite(data, str(path), password, edit)
    return jks_format.rewrite(data, str(path), password, edit)


def _java_reads(alias: str) -> bool:
    """Tell whether Java reads an alias back: no characters beyond the first plane, no halves of any, and not too long."""
    return all(c < "\ud800" or "\udfff" < c <= "\uffff" for c in alias) and len(alias.encode()) <= LONGEST_ALIAS
