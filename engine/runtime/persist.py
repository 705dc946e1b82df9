"""Going on: what is to be noted is noted once the record can be reached, and a loop outlives a fault of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.runtime.clock import Wait
from engine.store.store import StoreUnavailable

log = logging.getLogger("shopbell.worker")

Result = TypeVar("Result")

PAUSE = 1.0
"""Seconds between two looks whether the record is back."""


async def insist(call: Callable[[], Awaitable[Result]], wait: Wait = asyncio.sleep) -> Result:
    """What the call gives once the record can be reached; only being cancelled ends it before."""
    told = ""
    while True:
        try:
            return await call()
        except StoreUnavailable as reason:
            if str(reason) != told:
                told = str(reason)
                log.error("the record cannot be reached, and is tried again every second: %s", reason)
            await wait(PAUSE)


async def faultless(turn: Callable[[], Awaitable[None]], wait: Wait = asyncio.sleep) -> None:
    """One turn of a loop that must not end; a fault of ours in it is told, and a moment passes."""
    try:
        await turn()
    except Exception:  # whatever it is, one fault must not end the judging and delivering of all else
        log.exception("a fault of Shopbell's own; work goes on")
        await wait(PAUSE)
