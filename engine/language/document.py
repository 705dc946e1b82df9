"""A rule file's text becomes nodes with their places; whatever keeps it from being read becomes a problem.

The YAML parser only tells where things stand; what they mean stays the author's text, so `01234`, `NO` and
`22:00` arrive as they were typed. Anchors, aliases, tags and several documents are refused while the parser's
events go by, and size, depth and number of values are bounded there, so that no text can cost much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, cast

import yaml

from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode, Style
from engine.language.problem import Mark, Problems
from engine.language.slips.blocks import check_blocks
from engine.language.slips.lines import indent_of
from engine.language.slips.mend import MOST_SLIPS, mend
from engine.language.slips.page import Page
from engine.language.words import quoted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000
MOST_TOLD = 100
"""So many faults of one file are told at most."""

_SAVE = "Save it as UTF-8: in most editors with Save as, Encoding: UTF-8"
_UNREADABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NO_BLANK = re.compile(r"(?P<key>[A-Za-z][^:\[\]]*):(?P<value>[^\s:/].*)", re.DOTALL)
_SIGN_IN_LIST = re.compile(r"[@`%*&!>|][^,\[\]{}\n]*")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060]")
_BYTES_AS_TEXT = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_STYLES: dict[str | None, Style] = {"'": "single", '"': "double", "|": "literal", ">": "folded"}


def read_document(
    text: str | bytes, problems: Problems, example: str = "name: Big order"
) -> MappingNode | None:
    """The one YAML document of a file, as nodes with places; faults go to `problems`.

    After a fault the rest is still read as it was probably meant, so that further faults can be told; whether
    the file may be used is what `problems.broken` says. None where nothing can be read. `example` is a line
    that such a file may begin with, shown where it holds no setting.
    """
    source = read_source(text, problems)
    if source is None:
        return None
    node = _build(mend(source, problems), problems)
    if isinstance(node, MappingNode):
        check_blocks(node, problems)
    elif not problems.broken:
        _not_a_block(node, problems, example)
    del problems.found[MOST_TOLD:]
    return node if isinstance(node, MappingNode) else None


def read_source(text: str | bytes, problems: Problems) -> str | None:
    """The text of a file with `\\n` at the end of its lines, or None (and a problem) where it is no readable text.

    A text may hold bytes that could not be decoded as Python keeps them (`surrogateescape`).
    """
    if len(text) > MAX_BYTES:
        size, most = len(text) // 1024 + 1, MAX_BYTES // 1024
        problems.error(Mark(1, 1), f"this file has {size} kB; a file of more than {most} kB is not read")
        return None
    if isinstance(text, str) and _BYTES_AS_TEXT.search(text):
        text = _bytes_of(text)
    source = _decode(text, problems) if isinstance(text, bytes) else text
    if source is None:
        return None
    source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return None if _unreadable(source, problems) else source


def _bytes_of(text: str) -> str | bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text  # other letters that are none are told with their place


def _decode(data: bytes, problems: Problems) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        problems.error(Mark(1, 1), f'this file is saved as UTF-16 ("Unicode"). {_SAVE}')
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        mark = _mark_at(before, len(before))
        letters = before.split()[-1][-20:].strip("\"'") if before[-1:].strip() else ""
        after = f' after "{letters}"' if letters else ""
        problems.error(mark, f"this file is not saved as UTF-8: the letter{after} cannot be read. {_SAVE}")
        return None


def _unreadable(source: str, problems: Problems) -> bool:
    found = _UNREADABLE.search(source)
    if found is None:
        return False
    code = f"U+{ord(found[0]):04X}"
    problems.error(
        _mark_at(source, found.start()), f"there is an invisible character here ({code}). Delete it", ""
    )
    return True


def _mark_at(source: str, offset: int) -> Mark:
    return Mark(source.count("\n", 0, offset) + 1, offset - source.rfind("\n", 0, offset))


def _not_a_block(node: Node | None, problems: Problems, example: str) -> None:
    mark = node.mark if node is not None else Mark(1, 1)
    if node is None or (isinstance(node, ScalarNode) and node.empty):
        mark, message = Mark(1, 1), "this file is empty: there is no setting in it"
    elif isinstance(node, SequenceNode):
        setting = f" such as `{example.partition(':')[0]}:`" if example else ""
        message = f"this file is a list. Settings{setting} begin a line without a dash"
    else:
        message = "this file is only a text, without any setting"
    problems.error(mark, message, example)


@dataclass(slots=True)
class _Open:
    """A block or list whose end has not come yet; a block's nodes are key, value, key, value.

    `at` is its place in the mended rows, which differs from that in the file where a slip was mended.
    """

    at: Mark
    is_block: bool
    nodes: list[Node] = field(default_factory=list)


def _mark(place: Any) -> Mark:
    """A place as the parser counts it (from 0) as a place that people count (from 1)."""
    return Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)


class _Stop(Exception):
    """Reading further makes no sense; why is among the problems."""


class _Builder:
    """Takes the parser's events one by one and keeps to the bounds."""

    def __init__(self, page: Page, problems: Problems) -> None:
        self.page = page
        self.problems = problems
        self.open: list[_Open] = []
        self.root: Node | None = None
        self.count = 0

    def take(self, event: yaml.Event) -> None:
        at = _mark(event.start_mark)
        if isinstance(event, yaml.NodeEvent):
            self._bounds(at)
            self._only_values(event, at)
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event, at))
        elif isinstance(event, yaml.AliasEvent):
            self._put(ScalarNode("", self.page.original(at)))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self.open.append(_Open(at, isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._put(self._closed(self.open.pop()))
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._stop(at, "a second document begins here. Put it into a file of its own")

    def _bounds(self, at: Mark) -> None:
        if len(self.problems.found) >= MOST_TOLD:
            raise _Stop
        self.count += 1
        if self.count > MAX_NODES:
            self._stop(at, f"this file has more than {MAX_NODES:,} values; the rest is not read")
        if len(self.open) > MAX_DEPTH:
            self._stop(at, f"blocks stand in one another more than {MAX_DEPTH} deep here")

    def _stop(self, at: Mark, message: str) -> NoReturn:
        self.problems.error(self.page.original(at), message)
        raise _Stop

    def _only_values(self, event: yaml.NodeEvent, at: Mark) -> None:
        """Refuse what makes a value stand in two places or be of a type: anchors, aliases and tags."""
        if event.anchor or getattr(event, "tag", None):
            row = self.page.rows[at.line - 1]
            message = f'"{row[at.column - 1]}" at the start of a value has a special meaning in YAML. Quote the value'
            self.problems.error(self.page.original(at), message, _with_quotes(row, at.column - 1).strip())

    def _put(self, node: Node) -> None:
        if self.open:
            self.open[-1].nodes.append(node)
        else:
            self.root = node

    def _closed(self, block: _Open) -> Node:
        if not block.is_block:
            return SequenceNode(tuple(block.nodes), self.page.original(block.at))
        pairs = zip(block.nodes[::2], block.nodes[1::2], strict=True)
        entries = (self._entry(key, value) for key, value in pairs)
        return MappingNode(tuple(entry for entry in entries if entry), self.page.original(block.at))

    def _entry(self, key: Node, value: Node) -> Entry | None:
        if not isinstance(key, ScalarNode):
            self.problems.error(key.mark, "a name is wanted before the colon, and this is a list or a block")
            return None
        if key.style == "plain" and _INVISIBLE.search(key.text):
            key = self._cleaned(key)
        empty = isinstance(value, ScalarNode) and value.style == "plain" and not value.text
        found = _NO_BLANK.fullmatch(key.text) if empty and key.style == "plain" else None
        return self._parted(key, found) if found else Entry(key, value)

    def _cleaned(self, key: ScalarNode) -> ScalarNode:
        """A key without the letters that nobody can see, which are told."""
        found, clean = _INVISIBLE.findall(key.text)[0], _INVISIBLE.sub("", key.text)
        message = f'there is an invisible letter (U+{ord(found):04X}) in "{clean}". Type it again'
        self.problems.error(key.mark, message, f"{clean}:")
        return replace(key, text=clean)

    def _parted(self, key: ScalarNode, found: re.Match[str]) -> Entry:
        """The entry that `{at most:5}` was meant to be, which YAML takes for one key without a value."""
        mark = replace(key.mark, column=key.mark.column + found.start("value"))
        mended = self.page.rows[mark.line - 1].replace(found[0], f"{found['key']}: {found['value']}", 1)
        self.problems.error(mark, f'a space is missing after "{found["key"]}:"', mended.strip())
        return Entry(ScalarNode(found["key"], key.mark), ScalarNode(found["value"], mark))

    def _scalar(self, event: yaml.ScalarEvent, at: Mark) -> ScalarNode:
        style = _STYLES.get(event.style, "plain")
        mark = self.page.original(at)
        if style == "double" and _CONTROL.search(event.value):
            self.problems.error(mark, "a control character is written in this text; no message can hold one")
        content = self.page.original(self._content(at)) if style in ("literal", "folded") else None
        return ScalarNode(event.value, mark, style, content)

    def _content(self, at: Mark) -> Mark:
        """Where a block text begins: the line after its `|`, at the column that its first letters stand in."""
        explicit = re.search("[1-9]", self.page.rows[at.line - 1][at.column - 1 :].split("#")[0])
        if explicit:
            floor = self.open[-1].at.column if self.open else 1
            return Mark(at.line + 1, floor + int(explicit[0]))
        rows = range(at.line, len(self.page.rows))
        column = next((indent_of(self.page.rows[row]) for row in rows if self.page.rows[row].strip(" ")), 0)
        return Mark(at.line + 1, column + 1)


def _build(page: Page, problems: Problems) -> Node | None:
    """The root node of a text; a sign inside a `[ ]` or `{ }` list that stops the parser is quoted and told."""
    for _ in range(MOST_SLIPS):
        builder = _Builder(page, Problems(problems.file))
        try:
            for event in cast(
                "Iterable[yaml.Event]", yaml.parse("\n".join(page.rows), Loader=yaml.CSafeLoader)
            ):
                builder.take(event)
        except yaml.MarkedYAMLError as error:
            if _sign_inside(page, _mark(error.problem_mark), problems):
                continue
            _unread(_mark(error.problem_mark), error.problem, page.rows, problems)
            return None
        except _Stop:
            builder.root = None
        problems.found += builder.problems.found
        return builder.root
    return None


def _sign_inside(page: Page, mark: Mark, problems: Problems) -> bool:
    """Put a value in quotes whose first sign stopped the parser, and tell it; False where that was not the cause."""
    row = page.rows[mark.line - 1] if mark.line <= len(page.rows) else ""
    places = (at for at in (mark.column - 1, mark.column - 2) if at >= 0 and _SIGN_IN_LIST.match(row, at))
    place = next(places, None)
    if place is None:
        return False
    mended = _with_quotes(row, place)
    message = f'"{row[place]}" at the start of a value has a special meaning in YAML. Quote the value'
    problems.error(page.original(Mark(mark.line, place + 1)), message, mended.strip())
    page.change({mark.line - 1: mended})
    return True


def _with_quotes(row: str, place: int) -> str:
    """A line with the value that begins with a sign at this place in quotes."""
    found = _SIGN_IN_LIST.match(row, place)
    return f"{row[:place]}{quoted(found[0].rstrip())}{row[found.end() :]}" if found else row


def _unread(mark: Mark, cause: str | None, lines: Sequence[str], problems: Problems) -> None:
    """Tell a fault of which only the place is known, unless it may come from one that was told already."""
    if problems.broken:
        return
    while mark.line > 1 and (mark.line > len(lines) or not lines[mark.line - 1].strip()):
        mark = Mark(mark.line - 1, len(lines[mark.line - 2]) + 1)
    message = "this line cannot be read: it does not fit what stands before it. Look for a quote or bracket left open"
    if cause == "found unknown escape character":
        message = "YAML does not know this sign after a backslash. Double the backslash"
    elif re.search(r"[\[{]", lines[mark.line - 1]):
        message = "the list in [ ] or { } cannot be read here: commas stand between its values, and signs need quotes"
    problems.error(mark, message)
