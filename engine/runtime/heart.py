"""Signs of life where several processes share the record: each says it is at work, and takes up what dead ones left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from engine.runtime.clock import Clock, Wait
from engine.runtime.persist import PAUSE, faultless
from engine.store.store import Store, StoreUnavailable

log = logging.getLogger("shopbell.worker")


class Heart:
    """Beats until told to stop. `asking` are the kinds of deliveries that are not sent again by themselves."""

    def __init__(
        self, store: Store, asking: Collection[str], clock: Clock, wait: Wait = asyncio.sleep
    ) -> None:
        self._store = store
        self._asking = asking
        self._clock = clock
        self._wait = wait

    async def run(self, stopping: asyncio.Event) -> None:
        """Beat every second; a record that cannot be reached is told by those who work with it."""
        while not stopping.is_set():
            await faultless(self.beat, self._wait)
            await self._wait(PAUSE)

    async def beat(self) -> None:
        """Say that this process is at work, and take up what those had under way who are dead."""
        try:
            taken = await self._store.beat(self._asking, self._clock())
        except StoreUnavailable:
            return
        for delivery in taken:
            log.warning(
                "delivery %d, %s, was under way in a process that ended", delivery.id, delivery.connection
            )

    async def leave(self) -> None:
        """Hand back what this process still has in its hands, because it ends."""
        try:
            await self._store.leave(self._asking, self._clock())
        except StoreUnavailable as reason:
            log.warning("others take up what is left here in some seconds: %s", reason)
