from __future__ import annotations

import os
from pathlib import Path

import pytest

from allegra_tls_kit.java_home import default_truststore, java_home_at, java_home_of, java_version, owner, trust_file

JKS = b"\xfe\xed\xfe\xed\x00\x00\x00\x02"


def make_java(folder: Path, *, inner: str = "") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/false\n")
    (folder / "bin" / "java").chmod(0o755)
    (folder / inner / "lib" / "security").mkdir(parents=True)
    (folder / inner / "lib" / "security" / "cacerts").write_bytes(JKS)
    (folder / "release").write_text('IMPLEMENTOR="Somebody"\nJAVA_VERSION="21.0.8"\nJAVA_VERSION_DATE="2025-07-15"\n')
    return folder


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    return make_java(tmp_path / "jdk-21")


def test_a_jdk_of_java_8_has_its_home_in_jre(tmp_path: Path) -> None:
    jdk8 = make_java(tmp_path / "jdk8", inner="jre")
    (jdk8 / "lib" / "security").mkdir(parents=True)
    assert java_home_of(jdk8 / "bin" / "java") == java_home_at(jdk8) == java_home_at(jdk8 / "jre") == jdk8 / "jre"
    assert java_version(jdk8 / "jre") == "21.0.8"
    assert default_truststore(jdk8 / "jre").path == jdk8 / "jre" / "lib" / "security" / "cacerts"


def test_a_version_is_read_from_the_release_file_or_not_at_all(jdk: Path) -> None:
    (jdk / "release").write_bytes(b"JAVA_VERSION=17.0.1\xff\x1b\r\nX=1\n")
    assert java_version(jdk) == "17.0.1\ufffd\\x1b"
    (jdk / "release").write_bytes(b'OPENJDK_JAVA_VERSION="9"\n')
    assert java_version(jdk) is None
    (jdk / "release").unlink()
    assert java_version(jdk) is None


@pytest.mark.parametrize(
    ("magic", "store_type"),
    [
        (JKS, "JKS"),
        (b"\xce\xce\xce\xce", "JCEKS"),
        (b"\x30\x82\x01\x00", "PKCS12"),
        (b"-----BEGIN CERTIFICATE", None),
        (b"", None),
        (b"\xfe\xed", None),
    ],
)
def test_a_store_type_is_told_by_the_first_bytes(magic: bytes, store_type: str | None, tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(magic)
    seen = trust_file(tmp_path / "store")
    assert (seen.store_type, seen.exists, seen.readable, seen.owned_by) == (store_type, True, True, None)


def test_a_jssecacerts_is_read_instead_of_cacerts(jdk: Path) -> None:
    security = jdk / "lib" / "security"
    assert default_truststore(jdk).shadows is None
    (security / "jssecacerts").mkdir()
    assert default_truststore(jdk).path == security / "cacerts"
    (security / "jssecacerts").rmdir()
    (security / "jssecacerts").write_bytes(b"\x30\x82\x01\x00")
    store = default_truststore(jdk)
    assert (store.path, store.shadows, store.store_type) == (security / "jssecacerts", security / "cacerts", "PKCS12")
    assert str(store) == f"{security}/jssecacerts, PKCS12, read instead of cacerts"


def test_the_link_and_its_target_are_both_told(jdk: Path, tmp_path: Path) -> None:
    cacerts, target = jdk / "lib" / "security" / "cacerts", tmp_path / "system" / "cacerts"
    cacerts.unlink()
    cacerts.symlink_to(target)
    store = default_truststore(jdk)
    assert (store.path, store.real_path, store.exists, store.readable) == (cacerts, target, False, False)
    assert str(store) == f"{cacerts} → {target}, which does not exist"
    target.parent.mkdir()
    target.write_bytes(JKS)
    assert str(default_truststore(jdk)) == f"{cacerts} → {target}, JKS"


def test_a_loop_of_links_is_a_store_that_does_not_exist(jdk: Path) -> None:
    cacerts = jdk / "lib" / "security" / "cacerts"
    cacerts.unlink()
    cacerts.symlink_to(cacerts)
    assert not default_truststore(jdk).exists


def test_a_store_that_may_not_be_read_is_told_from_one_that_is_not_there(jdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refused)
    store = default_truststore(jdk)
    assert (store.exists, store.readable, store.store_type) == (True, False, None)
    assert "may not be read by this user" in str(store)


@pytest.mark.parametrize(
    ("place", "tool"),
    [
        ("/etc/ssl/certs/java/cacerts", "/usr/local/share/ca-certificates"),
        ("/etc/pki/ca-trust/extracted/java/cacerts", "update-ca-trust"),
        ("/opt/jdk/lib/security/cacerts", None),
    ],
)
def test_a_store_of_the_operating_system_names_its_writer(place: str, tool: str | None) -> None:
    words = owner(Path(place))
    assert words is None if tool is None else tool in str(words)


def test_what_is_no_regular_file_is_not_waited_for(jdk: Path) -> None:
    cacerts = jdk / "lib" / "security" / "cacerts"
    cacerts.unlink()
    os.mkfifo(cacerts)
    assert not default_truststore(jdk).exists
