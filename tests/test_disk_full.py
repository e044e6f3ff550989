"""Disks that are full, for real: wherever it begins, the store is as it was or as planned, and the error says why."""

from __future__ import annotations

import itertools
import os
import re
import resource
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import Journal, KitError, Statement
from allegra_tls_kit.errors import JournalError, UnexpectedOutcome
from tests.chains import alternatives, issue
from tests.changing import go, is_in_place, made, planned
from tests.children import at_once, mount, with_own_mounts
from tests.conftest import absent

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES, NAMES = 20, 100
PAGE = 4096
SAID_BEFORE = range(PAGE - 512, -1, -512)
"""Room comes by the page: whatever a change writes last into its journal, one of these lets it come upon the end of one."""
PLACES = ("keystore", "backups", "record")


@pytest.fixture(scope="module")
def large() -> bytes:
    """A store of several pages, larger than what its journal gets."""
    names = alternatives(*(f"host-{number}.example.com" for number in range(NAMES)))
    return made({f"ca-{number}": issue(f"CA {number}", ca=True, extensions=[names]).der for number in range(ENTRIES)})


def attempt(folder: Path, before: bytes, said_before: int = 0) -> KitError | None:
    """Change a store once, with its backup elsewhere; hold what is there against what must be, and return the error.

    The journal has so many bytes more than it needs for the change.
    """
    path, journal = folder / "keystore" / "some.ks", folder / "record" / "journal.jsonl"
    plan, error = planned(path), None
    try:
        kept = Journal(journal)
        kept.keep(Statement("justification", "x" * said_before))
        go(plan, kept, backup_folder=folder / "backups")
    except KitError as caught:
        error = caught
    new = journal.exists() and is_in_place(plan, before, journal)
    assert new is (error is None or isinstance(error, UnexpectedOutcome)), error
    names = [item.name for place in PLACES for item in (folder / place).iterdir()]
    assert [name for name in names if name.endswith(".tmp")] == []
    if error is not None:
        assert re.search("No space left on device|File too large|Disk quota", str(error)), error
        assert isinstance(error, JournalError | UnexpectedOutcome) or "as it was" in str(error) or "lock file" in str(error)
    return error


def begun(folder: Path, before: bytes) -> None:
    for place in PLACES:
        shutil.rmtree(folder / place, ignore_errors=True)
        (folder / place).mkdir()
    (folder / "keystore" / "some.ks").write_bytes(before)


def until_it_fits(folder: Path, before: bytes, place: str, what: str) -> str:
    """Give one of three folders a disk of its own, with room for nothing, and then for more and more."""
    met: list[str] = []
    begun(folder, before)
    mount("-t", "tmpfs", "-o", "size=512k,nr_inodes=64", "none", folder / place)
    for left in itertools.count():
        for said_before in SAID_BEFORE if place == "record" else (0,):
            for item in (folder / place).iterdir():
                item.unlink()
            (folder / "keystore" / "some.ks").write_bytes(before)
            fill(folder / place, what, left)
            error = attempt(folder, before, said_before)
            met.append(type(error).__name__ if error else "through")
        if met[-1] == "through":
            break
    return " ".join(dict.fromkeys(met))


def fill(folder: Path, what: str, left: int) -> None:
    if what == "files":
        for number in range(os.statvfs(folder).f_favail - left):
            (folder / f"filler-{number}").touch()
        return
    with (folder / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(os.statvfs(folder).f_bavail - left, 1) * PAGE)


@pytest.mark.parametrize("what", ["bytes", "files"])
@pytest.mark.parametrize(
    ("place", "met"),
    [
        ("keystore", "NotWritable through"),
        ("backups", "NotWritable through"),
        ("record", "JournalError UnexpectedOutcome through"),
    ],
)
def test_with_room_for_more_and_more_a_change_is_refused_until_it_fits(
    place: str, met: str, what: str, large: bytes, tmp_path: Path
) -> None:
    said = with_own_mounts(partial(until_it_fits, tmp_path, large, place, what))
    if said.startswith(("PermissionError", "FileNotFoundError", "CalledProcessError")):
        absent(f"a file system of one's own needs root or user namespaces: {said}")
    assert said == (met if what == "bytes" else met.replace(" UnexpectedOutcome", ""))


def limited(folder: Path, before: bytes, limit: int) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    error = attempt(folder, before)
    return type(error).__name__ if error else "through"


def test_under_a_limit_of_the_size_of_files_a_change_is_refused_until_it_fits(large: bytes, tmp_path: Path) -> None:
    met = []
    for limit in range(0, 4 * len(large), 2000):
        begun(tmp_path, large)
        (said,) = at_once(partial(limited, tmp_path, large, limit))
        met.append(said)
        if said == "through":
            break
    assert list(dict.fromkeys(met)) == ["JournalError", "NotWritable", "through"]
