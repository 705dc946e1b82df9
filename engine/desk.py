"""Trying rules by hand: an event from a sample, a file or the record, changed as told, and the plan for it.

Reads files and nothing else; sends nothing, writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from engine.language.words import listing, nearest
from engine.model import SCHEDULE, DeliveryState, Event, Memory, Outcome, Plan, PlannedAction
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import from_json, to_json
from engine.rulebook.loader import Loader
from engine.rulebook.planner import answered, plan
from engine.rulebook.samples import event_of
from engine.rulebook.timeline import Armed, Moment, Timeline
from engine.rulebook.vocabulary import Language
from engine.sources.base import Source, Unreadable
from engine.sources.body import parse, repeated_keys
from engine.sources.chord.changes import CannotChange, changed, read_change
from engine.store.store import Answered, EventRecord, MemoryRow, Reader, StoredEvent
from engine.timing.joining import PATIENCE


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


def planned(event: Event, book: Rulebook, memory: Memory, now: datetime, *, explain: bool = True) -> Plan:
    """The plan for an event; of what rules remember, no more is known than the memory says."""
    nothing = Timeline(book)
    made, _ = answered(lambda known: plan(event, book, known, now, explain=explain), memory, nothing.answers)
    return made


def clock_trial(now: datetime) -> Trial:
    """The clock in place of an event."""
    return Trial(Event("sample", SCHEDULE, "clock", "", {}, now), Memory())


def planned_by_clock(book: Rulebook, now: datetime) -> Plan:
    """What the rules that the clock starts would send at a moment, had the samples just happened."""
    timeline = Timeline(book, explain=True)
    timeline.start(now)
    for name, source in book.sources.items():
        for event_type in source.event_types.values():
            if event_type.name in timeline.looked_back_on:
                sample = event_of(event_type.sample, event_type.name, name, source, now)
                timeline.happen(replace(sample, received_at=now))
    clocks = [one for one in timeline.state.timers.values() if one.arm.fresh]
    at_once = [Armed(msgspec.structs.replace(one.arm, due_at=now), one.origin) for one in clocks]
    rules = [rule for one in at_once for rule in timeline.fire(one, now).plan.rules]
    return Plan(tuple(rules), book.hash)


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
    return Explained(record, event, planned(event, book, memory, record.planned_at), repeated)


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
        origin=_stored_event(row.origin) if row.origin is not None else None,
        newest=parse(row.newest_body) if row.newest_body is not None else None,
        answers={ask: _told(answer) for ask, answer in row.answers.items()},
    )


def _told(answer: Answered) -> Any:
    if answer.events is None:
        return from_json(answer.value)
    return tuple(_stored_event(one) for one in answer.events)


def recorded_trial(store: Reader, number: str, sets: Sequence[str]) -> Trial:
    """A recorded event, to be tried with the rules of today and what was known of the past when it was judged."""
    record = store.event(number)
    if record.body is None:
        raise CannotTry(f"the content of event {number} is no longer kept")
    payload = _changed(parse(record.body), record.type, sets)
    memory = memory_of(store.memory_of(number)) if record.planned_at is not None else Memory()
    return Trial(_recorded_event(record, payload), memory)


# the past


@dataclass(slots=True)
class Tally:
    """How often a rule would have answered other than "does not fire", and for which events."""

    fired: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome, event: str) -> None:
        """Count one answer."""
        lists = {Outcome.FIRES: self.fired, Outcome.COULD_NOT_TELL: self.unsure, Outcome.HELD: self.held}
        if outcome in lists:
            lists[outcome].append(event)


def backtest(record: Reader, book: Rulebook, since: datetime) -> tuple[int, dict[str, Tally]]:
    """Judge the recorded events since a time again by a rulebook: their number, and each rule's tally.

    What rules know of the past is what those events themselves said, in their order.
    """
    tallies = {rule.id: Tally() for rule in book.rules}
    timeline = Timeline(book)
    timeline.start(since)
    number, last = 0, since
    after: str | None = None
    while events := record.history(since, after):
        for stored in events:
            number += 1
            event = _stored_event(stored)
            for moment in (*timeline.pass_to(event.received_at), timeline.happen(event)):
                _tally(moment, tallies)
        after, last = events[-1].id, events[-1].received_at
    for moment in timeline.pass_to(last + PATIENCE):
        _tally(moment, tallies)
    return number, tallies


def _tally(moment: Moment, tallies: Mapping[str, Tally]) -> None:
    """Count what the rules say at a moment; what only waits is counted once its time has come."""
    for rule in moment.plan.rules:
        if rule.outcome is Outcome.HELD and rule.waits_until is not None:
            continue
        waits = any(action.held for action in rule.actions)
        tallies[rule.id].count(Outcome.HELD if waits else rule.outcome, _cause(moment.event))


def _cause(event: Event) -> str:
    """The number of the event that something goes back to; for a clock, its time."""
    said = event.payload.get(SCHEDULE) if event.source == SCHEDULE else None
    return (said["event"] or said["due_at"]) if said else event.id


def _stored_event(stored: StoredEvent) -> Event:
    return Event(
        stored.id,
        stored.source,
        stored.type,
        stored.subject,
        parse(stored.body),
        stored.received_at,
        stored.identity,
        stored.late,
    )


SENT = (DeliveryState.QUEUED, DeliveryState.RUNNING, DeliveryState.DONE)
"""Deliveries that went out or will: judging their event again makes no second one."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What judging a recorded event again would do: the plan of today, and which of its messages went out before."""

    number: str
    event: Event
    plan: Plan
    sent: frozenset[str]
    resend: bool

    def again(self, action: PlannedAction) -> bool:
        """Whether a message would be sent, although or because it went out before."""
        return self.resend or action.idempotency_key not in self.sent


def preview(record: Reader, number: str, book: Rulebook, resend: bool) -> Preview:
    """What judging a recorded event again by a rulebook would do. Raises `CannotTry` and `NotFound`."""
    tried = recorded_trial(record, number, ())
    today = planned(tried.event, book, tried.memory, datetime.now(UTC), explain=False)
    made = record.deliveries(event=number, limit=1000).items
    sent = frozenset(one.idempotency_key for one in made if one.state in SENT)
    return Preview(number, tried.event, today, sent, resend)
