"""The live loop: takes new events, has them judged, and carries out what is due, each delivery by itself.

Judging and delivering run side by side: a stuck planner holds up no delivery, a slow destination no judging.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from time import perf_counter

from engine.actions.base import Action, DeliveryError, Receipt, Services
from engine.model import Delivery, DeliveryState
from engine.rulebook.book import Rulebook, Wants
from engine.rulebook.frames import Due, Job, Judged as Verdicts, Verdict
from engine.runtime import retry
from engine.runtime.clock import Clock
from engine.runtime.metrics import Metrics
from engine.runtime.planner_process import PlannerDied, PlannerProcess
from engine.sources.body import parse
from engine.store.store import Finished, Judged, NewDelivery, Store, StoredEvent, StoreUnavailable

log = logging.getLogger("shopbell.worker")

BATCH = 50
"""Events judged together."""

LANE = 16
"""Deliveries to one connection at a time: a destination that hangs takes no more than these."""

SLOTS = 128
"""Deliveries at a time."""

STARTS = 3
"""How often an event may bring the planner down before it is set aside."""

PAUSE = 1.0
"""Seconds to wait when the store could not be reached."""


class Worker:
    """Judges events and carries out deliveries until told to stop.

    `book` gives the rulebook in force.
    """

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
    ) -> None:
        self._store = store
        self._planner = planner
        self._actions = actions
        self._services = services
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._stopping = asyncio.Event()
        self._running: dict[asyncio.Task[None], str] = {}
        self._lanes: Counter[str] = Counter()
        self._free = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`; what was under way when the process last ended is taken up again first."""
        await self._take_up()
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._judging())
            loops.create_task(self._delivering())

    async def stop(self, grace: float = 10.0) -> None:
        """Begin nothing new, and give deliveries under way some seconds to end."""
        self._stopping.set()
        self._free.set()
        self._store.wake()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()

    async def _take_up(self) -> None:
        asking = frozenset(word for word, action in self._actions.items() if action.on_unsure == "ask")
        for delivery in await self._store.recover(asking, self._clock()):
            log.warning("delivery %s to %s was under way when the process ended", delivery.id, delivery.to)

    # judging

    async def _judging(self) -> None:
        while not self._stopping.is_set():
            try:
                if not await self._judge_some():
                    await self._store.new_events(timeout=1.0)
            except StoreUnavailable as reason:
                log.error("the record cannot be reached: %s", reason)
                await asyncio.sleep(PAUSE)

    async def _judge_some(self) -> bool:
        taken = await self._store.take_new(BATCH, self._clock())
        fresh = [event for event in taken if event.starts <= 1]
        for batch in ([fresh] if fresh else []) + [[event] for event in taken if event.starts > 1]:
            await self._judge(batch)
        return bool(taken)

    async def _judge(self, batch: Sequence[StoredEvent]) -> None:
        """Have a batch judged and its verdicts recorded, by one rulebook from the first to the last step."""
        book, now = self._book(), self._clock()
        jobs = await self._jobs(batch, book)
        try:
            verdicts = await self._planner.judge(book, jobs, now)
        except PlannerDied as death:
            await self._died(batch, str(death))
            return
        await self._record(batch, verdicts, book, now)

    async def _jobs(self, batch: Sequence[StoredEvent], book: Rulebook) -> list[Job]:
        wants = [_wants(event, book) for event in batch]
        memories = await self._store.memories(
            [(e, w.before, w.joins.order_of, w.joins.products) for e, w in zip(batch, wants, strict=True)]
        )
        return [
            Job(
                id=event.id,
                source=event.source,
                type=event.type,
                subject=event.subject,
                received_at=event.received_at,
                identity=event.identity,
                late=event.late,
                body=event.body,
                before=memory.before_body,
                order=memory.order_body,
                products=dict(memory.products),
            )
            for event, memory in zip(batch, memories, strict=True)
        ]

    async def _died(self, batch: Sequence[StoredEvent], reason: str) -> None:
        """Events stay new and are tried alone next time; one that has had its chances is set aside."""
        log.error("judging %d events ended badly: %s", len(batch), reason)
        for event in batch:
            if event.starts >= STARTS:
                await self._store.set_aside(event.id, f"{reason}, {STARTS} times")
                self._metrics.set_aside()

    async def _record(
        self, batch: Sequence[StoredEvent], verdicts: Verdicts, book: Rulebook, now: datetime
    ) -> None:
        await self._store.keep_rulebook(book.hash, book.texts, now)
        judged = []
        for event, verdict in zip(batch, verdicts.verdicts, strict=True):
            if verdict.error:
                log.error("event %s could not be judged: %s", event.id, verdict.error)
                await self._store.set_aside(event.id, verdict.error)
                self._metrics.set_aside()
                continue
            judged.append(_judged(event, verdict, verdicts.rulebook, now))
            for rule, outcome in verdict.outcomes.items():
                self._metrics.outcome(rule, outcome)
        await self._store.record(judged)

    # delivering

    async def _delivering(self) -> None:
        while not self._stopping.is_set():
            try:
                if not await self._deliver_some():
                    await self._idle()
            except StoreUnavailable as reason:
                log.error("the record cannot be reached: %s", reason)
                await asyncio.sleep(PAUSE)

    async def _deliver_some(self) -> bool:
        """Claim what is due and start it; whether anything was."""
        free = min(SLOTS - len(self._running), LANE)
        if free <= 0:
            return False
        busy = frozenset(name for name, under_way in self._lanes.items() if under_way >= LANE)
        claimed = await self._store.claim(free, self._clock(), busy)
        for delivery in claimed:
            self._lanes[delivery.connection] += 1
            task = asyncio.create_task(self._deliver(delivery))
            self._running[task] = delivery.connection
            task.add_done_callback(self._ended)
        return bool(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._lanes[self._running.pop(task)] -= 1
        self._free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery ended unexpectedly", exc_info=error)

    async def _idle(self) -> None:
        """Sleep until something is due, comes in, or ends."""
        self._free.clear()
        due = asyncio.create_task(self._store.due_deliveries(timeout=1.0))
        free = asyncio.create_task(self._free.wait())
        _, rest = await asyncio.wait((due, free), return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()

    async def _deliver(self, delivery: Delivery) -> None:
        """One try of one delivery, recorded however it ends."""
        began = perf_counter()
        try:
            outcome: Receipt | DeliveryError = await self._send(delivery)
        except DeliveryError as error:
            outcome = error
        took = int((perf_counter() - began) * 1000)
        await self._store.finish([self._finished(delivery, outcome, took)])

    async def _send(self, delivery: Delivery) -> Receipt:
        action = self._actions.get(delivery.kind)
        if action is None:
            raise DeliveryError(f'this version has no action "{delivery.kind}"', "setup")
        return await action.deliver(delivery.request, delivery.idempotency_key, self._services)

    def _finished(self, delivery: Delivery, outcome: Receipt | DeliveryError, took: int) -> Finished:
        if isinstance(outcome, Receipt):
            self._metrics.delivered(delivery.kind, "done")
            return Finished(delivery.id, delivery.attempts, "done", outcome.status, outcome.detail, took)
        then = retry.decide(outcome, delivery.attempts, self._policy(delivery), self._clock(), self._random)
        self._metrics.delivered(delivery.kind, then.state.value)
        log.warning("delivery %s to %s: %s", delivery.id, delivery.to, outcome)
        return Finished(
            delivery.id,
            delivery.attempts,
            "retry" if then.state is DeliveryState.QUEUED else "failed",
            outcome.status,
            outcome.detail,
            took,
            due_at=then.due_at,
            state=then.state,
            reason=then.reason,
        )
