"""HTTP servers on a socket of our own: what cannot listen says why before anything begins, and signals are ours."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import uvicorn

Result = TypeVar("Result")

BACKLOG = 2048
"""Connections that may wait to be taken."""


class CannotListen(Exception):
    """No server can listen there; the text says why in plain words."""


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 is any free one. Raises `CannotListen`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror:
        raise CannotListen(f"{host} is no address of this machine") from None
    except OSError as error:
        raise CannotListen(_why(error, host, port)) from None


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is already in use by another program. Choose another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not listen on port {port}. Choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine"
    return f"nothing can listen on {host}:{port} ({error.strerror})"


class Server(uvicorn.Server):
    """uvicorn's server without its hands on the signals: whoever runs it decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def serving(config: uvicorn.Config, listening: socket.socket) -> AsyncIterator[Server]:
    """A server under way while inside, and ended in order."""
    server = Server(config)
    task = asyncio.create_task(server.serve([listening]))
    try:
        await _started(server, task)
        yield server
    finally:
        server.should_exit = True
        try:
            await task
        finally:
            listening.close()  # also when somebody is in a hurry and ends us a second time


async def _started(server: Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            await task
            raise CannotListen("the HTTP server could not start")
        await asyncio.sleep(0.005)


def port_of(listening: socket.socket) -> int:
    """The port that a socket listens on."""
    return int(listening.getsockname()[1])


async def told_to_end() -> str:
    """Wait until this process is told to end, by Ctrl-C or a signal; which it was."""
    told = asyncio.Event()
    names: list[str] = []

    def note(name: str) -> None:
        names.append(name)
        told.set()

    with _handling(note):
        await told.wait()
    return names[0]


@contextmanager
def _handling(note: Callable[[str], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    wanted = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        before = {
            one: signal.signal(
                one, lambda number, _: loop.call_soon_threadsafe(note, signal.Signals(number).name)
            )
            for one in wanted
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
        return
    for one in wanted:
        loop.add_signal_handler(one, note, one.name)
    try:
        yield
    finally:
        for one in wanted:
            loop.remove_signal_handler(one)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run to its end on uvloop, which takes three times the requests of the stock loop, where it is to be had."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
