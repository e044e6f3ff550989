"""CPU of the kit beside a baseline, task by task, in turn; prints medians and their ratio."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import allegra_tls_kit as kit
from allegra_tls_kit.demo_ca import Terms, private_authority
from allegra_tls_kit.handshake import context

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
PROBES = 300
FEW = 10
ENTRIES = 150
SERVER = """
import sys, time, allegra_tls_kit as kit
lab = kit.demo()
print(lab.endpoints["ldaps"].port, flush=True)
sys.stdin.read()
lab.stop()
"""


def cpu_of(task: Callable[[], object]) -> float:
    """Return the CPU seconds, user and system, of this process and the programs that it started and waited for."""
    before = _cpu()
    task()
    return _cpu() - before


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def side_by_side(name: str, count: int, ours: Callable[[], object], theirs: Callable[[], object], baseline: str) -> None:
    """Run both in turn and print milliseconds of CPU for one of `count`, and the ratio."""
    rounds = [(cpu_of(ours), cpu_of(theirs)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(column) / count * 1000 for column in zip(*rounds, strict=True))
    print(f"{name:44} {mine:10.3f} {other:10.3f}  {other / mine:8.2f}x  {baseline}")


def with_threads(port: int) -> None:
    """Take the leaf the way most scripts do: blocking sockets in threads, one shared context."""

    def one(_: int) -> bytes | None:
        with socket.create_connection(("127.0.0.1", port)) as line, context().wrap_socket(line) as secure:
            return secure.getpeercert(binary_form=True)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, range(PROBES)))


def with_openssl(port: int) -> None:
    """Ask openssl, one process for each server."""
    for _ in range(FEW):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603


def measure_probing() -> None:
    """Probe one server of a laboratory in another process, so that only the client's CPU is counted."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None and server.stdin is not None  # noqa: S101, PT018
        port = int(server.stdout.readline())
        endpoint = kit.Endpoint.parse(f"ldaps://127.0.0.1:{port}")
        side_by_side(
            f"probe a server, {PROBES} at once",
            PROBES,
            lambda: kit.probe_all([endpoint] * PROBES, in_flight=64),
            lambda: with_threads(port),
            "threads, blocking sockets, leaf only",
        )
        if shutil.which("openssl"):
            few = [endpoint] * FEW
            ours, theirs = partial(kit.probe_all, few), partial(with_openssl, port)
            side_by_side("the same, a few", FEW, ours, theirs, "openssl s_client -showcerts")
        server.stdin.close()


def measure_import(folder: Path) -> None:
    """Import one certificate into a store of 150, journal and backup and synced files included."""
    now = datetime.now(UTC)
    ders = [private_authority(now).issue(Terms(self_signed=True), now).chain[0] for _ in range(ENTRIES + 1)]
    journal = kit.Journal(folder / "journal.jsonl")
    base, work, extra = folder / "base.ks", folder / "work.ks", folder / "extra.der"
    plan = kit.plan_import(kit.read_keystore(base), ders[:ENTRIES], purpose="base")
    kit.apply(plan, journal, confirm=plan.id)
    extra.write_bytes(ders[-1])

    def ours() -> None:
        shutil.copyfile(base, work)
        one = kit.plan_import(kit.read_keystore(work, "changeit"), [ders[-1]], purpose="one more")
        kit.apply(one, journal, confirm=one.id)

    def theirs() -> None:
        shutil.copyfile(base, work)
        command = [
            "keytool",
            "-importcert",
            "-noprompt",
            "-alias",
            "x",
            "-file",
            str(extra),
            "-keystore",
            str(work),
            "-storepass:env",
            "P",
        ]
        subprocess.run(command, env=os.environ | {"P": "changeit"}, capture_output=True, check=True)  # noqa: S603

    side_by_side(f"import one certificate into {ENTRIES} entries", 1, ours, theirs, "keytool -importcert")


def main() -> None:
    """Print the table."""
    print(f"{'task':44} {'kit, ms':>10} {'other, ms':>10}  {'less by':>9}  baseline")
    measure_probing()
    if shutil.which("keytool"):
        with tempfile.TemporaryDirectory() as folder:
            measure_import(Path(folder))
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import allegra_tls_kit"], check=True)
    empty = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    print(f"import allegra_tls_kit: {(empty - start - (time.monotonic() - empty)) * 1000:.0f} ms over an empty Python")
    print(f"{ssl.OPENSSL_VERSION}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
