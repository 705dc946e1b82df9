"""An event that a rule lets through, as its time words and actions see it: with what is known, and what fell due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from engine.language.path import Path
from engine.language.scope import Scope
from engine.model import Arm, Ask, Cell, Event


@dataclass(frozen=True, slots=True)
class Due:
    """What fell due: the word and key that were armed, and the time that they were armed for."""

    word: str
    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Match:
    """An event that a rule's conditions let through (or that a word watches), and what may be known of it.

    For something that fell due, `due` says what, and `event` is the event it goes on with. `happened_at` is when the
    thing itself happened, as far as the sender says it. `names` are what its object is known by, by kind of object:
    `{"order": ("order:ACS-9",), "shipment": ("shipment:H1",)}`. `answers` hold at least what was asked for. `word` is the
    word of the rule that is asked, under which it remembers and waits: a time word, or `then 2` for the second action.
    `own` tells the match from all others of the rule. `lets_through` says of another event whether the rule's conditions
    hold for it.
    """

    rule: str
    word: str
    event: Event
    scope: Scope
    now: datetime
    timezone: tzinfo
    happened_at: datetime
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answers: Mapping[Ask, Any] = field(default_factory=dict)
    due: Due | None = None
    lets_through: Callable[[Event], bool] = lambda event: True
    own: str = ""

    @property
    def is_due(self) -> bool:
        """Whether it is this word for which it fell due."""
        return self.due is not None and self.due.word == self.word

    @property
    def reached_at(self) -> datetime:
        """From when a word counts: when the event came, or when the word before it was to let it go on."""
        return self.due.at if self.due is not None else self.event.received_at

    def cell(self, key: str = "") -> Cell:
        """Where the word remembers something under a key."""
        return Cell(self.rule, self.word, key)

    def arm(self, key: str, due_at: datetime, text: str, cancelled_by: tuple[str, ...] = ()) -> Arm:
        """A timer of the word."""
        return Arm(self.rule, self.word, key, due_at, text, cancelled_by)

    def key(self, path: Path | None) -> str:
        """What tells groups of events apart: the values at a path, "" for no path; none found is a group of its own."""
        if path is None:
            return ""
        found = dict.fromkeys(str(value) for value in path.find(self.scope.root) if value not in (None, ""))
        return ", ".join(found) or "(none)"

    def local(self, moment: datetime) -> datetime:
        """A moment by the clock on the wall of the rule's zone."""
        return moment.astimezone(self.timezone)
