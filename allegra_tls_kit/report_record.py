"""What a record says to a person: that it was written, that it is intact, and which ones there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.record import TONES
from allegra_tls_kit.static import Badge, Cell, Link, Note, Static, Table, Tone
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from allegra_tls_kit.evidence import RecordCheck, RecordFolder
    from allegra_tls_kit.outcome import Recorded

_WHAT_FOR = {
    ".jsonl": "every event, each line chained to the one before it",
    ".ipynb": "the notebook as it was executed, readable without a kernel",
    ".md": "the change record for a ticket",
    ".html": "the change record for a browser, offline, and for print",
}


def show_file(path: Path) -> Static:
    """Return a link to a file in the folder of the notebook that shows it; raises ValueError for a name that is no plain one."""
    return Static((Table("", ("file",), ((Link(path.name, path.name),),)),))


def show_record_folder(folder: RecordFolder) -> Static:
    """Return what was written, where, and what a person should still do."""
    files = [path for path in (folder.page, folder.record, folder.notebook, folder.journal) if path is not None]
    rows = tuple((visible(path.name), _WHAT_FOR.get(path.suffix, "")) for path in files)
    table = Table(
        f"In {visible(str(folder.path))}", ("file", "what it is"), (*rows, ("SHA256SUMS", "the checksums of all of it"))
    )
    state = Note(TONES.get(folder.outcome, Tone.INFO), f"State: {folder.outcome}")
    return Static((state, table, *(Note(Tone.WARN, note) for note in folder.notes)))


def show_record_check(check: RecordCheck) -> Static:
    """Return whether a record is what was written, and what was not proved."""
    verdict = (
        Note(Tone.OK, f"{visible(str(check.path))}: intact, by its checksums and its chain")
        if check.intact
        else Note(Tone.BAD, f"{visible(str(check.path))}: not as it was written")
    )
    signed = (Note(Tone.OK, f"signed by the key {check.signer}"),) if check.signer else ()
    faults = (Note(Tone.BAD, fault) for fault in check.faults)
    return Static((verdict, *signed, *faults, *(Note(Tone.INFO, note) for note in check.notes)))


def show_recorded(told: Recorded) -> Static:
    """Return in short what a journal tells, with the changes that can be undone."""
    rows: list[tuple[Cell, ...]] = [
        ("State", Badge(TONES.get(told.outcome, Tone.INFO), told.outcome)),
        ("Purpose", told.purpose),
        ("Keystore", told.keystore),
        ("Server", told.endpoint.url if told.endpoint else ""),
        ("Ticket", told.ticket),
        ("Operator", told.operator),
        ("Begun", f"{told.begun:%Y-%m-%d %H:%M} UTC" if told.begun else ""),
    ]
    changes = tuple(
        (applied.plan.id, f"{applied.at:%Y-%m-%d %H:%M} UTC", visible(str(applied.plan.keystore)), visible(applied.plan.purpose))
        for applied in told.changes
    )
    head = ("plan", "applied", "keystore", "purpose")
    table = Table("What it tells", ("what", "value"), tuple(row for row in rows if row[1]))
    faults = tuple(Note(Tone.BAD, fault) for fault in told.faults)
    return Static((table, Table(count(len(changes), "change"), head, changes), *faults))


def show_records(records: Iterable[tuple[Path, Recorded]]) -> Static:
    """Return the record folders as `list_records` gives them, in their order."""
    rows = tuple(
        (
            f"{told.begun:%Y-%m-%d %H:%M}" if told.begun else "",
            Badge(TONES.get(told.outcome, Tone.INFO), told.outcome),
            told.purpose,
            told.ticket,
            told.operator,
            visible(str(folder)),
        )
        for folder, told in records
    )
    if not rows:
        return Static((Note(Tone.INFO, "There is no record yet: each run of a notebook leaves one."),))
    head = ("begun (UTC)", "state", "purpose", "ticket", "operator", "folder")
    return Static((Table(count(len(rows), "record"), head, rows),))
