"""What may stand after a comparison: read once with the rule, and matched with how found values are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from engine.language.amount import Amount, money_in_words, read_amount
from engine.language.moment import read_day, read_moment
from engine.language.node import ScalarNode
from engine.language.pattern import PatternError, compile_pattern, compile_wildcards
from engine.language.problem import Mark
from engine.language.scope import Scope
from engine.language.words import normal_key, read_duration


class OperandError(ValueError):
    """Something written after a comparison that does not go with it: why, and what to write instead."""

    def __init__(self, message: str, hint: str = "", node: ScalarNode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node = node


class CannotTell(Exception):
    """A comparison that can be answered neither way; its text says why."""


# What is found, as each kind of comparison needs it.


def fold(text: str) -> str:
    """A text as texts are compared: without case and outer blanks."""
    return text.strip().casefold()


def text_of(value: object) -> str | None:
    """A found value as a text, None for an object, a list or nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | Decimal) else None


def number_text(value: int | Decimal) -> str:
    """A found number as a text, of any length."""
    try:
        return str(value)
    except ValueError:  # a whole number of more than 4,300 digits
        return str(Decimal(value))


def is_nothing(value: object) -> bool:
    """Whether a found value is no value to a person: null, an empty or blank text, an empty list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, list | dict) and not value)


# What may be written after a comparison.


class Operand:
    """What stands after a comparison: how it is read, once, and how found values are read to go with it.

    `takes` says for people what to write. `parts` cuts a single text into several operands. `of` gives a
    found value in the form the comparison needs, or None where it cannot be read so.
    """

    takes = ""
    several = False
    nothing = "no value"
    unreadable = "cannot be compared with {wanted}"

    def parts(self, node: ScalarNode) -> tuple[ScalarNode, ...]:
        """The operands in one text."""
        return (node,)

    def read(self, nodes: Sequence[ScalarNode], field: str) -> tuple[Any, ...]:
        """What the comparison is given for these operands. Raises `OperandError`."""
        return tuple(self.one(node, field) for node in nodes)

    def one(self, node: ScalarNode, field: str) -> Any:
        """One operand. `field` is the name of the field compared. Raises `OperandError`."""
        return node.text.strip()

    def of(self, value: object, scope: Scope) -> Any:
        """A found value as the comparison needs it, None where it cannot be read so."""
        return value

    def currency(self, wanted: tuple[Any, ...]) -> str:
        """The currency that the operands name, "" for none."""
        return ""


class _None(Operand):
    """Nothing stands after the comparison."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that a rule names, in every form a found value may have."""

    text: str
    truth: bool | None = None
    amount: Decimal | None = None
    currency: str = ""
    day: date | None = None


_CODES: Final = frozenset(
    ("sku", "id", "number", "code", "zipcode", "zip", "postcode", "phone", "tracking", "barcode", "ean", "upc", "gtin",
     "isbn", "ip", "version", "token", "key", "reference", "label", "name", "slug")
)  # fmt: skip


def holds_codes(field: str) -> bool:
    """Whether a field, by its name, holds codes, which are never amounts: `sku`, `zipcode`, `promotion_code`."""
    return field.casefold().rpartition("_")[2] in _CODES


_TIMES: Final = frozenset(("at", "on", "date", "day", "time"))


def holds_times(field: str) -> bool:
    """Whether a field, by its name, holds times: `completed_at`, `ship_date`."""
    return field.casefold().rpartition("_")[2] in _TIMES


def is_code(text: str) -> bool:
    """Whether zeros stand before a number, as in `007`."""
    return len(text) > 1 and text[0] == "0" and text[1].isdigit()


class _Several(Operand):
    """What may be one value, or several in brackets: `contains [example, test]`."""

    several = True

    def parts(self, node: ScalarNode) -> tuple[ScalarNode, ...]:
        return bracketed(node) or (node,)


class _Value(_Several):
    takes = "a value, or a list of values"
    unreadable = "is neither a text nor a number"

    def one(self, node: ScalarNode, field: str) -> Wanted:
        text = node.text.strip()
        amount = None if is_code(text) or holds_codes(field) else read_amount(text)
        value, currency = (amount.value, amount.currency) if amount else (None, "")
        return Wanted(fold(text), node.truth, value, currency, read_day(text))

    def currency(self, wanted: tuple[Wanted, ...]) -> str:
        return next((one.currency for one in wanted if one.currency), "")


class _Values(_Value):
    takes = "values with commas between them, or a list"

    def parts(self, node: ScalarNode) -> tuple[ScalarNode, ...]:
        return bracketed(node) or cut(node, _BETWEEN if node.style == "plain" else _COMMA)


class _Earlier(_Value):
    def one(self, node: ScalarNode, field: str) -> Wanted:
        earlier, to, later = node.text.partition(" to ")
        if to and node.style == "plain":
            hint = f"Write `{{changed from: {earlier.strip()}, changed to: {later.strip()}}}`"
            raise OperandError(f'"{node.text.strip()}" is one value after `changed from`', hint, node)
        return super().one(node, field)


class _Exact(Operand):
    takes = "a text"
    several = True
    unreadable = "is not a text"

    def one(self, node: ScalarNode, field: str) -> str:
        return node.text if node.style in ("single", "double") else node.text.strip()

    def of(self, value: object, scope: Scope) -> str | None:
        return text_of(value)


class _Text(_Several):
    takes = "a text"
    unreadable = "is not a text"

    def one(self, node: ScalarNode, field: str) -> str:
        return fold(node.text)

    def of(self, value: object, scope: Scope) -> str | None:
        text = text_of(value)
        return None if text is None else fold(text)


class _Wildcards(_Exact):
    takes = "a text in which * stands for any letters and ? for one"

    def parts(self, node: ScalarNode) -> tuple[ScalarNode, ...]:
        return bracketed(node) or (node,)

    def one(self, node: ScalarNode, field: str) -> Any:
        return compile_wildcards(node.text.strip())


class _Regex(_Exact):
    takes = "a regular expression"

    def one(self, node: ScalarNode, field: str) -> Any:
        try:
            return compile_pattern(node.text.strip(), ignore_case=True)
        except PatternError as error:
            raise OperandError(
                f"the pattern `{node.text.strip()}` cannot be read: {error}", node=node
            ) from None


class AmountOperand(Operand):
    """An amount, read from texts and numbers alike."""

    takes = "an amount such as 200 or 200 USD"

    def one(self, node: ScalarNode, field: str) -> Amount:
        text = node.text.strip()
        amount = read_amount(text)
        if amount is None:
            raise OperandError(f'"{text}" cannot be read as an amount', _right_amount(text), node)
        return amount

    def of(self, value: object, scope: Scope) -> Amount | None:
        return read_amount(value)

    def currency(self, wanted: tuple[Amount, ...]) -> str:
        return next((one.currency for one in wanted if one.currency), "")


def _right_amount(text: str) -> str:
    if read_day(text[:10]):
        return f"For times write `before {text}` or `after {text}`"
    decimal = text.replace(".", "").replace(",", ".")
    if "," in text and read_amount(decimal):
        return f"Write {decimal}"
    amount = money_in_words(text) or money_in_words(_NUMBER.sub("", text, count=1)) or _only_number(text)
    return f"Write {amount}" if amount else "Write 200 or 200.00"


_NUMBER: Final = re.compile(r"^\D+(?=\d)")


def _only_number(text: str) -> str:
    """The one number among other words, "" where there are none or several."""
    numbers = [word for word in text.split() if read_amount(word)]
    return numbers[0] if len(numbers) == 1 else ""


class _Range(AmountOperand):
    takes = "two amounts such as 100 and 200"
    several = True

    def parts(self, node: ScalarNode) -> tuple[ScalarNode, ...]:
        return cut(node, _AND if _AND.search(node.text) else _TO)

    def read(self, nodes: Sequence[ScalarNode], field: str) -> tuple[Any, ...]:
        if len(nodes) != 2:
            raise OperandError(
                "`between` needs two amounts", "Write `between 100 and 200`", nodes[0] if nodes else None
            )
        low, high = (self.one(node, field) for node in nodes)
        if low.value > high.value:
            right = f"Write `between {nodes[1].text.strip()} and {nodes[0].text.strip()}`"
            raise OperandError("the smaller amount comes first, else nothing lies between", right, nodes[0])
        if low.currency and high.currency and low.currency != high.currency:
            raise OperandError(
                f"the amounts are in two currencies, {low.currency} and {high.currency}", "", nodes[1]
            )
        return ((low, high),)

    def currency(self, wanted: tuple[Any, ...]) -> str:
        low, high = wanted[0]
        return str(low.currency or high.currency)


class _ListName(_Text):
    takes = "the name of a list"
    several = False

    def one(self, node: ScalarNode, field: str) -> str:
        if not node.text.strip():
            raise OperandError("the name of the list is missing", "Write `in list vip customers`", node)
        return normal_key(node.text)


class MomentOperand(Operand):
    """A day or time."""

    takes = "a day or time such as 2026-12-24 or 2026-12-24 18:00"
    nothing = "no time"
    unreadable = "cannot be read as a time"

    def one(self, node: ScalarNode, field: str) -> str:
        text = node.text.strip()
        if read_moment(text, UTC) is None:
            raise OperandError(
                f'"{text}" cannot be read as a day or time', "Write 2026-12-24 or 2026-12-24 18:00", node
            )
        return text

    def of(self, value: object, scope: Scope) -> datetime | None:
        return read_moment(value, scope.shop.timezone)


class _Duration(MomentOperand):
    takes = "a length of time such as 2 hours"

    def one(self, node: ScalarNode, field: str) -> Any:
        length = read_duration(node.text.strip())
        if length is None:
            message = f'"{node.text.strip()}" cannot be read as a length of time'
            raise OperandError(message, "Write 30 minutes, 2 hours, 3 days or 2 weeks", node)
        return length


class _Time(MomentOperand):
    """Nothing stands after the comparison, and what is found is a time."""

    takes = ""


_COMMA: Final = re.compile(",")
_BETWEEN: Final = re.compile(r"\s*(?:,(?:\s+or\b)?|\bor\b)\s*", re.IGNORECASE)
_OR: Final = re.compile(r"\s*(?:(?<!\d),|,(?!\d))\s*(?:or\s+)?|\s+or\s+", re.IGNORECASE)
_AND: Final = re.compile(r"\band\b", re.IGNORECASE)
_TO: Final = re.compile(r"\bto\b", re.IGNORECASE)
_LISTED: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,"']+)\s*(?:,|$)""")


def choices(text: str) -> tuple[str, ...]:
    """The values in a text that has commas or `or` between them; a comma between digits is a part of a number."""
    return tuple(piece.strip().strip("\"'") for piece in _OR.split(text) if piece.strip())


def bracketed(node: ScalarNode) -> tuple[ScalarNode, ...]:
    """The values of a list that stands in brackets inside a text without quotes, none where there is no such list."""
    text = node.text.strip()
    if node.style != "plain" or not (text.startswith("[") and text.endswith("]")):
        return ()
    start, end = node.text.index("[") + 1, node.text.rindex("]")
    pieces: list[ScalarNode] = []
    while start < end:
        found = _LISTED.match(node.text, start, end)
        if found is None:
            return ()
        pieces.append(part(node, found.start(1), found.end(1)))
        start = found.end()
    return tuple(piece for piece in pieces if piece.text or piece.style != "plain")


def cut(node: ScalarNode, separator: re.Pattern[str]) -> tuple[ScalarNode, ...]:
    """A text cut at a separator into texts with their own places, those without letters left out."""
    pieces: list[ScalarNode] = []
    start = 0
    for end, following in (*(found.span() for found in separator.finditer(node.text)), (len(node.text), 0)):
        if node.text[start:end].strip():
            pieces.append(part(node, start, end))
        start = following
    return tuple(pieces)


def part(node: ScalarNode, start: int, end: int | None = None) -> ScalarNode:
    """A piece of a text as an operand of its own, with its place; quotes around it are taken off."""
    piece = node.text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    quoted = len(piece) > 1 and piece[0] in "\"'" and piece[-1] == piece[0]
    mark = node.mark
    if node.style in ("plain", "single", "double") and "\n" not in node.text[:start]:
        mark = Mark(mark.line, mark.column + start + (node.style != "plain"))
    return ScalarNode(piece[1:-1] if quoted else piece, mark, "double" if quoted else "plain")


NOTHING: Final = _None()
VALUE: Final = _Value()
VALUES: Final = _Values()
EARLIER: Final = _Earlier()
EXACT: Final = _Exact()
TEXT: Final = _Text()
WILDCARDS: Final = _Wildcards()
REGEX: Final = _Regex()
AMOUNT: Final = AmountOperand()
RANGE: Final = _Range()
LIST_NAME: Final = _ListName()
MOMENT: Final = MomentOperand()
DURATION: Final = _Duration()
TIME: Final = _Time()
