"""One rendering at work: what it sees, what it has written, and how much it may still do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from engine.language.scope import Scope
from engine.language.templates.values import Missing, Target, TooMuch
from engine.model import Gap

MOST_STEPS: Final = 20_000
"""So many turns of loops and items handled by filters one rendering may take."""
MOST_LETTERS: Final = 256_000
"""And so many letters it may write."""
MOST_GAPS: Final = 50
"""More different gaps than this are not told apart."""

HOLE: Final = "[?]"
"""What stands in a message where a value could not be filled in."""

BROKEN: Final = "it cannot be worked out"
"""The reason where Python itself refuses a value."""

_LETTERS_A_STEP: Final = 256

Evaluate = Callable[["Run"], Any]
"""A compiled expression: its value in a rendering."""


class Unset:
    """The value of a name that `set` has not reached yet."""


UNSET: Final = Unset()


class Run:
    """One rendering. `names` holds the values that the template itself set, by their places."""

    __slots__ = ("gaps", "letters", "names", "out", "root", "scope", "steps", "target")

    def __init__(self, scope: Scope, target: Target, names: int) -> None:
        self.scope = scope
        self.root: Mapping[str, Any] = scope.root
        self.target = target
        self.names: list[Any] = [UNSET] * names
        self.out: list[Any] = []
        self.gaps: dict[tuple[int, str, str], Gap] = {}
        self.steps = MOST_STEPS
        self.letters = MOST_LETTERS

    def spend(self, steps: int) -> None:
        """Pay for work. Raises `TooMuch` when the budget is used up."""
        self.steps -= steps
        if self.steps < 0:
            raise TooMuch("the message does too much work: its loops and filters take too many steps")

    def spend_on(self, value: object) -> None:
        """Pay for going through a value once: by its items or by its letters."""
        if isinstance(value, str):
            self.spend(1 + len(value) // _LETTERS_A_STEP)
        else:
            self.spend(1 + len(value) if isinstance(value, list | tuple | Mapping) else 1)

    def write(self, text: str) -> None:
        """Add to the message. Raises `TooMuch` when it gets too long."""
        self.grow(len(text))
        self.out.append(text)

    def grow(self, letters: int) -> None:
        """Count letters that were or will be written."""
        self.letters -= letters
        if self.letters < 0:
            raise TooMuch(f"the message would be longer than {MOST_LETTERS:,} letters")

    def gap(self, line: int, expression: str, because: str) -> None:
        """Note, once, that a value could not be filled in."""
        if len(self.gaps) < MOST_GAPS:
            self.gaps.setdefault((line, expression, because), Gap(line, expression, because))


class Use:
    """What a filter or test sees beside its value: the rendering, the author's name for the value, its owners."""

    __slots__ = ("name", "owners", "run")

    def __init__(self, run: Run, name: str, owners: tuple[Evaluate, ...]) -> None:
        self.run = run
        self.name = name
        self.owners = owners

    @property
    def called(self) -> str:
        """What to call the value in a sentence."""
        return self.name or "the value"

    def nothing(self, wanted: str) -> Missing:
        """What to answer for null: nothing, with the reason should somebody want to write it."""
        return Missing(f"{self.called} is empty, so there is no {wanted}")

    def currency(self) -> str:
        """The currency of the object that the value belongs to, "" where none is known."""
        for owner in self.owners:
            found = owner(self.run)
            if isinstance(found, Mapping):
                code = found.get("currency")
                if isinstance(code, str) and _is_code(code):
                    return code.upper()
        order = self.run.root.get("order")
        code = order.get("currency") if isinstance(order, Mapping) else None
        return code.upper() if isinstance(code, str) and _is_code(code) else ""


def _is_code(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isalpha()


Number = int | Decimal
