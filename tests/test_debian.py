from __future__ import annotations

import imaplib
import poplib
import smtplib
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit import ber
from allegra_tls_kit.demo_ca import Identity, Terms, private_authority
from tests.debian import ADMIN, PASSWORD, dovecot, postfix, slapd

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from allegra_tls_kit.endpoint import Endpoint

    Start = Callable[[bytes, bytes, Path], AbstractContextManager[dict[str, Endpoint]]]

NOW = datetime.now(UTC)
AUTHORITY = private_authority(NOW)
IDENTITIES = {"private CA": AUTHORITY.issue(Terms(), NOW), "self-signed": AUTHORITY.issue(Terms(self_signed=True), NOW)}


@pytest.fixture(params=IDENTITIES)
def identity(request: pytest.FixtureRequest) -> Identity:
    return IDENTITIES[request.param]


@pytest.fixture
def trusting(identity: Identity) -> ssl.SSLContext:
    """Trusts the private root, or the self-signed certificate, and nothing else; so an intermediate has to be sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.reference)
    return context


def leaf_of(client: socket.socket | None) -> bytes | None:
    assert isinstance(client, ssl.SSLSocket)
    return client.getpeercert(binary_form=True)


def test_postfix_presents_the_certificate_and_takes_a_mail(identity: Identity, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    with postfix(identity.chain_pem, identity.key_pem, tmp_path) as at:
        with smtplib.SMTP(at["smtp"].host, at["smtp"].port, timeout=10) as client:
            client.starttls(context=trusting)
            assert leaf_of(client.sock) == identity.chain[0]
            assert client.sendmail("me@demo.test", ["you@demo.test"], "Subject: hello\r\n\r\nhello\r\n") == {}
        with smtplib.SMTP_SSL(at["smtps"].host, at["smtps"].port, timeout=10, context=trusting) as client:
            assert leaf_of(client.sock) == identity.chain[0]


def test_dovecot_presents_the_certificate_and_opens_a_mailbox(
    identity: Identity, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    with dovecot(identity.chain_pem, identity.key_pem, tmp_path) as at:
        with imaplib.IMAP4(at["imap"].host, at["imap"].port, timeout=10) as imap:
            imap.starttls(trusting)
            assert leaf_of(imap.sock) == identity.chain[0]
            assert imap.login("somebody", PASSWORD)[0] == "OK"
            assert imap.select() == ("OK", [b"0"])
        with imaplib.IMAP4_SSL(at["imaps"].host, at["imaps"].port, timeout=10, ssl_context=trusting) as imap:
            assert leaf_of(imap.sock) == identity.chain[0]
        pop = poplib.POP3(at["pop3"].host, at["pop3"].port, timeout=10)
        pop.stls(trusting)
        assert leaf_of(pop.sock) == identity.chain[0]
        pop.user("somebody")
        pop.pass_(PASSWORD)
        assert pop.stat() == (0, 0)
        pop.quit()
        pop = poplib.POP3_SSL(at["pop3s"].host, at["pop3s"].port, timeout=10, context=trusting)
        assert leaf_of(pop.sock) == identity.chain[0]
        pop.quit()


def test_slapd_presents_the_certificate_and_lets_the_administrator_bind(
    identity: Identity, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    bind = ber.encode(
        0x60,
        ber.encode(ber.INTEGER, b"\x03"),
        ber.encode(ber.OCTET_STRING, ADMIN.encode()),
        ber.encode(0x80, PASSWORD.encode()),
    )
    with slapd(identity.chain_pem, identity.key_pem, tmp_path) as at:
        for name, endpoint in at.items():
            with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as line:
                if name == "ldap":
                    assert result_of(line, ber.encode(0x77, ber.encode(0x80, b"1.3.6.1.4.1.1466.20037"))) == (0x78, 0)
                with trusting.wrap_socket(line, server_hostname=endpoint.host) as secure:
                    assert leaf_of(secure) == identity.chain[0]
                    assert result_of(secure, bind) == (0x61, 0)


def result_of(line: socket.socket, operation: bytes) -> tuple[int, int]:
    """Put one LDAP operation to the server: the tag of its answer and the result code."""
    line.sendall(ber.encode(ber.SEQUENCE, ber.encode(ber.INTEGER, b"\x01"), operation))
    _, answer = ber.elements(ber.element(line.recv(4096), ber.SEQUENCE).content)
    return answer.tag, ber.elements(answer.content)[0].content[0]


@pytest.mark.parametrize("start", [postfix, dovecot, slapd])
def test_two_of_a_kind_run_side_by_side_and_leave_no_port_open(start: Start, tmp_path: Path) -> None:
    used = IDENTITIES["private CA"]
    with ExitStack() as running:
        endpoints = [
            endpoint
            for _ in range(2)
            for endpoint in running.enter_context(start(used.chain_pem, used.key_pem, tmp_path)).values()
        ]
        for endpoint in endpoints:
            socket.create_connection((endpoint.host, endpoint.port), timeout=10).close()
    for endpoint in endpoints:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((endpoint.host, endpoint.port), timeout=10)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)slapd did not start: .*TLS"), slapd(b"no chain", b"no key", tmp_path):
        pass


@pytest.mark.parametrize("start", [postfix, dovecot, slapd])
def test_who_is_not_root_is_told_so_and_not_left_with_a_server_half_started(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("ALLEGRA_TLS_KIT_NO_SKIPS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="as root"), start(b"", b"", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
