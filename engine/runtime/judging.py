"""Judging: new events are taken in batches, looked up, judged in the planner process, and what follows is recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from engine.model import SCHEDULE, Ask, DeliveryState
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import Due, Job, Older, Verdict
from engine.rulebook.frames import Judged as Verdicts
from engine.runtime.clock import Clock, Wait
from engine.runtime.metrics import Metrics
from engine.runtime.persist import PAUSE, faultless, insist
from engine.runtime.planner_process import PlannerDied, PlannerProcess, PlannerUnready
from engine.runtime.recalling import Recalling, job_of
from engine.store.store import Answered, Judged, MemoryRow, NewDelivery, Overtaken, Store, StoredEvent

log = logging.getLogger("shopbell.worker")

BATCH = 50
"""Events judged together."""

ROUNDS = 8
"""How often an event's rules may ask for more of the past."""

STARTS = 3
"""How often an event may bring the planner down before it is set aside."""

IDLE = 1.0
"""Seconds after which events are looked for though nobody told of any."""


OwnDeliveries = Callable[[StoredEvent, datetime], Sequence[NewDelivery]]
"""What is due for an event though no rule says so: the notices of alarms."""


def nothing_own(event: StoredEvent, now: datetime) -> Sequence[NewDelivery]:
    """Nothing is due beside what rules say."""
    return ()


class Judging:
    """Has events judged until told to stop. `book` gives the rulebook in force, `own` what is due beside its rules."""

    def __init__(
        self,
        store: Store,
        planner: PlannerProcess,
        book: Callable[[], Rulebook],
        clock: Clock,
        metrics: Metrics,
        wait: Wait = asyncio.sleep,
        own: OwnDeliveries = nothing_own,
    ) -> None:
        self._store = store
        self._own = own
        self._planner = planner
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._wait = wait
        self._recalling = Recalling(store, wait)

    async def run(self, stopping: asyncio.Event) -> None:
        """Judge whatever comes in; whatever goes wrong with that is told, and judging goes on."""
        while not stopping.is_set():
            await faultless(self._judge_or_sleep, self._wait)

    async def _judge_or_sleep(self) -> None:
        try:
            if not await self.judge_some():
                await self._store.new_events(timeout=IDLE)
        except PlannerUnready as reason:
            log.error("nothing can be judged, and this is tried again every second: %s", reason)
            await self._wait(PAUSE)

    async def judge_some(self) -> bool:
        """Have the oldest events judged that wait; whether there were any. Raises `PlannerUnready`."""
        book = self._book()
        # Only once the planner is there are events counted as started: what brings it down is then one of them.
        await self._planner.warm(book)
        batch = await insist(lambda: self._store.take_new(BATCH, self._clock()), self._wait)
        if not batch:
            return False
        try:
            await self._judge(batch, book)
        except PlannerDied as death:
            await self._died(batch, str(death))
        except PlannerUnready:
            raise
        except Exception:  # a fault of ours over some event must not stop the others: they are tried alone
            log.exception("judging events %s to %s failed", batch[0].id, batch[-1].id)
            await self._died(
                batch, "judging it failed, which is a fault of Shopbell's own; the log says where"
            )
        return True

    async def _judge(self, batch: Sequence[StoredEvent], book: Rulebook) -> None:
        """Have a batch judged and its verdicts recorded, by one rulebook from the first to the last step."""
        for _ in range(ROUNDS):
            with suppress(
                Overtaken
            ):  # another process judged for the same rule: what that remembers is asked anew
                await self._judge_once(batch, book)
                return

    async def _judge_once(self, batch: Sequence[StoredEvent], book: Rulebook) -> None:
        now = self._clock()
        memories = await self._recalling.beside(batch, book)
        asked = [
            _Asked(event, memory, await self._recalling.older(event, book))
            for event, memory in zip(batch, memories, strict=True)
        ]
        verdicts = await self._planner.judge(book, [one.job() for one in asked], now)
        for _ in range(ROUNDS):
            if not any(verdict.asks for verdict in verdicts.verdicts):
                break
            asked = await self._answered(asked, verdicts.verdicts, book)
            verdicts = await self._planner.judge(book, [one.job() for one in asked], now)
        await self._record(asked, verdicts, book, now)

    async def _answered(
        self, asked: Sequence[_Asked], verdicts: Sequence[Verdict], book: Rulebook
    ) -> list[_Asked]:
        """The same events with what their rules asked for. All are judged again: each knows what those before changed."""
        asks = list(dict.fromkeys(ask for verdict in verdicts for ask in verdict.asks))
        answers = await self._recalling.answers(asks)
        told = [
            one.told({ask: answers[ask] for ask in verdict.asks})
            for one, verdict in zip(asked, verdicts, strict=True)
        ]
        return [replace(one, memory=await self._recalling.products(one.memory, book)) for one in told]

    async def _died(self, batch: Sequence[StoredEvent], reason: str) -> None:
        """Events stay new and are tried alone next time; one that has had its chances is set aside."""
        log.error("judging %d events ended badly: %s", len(batch), reason)
        for event in batch:
            if event.starts >= STARTS:
                await self._set_aside(event, f"{reason} ({STARTS} times)")

    async def _set_aside(self, event: StoredEvent, reason: str) -> None:
        await insist(lambda: self._store.set_aside(event.id, reason), self._wait)
        self._metrics.set_aside()

    async def _record(
        self, asked: Sequence[_Asked], verdicts: Verdicts, book: Rulebook, now: datetime
    ) -> None:
        """Record what was said, however long the record takes to be there: asking again would only cost a start."""
        hash = verdicts.rulebook
        pairs = list(zip(asked, verdicts.verdicts, strict=True))
        judged = [
            one.judged(said, hash, now, self._own(one.event, now))
            for one, said in pairs
            if not (said.error or said.asks)
        ]
        await insist(lambda: self._store.keep_rulebook(hash, book.texts, now), self._wait)
        counted = set(await insist(lambda: self._store.record(judged), self._wait)) if judged else set()
        for one, said in pairs:
            if said.error or said.asks:
                await self._set_aside(one.event, said.error or "its rules ask for more and more of the past")
            elif one.event.id in counted:
                self._count(one.event, said)

    def _count(self, event: StoredEvent, verdict: Verdict) -> None:
        if event.late:
            self._metrics.late(event.type)
        for rule, outcome in verdict.outcomes.items():
            self._metrics.outcome(rule, outcome)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An event, what is known beside it when it is judged, and the older text of the rule that waits for it."""

    event: StoredEvent
    memory: MemoryRow
    older: Older | None = None

    def job(self) -> Job:
        """What the planner is handed."""
        return job_of(self.event, self.memory, self.older)

    def told(self, answers: Mapping[Ask, Answered]) -> _Asked:
        """The same with more answers."""
        return replace(self, memory=replace(self.memory, answers={**self.memory.answers, **answers}))

    def judged(
        self, verdict: Verdict, rulebook: str, now: datetime, own: Sequence[NewDelivery] = ()
    ) -> Judged:
        """What is recorded of the verdict, and what is due beside it."""
        about = self.memory.origin or self.event
        return Judged(
            event_id=self.event.id,
            rulebook=rulebook,
            outcomes=verdict.outcomes,
            planned_at=now,
            memory=self.memory,
            deliveries=[*(_new_delivery(due, now, about.okey) for due in verdict.due), *own],
            names={("product", key): name for key, name in verdict.teaches.items()},
            effects=verdict.effects,
            origin="" if about.source == SCHEDULE else about.id,
            about=about.subject,
        )


def _new_delivery(due: Due, now: datetime, okey: str) -> NewDelivery:
    state, reason = DeliveryState.QUEUED, ""
    if due.held:
        state, reason = DeliveryState.HELD, due.held
    if due.suppressed:
        state, reason = DeliveryState.SUPPRESSED, due.suppressed
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
