"""A YAML structure as data: the shape is its author's, and values only fill its leaves, so none can change it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from engine.language.fields import Field, FieldValue, Filled, Fixed, Named
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Leaf(FieldValue):
    """A text in a structure. One that is exactly one `{{ }}` keeps the value's type, unless `text` is wanted."""

    template: Template
    text: bool

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The text or the value; the texts inside a list or a table are made safe for the target, too."""
        value, gaps = self.template.value(scope, target)
        if isinstance(value, list | Mapping):
            return _safe(value, target), gaps
        return self.template.render(scope, target) if self.text else (value, gaps)

    def templates(self) -> tuple[Template, ...]:
        """The one template."""
        return (self.template,)


def _safe(value: Any, target: Target) -> Any:
    if isinstance(value, str):
        return target.escape(value)
    if isinstance(value, Mapping):
        return {name: _safe(one, target) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(one, target) for one in value]
    return value


@dataclass(frozen=True, slots=True)
class Bare(FieldValue):
    """A part that no person reads as text (an address, an id): values go in as they are."""

    part: FieldValue

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The part, not made safe for the target."""
        return self.part.render(scope, PLAIN)

    def templates(self) -> tuple[Template, ...]:
        """Those of the part."""
        return self.part.templates()


@dataclass(frozen=True, slots=True)
class Items(FieldValue):
    """A list in a structure."""

    parts: tuple[FieldValue, ...]

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """A list of the parts."""
        filled = [part.render(scope, target) for part in self.parts]
        return [value for value, _ in filled], tuple(gap for _, gaps in filled for gap in gaps)

    def templates(self) -> tuple[Template, ...]:
        """Those of every part."""
        return tuple(template for part in self.parts for template in part.templates())


@dataclass(frozen=True, slots=True)
class Structure(Field):
    """Data of any shape. Quoted texts are texts; `5`, `1.50`, `true`, `false` and `null` without quotes are typed.

    With `texts`, what a value fills is always a text. The parts named in `bare` are not read by people.
    """

    texts: bool = False
    bare: frozenset[str] = frozenset()
    kind: ClassVar[str] = "structure"

    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read the structure; None if any part of it cannot be used."""
        before = len(problems.found)
        value = self._part(node, problems)
        faulty = any(problem.severity == "error" for problem in problems.found[before:])
        return None if faulty else value

    def _part(self, node: Node, problems: Problems) -> FieldValue | None:
        if isinstance(node, ScalarNode):
            return self._leaf(node, problems)
        if isinstance(node, SequenceNode):
            parts = [self._part(item, problems) for item in node]
            return Items(node.mark, tuple(part for part in parts if part))
        return self._table(node, problems)

    def _table(self, node: MappingNode, problems: Problems) -> FieldValue:
        parts = [(entry.key.text, self._entry(entry, problems)) for entry in node]
        return Named(node.mark, tuple((name, part) for name, part in parts if part))

    def _entry(self, entry: Entry, problems: Problems) -> FieldValue | None:
        name = entry.key.text
        if "{{" in name or "{%" in name:
            problems.error(entry.key.mark, "a name in a structure cannot come from the event: write it out")
        part = self._part(entry.value, problems)
        return Bare(part.mark, part) if part and name in self.bare else part

    def _leaf(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        if node.style == "plain":
            typed = _typed(node.text)
            if node.empty or typed is not None:
                return Fixed(node.mark, typed)
        template = compile_template(node, problems)
        return Leaf(node.mark, template, self.texts) if template else None

    def shape(self) -> dict[str, Any]:
        """An object or a list."""
        return {"type": ["object", "array", "string"]}


def _typed(text: str) -> bool | int | Decimal | None:
    """The number or truth value that a text without quotes stands for, None for a text."""
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    if not _NUMBER.fullmatch(text):
        return None
    return Decimal(text) if "." in text else int(text)
