from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import allegra_tls_kit as kit
from allegra_tls_kit import errors, survey_lines
from allegra_tls_kit.errors import ConnectFailed, ExportError, KitError, NotTls, ProbeError, SurveyError
from allegra_tls_kit.preamble import Stage
from allegra_tls_kit.survey import Zoned
from allegra_tls_kit.survey_lines import survey_bytes, survey_in
from allegra_tls_kit.text import visible
from tests.chains import NOW, PAST, issue
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, UNREADABLE, failure_of, probe_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Result = kit.Probe | kit.ProbeFailure

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ProbeError)]
TEXT = st.text(max_size=40).map(visible)
CHAINS = st.lists(st.sampled_from([LEAF.der, ROOT.der, HOSTILE_LEAF.der, UNREADABLE, b"\0"]), max_size=4).map(tuple)
SEEN = {
    "endpoint": st.builds(
        kit.Endpoint,
        st.sampled_from(["mail.example.com", "bücher.example", "2001:db8::1", "MAIL", "fe80::1%eth0"]),
        st.integers(1, 65535),
        st.sampled_from(kit.Protocol),
        st.sampled_from(kit.Security),
        st.none() | st.just("other.example.com"),
    ),
    "at": st.datetimes(timezones=st.just(UTC)),
    "chain": CHAINS,
    "transcript": st.lists(TEXT, max_size=3).map(tuple),
    "seconds": st.floats(0, 1e6),
}
PROBES = st.builds(
    kit.Probe, **SEEN, tls_version=TEXT, cipher=TEXT, address=TEXT, client_certificate=st.sampled_from([True, False, None])
)
FAILURES = st.builds(
    kit.ProbeFailure,
    **SEEN,
    stage=st.sampled_from(Stage),
    error=st.builds(lambda kind, words: kind(words), st.sampled_from(CLASSES), TEXT),
    address=st.none() | TEXT,
)


def told(results: tuple[Result, ...]) -> list[Any]:
    """Results in a form that can be compared: errors are equal only to themselves."""
    plain = [{field.name: getattr(result, field.name) for field in dataclasses.fields(result)} for result in results]
    return [
        (type(result), values | {"error": (type(values.get("error")), str(values.get("error")))})
        for result, values in zip(results, plain, strict=True)
    ]


@given(st.lists(PROBES | FAILURES, max_size=6).map(tuple))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_was_saved_is_loaded(results: tuple[Result, ...]) -> None:
    assert told(survey_in(survey_bytes(results), "x")) == told(results)


def test_every_field_of_a_result_is_saved_and_read() -> None:
    for kind in (kit.Probe, kit.ProbeFailure):
        assert set(survey_lines.FIELDS[kind.__name__]) | {"chain"} == {field.name for field in dataclasses.fields(kind)}


def test_a_certificate_stands_in_the_file_once(tmp_path: Path) -> None:
    results = [probe_of(LEAF.der, ROOT.der, url=f"imaps://mail{number}.example.com") for number in range(20)]
    path = kit.save_survey(results, tmp_path / "survey.jsonl")
    data = path.read_bytes()
    for issued in (LEAF, ROOT):
        assert data.count(base64.b64encode(issued.der)) == 1
    assert data.isascii()
    assert told(kit.load_survey(path)) == told(tuple(results))


def test_a_survey_is_judged_later_without_the_network(tmp_path: Path) -> None:
    kit.save_survey([probe_of(LEAF.der), failure_of()], tmp_path / "survey.jsonl")
    probe, failure = kit.load_survey(tmp_path / "survey.jsonl")
    assert kit.judge(probe, [ROOT.der]).trusted
    assert not kit.judge(probe, [OTHER_ROOT.der]).trusted
    assert not kit.judge(probe, [ROOT.der], at=NOW + timedelta(days=5000)).trusted
    assert isinstance(failure, kit.ProbeFailure)
    with pytest.raises(ConnectFailed, match="no connection"):
        raise failure.error


def test_a_journal_and_its_record_folder_are_surveys_too(journal: kit.Journal) -> None:
    results = (probe_of(LEAF.der, ROOT.der), failure_of(LEAF.der, error=NotTls("plaintext")))
    journal.keep(kit.Statement("risk", "none"))
    journal.keep_all(results)
    journal.keep(Zoned("dmz", failure_of()))
    for path in (journal.path, journal.path.parent):
        assert told(kit.load_survey(path)) == told((*results, failure_of()))


def test_a_journal_that_was_altered_is_not_taken_for_seen(journal: kit.Journal) -> None:
    journal.keep_all([probe_of(LEAF.der), failure_of()])
    journal.path.write_bytes(journal.path.read_bytes().replace(b"TLSv1.3", b"TLSv1.2"))
    with pytest.raises(SurveyError, match="line 3 does not follow the line before it"):
        kit.load_survey(journal.path)


def test_a_journal_with_a_line_of_brackets_alone_is_not_read_at_all(journal: kit.Journal) -> None:
    with journal.path.open("ab") as file:
        file.write(b"[" * 20_000_000 + b"\n")
    with pytest.raises(SurveyError, match="more than 250,000 lines or 10,000,000 values, which no journal has"):
        kit.load_survey(journal.path)


# --- damaged and hostile files -------------------------------------------------------------------------------------------------


def forged(*lines: object) -> bytes:
    """A survey whose digest fits, whatever its lines are."""
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    head = {"format": survey_lines.FORMAT, "version": 1, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def result_line(result: Result = probe_of(), **changed: object) -> dict[str, Any]:  # noqa: B008 - frozen
    line: dict[str, Any] = json.loads(survey_bytes([result]).splitlines()[-1])
    return line | {"value": line["value"] | changed}


GOOD = survey_bytes([probe_of(LEAF.der), failure_of()])
ENDPOINT = result_line()["value"]["endpoint"]
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "neither a saved survey nor a journal"),
    "a list of servers": (b"imaps://mail.example.com\n", "neither a saved survey"),
    "other JSON": (b'{"format":"something"}\n', "neither a saved survey"),
    "brackets": (b"[" * 200_000, "neither a saved survey"),
    "a long first line": (b'{"format":"' + b"x" * 2_000_000 + b'"}', "neither a saved survey"),
    "cut": (GOOD[:-30], "cut, damaged or edited"),
    "without its end": (GOOD[: GOOD.rindex(b'{"kind"')], "cut, damaged or edited"),
    "edited": (GOOD.replace(b"TLSv1.3", b"TLSv1.2"), "cut, damaged or edited"),
    "line ends of another system": (GOOD.replace(b"\n", b"\r\n"), "cut, damaged or edited"),
    "of a newer kit": (GOOD.replace(b'"version":1', b'"version":2'), "version 2 of the format, this kit reads 1"),
    "no JSON": (forged(b"<b>"), "line 2: nothing that this kit writes"),
    "deep": (forged(b"[" * 200_000), "line 2"),
    "an empty line": (forged(result_line(), b"", result_line()), "line 3"),
    "a list": (forged([]), "line 2"),
    "a line without end": (forged(b'"' + b"x" * 2_000_000 + b'"'), "line 2: .*longer than 1 MB"),
    "an unknown kind": (forged(result_line() | {"kind": "Plan"}), "line 2: .*KeyError: 'Plan'"),
    "a certificate that is not there": (forged(result_line(chain=["00" * 32])), "line 2"),
    "no base64": (forged({"certificate": "00", "der": "*"}), "line 2"),
    "a chain that is a text": (forged(result_line(chain="")), "line 2: .*no list"),
    "a time without a zone": (forged(result_line(at="2026-01-01T00:00:00")), "without a zone"),
    "a time before time": (forged(result_line(at="0001-01-01T00:00:00+23:59")), "line 2"),
    "no time": (forged(result_line(at=5)), "line 2"),
    "no seconds": (forged(result_line(seconds=True)), "line 2"),
    "endless seconds": (forged(result_line(seconds=10**400)), "line 2"),
    "infinite seconds": (forged(result_line(seconds=float("inf"))), "line 2"),
    "a wish that is a number": (forged(result_line(client_certificate=1)), "line 2"),
    "an unknown error": (forged(result_line(failure_of(), error={"type": "KeyError", "message": "x"})), "line 2"),
    "an error that is no text": (forged(result_line(failure_of(), error={"type": [], "message": "x"})), "line 2"),
    "an unknown stage": (forged(result_line(failure_of(), stage="none")), "line 2"),
    "a host that is a path": (forged(result_line(endpoint=ENDPOINT | {"host": "../x"})), "line 2"),
    "a port that is none": (forged(result_line(endpoint=ENDPOINT | {"port": True})), "line 2"),
    "a high port": (forged(result_line(endpoint=ENDPOINT | {"port": 10**9})), "line 2"),
    "a field less": (forged({"kind": "Probe", "value": {"chain": []}}), "line 2"),
    "a journal of another shape": (
        b'{"at":"x","kind":"Probe","previous":null,"value":{"chain":[],"error":{}}}\n',
        "line 1: nothing that this kit writes",
    ),
}


@pytest.mark.parametrize("which", DAMAGED)
def test_a_damaged_or_hostile_file_is_refused_in_one_clear_sentence(which: str, tmp_path: Path) -> None:
    data, words = DAMAGED[which]
    path = tmp_path / "survey.jsonl"
    path.write_bytes(data)
    with pytest.raises(SurveyError, match=words) as caught:
        kit.load_survey(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_no_bytes_give_anything_but_results_or_a_survey_error(data: st.DataObject) -> None:
    line = json.dumps(result_line(data.draw(st.just(probe_of()) | st.just(failure_of())))).encode()
    start, end = sorted((data.draw(st.integers(0, len(line))), data.draw(st.integers(0, len(line)))))
    damaged = (
        line[:start] + data.draw(st.binary(max_size=8) | st.sampled_from([b"null", b"1e999", b"[]", b'"\\ud800"'])) + line[end:]
    )
    try:
        results = survey_in(forged(damaged), "x")
    except SurveyError:
        return
    assert all(isinstance(result, kit.Probe | kit.ProbeFailure) for result in results)
    assert all(str(line).isprintable() for result in results for line in result.transcript)


def test_text_in_a_file_is_made_visible_as_it_is_read() -> None:
    changed = result_line(failure_of(), transcript=[HOSTILE], address=HOSTILE, error={"type": "NotTls", "message": HOSTILE})
    (result,) = survey_in(forged(changed), "x")
    assert isinstance(result, kit.ProbeFailure)
    assert result.transcript == (visible(HOSTILE),)
    assert (result.address, str(result.error)) == (visible(HOSTILE), visible(HOSTILE))


def test_times_of_another_zone_are_read_as_utc() -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    (result,) = survey_in(forged(result_line(at=there.isoformat())), "x")
    assert (result.at, result.at.tzinfo) == (datetime(2026, 1, 1, tzinfo=UTC), UTC)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = dataclasses.replace(probe_of(), transcript=("x" * 2_000_000,))
    with pytest.raises(SurveyError, match="save it in parts"):
        kit.save_survey([huge], tmp_path / "survey.jsonl")
    assert not [*tmp_path.iterdir()]
    path = kit.save_survey([probe_of(LEAF.der)], tmp_path / "survey.jsonl")
    monkeypatch.setattr("allegra_tls_kit.survey_file.LONGEST_SURVEY", 100)
    with pytest.raises(SurveyError, match="the survey cannot be read: more than 0 MB"):
        kit.load_survey(path)


@pytest.mark.parametrize("make", [lambda path: path / "none.jsonl", lambda path: path, lambda path: path / "a\0b"])
def test_what_is_not_there_says_so(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(SurveyError, match=r"the survey cannot be read: (No such file|embedded null)"):
        kit.load_survey(make(tmp_path))


def test_a_survey_never_takes_the_place_of_a_journal(journal: kit.Journal) -> None:
    before = journal.path.read_bytes()
    with pytest.raises(ExportError, match="a journal, which cannot be made again"):
        kit.save_survey([probe_of()], journal.path)
    assert journal.path.read_bytes() == before
    assert issubclass(SurveyError, KitError)
    assert issubclass(SurveyError, ValueError)


def test_old_results_are_compared_with_new_ones_from_the_file(tmp_path: Path) -> None:
    renewed = issue("mail.example.com", ROOT, key=LEAF.key)
    path = kit.save_survey([dataclasses.replace(probe_of(LEAF.der), at=PAST)], tmp_path / "before.jsonl")
    (drift,) = kit.compare_surveys(kit.load_survey(path), [probe_of(renewed.der)])
    assert drift.kinds == (kit.DriftKind.RENEWED,)
