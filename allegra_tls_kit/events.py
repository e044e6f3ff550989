"""Values ↔ the lines of a journal: what is kept as JSON, and a change read back from it, so that it can be undone years later."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.errors import JournalError
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, StoreType
from allegra_tls_kit.plan import Action, ActionKind, Applied, ApplyState, Plan
from allegra_tls_kit.text import shows_itself, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


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


MOST_LINES = 250_000
"""Those of a thousand runs; each becomes a row of the record."""
MOST_VALUES = 10_000_000
"""What stands between commas, colons and brackets in 256 MB of a journal; brackets alone take forty times that in memory."""
_BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")


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


def _entry(entry: Entry) -> dict[str, Any]:
    """Return an entry without its certificate: a cacerts holds 150 of them that are nobody's news.

    Its content is told where it is more than the certificate, as of a key.
    """
    told = {"alias": entry.alias, "kind": entry.kind, "sha256": entry.sha256, "anchor": entry.anchor}
    return told if entry.content == entry.sha256 else {**told, "content": entry.content}


def _fields(value: Any, **instead: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return the fields in their plain form, or what is given instead."""
    names = [field.name for field in dataclasses.fields(value)]
    return {name: instead[name] if name in instead else plain(getattr(value, name)) for name in names}


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Plan, lambda plan: _fields(plan) | {"id": plan.id, "keytool_commands": list(plan.keytool_commands())}),
    (Applied, lambda applied: _fields(applied, plan=applied.plan.id)),  # the plan stands in the journal before it
    (Snapshot, lambda s: _fields(s, entries=[_entry(entry) for entry in s.entries]) | {"anchors": len(s.anchors)}),
    (Entry, _entry),
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
    return text.encode() if text.isascii() and "\x7f" not in text else _BEYOND_ASCII.sub(_escaped, text).encode()


def _escaped(match: re.Match[str]) -> str:
    """Spell out what does not show itself, or is half a character as in a path that is not UTF-8; it is JSON all the same."""
    return match[0] if shows_itself(match[0]) else json.dumps(match[0])[1:-1]


def read_events(data: bytes) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """Return the events of a journal, and what is wrong with its chain: lines changed, missing, or not to be read.

    Nothing is read of one with more lines or values than the kit writes.
    """
    if data.count(b"\n") > MOST_LINES or sum(map(data.count, (b",", b":", b"[", b"{"))) > MOST_VALUES:
        return (), (f"more than {MOST_LINES:,} lines or {MOST_VALUES:,} values, which no journal has: nothing of it was read",)
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


def changes_in(events: Iterable[Event]) -> tuple[Applied, ...]:
    """Return the changes that a journal tells of, in their order; what was there already or was abandoned is none.

    A change that broke off at the swap is among them, with the digest that was prepared: the digest of the file tells whether it
    is in place. Raises JournalError for an event of a shape that this kit does not write, and for a plan whose id does not fit.
    """
    plans: dict[str, Plan] = {}
    found: dict[str, Applied] = {}
    for event in events:
        try:
            match event.kind:
                case "Plan":
                    plans[event.value["id"]] = _plan_from(event.value)
                case "Applied" if event.value["changed"]:
                    applied = _applied_from(event.value, plans)
                    found[applied.plan.id] = applied
                case "ApplyStep":
                    _note_step(event, plans, found)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(f"line {event.number}: this {visible(event.kind, 40)} cannot be read back: {error}") from None
    return tuple(found.values())


def _note_step(event: Event, plans: Mapping[str, Plan], found: dict[str, Applied]) -> None:
    step = event.value
    match ApplyState(step["state"]):
        case ApplyState.PREPARED:
            plan, backup = plans[step["plan"]], step["backup"]
            at = datetime.fromisoformat(event.at)
            found[plan.id] = Applied(plan, at, changed=True, sha256=step["sha256"], backup=Path(backup) if backup else None)
        case ApplyState.ABANDONED:
            found.pop(step["plan"], None)


def _applied_from(value: Mapping[str, Any], plans: Mapping[str, Plan]) -> Applied:
    backup = Path(value["backup"]) if value["backup"] else None
    at = datetime.fromisoformat(value["at"])
    return Applied(plans[value["plan"]], at, changed=True, sha256=value["sha256"], backup=backup)


def _plan_from(value: Mapping[str, Any]) -> Plan:
    actions = tuple(_action_from(action) for action in value["actions"])
    restored = value.get("backup")  # which plans of former versions do not have
    backup = None if restored is None else _snapshot_from(restored)
    plan = Plan(_snapshot_from(value["snapshot"]), value["purpose"], actions, backup)
    if plan.id != value["id"]:
        raise ValueError(f"it says id {visible(str(value['id']), 20)} and is {plan.id}: one of the two was altered")
    return plan


def _snapshot_from(value: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        Path(value["path"]),
        value["exists"],
        StoreType(value["store_type"]),
        value["sha256"],
        tuple(_entry_from(entry) for entry in value["entries"]),
        value["integrity_checked"],
        value["locked"],
        tuple(value["notes"]),
        Path(value["place"]) if value.get("place") else None,  # which snapshots of former versions do not have
    )


def _action_from(value: Mapping[str, Any]) -> Action:
    certificate = None if value["certificate"] is None else base64.b64decode(value["certificate"], validate=True)
    return Action(ActionKind(value["kind"]), value["alias"], certificate, value["reason"])


def _entry_from(value: Mapping[str, Any]) -> Entry:
    """Return an entry without its certificate, which a journal does not keep."""
    content = value["content"] if "content" in value else value["sha256"]
    return Entry(value["alias"], EntryKind(value["kind"]), None, content, anchor=value["anchor"])
