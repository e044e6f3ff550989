"""Killed at any instant: the store is as it was or as planned, the journal tells which, and nothing is in the next change's way.

SIGKILL, that is: what the operating system was given survives it. What survives a power failure is told by the order of syncs
(`test_what_is_put_in_place_is_on_the_disk_before_and_its_name_after`).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from allegra_tls_kit import Journal, Plan, plan_import, plan_removal, plan_restore, plan_rollback, read_keystore, swap
from allegra_tls_kit.plan import suggest_alias
from tests.changing import LONG_AGO, content, digest, go, is_in_place, made, others, planned, steps
from tests.children import dies_at, running
from tests.stores import NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 300
LONGEST_LIFE = 0.03
"""Seconds, of which a change takes about a third; where it takes longer it is only hit earlier."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that outlives its process is to be noticed, not waited for."""
    monkeypatch.setattr(swap, "LOCK_PATIENCE", 1.0)


def scene(name: str, folder: Path) -> Plan:
    """Return a plan about a store in this folder: one to change, to make, to take away again, or to restore."""
    folder.mkdir()
    (folder / "backups").mkdir()
    path, journal = folder / "home" / "keystore" / "some.ks", Journal(folder / "before.jsonl")
    if name == "make":
        return planned(path)
    path.parent.mkdir(parents=True)
    if name == "take away":
        return plan_rollback(go(planned(path), journal), read_keystore(path, lambda: PASSWORD))
    path.write_bytes(made({"theirs": TRUSTED.der}))
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    os.utime(path, (LONG_AGO, LONG_AGO))
    if name == "restore":
        applied = go(planned(path), journal, backup_folder=folder / "backups")
        assert applied.backup is not None
        return plan_restore(read_keystore(path), read_keystore(applied.backup))
    return planned(path)


def only_whole_files(plan: Plan, backups: Path, before: bytes | None) -> None:
    """What lies about is a prepared file that came to nothing, or a whole backup."""
    store = plan.keystore
    places = [backups, store.parent] if store.parent.exists() else [backups]
    for item in (item for place in places for item in place.iterdir() if item != store):
        kind = item.suffix if item.name.startswith((store.name, f".{store.name}")) else "foreign"
        assert kind in {".tmp", ".bak", ".lock"}
        assert kind != ".bak" or digest(item.read_bytes()) in {digest(before), plan.backup and plan.backup.sha256}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["backup beside", "backup elsewhere"])
@pytest.mark.parametrize("name", ["change", "make", "take away", "restore"])
def test_killed_at_each_dealing_with_files(name: str, tmp_path: Path, *, elsewhere: bool) -> None:
    folder, aside = tmp_path / "scene", tmp_path / "aside"
    plan, backups, journal = scene(name, folder), folder / "backups", folder / "journal.jsonl"
    folder.rename(aside)
    seen = set()
    for instant in range(1, 1000):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(aside, folder)
        before = content(plan.keystore)
        died = dies_at(instant, lambda: go(plan, Journal(journal), backup_folder=backups if elsewhere else None))
        journal.touch()
        new = is_in_place(plan, before, journal)
        only_whole_files(plan, backups, before)
        seen.add((steps(journal)[-1]["state"] if steps(journal) else None, new))
        go(planned(plan.keystore, ROOT.der), Journal(journal))
        assert ROOT.der in read_keystore(plan.keystore).anchors
        assert list(plan.keystore.parent.glob(".*.tmp")) == []
        if not died:
            break
    assert seen >= {(None, False), ("confirmed", False), ("prepared", False), ("prepared", True), ("applied", True)}


def one_change_after_another(path: Path, journal: Path, ready: int) -> NoReturn:
    kept = Journal(journal)
    os.write(ready, b".")
    while True:
        snapshot = read_keystore(path, lambda: PASSWORD)
        alias = suggest_alias(NEW.der)
        there = snapshot.entry(alias) is not None
        go(plan_removal(snapshot, [alias], purpose="") if there else plan_import(snapshot, [NEW.der], purpose=""), kept)


def test_killed_at_random_instants_no_store_is_damaged_and_the_journal_tells_what_holds(store: Path, tmp_path: Path) -> None:
    chance = random.Random(20261123)
    known = content(store)
    for number in range(ROUNDS):
        journal = tmp_path / f"{number}.jsonl"
        ready, writing = os.pipe()
        process, ended = running(partial(one_change_after_another, store, journal, writing))
        os.close(writing)
        assert os.read(ready, 1) == b"."
        os.close(ready)
        time.sleep(chance.uniform(0, LONGEST_LIFE))
        os.kill(process, signal.SIGKILL)
        assert ended() == ""
        live, told_of = content(store), steps(journal)
        last = told_of[-1] if told_of else {"state": "none"}
        assert read_keystore(store, lambda: PASSWORD).integrity_checked
        match last["state"]:
            case "confirmed" | "applied":
                assert digest(live) == last["sha256"]
            case "prepared":
                assert digest(live) in {last["sha256"], told_of[-2]["sha256"]}
            case _:
                assert live == known
        known = live
        for item in others(store):
            (store.parent / item).unlink()
    go(planned(store, ROOT.der), Journal(tmp_path / "last.jsonl"))
