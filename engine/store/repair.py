"""A damaged database at the start: whatever is found, the service goes on with a whole one or stops with the reason.

Damaged files are never thrown away: they stay beside the new one under another name.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from engine.store.backup import check_copy, copies, go_on_from, numbers_given, put_aside, restore
from engine.store.integrity import AT_START, fault_of
from engine.store.lock import FileLock
from engine.store.migrations import HEAD, revision
from engine.store.sqlite import SqliteDatabase, open_writer, unavailable
from engine.store.tables import metadata
from engine.store.values import StoreError, StoreUnavailable

log = logging.getLogger("shopbell.store")

MAGIC = b"SQLite format 3\0"
"""How a file of SQLite begins."""

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Outcome = Literal["ok", "repaired", "fresh"]


@dataclass(frozen=True, slots=True)
class Start:
    """How a start found the database: whole, repaired from a copy, or begun anew; `said` tells people what to do."""

    outcome: Outcome = "ok"
    said: str = ""


class Damaged(Exception):
    """The database cannot be used as it is; the text says what is wrong with it."""


def made_whole(database: Path, folder: Path | None, now: datetime, *, seconds: float = AT_START) -> Start:
    """See that a database can be used, and if not, go on with the newest whole copy in the folder, or a fresh one.

    Raises `StoreUnavailable` with the reason and a remedy where neither is right: a disk that cannot be written, a file
    of another program. To be called before the database is opened.
    """
    used_before = database.with_name(database.name + ".lock").exists()
    if not database.exists() and not used_before:
        return Start()  # the first start
    lock = FileLock(database)
    try:
        see_that_it_is_whole(database, seconds)
    except Damaged as fault:
        reason = str(fault)
    else:
        return Start()
    finally:
        lock.release()
    return replaced(database, folder, now, reason)


def see_that_it_is_whole(database: Path, seconds: float = AT_START) -> None:
    """Look through a database that nobody uses. Raises `Damaged`, and `StoreUnavailable` where something else is wrong."""
    if not database.exists() or not database.stat().st_size:
        raise Damaged("it is gone")
    with database.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise Damaged(_NO_DATABASE)
    try:
        with closing(open_writer(database)) as connection:
            fault = fault_of(connection, seconds) or _missing(connection)
    except (
        UnicodeDecodeError
    ) as error:  # not even the words of SQLite's complaint about its tables can be read
        raise Damaged("it is damaged (the description of its tables cannot be read)") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
            raise Damaged(f"it is damaged ({error})") from error
        reason = unavailable(error) or f"it cannot be opened ({error})"
        raise StoreUnavailable(f"the database {database}: {reason}") from error
    if fault:
        raise Damaged(fault)


_NO_DATABASE = "it is no database"


def _missing(connection: sqlite3.Connection) -> str:
    """The first table that cannot be read as this version knows it."""
    if revision(connection) != HEAD:
        return ""  # tables of another version are brought up to date, or refused, when the database is opened
    for table in metadata.sorted_tables:
        columns = ", ".join(f'"{column.name}"' for column in table.c)
        try:
            connection.execute(f'SELECT {columns} FROM "{table.name}" LIMIT 1').fetchone()  # noqa: S608  # our own names
        except sqlite3.OperationalError as error:
            return f"it is damaged ({error})"
    return ""


def replaced(database: Path, folder: Path | None, now: datetime, reason: str) -> Start:
    """Go on without a damaged database. Raises `StoreUnavailable` where a person has to decide."""
    said = f"the database {database} could not be used: {reason}."
    try:
        return _from_copy(database, folder, now, said) or _fresh(database, now, said, reason)
    except OSError as error:
        raise StoreUnavailable(
            f"{said} It could not be replaced either: {error.strerror}. {_REMEDY}"
        ) from error


_REMEDY = "Restore a copy with `shopbell db restore FILE`, or move the file away to begin a new record, then start again."


def _from_copy(database: Path, folder: Path | None, now: datetime, said: str) -> Start | None:
    """Go on with the newest copy that is whole."""
    for copy in copies(database, folder) if folder is not None and folder.is_dir() else ():
        try:
            check_copy(copy.path)
            done = restore(copy.path, database, now, made_at=copy.made_at)
        except StoreError as error:
            log.error("the copy %s cannot be used: %s", copy.path, error)
            continue
        words = (
            f"{said} The copy {copy.path.name} was put in its place, so what came after {copy.made_at:%Y-%m-%d %H:%M} UTC "
            f"is missing; {done.held} messages and {done.set_aside} events wait for a person, because they may have gone "
            f"out since.{_kept(done.kept)}"
        )
        return Start("repaired", words)
    return None


def _fresh(database: Path, now: datetime, said: str, reason: str) -> Start:
    if reason == _NO_DATABASE:  # perhaps somebody's file, named by mistake
        raise StoreUnavailable(f"{said} {_REMEDY}")
    given = numbers_given(database)
    kept = put_aside(database, now)
    made = SqliteDatabase(database)
    try:
        made.begin()
        go_on_from(made.connection, given, now)
        made.commit()
    finally:
        made.close()
    words = (
        f"{said} There is no copy that could be used, so a fresh record was begun: what was in the old one is not in it."
        f"{_kept(kept)} Set `backup` in the settings, so that there is a copy the next time."
    )
    return Start("fresh", words)


def _kept(files: tuple[Path, ...]) -> str:
    return f" The old file is kept as {files[-1].name}." if files else ""
