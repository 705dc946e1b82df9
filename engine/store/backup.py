"""Copies of the database: made while the service works, thinned out, and put back in the place of what was lost.

All of it is for SQLite; PostgreSQL has its own ways, which its operators know.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.store.integrity import first_fault
from engine.store.lock import FileLock
from engine.store.migrations import HEAD, revision
from engine.store.sqlite import open_reader, unavailable
from engine.store.text import micros
from engine.store.values import NewerSchema, NotPossible, StoreUnavailable

log = logging.getLogger("shopbell.store")

KEEP = 24
"""Copies kept: a day, where one is made each hour."""

STAMP = "%Y%m%dT%H%M%SZ"

NUMBERED = ("event", "delivery", "quarantine")
"""Tables whose rows have numbers that are never given twice."""

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
"""Where nobody can say which numbers were given, they go on with the seconds since then, which no record has reached."""

HELD = "the record was restored from a copy of {at}, and this may have gone out since then; send it, or cancel it"
TOLD = "the record was restored from a copy of {at}, and this fell due since then"
ASIDE = (
    "the record was restored from a copy of {at}, and this may have been judged since then; replay it if not"
)


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: its file, when it was made, and its size in bytes."""

    path: Path
    made_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration did: from which copy, where the old files are, and what waits for a person since then."""

    copy: Path
    kept: tuple[Path, ...]
    held: int
    set_aside: int


def back_up(database: Path, folder: Path, now: datetime, keep: int = KEEP) -> Copy:
    """Copy a database into a folder, also while it is written to, check the copy, and let go of the oldest copies.

    Raises `StoreUnavailable` where that cannot be done, or where the copy is not whole; the older ones then stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{database.stem}-{now.astimezone(UTC).strftime(STAMP)}.db"
    part = path.with_suffix(".part")
    try:
        copy_file(database, part)
        fault = first_fault(part)
        if fault:
            raise StoreUnavailable(f"the copy {path} was not kept, because it is not whole: {fault}")
        os.replace(part, path)
        _sync(folder)
    except sqlite3.Error as error:
        raise unavailable(error) or StoreUnavailable(f"the database could not be copied: {error}") from error
    except OSError as error:
        raise StoreUnavailable(f"the database could not be copied to {folder}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    for old in copies(database, folder)[max(keep, 1) :]:
        old.path.unlink(missing_ok=True)
    return Copy(path, now, path.stat().st_size)


def copies(database: Path, folder: Path) -> list[Copy]:
    """The copies of a database in a folder, newest first."""
    found = []
    for path in folder.glob(f"{database.stem}-*.db"):
        try:
            made_at = datetime.strptime(path.stem[len(database.stem) + 1 :], STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue
        found.append(Copy(path, made_at, path.stat().st_size))
    return sorted(found, key=lambda one: one.made_at, reverse=True)


def copy_file(database: Path, to: Path) -> None:
    """Copy a database as it is at one moment, its log included, into one file that is on the disk afterwards."""
    to.unlink(missing_ok=True)
    with (
        closing(open_reader(database)) as source,
        closing(sqlite3.connect(to, isolation_level=None)) as target,
    ):
        source.backup(target)  # in one step: what is written meanwhile goes into the log
        target.execute("PRAGMA journal_mode = delete").close()  # one file, with no log beside it
    _sync(to)


def restore(
    copy: Path, database: Path, now: datetime, *, made_at: datetime | None = None, hold: bool = True
) -> Restored:
    """Put a copy in the place of a database that nobody uses; the old files are kept beside it under other names.

    What was still to be sent in the copy may have gone out since then, so it waits for a person; with `hold` false it
    goes out. Numbers that were given since then are not given again. Raises `AnotherProcess` where a service runs,
    and `StoreError` where the copy cannot be used; then nothing is changed.
    """
    check_copy(copy)
    lock = FileLock(database)
    try:
        return _restore(copy, database, now, made_at or _made_at(copy), hold)
    except OSError as error:
        raise StoreUnavailable(
            f"{copy} could not be put in the place of {database}: {error.strerror}"
        ) from error
    finally:
        lock.release()


def check_copy(copy: Path) -> None:
    """See that a copy can be used. Raises `StoreError` with the reason."""
    if not copy.is_file():
        raise NotPossible(f"there is no copy {copy}")
    fault = first_fault(copy)
    if fault:
        raise NotPossible(f"{copy} cannot be used: {fault}")
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = revision(connection)
    if found > HEAD:
        raise NewerSchema(
            f"{copy} is of a newer version of Shopbell (its tables are of version {found}); use that one"
        )


def _restore(copy: Path, database: Path, now: datetime, made_at: datetime, hold: bool) -> Restored:
    given = numbers_given(database)
    new = database.with_name(database.name + ".restoring")
    shutil.copyfile(copy, new)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        go_on_from(connection, given, now)
        held, aside = _hold(connection, made_at, now) if hold else (0, 0)
        connection.execute("COMMIT")
    _sync(new)
    kept = put_aside(database, now)
    os.replace(new, database)
    _sync(database.parent)
    return Restored(copy, kept, held, aside)


def _made_at(copy: Path) -> datetime:
    stamp = copy.stem.rpartition("-")[2]
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(copy.stat().st_mtime, UTC)


# numbers


def numbers_given(database: Path) -> dict[str, int]:
    """The highest numbers that a database gave, as far as that can still be read."""
    try:
        with closing(open_reader(database)) as connection:
            return dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    except (sqlite3.Error, UnicodeDecodeError):
        return {}


def go_on_from(connection: sqlite3.Connection, given: dict[str, int], now: datetime) -> None:
    """Let a database give no number that was given elsewhere; unknown ones are kept clear of by far."""
    unknown = (micros(now) - micros(EPOCH)) // 1_000_000
    for table in NUMBERED:
        own = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        highest = max(own[0] if own else 0, given.get(table, unknown) if given else unknown)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, highest))


def _hold(connection: sqlite3.Connection, made_at: datetime, now: datetime) -> tuple[int, int]:
    """Have what may have gone out since then wait for a person: deliveries, and events that were to be judged."""
    at = f"{made_at:%Y-%m-%d %H:%M} UTC"
    held = connection.execute(
        "UPDATE delivery SET state = 'held', owner = NULL, reason = ?, finished_at = ? WHERE state IN ('queued', 'running')",
        (HELD.format(at=at), micros(now)),
    ).rowcount
    aside = connection.execute(
        "UPDATE event SET state = 'failed', reason = ? WHERE state = 'new'", (ASIDE.format(at=at),)
    ).rowcount
    # What fell due since then may have been told; what falls due later, and a clock's next time, is as it was.
    connection.execute(
        "UPDATE timer SET state = 'cancelled', reason = ?, ended_at = ? WHERE state = 'armed' AND due_at <= ? AND NOT fresh",
        (TOLD.format(at=at), micros(now), micros(now)),
    )
    return held, aside


# files


def put_aside(database: Path, now: datetime) -> tuple[Path, ...]:
    """Give the files of a database other names; which they are now. Its log goes first: it must not meet another file."""
    stamp = now.astimezone(UTC).strftime(STAMP)
    kept = []
    for end in ("-wal", "-shm", ""):
        old = database.with_name(database.name + end)
        if old.exists():
            new = database.with_name(f"{database.name}.kept-{stamp}{end}")
            os.replace(old, new)
            kept.append(new)
    _sync(database.parent)
    return tuple(kept)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
