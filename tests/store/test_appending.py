"""Arrivals become events, repeats are told from them, and nobody is answered before it is on the disk."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from engine.store.store import Store, StoreUnavailable

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


async def test_an_event_is_kept_as_it_was_received(store: Store, shop: Any) -> None:
    body = '{"order": {"id": 123456789012345678901234567890, "city": "Malmö"}}'.encode()
    headers = {"content-type": "application/json"}
    appended = await store.append(
        shop.arrival("A", body=body, headers=headers, note="an unusual one"), shop.now
    )
    assert (appended.id, appended.repeat) == ("1", False)
    record = await store.event("1")
    assert (record.body, record.headers, record.note) == (body, headers, "an unusual one")
    assert (record.type, record.subject, record.received_at) == ("order_completed", "order:A", shop.now)
    assert (record.state, record.arrivals, record.intact) == ("new", 1, True)
    assert record.identity == shop.arrival("A").identity.hex()


async def test_events_are_numbered_in_the_order_in_which_they_came(store: Store, shop: Any) -> None:
    appended = await asyncio.gather(*(store.append(shop.arrival(), shop.now) for _ in range(20)))
    assert [one.id for one in appended] == [str(number) for number in range(1, 21)]


async def test_a_repeat_counts_as_one_more_arrival_and_changes_nothing_else(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A"), shop.now)
    before = await store.event("1")
    later = shop.now + timedelta(seconds=24)
    repeat = await store.append(shop.arrival("A", body=b'{"rendered":"anew"}'), later)
    assert (repeat.id, repeat.repeat) == ("1", True)
    record = await store.event("1")
    assert (record.arrivals, record.last_seen_at, record.body) == (2, later, before.body)
    assert (await store.events()).items[0].arrivals == 2
    assert len((await store.events()).items) == 1


async def test_two_equal_arrivals_at_once_are_one_event(store: Store, shop: Any) -> None:
    appended = await asyncio.gather(*(store.append(shop.arrival("A"), shop.now) for _ in range(5)))
    assert [one.id for one in appended] == ["1"] * 5
    assert [one.repeat for one in appended] == [False, True, True, True, True]
    assert (await store.event("1")).arrivals == 5


async def test_what_comes_after_the_window_is_a_new_event(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A", window=DAY), shop.now)
    within = await store.append(shop.arrival("A", window=DAY), shop.now + DAY - timedelta(microseconds=1))
    after = await store.append(shop.arrival("A", window=DAY), shop.now + DAY)
    again = await store.append(shop.arrival("A", window=DAY), shop.now + DAY + DAY / 2)
    assert [within.repeat, after.repeat, again.repeat] == [True, False, True]
    assert (after.id, again.id) == ("2", "2")


async def test_a_repeat_is_told_after_a_restart(open_store: Any, shop: Any) -> None:
    store = await open_store()
    for name in "ABC":
        await store.append(shop.arrival(name), shop.now)
    await store.close()
    store = await open_store()
    appended = await asyncio.gather(*(store.append(shop.arrival(name), shop.now) for name in "BDA"))
    assert [(one.id, one.repeat) for one in appended] == [("2", True), ("4", False), ("1", True)]


async def test_a_number_is_never_given_twice_even_when_all_events_are_gone(
    open_store: Any, shop: Any
) -> None:
    store = await open_store()
    await store.append(shop.arrival(), shop.now)
    await store.record([shop.judged("1")])
    assert (await store.purge(shop.now + DAY)).events == 1
    await store.close()
    store = await open_store()
    assert (await store.append(shop.arrival(), shop.now)).id == "2"


async def test_stock_that_goes_out_back_and_out_again_with_equal_fields_is_three_events(
    store: Store, shop: Any
) -> None:
    given = {"subject": "stock_item:7", "superseded": True, "window": DAY}
    names = ["out", "back", "out", "out", "back", "back"]
    appended = [await store.append(shop.arrival(name, **given), shop.now) for name in names]
    assert [(one.id, one.repeat) for one in appended] == [
        ("1", False),
        ("2", False),
        ("3", False),
        ("3", True),
        ("4", False),
        ("4", True),
    ]


async def test_the_same_in_one_group(store: Store, shop: Any) -> None:
    given = {"subject": "stock_item:7", "superseded": True, "window": DAY}
    names = ["out", "back", "out", "out", "back", "back"]
    appended = await asyncio.gather(*(store.append(shop.arrival(name, **given), shop.now) for name in names))
    assert [(one.id, one.repeat) for one in appended] == [
        ("1", False),
        ("2", False),
        ("3", False),
        ("3", True),
        ("4", False),
        ("4", True),
    ]


async def test_four_changes_of_stock_with_only_the_time_different_are_four_events(
    store: Store, shop: Any
) -> None:
    """Two of each kind within a minute, told apart by `updated_at` alone."""
    minute = 60_000_000
    for number, kind in enumerate(("out_of_stock", "back_in_stock") * 2):
        arrival = shop.arrival(
            f"{kind} {number}",
            type=f"stock_item_{kind}",
            subject="stock_item:4407",
            superseded=True,
            window=DAY,
            updated_at=number * minute,
        )
        assert not (await store.append(arrival, shop.now)).repeat
    events = (await store.events()).items
    assert [(event.arrivals, event.late) for event in events] == [(1, False)] * 4


async def test_half_a_surrogate_pair_and_nul_are_kept_as_replacement_characters(
    store: Store, shop: Any
) -> None:
    given = {
        "subject": "order:\ud83d",
        "note": "a\0b",
        "headers": {"x-id": "\udc00"},
        "aliases": ("shipment:\ud83d",),
    }
    await store.append(shop.arrival("A", **given), shop.now)
    repeat = await store.append(shop.arrival("A", **given), shop.now)
    record = await store.event(repeat.id)
    assert (record.subject, record.note, record.headers) == ("order:\ufffd", "a\ufffdb", {"x-id": "\ufffd"})
    assert record.arrivals == 2


async def test_a_whole_surrogate_pair_is_the_letter_it_stands_for(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A", note="\ud83d\ude00"), shop.now)
    assert (await store.event("1")).note == "😀"


async def test_a_caller_that_went_away_leaves_its_event_and_disturbs_nobody(store: Store, shop: Any) -> None:
    gone = asyncio.ensure_future(store.append(shop.arrival("A"), shop.now))
    stays = asyncio.ensure_future(store.append(shop.arrival("B"), shop.now))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).id == "2"
    assert (await store.append(shop.arrival("A"), shop.now)).repeat


async def test_two_thousand_arrivals_at_once_are_two_thousand_events(store: Store, shop: Any) -> None:
    appended = await asyncio.gather(*(store.append(shop.arrival(), shop.now) for _ in range(2000)))
    assert {int(one.id) for one in appended} == set(range(1, 2001))
    assert (await store.counts()).new_events == 2000


async def test_a_rush_of_orders_each_sent_five_times_is_one_event_an_order(store: Store, shop: Any) -> None:
    names = [f"R{number % 300}" for number in range(1500)]
    appended = await asyncio.gather(*(store.append(shop.arrival(name), shop.now) for name in names))
    assert len({one.id for one in appended}) == 300
    assert sum(one.repeat for one in appended) == 1200
    page = await store.events(limit=300)
    assert all(event.arrivals == 5 for event in page.items)


async def test_more_than_the_disk_takes_is_turned_away_at_once(
    store: Store, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.thread.WAITING_BYTES", 100)
    waiting = [store.append(shop.arrival(body=b"[%s]" % (b" " * 48)), shop.now) for _ in range(2)]
    with pytest.raises(StoreUnavailable, match="more events are coming in than the disk takes"):
        await store.append(shop.arrival(), shop.now)
    await asyncio.gather(*waiting)
    assert (await store.append(shop.arrival(), shop.now)).id == "3"


async def test_new_events_wake_whoever_waits_for_them_and_repeats_do_not(store: Store, shop: Any) -> None:
    await store.new_events(timeout=0)
    assert not await store.new_events(timeout=0)
    await store.append(shop.arrival("A"), shop.now)
    assert await store.new_events(timeout=10)
    await store.append(shop.arrival("A"), shop.now)
    assert not await store.new_events(timeout=0)


async def test_a_closed_store_takes_nothing(store: Store, shop: Any) -> None:
    waiting = store.append(shop.arrival("A"), shop.now)
    await store.close()
    assert (await waiting).id == "1"
    with pytest.raises(StoreUnavailable):
        await store.append(shop.arrival("B"), shop.now)
