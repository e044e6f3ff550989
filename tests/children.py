"""Child processes: somebody who is not root, several at once, one that holds a lock, one that dies, one with its own mounts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from _typeshed import HasFileno


NOBODY = 65534
NEW_MOUNTS, NEW_USERS = 0x20000, 0x10000000  # clone(2)


def as_nobody(act: Callable[[], object]) -> str:
    """Run this as uid and gid 65534 where we are root; return the error as `Class: message`, or what came back as text."""

    def humble() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return act()

    return at_once(humble)[0]


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Run each in a process of its own, all at the same time; return what came back as text, an error as `Class: message`."""
    started = [_started(act) for act in acts]
    said = []
    for process, reading in started:
        with os.fdopen(reading) as file:
            said.append(file.read())
        os.waitpid(process, 0)
    return said


def _started(act: Callable[[], object]) -> tuple[int, int]:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the laboratory's threads may be about; no child needs them
        process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    said = ""
    try:
        said = str(act())
    except BaseException as error:  # noqa: BLE001 - it is what was asked for
        said = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, said.encode())
        os._exit(0)


@contextmanager
def elsewhere(context: AbstractContextManager[None]) -> Iterator[None]:
    """Keep a context open in another process for as long as this one lasts."""
    reading, writing = os.pipe()
    waiting, ending = os.pipe()

    def held() -> None:
        os.close(ending)
        with context:
            os.write(writing, b".")
            os.read(waiting, 1)

    process, said = _started(held)
    os.close(writing)
    assert os.read(reading, 1) == b"."
    try:
        yield
    finally:
        for descriptor in (ending, waiting, reading, said):
            os.close(descriptor)
        os.waitpid(process, 0)


def running(act: Callable[[], object]) -> tuple[int, Callable[[], str]]:
    """Start this in a process of its own; return its id, and what waits for it and gives what came back as text."""
    process, reading = _started(act)

    def ended() -> str:
        with os.fdopen(reading) as file:
            said = file.read()
        os.waitpid(process, 0)
        return said

    return process, ended


# --- one that dies ---------------------------------------------------------------------------------------------------------


def dies_at(instant: int, act: Callable[[], object]) -> bool:
    """Run this in a process that is killed at one of its dealings with files; return False where it had fewer of them.

    They are every call that opens, makes, renames, removes, locks or alters a file, and besides the moments before, within and
    after each write and sync: whatever state a disk can be left in by a kill is met at one instant or another.
    """

    def doomed() -> str:
        _die_at(instant)
        act()
        return "alive"

    (said,) = at_once(doomed)
    assert said in {"", "alive"}, said
    return not said


def _die_at(instant: int) -> None:
    left = [instant]

    def dealing(event: str = "open", _: object = None) -> None:
        if event == "open" or event.startswith(("os.", "fcntl.")):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(dealing)
    fdopen, fsync = os.fdopen, os.fsync

    def synced(fd: int | HasFileno) -> None:
        dealing()
        fsync(fd)
        dealing()

    os.fdopen = lambda *arguments, **options: _Torn(fdopen(*arguments, **options), dealing)  # type: ignore[assignment]
    os.fsync = synced


class _Torn:
    """A file that writes in two halves, each through to the operating system."""

    def __init__(self, file: IO[Any], dealing: Callable[[], None]) -> None:
        self._file, self._dealing = file, dealing

    def write(self, data: bytes) -> None:
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self._dealing()
            self._file.write(part)
            self._file.flush()
        self._dealing()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file has
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# --- one with its own mounts -----------------------------------------------------------------------------------------------


def with_own_mounts(act: Callable[[], object]) -> str:
    """Run this where nobody else sees what it mounts, as root or as root of a user namespace; return what came back as text."""

    def apart() -> object:
        user, group = os.geteuid(), os.getegid()
        if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | (NEW_USERS if user else 0)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        mount("--make-rprivate", "/")
        return act()

    return at_once(apart)[0]


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, stdin=subprocess.DEVNULL)
