"""Wherever the process ends: nothing that was answered is lost, and nothing is recorded half.

A file copied at a moment is what a killed process leaves behind, for what it has written is the system's by then.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import Delivery, DeliveryState
from engine.store.store import Finished, Judged, Store

pytestmark = pytest.mark.anyio

FAILPOINTS = ("after appending", "after job", "before commit", "after commit", "before answer")
BEFORE_COMMIT = FAILPOINTS[:3]


@dataclass
class Answered:
    """What the store has answered so far: what must be there whatever happens now."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    arrivals: Counter[str] = field(default_factory=Counter)
    judged: dict[str, Judged] = field(default_factory=dict)
    claimed: dict[int, int] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)


@dataclass
class Life:
    """A store at work, step by step, with note of all its answers."""

    store: Store
    shop: Any
    answered: Answered = field(default_factory=Answered)
    judged: dict[str, Judged] = field(default_factory=dict)
    under_way: list[Delivery] = field(default_factory=list)

    async def do(self, step: str) -> None:
        """One step; several calls of it wait at once."""
        await {"arrive": self.arrive, "repeat": self.repeat, "judge": self.judge, "send": self.send}[step]()

    async def arrive(self) -> None:
        names = [f"N{len(self.answered.bodies) + place}" for place in range(3)]
        arrivals = [
            self.shop.arrival(name, subject=f"S{name[-1]}", aliases=(f"alias:{name}",)) for name in names
        ]
        appended = await asyncio.gather(*(self.store.append(arrival, self.shop.now) for arrival in arrivals))
        for arrival, one in zip(arrivals, appended, strict=True):
            assert not one.repeat
            self.answered.bodies[one.id] = arrival.body
            self.answered.arrivals[one.id] += 1

    async def repeat(self) -> None:
        for id, body in list(self.answered.bodies.items())[-2:]:
            appended = await self.store.append(self.again(body), self.shop.now)
            assert (appended.id, appended.repeat) == (id, True)
            self.answered.arrivals[id] += 1

    def again(self, body: bytes) -> Any:
        name = body.decode()[9:-2]
        return self.shop.arrival(name, subject=f"S{name[-1]}", aliases=(f"alias:{name}",))

    async def judge(self) -> None:
        taken = await self.store.take_new(2, self.shop.now)
        memories = await self.store.memories([(event, True, "", ()) for event in taken])
        judged = [self._judged(event.id, memory) for event, memory in zip(taken, memories, strict=True)]
        await self.store.record(judged)
        self.answered.judged |= {one.event_id: one for one in judged}

    def _judged(self, id: str, memory: Any) -> Judged:
        okey = f"order:{int(id) % 3}"
        deliveries = [
            self.shop.delivery("a", okey=okey, idempotency_key=f"{id}-a"),
            self.shop.delivery("b", idempotency_key=f"{id}-b"),
        ]
        self.judged[id] = self.shop.judged(id, *deliveries, memory=memory, names={("product", id): id})
        return self.judged[id]

    async def send(self) -> None:
        ending, self.under_way = self.under_way, []
        endings = [self._ending(one) for one in ending]
        claimed, *_ = await asyncio.gather(
            self.store.claim(3, self.shop.now), *(self.store.finish([one]) for one in endings)
        )
        for one in endings:
            self.answered.ended[one.delivery_id] = one.state
        for delivery in claimed:
            self.answered.claimed[delivery.id] = delivery.attempts
        self.under_way = claimed

    def _ending(self, delivery: Delivery) -> Finished:
        if delivery.attempts == 1 and delivery.id % 3 == 0:
            return Finished(delivery.id, 1, "retry", due_at=self.shop.now, state=DeliveryState.QUEUED)
        return Finished(delivery.id, delivery.attempts, "done")


async def check(url: str, shop: Any, answered: Answered) -> None:
    """Open what a crash left behind, and hold it against what was answered."""
    whole(url.removeprefix("sqlite:///"))
    async with await Store.open(url) as store:
        await check_events(store, shop, answered)
        await check_deliveries(store, shop, answered)


def whole(path: str) -> None:
    """Whatever is there is whole, whether it was answered or not."""
    db = sqlite3.connect(path)
    none = {
        "an event without its body": "SELECT id FROM event WHERE id NOT IN (SELECT event_id FROM body)",
        "a body without its event": "SELECT event_id FROM body WHERE event_id NOT IN (SELECT id FROM event)",
        "a judgement of an event that waits": "SELECT j.event_id FROM judgement j JOIN event e ON e.id = j.event_id WHERE e.state <> 'evaluated'",
        "a judged event without its judgement": "SELECT id FROM event WHERE state = 'evaluated' AND id NOT IN (SELECT event_id FROM judgement)",
        "a judged event without both deliveries": "SELECT id FROM event e WHERE state = 'evaluated' AND 2 <> (SELECT count(*) FROM delivery d JOIN request r ON r.delivery_id = d.id WHERE d.event_id = e.id)",
        "a judged event that taught nothing": "SELECT id FROM event WHERE state = 'evaluated' AND NOT EXISTS (SELECT 1 FROM name WHERE key = event.id)",
        "a delivery of an event that waits": "SELECT d.id FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.state <> 'evaluated'",
        "a delivery whose tries are not all noted": "SELECT id FROM delivery d WHERE attempt <> (SELECT count(*) FROM attempt a WHERE a.delivery_id = d.id)",
        "a try under way of a delivery that is not": "SELECT d.id FROM delivery d JOIN attempt a ON a.delivery_id = d.id AND a.number = d.attempt WHERE (a.outcome = 'running') <> (d.state = 'running')",
    }  # fmt: skip
    for what, sql in none.items():
        assert db.execute(sql).fetchall() == [], what
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


async def check_events(store: Store, shop: Any, answered: Answered) -> None:
    for id, body in answered.bodies.items():
        record = await store.event(id)
        assert (record.body, record.intact) == (body, True)
        assert record.arrivals >= answered.arrivals[id]
        name = body.decode()[9:-2]
        repeat = await store.append(shop.arrival(name, subject=f"S{name[-1]}"), shop.now)
        assert (repeat.id, repeat.repeat) == (id, True)
    for id in answered.judged:
        assert (await store.event(id)).state == "evaluated"


async def check_deliveries(store: Store, shop: Any, answered: Answered) -> None:
    for id, judged in answered.judged.items():
        made = {one.idempotency_key for one in (await store.deliveries(event=id)).items}
        assert made == {one.idempotency_key for one in judged.deliveries}
    for number, attempt in answered.claimed.items():
        assert (await store.delivery(number)).delivery.attempts >= attempt
    for number, state in answered.ended.items():
        assert state == "queued" or (await store.delivery(number)).delivery.state == state
    await store.recover(frozenset(), shop.now)
    assert not [one for one in (await store.deliveries(limit=1000)).items if one.state == "running"]


class Copies:
    """A failpoint that copies the files as they are, with what had been answered by then."""

    def __init__(self, folder: Path, only: set[int] | None = None) -> None:
        self.folder = folder
        self.only = only
        self.life: Life | None = None
        self.passed: Counter[str] = Counter()
        self.made: list[tuple[str, Answered]] = []

    def __call__(self, name: str) -> None:
        count = self.passed.total()
        self.passed[name] += 1
        if self.life is None or (self.only is not None and count not in self.only):
            return
        answered = deepcopy(self.life.answered)
        to = self.folder / f"copy-{count}"
        to.mkdir()
        for end in ("", "-wal"):
            shutil.copyfile(self.folder / f"shop.db{end}", to / f"shop.db{end}")
        self.made.append((f"sqlite:///{to}/shop.db", answered))


async def lived(folder: Path, shop: Any, steps: list[str], keep: int, copies: Copies) -> None:
    async with await Store.open(f"sqlite:///{folder}/shop.db", failpoint=copies, keep=keep) as store:
        copies.life = Life(store, shop)
        for step in steps:
            await copies.life.do(step)
        copies.life = None
    for url, answered in copies.made:
        await check(url, shop, answered)


@pytest.mark.parametrize("keep", [2, 4096])
async def test_a_kill_at_any_failpoint_loses_nothing_answered_and_leaves_nothing_half(
    tmp_path: Path, shop: Any, keep: int
) -> None:
    copies = Copies(tmp_path)
    steps = [
        "arrive",
        "judge",
        "send",
        "arrive",
        "repeat",
        "send",
        "judge",
        "judge",
        "send",
        "arrive",
        "send",
    ]
    await lived(tmp_path, shop, steps, keep, copies)
    assert set(copies.passed) == set(FAILPOINTS)
    assert len(copies.made) > 40


steps = st.lists(
    st.sampled_from(["arrive", "arrive", "repeat", "judge", "send", "send"]), min_size=3, max_size=14
)


@given(
    steps=steps, keep=st.sampled_from([1, 5, 4096]), at=st.sets(st.integers(0, 60), min_size=1, max_size=3)
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_a_kill_in_the_middle_of_any_work_does_neither(
    tmp_path_factory: pytest.TempPathFactory, shop: Any, steps: list[str], keep: int, at: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("crash")
    anyio.run(lived, folder, shop, steps, keep, Copies(folder, at))


@pytest.mark.parametrize("name", BEFORE_COMMIT)
@pytest.mark.parametrize("keep", [1, 4096])
async def test_an_error_at_any_failpoint_fails_who_called_and_changes_nothing(
    tmp_path: Path, shop: Any, name: str, keep: int
) -> None:
    """The step that fails is done again, as its caller would, until it is through."""
    left = 0

    def fail(place: str) -> None:
        nonlocal left
        if place == name and left:
            left -= 1
            raise RuntimeError(name)

    url = f"sqlite:///{tmp_path}/shop.db"
    failed = 0
    async with await Store.open(url, failpoint=fail, keep=keep) as store:
        life = Life(store, shop)
        for step in ["arrive", "judge", "send", "arrive", "judge", "send", "send"]:
            before = deepcopy((life.answered, life.under_way))
            left = 1 if step == "send" and life.under_way else 20
            try:
                await life.do(step)
            except RuntimeError:
                failed += 1
                whole(str(tmp_path / "shop.db"))
                life.answered, life.under_way = before
            left = 0
            if step in ("judge", "send") or not life.answered.bodies:
                await life.do(step)
        await check_events(store, shop, life.answered)
    assert failed


CHILD = """
import asyncio, os, sys
sys.path[:0] = {path!r}
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from engine.store.store import Arrival, Store

async def main():
    round, now = sys.argv[1], datetime.now(UTC)
    store = await Store.open({url!r}, keep=50)
    os.write(1, b"open\\n")
    async def sender(who):
        for number in range(100_000):
            body = f"{{round}}-{{who}}-{{number}}".encode()
            arrival = Arrival(source="chord", type="order_completed", subject=f"order:{{who}}", body=body,
                identity=sha256(body).digest(), window=timedelta(days=7), updated_at=number)
            appended = await store.append(arrival, now)
            os.write(1, b"%s %s\\n" % (appended.id.encode(), body))
    await asyncio.gather(*(sender(who) for who in range(16)))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
async def test_three_kills_in_a_rush_lose_nothing_that_was_answered(tmp_path: Path, url: str) -> None:
    answered: dict[str, bytes] = {}
    for round in range(3):
        answered |= killed(CHILD.format(path=sys.path, url=url), str(round))
    whole(str(tmp_path / "shop.db"))
    async with await Store.open(url) as store:
        kept: dict[str, bytes] = {}
        while more := await store.history(
            datetime(2000, 1, 1, tzinfo=UTC), max(kept, key=int, default=None), 500
        ):
            kept |= {event.id: event.body for event in more}
    assert len(answered) > 100
    assert {id: kept.get(id) for id in answered} == answered
    assert len(set(kept.values())) == len(kept)


def killed(code: str, round: str) -> dict[str, bytes]:
    """What a process said before it was killed in the middle of its work; a line that was cut off was not said."""
    with subprocess.Popen([sys.executable, "-c", code, round], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        time.sleep(0.15)  # the moment of the kill is the one thing here that may be any
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split(b"\n")[:-1]
    return {id.decode(): body for id, body in (line.split(b" ") for line in lines)}
