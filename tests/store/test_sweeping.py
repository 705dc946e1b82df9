"""What is old goes, a little at a time; what a person must still decide on stays, and so does what is still needed."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.model import Arm, Cell, DeliveryState, Remember
from engine.store.store import Finished, NotFound, NotPossible, Store

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


def rows(url: str, table: str) -> int:
    connection = sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.on_files
async def test_judged_events_without_deliveries_go_with_all_that_belongs_to_them(
    store: Store, shop: Any, url: str
) -> None:
    await store.append(shop.arrival("A", aliases=("shipment:H1",)), shop.now)
    await store.append(shop.arrival("B"), shop.now + DAY)
    await store.record([shop.judged("1"), shop.judged("2")])
    purged = await store.purge(shop.now + DAY)
    assert (purged.events, purged.kept, purged.any) == (1, 0, True)
    assert not (await store.purge(shop.now + DAY)).any
    with pytest.raises(NotFound):
        await store.event("1")
    assert {table: rows(url, table) for table in ("event", "body", "judgement")} == {
        "event": 1,
        "body": 1,
        "judgement": 1,
    }


@pytest.mark.on_files
async def test_deliveries_go_with_their_requests_and_tries_and_then_their_event(
    store: Store, shop: Any, url: str
) -> None:
    await shop.due(store, shop.delivery())
    [delivery] = await store.claim(1, shop.now)
    await store.finish([Finished(delivery.id, 1, "done")])
    purged = await store.purge(shop.now + DAY)
    assert (purged.deliveries, purged.events) == (1, 1)
    assert [rows(url, table) for table in ("delivery", "request", "attempt", "event")] == [0, 0, 0, 0]


async def test_an_event_stays_as_long_as_a_delivery_of_its_does(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery(state=DeliveryState.DONE))
    assert not (await store.purge(shop.now + DAY, deliveries_before=shop.now)).any
    assert (await store.purge(shop.now + DAY, deliveries_before=shop.now + DAY)).events == 1


@pytest.mark.parametrize(
    "state",
    [
        DeliveryState.QUEUED,
        DeliveryState.RUNNING,
        DeliveryState.HELD,
        DeliveryState.FAILED,
        DeliveryState.DEAD,
    ],
)
async def test_what_is_not_settled_stays_with_its_event(
    store: Store, shop: Any, state: DeliveryState
) -> None:
    await shop.due(store, shop.delivery(state=state))
    purged = await store.purge(shop.now + DAY)
    assert (purged.events, purged.deliveries, purged.kept) == (0, 0, 1)
    assert (await store.delivery(1)).delivery.state == state


async def test_events_that_wait_or_were_set_aside_stay(store: Store, shop: Any) -> None:
    for _ in range(2):
        await store.append(shop.arrival(), shop.now)
    await store.set_aside("2", "why")
    purged = await store.purge(shop.now + DAY)
    assert (purged.events, purged.kept) == (0, 2)


async def test_a_batch_takes_no_more_than_its_limit(store: Store, shop: Any) -> None:
    await asyncio.gather(*(store.append(shop.arrival(), shop.now) for _ in range(25)))
    await store.record([shop.judged(str(number)) for number in range(1, 26)])
    gone = []
    while (purged := await store.purge(shop.now + DAY, limit=10)).any:
        gone.append(purged.events)
    assert gone == [10, 10, 5]


async def test_old_bodies_in_quarantine_go(store: Store, shop: Any) -> None:
    for days in (0, 2):
        await store.quarantine(
            source="chord", reason="x", body=b"", headers={}, received_at=shop.now + days * DAY
        )
    assert (await store.purge(shop.now + DAY)).quarantined == 1
    assert [body.id for body in (await store.quarantined()).items] == ["2"]


async def test_the_subject_of_a_purged_event_starts_anew(store: Store, shop: Any) -> None:
    given = {"subject": "order:A", "aliases": ("shipment:H1",)}
    await store.append(shop.arrival("old", updated_at=9, **given), shop.now)
    await store.record([shop.judged("1")])
    await store.purge(shop.now + DAY)
    await store.append(shop.arrival("new", subject="order:A", updated_at=5), shop.now + DAY)
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now + DAY)
    new, shipped = await store.take_new(10, shop.now)
    assert (new.late, new.before) == (False, 0)
    assert (await store.memory(shipped, order_of="shipment:H1")).order_event is None


async def test_a_subject_with_a_newer_event_keeps_its_state(open_store: Any, shop: Any) -> None:
    store = await open_store()
    given = {"subject": "order:A", "aliases": ("shipment:H1",)}
    await store.append(shop.arrival("old", updated_at=1, **given), shop.now)
    await store.append(shop.arrival("new", updated_at=9, **given), shop.now + DAY)
    await store.record([shop.judged("1"), shop.judged("2")])
    await store.purge(shop.now + DAY)
    await store.append(shop.arrival("late", subject="order:A", updated_at=5), shop.now + DAY)
    await store.close()
    store = await open_store()
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now + DAY)
    late, shipped = await store.take_new(10, shop.now)
    assert (late.late, late.before) == (True, 2)
    assert (await store.memory(shipped, order_of="shipment:H1")).order_event == "2"


async def test_identities_go_when_their_window_has_passed(store: Store, shop: Any) -> None:
    for name, window in (("day", DAY), ("week", 7 * DAY)):
        await store.append(shop.arrival(name, window=window), shop.now)
    for _ in range(8):  # until their rows have left the memory
        await store.append(shop.arrival(window=30 * DAY), shop.now)
    gone = [await store.purge_identities(shop.now + 2 * DAY, limit=1) for _ in range(3)]
    assert gone in ([1, 0, 0], [0, 0, 0])  # one that is still in memory is forgotten by its time alone
    appended = [await store.append(shop.arrival(name), shop.now + 2 * DAY) for name in ("day", "week")]
    assert [one.repeat for one in appended] == [False, True]


@pytest.mark.on_files
async def test_identities_that_were_written_are_taken_away_by_their_time(
    open_store: Any, shop: Any, url: str
) -> None:
    store = await open_store(keep=1)
    for _ in range(70):
        await store.append(shop.arrival(window=DAY), shop.now)
    before = rows(url, "identity")
    assert before > 30
    assert await store.purge_identities(shop.now + 2 * DAY, limit=20) == 20
    assert await store.purge_identities(shop.now + 2 * DAY) == before - 20
    assert rows(url, "identity") == 0


async def test_rulebooks_go_once_nothing_was_judged_by_them(store: Store, shop: Any) -> None:
    for days, hash in ((0, "old"), (1, "used"), (2, "now")):
        await store.keep_rulebook(hash, {"a.yaml": hash}, shop.now + days * DAY)
    await store.append(shop.arrival(), shop.now + DAY)
    await store.append(shop.arrival(), shop.now + 9 * DAY)
    kept = shop.judged("1", shop.delivery(state=DeliveryState.HELD), rulebook="used")
    await store.record([kept, shop.judged("2", rulebook="now")])
    await store.purge(shop.now + 8 * DAY)
    with pytest.raises(NotFound):
        await store.rulebook("old")
    assert (await store.rulebook("used")).texts == {"a.yaml": "used"}
    assert (await store.rulebook("now")).texts == {"a.yaml": "now"}


async def test_the_rulebook_in_force_stays_however_old_it_is(store: Store, shop: Any) -> None:
    await store.keep_rulebook("only", {"a.yaml": "x"}, shop.now)
    await store.purge(shop.now + 100 * DAY)
    assert await store.latest_rulebook() == {"a.yaml": "x"}


@pytest.mark.on_files
async def test_the_file_shrinks_when_much_has_gone(open_store: Any, shop: Any, tmp_path: Path) -> None:
    store = await open_store()
    body = b"[%s]" % (b" " * 20_000)
    await asyncio.gather(*(store.append(shop.arrival(body=body), shop.now) for _ in range(200)))
    await store.record([shop.judged(str(number)) for number in range(1, 201)])
    before = (await store.health()).size
    while (await store.purge(shop.now + DAY)).any:
        pass
    assert (await store.health()).size < before / 2
    await store.close()
    assert size_of(tmp_path / "shop.db") < before / 2


# content, and what waits


async def test_the_content_of_an_event_can_go_before_the_event(store: Store, shop: Any) -> None:
    for number in range(5):
        await store.append(shop.arrival(f"N{number}"), shop.now + number * DAY)
    await store.record([shop.judged(str(number)) for number in range(1, 5)])
    assert [await store.purge_bodies(shop.now + 3 * DAY, limit=2) for _ in range(3)] == [2, 1, 0]
    kept = [(await store.event(number)).body is not None for number in range(1, 6)]
    assert kept == [False, False, False, True, True]
    with pytest.raises(NotPossible, match="its content is no longer kept"):
        await store.replay(1)


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.DEAD])
async def test_an_event_that_waits_for_a_person_keeps_its_content(
    store: Store, shop: Any, state: DeliveryState
) -> None:
    await shop.due(store, shop.delivery(state=state))
    await store.append(shop.arrival("not judged"), shop.now)
    assert await store.purge_bodies(shop.now + DAY) == 0
    assert (await store.event(1)).body


def arm(rule: str = "late", until: timedelta = 3 * DAY, shop: Any = None, **more: Any) -> Arm:
    return Arm(rule, "wait", "order:A", shop.now + until, "a shipment", **more)


async def test_an_event_that_something_goes_on_with_stays_with_its_rulebook(store: Store, shop: Any) -> None:
    for name in ("b00c", "newer", "newest"):
        await store.keep_rulebook(name, {"a.yaml": name}, shop.now - DAY + timedelta(hours=len(name)))
    await store.append(shop.arrival("A"), shop.now)
    await store.append(shop.arrival("B"), shop.now)
    await store.record([shop.judged("1", effects=[arm(shop=shop)], origin="1"), shop.judged("2")])
    await asyncio.sleep(0)
    purged = await store.purge(shop.now + 2 * DAY)
    assert (purged.events, await store.purge_bodies(shop.now + 2 * DAY)) == (1, 0)
    assert (await store.rulebook("b00c")).texts == {"a.yaml": "b00c"}
    with pytest.raises(NotFound):
        await store.rulebook("newer")
    assert await store.times.fire(shop.now + 4 * DAY) == 1
    assert (await store.purge(shop.now + 2 * DAY)).events == 1
    await store.purge(shop.now + 9 * DAY)
    with pytest.raises(NotFound):
        await store.rulebook("b00c")


async def test_what_waited_and_has_ended_long_ago_goes(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A"), shop.now)
    await store.record([shop.judged("1", effects=[arm(shop=shop, cancelled_by=("k",))], origin="1")])
    await store.times.fire(shop.now + 4 * DAY)
    await store.purge(shop.now + DAY)
    assert len((await store.times.pending(ended=True)).items) == 1
    await store.purge(shop.now + 9 * DAY)
    assert not (await store.times.pending(ended=True)).items


async def test_what_a_rule_need_remember_no_longer_goes_and_the_rest_stays(store: Store, shop: Any) -> None:
    cells = [Cell("once", "once per", key) for key in ("A", "B", "C")]
    untils = (shop.now + DAY, shop.now + 3 * DAY, None)
    await store.append(shop.arrival("A"), shop.now)
    effects = [Remember(cell, "told", until) for cell, until in zip(cells, untils, strict=True)]
    await store.record([shop.judged("1", effects=effects)])
    assert await store.purge_identities(shop.now + 2 * DAY) == 1
    answers = await store.times.answers(cells)
    assert [answers[cell].value for cell in cells] == [b"null", b'"told"', b'"told"']
