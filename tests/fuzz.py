"""Puts damaged bytes to everything that reads a stranger's: `python -m tests.fuzz --seconds 60 [file or folder to begin with …]`.

Whatever the bytes, each target gives a value or one of its errors, whose words are visible and bounded, without a warning, within
a second of the processor and half a gigabyte beyond what there was. Anything else is a finding: it is cut down, shown in base64,
written below `--findings` in a folder with the target's name, and the exit status is 1. Put it into `tests/corpus/<target>/` once
it is mended.

The same seed and the same number of runs put the same bytes to the same Python. What gave an outcome, or from Python 3.12 on
reached a line, that nothing before did, is changed further.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import random
import re
import signal
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from unittest.mock import patch

import allegra_tls_kit
from allegra_tls_kit import ber, certificate, pkcs12_encryption, pkcs12_format
from tests.fuzz_targets import MOST_ITERATIONS, TARGETS, Target
from tests.keystore_bytes import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType

CORPUS = Path(__file__).parent / "corpus"
SECONDS, PATIENCE = 1.0, 20.0
MEMORY = 512 << 20
LONGEST_INPUT, MOST_KEPT, SHOWN = 64 * 1024, 2000, 3000
LONGEST_WORDS = 40_000
"""Of an error: ten wrong lines of a list, each with 300 characters that are spelled out."""
FORGET_AFTER = 2000
"""Runs; the caches of certificates would be taken for a leak otherwise."""
_KIT = str(Path(allegra_tls_kit.__file__).parent)


class TooSlow(BaseException):
    """Raised into what does not come to an end; no handler of the kit takes it for an error of its own."""


@dataclass
class Fuzzed:
    """One target on its way: what is changed further, which outcomes and faults were met, and how often it was run."""

    target: Target
    pool: list[bytes]
    outcomes: set[str] = field(default_factory=set)
    faults: dict[str, Path] = field(default_factory=dict)
    runs: int = 0
    seconds: float = 0.0


def fuzz(
    targets: Iterable[Target], seed: int, going_on: Callable[[], bool], findings: Path, begin: Iterable[Path] = ()
) -> tuple[list[Fuzzed], str]:
    """Put bytes to each target in turn for as long as it is said; return what came of it, and a digest of all those bytes."""
    chance, digest = random.Random(seed), hashlib.sha256()
    given = list(begin)
    fuzzed = [Fuzzed(target, [*target.seeds, *_given(target, given)]) for target in targets]
    with _short_waits(), _lines_reached() as new_lines, warnings.catch_warnings(action="error"):
        for one in fuzzed:
            for data in one.pool:
                _put_to(one, data, findings)
        turns = sorted((turn / one.target.turns, number) for number, one in enumerate(fuzzed) for turn in range(one.target.turns))
        for number, one in zip(count(), cycle(fuzzed[number] for _, number in turns)):
            if not going_on():
                break
            data = changed(one.target, one.pool, chance)
            digest.update(data)
            is_new = _put_to(one, data, findings)
            if (new_lines() or is_new) and len(one.pool) < MOST_KEPT:
                one.pool.append(data)
            if number % FORGET_AFTER == 0:
                certificate.load.cache_clear()
                certificate.certificate_facts.cache_clear()
    return fuzzed, digest.hexdigest()


def _given(target: Target, paths: list[Path]) -> Iterator[bytes]:
    """Yield what lies in a folder with the target's name, anywhere below these."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.parent.name == target.name:
                yield file.read_bytes()


def _put_to(one: Fuzzed, data: bytes, findings: Path) -> bool:
    """Run once; write down a fault that was not met before, and tell whether the outcome is new."""
    begin = time.perf_counter()
    said, is_fault = outcome(one.target, data)
    one.runs, one.seconds = one.runs + 1, one.seconds + time.perf_counter() - begin
    if is_fault and said not in one.faults:
        least = cut_down(data, lambda less: outcome(one.target, less) == (said, True))
        file = findings / one.target.name / hashlib.sha256(least).hexdigest()[:16]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(least)
        one.faults[said] = file
    is_new = said not in one.outcomes
    one.outcomes.add(said)
    return is_new and not is_fault


def outcome(target: Target, data: bytes) -> tuple[str, bool]:
    """Tell in a few words what came of these bytes, and whether it is a fault."""
    begin = time.thread_time()
    try:
        with _patience():
            value = target.act(data)
    except target.allowed as error:
        words = str(error)
        if len(words) > LONGEST_WORDS or not words.replace("\n", "").isprintable():
            return f"{type(error).__name__} whose words are not visible, or too many", True
        said = f"{type(error).__name__} {_kind_of(words)}"
    except TooSlow:
        return "too slow", True
    except BaseException as error:  # every other one is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(place.filename).name}:{place.name}", True
    else:
        said = _kind_of(str(value))
    return ("too slow", True) if time.thread_time() - begin > SECONDS else (said, False)


def _kind_of(words: str) -> str:
    """Return how words begin and end: what is repeated of the input stands in between, in quotation marks."""
    parts = re.split(r"['\"(\d]+", words)
    return " … ".join(re.sub("[^A-Za-z ]+", "", part)[:40] for part in (parts[0], parts[-1]))


def cut_down(data: bytes, is_same: Callable[[bytes], bool]) -> bytes:
    """Return a part of the data that still does the same, within a few hundred attempts."""
    size, left = len(data) // 2, 300
    while size and left:
        at = 0
        while at < len(data) and left:
            left -= 1
            less = data[:at] + data[at + size :]
            if is_same(less):
                data = less
            else:
                at += size
        size //= 2
    return data


# --- changes ---------------------------------------------------------------------------------------------------------------


def changed(target: Target, pool: list[bytes], chance: random.Random) -> bytes:
    """Return one of the pool after one to four changes."""
    data = chance.choice(pool)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        kinds = (*_CHANGES, _element, _element, _element) if target.is_der else _CHANGES
        data = chance.choice(kinds)(data, target, pool, chance)[:LONGEST_INPUT]
    return data


def _flipped(data: bytes, _: Target, __: list[bytes], chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _number(data: bytes, _: Target, __: list[bytes], chance: random.Random) -> bytes:
    """Put a length or a count of one, two, four or eight octets somewhere."""
    size = chance.choice((1, 1, 2, 4, 8))
    at = chance.randrange(len(data) + 1)
    value = chance.choice(
        (0, 1, 0x7F, 0x80, 0xFF, 1 << 8 * size - 1, (1 << 8 * size) - 1, len(data), len(data) - at, chance.getrandbits(8))
    )
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, "big") + data[at + size :]


def _cut(data: bytes, _: Target, __: list[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:] if chance.random() < 0.7 else data[:end]


def _doubled(data: bytes, _: Target, __: list[bytes], chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:end] * chance.choice((1, 1, 1, 8, 300)) + data[end:]


def _spliced(data: bytes, _: Target, pool: list[bytes], chance: random.Random) -> bytes:
    other = chance.choice(pool)
    start, end = sorted(chance.randrange(len(other) + 1) for _ in range(2))
    at = chance.randrange(len(data) + 1)
    return data[:at] + other[start:end] + data[chance.choice((at, at + end - start)) :]


def _word(data: bytes, target: Target, _: list[bytes], chance: random.Random) -> bytes:
    word, at = chance.choice(target.words), chance.randrange(len(data) + 1)
    return data[:at] + word + data[chance.choice((at, at + len(word))) :]


def _between(data: bytes, target: Target, _: list[bytes], chance: random.Random) -> bytes:
    """Put a word in the place of a value: between two marks of JSON, of a list, or of a line."""
    marks = [match.start() for match in re.finditer(rb'[\s:,;"\[\]{}/]', data[:LONGEST_INPUT])]
    if len(marks) < 2:
        return data
    number = chance.randrange(len(marks) - 1)
    return data[: marks[number] + 1] + chance.choice(target.words) + data[marks[number + 1] :]


def _element(data: bytes, target: Target, pool: list[bytes], chance: random.Random) -> bytes:
    """Change one element of DER, all lengths around it made to fit."""
    try:
        every = _elements(data)
        old = chance.choice(every)
        kind = chance.randrange(5)
        if kind == 0:
            new = ber.encode(old.tag, chance.choice(_CHANGES)(old.content, target, pool, chance))
        elif kind == 1:
            new = chance.choice(every).raw
        elif kind == 2:
            new = old.raw * chance.choice((0, 2, 2, 120))
        elif kind == 3:
            new = ber.encode(chance.choice(target.words)[0], old.content)
        else:
            new = ber.encode(0x30, old.raw)
        return replaced(data, old.raw, new) if old.raw else data
    except (ValueError, IndexError):
        return _flipped(data, target, pool, chance)


def _elements(data: bytes, most: int = 300) -> list[ber.Element]:
    found, left = list[ber.Element](), [data]
    while left and len(found) < most:
        with contextlib.suppress(ValueError):
            here = ber.elements(left.pop(0), most)
            found += here
            left += [each.content for each in here if each.tag & 0x20 or each.tag == ber.OCTET_STRING]
    return found


_CHANGES = (_flipped, _number, _cut, _doubled, _spliced, _word, _word, _between)

# --- bounds, and what was reached ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Raise into what takes much too long, where the system has such a clock."""

    def ring(*_: object) -> NoReturn:
        raise TooSlow

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def bounded_memory() -> None:
    """Let this process have so much more memory than it has now, where the system can be told so."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on Windows

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextlib.contextmanager
def _short_waits() -> Iterator[None]:
    with (
        patch.object(pkcs12_encryption, "MOST_ITERATIONS", MOST_ITERATIONS),
        patch.object(pkcs12_format, "MOST_ITERATIONS", MOST_ITERATIONS),
    ):
        yield


@contextlib.contextmanager
def _lines_reached() -> Iterator[Callable[[], bool]]:
    """Give what tells whether a line of the kit was reached since it was asked last, that never was before."""
    if sys.version_info < (3, 12):
        yield lambda: False
        return
    reached = [0, 0]
    watch, tool = sys.monitoring, sys.monitoring.COVERAGE_ID

    def line(code: CodeType, _: int) -> object:
        reached[0] += code.co_filename.startswith(_KIT)
        return watch.DISABLE

    def told() -> bool:
        before, reached[1] = reached[1], reached[0]
        return reached[0] > before

    watch.use_tool_id(tool, "fuzz")
    watch.register_callback(tool, watch.events.LINE, line)
    watch.set_events(tool, watch.events.LINE)
    watch.restart_events()
    try:
        yield told
    finally:
        watch.set_events(tool, 0)
        watch.free_tool_id(tool)


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, say what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "corpus", nargs="*", type=Path, default=[CORPUS], help="files and folders, in folders named after targets"
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, help="stop after so many runs, however long they take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args(arguments)
    targets = [target for target in TARGETS if options.target is None or target.name in options.target]
    end, runs = time.monotonic() + options.seconds, count()
    going_on = (lambda: time.monotonic() < end) if options.runs is None else (lambda: next(runs) < options.runs)
    fuzzed, digest = fuzz(targets, options.seed, going_on, options.findings, options.corpus)
    for one in fuzzed:
        speed = f"{one.runs / one.seconds:,.0f} a second" if one.seconds else "none"
        _say(f"{one.target.name:12} {one.runs:9,} runs, {speed}; {len(one.outcomes)} outcomes, {len(one.pool)} kept")
    found = [(one.target.name, said, file) for one in fuzzed for said, file in one.faults.items()]
    for name, said, file in found:
        _say(f"FINDING: {name}: {said}: {file} (seed {options.seed})\n{base64.b64encode(file.read_bytes()[:SHOWN]).decode()}")
    _say(f"seed {options.seed}, bytes {digest[:16]}, {len(found)} findings")
    return 1 if found else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program for the shell


if __name__ == "__main__":
    bounded_memory()
    sys.exit(main())
