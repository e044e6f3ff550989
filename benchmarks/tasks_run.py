"""A task done with one tool in a folder of its own: what was started, what it took, what lies there, what a JVM makes of it."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import allegra_tls_kit as kit
from allegra_tls_kit.errors import UnreadableKeystore
from allegra_tls_kit.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PASSWORD = "changeit"  # noqa: S105 - of stores that exist for a second
DECIDE = "decide: "
KINDS = {".bak": "backup", ".lock": "empty lock file", ".new": "unfinished copy", ".tmp": "unfinished copy"}
ROUNDS, LONGEST = 3, 110


@dataclass(frozen=True)
class Way:
    """How a tool does a task: each step is a command for the shell, or a decision of the person, which is counted only."""

    tool: str
    steps: Sequence[str]

    @property
    def script(self) -> str:
        """The commands, to be run by one shell that stops at the first that fails."""
        return "\n".join(step for step in self.steps if not step.startswith(DECIDE))

    @property
    def effort(self) -> str:
        """How many commands and decisions it takes."""
        decisions = sum(step.startswith(DECIDE) for step in self.steps)
        commands = count(len(self.steps) - decisions, "command")
        return f"{len(self.steps)}: {commands}" + (f", {count(decisions, 'decision')}" if decisions else "")


@dataclass(frozen=True)
class Place:
    """A home of Allegra with a keystore folder, and beside it what a person works with."""

    folder: Path
    surroundings: dict[str, str]

    @property
    def store(self) -> Path:
        """The keystore, named after the host."""
        return self.folder / "home" / "keystore" / "localhost.ks"

    def start(self, way: Way, **more: str) -> subprocess.Popen[bytes]:
        """Start the commands in a session of their own; what they say goes to the end of `said`."""
        places = {"HOME_OF_ALLEGRA": self.folder / "home", "STORE": self.store, "RECORDS": self.folder / "records"}
        environment = os.environ | {"P": PASSWORD} | {name: str(path) for name, path in places.items()} | self.surroundings | more
        command = ["sh", "-ec", way.script]
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(  # noqa: S603
                command,
                cwd=self.folder / "work",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What the commands said so far."""
        return (self.folder / "said").read_text("utf-8", "replace")

    @property
    def last_word(self) -> str:
        """The last line of that, without the folder, shortened."""
        line = self.said.strip().splitlines()[-1].strip().replace(f"{self.store.parent}/", "")
        return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"

    def others(self) -> Counter[str]:
        """Count what lies there besides the store, by kind."""
        found = Counter(KINDS.get(path.suffix, "other file") for path in self.store.parent.glob("*") if path != self.store)
        for kind, folder in (("record", "records"), ("work file", "work")):
            found[kind] += len([*(self.folder / folder).glob("*")])
        return +found


@dataclass(frozen=True)
class Done:
    """Where something was done, the exit status of each process, and the seconds by the clock and of CPU."""

    place: Place
    statuses: Sequence[int]
    seconds: float
    cpu: float


class Workshop:
    """Makes places in one temporary folder; `base` is the store that each begins with, None for none."""

    def __init__(self, folder: Path, surroundings: dict[str, str]) -> None:
        """Take the folder, and the variables that the commands use."""
        self.folder, self.surroundings = folder, surroundings

    def place(self, base: bytes | None) -> Place:
        """Make a new place."""
        place = Place(Path(tempfile.mkdtemp(dir=self.folder)), self.surroundings)
        for name in ("home", "work", "records"):
            (place.folder / name).mkdir()
        if base is not None:
            place.store.parent.mkdir()
            place.store.write_bytes(base)
        return place

    def carried_out(self, way: Way, base: bytes | None, **more: str) -> list[Done]:
        """Do a task as often as is wanted for a median, each time in another place."""
        return [finished(place, [partial(place.start, way, **more)]) for place in map(self.place, [base] * ROUNDS)]


def finished(place: Place, starts: Sequence[Callable[[], subprocess.Popen[bytes]]]) -> Done:
    """Start processes at the same time and wait for them."""
    started, cpu, statuses = time.monotonic(), 0.0, []
    processes = [start() for start in starts]
    for process in processes:
        _, encoded, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(encoded)
        statuses.append(process.returncode)
        cpu += used.ru_utime + used.ru_stime
    return Done(place, tuple(statuses), time.monotonic() - started, cpu)


def killed(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started, and wait for it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def anchors(store: Path) -> tuple[frozenset[str], str]:
    """Return the SHA-256 of what a JVM trusts with the store, opened without a password, and its complaint where it cannot."""
    try:
        return kit.jvm_anchors(store), ""
    except UnreadableKeystore as error:
        return frozenset(), str(error).rpartition("read it: ")[2]


def left(place: Place) -> str:
    """Say how many entries keytool finds in the store with its password, and what lies there besides."""
    command = ["keytool", "-J-Duser.language=en", "-list", "-keystore", str(place.store), "-storepass:env", "P"]
    listed = subprocess.run(command, env=os.environ | {"P": PASSWORD}, capture_output=True, text=True, check=False)  # noqa: S603
    found = [line.split() for line in listed.stdout.splitlines() if line.startswith("Your keystore contains")]
    entries = count(int(found[0][3]), "entry") if found else "keytool cannot list it"
    return ", ".join([entries, *(count(number, kind) for kind, number in place.others().items())])


def times(done: Sequence[Done]) -> str:
    """Give the medians of the clock and of CPU."""
    seconds, cpu = statistics.median(each.seconds for each in done), statistics.median(each.cpu for each in done)
    return f"{seconds:.1f} s ({cpu:.1f} s)"


def table(title: str, ways: Sequence[Way], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a task: a column for each tool."""
    print(f"\n## {title}\n")
    print("| | " + " | ".join(way.tool for way in ways) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |", flush=True)


def told(title: str, ways: Sequence[Way], done: Sequence[Sequence[Done]], judge: Callable[[Done], str]) -> None:
    """Print a task whose outcome can be seen from each time that it was done; the outcomes that differ are all told."""
    outcomes = ["; or: ".join(dict.fromkeys(map(judge, each))) for each in done]
    after = [left(each[-1].place) for each in done]
    effort = [way.effort for way in ways]
    table(title, ways, {"outcome": outcomes, "files after": after, "steps": effort, "time (CPU)": [*map(times, done)]})
