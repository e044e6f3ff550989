"""An estate by what people ask of it: what ends when, who issued what, what is shared, outdated, misnamed, about to break.

Each view is a frame; what its columns are stands in `columns`. What needs a verdict is judged as of its probe.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.anchor import anchor_candidates, next_step
from allegra_tls_kit.certificate import CertificateFacts, certificate_facts, facts_or_words, role, sha256_of
from allegra_tls_kit.columns import (
    DRIFT_COLUMNS,
    EXPIRY_COLUMNS,
    ISSUER_COLUMNS,
    NAME_COLUMNS,
    PINNED_COLUMNS,
    SHARED_COLUMNS,
    TLS_COLUMNS,
)
from allegra_tls_kit.drift import Drift, leaf_in_words
from allegra_tls_kit.effective import Treatment, treatment_of
from allegra_tls_kit.errors import CertificateError, HandshakeFailed
from allegra_tls_kit.finding import FindingCode, Severity
from allegra_tls_kit.identity import refusal
from allegra_tls_kit.keystore import Snapshot
from allegra_tls_kit.negotiation import negotiated
from allegra_tls_kit.reading import read
from allegra_tls_kit.survey import Probe, ProbeFailure, identification, judge
from allegra_tls_kit.tables import endpoint_cells, frame_of, placed, with_zone
from allegra_tls_kit.text import few, visible
from allegra_tls_kit.trust import CRITICAL_DAYS, WARN_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from allegra_tls_kit.effective import EffectiveStore
    from allegra_tls_kit.tables import Results

LISTED = 10
_LONGEST_ALIAS = 80
_LAST = datetime.max.replace(tzinfo=UTC)
_REFUSED_FOR_ITS_VERSION = re.compile(r"protocol_version|unsupported protocol|wrong (ssl )?version")


@dataclass(slots=True)
class _Group:
    """Endpoints and keystore entries that have something in common, each once and in their order, and the leaves of those."""

    endpoints: dict[str, str] = field(default_factory=dict)
    entries: dict[str, None] = field(default_factory=dict)
    certificates: dict[str, CertificateFacts] = field(default_factory=dict)
    position: int = 0

    def add(self, result: Probe | ProbeFailure, facts: CertificateFacts | None) -> None:
        self.endpoints[result.endpoint.url] = result.endpoint.ascii_host
        if facts is not None:
            self.certificates[facts.sha256] = facts

    @property
    def ends(self) -> list[datetime]:
        return [facts.not_after for facts in self.certificates.values()]

    @property
    def cells(self) -> dict[str, Any]:
        return {
            "servers": len(self.endpoints),
            "hosts": len(set(self.endpoints.values())),
            "entries": len(self.entries),
            "certificates": len(self.certificates),
            "not_after": min(self.ends, default=None),
            "last_end": max(self.ends, default=None),
            "endpoints": few(self.endpoints, LISTED),
            "aliases": few(self.entries, LISTED),
        }


def expiry_frame(
    results: Results, stores: Iterable[Snapshot | EffectiveStore] = (), *, at: datetime | None = None
) -> pd.DataFrame:
    """One row a certificate, whoever shows or holds it, in servers and keystores alike; the first to end comes first.

    Columns `EXPIRY_COLUMNS`. `at` (aware) is the instant from which the days count, the last probe's if None; without either
    they are NA. In front stand, as `unknown`, the servers that showed no certificate, and what cannot be read.
    """
    groups: dict[bytes, _Group] = defaultdict(_Group)
    listed = _flat(results)
    for result in listed:
        for position, der in enumerate(result.chain or (b"",)):
            groups[der].add(result, None)
            groups[der].position = max(groups[der].position, position)
    for store in stores:
        snapshot = store if isinstance(store, Snapshot) else store.snapshot
        for entry in snapshot.entries if snapshot is not None else ():
            if entry.certificate is not None:
                alias = visible(entry.alias, _LONGEST_ALIAS)
                groups[entry.certificate].entries[f"{visible(str(store.path))}: {alias}"] = None
    at = at or max((result.at for result in listed), default=None)
    rows = [_expiry_row(der, group, at) for der, group in groups.items()]
    return frame_of(sorted(rows, key=lambda row: row["not_after"] or datetime.min.replace(tzinfo=UTC)), EXPIRY_COLUMNS)


def issuers_frame(results: Results) -> pd.DataFrame:
    """One row a CA that has issued a server's own certificate, by its name; the one with the most servers comes first.

    Columns `ISSUER_COLUMNS`; without a name are the servers of which no certificate could be read. CAs of the same name are one
    row here, whatever their keys.
    """
    groups: dict[tuple[str | None, str | None], _Group] = defaultdict(_Group)
    for result in _flat(results):
        facts = _leaf(result)
        groups[(facts.issuer, facts.issuer_cn) if facts else (None, None)].add(result, facts)
    rows = [{"issuer": issuer, "issuer_cn": name} | group.cells for (issuer, name), group in groups.items()]
    return frame_of(sorted(rows, key=lambda row: -row["servers"]), ISSUER_COLUMNS)


def shared_frame(results: Results) -> pd.DataFrame:
    """One row a key that several servers show, under one certificate or several; the key of the most hosts comes first.

    Columns `SHARED_COLUMNS`. Ports of one host are several servers; `hosts` tells how many hosts it is.
    """
    groups: dict[str, _Group] = defaultdict(_Group)
    for result in _flat(results):
        if (facts := _leaf(result)) is not None:
            groups[facts.public_key_sha256].add(result, facts)
    rows = []
    for key, group in groups.items():
        if len(group.endpoints) > 1:
            first, *others = group.certificates.values()
            row = group.cells | {"public_key_sha256": key, "subject_cn": first.subject_cn}
            row |= {"shared": "key"} if others else {"shared": "certificate", "fingerprint_sha256": first.sha256}
            rows.append(row)
    return frame_of(sorted(rows, key=lambda row: (-row["hosts"], -row["servers"])), SHARED_COLUMNS)


def old_tls_frame(results: Results, *, java_version: int = 17) -> pd.DataFrame:
    """One row a server whose TLS Java refuses, or will: nothing newer than 1.1, or only cipher suites that Java has not.

    Columns `TLS_COLUMNS`, and `zone` where results come by zone. A handshake that failed for the version counts as well.
    """
    rows = []
    for zone, result in placed(results):
        if (said := _tls_finding(result, java_version)) is not None:
            rows.append(zone | endpoint_cells(result.endpoint) | said)
    return frame_of(sorted(rows, key=lambda row: row["severity"]), with_zone(results, TLS_COLUMNS))


def names_frame(results: Results) -> pd.DataFrame:
    """One row a server whose certificate is not for the name that is connected to, by the rules of Java's LDAPS and HTTPS.

    Columns `NAME_COLUMNS`, and `zone` where results come by zone. Where `checked_by_allegra` is no, Java has not minded so far.
    """
    rows = []
    for zone, result in placed(results):
        if result.chain and (said := _name_cells(result)) is not None:
            rows.append(zone | endpoint_cells(result.endpoint) | said)
    return frame_of(sorted(rows, key=lambda row: not row["checked_by_allegra"]), with_zone(results, NAME_COLUMNS))


def pinned_frame(results: Results, stores: Iterable[Snapshot | EffectiveStore]) -> pd.DataFrame:
    """One row a server and keystore that breaks at the server's renewal: Java trusts its one certificate and no CA above it.

    Columns `PINNED_COLUMNS`, and `zone` where results come by zone; the first to end comes first. `instead` is a CA that the
    server sends, whose import would outlast renewals. Keystores that Java does not read are passed over.
    """
    readable = [(snapshot, frozenset(snapshot.anchors)) for snapshot in map(_read_by_java, stores) if snapshot is not None]
    rows = []
    for zone, result in placed(results):
        for snapshot, anchors in readable:
            if result.chain and result.chain[0] in anchors and (said := _pin_cells(result, snapshot)) is not None:
                rows.append(zone | endpoint_cells(result.endpoint) | {"keystore_path": visible(str(snapshot.path))} | said)
    return frame_of(sorted(rows, key=lambda row: row["not_after"] or _LAST), with_zone(results, PINNED_COLUMNS))


def drift_frame(drifts: Iterable[Drift]) -> pd.DataFrame:
    """One row an endpoint of two surveys that `compare_surveys` has compared, in its order; columns `DRIFT_COLUMNS`."""
    rows = []
    for drift in drifts:
        seen = {"was": drift.before, "now": drift.after}
        row: dict[str, Any] = {"change": drift.kinds[0].value, "changes": ", ".join(drift.kinds), "advice": drift.advice or None}
        row |= {"was_trusted": drift.was_trusted, "now_trusted": drift.is_trusted}
        row |= {name: leaf_in_words(result) for name, result in seen.items() if result is not None}
        row |= {f"{name}_sha256": sha256_of(r.chain[0]) for name, r in seen.items() if r is not None and r.chain}
        rows.append(endpoint_cells(drift.endpoint) | row)
    return frame_of(rows, DRIFT_COLUMNS)


def _state(days: int) -> str:
    if days < 0:
        return "expired"
    return "critical" if days <= CRITICAL_DAYS else "warning" if days <= WARN_DAYS else "ok"


def _expiry_row(der: bytes, group: _Group, at: datetime | None) -> dict[str, Any]:
    row: dict[str, Any] = group.cells | {"state": "unknown"}
    if not der:
        return row
    facts = facts_or_words(der)
    if isinstance(facts, str):
        return row | {"fingerprint_sha256": sha256_of(der)}
    position = group.position if group.endpoints else int(facts.is_ca)
    row |= {name: getattr(facts, name) for name in ("not_after", "subject_cn", "issuer_cn")}
    row |= {"fingerprint_sha256": facts.sha256, "role": role(facts, position), "state": None}
    if at is not None:
        days = (facts.not_after - at).days
        row |= {"days_left": days, "state": "not yet valid" if at < facts.not_before else _state(days)}
    return row


def _tls_finding(result: Probe | ProbeFailure, java_version: int) -> dict[str, Any] | None:
    if isinstance(result, Probe):
        said = negotiated(result.tls_version, result.cipher, java_version)
        if said is None:
            return None
        finding = said[0]
        cells: dict[str, Any] = {"severity": finding.severity.value, "finding": finding.code.value, "advice": finding.detail}
        return cells | {"tls_version": result.tls_version, "cipher": result.cipher}
    if not isinstance(result.error, HandshakeFailed) or not _REFUSED_FOR_ITS_VERSION.search(str(result.error)):
        return None
    advice = f"no version in common, with TLS 1.0 to 1.3 on offer; the server needs TLS 1.2 or 1.3 ({result.error})"
    return {"severity": Severity.ERROR.value, "finding": FindingCode.OLD_TLS.value, "advice": advice}


def _name_cells(result: Probe | ProbeFailure) -> dict[str, Any] | None:
    checked = identification(result.endpoint)
    cells: dict[str, Any] = {"identity": result.endpoint.identity, "checked_by_allegra": checked is not None}
    cells["fingerprint_sha256"] = sha256_of(result.chain[0])
    try:
        carried = read(result.chain[0]).carried_names
    except CertificateError as error:
        return cells | {"verdict": str(error)}
    words = refusal(result.endpoint.identity, carried, identification=checked or "HTTPS")
    if words is None:
        return None
    names = [*carried.dns_names, *map(str, carried.addresses)] or [carried.common_name or "none"]
    return cells | {"verdict": visible(words), "names": visible(", ".join(names))}


def _pin_cells(result: Probe | ProbeFailure, snapshot: Snapshot) -> dict[str, Any] | None:
    leaf = result.chain[0]
    without = judge(result, [der for der in snapshot.anchors if der != leaf])
    diagnosis = judge(result, snapshot.anchors)
    if without.trusted or not diagnosis.trusted:
        return None
    facts = certificate_facts(leaf)
    aliases = (entry.alias for entry in snapshot.entries if entry.anchor and entry.certificate == leaf)
    cells: dict[str, Any] = {"alias": visible(next(aliases), _LONGEST_ALIAS), "subject_cn": facts.subject_cn}
    cells |= {"not_after": facts.not_after, "days_left": (facts.not_after - result.at).days, "advice": next_step(diagnosis)}
    better = next((each for each in anchor_candidates(without) if each.recommended and each.der != leaf), None)
    if better is not None:
        cells |= {"instead": certificate_facts(better.der).name, "instead_sha256": better.sha256}
        cells["advice"] = f"import the {better.role} too, after comparing its fingerprint: {better.consequence}"
    return cells


def _read_by_java(store: Snapshot | EffectiveStore) -> Snapshot | None:
    snapshot = store if isinstance(store, Snapshot) else store.snapshot
    treatment = treatment_of(store) if isinstance(store, Snapshot) else store.treatment
    return snapshot if treatment is Treatment.READ else None


def _flat(results: Results) -> list[Probe | ProbeFailure]:
    return [result for _, result in placed(results)]


def _leaf(result: Probe | ProbeFailure) -> CertificateFacts | None:
    facts = facts_or_words(result.chain[0]) if result.chain else ""
    return None if isinstance(facts, str) else facts
