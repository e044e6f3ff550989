from __future__ import annotations

import asyncio
import errno
import gc
import math
import os
import pickle
import selectors
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from allegra_tls_kit import attempt, handshake, turns
from allegra_tls_kit.attempt import Attempt
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import ConnectFailed, EndpointError, ProbeTimeout
from allegra_tls_kit.probe import probe, probe_all
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress
from allegra_tls_kit.turns import CONNECTIONS_TO_ONE_HOST
from tests.misbehaving import (
    GO_AHEAD,
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
    then,
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


@pytest.mark.parametrize("limited_by", ["in_flight", "the host", pytest.param("the process", marks=LINUX)])
def test_no_more_are_in_flight_than_allowed_and_each_has_its_time(monkeypatch: pytest.MonkeyPatch, limited_by: str) -> None:
    if limited_by == "the process":
        monkeypatch.setattr("resource.getrlimit", lambda _: (130, 130))
    Counting.most = []
    monkeypatch.setattr(selectors, "DefaultSelector", Counting)
    number = 10 if limited_by == "the host" else 4
    with Server(silent) as server:
        endpoints = [server.endpoint("imaps")] * number
        results = probe_all(endpoints, timeout=0.3, in_flight=2 if limited_by == "in_flight" else 512)
    assert max(Counting.most) - 1 == (CONNECTIONS_TO_ONE_HOST if limited_by == "the host" else 2)
    assert [type(result.error) for result in results if isinstance(result, ProbeFailure)] == [ProbeTimeout] * number
    assert all(result.seconds >= 0.3 for result in results)


def test_names_that_hang_keep_no_name_waiting_and_each_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "NAMES_AT_ONCE", 2)
    asked: list[str] = []
    hang = threading.Event()
    hanging = [f"hangs{n}.example" for n in range(3)]
    found = [(socket.AF_INET, "127.0.0.1")]
    answering(monkeypatch, dict.fromkeys(hanging, hang) | {f"good{n}.example": found for n in range(3)}, asked)
    with Server(tls(decent())) as server:
        hosts = [*hanging, *(f"good{n}.example" for n in range(3) for _ in range(6)), "127.0.0.1"]
        results = probe_all([server.endpoint("imaps", host=host) for host in hosts], timeout=0.4)
    hang.set()
    assert [type(result) for result in results] == [ProbeFailure] * 3 + [Probe] * 19
    assert sorted(name for name in asked if name.endswith(".example")) == sorted({*hosts} - {"127.0.0.1"})
    assert resolver_threads() == []


class Crowded:
    """The module `socket` of a process that may open so many sockets fewer than asked for."""

    def __init__(self, refused: float) -> None:
        self.refused = refused

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(socket, name)

    def socket(self, *args: Any) -> socket.socket:  # noqa: ANN401 - as above
        if self.refused > 0:
            self.refused -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return socket.socket(*args)


def test_a_process_that_may_open_no_more_files_waits_for_room_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(tls(decent())) as server:
        endpoints = [server.endpoint("imaps", host=host) for host in ("127.0.0.1", "localhost", "127.0.0.1")]
        monkeypatch.setattr(attempt, "socket", Crowded(5))
        assert {type(result) for result in probe_all(endpoints)} == {Probe}
        monkeypatch.setattr(attempt, "socket", Crowded(math.inf))
        with pytest.raises(ProbeTimeout, match=r"connecting took longer than 0\.3 s; this process may not open more connections"):
            probe(endpoints[0], timeout=0.3)


def test_what_many_servers_show_is_held_once() -> None:
    with Server(then(saying(*GO_AHEAD["smtp"]), tls(decent()))) as server:
        one, other = probe_all([server.endpoint("smtp"), server.endpoint("smtp", "other.example")])
    assert [*one.chain, *one.transcript] == [*other.chain, *other.transcript]
    assert all(a is b for a, b in zip([*one.chain, *one.transcript], [*other.chain, *other.transcript], strict=True))


def test_where_this_python_cannot_see_a_request_for_a_client_certificate_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "_watch", None)
    handshake.context.cache_clear()
    try:
        with Server(tls(decent())) as server:
            assert probe(server.endpoint("imaps")).client_certificate is None
    finally:
        handshake.context.cache_clear()


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
    """Notes how many sockets were registered at a time, and were still when the selector was closed."""

    left: ClassVar[list[int]] = []
    most: ClassVar[list[int]] = []

    def register(self, *args: Any) -> selectors.SelectorKey:  # noqa: ANN401 - as the parent has it
        key = super().register(*args)
        self.most.append(len(self.get_map()))
        return key

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
        with pytest.raises(Interrupted, match="stopped by hand when 0 of 20 servers were done"):
            probe_all([mute.endpoint("imaps")] * 20, timeout=600, progress=interrupt)
    assert open_files() <= before
    assert Counting.left == [1]
    assert resolver_threads() == []
