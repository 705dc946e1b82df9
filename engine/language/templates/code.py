"""Turns a checked syntax tree into functions that fill in a message, each value under its own guard.

Nothing here makes Python code out of a template: each part becomes a function over the event's data. A value
that cannot be worked out leaves `[?]` and a gap, and the rest of the message is still written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import nodes

from engine.language.templates.expressions import Expressions
from engine.language.templates.lookup import name_of
from engine.language.templates.run import BROKEN, HOLE, Evaluate, Run
from engine.language.templates.syntax import Source
from engine.language.templates.values import (
    Loop,
    Missing,
    TooMuch,
    ValueGap,
    inserted,
    kind,
    truth,
)

Write = Callable[[Run], None]
"""A compiled part of a message: writes itself."""


class Soft:
    """The end of a line on which a tag stands: it goes with the line if nothing else is on it."""


SOFT: Final = Soft()

_NODES_A_STEP: Final = 4


class LeftOut:
    """The answer of a guard where a gap was noted."""


LEFT_OUT: Final = LeftOut()


class Code(Expressions):
    """Compiles one template: `body` makes the function that writes it."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.tree)
        self.source = source
        self.tagged = source.tagged_lines()

    # messages

    def body(self, parts: Sequence[nodes.Node]) -> Write:
        """A function that writes the parts one after the other."""
        pieces: list[str | Soft | Write] = []
        for part in parts:
            if isinstance(part, nodes.Output):
                for child in part.nodes:
                    self._output(child, pieces)
            else:
                pieces.append(self._statement(part))
        fixed = sum(len(piece) if isinstance(piece, str) else 1 for piece in pieces)
        kept = tuple(pieces)

        def write(run: Run) -> None:
            run.grow(fixed)
            out = run.out
            for piece in kept:
                if type(piece) is str or piece is SOFT:
                    out.append(piece)
                else:
                    piece(run)  # type: ignore[operator]

        return write

    def _output(self, node: nodes.Node, pieces: list[str | Soft | Write]) -> None:
        if isinstance(node, nodes.TemplateData):
            pieces.extend(self._lines(node))
        else:
            pieces.append(self._insert(node))

    def _lines(self, node: nodes.TemplateData) -> list[str | Soft]:
        """The author's text without the lines of tags alone, cut where another line ends that holds a tag."""
        pieces: list[str | Soft] = []
        first = self.source.text.count("\n", 0, node.lineno)
        *lines, rest = node.data.split("\n")
        text = ""
        for line, part in enumerate(lines, first):
            only_tags = self.tagged.get(line)
            if only_tags is None:
                text += f"{part}\n"
            elif not only_tags:
                pieces.extend((text + part, SOFT) if text + part else (SOFT,))
                text = ""
        if not self.tagged.get(first + len(lines)):
            text += rest
        return [*pieces, text] if text else pieces

    def _insert(self, node: nodes.Node) -> Write:
        """A function that writes one `{{ }}`, or a hole and the reason."""
        evaluate = self.expression(node)
        line, words = self.source.mark(node).line, self.source.words(node)

        def write(run: Run) -> None:
            try:
                value = evaluate(run)
                text = run.target.escape(value) if type(value) is str else inserted(value, run.target)
                run.letters -= len(text)
                if run.letters < 0:
                    run.grow(0)
                run.out.append(text)
            except ValueGap as gap:
                run.gap(line, words, gap.because)
                run.out.append(HOLE)
            except TooMuch as stop:
                stop.at(line, words)
                raise
            except Exception:
                # Whatever else Python refuses (a digit too many) must not cost the shop its message.
                run.gap(line, words, BROKEN)
                run.out.append(HOLE)

        return write

    # statements

    def _statement(self, node: nodes.Node) -> Write:
        if isinstance(node, nodes.If):
            return self._if(node)
        if isinstance(node, nodes.For):
            return self._for(node)
        if isinstance(node, nodes.Assign):
            return self._set(node)
        raise TypeError(f"{type(node).__name__} should have been refused")

    def _guarded(self, node: nodes.Node) -> Callable[[Run, Evaluate], Any]:
        """A guard for what decides about a block: its value, or `LEFT_OUT` with the gap noted."""
        line, words = self.source.mark(node).line, self.source.words(node)

        def guard(run: Run, evaluate: Evaluate) -> Any:
            try:
                return evaluate(run)
            except ValueGap as gap:
                run.gap(line, words, gap.because)
            except TooMuch as stop:
                stop.at(line, words)
                raise
            except Exception:  # as in a value: the rest of the message is worth more
                run.gap(line, words, BROKEN)
            return LEFT_OUT

        return guard

    def _if(self, node: nodes.If) -> Write:
        arms = [
            (self._guarded(arm.test), self.expression(arm.test), self.body(arm.body))
            for arm in (node, *node.elif_)
        ]
        otherwise = self.body(node.else_)

        def write(run: Run) -> None:
            for guard, test, body in arms:
                found = guard(run, test)
                if found is LEFT_OUT:
                    return
                if truth(found):
                    body(run)
                    return
            otherwise(run)

        return write

    def _set(self, node: nodes.Assign) -> Write:
        evaluate = self.expression(node.node)
        line, words = self.source.mark(node).line, self.source.words(node)
        target = node.target
        place = self.place_of(target.name if isinstance(target, nodes.Name) else "")
        self.origins.setdefault(place, []).append(node.node)

        def write(run: Run) -> None:
            try:
                run.names[place] = evaluate(run)
            except ValueGap as gap:
                run.names[place] = Missing(gap.because)
            except TooMuch as stop:
                stop.at(line, words)
                raise
            except Exception:  # the gap is told where the name is used
                run.names[place] = Missing(BROKEN)

        return write

    def _for(self, node: nodes.For) -> Write:
        guard = self._guarded(node.iter)
        line, words = self.source.mark(node.iter).line, self.source.words(node.iter)
        listed = self._listed(node)
        self.scopes.append({})
        bind = self._binding(node)
        chosen = self._chosen(node, listed, bind)
        counter = self.place("loop", self.scopes[-1])
        body = self.body(node.body)
        self.scopes.pop()
        otherwise = self.body(node.else_)
        price = _price(node.body)

        def turns(run: Run, items: Sequence[object]) -> None:
            loop = Loop(items)
            for loop.place, item in enumerate(items):
                run.spend(price)
                run.names[counter] = loop
                bind(run, item)
                body(run)

        def write(run: Run) -> None:
            items = guard(run, chosen)
            if items is LEFT_OUT:
                return
            try:
                turns(run, items)
            except TooMuch as stop:
                stop.at(line, words)
                raise
            if not items:
                otherwise(run)

        return write

    def _listed(self, node: nodes.For) -> Evaluate:
        """A function that finds the items of a loop: a list's, an object's names, none for null."""
        evaluate, name = self.expression(node.iter), name_of(node.iter)
        width = len(node.target.items) if isinstance(node.target, nodes.Tuple) else 0

        def listed(run: Run) -> Sequence[object]:
            value = evaluate(run)
            if isinstance(value, Missing):
                raise ValueGap(value.because)
            if value is None or isinstance(value, Mapping):
                value = list(value or ())
            if not isinstance(value, list | tuple):
                raise ValueGap(f"{name or 'the value'} is {kind(value)}, and a loop needs a list")
            if width and not all(isinstance(item, list | tuple) and len(item) == width for item in value):
                raise ValueGap(f"{name or 'the list'} has no items of {width} values each")
            return value

        return listed

    def _binding(self, node: nodes.For) -> Callable[[Run, Any], None]:
        """A function that gives the names of a loop their values."""
        names = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        places = [self.place(name.name, self.scopes[-1]) for name in names if isinstance(name, nodes.Name)]
        for place in places:
            self.origins[place] = [node.iter]
        one = places[0]

        def bind(run: Run, item: Any) -> None:
            run.names[one] = item

        def unpack(run: Run, item: Any) -> None:
            for place, part in zip(places, item, strict=True):
                run.names[place] = part

        return unpack if isinstance(node.target, nodes.Tuple) else bind

    def _chosen(self, node: nodes.For, listed: Evaluate, bind: Callable[[Run, Any], None]) -> Evaluate:
        """The items for which the loop's own `if` holds."""
        if node.test is None:
            return listed
        test, price = self.expression(node.test), _price([node.test])

        def holds(run: Run, item: object) -> bool:
            run.spend(price)
            bind(run, item)
            return truth(test(run))

        def chosen(run: Run) -> list[object]:
            return [item for item in listed(run) if holds(run, item)]

        return chosen


def _price(parts: Sequence[nodes.Node]) -> int:
    """What one turn of a loop over these parts costs."""
    return 1 + sum(1 for part in parts for _ in part.find_all(nodes.Expr)) // _NODES_A_STEP
