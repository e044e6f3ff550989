from __future__ import annotations

import copy
import getpass
import os
import pickle
import subprocess
import sys
from traceback import TracebackException
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit.errors import SecretError
from allegra_tls_kit.secret import LONGEST_FILE, PasswordSource, obtain
from tests.children import as_nobody

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "s3cr3t-ünïcödé"


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody was asked; the answer is the canary."""
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return CANARY

    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setenv("STOREPASS", CANARY)
    monkeypatch.setenv("EMPTY", "")
    return prompts


@pytest.mark.parametrize(
    ("source", "password"),
    [
        (None, None),
        ("changeit", "changeit"),
        ("env:STOREPASS", CANARY),
        ("env:EMPTY", ""),
        (lambda: CANARY, CANARY),
        ("prompt", CANARY),
    ],
)
def test_a_password_comes_from_where_it_is_said_to_be(source: PasswordSource, password: str | None, asked: list[str]) -> None:
    assert obtain(source, "Password of some.ks") == password
    assert asked == (["Password of some.ks: "] if source == "prompt" else [])


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (f"{CANARY}\n".encode(), CANARY),
        (f"{CANARY}\r\nnot this\n".encode(), CANARY),
        (CANARY.encode(), CANARY),
        (f"\ufeff{CANARY}".encode(), CANARY),  # as Windows' editor saves it
        (b" with blanks \n", " with blanks "),
        (b"", ""),
        (b"x" * 1_000_000, "x" * LONGEST_FILE),
    ],
)
def test_the_first_line_of_a_file_is_the_password(content: bytes, password: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert obtain(f"file:{tmp_path / 'secret'}", "the store") == password


def test_a_file_may_lie_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text(CANARY, encoding="utf-8")
    assert obtain("file:~/secret", "the store") == CANARY


@pytest.mark.parametrize("source", ["", CANARY, "changeIt", "env:", "file:", "prompt:", "password:x", f"ENV:{CANARY}"])
def test_what_is_no_source_may_be_a_password_and_is_not_repeated(source: str) -> None:
    with pytest.raises(SecretError) as caught:
        obtain(source, "the store")
    assert str(caught.value) == (
        "the store: not a source of a password; write prompt, env:NAME, file:PATH or changeit, never the password itself"
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("env:NOT_SET_ANYWHERE", "the environment variable NOT_SET_ANYWHERE is not set in this process"),
        ("file:{folder}/none", "no password from {folder}/none: No such file or directory"),
        ("file:{folder}", "no password from {folder}: Is a directory"),
        ("file:{folder}/binary", "no password from {folder}/binary: not a text file"),
        ("file:a\0b", "no password from a\\x00b: not a text file"),
        ("file:~nobody-of-this-name/x", "no password from ~nobody-of-this-name/x: not a text file"),
    ],
)
def test_a_source_that_gives_nothing_says_so(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SecretError) as caught:
        obtain(source.format(folder=tmp_path), "the store")
    assert str(caught.value) == f"the store: {said.format(folder=tmp_path)}"


def test_a_file_that_may_not_be_read_says_so(open_folder: Path) -> None:
    (open_folder / "secret").write_text(CANARY, encoding="utf-8")
    (open_folder / "secret").chmod(0)
    said = as_nobody(lambda: obtain(f"file:{open_folder / 'secret'}", "the store"))
    assert said == f"SecretError: the store: no password from {open_folder / 'secret'}: Permission denied"


@pytest.mark.parametrize("error", [EOFError, RuntimeError, NotImplementedError, getpass.GetPassWarning])
def test_an_unattended_run_cannot_be_asked(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: str) -> str:
        raise error

    monkeypatch.setattr(getpass, "getpass", nobody)
    with pytest.raises(SecretError, match=r"nobody can be asked here; for an unattended run use env:NAME or file:PATH"):
        obtain("prompt", "the store")


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda: None, "gave NoneType, not text"),
        (CANARY.encode, "gave bytes, not text"),
        (lambda: os.environ[CANARY], "failed with KeyError"),
    ],
)
def test_a_function_that_gives_no_text_is_not_repeated_and_nothing_is_done_without_a_password(
    gives: PasswordSource, said: str
) -> None:
    with pytest.raises(SecretError) as caught:
        obtain(gives, "the store")
    assert str(caught.value) == f"the store: the function that gives it {said}; try it by itself"
    assert CANARY not in "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())


@pytest.mark.parametrize("source", ["env:STOREPASS", "prompt", lambda: CANARY])
def test_a_password_does_not_show_itself(source: PasswordSource) -> None:
    password = obtain(source, "the store")
    assert {repr(password), str(password), f"{password}", f"{password!s:>3}"} == {"<a password>"}
    assert password is not None
    assert (password.encode(), len(password), password.isascii()) == (CANARY.encode(), len(CANARY), False)
    for taken in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            taken(password)


def test_a_process_without_a_terminal_is_unattended_and_echoes_nothing() -> None:
    program = "from allegra_tls_kit.secret import obtain; obtain('prompt', 'the store')"
    result = subprocess.run(
        [sys.executable, "-c", program], input=CANARY, capture_output=True, text=True, start_new_session=True, check=False
    )
    assert "SecretError: the store: nobody can be asked here" in result.stderr
    assert CANARY not in result.stdout + result.stderr
