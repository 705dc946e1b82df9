"""JSONPath of the standard, RFC 9535: python-jsonpath's grammar in strict mode, compiled to our walking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Final

import jsonpath
import jsonpath.filter as rfc
from jsonpath import selectors as rfc_selectors
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.stream import TokenStream

from engine.language.paths.walking import (
    NOTHING,
    Comparing,
    Compiled,
    FilterUse,
    Refused,
    Select,
    Step,
    Term,
    Test,
    Walk,
    comparing,
    constant,
    descend,
    every,
    negated,
    run,
    select_all,
    select_each,
    select_index,
    select_name,
    select_name_through_lists,
    select_slice,
    select_where,
    some,
    step_of,
)
from engine.language.pattern import Pattern, PatternError, compile_iregexp


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
                text, pattern = (self._term(argument) for argument in expression.args)
                written = isinstance(expression.args[1], rfc.FilterExpressionLiteral)
                return _matching(expression.name, text, pattern, 0 if written else _FOREIGN_PATTERN)
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


_FOREIGN_PATTERN: Final = 200
"""The work that compiling a pattern of the payload counts for."""


def _matching(name: str, text: Term, pattern: Term, work: int) -> Test:
    """The standard's `match` and `search`; a pattern that cannot be read matches nothing."""

    def test(node: object, walk: Walk) -> bool:
        value, source = text(node, walk), pattern(node, walk)
        walk.spend(work)
        compiled = _pattern(source) if isinstance(source, str) else None
        if compiled is None or not isinstance(value, str):
            return False
        walk.spend_reading(value)
        return compiled.fullmatch(value) if name == "match" else compiled.search(value)

    return test


@lru_cache(maxsize=256)
def _pattern(source: str) -> Pattern | None:
    try:
        return compile_iregexp(source)
    except PatternError:  # the standard: such a function is false, it does not fail
        return None
