"""The one door: `apply` writes a keystore as its plan says, `verify` proves that this serves its purpose.

`apply` leaves the live file byte for byte as it was, or with exactly the entries that the plan simulates; there is no third
state. The journal is written ahead of each step, so that after a crash its last line and one digest tell which state holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from allegra_tls_kit import keystore, swap
from allegra_tls_kit.attributes import (
    attributes_of,
    require_no_loose_link,
    require_no_mount,
    require_own_root,
    require_replaceable,
)
from allegra_tls_kit.candidate import Candidate, candidate
from allegra_tls_kit.effective import effective_truststores
from allegra_tls_kit.errors import (
    JavaError,
    JournalError,
    KeystoreError,
    KitError,
    NotConfirmed,
    NotWritable,
    PlanRefused,
    StalePlan,
    UnexpectedOutcome,
)
from allegra_tls_kit.files import read_keystore, read_keystore_bytes
from allegra_tls_kit.jvm import JvmCase, JvmVerdict, jvm_verdicts
from allegra_tls_kit.keystore import DEFAULT_PASSWORD, Snapshot
from allegra_tls_kit.plan import Applied, ApplyState, ApplyStep, Plan, require_fresh
from allegra_tls_kit.probe import probe_all
from allegra_tls_kit.secret import PasswordSource, obtain
from allegra_tls_kit.survey import identification, judge
from allegra_tls_kit.text import visible
from allegra_tls_kit.witness import Witness, allegra_of, java_of, jvm_at_hand, testimony

if TYPE_CHECKING:
    from collections.abc import Callable

    from allegra_tls_kit.attributes import Attributes
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.journal import Journal
    from allegra_tls_kit.locate import Allegra
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


def apply(  # noqa: PLR0913 - what a person confirms, and what a change may need beyond
    plan: Plan,
    journal: Journal,
    *,
    confirm: str,
    password: PasswordSource = None,
    backup_folder: str | os.PathLike[str] | None = None,
    witness: Witness | None = jvm_at_hand,
) -> Applied:
    """Make the change that the plan says, under a lock, with a backup, or leave the file as it is.

    `confirm` is the plan's id, typed by whoever has read the plan and compared the fingerprint. Without a password `changeit` is
    tried, which opens most stores and seals new ones; a restore needs none. The backup is `<name>.<UTC>.<plan's id>.bak`, beside
    the file or in `backup_folder`, which has to exist; its SHA-256 is `plan.snapshot.sha256`. `witness` reads the prepared store
    before it goes live: a JVM where one is at hand, `functools.partial(kit.jvm_anchors, java=…)` for a certain one, None for
    nobody; the journal says what came of it. A plan that changes nothing needs no confirmation, and writes nothing to the store.
    Raises NotConfirmed, PlanRefused (a conflict, or a witness that sees something else), StalePlan, WrongPassword,
    PasswordNeeded, WouldLose, KeystoreLocked, NotWritable, UnexpectedOutcome, JournalError.
    """
    refused = _refusal(plan, confirm)
    if refused is not None:
        journal.keep(plan)
        raise refused
    if not plan.changes:
        applied = Applied(plan, datetime.now(UTC), changed=False, sha256=plan.snapshot.sha256, backup=None)
        journal.keep_all((plan, applied))
        return applied
    folder = None if backup_folder is None else Path(os.path.realpath(backup_folder))
    return _Change(plan, journal, password, folder, witness).made()


def verify(applied: Applied, endpoint: Endpoint, journal: Journal, *, password: PasswordSource = None) -> Verified:
    """Look at the server again and judge its chain with what Java finds in the store now, by our rules and by a JVM at hand.

    The store is read as Allegra reads it, without a password; with one its integrity is checked too. Where it does not exist
    (after a rollback) the runtime's cacerts counts. Says whether a running Allegra must be restarted. Nothing is raised for a
    server that is not trusted: `trusted` says so.
    """
    store = applied.plan.keystore
    if password is not None:
        read_keystore(store, password)
    allegra = allegra_of(store)
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

    def __init__(
        self, plan: Plan, journal: Journal, password: PasswordSource, backup_folder: Path | None, witness: Witness | None
    ) -> None:
        self._plan, self._journal, self._source, self._witness = plan, journal, password, witness
        self._id = plan.id
        self._target = Path(os.path.realpath(plan.keystore))  # Path.resolve raises RuntimeError on a loop of links before 3.13
        self._backup_folder = backup_folder or self._target.parent
        self._at = datetime.now(UTC)
        self._backup: Path | None = None
        self._new: Candidate | None = None
        self._swapping = self._in_place = False

    def made(self) -> Applied:
        try:
            before = self._plan.snapshot.sha256
            self._journal.intend(self._plan, self._reached(ApplyState.CONFIRMED, before, f"plan {self._id} is confirmed"))
            self._password = _given(self._source, f"Password of {self._plan.keystore.name}")
            require_own_root(self._plan.keystore)
            require_no_loose_link(self._plan.keystore)
            require_no_mount(self._target)
            self._require_same_place()
            self._require_backup_folder()
            with swap.locked(self._target):
                return self._carried_out()
        except BaseException as error:
            if self._is_in_place():
                if isinstance(error, KitError | OSError):
                    raise UnexpectedOutcome(f"{self._target}: the change is in place, and then: {error}") from error
                raise
            self._abandon(error)
            if isinstance(error, JournalError):
                raise JournalError(f"{error}; the keystore is as it was") from error
            if isinstance(error, OSError) and not isinstance(error, KitError):
                raise NotWritable(f"{self._target}: {error.strerror or error}; the keystore is as it was") from error
            raise

    def _carried_out(self) -> Applied:
        data = read_keystore_bytes(self._target)
        if _digest(data) != self._plan.snapshot.sha256:
            self._refuse_as_stale(data)
        like = require_replaceable(self._target)
        if self._plan.removes_store:
            self._keep_backup(data, like)
            self._step(ApplyState.PREPARED, None, "the store is removed; the backup is what it was")
            self._swap(data, lambda: swap.take_away(self._target))
            return self._finished("removed")
        new = candidate(self._plan, data, self._target, self._password, self._at)
        model = like or (attributes_of(self._plan.backup.path) if self._plan.backup else None)
        with swap.prepared(self._target, new.data, model) as prepared:
            said = testimony(self._witness, prepared, self._target, new)
            self._keep_backup(data, like)
            self._new = new
            self._step(
                ApplyState.PREPARED, new.read.sha256, f"{prepared.name} holds the new store and reads back as planned; {said}"
            )
            put = swap.put_new if data is None else swap.put_over
            self._swap(data, lambda: put(prepared, self._target))
        return self._finished("in place, read back and compared")

    def _keep_backup(self, data: bytes | None, like: Attributes | None) -> None:
        if data is not None:
            copy = self._backup_folder / f"{self._target.name}.{self._at:%Y%m%dT%H%M%S.%fZ}.{self._id}.bak"
            swap.keep_copy(self._target, data, like, copy)
            self._backup = copy

    def _swap(self, data: bytes | None, put: Callable[[], None]) -> None:
        """Look at the old file once more and put the new one in place, or take the old one away; look at both again."""
        with swap.held(self._target, data) as is_as_it_was:
            if not is_as_it_was():
                self._refuse_as_stale(read_keystore_bytes(self._target))
            self._require_same_place()
            self._swapping = True
            try:
                put()
            except FileExistsError:  # somebody else has made the store
                self._refuse_as_stale(read_keystore_bytes(self._target))
            self._in_place = True
            overtaken = not is_as_it_was()
        swap.sync_folder(self._target.parent)
        if overtaken:
            raise UnexpectedOutcome(
                "somebody else wrote the old file while it was replaced; what they wrote is lost, say so to them"
            )
        if not self._is_as_planned():
            raise UnexpectedOutcome(
                f"it was replaced as planned and does not hold that now: somebody else wrote it; before it was {self._backup}"
            )

    def _require_same_place(self) -> None:
        """Notice a link, or a folder on the way, that was turned elsewhere since the store was read.

        It is looked at again right before the swap; what is turned in the microseconds behind that look is not noticed.
        """
        was, now = self._plan.snapshot.place or self._target, Path(os.path.realpath(self._plan.keystore))
        if now != was:
            raise StalePlan(
                f"{self._plan.keystore} led to {was} when it was read and leads to {now} now; look who turned it, then plan again"
            )

    def _refuse_as_stale(self, data: bytes | None) -> NoReturn:
        """Say what has changed; only for that the store is parsed again."""
        try:
            require_fresh(self._plan, keystore.read(data, self._plan.keystore, self._password))
        except KeystoreError as error:
            raise StalePlan(f"{self._target} has changed since plan {self._id} was made, and now: {error}") from None
        raise StalePlan(f"{self._target}: somebody is writing it at this moment; read it again and plan again")

    def _is_in_place(self) -> bool:
        """Look at the file itself where need be: over a network a rename can be done and reported as failed."""
        if self._swapping and not self._in_place:
            with contextlib.suppress(OSError, KitError):
                return self._is_as_planned()
        return self._in_place

    def _is_as_planned(self) -> bool:
        return read_keystore_bytes(self._target) == (self._new.data if self._new else None)

    def _abandon(self, error: BaseException) -> None:
        with contextlib.suppress(JournalError):  # what went wrong first is what has to be said; the digest tells the rest
            self._step(ApplyState.ABANDONED, self._plan.snapshot.sha256, f"{type(error).__name__}: {error}")

    def _require_backup_folder(self) -> None:
        if self._backup_folder != self._target.parent and not self._backup_folder.is_dir():
            raise NotWritable(f"{self._backup_folder}: there is no such folder for the backup; make it, or leave it out")

    def _finished(self, detail: str) -> Applied:
        digest = self._new.read.sha256 if self._new else None
        applied = Applied(self._plan, self._at, changed=True, sha256=digest, backup=self._backup)
        self._journal.keep_all((self._reached(ApplyState.APPLIED, digest, detail), applied))
        return applied

    def _step(self, state: ApplyState, digest: str | None, detail: str) -> None:
        self._journal.keep(self._reached(state, digest, detail))

    def _reached(self, state: ApplyState, digest: str | None, detail: str) -> ApplyStep:
        return ApplyStep(self._id, state, self._target, digest, self._backup, detail)


def _refusal(plan: Plan, confirm: str) -> KitError | None:
    if plan.conflicts:
        return PlanRefused(f"{plan.keystore}: {visible(plan.conflicts[0].alias)}: {plan.conflicts[0].reason}")
    if confirm == plan.id or not plan.changes:
        return None
    return NotConfirmed(
        f"read the plan, compare the fingerprint, then confirm={plan.id!r}; {visible(str(confirm), 20)!r} is not its id"
    )


def _given(source: PasswordSource, question: str) -> str:
    password = obtain(source, question)
    return DEFAULT_PASSWORD if password is None else password


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _effective(snapshot: Snapshot, endpoint: Endpoint, allegra: Allegra | None) -> Snapshot:
    """Return the store that counts: this one, or where it does not exist the one that Java reads for the connection."""
    if snapshot.exists or allegra is None or allegra.cacerts is None:
        return snapshot
    return effective_truststores(endpoint, allegra)[0].snapshot or snapshot


def _ask_jvm(
    chain: tuple[bytes, ...], store: Snapshot, endpoint: Endpoint, allegra: Allegra | None
) -> tuple[JvmVerdict | None, str]:
    case = JvmCase(chain, store.path, endpoint.identity, identification(endpoint))
    try:
        (verdict,) = jvm_verdicts([case], java=java_of(allegra))
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
