"""Whose turn it is: a queue for each host, so that nobody is overrun and nobody waits for another's queue.

Rule: every step takes the same time, however many hosts and endpoints there are.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CONNECTIONS_TO_ONE_HOST = 4
"""More at a time look like an attack to a server that counts its clients."""
NAMES_AT_ONCE = 32
"""Each takes a thread and up to two descriptors. The time of an endpoint begins with the looking up of its name, not before."""


class Turns:
    """Endpoints by number, in turn by host as it was named.

    `hosts` has the host of each endpoint and whether its addresses are known without looking the name up.
    """

    def __init__(self, hosts: Iterable[tuple[str, bool]]) -> None:
        """Queue all of them."""
        self._waiting: defaultdict[str, deque[int]] = defaultdict(deque)
        self._ready: deque[str] = deque()
        self._unknown: deque[str] = deque()
        self._looking_up: set[str] = set()
        self._open: defaultdict[str, int] = defaultdict(int)
        for number, (host, known) in enumerate(hosts):
            if host not in self._waiting:
                (self._ready if known else self._unknown).append(host)
            self._waiting[host].append(number)

    def __bool__(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._ready or self._unknown)

    def next(self) -> tuple[int, str] | None:
        """Return the next endpoint and its host, None where all that wait have to wait for another to be done."""
        if self._ready:
            host = self._ready.popleft()
        elif self._unknown and len(self._looking_up) < NAMES_AT_ONCE:
            host = self._unknown.popleft()
            self._looking_up.add(host)
        else:
            return None
        self._open[host] += 1
        number = self._waiting[host].popleft()
        if self._waiting[host] and self._open[host] < CONNECTIONS_TO_ONE_HOST:
            self._ready.append(host)
        return number, host

    def looked_up(self, host: str) -> None:
        """Take note that the name is known, or never will be; a second time is no error."""
        self._looking_up.discard(host)

    def done(self, host: str) -> None:
        """Take note that an endpoint of this host is done."""
        self.looked_up(host)
        self._open[host] -= 1
        if self._waiting[host] and self._open[host] == CONNECTIONS_TO_ONE_HOST - 1:  # the others stand in line already
            self._ready.append(host)
