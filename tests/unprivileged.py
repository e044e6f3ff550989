"""What happens to somebody who is not root, tried out in a child process that gives up its privileges."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534


def as_nobody(act: Callable[[], object]) -> str:
    """Run this as uid and gid 65534 where we are root; return the error as `Class: message`, or what came back as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "the child died"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            said = str(act())
        except BaseException as error:  # noqa: BLE001 - it is what was asked for
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said
