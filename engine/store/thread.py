"""The one thread that writes: it takes all that waits, runs it in one transaction, and answers once that is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Protocol, TypeVar

import msgspec

from engine.store.sql import Runner
from engine.store.values import Appended, Arrival, FileGone, NotFound, NotPossible, StoreUnavailable

log = logging.getLogger("shopbell.store")

Result = TypeVar("Result")
Failpoint = Callable[[str], None]

GROUP = 1000
"""Jobs in one transaction at most, so that none waits long for its answer."""

TRIES = 5
"""How often a transaction that got in the way of another's is done before its callers hear of it."""

WAITING_JOBS = 20_000
WAITING_BYTES = 64 * 1024 * 1024
"""Arrivals that may wait for the disk, by number and by bytes of their bodies; beyond, senders are turned away."""


class Database(Protocol):
    """What the thread needs of a database beside statements."""

    runner: Runner

    def begin(self) -> None:
        """Begin a transaction that writes."""
        ...

    def commit(self) -> None:
        """Make it last: after this it is on the disk."""
        ...

    def rollback(self) -> None:
        """Undo it, if there is one."""
        ...

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """What an error says of the database; None where it tells of a mistake in a single job."""
        ...

    def scrub(self) -> bool:
        """Leave nothing in the database's files of what was deleted or changed; whether that could be done just now."""
        ...

    def again(self, error: Exception) -> bool:
        """Whether the same transaction may well succeed when it is done again."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Appending(Protocol):
    """Keeps arrivals within the running transaction, and is told what became of that."""

    def append(self, runner: Runner, waiting: Sequence[tuple[Arrival, int]]) -> list[Appended]:
        """What became of each arrival, in their order."""
        ...

    def committed(self) -> None:
        """The transaction counts."""
        ...

    def rolled_back(self) -> None:
        """The transaction does not count."""
        ...


class Job(msgspec.Struct, gc=False, eq=False):
    """One thing to be done, and who waits for it: an arrival to keep, a call, or a call outside of any transaction."""

    future: asyncio.Future[Any]
    arrival: Arrival | None = None
    received_at: int = 0
    call: Callable[[Runner], Any] | None = None
    apart: Callable[[Any], Any] | None = None
    outcome: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class Figures:
    """How commits went: their number, and the rows and milliseconds of the last."""

    commits: int = 0
    rows: int = 0
    ms: float = 0.0
    at: float = float("-inf")


class WriterThread:
    """Takes jobs from the event loop it was made on. `after` is called there after a commit that brought new events."""

    def __init__(
        self,
        open_database: Callable[[], tuple[Database, Appending]],
        *,
        after: Callable[[], None],
        failpoint: Failpoint,
    ) -> None:
        self._open = open_database
        self._after = after
        self._fail = failpoint
        self._loop = asyncio.get_running_loop()
        self._handed: list[Job] = []
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._waiting_jobs = 0
        self._waiting_bytes = 0
        self._stopped: StoreUnavailable | None = None
        self._thread = Thread(target=self._live, name="shopbell-store", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.figures = Figures()
        self._database: Database
        self._appender: Appending

    # on the event loop

    async def start(self) -> None:
        """Open the database in the thread. Raises what opening it raises."""
        self._thread.start()
        await self._opened

    async def broken(self) -> str:
        """Wait until the thread has ended by itself; why."""
        await asyncio.shield(self._ended)
        return str(self._stopped)

    async def stop(self) -> None:
        """Do what waits, then let go of the database."""
        if self._stopped is None:
            self._stopped = StoreUnavailable("the database is closed")
            self._hand_over()
            self._inbox.put(None)
        await self._ended

    def append(self, arrival: Arrival, received_at: int) -> asyncio.Future[Appended]:
        """Keep an arrival."""
        if self._waiting_jobs >= WAITING_JOBS or self._waiting_bytes >= WAITING_BYTES:
            raise StoreUnavailable("more events are coming in than the disk takes")
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._waiting_bytes += len(arrival.body)
        self._put(Job(future, arrival, received_at))
        return future

    def call(self, call: Callable[[Runner], Result]) -> asyncio.Future[Result]:
        """Run a call within a transaction, together with what else waits."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(Job(future, call=call))
        return future

    def apart(self, call: Callable[[Any], Result]) -> asyncio.Future[Result]:
        """Run a call on the database between two transactions."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._put(Job(future, apart=call))
        return future

    def _put(self, job: Job) -> None:
        if self._stopped is not None:
            raise self._stopped
        self._waiting_jobs += 1
        if not self._handed:  # what comes in the same pass of the loop is handed over together
            self._loop.call_soon(self._hand_over)
        self._handed.append(job)

    def _hand_over(self) -> None:
        if self._handed:
            self._inbox.put(self._handed)
            self._handed = []

    def _answer(self, jobs: list[Job]) -> None:
        """Give each caller its outcome, once for the whole group."""
        new = False
        for job in jobs:
            self._waiting_jobs -= 1
            if job.arrival is not None:
                self._waiting_bytes -= len(job.arrival.body)
                new = new or (job.error is None and not job.outcome.repeat)
            if job.future.done():  # the caller went away
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.outcome)
        if new:
            self._after()

    def _end(self, reason: StoreUnavailable | None, jobs: list[Job]) -> None:
        self._stopped = self._stopped or reason
        self._hand_over()
        jobs = jobs + [job for waiting in _drain(self._inbox) for job in waiting]
        for job in jobs:
            job.error = job.error or self._stopped
        self._answer(jobs)
        if not self._ended.done():
            self._ended.set_result(None)

    # in the thread

    def _live(self) -> None:
        try:
            self._database, self._appender = self._open()
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, None)
        jobs: list[Job] = []
        reason = None
        try:
            while (first := self._inbox.get()) is not None:
                jobs = first + [job for more in _drain(self._inbox, GROUP - len(first)) for job in more]
                self._run(jobs)
                jobs = []
        except BaseException as error:
            reason = StoreUnavailable("the record is no longer written; start the service again")
            if isinstance(error, FileGone):
                reason = StoreUnavailable(str(error))
            log.critical("the thread that writes the record has ended: %s", reason, exc_info=error)
        finally:
            try:
                self._database.close()
            finally:  # whoever waits must be told, however badly it ended
                self._loop.call_soon_threadsafe(self._end, reason, jobs)

    def _run(self, jobs: list[Job]) -> None:
        for start in range(0, len(jobs), GROUP):
            group = jobs[start : start + GROUP]
            if inside := [job for job in group if job.apart is None]:
                self._transact(inside)
            for job in group:
                self._do_apart(job)
            self._fail("before answer")
            self._loop.call_soon_threadsafe(self._answer, group)

    def _do_apart(self, job: Job) -> None:
        if job.apart is not None:
            try:
                job.outcome = job.apart(self._database)
            except Exception as error:
                job.error = self._database.unavailable(error) or error

    def _transact(self, group: list[Job], tries: int = TRIES) -> None:
        """Run jobs in one transaction; where one of them is at fault, each in its own."""
        began = perf_counter()
        try:
            self._commit(group)
        except Exception as error:
            self._roll_back()
            if tries > 1 and self._database.again(error):
                self._transact(group, tries - 1)
                return
            reason = self._database.unavailable(error)
            if reason is not None or len(group) == 1:
                for job in group:
                    job.error = reason or error
                if reason is not None:
                    log.error("the record cannot be written: %s (%s)", reason, error)
                return
            for job in group:
                self._transact([job])
            return
        self._appender.committed()
        self._fail("after commit")
        now = perf_counter()
        self.figures = Figures(self.figures.commits + 1, len(group), (now - began) * 1000, now)

    def _commit(self, group: list[Job]) -> None:
        runner = self._database.runner
        self._database.begin()
        arrivals = [job for job in group if job.arrival is not None]
        if arrivals:
            appended = self._appender.append(
                runner, [(job.arrival, job.received_at) for job in arrivals if job.arrival is not None]
            )
            for job, outcome in zip(arrivals, appended, strict=True):
                job.outcome = outcome
            self._fail("after appending")
        for job in group:
            if job.call is not None:
                job.error = None
                try:
                    job.outcome = job.call(runner)
                except (NotFound, NotPossible) as refusal:  # raised before anything is written
                    job.error = refusal
                self._fail("after job")
        self._fail("before commit")
        self._database.commit()

    def _roll_back(self) -> None:
        self._database.rollback()
        self._appender.rolled_back()


def _drain(inbox: SimpleQueue[list[Job] | None], most: int = 1 << 60) -> list[list[Job]]:
    """What else waits, up to about a number of jobs; the sign to end stays."""
    found: list[list[Job]] = []
    while most > 0 and not inbox.empty():
        more = inbox.get()
        if more is None:
            inbox.put(None)
            break
        found.append(more)
        most -= len(more)
    return found
