"""Others at the same store: nothing that anybody was told is in it gets lost, or our result says so."""

from __future__ import annotations

import contextlib
import os
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, plan_removal, read_keystore, swap
from allegra_tls_kit.errors import KeystoreLocked, StalePlan, UnexpectedOutcome, UnreadableKeystore, WrongPassword
from tests.chains import issue
from tests.changing import go, made, others, planned, states
from tests.children import at_once, elsewhere, running
from tests.stores import NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AT_ONCE = 16
IMPORTS = 8


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


@pytest.mark.parametrize("there", [True, False], ids=["a store", "none yet"])
@pytest.mark.parametrize("persistent", [False, True])
def test_of_sixteen_changes_at_once_none_is_lost(store: Path, tmp_path: Path, *, persistent: bool, there: bool) -> None:
    path = store if there else tmp_path / "new" / "keystore" / "some.ks"
    wanted = [issue(f"CA {number}", ca=True).der for number in range(AT_ONCE)]
    plans = [planned(path, der) for der in wanted]

    def import_it(number: int) -> str:
        journal, plan = Journal(tmp_path / f"journal-{number}"), plans[number]
        while True:
            try:
                go(plan, journal)
            except StalePlan:
                if not persistent:
                    return "stale"
                plan = planned(path, wanted[number])
            else:
                return "in"

    outcomes = at_once(*(partial(import_it, number) for number in range(AT_ONCE)))
    assert sorted(outcomes) == ["in"] * AT_ONCE if persistent else ["in", *["stale"] * (AT_ONCE - 1)]
    entered = {der for der, outcome in zip(wanted, outcomes, strict=True) if outcome == "in"}
    assert set(read_keystore(path, lambda: PASSWORD).anchors) == entered | ({TRUSTED.der} if there else set())
    assert [name for name in others(path) if not name.endswith(".bak")] == []


# --- keytool, which knows no lock and writes in place -----------------------------------------------------------------------


def always_changing(path: Path, journal: Path, stop: int) -> str:
    """Add and remove one certificate until told to stop; say how often somebody else was noticed, and whether too late."""
    kept, noticed, overtaken = Journal(journal), 0, 0
    os.set_blocking(stop, False)
    while True:
        with contextlib.suppress(BlockingIOError):
            if os.read(stop, 1) == b".":
                return f"{noticed} {overtaken}"
        try:
            snapshot = read_keystore(path, lambda: PASSWORD)
            ours = [entry.alias for entry in snapshot.entries if entry.certificate == NEW.der]
            go(plan_removal(snapshot, ours, purpose="") if ours else planned(path), kept)
        except (StalePlan, UnreadableKeystore, WrongPassword):  # while keytool writes there is nothing, or half of it
            noticed += 1
        except UnexpectedOutcome:
            overtaken += 1


def test_what_keytool_was_told_is_in_stays_in_or_our_result_says_otherwise(java: Path, store: Path, tmp_path: Path) -> None:
    keytool, certificate = java.resolve().with_name("keytool"), tmp_path / "ca.der"
    certificate.write_bytes(ROOT.der)
    waiting, stopping = os.pipe()
    _, ended = running(partial(always_changing, store, tmp_path / "ours.jsonl", waiting))
    reported = set()
    for number in range(IMPORTS):
        command: list[str | Path] = [keytool, "-importcert", "-noprompt", "-alias", f"theirs-{number}", "-file", certificate]
        command += ["-keystore", store, "-storetype", "JKS", "-storepass:env", "STOREPASS"]
        secret = {**os.environ, "STOREPASS": PASSWORD}
        if subprocess.run(command, env=secret, capture_output=True, check=False, timeout=60).returncode == 0:
            reported.add(f"theirs-{number}")
    os.write(stopping, b".")
    for descriptor in (waiting, stopping):
        os.close(descriptor)
    noticed, overtaken = map(int, ended().split())
    assert reported
    there = {entry.alias for entry in read_keystore(store, lambda: PASSWORD).entries}
    assert len(reported - there) <= overtaken, (noticed, overtaken)


def writing_at(moment: str, monkeypatch: pytest.MonkeyPatch, write: Callable[[], object]) -> None:
    """Let somebody write the store before or after a step of ours."""
    real = getattr(swap, moment.split()[1])

    def stepped(*arguments: object) -> object:
        if moment.startswith("before"):
            write()
        result = real(*arguments)
        if moment.startswith("after"):
            write()
        return result

    monkeypatch.setattr(swap, moment.split()[1], stepped)


@pytest.mark.parametrize("written", [made({"keytool": ROOT.der}), b"", b"half"], ids=["whole", "emptied", "half"])
def test_what_somebody_wrote_before_the_last_look_is_kept_and_the_plan_is_stale(
    written: bytes, store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(store)
    writing_at("before held", monkeypatch, lambda: store.write_bytes(written))
    with pytest.raises(StalePlan, match="has changed since plan"):
        go(plan, journal)
    assert store.read_bytes() == written
    assert states(journal) == ["confirmed", "prepared", "abandoned"]


def test_whoever_writes_the_old_file_while_it_is_replaced_is_noticed(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(store)
    with store.open("r+b") as theirs:  # opened under the name, before another file takes it

        def write() -> None:
            theirs.truncate(0)

        writing_at("before put_over", monkeypatch, write)
        with pytest.raises(UnexpectedOutcome, match=r"the change is in place, and then: somebody else wrote the old file"):
            go(plan, journal)
    assert NEW.der in read_keystore(store, lambda: PASSWORD).anchors
    assert states(journal) == ["confirmed", "prepared"]


def test_whoever_writes_right_after_the_swap_is_noticed(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, theirs = planned(store), made({"keytool": ROOT.der})
    writing_at("after put_over", monkeypatch, lambda: store.write_bytes(theirs))
    with pytest.raises(
        UnexpectedOutcome, match=r"the change is in place, and then: .* somebody else wrote it; before it was .*\.bak"
    ):
        go(plan, journal)
    assert store.read_bytes() == theirs
    assert states(journal) == ["confirmed", "prepared"]


def test_a_store_that_somebody_makes_while_we_do_is_not_overwritten(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = tmp_path / "keystore" / "new.ks", made({"keytool": ROOT.der})
    writing_at("before put_new", monkeypatch, lambda: path.write_bytes(theirs))
    with pytest.raises(StalePlan, match="keytool came"):
        go(planned(path), journal)
    assert path.read_bytes() == theirs
    assert states(journal) == ["confirmed", "prepared", "abandoned"]
