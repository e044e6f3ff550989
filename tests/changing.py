"""Changes of keystores, for tests: stores to change, the way through the door, and what holds when something went wrong on it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allegra_tls_kit import Applied, Journal, Plan, apply, keystore, plan_import, read_keystore, simulate
from allegra_tls_kit.events import read_events
from allegra_tls_kit.keystore import Edit
from allegra_tls_kit.plan import differences
from tests.stores import NEW, PASSWORD

if TYPE_CHECKING:
    from allegra_tls_kit.secret import PasswordSource
    from allegra_tls_kit.witness import Witness

LONG_AGO = 1_000_000_000
AT = datetime(2026, 3, 4, tzinfo=UTC)


def made(entries: dict[str, bytes]) -> bytes:
    return keystore.rewrite(None, Path("x"), PASSWORD, Edit(entries, frozenset(), AT))


def planned(path: Path, *certificates: bytes, password: PasswordSource = lambda: PASSWORD) -> Plan:
    return plan_import(read_keystore(path, password), certificates or [NEW.der], purpose="mail stopped")


def go(
    plan: Plan,
    journal: Journal,
    password: PasswordSource = lambda: PASSWORD,
    *,
    backup_folder: Path | None = None,
    witness: Witness | None = None,
) -> Applied:
    """Make a change without starting a JVM for each, which takes half a second."""
    return apply(plan, journal, confirm=plan.id, password=password, backup_folder=backup_folder, witness=witness)


def steps(journal: Path) -> list[dict[str, Any]]:
    """The steps of all changes in a journal; a line that was torn is none."""
    return [event.value for event in read_events(journal.read_bytes())[0] if event.kind == "ApplyStep"]


def states(journal: Journal) -> list[str]:
    assert not read_events(journal.path.read_bytes())[1]
    return [step["state"] for step in steps(journal.path)]


def others(path: Path) -> list[str]:
    """What lies beside a store, except its lock."""
    return sorted(item.name for item in path.parent.iterdir() if item.name not in {path.name, f".{path.name}.lock"})


def digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def is_in_place(plan: Plan, before: bytes | None, journal: Path) -> bool:
    """Hold a store against its plan: it is as it was or as planned, and the journal tells which. Return whether as planned."""
    live = content(plan.keystore)
    last = next((step for step in reversed(steps(journal)) if step["plan"] == plan.id), None)
    if live == before:
        assert last is None or last["state"] != "applied"
        assert last is None or last["state"] != "prepared" or last["sha256"] != digest(before)
        return False
    assert last is not None
    assert (last["state"], last["sha256"]) in {("prepared", digest(live)), ("applied", digest(live))}
    if live is not None:
        password = PASSWORD if plan.backup is None or plan.backup.integrity_checked else None
        assert differences(simulate(plan), keystore.read(live, plan.keystore, password).entries) == ()
    return True
