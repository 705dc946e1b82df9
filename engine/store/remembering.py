"""What is known beside an event, looked up for many events with a few statements, and looked up again as it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from engine.model import Ask
from engine.store.places import Knowledge, Rows
from engine.store.sql import Listed, Runner, Statement, number
from engine.store.tables import alias, body, event, judgement, name, subject
from engine.store.text import clean, moment
from engine.store.values import Answered, MemoryRow, NotFound, StoredEvent, Wanted

_encode = msgspec.json.encode

PRODUCT = "product"
"""The kind of names that products have, by their SKU."""


def memories(runner: Runner, known: Knowledge, wanted: Sequence[Wanted]) -> list[MemoryRow]:
    """What is known beside each event, in their order.

    The state before is that of the event's turn, whatever has come since; an order is the newest that is known of it.
    """
    orders = _orders(runner, known, {order_of for _, _, order_of, _ in wanted if order_of})
    befores = [event.before if before else 0 for event, before, _, _ in wanted]
    bodies = _bodies(runner, {*befores, *orders.values()} - {0, None})
    names = _names(runner, {key for *_, products in wanted for key in products})
    return [
        _row(bodies, before, orders.get(order_of), {key: names[key] for key in products if key in names})
        for before, (_, _, order_of, products) in zip(befores, wanted, strict=True)
    ]


def newest(runner: Runner, known: Knowledge, subjects: frozenset[str]) -> dict[str, tuple[str, bytes]]:
    """The number and body of each subject's newest event, late ones left out, where it is still kept."""
    states = {row[0]: row[1] for row in _rows(runner, known.subjects, _SUBJECTS, set(subjects)) if row[1]}
    bodies = _bodies(runner, states.values())
    return {about: (str(id), bodies[id]) for about, id in states.items() if id in bodies}


def kept_memory(memory: MemoryRow) -> str:
    """Which events and names were known, and what rules were answered, to be looked up again."""
    known: dict[str, Any] = {}
    if memory.before_event is not None:
        known["before"] = int(memory.before_event)
    if memory.order_event is not None:
        known["order"] = int(memory.order_event)
    if memory.products:
        known["products"] = {clean(key): clean(value) for key, value in memory.products.items()}
    if memory.origin is not None:
        known["origin"] = int(memory.origin.id)
    if memory.newest_event is not None:
        known["newest"] = int(memory.newest_event)
    if memory.answers:
        known["answers"] = [_kept_answer(ask, answer) for ask, answer in memory.answers.items()]
    return clean(_encode(known).decode())


class _Kept(msgspec.Struct, frozen=True):
    """An answer to a rule: the events by their numbers, since they are on record."""

    ask: Ask
    value: msgspec.Raw = msgspec.Raw(b"null")
    events: list[int] | None = None


def _kept_answer(ask: Ask, answer: Answered) -> _Kept:
    if answer.events is None:
        return _Kept(ask, msgspec.Raw(answer.value))
    return _Kept(ask, events=[int(event.id) for event in answer.events])


def memory_of(runner: Runner, event_id: int) -> MemoryRow:
    """What the planner was told of the past when it last judged an event, as far as that is still kept."""
    rows = runner.rows(_MEMORY, number=event_id)
    if not rows:
        raise NotFound(f"Event {event_id} has not been judged.")
    told = _decode(rows[0][0])
    bodies = _bodies(runner, {told.before, told.order, told.newest} - {None})
    row = _row(bodies, told.before, told.order, told.products)
    if told.origin is None and not told.answers:
        return row
    numbers = {event for one in told.answers for event in one.events or ()} | ({told.origin} - {None})
    events = events_of(runner, numbers)
    newest_event, newest_body = _kept(bodies, told.newest)
    return replace(
        row,
        origin=events.get(told.origin or 0),
        newest_event=newest_event,
        newest_body=newest_body,
        answers={one.ask: _answered(one, events) for one in told.answers},
    )


class _Told(msgspec.Struct, frozen=True):
    """What was told of the past, as it is kept."""

    before: int | None = None
    order: int | None = None
    products: dict[str, str] = {}
    origin: int | None = None
    newest: int | None = None
    answers: list[_Kept] = []


def _answered(one: _Kept, events: dict[int, StoredEvent]) -> Answered:
    if one.events is None:
        return Answered(bytes(one.value))
    return Answered(events=tuple(events[id] for id in one.events if id in events))


def events_of(runner: Runner, ids: Iterable[Any]) -> dict[int, StoredEvent]:
    """Events by number, without those whose content is no longer kept."""
    return {row[0]: stored(row) for row in runner.listed(_EVENTS, sorted(set(ids)))}


def stored(row: Any) -> StoredEvent:
    """A row of the columns in `EVENT` as an event."""
    return StoredEvent(
        id=str(row[0]),
        source=row[1],
        type=row[2],
        subject=row[3],
        received_at=moment(row[4]),
        identity=row[5].hex(),
        late=bool(row[6]),
        known=bool(row[7]),
        starts=0,
        before=row[8] or 0,
        run=row[9],
        okey=row[10],
        body=row[11],
    )


def _orders(runner: Runner, known: Knowledge, others: set[str]) -> dict[str, int]:
    """The newest event of the subject that each belongs to."""
    owners = {row[0]: row[1] for row in _rows(runner, known.aliases, _ALIASES, others)}
    states = {row[0]: row[1] for row in _rows(runner, known.subjects, _SUBJECTS, set(owners.values()))}
    return {other: states[owner] for other, owner in owners.items() if states.get(owner)}


def _rows(runner: Runner, shelf: Rows, statement: Listed, keys: set[str]) -> Iterable[Any]:
    """Rows from memory, then those of the table: what leaves the memory is in the table by then."""
    held = [row for key in keys if (row := shelf.peek(key)) is not None]
    missing = list(keys - {row[0] for row in held})
    return held + (runner.listed(statement, missing) if missing else [])


def _bodies(runner: Runner, ids: Iterable[Any]) -> dict[int, bytes]:
    return {row[0]: row[1] for row in runner.listed(_BODIES, list(ids)) if row[1] is not None}


def _names(runner: Runner, keys: set[str]) -> dict[str, str]:
    return dict(runner.listed(_NAMES, list(keys), kind=PRODUCT))


def _row(
    bodies: dict[int, bytes], before: int | None, order: int | None, products: dict[str, str]
) -> MemoryRow:
    return MemoryRow(*_kept(bodies, before), *_kept(bodies, order), products)


def _kept(bodies: dict[int, bytes], id: int | None) -> tuple[str | None, bytes | None]:
    return (str(id), bodies[id]) if id in bodies else (None, None)


EVENT = (
    event.c.id,
    event.c.source,
    event.c.type,
    event.c.subject,
    event.c.received_at,
    event.c.identity,
    event.c.late,
    event.c.known,
    event.c.before_id,
    event.c.run,
    event.c.okey,
    body.c.body,
)
"""The columns an event on record is made of."""

WITH_BODY = event.join(body, body.c.event_id == event.c.id)
_EVENTS = Listed(
    lambda keys: select(*EVENT).select_from(WITH_BODY).where(event.c.id.in_(keys), body.c.body.is_not(None))
)
_ALIASES = Listed(lambda keys: select(alias.c.alias, alias.c.subject).where(alias.c.alias.in_(keys)))
_SUBJECTS = Listed(
    lambda keys: select(subject.c.subject, subject.c.event_id).where(subject.c.subject.in_(keys))
)
_BODIES = Listed(lambda keys: select(body.c.event_id, body.c.body).where(body.c.event_id.in_(keys)))
_NAMES = Listed(
    lambda keys: select(name.c.key, name.c.value).where(
        name.c.kind == bindparam("kind"), name.c.key.in_(keys)
    )
)
_MEMORY = Statement(
    select(judgement.c.memory)
    .where(judgement.c.event_id == bindparam("number"))
    .order_by(judgement.c.run.desc())
    .limit(number(1))
    .offset(number(0))
)
_decode = msgspec.json.Decoder(_Told).decode
