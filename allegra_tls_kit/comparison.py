"""Two keystores held against each other: before and after, two Javas, the vendor's and ours; what of one belongs into the other.

Certificates are compared by their SHA-256, keys by what is stored of them, which is sealed anew by whoever writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot
from allegra_tls_kit.plan import ALIAS_PREFIX, Action, ActionKind, Plan, import_action, require_read, suggest_alias
from allegra_tls_kit.superset import is_copied

if TYPE_CHECKING:
    from collections.abc import Collection

_DEBIAN_PREFIX = "debian:"
"""Before the name of the file in the aliases of Debian's own store."""
_OF_CERTIFICATES = frozenset({EntryKind.TRUSTED, EntryKind.NOT_TRUSTED})


class Presence(StrEnum):
    """Where something is, what differs first."""

    ONLY_IN_ONE = "only in one"
    ONLY_IN_OTHER = "only in the other"
    TRUSTED_IN_ONE = "in both, trusted in one"
    TRUSTED_IN_OTHER = "in both, trusted in the other"
    OTHER_ALIAS = "in both, other alias"
    SAME = "in both"


@dataclass(frozen=True, slots=True)
class Compared:
    """One certificate or key, and its aliases in both stores, sorted; empty where it is not.

    `sha256` is of the certificate, of a key of what is stored of it. `certificate` is DER, None where there is none. "Trusted" is
    meant of a Java that opens the file without a password, as Allegra's does.
    """

    presence: Presence
    kind: EntryKind
    sha256: str
    in_one: tuple[str, ...]
    in_other: tuple[str, ...]
    certificate: bytes | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two stores, and everything in them, what differs first; the order of the rest is that of aliases."""

    one: Snapshot
    other: Snapshot
    rows: tuple[Compared, ...]

    @property
    def same(self) -> bool:
        """Whether both hold and trust the same, whatever the aliases."""
        return all(row.presence in {Presence.SAME, Presence.OTHER_ALIAS} for row in self.rows)

    def of(self, presence: Presence) -> tuple[Compared, ...]:
        """Return what stands so."""
        return tuple(row for row in self.rows if row.presence is presence)


def compare_stores(one: Snapshot, other: Snapshot) -> Comparison:
    """Hold two stores against each other; a missing one counts as empty, and what was not read of a locked one as not there."""
    left, right = _by_content(one), _by_content(other)
    rows = [_compared(content, left.get(content, []), right.get(content, [])) for content in {**left, **right}]
    return Comparison(one, other, tuple(sorted(rows, key=_order)))


def ours(snapshot: Snapshot, added: Collection[str] = ()) -> tuple[Entry, ...]:
    """Return the trusted certificates that this kit has put into a store: by their alias, or because a record says so.

    `added` are SHA-256 (lower-case hex), as `added_by` takes them from records. The CAs that a superset copied are among them;
    `is_copied` tells them. An alias proves nothing: anybody may choose one like it.
    """
    return tuple(entry for entry in snapshot.entries if entry.kind is EntryKind.TRUSTED and _is_ours(entry, added))


def plan_carry_over(
    old: Snapshot, new: Snapshot, *, purpose: str, vendor: Snapshot | None = None, added: Collection[str] = ()
) -> Plan:
    """Plan to bring what was added to an old store into a new one, as after an update of Java that brought its own `cacerts`.

    Carried over is what this kit has added (see `ours`); with `vendor`, the old store as its vendor delivered it, also whatever
    is not in that. All else that the new one lacks is `left_out`: it may be a CA that the vendor has dropped for a reason. Keys,
    and what Java did not trust, are left out too. Aliases stay, unless they are taken. Raises PasswordNeeded where entries were
    not all read, CertificateError for what is no certificate.
    """
    require_read(old)
    require_read(new)
    delivered = None if vendor is None else frozenset(entry.sha256 for entry in vendor.entries)
    present = frozenset(new.anchors)
    found: dict[object, Action] = {}
    for entry in sorted(old.entries, key=lambda entry: bool(_obstacle(entry))):  # of two that hold the same, the one that can go
        wanted = not _obstacle(entry) and (_is_ours(entry, added) or (delivered is not None and entry.sha256 not in delivered))
        what = entry.certificate or entry.alias
        if what not in found and (wanted or entry.certificate not in present):
            found[what] = _carried(entry, new) if wanted else _left_out(entry, delivered)
    return Plan(new, purpose, tuple(found.values()))


def _by_content(snapshot: Snapshot) -> dict[tuple[bool, str], list[Entry]]:
    found: dict[tuple[bool, str], list[Entry]] = {}
    for entry in snapshot.entries:
        is_certificate = entry.kind in _OF_CERTIFICATES
        print_ = (entry.sha256 if is_certificate else None) or entry.content  # one from a journal comes without its certificate
        found.setdefault((is_certificate, print_), []).append(entry)
    return found


def _compared(content: tuple[bool, str], left: list[Entry], right: list[Entry]) -> Compared:
    in_one, in_other = (tuple(sorted(entry.alias for entry in entries)) for entries in (left, right))
    trusted = [any(entry.anchor for entry in entries) for entries in (left, right)]
    if not left or not right:
        presence = Presence.ONLY_IN_ONE if left else Presence.ONLY_IN_OTHER
    elif trusted[0] != trusted[1]:
        presence = Presence.TRUSTED_IN_ONE if trusted[0] else Presence.TRUSTED_IN_OTHER
    else:
        presence = Presence.SAME if in_one == in_other else Presence.OTHER_ALIAS
    some = (*left, *right)
    certificate = next((entry.certificate for entry in some if entry.certificate is not None), None)
    return Compared(presence, some[0].kind, content[1], in_one, in_other, certificate)


def _order(row: Compared) -> tuple[int, str, str]:
    return list(Presence).index(row.presence), min((*row.in_one, *row.in_other)), row.sha256


def _is_ours(entry: Entry, added: Collection[str]) -> bool:
    return entry.alias.removeprefix(_DEBIAN_PREFIX).startswith(ALIAS_PREFIX) or entry.sha256 in added


def _obstacle(entry: Entry) -> str:
    """Say why an entry is not carried over, whoever put it there; empty where nothing speaks against it."""
    if entry.kind in (EntryKind.PRIVATE_KEY, EntryKind.SECRET_KEY):
        return f"a {entry.kind}; keys are not carried over"
    if not entry.anchor:
        return "Java did not trust it in the old store, as Allegra opens it"
    return "copied from a runtime, and the new one has its own; see plan_superset" if is_copied(entry) else ""


def _left_out(entry: Entry, delivered: frozenset[str | None] | None) -> Action:
    unknown = "whether its vendor delivered it or somebody added it is not known: name the vendor's store, or import it by itself"
    dropped = "delivered with the old store and not with the new one: its vendor has dropped it"
    reason = _obstacle(entry) or (unknown if delivered is None else dropped)
    return Action(ActionKind.LEFT_OUT, entry.alias, entry.certificate, reason)


def _carried(entry: Entry, new: Snapshot) -> Action:
    der = entry.certificate or b""
    holder = new.entry(entry.alias)
    alias = entry.alias if holder is None or holder.certificate == der else suggest_alias(der)
    return import_action(new, alias, der, "added to the old store, not in the new one")
