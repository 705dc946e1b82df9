"""Letting go of what is old, a little at a time, and of nothing that a person still has to decide on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, exists, func, select

from engine.store.hands import take_lock
from engine.store.noting import forget_notes
from engine.store.places import Knowledge, Place
from engine.store.sql import Listed, Runner, Statement, number, word, words
from engine.store.tables import (
    attempt,
    body,
    delivery,
    event,
    identity,
    judgement,
    quarantine,
    request,
    rulebook,
)
from engine.store.values import Purged

HOUR = 3_600_000_000
"""Microseconds."""

FAR = 1 << 62
"""A number that no event has."""


def purge(runner: Runner, place: Place, before: int, deliveries_before: int, limit: int) -> Purged:
    """Let go of some old rows: settled deliveries, judged events without deliveries, bodies that could not be read.

    An event stays as long as one of its deliveries does, and one that was set aside stays until somebody decides.
    """
    if not _mine(runner, place):
        return Purged(0, 0, 0, 0)
    deliveries = [row[0] for row in runner.rows(_SETTLED, before=deliveries_before, limit=limit)]
    for statement in (_REQUESTS, _ATTEMPTS, _DELIVERIES):
        runner.change(statement, deliveries)
    events = runner.rows(_OLD, before=before, limit=limit)
    ids = [row[0] for row in events]
    for statement in (_BODIES, _JUDGEMENTS, _EVENTS):
        runner.change(statement, ids)
    _forget(runner, place.knowledge, events)
    bodies = [row[0] for row in runner.rows(_UNREADABLE, before=before, limit=limit)]
    runner.change(_QUARANTINE, bodies)
    forget_notes(runner, deliveries_before)
    _rulebooks(runner, before)
    kept = 0 if len(ids) == limit else runner.rows(_KEPT, before=before)[0][0]
    return Purged(len(ids), len(deliveries), len(bodies), kept)


def purge_identities(runner: Runner, place: Place, now: int, limit: int) -> int:
    """Let go of some identities whose window has passed; how many."""
    if not _mine(runner, place):
        return 0
    keys = [row[0] for row in runner.rows(_EXPIRED, now=now, limit=limit)]
    place.knowledge.identities.remove(runner, keys)
    return len(keys)


def _mine(runner: Runner, place: Place) -> bool:
    """Whether it is for this process to sweep at this moment: two at a time would only get in each other's way."""
    return not place.shared or take_lock(runner, "sweeping")


def _forget(runner: Runner, known: Knowledge, events: list[Any]) -> None:
    """Subjects whose newest event went, and aliases that such an event gave."""
    gone = {row[0] for row in events}
    states = known.subjects.find(runner, {row[1] for row in events})
    known.subjects.remove(runner, [about for about, state in states.items() if state[2] in gone])
    others = {other for row in events if row[2] for other in row[2].split("\n")}
    aliases = known.aliases.find(runner, others)
    known.aliases.remove(runner, [other for other, alias in aliases.items() if alias[2] in gone])


def _rulebooks(runner: Runner, before: int) -> None:
    """Rulebooks that were out of force by then, and by which no event that is kept was judged."""
    newer = runner.rows(_FIRST_KEPT, before=before)
    runner.run(_RULEBOOKS, before=before - HOUR, first=newer[0][0] if newer else FAR)


_EXPIRED = Statement(
    select(identity.c.key)
    .where(identity.c.expires_at < bindparam("now"))
    .order_by(identity.c.expires_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_SETTLED = Statement(
    select(delivery.c.id)
    .where(
        delivery.c.state.in_(words("done", "suppressed", "cancelled")),
        delivery.c.finished_at < bindparam("before"),
    )
    .order_by(delivery.c.finished_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_without_deliveries = ~exists(number(1)).where(delivery.c.event_id == event.c.id)
_OLD = Statement(
    select(event.c.id, event.c.subject, event.c.aliases)
    .where(event.c.received_at < bindparam("before"), event.c.state == word("evaluated"), _without_deliveries)
    .order_by(event.c.received_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_KEPT = Statement(select(func.count()).select_from(event).where(event.c.received_at < bindparam("before")))
_UNREADABLE = Statement(
    select(quarantine.c.id)
    .where(quarantine.c.received_at < bindparam("before"))
    .order_by(quarantine.c.received_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_FIRST_KEPT = Statement(
    select(event.c.id)
    .where(event.c.received_at >= bindparam("before"))
    .order_by(event.c.received_at)
    .limit(number(1))
    .offset(number(0))
)
_later = rulebook.alias("later")
_RULEBOOKS = Statement(
    delete(rulebook).where(
        exists(number(1)).where(
            _later.c.loaded_at > rulebook.c.loaded_at, _later.c.loaded_at < bindparam("before")
        ),
        ~exists(number(1)).where(
            judgement.c.rulebook == rulebook.c.hash, judgement.c.event_id < bindparam("first")
        ),
    )
)


def _by(column: Any) -> Listed:
    return Listed(lambda keys: delete(column.table).where(column.in_(keys)))


_REQUESTS = _by(request.c.delivery_id)
_ATTEMPTS = _by(attempt.c.delivery_id)
_DELIVERIES = _by(delivery.c.id)
_BODIES = _by(body.c.event_id)
_JUDGEMENTS = _by(judgement.c.event_id)
_EVENTS = _by(event.c.id)
_QUARANTINE = _by(quarantine.c.id)
