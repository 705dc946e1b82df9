"""What is probably wrong with a rule that reads well: each check is one function here, found by its mark.

Unknown fields are errors, since a rule on one would never fire; values never seen are warnings, since the
order system may grow new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cached_property
from typing import Final

from engine.language.amount import Amount, read_amount
from engine.language.condition import Condition, Leaf
from engine.language.conditions.judging import FormulaCondition, Group, Items
from engine.language.conditions.operands import EXACT, TEXT, AmountOperand, MomentOperand, Wanted
from engine.language.moment import read_moment
from engine.language.node import ScalarNode
from engine.language.path import Path
from engine.language.paths.walking import FilterUse
from engine.language.plain import cut, one_line
from engine.language.problem import Mark, Problems
from engine.language.template import Read, Template, compile_template
from engine.language.words import listing, nearest, normal_key, write_value
from engine.rulebook.rehearsal import path_of, rehearse
from engine.rulebook.rule import Rule
from engine.rulebook.shapes import Shape, field_path
from engine.rulebook.trial import read_tests
from engine.rulebook.vocabulary import Language
from engine.sources.base import FieldInfo

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
    def shape(self) -> Shape:
        """What the events of the rule look like."""
        return self.language.shape(self.rule.speaks_of)

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every single comparison of the rule."""
        return tuple(leaf for condition in self.rule.judges for leaf in condition.leaves())

    @cached_property
    def compared(self) -> tuple[tuple[Leaf, FieldInfo], ...]:
        """Every comparison of a field that is known, with what is known of it."""
        found = ((leaf, self.shape.field(leaf.field)) for leaf in self.leaves if leaf.field is not None)
        return tuple((leaf, info) for leaf, info in found if info is not None)

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """Every text of a message."""
        return tuple(
            template
            for action in self.rule.actions
            for value in action.values.values()
            for template in value.templates()
        )

    @cached_property
    def reads(self) -> tuple[tuple[Template, Read], ...]:
        """Every field that a message prints; of collected events, the fields of each of them."""
        reads = ((template, read) for template in self.templates for read in template.reads)
        return tuple((template, replace(read, path=path_of(read, self.rule))) for template, read in reads)

    @cached_property
    def asked_for(self) -> frozenset[str]:
        """The fields that an event must have for the rule to fire."""
        leaves = (leaf for condition in self.rule.conditions for leaf in _needed(condition))
        infos = (self.shape.field(leaf.field) for leaf in leaves if leaf.field is not None)
        return frozenset(info.path for info in infos if info is not None)


def check_rule(
    rule: Rule, language: Language, lists: Mapping[str, frozenset[str]], problems: Problems
) -> None:
    """Run every check on a rule that was read."""
    context = Context(rule, language, lists, problems)
    for one in CHECKS:
        one(context)


def _needed(condition: Condition) -> Iterator[Leaf]:
    """The comparisons that must hold for the rule to fire, and that hold of a value only."""
    if isinstance(condition, Group) and condition.kind == "all":
        for line in condition.lines:
            yield from _needed(line)
    elif isinstance(condition, Leaf) and _wants_a_value(condition):
        yield condition


def _wants_a_value(leaf: Leaf) -> bool:
    without = leaf.word in ("exists", "is null", "is empty", "changed", "changed from")
    return not (without or leaf.negated or leaf.measure or leaf.quantifier == "none of")


# fields


@check
def condition_fields_exist(context: Context) -> None:
    """A condition on a field that the rule's events do not have never holds."""
    for leaf in context.leaves:
        if leaf.field is not None and context.rule.speaks_of and context.shape.field(leaf.field) is None:
            _unknown_field(context, leaf.field, leaf.mark, "")


@check
def formula_fields_exist(context: Context) -> None:
    """A formula on a field that the rule's events do not have is never true."""
    for formula, item in _formulas(context.rule.judges, ""):
        for read in formula.formula.reads:
            path = field_path(read.path)
            inside = f"{item}.{path}" if item else path
            if (
                path
                and context.rule.speaks_of
                and not (context.shape.field(path) or context.shape.field(inside))
            ):
                _unknown_field(context, path, read.mark, f"the formula uses {path}, which ")


@check
def fields_of_time_words_exist(context: Context) -> None:
    """A time word on a field that the rule's events do not have counts all of them as one."""
    for word in context.rule.timing:
        for path, mark in word.paths:
            field = field_path(path.steps) if path.steps else ""
            if field and context.rule.speaks_of and context.shape.field(field) is None:
                _unknown_field(context, field, mark, f"`{word.word()}` goes by {field}, which ")


@check
def a_clock_looks_back_on_something(context: Context) -> None:
    """A rule that the clock starts has no event of its own that conditions could look at."""
    if context.rule.events or not context.rule.timing or context.rule.speaks_of:
        return
    for condition in (*context.rule.conditions, *context.rule.exceptions):
        message = "a rule that the clock starts has no event to look at. Say which it looks back on"
        context.problems.error(condition.mark, message, "over: {event: order_completed, within: 1 day}")


def _formulas(conditions: Iterable[Condition], item: str) -> Iterator[tuple[FormulaCondition, str]]:
    """Every formula, and the path of the items that it is about."""
    for condition in conditions:
        if isinstance(condition, FormulaCondition):
            yield condition, item
        elif isinstance(condition, Items):
            yield from _formulas(condition.lines, condition.whole.field or item)
        elif isinstance(condition, Group):
            yield from _formulas(condition.lines, item)


@check
def filters_stand_on_lists_and_on_known_fields(context: Context) -> None:
    """A filter in a JSONPath picks items of a list, by fields that they have."""
    for leaf in context.leaves:
        for use in leaf.path.filters if context.rule.speaks_of else ():
            if use.parent:
                _check_filter(context, leaf, use, field_path(use.parent))


def _check_filter(context: Context, leaf: Leaf, use: FilterUse, parent: str) -> None:
    info = context.shape.field(parent)
    if info is None:
        _unknown_field(context, parent, leaf.mark, "")
        return
    of_object = info.kind == "object" and not parent.endswith("[*]")
    for compare in use.compares:
        field = f"{parent}.{'.'.join(compare.names)}"
        if context.shape.field(field) is None:
            _unknown_field(context, field, leaf.mark, "the filter looks at " + f"{field}, which ")
        elif of_object:
            right = f"{field}: {_FILTERS[compare.operator]}{_literal(compare.literal)}"
            message = (
                f"this filter stands on {parent}, which is no list, so it finds nothing. Write `{right}`"
            )
            context.problems.warning(leaf.mark, message, right)


_FILTERS: Final = {
    "==": "",
    "!=": "is not ",
    "<": "less than ",
    "<=": "at most ",
    ">": "more than ",
    ">=": "at least ",
}


def _literal(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@check
def message_fields_exist(context: Context) -> None:
    """A message with a misspelt field would go out with a hole."""
    for _, read in context.reads:
        path = field_path(read.path)
        if path and context.rule.speaks_of and context.shape.field(path) is None:
            _unknown_field(context, path, read.mark, f"the message uses {path}, which ")


def _unknown_field(context: Context, path: str, mark: Mark, lead: str) -> None:
    elsewhere = _events_with(context, path)
    if elsewhere:
        events = listing(sorted(context.rule.speaks_of), "or")
        message = f"{path} does not exist in {events} events; it comes with {listing(elsewhere)}"
        context.problems.error(mark, message)
        return
    objects = listing(context.shape.objects)
    tell = f"{lead}{objects} events do not have" if lead else f"{objects} events have no field {path}"
    right = context.shape.nearest(path)
    if right is None:
        context.problems.error(mark, tell)
        return
    example = context.shape.fields[right].example
    shown = example not in (None, "") and not isinstance(example, list | dict)
    seen = f' (last seen: "{_example(example)}")' if shown else ""
    context.problems.error(mark, f"{tell}. Did you mean `{right}`{seen}?", right)


def _example(value: object) -> str:
    return _literal(value) if isinstance(value, bool) else cut(one_line(str(value)), 60)


def _events_with(context: Context, path: str) -> list[str]:
    """The events that carry a field themselves, else those beside which it is known."""
    known = context.language.event_types
    others = [name for name in known if name not in context.rule.speaks_of]
    shapes = {name: context.language.shape(frozenset({name})).field(path) for name in others}
    carry = [name for name, info in shapes.items() if info is not None and info.path in known[name].fields]
    return carry or [name for name, info in shapes.items() if info is not None]


@check
def lists_are_named_in_paths(context: Context) -> None:
    """A path through a list without `[*]` is understood, and said so; as JSONPath it finds nothing."""
    for leaf, info in context.compared:
        right = _with_items(leaf.path, info)
        if right is None:
            continue
        of, _, name = right.rpartition("[*].")
        if leaf.path.bare:
            message = f'{of} is a list, so {leaf.path.text} was read as "any item\'s {name}". Write `{right}` to say so'
            context.problems.note(leaf.mark, message, right)
        else:
            message = f"{of} is a list, so `{leaf.path.text}` finds nothing. Write `$.{right}`"
            context.problems.warning(leaf.mark, message, f"$.{right}")


def _with_items(path: Path, info: FieldInfo) -> str | None:
    """A path as the catalogue writes it, with its lists named, None where they are."""
    steps = path.steps or ()
    names = sum(isinstance(step, str) for step in steps)
    right = ".".join(info.path.split(".")[-names:]) if names else ""
    missing = right.removesuffix("[*]").count("[*]") > len(steps) - names
    return right if missing else None


# values


@check
def values_can_occur(context: Context) -> None:
    """A condition on a value that the field never has is probably a slip."""
    for leaf, info in context.compared:
        if leaf.measure is None and any(isinstance(one, Wanted) for one in leaf.wanted):
            for operand, wanted in zip(leaf.operands, leaf.wanted, strict=True):
                _check_value(context, leaf, info, operand, wanted)


def _check_value(context: Context, leaf: Leaf, info: FieldInfo, operand: ScalarNode, wanted: Wanted) -> None:
    value = operand.text.strip()
    if operand.style == "plain" and " or " in value.casefold():
        return  # several values read as one: that is told where the line is read
    told = _spelling(context, info, value)
    if told:
        _tell_spelling(context, leaf, info, operand, told)
    elif info.kind == "truth":
        _check_truth(context, leaf, info, operand, wanted)
    elif info.kind in _KINDS and not _could_be(info.kind, value):
        message = f'{info.path} is {_KINDS[info.kind]}, so it is never "{cut(value, 60)}"'
        context.problems.warning(operand.mark, message, _corrected(leaf, _example_value(info)))
    elif info.values and normal_key(value) not in {normal_key(one) for one in info.values}:
        near = next(iter(nearest(value, info.values)), None)
        mean = f" Did you mean `{near}`?" if near else ""
        message = f'{info.path} is never "{cut(value, 60)}".{mean} Values: {", ".join(info.values)}'
        context.problems.warning(operand.mark, message, _corrected(leaf, near) if near else "")


def _spelling(context: Context, info: FieldInfo, value: str) -> str | None:
    if value.casefold() in {one.casefold() for one in info.values}:
        return None
    hints = (source.hint(info.path, value) for source in context.language.sources.values())
    return next((hint for hint in hints if hint), None)


def _tell_spelling(context: Context, leaf: Leaf, info: FieldInfo, operand: ScalarNode, told: str) -> None:
    """Say how the sender writes it; where the hint gives no word of its own, with all values beside it."""
    quoted = re.search(r'"([^"]+)"', told)
    if quoted:
        context.problems.warning(operand.mark, told, _corrected(leaf, quoted[1]))
        return
    words = "|".join(map(re.escape, info.values)) or "(?!)"
    advice = re.sub(rf"(?<![\w.`])({words})(?![\w`])", r"`\1`", told)
    values = f" Values: {', '.join(info.values)}." if info.values else ""
    message = f'{info.path} is never "{cut(operand.text.strip(), 60)}".{values} {advice}'
    right = re.search(r"use `(\w+)`", advice)
    context.problems.warning(operand.mark, message, _corrected(leaf, right[1]) if right else "")


_TRUTHS: Final = ("true", "false", "yes", "no", "on", "off")


def _check_truth(context: Context, leaf: Leaf, info: FieldInfo, operand: ScalarNode, wanted: Wanted) -> None:
    if wanted.truth is not None:
        return
    value = cut(operand.text.strip(), 60)
    if value.casefold() in _TRUTHS:
        message = f'{info.path} is yes or no, so it is never the text "{value}". Write {value} without quotes'
        context.problems.warning(operand.mark, message, _corrected(leaf, value.casefold()))
    else:
        message = f'{info.path} is yes or no, so it is never "{value}"'
        context.problems.warning(operand.mark, message, _corrected(leaf, "yes"))


_KINDS: Final[Mapping[str, str]] = {
    "amount": "an amount",
    "number": "a number",
    "time": "a time",
    "list": "a list of entries with fields of their own",
    "object": "a block of fields",
}


def _could_be(kind: str, value: str) -> bool:
    if kind in ("amount", "number"):
        return not value or read_amount(value) is not None
    return kind == "time" and (not value or read_moment(value, UTC) is not None)


def _example_value(info: FieldInfo) -> str:
    if info.kind in ("list", "object"):
        return ""
    return {"time": "2026-12-24"}.get(info.kind) or _example(info.example if info.example is not None else 5)


def _corrected(leaf: Leaf, value: str) -> str:
    """The line with another value, where the line has only one; else the value."""
    if not value or len(leaf.operands) != 1 or leaf.measure or leaf.quantifier:
        return value
    word = "" if leaf.word == "is" else f"{leaf.word} "
    plain = word or value in _TRUTHS
    return f"{leaf.path.text}: {word}{value if plain else write_value(value)}"


@check
def comparisons_fit_their_fields(context: Context) -> None:
    """A comparison that does not go with the kind of its field never holds."""
    for leaf, info in context.compared:
        told = _misfit(leaf, info)
        if told is not None:
            context.problems.warning(leaf.mark, *told)


def _misfit(leaf: Leaf, info: FieldInfo) -> tuple[str, str] | None:
    """Why a comparison can never hold, and what to write, or None."""
    if leaf.measure is not None:
        return _measure_misfit(leaf, info)
    operand = leaf.comparison.operand
    if isinstance(operand, AmountOperand) and info.kind not in ("amount", "number"):
        return _no_amount(leaf, info)
    if isinstance(operand, MomentOperand) and info.kind != "time":
        return _no_time(leaf, info)
    if (operand is TEXT or operand is EXACT) and info.kind in ("list", "object"):
        return f"{info.path} is {_KINDS[info.kind]}, so `{leaf.word}` does not go with it", ""
    return None


def _measure_misfit(leaf: Leaf, info: FieldInfo) -> tuple[str, str] | None:
    if leaf.measure == "count of":
        if info.kind == "list" or "[*]" in info.path:
            return None
        return f"{info.path} is one value, so there is never more than one to count", ""
    if info.kind in ("amount", "number"):
        return None
    inner = f"{info.path}[*].quantity" if info.kind == "list" else ""
    hint = f"sum of {inner}: {leaf.word} {_operands(leaf)}" if inner else ""
    return f"{info.path} is {_kind(info)}, which cannot be added up", hint


def _no_amount(leaf: Leaf, info: FieldInfo) -> tuple[str, str] | None:
    if info.kind == "text" and isinstance(info.example, str) and read_amount(info.example) is not None:
        return None
    if info.kind == "list":
        return (
            f"{info.path} is a list; to compare how many it has, write `count of`",
            f"count of {info.path}: {leaf.word} {_operands(leaf)}",
        )
    hint = f"{leaf.path.text}: after 2026-12-24" if info.kind == "time" else ""
    return f"{info.path} is {_kind(info)}, so it is never {leaf.word} {_operands(leaf)}", hint


def _no_time(leaf: Leaf, info: FieldInfo) -> tuple[str, str] | None:
    if info.kind == "text" and info.example is None:
        return None
    return f"{info.path} is {_kind(info)} and no time, so `{leaf.word}` does not go with it", ""


def _kind(info: FieldInfo) -> str:
    if info.kind == "text":
        return f'a text such as "{_example(info.example)}"' if info.example is not None else "a text"
    return _KINDS.get(info.kind, "yes or no")


def _operands(leaf: Leaf) -> str:
    return " and ".join(operand.text.strip() for operand in leaf.operands)


@check
def amounts_name_their_currency(context: Context) -> None:
    """A threshold without a currency counts yen as dollars; zero is zero in all of them."""
    for leaf, info in context.compared:
        if info.kind != "amount" or not leaf.lacks_currency or not any(map(_is_something, leaf.wanted)):
            continue
        currency = context.language.shop.currency
        message = f"amount without currency: 5,000 yen would count as 5,000 {currency}"
        context.problems.warning(
            leaf.mark, message, f"{leaf.word} {_operands(leaf).replace('$', '').strip()} {currency}"
        )


def _is_something(wanted: object) -> bool:
    amounts = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(isinstance(one, Amount) and one.value for one in amounts)


@check
def parts_of_bundles_are_told_apart(context: Context) -> None:
    """The SKU of a bundle joins those of its parts, and `contains` also finds the start of a longer one."""
    for leaf, info in context.compared:
        if leaf.comparison.word == "contains" and info.path.rpartition(".")[2] == "sku":
            part = _operands(leaf)
            message = (
                f'{info.path} of a bundle joins the SKUs of its parts with |, and "{part}" is also found in '
                f'"{part}0|other". For a whole part write `has part {part}`'
            )
            context.problems.note(leaf.mark, message, f"{leaf.path.text}: has part {part}")


# lists


@check
def lists_exist(context: Context) -> None:
    """A condition on a list that is not there never holds."""
    for leaf in context.leaves:
        for operand in leaf.operands if leaf.comparison.word == "in list" else ():
            if normal_key(operand.text) not in context.lists:
                _unknown_list(context, operand.text.strip(), operand.mark)


def _unknown_list(context: Context, name: str, mark: Mark) -> None:
    near = next(iter(nearest(name, context.lists)), None)
    file = f"rules/lists/{cut(normal_key(name), 60).replace(' ', '-')}.csv"
    have = f"Lists: {', '.join(sorted(context.lists))}" if context.lists else f"Put its values into {file}"
    context.problems.error(
        mark, f'no list called "{cut(name, 60)}". {have}', f"in list {near}" if near else ""
    )


# messages


@check
def holes_have_a_default(context: Context) -> None:
    """A field that is often empty leaves a hole in the message, unless the rule asks for it to be there."""
    told: set[tuple[int, str]] = set()
    for template, read in context.reads:
        info = context.shape.field(field_path(read.path))
        if info is None or read.guarded or read.typed or (read.mark.line, info.path) in told:
            continue
        event = context.shape.empty_in(info)
        if event is None or info.path in context.asked_for:
            continue
        told.add((read.mark.line, info.path))
        default = f"{{{{ {read.expression} or 'no {info.path.rpartition('.')[2].replace('_', ' ')}' }}}}"
        message = (
            f"{info.path} is empty in the sample of {event}; {_would_read(context, template, read, event)}. "
            f"Add a default: `{default}`"
        )
        context.problems.warning(read.mark, message, default)


def _would_read(context: Context, template: Template, read: Read, event: str) -> str:
    """How the line of a message reads without the field, where that line stands by itself."""
    lines = (line.strip() for line in template.source.splitlines() if read.expression in line)
    line = next((line for line in lines if "{%" not in line), "")
    node = ScalarNode(line, Mark(1, 1), "double")
    compiled = compile_template(node, Problems("")) if line.count("{{") == line.count("}}") and line else None
    if compiled is None:
        return "the text would have a hole there"
    text, gaps = compiled.render(context.language.samples[event].scope)
    return "the text would have a hole there" if gaps else f'the text would read "{cut(text, 60)}"'


@check
def messages_name_one_item_of_a_list(context: Context) -> None:
    """A list has no fields: a message names one of its items, or prints all of them."""
    for _, read in context.reads:
        info = context.shape.field(field_path(read.path))
        if info is None or info.path.removesuffix("[*]").count("[*]") <= _places(read.path) or read.guarded:
            continue
        name = info.path.rpartition(".")[2]
        of = read.expression.removesuffix(f".{name}")
        if of == read.expression or of.endswith("]"):
            context.problems.warning(
                read.mark, f"a list stands on the way to {read.expression}: name one of its items"
            )
            continue
        hint = f"{{{{ {of} | map(attribute='{name}') | join(', ') }}}}"
        message = f"{of} is a list: print the {name} of each item, or of one (`{of}[0].{name}`)"
        context.problems.warning(read.mark, message, hint)


def _places(path: tuple[str | int | None, ...]) -> int:
    return sum(not isinstance(step, str) for step in path)


@check
def amounts_are_not_read_as_plain_numbers(context: Context) -> None:
    """`float` and `int` are for plain numbers; `number` and `money` know amounts."""
    for _, read in context.reads:
        info = context.shape.field(field_path(read.path))
        if info is not None and info.kind == "amount" and {"float", "int"} & set(read.filters):
            hint = f"{{{{ {field_path(read.path)} | number }}}}"
            context.problems.warning(read.mark, f"{info.path} is an amount: use `number` or `money`", hint)


@check
def tests_can_be_read(context: Context) -> None:
    """A fault in a test is a fault of its file."""
    read_tests(context.rule, context.language, context.problems)


@check
def messages_can_be_filled_in(context: Context) -> None:
    """Every message is filled in from every sample, and again without each field that may be empty."""
    if not context.problems.broken:
        rehearse(context.rule, context.language, context.asked_for, context.problems)


def all_fields(language: Language) -> Iterator[FieldInfo]:
    """Every field of every event type, for the schema and the reference."""
    yield from language.shape(frozenset(language.event_types)).fields.values()
