"""The superset: a store that holds what the Java runtime trusts and the private certificates, made and kept up by one plan.

Why: a truststore replaces the runtime's CAs, and the first one that a JVM opens counts for all its connections. Where every store
of Allegra holds the same, it does not matter which one that is.

Rule: only what has an alias of this kit's own making, as `runtime_alias` gives it, is taken out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.errors import CertificateError, PlanRefused
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, no_certificate_in
from allegra_tls_kit.plan import ALIAS_PREFIX, Action, ActionKind, Plan, import_action, require_read, suggest_alias
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RUNTIME_PREFIX = f"{ALIAS_PREFIX}jre-"
"""Copies of the runtime's CAs can be told by it from what a person chose to trust."""


def runtime_alias(der: bytes) -> str:
    """Return the alias of a copied CA: `allegra-jre-<cn>-<first digits of the SHA-256>`, lower-case ASCII."""
    return suggest_alias(der, RUNTIME_PREFIX)


def is_copied(entry: Entry) -> bool:
    """Tell whether an entry is a CA that a superset copied from a runtime: its alias is the one that this certificate gets."""
    if entry.certificate is None or entry.kind is not EntryKind.TRUSTED or not entry.alias.startswith(RUNTIME_PREFIX):
        return False
    try:
        return entry.alias == runtime_alias(entry.certificate)
    except CertificateError:
        return False


def plan_superset(snapshot: Snapshot, cacerts: Snapshot, private: Iterable[bytes] = (), *, purpose: str) -> Plan:
    """Plan to fill a store with the runtime's CAs and with the private certificates (DER), or to bring such a store up to date.

    `cacerts` is what the runtime trusts now. What is missing is added; a copied CA that `cacerts` holds no more, as after an
    update of Java, is removed; everything else stays. A second plan changes nothing. It widens trust: with it the store trusts
    every server that any of these CAs certifies, where it trusted only what was put in. The copies age as Java is updated: plan
    it again then. Nobody's fingerprint is compared here.

    Raises PlanRefused where `cacerts` gives nothing to trust, or is this store; CertificateError for what is no certificate;
    PasswordNeeded for a store whose entries were not all read.
    """
    require_read(snapshot)
    _require_source(cacerts)
    if cacerts.path == snapshot.path:
        raise PlanRefused(f"{snapshot.path}: this is the runtime's own store, which needs no copies of its own CAs")
    chosen = tuple(dict.fromkeys(private))
    of_runtime = tuple(der for der in dict.fromkeys(cacerts.anchors) if der not in chosen)
    source = visible(str(cacerts.path))
    actions = (
        *(import_action(snapshot, suggest_alias(der), der, "private, wanted in every store") for der in chosen),
        *(import_action(snapshot, runtime_alias(der), der, f"trusted by the runtime ({source})") for der in of_runtime),
        *_outdated(snapshot, {*chosen, *of_runtime}, source),
    )
    return Plan(snapshot, purpose, actions)


def plan_supersets(
    snapshots: Iterable[Snapshot], cacerts: Snapshot, private: Iterable[bytes] = (), *, purpose: str
) -> tuple[Plan, ...]:
    """Plan the same superset for several stores, in their order: what is private in one of them, all of them get.

    So it is of no account which one of them a JVM opens first. It may also be `cacerts`, by whatever names no store of Allegra's:
    IMAP and POP3 in "TLS if available", a host without a file. For that the private ones have to go in there too, by an import.
    Raises as `plan_superset` does.
    """
    stores = tuple(snapshots)
    everything = (*private, *(der for store in stores for der in private_anchors(store, cacerts)))
    return tuple(plan_superset(store, cacerts, everything, purpose=purpose) for store in stores)


def private_anchors(snapshot: Snapshot, cacerts: Snapshot) -> tuple[bytes, ...]:
    """Return the certificates (DER) that Java trusts with a store and that come from no runtime: neither copied nor in `cacerts`.

    The certificates of private keys are not among them.
    """
    public = {*cacerts.anchors, *(entry.certificate for entry in snapshot.entries if is_copied(entry))}
    chosen = (entry.certificate for entry in snapshot.entries if entry.anchor and entry.kind is EntryKind.TRUSTED)
    return tuple(der for der in dict.fromkeys(chosen) if der is not None and der not in public)


def _require_source(cacerts: Snapshot) -> None:
    """Refuse a source by which the store would lose what it has, or that Java itself does not load."""
    if not cacerts.anchors:
        raise PlanRefused(f"{cacerts.path}: Java finds nothing to trust in it, so there is nothing to copy; name its cacerts")
    alias = no_certificate_in(cacerts)
    if alias is not None:
        raise PlanRefused(f"{cacerts.path}: {visible(alias)} is no certificate, and Java loads no such store; look at it first")


def _outdated(snapshot: Snapshot, wanted: set[bytes], source: str) -> Iterator[Action]:
    for entry in snapshot.entries:
        if is_copied(entry) and entry.certificate not in wanted:
            reason = f"copied from a runtime, which trusts it no more ({source})"
            yield Action(ActionKind.REMOVE, entry.alias, entry.certificate, reason)
