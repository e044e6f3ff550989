"""What became of servers between two surveys, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.drift import Drift, DriftKind, leaf_in_words
from allegra_tls_kit.static import Badge, Details, Note, Part, Static, Table, Tone
from allegra_tls_kit.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from allegra_tls_kit.static import Cell

_TONES = {
    **dict.fromkeys((DriftKind.NO_LONGER_TRUSTED, DriftKind.UNREACHABLE), Tone.BAD),
    **dict.fromkeys((DriftKind.NEW_KEY, DriftKind.GONE, DriftKind.FAILS_OTHERWISE), Tone.WARN),
    **dict.fromkeys((DriftKind.NOW_TRUSTED, DriftKind.REACHABLE, DriftKind.RENEWED, DriftKind.UNCHANGED), Tone.OK),
}


def show_drift(drifts: Iterable[Drift]) -> Static:
    """Return two surveys compared, worst first; what did not change is folded."""
    listed = list(drifts)
    kinds = [drift.kinds[0] for drift in listed]
    summary = " · ".join(f"{kinds.count(kind)} {kind}" for kind in DriftKind if kind in kinds) or "nothing to compare"
    changed = [drift for drift in listed if drift.kinds[0] is not DriftKind.UNCHANGED]
    same = [drift for drift in listed if drift.kinds[0] is DriftKind.UNCHANGED]
    caption = f"{count(len(listed), 'server')}: {summary}"
    parts: tuple[Part, ...] = (_table(caption, changed),) if changed else (Note(Tone.OK, caption),)
    return Static((*parts, *((Details(f"{len(same):,} unchanged", (_table("Unchanged", same),)),) if same else ())))


def _table(caption: str, drifts: Sequence[Drift]) -> Table:
    return Table(caption, ("", "server", "before", "now", "trusted", "what it means"), tuple(map(_row, drifts)))


def _row(drift: Drift) -> tuple[Cell, ...]:
    worst, *others = drift.kinds
    also = f"also: {', '.join(others)}; " if others else ""
    trusted = " → ".join({None: "not judged", True: "yes", False: "no"}[known] for known in (drift.was_trusted, drift.is_trusted))
    return (
        Badge(_TONES.get(worst, Tone.INFO), worst.value),
        drift.endpoint.url,
        leaf_in_words(drift.before),
        leaf_in_words(drift.after),
        "" if drift.was_trusted is drift.is_trusted is None else trusted,
        f"{also}{drift.advice}",
    )
