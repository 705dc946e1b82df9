"""How one line of a rule file reads: its indentation, dashes, key, value and comment, before YAML judges it.

Columns here count from 0. Every reading is linear in the line's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["none", "plain", "quoted", "list", "block"]

_BLANKS = " \t"
_DASHES = re.compile(r"(?:-(?=[ \t]|$)[ \t]*)+")
_COLON_OR_COMMENT = re.compile(r":(?=[ \t]|$)|(?<=[ \t])#")
_COLON = re.compile(r"[ \t]*:(?=[ \t]|$)")
_DOUBLE = re.compile(r'(?:[^"\\]|\\.|\\$)*"')
_SINGLE = re.compile(r"(?:[^']|'')*'(?!')")
_BLOCK_HEADER = re.compile(r"[|>](?:[+-]?[1-9]?|[1-9][+-])[ \t]*(?:#.*)?")
_FLOW_PIECE = re.compile(
    r"""
      (?P<blank>[ \t]+)
    | (?P<comment>\#.*)
    | (?P<quote>["'])
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<comma>,)
    | (?P<colon>:(?=[ \t,\[\]{}]|$))
    | (?P<plain>(?:[^\s\[\]{},:]|:(?![ \t,\[\]{}]|$)|[^\S \t]|[ \t]+(?=[^ \t\#\[\]{},:]|:(?![ \t,\[\]{}]|$)))+)
    """,
    re.VERBOSE,
)
_CLOSERS = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Value:
    """What stands after a key or dash, or alone on a line.

    `text` is without the comment; of a quoted text or a `[ ]` or `{ }` list it is what stands up to its end,
    and `rest` what follows that; `closed` says whether the end is on this line.
    """

    kind: Kind
    text: str
    column: int
    rest: str = ""
    rest_column: int = 0
    closed: bool = True
    comment: str = ""
    comment_column: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `key` is as it was written, with its quotes, and None where there is none.

    `start` is the column of the key, or of the value where there is no key.
    """

    raw: str
    number: int
    indent: int
    dashes: tuple[int, ...]
    key: str | None
    start: int
    value: Value

    @property
    def blank(self) -> bool:
        """Whether the line is empty or only a comment."""
        return self.key is None and not self.dashes and self.value.kind == "none"

    @property
    def opens(self) -> bool:
        """Whether a block may stand indented below: after a key or a dash without a value."""
        return self.value.kind == "none" and not self.blank

    @property
    def bare(self) -> bool:
        """Whether the line is only a value, without key or dash."""
        return self.key is None and not self.dashes and not self.blank

    @property
    def lead(self) -> str:
        """What stands before the value, as it should be written: `- text: `."""
        key = "" if self.key is None else f"{self.key}: "
        return "- " * len(self.dashes) + key

    @property
    def whole(self) -> str:
        """The value with everything behind it that was probably meant: all but a comment of the form `# …`."""
        text = self.raw[self.value.column :].rstrip()
        if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
            return text
        comment = re.search(r"[ \t]#(?=[ \t]|$)", text)
        return text[: comment.start()].rstrip() if comment else text


def indent_of(raw: str) -> int:
    """How many spaces a line begins with."""
    return len(raw) - len(raw.lstrip(" "))


def read_line(raw: str, number: int) -> Line:
    """Read one line that does not stand inside a block text, a quoted text or a list begun above."""
    raw = raw.rstrip(_BLANKS)
    indent = indent_of(raw)
    if raw.lstrip(_BLANKS).startswith("#"):
        indent = raw.index("#")
    found = _DASHES.match(raw, indent)
    start = found.end() if found else indent
    dashes = tuple(place for place in range(indent, start) if raw[place] == "-")
    colon = _key_end(raw, start)
    if colon is None:
        return Line(raw, number, indent, dashes, None, start, read_value(raw, start))
    key = raw[start:colon].rstrip(_BLANKS)
    return Line(raw, number, indent, dashes, key, start, read_value(raw, _skip(raw, colon + 1)))


def read_value(raw: str, column: int) -> Value:
    """Read what stands from a column of a line on."""
    first = raw[column : column + 1]
    if not first or first == "#":
        return Value("none", "", column, comment=raw[column:], comment_column=column)
    if first in "\"'":
        return _ended("quoted", raw, column, quote_end(raw, column + 1, first))
    if first in "[{":
        return _ended("list", raw, column, Brackets().feed(raw, column))
    if first in "|>" and _BLOCK_HEADER.fullmatch(raw, column):
        return Value("block", raw[column:].split("#")[0].rstrip(), column)
    return _plain(raw, column)


def quote_end(raw: str, start: int, quote: str) -> int | None:
    """The column after the quote that closes a text whose letters begin at `start`, None if it is not here."""
    found = (_DOUBLE if quote == '"' else _SINGLE).match(raw, start)
    return found.end() if found else None


def _key_end(raw: str, start: int) -> int | None:
    """The column of the colon that makes the text from `start` on a key."""
    first = raw[start : start + 1]
    if first and first in "\"'[{":
        end = quote_end(raw, start + 1, first) if first in "\"'" else Brackets().feed(raw, start)
        colon = _COLON.match(raw, end) if end is not None else None
        return colon.end() - 1 if colon else None
    if not first or first == "#" or (first in "|>" and _BLOCK_HEADER.fullmatch(raw, start)):
        return None
    found = _COLON_OR_COMMENT.search(raw, start)
    return found.start() if found and found[0] == ":" else None


def _plain(raw: str, column: int) -> Value:
    comment = re.compile(r"[ \t]#").search(raw, column)
    if comment is None:
        return Value("plain", raw[column:], column)
    at = comment.end() - 1
    return Value("plain", raw[column:at].rstrip(_BLANKS), column, comment=raw[at:], comment_column=at)


def _ended(kind: Kind, raw: str, column: int, end: int | None) -> Value:
    if end is None:
        return Value(kind, raw[column:], column, closed=False)
    at = _skip(raw, end)
    if raw[at : at + 1] == "#":
        return Value(kind, raw[column:end], column, comment=raw[at:], comment_column=at)
    return Value(kind, raw[column:end], column, rest=raw[at:], rest_column=at)


def _skip(raw: str, column: int) -> int:
    while column < len(raw) and raw[column] in _BLANKS:
        column += 1
    return column


@dataclass(slots=True)
class Brackets:
    """Reads a `[ ]` or `{ }` list line by line until it is closed.

    `wrong` is the column of a bracket that closes nothing, `braces` that of a `{{` outside quotes, both on the
    line read last.
    """

    closers: list[str] = field(default_factory=list)
    quote: str = ""
    wrong: int | None = None
    braces: int | None = None

    def feed(self, raw: str, column: int = 0) -> int | None:
        """Read on; the column after the end of the list, None if it goes on in the next line."""
        while column < len(raw):
            column = self._text(raw, column) if self.quote else self._piece(raw, column)
            if not self.closers and not self.quote:
                return column
        return None

    def _text(self, raw: str, column: int) -> int:
        end = quote_end(raw, column, self.quote)
        if end is None:
            return len(raw)
        self.quote = ""
        return end

    def _piece(self, raw: str, column: int) -> int:
        found = _FLOW_PIECE.match(raw, column)
        if found is None:
            return column + 1
        if found.lastgroup == "quote":
            self.quote = found[0]
        elif found.lastgroup == "open":
            self._open(raw, column)
        elif found.lastgroup == "close":
            self._close(found[0], column)
        return found.end()

    def _open(self, raw: str, column: int) -> None:
        if raw.startswith("{{", column) and self.braces is None:
            self.braces = column
        self.closers.append(_CLOSERS[raw[column]])

    def _close(self, bracket: str, column: int) -> None:
        if self.closers[-1] != bracket and self.wrong is None:
            self.wrong = column
        self.closers.pop()
