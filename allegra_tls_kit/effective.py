"""Which truststore Allegra's Java really reads for a connection, what it makes of that file, and how each of this is known.

Rule 1: looking only. Nothing is written, no program is started, and a broken store is a statement, not an error.
Rule 2: each statement has its ground. What Allegra does was read in the source of its ancestor; Allegra itself is closed.

It is assumed that Java is told of no password and no type for the store, as Allegra's ancestor does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit import keystore
from allegra_tls_kit.access import Access, access, user_of
from allegra_tls_kit.endpoint import Protocol, Security
from allegra_tls_kit.errors import KeystoreError
from allegra_tls_kit.files import read_keystore_bytes
from allegra_tls_kit.java_home import is_file, is_folder, trust_file
from allegra_tls_kit.keystore import Snapshot, StoreType, no_certificate_in
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import count, few, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.locate import Allegra

LDAPS_STORE = "trackplus.ks"
"""What Allegra's ancestor names for every LDAPS connection, whatever the host."""
IF_AVAILABLE = "TLS if available"
"""The label in Allegra's settings of STARTTLS that may be left out; the other labels are `Security.allegra_label`."""
TRUSTED = "trusted"
LISTED_STORES = 10
_LONGEST = 1000

_REFUSED = (
    "Java does not load this file: NoSuchAlgorithmException: Error constructing implementation … problem accessing trust store; "
    "every TLS connection with it fails"
)
_PASSED_OVER = "Java passes over this file without a word and reads the cacerts of its runtime"
_NOT_KNOWN = "not known: the store cannot be read from here"
_PLAINTEXT_RETRY = (
    "IMAP and POP3 in the mode SSL try again in plaintext where TLS fails: what Java says is hidden behind a hang or an end of "
    "file, and on a port for STARTTLS the password goes out in the clear"
)
_NOTHING_LEFT = "Java opens no store then, and every connection fails: the trustAnchors parameter must be non-empty"


class Ground(StrEnum):
    """How a statement is known."""

    PROCESS = "seen in this process"
    DISK = "seen on this disk"
    ANCESTOR = "read in the ancestor's source (Track+ 5.1)"
    MANUAL = "manual"
    MEASURED = "measured on Java 11 to 25"


class Treatment(StrEnum):
    """What Java makes of a file that it is told to read."""

    READ = "read"
    EMPTY = "read as empty"
    REFUSED = "refused"
    PASSED_OVER = "passed over"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class GroundedStatement:
    """One sentence, made visible, and how it is known."""

    text: str
    ground: Ground


@dataclass(frozen=True, slots=True)
class EffectiveStore:
    """One file in its relation to one connection.

    `path` is how Java names it, `real_path` the same with links resolved. `modes` are the labels of those of Allegra's security
    modes in which this file is read; empty where in none. `snapshot` is read without a password, None where that could not be
    done; of a file that is not there it says so.
    """

    path: Path
    real_path: Path
    modes: tuple[str, ...]
    treatment: Treatment
    snapshot: Snapshot | None = field(repr=False)
    statements: tuple[GroundedStatement, ...] = field(repr=False)

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The certificates (DER) that Java trusts with this file; empty where it does not read it."""
        return self.snapshot.anchors if self.snapshot is not None and self.treatment is Treatment.READ else ()


def effective_truststores(endpoint: Endpoint, allegra: Allegra) -> tuple[EffectiveStore, ...]:
    """Return the files that Allegra may read for this connection, the decisive one first; never empty.

    First comes the file read in the endpoint's own mode, then the one of "TLS if available" where that is another, last the file
    that Allegra names and Java passes over. Where no Java was found its cacerts are missing here. The first JVM of `allegra`
    counts, and what its process's user may read, where that is known. Not looked at: what the running JVM has read already.
    Raises LocateError for a host that names no file.
    """
    return _Connection(endpoint, allegra).stores()


def treatment_of(snapshot: Snapshot) -> Treatment:
    """Tell what Java makes of a store that was read without a password."""
    if not snapshot.exists:
        return Treatment.PASSED_OVER
    if snapshot.store_type is StoreType.JCEKS or no_certificate_in(snapshot) is not None:
        return Treatment.REFUSED
    return Treatment.READ if snapshot.anchors else Treatment.EMPTY


def verdicts(results: Iterable[Probe | ProbeFailure], store: Snapshot | EffectiveStore) -> tuple[str, ...]:
    """Return for each result `trusted`, or what Java says, with this one store; in words where there is nothing to judge."""
    treatment = treatment_of(store) if isinstance(store, Snapshot) else store.treatment
    words = {Treatment.REFUSED: _REFUSED, Treatment.PASSED_OVER: _PASSED_OVER, Treatment.UNKNOWN: _NOT_KNOWN}.get(treatment)
    return tuple(_no_certificate(r) or words or judge(r, store.anchors).message or TRUSTED for r in results)


def _no_certificate(result: Probe | ProbeFailure) -> str | None:
    if result.chain:
        return None
    return f"no certificate: {type(result.error).__name__}" if isinstance(result, ProbeFailure) else "no certificate"


class _Connection:
    """The question, and what is looked up once for it."""

    def __init__(self, endpoint: Endpoint, allegra: Allegra) -> None:
        self._endpoint, self._allegra = endpoint, allegra
        self._ldap = endpoint.protocol is Protocol.LDAP
        self._starttls = endpoint.security is Security.STARTTLS
        self._jvm = next(iter(allegra.jvms), None)
        self._user = None if self._jvm is None or self._jvm.pid is None else user_of(self._jvm.pid)
        self._named = allegra.keystore_folder / LDAPS_STORE if self._ldap else allegra.keystore_for(endpoint.host)
        self._access = access(self._named, self._user)
        if not is_folder(allegra.home):
            hidden = "lies in a home that cannot be seen from here (a container?)"
            self._access = Access(exists=False, readable=None, words=hidden)

    def stores(self) -> tuple[EffectiveStore, ...]:
        # For mail the ancestor sets the property only where the file exists; where it is not set, Java looks for jssecacerts too.
        own = self._runtime_store(named=self._ldap or self._access.exists) if self._access.readable is False else self._named
        label = self._endpoint.security.allegra_label
        modes: dict[Path | None, list[str]] = {own: [] if self._ldap and self._starttls else [label]}
        if self._starttls and not self._ldap:
            smtp = self._endpoint.protocol is Protocol.SMTP
            modes.setdefault(own if smtp else self._runtime_store(named=False), []).append(IF_AVAILABLE)
        modes.setdefault(self._named, [])
        modes.pop(None, None)  # no Java was found
        first = next(iter(modes))
        return tuple(self._store(path, tuple(labels), first=path == first) for path, labels in modes.items() if path)

    def _runtime_store(self, *, named: bool) -> Path | None:
        """Return the runtime's own file that is read; `named` means that `javax.net.ssl.trustStore` names another."""
        if self._jvm is None:
            return None
        default = self._jvm.cacerts
        if default.shadows is None or not (named or access(default.path, self._user).readable is False):
            return default.path
        return default.shadows

    def _store(self, path: Path, modes: tuple[str, ...], *, first: bool) -> EffectiveStore:
        named = path == self._named
        seen = self._access if named else access(path, self._user)
        treatment, snapshot, found = _opened(path)
        if seen.readable is None:
            treatment, snapshot = Treatment.UNKNOWN, None
            found = [_disk(f"it {seen.words}; look again as Allegra's user or as an administrator")]
        elif not seen.readable:
            treatment = Treatment.PASSED_OVER if named else Treatment.EMPTY
            found = [_disk(f"it {seen.words}"), _measured(_PASSED_OVER if named else _NOTHING_LEFT)]
        else:
            found = [*found, *self._read_by_whom(), *self._since_the_start(path)]
        why = self._why_named() if named else self._why_runtime(path, modes)
        others = self._in_one_jvm(path) if first else ()
        statements = tuple(dict.fromkeys((*why, *_place(path), *found, *others)))
        return EffectiveStore(path, Path(os.path.realpath(path)), modes, treatment, snapshot, statements)

    # --- statements ----------------------------------------------------------------------------------------------------------

    def _why_named(self) -> Iterator[GroundedStatement]:
        name = visible(self._named.name)
        if self._ldap:
            yield _ancestor(f"LDAPS names {name}, whatever the host, also where the file does not exist")
            if self._starttls:
                yield _ancestor("it has no StartTLS for LDAP: ldap:// is plaintext and reads no store; this is what LDAPS reads")
            yield _manual(f"an older one names {name} for LDAPS; the current one <host>.ks, as for mail")
            return
        which = f"{self._endpoint.protocol.name} in the mode {self._endpoint.security.allegra_label}"
        yield _ancestor(f"{which} names {name}, the host as it is typed in the settings, if the file exists")
        if self._starttls:
            yield self._if_available()
        elif self._endpoint.protocol is not Protocol.SMTP:
            yield _ancestor(_PLAINTEXT_RETRY)
        yield _manual("<host>.ks for mail servers; on problems, or for TLS instead of SSL, the store of the Java runtime")

    def _if_available(self) -> GroundedStatement:
        if self._endpoint.protocol is Protocol.SMTP:
            return _ancestor(f"the mode {IF_AVAILABLE} reads the same; to a server without STARTTLS mail goes in plaintext")
        return _ancestor(f"IMAP and POP3 in the mode {IF_AVAILABLE} name no store, and the runtime's own is read")

    def _why_runtime(self, path: Path, modes: tuple[str, ...]) -> Iterator[GroundedStatement]:
        if modes != (IF_AVAILABLE,):
            yield _disk(f"{self._named} {self._access.words}; this is what Java reads in its place")
        if IF_AVAILABLE in modes:
            yield self._if_available()
        if self._jvm is not None and self._jvm.cacerts.shadows == path:
            yield _measured("jssecacerts beside it is not read: a store is named, or the rights of jssecacerts forbid it")
        elif self._jvm is not None and self._jvm.cacerts.shadows is not None:
            yield _measured("no store is named, so jssecacerts is read and cacerts beside it is not")

    def _read_by_whom(self) -> Iterator[GroundedStatement]:
        if self._user is None:
            yield _disk("whether it may be read was checked for this user only: the user of a running Allegra is not known")
        else:
            yield GroundedStatement(f"{self._user} may read it, by owner, group and mode", Ground.PROCESS)

    def _since_the_start(self, path: Path) -> Iterator[GroundedStatement]:
        changed = _changed(path)
        if self._jvm is None or self._jvm.started is None or changed is None:
            return
        started = f"process {self._jvm.pid} started, {self._jvm.started:%Y-%m-%d %H:%M:%S} UTC"
        if changed > self._jvm.started:
            told = f"the file or its rights changed {changed:%Y-%m-%d %H:%M:%S} UTC, after {started}; restart Allegra"
        else:
            told = f"unchanged since {started}"
        yield GroundedStatement(told, Ground.PROCESS)

    def _in_one_jvm(self, path: Path) -> Iterator[GroundedStatement]:
        yield _measured("one JVM keeps the store that it opens first, for all connections and until it ends")
        try:
            names = sorted(file.name for file in self._allegra.keystore_folder.iterdir() if file.suffix == ".ks" and file != path)
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as error:
            names = []
            yield _disk(f"which stores compete with it is not known: {error.strerror}")
        if names:
            yield _disk(f"stores of the same Allegra that compete with it: {few(names, LISTED_STORES)}")
        if self._jvm is None:
            yield _disk("no Java was found, so its cacerts are not shown")
        elif self._jvm.truststore_property is not None:
            option = f"javax.net.ssl.trustStore={visible(self._jvm.truststore_property)}"
            text = f"process {self._jvm.pid} was started with {option}, read by whatever opens TLS before mail or LDAPS does"
            yield GroundedStatement(text, Ground.PROCESS)
            yield _ancestor("mail takes that option away before each use, and LDAPS sets its own")


def _opened(path: Path) -> tuple[Treatment, Snapshot | None, list[GroundedStatement]]:
    """Read a store as this user can, without a password; of what is no file nothing is opened."""
    try:
        if not is_file(path) and path.exists():
            return Treatment.UNKNOWN, None, []
        data = read_keystore_bytes(path)
    except (OSError, ValueError) as error:  # UnreadableKeystore among them: no right to read it, or larger than is read here
        return Treatment.UNKNOWN, None, [_disk(str(error))]
    try:
        snapshot = keystore.read(data, path)
    except KeystoreError as error:
        return Treatment.REFUSED, None, [_disk(str(error)), _measured(_REFUSED)]
    treatment = treatment_of(snapshot)
    if treatment is Treatment.REFUSED:
        alias = no_certificate_in(snapshot)
        bad = "JCEKS, which Java reads only if it is told" if alias is None else f"entry {visible(alias)!r} is no certificate"
        return treatment, snapshot, [_disk(bad), _measured(_REFUSED)]
    trusted = f"with it Java trusts {count(len(snapshot.anchors), 'certificate')} and no others"
    return treatment, snapshot, [_measured(text) for text in (*snapshot.notes, *([trusted] if snapshot.anchors else []))]


def _place(path: Path) -> Iterator[GroundedStatement]:
    file = trust_file(path)
    if file.real_path != path:
        yield _disk(f"a link to {file.real_path}, the file that would be written")
    if file.owned_by is not None:
        yield _manual(file.owned_by)


def _changed(path: Path) -> datetime | None:
    """Return when the file was written, put in place or given other rights; the first alone may be a time it brought along."""
    try:
        state = path.stat()
        return datetime.fromtimestamp(max(state.st_mtime, state.st_ctime), UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _disk(text: str) -> GroundedStatement:
    return GroundedStatement(visible(text, _LONGEST), Ground.DISK)


def _ancestor(text: str) -> GroundedStatement:
    return GroundedStatement(text, Ground.ANCESTOR)


def _manual(text: str) -> GroundedStatement:
    return GroundedStatement(text, Ground.MANUAL)


def _measured(text: str) -> GroundedStatement:
    return GroundedStatement(text, Ground.MEASURED)
