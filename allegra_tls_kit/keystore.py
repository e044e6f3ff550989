"""JKS and PKCS12 as values: bytes → snapshot, snapshot and a wish → bytes, where that loses nothing.

Pure: no file is opened here. The type is told by the bytes, never by the name, and is never changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.entry import Edit, Entry, EntryKind, StoreType, store_type_of
from allegra_tls_kit.errors import PlanRefused, WouldLose
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_PASSWORD", "Edit", "Entry", "EntryKind", "Snapshot", "StoreType", "read", "rewrite", "store_type_of"]

DEFAULT_PASSWORD = "changeit"  # noqa: S105 - Java's published default, a convention and no secret
LONGEST_ALIAS = 65_535  # bytes, by the two octets of its length in JKS


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
    if not any(entry.anchor for entry in entries):
        notes = (*notes, "Java finds nothing to trust in this file (the trustAnchors parameter must be non-empty)")
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
