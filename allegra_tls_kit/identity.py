"""Does a certificate carry the reference identity, as Java's own check finds it (RFC 2818 for HTTPS, RFC 4513 for LDAPS).

Rule: the sentences returned here are Java's. What differs from RFC 9525 is kept as Java does it: a common name counts where there
is no dNSName, a wildcard may stand for a part of a label, a host name with an underscore is illegal.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

FIRST_WITH_ONE_WILDCARD = 21
"""Before this version HTTPS identification let a wildcard stand in any label: `mail.*.example.com`."""
LONGEST_NAME = 1024
"""Of a name with other letters than ASCII; no server has one a quarter as long, and a megabyte of accents would take an hour."""
LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
"""One label of a host name in ASCII, which has no underscore (RFC 1123, 2.1)."""
_NUMBERS = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){0,3}")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class CarriedNames:
    """The names of a certificate by which Java identifies a server, raw.

    `alternative_names` tells whether there is a subjectAltName at all; `common_name` is the most specific CN of the subject.
    """

    dns_names: tuple[str, ...]
    addresses: tuple[_Address, ...]
    common_name: str | None
    alternative_names: bool


def refusal(server_name: str, names: CarriedNames, *, identification: str = "HTTPS", java_version: int = 17) -> str | None:
    """Return the sentence with which Java refuses the name or address, None where it accepts it.

    `identification` is `HTTPS` or `LDAPS`. The list of public suffixes, which bars `*.com` for public CAs, is not consulted.
    """
    server_name = server_name[1:-1] if server_name.startswith("[") and server_name.endswith("]") else server_name
    server_name = server_name.removesuffix(".")
    wanted = address(server_name)
    if wanted is not None:
        return _address_refusal(server_name, wanted, names)
    if not _is_legal(server_name):
        return f"Illegal given domain name: {server_name}"
    any_label = identification.upper() == "HTTPS" and java_version < FIRST_WITH_ONE_WILDCARD
    common_name = names.common_name
    if not names.dns_names and common_name is not None and not unicodedata.is_normalized("NFKC", common_name):
        return f"Not a formal name {common_name}"
    patterns = names.dns_names or (() if common_name is None else (common_name,))
    if any(matches(server_name, pattern, any_label=any_label) for pattern in patterns):
        return None
    if names.dns_names:
        return f"No subject alternative DNS name matching {server_name} found."
    return f"No name matching {server_name} found"


def address(text: str) -> _Address | None:
    """Return the IP address that Java reads in a text, scope dropped, IPv4-mapped IPv6 as IPv4; None for a name.

    The last number of an IPv4 address may stand for several bytes: `10.1` is 10.0.0.1, and `10` is 0.0.0.10.
    """
    try:
        if _NUMBERS.fullmatch(text):
            *first, last = map(int, text.split("."))
            return ipaddress.IPv4Address(bytes(first) + last.to_bytes(4 - len(first), "big"))
        return plain_address(ipaddress.ip_address(text.partition("%")[0]))
    except (ValueError, OverflowError):
        return None


def plain_address(value: _Address) -> _Address:
    """Return an IPv4-mapped IPv6 address as the IPv4 address, which it equals for Java."""
    mapped = value.ipv4_mapped if isinstance(value, ipaddress.IPv6Address) else None
    return value if mapped is None else mapped


def matches(server_name: str, pattern: str, *, any_label: bool) -> bool:
    """Tell whether a dNSName or common name stands for the server name; with `any_label` wildcards may be in every label."""
    if pattern.rpartition("*")[2].find(".") < 0 <= pattern.find("*") or not _is_legal(pattern.replace("*", "z")):
        return False
    name_labels, pattern_labels = _unicode_labels(server_name), _unicode_labels(pattern)
    if len(name_labels) != len(pattern_labels):
        return False
    wild = len(pattern_labels) if any_label else 1
    return name_labels[wild:] == pattern_labels[wild:] and all(map(_label_matches, name_labels[:wild], pattern_labels))


def _address_refusal(server_name: str, wanted: _Address, names: CarriedNames) -> str | None:
    if not names.alternative_names:
        return "No subject alternative names present"
    if wanted in map(plain_address, names.addresses):
        return None
    return f"No subject alternative names matching IP address {server_name} found"


def _ascii(name: str) -> str | None:
    """Return the name in IDNA 2003, which is what Java's `IDN` knows; None for what is none."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii") if len(name) <= LONGEST_NAME else None
    except UnicodeError:
        return None


def _is_legal(name: str) -> bool:
    ascii_name = _ascii(name)
    return ascii_name is not None and all(LABEL.fullmatch(label) for label in ascii_name.split("."))


def _unicode_labels(name: str) -> list[str]:
    return [_unicode_label(label) for label in (_ascii(name) or name).lower().split(".")]


def _unicode_label(label: str) -> str:
    try:
        return label.encode("ascii").decode("idna").lower() if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _label_matches(label: str, pattern: str) -> bool:
    """Match one label, first part in front, last part at the end, the others in their order between."""
    first, *others = pattern.split("*")
    if not others:
        return label == pattern
    if not label.startswith(first):
        return False
    rest = label[len(first) :]
    for part in others[:-1]:
        found = rest.find(part)
        if found < 0:
            return False
        rest = rest[found + len(part) :]
    return rest.endswith(others[-1])
