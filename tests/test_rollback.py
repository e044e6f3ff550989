"""A change and its way back, through the door, leave the former bytes: whatever was in the store, and whatever was added."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit import Journal, plan_import, plan_removal, plan_restore, plan_rollback, read_keystore, simulate
from allegra_tls_kit.plan import differences
from tests.changing import content, go, made
from tests.keystore_bytes import from_cryptography, unsealed
from tests.stores import LEAF, NEW, PASSWORD, TRUSTED

START: dict[str, tuple[bytes | None, str]] = {
    "none": (None, PASSWORD),
    "JKS": (made({"theirs": TRUSTED.der}), PASSWORD),
    "PKCS12, encrypted": (from_cryptography("truststore best"), PASSWORD),
    "PKCS12 with a key, encrypted": (from_cryptography("key best"), PASSWORD),
    "PKCS12, sealed with nothing": (from_cryptography("truststore plain"), ""),
    "PKCS12, passwordless": (unsealed(from_cryptography("truststore plain")), PASSWORD),
}
ALIASES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(str.lower)
ADDED = st.dictionaries(ALIASES, st.sampled_from([LEAF.der, NEW.der]), min_size=1, max_size=2).filter(
    lambda added: len(set(added.values())) == len(added)
)


@pytest.mark.parametrize("name", START)
@settings(max_examples=15, deadline=None)
@given(added=ADDED, way=st.sampled_from(["rollback", "restore"]))
def test_whatever_was_added_the_way_back_gives_the_former_bytes(name: str, added: dict[str, bytes], way: str) -> None:
    before, password = START[name]
    with TemporaryDirectory() as folder:
        path, journal = Path(folder) / "some.ks", Journal(Path(folder) / "journal.jsonl")
        if before is not None:
            path.write_bytes(before)
        present = read_keystore(path, lambda: password)
        plan = plan_import(present, added.values(), purpose="", aliases=[*added])
        if plan.conflicts:
            return
        applied = go(plan, journal, lambda: password)
        after = read_keystore(path, lambda: password)
        assert differences(simulate(plan), after.entries) == ()
        if way == "restore" and applied.backup is not None:
            back = plan_restore(after, read_keystore(applied.backup, lambda: password))
        else:
            back = plan_rollback(applied, after)
        go(back, journal, lambda: password)
        assert content(path) == before


@pytest.mark.parametrize("name", ["JKS", "PKCS12, sealed with nothing", "PKCS12, passwordless"])
@settings(max_examples=10, deadline=None)
@given(added=ADDED, data=st.data())
def test_whatever_was_removed_the_way_back_gives_the_former_entries(
    name: str, added: dict[str, bytes], data: st.DataObject
) -> None:
    before, password = START[name]
    with TemporaryDirectory() as folder:
        path, journal = Path(folder) / "some.ks", Journal(Path(folder) / "journal.jsonl")
        path.write_bytes(before or b"")
        plan = plan_import(read_keystore(path, lambda: password), added.values(), purpose="", aliases=[*added])
        if plan.conflicts:
            return
        go(plan, journal, lambda: password)
        full = read_keystore(path, lambda: password)
        gone = data.draw(st.lists(st.sampled_from(sorted(added)), min_size=1, unique=True))
        applied = go(plan_removal(full, gone, purpose=""), journal, lambda: password)
        go(plan_rollback(applied, read_keystore(path, lambda: password)), journal, lambda: password)
        assert differences(full.entries, read_keystore(path, lambda: password).entries) == ()
