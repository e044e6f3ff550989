"""Others at the door, failures and crashes at every step: a store is as it was or as planned, and the journal tells which."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from allegra_tls_kit import (
    Journal,
    KitError,
    Plan,
    plan_rollback,
    read_keystore,
    swap,
)
from allegra_tls_kit.errors import (
    JournalError,
    KeystoreLocked,
    StalePlan,
    UnexpectedOutcome,
)
from allegra_tls_kit.events import read_events
from tests.chains import issue
from tests.changing import go, made, others, planned, states
from tests.children import at_once, elsewhere
from tests.stores import NEW, PASSWORD, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# --- others at the same time -----------------------------------------------------------------------------------------------


def test_a_store_that_another_process_is_changing_is_waited_for_and_then_left(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, before = planned(store), store.read_bytes()
    with elsewhere(swap.locked(store)), monkeypatch.context() as patch:
        patch.setattr(swap, "LOCK_PATIENCE", 0.2)
        with pytest.raises(KeystoreLocked, match=r"has been going on for 0\.2 s"):
            go(plan, journal)
    assert (store.read_bytes(), states(journal)) == (before, ["confirmed", "abandoned"])
    go(plan, journal)
    assert NEW.der in read_keystore(store).anchors


@pytest.mark.parametrize("persistent", [False, True])
def test_of_four_changes_at_once_none_is_lost(store: Path, tmp_path: Path, *, persistent: bool) -> None:
    wanted = [issue(f"CA {number}", ca=True).der for number in range(4)]
    plans = [planned(store, der) for der in wanted]

    def import_it(number: int) -> str:
        journal, plan = Journal(tmp_path / f"journal-{number}"), plans[number]
        while True:
            try:
                go(plan, journal)
            except StalePlan:
                if not persistent:
                    return "stale"
                plan = planned(store, wanted[number])
            else:
                return "in"

    outcomes = at_once(*(partial(import_it, number) for number in range(4)))
    assert sorted(outcomes) == (["in"] * 4 if persistent else ["in", "stale", "stale", "stale"])
    trusted = read_keystore(store, lambda: PASSWORD).anchors
    assert set(trusted) == {TRUSTED.der, *(der for der, outcome in zip(wanted, outcomes, strict=True) if outcome == "in")}
    assert [name for name in others(store) if name.endswith(".tmp")] == []


# --- failures and crashes at every step ------------------------------------------------------------------------------------

STEPS = [(os, "open"), (os, "fsync"), (os, "replace"), (os, "chmod"), (os, "chown"), (os, "setxattr"), (tempfile, "mkstemp")]


def scene(name: str, folder: Path, journal: Journal) -> tuple[Plan, bytes | None]:
    """Return a plan and the bytes of its store: one to change, one to make, or one to take away again."""
    path = folder / "some.ks"
    if name == "make":
        return planned(path), None
    path.write_bytes(made({"theirs": TRUSTED.der}))
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    with contextlib.suppress(OSError):  # not every file system has them
        os.setxattr(path, "user.note", b"kept")
    if name == "change":
        return planned(path), path.read_bytes()
    path.unlink()
    applied = go(planned(path), journal)
    return plan_rollback(applied, read_keystore(path, lambda: PASSWORD)), path.read_bytes()


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
        plan, before = scene(name, folder, Journal(tmp_path / f"{call}-before.jsonl"))
        journal = Journal(tmp_path / f"{call}.jsonl")
        error: BaseException | None = None
        with monkeypatch.context() as patch:
            calls = fail_at(patch, step, call, trouble)
            try:
                go(plan, journal)
            except (KitError, KeyboardInterrupt) as caught:
                error = caught
        live = plan.keystore.read_bytes() if plan.keystore.exists() else None
        assert [item for item in others(plan.keystore) if item.endswith(".tmp")] == []
        last = [event.value for event in read_events(journal.path.read_bytes())[0] if event.kind == "ApplyStep"][-1:]
        if live == before:
            assert error is not None
            assert not isinstance(error, UnexpectedOutcome)
            assert isinstance(error, JournalError | KeyboardInterrupt) or last[0]["state"] == "abandoned"
        else:
            now = None if live is None else hashlib.sha256(live).hexdigest()
            assert (last[0]["state"], last[0]["sha256"]) in {("prepared", now), ("applied", now)}
            assert error is None or isinstance(error, UnexpectedOutcome | KeyboardInterrupt)
        if calls[0] < call:
            assert error is None
            return
    pytest.fail("there is no end to the calls")


def test_what_is_put_in_place_is_on_the_disk_before_and_its_name_after(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    go(planned(store), journal)
    folder = ("on the disk", store.parent.stat().st_ino)
    renames = [number for number, (what, _) in enumerate(done) if what == "renamed"]
    assert len(renames) == 2  # the backup, the store
    for number in renames:
        assert ("on the disk", done[number][1]) in done[:number]
        assert done[number + 1] == folder


def crashing(plan: Plan, journal: Journal, step: tuple[object, str], call: int) -> str:
    fail_at(pytest.MonkeyPatch(), step, call, lambda: os._exit(9))
    go(plan, journal)
    return "there was no such call"


@pytest.mark.parametrize("step", [(os, "fsync"), (os, "replace"), (os, "chmod")], ids=lambda step: step[1])
@pytest.mark.parametrize("name", ["change", "make", "take away"])
def test_after_a_crash_the_last_line_and_one_digest_tell_what_holds(name: str, step: tuple[object, str], tmp_path: Path) -> None:
    for call in range(1, 30):
        folder = tmp_path / str(call)
        folder.mkdir()
        plan, before = scene(name, folder, Journal(tmp_path / f"{call}-before.jsonl"))
        journal = Journal(tmp_path / f"{call}.jsonl")

        (said,) = at_once(partial(crashing, plan, journal, step, call))
        steps = [event.value for event in read_events(journal.path.read_bytes())[0] if event.kind == "ApplyStep"]
        live = plan.keystore.read_bytes() if plan.keystore.exists() else None
        now = None if live is None else hashlib.sha256(live).hexdigest()
        if live != before:
            assert steps[-1]["state"] in {"prepared", "applied"}
            assert steps[-1]["sha256"] == now
        else:
            assert "applied" not in [step["state"] for step in steps]
            assert not steps or steps[-1]["state"] != "prepared" or steps[-1]["sha256"] != now
        if said:
            return
    pytest.fail("there is no end to the calls")
