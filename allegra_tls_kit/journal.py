"""The append-only file of what was seen, decided and done: JSON Lines, each line carrying the SHA-256 of the one before it.

A changed, missing or doubled line shows, unless nothing follows it; that is no signature, and whoever can write the file can
write all of it anew.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import ssl
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from allegra_tls_kit.errors import JournalError
from allegra_tls_kit.events import Opened, event_line
from allegra_tls_kit.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable

_Value = TypeVar("_Value")

MODE = 0o640
LONGEST_JOURNAL = 256 * 1024 * 1024
_VERSIONS_OF = ("allegra-tls-kit", "cryptography", "pyjks", "filelock")


class Journal:
    """A journal file; made with its folder where there is none, continued where there is one.

    One writer at a time: a second one is noticed, and refused. Raises JournalError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the journal and note who opens it, where, and with which versions."""
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._previous, self._size = _tail(self.path)
        except OSError as error:
            raise JournalError(f"{self.path}: the journal cannot be opened: {error.strerror}; begin a new one") from None
        self.keep(Opened(_operator(), platform.node(), platform.platform(), _versions()))

    def keep(self, value: _Value) -> _Value:
        """Write one value as an event, through to the disk, and return the value.

        Takes every value of this kit that is a dataclass; what it holds is written as it stands, so nothing secret may be in it.
        Raises TypeError for anything else, JournalError where it cannot be written, or somebody else has written in between.
        """
        self._write((value,), wait=True)
        return value

    def keep_all(self, values: Iterable[_Value]) -> tuple[_Value, ...]:
        """Write each value as an event of its own, all of them in one go, and return them; raises as `keep` does."""
        values = tuple(values)
        self._write(values, wait=True)
        return values

    def intend(self, *values: object) -> None:
        """Write values as `keep_all` does and do not wait for the disk: whatever is kept next takes them there.

        For what nothing rests upon before that. The end of this process does not lose them, a power failure may.
        """
        self._write(values, wait=False)

    def _write(self, values: Iterable[object], *, wait: bool) -> None:
        previous, lines = self._previous, []
        for value in values:
            lines.append(event_line(value, at=datetime.now(UTC), previous=previous))
            previous = hashlib.sha256(lines[-1]).hexdigest()
        data = b"".join(line + b"\n" for line in lines)
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
            with os.fdopen(descriptor, "ab") as file:
                alone = file.tell() == self._size
                if alone:
                    file.write(data)
                    file.flush()
                    if wait:
                        os.fsync(file.fileno())
        except OSError as error:
            raise JournalError(f"{self.path}: the journal cannot be written: {error.strerror or error}") from None
        if not alone:
            raise JournalError(
                f"{self.path}: not as this journal left it: somebody else writes to it, or a write failed; open one of your own"
            )
        self._previous, self._size = previous, self._size + len(data)


def _tail(path: Path) -> tuple[str | None, int]:
    """Return the digest of the last line and the size; a line torn by a crash is ended, so that it stands as what it is."""
    try:
        data = read_bounded(path, LONGEST_JOURNAL)
    except FileNotFoundError:
        return None, 0
    if not data:
        return None, 0
    if not data.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
        data += b"\n"
    return hashlib.sha256(data[:-1].rpartition(b"\n")[2]).hexdigest(), len(data)


@cache
def _versions() -> dict[str, str]:
    """Return what is at work in this process; looking it up takes longer than all else that opening a journal does."""
    of = {name: version(name) for name in _VERSIONS_OF}
    return of | {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}


def _operator() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a uid without a name, as in many containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
