"""How a keystore, its entries and its servers stand with each other: the words and values of a review, made by `upkeep`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from allegra_tls_kit.anchor import AnchorCandidate
    from allegra_tls_kit.endpoint import Endpoint
    from allegra_tls_kit.keystore import Entry


class ServerState(StrEnum):
    """How one server stands with a keystore, worst first."""

    FAILED = "failed"
    REFUSED = "refused"
    RENEWAL_DUE = "renewal due"
    NOT_JUDGED = "not judged"
    TRUSTED = "trusted"


class EntryState(StrEnum):
    """How one entry stands with the servers, worst first.

    `renewed`: a server with its name shows another certificate now, and is refused. `not served`: this kit added it, and nobody
    needs it; `not known`: so it seems, while a server is refused or was not reached. `in reserve`: no server needs it now, but it
    vouches for what one shows, or may be what one will show next.
    """

    RENEWED = "renewed"
    PIN_EXPIRED = "pinned, expired"
    PIN_EXPIRES_SOON = "pinned, expires soon"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    EXPIRES_SOON = "expires soon"
    NOT_SERVED = "not served"
    DUPLICATE = "duplicate"
    UNKNOWN = "not known"
    IN_USE = "in use"
    IN_RESERVE = "in reserve"
    NOT_OURS = "not ours"
    NOT_SEEN = "not seen by Java"


@dataclass(frozen=True, slots=True)
class EntryReview:
    """One entry of a keystore.

    `ours` tells that this kit added it, `pinned` that it is a server's own certificate and no CA's. `not_after` is aware UTC; it
    and `days_left`, negative for what has expired, are None where no certificate can be read. `serves` are the URLs of servers
    whose chain ends in it for Java, `needed_by` those of them that Java would refuse without this certificate. `advice` is one
    sentence, made visible.
    """

    entry: Entry
    ours: bool
    pinned: bool
    not_after: datetime | None
    days_left: int | None
    serves: tuple[str, ...]
    needed_by: tuple[str, ...]
    state: EntryState
    advice: str


@dataclass(frozen=True, slots=True)
class ServerReview:
    """One server: whether Java trusts it with the store as it is; `alias` is the entry in which its path ends, None for none.

    `not_after` (aware UTC) and `days_left` are of the server's own certificate, None where none was seen.
    """

    endpoint: Endpoint
    state: ServerState
    alias: str | None
    not_after: datetime | None
    days_left: int | None
    advice: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """A server that Java refuses, what could be imported for it, best first, and the aliases of what it showed before.

    Nobody has compared a fingerprint here: a certificate that changed is a renewal, or somebody in between.
    """

    endpoint: Endpoint
    candidates: tuple[AnchorCandidate, ...]
    replaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """What there is to do about one keystore, as of `at`.

    `removable` are the aliases for `plan_removal`: taking out all of them changes nothing for any of the servers. It is empty
    while a server is refused or was not reached, and `notes` say so.
    """

    keystore: Path
    at: datetime
    servers: tuple[ServerReview, ...]
    entries: tuple[EntryReview, ...]
    renewals: tuple[Renewal, ...]
    removable: tuple[str, ...]
    notes: tuple[str, ...]
