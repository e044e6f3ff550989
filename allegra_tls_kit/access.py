"""Whether Java finds a file and may read it, told from outside for the user that a process runs as.

Rule: owner, group and mode are looked at, and nothing is opened. Access control lists, SELinux and the file system of a container
are not looked at; where this matters, ask as that user.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from allegra_tls_kit.text import visible

_READ, _ENTER = 4, 1
_MAY_READ_ANYTHING = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7)."""
_THIS_USER = "this user (Allegra's own is not known)"


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """The user of a process, as far as it decides who may read what; `overrides` means that no mode stops it, as for root."""

    pid: int
    uid: int
    groups: frozenset[int]
    overrides: bool

    def __str__(self) -> str:
        """Return the words that stand for this user in a sentence."""
        return f"user {self.uid} of process {self.pid}"

    def may(self, right: int, state: os.stat_result) -> bool:
        """Tell whether this right (4 to read, 1 to enter a folder) is given by owner, group and mode."""
        shift = 6 if state.st_uid == self.uid else 3 if state.st_gid in self.groups else 0
        return self.overrides or bool(state.st_mode >> shift & right)


@dataclass(frozen=True, slots=True)
class Access:
    """What Java finds at a path: `exists` as its `File.exists`, `readable` as `isFile` and `canRead` together.

    `readable` is None where it cannot be told from here. `words` says what is in the way; empty where nothing is.
    """

    exists: bool
    readable: bool | None
    words: str


def user_of(pid: int) -> ServiceUser | None:
    """Return the user of a running process from Linux' /proc; None on other systems, and for a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        uid, gid = (int(fields[name].split()[3]) for name in ("Uid", "Gid"))  # the fourth is the one that files are opened with
        groups = frozenset({gid, *map(int, fields["Groups"].split())})
        return ServiceUser(pid, uid, groups, bool(int(fields["CapEff"], 16) & _MAY_READ_ANYTHING))
    except (OSError, KeyError, ValueError, IndexError):
        return None


def access(path: Path, user: ServiceUser | None) -> Access:
    """Tell what Java finds at this path when it runs as this user; None stands for the user who asks."""
    try:
        state = path.stat()
        closed = None if user is None else _closed_folder(path, user)
    except PermissionError:
        hidden = f"lies in a folder that {_THIS_USER if user is None else 'this user'} may not enter"
        return Access(exists=False, readable=False if user is None else None, words=hidden)
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        target = f", a link to {visible(os.path.realpath(path))}" if path.is_symlink() else ""
        return Access(exists=False, readable=False, words=f"does not exist{target}")
    if closed is not None:
        return Access(exists=False, readable=False, words=f"lies in {visible(str(closed))}, which may not be entered by {user}")
    if not stat.S_ISREG(state.st_mode):
        what = "is a folder" if stat.S_ISDIR(state.st_mode) else "is no regular file"
        return Access(exists=True, readable=False, words=what)
    if os.access(path, os.R_OK) if user is None else user.may(_READ, state):
        return Access(exists=True, readable=True, words="")
    mode = f"owner {state.st_uid}, group {state.st_gid}, mode {stat.S_IMODE(state.st_mode):04o}"
    return Access(exists=True, readable=False, words=f"may not be read by {user or _THIS_USER} ({mode})")


def _closed_folder(path: Path, user: ServiceUser) -> Path | None:
    """Return the first folder on the way to this file, and to the one that it links to, which the user may not enter."""
    folders = sorted({*path.absolute().parents, *Path(os.path.realpath(path)).parents})
    return next((folder for folder in folders if not user.may(_ENTER, folder.stat())), None)
