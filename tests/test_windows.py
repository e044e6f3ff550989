"""What Windows asks for, as far as it can be seen without one: a library that answers as its own does, and files in use."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from allegra_tls_kit import Journal, read_keystore, swap, windows
from allegra_tls_kit.errors import NotWritable
from tests.changing import go, others, planned, states
from tests.stores import NEW

LIST = b"\x01\x00\x04\x80 a security descriptor \x00\x00"


class Library:
    """`advapi32`: two functions, the lists of all files, and whether they may be read and set."""

    def __init__(self) -> None:
        self.lists: dict[str, bytes] = {}
        self.may_read = self.may_set = True

    def GetFileSecurityW(self, path: str, what: int, buffer: Any, size: Any, needed: Any) -> int:  # noqa: N802, ANN401 - as there
        assert what == 4
        assert Path(path).exists()
        needed._obj.value = len(LIST)  # noqa: SLF001 - what `byref` refers to
        if buffer is None:
            assert size == 0
            return 0
        assert (size.value, len(buffer)) == (len(LIST), len(LIST))
        buffer.raw = self.lists.get(path, b"\x00" * len(LIST))
        return int(self.may_read)

    def SetFileSecurityW(self, path: str, what: int, descriptor: bytes) -> int:  # noqa: N802 - as Windows has it
        assert what == 4
        assert Path(path).exists()
        if self.may_set:
            self.lists[path] = descriptor
        return int(self.may_set)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(ctypes, "WinDLL", {"advapi32": found}.__getitem__, raising=False)
    return found


def test_a_new_file_has_the_access_list_of_the_old_one_before_it_takes_its_place(
    library: Library, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.lists[str(store)] = LIST
    given: list[bytes | None] = []
    put_over = swap.put_over

    def put(made: Path, path: Path) -> None:
        given.append(library.lists.get(str(made)))
        put_over(made, path)

    monkeypatch.setattr(swap, "put_over", put)
    go(planned(store), journal)
    assert given == [LIST]
    assert set(library.lists.values()) == {LIST}  # of the backup too


@pytest.mark.parametrize("what", ["may_read", "may_set"])
def test_an_access_list_that_cannot_be_kept_is_a_refusal(what: str, library: Library, store: Path, journal: Journal) -> None:
    setattr(library, what, False)
    before = store.read_bytes()
    with pytest.raises(NotWritable, match="access list cannot be"):
        go(planned(store), journal)
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])


def in_use(error: int) -> PermissionError:
    refused = PermissionError(13, "The process cannot access the file because it is being used by another process")
    refused.winerror = error  # type: ignore[attr-defined, unused-ignore]
    return refused


def busy(monkeypatch: pytest.MonkeyPatch, store: Path, error: int, times: int) -> list[float]:
    """Let the store be in use for so many attempts; return the pauses between them."""
    pauses: list[float] = []
    replace = os.replace

    def replaced(source: Path, target: Path) -> None:
        if target == store and len(pauses) < times:
            raise in_use(error)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) * windows.PAUSE)
    return pauses


@pytest.mark.parametrize("error", [5, 32, 33])
def test_a_store_that_is_in_use_for_a_moment_is_replaced_then(
    error: int, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = busy(monkeypatch, store, error, 3)
    go(planned(store), journal)
    assert pauses == [windows.PAUSE] * 3
    assert NEW.der in read_keystore(store).anchors


@pytest.mark.parametrize(("error", "attempts"), [(32, round(windows.PATIENCE / windows.PAUSE)), (1, 0)])
def test_a_store_that_stays_in_use_is_left_as_it_is(
    error: int, attempts: int, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, pauses = store.read_bytes(), busy(monkeypatch, store, error, 10_000)
    with pytest.raises(NotWritable, match="being used by another process; the keystore is as it was"):
        go(planned(store), journal)
    assert abs(len(pauses) - attempts) <= 1
    assert store.read_bytes() == before
    assert states(journal) == ["confirmed", "prepared", "abandoned"]


@pytest.mark.parametrize(("system", "is_open"), [("nt", False), (os.name, True)])
def test_where_an_open_file_cannot_be_replaced_none_is_kept_open(
    system: str, store: Path, monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> None:
    before = store.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", system)
        held = swap.held(store, before)
        told = held.__enter__()
    assert (str(store) in {file.path for file in psutil.Process().open_files()}) is is_open
    store.rename(store.with_name("old"))
    store.write_bytes(b"new")
    assert told()
    held.__exit__(None, None, None)
