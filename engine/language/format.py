"""One spelling for rule files: the words of the language in small letters with blanks, two spaces a step.

Comments, blank lines, values, and every name of the payload or of the author's own data stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.language.conditions.phrases import comparison_called
from engine.language.document import read_document, read_source
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Mark, Problems
from engine.language.slips.lines import Line, indent_of
from engine.language.slips.page import CONDITIONS, Level, Page
from engine.language.words import RULE_SETTINGS, normal_key

STEP = 2
"""So many spaces further in stands what belongs to a line."""

_OF = re.compile(r"(?:any|every[\s_-]+one|none|count|sum)[\s_-]+of[\s_-]+(?=\S)", re.IGNORECASE)
_GROUPS = frozenset({"all", "any", "not", "formula"})
_LONG_FORM = frozenset({"path", "is", "value"})


def format_document(text: str) -> str:
    """A rule file in the one spelling; a file with faults, whose meaning is not sure, comes back unchanged."""
    problems = Problems("")
    source = read_source(text, problems)
    node = read_document(text, problems)
    if source is None or node is None or problems.broken:
        return text
    spelled = _spell(source, node)
    formatted = "\n".join(_Indenting(spelled).rows())
    meant = _meaning(spelled)
    ways = (formatted if formatted.endswith("\n") else f"{formatted}\n", formatted)
    return next((way for way in ways if meant is not None and _meaning(way) == meant), text)


def _meaning(text: str) -> Any:
    """What a file says apart from places, None where it has faults."""
    problems = Problems("")
    node = read_document(text, problems)
    return None if node is None or problems.broken else _bare(node)


def _bare(node: Node) -> Any:
    if isinstance(node, MappingNode):
        return [(_bare(entry.key), _bare(entry.value)) for entry in node]
    if isinstance(node, SequenceNode):
        return [_bare(item) for item in node]
    return node.style, node.text


# one spelling


@dataclass(frozen=True, slots=True)
class _Spelling:
    """A key that has a better spelling, and its place."""

    mark: Mark
    old: str
    new: str


def _spell(source: str, node: MappingNode) -> str:
    """The text with each key of the language in its one spelling."""
    rows = source.split("\n")
    for one in sorted(_settings(node), key=lambda one: one.mark, reverse=True):
        row, start = rows[one.mark.line - 1], one.mark.column - 1
        if row.startswith(one.old, start):
            rows[one.mark.line - 1] = row[:start] + one.new + row[start + len(one.old) :]
    return "\n".join(rows)


def _settings(rule: MappingNode) -> Iterator[_Spelling]:
    """The keys of a rule; what stands below each is read by what it holds."""
    for entry in rule:
        word = normal_key(entry.key.text)
        if word not in RULE_SETTINGS:
            continue
        yield from _respelled(entry.key)
        if word in CONDITIONS:
            yield from _conditions(entry.value)
        elif word == "then":
            yield from _actions(entry.value)
        elif word == "tests":
            yield from _tests(entry.value)
        elif word != "name":
            yield from _words(entry.value)


def _words(node: Node) -> Iterator[_Spelling]:
    """A block in which every key is a word of the language."""
    for entry in _entries(node):
        yield from _respelled(entry.key)
        yield from _words(entry.value)


def _tests(node: Node) -> Iterator[_Spelling]:
    for entry in _entries(node):
        yield from _respelled(entry.key)


def _actions(node: Node) -> Iterator[_Spelling]:
    """Actions with their fields; what stands below a field is the author's, but for another action."""
    for action in _entries(node):
        yield from _respelled(action.key)
        if normal_key(action.key.text) == "or else":
            yield from _actions(action.value)
            continue
        for field in _entries(action.value):
            yield from _respelled(field.key)
            if normal_key(field.key.text) == "or else":
                yield from _actions(field.value)


def _conditions(node: Node) -> Iterator[_Spelling]:
    """Groups and quantities are words of the language; all other keys are paths, with comparisons below."""
    entries = list(_entries(node))
    if {"path", "is"} <= {normal_key(entry.key.text) for entry in entries}:
        yield from (
            one
            for entry in entries
            if normal_key(entry.key.text) in _LONG_FORM
            for one in _respelled(entry.key)
        )
        return
    for entry in entries:
        of = _OF.match(entry.key.text)
        if of and entry.key.style == "plain":
            yield from _changed(entry.key, f"{normal_key(of[0])} {entry.key.text[of.end() :]}")
        if of:
            yield from _comparisons(entry.value) if _measures(of[0]) else _conditions(entry.value)
        elif normal_key(entry.key.text) in _GROUPS:
            yield from _respelled(entry.key)
            yield from _conditions(entry.value)
        else:
            yield from _comparisons(entry.value)


def _measures(of: str) -> bool:
    return normal_key(of).startswith(("count", "sum"))


def _comparisons(node: Node) -> Iterator[_Spelling]:
    for entry in _entries(node):
        if comparison_called(normal_key(entry.key.text)) is not None:
            yield from _respelled(entry.key)


def _entries(node: Node) -> Iterator[Entry]:
    """The keys of a block, or of all blocks in a list."""
    if isinstance(node, MappingNode):
        yield from node
    elif isinstance(node, SequenceNode):
        for item in node:
            yield from _entries(item)


def _respelled(key: ScalarNode) -> Iterator[_Spelling]:
    if key.style == "plain" and "." not in key.text and "$" not in key.text:
        yield from _changed(key, normal_key(key.text))


def _changed(key: ScalarNode, new: str) -> Iterator[_Spelling]:
    if new and new != key.text:
        yield _Spelling(key.mark, key.text, new)


# two spaces a step


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A comment or blank row that is written with the line below it: where it stood, and the new column of its block."""

    text: str
    indent: int
    block: int | None


class _Indenting:
    """Goes down a file without faults and moves each line, with all rows of its value, to its column."""

    def __init__(self, source: str) -> None:
        self.page = Page(source.split("\n"))
        self.columns: dict[int, int] = {}
        self.done: list[str] = []
        self.waiting: list[_Waiting] = []

    def rows(self) -> list[str]:
        """All rows, one for each row there was."""
        row = 0
        while row < len(self.page.rows):
            row = self._step(row)
        self._put_waiting(None, 0)
        return self.done

    def _step(self, row: int) -> int:
        line = self.page.line(row)
        text = line.raw.strip(" \t")
        if line.blank or text in ("---", "..."):
            self.waiting.append(_Waiting(text, line.indent, self._block_around(line) if line.blank else None))
            return row + 1
        self.page.place(line)
        self._keep_columns()
        column = self._column_of(line)
        self._put_waiting(line, column)
        self.done.append(self._moved(line, column))
        end = self.page.end_of(line)
        self.done += self._value_rows(line, column, range(row + 1, end))
        return end

    # columns

    def _keep_columns(self) -> None:
        """Give each level that a line opened its column, one step in from the level around it."""
        known: dict[int, int] = {}
        outer: int | None = None
        for level in self.page.levels:
            column = self.columns.get(id(level))
            if column is None:
                column = 0 if outer is None else outer + STEP
            known[id(level)] = outer = column
        self.columns = known

    def _column_of(self, line: Line) -> int:
        """The new column of a line's first letter."""
        if line.bare:
            return self._new(self.page.levels[-1]) + STEP if self.page.levels else 0
        first = next(level for level in self.page.levels if self._is_of(level, line))
        return self._new(first)

    def _block_around(self, note: Line) -> int | None:
        """The new column of the block above that a comment is indented like."""
        levels = self.page.kept(note)
        if not levels:
            return None
        waits = self.page.above is not None and self.page.above.opens and levels == self.page.levels
        further = STEP if waits and note.indent > levels[-1].column else 0
        return self._new(levels[-1]) + further

    def _is_of(self, level: Level, line: Line) -> bool:
        return level.column == line.indent and level.is_list == bool(line.dashes)

    def _new(self, level: Level) -> int:
        return self.columns[id(level)]

    def _block_of(self, line: Line, column: int) -> int:
        """The new column that the rows of a line's value must stay right of."""
        if line.bare:
            return column - STEP
        return column + STEP * (len(line.dashes) - (line.key is None))

    # rows

    def _moved(self, line: Line, column: int) -> str:
        head = " " * column + "- " * len(line.dashes)
        if line.key is None:
            return (head + line.raw[line.start :]).rstrip()
        behind = line.raw[line.start + len(line.key) :].lstrip(" \t")[1:]
        if line.value.kind != "none":
            behind = f" {line.raw[line.value.column :]}"
        return f"{head}{line.key}:{behind}"

    def _value_rows(self, line: Line, column: int, rows: range) -> Iterator[str]:
        floor = self._block_of(line, column)
        if line.value.kind == "block":
            yield from self._text_rows(line, floor, rows)
            return
        by = column - line.indent
        for row in rows:
            raw = self.page.rows[row]
            closes = line.value.kind == "list" and raw.strip()[:1] in ("]", "}")
            least = floor if closes else floor + STEP
            yield " " * max(least, indent_of(raw) + by) + raw.lstrip(" ") if raw.strip(" ") else ""

    def _text_rows(self, line: Line, floor: int, rows: range) -> Iterator[str]:
        """The rows of a block text, which keep their shape among themselves."""
        old = self.page.text_column(line)
        digit = next((int(letter) for letter in line.value.text if letter.isdigit()), STEP)
        new = max(floor, 0) + digit
        for row in rows:
            raw = self.page.rows[row]
            yield " " * new + raw[old:] if raw[old:] else ""

    def _put_waiting(self, line: Line | None, column: int) -> None:
        """Write the comments and blank rows above a line: beside it, or where the block above has its lines."""
        for one in self.waiting:
            beside = line is not None and one.indent == line.indent
            place = column if beside or one.block is None else one.block
            self.done.append(one.text and " " * place + one.text)
        self.waiting = []
