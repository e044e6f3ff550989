"""One endpoint on its way: name, connection, preamble, handshake. It waits for nothing; a loop wakes it."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from allegra_tls_kit import handshake
from allegra_tls_kit.endpoint import Security
from allegra_tls_kit.errors import ConnectFailed, ConnectionLost, HandshakeFailed, NoCertificate, ProbeError, ProbeTimeout
from allegra_tls_kit.preamble import Preamble, Stage, check_first_bytes
from allegra_tls_kit.survey import Probe, ProbeFailure
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.resolve import SocketAddress

_Value = TypeVar("_Value", bytes, str, tuple[str, ...])

READ_AT_ONCE = 64 * 1024
LONGEST_HANDSHAKE = 1024 * 1024
"""Bytes; ten times the longest chain that OpenSSL takes. Of some records it takes any number, and waits for more."""
CROWDED_WAIT = 0.1
"""Seconds until the next try where this process may not open another connection."""
_CROWDED = {errno.EMFILE, errno.ENFILE}
_IN_PROGRESS = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}


@dataclass(frozen=True, slots=True)
class Loop:
    """What an attempt needs of the loop that it lives in; `timeout` in seconds, `wake_at` in `time.monotonic` seconds.

    `crowded` is called where this process may not open another connection.
    """

    timeout: float
    selector: selectors.BaseSelector
    wake_at: Callable[[float, Attempt], None]
    crowded: Callable[[], None]
    finish: Callable[[Attempt, Probe | ProbeFailure], None]
    _seen: dict[Any, Any] = field(default_factory=dict)

    def same(self, value: _Value) -> _Value:
        """Return the equal value that came first: what many servers show is held once, and written once where it is pickled."""
        first: _Value = self._seen.setdefault(value, value)
        return first


class Attempt:
    """One endpoint on its way: name, connection, preamble, handshake; `host` is what it is named by in the queue."""

    def __init__(self, loop: Loop, index: int, endpoint: Endpoint, host: str) -> None:
        """Start the clock of this endpoint; nothing else happens before `on_resolved`."""
        self.index = index
        self.host = host
        self._loop = loop
        self._endpoint = endpoint
        self._started = time.monotonic()
        self.deadline = self._started + loop.timeout
        self._stage = Stage.DNS
        self._addresses: list[SocketAddress] = []
        self._connect_until = self.deadline
        self._refusals: list[str] = []
        self._address: str | None = None
        self._socket: socket.socket | None = None
        self._wanted = 0
        self._preamble: Preamble | None = None
        self._unsent = b""
        self._tls: ssl.SSLObject | None = None
        self._tls_bytes = 0

    def advance(self, step: Callable[[Any], None], argument: object) -> None:
        """Take one step; whatever goes wrong in it is this endpoint's result and nobody else's trouble."""
        try:
            step(argument)
        except ProbeError as error:
            self._loop.finish(self, self.failed(error))
        except ssl.SSLError as error:
            self._loop.finish(self, self.failed(HandshakeFailed(handshake.words_of(error, self._tls))))
        except OSError as error:
            words = f"{self._endpoint.url}: the connection broke while {_DOING[self._stage]}: {error.strerror or error}"
            self._loop.finish(self, self.failed(ConnectionLost(words)))

    def on_resolved(self, addresses: list[SocketAddress] | ProbeError) -> None:
        """Take the answer of the resolver."""
        if isinstance(addresses, ProbeError):
            raise addresses
        self._stage = Stage.CONNECT
        self._addresses = list(addresses)
        self._connect_next()

    def on_time(self, now: float) -> None:
        """Give up this address, or the whole attempt."""
        if now >= self.deadline:
            raise ProbeTimeout(
                f"{self._endpoint.url}: {_DOING[self._stage]} took longer than {self._loop.timeout:g} s{self._timeout_hint()}"
            )
        if self._stage is Stage.CONNECT and now >= self._connect_until:
            if self._socket is not None:
                self._refusals.append(f"{self._address}: no answer")
                self.close()
            self._connect_next()

    def on_ready(self, events: int) -> None:
        """Do what the socket is ready for."""
        assert self._socket is not None  # noqa: S101 - registered sockets only
        if self._stage is Stage.CONNECT:
            self._on_connected()
            return
        if events & selectors.EVENT_WRITE:
            self._send(b"")
        if events & selectors.EVENT_READ:
            try:
                data = self._socket.recv(READ_AT_ONCE)
            except BlockingIOError:
                return
            if not data:
                raise ConnectionLost(
                    f"{self._endpoint.url}: the server closed the connection while {_DOING[self._stage]}{self._seen()}"
                )
            self._on_data(data)

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self._socket is not None:
            self._loop.selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def failed(self, error: ProbeError) -> ProbeFailure:
        """Return what it came to, with everything that was seen until now."""
        return ProbeFailure(
            endpoint=self._endpoint,
            at=datetime.now(UTC),
            stage=self._stage,
            error=error.with_traceback(None),  # its frames would keep sockets and buffers of the attempt alive
            chain=self._chain(),
            address=self._address if self._stage not in (Stage.DNS, Stage.CONNECT) else None,
            transcript=self._transcript(),
            seconds=time.monotonic() - self._started,
        )

    def _connect_next(self) -> None:
        """Try the next address; each gets an equal share of the time that is left."""
        while self._addresses:
            now = time.monotonic()
            family, host, tail = self._addresses[0]
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                if error.errno in _CROWDED:
                    self._wait_for_room(now)
                    return
                self._addresses.pop(0)  # of IPv6 on a machine without it; the next one may do
                self._refusals.append(f"{host}: {error.strerror}")
                continue
            self._connect_until = now + (self.deadline - now) / len(self._addresses)
            self._addresses.pop(0)
            self._address = host
            sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
            code = sock.connect_ex((host, self._endpoint.port, *tail))
            if code in _IN_PROGRESS:
                self._socket, self._wanted = sock, selectors.EVENT_WRITE
                self._loop.selector.register(sock, self._wanted, self)
                if self._addresses:
                    self._loop.wake_at(self._connect_until, self)
                return
            sock.close()
            self._refusals.append(f"{host}: {os.strerror(code)}")
        tried = visible("; ".join(self._refusals))
        raise ConnectFailed(f"{self._endpoint.url}: no connection ({tried}); check host, port and firewall, from this machine")

    def _wait_for_room(self, now: float) -> None:
        """Try again soon: others, of this run or of this process, will have closed their connections."""
        self._connect_until = now + CROWDED_WAIT
        self._loop.wake_at(self._connect_until, self)
        self._loop.crowded()

    def _on_connected(self) -> None:
        assert self._socket is not None  # noqa: S101 - as above
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._refusals.append(f"{self._address}: {os.strerror(code)}")
            self.close()
            self._connect_next()
        elif self._endpoint.security is Security.IMPLICIT_TLS:
            self._start_tls(b"")
        else:
            own = self._socket.getsockname()[0]
            self._preamble = Preamble(self._endpoint.protocol, f"[IPv6:{own}]" if ":" in own else f"[{own}]")
            self._converse(self._preamble, b"")

    def _on_data(self, data: bytes) -> None:
        if self._tls is None:
            assert self._preamble is not None  # noqa: S101 - no plaintext without a preamble
            self._converse(self._preamble, data)
            return
        if not self._tls_bytes:
            check_first_bytes(data, self._endpoint.security)
        self._tls_bytes += len(data)
        if self._tls_bytes > LONGEST_HANDSHAKE:
            raise HandshakeFailed(f"more than {LONGEST_HANDSHAKE:,} bytes of TLS, and the handshake is not complete")
        self._incoming.write(data)
        self._handshake()

    def _converse(self, preamble: Preamble, data: bytes) -> None:
        try:
            reply = preamble.receive(data)
        finally:  # greeting and refusal may come in one segment
            self._stage = preamble.stage
        if preamble.done:
            self._start_tls(preamble.rest)
        else:
            self._send(reply)

    def _start_tls(self, rest: bytes) -> None:
        self._stage = Stage.HANDSHAKE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = handshake.server_name(self._endpoint.server_name or self._endpoint.host)
        self._tls = handshake.context().wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._incoming.write(rest)
        self._tls_bytes = len(rest)  # they were checked behind the go-ahead, and more of the same record may follow
        self._handshake()

    def _handshake(self) -> None:
        assert self._tls is not None  # noqa: S101 - started before
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send(self._outgoing.read())
            return
        chain = self._chain()
        if not chain:
            raise NoCertificate(f"{self._endpoint.url}: the handshake was completed without a certificate of the server")
        cipher = self._tls.cipher()
        result = Probe(
            endpoint=self._endpoint,
            at=datetime.now(UTC),
            chain=chain,
            tls_version=self._loop.same(self._tls.version() or "unknown"),
            cipher=self._loop.same(cipher[0] if cipher else "unknown"),
            address=self._address or "",
            transcript=self._transcript(),
            client_certificate=handshake.client_certificate_wanted(self._tls),
            seconds=time.monotonic() - self._started,
        )
        self._part()
        self._loop.finish(self, result)

    def _part(self) -> None:
        """Send Finished and close_notify as far as they go at once, so that the server's log shows no broken connection."""
        assert self._tls is not None and self._socket is not None  # noqa: S101, PT018 - the handshake is complete
        with contextlib.suppress(OSError):  # the server's own close_notify is not waited for
            self._tls.unwrap()
        with contextlib.suppress(OSError):  # it may have gone already; the chain is here
            self._socket.send(self._outgoing.read())

    def _send(self, data: bytes) -> None:
        assert self._socket is not None  # noqa: S101 - connected
        if data := self._unsent + data:
            try:  # noqa: SIM105 - on the hot path, where a context manager costs more
                data = data[self._socket.send(data) :]
            except BlockingIOError:  # the selector says when there is room
                pass
        self._unsent = data
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._wanted != wanted:
            self._wanted = wanted
            self._loop.selector.modify(self._socket, wanted, self)

    def _chain(self) -> tuple[bytes, ...]:
        return () if self._tls is None else tuple(map(self._loop.same, handshake.chain_of(self._tls)))

    def _transcript(self) -> tuple[str, ...]:
        return () if self._preamble is None else self._loop.same(tuple(self._preamble.transcript))

    def _seen(self) -> str:
        if self._tls is not None:
            return f", after {count(self._tls_bytes, 'byte')} of TLS" if self._tls_bytes else ""
        pending = self._preamble.pending if self._preamble is not None else ""
        return f", after {pending!r}" if pending else ""

    def _timeout_hint(self) -> str:
        if self._stage is Stage.GREETING and not self._seen():
            return "; the server is silent, as one is that waits for implicit TLS: try the scheme with an s at its end"
        if self._stage is Stage.CONNECT and self._socket is None:
            return "; this process may not open more connections: lower in_flight, or raise its limit of open files"
        if self._stage is Stage.CONNECT:
            return "; a firewall may drop the packets without a word"
        return self._seen() or "; give it more time with timeout=, or look at the server"


_DOING = {
    Stage.DNS: "resolving the name",
    Stage.CONNECT: "connecting",
    Stage.GREETING: "waiting for the greeting",
    Stage.STARTTLS: "asking for STARTTLS",
    Stage.HANDSHAKE: "shaking hands",
}
