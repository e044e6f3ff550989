"""The notebooks as a person uses them: in JupyterLab as the command `lab` starts it, in a real browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from nbconvert import HTMLExporter

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import certificates_in
from allegra_tls_kit.swap import locked
from tests.chains import alternatives, distinguished, issue
from tests.conftest import compared
from tests.hostile import MARKUP, TERMINAL, UNICODE, UNSEEN, chain
from tests.lab import NO_REQUESTS, Lab, Notebook, Window, chromium, running_lab
from tests.misbehaving import Server, context_of, tls
from tests.shown import text_of
from tests.test_secrets import CANARY, sealed, telling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

Saved = dict[str, Any]
Opens = Callable[..., Notebook]

IMPORT_CLICKS, IMPORT_KEYSTROKES = 17, 36
"""What an import costs, from the first notebook to the saved proof; pasting is two keystrokes, and twenty are a name."""

IMPORT = "20_import_certificate"
COMPARE, APPLY, VERIFY, KEEP = "form.certificate()", "confirm=", "kit.verify(", "kit.write_record("
TRUSTED = "Java trusts the server now"
WIDGET = "application/vnd.jupyter.widget-view+json"
ACTS = "<script>acted=1</script><img src=x onerror=acted=1>"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def opens(browser: Browser, lab: Lab, tmp_path: Path) -> Iterator[Opens]:
    """Opens a notebook, copied to a folder of this test's own with these parameters; at the end complains of what went wrong."""
    with ExitStack() as stack:

        def opened(name: str, **parameters: str) -> Notebook:
            path = filled(name, lab.work / tmp_path.name, parameters)
            return stack.enter_context(Notebook(browser, lab, path, tmp_path))

        yield opened


def filled(name: str, folder: Path, parameters: dict[str, str]) -> Path:
    """A copy of a notebook with these values in its parameters cell."""
    content: Saved = json.loads(kit.templates()[name].read_text("utf-8"))
    (cell,) = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", ())]
    source = "".join(cell["source"])
    for parameter, value in parameters.items():
        source, found = re.subn(rf'(?m)^{parameter} = ".*?"', f"{parameter} = {value!r}", source)
        assert found == 1
    cell["source"] = source
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(content), "utf-8")
    return path


def recorded(laboratory: kit.Laboratory, folder: Path) -> dict[str, str]:
    """The parameters of an import in which all but the confirmation is given, and the record in `<folder>/record`."""
    return compared(laboratory, folder) | {"RECORD": str(folder / "record")}


def planned(notebook: Notebook) -> str:
    """The id of the plan for which the notebook has stopped."""
    asked = re.compile(r"NotConfirmed: .*confirm='([0-9a-f]{8})'")
    (plan,) = asked.findall(notebook.says(asked, APPLY))
    return str(plan)


def root_of(laboratory: kit.Laboratory) -> bytes:
    (root,) = certificates_in(laboratory.ca_file.read_bytes(), "ca")
    return root


def shown_in(saved: Saved) -> list[dict[str, Any]]:
    """What the cells show, each output by its forms."""
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", ())]
    return [output["data"] for output in outputs if "data" in output]


def pages_in(saved: Saved) -> list[str]:
    return ["".join(data["text/html"]) for data in shown_in(saved) if "text/html" in data]


# --- an import ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Journey:
    """What an import by hand has left."""

    notebook: Path
    saved: Saved
    store: Path
    record: Path
    effort: tuple[int, int]


@pytest.fixture(scope="module")
def journey(browser: Browser, lab: Lab, laboratory: kit.Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Import the certificate of a server as a person does who has the fingerprint at hand, from the notebook that `lab` opens."""
    pictures = tmp_path_factory.mktemp("journey")
    with Notebook(browser, lab, lab.work / "00_start_here.ipynb", pictures) as person:
        person.follow(IMPORT)
        person.select_word("demo", "ENDPOINT = ")
        person.paste(laboratory.endpoints["smtp"].url)
        person.run_all()
        person.says("NotCompared", COMPARE)

        person.click(person.page.get_by_label("Reference SHA-256"))
        person.paste(laboratory.reference_fingerprints["smtp"])
        person.press("Tab")
        person.click(person.page.get_by_label("Reference from"))
        person.write("Ms Doe, by telephone")
        person.press("Tab")
        form = person.output("form = kit.ImportGuide").locator(".jp-OutputArea-child").first  # below it stands what is saved
        form.get_by_text("Match: ").wait_for()
        person.picture("import-form", form)

        person.run_from(COMPARE)
        person.picture("import-plan", person.output("kit.plan_import("))
        plan = planned(person)
        person.select_word(plan, APPLY)
        person.press("Control+c")
        person.select_word("CONFIRM", APPLY)
        person.write('"')
        person.paste(plan)
        person.write('"')
        person.run_from_here()
        person.says(TRUSTED, VERIFY)
        person.picture("import-verified", person.output(VERIFY))

        person.says("Ctrl+S", KEEP)
        person.save()
        person.run_cell(KEEP)
        assert "Ctrl+S" not in person.says("applied and verified", KEEP)
        effort = (person.clicks, person.keystrokes)
        field = person.page.get_by_label("Reference SHA-256")
        assert field.input_value() == laboratory.reference_fingerprints["smtp"]  # the form lives, whatever was saved
        saved = person.save()
    (record,) = lab.records.glob(f"*-{IMPORT}")
    return Journey(person.path, saved, lab.allegra / "keystore" / "localhost.ks", record, effort)


def test_an_import_takes_as_many_clicks_and_keystrokes_as_the_documents_say(journey: Journey) -> None:
    assert journey.effort == (IMPORT_CLICKS, IMPORT_KEYSTROKES)


def test_an_import_leaves_the_root_in_the_store_and_a_whole_record(journey: Journey, laboratory: kit.Laboratory) -> None:
    assert kit.read_keystore(journey.store, "changeit").anchors == (root_of(laboratory),)
    assert {path.name for path in journey.record.iterdir()} >= {"journal.jsonl", "record.md", "record.html", f"{IMPORT}.ipynb"}
    assert kit.read_record(journey.record).outcome is kit.Outcome.VERIFIED
    assert kit.verify_record(journey.record).intact
    copy = (journey.record / f"{IMPORT}.ipynb").read_text("utf-8")
    assert TRUSTED in copy
    assert WIDGET not in copy


def test_a_saved_notebook_reads_without_a_kernel(journey: Journey) -> None:
    checkpoint = journey.notebook.parent / ".ipynb_checkpoints" / f"{IMPORT}-checkpoint.ipynb"
    for file in (journey.notebook, checkpoint):
        assert WIDGET not in file.read_text("utf-8")
    assert "widgets" not in journey.saved["metadata"]
    assert all("text/plain" in data and set(data) <= {"text/plain", "text/html"} for data in shown_in(journey.saved))
    assert TRUSTED in "".join(text_of(page) for page in pages_in(journey.saved))
    assert TRUSTED in "".join("".join(data["text/plain"]) for data in shown_in(journey.saved))
    timed = [cell for cell in journey.saved["cells"] if "execution" in cell["metadata"]]
    assert len(timed) == len([cell for cell in journey.saved["cells"] if cell["cell_type"] == "code"])


def test_a_saved_notebook_shows_the_same_when_it_is_opened_again(
    journey: Journey, browser: Browser, lab: Lab, tmp_path: Path
) -> None:
    with Notebook(browser, lab, journey.notebook, tmp_path) as again:
        assert again.trusted()
        shown = again.says(TRUSTED)
        assert "Applied, read back and compared" in shown
        assert "Error displaying widget" not in shown
        assert again.page.locator(".jupyter-widgets").count() == 0


def test_an_altered_copy_is_not_trusted_and_reads_alike(journey: Journey, browser: Browser, lab: Lab, tmp_path: Path) -> None:
    altered: Saved = json.loads(journey.notebook.read_text("utf-8"))
    (data,) = [data for data in shown_in(altered) if TRUSTED in "".join(data.get("text/html", ""))]
    data["text/html"].append(ACTS)
    path = lab.work / tmp_path.name / "received.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(altered), "utf-8")
    with Notebook(browser, lab, path, tmp_path) as received:
        assert not received.trusted()
        assert "Error displaying widget" not in received.says(TRUSTED)
        assert not received.acted()


def test_an_exported_notebook_reads_alone_and_asks_nobody(journey: Journey, browser: Browser, tmp_path: Path) -> None:
    exporter = HTMLExporter(**dict.fromkeys(NO_REQUESTS, ""))  # type: ignore[no-untyped-call]
    page, _ = exporter.from_filename(str(journey.notebook))
    (tmp_path / "export.html").write_text(page, "utf-8")
    url = (tmp_path / "export.html").as_uri()
    with Window(browser, url) as window:
        window.page.goto(url)
        shown = window.page.locator("body").inner_text()
        assert TRUSTED in shown
        assert "Error displaying widget" not in shown


# --- what goes wrong on the way ----------------------------------------------------------------------------------------------


def test_applying_twice_changes_once(opens: Opens, laboratory: kit.Laboratory, tmp_path: Path) -> None:
    notebook = opens(IMPORT, **recorded(laboratory, tmp_path))
    notebook.run_all()
    notebook.set_cell(APPLY, "CONFIRM", repr(planned(notebook)))
    before = notebook.started()
    with locked(tmp_path / "keystore" / "localhost.ks"):  # so that the second is queued before the first is done
        notebook.begin(APPLY)
        notebook.begin(APPLY)
    notebook.wait_idle(before + 2)
    notebook.says("StalePlan", APPLY)
    assert len(kit.read_keystore(tmp_path / "keystore" / "localhost.ks", "changeit").entries) == 1
    notebook.run_from(VERIFY)
    notebook.says(TRUSTED, VERIFY)
    assert kit.read_record(tmp_path / "record").outcome is kit.Outcome.VERIFIED


def test_a_tab_closed_in_the_middle_of_applying_loses_nothing(opens: Opens, laboratory: kit.Laboratory, tmp_path: Path) -> None:
    notebook = opens(IMPORT, **recorded(laboratory, tmp_path))
    notebook.run_all()
    notebook.set_cell(APPLY, "CONFIRM", repr(planned(notebook)))
    before, store = notebook.started(), tmp_path / "keystore" / "localhost.ks"
    with locked(store):
        notebook.begin(APPLY)
        notebook.wait_started(before + 1)
        notebook.page.close()
        assert not store.exists()
    journal = tmp_path / "record" / "journal.jsonl"
    deadline = time.monotonic() + 30
    while b'"kind":"Applied"' not in journal.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kit.read_keystore(store, "changeit").anchors == (root_of(laboratory),)
    assert kit.read_record(tmp_path / "record").outcome is kit.Outcome.APPLIED

    again = opens(IMPORT, **recorded(laboratory, tmp_path))
    again.run_from(VERIFY)
    again.says(TRUSTED, VERIFY)


def test_after_a_restart_of_the_kernel_the_same_plan_is_applied(opens: Opens, laboratory: kit.Laboratory, tmp_path: Path) -> None:
    notebook = opens(IMPORT, **recorded(laboratory, tmp_path))
    notebook.run_all()
    plan = planned(notebook)
    notebook.restart_kernel()
    notebook.set_cell("CONFIRM = ", 'CONFIRM = ""', f"CONFIRM = {plan!r}")
    notebook.run_all()
    notebook.says(TRUSTED, VERIFY)
    assert kit.read_keystore(tmp_path / "keystore" / "localhost.ks", "changeit").anchors == (root_of(laboratory),)


# --- the password ------------------------------------------------------------------------------------------------------------


def test_a_password_that_is_asked_for_is_in_no_file_of_jupyter(
    browser: Browser, lab: Lab, laboratory: kit.Laboratory, tmp_path: Path
) -> None:
    given = {**recorded(laboratory, tmp_path), "RECORD": str(lab.records / "asked"), "PASSWORD_FROM": "prompt"}
    store = lab.work / "asked" / "keystore" / "localhost.ks"
    store.parent.mkdir(parents=True)
    store.write_bytes(sealed(CANARY))
    path = filled(IMPORT, lab.work / "asked", given | {"KEYSTORE": str(store)})
    with Notebook(browser, lab, path, tmp_path) as person:
        person.begin_all()
        person.answer("Password of localhost.ks", CANARY)
        person.wait_idle()
        person.set_cell(APPLY, "CONFIRM", repr(planned(person)))
        person.begin(APPLY)
        person.answer("Password of localhost.ks", CANARY)
        person.says("Applied, read back and compared", APPLY)
        field = person.page.get_by_label("Password from")
        field.fill(CANARY)  # by mistake
        person.press("Tab")
        person.says("That was no source of a password, and was cleared")
        person.wait_idle()
        person.click(person.cell(COMPARE).locator(".jp-InputPrompt"))
        person.save()
    (history,) = lab.work.parent.rglob("history.sqlite")
    assert b"confirm=" in history.read_bytes()
    assert (path.parent / ".ipynb_checkpoints").exists()
    assert kit.read_keystore(store, lambda: CANARY).integrity_checked
    assert telling(lab.work.parent) == []


# --- the way back ------------------------------------------------------------------------------------------------------------


def test_a_change_is_taken_back_from_its_record(opens: Opens, tmp_path: Path) -> None:
    with kit.demo() as laboratory:
        rehearsal = kit.rehearse_import(laboratory, tmp_path / "change")
        assert rehearsal.keystore.exists()
        notebook = opens("30_roll_back", CHANGE=str(tmp_path / "change"), RECORD=str(tmp_path / "record"))
        notebook.run_all()
        notebook.set_cell(APPLY, "CONFIRM", repr(planned(notebook)))
        notebook.picture("roll-back-plan", notebook.output("kit.plan_rollback("))
        notebook.run_from(APPLY)
        notebook.says("Java does not trust the server", VERIFY)
        assert not rehearsal.keystore.exists()
    assert kit.read_record(tmp_path / "record").outcome is kit.Outcome.UNDONE


# --- strangers ---------------------------------------------------------------------------------------------------------------


def test_what_a_certificate_says_of_itself_is_shown_and_never_acts(opens: Opens, tmp_path: Path) -> None:
    acting = issue(distinguished(CN=ACTS, O=ACTS), extensions=[alternatives(ACTS)])
    chains = [(acting,), *map(chain, (*MARKUP, *TERMINAL, *UNICODE))]
    with ExitStack() as stack:
        urls = [stack.enter_context(Server(tls(context_of(*each)))).endpoint("imaps").url for each in chains]
        (tmp_path / "servers.txt").write_text("\n".join(urls))
        url = urls[0]
        chosen = opens(IMPORT, ENDPOINT=url, HOME=str(tmp_path))
        surveyed = opens("10_survey_servers", ENDPOINTS=str(tmp_path / "servers.txt"))
        for notebook in (chosen, surveyed):
            notebook.run_all()
            assert UNSEEN.search(re.sub(r"[\t\xa0\u200b]", " ", notebook.says(ACTS))) is None  # of the browser's own
            assert not notebook.acted()
    notebook.set_cell("ENDPOINTS = ", notebook.source("ENDPOINTS = "), f"import IPython\nIPython.display.HTML({ACTS!r})")
    notebook.run_all()
    assert notebook.acted()  # so it would have been seen
