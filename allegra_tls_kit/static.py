"""What a cell leaves behind and a record holds: a document of a few kinds of parts, in the four forms in which it is read.

HTML in a cell, plain text, Markdown for a ticket, and a whole page. The HTML has no script, no SVG, no address that a browser
would fetch; in a cell it has inline styles only, and looks the same in a trusted notebook, an untrusted one, an export and in
print, light and dark. Text is escaped here and nowhere else; there is no way to put markup in.
"""

from __future__ import annotations

import html
import math
import re
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from allegra_tls_kit.markdown import code_block, inert, table
from allegra_tls_kit.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_WIDTH = 110
SHORT_CELL = 24
"""A cell up to here is kept on one line; longer ones break wherever they must, as fingerprints do."""
LONG_TABLE = 40
"""A table with more rows than this scrolls within its cell; a page shows all of it."""
BAR_BLOCKS = 8
_TARGET = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.(ipynb|md|html|jsonl|json|csv|txt)")


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


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of a whole as a bar, with the word that says it; `fraction` is taken as 0 below 0 and as 1 above 1."""

    tone: Tone
    fraction: float
    word: str

    @property
    def share(self) -> float:
        """The fraction within 0 and 1."""
        return min(1.0, max(0.0, self.fraction))


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads to a file beside the notebook.

    `target` is a relative path of plain names (ASCII letters, digits, `._-`, none beginning with a dot) to a notebook, a document
    or data; raises ValueError for anything else. Whether the file exists is not checked.
    """

    text: str
    target: str

    def __post_init__(self) -> None:
        """Refuse a target that could lead elsewhere."""
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"not a plain name of a file beside this one, and a link leads nowhere else: {visible(self.target)}")


Cell = str | Badge | Bar | Link


@dataclass(frozen=True, slots=True)
class Heading:
    """A line above what follows; a document has one of level 1, its title, or none."""

    text: str
    level: Literal[1, 2, 3] = 2


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
    """Parts that are folded away in a cell; plain text, Markdown and a page show them."""

    summary: str
    parts: tuple[Part, ...]


Part = Heading | Note | Code | Table | Details


@dataclass(frozen=True, slots=True)
class Static:
    """A rendered document: what Jupyter shows and saves, what `print` shows, and what a record is written from."""

    parts: tuple[Part, ...]

    def html(self) -> str:
        """Return the document as one HTML element, for the output of a cell."""
        return f'<div style="{_DOCUMENT}">{"".join(_html(part) for part in self.parts)}</div>'

    def page(self, title: str) -> str:
        """Return the document as a whole HTML page that needs nothing else; `title` is the name of the page, not shown in it."""
        body = "".join(_html(part, page=True) for part in self.parts)
        top = f"{_PAGE_HEAD}<title>{html.escape(title)}</title>\n</head>\n"
        return f'{top}<body>\n<main style="{_DOCUMENT}">{body}</main>\n</body>\n</html>\n'

    def markdown(self) -> str:
        """Return the document as Markdown in which no text acts, whatever it is; one of more than 2,000 characters is cut."""
        blocks = [block for part in self.parts for block in _markdown(part)]
        return "\n\n".join(blocks) + "\n"

    def __str__(self) -> str:
        """Return the document as plain text."""
        return "\n".join(_text(part) for part in self.parts)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - Jupyter's
        return {"text/html": self.html(), "text/plain": str(self)}


# --- HTML --------------------------------------------------------------------------------------------------------------------

_DOCUMENT = "text-align:left;line-height:1.4"
_BASE = "text-align:left;vertical-align:top;padding:3px 10px 3px 6px"
_FIXED = "font-family:monospace;overflow-wrap:anywhere"
_SIZES = {1: "1.5em", 2: "1.15em", 3: "1em"}

# A page is printed and filed: everything is open; on paper nothing is cut off, and tints and bars keep their colours.
_PAGE_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
body { font: 0.9rem system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem }
th, td { border-bottom: 1px solid #80808066 }
@media print {
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact }
  body { max-width: none; padding: 0; font-size: 9pt }
  div { overflow: visible !important }
  th, td { padding: 2px 3px !important; white-space: normal !important; min-width: 0 !important }
  tr { break-inside: avoid }
}
</style>
"""


def _html(part: Part, *, page: bool = False) -> str:
    match part:
        case Heading(text, level):
            tag = f"h{level}" if page else "p"  # a heading in an output would enter the notebook's table of contents
            return f'<{tag} style="font-weight:bold;font-size:{_SIZES[level]};margin:12px 0 4px 0">{html.escape(text)}</{tag}>'
        case Note(tone, text):
            return f'<p style="{_tinted(tone)};margin:4px 0;word-break:break-word">{TONES[tone][1]} {html.escape(text)}</p>'
        case Code(text):
            return f'<pre style="{_FIXED};white-space:pre-wrap;margin:4px 0">{html.escape(text)}</pre>'
        case Table():
            return _html_table(part, scrolls=len(part.rows) > LONG_TABLE and not page)
        case _:
            inner = "".join(_html(inner, page=page) for inner in part.parts)
            return f"<details{' open' if page else ''}><summary>{html.escape(part.summary)}</summary>{inner}</details>"


def _html_table(part: Table, *, scrolls: bool) -> str:
    heads = "".join(f'<th scope="col" style="{_BASE};font-weight:bold">{html.escape(name)}</th>' for name in part.head)
    lines = "".join(f"<tr>{''.join(_html_cell(cell) for cell in row)}</tr>" for row in part.rows)
    title = f'<caption style="text-align:left;font-weight:bold;padding:6px 0">{html.escape(part.caption)}</caption>'
    body = f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
    # A frame that the keyboard can reach; an untrusted notebook takes that away, and the browser makes up for it.
    frame = 'style="max-height:420px;overflow:auto" role="region" aria-label="table" tabindex="0"'
    frame = frame if scrolls else 'style="overflow-x:auto"'
    return f'<div {frame}><table style="border-collapse:collapse;margin:6px 0">{title}{body}</table></div>'


def _html_cell(cell: Cell) -> str:
    match cell:
        case Badge(tone, word):
            content = f'<span style="{_tinted(tone)}">{TONES[tone][1]} {html.escape(word)}</span>'
            return f'<td style="{_BASE};white-space:nowrap">{content}</td>'
        case Bar(tone, _, word):
            solid = TONES[tone][0]
            filled = f'<div style="width:{cell.share:.0%};height:0.7em;background:{solid}"></div>'
            track = f"display:inline-block;width:6em;border:1px solid {solid};background:{solid}33;margin-right:8px"
            beside = f'<span style="{_wrap(word)}">{html.escape(word)}</span>'
            return f'<td style="{_BASE}"><div style="{track}">{filled}</div>{beside}</td>'
        case Link(text, target):
            return f'<td style="{_BASE}"><a href="{target}">{html.escape(text)}</a></td>'
        case _:
            return f'<td style="{_BASE};{_wrap(cell)}">{html.escape(cell)}</td>'


def _wrap(text: str) -> str:
    if len(text) <= SHORT_CELL:
        return "white-space:nowrap"
    # JupyterLab takes `anywhere` from an untrusted notebook; a fingerprint or a path must not push the other columns out there.
    return f"{'overflow-wrap:anywhere' if ' ' in text else 'word-break:break-all'};min-width:12em"


def _tinted(tone: Tone) -> str:
    colour = TONES[tone][0]
    return f"background:{colour}33;border-left:4px solid {colour};padding:2px 8px"


# --- Markdown ----------------------------------------------------------------------------------------------------------------


def _markdown(part: Part) -> list[str]:
    """Return a part in blocks; no block begins with a text, which could be a list or a rule there."""
    match part:
        case Heading(text, level):
            return [f"{'#' * level} {inert(text)}"]
        case Note(tone, text):
            return [f"{TONES[tone][1]} {inert(text)}"]
        case Code(text):
            return ["\n".join(code_block(text.split("\n")))]
        case Table(caption, head, rows):
            cells = (tuple(_markdown_cell(cell) for cell in row) for row in rows)
            return [*_bold(caption), "\n".join(table(tuple(inert(name) for name in head), cells))]
        case _:
            return [*_bold(part.summary), *(block for inner in part.parts for block in _markdown(inner))]


def _markdown_cell(cell: Cell) -> str:
    match cell:
        case Badge(tone, word):
            return f"{TONES[tone][1]} {inert(word)}"
        case Bar(_, _, word):
            return inert(word)
        case Link(text, target):
            leads = f"[`{target}`]({target})"  # a text in brackets could end them: renderers do not agree on code in there
            return leads if text == target else f"{inert(text)} ({leads})"
        case _:
            return inert(cell)


def _bold(text: str) -> list[str]:
    return [f"**{inert(text)}**"] if text else []


# --- plain text --------------------------------------------------------------------------------------------------------------


def _text(part: Part) -> str:
    match part:
        case Heading(text, level):
            return f"{text}\n{'=' * len(text)}" if level == 1 else f"\n{text}"
        case Note(tone, text):
            return _filled(f"{TONES[tone][1]} {text}", "", "  ")
        case Code(text):
            return textwrap.indent(text, "    ")
        case Table(caption, head, rows):
            return _text_table(caption, head, [[_word(cell) for cell in row] for row in rows])
        case _:
            return "\n".join([f"{part.summary}:", *(textwrap.indent(_text(inner), "  ") for inner in part.parts)])


def _word(cell: Cell) -> str:
    match cell:
        case Badge(tone, word):
            return f"{TONES[tone][1]} {word}"
        case Bar(_, _, word):
            filled = math.ceil(cell.share * BAR_BLOCKS)
            return f"{'▇' * filled}{'░' * (BAR_BLOCKS - filled)} {word}"
        case Link(text, target):
            return text if text == target else f"{text} ({target})"
        case _:
            return cell


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
