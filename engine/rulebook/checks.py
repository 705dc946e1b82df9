"""What is probably wrong with a rule that reads well: each check is one function here, found by its mark.

Unknown fields are errors, since a rule on one would never fire; values never seen are warnings, since the
order system may grow new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.language.amount import Amount
from engine.language.condition import Leaf
from engine.language.path import parse_path
from engine.language.problem import Mark, Problems
from engine.language.template import Read
from engine.language.words import listing, nearest, normal_key
from engine.rulebook.rule import Rule
from engine.sources.base import EventType, FieldInfo

if TYPE_CHECKING:
    from engine.rulebook.loader import Language

COLLECTING = ("digest", "over")
"""The words after which a message speaks of several events: `events`, `count`, `first` and `last`."""

Check = Callable[["Context"], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    """Marks a function of this module as a check of every rule."""
    CHECKS.append(function)
    return function


@dataclass(frozen=True)
class Context:
    """One rule, what it may speak of, and where its faults go."""

    rule: Rule
    language: Language
    lists: Mapping[str, frozenset[str]]
    problems: Problems

    @cached_property
    def types(self) -> tuple[EventType, ...]:
        """The event types that the rule listens to."""
        return tuple(self.language.event_types[name] for name in sorted(self.rule.events))

    @cached_property
    def fields(self) -> Mapping[str, FieldInfo]:
        """Every field that an event of the rule can have, by bare path, joined ones included."""
        return {path: info for event in self.types for path, info in fields_of(event, self.language).items()}

    def field(self, path: str) -> FieldInfo | None:
        """The field at a bare path, whose list steps may be written or left out."""
        return self.fields.get(path) or self._spread.get(path.replace("[*]", ""))

    @cached_property
    def _spread(self) -> Mapping[str, FieldInfo]:
        return {path.replace("[*]", ""): info for path, info in self.fields.items()}

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every single comparison of the rule."""
        return tuple(leaf for condition in self.rule.judges for leaf in condition.leaves())

    @cached_property
    def reads(self) -> tuple[Read, ...]:
        """Every field that a message of the rule prints; of collected events, the fields of each of them."""
        reads = (
            read
            for action in self.rule.actions
            for value in action.values.values()
            for template in value.templates()
            for read in template.reads
        )
        if not any(word.word in COLLECTING for word in self.rule.postponed):
            return tuple(reads)
        return tuple(replace(read, path=_of_one(read.path)) for read in reads)


    @cached_property
    def asked_for(self) -> frozenset[str]:
        """The fields that an event must have for the rule to fire."""
        leaves = (leaf for condition in self.rule.conditions for leaf in condition.leaves())
        infos = (self.field(leaf.field) for leaf in leaves if leaf.field is not None and not leaf.negated)
        return frozenset(info.path for info in infos if info is not None)

    def seen_empty(self, info: FieldInfo) -> bool:
        """Whether a field that may be empty is so in a sample of the rule's events."""
        return info.nullable and any(_is_empty_in(event.sample, info.path) for event in self.types)


def _of_one(path: tuple[str | int | None, ...]) -> tuple[str | int | None, ...]:
    """What a message says of collected events as it would say it of one: `events[*].order.total` is `order.total`."""
    if path[:1] == ("events",):
        return path[2:]
    return path[1:] if path[:1] in (("first",), ("last",), ("count",)) else path


def _is_empty_in(sample: Mapping[str, Any], path: str) -> bool:
    return any(value in (None, "") for value in parse_path(path).find(sample))


def check_rule(rule: Rule, language: Language, lists: Mapping[str, frozenset[str]], problems: Problems) -> None:
    """Run every check on a rule that was read."""
    context = Context(rule, language, lists, problems)
    if rule.events:
        for one in CHECKS:
            one(context)


EVENT_FIELDS: Mapping[str, FieldInfo] = {
    info.path: info
    for info in (
        FieldInfo("event", "object", help="the event itself"),
        FieldInfo("event_name", "text", help="the event's type as it was sent"),
        FieldInfo("event.id", "text", help="the event's number in the record"),
        FieldInfo("event.type", "text", help="the event's type"),
        FieldInfo("event.received_at", "time", help="when it arrived"),
        FieldInfo("event.late", "truth", help="whether something newer was known already"),
    )
}


def fields_of(event: EventType, language: Language) -> Mapping[str, FieldInfo]:
    """The fields of an event type: its payload's, those joined to it, and the event's own."""
    joined = {
        path: info for source in language.sources.values() for path, info in source.joined_fields(event.name).items()
    }
    return {**EVENT_FIELDS, **joined, **event.fields}


@check
def condition_fields_exist(context: Context) -> None:
    """A condition on a field that the rule's events do not have never holds."""
    for leaf in context.leaves:
        if leaf.field is not None and context.field(leaf.field) is None:
            _unknown_field(context, leaf.field, leaf.mark, "")


@check
def message_fields_exist(context: Context) -> None:
    """A message with a misspelt field would go out with a hole."""
    for read in context.reads:
        path = field_path(read.path)
        if path and context.field(path) is None:
            _unknown_field(context, path, read.mark, f"the message uses {path}, which ")


def field_path(steps: Iterable[str | int | None]) -> str:
    """The bare path of the steps of a lookup, any place in a list written `[*]`."""
    text = ""
    for step in steps:
        text += "[*]" if not isinstance(step, str) else f".{step}" if text else step
    return text


def _unknown_field(context: Context, path: str, mark: Mark, lead: str) -> None:
    elsewhere = _events_with(context, path)
    if elsewhere:
        events = listing(sorted(context.rule.events), "or")
        message = f"{path} does not exist in {events} events; it comes with {listing(elsewhere)}"
        context.problems.error(mark, message)
        return
    objects = listing(sorted({event.object.replace("_", " ") for event in context.types}))
    right = _nearest_field(context, path)
    tell = f"{lead}{objects} events do not have" if lead else f"{objects} events have no field {path}"
    if right is None:
        context.problems.error(mark, f"{tell}.")
        return
    example = context.fields[right].example
    seen = f' (last seen: "{example}")' if example not in (None, "") and not isinstance(example, list | dict) else ""
    context.problems.error(mark, f"{tell}. Did you mean `{right}`{seen}?", right)


def _events_with(context: Context, path: str) -> list[str]:
    flat = path.replace("[*]", "")
    return [
        name
        for name, event in context.language.event_types.items()
        if name not in context.rule.events and any(p.replace("[*]", "") == flat for p in event.fields)
    ]


def _nearest_field(context: Context, path: str) -> str | None:
    """The field most like it: among its neighbours first, then among all of them."""
    parent, _, name = path.rpartition(".")
    neighbours = {
        p.rpartition(".")[2]: p for p in context.fields if p.rpartition(".")[0].replace("[*]", "") == parent.replace("[*]", "")
    }
    near = nearest(name, neighbours)
    if near:
        return neighbours[near[0]]
    return next(iter(nearest(path, context.fields)), None)


@check
def values_can_occur(context: Context) -> None:
    """A condition on a value that the field never has is probably a slip."""
    for leaf in context.leaves:
        info = context.field(leaf.field) if leaf.field is not None else None
        if info is None or leaf.word not in ("is", "is not", "one of", "not one of", "changed to", "changed from"):
            continue
        for operand in leaf.operands:
            _value(context, info, operand.text, operand.mark)


def _value(context: Context, info: FieldInfo, value: str, mark: Mark) -> None:
    told = _spelling(context, info, value)
    if told:
        context.problems.warning(mark, told)
        return
    known = {normal_key(one) for one in info.values}
    if info.kind == "truth" and value.casefold() not in ("true", "false", "yes", "no", "on", "off"):
        context.problems.warning(mark, f'{info.path} is yes or no, so it is never "{value}"', "yes")
    elif known and normal_key(value) not in known:
        near = next(iter(nearest(value, info.values)), None)
        mean = f" Did you mean `{near}`?" if near else ""
        message = f'{info.path} is never "{value}".{mean} Values: {listing(info.values)}'
        context.problems.warning(mark, message, near or "")


def _spelling(context: Context, info: FieldInfo, value: str) -> str | None:
    hints = (source.hint(info.path, value) for source in context.language.sources.values())
    return next((hint for hint in hints if hint), None)


@check
def amounts_name_their_currency(context: Context) -> None:
    """A threshold without a currency counts yen as dollars; zero is zero in all of them."""
    for leaf in context.leaves:
        info = context.field(leaf.field) if leaf.field is not None else None
        if info is None or info.kind != "amount" or not leaf.lacks_currency:
            continue
        if not any(isinstance(one, Amount) and one.value for one in leaf.wanted):
            continue
        currency = context.language.shop.currency
        message = f"this amount has no currency, so 5,000 yen would count as 5,000 {currency}"
        context.problems.warning(leaf.mark, message, f"{leaf.text} {currency}")


@check
def lists_are_named_in_paths(context: Context) -> None:
    """A path through a list without `[*]` is understood, and said so."""
    for leaf in context.leaves:
        if leaf.field is None or leaf.field in context.fields:
            continue
        info = context.field(leaf.field)
        if info is not None and "[*]" in info.path and "[" not in leaf.field:
            of = info.path.partition("[*]")[0]
            name = info.path.rpartition(".")[2]
            message = f'{of} is a list, so {leaf.field} was read as "any item\'s {name}"'
            context.problems.note(leaf.mark, message, info.path)


@check
def lists_exist(context: Context) -> None:
    """A condition on a list that is not there never holds."""
    for leaf in context.leaves:
        if leaf.word not in ("in list", "not in list"):
            continue
        for operand in leaf.operands:
            if normal_key(operand.text) not in context.lists:
                _unknown_list(context, operand.text, operand.mark)


def _unknown_list(context: Context, name: str, mark: Mark) -> None:
    near = next(iter(nearest(name, context.lists)), None)
    mean = f" Did you mean `{near}`?" if near else ""
    have = f"Lists: {listing(context.lists)}" if context.lists else "There are no lists yet: put one in rules/lists"
    file = f"rules/lists/{normal_key(name).replace(' ', '-')}.csv"
    context.problems.error(mark, f'no list called "{name}" ({file}).{mean} {have}', near or "")


@check
def holes_have_a_default(context: Context) -> None:
    """A field that is often empty leaves a hole in the message, unless the rule asks for it to be there."""
    told: set[tuple[int, str]] = set()
    for read in context.reads:
        info = context.field(field_path(read.path))
        if info is None or read.guarded or read.typed or (read.mark.line, info.path) in told:
            continue
        if info.path in context.asked_for or not context.seen_empty(info):
            continue
        told.add((read.mark.line, info.path))
        message = f"{info.path} is often empty; the text would have a hole there. Add a default"
        context.problems.warning(read.mark, message, f"{{{{ {read.expression} or '…' }}}}")


@check
def amounts_are_not_read_as_plain_numbers(context: Context) -> None:
    """`float` and `int` are for plain numbers; `number` and `money` know amounts."""
    for read in context.reads:
        info = context.field(field_path(read.path))
        if info is not None and info.kind == "amount" and {"float", "int"} & set(read.filters):
            hint = f"{{{{ {field_path(read.path)} | number }}}}"
            context.problems.warning(read.mark, f"{info.path} is an amount: use `number` or `money`", hint)


def all_fields(language: Language) -> Iterator[FieldInfo]:
    """Every field of every event type, for the schema and the reference."""
    for event in language.event_types.values():
        yield from fields_of(event, language).values()
