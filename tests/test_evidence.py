"""Record folders: what is in one, that it reads without the kit, and that what was altered is named."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import allegra_tls_kit as kit
from allegra_tls_kit import evidence
from allegra_tls_kit.errors import RecordError, SecretError, SigningError
from allegra_tls_kit.evidence import SESSION_VARIABLE, new_record_folder, records_folder
from allegra_tls_kit.outcome import Outcome
from allegra_tls_kit.saved import WIDGET_VIEW
from tests.children import as_nobody
from tests.conftest import absent
from tests.shown import holding, require_sums, text_of, text_of_page
from tests.test_journal import APPLIED, CHOICE, PLAN, PROBE, VERIFIED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSPHRASE = "hunter2-canary"
FILES = {"journal.jsonl", "record.md", "record.html", "SHA256SUMS"}


@pytest.fixture
def journal(tmp_path: Path) -> kit.Journal:
    """The journal of a change that was made."""
    journal = kit.open_journal(tmp_path / "record")
    journal.keep_all((PROBE, CHOICE, PLAN, APPLIED, VERIFIED))
    return journal


@pytest.fixture
def folder(journal: kit.Journal) -> Path:
    """Its record folder."""
    return journal.path.parent


def key_file(path: Path, key: ed25519.Ed25519PrivateKey | None = None, passphrase: str | None = None) -> Path:
    key = key or ed25519.Ed25519PrivateKey.generate()
    locked = ser.BestAvailableEncryption(passphrase.encode()) if passphrase else ser.NoEncryption()
    path.write_bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, locked))
    (path.parent / f"{path.name}.pub").write_bytes(key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH))
    return path


# --- where ------------------------------------------------------------------------------------------------------------------


def test_a_record_folder_is_named_after_the_instant_in_utc_and_never_used_twice(tmp_path: Path) -> None:
    folders = [new_record_folder("title", tmp_path) for _ in range(3)]
    assert len(set(folders)) == 3
    stamp = re.fullmatch(r"(\d{8}T\d{6}Z)-title(-\d)?", folders[2].name)
    assert stamp is not None
    assert datetime.now(UTC) - datetime.strptime(stamp[1], "%Y%m%dT%H%M%S%z") < timedelta(minutes=1)


def test_records_lie_where_the_variable_says_or_under_the_home(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert records_folder() == records
    assert kit.open_journal(title="look").path.parent.parent == records
    assert kit.open_journal(tmp_path / "mine").path == tmp_path / "mine" / "journal.jsonl"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALLEGRA_TLS_RECORDS", "")
    assert records_folder() == tmp_path / "allegra-tls-records"
    monkeypatch.setenv("ALLEGRA_TLS_RECORDS", "~/mine")
    assert records_folder() == tmp_path / "mine"


def test_where_no_folder_can_be_made_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"no folder can be made here: .*; set \$ALLEGRA_TLS_RECORDS"):
        new_record_folder("x", tmp_path / "file")


def test_the_newest_records_come_first_with_what_they_tell(tmp_path: Path) -> None:
    assert kit.list_records(tmp_path / "none") == ()
    for name in ("20260101T000000Z-a", "20260301T000000Z-c", "20260201T000000Z-b", "no-record"):
        (tmp_path / name).mkdir()
        if name != "no-record":
            kit.open_journal(tmp_path / name).keep(CHOICE)
    listed = kit.list_records(tmp_path, newest=2)
    assert [path.name[-1] for path, _ in listed] == ["c", "b"]
    assert {told.ticket for _, told in listed} == {CHOICE.ticket}
    for shown in (str(kit.show_records(listed)), text_of(kit.show_records(listed).html())):
        assert "20260301T000000Z-c" in shown
        assert "looked, nothing planned" in shown
    assert "no record yet" in str(kit.show_records(()))


def test_a_record_that_cannot_be_read_keeps_nobody_from_seeing_the_others(tmp_path: Path) -> None:
    for name in ("20260101T000000Z-a", "20260201T000000Z-b"):
        kit.open_journal(tmp_path / name)
    path = tmp_path / "20260201T000000Z-b" / "journal.jsonl"
    path.unlink()
    path.mkdir()
    (_, unread), (_, read) = kit.list_records(tmp_path)
    assert (unread.outcome, read.outcome) == (Outcome.UNKNOWN, Outcome.LOOKED)
    assert unread.faults == (f"{path}: the journal cannot be read: Is a directory",)
    assert read.faults == ()


# --- written -----------------------------------------------------------------------------------------------------------------


def test_a_record_can_be_written_again_after_each_step(tmp_path: Path) -> None:
    journal = kit.open_journal(tmp_path / "x")
    first = kit.write_record(journal)
    require_sums(first.path)
    journal.keep(kit.Statement("justification", "mail has stopped"))
    assert kit.write_record(journal) == kit.write_record(journal.path.parent) == first
    assert {path.name for path in first.path.iterdir()} == FILES
    require_sums(first.path)
    assert holding(tmp_path, "mail has stopped") == ["journal.jsonl", "record.html", "record.md"]
    assert first.outcome is Outcome.LOOKED
    assert "State: looked, nothing planned" in str(kit.show(first))


def test_a_run_without_a_journal_has_a_record_too(tmp_path: Path) -> None:
    assert kit.write_record(tmp_path).outcome is Outcome.LOOKED
    assert "no such record folder" in said(lambda: kit.write_record(tmp_path / "absent"))
    assert "no such record folder" in said(lambda: kit.read_record(tmp_path / "absent"))


def test_the_record_reads_without_the_kit(folder: Path) -> None:
    written = kit.write_record(folder)
    assert PLAN.id in written.record.read_text("utf-8")
    title, told = text_of_page(written.page.read_text("utf-8"))
    assert (title, PLAN.id in told, written.outcome) == ("Change record", True, Outcome.NOT_TRUSTED)
    if (tool := shutil.which("sha256sum")) is None:
        absent("no sha256sum")
    checked = subprocess.run([tool, "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True, text=True)
    assert checked.stdout.count(": OK") == len(FILES) - 1


def test_a_disk_that_is_full_is_said_and_the_journal_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "journal.jsonl").read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", full)
        assert "No space left on device; the journal is as it was" in said(lambda: kit.write_record(folder))
    assert (folder / "journal.jsonl").read_bytes() == before


# --- the notebook ------------------------------------------------------------------------------------------------------------

OUTPUT = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "twin", "text/html": "<p>twin</p>"}}
WIDGET = {"output_type": "display_data", "metadata": {}, "data": {WIDGET_VIEW: {"model_id": "x"}}}
NOTEBOOK = {
    "nbformat": 4, "nbformat_minor": 5, "metadata": {"widgets": {"state": {}}},
    "cells": [{
        "cell_type": "code", "id": "a", "metadata": {}, "source": "form", "execution_count": 1, "outputs": [WIDGET, OUTPUT],
    }],
}  # fmt: skip


def save(path: Path, *, seconds_later: int) -> None:
    path.write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    later = datetime.now(UTC).timestamp() + seconds_later
    os.utime(path, (later, later))


def test_the_notebook_of_a_lab_is_copied_without_its_widgets(
    journal: kit.Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.parent / "mine.ipynb"
    monkeypatch.setenv(SESSION_VARIABLE, str(here))
    save(here, seconds_later=5)
    written = kit.write_record(journal)
    assert (written.notebook, written.notes) == (folder / "mine.ipynb", ())
    copy = json.loads((folder / "mine.ipynb").read_text("utf-8"))
    assert copy["cells"][0]["outputs"] == [OUTPUT]
    assert "widgets" not in copy["metadata"]
    assert json.loads(here.read_text("utf-8")) == NOTEBOOK
    require_sums(folder)


def test_a_notebook_that_was_not_saved_since_or_is_gone_is_said(
    journal: kit.Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.parent / "mine.ipynb"
    monkeypatch.setenv(SESSION_VARIABLE, str(here))
    assert "no notebook was found" in kit.write_record(journal).notes[0]
    save(here, seconds_later=-60)
    written = kit.write_record(journal)
    assert "save it (Ctrl+S) and run this cell again" in written.notes[0]
    assert written.notes[0] in text_of(kit.show(written).html())
    here.write_text("[]")
    assert "no notebook that can be read" in kit.write_record(journal).notes[0]


def test_a_notebook_that_may_not_be_read_is_said_and_the_record_is_written(open_folder: Path) -> None:
    (open_folder / "mine.ipynb").write_text("{}")
    (open_folder / "mine.ipynb").chmod(0)
    (open_folder / "record").mkdir(0o777)
    (open_folder / "record").chmod(0o777)
    said = as_nobody(lambda: kit.write_record(open_folder / "record", notebook=open_folder / "mine.ipynb").notes)
    assert said == "('mine.ipynb was not copied: Permission denied',)"
    require_sums(open_folder / "record")


def test_the_record_of_another_run_is_written_without_the_notebook_that_does_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.parent / "90_change_record.ipynb"
    monkeypatch.setenv(SESSION_VARIABLE, str(here))
    save(here, seconds_later=5)
    assert kit.write_record(folder).notebook is None
    assert {path.name for path in folder.iterdir()} == FILES


# --- signed and checked ------------------------------------------------------------------------------------------------------


def test_an_intact_record_says_that_it_is_not_signed(folder: Path) -> None:
    kit.write_record(folder)
    check = kit.verify_record(folder)
    assert (check.intact, check.faults, check.signer) == (True, (), None)
    assert "not signed" in check.notes[0]
    assert "intact" in str(kit.show(check))


def test_a_signature_is_checked_with_the_key_of_the_signer_and_by_openssl(folder: Path) -> None:
    key = key_file(folder.parent / "key.pem")
    kit.write_record(folder, sign_with=key)
    beside, named = kit.verify_record(folder), kit.verify_record(folder, f"{key}.pub")
    assert beside.intact
    assert named.intact
    assert named.signer == beside.signer
    assert named.signer is not None
    assert "compare it with the signer's" in beside.notes[0]
    assert named.notes == ()
    other = key_file(folder.parent / "other.pem")
    assert "is not the signature of this key" in kit.verify_record(folder, f"{other}.pub").faults[0]
    if (tool := shutil.which("openssl")) is None:
        absent("no openssl")
    command = [tool, "pkeyutl", "-verify", "-pubin", "-inkey", "signer.pem", "-rawin", "-in", "SHA256SUMS"]
    subprocess.run([*command, "-sigfile", "SHA256SUMS.sig"], cwd=folder, check=True, capture_output=True)


def test_a_record_that_is_written_again_without_the_key_is_no_longer_signed(folder: Path) -> None:
    key = key_file(folder.parent / "key.pem")
    kit.write_record(folder, sign_with=key)
    kit.write_record(folder)
    assert {path.name for path in folder.iterdir()} == FILES
    assert "not signed, or no longer" in kit.verify_record(folder, f"{key}.pub").faults[0]


ALTERATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (lambda f: (f / "record.md").write_text("x"), "record.md was altered"),
    "a page": (lambda f: (f / "record.html").write_text("x"), "record.html was altered"),
    "a file gone": (lambda f: (f / "record.html").unlink(), "record.html is missing"),
    "a file more": (lambda f: (f / "evil\u202e.md").write_text("x"), r"evil\u{202e}.md was added"),
    "the journal": (lambda f: edit(f / "journal.jsonl", b"CHG-1", b"CHG-2"), "journal.jsonl was altered"),
    "a line of the journal": (lambda f: edit(f / "journal.jsonl", b"CHG-1", b"CHG-2"), "does not follow the line before it"),
    "the sums gone": (lambda f: (f / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
    "the sums nonsense": (lambda f: (f / "SHA256SUMS").write_bytes(b"\xff\n../x"), "SHA256SUMS, line 1: no checksum"),
    "the sums leave the folder": (lambda f: edit(f / "SHA256SUMS", b"record.md", b"../x.md"), "no checksum of a file in this"),
    "the signature": (lambda f: edit(f / "SHA256SUMS.sig", b"", b"x"), "is not the signature of this key"),
    "the signer": (lambda f: (f / "signer.pem").unlink(), "signer.pem is missing or no key"),
}


def edit(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_was_altered_is_named(what: str, folder: Path) -> None:
    alter, named = ALTERATIONS[what]
    kit.write_record(folder, sign_with=key_file(folder.parent / "key.pem"))
    alter(folder)
    check = kit.verify_record(folder)
    assert not check.intact
    assert any(named in fault for fault in check.faults)
    assert named in text_of(kit.show(check).html())


def test_a_record_that_tells_something_else_than_its_journal_is_found_though_the_sums_fit(folder: Path) -> None:
    kit.write_record(folder)
    edit(folder / "record.md", b"CHG-1", b"CHG-2")
    lines = [f"{evidence._sha256(path)}  {path.name}" for path in sorted(folder.iterdir()) if path.name != "SHA256SUMS"]  # noqa: SLF001 - to forge them
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    (fault,) = kit.verify_record(folder).faults
    assert fault.startswith("record.md is not what this version of the kit makes from the journal")
    edit(folder / "record.md", b"CHG-2", b"CHG-1")


@pytest.mark.parametrize("other", ["99.0", platform.python_version()])
def test_what_another_version_wrote_is_no_fault(other: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.write_record(folder)
    monkeypatch.setattr(evidence, "version", lambda _: other)
    monkeypatch.setattr(evidence, "change_record", lambda _: kit.show_records(()))
    check = kit.verify_record(folder)
    assert check.intact
    assert any("written by another version" in note for note in check.notes)


# --- keys --------------------------------------------------------------------------------------------------------------------


def said(act: Callable[[], object]) -> str:
    with pytest.raises((RecordError, SigningError, SecretError)) as raised:
        act()
    return str(raised.value)


def test_a_key_under_a_passphrase_opens_with_its_source_and_goes_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSPHRASE_OF_TEST", PASSPHRASE)
    key = key_file(folder.parent / "key.pem", passphrase=PASSPHRASE)
    assert "is under a passphrase" in said(lambda: kit.write_record(folder, sign_with=key))
    assert "wrong passphrase" in said(lambda: kit.write_record(folder, sign_with=key, passphrase="changeit"))
    kit.write_record(folder, sign_with=key, passphrase="env:PASSPHRASE_OF_TEST")
    assert kit.verify_record(folder).signer
    assert holding(folder, PASSPHRASE) == []


def test_a_key_of_openssh_signs_too(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    path = folder.parent / "id_ed25519"
    path.write_bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption()))
    kit.write_record(folder, sign_with=path)
    assert kit.verify_record(folder).signer


def test_what_is_no_key_is_refused_without_repeating_it(folder: Path) -> None:
    path = folder.parent / "key.pem"
    path.write_text(PASSPHRASE)
    for wrong in (
        lambda: kit.write_record(folder, sign_with=path),
        lambda: kit.verify_record(folder, path),
        lambda: kit.write_record(folder, sign_with=key_file(path), passphrase=lambda: PASSPHRASE),
        lambda: kit.write_record(folder, sign_with=folder),
    ):
        assert PASSPHRASE not in said(wrong)
    curve = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(curve.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))
    assert "openssl genpkey -algorithm ed25519" in said(lambda: kit.write_record(folder, sign_with=path))
    assert {path.name for path in folder.iterdir()} == {"journal.jsonl"}
