"""What no writer of the kit can do without loss: keytool makes it on a copy, and it is compared like anything else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, change, plan_import, plan_removal, read_keystore
from allegra_tls_kit.errors import WouldLose
from tests.changing import go, others, states
from tests.stores import HELD, NEW, PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores import Stores

ENCRYPTED = ["aes.p12", "legacy.p12"]


def copied(stores: Stores, name: str, tmp_path: Path) -> Path:
    path = tmp_path / "keystore" / name
    path.parent.mkdir()
    shutil.copyfile(stores.folder / name, path)
    return path


@pytest.mark.parametrize("name", ENCRYPTED)
def test_an_encrypted_certificate_is_taken_out_and_every_key_stays(
    name: str, stores: Stores, journal: Journal, tmp_path: Path
) -> None:
    path = copied(stores, name, tmp_path)
    before = read_keystore(path, lambda: PASSWORD)
    applied = go(plan_removal(before, ["t1"], purpose="no longer served"), journal)
    after = read_keystore(path, lambda: PASSWORD)
    kept = {(entry.alias, entry.kind, entry.content) for entry in before.entries if entry.alias != "t1"}
    assert {(entry.alias, entry.kind, entry.content) for entry in after.entries} == kept
    assert {alias: kind for alias, (kind, _) in stores.listed(path).items()} == {a: k for a, k in HELD[name].items() if a != "t1"}
    assert applied.backup is not None
    assert others(path) == [applied.backup.name]


def test_without_a_java_it_is_refused_and_the_store_is_as_it_was(
    stores: Stores, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(stores, "aes.p12", tmp_path)
    plan = plan_removal(read_keystore(path, lambda: PASSWORD), ["t1"], purpose="no longer served")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(WouldLose, match="keytool could not do it on a copy either: no java found"):
        go(plan, journal)
    assert path.read_bytes() == (stores.folder / "aes.p12").read_bytes()
    assert others(path) == []
    assert states(journal) == ["confirmed", "abandoned"]


def test_what_java_could_not_read_back_is_not_given_to_keytool_either(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.read_bytes()
    monkeypatch.setattr(change, "keytool_edit", lambda *_, **__: pytest.fail("keytool was asked"))
    plan = plan_import(read_keystore(store, lambda: PASSWORD), [NEW.der], purpose="an emoji", aliases=["\N{GRINNING FACE}"])
    with pytest.raises(WouldLose, match="choose letters and digits"):
        go(plan, journal)
    assert store.read_bytes() == before
