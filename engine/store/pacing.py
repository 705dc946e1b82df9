"""When connections may be used: how fast each may be, not during a pause it asked for, and seldom while it fails.

It stands in rows, so that it holds over restarts and for all processes of one service together. A connection's name may
have a part behind `#`, such as a channel: that is paced by itself, but pauses and fails with its connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, null, select, update

from engine.store.sql import Missing, Runner, Statement, number, word
from engine.store.tables import limiter
from engine.store.text import clean, maybe_moment, micros, moment

REST = timedelta(seconds=10)
"""How often a connection that fails is tried: with one delivery in this time."""

BURST = 100_000
"""Microseconds whose deliveries a paced connection may take at once: less would need a look for each single one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many deliveries in a time, evenly spread."""

    count: int
    per: timedelta = timedelta(seconds=1)

    @property
    def interval(self) -> int:
        """Microseconds from one delivery to the next."""
        return max(1, self.per // timedelta(microseconds=1) // self.count)

    @property
    def credit(self) -> int:
        """Microseconds that a look may come late without slowing it down."""
        return BURST if self.interval <= BURST else 0


Call = Callable[[Callable[[Runner], Any]], Awaitable[Any]]
"""Runs a call on the record."""

Paces = Callable[[str], Pace | None]
"""How fast a connection may be used; None for as fast as it goes."""


def unpaced(connection: str) -> Pace | None:
    """No connection is paced."""
    return None


@dataclass(frozen=True, slots=True)
class Outage:
    """A connection that fails: since when, why, and when it is tried next."""

    connection: str
    since: datetime
    reason: str
    next_try: datetime


@dataclass(frozen=True, slots=True)
class Rooms:
    """How many more deliveries each connection takes: `each`, but for those named in `fewer`."""

    each: int
    fewer: Mapping[str, int] = field(default_factory=dict)

    def of(self, connection: str) -> int:
        """How many more a connection takes."""
        return self.fewer.get(connection, self.each)


def whole(connection: str) -> str:
    """The connection, without the part of it that is paced by itself."""
    return connection.partition("#")[0]


@dataclass(slots=True)
class Limits:
    """What one process knows of its connections between two claims.

    `failing` are those that fail, `again_at` when one that had no room may be used again, in microseconds; both as of
    the last claim.
    """

    failing: frozenset[str] = frozenset()
    again_at: int | None = None
    _turns: set[str] = field(default_factory=set)

    def turn(self, connection: str) -> int:
        """0 and 1 by turns: who gets the odd place of a connection."""
        self._turns ^= {connection}
        return int(connection in self._turns)


class Claiming:
    """The limits of connections within one claim."""

    def __init__(self, runner: Runner, limits: Limits, paces: Paces, now: int) -> None:
        self._runner = runner
        self._limits = limits
        self._paces = paces
        self._now = now
        self._rows: dict[str, tuple[int, int, bool]] = {
            row[0]: (row[1], row[2], row[3] is not None) for row in runner.rows(_STANDING)
        }
        self._starts: dict[str, tuple[Pace, int, int]] = {}
        limits.failing = frozenset(name for name, row in self._rows.items() if row[2])
        limits.again_at = None

    def room(self, connection: str, most: int) -> int:
        """How many deliveries a connection may take now, at most `most`."""
        _, paused_until, failing = self._rows.get(whole(connection), (0, 0, False))
        if paused_until > self._now:
            self._again(paused_until)
            return 0
        if failing:
            most = min(most, 1)
        pace = self._paces(connection)
        return most if pace is None or most <= 0 else min(most, self._allowed(connection, pace))

    def _allowed(self, connection: str, pace: Pace) -> int:
        start = max(self._locked(connection), self._now - pace.credit)
        if start > self._now:
            self._again(start)
            return 0
        allowed = (self._now - start) // pace.interval + 1
        self._starts[connection] = (pace, start, allowed)
        return allowed

    def _locked(self, connection: str) -> int:
        """From when on a paced connection is free; nobody else gives out its places until this claim is committed."""
        if connection not in self._rows:
            self._runner.run(_BEGIN, connection=connection)
        rows = self._runner.rows(_LOCK, connection=connection)
        return (
            int(rows[0][0]) if rows else self._now + BURST
        )  # another process is at it: it will be free soon

    def took(self, taken: Mapping[str, int]) -> None:
        """Note how many deliveries of each connection were taken."""
        for connection, many in taken.items():
            about = whole(connection)
            if about in self._limits.failing:
                self._runner.run(_PAUSE, connection=about, until=self._now + _micros(REST))
            if connection in self._starts:
                pace, start, allowed = self._starts[connection]
                free = start + many * pace.interval
                self._runner.run(_PACE, connection=connection, free=free)
                if many == allowed:
                    self._again(free)

    def _again(self, at: int) -> None:
        before = self._limits.again_at
        self._limits.again_at = at if before is None else min(before, at)


class Pacing:
    """Which connections fail, pause, and may be used again. `write` and `read` run calls on the record."""

    def __init__(self, limits: Limits, write: Call, read: Call) -> None:
        self._limits = limits
        self._write = write
        self._read = read

    @property
    def failing(self) -> frozenset[str]:
        """The connections that fail, as of the last claim."""
        return self._limits.failing

    @property
    def room_again(self) -> datetime | None:
        """When a connection that had no room at the last claim may be used again; None where none had to wait."""
        return maybe_moment(self._limits.again_at)

    async def breaks(self, connection: str, reason: str, now: datetime) -> bool:
        """Note that a connection fails; until it works again it is tried seldom. Whether that is news."""
        about, at = whole(connection), micros(now)
        first = await self._write(lambda runner: _breaks(runner, about, reason, at))
        self._limits.failing |= {about}
        return bool(first)

    async def mends(self, connection: str) -> datetime | None:
        """Note that a connection works again; since when it had failed, None where that is no news."""
        about = whole(connection)
        since = await self._write(lambda runner: _mends(runner, about))
        self._limits.failing -= {about}
        return maybe_moment(since)

    async def pause(self, connection: str, until: datetime) -> None:
        """Let a connection rest until a time, because it asks for it."""
        about, at = whole(connection), micros(until)
        await self._write(lambda runner: _pause(runner, about, at))

    async def outages(self) -> list[Outage]:
        """The connections that fail, by name, with since when and why."""
        found: list[Outage] = await self._read(outages)
        return found


def _breaks(runner: Runner, connection: str, reason: str, now: int) -> bool:
    runner.run(_BEGIN, connection=connection)
    first = bool(runner.run(_BREAK, connection=connection, now=now, why=clean(reason)))
    if first:
        runner.run(_LONGER, connection=connection, until=now + _micros(REST))
    return first


def _mends(runner: Runner, connection: str) -> int | None:
    rows = runner.rows(_SINCE, connection=connection)
    since = int(rows[0][0]) if rows and rows[0][0] is not None else None
    return since if runner.run(_MEND, connection=connection) else None


def _pause(runner: Runner, connection: str, until: int) -> None:
    runner.run(_BEGIN, connection=connection)
    runner.run(_LONGER, connection=connection, until=until)


def outages(runner: Runner) -> list[Outage]:
    """The connections that fail, by name."""
    return [Outage(row[0], moment(row[1]), row[2], moment(row[3])) for row in runner.rows(_OUTAGES)]


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _change(**values: object) -> Statement:
    return Statement(update(limiter).values(**values).where(limiter.c.connection == bindparam("connection")))


_BEGIN = Missing(
    limiter, next_free_at=number(0), paused_until=number(0), failing_since=null(), reason=word("")
)
_STANDING = Statement(
    select(limiter.c.connection, limiter.c.next_free_at, limiter.c.paused_until, limiter.c.failing_since)
)
_LOCK = Statement(
    select(limiter.c.next_free_at)
    .where(limiter.c.connection == bindparam("connection"))
    .with_for_update(skip_locked=True)
)
_PACE = _change(next_free_at=bindparam("free"))
_PAUSE = _change(paused_until=bindparam("until"))
_LONGER = Statement(
    update(limiter)
    .values(paused_until=bindparam("until"))
    .where(limiter.c.connection == bindparam("connection"), limiter.c.paused_until < bindparam("until"))
)
_BREAK = Statement(
    update(limiter)
    .values(failing_since=bindparam("now"), reason=bindparam("why"))
    .where(limiter.c.connection == bindparam("connection"), limiter.c.failing_since.is_(None))
)
_SINCE = Statement(select(limiter.c.failing_since).where(limiter.c.connection == bindparam("connection")))
_MEND = Statement(
    update(limiter)
    .values(failing_since=null(), paused_until=number(0), reason=word(""))
    .where(limiter.c.connection == bindparam("connection"), limiter.c.failing_since.is_not(None))
)
_OUTAGES = Statement(
    select(limiter.c.connection, limiter.c.failing_since, limiter.c.reason, limiter.c.paused_until)
    .where(limiter.c.failing_since.is_not(None))
    .order_by(limiter.c.connection)
)
