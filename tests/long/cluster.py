"""Kills among several: two receivers and two workers on PostgreSQL, of which some are killed with -9 under load.

`python tests/long/cluster.py [--events 20000] [--seed 1]` posts orders, several events of each one after the other, and
kills a worker, a receiver and a worker at random moments; each is started again after a moment. What is not acknowledged
is posted again, as the order system would. At the end it compares what was acknowledged with the record and with what
arrived. It prints its figures and ends with 1 if an acknowledged event or an action is missing, an order's actions came
out of their order, more was doubled than was under way, or anything is left ten seconds after the last acknowledgement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import uvloop
from loopback import Catcher, Orders, Served, every, post_all, until
from own_postgres import own_database

from engine.runtime.lanes import LANE
from engine.store.store import Reader

EACH = 10
"""Events of one order."""

LINES = 32
"""Senders at once, each with orders of its own."""

DRAINED = 10.0
"""Seconds after the last acknowledgement by which everything must have arrived."""

RULE = """name: Every order
when: order_completed
then:
  - http:
      post: /orders
      connection: erp
      json:
        number: "{{ order.number }}"
        step: "{{ order.completed_at }}"
"""


@dataclass
class Cluster:
    """The processes of one service, and what was sent to them."""

    nodes: list[Served]
    chance: Random
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0
    last: float = 0.0

    @property
    def receivers(self) -> list[Served]:
        """Those that take events in."""
        return [node for node in self.nodes if node.role == "receiver"]

    async def send(self, orders: list[str], bodies: dict[str, list[tuple[str, bytes]]]) -> None:
        """Post the events of orders, each as soon as the one before it is acknowledged, to any receiver."""
        for number in orders:
            for step, body in bodies[number]:
                while True:
                    [answer] = await post_all(self.chance.choice(self.receivers).port, [body], 1)
                    if answer.status == 202:
                        break
                    self.refused += 1
                    await asyncio.sleep(0.05)
                self.acknowledged.append((number, step))
                self.last = time.monotonic()

    async def kills(self, roles: Iterable[tuple[str, int]]) -> None:
        """Kill processes, one after the other."""
        for role, after in roles:
            await self.kill(role, after)

    async def kill(self, role: str, after: int) -> None:
        """Kill a process of a role once so many events are acknowledged, and start it again a moment later."""
        await until(lambda: len(self.acknowledged) >= after, 3600)
        node = self.chance.choice([one for one in self.nodes if one.role == role])
        node.kill()
        print(f"{len(self.acknowledged)} acknowledged: a {role} was killed", flush=True)
        await asyncio.sleep(1)  # the others are to work without it for a moment
        await node.start(patience=120)


def events(number: str, orders: Orders) -> list[tuple[str, bytes]]:
    """The events of one order: the same but for when it was completed."""
    document = json.loads(orders.body(number))
    found = []
    for place in range(EACH):
        document["order"]["completed_at"] = f"2026-11-25T09:{place:02}:00.000Z"
        document["order"].pop("updated_at", None)
        found.append((document["order"]["completed_at"], json.dumps(document).encode()))
    return found


async def run(many: int, seed: int) -> bool:
    """Carry it out and print the figures; whether all is well."""
    chance, orders = Random(seed), Orders()
    numbers = [f"R{place:05}" for place in range(many // EACH)]
    bodies = {number: events(number, orders) for number in numbers}
    with tempfile.TemporaryDirectory() as home, own_database() as database:
        async with Catcher() as catcher:
            nodes = [
                Served(Path(home) / f"{role}-{place}", catcher.port, {"every.yaml": RULE}, database, role)
                for role in ("receiver", "worker")
                for place in range(2)
            ]
            cluster = Cluster(nodes, chance)
            try:
                for node in nodes:
                    await node.start()
                began = time.monotonic()
                kills = zip(
                    ("worker", "receiver", "worker"),
                    sorted(chance.sample(range(many // 5, many), 3)),
                    strict=True,
                )
                async with asyncio.TaskGroup() as tasks:
                    for line in range(LINES):
                        tasks.create_task(cluster.send(numbers[line::LINES], bodies))
                    tasks.create_task(cluster.kills(kills))
                took = cluster.last - began
                wanted = set(cluster.acknowledged)
                await until(lambda: wanted <= arrivals(catcher).keys(), 60)
                drained = max((caught.at for caught in catcher.got), default=0.0) - cluster.last
                await asyncio.sleep(1)  # what is doubled would still come
            finally:
                for node in nodes:
                    await asyncio.to_thread(node.stop)
        with closing(Reader(database)) as record:
            recorded = every(record.events)
            states = Counter(one.state.value for one in every(record.deliveries))
    return report(cluster, catcher, len(recorded), states, took, drained, seed)


def arrivals(catcher: Catcher) -> Counter[tuple[str, str]]:
    """How often each event's call arrived."""
    return Counter((caught.json["number"], caught.json["step"]) for caught in catcher.got)


def violations(catcher: Catcher) -> int:
    """How often a call arrived for the first time after a later one of its order."""
    newest: defaultdict[str, str] = defaultdict(str)
    seen: set[tuple[str, str]] = set()
    wrong = 0
    for caught in catcher.got:
        number, step = caught.json["number"], caught.json["step"]
        if (number, step) not in seen:
            seen.add((number, step))
            wrong += step < newest[number]
            newest[number] = max(newest[number], step)
    return wrong


def report(
    cluster: Cluster,
    catcher: Catcher,
    recorded: int,
    states: Counter[str],
    took: float,
    drained: float,
    seed: int,
) -> bool:
    """Print what was found; whether all is well."""
    arrived = arrivals(catcher)
    wanted = set(cluster.acknowledged)
    missing, doubled = wanted - arrived.keys(), arrived.total() - len(arrived)
    wrong, bound = violations(catcher), 2 * LANE
    print(
        f"seed {seed}; {len(wanted)} acknowledged at {len(wanted) / took:,.0f}/s, {cluster.refused} refused and sent again"
    )
    print(f"on record: {recorded}; actions missing: {len(missing)}; out of their order: {wrong}")
    print(
        f"doubled: {doubled}, at most {bound} were under way at the kills; drained {drained:.1f} s after the last"
    )
    print(f"deliveries: {dict(states)}", flush=True)
    return (
        not missing and not wrong and doubled <= bound and drained <= DRAINED
        and recorded == len(wanted) and set(states) == {"done"}
    )  # fmt: skip


def main() -> None:
    """Read the arguments, run, and say by the exit code how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(0 if uvloop.run(run(given.events, given.seed)) else 1)


if __name__ == "__main__":
    main()
