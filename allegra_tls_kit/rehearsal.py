"""Changes made in the laboratory, as a person makes them in the notebooks, so that there is something to renew and to undo.

Rule: only the laboratory's own keystore is written, and the fingerprints are compared with the laboratory's own note.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.change import Verified, apply, verify
from allegra_tls_kit.choice import ImportChoice, reference_fingerprint
from allegra_tls_kit.demo_ca import Terms, private_authority
from allegra_tls_kit.effective import effective_truststores
from allegra_tls_kit.evidence import RecordFolder, new_record_folder, open_journal, write_record
from allegra_tls_kit.files import read_keystore
from allegra_tls_kit.keystore import DEFAULT_PASSWORD
from allegra_tls_kit.locate import Allegra, locate
from allegra_tls_kit.plan import Applied, plan_import
from allegra_tls_kit.probe import probe
from allegra_tls_kit.survey import Probe, judge

if TYPE_CHECKING:
    import os

    from allegra_tls_kit.demo import Laboratory
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.journal import Journal
    from allegra_tls_kit.trust import Diagnosis

ROOT_SERVER = "smtp"
"""The server that shows the root of the laboratory's CA, which is imported for it and serves others too."""
PINNED_SERVER = "smtps-self-signed"
SERVERS = (ROOT_SERVER, PINNED_SERVER, "imap", "imaps-expires-soon")
"""Servers that this history makes trusted, before one of them is renewed."""
FORMER_SERVER = "former-mail.demo.test"


@dataclass(frozen=True, slots=True)
class Import:
    """One import as the notebook makes it: what was seen, judged, chosen, applied (with its plan) and verified."""

    result: Probe
    diagnosis: Diagnosis
    choice: ImportChoice
    applied: Applied
    verified: Verified


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal has left: the keystore, the servers that are reached with it, and the record of how it came about."""

    keystore: Path
    endpoints: tuple[Endpoint, ...]
    record: RecordFolder


def rehearse_import(laboratory: Laboratory, records: str | os.PathLike[str] = "") -> Rehearsal:
    """Import the root of the laboratory's CA for its server `smtp` into `<home>/keystore/localhost.ks`, with a record.

    `records` is the record's folder; empty for a dated one in the laboratory's own folder, which goes when the laboratory stops.
    """
    journal = _journal(laboratory, records, "rehearsed-import")
    allegra = journal.keep(locate(laboratory.home))
    imported(laboratory, ROOT_SERVER, allegra, journal)
    return _left(laboratory, (ROOT_SERVER,), allegra, journal)


def rehearse_history(laboratory: Laboratory) -> Rehearsal:
    """Play some years with the keystore `localhost.ks`: what was imported, what has been renewed since, who is gone.

    After the import of `rehearse_import` the certificate of `smtps-self-signed` is imported, and one of a server that is not
    there any more; then `smtps-self-signed` gets a new one, which Java refuses. The endpoints are those of `SERVERS`: all others
    of the laboratory are refused or not reached whatever this keystore holds. The record goes when the laboratory stops.
    """
    journal = _journal(laboratory, "", "rehearsed-history")
    allegra = journal.keep(locate(laboratory.home))
    for name in (ROOT_SERVER, PINNED_SERVER):
        imported(laboratory, name, allegra, journal)
    now = datetime.now(UTC)
    former = private_authority(now).issue(Terms(days_left=-10, name=FORMER_SERVER, self_signed=True), now).reference
    _apply(allegra.keystore_for(laboratory.endpoints[ROOT_SERVER].host), former, f"trust {FORMER_SERVER}", journal)
    laboratory.renew(PINNED_SERVER)
    return _left(laboratory, SERVERS, allegra, journal)


def imported(laboratory: Laboratory, name: str, allegra: Allegra, journal: Journal) -> Import:
    """Get one server of the laboratory trusted, as the notebook does: look, judge, choose, compare, plan, apply, verify.

    What is imported is what the provider read out; where it is there already, nothing changes. Raises FingerprintError where the
    server does not show that certificate.
    """
    endpoint, reference = laboratory.endpoints[name], laboratory.reference_fingerprints[name]
    result = journal.keep(probe(endpoint))
    diagnosis = journal.keep(judge(result, effective_truststores(endpoint, allegra)[0].anchors))
    choice = journal.keep(
        ImportChoice(
            endpoint=endpoint.url,
            certificate=reference_fingerprint(reference),
            reference=reference,
            reference_from="the laboratory's own note",
            keystore=str(allegra.keystore_for(endpoint.host)),
        )
    )
    applied = _apply(Path(choice.keystore), choice.checked_certificate(result.chain), f"trust {endpoint}", journal)
    return Import(result, diagnosis, choice, applied, verify(applied, endpoint, journal))


def _apply(store: Path, certificate: bytes, purpose: str, journal: Journal) -> Applied:
    plan = plan_import(read_keystore(store, DEFAULT_PASSWORD), [certificate], purpose=purpose)
    return apply(plan, journal, confirm=plan.id, password=DEFAULT_PASSWORD, witness=None)


def _journal(laboratory: Laboratory, records: str | os.PathLike[str], title: str) -> Journal:
    return open_journal(records if str(records) else new_record_folder(title, laboratory.home.parent / "records"))


def _left(laboratory: Laboratory, servers: tuple[str, ...], allegra: Allegra, journal: Journal) -> Rehearsal:
    endpoints = tuple(laboratory.endpoints[name] for name in servers)
    record = write_record(journal, notebook="")  # not the notebook that asks for the rehearsal
    return Rehearsal(allegra.keystore_for(endpoints[0].host), endpoints, record)
