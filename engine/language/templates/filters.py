"""What may stand behind `|` and `is` in a template: each filter and test is one function, its docstring the help.

A filter takes a `Use` (the rendering, and how the author named the value), the value, and what stands in its
brackets. For null it answers null or nothing (`Missing`); it raises `ValueGap` for a value it cannot use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cmp_to_key, lru_cache, partial
from itertools import islice
from typing import Any, Final, TypeVar

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta
from babel.numbers import format_currency, get_currency_precision

from engine.language.amount import Amount, read_amount
from engine.language.moment import read_moment
from engine.language.plain import ELLIPSIS, whole_characters
from engine.language.templates.helpers import Helper, noted_in
from engine.language.templates.operators import added, amount_of, comparable, joined
from engine.language.templates.run import Use
from engine.language.templates.tests import TESTS
from engine.language.templates.values import (
    MOST_VALUE_LETTERS,
    TOO_LONG,
    Link,
    Missing,
    ValueGap,
    is_empty,
    kind,
    quoted,
    rounded,
    truth,
    written,
)
from engine.language.words import listing

FILTERS: Final[dict[str, Helper]] = {}
"""Every filter by its names."""

_SAFE: Final = "every value is made safe for where it goes, so none is needed"
MISSED: Final[Mapping[str, str]] = {
    "safe": "every value is made safe for where it goes; your own marks stand outside of `{{ }}`",
    "escape": _SAFE,
    "e": _SAFE,
    "urlencode": _SAFE,
    "tojson": "in `json:` write a structure; each value keeps its type",
    "format": "write `| money` or `| round(2)`",
    "date": "write `| day` or `| time`",
    "strftime": "write `| day` or `| time`",
    "currency": "write `| money`",
    "money_with_currency": "write `| money`",
    "money_without_currency": "write `| number`",
    "toFixed": "write `| round(2)`",
    "attr": "write the field with a dot, as in `order.number`",
    "where": "write `| selectattr('state', 'eq', 'completed')`",
    "min": "write `| sort | first`",
    "max": "write `| sort | last`",
    "wordwrap": "write `| truncate(80)`",
    "size": "write `| length`",
    "upcase": "write `| upper`",
    "downcase": "write `| lower`",
    "strip": "write `| trim`",
    "pluralize": "write `| plural('item')`",
    "append": "write `order.number ~ ' (paid)'`",
    "prepend": "write `'No. ' ~ order.number`",
    "plus": "write `order.total + 5`",
    "minus": "write `order.total - 5`",
    "times": "write `order.item_count * 2`",
    "divided_by": "write `order.total / 2`",
}
"""Filters that people know from elsewhere, and what to write here."""


_F = TypeVar("_F", bound=Callable[..., Any])


def a_filter(example: str, *also: str, takes_missing: bool = False) -> Callable[[_F], _F]:
    """Makes a function of this module a filter, with an example for its help, and its other names."""
    return noted_in(FILTERS, example, also, takes_missing)


# amounts and numbers


@a_filter("{{ order.total | money }}")
def money(use: Use, value: object, currency: object = None) -> object:
    """An amount as the shop writes it: $1,250.50.

    The currency is the one in brackets, else the one written with the amount, else that of the order (or other
    object) the amount belongs to, else the shop's. Decimals are those of the currency.
    """
    if value is None or value == "":
        return use.nothing("amount")
    amount = amount_of(value, use.name)
    code = _code(currency) if currency is not None else _currency(use, amount, value)
    return _money(amount.value, code, use.run.scope.shop.locale)


def _code(currency: object) -> str:
    code = currency.strip().upper() if isinstance(currency, str) else ""
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        given = (
            currency.because if isinstance(currency, Missing) else f"{quoted(currency)} is no currency code"
        )
        raise ValueGap(f"{given}: a currency is three letters such as USD")
    return code


def _currency(use: Use, amount: Amount, value: object) -> str:
    belongs = use.currency()
    # The yen's sign is the yuan's as well.
    if amount.currency and not (
        amount.currency == "JPY" and belongs == "CNY" and "JPY" not in str(value).upper()
    ):
        return amount.currency
    return belongs or use.run.scope.shop.currency


@lru_cache(maxsize=4096)
def _money(value: Decimal, currency: str, locale: str) -> str:
    exact = rounded(value, get_currency_precision(currency))
    return format_currency(exact, currency, locale=_locale(locale))


@lru_cache(maxsize=64)
def _locale(name: str) -> Locale:
    return Locale.parse(name.replace("-", "_"))


@a_filter("{{ order.total | number }}", "float")
def number(use: Use, value: object) -> object:
    """An amount as a plain number, for a JSON value: "$1,234.50" is 1234.50. Null stays null."""
    if value is None:
        return None
    return (
        value if isinstance(value, int) and not isinstance(value, bool) else amount_of(value, use.name).value
    )


@a_filter("{{ order.total | int }}")
def int_(use: Use, value: object) -> object:
    """An amount as a whole number, its decimals cut off: "$1,234.50" is 1234. Null stays null."""
    return None if value is None else int(amount_of(value, use.name).value)


@a_filter("{{ order.total | round(2) }}")
def round_(use: Use, value: object, precision: object = 0) -> object:
    """A number with so many decimals, rounded as tills do: 2.675 | round(2) is 2.68."""
    if value is None:
        return None
    amount = amount_of(value, use.name)
    result = rounded(amount.value, _whole(precision, 0, 20))
    return Amount(result, amount.currency) if amount.currency else result


@a_filter("{{ order.promo_total | abs }}")
def abs_(use: Use, value: object) -> object:
    """A number or an amount without its minus."""
    if value is None:
        return None
    amount = amount_of(value, use.name)
    size = Amount(abs(amount.value), amount.currency)
    return size if isinstance(value, str | Amount) else number(use, size)


def _whole(value: object, least: int, most: int) -> int:
    amount = read_amount(value)
    if amount is None or not least <= amount.value <= most or amount.value != int(amount.value):
        raise ValueGap(f"{quoted(value)} stands where a whole number from {least:,} to {most:,} is wanted")
    return int(amount.value)


@a_filter("{{ order.item_count | plural('item') }}")
def plural(use: Use, value: object, one: object, many: object = None) -> object:
    """A number with its noun: `1 item`, `2 items`; with an odd plural: plural('box', 'boxes')."""
    if value is None or value == "":
        return use.nothing("number")
    noun, amount = written(one), amount_of(value, use.name)
    if amount.value != 1:
        noun = written(many) if many is not None else _plural(noun)
    return f"{written(value)} {noun}"


def _plural(noun: str) -> str:
    if re.search(r"([sxz]|ch|sh)$", noun):
        return noun + "es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"


# times


@a_filter("{{ order.completed_at | day }}")
def day(use: Use, value: object, form: object = "medium") -> object:
    """The day of a time in the shop's time zone: Oct 5, 2021. Also day('short'), 'long', 'full', 'iso'."""
    if value is None or value == "":
        return use.nothing("day")
    moment = _moment(use, value)
    if form == "iso":
        return moment.date().isoformat()
    return _spaced(format_date(moment.date(), _form(form), locale=_locale(use.run.scope.shop.locale)))


@a_filter("{{ order.completed_at | time }}")
def time(use: Use, value: object, form: object = "short") -> object:
    """The time of day in the shop's time zone: 10:44 AM. Also time('medium'), with seconds, and 'iso'."""
    if value is None or value == "":
        return use.nothing("time")
    moment = _moment(use, value)
    if form == "iso":
        return moment.isoformat(timespec="seconds")
    return _spaced(format_time(moment, _form(form), locale=_locale(use.run.scope.shop.locale)))


@a_filter("{{ order.completed_at | ago }}")
def ago(use: Use, value: object) -> object:
    """How long ago a time is: `2 hours ago`; `in 2 hours` for one that is still to come."""
    if value is None or value == "":
        return use.nothing("time")
    since = _moment(use, value) - use.run.scope.now
    return _spaced(format_timedelta(since, add_direction=True, locale=_locale(use.run.scope.shop.locale)))


_FORMS: Final = ("short", "medium", "long", "full")


def _form(form: object) -> Any:
    if form not in _FORMS:
        raise ValueGap(f"{quoted(form)} is no way to write a time; there are {listing((*_FORMS, 'iso'))}")
    return form


def _spaced(text: str) -> str:
    """With plain blanks: some locales put narrow ones before AM, which old mail programs show as boxes."""
    return text.replace("\u202f", " ")


def _moment(use: Use, value: object) -> datetime:
    zone = use.run.scope.shop.timezone
    moment = read_moment(value, zone)
    if moment is None:
        raise ValueGap(f"{use.called} is {quoted(value)}, which is no time")
    return moment.astimezone(zone)


# texts


@a_filter("{{ order.channel | upper }}")
def upper(use: Use, value: object) -> object:
    """In capitals."""
    return _text(value, str.upper)


@a_filter("{{ order.email | lower }}")
def lower(use: Use, value: object) -> object:
    """In small letters."""
    return _text(value, str.lower)


@a_filter("{{ order.channel | capitalize }}")
def capitalize(use: Use, value: object) -> object:
    """With a capital at the start."""
    return _text(value, str.capitalize)


@a_filter("{{ order.ship_address.city | title }}")
def title(use: Use, value: object) -> object:
    """With a capital at the start of each word."""
    use.run.spend(len(value) // (4 * _LETTERS_A_STEP) if isinstance(value, str) else 1)
    return _text(
        value, lambda text: re.sub(r"[^\W_]+(['’][^\W_]+)*", lambda word: word[0].capitalize(), text)
    )


@a_filter("{{ order.ship_address.company | trim }}")
def trim(use: Use, value: object) -> object:
    """Without blanks at the start and the end."""
    return _text(value, str.strip)


def _text(value: object, change: Callable[[str], str]) -> object:
    return None if value is None else change(written(value))


@a_filter("{{ order.number | replace('-', ' ') }}")
def replace(use: Use, value: object, old: object, new: object) -> object:
    """With each `old` replaced by `new`."""
    if value is None:
        return None
    text, before, after = written(value), written(old), written(new)
    if not before:
        raise ValueGap("`replace` has nothing to look for")
    if len(text) + text.count(before) * (len(after) - len(before)) > MOST_VALUE_LETTERS:
        raise ValueGap(TOO_LONG)
    return text.replace(before, after)


@a_filter("{{ item.name | truncate(40) }}")
def truncate(use: Use, value: object, length: object = 80, end: object = ELLIPSIS) -> object:
    """At most so many characters, with … where something was cut off; emoji and accents stay whole."""
    if value is None:
        return None
    text, most, mark = written(value), _whole(length, 1, 10_000), written(end)
    characters = list(_paid(use, islice(whole_characters(text), most + 1)))
    if len(characters) <= most:
        return text
    return "".join(characters[: max(0, most - len(mark))]).rstrip() + mark


def _paid(use: Use, pieces: Iterable[str]) -> Iterator[str]:
    letters = 0
    for piece in pieces:
        letters += len(piece)
        if letters >= _LETTERS_PAID:
            use.run.spend(letters // _LETTERS_A_STEP)
            letters = 0
        yield piece


_LETTERS_PAID: Final = 32
_LETTERS_A_STEP: Final = 4


@a_filter("{{ stock_item.variant.sku | split('|') | join(', ') }}")
def split(use: Use, value: object, separator: object = ",") -> object:
    """The parts of a text as a list, trimmed."""
    if value is None:
        return []
    text, between = written(value), written(separator)
    if not between:
        raise ValueGap("`split` needs to know what stands between the parts")
    use.run.spend(text.count(between))
    return [part.strip() for part in text.split(between)]


@a_filter("{{ shipment.external_tracking_url | link('Track it') }}")
def link(use: Use, value: object, label: object = None) -> object:
    """A link to a web address, with a label; each destination writes it in its own way."""
    if value is None or value == "":
        return use.nothing("address to link to")
    url = written(value).strip()
    if not _WEB.fullmatch(url):
        raise ValueGap(f"{use.called} is {quoted(url)}, and a link needs an address with https://")
    return Link(url, url if label is None or is_empty(label) else written(label))


_WEB: Final = re.compile(r"https?://[^\s<>\"|\\^`{}\x00-\x1f\x7f]{1,2000}", re.IGNORECASE)


@a_filter("{{ order.ship_address.phone | default('no phone') }}", "d", takes_missing=True)
def default(use: Use, value: object, instead: object = "", boolean: object = False) -> object:
    """The value, or the one in brackets where there is nothing: missing, null or an empty text."""
    return instead if is_empty(value) or (boolean is True and not truth(value)) else value


# lists


def _list(use: Use, value: object) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        use.run.spend(len(value))
        return value
    raise ValueGap(f"{use.called} is {kind(value)}, and a list is wanted")


@a_filter("{{ order.line_items | map(attribute='name') | join(', ') }}")
def join(use: Use, value: object, separator: object = ", ", attribute: object = None) -> object:
    """The items of a list as one text, with commas or what is in brackets between them; empty ones are left out."""
    items = [item for item in _fields(use, value, attribute) if item is not None]
    between = written(separator)
    return joined([part for item in items for part in (between, item)][1:])


@a_filter("{{ order.line_items | length }}", "count")
def length(use: Use, value: object) -> object:
    """How many items a list has, or letters a text; 0 for null."""
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise ValueGap(f"{use.called} is {kind(value)}, which has no length")


@a_filter("{{ (order.line_items | first).name }}")
def first(use: Use, value: object) -> object:
    """The first item of a list."""
    return next(iter(_list(use, value)), Missing(f"{use.called} is empty, so it has no first item"))


@a_filter("{{ (order.payments | last).state }}")
def last(use: Use, value: object) -> object:
    """The last item of a list."""
    return next(reversed(_list(use, value)), Missing(f"{use.called} is empty, so it has no last item"))


@a_filter("{{ order.line_items | map(attribute='sku') | join(', ') }}")
def map_(use: Use, value: object, filter: object = None, attribute: object = None) -> object:
    """One field of each item, as a list: map(attribute='name'); or each item through a filter: map('upper')."""
    if filter is None:
        return _fields(use, value, attribute)
    call = FILTERS[str(filter)].call
    each = Use(use.run, "", use.owners)
    return [call(each, item) for item in _fields(use, value, attribute)]


@a_filter("{{ order.payments | selectattr('state', 'equalto', 'completed') | length }}")
def selectattr(
    use: Use, value: object, attribute: object, test: object = None, other: object = None
) -> object:
    """The items of a list whose field passes a test; without a test, those whose field is not empty."""
    return [item for item in _list(use, value) if _passes(use, item, attribute, test, other)]


@a_filter("{{ order.payments | rejectattr('state', 'equalto', 'failed') | length }}")
def rejectattr(
    use: Use, value: object, attribute: object, test: object = None, other: object = None
) -> object:
    """The items of a list whose field does not pass a test; without a test, those whose field is empty."""
    return [item for item in _list(use, value) if not _passes(use, item, attribute, test, other)]


def _passes(use: Use, item: object, attribute: object, test: object, other: object) -> bool:
    found = _field(item, attribute)
    if test is None:
        return truth(found)
    helper = TESTS[str(test)]
    return bool(helper.call(use, found, other) if helper.parameters else helper.call(use, found))


@a_filter("{{ order.line_items | sum(attribute='total') | money }}")
def sum_(use: Use, value: object, attribute: object = None, start: object = 0) -> object:
    """The sum of numbers or amounts, exact to the cent; of one field of each item with sum(attribute='total')."""
    total: object = start
    names = ("the sum", str(attribute) if attribute is not None else f"an item of {use.called}")
    for item in _fields(use, value, attribute):
        if item is not None:
            total = added(total, item, names)
    return total


@a_filter("{{ order.line_items | sort(attribute='name') | map(attribute='name') | join(', ') }}")
def sort(use: Use, value: object, reverse: object = False, attribute: object = None) -> object:
    """A list in order, smallest first: amounts by size, texts by the alphabet. Items without the field come last."""
    pairs = [
        (item, found) for item, found in zip(_list(use, value), _fields(use, value, attribute), strict=True)
    ]
    known = [pair for pair in pairs if pair[1] is not None]
    by_size = cmp_to_key(partial(_compared, name=str(attribute or "")))
    known.sort(key=lambda pair: by_size(pair[1]), reverse=truth(reverse))
    return [item for item, _ in known] + [item for item, found in pairs if found is None]


def _compared(one: object, other: object, name: str) -> int:
    left, right = comparable(one, other, (name, "another one"))
    return int(left > right) - int(left < right)


@a_filter("{{ order.line_items | map(attribute='sku') | unique | join(', ') }}")
def unique(use: Use, value: object, attribute: object = None) -> object:
    """A list with each value once, in its first place."""
    seen: set[str] = set()
    kept: list[object] = []
    for item, found in zip(_list(use, value), _fields(use, value, attribute), strict=True):
        key = written(found)
        if key not in seen:
            seen.add(key)
            kept.append(item)
    return kept


@a_filter("{{ order.line_items | reverse }}")
def reverse(use: Use, value: object) -> object:
    """A list the other way round."""
    return list(reversed(_list(use, value)))


@a_filter("{{ order.line_items | list }}")
def list_(use: Use, value: object) -> object:
    """A list as it is; an empty one for null."""
    return list(_list(use, value))


@a_filter("{% for name, value in order.metadata | items %}{{ name }}: {{ value }}{% endfor %}")
def items(use: Use, value: object) -> object:
    """The fields of an object as pairs of name and value, to loop over."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise ValueGap(f"{use.called} is {kind(value)}, and an object is wanted")
    use.run.spend(len(value))
    return [[name, item] for name, item in value.items()]


def _fields(use: Use, value: object, attribute: object) -> list[object]:
    """The items of a list, or one field of each. Raises `ValueGap` where an item does not have it."""
    found = [item if attribute is None else _field(item, attribute) for item in _list(use, value)]
    for place, item in enumerate(found, 1):
        if isinstance(item, Missing):
            raise ValueGap(f"item {place} of {use.called} has no {attribute}")
    return found


def _field(item: object, attribute: object) -> object:
    found: Any = item
    for step in str(attribute).split("."):
        if not isinstance(found, Mapping) or step not in found:
            return Missing(f"an item has no {attribute}")
        found = found[step]
    return found
