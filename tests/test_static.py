from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allegra_tls_kit.static import TEXT_WIDTH, TONES, Badge, Code, Details, Heading, Note, Part, Static, Table, Tone
from tests.shown import HOSTILE, flat, text_of

MARKUP = ["<script>", "</td>", "</details>", "<!--", "-->", "<![CDATA[", "&amp;", "&lt;", "&", '"', "'", ' onload="x"', "<svg/>"]
MARKUP += ["javascript:", "https://x.example/", "<?php", "<style>", "\x00", "\u202e", "\n", HOSTILE]
STRANGE = st.lists(st.sampled_from(MARKUP) | st.text(max_size=5), max_size=6).map("".join)
BADGES = st.builds(Badge, st.sampled_from(Tone), STRANGE)


@st.composite
def tables(draw: st.DrawFn, texts: st.SearchStrategy[str] = STRANGE) -> Table:
    columns = draw(st.integers(1, 4))
    row = st.tuples(*[texts | st.builds(Badge, st.sampled_from(Tone), texts)] * columns)
    return Table(draw(texts), draw(st.tuples(*[texts] * columns)), tuple(draw(st.lists(row, max_size=3))))


FLAT = st.builds(Heading, STRANGE) | st.builds(Note, st.sampled_from(Tone), STRANGE) | st.builds(Code, STRANGE) | tables()
PARTS: st.SearchStrategy[Part] = st.recursive(
    FLAT, lambda parts: st.builds(Details, STRANGE, st.lists(parts, max_size=3).map(tuple)), max_leaves=5
)


def cells_in(table: Table) -> list[str]:
    return [cell.word if isinstance(cell, Badge) else cell for row in table.rows for cell in row]


def texts_in(part: Part, *, heads: bool = True) -> list[str]:
    match part:
        case Heading(text) | Note(_, text) | Code(text):
            return [text]
        case Table(caption, head, _):
            return [caption, *(head if heads else ()), *cells_in(part)]
        case Details(summary, parts):
            return [summary, *(text for inner in parts for text in texts_in(inner, heads=heads))]


@settings(max_examples=50)
@given(st.lists(PARTS, max_size=4).map(tuple))
def test_whatever_stands_in_a_part_is_text_and_nothing_else(parts: tuple[Part, ...]) -> None:
    said = text_of(Static(parts).html())
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


@pytest.mark.parametrize("cell", [Note, Badge])
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tone", Tone)
def test_each_tone_can_be_read_and_told_apart_in_both_themes(tone: Tone, theme: str, cell: type[Note | Badge]) -> None:
    background, text = THEMES[theme]
    behind = over(background, (0, 0, 0))
    solid, icon = TONES[tone]
    part = Note(tone, "word") if cell is Note else Table("", ("",), ((Badge(tone, "word"),),))
    shown = Static((part,)).html()
    assert f"background:{solid}33;" in shown
    assert f"border-left:4px solid {solid}" in shown
    assert not re.search(r"[; \"]color:", shown)
    assert f">{icon} word<" in shown
    assert f"{icon} word" in str(Static((part,)))
    tint = over(f"{solid}33", behind)
    assert contrast(over(text, tint), tint) >= 4.5
    assert contrast(over(solid, behind), behind) >= 3


def test_no_two_tones_share_icon_or_colour() -> None:
    assert set(TONES) == set(Tone)
    assert all(len(set(column)) == len(Tone) for column in zip(*TONES.values(), strict=True))
