"""Killed in the middle of a burst and started again, the service has lost nothing it said it had."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from loopback import every, numbers, post_all, until

from engine.runtime.lanes import LANE
from engine.store.store import Reader

if TYPE_CHECKING:
    from loopback import Catcher, Orders

pytestmark = pytest.mark.anyio


async def test_two_thousand_events_with_a_kill_in_the_middle_are_all_on_record_and_all_delivered(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    service = serve()
    await service.start()
    wanted = [f"R{number:05}" for number in range(2000)]
    posting = asyncio.create_task(post_all(service.port, [orders.body(number) for number in wanted]))
    assert await until(lambda: len(catcher.got) > 20)
    service.kill()
    at_the_kill = len(catcher.got)
    first = dict(zip(wanted, await posting, strict=True))
    acknowledged = {number for number, answer in first.items() if answer.status == 202}
    assert 0 < len(acknowledged) < 2000
    await service.start()
    again = [number for number in wanted if number not in acknowledged]
    answers = await post_all(service.port, [orders.body(number) for number in again])
    assert {answer.status for answer in answers} == {202}

    assert await until(lambda: len(catcher.got) >= 2000 and set(numbers(catcher.got)) == set(wanted))
    assert await asyncio.to_thread(service.stop) == 0
    keys = defaultdict(set)
    for caught in catcher.got:
        keys[caught.json["number"]].add(caught.headers["idempotency-key"])
    assert {len(found) for found in keys.values()} == {1}
    doubled = sum(count - 1 for count in Counter(numbers(catcher.got)).values())
    assert doubled <= LANE
    assert at_the_kill < len(catcher.got)

    with closing(Reader(service.database)) as record:
        assert len(every(record.events)) == 2000
        states = Counter(one.state.value for one in every(record.deliveries))
    assert states == {"done": 2000}
