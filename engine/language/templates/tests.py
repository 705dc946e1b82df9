"""What may stand behind `is` in a template: each test is one function, its docstring the help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from engine.language.amount import Amount, read_amount
from engine.language.templates.helpers import Helper, noted_in
from engine.language.templates.operators import (
    amount_of,
    at_least,
    at_most,
    contained,
    equal,
    less,
    more,
    unequal,
)
from engine.language.templates.run import Use
from engine.language.templates.values import Missing, ValueGap, is_empty, written

TESTS: Final[dict[str, Helper]] = {}
"""Every test by its names."""

_F = TypeVar("_F", bound=Callable[..., Any])


def a_test(example: str, *also: str) -> Callable[[_F], _F]:
    """Makes a function of this module a test, with an example for its help, and its other names."""
    return noted_in(TESTS, example, also, takes_missing=True)


@a_test("{% if order.gift_note is defined %}…{% endif %}")
def defined(use: Use, value: object) -> bool:
    """Whether the event has the field, be it null or not."""
    return not isinstance(value, Missing)


@a_test("{% if order.gift_note is undefined %}…{% endif %}")
def undefined(use: Use, value: object) -> bool:
    """Whether the event does not have the field at all."""
    return isinstance(value, Missing)


@a_test("{% if shipment.tracking is none %}…{% endif %}", "null")
def none(use: Use, value: object) -> bool:
    """Whether the value is null."""
    return value is None


@a_test("{% if order.gift_note is present %}…{% endif %}")
def present(use: Use, value: object) -> bool:
    """Whether there is something: not missing, not null, not an empty text, list or object."""
    return not missing(use, value)


@a_test("{% if order.gift_note is missing %}…{% endif %}", "empty")
def missing(use: Use, value: object) -> bool:
    """Whether there is nothing: missing, null, or an empty text, list or object."""
    return is_empty(value) or (isinstance(value, list | tuple | Mapping) and not value)


@a_test("{% if order.item_count is odd %}…{% endif %}")
def odd(use: Use, value: object) -> bool:
    """Whether a number is odd."""
    return amount_of(value, use.name).value % 2 == 1


@a_test("{% if order.item_count is even %}…{% endif %}")
def even(use: Use, value: object) -> bool:
    """Whether a number is even."""
    return amount_of(value, use.name).value % 2 == 0


@a_test("{% if order.item_count is divisibleby 3 %}…{% endif %}")
def divisibleby(use: Use, value: object, other: object) -> bool:
    """Whether a number can be divided by another without a rest."""
    divisor = amount_of(other).value
    if not divisor:
        raise ValueGap("division by zero")
    return amount_of(value, use.name).value % divisor == 0


@a_test("{% if order.total is number %}…{% endif %}")
def number_(use: Use, value: object) -> bool:
    """Whether the value is a number or a text that is an amount."""
    return isinstance(value, Amount) or read_amount(value) is not None


@a_test("{% if order.number is string %}…{% endif %}")
def string(use: Use, value: object) -> bool:
    """Whether the value is a text."""
    return isinstance(value, str)


@a_test("{% if order.line_items is sequence %}…{% endif %}", "iterable")
def sequence(use: Use, value: object) -> bool:
    """Whether the value is a list."""
    return isinstance(value, list | tuple)


@a_test("{% if order.ship_address is mapping %}…{% endif %}")
def mapping(use: Use, value: object) -> bool:
    """Whether the value is an object with fields."""
    return isinstance(value, Mapping)


@a_test("{% if order.subscription_order is true %}…{% endif %}")
def true(use: Use, value: object) -> bool:
    """Whether the value is yes."""
    return value is True


@a_test("{% if order.subscription_order is false %}…{% endif %}")
def false(use: Use, value: object) -> bool:
    """Whether the value is no."""
    return value is False


@a_test("{{ order.payments | selectattr('state', 'equalto', 'completed') | length }}", "eq")
def equalto(use: Use, value: object, other: object) -> bool:
    """Whether two values are equal; amounts count as numbers."""
    return equal(value, other)


@a_test("{{ order.payments | selectattr('state', 'ne', 'failed') | length }}")
def ne(use: Use, value: object, other: object) -> bool:
    """Whether two values differ."""
    return unequal(value, other)


@a_test("{{ order.line_items | selectattr('quantity', 'gt', 1) | length }}", "greaterthan")
def gt(use: Use, value: object, other: object) -> bool:
    """Whether the value is more than another."""
    return more(value, other, (use.name, ""))


@a_test("{{ order.line_items | selectattr('quantity', 'ge', 2) | length }}")
def ge(use: Use, value: object, other: object) -> bool:
    """Whether the value is at least another."""
    return at_least(value, other, (use.name, ""))


@a_test("{{ order.line_items | selectattr('quantity', 'lt', 2) | length }}", "lessthan")
def lt(use: Use, value: object, other: object) -> bool:
    """Whether the value is less than another."""
    return less(value, other, (use.name, ""))


@a_test("{{ order.line_items | selectattr('quantity', 'le', 1) | length }}")
def le(use: Use, value: object, other: object) -> bool:
    """Whether the value is at most another."""
    return at_most(value, other, (use.name, ""))


@a_test("{{ order.payments | selectattr('state', 'in', ['failed', 'invalid']) | length }}")
def in_(use: Use, value: object, other: object) -> bool:
    """Whether the value is among others."""
    return contained(value, other, (use.name, ""))


@a_test("{{ order.line_items | selectattr('sku', 'startingwith', 'gift-') | length }}")
def startingwith(use: Use, value: object, other: object) -> bool:
    """Whether a text starts with another."""
    return isinstance(value, str) and value.startswith(written(other))


@a_test("{{ order.line_items | selectattr('sku', 'endingwith', '-xl') | length }}")
def endingwith(use: Use, value: object, other: object) -> bool:
    """Whether a text ends with another."""
    return isinstance(value, str) and value.endswith(written(other))


@a_test("{{ order.line_items | selectattr('sku', 'containing', 'mug') | length }}")
def containing(use: Use, value: object, other: object) -> bool:
    """Whether a text holds another, or a list an item."""
    return contained(other, value, ("", use.name))
