"""Notebooks as runbooks: templates are copied to work in, or executed unattended with a record folder; they stay as they are."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.choice import is_password_source
from allegra_tls_kit.errors import RunbookError, RunbookFailed, RunbookStopped
from allegra_tls_kit.evidence import SESSION_VARIABLE, RecordFolder, new_record_folder, write_record
from allegra_tls_kit.saved import without_widgets
from allegra_tls_kit.text import slug, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

FOLDER_PARAMETER = "RECORD"
_DECIDES = {"NotConfirmed", "NotCompared"}
"""Errors by which a notebook stops where a person has to decide; nothing was changed then."""
_ROOM = 66
"""Bytes for the name of the folder of temporary files, where sockets are to lie: of a path's 103 (on macOS) the rest is ours."""
_SECRET_NAME = re.compile(r"pass|secret|token|credential", re.IGNORECASE)


def templates() -> dict[str, Path]:
    """Return the notebooks that come with the kit, by name without ending."""
    package = Path(__file__).parent
    folder = next(place for place in (package / "notebooks", package.parent / "notebooks") if place.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def copy_notebooks(folder: str | os.PathLike[str]) -> Path:
    """Copy the notebooks to a work folder, made if need be; one that is there already is left alone. Return the first."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in templates().values():
            if not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise RunbookError(f"{folder}: the notebooks cannot be copied there: {error.strerror}; name another folder") from None
    return folder / next(iter(templates().values())).name


def dated_copy(template: str, title: str = "", folder: str | os.PathLike[str] = ".") -> Path:
    """Copy one of the kit's notebooks to work in, named after the day (UTC), the notebook and the title; never over another."""
    name = _template(template, own=True).stem
    stem = "-".join((f"{datetime.now(UTC):%Y%m%d}", name, *([slug(title)] if title.strip() else [])))
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        copy = Path(folder) / f"{stem}{suffix}.ipynb"
        try:
            with copy.open("xb") as file:
                file.write(templates()[name].read_bytes())
        except FileExistsError:
            continue
        except OSError as error:
            raise RunbookError(f"{copy}: the notebook cannot be copied there: {error.strerror}; name another folder") from None
        return copy
    raise RunbookError(f"{folder}: a hundred copies of {stem}; give this one a title of its own")


def run_notebook(template: str | os.PathLike[str], folder: str | os.PathLike[str], parameters: Mapping[str, Any]) -> RecordFolder:
    """Execute a notebook unattended in a new record folder under `folder`, and write its record.

    `template` is a name such as `20_import_certificate`, or a path. `parameters` replace those of its parameters cell; unknown
    names, values of another type and secrets raise RunbookError before anything runs. Relative paths are those of this process.
    A failing cell raises RunbookFailed, one where a person has to decide RunbookStopped, after the executed notebook and the
    record of what happened until then have been written.
    """
    import nbformat  # noqa: PLC0415 - slow to load, and only a run needs it

    path = _template(template)
    notebook = _read(path)
    values = checked_parameters(notebook, parameters)
    place = new_record_folder(path.stem, Path(folder).absolute())
    _inject(notebook, values | {FOLDER_PARAMETER: str(place)})
    failure, decides = _execute(notebook)
    executed = place / path.name
    nbformat.write(without_widgets(notebook), executed)  # type: ignore[no-untyped-call]
    left = write_record(place, notebook=executed)
    if failure:
        stopped = RunbookStopped if decides else RunbookFailed
        raise stopped(f"{path.stem} stopped: {failure}\nWhat happened until then: {place}")
    return left


def _execute(notebook: NotebookNode) -> tuple[str, bool]:
    """Execute the cells, outputs into the notebook; return how it failed, empty if not, and whether a person has to decide."""
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415 - as above
    from nbclient import NotebookClient  # noqa: PLC0415 - as above
    from nbclient.exceptions import CellExecutionError, DeadKernelError  # noqa: PLC0415 - as above

    cramped = os.name != "nt" and len(os.fsencode(tempfile.gettempdir())) > _ROOM
    with tempfile.TemporaryDirectory(prefix="allegra-kernel-", dir="/tmp" if cramped else None) as private:  # noqa: S108 - ours alone
        # Sockets of the file system, where there are such, so that nobody listens in between notebook and kernel.
        transport = {} if os.name == "nt" else {"transport": "ipc", "connection_file": f"{private}/kernel.json"}
        manager = AsyncKernelManager(kernel_name="python3", **transport)
        client = NotebookClient(notebook, km=manager, timeout=None, store_widget_state=False)
        client.owns_km = True  # so that it is stopped at the end
        try:
            # A run that is started from a notebook is not that notebook.
            client.execute(env={name: text for name, text in os.environ.items() if name != SESSION_VARIABLE})
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue}", error.ename in _DECIDES
        except (DeadKernelError, AssertionError):  # at a signal nbclient cleans up twice, and the second time asserts
            return "the kernel died in the middle of a cell, killed from outside or for want of memory", False
        except (asyncio.CancelledError, KeyboardInterrupt):
            return "it was interrupted while the kernel was starting", False
    return "", False


def checked_parameters(notebook: NotebookNode, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in the types of the notebook's own; raises RunbookError, which repeats no value of a secret."""
    known = _defaults(notebook)
    checked: dict[str, Any] = {}
    for name, value in parameters.items():
        if name not in known or name == FOLDER_PARAMETER:
            names = ", ".join(known)
            raise RunbookError(f"there is no parameter {visible(name)!r}; this notebook has {names}")
        if _SECRET_NAME.search(name) and not is_password_source(str(value)):
            raise RunbookError(f"{name} is a secret's name: give its source, env:NAME or file:PATH, never the secret itself")
        checked[name] = _as(type(known[name]), name, value)
    return checked


def _as(kind: type[Any], name: str, value: object) -> object:
    """Return a value in the wanted type; text from a command line is read as a literal where text is not wanted."""
    if isinstance(value, str) and kind is not str:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            value = None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # exactly: True is no number, and what a subclass is written as is no literal
        raise RunbookError(f"parameter {name} must be {kind.__name__}")
    return value


def _template(template: str | os.PathLike[str], *, own: bool = False) -> Path:
    path = Path(template)  # before the kit's own: an edited copy in the work folder has the same name
    if own or not path.is_file():
        path = templates().get(str(template).removesuffix(".ipynb"), path)
    if not path.is_file():
        raise RunbookError(f"there is no notebook {visible(str(template))!r}; the kit's own are {', '.join(templates())}")
    return path


def _read(path: Path) -> NotebookNode:
    import nbformat  # noqa: PLC0415 - as above

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call,no-any-return]
    except Exception as error:  # noqa: BLE001 - nbformat fails in a dozen ways, AttributeError among them
        raise RunbookError(f"{path}: not a notebook: {visible(str(error), 120)}") from None


def _parameters_cell(notebook: NotebookNode) -> int:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return index
    raise RunbookError("this notebook has no cell tagged `parameters`")


def _defaults(notebook: NotebookNode) -> dict[str, Any]:
    """Return the names and literals of the parameters cell."""
    found: dict[str, Any] = {}
    source = notebook.cells[_parameters_cell(notebook)].source
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    except (ValueError, SyntaxError):
        raise RunbookError("its cell tagged `parameters` may hold lines NAME = literal only") from None
    return found


def _inject(notebook: NotebookNode, values: Mapping[str, Any]) -> None:
    """Put the values into a cell of their own below the parameters, as papermill does."""
    from nbformat.v4 import new_code_cell  # noqa: PLC0415 - as above

    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    cell = new_code_cell(source, metadata={"tags": ["injected-parameters"]})  # type: ignore[no-untyped-call]
    notebook.cells.insert(_parameters_cell(notebook) + 1, cell)
