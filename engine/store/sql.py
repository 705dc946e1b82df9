"""Statements written with SQLAlchemy Core, compiled to text once for each database, and run on its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import Any, Protocol

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    LargeBinary,
    Table,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
)
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


class OnPostgres(Statement):
    """One statement for PostgreSQL alone, for what only several processes need."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the text."""
        compiled: Any = self._element.compile(dialect=DIALECTS["postgresql"])
        return tuple(compiled.positiontup)


class Insert(Statement):
    """Inserts rows of a table. Its parameters are the table's columns; those in `fixed` have the same value in all rows.

    PostgreSQL takes many rows with one statement, as a list for each column.
    """

    def __init__(self, table: Table, **fixed: ColumnElement[Any]) -> None:
        self._table = table
        self._fixed = fixed
        self._columns = [one for one in table.c if one.name not in fixed]

    @cache  # noqa: B019  # statements live as long as the program
    def lists_text(self) -> str:
        """The text for PostgreSQL with a list for each column; lists of bytes go as they are."""
        text = str(self._of_lists().compile(dialect=DIALECTS["postgresql"]))
        head, *rest = text.split("%s")
        marks = ["%b" if isinstance(one.type, LargeBinary) else "%s" for one in self._columns]
        return head + "".join(mark + part for mark, part in zip(marks, rest, strict=True))

    def lists(self, rows: Sequence[Sequence[object]]) -> list[list[object]]:
        """The rows as a list for each column."""
        return [list(values) for values in zip(*rows, strict=True)]

    def _for(self, dialect: str) -> ClauseElement:
        return insert(self._table).values(self._values())

    def _values(self) -> dict[str, Any]:
        return {one.name: bindparam(one.name) for one in self._columns} | self._fixed

    def _of_lists(self) -> Any:
        given = given_lists(self._columns)
        names = [one.name for one in self._columns]
        row = select(*(given.c[name] for name in names), *self._fixed.values())
        return postgresql.insert(self._table).from_select([*names, *self._fixed], row)


class Upsert(Insert):
    """Inserts a row, or puts it in the place of the one with its key. Its parameters are the table's columns."""

    def lists(self, rows: Sequence[Sequence[object]]) -> list[list[object]]:
        """As above, of each key the last row only, and sorted, so that no two writers wait for each other."""
        places = [place for place, one in enumerate(self._columns) if one.primary_key]
        last: dict[Any, Sequence[object]] = {tuple(row[place] for place in places): row for row in rows}
        return super().lists([last[key] for key in sorted(last)])

    def _for(self, dialect: str) -> ClauseElement:
        one: ClauseElement = self._or_replace(_INSERTS[dialect](self._table).values(self._values()))
        return one

    def _of_lists(self) -> Any:
        return self._or_replace(super()._of_lists())

    def _or_replace(self, row: Any) -> Any:
        keys = list(self._table.primary_key.columns)
        others = {one.name: row.excluded[one.name] for one in self._table.c if one not in keys}
        return row.on_conflict_do_update(index_elements=keys, set_=others)


class Missing(Insert):
    """Inserts a row unless there is one with its key."""

    def _for(self, dialect: str) -> ClauseElement:
        one: ClauseElement = _INSERTS[dialect](self._table).values(self._values()).on_conflict_do_nothing()
        return one

    def _of_lists(self) -> Any:
        return super()._of_lists().on_conflict_do_nothing()


_INSERTS: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def given_lists(columns: Sequence[Column[Any]]) -> Any:
    """A list for each column, handed to PostgreSQL as the table `given`."""
    lists = (cast(bindparam(one.name), postgresql.ARRAY(one.type)) for one in columns)
    return (
        func.unnest(*lists)
        .table_valued(*(column(one.name) for one in columns), name="given")
        .render_derived()
    )


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
        self.dialect = dialect
        self.use(connection)

    def use(self, connection: Connection) -> None:
        """Go on with another connection."""
        self.connection = connection
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
        if not rows:
            return
        if isinstance(statement, Insert) and self.dialect == "postgresql":
            self.cursor.execute(statement.lists_text(), statement.lists(rows))
        else:
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
