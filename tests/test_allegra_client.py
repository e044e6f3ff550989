"""Allegra's own way of connecting, against Postfix, Dovecot and slapd: what the kit foretells, what JavaMail and JNDI say.

The tables of `docs/allegra_clients.md` are made here; with ALLEGRA_TLS_KIT_WRITE_DOCS=1 they are written anew.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import allegra_tls_kit as kit
from allegra_tls_kit.demo_ca import Terms, private_authority
from allegra_tls_kit.effective import IF_AVAILABLE, TRUSTED, verdicts
from tests.allegra_client import SHOWS_THE_CAUSE, Attempt, Client, compiled, heard, java_with_its_own_cacerts, located, servers
from tests.chains import alternatives, issue
from tests.changing import go
from tests.debian import dovecot, postfix, slapd
from tests.stores import TRUSTED as TRUSTED_CA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from allegra_tls_kit.effective import EffectiveStore
    from tests.chains import Issued

PAGE = Path(__file__).parents[1] / "docs" / "allegra_clients.md"
WRITE_DOCS = "ALLEGRA_TLS_KIT_WRITE_DOCS"
AT_ONCE = 2
PASSWORD = "changeit"
PKIX = (
    "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: "
    "unable to find valid certification path to requested target"
)
OUTDATED = "PKIX path validation failed: java.security.cert.CertPathValidatorException: validity check failed"
WRONG_NAME = "No subject alternative DNS name matching localhost found."
SHORT = {PKIX: "PKIX path building failed", OUTDATED: "validity check failed"}

MODES = (("smtps", "SSL"), ("smtp", "TLS"), ("smtp", IF_AVAILABLE))
CONNECTIONS = (*((s.replace("smtp", name), mode) for name in ("smtp", "imap", "pop3") for s, mode in MODES), ("ldaps", "SSL"))
NOW = datetime.now(UTC)
AUTHORITY = private_authority(NOW)
ROOT, ISSUING = (certificate.public_bytes(Encoding.DER) for certificate in (AUTHORITY.root, AUTHORITY.issuing))
CERTIFICATES = {
    "self-signed": (Terms(self_signed=True), ("itself",)),
    "of a private CA": (Terms(), ("the root",)),
    "its intermediate not sent": (Terms(sends=1), ("the intermediate",)),
    "expired": (Terms(days_left=-1), ("the root", "itself")),
    "for another name": (Terms(name="mail.other.test"), ("the root",)),
}
"""What the servers show, and what is imported then."""


@dataclass(frozen=True)
class Row:
    """One connection, before the plan, after it and after its rollback."""

    certificate: str
    imported: str
    scheme: str
    mode: str
    advice: str
    store: str
    foretold: tuple[str, ...]
    said: tuple[str, ...]


@pytest.fixture(scope="module")
def client(java: Path, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return compiled(java, tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="module")
def rows(client: Client, java: Path) -> Callable[[str], tuple[Row, ...]]:
    """Try every connection with servers that show this certificate; each in a home, and each time in a JVM, of its own."""

    @cache
    def found(certificate: str) -> tuple[Row, ...]:
        terms, imported = CERTIFICATES[certificate]
        identity = AUTHORITY.issue(terms, NOW)
        cells = [(certificate, word, *connection) for word in imported for connection in CONNECTIONS]
        with TemporaryDirectory() as name, servers(identity, Path(name)) as at, ThreadPoolExecutor(AT_ONCE) as pool:
            tries = [_Try(client, java, Path(name, str(n)), at[cell[2]], cell[3]) for n, cell in enumerate(cells)]
            ders = {"itself": identity.chain[0], "the intermediate": ISSUING, "the root": ROOT}
            results = pool.map(lambda cell, each: Row(*cell, *each.with_import(ders[cell[1]])), cells, tries)
            return tuple(results)

    return found


class _Try:
    """One connection with a home of its own; in "TLS if available" with somebody's `<host>.ks` and a `cacerts` to change."""

    def __init__(self, client: Client, java: Path, folder: Path, endpoint: kit.Endpoint, mode: str) -> None:
        self._client, self._java, self._folder, self._endpoint, self._mode = client, java, folder, endpoint, mode
        (folder / "home").mkdir(parents=True)
        self._journal = kit.Journal(folder / "record" / "journal.jsonl")
        if mode == IF_AVAILABLE:
            self._java = java_with_its_own_cacerts(java, folder / "java")
            self._change(kit.plan_import(kit.read_keystore(folder / "home/keystore/localhost.ks"), [TRUSTED_CA.der], purpose=""))
        self._allegra = located(folder / "home", self._java)
        self.foretold: list[str] = []
        self.said: list[str] = []

    def with_import(self, der: bytes) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        advice = advised(kit.judge(kit.probe(self._endpoint), self._look().anchors), der)
        plans = kit.plan_for(self._endpoint, self._stores(), [der], purpose="trust it")
        (plan,) = [store.plan for store in plans.stores if self._mode in store.modes]
        applied = self._change(plan)
        store = self._look().path
        assert store == plan.keystore
        self._change(kit.plan_rollback(applied, kit.read_keystore(store)))
        self._look()
        return advice, store.name.replace("localhost", "<host>"), (*self.foretold,), (*self.said,)

    def _change(self, plan: kit.Plan) -> kit.Applied:
        assert plan.keystore.is_relative_to(self._folder)
        return go(plan, self._journal, PASSWORD)

    def _look(self) -> EffectiveStore:
        """Ask the kit, with the store that it says is read, and then a fresh JVM."""
        (store,) = [store for store in self._stores() if self._mode in store.modes]
        self.foretold += verdicts([kit.probe(self._endpoint)], store)
        (answer,) = self._client.says(self._java, Attempt(self._folder / "home", self._mode, self._endpoint))
        self.said.append(heard(answer))
        return store

    def _stores(self) -> tuple[EffectiveStore, ...]:
        return kit.effective_truststores(self._endpoint, self._allegra)


def advised(diagnosis: kit.Diagnosis, der: bytes) -> str:
    """What the kit says of importing this certificate, to somebody who has the provider's file with its CA."""
    candidates = {each.der: each.recommended for each in kit.anchor_candidates(diagnosis, (ISSUING, ROOT))}
    if der in candidates:
        return "recommended" if candidates[der] else "a stopgap"
    return "no cure"


# --- the matrix --------------------------------------------------------------------------------------------------------------


def after_the_plan(row: Row) -> str:
    if row.certificate == "expired" and row.imported == "the root":
        return OUTDATED
    return WRONG_NAME if row.certificate == "for another name" and row.scheme == "ldaps" else TRUSTED


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_java_says_what_was_foretold_before_the_plan_after_it_and_after_the_rollback(
    certificate: str, rows: Callable[[str], tuple[Row, ...]]
) -> None:
    for row in rows(certificate):
        assert row.said == row.foretold == (PKIX, after_the_plan(row), PKIX), row
        helps = {"recommended", "a stopgap"} if after_the_plan(row) == TRUSTED else {"no cure"}
        assert row.advice in helps, row


@pytest.mark.timeout(400)
def test_the_table_of_the_guide_is_what_was_found(rows: Callable[[str], tuple[Row, ...]]) -> None:
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in [row for certificate in CERTIFICATES for row in rows(certificate)]:
        advice = f"{row.imported}: {row.advice}"
        key = protocol_of(row.scheme), row.certificate, advice, f"`{row.store}`", *map(in_short, row.said)
        lines.setdefault(key, []).append(row.mode)
    head = "protocol", "modes", "certificate", "imported", "store read", "before", "after the plan", "after the rollback"
    check_page("every connection", head, [(protocol, ", ".join(m), *more) for (protocol, *more), m in lines.items()])


def protocol_of(scheme: str) -> str:
    return "LDAPS" if scheme == "ldaps" else scheme.removesuffix("s").upper()


def in_short(said: str) -> str:
    return said if said == TRUSTED else f"`{SHORT.get(said, said)}`"


def check_page(name: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Hold a table of the page against what was found, or write it."""
    lines = [[*head], ["---"] * len([*head]), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    first, last = f"<!-- {name}: made by tests/test_allegra_client.py -->\n\n", "\n<!-- end -->\n"
    before, begun, rest = PAGE.read_text("utf-8").partition(first)
    held, ended, after = rest.partition(last)
    assert begun
    assert ended
    if os.environ.get(WRITE_DOCS):
        PAGE.write_text(f"{before}{first}{table}{last}{after}", "utf-8")
    else:
        assert held == table, f"{PAGE.name} says something else; {WRITE_DOCS}=1 writes it:\n{table}"


# --- one JVM, several servers ------------------------------------------------------------------------------------------------

ONE, TWO, DIRECTORY, PUBLIC = "`one` by SMTP", "`two` by IMAP", "the directory", "`public` by POP3"


@dataclass(frozen=True)
class Estate:
    """Servers under a CA each, each of them trusted with the one store that Allegra reads for it, and with no other."""

    allegra: kit.Allegra
    java: Path
    attempts: dict[str, Attempt]
    roots: dict[str, bytes]

    def store_of(self, name: str) -> EffectiveStore:
        attempt = self.attempts[name]
        stores = kit.effective_truststores(attempt.endpoint, self.allegra)
        (store,) = [store for store in stores if attempt.mode in store.modes]
        return store


@pytest.fixture
def estate(java: Path, tmp_path: Path, journal: kit.Journal) -> Iterator[Estate]:
    home, own_java = tmp_path / "home", java_with_its_own_cacerts(java, tmp_path / "java")
    home.mkdir()
    roots = {name: issue(f"CA of {name}", ca=True) for name in (ONE, TWO, DIRECTORY, PUBLIC)}
    with ExitStack() as running:
        at = []
        for start, root in zip((postfix, dovecot, slapd, dovecot), roots.values(), strict=True):
            leaf = issue("localhost", root, extensions=[alternatives("localhost")])
            at.append(running.enter_context(start(*pem(leaf), tmp_path)))
        attempts = {
            ONE: Attempt(home, "TLS", at[0]["smtp"]),
            TWO: Attempt(home, "SSL", replace(at[1]["imaps"], host="127.0.0.1")),
            DIRECTORY: Attempt(home, "SSL", at[2]["ldaps"]),
            PUBLIC: Attempt(home, IF_AVAILABLE, at[3]["pop3"]),
        }
        made = Estate(located(home, own_java), own_java, attempts, {name: root.der for name, root in roots.items()})
        for name, attempt in attempts.items():
            stores = kit.effective_truststores(attempt.endpoint, made.allegra)
            plans = kit.plan_for(attempt.endpoint, stores, [made.roots[name]], purpose="trust it").stores
            (plan,) = [store.plan for store in plans if attempt.mode in store.modes]
            go(plan, journal, PASSWORD)
        yield made


def pem(leaf: Issued) -> tuple[bytes, bytes]:
    private = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return leaf.certificate.public_bytes(Encoding.PEM), private


def told(client: Client, estate: Estate) -> dict[str, list[str]]:
    """For each server to begin with: what one JVM says of all of them; with the store of the first it was foretold."""
    found = {}
    for first in estate.attempts:
        order = sorted(estate.attempts, key=lambda name: name != first)
        said = dict(zip(order, client.says(estate.java, *(estate.attempts[name] for name in order)), strict=True))
        found[first] = [heard(said[name]) for name in estate.attempts]
        probes = [kit.probe(attempt.endpoint) for attempt in estate.attempts.values()]
        assert found[first] == [*verdicts(probes, estate.store_of(first))]
    return found


def test_the_first_store_wins_and_supersets_cure_it_together_with_an_import_into_cacerts(
    client: Client, estate: Estate, journal: kit.Journal
) -> None:
    only = {first: [TRUSTED if name == first else PKIX for name in estate.attempts] for first in estate.attempts}
    everything = dict.fromkeys(estate.attempts, [TRUSTED] * len(estate.attempts))
    alone = told(client, estate)
    assert alone == only

    paths = sorted(estate.allegra.keystore_folder.glob("*.ks"))
    assert [path.name for path in paths] == ["127.0.0.1.ks", "localhost.ks", "trackplus.ks"]
    cacerts = kit.read_keystore(estate.store_of(PUBLIC).path)
    for plan in kit.plan_supersets(map(kit.read_keystore, paths), cacerts, purpose="the first store wins"):
        go(plan, journal, PASSWORD)
    supersets = told(client, estate)
    assert supersets == everything | {PUBLIC: only[PUBLIC]}

    private = [der for name, der in estate.roots.items() if name != PUBLIC]
    go(kit.plan_import(cacerts, private, purpose="the first store wins"), journal, PASSWORD)
    both = told(client, estate)
    assert both == everything

    stages = {"each its own": alone, "supersets": supersets, "the private CAs in `cacerts` too": both}
    rows = [(stage, first, *map(in_short, row)) for stage, found in stages.items() for first, row in found.items()]
    check_page("first store wins", ("stores", "connects first", *estate.attempts), rows)


def test_a_running_jvm_does_not_see_what_was_imported_and_a_new_one_does(
    client: Client, java: Path, tmp_path: Path, journal: kit.Journal
) -> None:
    identity = AUTHORITY.issue(Terms(), NOW)
    with dovecot(identity.chain_pem, identity.key_pem, tmp_path) as at, client.jvm(java, *SHOWS_THE_CAUSE) as running:
        attempt = Attempt(tmp_path, "SSL", at["imaps"])
        assert heard(running(attempt)) == PKIX
        store = kit.read_keystore(located(tmp_path, java).keystore_for("localhost"))
        go(kit.plan_import(store, [ROOT], purpose="trust it"), journal, PASSWORD)
        assert heard(running(attempt)) == PKIX
        assert client.says(java, attempt) == ["OK"]


# --- what the log shows ------------------------------------------------------------------------------------------------------

IMPATIENT = tuple(f"-Dmail.{protocol}.timeout=2000" for protocol in ("imap", "pop3"))
OLD_TLS = tuple(f"-Dmail.{protocol}.ssl.protocols=SSLv3 TLSv1" for protocol in ("imap", "pop3"))
NO_PROTOCOL = "No appropriate protocol (protocol is disabled or cipher suites are inappropriate)"


class Logged(NamedTuple):
    """A connection, the JVM's options, the first exception, what is behind it, the kit's word for the one and for all of it."""

    scheme: str
    mode: str
    options: tuple[str, ...]
    first: str
    behind: str
    line: str
    whole: str


LOGGED = [
    Logged("smtps", "SSL", (), "Could not connect to SMTP host: <host>, port: <port>", PKIX, "mail_connect", "untrusted"),
    Logged("smtp", "TLS", (), "Could not convert socket to TLS", PKIX, "starttls_upgrade", "untrusted"),
    Logged("imaps", "SSL", IMPATIENT, "Read timed out", "", "timeout", "timeout"),
    Logged("imap", "TLS", (), "STARTTLS failure", PKIX, "starttls_upgrade", "untrusted"),
    Logged("imap", "TLS", OLD_TLS, "STARTTLS failure", NO_PROTOCOL, "starttls_upgrade", "client_too_old"),
    Logged("pop3s", "SSL", IMPATIENT, "Read timed out", "", "timeout", "timeout"),
    Logged("pop3", "TLS", (), "Connect failed", PKIX, "mail_connect", "untrusted"),
    Logged("pop3", "TLS", OLD_TLS, "Connect failed", NO_PROTOCOL, "mail_connect", "client_too_old"),
    Logged("ldaps", "SSL", (), "<host>:<port>", PKIX, "ldap_connect", "untrusted"),
]


def as_logged(row: Logged, answer: str, endpoint: kit.Endpoint) -> Logged:
    exception = answer.partition("\t")[0]
    first = exception.partition(": ")[2].replace(endpoint.host, "<host>").replace(str(endpoint.port), "<port>")
    behind = "" if (refusal := heard(answer)) == answer else refusal
    line, whole = (kit.explain(text)[0].code for text in (exception, answer))
    return Logged(row.scheme, row.mode, row.options, first, behind, line, whole)


def test_what_is_logged_with_the_ancestor_s_own_settings_is_known_to_the_kit(client: Client, java: Path, tmp_path: Path) -> None:
    with servers(AUTHORITY.issue(Terms(), NOW), tmp_path) as at, ThreadPoolExecutor(AT_ONCE) as pool:

        def tried(row: Logged) -> Logged:
            attempt = Attempt(tmp_path, row.mode, at[row.scheme])
            return as_logged(row, client.says(java, attempt, options=row.options)[0], attempt.endpoint)

        found = [*pool.map(tried, LOGGED)]
    assert found == LOGGED
    settings = {(): "", IMPATIENT: "", OLD_TLS: ", SSLv3 and TLSv1 alone"}
    rows = [
        [
            *(protocol_of(row.scheme), row.mode + settings[row.options], f"`{row.first}`"),
            *(in_short(row.behind) if row.behind else "nothing", row.line, row.whole),
        ]
        for row in found
    ]
    check_page("in the log", ("protocol", "mode", "first line", "behind it", "explained alone", "explained with all of it"), rows)


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_fetching_by_ssl_from_a_port_for_starttls_logs_in_in_plaintext(
    scheme: str, client: Client, java: Path, tmp_path: Path
) -> None:
    identity = AUTHORITY.issue(Terms(), NOW)
    with dovecot(identity.chain_pem, identity.key_pem, tmp_path) as at:
        endpoint = replace(at[scheme], security=kit.Security.IMPLICIT_TLS)
        attempt = Attempt(tmp_path, "SSL", endpoint)
        assert client.says(java, attempt, options=()) == ["OK"]
        (refused,) = client.says(java, attempt)
        assert heard(refused) == "Unsupported or unrecognized SSL message"
        said = [each.text for store in kit.effective_truststores(endpoint, located(tmp_path, java)) for each in store.statements]
        assert any("on a port for STARTTLS the password goes out in the clear" in text for text in said)
