from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import Journal, StoreType, keystore
from allegra_tls_kit.errors import ConnectFailed, JournalError
from allegra_tls_kit.events import Event, read_events
from allegra_tls_kit.java_home import Jvm, TrustFile
from allegra_tls_kit.keystore import Edit
from allegra_tls_kit.plan import ApplyState, ApplyStep
from allegra_tls_kit.preamble import Stage
from tests.children import as_nobody
from tests.stores import LEAF, NEW, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STORE = Path("/srv/allegra/keystore/mail.example.com.ks")
ENDPOINT = kit.Endpoint.parse("ldaps://[2001:db8::1]?server_name=mail.example.com")
PROBE = kit.Probe(ENDPOINT, AT, (LEAF.der, ROOT.der), "TLSv1.3", "AES", "2001:db8::1", ("S: 220 hi",), None, 0.5)
FAILURE = kit.ProbeFailure(ENDPOINT, AT, Stage.CONNECT, ConnectFailed("refused"), (), None, (), 0.1)
DIAGNOSIS = kit.judge(PROBE, [NEW.der])
SNAPSHOT = keystore.read(keystore.rewrite(None, STORE, "changeit", Edit({"a\u202e": NEW.der}, frozenset(), AT)), STORE)
PLAN = kit.plan_import(SNAPSHOT, [ROOT.der, NEW.der], purpose="trust mail.example.com")
APPLIED = kit.Applied(PLAN, AT, changed=True, sha256="00" * 32, backup=STORE.with_name("backup"))
STEP = ApplyStep(PLAN.id, ApplyState.PREPARED, STORE, None, None, "prepared")
VERDICT = kit.JvmVerdict(trusted=False, message="PKIX path building failed")
VERIFIED = kit.Verified(PLAN.id, ENDPOINT, AT, trusted=False, diagnosis=DIAGNOSIS, jvm=VERDICT, sentences=("it is refused",))
CACERTS = TrustFile(Path("cacerts"), Path("/etc/cacerts"), exists=True, readable=True, store_type=StoreType.JKS, owned_by=None)
JVM = Jvm(Path("/usr/lib/jvm"), "PATH", None, CACERTS, 4711, AT)
ALLEGRA = kit.Allegra(Path("/srv/allegra"), "a parameter", STORE.parent, (JVM,), ("looked at a parameter",))
CHOICE = kit.ImportChoice(ENDPOINT.url, "ab", "AB", "Ada", str(STORE), "env:STOREPASS", "Grace", "CHG-1")
COMPARISON = kit.compare_stores(SNAPSHOT, keystore.read(None, STORE))
PLANS = kit.Plans(ENDPOINT, (kit.StorePlan(PLAN, ("SSL",), "Java reads it"),))
VALUES: list[Any] = [
    PROBE, FAILURE, DIAGNOSIS, SNAPSHOT, PLAN, APPLIED, STEP, VERDICT, VERIFIED, ALLEGRA, CHOICE, ENDPOINT,
    *PLAN.actions[:1], *SNAPSHOT.entries, *DIAGNOSIS.findings[:1], *kit.anchor_candidates(DIAGNOSIS)[:1],
    *kit.effective_truststores(ENDPOINT, ALLEGRA)[:1], *kit.explain("java.net.ConnectException: Connection refused")[:1],
    kit.certificate_facts(LEAF.der), kit.JvmCase((LEAF.der,), STORE), kit.Progress(1, 0, 2, 0.5), kit.Statement("risk", "none"),
    kit.review(SNAPSHOT, [PROBE, FAILURE], at=AT), kit.SurveyView("imap"), kit.KeystoreView(opened="a"),
    COMPARISON, *COMPARISON.rows[:1], PLANS, *PLANS.stores, kit.Reach(STORE, STORE, ("all LDAPS connections read it",)),
    *kit.compare_surveys([PROBE], [FAILURE]), *kit.merged({"dmz": [PROBE]}),
]  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "made" / "for it" / "journal.jsonl")


def events(journal: Journal) -> list[Event]:
    found, faults = read_events(journal.path.read_bytes())
    assert faults == ()
    return list(found)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_of_the_kit_is_kept_and_comes_back_as_json(value: object, journal: Journal) -> None:
    assert journal.keep(value) is value
    assert journal.keep_all([value, value]) == (value, value)
    _, *kept = events(journal)
    assert {event.kind for event in kept} == {type(value).__name__}
    assert kept[0].value == kept[1].value
    assert all(field.name in kept[0].value or isinstance(value, kit.Entry) for field in dataclasses.fields(value))  # type: ignore[arg-type]
    assert abs(datetime.fromisoformat(kept[0].at) - datetime.now(UTC)) < timedelta(minutes=1)


def test_no_public_value_was_forgotten() -> None:
    public = {name for name in kit.__all__ if dataclasses.is_dataclass(getattr(kit, name))}
    assert public - {type(value).__name__ for value in VALUES} == {"RecordFolder", "RecordCheck", "Recorded"}


def test_what_is_kept_can_be_read_in_five_years(journal: Journal) -> None:
    opened, probe, failure, plan, step = (
        event.value for event in [*events(journal), *_kept(journal, PROBE, FAILURE, PLAN, STEP)]
    )
    assert set(opened) == {"operator", "host", "platform", "versions"}
    assert {"allegra-tls-kit", "cryptography", "pyjks", "filelock", "python", "openssl"} == set(opened["versions"])
    assert (probe["at"], probe["endpoint"]["protocol"]) == ("2026-03-04T05:06:07+00:00", "ldap")
    assert failure["error"] == {"type": "ConnectFailed", "message": "refused"}
    assert (plan["id"], plan["keytool_commands"]) == (PLAN.id, list(PLAN.keytool_commands()))
    (entry,) = plan["snapshot"]["entries"]
    assert (entry["alias"], entry["kind"]) == ("a\u202e", "trustedCertEntry")
    assert b'"a\\u202e"' in journal.path.read_bytes()
    assert step == {
        "plan": PLAN.id,
        "state": "prepared",
        "keystore": str(STORE),
        "sha256": None,
        "backup": None,
        "detail": "prepared",
    }


def _kept(journal: Journal, *values: object) -> list[Event]:
    journal.keep_all(values)
    return events(journal)[-len(values) :]


@dataclass(frozen=True)
class Odd:
    held: object


@pytest.mark.parametrize(
    "value", ["text", 1, None, [PROBE], {"a": 1}, Odd, Odd(object()), Odd(lambda: "secret"), Odd({1, 2})], ids=repr
)
def test_what_is_no_value_of_the_kit_is_refused_and_leaves_no_line(value: object, journal: Journal) -> None:
    before = journal.path.read_bytes()
    with pytest.raises(TypeError, match=r"has no place in a journal|is no event"):
        journal.keep(value)
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("text", ["half \ud83d", "a\nb\u2028c\u202e\0", "ü", "\\udcff", '"}'])
def test_any_text_is_one_line_and_comes_back(text: str, journal: Journal) -> None:
    journal.keep(kit.Statement("risk", text))
    assert journal.path.read_bytes().count(b"\n") == 2
    assert events(journal)[1].value["text"] == text
    journal.path.read_bytes().decode()


def test_each_line_carries_the_digest_of_the_one_before(journal: Journal) -> None:
    _kept(journal, PROBE, STEP)
    again = Journal(journal.path)
    again.keep(FAILURE)
    lines = journal.path.read_bytes().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["Opened", "Probe", "ApplyStep", "Opened", "ProbeFailure"]
    assert json.loads(lines[0])["previous"] is None
    for before, line in pairwise(lines):
        assert json.loads(line)["previous"] == hashlib.sha256(before).hexdigest()
    assert not stat.S_IMODE(journal.path.stat().st_mode) & 0o137
    assert len(events(again)) == 5


@pytest.mark.parametrize(
    ("damaged", "named"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"TLSv1.3", b"TLSv1.2"), *lines[2:]], {3}),
        (lambda lines: lines[1:], {1}),
        (lambda lines: [*lines[:2], *lines[3:]], {3}),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], {3}),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], {2, 3, 4}),
        (lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]], {3, 4}),
        (lambda lines: [*lines[:2], b"", *lines[2:]], {3, 4}),
        (lambda lines: [*lines[:2], b"[" * 100_000, *lines[2:]], {3, 4}),
        (lambda lines: [*lines[:3], b'{"at":1,"kind":"x","previous":null,"value":[]}'], {4}),
        (lambda lines: [line + b"\r" for line in lines], {2, 3, 4}),  # an editor was at it
    ],
)
def test_a_changed_missing_doubled_or_torn_line_is_named(
    damaged: Callable[[list[bytes]], list[bytes]], named: set[int], journal: Journal
) -> None:
    _kept(journal, PROBE, STEP, FAILURE)
    lines = damaged(journal.path.read_bytes().splitlines())
    _, faults = read_events(b"\n".join(lines) + b"\n")
    assert {int(fault.split()[1]) for fault in faults} == named


def test_an_empty_journal_has_no_events_and_no_faults() -> None:
    assert read_events(b"") == ((), ())


def test_a_line_torn_by_a_crash_stands_as_what_it_is_and_the_journal_goes_on(journal: Journal) -> None:
    journal.keep(PROBE)
    journal.path.write_bytes(journal.path.read_bytes()[:-20])
    Journal(journal.path).keep(STEP)
    found, faults = read_events(journal.path.read_bytes())
    assert [event.kind for event in found] == ["Opened", "Opened", "ApplyStep"]
    assert faults == ("line 2 cannot be read: torn by a crash, or changed",)


def test_a_second_writer_is_refused(journal: Journal) -> None:
    second = Journal(journal.path)
    second.keep(STEP)
    before = journal.path.read_bytes()
    with pytest.raises(JournalError, match="somebody else writes to it"):
        journal.keep(PROBE)
    assert journal.path.read_bytes() == before
    second.keep(PROBE)
    assert len(events(second)) == 4


def test_a_disk_that_is_full_is_said(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(JournalError, match=r"the journal cannot be written: No space left on device"):
            journal.keep(PROBE)
    with pytest.raises(JournalError, match="or a write failed"):
        journal.keep(PROBE)


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot be opened: (Not a directory|File exists)"):
        Journal(tmp_path / "file" / "journal.jsonl")
    with pytest.raises(JournalError, match="cannot be opened: Is a directory"):
        Journal(tmp_path)
    open_folder.chmod(0o555)
    said = as_nobody(lambda: Journal(open_folder / "journal.jsonl"))
    assert said == f"JournalError: {open_folder / 'journal.jsonl'}: the journal cannot be written: Permission denied"
    said = as_nobody(lambda: Journal(open_folder / "new" / "journal.jsonl"))
    path = open_folder / "new" / "journal.jsonl"
    assert said == f"JournalError: {path}: the journal cannot be opened: Permission denied; begin a new one"
    (tmp_path / "long").write_bytes(b"{}\n" * 10)
    monkeypatch.setattr("allegra_tls_kit.journal.LONGEST_JOURNAL", 20)
    with pytest.raises(JournalError, match="begin a new one"):
        Journal(tmp_path / "long")
