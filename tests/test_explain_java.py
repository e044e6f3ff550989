"""The table of troubles against the words of the JVM and keytool at hand."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import jks
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from allegra_tls_kit.explain import explain
from allegra_tls_kit.jvm import JvmCase, jvm_verdicts
from tests.chains import FUTURE, NOW, PAST, Issued, alternatives, issue, rsa_key, usage
from tests.conftest import absent
from tests.scenarios_paths import CLIENT, HOST, LEAF, OTHER, ROOT

if TYPE_CHECKING:
    from pathlib import Path


def codes(text: str) -> list[str]:
    return [explanation.code for explanation in explain(text)]


def jks_store(path: Path, *anchors: Issued) -> Path:
    jks.KeyStore.new("jks", [jks.TrustedCertEntry.new(f"a{n}", a.der) for n, a in enumerate(anchors)]).save(str(path), "changeit")
    return path


def leaf(**changes: object) -> Issued:
    return issue(HOST, ROOT, **({"extensions": [alternatives(HOST)]} | changes))  # type: ignore[arg-type]


def test_what_this_jvm_says_of_chains_is_known(java: Path, tmp_path: Path) -> None:
    store = jks_store(tmp_path / "store", ROOT, OTHER)
    own, rsa = issue(HOST, ca=False), issue("RSA", ca=True, key=rsa_key())
    cases = {
        "untrusted": JvmCase((LEAF.der,), store),
        "no_anchors": JvmCase((LEAF.der,), jks_store(tmp_path / "none")),
        "expired": JvmCase((leaf(start=PAST, end=NOW).der,), store),
        "mismatched": JvmCase((leaf().der,), store, "other.example.com", "LDAPS"),
        "extended_key_usage": JvmCase((leaf(extensions=[x509.ExtendedKeyUsage([CLIENT])]).der,), store),
        "key_usage": JvmCase((leaf(extensions=[usage("key_cert_sign")]).der,), store),
        "not_a_ca": JvmCase((issue(HOST, leaf()).der, leaf().der), store),
        "issuer_key_differs": JvmCase((issue("Other", ca=True).der,), store),
        "bad_signature": JvmCase((issue(HOST, issue("Other", ca=True), key_ids=False).der,), store),
        "anchor_not_a_ca": JvmCase((issue(HOST, ca=False, key=own.key, end=FUTURE).der,), jks_store(tmp_path / "own", own)),
        "weak": JvmCase((issue(HOST, rsa, digest="md5").der,), jks_store(tmp_path / "rsa", rsa)),
        "malformed": JvmCase((b"garbage",), store),
    }
    said = {code: str(verdict.message) for code, verdict in zip(cases, jvm_verdicts([*cases.values()], java=java), strict=True)}
    assert {code: codes(message)[0] for code, message in said.items()} == {code: code for code in cases}, said


def test_what_this_jvm_says_of_files_that_are_no_keystores_is_known(java: Path, tmp_path: Path) -> None:
    whole = jks_store(tmp_path / "whole", ROOT).read_bytes()
    pem = ROOT.certificate.public_bytes(serialization.Encoding.PEM)
    files = {"empty": b"", "byte": b"0", "cut": whole[:200], "pem": pem, "text": b"hello"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    jks_store(tmp_path / "damaged", ROOT, Issued(b"garbage", ROOT.key))
    cases = {name: JvmCase((LEAF.der,), tmp_path / name) for name in (*files, "damaged")}
    said = {name: str(verdict.message) for name, verdict in zip(cases, jvm_verdicts([*cases.values()], java=java), strict=True)}
    assert codes(said["pem"]) == ["no_keystore_format"]
    assert {codes(message)[0] for message in said.values()} <= {"no_keystore_format", "ended_early"}, said


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_keytool_says_is_known(java: Path, tmp_path: Path, language: str) -> None:
    program = java.resolve().with_name("keytool")
    if not program.is_file():
        absent(f"no keytool beside {java}")
    store, root = jks_store(tmp_path / "store.ks", ROOT), tmp_path / "root.cer"
    root.write_bytes(ROOT.der)
    (tmp_path / "empty.ks").touch()

    def said(password: str, *arguments: str | Path) -> str:
        command = [program, f"-J-Duser.language={language}", *arguments, "-storepass:env", "WORD", "-noprompt"]
        result = subprocess.run(
            command, env={**os.environ, "WORD": password}, capture_output=True, check=False, cwd=tmp_path, timeout=60
        )
        assert result.returncode != 0
        return (result.stdout + result.stderr).decode("utf-8", "replace")

    add = ("-importcert", "-file")
    texts = {
        "wrong_store_password": said("wrongpw", "-list", "-keystore", store),
        "alias_exists": said("changeit", *add, root, "-alias", "a0", "-keystore", store),
        "password_too_short": said("abc", *add, root, "-keystore", "new.ks"),
        "not_a_certificate": said("changeit", *add, store, "-alias", "b", "-keystore", store),
        "file_not_opened": said("changeit", *add, root, "-keystore", "missing/mail.ks"),
        "keystore_empty": said("changeit", "-list", "-keystore", "empty.ks"),
        "no_keystore_format": said("changeit", "-list", "-keystore", root),
        "alias_unknown": said("changeit", "-delete", "-alias", "b", "-keystore", store),
    }
    assert {code: codes(text) for code, text in texts.items()} == {code: [code] for code in texts}, texts
    assert explain(texts["file_not_opened"])[0].keystore == "missing/mail.ks"
