"""Keystores rewritten: what is added is trusted, all else is as it was, and keytool reads the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jks
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import EntryKind, KitError, StoreType
from allegra_tls_kit.errors import PasswordNeeded, PlanRefused, WouldLose, WrongPassword
from tests.keystore_bytes import AT, from_cryptography, read, rewrite, shown
from tests.stores import HELD, KEY_PASSWORD, LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores import Stores

SECONDS = 5000
ALIASES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=30).map(str.lower)
CERTIFICATES = st.sampled_from([ROOT.der, LEAF.der, TRUSTED.der, NEW.der])


@pytest.mark.parametrize("name", [*HELD, "truststore plain", "bundle best"])
def test_an_added_certificate_is_trusted_and_all_else_is_as_it_was_for_keytool_too(
    name: str, stores: Stores, tmp_path: Path
) -> None:
    data = (stores.folder / name).read_bytes() if name in HELD else from_cryptography(name)
    password = "" if name == "truststore plain" else PASSWORD
    before, made = read(data, password), rewrite(data, {"New-Root": NEW.der}, password=password)
    after = read(made, password)
    (new,) = (entry for entry in after.entries if entry.certificate == NEW.der)
    assert tuple(entry for entry in after.entries if entry is not new) == before.entries
    seen = after.store_type is not StoreType.JCEKS
    assert (new.alias, new.kind, new.certificate, new.anchor) == ("new-root", EntryKind.TRUSTED, NEW.der, seen)
    assert new.created == (None if after.store_type is StoreType.PKCS12 else AT)
    assert (after.store_type, after.integrity_checked) == (before.store_type, before.integrity_checked)
    assert rewrite(made, {}, "new-root", password=password) == data
    if password:  # keytool takes none that is shorter than six
        store = tmp_path / "store"
        store.write_bytes(made)
        listed = {alias: entry for alias, entry in shown(after).items() if entry[0] != EntryKind.NOT_TRUSTED}
        assert stores.listed(store) == listed


@pytest.mark.parametrize("name", ["keys.jks", "aes.p12"])
def test_a_private_key_is_still_usable_with_its_own_password(name: str, stores: Stores, tmp_path: Path) -> None:
    store = tmp_path / name
    store.write_bytes(rewrite((stores.folder / name).read_bytes(), {"new": NEW.der}))
    own = ("-keypass:env", "KEYPASS") if name == "keys.jks" else ()
    request = stores.keytool("-certreq", "-alias", "k1", "-keystore", store, "-storepass:env", "STOREPASS", *own)
    assert "BEGIN NEW CERTIFICATE REQUEST" in request
    assert KEY_PASSWORD != PASSWORD


@pytest.mark.parametrize("name", ["keys.jks", "keys.jceks"])
def test_an_entry_of_jks_keeps_its_bytes_and_its_place(name: str, stores: Stores) -> None:
    data = (stores.folder / name).read_bytes()
    made = rewrite(rewrite(data, {"b": NEW.der, "a": ROOT.der}), {"c": LEAF.der}, "b")
    before, after = read(data, PASSWORD), read(made, PASSWORD)
    assert after.entries[: len(before.entries)] == before.entries
    assert [(entry.alias, entry.created) for entry in after.entries[len(before.entries) :]] == [("a", AT), ("c", AT)]
    assert made[12:].startswith(data[12:-20])  # what stands between the number of entries and the digest


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


@pytest.mark.parametrize("name", [*HELD, "new"])
@pytest.mark.parametrize("add", [{"T1": NEW.der}, {"K1": NEW.der}, {"a": NEW.der, "A": ROOT.der}])
def test_an_alias_that_is_taken_in_any_case_is_refused(name: str, add: dict[str, bytes], stores: Stores) -> None:
    data = rewrite(None, {"t1": TRUSTED.der, "k1": ROOT.der}) if name == "new" else (stores.folder / name).read_bytes()
    with pytest.raises(PlanRefused, match="is taken"):
        rewrite(data, add)


@pytest.mark.parametrize("alias", ["\ud83d", "x" * 65_536, "é" * 32_768, "\N{GRINNING FACE}" * 10_923])
def test_an_alias_that_java_would_not_read_back_is_refused(alias: str) -> None:
    with pytest.raises(WouldLose, match="letters and digits") as caught:
        rewrite(None, {alias: NEW.der})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "password", "remove", "error"),
    [
        ("keys.jks", None, (), PasswordNeeded),
        ("mac-only.p12", None, (), PasswordNeeded),
        ("keys.jks", "wrong", (), WrongPassword),
        ("mac-only.p12", "wrong", (), WrongPassword),
        ("keys.jceks", None, (), PasswordNeeded),
        ("keys.jceks", "wrong", (), WrongPassword),
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
    del store.entries["root"]
    assert read(rewrite(store.saves(PASSWORD), {"new": NEW.der}, "root")).entries == read(rewrite(None, {"new": NEW.der})).entries
