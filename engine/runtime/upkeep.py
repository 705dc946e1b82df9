"""Upkeep of the record: letting go of what is old, erasing people, copies, and looking for damage.

The scheduler does it by the clock, people by the command line; both say it with the same words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from engine.store.backup import KEEP as KEEP_COPIES
from engine.store.backup import Copy, back_up
from engine.store.people import Person, Traced
from engine.store.store import Purged, Store

log = logging.getLogger("shopbell.upkeep")

DAYS_90 = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Keep:
    """How long events, settled deliveries and the content of events are kept; None: the content as long as its event."""

    events: timedelta = DAYS_90
    deliveries: timedelta = DAYS_90
    bodies: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """Where copies of the database go, and how many are kept."""

    database: Path
    folder: Path
    keep: int = KEEP_COPIES

    async def make(self, now: datetime) -> Copy:
        """Make one. Raises `StoreUnavailable`."""
        return await asyncio.to_thread(back_up, self.database, self.folder, now, self.keep)


@dataclass(frozen=True, slots=True)
class Swept:
    """How much went of each kind; `kept` old events stay, because somebody has to decide or something waits."""

    events: int = 0
    deliveries: int = 0
    quarantined: int = 0
    bodies: int = 0
    remembered: int = 0
    kept: int = 0


async def sweep(store: Store, keep: Keep, now: datetime) -> Swept:
    """Let go of what is old, a batch at a time, so that nobody waits long for the disk."""
    remembered = bodies = 0
    while gone := await store.purge_identities(now):
        remembered += gone
    if keep.bodies is not None:
        while gone := await store.purge_bodies(now - keep.bodies):
            bodies += gone
    total = Purged(0, 0, 0, 0)
    while (some := await store.purge(now - keep.events, deliveries_before=now - keep.deliveries)).any:
        total = Purged(
            total.events + some.events,
            total.deliveries + some.deliveries,
            total.quarantined + some.quarantined,
            0,
        )
    return Swept(total.events, total.deliveries, total.quarantined, bodies, remembered, some.kept)


def swept_words(swept: Swept) -> str:
    """What went, and what stays although it is old, for people."""
    went = (
        f"{swept.events} events, {swept.deliveries} deliveries, {swept.bodies} contents, {swept.quarantined} unreadable "
        f"bodies and {swept.remembered} remembered things went"
    )
    if not swept.kept:
        return went
    return (
        f"{went}; {swept.kept} old events stay, because somebody has to decide on a delivery of theirs (`shopbell "
        "deliveries list --state held`, also failed and dead), or something that goes on with them still waits"
    )


async def erase(store: Store, person: Person, fields: Collection[str], now: datetime) -> str:
    """Erase a person; what was done, for people. Raises `StillRead`."""
    erased = await store.people.erase(person, fields, now)
    said = f"{traced_words(erased)}: erased"
    if erased.unsent:
        said += f"; {erased.unsent} messages still to be sent were cancelled"
    if erased.under_way:
        said += (
            f"; {erased.under_way} are being sent at this moment: erase again in a while, for their answers"
        )
    return said


def traced_words(traced: Traced) -> str:
    """How much names a person, by kind."""
    if not traced.number:
        return "nothing"
    return ", ".join(f"{number} in {_KINDS.get(name, name)}" for name, number in traced.rows.items())


_KINDS = {
    "body": "contents of events",
    "event": "events",
    "delivery": "deliveries",
    "request": "messages",
    "attempt": "answers to messages",
    "quarantine": "unreadable bodies",
    "judgement": "judgements",
    "timer": "what waits",
    "cell": "what rules remember",
    "name": "names",
}


async def look_for_damage(store: Store, now: datetime) -> int:
    """Hold every event against the hash of its content, some at a time; the damaged ones are set aside. Their number."""
    found = 0
    after: int | None = 0
    while after is not None:
        damaged, after = await store.integrity.slice(after)
        for number in damaged:
            found += await store.integrity.set_aside(number, now)
    return found
