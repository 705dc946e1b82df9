"""A slow destination and a planner that stands still delay no acknowledgement and nobody else's deliveries."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from loopback import EVERY_ORDER, numbers, post_all, until

from engine.runtime.lanes import LANE

if TYPE_CHECKING:
    from loopback import Catcher, Orders, Served

pytestmark = pytest.mark.anyio

SLOWER = 5.0
"""How much slower answers may be than before: a machine that is busy with other things varies by less."""

SLICES = 5
NUMBERS = count(1)

RULES = {
    "every-order.yaml": EVERY_ORDER,
    "slow.yaml": "name: Slow\nwhen: order_completed\nthen:\n  - slack:\n      channel: slow\n      text: x\n",
}


async def acknowledged(service: Served, orders: Orders) -> float:
    """The usual seconds to an acknowledgement, the best of some slices."""
    found = []
    for _ in range(SLICES):
        bodies = [orders.body(f"R{next(NUMBERS)}") for _ in range(40)]
        answers = await post_all(service.port, bodies, connections=4)
        assert {answer.status for answer in answers} == {202}
        found.append(median(answer.seconds for answer in answers))
    return min(found)


async def test_a_destination_that_takes_half_a_minute_delays_neither_answers_nor_the_deliveries_of_others(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    catcher.delay = lambda path: 30.0 if path.startswith("/slow") else 0.0
    service = serve({"every-order.yaml": EVERY_ORDER})
    await service.start()
    before = await acknowledged(service, orders)
    (service.rules / "slow.yaml").write_text(RULES["slow.yaml"])
    number = next(NUMBERS)
    assert await until(lambda: "2 rules in force" in service.log, 20)
    await post_all(service.port, [orders.body(f"R{number}")])
    assert await until(lambda: len(catcher.to("/slow")) == 1)
    while_it_hangs = await acknowledged(service, orders)
    assert while_it_hangs < before * SLOWER
    sent = next(NUMBERS) - 1
    assert await until(lambda: len(catcher.to("/erp")) == sent, 20)
    assert await until(lambda: len(catcher.to("/slow")) == LANE, 20)


async def test_a_planner_that_stands_still_delays_neither_answers_nor_what_is_already_due(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    catcher.delay = lambda path: 0.1
    service = serve({"every-order.yaml": EVERY_ORDER})
    await service.start()
    before = await acknowledged(service, orders)
    posted = SLICES * 40
    fires = 'shopbell_rule_outcomes_total{outcome="fires",rule="every-order"}'
    assert await until(lambda: service.metrics().get(fires) == posted)
    arrived = len(catcher.got)
    assert arrived < posted, "too little was left to deliver"

    os.kill(service.planner(), signal.SIGSTOP)
    while_it_stands = await acknowledged(service, orders)
    assert while_it_stands < before * SLOWER
    assert await until(lambda: len(catcher.got) == posted, 20)
    await asyncio.sleep(0.2)
    assert len(catcher.got) == posted, "something was judged though the planner stands still"

    os.kill(service.planner(), signal.SIGKILL)
    assert await until(lambda: len(catcher.got) >= 2 * posted, 40)
    assert len(set(numbers(catcher.got))) == 2 * posted
