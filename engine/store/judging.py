"""Events on their way to being judged: handed out, set aside, recorded with what follows from them, judged again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, select, update

from engine.store.sql import Listed, Runner, Statement, Upsert, number, word, words
from engine.store.tables import body, delivery, event, judgement, name, request, rulebook
from engine.store.text import clean, micros, moment
from engine.store.values import Judged, MemoryRow, NewDelivery, NotFound, NotPossible, StoredEvent

log = logging.getLogger("shopbell.store")

STARTS = 3
"""How often an event is handed out without an end before it is set aside."""

BYTES = 8 * 1024 * 1024
"""Bytes of bodies handed out together, about."""

_json = msgspec.json.encode


def take_new(runner: Runner, limit: int, after: int) -> list[StoredEvent]:
    """The oldest events that wait, in their order, each counted as started before it is handed out.

    One that was started before and did not end comes alone, so that whoever it brings down is known; started three
    times, it is set aside, and so is one whose body is not as it was received.
    """
    taken: list[StoredEvent] = []
    bad: list[tuple[str, int]] = []
    size = 0
    for row in runner.each(_NEW, after=after, limit=limit):
        stored, sha, starts = _stored(row), row[11], row[8]
        reason = _hindrance(stored, sha, starts)
        if reason:
            bad.append((reason, row[0]))
            continue
        if taken and (starts or taken[0].starts > 1 or size + len(stored.body) > BYTES):
            break
        size += len(stored.body)
        taken.append(stored)
    for reason, id in bad:
        set_aside(runner, id, reason)
    if taken:
        runner.change(_START, [int(one.id) for one in taken])
    return taken


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(
        id=str(row[0]),
        source=row[1],
        type=row[2],
        subject=row[3],
        received_at=moment(row[4]),
        identity=row[5].hex(),
        late=bool(row[6]),
        known=bool(row[7]),
        starts=row[8] + 1,
        before=row[9] or 0,
        run=row[10],
        body=row[12] or b"",
        okey=row[13],
    )


def _hindrance(stored: StoredEvent, sha: bytes, starts: int) -> str:
    if starts >= STARTS:
        return f"the service ended {STARTS} times while this event was being judged; it was set aside so that others go on"
    if sha256(stored.body).digest() != sha:
        return "what is kept of this event is not what was received; the database file may be damaged"
    return ""


def set_aside(runner: Runner, id: int, reason: str) -> None:
    """Judge an event no more, for a reason that people see."""
    if runner.run(_SET_ASIDE, why=clean(reason), number=id):
        log.error("event %s was set aside: %s", id, reason)


def replay(runner: Runner, id: int, resend: bool) -> None:
    """Have an event judged again; what it already sent is sent again only if told. Raises `NotPossible`."""
    rows = runner.rows(_STATE, number=id)
    if not rows:
        raise NotFound(f"There is no event {id} in the record.")
    state, kept = rows[0]
    if state == "new":
        raise NotPossible(f"Event {id} still waits to be judged.")
    if not kept:
        raise NotPossible(f"Event {id} cannot be judged again: its content is no longer kept.")
    runner.run(_REPLAY, again=resend, number=id)


# recording


class Recorder:
    """Records judgements. `last_id` is the highest number a delivery ever had."""

    def __init__(self, last_id: int) -> None:
        self._last_id = last_id

    def record(self, runner: Runner, judged: Sequence[Judged]) -> list[str]:
        """Record judgements and all that follows, and give the numbers of the events that counted.

        An event that does not wait for its judgement any more is left as it is.
        """
        waiting = {row[0]: row for row in runner.listed(_WAITING, [int(one.event_id) for one in judged])}
        counted = {int(one.event_id): one for one in judged if int(one.event_id) in waiting}
        if not counted:
            return []
        runner.change(_EVALUATED, list(counted))
        runner.many(_JUDGEMENT, [_judgement(id, waiting[id][1], one) for id, one in counted.items()])
        runner.many(_NAME, [row for id, one in counted.items() for row in _names(id, one)])
        self._deliveries(runner, counted, waiting)
        return [str(id) for id in counted]

    def _deliveries(self, runner: Runner, counted: dict[int, Judged], waiting: dict[int, Any]) -> None:
        again = [id for id in counted if waiting[id][1] > 1 and not waiting[id][2]]
        sent = {(id, key) for id, key in runner.listed(_SENT, again)} if again else set()
        rows = []
        requests = []
        id = self._last_id
        for event_id, one in counted.items():
            for new in one.deliveries:
                if (event_id, new.idempotency_key) in sent:
                    continue
                id += 1
                sent.add((event_id, new.idempotency_key))
                rows.append(_delivery(id, event_id, waiting[event_id][1], new, one.planned_at))
                requests.append((id, _text(new.request_json)))
        self._last_id = id
        runner.many(_DELIVERY, rows)
        runner.many(_REQUEST, requests)


def _judgement(id: int, run: int, one: Judged) -> tuple[object, ...]:
    outcomes = clean(_json(dict(one.outcomes)).decode())
    return (id, run, one.rulebook, outcomes, _memory(one.memory), micros(one.planned_at))


def _memory(memory: MemoryRow) -> str:
    """Which events and names were known, to be looked up again."""
    known: dict[str, Any] = {}
    if memory.before_event is not None:
        known["before"] = int(memory.before_event)
    if memory.order_event is not None:
        known["order"] = int(memory.order_event)
    if memory.products:
        known["products"] = {clean(key): clean(value) for key, value in memory.products.items()}
    return _json(known).decode()


def _names(id: int, one: Judged) -> list[tuple[object, ...]]:
    return [(clean(kind), clean(key), clean(value), id) for (kind, key), value in one.names.items()]


def _delivery(id: int, event_id: int, run: int, new: NewDelivery, planned_at: datetime) -> tuple[object, ...]:
    now = micros(planned_at)
    ended = now if new.state in ("done", "suppressed", "cancelled") else None
    return (
        id,
        event_id,
        run,
        clean(new.rule),
        new.action,
        new.kind,
        clean(new.to),
        clean(new.connection),
        str(new.state),
        micros(new.due_at),
        None if new.okey is None else clean(new.okey),
        0,
        None,
        clean(new.idempotency_key),
        clean(new.reason),
        now,
        ended,
    )


def _text(request_json: str | bytes) -> str:
    return clean(request_json if isinstance(request_json, str) else request_json.decode())


# rulebooks


def keep_rulebook(runner: Runner, hash: str, texts: str, now: int) -> None:
    """Keep the texts of a rulebook, as the one that is now in force."""
    runner.run(_RULEBOOK, hash=hash, texts=texts, loaded_at=now)


_NEW = Statement(
    select(
        event.c.id,
        event.c.source,
        event.c.type,
        event.c.subject,
        event.c.received_at,
        event.c.identity,
        event.c.late,
        event.c.known,
        event.c.starts,
        event.c.before_id,
        event.c.run,
        event.c.body_sha256,
        body.c.body,
        event.c.okey,
    )
    .select_from(event.outerjoin(body, body.c.event_id == event.c.id))
    .where(event.c.state == word("new"), event.c.id > bindparam("after"))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_START = Listed(
    lambda keys: update(event).values(starts=event.c.starts + number(1)).where(event.c.id.in_(keys))
)
_SET_ASIDE = Statement(
    update(event)
    .values(state=word("failed"), reason=bindparam("why"))
    .where(event.c.id == bindparam("number"), event.c.state == word("new"))
)
_STATE = Statement(
    select(event.c.state, body.c.body.is_not(None))
    .select_from(event.outerjoin(body, body.c.event_id == event.c.id))
    .where(event.c.id == bindparam("number"))
)
_REPLAY = Statement(
    update(event)
    .values(
        state=word("new"),
        run=event.c.run + number(1),
        starts=number(0),
        reason=word(""),
        resend=bindparam("again"),
    )
    .where(event.c.id == bindparam("number"))
)
_WAITING = Listed(
    lambda keys: select(event.c.id, event.c.run, event.c.resend).where(
        event.c.id.in_(keys), event.c.state == word("new")
    )
)
_EVALUATED = Listed(lambda keys: update(event).values(state=word("evaluated")).where(event.c.id.in_(keys)))
_JUDGEMENT = Statement(insert(judgement))
_NAME = Upsert(name)
_SENT = Listed(
    lambda keys: select(delivery.c.event_id, delivery.c.idempotency_key).where(
        delivery.c.event_id.in_(keys),
        delivery.c.state.in_(words("queued", "running", "done")),
    )
)
_DELIVERY = Statement(insert(delivery))
_REQUEST = Statement(insert(request))
_RULEBOOK = Upsert(rulebook)
