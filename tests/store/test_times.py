"""What rules remember, wait for and collect: kept with the judgement, fired once, cancelled by what came meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.model import Arm, Cancel, Cell, Effect, Gather, Gathered, Happened, Hasten, Leave, Remember
from engine.store import times
from engine.store.store import Answered, MemoryRow, NotFound, NotPossible, Overtaken, Store
from tests.store.conftest import NOW, Open, Shop

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
LAST = Cell("big-order", "limit", "ana")


def waits(key: str = "1", **more: Any) -> Arm:
    """A timer that falls due in an hour."""
    return Arm("late", "wait", key, **{"due_at": NOW + HOUR, "text": "an hour passes", **more})


async def happens(store: Store, shop: Shop, *effects: Effect, **arrival: Any) -> str:
    """An event is judged with these effects; its number."""
    event = (await store.append(shop.arrival(**arrival), NOW)).id
    about = arrival.get("subject", "")
    await store.record([shop.judged(event, effects=effects, origin=event, about=about)])
    return event


async def value(store: Store, cell: Cell = LAST) -> Any:
    """What a cell holds."""
    return msgspec.json.decode((await store.times.answers([cell]))[cell].value)


async def gathered(store: Store, key: str = "") -> list[str]:
    """The numbers of the events collected under a key."""
    ask = Gathered("digest", key)
    return [event.id for event in (await store.times.answers([ask]))[ask].events or ()]


async def fired(store: Store, after: timedelta = HOUR) -> list[dict[str, Any]]:
    """What falls due in a while, as the events of the schedule say it."""
    await store.times.fire(NOW + after)
    new = await store.take_new(1000, NOW + after)
    return [msgspec.json.decode(one.body)["schedule"] for one in new if one.source == "schedule"]


# what is remembered


async def test_a_rule_finds_what_it_remembered_also_after_a_restart(open_store: Open, shop: Shop) -> None:
    store = await open_store()
    await happens(store, shop, Remember(LAST, {"sent": ["2026-11-25T09:00:00+00:00"]}))
    await store.close()
    assert await value(await open_store()) == {"sent": ["2026-11-25T09:00:00+00:00"]}


async def test_a_cell_that_was_never_filled_holds_nothing(store: Store) -> None:
    assert await value(store) is None


async def test_what_was_decided_by_an_older_value_does_not_count(store: Store, shop: Shop) -> None:
    told = await store.times.answers([LAST])
    await happens(store, shop, Remember(LAST, 1))
    event = (await store.append(shop.arrival(), NOW)).id
    late = shop.judged(event, effects=[Remember(LAST, 2)], memory=MemoryRow(answers=told))
    with pytest.raises(Overtaken):
        await store.record([late])
    assert await value(store) == 1
    assert [one.id for one in await store.take_new(10, NOW)] == [event]


async def test_an_emptied_cell_is_told_from_one_that_was_never_filled(store: Store, shop: Shop) -> None:
    told = await store.times.answers([LAST])
    await happens(store, shop, Remember(LAST, 1))
    await happens(store, shop, Remember(LAST, None))
    assert await value(store) is None
    event = (await store.append(shop.arrival(), NOW)).id
    with pytest.raises(Overtaken):
        await store.record([shop.judged(event, memory=MemoryRow(answers=told))])


async def test_why_is_answered_with_what_the_rule_was_told_then(store: Store, shop: Shop) -> None:
    first = await happens(store, shop)
    asks = (LAST, Happened(("order_completed",), NOW - HOUR))
    answers = await store.times.answers(asks)
    origin = (await store.times.origins([first]))[first]
    memory = MemoryRow(origin=origin, newest_event=first, newest_body=origin.body, answers=answers)
    event = (await store.append(shop.arrival(), NOW)).id
    await store.record([shop.judged(event, memory=memory, effects=[Remember(LAST, 1)])])
    again = await store.memory_of(event)
    assert again.answers[LAST] == Answered()
    assert [one.id for one in again.answers[asks[1]].events or ()] == [first]
    assert again.origin is not None
    assert (again.origin.id, again.newest_event, again.newest_body) == (first, first, origin.body)


# timers


async def test_what_has_fallen_due_becomes_one_event_that_says_what_it_goes_on_with(
    store: Store, shop: Shop
) -> None:
    event = await happens(store, shop, waits())
    assert await fired(store, HOUR - timedelta(seconds=1)) == []
    (said,) = await fired(store)
    assert said == {
        "rule": "late",
        "word": "wait",
        "key": "1",
        "due_at": "2026-11-25T10:00:00+00:00",
        "event": event,
        "rulebook": "b00c",
    }
    assert await store.times.fire(NOW + 2 * HOUR) == 0


async def test_a_timer_survives_a_restart_and_fires_once(open_store: Open, shop: Shop) -> None:
    store = await open_store()
    await happens(store, shop, waits())
    await store.close()
    store = await open_store()
    assert await store.times.fire(NOW + HOUR) == 1
    await store.close()
    store = await open_store()
    assert await store.times.fire(NOW + HOUR) == 0
    assert len(await store.take_new(10, NOW)) == 1


async def test_what_is_armed_already_stays_unless_it_is_replaced(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits())
    await happens(store, shop, waits(due_at=NOW + 2 * HOUR))
    assert await store.times.next_due() == NOW + HOUR
    await happens(store, shop, waits(due_at=NOW + 3 * HOUR, replace=True))
    assert await store.times.next_due() == NOW + 3 * HOUR
    assert len((await store.times.pending()).items) == 1


async def test_what_came_cancels_what_waits_under_any_of_its_keys(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits("1", cancelled_by=("order:R1", "shipment:H1")))
    await happens(store, shop, waits("2", cancelled_by=("order:R2",)))
    await happens(store, shop, Cancel("late", "wait", ("shipment:H1",), "it was shipped"))
    await happens(store, shop, Cancel("another rule", "wait", ("order:R2",), "not this one's"))
    assert [said["key"] for said in await fired(store)] == ["2"]
    ended = await store.times.pending(ended=True)
    assert [(one.key, one.state, one.reason) for one in ended.items] == [
        ("2", "fired", ""),
        ("1", "cancelled", "it was shipped"),
    ]


async def test_what_waits_can_be_hastened_by_its_keys(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits(cancelled_by=("shipment:H1",)))
    await happens(store, shop, Hasten("late", "wait", ("shipment:H1",)))
    assert len(await fired(store, timedelta(0))) == 1


async def test_nothing_fires_while_an_event_from_before_its_time_waits_to_be_judged(
    store: Store, shop: Shop
) -> None:
    await happens(store, shop, waits())
    unjudged = (await store.append(shop.arrival(), NOW + HOUR)).id
    assert await store.times.fire(NOW + 2 * HOUR) == 0
    await store.record([shop.judged(unjudged)])
    assert await store.times.fire(NOW + 2 * HOUR) == 1


async def test_an_event_that_comes_after_its_time_holds_nothing_up(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits())
    await store.append(shop.arrival(), NOW + HOUR + timedelta(seconds=1))
    assert await store.times.fire(NOW + 2 * HOUR) == 1


async def test_a_backlog_becomes_events_some_at_a_time_the_oldest_first(
    store: Store, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "TOGETHER", 3)
    for place in (5, 3, 1, 2, 4):
        await happens(store, shop, waits(str(place), due_at=NOW + place * timedelta(minutes=1)))
    assert await store.times.fire(NOW + HOUR, 100) == 3
    assert await store.times.fire(NOW + HOUR, 100) == 0
    new = await store.take_new(10, NOW)
    assert [msgspec.json.decode(one.body)["schedule"]["key"] for one in new] == ["1", "2", "3"]
    await store.record([shop.judged(one) for one in new])
    assert await store.times.fire(NOW + HOUR, 100) == 2


async def test_after_a_pause_what_fell_due_meanwhile_waits_a_moment_longer(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits("1"), waits("2", due_at=NOW + 5 * HOUR))
    await store.times.give_grace({"wait": timedelta(minutes=10)}, NOW + 2 * HOUR)
    assert await store.times.next_due() == NOW + 2 * HOUR + timedelta(minutes=10)
    assert await store.times.fire(NOW + 5 * HOUR) == 2


# what stands though nothing happens


async def test_a_clock_keeps_its_next_time_unless_its_words_change(store: Store) -> None:
    clock = Arm("morning", "clock", "", NOW + HOUR, "every day at 10:00", fresh=True)
    later = msgspec.structs.replace(clock, due_at=NOW + 25 * HOUR)
    other = msgspec.structs.replace(clock, due_at=NOW + 4 * HOUR, text="every day at 13:00")
    await store.times.stand([clock], {"morning"}, "b00c", NOW)
    await store.times.stand([later], {"morning"}, "b00c", NOW + 2 * HOUR)
    assert await store.times.next_due() == NOW + HOUR
    await store.times.stand([other], {"morning"}, "b00d", NOW)
    assert await store.times.next_due() == NOW + 4 * HOUR
    await store.times.stand([], {"morning"}, "b00e", NOW)
    assert await store.times.next_due() is None


async def test_what_waits_for_a_rule_that_is_gone_is_cancelled_and_counted(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits("1"), waits("2"))
    assert await store.times.stand([], {"late"}, "b00c", NOW) == 0
    assert await store.times.stand([], {"another"}, "b00c", NOW) == 2
    assert await store.times.next_due() is None
    assert "the rule is there no more" in (await store.times.pending(ended=True)).items[0].reason


# what is collected


async def test_collected_events_are_given_in_their_order_and_leave_once_told(
    store: Store, shop: Shop
) -> None:
    first = await happens(store, shop, Gather("digest", ""), subject="stock_item:1")
    second = await happens(store, shop, Gather("digest", ""), subject="stock_item:2")
    await happens(store, shop, Gather("digest", "other"), subject="stock_item:3")
    assert await gathered(store) == [first, second]
    await happens(store, shop, Leave("digest", key="", events=(first,)))
    assert await gathered(store) == [second]


async def test_an_object_leaves_all_that_a_rule_has_collected(store: Store, shop: Shop) -> None:
    await happens(store, shop, Gather("digest", ""), Gather("digest", "a"), subject="stock_item:1")
    kept = await happens(store, shop, Gather("digest", ""), subject="stock_item:2")
    await happens(store, shop, Leave("digest", about="stock_item:1"))
    assert (await gathered(store), await gathered(store, "a")) == ([kept], [])


async def test_the_record_is_looked_through_by_type_and_time(store: Store, shop: Shop) -> None:
    await store.append(shop.arrival(), NOW - HOUR)
    second = (await store.append(shop.arrival(), NOW)).id
    await store.append(shop.arrival(type="order_cancelled"), NOW)
    third = (await store.append(shop.arrival(), NOW)).id
    ask = Happened(("order_completed",), NOW)
    newest = Happened(("order_completed",), NOW - HOUR, 1)
    found = await store.times.answers([ask, newest])
    assert [one.id for one in found[ask].events or ()] == [second, third]
    assert [one.id for one in found[newest].events or ()] == [third]


# judged again


async def test_an_event_judged_again_sets_nothing_going_twice(store: Store, shop: Shop) -> None:
    effects = [waits(), Gather("digest", "")]
    event = await happens(store, shop, *effects)
    assert len(await fired(store)) == 1
    await happens(store, shop, Leave("digest", key="", events=(event,)))
    await store.replay(event)
    await store.record([shop.judged(event, effects=effects, origin=event)])
    assert (await store.times.next_due(), await gathered(store)) == (None, [])


async def test_an_event_judged_again_to_send_again_waits_again(store: Store, shop: Shop) -> None:
    event = await happens(store, shop, waits())
    assert len(await fired(store)) == 1
    await store.replay(event, resend=True)
    await store.record([shop.judged(event, effects=[waits()], origin=event)])
    assert await store.times.next_due() == NOW + HOUR


# people


async def test_what_waits_is_listed_with_the_next_first_a_page_at_a_time(store: Store, shop: Shop) -> None:
    for place in (3, 1, 2):
        await happens(store, shop, waits(str(place), due_at=NOW + place * HOUR), subject=f"order:{place}")
    first = await store.times.pending(limit=2)
    rest = await store.times.pending(limit=2, after=first.next)
    assert [(one.key, one.about) for one in (*first.items, *rest.items)] == [
        ("1", "order:1"),
        ("2", "order:2"),
        ("3", "order:3"),
    ]
    assert rest.next is None
    assert (await store.times.pending(rule="another")).items == ()


async def test_a_person_can_cancel_what_waits_or_send_it_now(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits("1"), waits("2"))
    one, two = (await store.times.pending()).items
    await store.times.cancel(one.id, NOW, "not wanted")
    await store.times.send_now(two.id, NOW)
    assert [said["key"] for said in await fired(store, timedelta(0))] == [two.key]
    with pytest.raises(NotPossible, match="waits no more: it was cancelled already"):
        await store.times.cancel(one.id, NOW, "again")
    with pytest.raises(NotPossible, match="has fallen due already"):
        await store.times.send_now(two.id, NOW)
    with pytest.raises(NotFound):
        await store.times.cancel("99", NOW, "no such")
    with pytest.raises(NotFound):
        await store.times.send_now("x", NOW)


async def test_what_waits_can_be_moved_to_the_rules_of_today(store: Store, shop: Shop) -> None:
    await happens(store, shop, waits())
    assert await store.times.move("late", "b00d") == 1
    assert (await fired(store))[0]["rulebook"] == "b00d"
