"""Stores as they are in the field, old and new, large and odd: read and rewritten, or refused with what would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jks
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import EntryKind, Journal, StoreType, ber, plan_import, read_keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import UnreadableKeystore, WouldLose, WrongPassword
from allegra_tls_kit.pkcs12_encryption import decrypt, encrypt_like
from tests.changing import go
from tests.keystore_bytes import (
    AT,
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
from tests.stores import HELD, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores import Stores

SMILE = "\N{GRINNING FACE}"
ALIASES = ["my root", "größte-ÄÖÜ ẞ", f"{SMILE} smile", "日本の認証局", "MyRoot", "-noprompt", "x" * 60_000]
SECONDS = 5000


@pytest.mark.parametrize("store_type", StoreType)
def test_whatever_alias_keytool_takes_is_read_and_rewritten(store_type: StoreType, stores: Stores, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.ks", tmp_path / "theirs"
    ours.write_bytes(rewrite(None, dict.fromkeys(ALIASES, ROOT.der)))
    passwords = ("-srcstorepass:env", "STOREPASS", "-deststorepass:env", "STOREPASS")
    names = ("-srckeystore", ours, "-destkeystore", theirs, "-deststoretype", store_type)
    stores.keytool("-importkeystore", "-noprompt", *names, *passwords)
    expected = {alias.lower(): ("trustedCertEntry", read(ours.read_bytes()).anchors[0]) for alias in ALIASES}
    before = read(theirs.read_bytes(), PASSWORD)
    assert {entry.alias: (entry.kind, entry.certificate) for entry in before.entries} == expected
    made = rewrite(theirs.read_bytes(), {f"New {SMILE} root": NEW.der})
    assert rewrite(made, {}, f"new {SMILE} root") == theirs.read_bytes()
    theirs.write_bytes(made)
    assert stores.listed(theirs) == shown(read(made, PASSWORD))


@settings(max_examples=100, deadline=SECONDS)
@given(
    entries=st.dictionaries(
        st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20).map(str.lower),
        st.sampled_from([ROOT.der, NEW.der]),
        max_size=5,
    ),
    password=st.text(max_size=20),
)
def test_another_library_reads_what_is_written_and_writes_the_same(entries: dict[str, bytes], password: str) -> None:
    made = rewrite(None, entries, password=password)
    theirs = jks.KeyStore.loads(made, password)
    assert {alias: entry.cert for alias, entry in theirs.certs.items()} == entries
    assert theirs.saves(password) == made


def test_the_keys_of_jceks_stay_as_they_are_and_open_with_their_own_password(stores: Stores, tmp_path: Path) -> None:
    store, copy = tmp_path / "own.jceks", tmp_path / "copy.jceks"
    where = ("-keystore", store, "-storetype", "JCEKS", "-storepass:env", "STOREPASS", "-keypass:env", "KEYPASS")
    stores.keytool("-genseckey", "-alias", "triple", "-keyalg", "DESede", *where)
    stores.keytool("-genkeypair", "-alias", "pair", "-keyalg", "EC", "-dname", "CN=pair", *where)
    before = store.read_bytes()
    store.write_bytes(rewrite(before, {"new": NEW.der}))
    passwords = ("-srcstorepass:env", "STOREPASS", "-deststorepass:env", "STOREPASS")
    target = ("-destkeystore", copy, "-deststoretype", "JCEKS", "-destkeypass:env", "KEYPASS", "-srckeypass:env", "KEYPASS")
    stores.keytool("-importkeystore", "-noprompt", "-srckeystore", store, "-srcalias", "triple", *target, *passwords)
    request = stores.keytool("-certreq", "-alias", "pair", *where)
    assert "BEGIN NEW CERTIFICATE REQUEST" in request
    theirs = jks.KeyStore.loads(store.read_bytes(), PASSWORD, try_decrypt_keys=False)
    assert sorted(theirs.entries) == ["new", "pair", "triple"]
    kinds = {entry.alias: entry.kind for entry in read(before, PASSWORD).entries}
    assert kinds == {"pair": EntryKind.PRIVATE_KEY, "triple": EntryKind.SECRET_KEY}


def test_the_cacerts_of_the_java_at_hand_is_read_and_rewritten(stores: Stores, tmp_path: Path) -> None:
    cacerts = next(stores.program.parents[1].glob("**/security/cacerts")).read_bytes()
    snapshot = read(cacerts, "changeit")
    store = tmp_path / "cacerts"
    store.write_bytes(rewrite(cacerts, {"new": NEW.der}, password="changeit"))
    assert stores.listed(store, "CHANGEIT") == shown(snapshot) | {"new": ("trustedCertEntry", sha256_of(NEW.der))}
    assert set(read(store.read_bytes()).anchors) == {*snapshot.anchors, NEW.der}


# --- passwords and seals ---------------------------------------------------------------------------------------------------


def test_a_password_beyond_ascii_is_cut_to_seven_bits_by_the_old_ciphers_of_java(stores: Stores, tmp_path: Path) -> None:
    as_java_cuts_it, password = "sC)same", "sésame"
    assert bytes(octet & 0x7F for octet in password.encode()).decode() == as_java_cuts_it
    store = tmp_path / "old.p12"
    given = ("-srcstorepass:env", "STOREPASS", "-deststorepass", as_java_cuts_it)
    names = ("-srckeystore", stores.folder / "legacy.p12", "-destkeystore", store)
    stores.keytool("-J-Dkeystore.pkcs12.legacy", "-importkeystore", "-noprompt", *names, *given)
    data = unsealed(store.read_bytes())
    kinds = {entry.alias: entry.kind for entry in read(data, password).entries}
    assert kinds == HELD["legacy.p12"]
    less = rewrite(data, {}, "t1", password=password)
    assert {entry.alias for entry in read(less, as_java_cuts_it).entries} == kinds.keys() - {"t1"}
    with pytest.raises(WrongPassword):
        read(data, "sèsame")


@pytest.mark.parametrize("name", ["aes.p12", "legacy.p12", "truststore 3des", "truststore aes"])
def test_a_part_that_is_opened_and_closed_is_the_same_part(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes() if name in HELD else from_cryptography(name)
    kind = ber.encode(ber.OID, bytes.fromhex("2a864886f70d010706"))
    parts = [ber.elements(e.content)[1].content for e in inside(data) if e.tag == ber.SEQUENCE and e.content.startswith(kind)]
    assert len(parts) == 1
    assert encrypt_like(parts[0], PASSWORD, decrypt(parts[0], PASSWORD)) == parts[0]


@pytest.mark.parametrize("start", [None, "keys.jks", "aes.p12"])
def test_a_password_that_came_in_another_encoding_is_no_text(start: str | None, stores: Stores) -> None:
    data = None if start is None else (stores.folder / start).read_bytes()
    garbled = b"p\xe4ssword".decode("utf-8", "surrogateescape")
    with pytest.raises(WrongPassword, match="set LC_ALL"):
        rewrite(data, {"new": NEW.der}, password=garbled)
    if data is not None:
        with pytest.raises(WrongPassword, match="set LC_ALL"):
            read(data, garbled)


@pytest.mark.parametrize("function", ["sha1", "sha224", "sha256", "sha384", "sha512"])
def test_a_seal_by_pbmac1_is_checked_and_renewed_as_openssl_checks_it(function: str) -> None:
    data = sealed_with_pbmac1(from_cryptography("truststore best"), function)
    before, made = read(data, PASSWORD), rewrite(data, {"new": NEW.der})
    assert before.integrity_checked
    assert shown(read(made, PASSWORD)) == shown(before) | {"new": ("trustedCertEntry", sha256_of(NEW.der))}
    assert NEW.certificate in [each.certificate for each in pkcs12.load_pkcs12(made, PASSWORD.encode()).additional_certs]
    assert rewrite(made, {}, "new") == data
    with pytest.raises(WrongPassword):
        read(data, "something else")


@pytest.mark.parametrize(
    ("rounds", "size", "said"),
    [(5_000_001, 32, "more iterations than the 5,000,000"), (1, 65, "64 bytes"), (1, None, "no length")],
)
def test_a_seal_by_pbmac1_that_nobody_could_wait_for_is_refused(rounds: int, size: int | None, said: str) -> None:
    data = sealed_with_pbmac1(from_cryptography("truststore plain"), rounds=rounds, size=size)
    assert len(read(data).anchors) == 2
    with pytest.raises(UnreadableKeystore, match=said):
        read(data, PASSWORD)


def test_a_seal_of_a_kind_that_nobody_knows_is_refused_and_read_without_a_password() -> None:
    data = from_cryptography("truststore plain")
    (sha256,) = {e.raw for e in inside(data) if e.raw == ber.encode(ber.OID, bytes.fromhex("608648016503040201"))}
    odd = replaced(data, sha256, ber.encode(ber.OID, bytes.fromhex("608648016503040209")))
    assert len(read(odd).anchors) == 2
    for attempt in (lambda: read(odd, ""), lambda: rewrite(odd, {"new": NEW.der}, password="")):
        with pytest.raises(UnreadableKeystore, match="sealed in a way that is not read here; use keytool"):
            attempt()


# --- aliases that are one to Java ------------------------------------------------------------------------------------------


def test_of_two_entries_of_pkcs12_with_one_alias_java_finds_the_last() -> None:
    snapshot = read(TWICE)
    assert [(entry.alias, entry.anchor) for entry in snapshot.entries if entry.alias == "aa"] == [("aa", False), ("aa", True)]
    assert snapshot.entry("AA") == snapshot.entries[-1]
    assert any("alias aa; Java finds the last" in note for note in snapshot.notes)
    assert read(rewrite(TWICE, {"new": ROOT.der})).entries[:-1] == snapshot.entries


def test_of_two_entries_of_jks_with_one_alias_one_is_found_and_nothing_is_rewritten() -> None:
    data = rewrite(None, {"aa": NEW.der, "bb": ROOT.der}).replace(b"\0\2bb", b"\0\2aa")
    snapshot = read(data)
    assert [(entry.alias, entry.anchor) for entry in snapshot.entries] == [("aa", False), ("aa", True)]
    assert any("more than one entry has the alias aa" in note for note in snapshot.notes)
    sealed = jks.KeyStore("jks", {})
    for alias in ("Aa", "aA"):
        sealed.entries[alias] = jks.TrustedCertEntry(alias=alias, timestamp=1, store_type="jks", type="X.509", cert=NEW.der)
    with pytest.raises(WouldLose, match=r"\(aa\); Java finds one of them at most, and the others would be lost; make the store"):
        rewrite(sealed.saves(PASSWORD), {"new": NEW.der})


def test_an_alias_that_others_write_and_java_does_not_read_is_named() -> None:
    data = rewrite(None, {"xxxx": NEW.der}).replace(b"xxxx", SMILE.encode())
    with pytest.raises(UnreadableKeystore, match="plain UTF-8, which Java does not read"):
        read(data)


def test_a_zero_and_half_a_character_in_an_alias_are_kept_as_java_wrote_them() -> None:
    data = rewrite(None, {"\0": NEW.der, "zzz": ROOT.der}).replace(b"zzz", b"\xed\xa0\xbd")
    assert b"\0\2\xc0\x80" in data
    assert [entry.alias for entry in read(data).entries] == ["\0", "\ud83d"]
    bmp = unsealed(from_cryptography("truststore plain")).replace("Root CA".encode("utf-16-be"), b"\xd8\x3d" + b"\0a" * 6)
    assert read(bmp).entries[0].alias == "\ud83daaaaaa"
    assert read(rewrite(bmp, {"new": NEW.der})).entries[:2] == read(bmp).entries


# --- size ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, "mac-only.p12"])
def test_ten_thousand_entries_are_read_planned_and_changed(
    start: str | None, stores: Stores, journal: Journal, tmp_path: Path
) -> None:
    many = {f"entry {number}": TRUSTED.der for number in range(10_000)}
    path = tmp_path / "large"
    path.write_bytes(rewrite((stores.folder / start).read_bytes() if start else None, many))
    before = read_keystore(path, lambda: PASSWORD)
    go(plan_import(before, [NEW.der], purpose="one more", aliases=["one more"]), journal)
    after = stores.listed(path)
    assert after.pop("one more") == ("trustedCertEntry", sha256_of(NEW.der))
    assert after == shown(before)
    assert len(after) >= 10_000


def in_one_key(*attributes: bytes) -> bytes:
    """A bag of PKCS12 with an empty key in it."""
    kind = ber.encode(ber.OID, bytes.fromhex("2a864886f70d010c0a0102"))
    return ber.encode(ber.SEQUENCE, kind, ber.encode(ber.CONTEXT_0, b"\5\0"), ber.encode(ber.SET, *attributes))


def in_parts(*bags: bytes) -> bytes:
    """A PKCS12 file without a seal, each of these in a part of its own."""
    data = ber.encode(ber.OID, bytes.fromhex("2a864886f70d010701"))

    def wrapped(content: bytes) -> bytes:
        octets = ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, content))
        return ber.encode(ber.SEQUENCE, data, ber.encode(ber.CONTEXT_0, octets))

    return ber.encode(ber.SEQUENCE, b"\2\1\3", wrapped(b"".join(map(wrapped, bags))))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xfe\xed\xfe\xed\0\0\0\2\0\1\x86\xa1", "100,001 entries, more than the 100,000"),
        (b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1\0\0\0\1\0\1a" + b"\0" * 12 + b"\0\0\0\x65", "a chain of 101 certificates"),
        (ber.encode(ber.SEQUENCE, b"\5\0" * 100_001), "more than 100,000 elements side by side"),
        (in_parts(in_one_key() * 60_000, in_one_key() * 40_001), "more than 100,000 certificates and keys"),
        (in_parts(in_one_key(*[ber.encode(ber.SEQUENCE, b"\6\0\x31\0")] * 101)), "more than 100 elements side by side"),
    ],
    ids=["entries", "chain", "elements", "parts", "attributes"],
)
def test_more_than_anybody_has_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UnreadableKeystore, match=said):
        read(data)


def test_a_key_with_a_hundred_attributes_is_an_entry() -> None:
    assert len(read(in_parts(in_one_key(*[ber.encode(ber.SEQUENCE, b"\6\0\x31\0")] * 100))).entries) == 1


def test_one_part_that_is_there_many_times_is_not_opened_as_often(stores: Stores) -> None:
    data = (stores.folder / "aes.p12").read_bytes()
    version, content, *_ = ber.elements(ber.element(data, ber.SEQUENCE).content)
    safe = next(element for element in inside(content.raw) if element.tag == ber.OCTET_STRING)
    parts = b"".join(part.raw for part in ber.elements(ber.element(safe.content, ber.SEQUENCE).content)) * 11
    many = replaced(content.raw, safe.raw, ber.encode(ber.OCTET_STRING, ber.encode(ber.SEQUENCE, parts)))
    with pytest.raises(UnreadableKeystore, match="more than 10 encrypted parts"):
        read(ber.encode(ber.SEQUENCE, version.raw, many), PASSWORD)


SEALED, SUPER = (
    f"{name}".encode() for name in ("com.sun.crypto.provider.SealedObjectForKeyProtector", "javax.crypto.SealedObject")
)


def altered(data: bytes, name: bytes, behind: int, value: int) -> bytes:
    """Another byte so many behind the name of a class in a serialised secret key."""
    place = data.index(name) + len(name) + behind
    return data[:place] + bytes([value]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("name", "behind", "value", "said"),
    [
        (SEALED, 8, 3, "a class that writes itself in its own way"),
        (SEALED, 11, 0, "a class with annotations"),
        (SUPER, 11, ord("I"), "a class that is not read here"),
        (SUPER, 27, 0, "a secret key that holds what is not read here"),
    ],
)
def test_a_secret_key_that_is_serialised_otherwise_is_refused(
    name: bytes, behind: int, value: int, said: str, stores: Stores
) -> None:
    data = (stores.folder / "keys.jceks").read_bytes()
    with pytest.raises(UnreadableKeystore, match=said):
        read(altered(data, name, behind, value))
    with pytest.raises(UnreadableKeystore, match="a secret key that is no serialised object"):
        read(data.replace(b"\xac\xed\0\5s", b"\xac\xed\0\5t"))


def test_a_date_beyond_all_calendars_is_none_and_an_entry_of_no_kind_is_refused() -> None:
    data = rewrite(None, {"a": ROOT.der})
    milliseconds = int(AT.timestamp() * 1000).to_bytes(8, "big")
    assert read(data.replace(milliseconds, b"\x7f" + b"\xff" * 7)).entries[0].created is None
    with pytest.raises(UnreadableKeystore, match="an entry of kind 9"):
        read(data[:15] + b"\x09" + data[16:])


def test_a_pkcs12_of_another_version_is_refused() -> None:
    data = in_parts()
    assert data[2:5] == b"\x02\x01\x03"
    with pytest.raises(UnreadableKeystore, match="not version 3, or signed instead of sealed"):
        read(data[:4] + b"\x04" + data[5:])


def test_a_part_that_is_encrypted_in_another_way_is_refused_and_so_are_many(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = unsealed((stores.folder / "aes.p12").read_bytes())
    with pytest.raises(UnreadableKeystore, match="encrypted in a way that is not read here"):
        read(data.replace(bytes.fromhex("2a864886f70d01050c"), bytes.fromhex("2a864886f70d01050a")), PASSWORD)
    monkeypatch.setattr("allegra_tls_kit.pkcs12_format.MOST_ITERATIONS", 1)
    with pytest.raises(UnreadableKeystore, match="more than the 1 that are waited for"):
        read(data, PASSWORD)
    monkeypatch.setattr("allegra_tls_kit.pkcs12_format.MOST_ENCRYPTED_PARTS", 0)
    with pytest.raises(UnreadableKeystore, match="more than 0 encrypted parts"):
        read(data, PASSWORD)
