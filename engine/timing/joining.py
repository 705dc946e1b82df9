"""A parcel may be told of before its order: what reads the order then waits a moment for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final, Self

from engine.language.match import Match
from engine.language.node import Entry
from engine.language.problem import Mark
from engine.model import Effect, Hasten
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import at_time, in_words, name_of

PATIENCE: Final = timedelta(minutes=2)
"""So long an event waits for what it belongs to."""


@dataclass(frozen=True, slots=True)
class Joining(Timing):
    """Nobody writes it: a rule on shipments that speaks of `order` waits up to two minutes for the order, where that is
    not known yet, and then goes on without it."""

    place: ClassVar[int] = -10
    example: ClassVar[str] = ""
    mark: Mark
    awaited: Mapping[str, str]
    teachers: frozenset[str]

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """It is no word of the language."""
        reading.problems.error(setting.key.mark, "a rule has no setting called joining")
        return None

    @classmethod
    def implied(cls, roots: frozenset[str], events: frozenset[str], reading: Reading) -> Self | None:
        """For a rule that names an object which its events only belong to."""
        awaited = {
            event: kind
            for event in events
            for kind in reading.kinds[event] & roots - {reading.event_types[event]}
        }
        awaited = {event: kind for event, kind in awaited.items() if _owns(kind, event, reading)}
        teachers = frozenset(
            name for name, about in reading.event_types.items() if about in set(awaited.values())
        )
        return cls(Mark(1, 1), awaited, teachers) if awaited else None

    @property
    def text(self) -> str:
        """It in one line."""
        return f"the {next(iter(self.awaited.values()))} is known"

    @property
    def watches(self) -> frozenset[str]:
        """What tells of the owner."""
        return self.teachers

    @property
    def needs(self) -> frozenset[str]:
        """Nothing: the source says what teaches the owner, which can be fewer events than tell of it."""
        return frozenset()

    def watch(self, match: Match) -> tuple[Effect, ...]:
        """It has come: who waits for it may go on."""
        names = tuple(name for names in match.names.values() for name in names)
        return (Hasten(match.rule, match.word, names),) if names else ()

    def decide(self, match: Match) -> Decision:
        """Wait for the owner, for a moment."""
        kind = self.awaited.get(match.event.type)
        if kind is None or match.scope.root.get(kind):
            return Decision("send", "")
        until = match.event.received_at + PATIENCE
        if match.is_due or match.now >= until:
            return Decision("send", f"no {kind} known, though it was waited for")
        armed = match.arm(match.own, until, f"the {kind} of {name_of(match.event)}", (match.event.subject,))
        because = f"no {kind} known yet; it waits {in_words(PATIENCE)} for it, until {at_time(until, match)}"
        return Decision("hold", because, (armed,), until=until)


def _owns(kind: str, event: str, reading: Reading) -> bool:
    """Whether objects of a kind have those of the event as their parts."""
    return reading.event_types[event] in reading.parts.get(kind, ())
