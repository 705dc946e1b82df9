"""The planner process: judges events beside the process that owns the store, and can reach nothing.

It has no store, no network, no secrets and no environment, a memory limit, and a deadline for each batch. Whoever
talks to it kills and restarts it when it hangs or dies, so a rule can delay no acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO

from engine import actions, sources
from engine.model import Event, Memory
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import (
    Job,
    Judge,
    Judged,
    Load,
    Loaded,
    Reply,
    Request,
    ShopFacts,
    Verdict,
    decode_reply,
    decode_request,
    destinations_of,
    encode,
    verdict_of,
)
from engine.rulebook.loader import Language, Loader
from engine.rulebook.planner import plan
from engine.sources.body import parse

MEMORY_LIMIT = 1 << 30
"""Bytes of address space that planning may take."""

DEADLINE = 10.0
"""Seconds that one batch of events may take."""

_LENGTH = struct.Struct(">I")


class PlannerDied(Exception):
    """The planner process ended or hung over a batch; its text says which, for the record."""


def _load(book: Rulebook) -> Load:
    """What the planner process is handed for a rulebook: its texts, and facts without secrets."""
    by_kind = {
        kind: {name: dict(facts) for name, facts in named.items()}
        for kind, named in book.destinations.by_kind.items()
    }
    return Load(dict(book.texts), ShopFacts.of(book.shop), by_kind, book.destinations.known)


class PlannerProcess:
    """The parent's end: starts the process, hands over rules and events, and restarts it when it dies."""

    def __init__(self, deadline: float = DEADLINE, command: Sequence[str] | None = None) -> None:
        self._deadline = deadline
        self._command = command or (sys.executable, "-I", "-B", "-m", "engine.runtime.planner_process")
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._loaded: Rulebook | None = None
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """The process now planning, if there is one."""
        return self._process.pid if self._process else None

    async def judge(self, book: Rulebook, jobs: list[Job], now: datetime) -> Judged:
        """The verdicts of a rulebook on a batch of events. Raises `PlannerDied` when none came in time."""
        async with self._turn:
            await self._ready(book)
            reply = await self._ask(Judge(jobs, now), self._deadline)
            if not isinstance(reply, Judged):
                raise PlannerDied("the planner gave an answer to another question")
            return reply

    async def warm(self, book: Rulebook) -> None:
        """Start it and hand over the rules now, so that the first event does not wait for that."""
        async with self._turn:
            await self._ready(book)

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself just now
                process.kill()
            await process.wait()

    async def _ready(self, book: Rulebook) -> None:
        if self._process is None or self._process.returncode is not None:
            await self._start()
        if self._loaded is not book:
            await self._ask(_load(book), self._deadline * 6)
            self._loaded = book

    async def _start(self) -> None:
        # An empty environment but for what the interpreter needs to find its parts: no secret gets there.
        keep = {name: os.environ[name] for name in ("SYSTEMROOT", "PYTHONHOME") if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env={**keep, "LANG": "C.UTF-8"}
        )
        self._loaded = None
        self.restarts += 1

    async def _ask(self, request: Request, deadline: float) -> Reply:
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request)
        except TimeoutError:
            await self.stop()
            raise PlannerDied(f"judging it took more than {deadline:g} seconds") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.stop()
            raise PlannerDied("judging it ended the planner process") from None
        except BaseException:
            await self.stop()  # half an exchange would answer the next question with this one's reply
            raise

    async def _exchange(self, request: Request) -> Reply:
        process = self._process
        assert process is not None  # noqa: S101  # `_ready` has started it
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        frame = encode(request)
        process.stdin.write(_LENGTH.pack(len(frame)) + frame)
        await process.stdin.drain()
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        return decode_reply(await process.stdout.readexactly(length))


class Planner:
    """The child's end: a rulebook and the answers to what is asked."""

    def __init__(self) -> None:
        self._loader: Loader | None = None
        self._language: Language | None = None
        self._book: Rulebook | None = None

    def answer(self, request: Request) -> Reply:
        """Take new rules, or judge events."""
        if isinstance(request, Load):
            return self._take(request)
        return self._judge(request)

    def _take(self, load: Load) -> Loaded:
        language = Language(sources.found(), actions.found(), load.shop.shop(), destinations_of(load))
        if self._loader is None or self._language != language:
            self._loader, self._language = Loader(language), language
        self._book = self._loader.load(load.texts)
        _ = self._book.index
        return Loaded(self._book.hash, len(self._book.rules))

    def _judge(self, request: Judge) -> Judged:
        book = self._book
        if book is None:
            raise RuntimeError("asked to judge before any rules were handed over")
        return Judged(book.hash, [judge_one(job, book, request.now) for job in request.jobs])


def event_of(job: Job) -> Event:
    """The event of a job, its body read exactly."""
    return Event(
        job.id, job.source, job.type, job.subject, parse(job.body), job.received_at, job.identity, job.late
    )


def memory_of(job: Job) -> Memory:
    """What a job says of the past."""
    return Memory(
        before=parse(job.before) if job.before is not None else None,
        order=parse(job.order) if job.order is not None else None,
        products=job.products,
    )


def judge_one(job: Job, book: Rulebook, now: datetime) -> Verdict:
    """The verdict on one event; whatever goes wrong with it is said in its place and hurts no other."""
    try:
        event = event_of(job)
        source = book.sources.get(job.source)
        teaches = source.teaches(job.type, event.payload) if source else {}
        return verdict_of(event, plan(event, book, memory_of(job), now), teaches)
    except MemoryError:
        return Verdict(job.id, error="judging it took more memory than a rule may have")
    except Exception as error:  # one event's fault must not take the batch with it: it is set aside with this
        return Verdict(job.id, error=f"judging it failed: {type(error).__name__}: {error}"[:500])


def main() -> None:
    """Serve requests on standard input until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    read, write = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints may get between the frames
    planner = Planner()
    _limit()
    while (request := _receive(read)) is not None:
        frame = encode(planner.answer(request))
        write.write(_LENGTH.pack(len(frame)) + frame)
        write.flush()


def _receive(stream: BinaryIO) -> Request | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return decode_request(stream.read(_LENGTH.unpack(head)[0]))


def _limit() -> None:
    """Give up what planning never needs: much memory, the network, other programs, writing files."""
    with contextlib.suppress(ImportError):  # not on Windows: the deadline still holds there
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse)


_REFUSED = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.system",
    "os.fork",
    "os.posix_spawn",
    "os.kill",
    "shutil.",
)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"planning may not do this: {event}")
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise PermissionError("planning may not write files")


if __name__ == "__main__":
    main()
