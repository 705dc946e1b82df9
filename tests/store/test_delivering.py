"""Deliveries are claimed when they are due and in their turn, finished by whoever claimed them, and never forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import Delivery, DeliveryState
from engine.store.store import Finished, NotFound, NotPossible, Store

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)
NOBODY: frozenset[str] = frozenset()


def done(delivery: Delivery) -> Finished:
    return Finished(delivery.id, delivery.attempts, "done", "200", "ok", 12)


def again(delivery: Delivery, due_at: Any) -> Finished:
    return Finished(
        delivery.id,
        delivery.attempts,
        "retry",
        "503",
        "busy",
        30,
        due_at,
        DeliveryState.QUEUED,
        "it answered 503",
    )


async def ids(store: Store, now: Any, limit: int = 100, **more: Any) -> list[int]:
    return [delivery.id for delivery in await store.claim(limit, now, **more)]


# claiming


async def test_a_claimed_delivery_is_under_way_and_its_try_is_noted_before_it_is_made(
    store: Store, shop: Any
) -> None:
    await shop.due(store, shop.delivery(idempotency_key="1-big-order-1"))
    [delivery] = await store.claim(10, shop.now)
    assert (delivery.state, delivery.attempts, delivery.request["total"]) == ("running", 1, 10.5)
    assert (delivery.event, delivery.rule, delivery.connection) == ("1", "big-order", "http/erp")
    assert delivery.idempotency_key == "1-big-order-1"
    record = await store.delivery(delivery.id)
    assert record.delivery.state == "running"
    assert [(one.number, one.started_at, one.outcome) for one in record.tries] == [(1, shop.now, "running")]
    assert await store.claim(10, shop.now) == []


async def test_what_is_not_due_yet_is_not_claimed(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(due_at=shop.now + MINUTE))
    assert await ids(store, shop.now) == []
    assert await ids(store, shop.now + MINUTE) == [1]


async def test_the_oldest_due_goes_first_across_connections(store: Store, shop: Any) -> None:
    for minutes, connection in ((3, "http/erp"), (1, "slack/default"), (2, "http/erp"), (0, "email/default")):
        await shop.due(store, shop.delivery(connection=connection, due_at=shop.now + minutes * MINUTE))
    assert await ids(store, shop.now + 5 * MINUTE, 3) == [4, 2, 3]
    assert await ids(store, shop.now + 5 * MINUTE, 3) == [1]


async def test_nothing_is_claimed_for_a_connection_that_has_no_room(store: Store, shop: Any) -> None:
    for connection in ("http/erp", "slack/default", "http/crm"):
        await shop.due(store, shop.delivery(connection=connection))
    assert await ids(store, shop.now, room={"http/erp": 0, "slack/other": 0}) == [2, 3]
    assert await ids(store, shop.now) == [1]


async def test_one_connection_gets_no_more_than_each(store: Store, shop: Any) -> None:
    await shop.due(store, *(shop.delivery(connection="http/erp") for _ in range(5)))
    await shop.due(store, *(shop.delivery(connection="slack/default") for _ in range(5)))
    assert await ids(store, shop.now, each=2, room={"slack/default": 1}) == [1, 2, 6]


async def test_beside_a_backlog_half_of_the_places_go_to_what_is_new_each_in_its_sequence(
    store: Store, shop: Any
) -> None:
    for _ in range(10):
        await shop.due(store, shop.delivery(due_at=shop.now - 60 * MINUTE))
    await shop.due(store, *(shop.delivery() for _ in range(10)))
    assert await ids(store, shop.now, 4) == [1, 2, 11, 12]
    assert await ids(store, shop.now, 4, room={"http/erp": 1}) == [3]
    assert await ids(store, shop.now, 4, room={"http/erp": 1}) == [13]


async def test_what_was_tried_before_is_not_new_however_late_it_is_due(store: Store, shop: Any) -> None:
    await shop.due(store, *(shop.delivery() for _ in range(8)))
    for tried in await store.claim(4, shop.now):
        await store.finish([again(tried, shop.now + MINUTE)])
    assert await ids(store, shop.now + MINUTE, 4) == [5, 6, 7, 8]


async def test_connections_take_turns_where_not_all_can_have_what_is_due(store: Store, shop: Any) -> None:
    await shop.due(store, *(shop.delivery(due_at=shop.now - MINUTE) for _ in range(5)))
    await shop.due(store, shop.delivery(connection="slack/default"), shop.delivery(connection="http/crm"))
    assert await ids(store, shop.now, 4) == [1, 2, 6, 7]


async def test_held_and_suppressed_deliveries_are_never_claimed(store: Store, shop: Any) -> None:
    states = (DeliveryState.HELD, DeliveryState.SUPPRESSED)
    await shop.due(store, *(shop.delivery(state=state) for state in states))
    assert await ids(store, shop.now) == []


# order


async def test_of_one_order_the_next_goes_only_when_the_one_before_has_ended(store: Store, shop: Any) -> None:
    for name in ("completed", "cancelled"):
        await shop.due(store, shop.delivery(okey="order:A"), name=name)
    [first] = await store.claim(10, shop.now)
    assert await ids(store, shop.now) == []
    await store.finish([again(first, shop.now + MINUTE)])
    assert await ids(store, shop.now) == []
    [first] = await store.claim(10, shop.now + MINUTE)
    await store.finish([done(first)])
    assert await ids(store, shop.now) == [2]


async def test_within_one_event_ordered_deliveries_go_one_after_the_other(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(okey="order:A"), shop.delivery(okey="order:A"))
    [first] = await store.claim(10, shop.now)
    assert first.id == 1
    await store.finish([done(first)])
    assert await ids(store, shop.now) == [2]


async def test_other_orders_and_unordered_deliveries_do_not_wait(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(okey="order:A"), shop.delivery(okey="order:A"), shop.delivery())
    await shop.due(store, shop.delivery(okey="order:B"), shop.delivery())
    assert await ids(store, shop.now) == [1, 3, 4, 5]


async def test_order_holds_across_connections(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(okey="order:A", connection="http/erp"))
    await shop.due(store, shop.delivery(okey="order:A", connection="http/crm"))
    assert await ids(store, shop.now, room={"http/erp": 0}) == []


async def test_an_ordered_delivery_waits_for_an_earlier_event_of_its_order_to_be_judged(
    store: Store, shop: Any
) -> None:
    for name in ("completed", "cancelled"):
        await store.append(shop.arrival(name, subject="order:A"), shop.now)
    await store.record([shop.judged("2", shop.delivery(okey="order:A"))])
    assert await ids(store, shop.now) == []
    await store.record([shop.judged("1", shop.delivery(okey="order:A"))])
    assert await ids(store, shop.now) == [2]


async def test_it_waits_too_for_an_earlier_event_of_a_shipment_of_its_order(store: Store, shop: Any) -> None:
    given_ = {"subject": "order:A", "aliases": ("shipment:H1",)}
    await store.append(shop.arrival("completed", **given_), shop.now)
    await store.record([shop.judged("1")])
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now)
    await store.append(shop.arrival("cancelled", **given_), shop.now)
    await store.record([shop.judged("3", shop.delivery(okey="order:A"))])
    assert await ids(store, shop.now) == []
    await store.set_aside("2", "it could not be judged")
    assert await ids(store, shop.now) == [1]


async def test_it_waits_for_an_earlier_event_of_its_subject_also_where_that_belongs_to_an_order(
    store: Store, shop: Any
) -> None:
    await store.append(shop.arrival("completed", subject="order:A", aliases=("shipment:H1",)), shop.now)
    await store.record([shop.judged("1")])
    for name in ("shipped", "delivered"):
        await store.append(shop.arrival(name, subject="shipment:H1"), shop.now)
    assert {event.okey for event in await store.take_new(10, shop.now)} == {"order:A"}
    await store.record([shop.judged("3", shop.delivery(okey="shipment:H1"))])
    assert await ids(store, shop.now) == []
    await store.record([shop.judged("2")])
    assert await ids(store, shop.now) == [1]


async def test_a_later_event_that_is_not_judged_yet_holds_nothing_up(store: Store, shop: Any) -> None:
    for name in ("completed", "cancelled"):
        await store.append(shop.arrival(name, subject="order:A"), shop.now)
    await store.record([shop.judged("1", shop.delivery(okey="order:A"))])
    assert await ids(store, shop.now) == [1]


async def test_what_a_person_must_decide_on_holds_its_order_up_no_longer(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(okey="order:A"))
    await shop.due(store, shop.delivery(okey="order:A"))
    [first] = await store.claim(10, shop.now)
    await store.finish([Finished(first.id, 1, "failed", state=DeliveryState.FAILED, reason="410")])
    assert await ids(store, shop.now) == [2]


step = st.one_of(
    st.tuples(st.just("event"), st.sampled_from("AB")),
    st.tuples(st.just("judge"), st.integers(0, 3)),
    st.tuples(st.just("claim"), st.integers(1, 4)),
    st.tuples(st.just("end"), st.sampled_from(["done", "retry", "failed"])),
)


@given(steps=st.lists(step, max_size=40))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_ordered_delivery_ever_starts_before_an_earlier_one_of_its_order_has_ended(
    tmp_path_factory: pytest.TempPathFactory, shop: Any, steps: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("order")

    async def run() -> None:
        async with await Store.open(f"sqlite:///{folder}/shop.db") as store:
            new: list[tuple[str, str]] = []
            ended: dict[str, list[int]] = {"A": [], "B": []}
            under_way: list[Delivery] = []
            for what, how in steps:
                if what == "event":
                    appended = await store.append(shop.arrival(subject=f"order:{how}"), shop.now)
                    new.append((appended.id, how))
                elif what == "judge" and new:
                    event, order = new.pop(how % len(new))
                    await store.record([shop.judged(event, shop.delivery(okey=f"order:{order}", to=order))])
                elif what == "claim":
                    for delivery in await store.claim(how, shop.now):
                        earlier = [int(event) for event, order in new if order == delivery.to]
                        assert all(event > int(delivery.event) for event in earlier)
                        assert all(one.to != delivery.to for one in under_way)
                        assert all(event < int(delivery.event) for event in ended[delivery.to])
                        under_way.append(delivery)
                elif what == "end" and under_way:
                    delivery = under_way.pop(0)
                    if how == "retry":
                        await store.finish([again(delivery, shop.now)])
                    else:
                        state = DeliveryState.DONE if how == "done" else DeliveryState.FAILED
                        await store.finish([Finished(delivery.id, delivery.attempts, how, state=state)])
                        ended[delivery.to].append(int(delivery.event))

    anyio.run(run)


# ending


async def test_a_delivery_that_went_out_is_done_with_what_the_other_side_said(
    store: Store, shop: Any
) -> None:
    await shop.due(store, shop.delivery())
    [delivery] = await store.claim(10, shop.now)
    assert await store.finish([done(delivery)]) == [1]
    record = await store.delivery("1")
    assert (record.delivery.state, record.finished_at) == ("done", shop.now + timedelta(milliseconds=12))
    [one] = record.tries
    assert (one.outcome, one.status, one.detail, one.took_ms) == ("done", "200", "ok", 12)


async def test_one_that_is_tried_again_waits_until_then_and_its_tries_are_all_kept(
    store: Store, shop: Any
) -> None:
    await shop.due(store, shop.delivery())
    [delivery] = await store.claim(10, shop.now)
    await store.finish([again(delivery, shop.now + MINUTE)])
    record = await store.delivery(1)
    assert (record.delivery.state, record.delivery.due_at) == ("queued", shop.now + MINUTE)
    assert (record.delivery.reason, record.finished_at) == ("it answered 503", None)
    [delivery] = await store.claim(10, shop.now + MINUTE)
    assert delivery.attempts == 2
    assert delivery.request == {"total": 10.5}
    await store.finish([done(delivery)])
    record = await store.delivery(1)
    assert [(one.number, one.outcome, one.status) for one in record.tries] == [
        (1, "retry", "503"),
        (2, "done", "200"),
    ]
    assert record.delivery.reason == ""


async def test_only_the_try_that_is_under_way_can_end_a_delivery(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery())
    [first] = await store.claim(10, shop.now)
    await store.finish([again(first, shop.now)])
    [second] = await store.claim(10, shop.now)
    assert await store.finish([done(first)]) == []
    assert (await store.delivery(1)).delivery.state == "running"
    assert [one.outcome for one in (await store.delivery(1)).tries] == ["retry", "running"]
    assert await store.finish([done(second)]) == [1]
    assert await store.finish([Finished(1, 2, "failed", state=DeliveryState.FAILED)]) == []
    assert (await store.delivery(1)).delivery.state == "done"


async def test_a_process_that_was_replaced_cannot_end_what_its_successor_has_under_way(
    open_store: Any, shop: Any
) -> None:
    store = await open_store()
    await shop.due(store, shop.delivery())
    [delivery] = await store.claim(10, shop.now)
    await store.close()
    store = await open_store()
    assert await store.finish([done(delivery)]) == []


async def test_deliveries_end_together_in_one_commit(store: Store, shop: Any) -> None:
    await shop.due(store, *(shop.delivery() for _ in range(10)))
    claimed = await store.claim(10, shop.now)
    commits = (await store.health()).commits
    await asyncio.gather(*(store.finish([done(delivery)]) for delivery in claimed))
    assert (await store.health()).commits == commits + 1
    assert {one.state for one in (await store.deliveries()).items} == {DeliveryState.DONE}


async def test_ending_one_wakes_whoever_waits_for_the_next_of_its_order(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(okey="A"), shop.delivery(okey="A"))
    [first] = await store.claim(10, shop.now)
    await store.due_deliveries(timeout=0)
    await store.finish([done(first)])
    assert await store.due_deliveries(timeout=10)


# sleeping exactly long enough


async def test_the_next_due_time_is_that_of_the_first_not_due_yet(store: Store, shop: Any) -> None:
    assert await store.next_due(shop.now) is None
    for minutes, connection in ((0, "http/erp"), (3, "http/erp"), (2, "slack/default"), (9, "email/default")):
        await shop.due(store, shop.delivery(connection=connection, due_at=shop.now + minutes * MINUTE))
    assert await store.next_due(shop.now) == shop.now + 2 * MINUTE
    assert await store.next_due(shop.now, frozenset({"slack/default"})) == shop.now + 3 * MINUTE
    assert await store.next_due(shop.now + 9 * MINUTE) is None


# after the process ended


async def restarted(open_store: Any, store: Store) -> Store:
    await store.close()
    again: Store = await open_store()
    return again


async def test_what_was_under_way_is_sent_again_after_a_restart_and_its_try_is_unsure(
    open_store: Any, shop: Any
) -> None:
    store = await open_store()
    await shop.due(
        store, shop.delivery(okey="A"), shop.delivery(okey="A"), shop.delivery(due_at=shop.now + MINUTE)
    )
    await store.claim(10, shop.now)
    store = await restarted(open_store, store)
    [delivery] = await shop.taken_up(store, NOBODY, shop.now + MINUTE / 2)
    assert (delivery.id, delivery.state, delivery.due_at) == (1, "queued", shop.now + MINUTE / 2)
    assert (await store.delivery(1)).delivery == delivery
    assert [one.outcome for one in (await store.delivery(1)).tries] == ["unsure"]
    assert await ids(store, shop.now) == []
    [claimed] = await store.claim(10, shop.now + MINUTE / 2)
    assert (claimed.id, claimed.attempts) == (1, 2)
    assert claimed.idempotency_key == delivery.idempotency_key


async def test_one_that_must_not_be_doubled_waits_for_a_person(open_store: Any, shop: Any) -> None:
    store = await open_store()
    await shop.due(store, shop.delivery(kind="email", connection="email/default"), shop.delivery())
    await store.claim(10, shop.now)
    store = await restarted(open_store, store)
    states = {one.kind: one.state for one in await shop.taken_up(store, frozenset({"email"}), shop.now)}
    assert states == {"email": "held", "http": "queued"}
    held = (await store.delivery(1)).delivery
    assert "nobody knows whether it arrived" in held.reason
    assert await ids(store, shop.now) == [2]


async def test_what_its_request_says_goes_before_its_kind_at_every_start(open_store: Any, shop: Any) -> None:
    """Also at a second one: the process may end again before anybody has looked at what the first took up."""
    store = await open_store()
    await shop.due(
        store,
        shop.delivery(request_json='{"on_unsure":"ask"}'),
        shop.delivery(kind="email", connection="email/default", request_json='{"on_unsure":"resend"}'),
    )
    await store.claim(10, shop.now)
    for _ in range(2):
        store = await restarted(open_store, store)
        await shop.taken_up(store, frozenset({"email"}), shop.now)
        states = [(await store.delivery(number)).delivery.state for number in (1, 2)]
        assert states == ["held", "queued"]
    assert await ids(store, shop.now) == [2]


async def test_one_with_which_the_process_ended_three_times_is_dead(open_store: Any, shop: Any) -> None:
    store = await open_store()
    await shop.due(store, shop.delivery())
    for expected in ("queued", "queued", "dead"):
        assert await ids(store, shop.now) == [1]
        store = await restarted(open_store, store)
        [delivery] = await shop.taken_up(store, NOBODY, shop.now)
        assert delivery.state == expected
    assert "3 times" in delivery.reason
    assert await ids(store, shop.now) == []


async def test_with_nothing_under_way_there_is_nothing_to_take_up(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery())
    [delivery] = await store.claim(10, shop.now)
    await store.finish([done(delivery)])
    assert await shop.taken_up(store, NOBODY, shop.now) == []


# people


@pytest.mark.parametrize(
    "state", [DeliveryState.HELD, DeliveryState.FAILED, DeliveryState.DEAD, DeliveryState.CANCELLED]
)
async def test_a_person_can_have_it_sent_now(store: Store, shop: Any, state: DeliveryState) -> None:
    await shop.due(store, shop.delivery(state=state, reason="why", due_at=shop.now + MINUTE))
    await store.due_deliveries(timeout=0)
    await store.retry("1", shop.now)
    assert await store.due_deliveries(timeout=0)
    [delivery] = await store.claim(10, shop.now)
    assert (delivery.id, delivery.reason) == (1, "")


async def test_a_person_need_not_wait_for_the_next_try(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(due_at=shop.now + MINUTE))
    await store.retry(1, shop.now)
    assert await ids(store, shop.now) == [1]


@pytest.mark.parametrize(
    "state", [DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.FAILED, DeliveryState.DEAD]
)
async def test_a_person_can_cancel_what_has_not_gone_out(
    store: Store, shop: Any, state: DeliveryState
) -> None:
    await shop.due(store, shop.delivery(state=state))
    await store.cancel("1", shop.now, "it was a test order")
    record = await store.delivery("1")
    assert (record.delivery.state, record.delivery.reason) == ("cancelled", "it was a test order")
    assert record.finished_at == shop.now
    assert await ids(store, shop.now) == []


@pytest.mark.parametrize(
    ("state", "said"),
    [(DeliveryState.DONE, "was sent already"), (DeliveryState.SUPPRESSED, "rule in mode test")],
)
async def test_what_was_sent_or_only_a_test_is_left_alone(
    store: Store, shop: Any, state: DeliveryState, said: str
) -> None:
    await shop.due(store, shop.delivery(state=state))
    with pytest.raises(NotPossible, match=said):
        await store.retry(1, shop.now)
    with pytest.raises(NotPossible, match=said):
        await store.cancel(1, shop.now, "why")
    assert (await store.delivery(1)).delivery.state == state


async def test_what_is_under_way_is_left_alone(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery())
    await store.claim(10, shop.now)
    with pytest.raises(NotPossible, match="Delivery 1 is being sent at this moment"):
        await store.retry(1, shop.now)
    with pytest.raises(NotPossible, match="Delivery 1 is being sent at this moment"):
        await store.cancel(1, shop.now, "why")


async def test_there_is_no_doing_anything_with_what_is_not_there(store: Store, shop: Any) -> None:
    for call in (store.retry(7, shop.now), store.cancel(7, shop.now, ""), store.delivery(7)):
        with pytest.raises(NotFound, match="There is no delivery 7 in the record"):
            await call
    with pytest.raises(
        NotFound, match='There is no delivery "ERP-7" in the record: each has a number, such as 42'
    ):
        await store.retry("ERP-7", shop.now)
