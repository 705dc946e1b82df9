"""The HTTP protocol under the service, with the bounds that uvicorn leaves open: time and size of headers, time of bodies.

It stands on httptools, whose strict parser refuses smuggled requests; without it there is no start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

try:
    from uvicorn.protocols.http.httptools_impl import (
        HEADER_VALUE_RE,
        STATUS_LINE,
        HttpToolsProtocol,
        RequestResponseCycle,
    )
except ImportError as missing:
    raise ImportError(
        "Shopbell does not start without the package httptools: the parser that would stand in for it lets smuggled"
        " requests through. Install it with `pip install httptools`."
    ) from missing


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What one connection may take: seconds and bytes; `connections` is for all of them together.

    A body may take `body_seconds`, and the same again as long as `body_rate` bytes a second come in. `unread_bytes`
    of a body that was refused are still read, so that the sender comes to see the answer.
    """

    header_seconds: float = 5.0
    header_bytes: int = 32 * 1024
    headers: int = 100
    body_seconds: float = 5.0
    body_rate: int = 4 * 1024
    unread_bytes: int = 16 * 1024 * 1024
    connections: int = 2000


def bounded(limits: WireLimits, refused: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """The protocol class with these limits, for uvicorn's `http` setting; `refused` hears each status it answers."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits, "refused": staticmethod(refused)})


class BoundedProtocol(HttpToolsProtocol):
    """One connection: httptools' protocol with a deadline for headers and bodies, and caps on headers."""

    limits = WireLimits()
    refused: Callable[[str], None] = staticmethod(lambda code: None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._place = _BETWEEN
        self._completed = False  # a request was read to its end in the data just fed
        self._fed = 0  # bytes of the data just fed
        self._partial = 0  # bytes of unfinished headers, or of an unfinished body, in earlier data
        self._counted = 0  # bytes of an unfinished body when its deadline was set

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are too many."""
        if len(self.connections) >= self.limits.connections:
            self.transport = transport
            self._end(503)
            return
        super().connection_made(transport)
        self._set_deadline(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline of a connection that is gone."""
        self._drop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a request that comes in one piece costs no timer."""
        place, self._completed, self._fed = self._place, False, len(data)
        super().data_received(data)
        if self._place is not _BETWEEN:
            self._unfinished(place)
        elif not self._completed and self._deadline is None:
            self._set_deadline(self.limits.header_seconds)  # blank lines between requests

    def on_message_begin(self) -> None:
        """A request's first byte is there."""
        super().on_message_begin()
        self._place, self._partial = _HEAD, 0

    def on_headers_complete(self) -> None:
        """Hand the request to the application, unless its headers are too many or too large."""
        if len(self.headers) > self.limits.headers or self._head_is_too_large():
            raise ValueError("too many headers")  # the parser ends there, and the answer is 400
        super().on_headers_complete()
        self.cycle.__class__ = Exchange  # its task has not begun; uvicorn leaves no other way to say so
        self._drop_deadline()
        self._place, self._partial, self._counted = _BODY, 0, 0

    def on_message_complete(self) -> None:
        """A request is there to its last byte."""
        super().on_message_complete()
        self._drop_deadline()
        self._place, self._completed = _BETWEEN, True

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self.refused("400")
        self._drop_deadline()
        super().send_400_response(msg)

    def _unfinished(self, before: str) -> None:
        """Bound what has begun and not ended: in time, and headers and unread bodies in size."""
        if not self._completed and (before is self._place or self._place is _HEAD):
            self._partial += self._fed
        if self._place is _HEAD and self._partial > self.limits.header_bytes:
            self.send_400_response("The headers are too large.")
        elif (
            self._place is _BODY and self._partial > self.limits.unread_bytes and self.cycle.response_complete
        ):
            self.transport.close()
        elif self._deadline is None:
            in_head = self._place is _HEAD
            self._set_deadline(self.limits.header_seconds if in_head else self.limits.body_seconds)

    def _head_is_too_large(self) -> bool:
        limit = self.limits.header_bytes
        if self._fed + self._partial <= limit:
            return False
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > limit

    def _set_deadline(self, seconds: float) -> None:
        self._drop_deadline()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        """The deadline passed: go on waiting for a body that keeps coming or that nobody reads yet, else end it."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._place is _BODY and self._keeps_coming():
            self._counted = self._partial
            self._set_deadline(self.limits.body_seconds)
        elif self._place is _BODY and answering and not self.cycle.response_started:
            self._end(408)
        elif self._place is not _BODY and answering:
            self._set_deadline(
                self.limits.header_seconds
            )  # the answer to an earlier request is still under way
        else:
            self._end(408 if self._place is _HEAD else 0)

    def _keeps_coming(self) -> bool:
        enough = self.limits.body_rate * self.limits.body_seconds
        return self.flow.read_paused or self._partial - self._counted >= enough

    def _end(self, status: int) -> None:
        """Close the connection, with a last answer if a status is given."""
        self._drop_deadline()
        if status:
            self.refused(str(status))
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


class Exchange(RequestResponseCycle):
    """One request and its answer. A short answer leaves in one write.

    uvicorn writes head and body apart, each with a call of the system and a search through every header, which was a
    fifth of what an acknowledgement costs here.
    """

    held: tuple[Any, Lines] | None = None

    async def send(self, message: Any) -> None:
        """Take a part of the answer; a plain head waits for its body."""
        if message["type"] == "http.response.start" and not self.response_started:
            lines = None if self.access_log else _plain(tuple(map(tuple, message["headers"])))
            self.held = (message, lines) if lines else None
            if lines:
                return
        if self.held is None:
            await super().send(message)
            return
        (head, lines), self.held = self.held, None
        if self._is_all(message, lines.length):
            await self._answer(STATUS_LINE[head["status"]], lines.text, message.get("body", b""))
        else:
            await super().send(head)
            await super().send(message)

    def _is_all(self, message: Any, length: int) -> bool:
        more, body = message.get("more_body", False), message.get("body", b"")
        return not more and len(body) == length and self.scope["method"] != "HEAD"

    async def _answer(self, status: bytes, lines: bytes, body: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.waiting_for_100_continue = False
        self.response_started = self.response_complete = True
        usual = [b"%b: %b\r\n" % header for header in self.default_headers]
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((status, *usual, lines, end, body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Lines(NamedTuple):
    """The headers of an answer as they are written, and the length of the body that they tell."""

    length: int
    text: bytes


@lru_cache(maxsize=256)
def _plain(headers: tuple[tuple[bytes, bytes], ...]) -> Lines | None:
    """The lines of plain headers that tell a length; None for others, which are for uvicorn to look at."""
    known = dict(headers)
    if (
        len(known) < len(headers)
        or not known.keys() <= _PLAIN
        or HEADER_VALUE_RE.search(b"".join(known.values()))
        or not known.get(b"content-length", b"").isdigit()
    ):
        return None
    return Lines(int(known[b"content-length"]), b"".join(b"%b: %b\r\n" % header for header in headers))


_PLAIN = frozenset({b"content-length", b"content-type", b"allow", b"retry-after"})

_BETWEEN = "between requests"
_HEAD = "in the headers"
_BODY = "in the body"
