"""What stands in for a value while a template is filled in, and how each kind of value is written for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final

from babel.numbers import get_currency_precision

from engine.language.amount import Amount

MOST_VALUE_LETTERS: Final = 64_000
"""A value that a template works out is at most this long."""

CALCULATION: Final = Context(prec=120, rounding=ROUND_HALF_UP)
"""How templates calculate: exactly, and where digits must go, commercially (2.675 is 2.68)."""

_LARGEST: Final = 60
_CENTS: Final = 2


class ValueGap(Exception):
    """A value that cannot be filled in; `because` says why, as the end of a sentence for people."""

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because


class TooMuch(Exception):
    """The rendering did more work, or wrote more, than one may; it ends where it is.

    `line` and `words` are those of the expression that was being worked out, where one was.
    """

    def __init__(self, because: str) -> None:
        super().__init__(because)
        self.because = because
        self.line = 0
        self.words = ""

    def at(self, line: int, words: str) -> None:
        """Note the innermost expression only."""
        if not self.line:
            self.line, self.words = line, words


@dataclass(frozen=True, slots=True)
class Missing:
    """What a lookup finds where the event has nothing: harmless in a test or before `or`, a gap when written."""

    because: str


@dataclass(frozen=True, slots=True)
class Link:
    """An address with its label, which each destination writes in its own way."""

    url: str
    label: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts and links that were put together and are written one after the other."""

    pieces: tuple[str | Link, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """How inserted values are made safe for a destination; what the author wrote around them is not touched.

    `escape` takes the text of a value, `link` an http(s) address and a label, both as they are; each returns
    what is put into the message. `yes` and `no` are how truth values are written: for machines, true and false.
    """

    name: str
    escape: Callable[[str], str]
    link: Callable[[str, str], str]
    yes: str = "yes"
    no: str = "no"


def _as_it_is(text: str) -> str:
    return text


def _plain_link(url: str, label: str) -> str:
    return url if label == url else f"{label}: {url}"


PLAIN: Final = Target("plain text", _as_it_is, _plain_link)
"""Plain text: values as they are, a link as `label: address`."""


class Loop:
    """Where a loop stands; what `loop.index` and its like read."""

    __slots__ = ("items", "place")

    def __init__(self, items: Sequence[object]) -> None:
        self.items = items
        self.place = 0


LOOP_FIELDS: Final[Mapping[str, Callable[[Loop], object]]] = {
    "index": lambda loop: loop.place + 1,
    "index0": lambda loop: loop.place,
    "first": lambda loop: loop.place == 0,
    "last": lambda loop: loop.place == len(loop.items) - 1,
    "length": lambda loop: len(loop.items),
    "revindex": lambda loop: len(loop.items) - loop.place,
    "revindex0": lambda loop: len(loop.items) - loop.place - 1,
    "previtem": lambda loop: loop.items[loop.place - 1] if loop.place else None,
    "nextitem": lambda loop: loop.items[loop.place + 1] if loop.place + 1 < len(loop.items) else None,
}
"""What a template may ask of the loop it is in."""


def inserted(value: object, target: Target) -> str:
    """A value as it is put into a message for a destination. Raises `ValueGap` where there is nothing to write."""
    if isinstance(value, str):
        return target.escape(value)
    if isinstance(value, bool):
        return target.escape(target.yes if value else target.no)
    if isinstance(value, Link):
        return target.link(value.url, value.label)
    if isinstance(value, Joined):
        return "".join(inserted(piece, target) for piece in value.pieces)
    return target.escape(written(value))


def written(value: object) -> str:
    """A value as people read it: nothing for null, yes and no, plain numbers, lists with commas.

    Raises `ValueGap` for what is missing, too long, or a link (which only its destination can write).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Missing):
        raise ValueGap(value.because)
    if isinstance(value, Link | Joined):
        raise ValueGap("a link cannot be changed any more: put `link` last")
    if isinstance(value, Mapping | list | tuple):
        return _bounded(_readable(value, outermost=True))
    return _scalar(value)


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, Amount):
        return number_text(amount_number(value))
    raise ValueGap("this is no value that can be written")


def _readable(value: object, outermost: bool = False) -> Iterator[str]:
    """The pieces of a list (`a, b`) or an object (`city: Oslo, zip: 0150`), inner ones in brackets."""
    if isinstance(value, Mapping):
        parts = ((f"{key}: ", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        parts = (("", item) for item in value)
    else:
        yield written(value)
        return
    if not outermost:
        yield "("
    for place, (name, item) in enumerate(parts):
        yield f", {name}" if place else name
        yield from _readable(item)
    if not outermost:
        yield ")"


def _bounded(pieces: Iterator[str]) -> str:
    kept: list[str] = []
    letters = 0
    for piece in pieces:
        letters += len(piece)
        if letters > MOST_VALUE_LETTERS:
            raise ValueGap(TOO_LONG)
        kept.append(piece)
    return "".join(kept)


TOO_LONG: Final = f"it is longer than {MOST_VALUE_LETTERS:,} letters"


def number_text(value: Decimal) -> str:
    """A number with all its digits (`1200`, `0.05`); one too large to be read so as `1.5E+900`."""
    return format(value, "f") if abs(value.adjusted()) <= _LARGEST else str(value)


def amount_number(amount: Amount) -> Decimal:
    """A calculated amount: whole, or with the decimals of its currency (two where none is named)."""
    value = amount.value
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return value
    return rounded(value, get_currency_precision(amount.currency) if amount.currency else _CENTS)


def rounded(value: Decimal, digits: int) -> Decimal:
    """A number with so many decimals, half away from zero. Raises `ValueGap` for one too large."""
    try:
        return value.quantize(Decimal(1).scaleb(-digits), context=CALCULATION)
    except InvalidOperation:
        raise ValueGap("the number is too large") from None


def is_empty(value: object) -> bool:
    """Whether there is nothing: missing, null or an empty text, for which `or` and `default` stand in."""
    return value is None or value == "" or isinstance(value, Missing)


def truth(value: object) -> bool:
    """Whether a value counts as yes in `if`, `and`, `or`: not for nothing, no, zero and empty lists."""
    if isinstance(value, Missing):
        return False
    return bool(value.value) if isinstance(value, Amount) else bool(value)


def kind(value: object) -> str:
    """What a value is, as a person would say: `a text`, `a list`, …"""
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return "something else"


_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (str, "a text"),
    (bool, "yes or no"),
    ((int, Decimal), "a number"),
    (Amount, "an amount"),
    ((list, tuple), "a list"),
    (Mapping, "an object"),
    ((Link, Joined), "a link"),
)


def quoted(value: object) -> str:
    """A value as it is shown in a sentence: short, a text in quotes."""
    if isinstance(value, str):
        return f'"{value[:40]}…"' if len(value) > 40 else f'"{value}"'
    if isinstance(value, list | tuple | Mapping | Link | Joined):
        return kind(value)
    return "empty" if value is None else _scalar(value)
