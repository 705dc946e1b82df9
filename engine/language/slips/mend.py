"""Reads a file line by line, tells the slips in it, and hands back its rows as they were probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.language.problem import Problems
from engine.language.slips import indentation, slips
from engine.language.slips.lines import Kind, Line
from engine.language.slips.page import Page, Slip

MOST_SLIPS = 20
"""After so many slips in one file the rest is not told: they have one cause."""

_TRIES = 4

_Check = Callable[[Line, Page], Slip | None]

_OF_LINES: tuple[_Check, ...] = (
    indentation.odd_indentation,
    slips.second_document,
    slips.explicit_key,
    slips.no_key,
    slips.key_sign,
    indentation.tab_after_dash,
    indentation.first_line,
    indentation.nothing_under,
    indentation.outside_text,
    indentation.missing_blank,
    indentation.missing_colon,
    indentation.does_not_fit,
)
"""What is looked for in every line, in this order: where a line stands comes before what it says."""

_OF_VALUES: dict[Kind, tuple[_Check, ...]] = {
    "none": (slips.comment_for_value,),
    "plain": (
        slips.braces,
        slips.comparison,
        slips.negation,
        slips.named_block,
        slips.sign,
        slips.colon_inside,
        slips.eaten,
    ),
    "quoted": (slips.bad_escape, slips.quote_ends_early),
    "list": (slips.braces, slips.list_ends_early),
    "block": (slips.comparison,),
}
"""What is looked for in a value, by what it begins like."""


def mend(source: str, problems: Problems) -> Page:
    """The rows of a text with the slips in them mended in memory; each is told as an error with its remedy."""
    names = frozenset(re.findall(r"(?<!\S)&([\w-]+)", source))
    walk = _Walk(Page(source.split("\n"), names=names), problems)
    row = 0
    while row < len(walk.page.rows):
        row = walk.step(row)
    return walk.page


def _tidied(raw: str) -> str:
    """A row of blanks or a comment that a tab would make unreadable is harmless: the tab is left out."""
    text = raw.lstrip(" \t")
    return text if not text or text.startswith("#") else raw


class _Walk:
    """Goes down a page; each step takes one line with all that belongs to its value."""

    def __init__(self, page: Page, problems: Problems) -> None:
        self.page = page
        self.problems = problems
        self.told = 0
        self.tries: dict[int, int] = {}

    def step(self, row: int) -> int:
        """Read the line in this row, and return the row to read next: after a slip, that below the last line read."""
        if not self.page.rows[row]:
            return row + 1
        if "\t" in self.page.rows[row]:
            self.page.change({row: _tidied(self.page.rows[row])})
        line = self.page.line(row)
        if line.blank or slips.marks_an_end(line, self.page):
            return row + 1
        slip = self._slip(line)
        if slip is not None:
            if slip.told:
                self._tell(slip)
            self.page.change(slip.rows)
            return self.page.end_of(self.page.above) if self.page.above else 0
        self.page.place(line)
        return self.page.end_of(line)

    def _slip(self, line: Line) -> Slip | None:
        tries = self.tries[line.number] = self.tries.get(line.number, 0) + 1
        if self.told >= MOST_SLIPS or tries > _TRIES:
            return None
        for check in (*_OF_LINES, *_OF_VALUES[line.value.kind]):
            slip = check(line, self.page)
            if slip is not None:
                return slip
        return None

    def _tell(self, slip: Slip) -> None:
        self.told += 1
        self.problems.error(self.page.original(slip.mark), slip.message, slip.hint)
