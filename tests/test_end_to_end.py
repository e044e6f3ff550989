"""The main job through its real parts: servers that nobody here wrote, keytool, a JVM that reads the store as Allegra's does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import allegra_tls_kit as kit
from allegra_tls_kit.__main__ import main
from allegra_tls_kit.demo_ca import Identity, Terms, private_authority
from tests.debian import dovecot, postfix, slapd

if TYPE_CHECKING:
    from tests.conftest import JavaSays

NOW = datetime.now(UTC)
AUTHORITY = private_authority(NOW)
IDENTITIES = {"private-ca": AUTHORITY.issue(Terms(), NOW), "self-signed": AUTHORITY.issue(Terms(self_signed=True), NOW)}
PKIX = (
    "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: "
    "unable to find valid certification path to requested target"
)
Servers = Callable[[bytes, bytes, Path], AbstractContextManager[dict[str, kit.Endpoint]]]


@pytest.fixture
def keytool(java: Path) -> Callable[..., str]:
    def run(*arguments: str | Path) -> str:
        command = [java.resolve().with_name("keytool"), "-J-Duser.language=en", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def imported(endpoint: kit.Endpoint, store: Path, journal: kit.Journal, password: str | None = "changeit") -> kit.Applied:
    """Import what the kit recommends for a server, as a person would who has compared the fingerprint."""
    result = journal.keep(kit.probe(endpoint))
    best = kit.anchor_candidates(kit.judge(result, kit.read_keystore(store).anchors))[0]
    assert best.recommended
    plan = kit.plan_import(kit.read_keystore(store, password), [best.der], purpose=f"trust {endpoint}")
    return kit.apply(plan, journal, confirm=plan.id, password=password)


@pytest.mark.parametrize("kind", IDENTITIES)
@pytest.mark.parametrize("servers", [postfix, dovecot, slapd])
def test_java_refuses_before_trusts_after_and_refuses_after_the_rollback(
    servers: Servers, kind: str, java_says: JavaSays, journal: kit.Journal, tmp_path: Path
) -> None:
    identity: Identity = IDENTITIES[kind]
    home = tmp_path / "home"
    home.mkdir()
    with servers(identity.chain_pem, identity.key_pem, tmp_path) as endpoints:
        store = kit.locate(home).keystore_for("localhost")
        for endpoint in endpoints.values():
            assert kit.probe(endpoint).chain == identity.chain
            assert java_says(endpoint, store) == f"REFUSED {PKIX}"
            assert kit.judge(kit.probe(endpoint), kit.default_anchors(kit.locate(home))).message == PKIX

        applied = imported(next(iter(endpoints.values())), store, journal)
        for endpoint in endpoints.values():
            assert java_says(endpoint, store) == "TRUSTED"
            verified = kit.verify(applied, endpoint, journal)
            assert verified.trusted
            assert verified.jvm == kit.JvmVerdict(trusted=True, message=None)

        back = kit.plan_rollback(applied, kit.read_keystore(store, "changeit"))
        undone = kit.apply(back, journal, confirm=back.id, password="changeit")
        for endpoint in endpoints.values():
            assert java_says(endpoint, store) == f"REFUSED {PKIX}"
            assert not kit.verify(undone, endpoint, journal).trusted
    assert kit.read_record(journal.path.parent).outcome is kit.Outcome.UNDONE


def test_keytool_reads_the_new_store(keytool: Callable[..., str], journal: kit.Journal, tmp_path: Path) -> None:
    store = tmp_path / "keystore" / "localhost.ks"
    with kit.demo() as laboratory:
        imported(laboratory.endpoints["smtp"], store, journal)
    listed = keytool("-list", "-keystore", store, "-storepass", "changeit")
    assert "Keystore type: JKS" in listed
    assert listed.count("trustedCertEntry") == 1


@pytest.mark.parametrize("form", ["JKS", "passwordless PKCS12", "encrypted PKCS12"])
def test_an_import_into_cacerts_adds_to_what_java_trusts(  # noqa: PLR0913, PLR0917 - fixtures
    form: str, java: Path, java_says: JavaSays, keytool: Callable[..., str], journal: kit.Journal, tmp_path: Path
) -> None:
    store = tmp_path / "cacerts"
    other = tmp_path / "other.pem"
    other.write_bytes(IDENTITIES["private-ca"].chain_pem)
    if form == "JKS":
        shutil.copyfile(java.resolve().parents[1] / "lib" / "security" / "cacerts", store)
    else:
        plain = ("-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE", "-J-Dkeystore.pkcs12.macAlgorithm=NONE")
        options = plain if form.startswith("passwordless") else ()
        words = ("-importcert", "-noprompt", "-alias", "other", "-file", other, "-keystore", store, "-storepass", "changeit")
        keytool(*options, *words)
    before = kit.read_keystore(store, "changeit")
    with kit.demo() as laboratory:
        endpoint = laboratory.endpoints["smtp"]
        assert java_says(endpoint, store).startswith("REFUSED")
        applied = imported(endpoint, store, journal)
        assert java_says(endpoint, store) == "TRUSTED"
        assert kit.verify(applied, endpoint, journal).trusted
    listed = keytool("-list", "-keystore", store, "-storepass", "changeit")
    assert listed.count("trustedCertEntry") == len(before.entries) + 1
    assert applied.backup is not None
    assert kit.read_keystore(applied.backup, "changeit").sha256 == before.sha256

    back = kit.plan_rollback(applied, kit.read_keystore(store, "changeit"))
    kit.apply(back, journal, confirm=back.id, password="changeit")
    assert kit.read_keystore(store, "changeit").entries == before.entries


@pytest.mark.parametrize("name", ["imaps-wrong-name", "ldaps", "pop3s-expired", "smtps-self-signed", "pop3-no-intermediate"])
def test_the_kit_says_of_the_laboratory_what_java_says(name: str, java_says: JavaSays) -> None:
    with kit.demo() as laboratory:
        endpoint = laboratory.endpoints[name]
        store = kit.read_truststore()
        assert store is not None
        said = java_says(endpoint, None)
        assert said == f"REFUSED {kit.judge(kit.probe(endpoint), store.anchors).message}"


@pytest.mark.usefixtures("java")  # its cacerts are what is judged by
def test_probe_in_a_shell_shows_chain_verdict_and_next_step_of_a_real_postfix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = IDENTITIES["private-ca"]
    with postfix(identity.chain_pem, identity.key_pem, tmp_path) as endpoints:
        assert main(["probe", endpoints["smtp"].url]) == 1
    shown = capsys.readouterr().out
    assert "250-STARTTLS" in shown
    assert kit.keytool_notation(kit.certificate_facts(identity.chain[1]).sha256) in shown
    assert "✖ Java refuses localhost: PKIX path building failed" in shown
    assert "Next: import the intermediate certificate Demo Issuing CA" in shown
