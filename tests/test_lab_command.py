"""The command `lab`: copies of the notebooks, settings for this server alone, and files that read without a kernel."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.request import Request, urlopen

import psutil
import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

import allegra_tls_kit as kit
from allegra_tls_kit import lab as lab_module
from allegra_tls_kit.__main__ import main
from tests.lab import Lab, running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDGET = "application/vnd.jupyter.widget-view+json"
VIEW = {"version_major": 2, "version_minor": 0, "model_id": "0"}
LIVE: list[dict[str, Any]] = [
    {"output_type": "display_data", "metadata": {}, "data": {WIDGET: VIEW, "text/plain": "the choice", "text/html": "<b>it</b>"}},
    {"output_type": "execute_result", "metadata": {}, "execution_count": 1, "data": {WIDGET: VIEW}},
    {"output_type": "stream", "name": "stdout", "text": "said"},
]
CELL = {"cell_type": "code", "id": "one", "source": "form", "execution_count": 1}
WORDS = {"cell_type": "markdown", "id": "two", "source": "words", "metadata": {}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


def asked(lab: Lab, path: str, content: object = None) -> Any:  # noqa: ANN401 - JSON
    """What the server answers, to what is put there if anything is."""
    headers = {"Authorization": f"token {lab.token}"}
    data, method = (None, "GET") if content is None else (json.dumps(content).encode(), "PUT")
    with urlopen(Request(f"{lab.url}/{path}", data, headers, method=method), timeout=10) as response:
        return json.load(response)


def live(*, trusted: bool = True) -> dict[str, Any]:
    """A notebook as a browser sends it: its widgets are live."""
    cells = [{**CELL, "metadata": {"trusted": trusted}, "outputs": LIVE}, WORDS]
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {}}, "title": "mine"}
    return {"type": "notebook", "content": {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}}


# --- where it works ----------------------------------------------------------------------------------------------------------


def test_the_lab_serves_copies_of_the_notebooks_on_loopback_only(lab: Lab) -> None:
    served = asked(lab, "api/contents")["content"]
    assert {entry["name"] for entry in served} == {path.name for path in kit.templates().values()}
    doors = [door for door in psutil.Process(lab.process.pid).net_connections("inet") if door.status == psutil.CONN_LISTEN]
    assert {door.laddr.ip for door in doors} <= {"127.0.0.1", "::1"}
    assert doors


def instead(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of the JupyterLab that these arguments would start."""
    started: list[tuple[list[str], dict[str, str]]] = []

    def seen(program: str, command: list[str], environment: dict[str, str]) -> NoReturn:
        assert program == sys.executable
        started.append((command, environment))
        raise SystemExit

    monkeypatch.setattr(os, "execve", seen)
    with pytest.raises(SystemExit):
        main(["lab", *arguments])
    return started[0]


def test_notebooks_that_were_worked_in_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = [tmp_path / "work" / path.name for path in kit.templates().values()]
    instead(monkeypatch, ["--folder", str(tmp_path / "work")])
    first.write_text("edited")
    second.unlink()
    command, _ = instead(monkeypatch, ["--folder", str(tmp_path / "work"), "--no-browser"])
    assert first.read_text() == "edited"
    assert second.read_bytes() == kit.templates()[second.stem].read_bytes()
    assert f"--ServerApp.root_dir={tmp_path / 'work'}" in command
    assert f"--LabApp.default_url=/lab/tree/{first.name}" in command
    assert command[-1] == "--no-browser"


def test_records_go_where_the_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLEGRA_TLS_RECORDS", "as before")
    _, environment = instead(monkeypatch, [])
    assert environment["ALLEGRA_TLS_RECORDS"] == "as before"
    _, environment = instead(monkeypatch, ["--records", "mine"])
    assert environment["ALLEGRA_TLS_RECORDS"] == str(tmp_path / "mine")


# --- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "defaults"),
    [
        ("@jupyter-widgets/jupyterlab-manager:plugin", {"saveState": False}),
        ("@jupyterlab/notebook-extension:tracker", {"recordTiming": True}),
        ("@jupyterlab/apputils-extension:notification", {"fetchNews": "false", "checkForUpdates": False}),
    ],
)
def test_the_lab_has_defaults_of_its_own_and_the_user_s_settings_are_not_touched(
    lab: Lab, plugin: str, defaults: dict[str, object]
) -> None:
    settings = asked(lab, f"lab/api/settings/{plugin}")
    assert {name: settings["schema"]["properties"][name]["default"] for name in defaults} == defaults
    assert json.loads(settings["raw"] or "{}") == {}
    assert not (lab.work.parent / "jupyterlab_settings_dir").exists()
    assert not (lab.work.parent / "jupyter_config_dir").exists()


def test_the_user_s_own_configuration_path_comes_after(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/etc/mine")
    _, environment = instead(monkeypatch, [])
    assert environment["JUPYTER_CONFIG_PATH"] == f"{Path(kit.__file__).parent / 'jupyter'}{os.pathsep}/etc/mine"
    monkeypatch.delenv("JUPYTER_CONFIG_PATH")
    _, environment = instead(monkeypatch, [])
    assert environment["JUPYTER_CONFIG_PATH"] == str(Path(kit.__file__).parent / "jupyter")


# --- saving ------------------------------------------------------------------------------------------------------------------


def test_what_is_saved_reads_without_a_kernel_in_the_file_its_checkpoint_and_its_copy(lab: Lab) -> None:
    asked(lab, "api/contents/mine.ipynb", live())
    request = Request(
        f"{lab.url}/api/contents", b'{"copy_from": "mine.ipynb"}', {"Authorization": f"token {lab.token}"}, method="POST"
    )
    with urlopen(request, timeout=10) as response:
        copy = json.load(response)["name"]
    for name in ("mine.ipynb", ".ipynb_checkpoints/mine-checkpoint.ipynb", copy):
        saved = json.loads((lab.work / name).read_text("utf-8"))
        assert saved["metadata"] == {"title": "mine"}
        code, words = saved["cells"]
        shown, said = code["outputs"]
        assert {mime: "".join(text) for mime, text in shown["data"].items()} == {
            "text/plain": "the choice",
            "text/html": "<b>it</b>",
        }
        assert "".join(said["text"]) == "said"
        assert "".join(words["source"]) == "words"


@pytest.mark.parametrize("trusted", [True, False])
def test_what_was_trusted_is_trusted_when_it_is_opened_again_and_only_that(lab: Lab, *, trusted: bool) -> None:
    name = f"trusted-{trusted}.ipynb"
    content = live(trusted=trusted)
    content["content"]["cells"][1]["source"] = f"words of {name}"  # what is trusted is a content, under whatever name
    asked(lab, f"api/contents/{name}", content)
    assert asked(lab, f"api/contents/{name}")["content"]["cells"][0]["metadata"]["trusted"] is trusted


def test_an_error_on_the_way_loses_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> NoReturn:
        raise LookupError("what nobody thought of")

    monkeypatch.setattr(lab_module, "without_widgets", failing)
    manager = AsyncLargeFileManager(root_dir=str(tmp_path))
    manager.notary.data_dir = str(tmp_path)
    manager.register_pre_save_hook(lab_module.save_without_widgets)  # type: ignore[no-untyped-call]
    with closing(manager.notary.store):
        asyncio.run(manager.save(live(), "mine.ipynb"))  # type: ignore[no-untyped-call]
    assert "the choice" in (tmp_path / "mine.ipynb").read_text("utf-8")


@pytest.mark.parametrize(
    "model", [{}, {"type": "file", "content": "text"}, {"type": "notebook"}, {"type": "notebook", "content": None}]
)
def test_what_is_no_notebook_is_saved_as_it_is(model: dict[str, Any]) -> None:
    before = dict(model)
    lab_module.save_without_widgets(model=model, path="x", contents_manager=None)
    assert model == before
