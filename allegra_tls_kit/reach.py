"""Which keystores could be changed for a connection, what each one reaches, and what a change there would mean.

Looking only, on top of `effective`: nothing is written, and what could not be seen is said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from allegra_tls_kit.effective import LDAPS_STORE, EffectiveStore, Treatment, effective_truststores
from allegra_tls_kit.endpoint import Protocol
from allegra_tls_kit.java_home import trust_file
from allegra_tls_kit.risk import Reach
from allegra_tls_kit.static import Note, Table, Tone
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.java_home import TrustFile
    from allegra_tls_kit.locate import Allegra

_FIRST_COUNTS = "but the first store that a JVM opens counts for all its connections until it ends"


@dataclass(frozen=True, slots=True)
class StoreReach:
    """A keystore in its relation to one connection.

    `modes` are the labels of Allegra's security modes in which it is read, in words; `treatment` is what Java makes of it now;
    `reach` says what else it counts for, `effect` what an import into it does for this connection.
    """

    path: Path
    modes: str
    treatment: str
    reach: str
    effect: Note = field(repr=False)


def store_reaches(endpoint: Endpoint, allegra: Allegra) -> tuple[StoreReach, ...]:
    """Return the keystores that come into question for this connection, the likely one first; reads them from disk.

    For LDAP `trackplus.ks` comes before `<host>.ks`, then the cacerts of Allegra's Java, then whatever else it reads.
    """
    found = {store.path: store for store in effective_truststores(endpoint, allegra)}
    own, ldaps = allegra.keystore_for(endpoint.host), allegra.keystore_folder / LDAPS_STORE
    likely = [ldaps, own] if endpoint.protocol is Protocol.LDAP else [own]
    cacerts = [] if allegra.cacerts is None else [allegra.cacerts.path]
    decisive = next(iter(found))
    return tuple(
        StoreReach(
            path,
            _modes(found.get(path), endpoint),
            _treatment(found.get(path)),
            _reach(path, endpoint, allegra),
            _unread(path, endpoint, decisive) if path not in found else _effect(found[path], endpoint, decisive),
        )
        for path in dict.fromkeys([*likely, *cacerts, *found])
    )


def reach_of(keystore: Path, allegra: Allegra, endpoints: Iterable[Endpoint] = ()) -> Reach:
    """Return who reads a keystore: which connections of Allegra, by the endpoints given, and which Java runtimes found here.

    The file itself and what decides about it are looked at on the disk. Not known are endpoints that are not given, other hosts
    that share the file, and programs that name it as their truststore.
    """
    file = trust_file(keystore)
    return Reach(keystore, file.real_path, tuple(_sentences(file, allegra, endpoints)))


def _sentences(file: TrustFile, allegra: Allegra, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    if file.real_path != file.path:
        yield f"it is a link; the file that is written is {visible(str(file.real_path))}"
    if file.path.parent == allegra.keystore_folder and file.path.name == LDAPS_STORE:
        yield "all LDAPS connections of Allegra read it"
    elif file.path.parent == allegra.keystore_folder:
        yield f"Allegra's connections to {visible(file.path.stem)} read it, the host as it stands in its settings"
    for endpoint in dict.fromkeys(endpoints):
        stores = effective_truststores(endpoint, allegra)
        modes = next((store.modes for store in stores if os.path.realpath(store.path) == str(file.real_path)), ())
        yield f"{endpoint.url} reads it " + (f"in the mode {' and '.join(modes)}" if modes else "in no mode, as things are now")
    for jvm in allegra.jvms:
        if jvm.cacerts.real_path == file.real_path:
            what = f"Java {jvm.version or 'of unknown version'} in {visible(str(jvm.home))}"
            yield f"{what} reads it where no store is named: every program that it runs"
    if file.owned_by is not None:
        yield file.owned_by


def show_reaches(stores: Iterable[StoreReach]) -> Table:
    """Return the keystores that come into question, with what each one reaches."""
    rows = tuple((visible(str(s.path)), s.modes, s.treatment, s.reach) for s in stores)
    return Table(
        "Keystores for this server; empty the field to choose another",
        ("keystore", "read in the modes", "what Java makes of it now", "reach"),
        rows,
    )


def effect_of(keystore: str, stores: Iterable[StoreReach]) -> Note:
    """Say what an import into this keystore, named as a path, would mean for the connection."""
    if not keystore:
        return Note(Tone.BAD, "Name the keystore that is to be changed.")
    chosen = next((store for store in stores if str(store.path) == keystore), None)
    if chosen is None:
        return Note(Tone.WARN, "Allegra does not read this file for this server, as far as can be seen from here.")
    return chosen.effect


def _modes(store: EffectiveStore | None, endpoint: Endpoint) -> str:
    if store is not None and _missing(store):
        return f"none yet; {endpoint.security.allegra_label} once it is there"
    return ", ".join(store.modes) or "none" if store is not None else "none"


def _treatment(store: EffectiveStore | None) -> str:
    if store is None:
        return "not read for this server"
    return "passed over: no such file yet" if _missing(store) else store.treatment.value


def _reach(path: Path, endpoint: Endpoint, allegra: Allegra) -> str:
    if path == allegra.keystore_for(endpoint.host):
        return f"only Allegra's connections to {visible(endpoint.host)}, {_FIRST_COUNTS}"
    if path == allegra.keystore_folder / LDAPS_STORE:
        return f"all LDAPS connections of Allegra, {_FIRST_COUNTS}"
    return "every program that this Java runs"


def _missing(store: EffectiveStore) -> bool:
    return store.treatment is Treatment.PASSED_OVER and store.snapshot is not None and not store.snapshot.exists


def _effect(store: EffectiveStore, endpoint: Endpoint, decisive: Path) -> Note:
    host, label = visible(endpoint.host), endpoint.security.allegra_label
    other = "the cacerts of its runtime" if decisive == store.path else visible(str(decisive))
    if _missing(store):
        made = f"The file will be made. Java then reads it for {host} in the mode {label}, and trusts only what is in it"
        return Note(Tone.WARN, f"{made}; if it is the first store that the JVM opens, that holds for its other connections too.")
    match store.treatment:
        case Treatment.READ | Treatment.EMPTY:
            return _effect_of_read(store, endpoint, other)
        case Treatment.REFUSED:
            return Note(Tone.BAD, "Java does not load this file, and every connection with it fails; put that right first.")
        case Treatment.PASSED_OVER:
            return Note(Tone.WARN, f"Allegra may not read this file: Java passes over it, to {other}; correct its permissions.")
        case _:
            return Note(Tone.WARN, "What Java makes of this file cannot be seen from here; look again as Allegra's user.")


def _effect_of_read(store: EffectiveStore, endpoint: Endpoint, other: str) -> Note:
    host, label = visible(endpoint.host), endpoint.security.allegra_label
    if label in store.modes:
        more = "" if store.treatment is Treatment.READ else ", and finds nothing to trust in it yet"
        return Note(Tone.OK, f"Java reads this file for {host} in the mode {label}{more}.")
    if store.modes:
        only = " and ".join(store.modes)
        return Note(Tone.WARN, f"Java reads this file for {host} in the mode {only} only; in the mode {label} it is {other}.")
    return Note(Tone.WARN, f"Allegra reads no store for {endpoint.url}; this file is what its LDAPS connections read.")


def _unread(path: Path, endpoint: Endpoint, decisive: Path) -> Note:
    host, other = visible(endpoint.host), visible(str(decisive))
    if endpoint.protocol is Protocol.LDAP and path.name == f"{endpoint.host}.ks":
        return Note(Tone.WARN, f"Allegra's manual names this file for {host}; its ancestor's source reads {other} instead.")
    return Note(Tone.WARN, f"Java does not read this file for {host}; it reads {other}.")
