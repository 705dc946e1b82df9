"""Texts made safe and short for people: one line, no hidden characters, cut between whole characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator

ELLIPSIS = "…"
LINE_BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Every character that some reader takes for the end of a line."""

_BREAKS = str.maketrans(dict.fromkeys(LINE_BREAKS, "\n"))
_DIRECTION = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_JOINER = "\u200d"
_LONGEST_CHARACTER = 50


def one_line(text: str) -> str:
    """The text on one line, trimmed: a line break of any kind and the blanks around it become one space."""
    lines = (line.strip() for line in text.translate(_BREAKS).split("\n"))
    return " ".join(line for line in lines if line)


def printable(text: str) -> str:
    """The text without control characters and without those that turn the direction of what follows.

    Line breaks and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(letter for letter in text if not _hidden(letter))


def _hidden(letter: str) -> bool:
    if letter in "\n\t":
        return False
    return unicodedata.category(letter) in ("Cc", "Cs") or ord(letter) in _DIRECTION


def units(text: str) -> int:
    """The length of a text in UTF-16 units, as most services count it: an emoji is two."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def whole_characters(text: str) -> Iterator[str]:
    """The text in pieces that a reader sees as one character: accents, joined emoji and flags stay together."""
    start = 0
    for place in range(1, len(text)):
        if place - start >= _LONGEST_CHARACTER or not _joined(text[start:place], text[place]):
            yield text[start:place]
            start = place
    if text:
        yield text[start:]


def _joined(piece: str, letter: str) -> bool:
    if piece[-1] == _JOINER or letter == _JOINER:
        return True
    if _is_flag_half(letter):
        return len(piece) == 1 and _is_flag_half(piece)
    return unicodedata.category(letter).startswith("M") or _changes_emoji(letter)


def _is_flag_half(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def _changes_emoji(letter: str) -> bool:
    return "\U0001f3fb" <= letter <= "\U0001f3ff" or "\U000e0020" <= letter <= "\U000e007f"


def cut(
    text: str, limit: int, pieces: Callable[[str], Iterable[str]] = whole_characters, end: str = ELLIPSIS
) -> str:
    """The text in at most `limit` UTF-16 units; a longer one ends between two pieces, with an ellipsis."""
    if units(text) <= limit:
        return text
    room = limit - units(end)
    kept: list[str] = []
    for piece in pieces(text):
        room -= units(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + end
