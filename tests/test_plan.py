"""Changes as values: what an import and a removal do, what a plan foresees, what it is called."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import (
    Action,
    ActionKind,
    Plan,
    Snapshot,
    keystore,
    plan_import,
    plan_removal,
    plan_restore,
    plan_rollback,
    read_keystore,
    simulate,
    suggest_alias,
)
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import CertificateError, PasswordNeeded, PlanRefused, StalePlan
from allegra_tls_kit.plan import differences, require_fresh
from tests.chains import issue
from tests.planning import AT, CERTIFICATES, HERE, NOTHING, STORES, after, applied, snapshot_of, store_of, told
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from tests.stores import Stores

KEY = issue("x").key
ALIASES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)

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


def test_the_id_of_a_plan_in_an_old_record_stays() -> None:
    snapshot = replace(NOTHING, path=Path("mail.ks"), sha256="0" * 64)
    action = Action(ActionKind.ADD, "a", b"certificate", "reason")
    assert Plan(snapshot, "trust", (action,)).id == "02a1376b"


def test_what_is_there_is_kept_what_is_new_is_added_and_a_taken_alias_is_a_conflict() -> None:
    snapshot = snapshot_of({"a": TRUSTED.der, "b": ROOT.der})
    plan = plan_import(snapshot, [TRUSTED.der, NEW.der, NEW.der, LEAF.der], purpose="", aliases=["x", "New", "B"])
    assert told(plan) == [("keep", "a"), ("add", "new"), ("conflict", "b")]
    assert plan.changes
    assert plan.keystore == HERE
    assert plan.conflicts == plan.actions[2:]
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


@pytest.mark.parametrize("name", ["aes.p12", "legacy.p12"])
def test_a_store_that_was_not_all_read_gets_no_plan(name: str, stores: Stores) -> None:
    snapshot = read_keystore(stores.folder / name)
    change = applied(plan_import(replace(NOTHING, path=snapshot.path), [NEW.der], purpose=""))
    with pytest.raises(PasswordNeeded, match="read it again with its password, then plan"):
        plan_import(snapshot, [NEW.der], purpose="")
    with pytest.raises(PasswordNeeded):
        plan_removal(snapshot, ["t1"], purpose="")
    with pytest.raises(PasswordNeeded):
        plan_rollback(change, snapshot)
    for now, then in [(snapshot, snapshot_of({})), (snapshot_of({}), snapshot)]:
        with pytest.raises(PasswordNeeded):
            plan_restore(now, then)


def test_in_jceks_which_java_is_never_told_of_an_import_is_foreseen_as_it_comes_out(stores: Stores) -> None:
    path = stores.folder / "keys.jceks"
    snapshot = read_keystore(path, lambda: PASSWORD)
    plan = plan_import(snapshot, [TRUSTED.der, NEW.der], purpose="", aliases=["other", "new"])
    assert told(plan) == [("keep", "t1"), ("add", "new")]
    made = after(plan, path.read_bytes())
    assert differences(simulate(plan), made.entries) == ()
    assert made.anchors == ()
    assert not plan_import(made, [NEW.der], purpose="").changes
    assert told(plan_rollback(applied(plan), made)) == [("remove", "new")]


# --- what a plan foresees --------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(STORES, st.dictionaries(ALIASES.map(str.lower), CERTIFICATES, min_size=1, max_size=4), st.lists(ALIASES, max_size=3))
def test_a_simulation_is_what_a_rewrite_gives(
    before: dict[str, bytes] | None, wanted: dict[str, bytes], unwanted: list[str]
) -> None:
    data = None if before is None else store_of(before)
    snapshot = keystore.read(data, HERE, PASSWORD)
    distinct = {der: alias for alias, der in wanted.items()}
    plan = plan_import(snapshot, distinct, purpose="", aliases=list(distinct.values()))
    assert plan.changes or plan.conflicts or set(distinct) <= set(snapshot.anchors)
    for each in (
        replace(plan, actions=tuple(a for a in plan.actions if a not in plan.conflicts)),
        plan_removal(snapshot, [*unwanted, "a"], purpose=""),
    ):
        made = after(each, data)
        assert differences(simulate(each), made.entries) == ()
        assert (differences(snapshot.entries, made.entries) != ()) == each.changes


def test_differences_name_what_came_went_and_changed_in_visible_letters() -> None:
    before = snapshot_of({"a": TRUSTED.der, "b": ROOT.der, "c\u202e": LEAF.der})
    after = snapshot_of({"d\n": NEW.der, "b": NEW.der, "a": TRUSTED.der}, AT.replace(year=2030))
    assert differences(before.entries, after.entries) == (r"d\x0a came", r"c\u{202e} went", "b changed")
    assert differences(before.entries, before.entries[::-1]) == ()
    first, last = (snapshot_of({"a": der}).entries[0] for der in (ROOT.der, NEW.der))
    assert differences([first, last], [last, first]) == ()
    assert differences([first, last], [last, last]) == differences([first], [first, first]) == ("a changed",)


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


def test_a_plan_that_was_applied_before_says_so() -> None:
    plan = plan_import(snapshot_of({"a": ROOT.der}), [NEW.der], purpose="", aliases=["b"])
    with pytest.raises(StalePlan, match=f"{HERE} holds already what plan {plan.id} is for: b came; it was applied before, or"):
        require_fresh(plan, snapshot_of({"b": NEW.der, "a": ROOT.der}))


# --- aliases ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=16))  # a CN has 64 bytes
def test_a_suggested_alias_is_short_plain_and_of_this_certificate_only(name: str) -> None:
    one, other = (issue(name, key=KEY, key_ids=False) for _ in range(2))  # they differ in their serial number
    alias = suggest_alias(one.der)
    assert re.fullmatch(r"allegra-[a-z0-9.-]{1,40}-[0-9a-f]{8}", alias)
    assert alias.endswith(sha256_of(one.der)[:8])
    assert alias == suggest_alias(one.der) != suggest_alias(other.der)
