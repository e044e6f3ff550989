"""The two ways back from a change, both plans: take out exactly what it added, or put a backup in place byte for byte.

Rule: where somebody else was at an entry since, a rollback is refused and says what was found; nobody's work is undone silently.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import PlanRefused
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot
from allegra_tls_kit.plan import Action, ActionKind, Applied, Plan, is_seen, removal_action, require_read
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOWEST_CHANGE = timedelta(minutes=10)
"""An entry that was made later than this after its change was made by somebody else; keytool and a slow disk take seconds."""


def plan_rollback(applied: Applied, snapshot: Snapshot) -> Plan:
    """Plan the way back: remove exactly what the change added, add what it removed, from the store as it is now.

    A store that the change created, and that would be left empty, is removed: Java takes an empty store for a fault. Raises
    PlanRefused where the store is another file, where the change removed or restored a whole store, or where somebody was at such
    an entry since: it holds something else, was made anew (told by its date, which PKCS12 does not have), or has another alias.
    Raises PasswordNeeded for a store whose entries were not all read.
    """
    if snapshot.path != applied.plan.keystore:
        raise PlanRefused(f"the change was made to {applied.plan.keystore}, this is {snapshot.path}")
    if applied.plan.removes_store:
        raise PlanRefused(f"{snapshot.path}: the change removed the store; restore {applied.backup}, or import again")
    if applied.plan.backup is not None:
        raise PlanRefused(f"{snapshot.path}: the change restored a backup; what was there before it is {applied.backup}")
    require_read(snapshot)
    before = applied.plan.snapshot
    actions = tuple(
        _taken_out(action, applied, snapshot) if action.kind is ActionKind.ADD else _put_back(action, before, snapshot)
        for action in applied.plan.actions
        if action.kind in (ActionKind.ADD, ActionKind.REMOVE)
    )
    gone = {action.alias for action in actions if action.kind is ActionKind.REMOVE}
    if snapshot.exists and not before.exists and all(entry.alias in gone for entry in snapshot.entries):
        delete = Action(ActionKind.DELETE_STORE, "", None, "the change created this store, and nothing else is in it")
        actions = (*actions, delete)
    return Plan(snapshot, f"roll back {applied.plan.id}: {applied.plan.purpose}", actions)


def plan_restore(snapshot: Snapshot, backup: Snapshot, *, sha256: str | None = None) -> Plan:
    """Plan to put a backup in place of the store as it is now, byte for byte, also where there is none now.

    The plan names the backup and tells entry by entry what it brings, takes and changes; entries that stay as they are have no
    action. `sha256` is the digest that a record gives for the backup; without it the backup counts as it was read. Whether it is
    a backup of this very store is not checked. Raises PlanRefused for a backup that is not there, is the store itself or has
    another digest, PasswordNeeded where entries were not all read.
    """
    if backup.sha256 is None:
        raise PlanRefused(f"{backup.path}: there is no such backup; the record of the change names it")
    if backup.path == snapshot.path:
        raise PlanRefused(f"{backup.path}: this is the keystore itself; name its backup")
    if sha256 is not None and sha256.lower() != backup.sha256:
        raise PlanRefused(
            f"{backup.path}: its SHA-256 is {backup.sha256}, the record says {sha256}: it is not that file any more"
        )
    require_read(snapshot)
    require_read(backup)
    if backup.sha256 == snapshot.sha256:
        actions = [Action(ActionKind.KEEP, "", None, "the store is this backup already, byte for byte; nothing to do")]
    else:
        actions = [Action(ActionKind.RESTORE, "", None, _whole(snapshot, backup)), *_entries(snapshot, backup)]
    return Plan(snapshot, f"restore {visible(backup.path.name)}", tuple(actions), backup)


def _taken_out(action: Action, applied: Applied, snapshot: Snapshot) -> Action:
    shown = visible(action.alias)
    held = [entry for entry in snapshot.entries if entry.alias == action.alias]
    if not held:
        twin = next((e for e in snapshot.entries if e.anchor and e.certificate == action.certificate), None)
        if twin is not None:
            raise PlanRefused(
                f"{snapshot.path}: {shown} is gone, and the same certificate is there as {visible(twin.alias)}: somebody has "
                "renamed it or imported it again; if nobody needs it, plan the removal of that alias"
            )
        return removal_action(action.alias, None, "")
    if any(entry.kind is not EntryKind.TRUSTED or entry.certificate != action.certificate for entry in held) or held[1:]:
        raise PlanRefused(f"{snapshot.path}: somebody has changed {shown} since; look at it before removing it")
    created = held[0].created
    if created is not None and created - applied.at > SLOWEST_CHANGE:
        raise PlanRefused(
            f"{snapshot.path}: somebody has made {shown} anew since, on {created:%Y-%m-%d %H:%M} UTC; ask who needs it"
        )
    return removal_action(action.alias, held[0], "added by the change that is rolled back")


def _put_back(action: Action, before: Snapshot, snapshot: Snapshot) -> Action:
    shown, was = visible(action.alias), before.entry(action.alias)
    if snapshot.entry(action.alias) is not None:
        raise PlanRefused(f"{snapshot.path}: {shown} is there again; nothing to put back")
    if was is not None and (was.kind is not EntryKind.TRUSTED or was.anchor != is_seen(snapshot.store_type)):
        hidden = f"a {was.kind}" if was.kind is not EntryKind.TRUSTED else "not seen by Java, and would be"
        raise PlanRefused(f"{snapshot.path}: {shown} was {hidden}; that is not made anew, restore the backup")
    return Action(ActionKind.ADD, action.alias, action.certificate, "removed by the change that is rolled back")


def _whole(snapshot: Snapshot, backup: Snapshot) -> str:
    """Say in a sentence what becomes of the file."""
    parts = [f"the file becomes {visible(backup.path.name)}, SHA-256 {backup.sha256}, {count(len(backup.entries), 'entry')}"]
    if not snapshot.exists:
        parts.append(f"there is no such file now; it will be {backup.store_type}")
    elif backup.store_type is not snapshot.store_type:
        parts.append(f"its type changes: it is {snapshot.store_type} now and will be {backup.store_type}")
    if not backup.path.name.startswith(snapshot.path.name):
        parts.append("by its name it is no backup of this store, so make sure that it is")
    return "; ".join(parts)


def _entries(snapshot: Snapshot, backup: Snapshot) -> Iterator[Action]:
    now, then = ({entry.alias: entry for entry in store.entries} for store in (snapshot, backup))
    for alias in sorted(then.keys() - now.keys()):
        yield Action(ActionKind.ADD, alias, then[alias].certificate, f"in the backup ({then[alias].kind}), not in the store now")
    for alias in sorted(now.keys() - then.keys()):
        reason = f"in the store now ({now[alias].kind}), not in the backup: the restore takes it"
        yield Action(ActionKind.REMOVE, alias, now[alias].certificate, reason)
    for alias in sorted(then.keys() & now.keys()):
        if _differ(now[alias], then[alias]):
            yield Action(ActionKind.RESTORE, alias, then[alias].certificate, _change(now[alias], then[alias]))


def _differ(now: Entry, then: Entry) -> bool:
    return (now.kind, now.content, now.anchor) != (then.kind, then.content, then.anchor)


def _change(now: Entry, then: Entry) -> str:
    if now.kind is not then.kind:
        return f"is a {now.kind} now and becomes a {then.kind}"
    if now.content != then.content:
        return f"holds {_held(now)} now and gets {_held(then)} back"
    return "Java sees it again" if then.anchor else "Java does not see it any more"


def _held(entry: Entry) -> str:
    if entry.kind is EntryKind.TRUSTED:
        return f"the certificate {entry.content[:16]}…"
    return "another key or chain" if entry.sha256 is None else f"a key with the certificate {entry.sha256[:16]}…"
