"""JSONPath compiled to plain functions: what two libraries parse, walked by one evaluator that is exact and bounded.

The standard's grammar (RFC 9535) is python-jsonpath's in strict mode, the known extensions' is jsonpath-ng's.
Only their trees are used: walking is done here, since theirs compare numbers as floats, run payload patterns
through a backtracking engine, and have no bound on their work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeGuard

import jsonpath
import jsonpath.filter as rfc
import jsonpath_ng as ng
import jsonpath_ng.ext.arithmetic as ng_arithmetic
import jsonpath_ng.ext.filter as ng_filter
import jsonpath_ng.ext.iterable as ng_iterable
import jsonpath_ng.ext.parser as ng_parser
import jsonpath_ng.ext.string as ng_string
from jsonpath import selectors as rfc_selectors
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.stream import TokenStream

from engine.language.pattern import Pattern, PatternError, compile_iregexp, compile_pattern

MOST_WORK: Final = 250_000
"""How many values one lookup may pass; the largest event accepted has 20,000."""


class Nothing:
    """What a query without a result is worth in a comparison: equal to itself only."""


NOTHING: Final = Nothing()


class TooMuchWork(Exception):
    """A path that passes more values than it may."""


class Refused(ValueError):
    """A path that reads well but uses what this product does not offer; its text says what."""


@dataclass(slots=True)
class Walk:
    """One lookup under way: the whole event, and how much work is left."""

    root: object
    left: int = MOST_WORK

    def spend(self, work: int) -> None:
        """Count values that were passed. Raises `TooMuchWork`."""
        self.left -= work
        if self.left < 0:
            raise TooMuchWork


Select: TypeAlias = Callable[[object, Walk], Iterable[object]]
"""Finds some children of one value."""
Step: TypeAlias = Callable[[list[object], Walk], list[object]]
"""One step of a path, from all values found so far to all found next."""
Test: TypeAlias = Callable[[object, Walk], bool]
"""Whether a filter keeps a value."""
Term: TypeAlias = Callable[[object, Walk], object]
"""One side of a comparison in a filter."""


@dataclass(frozen=True, slots=True)
class Comparing:
    """A comparison inside a filter: the field names compared, the operator, and the author's text or number."""

    names: tuple[str, ...]
    operator: str
    literal: object


@dataclass(frozen=True, slots=True)
class FilterUse:
    """A filter in a path: the steps before it where they are simple, and what it compares with texts and numbers."""

    parent: tuple[str | int | None, ...] | None
    compares: tuple[Comparing, ...]


@dataclass(slots=True)
class Compiled:
    """A path as steps that find values, with what its author should know about it.

    `shape` has a name, a number or `*` (as None) for each step, and is None where a step is something else.
    """

    steps: list[Step]
    shape: list[str | int | None] | None
    length: int
    descents: int = 0
    filters: list[FilterUse] = field(default_factory=list)

    def find(self, root: object, walk: Walk | None = None) -> list[object]:
        """Every value that the path leads to. Raises `TooMuchWork`."""
        return run(self.steps, root, walk or Walk(root))


def run(steps: Iterable[Step], start: object, walk: Walk) -> list[object]:
    """Follow steps from one value."""
    values = [start]
    for step in steps:
        values = step(values, walk)
        walk.spend(len(values) + 1)
    return values


# Selecting children: the same for both grammars.


def select_name(name: str) -> Select:
    """The field of that name of an object."""
    return lambda node, walk: (node[name],) if isinstance(node, dict) and name in node else ()


def select_name_through_lists(name: str) -> Select:
    """The field of that name of an object, or of every object in a list: how bare paths are read."""
    direct = select_name(name)

    def select(node: object, walk: Walk) -> Iterable[object]:
        if isinstance(node, list):
            walk.spend(len(node))
            return chain.from_iterable(select(item, walk) for item in node)
        return direct(node, walk)

    return select


def select_index(index: int) -> Select:
    """The item of a list at a place, from its end if negative."""
    return lambda node, walk: (
        (node[index],) if isinstance(node, list) and -len(node) <= index < len(node) else ()
    )


def select_slice(part: slice) -> Select:
    """Some items of a list."""
    return lambda node, walk: node[part] if isinstance(node, list) and part.step != 0 else ()


def select_all(node: object, walk: Walk) -> Iterable[object]:
    """All values of an object, all items of a list."""
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def select_where(test: Test) -> Select:
    """The children that pass a test."""
    return lambda node, walk: [child for child in select_all(node, walk) if test(child, walk)]


def select_each(selects: Sequence[Select]) -> Select:
    """What several selectors find, one after the other."""
    if len(selects) == 1:
        return selects[0]
    return lambda node, walk: chain.from_iterable(select(node, walk) for select in selects)


def step_of(select: Select) -> Step:
    """A step that selects children of every value."""
    return lambda values, walk: [child for value in values for child in select(value, walk)]


def descend(values: list[object], walk: Walk) -> list[object]:
    """Every value with all that is below it, each before what it holds."""
    return [node for value in values for node in _below(value, walk)]


def _below(top: object, walk: Walk) -> Iterator[object]:
    stack = [top]
    while stack:
        node = stack.pop()
        walk.spend(1)
        yield node
        if isinstance(node, dict | list):
            stack.extend(reversed(list(select_all(node, walk))))


# Comparing inside filters: RFC 9535, section 2.3.5.2.2, on whole numbers and decimals.


def is_number(value: object) -> TypeGuard[int | Decimal]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | Decimal | float) and not isinstance(value, bool)


def equal(left: object, right: object) -> bool:
    """Whether two JSON values are the same; nothing is of two kinds."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if is_number(left) and is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def less(left: object, right: object) -> bool:
    """Whether one number or text comes before another; never for other kinds."""
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    return is_number(left) and is_number(right) and left < right


COMPARE: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: less(left, right) or equal(left, right),
    ">=": lambda left, right: less(right, left) or equal(left, right),
}


def comparing(left: Term, sign: str, right: Term) -> Test:
    """A test that compares two sides."""
    compare = COMPARE[sign]
    return lambda node, walk: compare(left(node, walk), right(node, walk))


def every(tests: Sequence[Test]) -> Test:
    """A test that holds when all of several do."""
    return tests[0] if len(tests) == 1 else lambda node, walk: all(test(node, walk) for test in tests)


def some(tests: Sequence[Test]) -> Test:
    """A test that holds when one of several does."""
    return lambda node, walk: any(test(node, walk) for test in tests)


def negated(test: Test) -> Test:
    """A test that holds when another does not."""
    return lambda node, walk: not test(node, walk)


def constant(value: object) -> Term:
    """A side of a comparison that is always the same."""
    return lambda node, walk: value


# The standard, as python-jsonpath parses it.


class _ExactParser(jsonpath.Parser):
    """python-jsonpath's parser with numbers kept exact: its own come out as floats."""

    def parse_integer_literal(self, stream: TokenStream) -> rfc.BaseExpression:
        return self._exactly(stream, super().parse_integer_literal)

    def parse_float_literal(self, stream: TokenStream) -> rfc.BaseExpression:
        return self._exactly(stream, super().parse_float_literal)

    def _exactly(
        self, stream: TokenStream, parse: Callable[[TokenStream], rfc.BaseExpression]
    ) -> rfc.BaseExpression:
        text = stream.current().value
        with suppress(OverflowError):  # 1e400 is no float, and a fine number
            parse(stream)
        return rfc.FilterExpressionLiteral(value=Decimal(text))


class _StrictLexer(jsonpath.Lexer):
    """python-jsonpath's lexer with the standard's names: its own take a dash, and no emoji."""

    key_pattern = r"[\u0080-\uD7FF\uE000-\U0010FFFFa-zA-Z_][\u0080-\uD7FF\uE000-\U0010FFFFa-zA-Z0-9_]*"


class _Standard(jsonpath.JSONPathEnvironment):
    lexer_class = _StrictLexer
    parser_class = _ExactParser


_STANDARD: Final = _Standard(strict=True)


def compile_standard(text: str, *, through_lists: bool = False) -> Compiled:
    """Compile a path of the standard; with `through_lists` a name also looks into the items of a list.

    Raises `jsonpath.JSONPathError` where the standard does not know it.
    """
    path = _STANDARD.compile(text)
    if not isinstance(path, jsonpath.JSONPath):
        raise Refused("it joins two paths")
    return _StandardCompiler(through_lists).path(path)


class _StandardCompiler:
    """Turns one of python-jsonpath's trees into steps."""

    def __init__(self, through_lists: bool) -> None:
        self._name = select_name_through_lists if through_lists else select_name
        self._descents = 0
        self._compares: list[Comparing] = []

    def path(self, path: jsonpath.JSONPath) -> Compiled:
        steps: list[Step] = []
        filters: list[FilterUse] = []
        for place, segment in enumerate(path.segments):
            self._compares = []
            steps += self._segment(segment, self._name)
            if any(isinstance(one, rfc_selectors.Filter) for one in segment.selectors):
                before = _shape(path.segments[:place])
                filters.append(FilterUse(None if before is None else tuple(before), tuple(self._compares)))
        return Compiled(steps, _shape(path.segments), len(path.segments), self._descents, filters)

    def _query(self, path: jsonpath.JSONPath) -> list[Step]:
        return [step for segment in path.segments for step in self._segment(segment, select_name)]

    def _segment(self, segment: JSONPathSegment, name: Callable[[str], Select]) -> list[Step]:
        step = step_of(select_each([self._select(selector, name) for selector in segment.selectors]))
        if isinstance(segment, JSONPathRecursiveDescentSegment):
            self._descents += 1
            return [descend, step]
        return [step]

    def _select(self, selector: rfc_selectors.JSONPathSelector, name: Callable[[str], Select]) -> Select:
        match selector:
            case rfc_selectors.NameSelector():
                return name(selector.name)
            case rfc_selectors.IndexSelector():
                return select_index(selector.index)
            case rfc_selectors.SliceSelector():
                return select_slice(selector.slice)
            case rfc_selectors.WildcardSelector():
                return select_all
            case rfc_selectors.Filter():
                return select_where(self._test(selector.expression.expression))
        raise Refused(f"it has a part that is not known here: {selector}")

    def _test(self, expression: rfc.BaseExpression) -> Test:
        match expression:
            case rfc.InfixExpression(operator="&&"):
                return every([self._test(expression.left), self._test(expression.right)])
            case rfc.InfixExpression(operator="||"):
                return some([self._test(expression.left), self._test(expression.right)])
            case rfc.InfixExpression():
                return self._comparison(expression)
            case rfc.PrefixExpression():
                return negated(self._test(expression.right))
            case rfc.FilterQuery():
                nodes = self._nodes(expression)
                return lambda node, walk: bool(nodes(node, walk))
            case rfc.FunctionExtension():
                return _matching(expression.name, [self._term(argument) for argument in expression.args])
        raise Refused(f"it has a part that is not known here: {expression}")

    def _comparison(self, expression: rfc.InfixExpression) -> Test:
        for query, literal in ((expression.left, expression.right), (expression.right, expression.left)):
            if isinstance(query, rfc.RelativeFilterQuery) and isinstance(
                literal, rfc.FilterExpressionLiteral
            ):
                self._compares.append(Comparing(_names(query.path), expression.operator, literal.value))
        return comparing(self._term(expression.left), expression.operator, self._term(expression.right))

    def _nodes(self, query: rfc.FilterQuery) -> Callable[[object, Walk], list[object]]:
        steps = self._query(query.path)
        if isinstance(query, rfc.RootFilterQuery):
            return lambda node, walk: run(steps, walk.root, walk)
        return lambda node, walk: run(steps, node, walk)

    def _term(self, expression: rfc.BaseExpression) -> Term:
        match expression:
            case rfc.FilterExpressionLiteral():
                return constant(expression.value)
            case rfc.Nil():
                return constant(None)
            case rfc.FilterQuery():
                return _only(self._nodes(expression))
            case rfc.FunctionExtension(name="length"):
                return _length(self._term(expression.args[0]))
            case rfc.FunctionExtension(name="count", args=[rfc.FilterQuery() as query]):
                nodes = self._nodes(query)
                return lambda node, walk: len(nodes(node, walk))
            case rfc.FunctionExtension(name="value", args=[rfc.FilterQuery() as query]):
                return _only(self._nodes(query))
        raise Refused(f"it has a part that is not known here: {expression}")


def _shape(segments: Iterable[JSONPathSegment]) -> list[str | int | None] | None:
    shape: list[str | int | None] = []
    for segment in segments:
        match segment.selectors:
            case (rfc_selectors.NameSelector() as one,):
                shape.append(one.name)
            case (rfc_selectors.IndexSelector() as one,):
                shape.append(one.index)
            case (rfc_selectors.WildcardSelector(),):
                shape.append(None)
            case _:
                return None
        if isinstance(segment, JSONPathRecursiveDescentSegment):
            return None
    return shape


def _names(path: jsonpath.JSONPath) -> tuple[str, ...]:
    shape = _shape(path.segments) or []
    return tuple(step for step in shape if isinstance(step, str))


def _only(nodes: Callable[[object, Walk], list[object]]) -> Term:
    """The value of a query that found exactly one."""

    def term(node: object, walk: Walk) -> object:
        found = nodes(node, walk)
        return found[0] if len(found) == 1 else NOTHING

    return term


def _length(of: Term) -> Term:
    def term(node: object, walk: Walk) -> object:
        value = of(node, walk)
        return len(value) if isinstance(value, str | list | dict) else NOTHING

    return term


def _matching(name: str, arguments: list[Term]) -> Test:
    """The standard's `match` and `search`; a pattern that cannot be read matches nothing."""
    text, pattern = arguments

    def test(node: object, walk: Walk) -> bool:
        value, source = text(node, walk), pattern(node, walk)
        compiled = _pattern(source) if isinstance(value, str) and isinstance(source, str) else None
        if compiled is None:
            return False
        return compiled.fullmatch(str(value)) if name == "match" else compiled.search(str(value))

    return test


@lru_cache(maxsize=256)
def _pattern(source: str) -> Pattern | None:
    try:
        return compile_iregexp(source)
    except PatternError:  # the standard: such a function is false, it does not fail
        return None


# What people know beyond the standard, as jsonpath-ng parses it.

_OFFERED: Final = "the extensions offered are `len`, `keys`, `sorted`, [\\field], =~, & and |"
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
                return [self._union(tree)]
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

    def _union(self, tree: Any) -> Step:
        left, right = self._steps(tree.left), self._steps(tree.right)
        return lambda values, walk: [
            found for v in values for side in (left, right) for found in run(side, v, walk)
        ]

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
            pattern = compile_pattern(str(tree.value))
            return lambda node, walk: any(
                isinstance(found, str) and pattern.search(found) for found in run(steps, node, walk)
            )
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
