"""TLS as no library writes it: messages made by hand (RFC 5246, RFC 8446), real flights tampered with, and who does so."""

from __future__ import annotations

import contextlib
import ssl
from functools import cache
from typing import TYPE_CHECKING

from allegra_tls_kit.endpoint import SCHEMES
from allegra_tls_kit.errors import ConnectionLost, HandshakeFailed, ProbeTimeout
from tests.misbehaving import (
    GO_AHEAD,
    Behaviour,
    again,
    at_leisure,
    chain,
    closing,
    context_of,
    decent,
    dripping,
    hearing,
    resetting,
    saying,
    silent,
    spelling,
    then,
    where_tls_begins,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from tests.misbehaving import Talk

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
WARNING, FATAL = 1, 2
_HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

ALERTS = {
    10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow", 30: "decompression_failure",
    40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate", 43: "unsupported_certificate",
    44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
    49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction", 70: "protocol_version",
    71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_cancelled",
    100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable",
    112: "unrecognized_name", 113: "bad_certificate_status_response", 114: "bad_certificate_hash_value",
    115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
}  # fmt: skip
"""As OpenSSL spells them."""


def record(content: int, body: bytes, version: bytes = b"\3\3") -> bytes:
    return bytes([content]) + version + len(body).to_bytes(2, "big") + body


def records(body: bytes, size: int = 1 << 14) -> Iterator[bytes]:
    """A handshake message, in records of this size."""
    return (record(HANDSHAKE, body[start : start + size]) for start in range(0, len(body), size))


def alert(number: int, level: int = FATAL) -> bytes:
    return record(ALERT, bytes([level, number]))


def message(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def server_hello(
    hello: bytes, suite: int, *, version: bytes = b"\3\3", said: bytes = b"r" * 32, extensions: bytes = b""
) -> bytes:
    """The answer to a ClientHello, with its session id; without extensions they are left out, as TLS 1.2 may."""
    session = hello[43 : 44 + hello[43]]
    tail = len(extensions).to_bytes(2, "big") + extensions if extensions else b""
    return message(2, version + said + session + suite.to_bytes(2, "big") + b"\0" + tail)


def hello_retry(hello: bytes, group: int) -> bytes:
    """Ask for another ClientHello, with a key share of this group (RFC 8446, 4.1.4)."""
    wanted = b"\0\x2b\0\2\3\4" + b"\0\x33\0\2" + group.to_bytes(2, "big")
    return record(HANDSHAKE, server_hello(hello, 0x1301, said=_HELLO_RETRY_REQUEST, extensions=wanted))


def certificates(*shown: bytes) -> bytes:
    """The message Certificate of TLS 1.2."""
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in shown)
    return message(11, len(listed).to_bytes(3, "big") + listed)


def answering_hello(answer: Callable[[bytes], Iterable[bytes]]) -> Talk:
    """Hear a ClientHello and say these records."""

    def talk(connection: socket.socket) -> None:
        hello = connection.recv(1 << 14)
        for part in answer(hello):
            connection.sendall(part)

    return then(talk, silent)


def records_said(*said: bytes) -> Talk:
    return answering_hello(lambda _: said)


def showing(*ders: bytes) -> Talk:
    """Begin a handshake of TLS 1.2 and show these as certificates."""

    def answer(hello: bytes) -> Iterator[bytes]:
        yield record(HANDSHAKE, server_hello(hello, 0xC02B))
        yield from records(certificates(*ders))

    return answering_hello(answer)


def retrying(*groups: int) -> Talk:
    """Ask for another ClientHello, and then for another."""

    def talk(connection: socket.socket) -> None:
        for group in groups:
            if hello := connection.recv(1 << 14):
                connection.sendall(hello_retry(hello, group))

    return then(talk, silent)


def tampering(tamper: Callable[[bytes], Iterable[bytes]], context: Callable[[], ssl.SSLContext] = decent) -> Talk:
    """Shake hands as a decent server does, but say of the first flight what is made of it."""

    def talk(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls, change = context().wrap_bio(incoming, outgoing, server_side=True), tamper
        while heard := connection.recv(1 << 14):
            incoming.write(heard)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            for part in change(outgoing.read()):
                connection.sendall(part)
            change = whole

    return talk


def whole(said: bytes) -> list[bytes]:
    return [said]


def byte_by_byte(said: bytes) -> Iterator[bytes]:
    return (said[at : at + 1] for at in range(len(said)))


def cut(at: int) -> Callable[[bytes], list[bytes]]:
    return lambda said: [said[:at]]


def flipped(at: int) -> Callable[[bytes], list[bytes]]:
    """With one bit of another value."""

    def tamper(said: bytes) -> list[bytes]:
        other = bytearray(said)
        other[at] ^= 1
        return [bytes(other)]

    return tamper


def in_crumbs(said: bytes) -> Iterator[bytes]:
    """The same messages of TLS 1.2, a record for each byte."""
    while said:
        end = 5 + int.from_bytes(said[3:5], "big")
        yield from records(said[5:end], 1)
        said = said[end:]


@cache
def old_tls() -> ssl.SSLContext:
    """TLS 1.2, in which certificates are shown in the clear."""
    return context_of(*chain(), version=ssl.TLSVersion.TLSv1_2)


@cache
def many_tickets() -> ssl.SSLContext:
    """One that sends a thousand tickets behind its handshake."""
    made = context_of(*chain())
    made.num_tickets = 1000
    return made


@cache
def another_group() -> ssl.SSLContext:
    """One that has to ask for another key share."""
    made = context_of(*chain())
    made.set_ecdh_curve("secp521r1")
    return made


@cache
def long_chain() -> ssl.SSLContext:
    leaf, intermediate = chain()
    return context_of(leaf, *[intermediate] * 99)


def flooding(connection: socket.socket) -> None:
    """Say much behind the handshake, and listen to nothing."""
    with decent().wrap_socket(connection, server_side=True) as wrapped:
        while True:
            wrapped.sendall(b"x" * (1 << 14))


def leaving_in_a_hurry(connection: socket.socket) -> None:
    """Reset the connection as soon as hands are shaken."""
    with decent().wrap_socket(connection, server_side=True) as wrapped:
        resetting(wrapped)


def waits(answer: Talk, words: str = "", *, shown: bool = False) -> Behaviour:
    """Come to no end of the handshake, under every scheme."""
    return Behaviour(where_tls_begins(answer), ProbeTimeout, "handshake", f"shaking hands took longer than .*{words}", shown)


def leaves(answer: Talk, words: str) -> Behaviour:
    """Go in the middle of the handshake, under every scheme."""
    return Behaviour(where_tls_begins(answer), ConnectionLost, "handshake", f"{words}$")


def fails(answer: Talk, words: str = "the handshake failed: ", *, shown: bool = False) -> Behaviour:
    """Make the handshake fail, under every scheme."""
    return Behaviour(where_tls_begins(answer), HandshakeFailed, "handshake", words, shown)


def shows(answer: Talk) -> Behaviour:
    """Show the chain, under every scheme."""
    return Behaviour(where_tls_begins(answer), None)


NOISE = b"\0\x1b[2J\xff\x07\xe2\x80\xae\n"
HELLO_REQUEST = record(HANDSHAKE, message(0))
HALF_A_RECORD = b"\x16\3\3\0\x40\2"
TOO_LARGE = "larger than OpenSSL takes, of a chain 100 KB"
LEAF, INTERMEDIATE = (issued.der for issued in chain())
NO_CERTIFICATES = {
    "nothing": b"",
    "noise": NOISE,
    "an empty sequence": b"\x30\0",
    "half a certificate": LEAF[:200],
    "a certificate of another length": LEAF[:3] + b"\xff" + LEAF[4:],
    "the indefinite form, nested": b"\x30\x80" * 5000,
}

IN_TLS = {
    "says nothing where TLS should begin": waits(silent, "; give it more time"),
    "shakes hands with a byte a second": waits(then(hearing, dripping(HALF_A_RECORD)), ", after 1 byte of TLS"),
    "asks for a hello at leisure": waits(then(hearing, at_leisure(HELLO_REQUEST)), r", after \d+ bytes of TLS"),
    "stalls behind the first byte of a handshake": waits(tampering(cut(1)), ", after 1 byte of TLS"),
    "stalls behind the first header of a handshake": waits(tampering(cut(5)), ", after 5 bytes of TLS"),
    "stalls in the middle of a handshake": waits(tampering(cut(150)), ", after 150 bytes of TLS"),
    "stalls at the end of a handshake": waits(tampering(cut(-1)), r", after [\d,]+ bytes of TLS", shown=True),
    "stalls behind its chain": waits(showing(LEAF, INTERMEDIATE), r", after [\d,]+ bytes of TLS", shown=True),
    "closes at the hello": leaves(then(hearing, closing), "closed the connection while shaking hands"),
    "resets at the hello": leaves(then(hearing, resetting), "broke while shaking hands: Connection reset by peer"),
    "closes in the middle of a handshake": leaves(then(saying(b"", HALF_A_RECORD), closing), "closed .*, after 6 bytes of TLS"),
    "resets in the middle of a handshake": leaves(
        then(saying(b"", HALF_A_RECORD), resetting), "broke .*: Connection reset by peer"
    ),
    **{
        f"ends with the alert {name}": fails(records_said(alert(number)), f"the server ends the handshake with the alert {name}$")
        for number, name in ALERTS.items()
    },
    "ends with an alert nobody knows": fails(records_said(alert(200)), "with the alert number 200, which"),
    "takes its leave at the hello": fails(records_said(alert(0, WARNING)), "with the alert close_notify$"),
    "warns without end": fails(then(hearing, again(alert(112, WARNING)))),
    "alerts in half a word": fails(records_said(record(ALERT, b"\2"))),
    "says noise in a record": fails(records_said(record(HANDSHAKE, NOISE * 9))),
    "says empty records without end": fails(then(hearing, again(record(HANDSHAKE, b"")))),
    "asks for a hello without end": fails(then(hearing, again(HELLO_REQUEST)), "more than 1,048,576 bytes of TLS"),
    "asks for another hello again and again": fails(retrying(0x17, 0x17, 0x18, 0x19)),
    "asks for a hello with what it has": fails(retrying(0x1D)),
    "asks for a hello with what nobody has": fails(retrying(0x7F7F)),
    "changes ciphers without end": fails(
        answering_hello(lambda hello: [hello_retry(hello, 0x17), record(CHANGE_CIPHER_SPEC, b"\1") * 10_000])
    ),
    "says the hello back": fails(answering_hello(lambda hello: [hello])),
    "speaks SSL 3.0": fails(
        answering_hello(lambda hello: [record(HANDSHAKE, server_hello(hello, 0x2F, version=b"\3\0"), b"\3\0")]),
        "unsupported protocol|wrong version",
    ),
    "chooses a suite without certificate": fails(
        answering_hello(lambda hello: [record(HANDSHAKE, server_hello(hello, 0x34))]), "wrong cipher returned"
    ),
    "announces a record beyond measure": fails(records_said(b"\x16\3\3\xff\xff" + b"x" * (1 << 16))),
    "announces a message of 16 MB": fails(
        answering_hello(lambda hello: [record(HANDSHAKE, server_hello(hello, 0xC02B)), record(HANDSHAKE, b"\x0b\xff\xff\xff")]),
        TOO_LARGE,
    ),
    "shows 16 MB": fails(showing(b"\x30\x83\xfe\0\0" + bytes(0xFE0000)), TOO_LARGE),
    "shows 10,000 certificates": fails(showing(*[LEAF] * 10_000), TOO_LARGE),
    "shows no certificate": fails(showing()),
    **{
        f"shows {name} as a certificate": fails(showing(LEAF, der), "a certificate that cannot be parsed")
        for name, der in NO_CERTIFICATES.items()
    },
    "lies about the length of a certificate": fails(
        answering_hello(lambda hello: [record(HANDSHAKE, server_hello(hello, 0xC02B) + message(11, b"\xff\xff\xff\0\0\1x"))])
    ),
    "signs wrongly": fails(tampering(flipped(-12), old_tls), shown=True),
    "damages what is encrypted": fails(tampering(flipped(-12)), "decryption failed or bad record mac", shown=True),
    "says each byte in a packet of its own": Behaviour(
        {scheme: then(spelling(*GO_AHEAD.get(scheme, ())), tampering(byte_by_byte)) for scheme in SCHEMES}, None
    ),
    "says each byte in a record of its own": shows(tampering(in_crumbs, old_tls)),
    "warns that it does not know the name": shows(tampering(lambda said: [alert(112, WARNING) + said])),
    "asks for another hello once": shows(tampering(whole, another_group)),
    "shows a hundred certificates": shows(tampering(whole, long_chain)),
    "sends a thousand tickets": shows(tampering(whole, many_tickets)),
    "floods behind the handshake": shows(flooding),
    "resets behind the handshake": shows(leaving_in_a_hurry),
}
