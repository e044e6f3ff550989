"""The little Markdown that records are written in; what a stranger wrote stands in code spans, where nothing of it acts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_CHARACTERS = 2000
_MATH = re.compile(r"(?<=\$)\$|\\(?=begin\{)|(?<=\\\\)\[")


def code(text: object) -> str:
    """Return text as a code span that nothing in the text can end, made visible and bounded; nothing for an empty one."""
    shown = _without_math(visible(str(text), SHOWN_CHARACTERS))
    if not shown:
        return ""
    fence = _fence([shown], shortest=1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def code_block(lines: Iterable[str], language: str) -> list[str]:
    """Return lines as a block of code that none of them can end; each made visible, none cut."""
    shown = [_without_math(visible(line, len(line))) for line in lines]
    fence = _fence(shown, shortest=3)
    return [f"{fence}{language}", *shown, fence]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; cells are Markdown of our own, their bars spelled out."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]


def _fence(lines: list[str], *, shortest: int) -> str:
    """Return a run of backticks that is longer than any in the lines."""
    return "`" * max(shortest, *(1 + len(run) for line in lines for run in re.findall("`+", line)), 0)


def _without_math(text: str) -> str:
    """Spell out what begins a displayed formula: nbconvert looks for it first, in code too, and ends the code there."""
    return _MATH.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\x7c")  # renderers do not agree on a backslash before a bar
