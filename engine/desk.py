"""Trying rules by hand: an event from a sample, a file or the record, changed as told, and the plan for it.

Reads files and nothing else; sends nothing, writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.language.words import listing, nearest
from engine.model import Event, Memory, Plan
from engine.rulebook.frames import to_json
from engine.rulebook.loader import Language, Loader
from engine.rulebook.planner import plan
from engine.sources.base import Source, Unreadable
from engine.sources.body import parse, repeated_keys
from engine.sources.chord.changes import CannotChange, changed, read_change
from engine.store.store import EventRecord, MemoryRow, Reader


class CannotTry(Exception):
    """The event to try cannot be had; the text says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An event to try, and what is known beside it."""

    event: Event
    memory: Memory


def body_of(words: str, language: Language) -> bytes:
    """The body that `--event` names: an event type's sample, a file, or standard input (`-`)."""
    sample = language.event_types.get(language.renamed.get(words, words))
    if sample is not None:
        return to_json(sample.sample)
    if words == "-":
        return sys.stdin.buffer.read()
    path = Path(words)
    if path.is_file():
        return path.read_bytes()
    near = next(iter(nearest(words, language.event_types)), None)
    mean = f" Did you mean {near}?" if near else ""
    raise CannotTry(
        f'there is no event type and no file called "{words}".{mean} Event types: {listing(language.event_types)}'
    )


def _changed(payload: Mapping[str, Any], event: str, sets: Sequence[str]) -> Mapping[str, Any]:
    """The payload with each `PATH=VALUE` set. Raises `CannotTry`."""
    try:
        return changed(payload, dict(read_change(event, words) for words in sets))  # type: ignore[no-any-return]
    except CannotChange as reason:
        raise CannotTry(str(reason)) from None


def trial(
    body: bytes, language: Language, now: datetime, sets: Sequence[str] = (), name: str = "the event"
) -> Trial:
    """An event to try, read as the receiver would read it. Raises `CannotTry` with the reason when it cannot be."""
    source_name, source = next(iter(language.sources.items()))
    try:
        payload = parse(body)
        if sets:
            payload = _changed(payload, str(payload.get("event_name")), sets)
            body = to_json(payload)
        reading = source.read(body, {})
    except Unreadable as reason:
        raise CannotTry(f"{name} cannot be read: {reason}") from None
    event = Event("sample", source_name, reading.type, reading.subject, payload, now, reading.identity.hex())
    return Trial(event, sample_memory(event, source))


def sample_memory(event: Event, source: Source) -> Memory:
    """What is known beside a sample: the samples belong to one shop, so a sample shipment's order is the sample order."""
    joins = source.joins(event.type, event.payload)
    if not joins.order_of:
        return Memory()
    for event_type in source.event_types.values():
        if joins.order_of in source.read(to_json(event_type.sample), {}).aliases:
            return Memory(order=event_type.sample)
    return Memory()


# the record


@dataclass(frozen=True, slots=True)
class Explained:
    """A recorded event, and the full reasons of the rulebook that judged it, with what was known then."""

    record: EventRecord
    event: Event
    plan: Plan | None
    repeated: tuple[str, ...] = ()


def explain(store: Reader, number: str, language: Language) -> Explained:
    """Everything about a recorded event. Its plan is made again from the rules, the memory and the time of then.

    `plan` is None for an event that has not been judged, or whose body or rules are no longer kept. Raises
    `NotFound`.
    """
    record = store.event(number)
    if record.body is None:
        return Explained(record, _recorded_event(record, {}), None)
    event = _recorded_event(record, parse(record.body))
    repeated = tuple(repeated_keys(record.body))
    kept = store.rulebook(record.rulebook) if record.rulebook else None
    if kept is None or record.planned_at is None:
        return Explained(record, event, None, repeated)
    book = Loader(language).load(kept.texts)
    memory = memory_of(store.memory_of(number))
    return Explained(record, event, plan(event, book, memory, record.planned_at, explain=True), repeated)


def _recorded_event(record: EventRecord, payload: Mapping[str, Any]) -> Event:
    return Event(
        record.id,
        record.source,
        record.type,
        record.subject,
        payload,
        record.received_at,
        record.identity,
        record.late,
        record.arrivals > 1,
    )


def memory_of(row: MemoryRow) -> Memory:
    """What was known of the past, from the bodies it is kept as."""
    return Memory(
        before=parse(row.before_body) if row.before_body is not None else None,
        order=parse(row.order_body) if row.order_body is not None else None,
        products=row.products,
    )


def recorded_trial(store: Reader, number: str, language: Language, sets: Sequence[str]) -> Trial:
    """A recorded event, to be tried with the rules of today and what was known of the past when it was judged."""
    record = store.event(number)
    if record.body is None:
        raise CannotTry(f"the content of event {number} is no longer kept")
    payload = _changed(parse(record.body), record.type, sets)
    return Trial(_recorded_event(record, payload), memory_of(store.memory_of(number)))
