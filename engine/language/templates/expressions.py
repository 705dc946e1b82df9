"""Turns the expressions of a checked syntax tree into functions that work out their values for an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from jinja2 import nodes

from engine.language.templates import operators
from engine.language.templates.filters import FILTERS
from engine.language.templates.lookup import Step, chain, from_root, from_value, name_of, path_text, stepped
from engine.language.templates.run import UNSET, Evaluate, Run, Use
from engine.language.templates.tests import TESTS
from engine.language.templates.values import (
    LOOP_FIELDS,
    MOST_VALUE_LETTERS,
    TOO_LONG,
    Missing,
    ValueGap,
    kind,
    truth,
)

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


class Expressions:
    """Compiles expressions. What `set` gives a name, and each loop's names, live in numbered places.

    `origins` are the expressions that a place gets its value from: an amount's owner is found through them.
    """

    def __init__(self, tree: nodes.Node) -> None:
        self.count = 0
        self.scopes: list[dict[str, int]] = [{}]
        self.origins: dict[int, list[nodes.Node]] = {}
        for assign in tree.find_all(nodes.Assign):
            if isinstance(assign.target, nodes.Name):
                self.place(assign.target.name, self.scopes[0])

    def place(self, name: str, scope: dict[str, int]) -> int:
        """The number of the place of a name in a scope, made if need be."""
        if name not in scope:
            scope[name] = self.count
            self.count += 1
        return scope[name]

    def place_of(self, name: str) -> int:
        """The number of the place that `set` writes to: the innermost of that name, else one for the whole text."""
        found = self._find(name)
        return self.place(name, self.scopes[0]) if found is None else found

    def _find(self, name: str) -> int | None:
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

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


def _nothing(run: Run) -> None:
    return None


_EXPRESSIONS: Final[dict[type[nodes.Node], Callable[[Expressions, Any], Evaluate]]] = {
    nodes.Name: Expressions._name,
    nodes.Getitem: Expressions._item,
    nodes.Const: Expressions._const,
    nodes.List: Expressions._list,
    nodes.Not: Expressions._sign,
    nodes.Neg: Expressions._sign,
    nodes.Pos: Expressions._sign,
    nodes.Concat: Expressions._concat,
    nodes.Compare: Expressions._compare,
    nodes.CondExpr: Expressions._choice,
    nodes.Filter: Expressions._filter,
    nodes.Test: Expressions._test,
}
