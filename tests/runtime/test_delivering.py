"""Each delivery goes out by itself, is tried again at its time, and is recorded however its try ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.actions.base import Action, DeliveryError, OnUnsure, Receipt, Rendered
from engine.model import DeliveryState
from engine.rulebook.frames import to_json
from engine.runtime.delivering import Delivering
from engine.runtime.lanes import FAILURES, LANE
from engine.runtime.metrics import Metrics
from engine.store.pacing import REST
from engine.store.store import Arrival, Judged, NewDelivery, Store, StoreUnavailable

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
BUSY = DeliveryError("erp answered 503", "temporary", status="503")
REFUSED = DeliveryError("erp answered 422", "permanent", status="422", detail="unknown currency")
LOST = DeliveryError("erp did not answer within 15 seconds", "unsure")

Answer = Receipt | Exception | Awaitable[Receipt]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class World:
    """The other sides: what was sent to each, and how each answers; usually it takes what it gets."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    always: dict[str, Callable[[], Answer]] = field(default_factory=dict)

    async def take(self, where: str, key: str) -> Receipt:
        self.sent.append((where, key))
        answer: Answer = Receipt("200", "ok")
        if self.answers.get(where):
            answer = self.answers[where].pop(0)
        elif where in self.always:
            answer = self.always[where]()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Receipt) else await answer

    def to(self, where: str) -> int:
        return sum(place == where for place, _ in self.sent)


class Send(Action):
    """Sends to a world."""

    fields = ()

    def __init__(self, world: World, on_unsure: OnUnsure = "resend") -> None:
        self.world = world
        self.on_unsure = on_unsure  # type: ignore[misc]

    def render(self, values: Any, scope: Any, destinations: Any) -> tuple[Rendered, ...]:
        raise NotImplementedError

    async def deliver(self, request: Mapping[str, Any], key: str, services: Any) -> Receipt:
        return await self.world.take(request["to"], key)


class Flaky:
    """A store of which some calls find the database away, so many times."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        if self.away.get(name):
            self.away[name] -= 1

            async def away(*args: Any, **more: Any) -> None:
                raise StoreUnavailable("the disk is full")

            return away
        return getattr(self.store, name)


@dataclass
class Shop:
    """A store with deliveries, and who carries them out, at a time that is moved by hand."""

    url: str
    store: Flaky
    world: World = field(default_factory=World)
    metrics: Metrics = field(default_factory=Metrics)
    now: datetime = NOW
    numbers: Any = field(default_factory=lambda: count(1))
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        async def wait(seconds: float) -> None:
            self.waited.append(seconds)
            await asyncio.sleep(0)

        actions = {
            "http": Send(self.world),
            "slack": Send(self.world),
            "email": Send(self.world, on_unsure="ask"),
        }
        self.delivering = Delivering(
            self.store,
            actions,
            None,
            lambda: self.now,
            self.metrics,
            Random(1),
            wait,  # type: ignore[arg-type]
        )

    async def due(self, *places: str, order: str = "", ordered: bool = False, **request: Any) -> list[int]:
        """Deliveries of one new event to these places (`http/erp`); their numbers."""
        order = order or f"order:R{next(self.numbers)}"
        number = next(self.numbers)
        arrival = Arrival(
            source="chord", type="order_completed", subject=order, body=b"{}", window=timedelta(days=7),
            identity=sha256(f"{number}".encode()).digest(),
        )  # fmt: skip
        event = (await self.store.append(arrival, self.now)).id
        new = [
            NewDelivery(
                "rule", place, where.partition("/")[0], where, where, to_json({"to": where, **request}),
                DeliveryState.QUEUED, self.now, order if ordered else None, f"{event}-{place}",
            )
            for place, where in enumerate(places, start=1)
        ]  # fmt: skip
        await self.store.record([Judged(event, "b00c", {}, self.now, deliveries=new)])
        return sorted(one.id for one in (await self.store.deliveries(event=event)).items)

    async def deliver(self) -> None:
        """Carry out all that is due now."""
        while await self.delivering.start_some():
            await self.delivering.rest()

    async def later(self, **time: float) -> None:
        """Some time passes, and what falls due meanwhile is carried out."""
        self.now += timedelta(**time)
        await self.deliver()

    async def restarted(self) -> None:
        """The process ended in the middle and was started again."""
        await self.delivering.cut_off()
        await self.store.close()
        self.store = Flaky(await Store.open(self.url))
        self.begin()
        await self.delivering.take_up()

    async def meanwhile(self, until: Callable[[], bool]) -> None:
        """Let others work until something holds."""
        async with asyncio.timeout(30):
            while not until():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def state(self, id: int) -> DeliveryState:
        return (await self.store.delivery(id)).delivery.state

    async def states(self) -> set[DeliveryState]:
        return {one.state for one in (await self.store.deliveries(limit=1000)).items}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    url = f"sqlite:///{tmp_path}/shop.db"
    shop = Shop(url, Flaky(await Store.open(url)))
    yield shop
    await shop.store.close()


async def test_a_delivery_that_arrives_is_done_with_what_the_other_side_said(shop: Shop) -> None:
    (id,) = await shop.due("http/erp")
    await shop.deliver()
    record = await shop.store.delivery(id)
    assert record.delivery.state is DeliveryState.DONE
    assert [(one.number, one.outcome, one.status, one.detail) for one in record.tries] == [
        (1, "done", "200", "ok")
    ]
    assert shop.world.sent == [("http/erp", record.delivery.idempotency_key)]


async def test_one_that_fails_is_tried_again_alone_with_the_same_key_also_after_restarts(shop: Shop) -> None:
    shop.world.answers["http/erp"] = [BUSY, BUSY, BUSY]
    ids = await shop.due("slack/orders", "email/default", "http/erp")
    await shop.deliver()
    for seconds in (7, 40, 400):
        await shop.restarted()
        await shop.later(seconds=seconds)
    assert [shop.world.to(place) for place in ("slack/orders", "email/default", "http/erp")] == [1, 1, 4]
    assert {await shop.state(id) for id in ids} == {DeliveryState.DONE}
    assert len({key for place, key in shop.world.sent if place == "http/erp"}) == 1


async def test_a_retry_comes_at_its_time_and_not_before_though_the_process_was_restarted(shop: Shop) -> None:
    shop.world.answers["http/erp"] = [BUSY]
    await shop.due("http/erp")
    await shop.deliver()
    await shop.restarted()
    await shop.later(seconds=3.9)
    assert shop.world.to("http/erp") == 1
    await shop.later(seconds=2.2)
    assert shop.world.to("http/erp") == 2


async def test_what_will_never_work_stands_with_the_reason_and_what_was_said(shop: Shop) -> None:
    shop.world.answers["http/erp"] = [REFUSED]
    (id,) = await shop.due("http/erp")
    await shop.deliver()
    record = await shop.store.delivery(id)
    assert (record.delivery.state, record.delivery.reason) == (DeliveryState.FAILED, "erp answered 422")
    assert record.tries[0].detail == "unknown currency"


async def test_a_rule_says_how_often_its_delivery_is_tried(shop: Shop) -> None:
    shop.world.always["http/erp"] = lambda: BUSY
    (id,) = await shop.due("http/erp", retry={"times": 2})
    await shop.deliver()
    await shop.later(hours=30)
    await shop.later(hours=30)
    assert shop.world.to("http/erp") == 2
    assert await shop.state(id) is DeliveryState.FAILED


async def test_a_fault_of_ours_in_one_delivery_is_told_and_stops_no_other(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.world.answers["http/erp"] = [KeyError("number"), Receipt("200")]
    bad, good = await shop.due("http/erp", "slack/orders")
    await shop.deliver()
    assert [await shop.state(id) for id in (bad, good)] == [DeliveryState.QUEUED, DeliveryState.DONE]
    assert "KeyError" in caplog.text
    assert "fault of Shopbell's own" in (await shop.store.delivery(bad)).delivery.reason
    await shop.later(seconds=10)
    assert await shop.state(bad) is DeliveryState.DONE


async def test_an_action_that_is_not_there_any_more_is_said_in_words(shop: Shop) -> None:
    (id,) = await shop.due("pigeon/post")
    await shop.deliver()
    assert (await shop.store.delivery(id)).delivery.reason == 'this version has no action "pigeon"'


# many at once


class Gate:
    """An other side that answers nothing until it is opened, with how many wait for it at most."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = self.most = 0

    async def __call__(self) -> Receipt:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        return Receipt("200")


async def running(shop: Shop, until: Callable[[], bool]) -> None:
    """Start whatever is due until something holds, without waiting for what is under way."""
    async with asyncio.timeout(30):
        while not until():
            if not await shop.delivering.start_some():
                await asyncio.sleep(0)


async def test_a_hundred_deliveries_pass_by_a_destination_that_hangs_and_it_gets_no_more_than_its_lane(
    shop: Shop,
) -> None:
    gate = Gate()
    shop.world.always["http/hangs"] = gate
    for _ in range(100):
        await shop.due("http/hangs", "http/fine")
    await running(shop, lambda: shop.world.to("http/fine") == 100)
    assert gate.waiting == gate.most == LANE
    gate.open.set()
    await running(shop, lambda: shop.world.to("http/hangs") == 100)
    await shop.delivering.rest()
    assert gate.most == LANE
    assert await shop.states() == {DeliveryState.DONE}


async def test_a_connection_that_does_not_work_rests_and_what_waits_for_it_keeps_its_tries(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.world.always["http/down"] = lambda: LOST
    ids = [id for _ in range(30) for id in await shop.due("http/down")]
    good = [id for _ in range(30) for id in await shop.due("http/fine")]
    await shop.deliver()
    assert FAILURES <= shop.world.to("http/down") <= LANE
    assert {await shop.state(id) for id in good} == {DeliveryState.DONE}
    tried = shop.world.to("http/down")
    await shop.later(seconds=REST.seconds)
    assert shop.world.to("http/down") == tried + 1
    assert sum("5 times in a row" in record.message for record in caplog.records) == 1
    del shop.world.always["http/down"]
    await shop.later(seconds=REST.seconds)
    await shop.later(minutes=10)
    assert {await shop.state(id) for id in ids} == {DeliveryState.DONE}


async def test_an_outage_is_told_and_counted_once_and_so_is_its_end_also_over_a_restart(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.world.always = dict.fromkeys(("slack/default#a", "slack/default#b"), lambda: BUSY)
    for _ in range(20):
        await shop.due("slack/default#a", "slack/default#b")
    for _ in range(12):
        await shop.later(seconds=REST.seconds)
    await shop.restarted()
    for _ in range(12):
        await shop.later(seconds=REST.seconds)
    shop.world.always = {}
    for _ in range(20):
        await shop.later(seconds=REST.seconds)
    told = [record.getMessage() for record in caplog.records if "slack/default " in record.getMessage()]
    assert [line[:40] for line in told] == [
        "slack/default failed 5 times in a row; u",
        "slack/default works again, after 4 minut",
    ]
    counted = shop.metrics.text().decode()
    assert 'shopbell_connection_outages_total{connection="slack/default"} 1.0' in counted
    assert await shop.store.pacing.outages() == []


@pytest.mark.parametrize("works", [Receipt("200"), REFUSED])
async def test_any_answer_shows_that_a_connection_works_again(shop: Shop, works: Answer) -> None:
    shop.world.always["http/erp"] = lambda: BUSY
    for _ in range(FAILURES):
        await shop.due("http/erp")
    await shop.deliver()
    assert shop.store.pacing.failing == {"http/erp"}
    shop.world.always["http/erp"] = lambda: works
    await shop.later(seconds=REST.seconds)
    assert shop.store.pacing.failing == frozenset()


async def test_ten_minutes_of_a_destination_that_is_down_lose_nothing_and_hold_up_nobody_else(
    shop: Shop,
) -> None:
    shop.world.always["http/down"] = lambda: BUSY
    for _ in range(120):
        await shop.due("http/down", "http/fine")
        await shop.later(seconds=5)
    assert shop.world.to("http/fine") == 120
    del shop.world.always["http/down"]
    returned = len(shop.world.sent)
    await shop.later(seconds=REST.seconds)
    assert len(shop.world.sent) > returned
    for _ in range(60):
        await shop.later(seconds=REST.seconds)
    assert len({key for place, key in shop.world.sent[returned:] if place == "http/down"}) == 120
    assert await shop.states() == {DeliveryState.DONE}


async def test_a_pause_that_one_call_is_asked_for_holds_for_all_to_that_connection_and_for_no_other(
    shop: Shop,
) -> None:
    slow = DeliveryError("slack answered 429", "temporary", status="429", retry_after=30)
    shop.world.answers["slack/buying"] = [slow]
    await shop.due("slack/buying")
    await shop.deliver()
    await shop.due("slack/buying", "slack/sales")
    await shop.later(seconds=29)
    assert (shop.world.to("slack/buying"), shop.world.to("slack/sales")) == (1, 1)
    await shop.later(seconds=1)
    assert shop.world.to("slack/buying") == 3


# order


async def test_within_one_order_a_failing_delivery_holds_back_the_later_ones_and_no_other_order(
    shop: Shop,
) -> None:
    shop.world.answers["http/erp"] = [BUSY]
    (first,) = await shop.due("http/erp", order="order:A", ordered=True)
    await shop.deliver()
    (second,) = await shop.due("http/erp", order="order:A", ordered=True)
    (other,) = await shop.due("http/erp", order="order:B", ordered=True)
    await shop.deliver()
    assert [await shop.state(id) for id in (first, second, other)] == [
        DeliveryState.QUEUED,
        DeliveryState.QUEUED,
        DeliveryState.DONE,
    ]
    await shop.later(seconds=10)
    keys = [key for _, key in shop.world.sent]
    assert await shop.states() == {DeliveryState.DONE}
    assert keys.index((await shop.store.delivery(second)).delivery.idempotency_key) == len(keys) - 1


async def test_calls_of_one_order_come_in_the_order_of_its_events_while_many_orders_mix(shop: Shop) -> None:
    wanted: dict[str, list[str]] = {}
    for number in range(60):
        order = f"order:{number % 7}"
        (id,) = await shop.due("http/erp", order=order, ordered=True)
        wanted.setdefault(order, []).append((await shop.store.delivery(id)).delivery.idempotency_key)
    chance = Random(3)
    shop.world.always["http/erp"] = lambda: BUSY if chance.random() < 0.2 else Receipt("200")
    for _ in range(40):
        await shop.later(minutes=10)
    got = list(dict.fromkeys(key for _, key in shop.world.sent))
    assert await shop.states() == {DeliveryState.DONE}
    for keys in wanted.values():
        assert [key for key in got if key in keys] == keys


# ends in the middle


async def test_what_was_under_way_when_the_process_ended_is_sent_again_with_its_key_or_a_person_is_asked(
    shop: Shop,
) -> None:
    gate = Gate()
    places = ("http/erp", "email/default")
    shop.world.always = dict.fromkeys(places, gate)
    ids = await shop.due(*places)
    await running(shop, lambda: gate.waiting == 2)
    key = (await shop.store.delivery(ids[0])).delivery.idempotency_key
    shop.world.always = {}
    await shop.restarted()
    await shop.deliver()
    assert [await shop.state(id) for id in ids] == [DeliveryState.DONE, DeliveryState.HELD]
    assert "nobody knows whether it arrived" in (await shop.store.delivery(ids[1])).delivery.reason
    assert [sent for place, sent in shop.world.sent if place == "http/erp"] == [key, key]
    assert shop.world.to("email/default") == 1


async def test_a_rule_may_say_otherwise_what_becomes_of_what_was_under_way(shop: Shop) -> None:
    gate = Gate()
    shop.world.always = {"http/erp": gate, "email/default": gate}
    (asks,) = await shop.due("http/erp", on_unsure="ask")
    (resends,) = await shop.due("email/default", on_unsure="resend")
    await running(shop, lambda: gate.waiting == 2)
    shop.world.always = {}
    await shop.restarted()
    await shop.deliver()
    assert [await shop.state(id) for id in (asks, resends)] == [DeliveryState.HELD, DeliveryState.DONE]
    assert (shop.world.to("http/erp"), shop.world.to("email/default")) == (1, 2)


async def test_one_with_which_the_process_ended_three_times_is_not_tried_again_by_itself(shop: Shop) -> None:
    (id,) = await shop.due("http/erp")
    for _ in range(3):
        gate = Gate()
        shop.world.always["http/erp"] = gate
        await running(shop, lambda gate=gate: gate.waiting == 1)  # type: ignore[misc]
        await shop.restarted()
    assert await shop.state(id) is DeliveryState.DEAD
    assert shop.world.to("http/erp") == 3


@pytest.mark.parametrize("call", ["claim", "finish", "recover"])
async def test_a_record_that_is_away_for_long_loses_no_delivery_and_doubles_none(
    shop: Shop, call: str
) -> None:
    (id,) = await shop.due("http/erp")
    shop.store.away[call] = 10
    await shop.delivering.take_up()
    await shop.deliver()
    assert shop.world.to("http/erp") == 1
    assert await shop.state(id) is DeliveryState.DONE
    assert shop.waited == [1.0] * 10


async def test_stopping_begins_nothing_new_and_lets_what_is_under_way_end(shop: Shop) -> None:
    gate = Gate()
    shop.world.always["http/erp"] = gate
    ids = [id for _ in range(LANE + 1) for id in await shop.due("http/erp")]
    stopping = asyncio.Event()
    loop = asyncio.create_task(shop.delivering.run(stopping))
    await shop.meanwhile(lambda: gate.waiting == LANE)
    stopping.set()
    shop.delivering.wake()
    await asyncio.sleep(0)
    assert not loop.done()
    gate.open.set()
    await loop
    assert sorted([await shop.state(id) for id in ids]) == [DeliveryState.DONE] * LANE + [
        DeliveryState.QUEUED
    ]


async def test_what_does_not_end_in_time_is_cut_off_and_taken_up_at_the_next_start(shop: Shop) -> None:
    gate = Gate()
    shop.world.always["http/erp"] = gate
    (id,) = await shop.due("http/erp")
    loop = asyncio.create_task(shop.delivering.run(asyncio.Event()))
    await shop.meanwhile(lambda: gate.waiting == 1)
    loop.cancel()
    await asyncio.wait([loop])
    assert gate.waiting == 0
    assert await shop.state(id) is DeliveryState.RUNNING
    shop.world.always = {}
    await shop.restarted()
    await shop.deliver()
    assert await shop.state(id) is DeliveryState.DONE
