"""Arrivals become events: all that wait together, in the order they came, with a few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256

import msgspec
from sqlalchemy import bindparam, false, insert, update

from engine.store.known import IdentityRow, Known, SubjectRow, next_state
from engine.store.sql import Runner, Statement, number, word
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
        self._events: list[tuple[object, ...]] = []
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
        aliases = clean("\n".join(arrival.aliases))
        self._events.append(
            (
                id,
                arrival.source,
                clean(arrival.type),
                about,
                self._aliases[about][1] if about in self._aliases else about,
                received_at,
                late,
                arrival.known,
                state[1] if state else None,
                updated_at,
                arrival.identity,
                until,
                sha256(arrival.body).digest(),
                aliases,
                clean(arrival.note),
            )
        )
        self._bodies.append((id, arrival.body, _headers(arrival.headers)))
        self._learn((arrival.identity, id, until), next_state(state, about, id, late, updated_at), aliases)
        return Appended(str(id), False)

    def _learn(self, identity: IdentityRow, state: SubjectRow, aliases: str) -> None:
        about = state[0]
        self._identities[identity[0]] = identity
        self._subjects[about] = state
        self._known.identities.put(identity)
        self._known.subjects.put(state)
        for other in aliases.split("\n") if aliases else ():
            self._aliases[other] = alias = (other, about, identity[1])
            self._known.aliases.put(alias)

    def write(self, runner: Runner) -> None:
        """Write it all, and a share of what is known."""
        runner.many(_EVENT, self._events)
        runner.many(_BODY, self._bodies)
        runner.many(_REPEAT, [(count, last, id) for id, (count, last) in self._repeats.items()])
        self._known.settle(runner, len(self._events))


def _headers(headers: Mapping[str, str]) -> str:
    if not headers:
        return ""
    try:
        return _json(headers).decode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return _json({clean(name): clean(value) for name, value in headers.items()}).decode()


_EVENT = Statement(
    insert(event).values(
        {
            column.name: bindparam(column.name)
            for column in (
                event.c.id,
                event.c.source,
                event.c.type,
                event.c.subject,
                event.c.okey,
                event.c.received_at,
                event.c.late,
                event.c.known,
                event.c.before_id,
                event.c.updated_at,
                event.c.identity,
                event.c.expires_at,
                event.c.body_sha256,
                event.c.aliases,
                event.c.note,
            )
        }
        | {"state": word("new"), "run": number(1), "starts": number(0), "resend": false(), "seen": number(1)}
        | {"reason": word("")}
    )
)
_BODY = Statement(insert(body))
_REPEAT = Statement(
    update(event)
    .values(seen=event.c.seen + bindparam("more"), last_seen_at=bindparam("last"))
    .where(event.c.id == bindparam("number"))
)
