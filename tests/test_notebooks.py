from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import certificates_in, sha256_of
from allegra_tls_kit.errors import RunbookFailed
from allegra_tls_kit.keystore import Edit, rewrite
from tests.chains import NOW
from tests.shown import CANARY, LEAF, OTHER_ROOT, holding, require_sums, text_of, text_of_page

if TYPE_CHECKING:
    from pathlib import Path

Cells = list[dict[str, Any]]
WIDGET = "application/vnd.jupyter.widget-view+json"
LONGEST_CELL = 8
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.AsyncFor, ast.While, ast.Try)


def cells_of(path: Path) -> Cells:
    cells: Cells = json.loads(path.read_text("utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


TEMPLATES = kit.templates()
CELLS = {name: cells_of(path) for name, path in TEMPLATES.items()}


def tagged(name: str, tag: str) -> Cells:
    return [cell for cell in CELLS[name] if tag in cell["metadata"].get("tags", ())]


def code(name: str) -> list[str]:
    (parameters,) = tagged(name, "parameters")
    return [cell["source"] for cell in CELLS[name] if cell["cell_type"] == "code" and cell["source"] != parameters["source"]]


# --- in git ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_valid_and_holds_no_evidence(name: str) -> None:
    nbformat.validate(json.loads(TEMPLATES[name].read_text("utf-8")))
    assert "widgets" not in json.loads(TEMPLATES[name].read_text("utf-8"))["metadata"]
    ran = [
        cell for cell in CELLS[name] if cell.get("outputs") or cell.get("execution_count") is not None or cell.get("attachments")
    ]
    assert ran == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_begins_with_its_title_its_power_and_room_for_the_operator(name: str) -> None:
    title, note = CELLS[name][:2]
    assert re.match(r"# .+\n\n\*\*Writes: [^*]+\.\*\*", title["source"])
    assert (note["cell_type"], note["source"], note["metadata"]["tags"]) == ("markdown", "", ["operators-note"])
    assert len(tagged(name, "operators-note")) == 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_parameters_are_explained_literals_and_one_is_the_record(name: str) -> None:
    (cell,) = tagged(name, "parameters")
    literals = {}
    for node in ast.parse(cell["source"]).body:
        assert isinstance(node, ast.Assign)
        assert isinstance(node.targets[0], ast.Name)
        literals[node.targets[0].id] = ast.literal_eval(node.value)
    assert literals["RECORD"] == ""
    assert all(name.isupper() for name in literals)


@pytest.mark.parametrize("name", TEMPLATES)
def test_cells_are_short_and_hold_no_logic(name: str) -> None:
    for source in code(name):
        assert len(source.splitlines()) <= LONGEST_CELL
        assert [node for node in ast.walk(ast.parse(source)) if isinstance(node, LOGIC)] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_only_notebooks_that_say_so_in_their_number_change_a_keystore(name: str) -> None:
    changes = "kit.apply(" in "\n".join(code(name))
    assert changes == (name[0] in "23")
    assert changes == bool(re.search("Writes: (one keystore|the keystores)", CELLS[name][0]["source"]))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_name_of_the_kit_and_every_link_exists(name: str) -> None:
    trees = [ast.parse(source) for source in code(name)]
    used = {n.attr for t in trees for n in ast.walk(t) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "kit"}
    words = "\n".join(cell["source"] for cell in CELLS[name] if cell["cell_type"] == "markdown")
    used |= set(re.findall(r"`[^`]*\bkit\.(\w+)", words))
    assert used
    assert used <= set(kit.__all__)
    assert set(re.findall(r"\]\(([^)]+)\)", words)) <= {path.name for path in TEMPLATES.values()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_check_says_what_ok_looks_like(name: str) -> None:
    """What a cell shows is explained above it; a few hold nothing to check, and the last one may be for reading."""
    (parameters,) = tagged(name, "parameters")
    said = ""
    for cell in CELLS[name]:
        if cell["cell_type"] == "markdown":
            said = cell["source"] or said
        elif cell["source"] != parameters["source"]:
            assert "OK looks like" in said or "laboratory" in said or "to read" in said or "Look around" in said, cell["source"]


def test_the_first_notebook_leads_to_all_others() -> None:
    first, *others = TEMPLATES.values()
    assert all(f"]({path.name})" in first.read_text("utf-8") for path in others)


# --- executed ----------------------------------------------------------------------------------------------------------------


def ran(name: str, folder: Path, **parameters: object) -> tuple[kit.RecordFolder, str]:
    """The record folder of a run that went through, or of one that stopped, with what it said."""
    said, children = "", set(psutil.Process().children(recursive=True))
    try:
        kit.run_notebook(name, folder, parameters)
    except RunbookFailed as error:
        said = str(error)
    (place,) = folder.iterdir()
    assert set(psutil.Process().children(recursive=True)) <= children
    require_sums(place)
    executed = json.loads((place / f"{name}.ipynb").read_text("utf-8"))
    assert "widgets" not in executed["metadata"]
    for output in outputs(place / f"{name}.ipynb"):
        assert WIDGET not in output.get("data", {})
        assert "text/plain" in output.get("data", {"text/plain": ""})
        if "text/html" in output.get("data", {}) and "dataframe" not in (shown := "".join(output["data"]["text/html"])):
            assert text_of(shown)
    assert text_of_page((place / "record.html").read_text("utf-8"))
    journal, record, page, notebook = (place / file for file in ("journal.jsonl", "record.md", "record.html", f"{name}.ipynb"))
    return kit.RecordFolder(place, journal, record, page, notebook, kit.read_record(place).outcome), said


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells_of(path) for output in cell.get("outputs", ())]


def test_the_first_notebook_runs_through_and_writes_no_journal(tmp_path: Path) -> None:
    record, said = ran("00_start_here", tmp_path)
    assert said == ""
    assert not record.journal.exists()
    assert "Prerequisites" in str(outputs(tmp_path / record.path / "00_start_here.ipynb"))


def test_a_survey_of_the_laboratory_runs_through_and_shows_every_server(tmp_path: Path) -> None:
    record, said = ran("10_survey_servers", tmp_path, TIMEOUT_S="0.7")
    assert said == ""
    shown = str(outputs(record.path / "10_survey_servers.ipynb"))
    assert "11 servers: 2 failed" in shown
    assert record.journal.read_bytes().count(b'"kind":"Probe') == 11
    assert record.outcome is kit.Outcome.LOOKED


def test_an_import_stops_where_no_reference_is_given_and_leaves_its_record(tmp_path: Path) -> None:
    record, said = ran("20_import_certificate", tmp_path)
    assert "20_import_certificate stopped: NotCompared: " in said
    assert str(record.path) in said
    assert record.notebook is not None
    assert outputs(record.notebook)[-1]["ename"] == "NotCompared"
    assert record.outcome is kit.Outcome.LOOKED


def test_an_import_stops_for_the_confirmation_and_with_it_goes_through(
    laboratory: kit.Laboratory, given: dict[str, str], tmp_path: Path
) -> None:
    record, said = ran("20_import_certificate", tmp_path / "first", **given)
    identity = confirmation(said)
    assert record.outcome is kit.Outcome.PLANNED
    assert not (tmp_path / "keystore").exists()

    record, said = ran("20_import_certificate", tmp_path / "second", **given, CONFIRM=identity)
    assert said == ""
    store = kit.read_keystore(given["KEYSTORE"], "env:STOREPASS_OF_TEST")
    assert store.integrity_checked
    assert store.anchors == certificates_in(laboratory.ca_file.read_bytes(), "ca")
    written = record.record.read_text("utf-8")
    for needed in (
        "State: applied and verified",
        "the provider, by telephone",
        identity,
        laboratory.endpoints["smtp"].url,
    ):
        assert needed in written
    assert kit.keytool_notation(sha256_of(store.anchors[0])) in written
    assert holding(tmp_path, CANARY) == []
    assert "As chosen" in str(outputs(record.path / "20_import_certificate.ipynb"))


def test_an_import_is_judged_by_the_store_that_allegra_reads_and_a_second_run_changes_nothing(
    laboratory: kit.Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a server has gone over to a CA that Java knows, and Allegra has a store of its own, in which it is not."""
    (root,) = certificates_in(laboratory.ca_file.read_bytes(), "ca")
    own, cacerts = tmp_path / "home" / "keystore" / "localhost.ks", tmp_path / "jdk" / "lib" / "security" / "cacerts"
    for path, der in ((own, OTHER_ROOT.der), (cacerts, root)):
        path.parent.mkdir(parents=True)
        path.write_bytes(rewrite(None, path, "changeit", Edit({"ca": der}, frozenset(), NOW)))
    monkeypatch.setenv("JAVA_HOME", str(cacerts.parents[2]))
    endpoint, reference = laboratory.endpoints["imap"], laboratory.reference_fingerprints["imap"]
    assert kit.judge(kit.probe(endpoint), [root]).trusted
    given = {"ENDPOINT": endpoint.url, "HOME": str(tmp_path / "home"), "REFERENCE": reference, "REFERENCE_FROM": "the provider"}
    record, said = ran("20_import_certificate", tmp_path / "first", **given)
    shown = str(outputs(record.path / "20_import_certificate.ipynb"))
    assert "Java refuses mail.demo.test: PKIX path building failed" in shown
    assert "root, recommended: Demo Root CA" in shown  # which the server does not send, and the runtime has

    given["CONFIRM"] = confirmation(said)
    record, said = ran("20_import_certificate", tmp_path / "second", **given)
    assert (said, record.outcome) == ("", kit.Outcome.VERIFIED)
    after = own.read_bytes()
    record, said = ran("20_import_certificate", tmp_path / "third", **given)
    assert (said, record.outcome) == ("", kit.Outcome.UNCHANGED)
    assert own.read_bytes() == after


def confirmation(said: str) -> str:
    identity = re.search(r"NotConfirmed: .*confirm='([0-9a-f]{8})'", said)
    assert identity is not None, said
    return identity[1]


def test_a_change_is_taken_back_by_its_record_after_a_confirmation(tmp_path: Path) -> None:
    with kit.demo() as own:
        made = kit.rehearse_import(own, tmp_path / "import")
        given = {"CHANGE": str(tmp_path / "import"), "REASON": "wrong server"}
        record, said = ran("30_roll_back", tmp_path / "first", **given)
        assert record.outcome is kit.Outcome.PLANNED
        assert kit.read_keystore(made.keystore).anchors
        record, said = ran("30_roll_back", tmp_path / "second", **given, CONFIRM=confirmation(said))
        assert (said, record.outcome) == ("", kit.Outcome.UNDONE)
        assert not made.keystore.exists()
        assert "wrong server" in record.record.read_text("utf-8")
        assert kit.verify_record(record.path).intact
        _, said = ran("30_roll_back", tmp_path / "third", **given, PLAN="01234567")
        assert "RecordError: this record tells of no change 01234567" in said


def test_a_keystore_is_renewed_and_cleaned_up_in_three_runs(tmp_path: Path) -> None:
    with kit.demo() as own:
        history = kit.rehearse_history(own)
        (tmp_path / "servers.txt").write_text("\n".join(endpoint.url for endpoint in history.endpoints))
        given = {"KEYSTORE": str(history.keystore), "ENDPOINTS": str(tmp_path / "servers.txt"), "HOME": str(own.home)}
        record, said = ran("25_renew_and_clean_up", tmp_path / "looked", **given)
        assert "NotCompared" in said
        given |= {"REFERENCE": own.reference_fingerprints["smtps-self-signed"], "REFERENCE_FROM": "the provider"}
        _, said = ran("25_renew_and_clean_up", tmp_path / "planned", **given)
        given["CONFIRM_RENEWAL"] = confirmation(said)
        record, said = ran("25_renew_and_clean_up", tmp_path / "renewed", **given)
        assert len(kit.read_record(record.path).changes) == 1
        given["CONFIRM_REMOVAL"] = confirmation(said)
        record, said = ran("25_renew_and_clean_up", tmp_path / "cleaned", **given)
        assert (said, record.outcome) == ("", kit.Outcome.STILL_TRUSTED)
        left = kit.read_keystore(history.keystore).anchors
        assert len(left) == 2
        assert all(kit.judge(result, left).trusted for result in kit.probe_all(history.endpoints))


def test_every_store_gets_what_all_have_after_its_confirmation_and_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    with kit.demo() as own:
        history = kit.rehearse_history(own)
        other, cacerts = history.keystore.with_name("other.ks"), tmp_path / "cacerts"
        for place, der in ((other, LEAF.der), (cacerts, OTHER_ROOT.der)):
            place.write_bytes(rewrite(None, place, "changeit", Edit({"x": der}, frozenset(), NOW)))
        given = {"HOME": str(own.home), "CACERTS": str(cacerts)}
        _, said = ran("27_same_in_every_store", tmp_path / "first", **given)
        first = confirmation(said)
        _, said = ran("27_same_in_every_store", tmp_path / "second", **given, CONFIRM=first)
        record, said = ran("27_same_in_every_store", tmp_path / "third", **given, CONFIRM=f"{first} {confirmation(said)}")
        assert said == ""
        assert record.outcome is kit.Outcome.APPLIED
        held = [set(kit.read_keystore(store).anchors) for store in (history.keystore, other)]
        assert held[0] == held[1] > {LEAF.der, OTHER_ROOT.der}
        record, said = ran("27_same_in_every_store", tmp_path / "fourth", **given)
        assert (said, record.outcome) == ("", kit.Outcome.LOOKED)


def test_the_record_of_a_run_that_broke_off_is_written_said_more_to_and_signed(tmp_path: Path) -> None:
    journal = kit.open_journal(tmp_path / "change")
    (tmp_path / "key.pem").write_bytes(
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    record, said = ran("90_change_record", tmp_path / "looked", CHANGE=str(journal.path.parent))
    assert (said, "SHA256SUMS is missing" in str(outputs(record.path / "90_change_record.ipynb"))) == ("", True)
    assert not (tmp_path / "change" / "record.html").exists()
    given = {"CHANGE": str(journal.path.parent), "JUSTIFICATION": "mail has stopped", "SIGN_WITH": str(tmp_path / "key.pem")}
    _, said = ran("90_change_record", tmp_path / "written", **given)
    assert said == ""
    check = kit.verify_record(tmp_path / "change")
    assert check.intact
    assert check.signer
    assert "mail has stopped" in (tmp_path / "change" / "record.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["90_change_record", "30_roll_back", "27_same_in_every_store", "25_renew_and_clean_up"])
def test_what_runs_as_it_stands_needs_no_record_of_the_user_s(name: str, tmp_path: Path, records: Path) -> None:
    before = set(records.iterdir())
    record, said = ran(name, tmp_path)
    assert ("stopped" in said) == (name != "90_change_record")
    assert set(records.iterdir()) == before
    assert record.path.exists()
