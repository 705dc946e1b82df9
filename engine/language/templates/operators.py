"""What `+`, `<`, `==` and their like mean in a template: amounts count as numbers, and nothing is guessed.

Each function takes two values and how the author named them ("" for a longer expression), and raises
`ValueGap` with the reason where there is no answer. Comparisons also take the zone of times that name none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, Protocol

from engine.language.amount import Amount, read_amount
from engine.language.moment import read_moment
from engine.language.templates.values import (
    CALCULATION,
    MOST_VALUE_LETTERS,
    TOO_LONG,
    Joined,
    Link,
    Missing,
    ValueGap,
    kind,
    quoted,
    written,
)

_MOST_DIGITS: Final = 100
_MOST_DECIMALS: Final = 10
_QUOTIENT: Final = Decimal("1E-10")
_CODE: Final = re.compile(r"\s*[-+]?0[0-9]")

Names = tuple[str, str]
"""How the author named the left and the right value, "" for a longer expression."""
UNNAMED: Final[Names] = ("", "")


class Compare(Protocol):
    """A comparison of two values."""

    def __call__(self, left: object, right: object, names: Names = ..., zone: tzinfo = ..., /) -> bool:
        """Whether it holds."""


def amount_of(value: object, name: str = "") -> Amount:
    """The amount in a value. Raises `ValueGap` where it holds none, or one with too many digits."""
    amount = value if isinstance(value, Amount) else read_amount(value)
    if amount is None:
        raise ValueGap(_no_amount(value, name))
    too_many = isinstance(value, Decimal) and len(value.as_tuple().digits) > _MOST_DIGITS
    if too_many or abs(amount.value.adjusted()) > _MOST_DIGITS:
        raise ValueGap("the number is too large")
    return amount


def _no_amount(value: object, name: str) -> str:
    if isinstance(value, Missing):
        return value.because
    if value is None or value == "":
        return f"{name or 'a value'} is empty, and an amount is wanted"
    if not isinstance(value, str):
        return f"{name or 'a value'} is {kind(value)}, and an amount is wanted"
    return f"{name} is {quoted(value)}, which is no amount" if name else f"{quoted(value)} is no amount"


def plus(left: object, right: object, names: Names = UNNAMED) -> object:
    """The sum of two amounts or numbers; two texts that are not both amounts are put together."""
    if isinstance(left, str) and isinstance(right, str) and not (read_amount(left) and read_amount(right)):
        return _within(left + right)
    return added(left, right, names)


def added(left: object, right: object, names: Names = UNNAMED) -> object:
    """The sum of two amounts or numbers, and nothing else."""
    return _calculated("+", left, right, names)


def minus(left: object, right: object, names: Names = UNNAMED) -> object:
    """The difference of two amounts or numbers."""
    return _calculated("-", left, right, names)


def times(left: object, right: object, names: Names = UNNAMED) -> object:
    """The product of two numbers, or of an amount and a number; a text is never repeated."""
    return _calculated("*", left, right, names)


def divided(left: object, right: object, names: Names = UNNAMED) -> object:
    """The quotient; a number that does not end is rounded to ten decimals."""
    return _calculated("/", left, right, names)


def floor_divided(left: object, right: object, names: Names = UNNAMED) -> object:
    """How many times the right goes wholly into the left."""
    return _calculated("//", left, right, names)


def remainder(left: object, right: object, names: Names = UNNAMED) -> object:
    """What is left of a division; never the filling in of a text."""
    return _calculated("%", left, right, names)


def negative(value: object, name: str) -> object:
    """The number with its sign turned."""
    amount = amount_of(value, name)
    return _like(value, None, CALCULATION.minus(amount.value), amount.currency)


def positive(value: object, name: str) -> object:
    """The number of an amount."""
    amount = amount_of(value, name)
    return _like(value, None, amount.value, amount.currency)


def _calculated(sign: str, left: object, right: object, names: Names) -> object:
    if type(left) is int and type(right) is int and sign in _WHOLE and abs(left) < _SMALL > abs(right):
        return _WHOLE[sign](left, right)
    one, other = amount_of(left, names[0]), amount_of(right, names[1])
    if sign in ("/", "//", "%") and not other.value:
        raise ValueGap(f"division by zero: {names[1] or 'the divisor'} is {quoted(right)}")
    currency = _one_currency(one, other)
    value = CALCULATION.plus(_CALCULATE[sign](one.value, other.value))
    is_ratio = sign in ("/", "//") and _is_amount(left) and _is_amount(right)
    return value if is_ratio else _like(left, right, value, currency)


def _one_currency(one: Amount, other: Amount) -> str:
    if one.currency and other.currency and one.currency != other.currency:
        raise ValueGap(f"{one.currency} and {other.currency} cannot be brought together")
    return one.currency or other.currency


def _is_amount(value: object) -> bool:
    return isinstance(value, str | Amount)


def _like(left: object, right: object, value: Decimal, currency: str) -> object:
    """The result as what went in: an amount if one did, a whole number if only those did."""
    if abs(value.adjusted()) > _MOST_DIGITS:
        raise ValueGap("the number is too large")
    if _is_amount(left) or _is_amount(right):
        return Amount(value, currency)
    whole = isinstance(left, int) and isinstance(right, int | None) and value == value.to_integral_value()
    return int(value) if whole else value


def _quotient(one: Decimal, other: Decimal) -> Decimal:
    exact = CALCULATION.divide(one, other)
    if decimals(exact) > _MOST_DECIMALS:
        exact = CALCULATION.quantize(exact, _QUOTIENT)
    short = exact.normalize(CALCULATION)
    return short if decimals(short) else CALCULATION.quantize(short, Decimal(1))


def decimals(value: Decimal) -> int:
    """How many decimals a number is written with."""
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _floor(one: Decimal, other: Decimal) -> Decimal:
    return CALCULATION.divide(one, other).to_integral_value(ROUND_FLOOR)


def _remainder(one: Decimal, other: Decimal) -> Decimal:
    return CALCULATION.subtract(one, CALCULATION.multiply(other, _floor(one, other)))


_CALCULATE: Final[Mapping[str, Callable[[Decimal, Decimal], Decimal]]] = {
    "+": CALCULATION.add,
    "-": CALCULATION.subtract,
    "*": CALCULATION.multiply,
    "/": _quotient,
    "//": _floor,
    "%": _remainder,
}


_SMALL: Final = 10**40
_WHOLE: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
"""The quick way for whole numbers of ordinary size."""


def joined(values: list[object]) -> str | Joined:
    """Values written one after the other, as `~` does. Raises `ValueGap` for what cannot be written."""
    pieces: list[str | Link] = []
    for value in values:
        pieces.extend(_pieces(value))
    if not any(isinstance(piece, Link) for piece in pieces):
        return _within("".join(str(piece) for piece in pieces))
    letters = sum(
        len(piece) if isinstance(piece, str) else len(piece.url) + len(piece.label) for piece in pieces
    )
    if letters > MOST_VALUE_LETTERS:
        raise ValueGap(TOO_LONG)
    return Joined(tuple(pieces))


def _pieces(value: object) -> tuple[str | Link, ...]:
    if isinstance(value, Joined):
        return value.pieces
    return (value,) if isinstance(value, Link) else (written(value),)


def _within(text: str) -> str:
    if len(text) > MOST_VALUE_LETTERS:
        raise ValueGap(TOO_LONG)
    return text


def equal(left: object, right: object, names: Names = UNNAMED, zone: tzinfo = UTC) -> bool:
    """Whether two values are the same: texts as they are, else as amounts (`"10.0"` is `10`, `"007"` is not `7`).

    What is missing equals only what is missing or null. Whole lists and objects are only compared with empty ones.
    """
    left, right = _nothing(left), _nothing(right)
    if left is None or right is None or isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | Mapping) or isinstance(right, list | Mapping):
        return _equal_lists(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right or (
            not (_CODE.match(left) or _CODE.match(right)) and _equal_amounts(left, right)
        )
    return _equal_amounts(left, right)


def _nothing(value: object) -> object:
    return None if isinstance(value, Missing) else value


def _equal_lists(left: object, right: object) -> bool:
    if not isinstance(left, list | Mapping) or not isinstance(right, list | Mapping):
        return False
    if left and right:
        raise ValueGap("two whole lists or objects cannot be compared: compare one of their fields")
    return type(left) is type(right) and not left and not right


def _equal_amounts(left: object, right: object) -> bool:
    one = left if isinstance(left, Amount) else read_amount(left)
    other = right if isinstance(right, Amount) else read_amount(right)
    if one is None or other is None:
        return False
    same_currency = not one.currency or not other.currency or one.currency == other.currency
    return same_currency and one.value == other.value


def unequal(left: object, right: object, names: Names = UNNAMED, zone: tzinfo = UTC) -> bool:
    """The opposite of `equal`."""
    return not equal(left, right)


def contained(left: object, right: object, names: Names = UNNAMED, zone: tzinfo = UTC) -> bool:
    """Whether the left is an item of the right list, a part of the right text, or a field of the right object."""
    if isinstance(right, str):
        return isinstance(left, str) and left in right
    if isinstance(right, list | tuple):
        return any(equal(left, item) for item in right)
    if isinstance(right, Mapping):
        return isinstance(left, str) and left in right
    if right is None:
        return False
    if isinstance(right, Missing):
        raise ValueGap(right.because)
    raise ValueGap(f"{names[1] or 'the right side of `in`'} is {kind(right)}, and a list or a text is wanted")


def not_contained(left: object, right: object, names: Names = UNNAMED, zone: tzinfo = UTC) -> bool:
    """The opposite of `contained`."""
    return not contained(left, right, names)


def ordered(by: Callable[[Any, Any], bool]) -> Compare:
    """A comparison by size: of amounts and numbers, of times, else of texts as a dictionary sorts them."""

    def compare(left: object, right: object, names: Names = UNNAMED, zone: tzinfo = UTC) -> bool:
        one, other = comparable(left, right, names, zone)
        return by(one, other)

    return compare


def comparable(left: object, right: object, names: Names, zone: tzinfo = UTC) -> tuple[Any, Any]:
    """Two values as two that Python can order. Raises `ValueGap` where they are of different kinds."""
    one, other = _sizes(left), _sizes(right)
    if one is not None and other is not None:
        if one.currency and other.currency and one.currency != other.currency:
            raise ValueGap(f"{one.currency} and {other.currency} cannot be compared")
        return one.value, other.value
    if isinstance(left, str) and isinstance(right, str) and left and right:
        return _moments(left, right, zone) or (left.casefold(), right.casefold())
    raise ValueGap(_not_comparable(left, right, *names))


def _moments(left: str, right: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    one, other = read_moment(left, zone), read_moment(right, zone)
    return None if one is None or other is None else (one, other)


def _sizes(value: object) -> Amount | None:
    return value if isinstance(value, Amount) else read_amount(value)


def _not_comparable(left: object, right: object, left_name: str, right_name: str) -> str:
    for value in (left, right):
        if isinstance(value, Missing):
            return value.because
    odd, name, other, other_name = left, left_name, right, right_name
    if _sizes(left) is not None and _sizes(right) is None:
        odd, name, other, other_name = right, right_name, left, left_name
    if odd is None or odd == "":
        return f"{name or 'a value'} is empty and cannot be compared with {other_name or quoted(other)}"
    is_it = f"{name} is {quoted(odd)} and" if name else quoted(odd)
    return f"{is_it} cannot be compared with {other_name or quoted(other)}"


less = ordered(operator.lt)
at_most = ordered(operator.le)
more = ordered(operator.gt)
at_least = ordered(operator.ge)
