"""Changes of keystores beside keytool: CPU of the same change in turn, and a large store with its time and memory."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from side_by_side import ENTRIES, ROUNDS, side_by_side

import allegra_tls_kit as kit
from allegra_tls_kit.witness import jvm_at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from allegra_tls_kit.witness import Witness

FEW = 5
"""So many starts of keytool stand for 150."""
STORES = 20
MANY = 10_000
PASSWORD = ["-storepass:env", "P"]
ONE_CHANGE = """
import sys, allegra_tls_kit as kit
store, certificate, journal = sys.argv[1:]
before = kit.read_keystore(store, "changeit")
plan = kit.plan_import(before, kit.read_certificates(certificate), purpose="one more", aliases=["one more"])
kit.apply(plan, kit.Journal(journal), confirm=plan.id, witness=None)
"""


def authorities(count: int) -> list[bytes]:
    """Return as many certificates of about 700 bytes, which differ in name and number; one key signs them all."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Authority {number}")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), number + 1, now, now + timedelta(days=1))
        made.append(builder.sign(key, SHA256()).public_bytes(Encoding.DER))
    return made


def changed(store: Path, ders: Sequence[bytes], journal: kit.Journal, witness: Witness | None = None) -> None:
    """Read, plan and apply, with journal, backup and everything synced."""
    plan = kit.plan_import(kit.read_keystore(store, "changeit"), ders, purpose="benchmark")
    kit.apply(plan, journal, confirm=plan.id, witness=witness)


def keytool(store: Path, certificates: Sequence[Path]) -> None:
    """Import as an operator does: one start for each certificate."""
    for number, certificate in enumerate(certificates):
        command = ["keytool", "-importcert", "-noprompt", "-alias", f"x{number}", "-file", str(certificate)]
        where = ["-keystore", str(store), *PASSWORD]
        subprocess.run([*command, *where], env=os.environ | {"P": "changeit"}, capture_output=True, check=True)  # noqa: S603


def copies(base: Path, each: int = 1) -> Iterator[Path]:
    """Give copies of a store, so many for each round, made and brought to the disk before their time is taken."""
    folder = Path(tempfile.mkdtemp(dir=base.parent))
    made = [shutil.copyfile(base, folder / f"{number}{base.suffix}") for number in range(ROUNDS * each)]
    os.sync()
    return iter(made)


def measure_imports(folder: Path) -> None:
    """Import into a store of 150: one certificate, or 150 at once; JKS, and PKCS12 as keytool makes it."""
    ders = authorities(2 * ENTRIES)
    files = [folder / f"{number}.der" for number in range(FEW)]
    for file, der in zip(files, ders[ENTRIES:], strict=False):
        file.write_bytes(der)
    base = folder / "base.ks"
    journal = kit.Journal(folder / "journal.jsonl")
    changed(base, ders[:ENTRIES], journal)
    encrypted = base.with_suffix(".p12")
    copy = ["keytool", "-importkeystore", "-srckeystore", str(base), "-destkeystore", str(encrypted), "-deststoretype", "PKCS12"]
    passwords = ["-srcstorepass:env", "P", "-deststorepass:env", "P"]
    subprocess.run([*copy, *passwords], env=os.environ | {"P": "changeit"}, capture_output=True, check=True)  # noqa: S603
    one, all_ = ders[ENTRIES : ENTRIES + 1], ders[ENTRIES:]

    def ours(base: Path, ders: Sequence[bytes], witness: Witness | None = None, in_a_row: int = 1) -> Callable[[], None]:
        stores = copies(base, in_a_row)

        def task() -> None:
            for store in islice(stores, in_a_row):
                changed(store, ders, journal, witness)

        return task

    def theirs(base: Path, certificates: Sequence[Path]) -> Callable[[], None]:
        stores = copies(base)
        return lambda: keytool(next(stores), certificates)

    single, a_few = "keytool -importcert", f"keytool -importcert, {FEW} times for {ENTRIES}"
    side_by_side(f"one certificate into {ENTRIES} in JKS", 1, ours(base, one), theirs(base, files[:1]), single)
    task = f"the same, for {STORES} stores in a row"
    side_by_side(task, STORES, ours(base, one, in_a_row=STORES), theirs(base, files[:1]), single, times=STORES)
    task = f"one certificate into {ENTRIES} in PKCS12"
    side_by_side(task, 1, ours(encrypted, one), theirs(encrypted, files[:1]), single)
    task = "one into JKS, a JVM looks at the result"
    side_by_side(task, 1, ours(base, one, jvm_at_hand), theirs(base, files[:1]), single)
    for task, witness in ((f"{ENTRIES} certificates in one plan", None), ("the same, a JVM looks at the result", jvm_at_hand)):
        side_by_side(task, 1, ours(base, all_, witness), theirs(base, files), a_few, times=ENTRIES / FEW)


def measured(command: Sequence[str]) -> tuple[float, float, float]:
    """Run a program; return its seconds by the clock, its seconds of CPU, and its peak of memory in MB."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"P": "changeit"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0])
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure_a_large_one(folder: Path) -> None:
    """Import one certificate into 10,000: whole processes, from their start to their end."""
    *ders, one = authorities(MANY + 1)
    base, certificate = folder / "large.ks", folder / "one.der"
    certificate.write_bytes(one)
    changed(base, ders, kit.Journal(folder / "large.jsonl"))
    rows = {"kit": [sys.executable, "-c", ONE_CHANGE, "{store}", str(certificate), str(folder / "one.jsonl")]}
    if shutil.which("keytool"):
        rows["keytool"] = ["keytool", "-importcert", "-noprompt", "-file", str(certificate), "-keystore", "{store}", *PASSWORD]
    print(f"\none certificate into {MANY:,} ({base.stat().st_size / 1e6:.1f} MB)   {'s':>8} {'CPU, s':>8} {'peak, MB':>9}")
    for name, command in rows.items():
        runs = [measured([part.format(store=copy) for part in command]) for copy in copies(base)]
        seconds, cpu, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:40} {seconds:8.2f} {cpu:8.2f} {memory:9.0f}")


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.which("keytool"):
            print(f"{'task':44} {'kit, ms':>10} {'other, ms':>10}  {'less by':>9}  baseline")
            measure_imports(folder)
        else:
            print("not measured beside keytool: there is none on the PATH")
        measure_a_large_one(folder)
    print(f"Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
