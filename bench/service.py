"""How fast an event becomes an HTTP call: the whole service against an endpoint of Starlette's that keeps nothing, in one run.

`python bench/service.py [RULES…]` starts `shopbell serve` with so many rules (100 and 1,000 where nothing is said), of
which one fires, posts orders to it over 32 connections, and waits until each has arrived at a catcher. Beside it, in turns,
the same orders go to the bare endpoint. It prints rates, their ratio to the bare endpoint's, processor times for each
event, and how long an event takes at 50 a second. Rates of different machines say nothing; the ratios do.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop
from loopback import EVERY_ORDER, Catcher, Orders, Served, post_all, until

ROUNDS = 3
EVENTS = 1500
"""Events of one turn."""

CALM = 150
"""Events that come one by one, 50 a second."""

RULE = """name: Rule {number}
when: order_completed
if:
  order.line_items[*].sku: product-{number}
  order.total: at least {least} USD
then:
  - http:
      post: /orders
      connection: erp
      json: {{number: "{{{{ order.number }}}}"}}
"""


def rules(count: int) -> dict[str, str]:
    """One rule that fires for every order, and others that ask for a product nobody has bought."""
    others = {
        f"r{number:05}.yaml": RULE.format(number=number + 1000, least=number) for number in range(count - 1)
    }
    return {"every-order.yaml": EVERY_ORDER, **others}


@contextmanager
def bare() -> Iterator[int]:
    """The endpoint to compare with; its port."""
    command = [sys.executable, str(Path(__file__).with_name("receiver.py")), "serve", "bare"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def processor_seconds(pid: int) -> float:
    """The processor time a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Turn:
    """Answers a second of the bare endpoint and of ours, calls that arrived a second, processor time for an event."""

    bare: float
    answered: float
    arrived: float
    owner: float
    planner: float


async def turn(service: Served, bare_port: int, catcher: Catcher, bodies: list[bytes]) -> Turn:
    """The same orders to both, one after the other."""
    began = time.perf_counter()
    await post_all(bare_port, bodies)
    to_bare = len(bodies) / (time.perf_counter() - began)
    pids = service.pid, service.planner()
    before = [processor_seconds(pid) for pid in pids]
    catcher.got.clear()
    began = time.perf_counter()
    answers = await post_all(service.port, bodies)
    answered = len(bodies) / (time.perf_counter() - began)
    if {answer.status for answer in answers} != {202}:
        raise SystemExit(f"not acknowledged: {service.log[-500:]}")
    if not await until(lambda: len(catcher.got) >= len(bodies)):
        raise SystemExit(f"{len(catcher.got)} of {len(bodies)} arrived: {service.log[-500:]}")
    arrived = len(bodies) / (time.perf_counter() - began)
    await asyncio.sleep(0.2)
    owner, planner = (
        (processor_seconds(pid) - then) / len(bodies) for pid, then in zip(pids, before, strict=True)
    )
    return Turn(to_bare, answered, arrived, owner, planner)


async def calm(service: Served, catcher: Catcher, bodies: list[bytes]) -> list[float]:
    """How long each event took to its call when they come 50 a second."""
    catcher.got.clear()
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    tasks = []
    start = loop.time()
    for place, body in enumerate(bodies):
        await asyncio.sleep(max(0.0, start + place / 50 - loop.time()))
        sent.append(time.monotonic())
        tasks.append(asyncio.create_task(post_all(service.port, [body])))
    await asyncio.gather(*tasks)
    await until(lambda: len(catcher.got) >= len(bodies))
    return sorted(caught.at - sent[int(caught.json["number"].rpartition("-")[2])] for caught in catcher.got)


async def measured(count: int, bare_port: int) -> Iterator[str]:
    """The lines to print for so many rules."""
    orders = Orders()
    with tempfile.TemporaryDirectory() as home:
        async with Catcher() as catcher:
            service = Served(Path(home), catcher.port, rules(count))
            began = time.perf_counter()
            await service.start(patience=600)
            ready = time.perf_counter() - began
            try:
                await turn(
                    service, bare_port, catcher, [orders.body(f"warm-{place}") for place in range(300)]
                )
                turns = [
                    await turn(
                        service, bare_port, catcher, [orders.body(f"R{n}-{place}") for place in range(EVENTS)]
                    )
                    for n in range(ROUNDS)
                ]
                took = await calm(service, catcher, [orders.body(f"C-{place}") for place in range(CALM)])
            finally:
                service.stop()
    rate = {name: median(getattr(one, name) for one in turns) for name in Turn.__slots__}
    return iter(
        [
            f"{count:6} rules  ready after {ready:.1f} s",
            f"        bare endpoint {rate['bare']:7,.0f}/s",
            f"        acknowledged  {rate['answered']:7,.0f}/s  ratio {rate['answered'] / rate['bare']:.2f}  (while judging and delivering)",
            f"        delivered     {rate['arrived']:7,.0f}/s  ratio {rate['arrived'] / rate['bare']:.2f}",
            f"        processor     owner {rate['owner'] * 1e6:,.0f} us, planner {rate['planner'] * 1e6:,.0f} us an event",
            f"        at 50/s       event to call p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms",
        ]
    )


def main(counts: list[int]) -> None:
    """Measure each number of rules and print."""
    with bare() as port:
        for count in counts:
            for line in uvloop.run(measured(count, port)):
                print(line, flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 1000])
