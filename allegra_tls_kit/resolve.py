"""Names to addresses, beside the loop: `getaddrinfo` blocks and cannot be called off, so threads wait for it.

There is one for each name that is being looked up, and who asks for no more names than `turns` lets through has no more threads
than that, but for those that hang. They are daemons: a resolver that hangs for half a minute must not keep the interpreter from
ending.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections import deque
from typing import Any

from allegra_tls_kit.endpoint import is_ip_address
from allegra_tls_kit.errors import NameNotResolved, ProbeError
from allegra_tls_kit.text import visible

SocketAddress = tuple[int, str, tuple[Any, ...]]
"""Address family, address, and what follows the port in a socket address (flow and scope of IPv6)."""


class Resolver:
    """Resolves each name once; answers are fetched with `resolved` after `signal` has become readable."""

    def __init__(self) -> None:
        """Open the signal; threads start with the first names."""
        self.signal, self._bell = socket.socketpair()
        for end in (self.signal, self._bell):
            end.setblocking(False)  # noqa: FBT003 - the signature is the standard library's
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._answers: deque[tuple[str, list[SocketAddress] | ProbeError]] = deque()
        self._known: dict[str, list[SocketAddress] | ProbeError] = {}
        self._askers: dict[str, list[Any]] = {}
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._closing = threading.Lock()

    def resolve(self, name: str, asker: object) -> list[SocketAddress] | ProbeError | None:
        """Return the addresses of a name or the error, if already known; None where `resolved` will tell the asker."""
        if name not in self._known and is_ip_address(name):
            self._known[name] = _look_up(name)
        if name in self._known:
            return self._known[name]
        self._askers.setdefault(name, []).append(asker)
        if len(self._askers[name]) == 1:
            if not self._idle.acquire(blocking=False):
                with contextlib.suppress(RuntimeError):  # no more threads to be had: those that are there take it in turn
                    threading.Thread(target=self._work, name="allegra-tls-kit-resolver", daemon=True).start()
                    self._threads += 1
            self._names.put(name)
        return None

    def resolved(self) -> list[tuple[Any, list[SocketAddress] | ProbeError]]:
        """Return each asker whose name has been answered, with the addresses or the error."""
        try:
            self.signal.recv(4096)
        except BlockingIOError:
            return []
        found: list[tuple[Any, list[SocketAddress] | ProbeError]] = []
        while self._answers:
            name, answer = self._answers.popleft()
            self._known[name] = answer
            found.extend((asker, answer) for asker in self._askers.pop(name))
        return found

    def close(self) -> None:
        """Let the threads go; one that waits for an answer ends when it comes."""
        for _ in range(self._threads):
            self._names.put(None)
        with self._closing:
            self.signal.close()
            self._bell.close()

    def _work(self) -> None:
        while (name := self._names.get()) is not None:
            self._answers.append((name, _look_up(name)))
            self._idle.release()
            with self._closing:
                if self._bell.fileno() < 0:
                    return  # closed: nobody waits any more
                with contextlib.suppress(BlockingIOError):  # as many rings as fit wait to be heard: one is enough
                    self._bell.send(b".")


def _look_up(name: str) -> list[SocketAddress] | ProbeError:
    if is_ip_address(name) and ":" not in name:  # one of IPv6 may have a zone, which the resolver knows to number
        return [(socket.AF_INET, name, ())]
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        return NameNotResolved(
            f"{visible(name)}: no address ({visible(words)}); check the spelling, and the resolver of this machine"
        )
    return [(family, str(address[0]), tuple(address[2:])) for family, _, _, _, address in found]
