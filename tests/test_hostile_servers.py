from __future__ import annotations

import contextlib
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit.errors import ProbeTimeout
from allegra_tls_kit.survey import Probe, ProbeFailure
from tests.hostile_servers import BEHAVIOURS
from tests.misbehaving import LINUX, PLAIN, Server, chain, decent, tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from allegra_tls_kit.endpoint import Endpoint

    Case = tuple[str, str]
    Results = tuple[Probe | ProbeFailure, ...]
    Seen = dict[Case, Probe | ProbeFailure]

SHORT, LONG = 0.8, 30.0
"""Seconds: for those that would never come to an end, and for all others, which come to it long before."""
MARGIN = 5.0
"""Seconds that a busy machine may take beyond a deadline."""
MOST_SERVERS = 100
"""At a time: where descriptors are few, there are 256."""
MOST_GROWTH = 64 * 1024
WAITING = [name for name, behaviour in BEHAVIOURS.items() if behaviour.ends is ProbeTimeout]
OTHERS = [name for name in BEHAVIOURS if name not in WAITING]

SCRIPT = r"""
import pickle, re, sys
from pathlib import Path
from allegra_tls_kit import handshake, turns
from allegra_tls_kit.probe import probe_all
def peak():
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) if status.exists() else 0
turns.CONNECTIONS_TO_ONE_HOST = 1000  # all of them are one here
endpoints, timeout = pickle.load(sys.stdin.buffer)
handshake.context()
before = peak()
results = probe_all(endpoints, timeout=timeout, in_flight=100)
pickle.dump((results, peak() - before), sys.stdout.buffer)
"""


def look(endpoints: Sequence[Endpoint], timeout: float) -> tuple[Results, int]:
    """Probe in a process that has no servers in it; return how many KB it grew at most, too, where that can be told."""
    asked = pickle.dumps((endpoints, timeout))
    child = subprocess.run([sys.executable, "-c", SCRIPT], input=asked, stdout=subprocess.PIPE, check=True, timeout=100)
    results, growth = pickle.loads(child.stdout)
    return results, growth


@contextlib.contextmanager
def servers(cases: Sequence[Case]) -> Iterator[list[Endpoint]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(BEHAVIOURS[name].does[scheme])).endpoint(scheme) for name, scheme in cases]


@pytest.fixture(scope="module")
def looks() -> tuple[Seen, int]:
    """What is seen of every behaviour under every scheme, and how much the process grew that looked."""
    seen: Seen = {}
    most = 0
    for names, timeout in ((WAITING, SHORT), (OTHERS, LONG)):
        cases = [(name, scheme) for name in names for scheme in BEHAVIOURS[name].does]
        for start in range(0, len(cases), MOST_SERVERS):
            some = cases[start : start + MOST_SERVERS]
            with servers(some) as endpoints:
                results, growth = look(endpoints, timeout)
            seen |= dict(zip(some, results, strict=True))
            most = max(most, growth)
    return seen, most


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_whatever_a_server_does_ends_as_it_should_and_says_what_was_seen(name: str, looks: tuple[Seen, int]) -> None:
    behaviour, shown = BEHAVIOURS[name], tuple(issued.der for issued in chain())
    for scheme in behaviour.does:
        result = looks[0][name, scheme]
        assert result.address == "127.0.0.1"
        assert all(line.isprintable() and len(line) < 1500 for line in result.transcript)
        if behaviour.ends is None:
            assert isinstance(result, Probe), (scheme, result)
            assert result.chain in (shown, shown + shown[1:] * 98)
            continue
        stage = "starttls" if (behaviour.stage, scheme) == ("greeting", "ldap") else behaviour.stage
        assert isinstance(result, ProbeFailure)
        assert (scheme, type(result.error), result.stage) == (scheme, behaviour.ends, stage)
        assert result.chain == (shown if behaviour.shown else ())
        assert stage == "greeting" or bool(result.transcript) is (scheme in PLAIN)
        assert re.search(behaviour.words, str(result.error))
        assert str(result.error).isprintable()
        assert len(str(result.error)) < 600


@pytest.mark.parametrize("name", WAITING)
def test_the_deadline_is_the_total_however_slowly_a_server_talks(name: str, looks: tuple[Seen, int]) -> None:
    for scheme in BEHAVIOURS[name].does:
        assert SHORT <= looks[0][name, scheme].seconds < SHORT + MARGIN


@LINUX
def test_no_flood_and_no_chain_makes_the_process_grow(looks: tuple[Seen, int]) -> None:
    assert 0 < looks[1] < MOST_GROWTH


def test_one_of_each_changes_nothing_for_six_hundred_others() -> None:
    rude = [(name, next(iter(BEHAVIOURS[name].does))) for name in BEHAVIOURS]
    with Server(tls(decent())) as server:
        good = [server.endpoint("imaps", f"host{number}.example") for number in range(600)]
        alone, _ = look(good, MARGIN)
        with servers(rude) as endpoints:
            mixed = list(good)
            for number, endpoint in enumerate(endpoints):
                mixed.insert(number * 5, endpoint)
            among, _ = look(mixed, MARGIN)
    ours = [result for result in among if result.endpoint.port == server.port]
    assert {type(result) for result in alone} == {Probe}
    assert [replace(one, seconds=0, at=other.at) for one, other in zip(ours, alone, strict=True)] == [
        replace(other, seconds=0) for other in alone
    ]
