"""One purpose over several stores: after the plans Java trusts in every mode in which Allegra can be set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import keystore
from allegra_tls_kit.effective import Treatment
from allegra_tls_kit.errors import PasswordNeeded, PlanRefused
from allegra_tls_kit.java_home import Jvm, default_truststore
from tests.changing import made
from tests.planning import carried_out
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores import Stores

HOST = "mail.example.com"
OWN, LDAPS, CACERTS = f"{HOST}.ks", "trackplus.ks", "cacerts"
IF_AVAILABLE = "TLS if available"


@pytest.fixture
def allegra(tmp_path: Path) -> kit.Allegra:
    """An Allegra without a keystore yet, on a Java whose cacerts holds ROOT."""
    security = tmp_path / "jdk" / "lib" / "security"
    security.mkdir(parents=True)
    (security / "cacerts").write_bytes(made({"root": ROOT.der}))
    (tmp_path / "keystore").mkdir()
    jvm = Jvm(tmp_path / "jdk", "somewhere", "21.0.8", default_truststore(tmp_path / "jdk"))
    return kit.Allegra(tmp_path, "argument", tmp_path / "keystore", (jvm,), ())


def planned(url: str, allegra: kit.Allegra, *certificates: bytes, snapshots: tuple[kit.Snapshot, ...] = ()) -> kit.Plans:
    endpoint = kit.Endpoint.parse(url)
    stores = kit.effective_truststores(endpoint, allegra)
    return kit.plan_for(endpoint, stores, certificates or [NEW.der], purpose="trust it", snapshots=snapshots)


def read(path: Path) -> kit.Snapshot:
    return kit.read_keystore(path, lambda: PASSWORD)


def told(plans: kit.Plans) -> list[tuple[str, tuple[str, ...], list[str]]]:
    return [(s.plan.keystore.name, s.modes, [action.kind.value for action in s.plan.actions]) for s in plans.stores]


MODES: list[tuple[str, bool, list[tuple[str, tuple[str, ...]]]]] = [
    ("smtps", False, [(OWN, ("SSL",))]),
    ("imaps", True, [(OWN, ("SSL",))]),
    ("smtp", False, [(OWN, ("TLS", IF_AVAILABLE))]),
    ("smtp", True, [(OWN, ("TLS", IF_AVAILABLE))]),
    ("imap", False, [(OWN, ("TLS",)), (CACERTS, (IF_AVAILABLE,))]),
    ("pop3", True, [(OWN, ("TLS",)), (CACERTS, (IF_AVAILABLE,))]),
    ("ldaps", False, [(LDAPS, ("SSL",))]),
    ("ldaps", True, [(LDAPS, ("SSL",))]),
    ("ldap", False, [(LDAPS, ())]),
]


@pytest.mark.parametrize(("scheme", "there", "expected"), MODES)
def test_every_store_that_is_read_in_some_mode_has_its_plan_and_then_trusts(
    scheme: str,
    there: bool,  # noqa: FBT001 - a row of a table
    expected: list[tuple[str, tuple[str, ...]]],
    allegra: kit.Allegra,
) -> None:
    if there:
        for name in (OWN, LDAPS):
            (allegra.keystore_folder / name).write_bytes(made({"theirs": TRUSTED.der}))
    url = f"{scheme}://{HOST}"
    plans = planned(url, allegra)
    assert [(name, modes) for name, modes, _ in told(plans)] == expected
    assert plans.changes
    assert len({store.plan.id for store in plans.stores}) == len(expected)
    for plan in (store.plan for store in plans.stores):
        data = plan.keystore.read_bytes() if plan.keystore.exists() else None
        plan.keystore.write_bytes(carried_out(plan, data) or b"")
    after = kit.effective_truststores(kit.Endpoint.parse(url), allegra)
    assert {(store.path.name, store.modes) for store in after if store.modes} == {each for each in expected if each[1]}
    assert all(NEW.der in store.anchors for store in after if store.modes)
    assert not planned(url, allegra).changes


def test_a_store_that_is_made_says_what_it_replaces(allegra: kit.Allegra) -> None:
    (store,) = planned(f"imaps://{HOST}", allegra).stores
    assert store.why == (
        f"it is made; Java reads it for {HOST} in the mode SSL then, instead of {allegra.jvms[0].cacerts.path}, and trusts only "
        "what is in it; plan_superset brings the runtime's CAs in as well"
    )
    (allegra.keystore_folder / OWN).write_bytes(made({"theirs": TRUSTED.der}))
    own, runtime = planned(f"imap://{HOST}", allegra).stores
    assert own.why == f"Java reads it for {HOST} in the mode TLS"
    assert (
        runtime.why == f"IMAP and POP3 in the mode {IF_AVAILABLE} name no store of Allegra's, and Java reads that of its runtime"
    )


@pytest.mark.parametrize("scheme", ["imaps", "imap", "smtp", "ldaps"])
def test_nothing_is_made_where_the_runtime_s_store_has_all_of_it(scheme: str, allegra: kit.Allegra) -> None:
    plans = planned(f"{scheme}://{HOST}", allegra, ROOT.der)
    assert [(name, kinds) for name, _, kinds in told(plans)] == [(CACERTS, ["keep"])]
    assert not plans.changes
    assert ".ks does not exist, and Java reads this store in the mode" in plans.stores[0].why
    assert planned(f"{scheme}://{HOST}", allegra, ROOT.der, NEW.der).changes


def test_for_ldap_the_file_of_the_manual_is_planned_where_it_is_given(allegra: kit.Allegra) -> None:
    other = read(allegra.keystore_folder / "other.ks")
    plans = planned(f"ldaps://{HOST}", allegra, snapshots=(read(allegra.keystore_for(HOST)), other))
    assert [(name, modes) for name, modes, _ in told(plans)] == [(LDAPS, ("SSL",)), (OWN, ()), ("other.ks", ())]
    assert plans.stores[1].why == f"Allegra's manual names this file for {HOST}; its ancestor's source reads {LDAPS} instead"
    assert plans.stores[2].why == f"asked for; as far as is known Allegra does not read it for ldaps://{HOST}:636"


def test_a_store_under_a_password_is_planned_as_it_was_read_with_it(allegra: kit.Allegra, stores: Stores) -> None:
    path = allegra.keystore_for(HOST)
    path.write_bytes((stores.folder / "aes.p12").read_bytes())
    with pytest.raises(PasswordNeeded, match=f"{HOST}.ks: not all of it was read"):
        planned(f"imaps://{HOST}", allegra)
    assert told(planned(f"imaps://{HOST}", allegra, snapshots=(read(path),))) == [(OWN, ("SSL",), ["add"])]


def test_a_store_that_allegra_may_not_read_says_so(allegra: kit.Allegra) -> None:
    endpoint = kit.Endpoint.parse(f"imaps://{HOST}")
    (allegra.keystore_folder / OWN).write_bytes(made({"theirs": TRUSTED.der}))
    (seen,) = kit.effective_truststores(endpoint, allegra)
    runtime = replace(seen, path=allegra.jvms[0].cacerts.path, snapshot=read(allegra.jvms[0].cacerts.path))
    stores = (runtime, replace(seen, modes=(), treatment=Treatment.PASSED_OVER))
    (store,) = kit.plan_for(endpoint, stores, [NEW.der], purpose="").stores
    assert (store.plan.keystore.name, store.modes) == (OWN, ("SSL",))
    assert store.why.endswith("once its rights are corrected: Allegra may not read it now, and Java passes over it")


@pytest.mark.parametrize(
    "data", [b"no keystore", b"\xce\xce\xce\xce" + made({"a": LEAF.der})[4:], made({"a": b"\x30\x03\x02\x01\x05"})]
)
def test_what_java_does_not_load_is_not_added_to(data: bytes, allegra: kit.Allegra) -> None:
    (allegra.keystore_folder / OWN).write_bytes(data)
    with pytest.raises(PlanRefused, match="Java does not load this file, whatever is added to it; restore a backup"):
        planned(f"imaps://{HOST}", allegra)


def test_what_could_not_be_read_from_here_has_to_be_given(allegra: kit.Allegra) -> None:
    path = allegra.keystore_for(HOST)
    path.mkdir()
    endpoint = kit.Endpoint.parse(f"imaps://{HOST}")
    unseen = [replace(s, treatment=Treatment.UNKNOWN, snapshot=None) for s in kit.effective_truststores(endpoint, allegra)]
    with pytest.raises(PlanRefused, match="could not be read from here; read it with `read_keystore` and give it"):
        kit.plan_for(endpoint, unseen, [NEW.der], purpose="")
    given = [keystore.read(None, store.path) for store in unseen]
    assert kit.plan_for(endpoint, unseen, [NEW.der], purpose="", snapshots=given).changes


def test_where_no_java_was_found_the_own_store_is_all_there_is(allegra: kit.Allegra) -> None:
    plans = planned(f"imap://{HOST}", replace(allegra, jvms=()))
    assert [(name, modes) for name, modes, _ in told(plans)] == [(OWN, ("TLS",))]
    assert "instead of" not in plans.stores[0].why
