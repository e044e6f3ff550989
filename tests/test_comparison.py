"""Two stores held against each other, what this kit put into one, and what of an old store belongs into a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from allegra_tls_kit import (
    Journal,
    Presence,
    Snapshot,
    compare_stores,
    ours,
    plan_carry_over,
    plan_import,
    read_keystore,
    read_record,
    suggest_alias,
)
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import PasswordNeeded
from allegra_tls_kit.superset import runtime_alias
from tests.planning import STORES, after, applied, snapshot_of, store_of, told
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from tests.stores import Stores

OLD, CURRENT = Path("/usr/lib/jvm/17/lib/security/cacerts"), Path("/usr/lib/jvm/21/lib/security/cacerts")
MIRRORED = {
    Presence.ONLY_IN_ONE: Presence.ONLY_IN_OTHER,
    Presence.ONLY_IN_OTHER: Presence.ONLY_IN_ONE,
    Presence.TRUSTED_IN_ONE: Presence.TRUSTED_IN_OTHER,
    Presence.TRUSTED_IN_OTHER: Presence.TRUSTED_IN_ONE,
}


def told_of(one: Snapshot, other: Snapshot) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(row.presence.value, row.in_one, row.in_other) for row in compare_stores(one, other).rows]


# --- store against store -----------------------------------------------------------------------------------------------------


def test_a_comparison_is_by_certificate_whatever_the_alias() -> None:
    one = snapshot_of({"gone": LEAF.der, "same": ROOT.der, "b": NEW.der, "a": NEW.der})
    other = snapshot_of({"same": ROOT.der, "came": TRUSTED.der, "renamed": NEW.der}, path=CURRENT)
    assert told_of(one, other) == [
        ("only in one", ("gone",), ()),
        ("only in the other", (), ("came",)),
        ("in both, other alias", ("a", "b"), ("renamed",)),
        ("in both", ("same",), ("same",)),
    ]
    comparison = compare_stores(one, other)
    assert (comparison.one, comparison.other, comparison.same) == (one, other, False)
    (only,) = comparison.of(Presence.ONLY_IN_ONE)
    assert (only.sha256, only.certificate, only.kind) == (sha256_of(LEAF.der), LEAF.der, "trustedCertEntry")
    assert compare_stores(snapshot_of({"x": ROOT.der}), snapshot_of({"y": ROOT.der})).same


def test_what_java_sees_in_one_of_them_only_is_no_sameness(stores: Stores) -> None:
    encrypted, plain_ = (read_keystore(stores.folder / name, lambda: PASSWORD) for name in ("aes.p12", "mac-only.p12"))
    rows = {row.in_one: row.presence for row in compare_stores(plain_, encrypted).rows}
    assert rows["t1",] is Presence.TRUSTED_IN_ONE
    assert not compare_stores(encrypted, plain_).same
    assert compare_stores(plain_, plain_).same
    assert {row.kind.value for row in compare_stores(plain_, plain_).rows} == {
        *("PrivateKeyEntry", "SecretKeyEntry", "trustedCertEntry"),
    }


def test_a_missing_store_counts_as_empty() -> None:
    assert told_of(snapshot_of(None), snapshot_of({"a": ROOT.der})) == [("only in the other", (), ("a",))]
    assert compare_stores(snapshot_of(None), snapshot_of({})).same


def test_a_store_as_a_record_tells_of_it_compares_with_the_live_one(journal: Journal) -> None:
    live = snapshot_of({"a": ROOT.der, "b": NEW.der})
    plan = plan_import(snapshot_of({"a": ROOT.der, "c": LEAF.der}), [NEW.der], purpose="")
    journal.keep_all((plan, applied(plan)))
    then = read_record(journal.path.parent).change().plan.snapshot
    assert told_of(then, live) == [
        *(("only in one", ("c",), ()), ("only in the other", (), ("b",)), ("in both", ("a",), ("a",))),
    ]


@settings(max_examples=100, deadline=None)
@given(STORES, STORES)
def test_a_comparison_is_symmetric_and_names_everything_once(
    left: dict[str, bytes] | None, right: dict[str, bytes] | None
) -> None:
    one, other = snapshot_of(left), snapshot_of(right, path=CURRENT)
    forth, back = compare_stores(one, other), compare_stores(other, one)
    mirrored = {
        replace(r, presence=MIRRORED.get(r.presence, r.presence), in_one=r.in_other, in_other=r.in_one) for r in back.rows
    }
    assert set(forth.rows) == mirrored
    assert forth.same == back.same == (set(one.anchors) == set(other.anchors))
    for store, named in ((one, [r.in_one for r in forth.rows]), (other, [r.in_other for r in forth.rows])):
        assert sorted(alias for aliases in named for alias in aliases) == sorted(entry.alias for entry in store.entries)


# --- ours --------------------------------------------------------------------------------------------------------------------


def test_ours_is_what_our_alias_or_a_record_says(stores: Stores) -> None:
    snapshot = snapshot_of(
        {suggest_alias(NEW.der): NEW.der, "debian:allegra-root.pem": ROOT.der, "x": LEAF.der, "y": TRUSTED.der}
    )
    assert [entry.certificate for entry in ours(snapshot)] == [NEW.der, ROOT.der]
    assert [entry.certificate for entry in ours(snapshot, {sha256_of(LEAF.der)})] == [NEW.der, ROOT.der, LEAF.der]
    keys = read_keystore(stores.folder / "mac-only.p12", lambda: PASSWORD)
    assert [entry.alias for entry in ours(keys, {sha256_of(LEAF.der), sha256_of(TRUSTED.der)})] == ["t1"]


# --- carry-over --------------------------------------------------------------------------------------------------------------


def test_what_is_ours_goes_along_to_the_new_java_and_what_nobody_can_tell_stays() -> None:
    old = snapshot_of({suggest_alias(NEW.der): NEW.der, "corp": LEAF.der, "ca1": ROOT.der, "ca2": TRUSTED.der}, path=OLD)
    new = snapshot_of({"ca1": ROOT.der}, path=CURRENT)
    plan = plan_carry_over(old, new, purpose="Java 21", added={sha256_of(LEAF.der)})
    assert told(plan) == [("add", suggest_alias(NEW.der)), ("add", "corp"), ("left_out", "ca2")]
    assert "whether its vendor delivered it or somebody added it is not known" in plan.actions[2].reason
    assert (plan.snapshot, plan.purpose) == (new, "Java 21")
    made = after(plan, store_of({"ca1": ROOT.der}))
    assert set(made.anchors) == {ROOT.der, NEW.der, LEAF.der}
    assert not plan_carry_over(old, made, purpose="Java 21", added={sha256_of(LEAF.der)}).changes


def test_with_the_vendor_s_store_what_somebody_added_goes_along_and_what_the_vendor_dropped_does_not() -> None:
    old = snapshot_of({"mine": NEW.der, "ca1": ROOT.der, "ca2": TRUSTED.der}, path=OLD)
    vendor = snapshot_of({"x": ROOT.der, "y": TRUSTED.der}, path=OLD)
    plan = plan_carry_over(old, snapshot_of({"ca1": ROOT.der}, path=CURRENT), purpose="", vendor=vendor)
    assert told(plan) == [("add", "mine"), ("left_out", "ca2")]
    assert plan.actions[1].reason.endswith("its vendor has dropped it")


def test_an_alias_that_is_taken_is_changed_and_one_certificate_comes_once() -> None:
    old = snapshot_of({"allegra-x": NEW.der, "allegra-y": NEW.der, "allegra-z": ROOT.der}, path=OLD)
    plan = plan_carry_over(old, snapshot_of({"allegra-x": LEAF.der, "q": ROOT.der}, path=CURRENT), purpose="")
    assert told(plan) == [("add", suggest_alias(NEW.der)), ("keep", "q")]


def test_keys_copies_and_what_java_did_not_trust_are_left_out(stores: Stores) -> None:
    everything = {sha256_of(der) for der in (LEAF.der, TRUSTED.der, NEW.der)}
    new = snapshot_of({}, path=CURRENT)
    keys = plan_carry_over(read_keystore(stores.folder / "mac-only.p12", lambda: PASSWORD), new, purpose="", added=everything)
    assert sorted(told(keys)) == [("add", "t1"), ("left_out", "k1"), ("left_out", "k2"), ("left_out", "s1")]
    hidden = plan_carry_over(read_keystore(stores.folder / "aes.p12", lambda: PASSWORD), new, purpose="", added=everything)
    assert "Java did not trust it in the old store" in {a.alias: a.reason for a in hidden.actions}["t1"]
    copies = snapshot_of({runtime_alias(NEW.der): NEW.der, runtime_alias(ROOT.der): ROOT.der, "allegra-new": NEW.der}, path=OLD)
    plan = plan_carry_over(copies, new, purpose="", added=everything)
    assert told(plan) == [("add", "allegra-new"), ("left_out", runtime_alias(ROOT.der))]


@pytest.mark.parametrize("which", [0, 1])
def test_a_store_that_was_not_all_read_is_not_carried_over(which: int) -> None:
    stores = [snapshot_of({}, path=OLD), snapshot_of({}, path=CURRENT)]
    stores[which] = replace(stores[which], locked=True)
    with pytest.raises(PasswordNeeded):
        plan_carry_over(*stores, purpose="")


def test_a_plan_of_what_is_carried_over_is_like_one_of_an_import() -> None:
    old, new = snapshot_of({"allegra-a": NEW.der}, path=OLD), snapshot_of({}, path=CURRENT)
    carried, imported = plan_carry_over(old, new, purpose="p"), plan_import(new, [NEW.der], purpose="p", aliases=["allegra-a"])
    assert carried.id == imported.id
