"""What a fresh clone promises: one list of packages in two files, and commands in the README that CI runs."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def parts(requirement: str) -> tuple[str, str]:
    """Return the name as the registries normalise it, and the versions."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


def test_conda_and_pip_get_the_same_packages() -> None:
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^ +- ([a-z].*[^:\n])$", environment, re.MULTILINE)
    conda = dict(parts(line.partition(" #")[0]) for line in lines if line not in {"conda-forge", "nodefaults", "pip"})
    assert f"Programming Language :: Python :: 3{conda.pop('python').removeprefix('=3')}" in PYPROJECT["project"]["classifiers"]
    wanted = dict(map(parts, PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]))
    of_pyjks = {parts(requirement.partition(" ")[0])[0] for requirement in requires("pyjks") or ()}
    assert of_pyjks - conda.keys() == {"twofish"}  # of which conda has no build for that Python: pyjks is installed without it
    command = f'pip install --no-deps --editable . "pyjks{wanted.pop("pyjks")}"'
    assert command in environment
    assert command in README
    assert {name: versions for name, versions in conda.items() if name in wanted or name not in of_pyjks} == wanted


def test_the_checkout_pins_everything_it_names() -> None:
    wanted = PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]
    pinned = dict(parts(requirement) for requirement in PYPROJECT["tool"]["uv"]["constraint-dependencies"])
    assert {parts(requirement)[0] for requirement in wanted} == set(pinned)
    assert all(version.startswith("==") for version in pinned.values())


def test_the_readme_s_test_command_is_the_one_that_ci_runs() -> None:
    command = re.search(r"^pip install uv && (uv run pytest) ", README, re.MULTILINE)
    assert command is not None
    assert f"\n{command[1]}\n" in CI


def test_the_first_screen_has_the_log_line_and_both_commands() -> None:
    screen = "\n".join(README.splitlines()[:24])
    for needed in ("PKIX path building failed", "python -m allegra_tls_kit demo", "uv run pytest"):
        assert needed in screen


def test_contributing_and_architecture_stay_short() -> None:
    for name, limit in (("CONTRIBUTING.md", 60), ("docs/architecture.md", 120)):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= limit


def test_each_test_that_the_documents_name_exists() -> None:
    documents = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("architecture.md", "security.md")]
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", "".join(documents)))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    files = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    assert named
    assert {name for name in named if name not in files and f"def {name}(" not in sources} == set()


def test_no_promise_is_made_without_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    _, promised, not_promised = re.split(r"\n## What is (?:not )?promised", page)
    rows = re.findall(r"^\| (.+) \| (.+) \|$", promised, re.MULTILINE)
    assert len([topic for topic, tests in rows if tests == "tests"]) == promised.count("|---|---|")
    assert all(tests == "tests" or re.fullmatch(r"`test_\w+`(, `test_\w+`)*", tests) for _, tests in rows)
    assert not_promised
