"""Events are handed out in order and with care, and what follows from a judgement is recorded whole and once."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.model import DeliveryState, EventState
from engine.store.store import Finished, NotFound, NotPossible, Store

pytestmark = pytest.mark.anyio


async def numbers(store: Store, shop: Any, limit: int = 100, **more: Any) -> list[str]:
    return [event.id for event in await store.take_new(limit, shop.now, **more)]


async def some_events(store: Store, shop: Any, many: int) -> None:
    await asyncio.gather(*(store.append(shop.arrival(), shop.now) for _ in range(many)))


# taking


async def test_events_are_taken_in_the_order_of_their_numbers(store: Store, shop: Any) -> None:
    await some_events(store, shop, 5)
    assert await numbers(store, shop, 3) == ["1", "2", "3"]


async def test_an_event_is_counted_as_started_before_it_is_handed_out(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A", body=b"{}"), shop.now)
    [event] = await store.take_new(10, shop.now)
    assert (event.starts, event.body, event.subject, event.run) == (1, b"{}", "order:A", 1)
    assert (await store.event("1")).starts == 1


async def test_events_behind_a_number_can_be_taken_while_others_are_judged(store: Store, shop: Any) -> None:
    await some_events(store, shop, 4)
    assert await numbers(store, shop, 2) == ["1", "2"]
    assert await numbers(store, shop, 2, after="2") == ["3", "4"]


async def test_an_event_that_did_not_end_is_handed_out_alone(store: Store, shop: Any) -> None:
    await some_events(store, shop, 3)
    assert await numbers(store, shop) == ["1", "2", "3"]
    assert await numbers(store, shop) == ["1"]


async def test_fresh_events_are_not_handed_out_together_with_a_doubtful_one(store: Store, shop: Any) -> None:
    await some_events(store, shop, 2)
    await numbers(store, shop, 2)
    await store.record([shop.judged("1")])
    await some_events(store, shop, 2)
    assert await numbers(store, shop) == ["2"]
    await store.record([shop.judged("2")])
    assert await numbers(store, shop) == ["3", "4"]


async def test_the_event_that_ends_the_process_is_set_aside_and_the_others_are_done(
    open_store: Any, shop: Any
) -> None:
    """One of a hundred always ends the process; each time the service starts again."""
    store = await open_store()
    await some_events(store, shop, 101)
    poison = "1"
    for _ in range(200):
        taken = await store.take_new(200, shop.now)
        if not taken:
            break
        if poison in [event.id for event in taken]:
            await store.close()
            store = await open_store()
            await shop.taken_up(store, frozenset(), shop.now)
        else:
            await store.record([shop.judged(event) for event in taken])
    states = [line.state for line in (await store.events(limit=200)).items]
    assert states.count(EventState.EVALUATED) == 100
    record = await store.event(poison)
    assert record.state is EventState.FAILED
    assert "ended 3 times while this event was being judged" in record.reason


async def test_an_event_set_aside_shows_why_and_can_be_judged_again_by_hand(store: Store, shop: Any) -> None:
    await some_events(store, shop, 2)
    await numbers(store, shop)
    await store.set_aside("1", "its rule did too much work\0")
    assert await numbers(store, shop) == ["2"]
    record = await store.event("1")
    assert (record.state, record.reason) == ("failed", "its rule did too much work\ufffd")
    await store.new_events(timeout=0)
    await store.replay("1")
    assert await store.new_events(timeout=0)
    [event] = await store.take_new(1, shop.now)
    assert (event.id, event.starts, event.run) == ("1", 1, 2)


@pytest.mark.on_files
async def test_an_event_whose_body_was_damaged_is_set_aside(store: Store, shop: Any, url: str) -> None:
    await some_events(store, shop, 2)
    damage = sqlite3.connect(url.removeprefix("sqlite:///"))
    damage.execute("UPDATE body SET body = ? WHERE event_id = 1", (b'{"total":"9999"}',))
    damage.commit()
    damage.close()
    assert await numbers(store, shop) == ["2"]
    record = await store.event("1")
    assert (record.state, record.intact) == ("failed", False)
    assert "not what was received" in record.reason


async def test_bodies_are_handed_out_some_megabytes_at_a_time(store: Store, shop: Any) -> None:
    body = b"[%s]" % (b" " * (3 * 1024 * 1024))
    for _ in range(4):
        await store.append(shop.arrival(body=body), shop.now)
    assert await numbers(store, shop) == ["1", "2"]


# recording


async def test_a_judgement_is_recorded_with_its_outcomes_and_deliveries(store: Store, shop: Any) -> None:
    await some_events(store, shop, 1)
    held = shop.delivery("other", state=DeliveryState.HELD, reason="a value could not be filled in", action=2)
    judged = shop.judged(
        "1", shop.delivery(), held, outcomes={"big-order": "fires", "other": "could not tell"}
    )
    assert await store.record([judged]) == ["1"]
    record = await store.event("1")
    assert (record.state, record.rulebook, record.planned_at) == ("evaluated", "b00c", shop.now)
    assert record.outcomes == {"big-order": "fires", "other": "could not tell"}
    other, first = (await store.deliveries(event="1")).items
    assert (first.rule, first.state, first.attempts, first.due_at) == ("big-order", "queued", 0, shop.now)
    assert (other.rule, other.action, other.state, other.reason) == (
        "other", 2, "held", "a value could not be filled in",
    )  # fmt: skip


async def test_requests_keep_big_numbers_and_decimals_exactly(store: Store, shop: Any) -> None:
    text = '{"id":123456789012345678901234567890,"total":10.630,"name":"Malmö"}'
    for given in (text, text.encode()):
        [delivery] = await shop.due(store, shop.delivery(request_json=given))
        assert delivery.request == {
            "id": 123456789012345678901234567890,
            "total": Decimal("10.630"),
            "name": "Malmö",
        }
        assert str(delivery.request["total"]) == "10.630"


async def test_recording_twice_does_no_harm(store: Store, shop: Any) -> None:
    await some_events(store, shop, 1)
    judged = shop.judged("1", shop.delivery())
    assert await store.record([judged, judged]) == ["1"]
    assert await store.record([judged]) == []
    other = shop.judged("1", shop.delivery("another"), outcomes={"another": "fires"}, rulebook="new")
    assert await store.record([other]) == []
    assert len((await store.deliveries()).items) == 1
    assert (await store.event("1")).rulebook == "b00c"


async def test_an_event_set_aside_is_not_recorded(store: Store, shop: Any) -> None:
    await some_events(store, shop, 2)
    await store.set_aside("1", "why")
    assert await store.record([shop.judged("1", shop.delivery()), shop.judged("2")]) == ["2"]
    assert (await store.event("1")).state == "failed"
    assert not (await store.deliveries()).items


async def test_judgements_are_recorded_all_or_none(store: Store, shop: Any) -> None:
    await some_events(store, shop, 2)
    broken = shop.delivery(request_json=b"\xff")
    with pytest.raises(UnicodeDecodeError):
        await store.record([shop.judged("1", shop.delivery()), shop.judged("2", broken)])
    assert (await store.counts()).new_events == 2
    assert not (await store.deliveries()).items


async def test_texts_of_a_delivery_hold_no_nul_and_no_half_surrogate_pair(store: Store, shop: Any) -> None:
    given = {"to": "#\ud83d", "reason": "a\0b", "request_json": '{"text":"\udc00"}'}
    [delivery] = await shop.due(store, shop.delivery(**given))
    assert (delivery.to, delivery.reason) == ("#\ufffd", "a\ufffdb")
    assert delivery.request == {"text": "\ufffd"}


async def test_recording_wakes_whoever_waits_for_deliveries(store: Store, shop: Any) -> None:
    await store.due_deliveries(timeout=0)
    assert not await store.due_deliveries(timeout=0)
    await shop.due(store, shop.delivery())
    assert await store.due_deliveries(timeout=10)


# again


async def test_a_replay_makes_anew_only_what_was_not_sent(store: Store, shop: Any) -> None:
    sent, failed, fresh = (
        shop.delivery(rule, idempotency_key=f"1-{rule}") for rule in ("sent", "failed", "fresh")
    )
    await shop.due(store, sent, failed)
    await finished(store, shop, {"sent": DeliveryState.DONE, "failed": DeliveryState.FAILED})
    await store.replay("1")
    await store.record([shop.judged("1", sent, failed, fresh)])
    made = [(one.rule, one.state) for one in (await store.deliveries()).items]
    assert made == [("fresh", "queued"), ("failed", "queued"), ("failed", "failed"), ("sent", "done")]
    assert (await store.event("1")).run == 2


async def test_a_replay_sends_everything_again_when_told_to(store: Store, shop: Any) -> None:
    sent = shop.delivery("sent", idempotency_key="1-sent")
    await shop.due(store, sent)
    await finished(store, shop, {"sent": DeliveryState.DONE})
    await store.replay("1", resend=True)
    await store.record([shop.judged("1", sent)])
    assert [one.state for one in (await store.deliveries()).items] == ["queued", "done"]


async def finished(store: Store, shop: Any, states: dict[str, DeliveryState]) -> None:
    for delivery in await store.claim(10, shop.now):
        state = states[delivery.rule]
        await store.finish([Finished(delivery.id, 1, "done", state=state)])


async def test_a_replay_keeps_the_memory_of_the_events_own_turn(store: Store, shop: Any) -> None:
    for name in ("a1", "a2", "a3"):
        await store.append(shop.arrival(name, subject="A"), shop.now)
    await store.record([shop.judged(number) for number in "123"])
    await store.replay("2")
    [event] = await store.take_new(10, shop.now)
    assert (await store.memory(event, before=True)).before_event == "1"


async def test_only_what_was_judged_can_be_judged_again(store: Store, shop: Any) -> None:
    await some_events(store, shop, 1)
    with pytest.raises(NotPossible, match="Event 1 still waits to be judged"):
        await store.replay("1")
    with pytest.raises(NotFound, match="There is no event 2 in the record"):
        await store.replay("2")


# rulebooks


async def test_a_rulebook_is_kept_by_its_hash_and_the_newest_is_known(store: Store, shop: Any) -> None:
    assert await store.latest_rulebook() == {}
    later = shop.now + timedelta(hours=1)
    await store.keep_rulebook("one", {"a.yaml": "when: order_completed"}, shop.now)
    await store.keep_rulebook("two", {"a.yaml": "when: order_cancelled", "lists/x.csv": "é\n"}, later)
    kept = await store.rulebook("one")
    assert (kept.texts, kept.loaded_at) == ({"a.yaml": "when: order_completed"}, shop.now)
    assert await store.latest_rulebook() == {"a.yaml": "when: order_cancelled", "lists/x.csv": "é\n"}
    await store.keep_rulebook("one", {"a.yaml": "when: order_completed"}, later + timedelta(hours=1))
    assert await store.latest_rulebook() == {"a.yaml": "when: order_completed"}
    with pytest.raises(NotFound, match="There is no rulebook three in the record"):
        await store.rulebook("three")


async def test_a_rulebook_that_stays_in_force_costs_nothing_more(store: Store, shop: Any) -> None:
    await store.keep_rulebook("one", {"a.yaml": "x"}, shop.now)
    commits = (await store.health()).commits
    for _ in range(3):
        await store.keep_rulebook("one", {"a.yaml": "x"}, shop.now)
    assert (await store.health()).commits == commits
