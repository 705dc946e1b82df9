"""Conditions as they judge an event: one comparison, a group of lines, lines about the items of a list, a formula.

An answer is yes, no or could not tell. Groups combine them as one would by reason: `all` is no as soon as one
line is no, `any` is yes as soon as one is yes, and what could not be told stays open only where it matters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import MAX_EMAX, Context, Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from engine.language.amount import read_amount
from engine.language.conditions.operands import (
    AMOUNT,
    RANGE,
    CannotTell,
    MomentOperand,
    is_nothing,
    number_text,
)
from engine.language.moment import names_its_zone, read_moment
from engine.language.node import ScalarNode
from engine.language.operators import Comparison, Seen, spread, wanted_keys
from engine.language.path import Path, PathLimit, join_paths
from engine.language.plain import cut, one_line, printable
from engine.language.problem import Mark
from engine.language.scope import Scope
from engine.language.words import listing, plural
from engine.model import Answer

if TYPE_CHECKING:
    from engine.language.template import Formula

YES: Final = Answer.YES
NO: Final = Answer.NO
UNKNOWN: Final = Answer.UNKNOWN
_OPPOSITE: Final = {YES: NO, NO: YES, UNKNOWN: UNKNOWN}

MOST_FOUND: Final = 20
"""How many found values a verdict keeps."""

Equality: TypeAlias = tuple[Path, frozenset[Hashable]]
"""A path of the event, and keys of which a value found there must have one if the condition is to say yes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition said of an event: its sentence, the answer, what was found and why, and its parts."""

    text: str
    answer: Answer
    mark: Mark
    found: tuple[object, ...] = ()
    because: str = ""
    parts: tuple[Verdict, ...] = ()


class Condition(ABC):
    """Something under `if` or `unless` that is asked about an event. `text` is its sentence."""

    mark: Mark
    text: str

    def judge(self, scope: Scope) -> Verdict:
        """What it says of an event, with what was found and why."""
        return self.verdict_on(scope.root, scope)

    def answer(self, scope: Scope) -> Answer:
        """What it says of an event, without the reasons: the quick way to the same answer."""
        return self.answer_on(scope.root, scope)

    @abstractmethod
    def verdict_on(self, here: object, scope: Scope) -> Verdict:
        """What it says of a value of the event: the whole of it, or an item of one of its lists."""

    @abstractmethod
    def answer_on(self, here: object, scope: Scope) -> Answer:
        """The answer of `verdict_on` alone."""

    @abstractmethod
    def leaves(self) -> tuple[Leaf, ...]:
        """Every single comparison in it."""

    def formulas(self) -> tuple[Formula, ...]:
        """Every formula in it."""
        return ()

    def equalities(self) -> tuple[Equality, ...]:
        """What must be met for a yes; where one of them is not, the answer is certainly no."""
        return ()

    def equality(self) -> Equality | None:
        """The first of `equalities`, None where there is none."""
        return next(iter(self.equalities()), None)

    @property
    def needs_before(self) -> bool:
        """Whether it compares with the last payload known of the same object."""
        return any(leaf.comparison.needs_before for leaf in self.leaves())


def all_of(answers: Iterable[Answer]) -> Answer:
    """No if one is no, else could not tell if one could not, else yes."""
    result = YES
    for answer in answers:
        if answer is NO:
            return NO
        if answer is UNKNOWN:
            result = UNKNOWN
    return result


def any_of(answers: Iterable[Answer]) -> Answer:
    """Yes if one is yes, else could not tell if one could not, else no."""
    return _OPPOSITE[all_of(_OPPOSITE[answer] for answer in answers)]


def none_of(answers: Iterable[Answer]) -> Answer:
    """The opposite of `any_of`."""
    return all_of(_OPPOSITE[answer] for answer in answers)


def every_one_of(answers: Iterable[Answer]) -> Answer:
    """Like `all_of`, but no where there is nothing at all: people read it as "there are some"."""
    answers = list(answers)
    return all_of(answers) if answers else NO


Combine: TypeAlias = Callable[[Iterable[Answer]], Answer]
Quantifier: TypeAlias = Literal["any of", "every one of", "none of"]
QUANTIFIERS: Final[dict[Quantifier, Combine]] = {
    "any of": any_of,
    "every one of": every_one_of,
    "none of": none_of,
}

# One comparison.

_ABSENT: Final = object()
_EXACT: Final = Context(prec=200, Emax=MAX_EMAX, traps=[])

Measure: TypeAlias = Literal["count of", "sum of"]


def count(found: list[object]) -> int:
    """How many items a list has; where a path leads to several values, how many there are."""
    if len(found) == 1 and isinstance(found[0], list):
        return len(found[0])
    return sum(not is_nothing(value) for value in spread(found))


def total(found: list[object], path: Path) -> Decimal:
    """The sum of the amounts found, those without value left out. Raises `CannotTell` at what is no amount."""
    result = Decimal(0)
    for value in spread(found):
        if is_nothing(value):
            continue
        amount = read_amount(value)
        if amount is None:
            raise CannotTell(f"{path.text} is {_quoted(value)} and cannot be added up")
        result = _EXACT.add(result, amount.value)
    return result


@dataclass(slots=True)
class _Weighed:
    """An answer with what it rests on: all values found, the one that decided, and a reason beyond the usual."""

    answer: Answer
    values: list[object]
    hit: object = _ABSENT
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Leaf(Condition):
    """One comparison of one field.

    `mark` is the place of the field, `operands` what the comparison is given, with their places, `wanted` the
    same as it was read. `field` is the bare path of the field from the event's root, also for a line about
    an item, None where that is not simple. `currency` is the one the rule names, and `money` the
    object whose `currency` must be that one.
    """

    mark: Mark
    text: str
    path: Path
    comparison: Comparison
    negated: bool
    operands: tuple[ScalarNode, ...]
    wanted: tuple[Any, ...]
    field: str | None
    money: str = ""
    currency: str = ""
    quantifier: Quantifier | None = None
    measure: Measure | None = None

    @property
    def word(self) -> str:
        """The comparison's own word, or that of its opposite: `at least`, `is not`."""
        return self.comparison.said(self.negated)

    @property
    def lacks_currency(self) -> bool:
        """Whether it compares an amount and names no currency."""
        of_amounts = self.comparison.operand in (AMOUNT, RANGE) and self.measure != "count of"
        return of_amounts and not self.currency

    def leaves(self) -> tuple[Leaf, ...]:
        """Itself."""
        return (self,)

    def equalities(self) -> tuple[Equality, ...]:
        """The values it accepts, where it is an equality on a simple path."""
        equality = (
            self.comparison.word in ("is", "one of") and not self.negated and self.path.steps is not None
        )
        if (
            not equality
            or self.measure
            or self.quantifier == "none of"
            or any(one.day for one in self.wanted)
        ):
            return ()
        return ((self.path, frozenset(key for one in self.wanted for key in wanted_keys(one))),)

    def answer_on(self, here: object, scope: Scope) -> Answer:
        """The answer alone."""
        return self._weigh(here, scope).answer

    def verdict_on(self, here: object, scope: Scope) -> Verdict:
        """The answer with its reasons."""
        weighed = self._weigh(here, scope)
        because = weighed.why or self._because(weighed, scope)
        return Verdict(self.text, weighed.answer, self.mark, tuple(weighed.values[:MOST_FOUND]), because)

    def _weigh(self, here: object, scope: Scope) -> _Weighed:
        try:
            found = self.path.find(here if self.path.bare else scope.root)
            if self.measure is not None:
                found = [count(found) if self.measure == "count of" else total(found, self.path)]
            return (
                self._weigh_whole(found, scope) if self.comparison.whole else self._weigh_each(found, scope)
            )
        except (CannotTell, PathLimit) as reason:
            return _Weighed(UNKNOWN, [], why=str(reason))

    # Comparisons of all that was found.

    def _weigh_whole(self, found: list[object], scope: Scope) -> _Weighed:
        if self.quantifier is not None:
            answers = [self._whole(Seen([value]), scope) for value in spread(found)]
            return _Weighed(QUANTIFIERS[self.quantifier](answers), found)
        if not self.comparison.needs_before:
            return _Weighed(self._whole(Seen(found), scope), found)
        if _is_late(scope):
            return _Weighed(
                NO, found, why="the event is late: something newer of the same object was known already"
            )
        before = self._before(scope)
        return _Weighed(self._whole(Seen(found, before), scope), found, why=_change(found, before))

    def _whole(self, seen: Seen, scope: Scope) -> Answer:
        judge = self.comparison.judge
        holds = any(judge(seen, wanted, scope) for wanted in self.wanted or (None,))
        return YES if holds is not self.negated else NO

    def _before(self, scope: Scope) -> list[object] | None:
        """What the last payload of the same object had; None where none is known, or it has no such part."""
        before = scope.before
        if before is None or (self.path.first and self.path.first not in before):
            return None
        return self.path.find(before)

    # Comparisons of one found value after the other.

    def _weigh_each(self, found: list[object], scope: Scope) -> _Weighed:
        values = found if len(found) == 1 and not isinstance(found[0], list) else spread(found)
        foreign = self._foreign_currency(scope) if self.currency and values else ""
        if foreign:
            return _Weighed(
                YES if self.negated is not (self.quantifier == "none of") else NO, found, why=foreign
            )
        if self.quantifier is not None:
            answers = [self._said_of(value, scope) for value in values]
            return self._quantified(self.quantifier, answers, values, found)
        unread = _ABSENT
        for value in values:
            answer = self._of(value, scope)
            if answer is YES:
                return _Weighed(NO if self.negated else YES, values, value)
            if answer is UNKNOWN:
                unread = value
        if unread is not _ABSENT:
            return _Weighed(UNKNOWN, values, why=self._unread(unread, found))
        return _Weighed(YES if self.negated else NO, values)

    def _of(self, value: object, scope: Scope) -> Answer:
        """What the comparison, not its opposite, says of one value."""
        if is_nothing(value):
            return NO
        read = self.comparison.operand.of(value, scope)
        if read is None:
            return UNKNOWN
        judge = self.comparison.judge
        for wanted in self.wanted or (None,):
            if judge(read, wanted, scope):
                return YES
        return NO

    def _said_of(self, value: object, scope: Scope) -> Answer:
        answer = self._of(value, scope)
        return _OPPOSITE[answer] if self.negated else answer

    def _quantified(
        self, quantifier: Quantifier, answers: list[Answer], values: list[object], found: list[object]
    ) -> _Weighed:
        answer = QUANTIFIERS[quantifier](answers)
        if quantifier == "every one of" and not values:
            return _Weighed(answer, values, why=f'{self.path.text} is empty, so "every one of" is not met')
        if answer is UNKNOWN:
            return _Weighed(answer, values, why=self._unread(values[answers.index(UNKNOWN)], found))
        telling = NO if quantifier == "every one of" else YES
        return _Weighed(answer, values, values[answers.index(telling)] if telling in answers else _ABSENT)

    # Currencies.

    def _foreign_currency(self, scope: Scope) -> str:
        """Why the amounts are not comparable: the object is in another currency than the rule names; else ""."""
        owner, currency = _currency_of(self.money, scope)
        if currency == self.currency:
            return ""
        if not currency:
            return f"{owner} has no currency, the rule speaks of {self.currency}"
        return f"{owner} is in {currency}, the rule speaks of {self.currency}"

    # Reasons.

    def _unread(self, value: object, found: list[object]) -> str:
        """Why the comparison could not be made; of the entries of a list it is the list that is named."""
        if isinstance(value, dict) and len(found) == 1 and isinstance(found[0], list):
            value = found[0]
        wanted = self.comparison.operand.unreadable.format(
            wanted=_operand_text(self.comparison, self.operands)
        )
        return f"{self.path.text} is {_quoted(value)} and {wanted}"

    def _because(self, weighed: _Weighed, scope: Scope) -> str:
        if self.comparison.word in ("exists", "is null", "is empty"):
            return _exactly_found(weighed.values)
        telling = [value for value in weighed.values if not is_nothing(value)]
        if not telling:
            return self.comparison.operand.nothing
        hit = weighed.hit
        if hit is _ABSENT:
            return _they_are(telling) + self._zone_remark(telling, scope)
        remark = self._remark(hit, scope) + self._zone_remark([hit], scope)
        return f"{'it is' if len(weighed.values) == 1 else 'one of them is'} {shown(hit)}{remark}"

    def _remark(self, hit: object, scope: Scope) -> str:
        remark = self.comparison.remark
        return remark(self.comparison.operand.of(hit, scope), self.wanted[0]) if remark else ""

    def _zone_remark(self, values: list[object], scope: Scope) -> str:
        """Times without an offset are read in the shop's zone, and that is said."""
        if not isinstance(self.comparison.operand, MomentOperand):
            return ""
        zone = scope.shop.timezone
        read = [value for value in values if isinstance(value, str) and read_moment(value, zone)]
        return f", read in {zone}" if any(not names_its_zone(value) for value in read) else ""


def _is_late(scope: Scope) -> bool:
    event = scope.root.get("event")
    return isinstance(event, dict) and event.get("late") is True


def _currency_of(name: str, scope: Scope) -> tuple[str, str]:
    """Whose currency counts for an object's amounts, and which it is: its own, else its order's, else the shop's."""
    for owner in (name, "order"):
        part = scope.root.get(owner)
        if isinstance(part, dict) and "currency" in part:
            currency = part["currency"]
            return f"the {owner.replace('_', ' ')}", currency.strip().upper() if isinstance(
                currency, str
            ) else ""
    return "the shop", scope.shop.currency


# Found values in sentences.


def shown(value: object) -> str:
    """A found value as a sentence shows it."""
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and len(value) <= 60:
            return f"'{value}'"
        return f"'{cut(one_line(printable(value)), 60)}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return cut(number_text(value), 60)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "null" if value is None else "an object"


def _quoted(value: object) -> str:
    """A found value that does not fit, as the messages of a rule's faults quote it."""
    return f'"{shown(value)[1:-1]}"' if isinstance(value, str) else shown(value)


def _they_are(values: list[object]) -> str:
    if len(values) == 1:
        return f"it is {shown(values[0])}"
    more = [plural(len(values) - 4, "more", "more")] if len(values) > 5 else []
    return f"they are {listing([shown(value) for value in values[: 4 if more else 5]] + more)}"


def _exactly_found(values: list[object]) -> str:
    if not values:
        return "it is absent"
    if is_nothing(values[0]) and values[0] is not None:
        return f"it is an empty {'text' if isinstance(values[0], str) else 'list' if values[0] == [] else 'object'}"
    return _they_are(values)


def _change(found: list[object], before: list[object] | None) -> str:
    now = _state_text(found)
    if before is None:
        return f"it is {now}; nothing earlier is known of it"
    return f"it is {now}, it was {_state_text(before)}"


def _state_text(values: list[object]) -> str:
    telling = [shown(value) for value in values if not is_nothing(value)]
    return listing(telling[:5]) or "empty"


def _operand_text(comparison: Comparison, operands: Iterable[ScalarNode]) -> str:
    separator = " and " if comparison.operand is RANGE else ", "
    return separator.join(one_line(operand.text) for operand in operands)


def sentence(label: str, comparison: Comparison, negated: bool, operands: Iterable[ScalarNode]) -> str:
    """A comparison as one reads it: `order.total at least 200 USD`."""
    return " ".join(filter(None, (label, comparison.said(negated), _operand_text(comparison, operands))))


# Groups.


@dataclass(frozen=True, slots=True, eq=False)
class Group(Condition):
    """Several conditions of which all, any or none must hold."""

    mark: Mark
    text: str
    kind: Literal["all", "any", "not"]
    lines: tuple[Condition, ...]

    def leaves(self) -> tuple[Leaf, ...]:
        """Those of its lines."""
        return tuple(leaf for line in self.lines for leaf in line.leaves())

    def formulas(self) -> tuple[Formula, ...]:
        """Those of its lines."""
        return tuple(formula for line in self.lines for formula in line.formulas())

    def equalities(self) -> tuple[Equality, ...]:
        """Where all must hold, those of each line."""
        if self.kind != "all":
            return ()
        return tuple(equality for line in self.lines for equality in line.equalities())

    def answer_on(self, here: object, scope: Scope) -> Answer:
        """The answers of its lines combined, as few of them as are needed."""
        return _GROUPS[self.kind](line.answer_on(here, scope) for line in self.lines)

    def verdict_on(self, here: object, scope: Scope) -> Verdict:
        """The answers of all its lines, combined."""
        parts = tuple(line.verdict_on(here, scope) for line in self.lines)
        answer = _GROUPS[self.kind](part.answer for part in parts)
        return Verdict(self.text, answer, self.mark, (), _GROUP_BECAUSE[self.kind, answer], parts)


_GROUPS: Final[dict[str, Combine]] = {"all": all_of, "any": any_of, "not": none_of}
_GROUP_BECAUSE: Final[dict[tuple[str, Answer], str]] = {
    ("all", YES): "all of them hold",
    ("all", NO): "one of them does not hold",
    ("any", YES): "one of them holds",
    ("any", NO): "none of them holds",
    ("not", YES): "none of them holds",
    ("not", NO): "one of them holds",
    ("all", UNKNOWN): "one of them could not be told",
    ("any", UNKNOWN): "one of them could not be told",
    ("not", UNKNOWN): "one of them could not be told",
}


@dataclass(frozen=True, slots=True, eq=False)
class Items(Condition):
    """Lines that any, every or no item of a list must meet, all of them on the same item."""

    mark: Mark
    text: str
    quantifier: Quantifier
    whole: Leaf
    lines: tuple[Condition, ...]

    def leaves(self) -> tuple[Leaf, ...]:
        """The list itself, and the comparisons of its lines."""
        return (self.whole, *(leaf for line in self.lines for leaf in line.leaves()))

    def formulas(self) -> tuple[Formula, ...]:
        """Those of its lines."""
        return tuple(formula for line in self.lines for formula in line.formulas())

    def equalities(self) -> tuple[Equality, ...]:
        """Those of its lines, as of the event: an item that meets them must be there."""
        if self.quantifier == "none of":
            return ()
        return tuple(self._equalities())

    def _equalities(self) -> Iterator[Equality]:
        for line in self.lines:
            for path, keys in line.equalities():
                whole = join_paths(self.whole.path, path) if path.bare else path
                if whole is not None:
                    yield whole, keys

    def answer_on(self, here: object, scope: Scope) -> Answer:
        """The answers of the items combined, as few of them as are needed."""
        try:
            items = self._items(here, scope)
        except PathLimit:
            return UNKNOWN
        return QUANTIFIERS[self.quantifier](self._item_answer(item, scope) for item in items)

    def _item_answer(self, item: object, scope: Scope) -> Answer:
        return all_of(line.answer_on(item, scope) for line in self.lines)

    def verdict_on(self, here: object, scope: Scope) -> Verdict:
        """The answers of the items combined, with the lines of those that decided."""
        try:
            items = self._items(here, scope)
        except PathLimit as reason:
            return Verdict(self.text, UNKNOWN, self.mark, (), str(reason))
        answers = [self._item_answer(item, scope) for item in items]
        answer = QUANTIFIERS[self.quantifier](answers)
        places = self._telling(answer, answers)
        parts = tuple(self._item_verdict(place, items[place], scope) for place in places)
        return Verdict(self.text, answer, self.mark, (), self._because(answer, answers, places), parts)

    def _items(self, here: object, scope: Scope) -> list[object]:
        path = self.whole.path
        found = path.find(here if path.bare else scope.root)
        return [item for value in found for item in (value if isinstance(value, list) else [value])]

    def _telling(self, answer: Answer, answers: list[Answer]) -> list[int]:
        """The items that decided: the one that made the answer, or the first three where all did."""
        decisive = NO if self.quantifier == "every one of" else YES
        wanted = UNKNOWN if answer is UNKNOWN else decisive
        return [answers.index(wanted)] if wanted in answers else list(range(min(3, len(answers))))

    def _item_verdict(self, place: int, item: object, scope: Scope) -> Verdict:
        parts = tuple(line.verdict_on(item, scope) for line in self.lines)
        return Verdict(f"item {place + 1}", all_of(part.answer for part in parts), self.mark, (), "", parts)

    def _because(self, answer: Answer, answers: list[Answer], places: list[int]) -> str:
        if not answers:
            return f'{self.whole.path.text} is empty, so "{self.quantifier}" is {"" if answer is YES else "not "}met'
        if answer is UNKNOWN:
            return f"item {places[0] + 1} could not be told"
        return {
            ("any of", YES): f"item {places[0] + 1} does",
            ("any of", NO): f"none of the {plural(len(answers), 'item')} does",
            ("every one of", YES): f"all of the {plural(len(answers), 'item')} do",
            ("every one of", NO): f"item {places[0] + 1} does not",
            ("none of", YES): f"none of the {plural(len(answers), 'item')} does",
            ("none of", NO): f"item {places[0] + 1} does",
        }[self.quantifier, answer]


@dataclass(frozen=True, slots=True, eq=False)
class FormulaCondition(Condition):
    """A sandboxed expression that says true or false."""

    mark: Mark
    text: str
    formula: Formula

    def leaves(self) -> tuple[Leaf, ...]:
        """None: what a formula reads, it tells itself (`formula.reads`)."""
        return ()

    def formulas(self) -> tuple[Formula, ...]:
        """Its formula."""
        return (self.formula,)

    def answer_on(self, here: object, scope: Scope) -> Answer:
        """The answer alone."""
        return self.verdict_on(here, scope).answer

    def verdict_on(self, here: object, scope: Scope) -> Verdict:
        """What the expression gives; anything but true or false could not be told."""
        from engine.language.template import FormulaGap

        if here is not scope.root and isinstance(here, dict):
            scope = replace(scope, root={**scope.root, **here})
        try:
            value = self.formula.value(scope)
        except FormulaGap as gap:
            return Verdict(self.text, UNKNOWN, self.mark, (), gap.because)
        if isinstance(value, bool):
            return Verdict(self.text, YES if value else NO, self.mark, (value,), f"it is {shown(value)}")
        because = f"it gives {shown(value)}, which is neither true nor false"
        return Verdict(self.text, UNKNOWN, self.mark, (value,), because)
