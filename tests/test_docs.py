"""The guide is true: what it names exists, what it commands is understood, and what it promises was done."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import allegra_tls_kit as kit
from allegra_tls_kit import __main__ as program
from allegra_tls_kit.__main__ import _parser
from allegra_tls_kit.certificate import certificates_in
from allegra_tls_kit.endpoint import parse_endpoints
from allegra_tls_kit.runbook import checked_parameters
from tests.conftest import absent
from tests.test_lab import IMPORT_CLICKS, IMPORT_KEYSTROKES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
GUIDE = {path.name: path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "architecture.md"}
PAGES = {path.name: path for path in (*GUIDE.values(), ROOT / "docs" / "architecture.md", ROOT / "README.md")}
LONGEST_PAGE = 120
KIT = "python -m allegra_tls_kit"

each_page = pytest.mark.parametrize("page", PAGES)
each_guide = pytest.mark.parametrize("page", GUIDE)


def text_of(page: str) -> str:
    return PAGES[page].read_text("utf-8")


def blocks(page: str, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)
    return [block for language, block in found if language in languages]


def lines_of(page: str) -> Iterator[list[str]]:
    """Each command line of the page's shell blocks, in words, without what uv needs in front."""
    for block in blocks(page, "sh", "powershell"):
        whole = re.sub(r"[ \t]*[\\`]\n\s*", " ", block)
        for line in re.split(r"\n|&&", whole):
            words = shlex.split(line.strip().removeprefix("uv run "), comments=True)
            if words:
                yield words


def commands(page: str) -> list[list[str]]:
    """What the page gives to the kit's own command line."""
    return [words[3:] for words in lines_of(page) if words[:3] == KIT.split()]


def given(words: list[str]) -> dict[str, Any]:
    """The parameters of a `run`."""
    return dict(pair.split("=", 1) for pair in _parser().parse_args(words).parameters)


def notebook(name: str) -> NotebookNode:
    node: NotebookNode = nbformat.read(kit.templates()[name], as_version=4)  # type: ignore[no-untyped-call]
    return node


def parameters(name: str) -> set[str]:
    (cell,) = [cell for cell in notebook(name).cells if "parameters" in cell.metadata.get("tags", ())]
    return set(re.findall(r"^([A-Z_]+) = ", cell.source, re.MULTILINE))


def anchors(path: Path) -> set[str]:
    """The fragments under which the headings of a page are found on GitHub."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- what a page is ----------------------------------------------------------------------------------------------------------


@each_guide
def test_a_page_answers_one_question_and_is_short(page: str) -> None:
    first, *_ = lines = text_of(page).splitlines()
    assert re.fullmatch(r"# .+\?", first)
    assert len(re.findall(r"^# ", re.sub(r"(?s)```.*?```", "", text_of(page)), re.MULTILINE)) == 1
    assert len(lines) <= LONGEST_PAGE


def test_the_index_asks_what_the_pages_ask() -> None:
    for page in GUIDE.keys() - {"index.md"}:
        question = text_of(page).splitlines()[0].removeprefix("# ")
        assert f"| [{page.removesuffix('.md')}]({page}) | {question} |" in text_of("index.md")


@each_page
def test_every_link_leads_somewhere_and_says_where(page: str) -> None:
    pictures = [("", link) for link in re.findall(r' src(?:set)?="([^"]+)"', text_of(page))]
    for words, link in [*re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", text_of(page)), *pictures]:
        assert not re.fullmatch(r"(click )?(here|this|link)", words, re.IGNORECASE)
        if re.match(r"https?://", link):
            continue
        name, _, fragment = link.partition("#")
        target = PAGES[page].parent / name if name else PAGES[page]
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


@each_page
def test_every_picture_is_made_by_a_test_and_says_what_it_shows(page: str) -> None:
    made = set(re.findall(r'\.picture\("([\w-]+)"', (ROOT / "tests" / "test_lab.py").read_text("utf-8")))
    plain = re.findall(r"!\[([^\]]*)\]\([^)]*pictures/([\w-]+)-(?:light|dark)\.png\)", text_of(page))
    for picture in re.findall(r"<picture>.*?</picture>", text_of(page), re.DOTALL):
        (dark,) = re.findall(r' srcset="[^"]*pictures/([\w-]+)-dark\.png"', picture)
        ((light, words),) = re.findall(r' src="[^"]*pictures/([\w-]+)-light\.png" alt="([^"]*)"', picture)
        assert dark == light
        plain.append((words, light))
    assert len(plain) == len(re.findall(r"pictures/[\w-]+-light\.png", text_of(page)))
    assert all(name in made and len(words.split()) > 5 for words, name in plain)


# --- what a page names -------------------------------------------------------------------------------------------------------


@each_page
def test_every_name_of_the_kit_and_every_notebook_exists(page: str) -> None:
    assert set(re.findall(r"\bkit\.(\w+)", text_of(page))) <= set(kit.__all__)
    assert set(re.findall(r"\b\d\d_[a-z_]+\b", text_of(page))) <= set(kit.templates())


@each_page
def test_every_parameter_is_one_of_a_notebook(page: str) -> None:
    known = set().union(*map(parameters, kit.templates()))
    assert set(re.findall(r"-[pr] '?([A-Z_]+)\b", text_of(page))) <= known | {"NAME"}


@each_page
def test_every_command_is_understood(page: str) -> None:
    for words in commands(page):
        options = _parser().parse_args(words)
        if words[0] == "run":
            assert checked_parameters(notebook(options.notebook), given(words)).keys() == given(words).keys()


@each_guide
def test_shell_blocks_hold_nothing_else(page: str) -> None:
    for words in lines_of(page):
        if words[0] == "papermill":
            names = {words[i + 1] for i, word in enumerate(words) if word in {"-p", "-r"}}
            assert names <= parameters(Path(words[1]).stem)
        else:
            assert words[:3] == KIT.split() or words[0].startswith("$")


@each_page
def test_python_compiles_and_lists_of_servers_can_be_read(page: str) -> None:
    for block in blocks(page, "python"):
        compile(block, page, "exec")
    for block in blocks(page, "txt", "csv"):
        assert parse_endpoints(block, page)


# --- what a page promises ----------------------------------------------------------------------------------------------------


def test_the_effort_of_an_import_is_what_was_counted() -> None:
    (counted,) = re.findall(r"(\d+) clicks and (\d+) keystrokes", text_of("first_import.md"))
    assert tuple(map(int, counted)) == (IMPORT_CLICKS, IMPORT_KEYSTROKES)


def test_the_exit_statuses_are_those_of_the_program() -> None:
    told = re.findall(r"^\| (\d+) \|", text_of("first_import.md"), re.MULTILINE)
    assert program.__doc__ is not None
    assert told == re.findall(r"\b\d+\b", program.__doc__.partition("Exit status:")[2])


def executed(words: list[str], placeholders: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of a page, its placeholders replaced."""
    for old, new in placeholders.items():
        assert any(old in word for word in words)
        words = [word.replace(old, new) for word in words]
    command = [sys.executable, "-m", "allegra_tls_kit", *words]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)


def test_the_first_import_goes_as_its_page_says_unattended_in_two_runs_and_back() -> None:
    plan, act, back = [words for words in commands("first_import.md") if words[0] == "run"]
    assert act == [*plan, "-p", "CONFIRM=a0b58fc0"]
    with kit.demo() as laboratory:
        store = laboratory.home / "keystore" / "localhost.ks"
        own = {
            "smtp://mail.example.com:587": laboratory.endpoints["smtp"].url,
            "/opt/allegra/home": str(laboratory.home),
            "37:BC:3F:…:27:45:3B": laboratory.reference_fingerprints["smtp"],
        }
        planned = executed(plan, own)
        (identity,) = re.findall(r"NotConfirmed: .*confirm='([0-9a-f]{8})'", planned.stderr)
        assert (planned.returncode, store.exists()) == (3, False)

        done = executed(act, own | {"a0b58fc0": identity})
        assert (done.returncode, done.stderr) == (0, "")
        assert kit.read_keystore(store).anchors == certificates_in(laboratory.ca_file.read_bytes(), "ca")
        (page,) = re.findall(r"^Done: applied and verified\. Record: (.+)$", done.stdout, re.MULTILINE)

        told = executed(back, {given(back)["CHANGE"]: str(Path(page).parent)})
        assert (told.returncode, "NotConfirmed" in told.stderr) == (3, True)


def test_a_record_gives_back_the_certificate_that_was_imported(tmp_path: Path) -> None:
    (words,) = [words for words in commands("after_a_java_update.md") if words[:2] == ["run", "20_import_certificate"]]
    name = Path(given(words)["CERTIFICATE_FILE"]).name
    with kit.demo() as laboratory:
        folder = kit.rehearse_import(laboratory, tmp_path / "record").record.path
        assert kit.read_certificates(folder / name) == certificates_in(laboratory.ca_file.read_bytes(), "ca")


def test_a_record_is_checked_without_the_kit_by_the_commands_of_its_page(tmp_path: Path) -> None:
    for tool in ("sha256sum", "openssl", "sed"):
        if shutil.which(tool) is None:
            absent(f"no {tool} on the PATH, to check a record without the kit")
    checks, chain, *_ = blocks("records.md", "")
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with kit.demo() as laboratory:
        folder = kit.rehearse_import(laboratory, tmp_path / "record").record.path
    kit.write_record(folder, sign_with=tmp_path / "key.pem")

    def said(script: str) -> list[str]:
        done = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.splitlines()

    *files, verified, fingerprint = said(checks)
    assert [file.partition(": ")[2] for file in files] == ["OK"] * (len(list(folder.iterdir())) - 2)
    assert verified == "Signature Verified Successfully"
    assert fingerprint.split()[0] == kit.verify_record(folder).signer
    digest, previous = said(chain)
    assert digest.split()[0] in previous
    (folder / "record.md").write_text("another")
    with pytest.raises(subprocess.CalledProcessError):
        said(checks)
