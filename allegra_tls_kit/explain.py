"""A pasted excerpt of a log → what it means, what to check, which notebook.

Rule 1: the knowledge stands in the tables of `trouble`; this module only looks for it, and for what the text names.
Rule 2: any text is welcome and none is believed: the work is bounded, and what is given back of it is made visible.
White space does not count in the search, so that a log reads the same wrapped, indented or quoted.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from allegra_tls_kit.endpoint import SCHEMES, Endpoint
from allegra_tls_kit.errors import EndpointError
from allegra_tls_kit.text import visible
from allegra_tls_kit.trouble import AROUND_TLS, GENERAL, LDAP_CONNECT, UNKNOWN, WRAPPERS, Trouble
from allegra_tls_kit.trouble_files import IN_FILES
from allegra_tls_kit.trouble_tls import IN_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKED_AT = 256 * 1024
"""Characters; what stands behind them is not looked at."""
MOST_EXPLANATIONS = 50
MOST_MATCHES = 100
MOST_NAMED = 1000
GAP = 160
"""Characters, without white space, that the `…` of a phrase may stand for."""
AHEAD = 12
"""Characters by which a name may follow the text that it belongs to, as in `failed : mail.example.com:465`."""

CAUSES = (*IN_FILES, *IN_TLS, *AROUND_TLS)

_ESCAPES = re.compile(r"(?:\x1b\[|\^\[\[|\x9b)[0-?]{0,30}[ -/]{0,3}[@-~]|\[[0-9;]{1,12}m")
_QUOTED = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)
_RECORD = re.compile(r"^(?!\s|Caused by:|[\w.]{1,100}Exception:)[^\n]{0,80}?[0-9]{1,2}:[0-9]{2}:[0-9]{2}", re.MULTILINE)
_SAME = str.maketrans({"\u2018": "'", "\u2019": "'", "\u00b4": "'"}) | {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one known trouble of a log means, what to check, and the notebook to go on with.

    `hides_cause` says that the text tells where something failed and not why. `matched` is the piece of the text that gave it
    away, empty where nothing is known. `endpoint` is a URL that `Endpoint.parse` reads, guessed from words and ports;
    `keystore` a file name; `subject` a certificate's; each None where the text does not say, or names several. All are made
    visible.
    """

    code: str
    meaning: str
    checks: tuple[str, ...]
    notebook: str
    hides_cause: bool
    matched: str
    endpoint: str | None = None
    keystore: str | None = None
    subject: str | None = None


def explain(log_text: str) -> tuple[Explanation, ...]:
    """Say what an excerpt of a log means: causes first, the most telling above, then the texts that only surround them.

    One explanation for each trouble and server, at most MOST_EXPLANATIONS; the first LOOKED_AT characters are looked at. Text
    that is not known gives one with the code `unknown`. Nothing that is pasted makes this raise.
    """
    page = _Page(log_text[:LOOKED_AT])
    causes = _found(CAUSES, page) or _found(GENERAL, page)
    found = [*causes, *_found(WRAPPERS, page)]
    if not found and (bare := _BARE_LDAP.search(page.text)):
        found = [_explanation(LDAP_CONNECT, page, *bare.span())]
    return tuple(found[:MOST_EXPLANATIONS]) or (_explanation(UNKNOWN, page, 0, 0),)


def _found(troubles: tuple[Trouble, ...], page: _Page) -> list[Explanation]:
    found: list[Explanation] = []
    for trouble in troubles:
        places = sorted(place for phrase in trouble.phrases for place in page.places_of(_pattern(phrase)))
        by_server = {page.endpoint_of(*place): place for place in reversed(places)}  # the first place of each stays
        found += [_explanation(trouble, page, *place) for place in sorted(by_server.values())]
        if len(found) >= MOST_EXPLANATIONS:
            break
    return found


def _explanation(trouble: Trouble, page: _Page, start: int, end: int) -> Explanation:
    return Explanation(
        trouble.code,
        trouble.meaning,
        trouble.checks,
        trouble.notebook,
        trouble.hides_cause,
        visible(" ".join(page.text[start:end].split())),
        page.endpoint_of(start, end),
        page.named(page.keystores, start, end),
        page.named(page.subjects, start, end),
    )


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    parts = "".join(phrase.split()).translate(_SAME).split("…")
    return re.compile(f".{{0,{GAP}}}?".join(map(re.escape, parts)))


class _Page:
    """The text without escape sequences, beside it the same without white space, and what it names."""

    def __init__(self, text: str) -> None:
        self.text = _QUOTED.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))
        self._places = [place for place, letter in enumerate(self.text) if letter != " " and letter.isprintable()]
        self._letters = "".join([self.text[place] for place in self._places]).translate(_SAME)
        self._records = [0, *(match.start() for match in _RECORD.finditer(self.text))]
        self.endpoints = _Named(_endpoints(self.text))
        self.keystores = _Named((m.start(m.lastindex or 0), m[m.lastindex or 0]) for m in _KEYSTORE.finditer(self.text))
        self.subjects = _Named((m.start(1), m[1].rstrip(" ,")) for m in _SUBJECT.finditer(self.text))
        self._clients = _Named((m.start(), m[1] or m[2]) for m in _CLIENT.finditer(self.text))

    def places_of(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        for match in islice(pattern.finditer(self._letters), MOST_MATCHES):
            yield self._places[match.start()], self._places[match.end() - 1] + 1

    def endpoint_of(self, start: int, end: int) -> str | None:
        """Return the server that the record names, else the only one of the text unless the record shows another protocol."""
        url = self.named(self.endpoints, start, end)
        begin, stop = self._record_at(start)
        spoken = None if self.endpoints.within(begin, stop, end) else self._clients.within(begin, stop, end)
        return None if url is None or not url.startswith(spoken or "") else url

    def named(self, named: _Named, start: int, end: int) -> str | None:
        """Return what the record of this place names nearest, else the only one that the text names."""
        value = named.within(*self._record_at(start), end + AHEAD) or named.only
        return None if value is None else visible(value)

    def _record_at(self, place: int) -> tuple[int, int]:
        """Return begin and end of the log record: from one line with a time to the next."""
        number = bisect_right(self._records, place)
        return self._records[number - 1], self._records[number] if number < len(self._records) else len(self.text)


class _Named:
    """What a text names of one kind, with the places."""

    def __init__(self, named: Iterator[tuple[int, str]]) -> None:
        found = sorted(islice(named, MOST_NAMED))
        self._places = [place for place, _ in found]
        self._values = [value for _, value in found]
        self.only = self._values[0] if len(set(self._values)) == 1 else None

    def within(self, begin: int, stop: int, place: int) -> str | None:
        """Return what is named last before `place`, else first after it, from `begin` to `stop`."""
        first, last = bisect_left(self._places, begin), bisect_left(self._places, stop)
        before = min(bisect_right(self._places, place), last)
        return None if first == last else self._values[max(before - 1, first)]


# --- what a text names -----------------------------------------------------------------------------------------------------

_HOST = r"(?P<host>\[[0-9A-Fa-f:.%]{2,60}\]|[^\W_][\w.-]{0,252})"
_PORT = r"(?P<port>[0-9]{1,5})(?![0-9])"
_SCHEME_AT = {port: scheme for scheme, (_, _, port) in SCHEMES.items()} | {25: "smtp", 3268: "ldap", 3269: "ldaps"}
# On other ports: old versions take 465 for implicit TLS in any case, and know no STARTTLS for directories.
_SCHEME_ELSEWHERE = {"smtp": "smtp", "ldap": "ldaps"}
_KNOWN_PORT = rf"(?P<port>{'|'.join(map(str, _SCHEME_AT))})(?![0-9])"
_BARE_LDAP = re.compile(rf"(?<![\w.:/@-]){_HOST}:(?P<port>389|636|3268|3269)(?=[ \t]*$)", re.MULTILINE)
_CLIENT = re.compile(r"\bmail\.(smtp|imap|pop3)\.|\bjndi\.(ldap)\.")

# The first that fits a host says most; where no word tells the protocol, the port does.
_SPOKEN = tuple(
    (protocol, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for protocol, pattern in (
        ("", rf"(?P<word>smtps?|imaps?|pop3s?|ldaps?)://(?:[^\s/@]{{0,200}}@)?{_HOST}(?::{_PORT})?"),
        ("", rf"\b(?P<word>smtps?|imaps?|pop3s?):{_HOST}:{_PORT}"),
        ("", rf'(?P<word>smtp|imap|pop3)s?: [a-z ]{{10,20}} host "{_HOST}", port {_PORT}, isSSL (?P<tls>true|false)'),
        ("smtp", rf"to SMTP host:\s*{_HOST},\s*port:\s*{_PORT}"),
        ("smtp", rf"the following server failed\s*:\s*{_HOST}:{_PORT}"),
        ("ldap", rf"(?:context failed with|simple bind failed:|naming\.\w{{1,40}}Exception:)\s*{_HOST}:{_PORT}"),
        ("ldap", _BARE_LDAP.pattern),
        ("", rf"host, port:\s*{_HOST},\s*{_PORT}"),
        ("", rf"(?<![\w.:/@-])(?=\[|localhost:|[\w-]{{1,63}}\.){_HOST}(?:/[0-9A-Fa-f.:]{{2,45}})?:{_KNOWN_PORT}"),
    )
)
_SOURCE_FILES = (".java", ".kt", ".scala", ".groovy", ".jsp")
"""Ends of what is no host in front of a number, but a stack frame's file."""

_KEYSTORE = re.compile(
    r"(?:keystore at|trust ?store(?: is)?[:=]|FileNotFoundException:|not exist:|is empty:|vorhanden:|leer:)[ \t]*"
    r"([^\s\"'<>|][^\n\"'<>|]{0,250}?(?:\.ks|\.jks|\.p12|cacerts))(?!\w|\.\w)"
    r"|(?<![\w./\\~$%:-])((?:[A-Za-z]:)?[\w./\\~$%-]{1,250}?\.ks)(?!\w|\.\w)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"\b(?:subject|owner|eigent\wmer)\"?[ \t]{0,30}[:=]?[ \t]{0,30}\"?((?:CN|OU|O|C|L|ST|DC|EMAILADDRESS) ?=[^\"\n\]]{1,300})",
    re.IGNORECASE,
)


def _endpoints(text: str) -> Iterator[tuple[int, str]]:
    seen: set[int] = set()
    for protocol, pattern in _SPOKEN:
        for match in islice(pattern.finditer(text), MOST_NAMED):
            place = match.start("host")
            url = None if place in seen else _url(protocol, **match.groupdict())
            if url is not None:
                seen.add(place)
                yield place, url


def _url(protocol: str, host: str, port: str | None = None, word: str = "", tls: str | None = None) -> str | None:
    spoken = (word or protocol).lower()
    scheme = _scheme(spoken, None if port is None else int(port), tls)
    if scheme is None or host.lower().endswith(_SOURCE_FILES):
        return None
    try:
        return Endpoint.parse(f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}").url
    except EndpointError:
        return None


def _scheme(spoken: str, port: int | None, tls: str | None) -> str | None:
    if spoken.endswith("s"):
        return spoken
    if tls is not None:
        return f"{spoken}s" if tls.lower() == "true" else spoken
    if port is None:
        return spoken
    by_port = _SCHEME_AT.get(port, "")
    return by_port if by_port and by_port.startswith(spoken) else _SCHEME_ELSEWHERE.get(spoken)
