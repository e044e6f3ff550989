"""A file of results, written whole or not at all: beside its place first, to the disk, and then in one step over what was there.

For what can be made again. A keystore has a door of its own, and a journal is only added to.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import ExportError
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection

_MODE = 0o666
"""Less what the umask takes away, as for every new file of this user."""
_LOOKED_AT = 64 * 1024
_KEY = b"PRIVATE KEY-----"
_JOURNAL = re.compile(rb'\{"at":"[^"]*","kind":"Opened"')


def put_file(path: str | os.PathLike[str], data: bytes, endings: Collection[str]) -> Path:
    """Write a file whose name must end in one of `endings`, over one of the same name; return its path.

    Links are followed, the rights of a file that was there are kept. Raises ExportError, also where a journal
    or a private key would be lost.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in endings:
        wanted = " or ".join(endings)
        raise ExportError(
            f"{visible(str(path))}: the name has to end in {wanted}, so that nothing else is overwritten by mistake"
        )
    try:
        place = path.resolve()
        if place.exists() or place.is_symlink():
            _require_replaceable(place)
        _replace(place, data)
    except (OSError, RuntimeError, ValueError) as error:  # before Python 3.13 a link to itself; a name with a NUL
        if isinstance(error, ExportError):
            raise
        raise ExportError(f"{visible(str(path))}: cannot be written: {_reason(error)}") from None
    return path


def _require_replaceable(place: Path) -> None:
    if not place.is_file():  # a folder, a device, a link that leads to itself
        raise ExportError(f"{visible(str(place))}: there is something of this name that is no file; choose another name")
    if not os.access(place, os.W_OK):
        raise ExportError(f"{visible(str(place))}: write-protected; choose another name, or allow writing it")
    with place.open("rb") as file:
        begin = file.read(_LOOKED_AT)
    if _KEY in begin or _JOURNAL.match(begin):
        kept = "a private key" if _KEY in begin else "a journal"
        raise ExportError(f"{visible(str(place))}: {kept}, which cannot be made again; choose another name")


def _replace(place: Path, data: bytes) -> None:
    """Write beside a file, and rename over it; the name in between is nobody's."""
    made = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            made.chmod(place.stat().st_mode & 0o777)
        made.replace(place)
    finally:
        with contextlib.suppress(OSError):  # whatever went wrong before is what has to be said
            made.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such folder; make it first"
    if isinstance(error, PermissionError):
        return "permission denied; it may be open in another program, as Excel keeps what it shows, or the folder is not yours"
    return visible(getattr(error, "strerror", None) or str(error))
