"""Whether what is kept is what was kept: the database file as a whole, and each event by the hash of its content."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from time import monotonic

from sqlalchemy import bindparam, func, insert, null, select, update

from engine.store.sql import Runner, Statement, number
from engine.store.tables import body, event, quarantine

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
    except sqlite3.Error as error:
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
        if kept is not None and sha256(kept).digest() != sha:
            bad.append(id)
    return bad, last


def every_damaged(runner: Runner) -> Iterator[list[int]]:
    """The damaged events, slice by slice."""
    after: int | None = 0
    while after is not None:
        bad, after = damaged(runner, after)
        yield bad


def set_aside(runner: Runner, id: int, now: int) -> None:
    """Take the damaged content of an event out of use: it stands in quarantine, and the event says why."""
    rows = runner.rows(_CONTENT, number=id)
    if not rows or sha256(rows[0][1] or b"").digest() == rows[0][3]:
        return
    source, content, headers, _ = rows[0]
    next_id = (runner.rows(_LAST_QUARANTINED)[0][0] or 0) + 1
    runner.many(_QUARANTINE, [(next_id, source, f"event {id}: {DAMAGED}", content or b"", headers, now)])
    runner.run(_EMPTY, number=id)
    runner.run(_REASON, why=DAMAGED, number=id)
    log.error("event %d: %s", id, DAMAGED)


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
_LAST_QUARANTINED = Statement(select(func.max(quarantine.c.id)))
_QUARANTINE = Statement(insert(quarantine))
_EMPTY = Statement(update(body).values(body=null()).where(body.c.event_id == bindparam("number")))
_REASON = Statement(update(event).values(reason=bindparam("why")).where(event.c.id == bindparam("number")))
