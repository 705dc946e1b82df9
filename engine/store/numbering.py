"""The numbers of new rows: never given twice, growing, and known before the rows are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import bindparam, column, func, select
from sqlalchemy import text as words

from engine.store.sql import OnPostgres, Runner


class Numbers(Protocol):
    """Gives the numbers of one table's rows."""

    def take(self, runner: Runner, many: int) -> Sequence[int]:
        """So many numbers, ascending, higher than all that were given to anybody whose answer came before."""
        ...


class Counted:
    """Counts on from the last number: right where one process alone writes."""

    def __init__(self, last: int) -> None:
        self.last = last

    def take(self, runner: Runner, many: int) -> Sequence[int]:
        """The next numbers. Those of a transaction that does not count are not given again."""
        first, self.last = self.last + 1, self.last + many
        return range(first, self.last + 1)


class Drawn:
    """Draws from the table's sequence, which all processes share."""

    def __init__(self, table: str) -> None:
        series = func.generate_series(words("1"), bindparam("many")).table_valued(column("place"))
        self._draw = OnPostgres(select(func.nextval(words(f"'{table}_id_seq'"))).select_from(series))

    def take(self, runner: Runner, many: int) -> Sequence[int]:
        """The next numbers."""
        return sorted(row[0] for row in runner.rows(self._draw, many=many)) if many else ()
