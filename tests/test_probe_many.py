from __future__ import annotations

import asyncio
import gc
import os
import pickle
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from allegra_tls_kit.attempt import Attempt
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import ConnectFailed, EndpointError
from allegra_tls_kit.probe import probe, probe_all
from allegra_tls_kit.survey import Probe, ProbeFailure, Progress
from tests.misbehaving import (
    LINUX,
    Server,
    answering,
    chain,
    decent,
    refusing,
    resetting,
    resolver_threads,
    saying,
    silent,
    tls,
)


def test_failing_servers_change_nothing_for_two_hundred_others_and_the_order_holds() -> None:
    told: list[Progress] = []
    with Server(tls(decent())) as server, Server(silent) as mute, Server(resetting) as rude, refusing() as refused:
        endpoints = [server.endpoint("imaps", f"host{n}.example") for n in range(200)]
        endpoints[50:50] = [mute.endpoint("smtp"), rude.endpoint("imaps"), refused]
        results = probe_all(endpoints, timeout=3, in_flight=64, progress=told.append)
    assert [result.endpoint for result in results] == endpoints
    assert [n for n, result in enumerate(results) if isinstance(result, ProbeFailure)] == [50, 51, 52]
    assert all(result.chain == tuple(issued.der for issued in chain()) for result in results if isinstance(result, Probe))
    assert (told[-1].done, told[-1].failed, told[-1].total) == (203, 3, 203)
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert told[-1].seconds * 10 + 2 >= len(told) > 5


@pytest.mark.parametrize("limited_by", ["in_flight", pytest.param("the process", marks=LINUX)])
def test_no_more_are_in_flight_than_allowed_and_each_has_its_time(monkeypatch: pytest.MonkeyPatch, limited_by: str) -> None:
    if limited_by == "the process":
        monkeypatch.setattr("resource.getrlimit", lambda _: (66, 66))
    with Server(silent) as server:
        started = time.monotonic()
        results = probe_all([server.endpoint("imaps")] * 4, timeout=0.3, in_flight=2 if limited_by == "in_flight" else 512)
        assert 0.6 <= time.monotonic() - started < 2
    assert all(0.3 <= result.seconds < 0.9 for result in results)


def test_an_empty_list_and_a_time_that_is_none_are_refused() -> None:
    with pytest.raises(EndpointError, match="no endpoint to probe"):
        probe_all([])
    endpoint = Endpoint.parse("imaps://127.0.0.1")
    for timeout, in_flight in ((0, 1), (-1, 1), (float("nan"), 1), (1, 0)):
        with pytest.raises(ValueError, match="must be positive"):
            probe_all([endpoint], timeout=timeout, in_flight=in_flight)


def test_results_pickle() -> None:
    with Server(tls(decent())) as server, refusing() as refused:
        good, bad = results = probe_all([server.endpoint("imaps"), refused])
    good_again, bad_again = pickle.loads(pickle.dumps(results))
    assert good_again == good
    assert isinstance(bad, ProbeFailure)
    assert (bad_again.endpoint, bad_again.at, type(bad_again.error)) == (bad.endpoint, bad.at, ConnectFailed)
    assert bad_again.error.args == bad.error.args


def test_it_works_inside_a_running_loop_and_in_a_thread() -> None:
    async def inside() -> Probe:
        return probe(server.endpoint("imaps"))

    with Server(tls(decent())) as server, ThreadPoolExecutor(1) as pool:
        assert len(asyncio.run(inside()).chain) == 2
        assert len(pool.submit(probe, server.endpoint("imaps")).result().chain) == 2


# --- nothing is left behind ------------------------------------------------------------------------------------------------


class Counting(selectors.DefaultSelector):
    """Notes how many sockets were still registered when a selector was closed."""

    left: list[int]

    def close(self) -> None:
        self.left.append(len(self.get_map()))
        super().close()


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - pathlib would hold one open itself


@LINUX
def test_no_socket_thread_or_attempt_outlives_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch, {"two.example": [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")], "no.example": OSError("no")}
    )
    Counting.left = []
    monkeypatch.setattr(selectors, "DefaultSelector", Counting)
    with Server(tls(decent())) as server, Server(saying(b"* OK\r\n", b"a1 NO\r\n")) as refuser, Server(silent) as mute:
        before = open_files()
        results = probe_all(
            [
                *(server.endpoint("imaps", host=host) for host in ("127.0.0.1", "two.example", "no.example")),
                *(refuser.endpoint("imap"), refuser.endpoint("imaps"), mute.endpoint("smtp")),
            ],
            timeout=0.4,
        )
        assert resolver_threads() == []
        assert [type(result) for result in results] == [Probe, Probe, *[ProbeFailure] * 4]
        assert not [kept for kept in gc.get_objects() if isinstance(kept, Attempt)]
    assert open_files() <= before
    assert Counting.left == [1]  # the resolver's signal


@LINUX
def test_an_interrupt_out_of_progress_closes_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Counting.left = []
    monkeypatch.setattr(selectors, "DefaultSelector", Counting)

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with Server(silent) as mute:
        before = open_files()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            probe_all([mute.endpoint("imaps")] * 20, timeout=30, progress=interrupt)
        assert time.monotonic() - started < 2
    assert open_files() <= before
    assert Counting.left == [1]
    assert resolver_threads() == []
