"""What is known of identities, subjects and aliases: the newest in memory, the rest in tables.

Their keys are random, so that each row written touches a page of its own, which costs more than keeping the event.
The newest rows are therefore kept in memory and written later, sorted, some with each commit: many then share a page.
Nothing is lost by that. They follow from the events, and those after the mark are gone through again at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.sql.schema import Table

from engine.store.sql import Listed, Runner, Statement, Upsert, word
from engine.store.tables import alias, event, identity, mark, subject

KEEP = 4096
"""Events whose rows gather in memory before they are written."""

SHARE = 2
"""Rows written for each new one: twice as fast as they come, so that memory stays bounded."""

LEAST = 32
"""Rows written at least with a commit, while there are any."""

IdentityRow = tuple[bytes, int, int]
"""The identity, its event's number, and when it is forgotten."""

SubjectRow = tuple[str, int | None, int, int | None]
"""The subject, its newest event that is not late, its newest of all, and the newest `updated_at`."""

AliasRow = tuple[str, str, int]
"""The alias, the subject it belongs to, and the event that said so."""


class Shelf:
    """The rows of one table by its first column. What a transaction puts or takes away counts once it is committed."""

    def __init__(self, table: Table) -> None:
        key = table.c[0]
        self._find = Listed(lambda keys: select(table).where(key.in_(keys)))
        self._remove = Statement(delete(table).where(key == bindparam("key")))
        self._write = Upsert(table)
        self.gathering: dict[Any, Any] = {}
        self._due: dict[Any, Any] = {}
        self._order: list[Any] = []
        self._at = 0
        self._written = 0
        self._put: dict[Any, Any] = {}
        self._gone: set[Any] = set()

    def find(self, runner: Runner, keys: set[Any]) -> dict[Any, Any]:
        """The rows of those keys that are known, by key."""
        missing = keys
        for held in (self._put, self.gathering, self._due):
            missing = missing.difference(
                held
            )  # given a dict itself, this looks up keys and not the whole dict
        missing -= self._gone
        found = {row[0]: row for row in runner.listed(self._find, list(missing))}
        for key in keys - missing - self._gone:
            found[key] = self._put.get(key) or self.peek(key)
        return found

    def peek(self, key: Any) -> Any | None:
        """The committed row of a key, if it is in memory. Any thread may ask; what is not here is in the table."""
        return self.gathering.get(key) or self._due.get(key)

    def put(self, row: Any) -> None:
        """Keep a row, in place of the one of its key."""
        key = row[0]
        self._put[key] = row
        if self._gone:
            self._gone.discard(key)

    def remove(self, runner: Runner, keys: Iterable[Any]) -> None:
        """Take rows away."""
        keys = list(keys)
        runner.many(self._remove, [(key,) for key in keys])
        for key in keys:
            self._put.pop(key, None)
            self._gone.add(key)

    def named(self, names: Callable[[str], bool]) -> list[Any]:
        """The keys in memory, which must be texts, that are so."""
        return [key for key in {**self._due, **self.gathering} if names(key)]

    def write_some(self, runner: Runner, most: int) -> bool:
        """Write some of the rows that are due for the table; whether these were the last."""
        keys = self._order[self._at : self._at + most]
        self._written = len(keys)
        runner.many(
            self._write, [self._due[key] for key in keys if key in self._due and key not in self._gone]
        )
        return self._at + self._written == len(self._order)

    def turn(self) -> None:
        """Let what has gathered be written next. The rows that were due before are in the table by now."""
        self._due = self.gathering  # in this order: another thread may be looking for a row
        self.gathering = {}
        self._order = sorted(self._due)
        self._at = 0

    def committed(self) -> None:
        """The transaction counts."""
        self.gathering.update(self._put)
        self._at += self._written
        for key in self._gone:
            self.gathering.pop(key, None)
            self._due.pop(key, None)
        self.rolled_back()

    def rolled_back(self) -> None:
        """The transaction does not count."""
        self._put.clear()
        self._gone.clear()
        self._written = 0


class Known:
    """The three shelves, written in step. `keep` is the number of events that gather before they are written."""

    def __init__(self, keep: int = KEEP) -> None:
        self.identities = Shelf(identity)
        self.subjects = Shelf(subject)
        self.aliases = Shelf(alias)
        self._shelves = (self.identities, self.subjects, self.aliases)
        self._keep = keep
        self._writing_to = 0
        self._marking = False

    def restore(self, runner: Runner) -> None:
        """Go through the events after the mark again."""
        marked = runner.rows(_MARKED)
        rows = runner.rows(_AFTER, after=marked[0][0] if marked else 0)
        states = self.subjects.find(runner, {row[1] for row in rows})
        for id, about, late, updated_at, key, until, aliases in rows:
            self.identities.put((key, id, until))
            state = states.get(about)
            if state is None or state[2] < id:
                states[about] = state = next_state(state, about, id, bool(late), updated_at)
                self.subjects.put(state)
            for other in aliases.split("\n") if aliases else ():
                self.aliases.put((other, about, id))
        for shelf in self._shelves:
            shelf.committed()

    def forget(self, runner: Runner, names: Callable[[str], bool]) -> None:
        """Let go of the subjects and aliases in memory whose names are so."""
        for shelf in (self.subjects, self.aliases):
            shelf.remove(runner, shelf.named(names))

    def settle(self, runner: Runner, new: int) -> None:
        """Write a share of what is due, within the transaction that brought so many new events."""
        if self._writing_to:
            most = max(LEAST, SHARE * new)
            written = [shelf.write_some(runner, most) for shelf in self._shelves]
            if all(written):
                runner.run(_MARK, name="indexed", value=self._writing_to)
                self._marking = True

    def committed(self, last_id: int) -> None:
        """The transaction counts; `last_id` is the newest event's number."""
        for shelf in self._shelves:
            shelf.committed()
        if self._marking:
            self._writing_to, self._marking = 0, False
        if not self._writing_to and len(self.identities.gathering) >= self._keep:
            self._writing_to = last_id
            for shelf in self._shelves:
                shelf.turn()

    def rolled_back(self) -> None:
        """The transaction does not count."""
        self._marking = False
        for shelf in self._shelves:
            shelf.rolled_back()


def next_state(
    state: SubjectRow | None, about: str, id: int, late: bool, updated_at: int | None
) -> SubjectRow:
    """The state of a subject after one more event: a late one changes nothing but which is the newest."""
    if state is None:
        return (about, None if late else id, id, updated_at)
    if late:
        return (about, state[1], id, state[3])
    return (about, id, id, state[3] if updated_at is None else updated_at)


_MARKED = Statement(select(mark.c.value).where(mark.c.name == word("indexed")))
_MARK = Upsert(mark)
_AFTER = Statement(
    select(
        event.c.id,
        event.c.subject,
        event.c.late,
        event.c.updated_at,
        event.c.identity,
        event.c.expires_at,
        event.c.aliases,
    )
    .where(event.c.id > bindparam("after"))
    .order_by(event.c.id)
)
