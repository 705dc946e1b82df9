"""A life of the core from one seed: events, faults, crashes and time come by chance, and the promises are held against it.

Judging, delivering, the store and the rules are the real ones. The clock, the other sides, the planner's deaths and every
crash come from the seed, so a life that breaks a promise is lived again with its seed:

    python tests/long/simulation.py --seed 4711          one life, told step by step
    python tests/long/simulation.py --lives 10000        many, from seed 0 on; ends with 1 and the seed at the first fault

The promises (by their numbers in the messages): I1 what was acknowledged is on record as it was sent, I2 what its rules
demand has arrived or stands where a person sees it, I3 nothing else has arrived, I4 every copy of a delivery has the same
key and content, I5 calls of one order come in the order of its events, I7 at the end nothing is left under way.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from engine import actions, sources
from engine.actions.base import Action, DeliveryError, Receipt
from engine.model import Delivery, DeliveryState, EventState
from engine.rulebook.frames import Job, Judged, to_json
from engine.rulebook.loader import Language, Loader
from engine.runtime.delivering import Delivering
from engine.runtime.judging import Judging
from engine.runtime.metrics import Metrics
from engine.runtime.planner_child import judge_all
from engine.runtime.planner_process import PlannerDied, PlannerUnready
from engine.store.store import Arrival, Store, StoreUnavailable

START = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
STEPS = 60
FAILPOINTS = ("after appending", "after job", "before commit", "after commit", "before answer")
CALLS = ("take_new", "record", "set_aside", "keep_rulebook", "claim", "finish")
POISON = "R-poison"

RULES = {
    "erp.yaml": "name: Books\nwhen: order_*\nthen:\n  - http:\n      post: /orders\n      connection: erp\n"
    '      json: {number: "{{ order.number }}", total: "{{ order.total }}", event: "{{ event.type }}"}\n',
    "big.yaml": "name: Big\nwhen: order_completed\nif:\n  order.total: at least 200\nthen:\n"
    '  - slack:\n      channel: big\n      text: "{{ order.number }}"\n',
    "thanks.yaml": "name: Thanks\nwhen: order_completed\nif:\n  order.email: present\nthen:\n"
    '  - email:\n      to: "{{ order.email }}"\n      subject: "{{ order.number }}"\n      text: thanks\n',
}
LOADER = Loader(Language(sources.found(), actions.found()))
BOOK = LOADER.load(RULES)

SETTLED = (DeliveryState.DONE, DeliveryState.FAILED, DeliveryState.HELD, DeliveryState.DEAD)


class Killed(BaseException):
    """The process ends here."""


class Broken(Exception):
    """A promise does not hold."""


@dataclass
class World:
    """The other sides: what each has got, its moods, and the calls that wait for an answer."""

    chance: Random
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    well: bool = False
    kill: str = ""

    async def take(self, kind: str, request: Mapping[str, Any], key: str) -> Receipt:
        """Take a delivery when its turn comes, or not, or leave everybody in doubt, or see the sender's process end."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn
        mood = 0.0 if self.well else self.chance.random()
        if self.kill == "before":
            raise Killed
        if 0.70 <= mood < 0.80:
            raise DeliveryError(
                "busy", "temporary", status="503", retry_after=self.chance.choice([None, 5, 600])
            )
        if 0.80 <= mood < 0.85:
            raise DeliveryError("no answer", "unsure")
        if 0.85 <= mood < 0.87:
            raise DeliveryError("not like this", "permanent", status="422")
        if 0.87 <= mood < 0.90:
            raise KeyError("a fault of ours")
        self.got.append((kind, key, to_json(request)))
        if self.kill == "after":
            raise Killed
        if mood >= 0.90:
            raise DeliveryError("it broke off", "unsure")
        return Receipt("200")


class Sending(Action):
    """A real action in all but its way out."""

    fields: ClassVar = ()

    def __init__(self, kind: str, world: World) -> None:
        self.kind = kind
        self.world = world
        self.on_unsure = actions.found()[kind].on_unsure  # type: ignore[misc]

    def render(self, values: Any, scope: Any, destinations: Any) -> Any:
        """Nobody asks."""
        raise NotImplementedError

    async def deliver(self, request: Mapping[str, Any], key: str, services: Any) -> Receipt:
        """Hand it to the world."""
        return await self.world.take(self.kind, request, key)


@dataclass
class Planner:
    """Judges here as the process would, dies over poison, and sometimes for no reason."""

    chance: Random
    ended: Counter[str]
    well: bool = False

    async def warm(self, book: object) -> None:
        """Be there, mostly."""
        if not self.well and self.chance.random() < 0.05:
            raise PlannerUnready("it cannot be started")

    async def judge(self, book: Any, jobs: list[Job], now: datetime) -> Judged:
        """Judge, or die."""
        await asyncio.sleep(0)
        for_no_reason = not self.well and len(jobs) > 1 and self.chance.random() < 0.1
        if for_no_reason or any(POISON in job.event.subject for job in jobs):
            self.ended.update(job.event.id for job in jobs)
            raise PlannerDied("judging it ended the planner process")
        return Judged(book.hash, judge_all(jobs, LOADER, book, now))


class Moody:
    """A store that is away for a moment now and then, with note of which events were handed out and not recorded."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away: dict[str, int] = {}
        self.handed: set[str] = set()

    async def take_new(self, limit: int, now: datetime) -> Any:
        """Hand events out. Killed in the middle of that, it may have counted a start of some that nobody got."""
        try:
            taken = await self.__getattr__("take_new")(limit, now)
        except StoreUnavailable:
            page = await self.store.events(limit=1000, state="new")
            self.handed |= {one.id for one in page.items}
            raise
        self.handed |= {one.id for one in taken}
        return taken

    async def record(self, judged: Any) -> Any:
        """Record judgements."""
        counted = await self.__getattr__("record")(judged)
        self.handed -= {one.event_id for one in judged}
        return counted

    def __getattr__(self, name: str) -> Any:
        if self.away.get(name):
            self.away[name] -= 1

            async def away(*args: Any, **more: Any) -> None:
                raise StoreUnavailable("it is locked")

            return away
        return getattr(self.store, name)


@dataclass(frozen=True)
class Sent:
    """One event as its sender has it."""

    type: str
    number: str
    body: bytes
    order: Mapping[str, Any]

    @property
    def wanted(self) -> Iterator[str]:
        """The rules that fire for it, said without the engine."""
        yield "erp"
        if self.type == "order_completed":
            if float(self.order["total"]) >= 200:
                yield "big"
            if self.order["email"]:
                yield "thanks"


class Life:
    """One life, from its seed to its end."""

    def __init__(self, seed: int, folder: Path, tell: Any = lambda line: None) -> None:
        self.chance = Random(seed)
        self.url = f"sqlite:///{folder}/life-{seed}.db"
        self.tell = tell
        self.now = START
        self.world = World(self.chance)
        self.ended: Counter[str] = Counter()
        self.planner = Planner(self.chance, self.ended)
        self.waiting: list[Sent] = []
        self.acknowledged: dict[str, Sent] = {}
        self.made = 0
        self.crashes = 0
        self.armed: tuple[str, int] | None = None
        self.dead = False

    async def live(self) -> None:
        """Live it, and raise `Broken` where a promise does not hold."""
        await self.begin()
        try:
            for _ in range(STEPS):
                await self.step(self.chance.choice(self.STEPS))
            await self.end_well()
            await self.judgement_day()
        finally:
            await self.delivering.cut_off()
            await self.close()

    # beginning and ending

    async def begin(self) -> None:
        """The process starts."""
        self.armed, self.dead = None, False
        self.store = Moody(
            await Store.open(self.url, failpoint=self.pass_by, keep=self.chance.choice([1, 3, 1000]))
        )
        words = {kind: Sending(kind, self.world) for kind in ("http", "slack", "email")}
        self.judging = Judging(self.store, self.planner, lambda: BOOK, lambda: self.now, Metrics(), self.wait)  # type: ignore[arg-type]
        self.delivering = Delivering(
            self.store,
            words,
            None,
            lambda: self.now,
            Metrics(),
            self.chance,
            self.wait,  # type: ignore[arg-type]
        )
        await self.delivering.take_up()

    def pass_by(self, name: str) -> None:
        """The store passes one of its failpoints; it may be the last thing it does."""
        if self.armed is None or self.armed[0] != name:
            return
        self.armed = (name, self.armed[1] - 1)
        if self.armed[1] < 0:
            self.dead = True
            raise Killed

    async def wait(self, seconds: float) -> None:
        """Time passes while the store is away; if it is gone for good, so is the process."""
        if self.dead:
            raise Killed
        await asyncio.sleep(0)

    async def crash(self) -> None:
        """The process is gone, and starts again."""
        self.crashes += 1
        self.ended.update(self.store.handed)
        self.world.kill = ""
        self.world.waiting.clear()
        await self.delivering.cut_off()
        await self.close()
        await self.begin()

    async def close(self) -> None:
        """Close the store."""
        await self.store.store.close()

    async def step(self, name: str) -> None:
        """One step; whatever kills the process on the way starts it again."""
        self.tell(f"{self.now:%d. %H:%M:%S} {name}")
        try:
            await getattr(self, name)()
            if self.dead:
                raise Killed
        except Killed:
            self.tell("          killed")
            await self.crash()

    STEPS = (
        "arrive", "arrive", "arrive", "judge", "judge", "judge", "deliver", "deliver", "answer", "answer", "answer",
        "answer_all", "answer_all", "moment", "hours", "crash", "arm", "fall_ill", "kill_while_sending",
    )  # fmt: skip

    # steps

    async def arrive(self) -> None:
        """Some events come in at once; what is not acknowledged comes again later, and some of the rest does, too."""
        batch = [self.event() for _ in range(self.chance.randint(1, 4))]
        batch += [self.waiting.pop() for _ in range(min(len(self.waiting), 2))]
        if self.acknowledged and self.chance.random() < 0.3:
            batch.append(self.chance.choice(list(self.acknowledged.values())))
        answers = await asyncio.gather(*map(self.send, batch), return_exceptions=True)
        for sent, answer in zip(batch, answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                self.waiting.append(sent)
            elif isinstance(answer, BaseException):
                raise answer
            elif self.acknowledged.setdefault(answer.id, sent).body != sent.body:
                raise Broken(f"I1 event {answer.id} was taken for another")

    async def send(self, sent: Sent) -> Any:
        """Hand one event to the store as the receiver does."""
        reading = sources.found()["chord"].read(sent.body, {})
        return await self.store.append(
            Arrival(
                source="chord", type=reading.type, subject=reading.subject, body=sent.body, identity=reading.identity,
                window=reading.window, updated_at=reading.updated_at, aliases=reading.aliases,
            ),
            self.now,
        )  # fmt: skip

    def event(self) -> Sent:
        """A new event of one of a few orders; each is newer than those before it."""
        self.made += 1
        number = POISON if self.chance.random() < 0.03 else f"R{self.chance.randint(1, 6)}"
        moment = (START + timedelta(seconds=self.made)).isoformat()
        order = {
            "number": number,
            "id": self.made,
            "total": self.chance.choice(["10.63", "250.00"]),
            "email": self.chance.choice(["ana@example.test", None]),
            "updated_at": moment,
            "completed_at": moment,
            "canceled_at": moment,
        }
        type = self.chance.choice(["order_completed", "order_completed", "order_cancelled"])
        return Sent(type, number, to_json({"event_name": type, "order": order}), order)

    async def judge(self) -> None:
        """Judge a batch."""
        try:
            await self.judging.judge_some()
        except PlannerUnready:
            self.tell("          the planner is not ready")

    async def deliver(self) -> None:
        """Start what is due, and leave it under way."""
        await self.start()

    async def start(self) -> bool:
        """Start what is due; once each waits for its answer, whether there was anything."""
        any = await self.delivering.start_some()
        while len(self.world.waiting) < len(self.delivering._under_way):  # noqa: ASYNC110
            await asyncio.sleep(0)
        return any

    async def answer(self) -> None:
        """One of the calls under way is answered, and that is noted."""
        if not self.world.waiting:
            return
        under_way = set(self.delivering._under_way)
        self.world.waiting.pop(self.chance.randrange(len(self.world.waiting))).set_result(None)
        done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def answer_all(self) -> None:
        """All of them are, in some order."""
        while self.world.waiting:
            await self.answer()

    async def moment(self) -> None:
        """Some seconds pass."""
        self.now += timedelta(seconds=self.chance.uniform(0, 40))

    async def hours(self) -> None:
        """Some hours pass."""
        self.now += timedelta(hours=self.chance.uniform(0, 12))

    async def arm(self) -> None:
        """The process will end at one of the store's failpoints."""
        self.armed = (self.chance.choice(FAILPOINTS), self.chance.randint(0, 4))

    async def fall_ill(self) -> None:
        """A call of the store will find the database away for a while."""
        self.store.away[self.chance.choice(CALLS)] = self.chance.randint(1, 5)

    async def kill_while_sending(self) -> None:
        """The process will end with the next answer, before or after the other side took what it was sent."""
        self.world.kill = self.chance.choice(["before", "after"])

    # the end

    async def end_well(self) -> None:
        """Everything works again, every sender has been heard, and days pass."""
        self.armed, self.world.well, self.planner.well, self.world.kill = None, True, True, ""
        while self.waiting:
            await self.step("arrive")
        self.armed = None
        for _ in range(40):
            self.now += timedelta(hours=6)
            while await self.judging.judge_some():
                pass
            await self.answer_all()
            while await self.start():
                await self.answer_all()

    async def judgement_day(self) -> None:
        """Hold the record and the world against what was acknowledged."""
        made: dict[str, list[Delivery]] = defaultdict(list)
        for one in await self.pages(self.store.deliveries):
            made[one.event].append(one)
        wanted: set[str] = set()
        for id, sent in self.acknowledged.items():
            wanted |= await self.hold(id, sent, made[id])
        for id, some in made.items():
            if (
                id not in self.acknowledged
            ):  # on record, but the crash came before the answer: its rules hold all the same
                wanted |= {one.idempotency_key for one in some}
        self.hold_world(wanted, [one for some in made.values() for one in some])

    async def pages(self, pages: Any) -> list[Any]:
        """All rows of a list."""
        page = await pages(limit=1000)
        rows = list(page.items)
        while page.next is not None:
            page = await pages(limit=1000, after=page.next)
            rows += page.items
        return rows

    async def hold(self, id: str, sent: Sent, made: list[Delivery]) -> set[str]:
        """Hold one acknowledged event against its record; the keys of what may have arrived for it."""
        record = await self.store.event(id)
        if record.body != sent.body or not record.intact:
            raise Broken(f"I1 event {id} is not on record as it was sent")
        if sent.number == POISON:
            if record.state is not EventState.FAILED or "3 times" not in record.reason:
                raise Broken(f"I2 the poison {id} is {record.state}: {record.reason}")
            return set()
        if record.state is EventState.FAILED and "3 times" in record.reason:
            if self.ended[id] < 3:
                raise Broken(f"I2 event {id} was set aside, though nothing ended over it three times")
            return (
                set()
            )  # it was being judged each time, which nobody can tell from poison; it stands in the list
        if record.state is EventState.FAILED:
            raise Broken(f"I2 event {id} was set aside: {record.reason}")
        if record.state is not EventState.EVALUATED:
            raise Broken(f"I7 event {id} is {record.state}")
        late = record.late
        if sorted(one.rule for one in made) != sorted(() if late else sent.wanted):
            raise Broken(f"I2 event {id} demands {sorted(sent.wanted)}, late {late}: {made}")
        return {one.idempotency_key for one in made}

    def hold_world(self, wanted: set[str], made: list[Delivery]) -> None:
        """Hold what arrived against what was wanted."""
        got: dict[str, list[bytes]] = defaultdict(list)
        for _, key, content in self.world.got:
            got[key].append(content)
        for one in made:
            if one.state not in SETTLED:
                raise Broken(f"I7 delivery {one.id} is {one.state}: {one.reason}")
            if one.state is DeliveryState.DONE and one.idempotency_key not in got:
                raise Broken(f"I2 delivery {one.id} is done and never arrived")
            if one.state is not DeliveryState.DONE and not one.reason:
                raise Broken(f"I2 delivery {one.id} stands without a reason")
        if extra := got.keys() - wanted:
            raise Broken(f"I3 nobody wanted {extra}")
        if any(len(set(contents)) > 1 for contents in got.values()):
            raise Broken("I4 a delivery changed between two tries")
        self.hold_order(made)

    def hold_order(self, made: list[Delivery]) -> None:
        """Calls of one order come in the order of its events, each of them by its first arrival."""
        events = {one.idempotency_key: int(one.event) for one in made if one.kind == "http"}
        order = {
            key: self.acknowledged[str(event)].number
            for key, event in events.items()
            if str(event) in self.acknowledged
        }
        calls: dict[str, list[int]] = defaultdict(list)
        for key in dict.fromkeys(key for kind, key, _ in self.world.got if kind == "http"):
            if key in order:
                calls[order[key]].append(events[key])
        for number, found in calls.items():
            if found != sorted(found):
                raise Broken(f"I5 the calls of {number} came as {found}")


async def lived(seed: int, folder: Path, tell: Any = lambda line: None) -> Life:
    """A life of this seed. Raises `Broken`."""
    life = Life(seed, folder, tell)
    await life.live()
    return life


def main() -> None:
    """Live the lives that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--lives", type=int, default=1000)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        seeds = range(given.lives) if given.seed is None else [given.seed]
        events = deliveries = crashes = 0
        for seed in seeds:
            try:
                life = asyncio.run(
                    lived(seed, Path(folder), print if given.seed is not None else lambda line: None)
                )
            except Broken as fault:
                print(f"seed {seed}: {fault}")
                sys.exit(1)
            events += len(life.acknowledged)
            deliveries += len(life.world.got)
            crashes += life.crashes
            for file in Path(folder).glob(f"life-{seed}.db*"):
                file.unlink()
        print(
            f"{len(seeds)} lives: {events} events, {deliveries} arrivals, {crashes} crashes, every promise kept"
        )


if __name__ == "__main__":
    main()
