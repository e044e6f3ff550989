"""The network: one readiness loop over non-blocking sockets; it and `attempt` alone connect to a server.

No threads but those that wait for the resolver, no asyncio: it runs inside a notebook's running loop, in a script, in a worker.
TLS is OpenSSL's, between two memory buffers, from one context for the whole run that trusts nobody and takes what it gets:
the chain is evidence here, and judging it is another module's work.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING

from allegra_tls_kit.attempt import Attempt, Loop
from allegra_tls_kit.errors import EndpointError
from allegra_tls_kit.resolve import Resolver
from allegra_tls_kit.survey import Probe, ProbeFailure, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from allegra_tls_kit.endpoint import Endpoint

PROGRESS_EVERY = 0.1
"""Seconds between two calls of `progress`."""
SPARE_DESCRIPTORS = 64


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
    in_flight: int = 512,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Probe | ProbeFailure, ...]:
    """Look at many servers at once; the results stand in the order of the endpoints.

    `timeout` is the total for each endpoint in seconds, from the moment its turn comes. `in_flight` is lowered to what the
    process may open. `progress` is called in this thread, at most ten times a second and once at the end.
    A failing endpoint is a ProbeFailure in its place. Raises EndpointError on an empty list and ValueError on a timeout or
    in_flight that is not positive.
    """
    wanted = tuple(endpoints)
    if not wanted:
        raise EndpointError("there is no endpoint to probe; an empty list is more often a mistake than a wish")
    if not timeout > 0 or in_flight < 1:  # so that NaN is refused too
        raise ValueError(f"timeout ({timeout}) and in_flight ({in_flight}) must be positive")
    return _Run(wanted, timeout, in_flight, progress).results()


class _Run:
    """All endpoints of one call; owns the selector, the resolver and the timers."""

    def __init__(
        self, endpoints: tuple[Endpoint, ...], timeout: float, in_flight: int, progress: Callable[[Progress], None] | None
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._resolver = Resolver()
        self._loop = Loop(timeout, self._selector, self._wake_at, self._finish)
        self._waiting = deque(enumerate(endpoints))
        self._in_flight = min(in_flight, _descriptors())
        self._live: set[Attempt] = set()
        self._timers: list[tuple[float, int, Attempt]] = []
        self._tickets = itertools.count()
        self._results: list[Probe | ProbeFailure | None] = [None] * len(endpoints)
        self._done = self._failed = 0
        self._progress = progress
        self._started = self._told = time.monotonic()

    def results(self) -> tuple[Probe | ProbeFailure, ...]:
        self._selector.register(self._resolver.signal, selectors.EVENT_READ)
        try:
            while self._waiting or self._live:
                self._admit()
                patience = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else 0.0
                for key, events in self._selector.select(min(patience, PROGRESS_EVERY)):
                    if key.data is None:
                        self._names_resolved()
                    else:
                        key.data.advance(key.data.on_ready, events)
                self._expire()
                self._tell(every=PROGRESS_EVERY)
        finally:
            for attempt in self._live:
                attempt.close()
            self._selector.close()
            self._resolver.close()
        self._tell(every=0.0)
        return tuple(result for result in self._results if result is not None)

    def _finish(self, attempt: Attempt, result: Probe | ProbeFailure) -> None:
        attempt.close()
        self._live.discard(attempt)
        self._results[attempt.index] = result
        self._done += 1
        self._failed += isinstance(result, ProbeFailure)

    def _wake_at(self, when: float, attempt: Attempt) -> None:
        heapq.heappush(self._timers, (when, next(self._tickets), attempt))

    def _admit(self) -> None:
        while self._waiting and len(self._live) < self._in_flight:
            index, endpoint = self._waiting.popleft()
            attempt = Attempt(self._loop, index, endpoint)
            self._live.add(attempt)
            self._wake_at(attempt.deadline, attempt)
            addresses = self._resolver.resolve(endpoint.ascii_host, attempt)
            if addresses is not None:
                attempt.advance(attempt.on_resolved, addresses)

    def _names_resolved(self) -> None:
        for attempt, addresses in self._resolver.resolved():
            if attempt in self._live:
                attempt.advance(attempt.on_resolved, addresses)

    def _expire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            attempt = heapq.heappop(self._timers)[2]
            if attempt in self._live:
                attempt.advance(attempt.on_time, now)

    def _tell(self, every: float) -> None:
        now = time.monotonic()
        if self._progress is not None and now - self._told >= every:
            self._told = now
            self._progress(Progress(self._done, self._failed, len(self._results), now - self._started))


def _descriptors() -> int:
    """Return how many sockets this process may have open at once, with some left for others."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 512 - SPARE_DESCRIPTORS  # the limit of select() there
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - SPARE_DESCRIPTORS) if soft != resource.RLIM_INFINITY else 1 << 20
