"""How far a change came, as its journal tells: the events by kind, the plans among them, and what all of it says in short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.endpoint import Endpoint, Protocol, Security
from allegra_tls_kit.errors import JournalError, RecordError
from allegra_tls_kit.events import Event, changes_in, read_events
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allegra_tls_kit.plan import Applied

Kinds = dict[str, list[Event]]
FOREIGN = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading an event raises that has a shape which this kit does not write."""


class Outcome(StrEnum):
    """How far the last plan of a journal came."""

    LOOKED = "looked, nothing planned"
    PLANNED = "planned, not applied"
    ABANDONED = "abandoned, the keystore is as it was"
    BROKE_OFF = "broke off in the middle; compare the file's SHA-256 with the digests under Outcome"
    UNCHANGED = "nothing to change"
    APPLIED = "applied, not verified"
    VERIFIED = "applied and verified"
    NOT_TRUSTED = "applied, but the server is not trusted"
    STILL_TRUSTED = "taken out again, and the server is trusted all the same"
    UNDONE = "taken out again, and the server is refused"
    UNKNOWN = "cannot be told; see the integrity of the journal"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a journal says in short; texts are made visible, `None` or empty where it says nothing.

    `begun` is aware UTC, `purpose` and `keystore` are those of the last plan. `faults` are those of the chain of lines. `changes`
    are those that were made, to be undone by `plan_rollback`; empty where they cannot be read back, and `faults` says so.
    """

    outcome: Outcome
    begun: datetime | None
    purpose: str
    keystore: str
    endpoint: Endpoint | None
    operator: str
    ticket: str
    changes: tuple[Applied, ...]
    faults: tuple[str, ...]

    def change(self, plan: str = "") -> Applied:
        """Return the change of this plan's id, the last one if empty; raises RecordError where there is none."""
        found = next((applied for applied in reversed(self.changes) if plan in ("", applied.plan.id)), None)
        if found is None:
            made = ", ".join(applied.plan.id for applied in self.changes) or "none"
            raise RecordError(f"this record tells of no change {visible(plan, 20)}; made were: {made}".replace("  ", " "))
        return found


def recorded(data: bytes) -> Recorded:
    """Return what the bytes of a journal say in short; never raises, whatever they are."""
    events, found = read_events(data)
    faults = list(found)
    by_kind = by_kind_of(events)
    try:
        changes = changes_in(events)
    except JournalError as error:
        changes = ()
        faults.append(str(error))

    def told(tell: Callable[[], object]) -> Any:  # noqa: ANN401 - whatever the caller looks up
        try:
            return tell()
        except FOREIGN:
            return None

    plan, choice, opened = last(by_kind, "Plan"), last(by_kind, "ImportChoice"), first(by_kind, "Opened")
    return Recorded(
        outcome=outcome_now(by_kind),
        begun=told(lambda: datetime.fromisoformat(events[0].at).astimezone(UTC)),
        purpose=visible(str(told(lambda: plan["purpose"]) or "")),
        keystore=visible(str(told(lambda: plan["snapshot"]["path"]) or "")),
        endpoint=told(lambda: Endpoint.parse(choice["endpoint"])) or told(lambda: _endpoint_from(last(by_kind, "Verified"))),
        operator=visible(str(told(lambda: choice["operator"]) or told(lambda: opened["operator"]) or "")),
        ticket=visible(str(told(lambda: choice["ticket"]) or "")),
        changes=changes,
        faults=tuple(faults),
    )


def _endpoint_from(verified: Mapping[str, Any]) -> Endpoint:
    value = verified["endpoint"]
    protocol, security = Protocol(value["protocol"]), Security(value["security"])
    return Endpoint(value["host"], value["port"], protocol, security, value["server_name"])


def by_kind_of(events: tuple[Event, ...]) -> Kinds:
    """Return the events by the class of what they hold, in their order."""
    by_kind: Kinds = {}
    for event in events:
        by_kind.setdefault(event.kind, []).append(event)
    return by_kind


def plans_of(by_kind: Kinds) -> list[dict[str, Any]]:
    """Return each plan once, in their order: one that was refused at first and applied later was kept twice."""
    return list({event.value["id"]: event.value for event in by_kind.get("Plan", [])}.values())


def values_of(by_kind: Kinds, kind: str, plan: object = None) -> list[dict[str, Any]]:
    """Return the values of a kind in their order; with a plan's id those that belong to it."""
    return [event.value for event in by_kind.get(kind, []) if plan is None or event.value.get("plan") == plan]


def last(by_kind: Kinds, kind: str, plan: object = None) -> dict[str, Any]:
    """Return the last of `values_of`; empty where there is none."""
    return next(reversed(values_of(by_kind, kind, plan)), {})


def first(by_kind: Kinds, kind: str) -> dict[str, Any]:
    """Return the first value of a kind; empty where there is none. Who opened a journal first did what it tells."""
    return next(iter(values_of(by_kind, kind)), {})


def outcome_now(by_kind: Kinds) -> Outcome:
    """Return how far the last plan came; UNKNOWN where the events have a foreign shape."""
    try:
        plans = plans_of(by_kind)
        return outcome_of(by_kind, plans[-1]) if plans else Outcome.LOOKED
    except FOREIGN:
        return Outcome.UNKNOWN


def outcome_of(by_kind: Kinds, plan: Mapping[str, Any]) -> Outcome:
    """Return how far one plan came."""
    applied = last(by_kind, "Applied", plan["id"])
    if verified := last(by_kind, "Verified", plan["id"]):
        kinds = {action["kind"] for action in plan["actions"]}
        takes_out = kinds.isdisjoint({"add", "restore"}) and not kinds.isdisjoint({"remove", "delete_store", "not_found"})
        if applied and not applied["changed"] and verified["trusted"]:
            return Outcome.UNCHANGED
        return _VERIFIED[takes_out, bool(verified["trusted"])]
    if applied:
        return Outcome.APPLIED if applied["changed"] else Outcome.UNCHANGED
    if step := last(by_kind, "ApplyStep", plan["id"]):
        return Outcome.ABANDONED if step["state"] == "abandoned" else Outcome.BROKE_OFF
    return Outcome.PLANNED


_VERIFIED = {
    (False, True): Outcome.VERIFIED,
    (False, False): Outcome.NOT_TRUSTED,
    (True, True): Outcome.STILL_TRUSTED,
    (True, False): Outcome.UNDONE,
}
