"""Every value as a pandas frame with fixed, documented columns; the names follow Ansible's where it has them.

Times are aware UTC, serial numbers and fingerprints strings (lower-case hex, no colons), counts `Int64`, yes and no `boolean`,
all able to hold `NA`. Every endpoint asked for has its row. Cells are already made visible; nothing in them acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from allegra_tls_kit.certificate import CertificateFacts, certificate_facts, role, sha256_of
from allegra_tls_kit.effective import verdicts
from allegra_tls_kit.endpoint import Security
from allegra_tls_kit.errors import CertificateError
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from allegra_tls_kit.effective import EffectiveStore
    from allegra_tls_kit.keystore import Snapshot
    from allegra_tls_kit.plan import Plan

TEXT, NUMBER, TIME, YES = "string", "Int64", "datetime64[us, UTC]", "boolean"

_ENDPOINT = {"host": TEXT, "port": NUMBER, "protocol": TEXT, "starttls": YES, "server_name": TEXT}
_CERTIFICATE = {
    "role": TEXT,
    "subject": TEXT,
    "subject_cn": TEXT,
    "issuer": TEXT,
    "issuer_cn": TEXT,
    "subject_alt_name": TEXT,
    "serial_number": TEXT,
    "not_before": TIME,
    "not_after": TIME,
    "days_left": NUMBER,
    "expired": YES,
    "self_signed": YES,
    "is_ca": YES,
    "public_key_type": TEXT,
    "public_key_size": NUMBER,
    "signature_algorithm": TEXT,
    "key_usage": TEXT,
    "extended_key_usage": TEXT,
    "fingerprint_sha256": TEXT,
    "fingerprint_sha1": TEXT,
    "ocsp_uri": TEXT,
    "issuer_uri": TEXT,
}
SURVEY_COLUMNS = {
    **_ENDPOINT,
    "probe_status": TEXT,
    "stage": TEXT,
    "error": TEXT,
    "message": TEXT,
    "ip": TEXT,
    "tls_version": TEXT,
    "cipher": TEXT,
    "client_cert_requested": YES,
    "chain_length": NUMBER,
    "subject_cn": TEXT,
    "issuer_cn": TEXT,
    "not_after": TIME,
    "days_left": NUMBER,
    "fingerprint_sha256": TEXT,
    "trusted": YES,
    "verdict": TEXT,
    "probed_at": TIME,
    "duration_ms": NUMBER,
}
CERTIFICATE_COLUMNS = {**_ENDPOINT, "position": NUMBER, **_CERTIFICATE, "source": TEXT, "error": TEXT}
ENTRY_COLUMNS = {
    "keystore_path": TEXT,
    "keystore_type": TEXT,
    "alias": TEXT,
    "entry_type": TEXT,
    "creation_date": TIME,
    "trusted_by_java": YES,
    **_CERTIFICATE,
    "error": TEXT,
}
PLAN_COLUMNS = {
    "action": TEXT,
    "alias": TEXT,
    "subject_cn": TEXT,
    "issuer_cn": TEXT,
    "not_before": TIME,
    "not_after": TIME,
    "fingerprint_sha256": TEXT,
    "reason": TEXT,
}


def survey_frame(results: Iterable[Probe | ProbeFailure], anchors: Sequence[bytes] | None = None) -> pd.DataFrame:
    """One row an endpoint, failures too; columns `SURVEY_COLUMNS`.

    `probe_status` is `success` or `failure`, `stage` and `error` (the class) tell where and how it failed, `message` in words,
    also for a leaf that could not be read.
    `days_left` counts from the probe. `trusted` and `verdict` (Java's sentence) are NA unless anchors (DER) are given.
    """
    return _frame((_survey_row(result, anchors) for result in results), SURVEY_COLUMNS)


def certificates_frame(results: Iterable[Probe | ProbeFailure]) -> pd.DataFrame:
    """One row a certificate received, `position` 0 being the leaf; columns `CERTIFICATE_COLUMNS`.

    An endpoint that showed none has one row with its `error`. `source` is `received`.
    """
    return _frame((row for result in results for row in _certificate_rows(result)), CERTIFICATE_COLUMNS)


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
    return _frame(rows, ENTRY_COLUMNS)


def plan_frame(plan: Plan) -> pd.DataFrame:
    """One row an action of a plan; columns `PLAN_COLUMNS`."""
    rows = []
    for action in plan.actions:
        cells = {} if action.certificate is None else _certificate_cells(action.certificate, None, None)
        row: dict[str, Any] = {"action": action.kind.value, "alias": visible(action.alias), "reason": action.reason}
        rows.append(row | {name: cell for name, cell in cells.items() if name in PLAN_COLUMNS})
    return _frame(rows, PLAN_COLUMNS)


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
    row = _endpoint_cells(result) | {
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
    endpoint = _endpoint_cells(result)
    error = type(result.error).__name__ if isinstance(result, ProbeFailure) else None
    if not result.chain:
        return [endpoint | {"error": error}]
    return [
        {"error": error} | endpoint | {"position": position, "source": "received"} | _certificate_cells(der, position, result.at)
        for position, der in enumerate(result.chain)
    ]


def _endpoint_cells(result: Probe | ProbeFailure) -> dict[str, Any]:
    endpoint = result.endpoint
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "protocol": endpoint.protocol.value,
        "starttls": endpoint.security is Security.STARTTLS,
        "server_name": endpoint.server_name,
    }


def _certificate_cells(der: bytes, position: int | None, at: datetime | None) -> dict[str, Any]:
    try:
        facts = certificate_facts(der)
    except CertificateError as error:
        return {"error": str(error), "fingerprint_sha256": sha256_of(der)}
    cells = {name: _cell(getattr(facts, name)) for name in CertificateFacts.__slots__ if name in _CERTIFICATE}
    cells |= {"fingerprint_sha256": facts.sha256, "fingerprint_sha1": facts.sha1}
    cells["role"] = role(facts, (0 if not facts.is_ca else 1) if position is None else position)
    if at is not None:
        cells |= {"days_left": (facts.not_after - at).days, "expired": facts.not_after < at}
    return cells


def _cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, tuple) else value


def _frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns)).astype(dict(columns))
