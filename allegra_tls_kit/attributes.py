"""What a file is besides its bytes: looked at, refused where a replacement could not keep it, and given to the replacement."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit import windows
from allegra_tls_kit.errors import NotWritable
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

MOUNTS = Path("/proc/self/mountinfo")
_OF_THE_CONTENT = frozenset({"security.ima", "security.evm"})
"""Digests of what was in the old file, which the kernel makes for the new one."""
_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Attributes:
    """Mode, owner, group and time of a file, its extended attributes, and on Windows its access list."""

    path: Path
    state: os.stat_result
    extended: Mapping[str, bytes]
    access_list: bytes | None

    def give_to(self, made: Path, descriptor: int) -> None:
        """Make another open file as this one is, but for its bytes, and younger; raises NotWritable where that cannot be.

        It is known by its descriptor where there is such a thing: whoever can write the folder may have put a link at its name.
        """
        at = made if os.name == "nt" else descriptor
        self._give_owner(at, made.parent)
        self._give_extended(at, made.parent)
        # Last, so that nobody may read in between who may not in the end.
        os.chmod(at, stat.S_IMODE(self.state.st_mode))  # noqa: PTH101 - a descriptor has no methods
        if self.access_list is not None:
            windows.give_access_list(made, self.access_list)
        # By a second at least: a JVM takes a file with a time it knows for the one it knows, and Java 8 compares whole seconds.
        later = self.state.st_mtime_ns + _SECOND
        if os.stat(at).st_mtime_ns < later:  # noqa: PTH116 - as above
            os.utime(at, ns=(later, later))

    def _give_owner(self, at: int | Path, folder: Path) -> None:
        state, now = self.state, os.stat(at)  # noqa: PTH116 - as above
        if not hasattr(os, "chown") or (state.st_uid, state.st_gid) == (now.st_uid, now.st_gid):
            return
        try:
            os.chown(at, state.st_uid, state.st_gid)
        except PermissionError:
            raise NotWritable(
                f"{self.path}: its owner and group cannot be kept by this user in {folder}; run the change as its owner"
            ) from None

    def _give_extended(self, at: int | Path, folder: Path) -> None:
        had = _extended(at)
        for name in had.keys() - self.extended.keys():
            if not name.startswith("security."):  # what the folder hands down: its default access list
                os.removexattr(at, name)
        for name, value in self.extended.items():
            try:
                if had.get(name) != value:
                    os.setxattr(at, name, value)
            except OSError as error:
                if error.errno == errno.ENOTSUP and not name.startswith("system."):
                    continue  # a backup on a file system that has none; of an access list that would open the file
                reason = f"its attribute {visible(name)} cannot be kept in {folder}: {error.strerror}"
                raise NotWritable(f"{self.path}: {reason}; run the change as its owner") from None


def attributes_of(path: Path) -> Attributes | None:
    """Return what a file is, None where there is none."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return Attributes(path, state, _extended(path), windows.access_list(path))


def require_replaceable(path: Path) -> Attributes | None:
    """Return what the file is, None where there is none; raise NotWritable where a rename would not keep what it is."""
    found = attributes_of(path)
    if found is None:
        return None
    if not stat.S_ISREG(found.state.st_mode):
        raise NotWritable(f"{path}: not a regular file")
    if found.state.st_nlink > 1:
        raise NotWritable(
            f"{path}: the file has {found.state.st_nlink} hard links, which a replacement would tear apart; change a copy"
        )
    if not os.access(path, os.W_OK):
        raise NotWritable(f"{path}: this user may not write it (its mode, or chattr +i); run the change as its owner")
    return found


def require_own_root(path: Path) -> None:
    """Raise NotWritable for a path by way of another process, as /proc/4711/root/…: resolved, it names a file of this host."""
    if re.match(r"/proc/[^/]+/(task/[^/]+/)?(root|cwd)/", os.path.abspath(path)):  # noqa: PTH100 - links not resolved
        raise NotWritable(
            f"{path}: this leads through another process, perhaps into its container, and cannot be changed from here; change it "
            "in the container, or the volume that it comes from"
        )


def require_no_loose_link(path: Path) -> None:
    """Raise NotWritable where the way to a file has a link that leads nowhere: what is at its other end would be made."""
    for link in (path, *path.parents):
        if os.path.islink(link) and not os.path.exists(link):  # noqa: PTH110, PTH114 - those of Path raise where nobody may look
            target = visible(os.path.realpath(link))
            raise NotWritable(
                f"{path}: {link} is a link that leads nowhere ({target}); make what it should lead to, or remove it"
            )


def require_no_mount(path: Path) -> None:
    """Raise NotWritable where a file is mounted by itself, as single files are into containers: nothing can take its place.

    Seen from here, that is: whoever has this file mounted into a container keeps the old one until the container is restarted.
    """
    try:
        mounts = MOUNTS.read_bytes()
    except OSError:
        return  # no Linux; the rename tells
    # proc(5), proc_pid_mountinfo(5): the mount point is the fifth field, blanks and backslashes in octal
    name = b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in os.fsencode(path))
    if b" " + name + b" " in mounts and any(line.split(b" ", 5)[4] == name for line in mounts.splitlines()):
        raise NotWritable(
            f"{path}: this file is mounted by itself (into a container, perhaps), so no other can take its place; change it "
            "where it comes from and start the container anew, or mount its folder instead"
        )


def _extended(path: int | Path) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}  # only Linux has them
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path) if name not in _OF_THE_CONTENT}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
