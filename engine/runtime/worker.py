"""The live loop: judging what came in and delivering what is due, side by side.

A stuck planner holds up no delivery, a slow destination no judging.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from engine.actions.base import Action, Services
from engine.rulebook.book import Rulebook
from engine.runtime.clock import Clock, Wait
from engine.runtime.delivering import Delivering
from engine.runtime.heart import Heart
from engine.runtime.judging import Judging, OwnDeliveries, nothing_own
from engine.runtime.metrics import Metrics
from engine.runtime.planner_process import PlannerProcess
from engine.store.pacing import Paces, unpaced
from engine.store.store import Store

GRACE = 10.0
"""Seconds that what is under way has to end when the service stops."""


class Worker:
    """Judges events and carries out deliveries until told to stop. `book` gives the rulebook in force, `own` what is due
    for an event beside its rules."""

    def __init__(
        self,
        store: Store,
        planner: PlannerProcess,
        actions: Mapping[str, Action],
        services: Services,
        book: Callable[[], Rulebook],
        clock: Clock,
        metrics: Metrics,
        random: Random,
        wait: Wait = asyncio.sleep,
        paces: Paces = unpaced,
        own: OwnDeliveries = nothing_own,
    ) -> None:
        self._store = store
        self._judging = Judging(store, planner, book, clock, metrics, wait, own)
        self._delivering = Delivering(store, actions, services, clock, metrics, random, wait, paces)
        asking = frozenset(word for word, action in actions.items() if action.on_unsure == "ask")
        self._heart = Heart(store, asking, clock, wait)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work until `stop`; what was under way when the process last ended is taken up again first."""
        self._running = asyncio.current_task()
        if self._store.shared:
            await self._heart.beat()
        await self._delivering.take_up()
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._judging.run(self._stopping))
            loops.create_task(self._delivering.run(self._stopping))
            if self._store.shared:
                loops.create_task(self._heart.run(self._stopping))

    async def stop(self, grace: float = GRACE) -> None:
        """Begin nothing new, and give what is under way some seconds to end; what does not is taken up at the next start."""
        self._stopping.set()
        self._store.wake()
        self._delivering.wake()
        if self._running is None:
            return
        await asyncio.wait([self._running], timeout=grace)
        self._running.cancel()
        await asyncio.wait([self._running])
        if self._store.shared:
            await self._heart.leave()
