"""Child processes: somebody who is not root, several at once, one that holds a lock, one that dies in the middle."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


NOBODY = 65534


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
