"""What stands in a YAML file: texts, blocks and lists, each with its place and as its author wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.language.problem import Mark

Style = Literal["plain", "single", "double", "literal", "folded"]


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value: the author's text, before anybody gives it a type.

    `style` tells plain (unquoted) text from quoted and block text. `content` is the place of the first
    letter of a block text (the line after `|`), None for the others, whose text starts at `mark`.
    """

    text: str
    mark: Mark
    style: Style = "plain"
    content: Mark | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was written: no text, `~` or `null` without quotes."""
        return self.style == "plain" and self.text in ("", "~", "null", "Null", "NULL")

    @property
    def truth(self) -> bool | None:
        """True or False for a truth word (true, yes, on / false, no, off) written without quotes, else None."""
        if self.style != "plain":
            return None
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            self.text.casefold()
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a block."""

    key: ScalarNode
    value: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A block of `key: value` lines, in the order they were written."""

    entries: tuple[Entry, ...]
    mark: Mark

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list of values."""

    items: tuple[Node, ...]
    mark: Mark

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)


Node: TypeAlias = ScalarNode | MappingNode | SequenceNode
