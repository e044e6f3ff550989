"""Looking at servers: one, many, many through somebody else's workers, and many from several places in the network."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from allegra_tls_kit.batches import Shipment, settle
from allegra_tls_kit.loop import PROGRESS_EVERY, Run, Task, not_looked_at, stopped_by_hand
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor

    from allegra_tls_kit.endpoint import Endpoint

_Results = tuple[Probe | ProbeFailure, ...]
_ONLY = ""


def probe(endpoint: Endpoint, *, timeout: float = 10.0) -> Probe:
    """Look at one server: connect, start TLS, take the chain as sent, close.

    `timeout` is the total in seconds, name resolution included. Nothing is verified. Raises a ProbeError.
    """
    (result,) = probe_all((endpoint,), timeout=timeout)
    if isinstance(result, ProbeFailure):
        raise result.error
    return result


def probe_all(
    endpoints: Iterable[Endpoint],
    *,
    timeout: float = 10.0,
    in_flight: int = 2048,
    executor: Executor | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> _Results:
    """Look at many servers at once; the results stand in the order of the endpoints.

    `timeout` is the total for each endpoint in seconds, from the moment its turn comes; four of one host are looked at at a time.
    `in_flight` is lowered to what the process may open. `progress` is called in this thread, at most ten times a second, and once
    at the end. With an `executor` its workers look, from where they stand; they need this package, and are not shut down. They
    are sent batches, and a server that lets all of a batch wait is asked a second time, with its whole timeout.
    A failing endpoint is a ProbeFailure in its place, with NotProbed where it is the fault of a worker. Raises Interrupted with
    what was done when it is stopped by hand, EndpointError on an empty list, ValueError on a timeout or in_flight that is not
    positive.
    """
    try:
        return probe_zones({_ONLY: executor}, endpoints, timeout=timeout, in_flight=in_flight, progress=progress)[_ONLY]
    except Interrupted as stopped:
        raise Interrupted(str(stopped), stopped.results[_ONLY]) from None


def probe_zones(
    zones: Mapping[str, Executor | None],
    endpoints: Iterable[Endpoint],
    *,
    timeout: float = 10.0,
    in_flight: int = 2048,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, _Results]:
    """Look at the same servers from several places in the network at once; each zone has results as `probe_all` returns them.

    `zones` has for each name the executor whose workers stand there, None for this process. Frames take what comes back, with a
    column `zone`; `merged` makes values of it for a journal. `progress` counts a server once for each zone.
    Raises as `probe_all` does, with results by zone, and ValueError without a zone or with two that are this process.
    """
    task = Task(tuple(endpoints), timeout, in_flight)
    if not zones or list(zones.values()).count(None) > 1:
        raise ValueError("name the zones, each with an executor whose workers stand there; one may be None, this process")
    return _Look(task, zones, progress).results()


class _Look:
    """One call: a run in this process, shipments to the workers of others, or both."""

    def __init__(self, task: Task, zones: Mapping[str, Executor | None], progress: Callable[[Progress], None] | None) -> None:
        self._task = task
        self._zones = zones
        self._shipments = {zone: Shipment(task, executor) for zone, executor in zones.items() if executor is not None}
        self._here: _Results = ()
        self._own = Progress(0, 0, 0, 0.0)
        self._progress = progress
        self._started = self._told = time.monotonic()

    def results(self) -> dict[str, _Results]:
        """Look from everywhere; whatever breaks it off, the workers are let go."""
        try:
            self._look()
        except KeyboardInterrupt as stopped:
            self._let_go(stopped)
            with suppress(KeyboardInterrupt):  # who stops twice gets the results all the same
                self._tell(over=True)
            raise Interrupted.after(self._now().done, self._now().total, self._found()) from None
        except BaseException as error:
            self._let_go(error)
            raise
        self._tell(over=True)
        return self._found()

    def _look(self) -> None:
        for shipment in self._shipments.values():
            shipment.send()
        if None in self._zones.values():
            self._here = Run(self._task, self._hear).results()
        while any(shipment.pending for shipment in self._shipments.values()):
            settle(self._shipments.values(), PROGRESS_EVERY)
            if time.monotonic() - self._told >= PROGRESS_EVERY:
                self._tell()

    def _hear(self, own: Progress) -> None:
        """Take the progress of the run in this process as the moment to see to the others."""
        self._own = own
        settle(self._shipments.values(), 0.0)
        if not own.over:
            self._tell()

    def _let_go(self, stopped: BaseException) -> None:
        for shipment in self._shipments.values():
            shipment.call_off()
        if isinstance(stopped, Interrupted):
            self._here = stopped.results
        elif not self._here:  # stopped before it began
            self._here = tuple(not_looked_at(endpoint, stopped_by_hand()) for endpoint in self._task.endpoints)

    def _found(self) -> dict[str, _Results]:
        return {zone: self._shipments[zone].results() if zone in self._shipments else self._here for zone in self._zones}

    def _now(self, *, over: bool = False) -> Progress:
        done = self._own.done + sum(shipment.done for shipment in self._shipments.values())
        failed = self._own.failed + sum(shipment.failed for shipment in self._shipments.values())
        total = len(self._zones) * len(self._task.endpoints)
        return Progress(done, failed, total, time.monotonic() - self._started, over)

    def _tell(self, *, over: bool = False) -> None:
        self._told = time.monotonic()
        if self._progress is not None:
            self._progress(self._now(over=over))
