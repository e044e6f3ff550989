from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import columns, keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import HandshakeFailed
from allegra_tls_kit.text import visible
from allegra_tls_kit.views import LISTED
from tests.chains import NOW, Issued, alternatives, distinguished, issue
from tests.changing import made
from tests.misbehaving import Server, context_of, tls
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, UNREADABLE, failure_of, probe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from allegra_tls_kit.tables import Results

    View = Callable[[Results], pd.DataFrame]

SMTP, IMAP, LDAPS = "smtp://mail.example.com:587", "imaps://mail.example.com:993", "ldaps://ldap.example.com:636"
SUB = issue("Sub CA", ROOT, ca=True)
VIEWS: dict[str, tuple[View, dict[str, str]]] = {
    "expiry": (kit.expiry_frame, columns.EXPIRY_COLUMNS),
    "issuers": (kit.issuers_frame, columns.ISSUER_COLUMNS),
    "shared": (kit.shared_frame, columns.SHARED_COLUMNS),
    "old TLS": (kit.old_tls_frame, columns.TLS_COLUMNS),
    "names": (kit.names_frame, columns.NAME_COLUMNS),
    "pinned": (lambda results: kit.pinned_frame(results, [stored(b=HOSTILE_LEAF)]), columns.PINNED_COLUMNS),
}


def ending(days: float, name: str = "mail.example.com", issuer: Issued = ROOT) -> Issued:
    return issue(name, issuer, end=NOW + timedelta(days=days), extensions=[alternatives(name)])


def stored(**entries: Issued) -> kit.Snapshot:
    return keystore.read(made({alias: issued.der for alias, issued in entries.items()}), Path("/x/mail.ks"))


def column(frame: pd.DataFrame, name: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in frame[name]]


@pytest.mark.parametrize("which", VIEWS)
@pytest.mark.parametrize(
    "results",
    [
        (),
        {},
        (failure_of(),),
        {"dmz": (probe_of(UNREADABLE), failure_of(HOSTILE_LEAF.der)), HOSTILE: [probe_of(HOSTILE_LEAF.der)]},
    ],
)
def test_a_view_has_its_columns_whatever_came_and_its_cells_are_inert(which: str, results: Results) -> None:
    view, documented = VIEWS[which]
    frame = view(results)
    own = {str(name): str(kind) for name, kind in frame.dtypes.items() if name != "zone"}
    assert own == documented
    cells = [cell for cell in frame.to_numpy().ravel() if isinstance(cell, str)]
    assert all(cell.isprintable() for cell in cells)


# --- what ends when ----------------------------------------------------------------------------------------------------------


def test_what_ends_first_comes_first_with_the_limits_of_28_and_14_days() -> None:
    ends = [29.1, 28.1, 15.1, 14.1, 0.1, -0.1]
    results = [probe_of(ending(days).der, url=f"imaps://mail{number}.example.com") for number, days in enumerate(ends)]
    frame = kit.expiry_frame(results)
    assert column(frame, "state") == ["expired", "critical", "critical", "warning", "warning", "ok"]
    assert column(frame, "days_left") == [-1, 0, 14, 15, 28, 29]
    later = kit.expiry_frame(results, at=NOW + timedelta(days=15))
    assert column(later, "state") == ["expired"] * 3 + ["critical"] * 3


def test_one_row_stands_for_a_certificate_wherever_it_is_shown_and_held() -> None:
    store = stored(root=ROOT, pinned=LEAF)
    frame = kit.expiry_frame([probe_of(LEAF.der, ROOT.der), probe_of(LEAF.der, url=IMAP)], [store])
    rows = {row.subject_cn: row for row in frame.itertuples()}
    leaf, root = rows["mail.example.com"], rows["Example Root"]
    assert (leaf.servers, leaf.entries, leaf.role) == (2, 1, "leaf")
    assert (leaf.endpoints, leaf.aliases) == (f"{SMTP}, {IMAP}", "/x/mail.ks: pinned")
    assert (root.servers, root.entries, root.role, root.aliases) == (1, 1, "root", "/x/mail.ks: root")
    assert len(rows) == len(frame) == 2


def test_what_is_not_known_stands_in_front_of_what_is() -> None:
    frame = kit.expiry_frame([probe_of(ending(-1).der), failure_of(url=LDAPS), probe_of(UNREADABLE, url=IMAP)])
    assert column(frame, "state") == ["unknown", "unknown", "expired"]
    assert column(frame, "endpoints") == [LDAPS, IMAP, SMTP]
    assert column(frame, "fingerprint_sha256")[:2] == [None, sha256_of(UNREADABLE)]


def test_a_keystore_alone_has_days_only_for_a_given_instant() -> None:
    store = stored(soon=ending(3.5), early=issue("x", start=NOW + timedelta(days=1)))
    assert column(kit.expiry_frame([], [store]), "state") == [None, None]
    frame = kit.expiry_frame([], [store], at=NOW)
    assert column(frame, "state") == ["critical", "not yet valid"]
    assert column(frame, "role") == ["leaf", "leaf"]


def test_of_many_servers_ten_are_named_and_all_are_counted() -> None:
    frame = kit.expiry_frame([probe_of(LEAF.der, url=f"imaps://mail{number}.example.com") for number in range(LISTED + 3)])
    (row,) = frame.to_dict("records")
    assert row["servers"] == LISTED + 3
    assert row["endpoints"].count("imaps://") == LISTED
    assert row["endpoints"].endswith(" and 3 more")


# --- who issued what, what is shared ------------------------------------------------------------------------------------------


def test_each_ca_has_a_row_with_all_that_it_issued_and_so_have_servers_without_a_certificate() -> None:
    results = [probe_of(ending(days).der, url=f"imaps://mail{days}.example.com") for days in (5, 9)]
    results += [probe_of(issue("x", OTHER_ROOT).der, url=LDAPS)]
    frame = kit.issuers_frame([*results, failure_of(url=SMTP)])
    assert column(frame, "issuer_cn") == ["Example Root", "Other Root", None]
    assert column(frame, "servers") == [2, 1, 1]
    assert column(frame, "certificates") == [2, 1, 0]
    assert (frame.loc[0, "last_end"] - frame.loc[0, "not_after"]).days == 4  # type: ignore[operator, union-attr]


def test_a_key_that_several_servers_show_is_found_under_other_certificates_too() -> None:
    renewed = issue("mail.example.com", OTHER_ROOT, key=LEAF.key)
    alone = issue("alone.example.com", ROOT)
    both = issue("both.example.com", ROOT)
    results = [probe_of(LEAF.der), probe_of(renewed.der, url=LDAPS), probe_of(alone.der, url="imaps://alone.example.com")]
    results += [probe_of(both.der, url="imaps://both.example.com"), probe_of(both.der, url="smtps://both.example.com")]
    frame = kit.shared_frame(results)
    assert column(frame, "shared") == ["key", "certificate"]
    assert column(frame, "hosts") == [2, 1]
    assert column(frame, "servers") == [2, 2]
    assert column(frame, "certificates") == [2, 1]
    assert column(frame, "fingerprint_sha256") == [None, sha256_of(both.der)]
    assert column(frame, "endpoints")[0] == f"{SMTP}, {LDAPS}"


# --- TLS, names, pins --------------------------------------------------------------------------------------------------------


def test_old_versions_and_foreign_suites_are_named_with_what_java_does() -> None:
    fine = probe_of(LEAF.der)
    old, foreign, weak = (
        replace(fine, tls_version=version, cipher=cipher)
        for version, cipher in (("TLSv1.1", "X"), ("TLSv1.2", "ECDHE-RSA-CAMELLIA256-SHA384"), ("TLSv1.2", "AES128-SHA"))
    )
    frame = kit.old_tls_frame([weak, fine, old, foreign])
    assert column(frame, "finding") == ["old_tls", "no_common_cipher", "no_common_cipher"]
    assert column(frame, "severity") == ["error", "error", "warning"]
    assert column(kit.old_tls_frame([weak], java_version=25), "severity") == ["error"]


def test_a_handshake_that_was_refused_for_its_version_counts_and_another_failure_does_not() -> None:
    words = ["the server ends the handshake with the alert protocol_version", "the handshake failed: unsupported protocol"]
    refused = [failure_of(error=HandshakeFailed(text)) for text in words]
    other = failure_of(error=HandshakeFailed("the server ends the handshake with the alert handshake_failure"))
    frame = kit.old_tls_frame([*refused, other, failure_of()])
    assert column(frame, "finding") == ["old_tls", "old_tls"]
    assert column(frame, "tls_version") == [None, None]


def test_a_server_of_today_that_speaks_only_an_old_version_is_found() -> None:
    leaf = issue("localhost")
    with Server(tls(context_of(leaf, version=ssl.TLSVersion.TLSv1))) as server:
        results = kit.probe_all([server.endpoint("imaps")], timeout=5)
    assert column(kit.old_tls_frame(results), "tls_version") == ["TLSv1"]


def test_a_name_that_the_certificate_does_not_carry_is_said_with_who_checks_it() -> None:
    results = [probe_of(LEAF.der), probe_of(LEAF.der, url="imaps://other.example.com"), probe_of(LEAF.der, url=LDAPS)]
    results += [
        probe_of(LEAF.der, url="imaps://192.0.2.7"),
        probe_of(LEAF.der, url="imaps://192.0.2.7?server_name=mail.example.com"),
    ]
    frame = kit.names_frame(results)
    assert column(frame, "identity") == ["ldap.example.com", "other.example.com", "192.0.2.7"]
    assert column(frame, "checked_by_allegra") == [True, False, False]
    assert column(frame, "verdict")[0] == "No subject alternative DNS name matching ldap.example.com found."
    assert set(column(frame, "names")) == {"mail.example.com"}


def test_a_certificate_without_names_or_beyond_reading_disagrees_too() -> None:
    nameless = issue(distinguished(O="Example"), ROOT)
    frame = kit.names_frame([probe_of(nameless.der), probe_of(UNREADABLE, url=IMAP)])
    assert column(frame, "names") == ["none", None]
    assert [words.partition(" ")[0] for words in column(frame, "verdict")] == [
        "No",
        "4" if len(UNREADABLE) == 4 else str(len(UNREADABLE)),
    ]


def test_what_breaks_at_its_renewal_is_told_with_the_ca_that_would_not() -> None:
    leaf = issue("mail.example.com", SUB, end=NOW + timedelta(days=20, hours=1), extensions=[alternatives("mail.example.com")])
    alone = issue("alone.example.com", end=NOW + timedelta(days=10, hours=1))
    results = probe_of(leaf.der, SUB.der, ROOT.der), probe_of(alone.der, url=IMAP), failure_of(url=LDAPS)
    frame = kit.pinned_frame(results, [stored(mine=leaf, self=alone), stored(root=ROOT, mine=leaf), stored(other=OTHER_ROOT)])
    assert column(frame, "alias") == ["self", "mine"]
    assert column(frame, "days_left") == [10, 20]
    assert column(frame, "instead") == [None, "Example Root"]
    assert column(frame, "instead_sha256")[1] == sha256_of(ROOT.der)
    assert "import the root too, after comparing its fingerprint" in frame.loc[1, "advice"]  # type: ignore[operator]


def test_a_store_that_java_does_not_read_breaks_nothing() -> None:
    absent = keystore.read(None, Path("/x/none.ks"))
    unreadable = replace(
        stored(mine=LEAF), entries=(*stored(mine=LEAF).entries, replace(stored(b=LEAF).entries[0], certificate=UNREADABLE))
    )
    assert len(kit.pinned_frame([probe_of(LEAF.der)], [stored(mine=LEAF)])) == 1
    assert len(kit.pinned_frame([probe_of(LEAF.der)], [absent, unreadable])) == 0


def test_two_surveys_compared_are_a_frame_in_their_order() -> None:
    renewed = issue("mail.example.com", ROOT, key=LEAF.key, extensions=[alternatives("mail.example.com")])
    drifts = kit.compare_surveys(
        [probe_of(LEAF.der), failure_of(url=LDAPS)], [probe_of(renewed.der), probe_of(url=IMAP)], [ROOT.der]
    )
    frame = kit.drift_frame(drifts)
    assert {str(name): str(kind) for name, kind in frame.dtypes.items()} == columns.DRIFT_COLUMNS
    assert column(frame, "change") == ["gone", "renewed", "new"]
    assert column(frame, "now_sha256") == [None, sha256_of(renewed.der), None]
    assert column(frame, "was_trusted") == [None, True, None]
    assert column(kit.drift_frame(()), "change") == []


def test_hostile_words_of_a_certificate_and_an_alias_stand_in_the_views_made_visible() -> None:
    store = keystore.read(made({HOSTILE: HOSTILE_LEAF.der}), Path(f"/x/{HOSTILE}"))
    frame = kit.expiry_frame([probe_of(HOSTILE_LEAF.der)], [store])
    assert column(frame, "subject_cn") == [visible(HOSTILE)]
    assert visible(HOSTILE) in column(frame, "aliases")[0]
