"""Turns a checked syntax tree into functions that fill in a message, each value under its own guard.

Nothing here makes Python code out of a template: each part becomes a function over the event's data. A value
that cannot be worked out leaves `[?]` and a gap, and the rest of the message is still written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from jinja2 import nodes

from engine.language import template_operators as operators
from engine.language.filters import FILTERS
from engine.language.template_lookup import Step, chain, from_root, from_value, name_of, path_text, stepped
from engine.language.template_run import HOLE, UNSET, Evaluate, Run, Use
from engine.language.template_syntax import Source
from engine.language.template_tests import TESTS
from engine.language.template_values import (
    LOOP_FIELDS,
    MOST_VALUE_LETTERS,
    TOO_LONG,
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
BROKEN: Final = "it cannot be worked out"
"""The reason where Python itself refuses a value."""


class LeftOut:
    """The answer of a guard where a gap was noted."""


LEFT_OUT: Final = LeftOut()

_BINARY: Final[Mapping[type[nodes.Node], Callable[[object, object, operators.Names], object]]] = {
    nodes.Add: operators.plus,
    nodes.Sub: operators.minus,
    nodes.Mul: operators.times,
    nodes.Div: operators.divided,
    nodes.FloorDiv: operators.floor_divided,
    nodes.Mod: operators.remainder,
}
_COMPARE: Final[Mapping[str, operators.Compare]] = {
    "eq": operators.equal,
    "ne": operators.unequal,
    "lt": operators.less,
    "lteq": operators.at_most,
    "gt": operators.more,
    "gteq": operators.at_least,
    "in": operators.contained,
    "notin": operators.not_contained,
}


class Code:
    """Compiles one template. What `set` gives a name, and each loop's names, live in numbered places."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tagged = source.tagged_lines()
        self.count = 0
        self.scopes: list[dict[str, int]] = [{}]
        self.origins: dict[int, list[nodes.Node]] = {}
        for assign in source.tree.find_all(nodes.Assign):
            if isinstance(assign.target, nodes.Name):
                self._place(assign.target.name, self.scopes[0])

    # names

    def _place(self, name: str, scope: dict[str, int]) -> int:
        if name not in scope:
            scope[name] = self.count
            self.count += 1
        return scope[name]

    def _place_of(self, name: str) -> int:
        found = self._find(name)
        return self._place(name, self.scopes[0]) if found is None else found

    def _find(self, name: str) -> int | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

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
        place = self._place_of(target.name if isinstance(target, nodes.Name) else "")
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
        counter = self._place("loop", self.scopes[-1])
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
        places = [self._place(name.name, self.scopes[-1]) for name in names if isinstance(name, nodes.Name)]
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

    # values

    def expression(self, node: nodes.Node) -> Evaluate:
        """A function that works out the value of an expression."""
        start, steps = chain(node)
        if steps:
            return self._lookup(start, steps)
        if isinstance(node, nodes.BinExpr):
            return self._binary(node)
        return _EXPRESSIONS[type(node)](self, node)

    def _lookup(self, start: nodes.Node, steps: tuple[Step, ...]) -> Evaluate:
        if isinstance(start, nodes.Name):
            place = self._find(start.name)
            if place is not None:
                return self._lookup_set(start.name, place, steps)
            return from_root(start.name, (start.name, *steps))
        return from_value(self.expression(start), "", steps)

    def _lookup_set(self, name: str, place: int, steps: tuple[Step, ...]) -> Evaluate:
        if name == "loop" and isinstance(steps[0], str):
            asked = LOOP_FIELDS[steps[0]]
            loop: Evaluate = lambda run: asked(run.names[place])  # noqa: E731
            return from_value(loop, path_text(name, steps[:1]), steps[1:]) if steps[1:] else loop
        return from_value(self._name_set(name, place), name, steps)

    def _name(self, node: nodes.Name) -> Evaluate:
        place = self._find(node.name)
        return from_root(node.name, (node.name,)) if place is None else self._name_set(node.name, place)

    def _name_set(self, name: str, place: int) -> Evaluate:
        """A name that the template sets; until it has, the event's field of that name."""
        unset = from_root(name, (name,))

        def look(run: Run) -> Any:
            value = run.names[place]
            return unset(run) if value is UNSET else value

        return look

    def _item(self, node: nodes.Getitem) -> Evaluate:
        """A lookup whose step is itself a value, or a part of a list."""
        evaluate, name = self.expression(node.node), name_of(node.node)
        if isinstance(node.arg, nodes.Slice):
            return self._slice(evaluate, name, node.arg)
        step = self.expression(node.arg)

        def look(run: Run) -> Any:
            key = step(run)
            if isinstance(key, Missing):
                return key
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise ValueGap(f"{name or 'the value'}[…] takes a name or a number, and here is {kind(key)}")
            return stepped(evaluate(run), key, name)

        return look

    def _slice(self, evaluate: Evaluate, name: str, part: nodes.Slice) -> Evaluate:
        bounds = [
            None if bound is None else self.expression(bound) for bound in (part.start, part.stop, part.step)
        ]

        def look(run: Run) -> Any:
            value = evaluate(run)
            if value is None or isinstance(value, Missing):
                return value
            if not isinstance(value, str | list | tuple):
                raise ValueGap(f"{name or 'the value'} is {kind(value)}, which has no parts")
            places = [None if bound is None else bound(run) for bound in bounds]
            if not all(place is None or type(place) is int for place in places) or places[2] == 0:
                raise ValueGap("[:] takes whole numbers")
            run.spend_on(value)
            return value[slice(*places)]

        return look

    def _const(self, node: nodes.Const) -> Evaluate:
        value = Decimal(repr(node.value)) if isinstance(node.value, float) else node.value
        return lambda run: value

    def _list(self, node: nodes.List) -> Evaluate:
        items = [self.expression(item) for item in node.items]

        def build(run: Run) -> list[Any]:
            values = [item(run) for item in items]
            for value in values:
                if isinstance(value, Missing):
                    raise ValueGap(value.because)
                if isinstance(value, list | tuple | Mapping):
                    raise ValueGap(f"a list in a template holds plain values, and here is {kind(value)}")
            return values

        return build

    def _binary(self, node: nodes.BinExpr) -> Evaluate:
        left, right = self.expression(node.left), self.expression(node.right)
        names = (name_of(node.left), name_of(node.right))
        if isinstance(node, nodes.And):
            return lambda run: right(run) if truth(found := left(run)) else found
        if isinstance(node, nodes.Or):
            return lambda run: found if truth(found := left(run)) else right(run)
        calculate = _BINARY[type(node)]

        def work(run: Run) -> object:
            run.spend(1)
            return calculate(left(run), right(run), names)

        return work

    def _sign(self, node: nodes.UnaryExpr) -> Evaluate:
        evaluate, name = self.expression(node.node), name_of(node.node)
        if isinstance(node, nodes.Not):
            return lambda run: not truth(evaluate(run))
        turn = operators.negative if isinstance(node, nodes.Neg) else operators.positive
        return lambda run: turn(evaluate(run), name)

    def _concat(self, node: nodes.Concat) -> Evaluate:
        parts = [self.expression(part) for part in node.nodes]

        def put_together(run: Run) -> object:
            value = operators.joined([part(run) for part in parts])
            run.spend_on(value)
            return value

        return put_together

    def _compare(self, node: nodes.Compare) -> Evaluate:
        first = self.expression(node.expr)
        names = [name_of(node.expr), *(name_of(operand.expr) for operand in node.ops)]
        steps = [
            (_COMPARE[operand.op], self.expression(operand.expr), (names[place], names[place + 1]))
            for place, operand in enumerate(node.ops)
        ]

        def compare(run: Run) -> bool:
            left = first(run)
            for holds, operand, named in steps:
                right = operand(run)
                run.spend_on(right)
                if not holds(left, right, named, run.scope.shop.timezone):
                    return False
                left = right
            return True

        return compare

    def _choice(self, node: nodes.CondExpr) -> Evaluate:
        test, one = self.expression(node.test), self.expression(node.expr1)
        other: Evaluate = _nothing if node.expr2 is None else self.expression(node.expr2)
        return lambda run: one(run) if truth(test(run)) else other(run)

    def _filter(self, node: nodes.Filter) -> Evaluate:
        helper = FILTERS[node.name]
        assert node.node is not None  # noqa: S101
        evaluate, name = self.expression(node.node), name_of(node.node)
        arguments, keywords = self._arguments(node)
        owners = tuple(self.owners(node.node)) if node.name in _USING_OWNERS else ()
        call, takes_missing = helper.call, helper.takes_missing

        def work(run: Run) -> Any:
            value = evaluate(run)
            if type(value) is Missing and not takes_missing:
                return value
            run.spend_on(value)
            given = [argument(run) for argument in arguments]
            named = {key: argument(run) for key, argument in keywords}
            result = call(Use(run, name, owners), value, *given, **named)
            if type(result) is str and len(result) > MOST_VALUE_LETTERS:
                raise ValueGap(TOO_LONG)
            return result

        return work

    def _test(self, node: nodes.Test) -> Evaluate:
        call = TESTS[node.name].call
        evaluate, name = self.expression(node.node), name_of(node.node)
        arguments, keywords = self._arguments(node)

        def work(run: Run) -> Any:
            given = [argument(run) for argument in arguments]
            named = {key: argument(run) for key, argument in keywords}
            return call(Use(run, name, ()), evaluate(run), *given, **named)

        return work

    def _arguments(
        self, node: nodes.Filter | nodes.Test
    ) -> tuple[list[Evaluate], list[tuple[str, Evaluate]]]:
        keywords = [(str(pair.key), self.expression(pair.value)) for pair in node.kwargs]
        return [self.expression(argument) for argument in node.args], keywords

    def owners(self, node: nodes.Node) -> list[Evaluate]:
        """Functions that find the objects which a value belongs to, the nearest first."""
        found: list[Evaluate] = []
        for owner in self._owner_nodes(node, set()):
            if len(found) < _MOST_OWNERS:
                found.append(self.expression(owner))
        return found

    def _owner_nodes(self, node: nodes.Node, seen: set[int]) -> Iterator[nodes.Node]:
        start, steps = chain(node)
        while steps:
            node = node.node  # type: ignore[attr-defined]
            steps = steps[:-1]
            yield node
        if isinstance(start, nodes.Name):
            place = self._find(start.name)
            if place is not None and place not in seen:
                for origin in self.origins.get(place, ()):
                    yield from self._owner_nodes(origin, seen | {place})
        elif isinstance(
            start, nodes.Filter | nodes.UnaryExpr | nodes.BinExpr | nodes.CondExpr | nodes.Concat
        ):
            for child in start.iter_child_nodes(only=("node", "left", "right", "expr1", "expr2", "nodes")):
                yield from self._owner_nodes(child, seen)


_MOST_OWNERS: Final = 8
_USING_OWNERS: Final = ("money", "map")


def _price(parts: Sequence[nodes.Node]) -> int:
    """What one turn of a loop over these parts costs."""
    return 1 + sum(1 for part in parts for _ in part.find_all(nodes.Expr)) // _NODES_A_STEP


def _nothing(run: Run) -> None:
    return None


_EXPRESSIONS: Final[dict[type[nodes.Node], Callable[[Code, Any], Evaluate]]] = {
    nodes.Name: Code._name,
    nodes.Getitem: Code._item,
    nodes.Const: Code._const,
    nodes.List: Code._list,
    nodes.Not: Code._sign,
    nodes.Neg: Code._sign,
    nodes.Pos: Code._sign,
    nodes.Concat: Code._concat,
    nodes.Compare: Code._compare,
    nodes.CondExpr: Code._choice,
    nodes.Filter: Code._filter,
    nodes.Test: Code._test,
}
