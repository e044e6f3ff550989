"""The one door: `apply` writes a keystore as its plan says, `verify` proves that this serves its purpose.

`apply` leaves the live file byte for byte as it was, or with exactly the entries that the plan simulates; there is no third
state. The journal is written ahead of each step, so that after a crash its last line and one digest tell which state holds.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit import keystore, swap
from allegra_tls_kit.effective import effective_truststores
from allegra_tls_kit.errors import (
    JavaError,
    KitError,
    LocateError,
    NeedsKeytool,
    NotConfirmed,
    NotWritable,
    PlanRefused,
    UnexpectedOutcome,
    WouldLose,
)
from allegra_tls_kit.files import read_keystore, read_keystore_bytes
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, jvm_verdicts, keytool_edit
from allegra_tls_kit.keystore import DEFAULT_PASSWORD, Edit, Snapshot, StoreType
from allegra_tls_kit.locate import Allegra, locate
from allegra_tls_kit.plan import ActionKind, Applied, ApplyState, ApplyStep, Plan, differences, require_fresh, simulate
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.secret import PasswordSource, obtain
from allegra_tls_kit.survey import identification, judge
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.journal import Journal
    from allegra_tls_kit.trust import Diagnosis


@dataclass(frozen=True, slots=True)
class Verified:
    """What a change has brought: the server was looked at again, and judged with what is in the store now.

    `trusted` is true where our model of Java's rules says so and no JVM disagreed. `jvm` is a real JVM's verdict, None where none
    was at hand. `diagnosis` is None where the server showed no certificate. `sentences` say all of it, for showing.
    """

    plan: str
    endpoint: Endpoint
    at: datetime
    trusted: bool
    diagnosis: Diagnosis | None
    jvm: JvmVerdict | None
    sentences: tuple[str, ...]


def apply(plan: Plan, journal: Journal, *, confirm: str, password: PasswordSource = None) -> Applied:
    """Make the change that the plan says, under a lock, with a backup, or leave the file as it is.

    `confirm` is the plan's id, typed by whoever has read the plan and compared the fingerprint. Without a password `changeit` is
    tried, which opens most stores and seals new ones. A plan that changes nothing writes nothing to the store.
    Raises NotConfirmed, PlanRefused for a conflict, StalePlan, WrongPassword, PasswordNeeded, WouldLose, KeystoreLocked,
    NotWritable, UnexpectedOutcome, JournalError.
    """
    journal.keep(plan)
    conflicts = [action for action in plan.actions if action.kind is ActionKind.CONFLICT]
    if conflicts:
        raise PlanRefused(f"{plan.keystore}: {visible(conflicts[0].alias)}: {conflicts[0].reason}")
    if confirm != plan.id:
        raise NotConfirmed(
            f"read the plan, compare the fingerprint, then confirm={plan.id!r}; {visible(str(confirm), 20)!r} is not its id"
        )
    if not plan.changes:
        return journal.keep(Applied(plan, datetime.now(UTC), changed=False, sha256=plan.snapshot.sha256, backup=None))
    given = obtain(password, f"Password of {plan.keystore.name}")
    return _Change(plan, journal, DEFAULT_PASSWORD if given is None else given).made()


def verify(applied: Applied, endpoint: Endpoint, journal: Journal, *, password: PasswordSource = None) -> Verified:
    """Look at the server again and judge its chain with what Java finds in the store now, by our rules and by a JVM at hand.

    The store is read as Allegra reads it, without a password; with one its integrity is checked too. Where it does not exist
    (after a rollback) the runtime's cacerts counts. Says whether a running Allegra must be restarted. Nothing is raised for a
    server that is not trusted: `trusted` says so.
    """
    store = applied.plan.keystore
    if password is not None:
        read_keystore(store, password)
    allegra = _allegra(store)
    effective = _effective(read_keystore(store), endpoint, allegra)
    (result,) = probe_all((endpoint,))
    journal.keep(result)
    diagnosis = journal.keep(judge(result, effective.anchors)) if result.chain else None
    jvm, jvm_said = _ask_jvm(result.chain, effective, endpoint, allegra) if result.chain else (None, "no certificate was seen")
    trusted = diagnosis is not None and diagnosis.trusted and (jvm is None or jvm.trusted)
    model = "the server showed no certificate" if diagnosis is None else diagnosis.message or "trusted"
    sentences = (
        f"{endpoint.url} with {effective.path}, by Java's rules as this kit knows them: {model}",
        jvm_said,
        _restart(applied, allegra),
    )
    return journal.keep(Verified(applied.plan.id, endpoint, datetime.now(UTC), trusted, diagnosis, jvm, sentences))


class _Change:
    """One change on its way through the door."""

    def __init__(self, plan: Plan, journal: Journal, password: str) -> None:
        self._plan, self._journal, self._password = plan, journal, password
        self._target = Path(os.path.realpath(plan.keystore))  # Path.resolve raises RuntimeError on a loop of links before 3.13
        self._at = datetime.now(UTC)
        self._backup: Path | None = None
        self._in_place = False

    def made(self) -> Applied:
        self._step(ApplyState.CONFIRMED, self._plan.snapshot.sha256, f"plan {self._plan.id} is confirmed")
        try:
            with swap.locked(self._target):
                return self._carried_out()
        except (KitError, OSError) as error:
            if self._in_place:
                raise UnexpectedOutcome(f"{self._target}: the change is in place, and then: {error}") from error
            self._step(ApplyState.ABANDONED, self._plan.snapshot.sha256, f"{type(error).__name__}: {error}")
            if isinstance(error, KitError):
                raise
            raise NotWritable(f"{self._target}: {error.strerror or error}; the keystore is as it was") from error

    def _carried_out(self) -> Applied:
        data = read_keystore_bytes(self._target)
        require_fresh(self._plan, self._read(data))
        state = swap.require_replaceable(self._target)
        if self._plan.removes_store:
            return self._removed()
        candidate = self._candidate(data)
        digest = hashlib.sha256(candidate).hexdigest()
        prepared = swap.prepare(self._target, candidate, state)
        try:
            if data is not None and state is not None:
                swap.keep_copy(self._target, data, state, self._beside("bak"))
                self._backup = self._beside("bak")
            self._step(ApplyState.PREPARED, digest, f"{prepared.name} holds the new store and reads back as planned")
            self._require_untouched()
            prepared.replace(self._target)
            self._in_place = True
        finally:
            prepared.unlink(missing_ok=True)
        swap.sync_folder(self._target.parent)
        self._require_live(digest)
        return self._finished(digest)

    def _candidate(self, data: bytes | None) -> bytes:
        """Return the new bytes, read back and compared entry by entry with what the plan simulates."""
        add = {a.alias: a.certificate for a in self._plan.actions if a.kind is ActionKind.ADD and a.certificate is not None}
        remove = frozenset(a.alias for a in self._plan.actions if a.kind is ActionKind.REMOVE)
        edit = Edit(add, remove, self._at)
        try:
            candidate = keystore.rewrite(data, self._plan.keystore, self._password, edit)
        except NeedsKeytool as refusal:
            candidate = self._made_by_keytool(data or b"", edit, refusal)
        wrong = differences(simulate(self._plan), self._read(candidate).entries)
        if wrong:
            raise PlanRefused(
                f"{self._target}: the prepared store does not read back as planned ({', '.join(wrong[:5])}); not used"
            )
        return candidate

    def _made_by_keytool(self, data: bytes, edit: Edit, refusal: NeedsKeytool) -> bytes:
        """Let keytool make what no writer here can, on a copy; what comes of it is compared like anything else."""
        before = self._plan.snapshot
        password = self._password if before.integrity_checked or before.store_type is not StoreType.PKCS12 else None
        with tempfile.TemporaryDirectory(dir=self._target.parent, prefix=f".{self._target.name}.") as folder:
            copy = Path(folder) / self._target.name
            copy.write_bytes(data)
            try:
                keytool_edit(copy, before.store_type, password, add=list(edit.add.items()), remove=sorted(edit.remove))
            except JavaError as error:
                raise WouldLose(f"{refusal}; keytool could not do it on a copy either: {error}") from None
            return copy.read_bytes()

    def _read(self, data: bytes | None) -> Snapshot:
        return keystore.read(data, self._plan.keystore, self._password)

    def _removed(self) -> Applied:
        self._backup = self._beside("removed")
        self._step(ApplyState.PREPARED, None, f"the store goes to {self._backup.name}")
        self._require_untouched()
        self._target.replace(self._backup)
        self._in_place = True
        swap.sync_folder(self._target.parent)
        return self._finished(None)

    def _require_untouched(self) -> None:
        """Look at the digest once more right before the swap; the store is parsed again only to say what has changed."""
        data = read_keystore_bytes(self._target)
        if data is None or hashlib.sha256(data).hexdigest() != self._plan.snapshot.sha256:
            require_fresh(self._plan, self._read(data))

    def _require_live(self, digest: str) -> None:
        live = read_keystore_bytes(self._target)
        if live is None or hashlib.sha256(live).hexdigest() != digest:
            raise UnexpectedOutcome(
                f"it was replaced as planned and does not hold that now: somebody else wrote it; before it was {self._backup}"
            )

    def _finished(self, digest: str | None) -> Applied:
        self._step(ApplyState.APPLIED, digest, "in place, read back and compared" if digest else "removed")
        return self._journal.keep(Applied(self._plan, self._at, changed=True, sha256=digest, backup=self._backup))

    def _step(self, state: ApplyState, digest: str | None, detail: str) -> None:
        self._journal.keep(ApplyStep(self._plan.id, state, self._target, digest, self._backup, detail))

    def _beside(self, what: str) -> Path:
        return self._target.with_name(f"{self._target.name}.{self._at:%Y%m%dT%H%M%SZ}.{self._plan.id}.{what}")


def _allegra(store: Path) -> Allegra | None:
    """Return the Allegra that the store belongs to, as far as it can be seen from here; None where there is none."""
    for home in (store.parent.parent if store.parent.name == "keystore" else None, None):
        try:
            return locate(home)
        except LocateError:
            continue
    return None


def _effective(snapshot: Snapshot, endpoint: Endpoint, allegra: Allegra | None) -> Snapshot:
    """Return the store that counts: this one, or where it does not exist the one that Java reads for the connection."""
    if snapshot.exists or allegra is None or allegra.cacerts is None:
        return snapshot
    return effective_truststores(endpoint, allegra)[0].snapshot or snapshot


def _ask_jvm(
    chain: tuple[bytes, ...], store: Snapshot, endpoint: Endpoint, allegra: Allegra | None
) -> tuple[JvmVerdict | None, str]:
    java = allegra.jvms[0].home if allegra is not None and allegra.jvms else None
    try:
        (verdict,) = jvm_verdicts([JvmCase(chain, store.path, endpoint.identity, identification(endpoint))], java=java)
    except JavaError as error:
        return None, f"no JVM was asked: {error}"
    return verdict, f"a real JVM says: {verdict.message or 'trusted'}"


def _restart(applied: Applied, allegra: Allegra | None) -> str:
    running = next((jvm for jvm in allegra.jvms if jvm.pid is not None), None) if allegra is not None else None
    if running is None:
        return "In effect after the next start of Allegra: a running JVM keeps the store that it read first."
    started = (
        f"process {running.pid} has been running since {running.started:%Y-%m-%d %H:%M} UTC" if running.started else "it runs"
    )
    if running.started is not None and running.started > applied.at:
        return f"In effect: {started}, after the change."
    return f"Restart Allegra: {started}, from before the change, and keeps the store that it read first."
