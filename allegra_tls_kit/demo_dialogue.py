"""What the laboratory's servers say: SMTP, IMAP, POP3 and LDAP, just enough to connect, log in and leave.

Rule: bytes in, bytes out; the words are tables. The other side of `preamble`, and not made from it, so that the two can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from allegra_tls_kit import ber
from allegra_tls_kit.demo_ca import SERVER_NAME
from allegra_tls_kit.endpoint import Protocol


class Then(Enum):
    """What a server does after its answer."""

    LISTEN = auto()
    START_TLS = auto()
    HANG_UP = auto()


@dataclass(frozen=True, slots=True)
class Lines:
    """A protocol of lines, as a table.

    `answers` are by command, without the last line end; `{tag}` is what a tagged client put in front, `{offer}` is `offer`
    while TLS may still be asked for, and nothing later.
    """

    greeting: str
    offer: str
    answers: dict[str, str]
    otherwise: str
    start_tls: str = "STARTTLS"
    leave: str = "QUIT"
    tagged: bool = False

    def greet(self) -> bytes:
        """Return what the server says first."""
        return f"{self.greeting}\r\n".encode()

    def whole(self, data: bytes) -> int:
        """Return the length of the first message in the data, 0 where it is not whole yet."""
        return data.find(b"\n") + 1

    def answer(self, message: bytes, *, may_start_tls: bool) -> tuple[bytes, Then]:
        """Return what to say to a whole message, and what to do then."""
        words = message.decode("latin-1").split()
        tag = words.pop(0) if self.tagged and words else ""
        command = words[0].upper() if words else ""
        if command == self.start_tls and not may_start_tls:
            command = ""
        text = self.answers.get(command, self.otherwise).format(tag=tag, offer=self.offer if may_start_tls else "")
        then = {self.start_tls: Then.START_TLS, self.leave: Then.HANG_UP}.get(command, Then.LISTEN)
        return f"{text}\r\n".encode("latin-1"), then


@dataclass(frozen=True, slots=True)
class Messages:
    """LDAP (RFC 4511): every bind is welcome, every search finds nothing, StartTLS is the only extended operation."""

    def greet(self) -> bytes:
        """Return nothing: in LDAP the client begins."""
        return b""

    def whole(self, data: bytes) -> int:
        """Return the length of the first message in the data, 0 where it is not whole yet."""
        first = data[1] if len(data) > 1 else 0
        octets = first & 0x7F if first & ber.LONG_FORM else 0
        size = 2 + octets + (int.from_bytes(data[2 : 2 + octets], "big") if octets else first)
        return size if len(data) >= size else 0

    def answer(self, message: bytes, *, may_start_tls: bool) -> tuple[bytes, Then]:
        """Return what to say to a whole message, and what to do then; raises ValueError for what is no LDAP message."""
        number, operation, *_ = ber.elements(ber.element(message, ber.SEQUENCE).content)
        if operation.tag not in _RESPONSE_TO:
            return b"", Then.HANG_UP
        result, then, name = _SUCCESS, Then.LISTEN, b""
        if operation.tag == _EXTENDED_REQUEST:
            asked, *_ = ber.elements(operation.content)
            result, then = (_SUCCESS, Then.START_TLS) if may_start_tls else (_OPERATIONS_ERROR, Then.LISTEN)
            if asked.content != _START_TLS:
                result, then = _PROTOCOL_ERROR, Then.LISTEN
            name = ber.encode(_RESPONSE_NAME, asked.content)
        no_text = ber.encode(ber.OCTET_STRING)
        response = ber.encode(_RESPONSE_TO[operation.tag], ber.encode(ber.ENUMERATED, result), no_text, no_text, name)
        return ber.encode(ber.SEQUENCE, number.raw, response), then


_START_TLS = b"1.3.6.1.4.1.1466.20037"
_SUCCESS, _OPERATIONS_ERROR, _PROTOCOL_ERROR = b"\0", b"\1", b"\2"
_EXTENDED_REQUEST, _RESPONSE_NAME = 0x77, 0x8A
_RESPONSE_TO = {0x60: 0x61, 0x63: 0x65, _EXTENDED_REQUEST: 0x78}  # bind, search, extended (RFC 4511, 4.2, 4.5, 4.12)

DIALOGUES: dict[Protocol, Lines | Messages] = {
    Protocol.SMTP: Lines(
        greeting=f"220 {SERVER_NAME} ESMTP",
        offer="250-STARTTLS\r\n",
        answers={
            "EHLO": f"250-{SERVER_NAME}\r\n{{offer}}250 8BITMIME",
            "HELO": f"250 {SERVER_NAME}",
            "STARTTLS": "220 2.0.0 go ahead",
            "NOOP": "250 2.0.0 ok",
            "RSET": "250 2.0.0 ok",
            "QUIT": "221 2.0.0 bye",
        },
        otherwise="502 5.5.1 not in this demonstration",
    ),
    Protocol.IMAP: Lines(
        greeting=f"* OK {SERVER_NAME} IMAP4rev1",
        offer=" STARTTLS",
        answers={
            "CAPABILITY": "* CAPABILITY IMAP4rev1{offer}\r\n{tag} OK done",
            "STARTTLS": "{tag} OK go ahead",
            "LOGIN": "{tag} OK done",
            "NOOP": "{tag} OK done",
            "LOGOUT": "* BYE bye\r\n{tag} OK done",
        },
        otherwise="{tag} BAD not in this demonstration",
        leave="LOGOUT",
        tagged=True,
    ),
    Protocol.POP3: Lines(
        greeting=f"+OK {SERVER_NAME} POP3",
        offer="STLS\r\n",
        answers={
            "CAPA": "+OK\r\n{offer}USER\r\n.",
            "STLS": "+OK go ahead",
            "USER": "+OK",
            "PASS": "+OK",
            "STAT": "+OK 0 0",
            "NOOP": "+OK",
            "QUIT": "+OK bye",
        },
        otherwise="-ERR not in this demonstration",
        start_tls="STLS",
    ),
    Protocol.LDAP: Messages(),
}
