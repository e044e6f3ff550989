"""The change record, made from a journal's bytes alone; whatever stands in them, it is made, and nothing of it acts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allegra_tls_kit as kit
from allegra_tls_kit import ActionKind, Statement, change_record
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.errors import ConnectFailed, RecordError
from allegra_tls_kit.events import Opened, event_line
from allegra_tls_kit.outcome import Outcome, recorded
from allegra_tls_kit.plan import Action, ApplyState, Plan
from tests import hostile
from tests.chains import distinguished, issue
from tests.shown import tags_of, text_of_page
from tests.stores import LEAF, NEW, ROOT
from tests.test_journal import APPLIED, AT, CHOICE, DIAGNOSIS, FAILURE, PLAN, PROBE, SNAPSHOT, STEP, VERIFIED

if TYPE_CHECKING:
    from allegra_tls_kit.static import Static

OPENED = Opened("grace", "host-1", "Linux", {"allegra-tls-kit": "0.1.0"})
HEADINGS = (
    "Short description", "Justification", "Plan", "How the fingerprint was checked", "Risk and reach", "Test plan",
    "Backout plan", "Outcome", "The same change as keytool commands", "Evidence: certificates", "Evidence: events",
    "Versions", "Integrity of the journal",
)  # fmt: skip
ABANDONED = replace(STEP, state=ApplyState.ABANDONED, detail="StalePlan: a came")
BACK = kit.plan_rollback(APPLIED, SNAPSHOT)
ABANDON_BACK = replace(ABANDONED, plan=BACK.id)
KEPT = kit.plan_import(SNAPSHOT, [NEW.der], purpose="there already")
UNCHANGED = replace(APPLIED, changed=False)
SAID = (Statement("justification", "mail stopped"), Statement("risk", "little"))
WHOLE = (OPENED, FAILURE, PROBE, DIAGNOSIS, CHOICE, *SAID, PLAN, STEP, APPLIED, replace(VERIFIED, trusted=True))


def journal_of(*values: object) -> bytes:
    lines: list[bytes] = []
    for number, value in enumerate(values):
        previous = sha256_of(lines[-1]) if lines else None
        lines.append(event_line(value, at=AT + timedelta(seconds=number), previous=previous))
    return b"".join(line + b"\n" for line in lines)


def sections(record: Static) -> dict[str, str]:
    title, *rest = re.split(r"^## ", record.markdown(), flags=re.MULTILINE)
    return {"": title} | {heading: body.strip() for heading, _, body in (part.partition("\n") for part in rest)}


CHAIN = "Integrity of the journal"


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ((), Outcome.LOOKED),
        ((OPENED, PROBE, DIAGNOSIS), Outcome.LOOKED),
        ((OPENED, PLAN), Outcome.PLANNED),
        ((OPENED, PLAN, ABANDONED), Outcome.ABANDONED),
        ((OPENED, PLAN, STEP), Outcome.BROKE_OFF),
        ((OPENED, PLAN, STEP, APPLIED), Outcome.APPLIED),
        ((OPENED, PLAN, UNCHANGED), Outcome.UNCHANGED),
        ((OPENED, KEPT, replace(UNCHANGED, plan=KEPT), replace(VERIFIED, plan=KEPT.id, trusted=True)), Outcome.UNCHANGED),
        ((OPENED, KEPT, replace(UNCHANGED, plan=KEPT), replace(VERIFIED, plan=KEPT.id)), Outcome.NOT_TRUSTED),
        (WHOLE, Outcome.VERIFIED),
        ((OPENED, PLAN, STEP, APPLIED, VERIFIED), Outcome.NOT_TRUSTED),
        ((OPENED, PLAN, APPLIED, BACK), Outcome.PLANNED),
        ((OPENED, PLAN, APPLIED, BACK, ABANDON_BACK), Outcome.ABANDONED),
        ((OPENED, PLAN, APPLIED, BACK, replace(APPLIED, plan=BACK)), Outcome.APPLIED),
        ((OPENED, PLAN, APPLIED, BACK, replace(APPLIED, plan=BACK), replace(VERIFIED, plan=BACK.id)), Outcome.UNDONE),
        (
            (OPENED, BACK, replace(APPLIED, plan=BACK), replace(VERIFIED, plan=BACK.id, trusted=True)),
            Outcome.STILL_TRUSTED,
        ),
    ],
)
def test_the_record_tells_how_far_the_last_plan_came(values: tuple[object, ...], outcome: Outcome) -> None:
    data = journal_of(*values)
    assert recorded(data).outcome is outcome
    told = sections(change_record(data))
    assert tuple(told)[1:] == HEADINGS
    assert f"State: {outcome}".replace(";", "") in told[""].replace(";", "")
    assert f"{len(values)} line{'s' * (len(values) != 1)}, unbroken chain" in told[CHAIN]


def test_the_record_holds_what_a_change_board_asks_for() -> None:
    document = change_record(journal_of(*WHOLE))
    told = sections(document)
    assert told[""].startswith("# Change record\n")
    for shown in (PLAN.id, str(PLAN.keystore), "CHG-1", CHOICE.operator, "host-1", CHOICE.endpoint, AT.isoformat(), PLAN.purpose):
        assert shown in told["Short description"]
    assert "mail stopped" in told["Justification"]
    assert DIAGNOSIS.message is not None
    assert DIAGNOSIS.message in told["Justification"]
    assert all(finding.code in told["Justification"] for finding in DIAGNOSIS.findings)
    added = PLAN.actions[0]
    assert f"| add | {added.alias} | `{keytool_notation(sha256_of(ROOT.der))}` |" in told["Plan"]
    assert "| Ada | Grace |" in told["How the fingerprint was checked"]
    assert "little" in told["Risk and reach"]
    assert "30_roll_back" in told["Backout plan"]
    for outcome in (str(SNAPSHOT.sha256), str(APPLIED.sha256), str(APPLIED.backup), "it is refused", "prepared"):
        assert outcome in told["Outcome"]
    commands = told["The same change as keytool commands"].splitlines()
    assert commands[1:-1] == "\n".join(PLAN.keytool_commands()).splitlines()
    for der in (LEAF.der, ROOT.der):
        assert keytool_notation(sha256_of(der)) in told["Evidence: certificates"]
    assert told["Evidence: events"].count("\n| ") == 1 + len(WHOLE)
    assert "allegra-tls-kit" in told["Versions"]
    _, page = text_of_page(document.page("x"))
    for shown in (*HEADINGS, PLAN.id, "mail stopped", str(APPLIED.backup), keytool_notation(sha256_of(ROOT.der))):
        assert shown in page


def test_a_record_of_two_plans_tells_of_both() -> None:
    values = (OPENED, CHOICE, PLAN, APPLIED, replace(VERIFIED, trusted=True), BACK, ABANDON_BACK)
    told = sections(change_record(journal_of(*values)))
    assert f"{PLAN.id}: applied and verified" in told["Short description"]
    assert f"{BACK.id}: abandoned" in told["Short description"]
    assert told["Plan"].count("SHA-256") == 2
    assert str(APPLIED.backup) in told["Outcome"]


def test_the_same_journal_gives_the_same_record() -> None:
    assert change_record(journal_of(*WHOLE)) == change_record(journal_of(*WHOLE))


@pytest.mark.parametrize("line", range(len(WHOLE)))
def test_a_damaged_journal_gives_what_it_still_holds_and_says_so(line: int) -> None:
    lines = journal_of(*WHOLE).splitlines()
    lines[line] = lines[line][:50]
    record = change_record(b"\n".join(lines))
    assert tuple(sections(record))[1:] == HEADINGS
    assert f"line {line + 1} cannot be read" in sections(record)[CHAIN]


# --- in short, and back as values ------------------------------------------------------------------------------------------


def test_a_journal_in_short_says_who_what_where_and_which_changes() -> None:
    told = recorded(journal_of(*WHOLE))
    assert (told.operator, told.ticket, told.endpoint) == (CHOICE.operator, CHOICE.ticket, PROBE.endpoint)
    assert (told.begun, told.purpose, told.keystore, told.faults) == (AT, PLAN.purpose, str(PLAN.keystore), ())
    (change,) = told.changes
    assert (change.at, change.sha256, change.backup, change.plan.id) == (AT, APPLIED.sha256, APPLIED.backup, PLAN.id)
    assert change.plan.actions == PLAN.actions
    assert kit.plan_rollback(change, SNAPSHOT) == BACK
    assert told.change() == told.change(PLAN.id) == change
    with pytest.raises(RecordError, match=f"no change 0123; made were: {PLAN.id}"):
        told.change("0123")
    assert recorded(journal_of(OPENED, BACK, replace(APPLIED, plan=BACK), VERIFIED)).endpoint == VERIFIED.endpoint


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ((OPENED, PLAN), []),
        ((OPENED, PLAN, UNCHANGED), []),
        ((OPENED, PLAN, STEP, ABANDONED), []),
        ((OPENED, PLAN, replace(STEP, sha256="ab")), ["ab"]),
        ((OPENED, PLAN, replace(STEP, sha256="ab"), APPLIED), [APPLIED.sha256]),
        ((OPENED, PLAN, STEP, APPLIED, BACK, replace(APPLIED, plan=BACK, sha256="cd")), [APPLIED.sha256, "cd"]),
    ],
)
def test_a_change_that_may_be_in_place_can_be_undone(values: tuple[object, ...], changes: list[str]) -> None:
    assert [change.sha256 for change in recorded(journal_of(*values)).changes] == changes


@pytest.mark.parametrize("altered", ['"alias":"x"', '"purpose":"x"', '"path":"/x"'])
def test_a_plan_that_was_altered_is_not_undone(altered: str) -> None:
    name = altered.split(":", maxsplit=1)[0]
    data = re.sub(f'{name}:"[^"]*"'.encode(), altered.encode(), journal_of(OPENED, PLAN, APPLIED))
    told = recorded(data)
    assert told.changes == ()
    assert any("one of the two was altered" in fault for fault in told.faults)


# --- shapes that this kit never writes -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
PARSED = [json.loads(line) for line in journal_of(*WHOLE).splitlines()]


def spots_in(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [path, *(spot for key, item in items for spot in spots_in(item, (*path, key)))]


def changed(value: object, path: tuple[str | int, ...], put: object) -> object:
    """Put something in one spot of a JSON value, where it still has that spot; `...` takes it out."""
    if not path:
        return put
    items = dict(value) if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    if path[0] not in items:
        return value
    items[path[0]] = changed(items[path[0]], path[1:], put)
    kept = {key: item for key, item in items.items() if item is not ...}
    return kept if isinstance(value, dict) else list(kept.values())


SPOTS = [spot for spot in spots_in(PARSED) if spot]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SPOTS), JSON | st.just(...)), min_size=1, max_size=3))
def test_no_shape_of_an_event_keeps_the_record_from_being_made(changes: list[tuple[tuple[str | int, ...], object]]) -> None:
    events: object = PARSED
    for spot, put in changes:
        events = changed(events, spot, put)
    assert isinstance(events, list)
    record = change_record(b"\n".join(json.dumps(event).encode() for event in events))
    assert tuple(sections(record))[1:] == HEADINGS
    record.markdown().encode()


@settings(max_examples=100, deadline=None)
@given(st.lists(JSON.map(lambda value: json.dumps(value).encode()) | st.binary()))
def test_no_bytes_keep_the_record_from_being_made(lines: list[bytes]) -> None:
    record = change_record(b"\n".join(lines))
    assert tuple(sections(record))[1:] == HEADINGS


@pytest.mark.parametrize("depth", [100, 500, 800, 900, 950, 2000, 100_000])
def test_no_depth_keeps_the_record_from_being_made(depth: int) -> None:
    deep = b'{"at":"","kind":"Plan","previous":null,"value":{"purpose":' + b"[" * depth + b"]" * depth + b"}}"
    assert tuple(sections(change_record(deep)))[1:] == HEADINGS


def test_an_event_of_a_foreign_shape_is_told_from_an_unbroken_journal() -> None:
    event = {"at": AT.isoformat(), "kind": "Plan", "previous": None, "value": {"id": "x", "actions": 7, "purpose": "p"}}
    told = sections(change_record(json.dumps(event).encode()))
    assert "This cannot be told" in told["Plan"]
    assert "Plan: an event that tells of it has a shape" in told[CHAIN]
    assert recorded(json.dumps(event).encode()).faults


# --- strangers -------------------------------------------------------------------------------------------------------------


def strangers(text: str) -> bytes:
    """A journal in which everything that somebody else can choose is this text."""
    name = (text.encode()[:60].decode(errors="ignore").strip() or "x").replace("\0", "")
    leaf = issue(distinguished(CN=name, O=name), key=LEAF.key)
    plan = Plan(
        replace(SNAPSHOT, path=Path("/srv") / (text.replace("\0", "") or "x"), notes=(text,)),
        text,
        (Action(ActionKind.ADD, text, NEW.der, text), Action(ActionKind.CONFLICT, text, None, text)),
    )
    choice = replace(CHOICE, endpoint=text, reference=text, reference_from=text, keystore=text, operator=text, ticket=text)
    finding = replace(DIAGNOSIS.findings[0], detail=text)
    foreign = {"at": text, "kind": text, "previous": text, "value": {"detail": text}}
    return (
        json.dumps(foreign).encode()
        + b"\n"
        + journal_of(
            replace(OPENED, operator=text, host=text, platform=text, versions={"python": text}),
            replace(FAILURE, error=ConnectFailed(text), transcript=(text,)),
            replace(PROBE, chain=(leaf.der, text.encode()), cipher=text, transcript=(text,)),
            replace(DIAGNOSIS, message=text, findings=(finding,)),
            choice,
            Statement("justification", text),
            Statement("risk", text),
            plan,
            replace(STEP, plan=plan.id, keystore=plan.keystore, detail=text),
            replace(APPLIED, plan=plan, backup=plan.keystore),
            replace(VERIFIED, plan=plan.id, sentences=(text, text)),
        )
    )


def structure(journal: bytes) -> list[tuple[str, ...]]:
    return tags_of(change_record(journal).markdown())


TAME = structure(strangers("tame"))


def test_the_tame_record_has_the_tags_of_this_kit_and_no_others() -> None:
    own = {"h1", "h2", "a", "p", "strong", "code", "pre", "div", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, *_ in TAME} <= own
    assert {carried for tag, *rest in TAME for carried in rest} <= {"href=#"}


@pytest.mark.parametrize("text", hostile.SAID.values(), ids=hostile.SAID)
def test_hostile_text_is_shown_and_never_acts(text: str) -> None:
    journal = strangers(text)
    assert structure(journal) == TAME
    document = change_record(journal)
    assert text_of_page(document.page("x"))
    for shown in (document.markdown(), document.page("x"), str(document)):
        assert hostile.UNSEEN.search(shown) is None
    assert recorded(journal).faults


@settings(max_examples=40, deadline=None)
@given(st.text("bend{}`|\\<>!-=[]()*_~#$&:;/'\"\n\t x1a", max_size=40))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    assert structure(strangers(f"x{text}")) == TAME
