"""Allegra's ancestor as a client, `AllegraMail.java`: JavaMail and JNDI in a JVM that learns of its store as there.

Each JVM is ended by its process id. Nothing is written but below a folder of the caller's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import allegra_tls_kit as kit
from allegra_tls_kit.effective import TRUSTED
from tests.conftest import absent
from tests.debian import ADMIN, PASSWORD, dovecot, postfix, slapd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allegra_tls_kit.demo_ca import Identity

PACKAGE = "libmail-java"
JARS = (Path("/usr/share/java/javax.mail.jar"), Path("/usr/share/java/javax.activation.jar"))
SHOWS_THE_CAUSE = tuple(f"-Dmail.{protocol}.socketFactory.fallback=false" for protocol in ("imap", "pop3"))
"""Keeps JavaMail from trying again in plaintext what TLS has refused, which the ancestor lets it do."""
_OPTIONS = ("-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.language=en")
_BOUNDS = tuple(
    f"-Dmail.{protocol}.{bound}=30000" for protocol in ("smtp", "imap", "pop3") for bound in ("connectiontimeout", "timeout")
)
_FROM_OUTSIDE = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}


@dataclass(frozen=True)
class Attempt:
    """One connection: Allegra's home, the label of its security mode, and the server."""

    home: Path
    mode: str
    endpoint: kit.Endpoint

    @property
    def line(self) -> str:
        protocol, user = self.endpoint.protocol, ADMIN if self.endpoint.protocol is kit.Protocol.LDAP else "somebody"
        words = (self.home, self.mode, protocol.value, self.endpoint.host, self.endpoint.port, user, PASSWORD)
        return "\t".join(map(str, words))


@dataclass(frozen=True)
class Client:
    classes: Path

    @contextmanager
    def jvm(self, java: Path, *options: str) -> Iterator[Callable[[Attempt], str]]:
        """Give a JVM that makes one connection after the other: `OK`, or the exceptions with tabs between."""
        path = os.pathsep.join(map(str, (self.classes, *JARS)))
        command = [java, *_OPTIONS, *_BOUNDS, *options, "-cp", path, "AllegraMail"]
        environment = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, env=environment, encoding="utf-8") as process:  # type: ignore[call-overload]
            try:
                yield lambda attempt: _answer(process, attempt)
            finally:
                process.kill()

    def says(self, java: Path, *attempts: Attempt, options: tuple[str, ...] = SHOWS_THE_CAUSE) -> list[str]:
        """Make these connections in one fresh JVM."""
        with self.jvm(java, *options) as connect:
            return [connect(attempt) for attempt in attempts]


def _answer(process: subprocess.Popen[str], attempt: Attempt) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(f"{attempt.line}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the JVM ended: {process.stderr.read()}")
    return answer.removesuffix("\n")


def compiled(java: Path, folder: Path) -> Client:
    missing = [str(jar) for jar in JARS if not jar.exists()]
    if missing:
        absent(f"{' '.join(missing)} is not there; as root: apt-get install --no-install-recommends {PACKAGE}")
    compiler = java.resolve().with_name("javac")
    if not compiler.exists():
        absent(f"no compiler beside {java}")
    source = Path(__file__).parent / "java" / "AllegraMail.java"
    subprocess.run([compiler, "-cp", JARS[0], "-d", folder, source], check=True, timeout=100)
    return Client(folder)


def java_with_its_own_cacerts(java: Path, folder: Path) -> Path:
    """Make the same Java in another folder; all is linked but its `cacerts`, and what it finds its own folder by."""
    home = java.resolve().parents[1]
    unused = shutil.ignore_patterns("docs", "include", "jmods", "legal", "man")
    shutil.copytree(home, folder, copy_function=os.symlink, ignore=unused)
    for name in ("bin/java", "lib/server/libjvm.so", "lib/security/cacerts"):
        (folder / name).unlink()
        shutil.copy(home / name, folder / name)
    return folder / "bin" / "java"


def located(home: Path, java: Path) -> kit.Allegra:
    return kit.locate(home, processes=(), environ={"JAVA_HOME": str(java.resolve().parents[1])})


@contextmanager
def servers(identity: Identity, folder: Path) -> Iterator[dict[str, kit.Endpoint]]:
    with ExitStack() as running:
        starts = (postfix, dovecot, slapd)
        each = [running.enter_context(start(identity.chain_pem, identity.key_pem, folder)) for start in starts]
        yield {scheme: endpoint for endpoints in each for scheme, endpoint in endpoints.items()}


def heard(answer: str) -> str:
    """`trusted`, or what the JVM says of TLS, without the alert that newer ones put in front; else all of it."""
    refusal = re.search(r"javax\.net\.ssl\.SSL\w+: (?:\([a-z_]+\) )?([^\t]*)", answer)
    return refusal[1] if refusal else TRUSTED if answer == "OK" else answer
