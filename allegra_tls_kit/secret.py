"""Passwords by reference: where one comes from is said, what it is never is.

A notebook, a record, a command line and a `repr` hold the source (`env:STOREPASS`); the password itself lives only between
`obtain` and the call that needs it, and on this way no traceback shows it, not even one that shows local variables.
"""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, SupportsIndex

from allegra_tls_kit.errors import SecretError
from allegra_tls_kit.keystore import DEFAULT_PASSWORD
from allegra_tls_kit.text import visible

PasswordSource = str | Callable[[], str] | None
"""`env:NAME`, `file:PATH` (its first line), `prompt`, `changeit` (Java's published default), a function; None is no password."""

LONGEST_FILE = 64 * 1024


class _Hidden(str):
    """A password that shows nowhere: whoever wants it has to encode it, as keystores do."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a password>"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise TypeError("a password is neither copied nor pickled")


def obtain(source: PasswordSource, what: str) -> str | None:
    """Return the password, or None where the source is None.

    What is returned encodes and compares as text does, and shows itself as `<a password>`. `what` names the thing in the prompt
    and in errors. Raises SecretError where the source gives nothing, where nobody can be asked (an unattended notebook), and for
    a string that is no source, which is not repeated: it may be a password.
    """
    if source is None or source == DEFAULT_PASSWORD:
        return source
    return _Hidden(_had(source, what))


def _had(source: str | Callable[[], str], what: str) -> str:
    if callable(source):
        return _given(source, what)
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise SecretError(f"{what}: the environment variable {visible(name)} is not set in this process")
        return os.environ[name]
    if kind == "file" and name:
        return _first_line(name, what)
    if source == "prompt":
        return _asked(what)
    raise SecretError(
        f"{what}: not a source of a password; write prompt, env:NAME, file:PATH or changeit, never the password itself"
    )


def _given(source: Callable[[], str], what: str) -> str:
    try:
        password = source()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's function raises; its message may hold what it should give
        raise SecretError(f"{what}: the function that gives it failed with {type(error).__name__}; try it by itself") from None
    if isinstance(password, str):
        return password
    kind = type(password).__name__  # a password store says None where it has none; that is no wish to go on without
    del password  # or a traceback could show it
    raise SecretError(f"{what}: the function that gives it gave {kind}, not text; try it by itself")


def _first_line(name: str, what: str) -> str:
    try:
        with Path(name).expanduser().open(encoding="utf-8-sig") as file:
            return file.readline(LONGEST_FILE).rstrip("\r\n")
    except (OSError, ValueError, RuntimeError) as error:  # not UTF-8, a zero in the name, the home of nobody
        reason = getattr(error, "strerror", None) or "not a text file"
        raise SecretError(f"{what}: no password from {visible(name)}: {reason}") from None


def _asked(what: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would read on, and show what is typed
            return getpass.getpass(f"{what}: ")
    except (EOFError, RuntimeError, getpass.GetPassWarning):  # ipykernel's StdinNotImplementedError is a RuntimeError
        raise SecretError(f"{what}: nobody can be asked here; for an unattended run use env:NAME or file:PATH") from None
