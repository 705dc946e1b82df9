"""What the store costs, as ratios within one run: keeping events in groups, claiming among many that wait, start.

    python bench/store.py [events]

The yardstick is the least that durable keeping can cost: the same bodies in a bare table, as many to a commit. Times
are those of the processor, which neighbours disturb least; each figure is the median of several interleaved rounds.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, process_time
from typing import Any

import uvloop

from engine.model import DeliveryState
from engine.store.sqlite import open_writer
from engine.store.store import Arrival, Finished, Judged, NewDelivery, Store

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
BODY = os.urandom(1850).hex().encode()
"""As long as the guide's order with two line items."""

random = Random(7)


def arrival() -> Arrival:
    """An order like no other, as it comes from the receiver."""
    number = random.randrange(10**9)
    return Arrival(
        source="chord",
        type="order_completed",
        subject=f"order:ACS-{number}",
        body=BODY,
        identity=random.randbytes(32),
        window=timedelta(days=7),
        updated_at=number,
        aliases=(f"shipment:H{number}",),
        headers={"content-type": "application/json"},
    )


def bare(folder: Path, events: int, group: int) -> float:
    """Microseconds for a body in a bare table, so many to a commit."""
    connection = open_writer(folder / f"bare-{random.random()}.db")
    connection.execute("CREATE TABLE body (id INTEGER PRIMARY KEY, body BLOB)")
    began = process_time()
    for _ in range(events // group):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO body (body) VALUES (?)", [(BODY,)] * group)
        connection.execute("COMMIT")
    took = process_time() - began
    connection.close()
    return took / events * 1e6


async def append(folder: Path, events: int, group: int) -> float:
    """Microseconds for an event that is kept and answered, so many senders at once."""
    async with await Store.open(f"sqlite:///{folder}/append-{random.random()}.db") as store:
        waiting = [[arrival() for _ in range(events // group)] for _ in range(group)]

        async def sender(arrivals: list[Arrival]) -> None:
            for one in arrivals:
                await store.append(one, NOW)

        began = process_time()
        await asyncio.gather(*map(sender, waiting))
        return (process_time() - began) / events * 1e6


def delivery(number: int, due_at: datetime) -> NewDelivery:
    """A call to a connection of its own for each of ten."""
    return NewDelivery(
        "big-order", 1, "http", "POST erp /orders", f"http/{number % 10}", b'{"connection":"erp","json":{"total":10.63}}',
        DeliveryState.QUEUED, due_at, f"order:{number}", f"{number}-big-order-1",
    )  # fmt: skip


async def fill(store: Store, first: int, many: int, due_at: datetime) -> None:
    """Deliveries, one for each event."""
    for start in range(first, first + many, 200):
        numbers = range(start, min(start + 200, first + many))
        appended = await asyncio.gather(*(store.append(arrival(), NOW) for _ in numbers))
        deliveries = [delivery(number, due_at) for number in numbers]
        await store.record(
            [
                Judged(one.id, "b00c", {"big-order": "fires"}, NOW, deliveries=[due])
                for one, due in zip(appended, deliveries, strict=True)
            ]
        )


async def claim(store: Store, first: int) -> tuple[float, float]:
    """Microseconds to judge an event, and to claim and finish a delivery, fifty at a time."""
    began = process_time()
    await fill(store, first, 1000, NOW)
    judged = process_time() - began
    began = process_time()
    done = 0
    while claimed := await store.claim(50, NOW):
        await store.finish([Finished(one.id, one.attempts, "done", "200", "ok", 12) for one in claimed])
        done += len(claimed)
    assert done == 1000
    return judged * 1e3, (process_time() - began) * 1e3


async def claims(folder: Path, waiting: int) -> list[float]:
    """What a delivery costs while so many others wait for a later time, and while as many are due but held back."""
    figures = []
    async with await Store.open(f"sqlite:///{folder}/claim-{waiting}.db") as store:
        await fill(store, 10_000_000, waiting, NOW + timedelta(hours=1))
        figures.append(median([(await claim(store, number * 1000))[1] for number in range(3)]))
        began = perf_counter()
        for _ in range(50):
            await store.claim(
                50, NOW + timedelta(hours=2), frozenset(f"http/{number}" for number in range(10))
            )
        figures.append((perf_counter() - began) / 50 * 1e6)
        began = perf_counter()
        for _ in range(20):
            await store.counts()
        figures.append((perf_counter() - began) / 20 * 1e6)
    return figures


async def start(path: Path) -> float:
    """Milliseconds to open a record whose newest events must be gone through again."""
    began = perf_counter()
    async with await Store.open(f"sqlite:///{path}"):
        return (perf_counter() - began) * 1e3


def run(call: Callable[..., Coroutine[Any, Any, Any]], *given: Any) -> Any:
    """The result of a call on an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(call(*given))


def main(events: int) -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"SQLite {sqlite3.sqlite_version}, {len(BODY):,} bytes a body, {events:,} events a round")
        for group in (1, 32, 128):
            many = events if group > 1 else events // 8
            rounds = [(bare(folder, many, group), run(append, folder, many, group)) for _ in range(5)]
            base, ours = median(one for one, _ in rounds), median(one for _, one in rounds)
            print(
                f"keep, {group:3} at once: {ours:6.1f} µs an event, a bare row {base:6.1f} µs: ratio {ours / base:.2f}"
            )
        print(
            f"start, newest events gone through again: {run(start, next(folder.glob('append-*.db'))):.0f} ms"
        )
        none, many_wait = run(claims, folder, 0), run(claims, folder, 100_000)
        for what, zero, full in zip(
            ("claim and finish a delivery", "a claim that may take none", "count what waits"),
            none,
            many_wait,
            strict=True,
        ):
            print(f"{what}: {zero:7.1f} µs, with 100,000 that wait {full:8.1f} µs: ratio {full / zero:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
