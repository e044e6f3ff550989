from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.choice import check_fingerprint
from allegra_tls_kit.rehearsal import FORMER_SERVER, PINNED_SERVER, SERVERS, imported
from allegra_tls_kit.standing import EntryState, ServerState
from tests.shown import require_sums

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import JavaSays


@pytest.fixture
def laboratory() -> Iterator[kit.Laboratory]:
    """One that may be changed."""
    with kit.demo() as running:
        yield running


def review_of(rehearsal_keystore: Path, endpoints: tuple[kit.Endpoint, ...]) -> kit.Review:
    results = kit.probe_all(endpoints)
    return kit.review(kit.read_keystore(rehearsal_keystore, "changeit"), results, at=results[0].at)


def test_an_import_is_made_as_in_the_notebook_and_recorded_in_the_laboratory(laboratory: kit.Laboratory, records: Path) -> None:
    before = set(records.iterdir())
    left = kit.rehearse_import(laboratory)
    store = kit.read_keystore(left.keystore, "changeit")
    assert left.keystore == laboratory.home / "keystore" / "localhost.ks"
    assert store.anchors == kit.read_certificates(laboratory.ca_file)
    assert left.endpoints == (laboratory.endpoints["smtp"],)
    assert left.record.outcome is kit.Outcome.VERIFIED
    require_sums(left.record.path)
    assert left.record.path.is_relative_to(laboratory.home.parent)
    assert set(records.iterdir()) == before
    (change,) = kit.read_record(left.record.path).changes
    back = kit.plan_rollback(change, store)
    assert kit.simulate(back) == ()


def test_the_record_can_be_put_elsewhere_and_a_second_time_changes_nothing(laboratory: kit.Laboratory, tmp_path: Path) -> None:
    store = kit.rehearse_import(laboratory, tmp_path / "record").keystore.read_bytes()
    again = kit.rehearse_import(laboratory, str(tmp_path / "record"))
    assert again.keystore.read_bytes() == store
    assert again.record.path == tmp_path / "record"
    told = kit.read_record(tmp_path / "record")
    assert ([change.changed for change in told.changes], told.faults) == ([True], ())


def test_only_what_the_provider_read_out_is_imported(laboratory: kit.Laboratory, journal: kit.Journal) -> None:
    with pytest.raises(kit.KitError, match="does not show the chosen certificate"):
        imported(laboratory, "imap", kit.locate(laboratory.home), journal)  # which sends no root
    assert not (laboratory.home / "keystore").exists()


def test_a_history_leaves_something_to_renew_and_then_something_to_remove(
    laboratory: kit.Laboratory, journal: kit.Journal, java_says: JavaSays
) -> None:
    left = kit.rehearse_history(laboratory)
    first = review_of(left.keystore, left.endpoints)
    states = {server.endpoint: server.state for server in first.servers}
    expected = [ServerState.TRUSTED, ServerState.REFUSED, ServerState.TRUSTED, ServerState.RENEWAL_DUE]
    assert states == dict(zip([laboratory.endpoints[name] for name in SERVERS], expected, strict=True))
    assert [e.state for e in first.entries] == [EntryState.IN_USE, EntryState.RENEWED, EntryState.UNKNOWN]
    assert first.removable == ()

    (renewal,) = first.renewals
    (candidate,) = renewal.candidates
    assert renewal.endpoint == laboratory.endpoints[PINNED_SERVER]
    assert renewal.replaces == (first.entries[1].entry.alias,)
    check_fingerprint(candidate.der, laboratory.reference_fingerprints[PINNED_SERVER])
    assert java_says(renewal.endpoint, left.keystore).startswith("REFUSED PKIX")
    plan = kit.plan_import(kit.read_keystore(left.keystore, "changeit"), [candidate.der], purpose="renewed")
    assert kit.verify(kit.apply(plan, journal, confirm=plan.id), renewal.endpoint, journal).trusted

    second = journal.keep(review_of(left.keystore, left.endpoints))
    assert (second.renewals, second.removable) == ((), tuple(entry.entry.alias for entry in first.entries[1:]))
    assert FORMER_SERVER in second.removable[1]
    plan = kit.plan_removal(kit.read_keystore(left.keystore, "changeit"), second.removable, purpose="clean up")
    kit.apply(plan, journal, confirm=plan.id)
    for endpoint in left.endpoints:
        assert java_says(endpoint, left.keystore) == "TRUSTED"
    last = review_of(left.keystore, left.endpoints)
    assert (last.removable, len(last.entries)) == ((), 2)


def test_the_record_of_a_history_tells_what_was_added(laboratory: kit.Laboratory) -> None:
    left = kit.rehearse_history(laboratory)
    held = {sha256_of(der) for der in kit.read_keystore(left.keystore).anchors}
    assert kit.added_by(kit.read_record(left.record.path).changes) == held
    assert len(held) == 3


def test_no_java_is_needed(laboratory: kit.Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", "")
    left = kit.rehearse_history(laboratory)
    assert len(kit.read_keystore(left.keystore).entries) == 3
    assert "no JVM was asked" in left.record.journal.read_text("utf-8")
