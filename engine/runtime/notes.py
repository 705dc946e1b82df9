"""What deliveries remember for one another: one at a time has a note, and what it keeps outlives the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

log = logging.getLogger("shopbell.worker")

Recall = Callable[[str], Awaitable[str]]
Keep = Callable[[str, str], Awaitable[None]]


@dataclass
class Kept:
    """A note in somebody's hands."""

    name: str
    text: str
    _keep: Keep

    async def keep(self, text: str) -> None:
        """Remember this from now on. It never fails: a message that went out is no failure for want of a note."""
        self.text = text
        try:
            await self._keep(self.name, text)
        except Exception:  # whatever the record cannot do at this moment
            log.exception("what was learnt of a delivery could not be kept")


class Notes:
    """Notes by name, each handed to one delivery at a time. Without a record they last as long as the process."""

    def __init__(self, recall: Recall | None = None, keep: Keep | None = None) -> None:
        self._memory: dict[str, str] = {}
        self._recall = recall or self._remembered
        self._keep = keep or self._remember
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Kept]:
        """The note of a name; whoever else wants it waits until it is given back."""
        lock, waiting = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = lock, waiting + 1
        try:
            async with lock:
                yield Kept(name, await self._recall(name), self._keep)
        finally:
            lock, waiting = self._turns.pop(name)
            if waiting > 1:
                self._turns[name] = lock, waiting - 1

    async def _remembered(self, name: str) -> str:
        return self._memory.get(name, "")

    async def _remember(self, name: str, text: str) -> None:
        self._memory[name] = text
