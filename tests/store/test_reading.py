"""The record is read in pages that stay put, whole where one thing is asked for, and beside a service that runs."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from engine.model import DeliveryState
from engine.store import reading
from engine.store.store import NewerSchema, NotFound, Reader, Store, StoreUnavailable

pytestmark = pytest.mark.anyio


async def events_of(store: Store, shop: Any, *types: str) -> None:
    await asyncio.gather(*(store.append(shop.arrival(type=type), shop.now) for type in types))


async def pages(read: Any, **given: Any) -> list[list[str]]:
    """The numbers of all pages, one by one."""
    found = []
    after = None
    while True:
        page = await read(after=after, **given)
        found.append([str(item.id) for item in page.items])
        if page.next is None:
            return found
        after = page.next


async def test_events_come_in_pages_newest_first(store: Store, shop: Any) -> None:
    await events_of(store, shop, *["order_completed"] * 5)
    assert await pages(store.events, limit=2) == [["5", "4"], ["3", "2"], ["1"]]
    assert await pages(store.events, limit=5) == [["5", "4", "3", "2", "1"]]


async def test_a_page_stays_the_same_while_new_events_come_in(store: Store, shop: Any) -> None:
    await events_of(store, shop, *["order_completed"] * 4)
    first = await store.events(limit=2)
    await events_of(store, shop, *["order_completed"] * 3)
    second = await store.events(limit=2, after=first.next)
    assert [event.id for event in second.items] == ["2", "1"]


async def test_events_are_found_by_type_and_state(store: Store, shop: Any) -> None:
    await events_of(store, shop, "order_completed", "order_cancelled", "order_completed", "order_completed")
    await store.record([shop.judged("1")])
    await store.set_aside("3", "why")
    assert await pages(store.events, type="order_completed", limit=2) == [["4", "3"], ["1"]]
    assert await pages(store.events, state="new") == [["4", "2"]]
    assert await pages(store.events, state="failed") == [["3"]]
    assert await pages(store.events, state="evaluated", type="order_completed") == [["1"]]


async def test_deliveries_are_found_by_state_event_and_rule(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery("a"), shop.delivery("b", state=DeliveryState.HELD))
    await shop.due(store, shop.delivery("a"), shop.delivery("b"))
    assert await pages(store.deliveries, limit=3) == [["4", "3", "2"], ["1"]]
    assert await pages(store.deliveries, state="queued") == [["4", "3", "1"]]
    assert await pages(store.deliveries, state="held") == [["2"]]
    assert await pages(store.deliveries, rule="a", limit=1) == [["3"], ["1"]]
    assert await pages(store.deliveries, event="1") == [["2", "1"]]
    assert await pages(store.deliveries, event=2, rule="b", state="queued") == [["4"]]


async def test_what_is_not_there_is_said_plainly(store: Store) -> None:
    for wrong in ("42", "sample", "", "-1", "9" * 30, "１"):
        with pytest.raises(NotFound, match="in the record"):
            await store.event(wrong)


async def test_what_waits_is_counted(store: Store, shop: Any) -> None:
    await store.append(shop.arrival(), shop.now)
    await store.append(shop.arrival(), shop.now + timedelta(seconds=5))
    await store.append(shop.arrival(), shop.now)
    await store.set_aside("3", "why")
    await store.quarantine(source="chord", reason="cut off", body=b"{", headers={}, received_at=shop.now)
    made = [
        shop.delivery(),
        shop.delivery(due_at=shop.now - timedelta(hours=1)),
        shop.delivery(connection="slack/default"),
        shop.delivery(state=DeliveryState.HELD),
        shop.delivery(state=DeliveryState.DONE),
        shop.delivery(state=DeliveryState.DEAD, connection="email/care"),
    ]
    await shop.due(store, *made)
    await store.claim(1, shop.now, room={"http/erp": 0})
    counts = await store.counts()
    assert (counts.new_events, counts.oldest_new, counts.failed_events) == (2, shop.now, 1)
    assert counts.deliveries == {
        (DeliveryState.QUEUED, "http/erp"): 2,
        (DeliveryState.RUNNING, "slack/default"): 1,
        (DeliveryState.HELD, "http/erp"): 1,
        (DeliveryState.DEAD, "email/care"): 1,
    }
    assert counts.oldest_due == shop.now - timedelta(hours=1)
    assert counts.quarantined == 1


async def test_nothing_waits_in_an_empty_record(store: Store) -> None:
    counts = await store.counts()
    assert (counts.new_events, counts.oldest_new, counts.oldest_due, counts.deliveries) == (0, None, None, {})


async def test_history_goes_through_events_from_a_time_on_in_the_order_in_which_they_came(
    store: Store, shop: Any
) -> None:
    for hours in (0, 1, 3, 3, 2):
        await store.append(shop.arrival(subject="A"), shop.now + timedelta(hours=hours))
    since = shop.now + timedelta(hours=1)
    found = first = await store.history(since, limit=2)
    while more := await store.history(since, after=found[-1].id, limit=1):
        found = found + more
    assert [(event.id, event.before) for event in first] == [("2", 1), ("5", 4)]
    assert [event.id for event in found] == ["2", "5", "3", "4"]


# quarantine


async def test_a_body_that_could_not_be_read_is_kept_with_the_reason(store: Store, shop: Any) -> None:
    given = {"source": "chord", "reason": "the text is cut off at letter 7", "headers": {"content-type": "x"}}
    number = await store.quarantine(body=b'\xff{"a":', received_at=shop.now, **given)
    kept = await store.quarantined_body(number)
    assert (kept.body, kept.reason, kept.headers) == (b'\xff{"a":', given["reason"], given["headers"])
    assert (kept.source, kept.received_at) == ("chord", shop.now)
    await store.quarantine(body=b"", received_at=shop.now, **given)
    assert await pages(store.quarantined, limit=1) == [["2"], ["1"]]


async def test_a_body_leaves_the_quarantine_once(store: Store, shop: Any) -> None:
    number = await store.quarantine(source="chord", reason="x", body=b"", headers={}, received_at=shop.now)
    await store.release(number)
    with pytest.raises(NotFound, match="There is no body 1 in quarantine"):
        await store.release(number)
    with pytest.raises(NotFound, match="There is no body 1 in quarantine"):
        await store.quarantined_body(number)


# beside the service


async def test_the_record_is_read_beside_a_store_that_is_open(store: Store, shop: Any, url: str) -> None:
    with Reader(url) as reader:
        assert reader.events().items == ()
        await events_of(store, shop, "order_completed")
        assert reader.event("1") == await store.event("1")


async def test_the_record_is_read_when_no_store_is_open(open_store: Any, shop: Any, url: str) -> None:
    store = await open_store()
    await shop.due(store, shop.delivery())
    await store.close()
    with Reader(url) as reader:
        assert reader.delivery(1).delivery.rule == "big-order"


@pytest.mark.on_files
async def test_a_reader_cannot_write(store: Store, url: str) -> None:
    with Reader(url) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.runner.cursor.execute("DELETE FROM event")


@pytest.mark.on_files
def test_reading_a_record_that_is_not_there_says_so_and_makes_none(url: str, tmp_path: Any) -> None:
    with pytest.raises(
        StoreUnavailable, match=r"there is no database .* yet; it is made when the service first starts"
    ):
        Reader(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.on_files
def test_reading_tables_of_another_version_says_what_to_do(url: str, tmp_path: Any) -> None:
    other = sqlite3.connect(tmp_path / "shop.db")
    other.executescript(
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999')"
    )
    other.close()
    with pytest.raises(NewerSchema, match="Start the service of this version once, or use that one"):
        Reader(url)


async def test_what_was_due_at_one_look_and_is_gone_at_the_next_counts_for_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "connections", lambda runner: ["slack/a", "slack/b"])
    assert (await store.counts()).oldest_due is None
