"""Failures at every step of a change: a store is as it was or as planned, and the journal tells which."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
from typing import TYPE_CHECKING, NoReturn

import pytest

from allegra_tls_kit import Journal, KitError, Plan, plan_rollback, read_keystore
from allegra_tls_kit.errors import JournalError, NotWritable, UnexpectedOutcome
from tests.changing import content, go, is_in_place, made, others, planned, states, steps
from tests.stores import PASSWORD, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = [
    (tempfile, "mkstemp"), (os, "open"), (os, "fsync"), (os, "replace"), (os, "mkdir"), (os, "chmod"), (os, "chown"),
    (os, "getxattr"), (os, "setxattr"), (os, "utime"),
]  # fmt: skip


def scene(name: str, folder: Path, journal: Journal) -> Plan:
    """Return a plan for a store: one to change, one to make, or one to take away again."""
    path = folder / "keystore" / "some.ks"
    if name == "make":
        return planned(path)
    if name == "take away":
        return plan_rollback(go(planned(path), journal), read_keystore(path, lambda: PASSWORD))
    path.parent.mkdir()
    path.write_bytes(made({"theirs": TRUSTED.der}))
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    with contextlib.suppress(OSError):  # not every file system has them
        os.setxattr(path, "user.note", b"kept")
    return planned(path)


def fail_at(patch: pytest.MonkeyPatch, step: tuple[object, str], call: int, trouble: Callable[[], NoReturn]) -> list[int]:
    """Let one call of a function end in trouble; return a list that holds how many calls there were."""
    module, name = step
    real, calls = getattr(module, name), [0]

    def counted(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == call:
            trouble()
        return None if name == "fsync" else real(*arguments, **options)

    patch.setattr(module, name, counted)
    return calls


def out_of_space() -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("trouble", [out_of_space, interrupted])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
@pytest.mark.parametrize("name", ["change", "make", "take away"])
def test_a_failure_at_any_step_leaves_the_old_store_or_the_new_one_and_says_which(
    name: str, step: tuple[object, str], trouble: Callable[[], NoReturn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in range(1, 30):
        folder = tmp_path / str(call)
        folder.mkdir()
        plan = scene(name, folder, Journal(tmp_path / f"{call}-before.jsonl"))
        before, journal = content(plan.keystore), Journal(tmp_path / f"{call}.jsonl")
        error: BaseException | None = None
        with monkeypatch.context() as patch:
            calls = fail_at(patch, step, call, trouble)
            try:
                go(plan, journal)
            except (KitError, KeyboardInterrupt) as caught:
                error = caught
        if plan.keystore.parent.exists():
            assert [item for item in others(plan.keystore) if not item.endswith(".bak")] == []
        if is_in_place(plan, before, journal.path):
            assert error is None or isinstance(error, UnexpectedOutcome | KeyboardInterrupt)
        else:
            assert error is not None
            assert not isinstance(error, UnexpectedOutcome)
            if not isinstance(error, KeyboardInterrupt):
                assert "No space left on device" in str(error)
                assert isinstance(error, JournalError) or steps(journal.path)[-1]["state"] == "abandoned"
        if calls[0] < call:
            assert error is None
            return
    pytest.fail("there is no end to the calls")


@pytest.mark.parametrize("name", ["change", "make", "take away"])
def test_a_swap_that_was_done_and_is_reported_as_failed_is_in_place(
    name: str, tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over NFS, where the answer may get lost and the second request finds nothing to rename."""
    plan = scene(name, tmp_path, Journal(tmp_path / "before.jsonl"))
    before, step = content(plan.keystore), "unlink" if name == "take away" else "replace"
    real = getattr(os, step)

    def lost(path: Path, *others: Path) -> None:
        real(path, *others)
        if plan.keystore in {path, *others}:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, step, lost)
    with pytest.raises(UnexpectedOutcome, match=r"the change is in place, and then: .*No such file"):
        go(plan, journal)
    assert is_in_place(plan, before, journal.path)
    assert states(journal)[-1] == "prepared"


def test_what_went_wrong_first_is_said_where_the_journal_fails_too(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(store)

    def full(*_: object, **__: object) -> NoReturn:
        monkeypatch.setattr(os, "open", lambda *_, **__: out_of_space())
        out_of_space()

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(NotWritable, match=r"No space left on device; the keystore is as it was"):
        go(plan, journal)
    assert states(journal) == ["confirmed"]


def test_a_disk_that_does_not_give_back_what_was_written_is_noticed(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(io.BufferedRandom):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size)[:-1]

    plan, before, real = planned(store), store.read_bytes(), os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda at, mode: Forgetful(io.FileIO(at, "r+")) if "+" in mode else real(at, mode))
    with pytest.raises(NotWritable, match="does not give back what was written to it; the keystore is as it was"):
        go(plan, journal)
    assert (store.read_bytes(), others(store)) == (before, [])


def test_an_interrupted_change_is_abandoned(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(store)
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_, **__: interrupted())
    with pytest.raises(KeyboardInterrupt):
        go(plan, journal)
    assert states(journal) == ["confirmed", "abandoned"]


@pytest.mark.parametrize("aside", [False, True], ids=["backup beside", "backup elsewhere"])
def test_what_is_put_in_place_is_on_the_disk_before_and_its_name_after(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, *, aside: bool
) -> None:
    folder = store.parent / "backups" if aside else store.parent
    folder.mkdir(exist_ok=True)
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(("on the disk", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append(("renamed", source.stat().st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    go(planned(store), journal, backup_folder=folder)
    backup, new = (number for number, (what, _) in enumerate(done) if what == "renamed")
    assert ("on the disk", journal.path.stat().st_ino) in done[backup:new]  # what the change is, and that it was confirmed
    for number, place in (backup, folder), (new, store.parent):
        assert ("on the disk", done[number][1]) in done[:number]
        assert done[number + 1] == ("on the disk", place.stat().st_ino)


def test_a_new_folder_is_on_the_disk_before_its_store_is(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        assert {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino} <= set(done)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    go(planned(tmp_path / "a" / "b" / "some.ks"), journal)
