from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.standing import EntryReview, EntryState, Review, ServerState
from tests.chains import FUTURE, NOW, Issued, alternatives, distinguished, issue
from tests.changing import made
from tests.shown import UNREADABLE, failure_of, probe_of
from tests.stores import PASSWORD

PLACE = Path("/srv/allegra/keystore/mail.example.com.ks")
MAIL, IMAP, LDAPS = "smtp://mail.example.com:587", "imaps://mail.example.com:993", "ldaps://mail.example.com:636"
NAMES = [alternatives("mail.example.com")]
SOON, JUST_OVER = NOW + timedelta(days=10, hours=1), NOW - timedelta(days=10)

ROOT, OTHER = issue("Root CA", ca=True), issue("Other CA", ca=True)
OLDER_ROOT = issue("Root CA", ca=True, key=ROOT.key, end=SOON)
SUB = issue("Sub CA", ROOT, ca=True)
LEAF = issue("mail.example.com", SUB, extensions=NAMES)
NEXT_LEAF = issue("mail.example.com", SUB, extensions=NAMES)
OVER = issue("mail.example.com", SUB, extensions=NAMES, end=JUST_OVER)
PIN = issue("mail.example.com", ca=False, extensions=NAMES)
NEXT_PIN = issue("mail.example.com", ca=False, extensions=NAMES)
SAME_KEY_PIN = issue("mail.example.com", ca=False, extensions=NAMES, key=PIN.key)
PIN_SOON = issue("mail.example.com", ca=False, extensions=NAMES, end=SOON)
PIN_OVER = issue("mail.example.com", ca=False, extensions=NAMES, end=JUST_OVER)
APPLIANCE = issue("mail.example.com", ca=True, extensions=NAMES)
NEXT_APPLIANCE = issue("mail.example.com", ca=True, extensions=NAMES)
FORMER = issue("former.example.com", ca=False)
SOON_CA, OVER_CA = issue("Soon CA", ca=True, end=SOON), issue("Over CA", ca=True, end=JUST_OVER)

Results = tuple[kit.Probe | kit.ProbeFailure, ...]


def seen(url: str, *chain: Issued) -> kit.Probe:
    return probe_of(*[issued.der for issued in chain], url=url)


def kept(**entries: Issued) -> kit.Snapshot:
    """A JKS file with these entries, `ours_…` with this kit's prefix."""
    aliases = {name.replace("ours_", "allegra-"): issued.der for name, issued in entries.items()}
    return keystore.read(made(aliases), PLACE, PASSWORD)


def entry_of(review: Review, alias: str) -> EntryReview:
    (found,) = [each for each in review.entries if each.entry.alias == alias]
    return found


# --- entries -----------------------------------------------------------------------------------------------------------------

HOLDS = seen(MAIL, LEAF, SUB)
CASES: dict[str, tuple[kit.Snapshot, Results, EntryState, str]] = {
    "a CA that is needed": (kept(ours_it=ROOT), (HOLDS,), EntryState.IN_USE, f"trusts what {MAIL} shows, because"),
    "a pin that is served": (
        kept(ours_it=PIN), (seen(MAIL, PIN),), EntryState.IN_USE, f"by this one certificate; the next .* by {FUTURE:%Y-%m-%d}",
    ),
    "a pin that ends": (
        kept(ours_it=PIN_SOON), (seen(MAIL, PIN_SOON),), EntryState.PIN_EXPIRES_SOON, f"must be renewed by {SOON:%Y-%m-%d}",
    ),
    "a pin that has ended": (
        kept(ours_it=PIN_OVER), (seen(MAIL, PIN_OVER),), EntryState.PIN_EXPIRED, "all the same; renewal is overdue",
    ),
    "a CA that ends": (
        kept(ours_it=SOON_CA), (seen(MAIL, issue("m", SOON_CA)),), EntryState.EXPIRES_SOON, "Java does not mind while",
    ),
    "a CA that has ended": (
        kept(ours_it=OVER_CA), (seen(MAIL, issue("m", OVER_CA)),), EntryState.EXPIRED, "expired on .* Java does not mind while",
    ),
    "two that would do": (
        kept(ours_it=PIN, theirs=ROOT, sub=SUB), (seen(MAIL, PIN), HOLDS), EntryState.IN_USE, "by this one",
    ),
    "a pin below its CA": (kept(ours_it=LEAF, ours_root=ROOT), (HOLDS,), EntryState.IN_USE, "would find another one"),
    "a CA above a pin": (kept(ours_pin=LEAF, ours_it=ROOT), (HOLDS,), EntryState.IN_RESERVE, f"vouches for what {MAIL} shows"),
    "a CA above an intermediate": (kept(sub=SUB, ours_it=ROOT), (seen(MAIL, LEAF),), EntryState.IN_RESERVE, "keep it"),
    "an older one of a CA": (kept(sub=SUB, ours_it=OLDER_ROOT), (HOLDS,), EntryState.IN_RESERVE, "keep it"),
    "a CA of what has expired": (kept(ours_it=ROOT), (seen(MAIL, OVER, SUB),), EntryState.IN_RESERVE, "keep it"),
    "a root that is sent": (kept(sub=SUB, ours_it=ROOT), (seen(MAIL, LEAF, SUB, ROOT),), EntryState.IN_RESERVE, MAIL),
    "a pin of a server that was renewed": (
        kept(ours_it=PIN), (seen(MAIL, NEXT_PIN),), EntryState.RENEWED, f"{MAIL} has its name, shows another certificate now",
    ),
    "a pin of a server that went over to a CA": (kept(ours_it=PIN), (HOLDS,), EntryState.RENEWED, "import that one"),
    "a pin of an appliance that calls itself a CA": (
        kept(ours_it=APPLIANCE), (seen(MAIL, NEXT_APPLIANCE),), EntryState.RENEWED, "is refused",
    ),
    "somebody else's pin that was renewed": (kept(it=PIN), (seen(MAIL, NEXT_PIN),), EntryState.RENEWED, "is refused"),
    "a pin by the name that was asked for": (
        kept(ours_it=PIN), (seen("imaps://10.0.0.5?server_name=mail.example.com", FORMER),), EntryState.RENEWED, "is refused",
    ),
    "a pin by a common name": (
        kept(ours_it=issue(distinguished(O="Old", CN="Box"))),
        (seen(MAIL, issue(distinguished(O="New", CN="box"))),),
        EntryState.RENEWED,
        "is refused",
    ),
    "a pin by an address": (
        kept(ours_it=issue("old", extensions=[alternatives("10.0.0.5")])),
        (seen(MAIL, issue("new", extensions=[alternatives("10.0.0.5")])),),
        EntryState.RENEWED,
        "is refused",
    ),
    "a pin with the key of its successor": (kept(ours_it=PIN), (seen(MAIL, SAME_KEY_PIN),), EntryState.RENEWED, "is refused"),
    "a pin of a server that shows nothing now": (kept(ours_it=PIN), (probe_of(url=MAIL),), EntryState.UNKNOWN, "must be reached"),
    "a pin for the next renewal": (
        kept(ours_it=PIN, ours_now=PIN_SOON), (seen(MAIL, PIN_SOON),), EntryState.IN_RESERVE, f"outlives what {MAIL} shows now",
    ),
    "what nobody needs": (kept(ours_it=FORMER, root=ROOT), (HOLDS,), EntryState.NOT_SERVED, r"none of the servers .*\(1\)"),
    "a CA that nobody is under": (kept(ours_it=OTHER, root=ROOT), (HOLDS,), EntryState.NOT_SERVED, "can be removed"),
    "a pin after the renewal": (
        kept(ours_it=PIN, ours_next=NEXT_PIN), (seen(MAIL, NEXT_PIN),), EntryState.NOT_SERVED, "can be removed",
    ),
    "what nobody needs and is not ours": (kept(it=FORMER, root=ROOT), (HOLDS,), EntryState.NOT_OURS, "leave it alone"),
    "the second of two": (kept(ours_one=ROOT, ours_it=ROOT), (HOLDS,), EntryState.DUPLICATE, "same certificate as allegra-one"),
    "ours beside theirs": (kept(ours_it=ROOT, zebra=ROOT), (HOLDS,), EntryState.DUPLICATE, "as zebra; one of the two is enough"),
    "theirs beside theirs": (kept(a=ROOT, it=ROOT), (HOLDS,), EntryState.DUPLICATE, "not added by this kit"),
    "nobody was asked": (kept(ours_it=FORMER), (), EntryState.UNKNOWN, "no server was looked at"),
    "somebody did not answer": (kept(ours_it=FORMER), (failure_of(url=IMAP),), EntryState.UNKNOWN, f"but {IMAP} must be reached"),
    "somebody is refused": (kept(ours_it=OTHER, root=ROOT), (HOLDS, seen(IMAP, PIN)), EntryState.UNKNOWN, f"but {IMAP} must be"),
    "its own server did not answer": (
        kept(ours_it=PIN), (failure_of(url=MAIL),), EntryState.UNKNOWN, "must be reached and trusted first",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("store", "results", "state", "words"), CASES.values(), ids=CASES)
def test_each_entry_has_a_state_and_a_sentence(store: kit.Snapshot, results: Results, state: EntryState, words: str) -> None:
    alias = "allegra-it" if store.entry("allegra-it") else "it"
    found = entry_of(kit.review(store, results, at=NOW), alias)
    assert (found.state, found.ours) == (state, alias == "allegra-it")
    assert re.search(words, found.advice), found.advice


def test_every_state_of_an_entry_has_its_case() -> None:
    covered = {state for _, _, state, _ in CASES.values()}
    assert set(EntryState) - covered == {EntryState.UNREADABLE, EntryState.NOT_SEEN}


def test_pinned_is_a_servers_own_certificate_and_days_are_whole_ones() -> None:
    store = kept(pin=PIN_SOON, appliance=APPLIANCE, over=PIN_OVER, ca=ROOT)
    review = kit.review(store, [seen(MAIL, PIN_SOON), seen(IMAP, APPLIANCE)], at=NOW)
    assert {each.entry.alias: (each.pinned, each.days_left) for each in review.entries} == {
        "pin": (True, 10),
        "appliance": (True, 1000),
        "over": (True, -10),
        "ca": (False, 1000),
    }
    assert not any(each.pinned for each in kit.review(kept(appliance=APPLIANCE), [HOLDS], at=NOW).entries if each.serves)
    assert [each.days_left for each in kit.review(kept(it=PIN), [], at=FUTURE + timedelta(seconds=1)).entries] == [-1]


def test_a_review_is_of_its_own_instant_and_not_of_the_look() -> None:
    (server,) = kit.review(kept(root=ROOT), [HOLDS], at=FUTURE + timedelta(days=2)).servers
    assert (server.state, server.days_left) == (ServerState.REFUSED, -2)


def test_an_entry_serves_where_the_path_ends_and_is_needed_where_no_other_path_is() -> None:
    store = kept(pin=LEAF, root=ROOT, other=OTHER)
    servers = [HOLDS, seen(IMAP, NEXT_LEAF, SUB), seen(LDAPS, issue("x", OTHER))]
    found = {each.entry.alias: (each.serves, each.needed_by) for each in kit.review(store, servers, at=NOW).entries}
    assert found == {"pin": ((MAIL,), ()), "root": ((IMAP,), (IMAP,)), "other": ((LDAPS,), (LDAPS,))}


def test_a_server_refused_for_its_name_alone_needs_its_ca_all_the_same() -> None:
    review = kit.review(kept(ours_it=ROOT), [seen("ldaps://10.0.0.5:636", LEAF, SUB)], at=NOW)
    assert review.servers[0].state is ServerState.REFUSED
    assert entry_of(review, "allegra-it").needed_by == ("ldaps://10.0.0.5:636",)


def test_what_is_ours_is_told_by_alias_or_by_record_and_never_a_key() -> None:
    plan = kit.plan_import(kept(root=ROOT), [FORMER.der], purpose="x", aliases=["mykey"])
    added = kit.added_by([kit.Applied(plan, NOW, changed=True, sha256="", backup=None)])
    assert added == {sha256_of(FORMER.der)}
    store = kept(mykey=FORMER, root=ROOT)
    assert kit.review(store, [HOLDS], at=NOW).removable == ()
    assert kit.review(store, [HOLDS], at=NOW, added=added).removable == ("mykey",)
    key = replace(store.entries[0], alias="allegra-key", kind=kit.EntryKind.PRIVATE_KEY)
    store = replace(store, entries=(key, *store.entries[1:]))
    found = entry_of(kit.review(store, [HOLDS], at=NOW, added=added), "allegra-key")
    assert (found.ours, found.state) == (False, EntryState.NOT_OURS)


def test_an_alias_that_is_there_twice_is_never_proposed() -> None:
    """PKCS12 allows it, and a plan would take out both."""
    store = kept(ours_it=FORMER, root=ROOT)
    entries = [replace(entry, alias="allegra-it") for entry in store.entries]
    assert kit.review(replace(store, entries=tuple(entries)), [HOLDS], at=NOW).removable == ()


# --- servers -----------------------------------------------------------------------------------------------------------------


def test_each_server_has_a_state_an_entry_and_a_sentence() -> None:
    old_tls = replace(seen("pop3s://old.example.com", LEAF, SUB), tls_version="TLSv1", cipher="ECDHE-RSA-AES128-SHA")
    results = (
        HOLDS,
        seen(IMAP, issue("x", ROOT, end=SOON)),
        seen("smtps://over.example.com", OVER, SUB),
        seen("imap://new.example.com", NEXT_PIN),
        old_tls,
        failure_of(url=LDAPS),
        failure_of(LEAF.der, SUB.der, url="ldap://asks.example.com"),
        probe_of(url="pop3://empty.example.com"),
        probe_of(UNREADABLE, url="pop3://odd.example.com"),
    )
    found = kit.review(kept(root=ROOT), results, at=NOW).servers
    assert [server.endpoint for server in found] == [result.endpoint for result in results]
    refused, failed = ServerState.REFUSED, ServerState.FAILED
    expected = [ServerState.TRUSTED, ServerState.RENEWAL_DUE, refused, refused, refused, failed, failed, refused, refused]
    assert [server.state for server in found] == expected
    assert [server.alias for server in found] == ["root", "root", None, None, "root", None, "root", None, None]
    assert [server.days_left for server in found] == [1000, 10, -10, 1000, 1000, None, 1000, None, None]
    words = [
        "nothing to import",
        "in 10 days",
        "must be renewed at the server",
        "import the leaf",
        "TLS",
        "ConnectFailed (connect)",
    ]
    assert [word for word, server in zip(words, found, strict=False) if word not in server.advice] == []


# --- renewals ----------------------------------------------------------------------------------------------------------------


def test_a_renewal_has_its_candidates_and_what_they_take_over_from_first() -> None:
    store = kept(ours_old=PIN, ours_other=FORMER)
    results = [
        seen("imaps://new.example.com", issue("new.example.com", OTHER), OTHER),
        seen(MAIL, NEXT_PIN),
        seen(IMAP, NEXT_PIN),
    ]
    review = kit.review(store, results, at=NOW)
    assert [(r.endpoint.url, r.replaces) for r in review.renewals] == [
        (MAIL, ("allegra-old",)),
        (IMAP, ("allegra-old",)),
        ("imaps://new.example.com:993", ()),
    ]
    assert review.renewals[2].candidates[0].der == OTHER.der
    assert [candidate.der for candidate in review.renewals[0].candidates] == [NEXT_PIN.der]
    assert not kit.review(kept(pin=NEXT_PIN), results[1:], at=NOW).renewals


def test_nothing_is_renewed_where_only_the_server_can_help() -> None:
    results: Results = (failure_of(), probe_of(), replace(HOLDS, tls_version="TLSv1", cipher="ECDHE-RSA-AES128-SHA"))
    assert not kit.review(kept(root=ROOT), results, at=NOW).renewals
