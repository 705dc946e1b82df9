"""Kills in a burst: the owner of the record, the planner, or both at random moments, and nothing may be lost.

`python tests/long/kills.py [--kills 200] [--seed 1] [--rate 300]` posts orders without end, kills by chance, starts again,
and at the end compares what was acknowledged with the record and with what arrived. It prints its figures and ends with
1 if an acknowledged event or an action is missing, a key changed, more was doubled than was under way, or anything is
left under way. 200 kills take about ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import uvloop
from loopback import Catcher, Orders, Served, every, numbers, post_all, until

from engine.runtime.lanes import LANE
from engine.store.store import Reader

TARGETS = ("owner", "planner", "both")
SLOW = 15.0
"""Seconds of a start after which its log is worth a look."""


class Run:
    """One run: what was posted, what was acknowledged, and how long each start took."""

    def __init__(self, service: Served, chance: Random, rate: int) -> None:
        self.service = service
        self.chance = chance
        self.rate = rate
        self.orders = Orders()
        self.acknowledged: list[str] = []
        self.refused = 0
        self.posted = 0
        self.starts: list[float] = []
        self.going = True

    async def post(self) -> None:
        """Post at the rate until told to end; what is not acknowledged is not posted again."""
        while self.going:
            began = time.monotonic()
            wanted = [f"R{self.posted + number}" for number in range(self.rate // 10)]
            self.posted += len(wanted)
            answers = await post_all(self.service.port, [self.orders.body(number) for number in wanted], 16)
            good = [number for number, answer in zip(wanted, answers, strict=True) if answer.status == 202]
            self.acknowledged += good
            self.refused += len(wanted) - len(good)
            await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

    async def kill(self, target: str) -> None:
        """Kill it after a moment of work, and start it again where that needs somebody."""
        await asyncio.sleep(self.chance.uniform(0.05, 1.5))
        if target == "planner":
            if planner := self.service.planner():
                os.kill(planner, signal.SIGKILL)
            return
        if target == "both":
            self.service.kill()
        else:
            os.kill(self.service.pid, signal.SIGKILL)
            assert self.service.process is not None
            await asyncio.to_thread(self.service.process.wait)
        began, told = time.monotonic(), len(self.service.log)
        await self.service.start(patience=120)
        self.starts.append(time.monotonic() - began)
        if self.starts[-1] > SLOW:
            print(
                f"a start took {self.starts[-1]:.1f} s, and said:\n{self.service.log[told:][-3000:]}",
                flush=True,
            )


async def run(kills: int, seed: int, rate: int) -> bool:
    """Carry it out and print the figures; whether all is well."""
    chance = Random(seed)
    with tempfile.TemporaryDirectory() as home:
        async with Catcher() as catcher:
            service = Served(Path(home), catcher.port)
            await service.start()
            run = Run(service, chance, rate)
            posting = asyncio.create_task(run.post())
            targets: Counter[str] = Counter()
            for number in range(kills):
                target = chance.choice(TARGETS)
                targets[target] += 1
                await run.kill(target)
                if (number + 1) % 20 == 0:
                    print(
                        f"{number + 1} kills, {len(run.acknowledged)} acknowledged, {len(catcher.got)} arrived",
                        flush=True,
                    )
            run.going = False
            await posting
            wanted = set(run.acknowledged)
            await until(lambda: len(catcher.got) >= len(wanted) and wanted <= set(numbers(catcher.got)), 300)
            await asyncio.to_thread(service.stop)
            with closing(Reader(service.database)) as record:
                events = every(record.events)
                deliveries = every(record.deliveries)
    return report(run, catcher, targets, events, deliveries, seed)


def report(
    run: Run, catcher: Catcher, targets: Counter[str], events: list, deliveries: list, seed: int
) -> bool:
    """Print what was found; whether all is well."""
    recorded = {line.subject.removeprefix("order:") for line in events}
    arrived = Counter(numbers(catcher.got))
    keys = defaultdict(set)
    for caught in catcher.got:
        keys[caught.json["number"]].add(caught.headers["idempotency-key"])
    states = Counter(one.state.value for one in deliveries)
    lost = set(run.acknowledged) - recorded
    missing = recorded - set(arrived)
    doubled = sum(count - 1 for count in arrived.values())
    bound = LANE * (targets["owner"] + targets["both"])
    drift = sum(len(found) != 1 for found in keys.values())
    aside = [line.id for line in events if line.state.value == "failed"]
    print(
        f"seed {seed}; kills: {dict(targets)}; {run.posted} posted, {len(run.acknowledged)} acknowledged, {run.refused} not"
    )
    print(
        f"acknowledged and lost: {len(lost)}; actions missing: {len(missing)}; set aside: {len(aside)}; changed keys: {drift}"
    )
    print(
        f"doubled: {doubled}, at most {bound} were under way; the most of one: {max(arrived.values(), default=0)}"
    )
    print(f"deliveries: {dict(states)}")
    if run.starts:
        print(f"from a kill to ready: median {median(run.starts):.2f} s, worst {max(run.starts):.2f} s")
    return (
        not lost and not missing and not drift and not aside and doubled <= bound and set(states) <= {"done"}
    )


def main() -> None:
    """Read the arguments, run, and say by the exit code how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=300)
    given = parser.parse_args()
    sys.exit(0 if uvloop.run(run(given.kills, given.seed, given.rate)) else 1)


if __name__ == "__main__":
    main()
