"""Every value as a pandas frame; what its columns are, and what each means, stands in `columns`.

Every endpoint asked for has its row. Cells are already made visible; nothing in them acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from allegra_tls_kit.certificate import CertificateFacts, facts_or_words, role, sha256_of
from allegra_tls_kit.columns import (
    CERTIFICATE_COLUMNS,
    COLUMNS,
    DESCRIPTION_COLUMNS,
    ENTRY_COLUMNS,
    PLAN_COLUMNS,
    SURVEY_COLUMNS,
    TEXT,
    typed,
)
from allegra_tls_kit.effective import verdicts
from allegra_tls_kit.endpoint import Security
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from allegra_tls_kit.effective import EffectiveStore
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.keystore import Snapshot
    from allegra_tls_kit.plan import Plan

Results = Iterable[Probe | ProbeFailure] | Mapping[str, Iterable[Probe | ProbeFailure]]
"""What probes gave; seen from several places, by the name of the zone."""


def survey_frame(results: Results, anchors: Sequence[bytes] | None = None) -> pd.DataFrame:
    """One row an endpoint, failures too; columns `SURVEY_COLUMNS`, with `zone` in front where results come by zone.

    `days_left` counts from the probe. `trusted` and `verdict` are NA unless anchors (DER) are given.
    """
    rows = (zone | _survey_row(result, anchors) for zone, result in placed(results))
    return frame_of(rows, with_zone(results, SURVEY_COLUMNS))


def certificates_frame(results: Results) -> pd.DataFrame:
    """One row a certificate received, `position` 0 being the leaf; columns `CERTIFICATE_COLUMNS`, and `zone` as above.

    An endpoint that showed none has one row with its `error`.
    """
    rows = (zone | row for zone, result in placed(results) for row in _certificate_rows(result))
    return frame_of(rows, with_zone(results, CERTIFICATE_COLUMNS))


def columns_frame(of: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a column of a frame of this kit, or of all of them: its name, its type in pandas, what stands in it."""
    names = COLUMNS if of is None else [name for name in of if name in COLUMNS]
    rows = ({"column": name, "type": COLUMNS[name][0], "meaning": COLUMNS[name][1]} for name in names)
    return frame_of(rows, DESCRIPTION_COLUMNS)


def entries_frame(snapshot: Snapshot, at: datetime | None = None) -> pd.DataFrame:
    """One row an entry of a keystore; columns `ENTRY_COLUMNS`.

    `trusted_by_java` is as a JVM sees it that opens the file without a password. `days_left` and `expired` are NA unless the
    instant is given.
    """
    store = {"keystore_path": visible(str(snapshot.path)), "keystore_type": snapshot.store_type.value}
    rows = []
    for entry in snapshot.entries:
        row: dict[str, Any] = {
            **store,
            "alias": visible(entry.alias),
            "entry_type": entry.kind.value,
            "creation_date": entry.created,
            "trusted_by_java": entry.anchor,
        }
        rows.append(row | (_certificate_cells(entry.certificate, None, at) if entry.certificate is not None else {}))
    return frame_of(rows, ENTRY_COLUMNS)


def plan_frame(plan: Plan) -> pd.DataFrame:
    """One row an action of a plan; columns `PLAN_COLUMNS`."""
    rows = []
    for action in plan.actions:
        cells = {} if action.certificate is None else _certificate_cells(action.certificate, None, None)
        row: dict[str, Any] = {"action": action.kind.value, "alias": visible(action.alias), "reason": action.reason}
        rows.append(row | {name: cell for name, cell in cells.items() if name in PLAN_COLUMNS})
    return frame_of(rows, PLAN_COLUMNS)


def trust_matrix(results: Iterable[Probe | ProbeFailure], snapshots: Iterable[Snapshot | EffectiveStore]) -> pd.DataFrame:
    """One row a server, its URL as the index; one column a store, its path as the name; no other columns.

    A cell is `trusted`, or what Java says with that store alone, as of the probe: its own sentence, or in words that there was no
    certificate, or that Java does not read the store.
    """
    results, stores = list(results), list(snapshots)
    said = [verdicts(results, store) for store in stores]
    urls = [visible(result.endpoint.url) for result in results]
    rows = [cells for _, *cells in zip(urls, *said, strict=True)]
    paths = [visible(str(store.path)) for store in stores]
    return pd.DataFrame(rows, index=pd.Index(urls, name="endpoint", dtype=TEXT), columns=paths, dtype=TEXT)


def _survey_row(result: Probe | ProbeFailure, anchors: Sequence[bytes] | None) -> dict[str, Any]:
    row = endpoint_cells(result.endpoint) | {
        "ip": result.address,
        "chain_length": len(result.chain),
        "probed_at": result.at,
        "duration_ms": round(result.seconds * 1000),
    }
    match result:
        case Probe():
            row |= {"probe_status": "success", "tls_version": result.tls_version, "cipher": result.cipher}
            row["client_cert_requested"] = result.client_certificate
        case ProbeFailure():
            row |= {"probe_status": "failure", "stage": result.stage.value, "error": type(result.error).__name__}
            row["message"] = str(result.error)
    if result.chain:
        cells = _certificate_cells(result.chain[0], 0, result.at)
        row |= {name: cells.get(name) for name in ("subject_cn", "issuer_cn", "not_after", "days_left", "fingerprint_sha256")}
        row.setdefault("message", cells.get("error"))
        if anchors is not None:
            diagnosis = judge(result, anchors)
            row |= {"trusted": diagnosis.trusted, "verdict": diagnosis.message or "trusted"}
    return row


def _certificate_rows(result: Probe | ProbeFailure) -> list[dict[str, Any]]:
    endpoint = endpoint_cells(result.endpoint)
    error = type(result.error).__name__ if isinstance(result, ProbeFailure) else None
    if not result.chain:
        return [endpoint | {"error": error}]
    return [
        {"error": error} | endpoint | {"position": position, "source": "received"} | _certificate_cells(der, position, result.at)
        for position, der in enumerate(result.chain)
    ]


def endpoint_cells(endpoint: Endpoint) -> dict[str, Any]:
    """Return the cells that say which endpoint it is."""
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "protocol": endpoint.protocol.value,
        "starttls": endpoint.security is Security.STARTTLS,
        "server_name": endpoint.server_name,
    }


def _certificate_cells(der: bytes, position: int | None, at: datetime | None) -> dict[str, Any]:
    facts = facts_or_words(der)
    if isinstance(facts, str):
        return {"error": facts, "fingerprint_sha256": sha256_of(der)}
    cells = {name: _cell(getattr(facts, name)) for name in CertificateFacts.__slots__ if name in CERTIFICATE_COLUMNS}
    cells |= {"fingerprint_sha256": facts.sha256, "fingerprint_sha1": facts.sha1}
    cells["role"] = role(facts, (0 if not facts.is_ca else 1) if position is None else position)
    if at is not None:
        cells |= {"days_left": (facts.not_after - at).days, "expired": facts.not_after < at}
    return cells


def _cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, tuple) else value


def placed(results: Results) -> Iterator[tuple[dict[str, str], Probe | ProbeFailure]]:
    """Return each result after its cell `zone`, if it has one."""
    if isinstance(results, Mapping):
        yield from (({"zone": visible(zone)}, result) for zone, found in results.items() for result in found)
    else:
        yield from (({}, result) for result in results)


def with_zone(results: Results, columns: dict[str, str]) -> dict[str, str]:
    """Return the columns, after `zone` where results come by zone."""
    return typed("zone") | columns if isinstance(results, Mapping) else columns


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame with these columns and types, also where there are none."""
    return pd.DataFrame(list(rows), columns=list(columns)).astype(dict(columns))


def with_named_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose index is among its columns where it has a name, as that of a trust matrix."""
    return frame.reset_index() if any(name is not None for name in frame.index.names) else frame
