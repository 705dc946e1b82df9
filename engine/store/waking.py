"""How long an idle process waits before it looks again: it is told by others where that can be, and looks by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

SHORTEST = 0.02
LONGEST = 1.0
"""Seconds between two looks, short after there was something to do and longer each time there was nothing."""

IDLE = 0.15
"""Seconds of a wait from which on a process counts as idle, and wants to be told."""


class Patience:
    """Waits for a signal; where others may bring something unheard, not longer than makes sense. `shared` says whether."""

    def __init__(self, signal: asyncio.Event, shared: bool) -> None:
        self._signal = signal
        self._shared = shared
        self._pause = SHORTEST

    @property
    def idle(self) -> bool:
        """Whether there has been nothing to do for a while."""
        return self._shared and self._pause >= IDLE

    def found(self) -> None:
        """There was something to do."""
        self._pause = SHORTEST

    async def wait(self, seconds: float) -> bool:
        """Wait at most some seconds; whether the signal came since this was last asked."""
        if self._shared:
            seconds = min(seconds, self._pause)
            self._pause = min(2 * self._pause, LONGEST)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._signal.wait()
        happened = self._signal.is_set()
        self._signal.clear()
        if happened:
            self.found()
        return happened
