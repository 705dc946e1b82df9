"""What only a whole block shows: the same key twice, curly quotes kept in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Problems
from engine.language.slips.page import AS_WRITTEN, CONDITIONS, OF_ITEMS
from engine.language.words import normal_key, quoted, without_curly_quotes, write_value

_RANGE = re.compile(r"(at least|more than|at most|less than) (.+)", re.IGNORECASE)
_COMPARES = re.compile(
    r"(at least|more than|at most|less than|between|is|not|one of|ends with|starts with|contains|matches|exactly"
    r"|in list|within|older than|before|after|on|present|missing|changed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What kind of block it is: conditions, keys of the event (no words of ours), data of the author's own."""

    conditions: bool = False
    paths: bool = False
    data: bool = False

    def below(self, key: str) -> _Place:
        word = normal_key(key)
        if word in AS_WRITTEN:
            return _Place(data=True)
        if word.startswith(OF_ITEMS):
            return _Place(conditions=True, paths=True)
        return replace(self, conditions=True) if word in CONDITIONS else self


def check_blocks(node: Node, problems: Problems, place: _Place = _Place()) -> None:
    """Note what is wrong in this block and all blocks in it."""
    if isinstance(node, MappingNode):
        _twice(node, place, problems)
        for entry in node:
            _check_quotes(entry, problems)
            check_blocks(entry.value, problems, place.below(entry.key.text))
    elif isinstance(node, SequenceNode):
        for item in node:
            _check_quotes(item, problems)
            check_blocks(item, problems, place)


def _twice(block: MappingNode, place: _Place, problems: Problems) -> None:
    first: dict[str, Entry] = {}
    for entry in block:
        names = _sameness(entry.key, place)
        earlier = next((first[name] for name in names if name in first), None)
        first |= {name: entry for name in names if name not in first}
        if earlier is not None:
            remedy, hint = _remedy(earlier, entry, place)
            spelled = "" if earlier.key.text == entry.key.text else f' (as "{earlier.key.text}")'
            where = f"on line {earlier.key.mark.line} of this block{spelled}"
            name = entry.key.text if "." in entry.key.text else f'"{entry.key.text}"'
            message = f"{name} is already {where} and only one could count. {remedy}"
            problems.error(entry.key.mark, message, hint)


def _sameness(key: ScalarNode, place: _Place) -> tuple[str, ...]:
    """What makes two keys the same: their text, and for words of the language also any other spelling of it."""
    if place.data or place.paths or key.style != "plain" or "." in key.text or "$" in key.text:
        return (f"={key.text}",)
    return f"={key.text}", normal_key(key.text)


def _remedy(earlier: Entry, entry: Entry, place: _Place) -> tuple[str, str]:
    key = earlier.key.text
    if place.conditions and isinstance(earlier.value, ScalarNode) and isinstance(entry.value, ScalarNode):
        return _both(key, earlier.value.text, entry.value.text)
    if normal_key(key) in (*CONDITIONS, "then", "tests"):
        return "Put the lines of both into one", ""
    return "Take one of them out", ""


def _both(key: str, one: str, other: str) -> tuple[str, str]:
    """Two conditions on one field, written as one."""
    ranges = [_RANGE.fullmatch(one), _RANGE.fullmatch(other)]
    bounds: Mapping[str, str] = {found[1].casefold(): found[2] for found in ranges if found}
    if len(bounds) == 2:
        inner = ", ".join(f"{word}: {write_value(bound, inside=True)}" for word, bound in bounds.items())
        hint = f"{key}: {{{inner}}}"
        return f"For a range write `{hint}`", hint
    if any(_COMPARES.match(text) for text in (one, other)):
        return f"For a range write `{key}: {{at least: 100, less than: 500}}`", ""
    if one == other:
        return "Take one of them out", f"{key}: {write_value(one)}"
    hint = f"{key}: [{write_value(one, inside=True)}, {write_value(other, inside=True)}]"
    return f"For one or the other write `{hint}`", hint


def _check_quotes(where: Entry | Node, problems: Problems) -> None:
    node = where.value if isinstance(where, Entry) else where
    lead = f"{where.key.text}: " if isinstance(where, Entry) else "- "
    if not isinstance(node, ScalarNode) or node.style != "plain":
        return
    inner = without_curly_quotes(node.text)
    if inner is not None:
        message = "these curly quotes are a part of the text and will be shown with it. Type straight quotes"
        problems.warning(node.mark, message, f"{lead}{quoted(inner)}")
