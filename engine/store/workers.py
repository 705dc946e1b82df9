"""The processes that judge and deliver beside each other: when each was last heard of, and what the dead leave behind."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import (
    BigInteger,
    bindparam,
    cast,
    delete,
    exists,
    extract,
    false,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from engine.model import Delivery
from engine.store.delivering import recover
from engine.store.hands import take_lock
from engine.store.sql import OnPostgres, Runner, number, word
from engine.store.tables import delivery, event, worker

BEAT = 1.0
"""Seconds from one sign of life to the next."""

DEAD = 6.0
"""Seconds without a sign of life after which a process counts as dead."""


def beat(runner: Runner, owner: str, host: str, version: str) -> None:
    """A sign of life."""
    runner.run(_BEAT, id=owner, host=host, version=version)


def rest(runner: Runner, owner: str, idle: bool) -> None:
    """Whether a process has nothing to do, and wants to be told when something comes in."""
    runner.run(_REST, me=owner, idle=idle)


def take_back(runner: Runner, asking: Collection[str], now: int) -> list[Delivery]:
    """Take up what those had in their hands who are dead; the deliveries as they now stand."""
    if not take_lock(runner, "taking back"):
        return []
    dead = sorted({row[0] for row in runner.rows(_DEAD)})
    taken = recover(runner, asking, now, dead) if dead else []
    for owner in dead:
        runner.run(_RELEASE, me=owner)
    runner.run(_BURY)
    return taken


def leave(runner: Runner, owner: str, asking: Collection[str], now: int) -> list[Delivery]:
    """Hand back all that a process has in its hands, because it ends; the deliveries as they now stand."""
    taken = recover(runner, asking, now, [owner])
    runner.run(_RELEASE, me=owner)
    runner.run(_LEAVE, me=owner)
    return taken


_now = cast(extract("epoch", func.clock_timestamp()) * number(1_000_000), BigInteger)
_long_ago = _now - number(int(DEAD * 1_000_000))
_row = postgresql.insert(worker).values(
    id=bindparam("id"), seen_at=_now, idle=false(), host=bindparam("host"), version=bindparam("version")
)
_BEAT = OnPostgres(_row.on_conflict_do_update(index_elements=[worker.c.id], set_={"seen_at": _now}))
_REST = OnPostgres(update(worker).values(idle=bindparam("idle")).where(worker.c.id == bindparam("me")))
_in_hands = (
    select(delivery.c.owner)
    .where(delivery.c.state == word("running"))
    .union(select(event.c.owner).where(event.c.state == word("new"), event.c.owner.is_not(None)))
    .subquery("in_hands")
)
_DEAD = OnPostgres(
    select(_in_hands.c.owner).where(
        ~exists(literal_column("1")).where(worker.c.id == _in_hands.c.owner, worker.c.seen_at >= _long_ago)
    )
)
_RELEASE = OnPostgres(
    update(event)
    .values(owner=null())
    .where(event.c.state == word("new"), event.c.owner.is_not(None), event.c.owner == bindparam("me"))
)
_BURY = OnPostgres(delete(worker).where(worker.c.seen_at < _long_ago))
_LEAVE = OnPostgres(delete(worker).where(worker.c.id == bindparam("me")))
