"""A small record in memory: events and time run through `plan`, and the clock is moved, never waited for.

Rule tests, the back-test and the dry run use it: what waits, is remembered and is collected in the record of the
service is here in a few tables, and goes through JSON unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from heapq import heappop, heappush
from typing import Any

import msgspec

from engine.model import (
    SCHEDULE,
    Arm,
    Ask,
    Cancel,
    Cell,
    Effect,
    Event,
    Gather,
    Gathered,
    Happened,
    Hasten,
    Leave,
    Memory,
    Payload,
    Plan,
    Remember,
)
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import from_json, to_json
from engine.rulebook.meanwhile import leaves
from engine.rulebook.planner import answered, plan
from engine.sources.base import Unreadable

Place = tuple[str, str, str]
"""Where a timer stands: rule, word, key."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was judged: when, the event, and the plan for it."""

    at: datetime
    event: Event
    plan: Plan


@dataclass(frozen=True, slots=True)
class Armed:
    """A timer, the event that it goes on with, and what was known of that one's object before it."""

    arm: Arm
    origin: Event | None
    before: Payload | None = None


@dataclass(slots=True)
class State:
    """All that is known: cells, timers, what is collected, the events that rules may look back on, objects by subject."""

    cells: dict[Cell, Any] = field(default_factory=dict)
    timers: dict[Place, Armed] = field(default_factory=dict)
    collected: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    happened: list[Event] = field(default_factory=list)
    objects: dict[str, Payload] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    fired: int = 0


class Timeline:
    """Runs events and time through a rulebook. `state` is what is known so far; a new one where it is left out.

    `aside` says what is known beside an event that the events so far do not tell.
    """

    def __init__(
        self,
        book: Rulebook,
        state: State | None = None,
        *,
        explain: bool = False,
        aside: Callable[[Event], Memory] = lambda event: Memory(),
    ) -> None:
        self._book = book
        self._explain = explain
        self._aside = aside
        self._now: datetime | None = None
        self._heap: list[tuple[datetime, Place]] = []
        self._keys: dict[Place, set[Place]] = {}
        self.looked_back_on = frozenset(
            event for rule in book.rules for event in rule.speaks_of - rule.events
        )
        self.state = state or State()
        for one in self.state.timers.values():
            self._file(one.arm)

    def start(self, now: datetime) -> None:
        """Arm what has to fall due though nothing happens; a clock that has its next time keeps it."""
        for arm in self._book.standing(now):
            if _place(arm) not in self.state.timers:
                self._put(Armed(arm, None))

    def happen(self, event: Event, memory: Memory | None = None, now: datetime | None = None) -> Moment:
        """An event comes. `memory` is what is known beside it, where that is not to be what was seen so far."""
        at = self._now = now or event.received_at
        known = memory or self.memory(event)
        planned, _ = self._planned(event, known, at)
        self._apply(planned.all_effects, event, known.before)
        self._learn(event)
        return Moment(at, event, planned)

    def pass_to(self, until: datetime) -> Iterator[Moment]:
        """Time passes: each thing that falls due by then, in order."""
        while (due := self._next(until)) is not None:
            yield self.fire(due, max(due.arm.due_at, self._now or due.arm.due_at))

    def fire(self, due: Armed, now: datetime) -> Moment:
        """One thing falls due, noticed at a moment."""
        self._now = now
        del self.state.timers[_place(due.arm)]
        self.state.fired += 1
        event = _due_event(self.state.fired, due, now)
        beside = self.memory(due.origin) if due.origin is not None else Memory()
        newest = self.state.objects.get(due.origin.subject) if due.origin is not None else None
        known = replace(beside, before=due.before, origin=due.origin, newest=newest)
        planned, _ = self._planned(event, known, now)
        self._apply(planned.all_effects, due.origin or event, due.before)
        return Moment(now, event, planned)

    def due(self, now: datetime) -> tuple[Armed, ...]:
        """What is due at a moment, oldest first."""
        found = (one for one in self.state.timers.values() if one.arm.due_at <= now)
        return tuple(sorted(found, key=lambda one: (one.arm.due_at, _place(one.arm))))

    @property
    def waits(self) -> bool:
        """Whether anything that happened still waits or is collected."""
        return any(not one.arm.fresh for one in self.state.timers.values()) or any(
            self.state.collected.values()
        )

    def _next(self, until: datetime) -> Armed | None:
        while self._heap and self._heap[0][0] <= until:
            due_at, place = heappop(self._heap)
            one = self.state.timers.get(place)
            if one is not None and one.arm.due_at == due_at:
                return one
        return None

    def _planned(self, event: Event, memory: Memory, now: datetime) -> tuple[Plan, Memory]:
        return answered(
            lambda known: plan(event, self._book, known, now, explain=self._explain), memory, self.answers
        )

    # what is known

    def memory(self, event: Event) -> Memory:
        """What is known beside an event."""
        source = self._book.sources.get(event.source)
        if source is None:
            return Memory()
        joins = source.joins(event.type, event.payload)
        names, aside = self.state.names, self._aside(event)
        return Memory(
            before=self.state.objects.get(event.subject),
            order=self.state.objects.get(self.state.owners.get(joins.order_of, "")) or aside.order,
            products={**aside.products, **{key: names[key] for key in joins.products if key in names}},
        )

    def answers(self, asks: Sequence[Ask]) -> Mapping[Ask, Any]:
        """What rules ask for."""
        return {ask: self._answer(ask) for ask in asks}

    def _answer(self, ask: Ask) -> Any:
        if isinstance(ask, Cell):
            return self.state.cells.get(ask)
        if isinstance(ask, Gathered):
            return tuple(self.state.collected.get((ask.rule, ask.key), ()))
        if isinstance(ask, Happened):
            found = [
                one for one in self.state.happened if one.type in ask.types and one.received_at >= ask.since
            ]
            return tuple(found[-ask.limit :])
        return {"waiting": 0, "next": []}

    def _learn(self, event: Event) -> None:
        """Take in what an event says; a late one says nothing new."""
        if event.type in self.looked_back_on:
            self.state.happened.append(event)
        source = self._book.sources.get(event.source)
        if source is None:
            return
        self.state.names.update(source.teaches(event.type, event.payload))
        if event.late:
            return
        self.state.objects[event.subject] = event.payload
        try:
            aliases = source.read(to_json(event.payload), {}).aliases
        except Unreadable:  # a test may change a payload until nobody would send it
            return
        self.state.owners.update(dict.fromkeys(aliases, event.subject))

    # what changes

    def _apply(self, effects: Sequence[Effect], origin: Event, before: Payload | None) -> None:
        for effect in effects:
            if isinstance(effect, Remember):
                self.state.cells[effect.cell] = from_json(to_json(effect.value))
            elif isinstance(effect, Arm):
                self._arm(effect, origin, before)
            elif isinstance(effect, Cancel):
                for place in self._by_keys(effect):
                    del self.state.timers[place]
            elif isinstance(effect, Hasten):
                for place in self._by_keys(effect):
                    self._hasten(place, origin.received_at)
            else:
                self._collect(effect, origin)

    def _arm(self, arm: Arm, origin: Event, before: Payload | None) -> None:
        place = _place(arm)
        if place not in self.state.timers or arm.replace:
            self._put(Armed(arm, None if origin.source == SCHEDULE else origin, before))

    def _put(self, one: Armed) -> None:
        self.state.timers[_place(one.arm)] = one
        self._file(one.arm)

    def _file(self, arm: Arm) -> None:
        place = _place(arm)
        heappush(self._heap, (arm.due_at, place))
        for key in arm.cancelled_by:
            self._keys.setdefault((arm.rule, arm.word, key), set()).add(place)

    def _hasten(self, place: Place, now: datetime) -> None:
        one = self.state.timers[place]
        sooner = msgspec.structs.replace(one.arm, due_at=min(one.arm.due_at, now))
        self._put(Armed(sooner, one.origin, one.before))

    def _by_keys(self, effect: Cancel | Hasten) -> list[Place]:
        """The timers that stand under any of the keys."""
        filed = [self._keys.pop((effect.rule, effect.word, key), set()) for key in effect.keys]
        return sorted(place for place in set().union(*filed) if place in self.state.timers)

    def _collect(self, effect: Effect, origin: Event) -> None:
        if isinstance(effect, Gather):
            there = self.state.collected.setdefault((effect.rule, effect.key), [])
            if all(one.id != origin.id for one in there):
                there.append(origin)
        elif isinstance(effect, Leave):
            for (rule, key), events in self.state.collected.items():
                if rule == effect.rule:
                    events[:] = [one for one in events if not leaves(effect, one, key)]

    # as JSON

    def to_json(self) -> bytes:
        """All that is known, as JSON."""
        state = self.state
        return to_json(
            {
                "cells": [[one.rule, one.word, one.key, value] for one, value in state.cells.items()],
                "timers": [
                    [msgspec.to_builtins(one.arm), _bare(one.origin), one.before]
                    for one in state.timers.values()
                ],
                "collected": [
                    [*place, [_bare(one) for one in some]] for place, some in state.collected.items()
                ],
                "happened": [_bare(one) for one in state.happened],
                "objects": state.objects,
                "owners": state.owners,
                "names": state.names,
                "fired": state.fired,
            }
        )

    @classmethod
    def of_json(cls, book: Rulebook, text: bytes, *, explain: bool = False) -> Timeline:
        """A timeline that goes on where another one left off."""
        known = from_json(text)
        timers = [
            Armed(msgspec.convert(arm, Arm), _event(origin), before)
            for arm, origin, before in known["timers"]
        ]
        state = State(
            cells={Cell(rule, word, key): value for rule, word, key, value in known["cells"]},
            timers={_place(one.arm): one for one in timers},
            collected={(rule, key): _events(some) for rule, key, some in known["collected"]},
            happened=_events(known["happened"]),
            objects=known["objects"],
            owners=known["owners"],
            names=known["names"],
            fired=known["fired"],
        )
        return cls(book, state, explain=explain)


def _place(arm: Arm) -> Place:
    return arm.rule, arm.word, arm.key


def _due_event(number: int, due: Armed, now: datetime) -> Event:
    """What the record makes of something that falls due."""
    arm = due.arm
    name = f"{arm.word.replace(' ', '_')}_due"
    said = {
        "rule": arm.rule,
        "word": arm.word,
        "key": arm.key,
        "due_at": arm.due_at.isoformat(),
        "event": due.origin.id if due.origin is not None else None,
    }
    return Event(f"due-{number}", SCHEDULE, name, f"due:{number}", {"event_name": name, SCHEDULE: said}, now)


def _bare(event: Event | None) -> Any:
    return None if event is None else msgspec.to_builtins(event, builtin_types=(Decimal,))


def _event(known: Any) -> Event | None:
    if known is None:
        return None
    return Event(**{**known, "received_at": datetime.fromisoformat(known["received_at"])})


def _events(known: Sequence[Any]) -> list[Event]:
    return [event for one in known if (event := _event(one)) is not None]
