"""What a keystore, a change of it and the Allegra that reads it say to a person; `report.show` leads here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import certificate_facts, keytool_notation, sha256_of
from allegra_tls_kit.effective import EffectiveStore, Treatment
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.plan import ActionKind, Applied, Plan
from allegra_tls_kit.static import Badge, Bar, Cell, Code, Details, Note, Part, Static, Table, Tone
from allegra_tls_kit.text import count, visible
from allegra_tls_kit.trust import CRITICAL_DAYS, WARN_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from allegra_tls_kit.certificate import CertificateFacts
    from allegra_tls_kit.change import Verified
    from allegra_tls_kit.keystore import Snapshot
    from allegra_tls_kit.locate import Allegra

_ACTION_TONES = {
    ActionKind.ADD: Tone.OK,
    ActionKind.CONFLICT: Tone.BAD,
    ActionKind.REMOVE: Tone.WARN,
    ActionKind.DELETE_STORE: Tone.WARN,
}

FULL_DAYS = 398
"""A bar is full from here on: the longest life of a public server certificate since September 2020 (CA/Browser Forum)."""


def show_snapshot(snapshot: Snapshot, at: datetime | None = None) -> Static:
    """Return a keystore: what it is, its notes, its entries; with an instant, what is left of each certificate then."""
    if not snapshot.exists:
        return Static((Note(Tone.INFO, f"{visible(str(snapshot.path))}: {'; '.join(snapshot.notes)}"),))
    checked = (
        "integrity checked"
        if snapshot.integrity_checked
        else "integrity not checked (opened without a password, as Allegra does)"
    )
    line = f"{visible(str(snapshot.path))}: {snapshot.store_type}, {count(len(snapshot.entries), 'entry')}, {checked}"
    rows = tuple(_entry_row(snapshot, at))
    head = ("alias", "kind", "seen by Java", "certificate", "valid until (UTC)", "SHA-256")
    table = Table("Entries", head, rows)
    folded: Part = table if len(rows) <= 20 else Details(f"{len(rows)} entries", (table,))  # noqa: PLR2004 - what fits a screen
    return Static((Note(Tone.INFO, line), *(Note(Tone.WARN, note) for note in snapshot.notes), folded))


def show_effective(store: EffectiveStore) -> Static:
    """Return what Java makes of a file for one connection, and how each of it is known."""
    path = visible(str(store.path))
    line = f"{path}: {store.treatment} in the mode {' and '.join(store.modes)}" if store.modes else f"{path}: {store.treatment}"
    tone = Tone.OK if store.treatment is Treatment.READ else Tone.WARN
    rows = tuple((statement.ground.value, statement.text) for statement in store.statements)
    return Static((Note(tone, line), Table("What is known of it", ("how", "what"), rows)))


def show_plan(plan: Plan) -> Static:
    """Return a plan: each action with its certificate, the id to confirm, the same as keytool commands."""
    rows = tuple(_plan_row(plan))
    head = ("action", "alias", "subject", "issuer", "valid (UTC)", "SHA-256", "why")
    state = (
        "does not exist yet"
        if not plan.snapshot.exists
        else f"{plan.snapshot.store_type}, {count(len(plan.snapshot.entries), 'entry')} now"
    )
    parts: list[Part] = [
        Note(Tone.INFO, f"Plan {plan.id}: {visible(plan.purpose)}"),
        Note(Tone.INFO, f"File: {visible(str(plan.keystore))} ({state})"),
        Table("What will change" if plan.changes else "Nothing will change", head, rows),
    ]
    if plan.changes:
        commands = "\n".join(visible(line, 4096) for line in "\n".join(plan.keytool_commands()).split("\n"))
        parts.append(Details("The same as keytool commands", (Code(commands),)))
        parts.append(Note(Tone.WARN, f'To apply it, compare the SHA-256 with the reference and write confirm="{plan.id}"'))
    return Static(tuple(parts))


def show_applied(applied: Applied) -> Static:
    """Return what was done to which file, and where the backup is."""
    if not applied.changed:
        return Static(
            (Note(Tone.OK, f"{visible(str(applied.plan.keystore))}: everything was there already, the file is untouched"),)
        )
    rows: tuple[tuple[Cell, ...], ...] = (
        ("keystore", visible(str(applied.plan.keystore))),
        ("plan", applied.plan.id),
        ("SHA-256 before", applied.plan.snapshot.sha256 or "no file"),
        ("SHA-256 after", applied.sha256 or "no file"),
        ("backup", visible(str(applied.backup)) if applied.backup else "none: there was no file"),
        ("at", f"{applied.at:%Y-%m-%d %H:%M:%S} UTC"),
    )
    return Static((Note(Tone.OK, "Applied, read back and compared"), Table("What was done", ("what", "value"), rows)))


def show_verified(verified: Verified) -> Static:
    """Return whether the change serves its purpose."""
    verdict = (
        Note(Tone.OK, "Java trusts the server now") if verified.trusted else Note(Tone.BAD, "Java does not trust the server")
    )
    return Static((verdict, *(Note(Tone.INFO, sentence) for sentence in verified.sentences)))


def show_allegra(allegra: Allegra) -> Static:
    """Return where Allegra and its Java are, where each was learned, and what was looked at."""
    rows: list[tuple[Cell, ...]] = [("home", visible(str(allegra.home)), allegra.ground)]
    for jvm in allegra.jvms:
        rows.append(("Java", f"{visible(str(jvm.home))} ({jvm.version or 'version unknown'})", jvm.ground))
        rows.append(("cacerts", str(jvm.cacerts), jvm.cacerts.owned_by or "of this Java runtime"))
    looked = Details("What was looked at", (Code("\n".join(allegra.looked_at)),))
    table = Table("Allegra as seen from here", ("what", "where", "learned from"), tuple(rows))
    unknown = () if allegra.jvms else (Note(Tone.WARN, _NO_JAVA),)
    return Static((table, *unknown, looked))


_NO_JAVA = "No Java was found here, so what it trusts by itself is unknown: servers of public CAs are judged as untrusted, too"


def _period(facts: CertificateFacts) -> str:
    """Return the days from which and to which a certificate is valid, in UTC."""
    return f"{facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}"


def expiry(facts: CertificateFacts, at: datetime) -> Bar:
    """Return the day on which a certificate ends, in UTC, and what is left of it at an instant."""
    if at < facts.not_before:
        return Bar(Tone.BAD, 1, f"{facts.not_after:%Y-%m-%d} (not yet valid)")
    return time_left(facts.not_after, (facts.not_after - at).days)


def time_left(end: datetime, days: int) -> Bar:
    """Return a day in UTC and how far it is, red from `CRITICAL_DAYS` on and yellow from `WARN_DAYS`."""
    tone = Tone.BAD if days <= CRITICAL_DAYS else Tone.WARN if days <= WARN_DAYS else Tone.OK
    left = "expired" if days < 0 else count(days, "day")
    return Bar(tone, (days + 0.5) / FULL_DAYS, f"{end:%Y-%m-%d} ({left})")  # in the middle of the day that has begun


def _entry_row(snapshot: Snapshot, at: datetime | None) -> Iterable[tuple[Cell, ...]]:
    for entry in snapshot.entries:
        seen = Badge(Tone.OK, "yes") if entry.anchor else Badge(Tone.WARN, "no")
        cells: tuple[Cell, ...] = ("", "", "")
        if entry.certificate is not None:
            try:
                facts = certificate_facts(entry.certificate)
                until = expiry(facts, at) if at else f"{facts.not_after:%Y-%m-%d}"
                cells = (facts.name, until, keytool_notation(facts.sha256))
            except CertificateError as error:
                cells = (str(error), "", keytool_notation(entry.sha256 or ""))
        yield (visible(entry.alias, 80), entry.kind.value, seen, *cells)


def _plan_row(plan: Plan) -> Iterable[tuple[Cell, ...]]:
    for action in plan.actions:
        cells: tuple[Cell, ...] = ("", "", "", "")
        if action.certificate is not None:
            try:
                facts = certificate_facts(action.certificate)
                cells = (facts.subject, facts.issuer, _period(facts), keytool_notation(facts.sha256))
            except CertificateError as error:  # to be removed, for being that
                cells = (str(error), "", "", keytool_notation(sha256_of(action.certificate)))
        badge = Badge(_ACTION_TONES.get(action.kind, Tone.INFO), action.kind.value)
        yield (badge, visible(action.alias, 80), *cells, action.reason)
