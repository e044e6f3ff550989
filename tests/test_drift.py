from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.drift import DriftKind
from allegra_tls_kit.errors import ConnectFailed, NotProbed, ProbeTimeout
from allegra_tls_kit.preamble import Stage
from tests.chains import NOW, PAST, alternatives, issue
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, UNREADABLE, failure_of, flat, probe_of, tags_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    Result = kit.Probe | kit.ProbeFailure

URL = "smtp://mail.example.com:587"
NAMES = [alternatives("mail.example.com")]
SUB = issue("Sub CA", ROOT, ca=True)
SAME_KEY = issue("mail.example.com", ROOT, key=LEAF.key, extensions=NAMES)
NEW_KEY = issue("mail.example.com", ROOT, extensions=NAMES)
FOREIGN = issue("mail.example.com", OTHER_ROOT, extensions=NAMES)
OVER = issue("mail.example.com", ROOT, key=LEAF.key, extensions=NAMES, end=PAST)
SEEN = probe_of(LEAF.der, ROOT.der)
TIMED_OUT = replace(failure_of(error=ProbeTimeout("it took longer")), stage=Stage.GREETING)

ONE_BY_ONE: dict[str, tuple[Result, Result, list[str], str]] = {
    "nothing": (SEEN, replace(SEEN, at=PAST, address="192.0.2.2", seconds=9.0), ["unchanged"], ""),
    "the same failure": (failure_of(), failure_of(error=ConnectFailed("in other words")), ["unchanged"], ""),
    "renewed": (SEEN, probe_of(SAME_KEY.der, ROOT.der), ["renewed"], "with the same key, until"),
    "new key": (SEEN, probe_of(NEW_KEY.der, ROOT.der), ["new key"], "renewed, and trusted by the anchors that were given"),
    "another CA": (
        SEEN,
        probe_of(FOREIGN.der),
        ["no longer trusted", "new key"],
        "issued by Other Root, before by Example Root: a renewal, or somebody in between; ask whoever runs the server",
    ),
    "expired": (SEEN, probe_of(OVER.der), ["no longer trusted", "renewed"], "expired on"),
    "in order again": (probe_of(OVER.der), SEEN, ["renewed", "trusted now"], "with the same key"),
    "chain": (SEEN, probe_of(LEAF.der, SUB.der), ["chain changed"], "came Sub CA; went Example Root"),
    "TLS": (SEEN, replace(SEEN, tls_version="TLSv1.2"), ["TLS changed"], "TLSv1.2 with TLS_AES_256_GCM_SHA384, before TLSv1.3"),
    "old TLS": (SEEN, replace(SEEN, tls_version="TLSv1"), ["no longer trusted", "TLS changed"], "which Java refuses"),
    "unreachable": (SEEN, failure_of(), ["unreachable"], "ConnectFailed (connect): no connection"),
    "back": (failure_of(), SEEN, ["reachable again"], "before ConnectFailed (connect)"),
    "another failure": (
        failure_of(),
        TIMED_OUT,
        ["fails otherwise"],
        "ProbeTimeout (greeting): it took longer; before ConnectFailed",
    ),
    "refused, with a new chain": (SEEN, failure_of(NEW_KEY.der), ["unreachable", "new key"], "has another key"),
    "beyond reading": (SEEN, probe_of(UNREADABLE), ["no longer trusted", "new key"], "what cannot be read has another key"),
}


@pytest.mark.parametrize("which", ONE_BY_ONE)
def test_what_became_of_a_server_is_said_by_kind_and_in_words(which: str) -> None:
    before, after, kinds, words = ONE_BY_ONE[which]
    (drift,) = kit.compare_surveys([before], [after], [ROOT.der])
    assert list(drift.kinds) == kinds
    assert words in drift.advice
    assert (drift.before, drift.after) == (before, after)


def test_without_anchors_nothing_is_said_of_trust() -> None:
    (drift,) = kit.compare_surveys([SEEN], [probe_of(FOREIGN.der)])
    assert (drift.kinds, drift.was_trusted, drift.is_trusted) == ((DriftKind.NEW_KEY,), None, None)
    assert drift.advice.endswith(f"ask whoever runs the server whether its SHA-256 is {keytool_notation(sha256_of(FOREIGN.der))}")


def test_an_endpoint_that_came_or_went_is_told_with_its_verdict() -> None:
    other = probe_of(FOREIGN.der, url="imaps://mail.example.com")
    new, gone = kit.compare_surveys([SEEN], [other], [ROOT.der])[::-1]
    assert (gone.kinds, gone.was_trusted, gone.is_trusted) == ((DriftKind.GONE,), True, None)
    assert (new.kinds, new.was_trusted, new.is_trusted) == ((DriftKind.NEW,), None, False)


def test_the_same_endpoint_is_known_however_it_was_typed_and_its_last_result_counts() -> None:
    typed = probe_of(LEAF.der, ROOT.der, url="smtp://MAIL.example.com")
    (drift,) = kit.compare_surveys([failure_of(), SEEN], [failure_of(), typed])
    assert drift.kinds == (DriftKind.UNCHANGED,)
    ip, name = (probe_of(LEAF.der, url=f"imaps://192.0.2.1?server_name={name}.example.com") for name in ("a", "b"))
    assert len(kit.compare_surveys([ip], [name])) == 2


def test_what_a_stopped_run_never_looked_at_is_no_change_of_the_server() -> None:
    never = failure_of(error=NotProbed("the run was stopped"))
    (drift,) = kit.compare_surveys([SEEN], [never])
    assert drift.kinds == (DriftKind.GONE,)
    assert "not looked at" in drift.advice
    assert kit.compare_surveys([never], [never]) == ()
    assert kit.compare_surveys([SEEN, never], [SEEN])[0].kinds == (DriftKind.UNCHANGED,)


def test_the_worst_stands_first_then_by_name() -> None:
    def survey(*urls: str, chain: Sequence[bytes] = (LEAF.der,)) -> list[kit.Probe]:
        return [probe_of(*chain, url=url) for url in urls]

    b, a, c = "imaps://b.example.com:993", "imaps://a.example.com:993", "imaps://c.example.com:993"
    drifts = kit.compare_surveys(survey(b, a, c), [*survey(b, a), failure_of(url=c)])
    assert [drift.endpoint.url for drift in drifts] == [c, a, b]


def test_each_is_judged_as_of_its_own_probe() -> None:
    short = issue("mail.example.com", ROOT, extensions=NAMES, end=NOW)
    then, now = replace(probe_of(short.der), at=PAST), probe_of(short.der)
    (drift,) = kit.compare_surveys([then], [replace(now, at=kit.certificate_facts(ROOT.der).not_after)], [ROOT.der])
    assert (drift.was_trusted, drift.is_trusted) == (True, False)


def test_the_picture_shows_what_changed_and_folds_what_did_not() -> None:
    other = probe_of(LEAF.der, url="imaps://mail.example.com:993")
    shown = kit.show_drift(kit.compare_surveys([SEEN, other], [probe_of(FOREIGN.der), other], [ROOT.der]))
    text = flat(str(shown))
    assert "2 servers: 1 no longer trusted · 1 unchanged" in text
    assert "yes → no" in text
    assert text.index(URL) < text.index("1 unchanged:") < text.index("imaps://")
    assert "no longer trusted" in text_of(shown.html())
    assert "nothing to compare" in str(kit.show_drift(()))
    new = flat(str(kit.show_drift(kit.compare_surveys([], [SEEN]))))
    assert "1 server: 1 new" in new
    assert "not in the first survey" in new
    assert "1 server: 1 unchanged" in str(kit.show_drift(kit.compare_surveys([SEEN], [SEEN])))


def test_hostile_words_are_shown_and_never_act() -> None:
    renamed = failure_of(HOSTILE_LEAF.der)
    drifts = kit.compare_surveys([probe_of(HOSTILE_LEAF.der), SEEN], [probe_of(LEAF.der), renamed], [ROOT.der])
    drifts += kit.compare_surveys([probe_of(HOSTILE_LEAF.der)], [probe_of(LEAF.der)])
    drifts += kit.compare_surveys([SEEN], [probe_of(HOSTILE_LEAF.der)])
    shown = kit.show_drift(drifts)
    assert "<script>" in text_of(shown.html())
    assert {tag for tag, *_ in tags_of(shown.markdown())} <= {"p", "strong", "table", "thead", "tbody", "tr", "th", "td", "hr"}
    assert HOSTILE not in str(shown)
