"""Two surveys compared: what became of each endpoint.

Rule: pure. Each result is judged as of its own probe, so that an old survey says today what it said then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from allegra_tls_kit.anchor import next_step
from allegra_tls_kit.certificate import CertificateFacts, facts_or_words, keytool_notation, sha256_of
from allegra_tls_kit.errors import NotProbed
from allegra_tls_kit.survey import Probe, ProbeFailure, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.trust import Diagnosis

_Result = Probe | ProbeFailure


class DriftKind(StrEnum):
    """What became of an endpoint, worst first.

    `renewed` is another certificate with the same key, `new key` one with another; `chain changed` leaves the leaf as it was.
    `gone` and `new` are about the lists: the endpoint is not in the second survey, or was not in the first.
    """

    NO_LONGER_TRUSTED = "no longer trusted"
    UNREACHABLE = "unreachable"
    NEW_KEY = "new key"
    GONE = "gone"
    FAILS_OTHERWISE = "fails otherwise"
    CHAIN_CHANGED = "chain changed"
    TLS_CHANGED = "TLS changed"
    RENEWED = "renewed"
    NOW_TRUSTED = "trusted now"
    REACHABLE = "reachable again"
    NEW = "new"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of one endpoint; `kinds` are worst first, `unchanged` alone where nothing did.

    `before` or `after` is None for an endpoint that is new or gone. `was_trusted` and `is_trusted` are None where no anchors were
    given or no certificate was shown. `advice` says what changed and what to do, made visible, empty where nothing changed.
    """

    endpoint: Endpoint
    kinds: tuple[DriftKind, ...]
    before: _Result | None = field(repr=False)
    after: _Result | None = field(repr=False)
    was_trusted: bool | None
    is_trusted: bool | None
    advice: str


def compare_surveys(
    before: Iterable[_Result], after: Iterable[_Result], anchors: Sequence[bytes] | None = None
) -> tuple[Drift, ...]:
    """Compare what servers showed in two surveys, worst first; with anchors (DER) Java's verdict then and now as well.

    An endpoint is the same if host (in ASCII), port, protocol, security and name are; of several results the last one counts, and
    where a run was stopped before its turn came, none does.
    Nobody has compared a fingerprint here: a new key that no anchor vouches for is a renewal, or somebody in between.
    """
    old, new = ({_key(result.endpoint): result for result in results if _was_probed(result)} for results in (before, after))
    drifts = [_drift(old.get(key), new.get(key), anchors) for key in dict.fromkeys((*old, *new))]
    return tuple(sorted(drifts, key=lambda drift: (_RANK[drift.kinds[0]], drift.endpoint.url)))


def leaf_in_words(result: _Result | None) -> str:
    """Return the server's own certificate in a line: name, issuer, end; or why there is none."""
    if result is None:
        return ""
    if not result.chain:
        return result.ended if isinstance(result, ProbeFailure) else "no certificate"
    facts = facts_or_words(result.chain[0])
    if isinstance(facts, str):
        return "a certificate that cannot be read"
    return f"{facts.name}, issued by {facts.issuer_cn or facts.issuer}, until {facts.not_after:%Y-%m-%d}"


_RANK = {kind: rank for rank, kind in enumerate(DriftKind)}


def _key(endpoint: Endpoint) -> tuple[str, ...]:
    return endpoint.ascii_host, str(endpoint.port), endpoint.protocol, endpoint.security, endpoint.identity


def _was_probed(result: _Result) -> bool:
    return isinstance(result, Probe) or not isinstance(result.error, NotProbed)


def _drift(before: _Result | None, after: _Result | None, anchors: Sequence[bytes] | None) -> Drift:
    was, now = _judged(before, anchors), _judged(after, anchors)
    result = after or before
    assert result is not None  # noqa: S101 - the key is from one of them
    found = sorted(_changes(before, after, was, now), key=lambda change: _RANK[change[0]])
    return Drift(
        endpoint=result.endpoint,
        kinds=tuple(kind for kind, _ in found) or (DriftKind.UNCHANGED,),
        before=before,
        after=after,
        was_trusted=None if was is None else was.trusted,
        is_trusted=None if now is None else now.trusted,
        advice="; ".join(words for _, words in found if words),
    )


def _changes(
    before: _Result | None, after: _Result | None, was: Diagnosis | None, now: Diagnosis | None
) -> Iterator[tuple[DriftKind, str]]:
    if after is None:
        yield DriftKind.GONE, "not in the second survey: no longer in the list, or not looked at"
        return
    if before is None:
        yield DriftKind.NEW, f"not in the first survey: {leaf_in_words(after)}"
        return
    if was is not None and now is not None and was.trusted is not now.trusted:
        yield (DriftKind.NOW_TRUSTED, "") if now.trusted else (DriftKind.NO_LONGER_TRUSTED, next_step(now))
    yield from _reached(before, after)
    if before.chain and after.chain and before.chain != after.chain:
        yield _certificates(before.chain, after.chain, vouched=now is not None and now.trusted)


def _reached(before: _Result, after: _Result) -> Iterator[tuple[DriftKind, str]]:
    match before, after:
        case Probe(), ProbeFailure():
            yield DriftKind.UNREACHABLE, after.sentence
        case ProbeFailure(), Probe():
            yield DriftKind.REACHABLE, f"before {before.ended}"
        case ProbeFailure(), ProbeFailure() if (type(before.error), before.stage) != (type(after.error), after.stage):
            yield DriftKind.FAILS_OTHERWISE, f"{after.sentence}; before {before.ended}"
        case Probe(), Probe() if (before.tls_version, before.cipher) != (after.tls_version, after.cipher):
            spoken = f"{after.tls_version} with {after.cipher}"
            yield DriftKind.TLS_CHANGED, f"{spoken}, before {before.tls_version} with {before.cipher}"


def _certificates(before: Sequence[bytes], after: Sequence[bytes], *, vouched: bool) -> tuple[DriftKind, str]:
    """Say how two chains differ, of which neither is empty; `vouched` tells that Java trusts the second."""
    if before[0] == after[0]:
        came, went = (", ".join(map(_name, one)) or "none" for one in (_without(after, before), _without(before, after)))
        return DriftKind.CHAIN_CHANGED, f"the same certificate in another chain: came {came}; went {went}"
    old, new = facts_or_words(before[0]), facts_or_words(after[0])
    reissued = ""
    if isinstance(old, CertificateFacts) and isinstance(new, CertificateFacts):
        reissued = _reissued(old, new)
        if old.public_key_sha256 == new.public_key_sha256:
            return DriftKind.RENEWED, f"with the same key, until {new.not_after:%Y-%m-%d}{reissued}"
    whose = f"{_name(after[0])} has another key than {_name(before[0])}{reissued}"
    if vouched:
        return DriftKind.NEW_KEY, f"{whose}: renewed, and trusted by the anchors that were given"
    asked = f"ask whoever runs the server whether its SHA-256 is {keytool_notation(sha256_of(after[0]))}"
    return DriftKind.NEW_KEY, f"{whose}: a renewal, or somebody in between; {asked}"


def _reissued(old: CertificateFacts, new: CertificateFacts) -> str:
    if old.issuer == new.issuer:
        return ""
    return f", issued by {new.issuer_cn or new.issuer}, before by {old.issuer_cn or old.issuer}"


def _without(chain: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    return [der for der in chain if der not in others]


def _judged(result: _Result | None, anchors: Sequence[bytes] | None) -> Diagnosis | None:
    return judge(result, anchors) if result is not None and result.chain and anchors is not None else None


def _name(der: bytes) -> str:
    facts = facts_or_words(der)
    return "what cannot be read" if isinstance(facts, str) else facts.name
