"""Notebooks as runbooks: a template is copied, executed unattended, and leaves a record folder; the template stays as it was.

A record folder holds the journal, the executed notebook without widget state, the change record, and `SHA256SUMS`.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.errors import LocateError, RunbookError, RunbookFailed
from allegra_tls_kit.journal import Journal
from allegra_tls_kit.locate import find_jvms, locate
from allegra_tls_kit.plan import is_password_source
from allegra_tls_kit.record import change_record
from allegra_tls_kit.static import Badge, Static, Table, Tone
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

RECORDS_VARIABLE = "ALLEGRA_TLS_RECORDS"
FOLDER_PARAMETER = "RECORD"
SUMS = "SHA256SUMS"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SECRET_NAME = re.compile(r"pass|secret|token|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RecordFolder:
    """What a run has left behind; `notebook` is None where no notebook was executed by this kit."""

    path: Path
    journal: Path
    record: Path
    notebook: Path | None


def records_folder() -> Path:
    """Return the folder of all records: `$ALLEGRA_TLS_RECORDS`, or `allegra-tls-records` under the user's home."""
    return Path(os.environ.get(RECORDS_VARIABLE) or Path.home() / "allegra-tls-records").expanduser()


def open_journal(folder: str | os.PathLike[str] = "", title: str = "work") -> Journal:
    """Open the journal of a record folder; an empty name makes a new dated folder under `records_folder`."""
    place = Path(folder).expanduser() if str(folder) else new_record_folder(title)
    return Journal(place / "journal.jsonl")


def new_record_folder(title: str, base: str | os.PathLike[str] | None = None) -> Path:
    """Make and return a folder named after the instant (UTC) and the title, under `base` or `records_folder`."""
    base = records_folder() if base is None else Path(base)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{title}"
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = base / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunbookError(f"{folder}: no folder can be made here: {error.strerror}; set ${RECORDS_VARIABLE}") from None
        return folder
    raise RunbookError(f"{base}: a hundred records of {title} in one second; look what starts them")


def write_record(journal: Journal) -> RecordFolder:
    """Write the change record and the checksums beside a journal; again after each step, if you like."""
    return _written(journal.path.parent, None)


def _written(folder: Path, notebook: Path | None) -> RecordFolder:
    journal, record = folder / "journal.jsonl", folder / "record.md"
    record.write_text(change_record(journal.read_bytes() if journal.exists() else b""), encoding="utf-8")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / SUMS).write_text(sums, encoding="utf-8")
    return RecordFolder(folder, journal, record, notebook)


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


def run_notebook(template: str | os.PathLike[str], folder: str | os.PathLike[str], parameters: Mapping[str, Any]) -> RecordFolder:
    """Execute a notebook unattended in a new record folder under `folder`, and write its record.

    `template` is a name such as `20_import_certificate`, or a path. `parameters` replace those of its parameters cell; unknown
    names, values of another type and secrets raise RunbookError before anything runs. Relative paths are those of this process.
    A failing cell raises RunbookFailed, after the executed notebook and the record of what happened until then have been written.
    """
    import nbformat  # noqa: PLC0415 - slow to load, and only a run needs it

    path = _template(template)
    notebook = _read(path)
    values = checked_parameters(notebook, parameters)
    place = new_record_folder(path.stem, Path(folder).absolute())
    _inject(notebook, values | {FOLDER_PARAMETER: str(place)})
    failure = _execute(notebook)
    _take_out_widgets(notebook)
    executed = place / path.name
    nbformat.write(notebook, executed)  # type: ignore[no-untyped-call]
    left = _written(place, executed)
    if failure is not None:
        raise RunbookFailed(f"{path.stem} stopped: {failure}\nWhat happened until then: {place}")
    return left


def _execute(notebook: NotebookNode) -> str | None:
    """Execute the cells, outputs into the notebook; return how it failed, None where it did not."""
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415 - as above
    from nbclient import NotebookClient  # noqa: PLC0415 - as above
    from nbclient.exceptions import CellExecutionError, DeadKernelError  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="allegra-kernel-") as private:
        # Sockets of the file system, where there are such, so that nobody listens in between notebook and kernel.
        transport = {} if os.name == "nt" else {"transport": "ipc", "connection_file": f"{private}/kernel.json"}
        manager = AsyncKernelManager(kernel_name="python3", **transport)
        client = NotebookClient(notebook, km=manager, timeout=None, store_widget_state=False)
        client.owns_km = True  # so that it is stopped at the end
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            return "the kernel died in the middle of a cell, killed from outside or for want of memory"
    return None


def _take_out_widgets(notebook: NotebookNode) -> None:
    """Leave of each output what shows without a kernel; a widget would read as an error."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(_WIDGET, None)


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


def prerequisites() -> Static:
    """Return a table of what the notebooks need: required, recommended, optional, and whether it is there."""
    folder = records_folder()
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    jvms = find_jvms()
    try:
        allegra, ground = str(locate().home), True
    except LocateError:
        allegra, ground = "not found: name HOME in the notebooks, or work in the laboratory", False
    rows = (
        ("Python 3.11 or newer", "required", platform.python_version(), True),
        ("JupyterLab 4", "required", version("jupyterlab"), version("jupyterlab").startswith("4.")),
        ("records can be written", "required", str(folder), os.access(place, os.W_OK)),
        ("a Java, to ask it for its verdict", "recommended", str(jvms[0].home) if jvms else "none found", bool(jvms)),
        ("Allegra's home", "recommended", allegra, ground),
    )
    cells = tuple(
        (Badge(_tone(grade, there=there), "there" if there else "missing"), what, grade, visible(seen))
        for what, grade, seen, there in rows
    )
    return Static((Table("Prerequisites", ("", "what", "grade", "seen here"), cells),))


def _tone(grade: str, *, there: bool) -> Tone:
    if there:
        return Tone.OK
    return Tone.BAD if grade == "required" else Tone.INFO


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


def _template(template: str | os.PathLike[str]) -> Path:
    path = Path(template)  # before the kit's own: an edited copy in the work folder has the same name
    if not path.is_file():
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
