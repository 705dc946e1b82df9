"""The durable log: every event, what was due for it, and every try. What it promises stands here, and is tested.

* A call that changes something answers only once the change is on the disk, and changes all or nothing. If the
  database cannot be written it raises `StoreUnavailable`, and nothing has changed.
* What waits together is committed together. A job that fails fails alone.
* Events are judged in the order of their numbers, which is the order in which they were kept.
* A repeat of an event adds to its arrivals and nothing else.
* A late event, older by its `updated_at` than what is known of its subject, changes no subject's state.
* A try of a delivery is noted before it is made; only who claimed it can finish it.

All of a store's methods are called on the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import uuid4

import msgspec
from sqlalchemy import bindparam, delete, insert

from engine.model import Delivery
from engine.store import delivering, judging, noting, sweeping, workers
from engine.store.disk import Disk
from engine.store.integrity import Integrity
from engine.store.known import KEEP
from engine.store.migrations import HEAD
from engine.store.numbering import Numbers
from engine.store.pacing import Limits, Outage, Pace, Paces, Pacing, Rooms, unpaced
from engine.store.people import People
from engine.store.places import Kept, place_of
from engine.store.reading import Reader, number_of
from engine.store.remembering import memories
from engine.store.rhythm import Rhythm
from engine.store.sql import Runner, Statement, Upsert
from engine.store.tables import mark, quarantine
from engine.store.text import clean, maybe_moment, micros
from engine.store.thread import Appending, Failpoint, WriterThread
from engine.store.times import Times
from engine.store.values import (
    AnotherProcess,
    Answered,
    Appended,
    Arrival,
    Counts,
    DeliveryRecord,
    EventLine,
    EventRecord,
    Finished,
    Health,
    Judged,
    KeptRulebook,
    MemoryRow,
    NewDelivery,
    NewerSchema,
    NotFound,
    NotPossible,
    Overtaken,
    Page,
    Pending,
    Purged,
    Quarantined,
    StoredEvent,
    StoreError,
    StoreUnavailable,
    Wanted,
)
from engine.store.waitlist import Waitlist
from engine.store.waking import Patience

if TYPE_CHECKING:
    from engine.store.listening import Listener

__all__ = [
    "AnotherProcess",
    "Answered",
    "Appended",
    "Arrival",
    "Counts",
    "DeliveryRecord",
    "EventLine",
    "EventRecord",
    "Finished",
    "Health",
    "Judged",
    "KeptRulebook",
    "MemoryRow",
    "NewDelivery",
    "NewerSchema",
    "NotFound",
    "NotPossible",
    "Outage",
    "Overtaken",
    "Pace",
    "Page",
    "Pending",
    "Purged",
    "Quarantined",
    "Reader",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredEvent",
    "Wanted",
]

Result = TypeVar("Result")

FRESH = 1.0
"""Seconds for which a commit proves that the store can be written."""


class Store:
    """The record of one service. Made by `open`, used with `async with` or ended with `close`."""

    def __init__(self, url: str, failpoint: Failpoint, keep: int) -> None:
        self._url = url
        self._host = socket.gethostname()
        self._owner = f"{self._host}-{os.getpid()}-{uuid4().hex[:8]}"
        self._heard_since = 0.0
        self._under_way: set[int] = set()
        self._strays = False
        self._place = place_of(url, keep)
        self._new = asyncio.Event()
        self._due = asyncio.Event()
        self._events_patience = Patience(self._new, self._place.shared)
        self._due_patience = Patience(self._due, self._place.shared)
        self._listener: Listener | None = None
        self._resting = False
        self._limits = Limits()
        self._rulebook = ""
        self._closed = False
        self._hands = self._place.hands(self._owner)
        self._writer = WriterThread(self._open_database, after=self._new.set, failpoint=failpoint)
        self._reading = ThreadPoolExecutor(1, "shopbell-reader")
        self._reader: Reader
        self._recorder: judging.Recorder
        self._quarantines: Numbers
        self._tidy: Callable[[Runner], None]
        self._appender: Appending
        self.waitlist = Waitlist(self._writer.call, self._reads, lambda: self._appender, self._new.set)
        self.times = Times(
            self._writer.call,
            self._reads,
            self._place.knowledge,
            lambda: self._appender,
            self._new.set,
        )

    @classmethod
    async def open(cls, url: str, *, failpoint: Failpoint = lambda name: None, keep: int = KEEP) -> Self:
        """Open the database at an address such as `sqlite:///var/shopbell.db`, and bring its tables up to date.

        `failpoint` is called at named places with their names, so that tests can stop the store there; `keep` is the
        number of events whose subjects and identities gather before they are written to their tables. Raises
        `AnotherProcess`, `NewerSchema` and `StoreUnavailable`.
        """
        store = cls(url, failpoint, keep)
        await store._writer.start()
        try:
            store._reader = await store._read(lambda: Reader(url))
        except BaseException:
            await store._writer.stop()
            raise
        store.wake()
        return store

    def _open_database(self) -> tuple[Kept, Appending]:
        database, appender = self._place.open()
        self._appender = appender
        self._recorder = judging.Recorder(database.numbers("delivery"))
        self._quarantines = database.numbers("quarantine")
        self._tidy = database.tidy
        return database, appender

    async def close(self) -> None:
        """Do what waits, then let go of the database. What is asked afterwards raises `StoreUnavailable`."""
        if self._listener is not None:
            await self._listener.stop()
        await self._writer.stop()
        if not self._closed:
            self._closed = True
            self._reading.submit(self._reader.close)
            self._reading.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # taking in

    def append(self, arrival: Arrival, received_at: datetime) -> asyncio.Future[Appended]:
        """Keep an event, or count one more arrival of it. To be awaited; the answer comes once it is on the disk."""
        self._have_room()
        return self._writer.append(arrival, micros(received_at))

    async def quarantine(
        self, *, source: str, reason: str, body: bytes, headers: Mapping[str, str], received_at: datetime
    ) -> str:
        """Keep an authentic body that could not be read; its number."""
        self._have_room()
        kept = msgspec.json.encode({clean(key): clean(value) for key, value in headers.items()}).decode()
        row = (clean(source), clean(reason), body, kept, micros(received_at))
        return str(await self._writer.call(lambda runner: self._quarantine(runner, row)))

    def _quarantine(self, runner: Runner, row: tuple[object, ...]) -> int:
        [number] = self._quarantines.take(runner, 1)
        runner.many(_QUARANTINE, [(number, *row)])
        return number

    async def release(self, id: str | int) -> None:
        """Take a body out of quarantine, because it was read after all or is not wanted. Raises `NotFound`."""
        number = number_of(id, "body")
        if not await self._writer.call(lambda runner: runner.run(_RELEASE, number=number)):
            raise NotFound(f"There is no body {id} in quarantine.")

    # judging

    async def new_events(self, timeout: float) -> bool:  # noqa: ASYNC109  # it is no error when nothing comes
        """Wait until events have come in, at most some seconds; whether any did since this was last asked."""
        if self._events_patience.idle and not self._resting:
            self._listener = self._listener or self._place.listen(self.wake)
            await self._writer.call(lambda runner: workers.rest(runner, self._owner, True))
            self._resting = True
        return await self._events_patience.wait(timeout)

    async def take_new(self, limit: int, now: datetime, after: str = "0") -> list[StoredEvent]:
        """The oldest events that wait to be judged, behind the number `after`, each noted as started.

        One that was started before and did not end is handed out alone. One that was started three times without an
        end is set aside instead, and so is one whose body is damaged. Until it is recorded or set aside, an event is
        handed out again with the next call.
        """
        start = number_of(after, "event")
        taken = await self._writer.call(lambda runner: judging.take_new(runner, limit, start, self._hands))
        if taken:
            self._events_patience.found()
            if self._resting:
                self._resting = False
                await self._writer.call(lambda runner: workers.rest(runner, self._owner, False))
        return taken

    async def set_aside(self, event: str, reason: str) -> None:
        """Judge an event no more, for a reason that people see."""
        number = number_of(event, "event")
        await self._writer.call(lambda runner: judging.set_aside(runner, number, reason, self._hands.owner))

    async def memories(self, wanted: Sequence[Wanted]) -> list[MemoryRow]:
        """What is known beside events: each with whether its subject's state before it is wanted, the subject whose
        order is, and the keys of products whose names are."""
        return await self._read(lambda: memories(self._reader.runner, self._place.knowledge, wanted))

    async def memory(
        self, event: StoredEvent, before: bool = False, order_of: str = "", products: Sequence[str] = ()
    ) -> MemoryRow:
        """What is known beside one event."""
        return (await self.memories([(event, before, order_of, products)]))[0]

    async def keep_rulebook(self, hash: str, texts: Mapping[str, str], loaded_at: datetime) -> None:
        """Keep the texts of the rulebook that is now in force. Costs nothing while it stays the same."""
        if hash == self._rulebook:
            return
        kept = msgspec.json.encode({clean(name): clean(text) for name, text in texts.items()}).decode()
        now = micros(loaded_at)
        await self._writer.call(lambda runner: judging.keep_rulebook(runner, hash, kept, now))
        self._rulebook = hash

    async def record(self, judged: Sequence[Judged]) -> list[str]:
        """Record judgements, their deliveries and what they taught, all or nothing; the events that counted.

        One that is recorded already is left as it is, so doing it twice does no harm.
        """
        counted = await self._writer.call(
            lambda runner: self._recorder.record(runner, judged, self._hands.owner)
        )
        self._due.set()
        return counted

    async def replay(self, event: str | int, *, resend: bool = False) -> None:
        """Have an event judged again by the rules in force. What it sent already, or is about to send, is made anew only
        with `resend`. Raises `NotFound`, and `NotPossible` where it still waits or its content is gone."""
        number = number_of(event, "event")
        await self._writer.call(lambda runner: judging.replay(runner, number, resend))
        self._new.set()

    # delivering

    async def due_deliveries(self, timeout: float) -> bool:  # noqa: ASYNC109  # as above
        """Wait until deliveries may be due, at most some seconds; whether any may since this was last asked."""
        return await self._due_patience.wait(timeout)

    async def claim(
        self,
        limit: int,
        now: datetime,
        *,
        each: int | None = None,
        room: Mapping[str, int] | None = None,
        paces: Paces = unpaced,
    ) -> list[Delivery]:
        """Take deliveries that are due, oldest first, as under way; the try of each is noted before this returns.

        At most `each` go to one connection, or as many as it has in `room`, and no more than its pace and its pauses
        leave it; beside a backlog half of them are new ones. An ordered one waits for the earlier ones of its order,
        and for earlier events of it to be judged.
        """
        moment, rooms = micros(now), Rooms(limit if each is None else each, room or {})
        try:
            claimed = await self._writer.call(lambda runner: self._claim(runner, limit, moment, rooms, paces))
        except StoreUnavailable:
            self._strays = self._place.shared  # perhaps it was committed all the same
            raise
        self._strays = False
        if claimed:
            self._due_patience.found()
        self._under_way |= {one.id for one in claimed}
        return claimed

    def _claim(self, runner: Runner, limit: int, now: int, rooms: Rooms, paces: Paces) -> list[Delivery]:
        if self._strays:
            delivering.strays(runner, self._owner, self._under_way, now)
        return delivering.claim(runner, limit, now, rooms, self._owner, self._limits, paces)

    @property
    def pacing(self) -> Pacing:
        """Which connections fail, pause, and may be used again."""
        return Pacing(
            self._limits, self._writer.call, lambda call: self._read(lambda: call(self._reader.runner))
        )

    async def next_due(self, now: datetime, exclude: Collection[str] = frozenset()) -> datetime | None:
        """When the next delivery falls due that is not due yet, those to connections in `exclude` left out."""
        moment = micros(now)
        return maybe_moment(
            await self._read(lambda: delivering.next_due(self._reader.runner, moment, exclude))
        )

    async def finish(self, finished: Sequence[Finished]) -> list[int]:
        """Note how tries ended; the deliveries that counted. One that was taken up by somebody else does not."""
        counted = await self._writer.call(lambda runner: delivering.finish(runner, finished, self._owner))
        self._under_way -= {one.delivery_id for one in finished}
        self._due.set()
        return counted

    async def recover(self, asking: Collection[str], now: datetime) -> list[Delivery]:
        """Take up what was under way when the process last ended; to be called before the first claim.

        Nobody knows whether it went out. It is sent again, unless its kind is in `asking`: then it is held for a
        person. One with which the process has ended three times is dead. Gives each as it now stands.
        """
        moment = micros(now)
        changed = await self._writer.call(
            lambda runner: delivering.recover(runner, asking, moment, self._mine)
        )
        self._due.set()
        return changed

    @property
    def _mine(self) -> list[str] | None:
        """Whose rows are this process's own, None for all."""
        return [self._owner] if self._place.shared else None

    # beside others

    @property
    def shared(self) -> bool:
        """Whether several processes may work with this record at once."""
        return self._place.shared

    async def beat(self, asking: Collection[str], now: datetime) -> list[Delivery]:
        """Say that this process is at work, and take up what those had under way who are dead; see `recover`.

        To be called every `BEAT` seconds where the record is shared. Nobody counts as dead until this process itself
        has been heard for as long as it takes to count so: after an outage of the database all have been silent.
        """
        moment = micros(now)
        try:
            await self._writer.call(lambda runner: workers.beat(runner, self._owner, self._host, HEAD))
            self._heard_since = self._heard_since or perf_counter()
            if perf_counter() - self._heard_since < workers.DEAD:
                return []
            taken = await self._writer.call(lambda runner: workers.take_back(runner, asking, moment))
        except StoreUnavailable:
            self._heard_since = 0.0
            raise
        if taken:
            self._due.set()
        return taken

    async def leave(self, asking: Collection[str], now: datetime) -> list[Delivery]:
        """Hand back what this process has in its hands, because it ends; see `recover`."""
        moment = micros(now)
        return await self._writer.call(lambda runner: workers.leave(runner, self._owner, asking, moment))

    async def retry(self, delivery: str | int, now: datetime) -> None:
        """Have a delivery sent now. Raises `NotFound`, and `NotPossible` for one that was sent or is being sent."""
        number, moment = number_of(delivery, "delivery"), micros(now)
        await self._writer.call(lambda runner: delivering.retry(runner, number, moment))
        self._due.set()

    async def cancel(self, delivery: str | int, now: datetime, reason: str) -> None:
        """Have a delivery never sent. Raises `NotFound`, and `NotPossible` for one that was sent or is being sent."""
        number, moment = number_of(delivery, "delivery"), micros(now)
        await self._writer.call(lambda runner: delivering.cancel(runner, number, moment, reason))
        self._due.set()

    async def note(self, name: str) -> str:
        """What deliveries remember for one another under a name, empty where nothing is."""
        return await self._writer.call(lambda runner: noting.noted(runner, name))

    async def keep_note(self, name: str, text: str, now: datetime) -> None:
        """Remember a text under a name, in the place of what was remembered before."""
        moment = micros(now)
        await self._writer.call(lambda runner: noting.keep_note(runner, name, text, moment))

    def wake(self) -> None:
        """Let everybody who waits for events or deliveries look."""
        self._new.set()
        self._due.set()

    # reading

    async def events(
        self, limit: int = 50, after: str | None = None, type: str | None = None, state: str | None = None
    ) -> Page[EventLine]:
        """Events, newest first; see `Reader.events`."""
        return await self._read(lambda: self._reader.events(limit, after, type, state))

    async def event(self, id: str | int) -> EventRecord:
        """Everything kept of an event. Raises `NotFound`."""
        return await self._read(lambda: self._reader.event(id))

    async def memory_of(self, id: str | int) -> MemoryRow:
        """What the planner was told of the past when it last judged an event. Raises `NotFound`."""
        return await self._read(lambda: self._reader.memory_of(id))

    async def history(self, since: datetime, after: str | None = None, limit: int = 200) -> list[StoredEvent]:
        """Events from a time on with their bodies, oldest first; see `Reader.history`."""
        return await self._read(lambda: self._reader.history(since, after, limit))

    async def deliveries(
        self,
        limit: int = 50,
        after: str | None = None,
        state: str | None = None,
        event: str | int | None = None,
        rule: str | None = None,
    ) -> Page[Delivery]:
        """Deliveries, newest first; see `Reader.deliveries`."""
        return await self._read(lambda: self._reader.deliveries(limit, after, state, event, rule))

    async def delivery(self, id: str | int) -> DeliveryRecord:
        """Everything kept of a delivery. Raises `NotFound`."""
        return await self._read(lambda: self._reader.delivery(id))

    async def quarantined(self, limit: int = 50, after: str | None = None) -> Page[Quarantined]:
        """Bodies that could not be read, newest first."""
        return await self._read(lambda: self._reader.quarantined(limit, after))

    async def quarantined_body(self, id: str | int) -> Quarantined:
        """One body that could not be read. Raises `NotFound`."""
        return await self._read(lambda: self._reader.quarantined_body(id))

    async def rulebook(self, hash: str) -> KeptRulebook:
        """A rulebook that was in force. Raises `NotFound`."""
        return await self._read(lambda: self._reader.rulebook(hash))

    async def latest_rulebook(self) -> Mapping[str, str]:
        """The texts of the rulebook that was last in force; empty where none ever was."""
        return await self._read(self._reader.latest_rulebook)

    async def counts(self) -> Counts:
        """What waits, for metrics."""
        return await self._read(self._reader.counts)

    async def health(self) -> Health:
        """The database as operators see it."""
        size = await self._read(self._reader.size)
        figures = self._writer.figures
        return Health(*self._reader.kind, size, figures.commits, figures.rows, figures.ms)

    # sweeping

    async def purge(
        self, before: datetime, *, deliveries_before: datetime | None = None, limit: int = 100
    ) -> Purged:
        """Let go of a batch of old rows; to be called again while `any` went.

        What a person still has to decide on stays: held, failed and dead deliveries with their events, and events that
        were set aside.
        """
        until = micros(before)
        settled = until if deliveries_before is None else micros(deliveries_before)
        purged = await self._writer.call(
            lambda runner: sweeping.purge(runner, self._place, until, settled, limit)
        )
        await self._writer.call(self._tidy)
        return purged

    async def purge_bodies(self, before: datetime, limit: int = 100) -> int:
        """Let go of the content of a batch of old events that need it no more; how many, to be called again while any."""
        until = micros(before)
        emptied = await self._writer.call(
            lambda runner: sweeping.purge_bodies(runner, self._place, until, limit)
        )
        await self._writer.call(self._tidy)
        return emptied

    async def purge_identities(self, now: datetime, limit: int = 1000) -> int:
        """Let go of a batch of identities whose window has passed, and of what rules need remember no longer.

        How many; to be called again while any.
        """
        moment = micros(now)
        return await self._writer.call(
            lambda runner: sweeping.purge_identities(runner, self._place, moment, limit)
        )

    @property
    def rhythm(self) -> Rhythm:
        """How often events come."""
        return Rhythm(lambda call: self._read(lambda: call(self._reader.runner)))

    @property
    def people(self) -> People:
        """What is kept of a person, to be found or erased."""
        read = lambda call: self._read(lambda: call(self._reader.runner))  # noqa: E731
        return People(
            read,
            self._writer.call,
            lambda: self._writer.apart(lambda one: one.scrub()),
            self._place.knowledge,
        )

    @property
    def integrity(self) -> Integrity:
        """Whether what is kept of events is what was received."""
        return Integrity(self._reads, self._writer.call, self._quarantine)

    @property
    def disk(self) -> Disk | None:
        """What the database is on, where that is ours to mind."""
        return self._place.disk

    def _have_room(self) -> None:
        """Turn senders away before the disk is full: what they send would be lost in the middle."""
        if self.disk is not None and (reason := self.disk.low):
            raise StoreUnavailable(reason)

    async def broken(self) -> str:
        """Wait until the record can no longer be written by this process, whatever happens; why."""
        return await self._writer.broken()

    async def writable(self) -> None:
        """Prove that the store can be written, by a commit within the last second. Raises `StoreUnavailable`."""
        self._have_room()
        if perf_counter() - self._writer.figures.at > FRESH:
            await self._writer.call(_probe)

    async def _reads(self, call: Callable[[Runner], Result]) -> Result:
        return await self._read(lambda: call(self._reader.runner))

    async def _read(self, call: Callable[[], Result]) -> Result:
        if self._closed:
            raise StoreUnavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._look, call)

    def _look(self, call: Callable[[], Result]) -> Result:
        """One look at the record, in the thread that reads."""
        if not hasattr(self, "_reader"):  # it is being opened
            return call()
        with self._reader.looking():
            return call()


def _probe(runner: Runner) -> None:
    runner.run(_MARK, name="probe", value=0)
    runner.run(_MARK, name="probe", value=1)


_QUARANTINE = Statement(insert(quarantine))
_RELEASE = Statement(delete(quarantine).where(quarantine.c.id == bindparam("number")))
_MARK = Upsert(mark)
