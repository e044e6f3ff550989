from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import WrongPassword
from allegra_tls_kit.report_store import show_snapshot
from allegra_tls_kit.static import TONES, Tone
from tests.chains import NOW, issue
from tests.shown import (
    HOSTILE,
    HOSTILE_LEAF,
    LEAF,
    OTHER_ROOT,
    ROOT,
    UNREADABLE,
    URL,
    failure_of,
    flat,
    probe_of,
    text_of,
    text_of_page,
)
from tests.test_java_home import make_java

if TYPE_CHECKING:
    from allegra_tls_kit.static import Static

PLACE = Path("/srv/allegra/keystore/mail.example.com.ks")
FINGERPRINT = kit.keytool_notation(sha256_of(ROOT.der))
REFUSED = kit.judge(probe_of(LEAF.der, ROOT.der), [OTHER_ROOT.der])
TRUSTED = kit.judge(probe_of(LEAF.der), [ROOT.der])


def store(*certificates: bytes, exists: bool = True, notes: tuple[str, ...] = ()) -> kit.Snapshot:
    trusted = kit.EntryKind.TRUSTED
    entries = [kit.Entry(f"alias{n}", trusted, der, sha256_of(der), anchor=n != 1) for n, der in enumerate(certificates)]
    digest = "0" * 64 if exists else None
    return kit.Snapshot(PLACE, exists, kit.StoreType.JKS, digest, tuple(entries), False, False, notes)  # noqa: FBT003


PLAN = kit.plan_import(store(OTHER_ROOT.der), [ROOT.der], purpose="trust the mail server")
NOTHING = kit.plan_import(store(ROOT.der), [ROOT.der], purpose="trust it again")
APPLIED = kit.Applied(PLAN, NOW, changed=True, sha256="1" * 64, backup=PLACE.with_name("mail.ks.bak"))
VERIFIED = kit.Verified(PLAN.id, kit.Endpoint.parse(URL), NOW, True, TRUSTED, None, ("no JVM was asked", "Restart."))  # noqa: FBT003

SHOWN: dict[str, tuple[object, list[str]]] = {
    "probe": (
        probe_of(LEAF.der, ROOT.der),
        [URL, "192.0.2.1", "TLSv1.3", "17 ms", "asks for a client certificate", "C: STARTTLS", "DNS:mail", FINGERPRINT],
    ),
    "probe without chain": (probe_of(), ["Received chain, as sent: empty"]),
    "failure": (failure_of(LEAF.der), ["ConnectFailed (connect): no connection", "seen before it failed", "CN=mail.example.com"]),
    "refused": (
        REFUSED,
        ["Java refuses mail.example.com: PKIX path building failed", "error untrusted", "Next: import the root certificate"],
    ),
    "trusted": (TRUSTED, ["Java trusts mail.example.com", "Verified chain, to the anchor", FINGERPRINT, "nothing to import"]),
    "store": (
        store(ROOT.der, OTHER_ROOT.der, UNREADABLE, notes=("an odd file",)),
        [str(PLACE), "JKS, 3 entries", "integrity not checked", "an odd file", "alias0", FINGERPRINT, "● no", "no X.509"],
    ),
    "no store": (store(exists=False, notes=("the file does not exist",)), [str(PLACE), "does not exist"]),
    "plan": (
        PLAN,
        [f"Plan {PLAN.id}: trust the mail server", str(PLACE), "JKS, 1 entry now", "✔ add", "CN=Example Root", FINGERPRINT,
         "keytool -importcert", f'confirm="{PLAN.id}"'],
    ),
    "plan for a new store": (
        kit.plan_import(store(exists=False), [ROOT.der], purpose="x"), ["does not exist yet", "What will change"],
    ),
    "plan of a removal": (
        kit.plan_removal(store(UNREADABLE), ["alias0", "other"], purpose="x"),
        ["● remove alias0", "no X.509", kit.keytool_notation(sha256_of(UNREADABLE)), "not_found other", "keytool -delete"],
    ),
    "plan of nothing": (NOTHING, ["Nothing will change", "keep", "alias0", "there already"]),
    "conflict": (kit.plan_import(store(ROOT.der), [LEAF.der], purpose="x", aliases=["alias0"]), ["✖ conflict", "choose another"]),
    "applied": (APPLIED, ["Applied, read back and compared", str(PLACE), PLAN.id, "0" * 64, "1" * 64, "mail.ks.bak", "UTC"]),
    "applied to no file": (replace(APPLIED, backup=None), ["none: there was no file"]),
    "applied nothing": (kit.Applied(NOTHING, NOW, changed=False, sha256="0" * 64, backup=None), [str(PLACE), "untouched"]),
    "verified": (VERIFIED, ["✔ Java trusts the server now", "no JVM was asked", "Restart."]),
    "not verified": (replace(VERIFIED, trusted=False), ["✖ Java does not trust the server"]),
    "error": (WrongPassword("it does not open; give another"), ["✖ WrongPassword: it does not open; give another"]),
}  # fmt: skip


def both(shown: Static) -> tuple[str, str]:
    """Plain text, and the text of the HTML, without line ends."""
    return flat(str(shown)), flat(re.sub(r"\x00", " ", text_of(shown.html().replace("</", "\x00</"))))


def require(shown: Static, *words: str) -> None:
    for said in both(shown):
        assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(("value", "needed"), SHOWN.values(), ids=SHOWN)
def test_what_a_person_must_see_is_there_as_text_and_as_html(value: object, needed: list[str]) -> None:
    require(kit.show(value), *needed)


def test_a_plan_that_changes_nothing_asks_for_no_confirmation() -> None:
    assert "confirm" not in str(kit.show(NOTHING))
    assert "keytool" not in str(kit.show(NOTHING))


def test_where_allegra_was_found_says_how_and_what_was_looked_at(tmp_path: Path) -> None:
    jdk = make_java(tmp_path / "jdk-21")
    allegra = kit.locate(tmp_path, processes=(), environ={"JAVA_HOME": str(jdk)})
    require(kit.show(allegra), str(tmp_path), "argument", f"{jdk} (21.0.8)", "JAVA_HOME", "cacerts, JKS", "What was looked at")


def test_what_has_no_picture_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="no picture of a dict"):
        kit.show({})


def test_a_long_keystore_is_folded_and_a_short_one_is_not() -> None:
    assert "<details" not in kit.show(store(*[ROOT.der] * 20)).html()
    assert "<summary>21 entries</summary>" in kit.show(store(*[ROOT.der] * 21)).html()


# --- surveys -----------------------------------------------------------------------------------------------------------------


def due(days: int) -> kit.Probe:
    leaf = issue("mail.example.com", ROOT, end=NOW + timedelta(days=days, hours=1))
    return probe_of(leaf.der, url=f"imaps://due{days + 100}.example.com:993")


SURVEY = (
    probe_of(LEAF.der),
    due(20),
    probe_of(OTHER_ROOT.der, url="ldaps://other.example.com:636"),
    due(-30),
    due(10),
    failure_of(),
)


def test_a_survey_has_counts_first_and_the_worst_above() -> None:
    shown = kit.show_survey(SURVEY, [ROOT.der])
    require(
        shown, "6 servers: 1 failed · 1 expired · 1 not trusted · 2 expires soon · 1 trusted", "in 20 days", "very soon, in 10 d"
    )
    for said in both(shown):
        places = [said.index(word) for word in ("✖ failed", "✖ expired", "✖ not trusted", "● expires soon", "✔ trusted")]
        assert places == sorted(places)
    assert str(shown).count("://") >= len(SURVEY)


@pytest.mark.parametrize(
    ("days", "tone", "blocks", "left"),
    [
        (-30, Tone.BAD, "░░░░░░░░", "(expired)"),
        (0, Tone.BAD, "▇░░░░░░░", "(0 days)"),
        (14, Tone.BAD, "▇░░░░░░░", "(14 days)"),
        (15, Tone.WARN, "▇░░░░░░░", "(15 days)"),
        (28, Tone.WARN, "▇░░░░░░░", "(28 days)"),
        (29, Tone.OK, "▇░░░░░░░", "(29 days)"),
        (199, Tone.OK, "▇▇▇▇▇░░░", "(199 days)"),
        (398, Tone.OK, "▇▇▇▇▇▇▇▇", "(398 days)"),
        (4000, Tone.OK, "▇▇▇▇▇▇▇▇", "(4,000 days)"),
    ],
)
def test_what_is_left_of_a_certificate_is_a_bar_beside_its_last_day(days: int, tone: Tone, blocks: str, left: str) -> None:
    said = f"{blocks} {NOW + timedelta(days=days, hours=1):%Y-%m-%d} {left}"
    probe = due(days)
    for shown in (kit.show_survey([probe]), kit.show(probe), show_snapshot(store(probe.chain[0]), probe.at)):
        assert said in str(shown)
        assert f"border:1px solid {TONES[tone][0]}" in shown.html()


def test_a_certificate_that_is_not_valid_yet_has_no_green_bar() -> None:
    early = issue("mail.example.com", ROOT, start=NOW + timedelta(days=1), end=NOW + timedelta(days=300))
    shown = kit.show_survey([probe_of(early.der)])
    require(shown, "(not yet valid)")
    assert f"border:1px solid {TONES[Tone.BAD][0]}" in shown.html()


def test_a_store_that_is_shown_at_no_instant_has_no_bars() -> None:
    require(kit.show(store(LEAF.der)), f"{kit.certificate_facts(LEAF.der).not_after:%Y-%m-%d}")
    assert "days" not in str(kit.show(store(LEAF.der)))


def test_without_anchors_a_survey_says_that_nothing_was_judged() -> None:
    shown = kit.show_survey(SURVEY)
    require(shown, "1 failed · 1 expired · 2 expires soon · 2 seen", "not judged: no truststore was given")
    assert "trusted" not in str(shown)


def test_a_survey_of_nothing_and_of_what_cannot_be_read_has_a_picture_too() -> None:
    require(kit.show_survey([]), "0 servers: nothing to show")
    require(kit.show_survey([probe_of(UNREADABLE)], [ROOT.der]), "1 not trusted", "no X.509 certificate")


def test_all_about_one_server_ends_with_what_could_be_imported() -> None:
    shown = kit.show_server(probe_of(LEAF.der, ROOT.der), REFUSED)
    require(shown, "Received chain", "Java refuses", "Next:", "Certificates that could be imported", "✔ recommended root")
    assert "could be imported" not in str(kit.show_server(probe_of(LEAF.der), TRUSTED))
    require(kit.show_server(failure_of(), None), "ConnectFailed")


def test_candidates_are_shown_with_fingerprint_and_consequence() -> None:
    candidates = kit.anchor_candidates(REFUSED)
    require(kit.show_candidates(candidates), FINGERPRINT, *(candidate.consequence for candidate in candidates))
    require(kit.show_candidates(()), "There is no certificate whose import would help.")


# --- strangers' words --------------------------------------------------------------------------------------------------------

JUDGED = kit.judge(probe_of(HOSTILE_LEAF.der), [ROOT.der])
ODD = replace(store(HOSTILE_LEAF.der, notes=()), path=Path(f"/srv/{HOSTILE}"))
ODD = replace(ODD, entries=(replace(ODD.entries[0], alias=HOSTILE),))
ODD_PLAN = kit.plan_import(ODD, [LEAF.der], purpose=HOSTILE)


@pytest.mark.parametrize(
    "shown",
    [
        kit.show(probe_of(HOSTILE_LEAF.der)),
        kit.show(failure_of(HOSTILE_LEAF.der)),
        kit.show(JUDGED),
        kit.show_survey([probe_of(HOSTILE_LEAF.der), failure_of(HOSTILE_LEAF.der)], [ROOT.der]),
        kit.show_server(probe_of(HOSTILE_LEAF.der), JUDGED),
        kit.show_candidates(kit.anchor_candidates(JUDGED)),
        kit.show(ODD),
        kit.show(ODD_PLAN),
        kit.show(kit.plan_removal(ODD, [HOSTILE], purpose=HOSTILE)),
        kit.show(kit.Applied(ODD_PLAN, NOW, changed=True, sha256=None, backup=ODD.path)),
        kit.show(kit.Applied(ODD_PLAN, NOW, changed=False, sha256=None, backup=None)),
        kit.show(kit.Allegra(ODD.path, "argument", ODD.path, (), ())),
    ],
)
def test_the_words_of_strangers_are_shown_and_do_nothing(shown: Static) -> None:
    said = text_of(shown.html())
    assert "script>" in said
    for text in (said, str(shown), shown.markdown(), text_of_page(shown.page("page"))[1]):
        assert "\u202e" not in text
        assert "\x1b" not in text
