"""Markdown in which no text acts: not in the renderer that stands in for the others here, nor, by its characters, in those."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit.markdown import SHOWN_CHARACTERS, inert
from allegra_tls_kit.static import Badge, Bar, Cell, Code, Details, Heading, Link, Note, Part, Static, Table, Tone
from tests.hostile import SAID, UNSEEN
from tests.shown import HOSTILE, tags_of
from tests.test_static import PARTS

DOCUMENT = Static(
    (
        Heading("Change record", 1),
        Heading("Plan"),
        Heading("Details of mail.example.com", 3),
        Note(Tone.BAD, "Java refuses it"),
        Note(Tone.OK, "in /srv/x"),
        Code("one `\n```\n\ttwo"),
        Table("Entries", ("", "a|b"), ((Badge(Tone.WARN, "no"), "x|y"), (Bar(Tone.OK, 0.5, "89 days"), Link("a*", "b/a-1.md")))),
        Table("", ("name",), (("",), ("CN=x",))),
        Details("More", (Note(Tone.INFO, "1. inside"),)),
    )
)
WRITTEN = """\
# Change record

## Plan

### `Details of mail.example.com`

✖ Java refuses it

✔ `in /srv/x`

````
one `
```
\\x09two
````

**Entries**

|  | `a\\x7cb` |
|---|---|
| ● no | `x\\x7cy` |
| 89 days | `a*` ([`b/a-1.md`](b/a-1.md)) |

| name |
|---|
|  |
| `CN=x` |

**More**

ℹ 1. inside
"""  # noqa: RUF001 - an icon


def test_each_kind_of_part_has_its_markdown() -> None:
    assert DOCUMENT.markdown() == WRITTEN


def test_it_is_rendered_as_headings_paragraphs_blocks_tables_and_links() -> None:
    rendered = " ".join(tag for tag, *_ in tags_of(WRITTEN) if tag not in {"thead", "tbody", "tr", "div", "span"})
    first_table = "p strong table th th td td td td a"
    assert rendered == f"h1 a h2 a h3 a p p pre {first_table} table th td td p strong p"
    assert ("a", "href=b/a-1.md") in tags_of(WRITTEN)


TAME = ["seen", "a0b58fc0", "2026-11-23", "TLSv1.3, 17 ms", "192.0.2.1", "3 servers: 1 failed · 2 seen", "it's", "A (b). C; d."]


@pytest.mark.parametrize("text", TAME)
def test_a_text_that_can_do_nothing_stands_as_it_is(text: str) -> None:
    assert inert(text) == text


ACTING = [
    "mail.example.com", "www.1x.com", "1.2.example.com", "a@example.com", "https://x", "x:smile:", "a:b", "a:", "&lt;", "a & b",
    "*a*", "_a_", "~a~", "==a==", "$a$", "a|b", "# a", "- a", "+ a", "(1) a", "> a", "[a]", "!a", "#1", "@a", "/close", "<b>",
    "\\a", "a  b", " a", "a ", "a\nb", "---", "...", "...a", "^a", "{{a}}", "%%", "a\u202eb", "x\\(y", "Größe", HOSTILE,
]  # fmt: skip


@pytest.mark.parametrize("text", ACTING)
def test_any_other_text_is_one_code_span_on_one_line(text: str) -> None:
    written = inert(text)
    fence = re.match("`+", written)
    assert fence
    assert written.endswith(fence[0])
    assert fence[0] not in written[len(fence[0]) : -len(fence[0])]
    assert "\n" not in written


def test_nothing_is_nothing_and_too_much_is_cut() -> None:
    assert inert("") == ""
    assert len(inert("x" * (SHOWN_CHARACTERS + 1))) < SHOWN_CHARACTERS + 50


CHARACTERS = st.text("bend{}`|\\<>!-=[]()*_~#$&:;/.,'\"\n\r\t x1aw", max_size=30)


def with_text(part: Part, text: str) -> Part:
    """The same part, each text in it that is not empty replaced."""

    def put(old: str) -> str:
        return text if old else ""

    def cell(old: Cell) -> Cell:
        if isinstance(old, str):
            return put(old)
        return replace(old, text=put(old.text)) if isinstance(old, Link) else replace(old, word=put(old.word))

    match part:
        case Heading(old, level):
            return Heading(put(old), level)
        case Note(tone, old):
            return Note(tone, put(old))
        case Code(old):
            return Code(put(old))
        case Table(caption, head, rows):
            return Table(put(caption), tuple(map(put, head)), tuple(tuple(map(cell, row)) for row in rows))
        case Details(summary, parts):
            return Details(put(summary), tuple(with_text(inner, text) for inner in parts))


def tags(parts: tuple[Part, ...]) -> list[tuple[str, ...]]:
    return tags_of(Static(parts).markdown())


@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_hostile_text_is_shown_and_never_acts(text: str) -> None:
    parts = tuple(with_text(part, text) for part in DOCUMENT.parts)
    assert tags(parts) == tags(tuple(with_text(part, "tame") for part in parts))
    assert UNSEEN.search(Static(parts).markdown()) is None


@settings(max_examples=150, deadline=None)
@given(CHARACTERS)
def test_no_text_changes_the_structure_of_the_document(text: str) -> None:
    parts = tuple(with_text(part, f"x{text}") for part in DOCUMENT.parts)
    assert tags(parts) == tags(tuple(with_text(part, "tame") for part in parts))


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS, max_size=4).map(tuple))
def test_different_texts_side_by_side_do_not_act_together(parts: tuple[Part, ...]) -> None:
    assert tags(parts) == tags(tuple(with_text(part, "tame") for part in parts))
