"""What a keystore, a change of it and the Allegra that reads it say to a person; `report.show` leads here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import facts_or_words, keytool_notation, sha256_of
from allegra_tls_kit.comparison import Compared, Comparison, Presence
from allegra_tls_kit.effective import EffectiveStore, Treatment
from allegra_tls_kit.plan import Action, ActionKind, Applied, Plan
from allegra_tls_kit.risk import Reach, meaning, risks
from allegra_tls_kit.static import Badge, Bar, Cell, Code, Details, Heading, Note, Part, Static, Table, Tone
from allegra_tls_kit.superset import RUNTIME_PREFIX
from allegra_tls_kit.system_store import system_commands
from allegra_tls_kit.text import count, lines_of, visible
from allegra_tls_kit.trust import CRITICAL_DAYS, WARN_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from allegra_tls_kit.certificate import CertificateFacts
    from allegra_tls_kit.change import Verified
    from allegra_tls_kit.keystore import Snapshot
    from allegra_tls_kit.locate import Allegra
    from allegra_tls_kit.several import Plans

_ACTION_TONES = {
    ActionKind.ADD: Tone.OK,
    ActionKind.CONFLICT: Tone.BAD,
    ActionKind.REMOVE: Tone.WARN,
    ActionKind.DELETE_STORE: Tone.WARN,
    ActionKind.RESTORE: Tone.WARN,
    ActionKind.LEFT_OUT: Tone.WARN,
}

FOLDED_FROM = 20
"""So many rows fit a screen; a longer list is folded, of a plan what is routine in it."""

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
    folded: Part = table if len(rows) <= FOLDED_FROM else Details(f"{len(rows)} entries", (table,))
    return Static((Note(Tone.INFO, line), *(Note(Tone.WARN, note) for note in snapshot.notes), folded))


def show_effective(store: EffectiveStore) -> Static:
    """Return what Java makes of a file for one connection, and how each of it is known."""
    path = visible(str(store.path))
    line = f"{path}: {store.treatment} in the mode {' and '.join(store.modes)}" if store.modes else f"{path}: {store.treatment}"
    tone = Tone.OK if store.treatment is Treatment.READ else Tone.WARN
    rows = tuple((statement.ground.value, statement.text) for statement in store.statements)
    return Static((Note(tone, line), Table("What is known of it", ("how", "what"), rows)))


def show_plan(plan: Plan, reach: Reach | None = None) -> Static:
    """Return a plan: each action with its certificate, what it reaches and risks, the same as commands, the id to confirm.

    Nothing is looked up here; who reads the file is told only where `reach` brings it (`reach_of`).
    """
    state = (
        "does not exist yet"
        if not plan.snapshot.exists
        else f"{plan.snapshot.store_type}, {count(len(plan.snapshot.entries), 'entry')} now"
    )
    parts: list[Part] = [
        Note(Tone.INFO, f"Plan {plan.id}: {visible(plan.purpose)}"),
        Note(Tone.INFO, f"File: {visible(str(plan.keystore))} ({state})"),
    ]
    parts += [Note(Tone.WARN, note) for note in plan.snapshot.notes if plan.snapshot.exists]
    if plan.backup is not None:
        parts.append(Note(Tone.INFO, f"Backup: {visible(str(plan.backup.path))}, SHA-256 {plan.backup.sha256}"))
    parts += _actions(plan)
    said = [("reach", sentence) for sentence in reach.sentences] if reach is not None else []
    said += [("risk", sentence) for sentence in risks(plan)]
    parts += [Table("What it reaches, and the risk", ("", "what"), tuple(said))] if said else []
    parts += [Note(Tone.BAD, f"It cannot be applied: {visible(each.alias, 80)}: {each.reason}") for each in plan.conflicts]
    if plan.changes and not plan.conflicts:
        system = system_commands(plan, reach.real_path) if reach is not None else ()
        parts += [Details("The system's own way, which lasts", (_commands(system),))] if system else []
        parts.append(Details("The same as keytool commands", (_commands(plan.keytool_commands()),)))
        compared = "compare the SHA-256 with the reference and " if _adds(plan) else ""
        parts.append(Note(Tone.WARN, f'To apply it, {compared}write confirm="{plan.id}"'))
    return Static(tuple(parts))


def show_plans(plans: Plans, reaches: Iterable[Reach] = ()) -> Static:
    """Return what has to change for one connection: the stores in short, then the plan of each."""
    known = {reach.path: reach for reach in reaches}
    head = ("plan", "keystore", "read in the modes", "what it does", "why")
    rows = tuple(
        (each.plan.id, visible(str(each.plan.keystore)), ", ".join(each.modes) or "none", _in_short(each.plan), each.why)
        for each in plans.stores
    )
    parts: list[Part] = [Table(f"{plans.endpoint.url}: {count(len(rows), 'store')}", head, rows)]
    for each in plans.stores:
        parts += [Heading(visible(each.plan.keystore.name), 3), *show_plan(each.plan, known.get(each.plan.keystore)).parts]
    return Static(tuple(parts))


def show_comparison(comparison: Comparison) -> Static:
    """Return what differs between two stores, and folded what both hold."""
    counts = Counter(row.presence for row in comparison.rows)
    summary = " · ".join(f"{counts[presence]} {presence}" for presence in Presence if counts[presence]) or "both are empty"
    head = ("", "alias in one", "alias in the other", "certificate", "valid (UTC)", "SHA-256")
    differing = tuple(_compared_row(row) for row in comparison.rows if row.presence is not Presence.SAME)
    same = tuple(_compared_row(row) for row in comparison.rows if row.presence is Presence.SAME)
    parts: list[Part] = [
        Note(Tone.INFO, f"One: {_in_words(comparison.one)}"),
        Note(Tone.INFO, f"The other: {_in_words(comparison.other)}"),
        Note(Tone.OK if comparison.same else Tone.WARN, summary),
    ]
    parts += [Table("What differs", head, differing)] if differing else []
    parts += [Details(f"{count(len(same), 'entry')} in both", (Table("In both", head, same),))] if same else []
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
        facts = "" if entry.certificate is None else facts_or_words(entry.certificate)
        cells: tuple[Cell, ...] = (facts, "") if isinstance(facts, str) else (facts.name, _until(facts, at))
        yield (visible(entry.alias, 80), entry.kind.value, seen, *cells, keytool_notation(entry.sha256 or ""))


def _until(facts: CertificateFacts, at: datetime | None) -> Cell:
    return expiry(facts, at) if at else f"{facts.not_after:%Y-%m-%d}"


def _actions(plan: Plan) -> list[Part]:
    """Return the actions as a table; of a long plan copies of the runtime's CAs and what stays are folded."""
    head = ("action", "alias", "SHA-256", "subject, issuer, validity (UTC)", "why, and what it means")
    caption = f"What will change: {_in_short(plan)}" if plan.changes else "Nothing will change"
    if len(plan.actions) <= FOLDED_FROM:
        return [Table(caption, head, tuple(map(_action_row, plan.actions)))]
    routine = [action for action in plan.actions if _is_routine(action)]
    chosen = tuple(_action_row(action) for action in plan.actions if not _is_routine(action))
    folded = Details(
        f"{count(len(routine), 'more action')}: CAs of the runtime, and what stays",
        (Table("", head, tuple(map(_action_row, routine))),),
    )
    shown: Part = Table(caption, head, chosen) if chosen else Note(Tone.INFO, caption)
    return [shown, *([folded] if routine else [])]


def _is_routine(action: Action) -> bool:
    return action.kind is ActionKind.KEEP or action.alias.startswith(RUNTIME_PREFIX)


def _action_row(action: Action) -> tuple[Cell, ...]:
    cells: tuple[Cell, ...] = ("", "")
    if action.certificate is not None:
        facts = facts_or_words(action.certificate)  # what is to be removed may be unreadable
        what = facts if isinstance(facts, str) else f"{facts.subject}, issued by {facts.issuer}, {_period(facts)}"
        cells = (keytool_notation(sha256_of(action.certificate)), what)
    badge = Badge(_ACTION_TONES.get(action.kind, Tone.INFO), action.kind.value)
    said = "; ".join(part for part in (action.reason, meaning(action)) if part)
    return (badge, visible(action.alias, 80), *cells, said)


def _in_short(plan: Plan) -> str:
    counts = Counter(action.kind for action in plan.actions)
    return " · ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing"


def _in_words(store: Snapshot) -> str:
    held = f"{store.store_type}, {count(len(store.entries), 'entry')}" if store.exists else "does not exist"
    return f"{visible(str(store.path))} ({held})"


def _adds(plan: Plan) -> bool:
    """Tell whether it adds what somebody has to vouch for; the runtime's own CAs are none of that."""
    return plan.backup is None and any(a.kind is ActionKind.ADD and not a.alias.startswith(RUNTIME_PREFIX) for a in plan.actions)


def _commands(commands: Iterable[str]) -> Code:
    return Code(lines_of(commands))


def _compared_row(row: Compared) -> tuple[Cell, ...]:
    tone = Tone.OK if row.presence in {Presence.SAME, Presence.OTHER_ALIAS} else Tone.WARN
    facts = row.kind.value if row.certificate is None else facts_or_words(row.certificate)
    name, period = (facts, "") if isinstance(facts, str) else (facts.name, _period(facts))
    one, other = (visible(", ".join(aliases), 80) for aliases in (row.in_one, row.in_other))
    return (Badge(tone, row.presence.value), one, other, name, period, keytool_notation(row.sha256))
