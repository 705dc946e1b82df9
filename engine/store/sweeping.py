"""Letting go of what is old, a little at a time, and of nothing that a person still has to decide on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, exists, func, null, or_, select, update

from engine.store.hands import take_lock
from engine.store.noting import forget_notes
from engine.store.places import Knowledge, Place
from engine.store.sql import Listed, Runner, Statement, Upsert, number, word, words
from engine.store.tables import (
    attempt,
    body,
    cell,
    choice,
    collected,
    delivery,
    event,
    fallback,
    identity,
    judgement,
    mark,
    quarantine,
    replay,
    request,
    rulebook,
    timer,
    timer_key,
)
from engine.store.values import Purged

HOUR = 3_600_000_000
"""Microseconds."""

FAR = 1 << 62
"""A number that no event has."""


def purge(runner: Runner, place: Place, before: int, deliveries_before: int, limit: int) -> Purged:
    """Let go of some old rows: settled deliveries, judged events without deliveries, bodies that could not be read.

    An event stays as long as one of its deliveries does, or something waits that goes on with it, and one that was set
    aside stays until somebody decides.
    """
    if not _mine(runner, place):
        return Purged(0, 0, 0, 0)
    deliveries = [row[0] for row in runner.rows(_SETTLED, before=deliveries_before, limit=limit)]
    for statement in (_REQUESTS, _ATTEMPTS, _FALLBACKS, _DELIVERIES):
        runner.change(statement, deliveries)
    events = runner.rows(_OLD, before=before, limit=limit)
    ids = [row[0] for row in events]
    for statement in (_BODIES, _JUDGEMENTS, _CHOICES, _EVENTS):
        runner.change(statement, ids)
    _forget(runner, place.knowledge, events)
    bodies = [row[0] for row in runner.rows(_UNREADABLE, before=before, limit=limit)]
    runner.change(_QUARANTINE, bodies)
    forget_notes(runner, deliveries_before)
    _ended(runner, before, limit)
    _rulebooks(runner, before)
    kept = 0 if len(ids) == limit else runner.rows(_KEPT, before=before)[0][0]
    return Purged(len(ids), len(deliveries), len(bodies), kept)


def purge_identities(runner: Runner, place: Place, now: int, limit: int) -> int:
    """Let go of some identities whose window has passed, and of what rules need remember no longer; how many."""
    if not _mine(runner, place):
        return 0
    keys = [row[0] for row in runner.rows(_EXPIRED, now=now, limit=limit)]
    place.knowledge.identities.remove(runner, keys)
    cells = [tuple(row) for row in runner.rows(_FORGOTTEN, now=now, limit=limit)]
    runner.many(_CELL, cells)
    return len(keys) + len(cells)


def purge_bodies(runner: Runner, place: Place, before: int, limit: int) -> int:
    """Let go of the content of some judged events, while the events themselves stay; how many.

    How far it has come is marked, so that events without content are not gone through again and again. One that waits
    for a person, or that something goes on with, keeps its content until it goes itself.
    """
    if not _mine(runner, place):
        return 0
    marked = runner.rows(_MARKED)
    since = marked[0][0] if marked else 0
    rows = runner.rows(_CONTENTS, since=since, before=before, limit=limit)
    runner.change(_EMPTY, [row[0] for row in rows])
    if len(rows) < limit:
        runner.run(_MARK, name=BODIES, value=max(since, before))
    return len(rows)


def _ended(runner: Runner, before: int, limit: int) -> None:
    """What waited and has ended long ago, and replays that have."""
    timers = [row[0] for row in runner.rows(_ENDED, before=before, limit=limit)]
    runner.change(_TIMER_KEYS, timers)
    runner.change(_TIMERS, timers)
    runner.run(_REPLAYS, before=before)


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
_FORGOTTEN = Statement(
    select(cell.c.rule, cell.c.word, cell.c.key)
    .where(cell.c.until < bindparam("now"))
    .order_by(cell.c.until)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_CELL = Statement(
    delete(cell).where(
        cell.c.rule == bindparam("rule"), cell.c.word == bindparam("word"), cell.c.key == bindparam("key")
    )
)
_ENDED = Statement(
    select(timer.c.id)
    .where(timer.c.state.in_(words("fired", "cancelled")), timer.c.ended_at < bindparam("before"))
    .order_by(timer.c.ended_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_REPLAYS = Statement(delete(replay).where(replay.c.ended_at < bindparam("before")))
_without_deliveries = ~exists(number(1)).where(delivery.c.event_id == event.c.id)
_awaited = or_(
    exists(number(1)).where(timer.c.event_id == event.c.id, timer.c.state == word("armed")),
    exists(number(1)).where(collected.c.event_id == event.c.id),
)
_OLD = Statement(
    select(event.c.id, event.c.subject, event.c.aliases)
    .where(
        event.c.received_at < bindparam("before"),
        event.c.state == word("evaluated"),
        _without_deliveries,
        ~_awaited,
    )
    .order_by(event.c.received_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_KEPT = Statement(select(func.count()).select_from(event).where(event.c.received_at < bindparam("before")))
BODIES = "bodies"
"""The mark up to which contents have been let go of."""

_MARKED = Statement(select(mark.c.value).where(mark.c.name == word(BODIES)))
_MARK = Upsert(mark)
_undecided = exists(number(1)).where(
    delivery.c.event_id == event.c.id,
    delivery.c.state.in_(words("queued", "running", "held", "failed", "dead")),
)
_CONTENTS = Statement(
    select(event.c.id)
    .select_from(event.join(body, body.c.event_id == event.c.id))
    .where(
        event.c.received_at >= bindparam("since"),
        event.c.received_at < bindparam("before"),
        event.c.state == word("evaluated"),
        body.c.body.is_not(None),
        ~_undecided,
        ~_awaited,
    )
    .order_by(event.c.received_at)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_EMPTY = Listed(
    lambda keys: update(body).values(body=null(), headers=word("")).where(body.c.event_id.in_(keys))
)
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
        # What waits is judged by the rulebook that armed it, however long ago that was.
        ~exists(number(1)).where(timer.c.rulebook == rulebook.c.hash, timer.c.state == word("armed")),
    )
)


def _by(column: Any) -> Listed:
    return Listed(lambda keys: delete(column.table).where(column.in_(keys)))


_REQUESTS = _by(request.c.delivery_id)
_ATTEMPTS = _by(attempt.c.delivery_id)
_FALLBACKS = _by(fallback.c.delivery_id)
_DELIVERIES = _by(delivery.c.id)
_BODIES = _by(body.c.event_id)
_JUDGEMENTS = _by(judgement.c.event_id)
_CHOICES = _by(choice.c.event_id)
_TIMER_KEYS = _by(timer_key.c.timer_id)
_TIMERS = _by(timer.c.id)
_EVENTS = _by(event.c.id)
_QUARANTINE = _by(quarantine.c.id)
