"""Walking a JSON value along a path: exact in its comparisons and bounded in its work.

The trees that the two JSONPath libraries parse are compiled to these functions, since their own walking
compares numbers as floats, runs patterns of a payload through a backtracking engine, and has no bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Final, TypeAlias, TypeGuard

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

    def spend_reading(self, text: str) -> None:
        """Count a text that a pattern reads. Raises `TooMuchWork`."""
        self.spend(len(text) // 64)


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
