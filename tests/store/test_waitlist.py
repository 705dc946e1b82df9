"""The people who wait for a product: one open place each, in the order they signed up, told once, gone when they leave."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.model import Tell, Waiting
from engine.store.store import Store
from engine.store.waitlist import SignUp, skus_of
from tests.store.conftest import NOW, Shop

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)


def wish(who: str, place: int = 0, sku: str = "mug", **more: Any) -> SignUp:
    """A wish to be told, confirmed at once unless it says otherwise."""
    at = NOW + place * MINUTE
    given = {"origin": "import", "signed_up_at": at, "confirmed_at": at, "token": f"{who}-{sku}-{place}"}
    return SignUp(sku, f"{who}@example.com", **{**given, **more})


async def in_turn(store: Store, sku: str = "mug", limit: int = 10) -> list[str]:
    """Who is next for a SKU."""
    ask = Waiting(sku, limit)
    answer = (await store.times.answers([ask]))[ask]
    return [str(one["email"]).split("@")[0] for one in msgspec.json.decode(answer.value)["next"]]


async def tell(store: Store, shop: Shop, *entries: int, sku: str = "mug") -> str:
    """An event that tells people; its number."""
    event = (await store.append(shop.arrival(), NOW)).id
    await store.record([shop.judged(event, effects=[Tell("back", sku, entries)], origin=event)])
    return event


async def test_people_are_next_in_the_order_they_signed_up(store: Store) -> None:
    await store.waitlist.add([wish("cleo", 3), wish("ana", 1), wish("ben", 2)])
    assert await in_turn(store) == ["ana", "ben", "cleo"]
    assert await in_turn(store, limit=2) == ["ana", "ben"]
    assert await in_turn(store, sku="cup") == []


async def test_whoever_signs_up_again_keeps_the_place(store: Store) -> None:
    await store.waitlist.add([wish("ana", 1), wish("ben", 2)])
    assert await store.waitlist.add([wish("ANA", 5, token="another")]) == {"waiting": 1}
    assert await in_turn(store) == ["ana", "ben"]


async def test_a_place_counts_once_it_is_confirmed_and_from_the_time_of_the_sign_up(
    store: Store, shop: Shop
) -> None:
    pending = wish("ana", 1, origin="form", confirmed_at=None, token="t-1")
    assert await store.waitlist.sign_up(pending, shop.arrival()) == "new"
    await store.waitlist.add([wish("ben", 2)])
    assert await in_turn(store) == ["ben"]
    confirmed = await store.waitlist.confirm("t-1", NOW + 9 * MINUTE)
    assert confirmed is not None
    assert confirmed.state == "waiting"
    assert await in_turn(store) == ["ana", "ben"]
    assert await store.waitlist.confirm("no such token", NOW) is None


async def test_asking_again_before_confirming_is_kept_and_only_the_newest_mail_confirms(
    store: Store, shop: Shop
) -> None:
    for token in ("t-1", "t-2"):
        await store.waitlist.sign_up(wish("ana", confirmed_at=None, token=token), shop.arrival())
    assert await store.waitlist.confirm("t-1", NOW) is None
    assert (await store.waitlist.confirm("t-2", NOW)) is not None
    assert len(await store.take_new(10, NOW)) == 2


async def test_whoever_was_told_is_told_no_more_until_signing_up_again(store: Store, shop: Shop) -> None:
    await store.waitlist.add([wish("ana", 1), wish("ben", 2)])
    first, _ = (await store.waitlist.entries()).items
    event = await tell(store, shop, first.id)
    assert await in_turn(store) == ["ben"]
    assert ("told", event) in [(step.what, step.event) for step in await store.waitlist.steps(first.id)]
    await store.waitlist.add([wish("ana", 9)])
    assert await in_turn(store) == ["ben", "ana"]


async def test_whoever_waits_for_several_parts_of_a_bundle_has_one_turn_for_them_all(
    store: Store, shop: Shop
) -> None:
    await store.waitlist.add([wish("ana", 1, "lid"), wish("ana", 2, "mug"), wish("ben", 3, "mug")])
    assert await in_turn(store, "mug|lid") == ["ana", "ben"]
    ana = (await store.waitlist.entries()).items[0]
    await tell(store, shop, ana.id, sku="mug|lid")
    assert await in_turn(store, "mug|lid") == ["ben"]
    assert skus_of(" mug | lid |mug") == ("mug", "lid")


async def test_whoever_leaves_gets_nothing_more_and_what_was_on_its_way_is_cancelled(
    store: Store, shop: Shop
) -> None:
    await store.waitlist.add([wish("ana", 1), wish("ana", 2, "cup")])
    (alert,) = await shop.due(store, shop.delivery(kind="restock alert", to="Ana@example.com"))
    left = await store.waitlist.leave("ana-mug-1", NOW)
    assert left is not None
    assert left.state == "left"
    assert (await in_turn(store), await in_turn(store, "cup")) == ([], [])
    assert (await store.delivery(alert.id)).delivery.state == "cancelled"
    assert await store.waitlist.leave("no such token", NOW) is None


async def test_places_are_listed_a_page_at_a_time_and_counted(store: Store) -> None:
    await store.waitlist.add([wish(f"p{place}", place) for place in range(5)])
    first = await store.waitlist.entries(limit=3, sku="mug", state="waiting")
    rest = await store.waitlist.entries(limit=3, after=first.next, sku="mug")
    assert [one.email[:2] for one in (*first.items, *rest.items)] == ["p0", "p1", "p2", "p3", "p4"]
    assert await store.waitlist.counts() == [("mug", "waiting", 5)]
    assert await store.waitlist.remove("p1@example.com", "mug", NOW) == 1
    assert await store.waitlist.counts() == [("mug", "removed", 1), ("mug", "waiting", 4)]
