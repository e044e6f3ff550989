"""A survey ↔ the lines of a file: every result as JSON, every certificate once; and the results that a journal has kept.

The first line says what follows, and its SHA-256, so that what is cut or damaged is noticed; that is no signature. A certificate
comes before what refers to it by its SHA-256.

Rule: a file is a stranger. It is read with bounds, gives the values that were written or a SurveyError, and nothing in between.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from allegra_tls_kit import errors
from allegra_tls_kit.certificate import sha256_of
from allegra_tls_kit.endpoint import Endpoint, Protocol, Security
from allegra_tls_kit.errors import ProbeError, SurveyError
from allegra_tls_kit.events import plain, read_events
from allegra_tls_kit.preamble import LONGEST_TRANSCRIPT, Stage
from allegra_tls_kit.survey import Probe, ProbeFailure
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT, VERSION = "allegra-tls-kit survey", 1
LONGEST_SURVEY = 256 * 1024 * 1024
"""Ten thousand servers with a certificate of their own each are 20 MB."""
LONGEST_LINE = 1024 * 1024
"""Ten times what OpenSSL takes for a chain; JSON of brackets alone becomes twenty times as large in memory."""
_NOT_OURS = (LookupError, TypeError, ValueError, OverflowError)
_ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ProbeError)}


def survey_bytes(results: Iterable[Probe | ProbeFailure]) -> bytes:
    """Return a survey as the bytes of a file; raises SurveyError for one that is too long to be read again."""
    certificates: dict[bytes, str] = {}
    lines = []
    for result in results:
        for der in result.chain:
            if der not in certificates:
                certificates[der] = sha256_of(der)
                lines.append({"certificate": certificates[der], "der": base64.b64encode(der).decode("ascii")})
        value = plain(dataclasses.replace(result, chain=())) | {"chain": [certificates[der] for der in result.chain]}
        lines.append({"kind": type(result).__name__, "value": value})
    written = [json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n" for line in lines]
    body = b"".join(written)
    if len(body) > LONGEST_SURVEY - LONGEST_LINE or max(map(len, written), default=0) > LONGEST_LINE:
        raise SurveyError(f"a survey of {len(body) >> 20} MB in {count(len(written), 'line')} is too long; save it in parts")
    head = {"format": FORMAT, "version": VERSION, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + body


def survey_in(data: bytes, source: str) -> tuple[Probe | ProbeFailure, ...]:
    """Return the results in the bytes of a saved survey, or of a journal, whose events of probes are taken in their order.

    Raises SurveyError that names `source`, and the line where it is one.
    """
    head, _, body = data.partition(b"\n")
    try:
        first = json.loads(head) if len(head) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        first = None
    if isinstance(first, dict) and first.get("format") == FORMAT:
        return _from_survey(first, body, source)
    if isinstance(first, dict) and {"at", "kind", "previous", "value"} <= first.keys():
        return _from_journal(data, source)
    raise SurveyError(f"{source}: neither a saved survey nor a journal; `save_survey` writes the one, a record holds the other")


def _from_survey(head: Mapping[str, Any], body: bytes, source: str) -> tuple[Probe | ProbeFailure, ...]:
    if head.get("version") != VERSION:
        said = visible(str(head.get("version")), 20)
        raise SurveyError(
            f"{source}: version {said} of the format, this kit reads {VERSION}; use the kit that wrote it, or a newer one"
        )
    if hashlib.sha256(body).hexdigest() != head.get("sha256"):
        raise SurveyError(f"{source}: cut, damaged or edited since it was saved; take another copy, or probe again")
    certificates: dict[str, bytes] = {}
    results = []
    for number, line in enumerate(io.BytesIO(body), 2):
        try:
            raw = _object(line)
            if "certificate" in raw:
                der = _der(raw["der"])
                certificates[sha256_of(der)] = der
            else:
                chain = tuple(certificates[sha256] for sha256 in _list(raw["value"]["chain"]))
                results.append(_result(raw["kind"], raw["value"], chain))
        except (*_NOT_OURS, RecursionError) as error:
            _refuse(source, number, error)
    return tuple(results)


def _from_journal(data: bytes, source: str) -> tuple[Probe | ProbeFailure, ...]:
    events, faults = read_events(data)
    if faults:
        raise SurveyError(f"{source}: {faults[0]}; nothing of a journal that was altered is taken for seen")
    results = []
    for event in events:
        if event.kind in {*FIELDS, "Zoned"}:
            try:
                value = event.value["result"] if event.kind == "Zoned" else event.value
                kind = "ProbeFailure" if "error" in value else "Probe"
                results.append(_result(kind, value, tuple(map(_der, _list(value["chain"])))))
            except _NOT_OURS as error:
                _refuse(source, event.number, error)
    return tuple(results)


def _refuse(source: str, number: int, error: Exception) -> NoReturn:
    why = f"{type(error).__name__}: {visible(str(error), 120)}"
    raise SurveyError(f"{source}, line {number}: nothing that this kit writes ({why})") from None


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE >> 20} MB")
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise TypeError("no object")
    return raw


def _result(kind: str, value: Mapping[str, Any], chain: tuple[bytes, ...]) -> Probe | ProbeFailure:
    readers = FIELDS[kind]
    read = {name: reader(value[name]) for name, reader in readers.items()}
    return Probe(chain=chain, **read) if kind == "Probe" else ProbeFailure(chain=chain, **read)


def _endpoint(value: Mapping[str, Any]) -> Endpoint:
    name, port = value["server_name"], value["port"]
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError("a port that is no number")
    security = Security(value["security"])
    return Endpoint(_text(value["host"]), port, Protocol(value["protocol"]), security, None if name is None else _text(name))


def _error(value: Mapping[str, Any]) -> ProbeError:
    return _ERRORS[_text(value["type"])](_text(value["message"]))


def _instant(value: object) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("seconds that are none")
    return float(value)


def _yes(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise TypeError("neither true, false nor null")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return visible(value, LONGEST_LINE)


def _der(value: object) -> bytes:
    return base64.b64decode(_text(value), validate=True)


_SEEN = {
    "endpoint": _endpoint,
    "at": _instant,
    "transcript": lambda value: tuple(map(_text, _list(value)[: LONGEST_TRANSCRIPT + 1])),
    "seconds": _seconds,
}
FIELDS: dict[str, dict[str, Any]] = {
    "Probe": _SEEN | {"tls_version": _text, "cipher": _text, "address": _text, "client_certificate": _yes},
    "ProbeFailure": _SEEN | {"stage": Stage, "error": _error, "address": lambda value: None if value is None else _text(value)},
}
"""How each field is read, but for the chain."""
