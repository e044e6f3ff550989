"""Which store Java reads for a connection: by Allegra's rules, by what lies there, and by the word of a JVM started with it."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

import allegra_tls_kit as kit
from allegra_tls_kit import effective, java_home
from allegra_tls_kit.access import ServiceUser, user_of
from allegra_tls_kit.effective import Ground, Treatment, verdicts
from allegra_tls_kit.java_home import Jvm, default_truststore
from allegra_tls_kit.keystore import Edit, rewrite
from tests.children import NOBODY, as_nobody
from tests.conftest import absent
from tests.shown import HOSTILE, LEAF, OTHER_ROOT, ROOT, failure_of, flat, probe_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from allegra_tls_kit.effective import EffectiveStore

HOST = "mail.example.com"
READ, EMPTY, REFUSED, PASSED_OVER, UNKNOWN = Treatment
IF_AVAILABLE = "TLS if available"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NO_CERTIFICATE = b"\x30\x03\x02\x01\x05"


def jks(*certificates: bytes) -> bytes:
    return rewrite(None, Path("x.ks"), "changeit", Edit({f"a{n}": der for n, der in enumerate(certificates)}, frozenset(), START))


def p12(der: bytes, password: bytes | None) -> bytes:
    protection = NoEncryption() if password is None else BestAvailableEncryption(password)
    return pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(der), b"ca")], protection)


@pytest.fixture
def runtime(open_folder: Path) -> Path:
    """The folder of a Java's own truststores, with a cacerts that holds ROOT."""
    security = open_folder / "jdk" / "lib" / "security"
    security.mkdir(parents=True)
    (security / "cacerts").write_bytes(jks(ROOT.der))
    return security


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """The keystore folder of a home that every user reaches."""
    (open_folder / "home" / "keystore").mkdir(parents=True)
    return open_folder / "home" / "keystore"


def allegra(folder: Path, runtime: Path | None, **process: Any) -> kit.Allegra:  # noqa: ANN401 - fields of a Jvm
    jvms: tuple[Jvm, ...] = ()
    if runtime is not None:
        home = runtime.parents[1]
        jvms = (Jvm(home, "somewhere", "21.0.8", default_truststore(home), **process),)
    return kit.Allegra(folder.parent, "argument", folder, jvms, ())


def stores_for(url: str, of: kit.Allegra) -> tuple[EffectiveStore, ...]:
    found = kit.effective_truststores(kit.Endpoint.parse(url), of)
    assert all(statement.text.isprintable() for store in found for statement in store.statements)
    return found


def told(store: EffectiveStore, *words: str) -> Ground | None:
    """The ground of the one statement with these words."""
    grounds = [statement.ground for statement in store.statements if all(word in statement.text for word in words)]
    assert len(grounds) <= 1, (words, store.statements)
    return grounds[0] if grounds else None


# --- Allegra's rules ---------------------------------------------------------------------------------------------------------

KS, CACERTS, TRACKPLUS = f"{HOST}.ks", "cacerts", "trackplus.ks"
RULES: list[tuple[str, str, list[tuple[str, tuple[str, ...], Treatment]]]] = [
    ("smtps", KS, [(KS, ("SSL",), READ)]),
    ("imaps", KS, [(KS, ("SSL",), READ)]),
    ("pop3s", "", [(CACERTS, ("SSL",), READ), (KS, (), PASSED_OVER)]),
    ("smtp", KS, [(KS, ("TLS", IF_AVAILABLE), READ)]),
    ("smtp", "", [(CACERTS, ("TLS", IF_AVAILABLE), READ), (KS, (), PASSED_OVER)]),
    ("imap", KS, [(KS, ("TLS",), READ), (CACERTS, (IF_AVAILABLE,), READ)]),
    ("pop3", KS, [(KS, ("TLS",), READ), (CACERTS, (IF_AVAILABLE,), READ)]),
    ("pop3", "", [(CACERTS, ("TLS", IF_AVAILABLE), READ), (KS, (), PASSED_OVER)]),
    ("ldaps", TRACKPLUS, [(TRACKPLUS, ("SSL",), READ)]),
    ("ldaps", KS, [(CACERTS, ("SSL",), READ), (TRACKPLUS, (), PASSED_OVER)]),
    ("ldap", TRACKPLUS, [(TRACKPLUS, (), READ)]),
    ("ldap", "", [(CACERTS, (), READ), (TRACKPLUS, (), PASSED_OVER)]),
]


@pytest.mark.parametrize(("scheme", "there", "expected"), RULES)
def test_protocol_and_mode_decide_which_file_counts(
    scheme: str, there: str, expected: list[Any], folder: Path, runtime: Path
) -> None:
    if there:
        (folder / there).write_bytes(jks(OTHER_ROOT.der))
    found = stores_for(f"{scheme}://{HOST}", allegra(folder, runtime))
    assert [(store.path.name, store.modes, store.treatment) for store in found] == expected
    for store in found:
        held = {CACERTS: (ROOT.der,), there: (OTHER_ROOT.der,)}.get(store.path.name, ())
        assert store.anchors == held
        assert store.snapshot is not None
        assert store.snapshot.exists == bool(held)


def test_what_allegra_does_is_told_with_its_ground(folder: Path, runtime: Path) -> None:
    (folder / KS).write_bytes(jks(ROOT.der))
    (smtp,) = stores_for(f"smtp://{HOST}", allegra(folder, runtime))
    assert told(smtp, "SMTP in the mode TLS names", KS, "as it is typed") is Ground.ANCESTOR
    assert told(smtp, IF_AVAILABLE, "reads the same", "plaintext") is Ground.ANCESTOR
    assert told(smtp, "<host>.ks for mail servers") is Ground.MANUAL
    assert told(smtp, "trusts 1 certificate and no others") is Ground.MEASURED
    named, runtimes = stores_for(f"imap://{HOST}", allegra(folder, runtime))
    assert told(named, IF_AVAILABLE, "name no store") is told(runtimes, IF_AVAILABLE, "name no store") is Ground.ANCESTOR
    cacerts, trackplus = stores_for(f"ldap://{HOST}", allegra(folder, runtime))
    assert told(trackplus, "no StartTLS for LDAP") is Ground.ANCESTOR
    assert told(trackplus, "does not exist", "it does") is Ground.DISK
    assert told(trackplus, "Java passes over this file without a word") is Ground.MEASURED
    assert told(cacerts, str(trackplus.path), "does not exist; this is what Java reads in its place") is Ground.DISK


def test_jssecacerts_is_read_where_no_store_is_named_and_passed_over_where_one_is(folder: Path, runtime: Path) -> None:
    (runtime / "jssecacerts").write_bytes(jks(OTHER_ROOT.der))
    mail, _ = stores_for(f"smtps://{HOST}", allegra(folder, runtime))
    assert (mail.path.name, told(mail, "jssecacerts is read and cacerts beside it is not")) == ("jssecacerts", Ground.MEASURED)
    ldaps, _ = stores_for(f"ldaps://{HOST}", allegra(folder, runtime))
    assert (ldaps.path.name, told(ldaps, "jssecacerts beside it is not read")) == ("cacerts", Ground.MEASURED)
    (folder / KS).mkdir()
    imap, available, _ = stores_for(f"imap://{HOST}", allegra(folder, runtime))
    assert (imap.path.name, imap.modes) == ("cacerts", ("TLS",))
    assert (available.path.name, available.modes) == ("jssecacerts", (IF_AVAILABLE,))
    assert told(imap, "is a folder; this is what Java reads in its place") is Ground.DISK
    assert told(available, "in its place") is None


def test_where_no_java_was_found_the_named_store_is_told_of_all_the_same(folder: Path) -> None:
    (named,) = stores_for(f"imap://{HOST}", allegra(folder, None))
    assert (named.path.name, named.modes, named.treatment) == (KS, (), PASSED_OVER)
    assert told(named, "no Java was found") is Ground.DISK


def test_a_home_that_cannot_be_seen_from_here_says_nothing_of_its_stores(folder: Path, runtime: Path) -> None:
    hidden = allegra(folder.parent / "container" / "keystore", runtime)
    (named,) = stores_for(f"smtp://{HOST}", hidden)
    assert (named.treatment, named.modes, named.anchors, named.snapshot) == (UNKNOWN, ("TLS", IF_AVAILABLE), (), None)
    assert told(named, "cannot be seen from here") is Ground.DISK


# --- one JVM -----------------------------------------------------------------------------------------------------------------


def test_the_stores_of_one_allegra_compete(folder: Path, runtime: Path) -> None:
    for name in (KS, "other.ks", f"{HOSTILE.replace('/', '')}.ks", "notes.txt"):
        (folder / name).write_bytes(jks(ROOT.der))
    (first,) = stores_for(f"smtps://{HOST}", allegra(folder, runtime))
    assert told(first, "keeps the store that it opens first") is Ground.MEASURED
    assert told(first, "compete with it: <script>", "\\u{202e}", ", other.ks") is Ground.DISK
    assert told(first, "notes.txt") is None
    for number in range(10):
        (folder / f"{number}.ks").write_bytes(b"")
    (first,) = stores_for(f"smtps://{HOST}", allegra(folder, runtime))
    assert told(first, "0.ks, 1.ks", "9.ks and 2 more") is Ground.DISK


def test_a_store_that_the_process_was_started_with_is_told(folder: Path, runtime: Path) -> None:
    running = allegra(folder, runtime, pid=os.getpid(), truststore_property="/own/\u202estore.jks")
    first, _ = stores_for(f"smtps://{HOST}", running)
    assert told(first, f"process {os.getpid()} was started with javax.net.ssl.trustStore=/own/\\u{{202e}}") is Ground.PROCESS
    assert told(first, "mail takes that option away") is Ground.ANCESTOR


@pytest.mark.parametrize(("shift", "words"), [(-1, "restart Allegra"), (1, "unchanged since process")])
def test_a_store_that_changed_after_the_start_asks_for_a_restart(shift: int, words: str, folder: Path, runtime: Path) -> None:
    store = folder / KS
    store.write_bytes(jks(ROOT.der))
    os.utime(store, (1, 1))  # a backup put back with its old time is a change too
    started = datetime.now(UTC) + timedelta(minutes=shift)
    (first,) = stores_for(f"smtps://{HOST}", allegra(folder, runtime, pid=os.getpid(), started=started))
    assert told(first, words) is Ground.PROCESS
    assert len([statement for statement in first.statements if "started," in statement.text]) == 1


# --- who may read it ---------------------------------------------------------------------------------------------------------


@contextmanager
def process_of_nobody() -> Iterator[int]:
    """A process of a user who may read little: nobody's where we are root, else our own."""
    humble: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **humble) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_store_that_the_service_may_not_read_is_passed_over_though_we_may(folder: Path, runtime: Path) -> None:
    store = folder / KS
    store.write_bytes(jks(OTHER_ROOT.der))
    (runtime / "jssecacerts").write_bytes(jks(OTHER_ROOT.der))
    with process_of_nobody() as pid:
        running = allegra(folder, runtime, pid=pid)
        (readable,) = stores_for(f"smtps://{HOST}", running)
        assert told(readable, f"of process {pid} may read it, by owner, group and mode") is Ground.PROCESS
        store.chmod(0)
        first, named = stores_for(f"smtps://{HOST}", running)
        assert (first.path.name, first.anchors, named.treatment, named.anchors) == ("cacerts", (ROOT.der,), PASSED_OVER, ())
        assert told(named, "it may not be read by user", f"of process {pid}", "mode 0000") is Ground.DISK
        folder.chmod(0)
        try:
            first, *_ = stores_for(f"smtps://{HOST}", running)
        finally:
            folder.chmod(0o755)
    if os.geteuid() == 0:  # else we may not look either
        assert first.path.name == "jssecacerts"  # Java finds no file there, so the ancestor names none
        assert told(first, f"lies in {folder}, which may not be entered by user {NOBODY}") is Ground.DISK


def test_without_a_process_what_this_user_may_read_counts_and_is_told_so(folder: Path, runtime: Path) -> None:
    store = folder / KS
    store.write_bytes(jks(OTHER_ROOT.der))
    at_hand = allegra(folder, runtime)
    (first,) = stores_for(f"smtps://{HOST}", at_hand)
    assert told(first, "was checked for this user only") is Ground.DISK
    store.chmod(0)

    def seen() -> str:
        first, named = stores_for(f"smtps://{HOST}", at_hand)
        return f"{first.path.name}, {named.treatment}: {told(named, 'may not be read by this user (Allegra')}"

    assert as_nobody(seen) == f"cacerts, passed over: {Ground.DISK}"
    store.chmod(0o644)
    folder.chmod(0o700 if os.geteuid() == 0 else 0)
    seen_from_outside = as_nobody(seen)
    folder.chmod(0o755)
    assert seen_from_outside == "cacerts, passed over: None"


def test_a_store_that_only_the_service_may_read_is_not_known(
    folder: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / KS).write_bytes(jks(OTHER_ROOT.der))
    monkeypatch.setattr(effective, "user_of", lambda pid: ServiceUser(pid, 0, frozenset({0}), overrides=True))
    running = allegra(folder, runtime, pid=1)

    def seen() -> str:
        (named,) = stores_for(f"smtps://{HOST}", running)
        return f"{named.treatment} {named.modes} {len(named.anchors)} {named.snapshot}"

    for place in (folder / KS, folder):
        place.chmod(0)
        said = as_nobody(seen)
        place.chmod(0o755)
        assert said == "not known ('SSL',) 0 None"


def test_cacerts_that_may_not_be_read_leave_nothing(folder: Path, runtime: Path) -> None:
    (runtime / "cacerts").chmod(0)
    with process_of_nobody() as pid:
        first, _ = stores_for(f"smtps://{HOST}", allegra(folder, runtime, pid=pid))
    assert (first.path.name, first.treatment, first.anchors) == ("cacerts", EMPTY, ())
    assert told(first, "trustAnchors parameter must be non-empty") is Ground.MEASURED
    assert verdicts([probe_of(LEAF.der)], first)[0].endswith("the trustAnchors parameter must be non-empty")


def test_a_jssecacerts_that_may_not_be_read_leaves_cacerts(folder: Path, runtime: Path) -> None:
    (runtime / "jssecacerts").write_bytes(jks(OTHER_ROOT.der))
    (runtime / "jssecacerts").chmod(0)
    with process_of_nobody() as pid:
        first, _ = stores_for(f"smtps://{HOST}", allegra(folder, runtime, pid=pid))
    assert (first.path.name, first.anchors) == ("cacerts", (ROOT.der,))
    assert told(first, "the rights of jssecacerts forbid it") is Ground.MEASURED


def test_a_link_into_a_folder_that_the_service_may_not_enter_leads_nowhere(
    folder: Path, runtime: Path, open_folder: Path
) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    (closed / "store").write_bytes(jks(OTHER_ROOT.der))
    (folder / KS).symlink_to(closed / "store")
    closed.chmod(0)
    with process_of_nobody() as pid:
        found = stores_for(f"smtps://{HOST}", allegra(folder, runtime, pid=pid))
    closed.chmod(0o755)
    assert found[0].path.name == ("cacerts" if os.geteuid() == 0 else KS)  # who may not look either does not know
    assert [store.treatment for store in found] == ([READ, PASSED_OVER] if os.geteuid() == 0 else [UNKNOWN])


def test_the_user_of_a_process_is_read_from_the_kernel() -> None:
    own = user_of(os.getpid())
    assert own is not None
    assert (own.uid, own.groups) == (os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
    assert own.overrides == (os.geteuid() == 0)
    with process_of_nobody() as pid:
        other = user_of(pid)
        assert other is not None
        assert not other.overrides
    assert user_of(pid) is None


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "readable"),
    [
        (1, (), 0o400, True),
        (1, (2,), 0o077, False),  # the owner's bits alone count for the owner
        (3, (2,), 0o040, True),
        (3, (2,), 0o404, False),
        (3, (), 0o004, True),
        (3, (), 0o440, False),
    ],
)
def test_owner_then_group_then_others(uid: int, groups: tuple[int, ...], mode: int, *, readable: bool) -> None:
    state = os.stat_result((mode, 0, 0, 1, 1, 2, 0, 0, 0, 0))
    assert ServiceUser(7, uid, frozenset(groups), overrides=False).may(4, state) is readable
    assert ServiceUser(7, uid, frozenset(groups), overrides=True).may(4, state)


# --- what lies there ---------------------------------------------------------------------------------------------------------


def test_links_are_resolved_and_an_owner_is_named(
    folder: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    target = open_folder / "system" / "cacerts"
    target.parent.mkdir()
    target.write_bytes(jks(OTHER_ROOT.der))
    monkeypatch.setattr(java_home, "owner", {target: "some tool writes this file"}.get)
    (folder / KS).symlink_to(target)
    (named,) = stores_for(f"smtps://{HOST}", allegra(folder, runtime))
    assert (named.path, named.real_path, named.anchors) == (folder / KS, target, (OTHER_ROOT.der,))
    assert told(named, f"a link to {target}") is Ground.DISK
    assert told(named, "some tool writes this file") is Ground.MANUAL
    target.unlink()
    _, named = stores_for(f"smtps://{HOST}", allegra(folder, runtime))
    assert told(named, "it does not exist, a link to", str(target)) is Ground.DISK


@pytest.mark.parametrize("kind", ["pipe", "loop", "huge", "file for a folder"])
def test_what_is_no_store_at_all_is_told_and_neither_raised_nor_waited_for(kind: str, folder: Path, runtime: Path) -> None:
    place = folder / KS
    expected = PASSED_OVER
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "loop":
        place.symlink_to(place)
    elif kind == "huge":
        with place.open("wb") as file:
            file.truncate(64 * 2**20 + 1)
        expected = UNKNOWN
    else:
        folder.rmdir()
        folder.write_bytes(b"")
    (named,) = (store for store in stores_for(f"smtps://{HOST}", allegra(folder, runtime)) if store.path == place)
    assert (named.treatment, named.anchors) == (expected, ())


# --- the JVM -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def java_says(java: Path) -> Iterator[Callable[[kit.Endpoint, Path], str]]:
    """What a JVM says that is started with this store and no password, as nobody where we are root."""
    humble: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
    javac = java.resolve().with_name("javac")
    if not javac.exists():
        absent(f"no compiler beside {java}")
    with TemporaryDirectory() as classes:
        subprocess.run([javac, "-d", classes, Path(__file__).parent / "java" / "Connect.java"], check=True)
        Path(classes).chmod(0o755)

        def ask(endpoint: kit.Endpoint, store: Path) -> str:
            scheme, _, _ = endpoint.url.partition(":")
            options = ["-Xmx64m", "-XX:-UsePerfData", f"-Djavax.net.ssl.trustStore={store}", "-cp", classes]
            command = [str(java), *options, "Connect", scheme, endpoint.identity, str(endpoint.port)]
            done: subprocess.CompletedProcess[str] = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=60, cwd="/", **humble
            )
            if done.returncode:
                return done.stderr
            return re.sub(r"^REFUSED (\([a-z_]+\) )?", "", done.stdout.strip()).replace("TRUSTED", "trusted")

        yield ask


CONTENTS: dict[str, tuple[Treatment, Callable[[bytes], bytes] | None]] = {
    "nothing": (PASSED_OVER, None),
    "a folder": (PASSED_OVER, None),
    "forbidden": (PASSED_OVER, jks),
    "JKS": (READ, jks),
    "PKCS12, not encrypted": (READ, lambda der: p12(der, None)),
    "PKCS12, encrypted": (EMPTY, lambda der: p12(der, b"changeit")),
    "JKS without an entry": (EMPTY, lambda _: jks()),
    "JCEKS": (REFUSED, lambda der: b"\xce\xce\xce\xce" + jks(der)[4:]),
    "PEM": (REFUSED, lambda _: b"-----BEGIN CERTIFICATE-----\n"),
    "truncated": (REFUSED, lambda der: jks(der)[: len(der) // 2]),
    "an entry that is no certificate": (REFUSED, lambda der: jks(der, NO_CERTIFICATE)),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_jvm_started_with_the_file_does_what_is_told(
    kind: str, folder: Path, java: Path, java_says: Callable[..., str], laboratory: kit.Laboratory
) -> None:
    treatment, content = CONTENTS[kind]
    endpoint = laboratory.endpoints["smtp"]
    store = folder / "localhost.ks"
    if content is not None:
        store.write_bytes(content(kit.read_certificates(laboratory.ca_file)[0]))
    elif kind == "a folder":
        store.mkdir()
    if kind == "forbidden":
        store.chmod(0)
    with process_of_nobody() as pid:
        found = stores_for(endpoint.url, allegra(folder, java.resolve().parents[1] / "lib" / "security", pid=pid))
    (named,) = (one for one in found if one.path == store)
    assert named.treatment is treatment
    assert (found[0] is named) == (treatment is not PASSED_OVER)
    answer = java_says(endpoint, store)
    (said,) = verdicts([kit.probe(endpoint)], found[0])
    if treatment is REFUSED:
        words = ("NoSuchAlgorithmException: Error constructing implementation", "problem accessing trust store")
        assert [word for word in words if word not in answer or word not in said] == []
        assert told(named, *words) is Ground.MEASURED
    else:
        assert answer == said
        assert (answer == "trusted") == (treatment is READ)


# --- servers and stores ------------------------------------------------------------------------------------------------------

RESULTS = (
    probe_of(LEAF.der),
    failure_of(url="ldaps://ldap.example.com:636"),
    failure_of(LEAF.der, url="imaps://mail.example.com:993"),
    probe_of(url="pop3s://mail.example.com:995"),
)
PKIX = "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid"


@pytest.fixture
def some_stores(folder: Path, runtime: Path) -> list[kit.Snapshot | EffectiveStore]:
    """One that serves, one that does not, JCEKS, one that is not there, and one that Java refuses."""
    (folder / "other.ks").write_bytes(jks(OTHER_ROOT.der))
    (folder / "jceks").write_bytes(b"\xce\xce\xce\xce" + jks(ROOT.der)[4:])
    (folder / KS).write_bytes(b"-----BEGIN CERTIFICATE-----")
    paths = (runtime / "cacerts", folder / "other.ks", folder / "jceks", folder / f"{HOSTILE.replace('/', '')}.ks")
    return [*map(kit.read_keystore, paths), *stores_for(f"smtps://{HOST}", allegra(folder, runtime))]


def test_the_matrix_has_a_row_a_server_and_a_column_a_store(some_stores: list[kit.Snapshot | EffectiveStore]) -> None:
    frame = kit.trust_matrix(RESULTS, some_stores)
    assert list(frame.index) == [result.endpoint.url for result in RESULTS]
    assert [Path(name).name for name in frame.columns[:3]] == ["cacerts", "other.ks", "jceks"]
    assert {str(kind) for kind in frame.dtypes} == {"string"}
    for server in (0, 2):
        trusted, refused, jceks, missing, pem = frame.iloc[server]
        assert trusted == "trusted"
        assert refused.startswith(PKIX)
        assert jceks == pem
        assert "problem accessing trust store" in pem
        assert "reads the cacerts of its runtime" in missing
    assert set(frame.iloc[1]) == {"no certificate: ConnectFailed"}
    assert set(frame.iloc[3]) == {"no certificate"}


@pytest.mark.parametrize(("servers", "stores"), [(0, 0), (0, 2), (2, 0)])
def test_a_matrix_of_nothing_has_its_shape_and_its_picture(
    servers: int, stores: int, some_stores: list[kit.Snapshot | EffectiveStore]
) -> None:
    assert kit.trust_matrix(RESULTS[:servers], some_stores[:stores]).shape == (servers, stores)
    assert "0 trusted with every store" in str(kit.show_matrix(RESULTS[:servers], some_stores[:stores]))


def test_the_picture_of_the_matrix_has_the_servers_first_that_nothing_serves(
    some_stores: list[kit.Snapshot | EffectiveStore],
) -> None:
    shown = kit.show_matrix(reversed(RESULTS), some_stores)
    for said in (flat(str(shown)), text_of(shown.html())):
        assert "4 servers, 5 stores: 0 trusted with every store" in said
        places = [
            said.index(word)
            for word in ("✖ 0 of 5", "no certificate", "no certificate: ConnectFailed", "● 1 of 5", "✔ trusted", PKIX)
        ]
        assert places == sorted(places)
        assert "\u202e" not in said
    one = str(kit.show_matrix(RESULTS, some_stores[:1]))
    assert "2 trusted with every store" in one
    assert "✔ 1 of 1" in one


def test_the_picture_of_a_store_has_every_statement_and_how_it_is_known(folder: Path, runtime: Path) -> None:
    cacerts, named = stores_for(f"smtp://{HOST}", allegra(folder, runtime))
    assert f"✔ {cacerts.path}: read in the mode TLS and TLS if available" in flat(str(kit.show(cacerts)))
    shown = kit.show(named)
    for said in (flat(str(shown)), flat(text_of(shown.html()))):
        assert f"● {named.path}: passed over" in said
        for statement in named.statements:
            assert statement.text in said
            assert statement.ground.value in said
