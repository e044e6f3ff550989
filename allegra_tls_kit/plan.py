"""A change as a value: plan it, look at it, simulate it, plan its way back. Nothing here touches a file.

A plan is about one file and carries the snapshot that it was made from; its id is derived from all of it, so the id that
somebody confirms stands for exactly this change to exactly this file. Every awkward case is an action, not a flag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
import textwrap
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import certificate_facts, load, sha256_of
from allegra_tls_kit.errors import PasswordNeeded, PlanRefused, StalePlan, WouldLose
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, StoreType
from allegra_tls_kit.text import count, slug, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

ALIAS_PREFIX = "allegra-"
"""Entries that this kit made can be told by it."""
ID_DIGITS = 8


class ActionKind(StrEnum):
    """What a plan does with one entry; only `add`, `remove` and `delete_store` change anything."""

    ADD = "add"
    KEEP = "keep"
    CONFLICT = "conflict"
    REMOVE = "remove"
    NOT_FOUND = "not_found"
    DELETE_STORE = "delete_store"


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a plan: what happens to this alias, with which certificate (DER), and why."""

    kind: ActionKind
    alias: str
    certificate: bytes | None = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of one keystore, made from `snapshot`; `purpose` says in a sentence what it is for."""

    snapshot: Snapshot
    purpose: str
    actions: tuple[Action, ...]

    @property
    def keystore(self) -> Path:
        """The file that the plan is about."""
        return self.snapshot.path

    @property
    def id(self) -> str:
        """Eight hexadecimal digits over the file, its content, the purpose and every action; the same plan has the same id."""
        actions = [(a.kind, a.alias, sha256_of(a.certificate) if a.certificate else None) for a in self.actions]
        whole = json.dumps([str(self.keystore), self.snapshot.sha256, self.purpose, actions])
        return hashlib.sha256(whole.encode()).hexdigest()[:ID_DIGITS]

    @property
    def changes(self) -> bool:
        """Whether applying it would change the file; False where everything is there already."""
        return any(a.kind in (ActionKind.ADD, ActionKind.REMOVE, ActionKind.DELETE_STORE) for a in self.actions)

    @property
    def removes_store(self) -> bool:
        """Whether the file itself goes, with all that is in it."""
        return any(a.kind is ActionKind.DELETE_STORE for a in self.actions)

    def keytool_commands(self) -> tuple[str, ...]:
        """Return the same change as commands for a POSIX shell, each complete in itself, the password from `$STOREPASS`.

        They are for a change board, or a host where this kit may not run. keytool writes in place, without lock or backup.
        """
        where = shlex.quote(str(self.keystore))
        store = f"-storetype {self.snapshot.store_type} -keystore {where} -storepass:env STOREPASS"
        commands = [] if self.snapshot.exists else [f"mkdir -p {shlex.quote(str(self.keystore.parent))}"]
        for action in self.actions:
            alias = shlex.quote(action.alias)
            if action.kind is ActionKind.ADD and action.certificate is not None:
                commands.append(f"keytool -importcert -noprompt -alias {alias} {store} <<'PEM'\n{pem(action.certificate)}PEM")
            elif action.kind is ActionKind.REMOVE:
                commands.append(f"keytool -delete -alias {alias} {store}")
            elif action.kind is ActionKind.DELETE_STORE:
                commands.append(f"mv {where} {where}.removed")
        return tuple(commands)


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

    `changed` is False where everything was there already. `sha256` is of the file afterwards, None where it was removed.
    """

    plan: Plan
    at: datetime
    changed: bool
    sha256: str | None
    backup: Path | None


def suggest_alias(der: bytes) -> str:
    """Return the alias this kit would give: `allegra-<cn>-<first digits of the SHA-256>`, lower-case ASCII, never colliding."""
    facts = certificate_facts(der)
    return f"{ALIAS_PREFIX}{slug(facts.name)}-{facts.sha256[:8]}"


def plan_import(snapshot: Snapshot, certificates: Iterable[bytes], *, purpose: str, aliases: Sequence[str] | None = None) -> Plan:
    """Plan to trust these certificates (DER) in this store; `aliases` one for each, suggested ones if None.

    A certificate that Java sees there already is kept, under whatever alias; an alias that holds another one is a conflict, and
    such a plan cannot be applied. Raises CertificateError, PasswordNeeded for a store whose entries were not all read, WouldLose
    for JCEKS, and PlanRefused for an empty list or aliases that do not fit it. Nobody's fingerprint is compared here: see
    `ImportChoice.checked_certificate`.
    """
    wanted = tuple(dict.fromkeys(certificates))
    if not wanted:
        raise PlanRefused(f"{snapshot.path}: no certificate to import")
    names = tuple(suggest_alias(der) for der in wanted) if aliases is None else tuple(alias.lower() for alias in aliases)
    if len(names) != len(wanted) or len(set(names)) != len(names):
        wrong = f"{count(len(wanted), 'certificate')} and {len(set(names))} different aliases do not fit"
        raise PlanRefused(f"{snapshot.path}: {wrong}; give each one its own")
    _require_writable_form(snapshot)
    return Plan(snapshot, purpose, tuple(_import_action(snapshot, alias, der) for alias, der in zip(names, wanted, strict=True)))


def plan_removal(snapshot: Snapshot, aliases: Iterable[str], *, purpose: str) -> Plan:
    """Plan to take out trusted certificates by alias; a missing one is `not_found`, and keys are never removed (PlanRefused)."""
    _require_writable_form(snapshot)
    actions = []
    for alias in dict.fromkeys(alias.lower() for alias in aliases):
        entry = snapshot.entry(alias)
        if entry is not None and entry.kind in (EntryKind.PRIVATE_KEY, EntryKind.SECRET_KEY):
            raise PlanRefused(f"{snapshot.path}: {visible(alias)} is a {entry.kind}; keys are not removed here")
        actions.append(_removal_action(alias, entry, "wanted gone"))
    return Plan(snapshot, purpose, tuple(actions))


def plan_rollback(applied: Applied, snapshot: Snapshot) -> Plan:
    """Plan the way back: remove exactly what the change added, add what it removed, from the store as it is now.

    A store that the change created, and that would be left empty, is removed: Java takes an empty store for a fault. Raises
    PlanRefused where the store is another file, or somebody has changed such an entry since, PasswordNeeded for a store whose
    entries were not all read.
    """
    if snapshot.path != applied.plan.keystore:
        raise PlanRefused(f"the change was made to {applied.plan.keystore}, this is {snapshot.path}")
    if applied.plan.removes_store:
        raise PlanRefused(f"{snapshot.path}: the change removed the store; import again instead")
    _require_writable_form(snapshot)
    before = applied.plan.snapshot
    actions = tuple(
        _way_back(action, before, snapshot)
        for action in applied.plan.actions
        if action.kind in (ActionKind.ADD, ActionKind.REMOVE)
    )
    gone = {action.alias for action in actions if action.kind is ActionKind.REMOVE}
    if snapshot.exists and not before.exists and all(entry.alias in gone for entry in snapshot.entries):
        delete = Action(ActionKind.DELETE_STORE, "", None, "the change created this store, and nothing else is in it")
        actions = (*actions, delete)
    return Plan(snapshot, f"roll back {applied.plan.id}: {applied.plan.purpose}", actions)


def simulate(plan: Plan) -> tuple[Entry, ...]:
    """Return the entries that the store has after the plan, in no particular order; empty where the store is removed."""
    if plan.removes_store:
        return ()
    removed = {action.alias for action in plan.actions if action.kind is ActionKind.REMOVE}
    kept = tuple(entry for entry in plan.snapshot.entries if entry.alias not in removed)
    added = tuple(
        Entry(action.alias, EntryKind.TRUSTED, action.certificate, sha256_of(action.certificate), anchor=True)
        for action in plan.actions
        if action.kind is ActionKind.ADD and action.certificate is not None
    )
    return kept + added


def differences(expected: Iterable[Entry], found: Iterable[Entry]) -> tuple[str, ...]:
    """Name every alias in which two sets of entries differ, in kind, content or being there; creation dates do not count."""
    before = {entry.alias: (entry.kind, entry.content, entry.anchor) for entry in expected}
    after = {entry.alias: (entry.kind, entry.content, entry.anchor) for entry in found}
    came = [f"{visible(alias)} came" for alias in sorted(after.keys() - before.keys())]
    went = [f"{visible(alias)} went" for alias in sorted(before.keys() - after.keys())]
    other = [f"{visible(alias)} changed" for alias in sorted(before.keys() & after.keys()) if before[alias] != after[alias]]
    return (*came, *went, *other)


def require_fresh(plan: Plan, now: Snapshot) -> None:
    """Raise StalePlan where the file is not the one that the plan was made from; the message says what came and went."""
    if now.sha256 == plan.snapshot.sha256:
        return
    changed = differences(plan.snapshot.entries, now.entries)
    what = ", ".join(changed[:10]) if changed else "the same entries in another file"
    raise StalePlan(f"{plan.keystore} has changed since plan {plan.id} was made: {what}; read it again and plan again")


def pem(der: bytes) -> str:
    """Return a certificate as PEM text."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def _import_action(snapshot: Snapshot, alias: str, der: bytes) -> Action:
    load(der)
    present = next((entry for entry in snapshot.entries if entry.anchor and entry.certificate == der), None)
    if present is not None:
        return Action(ActionKind.KEEP, present.alias, der, "this certificate is there already; nothing to do")
    holder = snapshot.entry(alias)
    if holder is not None:
        held = f"a {holder.kind}" if holder.sha256 is None else f"the certificate {holder.sha256[:16]}…"
        return Action(
            ActionKind.CONFLICT, alias, der, f"this alias holds {held}; choose another alias, nothing is replaced silently"
        )
    return Action(ActionKind.ADD, alias, der, "not in the store")


def _removal_action(alias: str, entry: Entry | None, reason: str) -> Action:
    if entry is None:
        return Action(ActionKind.NOT_FOUND, alias, None, "no such entry; nothing to do")
    return Action(ActionKind.REMOVE, alias, entry.certificate, reason)


def _way_back(action: Action, before: Snapshot, snapshot: Snapshot) -> Action:
    entry, was = snapshot.entry(action.alias), before.entry(action.alias)
    if action.kind is ActionKind.ADD:
        if entry is not None and entry.certificate != action.certificate:
            raise PlanRefused(
                f"{snapshot.path}: somebody has changed {visible(action.alias)} since; look at it before removing it"
            )
        return _removal_action(action.alias, entry, "added by the change that is rolled back")
    if entry is not None:
        raise PlanRefused(f"{snapshot.path}: {visible(action.alias)} is there again; nothing to put back")
    if was is not None and was.kind is not EntryKind.TRUSTED:
        raise PlanRefused(f"{snapshot.path}: {visible(action.alias)} was a {was.kind}; that is not made anew, use the backup")
    return Action(ActionKind.ADD, action.alias, action.certificate, "removed by the change that is rolled back")


def _require_writable_form(snapshot: Snapshot) -> None:
    if snapshot.locked:
        raise PasswordNeeded(f"{snapshot.path}: not all of it was read; read it again with its password, then plan")
    if snapshot.store_type is StoreType.JCEKS:
        raise WouldLose(f"{snapshot.path}: JCEKS cannot be written here without loss; use keytool -storetype JCEKS on a copy")
