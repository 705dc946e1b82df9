"""Orders from the command line to the running service: only it may write to the record, so it is asked to.

They come over a socket beside the database file that only its owner can open, one JSON line each way. Where no
service runs, the command line opens the record itself and carries out the same orders.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from pathlib import Path

import msgspec

from engine import sources
from engine.runtime.clock import Clock
from engine.runtime.rereading import reread
from engine.runtime.upkeep import Keep, erase, sweep, swept_words
from engine.store.people import Person
from engine.store.store import Store, StoreError

log = logging.getLogger("shopbell.control")

LONGEST = 64 * 1024
"""Bytes of one order."""

PATIENCE = 10.0
"""Seconds that an order may take to come, and its answer to be written; and most orders to be carried out."""

LONG = 3600.0
"""Seconds that whoever ordered something big waits for it."""


class NoService(Exception):
    """No service listens beside this database."""


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """Send a delivery now."""

    delivery: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Never send a delivery, for a reason."""

    delivery: str
    reason: str


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """Judge an event again by the rules in force; what it sent already is sent again only with `resend`."""

    event: str
    resend: bool = False


class Reread(msgspec.Struct, frozen=True, tag="reread"):
    """Read a body in quarantine again, with what this version can."""

    body: str


class Erase(msgspec.Struct, frozen=True, tag="erase"):
    """Erase a person by e-mail address, or what is about some subjects."""

    email: str = ""
    subjects: tuple[str, ...] = ()


class Purge(msgspec.Struct, frozen=True, tag="purge"):
    """Let go of what is older than so many seconds, by kind; the content of events stays with them where it is None."""

    events: float
    deliveries: float
    bodies: float | None = None


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Let something that waits never fall due, for a reason."""

    waiting: str
    reason: str


class Hurry(msgspec.Struct, frozen=True, tag="hurry"):
    """Let something that waits fall due now."""

    waiting: str


Order = Retry | Cancel | Replay | Reread | Erase | Purge | Drop | Hurry


async def carry_out(order: Order, store: Store, clock: Clock, window: timedelta | None = None) -> str:
    """Do what was ordered; what became of it, where there is something to say.

    `window` is how long a repeat may come after, by the settings. Raises `StoreError` with the reason when it cannot
    be done.
    """
    match order:
        case Retry():
            await store.retry(order.delivery, clock())
        case Cancel():
            await store.cancel(order.delivery, clock(), order.reason)
        case Replay():
            await store.replay(order.event, resend=order.resend)
        case Reread():
            return await reread(store, order.body, sources.found(), window)
        case Drop():
            await store.times.cancel(order.waiting, clock(), order.reason)
        case Hurry():
            await store.times.send_now(order.waiting, clock())
        case Erase():
            return await erase(store, Person(order.email, order.subjects), personal_fields(), clock())
        case Purge():
            return swept_words(await sweep(store, _keep(order), clock()))
    return ""


def personal_fields() -> frozenset[str]:
    """The names under which payloads keep what names a person."""
    return frozenset().union(*(source.personal for source in sources.found().values()))


def _keep(order: Purge) -> Keep:
    bodies = None if order.bodies is None else timedelta(seconds=order.bodies)
    return Keep(timedelta(seconds=order.events), timedelta(seconds=order.deliveries), bodies)


class Answer(msgspec.Struct, frozen=True):
    """What became of an order: `error` says why it was not carried out, `done` what is worth saying if it was."""

    error: str = ""
    done: str = ""


_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def socket_beside(database: Path) -> Path:
    """Where the service of a database file listens for orders."""
    return database.with_name(database.name + ".control")


class Control:
    """The service's end: listens, and carries out what it is told."""

    def __init__(self, store: Store, clock: Clock, path: Path, window: timedelta | None = None) -> None:
        self._store = store
        self._window = window
        self._clock = clock
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen, where the system has such sockets."""
        if not hasattr(asyncio, "start_unix_server"):
            return
        self._path.unlink(
            missing_ok=True
        )  # left over from a service that was killed; the file lock says we are alone
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._answer, self._path, limit=LONGEST)
        except OSError as reason:  # a path too long for a socket, or a file system without them
            log.warning("the command line cannot give orders to this service: %s", reason)
        finally:
            os.umask(mask)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                line = await reader.readline()
            answer = await self._obey(line)
            async with asyncio.timeout(PATIENCE):
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            return  # whoever asked is gone or talks nonsense; there is nobody to tell
        finally:
            writer.close()

    async def _obey(self, line: bytes) -> Answer:
        try:
            done = await carry_out(_orders.decode(line), self._store, self._clock, self._window)
        except msgspec.DecodeError:
            return Answer("the service does not know this order; it may be of another version")
        except StoreError as reason:
            return Answer(str(reason))
        return Answer(done=done)


async def give(order: Order, database: Path) -> Answer:
    """Have the running service of a database carry out an order. Raises `NoService`."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_beside(database))
    except (OSError, AttributeError):
        raise NoService from None
    try:
        async with asyncio.timeout(LONG if isinstance(order, Erase | Purge) else PATIENCE):
            writer.write(msgspec.json.encode(order) + b"\n")
            await writer.drain()
            return _answers.decode(await reader.readline())
    except (TimeoutError, ConnectionError, msgspec.DecodeError):
        return Answer("the service did not answer")
    finally:
        writer.close()
