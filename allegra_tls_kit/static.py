"""What a cell leaves behind: a document of a few kinds of parts, rendered once as HTML and once as plain text.

The HTML has inline styles only: no script, no style sheet, no SVG, no address that a browser would fetch. It looks the same
in a trusted notebook, an untrusted one, an export and in print, light and dark. Text is escaped here and nowhere else; there is
no way to put markup in.
"""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_WIDTH = 110
SHORT_CELL = 24
"""A cell up to here is kept on one line; longer ones break wherever they must, as fingerprints do."""


class Tone(StrEnum):
    """How something is meant; never told by colour alone: each has an icon, and the word is the caller's."""

    BAD = "bad"
    WARN = "warn"
    OK = "ok"
    INFO = "info"


# Solid colour and icon. On a tint of 20 % the inherited text colour keeps 10:1 in the light and in the dark theme.
TONES = {Tone.BAD: ("#d32f2f", "✖"), Tone.WARN: ("#b28704", "●"), Tone.OK: ("#2e7d32", "✔"), Tone.INFO: ("#1565c0", "ℹ")}  # noqa: RUF001 - an icon


@dataclass(frozen=True, slots=True)
class Badge:
    """A word with its tone."""

    tone: Tone
    word: str


Cell = str | Badge


@dataclass(frozen=True, slots=True)
class Heading:
    """A line above what follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence, coloured by its tone."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines that are shown as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption and named columns."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Details:
    """Parts that are folded away; plain text shows them."""

    summary: str
    parts: tuple[Part, ...]


Part = Heading | Note | Code | Table | Details


@dataclass(frozen=True, slots=True)
class Static:
    """A rendered document: what Jupyter shows and saves, and what `print` shows."""

    parts: tuple[Part, ...]

    def html(self) -> str:
        """Return the document as one HTML element."""
        return f'<div style="text-align:left;line-height:1.4">{"".join(_html(part) for part in self.parts)}</div>'

    def __str__(self) -> str:
        """Return the document as plain text."""
        return "\n".join(_text(part) for part in self.parts)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - Jupyter's
        return {"text/html": self.html(), "text/plain": str(self)}


_BASE = "text-align:left;vertical-align:top;padding:3px 10px 3px 6px"
_FIXED = "font-family:monospace;overflow-wrap:anywhere"


def _html(part: Part) -> str:
    match part:
        case Heading(text):
            return f'<p style="font-weight:bold;margin:12px 0 4px 0">{html.escape(text)}</p>'
        case Note(tone, text):
            return f'<p style="{_tinted(tone)};margin:4px 0">{TONES[tone][1]} {html.escape(text)}</p>'
        case Code(text):
            return f'<pre style="{_FIXED};white-space:pre-wrap;margin:4px 0">{html.escape(text)}</pre>'
        case Table(caption, head, rows):
            return _html_table(caption, head, rows)
        case Details(summary, parts):
            return f"<details><summary>{html.escape(summary)}</summary>{''.join(_html(inner) for inner in parts)}</details>"


def _html_table(caption: str, head: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...]) -> str:
    heads = "".join(f'<th scope="col" style="{_BASE};font-weight:bold">{html.escape(name)}</th>' for name in head)
    lines = "".join(f"<tr>{''.join(_html_cell(cell) for cell in row)}</tr>" for row in rows)
    title = f'<caption style="text-align:left;font-weight:bold;padding:6px 0">{html.escape(caption)}</caption>'
    body = f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
    return f'<table style="border-collapse:collapse;margin:6px 0">{title}{body}</table>'


def _html_cell(cell: Cell) -> str:
    if isinstance(cell, Badge):
        content = f'<span style="{_tinted(cell.tone)}">{TONES[cell.tone][1]} {html.escape(cell.word)}</span>'
        return f'<td style="{_BASE};white-space:nowrap">{content}</td>'
    wrap = "white-space:nowrap" if len(cell) <= SHORT_CELL else "overflow-wrap:anywhere;min-width:12em"
    return f'<td style="{_BASE};{wrap}">{html.escape(cell)}</td>'


def _tinted(tone: Tone) -> str:
    colour = TONES[tone][0]
    return f"background:{colour}33;border-left:4px solid {colour};padding:2px 8px"


def _text(part: Part) -> str:
    match part:
        case Heading(text):
            return f"\n{text}"
        case Note(tone, text):
            return _filled(f"{TONES[tone][1]} {text}", "", "  ")
        case Code(text):
            return textwrap.indent(text, "    ")
        case Table(caption, head, rows):
            return _text_table(caption, head, [[_word(cell) for cell in row] for row in rows])
        case Details(summary, parts):
            return "\n".join([f"{summary}:", *(textwrap.indent(_text(inner), "  ") for inner in parts)])


def _word(cell: Cell) -> str:
    return f"{TONES[cell.tone][1]} {cell.word}" if isinstance(cell, Badge) else cell


def _text_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    if sum(widths) + 2 * len(widths) > TEXT_WIDTH:
        return "\n".join([caption, *(_text_block(head, row) for row in rows)])
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    return "\n".join([caption, lines[0], "-" * len(lines[0]), *lines[1:]])


def _text_block(head: Sequence[str], row: Sequence[str]) -> str:
    """Return one row of a table that is too wide for a terminal: its first two cells, the others below them by name."""
    lines = [_filled("  ".join(row[:2]), " " * 2, " " * 8)]
    for name, cell in zip(head[2:], row[2:], strict=True):
        if cell:
            lines.append(_filled(f"{name}: {cell}", " " * 6, " " * 8))
    return "\n".join(lines)


def _filled(text: str, first: str, others: str) -> str:
    """Return a paragraph in lines; a path or a fingerprint stays whole, so that it can be compared and copied."""
    lines = textwrap.TextWrapper(TEXT_WIDTH, first, others, break_long_words=False, break_on_hyphens=False)
    return lines.fill(text)
