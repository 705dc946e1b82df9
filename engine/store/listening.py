"""Being told that something came in: PostgreSQL passes it on to processes that are idle. Nothing depends on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

log = logging.getLogger("shopbell.store")

CHANNEL = "shopbell"
"""What processes listen on."""

AGAIN = 15.0
"""Seconds until listening is tried again where it cannot be had; meanwhile everybody looks by himself."""


class Listener:
    """Calls `told` on the event loop whenever another process says that something came in."""

    def __init__(self, url: str, told: Callable[[], None]) -> None:
        self._url = url
        self._told = told
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Listen no more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError) as reason:
                log.debug("nobody tells when something comes in, it is looked for instead: %s", reason)
            await asyncio.sleep(AGAIN)

    async def _listen_once(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, prepare_threshold=None, connect_timeout=5
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            async for _ in connection.notifies():
                self._told()
