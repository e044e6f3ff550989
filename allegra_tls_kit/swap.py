"""One file, replaced in one step: before it the old bytes, after it the new ones, never anything else.

A copy is prepared in the same folder with the mode, owner, group and extended attributes of the file it is for, brought to the
disk, and renamed over it. Links are followed, the file they point to is replaced. The modification time is new on purpose: a
JVM serves a store with the old one from its cache.
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

from allegra_tls_kit.errors import KeystoreLocked, NotWritable

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_PATIENCE = 10.0
NEW_FILE_MODE = 0o644
"""Trusted certificates are public, and the service's user has to read them: Java passes over a store that it cannot read."""
NEW_FOLDER_MODE = 0o755


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the file for as long as the context lasts, its folder made if need be.

    It keeps out other processes of this kit; keytool knows no lock. Raises KeystoreLocked after ten seconds, and NotWritable.
    """
    lock = FileLock(path.parent / f".{path.name}.lock", timeout=LOCK_PATIENCE)
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            path.parent.chmod(NEW_FOLDER_MODE)  # whatever the umask: the service's user has to come in
        lock.acquire()
    except Timeout:
        raise KeystoreLocked(f"{path}: another change to it has been going on for {LOCK_PATIENCE:g} s; look who it is") from None
    except OSError as error:
        raise NotWritable(
            f"{path}: this user may not write its folder, or the lock file in it: {error.strerror or error}"
        ) from None
    try:
        yield
    finally:
        lock.release()


def require_replaceable(path: Path) -> os.stat_result | None:
    """Return what the file is, None where there is none; raise NotWritable where a rename would not keep what it is."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(state.st_mode):
        raise NotWritable(f"{path}: not a regular file")
    if state.st_nlink > 1:
        raise NotWritable(
            f"{path}: the file has {state.st_nlink} hard links, which a replacement would tear apart; change a copy"
        )
    if not os.access(path, os.W_OK):
        raise NotWritable(f"{path}: this user may not write it; run the change as its owner")
    return state


def prepare(path: Path, data: bytes, like: os.stat_result | None) -> Path:
    """Write data to a new file beside `path`, through to the disk, and return it; mode, owner, attributes are the old one's."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    prepared = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _keep_what_it_is(prepared, path, like)
            os.fsync(file.fileno())
    except BaseException:
        prepared.unlink(missing_ok=True)
        raise
    return prepared


def keep_copy(path: Path, data: bytes, like: os.stat_result, copy: Path) -> None:
    """Write data to `copy`, in the folder of `path` and through to the disk; it is as `path` in all else, or not there."""
    prepared = prepare(path, data, like)
    try:
        prepared.replace(copy)
    except BaseException:
        prepared.unlink(missing_ok=True)
        raise
    sync_folder(copy.parent)


def _keep_what_it_is(prepared: Path, path: Path, like: os.stat_result | None) -> None:
    if like is None:
        prepared.chmod(NEW_FILE_MODE)
        return
    prepared.chmod(stat.S_IMODE(like.st_mode))
    made = prepared.stat()
    if hasattr(os, "chown") and (like.st_uid, like.st_gid) != (made.st_uid, made.st_gid):
        try:
            os.chown(prepared, like.st_uid, like.st_gid)
        except PermissionError:
            raise NotWritable(f"{path}: its owner and group cannot be kept by this user; run the change as its owner") from None
    for attribute in _attributes(path):
        try:
            os.setxattr(prepared, attribute, os.getxattr(path, attribute))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def _attributes(path: Path) -> list[str]:
    if not hasattr(os, "listxattr"):
        return []  # only Linux has them
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a rename outlasts a power failure."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no such thing
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
