from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.finding import FindingCode, Severity
from allegra_tls_kit.negotiation import HANDSHAKE_FAILURE, PROTOCOL_VERSION, negotiated
from tests.chains import alternatives, issue
from tests.misbehaving import Server, context_of, tls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import JavaSays

SELF = issue("localhost", extensions=[alternatives("localhost")])
MODERN = ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1.1"])
def test_old_versions_are_refused_by_every_java(version: str) -> None:
    for java_version in (11, 17, 25):
        said = negotiated(version, "ECDHE-RSA-AES256-SHA", java_version)
        assert said is not None
        assert (said[0].code, said[0].severity, said[1]) == (FindingCode.OLD_TLS, Severity.ERROR, PROTOCOL_VERSION)


@pytest.mark.parametrize("cipher", ["ECDHE-RSA-CAMELLIA256-SHA384", "ECDHE-ECDSA-AES128-CCM8", "DES-CBC3-SHA", "RC4-SHA"])
def test_suites_that_java_does_not_have_are_refused(cipher: str) -> None:
    said = negotiated("TLSv1.2", cipher)
    assert said is not None
    assert (said[0].severity, said[1]) == (Severity.ERROR, HANDSHAKE_FAILURE)
    assert cipher in said[0].detail


@pytest.mark.parametrize("cipher", ["TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA"])
def test_what_java_offers_too_is_no_finding(cipher: str) -> None:
    assert [negotiated(version, cipher, java) for version in MODERN for java in (11, 25)] == [None] * 4


def test_an_rsa_key_exchange_is_a_warning_and_from_java_25_on_an_error() -> None:
    now, later = negotiated("TLSv1.2", "AES128-GCM-SHA256", 21), negotiated("TLSv1.2", "AES128-GCM-SHA256", 25)
    assert now is not None
    assert later is not None
    assert (now[0].severity, now[1]) == (Severity.WARNING, None)
    assert (later[0].severity, later[1]) == (Severity.ERROR, HANDSHAKE_FAILURE)


WISHES = [
    (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", PROTOCOL_VERSION),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CAMELLIA256-SHA384", HANDSHAKE_FAILURE),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", None),
]


@pytest.mark.parametrize(("version", "ciphers", "message"), WISHES)
def test_a_server_that_java_will_not_talk_to_is_refused_as_java_does_though_its_certificate_is_trusted(
    version: ssl.TLSVersion, ciphers: str, message: str | None, java_says: JavaSays, tmp_path: Path
) -> None:
    context = context_of(SELF, version=version)
    context.set_ciphers(ciphers)
    store = tmp_path / "one.ks"
    plan = kit.plan_import(kit.read_keystore(store), [SELF.der], purpose="one")
    kit.apply(plan, kit.Journal(tmp_path / "journal.jsonl"), confirm=plan.id)
    with Server(tls(context)) as server:
        endpoint = server.endpoint("imaps", "localhost")
        diagnosis = kit.judge(kit.probe(endpoint), [SELF.der])
        said = java_says(endpoint, store)
    assert (diagnosis.trusted, diagnosis.message) == (message is None, message)
    assert said == ("TRUSTED" if message is None else f"REFUSED {message}")
    assert kit.anchor_candidates(diagnosis) == ()
    assert kit.next_step(diagnosis).startswith("nothing to import" if message is None else "no import cures this: the server")
