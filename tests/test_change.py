"""The one door: whatever happens on the way through it, a store is as it was or as planned, and the journal tells which."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import (
    Endpoint,
    Journal,
    KitError,
    Plan,
    apply,
    keystore,
    plan_import,
    plan_removal,
    plan_rollback,
    read_keystore,
    simulate,
    verify,
)
from allegra_tls_kit.errors import (
    NotConfirmed,
    NotWritable,
    PlanRefused,
    StalePlan,
    WrongPassword,
)
from allegra_tls_kit.events import changes_in, read_events
from allegra_tls_kit.plan import differences
from tests.changing import LONG_AGO, go, made, others, planned, states
from tests.children import as_nobody
from tests.conftest import absent
from tests.keystore_bytes import from_cryptography
from tests.stores import HELD, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from allegra_tls_kit.secret import PasswordSource
    from tests.stores import Stores


def test_a_new_store_is_made_with_its_folder_for_everybody_to_read(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "home" / "keystore" / "mail.example.com.ks"
    plan = planned(path)
    umask = os.umask(0o077)
    try:
        applied = go(plan, journal, None)
    finally:
        os.umask(umask)
    after = read_keystore(path, "changeit")
    assert (after.store_type, after.integrity_checked) == ("JKS", True)
    assert differences(simulate(plan), after.entries) == ()
    assert [stat.S_IMODE(item.stat().st_mode) for item in (path, path.parent)] == [0o644, 0o755]
    assert (applied.changed, applied.sha256, applied.backup) == (True, after.sha256, None)
    assert others(path) == []
    back = plan_rollback(applied, after)
    undone = go(back, journal, "changeit")
    assert not path.exists()
    assert undone.sha256 is None
    assert undone.backup is not None
    assert hashlib.sha256(undone.backup.read_bytes()).hexdigest() == after.sha256
    assert states(journal) == ["confirmed", "prepared", "applied"] * 2


@pytest.mark.parametrize("name", sorted(HELD.keys() - {"keys.jceks"}))
def test_a_change_and_its_way_back_leave_the_former_bytes(name: str, stores: Stores, tmp_path: Path, journal: Journal) -> None:
    path, before = tmp_path / name, (stores.folder / name).read_bytes()
    path.write_bytes(before)
    path.chmod(0o640)
    os.utime(path, (LONG_AGO, LONG_AGO))
    plan = planned(path, NEW.der, ROOT.der)
    applied = go(plan, journal)
    after = read_keystore(path, lambda: PASSWORD)
    assert differences(simulate(plan), after.entries) == ()
    assert after.sha256 == applied.sha256
    assert {NEW.der, ROOT.der} <= set(read_keystore(path).anchors)
    assert applied.backup is not None
    assert others(path) == [*sorted([applied.backup.name]), "record"]
    assert (applied.backup.read_bytes(), stat.S_IMODE(applied.backup.stat().st_mode)) == (before, 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert time.time() - path.stat().st_mtime < 60
    assert states(journal) == ["confirmed", "prepared", "applied"]
    back = plan_rollback(applied, after)
    go(back, journal)
    assert path.read_bytes() == before
    assert time.time() - path.stat().st_mtime < 60


@pytest.mark.parametrize("name", sorted(HELD))
def test_the_entries_of_every_kind_come_back_from_the_journal(
    name: str, stores: Stores, tmp_path: Path, journal: Journal
) -> None:
    path = tmp_path / name
    path.write_bytes((stores.folder / name).read_bytes())
    plan = planned(path)
    go(plan, journal)
    events, _ = read_events(journal.path.read_bytes())
    (told,) = changes_in(events)
    assert told.plan == replace(plan, snapshot=replace(plan.snapshot, entries=told.plan.snapshot.entries))
    assert differences(plan.snapshot.entries, told.plan.snapshot.entries) == ()
    kept = next(event.value for event in events if event.kind == "Plan")["snapshot"]["entries"]
    assert {entry["alias"] for entry in kept if "content" in entry} == {"k1", "k2", "s1"} & HELD[name].keys()
    for entry, written in zip(plan.snapshot.entries, kept, strict=True):
        written["content"] = entry.content  # as former versions wrote it of every entry
    assert changes_in(events) == (told,)


def test_to_verify_with_a_password_proves_the_store_too_and_a_server_that_is_gone_is_said(store: Path, journal: Journal) -> None:
    applied, nobody = go(planned(store), journal), Endpoint.parse("imaps://127.0.0.1:1")
    with pytest.raises(WrongPassword):
        verify(applied, nobody, journal, password=lambda: "another")
    verified = verify(applied, nobody, journal, password=lambda: PASSWORD)
    assert (verified.trusted, verified.diagnosis, verified.jvm) == (False, None, None)
    assert verified.sentences[0].endswith("the server showed no certificate")


def test_removing_and_putting_back_gives_the_former_entries(store: Path, journal: Journal) -> None:
    before = read_keystore(store, lambda: PASSWORD)
    applied = go(plan_removal(before, ["theirs"], purpose="tidy"), journal)
    assert read_keystore(store, lambda: PASSWORD).entries == ()
    go(plan_rollback(applied, read_keystore(store, lambda: PASSWORD)), journal)
    assert differences(before.entries, read_keystore(store, lambda: PASSWORD).entries) == ()


def test_what_a_killed_change_had_prepared_is_cleared_away_and_nothing_of_another_store(store: Path, journal: Journal) -> None:
    left = store.with_name(f".{store.name}.abcd1234.tmp")
    of_others = [f".{store.name}.old.abcd1234.tmp", ".other.ks.abcd1234.tmp", f".{store.name}.abcd1234.txt"]
    for path in (left, *map(store.with_name, of_others)):
        path.write_bytes(b"half")
    applied = go(planned(store), journal)
    assert applied.backup is not None
    assert others(store) == sorted([*of_others, applied.backup.name])


def test_nothing_to_do_leaves_the_file_alone(store: Path, journal: Journal) -> None:
    plan = planned(store, TRUSTED.der)
    applied = apply(plan, journal, confirm="")
    assert (applied.changed, applied.backup, applied.sha256) == (False, None, plan.snapshot.sha256)
    assert store.stat().st_mtime == LONG_AGO
    assert others(store) == []
    assert not store.with_name(f".{store.name}.lock").exists()
    assert [event.kind for event in read_events(journal.path.read_bytes())[0]] == ["Opened", "Plan", "Applied"]


def test_a_link_stays_and_the_file_it_leads_to_is_changed(store: Path, journal: Journal, tmp_path: Path) -> None:
    link = tmp_path / "lib" / "cacerts"
    link.parent.mkdir()
    link.symlink_to(Path("..") / "keystore" / store.name)
    applied = go(planned(link), journal)
    assert link.is_symlink()
    assert NEW.der in read_keystore(store).anchors
    assert applied.backup is not None
    assert others(store) == [applied.backup.name]
    assert others(link) == []


def test_a_link_that_leads_nowhere_any_more_is_refused(tmp_path: Path, journal: Journal) -> None:
    link = tmp_path / "new.ks"
    plan = planned(link)
    link.symlink_to(link)
    with pytest.raises(NotWritable, match="is a link that leads nowhere"):
        go(plan, journal)
    assert states(journal) == ["confirmed", "abandoned"]


@pytest.mark.parametrize("in_a_folder_of_another_group", [False, True])
def test_owner_group_mode_and_attributes_stay(store: Path, journal: Journal, *, in_a_folder_of_another_group: bool) -> None:
    if os.geteuid():
        absent("keeping a foreign owner needs root")
    if in_a_folder_of_another_group:  # new files get the folder's group then, and not ours
        os.chown(store.parent, 0, 4321)
        store.parent.chmod(0o2775)
    else:
        os.chown(store, 1234, 5678)
    store.chmod(0o600)
    with contextlib.suppress(OSError):  # not every file system has them
        os.setxattr(store, "user.note", b"kept")
    before, attributes = store.stat(), os.listxattr(store)
    applied = go(planned(store), journal)
    assert applied.backup is not None
    for path in (store, applied.backup):
        after = path.stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        assert os.listxattr(path) == attributes


@pytest.mark.parametrize("source", ["env:KIT_TEST_PASSWORD", "file:{folder}/secret", "prompt", "function"])
def test_the_password_comes_from_its_source_and_goes_nowhere_else(
    source: str, store: Path, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_TEST_PASSWORD", PASSWORD)
    monkeypatch.setattr(getpass, "getpass", lambda _: PASSWORD)
    (tmp_path / "secret").write_text(f"{PASSWORD}\n", encoding="utf-8")
    password: PasswordSource = (lambda: PASSWORD) if source == "function" else source.format(folder=tmp_path)
    applied = go(planned(store, password=password), journal, password)
    go(plan_rollback(applied, read_keystore(store, password)), journal, password)
    with pytest.raises(WrongPassword) as caught:
        go(planned(store), journal, lambda: f"{PASSWORD}2")
    assert PASSWORD not in str(caught.value)
    assert PASSWORD.encode() not in journal.path.read_bytes()


def test_an_empty_password_is_a_password(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    path = tmp_path / "store"
    path.write_bytes(from_cryptography("truststore plain"))
    go(planned(path, password="env:EMPTY"), journal, "env:EMPTY")
    assert NEW.der in read_keystore(path, "env:EMPTY").anchors


# --- what is refused -------------------------------------------------------------------------------------------------------


def refused(plan: Plan, journal: Journal, error: type[KitError], said: str, *, last: str | None = "abandoned") -> None:
    """The plan is refused, the store and its folder are as before, and the journal says so."""
    path = plan.keystore
    before, mode, beside = path.read_bytes(), path.stat(), others(path)
    with pytest.raises(error, match=said) as caught:
        go(plan, journal)
    assert type(caught.value) is error
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == (before, mode.st_mtime_ns, mode.st_mode)
    assert others(path) == beside
    assert states(journal)[-1:] == ([last] if last else [])


@pytest.mark.parametrize("confirm", ["", "yes", "00000000", "{id} ", "{ID}x", None])
def test_only_the_id_of_the_plan_confirms_it(confirm: str | None, store: Path, journal: Journal) -> None:
    plan, before = planned(store), store.read_bytes()
    with pytest.raises(NotConfirmed, match=f"confirm='{plan.id}'"):
        apply(plan, journal, confirm=confirm and confirm.format(id=plan.id, ID=plan.id.upper()))  # type: ignore[arg-type]
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], [])


def test_a_conflict_is_refused_even_if_confirmed(store: Path, journal: Journal) -> None:
    plan = plan_import(read_keystore(store, lambda: PASSWORD), [NEW.der, ROOT.der], purpose="", aliases=["Theirs", "new"])
    refused(plan, journal, PlanRefused, "choose another alias", last=None)


def test_a_plan_that_was_overtaken_names_what_came_and_went(store: Path, journal: Journal) -> None:
    plan = planned(store)
    store.write_bytes(made({"newcomer": ROOT.der}))
    refused(plan, journal, StalePlan, "newcomer came, theirs went; read it again and plan again")
    store.unlink()
    with pytest.raises(StalePlan, match="theirs went"):
        go(plan, journal)


def test_a_store_that_came_into_being_since_is_not_overwritten(tmp_path: Path, journal: Journal) -> None:
    plan = planned(tmp_path / "new.ks")
    plan.keystore.write_bytes(made({"newcomer": ROOT.der}))
    refused(plan, journal, StalePlan, "newcomer came")
    plan.keystore.write_bytes(b"")
    refused(plan, journal, StalePlan, r"empty \(0 bytes\)")


def test_a_file_with_two_names_is_refused(store: Path, journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "second").hardlink_to(store)
    refused(planned(store), journal, NotWritable, "2 hard links")


def test_what_does_not_read_back_as_planned_is_not_used(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(store)
    other = made({"theirs": ROOT.der})
    monkeypatch.setattr(keystore, "rewrite", lambda *_: other)
    refused(plan, journal, PlanRefused, rf"does not read back as planned \({plan.actions[0].alias} went, theirs changed\)")


def test_a_home_that_has_become_a_file_is_refused(tmp_path: Path, journal: Journal) -> None:
    home = tmp_path / "home"
    plan = planned(home / "keystore" / "mail.example.com.ks")
    home.write_text("in the way", encoding="utf-8")
    with pytest.raises(NotWritable, match="may not write its folder"):
        go(plan, journal)
    assert states(journal) == ["confirmed", "abandoned"]
    assert home.read_text(encoding="utf-8") == "in the way"


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "said"),
    [
        (0o555, 0o666, "this user may not write its folder, or the lock file in it: Permission denied"),
        (0o777, 0o644, "this user may not write it (its mode, or chattr +i); run the change as its owner"),
        (0o777, 0o666, "its owner and group cannot be kept by this user in {folder}; run the change as its owner"),
    ],
)
def test_whoever_may_not_change_a_store_leaves_it_as_it_is(
    folder_mode: int, file_mode: int, said: str, open_folder: Path
) -> None:
    if os.geteuid():
        absent("a store of another user needs root")
    (open_folder / "keystore").mkdir()
    (open_folder / "record").mkdir(mode=0o777)
    (open_folder / "record").chmod(0o777)
    path = open_folder / "keystore" / "some.ks"
    path.write_bytes(made({"theirs": TRUSTED.der}))
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    before = path.read_bytes()
    plan = planned(path)
    outcome = as_nobody(lambda: go(plan, Journal(open_folder / "record" / "journal.jsonl")))
    assert outcome == f"NotWritable: {path}: {said.format(folder=path.parent)}"
    assert (path.read_bytes(), others(path)) == (before, [])
    events, _ = read_events((open_folder / "record" / "journal.jsonl").read_bytes())
    assert [event.value.get("state") for event in events[2:]] == ["confirmed", "abandoned"]


def test_a_path_through_another_process_is_refused_for_it_would_name_a_file_of_this_host(store: Path, journal: Journal) -> None:
    before = store.read_bytes()
    through = Path(f"/proc/{os.getpid()}/root{store}")
    with pytest.raises(NotWritable, match="this leads through another process"):
        go(planned(through), journal)
    assert (store.read_bytes(), others(store)) == (before, [])
