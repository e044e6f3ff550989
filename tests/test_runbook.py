from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.errors import RunbookError, RunbookFailed
from allegra_tls_kit.plan import is_password_source
from allegra_tls_kit.runbook import checked_parameters, copy_notebooks, new_record_folder, records_folder
from tests.shown import HOSTILE, holding, notebook, require_sums, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from nbformat import NotebookNode

PARAMETERS = (
    'NAME = ""\nTIMEOUT_S = 5.0\nCOUNT = 3\nDEEP = False\nOFFSET = -1\nPASSWORD_FROM = "changeit"  # a source\nRECORD = ""'
)
CANARY = "hunter2-canary"


def checked(parameters: dict[str, Any], source: str = PARAMETERS) -> dict[str, Any]:
    node: NotebookNode = nbformat.reads(notebook(source), as_version=4)  # type: ignore[no-untyped-call]
    return checked_parameters(node, parameters)


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("NAME", "3", "3"),
        ("NAME", "it's", "it's"),
        ("TIMEOUT_S", "2.5", 2.5),
        ("TIMEOUT_S", "3", 3.0),
        ("TIMEOUT_S", 3, 3.0),
        ("TIMEOUT_S", "-0.5", -0.5),
        ("COUNT", "-7", -7),
        ("OFFSET", "7", 7),
        ("DEEP", "True", True),
        ("DEEP", False, False),
        ("PASSWORD_FROM", "env:STOREPASS", "env:STOREPASS"),
        ("PASSWORD_FROM", "file:~/.storepass", "file:~/.storepass"),
        ("PASSWORD_FROM", "", ""),
    ],
)
def test_values_take_the_type_of_the_notebook_s_own(name: str, given: object, taken: object) -> None:
    ((_, value),) = checked({name: given}).items()
    assert (type(value), value) == (type(taken), taken)


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("NAMES", "x", r"no parameter 'NAMES'; this notebook has NAME, TIMEOUT_S"),
        ("RECORD", "/tmp/elsewhere", "no parameter 'RECORD'"),
        (HOSTILE, "x", "no parameter"),
        ("NAME", 3, "NAME must be str"),
        ("NAME", kit.Protocol.SMTP, "NAME must be str"),
        ("TIMEOUT_S", "soon", "TIMEOUT_S must be float"),
        ("TIMEOUT_S", True, "TIMEOUT_S must be float"),
        ("TIMEOUT_S", "True", "TIMEOUT_S must be float"),
        ("TIMEOUT_S", "__import__('os')", "TIMEOUT_S must be float"),
        ("COUNT", "1.5", "COUNT must be int"),
        ("COUNT", True, "COUNT must be int"),
        ("COUNT", "(" * 10_000, "COUNT must be int"),
        ("DEEP", "1", "DEEP must be bool"),
        ("DEEP", "yes", "DEEP must be bool"),
        ("PASSWORD_FROM", CANARY, "never the secret itself"),
        ("PASSWORD_FROM", f"env:X\n{CANARY}", "never the secret itself"),
    ],
)
def test_what_does_not_fit_is_refused_without_repeating_it(name: str, given: object, why: str) -> None:
    with pytest.raises(RunbookError, match=why) as raised:
        checked({name: given})
    assert CANARY not in str(raised.value)
    assert str(raised.value).isprintable()


def test_no_name_is_a_way_around_the_secrets() -> None:
    for name in ("storepass", "Token", "CLIENT_SECRET", "credentials"):
        with pytest.raises(RunbookError, match="never the secret itself"):
            checked({name: CANARY}, f'{name} = ""')


@pytest.mark.parametrize("text", ["env:X", "file:/x", "prompt", "changeit", ""])
def test_a_source_is_told_from_a_password(text: str) -> None:
    assert is_password_source(text)
    assert not is_password_source(f"x{text}")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("hello", "not a notebook"),
        ("{}", "not a notebook"),
        ("[]", "not a notebook"),
        ('{"nbformat": 4, "cells": 3}', "not a notebook"),
        ('{"nbformat": 99}', "not a notebook"),
        (notebook("1").replace("parameters", "other"), "no cell tagged `parameters`"),
        (notebook("X = open('/etc/passwd')"), "NAME = literal only"),
        (notebook("%matplotlib inline"), "NAME = literal only"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_folder_is_made(content: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "it.ipynb").write_text(content)
    with pytest.raises(RunbookError, match=why):
        kit.run_notebook(tmp_path / "it.ipynb", tmp_path / "records", {})
    assert not (tmp_path / "records").exists()


def test_an_unknown_notebook_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no notebook '21_import'; the kit's own are 00_start_here, 10_survey"):
        kit.run_notebook("21_import", tmp_path, {})


def test_a_file_comes_before_the_kit_s_own_notebook_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "20_import_certificate.ipynb").write_text(notebook('MINE = ""'))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunbookError, match=r"this notebook has MINE$"):
        kit.run_notebook("20_import_certificate.ipynb", tmp_path, {"ENDPOINT": "demo"})
    with pytest.raises(RunbookError, match="this notebook has ENDPOINT"):
        kit.run_notebook("20_import_certificate", tmp_path, {"MINE": "x"})


DYING = """import os, pathlib, IPython, ipywidgets
box = ipywidgets.Text("seen")
IPython.display.display(box)
print(pathlib.Path(NAME).read_text())
pathlib.Path(RECORD, "written").touch()"""


def test_a_dying_kernel_leaves_a_record_and_relative_paths_are_the_caller_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("from the caller's folder")
    (tmp_path / "dying.ipynb").write_text(notebook(PARAMETERS, DYING, "os._exit(3)"))
    before, children = (tmp_path / "dying.ipynb").read_bytes(), set(psutil.Process().children(recursive=True))
    with pytest.raises(RunbookFailed, match="dying stopped: the kernel died") as raised:
        kit.run_notebook("dying.ipynb", "records", {"NAME": "list.txt"})
    (folder,) = (tmp_path / "records").iterdir()
    assert str(folder) in str(raised.value)
    assert {path.name for path in folder.iterdir()} == {"written", "dying.ipynb", "record.md", "SHA256SUMS"}
    require_sums(folder)
    shown, printed = json.loads((folder / "dying.ipynb").read_text("utf-8"))["cells"][2]["outputs"]
    assert list(shown["data"]) == ["text/plain"]
    assert printed["text"] == ["from the caller's folder\n"]
    assert (tmp_path / "dying.ipynb").read_bytes() == before
    assert set(psutil.Process().children(recursive=True)) <= children


# --- record folders ----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(RunbookError, match=r"no folder can be made here: .*; set \$ALLEGRA_TLS_RECORDS"):
        new_record_folder("x", tmp_path / "file")
    with pytest.raises(RunbookError, match="cannot be copied there"):
        copy_notebooks(tmp_path / "file")


def test_a_record_can_be_written_again_after_each_step(tmp_path: Path) -> None:
    journal = kit.open_journal(tmp_path)
    first = kit.write_record(journal)
    require_sums(first.path)
    journal.keep(kit.Statement("justification", "mail has stopped"))
    assert kit.write_record(journal) == first == kit.RecordFolder(tmp_path, journal.path, tmp_path / "record.md", None)
    require_sums(first.path)
    assert holding(tmp_path, "mail has stopped") == ["journal.jsonl", "record.md"]


# --- what is needed ----------------------------------------------------------------------------------------------------------


def test_the_prerequisites_say_what_is_there_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "JAVA_HOME", "ALLEGRA_HOME", "TRACKPLUS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("psutil.process_iter", lambda: iter(()))
    shown = str(kit.prerequisites())
    assert "ℹ missing  a Java, to ask it for its verdict" in shown  # noqa: RUF001 - an icon
    assert "ℹ missing  Allegra's home" in shown  # noqa: RUF001
    assert "✔ there  JupyterLab 4" in shown
    monkeypatch.setenv("ALLEGRA_HOME", str(tmp_path))
    assert "✔ there  Allegra's home" in str(kit.prerequisites())
    assert str(tmp_path) in text_of(kit.prerequisites().html())
