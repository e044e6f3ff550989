from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from allegra_tls_kit import Entry, EntryKind, Snapshot, StoreType, columns, plan_import, plan_removal
from allegra_tls_kit.certificate import certificate_facts
from allegra_tls_kit.columns import CERTIFICATE_COLUMNS, COLUMNS, ENTRY_COLUMNS, PLAN_COLUMNS, SURVEY_COLUMNS
from allegra_tls_kit.tables import certificates_frame, columns_frame, entries_frame, plan_frame, survey_frame
from allegra_tls_kit.text import visible
from tests.chains import FUTURE, NOW, PAST, issue
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, OTHER_ROOT, ROOT, UNREADABLE, failure_of, probe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from allegra_tls_kit import Probe, ProbeFailure

    Frame = Callable[[tuple[Probe | ProbeFailure, ...]], pd.DataFrame]

INPUTS: dict[str, tuple[Probe | ProbeFailure, ...]] = {
    "empty": (),
    "all failed": (failure_of(), failure_of(url="ldaps://10.0.0.5?server_name=ldap.example.com")),
    "mixed": (failure_of(), probe_of(LEAF.der, ROOT.der), probe_of(UNREADABLE), replace(probe_of(), client_certificate=None)),
}


def entry(kind: EntryKind, certificate: bytes | None, alias: str = "entry") -> Entry:
    return Entry(alias, kind, certificate, content="", anchor=kind is EntryKind.TRUSTED, created=NOW if certificate else None)


def store(*entries: Entry) -> Snapshot:
    where, kind, digest = Path("/x/mail.ks"), StoreType.JKS, "0" * 64
    return Snapshot(where, exists=True, store_type=kind, sha256=digest, entries=entries,
                    integrity_checked=False, locked=False, notes=())  # fmt: skip


def kinds(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


@pytest.mark.parametrize(("make", "columns"), [(survey_frame, SURVEY_COLUMNS), (certificates_frame, CERTIFICATE_COLUMNS)])
@pytest.mark.parametrize("results", INPUTS.values(), ids=INPUTS)
def test_columns_and_types_are_the_documented_ones_whatever_came(
    make: Frame, columns: dict[str, str], results: tuple[Probe | ProbeFailure, ...]
) -> None:
    frame = make(results)
    assert kinds(frame) == columns
    assert list(frame) == list(columns)


@pytest.mark.parametrize(
    "entries",
    [(), (entry(EntryKind.SECRET_KEY, None),), (entry(EntryKind.TRUSTED, ROOT.der), entry(EntryKind.NOT_TRUSTED, UNREADABLE))],
)
def test_a_keystore_and_a_plan_have_their_columns_too(entries: tuple[Entry, ...]) -> None:
    assert kinds(entries_frame(store(*entries))) == kinds(entries_frame(store(*entries), NOW)) == ENTRY_COLUMNS
    assert kinds(plan_frame(plan_import(store(*entries), [ROOT.der], purpose="x"))) == PLAN_COLUMNS
    assert kinds(plan_frame(plan_removal(store(*entries), [], purpose="x"))) == PLAN_COLUMNS


# What the tools of the field call the same, in their order: Ansible's names where it has them.
FIELD = {
    "certificates": (
        CERTIFICATE_COLUMNS,
        """host port protocol starttls server_name position role subject subject_cn issuer issuer_cn subject_alt_name
        serial_number not_before not_after days_left expired self_signed is_ca public_key_type public_key_size
        signature_algorithm key_usage extended_key_usage fingerprint_sha256 fingerprint_sha1 ocsp_uri issuer_uri source error""",
    ),
    "survey": (
        SURVEY_COLUMNS,
        """host port protocol starttls probe_status stage error ip tls_version cipher client_cert_requested chain_length probed_at
        duration_ms""",
    ),
    "entries": (
        ENTRY_COLUMNS,
        "keystore_path keystore_type alias entry_type creation_date trusted_by_java role fingerprint_sha1",
    ),
    "plan": (PLAN_COLUMNS, "action alias subject_cn role not_after fingerprint_sha256 reason"),
}


@pytest.mark.parametrize("which", FIELD)
def test_a_frame_has_the_columns_that_the_field_has_in_its_order(which: str) -> None:
    held, wanted = FIELD[which]
    assert [name for name in held if name in wanted.split()] == wanted.split()


def test_every_column_says_once_what_it_is_and_none_is_described_in_vain() -> None:
    frames = [value for name, value in vars(columns).items() if name.endswith("_COLUMNS")]
    assert {name for frame in frames for name in frame} | {"zone"} == set(COLUMNS)
    assert all({name: COLUMNS[name][0] for name in frame} == frame for frame in frames)
    described = columns_frame()
    assert described["column"].tolist() == list(COLUMNS)
    assert described["meaning"].str.len().gt(0).all()
    mine = certificates_frame([probe_of(LEAF.der)])[["not_after", "host"]].assign(own=1)
    assert columns_frame(mine)["column"].tolist() == ["not_after", "host"]


@pytest.mark.parametrize(("make", "columns"), [(survey_frame, SURVEY_COLUMNS), (certificates_frame, CERTIFICATE_COLUMNS)])
def test_results_of_several_zones_say_in_front_where_they_were_seen_from(make: Frame, columns: dict[str, str]) -> None:
    frame = make({"dmz": (failure_of(),), HOSTILE: [probe_of(LEAF.der)]})  # type: ignore[arg-type]
    assert kinds(frame) == {"zone": "string"} | columns
    assert frame["zone"].tolist() == ["dmz", visible(HOSTILE)]
    assert kinds(make({})) == {"zone": "string"} | columns  # type: ignore[arg-type]


def test_the_same_certificate_is_read_once_however_many_servers_show_it() -> None:
    shared = issue("shared.example.com", ROOT)
    before = certificate_facts.cache_info().misses
    results = [probe_of(shared.der, url=f"imaps://mail{number}.example.com") for number in range(50)]
    assert len(certificates_frame(results)) == len(survey_frame(results)) == 50
    assert certificate_facts.cache_info().misses == before + 1


def test_the_key_of_a_certificate_is_known_by_its_digest_whoever_made_it() -> None:
    one, renewed, other = issue("mail", ROOT), issue("mail", OTHER_ROOT, key=LEAF.key), LEAF
    frame = certificates_frame([probe_of(each.der) for each in (one, renewed, other)])
    spki = [each.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for each in (one, other)]
    digests = [hashlib.sha256(key).hexdigest() for key in spki]
    assert frame["public_key_sha256"].tolist() == [digests[0], digests[1], digests[1]]


def test_every_endpoint_has_its_row_in_the_order_asked() -> None:
    frame = survey_frame(INPUTS["mixed"] + INPUTS["all failed"])
    assert frame["probe_status"].tolist() == ["failure", "success", "success", "success", "failure", "failure"]
    last = frame.iloc[-1]
    assert (last.host, last.port, last.protocol, last.starttls, last.server_name) == (
        "10.0.0.5", 636, "ldap", False, "ldap.example.com",
    )  # fmt: skip
    assert (last.stage, last.error, last.chain_length, last.duration_ms) == ("connect", "ConnectFailed", 0, 500)


def test_what_is_not_known_is_na() -> None:
    failed, seen, unreadable, silent = (row for _, row in survey_frame(INPUTS["mixed"]).iterrows())
    unknown = {name for name in SURVEY_COLUMNS if failed[name] is pd.NA or failed[name] is pd.NaT}
    assert unknown == {
        "server_name", "ip", "tls_version", "cipher", "client_cert_requested", "subject_cn", "issuer_cn", "not_after",
        "days_left", "fingerprint_sha256", "trusted", "verdict",
    }  # fmt: skip
    assert seen[["stage", "error", "message", "trusted", "verdict"]].isna().all()
    assert unreadable[["subject_cn", "not_after", "days_left"]].isna().all()
    assert "no X.509 certificate" in unreadable.message
    assert len(unreadable.fingerprint_sha256) == 64
    assert silent.client_cert_requested is pd.NA


def test_certificates_have_a_row_each_and_an_endpoint_without_any_has_one_too() -> None:
    frame = certificates_frame(INPUTS["mixed"])
    assert frame["position"].tolist() == [pd.NA, 0, 1, 0, pd.NA]
    assert frame["role"].tolist() == [pd.NA, "leaf", "root", pd.NA, pd.NA]
    assert frame["error"].isna().tolist() == [False, True, True, False, True]
    leaf = frame.iloc[1]
    assert (leaf.subject_alt_name, leaf.self_signed, leaf.is_ca, leaf.source) == (
        "DNS:mail.example.com",
        False,
        False,
        "received",
    )


def test_a_failure_that_showed_certificates_keeps_them_beside_its_error() -> None:
    frame = certificates_frame([failure_of(LEAF.der, ROOT.der)])
    assert frame["error"].tolist() == ["ConnectFailed", "ConnectFailed"]
    assert survey_frame([failure_of(LEAF.der)]).loc[0, "subject_cn"] == "mail.example.com"


def test_times_are_aware_utc_also_at_the_ends_of_what_a_certificate_can_say() -> None:
    first, last = datetime(1950, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    frame = certificates_frame([probe_of(issue("old", start=first, end=last).der)])
    assert frame["not_before"].dt.tz is UTC
    assert frame["not_before"].tolist() == [first]
    assert frame["not_after"].tolist() == [last]
    assert frame.loc[0, "days_left"] == (last - NOW).days


def test_serial_numbers_and_fingerprints_are_strings_of_lower_case_hex() -> None:
    serial = (1 << 158) + 0xABC
    (row,) = certificates_frame([probe_of(issue("x", serial=serial).der)]).to_dict("records")
    assert row["serial_number"] == f"{serial:x}"
    for name, digits in (("fingerprint_sha256", 64), ("fingerprint_sha1", 40)):
        assert (len(row[name]), row[name].strip("0123456789abcdef")) == (digits, "")


def test_days_left_count_from_the_probe_and_are_negative_once_expired() -> None:
    ends = [NOW + timedelta(days=2, hours=1), NOW - timedelta(hours=1)]
    frame = certificates_frame([probe_of(issue("x", end=end).der) for end in ends])
    assert frame["days_left"].tolist() == [2, -1]
    assert frame["expired"].tolist() == [False, True]


def test_with_anchors_java_s_verdict_stands_beside_each_server_that_showed_something() -> None:
    results: tuple[Probe | ProbeFailure, ...] = (probe_of(LEAF.der), failure_of())
    trusted, refused = survey_frame(results, [ROOT.der]), survey_frame(results, [OTHER_ROOT.der])
    assert trusted[["trusted", "verdict"]].to_numpy().tolist() == [[True, "trusted"], [pd.NA, pd.NA]]
    assert refused["trusted"].tolist() == [False, pd.NA]
    assert refused["verdict"].str.contains("unable to find valid certification path").tolist() == [True, pd.NA]


def test_the_words_of_strangers_are_inert_in_every_frame() -> None:
    snapshot = store(entry(EntryKind.TRUSTED, HOSTILE_LEAF.der, HOSTILE))
    results = (probe_of(HOSTILE_LEAF.der), failure_of(HOSTILE_LEAF.der))
    removal = plan_removal(snapshot, [HOSTILE], purpose=HOSTILE)
    for frame in (survey_frame(results), certificates_frame(results), entries_frame(snapshot), plan_frame(removal)):
        cells = [cell for cell in frame.to_numpy().ravel() if isinstance(cell, str)]
        assert any("script>" in cell for cell in cells)
        assert all(cell.isprintable() for cell in cells)
        shown = frame._repr_html_()  # type: ignore[operator]
        assert "<script" not in shown.replace("<style scoped>", "")
        assert "<b onload" not in shown


def test_an_entry_says_what_java_sees_and_its_days_only_for_a_given_instant() -> None:
    snapshot = store(
        entry(EntryKind.TRUSTED, ROOT.der), entry(EntryKind.SECRET_KEY, None, "key"), entry(EntryKind.TRUSTED, b"\x30")
    )
    frame = entries_frame(snapshot)
    assert frame["trusted_by_java"].tolist() == [True, False, True]
    assert frame["creation_date"].isna().tolist() == [False, True, False]
    assert frame[["days_left", "expired"]].isna().all(axis=None)
    assert entries_frame(snapshot, PAST)["days_left"].tolist() == [(FUTURE - PAST).days, pd.NA, pd.NA]


def test_a_plan_has_a_row_for_each_action_also_for_a_certificate_that_cannot_be_read() -> None:
    snapshot = store(entry(EntryKind.TRUSTED, ROOT.der, "root"), entry(EntryKind.TRUSTED, UNREADABLE, "broken"))
    imported = plan_frame(plan_import(snapshot, [ROOT.der, LEAF.der], purpose="x"))
    assert imported[["action", "alias", "subject_cn"]].iloc[0].tolist() == ["keep", "root", "Example Root"]
    removed = plan_frame(plan_removal(snapshot, ["broken", "absent"], purpose="x"))
    assert removed["action"].tolist() == ["remove", "not_found"]
    assert removed["fingerprint_sha256"].notna().tolist() == [True, False]
    assert removed["subject_cn"].isna().all()
