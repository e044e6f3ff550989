"""Stores with keys and secrets in them, changed without a Java and read by keytool afterwards: nothing else in them moves."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, plan_import, plan_removal, plan_rollback, read_keystore
from allegra_tls_kit.errors import WouldLose
from tests.changing import go, others, states
from tests.keystore_bytes import rewrite
from tests.stores import HELD, NEW, PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores import Stores

ENCRYPTED = ["aes.p12", "legacy.p12"]


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java to be found, neither to write nor to look on."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


def copied(stores: Stores, name: str, tmp_path: Path) -> Path:
    path = tmp_path / "keystore" / name
    path.parent.mkdir()
    shutil.copyfile(stores.folder / name, path)
    return path


def held(path: Path) -> set[tuple[str, str, str, bool]]:
    return {(e.alias, e.kind, e.content, e.anchor) for e in read_keystore(path, lambda: PASSWORD).entries}


@pytest.mark.usefixtures("without_java")
@pytest.mark.parametrize("name", ENCRYPTED)
@pytest.mark.parametrize("alone", [True, False])
def test_an_encrypted_certificate_is_taken_out_and_all_else_stays(
    name: str, stores: Stores, journal: Journal, tmp_path: Path, *, alone: bool
) -> None:
    path = copied(stores, name, tmp_path)
    if not alone:  # one that Allegra's Java sees, beside those that it does not
        path.write_bytes(rewrite(path.read_bytes(), {"seen": NEW.der}))
    before = held(path)
    applied = go(plan_removal(read_keystore(path, lambda: PASSWORD), ["t1"], purpose="no longer served"), journal)
    assert held(path) == {entry for entry in before if entry[0] != "t1"}
    kinds = {alias: kind for alias, kind in HELD[name].items() if alias != "t1"} | ({} if alone else {"seen": "trustedCertEntry"})
    assert {alias: kind for alias, (kind, _) in stores.listed(path).items()} == kinds
    assert applied.backup is not None
    assert others(path) == [applied.backup.name]


@pytest.mark.usefixtures("without_java")
def test_jceks_is_changed_and_keeps_every_key_byte_for_byte(stores: Stores, journal: Journal, tmp_path: Path) -> None:
    path = copied(stores, "keys.jceks", tmp_path)
    before = read_keystore(path, lambda: PASSWORD)
    applied = go(plan_import(before, [NEW.der], purpose="mail stopped", aliases=["new"]), journal)
    listed = stores.listed(path)
    assert {alias: kind for alias, (kind, _) in listed.items()} == HELD["keys.jceks"] | {"new": "trustedCertEntry"}
    again = plan_import(read_keystore(path, lambda: PASSWORD), [NEW.der], purpose="twice", aliases=["again"])
    assert not again.changes
    go(plan_rollback(applied, read_keystore(path, lambda: PASSWORD)), journal)
    assert path.read_bytes() == (stores.folder / "keys.jceks").read_bytes()


def test_what_java_could_not_read_back_is_refused(store: Path, journal: Journal) -> None:
    before = store.read_bytes()
    plan = plan_import(read_keystore(store, lambda: PASSWORD), [NEW.der], purpose="a long alias", aliases=["x" * 65_536])
    with pytest.raises(WouldLose, match="choose letters and digits"):
        go(plan, journal)
    assert store.read_bytes() == before
    assert others(store) == []
    assert states(journal) == ["confirmed", "abandoned"]
