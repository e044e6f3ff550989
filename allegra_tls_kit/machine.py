"""What the notebooks need on this machine, graded: required, recommended, optional."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import JavaError, LocateError
from allegra_tls_kit.evidence import records_folder
from allegra_tls_kit.java_home import java_home_of, java_version
from allegra_tls_kit.jvm import find_java
from allegra_tls_kit.locate import locate
from allegra_tls_kit.static import Badge, Static, Table, Tone
from allegra_tls_kit.text import visible
from allegra_tls_kit.witness import java_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from allegra_tls_kit.locate import Allegra

REQUIRED, RECOMMENDED, OPTIONAL = "required", "recommended", "optional"


def prerequisites(home: str | Path = "", records: str | os.PathLike[str] = "") -> Static:
    """Return a table of what the notebooks need, whether it is there, and what to do where it is not.

    `home` is Allegra's, looked for if empty; `records` the folder of the records, `records_folder` if empty. Nothing is written.
    """
    rows = tuple(
        (Badge(_tone(grade, there=there), "there" if there else "missing"), what, grade, visible(seen), "" if there else cure)
        for what, grade, there, seen, cure in _checks(home, Path(records).expanduser() if str(records) else records_folder())
    )
    head = ("", "what", "grade", "seen here", "what to do")
    return Static((Table("Prerequisites", head, rows),))


def _checks(home: str | Path, records: Path) -> Iterator[tuple[str, str, bool, str, str]]:
    yield ("Python 3.11 or newer", REQUIRED, sys.version_info >= (3, 11), platform.python_version(), "install one")
    lab = version("jupyterlab")
    yield ("JupyterLab 4", REQUIRED, lab.startswith("4."), lab, "pip install 'jupyterlab>=4.4,<5'")
    place = next(parent for parent in (records, *records.absolute().parents) if parent.exists())
    writable = place.is_dir() and os.access(place, os.W_OK)
    yield ("records can be written", REQUIRED, writable, str(records), "name another folder in RECORDS, or $ALLEGRA_TLS_RECORDS")
    try:
        allegra = locate(home or None)
    except LocateError:
        allegra = None
    java, seen = _java(allegra)
    yield ("a Java, to ask it for its verdict", RECOMMENDED, java is not None, "none found" if java is None else seen, seen)
    found = "not found" if allegra is None else str(allegra.home)
    yield ("Allegra's home", RECOMMENDED, allegra is not None, found, "name HOME in the notebooks, or work in the laboratory")
    papermill = find_spec("papermill") is not None
    yield ("papermill", OPTIONAL, papermill, "installed" if papermill else "not installed", "only if you run the notebooks by it")


def _java(allegra: Allegra | None) -> tuple[Path | None, str]:
    """Return the program that is asked for verdicts, Allegra's own before any other, and its words; or None and the reason."""
    try:
        java = find_java(java_of(allegra))
    except JavaError as error:
        return None, str(error)
    home = java_home_of(java)
    return java, str(java) if home is None else f"{home} ({java_version(home) or 'version unknown'})"


def _tone(grade: str, *, there: bool) -> Tone:
    if there:
        return Tone.OK
    return Tone.BAD if grade == REQUIRED else Tone.INFO
