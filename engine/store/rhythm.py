"""How often events come: the last of some types, and how many there were in a time; what alarms compare with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select

from engine.store.sql import Runner, Statement, number
from engine.store.tables import event
from engine.store.text import micros, moment

Read = Callable[[Callable[[Runner], Any]], Awaitable[Any]]
"""Runs a look at the record."""

Span = tuple[datetime, datetime]
"""From a moment on, until before another."""


class Rhythm:
    """The times at which events came. `read` looks at the record."""

    def __init__(self, read: Read) -> None:
        self._read = read

    async def last(self, types: Sequence[str]) -> datetime | None:
        """When the newest event of these types came, repeats left out; None where there is none on record."""
        times = await self._read(lambda runner: [_moments(runner, _LAST, type) for type in types])
        return max((moment(one[0][0]) for one in times if one), default=None)

    async def first(self) -> datetime | None:
        """When the oldest event on record came; None where there is none."""
        rows = await self._read(lambda runner: list(runner.rows(_FIRST)))
        return moment(rows[0][0]) if rows else None

    async def count(self, types: Sequence[str], spans: Sequence[Span]) -> int:
        """How many events of these types came within these times."""
        return int(await self._read(lambda runner: _count(runner, types, spans)))


def _moments(runner: Runner, statement: Statement, type: str) -> list[Any]:
    return list(runner.rows(statement, type=type))


def _count(runner: Runner, types: Sequence[str], spans: Sequence[Span]) -> int:
    found = 0
    for start, end in spans:
        for type in types:
            found += runner.rows(_COUNT, type=type, start=micros(start), end=micros(end))[0][0]
    return found


_LAST = Statement(
    select(event.c.received_at)
    .where(event.c.type == bindparam("type"))
    .order_by(event.c.id.desc())
    .limit(number(1))
    .offset(number(0))
)
_FIRST = Statement(select(event.c.received_at).order_by(event.c.id).limit(number(1)).offset(number(0)))
_COUNT = Statement(
    select(func.count())
    .select_from(event)
    .where(
        event.c.type == bindparam("type"),
        event.c.received_at >= bindparam("start"),
        event.c.received_at < bindparam("end"),
    )
)
