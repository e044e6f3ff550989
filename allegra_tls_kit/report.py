"""What each value of the kit says to a person: `show(value)` in a cell, `print(show(value))` in a terminal.

Worst first, numbers first, one sentence of advice. What is made here is static: it reads in the saved file without a kernel.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.anchor import AnchorCandidate, anchor_candidates, next_step
from allegra_tls_kit.certificate import certificate_facts, facts_or_words, keytool_notation, role, sha256_of
from allegra_tls_kit.change import Verified
from allegra_tls_kit.comparison import Comparison
from allegra_tls_kit.effective import TRUSTED, EffectiveStore, verdicts
from allegra_tls_kit.errors import KitError
from allegra_tls_kit.evidence import RecordCheck, RecordFolder
from allegra_tls_kit.finding import Severity
from allegra_tls_kit.keystore import Snapshot
from allegra_tls_kit.locate import Allegra
from allegra_tls_kit.outcome import Recorded
from allegra_tls_kit.plan import Applied, Plan
from allegra_tls_kit.report_record import show_file, show_record_check, show_record_folder, show_recorded
from allegra_tls_kit.report_store import (
    expiry,
    show_allegra,
    show_applied,
    show_comparison,
    show_effective,
    show_plan,
    show_plans,
    show_snapshot,
    show_verified,
)
from allegra_tls_kit.several import Plans
from allegra_tls_kit.static import Badge, Cell, Code, Details, Heading, Note, Part, Static, Table, Tone
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import count, listed, visible
from allegra_tls_kit.trust import CRITICAL_DAYS, WARN_DAYS, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from allegra_tls_kit.explain import Explanation

NAMES_CHARACTERS = 120
"""Of a table of certificates; the names of a usual one."""
_SEVERITY_TONES = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.WARN, Severity.INFO: Tone.INFO}


@singledispatch
def show(value: object) -> Static:
    """Return the static form of a value of this kit; raises TypeError for anything else."""
    raise TypeError(f"there is no picture of a {type(value).__name__}")


for _kind, _picture in (
    (Snapshot, show_snapshot),
    (EffectiveStore, show_effective),
    (Plan, show_plan),
    (Plans, show_plans),
    (Comparison, show_comparison),
    (Applied, show_applied),
    (Verified, show_verified),
    (Allegra, show_allegra),
    (Path, show_file),
    (RecordFolder, show_record_folder),
    (RecordCheck, show_record_check),
    (Recorded, show_recorded),
):
    show.register(_kind, _picture)


def show_survey(results: Iterable[Probe | ProbeFailure], anchors: Sequence[bytes] | None = None) -> Static:
    """Return a survey as a table, worst first; with anchors (DER) Java's verdict beside each server."""
    judged = [(result, judge(result, anchors) if anchors is not None and result.chain else None) for result in results]
    rows = sorted((_survey_row(result, diagnosis) for result, diagnosis in judged), key=lambda row: row[0])
    words = [row[1] for row in rows]
    order = dict.fromkeys(words)
    summary = " · ".join(f"{words.count(word)} {word}" for word in order) or "nothing to show"
    head = ("state", "server", "certificate", "issuer", "valid until (UTC)", "what it means")
    return Static((Table(f"{count(len(rows), 'server')}: {summary}", head, tuple(row[2] for row in rows)),))


def show_explanations(explanations: Iterable[Explanation]) -> Static:
    """Return what a log excerpt means: for each trouble what it says, what it names, what to check, and where to go on."""
    parts: list[Part] = []
    for each in explanations:
        tone = Tone.WARN if each.hides_cause or not each.matched else Tone.BAD
        named = {"found": each.matched, "server": each.endpoint, "keystore": each.keystore, "subject": each.subject}
        rows = [(word, said) for word, said in named.items() if said]
        rows += [("check", sentence) for sentence in each.checks]
        parts.append(Note(tone, f"{each.code}: {each.meaning}"))
        parts.append(Table("What to check", ("", ""), (*rows, ("go on with", each.notebook))))
    return Static(tuple(parts))


def show_matrix(results: Iterable[Probe | ProbeFailure], snapshots: Iterable[Snapshot | EffectiveStore]) -> Static:
    """Return Java's verdict on each server with each store, the servers first that the fewest stores serve."""
    results, stores = list(results), list(snapshots)
    columns = [verdicts(results, store) for store in stores]
    rows = sorted(zip((r.endpoint.url for r in results), *columns, strict=True), key=lambda row: row.count(TRUSTED))
    served = sum(set(row[1:]) == {TRUSTED} for row in rows)
    caption = f"{count(len(rows), 'server')}, {count(len(stores), 'store')}: {served} trusted with every store"
    head = ("server", "trusted with", *(visible(str(store.path)) for store in stores))
    return Static((Table(caption, head, tuple(_matrix_row(*row) for row in rows)),))


@show.register
def show_probe(result: Probe) -> Static:
    """Return what one server showed: TLS, the plaintext before it, and the chain as sent."""
    asked = "; it asks for a client certificate" if result.client_certificate else ""
    spoken = (
        f"{result.endpoint.url} at {result.address}: {result.tls_version}, {result.cipher}, {result.seconds * 1000:.0f} ms{asked}"
    )
    received = _chain_table("Received chain, as sent", result.chain, result.at)
    return Static((Note(Tone.INFO, spoken), *_transcript(result), received))


@show.register
def show_failure(result: ProbeFailure) -> Static:
    """Return where and why a probe ended, and what was seen until then."""
    failed = Note(Tone.BAD, result.sentence)
    chain = (_chain_table("Certificates seen before it failed", result.chain, result.at),) if result.chain else ()
    return Static((failed, *_transcript(result), *chain))


@show.register
def show_diagnosis(diagnosis: Diagnosis) -> Static:
    """Return Java's verdict on a chain, all findings, the verified chain, and what to do next."""
    if diagnosis.trusted:
        verdict = Note(Tone.OK, f"Java trusts {visible(diagnosis.server_name)} with these anchors")
    else:
        verdict = Note(Tone.BAD, f"Java refuses {visible(diagnosis.server_name)}: {diagnosis.message}")
    rows = tuple((Badge(_SEVERITY_TONES[f.severity], f.severity.value), f.code.value, f.detail) for f in diagnosis.findings)
    findings = (Table("Findings", ("severity", "code", "what and what to do"), rows),) if rows else ()
    chain = diagnosis.verified_chain
    verified = (_chain_table("Verified chain, to the anchor", chain, diagnosis.at),) if chain else ()
    tone = Tone.OK if diagnosis.trusted else Tone.INFO
    return Static((verdict, *findings, *verified, Note(tone, f"Next: {next_step(diagnosis)}")))


def show_candidates(candidates: Sequence[AnchorCandidate]) -> Static:
    """Return which certificates could be imported, best first, with what each one means."""
    if not candidates:
        return Static((Note(Tone.INFO, "There is no certificate whose import would help."),))
    rows = tuple(
        (
            Badge(Tone.OK, "recommended") if c.recommended else "",
            c.role,
            certificate_facts(c.der).name,
            keytool_notation(c.sha256),
            c.consequence,
        )
        for c in candidates
    )
    return Static((Table("Certificates that could be imported", ("", "role", "name", "SHA-256", "consequence"), rows),))


@show.register
def show_error(error: KitError) -> Static:
    """Return an error as a card: its name, and the sentence with the next step."""
    return Static((Note(Tone.BAD, f"{type(error).__name__}: {error}"),))


def show_server(result: Probe | ProbeFailure, diagnosis: Diagnosis | None) -> Static:
    """Return all about one server: what it showed, Java's verdict, what could be imported."""
    parts = show(result).parts
    if diagnosis is not None:
        parts += show_diagnosis(diagnosis).parts
        if candidates := anchor_candidates(diagnosis):
            parts += show_candidates(candidates).parts
    return Static(parts)


def _survey_row(result: Probe | ProbeFailure, diagnosis: Diagnosis | None) -> tuple[int, str, tuple[Cell, ...]]:
    """Return rank, state and cells of one server."""
    name = issuer = ""
    until: Cell = ""
    days = None
    if result.chain:
        facts = facts_or_words(result.chain[0])
        if isinstance(facts, str):
            name = facts
        else:
            name, issuer = facts.name, facts.issuer_cn or facts.issuer
            days = (facts.not_after - result.at).days
            until = expiry(facts, result.at)
    rank, tone, state, meaning = _state(result, diagnosis, days)
    return rank, state, (Badge(tone, state), result.endpoint.url, name, issuer, until, meaning)


def _state(result: Probe | ProbeFailure, diagnosis: Diagnosis | None, days: int | None) -> tuple[int, Tone, str, str]:
    if isinstance(result, ProbeFailure):
        return 0, Tone.BAD, "failed", result.sentence
    if days is not None and days < 0:
        return 1, Tone.BAD, "expired", next_step(diagnosis) if diagnosis else "the certificate has expired"
    if diagnosis is not None and not diagnosis.trusted:
        return 2, Tone.BAD, "not trusted", next_step(diagnosis)
    if days is not None and days <= WARN_DAYS:
        soon = "very soon" if days <= CRITICAL_DAYS else "soon"
        return 3, Tone.WARN, "expires soon", f"the certificate expires {soon}, in {count(days, 'day')}"
    if diagnosis is None:
        return 5, Tone.INFO, "seen", "not judged: no truststore was given"
    return 6, Tone.OK, "trusted", next_step(diagnosis)


def _matrix_row(url: str, *said: str) -> tuple[Cell, ...]:
    trusted = said.count(TRUSTED)
    tone = Tone.BAD if not trusted else Tone.OK if trusted == len(said) else Tone.WARN
    return (url, Badge(tone, f"{trusted} of {len(said)}"), *(Badge(Tone.OK, word) if word == TRUSTED else word for word in said))


def _transcript(result: Probe | ProbeFailure) -> tuple[Part, ...]:
    return (Details("Plaintext before TLS", (Code("\n".join(result.transcript)),)),) if result.transcript else ()


def _chain_table(caption: str, chain: Sequence[bytes], at: datetime) -> Part:
    if not chain:
        return Heading(f"{caption}: empty")
    head = ("", "role", "subject", "issuer", "valid from (UTC)", "valid until (UTC)", "names", "SHA-256")
    return Table(caption, head, tuple(_chain_row(position, der, at) for position, der in enumerate(chain)))


def _chain_row(position: int, der: bytes, at: datetime) -> tuple[Cell, ...]:
    facts = facts_or_words(der)
    if isinstance(facts, str):
        return (str(position), Badge(Tone.BAD, "unreadable"), facts, "", "", "", "", keytool_notation(sha256_of(der)))
    return (
        str(position),
        role(facts, position),
        facts.subject,
        facts.issuer,
        f"{facts.not_before:%Y-%m-%d}",
        expiry(facts, at),
        listed(facts.subject_alt_name, NAMES_CHARACTERS),
        keytool_notation(facts.sha256),
    )
