"""Endpoints in batches for somebody else's workers: threads, processes, a cluster, whatever is a `concurrent.futures.Executor`.

A task for each endpoint would cost a cluster more than the probe, and one worker has hundreds of them in flight as easily as one.
But a batch comes back as a whole, and one dead server in it takes the whole timeout. So a batch is handed back when none of its
servers has said a word for a moment, and those that were silent are asked once more, all together, with the time they may have.
Rule: each endpoint has one result, whatever becomes of the workers.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass, replace
from math import ceil
from threading import Thread
from typing import TYPE_CHECKING
from uuid import uuid4

from allegra_tls_kit.errors import NotProbed
from allegra_tls_kit.loop import PROGRESS_EVERY, Run, Task, not_looked_at, stopped_by_hand
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from concurrent.futures import Executor, Future

SMALLEST, LARGEST = 32, 250
BATCHES_PER_WORKER = 4
SUPPOSED_WORKERS = 8
"""Of an executor that does not say how many it has."""
SILENCE = 0.5
"""Seconds without a word of any server after which a batch is handed back."""

_called_off: set[str] = set()
"""Runs that were stopped; the workers that are threads of this process see it and end."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one worker is to do, once: a cluster takes two orders that are equal for one.

    `patient`: to wait for every endpoint until its deadline, not only for those that answer soon.
    """

    run: str
    number: int
    task: Task
    patient: bool


def look(order: Order) -> tuple[Probe | ProbeFailure, ...]:
    """Do what one order says, in the worker; who was not waited for has a ProbeFailure with NotProbed."""

    def enough(silence: float) -> bool:
        return order.run in _called_off or (silence > SILENCE and not order.patient)

    try:
        return Run(order.task, enough=enough).results()
    except Interrupted as stopped:
        return tuple(stopped.results)


@dataclass(frozen=True, slots=True)
class _Sent:
    """Which endpoints an order is about, by number; `retried` where a worker was lost with them before."""

    order: Order
    numbers: Sequence[int]
    retried: bool


class Shipment:
    """All endpoints of one call, on their way to the workers of one executor and back."""

    def __init__(self, task: Task, executor: Executor) -> None:
        """Ask the executor how many workers it has; nothing is sent yet."""
        self.done = self.failed = 0
        self.pending: dict[Future[tuple[Probe | ProbeFailure, ...]], _Sent] = {}
        self._task, self._endpoints, self._executor = task, task.endpoints, executor
        self._run, self._orders = uuid4().hex, 0
        self._results: list[Probe | ProbeFailure | None] = [None] * len(task.endpoints)
        self._silent: list[int] = []
        self._workers = _workers(executor)

    def send(self) -> None:
        """Send all batches."""
        for numbers in self._dealt(range(len(self._endpoints)), BATCHES_PER_WORKER * self._workers, LARGEST):
            self._send(numbers, patient=False)

    def settle(self, future: Future[tuple[Probe | ProbeFailure, ...]]) -> None:
        """Take what has come back, and send on what has to be asked again."""
        sent = self.pending.pop(future)
        error = CancelledError("it was cancelled") if future.cancelled() else future.exception()
        if error is None:
            self._take(sent, future.result())
        elif sent.retried or future.cancelled():
            self._lose(sent.numbers, error)
        else:
            half = (len(sent.numbers) + 1) // 2
            for numbers in (sent.numbers[:half], sent.numbers[half:]):
                self._send(numbers, patient=sent.order.patient, retried=True)
        if not self.pending and self._silent:
            numbers, self._silent = self._silent, []
            for part in self._dealt(numbers, self._workers, max(self._task.in_flight, SMALLEST)):
                self._send(part, patient=True)

    def call_off(self) -> None:
        """Let the workers go, as far as they can be reached within a tenth of a second; those of a cluster end by themselves."""
        _called_off.add(self._run)
        calling = Thread(target=lambda futures: [future.cancel() for future in futures], args=(list(self.pending),), daemon=True)
        calling.start()
        calling.join(PROGRESS_EVERY)
        for future, sent in self.pending.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                self._take(sent, future.result())
        for number, result in enumerate(self._results):
            if result is None:
                self._results[number] = not_looked_at(self._endpoints[number], stopped_by_hand())

    def results(self) -> tuple[Probe | ProbeFailure, ...]:
        """Return what there is, in the order of the endpoints."""
        return tuple(result for result in self._results if result is not None)

    def _send(self, numbers: Sequence[int], *, patient: bool, retried: bool = False) -> None:
        if not numbers:
            return
        self._orders += 1
        task = replace(self._task, endpoints=tuple(self._endpoints[number] for number in numbers))
        order = Order(self._run, self._orders, task, patient)
        try:
            self.pending[self._executor.submit(look, order)] = _Sent(order, numbers, retried)
        except Exception as error:  # noqa: BLE001 - a broken pool, a closed cluster: each executor has its own
            self._lose(numbers, error)

    def _take(self, sent: _Sent, results: Sequence[Probe | ProbeFailure]) -> None:
        for number, result in zip(sent.numbers, results, strict=True):
            if isinstance(result, ProbeFailure):
                if isinstance(result.error, NotProbed) and not sent.order.patient:
                    self._silent.append(number)
                    continue
                self.failed += 1
            self._results[number] = result
            self.done += 1

    def _lose(self, numbers: Sequence[int], error: BaseException) -> None:
        words = NotProbed(f"no worker has looked at it ({type(error).__name__}: {visible(str(error))}); probe it again")
        for number in numbers:
            self._results[number] = not_looked_at(self._endpoints[number], words)
        self.done += len(numbers)
        self.failed += len(numbers)

    def _dealt(self, numbers: Collection[int], wished: int, largest: int) -> list[list[int]]:
        """Return so many batches, or fewer where they would be small; a host is in one as a whole, so that its limit holds."""
        hosts: defaultdict[str, list[int]] = defaultdict(list)
        for number in numbers:
            hosts[self._endpoints[number].host.lower()].append(number)
        number_of_batches = max(min(wished, len(numbers) // SMALLEST), ceil(len(numbers) / largest), 1)
        batches: list[list[int]] = [[] for _ in range(number_of_batches)]
        smallest = [(0, place) for place in range(len(batches))]
        for those in hosts.values():
            held, place = heapq.heappop(smallest)
            batches[place] += those
            heapq.heappush(smallest, (held + len(those), place))
        return [sorted(batch) for batch in batches if batch]


def settle(shipments: Iterable[Shipment], seconds: float) -> None:
    """Settle what has come back; where nothing has, wait so long for the first of it."""
    whose = {future: shipment for shipment in shipments for future in shipment.pending}
    wait(whose, seconds, FIRST_COMPLETED)
    for future, shipment in whose.items():
        if future.done():  # `wait` keeps quiet about one that was cancelled before a worker took it
            shipment.settle(future)


def _workers(executor: Executor) -> int:
    """Return how many batches an executor works on at once; the standard library's and dask's say so, each in its own way."""
    most = getattr(executor, "_max_workers", None)
    if isinstance(most, int):
        return most
    threads = getattr(getattr(executor, "_client", None), "nthreads", None)
    return max(1, sum(threads().values())) if threads is not None else SUPPOSED_WORKERS
