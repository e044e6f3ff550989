from __future__ import annotations

import dataclasses
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import form, keystore
from allegra_tls_kit.browse import LISTED, SURVEY_STATES
from allegra_tls_kit.keystore import Edit
from allegra_tls_kit.static import Code, Details, Table
from tests.chains import NOW, issue
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, UNREADABLE, failure_of, flat, probe_of, text_of

if TYPE_CHECKING:
    from allegra_tls_kit.browse import _Browser

SOON = issue("soon.example.com", ROOT, end=NOW + timedelta(days=10))
EXPIRED = issue("old.example.com", ROOT, end=NOW - timedelta(days=1))
REFUSED = issue("refused.example.com", OTHER_ROOT)
RESULTS = (
    probe_of(LEAF.der, ROOT.der, url="imaps://b.example.com"),
    probe_of(SOON.der, url="imaps://c.example.com"),
    probe_of(REFUSED.der, url="ldaps://a.example.com"),
    probe_of(EXPIRED.der, url="imaps://d.example.com"),
    failure_of(url="smtp://e.example.com"),
)
WORST_FIRST = ["e", "d", "a", "c", "b"]


@pytest.fixture
def survey() -> kit.SurveyBrowser:
    return kit.SurveyBrowser(RESULTS, [ROOT.der])


def field(browser: _Browser[Any], label: str) -> Any:  # noqa: ANN401 - ipywidgets has no types
    (found,) = [widget for widget in browser.box.children if getattr(widget, "description", "") == label]
    return found


def table_of(browser: _Browser[Any]) -> Table:
    *_, table = [part for part in browser.twin().parts if isinstance(part, Table)]
    return table


def listed(browser: _Browser[Any]) -> list[str]:
    """What is offered to be opened, by the first word of its name."""
    names = [name for _, name in field(browser, "Open").options][1:]
    assert len(table_of(browser).rows) == min(len(names), LISTED)
    return [re.split(r"://|\.", name)[1] if "://" in name else name for name in names]


def test_a_survey_is_listed_worst_first_with_its_states(survey: kit.SurveyBrowser) -> None:
    assert listed(survey) == WORST_FIRST
    labels = [label for label, _ in field(survey, "Open").options]
    assert labels[:2] == ["none", "smtp://e.example.com:587 ⟨failed⟩"]
    states = [re.sub(".*⟨|⟩", "", label) for label in labels[1:]]
    assert states == ["failed", "expired", "not trusted", "expires soon", "trusted"]
    assert [label for label, _ in field(survey, "State").options][:3] == ["all (5)", "failed (1)", "expired (1)"]
    assert table_of(survey).caption == "5 of 5 servers, worst first"


def test_without_anchors_nothing_is_judged() -> None:
    browser = kit.SurveyBrowser(RESULTS)
    assert {name for label, name in field(browser, "State").options if not label.endswith("(0)")} == {
        *("all", "failed", "expired", "expires soon", "seen")
    }
    field(browser, "Open").value = "imaps://b.example.com:993"
    assert "Java" not in str(browser.twin())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", WORST_FIRST),
        ("IMAPS", ["d", "c", "b"]),
        ("example imaps soon", ["c"]),
        ("other root", ["a"]),
        (LEAF_SHA := kit.certificate_facts(LEAF.der).sha256, ["b"]),
        (kit.keytool_notation(LEAF_SHA), ["b"]),
        ("connectfailed", ["e"]),
        ("[^z]", []),
        ("no such thing", []),
    ],
)
def test_the_filter_finds_every_word_wherever_it_stands(words: str, found: list[str], survey: kit.SurveyBrowser) -> None:
    field(survey, "Filter").value = words
    assert listed(survey) == found


def test_state_and_order_are_chosen(survey: kit.SurveyBrowser) -> None:
    field(survey, "Sort by").value = "name"
    assert listed(survey) == ["a", "b", "c", "d", "e"]
    field(survey, "Sort by").value = "expiry"
    assert listed(survey)[:2] == ["d", "c"]
    assert listed(survey)[-1] == "e"
    assert table_of(survey).caption.endswith("by expiry")
    field(survey, "State").value = "not trusted"
    assert listed(survey) == ["a"]


def test_one_server_is_opened_and_closed_when_it_is_filtered_away(survey: kit.SurveyBrowser) -> None:
    assert "Received chain" not in str(survey.twin())
    field(survey, "Open").value = "ldaps://a.example.com:636"
    twin = str(survey.twin())
    assert "Received chain, as sent" in twin
    assert "Java refuses a.example.com" in twin
    field(survey, "Filter").value = "example"
    assert survey.value.opened == "ldaps://a.example.com:636"
    field(survey, "Filter").value = "imaps"
    assert survey.value.opened == ""
    assert "Received chain" not in str(survey.twin())


def test_the_value_is_frozen_and_its_literal_brings_the_view_back(survey: kit.SurveyBrowser) -> None:
    for label, value in (("Filter", "example"), ("State", "expired"), ("Sort by", "name"), ("Open", "imaps://d.example.com:993")):
        field(survey, label).value = value
    (details,) = [part for part in survey.twin().parts if isinstance(part, Details) and "literal" in part.summary]
    (code,) = [part.text for part in details.parts if isinstance(part, Code)]
    view = eval(code, {"kit": kit})
    assert view == survey.value == kit.SurveyView("example", "expired", "name", "imaps://d.example.com:993")
    assert str(kit.SurveyBrowser(RESULTS, [ROOT.der], view=view).twin()) == str(survey.twin())
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.filter = "x"


def test_a_view_of_other_servers_opens_nothing_and_an_impossible_one_is_refused() -> None:
    assert kit.SurveyBrowser(RESULTS, view=kit.SurveyView(opened="imaps://gone.example.com:993")).value.opened == ""
    with pytest.raises(ValueError, match="the view's state is 'lost'; known are all, failed"):
        kit.SurveyBrowser(RESULTS, view=kit.SurveyView(state="lost"))
    with pytest.raises(ValueError, match="the view's sort is 'best'; known are worst first"):
        kit.SurveyBrowser(RESULTS, view=kit.SurveyView(sort="best"))


def test_the_same_server_twice_can_be_opened_each() -> None:
    browser = kit.SurveyBrowser([failure_of(), probe_of(LEAF.der), probe_of(ROOT.der)])
    names = [name for _, name in field(browser, "Open").options][1:]
    assert len(set(names)) == 3
    for name in names:
        field(browser, "Open").value = name
        assert browser.value.opened == name


def test_every_state_of_a_survey_is_known_here() -> None:
    hostile = probe_of(HOSTILE_LEAF.der, url="imaps://h.example.com")
    for anchors in (None, [], [ROOT.der]):
        for result in (*RESULTS, hostile, probe_of(UNREADABLE), probe_of(), failure_of(LEAF.der)):
            (option,) = field(kit.SurveyBrowser([result], anchors), "Open").options[1:]
            assert re.sub(".*⟨|⟩", "", option[0]) in SURVEY_STATES


def test_two_thousand_servers_are_judged_once_and_filtered_at_the_speed_of_typing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [replace_host(result, number) for number, result in enumerate(RESULTS * 400)]
    browser = kit.SurveyBrowser(results, [ROOT.der])
    monkeypatch.setattr("allegra_tls_kit.report.judge", lambda *_: 1 / 0)
    shown: list[str] = []
    monkeypatch.setattr(form, "get_ipython", lambda: shown)
    monkeypatch.setattr(form, "display", lambda bundle, **_: shown.append(bundle["text/plain"]))
    browser._ipython_display_()
    times = []
    for text in ("s", "s1", "s19", "s199", "s1999", ""):
        begin = time.perf_counter()
        field(browser, "Filter").value = text
        times.append(time.perf_counter() - begin)
    assert sorted(times)[len(times) // 2] < 0.1
    assert len(table_of(browser).rows) == LISTED
    assert "1,800 more rows not shown here; narrow the filter." in shown[-1]


def replace_host(result: Any, number: int) -> Any:  # noqa: ANN401 - either outcome of a probe
    return dataclasses.replace(result, endpoint=kit.Endpoint.parse(f"imaps://s{number}.example.com"))


# --- keystores ---------------------------------------------------------------------------------------------------------------

MINE = kit.suggest_alias(ROOT.der)
CERTIFICATES = {"theirs": OTHER_ROOT.der, MINE: ROOT.der, "soon": SOON.der, "old": EXPIRED.der, HOSTILE: HOSTILE_LEAF.der}


def snapshot(certificates: dict[str, bytes]) -> kit.Snapshot:
    edit = Edit(certificates, frozenset(), datetime(2026, 1, 2, tzinfo=UTC))
    return keystore.read(keystore.rewrite(None, Path("x.ks"), "changeit", edit), Path("x.ks"))


@pytest.fixture
def store() -> kit.KeystoreBrowser:
    return kit.KeystoreBrowser(snapshot(CERTIFICATES), NOW)


@pytest.mark.parametrize(
    ("state", "found"),
    [("all", {alias.lower() for alias in CERTIFICATES}), ("ours", {MINE}), ("expires", {"soon", "old"})],
)
def test_entries_are_chosen_by_their_state(state: str, found: set[str], store: kit.KeystoreBrowser) -> None:
    field(store, "State").value = state
    assert {name for _, name in field(store, "Open").options[1:]} == found


def test_what_java_does_not_see_can_be_told() -> None:
    unseen = kit.Entry("key", kit.EntryKind.PRIVATE_KEY, LEAF.der, kit.certificate_facts(LEAF.der).sha256, anchor=False)
    bare = kit.Entry("secret", kit.EntryKind.SECRET_KEY, None, "00" * 32, anchor=False)
    made = snapshot({"theirs": ROOT.der})
    browser = kit.KeystoreBrowser(dataclasses.replace(made, entries=(*made.entries, unseen, bare)), NOW)
    field(browser, "State").value = "seen by Java"
    assert listed(browser) == ["theirs"]
    field(browser, "State").value = "all"
    field(browser, "Open").value = "secret"
    assert {"kind SecretKeyEntry", "seen by Java ● no"} <= {flat(line) for line in str(browser.twin()).splitlines()}


def test_entries_come_worst_first_and_as_of_the_instant(store: kit.KeystoreBrowser) -> None:
    assert listed(store)[:2] == ["old", "soon"]
    assert [label for label, _ in field(store, "Open").options][1:3] == ["old ⟨expired⟩", "soon ⟨expires soon⟩"]
    earlier = kit.KeystoreBrowser(snapshot(CERTIFICATES), NOW - timedelta(days=60))
    field(earlier, "State").value = "expires"
    assert listed(earlier) == []
    assert field(kit.KeystoreBrowser(snapshot({"old": EXPIRED.der})), "Open").options[1][0] == "old ⟨expired⟩"


def test_an_entry_is_opened_with_all_that_its_certificate_says(store: kit.KeystoreBrowser) -> None:
    field(store, "Open").value = "theirs"
    twin = flat(str(store.twin()))
    sha256 = kit.keytool_notation(kit.certificate_facts(OTHER_ROOT.der).sha256)
    for words in ("CN=Other Root", "issuer itself", "CA yes", "2026-01-02", sha256):
        assert words in twin
    assert store.value == kit.KeystoreView(opened="theirs")


def test_a_keystore_that_is_not_there_has_no_entries() -> None:
    browser = kit.KeystoreBrowser(keystore.read(None, Path("/srv/x.ks")))
    assert listed(browser) == []
    assert "the file does not exist" in str(browser.twin())


def test_an_entry_that_is_no_certificate_says_so() -> None:
    entry = kit.Entry("bad", kit.EntryKind.TRUSTED, UNREADABLE, "00" * 32, anchor=True)
    browser = kit.KeystoreBrowser(dataclasses.replace(snapshot({}), entries=(entry,)), NOW)
    field(browser, "Open").value = "bad"
    assert "no X.509 certificate" in flat(str(browser.twin()))


def test_the_words_of_strangers_are_text_in_a_browser(store: kit.KeystoreBrowser) -> None:
    survey = kit.SurveyBrowser([probe_of(HOSTILE_LEAF.der), failure_of()], [])
    for browser in (store, survey):
        field(browser, "Filter").value = "<script>alert(1)</script>"
        (label, name) = field(browser, "Open").options[1]
        field(browser, "Open").value = name
        for text in (label, text_of(browser.twin().html()), str(browser.twin())):
            assert "\u202e" not in text
        assert "<script>alert(1)</script>" in text_of(browser.twin().html())
