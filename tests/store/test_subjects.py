"""What is known beside an event: its subject's state before it, the order it belongs to, names; and which events are late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.store.store import MemoryRow, NotFound, Store, StoredEvent

pytestmark = pytest.mark.anyio

MINUTE = 60_000_000


async def taken(store: Store, shop: Any) -> list[StoredEvent]:
    return await store.take_new(200, shop.now)


async def befores(store: Store, events: Sequence[StoredEvent]) -> list[str | None]:
    rows = await store.memories([(event, True, "", ()) for event in events])
    return [row.before_event for row in rows]


async def test_before_is_the_body_of_the_event_before_of_the_same_subject(store: Store, shop: Any) -> None:
    for name, about in (("a1", "A"), ("b1", "B"), ("a2", "A")):
        await store.append(shop.arrival(name, subject=about), shop.now)
    rows = await store.memories([(event, True, "", ()) for event in await taken(store, shop)])
    assert [row.before_event for row in rows] == [None, None, "1"]
    assert rows[2].before_body == b'{"name":"a1"}'


async def test_before_is_looked_up_only_where_it_is_wanted(store: Store, shop: Any) -> None:
    for name in ("a1", "a2"):
        await store.append(shop.arrival(name, subject="A"), shop.now)
    _, second = await taken(store, shop)
    assert await store.memory(second) == MemoryRow()
    assert (await store.memory(second, before=True)).before_event == "1"


async def test_each_event_of_a_batch_sees_the_one_before_it_in_the_same_batch(
    store: Store, shop: Any
) -> None:
    await asyncio.gather(*(store.append(shop.arrival(f"a{n}", subject="A"), shop.now) for n in range(5)))
    assert await befores(store, await taken(store, shop)) == [None, "1", "2", "3", "4"]


async def test_before_is_that_of_the_events_turn_whatever_has_come_since(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("a1", subject="A"), shop.now)
    await store.append(shop.arrival("a2", subject="A"), shop.now)
    events = await taken(store, shop)
    await store.append(shop.arrival("a3", subject="A"), shop.now)
    assert await befores(store, events) == [None, "1"]


async def test_an_older_event_is_late_and_changes_no_state(store: Store, shop: Any) -> None:
    """Delivered at ten past, then "in transit" of five past, then something of a quarter past."""
    for name, minutes in (("delivered", 10), ("in transit", 5), ("shipped", 1), ("returned", 15)):
        await store.append(shop.arrival(name, subject="S", updated_at=minutes * MINUTE), shop.now)
    events = await taken(store, shop)
    assert [event.late for event in events] == [False, True, True, False]
    assert await befores(store, events) == [None, "1", "1", "1"]
    assert [line.late for line in (await store.events()).items] == [False, True, True, False]


async def test_equal_or_missing_time_stamps_are_not_late(store: Store, shop: Any) -> None:
    for number, stamp in enumerate((None, 5 * MINUTE, 5 * MINUTE, None, 4 * MINUTE)):
        await store.append(shop.arrival(f"n{number}", subject="S", updated_at=stamp), shop.now)
    assert [event.late for event in await taken(store, shop)] == [False, False, False, False, True]


async def test_lateness_is_told_after_a_restart(open_store: Any, shop: Any) -> None:
    store = await open_store()
    await store.append(shop.arrival("a", subject="S", updated_at=10 * MINUTE), shop.now)
    await store.append(shop.arrival("b", subject="S", updated_at=9 * MINUTE), shop.now)
    await store.close()
    store = await open_store()
    await store.append(shop.arrival("c", subject="S", updated_at=8 * MINUTE), shop.now)
    events = await taken(store, shop)
    assert [event.late for event in events] == [False, True, True]
    assert await befores(store, events) == [None, "1", "1"]


async def test_a_shipment_sees_the_newest_event_of_the_order_it_belongs_to(store: Store, shop: Any) -> None:
    given_ = {"subject": "order:A", "aliases": ("shipment:H1", "shipment:H2")}
    await store.append(shop.arrival("completed", **given_), shop.now)
    await store.append(shop.arrival("shipped", subject="shipment:H2"), shop.now)
    await store.append(shop.arrival("cancelled", **given_), shop.now)
    shipped = (await taken(store, shop))[1]
    row = await store.memory(shipped, order_of="shipment:H2")
    assert (row.order_event, row.order_body) == ("3", b'{"name":"cancelled"}')
    assert (await store.memory(shipped, order_of="shipment:H9")) == MemoryRow()


async def test_a_shipment_that_came_first_sees_its_order_once_that_is_there(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now)
    [shipped] = await taken(store, shop)
    assert (await store.memory(shipped, order_of="shipment:H1")).order_event is None
    await store.append(shop.arrival("completed", subject="order:A", aliases=("shipment:H1",)), shop.now)
    assert (await store.memory(shipped, order_of="shipment:H1")).order_event == "2"


async def test_a_late_event_of_an_order_is_not_what_its_shipment_sees(store: Store, shop: Any) -> None:
    given_ = {"subject": "order:A", "aliases": ("shipment:H1",)}
    await store.append(shop.arrival("new", updated_at=9 * MINUTE, **given_), shop.now)
    await store.append(shop.arrival("old", updated_at=8 * MINUTE, **given_), shop.now)
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now)
    assert (await store.memory((await taken(store, shop))[2], order_of="shipment:H1")).order_event == "1"


async def test_names_that_earlier_events_taught_are_known(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("order"), shop.now)
    await store.append(shop.arrival("stock"), shop.now)
    order, stock = await taken(store, shop)
    names = {("product", "mug"): "Mug, blue", ("product", "cap"): "Cap \ud83d", ("color", "mug"): "blue"}
    await store.record([shop.judged(order, names=names)])
    row = await store.memory(stock, products=("mug", "cap", "sock"))
    assert row.products == {"mug": "Mug, blue", "cap": "Cap \ufffd"}


async def test_a_name_that_is_taught_anew_is_the_newer_one(store: Store, shop: Any) -> None:
    for name in ("one", "two", "three"):
        await store.append(shop.arrival(name), shop.now)
    one, two, three = await taken(store, shop)
    await store.record([shop.judged(one, names={("product", "mug"): "Mug"})])
    await store.record([shop.judged(two, names={("product", "mug"): "Big mug"})])
    assert (await store.memory(three, products=("mug",))).products == {"mug": "Big mug"}


async def test_what_was_known_at_the_judgement_is_given_again_later(store: Store, shop: Any) -> None:
    given_ = {"subject": "order:A", "aliases": ("shipment:H1",)}
    await store.append(shop.arrival("completed", **given_), shop.now)
    await store.append(shop.arrival("ready", subject="shipment:H1"), shop.now)
    await store.append(shop.arrival("shipped", subject="shipment:H1"), shop.now)
    events = await taken(store, shop)
    await store.record([shop.judged(events[0], names={("product", "mug"): "Mug"})])
    known = await store.memory(events[2], True, "shipment:H1", ("mug",))
    await store.record([shop.judged(events[1]), shop.judged(events[2], memory=known)])
    await store.append(shop.arrival("cancelled", **given_), shop.now)
    await store.record([shop.judged("4", names={("product", "mug"): "Cup"})])
    assert known.before_event == "2"
    assert known.order_event == "1"
    assert await store.memory_of("3") == known


async def test_the_memory_of_an_event_that_is_not_judged_is_not_there(store: Store, shop: Any) -> None:
    await store.append(shop.arrival(), shop.now)
    with pytest.raises(NotFound, match="Event 1 has not been judged"):
        await store.memory_of("1")


async def test_what_was_known_and_is_no_longer_kept_is_left_out(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("a1", subject="A"), shop.now)
    await store.append(shop.arrival("a2", subject="A"), shop.now + timedelta(days=2))
    first, second = await taken(store, shop)
    known = await store.memory(second, before=True)
    await store.record([shop.judged(first), shop.judged(second, memory=known)])
    assert (await store.purge(shop.now + timedelta(days=1))).events == 1
    assert await store.memory_of("2") == MemoryRow()
    assert await store.memory(second, before=True) == MemoryRow()


async def test_many_events_are_looked_up_together(store: Store, shop: Any) -> None:
    arrivals = [
        shop.arrival(subject=f"order:{n % 150}", aliases=(f"shipment:{n % 150}",)) for n in range(300)
    ]
    await asyncio.gather(*(store.append(arrival, shop.now) for arrival in arrivals))
    events = await store.take_new(1000, shop.now)
    rows = await store.memories([(event, True, f"shipment:{n % 150}", ()) for n, event in enumerate(events)])
    assert [row.before_event for row in rows] == [None] * 150 + [str(n) for n in range(1, 151)]
    assert [row.order_event for row in rows] == [str(151 + n % 150) for n in range(300)]


# the law: whatever comes in whatever groups, with restarts anywhere, it is as if each came alone


@dataclass(frozen=True)
class Came:
    """One arrival of the generated shop: what it is about, which of its versions, and its time stamp."""

    about: str
    version: int
    stamp: int | None


came = st.builds(
    Came,
    st.sampled_from("ABC"),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 3).map(MINUTE.__mul__)),
)
groups = st.lists(st.one_of(st.lists(came, min_size=1, max_size=6), st.just("restart")), max_size=8)


@given(groups=groups, keep=st.sampled_from([1, 2, 5, 1000]), superseded=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_whatever_comes_together_or_between_restarts_is_kept_as_if_each_came_alone(
    tmp_path_factory: pytest.TempPathFactory, shop: Any, groups: list[Any], keep: int, superseded: bool
) -> None:
    folder = tmp_path_factory.mktemp("law")

    async def run() -> None:
        model = Model(superseded)
        store = await Store.open(f"sqlite:///{folder}/shop.db", keep=keep)
        for group in groups:
            if group == "restart":
                await store.close()
                store = await Store.open(f"sqlite:///{folder}/shop.db", keep=keep)
                continue
            arrivals = [model.arrival(shop, one) for one in group]
            appended = await asyncio.gather(*(store.append(arrival, shop.now) for arrival in arrivals))
            assert [(int(one.id), one.repeat) for one in appended] == [model.keep(one) for one in group]
        events = await store.take_new(1000, shop.now)
        assert [event.late for event in events] == model.late
        assert await befores(store, events) == [str(before) if before else None for before in model.before]
        await store.close()

    anyio.run(run)


class Model:
    """What the store promises, in the plainest form."""

    def __init__(self, superseded: bool) -> None:
        self.superseded = superseded
        self.identity: dict[Came, int] = {}
        self.newest: dict[str, int] = {}
        self.state: dict[str, int] = {}
        self.stamp: dict[str, int] = {}
        self.late: list[bool] = []
        self.before: list[int | None] = []

    def arrival(self, shop: Any, one: Came) -> Any:
        return shop.arrival(repr(one), subject=one.about, updated_at=one.stamp, superseded=self.superseded)

    def keep(self, one: Came) -> tuple[int, bool]:
        known = self.identity.get(one)
        if known and (not self.superseded or self.newest[one.about] == known):
            return known, True
        id = len(self.late) + 1
        late = one.stamp is not None and one.stamp < self.stamp.get(one.about, 0)
        self.late.append(late)
        self.before.append(self.state.get(one.about))
        self.identity[one] = self.newest[one.about] = id
        if not late:
            self.state[one.about] = id
            self.stamp[one.about] = one.stamp or self.stamp.get(one.about, 0)
        return id, False
