"""In whose hands events are while they are judged: one process alone has them all, several never have the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import bindparam, func, select

from engine.store.sql import OnPostgres, Runner, Statement, word
from engine.store.tables import event

Busy = Mapping[str, int]
"""By subject, the first event of it that somebody else is judging at this moment."""

LOCKS = {"judging": 7_410_001, "sweeping": 7_410_002, "taking back": 7_410_003, "tables": 7_410_004}
"""The numbers of the locks that processes of one service share; each ends with its transaction."""


class Hands(Protocol):
    """Who takes events to be judged."""

    @property
    def owner(self) -> str | None:
        """What the rows of this process are marked with, None where nobody else could take them."""
        ...

    def turn(self, runner: Runner) -> Busy | None:
        """What others are judging, None while somebody else is taking events at this moment."""
        ...


class Alone:
    """The only process."""

    owner = None

    def turn(self, runner: Runner) -> Busy | None:
        """Nobody else judges anything."""
        return {}


class Among:
    """One of several processes."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def turn(self, runner: Runner) -> Busy | None:
        """What others are judging: later events of the same subjects wait until that is recorded."""
        if not take_lock(runner, "judging"):
            return None
        busy: dict[str, int] = {}
        for id, subject, okey in runner.rows(_IN_OTHER_HANDS, me=self.owner):
            for about in (subject, okey):
                busy[about] = min(id, busy.get(about, id))
        return busy


def take_lock(runner: Runner, name: str) -> bool:
    """Take one of `LOCKS` until the transaction ends, unless somebody else has it; whether it was free."""
    return bool(runner.rows(_TRY, key=LOCKS[name])[0][0])


_TRY = OnPostgres(select(func.pg_try_advisory_xact_lock(bindparam("key"))))
_IN_OTHER_HANDS = Statement(
    select(event.c.id, event.c.subject, event.c.okey).where(
        event.c.state == word("new"), event.c.owner.is_not(None), event.c.owner != bindparam("me")
    )
)
