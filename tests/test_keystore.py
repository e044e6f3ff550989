"""JKS and PKCS12 read and rewritten; keytool made most of the stores, and it and the JVM have the last word on ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import jks
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import EntryKind, KitError, Snapshot, StoreType, ber, keystore, read_keystore
from allegra_tls_kit.errors import PasswordNeeded, PlanRefused, UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.jvm import JvmCase, jvm_verdicts
from allegra_tls_kit.keystore import Edit
from tests.stores import HELD, KEY_PASSWORD, LEAF, NEW, PASSWORD, ROOT, TRUSTED
from tests.unprivileged import as_nobody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

    from tests.stores import Stores

AT = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
HERE = Path("some.ks")
WRITABLE = sorted(HELD.keys() - {"keys.jceks"})
BITE = {"aes.p12", "legacy.p12"}
"""The stores whose certificates are encrypted."""
SECONDS = 5000
ALIASES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=30).map(str.lower)
CERTIFICATES = st.sampled_from([ROOT.der, LEAF.der, TRUSTED.der, NEW.der])


def read(data: bytes, password: str | None = None) -> Snapshot:
    return keystore.read(data, HERE, password)


def rewrite(data: bytes | None, add: Mapping[str, bytes] = {}, *remove: str, password: str | None = PASSWORD) -> bytes:
    return keystore.rewrite(data, HERE, password, Edit(add, frozenset(remove), AT))


def shown(snapshot: Snapshot) -> dict[str, tuple[str, str | None]]:
    return {entry.alias: (entry.kind.value, entry.sha256) for entry in snapshot.entries}


@lru_cache
def from_cryptography(kind: str, *, named: bool = True) -> bytes:
    """`bundle` is what `serialize_key_and_certificates` makes of CAs, `key` of a key and CAs; `truststore` is for Java."""
    what, _, protection = kind.partition(" ")
    encryption: KeySerializationEncryption = (
        NoEncryption() if protection == "plain" else BestAvailableEncryption(PASSWORD.encode())
    )
    if protection == "3des":
        builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        encryption = builder.kdf_rounds(65_536).hmac_hash(hashes.SHA1()).build(PASSWORD.encode())
    if protection == "aes":
        builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        encryption = builder.kdf_rounds(65_536).build(PASSWORD.encode())
    names = [b"Root CA", "Größte CA".encode()] if named else [None, None]
    cas = [pkcs12.PKCS12Certificate(issued.certificate, name) for issued, name in zip([ROOT, TRUSTED], names, strict=True)]
    if what == "truststore":
        return pkcs12.serialize_java_truststore(cas, encryption)
    if what == "bundle":
        return pkcs12.serialize_key_and_certificates(None, None, None, cas, encryption)
    return pkcs12.serialize_key_and_certificates(b"Own", LEAF.key, LEAF.certificate, cas, encryption)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Put one DER element in the place of another, all lengths around it made to fit."""
    made = b""
    for element in ber.elements(data):
        inside = old in element.content and (element.tag & 0x20 or element.tag == ber.OCTET_STRING)
        made += (
            new if element.raw == old else ber.encode(element.tag, replaced(element.content, old, new)) if inside else element.raw
        )
    return made


def unsealed(data: bytes) -> bytes:
    """Take the MAC off a PKCS12 file."""
    return ber.encode(ber.SEQUENCE, *(part.raw for part in ber.elements(ber.element(data, ber.SEQUENCE).content)[:2]))


# --- reading ---------------------------------------------------------------------------------------------------------------


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
    assert blind.locked == (name in BITE)
    assert blind.anchors == open_.anchors
    assert any("encrypted" in note for note in blind.notes) == (name in BITE)
    assert any("nothing to trust" in note for note in blind.notes) == (name in {*BITE, "keys.jceks"})
    assert not open_.locked


def test_the_anchors_are_those_of_a_jvm_that_has_no_password(stores: Stores, java: Path, tmp_path: Path) -> None:
    mixed = jks.KeyStore("jks", {})
    mixed.entries["MyRoot"] = jks.TrustedCertEntry(alias="MyRoot", timestamp=1, store_type="jks", type="X.509", cert=NEW.der)
    kinds = [f"{what} {how}" for what in ("truststore", "bundle", "key") for how in ("plain", "best", "3des")]
    made = {kind: from_cryptography(kind) for kind in kinds} | {
        "unnamed": from_cryptography("truststore plain", named=False),
        "empty": rewrite(None),
        "new": rewrite(None, {"a": NEW.der, "ä ö": ROOT.der, "": TRUSTED.der}),
        "mixed case": mixed.saves(PASSWORD),
    }
    for name in HELD:
        data = (stores.folder / name).read_bytes()
        made |= {name: data} | ({f"{name} and one": rewrite(data, {"new": NEW.der})} if name in WRITABLE else {})
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
        (b"\x30\x80\x02\x01\x03\0\0", "not read here"),
        (NEW.der, "damaged or unusual PKCS12"),
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
    with pytest.raises(UnreadableKeystore, match="more than 64 MB"):
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
    if name in BITE:
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


@pytest.mark.parametrize("name", HELD)
def test_a_truncated_store_is_never_taken_for_a_smaller_one(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
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


# --- rewriting -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*WRITABLE, "truststore plain", "bundle best"])
def test_an_added_certificate_is_trusted_and_all_else_is_as_it_was_for_keytool_too(
    name: str, stores: Stores, tmp_path: Path
) -> None:
    data = (stores.folder / name).read_bytes() if name in HELD else from_cryptography(name)
    password = "" if name == "truststore plain" else PASSWORD
    before, made = read(data, password), rewrite(data, {"New-Root": NEW.der}, password=password)
    after = read(made, password)
    (new,) = (entry for entry in after.entries if entry.certificate == NEW.der)
    assert tuple(entry for entry in after.entries if entry is not new) == before.entries
    assert (new.alias, new.kind, new.certificate, new.anchor) == ("new-root", EntryKind.TRUSTED, NEW.der, True)
    assert new.created == (AT if after.store_type is StoreType.JKS else None)
    assert (after.store_type, after.integrity_checked) == (before.store_type, before.integrity_checked)
    assert rewrite(made, {}, "new-root", password=password) == data
    if password:  # keytool takes none that is shorter than six
        store = tmp_path / "store"
        store.write_bytes(made)
        seen = {alias: entry for alias, entry in shown(after).items() if entry[0] != EntryKind.NOT_TRUSTED}
        assert stores.listed(store) == seen


@pytest.mark.parametrize("name", ["keys.jks", "aes.p12"])
def test_a_private_key_is_still_usable_with_its_own_password(name: str, stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / name
    store.write_bytes(rewrite((stores.folder / name).read_bytes(), {"new": NEW.der}))
    own = ("-keypass:env", "KEYPASS") if name == "keys.jks" else ()
    request = stores.keytool("-certreq", "-alias", "k1", "-keystore", store, "-storepass:env", "STOREPASS", *own)
    assert "BEGIN NEW CERTIFICATE REQUEST" in request
    assert KEY_PASSWORD != PASSWORD


def test_a_trusted_entry_of_jks_keeps_its_date_and_place(stores: Stores) -> None:
    data = (stores.folder / "keys.jks").read_bytes()
    made = rewrite(rewrite(data, {"b": NEW.der, "a": ROOT.der}), {"c": LEAF.der}, "b")
    before, after = read(data, PASSWORD), read(made, PASSWORD)
    assert after.entries[:2] == before.entries
    assert [(entry.alias, entry.created) for entry in after.entries[2:]] == [("a", AT), ("c", AT)]


@pytest.mark.parametrize("start", [None, "truststore plain", "bundle best", "key best"])
@settings(max_examples=25, deadline=SECONDS)
@given(first=st.dictionaries(ALIASES, CERTIFICATES, max_size=5), second=st.dictionaries(ALIASES, CERTIFICATES, max_size=5))
def test_adding_and_removing_is_the_identity(start: str | None, first: dict[str, bytes], second: dict[str, bytes]) -> None:
    password = "" if start == "truststore plain" else PASSWORD
    data = None if start is None else from_cryptography(start)
    taken = set() if data is None else {entry.alias for entry in read(data, password).entries}
    first = {alias: der for alias, der in first.items() if alias not in taken}
    second = {alias: der for alias, der in second.items() if alias not in {*taken, *first}}
    before = rewrite(data, first, password=password)
    both = rewrite(before, second, password=password)
    trusted = {entry.alias: entry.certificate for entry in read(both, password).entries if entry.alias not in taken}
    assert trusted == first | second
    assert rewrite(both, {}, *second, password=password) == before
    if data is not None:
        assert rewrite(before, {}, *first, password=password) == data


@pytest.mark.parametrize("name", [*WRITABLE, "new"])
@pytest.mark.parametrize("add", [{"T1": NEW.der}, {"K1": NEW.der}, {"a": NEW.der, "A": ROOT.der}])
def test_an_alias_that_is_taken_in_any_case_is_refused(name: str, add: dict[str, bytes], stores: Stores) -> None:
    data = rewrite(None, {"t1": TRUSTED.der, "k1": ROOT.der}) if name == "new" else (stores.folder / name).read_bytes()
    with pytest.raises(PlanRefused, match="is taken"):
        rewrite(data, add)


@pytest.mark.parametrize("alias", ["😀", "\ud83d", "x" * 65_536, "é" * 32_768], ids=["emoji", "half", "long", "wide"])
@pytest.mark.parametrize("start", [None, "truststore best"])
def test_an_alias_that_java_would_not_read_back_is_refused(alias: str, start: str | None) -> None:
    data = None if start is None else from_cryptography(start)
    with pytest.raises(WouldLose, match="letters and digits") as caught:
        rewrite(data, {alias: NEW.der})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "password", "remove", "error"),
    [
        ("keys.jks", None, (), PasswordNeeded),
        ("mac-only.p12", None, (), PasswordNeeded),
        ("keys.jks", "wrong", (), WrongPassword),
        ("mac-only.p12", "wrong", (), WrongPassword),
        ("keys.jceks", PASSWORD, (), WouldLose),
        ("aes.p12", PASSWORD, ("t1",), WouldLose),
        ("mac-only.p12", PASSWORD, ("k1",), WouldLose),
        ("mac-only.p12", PASSWORD, ("s1",), WouldLose),
        ("mac-only.p12", PASSWORD, ("cn=root ca",), WouldLose),
        ("mac-only.p12", PASSWORD, ("",), WouldLose),
    ],
)
def test_what_cannot_be_written_without_loss_is_refused(
    name: str, password: str | None, remove: tuple[str, ...], error: type[KitError], stores: Stores
) -> None:
    with pytest.raises(error) as caught:
        rewrite((stores.folder / name).read_bytes(), {"new": NEW.der}, *remove, password=password)
    assert not password or password not in str(caught.value).split()


def test_a_certificate_without_a_name_is_removed_by_the_number_java_gives_it() -> None:
    data = from_cryptography("truststore plain", named=False)
    assert [entry.certificate for entry in read(rewrite(data, {}, "1", password=""), "").entries] == [TRUSTED.der]


def test_two_aliases_of_jks_that_differ_in_case_only_are_told_and_not_rewritten() -> None:
    store = jks.KeyStore("jks", {})
    for alias in ("Root", "root"):
        store.entries[alias] = jks.TrustedCertEntry(alias=alias, timestamp=1, store_type="jks", type="X.509", cert=NEW.der)
    data = store.saves(PASSWORD)
    assert "upper-case" in read(data).notes[0]
    assert [entry.anchor for entry in read(data).entries] == [False, True]
    with pytest.raises(WouldLose, match="differ in case only"):
        rewrite(data, {"new": NEW.der})
