"""Texts are made short and safe without tearing what a reader sees as one character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.plain import LINE_BREAKS, cut, one_line, printable, units, whole_characters

FAMILY = "👨‍👩‍👧‍👦"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", "a b"),
        ("\n  a \r\n\r\n b\n", "a b"),
        ("a\u2028b\u2029c\u0085d\ve\ff", "a b c d e f"),
        ("a  b", "a  b"),
        ("  ", ""),
        ("", ""),
    ],
)
def test_a_text_on_one_line_has_no_break_of_any_kind(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("a\nb\tc", "a\nb\tc"),
        ("مرحبا 😀 é", "مرحبا 😀 é"),
        (FAMILY, FAMILY),
        ("a\u00a0b", "a\u00a0b"),
        ("a\ud800b", "ab"),
    ],
)
def test_hidden_characters_are_dropped_and_letters_of_every_script_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("character", [FAMILY, "é", "e\u0301", "🇩🇪", "👍🏽", "بِ", "❤️", "नि", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a"])
def test_what_is_seen_as_one_character_is_one_piece(character: str) -> None:
    assert list(whole_characters(character * 3)) == [character] * 3


def test_a_character_without_end_is_cut_all_the_same() -> None:
    assert max(len(piece) for piece in whole_characters("a" + "\u0301" * 1000)) <= 50


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab cd", 4, "ab…"),
        ("😀😀", 4, "😀😀"),
        ("😀😀😀", 4, "😀…"),
        (FAMILY * 2, 15, FAMILY + "…"),
        ("", 0, ""),
    ],
)
def test_a_cut_text_ends_between_characters_with_an_ellipsis(text: str, limit: int, kept: str) -> None:
    assert cut(text, limit) == kept


@given(st.text(), st.integers(1, 50))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_cut_text_is_within_its_limit_and_begins_as_the_whole_does(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert units(kept) <= limit or kept == text
    assert text.startswith(kept.removesuffix("…")) or kept == text


@given(st.text())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_pieces_are_the_whole_text_and_lines_are_one_line(text: str) -> None:
    assert "".join(whole_characters(text)) == text
    assert not set(one_line(text)) & set(LINE_BREAKS)
    assert printable(printable(text)) == printable(text)
