"""Delivering: what is due is claimed, sent side by side, and each try recorded however it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from time import perf_counter

from engine.actions.base import Action, DeliveryError, Receipt, Services
from engine.language.words import plural
from engine.model import Delivery, DeliveryState
from engine.runtime.clock import Clock, Wait
from engine.runtime.lanes import FAILURES, LANE, Lanes
from engine.runtime.metrics import Metrics
from engine.runtime.persist import faultless, insist
from engine.runtime.retry import Policy, decide
from engine.store.pacing import REST, Paces, unpaced, whole
from engine.store.store import Finished, Store

log = logging.getLogger("shopbell.worker")

SLOTS = 256
"""Deliveries under way at a time."""

IDLE = 1.0
"""Seconds after which due deliveries are looked for though nobody told of any."""

SHORTEST_NAP = 0.005
"""Seconds that are slept at least when nothing could be started."""

TO_ALL = frozenset({"429", "503"})
"""Answers whose wish for a pause is meant for all calls of the connection, not for the one."""

LONGEST_PAUSE = timedelta(hours=1)
"""How long a connection rests at most because the other side asks for it."""

BROKEN = "%s failed %d times in a row; until it works again it is tried every %d seconds, and what is due for it waits: %s"

LONGEST_TRY = 360.0
"""Seconds after which a try is given up, should its action not keep to its own limit."""


class Delivering:
    """Carries out what is due until told to stop."""

    def __init__(
        self,
        store: Store,
        actions: Mapping[str, Action],
        services: Services,
        clock: Clock,
        metrics: Metrics,
        random: Random,
        wait: Wait = asyncio.sleep,
        paces: Paces = unpaced,
    ) -> None:
        self._store = store
        self._actions = actions
        self._services = services
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._wait = wait
        self._paces = paces
        self._lanes = Lanes()
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def take_up(self) -> None:
        """Take up what was under way when the process last ended; to be called before anything is started."""
        asking = frozenset(word for word, action in self._actions.items() if action.on_unsure == "ask")
        for delivery in await insist(lambda: self._store.recover(asking, self._clock()), self._wait):
            log.warning(
                "delivery %d, %s, was under way when the process ended", delivery.id, delivery.connection
            )

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver whatever is due, and at the end let what is under way end; being cancelled cuts that off."""
        try:
            while not stopping.is_set():
                await faultless(self._start_or_sleep, self._wait)
            await self.rest()
        finally:
            await self.cut_off()

    async def _start_or_sleep(self) -> None:
        if not await self.start_some():
            await self._idle()

    async def rest(self) -> None:
        """Wait until nothing is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def cut_off(self) -> None:
        """Let go of what is under way; the next start finds that nobody knows how it went."""
        for task in self._under_way:
            task.cancel()
        await self.rest()

    def wake(self) -> None:
        """Have it look again whether it shall stop."""
        self._ended.set()

    async def start_some(self) -> bool:
        """Claim what is due and start it; whether there was anything."""
        free = SLOTS - len(self._under_way)
        if free <= 0:
            return False
        claimed = await insist(lambda: self._claim(free), self._wait)
        for delivery in claimed:
            self._lanes.began(delivery.connection)
            task = asyncio.create_task(self._deliver(delivery))
            self._under_way.add(task)
            task.add_done_callback(self._end)
        return bool(claimed)

    async def _claim(self, free: int) -> list[Delivery]:
        room = self._lanes.room()
        return await self._store.claim(free, self._clock(), each=LANE, room=room, paces=self._paces)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._ended.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery could not be noted", exc_info=error)

    async def _idle(self) -> None:
        """Sleep until something is due, comes in, or ends, or a connection may be used again."""
        self._ended.clear()
        due = asyncio.create_task(self._store.due_deliveries(timeout=self._nap()))
        ended = asyncio.create_task(self._ended.wait())
        _, rest = await asyncio.wait((due, ended), return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()

    def _nap(self) -> float:
        again = self._store.pacing.room_again
        if again is None:
            return IDLE
        return min(IDLE, max(SHORTEST_NAP, (again - self._clock()).total_seconds()))

    async def _deliver(self, delivery: Delivery) -> None:
        """One try of one delivery, recorded however it ends."""
        began = perf_counter()
        try:
            outcome = await self._outcome(delivery)
            await self._learn(delivery.connection, outcome)
        finally:
            self._lanes.ended(delivery.connection)
        took = int((perf_counter() - began) * 1000)
        finished = self._finished(delivery, outcome, took)
        await insist(lambda: self._store.finish([finished]), self._wait)

    async def _learn(self, connection: str, outcome: Receipt | DeliveryError) -> None:
        """What an outcome says of its connection: that it works, that it does not, that it wants a pause."""
        if isinstance(outcome, Receipt) or outcome.kind == "permanent":
            self._lanes.answered(connection)
            if whole(connection) in self._store.pacing.failing:
                await insist(lambda: self._mended(connection), self._wait)
            return
        if self._lanes.failed(connection) and whole(connection) not in self._store.pacing.failing:
            await insist(lambda: self._broken(connection, str(outcome)), self._wait)
        if outcome.retry_after is not None and outcome.status in TO_ALL:
            until = self._clock() + min(timedelta(seconds=outcome.retry_after), LONGEST_PAUSE)
            await insist(lambda: self._store.pacing.pause(connection, until), self._wait)

    async def _broken(self, connection: str, reason: str) -> None:
        """The one notice of an outage: whoever notes it first in the record gives it."""
        if await self._store.pacing.breaks(connection, reason, self._clock()):
            log.error(BROKEN, whole(connection), FAILURES, REST.seconds, reason)
            self._metrics.connection_broke(whole(connection))

    async def _mended(self, connection: str) -> None:
        since = await self._store.pacing.mends(connection)
        if since is not None:
            log.warning("%s works again, after %s", whole(connection), _about(self._clock() - since))

    async def _outcome(self, delivery: Delivery) -> Receipt | DeliveryError:
        try:
            async with asyncio.timeout(LONGEST_TRY):
                return await self._send(delivery)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError(f"it took more than {LONGEST_TRY:g} seconds", "unsure")
        except Exception:  # a fault of ours: it may have happened before or after the other side took it
            log.exception(
                "delivery %d, %s, failed by a fault of Shopbell's own", delivery.id, delivery.connection
            )
            return DeliveryError(
                "sending it failed, which is a fault of Shopbell's own; the log says where", "unsure"
            )

    async def _send(self, delivery: Delivery) -> Receipt:
        action = self._actions.get(delivery.kind)
        if action is None:
            raise DeliveryError(f'this version has no action "{delivery.kind}"', "setup")
        return await action.deliver(delivery.request, delivery.idempotency_key, self._services)

    def _finished(self, delivery: Delivery, outcome: Receipt | DeliveryError, took: int) -> Finished:
        if isinstance(outcome, Receipt):
            self._metrics.delivered(delivery.kind, "done")
            return Finished(delivery.id, delivery.attempts, "done", outcome.status, outcome.detail, took)
        now = self._clock()
        quiet = whole(delivery.connection) in self._store.pacing.failing
        then = decide(outcome, delivery.attempts, self._policy(delivery), now, self._random.random())
        self._metrics.delivered(delivery.kind, then.state.value)
        level = logging.DEBUG if quiet and then.due_at else logging.WARNING
        log.log(level, "delivery %d, %s, did not arrive: %s", delivery.id, delivery.connection, outcome)
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
        """How often this delivery is tried, and what becomes of it when nobody knows; its request carries what was said."""
        action = self._actions.get(delivery.kind)
        usual = action.on_unsure if action else "ask"
        return Policy.of(delivery.request.get("retry"), delivery.request.get("on_unsure", usual))


def _about(length: timedelta) -> str:
    """A length of time, to the minute where it is long."""
    seconds = int(length.total_seconds())
    return plural(seconds, "second") if seconds < 120 else plural(seconds // 60, "minute")
