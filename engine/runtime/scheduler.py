"""The clock of sweeps: at their times it asks the record to let go of what it no longer needs."""

from __future__ import annotations

import logging

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.runtime.clock import Clock
from engine.store.store import Store, StoreUnavailable

log = logging.getLogger("shopbell.scheduler")


class Scheduler:
    """Wakes the sweeps. It keeps nothing itself: a sweep that was missed while the service was down runs once."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # Late is better than never, once is enough, and two at a time would only get in each other's way.
        how = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler.add_job(self.forget_identities, "interval", minutes=10, **how)

    def start(self) -> None:
        """Begin to wake."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wake no more."""
        self._scheduler.shutdown(wait=False)

    async def forget_identities(self) -> None:
        """Let go of the identities whose window has passed: what comes then is a new event."""
        try:
            while await self._store.purge_identities(self._clock()):
                pass  # a batch at a time, so that nobody waits long for the disk
        except StoreUnavailable as reason:
            log.error("identities could not be swept: %s", reason)
