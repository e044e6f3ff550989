"""Browsers of what is too long to read through: a survey, a keystore. Filter, sort, open one; the view is a frozen value.

The widgets only steer. What they show is the static twin below them, so the saved file has it as it was looked at.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ipywidgets

from allegra_tls_kit.certificate import CertificateFacts, facts_or_words, keytool_notation
from allegra_tls_kit.choice import KeystoreView, SurveyView
from allegra_tls_kit.form import Form, labelled
from allegra_tls_kit.plan import ALIAS_PREFIX
from allegra_tls_kit.report import show_server, show_survey
from allegra_tls_kit.report_store import expiry, show_snapshot
from allegra_tls_kit.static import Badge, Bar, Cell, Code, Details, Heading, Note, Part, Static, Table, Tone
from allegra_tls_kit.survey import Probe, ProbeFailure, judge
from allegra_tls_kit.text import count, listed, visible
from allegra_tls_kit.trust import WARN_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from allegra_tls_kit.keystore import Entry, Snapshot

_View = TypeVar("_View", bound=SurveyView | KeystoreView)

LISTED = 200
"""So many rows the table shows; all of them are in the list, and can be opened."""
SURVEY_STATES = ("failed", "expired", "not trusted", "expires soon", "seen", "trusted")
"""As `show_survey` words them, worst first."""
STORE_STATES = ("seen by Java", "ours", "expires")
_NONE = ("none", "")
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Row:
    """One thing that can be opened.

    `name` is what a view calls it, `label` what the list does, `ordered` what it is sorted under; `rank` is lowest for the worst.
    """

    name: str
    label: str
    ordered: str
    states: tuple[str, ...]
    rank: int
    expiry: datetime
    cells: tuple[Cell, ...] = field(repr=False)
    searched: str = field(repr=False)


_ORDERS: dict[str, Callable[[_Row], tuple[Any, ...]]] = {
    "worst first": lambda row: (row.rank, row.expiry, row.ordered),
    "name": lambda row: (row.ordered,),
    "expiry": lambda row: (row.expiry, row.ordered),
}


class _Browser(Form, Generic[_View]):
    """A filter, a state, an order, and a list to open one of."""

    def __init__(
        self, table: Table, rows: Iterable[_Row], states: Sequence[str], view: _View, about: tuple[Part, ...] = ()
    ) -> None:
        self._table, self._view, self._about = table, view, about
        unordered = list(rows)
        self._ordered = {name: sorted(unordered, key=key) for name, key in _ORDERS.items()}
        self._found: list[_Row] = []
        for what, given, known in (("state", view.state, ("all", *states)), ("sort", view.sort, tuple(_ORDERS))):
            if given not in known:
                raise ValueError(f"the view's {what} is {given!r}; known are {', '.join(known)}")
        counted = [(f"{state} ({sum(state in row.states for row in unordered):,})", state) for state in states]
        counted.insert(0, (f"all ({len(unordered):,})", "all"))
        hint = "words that stand in it, in any order: a name, an issuer, a fingerprint"
        self._filter = labelled(ipywidgets.Text, "Filter", value=view.filter, placeholder=hint)
        self._state = labelled(ipywidgets.Dropdown, "State", options=counted, value=view.state)
        self._sort = labelled(ipywidgets.Dropdown, "Sort by", options=tuple(_ORDERS), value=view.sort)
        self._list = labelled(ipywidgets.Dropdown, "Open", options=(_NONE,))
        super().__init__(self._filter, self._state, self._sort, self._list)

    @property
    def value(self) -> _View:
        """The view as it stands: frozen; its `repr` can be pasted, and given back as `view`."""
        with self._lock:
            stands = {"filter": self._filter.value, "state": self._state.value, "sort": self._sort.value}
            return replace(self._view, **stands, opened=self._list.value)

    def _answer(self, changed: object) -> None:
        if changed is self._list:
            return
        words, state = self._filter.value.casefold().split(), self._state.value
        self._found = [
            row
            for row in self._ordered[self._sort.value]
            if state in ("all", *row.states) and all(word in row.searched for word in words)
        ]
        opened = self._view.opened if changed is None else self._list.value
        self._list.options = [_NONE, *((row.label, row.name) for row in self._found)]
        self._list.value = opened if any(row.name == opened for row in self._found) else ""

    def twin(self) -> Static:
        """Return the one that is opened, and the table as it is filtered and sorted."""
        name, rest = self._list.value, len(self._found) - LISTED
        opened: tuple[Part, ...] = () if not name else (Heading(visible(name)), *self._details(name))
        sort = self._sort.value if " " in self._sort.value else f"by {self._sort.value}"
        caption = f"{len(self._found):,} of {self._table.caption}, {sort}"
        rows = tuple(row.cells for row in self._found[:LISTED])
        more = (Note(Tone.INFO, f"{count(rest, 'more row')} not shown here; narrow the filter."),) if rest > 0 else ()
        view = Details("This view as a literal", (Code(f"kit.{self.value!r}"),))
        return Static((*opened, *self._about, Table(caption, self._table.head, rows), *more, view))

    @abstractmethod
    def _details(self, name: str) -> tuple[Part, ...]:
        """Return what is shown of the one with this name."""


class SurveyBrowser(_Browser[SurveyView]):
    """Look through a survey: filter, state, order, and one server opened; `value` is the view.

    With `anchors` (DER) each server is judged, once, as of its probe. Put it at the end of a cell to show it; `view` is what an
    earlier browser had for its value. Raises ValueError for a state or an order that there is not.
    """

    def __init__(
        self, results: Iterable[Probe | ProbeFailure], anchors: Sequence[bytes] | None = None, *, view: SurveyView | None = None
    ) -> None:
        """Judge each result and list them."""
        self._anchors = anchors
        self._results: dict[str, Probe | ProbeFailure] = {}
        for number, result in enumerate(results, 1):
            url = result.endpoint.url
            self._results[url if url not in self._results else f"{url} ({number})"] = result
        head = _table(show_survey(()).parts).head
        rows = [self._row(name, result) for name, result in self._results.items()]
        super().__init__(Table(count(len(rows), "server"), head, ()), rows, SURVEY_STATES, view or SurveyView())

    def _row(self, name: str, result: Probe | ProbeFailure) -> _Row:
        (cells,) = _table(show_survey([result], self._anchors).parts).rows
        state = _words(cells[:1])
        facts = facts_or_words(result.chain[0]) if result.chain else None
        return _Row(
            name=name,
            label=f"{visible(name)} ⟨{state}⟩",
            ordered=f"{result.endpoint.host} {name}",
            states=(state,),
            rank=SURVEY_STATES.index(state),
            expiry=facts.not_after if isinstance(facts, CertificateFacts) else _NEVER,
            cells=cells,
            searched=_searched(cells, facts),
        )

    def _details(self, name: str) -> tuple[Part, ...]:
        result = self._results[name]
        judged = None if self._anchors is None or not result.chain else judge(result, self._anchors)
        return show_server(result, judged).parts


class KeystoreBrowser(_Browser[KeystoreView]):
    """Look through a keystore: filter, state, order, and one entry opened; `value` is the view.

    `at` (aware) is the instant at which entries have expired or will within 28 days, now if None; `ours` are those of this kit,
    by their alias. Put it at the end of a cell to show it; `view` is what an earlier browser had for its value. Raises
    ValueError for a state or an order that there is not.
    """

    def __init__(self, snapshot: Snapshot, at: datetime | None = None, *, view: KeystoreView | None = None) -> None:
        """List the entries."""
        self._at = at or datetime.now(UTC)
        self._entries = {entry.alias: entry for entry in snapshot.entries}
        shown = show_snapshot(snapshot, self._at).parts
        notes = tuple(part for part in shown if isinstance(part, Note))
        table = _table(shown)
        rows = [self._row(entry, cells) for entry, cells in zip(snapshot.entries, table.rows, strict=True)]
        super().__init__(Table(count(len(rows), "entry"), table.head, ()), rows, STORE_STATES, view or KeystoreView(), notes)

    def _row(self, entry: Entry, cells: tuple[Cell, ...]) -> _Row:
        facts = None if entry.certificate is None else facts_or_words(entry.certificate)
        until = facts.not_after if isinstance(facts, CertificateFacts) else _NEVER
        expires = until - self._at <= timedelta(days=WARN_DAYS)
        states = {"seen by Java": entry.anchor, "ours": entry.alias.startswith(ALIAS_PREFIX), "expires": expires}
        state = (
            "expired" if until < self._at else "expires soon" if expires else "seen by Java" if entry.anchor else entry.kind.value
        )
        return _Row(
            name=entry.alias,
            label=f"{visible(entry.alias, 80)} ⟨{state}⟩",
            ordered=entry.alias,
            states=tuple(name for name, holds in states.items() if holds),
            rank=0 if expires else 1,
            expiry=until,
            cells=cells,
            searched=_searched(cells, facts),
        )

    def _details(self, name: str) -> tuple[Part, ...]:
        entry = self._entries[name]
        created = f"{entry.created:%Y-%m-%d %H:%M} UTC" if entry.created else "not noted in the file"
        seen = Badge(Tone.OK, "yes") if entry.anchor else Badge(Tone.WARN, "no")
        rows: tuple[tuple[Cell, ...], ...] = (("kind", entry.kind.value), ("created", created), ("seen by Java", seen))
        facts = None if entry.certificate is None else facts_or_words(entry.certificate)
        if isinstance(facts, CertificateFacts):
            rows += tuple((what, cell) for what, cell in _certificate_cells(facts, self._at).items() if cell)
        elif facts is not None:
            rows += (("certificate", facts),)
        return (Table("The entry", ("what", "value"), rows),)


def _certificate_cells(facts: CertificateFacts, at: datetime) -> dict[str, Cell]:
    size = f", {facts.public_key_size} bits" if facts.public_key_size else ""
    return {
        "subject": facts.subject,
        "issuer": "itself" if facts.self_signed else facts.issuer,
        "valid from (UTC)": f"{facts.not_before:%Y-%m-%d}",
        "valid until (UTC)": expiry(facts, at),
        "names": listed(facts.subject_alt_name, 1000),
        "CA": "yes" if facts.is_ca else "no",
        "key": f"{facts.public_key_type}{size}",
        "signature": facts.signature_algorithm,
        "key usage": ", ".join((*facts.key_usage, *facts.extended_key_usage)),
        "serial number": facts.serial_number,
        "SHA-256": keytool_notation(facts.sha256),
        "SHA-1": keytool_notation(facts.sha1),
        "could not be read": "; ".join(facts.notes),
    }


def _searched(cells: Iterable[Cell], facts: CertificateFacts | str | None) -> str:
    more: tuple[str, ...] = ()
    if isinstance(facts, CertificateFacts):
        more = (facts.subject, facts.issuer, *facts.subject_alt_name, facts.sha256, keytool_notation(facts.sha256))
    return " ".join((_words(cells), *more)).casefold()


def _words(cells: Iterable[Cell]) -> str:
    return " ".join(cell.word if isinstance(cell, Badge | Bar) else str(cell) for cell in cells)


def _table(parts: Iterable[Part]) -> Table:
    """Return the first table among these, folded away or not; an empty one where there is none."""
    for part in parts:
        match part:
            case Table():
                return part
            case Details(_, inner):
                return _table(inner)
    return Table("", ("", ""), ())
