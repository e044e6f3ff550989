"""Keystores read; keytool made most of them, and the JVM has the last word on what it sees in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import jks
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import EntryKind, KitError, Snapshot, StoreType, ber, keystore, read_keystore
from allegra_tls_kit.errors import UnreadableKeystore, WrongPassword
from allegra_tls_kit.jvm import JvmCase, jvm_verdicts
from tests.children import as_nobody
from tests.keystore_bytes import (
    HERE,
    TWICE,
    from_cryptography,
    inside,
    read,
    replaced,
    rewrite,
    sealed_with_pbmac1,
    shown,
    unsealed,
)
from tests.stores import HELD, LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from tests.stores import Stores

EMPTY_PART = ber.encode(
    ber.SEQUENCE,
    ber.encode(ber.OID, bytes.fromhex("2a864886f70d010701")),
    ber.encode(ber.CONTEXT_0, ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE)))),
)
LOCKED = {"aes.p12", "legacy.p12"}
"""The stores whose certificates are encrypted."""
SECONDS = 5000


@pytest.mark.parametrize("name", HELD)
def test_every_store_of_keytool_is_read_as_keytool_reads_it(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
    snapshot = read(data, PASSWORD)
    assert {alias: kind for alias, (kind, _) in shown(snapshot).items()} == HELD[name]
    assert snapshot.store_type == {".jks": "JKS", ".jceks": "JCEKS", ".p12": "PKCS12"}[Path(name).suffix]
    assert snapshot.exists
    assert snapshot.integrity_checked == (name != "passwordless.p12")
    k1, t1 = snapshot.entry("K1"), snapshot.entry("t1")
    assert k1 is not None and k1.certificate == LEAF.der  # noqa: PT018 - the second needs the first
    assert t1 is not None and t1.certificate == TRUSTED.der  # noqa: PT018 - as above
    assert (t1.created is None) == (snapshot.store_type is StoreType.PKCS12)
    assert t1.created is None or abs(t1.created - datetime.now(UTC)) < timedelta(hours=1)


@pytest.mark.parametrize("name", HELD)
def test_without_a_password_is_seen_what_a_jvm_sees(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
    blind, open_ = read(data), read(data, PASSWORD)
    assert not blind.integrity_checked
    assert blind.locked == (name in LOCKED)
    assert blind.anchors == open_.anchors
    assert any("encrypted" in note for note in blind.notes) == (name in LOCKED)
    assert any("nothing to trust" in note for note in blind.notes) == (name in {*LOCKED, "keys.jceks"})
    assert not open_.locked
    assert len(open_.notes) == (2 if name in {*LOCKED, "keys.jceks"} else 0)


def test_the_anchors_are_those_of_a_jvm_that_has_no_password(stores: Stores, java: Path, tmp_path: Path) -> None:
    mixed = jks.KeyStore("jks", {})
    mixed.entries["MyRoot"] = jks.TrustedCertEntry(alias="MyRoot", timestamp=1, store_type="jks", type="X.509", cert=NEW.der)
    kinds = [f"{what} {how}" for what in ("truststore", "bundle", "key") for how in ("plain", "best", "3des")]
    made = {kind: from_cryptography(kind) for kind in kinds} | {
        "unnamed": from_cryptography("truststore plain", named=False),
        "empty": rewrite(None),
        "new": rewrite(None, {"a": NEW.der, "ä \N{GRINNING FACE}": ROOT.der, "": TRUSTED.der}),
        "mixed case": mixed.saves(PASSWORD),
        "twice in JKS": rewrite(None, {"aa": NEW.der, "bb": ROOT.der}).replace(b"\0\2bb", b"\0\2aa"),
        "twice in PKCS12": TWICE,
        "once seen in PKCS12": rewrite(sealed_with_pbmac1(from_cryptography("truststore best")), {"new": NEW.der}),
    }
    for name in HELD:
        data = (stores.folder / name).read_bytes()
        made |= {name: data} | ({f"{name} and one": rewrite(data, {"new": NEW.der})})
    for number, data in enumerate(made.values()):
        (tmp_path / str(number)).write_bytes(data)
    # A self-signed CA is trusted where it is an anchor, and nowhere else.
    asked = [(number, name, ca.der) for number, name in enumerate(made) for ca in (ROOT, TRUSTED, NEW)]
    verdicts = jvm_verdicts([JvmCase((der,), tmp_path / str(number)) for number, _, der in asked], java=java)
    java_trusts = {(name, der): verdict.trusted for (_, name, der), verdict in zip(asked, verdicts, strict=True)}
    assert java_trusts == {(name, der): der in read(made[name]).anchors for _, name, der in asked}
    assert {True, False} == set(java_trusts.values())


CRYPTOGRAPHY_MADE = [
    ("truststore", True, {"root ca": "trustedCertEntry", "größte ca": "trustedCertEntry"}),
    ("truststore", False, {"1": "trustedCertEntry", "2": "trustedCertEntry"}),
    ("bundle", True, {"root ca": EntryKind.NOT_TRUSTED, "größte ca": EntryKind.NOT_TRUSTED}),
    ("bundle", False, {"1": EntryKind.NOT_TRUSTED, "2": EntryKind.NOT_TRUSTED}),
    ("key", True, {"own": "PrivateKeyEntry", "größte ca": EntryKind.NOT_TRUSTED}),
]


@pytest.mark.parametrize("protection", ["plain", "best", "3des", "aes"])
@pytest.mark.parametrize(("what", "named", "held"), CRYPTOGRAPHY_MADE)
def test_stores_made_by_cryptography_are_read_with_their_kinds(
    what: str, *, named: bool, held: dict[str, str], protection: str
) -> None:
    data = from_cryptography(f"{what} {protection}", named=named)
    password = "" if protection == "plain" else PASSWORD  # NoEncryption seals with the empty password
    snapshot = read(data, password)
    assert {alias: kind for alias, (kind, _) in shown(snapshot).items()} == held
    assert snapshot.integrity_checked
    assert bool(snapshot.anchors) == (what == "truststore" and protection == "plain")
    assert read(data).locked == (protection != "plain")
    if protection == "plain":
        assert shown(read(data)) == shown(snapshot)
    with pytest.raises(WrongPassword):
        read(data, "something else")


def test_java_counts_through_what_it_trusts_and_not_what_it_passes_over(stores: Stores, tmp_path: Path) -> None:
    bundle, trusted = (unsealed(from_cryptography(f"{what} best", named=False)) for what in ("bundle", "truststore"))
    (safe_of_bundle, safe_of_trusted) = (next(e for e in inside(data) if e.tag == ber.OCTET_STRING) for data in (bundle, trusted))
    parts = [
        part.raw for safe in (safe_of_bundle, safe_of_trusted) for part in ber.elements(ber.elements(safe.content)[0].content)
    ]
    both = replaced(bundle, safe_of_bundle.raw, ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, *parts)))
    snapshot = read(both, PASSWORD)
    assert [(entry.alias, entry.kind == EntryKind.TRUSTED) for entry in snapshot.entries] == [
        ("1", True), ("2", True), ("3", False), ("4", False),
    ]  # fmt: skip
    (tmp_path / "both").write_bytes(both)
    assert stores.listed(tmp_path / "both") == {alias: shown(snapshot)[alias] for alias in "12"}


def test_a_key_without_its_chain_is_another_entry() -> None:
    def key_of(data: bytes) -> keystore.Entry | None:
        return read(data).entry("own")

    with_chain, alone = (
        pkcs12.serialize_key_and_certificates(b"own", LEAF.key, LEAF.certificate, chain, NoEncryption())
        for chain in ([ROOT.certificate], [])
    )
    assert key_of(with_chain) != key_of(alone)
    assert key_of(alone) is not None


def test_a_certificate_in_another_form_than_x509_is_no_entry() -> None:
    x509, sdsi = (ber.encode(ber.OID, bytes.fromhex(f"2a864886f70d010916{form}")) for form in ("01", "02"))
    data = from_cryptography("truststore plain")
    assert read(replaced(data, x509, sdsi)).entries == ()
    assert len(read(data).entries) == 2


def test_a_certificate_whose_name_is_malformed_is_read_all_the_same(stores: Stores) -> None:
    data = (stores.folder / "passwordless.p12").read_bytes()
    name = LEAF.certificate.subject.public_bytes()
    value = b"\x0c\x10mail.example.com"
    assert value in name
    for tag in range(256):
        snapshot = read(data.replace(value, bytes([tag]) + value[1:]))
        assert [entry.alias for entry in snapshot.entries if entry.anchor] == ["k1", "k2", "t1"]


def test_an_encrypted_part_with_nothing_in_it_does_not_open() -> None:
    data = unsealed(from_cryptography("truststore aes"))
    encrypted = next(element for element in inside(data) if element.tag == 0x80)
    with pytest.raises(WrongPassword, match="the padding is wrong"):
        read(replaced(data, encrypted.raw, ber.encode(0x80)), PASSWORD)


def test_a_file_that_is_not_there_is_a_snapshot_too(tmp_path: Path) -> None:
    snapshot = read_keystore(tmp_path / "none.ks", "changeit")
    assert (snapshot.exists, snapshot.sha256, snapshot.entries, snapshot.store_type) == (False, None, (), StoreType.JKS)
    assert "does not exist" in snapshot.notes[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty (0 bytes)"),
        (b"some\n-----BEGIN CERTIFICATE-----\n", "this is PEM"),
        (b"hello\x1b[31m", r"hello\\x1b"),
        (b"\x30\x05abc", "neither JKS"),
        (b"\xfe\xed\xfe\xed", "damaged"),
        (b"\xfe\xed\xfe\xed\0\0\0\1\0\0\0\0", "version"),
        (b"\xce\xce\xce\xce\0\0\0\2\0\0\0\1", "damaged"),
        (b"\x30\x84\xff\xff\xff\xff", "beyond the end"),
        (b"\x30\x80\x02\x01\x03\0\0", "indefinite form, which is not read here"),
        (NEW.der, "damaged or unusual PKCS12"),
        (ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, b"\3"), EMPTY_PART), "damaged or unusual PKCS12"),
    ],
)
def test_what_is_no_keystore_is_named(data: bytes, said: str) -> None:
    for password in (None, PASSWORD):
        with pytest.raises(UnreadableKeystore) as caught:
            read(data, password)
        assert str(caught.value).startswith(f"{HERE}: ")
        assert said in str(caught.value)


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path, open_folder: Path) -> None:
    with pytest.raises(UnreadableKeystore, match=r"cannot be read: Is a directory"):
        read_keystore(tmp_path)
    store = open_folder / "secret.ks"
    store.write_bytes(rewrite(None, {"new": NEW.der}))
    store.chmod(0)
    assert (
        as_nobody(lambda: read_keystore(store)) == f"UnreadableKeystore: {store}: the keystore cannot be read: Permission denied"
    )
    with pytest.raises(UnreadableKeystore, match="cannot be read: it is no regular file"):
        read_keystore("/dev/zero")


@pytest.mark.parametrize("name", HELD)
def test_a_wrong_password_is_told_from_a_damaged_file(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
    for password in ("wrong", "", PASSWORD.upper(), "pässwörd€"):
        if name == "passwordless.p12":
            assert shown(read(data, password)) == shown(read(data))
            continue
        with pytest.raises(WrongPassword) as caught:
            read(data, password)
        assert "wrong" in str(caught.value)
    if name in LOCKED:
        with pytest.raises(WrongPassword, match=r"does not open|wrong"):
            read(unsealed(data), "wrong")
        assert shown(read(unsealed(data), PASSWORD)) == shown(read(data, PASSWORD))


@pytest.mark.parametrize("password", ["", "changeit", "pässwörd€", "😀", "x" * 300])
def test_a_password_may_be_anything(password: str) -> None:
    made = rewrite(None, {"new": NEW.der}, password=password)
    assert read(made, password).integrity_checked
    with pytest.raises(WrongPassword):
        read(made, password + "x")
    if password:  # as OpenSSL and Java derive it
        theirs = pkcs12.serialize_java_truststore(
            [pkcs12.PKCS12Certificate(NEW.certificate, b"new")], BestAvailableEncryption(password.encode())
        )
        assert shown(read(theirs, password)) == shown(read(made, password))


@pytest.mark.parametrize("rounds", [0, 5_000_001, 2_000_000_000, 1 << 200])
@pytest.mark.parametrize("where", ["mac", "aes", "3des"])
def test_an_iteration_count_that_nobody_could_wait_for_is_refused(where: str, rounds: int) -> None:
    data = from_cryptography("truststore best" if where == "mac" else f"truststore {where}")
    old = 2048 if where == "mac" else 65_536
    count = ber.encode(ber.INTEGER, rounds.to_bytes(rounds.bit_length() // 8 + 1, "big"))
    plain_count = ber.encode(ber.INTEGER, old.to_bytes(old.bit_length() // 8 + 1, "big"))
    hostile = replaced(data if where == "mac" else unsealed(data), plain_count, count)
    assert hostile != data
    with pytest.raises(UnreadableKeystore if where == "mac" else WrongPassword, match="more iterations than the 5,000,000"):
        read(hostile, PASSWORD)


@pytest.mark.parametrize("position", ["entries", "chain", "key", "certificate"])
def test_a_count_of_four_billion_is_damage_and_no_wait(position: str, stores: Stores) -> None:
    data = bytearray((stores.folder / "keys.jks").read_bytes())
    at = {"entries": 8, "chain": data.index(b"\0\0\0\x02\0\x05X.509"), "certificate": data.index(LEAF.der) - 4}
    at["key"] = data.index(b"\0\x02k1") + 4 + 8
    data[at[position] : at[position] + 4] = b"\xff" * 4
    with pytest.raises(UnreadableKeystore):
        read(bytes(data))


@pytest.mark.parametrize("name", [*HELD, "new.jks"])
def test_a_truncated_store_is_never_taken_for_a_smaller_one(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes() if name in HELD else rewrite(None, {"new": NEW.der})
    seal = 0 if name.endswith("p12") else 20  # Java without a password does not miss the digest at the end either
    for length in range(0, len(data) - seal, 1 if name.endswith("jks") else 17):
        with pytest.raises(UnreadableKeystore):
            read(data[:length])


@settings(max_examples=300, deadline=SECONDS)
@given(
    name=st.sampled_from([*HELD, "unsealed", "truststore plain"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=5)), max_size=4),
    cut=st.floats(0, 0.9),
    password=st.sampled_from([None, PASSWORD]),
)
def test_a_damaged_store_is_a_snapshot_or_an_error_of_the_kit(
    stores: Stores, name: str, changes: list[tuple[float, bytes]], cut: float, password: str | None
) -> None:
    if name == "unsealed":
        data = bytearray(unsealed((stores.folder / "aes.p12").read_bytes()))
    else:
        data = bytearray((stores.folder / name).read_bytes() if name in HELD else from_cryptography(name))
    for where, bits in changes:
        start = int(where * len(data))
        data[start : start + len(bits)] = bits
    if cut > 0.7:
        data = data[: int(cut * len(data))]
    try:
        snapshot = read(bytes(data), password)
    except KitError:
        return
    assert isinstance(snapshot, Snapshot)


@settings(max_examples=200, deadline=SECONDS)
@given(
    start=st.sampled_from([b"", b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1", b"\xce\xce\xce\xce\0\0\0\2\0\0\0\1\0\0\0\3\0\1a", b"\x30"]),
    rest=st.binary(),
)
def test_random_bytes_are_a_snapshot_or_an_error_of_the_kit(start: bytes, rest: bytes) -> None:
    with pytest.raises(KitError):
        read(start + rest + b"\0")
