"""Passwords by reference: where one comes from is said, what it is never is.

A notebook, a record, a command line and a `repr` hold the source (`env:STOREPASS`); the password itself lives only between
`obtain` and the call that needs it.
"""

from __future__ import annotations

import getpass
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from allegra_tls_kit.errors import SecretError
from allegra_tls_kit.keystore import DEFAULT_PASSWORD
from allegra_tls_kit.text import visible

PasswordSource = str | Callable[[], str] | None
"""`env:NAME`, `file:PATH` (its first line), `prompt`, `changeit` (Java's published default), a function; None is no password."""

LONGEST_FILE = 64 * 1024


def obtain(source: PasswordSource, what: str) -> str | None:
    """Return the password, or None where the source is None.

    `what` names the thing in the prompt and in errors. Raises SecretError where the source gives nothing, where nobody can be
    asked (an unattended notebook), and for a string that is no source, which is not repeated: it may be a password.
    """
    if source is None or source == DEFAULT_PASSWORD:
        return source
    if callable(source):
        return source()
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise SecretError(f"{what}: the environment variable {name} is not set in this process")
        return os.environ[name]
    if kind == "file" and name:
        return _first_line(name, what)
    if source == "prompt":
        return _asked(what)
    raise SecretError(
        f"{what}: not a source of a password; write prompt, env:NAME, file:PATH or changeit, never the password itself"
    )


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
