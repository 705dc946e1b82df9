"""Several processes on one record in PostgreSQL: while the database is away nothing is acknowledged, and nothing is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback import Catcher, Orders, Served, numbers, post_all, until

pytestmark = pytest.mark.anyio


class Cable:
    """The way to the database, which can be cut and joined again."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the database by this way."""
        user = f"{self._there.username}@" if self._there.username else ""
        return self._there._replace(netloc=f"{user}127.0.0.1:{self._port}").geturl()

    async def join(self) -> None:
        """Let calls through."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all calls, and take no more."""
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._there.hostname, self._there.port or 5432)
        self._ends |= {writer, far_writer}
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_while_the_database_is_away_senders_are_told_to_come_again_and_no_process_needs_a_start(
    tmp_path: Path, catcher: Catcher, orders: Orders, postgres_url: str
) -> None:
    cable = Cable(postgres_url)
    await cable.join()
    nodes = [Served(tmp_path / role, catcher.port, None, cable.url, role) for role in ("receiver", "worker")]
    try:
        for node in nodes:
            await node.start()
        receiver = nodes[0]
        before = await post_all(receiver.port, [orders.body(f"A{number}") for number in range(200)])
        cable.cut()
        away = await post_all(receiver.port, [orders.body(f"B{number}") for number in range(20)])
        assert {answer.status for answer in away} == {503}
        await asyncio.sleep(
            3
        )  # real processes must find the database away for a while: their clock is their own
        assert await asyncio.to_thread(receiver.status, "/readyz") == 503
        await cable.join()
        after = await post_all(receiver.port, [orders.body(f"B{number}") for number in range(20)])
        assert {answer.status for answer in (*before, *after)} == {202}
        wanted = {f"A{number}" for number in range(200)} | {f"B{number}" for number in range(20)}
        assert await until(lambda: set(numbers(catcher.got)) >= wanted, 30)
    finally:
        for node in nodes:
            if node.process is not None:
                await asyncio.to_thread(node.stop)
        cable.cut()
