"""Words of strangers: banners, certificate names, aliases. Shown, never obeyed.

Every text that a server, a certificate or a file supplied passes through here before it reaches an error message, a terminal,
a table or a record. Escaping for one medium (HTML, Markdown) happens where that medium is written.
"""

from __future__ import annotations

import re
import unicodedata

SHOWN_CHARACTERS = 300
"""Longer texts are cut here and say how long they were; a subject of a megabyte must not become a page of a megabyte."""


def visible(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the text on one line, every control, bidi and unprintable character spelled out, cut after `limit` characters."""
    shown = text[:limit]
    if not shown.isprintable():  # nearly every text is, and it takes a fiftieth of the time to find out
        shown = "".join(map(_spelled, shown))
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


def _spelled(character: str) -> str:
    if character.isprintable():  # no control, format (bidi, zero width), surrogate, unassigned, nor a blank that is no space
        return character
    point = ord(character)
    if point <= 0xFF:  # noqa: PLR2004 - the reach of \xNN
        return f"\\x{point:02x}"
    return f"\\u{{{point:04x}}}"


def slug(text: str, limit: int = 40) -> str:
    """Return the text as lower-case ASCII letters, digits, dots and hyphens, fit for an alias or a file name; never empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * limit]).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:limit].rstrip("-.") or "unnamed"


def count(number: int, noun: str) -> str:
    """Return `1 entry`, `2 entries`: a number with its noun."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{number:,} {noun}s"
