"""Words of strangers: banners, certificate names, aliases. Shown, never obeyed.

Every text that a server, a certificate or a file supplied passes through here before it reaches an error message, a terminal,
a table or a record. Escaping for one medium (HTML, Markdown) happens where that medium is written.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

SHOWN_CHARACTERS = 300
"""Longer texts are cut here and say how long they were; a subject of a megabyte must not become a page of a megabyte."""
LONGEST_LINE, SHOWN_LINES = 4096, 400
"""Of a command that is shown: one with a path in it, and one with a certificate of 20 KB."""
MOST_MARKS = 4
"""Accents in a row, as UTS 39, 5.4 has it; more of them would hide the lines above and below."""
# Letters and marks without a glyph, printable for Python all the same (Default_Ignorable_Code_Point), and Braille's blank.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_DEVICE = re.compile(r"\A(con|prn|aux|nul|com[0-9]|lpt[0-9])(?![^.])")


def visible(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the text on one line, every control, bidi and unprintable character spelled out, cut after `limit` characters."""
    shown = text[:limit]
    if not (shown.isascii() and shown.isprintable()):  # most texts are, and it takes a fiftieth of the time to find out
        shown = _spelled(shown)
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"


def shows_itself(text: str) -> bool:
    """Tell whether each character can be seen: no control, format (bidi, zero width), surrogate, unassigned one, no odd blank."""
    return text.isprintable() and (text.isascii() or not _UNSEEN.search(text))


def _spelled(text: str) -> str:
    """Spell out what does not show itself, and of accents piled on one letter all but the first."""
    made, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        point = ord(character)
        if marks <= MOST_MARKS and shows_itself(character):
            made.append(character)
        else:
            made.append(f"\\x{point:02x}" if point <= 0xFF else f"\\u{{{point:04x}}}")  # noqa: PLR2004 - the reach of \xNN
    return "".join(made)


def slug(text: str, limit: int = 40) -> str:
    """Return the text as lower-case ASCII letters, digits, dots and hyphens, fit for an alias or a file name; never empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * limit]).encode("ascii", "ignore").decode("ascii").lower()
    plain = re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")
    return _DEVICE.sub(r"the-\1", plain, count=1)[:limit].rstrip("-.") or "unnamed"


def is_device(name: str) -> bool:
    """Tell whether Windows takes a file of this name for a device, whatever its ending."""
    return _DEVICE.match(name.lower()) is not None


def listed(names: Sequence[str], limit: int) -> str:
    """Return as many of some names as fit into `limit` characters, one at least, and where more are left how many there are."""
    fitting = max(1, sum(end <= limit for end in accumulate(len(name) + 2 for name in names)))
    if fitting >= len(names):
        return ", ".join(names)
    more = names[-1] if names[-1].startswith("… (") else f"… ({count(len(names), 'name')})"  # a list that was cut says so itself
    return ", ".join((*names[:fitting], more))


def few(names: Collection[str], most: int) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(islice(names, most)) + more


def lines_of(blocks: Iterable[str]) -> str:
    """Return blocks of lines for showing, each line made visible; of a block of more than 400 the first ones and their number."""
    shown = []
    for block in blocks:
        lines = block.split("\n")
        cut = [f"… ({len(lines):,} lines)"] if len(lines) > SHOWN_LINES else []
        shown += [visible(line, LONGEST_LINE) for line in lines[: 10 if cut else None]] + cut
    return "\n".join(shown)


def count(number: int, noun: str) -> str:
    """Return `1 entry`, `2 entries`: a number with its noun."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{number:,} {noun}s"
