"""How long verdicts take: the model, a JVM asked the same, and chains that mean harm; prints seconds of the clock."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

import allegra_tls_kit as kit
from allegra_tls_kit.demo_ca import SERVER_NAME, Terms, private_authority
from allegra_tls_kit.errors import JavaError
from allegra_tls_kit.jvm import JvmCase, find_java

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 5
CHAINS = 1000
VERDICTS = 10_000
AUTHORITIES = 150
"""As many roots as a JDK brings in its cacerts."""
NOW = datetime.now(UTC)


def measure(name: str, count: int, task: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Run a task and print the seconds of its first round, the median of all, and microseconds for one of `count`."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    print(f"{name:54} {seconds[0]:8.2f} {median:8.2f} {median / count * 1e6:12.0f}", flush=True)


def signed(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a CA's certificate."""
    above, name = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (issuer, subject))
    valid = NOW - timedelta(days=1), NOW + timedelta(days=1)
    builder = x509.CertificateBuilder(above, name, key.public_key(), x509.random_serial_number(), *valid)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(signer, SHA256()).public_bytes(Encoding.DER)


def measure_everyday(folder: Path) -> None:
    """Judge 1,000 servers of 150 providers, ten times each, and put each to a JVM once."""
    authorities = [private_authority(NOW) for _ in range(AUTHORITIES)]
    anchors = [authority.root.public_bytes(Encoding.DER) for authority in authorities]
    chains = [authorities[number % AUTHORITIES].issue(Terms(), NOW).chain for number in range(CHAINS)]

    def model(count: int) -> list[bool]:
        """Each at an instant of its own, as probes have it."""
        instants = [NOW + timedelta(milliseconds=number) for number in range(count)]
        return [kit.diagnose(chains[n % CHAINS], SERVER_NAME, anchors, at=at).trusted for n, at in enumerate(instants)]

    measure(f"{CHAINS:,} chains judged, {AUTHORITIES} anchors", CHAINS, lambda: model(CHAINS))
    measure(f"{VERDICTS:,} verdicts on {CHAINS:,} chains", VERDICTS, lambda: model(VERDICTS))
    untrusted = [kit.diagnose(chain, SERVER_NAME, anchors[:1], at=NOW) for chain in chains]
    measure(f"{CHAINS:,} times the certificate to import", CHAINS, lambda: [*map(kit.anchor_candidates, untrusted)])
    try:
        find_java()
    except JavaError as error:
        print(f"not measured: {error}")
        return
    store = folder / "store.ks"
    plan = kit.plan_import(kit.read_keystore(store), anchors, purpose="benchmark")
    kit.apply(plan, kit.Journal(folder / "journal.jsonl"), confirm=plan.id)
    cases = [JvmCase(chain, store, SERVER_NAME) for chain in chains]
    measure(f"{CHAINS:,} chains put to a JVM, one start", CHAINS, lambda: kit.jvm_verdicts(cases))
    measure("one chain put to a JVM", 1, lambda: kit.jvm_verdicts(cases[:1]))
    assert model(CHAINS) == [verdict.trusted for verdict in kit.jvm_verdicts(cases)] == [True] * CHAINS  # noqa: S101


def measure_harm() -> None:
    """Judge chains that are long, go in circles or have many namesakes; each once, for the second time is remembered."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(100)]
    roots = [signed("Root", "Root", key, key) for key in keys]
    crossed = [signed("Root", "Root", key, keys[number - 1]) for number, key in enumerate(keys)]
    served = signed("server", "Root", keys[0], keys[0])
    circle = [signed("AB"[number % 2], "BA"[number % 2], keys[0], keys[0]) for number in range(8)]
    questions: list[tuple[str, Sequence[bytes], Sequence[bytes]]] = [
        ("10,000 times the same certificate", [served] * 10_000, roots[:1]),
        ("10,000 certificates", [served, *crossed * 100][:10_000], roots[:1]),
        ("100 roots of one name in the store", [served], roots),
        ("nine of 100 cross-signed roots, 100 in the store", [served, *crossed[50:59]], roots[::-1]),
        ("two CAs that issue for each other", [signed("server", "B", keys[0], keys[0]), served, *circle], roots),
    ]
    for name, chain, anchors in questions:
        measure(name, 1, partial(kit.diagnose, chain, "server", anchors, at=NOW), rounds=1)


def main() -> None:
    """Print the table."""
    print(f"{'task':54} {'first, s':>8} {'then, s':>8} {'µs for one':>12}")
    with tempfile.TemporaryDirectory() as folder:
        measure_everyday(Path(folder))
    measure_harm()
    print(f"Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
