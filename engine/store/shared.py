"""Arrivals become events where several receivers take them in at once, and what all of them know stands in tables alone.

Of two receivers that have the same subject at the same moment, one waits until the other's transaction has ended: first
the subjects are locked, in their order, and only then are numbers drawn. So of one subject's events the numbers grow as
they are committed, each knows the one before it, and nobody waits for somebody who waits for him.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Integer,
    Table,
    any_,
    bindparam,
    cast,
    delete,
    false,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from engine.store.known import IdentityRow, SubjectRow, next_state
from engine.store.listening import CHANNEL
from engine.store.numbering import Numbers
from engine.store.sql import Insert, OnPostgres, Runner, given_lists, number, word
from engine.store.tables import alias, body, event, identity, subject, worker
from engine.store.text import clean
from engine.store.values import Appended, Arrival

_MICROSECOND = timedelta(microseconds=1)
_json = msgspec.json.encode


class Overtaken(Exception):
    """Another process has kept the same at this moment; done again, the transaction sees what it did."""


class Rows:
    """The rows of one table by its first column; those that are found are locked until the transaction ends."""

    def __init__(self, table: Table) -> None:
        key = table.c[0]
        given = _list("keys", key.type)
        self._find = OnPostgres(select(table).where(key == any_(given)).order_by(key).with_for_update())
        self._remove = OnPostgres(delete(table).where(key == any_(given)))

    def find(self, runner: Runner, keys: set[Any]) -> dict[Any, Any]:
        """The rows of those keys that are known, by key."""
        return {row[0]: row for row in runner.rows(self._find, keys=list(keys))} if keys else {}

    def peek(self, key: Any) -> Any | None:
        """Nothing is in memory."""
        return None

    def remove(self, runner: Runner, keys: Iterable[Any]) -> None:
        """Take rows away."""
        runner.run(self._remove, keys=list(keys))


class SharedKnowledge:
    """What is known of identities, subjects and aliases."""

    def __init__(self) -> None:
        self.identities = Rows(identity)
        self.subjects = Rows(subject)
        self.aliases = Rows(alias)

    def forget(self, runner: Runner, names: Callable[[str], bool]) -> None:
        """Nothing is in memory."""


class SharedAppender:
    """Keeps arrivals beside others that do the same."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def append(self, runner: Runner, waiting: Sequence[tuple[Arrival, int]]) -> list[Appended]:
        """Keep arrivals within the running transaction; what became of each, in their order. Raises `Overtaken`."""
        group = _Group(runner, waiting)
        taken = [group.take(arrival, received_at) for arrival, received_at in waiting]
        ids = group.write(runner, self._numbers)
        return [Appended(str(_real(id, ids)), repeat) for id, repeat in taken]

    def committed(self) -> None:
        """Nothing is kept in memory."""

    def rolled_back(self) -> None:
        """Nothing is kept in memory."""


def _real(id: int, ids: Sequence[int]) -> int:
    """The number of an event: those of the group itself stand as -1, -2 and so on until numbers are drawn."""
    return ids[-1 - id] if id < 0 else id


class _Group:
    """What the arrivals of one transaction become."""

    def __init__(self, runner: Runner, waiting: Sequence[tuple[Arrival, int]]) -> None:
        subjects = sorted({clean(arrival.subject) for arrival, _ in waiting})
        runner.run(_PLACES, keys=subjects)
        rows = runner.rows(_STATES, keys=subjects)
        self._subjects: dict[str, SubjectRow] = {row[0]: tuple(row[:4]) for row in rows if row[2]}
        self._owners: dict[str, str] = {row[0]: row[4] for row in rows if row[4] is not None}
        keys = list({arrival.identity for arrival, _ in waiting})
        self._identities: dict[bytes, IdentityRow] = {
            row[0]: tuple(row) for row in runner.rows(_IDENTITIES, keys=keys)
        }
        self._before = dict(self._identities)
        self._events: list[list[Any]] = []
        self._bodies: list[tuple[bytes, str]] = []
        self._aliases: dict[str, tuple[str, int]] = {}
        self._repeats: dict[int, tuple[int, int]] = {}

    def take(self, arrival: Arrival, received_at: int) -> tuple[int, bool]:
        """One arrival: a new event, or one more time the same; its number, and whether it is a repeat."""
        about = clean(arrival.subject)
        seen = self._identities.get(arrival.identity)
        if seen is not None and seen[2] > received_at:
            state = self._subjects.get(about)
            if not arrival.superseded or (state is not None and state[2] == seen[1]):
                count, _ = self._repeats.get(seen[1], (0, 0))
                self._repeats[seen[1]] = (count + 1, received_at)
                return seen[1], True
        return self._new(arrival, about, received_at), False

    def _new(self, arrival: Arrival, about: str, received_at: int) -> int:
        id = -1 - len(self._events)
        state = self._subjects.get(about)
        updated_at = arrival.updated_at
        late = bool(state and updated_at is not None and state[3] is not None and updated_at < state[3])
        until = received_at + arrival.window // _MICROSECOND
        aliases = clean("\n".join(arrival.aliases))
        self._events.append(
            [
                id,
                arrival.source,
                clean(arrival.type),
                about,
                self._owners.get(about, about),
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
            ]
        )
        self._bodies.append((arrival.body, _headers(arrival.headers)))
        self._identities[arrival.identity] = (arrival.identity, id, until)
        self._subjects[about] = next_state(state, about, id, late, updated_at)
        for other in aliases.split("\n") if aliases else ():
            self._owners[other] = about
            self._aliases[other] = (about, id)
        return id

    def write(self, runner: Runner, numbers: Numbers) -> Sequence[int]:
        """Draw the numbers and write it all; always in the same order of tables, and of keys within each."""
        ids = numbers.take(runner, len(self._events))
        if ids:
            self._write_identities(runner, ids)
            self._write_aliases(runner, ids)
            self._write_events(runner, ids)
            self._write_subjects(runner, ids)
            runner.rows(_TELL)
        repeats = sorted((_real(id, ids), count, last) for id, (count, last) in self._repeats.items())
        if repeats:
            _run_lists(runner, _REPEAT, repeats)
        return ids

    def _write_events(self, runner: Runner, ids: Sequence[int]) -> None:
        for row in self._events:
            row[0] = _real(row[0], ids)
            row[8] = None if row[8] is None else _real(row[8], ids)
        runner.many(_EVENT, self._events)
        runner.many(_BODY, [(id, *kept) for id, kept in zip(ids, self._bodies, strict=True)])

    def _write_identities(self, runner: Runner, ids: Sequence[int]) -> None:
        """Keys nobody had are inserted, others changed, where they still are as they were found. Raises `Overtaken`."""
        mine = sorted(row for row in self._identities.values() if row[1] < 0)
        new = [(key, _real(id, ids), until) for key, id, until in mine if key not in self._before]
        old = [
            (key, _real(id, ids), until, self._before[key][1])
            for key, id, until in mine
            if key in self._before
        ]
        for statement, rows in ((_NEW_IDENTITIES, new), (_OLD_IDENTITIES, old)):
            if rows and _run_lists(runner, statement, rows) != len(rows):
                raise Overtaken

    def _write_aliases(self, runner: Runner, ids: Sequence[int]) -> None:
        rows = [(other, about, _real(id, ids)) for other, (about, id) in sorted(self._aliases.items())]
        if rows:
            _run_lists(runner, _ALIASES, rows)

    def _write_subjects(self, runner: Runner, ids: Sequence[int]) -> None:
        rows = [
            (about, state if state is None else _real(state, ids), _real(last, ids), updated_at)
            for about, state, last, updated_at in self._subjects.values()
            if last < 0
        ]
        _run_lists(runner, _SUBJECTS, rows)


def _headers(headers: Mapping[str, str]) -> str:
    if not headers:
        return ""
    return _json({clean(name): clean(value) for name, value in headers.items()}).decode()


def _list(name: str, type: Any) -> Any:
    return cast(bindparam(name), postgresql.ARRAY(type))


def _run_lists(runner: Runner, statement: OnPostgres, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement over rows that it takes as a list for each of its parameters; the rows it changed."""
    return runner.run(
        statement, **dict(zip(statement.names, map(list, zip(*rows, strict=True)), strict=True))
    )


def _placed(table: Table) -> Any:
    return postgresql.insert(table)


def _changed(table: Table, columns: Sequence[Any], found: Any = None) -> OnPostgres:
    """Changes the rows of those keys, the first of the columns; with `found`, where they still have that value."""
    more = [] if found is None else [Column("found", found.type)]
    given = given_lists([*columns, *more])
    key, *others = columns
    change = update(table).values({one: given.c[one.name] for one in others}).where(key == given.c[key.name])
    return OnPostgres(change if found is None else change.where(found == given.c.found))


def _newest_alias() -> OnPostgres:
    """An alias belongs to whoever named it last."""
    given = given_lists(list(alias.c))
    row: Any = _placed(alias).from_select([one.name for one in alias.c], select(*given.c))
    new = row.excluded
    return OnPostgres(
        row.on_conflict_do_update(
            index_elements=[alias.c.alias],
            set_={"subject": new.subject, "event_id": new.event_id},
            where=alias.c.event_id < new.event_id,
        )
    )


def _seen_again() -> OnPostgres:
    given = given_lists([event.c.id, Column("more", Integer), event.c.last_seen_at])
    return OnPostgres(
        update(event)
        .values(seen=event.c.seen + given.c.more, last_seen_at=given.c.last_seen_at)
        .where(event.c.id == given.c.id)
    )


_given_identities = given_lists([identity.c.key, identity.c.event_id, identity.c.expires_at])
_PLACES = OnPostgres(
    _placed(subject)
    .from_select(
        ["subject", "last_id"], select(func.unnest(_list("keys", subject.c.subject.type)), number(0))
    )
    .on_conflict_do_nothing()
)
_STATES = OnPostgres(
    select(subject.c.subject, subject.c.event_id, subject.c.last_id, subject.c.updated_at, alias.c.subject)
    .select_from(subject.outerjoin(alias, alias.c.alias == subject.c.subject))
    .where(subject.c.subject == any_(_list("keys", subject.c.subject.type)))
    .order_by(subject.c.subject)
    .with_for_update(of=subject)
)
_IDENTITIES = OnPostgres(select(identity).where(identity.c.key == any_(_list("keys", identity.c.key.type))))
_NEW_IDENTITIES = OnPostgres(
    _placed(identity)
    .from_select(
        ["key", "event_id", "expires_at"],
        select(_given_identities.c.key, _given_identities.c.event_id, _given_identities.c.expires_at),
    )
    .on_conflict_do_nothing()
)
_OLD_IDENTITIES = _changed(
    identity, [identity.c.key, identity.c.event_id, identity.c.expires_at], found=identity.c.event_id
)
_ALIASES = _newest_alias()
_SUBJECTS = _changed(
    subject, [subject.c.subject, subject.c.event_id, subject.c.last_id, subject.c.updated_at]
)
_REPEAT = _seen_again()
_EVENT = Insert(
    event,
    last_seen_at=null(),
    state=word("new"),
    run=number(1),
    starts=number(0),
    resend=false(),
    seen=number(1),
    reason=word(""),
    owner=null(),
)
_BODY = Insert(body)
_TELL = OnPostgres(
    select(func.pg_notify(word(CHANNEL), word(""))).select_from(worker).where(worker.c.idle).limit(number(1))
)
