"""One file, replaced in one step: before it the old bytes, after it the new ones, never anything else.

A copy is prepared in the same folder, as the file is that it is for, brought to the disk, read back, and renamed over it. The
caller follows links. The lock keeps out other processes of this kit. keytool knows no lock and writes in place; what it wrote
before the last look, or writes into the old file while that is replaced, is noticed (`held`). What cannot be: a program that read
the file before the swap and writes it afterwards, from what it had read; and one that puts a file of its own at this name between
the last look and the swap, which are microseconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from allegra_tls_kit import windows
from allegra_tls_kit.errors import KeystoreLocked, NotWritable
from allegra_tls_kit.files import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

    from allegra_tls_kit.attributes import Attributes

LOCK_PATIENCE = 30.0
NEW_FILE_MODE = 0o644
"""Trusted certificates are public, and the service's user has to read them: Java passes over a store that it cannot read."""
NEW_FOLDER_MODE = 0o755
_PREPARED = ".tmp"
_RANDOM = 8
"""Characters that `tempfile` puts into a name."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the file for as long as the context lasts, its folder made if need be.

    The lock file stays; the lock itself ends with its process, however that ends. What a change that was killed had prepared is
    cleared away: who holds the lock prepares, and nobody else. Raises KeystoreLocked after half a minute, and NotWritable.
    """
    name = path.parent / f".{path.name}.lock"
    lock = FileLock(name, timeout=LOCK_PATIENCE)
    try:
        _make_folder(path.parent)
        _require_own(name)
        lock.acquire()
    except Timeout:
        raise KeystoreLocked(f"{path}: another change to it has been going on for {LOCK_PATIENCE:g} s; look who it is") from None
    except OSError as error:
        raise NotWritable(
            f"{path}: this user may not write its folder, or the lock file in it: {error.strerror or error}"
        ) from None
    try:
        _clear_away(path)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def prepared(path: Path, data: bytes, like: Attributes | None, *, folder: Path | None = None) -> Iterator[Path]:
    """Have data in a new file beside `path`, or in `folder`: on the disk, read back, and as the file in `like` in all else.

    It is gone when the context ends, unless it has got another name by then. Raises NotWritable and OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PREPARED, dir=folder or path.parent)
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            file.write(data)
            file.flush()
            if like is not None:
                like.give_to(made, file.fileno())
            elif os.name != "nt":  # which has no such modes
                os.chmod(file.fileno(), NEW_FILE_MODE)  # noqa: PTH101 - a descriptor has no methods
            os.fsync(file.fileno())
            file.seek(0)
            whole = file.read() == data
        if not whole:
            raise NotWritable(f"{made}: this file system does not give back what was written to it; the keystore is as it was")
        yield made
    finally:
        with contextlib.suppress(OSError):  # whatever went wrong before is what has to be said
            made.unlink(missing_ok=True)


def keep_copy(path: Path, data: bytes, like: Attributes | None, copy: Path) -> None:
    """Write data to `copy`, through to the disk and as `path` in all else; whole, or not at all, and never over another file."""
    try:
        with prepared(path, data, like, folder=copy.parent) as made:
            put_new(made, copy)
        sync_folder(copy.parent)
    except OSError as error:
        if isinstance(error, NotWritable):
            raise
        raise NotWritable(
            f"{copy}: the backup cannot be written: {error.strerror or error}; the keystore is as it was"
        ) from error


def put_new(made: Path, path: Path) -> None:
    """Give a prepared file its name, which no file may have; raises FileExistsError."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    made.replace(path)


def put_over(made: Path, path: Path) -> None:
    """Let a prepared file take the place of another, in one step."""
    windows.patiently(lambda: made.replace(path))


def take_away(path: Path) -> None:
    """Remove a file."""
    windows.patiently(path.unlink)


@contextlib.contextmanager
def held(path: Path, data: bytes | None) -> Iterator[Callable[[], bool]]:
    """Keep a file open, and give what tells at any moment whether it holds data; None stands for a file that is not there.

    It goes on telling of this file when another has taken its name: who opened it before writes to what is no longer there.
    """
    try:
        file = open_file(path)
    except FileNotFoundError:
        yield lambda: data is None
        return
    with file:
        if os.name != "nt":
            yield lambda: _holds(file, data)
            return
        same = _holds(file, data)
    yield lambda: same  # Windows replaces no file that is open, whoever has it open


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a rename outlasts a power failure."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no such thing
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(file: FileIO, data: bytes | None) -> bool:
    if data is None or os.fstat(file.fileno()).st_size != len(data):
        return False
    file.seek(0)
    return file.read() == data


def _clear_away(path: Path) -> None:
    """Remove what was prepared for this file and never took its place."""
    begin = f".{path.name}."
    length = len(begin) + _RANDOM + len(_PREPARED)  # of a store whose name begins with this one's and a dot it is another
    with os.scandir(path.parent) as files:
        names = [file.name for file in files if file.name.startswith(begin) and file.name.endswith(_PREPARED)]
    for name in names:
        if len(name) == length:
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()


def _require_own(lock: Path) -> None:
    """Refuse a lock file that is another file as well, which some versions of filelock would empty."""
    with contextlib.suppress(FileNotFoundError):
        state = lock.lstat()
        if stat.S_ISLNK(state.st_mode) or state.st_nlink > 1:
            raise OSError(f"{lock.name} is a link, or a file with another name; look who put it there, and remove it")


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it; whatever the umask, the service's user has to come in."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(NEW_FOLDER_MODE)
        sync_folder(folder.parent)
