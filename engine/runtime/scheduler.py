"""The clock of the service: what has fallen due is looked for, and every few minutes old records are let go of."""

from __future__ import annotations

import asyncio
import logging

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.runtime.clock import Clock
from engine.runtime.falling_due import EVERY_SECONDS, FallingDue
from engine.runtime.upkeep import Copies, Keep, look_for_damage, sweep
from engine.store.store import Store, StoreUnavailable

log = logging.getLogger("shopbell.scheduler")

EVERY_MINUTES = 10

COPY_HOURS = 1
"""Hours between two copies of the database, where copies are wanted."""

NIGHT = 3
"""The hour, in UTC, at which the record is looked through for damage."""


class Scheduler:
    """Wakes the sweeps. It keeps nothing itself: what a sweep left undone, the next one does.

    `keep` says how long what is kept; what a person still has to decide on stays. `copies` are made each hour.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        falling_due: FallingDue | None = None,
        *,
        keep: Keep | None = None,
        copies: Copies | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep or Keep()
        self._told = 0
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        # Late is better than never, once is enough, and two at a time would only get in each other's way.
        how = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler.add_job(self.sweep, "interval", minutes=EVERY_MINUTES, **how)
        self._scheduler.add_job(self.look_for_damage, "cron", hour=NIGHT, **how)
        if copies is not None:
            self._scheduler.add_job(self.copy, "interval", [copies], hours=COPY_HOURS, **how)
        if falling_due is not None:
            self._scheduler.add_job(falling_due.tick, "interval", seconds=EVERY_SECONDS, **how)

    def start(self) -> None:
        """Begin to wake."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wake no more."""
        self._scheduler.shutdown(wait=False)

    async def sweep(self) -> None:
        """Let go of what is old, and have the ballast back on the disk once there is room for it."""
        try:
            swept = await sweep(self._store, self._keep, self._clock())
        except StoreUnavailable as reason:
            log.error("the record could not be swept, and is in %d minutes: %s", EVERY_MINUTES, reason)
            return
        if swept.kept > self._told:
            log.warning(
                "%d events older than %d days stay, because somebody has to decide on a delivery of theirs, or "
                "something that goes on with them still waits",
                swept.kept,
                self._keep.events.days,
            )
        self._told = swept.kept
        if self._store.disk is not None:
            await asyncio.to_thread(self._store.disk.load)

    async def copy(self, copies: Copies) -> None:
        """Make a copy of the database."""
        try:
            made = await copies.make(self._clock())
        except StoreUnavailable as reason:
            log.error("no copy of the record could be made, and one is tried in an hour: %s", reason)
        else:
            log.info("a copy of the record was made: %s", made.path)

    async def look_for_damage(self) -> None:
        """Hold what is kept against what was received."""
        try:
            found = await look_for_damage(self._store, self._clock())
        except StoreUnavailable as reason:
            log.error("the record could not be looked through: %s", reason)
            return
        if found:
            log.error(
                "%d events are damaged and were set aside: is the disk sound? `shopbell db check` looks at all of it",
                found,
            )
