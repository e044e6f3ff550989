"""CPU of the kit beside a baseline, task by task, in turn; prints medians and their ratio."""

from __future__ import annotations

import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import allegra_tls_kit as kit
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


def side_by_side(  # noqa: PLR0913, PLR0917 - a row of the table
    name: str, count: int, ours: Callable[[], object], theirs: Callable[[], object], baseline: str, times: float = 1
) -> None:
    """Run both in turn and print milliseconds of CPU for one of `count`, and the ratio; theirs counts so many times."""
    rounds = [(cpu_of(ours), cpu_of(theirs) * times) for _ in range(ROUNDS)]
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


def main() -> None:
    """Print the table."""
    print(f"{'task':44} {'kit, ms':>10} {'other, ms':>10}  {'less by':>9}  baseline")
    measure_probing()
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import allegra_tls_kit"], check=True)
    empty = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    print(f"import allegra_tls_kit: {(empty - start - (time.monotonic() - empty)) * 1000:.0f} ms over an empty Python")
    print(f"{ssl.OPENSSL_VERSION}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
