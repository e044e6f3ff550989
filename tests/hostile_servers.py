"""What servers do, by name: those that mean no good, those that are broken, and those that are odd and yet decent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit import ber
from allegra_tls_kit.errors import (
    ConnectionLost,
    HandshakeFailed,
    NotTls,
    PlaintextAfterStartTls,
    ProbeTimeout,
    ReplyTooLong,
    ServiceRefused,
    StartTlsNotOffered,
    StartTlsRefused,
    UnexpectedReply,
)
from tests.misbehaving import (
    GO_AHEAD,
    IMPLICIT,
    PLAIN,
    Behaviour,
    again,
    at_leisure,
    closing,
    decent,
    dripping,
    resetting,
    saying,
    says,
    silent,
    then,
    tls,
)
from tests.tls_by_hand import APPLICATION_DATA, IN_TLS, NOISE, alert, record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.misbehaving import Talk

MAIL = PLAIN[:3]
HUNDRED_MB = 1600
"""In blocks of 64 KB."""


def each(talk: Talk, schemes: Iterable[str] = PLAIN) -> dict[str, Talk]:
    return dict.fromkeys(schemes, talk)


def to_start_tls(answers: dict[str, bytes], talk: Talk = silent) -> dict[str, Talk]:
    """Be decent until TLS is asked for; what is said then, by protocol, and done afterwards."""
    return {scheme: then(saying(*GO_AHEAD[scheme][:-1], answer), talk) for scheme, answer in answers.items()}


def oddly(**said: tuple[bytes, ...]) -> Behaviour:
    """Say this, by protocol, until TLS may begin, and then show the chain."""
    return Behaviour({scheme: then(saying(*words), tls(decent())) for scheme, words in said.items()}, None)


def in_ldap(answer: bytes, words: str, ends: type[UnexpectedReply | ReplyTooLong] = UnexpectedReply) -> Behaviour:
    return Behaviour({"ldap": says(b"", answer)}, ends, "starttls", words)


def ldap_result(code: int, *more: bytes, number: bytes = b"\1", operation: int = 0x78, text: bytes = b"") -> bytes:
    result = ber.encode(ber.ENUMERATED, bytes([code])), ber.encode(4), ber.encode(4, text), *more
    return ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, number), ber.encode(operation, *result))


NOTICE = ldap_result(52, ber.encode(0x8A, b"1.3.6.1.4.1.1466.20036"), number=b"\0", text=b"\x1b[2Jgo away")
REFERRAL = ldap_result(10, ber.encode(0xA3, ber.encode(4, b"ldap://other.example/\n")))
IN_CLEAR = {"smtp": b"250 injected\r\n", "imap": b"a2 OK injected\r\n", "pop3": b"+OK injected\r\n", "ldap": ldap_result(0)}
GREETINGS = {"SMTP": b"220 mx ESMTP\r\n", "IMAP": b"* OK ready\r\n", "POP3": b"+OK ready\r\n"}
FOREIGN = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "MySQL": b"J\0\0\0\x0a8.0.36\0\x0b\0\0\0",
    "ManageSieve": b'"IMPLEMENTATION" "Dovecot Pigeonhole"\r\n',
}

WAITS = {
    "says nothing instead of greeting": Behaviour(
        each(silent), ProbeTimeout, "greeting", "the server is silent|give it more time"
    ),
    "greets with a byte a second": Behaviour(
        {scheme: dripping(b"".join(GO_AHEAD[scheme])) for scheme in MAIL}, ProbeTimeout, "greeting", "took longer .*, after '"
    ),
    "answers with a byte a second": Behaviour(
        {scheme: then(saying(*GO_AHEAD[scheme][:-1], b""), dripping(GO_AHEAD[scheme][-1])) for scheme in PLAIN},
        ProbeTimeout,
        "starttls",
        "took longer .*, after '",
    ),
    "repeats itself at leisure": Behaviour(
        {"smtp": then(saying(b"220 a\r\n"), at_leisure(b"250-a\r\n")), "imap": then(saying(b"* OK\r\n"), at_leisure(b"* x\r\n"))},
        ProbeTimeout,
        "starttls",
        "asking for STARTTLS took longer",
    ),
    "announces more than it says": Behaviour(
        {"imap": says(b"* OK {100}\r\nx"), "ldap": says(b"", b"\x30\x40\2\1\1")},
        ProbeTimeout,
        "greeting",
        "took longer .*, after '",
    ),
}

TALKS_TOO_MUCH = {
    "greets with 100 MB without a line end": Behaviour(
        each(again(b"2", HUNDRED_MB), MAIL), ReplyTooLong, "greeting", "a line of more than 8192 bytes .* it begins '2222"
    ),
    "greets with line upon line": Behaviour(
        {"smtp": again(b"220-\n"), "imap": again(b"* OK {0}\n{0}\n")},
        ReplyTooLong,
        "greeting",
        "more than 65536 bytes before TLS",
    ),
    "answers with line upon line": Behaviour(
        {"smtp": then(saying(b"220 a\r\n", b""), again(b"250-a\n")), "imap": then(saying(b"* OK\n", b""), again(b"* \n"))},
        ReplyTooLong,
        "starttls",
        "more than 65536 bytes before TLS",
    ),
    "announces a literal of 2 GB": Behaviour(
        each(says(b"* OK {2147483648}\r\n"), ["imap"]), ReplyTooLong, "greeting", "announces 2147483648 bytes"
    ),
    "announces an LDAP message of 2 GB": in_ldap(b"\x30\x84\x7f\xff\xff\xff", "announces 2147483647 bytes, more", ReplyTooLong),
    "announces an LDAP message beyond words": in_ldap(b"\x30\xff", "a length of 127 bytes", ReplyTooLong),
    "floods where TLS should begin": Behaviour(each(again(b"220-x\r\n"), IMPLICIT), NotTls, "handshake", "not TLS but '220-x"),
}

IS_SOMETHING_ELSE = {
    "says noise": Behaviour(each(says(NOISE)), UnexpectedReply, "greeting", r"was expected, the server says '\\\\x00\\\\x1b"),
    "says noise where TLS should begin": Behaviour(
        each(says(NOISE), IMPLICIT), NotTls, "handshake", r"not TLS but '\\\\x00\\\\x1b\[2J"
    ),
    "says noise that begins as TLS does": Behaviour(
        each(says(b"\x16" + NOISE), IMPLICIT), NotTls, "handshake", r"not TLS but '\\\\x16\\\\x00\\\\x1b"
    ),
    "begins with data": Behaviour(
        each(says(record(APPLICATION_DATA, b"x" * 99)), IMPLICIT), NotTls, "handshake", r"not TLS but '\\\\x17"
    ),
    **{
        f"greets as {name}": Behaviour(each(says(words)), UnexpectedReply, "greeting", "was expected, .*check the port")
        for name, words in FOREIGN.items()
    },
    **{
        f"greets as {name} where TLS should begin": Behaviour(
            each(says(words), IMPLICIT), NotTls, "handshake", "not TLS but '.*another service may listen"
        )
        for name, words in FOREIGN.items()
    },
    **{
        f"greets as {name} under another scheme": Behaviour(
            each(says(words), [scheme for scheme in PLAIN if scheme != name.lower()]),
            UnexpectedReply,
            "greeting",
            f"this looks like {name} with ST",
        )
        for name, words in GREETINGS.items()
    },
    **{
        f"greets as {name} where TLS should begin": Behaviour(
            each(says(words), IMPLICIT), NotTls, "handshake", f"looks like {name} with ST.*: try {name.lower()}://"
        )
        for name, words in GREETINGS.items()
    },
    "answers in LDAP where TLS should begin": Behaviour(
        each(says(b"", NOTICE), IMPLICIT), NotTls, "handshake", "this looks like LDAP with StartTLS: try ldap://"
    ),
    "answers in TLS where LDAP should be": in_ldap(alert(70), "the server answers in TLS: .* try ldaps://"),
    "answers another message": in_ldap(ldap_result(0, number=b"\2"), "message 02 where the answer to message 1 was expected"),
    "answers a message with a number of 60 KB": in_ldap(ldap_result(0, number=b"\1" * 60_000), "message 0101010101010101 where"),
    "answers a bind": in_ldap(ldap_result(0, operation=0x61), "operation 0x61 of message 01"),
    "answers in the indefinite form": in_ldap(b"\x30\x80\2\1\1\0\0", "indefinite length that RFC 4511, 5.1 forbids"),
    "answers in the indefinite form inside": in_ldap(b"\x30\x0a\2\1\1\x78\x80\x0a\1\0\0\0", "malformed .*indefinite"),
    "nests 16,000 elements": in_ldap(b"\x30\x82\xff\xf0" + b"\x30\x82\xff\xec" * 16_380, "malformed .1 elements where 2 belong"),
    "says 32,000 empty elements": in_ldap(b"\x30\x82\xff\xf0" + b"\5\0" * 32_760, "malformed .more than 100 elements"),
}

REFUSES = {
    "refuses service": Behaviour(
        {
            "smtp": says(b"554 \x1b[2Jgo away\r\n"),
            "imap": says(b"* BYE \x1b[2Jgo away\r\n"),
            "pop3": says(b"-ERR \x1b[2Jgo away\r\n"),
            "ldap": says(b"", NOTICE),
        },
        ServiceRefused,
        "greeting",
        r"(refuses service|ends the session): .*\\\\x1b\[2Jgo away'",
    ),
    "ends the session instead of an answer": Behaviour(
        to_start_tls({"imap": b"* BYE now\r\na1 OK\r\n"}), ServiceRefused, "starttls", "ends the session: '\\* BYE now'"
    ),
    "offers STARTTLS and refuses it": Behaviour(
        to_start_tls(
            {"smtp": b"454 no\a\n", "imap": b"a1 NO no\a\n", "pop3": b"-ERR no\a\n", "ldap": ldap_result(2, text=b"no\a")}
        ),
        StartTlsRefused,
        "starttls",
        r"STARTTLS is refused: .*no\\\\x07'.*; see the server's log",
    ),
    "refers to another server": Behaviour(
        to_start_tls({"ldap": REFERRAL}), StartTlsRefused, "starttls", r"referral \(10\) '', see 'ldap://other.example/\\\\x0a'"
    ),
    "does not offer STARTTLS and would accept it": Behaviour(
        {"smtp": then(saying(b"220 a\r\n", b"250-a\r\n250 SIZE\r\n", b"220 go\r\n"), tls(decent()))},
        StartTlsNotOffered,
        "starttls",
        "no STARTTLS: the server offers SIZE; switch it on",
    ),
    "answers before it is asked": Behaviour(
        {"smtp": says(b"220 a\r\n250 a\r\n")}, StartTlsNotOffered, "starttls", "no STARTTLS: the server offers nothing"
    ),
    "greets as if one had logged in": Behaviour(
        {"imap": then(saying(b"* PREAUTH hi\r\n", b"a1 OK\r\n"), tls(decent()))},
        StartTlsNotOffered,
        "greeting",
        "no STARTTLS after PREAUTH",
    ),
    "injects behind the go-ahead": Behaviour(
        to_start_tls({scheme: GO_AHEAD[scheme][-1] + words for scheme, words in IN_CLEAR.items()}),
        PlaintextAfterStartTls,
        "starttls",
        "plaintext behind the go-ahead of STARTTLS: .* somebody in between who injects",
    ),
    "injects between the go-ahead and TLS": Behaviour(
        {scheme: then(saying(*GO_AHEAD[scheme], words), silent) for scheme, words in IN_CLEAR.items()},
        PlaintextAfterStartTls,
        "handshake",
        "plaintext behind the go-ahead of STARTTLS: .* somebody in between who injects",
    ),
    "injects an alert in two parts": Behaviour(
        {scheme: says(*GO_AHEAD[scheme][:-1], GO_AHEAD[scheme][-1] + b"\x15", alert(40)[1:]) for scheme in PLAIN},
        HandshakeFailed,
        "handshake",
        "alert handshake_failure$",
    ),
}

CLOSED, RESET = "the server closed the connection while ", "the connection broke while .*: Connection reset by peer$"
LEAVES = {
    "closes at once": Behaviour(each(closing, MAIL), ConnectionLost, "greeting", f"{CLOSED}waiting for the greeting$"),
    "closes at once where TLS should begin": Behaviour(each(closing, IMPLICIT), ConnectionLost, "handshake", "connection"),
    "closes instead of an answer": Behaviour(
        to_start_tls(dict.fromkeys(PLAIN, b""), closing), ConnectionLost, "starttls", f"{CLOSED}asking for STARTTLS$"
    ),
    "resets instead of an answer": Behaviour(
        to_start_tls(dict.fromkeys(PLAIN, b""), resetting), ConnectionLost, "starttls", RESET
    ),
    "closes in the middle of a greeting": Behaviour(
        each(saying(b"2\x1b"), MAIL), ConnectionLost, "greeting", rf"{CLOSED}waiting for the greeting, after '2\\\\x1b'$"
    ),
    "closes in the middle of an answer": Behaviour(
        to_start_tls({scheme: GO_AHEAD[scheme][-1][:3] for scheme in PLAIN}, closing),
        ConnectionLost,
        "starttls",
        f"{CLOSED}asking for STARTTLS, after '",
    ),
    "resets in the middle of an answer": Behaviour(
        to_start_tls({scheme: GO_AHEAD[scheme][-1][:3] for scheme in PLAIN}, resetting), ConnectionLost, "starttls", RESET
    ),
}

IS_ODD = {
    "speaks in lower case, with bare line feeds": oddly(
        smtp=(b"220\n", b"250-mx\n250 starttls\n", b"220\n"), imap=(b"* ok\n", b"A1 ok\n"), pop3=(b"+ok\n", b"+ok\n")
    ),
    "greets in eight bits": oddly(
        smtp=(b"220 M\xfcller \0\xff\r\n", *GO_AHEAD["smtp"][1:]),
        imap=(b"* OK M\xfcller \0\xff\r\n", *GO_AHEAD["imap"][1:]),
        pop3=(b"+OK M\xfcller \0\xff\r\n", *GO_AHEAD["pop3"][1:]),
    ),
    "takes several lines": oddly(
        smtp=(b"220-mx\r\n220-no spam\r\n220 mx\r\n", b"250-mx\r\n250-STARTTLS\r\n250 HELP\r\n", b"220-go\r\n220 ahead\r\n"),
        imap=(b"* OK {3}\r\n\r\nX hi\r\n", b"* CAPABILITY x\r\n* ID (x {2}\r\nyy)\r\na1 OK go\r\n"),
    ),
    "accepts what it does not offer": oddly(imap=(b"* OK [CAPABILITY IMAP4rev1]\r\n", b"a1 OK\r\n")),
    "says lengths in the long form": oddly(ldap=(b"", bytes.fromhex("3084000000100201017884000000070a010004000400"))),
}

BEHAVIOURS = WAITS | TALKS_TOO_MUCH | IS_SOMETHING_ELSE | REFUSES | LEAVES | IS_ODD | IN_TLS
