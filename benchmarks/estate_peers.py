"""The tools that people have, asked for the certificates of the same servers, and what stands around a look; Linux only."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from estate import HEAD, IN_FLIGHT, endpoints, hosts, identity_in, row, scheme_of, with_kit
from estate_servers import Orders, running
from side_by_side import cpu_of

import allegra_tls_kit as kit
from allegra_tls_kit.demo_ca import SERVER_NAME, Terms, private_authority

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL, FEW, SOME, ROUNDS = 500, 100, 20, 3
RESULTS = 10_000


@dataclass(frozen=True)
class Peer:
    """A tool, how many servers it is asked for, and the programs to start for that."""

    name: str
    count: int
    commands: Sequence[Sequence[str]]


def peers(asked: Sequence[kit.Endpoint], folder: Path) -> list[Peer]:
    """Return the tools; some take many servers at once, some have to be started for each."""
    targets = [f"{endpoint.host}:{endpoint.port}" for endpoint in asked]
    few, listed, urls = (folder / name for name in ("few", "hosts", "urls"))
    few.write_text("\n".join(endpoint.host for endpoint in asked[:FEW]), "ascii")
    listed.write_text("\n".join(endpoint.host for endpoint in asked), "ascii")
    urls.write_text("".join(f'url = "https://{target}/"\noutput = "/dev/null"\n' for target in targets), "ascii")
    openssl = ["openssl", "s_client", "-showcerts", "-servername", SERVER_NAME, "-connect"]
    nmap = ["nmap", "-n", "-Pn", "-p", str(asked[0].port), "--script", "+ssl-cert", "-iL"]
    curl = ["curl", "-s", "-k", "-Z", "--parallel-max", str(IN_FLIGHT), "-K", str(urls)]
    return [
        Peer("openssl s_client, one start each", SOME, [[*openssl, target] for target in targets[:SOME]]),
        Peer(
            "keytool -printcert, one start each", SOME, [["keytool", "-printcert", "-sslserver", each] for each in targets[:SOME]]
        ),
        Peer("sslyze --certinfo", SOME, [["sslyze", "--certinfo", *targets[:SOME]]]),
        Peer(f"nmap --script ssl-cert, {FEW} servers", FEW, [[*nmap, str(few)]]),
        Peer(f"nmap --script ssl-cert, {ALL} servers", ALL, [[*nmap, str(listed)]]),
        Peer(f"curl -Z, {IN_FLIGHT} at once, no certificate", ALL, [curl]),
    ]


def run(commands: Sequence[Sequence[str]]) -> None:
    """Run programs one after the other, with nothing to read, whatever they think of the certificate."""
    for command in commands:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603


def measure_peers(folder: Path) -> None:
    """Ask servers with implicit TLS, which all the tools know, in turn with each tool."""
    of = hosts(ALL)
    asked = [endpoint for endpoint in endpoints(of) if scheme_of(endpoint) == "imaps"]
    with running(Orders(identity_in(folder), of)):
        with_kit(asked)
        for peer in peers(asked, folder):
            if shutil.which(peer.commands[0][0]) is None:
                row(f"CPU, ms a live server; {peer.name}", "", "not here")
                continue
            ask, others = partial(with_kit, asked[: peer.count]), partial(run, peer.commands)
            rounds = [(cpu_of(ask), cpu_of(others)) for _ in range(ROUNDS)]
            ours, other = (statistics.median(column) * 1000 / peer.count for column in zip(*rounds, strict=True))
            row(f"CPU, ms a live server; {peer.name}", f"{ours:.3f}", f"{other:.3f}", f"1/{other / ours:.1f}")


def measure_import() -> None:
    """Import the package in a Python of its own."""
    walls = []
    for code in ("import allegra_tls_kit", ""):
        started = time.monotonic()
        for _ in range(ROUNDS):
            subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
        walls.append((time.monotonic() - started) / ROUNDS)
    row(
        "import allegra_tls_kit; a Python that imports nothing",
        f"{walls[0]:.2f} s",
        f"{walls[1]:.2f} s",
        f"{walls[0] / walls[1]:.1f}",
    )


def measure_frames() -> None:
    """Make the two frames of many results; a first frame has loaded pandas, and no certificate was read before."""
    now = datetime.now(UTC)
    authority = private_authority(now)
    chains = [authority.issue(Terms(name=f"mail{number}.demo.test"), now).chain for number in range(RESULTS)]
    asked = endpoints(hosts(RESULTS // 4))
    first = kit.Probe(asked[0], now, chains[0], "TLSv1.3", "TLS_AES_256_GCM_SHA384", asked[0].host, (), False, 0.01)  # noqa: FBT003
    kit.certificates_frame([first])
    results = [replace(first, endpoint=each, chain=chain) for each, chain in zip(asked, chains, strict=True)]
    for name, frame in (("survey_frame", kit.survey_frame), ("certificates_frame", kit.certificates_frame)):
        started = time.monotonic()
        rows = len(frame(results))
        row(f"{name} of {RESULTS:,} results, {rows:,} rows", f"{time.monotonic() - started:.2f} s")


def main() -> None:
    """Print the table."""
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        measure_peers(Path(name))
    measure_import()
    measure_frames()
    print(f"Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
