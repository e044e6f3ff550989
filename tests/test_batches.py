"""Endpoints in batches for threads, processes and a cluster: each answered once, whatever becomes of the workers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from allegra_tls_kit import merged, probe_zones, survey_frame
from allegra_tls_kit.batches import LARGEST, SMALLEST, Order, look
from allegra_tls_kit.errors import ConnectFailed, NotProbed, ProbeTimeout
from allegra_tls_kit.loop import Task
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress, Zoned
from tests.misbehaving import GO_AHEAD, Server, chain, decent, refusing, saying, silent, then, tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allegra_tls_kit.endpoint import Endpoint

FOREVER = 600.0
"""A timeout that ends no test: what waits for it is stopped by the test's own limit, and fails."""


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@contextmanager
def cluster(**options: Any) -> Iterator[Any]:  # noqa: ANN401 - dask has no types
    from distributed import Client, LocalCluster  # noqa: PLC0415 - slow to load, and only here

    settings = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"} | options
    with LocalCluster(**settings) as local, Client(local) as client:  # type: ignore[no-untyped-call]
        yield client


@contextmanager
def dask() -> Iterator[Executor]:
    with cluster() as client:
        yield client.get_executor()


def kinds(results: tuple[Probe | ProbeFailure, ...]) -> Counter[type]:
    return Counter(type(result.error) if isinstance(result, ProbeFailure) else Probe for result in results)


@pytest.mark.parametrize("executor", [threads, processes, dask])
def test_any_executor_gives_the_same_results_in_the_order_of_the_endpoints(executor: Callable[[], Any]) -> None:
    told: list[Progress] = []
    with Server(then(saying(*GO_AHEAD["smtp"]), tls(decent()))) as server, Server(silent) as mute, refusing() as refused:
        endpoints = [server.endpoint("smtp", f"host{n}.example") for n in range(70)]
        endpoints[10:10] = [mute.endpoint("imaps"), refused]
        with executor() as workers:
            results = probe_all(endpoints, timeout=1, executor=workers, progress=told.append)
    assert [result.endpoint for result in results] == endpoints
    assert kinds(results) == {Probe: 70, ProbeTimeout: 1, ConnectFailed: 1}
    assert results[0].chain == tuple(issued.der for issued in chain())
    last = told[-1]
    assert (last.done, last.failed, last.total, last.remaining, last.over) == (72, 2, 72, 0, True)
    assert [progress.over for progress in told[:-1]] == [False] * (len(told) - 1)
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)


class Noting(ThreadPoolExecutor):
    """Notes the orders."""

    def __init__(self) -> None:
        super().__init__(2)
        self.orders: list[Order] = []

    def submit(self, task: Any, /, *args: Any, **options: Any) -> Future[Any]:  # noqa: ANN401 - as the parent has it
        self.orders.append(args[0])
        return super().submit(task, *args, **options)


def test_batches_are_neither_small_nor_large_and_no_host_is_in_two() -> None:
    with refusing() as refused, Noting() as executor:
        hosts = [f"127.0.{n % 3}.{n // 3 + 1}" for n in range(700)]
        endpoints = [type(refused)(host, refused.port, refused.protocol, refused.security) for host in hosts for _ in range(4)]
        results = probe_all(endpoints, timeout=5, executor=executor)
    assert kinds(results) == {ConnectFailed: 2800}
    sizes = [len(order.task.endpoints) for order in executor.orders]
    assert sum(sizes) == 2800
    assert SMALLEST <= min(sizes) <= max(sizes) <= LARGEST
    homes = [(endpoint.host, order.number) for order in executor.orders for endpoint in order.task.endpoints]
    assert len({*homes}) == len({*hosts})
    assert len({(order.run, order.number) for order in executor.orders}) == len(sizes)


def test_who_is_silent_at_first_is_asked_once_more_and_waited_for() -> None:
    heard: list[int] = []

    def shy(connection: Any) -> None:  # noqa: ANN401 - a socket
        heard.append(1)
        (silent if len(heard) == 1 else tls(decent()))(connection)

    with Server(shy) as server, threads() as executor:
        (result,) = probe_all([server.endpoint("imaps")], timeout=FOREVER, executor=executor)
    assert isinstance(result, Probe)
    assert len(heard) == 2


def test_a_result_pickles_small_for_each_certificate_is_in_its_batch_once() -> None:
    with Server(then(saying(*GO_AHEAD["smtp"]), tls(decent()))) as server:
        endpoints = tuple(server.endpoint("smtp", f"host{n}.example") for n in range(50))
        results = look(Order("run", 1, Task(endpoints, 10, 64), patient=True))
    pickled = pickle.dumps(results)
    assert [pickled.count(issued.der) for issued in chain()] == [1, 1]
    assert len(pickled) < 50 * 250 + sum(len(issued.der) for issued in chain()) + 1000


# --- workers that are lost -------------------------------------------------------------------------------------------------


class Scripted(Executor):
    """Does the first orders as the script says, with an error for each that is one, and the others itself."""

    def __init__(self, *script: BaseException | None) -> None:
        self.script = list(script)
        self.sizes: list[int] = []

    def submit(self, task: Any, /, *args: Any, **options: Any) -> Future[Any]:  # noqa: ANN401 - as the parent has it
        future: Future[Any] = Future()
        self.sizes.append(len(args[0].task.endpoints))
        error = self.script.pop(0) if self.script else None
        if error is None:
            future.set_result(task(*args, **options))
        else:
            future.set_exception(error)
        return future


def test_a_batch_whose_worker_died_is_tried_once_more_in_halves() -> None:
    died = BrokenProcessPool("a worker\x1b died")
    with Server(tls(decent())) as server:
        endpoints = [server.endpoint("imaps", f"host{n}.example") for n in range(9)]
        results = probe_all(endpoints, timeout=5, executor=Scripted(died))
        assert kinds(results) == {Probe: 9}
        executor = Scripted(died, None, MemoryError())
        results = probe_all(endpoints, timeout=5, executor=executor)
        assert executor.sizes == [9, 5, 4]
        assert [result.endpoint for result in results] == endpoints
        assert [isinstance(result, Probe) for result in results] == [True] * 5 + [False] * 4
        (lost,) = probe_all(endpoints[:1], executor=Scripted(died, died))
    assert isinstance(lost, ProbeFailure)
    assert (type(lost.error), lost.stage, lost.chain) == (NotProbed, "waiting", ())
    assert str(lost.error) == r"no worker has looked at it (BrokenProcessPool: a worker\x1b died); probe it again"


def test_an_executor_that_is_shut_down_has_looked_at_nobody_and_what_it_cancels_says_so() -> None:
    with refusing() as refused:
        with threads() as executor:
            pass
        (result,) = probe_all([refused], executor=executor)
        assert isinstance(result, ProbeFailure)
        assert "cannot schedule new futures after shutdown" in str(result.error)
    with Server(silent) as mute, ThreadPoolExecutor(1) as executor:
        endpoints = [mute.endpoint("imaps", host=host) for host in ("127.0.0.1", "localhost") for _ in range(SMALLEST)]

        def cancel(progress: Progress) -> None:
            if not progress.done:
                executor.shutdown(wait=False, cancel_futures=True)

        results = probe_all(endpoints, timeout=0.3, executor=executor, progress=cancel)
    assert kinds(results).keys() <= {NotProbed, ProbeTimeout}
    assert any("CancelledError: it was cancelled" in str(r.error) for r in results if isinstance(r, ProbeFailure))


def test_a_worker_process_that_is_killed_breaks_its_pool_and_nobody_is_forgotten() -> None:
    with Server(silent) as mute, processes() as executor:
        pids = set(executor.map(worker, range(8)))
        endpoints = [mute.endpoint("imaps", f"host{n}.example") for n in range(80)]

        def kill(_: Progress) -> None:
            if pids:
                os.kill(pids.pop(), signal.SIGKILL)
                pids.clear()

        results = probe_all(endpoints, timeout=FOREVER, executor=executor, progress=kill)
    assert [result.endpoint for result in results] == endpoints
    assert kinds(results) == {NotProbed: 80}
    assert "BrokenProcessPool" in str(results[0].error)  # type: ignore[union-attr]


def worker(_: int) -> int:
    return os.getpid()


def test_a_worker_of_a_cluster_that_is_killed_costs_nobody_the_answer() -> None:
    with Server(silent) as mute, Server(tls(decent())) as server, cluster() as client:
        pids = [*client.run(os.getpid).values()]
        endpoints = [server.endpoint("imaps", f"host{n}.example") for n in range(80)]
        endpoints[::8] = [mute.endpoint("imaps", f"host{n}.example") for n in range(10)]

        def kill(_: Progress) -> None:
            if len(pids) == 2:
                os.kill(pids.pop(), signal.SIGKILL)

        results = probe_all(endpoints, timeout=1, executor=client.get_executor(), progress=kill)
    assert len(pids) == 1
    assert [result.endpoint for result in results] == endpoints
    assert kinds(results) == {Probe: 70, ProbeTimeout: 10}


# --- several zones, and a hand that stops them -----------------------------------------------------------------------------


def test_zones_look_at_the_same_servers_each_from_its_own_place() -> None:
    told: list[Progress] = []
    with Server(tls(decent())) as server, refusing() as refused, threads() as executor:
        endpoints = [server.endpoint("imaps"), refused]
        results = probe_zones({"dmz": executor, "lan": None}, iter(endpoints), progress=told.append)
    assert [*results] == ["dmz", "lan"]
    for seen in results.values():
        assert [result.endpoint for result in seen] == endpoints
        assert kinds(seen) == {Probe: 1, ConnectFailed: 1}
    assert (told[-1].done, told[-1].failed, told[-1].total) == (4, 2, 4)
    assert [*survey_frame(results)["zone"]] == ["dmz", "dmz", "lan", "lan"]
    assert merged(results)[2] == Zoned("lan", results["lan"][0])


def test_zones_without_a_name_or_twice_here_are_refused() -> None:
    for zones in ({}, {"a": None, "b": None}):
        with refusing() as refused, pytest.raises(ValueError, match="name the zones"):
            probe_zones(zones, [refused])


def test_whoever_stops_a_look_from_several_places_has_what_was_done_and_the_workers_end() -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 40 and not progress.over:
            raise KeyboardInterrupt

    told: list[Progress] = []

    def note(progress: Progress) -> None:
        told.append(progress)
        stop(progress)

    with Server(tls(decent())) as server, Server(silent) as mute, threads() as executor:
        endpoints: list[Endpoint] = [server.endpoint("imaps", f"host{n}.example") for n in range(20)]
        endpoints += [mute.endpoint("imaps")]
        with pytest.raises(Interrupted, match="stopped by hand when 40 of 42 servers were done") as caught:
            probe_zones({"dmz": executor, "lan": None}, endpoints, timeout=FOREVER, progress=note)
        assert told[-1].over
        for seen in caught.value.results.values():
            assert [result.endpoint for result in seen] == endpoints
            assert kinds(seen) == {Probe: 20, NotProbed: 1}
        with pytest.raises(Interrupted) as caught:
            probe_all(endpoints, timeout=FOREVER, executor=executor, progress=lambda p: stop(Progress(40, 0, 40, 0, p.over)))
        assert kinds(caught.value.results) == {NotProbed: 21}


def test_an_error_of_the_callers_own_ends_the_workers_too() -> None:
    def fail(_: Progress) -> None:
        raise LookupError

    with Server(silent) as mute, threads() as executor, pytest.raises(LookupError):
        probe_all([mute.endpoint("imaps")], timeout=FOREVER, executor=executor, progress=fail)
