"""`unless followed by: {event, within, same}`: fire when something did not come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

from engine.language.match import Match
from engine.language.node import Entry, ScalarNode
from engine.language.path import Path
from engine.language.problem import Mark
from engine.language.words import listing, nearest, normal_key
from engine.model import Ask, Cancel, Effect, Remember
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import (
    Span,
    at_time,
    events_of,
    happened_of,
    listed,
    name_of,
    read_span,
    settings,
    text_of,
    written,
)

MEMORY = timedelta(days=7)
"""So much longer than its own time an event is remembered that came: its trigger may still be on its way."""


@dataclass(frozen=True, slots=True)
class UnlessFollowedBy(Timing):
    """Lets the rule fire when none of these events comes for the same object within the time, counted from when the
    event came in. One that came before although it happened later counts, too. `within` may be in business days: days
    from Monday to Friday without the shop's holidays. `same` says what must be the same: the object of the event where
    it is left out, another kind (`order`, `shipment`, `stock item`, `sku`), or a field."""

    place: ClassVar[int] = 40
    example: ClassVar[str] = "unless followed by: {event: shipment_shipped, within: 48 hours}"
    mark: Mark
    events: tuple[str, ...]
    within: Span
    kinds: tuple[str, ...]
    path: Path | None
    path_mark: Mark
    holidays: frozenset[date]

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`{event, within, same}`."""
        found = settings(setting, ("event", "within", "same"), reading.problems, cls.example)
        if found is None:
            return None
        for missing in [name for name in ("event", "within") if name not in found]:
            message = f"`unless followed by` says no `{missing}`"
            reading.problems.error(setting.key.mark, message, cls.example)
        events = events_of(found.get("event"), "unless followed by", reading, cls.example)
        within = _within(found.get("within"), reading)
        if not events or within is None:
            return None
        same = found.get("same")
        mark = (same or setting).value.mark
        kind = _kind(same, reading) if same is not None else _shared(events, reading, mark)
        if kind is None and same is not None and "." in text_of(same.value):
            path = reading.path(same.value)
            return (
                cls(setting.key.mark, events, within, (), path, mark, reading.shop.holidays) if path else None
            )
        if kind is None or not _joins(kind, events, reading, mark):
            return None
        kinds = (kind, *reading.parts.get(kind, ()))
        return cls(setting.key.mark, events, within, kinds, None, mark, reading.shop.holidays)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A block."""
        return {
            "type": "object",
            "properties": {
                "event": {"type": ["string", "array"], "examples": ["shipment_shipped"]},
                "within": {"type": "string", "examples": ["48 hours", "2 business days"]},
                "same": {"type": "string", "examples": ["order"]},
            },
        }

    @property
    def text(self) -> str:
        """It in one line."""
        return f"unless followed by {listed(self.events)} within {self.within.text}"

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """What must be the same."""
        return ((self.path, self.path_mark),) if self.path else ()

    @property
    def watches(self) -> frozenset[str]:
        """What it waits for."""
        return frozenset(self.events)

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """What came already."""
        return tuple(match.cell(key) for key in self._keys(match))

    def decide(self, match: Match) -> Decision:
        """Wait, unless it came already; when the time is over, look once more."""
        came = self._came(match)
        if came:
            return Decision("drop", came)
        if match.due is not None and match.is_due:
            return Decision("send", f"no {listed(self.events)} came within {self.within.text}")
        until = self.within.after(match.reached_at, match.timezone, self.holidays)
        about = f"{listed(self.events)} of {name_of(match.event)}, within {self.within.text}"
        armed = match.arm(match.own, until, about, self._keys(match))
        because = f"it waits until {at_time(until, match)} for {listed(self.events)}"
        return Decision("hold", because, (armed,), until=until)

    def _came(self, match: Match) -> str:
        """What came, though it happened after this event, in words; "" for nothing."""
        for key in self._keys(match):
            known = match.answers.get(match.cell(key))
            if known and happened_of(known["at"]) > match.happened_at:
                return f"{known['event']} came already, of {at_time(happened_of(known['at']), match)}"
        return ""

    def watch_asks(self, match: Match) -> tuple[Ask, ...]:
        """What is known to have come, where a late event must not take the place of a newer one."""
        return tuple(match.cell(key) for key in self._keys(match)) if match.event.late else ()

    def watch(self, match: Match) -> tuple[Effect, ...]:
        """It came: nothing is waited for any more, unless it happened long before, which is looked at in the end."""
        keys = self._keys(match)
        if not keys:
            return ()
        noted = tuple(self._noted(match, keys))
        if match.event.late:
            return noted
        return (*noted, Cancel(match.rule, match.word, keys, f"{match.event.type} came"))

    def _noted(self, match: Match, keys: tuple[str, ...]) -> Iterator[Effect]:
        until = self.within.after(match.now, match.timezone, self.holidays) + MEMORY
        for key in keys:
            known = match.answers.get(match.cell(key)) if match.event.late else None
            at: datetime = max(match.happened_at, happened_of(known["at"])) if known else match.happened_at
            yield Remember(match.cell(key), {"at": at.isoformat(), "event": match.event.type}, until)

    def _keys(self, match: Match) -> tuple[str, ...]:
        """The names that join two events."""
        if self.path is not None:
            found = self.path.find(match.scope.root)
            return tuple(
                dict.fromkeys(f"{self.path.text}={value}" for value in found if value not in (None, ""))
            )
        names = (name for kind in self.kinds for name in match.names.get(kind, ()))
        return tuple(dict.fromkeys(names)) or (match.event.subject,)


def _within(entry: Entry | None, reading: Reading) -> Span | None:
    if entry is None:
        return None
    span = read_span(text_of(entry.value))
    if span is None:
        message = f'"{written(entry.value)}" is not a length of time, nor a number of business days'
        reading.problems.error(entry.value.mark, message, "within: 48 hours")
    return span


def _kind(same: Entry, reading: Reading) -> str | None:
    """The kind of object that must be the same; None for a field, and after noting a fault."""
    text = text_of(same.value)
    known = sorted(frozenset().union(*reading.kinds.values()))
    kind = normal_key(text).replace(" ", "_")
    if kind in known or ("." in text and isinstance(same.value, ScalarNode)):
        return kind if kind in known else None
    near = next(iter(nearest(text, known)), "order").replace("_", " ")
    names = listing([one.replace("_", " ") for one in known], "or")
    message = f'"{written(same.value)}" is nothing that events share. `same` takes {names}, or a field such as order.email'
    reading.problems.error(same.value.mark, message, f"same: {near}")
    return None


def _shared(events: tuple[str, ...], reading: Reading, mark: Mark) -> str | None:
    """The kind that all events share, the rule's own object first; None after noting a fault."""
    objects = [reading.event_types[event] for event in sorted(reading.events)]
    others = [kind for event in sorted(reading.events) for kind in sorted(reading.kinds[event])]
    every = [*reading.events, *events]
    for kind in (*objects, *others):
        if all(kind in reading.kinds[event] for event in every):
            return kind
    if reading.events:
        _strangers(events, reading, mark)
    return None


def _joins(kind: str, events: tuple[str, ...], reading: Reading, mark: Mark) -> bool:
    strange = [one for one in (*sorted(reading.events), *events) if kind not in reading.kinds[one]]
    if strange:
        message = f"{listing(strange)} events have no {kind.replace('_', ' ')} that could be the same"
        reading.problems.error(mark, message, "same: a field that both have, such as sku")
    return not strange


def _strangers(events: tuple[str, ...], reading: Reading, mark: Mark) -> None:
    message = f"{listed(sorted(reading.events))} and {listed(events)} are never about the same object"
    reading.problems.error(mark, message, "same: a field that both have")
