"""An estate of mail servers on loopback to measure against: some quick, some slow, some dumb; one process, one loop, Linux only.

`python estate_servers.py` takes its orders as JSON on standard input, says where its servers stand on standard output, and ends
with its standard input. Addresses are 127.1.0.1 and further, four ports each, all on this machine's loopback interface.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCRIPTS: dict[str, tuple[bytes, ...]] = {
    "smtp": (b"220 mx ESMTP\r\n", b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n", b"220 2.0.0 go ahead\r\n"),
    "imap": (b"* OK ready\r\n", b"a1 OK begin\r\n"),
    "pop3": (b"+OK ready\r\n", b"+OK begin\r\n"),
    "imaps": (),
}
"""What is said at once, and after each thing that was heard; then TLS."""
FIRST_PORT = 21_000
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
"""Whatever is said within TLS; curl would wait for it."""
LONG_QUEUE = 4096


@dataclass(frozen=True)
class Orders:
    """What one process is to stand for; every host has a port for each of `SCRIPTS`."""

    certificate: str
    hosts: Sequence[str] = ()
    delay: float = 0.0
    """Seconds before each thing that is said."""
    mute: Sequence[str] = ()
    """Hosts that take connections and never say a word."""
    dropping: Sequence[str] = ()
    """Hosts whose queues are full, so that they drop whatever comes."""


class Servers:
    """All quick and slow servers of one process."""

    def __init__(self, orders: Orders) -> None:
        """Load the certificate; nothing listens yet."""
        self.selector = selectors.EpollSelector()
        self.delay = orders.delay
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(orders.certificate)
        self.context.num_tickets = 0  # they would be sent to somebody who has gone
        self.timers: list[tuple[float, int, Conversation]] = []
        self.tickets = itertools.count()

    def serve(self) -> None:
        """Serve until the process ends."""
        while True:
            patience = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for key, _ in self.selector.select(patience):
                if isinstance(key.data, Conversation):
                    key.data.hear()
                else:
                    self.welcome(key.fileobj, key.data)
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2].speak_up()

    def welcome(self, door: Any, script: tuple[bytes, ...]) -> None:  # noqa: ANN401 - as selectors have it
        """Take everybody who waits at a door."""
        with contextlib.suppress(BlockingIOError):
            while True:
                line, _ = door.accept()
                line.settimeout(0)
                Conversation(self, line, script)


class Conversation:
    """One client."""

    def __init__(self, servers: Servers, line: socket.socket, script: tuple[bytes, ...]) -> None:
        """Greet, where the protocol has it so."""
        self.servers, self.line = servers, line
        self.script = list(script)
        self.unsaid: list[bytes] = []
        self.secure: ssl.SSLObject | None = None
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        servers.selector.register(line, selectors.EVENT_READ, self)
        if self.script:
            self.say(self.script.pop(0))

    def say(self, words: bytes) -> None:
        """Say it, at once or after the delay."""
        if not self.servers.delay:
            self.line.send(words)
            return
        self.unsaid.append(words)
        heapq.heappush(self.servers.timers, (time.monotonic() + self.servers.delay, next(self.servers.tickets), self))

    def speak_up(self) -> None:
        """Say what was waiting for its time."""
        with contextlib.suppress(OSError):  # the client may have gone
            self.line.send(self.unsaid.pop(0))

    def hear(self) -> None:
        """Answer, or end with the client."""
        try:
            heard = self.line.recv(65536)
            if heard and self.script:
                self.say(self.script.pop(0))
            elif heard:
                self.shake_hands(heard)
        except OSError:
            heard = b""
        if not heard:
            self.servers.selector.unregister(self.line)
            self.line.close()

    def shake_hands(self, heard: bytes) -> None:
        """Take the next step of the handshake; raises ssl.SSLError, an OSError, at the client's goodbye."""
        if self.secure is None:
            self.secure = self.servers.context.wrap_bio(self.inside, self.outside, server_side=True)
        self.inside.write(heard)
        try:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.secure.do_handshake()
                self.secure.read()
                self.secure.write(ANSWER)
        finally:
            if flight := self.outside.read():
                self.say(flight)


def listen(host: str, port: int, backlog: int = LONG_QUEUE) -> socket.socket:
    """Return a listening socket that blocks nobody."""
    door = socket.create_server((host, port), backlog=backlog)
    door.settimeout(0)
    return door


def obey(orders: Orders) -> None:
    """Open the doors, say so, serve until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    servers = Servers(orders)
    kept: list[socket.socket] = []
    for number, script in enumerate(SCRIPTS.values()):
        for host in orders.hosts:
            servers.selector.register(listen(host, FIRST_PORT + number), selectors.EVENT_READ, script)
        kept += [listen(host, FIRST_PORT + number) for host in orders.mute]
        for host in orders.dropping:
            kept.append(listen(host, FIRST_PORT + number, backlog=0))
            for _ in range(3):
                kept.append(socket.socket())
                kept[-1].settimeout(0)
                kept[-1].connect_ex((host, FIRST_PORT + number))
    print("ready", flush=True)
    threading.Thread(target=servers.serve, daemon=True).start()
    sys.stdin.read()


@contextlib.contextmanager
def running(*all_orders: Orders) -> Iterator[None]:
    """Run one process for each of the orders, until the end of `with`."""
    command = [sys.executable, __file__]
    with contextlib.ExitStack() as stack:
        for orders in all_orders:
            server = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))  # noqa: S603
            assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - both are pipes
            stack.callback(server.stdin.close)
            server.stdin.write(json.dumps(asdict(orders)) + "\n")
            server.stdin.flush()
            if server.stdout.readline() != "ready\n":
                raise OSError("the servers of the estate did not start; the reason stands above")
        yield


if __name__ == "__main__":
    obey(Orders(**json.loads(sys.stdin.readline())))
