"""A change as a value: plan it, look at it, simulate it. Nothing here touches a file.

A plan is about one file and carries the snapshot that it was made from; its id is derived from all of it, so the id that
somebody confirms stands for exactly this change to exactly this file. Every awkward case is an action, not a flag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import certificate_facts, load, sha256_of
from allegra_tls_kit.errors import PasswordNeeded, PlanRefused, StalePlan
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, StoreType
from allegra_tls_kit.text import count, slug, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

ALIAS_PREFIX = "allegra-"
"""Entries that this kit made can be told by it."""
ID_DIGITS = 8
_NOT_THE_SAME = (
    "# Not the same: keytool encrypts what it adds to this file, and a Java that opens it without a password, as Allegra's does, "
    "does not see it. This kit adds it unencrypted."
)


class ActionKind(StrEnum):
    """What a plan does with one entry; `keep`, `not_found`, `left_out` and `conflict` change nothing.

    `delete_store` and `restore` with an empty alias are about the file; `restore` puts an entry back to what it was.
    """

    ADD = "add"
    KEEP = "keep"
    CONFLICT = "conflict"
    REMOVE = "remove"
    NOT_FOUND = "not_found"
    DELETE_STORE = "delete_store"
    RESTORE = "restore"
    LEFT_OUT = "left_out"


_CHANGING = frozenset({ActionKind.ADD, ActionKind.REMOVE, ActionKind.DELETE_STORE, ActionKind.RESTORE})


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a plan: what happens to this alias, with which certificate (DER), and why."""

    kind: ActionKind
    alias: str
    certificate: bytes | None = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of one keystore, made from `snapshot`; `purpose` says in a sentence what it is for.

    `backup` is the file that a restore puts in place byte for byte, None for every other plan.
    """

    snapshot: Snapshot
    purpose: str
    actions: tuple[Action, ...]
    backup: Snapshot | None = None

    @property
    def keystore(self) -> Path:
        """The file that the plan is about."""
        return self.snapshot.path

    @property
    def id(self) -> str:
        """Eight hexadecimal digits over the file, its content, the purpose and every action; the same plan has the same id.

        Of a restore it covers the backup too, by its path and digest.
        """
        actions = [(a.kind, a.alias, sha256_of(a.certificate) if a.certificate else None) for a in self.actions]
        restored = [] if self.backup is None else [str(self.backup.path), self.backup.sha256]
        whole = json.dumps([str(self.keystore), self.snapshot.sha256, self.purpose, actions, *restored])
        return hashlib.sha256(whole.encode()).hexdigest()[:ID_DIGITS]

    @property
    def changes(self) -> bool:
        """Whether applying it would change the file; False where everything is there already."""
        return any(action.kind in _CHANGING for action in self.actions)

    @property
    def conflicts(self) -> tuple[Action, ...]:
        """What keeps the plan from being applied; empty where nothing does."""
        return tuple(action for action in self.actions if action.kind is ActionKind.CONFLICT)

    @property
    def removes_store(self) -> bool:
        """Whether the file itself goes, with all that is in it."""
        return any(a.kind is ActionKind.DELETE_STORE for a in self.actions)

    def keytool_commands(self) -> tuple[str, ...]:
        """Return the same change as commands for a POSIX shell, to be run in this order, the password from `$STOREPASS`.

        They are for a change board, or a host where this kit may not run; `sha256sum` is GNU's. keytool writes in place, without
        lock or backup; for a store without a password it takes any. Empty where nothing changes, and for a plan that cannot be
        applied. A line that begins with `#` says where they fall short.
        """
        where = shlex.quote(str(self.keystore))
        if self.conflicts or not self.changes:
            return ()
        if self.removes_store:
            return (f"mv {where} {shlex.quote(f'{self.keystore}.{self.id}.removed')}",)
        folder = [] if self.snapshot.exists else [f"mkdir -p {shlex.quote(str(self.keystore.parent))}"]
        if self.backup is not None:
            return (*folder, _copied(self.backup, where))
        changes = [command for action in self.actions for command in self._keytool(action, where)]
        adds = any(action.kind is ActionKind.ADD for action in self.actions)
        warned = [_NOT_THE_SAME] if adds and _is_encrypted(self.snapshot) else []
        return (*warned, *folder, *changes)

    def _keytool(self, action: Action, where: str) -> Iterator[str]:
        store = f"-storetype {self.snapshot.store_type} -keystore {where} -storepass:env STOREPASS"
        # Java reads its command line by the locale, and in that of a cron job it reads nothing beyond ASCII.
        keytool = "keytool" if f"{action.alias}{where}".isascii() else "LC_ALL=C.UTF-8 keytool"
        alias = shlex.quote(action.alias)
        if action.kind is ActionKind.REMOVE:
            yield f"{keytool} -delete -alias {alias} {store}"
        elif action.kind is ActionKind.ADD and action.certificate is not None:
            yield f"{keytool} -importcert -noprompt -alias {alias} {store} <<'PEM'\n{pem(action.certificate)}PEM"


class ApplyState(StrEnum):
    """How far a change came; written to the journal before the step it names is final."""

    CONFIRMED = "confirmed"
    PREPARED = "prepared"
    APPLIED = "applied"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """One step of a change on its way: after a crash the last of them and one digest tell which state the file is in.

    `sha256` is of the file that this step prepared or put in place, None where there is none (a store that is removed).
    """

    plan: str
    state: ApplyState
    keystore: Path
    sha256: str | None
    backup: Path | None
    detail: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A change that was made. `at` is aware UTC; `backup` is the copy of the file as it was, None where there was no file.

    `changed` is False where everything was there already. `sha256` is of the file afterwards, None where it was removed; that of
    the backup is `plan.snapshot.sha256`.
    """

    plan: Plan
    at: datetime
    changed: bool
    sha256: str | None
    backup: Path | None


def suggest_alias(der: bytes, prefix: str = ALIAS_PREFIX) -> str:
    """Return the alias this kit would give: `allegra-<cn>-<first digits of the SHA-256>`, lower-case ASCII, never colliding."""
    facts = certificate_facts(der)
    return f"{prefix}{slug(facts.name)}-{facts.sha256[:8]}"


def plan_import(snapshot: Snapshot, certificates: Iterable[bytes], *, purpose: str, aliases: Sequence[str] | None = None) -> Plan:
    """Plan to trust these certificates (DER) in this store; `aliases` one for each, suggested ones if None.

    A certificate that Java sees there already is kept, under whatever alias; an alias that holds another one is a conflict, and
    such a plan cannot be applied. Raises CertificateError, PasswordNeeded for a store whose entries were not all read, and
    PlanRefused for an empty list or aliases that do not fit it. Nobody's fingerprint is compared here: see
    `ImportChoice.checked_certificate`.
    """
    wanted = tuple(dict.fromkeys(certificates))
    if not wanted:
        raise PlanRefused(f"{snapshot.path}: no certificate to import")
    names = tuple(suggest_alias(der) for der in wanted) if aliases is None else tuple(alias.lower() for alias in aliases)
    if len(names) != len(wanted) or len(set(names)) != len(names):
        wrong = f"{count(len(wanted), 'certificate')} and {len(set(names))} different aliases do not fit"
        raise PlanRefused(f"{snapshot.path}: {wrong}; give each one its own")
    require_read(snapshot)
    return Plan(snapshot, purpose, tuple(import_action(snapshot, alias, der) for alias, der in zip(names, wanted, strict=True)))


def plan_removal(snapshot: Snapshot, aliases: Iterable[str], *, purpose: str) -> Plan:
    """Plan to take out trusted certificates by alias; a missing one is `not_found`, and keys are never removed (PlanRefused)."""
    require_read(snapshot)
    actions = []
    for alias in dict.fromkeys(alias.lower() for alias in aliases):
        entry = snapshot.entry(alias)
        if entry is not None and entry.kind in (EntryKind.PRIVATE_KEY, EntryKind.SECRET_KEY):
            raise PlanRefused(f"{snapshot.path}: {visible(alias)} is a {entry.kind}; keys are not removed here")
        actions.append(removal_action(alias, entry, "wanted gone"))
    return Plan(snapshot, purpose, tuple(actions))


def simulate(plan: Plan) -> tuple[Entry, ...]:
    """Return the entries that the store has after the plan, in no particular order; empty where the store is removed."""
    if plan.removes_store:
        return ()
    if plan.backup is not None:
        return plan.backup.entries
    seen = is_seen(plan.snapshot.store_type)
    removed = {action.alias for action in plan.actions if action.kind is ActionKind.REMOVE}
    kept = tuple(entry for entry in plan.snapshot.entries if entry.alias not in removed)
    added = tuple(
        Entry(action.alias, EntryKind.TRUSTED, action.certificate, sha256_of(action.certificate), anchor=seen)
        for action in plan.actions
        if action.kind is ActionKind.ADD and action.certificate is not None
    )
    return kept + added


def differences(expected: Iterable[Entry], found: Iterable[Entry]) -> tuple[str, ...]:
    """Name every alias in which two sets of entries differ, in kind, content or being there; creation dates do not count."""
    listed = [[(e.alias, e.kind, e.content, e.anchor) for e in entries] for entries in (expected, found)]
    if listed[0] == listed[1]:  # as a rule; counting takes longer
        return ()
    before, after = map(Counter, listed)
    old, new = ({alias for alias, *_ in held} for held in listed)
    other = {alias for alias, *_ in (before - after) + (after - before)} & old & new  # of two entries of one alias, too
    return tuple(
        f"{visible(alias)} {what}"
        for what, aliases in (("came", new - old), ("went", old - new), ("changed", other))
        for alias in sorted(aliases)
    )


def require_fresh(plan: Plan, now: Snapshot) -> None:
    """Raise StalePlan where the file is not the one that the plan was made from; the message says what came and went."""
    if now.sha256 == plan.snapshot.sha256:
        return
    changed = differences(plan.snapshot.entries, now.entries)
    what = ", ".join(changed[:10]) if changed else "the same entries in another file"
    if changed and not differences(simulate(plan), now.entries):
        raise StalePlan(
            f"{plan.keystore} holds already what plan {plan.id} is for: {what}; it was applied before, or somebody did the same"
        )
    raise StalePlan(f"{plan.keystore} has changed since plan {plan.id} was made: {what}; read it again and plan again")


def pem(der: bytes) -> str:
    """Return a certificate as PEM text."""
    text = base64.b64encode(der).decode("ascii")
    body = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))  # textwrap takes the square of the time
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def import_action(snapshot: Snapshot, alias: str, der: bytes, reason: str = "not in the store") -> Action:
    """Return what an import of one certificate does to a store: add it, keep what is there, or meet a conflict."""
    load(der)
    present = next((entry for entry in snapshot.entries if entry.certificate == der and _serves(entry, snapshot)), None)
    if present is not None:
        return Action(ActionKind.KEEP, present.alias, der, "this certificate is there already; nothing to do")
    holder = snapshot.entry(alias)
    if holder is not None:
        held = f"a {holder.kind}" if holder.sha256 is None else f"the certificate {holder.sha256[:16]}…"
        return Action(
            ActionKind.CONFLICT, alias, der, f"this alias holds {held}; choose another alias, nothing is replaced silently"
        )
    return Action(ActionKind.ADD, alias, der, reason)


def removal_action(alias: str, entry: Entry | None, reason: str) -> Action:
    """Return what the removal of an alias does: take the entry out, or find none."""
    if entry is None:
        return Action(ActionKind.NOT_FOUND, alias, None, "no such entry; nothing to do")
    return Action(ActionKind.REMOVE, alias, entry.certificate, reason)


def require_read(snapshot: Snapshot) -> None:
    """Raise PasswordNeeded for a store of which encrypted parts were not read: what is in them is not known."""
    if snapshot.locked:
        raise PasswordNeeded(f"{snapshot.path}: not all of it was read; read it again with its password, then plan")


def is_seen(store_type: StoreType) -> bool:
    """Tell whether Allegra's Java sees what this kit adds to a store of this type; of JCEKS it would have to be told."""
    return store_type is not StoreType.JCEKS


def _serves(entry: Entry, snapshot: Snapshot) -> bool:
    """Tell whether an entry is trusted as well as a new one would be."""
    return entry.anchor or (not is_seen(snapshot.store_type) and entry.kind is EntryKind.TRUSTED)


def _is_encrypted(snapshot: Snapshot) -> bool:
    """Tell whether keytool would encrypt what it adds: it goes on as it finds the certificates of a PKCS12 file."""
    hidden = any(entry.kind in (EntryKind.TRUSTED, EntryKind.PRIVATE_KEY) and not entry.anchor for entry in snapshot.entries)
    return hidden and snapshot.store_type is StoreType.PKCS12


def _copied(backup: Snapshot, where: str) -> str:
    """Return the command of a restore; a JVM takes a file with the old time for the one it has read, hence `touch`."""
    listed, source = shlex.quote(f"{backup.sha256}  {backup.path}"), shlex.quote(str(backup.path))
    return f"printf '%s\\n' {listed} | sha256sum -c && cp -p {source} {where} && touch {where}"
