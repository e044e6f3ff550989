"""Servers on loopback for one test each, decent and otherwise, and resolvers: what one does with a connection is a function."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from allegra_tls_kit.endpoint import SCHEMES, Endpoint, Protocol, Security
from tests.chains import Issued, issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from allegra_tls_kit.errors import ProbeError

    Talk = Callable[[socket.socket], None]

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: full queues and 127.0.0.2 are Linux's")

PATIENCE = 20.0
"""Seconds until a forgotten connection is given up; all of them end when the client goes."""

GO_AHEAD: dict[str, tuple[bytes, ...]] = {
    Protocol.SMTP: (b"220 mx ESMTP\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n"),
    Protocol.IMAP: (b"* OK ready\r\n", b"a1 OK begin\r\n"),
    Protocol.POP3: (b"+OK ready\r\n", b"+OK begin\r\n"),
    Protocol.LDAP: (b"", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
}


class Server:
    """Answers each connection with `talk` in a thread; at the end of `with` it is stopped, and no thread is left."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes accept, on every system
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._listener.close()

    def endpoint(self, scheme: str, server_name: str | None = None, host: str = "127.0.0.1") -> Endpoint:
        return Endpoint.parse(f"{scheme}://{host}:{self.port}" + (f"?server_name={server_name}" if server_name else ""))

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping:
                connection.close()
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client goes when it pleases
            connection.settimeout(PATIENCE)
            self._talk(connection)


def then(*talks: Talk) -> Talk:
    """One after the other."""

    def talk(connection: socket.socket) -> None:
        for part in talks:
            part(connection)

    return talk


def saying(*said: bytes) -> Talk:
    """Say the first at once, and each of the others after something was heard."""

    def talk(connection: socket.socket) -> None:
        for number, words in enumerate(said):
            if number:
                connection.recv(4096)
            connection.sendall(words)

    return talk


def dripping(words: bytes) -> Talk:
    """Say one byte a second."""

    def talk(connection: socket.socket) -> None:
        connection.settimeout(1.0)
        for byte in words:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if not connection.recv(4096):
                    return

    return talk


def hearing(connection: socket.socket) -> None:
    connection.recv(4096)


def silent(connection: socket.socket) -> None:
    """Say nothing until the client goes."""
    while connection.recv(4096):
        pass


def resetting(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closing(_connection: socket.socket) -> None:
    """Go without a word."""


def tls(context: ssl.SSLContext) -> Talk:
    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            silent(wrapped)

    return talk


def context_of(
    *chain: Issued,
    version: ssl.TLSVersion | None = None,
    client_certificate: ssl.VerifyMode = ssl.CERT_NONE,
) -> ssl.SSLContext:
    """A server's side of TLS that shows this chain, leaf first; one version only, or what there is."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.verify_mode = client_certificate
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.minimum_version = made.maximum_version = version
    key = chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_text(key + "".join(ssl.DER_cert_to_PEM_cert(issued.der) for issued in chain))
        made.load_cert_chain(file)
    return made


@cache
def chain() -> tuple[Issued, Issued]:
    root = issue("Root", ca=True)
    intermediate = issue("Intermediate", root, ca=True)
    return issue("mail.example.com", intermediate), intermediate


@cache
def decent() -> ssl.SSLContext:
    return context_of(*chain())


@contextlib.contextmanager
def refusing() -> Iterator[Endpoint]:
    """A port that is taken and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Endpoint.parse(f"imaps://127.0.0.1:{taken.getsockname()[1]}")


@contextlib.contextmanager
def unanswering(address: str = "127.0.0.1", port: int = 0) -> Iterator[Endpoint]:
    """A port whose queue is full, so that Linux drops each further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield Endpoint.parse(f"imaps://{address}:{listener.getsockname()[1]}")


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], asked: list[str] | None = None) -> None:
    """Let the resolver know these names; an answer is a list of (family, address), an error, or an event to wait for."""
    real, noted = socket.getaddrinfo, asked if asked is not None else []

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as typeshed has it
        answer = answers.get(host)
        noted.append(host)
        if isinstance(answer, threading.Event):
            answer.wait(20)
        if isinstance(answer, OSError):
            raise answer
        if isinstance(answer, list):
            return [
                (family, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0)[: 4 if ":" in address else 2])
                for family, address in answer
            ]
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def resolver_threads() -> list[str]:
    """Those that are still there after a moment."""
    until = time.monotonic() + 5
    while (left := [t.name for t in threading.enumerate() if "resolver" in t.name]) and time.monotonic() < until:
        time.sleep(0.01)
    return left


# --- behaviours, for a table of them -----------------------------------------------------------------------------------------

PLAIN = ("smtp", "imap", "pop3", "ldap")
IMPLICIT = ("smtps", "imaps", "pop3s", "ldaps")


class Behaviour(NamedTuple):
    """What a server does under each scheme, and how a look at it ends: in an error of this class, or with its chain.

    `stage` is where; LDAP has no greeting, and is asking for TLS by then. `words` is a pattern for the message.
    `shown`: the chain was seen although the handshake failed.
    """

    does: dict[str, Talk]
    ends: type[ProbeError] | None
    stage: str = ""
    words: str = ""
    shown: bool = False


def behind_go_ahead(scheme: str, talk: Talk) -> Talk:
    protocol, security, _ = SCHEMES[scheme]
    return then(saying(*GO_AHEAD[protocol]), talk) if security is Security.STARTTLS else talk


def where_tls_begins(talk: Talk, schemes: Iterable[str] = SCHEMES) -> dict[str, Talk]:
    return {scheme: behind_go_ahead(scheme, talk) for scheme in schemes}


def at_once(talk: Talk, schemes: Iterable[str] = PLAIN) -> dict[str, Talk]:
    return dict.fromkeys(schemes, talk)


def says(*said: bytes) -> Talk:
    """Say each after something was heard, and then nothing more, but stay."""
    return then(saying(*said), silent)


def again(words: bytes, times: int | None = None) -> Talk:
    """Say it over and over, in so many blocks of 64 KB, or without end."""
    block = words * ((1 << 16) // len(words))

    def talk(connection: socket.socket) -> None:
        for _ in itertools.repeat(None) if times is None else range(times):
            connection.sendall(block)

    return talk


def at_leisure(words: bytes) -> Talk:
    """Say it ten times a second, for ever."""

    def talk(connection: socket.socket) -> None:
        while True:
            connection.sendall(words)
            time.sleep(0.1)

    return talk


def spelling(*said: bytes) -> Talk:
    """Say what `saying` says, each byte in a packet of its own."""

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, words in enumerate(said):
            if number:
                connection.recv(4096)
            for byte in words:
                connection.sendall(bytes([byte]))

    return talk
