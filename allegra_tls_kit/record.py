"""The change record: made from a journal's JSON alone, so that it can be made again in five years, whatever became of the change.

It is a document like any other of this kit: shown in a cell, written as Markdown for a ticket and as one offline page.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.certificate import facts_or_words, keytool_notation, role, sha256_of
from allegra_tls_kit.events import Event, read_events
from allegra_tls_kit.outcome import FOREIGN, Kinds, Outcome, by_kind_of, first, last, outcome_now, outcome_of, plans_of, values_of
from allegra_tls_kit.static import Badge, Code, Heading, Note, Part, Static, Table, Tone
from allegra_tls_kit.text import count, lines_of, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Parts = list[Part]

TONES = {
    Outcome.VERIFIED: Tone.OK,
    Outcome.UNCHANGED: Tone.OK,
    Outcome.STILL_TRUSTED: Tone.OK,
    Outcome.UNDONE: Tone.OK,
    Outcome.NOT_TRUSTED: Tone.BAD,
    Outcome.BROKE_OFF: Tone.BAD,
    Outcome.ABANDONED: Tone.WARN,
    Outcome.APPLIED: Tone.WARN,
    Outcome.UNKNOWN: Tone.WARN,
}
"""How each outcome is meant; any other is a plain fact."""


def change_record(data: bytes) -> Static:
    """Return the change record, from the bytes of a journal; also for a change that failed or was abandoned.

    A damaged journal gives what it still holds, and the last section says what is wrong with it.
    """
    events, found = read_events(data)
    faults = list(found)
    by_kind = by_kind_of(events)
    outcome = outcome_now(by_kind)
    parts: Parts = [Heading(TITLE, 1), Note(TONES.get(outcome, Tone.INFO), f"State: {outcome}")]
    for heading, tell in _SECTIONS:
        parts.append(Heading(heading))
        try:
            parts += tell(by_kind)
        except FOREIGN:
            faults.append(f"{heading}: an event that tells of it has a shape that this kit does not write")
            parts.append(Note(Tone.WARN, "This cannot be told; see the integrity of the journal."))
    whole = Note(Tone.OK, f"{count(len(events), 'line')}, unbroken chain")
    return Static((*parts, Heading("Integrity of the journal"), *(tuple(Note(Tone.BAD, fault) for fault in faults) or (whole,))))


TITLE = "Change record"
_REACH = (
    "The truststore replaces the JRE's CAs for the connections that read it, and the first store that a JVM uses counts for all "
    "of them until it is restarted. Every Java process that reads this file trusts what is in it."
)
_TEST = "Probe the server again, judge its chain with what is in the store now, and let a JVM judge it too where one is at hand."
_BACKOUT = (
    "Notebook 30_roll_back with this folder as its CHANGE: it removes exactly what was added, after a person has confirmed it. "
    "The backup named under Outcome is the file as it was, byte for byte."
)


def _description(by_kind: Kinds) -> Parts:
    opened, choice = first(by_kind, "Opened"), last(by_kind, "ImportChoice")
    rows = [
        ("Server", choice.get("endpoint")),
        ("Ticket", choice.get("ticket")),
        ("Operator", choice.get("operator") or opened.get("operator")),
        ("Machine", opened.get("host")),
        ("Begun", by_kind["Opened"][0].at if "Opened" in by_kind else None),
    ]
    for plan in plans_of(by_kind):
        rows += [("Purpose", plan["purpose"]), ("Keystore", plan["snapshot"]["path"])]
        rows += [("Plan", f"{plan['id']}: {outcome_of(by_kind, plan)}")]
    return [Table("", ("what", "value"), tuple((name, _shown(value)) for name, value in rows if value))]


def _justification(by_kind: Kinds) -> Parts:
    parts: Parts = [Note(Tone.INFO, text) for text in _said(by_kind, "justification")]
    for diagnosis in values_of(by_kind, "Diagnosis")[:1]:
        refused = diagnosis.get("message")
        parts.append(Note(Tone.BAD if refused else Tone.OK, _shown(f"Java's verdict before: {refused or 'trusted'}")))
        rows = tuple((_shown(f["severity"]), _shown(f["code"]), _shown(f["detail"])) for f in diagnosis["findings"])
        parts += [Table("Findings", ("severity", "code", "what"), rows)] if rows else []
    return parts or [Note(Tone.INFO, "None was written down.")]


def _plan(by_kind: Kinds) -> Parts:
    head = ("action", "alias", "SHA-256", "why")
    return [
        Table(f"Plan {_shown(plan['id'])}", head, tuple(_action_row(action) for action in plan["actions"]))
        for plan in plans_of(by_kind)
    ] or [Note(Tone.INFO, "None.")]


def _action_row(action: Mapping[str, Any]) -> tuple[str, ...]:
    sha256 = sha256_of(base64.b64decode(action["certificate"])) if action["certificate"] else ""
    return _shown(action["kind"]), _shown(action["alias"]), keytool_notation(sha256), _shown(action["reason"])


def _fingerprint(by_kind: Kinds) -> Parts:
    if not (choices := values_of(by_kind, "ImportChoice")):
        return [Note(Tone.INFO, "Nothing was recorded: no reference fingerprint was compared in this journal.")]
    who = choices[-1].get("operator") or first(by_kind, "Opened").get("operator")
    rows = [(keytool_notation(c["certificate"]), c["reference"], c["reference_from"], c.get("operator") or who) for c in choices]
    head = ("certificate", "reference, as it was given", "from whom", "compared by")
    return [Table("", head, tuple(tuple(_shown(cell) for cell in row) for row in dict.fromkeys(rows)))]


def _outcomes(by_kind: Kinds) -> Parts:
    return [part for plan in plans_of(by_kind) for part in _outcome_parts(by_kind, plan)] or [
        Note(Tone.INFO, "Nothing was applied.")
    ]


def _outcome_parts(by_kind: Kinds, plan: dict[str, Any]) -> Iterator[Part]:
    yield Note(TONES.get(state := outcome_of(by_kind, plan), Tone.INFO), f"Plan {_shown(plan['id'])}: {state}")
    if applied := last(by_kind, "Applied", plan["id"]):
        rows = (
            ("SHA-256 before", _shown(plan["snapshot"]["sha256"] or "no file")),
            ("SHA-256 after", _shown(applied["sha256"] or "no file")),
            ("Backup", _shown(applied["backup"] or "none: there was no file, or nothing was changed")),
            ("Applied", _shown(applied["at"])),
        )
        yield Table("", ("what", "value"), rows)
    if steps := values_of(by_kind, "ApplyStep", plan["id"]):
        head = ("step", "what", "SHA-256 of the file it prepared or put in place")
        yield Table("Steps", head, tuple((_shown(s["state"]), _shown(s["detail"]), _shown(s["sha256"] or "")) for s in steps))
    yield from (Note(Tone.INFO, _shown(text)) for text in last(by_kind, "Verified", plan["id"]).get("sentences", ()))


def _commands(by_kind: Kinds) -> Parts:
    commands = [command for plan in plans_of(by_kind) for command in plan["keytool_commands"]]
    return [Code(lines_of(commands))] if commands else [Note(Tone.INFO, "None.")]


def _certificates(by_kind: Kinds) -> Parts:
    seen: dict[str, int] = {}
    for look in (*values_of(by_kind, "Probe"), *values_of(by_kind, "ProbeFailure")):
        for position, encoded in enumerate(look["chain"]):
            seen.setdefault(encoded, position)
    head = ("role", "subject", "issuer", "valid until (UTC)", "SHA-256")
    rows = tuple(_certificate_row(base64.b64decode(encoded), position) for encoded, position in seen.items())
    return [Table(count(len(rows), "certificate"), head, rows)] if rows else [Note(Tone.INFO, "None was seen.")]


def _certificate_row(der: bytes, position: int) -> tuple[Badge | str, ...]:
    facts = facts_or_words(der)
    if isinstance(facts, str):
        return (Badge(Tone.BAD, "unreadable"), facts, "", "", keytool_notation(sha256_of(der)))
    until = f"{facts.not_after:%Y-%m-%d %H:%M}"
    return role(facts, position), facts.subject, facts.issuer, until, keytool_notation(facts.sha256)


def _timeline(by_kind: Kinds) -> Parts:
    events = sorted((event for same in by_kind.values() for event in same), key=lambda event: event.number)
    rows = tuple((str(e.number), _shown(e.at[:19]), _shown(e.kind), _gist(e)) for e in events)
    return [Table(count(len(rows), "event"), ("line", "time (UTC)", "event", "what"), rows)]


def _gist(event: Event) -> str:
    value = event.value
    for key in ("detail", "message", "text", "purpose", "certificate", "sha256", "path", "home", "operator"):
        if isinstance(value.get(key), str):
            return visible(value[key], 120)
    if isinstance(error := value.get("error"), dict):
        return visible(str(error.get("message")), 120)
    if isinstance(endpoint := value.get("endpoint"), dict):
        protocol, security, host, port = (endpoint.get(name) for name in ("protocol", "security", "host", "port"))
        return visible(f"{protocol} {security} {host}:{port}", 120)
    return ""


def _versions(by_kind: Kinds) -> Parts:
    versions = first(by_kind, "Opened").get("versions", {})
    rows = tuple((_shown(name), _shown(text)) for name, text in versions.items())
    return [Table("", ("what", "version"), rows)] if rows else [Note(Tone.INFO, "None were written down.")]


def _said(by_kind: Kinds, heading: str) -> list[str]:
    said = values_of(by_kind, "Statement")
    return [_shown(statement["text"]) for statement in said if statement["heading"] == heading]


def _stated(heading: str, otherwise: str) -> Callable[[Kinds], Parts]:
    return lambda by_kind: [Note(Tone.INFO, text) for text in _said(by_kind, heading) or [otherwise]]


def _shown(text: object) -> str:
    return visible(str(text), 2000)


_SECTIONS: tuple[tuple[str, Callable[[Kinds], Parts]], ...] = (
    ("Short description", _description),
    ("Justification", _justification),
    ("Plan", _plan),
    ("How the fingerprint was checked", _fingerprint),
    ("Risk and reach", _stated("risk", _REACH)),
    ("Test plan", _stated("test", _TEST)),
    ("Backout plan", _stated("backout", _BACKOUT)),
    ("Outcome", _outcomes),
    ("The same change as keytool commands", _commands),
    ("Evidence: certificates", _certificates),
    ("Evidence: events", _timeline),
    ("Versions", _versions),
)
