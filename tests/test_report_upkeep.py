from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import allegra_tls_kit as kit
from tests.chains import NOW, issue
from tests.shown import HOSTILE, HOSTILE_LEAF, UNREADABLE, failure_of, flat, probe_of, text_of
from tests.test_upkeep import (
    FORMER,
    HOLDS,
    IMAP,
    LDAPS,
    MAIL,
    NEXT_PIN,
    OVER,
    PIN,
    PIN_OVER,
    ROOT,
    SOON,
    SUB,
    Results,
    kept,
    seen,
)


def both(review: kit.Review) -> tuple[str, str]:
    """Plain text, and the text of the HTML, without line ends."""
    shown = kit.show(review)
    assert str(shown) == str(kit.show_review(review))
    return flat(str(shown)), flat(text_of(shown.html().replace("</", " </")))


def require(review: kit.Review, *words: str) -> None:
    for said in both(review):
        assert [word for word in words if word not in said] == []


def test_counts_come_first_and_the_worst_above() -> None:
    store = kept(ours_gone=FORMER, theirs=issue("x", ca=True), ours_root=ROOT, ours_old=PIN)
    failed = failure_of(url="pop3s://p.example.com")
    results: Results = (HOLDS, seen(IMAP, issue("y", ROOT, end=SOON)), seen(LDAPS, NEXT_PIN), failed)
    review = kit.review(store, results, at=NOW)
    require(
        review,
        f"mail.example.com.ks on {NOW:%Y-%m-%d}: 2 servers not trusted, or not known to be; 1 server due for renewal",
        f"Nothing is proposed for removal: {LDAPS}, pop3s://p.example.com:995 must be reached and trusted first",
        "or what was imported ahead",
        "4 servers: 1 failed · 1 refused · 1 renewal due · 1 trusted",
        "4 entries: 1 renewed · 1 not known · 1 in use · 1 not ours",
        f"{SOON:%Y-%m-%d} (10 days)",
    )
    for said in both(review):
        places = [said.index(word) for word in ("To import", "✖ failed", "✖ refused", "● renewal due", "✔ trusted", "✖ renewed")]
        assert places == sorted(places)


def test_what_to_import_stands_once_with_all_its_servers_and_how_good_it_is() -> None:
    leaves = [issue(name, SUB) for name in ("a.example.com", "b.example.com")]
    results = [seen(f"imaps://h{n}.example.com", leaf, SUB, ROOT) for n, leaf in enumerate(leaves)]
    review = kit.review(kept(ours_old=PIN, ours_over=PIN_OVER), [*results, seen(MAIL, OVER, SUB)], at=NOW)
    require(
        review,
        kit.keytool_notation(kit.certificate_facts(ROOT.der).sha256),
        "imaps://h0.example.com:993, imaps://h1.example.com:993",
        "allegra-old, allegra-over",
        review.renewals[0].candidates[0].consequence,
    )
    for said in both(review):
        assert (said.count("✔ recommended"), said.count("● stopgap")) == (1, 1)


def test_where_nothing_is_to_do_it_says_so_and_what_can_go_is_named() -> None:
    require(kit.review(kept(ours_root=ROOT), [HOLDS], at=NOW), "nothing to do", "1 server: 1 trusted", "1 entry: 1 in use")
    require(kit.review(kept(ours_root=ROOT, ours_a=FORMER, ours_b=PIN), [HOLDS, seen(IMAP, NEXT_PIN)], at=NOW), "✖ renewed")
    require(kit.review(kept(ours_root=ROOT, ours_a=FORMER, ours_b=OVER), [HOLDS], at=NOW), "can be removed: allegra-a, allegra-b")
    require(kit.review(kept(), [], at=NOW), "no server was looked at", "0 servers: none", "0 entries: none")


def test_a_store_that_java_does_not_read_is_no_good_news() -> None:
    require(kit.review(replace(kept(), exists=False), [HOLDS], at=NOW), "1 server not trusted, or not known to be", "not judged")


def test_many_entries_that_are_left_alone_are_folded() -> None:
    public = {f"public{number}": issue(f"Public CA {number}", ca=True) for number in range(21)}
    shown = kit.show(kit.review(kept(ours_root=ROOT, **public), [HOLDS], at=NOW))
    assert "<summary>21 entries left alone</summary>" in shown.html()
    assert "22 entries: 1 in use · 21 not ours" in str(shown)
    assert str(shown).count("● in use") + str(shown).count("✔ in use") == 1
    public.pop("public0")
    assert "<details" not in kit.show(kit.review(kept(ours_root=ROOT, **public), [HOLDS], at=NOW)).html()


def test_the_words_of_strangers_are_shown_and_do_nothing() -> None:
    store = kept(a=HOSTILE_LEAF, b=ROOT, c=HOSTILE_LEAF, d=PIN)
    aliases = [f"allegra-{HOSTILE}", "b", HOSTILE, f"allegra-2{HOSTILE}"]
    entries = tuple(replace(entry, alias=alias) for entry, alias in zip(store.entries, aliases, strict=True))
    bad = replace(entries[0], alias=f"bad{HOSTILE}", certificate=UNREADABLE)
    results: Results = (probe_of(HOSTILE_LEAF.der), probe_of(issue(HOSTILE, ROOT).der, url=IMAP), failure_of(url=LDAPS))
    for held in (entries, entries[1:2], (*entries, bad)):
        review = kit.review(replace(store, entries=held, path=Path(f"/srv/{HOSTILE}")), results, at=NOW)
        said = text_of(kit.show(review).html())
        assert "script>" in said
        for text in (said, str(kit.show(review))):
            assert "\u202e" not in text
            assert "\x1b" not in text
