"""A connection is used no faster than its pace, not during a pause, and seldom while it fails; rows hold it for all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.model import Delivery
from engine.store.pacing import REST, Pace
from engine.store.store import Finished, Store

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def slow(connection: str) -> Pace | None:
    """Slack takes one a second in each channel, the rest goes as fast as it can."""
    return Pace(1) if connection.startswith("slack/") else None


async def to(store: Store, now: Any, paces: Any = slow, **more: Any) -> list[str]:
    return [one.connection for one in await store.claim(100, now, paces=paces, **more)]


async def fill(store: Store, shop: Any, many: int, *connections: str) -> None:
    for connection in connections:
        await shop.due(store, *(shop.delivery(connection=connection) for _ in range(many)))


async def test_one_a_second_in_each_channel_and_others_unhindered(store: Store, shop: Any) -> None:
    await fill(store, shop, 3, "slack/default#a", "slack/default#b", "http/erp")
    assert sorted(await to(store, shop.now)) == ["http/erp"] * 3 + ["slack/default#a", "slack/default#b"]
    assert await to(store, shop.now + 0.999 * SECOND) == []
    assert sorted(await to(store, shop.now + SECOND)) == ["slack/default#a", "slack/default#b"]


async def test_what_is_held_back_by_the_pace_keeps_its_tries(store: Store, shop: Any) -> None:
    await fill(store, shop, 2, "slack/default")
    await to(store, shop.now)
    await to(store, shop.now + SECOND / 2)
    [waits] = [one for one in (await store.deliveries()).items if one.state == "queued"]
    assert (waits.attempts, (await store.delivery(waits.id)).tries) == (0, ())


@pytest.mark.parametrize("count", [1, 2, 5, 10, 50, 1000])
async def test_in_no_second_is_a_destination_given_more_than_a_tenth_over_its_rate(
    store: Store, shop: Any, count: int
) -> None:
    await fill(store, shop, 3 * count, "http/erp")
    taken: list[float] = []
    for step in range(0, 3000, 20):
        now = shop.now + timedelta(milliseconds=step)
        taken += [step / 1000] * len(await to(store, now, lambda _: Pace(count)))
    assert len(taken) >= 2.8 * count
    for begin in taken:
        assert sum(begin <= one < begin + 1 for one in taken) <= max(count * 1.1, count + 1)


async def test_after_a_lull_the_pace_is_not_caught_up_on(store: Store, shop: Any) -> None:
    await fill(store, shop, 1, "slack/default")
    assert len(await to(store, shop.now)) == 1
    await fill(store, shop, 5, "slack/default")
    assert len(await to(store, shop.now + 60 * SECOND)) == 1


async def test_the_store_says_when_there_is_room_again(store: Store, shop: Any) -> None:
    await fill(store, shop, 2, "slack/default", "http/erp")
    await to(store, shop.now)
    assert store.pacing.room_again == shop.now + SECOND
    await to(store, shop.now + SECOND / 4)
    assert store.pacing.room_again == shop.now + SECOND
    await to(store, shop.now + SECOND)
    await to(store, shop.now + 3 * SECOND)
    assert store.pacing.room_again is None


async def test_a_restart_keeps_pace_pause_and_outage(open_store: Any, shop: Any) -> None:
    store = await open_store()
    await fill(store, shop, 2, "slack/default", "http/erp", "http/crm")
    await to(store, shop.now, each=1)
    await store.pacing.pause("http/erp", shop.now + MINUTE)
    await store.pacing.breaks("http/crm", "no route", shop.now)
    await store.close()
    store = await open_store()
    assert await to(store, shop.now + 0.9 * SECOND) == []
    assert store.pacing.failing == {"http/crm"}
    assert await to(store, shop.now + SECOND) == ["slack/default"]
    assert await to(store, shop.now + MINUTE - SECOND) == ["http/crm"]
    assert await to(store, shop.now + MINUTE) == ["http/erp"]


async def test_a_pause_is_for_all_of_a_connection_and_never_made_shorter(store: Store, shop: Any) -> None:
    await fill(store, shop, 1, "slack/default#a", "slack/other#a")
    await store.pacing.pause("slack/default#b", shop.now + MINUTE)
    await store.pacing.pause("slack/default#b", shop.now + SECOND)
    assert await to(store, shop.now + MINUTE - SECOND) == ["slack/other#a"]
    assert await to(store, shop.now + MINUTE) == ["slack/default#a"]


async def test_a_connection_that_fails_gets_one_delivery_in_a_while_until_it_works(
    store: Store, shop: Any
) -> None:
    await fill(store, shop, 10, "http/erp")
    assert await store.pacing.breaks("http/erp", "it answered 503", shop.now)
    counts = [len(await to(store, shop.now + second * SECOND)) for second in range(31)]
    tried = [second for second, count in enumerate(counts) if count]
    assert (tried, sum(counts)) == ([10, 20, 30], 3)
    await store.pacing.mends("http/erp")
    assert len(await to(store, shop.now + 31 * SECOND)) == 7


async def test_an_outage_is_news_once_and_so_is_its_end(store: Store, shop: Any) -> None:
    assert await store.pacing.breaks("http/erp", "it answered 503", shop.now)
    assert not await store.pacing.breaks("http/erp", "connection refused", shop.now + SECOND)
    [outage] = await store.pacing.outages()
    assert (outage.connection, outage.since, outage.reason) == ("http/erp", shop.now, "it answered 503")
    assert outage.next_try == shop.now + REST
    assert await store.pacing.mends("http/erp") == shop.now
    assert await store.pacing.mends("http/erp") is None
    assert await store.pacing.outages() == []


async def test_pacing_moves_no_due_time_so_the_oldest_stays_the_first(store: Store, shop: Any) -> None:
    for minutes in (3, 1, 2):
        await shop.due(store, shop.delivery(connection="slack/default", due_at=shop.now - minutes * MINUTE))
    order: list[Delivery] = []
    for second in range(3):
        order += await store.claim(10, shop.now + second * SECOND, paces=slow)
    assert [one.id for one in order] == [1, 3, 2]


async def test_without_a_pace_the_limits_are_never_written(store: Store, shop: Any) -> None:
    """On one process they must cost next to nothing."""
    await fill(store, shop, 5, "http/erp")
    for one in await store.claim(5, shop.now):
        await store.finish([Finished(one.id, 1, "done")])
    rows = await store._writer.call(lambda runner: _rows(runner))
    assert rows == 0


def _rows(runner: Any) -> int:
    runner.cursor.execute("SELECT count(*) FROM limiter")
    return int(runner.cursor.fetchall()[0][0])
