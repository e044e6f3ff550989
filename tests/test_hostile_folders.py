"""Names that lead elsewhere: links, pipes and devices where a file should be, planted before or turned while a change is made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import Journal
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.errors import ChangeError, NotWritable, StalePlan
from allegra_tls_kit.evidence import JOURNAL, LONGEST_TITLE, SUMS, new_record_folder
from allegra_tls_kit.files import read_certificates, read_endpoints, read_keystore
from tests.changing import go, planned, states
from tests.children import at_once
from tests.stores import NEW
from tests.test_evidence import key_file
from tests.test_journal import APPLIED, CHOICE, PLAN, PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("a pipe"))
    path.symlink_to("a pipe")


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": link_to_pipe,
    "a folder": os.mkdir,
    "a socket": socket_at,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
}
READERS: dict[str, Callable[[Path], object]] = {
    "UnreadableKeystore": read_keystore,
    "CertificateError": read_certificates,
    "EndpointError": read_endpoints,
    "SurveyError": kit.load_survey,
    "JournalError": Journal,
}


def at_last(act: Callable[[], object]) -> str:
    """Run this for half a minute at most; return its error, or what came back as text."""

    def limited() -> object:
        signal.alarm(30)
        return act()

    (said,) = at_once(limited)
    assert said, "it waits for ever"
    return said


@contextlib.contextmanager
def untouched(*folders: Path) -> Iterator[None]:
    """Whatever lies in these folders is as before: what it holds, who may what, and when it was changed."""

    def state() -> dict[str, Any]:
        items = [item for folder in folders for item in (folder, *folder.rglob("*"))]
        stats = {str(item): item.lstat() for item in items}
        held = {str(item): item.read_bytes() for item in items if item.is_file()}
        return {
            name: (s.st_mode, s.st_ino, s.st_nlink, s.st_mtime_ns, s.st_ctime_ns, held.get(name)) for name, s in stats.items()
        }

    before = state()
    yield
    assert state() == before


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder that nobody has to do with, and something in it."""
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "precious").write_bytes(b"precious")
    (folder / "precious").chmod(0o600)
    return folder


# --- what is no file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("error", READERS)
def test_what_is_no_file_is_refused_at_once_whoever_reads_it(error: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "name.jsonl"
    NO_FILES[kind](path)
    said = at_last(lambda: READERS[error](path))
    if (error, kind) == ("SurveyError", "a folder"):  # perhaps one of a record
        path /= JOURNAL
    words = "it is no regular file|Is a directory|No such device|Too many levels|No such file"
    assert re.match(rf"{error}: {re.escape(str(path))}: .*({words})", said)


@pytest.mark.parametrize("name", [JOURNAL, SUMS, "signer.pem", "SHA256SUMS.sig", "record.md"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_in_a_record_is_named(name: str, kind: str, tmp_path: Path) -> None:
    key = key_file(tmp_path / "key.pem")
    folder = kit.write_record(kit.open_journal(tmp_path / "record"), sign_with=key).path
    (folder / name).unlink()
    NO_FILES[kind](folder / name)
    said = at_last(lambda: kit.verify_record(folder, f"{key}.pub").intact)
    assert said == "False" or re.match(
        f"RecordError: {folder}.*(no regular file|Is a directory|No such device|Too many levels)", said
    )


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["{store}", ".{store}.lock"])
def test_what_takes_the_place_of_a_store_or_its_lock_is_refused_or_left_alone(
    name: str, kind: str, store: Path, journal: Journal
) -> None:
    plan, path, before = planned(store), store.with_name(name.format(store=store.name)), store.read_bytes()
    path.unlink(missing_ok=True)
    NO_FILES[kind](path)
    mode = path.lstat().st_mode
    said = at_last(lambda: go(plan, journal).changed)
    assert path.lstat().st_mode == mode
    if path != store and said == "True":
        assert kind == "a pipe"
        assert NEW.der in read_keystore(store).anchors
    else:
        assert said.partition(":")[0] in {"UnreadableKeystore", "NotWritable", "StalePlan"}
        assert path == store or store.read_bytes() == before


# --- links planted beforehand ----------------------------------------------------------------------------------------------


def test_a_link_in_the_place_of_the_store_that_was_read_is_not_followed(store: Path, there: Path, journal: Journal) -> None:
    plan = planned(store)
    shutil.copy(store, there / "other.ks")
    store.unlink()
    store.symlink_to(there / "other.ks")
    with untouched(there), pytest.raises(StalePlan, match=f"led to {store} when it was read and leads to {there}/other.ks now"):
        go(plan, journal)
    assert states(journal) == ["confirmed", "abandoned"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_the_place_of_the_folder_is_not_followed(store: Path, there: Path, journal: Journal, *, exists: bool) -> None:
    path = store if exists else store.with_name("new.ks")
    plan = planned(path)
    shutil.copy(store, there)
    store.parent.rename(store.parent.with_name("aside"))
    store.parent.symlink_to(there)
    with untouched(there), pytest.raises(StalePlan, match="look who turned it, then plan again"):
        go(plan, journal)


@pytest.mark.parametrize("what", ["the store", "its folder", "a folder above"])
@pytest.mark.parametrize("before", [True, False], ids=["before it is read", "after it was read"])
def test_nothing_is_made_at_the_other_end_of_a_link_that_leads_nowhere(
    what: str, there: Path, journal: Journal, tmp_path: Path, *, before: bool
) -> None:
    link = tmp_path / "home"
    path = {"the store": link, "its folder": link / "new.ks", "a folder above": link / "keystore" / "new.ks"}[what]
    if before:
        link.symlink_to(there / "new")
    plan = planned(path)
    if not before:
        link.symlink_to(there / "new")
    with (
        untouched(there),
        pytest.raises(NotWritable, match=r"home is a link that leads nowhere \(.*there/new\); make what it should"),
    ):
        go(plan, journal)


@pytest.mark.parametrize(("link", "name"), [(os.symlink, "precious"), (os.symlink, "new"), (os.link, "precious")])
def test_a_lock_that_is_another_file_is_refused(
    link: Callable[[Path, Path], None], name: str, store: Path, there: Path, journal: Journal
) -> None:
    plan, before = planned(store), store.read_bytes()
    link(there / name, store.with_name(f".{store.name}.lock"))
    with untouched(there), pytest.raises(NotWritable, match="lock is a link, or a file with another name; look who put it there"):
        go(plan, journal)
    assert store.read_bytes() == before


@pytest.mark.parametrize("name", ["precious", "new"])
def test_a_name_that_a_prepared_file_would_get_may_lead_anywhere(
    name: str, store: Path, there: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for guessed in ("a", "b"):
        store.with_name(f".{store.name}.{guessed}.tmp").symlink_to(there / name)
        store.with_name(f".x.{guessed}.tmp").symlink_to(there / name)
    names = iter(["a", "b", "c", "a", "b", "c", "d"])
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: names)
    with untouched(there):
        assert go(planned(store), journal).changed
    assert NEW.der in read_keystore(store).anchors
    assert not store.is_symlink()


# --- turned in the middle --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_is_turned_in_the_last_moment_is_noticed(
    what: str, store: Path, there: Path, journal: Journal, tmp_path: Path
) -> None:
    shutil.copy(store, there)
    way = tmp_path / "way"
    way.symlink_to(store.parent if what == "folder" else store)
    plan = planned(way / store.name if what == "folder" else way)

    def turned(_: Path) -> frozenset[str]:
        way.unlink()
        way.symlink_to(there if what == "folder" else there / store.name)
        return frozenset(kit.Entry.sha256.fget(entry) or "" for entry in kit.simulate(plan))  # type: ignore[attr-defined]

    before = store.read_bytes()
    with untouched(there), pytest.raises(StalePlan, match="look who turned it"):
        go(plan, journal, witness=turned)
    assert store.read_bytes() == before


@pytest.mark.parametrize("exists", [True, False])
def test_a_prepared_file_that_is_turned_into_a_link_gives_nothing_to_what_it_leads_to(
    store: Path, there: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    """Whoever may write the folder may put a link at any name in it; owner and mode must not go to what it leads to."""
    path = store if exists else store.with_name("new.ks")
    if exists and os.geteuid() == 0:
        os.chown(store, 1234, 5678)
    store.chmod(0o666)
    flush, plan = os.fdopen, planned(path)

    def turned(descriptor: int, mode: str) -> object:
        for prepared in store.parent.glob("*.tmp"):
            prepared.unlink()
            prepared.symlink_to(there / "precious")
        return flush(descriptor, mode)

    monkeypatch.setattr(os, "fdopen", turned)
    with untouched(there), pytest.raises(ChangeError):
        go(plan, journal)


# --- record folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["../../x", "a/../../../x", "/etc/x", "..", "", "a\0b", "a\nb\u202e", "ü" * 300, "C:\\x", "."])
def test_a_record_folder_lies_where_records_lie_whatever_its_title(title: str, tmp_path: Path) -> None:
    base = tmp_path / "records"
    folder = new_record_folder(title, base)
    assert folder.parent == base
    assert folder.name.isprintable()
    assert len(folder.name) <= LONGEST_TITLE + 17
    assert [item.name for item in tmp_path.iterdir()] == ["records"]


@pytest.mark.parametrize("name", ["record.md", "record.html", SUMS, "signer.pem", "SHA256SUMS.sig", "run.ipynb"])
@pytest.mark.parametrize("target", ["precious", "new"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_what_a_name_in_a_record_leads_to_is_not_written(
    link: Callable[[Path, Path], None], target: str, name: str, there: Path, tmp_path: Path
) -> None:
    if link is os.link and target == "new":
        return
    journal, notebook = kit.open_journal(tmp_path / "record"), tmp_path / "run.ipynb"
    notebook.write_text('{"cells": []}')
    link(there / target, journal.path.with_name(name))
    held = (there / "precious").read_bytes()
    record = kit.write_record(journal, notebook=notebook)
    assert (there / "precious").read_bytes() == held
    assert [item.name for item in there.iterdir()] == ["precious"]
    assert not any(item.is_symlink() for item in record.path.iterdir())
    assert kit.verify_record(record.path).intact


@pytest.mark.parametrize("name", [JOURNAL, "record.md", "record.html", SUMS, "SHA256SUMS.sig", "signer.pem"])
def test_a_notebook_never_takes_the_place_of_another_file_of_its_record(name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    notebook, journal = tmp_path / "elsewhere" / name, kit.open_journal(tmp_path / "record")
    notebook.write_text('{"cells": []}')
    before = journal.path.read_bytes()
    record = kit.write_record(journal, notebook=notebook)
    assert record.notebook is None
    assert f"{name} is the name of another file of the record" in record.notes[0]
    assert journal.path.read_bytes() == before
    assert kit.verify_record(record.path).intact


# --- journals that were altered --------------------------------------------------------------------------------------------

Lines = list[bytes]
BOMB = b'{"at":"x","kind":"Plan","previous":null,"value":{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
ALTERED: dict[str, Callable[[Lines], Lines]] = {
    "a line changed": lambda lines: [lines[0], lines[1].replace(b"TLSv1.3", b"TLSv1.2"), *lines[2:]],
    "a line missing": lambda lines: [*lines[:2], *lines[3:]],
    "the first line missing": lambda lines: lines[1:],
    "a line doubled": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "two lines in another order": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "all lines in another order": lambda lines: lines[::-1],
    "half a line": lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]],
    "half of the last line": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "a line that is not UTF-8": lambda lines: [*lines[:1], lines[1].replace(b"mail", b"m\xff\xfel"), *lines[2:]],
    "UTF-16": lambda lines: [b"\n".join(lines).decode().encode("utf-16")],
    "line ends of another system": lambda lines: [line + b"\r" for line in lines],
    "a line of zeros": lambda lines: [*lines[:2], bytes(4096), *lines[2:]],
    "an empty line": lambda lines: [*lines[:2], b"", *lines[2:]],
    "brackets in brackets": lambda lines: [*lines[:2], BOMB, *lines[2:]],
    "a line without a value": lambda lines: [*lines, b"{}"],
    "a plan that was altered": lambda lines: [line.replace(b"trust mail.example.com", b"trust it") for line in lines],
    "a journal of another": lambda lines: [lines[0].replace(b'"operator":"', b'"operator":"x'), *lines[1:]],
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The record of a change that was made."""
    journal = kit.open_journal(tmp_path / "record")
    journal.keep_all((PROBE, CHOICE, PLAN, APPLIED))
    return kit.write_record(journal, notebook="").path


def summed_up_anew(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines))


@pytest.mark.parametrize("what", ALTERED)
def test_a_journal_that_was_altered_is_told_by_its_record_and_a_check_fails(
    what: str, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(record)]) == 0
    path = record / JOURNAL
    path.write_bytes(b"\n".join(ALTERED[what](path.read_bytes().splitlines())) + b"\n")
    assert main(["check", str(record)]) == 1
    assert "journal.jsonl was altered" in capsys.readouterr().out
    faults = kit.read_record(record).faults
    assert faults
    assert any(fault in kit.read_change_record(record).markdown() for fault in faults)
    summed_up_anew(record)  # by whoever did it
    assert main(["check", str(record)]) == 1
    assert faults[0] in capsys.readouterr().out
    kit.write_record(record)  # as if nothing had been
    assert main(["check", str(record)]) == 1


def test_a_last_line_that_is_gone_is_told_by_what_was_made_from_it(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain cannot tell; who writes the record anew as well has made another one, which only a signature tells."""
    path = record / JOURNAL
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert main(["check", str(record)]) == 1
    summed_up_anew(record)
    assert main(["check", str(record)]) == 1
    assert "record.md is not what this version of the kit makes from the journal" in capsys.readouterr().out
