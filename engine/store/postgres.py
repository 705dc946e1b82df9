"""PostgreSQL's own ways, all in one place: how it is reached again and again, what its errors mean, how tables are made.

Nothing here keeps a state in the session, so that a pooler may hand each transaction another connection. Each
transaction ends by itself soon when its process has vanished, so that others get at the rows it held.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from engine.store.address import shown
from engine.store.migrations.shared import current_revision, upgrade
from engine.store.numbering import Drawn, Numbers
from engine.store.shared import Overtaken
from engine.store.sql import Runner
from engine.store.values import StoreUnavailable

CONNECT = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}  # fmt: skip
"""How long a network that has gone silent is trusted: seconds, and milliseconds for the last."""

VANISHED_MS = 8000
"""After so many milliseconds without a word, PostgreSQL undoes the transaction of a process."""

BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {VANISHED_MS}"
DURABLY = "; SET LOCAL synchronous_commit = on"
LOOK = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def connect(url: str, *, autocommit: bool = True) -> psycopg.Connection[Any]:
    """A connection without prepared statements, which a pooler could not pass on. Raises `StoreUnavailable`."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    usual = {name: value for name, value in CONNECT.items() if name not in given}
    try:
        return psycopg.connect(url, autocommit=autocommit, prepare_threshold=None, **usual)  # type: ignore[arg-type]
    except (psycopg.Error, OSError) as error:
        raise StoreUnavailable(f"the database {shown(url)} cannot be reached: {_first(error)}") from None


class _Reached:
    """A connection that is made anew when it has broken; its runner stays the same."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url)
        self.runner = Runner(self._cursors(), "postgresql")

    def _cursors(self) -> Any:
        return _Cursors(self._connection)

    def _execute(self, text: str) -> None:
        self._connection.execute(text)

    def _begin(self, text: str) -> None:
        """Begin a transaction; where the connection turns out to be dead, on another. Nothing is done by then."""
        if not self._connection.closed:
            try:
                self._execute(text)
                return
            except psycopg.OperationalError:
                self._connection.close()
        self._connection = connect(self._url)
        self.runner.use(self._cursors())
        self._execute(text)

    def _end(self) -> None:
        """Undo what is not committed. What has gone wrong is told by whoever asks next."""
        if self._idle():
            return
        with suppress(psycopg.Error):
            self._execute("ROLLBACK")
        if not self._idle():
            self._connection.close()

    def _idle(self) -> bool:
        return self._connection.info.transaction_status is TransactionStatus.IDLE

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """What an error says of the database; None where it tells of a mistake in a single job."""
        return unavailable(error) if isinstance(error, psycopg.Error) else None

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class _Cursors:
    """Gives cursors whose values come as they are, not as text."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def cursor(self) -> Any:
        """A cursor."""
        return self._connection.cursor(binary=True)


class PostgresDatabase(_Reached):
    """The database as the thread that writes uses it; others write beside it."""

    def __init__(self, url: str) -> None:
        """Reach it, and bring its tables up to date. Raises `NewerSchema` and `StoreUnavailable`."""
        super().__init__(url)
        try:
            upgrade(url, self.runner, lambda: connect(url, autocommit=False))
            self._opening = BEGIN + self._durably()
        except psycopg.Error as error:
            self.close()
            raise unavailable(error) or error from error
        except BaseException:
            self.close()
            raise

    def _durably(self) -> str:
        """Where commits would not wait for the disk, ours do."""
        self.runner.cursor.execute("SHOW synchronous_commit")
        return DURABLY if self.runner.cursor.fetchall()[0][0] == "off" else ""

    def numbers(self, table: str) -> Numbers:
        """The numbers of a table's rows."""
        return Drawn(table)

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._begin(self._opening)

    def commit(self) -> None:
        """Make it last: after this it is on the disk."""
        self._execute("COMMIT")

    def rollback(self) -> None:
        """Undo it, if there is one."""
        self._end()

    def again(self, error: Exception) -> bool:
        """Whether the same transaction may well succeed when it is done again."""
        return isinstance(error, _AGAIN)

    def scrub(self) -> bool:
        """PostgreSQL lets go of deleted rows by itself, when it vacuums."""
        return True

    def tidy(self, runner: Runner) -> None:
        """PostgreSQL cleans up by itself."""


class PostgresReading(_Reached):
    """The database to be read only; each look sees one moment."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        """Reach it. Raises `StoreUnavailable`."""
        super().__init__(url)
        self.place = shown(url)

    @property
    def version(self) -> str:
        """The server's version."""
        return str(self._connection.info.parameter_status("server_version"))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """One look at the record."""
        if (
            not self._connection.closed
            and self._connection.info.transaction_status is TransactionStatus.INTRANS
        ):
            yield  # within another
            return
        try:
            self._begin(LOOK)
            yield
        finally:
            self._end()

    def revision(self) -> str:
        """The revision of its tables that this program reads them by, "" where there are none."""
        return current_revision(self.runner)

    def size(self) -> int:
        """Bytes of the database."""
        self.runner.cursor.execute("SELECT pg_database_size(current_database())")
        return int(self.runner.cursor.fetchall()[0][0])


_AGAIN = (Overtaken, errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)

_REASONS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, "the disk of the database is full"),
    (errors.TooManyConnections, "the database takes no more connections"),
    (errors.OutOfMemory, "there is no memory left for the database"),
    (errors.InsufficientResources, "the database has no room for this just now"),
    (errors.ReadOnlySqlTransaction, "the database can only be read just now; it may be changing its server"),
    (errors.InsufficientPrivilege, "the database may not be written by this user"),
    (errors.IoError, "the disk of the database could not be read or written"),
    (errors.DataCorrupted, "the database is damaged; restore it from a backup"),
    (errors.QueryCanceled, "the database broke off what it was asked"),
    (errors.DeadlockDetected, "too many processes change the same at this moment"),
    (errors.SerializationFailure, "too many processes change the same at this moment"),
    (errors.LockNotAvailable, "too many processes change the same at this moment"),
    (psycopg.OperationalError, "the database cannot be reached"),
    (errors.InternalError_, "the database has a fault"),
)


def unavailable(error: Exception) -> StoreUnavailable | None:
    """What an error says of the database in plain words; None where it tells of a mistake in a single job."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return StoreUnavailable(reason)
    return None


def _first(error: Exception) -> str:
    """What the driver says, in one line, without the details of each address it tried."""
    text = str(error).strip().splitlines()
    return text[-1].strip() if text else type(error).__name__
