from __future__ import annotations

import csv
import errno
import io
import json
import os
import ssl
import stat
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.errors import ExportError
from allegra_tls_kit.exports import guarded
from allegra_tls_kit.text import visible
from tests.chains import distinguished, issue
from tests.children import as_nobody
from tests.hostile import FORMULAS
from tests.shown import HOSTILE, HOSTILE_LEAF, LEAF, ROOT, failure_of, probe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpyxl.cell import Cell, MergedCell

EVIL = issue(distinguished(CN="=cmd|' /C calc'!A0", O='x,"=1+1"'), ROOT)
RESULTS = (probe_of(LEAF.der, ROOT.der), failure_of(url="ldaps://10.0.0.5"), probe_of(EVIL.der), probe_of(HOSTILE_LEAF.der))
EXPORTS: dict[str, Callable[[pd.DataFrame, Path], Path]] = {
    "csv": kit.export_csv, "xlsx": kit.export_excel, "jsonl": kit.export_json_lines,
}  # fmt: skip


def certificates() -> pd.DataFrame:
    return kit.certificates_frame(RESULTS)


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter, strict=True))


def cells_of(path: Path, sheet: str = "table") -> list[list[Cell | MergedCell]]:
    return [list(row) for row in openpyxl.load_workbook(path)[sheet].iter_rows()]


# --- formulas ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_take_for_a_formula_is_text(text: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({text: [text, "plain"]})
    begins = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe63", "\t", "\r", "\n")
    for delimiter in (",", ";"):
        path = kit.export_csv(frame, tmp_path / "x.csv", delimiter=delimiter)
        for other in (",", ";", "\t"):  # a program that splits at another sign than this file was written for
            with path.open(encoding="utf-8-sig", newline="") as file:
                cells = [cell for line in csv.reader(file, delimiter=other) for cell in line]
            assert not [cell for cell in cells if cell.strip().startswith(begins)]
    head, cell, plain = (row[0] for row in cells_of(kit.export_excel(frame, tmp_path / "x.xlsx")))
    assert [each.data_type for each in (head, cell, plain)] == ["s", "s", "s"]
    assert not str(cell.value).strip().startswith(begins)
    assert not str(head.value).strip().startswith(begins)


@given(st.text(st.sampled_from("=+-@ \t;,|\"'aZ1\uff1d"), max_size=12))
def test_a_guarded_text_is_the_text_with_apostrophes_and_is_guarded_already(text: str) -> None:
    shown = guarded(text)
    assert guarded(shown) == shown
    assert [c for c in shown if c != "'"] == [c for c in text if c != "'"]
    if not set(text) & set("=+-@\uff1d\t"):
        assert shown == text


@pytest.mark.parametrize(
    "text",
    ["mail.example.com", "CN=mail,O=Example", "imaps://a:993, imaps://b:993", "TLS_AES_256_GCM_SHA384", "a-b", "", "1.2.840"],
)
def test_what_begins_no_formula_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text


def test_no_cell_of_a_hostile_survey_is_a_formula_a_link_or_an_error(tmp_path: Path) -> None:
    views = {
        "survey": kit.survey_frame(RESULTS, [ROOT.der]), "certificates": certificates(), "ends": kit.expiry_frame(RESULTS),
        "issuers": kit.issuers_frame(RESULTS), "=names[1]": kit.names_frame(RESULTS), "#REF!": pd.DataFrame({"x": ["#REF!"]}),
        "matrix": pd.DataFrame({"=1": ["a"]}, index=pd.Index(["=2"], name="=3")),
    }  # fmt: skip
    path = kit.export_excel(views, tmp_path / "estate.xlsx")
    book = openpyxl.load_workbook(path)
    found = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert any("cmd|" in str(cell.value) for cell in found)
    assert {cell.data_type for cell in found} <= {"s", "n", "b", "d"}
    assert not [cell for cell in found if cell.hyperlink]
    with zipfile.ZipFile(path) as parts:
        sheets = [parts.read(name) for name in parts.namelist() if "worksheets/" in name]
        assert not [name for name in parts.namelist() if "external" in name.lower() or "rels/sheet" in name]
    assert not [data for data in sheets if b"<f" in data.replace(b"<font", b"") or b't="e"' in data]
    assert b't="inlineStr"><is><t>#REF!' in b"".join(sheets)


# --- what arrives --------------------------------------------------------------------------------------------------------------


def test_csv_holds_what_the_frame_holds(tmp_path: Path) -> None:
    frame = certificates()
    path = kit.export_csv(frame, tmp_path / "certificates.csv")
    rows = read_csv(path)
    assert [*rows[0]] == [*frame]
    assert [row["host"] for row in rows] == frame["host"].tolist()
    first, _, failed, evil, _ = rows
    assert (first["port"], first["starttls"], first["server_name"]) == ("587", "True", "")
    assert first["serial_number"] == frame.loc[0, "serial_number"]
    assert datetime.fromisoformat(first["not_after"]) == frame.loc[0, "not_after"]
    assert first["not_after"].endswith("+00:00")
    assert (failed["error"], failed["not_after"], failed["days_left"]) == ("ConnectFailed", "", "")
    assert evil["subject_cn"] == "'=cmd|' /C calc'!A0"
    again = pd.read_csv(path, parse_dates=["not_after"])
    assert again["not_after"].dropna().tolist() == frame["not_after"].dropna().tolist()


def test_a_file_for_the_excel_of_many_countries_says_that_it_is_utf_8(tmp_path: Path) -> None:
    frame = pd.DataFrame({"o": ["Müller; Söhne"]})
    plain, marked = (kit.export_csv(frame, tmp_path / "x.csv", delimiter=sign).read_bytes() for sign in (",", ";"))
    assert plain == "o\nMüller; Söhne\n".encode()
    assert marked == b'\xef\xbb\xbfo\n"M\xc3\xbcller; S\xc3\xb6hne"\n'
    with pytest.raises(ValueError, match="take , or ;"):
        kit.export_csv(frame, tmp_path / "x.csv", delimiter="=")


def test_in_excel_numbers_are_numbers_and_times_are_times_in_utc(tmp_path: Path) -> None:
    frame = certificates()
    head, first, _, failed, *_ = cells_of(kit.export_excel(frame, tmp_path / "x.xlsx"))
    names = [str(cell.value) for cell in head]
    assert [name.removesuffix(" (UTC)") for name in names] == [*frame]
    assert [name for name in names if name.endswith("(UTC)")] == ["not_before (UTC)", "not_after (UTC)"]
    row = dict(zip(frame, first, strict=True))
    assert (row["port"].value, row["starttls"].value, row["server_name"].value) == (587, True, None)
    assert row["not_after"].value == frame.loc[0, "not_after"].to_pydatetime().replace(tzinfo=None)  # type: ignore[union-attr]
    assert row["not_after"].is_date
    assert row["serial_number"].data_type == "s"
    assert dict(zip(frame, failed, strict=True))["not_after"].value is None


@pytest.mark.parametrize(
    "instant", [datetime(1850, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
)
def test_a_time_that_excel_does_not_know_is_text(instant: datetime, tmp_path: Path) -> None:
    frame = pd.DataFrame({"at": pd.Series([instant], dtype="datetime64[us, UTC]")})
    _, (cell,) = cells_of(kit.export_excel(frame, tmp_path / "x.xlsx"))
    assert cell.value in {instant.isoformat(" "), instant.replace(tzinfo=None)}
    assert cell.is_date is (instant.year > 1900)


def test_json_lines_hold_all_columns_and_nothing_is_guarded(tmp_path: Path) -> None:
    frame = certificates()
    rows = [json.loads(line) for line in kit.export_json_lines(frame, tmp_path / "x.jsonl").read_text().splitlines()]
    assert all([*row] == [*frame] for row in rows)
    assert rows[3]["subject_cn"] == "=cmd|' /C calc'!A0"
    assert (rows[2]["not_after"], rows[2]["port"], rows[2]["starttls"]) == (None, 636, False)
    assert datetime.fromisoformat(rows[0]["not_after"]) == frame.loc[0, "not_after"]


@pytest.mark.parametrize("form", EXPORTS)
def test_any_frame_can_be_exported_also_one_that_is_not_of_this_kit(form: str, tmp_path: Path) -> None:
    odd = pd.DataFrame(
        {"mixed": [None, [1, 2], float("inf")], "half": [1.5, float("nan"), 2.0], "text": [HOSTILE, "\x00\x01", "_x003D_1"]},
        index=pd.Index(["a", "b", "c"], name="key"),
    )
    odd["when"] = pd.Timestamp("2026-01-01T01:00", tz="Europe/Berlin")
    odd["naive"] = pd.Timestamp("2026-01-01 00:00:00.000000001")
    odd.insert(0, "text", "twice", allow_duplicates=True)
    path = EXPORTS[form](odd, tmp_path / f"x.{form}")
    assert path.stat().st_size > 100
    EXPORTS[form](pd.DataFrame(), path)
    EXPORTS[form](certificates().head(0), path)
    if form == "csv":
        assert path.read_text().startswith("host,port,protocol")


def test_what_ooxml_would_decode_stays_as_it_was_written(tmp_path: Path) -> None:
    path = kit.export_excel(pd.DataFrame({"x": ["_x003D_1+1", HOSTILE, "\x00"]}), tmp_path / "x.xlsx")
    _, *cells = cells_of(path)
    assert [cell.value for (cell,) in cells] == ["_x005F_x003D_1+1", visible(HOSTILE), "\\x00"]


def test_sheets_have_names_that_excel_takes(tmp_path: Path) -> None:
    names = ["a/b:c[d]", "A/B:C[D]", "x" * 50, "", "'"]
    path = kit.export_excel({name: pd.DataFrame({"x": [1]}) for name in names}, tmp_path / "x.xlsx")
    sheets = openpyxl.load_workbook(path).sheetnames
    assert len({sheet.lower() for sheet in sheets}) == len(names)
    assert all(len(sheet) <= 31 and not set(sheet) & set("[]:*?/\\") for sheet in sheets)


def test_a_text_that_is_too_long_for_a_cell_is_cut_and_says_so(tmp_path: Path) -> None:
    _, (cell,) = cells_of(kit.export_excel(pd.DataFrame({"x": ["y" * 40_000]}), tmp_path / "x.xlsx"))
    assert len(str(cell.value)) < 32_767
    assert str(cell.value).endswith("… (40,000 characters)")


def test_more_rows_than_a_sheet_has_are_refused_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allegra_tls_kit.exports.MOST_ROWS", 2)
    with pytest.raises(ExportError, match=r"3 rows are more than a sheet of Excel holds.*use export_csv"):
        kit.export_excel(pd.DataFrame({"x": [1, 2, 3]}), tmp_path / "x.xlsx")


def test_without_openpyxl_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ExportError, match=r"pip install 'allegra-tls-kit\[excel\]', or use export_csv"):
        kit.export_excel(certificates(), tmp_path / "x.xlsx")


# --- certificates of each server ----------------------------------------------------------------------------------------------


def test_each_server_has_a_file_with_its_chain_as_sent(tmp_path: Path) -> None:
    ldaps = failure_of(ROOT.der, url="ldaps://[2001:db8::1]")
    results = (probe_of(LEAF.der, ROOT.der), ldaps, failure_of(url="imaps://none.example.com"))
    mail, ldap = kit.export_pem(results, tmp_path / "made" / "for it")
    assert (mail.name, ldap.name) == ("mail.example.com-587.pem", "2001-db8-1-636.pem")
    assert kit.read_certificates(mail) == (LEAF.der, ROOT.der)
    assert mail.read_text().splitlines()[0] == (
        f"# mail.example.com, certificate 0 as sent, SHA-256 {keytool_notation(sha256_of(LEAF.der))}"
    )
    context = ssl.create_default_context(cafile=str(mail))
    assert len(context.get_ca_certs()) == 1  # the root; a leaf is no CA


def test_names_of_hosts_never_leave_the_folder_and_never_collide(tmp_path: Path) -> None:
    hosts = [
        "bücher.example",
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "a_b.example",
        "a-b.example",
        "con",
        "x" * 63 + "." + "y" * 63,
    ]
    results = [replace(probe_of(issue(host[:60]).der), endpoint=kit.Endpoint.parse(f"imaps://{host}")) for host in hosts[3:]]
    results += [replace(probe_of(LEAF.der), endpoint=kit.Endpoint.parse(f"imaps://{host}")) for host in hosts[:3]]
    folder = tmp_path / "pem"
    paths = kit.export_pem(results, folder)
    assert len(paths) == len(set(paths)) == 5  # three ways to type one host, with one chain
    assert {path.resolve().parent for path in paths} == {folder.resolve()}
    assert sorted(path.name[:12] for path in paths if path.name.startswith("a-b")) == ["a-b.example-"] * 2
    assert all(path.name.isascii() and not path.name.startswith(".") for path in paths)
    assert kit.export_pem(results[::-1], folder) and len([*folder.iterdir()]) == 5  # noqa: PT018 - the same names, whatever their order


def test_one_server_seen_from_two_zones_has_a_file_for_each_chain(tmp_path: Path) -> None:
    seen = {"dmz": [probe_of(LEAF.der)], "lan": [probe_of(ROOT.der)], "vpn": [probe_of(LEAF.der)]}
    paths = kit.export_pem(seen, tmp_path)
    assert {kit.read_certificates(path) for path in paths} == {(LEAF.der,), (ROOT.der,)}
    assert all(path.name.startswith("mail.example.com-587-") for path in paths)


def test_nothing_of_a_certificate_s_own_words_stands_in_the_file(tmp_path: Path) -> None:
    (path,) = kit.export_pem([probe_of(HOSTILE_LEAF.der)], tmp_path)
    text = path.read_text()
    assert "alert" not in text
    assert "script" not in text


def test_a_private_key_of_the_same_name_stays(tmp_path: Path) -> None:
    key = tmp_path / "mail.example.com-587.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ExportError, match="a private key, which cannot be made again"):
        kit.export_pem([probe_of(LEAF.der)], tmp_path)
    assert "PRIVATE" in key.read_text()


# --- files ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", EXPORTS)
def test_a_file_of_the_same_name_is_replaced_and_nothing_lies_beside_it(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{form}"
    path.write_bytes(b"old" * 1000)
    path.chmod(0o640)
    assert EXPORTS[form](certificates(), path) == path
    assert b"oldold" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("name", ["mail.ks", "cacerts", "x", ".csv", "x.csv.txt", "x.pem"])
def test_a_name_that_could_be_something_else_s_is_refused(form: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(ExportError, match=r"the name has to end in \."):
        EXPORTS[form](certificates(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"precious"


def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = kit.export_csv(certificates(), tmp_path / "x.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("old")
    (tmp_path / "x.csv").symlink_to(real)
    kit.export_csv(certificates(), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").is_symlink()
    assert real.read_text().startswith("host,")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EACCES, "it may be open in another program, as Excel keeps what it shows"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failure_leaves_the_old_file_and_says_why(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")

    def fails(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    for place in ("write", "replace"):
        with monkeypatch.context() as patch:
            if place == "write":
                patch.setattr(os, "fsync", fails)
            else:
                patch.setattr(Path, "replace", fails)
            with pytest.raises(ExportError, match=words):
                kit.export_csv(certificates(), path)
        assert path.read_text() == "old"
        assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/x.csv", "there is no such folder; make it first"),
        ("x" * 300 + ".csv", "File name too long"),
        ("a\0b.csv", "embedded null"),
    ],
)
def test_a_place_where_no_file_can_be_says_so(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=words):
        kit.export_csv(certificates(), tmp_path / name)


def test_what_is_no_file_or_write_protected_is_left_alone(open_folder: Path) -> None:
    (open_folder / "folder.csv").mkdir()
    with pytest.raises(ExportError, match="something of this name that is no file"):
        kit.export_csv(certificates(), open_folder / "folder.csv")
    (open_folder / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(ExportError, match=r"cannot be written|that is no file"):
        kit.export_csv(certificates(), open_folder / "loop.csv")
    assert (open_folder / "loop.csv").is_symlink()
    protected = open_folder / "x.csv"
    protected.write_text("old")
    open_folder.chmod(0o777)
    said = as_nobody(lambda: kit.export_csv(certificates(), protected))
    assert said == f"ExportError: {protected}: write-protected; choose another name, or allow writing it"
    open_folder.chmod(0o755)
    said = as_nobody(lambda: kit.export_csv(certificates(), open_folder / "new.csv"))
    assert "permission denied" in said
    assert "no folder can be made here: Permission denied" in as_nobody(lambda: kit.export_pem(RESULTS, open_folder / "pem"))


def test_a_journal_is_never_replaced(journal: kit.Journal) -> None:
    before = journal.path.read_bytes()
    with pytest.raises(ExportError, match="a journal"):
        kit.export_json_lines(certificates(), journal.path)
    assert journal.path.read_bytes() == before


def test_an_export_in_a_home_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kit.export_csv(certificates(), "~/x.csv") == tmp_path / "x.csv"
    assert io.StringIO((tmp_path / "x.csv").read_text()).readline().startswith("host,")
