"""What a frame says to a person: the same table as a static picture, a bar where something ends, a word for each state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from allegra_tls_kit.certificate import SHA256_DIGITS, keytool_notation
from allegra_tls_kit.columns import TIME
from allegra_tls_kit.report_store import time_left
from allegra_tls_kit.static import Badge, Cell, Details, Note, Part, Static, Table, Tone
from allegra_tls_kit.tables import with_named_index
from allegra_tls_kit.text import count, visible
from allegra_tls_kit.trust import WARN_DAYS
from allegra_tls_kit.views import expiry_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from allegra_tls_kit.effective import EffectiveStore
    from allegra_tls_kit.keystore import Snapshot
    from allegra_tls_kit.tables import Results

SHOWN_ROWS = 200
"""More are counted and not shown; a saved notebook of megabytes opens slowly."""
LONGEST_CELL = 1000
_TONES = {
    **dict.fromkeys(("failure", "error", "expired", "critical", "refused"), Tone.BAD),
    **dict.fromkeys(("warning", "unknown", "not yet valid"), Tone.WARN),
    **dict.fromkeys(("success", "ok", "trusted"), Tone.OK),
}
"""Of words in columns that have nothing but such words."""
_STATES = {"state", "severity", "probe_status"}


def show_frame(frame: pd.DataFrame, caption: str = "") -> Static:
    """Return a frame of this kit, or what was selected from one, as a static table; columns without any value are left out.

    Fingerprints stand as keytool shows them, and `not_after` as a bar where `days_left` is among the columns.
    """
    if not len(frame):
        return Static((Note(Tone.INFO, f"{visible(caption)}: none" if caption else "no rows"),))
    return Static(_parts(frame, caption or count(len(frame), "row")))


def show_expiry(results: Results, stores: Iterable[Snapshot | EffectiveStore] = (), *, at: datetime | None = None) -> Static:
    """Return what ends when, in servers and keystores: the next 28 days first, what comes later folded."""
    whole = expiry_frame(results, stores, at=at)
    frame = whole.drop(columns=["servers", "entries", "fingerprint_sha256"])
    soon = frame[~(frame["days_left"] > WARN_DAYS).fillna(value=False)]
    later = frame.drop(soon.index)
    shown = whole["fingerprint_sha256"].notna()
    silent = int(whole.loc[~shown, "servers"].sum())
    words = soon["state"][shown].value_counts()
    summary = " · ".join(f"{words[word]} {word}" for word in ("unknown", "expired", "critical", "warning") if word in words)
    caption = f"{count(int(shown.sum()), 'certificate')}: {summary or f'none ends within {WARN_DAYS} days'}"
    caption += f"; {count(silent, 'server')} showed none" if silent else ""
    parts = _parts(soon, caption) if len(soon) else (Note(Tone.OK, caption),)
    folded = (Details(f"{count(len(later), 'certificate')} ending later", _parts(later, "Later")),) if len(later) else ()
    return Static((*parts, *folded))


def _parts(frame: pd.DataFrame, caption: str) -> tuple[Part, ...]:
    shown = with_named_index(frame).head(SHOWN_ROWS)
    columns = {str(name): list(shown.iloc[:, place]) for place, name in enumerate(shown) if shown.iloc[:, place].notna().any()}
    days = columns.pop("days_left", None) if "not_after" in columns else None
    head = tuple(f"{name.replace('_', ' ')}{' (UTC)' if str(frame.dtypes.get(name)) == TIME else ''}" for name in columns)
    made = {name: [_cell(name, value) for value in values] for name, values in columns.items()}
    if days is not None:
        made["not_after"] = [
            cell if pd.isna(left) or pd.isna(end) else time_left(end, int(left))
            for cell, end, left in zip(made["not_after"], columns["not_after"], days, strict=True)
        ]
    table = Table(visible(caption), head, tuple(zip(*made.values(), strict=True)))
    rest = len(frame) - len(shown)
    more = (Note(Tone.INFO, f"{count(rest, 'more row')} not shown here; export the frame for all of them"),) if rest else ()
    return (table, *more)


def _cell(name: str, value: Any) -> Cell:  # noqa: ANN401 - whatever a frame holds
    if pd.isna(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if pd.api.types.is_bool(value):
        return Badge(Tone.OK if value else Tone.BAD, "yes" if value else "no") if name == "trusted" else "yes" if value else "no"
    text = visible(str(value), LONGEST_CELL)
    if name in _STATES:
        return Badge(_TONES.get(text, Tone.INFO), text)
    return keytool_notation(text) if name.endswith("sha256") and len(text) == SHA256_DIGITS else text
