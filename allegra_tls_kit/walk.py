"""The whole import once, unattended, against the embedded laboratory: what a person does in the notebooks, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.anchor import anchor_candidates
from allegra_tls_kit.change import apply, verify
from allegra_tls_kit.demo import demo
from allegra_tls_kit.files import default_anchors, read_keystore
from allegra_tls_kit.locate import locate
from allegra_tls_kit.plan import ImportChoice, plan_import, plan_rollback
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.report import show, show_server, show_survey
from allegra_tls_kit.runbook import open_journal, write_record
from allegra_tls_kit.survey import judge

if TYPE_CHECKING:
    from pathlib import Path

    from allegra_tls_kit.change import Verified
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.journal import Journal

SERVER = "smtp"
"""The laboratory's mail server that the walk imports for."""


def walk_through(records: str | Path = "") -> bool:
    """Look, choose, compare, plan, apply, verify, roll back; print each step; tell whether all went as it should.

    `records` is the record's folder; empty for a new one under the user's home. Needs no Java, and uses one where it is at hand.
    """
    journal = open_journal(records, "demo")
    with demo() as laboratory:
        allegra = journal.keep(locate(laboratory.home))
        anchors = default_anchors(allegra)
        print(show(allegra))
        _say("1. Look at all servers of the laboratory")
        results = probe_all(laboratory.endpoints.values(), timeout=3)
        print(show_survey(results, anchors))

        endpoint = laboratory.endpoints[SERVER]
        _say(f"2. Look at one of them: {endpoint}")
        result = journal.keep(next(result for result in results if result.endpoint == endpoint))
        diagnosis = journal.keep(judge(result, anchors))
        print(show_server(result, diagnosis))

        _say("3. Choose a certificate and compare it with the reference fingerprint")
        choice = journal.keep(
            ImportChoice(
                endpoint=endpoint.url,
                certificate=anchor_candidates(diagnosis)[0].sha256,
                reference=laboratory.reference_fingerprints[SERVER],
                reference_from="the laboratory's own note",
                keystore=str(allegra.keystore_for(endpoint.host)),
            )
        )
        certificate = choice.checked_certificate(result.chain)
        print(choice)
        verified = _changed(choice, certificate, endpoint, journal)
    record = write_record(journal)
    trusted_before = "trusted" if diagnosis.trusted else "refused"
    print(f"\nBefore: {trusted_before}. After: {'trusted' if verified.trusted else 'refused'}. Record: {record.record}")
    return verified.trusted and not diagnosis.trusted


def _changed(choice: ImportChoice, certificate: bytes, endpoint: Endpoint, journal: Journal) -> Verified:
    _say("4. Plan, and apply exactly that plan")
    store = read_keystore(choice.keystore, choice.password_from)
    plan = plan_import(store, [certificate], purpose=f"trust {endpoint.url}")
    print(show(plan))
    applied = apply(plan, journal, confirm=plan.id, password=choice.password_from)
    print(show(applied))

    _say("5. Verify: look again, judge with what is in the store now")
    verified = verify(applied, endpoint, journal)
    print(show(verified))

    _say("6. The way back is a plan too")
    print(show(plan_rollback(applied, read_keystore(choice.keystore, choice.password_from))))
    return verified


def _say(step: str) -> None:
    print(f"\n=== {step}\n")
