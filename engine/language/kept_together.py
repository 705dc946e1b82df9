"""What messages are kept together by: a field of the event, such as the number of an order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from engine.language.fields import FieldValue, Filled, ScalarField
from engine.language.node import ScalarNode
from engine.language.path import PathError, parse_path
from engine.language.plain import cut, one_line, printable
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template
from engine.model import Gap

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Together(FieldValue):
    """A field by whose value messages are kept together; filled in as its name and value (`order.number R1`)."""

    path: str
    template: Template

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The name and the value; empty, with a gap, where the event has none."""
        text, gaps = self.template.render(scope)
        value = cut(one_line(printable(text)), _LONGEST)
        if gaps or not value:
            return "", gaps or (Gap(self.mark.line, self.path, "it is empty"),)
        return f"{self.path} {value}", ()

    def templates(self) -> tuple[Template, ...]:
        """The one that reads the field."""
        return (self.template,)


@dataclass(frozen=True, slots=True)
class KeptTogether(ScalarField):
    """A field of the event, without braces around it."""

    kind: ClassVar[str] = "field of the event"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take the path of a field."""
        path = node.text.strip().removeprefix("{{").removesuffix("}}").strip().removeprefix("$.")
        try:
            steps = parse_path(path).steps
        except PathError as error:
            self.fault(node, problems, f"{self.name}: {error.message}")
            return None
        if not steps or not all(isinstance(step, str) for step in steps):
            self.fault(node, problems, f"{self.name} takes one field of the event, such as order.number")
            return None
        # The place is moved so that a fault of the field, which stands behind `{{ `, is told at its own letters.
        moved = Mark(node.mark.line, max(1, node.mark.column - len("{{ ")))
        template = compile_template(
            replace(node, text=f"{{{{ {path} }}}}", style="plain", mark=moved), problems
        )
        return Together(node.mark, path, template) if template else None

    def shape(self) -> dict[str, Any]:
        """A text."""
        return {"type": "string"}
