"""What a backup is, where it goes, and how it gets back into place: byte for byte, through the same door."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, Plan, change, plan_removal, plan_restore, plan_rollback, read_keystore
from allegra_tls_kit.errors import NotWritable, PlanRefused, StalePlan
from allegra_tls_kit.keystore import StoreType
from tests.changing import LONG_AGO, digest, go, is_in_place, made, others, planned, states
from tests.keystore_bytes import from_cryptography
from tests.stores import HELD, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from allegra_tls_kit import Applied
    from tests.stores import Stores

WRONG = "not-the-password"


def backup_of(applied: Applied) -> Path:
    assert applied.backup is not None
    return applied.backup


# --- where a backup goes ---------------------------------------------------------------------------------------------------


def test_a_backup_is_named_by_file_time_and_plan_and_is_the_file_as_it_was(store: Path, journal: Journal) -> None:
    before = store.read_bytes()
    plan = planned(store)
    applied = go(plan, journal)
    assert backup_of(applied) == store.with_name(f"{store.name}.{applied.at:%Y%m%dT%H%M%S.%fZ}.{plan.id}.bak")
    assert backup_of(applied).read_bytes() == before
    assert digest(before) == plan.snapshot.sha256


@pytest.mark.parametrize("relative", [False, True])
def test_a_backup_goes_to_the_folder_of_choice_with_the_mode_of_the_file(
    store: Path, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, relative: bool
) -> None:
    folder, before = tmp_path / "backups", store.read_bytes()
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    store.chmod(0o640)
    backup = backup_of(go(planned(store), journal, backup_folder=Path("backups") if relative else folder))
    assert (backup.parent, others(store)) == (folder, [])
    assert (backup.read_bytes(), backup.stat().st_mode & 0o777) == (before, 0o640)
    gone = backup_of(go(plan_removal(read_keystore(store), ["theirs"], purpose=""), journal, backup_folder=folder))
    assert [item.name for item in sorted(folder.iterdir())] == [backup.name, gone.name]


def test_the_backup_of_a_removed_store_goes_there_too(tmp_path: Path, journal: Journal) -> None:
    path, folder = tmp_path / "keystore" / "new.ks", tmp_path / "backups"
    folder.mkdir()
    applied = go(planned(path), journal, backup_folder=folder)
    assert applied.backup is None
    undone = go(plan_rollback(applied, read_keystore(path)), journal, backup_folder=folder)
    assert (path.exists(), others(path)) == (False, [])
    assert (backup_of(undone).parent, digest(backup_of(undone).read_bytes())) == (folder, applied.sha256)


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_folder_for_backups_that_is_none_is_refused(kind: str, store: Path, journal: Journal, tmp_path: Path) -> None:
    folder, before = tmp_path / "backups", store.read_bytes()
    if kind == "a file":
        folder.touch()
    with pytest.raises(NotWritable, match="backups: there is no such folder for the backup; make it, or leave it out"):
        go(planned(store), journal, backup_folder=folder)
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])


class Standing(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, _: object = None) -> Standing:
        return cls(2026, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize("link", [False, True])
def test_a_backup_never_takes_the_place_of_another_file(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, *, link: bool
) -> None:
    monkeypatch.setattr(change, "datetime", Standing)
    plan, before = planned(store), store.read_bytes()
    there = store.with_name(f"{store.name}.20260304T000000.000000Z.{plan.id}.bak")
    if link:
        there.symlink_to("nowhere")
    else:
        there.write_bytes(b"precious")
    with pytest.raises(NotWritable, match=r"\.bak: the backup cannot be written: File exists; the keystore is as it was"):
        go(plan, journal)
    assert (store.read_bytes(), others(store), states(journal)) == (before, [there.name], ["confirmed", "abandoned"])
    assert link or there.read_bytes() == b"precious"


# --- and back --------------------------------------------------------------------------------------------------------------


def restored(path: Path, backup: Path, password: str | None = None) -> Plan:
    given = (lambda: password) if password else None
    return plan_restore(read_keystore(path, given), read_keystore(backup, given))


@pytest.mark.parametrize("name", sorted(HELD))
def test_a_restore_brings_the_former_bytes_back_under_a_new_time_whatever_the_format(
    name: str, stores: Stores, tmp_path: Path, journal: Journal
) -> None:
    path, before = tmp_path / name, (stores.folder / name).read_bytes()
    path.write_bytes(before)
    os.utime(path, (LONG_AGO, LONG_AGO))
    applied = go(planned(path), journal)
    path.chmod(0o604)
    present = path.stat()
    plan = restored(path, backup_of(applied), PASSWORD)
    undone = go(plan, journal)
    assert path.read_bytes() == before
    assert (undone.sha256, undone.changed) == (digest(before), True)
    assert path.stat().st_mode == present.st_mode
    assert path.stat().st_mtime >= present.st_mtime + 1
    assert digest(backup_of(undone).read_bytes()) == applied.sha256
    assert states(journal) == ["confirmed", "prepared", "applied"] * 2
    assert is_in_place(plan, path.read_bytes() + b"x", journal.path)


def test_a_restore_needs_no_password_for_what_was_read_without_one(store: Path, journal: Journal) -> None:
    before, applied = store.read_bytes(), go(planned(store), journal)
    go(restored(store, backup_of(applied)), journal, lambda: WRONG)
    assert store.read_bytes() == before


def test_a_store_that_is_gone_comes_back_as_its_backup_was(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "keystore" / "new.ks"
    applied = go(planned(path), journal)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
    before, bytes_before = path.stat(), path.read_bytes()
    undone = go(plan_rollback(applied, read_keystore(path)), journal)
    again = go(restored(path, backup_of(undone)), journal)
    after = path.stat()
    assert (path.read_bytes(), again.backup) == (bytes_before, None)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_restore_changes_the_type_back_too(store: Path, journal: Journal, tmp_path: Path) -> None:
    backup = tmp_path / "as it was.p12"
    backup.write_bytes(from_cryptography("truststore plain"))
    go(restored(store, backup), journal)
    assert read_keystore(store).store_type is StoreType.PKCS12
    assert read_keystore(store).anchors == (ROOT.der, TRUSTED.der)


@pytest.mark.parametrize("kind", ["altered", "gone"])
def test_a_backup_that_is_not_what_was_planned_with_is_refused(kind: str, store: Path, journal: Journal) -> None:
    applied = go(planned(store), journal)
    backup, live = backup_of(applied), store.read_bytes()
    plan = restored(store, backup)
    if kind == "altered":
        backup.write_bytes(made({"other": ROOT.der}))
    else:
        backup.unlink()
    found = digest(backup.read_bytes()) if backup.exists() else "gone"
    assert plan.backup is not None
    with pytest.raises(PlanRefused, match=f"the backup was {plan.backup.sha256} when the restore was planned and is {found} now"):
        go(plan, journal)
    assert store.read_bytes() == live
    assert states(journal)[-2:] == ["confirmed", "abandoned"]


def test_a_restore_is_stale_where_somebody_has_changed_the_store_since(store: Path, journal: Journal) -> None:
    plan = restored(store, backup_of(go(planned(store), journal)))
    store.write_bytes(made({"newcomer": ROOT.der}))
    with pytest.raises(StalePlan, match="newcomer came"):
        go(plan, journal)
    assert read_keystore(store).anchors == (ROOT.der,)


@pytest.mark.parametrize("damaged", [b"", b"\xfe\xed\xfe\xed half of it"])
def test_what_keytool_left_behind_when_it_was_killed_can_be_restored(damaged: bytes, store: Path, journal: Journal) -> None:
    before, backup = store.read_bytes(), backup_of(go(planned(store), journal))
    store.write_bytes(damaged)
    unreadable = dataclasses.replace(read_keystore(backup), path=store, place=store, sha256=digest(damaged), entries=())
    undone = go(plan_restore(unreadable, read_keystore(backup)), journal)
    assert (store.read_bytes(), backup_of(undone).read_bytes()) == (before, damaged)
