from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest

from allegra_tls_kit.endpoint import SCHEMES, Security
from allegra_tls_kit.errors import (
    ConnectFailed,
    ConnectionLost,
    HandshakeFailed,
    NameNotResolved,
    ProbeTimeout,
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
    context_of,
    decent,
    refusing,
    resetting,
    resolver_threads,
    saying,
    then,
    tls,
    unanswering,
)

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


def test_a_connection_reset_before_the_greeting_says_so() -> None:
    with Server(resetting) as server, pytest.raises((ConnectionLost, ConnectFailed), match="Connection reset by peer"):
        probe(server.endpoint("smtp"))


def test_a_refused_connection_says_what_was_tried() -> None:
    with refusing() as endpoint:
        (result,) = probe_all([endpoint])
    assert isinstance(result, ProbeFailure)
    assert (type(result.error), result.stage, result.address) == (ConnectFailed, "connect", None)
    assert f"{endpoint}: no connection (127.0.0.1: Connection refused); check host" in str(result.error)


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
