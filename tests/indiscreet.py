"""A program that changes a keystore and tells all that it can: every value, every library's log, local variables of what fails.

Arguments: where the password comes from, how it ends, the store, what stands in for Java, a key to sign the record with.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING, NoReturn, TextIO

import allegra_tls_kit as kit
from allegra_tls_kit import candidate

if TYPE_CHECKING:
    from types import TracebackType

    from allegra_tls_kit.secret import PasswordSource
    from allegra_tls_kit.witness import Witness


def main(way: str, ending: str, store: str, java: str, key: str) -> None:
    logging.basicConfig(level=logging.DEBUG, filename="debug.log")
    sys.excepthook = with_local_variables
    if way == "prompt":  # whoever leads a session gets a terminal for its own by opening it, and getpass asks there
        os.close(os.open(os.ttyname(0), os.O_RDWR))
    password: PasswordSource = (lambda: sys.stdin.readline().removesuffix("\n")) if way == "function" else way
    if ending == "traceback":
        vars(candidate)["differences"] = broken
    read = kit.read_keystore(store, None if ending == "failure" else password)
    plan = kit.plan_import(read, kit.read_certificates("new.pem"), purpose="trust the mail server")
    journal = kit.open_journal("", "indiscreet")
    witness: Witness = killed if ending == "killed" else functools.partial(kit.jvm_anchors, java=Path(java))
    applied = kit.apply(plan, journal, confirm=plan.id, password=password, witness=witness)
    record = kit.write_record(journal, sign_with=key, passphrase=password)
    for value in (read, plan, applied, record, kit.read_record(record.path)):
        tell(sys.stdout, repr(value), kit.show(value))
    tell(sys.stdout, vars(journal), dict(globals()), dict(locals()))


def with_local_variables(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    tell(sys.stderr, *TracebackException.from_exception(error, capture_locals=True).format())


def tell(stream: TextIO, *values: object) -> None:
    stream.writelines(f"{value}\n" for value in values)


def broken(*_: object) -> NoReturn:
    raise RuntimeError("something that nobody has thought of")


def killed(_: Path) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    main(*sys.argv[1:])
