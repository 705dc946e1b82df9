"""What is kept of one person: found in every table by an e-mail address or an order, given out whole, or erased.

Tables and columns are taken from their description, so that a table that is added is looked through as well. Erasing
puts a mark in the place of what names the person; the hash of a changed body goes with it, so that its event stays
whole. A row whose key names the person goes, and so does each of a table that holds nothing but people (`info` of the
table: `{"people": True}`). What was still to be sent and named the person is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    select,
    tuple_,
    update,
)

from engine.store import delivering
from engine.store.places import Knowledge
from engine.store.sql import Listed, Runner, Statement, number
from engine.store.tables import body, delivery, event, metadata
from engine.store.text import micros, moment
from engine.store.values import StoreError
from engine.store.wiping import MARK, Traces, values_of

Key = tuple[Any, ...]

NOBODYS = frozenset({"identity", "mark", "rulebook"})
"""Tables of no person: hashes, numbers, and the texts of rules, which are edited where they are written."""

ROWS = 200
"""Rows looked through at a time."""

AT_ONCE = 20
"""Rows erased at a time, so that nobody waits long for the disk."""

ROUNDS = 3
"""How often the record is looked through until nothing is found any more: more may come in meanwhile."""

UNSENT = frozenset({"queued", "held", "failed", "dead"})
"""States of deliveries that may still go out."""

BECAUSE = "it was about a person who was erased"


class StillRead(StoreError):
    """The person is gone from the record, but the files of the database cannot be cleaned while somebody reads them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is looked for: by an e-mail address, by subjects (`order:R1`), or both."""

    email: str = ""
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traced:
    """How many rows name the person by table, how many messages that may still go out do, and how many are going out."""

    rows: Mapping[str, int]
    unsent: int = 0
    under_way: int = 0

    @property
    def number(self) -> int:
        """All rows."""
        return sum(self.rows.values())


# tables


class Looked:
    """A table as it is looked through: its key, its texts, and the event that a row belongs to."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.keys: tuple[Column[Any], ...] = tuple(table.primary_key.columns)
        self.texts = tuple(
            one
            for one in table.c
            if isinstance(one.type, Text | LargeBinary) and not one.name.endswith("sha256")
        )
        self._link = next((table.c[name] for name in ("event_id", "delivery_id") if name in table.c), None)
        self.by_delivery = self._link is not None and self._link.name == "delivery_id"
        link = table.c.id if table is event else self._link
        columns = [*self.keys, *self.texts, *([link] if link is not None else [])]
        wanted = select(*columns)
        self.page = Statement(
            wanted.where(_beyond(self.keys)).order_by(*self.keys).limit(bindparam("limit")).offset(number(0))
        )
        self.row = Statement(wanted.where(*_is(self.keys)))
        self.whole = Statement(select(table).where(*_is(self.keys)))
        self.gone = Statement(delete(table).where(*_is(self.keys)))
        self.belonging = None if link is None else Listed(lambda keys: wanted.where(link.in_(keys)))
        self._unique = _unique(table)

    def key(self, row: Sequence[Any]) -> Key:
        """The key of a row."""
        return tuple(row[: len(self.keys)])

    def said(self, row: Sequence[Any]) -> list[tuple[Column[Any], Any]]:
        """The texts of a row that are not empty."""
        values = row[len(self.keys) : len(self.keys) + len(self.texts)]
        return [(column, value) for column, value in zip(self.texts, values, strict=True) if value]

    def owner(self, row: Sequence[Any]) -> Any:
        """The number of the event, or of the delivery, that a row belongs to; None for one of none."""
        return row[-1] if self.belonging is not None else None

    def start(self) -> Key:
        """What stands before every key."""
        return tuple(_least(column) for column in self.keys)

    def goes(self, change: Collection[str]) -> bool:
        """Whether a row with such a change goes as a whole."""
        return bool(self.table.info.get("people")) or any(column.name in change for column in self.keys)

    def apart(self, column: str, value: Any, key: Key) -> Any:
        """A value that stays unlike any other, where the column must not hold one twice."""
        if column not in self._unique or not isinstance(value, str):
            return value
        return value.replace(MARK, f"{MARK[:-1]} {'-'.join(map(str, key))}]")

    @cache  # noqa: B019  # tables live as long as the program
    def update(self, *columns: str) -> Statement:
        """Puts new values into some columns of a row."""
        values = {name: bindparam(f"new_{name}", type_=self.table.c[name].type) for name in columns}
        return Statement(update(self.table).values(values).where(*_is(self.keys)))


def _beyond(keys: Sequence[Column[Any]]) -> Any:
    bound = [bindparam(f"key_{column.name}", type_=column.type) for column in keys]
    return keys[0] > bound[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*bound)


def _is(keys: Sequence[Column[Any]]) -> list[Any]:
    return [column == bindparam(f"key_{column.name}", type_=column.type) for column in keys]


def _named(looked: Looked, key: Key) -> dict[str, Any]:
    return {f"key_{column.name}": value for column, value in zip(looked.keys, key, strict=True)}


def _least(column: Column[Any]) -> Any:
    if isinstance(column.type, Text):
        return ""
    return b"" if isinstance(column.type, LargeBinary) else -1


def _unique(table: Table) -> set[str]:
    together = [one.columns for one in table.constraints if isinstance(one, UniqueConstraint)]
    together += [index.columns for index in table.indexes if index.unique]
    return {column.name for columns in together for column in columns}


@cache
def looked_through() -> tuple[Looked, ...]:
    """The tables that may name a person."""
    every = [Looked(table) for table in metadata.sorted_tables if table.name not in NOBODYS]
    return tuple(one for one in every if one.texts)


# looking


@dataclass(slots=True)
class Search:
    """Looks through the record for a person; `fields` are the names under which payloads keep what names somebody.

    An event whose body holds the address is theirs, and so is one about the same order. In what is kept of those events
    every text that their bodies keep under `fields` names the person, too. `found` is what would change, by table and
    key.
    """

    person: Person
    fields: Collection[str]
    texts: set[str] = field(default_factory=set)
    found: dict[str, set[Key]] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    subjects: set[str] = field(default_factory=set)
    _events: set[int] = field(default_factory=set)
    _deliveries: set[int] = field(default_factory=set)
    _traces: Traces = field(default_factory=lambda: Traces([]))

    def steps(self, runner: Runner) -> Iterator[None]:
        """Look, with a pause after some rows each."""
        self._traces = Traces([self.person.email] if self.person.email else [])
        touched: dict[str, dict[Key, Any]] = {}
        for looked in looked_through():
            rows = touched[looked.table.name] = {}
            for page in _pages(runner, looked) if self.person.email else ():
                rows.update({looked.key(row): row for row in page if self._touches(looked, row)})
                yield
        self._take(runner, {key[0] for key in touched[body.name]})
        yield
        for looked in looked_through():
            rows = touched[looked.table.name]
            for page in _belonging(runner, looked, self._deliveries if looked.by_delivery else self._events):
                rows |= {looked.key(row): row for row in page}
                yield
            self.found[looked.table.name] = {key for key, row in rows.items() if self.change(looked, row)}
            yield
        self._count(runner)

    def _touches(self, looked: Looked, row: Any) -> bool:
        """Whether a row holds the address; its texts are looked through together."""
        data = b"\n".join(_data(value) for _, value in looked.said(row))
        return self._traces.among(data) or (b"\0" in data and self.change(looked, row) != {})

    def _take(self, runner: Runner, ids: set[int]) -> None:
        """Take in the person's events with those about the same order, and the texts that name them there."""
        abouts = {name for row in runner.listed(_ABOUT, list(ids)) for name in row if name}
        self.subjects = abouts | set(self.person.subjects)
        keys = sorted(self.subjects)
        self._events = (
            ids
            | {row[0] for row in runner.listed(_OF_ORDER, keys)}
            | {row[0] for row in runner.listed(_OF_SUBJECT, keys)}
        )
        self._deliveries = {row[0] for row in runner.listed(_DELIVERIES, sorted(self._events))}
        for some in _parts(sorted(self._events)):
            for _, data in runner.listed(_BODIES, some):
                self.texts |= values_of(data, self.fields) if data else set()
        addresses = {self.person.email, *(text for text in self.texts if "@" in text)} - {""}
        self._traces = Traces(addresses, self.texts - addresses)

    def _count(self, runner: Runner) -> None:
        numbers = {key[0] for name in ("delivery", "request") for key in self.found.get(name, ())}
        self.states = Counter(row[0] for row in runner.listed(_STATES, sorted(numbers)))

    def traced(self) -> Traced:
        """What was found."""
        rows = {name: len(keys) for name, keys in self.found.items() if keys}
        return Traced(rows, sum(self.states[state] for state in UNSENT), self.states["running"])

    def names(self, text: str) -> bool:
        """Whether a text names the person."""
        return self._traces.wiped_text(text) is not None

    # changing

    def change(self, looked: Looked, row: Any) -> dict[str, Any]:
        """What becomes of the texts of a row, by column; nothing where none names the person."""
        theirs = self._deliveries if looked.by_delivery else self._events
        fields = self.fields if looked.owner(row) in theirs else ()
        change = {column.name: self._wiped(value, fields) for column, value in looked.said(row)}
        return {name: value for name, value in change.items() if value is not None}

    def _wiped(self, value: Any, fields: Collection[str]) -> Any:
        wiped = self._traces.wiped(_data(value), fields)
        return wiped.decode() if wiped is not None and isinstance(value, str) else wiped

    def erase(self, runner: Runner, looked: Looked, keys: Iterable[Key], now: int) -> None:
        """Erase the person from some rows, as they are by now."""
        for key in keys:
            for row in runner.rows(looked.row, **_named(looked, key)):
                self._erase(runner, looked, key, self.change(looked, row), now)

    def _erase(self, runner: Runner, looked: Looked, key: Key, change: dict[str, Any], now: int) -> None:
        if not change:
            return
        if looked.goes(change):
            runner.run(looked.gone, **_named(looked, key))
            return
        values = {f"new_{name}": looked.apart(name, value, key) for name, value in change.items()}
        runner.run(looked.update(*change), **values, **_named(looked, key))
        if looked.table is body and "body" in change:
            runner.run(_REHASH, sha=sha256(change["body"]).digest(), number=key[0])
        if looked.table.name in ("delivery", "request"):
            _cancel(runner, key[0], now)


def _cancel(runner: Runner, id: int, now: int) -> None:
    [(state,)] = runner.listed(_STATES, [id])
    if state in UNSENT:
        delivering.cancel(runner, id, now, BECAUSE)


def _pages(runner: Runner, looked: Looked) -> Iterator[Sequence[Any]]:
    after = looked.start()
    while rows := runner.rows(looked.page, limit=ROWS, **_named(looked, after)):
        yield rows
        after = looked.key(rows[-1])


def _belonging(runner: Runner, looked: Looked, ids: Collection[int]) -> Iterator[Sequence[Any]]:
    if looked.belonging is not None:
        for some in _parts(sorted(ids)):
            yield runner.listed(looked.belonging, some)


def _parts(items: Sequence[Any], size: int = ROWS) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _data(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def look(runner: Runner, person: Person, fields: Collection[str]) -> Search:
    """Look for a person in one go."""
    search = Search(person, fields)
    for _ in search.steps(runner):
        pass
    return search


# giving out


def export(runner: Runner, search: Search) -> dict[str, list[dict[str, Any]]]:
    """Every row that names the person, whole, by table: plain JSON, with times as such and JSON texts as what they say."""
    return {
        looked.table.name: [
            _readable(looked, row)
            for key in sorted(search.found[looked.table.name])
            for row in runner.rows(looked.whole, **_named(looked, key))
        ]
        for looked in looked_through()
        if search.found[looked.table.name]
    }


def _readable(looked: Looked, row: Sequence[Any]) -> dict[str, Any]:
    return {column.name: _plain(column, value) for column, value in zip(looked.table.c, row, strict=True)}


def _plain(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, BigInteger) and column.name.endswith("_at") and value is not None:
        return moment(value).isoformat()
    if isinstance(value, bytes | memoryview) and column.name != "body":
        return bytes(value).hex()
    return value if isinstance(value, int | float | None) else _document(_data(value))


def _document(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data) if data[:1] in (b"{", b"[") else data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data.decode("utf-8", "backslashreplace")


# erasing beside the service's work

Read = Callable[[Callable[[Runner], Any]], Awaitable[Any]]
"""Runs a call on the connection that reads."""

Write = Callable[[Callable[[Runner], Any]], Awaitable[Any]]
"""Runs a call within a transaction of the connection that writes."""


class People:
    """Finds and erases people while the record is in use: a little at a time, so that nobody waits long."""

    def __init__(
        self, read: Read, write: Write, scrub: Callable[[], Awaitable[bool]], known: Knowledge
    ) -> None:
        self._read = read
        self._write = write
        self._scrub = scrub
        self._known = known

    async def find(self, person: Person, fields: Collection[str]) -> Traced:
        """How much is kept of a person."""
        return (await self._search(Search(person, fields))).traced()

    async def erase(self, person: Person, fields: Collection[str], now: datetime) -> Traced:
        """Erase a person from the record and from the files of its database; what was erased.

        What is being sent at this moment is let go; `under_way` says that there was some, and that erasing again in a
        while is needed. Nothing else is left.
        """
        rows: Counter[str] = Counter()
        unsent = under_way = 0
        search = Search(person, fields)
        for _ in range(ROUNDS):
            traced = (await self._search(search)).traced()
            if not traced.number:
                break
            rows.update(traced.rows)
            unsent += traced.unsent
            under_way += traced.under_way
            await self._erase(search, micros(now))
            # What names the person elsewhere is known by now, though no body says it any more.
            search = Search(replace(person, subjects=tuple(search.subjects)), fields, search.texts)
        await self._scrubbed()
        return Traced(rows, unsent, under_way)

    async def _search(self, search: Search) -> Search:
        steps: Iterator[None] | None = None

        def step(runner: Runner) -> bool:
            nonlocal steps
            steps = search.steps(runner) if steps is None else steps
            return next(steps, _END) is not _END

        while await self._read(step):
            pass
        return search

    async def _erase(self, search: Search, now: int) -> None:
        await self._write(lambda runner: self._known.forget(runner, search.names))
        for looked in looked_through():
            for keys in _parts(sorted(search.found[looked.table.name]), AT_ONCE):
                await self._write(partial(search.erase, looked=looked, keys=keys, now=now))

    async def _scrubbed(self) -> None:
        """Have the log of the database emptied too; somebody who reads just now can hold that up."""
        for _ in range(TRIES):
            if await self._scrub():
                return
            await asyncio.sleep(PAUSE)
        raise StillRead(
            "what was erased is gone from the record, but not yet from the files of the database, because another program "
            "reads them. End that one and erase again; else it goes from them when the service ends."
        )


TRIES = 50
PAUSE = 0.1
"""Seconds between tries to clean the files."""

_END = object()
_ABOUT = Listed(lambda keys: select(event.c.okey, event.c.subject).where(event.c.id.in_(keys)))
_OF_ORDER = Listed(lambda keys: select(event.c.id).where(event.c.okey.in_(keys)))
_OF_SUBJECT = Listed(lambda keys: select(event.c.id).where(event.c.subject.in_(keys)))
_DELIVERIES = Listed(lambda keys: select(delivery.c.id).where(delivery.c.event_id.in_(keys)))
_BODIES = Listed(lambda keys: select(body.c.event_id, body.c.body).where(body.c.event_id.in_(keys)))
_STATES = Listed(lambda keys: select(delivery.c.state).where(delivery.c.id.in_(keys)))
_REHASH = Statement(
    update(event).values(body_sha256=bindparam("sha")).where(event.c.id == bindparam("number"))
)
