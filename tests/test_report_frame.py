from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import keystore
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.report_frame import SHOWN_ROWS
from tests.chains import NOW, issue
from tests.changing import made
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, ROOT, failure_of, flat, probe_of, tags_of, text_of, text_of_page

SOON, LATER, OVER = (issue("mail", ROOT, end=NOW + timedelta(days=days, hours=1)) for days in (5, 90, -3))


def test_a_frame_is_shown_without_what_it_does_not_hold_and_with_a_bar_where_something_ends() -> None:
    frame = kit.survey_frame([probe_of(SOON.der), failure_of()], [ROOT.der])
    shown = kit.show_frame(frame, "My servers")
    text = text_of(shown.html())
    assert "My servers" in text
    assert f"{NOW + timedelta(days=5, hours=1):%Y-%m-%d} (5 days)" in text
    assert "✔ success" in text
    assert "✖ failure" in text
    assert keytool_notation(sha256_of(SOON.der)) in text
    assert "server name" not in text
    assert "days left" not in text
    assert "▇" in str(shown)


def test_a_selection_is_shown_as_it_was_selected() -> None:
    frame = kit.certificates_frame([probe_of(LEAF.der, ROOT.der)])
    text = str(kit.show_frame(frame[["role", "not_after", "is_ca"]]))
    assert [*map(str.split, text.splitlines())][1] == ["role", "not", "after", "(UTC)", "is", "ca"]
    assert f"{kit.certificate_facts(LEAF.der).not_after:%Y-%m-%d %H:%M}" in text
    assert "▇" not in text
    assert text.startswith("2 rows")
    assert [line.split()[-1] for line in text.splitlines()[3:]] == ["no", "yes"]


def test_a_trust_matrix_is_shown_with_its_servers() -> None:
    store = keystore.read(made({"root": ROOT.der}), Path("/x/mail.ks"))
    text = flat(str(kit.show_frame(kit.trust_matrix([probe_of(LEAF.der)], [store]))))
    assert "smtp://mail.example.com:587" in text
    assert "/x/mail.ks" in text


@pytest.mark.parametrize("frame", [pd.DataFrame(), kit.survey_frame([]), kit.survey_frame([]).head(0)[["host"]]])
def test_of_an_empty_frame_it_is_said_that_there_is_nothing(frame: pd.DataFrame) -> None:
    assert str(kit.show_frame(frame)).endswith(" no rows")
    assert str(kit.show_frame(frame, "Shared keys")).endswith(" Shared keys: none")


def test_of_a_long_frame_the_rest_is_counted() -> None:
    shown = str(kit.show_frame(pd.DataFrame({"x": range(SHOWN_ROWS + 7)})))
    assert "7 more rows not shown here" in shown


def test_what_ends_soon_is_open_and_what_ends_later_is_folded() -> None:
    results = [probe_of(each.der, url=f"imaps://mail{n}.example.com") for n, each in enumerate((LATER, SOON, OVER))]
    shown = kit.show_expiry([*results, failure_of()])
    text = flat(str(shown))
    summary, rest = text.split("; 1 server showed none", 1)
    assert summary == "3 certificates: 1 expired · 1 critical"
    places = [rest.index(word) for word in ("● unknown", "✖ expired", "✖ critical", "1 certificate ending later", "✔ ok")]
    assert places == sorted(places)
    fine = kit.show_expiry(results[:1])
    assert "1 certificate: none ends within 28 days" in text_of(fine.html())
    assert "0 certificates" in str(kit.show_expiry([]))


def test_a_keystore_is_in_the_same_picture() -> None:
    store = keystore.read(made({"pinned": SOON.der}), Path("/x/mail.ks"))
    text = flat(str(kit.show_expiry([probe_of(SOON.der)], [store], at=NOW)))
    assert "/x/mail.ks: pinned" in text
    assert "1 certificate: 1 critical" in text


def test_hostile_words_are_shown_and_never_act() -> None:
    results = probe_of(HOSTILE_LEAF.der), failure_of(HOSTILE_LEAF.der)
    own = pd.DataFrame({HOSTILE: [HOSTILE], "state": [HOSTILE]})
    for shown in (kit.show_expiry(results), kit.show_frame(kit.certificates_frame(results)), kit.show_frame(own, HOSTILE)):
        assert "<script>" in text_of(shown.html())
        assert "<script>" in text_of_page(shown.page(HOSTILE))[1]
        assert {tag for tag, *_ in tags_of(shown.markdown())} <= {"p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        assert HOSTILE not in str(shown)
