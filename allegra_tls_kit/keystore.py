"""JKS and PKCS12 as values: bytes → snapshot, snapshot and a wish → bytes, where that loses nothing.

Pure: no file is opened here. The type is told by the bytes, never by the name, and is never changed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit import jks_format, pkcs12_format
from allegra_tls_kit.certificate import load
from allegra_tls_kit.entry import Edit, Entry, EntryKind, StoreType, store_type_of
from allegra_tls_kit.errors import CertificateError, WouldLose, WrongPassword
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_PASSWORD", "Edit", "Entry", "EntryKind", "Snapshot", "StoreType", "read", "rewrite", "store_type_of"]

DEFAULT_PASSWORD = "changeit"  # noqa: S105 - Java's published default, a convention and no secret
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A keystore file at one moment.

    `sha256` is of the whole file, None where it is absent (`exists` False). `integrity_checked` tells whether a password proved
    the file unaltered. `locked` tells that encrypted parts were not read, for want of the password. `notes` says what a reader
    should know, for example that Java takes the file for empty. `place` is the file that `path` led to as it was read, links
    resolved, None where only bytes were read.
    """

    path: Path
    exists: bool
    store_type: StoreType
    sha256: str | None
    entries: tuple[Entry, ...]
    integrity_checked: bool
    locked: bool
    notes: tuple[str, ...]
    place: Path | None = None

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The certificates (DER) that a JVM trusts which opens this file without a password, as Allegra does."""
        return tuple(entry.certificate for entry in self.entries if entry.anchor and entry.certificate is not None)

    def entry(self, alias: str) -> Entry | None:
        """Return the entry with this alias, compared as Java does, or None; of several the one that Java finds."""
        wanted = alias.lower()
        found = [entry for entry in self.entries if entry.alias == wanted]
        return next((entry for entry in found if entry.anchor), found[-1] if found else None)


def no_certificate_in(snapshot: Snapshot) -> str | None:
    """Return the alias of the first entry whose certificate cannot be read, so that Java loads nothing of the store; or None."""
    for entry in snapshot.entries:
        try:
            if entry.certificate is not None:
                load(entry.certificate)
        except CertificateError:
            return entry.alias
    return None


def read(data: bytes | None, path: Path, password: str | None = None) -> Snapshot:
    """Read a keystore's bytes; None stands for a file that is not there.

    Without a password the integrity is not checked and encrypted parts of PKCS12 stay unread, as for Allegra's JVM. Private keys
    are never decrypted. Raises WrongPassword and UnreadableKeystore.
    """
    if data is None:
        note = "the file does not exist; Java then uses the cacerts of its runtime"
        return Snapshot(path, False, StoreType.JKS, None, (), False, False, (note,))  # noqa: FBT003
    store_type = store_type_of(data, str(path))
    _require_text(password, path)
    held = (pkcs12_format if store_type is StoreType.PKCS12 else jks_format).read(data, str(path), password)
    notes = held.notes
    if not any(entry.anchor for entry in held.entries):
        notes = (*notes, "Java finds nothing to trust in this file (the trustAnchors parameter must be non-empty)")
    digest = hashlib.sha256(data).hexdigest()
    return Snapshot(path, True, store_type, digest, held.entries, held.integrity_checked, held.locked, notes)  # noqa: FBT003


def rewrite(data: bytes | None, path: Path, password: str | None, edit: Edit) -> bytes:
    """Return the bytes of the keystore with the edit made and all else kept; a file that is not there becomes JKS.

    Raises PasswordNeeded where the seal has to be renewed and no password is given, WrongPassword, PlanRefused for an alias that
    is taken, and WouldLose where it cannot be done without loss.
    """
    for alias in edit.add:
        if _HALF.search(alias):
            raise WouldLose(f"{path}: alias {visible(alias)!r} holds half a character; choose letters and digits")
    _require_text(password, path)
    if data is not None and store_type_of(data, str(path)) is StoreType.PKCS12:
        return pkcs12_format.rewrite(data, str(path), password, edit)
    return jks_format.rewrite(data, str(path), password, edit)


def _require_text(password: str | None, path: Path) -> None:
    """Notice a password from an environment in another encoding than this process takes it for."""
    if password is not None and _HALF.search(password):
        raise WrongPassword(f"{path}: the password holds bytes that are no text here; set LC_ALL to the encoding that it is in")
