"""The plaintext dialogue up to the moment TLS may start: SMTP (RFC 3207), IMAP and POP3 (RFC 2595), LDAP (RFC 4511, 4.14).

Rule 1: bytes in, bytes out; no socket, no clock.
Rule 2: TCP has no messages. Any split of the same bytes gives the same dialogue, the same transcript, the same error.
Rule 3: everything is bounded, and an error says what was seen.

A dialogue is a generator that is resumed whenever bytes have come in; a bare `yield` inside it waits for more of them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit import ber
from allegra_tls_kit.endpoint import Protocol, Security
from allegra_tls_kit.errors import (
    NotTls,
    PlaintextAfterStartTls,
    ProbeError,
    ReplyTooLong,
    ServiceRefused,
    StartTlsNotOffered,
    StartTlsRefused,
    UnexpectedReply,
)
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LONGEST_LINE = 8 * 1024
"""RFC 5321, 4.5.3.1.5 asks for 512 bytes, IMAP sets no limit; servers stay far below this."""
LONGEST_PLAINTEXT = 64 * 1024
LONGEST_TRANSCRIPT = 200

_TLS_ALERT, _TLS_HANDSHAKE = 0x15, 0x16  # RFC 8446, 5.1: what the first record of a server can be
_LDAP_NAMES = {1: "operationsError", 2: "protocolError", 10: "referral", 51: "busy", 52: "unavailable", 53: "unwillingToPerform"}
_START_TLS_OID = b"1.3.6.1.4.1.1466.20037"
_NOTICE_OF_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"
_EXTENDED_RESPONSE, _RESPONSE_NAME, _REFERRAL = 0x78, 0x8A, 0xA3  # RFC 4511, 4.12, 4.1.9
_MOST_PARTS = 100  # of anything in LDAP that is read here; a decent server sends six
_LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + _START_TLS_OID


class Stage(StrEnum):
    """How far a probe came; `waiting` is one whose turn never came."""

    WAITING = "waiting"
    DNS = "dns"
    CONNECT = "connect"
    GREETING = "greeting"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"


class Preamble:
    """One dialogue with one server.

    `receive` takes bytes and returns bytes to send, `receive(b"")` starts it. When `done`, TLS may begin and `rest` holds what
    came behind the go-ahead and looks like TLS. `stage` and `transcript` tell how far it came. Raises a ProbeError by name.
    `client` is the address literal for EHLO (RFC 5321, 4.1.3).
    """

    def __init__(self, protocol: Protocol, client: str = "[127.0.0.1]") -> None:
        """Prepare the dialogue; nothing is sent before `receive`."""
        self.stage = Stage.GREETING
        self.done = False
        self.transcript: list[str] = []
        self.client = client
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._consumed = 0
        self._steps = _DIALOGUES[protocol](self)

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent, return what is to be sent now."""
        self._inbox += data
        if not self.done:
            self.done = next(self._steps, True) is True
        if self.done and self._inbox:
            check_first_bytes(bytes(self._inbox), Security.STARTTLS)
        out = bytes(self._outbox)
        self._outbox.clear()
        return out

    @property
    def rest(self) -> bytes:
        """What came behind the go-ahead, the first bytes of TLS."""
        return bytes(self._inbox)

    @property
    def pending(self) -> str:
        """What has come of an unfinished reply, made visible; for the error of a dialogue that ends here."""
        return visible(self._inbox[:LONGEST_LINE].decode("latin-1"), 80)

    # What the dialogues below are written in.

    def say(self, line: str) -> None:
        """Send one line."""
        self._note("C", line)
        self._outbox += line.encode("ascii") + b"\r\n"

    def send(self, data: bytes, meaning: str) -> None:
        """Send bytes that are no text."""
        self._note("C", meaning)
        self._outbox += data

    def line(self) -> Generator[None, None, str]:
        """Wait for one line, ended by CR LF or a bare LF, and return it without its end."""
        while (end := self._inbox.find(b"\n", 0, LONGEST_LINE)) < 0:
            if len(self._inbox) >= LONGEST_LINE:
                raise ReplyTooLong(
                    f"a line of more than {LONGEST_LINE} bytes where a short reply belongs; it begins {self.pending!r}"
                )
            yield
        text = self._consume(end + 1).decode("latin-1").rstrip("\r\n")
        self._note("S", text)
        return text

    def take(self, size: int) -> Generator[None, None, bytes]:
        """Wait for exactly so many bytes."""
        if size > LONGEST_PLAINTEXT - self._consumed:
            raise ReplyTooLong(f"the server announces {size} bytes, more than the {LONGEST_PLAINTEXT} that are read before TLS")
        while len(self._inbox) < size:
            yield
        return self._consume(size)

    def heard(self, meaning: str) -> None:
        """Note in the transcript what bytes meant that are no text."""
        self._note("S", meaning)

    def _consume(self, size: int) -> bytes:
        self._consumed += size
        if self._consumed > LONGEST_PLAINTEXT:
            raise ReplyTooLong(f"more than {LONGEST_PLAINTEXT} bytes before TLS; the server does not come to the point")
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken

    def _note(self, who: str, text: str) -> None:
        if len(self.transcript) < LONGEST_TRANSCRIPT:
            self.transcript.append(f"{who}: {visible(text)}")
        elif len(self.transcript) == LONGEST_TRANSCRIPT:
            self.transcript.append("… and more")


def check_first_bytes(data: bytes, security: Security) -> None:
    """Raise where the first bytes that should be TLS are not: PlaintextAfterStartTls or NotTls, with what was seen."""
    if not data or (data[0] in (_TLS_ALERT, _TLS_HANDSHAKE) and data[1:2] in (b"", b"\3")):  # the version is 3.x in all of TLS
        return
    seen = visible(data[:80].decode("latin-1"))
    if security is Security.STARTTLS:
        raise PlaintextAfterStartTls(
            f"plaintext behind the go-ahead of STARTTLS: {seen!r}; a broken server, or somebody in between who injects"
        )
    spoken = next(
        (f"; this looks like {name}: try {scheme}://" for start, name, scheme in _GREETINGS if data.startswith(start)), ""
    )
    raise NotTls(f"not TLS but {seen!r}{spoken or '; another service may listen on this port'}")


_GREETINGS = (
    (b"220", "SMTP with STARTTLS", "smtp"),
    (b"* OK", "IMAP with STARTTLS", "imap"),
    (b"+OK", "POP3 with STLS", "pop3"),
    (b"0", "LDAP with StartTLS", "ldap"),
)


def _unexpected(expected: str, seen: str) -> ProbeError:
    # LDAP has but two bytes to show, so what is seen may be the beginning of a greeting as well as more than one.
    speaks = next((name for start, name, _ in _GREETINGS[:3] if seen and start.decode().startswith(seen[: len(start)])), None)
    hint = f"; this looks like {speaks}" if speaks and speaks.split()[0] not in expected else "; check the port and the protocol"
    return UnexpectedReply(f"{expected} was expected, the server says {visible(seen)!r}{hint}")


def _smtp(talk: Preamble) -> Generator[None, None, None]:
    code, lines = yield from _smtp_reply(talk)
    if code != "220":
        raise ServiceRefused(f"the SMTP server refuses service: {visible(lines[0])!r}")
    talk.say(f"EHLO {talk.client}")
    talk.stage = Stage.STARTTLS
    code, lines = yield from _smtp_reply(talk)
    keywords = {line[4:].split(" ")[0].strip().upper() for line in lines[1:]}
    if code != "250" or "STARTTLS" not in keywords:
        offered = visible(", ".join(sorted(keywords - {""})) or "nothing")
        answer = f"answers EHLO with {visible(lines[0])!r}" if code != "250" else f"offers {offered}"
        raise StartTlsNotOffered(
            f"no STARTTLS: the server {answer}; switch it on at the server, or use its implicit TLS port (smtps://)"
        )
    talk.say("STARTTLS")
    code, lines = yield from _smtp_reply(talk)
    if code != "220":
        raise _refused(repr(visible(lines[0])))


def _smtp_reply(talk: Preamble) -> Generator[None, None, tuple[str, list[str]]]:
    lines: list[str] = []
    while True:
        line = yield from talk.line()
        if not re.match(r"[2-5][0-9][0-9]([ -]|$)", line):
            raise _unexpected("an SMTP reply", line)
        lines.append(line)
        if line[3:4] != "-":
            return line[:3], lines


def _imap(talk: Preamble) -> Generator[None, None, None]:
    greeting = yield from _imap_response(talk)
    word = greeting[2:].split(" ")[0].upper() if greeting.startswith("* ") else ""
    if word == "BYE":
        raise ServiceRefused(f"the IMAP server refuses service: {visible(greeting)!r}")
    if word == "PREAUTH":
        raise StartTlsNotOffered(f"no STARTTLS after PREAUTH (RFC 9051, 6.2.1): {visible(greeting)!r}; use imaps://")
    if word != "OK":
        raise _unexpected("an IMAP greeting", greeting)
    talk.say("a1 STARTTLS")
    talk.stage = Stage.STARTTLS
    while (response := (yield from _imap_response(talk))).startswith("* "):
        if response[2:].upper().startswith("BYE"):
            raise ServiceRefused(f"the IMAP server ends the session: {visible(response)!r}")
    tag, _, answer = response.partition(" ")
    if tag.lower() != "a1":
        raise _unexpected("the IMAP answer to STARTTLS", response)
    if answer.split(" ")[0].upper() != "OK":
        raise _refused(repr(visible(response)))


def _imap_response(talk: Preamble) -> Generator[None, None, str]:
    lines = [(yield from talk.line())]
    while literal := re.search(r"\{(\d{1,19})\+?\}$", lines[-1]):  # RFC 9051, 4.3: so many bytes, then the line goes on
        yield from talk.take(int(literal[1]))
        lines[-1] = lines[-1][: literal.start()]
        lines.append((yield from talk.line()))
    return "".join(lines)


def _pop3(talk: Preamble) -> Generator[None, None, None]:
    greeting = yield from talk.line()
    if greeting.upper().startswith("-ERR"):
        raise ServiceRefused(f"the POP3 server refuses service: {visible(greeting)!r}")
    if not greeting.upper().startswith("+OK"):
        raise _unexpected("a POP3 greeting", greeting)
    talk.say("STLS")
    talk.stage = Stage.STARTTLS
    answer = yield from talk.line()
    if answer.upper().startswith("-ERR"):
        raise _refused(repr(visible(answer)))
    if not answer.upper().startswith("+OK"):
        raise _unexpected("the POP3 answer to STLS", answer)


def _refused(shown: str) -> ProbeError:
    return StartTlsRefused(f"STARTTLS is refused: {shown}; see the server's log, or use its implicit TLS port")


def _ldap(talk: Preamble) -> Generator[None, None, None]:
    talk.send(_LDAP_REQUEST, f"StartTLS extended request {_START_TLS_OID.decode()}, message 1")
    talk.stage = Stage.STARTTLS
    message = yield from _ldap_message(talk)
    try:
        number, operation, *_ = _parts(message, 2)
        code, _, words, *rest = _parts(operation.content, 3)
        more = {part.tag: part.content for part in rest}
        elsewhere = b", ".join(url.content for url in _parts(more.get(_REFERRAL, b"")))
    except ValueError as error:
        raise UnexpectedReply(
            f"an LDAP answer to StartTLS was expected, and what came is malformed ({error}); check the port and the protocol"
        ) from None
    outcome = int.from_bytes(code.content[:4], "big")
    result = f"{_LDAP_NAMES.get(outcome, 'result')} ({outcome}) {visible(words.content.decode('utf-8', 'replace'))!r}"
    if elsewhere:
        result += f", see {visible(elsewhere.decode('utf-8', 'replace'))!r}"
    if more.get(_RESPONSE_NAME) == _NOTICE_OF_DISCONNECTION:
        raise ServiceRefused(f"the LDAP server ends the session: {result}")
    if operation.tag != _EXTENDED_RESPONSE or number.content != b"\x01" or code.tag != ber.ENUMERATED:
        raise UnexpectedReply(
            f"operation {operation.tag:#04x} of message {number.content[:8].hex()} where the answer to message 1 was expected"
        )
    if outcome != 0:
        talk.heard(result)
        raise _refused(result)
    talk.heard("extended response: success")


def _parts(content: bytes, least: int = 0) -> list[ber.Element]:
    parts = ber.elements(content, _MOST_PARTS)
    if len(parts) < least:
        raise ValueError(f"{len(parts)} elements where {least} belong")
    return parts


def _ldap_message(talk: Preamble) -> Generator[None, None, bytes]:
    tag, first = yield from talk.take(2)
    if tag in (_TLS_ALERT, _TLS_HANDSHAKE):
        raise UnexpectedReply("the server answers in TLS: this port wants implicit TLS, try ldaps://")
    if tag != ber.SEQUENCE:
        raise _unexpected("an LDAP message", bytes([tag, first]).decode("latin-1"))
    if first == ber.LONG_FORM:
        raise UnexpectedReply(
            "an LDAP message was expected, and what came has the indefinite length that RFC 4511, 5.1 forbids; check the port"
        )
    if first & 0x80:
        if (octets := first & 0x7F) > 4:  # noqa: PLR2004 - four bytes already say 4 GB
            raise ReplyTooLong(f"an LDAP message with a length of {octets} bytes")
        first = int.from_bytes((yield from talk.take(octets)), "big")
    return (yield from talk.take(first))


_DIALOGUES: dict[Protocol, Callable[[Preamble], Generator[None, None, None]]] = {
    Protocol.SMTP: _smtp,
    Protocol.IMAP: _imap,
    Protocol.POP3: _pop3,
    Protocol.LDAP: _ldap,
}
