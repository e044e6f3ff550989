"""Events of a journal, and the change record made from their JSON alone, so that it can be made again in five years.

Everything that a stranger supplied has been made visible before, and stands in code spans here, where Markdown does not act.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.certificate import certificate_facts, keytool_notation, role, sha256_of
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.keystore import Entry, Snapshot
from allegra_tls_kit.markdown import code, code_block, table
from allegra_tls_kit.plan import Plan
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Opened:
    """Who opened a journal, on which machine, with which versions."""

    operator: str
    host: str
    platform: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
    """Something a person says for the record, under a heading such as `justification` or `risk`."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal, read back: its number from 1, ISO time in UTC, the class of the value, its plain form."""

    number: int
    at: str
    kind: str
    value: dict[str, Any]


Kinds = dict[str, list[Event]]


def plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return a value in the form that JSON takes: DER as base64, times as ISO 8601, errors as type and message.

    Raises TypeError for what has no place in a journal.
    """
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    raise TypeError(f"a {type(value).__name__} has no place in a journal")


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Plan, lambda plan: _fields(plan) | {"id": plan.id, "keytool_commands": list(plan.keytool_commands())}),
    (Snapshot, lambda snapshot: _fields(snapshot) | {"anchors": len(snapshot.anchors)}),
    # Without the certificate: a cacerts holds 150 of them that are nobody's news.
    (Entry, lambda e: {"alias": visible(e.alias), "kind": e.kind, "sha256": e.sha256, "anchor": e.anchor}),
    (bytes, lambda data: base64.b64encode(data).decode("ascii")),
    (datetime, datetime.isoformat),
    (PurePath, str),
    (BaseException, lambda error: {"type": type(error).__name__, "message": str(error)}),
    (dict, lambda mapping: {str(key): plain(item) for key, item in mapping.items()}),
    ((tuple, list, frozenset), lambda items: [plain(item) for item in items]),
    ((bool, int, float, str, type(None)), lambda value: value),
)


def event_line(value: object, *, at: datetime, previous: str | None) -> bytes:
    """Return the line that a journal keeps for a value; `previous` is the SHA-256 of the line before, None for the first.

    Raises TypeError for what is not a dataclass, or holds something that has no place in a journal.
    """
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"a {type(value).__name__} is no event; keep values of this kit, one by one")
    event = {"at": at.isoformat(), "kind": type(value).__name__, "previous": previous, "value": plain(value)}
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # half a character, as in a path that is not UTF-8: \udcff is JSON, too


def read_events(data: bytes) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """Return the events of a journal, and what is wrong with its chain: lines changed, missing, or not to be read."""
    events: list[Event] = []
    faults: list[str] = []
    previous: str | None = None
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
        try:
            raw = json.loads(line)
            events.append(Event(number, str(raw["at"]), str(raw["kind"]), {**raw["value"]}))
            if raw["previous"] != previous:
                faults.append(f"line {number} does not follow the line before it: one of the two was changed, or one is missing")
        except (ValueError, KeyError, TypeError, RecursionError):
            faults.append(f"line {number} cannot be read: torn by a crash, or changed")
        previous = hashlib.sha256(line).hexdigest()
    return tuple(events), tuple(faults)


def change_record(data: bytes) -> str:
    """Return the change record in Markdown, from the bytes of a journal; also for a change that failed or was abandoned.

    Where there are several plans it tells of the last. A damaged journal gives what it still holds, and the last section says so.
    """
    events, found = read_events(data)
    faults = list(found)
    by_kind: Kinds = {}
    for event in events:
        by_kind.setdefault(event.kind, []).append(event)

    def told(what: str, tell: Callable[[Kinds], list[str]]) -> list[str]:
        try:
            return tell(by_kind)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            faults.append(f"{what}: an event that tells of it has a shape that this kit does not write")
            return ["This cannot be told; see the integrity of the journal."]

    lines = [f"# Change record: {told('Purpose', _purpose)[0]}", "", f"**State: {told('State', _state)[0]}**", ""]
    for heading, tell in _SECTIONS:
        lines += [f"## {heading}", "", *told(heading, tell), ""]
    integrity = [f"- {fault}" for fault in faults] or [f"{count(len(events), 'line')}, unbroken chain."]
    return "\n".join([*lines, "## Integrity of the journal", "", *integrity, ""])


_REACH = (
    "The truststore replaces the JRE's CAs for the connections that read it, and the first store that a JVM uses counts for all "
    "of them until it is restarted. Every Java process that reads this file trusts what is in it."
)
_TEST = "Probe the server again, judge its chain with what is in the store now, and let a JVM judge it too where one is at hand."
_BACKOUT = (
    "`plan_rollback(applied, read_keystore(…))`, then `apply` with its id: it removes exactly what was added. "
    "The backup named under Outcome is the file as it was, byte for byte."
)


def _last(by_kind: Kinds, kind: str) -> dict[str, Any]:
    """Return the last value of a kind; one that belongs to a plan only if it is the last plan's."""
    plan = by_kind["Plan"][-1].value.get("id") if "Plan" in by_kind else None
    values = [event.value for event in by_kind.get(kind, []) if plan is None or _plan_of(event.value) in (None, plan)]
    return values[-1] if values else {}


def _plan_of(value: dict[str, Any]) -> object:
    plan = value.get("plan")
    return plan.get("id") if isinstance(plan, dict) else plan


def _purpose(by_kind: Kinds) -> list[str]:
    plan = _last(by_kind, "Plan")
    return [code(plan["purpose"]) if plan else "nothing was planned"]


def _state(by_kind: Kinds) -> list[str]:
    if verified := _last(by_kind, "Verified"):
        adds = any(action["kind"] == "add" for action in _last(by_kind, "Plan").get("actions", ()))
        return [_VERIFIED[adds, bool(verified["trusted"])]]
    if applied := _last(by_kind, "Applied"):
        return ["applied, not verified" if applied["changed"] else "nothing to change"]
    if step := _last(by_kind, "ApplyStep"):
        if step["state"] == "abandoned":
            return ["abandoned, the keystore is as it was"]
        return [f"broke off: the last step was {code(step['state'])}; compare the file's SHA-256 with the digests below"]
    return ["planned, not applied" if "Plan" in by_kind else "looked, nothing planned"]


_VERIFIED = {
    (True, True): "applied and verified",
    (True, False): "applied, but the server is not trusted",
    (False, True): "taken out again, and the server is trusted all the same",
    (False, False): "taken out again, and the server is refused",
}


def _description(by_kind: Kinds) -> list[str]:
    opened, plan, choice = _last(by_kind, "Opened"), _last(by_kind, "Plan"), _last(by_kind, "ImportChoice")
    rows = [
        ("Keystore", plan.get("snapshot", {}).get("path")),
        ("Plan", plan.get("id")),
        ("Server", choice.get("endpoint")),
        ("Ticket", choice.get("ticket")),
        ("Operator", choice.get("operator") or opened.get("operator")),
        ("Machine", opened.get("host")),
        ("Begun", by_kind["Opened"][0].at if "Opened" in by_kind else None),
    ]
    return table(("what", "value"), ((name, code(value)) for name, value in rows if value))


def _justification(by_kind: Kinds) -> list[str]:
    before = [event.value for event in by_kind.get("Diagnosis", [])][:1]
    lines = _said(by_kind, "justification")
    for diagnosis in before:
        lines.append(f"Java's verdict before: {code(diagnosis.get('message') or 'trusted')}")
        lines += [
            f"- {code(finding['severity'])}: {code(finding['code'])} {code(finding['detail'])}"
            for finding in diagnosis["findings"]
        ]
    return lines or ["None was written down."]


def _plan(by_kind: Kinds) -> list[str]:
    if not (plan := _last(by_kind, "Plan")):
        return ["None."]
    rows = []
    for action in plan["actions"]:
        sha256 = sha256_of(base64.b64decode(action["certificate"])) if action["certificate"] else ""
        rows.append((code(action["kind"]), code(action["alias"]), code(keytool_notation(sha256)), code(action["reason"])))
    return table(("action", "alias", "SHA-256", "why"), rows)


def _fingerprint(by_kind: Kinds) -> list[str]:
    if not (choice := _last(by_kind, "ImportChoice")):
        return ["Nothing was recorded: no reference fingerprint was compared in this journal."]
    who = choice.get("operator") or _last(by_kind, "Opened").get("operator")
    return [
        f"Certificate: {code(keytool_notation(choice['certificate']))}",
        "",
        f"Reference: {code(choice['reference'])}, from {code(choice['reference_from'])}, compared by {code(who)}.",
    ]


def _outcome(by_kind: Kinds) -> list[str]:
    lines = []
    if applied := _last(by_kind, "Applied"):
        lines += table(
            ("what", "value"),
            (
                ("SHA-256 before", code(applied["plan"]["snapshot"]["sha256"] or "no file")),
                ("SHA-256 after", code(applied["sha256"] or "no file")),
                ("Backup", code(applied["backup"] or "none: there was no file, or nothing was changed")),
                ("Applied", code(applied["at"])),
            ),
        )
    if verified := _last(by_kind, "Verified"):
        lines += ["", *(f"- {code(sentence)}" for sentence in verified["sentences"])]
    steps = [event.value for event in by_kind.get("ApplyStep", [])]
    lines += ["", *(f"- {code(step['state'])}: {code(step['detail'])}" for step in steps)] if steps else []
    return lines or ["Nothing was applied."]


def _commands(by_kind: Kinds) -> list[str]:
    commands = _last(by_kind, "Plan").get("keytool_commands") or []
    return code_block("\n".join(commands).split("\n"), "sh") if commands else ["None."]


def _certificates(by_kind: Kinds) -> list[str]:
    rows = []
    seen: set[str] = set()
    for kind in ("Probe", "ProbeFailure"):
        for event in by_kind.get(kind, []):
            for position, encoded in enumerate(event.value["chain"]):
                if encoded not in seen:
                    seen.add(encoded)
                    rows.append(_certificate_row(base64.b64decode(encoded), position))
    return table(("role", "subject", "issuer", "valid until (UTC)", "SHA-256"), rows) if rows else ["None was seen."]


def _certificate_row(der: bytes, position: int) -> tuple[str, ...]:
    try:
        facts = certificate_facts(der)
    except CertificateError as error:
        return ("unreadable", code(str(error)), "", "", code(sha256_of(der)))
    until = f"{facts.not_after:%Y-%m-%d %H:%M}"
    return role(facts, position), code(facts.subject), code(facts.issuer), until, code(keytool_notation(facts.sha256))


def _timeline(by_kind: Kinds) -> list[str]:
    events = sorted((event for same in by_kind.values() for event in same), key=lambda event: event.number)
    rows = ((str(e.number), code(e.at[:19]), code(e.kind), code(_gist(e))) for e in events)
    return table(("line", "time (UTC)", "event", "what"), rows)


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


def _versions(by_kind: Kinds) -> list[str]:
    opened = _last(by_kind, "Opened")
    return [f"- {code(name)}: {code(text)}" for name, text in opened.get("versions", {}).items()]


def _said(by_kind: Kinds, heading: str) -> list[str]:
    said = (event.value for event in by_kind.get("Statement", []))
    return [code(statement["text"]) for statement in said if statement["heading"] == heading]


_SECTIONS: tuple[tuple[str, Callable[[Kinds], list[str]]], ...] = (
    ("Short description", _description),
    ("Justification", _justification),
    ("Plan", _plan),
    ("How the fingerprint was checked", _fingerprint),
    ("Risk and reach", lambda by_kind: _said(by_kind, "risk") or [_REACH]),
    ("Test plan", lambda _: [_TEST]),
    ("Backout plan", lambda _: [_BACKOUT]),
    ("Outcome", _outcome),
    ("The same change as keytool commands", _commands),
    ("Evidence: certificates", _certificates),
    ("Evidence: events", _timeline),
    ("Versions", _versions),
)
