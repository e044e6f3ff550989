from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.text import SHOWN_CHARACTERS, SHOWN_LINES, count, is_device, lines_of, listed, shows_itself, slug, visible
from tests.hostile import UNSEEN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Müller GmbH 漢字 😀", "Müller GmbH 漢字 😀"),
        ("two\r\nlines\tand\x00", "two\\x0d\\x0alines\\x09and\\x00"),
        ("\x1b[31mred\x9b0m", "\\x1b[31mred\\x9b0m"),
        ("moc\u202egnp.exe", "moc\\u{202e}gnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"),
        ("\u2028\u2029\ue000\ud800", "\\u{2028}\\u{2029}\\u{e000}\\u{d800}"),
        ("\U000e0041tag", "\\u{e0041}tag"),
        ("ma\u3164il\u034f\u2800\ufe0f\U000e0100", "ma\\u{3164}il\\u{034f}\\u{2800}\\u{fe0f}\\u{e0100}"),
        ("Thắng क्षि ที่", "Thắng क्षि ที่"),
        ("a" + "\u0301" * 6 + "b", "a" + "\u0301" * 4 + "\\u{0301}\\u{0301}b"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert visible("x" * SHOWN_CHARACTERS) == "x" * SHOWN_CHARACTERS
    assert visible("x" * 1_000_000) == "x" * SHOWN_CHARACTERS + "… (1,000,000 characters)"
    assert visible("abcdef", 3) == "abc… (6 characters)"


@given(st.text(st.characters()))
def test_whatever_comes_in_one_bounded_printable_line_comes_out(text: str) -> None:
    shown = visible(text)
    assert UNSEEN.search(shown) is None
    assert visible(shown, len(shown)) == shown
    assert shows_itself(shown)
    assert len(shown) <= SHOWN_CHARACTERS * 10 + 40
    shown.encode()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example Root CA (2026)", "example-root-ca-2026"),
        ("Müller & Söhne", "muller-sohne"),
        ("../../etc/passwd", "etc-passwd"),
        ("mail.example.com", "mail.example.com"),
        ("漢字", "unnamed"),
        ("", "unnamed"),
        ("-.-", "unnamed"),
        ("x" * 39 + "-yz", "x" * 39),
        ("CON", "the-con"),
        ("nul.example.com", "the-nul.example.com"),
        ("com1.x", "the-com1.x"),
        ("console.con", "console.con"),
    ],
)
def test_a_slug_is_fit_for_a_file_name(text: str, name: str) -> None:
    assert slug(text) == name


@given(st.text())
def test_a_slug_is_never_empty_and_never_a_path(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", slug(text))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], ""),
        (["x" * 50], "x" * 50),
        (["x" * 50, "y"], "x" * 50 + ", … (2 names)"),
        (["ab", "cd", "ef"], "ab, cd, ef"),
        (["abcdef", "ghi", "jkl", "mno"], "abcdef, ghi, … (4 names)"),
        (["abcdef", "ghi", "jkl", "… (50,000 names)"], "abcdef, ghi, … (50,000 names)"),
    ],
)
def test_of_many_names_the_first_are_listed_and_how_many_there_are(names: list[str], shown: str) -> None:
    assert listed(names, 15) == shown


def test_of_a_long_block_the_first_lines_are_shown_and_how_many_there_are() -> None:
    long = "\n".join("b" * (SHOWN_LINES + 1))
    assert lines_of(["one\r", "\n".join("a" * SHOWN_LINES)]).split("\n") == ["one\\x0d", *"a" * SHOWN_LINES]
    assert lines_of([long, "c"]).split("\n") == [*"b" * 10, f"… ({SHOWN_LINES + 1} lines)", "c"]
    assert lines_of(["x" * 5000]).endswith("… (5,000 characters)")


def test_a_number_agrees_with_its_noun() -> None:
    said = [count(1, "entry"), count(2, "entry"), count(0, "server"), count(12345, "line"), count(2, "day"), count(1, "day")]
    assert said == ["1 entry", "2 entries", "0 servers", "12,345 lines", "2 days", "1 day"]


@pytest.mark.parametrize(
    ("name", "device"), [("CON", True), ("nul.ks", True), ("com1.example.com.ks", True), ("console.ks", False)]
)
def test_a_file_that_windows_would_take_for_a_device_is_known(name: str, *, device: bool) -> None:
    assert is_device(name) is device
