"""Statements written with SQLAlchemy Core, compiled to text once for each database, and run on its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import Any, Protocol

from sqlalchemy import BindParameter, ColumnElement, Table, bindparam, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.elements import ClauseElement

MOST_KEYS = 256
"""Keys looked for with one statement."""

DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}
"""The databases whose texts are known, both with parameters by place."""


class Statement:
    """One statement for both databases."""

    def __init__(self, element: ClauseElement) -> None:
        self._element = element

    @cache  # noqa: B019  # statements live as long as the program
    def text(self, dialect: str) -> str:
        """The text for a database."""
        return str(self._for(dialect).compile(dialect=DIALECTS[dialect]))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the text."""
        compiled: Any = self._for("sqlite").compile(dialect=DIALECTS["sqlite"])
        return tuple(compiled.positiontup)

    def _for(self, dialect: str) -> ClauseElement:
        return self._element


class Upsert(Statement):
    """Inserts a row, or puts it in the place of the one with its key. Its parameters are the table's columns."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def _for(self, dialect: str) -> ClauseElement:
        keys = list(self._table.primary_key.columns)
        row: Any = _INSERTS[dialect](self._table)
        others = {column.name: row.excluded[column.name] for column in self._table.c if column not in keys}
        conflict: ClauseElement = row.on_conflict_do_update(index_elements=keys, set_=others)
        return conflict


_INSERTS: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Listed:
    """A statement over a list of keys: one text for each power of two, the last key repeated to fill it."""

    def __init__(self, make: Callable[[list[BindParameter[Any]]], ClauseElement]) -> None:
        self._make = make

    @cache  # noqa: B019  # statements live as long as the program
    def sized(self, size: int) -> Statement:
        """The statement for a number of keys, `key_0` and so on."""
        return Statement(self._make([bindparam(f"key_{place}") for place in range(size)]))


def word(text: str) -> ColumnElement[str]:
    """A state written out as a literal: a bound value would keep the partial indexes from being used."""
    return literal_column(f"'{text}'")


def words(*texts: str) -> list[ColumnElement[str]]:
    """Several states, written out."""
    return [word(text) for text in texts]


def number(value: int) -> ColumnElement[int]:
    """A number written out."""
    return literal_column(str(value))


class Cursor(Protocol):
    """What is used of a driver's cursor."""

    rowcount: int

    def execute(self, text: str, parameters: Sequence[object] = ..., /) -> Any:
        """Run a statement."""
        ...

    def executemany(self, text: str, rows: Any, /) -> Any:
        """Run a statement for each row."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows."""
        ...

    def close(self) -> None:
        """Let go of the statement it is in, and be of no use any more."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What is used of a driver's connection."""

    def cursor(self) -> Any:
        """A cursor."""
        ...


class Runner:
    """Runs statements on one connection; used by one thread at a time."""

    def __init__(self, connection: Connection, dialect: str) -> None:
        self.connection = connection
        self.dialect = dialect
        self.cursor: Cursor = connection.cursor()

    def rows(self, statement: Statement, **parameters: object) -> list[Any]:
        """Run a statement and give its rows."""
        self._execute(statement, parameters)
        return self.cursor.fetchall()

    def each(self, statement: Statement, **parameters: object) -> Iterator[Any]:
        """Run a statement and give its rows one by one, none read ahead."""
        self._execute(statement, parameters)
        return iter(self.cursor)

    def run(self, statement: Statement, **parameters: object) -> int:
        """Run a statement and give the number of rows it changed."""
        self._execute(statement, parameters)
        return self.cursor.rowcount

    def many(self, statement: Statement, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement for each row of parameters, which are in the order of its `names`."""
        if rows:
            self.cursor.executemany(statement.text(self.dialect), rows)

    def listed(self, statement: Listed, keys: Sequence[object], **parameters: object) -> list[Any]:
        """Run a statement over keys, some hundred at a time, and give all its rows."""
        rows: list[Any] = []
        for sized, some in _parts(statement, keys):
            self._execute(sized, parameters, some)
            rows += self.cursor.fetchall()
        return rows

    def change(self, statement: Listed, keys: Sequence[object], **parameters: object) -> int:
        """Run a statement that changes rows over keys, and give their number."""
        changed = 0
        for sized, some in _parts(statement, keys):
            self._execute(sized, parameters, some)
            changed += self.cursor.rowcount
        return changed

    def _execute(
        self, statement: Statement, parameters: dict[str, object], keys: Sequence[object] = ()
    ) -> None:
        names = statement.names
        if keys:
            first = names.index("key_0")
            before = [parameters[name] for name in names[:first]]
            after = [parameters[name] for name in names[first + len(keys) :]]
            self.cursor.execute(statement.text(self.dialect), (*before, *keys, *after))
        else:
            self.cursor.execute(statement.text(self.dialect), [parameters[name] for name in names])


def _parts(statement: Listed, keys: Sequence[object]) -> Iterator[tuple[Statement, list[object]]]:
    for start in range(0, len(keys), MOST_KEYS):
        some = list(keys[start : start + MOST_KEYS])
        size = 1 << (len(some) - 1).bit_length()
        yield statement.sized(size), some + some[-1:] * (size - len(some))
