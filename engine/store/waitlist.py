"""The people who wait for a product: their places in the order they signed up, and what became of each.

* A person has one open place for each SKU: whoever signs up again keeps it.
* A place is confirmed before it counts, and has its turn once. What became of it is kept, step by step.
* Whoever leaves gets nothing more: what was on its way to them is cancelled with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import bindparam, func, insert, select, tuple_, update

from engine.model import Tell, Waiting
from engine.store.sql import Listed, Runner, Statement, number, word, words
from engine.store.tables import delivery, entry, trail
from engine.store.text import clean, maybe_moment, micros, moment
from engine.store.thread import Appending
from engine.store.values import Arrival, Page

Result = TypeVar("Result")

KIND = "restock alert"
"""The action that tells people on the waitlist."""

STATES = ("pending", "waiting", "told", "left", "removed")


class Runs(Protocol):
    """Runs a call with the database's statements, in the thread that they belong to."""

    def __call__(self, call: Callable[[Runner], Result], /) -> Awaitable[Result]:
        """What the call gives."""
        ...


@dataclass(frozen=True, slots=True)
class SignUp:
    """A wish to be told: for which SKU, by whom, how it came (`form`, `import`), and the token that names the place.

    `confirmed_at` is when the person confirmed it, None where that is still to come.
    """

    sku: str
    email: str
    token: str
    origin: str
    signed_up_at: datetime
    name: str = ""
    locale: str = ""
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A place on the waitlist. `state` is `pending`, `waiting`, `told`, `left` or `removed`."""

    id: int
    sku: str
    email: str
    name: str
    locale: str
    origin: str
    token: str
    state: str
    signed_up_at: datetime
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a place, when, and by which event of the record."""

    at: datetime
    what: str
    event: str = ""


def skus_of(sku: str) -> tuple[str, ...]:
    """The SKUs that one stands for: a bundle's parts are joined by |."""
    parts = (part.strip() for part in sku.split("|"))
    return tuple(dict.fromkeys(part for part in parts if part))


class Waitlist:
    """The part of the record that the waitlist needs. `appender` gives what keeps events, `came` tells of new ones."""

    def __init__(
        self, write: Runs, read: Runs, appender: Callable[[], Appending], came: Callable[[], None]
    ) -> None:
        self._write = write
        self._read = read
        self._appender = appender
        self._came = came

    async def sign_up(self, wish: SignUp, arrival: Arrival) -> str:
        """Take a place, and keep the event that says so; `new`, `again` (still to be confirmed) or `waiting` already.

        `again` gives the place the new token, and keeps the event too, so that it can be confirmed by a newer mail.
        """
        became = await self._write(lambda runner: self._sign_up(runner, wish, arrival))
        if became != "waiting":
            self._came()
        return became

    def _sign_up(self, runner: Runner, wish: SignUp, arrival: Arrival) -> str:
        became = take_place(runner, wish)
        if became != "waiting":
            self._appender().append(runner, [(arrival, micros(wish.signed_up_at))])
        return became

    async def add(self, wishes: Sequence[SignUp]) -> Mapping[str, int]:
        """Take many places without a word to anybody; how many are `new`, and how many were there already."""
        became = await self._write(lambda runner: [take_place(runner, wish) for wish in wishes])
        return {word: became.count(word) for word in dict.fromkeys(became)}

    async def confirm(self, token: str, now: datetime) -> Entry | None:
        """Let a place count from now on; as it now stands, None where the token names none."""
        return await self._write(lambda runner: _step(runner, token, "pending", "waiting", now))

    async def leave(self, token: str, now: datetime) -> Entry | None:
        """Give up all open places of the person whose place the token names; that one, None where it names none.

        What was still to be sent to them as a restock alert is cancelled.
        """
        return await self._write(lambda runner: _leave(runner, token, now))

    async def remove(self, email: str, sku: str | None, now: datetime) -> int:
        """Take a person off the list of a SKU, or of all; how many places that were."""
        return await self._write(lambda runner: remove(runner, email, sku, now, "removed"))

    async def find(self, token: str) -> Entry | None:
        """The place that a token names."""
        rows = await self._read(lambda runner: runner.rows(_BY_TOKEN, token=clean(token)))
        return _entry(rows[0]) if rows else None

    async def asked_since(self, email: str, since: datetime) -> int:
        """How many places a person asked for since a time."""
        who, at = person(email), micros(since)
        rows = await self._read(lambda runner: runner.rows(_ASKED, person=who, since=at))
        return int(rows[0][0])

    async def entries(
        self, limit: int = 50, after: str | None = None, sku: str | None = None, state: str | None = None
    ) -> Page[Entry]:
        """Places in the order they were signed up for; of a SKU, in a state where these are given."""
        return await self._read(lambda runner: entries_page(runner, limit, after, sku, state))

    async def steps(self, id: int) -> list[Step]:
        """What became of a place."""
        return await self._read(lambda runner: steps(runner, id))

    async def counts(self) -> list[tuple[str, str, int]]:
        """How many places there are, by SKU and state."""
        return [tuple(row) for row in await self._read(lambda runner: runner.rows(_COUNTS))]


def person(email: str) -> str:
    """An address as addresses are compared."""
    return clean(email.strip().casefold())


def take_place(runner: Runner, wish: SignUp) -> str:
    """Take a place for a SKU: `new`, `again` where one is still to be confirmed, `waiting` where one counts already."""
    who, sku = person(wish.email), clean(wish.sku)
    there = runner.rows(_OPEN, person=who, sku=sku)
    if there and there[0][1] == "waiting":
        return "waiting"
    if there:
        return _again(runner, there[0][0], wish)
    confirmed = None if wish.confirmed_at is None else micros(wish.confirmed_at)
    runner.run(
        _TAKE,
        sku=sku,
        email=clean(wish.email.strip()),
        person=who,
        name=clean(wish.name),
        locale=clean(wish.locale),
        origin=clean(wish.origin),
        token=wish.token,
        state="pending" if confirmed is None else "waiting",
        signed_up_at=micros(wish.signed_up_at),
        confirmed_at=confirmed,
    )
    ((id, _),) = runner.rows(_OPEN, person=who, sku=sku)
    _note(runner, [id], "signed up", micros(wish.signed_up_at))
    if confirmed is not None:
        _note(runner, [id], "confirmed", confirmed)
    return "new"


def _again(runner: Runner, id: int, wish: SignUp) -> str:
    if wish.confirmed_at is not None:
        at = micros(wish.confirmed_at)
        runner.run(_SET, then="waiting", confirmed=at, ended=None, number=id)
        _note(runner, [id], "confirmed", at)
        return "waiting"
    runner.run(_NEW_TOKEN, token=wish.token, number=id)
    return "again"


def _step(runner: Runner, token: str, before: str, then: str, now: datetime) -> Entry | None:
    rows = runner.rows(_BY_TOKEN, token=clean(token))
    if not rows or rows[0][7] != before:
        return _entry(rows[0]) if rows else None
    runner.run(_SET, then=then, confirmed=micros(now), ended=None, number=rows[0][0])
    _note(runner, [rows[0][0]], "confirmed", micros(now))
    return _entry(runner.rows(_BY_TOKEN, token=clean(token))[0])


def _leave(runner: Runner, token: str, now: datetime) -> Entry | None:
    rows = runner.rows(_BY_TOKEN, token=clean(token))
    if not rows:
        return None
    one = _entry(rows[0])
    remove(runner, one.email, None, now, "left")
    if one.state in ("told", "waiting", "pending"):
        runner.run(_SET_ENDED, then="left", ended=micros(now), number=one.id)
        _note(runner, [one.id], "unsubscribed", micros(now))
    return _entry(runner.rows(_BY_TOKEN, token=clean(token))[0])


def remove(runner: Runner, email: str, sku: str | None, now: datetime, then: str) -> int:
    """End the open places of a person, of a SKU or of all, and cancel what was on its way to them; their number."""
    who, at = person(email), micros(now)
    rows = [row for row in runner.rows(_OPEN_OF, person=who) if sku is None or row[1] == clean(sku)]
    ids = [row[0] for row in rows]
    for id in ids:
        runner.run(_SET_ENDED, then=then, ended=at, number=id)
    _note(runner, ids, "unsubscribed" if then == "left" else then, at)
    why = "the person left the waitlist" if then == "left" else "the person was taken off the waitlist"
    if sku is None:
        runner.run(_CANCEL_ALERTS, why=why, now=at, email=clean(email.strip()), kind=KIND)
    return len(ids)


def _note(runner: Runner, ids: Iterable[int], what: str, at: int, event: int | None = None) -> None:
    for id in ids:
        if not runner.rows(_NOTED, number=id, at=at, what=what):
            runner.run(_NOTE, entry_id=id, at=at, what=what, event_id=event)


# for judging


def next_in_turn(runner: Runner, ask: Waiting) -> dict[str, Any]:
    """Who is next for a SKU, see `Waiting`; whoever waits for several parts of a bundle has one turn for them all."""
    skus = [clean(sku) for sku in skus_of(ask.sku)]
    waiting = sum(row[0] for sku in skus for row in runner.rows(_WAITING, sku=sku))
    rows = [row for sku in skus for row in runner.rows(_NEXT, sku=sku, limit=max(0, ask.limit))]
    rows.sort(key=lambda row: (row[5], row[0]))
    first: dict[str, Any] = {}
    for row in rows:
        first.setdefault(row[4], row)
    people = [
        {"entry": row[0], "email": row[1], "name": row[2], "locale": row[3], "token": row[6]}
        for row in list(first.values())[: max(0, ask.limit)]
    ]
    return {"waiting": waiting, "next": people}


def told(runner: Runner, effect: Tell, event: int, now: int) -> None:
    """Note that people have had their turn; whoever waits for several parts of the SKU has had it for each."""
    skus = frozenset(clean(sku) for sku in skus_of(effect.sku))
    rows = runner.listed(_STILL, list(effect.entries)) if effect.entries else []
    ids = {row[0] for row in rows}
    for row in rows:
        ids |= {
            one[0] for one in runner.rows(_OPEN_OF, person=row[1]) if one[1] in skus and one[2] == "waiting"
        }
    for id in sorted(ids):
        runner.run(_SET_ENDED, then="told", ended=now, number=id)
    _note(runner, sorted(ids), "told", now, event)


# for people


def entries_page(
    runner: Runner, limit: int, after: str | None, sku: str | None, state: str | None
) -> Page[Entry]:
    """A page of places, in the order they were signed up for."""
    most = max(1, min(limit, 1000))
    at, id = (int(part) for part in (after or "-1.0").split("."))
    wanted: dict[str, object] = {"at": at, "after": id, "limit": most + 1}
    wanted |= {"sku": clean(sku)} if sku is not None else {}
    rows = runner.rows(_page(sku is not None, state if state in STATES else ""), **wanted)
    items = [_entry(row) for row in rows]
    last = items[most - 1] if len(items) > most else None
    return Page(tuple(items[:most]), f"{micros(last.signed_up_at)}.{last.id}" if last else None)


def steps(runner: Runner, id: int) -> list[Step]:
    """What became of a place, in order."""
    rows = runner.rows(_STEPS, number=id)
    return [Step(moment(row[0]), row[1], "" if row[2] is None else str(row[2])) for row in rows]


def _entry(row: Any) -> Entry:
    return Entry(
        id=row[0],
        sku=row[1],
        email=row[2],
        name=row[3],
        locale=row[4],
        origin=row[5],
        token=row[6],
        state=row[7],
        signed_up_at=moment(row[8]),
        confirmed_at=maybe_moment(row[9]),
        ended_at=maybe_moment(row[10]),
    )


_ENTRY = (
    entry.c.id,
    entry.c.sku,
    entry.c.email,
    entry.c.name,
    entry.c.locale,
    entry.c.origin,
    entry.c.token,
    entry.c.state,
    entry.c.signed_up_at,
    entry.c.confirmed_at,
    entry.c.ended_at,
)
_open = entry.c.state.in_(words("pending", "waiting"))
_BY_TOKEN = Statement(select(*_ENTRY).where(entry.c.token == bindparam("token")))
_OPEN = Statement(
    select(entry.c.id, entry.c.state).where(
        entry.c.sku == bindparam("sku"), entry.c.person == bindparam("person"), _open
    )
)
_OPEN_OF = Statement(
    select(entry.c.id, entry.c.sku, entry.c.state).where(entry.c.person == bindparam("person"), _open)
)
_ASKED = Statement(
    select(func.count(entry.c.id)).where(
        entry.c.person == bindparam("person"), entry.c.signed_up_at >= bindparam("since")
    )
)
_TAKE = Statement(
    insert(entry).values(
        {
            column.name: bindparam(column.name)
            for column in (
                entry.c.sku,
                entry.c.email,
                entry.c.person,
                entry.c.name,
                entry.c.locale,
                entry.c.origin,
                entry.c.token,
                entry.c.state,
                entry.c.signed_up_at,
                entry.c.confirmed_at,
            )
        }
    )
)
_SET = Statement(
    update(entry)
    .values(state=bindparam("then"), confirmed_at=bindparam("confirmed"), ended_at=bindparam("ended"))
    .where(entry.c.id == bindparam("number"))
)
_SET_ENDED = Statement(
    update(entry)
    .values(state=bindparam("then"), ended_at=bindparam("ended"))
    .where(entry.c.id == bindparam("number"))
)
_NEW_TOKEN = Statement(
    update(entry).values(token=bindparam("token")).where(entry.c.id == bindparam("number"))
)
_WAITING = Statement(
    select(func.count(entry.c.id)).where(entry.c.state == word("waiting"), entry.c.sku == bindparam("sku"))
)
_NEXT = Statement(
    select(
        entry.c.id,
        entry.c.email,
        entry.c.name,
        entry.c.locale,
        entry.c.person,
        entry.c.signed_up_at,
        entry.c.token,
    )
    .where(entry.c.state == word("waiting"), entry.c.sku == bindparam("sku"))
    .order_by(entry.c.signed_up_at, entry.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_STILL = Listed(
    lambda keys: select(entry.c.id, entry.c.person).where(
        entry.c.id.in_(keys), entry.c.state == word("waiting")
    )
)
_NOTED = Statement(
    select(trail.c.what).where(
        trail.c.entry_id == bindparam("number"),
        trail.c.at == bindparam("at"),
        trail.c.what == bindparam("what"),
    )
)
_NOTE = Statement(
    insert(trail).values(
        {
            column.name: bindparam(column.name)
            for column in (trail.c.entry_id, trail.c.at, trail.c.what, trail.c.event_id)
        }
    )
)
_STEPS = Statement(
    select(trail.c.at, trail.c.what, trail.c.event_id)
    .where(trail.c.entry_id == bindparam("number"))
    .order_by(trail.c.at)
)
_COUNTS = Statement(
    select(entry.c.sku, entry.c.state, func.count(entry.c.id))
    .group_by(entry.c.sku, entry.c.state)
    .order_by(entry.c.sku, entry.c.state)
)
_CANCEL_ALERTS = Statement(
    update(delivery)
    .values(state=word("cancelled"), reason=bindparam("why"), finished_at=bindparam("now"))
    .where(
        delivery.c.state.in_(words("queued", "held", "failed", "dead")),
        delivery.c.kind == bindparam("kind"),
        func.lower(delivery.c.recipient) == func.lower(bindparam("email")),
    )
)


@cache
def _page(of_sku: bool, state: str) -> Statement:
    wanted = (
        select(*_ENTRY)
        .where(tuple_(entry.c.signed_up_at, entry.c.id) > tuple_(bindparam("at"), bindparam("after")))
        .order_by(entry.c.signed_up_at, entry.c.id)
        .limit(bindparam("limit"))
        .offset(number(0))
    )
    wanted = wanted.where(entry.c.sku == bindparam("sku")) if of_sku else wanted
    return Statement(wanted.where(entry.c.state == word(state)) if state else wanted)
