"""The whole import once, unattended, against the embedded laboratory: what a person does in the notebooks, step by step."""

from __future__ import annotations

from allegra_tls_kit.demo import demo
from allegra_tls_kit.evidence import open_journal, write_record
from allegra_tls_kit.files import default_anchors, read_keystore
from allegra_tls_kit.locate import locate
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.rehearsal import ROOT_SERVER, imported
from allegra_tls_kit.report import show, show_server, show_survey
from allegra_tls_kit.way_back import plan_rollback


def walk_through() -> bool:
    """Look, choose, compare, plan, apply, verify, roll back; print each step; tell whether all went as it should.

    The record is a new folder where records are made. Needs no Java, and uses one where it is at hand.
    """
    journal = open_journal(title="demo")
    with demo() as laboratory:
        allegra = journal.keep(locate(laboratory.home))
        print(show(allegra))
        _say("1. Look at all servers of the laboratory")
        print(show_survey(probe_all(laboratory.endpoints.values(), timeout=3), default_anchors(allegra)))
        done = imported(laboratory, ROOT_SERVER, allegra, journal)
        _say(f"2. Look at one of them: {done.result.endpoint}")
        print(show_server(done.result, done.diagnosis))
        _say("3. Choose a certificate and compare it with the reference fingerprint")
        print(done.choice)
        _say("4. Plan, and apply exactly that plan")
        print(show(done.applied.plan))
        print(show(done.applied))
        _say("5. Verify: look again, judge with what is in the store now")
        print(show(done.verified))
        _say("6. The way back is a plan too")
        print(show(plan_rollback(done.applied, read_keystore(done.choice.keystore, done.choice.password_from))))
    record = write_record(journal)
    trusted_before = "trusted" if done.diagnosis.trusted else "refused"
    print(f"\nBefore: {trusted_before}. After: {'trusted' if done.verified.trusted else 'refused'}. Record: {record.record}")
    return done.verified.trusted and not done.diagnosis.trusted


def _say(step: str) -> None:
    print(f"\n=== {step}\n")
