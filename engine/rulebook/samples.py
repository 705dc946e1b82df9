"""The samples as events of one shop: each with its own time, and with what the other samples tell of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.model import Event, Memory, Payload
from engine.rulebook.frames import to_json
from engine.sources.base import Source, Unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_of(payload: Payload, event_type: str, name: str, source: Source, otherwise: datetime) -> Event:
    """A payload as an event of the source of that name, which arrives when its object last changed.

    Where the payload does not say when that was, it arrives at the moment `otherwise`.
    """
    try:
        reading = source.read(to_json(payload), {})
    except Unreadable:  # a payload that was changed until nobody would send it can still be judged
        return Event("sample", name, event_type, "", payload, otherwise)
    changed = reading.updated_at
    moment = otherwise if changed is None else _EPOCH + timedelta(microseconds=changed)
    return Event("sample", name, event_type, reading.subject, payload, moment, reading.identity.hex())


def beside(event: Event, source: Source, before: Payload | None = None) -> Memory:
    """What is known beside a sample: a sample shipment's order is the sample order, and its lines name products."""
    joins = source.joins(event.type, event.payload)
    order = _order_of(joins.order_of, source) if joins.order_of else None
    return Memory(before, order, _names(source) if joins.products else {})


def _order_of(subject: str, source: Source) -> Payload | None:
    for event_type in source.event_types.values():
        if subject in source.read(to_json(event_type.sample), {}).aliases:
            return event_type.sample
    return None


def _names(source: Source) -> dict[str, str]:
    taught = (source.teaches(name, event_type.sample) for name, event_type in source.event_types.items())
    return {sku: name for names in taught for sku, name in names.items()}
