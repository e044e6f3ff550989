"""What a change means, in words, for whoever reads its plan: entry by entry, and for the file as a whole.

Told from the plan alone. Who reads the file is not in it: `Reach` brings that, as it was seen on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.keystore import EntryKind, StoreType
from allegra_tls_kit.plan import Action, ActionKind, Plan, simulate
from allegra_tls_kit.reading import read, self_signed
from allegra_tls_kit.rules import anchor_violation
from allegra_tls_kit.superset import RUNTIME_PREFIX
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNTIME_STORES = frozenset({"cacerts", "jssecacerts"})
"""What a Java runtime calls its own truststore."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Who reads one keystore file, as it was seen on a host: one sentence each, made visible.

    `path` is how it was named, `real_path` the same with links resolved, the file that is written.
    """

    path: Path
    real_path: Path
    sentences: tuple[str, ...]


def meaning(action: Action) -> str:
    """Say in one sentence what an action of a plan brings about; empty for what changes nothing."""
    match action.kind:
        case ActionKind.ADD if action.certificate is not None:
            return _meaning_of_trust(action.certificate)
        case ActionKind.REMOVE:
            return "servers that are trusted by it alone are refused then"
        case ActionKind.CONFLICT:
            return "the plan cannot be applied"
        case ActionKind.DELETE_STORE:
            return "Java reads the cacerts of its runtime then, which is all that is trusted"
        case ActionKind.RESTORE if not action.alias:
            return "what was changed since the backup is undone, whoever changed it"
        case _:
            return ""


def risks(plan: Plan) -> tuple[str, ...]:
    """Say what a plan means for its file as a whole, one sentence each; empty where it changes nothing."""
    return tuple(_risks(plan)) if plan.changes else ()


def _meaning_of_trust(der: bytes) -> str:
    try:
        certificate = read(der)
    except CertificateError:  # of a restore: what is added otherwise can be read
        return "this is no certificate; Java may load nothing of a store with it"
    name, end = certificate.name, f"{certificate.not_after:%Y-%m-%d}"
    if anchor_violation(certificate) is not None:
        return f"Java trusts this one certificate; at its renewal, by {end}, that ends, and the next one has to be imported"
    more = ", renewed certificates too" if self_signed(certificate) else "; that ends when the server has another issuer"
    return f"Java trusts whatever {name} issues, for whatever server{more}"


def _risks(plan: Plan) -> Iterator[str]:
    after = simulate(plan)
    name = plan.keystore.name
    if name in RUNTIME_STORES:
        yield f"{name} is the store of a Java runtime: every program that it runs trusts what is in it"
        yield "an update of Java brings its own file, and what was added is gone; plan_carry_over brings it along"
    elif not plan.snapshot.exists:
        held = count(len(after), "entry")
        yield f"the file is made and replaces the runtime's CAs for what reads it: Java then trusts only what is in it, {held}"
    if name not in RUNTIME_STORES and not plan.removes_store:
        yield "the first store that a JVM opens counts for all its connections, until it ends"
    copied = sum(a.kind is ActionKind.ADD and a.alias.startswith(RUNTIME_PREFIX) for a in plan.actions)
    if copied:
        yield f"{count(copied, 'CA')} of the runtime come in, and with them every server that one of them certifies"
        yield "copies age: plan the superset again after each update of Java"
    if plan.backup is not None and plan.backup.store_type is not plan.snapshot.store_type and plan.snapshot.exists:
        yield f"the type of the file changes from {plan.snapshot.store_type} to {plan.backup.store_type}"
    store_type = plan.snapshot.store_type if plan.backup is None else plan.backup.store_type
    if store_type is StoreType.JCEKS:
        yield "Java does not read JCEKS as a truststore unless it is told, and refuses every connection with it"
    elif not plan.removes_store and not any(entry.anchor for entry in after):
        yield "nothing that is trusted is left in it: Java takes that for a fault, and refuses every connection that reads it"
    keys = {entry.alias for entry in plan.snapshot.entries if entry.kind in (EntryKind.PRIVATE_KEY, EntryKind.SECRET_KEY)}
    lost = sorted(keys - {entry.alias for entry in after})
    if lost:
        yield f"keys go with it: {visible(', '.join(lost))}"
    yield "in effect after the next start of Allegra: a running JVM keeps the store that it has read"
