"""A keystore held against what its servers show: what ends, what is pinned, what was renewed, what nobody needs any more.

Rule 1: pure. What was seen, and the instant, are arguments.
Rule 2: removal is proposed only of what this kit added, of what has nothing to do with any chain that was seen, and only while
every server is reached and trusted: one that is not could need any of it tomorrow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allegra_tls_kit.anchor import anchor_candidates, next_step
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.keystore import Entry, EntryKind, Snapshot, StoreType, no_certificate_in
from allegra_tls_kit.names import DistinguishedName
from allegra_tls_kit.plan import ALIAS_PREFIX, ActionKind
from allegra_tls_kit.reading import Reading, read, signed
from allegra_tls_kit.rules import anchor_violation
from allegra_tls_kit.standing import EntryReview, EntryState, Renewal, Review, ServerReview, ServerState
from allegra_tls_kit.superset import is_copied
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import few, visible
from allegra_tls_kit.trust import WARN_DAYS, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from allegra_tls_kit.plan import Applied

NAMED_SERVERS = 3
LONGEST_ALIAS = 80
_Name = DistinguishedName | str


def added_by(changes: Iterable[Applied]) -> frozenset[str]:
    """Return the SHA-256 of all certificates that these changes added, as a record tells of them, for `review`.

    What the restore of a backup brought is not among them: it may be anybody's.
    """
    plans = [applied.plan for applied in changes if applied.plan.backup is None]
    actions = [action for plan in plans for action in plan.actions if action.kind is ActionKind.ADD]
    return frozenset(sha256_of(action.certificate) for action in actions if action.certificate is not None)


def review(snapshot: Snapshot, results: Iterable[Probe | ProbeFailure], *, at: datetime, added: Collection[str] = ()) -> Review:
    """Hold a keystore against what its servers have shown, as of `at` (aware).

    `results` must be of all servers that are reached with this keystore: of others nothing is known here, nor of what a server
    shows at another time, as several machines behind one name may. `added` are SHA-256 (lower-case hex) of what this kit has
    added, see `added_by`; what has an alias that begins with `allegra-` counts without that. Where Java does not read the store,
    servers are not judged.
    """
    fault = _fault(snapshot)
    looks = [_Look(result, None if fault else _judged(result, snapshot.anchors, at)) for result in results]
    return _Reviewer(snapshot, looks, at, frozenset(added), fault).review()


@dataclass(frozen=True)
class _Look:
    """What one server showed; `diagnosis` is None where there was nothing to judge, or nothing to judge by."""

    result: Probe | ProbeFailure
    diagnosis: Diagnosis | None

    @property
    def url(self) -> str:
        return self.result.endpoint.url

    @property
    def settled(self) -> bool:
        """Whether the server was reached and Java trusts it."""
        return isinstance(self.result, Probe) and self.diagnosis is not None and self.diagnosis.trusted

    @property
    def anchor(self) -> bytes | None:
        return self.diagnosis.verified_chain[-1] if self.diagnosis and self.diagnosis.verified_chain else None

    @property
    def leaf(self) -> Reading | None:
        return _read(self.result.chain[0]) if self.result.chain else None

    @property
    def certificates(self) -> list[Reading]:
        """What was sent, and the certificate of the store in which the path ends."""
        ders = dict.fromkeys((*self.result.chain, *([self.anchor] if self.anchor else [])))
        return [reading for reading in map(_read, ders) if reading is not None]

    @property
    def names(self) -> set[_Name]:
        return {self.result.endpoint.identity, *(_names(self.leaf) if self.leaf else ())}


class _Reviewer:
    """One review on its way, and what is looked up once for it."""

    def __init__(self, snapshot: Snapshot, looks: list[_Look], at: datetime, added: frozenset[str], fault: str) -> None:
        self._snapshot, self._looks, self._at, self._added, self._fault = snapshot, looks, at, added, fault
        self._obstacle = fault or _obstacle(snapshot, looks)
        self._leaf_names = {look.leaf.subject for look in looks if look.leaf}
        self._served: dict[bytes, list[_Look]] = defaultdict(list)
        self._shown: dict[bytes, str] = {}
        self._issued: dict[DistinguishedName, list[Reading]] = defaultdict(list)
        self._refused: dict[_Name, str] = {}
        self._pinned: dict[_Name, tuple[datetime, str]] = {}
        for look in looks:
            if look.anchor:
                self._served[look.anchor].append(look)
            elif look.diagnosis and look.leaf:
                self._refused |= dict.fromkeys(look.names, look.url)
            if look.leaf and look.anchor == look.leaf.der:
                ends = look.leaf.not_after, look.url
                self._pinned |= {name: min(ends, self._pinned.get(name, ends)) for name in look.names}
            for reading in look.certificates:
                if reading.der not in self._shown:
                    self._shown[reading.der] = look.url
                    self._issued[reading.issuer].append(reading)
        self._aliases = Counter(entry.alias for entry in snapshot.entries)
        seen = sorted((entry for entry in snapshot.entries if entry.anchor), key=self._is_ours)
        self._holder = {entry.certificate: entry.alias for entry in reversed(seen)}  # the first, one that stays before others

    def review(self) -> Review:
        entries = tuple(map(self._entry, self._snapshot.entries))
        idle = [each.entry for each in entries if each.state in {EntryState.NOT_SERVED, EntryState.DUPLICATE}]
        removable = () if self._obstacle else tuple(entry.alias for entry in idle if self._is_ours(entry))
        notes = (f"Nothing is proposed for removal: {self._obstacle}",) if self._obstacle else ()
        renewals = sorted(self._renewals(entries), key=lambda renewal: not renewal.replaces)
        servers = tuple(map(self._server, self._looks))
        return Review(self._snapshot.path, self._at, servers, entries, tuple(renewals), removable, notes)

    def _is_ours(self, entry: Entry) -> bool:
        """Tell whether a person added it with this kit: no CA that a superset copied, no key, no alias that PKCS12 has twice."""
        ours = (entry.alias.startswith(ALIAS_PREFIX) and not is_copied(entry)) or entry.sha256 in self._added
        return ours and entry.kind is EntryKind.TRUSTED and self._aliases[entry.alias] == 1

    # --- servers -------------------------------------------------------------------------------------------------------------

    def _server(self, look: _Look) -> ServerReview:
        end = look.leaf.not_after if look.leaf else None
        days = (end - self._at).days if end else None
        alias = self._holder.get(look.anchor)
        result, diagnosis = look.result, look.diagnosis
        if isinstance(result, ProbeFailure):
            return ServerReview(result.endpoint, ServerState.FAILED, alias, end, days, result.sentence)
        if diagnosis is None:
            return ServerReview(result.endpoint, ServerState.NOT_JUDGED, alias, end, days, self._fault)
        state = ServerState.TRUSTED if days is None or days > WARN_DAYS else ServerState.RENEWAL_DUE
        state = state if diagnosis.trusted else ServerState.REFUSED
        return ServerReview(result.endpoint, state, alias, end, days, next_step(diagnosis))

    def _renewals(self, entries: Sequence[EntryReview]) -> Iterator[Renewal]:
        renewed = [(e.entry.alias, _names(r)) for e in entries if e.state is EntryState.RENEWED and (r := _certificate(e.entry))]
        for look in self._looks:
            candidates = anchor_candidates(look.diagnosis) if look.diagnosis else ()
            if candidates:
                own = look.names
                yield Renewal(look.result.endpoint, candidates, tuple(alias for alias, names in renewed if names & own))

    # --- entries -------------------------------------------------------------------------------------------------------------

    def _entry(self, entry: Entry) -> EntryReview:
        reading = _certificate(entry)
        end = reading.not_after if reading else None
        days = (end - self._at).days if end else None
        pinned = reading is not None and (anchor_violation(reading) is not None or reading.subject in self._leaf_names)
        holds = entry.anchor and self._holder.get(entry.certificate) == entry.alias
        looks = self._served.get(entry.certificate or b"", []) if holds else []
        needed = tuple(look.url for look in looks if not self._stands_without(look))
        serves = tuple(look.url for look in looks)
        if reading is None or not entry.anchor:
            state, advice = _not_seen(entry, reading)
        elif not holds:
            state, advice = self._doubled(entry)
        elif serves:
            state, advice = _in_use(reading, days or 0, pinned=pinned, needed=needed, serves=serves)
        else:
            state, advice = self._idle(entry, reading, pinned=pinned)
        return EntryReview(entry, self._is_ours(entry), pinned, end, days, serves, needed, state, advice)

    def _stands_without(self, look: _Look) -> bool:
        others = tuple(der for der in self._snapshot.anchors if der != look.anchor)
        without = _judged(look.result, others, self._at)
        return without is not None and bool(without.verified_chain)

    def _doubled(self, entry: Entry) -> tuple[EntryState, str]:
        twin = visible(self._holder[entry.certificate], LONGEST_ALIAS)
        whose = "one of the two is enough" if self._is_ours(entry) else "not added by this kit, leave it alone"
        return EntryState.DUPLICATE, f"the same certificate as {twin}; {whose}"

    def _idle(self, entry: Entry, reading: Reading, *, pinned: bool) -> tuple[EntryState, str]:
        if (url := self._vouches_for(reading)) is not None:
            return EntryState.IN_RESERVE, f"Java needs it for no server now; it vouches for what {url} shows: keep it"
        if pinned and (urls := [self._refused[name] for name in _names(reading) if name in self._refused]):
            advice = f"{min(urls)} has its name, shows another certificate now, and is refused: import that one"
            return EntryState.RENEWED, advice
        ends = [self._pinned[name] for name in _names(reading) if name in self._pinned]
        if pinned and ends and min(ends)[0] < reading.not_after:
            return EntryState.IN_RESERVE, f"it outlives what {min(ends)[1]} shows now: keep it, it may be what comes next"
        if not self._is_ours(entry):
            return EntryState.NOT_OURS, "not added by this kit, and no server looked at needs it; leave it alone"
        if self._obstacle:
            return EntryState.UNKNOWN, f"no server needs it as far as can be seen, but {self._obstacle}"
        return EntryState.NOT_SERVED, f"none of the servers looked at ({len(self._looks)}) needs it; it can be removed"

    def _vouches_for(self, reading: Reading) -> str | None:
        """Return a server that shows this certificate, or one that it has issued, whatever Java makes of it today."""
        if reading.der in self._shown or anchor_violation(reading) is not None:
            return self._shown.get(reading.der)
        return next((self._shown[below.der] for below in self._issued[reading.subject] if signed(below, reading)), None)


def _not_seen(entry: Entry, reading: Reading | None) -> tuple[EntryState, str]:
    if reading is None and entry.certificate is not None:
        advice = "it cannot be read; if Java cannot either, it loads nothing of this store: have somebody look at it"
        return EntryState.UNREADABLE, advice
    return EntryState.NOT_SEEN, f"{entry.kind}: Java, as Allegra opens the store, trusts nobody by it; left alone"


def _in_use(
    reading: Reading, days: int, *, pinned: bool, needed: tuple[str, ...], serves: tuple[str, ...]
) -> tuple[EntryState, str]:
    """Say what the end of a certificate in the store means: little for Java, much for what the server shows next."""
    who = few(needed or serves, NAMED_SERVERS)
    if not needed:
        return EntryState.IN_USE, f"Java ends the path of {who} here, and would find another one without it"
    return (_pinned if pinned else _vouching)(who, f"{reading.not_after:%Y-%m-%d}", days)


def _pinned(who: str, day: str, days: int) -> tuple[EntryState, str]:
    then = "the next certificate has to be imported when the server gets it"
    if days < 0:
        return (
            EntryState.PIN_EXPIRED,
            f"expired on {day}; Java trusts what {who} shows all the same; renewal is overdue, and {then}",
        )
    if days <= WARN_DAYS:
        return EntryState.PIN_EXPIRES_SOON, f"{who} must be renewed by {day}; {then}, so ask for its fingerprint now"
    return EntryState.IN_USE, f"Java knows {who} by this one certificate; {then}, by {day}"


def _vouching(who: str, day: str, days: int) -> tuple[EntryState, str]:
    more = f"which Java does not mind while the chain is in order; needed for {who}: ask what follows it"
    if days < 0:
        return EntryState.EXPIRED, f"expired on {day}, {more}"
    if days <= WARN_DAYS:
        return EntryState.EXPIRES_SOON, f"ends on {day}, {more}"
    return EntryState.IN_USE, f"Java trusts what {who} shows, because this vouches for it"


def _fault(snapshot: Snapshot) -> str:
    """Say why Java does not read this store, which leaves nothing to judge by; empty where it does."""
    if not snapshot.exists:
        return "the file does not exist, and Java reads the cacerts of its runtime"
    if snapshot.store_type is StoreType.JCEKS:
        return "it is JCEKS, which Java does not read as a truststore"
    alias = no_certificate_in(snapshot)
    return (
        ""
        if alias is None
        else f"entry {visible(alias, LONGEST_ALIAS)} holds what is no certificate, and Java loads no such store"
    )


def _obstacle(snapshot: Snapshot, looks: Sequence[_Look]) -> str:
    """Say why nothing can be said of what nobody seems to need; empty where it can."""
    if snapshot.locked:
        return "not all of the store was read; read it again with its password"
    if not looks:
        return "no server was looked at"
    unsettled = [look.url for look in looks if not look.settled]
    return f"{few(unsettled, NAMED_SERVERS)} must be reached and trusted first" if unsettled else ""


def _judged(result: Probe | ProbeFailure, anchors: Sequence[bytes], at: datetime) -> Diagnosis | None:
    return judge(result, anchors, at=at) if result.chain or isinstance(result, Probe) else None


def _certificate(entry: Entry) -> Reading | None:
    return None if entry.certificate is None else _read(entry.certificate)


def _read(der: bytes) -> Reading | None:
    try:
        return read(der)
    except CertificateError:
        return None


def _names(reading: Reading) -> set[_Name]:
    """Return the names by which the certificates of one server are known as its own, before and after a renewal."""
    carried = reading.carried_names
    names = {name.lower() for name in carried.dns_names} or {(carried.common_name or "").lower()} - {""}
    return {reading.subject, *names, *map(str, carried.addresses)}
