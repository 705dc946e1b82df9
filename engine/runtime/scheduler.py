"""The clock of the service: what has fallen due is looked for, and every few minutes old records are let go of."""

from __future__ import annotations

import logging
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.runtime.clock import Clock
from engine.runtime.falling_due import EVERY_SECONDS, FallingDue
from engine.store.store import Store, StoreUnavailable

log = logging.getLogger("shopbell.scheduler")

EVERY_MINUTES = 10

KEEP = timedelta(days=90)
"""How long events, deliveries and unreadable bodies are kept where nothing else is said."""


class Scheduler:
    """Wakes the sweeps. It keeps nothing itself: what a sweep left undone, the next one does.

    `events` and `deliveries` say how long they are kept; what a person still has to decide on stays.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        falling_due: FallingDue | None = None,
        *,
        events: timedelta = KEEP,
        deliveries: timedelta = KEEP,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._deliveries = deliveries
        self._told = 0
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # Late is better than never, once is enough, and two at a time would only get in each other's way.
        how = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler.add_job(self.sweep, "interval", minutes=EVERY_MINUTES, **how)
        if falling_due is not None:
            self._scheduler.add_job(falling_due.tick, "interval", seconds=EVERY_SECONDS, **how)

    def start(self) -> None:
        """Begin to wake."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wake no more."""
        self._scheduler.shutdown(wait=False)

    async def sweep(self) -> None:
        """Let go of what is old, a batch at a time, so that nobody waits long for the disk."""
        try:
            await self._forget_identities()
            await self._purge()
        except StoreUnavailable as reason:
            log.error("the record could not be swept, and is in %d minutes: %s", EVERY_MINUTES, reason)

    async def _forget_identities(self) -> None:
        """Identities whose window has passed: what comes with one then is a new event."""
        while await self._store.purge_identities(self._clock()):
            pass

    async def _purge(self) -> None:
        now = self._clock()
        events, deliveries = now - self._events, now - self._deliveries
        while (purged := await self._store.purge(events, deliveries_before=deliveries)).any:
            pass
        if purged.kept > self._told:
            log.warning(
                "%d events older than %d days stay, because somebody has to decide on a delivery of theirs",
                purged.kept,
                self._events.days,
            )
        self._told = purged.kept
