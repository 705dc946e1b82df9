"""Judging and delivering go on side by side, neither ends by a fault, and both end in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine import sources
from engine.actions.base import Action, Receipt, Rendered
from engine.model import DeliveryState, EventState
from engine.rulebook.frames import Due, Job, Judged, Verdict
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language
from engine.runtime.metrics import Metrics
from engine.runtime.worker import Worker
from engine.store.store import Arrival, Store

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
BOOK = Loader(Language(sources.found(), {})).load({})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Planner:
    """Gives each event one delivery, and none at all while it is stuck."""

    stuck: bool = False
    asked: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def warm(self, book: object) -> None:
        pass

    async def judge(self, book: Any, jobs: list[Job], now: datetime) -> Judged:
        self.asked += 1
        if self.stuck:
            await self.free.wait()
        verdicts = [
            Verdict(
                job.event.id,
                {},
                [Due("r", 1, "call", "erp", "call/erp", b'{"to":"erp"}', f"{job.event.id}-r-1")],
            )
            for job in jobs
        ]
        return Judged(BOOK.hash, verdicts)


class Call(Action):
    """Notes what it sends; `gate`, where there is one, holds it up."""

    fields = ()

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.gate: asyncio.Event | None = None

    def render(self, values: Any, scope: Any, destinations: Any) -> tuple[Rendered, ...]:
        raise NotImplementedError

    async def deliver(self, request: Mapping[str, Any], key: str, services: Any) -> Receipt:
        self.sent.append(key)
        if self.gate:
            await self.gate.wait()
        return Receipt("200")


@dataclass
class Shop:
    """A worker at work over a store."""

    store: Store
    planner: Planner = field(default_factory=Planner)
    call: Call = field(default_factory=Call)

    def __post_init__(self) -> None:
        async def wait(seconds: float) -> None:
            await asyncio.sleep(0)

        self.worker = Worker(
            self.store,
            self.planner,
            {"call": self.call},
            None,
            lambda: BOOK,
            lambda: NOW,
            Metrics(),
            Random(1),
            wait,  # type: ignore[arg-type]
        )
        self.task = asyncio.create_task(self.worker.run())

    async def arrives(self, name: str) -> str:
        arrival = Arrival(
            source="chord", type="order_completed", subject=f"order:{name}", body=b"{}",
            identity=sha256(name.encode()).digest(), window=timedelta(days=7),
        )  # fmt: skip
        return (await self.store.append(arrival, NOW)).id

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    store = await Store.open(f"sqlite:///{tmp_path}/shop.db")
    shop = Shop(store)
    yield shop
    await shop.worker.stop(grace=0)
    await asyncio.gather(shop.task, return_exceptions=True)
    await store.close()


async def test_an_event_becomes_a_delivery_and_the_delivery_goes_out(shop: Shop) -> None:
    id = await shop.arrives("R1")
    await shop.until(lambda: shop.call.sent == [f"{id}-r-1"])
    await shop.worker.stop()
    assert (await shop.store.event(id)).state is EventState.EVALUATED
    assert [one.state for one in (await shop.store.deliveries()).items] == [DeliveryState.DONE]


async def test_a_stuck_planner_holds_up_no_delivery(shop: Shop) -> None:
    shop.call.gate = asyncio.Event()
    first = await shop.arrives("R1")
    await shop.until(lambda: len(shop.call.sent) == 1)
    shop.planner.stuck = True
    await shop.arrives("R2")
    await shop.until(lambda: shop.planner.asked == 2)
    shop.call.gate.set()
    retried = await shop.store.deliveries(event=first)
    await shop.until(lambda: not shop.worker._delivering._under_way)
    assert (await shop.store.delivery(retried.items[0].id)).delivery.state is DeliveryState.DONE


async def test_a_slow_destination_holds_up_no_judging(shop: Shop) -> None:
    shop.call.gate = asyncio.Event()
    await shop.arrives("R1")
    await shop.until(lambda: len(shop.call.sent) == 1)
    await shop.arrives("R2")
    await shop.until(lambda: len(shop.call.sent) == 2)
    shop.call.gate.set()


async def test_a_fault_of_ours_in_either_loop_is_told_and_the_loop_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = {"take_new": 2, "claim": 2}
    for name in faults:
        whole = getattr(shop.store, name)

        async def faulty(*args: Any, name: str = name, whole: Any = whole, **more: Any) -> Any:
            if faults[name]:
                faults[name] -= 1
                raise ArithmeticError(f"in {name}")
            return await whole(*args, **more)

        monkeypatch.setattr(shop.store, name, faulty)
    await shop.arrives("R1")
    await shop.until(lambda: len(shop.call.sent) == 1)
    assert not shop.task.done()
    assert {"in take_new", "in claim"} <= {
        str(record.exc_info[1]) for record in caplog.records if record.exc_info
    }


async def test_stopping_waits_for_what_is_under_way_and_no_longer_than_its_grace(shop: Shop) -> None:
    shop.call.gate = asyncio.Event()
    await shop.arrives("R1")
    await shop.until(lambda: len(shop.call.sent) == 1)
    shop.planner.stuck = True
    late = await shop.arrives("R2")
    await shop.until(lambda: shop.planner.asked == 2)
    await shop.worker.stop(grace=0.05)
    assert shop.task.done()
    assert [one.state for one in (await shop.store.deliveries()).items] == [DeliveryState.RUNNING]
    assert (await shop.store.event(late)).state is EventState.NEW


async def test_stopping_an_idle_worker_takes_no_grace(shop: Shop) -> None:
    await shop.arrives("R1")
    await shop.until(lambda: len(shop.call.sent) == 1)
    async with asyncio.timeout(5):
        await shop.worker.stop(grace=60)
    assert shop.task.done()
    assert shop.task.exception() is None


async def test_a_worker_that_was_never_started_can_be_stopped(shop: Shop) -> None:
    async with asyncio.timeout(5):
        await Worker(
            shop.store,
            shop.planner,
            {},
            None,
            lambda: BOOK,
            lambda: NOW,
            Metrics(),
            Random(1),  # type: ignore[arg-type]
        ).stop()
