"""The same tasks with the kit, keytool, openssl and sslyze: outcome, files after, steps, time; prints Markdown; Linux only.

Everything is executed, on loopback and in temporary folders; what became of a store is told by a JVM, which opens it without a
password as Allegra does. A tool that cannot do a task at all has no column there.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from keystores import authorities
from side_by_side import ENTRIES
from tasks_run import PASSWORD, ROUNDS, Done, Place, Way, Workshop, anchors, finished, killed, left, table, times, told
from tasks_why import find_out_why, laboratory

import allegra_tls_kit as kit
from allegra_tls_kit.certificate import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KILLS, KILLS_AT_THE_WRITE, AT_ONCE = 30, 20, 8
CHANCE = random.Random(7)  # noqa: S311 - any instants will do
AGAIN = "after those that failed did it again"
AS_PLANNED, DAMAGED = "as planned", "**damaged**"
IMPORT = """
import os, sys, allegra_tls_kit as kit
store, file, *confirmed = sys.argv[1:]
try:
    plan = kit.plan_import(kit.read_keystore(store, "env:P"), kit.read_certificates(file), purpose="trust the provider")
    print(kit.show(plan))
    if confirmed:
        journal = kit.Journal(os.environ["RECORDS"] + f"/{plan.id}.jsonl")
        kit.apply(plan, journal, confirm=plan.id if confirmed == ["now"] else confirmed[0], password="env:P")
except kit.KitError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
RUN = (
    '"$PYTHON" -m allegra_tls_kit run 20_import_certificate --records "$RECORDS" -p ENDPOINT="smtp://localhost:$PORT" '
    '-p HOME="$HOME_OF_ALLEGRA" -p REFERENCE="$REFERENCE" -p REFERENCE_FROM="Ms Doe, by telephone"'
)
PLAN_ID = r'''"$(sed -n 's/.*confirm=.\([0-9a-f]\{8\}\).*/\1/p' ../said)"'''
KIT = '"$PYTHON" "$IMPORT" "$STORE"'
KEYTOOL = 'keytool -J-Duser.language=en -importcert -keystore "$STORE" -storepass:env P'
OPEN, SHUT = "-----BEGIN CERT", "-----END CERT"
SPLIT = f"""awk '/{OPEN}/ {{n++}} /{OPEN}/,/{SHUT}/ {{print > n ".pem"}}'"""
JKS = "-storetype JKS -alias provider"
HAVE, COMPARE = "decide: get the fingerprint from the provider", "decide: compare the fingerprint that keytool shows, say yes"
HAVE_FILE = "decide: get the CA's file and its fingerprint from the provider"
FOLDER = 'mkdir -p "${STORE%/*}"'
IN_JSON = ".server_scan_results[0].scan_result.certificate_info.result.certificate_deployments[0].received_certificate_chain[-1]"

TRUST = (
    Way("kit", (HAVE, f"{RUN} || test $? = 3", "decide: read the plan, compare", f"{RUN} -p CONFIRM={PLAN_ID}")),
    Way("keytool, as in Allegra's manual", (HAVE_FILE, FOLDER, f'yes | {KEYTOOL} -file "$CA"', COMPARE)),
    Way("keytool -storetype JKS", (HAVE_FILE, FOLDER, f'yes | {KEYTOOL} {JKS} -file "$CA"', COMPARE)),
    Way(
        "openssl s_client, then keytool",
        (
            HAVE,
            f'openssl s_client -starttls smtp -showcerts -connect "localhost:$PORT" </dev/null 2>/dev/null | {SPLIT}',
            "for file in *.pem; do openssl x509 -noout -subject -issuer -in $file; done",
            "decide: which of them is the root",
            FOLDER,
            f"yes | {KEYTOOL} {JKS} -file 3.pem",
            COMPARE,
        ),
    ),
    Way(
        "sslyze, then keytool",
        (
            HAVE,
            'sslyze --quiet --certinfo --mozilla_config disable --starttls smtp --json_out chain.json "localhost:$PORT"',
            f"jq -r '{IN_JSON}.as_pem' chain.json > root.pem",
            FOLDER,
            f"yes | {KEYTOOL} {JKS} -file root.pem",
            COMPARE,
        ),
    ),
)
NEEDS = {"openssl s_client, then keytool": ("openssl",), "sslyze, then keytool": ("sslyze", "jq")}
BUNDLE = (
    Way("kit", (f'{KIT} "$BUNDLE"', "decide: read the plan", f'{KIT} "$BUNDLE" {PLAN_ID}')),
    Way("keytool", (f'{KEYTOOL} -noprompt -alias provider -file "$BUNDLE"',)),
    Way(
        "keytool in a loop",
        (
            f'{SPLIT} "$BUNDLE"',
            f"for file in *.pem; do {KEYTOOL} -noprompt -alias provider-${{file%.pem}} -file $file; done",
        ),
    ),
)
TWICE = (
    Way("kit", (f'{KIT} "$CERTIFICATE" now', "decide: the plan says that it is there")),
    Way("keytool", (f'echo no | {KEYTOOL} -alias other -file "$CERTIFICATE"', "decide: it asks; say no")),
    Way("keytool -noprompt", (f'{KEYTOOL} -noprompt -alias other -file "$CERTIFICATE"',)),
)
IN_ONE_GO = f'{KEYTOOL} -noprompt -alias "$ALIAS" -file "$CERTIFICATE"'
WRONG = (Way("kit", (f'{KIT} "$CERTIFICATE" now',)), Way("keytool", (IN_ONE_GO,)))
WITH_CARE = (
    'exec 9>"$STORE.lock"',
    "flock 9",
    'cp -p "$STORE" "$STORE.$(date +%s%N).bak"',
    'cp -p "$STORE" "$STORE.new"',
    IN_ONE_GO.replace('"$STORE"', '"$STORE.new"'),
    'keytool -list -keystore "$STORE.new" -storepass:env P -alias "$ALIAS" >/dev/null',
    'sync "$STORE.new"',
    'mv "$STORE.new" "$STORE"',
)
CHANGE = (*WRONG, Way("keytool in a script with flock, cp, mv", WITH_CARE))

BETTER = """
* **keytool** is there with every JDK. It makes keys and requests, signs, converts stores, changes their passwords: the kit does
  none of it. One import is faster. Where a certificate is already there, or the password is wrong, it says so as well.
* **A script around keytool** with `flock`, `cp` and `mv` loses nothing either, for as long as everybody uses it.
* **openssl** is the quickest to ask, and shows the session: tickets, OCSP, ALPN, every byte with `-msg`; it forces versions and
  ciphers, goes on by hand after STARTTLS, and knows more protocols (FTP, XMPP, LMTP, Sieve, PostgreSQL, MySQL).
* **sslyze** tests versions, ciphers, curves and known holes (Heartbleed, ROBOT, CCS, renegotiation), holds them against Mozilla's
  recommendations, and judges by the stores of five vendors.
* **Not run here**: Ansible's `java_cert` and puppet's `java_ks`, which bring a whole fleet into a state; KeyStore Explorer, in
  which stores are looked at and changed with a mouse.
* **The kit** has to be installed, with Python and Jupyter. Java, openssl and sh are on most servers already.
"""


class Tasks:
    """The tasks about stores; what is judged is told by a JVM."""

    def __init__(self, shop: Workshop, folder: Path) -> None:
        """Make the store that most tasks begin with, eight certificates to add, and a bundle of three."""
        self.shop, self.folder = shop, folder
        ders = authorities(ENTRIES + AT_ONCE)
        self.ders, self.new = ders[:ENTRIES], ders[ENTRIES:]
        self.former = frozenset(map(sha256_of, self.ders))
        self.base = self.stored(self.ders)
        bundle = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in self.new[:3])
        (folder / "bundle.pem").write_bytes(bundle)
        for number, der in enumerate(self.new):
            (folder / f"{number}.der").write_bytes(der)

    def stored(self, ders: Sequence[bytes], *aliases: str) -> bytes:
        """Return a JKS with these certificates."""
        store = self.folder / f"base-{len(ders)}.ks"
        names = [*aliases, *(f"ca-{number}" for number in range(len(ders) - len(aliases)))]
        plan = kit.plan_import(kit.read_keystore(store, PASSWORD), ders, purpose="benchmark", aliases=names)
        kit.apply(plan, kit.Journal(self.folder / "base.jsonl"), confirm=plan.id, witness=None)
        return store.read_bytes()

    def lost(self, place: Place) -> str:
        """Say what a JVM misses of what was in the store; nothing where it misses nothing."""
        seen, complaint = anchors(place.store)
        if complaint:
            return f"**Java cannot read the store**: {complaint}"
        return f"**{len(self.former - seen)} former entries lost**" if self.former - seen else ""

    def bundle(self) -> None:
        """Add three certificates from one file."""

        def judge(done: Done) -> str:
            added = len(anchors(done.place.store)[0] & set(map(sha256_of, self.new[:3])))
            return self.lost(done.place) or f"Java trusts {added} of the 3; exit status {done.statuses[0]}"

        done = [self.shop.carried_out(way, self.base) for way in BUNDLE]
        told(f"A bundle of three certificates, into a store of {ENTRIES}", BUNDLE, done, judge)

    def second(self) -> None:
        """Add a certificate that is already there."""
        before = self.stored([self.new[0], *self.ders], "provider")
        done = [self.shop.carried_out(way, before) for way in TWICE]
        told("The same certificate a second time", TWICE, done, partial(unchanged, before))

    def wrong_password(self) -> None:
        """Add a certificate, the password being another."""
        done = [self.shop.carried_out(way, self.base, P="not-changeit") for way in WRONG]
        told("A wrong password", WRONG, done, partial(unchanged, self.base))

    def kill(self) -> None:
        """Kill a change with all that it started: at random instants, and when the file is first seen to change."""
        rows: dict[str, list[str]] = {
            name: [] for name in (*KILLED, "left behind", "done again after that", "steps", "time (CPU)")
        }
        for way in CHANGE:
            done = self.shop.carried_out(way, self.base)
            length = statistics.median(each.seconds for each in done)
            places = []
            for name, (times_over, wait) in KILLED.items():
                found = [self.killed_once(way, partial(wait, length)) for _ in range(times_over)]
                places += found
                rows[name].append(", ".join(f"{number} {state}" for state, number in Counter(map(self.state, found)).items()))
            remains = Counter(kind for place in places for kind in place.others())
            rows["left behind"].append(", ".join(f"{kind} in {number}" for kind, number in remains.items()) or "nothing")
            for place in places:
                finished(place, [partial(place.start, way)])
            again = [self.state(place) == AS_PLANNED for place in places]
            rows["done again after that"].append(f"{sum(again)} of {len(again)} stores then as planned")
            rows["steps"].append(way.effort)
            rows["time (CPU)"].append(times(done))
        table(f"Killed in the middle of adding one to {ENTRIES} (SIGKILL)", CHANGE, rows)

    def killed_once(self, way: Way, wait: Callable[[Place, subprocess.Popen[bytes]], None]) -> Place:
        """Start a change, wait, kill it."""
        place = self.shop.place(self.base)
        process = place.start(way)
        wait(place, process)
        killed(process)
        return place

    def state(self, place: Place) -> str:
        """Tell whether a store is as it was, as planned, or neither."""
        if place.store.read_bytes() == self.base:
            return "as it was"
        return AS_PLANNED if anchors(place.store)[0] == self.former | {sha256_of(self.new[0])} else DAMAGED

    def at_once(self) -> None:
        """Add eight certificates from eight processes; whoever failed does it again afterwards, one after the other."""
        rows: dict[str, list[str]] = {name: [] for name in ("outcome", AGAIN, "files after", "steps", "time (CPU)")}
        for way in CHANGE:
            rounds = [self.eight(way) for _ in range(ROUNDS)]
            said, there, later = (sum(column) for column in zip(*(each[:3] for each in rounds), strict=True))
            everybody, done = ROUNDS * AT_ONCE, [each[3] for each in rounds]
            lost = f"{there} are" if there == said else f"**{there} are**"
            rows["outcome"].append(f"{said} of {everybody} said that they are in, {lost}")
            rows[AGAIN].append(f"{later} of {everybody} are in")
            rows["files after"].append(left(done[-1].place))
            rows["steps"].append(way.effort)
            rows["time (CPU)"].append(times(done))
        table("Eight at once, each another certificate into the same store; three times", CHANGE, rows)

    def eight(self, way: Way) -> tuple[int, int, int, Done]:
        """Return how many said that they are in, how many are, how many after a second attempt, and what it took.

        keytool says so before it has looked at what it wrote, and may end with an error all the same.
        """
        place, new = self.shop.place(self.base), frozenset(map(sha256_of, self.new))
        files = [str(self.folder / f"{number}.der") for number in range(AT_ONCE)]
        attempts = [partial(place.start, way, CERTIFICATE=file, ALIAS=f"new-{number}") for number, file in enumerate(files)]
        done = finished(place, attempts)
        said = max(done.statuses.count(0), place.said.count("Certificate was added"))
        there = len(anchors(place.store)[0] & new)
        for attempt, status in zip(attempts, done.statuses, strict=True):
            if status:
                finished(place, [attempt])
        return said, there, len(anchors(place.store)[0] & new), done


def unchanged(before: bytes, done: Done) -> str:
    """Tell whether the store changed, and what was said in the end."""
    state = "store untouched" if done.place.store.read_bytes() == before else "**store changed**"
    return f"{state}; exit status {done.statuses[0]}: {done.place.last_word}"


def at_random(length: float, _place: Place, _process: subprocess.Popen[bytes]) -> None:
    """Wait for a random part of the time that the change takes."""
    time.sleep(CHANCE.uniform(0, length))


def at_the_write(_length: float, place: Place, process: subprocess.Popen[bytes]) -> None:
    """Wait until the file is another or has another size, or the change has ended."""

    def look() -> tuple[int, int]:
        status = place.store.stat()
        return status.st_ino, status.st_size

    before = look()
    while look() == before and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        pass


KILLED = {
    f"at random instants, {KILLS} times": (KILLS, at_random),
    f"as soon as the file is seen to change, {KILLS_AT_THE_WRITE} times": (KILLS_AT_THE_WRITE, at_the_write),
}


def trust(shop: Workshop, server: kit.Endpoint) -> None:
    """Get the private CA of a server with STARTTLS trusted, beginning with no store."""
    chain = kit.probe(server).chain

    def judge(done: Done) -> str:
        (verdict,) = kit.jvm_verdicts([kit.JvmCase(chain, done.place.store, server.host)])
        return "Java trusts the server" if verdict.trusted else f"**Java refuses the server**: {verdict.message}"

    ways = [way for way in TRUST if all(map(shutil.which, NEEDS.get(way.tool, ())))]
    told("A private CA behind STARTTLS", ways, [shop.carried_out(way, None) for way in ways], judge)


def version(*command: str) -> str:
    """Return the first line that a program gives for its version."""
    if shutil.which(command[0]) is None:
        return f"{command[0]}: not here"
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return next((line.strip() for line in (told.stdout + told.stderr).splitlines() if re.search(r"\d\.\d", line)), command[0])


def main() -> None:
    """Print the tables."""
    if not shutil.which("keytool"):
        sys.exit("no keytool on the PATH, without which there is nothing to compare with; install a JDK")
    versions = [version("java", "-version"), version("openssl", "version"), version("sslyze", "--help")]
    print(f"{datetime.now(UTC):%Y-%m-%d}; Python {sys.version.split()[0]}; {'; '.join(versions)}")
    with tempfile.TemporaryDirectory() as name, laboratory() as servers:
        folder = Path(name)
        surroundings = {
            "PYTHON": sys.executable,
            "IMPORT": str(folder / "import.py"),
            "PORT": str(servers.endpoints["smtp"].port),
            "CA": str(servers.ca_file),
            "REFERENCE": servers.reference_fingerprints["smtp"],
            "BUNDLE": str(folder / "bundle.pem"),
            "CERTIFICATE": str(folder / "0.der"),
            "ALIAS": "provider",
        }
        (folder / "import.py").write_text(IMPORT)
        shop = Workshop(folder, surroundings)
        trust(shop, servers.endpoints["smtp"])
        tasks = Tasks(shop, folder)
        for task in (tasks.bundle, tasks.second, tasks.wrong_password, tasks.kill, tasks.at_once):
            task()
        find_out_why(shop, servers)
    print(f"\n## Where the others are better\n{BETTER}")


if __name__ == "__main__":
    main()
