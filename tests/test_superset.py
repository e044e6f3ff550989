"""The superset: every store trusts what the runtime trusts and what is private, whichever one a JVM opens first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import (
    JvmCase,
    Snapshot,
    jvm_verdicts,
    keystore,
    plan_import,
    plan_superset,
    plan_supersets,
    read_keystore,
)
from allegra_tls_kit.errors import CertificateError, PasswordNeeded, PlanRefused
from allegra_tls_kit.java_home import default_truststore, java_home_of
from allegra_tls_kit.keystore import Entry, EntryKind
from allegra_tls_kit.plan import differences
from allegra_tls_kit.superset import is_copied, private_anchors, runtime_alias
from tests.chains import issue
from tests.planning import ALIASES, AT, CERTIFICATES, HERE, NOTHING, after, carried_out, snapshot_of, store_of, told
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.stores import Stores

CACERTS = Path("/usr/lib/jvm/java-21/lib/security/cacerts")
COPIED = CERTIFICATES.map(lambda der: (runtime_alias(der), der))
THEIRS = st.tuples(ALIASES.filter(lambda alias: not alias.startswith("allegra-")), CERTIFICATES)
CONTENTS = st.none() | st.lists(COPIED | THEIRS, max_size=5).map(dict)
RUNTIMES = st.sets(CERTIFICATES, min_size=1)


def cacerts(*ders: bytes, path: Path = CACERTS) -> Snapshot:
    return snapshot_of({f"ca{number}": der for number, der in enumerate(ders)}, path=path)


def test_a_superset_adds_the_runtime_s_cas_and_the_private_ones_under_aliases_that_tell_them_apart() -> None:
    plan = plan_superset(NOTHING, cacerts(ROOT.der, TRUSTED.der, NEW.der), [NEW.der, LEAF.der], purpose="the first store wins")
    aliases = [alias for _, alias in told(plan)]
    assert [kind for kind, _ in told(plan)] == ["add"] * 4
    assert [alias.rpartition("-")[0] for alias in aliases] == [
        *("allegra-new-ca", "allegra-mail.example.com", "allegra-jre-root-ca", "allegra-jre-trusted-ca"),
    ]
    assert plan.actions[0].reason == "private, wanted in every store"
    assert plan.actions[3].reason == f"trusted by the runtime ({CACERTS})"
    made = after(plan, None)
    assert [is_copied(entry) for entry in made.entries] == [False, False, True, True]
    assert private_anchors(made, cacerts(TRUSTED.der)) == (NEW.der, LEAF.der)


def test_after_an_update_of_java_copies_that_it_dropped_go_and_new_ones_come() -> None:
    first = plan_superset(snapshot_of({"theirs": LEAF.der}), cacerts(ROOT.der, TRUSTED.der), purpose="")
    data = carried_out(first, store_of({"theirs": LEAF.der}))
    plan = plan_superset(keystore.read(data, HERE, PASSWORD), cacerts(TRUSTED.der, NEW.der), purpose="")
    assert told(plan) == [
        *(("keep", runtime_alias(TRUSTED.der)), ("add", runtime_alias(NEW.der)), ("remove", runtime_alias(ROOT.der))),
    ]
    assert plan.actions[-1].reason == f"copied from a runtime, which trusts it no more ({CACERTS})"
    assert set(after(plan, data).anchors) == {LEAF.der, TRUSTED.der, NEW.der}


def test_what_a_person_wants_or_named_is_not_taken_for_a_copy() -> None:
    like_a_copy = {"allegra-jre-mine": ROOT.der, runtime_alias(ROOT.der): LEAF.der, runtime_alias(NEW.der): NEW.der}
    plan = plan_superset(snapshot_of(like_a_copy), cacerts(TRUSTED.der), [NEW.der], purpose="")
    assert told(plan) == [("keep", runtime_alias(NEW.der)), ("add", runtime_alias(TRUSTED.der))]
    no_certificate = Entry("allegra-jre-x-01234567", EntryKind.TRUSTED, b"none", "0" * 64, anchor=True)
    assert not is_copied(no_certificate)
    a_key = Entry("key", EntryKind.SECRET_KEY, None, "0" * 64, anchor=False)
    source = replace(cacerts(TRUSTED.der), entries=(a_key, *cacerts(TRUSTED.der).entries))
    assert told(plan_superset(NOTHING, source, purpose="")) == [("add", runtime_alias(TRUSTED.der))]


@settings(max_examples=100, deadline=None)
@given(CONTENTS, RUNTIMES, RUNTIMES, st.sets(CERTIFICATES, max_size=2))
def test_a_superset_trusts_all_of_it_leaves_the_rest_alone_and_is_done_in_one_plan(
    before: dict[str, bytes] | None, runtime: set[bytes], updated: set[bytes], private: set[bytes]
) -> None:
    data = None if before is None else store_of(before)
    snapshot = keystore.read(data, HERE, PASSWORD)
    for now in (runtime, updated):
        plan = plan_superset(snapshot, cacerts(*now), private, purpose="")
        assert not plan.conflicts
        data, others = carried_out(plan, data), {entry for entry in snapshot.entries if not is_copied(entry)}
        snapshot = keystore.read(data, HERE, PASSWORD)
        assert now | private <= set(snapshot.anchors)
        assert others <= set(snapshot.entries)
        assert {e.certificate for e in snapshot.entries if is_copied(e)} <= now | private
        assert not plan_superset(snapshot, cacerts(*now), private, purpose="").changes


def test_what_is_private_in_one_store_all_of_them_get_and_then_nothing_changes() -> None:
    contents: dict[str, dict[str, bytes] | None] = {"a.ks": {"x": NEW.der}, "b.ks": {"y": LEAF.der, "z": ROOT.der}, "c.ks": None}
    data = {Path(name): None if held is None else store_of(held) for name, held in contents.items()}

    def stores() -> Iterable[Snapshot]:
        return [keystore.read(held, path, PASSWORD) for path, held in data.items()]

    plans = plan_supersets(stores(), cacerts(ROOT.der), [TRUSTED.der], purpose="")
    assert [plan.keystore for plan in plans] == list(data)
    data = {plan.keystore: carried_out(plan, data[plan.keystore]) for plan in plans}
    assert [set(store.anchors) for store in stores()] == [{NEW.der, LEAF.der, ROOT.der, TRUSTED.der}] * 3
    again = plan_supersets(stores(), cacerts(ROOT.der), purpose="")
    assert [plan.changes for plan in again] == [False] * 3


@pytest.mark.parametrize(
    ("snapshot", "source", "private", "error", "said"),
    [
        (NOTHING, cacerts(), [], PlanRefused, "nothing to trust in it, so there is nothing to copy"),
        (NOTHING, keystore.read(None, CACERTS), [], PlanRefused, "name its cacerts"),
        (cacerts(ROOT.der), cacerts(ROOT.der), [], PlanRefused, "the runtime's own store"),
        (NOTHING, cacerts(ROOT.der, b"\x30\x03\x02\x01\x05"), [], PlanRefused, "ca1 is no certificate, and Java loads no such"),
        (NOTHING, cacerts(ROOT.der), [b"none"], CertificateError, "no X.509 certificate"),
        (replace(NOTHING, locked=True), cacerts(ROOT.der), [], PasswordNeeded, "read it again with its password"),
    ],
)
def test_a_superset_of_nothing_is_refused(
    snapshot: Snapshot, source: Snapshot, private: list[bytes], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        plan_superset(snapshot, source, private, purpose="")


def test_a_real_jvm_trusts_public_and_private_servers_with_it_and_only_private_ones_without(java: Path, tmp_path: Path) -> None:
    home = java_home_of(java)
    assert home is not None
    real = read_keystore(default_truststore(home).path)
    public, private = issue("Public Root", ca=True), issue("Private Root", ca=True)
    data = store_of({"private": private.der})
    one, all_of_it = tmp_path / "one.ks", tmp_path / "superset.ks"
    one.write_bytes(data)
    runtime = replace(real, entries=(*real.entries, *cacerts(public.der).entries))
    plan = plan_superset(replace(read_keystore(one, lambda: PASSWORD), path=HERE), runtime, purpose="")
    all_of_it.write_bytes(carried_out(plan, data, at=AT) or b"")
    assert len(read_keystore(all_of_it).anchors) == len(set(real.anchors)) + 2
    chains = [(issue("mail", root).der, root.der) for root in (public, private)] + [(real.anchors[0],)]
    verdicts = jvm_verdicts([JvmCase(chain, store) for store in (one, all_of_it) for chain in chains], java=java)
    assert [verdict.trusted for verdict in verdicts] == [False, True, False, True, True, True]


@pytest.mark.parametrize("name", ["aes.p12", "mac-only.p12", "passwordless.p12"])
def test_a_pkcs12_store_becomes_a_superset_and_back(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
    snapshot = keystore.read(data, HERE, PASSWORD)
    plan = plan_superset(snapshot, cacerts(NEW.der), purpose="")
    made = carried_out(plan, data)
    full = keystore.read(made, HERE, PASSWORD)
    assert NEW.der in full.anchors
    update = plan_superset(full, cacerts(ROOT.der), purpose="")
    again = keystore.read(carried_out(update, made), HERE, PASSWORD)
    back = plan_import(snapshot, [ROOT.der], purpose="", aliases=[runtime_alias(ROOT.der)])
    assert differences(after(back, data).entries, again.entries) == ()
