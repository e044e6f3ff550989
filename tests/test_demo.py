from __future__ import annotations

import imaplib
import poplib
import smtplib
import socket
import ssl
import struct
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from allegra_tls_kit import ber
from allegra_tls_kit.certificate import certificate_facts, certificates_in
from allegra_tls_kit.choice import check_fingerprint
from allegra_tls_kit.demo import SERVERS, Absence, Laboratory, demo
from allegra_tls_kit.demo_ca import SERVER_NAME
from allegra_tls_kit.endpoint import Endpoint, Protocol, Security
from allegra_tls_kit.handshake import chain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRESENTING = [name for name, (_, presents) in SERVERS.items() if not isinstance(presents, Absence)]
START_TLS = ber.encode(0x80, b"1.3.6.1.4.1.1466.20037")
BIND = ber.encode(0x60, b"\x02\x01\x03\x04\x00\x80\x00")
UNBIND = b"\x42\x00"


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    with demo() as running:
        yield running


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def raw(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection((endpoint.host, endpoint.port), timeout=5)


def asked(line: socket.socket, operation: bytes, number: int = 1) -> tuple[int, int, int]:
    """Put one LDAP operation to the server: the answer's message number, tag and result code."""
    line.sendall(ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, bytes([number])), operation))
    said, answer = ber.elements(ber.element(line.recv(4096), ber.SEQUENCE).content)
    return said.content[0], answer.tag, ber.elements(answer.content)[0].content[0]


def tls_socket(client: object) -> ssl.SSLSocket:
    assert isinstance(client, ssl.SSLSocket)
    return client


@contextmanager
def session(endpoint: Endpoint, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A whole visit with the standard library's own client: TLS, a word about it, and goodbye."""
    starttls, at = endpoint.security is Security.STARTTLS, (endpoint.host, endpoint.port)
    match endpoint.protocol:
        case Protocol.SMTP:
            smtp = smtplib.SMTP(*at, timeout=5) if starttls else smtplib.SMTP_SSL(*at, timeout=5, context=context)
            if starttls:
                assert smtp.starttls(context=context)[0] == 220
            assert smtp.ehlo()[0] == 250
            assert not smtp.has_extn("starttls")
            assert smtp.docmd("STARTTLS")[0] == 502
            yield tls_socket(smtp.sock)
            assert smtp.quit()[0] == 221
        case Protocol.IMAP:
            imap = imaplib.IMAP4(*at, timeout=5) if starttls else imaplib.IMAP4_SSL(*at, timeout=5, ssl_context=context)
            if starttls:
                assert imap.starttls(context)[0] == "OK"
            assert imap.login("somebody", "whatever")[0] == "OK"
            assert imap.capabilities == ("IMAP4REV1",)
            yield tls_socket(imap.sock)
            assert imap.logout()[0] == "BYE"
        case Protocol.POP3:
            pop = poplib.POP3(*at, timeout=5) if starttls else poplib.POP3_SSL(*at, timeout=5, context=context)
            if starttls:
                assert pop.stls(context).startswith(b"+OK")
            assert pop.user("somebody") == pop.pass_("whatever") == b"+OK"
            assert pop.stat() == (0, 0)
            assert "STLS" not in pop.capa()
            yield tls_socket(pop.sock)
            assert pop.quit().startswith(b"+OK")
        case Protocol.LDAP:
            with raw(endpoint) as line:
                if starttls:
                    assert asked(line, ber.encode(0x77, START_TLS)) == (1, 0x78, 0)
                with context.wrap_socket(line, server_hostname=endpoint.server_name, suppress_ragged_eofs=False) as secure:
                    assert asked(secure, BIND, 2) == (2, 0x61, 0)
                    assert asked(secure, ber.encode(0x77, START_TLS), 3) == (3, 0x78, 1)
                    yield secure
                    secure.sendall(ber.encode(ber.SEQUENCE, b"\x02\x01\x04", UNBIND))
                    assert secure.recv(1) == b""


def presented(endpoint: Endpoint) -> tuple[bytes, ...]:
    with session(endpoint, trusting()) as secure:
        return chain_of(cast("ssl.SSLObject", secure))  # the two share the method, not a base class


@pytest.mark.parametrize("name", PRESENTING)
def test_every_server_starts_tls_logs_in_and_lets_go(laboratory: Laboratory, name: str) -> None:
    with session(laboratory.endpoints[name], trusting()) as secure:
        assert secure.version() == "TLSv1.3"


def test_the_table_shows_every_protocol_in_both_modes(laboratory: Laboratory) -> None:
    shown = {(endpoint.protocol, endpoint.security) for endpoint in laboratory.endpoints.values()}
    assert shown == {(protocol, security) for protocol in Protocol for security in Security}
    assert {endpoint.identity for endpoint in laboratory.endpoints.values()} == {SERVER_NAME}


VERDICTS = {
    "smtp": "ok",
    "smtps-self-signed": "self-signed certificate",
    "imap": "ok",
    "imaps-expires-soon": "ok",
    "imaps-wrong-name": "Hostname mismatch",
    "pop3-no-intermediate": "unable to get local issuer certificate",
    "pop3s-expired": "certificate has expired",
    "ldap-self-signed": "self-signed certificate",
    "ldaps": "ok",
}


@pytest.mark.parametrize("name", PRESENTING)
def test_openssl_with_the_private_root_sees_the_situation_that_the_name_promises(laboratory: Laboratory, name: str) -> None:
    verdict = "ok"
    try:
        with session(laboratory.endpoints[name], ssl.create_default_context(cafile=laboratory.ca_file)):
            pass
    except ssl.SSLCertVerificationError as error:
        verdict = error.verify_message
    assert verdict.startswith(VERDICTS[name])


def test_the_chains_are_as_long_as_the_table_says(laboratory: Laboratory) -> None:
    lengths = {name: len(presented(laboratory.endpoints[name])) for name in PRESENTING}
    assert lengths == {
        "smtp": 3,
        "smtps-self-signed": 1,
        "imap": 2,
        "imaps-expires-soon": 2,
        "imaps-wrong-name": 2,
        "pop3-no-intermediate": 1,
        "pop3s-expired": 2,
        "ldap-self-signed": 1,
        "ldaps": 2,
    }


def test_a_whole_chain_ends_in_the_root_that_the_provider_hands_over(laboratory: Laboratory) -> None:
    *_, root = presented(laboratory.endpoints["smtp"])
    assert certificates_in(laboratory.ca_file.read_bytes(), "ca") == (root,)
    assert certificate_facts(root).is_ca


@pytest.mark.parametrize("name", ["smtps-self-signed", "ldap-self-signed"])
def test_a_self_signed_certificate_is_the_everyday_one(laboratory: Laboratory, name: str) -> None:
    facts = certificate_facts(presented(laboratory.endpoints[name])[0])
    assert facts.self_signed
    assert not facts.is_ca
    assert facts.subject_alt_name == ("DNS:localhost", "DNS:mail.demo.test", "IP:127.0.0.1")


def test_times_left_are_relative_to_now(laboratory: Laboratory) -> None:
    def days_left(name: str) -> float:
        facts = certificate_facts(presented(laboratory.endpoints[name])[0])
        assert facts.not_before < datetime.now(UTC)
        assert timedelta(days=90) <= facts.not_after - facts.not_before <= timedelta(days=91)
        return (facts.not_after - datetime.now(UTC)) / timedelta(days=1)

    assert days_left("ldaps") == pytest.approx(90, abs=0.1)
    assert days_left("imaps-expires-soon") == pytest.approx(10, abs=0.1)
    assert days_left("pop3s-expired") == pytest.approx(-10, abs=0.1)


def test_the_reference_is_of_the_root_where_the_chain_leads_to_it_and_of_the_leaf_elsewhere(laboratory: Laboratory) -> None:
    assert list(laboratory.reference_fingerprints) == PRESENTING
    root = certificates_in(laboratory.ca_file.read_bytes(), "ca")[0]
    own = {"smtps-self-signed", "ldap-self-signed", "pop3-no-intermediate"}
    for name, reference in laboratory.reference_fingerprints.items():
        check_fingerprint(presented(laboratory.endpoints[name])[0] if name in own else root, reference)


def test_nobody_listens_where_the_table_says_so(laboratory: Laboratory) -> None:
    with pytest.raises(ConnectionRefusedError):
        raw(laboratory.endpoints["smtp-refused"])


def test_the_silent_server_accepts_and_says_nothing_whatever_it_hears(laboratory: Laboratory) -> None:
    with raw(laboratory.endpoints["imaps-silent"]) as line:
        line.sendall(b"hello?")
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            line.recv(1)


def test_the_home_is_there_and_has_no_keystore_folder(laboratory: Laboratory) -> None:
    assert list(laboratory.home.iterdir()) == []


def test_a_renewed_server_presents_another_key_from_the_next_connection_on() -> None:
    with demo() as laboratory:
        before, references = presented(laboratory.endpoints["smtps-self-signed"]), dict(laboratory.reference_fingerprints)
        laboratory.renew("smtps-self-signed")
        laboratory.renew("pop3s-expired")
        after = presented(laboratory.endpoints["smtps-self-signed"])
        assert after != before
        check_fingerprint(after[0], laboratory.reference_fingerprints["smtps-self-signed"])
        assert laboratory.reference_fingerprints["smtps-self-signed"] != references["smtps-self-signed"]
        assert laboratory.reference_fingerprints["pop3s-expired"] == references["pop3s-expired"]
        with session(laboratory.endpoints["pop3s-expired"], ssl.create_default_context(cafile=laboratory.ca_file)):
            pass
        for name in ("smtp-refused", "imaps-silent", "unknown"):
            with pytest.raises(KeyError, match=name):
                laboratory.renew(name)


def test_stop_closes_the_ports_ends_the_threads_and_removes_the_home_also_twice() -> None:
    threads, handles = set(threading.enumerate()), psutil.Process().num_fds()
    laboratory = demo()
    presented(laboratory.endpoints["ldaps"])
    laboratory.stop()
    laboratory.stop()
    assert set(threading.enumerate()) == threads
    assert psutil.Process().num_fds() == handles
    assert not laboratory.home.parent.exists()
    for endpoint in laboratory.endpoints.values():
        with pytest.raises(ConnectionRefusedError):
            raw(endpoint)


def test_stop_hangs_up_on_those_who_are_still_there() -> None:
    with demo() as laboratory:
        lines = [raw(laboratory.endpoints[name]) for name in ("imaps-silent", "smtp", "ldaps", "imaps-wrong-name")]
        lines[3] = trusting().wrap_socket(lines[3])
        assert lines[1].recv(3) == b"220"
        begin = time.monotonic()
        laboratory.stop()
        assert time.monotonic() - begin < 5
    for line in lines:
        with closing(line):
            while line.recv(4096):
                pass


def test_two_laboratories_share_nothing() -> None:
    with demo() as one, demo() as other:
        assert one.home != other.home
        assert one.ca_file.read_bytes() != other.ca_file.read_bytes()
        assert {e.port for e in one.endpoints.values()}.isdisjoint(e.port for e in other.endpoints.values())
        one.stop()
        with session(other.endpoints["imap"], ssl.create_default_context(cafile=other.ca_file)):
            pass


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest.mark.parametrize("words", [b"", b"EHLO", b"EHLO me\r\nSTARTTLS\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xff" * 100_000])
@pytest.mark.parametrize("name", ["smtp", "smtps-self-signed", "ldap-self-signed"])
def test_a_client_that_leaves_in_the_middle_does_no_harm(
    laboratory: Laboratory, name: str, words: bytes, leave: Callable[[socket.socket], None]
) -> None:
    endpoint = laboratory.endpoints[name]
    line = raw(endpoint)
    with suppress(ConnectionError):
        line.sendall(words)
    leave(line)
    assert presented(endpoint)


def test_a_line_without_an_end_is_not_waited_for(laboratory: Laboratory) -> None:
    with raw(laboratory.endpoints["imap"]) as line:
        with suppress(ConnectionError):
            line.sendall(b"a" * 100_000)
        with suppress(ConnectionError):
            while line.recv(4096):
                pass


def test_what_is_not_known_is_refused_in_the_words_of_the_protocol(laboratory: Laboratory) -> None:
    for name, words, refusal in (
        ("smtp", b"FROBNICATE\r\n\r\n", b"502 "),
        ("imap", b"a7 FROBNICATE\r\n\r\n", b"a7 BAD "),
        ("pop3-no-intermediate", b"FROBNICATE\r\n\r\n", b"-ERR "),
    ):
        with raw(laboratory.endpoints[name]) as line, line.makefile("rb") as lines:
            lines.readline()
            line.sendall(words)
            assert lines.readline().startswith(refusal)
            assert lines.readline()


def test_a_line_that_comes_in_pieces_is_one_line(laboratory: Laboratory) -> None:
    with raw(laboratory.endpoints["imap"]) as line, line.makefile("rb") as lines:
        lines.readline()
        for piece in (b"a1 CAPA", b"BILITY", b"\r", b"\na2 NOOP\r\n"):
            line.sendall(piece)
            time.sleep(0.02)
        assert [lines.readline() for _ in range(3)] == [
            b"* CAPABILITY IMAP4rev1 STARTTLS\r\n",
            b"a1 OK done\r\n",
            b"a2 OK done\r\n",
        ]


def test_ldap_refuses_other_extended_operations_and_hangs_up_on_what_it_does_not_know(laboratory: Laboratory) -> None:
    with raw(laboratory.endpoints["ldap-self-signed"]) as line:
        assert asked(line, ber.encode(0x77, ber.encode(0x80, b"1.3.6.1.4.1.4203.1.11.3"))) == (1, 0x78, 2)
        assert asked(line, ber.encode(0x63, b"x" * 200), 2) == (2, 0x65, 0)
        line.sendall(ber.encode(ber.SEQUENCE, b"\x02\x01\x03", ber.encode(0x68)))
        assert line.recv(1) == b""
