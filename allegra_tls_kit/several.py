"""One purpose, several stores: which of the files that Allegra reads for a connection have to change, one plan for each.

Pure like the plans themselves; what was seen on the host is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from allegra_tls_kit.effective import IF_AVAILABLE, LDAPS_STORE, EffectiveStore, Treatment, treatment_of
from allegra_tls_kit.endpoint import Endpoint, Protocol, Security
from allegra_tls_kit.errors import PlanRefused
from allegra_tls_kit.plan import Plan, plan_import
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from allegra_tls_kit.keystore import Snapshot


@dataclass(frozen=True, slots=True)
class StorePlan:
    """The plan for one store, and why it is needed, in a sentence.

    `modes` are the labels of those of Allegra's security modes in which it is read once all of the plans are applied; empty where
    Allegra is not known to read it for this connection.
    """

    plan: Plan
    modes: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Plans:
    """What has to change for one connection: each store has its own plan, and each plan its own id to confirm."""

    endpoint: Endpoint
    stores: tuple[StorePlan, ...]

    @property
    def changes(self) -> bool:
        """Whether any of them changes its store."""
        return any(store.plan.changes for store in self.stores)


def plan_for(
    endpoint: Endpoint,
    stores: Iterable[EffectiveStore],
    certificates: Iterable[bytes],
    *,
    purpose: str,
    snapshots: Iterable[Snapshot] = (),
) -> Plans:
    """Plan to trust these certificates (DER) in every store that Allegra reads for a connection, in whatever of its modes.

    `stores` are those of `effective_truststores`. The file that Allegra names is made where it does not exist, unless the store
    that is read in its place has all of it: then nothing has to change. The runtime's store is planned where a mode is left that
    reads it. `snapshots` take the place of what was read without a password; of other files, such as `<host>.ks` for LDAP, they
    are planned too. Raises PlanRefused for a store that Java does not load or that could not be read, else as `plan_import` does.
    """
    wanted = tuple(dict.fromkeys(certificates))
    given = {snapshot.path: snapshot for snapshot in snapshots}
    seen = [_require_loaded(replace(store, snapshot=given.pop(store.path, store.snapshot))) for store in stores]
    named = next((store for store in seen if store.path.name in (f"{endpoint.host}.ks", LDAPS_STORE)), None)
    runtime = [store for store in seen if store is not named]
    planned: list[tuple[EffectiveStore, tuple[str, ...], str]] = []
    if named is None or (_is_missing(named) and runtime and set(wanted) <= set(runtime[0].anchors)):
        planned += [(store, store.modes, _there_already(store, named)) for store in runtime]
    else:
        own = _modes_of_named(endpoint)
        planned.append((named, own, _why_named(named, runtime, own, endpoint)))
        left = [(store, tuple(mode for mode in store.modes if mode not in own)) for store in runtime]
        planned += [(store, modes, _WHY_RUNTIME) for store, modes in left if modes]
    plans = [StorePlan(plan_import(_snapshot(store), wanted, purpose=purpose), modes, why) for store, modes, why in planned]
    more = [StorePlan(plan_import(s, wanted, purpose=purpose), (), _asked_for(endpoint, s)) for s in given.values()]
    return Plans(endpoint, (*plans, *more))


_WHY_RUNTIME = f"IMAP and POP3 in the mode {IF_AVAILABLE} name no store of Allegra's, and Java reads that of its runtime"


def _modes_of_named(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the modes in which Allegra names its own file, and Java reads it if it can (see `effective`)."""
    if endpoint.security is not Security.STARTTLS:
        return (endpoint.security.allegra_label,)
    if endpoint.protocol is Protocol.LDAP:
        return ()
    return (endpoint.security.allegra_label, *((IF_AVAILABLE,) if endpoint.protocol is Protocol.SMTP else ()))


def _why_named(named: EffectiveStore, runtime: list[EffectiveStore], modes: tuple[str, ...], endpoint: Endpoint) -> str:
    if not modes:
        return f"Allegra reads no store for {endpoint.url}; this file is what its LDAPS connections read"
    read = f"Java reads it for {visible(endpoint.host)} in the mode {' and '.join(modes)}"
    if _is_missing(named):
        instead = f", instead of {visible(str(runtime[0].path))}" if runtime else ""
        return (
            f"it is made; {read} then{instead}, and trusts only what is in it; plan_superset brings the runtime's CAs in as well"
        )
    if named.treatment is Treatment.PASSED_OVER:
        return f"{read} once its rights are corrected: Allegra may not read it now, and Java passes over it"
    return read


def _there_already(store: EffectiveStore, named: EffectiveStore | None) -> str:
    absent = "" if named is None else f"{visible(named.path.name)} does not exist, and "
    modes = f" in the mode {' and '.join(store.modes)}" if store.modes else ""
    return f"{absent}Java reads this store{modes}"


def _asked_for(endpoint: Endpoint, snapshot: Snapshot) -> str:
    if endpoint.protocol is Protocol.LDAP and snapshot.path.name == f"{endpoint.host}.ks":
        return f"Allegra's manual names this file for {visible(endpoint.host)}; its ancestor's source reads {LDAPS_STORE} instead"
    return f"asked for; as far as is known Allegra does not read it for {endpoint.url}"


def _is_missing(store: EffectiveStore) -> bool:
    return store.snapshot is not None and not store.snapshot.exists


def _snapshot(store: EffectiveStore) -> Snapshot:
    if store.snapshot is None:
        raise PlanRefused(f"{store.path}: what is in it could not be read from here; read it with `read_keystore` and give it")
    return store.snapshot


def _require_loaded(store: EffectiveStore) -> EffectiveStore:
    """Refuse a store with which every connection fails, whatever is added to it."""
    held = store.treatment if store.snapshot is None else treatment_of(store.snapshot)
    if held is Treatment.REFUSED:
        raise PlanRefused(f"{store.path}: Java does not load this file, whatever is added to it; restore a backup, or remove it")
    return store
