"""The planner process as its owner sees it: started, handed rules and events, and ended when it hangs.

Rules are judged there, beside the process that owns the record: without it, without network, secrets or environment,
under a limit of memory and a deadline. So a rule can delay no acknowledgement and reach nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from datetime import datetime

from msgspec import MsgspecError

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
    decode_reply,
    encode,
)
from engine.runtime.planner_child import LENGTH

log = logging.getLogger("shopbell.planner")

DEADLINE = 10.0
"""Seconds that one batch of events may take."""

STARTING = 3
"""So many times the deadline may the process take to start and take the rules in."""

DEADLINE_FOR_A_RULE = 0.1
"""Seconds more for that with each rule."""

BOOT = "import sys; sys.path[:] = sys.argv[1:]; from engine.runtime.planner_child import main; main()"
"""What the process runs: it ignores the environment and the user's own folders, so it is told where its parts are."""

NEEDED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All of the environment that gets there, for the interpreter itself; no secret does."""

LOGGED = 20
"""Lines that one process may have logged."""


class PlannerDied(Exception):
    """The process ended or hung over a batch of events; its text says which, for the record."""


class PlannerUnready(Exception):
    """The process cannot be started or does not take the rules: no event is to blame. Its text says what happened."""


class PlannerProcess:
    """Starts the process, hands over rules and events, and starts it anew when it dies. One question at a time."""

    def __init__(self, deadline: float = DEADLINE, command: Sequence[str] | None = None) -> None:
        self._deadline = deadline
        self._command = command or (sys.executable, "-I", "-B", "-c", BOOT, *_parts())
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._loaded: Rulebook | None = None
        self._log: asyncio.Task[None] | None = None
        self.restarts = -1

    @property
    def pid(self) -> int | None:
        """The process now planning, if there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def boot(self) -> None:
        """Start the process without waiting for it, so that it is nearly there once its rules are. Raises `PlannerUnready`."""
        async with self._turn:
            try:
                if self.pid is None:
                    await self._start()
            except OSError as reason:
                raise PlannerUnready(f"the planner process cannot be started ({reason})") from None

    async def warm(self, book: Rulebook) -> None:
        """Have it running with these rules, which costs nothing where it does. Raises `PlannerUnready`."""
        async with self._turn:
            await self._prepare(book)

    async def judge(self, book: Rulebook, jobs: list[Job], now: datetime) -> Judged:
        """The verdicts of a rulebook on a batch of events. Raises `PlannerDied` when none came in time."""
        async with self._turn:
            await self._prepare(book)
            try:
                reply = await self._ask(Judge(jobs, now), self._deadline)
            except TimeoutError:
                raise PlannerDied(f"judging it took more than {self._deadline:g} seconds") from None
            except (EOFError, OSError, MsgspecError):
                raise PlannerDied("judging it ended the planner process") from None
            if not isinstance(reply, Judged) or [one.id for one in reply.verdicts] != [
                job.event.id for job in jobs
            ]:
                await self.stop()
                raise PlannerDied("the planner process gave no answer to what was asked")
            return reply

    async def stop(self) -> None:
        """End the process."""
        process, self._process, self._loaded = self._process, None, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself just now
            process.kill()
        await process.wait()
        if self._log is not None:
            await self._log

    async def _prepare(self, book: Rulebook) -> None:
        try:
            if self.pid is None:
                await self._start()
            if self._loaded is not book:
                await self._load(book)
        except (EOFError, OSError, MsgspecError) as reason:
            raise PlannerUnready(f"the planner process ended before it was ready ({reason})") from None

    async def _start(self) -> None:
        await self.stop()
        environment = {name: os.environ[name] for name in NEEDED if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**environment, "LANG": "C.UTF-8"}
        )
        self._log = asyncio.create_task(_log(self._process))
        self.restarts += 1

    async def _load(self, book: Rulebook) -> None:
        deadline = STARTING * self._deadline + DEADLINE_FOR_A_RULE * len(book.texts)
        try:
            reply = await self._ask(_load_of(book), deadline)
        except TimeoutError:
            raise PlannerUnready(f"the rules were not taken in within {deadline:.0f} seconds") from None
        if not isinstance(reply, Loaded):
            await self.stop()
            raise PlannerUnready("the planner process gave no answer to what was asked")
        self._loaded = book

    async def _ask(self, request: Request, deadline: float) -> Reply:
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request)
        except BaseException:
            await self.stop()  # half an exchange would answer the next question with this one's reply
            raise

    async def _exchange(self, request: Request) -> Reply:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise BrokenPipeError("it was ended")
        frame = encode(request)
        process.stdin.write(LENGTH.pack(len(frame)) + frame)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        return decode_reply(await process.stdout.readexactly(length))


def _parts() -> list[str]:
    """Where this process finds its own modules, as places that hold wherever another is started."""
    return [os.path.abspath(path) for path in sys.path]


def _load_of(book: Rulebook) -> Load:
    """What is handed over of a rulebook: its texts, and facts without secrets."""
    by_kind = {
        kind: {name: dict(facts) for name, facts in named.items()}
        for kind, named in book.destinations.by_kind.items()
    }
    return Load(dict(book.texts), ShopFacts.of(book.shop), by_kind, book.destinations.known)


async def _log(process: Process) -> None:
    """Log what the process says of itself on standard error, up to a bound; read on beyond it, so that it never waits."""
    assert process.stderr is not None  # noqa: S101  # it was asked for
    room = LOGGED
    while said := await process.stderr.read(4096):
        for line in said.decode("utf-8", "replace").splitlines()[:room]:
            log.warning("planner process %d: %s", process.pid, line)
            room -= 1
