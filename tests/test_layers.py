"""The shape of the package: who may import whom, who may touch what, and how long anything may get."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "allegra_tls_kit"

# From top to bottom; a module imports only what stands below it.
LAYERS = {
    "show": (
        "__main__ lab walk widgets browse form reach exports progress_line report_frame views tables "
        "report_drift report_upkeep report report_store report_record"
    ),
    "conduct": "rehearsal change",
    "touch": (
        "demo demo_dialogue demo_ca runbook machine survey_file evidence journal probe batches loop attempt resolve turns "
        "handshake swap attributes windows witness candidate jvm several effective files locate java_home access secret writing"
    ),
    "know": (
        "record outcome survey_lines events drift upkeep standing "
        "risk comparison superset system_store way_back plan choice explain trouble_tls trouble_files trouble "
        "anchor survey negotiation trust path rules reading names identity alert finding columns static "
        "keystore jks_format pkcs12_format pkcs12_encryption entry signature certificate armour tidy saved "
        "markdown preamble endpoint ber text errors"
    ),
}
ORDER = [module for names in LAYERS.values() for module in names.split()]
KNOW = LAYERS["know"].split()

ALLOWED = {  # who may import what touches the world, or is slow to load
    "socket": {"attempt", "demo", "resolve"},
    "ssl": {"attempt", "demo", "handshake", "journal"},
    "subprocess": {"jvm"},
    "psutil": {"locate"},
    "openpyxl": {"exports"},
    "pandas": {"exports", "report_frame", "tables", "views"},
    "ipywidgets": {"browse", "form", "widgets"},
    "jks": {"witness"},
    "nbclient": {"runbook"},
    "nbformat": {"runbook"},
    "filelock": {"swap"},
}
EFFECTS = {"os", "time", "tempfile", "shutil", "random", "secrets", "threading", "selectors", "asyncio", "getpass", "platform"}
EFFECTFUL_CALLS = {
    "now", "utcnow", "today", "open", "read_bytes", "read_text", "write_bytes", "write_text", "exists", "is_file", "is_dir",
    "iterdir", "stat", "resolve", "unlink", "mkdir", "rename", "home", "cwd", "getenv", "print", "input",
}  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 350, 40


def parsed(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imports(module: str) -> set[str]:
    """Every module that is imported anywhere in this one, those of the kit by their own name."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "allegra_tls_kit":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            top, _, rest = node.module.partition(".")
            found.add(rest.partition(".")[0] if top == "allegra_tls_kit" else top)
    return found


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_strictly_downward(module: str) -> None:
    below = set(ORDER[ORDER.index(module) + 1 :])
    assert imports(module) & set(ORDER) <= below


@pytest.mark.parametrize("library", ALLOWED)
def test_what_touches_the_world_is_imported_in_few_places(library: str) -> None:
    assert {module for module in ORDER if library in imports(module)} == ALLOWED[library]


@pytest.mark.parametrize("module", KNOW)
def test_knowledge_reads_no_clock_no_disk_no_network(module: str) -> None:
    assert not imports(module) & (EFFECTS | set(ALLOWED))
    calls = [node.func for node in ast.walk(parsed(module)) if isinstance(node, ast.Call)]
    names = {f.attr if isinstance(f, ast.Attribute) else f.id for f in calls if isinstance(f, ast.Attribute | ast.Name)}
    assert not names & EFFECTFUL_CALLS


@pytest.mark.parametrize("module", ORDER)
def test_nothing_has_to_be_scrolled(module: str) -> None:
    assert len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(parsed(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {
        f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno and f.end_lineno - f.lineno >= LONGEST_FUNCTION
    }
    assert long == {}
