"""Changes as values: nothing here writes to a store, except keytool where the commands of a plan are tried out."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import (
    ActionKind,
    Applied,
    Plan,
    Snapshot,
    keystore,
    plan_import,
    plan_removal,
    plan_rollback,
    read_keystore,
    simulate,
    suggest_alias,
)
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import CertificateError, PasswordNeeded, PlanRefused, StalePlan, WouldLose
from allegra_tls_kit.keystore import Edit
from allegra_tls_kit.plan import differences, require_fresh
from tests.chains import issue
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.stores import Stores

AT = datetime(2026, 3, 4, tzinfo=UTC)
HERE = Path("/srv/allegra/keystore/mail.example.com.ks")
NOTHING = keystore.read(None, HERE)
KEY = issue("x").key
ALIASES = st.sampled_from(["a", "b", "c", "d e", "ö'", suggest_alias(NEW.der)])
CERTIFICATES = st.sampled_from([ROOT.der, LEAF.der, TRUSTED.der, NEW.der])


def store_of(entries: Mapping[str, bytes], at: datetime = AT) -> bytes:
    return keystore.rewrite(None, HERE, PASSWORD, Edit(entries, frozenset(), at))


def snapshot_of(entries: Mapping[str, bytes], at: datetime = AT) -> Snapshot:
    return keystore.read(store_of(entries, at), HERE, PASSWORD)


def carried_out(plan: Plan, data: bytes | None) -> bytes | None:
    """The bytes after the plan, made as `apply` makes them."""
    kinds = [action.kind for action in plan.actions]
    if ActionKind.DELETE_STORE in kinds:
        return None
    add = {a.alias: a.certificate for a in plan.actions if a.kind is ActionKind.ADD and a.certificate is not None}
    remove = frozenset(action.alias for action in plan.actions if action.kind is ActionKind.REMOVE)
    return keystore.rewrite(data, HERE, PASSWORD, Edit(add, remove, AT)) if plan.changes else data


def applied(plan: Plan) -> Applied:
    return Applied(plan, AT, plan.changes, "", None)


def told(plan: Plan) -> list[tuple[str, str]]:
    return [(action.kind.value, action.alias) for action in plan.actions]


# --- import and removal ----------------------------------------------------------------------------------------------------


def test_a_plan_has_one_id_and_another_plan_another() -> None:
    snapshot = snapshot_of({"a": TRUSTED.der})
    plan = plan_import(snapshot, [NEW.der, ROOT.der], purpose="mail")
    assert re.fullmatch(r"[0-9a-f]{8}", plan.id)
    assert plan.id == plan_import(snapshot_of({"a": TRUSTED.der}), [NEW.der, ROOT.der], purpose="mail").id
    others = [
        plan_import(snapshot, [NEW.der, ROOT.der], purpose="Mail"),
        plan_import(snapshot, [ROOT.der, NEW.der], purpose="mail"),
        plan_import(snapshot, [NEW.der], purpose="mail"),
        plan_import(snapshot, [NEW.der, LEAF.der], purpose="mail"),
        plan_import(snapshot, [NEW.der, ROOT.der], purpose="mail", aliases=["b", "c"]),
        plan_import(replace(snapshot, path=HERE.with_name("b.ks")), [NEW.der, ROOT.der], purpose="mail"),
        plan_import(snapshot_of({"a": TRUSTED.der}, AT.replace(hour=1)), [NEW.der, ROOT.der], purpose="mail"),
        plan_import(NOTHING, [NEW.der, ROOT.der], purpose="mail"),
        plan_removal(snapshot, ["a"], purpose="mail"),
        plan_removal(snapshot, ["b"], purpose="mail"),
    ]
    assert len({plan.id, *(other.id for other in others)}) == len(others) + 1


def test_what_is_there_is_kept_what_is_new_is_added_and_a_taken_alias_is_a_conflict() -> None:
    snapshot = snapshot_of({"a": TRUSTED.der, "b": ROOT.der})
    plan = plan_import(snapshot, [TRUSTED.der, NEW.der, NEW.der, LEAF.der], purpose="", aliases=["x", "New", "B"])
    assert told(plan) == [("keep", "a"), ("add", "new"), ("conflict", "b")]
    assert plan.changes
    assert plan.keystore == HERE
    assert sha256_of(ROOT.der)[:16] in plan.actions[2].reason
    assert told(plan_import(snapshot, [NEW.der], purpose="")) == [("add", suggest_alias(NEW.der))]
    assert not plan_import(snapshot, [ROOT.der], purpose="").changes


def test_a_certificate_that_java_does_not_see_is_no_reason_to_keep(stores: Stores) -> None:
    for name, kind in [("aes.p12", "add"), ("mac-only.p12", "keep"), ("keys.jks", "keep")]:
        snapshot = read_keystore(stores.folder / name, lambda: PASSWORD)
        plan = plan_import(snapshot, [TRUSTED.der, LEAF.der], purpose="", aliases=["new", "own"])
        assert [action.kind.value for action in plan.actions] == [kind, kind]
        (conflict,) = plan_import(snapshot, [NEW.der], purpose="", aliases=["K1"]).actions
        assert (conflict.kind, conflict.alias) == (ActionKind.CONFLICT, "k1")
    snapshot = read_keystore(stores.folder / "mac-only.p12")
    (conflict,) = plan_import(snapshot, [NEW.der], purpose="", aliases=["s1"]).actions
    assert "holds a SecretKeyEntry" in conflict.reason


@pytest.mark.parametrize(
    ("certificates", "aliases", "error"),
    [
        ([], None, PlanRefused),
        ([NEW.der, ROOT.der], ["a"], PlanRefused),
        ([NEW.der], ["a", "b"], PlanRefused),
        ([NEW.der, ROOT.der], ["a", "A"], PlanRefused),
        ([b"no certificate"], None, CertificateError),
        ([b"no certificate"], ["a"], CertificateError),
        ([NEW.der + b"\0"], ["a"], CertificateError),
    ],
)
def test_an_import_that_makes_no_sense_is_refused(
    certificates: list[bytes], aliases: list[str] | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        plan_import(NOTHING, certificates, purpose="", aliases=aliases)


def test_only_trusted_certificates_are_removed(stores: Stores) -> None:
    snapshot = read_keystore(stores.folder / "mac-only.p12")
    plan = plan_removal(snapshot, ["T1", "t1", "gone"], purpose="tidy up")
    assert told(plan) == [("remove", "t1"), ("not_found", "gone")]
    assert plan.actions[0].certificate == TRUSTED.der
    assert not plan_removal(snapshot, ["gone"], purpose="").changes
    for alias in ("k1", "K2", "s1"):
        with pytest.raises(PlanRefused, match="keys are not removed here"):
            plan_removal(snapshot, [alias], purpose="")


@pytest.mark.parametrize(
    ("name", "error"), [("aes.p12", PasswordNeeded), ("legacy.p12", PasswordNeeded), ("keys.jceks", WouldLose)]
)
def test_a_store_that_was_not_all_read_or_cannot_be_written_gets_no_plan(
    name: str, error: type[Exception], stores: Stores
) -> None:
    snapshot = read_keystore(stores.folder / name)
    change = applied(plan_import(replace(NOTHING, path=snapshot.path), [NEW.der], purpose=""))
    with pytest.raises(error):
        plan_import(snapshot, [NEW.der], purpose="")
    with pytest.raises(error):
        plan_removal(snapshot, ["t1"], purpose="")
    with pytest.raises(error):
        plan_rollback(change, snapshot)


# --- what a plan foresees --------------------------------------------------------------------------------------------------


def test_a_simulation_is_what_a_rewrite_gives() -> None:
    data = store_of({"a": TRUSTED.der, "b": ROOT.der})
    snapshot = keystore.read(data, HERE, PASSWORD)
    for plan in (
        plan_import(snapshot, [NEW.der, TRUSTED.der], purpose=""),
        plan_removal(snapshot, ["b", "c"], purpose=""),
        plan_removal(snapshot, ["a", "b"], purpose=""),
    ):
        made = keystore.read(carried_out(plan, data), HERE, PASSWORD)
        assert differences(simulate(plan), made.entries) == ()
        assert differences(snapshot.entries, made.entries) != ()
    assert simulate(plan) == ()


def test_differences_name_what_came_went_and_changed_in_visible_letters() -> None:
    before = snapshot_of({"a": TRUSTED.der, "b": ROOT.der, "c\u202e": LEAF.der})
    after = snapshot_of({"d\n": NEW.der, "b": NEW.der, "a": TRUSTED.der}, AT.replace(year=2030))
    assert differences(before.entries, after.entries) == (r"d\x0a came", r"c\u{202e} went", "b changed")
    assert differences(before.entries, before.entries[::-1]) == ()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (snapshot_of({"b": NEW.der}), "b came, a went"),
        (snapshot_of({"a": NEW.der}), "a changed"),
        (snapshot_of({"a": ROOT.der}, AT.replace(hour=1)), "the same entries in another file"),
        (NOTHING, "a went"),
    ],
)
def test_a_stale_plan_says_what_has_changed(now: Snapshot, said: str) -> None:
    plan = plan_import(snapshot_of({"a": ROOT.der}), [NEW.der], purpose="")
    require_fresh(plan, snapshot_of({"a": ROOT.der}))
    with pytest.raises(StalePlan, match=re.escape(f"{HERE} has changed since plan {plan.id} was made: {said}; read it again")):
        require_fresh(plan, now)


# --- the way back ----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(PlanRefused, match="import again"):
        plan_rollback(applied(alone), NOTHING)


def test_a_rollback_is_refused_where_somebody_was_there_since() -> None:
    added = applied(plan_import(snapshot_of({}), [NEW.der], purpose="", aliases=["new"]))
    with pytest.raises(PlanRefused, match="somebody has changed new since"):
        plan_rollback(added, snapshot_of({"new": ROOT.der}))
    removed = applied(plan_removal(snapshot_of({"a": ROOT.der}), ["a"], purpose=""))
    with pytest.raises(PlanRefused, match="a is there again"):
        plan_rollback(removed, snapshot_of({"a": NEW.der}))
    with pytest.raises(PlanRefused, match=r"this is other\.ks"):
        plan_rollback(added, replace(NOTHING, path=Path("other.ks")))


def test_a_rollback_trusts_nothing_that_was_not_trusted() -> None:
    known = snapshot_of({"a": ROOT.der})
    passed_over = replace(known, entries=(replace(known.entries[0], kind=keystore.EntryKind.NOT_TRUSTED, anchor=False),))
    with pytest.raises(PlanRefused, match="use the backup"):
        plan_rollback(applied(plan_removal(passed_over, ["a"], purpose="")), snapshot_of({}))


@settings(max_examples=100, deadline=None)
@given(
    before=st.none() | st.dictionaries(ALIASES, CERTIFICATES, max_size=4),
    wanted=st.dictionaries(ALIASES, CERTIFICATES, min_size=1),
    unwanted=st.lists(ALIASES, max_size=3),
    adding=st.booleans(),
)
def test_rolling_back_is_the_identity(
    before: dict[str, bytes] | None, wanted: dict[str, bytes], unwanted: Iterable[str], *, adding: bool
) -> None:
    data = None if before is None else store_of(before)
    snapshot = keystore.read(data, HERE, PASSWORD)
    distinct = {der: alias for alias, der in wanted.items()}
    if adding:
        plan = plan_import(snapshot, distinct, purpose="", aliases=list(distinct.values()))
        plan = replace(plan, actions=tuple(a for a in plan.actions if a.kind is not ActionKind.CONFLICT))
    else:
        plan = plan_removal(snapshot, unwanted, purpose="")
    after = keystore.read(carried_out(plan, data), HERE, PASSWORD)
    assert differences(simulate(plan), after.entries) == ()
    back = plan_rollback(applied(plan), after)
    assert differences(simulate(back), snapshot.entries) == ()
    again = keystore.read(carried_out(back, carried_out(plan, data)), HERE, PASSWORD)
    assert again.exists == snapshot.exists
    assert differences(again.entries, snapshot.entries) == ()
    assert again.sha256 == snapshot.sha256 or not adding


# --- aliases, commands ------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=16))  # a CN has 64 bytes
def test_a_suggested_alias_is_short_plain_and_of_this_certificate_only(name: str) -> None:
    one, other = (issue(name, key=KEY, key_ids=False) for _ in range(2))  # they differ in their serial number
    alias = suggest_alias(one.der)
    assert re.fullmatch(r"allegra-[a-z0-9.-]{1,40}-[0-9a-f]{8}", alias)
    assert alias.endswith(sha256_of(one.der)[:8])
    assert alias == suggest_alias(one.der) != suggest_alias(other.der)


def run_in_a_shell(plan: Plan, stores: Stores) -> None:
    path = f"{stores.program.parent}{os.pathsep}{os.environ['PATH']}"
    for command in plan.keytool_commands():
        result = subprocess.run(
            ["sh", "-c", command], env={"PATH": path, "STOREPASS": PASSWORD}, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)


def test_the_commands_do_the_same_as_the_plan(stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / 'Allegra\'s "home" $HOME' / "key store" / "mail.example.com.ks"
    plan = plan_import(read_keystore(store), [NEW.der, ROOT.der], purpose="", aliases=["it's new; $(id)", "`id`"])
    assert PASSWORD not in str(plan.keytool_commands())
    run_in_a_shell(plan, stores)
    made = read_keystore(store, lambda: PASSWORD)
    assert made.store_type == "JKS"
    assert differences(simulate(plan), made.entries) == ()
    removal = plan_removal(made, ["`id`", "not there"], purpose="")
    run_in_a_shell(removal, stores)
    rest = read_keystore(store, lambda: PASSWORD)
    assert differences(simulate(removal), rest.entries) == ()
    back = plan_rollback(applied(plan), rest)
    run_in_a_shell(replace(back, actions=back.actions[-1:]), stores)
    assert not store.exists()
    assert keystore.read(store.with_name(f"{store.name}.removed").read_bytes(), store, PASSWORD).entries == rest.entries
    assert plan_import(rest, [NEW.der], purpose="").keytool_commands() == ()
