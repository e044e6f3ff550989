"""The fuzzer itself: a short run of it, what was found before, and that it finds what is there to be found."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import jks_format
from tests.fuzz import CORPUS, main, outcome
from tests.fuzz_targets import AT, TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

BY_NAME = {target.name: target for target in TARGETS}
DATES = {1, int(AT.timestamp() * 1000)}
FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=100)


def test_two_seconds_of_damage_find_nothing(tmp_path: Path) -> None:
    done = run("--seconds", "2", "--findings", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == [target.name for target in TARGETS]
    assert not [*tmp_path.iterdir()]


def test_the_same_seed_puts_the_same_bytes(tmp_path: Path) -> None:
    said = [run("--runs", "600", "--seed", seed, "--findings", tmp_path).stdout.splitlines()[-1] for seed in ("7", "7", "8")]
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_it_begins_with_is_read_as_it_is_meant(target: Target) -> None:
    for seed in target.seeds:
        assert outcome(target, seed)[1] is False
    assert not outcome(target, target.seeds[0])[0].endswith("Error")


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(path: Path) -> None:
    said, is_fault = outcome(BY_NAME[path.parent.name], path.read_bytes())
    assert not is_fault, said


def planted(milliseconds: int) -> datetime | None:
    """Any other date than those of the seeds is taken for one that does not fit."""
    if milliseconds not in DATES:
        raise OverflowError
    return None


def lasting(milliseconds: int) -> datetime | None:
    """With any other date there is no end of it."""
    return next((None for _ in count() if milliseconds in DATES), None)


@pytest.mark.parametrize(("fault", "named"), [(planted, "OverflowError at test_fuzz.py:planted"), (lasting, "too slow")])
def test_a_planted_fault_is_found_cut_down_and_found_again_in_its_file(
    fault: Callable[[int], datetime | None], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.PATIENCE", 0.05)
    monkeypatch.setattr(jks_format, "_date", fault)
    arguments = ["--target", "java", "--findings", str(tmp_path)]
    assert main([*arguments, "--runs", "2500"]) == 1
    (finding,) = (tmp_path / "java").iterdir()
    assert outcome(BY_NAME["java"], finding.read_bytes()) == (named, True)
    assert finding.stat().st_size < max(map(len, BY_NAME["java"].seeds))
    assert main([*arguments, "--runs", "0", str(tmp_path)]) == 1
    monkeypatch.undo()
    assert main([*arguments, "--runs", "0", str(tmp_path)]) == 0
