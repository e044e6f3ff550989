"""An embedded laboratory: mail and directory servers on loopback, certificates as people meet them, an empty Allegra home.

Rule 1: everything is in this process, on 127.0.0.1 and in one temporary folder; `stop` leaves nothing behind.
Rule 2: a client that misbehaves, or goes away in the middle, ends its own conversation and nothing else.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

from allegra_tls_kit.certificate import keytool_notation, sha256_of
from allegra_tls_kit.demo_ca import ADDRESS, HOST, LEAF_DAYS, SERVER_NAME, Identity, PrivateAuthority, Terms, private_authority
from allegra_tls_kit.demo_dialogue import DIALOGUES, Lines, Messages, Then
from allegra_tls_kit.endpoint import SCHEMES, Endpoint, Security

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Self

_Result = TypeVar("_Result")


class Absence(StrEnum):
    """How a server presents no certificate at all."""

    REFUSED = "refused"
    SILENT = "silent"


SERVERS: dict[str, tuple[str, Terms | Absence]] = {
    "smtp": ("smtp", Terms(sends=3)),
    "smtps-self-signed": ("smtps", Terms(self_signed=True)),
    "imap": ("imap", Terms()),
    "imaps-expires-soon": ("imaps", Terms(days_left=10)),
    "imaps-wrong-name": ("imaps", Terms(name="old-mail.demo.test")),
    "pop3-no-intermediate": ("pop3", Terms(sends=1)),
    "pop3s-expired": ("pop3s", Terms(days_left=-10)),
    "ldap-self-signed": ("ldap", Terms(self_signed=True)),
    "ldaps": ("ldaps", Terms()),
    "smtp-refused": ("smtp", Absence.REFUSED),
    "imaps-silent": ("imaps", Absence.SILENT),
}
"""What the laboratory shows: name, scheme, and what the server presents."""

PATIENCE = 60.0
"""Seconds without a word after which a server hangs up; longer than a probe waits, so that silence is seen as silence."""
LONGEST_MESSAGE = 64 * 1024


class Laboratory:
    """What `demo` started; there is no other way to get one.

    `endpoints` has the names of `SERVERS`; each is reached as `localhost` and asked for `mail.demo.test`. `home` is an Allegra
    home without a keystore folder. `ca_file` is the private root as PEM, as the provider would hand it over.
    """

    def __init__(
        self, home: Path, ca_file: Path, servers: dict[str, _Server], authority: PrivateAuthority, undo: ExitStack
    ) -> None:
        """Hold what `demo` made."""
        self.endpoints = {name: server.endpoint for name, server in servers.items()}
        self.home = home
        self.ca_file = ca_file
        self._servers = servers
        self._authority = authority
        self._undo = undo

    @property
    def reference_fingerprints(self) -> dict[str, str]:
        """What the provider would read out on the telephone, SHA-256 in keytool's notation, by the names of the endpoints.

        Of the root where what the server presents leads to it, else of the server's own certificate; a server that presents none
        is not in it.
        """
        return {name: server.reference for name, server in self._servers.items() if server.reference is not None}

    def renew(self, name: str) -> None:
        """Give a server a new key and a certificate for another 90 days, as its provider will some day.

        It presents them from the next connection on; where the reference is the server's own certificate, that changes too.
        Raises KeyError for a server that presents none.
        """
        server = self._servers[name]
        if not isinstance(server.presents, Terms):
            raise KeyError(f"{name} presents no certificate")
        server.present(self._authority.issue(replace(server.presents, days_left=LEAF_DAYS), datetime.now(UTC)))

    def stop(self) -> None:
        """Hang up, end the threads, close the ports, remove the folder with the home in it; a second time is no error."""
        self._undo.close()

    def __enter__(self) -> Self:
        """Return the laboratory, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def demo() -> Laboratory:
    """Start the servers of `SERVERS` with certificates made now; end them by `with` or by `stop`.

    Takes about 20 ms, needs no Java and no network but loopback. What is forgotten ends with the process.
    """
    with ExitStack() as undo:
        folder = Path(undo.enter_context(TemporaryDirectory(prefix="allegra-tls-kit-demo-"))).resolve()
        home, ca_file = folder / "allegra-home", folder / "demo-root-ca.pem"
        now = datetime.now(UTC)
        authority = private_authority(now)
        home.mkdir()
        ca_file.write_bytes(authority.root_pem)
        servers: dict[str, _Server] = {}
        for name, (scheme, presents) in SERVERS.items():
            door = undo.enter_context(socket.socket())
            door.bind((ADDRESS, 0))
            protocol, security, _ = SCHEMES[scheme]
            endpoint = Endpoint(HOST, door.getsockname()[1], protocol, security, SERVER_NAME)
            servers[name] = server = _Server(endpoint, presents, door)
            if isinstance(presents, Terms):
                server.present(authority.issue(presents, now))
        undo.enter_context(closing(_Doorkeeper([s for s in servers.values() if s.presents is not Absence.REFUSED])))
        return Laboratory(home, ca_file, servers, authority, undo.pop_all())


@dataclass(slots=True)
class _Server:
    """One listening socket, and what is presented there."""

    endpoint: Endpoint
    presents: Terms | Absence
    door: socket.socket
    context: ssl.SSLContext | None = None
    reference: str | None = None

    def present(self, identity: Identity) -> None:
        """Take a key and certificates for all connections from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:  # the only way into `ssl` is a file
            file = Path(folder, "server.pem")
            file.write_bytes(identity.key_pem + identity.chain_pem)
            context.load_cert_chain(file)
        self.context, self.reference = context, keytool_notation(sha256_of(identity.reference))

    def serve(self, line: socket.socket) -> None:
        """Hold one conversation until one side ends it; raises OSError or ValueError where it breaks off."""
        line.settimeout(PATIENCE)
        if self.context is None:
            while line.recv(LONGEST_MESSAGE):
                pass
            return
        dialogue = DIALOGUES[self.endpoint.protocol]
        starttls = self.endpoint.security is Security.STARTTLS
        if starttls:
            line.sendall(dialogue.greet())
            if _talk(dialogue, line, may_start_tls=True) is not Then.START_TLS:
                return
        secure = _Secured(line, self.context)
        if not starttls:
            secure.sendall(dialogue.greet())
        _talk(dialogue, secure, may_start_tls=False)
        secure.say_goodbye()


class _Secured:
    """TLS over a socket that stays ours: `wrap_socket` takes it away, and leaks it where the client was quick to reset."""

    def __init__(self, line: socket.socket, context: ssl.SSLContext) -> None:
        self._line, self._in, self._out = line, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._until_done(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        self._until_done(lambda: self._tls.write(data))

    def recv(self, size: int) -> bytes:
        return self._until_done(lambda: self._tls.read(size))

    def say_goodbye(self) -> None:
        self._until_done(self._tls.unwrap)

    def _until_done(self, step: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._line.sendall(self._out.read())  # also the alert of a step that failed
            if not (received := self._line.recv(LONGEST_MESSAGE)):
                raise ConnectionResetError("the client is gone")
            self._in.write(received)


def _talk(dialogue: Lines | Messages, line: socket.socket | _Secured, *, may_start_tls: bool) -> Then:
    inbox = b""
    while len(inbox) < LONGEST_MESSAGE and (more := line.recv(LONGEST_MESSAGE)):
        inbox += more
        while size := dialogue.whole(inbox):
            answer, then = dialogue.answer(inbox[:size], may_start_tls=may_start_tls)
            inbox = inbox[size:]
            line.sendall(answer)
            if then is not Then.LISTEN:
                return then
    return Then.HANG_UP


class _Doorkeeper:
    """One thread that lets clients in, and one for each conversation, until `close`."""

    def __init__(self, servers: Collection[_Server]) -> None:
        for server in servers:
            server.door.listen()
            server.door.settimeout(0)
        self._bell, self._ear = socket.socketpair()
        self._lock = Lock()
        self._thread = Thread(target=self._attend, args=(servers,), name="demo doorkeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more, hang up on those who are, and wait for the last thread to end."""
        self._bell.close()
        self._thread.join()
        self._ear.close()

    def _attend(self, servers: Collection[_Server]) -> None:
        conversations: list[tuple[Thread, socket.socket]] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            for server in servers:
                selector.register(server.door, selectors.EVENT_READ, server)
            while None not in (ready := [key.data for key, _ in selector.select()]):
                conversations = [(thread, line) for thread, line in conversations if thread.is_alive()]
                for server in ready:
                    with suppress(OSError):  # gone again before it was let in
                        conversations.append(self._let_in(server))
        for thread, line in conversations:
            with self._lock, suppress(OSError):  # it may have ended by itself
                line.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _let_in(self, server: _Server) -> tuple[Thread, socket.socket]:
        line, _ = server.door.accept()
        thread = Thread(target=self._converse, args=(server, line), name="demo conversation", daemon=True)
        thread.start()
        return thread, line

    def _converse(self, server: _Server, line: socket.socket) -> None:
        try:
            with suppress(OSError, ValueError):  # clients drop, refuse the certificate, talk nonsense: their business
                server.serve(line)
        finally:
            with self._lock:  # not while the doorkeeper hangs up: the number of a closed socket may be another's by then
                line.close()
