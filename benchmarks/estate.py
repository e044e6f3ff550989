"""A whole estate on loopback: CPU beside a floor in C and beside threads, walls beside what the servers take; Linux only."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from estate_servers import FIRST_PORT, SCRIPTS, Orders, running
from side_by_side import cpu_of

import allegra_tls_kit as kit
from allegra_tls_kit.demo_ca import SERVER_NAME, Terms, private_authority
from allegra_tls_kit.endpoint import SCHEMES
from allegra_tls_kit.handshake import context

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

ROUNDS = 7
IN_FLIGHT = 64
TIMEOUT = 5.0
DELAY = 0.1
MOST_REPLIES = 4
"""Of SMTP: greeting, EHLO, STARTTLS, the flight of TLS."""
HEAD = f"{'what':58} {'kit':>10} {'other':>10} {'ratio':>8}"
FLOOR = Path(__file__).with_name("floor.c")
WORDS = {"smtp": (b"EHLO x\r\n", b"STARTTLS\r\n"), "imap": (b"a1 STARTTLS\r\n",), "pop3": (b"STLS\r\n",), "imaps": ()}


def hosts(count: int, network: int = 1) -> list[str]:
    """Return addresses of loopback, other ones in each network."""
    return [f"127.{network}.{number // 250}.{number % 250 + 1}" for number in range(count)]


def endpoints(of: Sequence[str]) -> list[kit.Endpoint]:
    """Return four endpoints a host, in an order that is always the same."""
    schemes = [(FIRST_PORT + number, *SCHEMES[scheme][:2]) for number, scheme in enumerate(SCRIPTS)]
    found = [kit.Endpoint(host, *scheme, SERVER_NAME) for host in of for scheme in schemes]
    random.Random(7).shuffle(found)  # noqa: S311 - any order will do
    return found


def row(name: str, ours: str, other: str = "", ratio: str = "") -> None:
    """Print one row of the table."""
    print(f"{name:58} {ours:>10} {other:>10} {ratio:>8}", flush=True)


def scheme_of(endpoint: kit.Endpoint) -> str:
    """Return the scheme of an endpoint."""
    return endpoint.url.partition(":")[0]


def with_threads(asked: Sequence[kit.Endpoint]) -> None:
    """Take the leaf of each the way most scripts do: blocking sockets in threads, one shared context."""

    def one(endpoint: kit.Endpoint) -> bytes | None:
        words = WORDS[scheme_of(endpoint)]
        with socket.create_connection((endpoint.host, endpoint.port)) as line:
            for word in words:
                line.recv(4096)
                line.sendall(word)
            if words:
                line.recv(4096)
            with context().wrap_socket(line, server_hostname=SERVER_NAME) as secure:
                return secure.getpeercert(binary_form=True)

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(one, asked))


def with_kit(asked: Sequence[kit.Endpoint]) -> None:
    """Take the chain of each, and read every certificate."""
    for result in kit.probe_all(asked, in_flight=IN_FLIGHT):
        assert isinstance(result, kit.Probe), result  # noqa: S101 - otherwise it is no measurement
        for der in result.chain:
            kit.certificate_facts(der)


def floor_of(asked: Sequence[kit.Endpoint], program: Path) -> float:
    """Return the CPU seconds of the floor; NaN where there is no compiler or no header of OpenSSL."""
    if not program.exists():
        return float("nan")
    lines = "".join(f"{scheme_of(endpoint)} {endpoint.host} {endpoint.port}\n" for endpoint in asked)
    command = [str(program), str(IN_FLIGHT)]
    complete, seconds = subprocess.run(command, input=lines, capture_output=True, check=True, text=True).stdout.split()  # noqa: S603
    assert int(complete) == len(asked)  # noqa: S101 - as above
    return float(seconds)


def measure_cpu(certificate: str, folder: Path) -> None:
    """Probe 1,000 live servers, in turn with the floor and with threads."""
    of = hosts(250)
    asked, program = endpoints(of), folder / "floor"
    if shutil.which("cc"):
        command = ["cc", "-O2", "-o", str(program), str(FLOOR), "-lssl", "-lcrypto"]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    with running(Orders(certificate, of)):
        with_kit(asked)
        rounds = [
            (cpu_of(lambda: with_kit(asked)), floor_of(asked, program), cpu_of(lambda: with_threads(asked)))
            for _ in range(ROUNDS)
        ]
    ours, floor, threads = (statistics.median(column) * 1000 / len(asked) for column in zip(*rounds, strict=True))
    for name, other in (("C and OpenSSL, no result", floor), ("64 threads, leaf only", threads)):
        row(f"CPU, ms a live server, beside {name}", f"{ours:.3f}", f"{other:.3f}", f"{ours / other:.2f}")


def memory(name: str) -> float:
    """Return a figure of this process in MB, as `VmHWM`, its peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def measure_dead(certificate: str, count: int, executor: Executor | None = None) -> None:
    """Probe an estate of which 30 % are dead: a third of those drop packets, a third never say a word, a third refuse."""
    live, mute, dropping, refusing = (hosts(count // 40 * share, network) for network, share in ((1, 7), (2, 1), (3, 1), (4, 1)))
    asked = endpoints([*live, *mute, *dropping, *refusing])
    with running(Orders(certificate, live[::2], mute=mute), Orders(certificate, live[1::2], dropping=dropping)):
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak begins anew
        before, started = memory("VmRSS"), time.monotonic()
        results = kit.probe_all(asked, timeout=TIMEOUT, executor=executor)
        took = time.monotonic() - started
        growth = memory("VmHWM") - before
    seen = sum(isinstance(result, kit.Probe) for result in results)
    assert seen == len(asked) * 7 // 10, seen  # noqa: S101 - as above
    where = ", two processes" if executor else f", growth {growth:.0f} MB"
    row(f"{count:,} servers, 30 % dead{where}; timeout", f"{took:.2f} s", f"{TIMEOUT:.2f} s", f"{took / TIMEOUT:.2f}")


def measure_slow(certificate: str) -> None:
    """Probe 1,000 servers that take their time before each reply."""
    of = hosts(250)
    asked = endpoints(of)
    with running(Orders(certificate, of[::2], DELAY), Orders(certificate, of[1::2], DELAY)):
        started = time.monotonic()
        results = kit.probe_all(asked)
        took = time.monotonic() - started
    assert all(isinstance(result, kit.Probe) for result in results)  # noqa: S101 - as above
    least = MOST_REPLIES * DELAY
    row("1,000 servers, 100 ms before each reply; slowest dialogue", f"{took:.2f} s", f"{least:.2f} s", f"{took / least:.2f}")


def measure_interrupt(certificate: str) -> None:
    """Stop a look at dead servers by hand."""
    mute, dropping = hosts(125, 2), hosts(125, 3)
    stopped: list[float] = []

    def stop() -> None:
        stopped.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    with running(Orders(certificate, mute=mute, dropping=dropping)):
        threading.Timer(1.0, stop).start()
        try:
            kit.probe_all(endpoints([*mute, *dropping]), timeout=60)
        except kit.Interrupted as error:
            took = time.monotonic() - stopped[0]
            row(f"Ctrl-C, {len(error.results):,} dead servers outstanding", f"{took:.3f} s")


def identity_in(folder: Path) -> str:
    """Write a key and its chain for all servers into a folder; return the path."""
    now = datetime.now(UTC)
    identity = private_authority(now).issue(Terms(), now)
    path = folder / "server.pem"
    path.write_bytes(identity.key_pem + identity.chain_pem)
    return str(path)


def main() -> None:
    """Print the table."""
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        certificate = identity_in(Path(name))
        measure_dead(certificate, 10_000)  # first, while the memory of this process is young
        measure_dead(certificate, 1_000)
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
            measure_dead(certificate, 1_000, executor)
        measure_slow(certificate)
        measure_cpu(certificate, Path(name))
        measure_interrupt(certificate)
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs; the servers share them")


if __name__ == "__main__":
    main()
