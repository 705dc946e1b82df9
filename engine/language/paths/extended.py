"""JSONPath beyond the standard: jsonpath-ng's grammar, as far as its extensions are offered, compiled to our walking."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

import jsonpath_ng as ng
import jsonpath_ng.ext.arithmetic as ng_arithmetic
import jsonpath_ng.ext.filter as ng_filter
import jsonpath_ng.ext.iterable as ng_iterable
import jsonpath_ng.ext.parser as ng_parser
import jsonpath_ng.ext.string as ng_string

from engine.language.paths.walking import (
    COMPARE,
    NOTHING,
    Comparing,
    Compiled,
    FilterUse,
    Refused,
    Step,
    Test,
    Walk,
    descend,
    every,
    is_number,
    run,
    select_all,
    select_each,
    select_index,
    select_name,
    select_slice,
    select_where,
    some,
    step_of,
)
from engine.language.pattern import Pattern, compile_pattern

_OFFERED: Final = "the extensions offered are `len`, `keys`, `sorted`, [\\field], =~ and &"
_ARITHMETIC: Final = "it calculates, which paths do not do here; use `formula` for that"
_REFUSED: Final[tuple[tuple[type, str], ...]] = (
    (ng_string.Sub, "`sub` is not offered; use a condition with `matches regex`"),
    (ng_string.Split, "`split` is not offered; use a condition with `contains` or `has part`"),
    (ng_arithmetic.Operation, _ARITHMETIC),
)


def compile_extended(text: str) -> Compiled:
    """Compile a path with the extensions of jsonpath-ng. Raises its errors, or `Refused` for what is not offered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # & and | are on their way out there, not here
        tree = ng_parser.ExtendedJsonPathParser().parse(text)
    return _ExtendedCompiler().path(tree)


class _ExtendedCompiler:
    """Turns one of jsonpath-ng's trees into steps."""

    def __init__(self) -> None:
        self._descents = 0
        self._length = 0
        self._filters: list[FilterUse] = []

    def path(self, tree: Any) -> Compiled:
        steps = self._steps(tree)
        return Compiled(steps, None, self._length, self._descents, self._filters)

    def _steps(self, tree: Any) -> list[Step]:
        match tree:
            case ng.Root():
                return [lambda values, walk: [walk.root]]
            case ng.This():
                return self._this(tree)
            case ng.Child():
                return self._steps(tree.left) + self._steps(tree.right)
            case ng.Descendants():
                self._descents += 1
                return [*self._steps(tree.left), descend, *self._steps(tree.right)]
            case ng.WhereNot() | ng.Where():
                return [*self._steps(tree.left), self._where(tree)]
            case _ if type(tree).__name__ == "_Union":
                raise Refused("it joins two paths with |; write each in a line of its own under `any:`")
            case _ if type(tree).__name__ == "_Intersect":
                raise Refused("a single & stands between two names; write && between two tests")
        self._length += 1
        return [self._step(tree)]

    def _this(self, tree: Any) -> list[Step]:
        """`@` itself, or one of the operators in back quotes that jsonpath-ng derives from it."""
        for kind, reason in _REFUSED:
            if isinstance(tree, kind):
                raise Refused(reason)
        if isinstance(tree, ng_iterable.SortedThis):
            self._length += 1
            return [_sorted(self._orders(tree))]
        if type(tree) is ng.This:
            return []
        raise Refused(f"{tree} is not offered; {_OFFERED}")

    def _step(self, tree: Any) -> Step:
        match tree:
            case ng.Fields():
                return step_of(select_each([select_name(name) for name in tree.fields]))
            case ng.Wildcard():
                return step_of(select_all)
            case ng.Index():
                return step_of(select_each([select_index(index) for index in tree.indices]))
            case ng.Slice():
                return step_of(select_slice(slice(tree.start, tree.end, tree.step)))
            case ng_filter.Filter():
                return self._filter(tree)
            case ng_iterable.Len():
                return lambda values, walk: [len(v) for v in values if isinstance(v, str | list | dict)]
            case ng_iterable.Keys():
                return lambda values, walk: [key for v in values if isinstance(v, dict) for key in v]
            case ng_arithmetic.Operation():
                raise Refused(_ARITHMETIC)
        raise Refused(f"{tree} is not offered; {_OFFERED}")

    def _where(self, tree: Any) -> Step:
        steps, wanted = self._steps(tree.right), not isinstance(tree, ng.WhereNot)
        return lambda values, walk: [v for v in values if bool(run(steps, v, walk)) is wanted]

    def _orders(self, tree: Any) -> list[tuple[list[Step], bool]]:
        return [(self._steps(path), reverse) for path, reverse in tree.expressions or ()]

    def _filter(self, tree: Any) -> Step:
        length, compares = self._length, list[Comparing]()
        test = every([self._test(expression, compares) for expression in tree.expressions])
        self._filters.append(FilterUse(None, tuple(compares)))
        self._length = length
        return step_of(select_where(test))

    def _test(self, tree: Any, compares: list[Comparing]) -> Test:
        match tree:
            case ng_filter.And():
                return every([self._test(operand, compares) for operand in tree.operands])
            case ng_filter.Or():
                return some([self._test(operand, compares) for operand in tree.operands])
            case ng_filter.Expression():
                return self._expression(tree, compares)
        raise Refused(f"{tree} is not offered in a filter; {_OFFERED}")

    def _expression(self, tree: Any, compares: list[Comparing]) -> Test:
        steps = self._steps(tree.target)
        if tree.op is None:
            return lambda node, walk: bool(run(steps, node, walk))
        if tree.op == "!":
            return lambda node, walk: not run(steps, node, walk)
        if tree.op == "=~":
            return _any_matches(steps, compile_pattern(str(tree.value)))
        return self._comparison(steps, tree, compares)

    def _comparison(self, steps: list[Step], tree: Any, compares: list[Comparing]) -> Test:
        compare = COMPARE["==" if tree.op == "=" else tree.op]
        wanted = self._operand(tree.value)
        if not isinstance(tree.value, ng.JSONPath):
            compares.append(Comparing(tuple(str(tree.target).split(".")), tree.op, tree.value))

        def test(node: object, walk: Walk) -> bool:
            found, others = run(steps, node, walk) or [NOTHING], wanted(node, walk) or [NOTHING]
            return any(compare(one, other) for one in found for other in others)

        return test

    def _operand(self, value: Any) -> Callable[[object, Walk], list[object]]:
        if isinstance(value, ng.JSONPath):
            steps = self._steps(value)
            return lambda node, walk: run(steps, node, walk)
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        return lambda node, walk: [exact]


def _any_matches(steps: list[Step], pattern: Pattern) -> Test:
    def test(node: object, walk: Walk) -> bool:
        texts = [found for found in run(steps, node, walk) if isinstance(found, str)]
        for text in texts:
            walk.spend_reading(text)
        return any(pattern.search(text) for text in texts)

    return test


def _sorted(orders: list[tuple[list[Step], bool]]) -> Step:
    """Each list in order, by the fields named or else by its items."""

    def ordered(items: list[object], walk: Walk) -> list[object]:
        walk.spend(len(items))
        for steps, reverse in reversed(orders or [([], False)]):
            ranked = [(_rank(run(steps, item, walk)), item) for item in items]
            items = [item for _, item in sorted(ranked, key=itemgetter(0), reverse=reverse)]
        return items

    return lambda values, walk: [
        ordered(list(select_all(value, walk)), walk) for value in values if isinstance(value, list | dict)
    ]


def _rank(found: list[object]) -> tuple[int, Any]:
    """A place in an order that any two values have: numbers, then texts, then the rest."""
    value = found[0] if len(found) == 1 else None
    if is_number(value):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, 0)
