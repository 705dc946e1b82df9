"""The time, handed in wherever it is needed, so that tests can move it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

Clock = Callable[[], datetime]
"""Gives the present moment, aware, in UTC."""


class Wait(Protocol):
    """Waits for some seconds; the clock of tests does not."""

    async def __call__(self, seconds: float, /) -> object: ...


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)
