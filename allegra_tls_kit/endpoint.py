"""Which server, which protocol, which security mode; and lists of them.

Rule: an endpoint describes. It resolves nothing, connects to nothing, and keeps the host as it was typed, because Allegra's
keystore file is named after exactly that.
"""

from __future__ import annotations

import csv
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, unquote

import idna

from allegra_tls_kit.errors import EndpointError
from allegra_tls_kit.text import count, shows_itself, visible

if TYPE_CHECKING:
    from collections.abc import Callable

_Row = TypeVar("_Row")

HIGHEST_PORT = 65535
LONGEST_NAME = 253  # RFC 1035, 2.3.4, in the form of text without the last dot
MOST_CHARACTERS = 4 * LONGEST_NAME
"""Of what is looked at as a name, and remembered."""
LISTED_ERRORS = 10
MOST_ENDPOINTS = 100_000
"""In one list; ten thousand make a large one."""
LONGEST_LINE = 1024 * 1024
NAMES_REMEMBERED = 1 << 14
"""How many hosts are looked through once only; a list of servers asks for each of them again and again."""


class Protocol(StrEnum):
    """The application protocols that Allegra speaks as a client."""

    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"
    LDAP = "ldap"


class Security(StrEnum):
    """How TLS begins, in the words of RFC 8314."""

    STARTTLS = "starttls"
    IMPLICIT_TLS = "implicit-tls"

    @property
    def allegra_label(self) -> str:
        """The label of this mode in Allegra's settings: `TLS` or `SSL`."""
        return "TLS" if self is Security.STARTTLS else "SSL"


SCHEMES: dict[str, tuple[Protocol, Security, int]] = {
    "smtp": (Protocol.SMTP, Security.STARTTLS, 587),
    "smtps": (Protocol.SMTP, Security.IMPLICIT_TLS, 465),
    "imap": (Protocol.IMAP, Security.STARTTLS, 143),
    "imaps": (Protocol.IMAP, Security.IMPLICIT_TLS, 993),
    "pop3": (Protocol.POP3, Security.STARTTLS, 110),
    "pop3s": (Protocol.POP3, Security.IMPLICIT_TLS, 995),
    "ldap": (Protocol.LDAP, Security.STARTTLS, 389),
    "ldaps": (Protocol.LDAP, Security.IMPLICIT_TLS, 636),
}
_SCHEME_OF = {(protocol, security): scheme for scheme, (protocol, security, _) in SCHEMES.items()}

# What people write in a `security` column, Allegra's own labels among it.
_SECURITY_WORDS = {
    "starttls": Security.STARTTLS,
    "tls": Security.STARTTLS,
    "implicit-tls": Security.IMPLICIT_TLS,
    "implicit_tls": Security.IMPLICIT_TLS,
    "implicit": Security.IMPLICIT_TLS,
    "ssl": Security.IMPLICIT_TLS,
}

_JOINERS = "[\u200c\u200d]"
"""Invisible, and letters all the same in the scripts that need them (RFC 5892, appendix A.1)."""

_URL = re.compile(
    r"(?P<scheme>[a-z0-9+.-]+)://(?P<host>\[[^\]]*\]|[^:/?#\[\]@]*)(?::(?P<port>[^/?#@]*))?/?(?:\?server_name=(?P<name>[^&#]*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server as Allegra would be told of it.

    `host` is what is connected to: a name (internationalised ones as IDNA 2008) or an IP address without brackets.
    `server_name` is the name to ask for (SNI) and to judge by, where it differs from `host`.
    Raises EndpointError on a port outside 1 to 65535 or a host that is neither a name nor an address.
    """

    host: str
    port: int
    protocol: Protocol
    security: Security
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Check the parts; nothing is resolved."""
        if not 1 <= self.port <= HIGHEST_PORT:
            raise EndpointError(f"port {self.port} is not between 1 and {HIGHEST_PORT}")
        ascii_name(self.host)
        if self.server_name is not None:
            ascii_name(self.server_name)

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read `smtp://mail.example.com:587`, `ldaps://[2001:db8::1]` or `imaps://10.0.0.5?server_name=mail.example.com`.

        `smtp imap pop3 ldap` mean STARTTLS, `smtps imaps pop3s ldaps` implicit TLS; without a port the protocol's own is taken.
        Raises EndpointError, which does not repeat a password that stood in the URL.
        """
        url = url.strip()
        if "@" in url:
            raise EndpointError("a user name or password has no place in an endpoint; write scheme://host:port")
        match = _URL.fullmatch(url)
        if match is None:
            raise EndpointError(
                f"{visible(url)!r} is not of the form scheme://host:port, for example imaps://mail.example.com:993"
            )
        scheme = match["scheme"].lower()
        if scheme not in SCHEMES:
            raise EndpointError(f"unknown scheme {visible(scheme)!r}; known are {', '.join(SCHEMES)}")
        protocol, security, default_port = SCHEMES[scheme]
        port = default_port if match["port"] is None else _port(match["port"])
        server_name = None if match["name"] is None else unquote(match["name"])
        return cls(_unbracketed(match["host"]), port, protocol, security, server_name)

    @property
    def url(self) -> str:
        """The endpoint in the form that `parse` reads, port always shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        name = "" if self.server_name is None else f"?server_name={quote(self.server_name)}"
        return f"{_SCHEME_OF[self.protocol, self.security]}://{host}:{self.port}{name}"

    @property
    def ascii_host(self) -> str:
        """The host as the resolver wants it: A-labels, or the address."""
        return ascii_name(self.host)

    @property
    def identity(self) -> str:
        """The reference identity (RFC 9525): the name or address that the certificate has to carry, in ASCII."""
        return ascii_name(self.server_name or self.host)

    def __str__(self) -> str:
        """Return the URL."""
        return self.url


@lru_cache(maxsize=NAMES_REMEMBERED)
def is_ip_address(text: str) -> bool:
    """Tell whether the text is an IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=NAMES_REMEMBERED)
def ascii_name(host: str) -> str:
    """Return the host in lower-case ASCII: A-labels by IDNA 2008 (UTS 46 mapping), an address in its shortest form.

    An underscore is let through: such hosts exist, and Java's own refusal of them is a finding, not our error.
    Raises EndpointError for what is neither a name nor an address, so also for anything that could be a path, and for a name
    with invisible characters, which UTS 46 would drop and a file name would keep.
    """
    if "@" in host:
        raise EndpointError("a user name or password has no place in a host; write the name or address alone")
    if len(host) > MOST_CHARACTERS:
        raise EndpointError(f"{visible(host, 80)!r} is longer than any host name")
    if is_ip_address(host) and re.fullmatch(r"[^%]*(%[a-zA-Z0-9_.-]+)?", host):  # a zone could hold anything but / and %
        return str(ipaddress.ip_address(host))
    if not shows_itself(re.sub(_JOINERS, "", host)):
        raise EndpointError(f"{visible(host)!r} has an invisible character in it; type the name anew")
    name = host.rstrip(".") if host.endswith(".") and not host.endswith("..") else host
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii")
        elif "xn--" in name.lower():
            idna.decode(name)
    except (idna.IDNAError, UnicodeError) as error:
        raise EndpointError(f"{visible(host)!r} is not a host name: {visible(str(error))}") from None
    labels = name.split(".")
    well_formed = all(re.fullmatch(r"(?!-)[a-zA-Z0-9_-]{1,63}(?<!-)", label) for label in labels)
    if not well_formed or len(name) > LONGEST_NAME or labels[-1].isdigit():
        raise EndpointError(f"{visible(host)!r} is neither a host name nor an IP address")
    return name.lower()


def parse_endpoints(text: str, source: str) -> tuple[Endpoint, ...]:
    """Read a list: one URL a line with `#` comments, or CSV with a header `host,port,protocol,security,server_name`.

    In CSV only host and protocol must be there; `;` separates as well as `,`; security may be Allegra's word ("SSL", "TLS").
    Raises EndpointError that names `source`, line and reason of the first wrong lines, and on a list without any endpoint.
    """
    said = ((number, line) for number, line in enumerate(text.splitlines(), 1) if _says_something(line))
    lines = list(islice(said, MOST_ENDPOINTS + 2))  # with a header, and one too many
    if len(lines) == MOST_ENDPOINTS + 2:
        raise EndpointError(f"{source}: more than {MOST_ENDPOINTS:,} endpoints; divide the list")
    if long := next((number for number, line in lines if len(line) > LONGEST_LINE), None):
        raise EndpointError(f"{source}, line {long}: longer than {LONGEST_LINE >> 20} MB; write one URL a line")
    if not lines:
        raise EndpointError(f"{source}: no endpoint in it; write one URL a line, for example imaps://mail.example.com:993")
    header = lines[0][1].lower()
    is_table = "://" not in header and "host" in re.split(r"[,;]", header.replace(" ", "").replace('"', ""))
    return _collected(_table_rows(lines, source), _from_row, source) if is_table else _collected(lines, _from_line, source)


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _table_rows(lines: list[tuple[int, str]], source: str) -> list[tuple[int, dict[str, str]]]:
    delimiter = ";" if ";" in lines[0][1] else ","
    # Strict, because a quotation mark that is never closed would swallow the rows below it.
    reader = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begin = 0
    try:
        for cells in reader:
            rows.append((lines[begin][0], [cell.strip() for cell in cells]))
            begin = reader.line_num  # a quoted cell may reach over several lines
    except csv.Error as error:
        raise EndpointError(f"{source}, line {lines[begin][0]}: not CSV: {error}") from None
    names = [name.lower() for name in rows[0][1]]
    return [(number, dict(zip(names, cells, strict=False))) for number, cells in rows[1:]]


def _collected(rows: list[tuple[int, _Row]], read: Callable[[_Row], Endpoint], source: str) -> tuple[Endpoint, ...]:
    endpoints: list[Endpoint] = []
    wrong: list[str] = []
    for number, row in rows:
        try:
            endpoints.append(read(row))
        except EndpointError as error:
            wrong.append(f"{source}, line {number}: {error}")
    if wrong:
        more = f"\n… and {count(len(wrong) - LISTED_ERRORS, 'more wrong line')}" if len(wrong) > LISTED_ERRORS else ""
        raise EndpointError("\n".join(wrong[:LISTED_ERRORS]) + more)
    if not endpoints:
        raise EndpointError(f"{source}: a header and no endpoint below it")
    return tuple(endpoints)


def _from_line(line: str) -> Endpoint:
    return Endpoint.parse(re.split(r"\s#", line, maxsplit=1)[0])


def _from_row(row: dict[str, str]) -> Endpoint:
    protocol, security = row.get("protocol", "").lower(), row.get("security", "").lower()
    if protocol not in SCHEMES:
        raise EndpointError(f"unknown protocol {visible(protocol)!r}; known are {', '.join(SCHEMES)}")
    if security not in _SECURITY_WORDS and security:
        raise EndpointError(
            f"unknown security {visible(security)!r}; write starttls (Allegra's TLS) or implicit-tls (Allegra's SSL)"
        )
    spoken, mode, _ = SCHEMES[protocol]
    mode = _SECURITY_WORDS.get(security, mode)
    scheme = _SCHEME_OF[spoken, mode]
    port = _port(row["port"]) if row.get("port") else SCHEMES[scheme][2]
    return Endpoint(_unbracketed(row.get("host", "")), port, spoken, mode, row.get("server_name") or None)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= HIGHEST_PORT:
        raise EndpointError(f"port {visible(text)!r} is not a number between 1 and {HIGHEST_PORT}")
    return int(text)


def _unbracketed(host: str) -> str:
    if not host.startswith("["):
        return host
    address = host[1:-1]
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise EndpointError(f"{visible(host)!r} is not an IPv6 address in brackets") from None
    return address
