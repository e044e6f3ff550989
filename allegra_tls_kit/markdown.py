"""The little Markdown that is written here; what could act in it stands in code spans, where nothing does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_CHARACTERS = 2000
# Letters, digits and what can do nothing between them. No dot inside a name and no colon without a space after it: some renderers
# make a link of `mail.example.com`, most of `https://…`, and an icon of `:x:`.
_TAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9,;()'·-]|(?<=[0-9])\.(?=[0-9])|\.(?=[ )]|\Z)|:(?= )| (?=[^ ]))*")
_MATH = re.compile(r"(?<=\$)\$|\\(?=begin\{)|(?<=\\\\)\[")


def inert(text: str) -> str:
    """Return text as it is where it can do nothing in any Markdown, else as one code span; nothing for an empty one.

    A span is one line, made visible, cut after 2,000 characters. The result must not begin a line: `1. ` would be a list there.
    """
    if len(text) <= SHOWN_CHARACTERS and _TAME.fullmatch(text):
        return text
    shown = _without_math(visible(text, SHOWN_CHARACTERS))
    if not shown:
        return ""
    fence = _fence([shown], shortest=1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def code_block(lines: Iterable[str]) -> list[str]:
    """Return lines as a block of code that none of them can end; each made visible, none cut."""
    shown = [_without_math(visible(line, len(line))) for line in lines]
    fence = _fence(shown, shortest=3)
    return [fence, *shown, fence]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; cells are Markdown of our own, their bars spelled out."""
    first, *others = (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (head, *rows))
    return [first, f"|{'---|' * len(head)}", *others]


def _fence(lines: list[str], *, shortest: int) -> str:
    """Return a run of backticks that is longer than any in the lines."""
    return "`" * max(shortest, *(1 + len(run) for line in lines for run in re.findall("`+", line)), 0)


def _without_math(text: str) -> str:
    """Spell out what begins a displayed formula: nbconvert looks for it first, in code too, and ends the code there."""
    return _MATH.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\x7c")  # renderers do not agree on a backslash before a bar
