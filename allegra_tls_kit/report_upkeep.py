"""What a review of a keystore says to a person; `show` takes it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegra_tls_kit.certificate import certificate_facts, facts_or_words, keytool_notation
from allegra_tls_kit.report import show
from allegra_tls_kit.report_store import time_left
from allegra_tls_kit.standing import EntryReview, EntryState, Renewal, Review, ServerReview, ServerState
from allegra_tls_kit.static import Badge, Bar, Cell, Details, Note, Part, Static, Table, Tone
from allegra_tls_kit.text import count, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from enum import StrEnum

LISTED_ENTRIES = 20
"""More than these that are left alone anyway are folded away, as the public CAs of a cacerts are."""
_LONGEST_ALIAS = 80
_TONES: dict[StrEnum, Tone] = {
    ServerState.FAILED: Tone.BAD,
    ServerState.REFUSED: Tone.BAD,
    ServerState.RENEWAL_DUE: Tone.WARN,
    ServerState.TRUSTED: Tone.OK,
    EntryState.RENEWED: Tone.BAD,
    EntryState.PIN_EXPIRED: Tone.BAD,
    EntryState.UNREADABLE: Tone.BAD,
    EntryState.PIN_EXPIRES_SOON: Tone.WARN,
    EntryState.EXPIRED: Tone.WARN,
    EntryState.EXPIRES_SOON: Tone.WARN,
    EntryState.NOT_SERVED: Tone.WARN,
    EntryState.DUPLICATE: Tone.WARN,
    EntryState.IN_USE: Tone.OK,
}
_LEFT_ALONE = {EntryState.NOT_OURS, EntryState.NOT_SEEN}
_REACH = "Of the servers below only: what others need from this keystore, or what was imported ahead, cannot be seen here."


@show.register
def show_review(review: Review) -> Static:
    """Return what there is to do about a keystore, worst first: what to import, what can go, the servers, the entries."""
    notes = (Note(*_summary(review)), *(Note(Tone.WARN, note) for note in review.notes), Note(Tone.INFO, _REACH))
    servers = sorted(review.servers, key=lambda server: [*ServerState].index(server.state))
    head = ("state", "server", "certificate until (UTC)", "trusted by", "what it means")
    seen = Table(_caption("server", servers), head, tuple(map(_server_row, servers)))
    entries = sorted(review.entries, key=lambda entry: [*EntryState].index(entry.state))
    alone = [entry for entry in entries if entry.state in _LEFT_ALONE]
    if len(alone) <= LISTED_ENTRIES:
        return Static((*notes, *_renewals(review.renewals), seen, _entry_table(_caption("entry", entries), entries)))
    table = _entry_table(_caption("entry", entries), [entry for entry in entries if entry.state not in _LEFT_ALONE])
    folded = Details(f"{count(len(alone), 'entry')} left alone", (_entry_table("Left alone", alone),))
    return Static((*notes, *_renewals(review.renewals), seen, table, folded))


def _summary(review: Review) -> tuple[Tone, str]:
    refused = sum(server.state not in {ServerState.TRUSTED, ServerState.RENEWAL_DUE} for server in review.servers)
    due = sum(server.state is ServerState.RENEWAL_DUE for server in review.servers)
    aliases = ", ".join(visible(alias, _LONGEST_ALIAS) for alias in review.removable)
    said = [f"{count(refused, 'server')} not trusted, or not known to be"] if refused else []
    said += [f"{count(due, 'server')} due for renewal"] if due else []
    said += [f"can be removed: {aliases}"] if aliases else []
    tone = Tone.BAD if refused else Tone.WARN if said else Tone.OK
    return tone, f"{visible(str(review.keystore))} on {review.at:%Y-%m-%d}: {'; '.join(said) or 'nothing to do'}"


def _caption(noun: str, reviews: Iterable[ServerReview] | Iterable[EntryReview]) -> str:
    words = [each.state.value for each in reviews]
    return f"{count(len(words), noun)}: {' · '.join(f'{words.count(word)} {word}' for word in dict.fromkeys(words)) or 'none'}"


def _renewals(renewals: Iterable[Renewal]) -> tuple[Part, ...]:
    head = ("", "certificate", "role", "SHA-256", "for", "takes over from", "consequence")
    rows = tuple(_renewal_rows(renewals))
    return (Table("To import, after comparing the fingerprint", head, rows),) if rows else ()


def _renewal_rows(renewals: Iterable[Renewal]) -> Iterator[tuple[Cell, ...]]:
    """Yield one row for each certificate that is best for some server, with all the servers for which it is."""
    by_certificate: dict[str, list[Renewal]] = {}
    best = {}
    for renewal in renewals:
        candidate = next((each for each in renewal.candidates if each.recommended), renewal.candidates[0])
        best[candidate.sha256] = candidate
        by_certificate.setdefault(candidate.sha256, []).append(renewal)
    for sha256, served in by_certificate.items():
        old = dict.fromkeys(visible(alias, _LONGEST_ALIAS) for renewal in served for alias in renewal.replaces)
        yield (
            Badge(Tone.OK, "recommended") if best[sha256].recommended else Badge(Tone.WARN, "stopgap"),
            certificate_facts(best[sha256].der).name,
            best[sha256].role,
            keytool_notation(sha256),
            ", ".join(renewal.endpoint.url for renewal in served),
            ", ".join(old),
            best[sha256].consequence,
        )


def _server_row(server: ServerReview) -> tuple[Cell, ...]:
    alias = visible(server.alias or "", _LONGEST_ALIAS)
    return _badge(server.state), server.endpoint.url, _until(server.not_after, server.days_left), alias, server.advice


def _entry_table(caption: str, entries: Iterable[EntryReview]) -> Table:
    head = ("state", "alias", "certificate", "until (UTC)", "ours", "pinned", "servers", "what it means")
    return Table(caption, head, tuple(map(_entry_row, entries)))


def _entry_row(review: EntryReview) -> tuple[Cell, ...]:
    return (
        _badge(review.state),
        visible(review.entry.alias, _LONGEST_ALIAS),
        _name(review.entry.certificate),
        _until(review.not_after, review.days_left),
        "yes" if review.ours else "no",
        "yes" if review.pinned else "no",
        str(len(review.serves)),
        review.advice,
    )


def _name(der: bytes | None) -> str:
    facts = "" if der is None else facts_or_words(der)
    return facts if isinstance(facts, str) else facts.name


def _badge(state: ServerState | EntryState) -> Badge:
    return Badge(_TONES.get(state, Tone.INFO), state.value)


def _until(end: datetime | None, days: int | None) -> Bar | str:
    return "" if end is None or days is None else time_left(end, days)
