from __future__ import annotations

import re
from contextlib import suppress
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from allegra_tls_kit.preamble import LONGEST_LINE, LONGEST_PLAINTEXT, Preamble, Stage, check_first_bytes

SMTP, IMAP, POP3, LDAP = Protocol.SMTP, Protocol.IMAP, Protocol.POP3, Protocol.LDAP
ASK_LDAP = b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037"
NOTICE = ber.encode(0x8A, b"1.3.6.1.4.1.1466.20036")


def ldap(code: int, words: bytes = b"", *more: bytes, number: int = 1, operation: int = 0x78) -> bytes:
    result = (ber.encode(ber.ENUMERATED, bytes([code])), ber.encode(4, b""), ber.encode(4, words), *more)
    return ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, bytes([number])), ber.encode(operation, *result))


# What a decent server says, and what it then has been sent.
GOOD = {
    SMTP: (b"220 mx ESMTP\r\n250-mx hello\r\n250-SIZE 1\r\n250 STARTTLS\r\n220 go\r\n", b"EHLO [192.0.2.1]\r\nSTARTTLS\r\n"),
    IMAP: (b"* OK ready\r\na1 OK begin\r\n", b"a1 STARTTLS\r\n"),
    POP3: (b"+OK ready\r\n+OK begin\r\n", b"STLS\r\n"),
    LDAP: (ldap(0), ASK_LDAP),
}


def dialogue(protocol: Protocol, *pieces: bytes) -> tuple[Preamble, bytes, ProbeError | None]:
    """Play what a server says, in these pieces; return where it ended, what was sent, and the error."""
    talk, sent = Preamble(protocol, "[192.0.2.1]"), b""
    try:
        for piece in (b"", *pieces):
            sent += talk.receive(piece)
    except ProbeError as error:
        return talk, sent, error
    return talk, sent, None


@pytest.mark.parametrize("protocol", Protocol)
def test_a_decent_server_is_asked_for_tls_and_no_more(protocol: Protocol) -> None:
    said, asked = GOOD[protocol]
    talk, sent, error = dialogue(protocol, said)
    assert (talk.done, talk.stage, sent, error, talk.rest) == (True, Stage.STARTTLS, asked, None, b"")
    assert not any(dialogue(protocol, said[:end])[0].done for end in range(len(said)))


def test_the_transcript_shows_both_sides_in_order() -> None:
    assert dialogue(SMTP, GOOD[SMTP][0])[0].transcript == [
        "S: 220 mx ESMTP",
        "C: EHLO [192.0.2.1]",
        "S: 250-mx hello",
        "S: 250-SIZE 1",
        "S: 250 STARTTLS",
        "C: STARTTLS",
        "S: 220 go",
    ]
    assert dialogue(IMAP, GOOD[IMAP][0])[0].transcript == ["S: * OK ready", "C: a1 STARTTLS", "S: a1 OK begin"]
    assert dialogue(POP3, GOOD[POP3][0])[0].transcript == ["S: +OK ready", "C: STLS", "S: +OK begin"]
    assert dialogue(LDAP, GOOD[LDAP][0])[0].transcript == [
        "C: StartTLS extended request 1.3.6.1.4.1.1466.20037, message 1",
        "S: extended response: success",
    ]


def test_no_line_is_sent_before_the_server_has_spoken() -> None:
    for protocol in (SMTP, IMAP, POP3):
        assert Preamble(protocol).receive(b"") == b""


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (SMTP, b"220 mx\n250-mx\n250 starttls\n220\n"),
        (SMTP, b"220-mx\r\n220-no spam\r\n220 ready\r\n250-mx\r\n250-STARTTLS \r\n250 HELP\r\n220-2.0.0 go\r\n220 now\r\n"),
        (SMTP, b"220 m\xfcller \xff\x00\r\n250-m\xfcller\r\n250 STARTTLS\r\n220 go\r\n"),
        (SMTP, b"220 " + b"x" * 8186 + b"\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n"),
        (IMAP, b"* ok [capability IMAP4rev1]\n* capability imap4rev1\nA1 ok\n"),
        (IMAP, b"* OK hi {3}\r\n\r\nX bye\r\n* ID (x {5+}\r\na1 NO {2}\r\nxx)\r\na1 OK go\r\n"),
        (IMAP, b"* OK {{0}\n5}\na1 OK go\n"),
        (POP3, b"+ok\n+ok\n"),
        (POP3, b"+OK <1.2@m\xfcller>\r\n+OK\r\n"),
        (LDAP, bytes.fromhex("30840000002802010178840000001f0a0100040004008a16") + ASK_LDAP[-22:]),
        (LDAP, ldap(0, "grüß".encode() * 200, ber.encode(0xA3, b""))),
    ],
)
def test_odd_but_decent_servers_come_to_tls_too(protocol: Protocol, said: bytes) -> None:
    talk, sent, error = dialogue(protocol, said)
    assert (error, talk.done, sent) == (None, True, GOOD[protocol][1])


@pytest.mark.parametrize(
    ("protocol", "said", "error", "stage", "words"),
    [
        (SMTP, b"554 no service\r\n", ServiceRefused, "greeting", "refuses service: '554 no service'"),
        (SMTP, b"421-busy\r\n421 later\r\n", ServiceRefused, "greeting", "'421-busy'"),
        (SMTP, b"220 a\r\n250-a\r\n250 SIZE\r\n", StartTlsNotOffered, "starttls", "offers SIZE; switch it on"),
        (SMTP, b"220 a\r\n250 STARTTLS\r\n", StartTlsNotOffered, "starttls", "offers nothing; switch it on"),
        (SMTP, b"220 a\r\n502 what?\r\n", StartTlsNotOffered, "starttls", "answers EHLO with '502 what\\?'; .*smtps://"),
        (SMTP, b"220 a\r\n250-a\r\n250 STARTTLS\r\n454 no key\r\n", StartTlsRefused, "starttls", "refused: '454 no key'"),
        (SMTP, b"+OK ready\r\n", UnexpectedReply, "greeting", "SMTP reply was expected, .* looks like POP3 with STLS"),
        (SMTP, b"\r\n", UnexpectedReply, "greeting", "says ''; check the port and the protocol"),
        (SMTP, b"220 a\r\n250x\r\n", UnexpectedReply, "starttls", "says '250x'; check"),
        (SMTP, b"220\x1b[2J\r\n", UnexpectedReply, "greeting", r"says '220\\\\x1b\[2J'; check"),
        (IMAP, b"* BYE full\r\n", ServiceRefused, "greeting", "refuses service: '\\* BYE full'"),
        (IMAP, b"* PREAUTH hi\r\n", StartTlsNotOffered, "greeting", "after PREAUTH .*; use imaps://"),
        (IMAP, b"220 mx\r\n", UnexpectedReply, "greeting", "IMAP greeting was expected, .* looks like SMTP with STARTTLS"),
        (IMAP, b"* OK\r\n* BYE now\r\n", ServiceRefused, "starttls", "ends the session: '\\* BYE now'"),
        (IMAP, b"* OK\r\na1 NO no\r\n", StartTlsRefused, "starttls", "refused: 'a1 NO no'"),
        (IMAP, b"* OK\r\na1 BAD what\r\n", StartTlsRefused, "starttls", "'a1 BAD what'"),
        (IMAP, b"* OK\r\na2 OK\r\n", UnexpectedReply, "starttls", "IMAP answer to STARTTLS was expected"),
        (POP3, b"-ERR busy\r\n", ServiceRefused, "greeting", "refuses service: '-ERR busy'"),
        (POP3, b"+OK\r\n-ERR what\r\n", StartTlsRefused, "starttls", "refused: '-ERR what'"),
        (POP3, b"* OK IMAP\r\n", UnexpectedReply, "greeting", "POP3 greeting was expected, .* looks like IMAP with STARTTLS"),
        (POP3, b"+OK\r\nwhat\r\n", UnexpectedReply, "starttls", "POP3 answer to STLS was expected"),
        (LDAP, ldap(2, b"unsupported"), StartTlsRefused, "starttls", r"refused: .*protocolError \(2\) .*unsupported"),
        (LDAP, ldap(52), StartTlsRefused, "starttls", r"unavailable \(52\)"),
        (LDAP, ldap(80), StartTlsRefused, "starttls", r"result \(80\)"),
        (
            LDAP,
            ldap(10, b"", ber.encode(0xA3, ber.encode(4, b"ldap://x"))),
            StartTlsRefused,
            "starttls",
            r"referral \(10\) '', see 'ldap://x'",
        ),
        (
            LDAP,
            ldap(52, b"x\n", NOTICE, number=0),
            ServiceRefused,
            "starttls",
            r"ends the session: unavailable \(52\) 'x\\\\x0a'",
        ),
        (LDAP, ldap(0, number=2), UnexpectedReply, "starttls", "message 02 where the answer to message 1 was expected"),
        (LDAP, ldap(0, operation=0x61), UnexpectedReply, "starttls", "operation 0x61 of message 01"),
        (LDAP, b"\x30\x80", UnexpectedReply, "starttls", "LDAP message was expected"),
        (LDAP, b"\x30\x05\x02\x01\x01\x78\x00", UnexpectedReply, "starttls", "malformed"),
        (LDAP, b"\x30\x05\x02\x7f\x01\x78\x00", UnexpectedReply, "starttls", "malformed .*beyond the end"),
        (LDAP, b"\x30\x00", UnexpectedReply, "starttls", "malformed"),
        (LDAP, b"220 mx\r\n", UnexpectedReply, "starttls", "says '22'; this looks like SMTP with STARTTLS"),
        (LDAP, b"\x15\x03\x01\x00\x02\x02\x46", UnexpectedReply, "starttls", "wants implicit TLS, try ldaps://"),
        (LDAP, b"\x30\x84\x7f\xff\xff\xff", ReplyTooLong, "starttls", "announces 2147483647 bytes, more than the 65536"),
        (LDAP, b"\x30\x85\x01\x01\x01\x01\x01", ReplyTooLong, "starttls", "a length of 5 bytes"),
        (IMAP, b"* OK {999999999}\r\n", ReplyTooLong, "greeting", "announces 999999999 bytes"),
        (POP3, b"+" * 8192, ReplyTooLong, "greeting", "a line of more than 8192 bytes .* it begins '"),
        (SMTP, b"220-spam\r\n" * 6554, ReplyTooLong, "greeting", "more than 65536 bytes before TLS"),
        (IMAP, b"* OK\r\n" + b"* x{1\r\n" * 9363, ReplyTooLong, "starttls", "more than 65536 bytes before TLS"),
        (IMAP, b"* OK {x{0}\n" + b"{x{0}\n" * 10923, ReplyTooLong, "greeting", "more than 65536 bytes before TLS"),
        (POP3, b"+OK\r\n+OK\r\nMAIL FROM:<x>", PlaintextAfterStartTls, "starttls", "'MAIL FROM:<x>'; a broken server, or some"),
        (LDAP, ldap(0) + ldap(0), PlaintextAfterStartTls, "starttls", "plaintext behind the go-ahead"),
    ],
)
def test_every_refusal_has_its_name_and_says_what_was_seen(
    protocol: Protocol, said: bytes, error: type[ProbeError], stage: str, words: str
) -> None:
    talk, _, raised = dialogue(protocol, said)
    assert (type(raised), talk.stage) == (error, stage)
    assert re.search(words, str(raised))
    assert str(raised).isprintable()
    assert len(str(raised)) < 600


def test_an_endless_line_is_named_alike_however_it_comes() -> None:
    pieces = ([b"+" * 20_000], [b"+" * 8191, b"+"], [b"+" * 5000, b"+" * 15_000])
    assert len({str(dialogue(POP3, *said)[2]) for said in pieces}) == 1


def test_a_talkative_server_s_transcript_is_bounded_and_visible() -> None:
    talk, _, _ = dialogue(SMTP, b"220-\x1b]0;\xe2\x80\xae\r\n" * 300)
    assert (len(talk.transcript), talk.transcript[0], talk.transcript[-1]) == (
        201,
        "S: 220-\\x1b]0;â\\x80®",
        "… and more",
    )
    assert talk.pending == ""


def test_what_came_of_an_unfinished_reply_is_at_hand() -> None:
    assert dialogue(POP3, b"+OK\r\n", b"+O\x00")[0].pending == "+O\\x00"


def test_tls_behind_the_go_ahead_is_kept_for_tls() -> None:
    talk, _, error = dialogue(POP3, GOOD[POP3][0] + b"\x15\x03", b"\x03\x00")
    assert (talk.done, talk.rest, error) == (True, b"\x15\x03\x03\x00", None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"220 mx", "try smtp://"),
        (b"* OK [CAPABILITY", "try imap://"),
        (b"+OK", "try pop3://"),
        (ldap(2), "try ldap://"),
        (b"HTTP/1.1 400\r\n\x1b", r"not TLS but 'HTTP/1.1 400\\\\x0d\\\\x0a\\\\x1b'; another service may listen"),
        (b"\x17\x03\x03", "another service may listen"),
    ],
)
def test_the_first_bytes_on_an_implicit_port_are_tls_or_named(data: bytes, words: str) -> None:
    with pytest.raises(NotTls, match=words):
        check_first_bytes(data, Security.IMPLICIT_TLS)
    for tls in (b"", b"\x16\x03\x03", b"\x15\x03\x01"):
        check_first_bytes(tls, Security.IMPLICIT_TLS)


EDITS = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 3), st.binary(max_size=4)), max_size=3)
CUTS = st.lists(st.integers(0, 100), max_size=8).map(sorted)


def edited(said: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, dropped, new in edits:
        said = said[:at] + new + said[at + dropped :]
    return said


@given(st.sampled_from(Protocol), EDITS | st.binary(), CUTS)
def test_any_split_of_the_same_bytes_gives_the_same_outcome(
    protocol: Protocol, said: bytes | list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = said if isinstance(said, bytes) else edited(GOOD[protocol][0], said)
    outcomes = []
    for pieces in ([data], [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]):
        talk, sent, error = dialogue(protocol, *pieces)
        words = "" if isinstance(error, PlaintextAfterStartTls) else str(error)  # it does not wait for more to show
        outcomes.append((talk.done, talk.stage, talk.transcript, type(error), words, error or (sent, talk.rest)))
    whole, split = outcomes
    assert whole[:5] == split[:5]
    assert whole[3] is not type(None) or whole[5] == split[5]


LINES = st.sampled_from([b"220-\n", b"250-x\r\n", b"* x\n", b"* {0}\n", b"x{3}\r\n", b"\x30\x83\x7f\0\0"])


@given(st.sampled_from(Protocol), st.just([]) | EDITS, st.integers(0, 3), LINES | st.binary(min_size=1), st.integers(600, 70_000))
@settings(deadline=None)
def test_any_bytes_without_end_come_to_the_go_ahead_or_to_an_error_by_name_and_are_not_hoarded(
    protocol: Protocol, edits: list[tuple[int, int, bytes]], lines: int, repeated: bytes, at_once: int
) -> None:
    beginning = b"".join(edited(GOOD[protocol][0], edits).splitlines(keepends=True)[:lines])
    endless = chain([beginning], repeat(repeated * (at_once // len(repeated) + 1)))
    talk, heard = Preamble(protocol), 0
    with suppress(ProbeError):
        while not talk.done:
            heard += len(said := next(endless))
            talk.receive(said)
            assert heard <= LONGEST_PLAINTEXT + LONGEST_LINE + len(said)
    assert len(talk.transcript) <= 201
    assert all(line.isprintable() and len(line) < 1500 for line in talk.transcript)
