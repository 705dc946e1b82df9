"""A rule file as its lines stand in one another, and a slip found in it with the lines as they were meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.language.problem import Mark
from engine.language.slips.lines import Brackets, Line, indent_of, read_line
from engine.language.words import normal_key

CONDITIONS = frozenset({"if", "unless", "still if", "all", "any", "not"})
"""Settings whose block is conditions."""

OF_ITEMS = ("any of ", "every one of ", "none of ")
"""How a condition on the items of a list begins; the block under it is conditions on one item."""

AS_WRITTEN = frozenset({"json", "form", "headers", "blocks", "body", "with"})
"""Settings whose block is data of the author's own, in which any key may stand."""


@dataclass(frozen=True, slots=True)
class Slip:
    """One slip: its place, what is wrong, the remedy, and the rows (from 0) as they were probably meant.

    One that is not `told` only follows from a slip told before, and is mended in silence.
    """

    mark: Mark
    message: str
    hint: str
    rows: Mapping[int, str]
    told: bool = True


@dataclass(slots=True)
class Level:
    """A block or list that is still open: where its lines begin, and the last line that stood at its level."""

    column: int
    is_list: bool
    last: Line


@dataclass(slots=True)
class Page:
    """The rows of a file, and how far they have been read: the open levels and the last line that held something.

    `names` are the words after a `&` anywhere, by which YAML could repeat a block.
    """

    rows: list[str]
    levels: list[Level] = field(default_factory=list)
    above: Line | None = None
    names: frozenset[str] = frozenset()
    _read: dict[int, Line] = field(default_factory=dict)
    _moves: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def line(self, row: int) -> Line:
        """Read a row."""
        found = self._read.get(row)
        if found is None:
            found = self._read[row] = read_line(self.rows[row], row + 1)
        return found

    def change(self, rows: Mapping[int, str]) -> None:
        """Put other texts into some rows, and remember by how much that moves what stood in them."""
        for row, text in rows.items():
            move = _moved(self.rows[row], text)
            if move is not None:
                self._moves.setdefault(row, []).append(move)
            self.rows[row] = text
            self._read.pop(row, None)

    def original(self, mark: Mark) -> Mark:
        """Where a place in these rows stands in the file as it was written."""
        if mark.line - 1 not in self._moves:
            return mark
        column = mark.column - 1
        for start, by in reversed(self._moves[mark.line - 1]):
            column = max(start, column - by) if column >= start else column
        return Mark(mark.line, column + 1)

    def was_moved(self, line: Line) -> bool:
        """Whether an earlier slip has put a line into another column than its author did."""
        return any(start <= line.indent for start, _ in self._moves.get(line.number - 1, ()))

    def following(self, line: Line) -> Iterator[Line]:
        """The lines after this one that hold something."""
        for row in range(line.number, len(self.rows)):
            found = self.line(row)
            if not found.blank:
                yield found

    def next(self, line: Line) -> Line | None:
        """The next line that holds something."""
        return next(self.following(line), None)

    def opened_by(self, line: Line) -> Line | None:
        """The first line of the block that stands indented below this one."""
        below = self.next(line)
        return (
            below if below and below.indent > (line.start if line.key is not None else line.indent) else None
        )

    def kept(self, line: Line) -> list[Level]:
        """The open levels that a line does not end."""
        levels = [level for level in self.levels if level.column <= line.indent]
        if len(levels) > 1 and levels[-1].column == levels[-2].column == line.indent and not line.dashes:
            levels.pop()
        return levels

    def owners(self, line: Line) -> list[str]:
        """The keys that a line stands under, as keys are compared, from the outermost in."""
        levels = [level for level in self.kept(line) if level.column < line.start and not level.is_list]
        return [normal_key(level.last.key or "") for level in levels]

    def in_conditions(self, line: Line) -> bool:
        """Whether a line is a condition."""
        return any(owner in CONDITIONS or owner.startswith(OF_ITEMS) for owner in self.owners(line))

    def in_data(self, line: Line) -> bool:
        """Whether a line stands in a block of the author's own data."""
        return any(owner in AS_WRITTEN for owner in self.owners(line))

    def shifted(self, line: Line, column: int) -> dict[int, str]:
        """The line moved to a column, and with it the lines below that stand at least as deep."""
        by = column - line.indent
        rows: dict[int, str] = {}
        for row in range(line.number - 1, len(self.rows)):
            raw = self.rows[row]
            if raw.strip() and indent_of(raw) < line.indent:
                break
            if raw.strip():
                rows[row] = " " * (indent_of(raw) + by) + raw.lstrip(" ")
        return rows

    def without(self, line: Line) -> dict[int, str]:
        """The line taken out, and with it what stands indented below."""
        rows = {line.number - 1: ""}
        for row in range(line.number, len(self.rows)):
            raw = self.rows[row]
            if raw.strip() and indent_of(raw) <= line.indent:
                break
            rows[row] = ""
        return rows

    def tail(self, line: Line) -> list[Line]:
        """The lines below that carry on a value without quotes: deeper, and neither settings nor items."""
        found: list[Line] = []
        for row in range(line.number, len(self.rows)):
            below = self.line(row)
            if not below.raw:
                continue
            ended = (found[-1] if found else line).value.comment
            if ended or below.indent <= self.block_of(line) or not below.bare:
                break
            found.append(below)
        return found

    def block_of(self, line: Line) -> int:
        """The column that what belongs to a line's value must stay right of."""
        if line.key is not None or line.dashes:
            return line.start if line.key is not None else line.dashes[-1]
        levels = [level.column for level in self.levels if level.column < line.indent]
        return levels[-1] if levels else -1

    def text_column(self, line: Line) -> int:
        """The column at which the letters of the block text below a line begin."""
        digit = next((int(letter) for letter in line.value.text if letter.isdigit()), 0)
        floor = self.block_of(line)
        if digit:
            return max(floor, 0) + digit
        below = next((raw for raw in self.rows[line.number :] if raw.strip()), "")
        return max(indent_of(below), floor + 1) if indent_of(below) > floor else floor + 2

    def end_of(self, line: Line) -> int:
        """The row after a line's value, which may go on over several; blank rows that would break a text are emptied."""
        if line.value.kind == "block":
            return self._end_of_text(line)
        if line.value.kind == "plain":
            tail = self.tail(line)
            return tail[-1].number if tail else line.number
        if line.value.kind in ("quoted", "list") and not line.value.closed:
            return self._end_of_enclosed(line)
        return line.number

    def place(self, line: Line) -> None:
        """Take a line as read: it ends some levels and may open others."""
        self.levels = self.kept(line)
        for dash in line.dashes:
            self._enter(dash, True, line)
        if line.key is not None:
            self._enter(line.start, False, line)
        self.above = line

    def _end_of_enclosed(self, line: Line) -> int:
        quoted = line.value.kind == "quoted"
        brackets = Brackets(quote=line.value.text[0]) if quoted else Brackets()
        end = brackets.feed(line.raw, line.value.column + quoted)
        row = line.number
        while end is None and row < len(self.rows):
            end = brackets.feed(self.rows[row])
            row += 1
        return row

    def _end_of_text(self, line: Line) -> int:
        column = self.text_column(line)
        begun = False
        for row in range(line.number, len(self.rows)):
            raw = self.rows[row]
            if raw.strip(" \t"):
                if indent_of(raw) < column:
                    return row
                begun = True
            elif not begun or "\t" in raw[:column]:
                self.change({row: ""})
        return len(self.rows)

    def _enter(self, column: int, is_list: bool, line: Line) -> None:
        top = self.levels[-1] if self.levels else None
        if top and top.column == column and top.is_list == is_list:
            top.last = line
        else:
            self.levels.append(Level(column, is_list, line))


def _moved(old: str, new: str) -> tuple[int, int] | None:
    """From which column on, and by how many columns, a change moves the text behind it; None for other changes."""
    pairs = enumerate(zip(old, new, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))
    if old[same:].strip() and old[same:] in new[same:]:
        return same, new.index(old[same:], same) - same
    if new[same:].strip() and old.endswith(new[same:]):
        return same, len(new) - len(old)
    return None
