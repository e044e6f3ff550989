"""Five servers that fail, each for one reason, put to each tool: what it says, whether that names cause and next step."""

from __future__ import annotations

import re
import shutil
import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tasks_run import LONGEST, PASSWORD, Done, Way, Workshop, finished, table, times

import allegra_tls_kit as kit
from allegra_tls_kit.demo import SERVERS
from allegra_tls_kit.demo_ca import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG_NAME = "ldaps-wrong-name"


@dataclass(frozen=True)
class Case:
    """A server that fails, how it is asked for, and the words by which cause and next step are recognised, whoever says them.

    `hint` are words from which an expert finds the cause, though they stand for others too. The store or file that a tool judges
    by holds the right root where `known`.
    """

    title: str
    scheme: str
    server: str
    cause: str
    hint: str
    cure: str
    known: bool = True


CASES = (
    Case(
        "unknown CA (SMTP, STARTTLS)",
        "smtp",
        "smtp",
        r"root .* not in the store|self-signed certificate in certificate chain",
        r"NOT Trusted",
        r"import the root",
        known=False,
    ),
    Case(
        "intermediate not sent (POP3, STLS)",
        "pop3",
        "pop3-no-intermediate",
        r"neither in the store nor sent",
        r"unable to verify the first certificate|candidates exhausted",
        r"have the server send its intermediate",
    ),
    Case(
        "expired (POP3S)", "pop3s", "pop3s-expired", r"expired|not valid at validation time", r"until: ", r"renewed at the server"
    ),
    Case(
        "another name (LDAPS)",
        "ldaps",
        WRONG_NAME,
        r"name matching|hostname mismatch|no matching subjectAltName",
        r"SubjectAlternativeName",
        r"connect by one of its names",
    ),
    Case(
        "STARTTLS not offered (SMTP)",
        "smtp",
        "",
        r"no STARTTLS|find STARTTLS|support STARTTLS",
        r"wrong version number",
        r"use its implicit TLS port",
    ),
)

TOOLS = {
    "kit": (
        '"$PYTHON" -m allegra_tls_kit probe $KIT_CA "$SCHEME://localhost:$PORT"',
        r"((?:Next: |StartTlsNotOffered).*(?:\n  .*)*)",
    ),
    "keytool": (
        'keytool -J-Duser.language=en -printcert -sslserver "localhost:$PORT"',
        r"(keytool error: .*)|(Valid from: .*)[\s\S]*?(DNSName: .*)",
    ),
    "openssl s_client": (
        'openssl s_client -connect "localhost:$PORT" -verify_hostname localhost $STARTTLS $OPENSSL_CA </dev/null',
        r"(Didn't find STARTTLS.*|Verification error: .*)",
    ),
    "sslyze": (
        'sslyze --certinfo --mozilla_config disable $STARTTLS $SSLYZE_CA "localhost:$PORT"',
        r"ERROR: (Server .*)|Supplied CA file.*FAILED - (.*)|Java CA Store(?![\s\S]*Supplied).*FAILED - (.*)",
    ),
}
"""How each is asked, and what of its answer is quoted."""


class WithoutStartTls(socketserver.StreamRequestHandler):
    """An SMTP server that knows no STARTTLS."""

    def handle(self) -> None:
        """Talk until the client leaves."""
        self.wfile.write(b"220 mail.demo.test ESMTP\r\n")
        answers = {b"EHLO": b"250-mail.demo.test\r\n250 8BITMIME\r\n", b"QUIT": b"221 bye\r\n"}
        for line in self.rfile:
            command = line[:4].upper()
            self.wfile.write(answers.get(command, b"502 5.5.1 no such command\r\n"))
            if command == b"QUIT":
                return


@contextmanager
def laboratory() -> Iterator[kit.Laboratory]:
    """Start the laboratory with one more server, a directory under another name."""
    SERVERS[WRONG_NAME] = ("ldaps", Terms(name="old-ldap.demo.test"))
    with kit.demo() as servers:
        yield servers


@contextmanager
def without_starttls() -> Iterator[int]:
    """Give the port of an SMTP server that knows no STARTTLS, for as long as this lasts."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), WithoutStartTls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def find_out_why(shop: Workshop, servers: kit.Laboratory) -> None:
    """Print what each tool says of each server; the times are those of all five together."""
    ways = {
        Way(tool, (f"{ask} || true",)): quoted
        for tool, (ask, quoted) in TOOLS.items()
        if shutil.which(tool.split()[0]) or tool == "kit"
    }
    done: dict[str, list[Done]] = {way.tool: [] for way in ways}
    rows: dict[str, list[str]] = {}
    known = trusting(shop.folder / "root.ks", servers.ca_file)
    with without_starttls() as port:
        for case in CASES:
            asked = {"PORT": str(servers.endpoints[case.server].port if case.server else port), "SCHEME": case.scheme}
            asked["STARTTLS"] = f"--starttls {case.scheme}" if case.scheme in {"smtp", "pop3"} else ""
            rows[case.title] = []
            for way, quoted in ways.items():
                place = shop.place(None)
                done[way.tool].append(finished(place, [partial(place.start, way, **asked, **(known if case.known else {}))]))
                rows[case.title].append(judged(case, place.said, quoted))
    rows["steps"] = [way.effort for way in ways]
    rows["time (CPU) of all five"] = [
        times([Done(each[0].place, (), sum(one.seconds for one in each), sum(one.cpu for one in each))]) for each in done.values()
    ]
    table("Find out why it fails", [*ways], rows)


def trusting(store: Path, ca_file: Path) -> dict[str, str]:
    """Return the options that let each tool judge by this CA alone."""
    plan = kit.plan_import(kit.read_keystore(store, PASSWORD), kit.read_certificates(ca_file), purpose="benchmark")
    kit.apply(plan, kit.Journal(store.with_suffix(".jsonl")), confirm=plan.id, witness=None)
    return {"KIT_CA": f"--truststore {store}", "OPENSSL_CA": f"-CAfile {ca_file}", "SSLYZE_CA": f"--certinfo_ca_file {ca_file}"}


def judged(case: Case, said: str, quoted: str) -> str:
    """Quote the decisive words, and tell whether cause and next step are named."""
    flat = " ".join(said.split())
    cause = "named" if re.search(case.cause, flat) else "to be inferred" if re.search(case.hint, flat) else "**not named**"
    cure = "named" if re.search(case.cure, flat) else "not named"
    found = re.search(quoted, said)
    words = " ".join(" … ".join(filter(None, found.groups() if found else ["nothing"])).split())
    return f"“{words[:LONGEST]}{'…' if len(words) > LONGEST else ''}”; cause {cause}, next step {cure}"
