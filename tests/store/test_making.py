"""Which deliveries of a judgement are made: once each, again only if told and under a new key, and within a rule's cap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.store.store import Finished, Store
from engine.store.values import Cap

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def sent(store: Store, shop: Any) -> None:
    """Carry out all that is due."""
    for one in await store.claim(100, shop.now):
        await store.finish([Finished(one.id, one.attempts, "done")])


async def keys(store: Store) -> list[str]:
    return sorted(one.idempotency_key for one in (await store.deliveries(limit=100)).items)


async def again(store: Store, shop: Any, event: str, *, resend: bool) -> None:
    """Judge an event again that says the same as before."""
    await store.replay(event, resend=resend)
    await store.record([shop.judged(event, shop.delivery(idempotency_key="key"))])
    await sent(store, shop)


async def test_what_was_sent_is_sent_again_only_if_told_and_each_time_under_a_new_key(
    store: Store, shop: Any
) -> None:
    [first] = await shop.due(store, shop.delivery(idempotency_key="key"))
    await sent(store, shop)
    await again(store, shop, first.event, resend=False)
    assert await keys(store) == ["key"]
    await again(store, shop, first.event, resend=True)
    assert await keys(store) == ["key", "key-r3"]
    await again(store, shop, first.event, resend=True)
    assert await keys(store) == ["key", "key-r3", "key-r4"]


async def test_what_is_over_a_cap_is_held_with_its_reason_for_as_long_as_its_time(
    store: Store, shop: Any
) -> None:
    capped = [shop.delivery(cap=Cap(2)) for _ in range(4)]
    await shop.due(store, *capped, shop.delivery(rule="other"))
    states = {one.id: (one.rule, one.state.value) for one in (await store.deliveries()).items}
    assert [states[id][1] for id in sorted(states)] == ["queued", "queued", "held", "held", "queued"]
    [reason] = {one.reason for one in (await store.deliveries(state="held")).items}
    assert reason == "its rule has made 2 messages in one hour, which is its cap; send it, or cancel it"
    for later, state in ((HOUR / 2, "held"), (HOUR, "queued")):
        appended = await store.append(shop.arrival(), shop.now + later)
        await store.record([shop.judged(appended.id, shop.delivery(cap=Cap(2)), planned_at=shop.now + later)])
        assert [one.state.value for one in (await store.deliveries(event=appended.id)).items] == [state]
