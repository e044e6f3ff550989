"""What is proposed for removal, and that it harms nobody: now, after the renewals to come, and by the word of a JVM."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.standing import EntryState, Review, ServerState
from allegra_tls_kit.survey import judge
from tests.chains import NOW, Issued, alternatives, issue
from tests.changing import made
from tests.shown import UNREADABLE, failure_of, probe_of
from tests.stores import LEAF as KEYED_LEAF
from tests.stores import PASSWORD, Stores
from tests.test_upkeep import (
    FORMER,
    HOLDS,
    IMAP,
    JUST_OVER,
    LEAF,
    MAIL,
    NEXT_LEAF,
    NEXT_PIN,
    OLDER_ROOT,
    OTHER,
    OVER_CA,
    PIN,
    PIN_SOON,
    PLACE,
    ROOT,
    SUB,
    Results,
    entry_of,
    kept,
    seen,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IDLE = kept(ours_idle=FORMER, ours_again=ROOT, root=ROOT)
OBSTACLES: dict[str, tuple[kit.Snapshot, Results, str]] = {
    "no server": (IDLE, (), "no server was looked at"),
    "a failure": (IDLE, (HOLDS, failure_of(url=IMAP)), IMAP),
    "a failure after the chain": (IDLE, (HOLDS, failure_of(LEAF.der, SUB.der, url=IMAP)), IMAP),
    "a refusal": (IDLE, (HOLDS, seen(IMAP, PIN)), IMAP),
    "no certificate": (IDLE, (HOLDS, probe_of(url=IMAP)), IMAP),
    "a wrong name": (IDLE, (HOLDS, seen("ldaps://10.0.0.5", LEAF, SUB)), "ldaps://10.0.0.5:636"),
    "an old TLS": (IDLE, (HOLDS, replace(seen(IMAP, LEAF, SUB), tls_version="TLSv1", cipher="ECDHE-RSA-AES128-SHA")), IMAP),
    "five of them": (IDLE, tuple(failure_of(url=f"imaps://h{n}") for n in range(5)), "imaps://h2:993 and 2 more must be reached"),
    "a locked store": (replace(IDLE, locked=True), (HOLDS,), "with its password"),
}


@pytest.mark.parametrize(("store", "results", "words"), OBSTACLES.values(), ids=OBSTACLES)
def test_nothing_is_proposed_while_anything_is_unsettled(store: kit.Snapshot, results: Results, words: str) -> None:
    assert kit.review(IDLE, [HOLDS], at=NOW).removable == ("allegra-idle", "allegra-again")
    review = kit.review(store, results, at=NOW)
    assert review.removable == ()
    assert words in review.notes[0]
    assert entry_of(review, "allegra-idle").state is EntryState.UNKNOWN


def test_a_store_that_java_does_not_read_judges_nobody(stores: Stores) -> None:
    unread = {
        "does not exist": keystore.read(None, PLACE),
        "JCEKS": kit.read_keystore(stores.folder / "keys.jceks", lambda: PASSWORD),
        "no certificate": replace(IDLE, entries=(*IDLE.entries, replace(IDLE.entries[0], alias="bad", certificate=UNREADABLE))),
    }
    for words, store in unread.items():
        review = kit.review(store, [HOLDS, seen(IMAP, PIN)], at=NOW)
        assert {server.state for server in review.servers} == {ServerState.NOT_JUDGED}
        assert (review.removable, review.renewals) == ((), ())
        assert words in review.notes[0]
        assert words in review.servers[0].advice
    assert entry_of(review, "bad").state is EntryState.UNREADABLE


@pytest.mark.parametrize("name", ["aes.p12", "mac-only.p12", "keys.jks", "keys.jceks"])
def test_keys_are_listed_never_proposed_and_serve_where_java_trusts_by_them(name: str, stores: Stores) -> None:
    for password in (lambda: PASSWORD, None):
        store = kit.read_keystore(stores.folder / name, password)
        review = kit.review(store, [seen(MAIL, KEYED_LEAF)], at=NOW, added=[sha256_of(KEYED_LEAF.der)])
        assert [each.entry for each in review.entries] == list(store.entries)
        assert review.removable == ()
        for each in review.entries:
            assert (each.state is EntryState.NOT_SEEN) == (not each.entry.anchor)
            assert (each.serves == (MAIL,)) == (each.entry.anchor and each.entry.certificate == KEYED_LEAF.der)
    assert any(each.serves for each in review.entries) == (name in {"mac-only.p12", "keys.jks"})


def removed(store: kit.Snapshot, review: Review) -> tuple[bytes, ...]:
    """What Java trusts once the proposal is carried out."""
    entries = kit.simulate(kit.plan_removal(store, review.removable, purpose="clean up"))
    return tuple(entry.certificate for entry in entries if entry.anchor and entry.certificate)


def test_first_the_renewal_and_then_the_removal() -> None:
    results = [seen(MAIL, NEXT_PIN), seen(IMAP, NEXT_LEAF, SUB)]
    before = kept(ours_old=PIN, ours_gone=FORMER, ours_root=ROOT)
    review = kit.review(before, results, at=NOW)
    assert review.removable == ()
    after = kept(ours_old=PIN, ours_gone=FORMER, ours_root=ROOT, ours_new=NEXT_PIN)
    assert (
        kit.simulate(kit.plan_import(before, [review.renewals[0].candidates[0].der], purpose="renew"))[-1].certificate
        == NEXT_PIN.der
    )
    review = kit.review(after, results, at=NOW)
    assert (review.removable, review.renewals, review.notes) == (("allegra-old", "allegra-gone"), (), ())
    assert set(removed(after, review)) == {ROOT.der, NEXT_PIN.der}


# Roots, one of them renewed with its key, one with its name and another key; intermediates, one cross-signed; for each a leaf.
FALSE_ROOT = issue("Root CA", ca=True)
CROSS = issue("Sub CA", OTHER, ca=True, key=SUB.key)
NEW_SUB = issue("New Sub CA", ROOT, ca=True)
OTHER_SUB = issue("Other Sub CA", OTHER, ca=True)
OVER = issue("over.example.com", ca=False, end=JUST_OVER)
AUTHORITIES = [ROOT, OLDER_ROOT, FALSE_ROOT, OTHER, SUB, CROSS]
SAME_KEY = issue("box.example.com", ca=True)
BOXES = [SAME_KEY, issue("box.example.com", ca=True, key=SAME_KEY.key), issue("box.example.com", ca=False), PIN, NEXT_PIN]
CHAINS: list[tuple[Sequence[Issued], Sequence[Issued], Sequence[Sequence[Issued]]]] = [
    # what a server shows, what makes Java trust it, what it may show after its renewal
    ([LEAF], [LEAF, SUB, CROSS], [[NEXT_LEAF]]),
    ([LEAF, SUB], [LEAF, SUB, ROOT, OLDER_ROOT], [[NEXT_LEAF, SUB], [issue("n", NEW_SUB), NEW_SUB]]),
    ([LEAF, CROSS], [LEAF, CROSS, OTHER], [[NEXT_LEAF, CROSS], [issue("n", OTHER_SUB), OTHER_SUB]]),
    ([LEAF, SUB, ROOT], [SUB, ROOT, OLDER_ROOT], [[NEXT_LEAF, SUB, ROOT], [issue("n", NEW_SUB), NEW_SUB, ROOT]]),
    *[([box], [box], [[BOXES[0]], [BOXES[1]]]) for box in BOXES[:2]],
    *[([box], [box], []) for box in BOXES[2:]],
    ([PIN_SOON], [PIN_SOON], [[PIN], [NEXT_PIN]]),
]


@pytest.mark.parametrize("seed", range(4))
def test_a_removal_takes_nothing_from_any_server_now_or_after_its_renewal(seed: int) -> None:
    dice, proposals = random.Random(seed), 0
    for _ in range(400):
        shown = dice.sample(CHAINS, dice.randint(1, 3))
        held = [dice.choice(basis) for _, basis, _ in shown] + dice.sample(
            [*AUTHORITIES, *BOXES, LEAF, FORMER], dice.randint(0, 6)
        )
        dice.shuffle(held)
        prefixes = dice.choices(["allegra-", ""], [4, 1], k=len(held))
        entries = {f"{prefix}{number}": issued.der for number, (prefix, issued) in enumerate(zip(prefixes, held, strict=True))}
        store = keystore.read(made(entries), PLACE, PASSWORD)
        results = [seen(f"imaps://h{number}.example.com", *chain) for number, (chain, _, _) in enumerate(shown)]
        review = kit.review(store, results, at=NOW)
        left = removed(store, review)
        assert all(judge(result, left).trusted == judge(result, store.anchors).trusted for result in results)
        renewed = [seen(IMAP, *chain) for _, _, chains in shown for chain in chains if review.removable]
        assert all(judge(result, left).trusted for result in renewed if judge(result, store.anchors).trusted)
        proposals += len(review.removable)
    assert proposals > 200


def test_a_jvm_trusts_after_the_removal_whom_it_trusted_before(java: Path, tmp_path: Path) -> None:
    servers = [
        seen(MAIL, NEXT_PIN),
        seen(IMAP, LEAF, SUB),
        seen("imaps://c", issue("c", OTHER_SUB)),
        seen("imaps://o", OVER),
    ]
    held = {"pin": PIN, "next": NEXT_PIN, "root": ROOT, "older": OLDER_ROOT, "false": FALSE_ROOT, "over": OVER}
    held |= {"former": FORMER, "sub": OTHER_SUB, "other": OTHER, "unused": OVER_CA}
    store = kept(**{f"ours_{name}": issued for name, issued in held.items()})
    review = kit.review(store, servers, at=NOW)
    assert set(review.removable) == {"allegra-pin", "allegra-false", "allegra-former", "allegra-unused"}
    left = {
        entry.alias: entry.certificate or b"" for entry in kit.simulate(kit.plan_removal(store, review.removable, purpose="x"))
    }
    without_needed = {alias: der for alias, der in left.items() if not entry_of(review, alias).needed_by}
    files = {"before": {e.alias: e.certificate or b"" for e in store.entries}, "after": left, "too much": without_needed}
    for name, entries in files.items():
        (tmp_path / name).write_bytes(made(entries))
    cases = [kit.JvmCase(server.chain, tmp_path / name) for name in files for server in servers]
    said = [verdict.trusted for verdict in kit.jvm_verdicts(cases, java=java)]
    assert said == [True] * 8 + [False, True, False, False]


def test_two_thousand_entries_and_two_hundred_servers_take_seconds() -> None:
    authorities = [issue(f"CA {number}", ca=True) for number in range(150)]
    results = [seen(f"imaps://h{n}.example.com", issue(f"h{n}.example.com", authorities[n % 150])) for n in range(200)]
    pins = [issue(f"old{n}", extensions=[alternatives(f"h{n % 200}.example.com")]).der for n in range(1850)]
    trusted = {f"allegra-ca{n}": authority.der for n, authority in enumerate(authorities)}
    store = keystore.read(made(trusted | {f"allegra-{n}": der for n, der in enumerate(pins)}), PLACE, PASSWORD)
    began = time.monotonic()
    review = kit.review(store, results, at=NOW)
    text = str(kit.show(review))
    assert time.monotonic() - began < 30
    assert len(review.removable) == 1850
    assert text.count("✔ in use") == 150
