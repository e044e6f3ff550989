"""The network: one readiness loop over non-blocking sockets; it and `attempt` alone connect to a server.

No threads but those that wait for the resolver, no asyncio: it runs inside a notebook's running loop, in a script, in a worker.
TLS is OpenSSL's, between two memory buffers, from one context for all runs that trusts nobody and takes what it gets:
the chain is evidence here, and judging it is another module's work.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from allegra_tls_kit.attempt import Attempt, Loop
from allegra_tls_kit.endpoint import is_ip_address
from allegra_tls_kit.errors import EndpointError, NotProbed
from allegra_tls_kit.preamble import Stage
from allegra_tls_kit.resolve import Resolver
from allegra_tls_kit.survey import Interrupted, Probe, ProbeFailure, Progress
from allegra_tls_kit.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from allegra_tls_kit.endpoint import Endpoint

PROGRESS_EVERY = 0.1
"""Seconds between two calls of `progress`, and until a run notices that it is called off."""
SPARE_DESCRIPTORS = 128
"""For names that are being looked up, two each, and for whatever else this process has open."""
AT_ONCE = 200
"""So many are begun at once for each second of the timeout; a handshake takes a millisecond of this process."""
LONGEST_TURN = 0.02
"""Seconds of work after which, with more than that on their way, whoever has answered goes before whoever waits to be asked."""


@dataclass(frozen=True, slots=True)
class Task:
    """Which endpoints to look at, how many seconds each may take, and how many may be on their way at once.

    Raises EndpointError on an empty list, and ValueError on a timeout or in_flight that is not positive.
    """

    endpoints: tuple[Endpoint, ...]
    timeout: float
    in_flight: int

    def __post_init__(self) -> None:
        """Check the parts."""
        if not self.endpoints:
            raise EndpointError("there is no endpoint to probe; an empty list is more often a mistake than a wish")
        if not self.timeout > 0 or self.in_flight < 1:  # so that NaN is refused too
            raise ValueError(f"timeout ({self.timeout}) and in_flight ({self.in_flight}) must be positive")


class Run:
    """One task, done here; owns the selector, the resolver and the timers."""

    def __init__(
        self,
        task: Task,
        progress: Callable[[Progress], None] | None = None,
        enough: Callable[[float], bool] = lambda _: False,
    ) -> None:
        """Prepare; nothing is connected to before `results`.

        `enough` is asked ten times a second, with the seconds since any server was heard, whether to stop as if by hand.
        """
        self._endpoints = task.endpoints
        self._selector = selectors.DefaultSelector()
        self._resolver = Resolver()
        self._loop = Loop(task.timeout, self._selector, self._wake_at, self._crowded, self._finish)
        self._turns = Turns(())
        self._at_once = AT_ONCE * task.timeout
        self._most = self._allowed = min(task.in_flight, _descriptors())
        self._more_at_once = True
        self._live: dict[int, Attempt] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        self._timers: list[tuple[float, int, Attempt]] = []
        self._tickets = itertools.count()
        self._results: list[Probe | ProbeFailure | None] = [None] * len(task.endpoints)
        self._done = self._failed = 0
        self._progress, self._enough = progress, enough
        self._started = self._told = self._heard = time.monotonic()

    def results(self) -> tuple[Probe | ProbeFailure, ...]:
        """Look at all of them; a KeyboardInterrupt, wherever it comes from, becomes an Interrupted with what was done by then."""
        try:
            self._selector.register(self._resolver.signal, selectors.EVENT_READ)
            self._turns = Turns(_hosts(self._endpoints))
            while self._turns or self._live:
                self._turn()
        except KeyboardInterrupt:
            self._give_up()
            with suppress(KeyboardInterrupt):  # whoever stops twice gets the results all the same
                self._tell(time.monotonic(), over=True)
            raise Interrupted.after(self._done, len(self._results), self._found()) from None
        finally:
            self._close()
        self._tell(time.monotonic(), over=True)
        return self._found()

    def _turn(self) -> None:
        ready = self._selector.select(self._patience())
        begun = time.monotonic()
        if ready:
            self._heard = begun
        for key, events in ready:
            if key.data is None:
                self._names_resolved()
            else:
                key.data.advance(key.data.on_ready, events)
        self._expire()
        self._admit(begun + LONGEST_TURN)
        now = time.monotonic()
        if now - self._told >= PROGRESS_EVERY:
            self._tell(now)
            if self._enough(now - self._heard):
                raise KeyboardInterrupt

    def _patience(self) -> float:
        if self._more_at_once:
            return 0.0
        due = [self._deadlines[0][0]] if self._deadlines else []
        if self._timers:
            due.append(self._timers[0][0])
        return max(0.0, min([PROGRESS_EVERY, *(when - time.monotonic() for when in due)]))

    def _admit(self, until: float) -> None:
        """Begin with as many as may be on their way, unless this turn has been long enough."""
        self._more_at_once = False
        while len(self._live) < self._allowed:
            if len(self._live) >= self._at_once and time.monotonic() > until:
                self._more_at_once = True
                return
            turn = self._turns.next()
            if turn is None:
                return
            attempt = self._live[turn[0]] = Attempt(self._loop, turn[0], self._endpoints[turn[0]], turn[1])
            self._deadlines.append((attempt.deadline, attempt.index))
            addresses = self._resolver.resolve(attempt.host, attempt)
            if addresses is not None:
                attempt.advance(attempt.on_resolved, addresses)

    def _names_resolved(self) -> None:
        for attempt, addresses in self._resolver.resolved():
            self._turns.looked_up(attempt.host)
            if attempt.index in self._live:
                attempt.advance(attempt.on_resolved, addresses)

    def _expire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            attempt = heapq.heappop(self._timers)[2]
            if attempt.index in self._live:
                attempt.advance(attempt.on_time, now)
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._live):
            late = self._live.get(self._deadlines.popleft()[1])
            if late is not None:
                late.advance(late.on_time, now)

    def _wake_at(self, when: float, attempt: Attempt) -> None:
        heapq.heappush(self._timers, (when, next(self._tickets), attempt))

    def _crowded(self) -> None:
        self._allowed = max(1, len(self._live) - 1)

    def _finish(self, attempt: Attempt, result: Probe | ProbeFailure) -> None:
        attempt.close()
        del self._live[attempt.index]
        self._turns.done(attempt.host)
        self._results[attempt.index] = result
        self._done += 1
        self._failed += isinstance(result, ProbeFailure)
        self._allowed = min(self._allowed + 1, self._most)

    def _give_up(self) -> None:
        """Let each that has no result say how far it came."""
        for index, result in enumerate(self._results):
            if result is None:
                attempt, error = self._live.get(index), stopped_by_hand()
                self._results[index] = attempt.failed(error) if attempt else not_looked_at(self._endpoints[index], error)

    def _found(self) -> tuple[Probe | ProbeFailure, ...]:
        return tuple(result for result in self._results if result is not None)

    def _close(self) -> None:
        for attempt in self._live.values():
            attempt.close()
        self._selector.close()
        self._resolver.close()

    def _tell(self, now: float, *, over: bool = False) -> None:
        self._told = now
        if self._progress is not None:
            self._progress(Progress(self._done, self._failed, len(self._results), now - self._started, over))


def stopped_by_hand() -> NotProbed:
    """Return the error of an endpoint that was not done when its run was stopped."""
    return NotProbed("the run was stopped before this server was done; probe it again")


def not_looked_at(endpoint: Endpoint, error: NotProbed) -> ProbeFailure:
    """Return what stands for an endpoint whose turn never came."""
    return ProbeFailure(endpoint, datetime.now(UTC), Stage.WAITING, error, (), None, (), 0.0)


def _hosts(endpoints: Iterable[Endpoint]) -> Iterator[tuple[str, bool]]:
    seen: dict[str, tuple[str, bool]] = {}
    for endpoint in endpoints:
        if endpoint.host not in seen:
            host = endpoint.ascii_host
            seen[endpoint.host] = host, is_ip_address(host)
        yield seen[endpoint.host]


def _descriptors() -> int:
    """Return how many sockets this process may have open at once, with some left for others."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 512 - SPARE_DESCRIPTORS  # the limit of select() there
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - SPARE_DESCRIPTORS) if soft != resource.RLIM_INFINITY else 1 << 20
