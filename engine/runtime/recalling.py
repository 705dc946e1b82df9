"""What rules may know of the past, looked up before events are judged, and when a rule asks for more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from engine.model import SCHEDULE, Ask
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import Job, Kept, Known, Older
from engine.runtime.clock import Wait
from engine.runtime.persist import insist
from engine.sources.body import parse
from engine.store.store import Answered, MemoryRow, NotFound, Store, StoredEvent, Wanted


class Recalling:
    """Looks things up for judging, however long the record takes to be there."""

    def __init__(self, store: Store, wait: Wait = asyncio.sleep) -> None:
        self._store = store
        self._wait = wait
        self._books: dict[str, Mapping[str, str]] = {}

    async def beside(self, batch: Sequence[StoredEvent], book: Rulebook) -> list[MemoryRow]:
        """What is known beside each event, as far as a rule looks at it."""
        origins = await self._origins(batch)
        about = [origins.get(event.id, event) for event in batch]
        rows = await self._memories(about, book)
        newest = await self._newest([one.subject for one in origins.values()])
        return [
            self._of_schedule(row, origins[event.id], newest) if event.id in origins else row
            for event, row in zip(batch, rows, strict=True)
        ]

    async def _origins(self, batch: Sequence[StoredEvent]) -> dict[str, StoredEvent]:
        """The events that those of the schedule go on with, by the number of the latter."""
        going_on = {
            event.id: origin
            for event in batch
            if event.source == SCHEDULE and (origin := said(event).get("event"))
        }
        if not going_on:
            return {}
        found = await insist(lambda: self._store.times.origins(list(going_on.values())), self._wait)
        return {id: found[origin] for id, origin in going_on.items() if origin in found}

    async def _memories(self, about: Sequence[StoredEvent], book: Rulebook) -> list[MemoryRow]:
        wanted: list[Wanted] = []
        for event in about:
            wants = book.wants(event.source, event.type, partial(parse, event.body))
            wanted.append((event, wants.before, wants.joins.order_of, wants.joins.products))
        if not any(before or order or products for _, before, order, products in wanted):
            return [MemoryRow()] * len(about)
        return await insist(lambda: self._store.memories(wanted), self._wait)

    async def _newest(self, subjects: Sequence[str]) -> Mapping[str, tuple[str, bytes]]:
        if not subjects:
            return {}
        return await insist(lambda: self._store.times.newest(subjects), self._wait)

    def _of_schedule(
        self, row: MemoryRow, origin: StoredEvent, newest: Mapping[str, tuple[str, bytes]]
    ) -> MemoryRow:
        event, body = newest.get(origin.subject, (None, None))
        return replace(row, origin=origin, newest_event=event, newest_body=body)

    async def answers(self, asks: Sequence[Ask]) -> Mapping[Ask, Answered]:
        """What the record answers to rules."""
        return await insist(lambda: self._store.times.answers(asks), self._wait)

    async def products(self, row: MemoryRow, book: Rulebook) -> MemoryRow:
        """The same memory with the product names beside the events that were collected, as far as they are known."""
        events = [event for answer in row.answers.values() for event in answer.events or ()]
        if not events:
            return row
        rows = await self._memories(events, book)
        names = {sku: name for one in rows for sku, name in one.products.items()}
        return replace(row, products={**names, **row.products})

    async def older(self, event: StoredEvent, book: Rulebook) -> Older | None:
        """The text of the rule that waits for an event of the schedule, where it is another one today."""
        if event.source != SCHEDULE:
            return None
        facts = said(event)
        texts = await self._texts(str(facts.get("rulebook", "")), book)
        files = (f"{facts.get('rule')}.yaml", f"{facts.get('rule')}.yml")
        file = next((name for name in files if name in texts), None)
        return Older(file, texts[file]) if file is not None and texts[file] != book.texts.get(file) else None

    async def _texts(self, hash: str, book: Rulebook) -> Mapping[str, str]:
        if hash == book.hash:
            return book.texts
        if hash not in self._books:
            try:
                kept = await insist(lambda: self._store.rulebook(hash), self._wait)
            except NotFound:
                return {}
            self._books.clear()  # what waits together was mostly made by the same rules
            self._books[hash] = kept.texts
        return self._books[hash]


def said(event: StoredEvent) -> Mapping[str, str]:
    """What an event of the schedule says fell due."""
    facts = parse(event.body).get(SCHEDULE)
    return facts if isinstance(facts, Mapping) else {}


def kept(event: StoredEvent) -> Kept:
    """An event on record as the planner is handed it."""
    return Kept(
        event.id,
        event.source,
        event.type,
        event.subject,
        event.received_at,
        event.identity,
        event.late,
        event.body,
    )


def job_of(event: StoredEvent, memory: MemoryRow, older: Older | None) -> Job:
    """What the planner is handed to judge an event."""
    return Job(
        event=kept(event),
        before=memory.before_body,
        order=memory.order_body,
        products=dict(memory.products),
        origin=kept(memory.origin) if memory.origin is not None else None,
        newest=memory.newest_body,
        older=older,
        answers=[known(ask, answer) for ask, answer in memory.answers.items()],
    )


def known(ask: Ask, answer: Answered) -> Known:
    """An answer as the planner is handed it."""
    events = None if answer.events is None else [kept(event) for event in answer.events]
    return Known(ask, answer.value, events)
