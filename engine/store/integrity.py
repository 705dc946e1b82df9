"""Whether what is kept is what was kept: the database file as a whole, and each event by the hash of its content."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import bindparam, null, select, update

from engine.store.sql import Runner, Statement, number
from engine.store.tables import body, event
from engine.store.text import micros

log = logging.getLogger("shopbell.store")

SLICE = 500
"""Events looked at in one go."""

AT_START = 3.0
"""Seconds that looking through the file may take when the service starts; what is left is looked through at night."""

STEPS = 10_000
"""Steps of the database between two looks at the clock."""

DAMAGED = (
    "what is kept of this event is not what was received; the database file was damaged, so it is not used"
)


def first_fault(path: Path, seconds: float | None = None) -> str:
    """What is wrong with a database file, "" for nothing; looked for during some seconds only, where these are given."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return fault_of(connection, seconds)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return f"it cannot be read ({error})"


def fault_of(connection: sqlite3.Connection, seconds: float | None = None) -> str:
    """The same of an open one."""
    if seconds is not None:
        until = monotonic() + seconds
        connection.set_progress_handler(lambda: monotonic() > until, STEPS)
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            return ""  # nothing was wrong with as much as could be looked at
        return f"it cannot be read ({error})"
    except sqlite3.DatabaseError as error:
        return f"it is damaged ({error})"
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == ["ok"] else f"it is damaged ({found[0] if found else 'it says nothing'})"


def damaged(runner: Runner, after: int, limit: int = SLICE) -> tuple[list[int], int | None]:
    """The events of a slice whose content is not what was received, and where the next slice begins; None at the end."""
    bad = []
    last: int | None = None
    for id, sha, kept in runner.rows(_SLICE, after=after, limit=limit):
        last = id
        if kept is not None and not _is_whole(kept, sha):
            bad.append(id)
    return bad, last


def every_damaged(runner: Runner) -> Iterator[list[int]]:
    """The damaged events, slice by slice."""
    after: int | None = 0
    while after is not None:
        bad, after = damaged(runner, after)
        yield bad


def _is_whole(content: Any, sha: Any) -> bool:
    """Whether content is what its hash says; damage may even have made a text of it."""
    return isinstance(content, bytes) and sha256(content).digest() == sha


class Integrity:
    """Looks through the events while the record is in use."""

    def __init__(self, read: Call, write: Call, keep: Callable[[Runner, tuple[object, ...]], int]) -> None:
        """`keep` puts a body into quarantine and gives its number."""
        self._read = read
        self._write = write
        self._keep = keep

    async def slice(self, after: int) -> tuple[list[int], int | None]:
        """The damaged events of a slice, and where the next one begins; None at the end."""
        found: tuple[list[int], int | None] = await self._read(lambda runner: damaged(runner, after))
        return found

    async def set_aside(self, event: int, now: datetime) -> bool:
        """Take the damaged content of an event out of use: it stands in quarantine, and the event says why."""
        moment = micros(now)
        return bool(await self._write(lambda runner: _set_aside(runner, event, moment, self._keep)))


Call = Callable[[Callable[[Runner], Any]], Awaitable[Any]]
"""Runs a call on a connection."""


def _set_aside(runner: Runner, id: int, now: int, keep: Callable[[Runner, tuple[object, ...]], int]) -> bool:
    rows = runner.rows(_CONTENT, number=id)
    if not rows or _is_whole(rows[0][1], rows[0][3]):
        return False
    source, content, headers, _ = rows[0]
    if isinstance(content, str):
        content = content.encode()
    keep(runner, (source, f"event {id}: {DAMAGED}", content, headers, now))
    runner.run(_EMPTY, number=id)
    runner.run(_REASON, why=DAMAGED, number=id)
    log.error("event %d: %s", id, DAMAGED)
    return True


_SLICE = Statement(
    select(event.c.id, event.c.body_sha256, body.c.body)
    .select_from(event.join(body, body.c.event_id == event.c.id))
    .where(event.c.id > bindparam("after"))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_CONTENT = Statement(
    select(event.c.source, body.c.body, body.c.headers, event.c.body_sha256)
    .select_from(event.join(body, body.c.event_id == event.c.id))
    .where(event.c.id == bindparam("number"), body.c.body.is_not(None))
)
_EMPTY = Statement(update(body).values(body=null()).where(body.c.event_id == bindparam("number")))
_REASON = Statement(update(event).values(reason=bindparam("why")).where(event.c.id == bindparam("number")))
