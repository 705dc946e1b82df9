"""What is known beside an event, looked up for many events with a few statements, and looked up again as it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from engine.store.known import Known, Shelf
from engine.store.sql import Listed, Runner, Statement, number
from engine.store.tables import alias, body, judgement, name, subject
from engine.store.values import MemoryRow, NotFound, Wanted

PRODUCT = "product"
"""The kind of names that products have, by their SKU."""


def memories(runner: Runner, known: Known, wanted: Sequence[Wanted]) -> list[MemoryRow]:
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


def memory_of(runner: Runner, event_id: int) -> MemoryRow:
    """What the planner was told of the past when it last judged an event, as far as that is still kept."""
    rows = runner.rows(_MEMORY, number=event_id)
    if not rows:
        raise NotFound(f"Event {event_id} has not been judged.")
    told = msgspec.json.decode(rows[0][0])
    before, order = told.get("before"), told.get("order")
    bodies = _bodies(runner, {before, order} - {None})
    return _row(bodies, before, order, told.get("products", {}))


def _orders(runner: Runner, known: Known, others: set[str]) -> dict[str, int]:
    """The newest event of the subject that each belongs to."""
    owners = {row[0]: row[1] for row in _rows(runner, known.aliases, _ALIASES, others)}
    states = {row[0]: row[1] for row in _rows(runner, known.subjects, _SUBJECTS, set(owners.values()))}
    return {other: states[owner] for other, owner in owners.items() if states.get(owner)}


def _rows(runner: Runner, shelf: Shelf, statement: Listed, keys: set[str]) -> Iterable[Any]:
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
