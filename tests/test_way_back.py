"""The ways back: a rollback takes out what was added and nothing of anybody else's, a restore brings the file of then."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import (
    ActionKind,
    Entry,
    EntryKind,
    Journal,
    Snapshot,
    keystore,
    plan_import,
    plan_removal,
    plan_restore,
    plan_rollback,
    read_keystore,
    read_record,
    read_to_restore,
    simulate,
)
from allegra_tls_kit.errors import PlanRefused, WrongPassword
from allegra_tls_kit.events import changes_in, read_events
from allegra_tls_kit.plan import differences
from tests.changing import go
from tests.planning import (
    ALIASES,
    AT,
    CERTIFICATES,
    HERE,
    NOTHING,
    STORES,
    after,
    applied,
    carried_out,
    snapshot_of,
    store_of,
    told,
)
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from tests.stores import Stores

BACKUP = HERE.with_name(f"{HERE.name}.20260304T000000Z.a0b58fc0.bak")
LATER = AT + timedelta(days=1)

# --- rollback ----------------------------------------------------------------------------------------------------------------


def test_a_rollback_removes_exactly_what_was_added() -> None:
    before = snapshot_of({"a": TRUSTED.der})
    change = applied(plan_import(before, [TRUSTED.der, NEW.der], purpose="mail", aliases=["x", "new"]))
    back = plan_rollback(change, snapshot_of({"a": TRUSTED.der, "new": NEW.der, "theirs": ROOT.der}))
    assert told(back) == [("remove", "new")]
    assert back.purpose == f"roll back {change.plan.id}: mail"
    assert told(plan_rollback(change, before)) == [("not_found", "new")]
    unchanged = applied(plan_import(before, [TRUSTED.der], purpose=""))
    assert not plan_rollback(unchanged, before).changes


def test_a_rollback_deletes_the_store_that_the_change_created_if_nothing_else_is_in_it() -> None:
    change = applied(plan_import(NOTHING, [NEW.der], purpose="", aliases=["new"]))
    alone = plan_rollback(change, snapshot_of({"new": NEW.der}))
    assert told(alone) == [("remove", "new"), ("delete_store", "")]
    assert (simulate(alone), alone.changes) == ((), True)
    assert told(plan_rollback(change, snapshot_of({}))) == [("not_found", "new"), ("delete_store", "")]
    assert told(plan_rollback(change, snapshot_of({"new": NEW.der, "theirs": ROOT.der}))) == [("remove", "new")]
    assert told(plan_rollback(change, NOTHING)) == [("not_found", "new")]


KEY = Entry("new", EntryKind.PRIVATE_KEY, NEW.der, "0" * 64, anchor=True)
TWICE = snapshot_of({"new": NEW.der})
MEDDLED = {
    "another certificate": (snapshot_of({"new": ROOT.der}), "somebody has changed new since; look at it before removing it"),
    "a key with this certificate": (replace(TWICE, entries=(KEY,)), "somebody has changed new since"),
    "two of that alias": (replace(TWICE, entries=(*TWICE.entries, replace(TWICE.entries[0], content="1"))), "has changed new"),
    "made anew": (
        snapshot_of({"new": NEW.der}, LATER),
        "somebody has made new anew since, on 2026-03-05 00:00 UTC; ask",
    ),
    "renamed": (snapshot_of({"old\u202e": NEW.der}), r"new is gone, and the same certificate is there as old\u{202e}: somebody"),
    "another store": (replace(NOTHING, path=Path("other.ks")), "this is other.ks"),
}


@pytest.mark.parametrize(("now", "said"), MEDDLED.values(), ids=MEDDLED)
def test_a_rollback_is_refused_where_somebody_was_there_since(now: Snapshot, said: str) -> None:
    change = applied(plan_import(snapshot_of({}), [NEW.der], purpose="", aliases=["new"]))
    with pytest.raises(PlanRefused) as refused:
        plan_rollback(change, now)
    assert said in str(refused.value)


def test_what_was_removed_and_is_there_again_is_not_put_back() -> None:
    removed = applied(plan_removal(snapshot_of({"a": ROOT.der}), ["a"], purpose=""))
    with pytest.raises(PlanRefused, match="a is there again"):
        plan_rollback(removed, snapshot_of({"a": NEW.der}))


def test_a_store_that_was_converted_since_is_rolled_back_all_the_same(stores: Stores) -> None:
    now = replace(read_keystore(stores.folder / "mac-only.p12", lambda: PASSWORD), path=HERE)
    back = plan_rollback(applied(plan_import(NOTHING, [TRUSTED.der], purpose="", aliases=["T1"])), now)
    assert (told(back), back.snapshot.store_type) == ([("remove", "t1")], "PKCS12")


def test_a_rollback_trusts_nothing_that_was_not_trusted() -> None:
    known = snapshot_of({"a": ROOT.der})
    for entry, said in [
        (replace(known.entries[0], kind=EntryKind.NOT_TRUSTED, anchor=False), "a was a certificate without Java's trust"),
        (
            replace(known.entries[0], anchor=False),
            "a was not seen by Java, and would be; that is not made anew",
        ),
    ]:
        passed_over = replace(known, entries=(entry,))
        with pytest.raises(PlanRefused, match=said):
            plan_rollback(applied(plan_removal(passed_over, ["a"], purpose="")), snapshot_of({}))


def test_the_change_of_a_whole_file_is_undone_by_its_backup() -> None:
    alone = plan_rollback(applied(plan_import(NOTHING, [NEW.der], purpose="", aliases=["new"])), snapshot_of({"new": NEW.der}))
    restored = plan_restore(snapshot_of({}), snapshot_of({"a": ROOT.der}, path=BACKUP))
    for plan, said in [(alone, f"removed the store; restore {BACKUP}"), (restored, f"what was there before it is {BACKUP}")]:
        with pytest.raises(PlanRefused, match=said):
            plan_rollback(replace(applied(plan), backup=BACKUP), NOTHING)


@settings(max_examples=100, deadline=None)
@given(STORES, st.dictionaries(ALIASES, CERTIFICATES, min_size=1), st.lists(ALIASES, max_size=3), st.booleans())
def test_rolling_back_is_the_identity(
    before: dict[str, bytes] | None,
    wanted: dict[str, bytes],
    unwanted: list[str],
    adding: bool,  # noqa: FBT001 - given by hypothesis
) -> None:
    data = None if before is None else store_of(before)
    snapshot = keystore.read(data, HERE, PASSWORD)
    distinct = {der: alias for alias, der in wanted.items()}
    if adding:
        plan = plan_import(snapshot, distinct, purpose="", aliases=list(distinct.values()))
        plan = replace(plan, actions=tuple(a for a in plan.actions if a.kind is not ActionKind.CONFLICT))
    else:
        plan = plan_removal(snapshot, unwanted, purpose="")
    made = after(plan, data)
    back = plan_rollback(applied(plan), made)
    assert differences(simulate(back), snapshot.entries) == ()
    again = keystore.read(carried_out(back, carried_out(plan, data)), HERE, PASSWORD)
    assert again.exists == snapshot.exists
    assert differences(again.entries, snapshot.entries) == ()
    assert again.sha256 == snapshot.sha256 or not adding


# --- restore -----------------------------------------------------------------------------------------------------------------


def test_a_restore_tells_entry_by_entry_what_it_brings_takes_and_changes() -> None:
    now = snapshot_of({"same": ROOT.der, "taken": LEAF.der, "changed": NEW.der})
    then = snapshot_of({"same": ROOT.der, "back": TRUSTED.der, "changed": TRUSTED.der}, path=BACKUP)
    plan = plan_restore(now, then, sha256=str(then.sha256).upper())
    assert told(plan) == [("restore", ""), ("add", "back"), ("remove", "taken"), ("restore", "changed")]
    whole, back, taken, changed = (action.reason for action in plan.actions)
    assert whole == f"the file becomes {BACKUP.name}, SHA-256 {then.sha256}, 3 entries"
    assert (back, taken) == (
        "in the backup (trustedCertEntry), not in the store now",
        "in the store now (trustedCertEntry), not in the backup: the restore takes it",
    )
    assert NEW.certificate.fingerprint(SHA256()).hex()[:16] in changed
    assert (plan.keystore, plan.backup, simulate(plan), plan.changes) == (HERE, then, then.entries, True)
    assert plan.purpose == f"restore {BACKUP.name}"


def test_to_restore_what_is_there_changes_nothing() -> None:
    now = snapshot_of({"a": ROOT.der})
    plan = plan_restore(now, replace(now, path=BACKUP))
    assert (told(plan), plan.changes, simulate(plan), plan.keytool_commands()) == ([("keep", "")], False, now.entries, ())
    other_bytes = plan_restore(now, snapshot_of({"a": ROOT.der}, LATER, BACKUP))
    assert (told(other_bytes), other_bytes.changes) == ([("restore", "")], True)


def test_a_store_that_was_removed_or_is_gone_comes_back() -> None:
    removed = HERE.with_name(f"{HERE.name}.20260304T000000Z.a0b58fc0.removed")
    plan = plan_restore(NOTHING, snapshot_of({"a": ROOT.der}, path=removed))
    assert told(plan) == [("restore", ""), ("add", "a")]
    assert "there is no such file now; it will be JKS" in plan.actions[0].reason


def test_another_type_and_a_foreign_name_are_said_plainly(stores: Stores) -> None:
    then = read_keystore(stores.folder / "mac-only.p12", lambda: PASSWORD)
    plan = plan_restore(snapshot_of({"t1": TRUSTED.der, "k1": LEAF.der}), then)
    said = plan.actions[0].reason
    assert "its type changes: it is JKS now and will be PKCS12" in said
    assert "by its name it is no backup of this store" in said
    assert told(plan)[1:] == [("add", "k2"), ("add", "s1"), ("restore", "k1")]
    assert plan.actions[-1].reason == "is a trustedCertEntry now and becomes a PrivateKeyEntry"


def test_what_java_sees_differently_is_told_as_a_change() -> None:
    now = snapshot_of({"a": ROOT.der})
    hidden = replace(now, path=BACKUP, sha256="0" * 64, entries=(replace(now.entries[0], anchor=False),))
    assert plan_restore(now, hidden).actions[1].reason == "Java does not see it any more"
    assert plan_restore(replace(hidden, path=HERE), replace(now, path=BACKUP)).actions[1].reason == "Java sees it again"


@pytest.mark.parametrize(
    ("backup", "sha256", "said"),
    [
        (keystore.read(None, BACKUP), None, "there is no such backup"),
        (snapshot_of({}), None, "this is the keystore itself"),
        (snapshot_of({}, path=BACKUP), "0" * 64, f"its SHA-256 is {snapshot_of({}).sha256}, the record says {'0' * 64}"),
    ],
)
def test_what_is_no_backup_is_not_restored(backup: Snapshot, sha256: str | None, said: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        plan_restore(snapshot_of({"a": ROOT.der}), backup, sha256=sha256)
    assert said in str(refused.value)


def test_the_id_stands_for_the_backup_too() -> None:
    now, then = snapshot_of({"a": ROOT.der}), snapshot_of({"b": NEW.der}, path=BACKUP)
    ids = {
        plan_restore(now, backup).id
        for backup in (then, then, replace(then, path=BACKUP.with_name("b")), snapshot_of({"b": NEW.der}, LATER, BACKUP))
    }
    assert len(ids) == 3
    assert (
        len({replace(plan_restore(now, then), actions=(), backup=None).id, replace(plan_restore(now, then), actions=()).id}) == 2
    )


@settings(max_examples=100, deadline=None)
@given(STORES, st.dictionaries(ALIASES, CERTIFICATES, max_size=4))
def test_the_actions_of_a_restore_are_all_that_differs(before: dict[str, bytes] | None, backup: dict[str, bytes]) -> None:
    now, then = snapshot_of(before), snapshot_of(backup, path=BACKUP)
    plan = plan_restore(now, then)
    words = {"add": "came", "remove": "went", "restore": "changed"}
    named = {f"{alias} {words[kind]}" for kind, alias in told(plan) if alias}
    assert named == set(differences(now.entries, then.entries))
    assert plan.changes == (now.sha256 != then.sha256)
    assert not plan_restore(replace(then, path=HERE), then).changes


def test_a_restore_is_applied_kept_and_comes_back_from_its_record(store: Path, journal: Journal) -> None:
    original = store.read_bytes()
    change = go(plan_import(read_keystore(store, lambda: PASSWORD), [NEW.der], purpose="mail"), journal)
    assert change.backup is not None
    then = read_keystore(change.backup, lambda: PASSWORD)
    plan = plan_restore(read_keystore(store, lambda: PASSWORD), then, sha256=change.plan.snapshot.sha256)
    go(plan, journal)
    assert store.read_bytes() == original
    events, faults = read_events(journal.path.read_bytes())
    _, again = changes_in(events)
    assert (faults, again.plan.id, again.sha256) == ((), plan.id, then.sha256)
    assert again.plan.backup is not None
    assert (again.plan.backup.path, again.plan.backup.sha256) == (change.backup, then.sha256)
    assert differences(simulate(again.plan), then.entries) == ()
    assert read_record(journal.path.parent).change().plan == again.plan


@pytest.mark.parametrize("damaged", [b"", b"\xfe\xed\xfe\xed half of it", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_keystore_any_more_is_restored(damaged: bytes, store: Path, journal: Journal, tmp_path: Path) -> None:
    backup = tmp_path / f"{store.name}.bak"
    original = store.read_bytes()
    backup.write_bytes(original)
    then = read_keystore(backup, lambda: PASSWORD)
    store.write_bytes(damaged)
    now = read_to_restore(store, then, lambda: PASSWORD)
    assert (now.entries, now.sha256) == ((), hashlib.sha256(damaged).hexdigest())
    assert str(store) in now.notes[0]
    go(plan_restore(now, then), journal)
    assert store.read_bytes() == original
    assert read_to_restore(store, then, lambda: PASSWORD) == read_keystore(store, lambda: PASSWORD)
    assert not read_to_restore(tmp_path / "gone", then).exists
    with pytest.raises(WrongPassword):
        read_to_restore(store, then, "changeit")
