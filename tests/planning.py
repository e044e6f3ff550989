"""Snapshots and plans without a file, for tests, and how a plan is carried out as `apply` or a person with a shell does it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from allegra_tls_kit import ActionKind, Applied, Plan, Snapshot, keystore, suggest_alias
from allegra_tls_kit.keystore import Edit
from tests.stores import LEAF, NEW, PASSWORD, ROOT, TRUSTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.stores import Stores

AT = datetime(2026, 3, 4, tzinfo=UTC)
HERE = Path("/srv/allegra/keystore/mail.example.com.ks")
NOTHING = keystore.read(None, HERE)
ALIASES = st.sampled_from(["a", "b", "c", "d e", "ö'", suggest_alias(NEW.der)])
CERTIFICATES = st.sampled_from([ROOT.der, LEAF.der, TRUSTED.der, NEW.der])
STORES = st.none() | st.dictionaries(ALIASES, CERTIFICATES, max_size=4)
"""What a store holds, None for one that is not there."""


def store_of(entries: Mapping[str, bytes], at: datetime = AT) -> bytes:
    return keystore.rewrite(None, HERE, PASSWORD, Edit(entries, frozenset(), at))


def snapshot_of(entries: Mapping[str, bytes] | None, at: datetime = AT, path: Path = HERE) -> Snapshot:
    return keystore.read(None if entries is None else store_of(entries, at), path, PASSWORD)


def carried_out(plan: Plan, data: bytes | None, backup: bytes | None = None, at: datetime = AT) -> bytes | None:
    """The bytes after the plan, made as `apply` makes them."""
    if not plan.changes:
        return data
    if plan.backup is not None:
        return backup
    if plan.removes_store:
        return None
    add = {a.alias: a.certificate for a in plan.actions if a.kind is ActionKind.ADD and a.certificate is not None}
    remove = frozenset(action.alias for action in plan.actions if action.kind is ActionKind.REMOVE)
    return keystore.rewrite(data, plan.keystore, PASSWORD, Edit(add, remove, at))


def after(plan: Plan, data: bytes | None) -> Snapshot:
    return keystore.read(carried_out(plan, data), plan.keystore, PASSWORD)


def applied(plan: Plan, at: datetime = AT) -> Applied:
    return Applied(plan, at, plan.changes, "", None)


def told(plan: Plan) -> list[tuple[str, str]]:
    return [(action.kind.value, action.alias) for action in plan.actions]


def run_in_a_shell(commands: Iterable[str], stores: Stores, **environment: str) -> None:
    """Run each command by itself, as somebody who types them, in the locale of a cron job."""
    path = f"{stores.program.parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        given = {"PATH": path, "STOREPASS": PASSWORD, **environment}
        result = subprocess.run(["sh", "-c", command], env=given, capture_output=True, text=True, check=False)
        assert result.returncode == 0, (command, result.stdout, result.stderr)
