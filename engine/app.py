"""The running service: its rooms wired together, its life from start to end, and the pages it answers itself."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from random import Random

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine import __version__, actions, sources
from engine.actions.base import Action
from engine.language.problem import Problem
from engine.language.words import plural
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language
from engine.runtime.admission import Admission
from engine.runtime.alarming import Alarming
from engine.runtime.clock import Clock, system_clock
from engine.runtime.control import Control, socket_beside
from engine.runtime.falling_due import FallingDue
from engine.runtime.guard import Guard
from engine.runtime.lanes import paces_of
from engine.runtime.metrics import CONTENT_TYPE, Metrics
from engine.runtime.notes import Notes
from engine.runtime.planner_process import PlannerProcess
from engine.runtime.protocol import WireLimits, bounded
from engine.runtime.receiver import Answering, Intake, Receiver
from engine.runtime.rulefiles import Texts, changes, read_folder
from engine.runtime.scheduler import Scheduler
from engine.runtime.server import serving
from engine.runtime.services import Services
from engine.runtime.upkeep import Copies, Keep
from engine.runtime.worker import Worker
from engine.settings import Settings
from engine.sources.base import Source
from engine.store.address import is_postgres
from engine.store.repair import made_whole
from engine.store.sqlite import path_of
from engine.store.store import Store, StoreUnavailable

log = logging.getLogger("shopbell")


class Role(StrEnum):
    """What a process of the service does: all of it, or taking events in, or judging and delivering."""

    ALL = "all"
    RECEIVER = "receiver"
    WORKER = "worker"


class Service:
    """One whole service on one machine: receiver, planner process, worker, and the watch on the rule folder.

    `app` takes requests once `start` has returned; `running` does it all. `tasks` are its loops under way.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = system_clock,
        random: Random | None = None,
        words: Mapping[str, Action] | None = None,
        role: Role = Role.ALL,
    ) -> None:
        self.settings = settings
        self._role = role
        self.metrics = Metrics()
        self.store: Store
        self.book: Rulebook
        self.app: Intake
        self.planner = PlannerProcess()
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # only spreads retries
        self._actions = words or actions.found()
        self.language = Language(sources.found(), self._actions, settings.shop, settings.destinations())
        self._loader = Loader(self.language)
        self._stop = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self._worker: Worker | None = None
        self._falling_due: FallingDue
        self._open = AsyncExitStack()

    # life

    async def start(self) -> None:
        """Open the record, read the rules, and begin to work. Raises `FolderUnreadable` and `StoreError`."""
        if self._role is not Role.ALL and not is_postgres(self.settings.database):
            raise StoreUnavailable(
                f"a {self._role} needs a record that several processes can share: on SQLite one process does it all. Set "
                "`database: postgresql://…`, or leave --role out"
            )
        self.store = await self._open.enter_async_context(await self._opened())
        if self._role is not Role.RECEIVER:
            await self._start_work()
        self.app = Intake(self._pages(), () if self._role is Role.WORKER else self._receivers())

    async def _start_work(self) -> None:
        """Read the rules, and begin to judge and to deliver."""
        texts = read_folder(self.settings.rules)
        self._take(self._loader.load(texts, await self.store.latest_rulebook()))
        self._open.push_async_callback(self.planner.stop)
        await self.planner.warm(self.book)
        services = await self._open.enter_async_context(self._services())
        alarming = self._alarming()
        self._worker = Worker(
            self.store,
            self.planner,
            self._actions,
            services,
            lambda: self.book,
            self._clock,
            self.metrics,
            self._random,
            paces=paces_of(self.settings.connections),
            own=alarming.deliveries,
        )
        self._falling_due = FallingDue(self.store, self.language.timing, self._clock)
        await self._falling_due.begin(self.book)
        scheduler = Scheduler(
            self.store,
            self._clock,
            self._falling_due,
            keep=keep_of(self.settings),
            copies=copies_of(self.settings),
        )
        scheduler.start()
        self._open.callback(scheduler.stop)
        await self._take_orders()
        self.tasks = [asyncio.create_task(self._worker.run()), asyncio.create_task(self._watch(texts))]
        if self.settings.alarms:
            self.tasks.append(asyncio.create_task(alarming.run()))

    async def _take_orders(self) -> None:
        """Listen to the command line, where it could not write to the record itself."""
        if self.store.shared:
            return
        beside = socket_beside(path_of(self.settings.database))
        control = Control(self.store, self._clock, beside, self.settings.keep_repeats)
        await control.start()
        self._open.push_async_callback(control.stop)

    async def _opened(self) -> Store:
        """The record, whole: a damaged database is replaced by its newest copy, or begun anew, and that is told."""
        if self.settings.database.startswith("sqlite"):
            place = path_of(self.settings.database)
            found = await asyncio.to_thread(made_whole, place, self.settings.backups, self._clock())
            if found.said:
                log.critical(found.said)
        store = await Store.open(self.settings.database)
        if store.disk is not None:
            store.disk.least = self.settings.least_free
            await asyncio.to_thread(store.disk.load)
        return store

    def _alarming(self) -> Alarming:
        connections = (
            f"{kind}/{name}" for kind, named in self.settings.connections.items() for name in named
        )
        return Alarming(
            self.store,
            self.settings.alarms,
            self._actions,
            self.language.destinations,
            self.settings.shop,
            self._clock,
            self.metrics,
            connections,
        )

    def _services(self) -> Services:
        return Services(
            self.settings.connections,
            secrets=self.settings.hidden,
            guard=Guard(str(network) for network in self.settings.allow),
            now=self._clock,
            agent=f"Shopbell/{__version__}",
            notes=Notes(self.store.note, lambda name, text: self.store.keep_note(name, text, self._clock())),
        )

    async def stop(self) -> None:
        """End in order: nothing new is begun, what is under way may end, the record is closed last."""
        self._stop.set()
        if self._worker is not None:
            await self._worker.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._open.aclose()

    @asynccontextmanager
    async def running(self, listening: socket.socket) -> AsyncIterator[None]:
        """Work and answer requests on a socket while inside, and end in order however it is left."""
        try:
            await self.start()
            async with serving(self._http(), listening):
                yield
        finally:
            await self.stop()

    def _http(self) -> uvicorn.Config:
        proxies = self.settings.listen.behind_proxy
        return uvicorn.Config(
            self.app,
            http=bounded(WireLimits(), self.metrics.refused),
            ws="none",
            lifespan="off",
            access_log=False,  # addresses hold the secret
            log_config=None,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            timeout_graceful_shutdown=10,
        )

    def _receivers(self) -> list[Answering]:
        return [self._receiver(source) for source in sources.found().values()]

    def _receiver(self, source: Source) -> Answering:
        senders, limit = self.settings.senders, self.settings.largest_body
        receiver = Receiver(
            source, self.store, self.settings.secrets, clock=self._clock, metrics=self.metrics,
            limit=limit,
            window=self.settings.keep_repeats,
            verified=senders.verify,
        )  # fmt: skip
        if not senders.any:
            return receiver
        return Admission(receiver, senders, clock=self._clock, metrics=self.metrics, limit=limit)

    # rules

    def _take(self, book: Rulebook) -> None:
        """Swap in a rulebook that was built aside, and say what is wrong with its files."""
        self.book = book
        broken = {problem.file for problem in _errors(book.problems)}
        self.metrics.rule_files_broken(len(broken))
        for problem in _errors(book.problems):
            log.error("%s line %d: %s", problem.file, problem.line, problem.message)
        kept = f", {len(book.older)} of them in their last good version" if book.older else ""
        faulty = f"; faults in {plural(len(broken), 'file')}" if broken else ""
        log.info("%s in force%s%s", plural(len(book.rules), "rule"), kept, faulty)

    async def _watch(self, known: Texts) -> None:
        """Take each change of the rule folder, never half written and never in part."""
        async for texts in changes(self.settings.rules, known, self._stop):
            self._take(await asyncio.to_thread(self._loader.load, texts, self.book.texts))
            await self._falling_due.taken(self.book)

    # pages

    def _pages(self) -> Starlette:
        pages = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ]
        )
        pages.router.redirect_slashes = False
        return pages

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _readyz(self, _: Request) -> Response:
        """Able to accept: the record can be written, rules are loaded, and the loops run."""
        reason = await self._not_ready()
        if reason:
            return PlainTextResponse(f"not ready: {reason}\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def _not_ready(self) -> str:
        if any(task.done() for task in self.tasks):
            return "the worker has ended"
        try:
            await self.store.writable()
        except StoreUnavailable as reason:
            return str(reason)
        return ""

    async def _metrics(self, _: Request) -> Response:
        try:
            self.metrics.waiting(await self.store.counts(), self._clock(), await self.store.pacing.outages())
        except StoreUnavailable as reason:
            log.error("what waits cannot be counted: %s", reason)  # the other figures are worth showing
        return PlainTextResponse(self.metrics.text(), media_type=CONTENT_TYPE)


def keep_of(settings: Settings) -> Keep:
    """How long what is kept."""
    return Keep(settings.keep_events, settings.keep_deliveries, settings.keep_bodies)


def copies_of(settings: Settings) -> Copies | None:
    """Where copies of the database go, None where none are wanted."""
    if settings.backups is None or not settings.database.startswith("sqlite"):
        return None
    return Copies(path_of(settings.database), settings.backups, settings.keep_backups)


def _errors(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]
