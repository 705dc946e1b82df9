"""Repeats on top of a rush: every one is acknowledged, and each order leads to one action."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from loopback import numbers, post_all, until

if TYPE_CHECKING:
    from loopback import Catcher, Orders

pytestmark = pytest.mark.anyio


async def test_three_hundred_orders_sent_five_times_each_in_any_order_and_spelling_lead_to_three_hundred_actions(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    catcher.delay = lambda path: 0.03
    service = serve()
    await service.start()
    bodies = []
    for number in range(300):
        body = orders.body(f"R{number}")
        spaced = msgspec.json.format(body, indent=2)
        turned = msgspec.json.encode(dict(reversed(msgspec.json.decode(body).items())))
        bodies += [body, body, spaced, turned, spaced]
    Random(11).shuffle(bodies)
    answers = await post_all(service.port, bodies)
    assert {answer.status for answer in answers} == {202}
    assert sum(msgspec.json.decode(answer.text)["repeat"] for answer in answers) == 1200
    assert await until(lambda: len(catcher.got) >= 300)
    assert await asyncio.to_thread(service.stop) == 0
    assert sorted(numbers(catcher.got)) == sorted(f"R{number}" for number in range(300))
