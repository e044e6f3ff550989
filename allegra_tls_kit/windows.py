"""What Windows needs so that one file can take the place of another: patience, and its access list carried over.

`ReplaceFileW` keeps the access list by itself, but it works in several steps and can leave no file at the name at all (its errors
1176 and 1177). A rename cannot; so the list is put on the new file beforehand, which keeps it under its new name.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.errors import NotWritable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 5.0
"""Seconds for which a file may be in use: a virus scanner or a backup holds one for less, a JVM while it reads its truststore."""
PAUSE = 0.05
_IN_USE = (5, 32, 33)  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
_ACCESS_LIST = 4  # DACL_SECURITY_INFORMATION


def patiently(act: Callable[[], object]) -> None:
    """Do it, again and again for a while where Windows says that the file is in use; raises what the last attempt raised."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            act()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE or time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE)
        else:
            return


def access_list(path: Path) -> bytes | None:
    """Return the security descriptor that holds a file's access list, None where this is no Windows; raises NotWritable."""
    library = _advapi32()
    if library is None:
        return None
    size = ctypes.c_ulong()
    library.GetFileSecurityW(str(path), _ACCESS_LIST, None, 0, ctypes.byref(size))
    descriptor = ctypes.create_string_buffer(size.value)
    if not library.GetFileSecurityW(str(path), _ACCESS_LIST, descriptor, size, ctypes.byref(size)):
        raise NotWritable(f"{path}: its access list cannot be read, and so not be kept; run the change as its owner")
    return descriptor.raw


def give_access_list(path: Path, descriptor: bytes) -> None:
    """Give a file the access list of another; what that inherited stands in it as its own. The owner is not changed."""
    if not _advapi32().SetFileSecurityW(str(path), _ACCESS_LIST, descriptor):
        raise NotWritable(f"{path}: the access list cannot be kept; run the change as the owner of the keystore")


def _advapi32() -> Any:  # noqa: ANN401 - ctypes has no types for it
    load = getattr(ctypes, "WinDLL", None)
    return None if load is None else load("advapi32")
