"""What several tests need: a Java, and a loud word where something is missing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import pytest

from allegra_tls_kit.demo import Laboratory, demo
from allegra_tls_kit.endpoint import Endpoint
from allegra_tls_kit.errors import JavaError
from allegra_tls_kit.evidence import RECORDS_VARIABLE
from allegra_tls_kit.journal import Journal
from allegra_tls_kit.jvm import find_java
from tests.changing import LONG_AGO, made
from tests.shown import CANARY
from tests.stores import TRUSTED, Stores, make_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

JavaSays = Callable[[Endpoint, Path | None], str]


def absent(what: str) -> NoReturn:
    """Skip the test and say what is missing; fail instead where ALLEGRA_TLS_KIT_NO_SKIPS is set."""
    if os.environ.get("ALLEGRA_TLS_KIT_NO_SKIPS"):
        pytest.fail(f"NOT TESTED, and skipping is forbidden here: {what}")
    pytest.skip(f"NOT TESTED: {what}")


@pytest.fixture(scope="session")
def java() -> Path:
    """The java executable of JAVA_HOME or PATH."""
    try:
        return find_java()
    except JavaError as error:
        absent(str(error))


@pytest.fixture(scope="session")
def stores(java: Path, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Keystores of every kind that keytool makes."""
    return make_stores(java, tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="session", autouse=True)
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the records of all tests go: none under the home of whoever runs them."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RECORDS_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    """The embedded laboratory, for tests that leave it as it is."""
    with demo() as running:
        yield running


def compared(laboratory: Laboratory, folder: Path) -> dict[str, str]:
    """Parameters of an import into a store in this folder, in which all but the confirmation is given."""
    return {
        "ENDPOINT": laboratory.endpoints["smtp"].url,
        "HOME": str(laboratory.home),
        "KEYSTORE": str(folder / "keystore" / "localhost.ks"),
        "REFERENCE": laboratory.reference_fingerprints["smtp"],
        "REFERENCE_FROM": "the provider, by telephone",
    }


@pytest.fixture
def given(laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The same under a password that must show nowhere."""
    monkeypatch.setenv("STOREPASS_OF_TEST", CANARY)
    return compared(laboratory, tmp_path) | {"PASSWORD_FROM": "env:STOREPASS_OF_TEST"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, unlike `tmp_path`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def java_words(java: Path, tmp_path_factory: pytest.TempPathFactory) -> JavaSays:
    classes = tmp_path_factory.mktemp("classes")
    javac = java.resolve().with_name("javac")
    if not javac.exists():
        absent(f"no compiler beside {java}")
    subprocess.run([javac, "-d", classes, Path(__file__).parent / "java" / "Connect.java"], check=True)

    def ask(endpoint: Endpoint, store: Path | None) -> str:
        """Return what a JVM says that is started with this store and no password, or with nothing."""
        scheme, _, _ = endpoint.url.partition(":")
        option = [] if store is None else [f"-Djavax.net.ssl.trustStore={store}"]
        command = [str(java), "-Xmx64m", *option, "-cp", str(classes), "Connect", scheme, endpoint.identity, str(endpoint.port)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    return ask


@pytest.fixture(scope="session")
def java_says(java_words: JavaSays) -> JavaSays:
    """The same without the alert that newer JVMs put in front."""
    return lambda endpoint, store: re.sub(r"^REFUSED \([a-z_]+\) ", "REFUSED ", java_words(endpoint, store))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal of this test's own, in a record folder."""
    return Journal(tmp_path / "record" / "journal.jsonl")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A JKS with one entry that is not ours, last changed long ago."""
    path = tmp_path / "keystore" / "mail.example.com.ks"
    path.parent.mkdir()
    path.write_bytes(made({"theirs": TRUSTED.der}))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path
