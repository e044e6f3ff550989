"""A JVM reads what is prepared before it goes live: it may keep it out; where there is none the journal says so."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, apply, jvm_anchors, plan_import, read_keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import JavaError, PlanRefused, UnreadableKeystore
from allegra_tls_kit.witness import jvm_at_hand
from tests.chains import issue
from tests.changing import digest, go, made, others, planned, states, steps
from tests.keystore_bytes import from_cryptography, unsealed
from tests.stores import HELD, NEW, PASSWORD, ROOT, TRUSTED
from tests.test_jvm import fake_java

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.stores import Stores

BOTH = frozenset({sha256_of(TRUSTED.der), sha256_of(NEW.der)})


def detail(journal: Journal) -> str:
    """What the journal says of the step before the swap."""
    (prepared,) = (step for step in steps(journal.path) if step["state"] == "prepared")
    return str(prepared["detail"]).partition("reads back as planned; ")[2]


def test_the_witness_reads_the_prepared_file_while_the_live_one_is_as_it_was(store: Path, journal: Journal) -> None:
    before, seen = store.read_bytes(), []

    def witness(path: Path) -> frozenset[str]:
        assert store.read_bytes() == before
        assert path.parent == store.parent
        seen.append(digest(path.read_bytes()))
        return BOTH

    applied = go(planned(store), journal, witness=witness)
    assert seen == [applied.sha256]
    assert detail(journal) == "a JVM trusts 2 certificates with it, the same that we find"


@pytest.mark.parametrize(
    ("sees", "said"),
    [
        (BOTH - {sha256_of(NEW.der)}, f"{sha256_of(NEW.der)[:16]}… unseen by it"),
        (BOTH | {"ab" * 32}, "abababababababab… seen by it alone"),
        (frozenset(), "unseen by it"),
    ],
)
def test_a_witness_that_trusts_something_else_is_a_refusal(
    sees: frozenset[str], said: str, store: Path, journal: Journal
) -> None:
    before = store.read_bytes()
    with pytest.raises(PlanRefused, match=f"a JVM trusts other certificates .*{said}.* witness=None"):
        go(planned(store), journal, witness=lambda _: sees)
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])


def raising(error: Exception) -> Callable[[Path], frozenset[str]]:
    def witness(_: Path) -> frozenset[str]:
        raise error

    return witness


def test_a_witness_that_cannot_read_it_is_a_refusal(store: Path, journal: Journal) -> None:
    before = store.read_bytes()
    with pytest.raises(PlanRefused, match=r"a JVM has to be able to read it: so it says; the keystore is as it was"):
        go(planned(store), journal, witness=raising(UnreadableKeystore("so it says")))
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])


@pytest.mark.parametrize("error", [JavaError("it did not start"), OSError("it did not start")])
def test_a_witness_that_cannot_be_asked_does_not_hold_up_the_change(error: Exception, store: Path, journal: Journal) -> None:
    assert go(planned(store), journal, witness=raising(error)).changed
    assert detail(journal).startswith("no JVM was asked: it did not start; pyjks reads 2 entries")


def test_a_witness_is_not_asked_where_nothing_is_prepared(store: Path, journal: Journal) -> None:
    assert not go(planned(store, TRUSTED.der), journal, witness=raising(AssertionError())).changed
    go(planned(store), journal, witness=None)
    assert detail(journal) == "no JVM was to be asked"


def test_jceks_which_java_does_not_read_unasked_is_not_shown_to_it(stores: Stores, tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "keys.jceks"
    path.write_bytes((stores.folder / "keys.jceks").read_bytes())
    go(planned(path), journal, witness=raising(AssertionError()))
    assert detail(journal).startswith("no JVM was asked: it reads JCEKS only where it is told the type; pyjks reads ")


# --- real ones -------------------------------------------------------------------------------------------------------------

KINDS = ["truststore plain", "truststore best", "bundle plain", "key best", "key plain", "passwordless"]


@pytest.mark.parametrize("name", [*sorted(HELD.keys() - {"keys.jceks"}), *KINDS])
def test_a_jvm_trusts_what_we_say_that_it_does(name: str, stores: Stores, java: Path, tmp_path: Path) -> None:
    data = (stores.folder / name).read_bytes() if name in HELD else None
    path = tmp_path / "größe"
    path.write_bytes(
        data or (unsealed(from_cryptography("truststore plain")) if name == "passwordless" else from_cryptography(name))
    )
    assert jvm_anchors(path, java=java) == set(map(sha256_of, read_keystore(path).anchors))


def test_a_jvm_is_asked_where_one_is_at_hand_and_by_default(java: Path, store: Path, journal: Journal) -> None:
    plan = planned(store)
    assert java.exists()
    assert apply(plan, journal, confirm=plan.id, password=lambda: PASSWORD).changed
    assert detail(journal) == "a JVM trusts 2 certificates with it, the same that we find"


def test_where_there_is_none_the_change_is_made_and_the_journal_says_so(
    store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert go(planned(store), journal, witness=jvm_at_hand).changed
    assert detail(journal).startswith("no JVM was asked: no java found")


def test_a_certificate_that_would_have_made_the_whole_store_unreadable_for_java_stays_out(
    java: Path, store: Path, journal: Journal
) -> None:
    """A key on a curve of which nobody has heard: harmless to many a reader, and to Java the end of the file."""
    strange = issue("Strange CA", ca=True).der.replace(
        bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")
    )
    before = store.read_bytes()
    plan = plan_import(read_keystore(store), [strange], purpose="mail stopped")
    with pytest.raises(PlanRefused, match="a JVM cannot read it: java"):
        go(plan, journal, witness=partial(jvm_anchors, java=java))
    assert store.read_bytes() == before


@pytest.mark.parametrize("name", ["empty.ks", "text"])
def test_what_no_jvm_reads_is_told_with_its_words(name: str, java: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name == "empty.ks" else b"no keystore")
    with pytest.raises(UnreadableKeystore, match=rf"{name}: a JVM cannot read it: java"):
        jvm_anchors(path, java=java)


def test_a_store_without_entries_has_no_anchors(java: Path, tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(made({}))
    assert jvm_anchors(tmp_path / "none", java=java) == frozenset()


@pytest.mark.parametrize("script", ["echo Hello", f"echo {'A' * 44}; echo F", "exit 3", f"echo T; echo {'A' * 43}="])
def test_a_program_that_answers_something_else_is_no_witness(script: str, store: Path, tmp_path: Path, journal: Journal) -> None:
    witness = partial(jvm_anchors, java=fake_java(tmp_path, script))
    with pytest.raises(JavaError):
        witness(store)
    assert go(planned(store, ROOT.der), journal, witness=witness).changed
    assert detail(journal).startswith("no JVM was asked: ")


# --- where no JVM is ---------------------------------------------------------------------------------------------------------


def test_where_no_jvm_can_be_asked_pyjks_reads_it(store: Path, journal: Journal) -> None:
    go(planned(store), journal, witness=raising(JavaError("none is here")))
    assert detail(journal) == "no JVM was asked: none is here; pyjks reads 2 entries in it, what we find among them"


def test_what_pyjks_cannot_read_and_java_can_is_no_refusal(store: Path, journal: Journal) -> None:
    plan = plan_import(read_keystore(store, lambda: PASSWORD), [NEW.der], purpose="x", aliases=["\N{GRINNING FACE}"])
    apply(plan, journal, confirm=plan.id, password=lambda: PASSWORD, witness=raising(JavaError("none is here")))
    assert "; pyjks does not read it: " in detail(journal)


def test_what_pyjks_does_not_find_is_a_refusal(store: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    before, plan = store.read_bytes(), planned(store)
    monkeypatch.setattr("jks.KeyStore.loads", lambda *_, **__: SimpleNamespace(entries={}))
    with pytest.raises(PlanRefused, match="pyjks does not find in it what we do"):
        go(plan, journal, witness=raising(JavaError("none is here")))
    assert (store.read_bytes(), others(store), states(journal)) == (before, [], ["confirmed", "abandoned"])
