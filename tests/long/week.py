"""A week of a shop with every rule of the gallery and of `rules/` on, held against a clerk who writes by hand what is due.

The sandbox's shop lives in simulated time, with faults on the way of some events; each event goes to the real service over
real HTTP, and what the rules send is caught over real HTTP and SMTP. The clerk (`clerk.py`) hears the same events and shares no
code with the engine. Time stands still until everything that arrived has been judged.

    python tests/long/week.py --orders 10000 --seed 7       ends with 1 and the differences if there is any
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from clerk import RULES, Clerk, Message, canonical  # noqa: E402

from engine.demo import Catcher, Caught, Stage, stage  # noqa: E402
from engine.sources.chord.catalogue import EVENT_TYPES  # noqa: E402
from engine.sources.chord.oms import Life, Oms  # noqa: E402

START = datetime(2026, 10, 26, 4, tzinfo=UTC)
WEEK_IN_HOURS = 7 * 24
BACKLOG = 200


@dataclass
class Time:
    """Simulated time: it moves when it is told to, from one sleeper to the next."""

    now: datetime = START
    sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = field(default_factory=list)
    turn: Any = field(default_factory=count)

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep in simulated time; the gaps of a body that dribbles in pass at once."""
        if seconds <= 0.2:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + timedelta(seconds=seconds), next(self.turn), turn))
        await turn

    def move(self) -> bool:
        """Move to the next sleeper and wake it; whether there was one."""
        while self.sleepers:
            due, _, turn = heapq.heappop(self.sleepers)
            if not turn.done():
                self.now = max(self.now, due)
                turn.set_result(None)
                return True
        return False


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """The way from the sandbox to the service: real HTTP, on which the clerk listens."""

    clerk: Clerk
    time: Time
    real: httpx.AsyncHTTPTransport = field(default_factory=httpx.AsyncHTTPTransport)
    under_way: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and have the clerk hear what was acknowledged."""
        self.under_way += 1
        try:
            body = b"".join([piece async for piece in request.stream])  # type: ignore[union-attr]
            headers = [
                (name, value) for name, value in request.headers.raw if name.lower() != b"transfer-encoding"
            ]
            sent = httpx.Request(
                "POST", request.url, headers=headers, content=body, extensions=request.extensions
            )
            answer = await self.real.handle_async_request(sent)
            said = await answer.aread()
            self.heard(body, answer.status_code, said)
            return httpx.Response(answer.status_code, stream=httpx.ByteStream(said))
        finally:
            self.under_way -= 1

    async def aclose(self) -> None:
        """Give up the connections."""
        await self.real.aclose()

    def heard(self, body: bytes, status: int, said: bytes) -> None:
        """An arrival: what was acknowledged, the clerk hears; both must find the same repeats."""
        if status != 202:
            self.refused += 1
            return
        repeat = self.clerk.hear(json.loads(body), self.time.now)
        if json.loads(said)["repeat"] is not repeat:
            self.wrong.append(f"repeat should be {repeat}: {body[:200]!r}")


TIMED = frozenset({"rules/late-shipment", "rules/sold-out-morning"})
"""Rules with words of time, whose messages come later than their events: the clerk does not write those yet."""


def every_rule(folder: Path) -> None:
    """All rule files in one folder, under the names by which the clerk knows them."""
    for name, source in (("rules", ROOT / "rules"), ("gallery", ROOT / "engine" / "gallery")):
        for file in source.glob("*.yaml"):
            if f"{name}/{file.stem}" not in TIMED:
                (folder / f"{name}--{file.name}").write_text(file.read_text("utf-8"), "utf-8")


def known_files() -> set[str]:
    """The rule files that there are, as the clerk names them."""
    folders = {"rules": ROOT / "rules", "gallery": ROOT / "engine" / "gallery"}
    files = {f"{name}/{file.stem}" for name, folder in folders.items() for file in folder.glob("*.yaml")}
    return files - TIMED


def arrived(caught: Caught) -> Message:
    """A message as it arrived, in the clerk's words."""
    if caught.kind == "slack":
        return "slack", caught.where, str(json.loads(caught.content)["text"])
    if caught.kind == "http":
        return "http", caught.where, canonical(json.loads(caught.content))
    return "email", caught.where, "\n".join(caught.lines)


@dataclass(frozen=True)
class Result:
    """What became of a week."""

    clerk: Clerk
    wire: Wire
    got: Counter[Message]
    days: float
    seconds: float

    @property
    def differences(self) -> list[str]:
        """Everything in which the service and the clerk differ."""
        due = Counter(message for _, message in self.clerk.sent)
        missing = [f"missing: {message}" for message in (due - self.got).elements()]
        extra = [f"not due: {message}" for message in (self.got - due).elements()]
        silent = [
            f"never fired: {file}" for file in sorted(RULES.keys() - {file for file, _ in self.clerk.sent})
        ]
        return missing + extra + self.wire.wrong + silent

    def figures(self) -> list[str]:
        """What happened, in numbers."""
        by_kind = Counter(kind for kind, _, _ in self.got.elements())
        return [
            f"{self.days:.1f} simulated days in {self.seconds:.0f} seconds, {len(RULES)} rules",
            f"{self.clerk.heard:,} events, {self.clerk.repeats:,} repeats, {self.clerk.late:,} late, "
            f"{self.wire.refused:,} tries refused",
            f"{self.got.total():,} messages: "
            + ", ".join(f"{n:,} {kind}" for kind, n in sorted(by_kind.items())),
        ]


async def lived(orders: int, seed: int, faults: float = 0.05, orders_per_hour: float | None = None) -> Result:
    """Live a week of so many orders, until the last parcel has arrived."""
    began, clock, clerk, got = time.monotonic(), Time(), Clerk(), Counter[Message]()
    wire = Wire(clerk, clock)
    with tempfile.TemporaryDirectory() as folder:
        every_rule(Path(folder))
        catcher = Catcher(lambda caught: got.update([arrived(caught)]))
        async with stage(Path(folder), catcher, clock=clock) as on:
            client = httpx.AsyncClient(transport=wire, timeout=30)
            oms = Oms(clock=clock, seed=seed, sleep=clock.sleep, client=client)
            oms.register(on.url, list(EVENT_TYPES))
            oms.begin(Life(orders, orders_per_hour=orders_per_hour or orders / WEEK_IN_HOURS, faults=faults))
            try:
                await _pass(on, oms, clock, wire, got)
            finally:
                await oms.close()
    return Result(clerk, wire, got, (clock.now - START) / timedelta(days=1), time.monotonic() - began)


async def _pass(on: Stage, oms: Oms, clock: Time, wire: Wire, got: Counter[Message]) -> None:
    """Let time pass, judged event by judged event, and at the end until everything has gone out."""
    while True:
        await _quiet(wire)
        await _judged(on)
        while (
            len(wire.clerk.sent) - got.total() > BACKLOG
        ):  # Slack takes a message a second of simulated time
            await _a_moment(on, clock)
        if not clock.move():
            break
    for _ in range(600):
        if got.total() >= len(wire.clerk.sent) and not await _open(on):
            return
        await _a_moment(on, clock)


async def _quiet(wire: Wire) -> None:
    """Wait until nothing is on its way to the service, nor about to be."""
    idle = 0
    while idle < 12:
        await asyncio.sleep(0 if not wire.under_way else 0.0005)
        idle = 0 if wire.under_way else idle + 1


async def _judged(on: Stage) -> None:
    while (await on.service.store.counts()).new_events:  # noqa: ASYNC110  # the record tells nobody when it is judged
        await asyncio.sleep(0.001)


async def _open(on: Stage) -> int:
    return sum((await on.service.store.counts()).deliveries.values())


async def _a_moment(on: Stage, clock: Time) -> None:
    """A second of simulated time, with a little real time to send in."""
    clock.now += timedelta(seconds=1)
    on.service.store.wake()
    await asyncio.sleep(0.02)


def main() -> None:
    """Live the week that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    result = asyncio.run(lived(given.orders, given.seed))
    for line in result.figures():
        print(line)
    for difference in result.differences[:20]:
        print(difference)
    print(f"seed {given.seed}, {given.orders:,} orders: {len(result.differences)} differences")
    sys.exit(bool(result.differences))


if __name__ == "__main__":
    main()
