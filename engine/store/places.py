"""Where a record is kept, chosen by its address alone, and what differs between a file and a shared database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from engine.store.address import is_postgres
from engine.store.disk import Disk
from engine.store.hands import Alone, Among, Hands
from engine.store.known import Known
from engine.store.sql import Runner
from engine.store.thread import Appending, Database
from engine.store.values import StoreUnavailable

if TYPE_CHECKING:
    from engine.store.listening import Listener
    from engine.store.numbering import Numbers


class Rows(Protocol):
    """What is known by its key, in memory or in a table."""

    def find(self, runner: Runner, keys: set[Any]) -> dict[Any, Any]:
        """The rows of those keys that are known, by key; for a transaction that changes them."""
        ...

    def peek(self, key: Any) -> Any | None:
        """The row of a key, if it is in memory; what is not is in the table."""
        ...

    def remove(self, runner: Runner, keys: Iterable[Any]) -> None:
        """Take rows away."""
        ...


class Knowledge(Protocol):
    """What is known of identities, subjects and aliases."""

    @property
    def identities(self) -> Rows:
        """By the bytes that repeats share."""
        ...

    @property
    def subjects(self) -> Rows:
        """By subject."""
        ...

    @property
    def aliases(self) -> Rows:
        """By alias."""
        ...

    def forget(self, runner: Runner, names: Callable[[str], bool]) -> None:
        """Let go of the subjects and aliases in memory whose names are so."""
        ...


class Kept(Database, Protocol):
    """A database as the store uses it."""

    def numbers(self, table: str) -> Numbers:
        """The numbers of a table's rows."""
        ...

    def tidy(self, runner: Runner) -> None:
        """Give back some of the space that is no longer used."""
        ...


class Reading(Protocol):
    """A database to be read only."""

    name: str
    place: str
    runner: Runner

    @property
    def version(self) -> str:
        """The version of the database's program."""
        ...

    def looking(self) -> AbstractContextManager[None]:
        """One look at the record, which sees one moment of it."""
        ...

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """What an error says of the database; None where it tells of a mistake in the question."""
        ...

    def revision(self) -> str:
        """The revision of its tables, "" where there are none."""
        ...

    def size(self) -> int:
        """Bytes of the database."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Place(Protocol):
    """Where a record is kept.

    `shared` says whether several processes may work with it at once; `disk` is what it is on, where that is ours to mind.
    """

    shared: bool
    disk: Disk | None
    knowledge: Knowledge

    def open(self) -> tuple[Kept, Appending]:
        """Open it to write. Raises `AnotherProcess`, `NewerSchema` and `StoreUnavailable`."""
        ...

    def read(self) -> Reading:
        """Open it to read. Raises `StoreUnavailable`."""
        ...

    def hands(self, owner: str) -> Hands:
        """Who takes events to be judged, by the name of this process."""
        ...

    def listen(self, told: Callable[[], None]) -> Listener | None:
        """Have `told` called when another process says that something came in, where that can be."""
        ...


def place_of(url: str, keep: int) -> Place:
    """Where the record of an address is. Raises `StoreUnavailable` for one that cannot be used."""
    return _Shared(url) if is_postgres(url) else _File(url, keep)


class _File:
    """A SQLite file, which one process alone works with."""

    shared = False

    def __init__(self, url: str, keep: int) -> None:
        from engine.store.sqlite import path_of

        self._path = path_of(url)
        self._known = Known(keep)
        self.disk: Disk | None = Disk(self._path)
        self.knowledge: Knowledge = self._known

    def open(self) -> tuple[Kept, Appending]:
        from engine.store.appending import Appender
        from engine.store.sqlite import SqliteDatabase

        database = SqliteDatabase(self._path, self.disk)
        try:
            self._known.restore(database.runner)
            return database, Appender(self._known, database.last_number("event"))
        except BaseException:
            database.close()
            raise

    def read(self) -> Reading:
        from engine.store.sqlite import SqliteReading

        return SqliteReading(self._path)

    def hands(self, owner: str) -> Hands:
        return Alone()

    def listen(self, told: Callable[[], None]) -> Listener | None:
        return None


class _Shared:
    """A PostgreSQL database, which any number of processes work with."""

    shared = True
    disk: Disk | None = None

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: F401  # the driver is an extra
        except ImportError:
            raise StoreUnavailable(
                "the driver of PostgreSQL is not installed; it comes with: pip install 'shopbell[postgres]'"
            ) from None
        from engine.store.shared import SharedKnowledge

        self._url = url
        self.knowledge: Knowledge = SharedKnowledge()

    def open(self) -> tuple[Kept, Appending]:
        from engine.store.postgres import PostgresDatabase
        from engine.store.shared import SharedAppender

        database = PostgresDatabase(self._url)
        return database, SharedAppender(database.numbers("event"))

    def read(self) -> Reading:
        from engine.store.postgres import PostgresReading

        return PostgresReading(self._url)

    def hands(self, owner: str) -> Hands:
        return Among(owner)

    def listen(self, told: Callable[[], None]) -> Listener | None:
        from engine.store.listening import Listener

        return Listener(self._url, told)
