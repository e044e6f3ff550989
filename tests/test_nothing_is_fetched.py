"""No address in a certificate is ever asked, and no verdict is taken from the TLS that showed it."""

from __future__ import annotations

import ssl
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit import handshake
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.static import Static
from tests.chains import Issued, alternatives, issue
from tests.hostile import pointing
from tests.misbehaving import Server, context_of, tls
from tests.shown import OTHER_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Canary(ThreadingHTTPServer):
    """A server on loopback to which every certificate points; it answers with the certificate that is missing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[object] = []
        self.answer = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/issuer.cer"

    def verify_request(self, _request: object, client_address: object) -> bool:
        """Note each connection, whatever is said in it."""
        self.asked.append(client_address)
        return True


class _Answer(BaseHTTPRequestHandler):
    server: Canary

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_GET  # noqa: N815 - the name that is called

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Canary]:
    with Canary() as canary:
        thread = threading.Thread(target=canary.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield canary
        finally:
            canary.shutdown()
            thread.join()


def pointing_chain(url: str) -> tuple[Issued, Issued, Issued]:
    """Leaf, intermediate and root, all of which say where to ask for issuer, revocation and policy."""
    root = issue("Canary Root", ca=True, extensions=pointing(url))
    intermediate = issue("Canary Intermediate", root, ca=True, extensions=pointing(url))
    names = alternatives("127.0.0.1", "mail.example.com")
    return issue("mail.example.com", intermediate, extensions=[names, *pointing(url)]), intermediate, root


def whole_way(endpoint: kit.Endpoint, anchor: bytes, folder: Path) -> kit.Verified:
    """Look, judge, plan, apply with a JVM as witness, verify with one, show, export and record."""
    store, journal = folder / "keystore" / "mail.ks", kit.open_journal(folder / "record")
    store.parent.mkdir(parents=True)
    result = journal.keep(kit.probe(endpoint))
    diagnosis = journal.keep(kit.judge(result, [OTHER_ROOT.der]))
    kit.diagnose(result.chain, "mail.example.com", [anchor], at=result.at, endpoint_identification="LDAPS")
    candidates = kit.anchor_candidates(diagnosis, [anchor])
    plan = kit.plan_import(kit.read_keystore(store), [anchor], purpose=kit.next_step(diagnosis))
    applied = kit.apply(plan, journal, confirm=plan.id)
    verified = kit.verify(applied, endpoint, journal)
    shown = [kit.show_server(result, diagnosis), *map(kit.show, (plan, applied, verified, kit.read_keystore(store)))]
    shown += [kit.show_survey([result], [anchor]), kit.show_candidates(candidates), kit.show_expiry([result])]
    whole = Static(tuple(part for each in shown for part in each.parts))
    assert all((whole.html(), whole.page(""), whole.markdown(), str(whole)))
    frame = kit.certificates_frame([result])
    kit.export_csv(frame, folder / "x.csv")
    kit.export_excel(frame, folder / "x.xlsx")
    (pem,) = kit.export_pem([result], folder)
    assert kit.read_certificates(pem) == result.chain
    assert kit.verify_record(kit.write_record(journal, notebook="").path).intact
    assert main(["probe", endpoint.url, "--truststore", str(store)]) == (0 if verified.trusted else 1)
    return verified


ASKING = ("enableAIAcaIssuers=true", "allowedAIALocations=any", "enableCRLDP=true")
"""What lets a JVM ask, where it is let near one."""


@pytest.mark.usefixtures("java")
def test_of_all_addresses_in_a_chain_none_is_asked_on_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", " ".join(f"-Dcom.sun.security.{option}" for option in ASKING))
    with serving() as canary:
        leaf, intermediate, root = pointing_chain(canary.url)
        canary.answer = intermediate.der
        with Server(tls(context_of(leaf, intermediate, root))) as server:
            verified = whole_way(server.endpoint("imaps"), root.der, tmp_path / "whole")
            assert (verified.trusted, verified.jvm) == (True, kit.JvmVerdict(trusted=True, message=None))
        with Server(tls(context_of(leaf))) as server:  # where asking would help
            verified = whole_way(server.endpoint("ldaps"), root.der, tmp_path / "incomplete")
            assert not verified.trusted
            assert verified.jvm is not None
            assert not verified.jvm.trusted
        assert canary.asked == []
        with urllib.request.urlopen(canary.url) as answer:  # so it would have been seen
            assert answer.read() == intermediate.der
        assert len(canary.asked) == 1


def test_no_verdict_comes_from_the_tls_that_showed_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf, intermediate, root = pointing_chain("http://127.0.0.1:9/")
    (tmp_path / "root.pem").write_text(ssl.DER_cert_to_PEM_cert(root.der))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))  # OpenSSL would trust the one and not the other
    handshake.context.cache_clear()
    context = handshake.context()
    assert (context.verify_mode, context.check_hostname, context.cert_store_stats()["x509"]) == (ssl.CERT_NONE, False, 0)
    stranger = issue("mail.example.com", OTHER_ROOT)
    with Server(tls(context_of(leaf, intermediate))) as one, Server(tls(context_of(stranger))) as other:
        results = kit.probe_all([one.endpoint("imaps"), other.endpoint("imaps")])
    loaded = kit.load_survey(kit.save_survey(results, tmp_path / "survey.jsonl"))
    for anchors, trusted in (([root.der], [True, False]), ([OTHER_ROOT.der], [False, True])):
        verdicts = [kit.judge(result, anchors) for result in results]
        assert [verdict.trusted for verdict in verdicts] == trusted
        assert [kit.judge(result, anchors) for result in loaded] == verdicts
