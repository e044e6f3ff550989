from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit.static import (
    LONG_TABLE,
    TEXT_WIDTH,
    TONES,
    Badge,
    Bar,
    Cell,
    Code,
    Details,
    Heading,
    Link,
    Note,
    Part,
    Static,
    Table,
    Tone,
)
from tests.shown import HOSTILE, flat, text_of, text_of_page

MARKUP = ["<script>", "</td>", "</details>", "<!--", "-->", "<![CDATA[", "&amp;", "&lt;", "&", '"', "'", ' onload="x"', "<svg/>"]
MARKUP += ["javascript:", "https://x.example/", "<?php", "<style>", "\x00", "\u202e", "\n", HOSTILE]
STRANGE = st.lists(st.sampled_from(MARKUP) | st.text(max_size=5), max_size=6).map("".join)
TONE = st.sampled_from(Tone)


def cells(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Cell]:
    bars = st.builds(Bar, TONE, st.floats(), texts)
    return texts | st.builds(Badge, TONE, texts) | bars | st.builds(Link, texts, st.just("10_survey.ipynb"))


@st.composite
def tables(draw: st.DrawFn, texts: st.SearchStrategy[str] = STRANGE) -> Table:
    columns = draw(st.integers(1, 4))
    row = st.tuples(*[cells(texts)] * columns)
    return Table(draw(texts), draw(st.tuples(*[texts] * columns)), tuple(draw(st.lists(row, max_size=3))))


HEADINGS = st.builds(Heading, STRANGE, st.sampled_from((1, 2, 3)))
FLAT = HEADINGS | st.builds(Note, TONE, STRANGE) | st.builds(Code, STRANGE) | tables()
PARTS: st.SearchStrategy[Part] = st.recursive(
    FLAT, lambda parts: st.builds(Details, STRANGE, st.lists(parts, max_size=3).map(tuple)), max_leaves=5
)


def word_of(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text if isinstance(cell, Link) else cell.word


def cells_in(table: Table) -> list[str]:
    return [word_of(cell) for row in table.rows for cell in row]


def texts_in(part: Part, *, heads: bool = True) -> list[str]:
    match part:
        case Heading(text, _) | Note(_, text) | Code(text):
            return [text]
        case Table(caption, head, _):
            return [caption, *(head if heads else ()), *cells_in(part)]
        case Details(summary, parts):
            return [summary, *(text for inner in parts for text in texts_in(inner, heads=heads))]


@settings(max_examples=50)
@given(st.lists(PARTS, max_size=4).map(tuple))
def test_whatever_stands_in_a_part_is_text_and_nothing_else(parts: tuple[Part, ...]) -> None:
    title, said_in_page = text_of_page(Static(parts).page(HOSTILE))
    assert title == HOSTILE
    for said in (text_of(Static(parts).html()), said_in_page):
        position = 0
        for text in (text for part in parts for text in texts_in(part)):
            position = said.index(text, position) + len(text)


@settings(max_examples=50)
@given(st.lists(PARTS, max_size=3).map(tuple))
def test_plain_text_says_all_of_it_too(parts: tuple[Part, ...]) -> None:
    said = flat(str(Static(parts)))
    assert all(word in said for part in parts for text in texts_in(part, heads=False) for word in text.split())


@settings(max_examples=50)
@given(tables(st.lists(st.text("abcdefgh-:/", min_size=1, max_size=30), max_size=25).map(" ".join)))
def test_no_line_of_a_wide_table_is_wider_than_a_terminal_and_no_word_is_broken(table: Table) -> None:
    lines = str(Static((table,))).split("\n")[1:]
    assert all(len(line) <= TEXT_WIDTH for line in lines)
    assert {word for text in cells_in(table) for word in text.split()} <= set(" ".join(lines).split())


PATH = "some-long/" * 20


@pytest.mark.parametrize("part", [Note(Tone.BAD, f"in {PATH}"), Table("", ("a", "b", "c"), ((PATH, "b", "c"),))])
def test_a_word_that_is_wider_than_the_line_stays_whole(part: Part) -> None:
    assert PATH in str(Static((part,))).split()


def test_a_narrow_table_is_drawn_in_columns_and_a_wide_one_by_rows() -> None:
    narrow = Table("Caption", ("state", "server"), ((Badge(Tone.OK, "trusted"), "a"), ("", "bb")))
    assert str(Static((narrow,))).splitlines() == ["Caption", "state      server", "-" * 17, "✔ trusted  a", "           bb"]
    wide = Table("Caption", ("", "server", "what", "why"), ((Badge(Tone.BAD, "failed"), "a", "w " * 60, ""),))
    assert str(Static((wide,))).splitlines()[1:3] == ["  ✖ failed  a", ("      what: " + "w " * 49).rstrip()]


def test_a_fold_is_shown_open_in_plain_text_and_closed_in_html() -> None:
    fold = Static((Details("More", (Code("line 1\nline 2"),)),))
    assert str(fold) == "More:\n      line 1\n      line 2"
    assert "<details><summary>More</summary><pre " in fold.html()


def test_a_heading_is_one_for_readers_of_a_page_and_no_entry_of_a_notebooks_table_of_contents() -> None:
    shown = Static((Heading("Title", 1), Heading("Section")))
    assert re.findall(r"<(\w+) [^>]*>(\w+)</", shown.page("")) == [("h1", "Title"), ("h2", "Section")]
    assert re.findall(r"<(\w+) [^>]*>(\w+)</", shown.html()) == [("p", "Title"), ("p", "Section")]
    assert str(shown) == "Title\n=====\n\nSection"


@pytest.mark.parametrize("rows", [LONG_TABLE, LONG_TABLE + 1])
def test_a_long_table_scrolls_within_its_cell_and_a_page_shows_all_of_it(rows: int) -> None:
    shown = Static((Details("More", (Table("", ("number",), tuple((str(row),) for row in range(rows))),)),))
    text_of(shown.html())
    assert ("max-height" in shown.html()) == ('tabindex="0"' in shown.html()) == (rows > LONG_TABLE)
    text_of_page(shown.page("all"))
    assert "tabindex" not in shown.page("all")


@pytest.mark.parametrize(
    ("fraction", "width", "blocks"),
    [
        (-3, "0%", "░░░░░░░░"),
        (0, "0%", "░░░░░░░░"),
        (0.001, "0%", "▇░░░░░░░"),
        (0.5, "50%", "▇▇▇▇░░░░"),
        (0.51, "51%", "▇▇▇▇▇░░░"),
        (1, "100%", "▇▇▇▇▇▇▇▇"),
        (7, "100%", "▇▇▇▇▇▇▇▇"),
        (float("nan"), "0%", "░░░░░░░░"),
    ],
)
def test_a_bar_is_as_long_as_its_share_and_says_its_word(fraction: float, width: str, blocks: str) -> None:
    shown = Static((Table("", ("left",), ((Bar(Tone.OK, fraction, "89 days"),),)),))
    assert f'<div style="width:{width};' in shown.html()
    assert text_of(shown.html()) == "left89 days"
    assert str(shown).endswith(f"\n{blocks} 89 days")


@pytest.mark.parametrize("target", ["a.ipynb", "10_survey_servers.ipynb", "records/2026-11-23-a.b/record.html", "-/_.jsonl"])
def test_a_link_leads_to_a_file_beside_the_notebook(target: str) -> None:
    shown = Static((Table("", ("",), ((Link("here", target),),)),))
    assert f'<a href="{target}">here</a>' in shown.html()
    assert str(shown).endswith(f"here ({target})")
    assert str(Static((Table("", ("",), ((Link(target, target),),)),))).endswith(f"\n{target}")


@pytest.mark.parametrize(
    "target",
    [
        "", "a", "a.exe", ".md", "a/.md", "/a.md", "../a.md", "a/../b.md", "a//b.md", "a/", "https://x/a.md", "//x/a.md",
        "x:a.md", "a.md?x", "a.md#x", "a b.md", "a%2e.md", "a\\b.md", "javascript:a.md", 'a".md', "a.md\n", "\na.md", "ä.md",
        "a.md/",
    ],
)  # fmt: skip
def test_a_link_that_leads_anywhere_else_cannot_be_made(target: str) -> None:
    with pytest.raises(ValueError, match="leads nowhere else"):
        Link("here", target)


def test_jupyter_gets_both_forms_of_the_same() -> None:
    static = Static((Heading("Title"), Note(Tone.INFO, "sentence")))
    assert static._repr_mimebundle_() == {"text/html": static.html(), "text/plain": str(static)}


def test_a_table_can_be_read_aloud() -> None:
    shown = Static((Table("Caption", ("one", "two"), (("1", "2"),)),)).html()
    assert shown.count('<th scope="col"') == 2
    assert ">Caption</caption><thead><tr>" in shown


# --- colours -----------------------------------------------------------------------------------------------------------------

Colour = tuple[float, float, float]
THEMES = {"light": ("#ffffff", "#000000de"), "dark": ("#111111", "#ffffffde")}  # JupyterLab's background, and its text over it


def over(colour: str, below: Colour) -> Colour:
    """`#rrggbb` or `#rrggbbaa` laid over an opaque colour."""
    red, green, blue, *alpha = bytes.fromhex(colour[1:])
    share = alpha[0] / 255 if alpha else 1.0
    mixed = [share * above + (1 - share) * under for above, under in zip((red, green, blue), below, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2: contrast ratio of relative luminances."""

    def luminance(colour: Colour) -> float:
        linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast_is_right() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


def shown_with(tone: Tone, kind: type[Note | Badge | Bar]) -> Static:
    if kind is Note:
        return Static((Note(tone, "word"),))
    return Static((Table("", ("",), ((Badge(tone, "word") if kind is Badge else Bar(tone, 0.5, "word"),),)),))


@pytest.mark.parametrize("kind", [Note, Badge, Bar])
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tone", Tone)
def test_each_tone_can_be_read_and_told_apart_in_both_themes(tone: Tone, theme: str, kind: type[Note | Badge | Bar]) -> None:
    background, text = THEMES[theme]
    behind = over(background, (0, 0, 0))
    solid, icon = TONES[tone]
    shown = shown_with(tone, kind)
    assert f"background:{solid}33;" in shown.html()
    assert not re.search(r"[; \"]color:", shown.html())
    if kind is Bar:
        assert f"border:1px solid {solid}" in shown.html()
        assert f'background:{solid}"' in shown.html()
    else:
        assert f"border-left:4px solid {solid}" in shown.html()
        assert f">{icon} word<" in shown.html()
        assert f"{icon} word" in str(shown)
    tint = over(f"{solid}33", behind)
    assert contrast(over(text, tint), tint) >= 4.5
    assert contrast(over(solid, behind), behind) >= 3


def test_no_two_tones_share_icon_or_colour() -> None:
    assert set(TONES) == set(Tone)
    assert all(len(set(column)) == len(Tone) for column in zip(*TONES.values(), strict=True))
