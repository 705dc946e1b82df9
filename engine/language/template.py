"""Texts with `{{ }}` and `{% %}` in them: read and checked once, then filled in for each event.

The syntax is Jinja's. What a template may do is guarded (see `guard`): it reaches fields of the event and
nothing else, its work is bounded, and a value that cannot be filled in never costs the message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes

from engine.language.amount import Amount
from engine.language.node import ScalarNode
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.templates.code import SOFT, Code, Soft, Write
from engine.language.templates.expressions import Expressions
from engine.language.templates.faults import TemplateFault
from engine.language.templates.guard import MOST_SOURCE_LETTERS, check_tree
from engine.language.templates.reads import Read, reads_of
from engine.language.templates.run import BROKEN, HOLE, Evaluate, Run
from engine.language.templates.syntax import (
    Places,
    Source,
    Span,
    read_expression,
    read_template,
    single_braces,
)
from engine.language.templates.values import (
    PLAIN,
    Joined,
    Link,
    Missing,
    Target,
    TooMuch,
    ValueGap,
    amount_number,
    inserted,
)
from engine.model import Gap

__all__ = [
    "PLAIN",
    "Formula",
    "FormulaGap",
    "Read",
    "Target",
    "Template",
    "compile_formula",
    "compile_template",
]

_BLOCK_STYLES: Final = ("literal", "folded")


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A text ready to be filled in. `constant` says that it is the same for every event."""

    source: str
    mark: Mark
    reads: tuple[Read, ...]
    constant: bool
    _text: str
    _write: Write
    _single: Evaluate | None
    _where: tuple[int, str]
    _names: int
    _block: bool

    def render(self, scope: Scope, target: Target = PLAIN) -> tuple[str, tuple[Gap, ...]]:
        """The text for an event, `[?]` where a value could not be filled in, and the gaps; never raises."""
        if self.constant:
            return self._text, ()
        run = Run(scope, target, self._names)
        try:
            self._write(run)
        except TooMuch as stop:
            run.gap(stop.line or self._where[0], stop.words or self._where[1], stop.because)
            run.out.append(HOLE)
        text = _put_together(run.out)
        return text.rstrip("\n") if self._block else text, tuple(run.gaps.values())

    def value(self, scope: Scope, target: Target = PLAIN) -> tuple[Any, tuple[Gap, ...]]:
        """As `render`, but a text that is exactly one `{{ }}` keeps the type of its value.

        That is a number (`int` or `Decimal`), a truth value, None, a list or an object; None where there is a gap.
        """
        if self._single is None:
            return self.render(scope, target)
        run = Run(scope, target, self._names)
        try:
            return plain_value(self._single(run), target), ()
        except (ValueGap, TooMuch) as gap:
            because = gap.because
        except Exception:  # whatever Python refuses must not cost the rest of the request
            because = BROKEN
        return None, (Gap(*self._where, because),)


class FormulaGap(Exception):
    """A formula that has no answer for an event; `because` says why in plain words."""

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A single expression that a condition works out."""

    source: str
    mark: Mark
    reads: tuple[Read, ...]
    _evaluate: Evaluate
    _names: int

    def value(self, scope: Scope) -> object:
        """What it comes to: a truth value, number, text, list, object or None. Raises `FormulaGap`."""
        try:
            return plain_value(self._evaluate(Run(scope, PLAIN, self._names)), PLAIN)
        except (ValueGap, TooMuch) as gap:
            raise FormulaGap(gap.because) from None
        except Exception:  # whatever else Python refuses is a line that could not be told, never a crash
            raise FormulaGap(BROKEN) from None


def compile_template(node: ScalarNode, problems: Problems) -> Template | None:
    """Read a text with `{{ }}`; None, with the faults and their places noted, where it cannot be used."""
    if not any(sign in node.text for sign in ("{{", "{%", "{#")):
        _warn_of_single_braces(node, (), problems)
        return _constant(node)
    source = _read(node, problems, read_template)
    if source is None or not isinstance(source.tree, nodes.Template):
        return None
    _warn_of_single_braces(node, source.spans, problems)
    body = source.tree.body
    single = _only_value(body, node)
    code = Code(source)
    write = code.body(body)
    evaluate = None if single is None else code.expression(single)
    first = next(source.tree.find_all(nodes.Expr), source.tree)
    where = (source.mark(first).line, source.words(first))
    reads = reads_of(source, typed=single is not None)
    return Template(
        node.text,
        node.mark,
        reads,
        False,
        "",
        write,
        evaluate,
        where,
        code.count,
        node.style in _BLOCK_STYLES,
    )


def _warn_of_single_braces(node: ScalarNode, spans: Sequence[Span], problems: Problems) -> None:
    for place, field in single_braces(node.text, spans):
        mark = Places.of(node).mark(place)
        problems.warning(mark, "a field in single braces is printed as it stands", f"{{{{ {field} }}}}")


def _constant(node: ScalarNode) -> Template:
    text = node.text.rstrip("\n") if node.style in _BLOCK_STYLES else node.text
    return Template(
        node.text, node.mark, (), True, text, _write_nothing, None, (node.mark.line, ""), 0, False
    )


def _write_nothing(run: Run) -> None:
    return None


def _only_value(body: list[nodes.Node], node: ScalarNode) -> nodes.Node | None:
    """The value that is the whole text; a block text may end with a line break."""
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return None
    first, *rest = body[0].nodes
    breaks = node.style in _BLOCK_STYLES and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip("\n") for part in rest
    )
    return None if isinstance(first, nodes.TemplateData) or (rest and not breaks) else first


def _read(node: ScalarNode, problems: Problems, read: Callable[[ScalarNode], Source]) -> Source | None:
    """The checked syntax tree of a text, None (and the faults) where something in it is not allowed."""
    if len(node.text) > MOST_SOURCE_LETTERS:
        message = f"this text has {len(node.text):,} letters; a template has at most {MOST_SOURCE_LETTERS:,}"
        problems.error(node.mark, message)
        return None
    try:
        source = read(node)
    except TemplateFault as fault:
        problems.error(Places.of(node).mark(fault.place), fault.message, fault.hint)
        return None
    faults: list[nodes.Node] = []

    def note(at: nodes.Node, message: str, hint: str) -> None:
        faults.append(at)
        problems.error(source.mark(at), message, hint)

    check_tree(source.tree, note)
    return None if faults else source


def compile_formula(node: ScalarNode, problems: Problems) -> Formula | None:
    """Read the one expression of a `formula:`; None, with the faults noted, where it cannot be used."""
    if "{{" in node.text:
        problems.error(
            node.mark,
            "a formula is written without {{ }}",
            node.text.replace("{{", "").replace("}}", "").strip(),
        )
        return None
    source = _read(node, problems, read_expression)
    if source is None:
        return None
    code = Expressions(source.tree)
    evaluate = code.expression(source.tree)
    return Formula(node.text, node.mark, reads_of(source, typed=True), evaluate, code.count)


def plain_value(value: Any, target: Target) -> Any:
    """A worked-out value as plain JSON: amounts as numbers, links as their target writes them. Raises `ValueGap`."""
    if isinstance(value, str):
        return target.escape(value)
    if isinstance(value, Missing):
        raise ValueGap(value.because)
    if isinstance(value, Amount):
        return amount_number(value)
    if isinstance(value, Link | Joined):
        return inserted(value, target)
    if isinstance(value, list | tuple):
        return [plain_value(item, PLAIN) for item in value]
    return value


def _put_together(out: list[str | Soft]) -> str:
    """The written pieces as one text, without the lines on which only tags stood."""
    if SOFT not in out:
        return "".join(out)  # type: ignore[arg-type]
    kept: list[str] = []
    line: list[str] = []
    for piece in out:
        if not isinstance(piece, str):
            if any(part.strip() for part in line):
                kept += (*line, "\n")
            line = []
        elif "\n" in piece:
            above, _, rest = piece.rpartition("\n")
            kept += (*line, above, "\n")
            line = [rest]
        else:
            line.append(piece)
    return "".join((*kept, *line))
