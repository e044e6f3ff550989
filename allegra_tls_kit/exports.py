"""Frames as files for others: CSV, Excel, JSON Lines; and the certificates of each server as PEM.

Rule: what a stranger wrote stays text. In CSV and Excel a text that a spreadsheet would take for a formula has an apostrophe in
front (OWASP, CSV injection), also where another program would split a line; for programs there is JSON Lines, which needs none.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.errors import ExportError
from allegra_tls_kit.plan import pem
from allegra_tls_kit.tables import placed, with_named_index
from allegra_tls_kit.text import count, slug, visible
from allegra_tls_kit.writing import put_file

if TYPE_CHECKING:
    import os

    from allegra_tls_kit.tables import Results

LONGEST_TEXT = 30_000
"""Excel takes 32,767 characters a cell; what is longer is cut here and says so."""
MOST_ROWS = 1_048_575
"""A sheet has one more, for the names of the columns."""
LONGEST_SHEET_NAME = 31
LONGEST_HOST = 100
_WIDEST, _NARROWEST = 60, 8
_FIRST_YEAR = 1901
"""Before 1 March 1900 Excel counts a day that there never was, and before 1900 none at all."""

# What begins a formula, also in the width that Excel in Japan takes for the same, after blanks, or behind a sign that separates.
_FORMULA = re.compile(r"""(^|[;,|\t\r\n"])(?=\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212])""")
_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
"""OOXML reads `_x003D_` as the character with this number."""


def export_csv(frame: pd.DataFrame, path: str | os.PathLike[str], *, delimiter: str = ",") -> Path:
    """Write a frame as CSV in UTF-8, times in ISO 8601, over a file of the same name; return its path, which ends in `.csv`.

    With `;`, which the Excel of many countries wants, the file begins with a byte order mark, without which Excel takes UTF-8 for
    something else. The other delimiter is `,`. Raises ExportError.
    """
    if delimiter not in {",", ";"}:
        raise ValueError(f"the delimiter is {delimiter!r}; take , or ;")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    columns = _columns(frame)
    writer.writerow(guarded(name) for name in columns)
    writer.writerows(zip(*(map(_csv_cell, values) for values in columns.values()), strict=True))
    encoding = "utf-8-sig" if delimiter == ";" else "utf-8"
    return put_file(path, text.getvalue().encode(encoding, "backslashreplace"), (".csv",))


def export_json_lines(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a frame as one JSON object a row with all columns, NA as null, times in ISO 8601; return its path.

    The name ends in `.jsonl` or `.ndjson`; a file of the same name is replaced, a journal is not. Raises ExportError.
    """
    columns = _columns(frame)
    rows = zip(*columns.values(), strict=True)
    lines = [json.dumps(dict(zip(columns, row, strict=True)), default=datetime.isoformat) + "\n" for row in rows]
    return put_file(path, "".join(lines).encode(), (".jsonl", ".ndjson"))


def export_excel(frames: pd.DataFrame | Mapping[str, pd.DataFrame], path: str | os.PathLike[str]) -> Path:
    """Write a frame, or several by the names of their sheets, as an Excel file over one of the same name; return its path.

    Numbers are numbers and times are times, in UTC, as the names of their columns say, for Excel knows no zones. The name ends in
    `.xlsx`. Needs openpyxl, which the extra `excel` brings. Raises ExportError.
    """
    try:
        import openpyxl  # noqa: PLC0415 - the extra `excel`
    except ImportError:
        raise ExportError("Excel files need openpyxl: pip install 'allegra-tls-kit[excel]', or use export_csv") from None
    book = openpyxl.Workbook(write_only=True)
    named = frames if isinstance(frames, Mapping) else {"table": frames}
    for name, frame in named.items():
        if len(frame) > MOST_ROWS:
            raise ExportError(f"{count(len(frame), 'row')} are more than a sheet of Excel holds ({MOST_ROWS:,}); use export_csv")
        # Of two sheets with one name, or a name that differs in case only, openpyxl numbers the second.
        _fill(book.create_sheet(_sheet_name(name)), frame)
    made = io.BytesIO()
    book.save(made)
    return put_file(path, made.getvalue(), (".xlsx",))


def export_pem(results: Results, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the chain of each server as sent, leaf first, to `<host>-<port>.pem` in a folder, which is made; return the paths.

    Above each certificate stand its place and SHA-256, nothing from within it. Where different chains would have the same name,
    as of one server from two zones, each has the beginning of its digest in it. A server without certificates has no file.
    Nothing was verified: compare a fingerprint before anything is imported. Raises ExportError.
    """
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for _, result in placed(results):
        if result.chain:
            name = f"{slug(result.endpoint.ascii_host, LONGEST_HOST)}-{result.endpoint.port}"
            texts[name][_pem_text(result.endpoint.ascii_host, result.chain)] = None
    place = Path(folder).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{visible(str(place))}: no folder can be made here: {error.strerror or error}") from None
    written = []
    for name, found in texts.items():
        for text in found:
            distinct = name if len(found) == 1 else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            written.append(put_file(place / f"{distinct}.pem", text.encode(), (".pem",)))
    return tuple(written)


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe in front of whatever would begin one."""
    return _FORMULA.sub(r"\1'", text)


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each column as Python's own, text made visible, NA as None; a named index is a column."""
    columns: dict[str, list[Any]] = {}
    whole = with_named_index(frame)
    for place, name in enumerate(whole):
        shown = visible(str(name))
        while shown in columns:
            shown += " (2)"
        columns[shown] = [_value(value) for value in whole.iloc[:, place].tolist()]
    return columns


def _value(value: Any) -> Any:  # noqa: ANN401 - whatever a frame holds
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        exact = value.to_pydatetime(warn=False)
        return exact if exact.tzinfo is None else exact.astimezone(UTC)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_number else visible(str(value), LONGEST_TEXT)


def _csv_cell(value: Any) -> Any:  # noqa: ANN401 - as above
    return value.isoformat() if isinstance(value, datetime) else guarded(value) if isinstance(value, str) else value


def _fill(sheet: Any, frame: pd.DataFrame) -> None:  # noqa: ANN401 - openpyxl's, of which its types know half
    from openpyxl.styles import Font  # noqa: PLC0415 - the extra `excel`
    from openpyxl.utils import get_column_letter  # noqa: PLC0415

    columns = _columns(frame)
    in_utc = [isinstance(kind, pd.DatetimeTZDtype) for kind in with_named_index(frame).dtypes]
    head = [_excel_cell(sheet, f"{name} (UTC)" if utc else name or "unnamed") for name, utc in zip(columns, in_utc, strict=True)]
    sheet.freeze_panes = "A2"
    for number, (name, values) in enumerate(columns.items(), 1):
        head[number - 1].font = Font(bold=True)
        longest = max((len(str(value)) for value in values if value is not None), default=0)
        sheet.column_dimensions[get_column_letter(number)].width = min(_WIDEST, max(_NARROWEST, longest, len(name) + 6))
    sheet.append(head)
    for row in zip(*columns.values(), strict=True):
        sheet.append([_excel_cell(sheet, value) for value in row])
    if columns:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(frame) + 1}"


def _excel_cell(sheet: Any, value: Any) -> Any:  # noqa: ANN401 - as above
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415 - the extra `excel`

    if isinstance(value, datetime) and value.year >= _FIRST_YEAR:
        cell = WriteOnlyCell(sheet, value.replace(tzinfo=None))
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
        return cell
    if not isinstance(value, str | datetime):
        return value
    if value == "":
        return None  # openpyxl writes it as a text without one
    cell = WriteOnlyCell(sheet, _ESCAPED.sub("_x005F_", guarded(str(value))))
    cell.data_type = "s"  # whatever it looks like
    return cell


def _sheet_name(name: str) -> str:
    return re.sub(r"[\[\]:*?/\\]", "-", visible(name))[:LONGEST_SHEET_NAME].strip("' ") or "table"


def _pem_text(host: str, chain: tuple[bytes, ...]) -> str:
    above = (
        f"# {host}, certificate {place} as sent, SHA-256 {keytool_notation(sha256_of(der))}" for place, der in enumerate(chain)
    )
    return "".join(f"{line}\n{pem(der)}" for line, der in zip(above, chain, strict=True))
