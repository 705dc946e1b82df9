"""SQLite's own ways, all in one place: how a file is opened, what its errors mean, and how it gives back space.

One connection writes, all others only read: up to version 3.51.2 two that write or checkpoint at the same moment can
damage the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from engine.store.disk import Disk
from engine.store.lock import FileLock
from engine.store.migrations import revision, upgrade
from engine.store.numbering import Counted, Numbers
from engine.store.sql import Runner
from engine.store.values import FileGone, StoreUnavailable

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
            f"a database of the kind {address.get_backend_name()} cannot be used; {_EXAMPLE}, or postgresql://…"
        )
    if not address.database or address.database == ":memory:":
        raise StoreUnavailable(f"a database in memory would lose the events it accepted; {_EXAMPLE}")
    return Path(address.database)


_EXAMPLE = "name a file, such as sqlite:///var/shopbell.db"


class SqliteDatabase:
    """The database in a file, as the thread that writes it uses it. Nobody else may open the file to write."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        """Open a file, make it where there is none, and bring its tables up to date.

        `disk` is what it is on, which may have a ballast to let go.

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
        self._path = path
        self._file = _identity(path)
        self._disk = disk
        self._gone = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that writes."""
        return self._connection

    def last_number(self, table: str) -> int:
        """The highest number a table ever gave a row, those deleted included."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return row[0] if row else 0

    def numbers(self, table: str) -> Numbers:
        """The numbers of a table's rows."""
        return Counted(self.last_number(table))

    def again(self, error: Exception) -> bool:
        """Nobody else writes, so nobody can have been in the way; but a full disk may have had a ballast."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return self._disk is not None and code in _NO_ROOM and self._disk.relieve()

    def tidy(self, runner: Runner) -> None:
        """Give back some of the space that is no longer used."""
        give_back_space(runner)

    def begin(self) -> None:
        """Begin a transaction that writes. Raises `FileGone` where the file is no longer there, for nobody would find it."""
        if _identity(self._path) != self._file:
            raise FileGone(self._put_back())
        self._connection.execute("BEGIN IMMEDIATE").close()

    def _put_back(self) -> str:
        """Write what the file held, which only we still have, where it was; what was done, and what is to do."""
        to = self._path
        if to.exists():  # somebody has put another file there: it is not ours to overwrite
            to = to.with_name(f"{to.name}.saved")
        part = to.with_name(to.name + ".part")
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            self._connection.backup(copy)
        self._connection.close()  # it takes its log away, by the name that the new file's would have
        self._gone = True
        part.replace(to)
        return (
            f"the database file {self._path} was removed or replaced while the service worked with it. Everything that was in "
            f"it was saved as {to.name}; start the service again"
        )

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

    def scrub(self) -> bool:
        """Carry the log over into the file and empty it; what is deleted there is overwritten. Not while others read."""
        self._connection.execute("PRAGMA busy_timeout = 0").close()
        try:
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").close()
        return not busy

    def close(self) -> None:
        """Let go of it; what is not committed is undone, and a statement that broke off in the middle is let go of."""
        try:
            if not self._gone:
                self.runner.cursor.close()
                self.rollback()
        finally:
            self._connection.close()
            self._lock.release()


class SqliteReading:
    """The database in a file, to be read only; also beside the process that writes it."""

    name = "SQLite"
    version = sqlite3.sqlite_version

    def __init__(self, path: Path) -> None:
        """Open a file that is there. Raises `StoreUnavailable` where it is not."""
        if not path.exists():
            raise StoreUnavailable(
                f"there is no database {path} yet; it is made when the service first starts"
            )
        self.place = str(path)
        self._connection = open_reader(path)
        self.runner = Runner(self._connection, "sqlite")

    def looking(self) -> AbstractContextManager[None]:
        """One look at the record."""
        return nullcontext()

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """What an error says of the database; None where it tells of a mistake in the question."""
        return unavailable(error) if isinstance(error, sqlite3.Error) else None

    def revision(self) -> str:
        """The revision of its tables, "" where there are none."""
        return revision(self._connection)

    def size(self) -> int:
        """Bytes of the database."""
        return size(self._connection)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


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
