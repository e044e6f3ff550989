"""Changes of keystores, for tests: stores to change, and the way through the door."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from allegra_tls_kit import Applied, Journal, Plan, apply, keystore, plan_import, read_keystore
from allegra_tls_kit.events import read_events
from allegra_tls_kit.keystore import Edit
from tests.stores import NEW, PASSWORD

if TYPE_CHECKING:
    from allegra_tls_kit.secret import PasswordSource

LONG_AGO = 1_000_000_000
AT = datetime(2026, 3, 4, tzinfo=UTC)


def made(entries: dict[str, bytes]) -> bytes:
    return keystore.rewrite(None, Path("x"), PASSWORD, Edit(entries, frozenset(), AT))


def planned(path: Path, *certificates: bytes, password: PasswordSource = lambda: PASSWORD) -> Plan:
    return plan_import(read_keystore(path, password), certificates or [NEW.der], purpose="mail stopped")


def go(plan: Plan, journal: Journal, password: PasswordSource = lambda: PASSWORD) -> Applied:
    return apply(plan, journal, confirm=plan.id, password=password)


def states(journal: Journal) -> list[str]:
    events, faults = read_events(journal.path.read_bytes())
    assert not faults
    return [event.value["state"] for event in events if event.kind == "ApplyStep"]


def others(path: Path) -> list[str]:
    """What lies beside a store, except its lock."""
    return sorted(item.name for item in path.parent.iterdir() if item.name not in {path.name, f".{path.name}.lock"})
