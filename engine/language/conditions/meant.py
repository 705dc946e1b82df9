"""What stands after a field and was meant as something else: two conditions, a range, several values, another field.

Only what stands without quotes is looked at; a text in quotes is meant as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.language.amount import money_in_words, read_amount
from engine.language.conditions.operands import (
    EARLIER,
    EXACT,
    TEXT,
    VALUE,
    WILDCARDS,
    AmountOperand,
    MomentOperand,
    Operand,
    choices,
    holds_codes,
    holds_times,
    is_code,
)
from engine.language.conditions.phrases import Said, comparison_said
from engine.language.node import ScalarNode
from engine.language.operators import Comparison
from engine.language.plain import one_line
from engine.language.words import write_value

_LONGEST: Final = 200
"""A longer text says no comparison."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong, and the line to write instead; a `sure` one is a fault, any other a warning."""

    message: str
    hint: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A comparison as it was read: what stands before the colon, the comparison, and what follows it.

    `root` and `field` are the first and last name of the path; `items` says that it is about the items of a
    list, `plain` that it is about one field of the event.
    """

    label: str
    root: str
    field: str
    comparison: Comparison
    negated: bool
    operand: ScalarNode
    items: bool = False
    plain: bool = True

    @property
    def text(self) -> str:
        """What follows the comparison."""
        return self.operand.text.strip()

    @property
    def equality(self) -> bool:
        """Whether it is a plain value, or one after `is`."""
        return self.comparison.word == "is"

    @property
    def of_amounts(self) -> bool:
        """Whether an amount is wanted."""
        return isinstance(self.comparison.operand, AmountOperand)

    def saying(self, rest: str) -> str:
        """The line with another text after the colon."""
        return f"{self.label}: {rest}"

    def with_operand(self, operand: str) -> str:
        """The line with another text after its comparison."""
        word = "" if self.equality and not self.negated else f"{self.comparison.said(self.negated)} "
        return self.saying(f"{word}{operand}")


def other_meaning(line: Line) -> Remark | None:
    """What a line was probably meant to say instead, None where it may be meant as it is."""
    if line.operand.style != "plain" or not 0 < len(line.text) <= _LONGEST:
        return None
    return next(filter(None, (check(line) for check in _CHECKS)), None)


# Conditions of items, without their braces.

_NAMED: Final = re.compile(r"(?P<name>[A-Za-z_][\w.]*)[ \t]+(?P<rest>\S.*)", re.DOTALL)
_AND: Final = re.compile(r"\s*,\s*(?:and\s+)?|\s+(?:and|&&?)\s+", re.IGNORECASE)


def _of_items(line: Line) -> Remark | None:
    """`any of order.line_items: quantity more than 5`."""
    if not (line.items and line.equality):
        return None
    parts = [_item_condition(piece) for piece in _AND.split(line.text)]
    if None in parts:
        parts = [_item_condition(line.text)]
    if None in parts:
        return None
    inner = ", ".join(filter(None, parts))
    message = f'"{one_line(line.text)}" is about the fields of an item: put it in braces, with a colon after the field'
    return Remark(message, line.saying(f"{{{inner}}}"))


def _item_condition(text: str) -> str | None:
    found = _NAMED.fullmatch(text.strip())
    said = comparison_said(found["rest"]) if found else None
    return _condition(found["name"], found["rest"], inside=True) if found and said else None


def _condition(name: str, rest: str, *, inside: bool = False) -> str:
    """A condition as it is written, `is` left out where it need not be said."""
    said = comparison_said(rest)
    is_plain = said is not None and said.comparison.word == "is" and not said.negated
    value = rest[said.end :] if said is not None and is_plain else rest
    return f"{name}: {write_value(value.strip(), inside=inside)}"


# Two conditions in one line.

_FIELD: Final = re.compile(
    r"\s*(?:,|\b(?P<or>or)\b|\band\b|&&?|\|\|)\s*(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[:\s]\s*(?P<rest>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_SECOND: Final = re.compile(r"\s*(?:,|\b(?P<or>or)\b|\b(?:and|but)\b|&&?|\|\|)\s*", re.IGNORECASE)


def _two_fields(line: Line) -> Remark | None:
    """`at least 200 and order.channel is app`."""
    for found in _joints(_FIELD, line.text):
        name, said = found["name"], comparison_said(found["rest"])
        of_event = "." in name and name.partition(".")[0] == line.root
        other = said is not None and ("." in name or _takes_no_words(line.comparison.operand))
        if of_event or other:
            first = line.with_operand(line.text[: found.start()].strip())
            second = _condition(name, found["rest"])
            message = f'"{one_line(line.text)}" holds a condition on {name}, too. Write one condition a line'
            return Remark(
                message, f"any:\n  - {first}\n  - {second}" if found["or"] else f"{first}\n{second}"
            )
    return None


def _two_comparisons(line: Line) -> Remark | None:
    """`at least 100 and at most 200`, `contains a or contains b`."""
    for found in _joints(_SECOND, line.text):
        rest = line.text[found.end() :]
        said = comparison_said(rest)
        if said is None or not rest[said.end :].strip():
            continue
        if _family(line.comparison.operand) is _family(said.comparison.operand) is not None:
            message = f'"{one_line(line.text)}" says two comparisons, and one text holds one'
            return Remark(message, _both(line, line.text[: found.start()].strip(), found, said, rest))
    return None


def _joints(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The places after the first letter at which something else may begin."""
    places = (at for at in range(1, len(text)) if text[at] in " ,&|" and text[at - 1] != " ")
    return (found for at in places if (found := pattern.match(text, at)))


def _both(line: Line, first: str, found: re.Match[str], said: Said, rest: str) -> str:
    second = rest[said.end :].strip()
    word, other = line.comparison.said(line.negated), said.comparison.said(said.negated)
    if found["or"] or word == other:
        group = "any" if found["or"] else "all"
        return f"{group}:\n  - {line.with_operand(first)}\n  - {line.saying(f'{other} {second}')}"
    bounds = {word: first, other: second}
    if bounds.keys() == {"at least", "at most"}:
        return line.saying(f"between {bounds['at least']} and {bounds['at most']}")
    inner = ", ".join(f"{key}: {write_value(value, inside=True)}" for key, value in bounds.items())
    return line.saying(f"{{{inner}}}")


def _takes_no_words(operand: Operand) -> bool:
    return isinstance(operand, AmountOperand | MomentOperand)


def _family(operand: Operand) -> type | None:
    """The kind of what is compared, None for one in which any words may stand."""
    for kind in (AmountOperand, MomentOperand):
        if isinstance(operand, kind):
            return kind
    return type(TEXT) if operand in (TEXT, WILDCARDS, EXACT) else None


# Another field as the value.

_PATH: Final = re.compile(r"(?P<root>[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*|\[(?:\d+|\*)\])+")
_SIGNS: Final = {
    "at least": ">=",
    "more than": ">",
    "at most": "<=",
    "less than": "<",
    "is": "==",
    "is not": "!=",
}


def _another_field(line: Line) -> Remark | None:
    """`more than order.payment_total`."""
    found = _PATH.fullmatch(line.text)
    if found is None or not (_takes_no_words(line.comparison.operand) or found["root"] == line.root):
        return None
    sign = _SIGNS.get(line.comparison.said(line.negated), "")
    message = f"a field cannot be compared with a field here, and {line.text} is one"
    if not (sign and line.plain):
        return Remark(message, "")
    return Remark(f"{message}. Compare them in a formula", f'formula: "{line.label} {sign} {line.text}"')


# Amounts.

_OR_MORE: Final = re.compile(
    r"(.*?)(?:\s*\+|\s+(?:or|and)\s+(?:more|above|higher|over|up|upwards))", re.IGNORECASE
)
_OR_LESS: Final = re.compile(r"(.*?)\s+(?:or|and)\s+(?:less|fewer|below|lower|under)", re.IGNORECASE)
_FROM_TO: Final = re.compile(
    r"(?P<low>\S.*?)\s*(?:-|–|—|\.\.+|…|\bto\b|\band\b)\s*(?P<high>\S.*)", re.IGNORECASE
)


def _open_ended(line: Line) -> Remark | None:
    """`200 or more`, `200+`."""
    if not (line.equality or line.of_amounts):
        return None
    for pattern, word in ((_OR_MORE, "at least"), (_OR_LESS, "at most")):
        found = pattern.fullmatch(line.text)
        if found and _amount(found[1], line):
            return Remark(
                _no_single(line, "no single amount"), line.saying(f"{word} {_amount(found[1], line)}")
            )
    return None


def _range(line: Line) -> Remark | None:
    """`100-300`, `between 100-300`, `at least 100 and 200`."""
    found = _FROM_TO.fullmatch(line.text) if line.equality or line.of_amounts else None
    if found is None or (line.comparison.word == "between" and re.search(r"\b(?:and|to)\b", line.text)):
        return None
    low, high = _amount(found["low"], line), _amount(found["high"], line)
    smaller, larger = read_amount(low), read_amount(high)
    if smaller is None or larger is None or smaller.value >= larger.value:
        return None
    word = "not between" if line.negated else "between"
    return Remark(_no_single(line, "no single amount"), line.saying(f"{word} {low} and {high}"))


def _in_words(line: Line) -> Remark | None:
    """`200 euros` as a plain value; after a comparison of amounts the amount itself is told."""
    amount = _amount(line.text, line) if line.equality else ""
    if not amount or read_amount(line.text) is not None:
        return None
    return Remark(_no_single(line, "not read as an amount"), line.with_operand(amount))


def _amount(text: str, line: Line) -> str:
    """An amount as it should be written, "" where a text is none, or may be a code."""
    if line.equality and (holds_codes(line.field) or is_code(text)):
        return ""
    return text.strip() if read_amount(text) else money_in_words(text) or ""


def _no_single(line: Line, what: str) -> str:
    aside = "; if the text itself is meant, put it in quotes" if line.equality else ""
    return f'"{one_line(line.text)}" is {what}{aside}'


# Days of the week.

_DAYS: Final = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_ON: Final = re.compile(
    rf"(?P<on>on\s+)?(?:(?:an?|the)\s+)?(?P<day>weekend|week[\s-]?end|weekday|week[\s-]?day|{_DAYS})s?",
    re.IGNORECASE,
)


def _on_a_day(line: Line) -> Remark | None:
    """`weekend`, `on a Sunday`."""
    found = _ON.fullmatch(line.text) if line.equality else None
    if found is None or not (found["on"] or holds_times(line.field)):
        return None
    day = re.sub(r"[\s-]", "", found["day"]).casefold()
    is_weekend = day in ("weekend", "saturday", "sunday")
    right = line.saying("on a weekend" if is_weekend is not line.negated else "on a weekday")
    if day.startswith("week"):
        return Remark(f'"{one_line(line.text)}" says no comparison that is known here', right)
    message = f'"{one_line(line.text)}" is not known: there are only `on a weekend` and `on a weekday`'
    return Remark(message, right)


# Several values.

_IN: Final = re.compile(
    r"(?P<not>not\s+)?(?:(?:in|any\s+of|either|among)\s*(?P<list>\[.*\])"
    r"|(?:in(?=\s+(?-i:[A-Z0-9]))|any\s+of|either|among)\s+(?P<text>.+))",
    re.IGNORECASE,
)  # `in transit or delayed` are two values that begin with a small letter


def _in_values(line: Line) -> Remark | None:
    """`in [Canada, Mexico]`, `either a or b`."""
    found = _IN.fullmatch(line.text) if line.equality else None
    values = _listed(found["list"] or found["text"]) if found else ()
    if found is None or not (len(values) > 1 or found["list"]):
        return None
    listed = _as_list(values)
    negated = bool(found["not"]) is not line.negated
    message = (
        f'"{one_line(line.text)}" says no comparison that is known here. Several values stand in brackets'
    )
    return Remark(message, line.saying(f"not one of {listed}" if negated else listed))


def _several(line: Line) -> Remark | None:
    """`Canada or Mexico`, `contains example or test`."""
    if line.comparison.operand not in (VALUE, EARLIER, TEXT, WILDCARDS) or line.text.startswith("["):
        return None
    values = _listed(line.text)
    if len(values) < 2:
        return None
    listed = _as_list(values)
    if line.equality and line.negated:
        right = line.saying(f"not one of {listed}")
    else:
        right = line.with_operand(listed)
    message = f'"{one_line(line.text)}" is taken as one value; if it is one, put it in quotes'
    return Remark(message, right, sure=False)


def _listed(text: str) -> tuple[str, ...]:
    """The values of a text in which they stand with commas or `or` between them."""
    return choices(text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text)


def _as_list(values: Sequence[str]) -> str:
    return f"[{', '.join(write_value(value, inside=True) for value in values)}]"


_CHECKS: Final[tuple[Callable[[Line], Remark | None], ...]] = (
    _of_items,
    _another_field,
    _open_ended,
    _two_comparisons,
    _two_fields,
    _range,
    _in_words,
    _on_a_day,
    _in_values,
    _several,
)
"""What is looked for, the most certain first."""
