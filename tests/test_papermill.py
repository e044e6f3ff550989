"""The notebooks under papermill, as they stand: the same parameters cell, the same record.

What papermill itself writes is its own affair: the executed notebook holds the parameters that it was given and the state of
every widget. The record folder beside it holds neither.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import certificates_in
from tests.shown import CANARY, holding

if TYPE_CHECKING:
    from pathlib import Path


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def executed(name: str, folder: Path, parameters: dict[str, str], *more: str) -> tuple[Path, Path, str]:
    """Execute a notebook with papermill: what it wrote, the record folder, and what it said."""
    parameters = {"RECORD": str(folder / "record"), **parameters}
    given = [part for pair in parameters.items() for part in ("-p", *pair)]
    written = folder / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(kit.templates()[name]), str(written), *given, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    return written, folder / "record", done.stderr


def test_a_survey_runs_under_papermill(laboratory: kit.Laboratory, tmp_path: Path) -> None:
    chosen = [laboratory.endpoints[name].url for name in ("smtp", "imaps-expires-soon", "pop3s-expired")]
    (tmp_path / "servers.txt").write_text("\n".join(chosen))
    written, record, said = executed("10_survey_servers", tmp_path, {"ENDPOINTS": "servers.txt", "TIMEOUT_S": "2.5"})
    tags = [cell["metadata"]["tags"] for cell in json.loads(written.read_text("utf-8"))["cells"] if cell["metadata"].get("tags")]
    assert ["injected-parameters"] in tags
    assert (record / "journal.jsonl").read_bytes().count(b'"kind":"Probe') == 3, said
    assert kit.verify_record(record).intact


def test_an_import_under_papermill_stops_for_the_confirmation_and_with_it_goes_through(
    laboratory: kit.Laboratory, given: dict[str, str], tmp_path: Path
) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    _, _, said = executed("20_import_certificate", tmp_path / "first", given)
    asked = re.search(r"NotConfirmed: .*confirm='([0-9a-f]{8})'", said)
    assert asked is not None, said
    assert not (tmp_path / "keystore").exists()

    # By -r a value is text: by -p an id of eight digits, or one like 12e45678, would become a number.
    written, record, _ = executed("20_import_certificate", tmp_path / "second", given, "-r", "CONFIRM", asked[1])
    assert kit.read_keystore(given["KEYSTORE"], "env:STOREPASS_OF_TEST").anchors == certificates_in(
        laboratory.ca_file.read_bytes(), "ca"
    )
    assert kit.read_record(record).outcome is kit.Outcome.VERIFIED
    assert kit.verify_record(record).intact
    assert WIDGET_STATE in json.loads(written.read_text("utf-8"))["metadata"]["widgets"]
    assert holding(record, WIDGET_STATE) == []
    assert holding(tmp_path, CANARY) == []
