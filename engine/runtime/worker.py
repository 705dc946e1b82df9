"""The live loop: takes new events, has them judged, and carries out what is due, each delivery by itself.

Judging and delivering run side by side: a stuck planner holds up no delivery, a slow destination no judging.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from time import perf_counter

from engine.actions.base import Action, DeliveryError, Receipt, Services
from engine.model import Delivery, DeliveryState
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import Due, Job, Verdict
from engine.rulebook.frames import Judged as Verdicts
from engine.runtime.clock import Clock
from engine.runtime.metrics import Metrics
from engine.runtime.planner_process import PlannerDied, PlannerProcess
from engine.runtime.retry import Policy, decide
from engine.sources.body import parse
from engine.store.store import (
    Finished,
    Judged,
    MemoryRow,
    NewDelivery,
    Store,
    StoredEvent,
    StoreUnavailable,
)

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
            log.warning("delivery %s was under way when the process ended", delivery.id)

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
        asked = [
            _Asked(event, memory)
            for event, memory in zip(batch, await self._memories(batch, book), strict=True)
        ]
        try:
            verdicts = await self._planner.judge(book, [one.job() for one in asked], now)
        except PlannerDied as death:
            await self._died(batch, str(death))
            return
        await self._record(asked, verdicts, book, now)

    async def _memories(self, batch: Sequence[StoredEvent], book: Rulebook) -> list[MemoryRow]:
        wanted = []
        for event in batch:
            wants = book.wants(event.source, event.type, lambda body=event.body: parse(body))  # type: ignore[misc]
            wanted.append((event, wants.before, wants.joins.order_of, wants.joins.products))
        return await self._store.memories(wanted)

    async def _died(self, batch: Sequence[StoredEvent], reason: str) -> None:
        """Events stay new and are tried alone next time; one that has had its chances is set aside."""
        log.error("judging %d events ended badly: %s", len(batch), reason)
        for event in batch:
            if event.starts >= STARTS:
                await self._set_aside(event, f"{reason}, {STARTS} times")

    async def _set_aside(self, event: StoredEvent, reason: str) -> None:
        await self._store.set_aside(event.id, reason)
        self._metrics.set_aside()

    async def _record(
        self, asked: Sequence[_Asked], verdicts: Verdicts, book: Rulebook, now: datetime
    ) -> None:
        await self._store.keep_rulebook(verdicts.rulebook, book.texts, now)
        judged = []
        for one, verdict in zip(asked, verdicts.verdicts, strict=True):
            if verdict.error:
                await self._set_aside(one.event, verdict.error)
                continue
            judged.append(one.judged(verdict, verdicts.rulebook, now, self._okey(one)))
            self._count(one.event, verdict)
        await self._store.record(judged)

    def _count(self, event: StoredEvent, verdict: Verdict) -> None:
        if event.late:
            self._metrics.late(event.type)
        for rule, outcome in verdict.outcomes.items():
            self._metrics.outcome(rule, outcome)

    def _okey(self, one: _Asked) -> str:
        """What keeps deliveries in order: the order that an event belongs to where it is known, else its subject."""
        source = self._book().sources.get(one.event.source)
        if one.memory.order_body is None or source is None:
            return one.event.subject
        return source.read(one.memory.order_body, {}).subject

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
        free = SLOTS - len(self._running)
        if free <= 0:
            return False
        busy = frozenset(name for name, under_way in self._lanes.items() if under_way >= LANE)
        claimed = await self._store.claim(free, self._clock(), busy, each=LANE)
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
        then = decide(
            outcome, delivery.attempts, self._policy(delivery), self._clock(), self._random.random()
        )
        self._metrics.delivered(delivery.kind, then.state.value)
        log.warning("delivery %s by %s: %s", delivery.id, delivery.connection, outcome)
        return Finished(
            delivery.id,
            delivery.attempts,
            "retry" if then.state is DeliveryState.QUEUED else "failed",
            outcome.status,
            outcome.detail or str(outcome),
            took,
            due_at=then.due_at,
            state=then.state,
            reason=then.reason,
        )

    def _policy(self, delivery: Delivery) -> Policy:
        """How often this delivery is tried; what its rule said of that travels in its request."""
        action = self._actions.get(delivery.kind)
        usual = action.on_unsure if action else "ask"
        return Policy.of(delivery.request.get("retry"), delivery.request.get("on_unsure", usual))


@dataclass(frozen=True, slots=True)
class _Asked:
    """An event, and what is known beside it when it is judged."""

    event: StoredEvent
    memory: MemoryRow

    def job(self) -> Job:
        """What the planner is handed."""
        return Job(
            id=self.event.id,
            source=self.event.source,
            type=self.event.type,
            subject=self.event.subject,
            received_at=self.event.received_at,
            identity=self.event.identity,
            late=self.event.late,
            body=self.event.body,
            before=self.memory.before_body,
            order=self.memory.order_body,
            products=dict(self.memory.products),
        )

    def judged(self, verdict: Verdict, rulebook: str, now: datetime, okey: str) -> Judged:
        """What is recorded of the verdict."""
        return Judged(
            event_id=self.event.id,
            rulebook=rulebook,
            outcomes=verdict.outcomes,
            planned_at=now,
            memory=self.memory,
            deliveries=[_new_delivery(due, now, okey) for due in verdict.due],
            names={("product", key): name for key, name in verdict.teaches.items()},
        )


def _new_delivery(due: Due, now: datetime, okey: str) -> NewDelivery:
    state, reason = DeliveryState.QUEUED, ""
    if due.held:
        state, reason = DeliveryState.HELD, due.held
    if due.test:
        state, reason = DeliveryState.SUPPRESSED, "the rule is in mode test"
    return NewDelivery(
        rule=due.rule,
        action=due.action,
        kind=due.kind,
        to=due.to,
        connection=due.connection,
        request_json=due.request,
        state=state,
        due_at=now,
        okey=okey if due.ordered else None,
        idempotency_key=due.key,
        reason=reason,
    )
