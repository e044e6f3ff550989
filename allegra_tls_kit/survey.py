"""What one look at a server gave: two outcomes, two types.

Rule: plain data that pickles; made by `probe`, judged by `trust`, shown by `tables` and `report`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from allegra_tls_kit.alert import as_logged
from allegra_tls_kit.endpoint import Protocol
from allegra_tls_kit.negotiation import negotiated
from allegra_tls_kit.text import count
from allegra_tls_kit.trust import diagnose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.errors import ProbeError
    from allegra_tls_kit.preamble import Stage
    from allegra_tls_kit.trust import Diagnosis


@dataclass(frozen=True, slots=True)
class Probe:
    """A completed handshake.

    `at` is aware UTC, the moment the handshake was complete. `chain` is DER as sent, leaf first, order and extras untouched.
    `address` is the IP address that answered. `transcript` holds the plaintext lines up to the go-ahead, `C: ` and `S: ` in
    front, made visible; empty for implicit TLS. `client_certificate` tells whether the server asked for one; None if this
    Python cannot say. `seconds` is the time from start to chain. Nothing in here was verified.
    """

    endpoint: Endpoint
    at: datetime
    chain: tuple[bytes, ...] = field(repr=False)
    tls_version: str
    cipher: str
    address: str
    transcript: tuple[str, ...] = field(repr=False)
    client_certificate: bool | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeFailure:
    """A probe that ended before the handshake was complete.

    `stage` is where it ended; `chain` is what the server had already sent of it, DER, leaf first, often empty.
    `address` is None where none was reached.
    """

    endpoint: Endpoint
    at: datetime
    stage: Stage
    error: ProbeError
    chain: tuple[bytes, ...] = field(repr=False)
    address: str | None
    transcript: tuple[str, ...] = field(repr=False)
    seconds: float

    @property
    def ended(self) -> str:
        """How and where it ended, as in `ProbeTimeout (greeting)`."""
        return f"{type(self.error).__name__} ({self.stage})"

    @property
    def sentence(self) -> str:
        """The same, with what happened and what to do."""
        return f"{self.ended}: {self.error}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run over many endpoints is; `seconds` since its start.

    `done` counts the `failed` ones too. `over` in the last one of a run, also of one that was stopped before all were done.
    """

    done: int
    failed: int
    total: int
    seconds: float
    over: bool = False

    @property
    def remaining(self) -> int:
        """How many have no result yet."""
        return self.total - self.done

    @property
    def per_second(self) -> float:
        """How many were done in a second, since the start."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


class Interrupted(KeyboardInterrupt):
    """A look at many servers that was stopped by hand; `results` is what it would have returned, with what was done until then.

    An endpoint that was not done has a ProbeFailure with the error NotProbed in its place. Nobody has to catch this: after it
    has stopped a notebook or an interactive session, Python keeps it as `sys.last_value`.
    """

    def __init__(self, sentence: str, results: Any) -> None:  # noqa: ANN401 - a tuple, or a mapping of zones
        """Hold the results."""
        super().__init__(sentence, results)
        self.results = results

    @classmethod
    def after(cls, done: int, total: int, results: Any) -> Interrupted:  # noqa: ANN401 - as above
        """Return the error that says how far it came."""
        return cls(f"stopped by hand when {done:,} of {count(total, 'server')} were done", results)

    def __str__(self) -> str:
        """Return the sentence; the results may be thousands."""
        return str(self.args[0])

    def _render_traceback_(self) -> list[str]:
        """Give IPython the sentence instead of the stack."""
        return [f"{type(self).__name__}: {self}", "`import sys; results = sys.last_value.results` has what was done."]


@dataclass(frozen=True, slots=True)
class Zoned:
    """What was seen from one place in the network."""

    zone: str
    result: Probe | ProbeFailure


def merged(results: Mapping[str, Iterable[Probe | ProbeFailure]]) -> tuple[Zoned, ...]:
    """Return the results of several zones as one sequence, for a journal; frames take the mapping itself."""
    return tuple(Zoned(zone, result) for zone, seen in results.items() for result in seen)


def identification(endpoint: Endpoint) -> str | None:
    """Return the endpoint identification that Allegra's Java makes: LDAPS by JNDI checks the name, mail does not."""
    return "LDAPS" if endpoint.protocol is Protocol.LDAP else None


def judge(
    result: Probe | ProbeFailure, anchors: Sequence[bytes], *, at: datetime | None = None, java_version: int = 17
) -> Diagnosis:
    """Judge what a server showed against the anchors (DER) of one truststore, as of the probe's moment unless `at` is given.

    Beside the chain this takes in what was negotiated: a version or cipher suite that Java refuses comes first, as it does there.
    """
    diagnosis = diagnose(
        result.chain,
        result.endpoint.identity,
        anchors,
        at=at or result.at,
        endpoint_identification=identification(result.endpoint),
        java_version=java_version,
    )
    seen = negotiated(result.tls_version, result.cipher, java_version) if isinstance(result, Probe) else None
    if seen is None:
        return diagnosis
    finding, message = seen
    if message is None:
        return replace(diagnosis, findings=(*diagnosis.findings, finding))
    return replace(diagnosis, trusted=False, message=as_logged(message, java_version), findings=(finding, *diagnosis.findings))
