"""The bytes that a plan wants at the place of a keystore: made, read back and compared with the plan. Nothing live is touched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from allegra_tls_kit import keystore
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import PlanRefused
from allegra_tls_kit.files import read_keystore_bytes
from allegra_tls_kit.keystore import Edit, Snapshot
from allegra_tls_kit.plan import ActionKind, Plan, differences, simulate

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Candidate:
    """New bytes, and what they read back as."""

    data: bytes = field(repr=False)
    read: Snapshot

    @property
    def anchors(self) -> frozenset[str]:
        """The SHA-256 of each certificate that Java finds in them by our reading."""
        return frozenset(map(sha256_of, self.read.anchors))


def candidate(plan: Plan, data: bytes | None, target: Path, password: str, at: datetime) -> Candidate:
    """Return what the file has to hold after the plan; `data` is what it holds now, None where there is none.

    Raises PlanRefused where it does not read back entry by entry as planned, or a backup is not the file that was planned with,
    and whatever `keystore.rewrite` raises.
    """
    if plan.backup is not None:
        return _restored(plan.backup)
    add = {a.alias: a.certificate for a in plan.actions if a.kind is ActionKind.ADD and a.certificate is not None}
    edit = Edit(add, frozenset(a.alias for a in plan.actions if a.kind is ActionKind.REMOVE), at)
    made = keystore.rewrite(data, plan.keystore, password, edit)
    read = keystore.read(made, plan.keystore, password)
    wrong = differences(simulate(plan), read.entries)
    if wrong:
        raise PlanRefused(f"{target}: the prepared store does not read back as planned ({', '.join(wrong[:5])}); not used")
    return Candidate(made, read)


def _restored(backup: Snapshot) -> Candidate:
    """Take the bytes of a backup. They are known by their digest, so they are not read again, and need no password."""
    data = read_keystore_bytes(backup.path)
    found = "gone" if data is None else hashlib.sha256(data).hexdigest()
    if data is None or found != backup.sha256:
        raise PlanRefused(
            f"{backup.path}: the backup was {backup.sha256} when the restore was planned and is {found} now; "
            "look what became of it"
        )
    return Candidate(data, backup)
