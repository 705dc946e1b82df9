"""`over: {event: order_completed, within: 1 day}`: what a rule that the clock starts looks back on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from engine.language.match import Match
from engine.language.node import Entry
from engine.language.problem import Mark
from engine.language.words import normal_key, plural
from engine.model import Ask, Happened
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import events_of, in_words, length_of, listed, on_the_wall, settings, text_of

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Over(Timing):
    """Looks back on the events of the record: those of the named types, within the time before, that the conditions
    under `if` and `unless` let through. Messages get `events`, `count`, `first` and `last`. Whole days go by the clock on
    the wall. Nothing is sent where there are none, unless `when empty: send anyway`."""

    place: ClassVar[int] = 20
    collects: ClassVar[bool] = True
    example: ClassVar[str] = "over: {event: order_completed, within: 1 day}"
    mark: Mark
    events: tuple[str, ...]
    within: timedelta
    when_empty: bool = False

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`{event, within, when empty}`."""
        names = ("event", "within", "when empty")
        found = settings(setting, names, reading.problems, cls.example)
        if found is None:
            return None
        for missing in [name for name in names[:2] if name not in found]:
            reading.problems.error(setting.key.mark, f"`over` says no `{missing}`", cls.example)
        if reading.events:
            message = "`over` goes with a rule that the clock starts; this one is started by an event"
            reading.problems.error(setting.key.mark, message, "when: every weekday at 08:00")
        events = events_of(found.get("event"), "over", reading, cls.example)
        within = length_of(found["within"], reading.problems, "1 day") if "within" in found else None
        empty = read_when_empty(found.get("when empty"), reading)
        return cls(setting.key.mark, events, within, empty) if events and within else None

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A block."""
        return {
            "type": "object",
            "properties": {
                "event": {"type": ["string", "array"], "examples": ["order_completed"]},
                "within": {"type": "string", "examples": ["1 day"]},
                "when empty": {"enum": ["send nothing", "send anyway"]},
            },
        }

    @property
    def text(self) -> str:
        """It in one line."""
        return f"over {listed(self.events)} within {in_words(self.within)}"

    @property
    def speaks_of(self) -> frozenset[str]:
        """What it looks back on."""
        return frozenset(self.events)

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """The events since then."""
        return (Happened(self.events, self._since(match)),)

    def decide(self, match: Match) -> Decision:
        """Go on with what the conditions let through."""
        since, until = self._since(match), _until(match)
        found = match.answers[Happened(self.events, since)]
        inside = tuple(one for one in found if since <= one.received_at <= until and match.lets_through(one))
        told = f"{plural(len(inside), 'event')} in the {in_words(self.within)} before"
        if not inside and not self.when_empty:
            return Decision("drop", f"{told}, so nothing is sent")
        return Decision("send", told, events=inside)

    def _since(self, match: Match) -> datetime:
        until = _until(match)
        if self.within % _DAY:
            return until - self.within
        local = match.local(until)
        return on_the_wall(local.date() - self.within, local.time().replace(fold=0), match.timezone)


def _until(match: Match) -> datetime:
    return min(match.due.at, match.now) if match.due is not None else match.now


def read_when_empty(entry: Entry | None, reading: Reading) -> bool:
    """Whether something is sent though there is nothing to tell."""
    if entry is None:
        return False
    text = normal_key(text_of(entry.value))
    if text not in ("send nothing", "send anyway"):
        message = "`when empty` takes `send nothing` or `send anyway`"
        reading.problems.error(entry.value.mark, message, "when empty: send nothing")
    return text == "send anyway"
