from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from allegra_tls_kit.endpoint import SCHEMES, Security
from allegra_tls_kit.errors import (
    ConnectFailed,
    ConnectionLost,
    HandshakeFailed,
    NameNotResolved,
    NotTls,
    PlaintextAfterStartTls,
    ProbeError,
    ProbeTimeout,
    StartTlsNotOffered,
    StartTlsRefused,
)
from allegra_tls_kit.probe import probe, probe_all
from allegra_tls_kit.survey import Probe, ProbeFailure
from tests.chains import issue, rsa_key
from tests.conftest import absent
from tests.misbehaving import (
    GO_AHEAD,
    LINUX,
    Server,
    answering,
    chain,
    closing,
    context_of,
    decent,
    dripping,
    hearing,
    refusing,
    resetting,
    resolver_threads,
    saying,
    silent,
    then,
    tls,
    unanswering,
)

if TYPE_CHECKING:
    from tests.misbehaving import Talk

ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # fatal, handshake_failure


# --- what a decent server shows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_chain_comes_back_as_sent_leaf_first(scheme: str) -> None:
    protocol, security, _ = SCHEMES[scheme]
    upgraded = security is Security.STARTTLS
    before = datetime.now(UTC)
    with Server(then(saying(*GO_AHEAD[protocol]), tls(decent())) if upgraded else tls(decent())) as server:
        result = probe(server.endpoint(scheme), timeout=10)
    assert result.chain == tuple(issued.der for issued in chain())
    assert (result.endpoint, result.address) == (server.endpoint(scheme), "127.0.0.1")
    assert (result.tls_version, result.client_certificate) == ("TLSv1.3", False)
    assert result.cipher.startswith("TLS_")
    assert bool(result.transcript) is upgraded
    assert result.at.tzinfo is UTC
    assert before <= result.at <= datetime.now(UTC)
    assert 0 < result.seconds < 10


@pytest.mark.parametrize("version", [v for v in ssl.TLSVersion if v.name.startswith("TLSv1")])
def test_servers_that_speak_one_version_only_are_seen(version: ssl.TLSVersion) -> None:
    if not getattr(ssl, f"HAS_{version.name}"):
        absent(f"this OpenSSL was built without {version.name}")
    with Server(tls(context_of(*chain(), version=version))) as server:
        result = probe(server.endpoint("imaps"))
    assert (result.tls_version.replace(".", "_").removesuffix("_0"), len(result.chain)) == (version.name, 2)


def test_a_certificate_nobody_should_use_is_shown_all_the_same() -> None:
    weak = issue("old.example.com", key=rsa_key(1024), digest="sha1")
    with Server(tls(context_of(weak))) as server:
        assert probe(server.endpoint("ldaps")).chain == (weak.der,)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_a_wish_for_a_client_certificate_is_noticed_and_the_chain_kept(version: ssl.TLSVersion, mode: ssl.VerifyMode) -> None:
    with Server(tls(context_of(*chain(), version=version, client_certificate=mode))) as server:
        (result,) = probe_all([server.endpoint("imaps")])
    assert result.chain == tuple(issued.der for issued in chain())
    if version is ssl.TLSVersion.TLSv1_2 and mode is ssl.CERT_REQUIRED:  # in TLS 1.3 the refusal comes after the handshake
        assert isinstance(result, ProbeFailure)
        assert (type(result.error), result.stage) == (HandshakeFailed, "handshake")
        assert "alert" in str(result.error)
    else:
        assert isinstance(result, Probe)
        assert result.client_certificate is True


def test_the_name_asked_for_is_the_server_name_or_the_host_if_it_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"mail.example.com": [(socket.AF_INET, "127.0.0.1")]})
    other, context, asked = issue("xn--mller-kva.example"), context_of(*chain()), []

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        asked.append(name)
        if name is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context_of(other) if name == "xn--mller-kva.example" else context
        return None

    context.sni_callback = choose
    with Server(tls(context)) as server:
        nameless = server.endpoint("imaps")
        with pytest.raises(HandshakeFailed, match="alert unrecognized_name"):
            probe(nameless)
        assert probe(server.endpoint("imaps", "Müller.example")).chain == (other.der,)
        assert probe(server.endpoint("imaps", host="mail.example.com")).chain[0] == chain()[0].der
    assert asked == [None, "xn--mller-kva.example", "mail.example.com"]


# --- what can go wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "talk", "error", "stage", "words"),
    [
        ("smtp", closing, ConnectionLost, "greeting", "closed the connection while waiting for the greeting$"),
        ("smtp", saying(b"220 m\x1b"), ConnectionLost, "greeting", "waiting for the greeting, after '220 m"),
        ("imap", then(saying(b"* OK\r\n", b""), closing), ConnectionLost, "starttls", "closed .* asking for STARTTLS$"),
        ("pop3", then(saying(b"+OK\r\n", b""), resetting), ConnectionLost, "starttls", "broke while asking for STARTTLS"),
        ("ldap", then(hearing, closing), ConnectionLost, "starttls", "closed"),
        ("ldap", then(saying(*GO_AHEAD["ldap"]), hearing, closing), ConnectionLost, "handshake", "closed .* shaking hands$"),
        ("imaps", then(hearing, closing), ConnectionLost, "handshake", "closed .* shaking hands$"),
        ("imaps", then(hearing, resetting), ConnectionLost, "handshake", "broke while shaking hands"),
        ("imaps", closing, ConnectionLost, "handshake", "connection"),
        ("imaps", saying(b"", b"\x16\x03\x03\x00\x40\x02"), ConnectionLost, "handshake", "closed"),
        ("imaps", saying(b"", ALERT), HandshakeFailed, "handshake", "ends the handshake with the alert handshake_failure"),
        ("imaps", saying(b"", b"\x16\x03\x03\x00\x05hello"), HandshakeFailed, "handshake", "the handshake failed: "),
        ("pop3", saying(b"+OK\r\n", b"+OK\r\n\x15", ALERT[1:]), HandshakeFailed, "handshake", "alert handshake_failure"),
        ("ldaps", saying(b"", b"HTTP/1.1 400 Bad Request\r\n"), NotTls, "handshake", "not TLS but 'HTTP/1.1 400"),
        ("smtps", saying(*GO_AHEAD["smtp"]), NotTls, "handshake", "looks like SMTP with STARTTLS: try smtp://"),
        ("ldaps", saying(b"", b"0\x0c\x02\x01\x00"), NotTls, "handshake", "try ldap://"),
        ("smtp", saying(b"220 a\r\n", b"250 a\r\n"), StartTlsNotOffered, "starttls", "offers nothing"),
        ("smtp", saying(b"220 a\r\n250 a\r\n"), StartTlsNotOffered, "starttls", "offers nothing"),
        ("imap", saying(b"* OK\r\n", b"a1 NO\r\n"), StartTlsRefused, "starttls", "refused: 'a1 NO'"),
        ("imap", saying(b"* OK\r\n", b"a1 OK\r\na2 OK\r\n"), PlaintextAfterStartTls, "starttls", "plaintext behind"),
        ("imap", saying(b"* OK\r\n", b"a1 OK\r\n", b"a2 OK\r\n"), PlaintextAfterStartTls, "handshake", "plaintext behind"),
    ],
)
def test_each_way_to_fail_has_its_name_and_its_stage(
    scheme: str, talk: Talk, error: type[ProbeError], stage: str, words: str
) -> None:
    with Server(talk) as server:
        (result,) = probe_all([server.endpoint(scheme)])
        assert isinstance(result, ProbeFailure)
        assert (type(result.error), result.stage) == (error, stage)
        assert (result.chain, result.address) == ((), "127.0.0.1")
        assert bool(result.transcript) is (scheme in GO_AHEAD and stage != "greeting")
        with pytest.raises(error, match=words):
            probe(server.endpoint(scheme))


def test_a_connection_reset_before_the_greeting_says_so() -> None:
    with Server(resetting) as server, pytest.raises((ConnectionLost, ConnectFailed), match="Connection reset by peer"):
        probe(server.endpoint("smtp"))


def test_a_refused_connection_says_what_was_tried() -> None:
    with refusing() as endpoint:
        (result,) = probe_all([endpoint])
    assert isinstance(result, ProbeFailure)
    assert (type(result.error), result.stage, result.address) == (ConnectFailed, "connect", None)
    assert f"{endpoint}: no connection (127.0.0.1: Connection refused); check host" in str(result.error)


def test_the_deadline_is_the_total_however_slowly_a_server_talks() -> None:
    talks = {
        "smtp": (silent, "greeting", "the server is silent, as one is that waits for implicit TLS"),
        "pop3": (dripping(b"+OK ready"), "greeting", ", after '\\+O"),
        "imap": (then(saying(b"* OK\r\n"), silent), "starttls", "give it more time"),
        "ldap": (silent, "starttls", "give it more time"),
        "imaps": (silent, "handshake", "shaking hands took longer than 1.2 s"),
        "ldaps": (then(hearing, dripping(b"\x16\x03\x03\x00\x40")), "handshake", "shaking hands"),
    }
    with contextlib.ExitStack() as stack:
        endpoints = [stack.enter_context(Server(talk)).endpoint(scheme) for scheme, (talk, _, _) in talks.items()]
        started = time.monotonic()
        results = probe_all(endpoints, timeout=1.2)
        took = time.monotonic() - started
    assert 1.2 <= took < 3
    for result, (_, stage, words) in zip(results, talks.values(), strict=True):
        assert isinstance(result, ProbeFailure)
        assert (type(result.error), result.stage) == (ProbeTimeout, stage)
        with pytest.raises(TimeoutError, match=words):
            raise result.error


@LINUX
def test_a_host_that_drops_packets_ends_with_the_deadline_too() -> None:
    with unanswering() as endpoint, pytest.raises(ProbeTimeout, match=r"connecting took longer than 0\.3 s; a firewall"):
        probe(endpoint, timeout=0.3)


def test_the_resolver_is_inside_the_deadline_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    answering(monkeypatch, {"hangs.example": answer, "nowhere.example": unknown, "a.example": [(socket.AF_INET, "127.0.0.1")]})
    with Server(tls(decent())) as server:
        started = time.monotonic()
        hosts = ["hangs.example", "nowhere.example", "a.example", "127.0.0.1", "a.example", "hangs.example"]
        hung, nowhere, *good, hung_too = probe_all([server.endpoint("imaps", host=host) for host in hosts], timeout=0.5)
        assert time.monotonic() - started < 2
    for result in (hung, hung_too):
        assert isinstance(result, ProbeFailure)
        assert (type(result.error), result.stage, result.address) == (ProbeTimeout, "dns", None)
    assert isinstance(nowhere, ProbeFailure)
    assert (type(nowhere.error), nowhere.stage) == (NameNotResolved, "dns")
    assert "nowhere.example: no address (Name or service not known); check the spelling" in str(nowhere.error)
    assert all(isinstance(result, Probe) for result in good)
    answer.set()
    assert resolver_threads() == []


@pytest.mark.parametrize("first", [(socket.AF_INET6, "::1"), (250, "made-up"), (socket.AF_INET, "127.0.0.2")])
def test_the_second_address_is_taken_where_the_first_fails(monkeypatch: pytest.MonkeyPatch, first: tuple[int, str]) -> None:
    answering(monkeypatch, {"two.example": [first, (socket.AF_INET, "127.0.0.1")], "one.example": [first, first]})
    with Server(tls(decent())) as server:
        assert probe(server.endpoint("imaps", host="two.example")).address == "127.0.0.1"
        with pytest.raises(ConnectFailed, match=f"no connection \\({first[1]}: .*; {first[1]}: "):
            probe(server.endpoint("imaps", host="one.example"))


@LINUX
def test_the_second_address_has_its_share_of_the_time_where_the_first_is_dumb(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"two.example": [(socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1")]})
    with Server(tls(decent())) as server, unanswering("127.0.0.2", server.port):
        result = probe(server.endpoint("imaps", host="two.example"), timeout=1.0)
    assert result.address == "127.0.0.1"
    assert 0.5 <= result.seconds < 1.0
