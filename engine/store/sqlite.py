"""SQLite's own ways, all in one place: how a file is opened, what its errors mean, and how it gives back space.

One connection writes, all others only read: up to version 3.51.2 two that write or checkpoint at the same moment can
damage the file.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from engine.store.lock import FileLock
from engine.store.migrations import upgrade
from engine.store.sql import Runner
from engine.store.values import StoreUnavailable

BUSY_MS = 5000
"""Milliseconds to wait for another program that holds the file."""

CHECKPOINT_PAGES = 4000
"""Pages of the write-ahead log after which they are carried over into the file."""

VACUUM_PAGES = 500
"""Pages given back at a time: more would hold up the writer."""


def path_of(url: str) -> Path:
    """The file of an address such as `sqlite:///var/shopbell.db`. Raises `StoreUnavailable` where it names none."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreUnavailable(f'the database "{url}" is no address; {_EXAMPLE}') from None
    if address.get_backend_name() != "sqlite":
        raise StoreUnavailable(
            f"a database of the kind {address.get_backend_name()} cannot be used by this version; {_EXAMPLE}"
        )
    if not address.database or address.database == ":memory:":
        raise StoreUnavailable(f"a database in memory would lose the events it accepted; {_EXAMPLE}")
    return Path(address.database)


_EXAMPLE = "name a file, such as sqlite:///var/shopbell.db"


class SqliteDatabase:
    """The database in a file, as the thread that writes it uses it. Nobody else may open the file to write."""

    def __init__(self, path: Path) -> None:
        """Open a file, make it where there is none, and bring its tables up to date.

        Raises `AnotherProcess`, `NewerSchema` and `StoreUnavailable`.
        """
        try:
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path)
        except OSError as error:
            raise StoreUnavailable(f"the database {path} cannot be made: {error.strerror}") from None
        try:
            self._connection = _upgraded(path)
        except BaseException:
            self._lock.release()
            raise
        self.runner = Runner(self._connection, "sqlite")

    def last_number(self, table: str) -> int:
        """The highest number a table ever gave a row, those deleted included."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return row[0] if row else 0

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._connection.execute("BEGIN IMMEDIATE").close()

    def commit(self) -> None:
        """Make it last: after this it is on the disk."""
        self._connection.execute("COMMIT").close()

    def rollback(self) -> None:
        """Undo it, if there is one: a full disk has undone it already."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK").close()

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """What an error says of the database; None where it tells of a mistake in a single job."""
        return unavailable(error) if isinstance(error, sqlite3.Error) else None

    def close(self) -> None:
        """Let go of it; what is not committed is undone, and a statement that broke off in the middle is let go of."""
        try:
            self.runner.cursor.close()
            self.rollback()
        finally:
            self._connection.close()
            self._lock.release()


def _upgraded(path: Path) -> sqlite3.Connection:
    connection = None
    try:
        connection = open_writer(path)
        upgrade(connection, path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        reason = unavailable(error) if isinstance(error, sqlite3.Error) else None
        if reason is not None:
            raise StoreUnavailable(f"the database {path}: {reason}") from error
        raise
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes. What it commits is on the disk."""
    connection = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    for pragma in (
        "auto_vacuum = incremental",  # counts only before the first table
        "journal_mode = wal",
        "synchronous = full",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "journal_size_limit = 67108864",
        "secure_delete = on",
        "temp_store = memory",
        "cache_size = -8000",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read, beside the one that writes or alone."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA query_only = on").close()
    return connection


def give_back_space(runner: Runner) -> None:
    """Give some of the unused pages back to the disk."""
    runner.cursor.execute("PRAGMA freelist_count")
    [(unused,)] = runner.cursor.fetchall()
    for _ in range(min(unused, VACUUM_PAGES)):  # the driver takes a single step, which is one page, each time
        runner.cursor.execute("PRAGMA incremental_vacuum(1)")
        runner.cursor.fetchall()


def size(connection: sqlite3.Connection) -> int:
    """Bytes of the file."""
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * page)


def unavailable(error: sqlite3.Error) -> StoreUnavailable | None:
    """What an error says of the database in plain words; None where it tells of a mistake in a single job."""
    reason = _REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return StoreUnavailable(reason) if reason else None


_REASONS = {
    sqlite3.SQLITE_BUSY: "the database is held by another program",
    sqlite3.SQLITE_LOCKED: "the database is held by another program",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the database file cannot be written: it, or its folder, is read-only",
    sqlite3.SQLITE_PERM: "the database file may not be written by this user",
    sqlite3.SQLITE_IOERR: "the disk could not be read or written",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened: is its folder there, and may this user write in it?",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a database of Shopbell",
    sqlite3.SQLITE_NOMEM: "there is no memory left for the database",
}
