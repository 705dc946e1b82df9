"""What a condition may say of a field: each comparison is one function here, and its docstring is its help.

Text is compared without case and outer blanks, so is what stands in lists. The table of `is`:

| the rule says | the event has | they are equal when |
|---|---|---|
| any text | a text | the texts are the same |
| an amount (`10`, `10.0`, `$10.00`) | an amount, as a number or a text | the amounts are the same |
| a number with zeros before it (`007`, `02134`) | a text | the texts are the same; it is a code, not an amount |
| anything, of a field that holds codes (`sku`, `number`, `zipcode`, `…_id`) | a text or a number | as texts: `1.10` is not `1.1` |
| `yes`, `true`, `on` without quotes, or `no`, `false`, `off` | true or false | both mean the same |
| `yes` in quotes | true or false | never: it is a text |
| a day (`2026-01-01`) | a time | it falls on that day in the shop's zone |
| anything | a list | one of its items is equal |
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from engine.language.amount import Amount, read_amount
from engine.language.conditions.operands import (
    AMOUNT,
    DURATION,
    EARLIER,
    EXACT,
    LIST_NAME,
    MOMENT,
    NOTHING,
    RANGE,
    REGEX,
    TEXT,
    TIME,
    VALUE,
    VALUES,
    WILDCARDS,
    CannotTell,
    Operand,
    Wanted,
    fold,
    is_code,
    is_nothing,
    number_text,
)
from engine.language.moment import local_day, read_day, read_moment
from engine.language.node import ScalarNode
from engine.language.pattern import Pattern
from engine.language.scope import Scope
from engine.language.words import normal_key

# How a comparison is declared.


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a path led to: now, and in the last payload known of the same object (None if none is known)."""

    found: list[object]
    before: list[object] | None = None


Judge: TypeAlias = Callable[[Any, Any, Scope], bool]
Remark: TypeAlias = Callable[[Any, Any], str]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A comparison: its word and other spellings, what goes with it, and the function that judges.

    `negative` are the words that say its opposite. With `whole` the function gets all that was found as `Seen`,
    else one found value after the other. `tried` (and `tried_negative`) are words
    that people write for it (or its opposite) and that are not taken. `remark` says what the author should
    know of a found value that fits.
    """

    word: str
    words: tuple[str, ...]
    negative: tuple[str, ...]
    operand: Operand
    judge: Judge
    help: str
    whole: bool
    needs_before: bool
    tried: tuple[str, ...]
    tried_negative: tuple[str, ...]
    remark: Remark | None

    @property
    def takes_nothing(self) -> bool:
        """Whether nothing is written after it."""
        return not self.operand.takes

    def said(self, negated: bool) -> str:
        """Its own word, or that of its opposite."""
        if not negated:
            return self.word
        return self.negative[0] if self.negative else f"not {self.word}"

    def operands_in(self, text: ScalarNode) -> tuple[ScalarNode, ...]:
        """The operands in one text, none where it is blank."""
        if self.takes_nothing or not (text.text.strip() or text.style != "plain"):
            return ()
        return self.operand.parts(text)


COMPARISONS: Final[dict[str, Comparison]] = {}
"""Every comparison by its word, in the order of this module."""


def comparison(
    word: str,
    *words: str,
    operand: Operand,
    negative: tuple[str, ...] = (),
    whole: bool = False,
    needs_before: bool = False,
    tried: tuple[str, ...] = (),
    tried_negative: tuple[str, ...] = (),
    remark: Remark | None = None,
) -> Callable[[Judge], Judge]:
    """Declare a function as the comparison of these words."""

    def declare(judge: Judge) -> Judge:
        help = " ".join((judge.__doc__ or "").split())
        spellings = (word, *words)
        COMPARISONS[word] = Comparison(
            word,
            spellings,
            negative,
            operand,
            judge,
            help,
            whole,
            needs_before,
            tried,
            tried_negative,
            remark,
        )
        return judge

    return declare


# The comparisons.


@comparison(
    "is",
    "equals",
    "equal to",
    "=",
    "==",
    operand=VALUE,
    negative=("is not", "isn't", "does not equal", "not equal to", "!=", "<>", "≠"),
)
def equals(found: object, wanted: Wanted, scope: Scope) -> bool:
    """The value is this one: `USD`, `10.63`, `yes`; a list of values means one of them.

    Case and outer blanks do not count, and amounts are compared as amounts.
    """
    if isinstance(found, str):
        return _equals_text(found, wanted, scope)
    if isinstance(found, bool):
        return found is wanted.truth
    if isinstance(found, int | Decimal):
        return wanted.amount == found or fold(number_text(found)) == wanted.text
    return False


def _equals_text(found: str, wanted: Wanted, scope: Scope) -> bool:
    folded = fold(found)
    if folded == wanted.text:
        return True
    if wanted.amount is not None and not is_code(folded):
        amount = read_amount(found)
        return amount is not None and amount.value == wanted.amount
    if wanted.day is None:
        return False
    moment = read_moment(found, scope.shop.timezone)
    return moment is not None and local_day(moment, scope.shop.timezone) == wanted.day


@comparison("one of", operand=VALUES, negative=("not one of", "none of"))
def one_of(found: object, wanted: Wanted, scope: Scope) -> bool:
    """The value is one of these: `one of chord, app`, or a list."""
    return equals(found, wanted, scope)


@comparison("exactly", operand=EXACT, negative=("not exactly",))
def exactly(found: str, wanted: str, scope: Scope) -> bool:
    """The text is exactly this, with its case and blanks."""
    return found == wanted


@comparison(
    "at least", ">=", "≥", operand=AMOUNT,
    tried=("minimum", "no less than", "not less than", "greater or equal", "greater than or equal to"),
)  # fmt: skip
def at_least(found: Amount, wanted: Amount, scope: Scope) -> bool:
    """The amount is this or more; with a currency (`200 USD`) the object's currency must be that one."""
    return found.value >= wanted.value


@comparison(
    "more than", ">", operand=AMOUNT,
    tried=("bigger than", "greater than", "larger than", "higher than", "over", "above", "exceeds"),
)  # fmt: skip
def more_than(found: Amount, wanted: Amount, scope: Scope) -> bool:
    """The amount is above this."""
    return found.value > wanted.value


@comparison(
    "at most", "<=", "≤", operand=AMOUNT,
    tried=("maximum", "no more than", "not more than", "up to", "less or equal", "less than or equal to"),
)  # fmt: skip
def at_most(found: Amount, wanted: Amount, scope: Scope) -> bool:
    """The amount is this or less."""
    return found.value <= wanted.value


@comparison(
    "less than", "<", operand=AMOUNT, tried=("smaller than", "lower than", "fewer than", "under", "below")
)
def less_than(found: Amount, wanted: Amount, scope: Scope) -> bool:
    """The amount is below this."""
    return found.value < wanted.value


@comparison("between", operand=RANGE, negative=("not between",))
def between(found: Amount, wanted: tuple[Amount, Amount], scope: Scope) -> bool:
    """The amount is one of these two or lies between them: `between 100 and 200`."""
    low, high = wanted
    return low.value <= found.value <= high.value


@comparison(
    "contains",
    operand=TEXT,
    negative=("does not contain", "doesn't contain", "not contains"),
    tried=("includes", "include"),
    remark=lambda found, wanted: (
        f"; for a whole part between | write `has part {wanted}`" if "|" in found else ""
    ),
)
def contains(found: str, wanted: str, scope: Scope) -> bool:
    """The text has this in it."""
    return wanted in found


@comparison(
    "starts with",
    operand=TEXT,
    negative=("does not start with", "doesn't start with", "not starts with"),
    tried=("begins with", "begin with"),
)
def starts_with(found: str, wanted: str, scope: Scope) -> bool:
    """The text begins with this."""
    return found.startswith(wanted)


@comparison(
    "ends with",
    operand=TEXT,
    negative=("does not end with", "doesn't end with", "not ends with"),
    tried=("finishes with",),
)
def ends_with(found: str, wanted: str, scope: Scope) -> bool:
    """The text ends with this: `ends with @example.com`."""
    return found.endswith(wanted)


@comparison(
    "matches regex", operand=REGEX, negative=("does not match regex",), tried=("matches regexp", "regex")
)
def matches_regex(found: str, wanted: Pattern, scope: Scope) -> bool:
    """The pattern (a regular expression in RE2's syntax) is found in the text; `^` and `$` tie it to the ends."""
    return wanted.search(found)


@comparison("matches", operand=WILDCARDS, negative=("does not match", "doesn't match", "not matches"))
def matches(found: str, wanted: Pattern, scope: Scope) -> bool:
    """The whole text is like this, where `*` stands for any letters and `?` for one: `product-*`."""
    return wanted.fullmatch(found)


@comparison("has part", operand=TEXT, negative=("has no part", "does not have part"))
def has_part(found: str, wanted: str, scope: Scope) -> bool:
    """One of the parts between `|` is this: a bundle's SKU is its parts', as in `mug|plate`."""
    return wanted in map(str.strip, found.split("|"))


@comparison("in list", "in the list", operand=LIST_NAME, negative=("not in list", "not in the list"))
def in_list(found: object, wanted: str, scope: Scope) -> bool:
    """The text stands in one of the shop's lists, `rules/lists/*.csv`: `in list vip customers`."""
    return found in _list(wanted, scope)


def _list(name: str, scope: Scope) -> frozenset[str]:
    if name in scope.lists:
        return scope.lists[name]
    for other, values in scope.lists.items():
        if normal_key(other) == name:
            return values
    raise CannotTell(f'there is no list called "{name}"')


@comparison(
    "present",
    "not missing",
    "not empty",
    operand=NOTHING,
    whole=True,
    negative=("missing", "not present"),
    tried=("is set", "filled", "not blank"),
    tried_negative=("empty", "blank", "not set"),
)
def present(seen: Seen, wanted: None, scope: Scope) -> bool:
    """There is a value: the field is there, and neither null nor empty or blank."""
    return not all(is_nothing(value) for value in seen.found)


@comparison(
    "exists", operand=NOTHING, whole=True, negative=("is absent", "absent", "does not exist", "not exists")
)
def exists(seen: Seen, wanted: None, scope: Scope) -> bool:
    """The field is there, whatever it holds, even null; `is absent` is the opposite."""
    return bool(seen.found)


@comparison("is null", operand=NOTHING, whole=True, negative=("is not null", "not null"))
def is_null(seen: Seen, wanted: None, scope: Scope) -> bool:
    """The field is there and holds null; not when it is absent, and not when it is an empty text."""
    return any(value is None for value in seen.found)


@comparison("is empty", operand=NOTHING, whole=True)
def is_empty(seen: Seen, wanted: None, scope: Scope) -> bool:
    """The field holds an empty or blank text, list or object; not null, and not absent (`missing` is all of them)."""
    return any(value is not None and is_nothing(value) for value in seen.found)


_SKEW: Final = timedelta(minutes=5)


@comparison(
    "within last",
    "within the last",
    "in the last",
    "in last",
    operand=DURATION,
    tried=("newer than", "younger than"),
)
def within_last(found: datetime, wanted: timedelta, scope: Scope) -> bool:
    """The time lies at most so long ago: `within last 2 hours`. Five minutes ahead are taken for a clock that is fast."""
    return scope.now - wanted <= found <= scope.now + _SKEW


@comparison("older than", operand=DURATION, tried=("longer ago than", "earlier than"))
def older_than(found: datetime, wanted: timedelta, scope: Scope) -> bool:
    """The time lies longer ago: `older than 48 hours`."""
    return found < scope.now - wanted


@comparison("before", operand=MOMENT, tried=("until",))
def before(found: datetime, wanted: str, scope: Scope) -> bool:
    """The time lies before this; a day alone (`before 2026-12-24`) means before it begins in the shop's zone."""
    moment = read_moment(wanted, scope.shop.timezone)
    return moment is not None and found < moment


@comparison("after", operand=MOMENT, tried=("since", "later than"))
def after(found: datetime, wanted: str, scope: Scope) -> bool:
    """The time lies after this; a day alone (`after 2026-12-24`) means after it ends in the shop's zone."""
    day = read_day(wanted)
    if day is not None:
        return local_day(found, scope.shop.timezone) > day
    moment = read_moment(wanted, scope.shop.timezone)
    return moment is not None and found > moment


@comparison("on a weekend", "on weekend", "on weekends", "on the weekend", operand=TIME)
def on_a_weekend(found: datetime, wanted: None, scope: Scope) -> bool:
    """The time falls on a Saturday or Sunday in the shop's zone."""
    return local_day(found, scope.shop.timezone).weekday() >= 5


@comparison("on a weekday", "on weekday", "on weekdays", operand=TIME)
def on_a_weekday(found: datetime, wanted: None, scope: Scope) -> bool:
    """The time falls on Monday to Friday in the shop's zone."""
    return not on_a_weekend(found, wanted, scope)


@comparison(
    "changed",
    operand=NOTHING,
    whole=True,
    needs_before=True,
    negative=("not changed", "unchanged", "did not change"),
)
def changed(seen: Seen, wanted: None, scope: Scope) -> bool:
    """The value is not what the last payload of the same object had; no when the object is seen for the first time."""
    return seen.before is not None and _states(seen.before) != _states(seen.found)


@comparison(
    "changed to",
    tried=("changed", "changed into", "becomes", "became"),
    operand=VALUE,
    whole=True,
    needs_before=True,
    negative=("not changed to", "did not change to"),
)
def changed_to(seen: Seen, wanted: Wanted, scope: Scope) -> bool:
    """The value became this. An object that is seen for the first time has become what it is then, so that an
    alarm is not lost because nobody knew the parcel before.
    """
    is_now = any(equals(value, wanted, scope) for value in spread(seen.found))
    return is_now and (seen.before is None or _states(seen.before) != _states(seen.found))


@comparison(
    "changed from",
    operand=EARLIER,
    whole=True,
    needs_before=True,
    negative=("not changed from", "did not change from"),
)
def changed_from(seen: Seen, wanted: Wanted, scope: Scope) -> bool:
    """The value was this in the last payload of the same object and is another now; no when none is known."""
    if seen.before is None or _states(seen.before) == _states(seen.found):
        return False
    return any(equals(value, wanted, scope) for value in spread(seen.before))


def spread(values: Iterable[object]) -> list[object]:
    """Found values with the items of a list in place of the list."""
    flat: list[object] = []
    for value in values:
        if isinstance(value, list):
            flat += spread(value)
        else:
            flat.append(value)
    return flat


def _states(values: list[object]) -> list[object]:
    """Values as a change of state is told: no value is one state, and texts are compared as texts are."""
    return [None if is_nothing(value) else _state(value) for value in values or [None]]


def _state(value: object) -> object:
    amount = read_amount(value)
    if amount is not None and not (isinstance(value, str) and is_code(value.strip())):
        return amount.value
    return fold(value) if isinstance(value, str) else (type(value).__name__, value)


# Keys by which equal values are found in an index.

_TRUTH_KEYS: Final = {True: "\0yes", False: "\0no"}


def wanted_keys(wanted: Wanted) -> frozenset[Hashable]:
    """The keys of which a found value has at least one if `is` says yes of it."""
    keys: set[Hashable] = {wanted.text}
    if wanted.amount is not None:
        keys.add(wanted.amount)
    if wanted.truth is not None:
        keys.add(_TRUTH_KEYS[wanted.truth])
    return frozenset(keys)


def equality_keys(value: object) -> frozenset[Hashable]:
    """The keys of a found value: where they share none with those of an operand, `is` certainly says no."""
    if isinstance(value, str):
        amount = read_amount(value)
        return frozenset((fold(value),) if amount is None else (fold(value), amount.value))
    if isinstance(value, bool):
        return frozenset((_TRUTH_KEYS[value],))
    if isinstance(value, int | Decimal):
        return frozenset((fold(number_text(value)), value))
    if isinstance(value, list):
        return frozenset(key for item in value for key in equality_keys(item))
    return frozenset()
