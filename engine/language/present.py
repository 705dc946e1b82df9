"""How a fault is shown to a person: place and reason, the line with a caret under the word, the corrected line.

Plain text; whoever prints it hands in the colours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from engine.language.problem import Problem

Dye = Callable[[str], str]

_WIDTH = 100
_BEFORE = 60


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Paint:
    """How each part is coloured: a function from text to coloured text for each; none changes anything at first."""

    place: Dye = _as_it_is
    error: Dye = _as_it_is
    warning: Dye = _as_it_is
    note: Dye = _as_it_is
    frame: Dye = _as_it_is
    hint: Dye = _as_it_is


PLAIN = Paint()


def present(problem: Problem, text: str = "", paint: Paint = PLAIN) -> str:
    """One fault as a few lines of text; `text` is the file's, and without it the line is not shown."""
    place = paint.place(f"{_visible(problem.file)}:{problem.line}:{problem.column}:")
    reason = _visible(problem.message)
    if problem.severity != "error":
        reason = f"{problem.severity}: {reason}"
    dye: Dye = getattr(paint, problem.severity)
    gutter = " " * max(5, len(str(problem.line)) + 1)
    lines = [f"{place} {dye(reason)}", *_shown(problem, text, gutter, paint, dye)]
    for number, hint in enumerate(problem.hint.split("\n") if problem.hint else ()):
        arrow = " " if number else "→"
        lines.append(f"{gutter} {paint.frame(arrow)} {paint.hint(_visible(hint))}".rstrip())
    return "\n".join(lines)


def present_all(problems: Iterable[Problem], texts: Mapping[str, str], paint: Paint = PLAIN) -> str:
    """All faults in the order of their files, with a blank line between; `texts` are the files' by name."""
    return "\n\n".join(present(one, texts.get(one.file, ""), paint) for one in sorted(problems))


def _shown(problem: Problem, text: str, gutter: str, paint: Paint, dye: Dye) -> list[str]:
    """The line with its number, and a caret below the place."""
    rows = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    row = rows[problem.line - 1] if 0 < problem.line <= len(rows) else ""
    if not row.strip() or "\0" in row:
        return []
    row, place = _window(row.rstrip(), max(problem.column - 1, 0))
    bar = paint.frame("|")
    number = f"{problem.line:>{len(gutter)}}"
    below = " " * _columns(_visible(row[:place]))
    return [f"{paint.frame(number)} {bar} {_visible(row)}", f"{gutter} {bar} {below}{dye('^')}"]


def _window(row: str, place: int) -> tuple[str, int]:
    """The part of a long line around a place, and the place in it."""
    place = min(place, len(row))
    start = max(0, min(place - _BEFORE, len(row) - _WIDTH))
    part = row[start : start + _WIDTH]
    if start:
        part = f"…{part[1:]}"
    if start + _WIDTH < len(row):
        part = f"{part[:-1]}…"
    return part, place - start


def _visible(text: str) -> str:
    """A text in which nothing can move the cursor or colour the terminal: a tab is an arrow, the rest a sign."""
    return "".join(
        "→" if letter == "\t" else letter if _harmless(letter) else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def _harmless(letter: str) -> bool:
    return letter.isprintable() or letter in "\u00a0\u200d\u202f\u3000"


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes: most Asian signs and emoji take two, accents none."""
    return sum(
        0 if _takes_none(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _takes_none(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Me", "Cf")
