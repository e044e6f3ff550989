"""A survey on disk: saved, and loaded again to be judged, tabulated or compared, years later and without the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import SurveyError
from allegra_tls_kit.evidence import JOURNAL
from allegra_tls_kit.files import read_bounded
from allegra_tls_kit.survey_lines import LONGEST_SURVEY, survey_bytes, survey_in
from allegra_tls_kit.text import visible
from allegra_tls_kit.writing import put_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from allegra_tls_kit.survey import Probe, ProbeFailure

ENDINGS = (".jsonl",)


def save_survey(results: Iterable[Probe | ProbeFailure], path: str | os.PathLike[str]) -> Path:
    """Save a survey as JSON Lines, each certificate once, over a file of the same name; return its path.

    The name must end in `.jsonl`. Raises ExportError where it cannot be written, and SurveyError for more than 256 MB.
    """
    return put_file(path, survey_bytes(results), ENDINGS)


def load_survey(path: str | os.PathLike[str]) -> tuple[Probe | ProbeFailure, ...]:
    """Return a survey as it was saved, or all results of probes that a journal or a record folder keeps, in their order.

    `judge` judges them as of their probes, with whatever anchors. Zones are not told apart: save each to a file of its own.
    Raises SurveyError for what is neither, or was damaged.
    """
    path = Path(path).expanduser()
    try:
        path = path / JOURNAL if path.is_dir() else path
        data = read_bounded(path, LONGEST_SURVEY)
    except OSError as error:
        raise SurveyError(f"{visible(str(path))}: the survey cannot be read: {error.strerror}") from None
    return survey_in(data, visible(str(path)))
