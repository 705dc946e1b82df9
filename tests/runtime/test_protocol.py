"""On the wire every connection is bounded: in time, in the size of its headers, in number; and nothing is smuggled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from engine.runtime.protocol import WireLimits, bounded

pytestmark = pytest.mark.anyio

QUICK = WireLimits(header_seconds=0.15, body_seconds=0.15, body_rate=1000)
"""Deadlines short enough to wait for."""

PATIENCE = 5.0
"""Seconds after which a test gives up on an answer or on the end of a connection."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Server:
    """A server on loopback, what its application saw, and the statuses that the protocol itself answered."""

    port: int
    state: ServerState
    bodies: list[bytes] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, raw: bytes) -> bytes:
        """Everything that comes back for raw bytes until the connection ends."""
        reader, writer = await self.connect()
        writer.write(raw)
        return await rest(reader, writer)


async def rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What still comes until the server ends the connection."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def pour(writer: asyncio.StreamWriter, size: int) -> None:
    """Send so many bytes as they are taken."""
    for _ in range(size // 100_000):
        writer.write(b"a" * 100_000)
        await writer.drain()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The status line of one answer with an empty body."""
    async with asyncio.timeout(PATIENCE):
        return (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]


def parts(*bodies: bytes, status: int = 202, **headers: str) -> list[Any]:
    """An answer as an application sends it: a head with a length, and its body in parts."""
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    head = [(b"content-length", b"%d" % len(b"".join(bodies))), *named]
    return [
        {"type": "http.response.start", "status": status, "headers": head},
        *({"type": "http.response.body", "body": body, "more_body": True} for body in bodies[:-1]),
        {"type": "http.response.body", "body": bodies[-1]},
    ]


@asynccontextmanager
async def serving(
    limits: WireLimits = QUICK, reads_body: bool = True, says: Sequence[Any] = tuple(parts(b""))
) -> AsyncIterator[Server]:
    """A server whose application takes the whole body, or none of it, and then says so: 202 unless told otherwise."""

    async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        body, more = b"", reads_body
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                server.left.append(scope["path"])
                return
            body += message["body"]
            more = message["more_body"]
        server.bodies.append(body)
        for message in says:
            await send(message)

    refused: list[str] = []
    config = Config(
        app, http=bounded(limits, refused.append), lifespan="off", access_log=False, log_config=None
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}, _loop=loop),  # type: ignore[call-arg, arg-type]
        "127.0.0.1",
        0,
    )
    server = Server(listening.sockets[0].getsockname()[1], state, refused=refused)
    try:
        yield server
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.gather(*state.tasks)


async def test_a_request_is_answered_and_its_connection_serves_another() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        for number in (b"1", b"22"):
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(number) + number)
            assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()
        assert (server.bodies, server.refused) == ([b"1", b"22"], [])


@pytest.mark.parametrize(
    "says",
    [
        parts(b"hello", content_type="text/plain"),
        parts(b"hello", x_other="1"),
        parts(b"he", b"llo", content_type="text/plain"),
    ],
)
async def test_an_answer_arrives_whole_however_it_is_made(says: Sequence[Any]) -> None:
    async with serving(says=says) as server:
        said = await server.say(GET + b"Connection: close\r\n\r\n")
        head, _, body = said.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert (lines[0], body) == (b"HTTP/1.1 202 Accepted", b"hello")
        assert {b"content-length: 5", b"connection: close"} < set(lines)


async def test_a_short_answer_leaves_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says=parts(b"hello")) as server:
        reader, writer = await server.connect()
        writer.write(GET + b"\r\n")
        await answer(reader)
        await reader.readexactly(len(b"hello"))
        (connection,) = server.state.connections
        written: list[bytes] = []
        monkeypatch.setattr(connection, "transport", _Noting(connection.transport, written))
        writer.write(GET + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        assert [write.partition(b"\r\n\r\n")[2] for write in written] == [b"hello"]
        writer.close()


class _Noting:
    """A transport, and what was written to it, write by write."""

    def __init__(self, transport: Any, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_requests_that_come_in_one_piece_are_answered_in_their_order() -> None:
    async with serving(says=parts(b"hello")) as server:
        said = await server.say(
            POST + b"Content-Length: 1\r\n\r\n1" + POST + b"Content-Length: 1\r\nConnection: close\r\n\r\n2"
        )
        assert (server.bodies, said.count(b"HTTP/1.1 202"), said.count(b"hello")) == ([b"1", b"2"], 2, 2)


async def test_the_answer_to_head_has_no_body() -> None:
    async with serving(says=parts(b"hello")) as server:
        said = await server.say(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"content-length: 5" in said
        assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "says",
    [
        parts(b"", content_type="a\r\nset-cookie: b"),
        [parts(b"hello")[0], parts(b"other length")[1]],
    ],
)
async def test_an_answer_that_contradicts_itself_is_never_sent_as_it_is(says: Sequence[Any]) -> None:
    async with serving(says=says) as server:
        said = await server.say(GET + b"Connection: close\r\n\r\n")
        assert b"set-cookie" not in said
        assert b"other length" not in said


async def test_a_body_in_chunks_without_a_length_is_taken() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()
        assert server.bodies == [b"abcde"]


# time


@pytest.mark.parametrize("start", [b"", b"\r\n", b"PO", POST, POST + b"X: y\r\n"])
async def test_headers_that_do_not_come_to_an_end_are_cut_off(start: bytes) -> None:
    async with serving() as server:
        said = await server.say(start)
        begun = bool(start.strip())
        assert said.startswith(b"HTTP/1.1 408 ") == begun
        assert server.refused == ["408"] * begun
        assert not server.state.connections


async def test_dribbling_headers_do_not_put_the_deadline_off() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(GET)
        ended = asyncio.create_task(rest(reader, writer))
        dribbled = 0
        while not ended.done():
            writer.write(b"X: y\r\n")
            dribbled += 1
            await asyncio.sleep(0.02)
            assert dribbled < PATIENCE / 0.02
        assert not server.state.connections


async def test_blank_lines_between_requests_do_not_hold_a_connection() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(GET + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.write(b"\r\n")
        assert await rest(reader, writer) == b""


async def test_a_body_that_does_not_come_to_an_end_is_answered_408() -> None:
    async with serving() as server:
        said = await server.say(POST + b"Content-Length: 100\r\n\r\nabc")
        assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert (server.refused, server.left, server.bodies) == (["408"], ["/"], [])


async def test_a_body_that_dribbles_is_answered_408() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(POST + b"Content-Length: 100000\r\n\r\n")
        ended = asyncio.create_task(rest(reader, writer))
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.02)
        assert ended.result().startswith(b"HTTP/1.1 408 ")


async def test_a_large_body_that_keeps_coming_may_take_longer() -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(POST + b"Content-Length: 5000\r\n\r\n")
        for _ in range(10):
            writer.write(b"a" * 500)
            await asyncio.sleep(0.05)
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()
        assert len(server.bodies[0]) == 5000


async def test_others_are_answered_while_a_hundred_are_slow() -> None:
    async with serving(WireLimits(header_seconds=PATIENCE, body_seconds=PATIENCE)) as server:
        slow = [await server.connect() for _ in range(100)]
        for place, (_, writer) in enumerate(slow):
            writer.write(GET if place % 2 else POST + b"Content-Length: 9\r\n\r\na")
        reader, writer = await server.connect()
        writer.write(GET + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        for _, each in [*slow, (reader, writer)]:
            each.close()


# size


async def test_as_many_headers_as_the_limit_pass_and_one_more_is_refused() -> None:
    async with serving(WireLimits(headers=100)) as server:
        reader, writer = await server.connect()
        writer.write(GET + b"X: y\r\n" * 99 + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()
        assert (await server.say(GET + b"X: y\r\n" * 100 + b"\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (server.refused, len(server.bodies)) == (["400"], 1)


@pytest.mark.parametrize("line", [b"X: " + b"y" * 40_000 + b"\r\n", (b"X: " + b"y" * 1000 + b"\r\n") * 40])
@pytest.mark.parametrize("end", [b"\r\n", b""])
async def test_headers_of_more_bytes_than_the_limit_are_refused(line: bytes, end: bytes) -> None:
    async with serving(WireLimits(header_bytes=32_000)) as server:
        assert (await server.say(GET + line + end + b"X: z" * 9000)).startswith(b"HTTP/1.1 400 ")
        assert not server.bodies


async def test_a_long_address_counts_as_headers_do() -> None:
    async with serving(WireLimits(header_bytes=32_000)) as server:
        assert (await server.say(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")).startswith(
            b"HTTP/1.1 400 "
        )


async def test_a_large_body_in_the_same_piece_is_no_large_header() -> None:
    async with serving(WireLimits(header_bytes=1000)) as server:
        reader, writer = await server.connect()
        writer.write(POST + b"Content-Length: 60000\r\n\r\n" + b"a" * 60_000 + GET + b"X: y\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.write(b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()
        assert server.refused == []


async def test_an_answer_given_before_the_body_was_read_still_reaches_the_sender() -> None:
    async with serving(WireLimits(), reads_body=False) as server:
        reader, writer = await server.connect()
        writer.write(POST + b"Content-Length: 6000000\r\n\r\n" + b"a" * 6_000_000)
        await writer.drain()
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        writer.close()


async def test_a_body_that_nobody_wants_is_not_read_for_ever() -> None:
    async with serving(WireLimits(unread_bytes=1_000_000), reads_body=False) as server:
        _, writer = await server.connect()
        writer.write(POST + b"Content-Length: 900000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            await pour(writer, 50_000_000)
        writer.close()


# number


async def test_one_connection_too_many_is_refused_and_the_others_stay() -> None:
    async with serving(WireLimits(connections=3)) as server:
        held = [await server.connect() for _ in range(3)]
        for reader, writer in held:
            writer.write(GET + b"\r\n")
            assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        assert (await server.say(b"")).startswith(b"HTTP/1.1 503 ")
        reader, writer = held[0]
        writer.write(GET + b"\r\n")
        assert await answer(reader) == b"HTTP/1.1 202 Accepted"
        for _, each in held:
            each.close()
        assert server.refused == ["503"]


# smuggling


@pytest.mark.parametrize(
    "raw",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\nHost: a\nContent-Length: 1\n\na",
        POST + b"Content-Length: +5\r\n\r\nabcde",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        POST + b"Content-Length : 5\r\n\r\nabcde",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        POST + b"X: a\x00b\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: a\r\n X: folded\r\nContent-Length: 1\r\n\r\na",
    ],
    ids=["length and chunks", "bare line feeds", "plus sign", "two lengths", "blank before colon", "unknown coding",
         "odd chunk size", "nul in a header", "folded header"],
)  # fmt: skip
async def test_a_request_that_two_servers_would_read_differently_is_refused(raw: bytes) -> None:
    async with serving() as server:
        assert (await server.say(raw)).startswith(b"HTTP/1.1 400 ")
        assert server.bodies == []


def test_there_is_no_start_without_the_strict_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httptools", "uvicorn.protocols.http.httptools_impl", "engine.runtime.protocol"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(ImportError, match="does not start without the package httptools"):
        __import__("engine.runtime.protocol")
