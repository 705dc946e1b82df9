"""What a time word is: read from a rule once, then asked of each match whether it may go on now, later, or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, ClassVar, Literal, Self

from engine.language.condition import Condition
from engine.language.match import Match
from engine.language.node import Entry, Node
from engine.language.path import Path
from engine.language.problem import Mark, Problems
from engine.language.scope import Shop
from engine.model import Arm, Ask, Effect, Event, Outcome


@dataclass(frozen=True, slots=True)
class Reading:
    """What a time word needs to be read: where faults go, what may be named, and the readers of parts.

    `events` are the types that the rule listens to, `event_types` all that there are, by what each is about (`order`).
    `kinds` are the kinds of names that each type's objects are known by, `parts` the kinds that belong to a kind.
    `path` reads a path and `event_names` the names of events; both note their faults themselves.
    """

    problems: Problems
    shop: Shop
    timezone: tzinfo
    events: frozenset[str]
    event_types: Mapping[str, str]
    kinds: Mapping[str, frozenset[str]]
    parts: Mapping[str, tuple[str, ...]]
    path: Callable[[Node], Path | None]
    event_names: Callable[[Node], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a time word says of a match: it goes on now (`send`), is held `until` a time, or stops here (`drop`).

    `because` is one sentence for people, empty where there is nothing to say. `effects` count if the rule goes on or is
    held, `regardless` in any case, `told` only if it acts at once.
    A drop ends with `outcome`; one that is `held` is put on record as suppressed. `events` are those that the message
    speaks of, where the word collects; `footnote` is a last line for messages within the shop.
    """

    answer: Literal["send", "hold", "drop"]
    because: str
    effects: tuple[Effect, ...] = ()
    regardless: tuple[Effect, ...] = ()
    told: tuple[Effect, ...] = ()
    until: datetime | None = None
    outcome: Outcome = Outcome.DOES_NOT_FIRE
    events: tuple[Event, ...] | None = None
    footnote: str = ""


class Timing(ABC):
    """A time word of a rule, with what its author wrote. Its word in YAML is its module's name, `_` written as a space.

    `help` is the class's docstring. `place` orders the words of a rule: those below zero are asked before its
    conditions, the others after. `beside` are settings that belong to it, `collects` whether messages then speak of
    several events. What fell due while the service was away waits for `grace` after the start. All methods are pure.
    """

    place: ClassVar[int]
    beside: ClassVar[tuple[str, ...]] = ()
    collects: ClassVar[bool] = False
    grace: ClassVar[timedelta] = timedelta(0)
    example: ClassVar[str]
    mark: Mark

    @classmethod
    def word(cls) -> str:
        """What it is called in a rule."""
        return cls.__module__.rsplit(".", 1)[-1].replace("_", " ")

    @classmethod
    @abstractmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """The word as it was written, `beside` with the settings that belong to it. None after noting a fault."""

    @classmethod
    def implied(cls, roots: frozenset[str], events: frozenset[str], reading: Reading) -> Self | None:
        """The word where nobody wrote it, for a rule on these events that names these fields' first names; mostly None."""
        return None

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """What may be written for it, as JSON Schema."""
        return {"type": "string", "examples": [cls.example.partition(": ")[2]]}

    @property
    @abstractmethod
    def text(self) -> str:
        """It in one line for people: `limit 1 per 6 hours for each order.email`."""

    @abstractmethod
    def decide(self, match: Match) -> Decision:
        """Whether a match may go on."""

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """What must be known to decide."""
        return ()

    @property
    def watches(self) -> frozenset[str]:
        """Event types that concern it, though the rule does not listen to them."""
        return frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """Event types that must be asked for at the sender, or it cannot keep its word."""
        return self.watches

    def watch(self, match: Match) -> tuple[Effect, ...]:
        """What an event of those types changes."""
        return ()

    def watch_asks(self, match: Match) -> tuple[Ask, ...]:
        """What must be known to watch such an event."""
        return ()

    def standing(self, rule: str, timezone: tzinfo, now: datetime) -> Arm | None:
        """What has to fall due though nothing happens, from now on: the next time of a clock."""
        return None

    @property
    def speaks_of(self) -> frozenset[str]:
        """Event types that messages speak of, though the rule does not listen to them."""
        return frozenset()

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """The fields of an event that it looks at, and where each was written."""
        return ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that it judges."""
        return ()
