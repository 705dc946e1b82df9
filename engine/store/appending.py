"""Arrivals become events: all that wait together, in the order they came, with a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

import msgspec
from sqlalchemy import bindparam, insert, update

from engine.store.known import Known, next_state
from engine.store.sql import Runner, Statement
from engine.store.tables import body, event
from engine.store.text import clean
from engine.store.values import Appended, Arrival

_MICROSECOND = timedelta(microseconds=1)
_json = msgspec.json.encode

Waiting = tuple[Arrival, int]
"""An arrival, and when it was received in microseconds since 1970."""


class Appender:
    """Keeps arrivals. `last_id` is the highest number an event ever had, `repeats` counts what was no new event."""

    def __init__(self, known: Known, last_id: int) -> None:
        self._known = known
        self.last_id = last_id
        self._next_id = last_id + 1

    def append(self, runner: Runner, waiting: Sequence[Waiting]) -> list[Appended]:
        """Keep arrivals within the running transaction; what became of each, in their order."""
        group = _Group(self._known, runner, waiting, self._next_id)
        appended = [group.take(arrival, received_at) for arrival, received_at in waiting]
        group.write(runner)
        self._next_id = group.next_id
        return appended

    def committed(self) -> None:
        """The transaction counts."""
        self.last_id = self._next_id - 1
        self._known.committed(self.last_id)

    def rolled_back(self) -> None:
        """The transaction does not count: its numbers are given again."""
        self._next_id = self.last_id + 1
        self._known.rolled_back()


class _Group:
    """What the arrivals of one transaction become."""

    def __init__(self, known: Known, runner: Runner, waiting: Sequence[Waiting], next_id: int) -> None:
        subjects = {clean(arrival.subject) for arrival, _ in waiting}
        self._known = known
        self._identities = known.identities.find(runner, {arrival.identity for arrival, _ in waiting})
        self._subjects = known.subjects.find(runner, subjects)
        self._aliases = known.aliases.find(runner, subjects)
        self._events: dict[int, list[object]] = {}
        self._bodies: list[tuple[object, ...]] = []
        self._repeats: dict[int, tuple[int, int]] = {}
        self.next_id = next_id

    def take(self, arrival: Arrival, received_at: int) -> Appended:
        """One arrival: a new event, or one more time the same."""
        about = clean(arrival.subject)
        seen = self._identities.get(arrival.identity)
        if seen is not None and seen[2] > received_at:
            state = self._subjects.get(about)
            if not arrival.superseded or (state is not None and state[2] == seen[1]):
                return self._again(seen[1], received_at)
        return self._new(arrival, about, received_at)

    def _again(self, id: int, received_at: int) -> Appended:
        if (row := self._events.get(id)) is not None:
            row[_SEEN] += 1  # type: ignore[operator]
            row[_LAST_SEEN] = received_at
        else:
            count, _ = self._repeats.get(id, (0, 0))
            self._repeats[id] = (count + 1, received_at)
        return Appended(str(id), True)

    def _new(self, arrival: Arrival, about: str, received_at: int) -> Appended:
        id = self.next_id
        self.next_id += 1
        state = self._subjects.get(about)
        updated_at = arrival.updated_at
        late = bool(state and updated_at is not None and state[3] is not None and updated_at < state[3])
        until = received_at + arrival.window // _MICROSECOND
        owner = self._aliases.get(about)
        self._events[id] = [
            id,
            arrival.source,
            clean(arrival.type),
            about,
            owner[1] if owner else about,
            received_at,
            "new",
            1,
            0,
            False,
            late,
            arrival.known,
            1,
            None,
            state[1] if state else None,
            updated_at,
            arrival.identity,
            until,
            sha256(arrival.body).digest(),
            "\n".join(map(clean, arrival.aliases)),
            clean(arrival.note),
            "",
            None,
        ]
        self._bodies.append((id, arrival.body, _headers(arrival)))
        self._learn(arrival, about, next_state(state, about, id, late, updated_at), until)
        return Appended(str(id), False)

    def _learn(
        self, arrival: Arrival, about: str, state: tuple[str, int | None, int, int | None], until: int
    ) -> None:
        id = state[2]
        identity = (arrival.identity, id, until)
        self._identities[arrival.identity] = identity
        self._subjects[about] = state
        self._known.identities.put(identity)
        self._known.subjects.put(state)
        for other in arrival.aliases:
            alias = (clean(other), about, id)
            self._aliases[alias[0]] = alias
            self._known.aliases.put(alias)

    def write(self, runner: Runner) -> None:
        """Write it all, and a share of what is known."""
        runner.many(_EVENT, list(self._events.values()))
        runner.many(_BODY, self._bodies)
        runner.many(_REPEAT, [(count, last, id) for id, (count, last) in self._repeats.items()])
        self._known.settle(runner, len(self._events))


def _headers(arrival: Arrival) -> str:
    if not arrival.headers:
        return ""
    return _json({clean(name): clean(value) for name, value in arrival.headers.items()}).decode()


_EVENT = Statement(insert(event))
_BODY = Statement(insert(body))
_REPEAT = Statement(
    update(event)
    .values(seen=event.c.seen + bindparam("more"), last_seen_at=bindparam("last"))
    .where(event.c.id == bindparam("number"))
)
_SEEN = _EVENT.names.index("seen")
_LAST_SEEN = _EVENT.names.index("last_seen_at")
