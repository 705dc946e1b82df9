"""Delivering as the guide says: acknowledged by four codes only, everything else repeated up to five times.

The guide names no pauses between repeats; these grow from seconds to an hour, and are divided by the speed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from engine.sources.chord.faults import Message

ACKNOWLEDGED = frozenset({200, 201, 202, 204})
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds before the first repeat, the second, and so on."""
TRIES = 1 + len(PAUSES)
PATIENCE = 10.0
"""Seconds that an answer may take; the speed does not shorten it."""
AT_ONCE = 16
"""Requests under way at the same time."""
_MOST_UNDER_WAY = 1000
_DRIBBLE = (20, 0.2)
"""A slow body comes in so many pieces, so many seconds apart."""
_EXCERPT = 200

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one event at one endpoint: what came back, as a code or, where none came, in words."""

    event: str
    about: str
    number: int
    at: datetime
    took_ms: int
    status: int | None
    excerpt: str

    @property
    def acknowledged(self) -> bool:
        """Whether the event counts as received."""
        return self.status in ACKNOWLEDGED


@dataclass(slots=True)
class Endpoint:
    """Where events go: an address, the events it wants, and what it answered, the newest first.

    `waiting` counts the events that will be tried again, `tries` and `refused` all tries and those not acknowledged,
    `lost` the events given up after the last repeat.
    """

    id: int
    target_url: str
    events: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=500))
    waiting: int = 0
    tries: int = 0
    refused: int = 0
    lost: int = 0
    removed: bool = False

    def keep(self, attempt: Attempt) -> None:
        """Put a try on record."""
        self.attempts.appendleft(attempt)
        self.tries += 1
        self.refused += not attempt.acknowledged


class Deliveries:
    """Sends messages to endpoints and repeats what was not acknowledged. Close it when done.

    `speed` divides the pauses; it may be changed on the way.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        speed: float = 1.0,
        sleep: Sleep = asyncio.sleep,
        client: httpx.AsyncClient | None = None,
        repeats: bool = True,
        tell: Callable[[Attempt], None] | None = None,
    ) -> None:
        self._clock = clock
        self.speed = speed
        self._sleep = sleep
        self._pauses = PAUSES if repeats else ()
        self._tell = tell
        self._client = client or httpx.AsyncClient(
            timeout=PATIENCE, trust_env=False, limits=httpx.Limits(max_connections=AT_ONCE)
        )
        self._free = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, endpoint: Endpoint, group: Sequence[Message]) -> None:
        """Begin to send messages to an endpoint, one after the other; returns at once."""
        self._begin(self._in_turn(endpoint, group))

    async def room(self) -> None:
        """Wait while too much is under way."""
        while len(self._tasks) >= _MOST_UNDER_WAY:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def settle(self) -> None:
        """Wait until everything was acknowledged or given up."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is under way, and the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def attempt(self, endpoint: Endpoint, message: Message, number: int = 1) -> Attempt:
        """Try once, and put it on the endpoint's record."""
        async with self._free:
            at, started = self._clock(), time.monotonic()
            status, excerpt = await self._post(endpoint.target_url, message, number)
        took = round((time.monotonic() - started) * 1000)
        attempt = Attempt(message.event, message.about, number, at, took, status, excerpt)
        endpoint.keep(attempt)
        if self._tell:
            self._tell(attempt)
        return attempt

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, endpoint: Endpoint, group: Sequence[Message]) -> None:
        for message in group:
            await self._pause(message.after)
            if not endpoint.removed and not (await self.attempt(endpoint, message)).acknowledged:
                self._begin(self._repeat(endpoint, message))

    async def _repeat(self, endpoint: Endpoint, message: Message) -> None:
        endpoint.waiting += 1
        try:
            for number, pause in enumerate(self._pauses, 2):
                await self._pause(pause)
                if endpoint.removed or (await self.attempt(endpoint, message, number)).acknowledged:
                    return
            endpoint.lost += 1
        finally:
            endpoint.waiting -= 1

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await self._sleep(seconds / self.speed)

    async def _post(self, url: str, message: Message, number: int) -> tuple[int | None, str]:
        """The code and the beginning of the answer; without an answer, None and the reason in words."""
        body = message.first if message.first is not None and number == 1 else message.body
        content = _dribbled(body, self._sleep) if message.slow else body
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._client.stream("POST", url, content=content, headers=_headers(message)) as answer,
            ):
                return answer.status_code, await _excerpt(answer)
        except (TimeoutError, httpx.TimeoutException):
            return None, f"no answer within {PATIENCE:.0f} seconds"
        except httpx.ConnectError:
            return None, "nobody answers there: the connection was refused, or the name is not known"
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as fault:
            return None, f"the call broke off ({fault or 'the connection was closed'})"


def _headers(message: Message) -> dict[str, str]:
    return {
        "Content-Type": message.content_type,
        "User-Agent": "Shopbell sandbox",
        "Accept-Encoding": "identity",
    }


async def _dribbled(body: bytes, sleep: Sleep) -> AsyncIterator[bytes]:
    pieces, gap = _DRIBBLE
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await sleep(gap)


async def _excerpt(answer: httpx.Response) -> str:
    """The beginning of an answer in one line; no more than that is read."""
    if answer.is_redirect:
        elsewhere = answer.headers.get("location", "another address")[:_EXCERPT]
        return f"sends on to {elsewhere}, which does not count as received"
    got = b""
    async for piece in answer.aiter_raw():
        got += piece
        if len(got) >= _EXCERPT:
            break
    return " ".join(got[:_EXCERPT].decode("utf-8", "replace").split())
