from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allegra_tls_kit.text import SHOWN_CHARACTERS, count, slug, visible


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
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    assert visible("x" * SHOWN_CHARACTERS) == "x" * SHOWN_CHARACTERS
    assert visible("x" * 1_000_000) == "x" * SHOWN_CHARACTERS + "… (1000000 characters)"
    assert visible("abcdef", 3) == "abc… (6 characters)"


@given(st.text(st.characters()))
def test_whatever_comes_in_one_bounded_printable_line_comes_out(text: str) -> None:
    shown = visible(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", shown)
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
    ],
)
def test_a_slug_is_fit_for_a_file_name(text: str, name: str) -> None:
    assert slug(text) == name


@given(st.text())
def test_a_slug_is_never_empty_and_never_a_path(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", slug(text))


def test_a_number_agrees_with_its_noun() -> None:
    said = [count(1, "entry"), count(2, "entry"), count(0, "server"), count(12345, "line"), count(2, "day"), count(1, "day")]
    assert said == ["1 entry", "2 entries", "0 servers", "12,345 lines", "2 days", "1 day"]
