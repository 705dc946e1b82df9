"""What benches and live tests share: the real service in a process of its own, a fast sender, and a catcher, on loopback.

Nothing here measures itself: the sender and the catcher speak HTTP with as little work as possible.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
SECRET = "loopback-secret-0123456789abcdef"

EVERY_ORDER = """name: Every order
when: order_completed
then:
  - http:
      post: /orders
      connection: erp
      json:
        number: "{{ order.number }}"
        total: "{{ order.total | number }}"
"""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# events


class Orders:
    """Bodies of orders, each with its own number."""

    def __init__(self) -> None:
        from engine.rulebook.frames import to_json
        from engine.sources.chord.catalogue import EVENT_TYPES

        sample = json.loads(to_json(EVENT_TYPES["order_completed"].sample))
        sample["order"]["number"] = "@NUMBER@"
        self._before, self._after = json.dumps(sample, separators=(",", ":")).encode().split(b"@NUMBER@")

    def body(self, number: str) -> bytes:
        """The order of this number."""
        return self._before + number.encode() + self._after


# the catcher


@dataclass(frozen=True, slots=True)
class Caught:
    """One request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class Catcher:
    """Answers every request as told, usually 200 at once, and keeps it. `delay` and `status` go by its path."""

    delay: Callable[[str], float] = lambda path: 0.0
    status: Callable[[str], int] = lambda path: 200
    got: list[Caught] = field(default_factory=list)
    port: int = 0
    under_way: int = 0
    most: int = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Catching(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def to(self, path: str) -> list[Caught]:
        """What arrived at paths that begin so."""
        return [one for one in self.got if one.path.startswith(path)]


class _Catching(asyncio.Protocol):
    def __init__(self, catcher: Catcher) -> None:
        self.catcher = catcher
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while True:
            head, end, rest = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.received = rest[length:]
            self.take(Caught(first.split(" ")[1], headers, rest[:length], time.monotonic()))

    def take(self, caught: Caught) -> None:
        catcher = self.catcher
        catcher.got.append(caught)
        catcher.under_way += 1
        catcher.most = max(catcher.most, catcher.under_way)
        delay = catcher.delay(caught.path)
        if delay:
            asyncio.get_running_loop().call_later(delay, self.answer, caught.path)
        else:
            self.answer(caught.path)

    def answer(self, path: str) -> None:
        self.catcher.under_way -= 1
        self.transport.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\nok" % self.catcher.status(path))


# the sender


@dataclass(frozen=True, slots=True)
class Answered:
    """How a body was answered: the status, 0 for no answer, after so many seconds."""

    status: int
    seconds: float
    text: bytes = b""


async def post_all(
    port: int, bodies: Sequence[bytes], connections: int = 32, secret: str = SECRET
) -> list[Answered]:
    """Post bodies over so many connections, each as soon as the one before it on its connection is answered."""
    answers: list[Answered] = [Answered(0, 0.0)] * len(bodies)
    places = iter(range(len(bodies)))

    async def one_after_the_other() -> None:
        line = _Line(port, secret)
        for place in places:
            answers[place] = await line.post(bodies[place])
        line.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(connections, len(bodies))):
            tasks.create_task(one_after_the_other())
    return answers


class _Line:
    """One connection, made anew when it breaks."""

    def __init__(self, port: int, secret: str) -> None:
        self.port = port
        self.head = f"POST /events/chord/{secret} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> Answered:
        began = time.perf_counter()
        try:
            status, text = await self.exchange(body)
        except (OSError, EOFError):
            self.close()
            await asyncio.sleep(0.002)
            return Answered(0, time.perf_counter() - began)
        return Answered(status, time.perf_counter() - began, text)

    async def exchange(self, body: bytes) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(f"{self.head}{len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
        return int(head.split(b" ")[1]), await reader.readexactly(length)

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


# the service


class Served:
    """`shopbell serve` in a process of its own, in a folder of its own, its connections led to a catcher."""

    def __init__(
        self,
        home: Path,
        catcher_port: int,
        rules: Mapping[str, str] | None = None,
        database: str = "sqlite:///record.db",
        role: str = "all",
    ) -> None:
        self.home = home
        self.role = role
        self._database = database
        self.port = free_port()
        self.rules = home / "rules"
        self.rules.mkdir(parents=True, exist_ok=True)
        for name, text in (rules or {"every-order.yaml": EVERY_ORDER}).items():
            (self.rules / name).write_text(text)
        self.config = home / "shopbell.yaml"
        there = f"http://127.0.0.1:{catcher_port}"
        self.config.write_text(
            f"shop: {{name: Shop, timezone: America/New_York, currency: USD, locale: en_US}}\n"
            f"rules: rules\n"
            f"database: {database}\n"
            f"listen: {{host: 127.0.0.1, port: {self.port}}}\n"
            f'sources: {{chord: {{secrets: ["{SECRET}"]}}}}\n'
            f"connections:\n"
            f'  slack: {{default: {{webhook: "{there}/slack"}}, slow: {{webhook: "{there}/slow"}}}}\n'
            f'  http: {{erp: {{base_url: "{there}/erp"}}, crm: {{base_url: "{there}/crm"}}}}\n'
            f'network: {{allow: ["127.0.0.0/8"]}}\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> str:
        """The address of its record."""
        return self._database.replace("sqlite:///", f"sqlite:///{self.home}/")

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.home / "log").read_text()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "engine", *words, "--config", str(self.config)],
            cwd=self.home, env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip

    async def start(self, patience: float = 60.0) -> None:
        """Start it, and wait until it says it is ready."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  # it begins at once
                [sys.executable, "-m", "engine", "serve", "--role", self.role, "--config", str(self.config)],
                cwd=self.home, env=self._environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + patience
        while await asyncio.to_thread(self.status, "/readyz") != 200:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"serve is not ready: {self.log[-2000:]}")
            await asyncio.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def status(self, path: str) -> int:
        """How a page answers; 0 where nothing does."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except HTTPError as answer:
            return answer.code
        except (URLError, OSError):
            return 0

    def metrics(self) -> dict[str, float]:
        """Its figures by name, labels included."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#"]
        return {name: float(value) for name, value in lines}

    @property
    def pid(self) -> int:
        """The process that owns the record."""
        assert self.process is not None
        return self.process.pid

    def planner(self) -> int:
        """The planner process, 0 where there is none at this moment."""
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return int(children[-1]) if children else 0
        return 0

    def kill(self) -> None:
        """Kill the whole group at once, as a power cut would."""
        os.killpg(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self) -> int:
        """Have it end in order; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        return int(self.process.returncode)


async def until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until something holds; whether it did in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


def numbers(caught: Iterable[Caught]) -> list[str]:
    """The order numbers in JSON bodies."""
    return [one.json["number"] for one in caught]


def every(pages: Callable[..., Any]) -> list[Any]:
    """All rows of a list that the record gives in pages."""
    page = pages(limit=1000)
    rows = list(page.items)
    while page.next is not None:
        page = pages(limit=1000, after=page.next)
        rows += page.items
    return rows
