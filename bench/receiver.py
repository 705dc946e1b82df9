"""How fast events are taken in: our durable 202 against an endpoint of Starlette's that keeps nothing, in one run.

`python bench/receiver.py` starts both behind uvicorn with uvloop and httptools, sends them the same order with distinct
numbers from a process of its own, in turns, and prints the rates, the ratio, the times to an answer and the server's
processor time for each request. It takes half a minute. Rates of different machines say nothing; the ratio does.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

SECRET = "bench-secret-0123456789"
LEVELS = (32, 128)
ROUNDS = 5
SLICE = 1.0
"""Seconds of one turn."""

NUMBER = b"R000000000"


def order() -> bytes:
    """The guide's order with two line items."""
    from engine.sources.chord.catalogue import EVENT_TYPES

    body: dict[str, Any] = json.loads(json.dumps(EVENT_TYPES["order_completed"].sample, default=str))
    body["order"]["number"] = NUMBER.decode()
    body["order"]["line_items"] = body["order"]["line_items"][:1] * 2
    return json.dumps(body).encode()


# the servers


async def serve(app: Any, protocol: Any) -> None:
    """Run an app on a free port of loopback, which is printed, until standard input closes."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="error",
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    print(listening.getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await running


async def bare() -> None:
    """An endpoint that reads the body and answers 202."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def take(request: Request) -> Response:
        await request.body()
        return Response(status_code=202)

    await serve(Starlette(routes=[Route("/events/chord/{secret}", take, methods=["POST"])]), "httptools")


async def nothing() -> None:
    """Our receiver with nothing behind it: what is left of its cost when keeping events is free."""
    from engine.store.store import Appended

    class Nothing:
        async def append(self, arrival: Any, received_at: datetime) -> Appended:
            return Appended("1", False)

        async def quarantine(self, **what: Any) -> None:
            return None

    await receive_into(Nothing())


async def durable() -> None:
    """Our receiver as it is: every event is on the disk before its answer, repeats are recognised."""
    from engine.store.store import Store

    async with await Store.open("sqlite:///bench.db") as store:
        await receive_into(store)


async def receive_into(store: Any) -> None:
    """The service with its receiver, and an app behind it that is never reached."""
    from starlette.applications import Starlette

    from engine.runtime.clock import system_clock
    from engine.runtime.metrics import Metrics
    from engine.runtime.protocol import WireLimits, bounded
    from engine.runtime.receiver import Intake, Receiver
    from engine.sources.chord import Chord

    metrics = Metrics()
    receiver = Receiver(Chord(), store, [SECRET], clock=system_clock, metrics=metrics)
    await serve(Intake(Starlette(), [receiver]), bounded(WireLimits(), metrics.refused))


SERVERS = {server.__name__: server for server in (bare, nothing, durable)}


def pin(core: int) -> None:
    """Keep this process on one core, where the system allows it."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


# the load


class Client(asyncio.Protocol):
    """One connection that sends the next request when it has the answer to the last."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.got = b""
        self.sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if not self.load.running:
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(self.load.next_request())

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or len(body) < int(
            head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or b"0"
        ):
            return
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"answered {head[:60]!r} {body[:200]!r}")
        self.load.times.append(time.perf_counter() - self.sent_at)
        self.got = b""
        self.send()


class Load:
    """The same order again and again, its number one higher each time."""

    def __init__(self) -> None:
        body = order()
        head = (
            f"POST /events/chord/{SECRET} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.before, self.after = (head.encode() + body).split(NUMBER)
        self.count = 0
        self.times: list[float] = []
        self.running = True

    def next_request(self) -> bytes:
        self.count += 1
        return b"%bR%09d%b" % (self.before, self.count, self.after)

    async def slice(self, port: int, connections: int, seconds: float) -> dict[str, float]:
        """One turn: the answers a second, and the times that half and 99 of 100 answers took."""
        self.times, self.running = [], True
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
        self.times, began = [], time.perf_counter()
        await asyncio.sleep(seconds)
        self.running, took, times = False, time.perf_counter() - began, sorted(self.times)
        await asyncio.sleep(0.1)
        return {
            "rate": len(times) / took,
            "p50": times[len(times) // 2],
            "p99": times[len(times) * 99 // 100],
        }


def load() -> None:
    """Turns as they are asked for, one line of JSON each."""
    all_turns = Load()

    async def turns() -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await all_turns.slice(*json.loads(line))), flush=True)

    uvloop.run(turns())


# the run


class Part:
    """A process of the run, told and asked by lines."""

    def __init__(self, *role: str, cwd: str) -> None:
        self.name = " ".join(role)
        command = [sys.executable, str(Path(__file__).resolve()), *role]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended")
        return line

    def ask(self, question: Any) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.line())

    def processor_seconds(self) -> float:
        """The processor time it has taken so far; nothing where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(targets: tuple[str, ...]) -> Iterator[str]:
    """Every target at every level, in turns, and the lines to print."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {target: Part("serve", target, cwd=folder) for target in targets}
        generator = Part("load", cwd=folder)
        try:
            ports = {target: int(part.line()) for target, part in parts.items()}
            found: dict[tuple[str, int], list[dict[str, float]]] = {}
            for port in ports.values():
                generator.ask([port, LEVELS[0], SLICE])  # the first turn warms up and does not count
            for _ in range(ROUNDS):
                for level in LEVELS:
                    for target, port in ports.items():
                        before = parts[target].processor_seconds()
                        turn = generator.ask([port, level, SLICE])
                        took = parts[target].processor_seconds() - before
                        found.setdefault((target, level), []).append(
                            {**turn, "cpu": took / (turn["rate"] * SLICE)}
                        )
        finally:
            for part in (*parts.values(), generator):
                part.end()
    for level in LEVELS:
        middle = {target: middles(found[target, level]) for target in targets}
        for target, turn in middle.items():
            rate, cpu = turn["rate"], turn["cpu"]
            yield (
                f"{level:4} connections  {target:7} {rate:8,.0f}/s (x {rate / middle['bare']['rate']:.2f})"
                f"  p50 {turn['p50'] * 1e3:5.1f} ms  p99 {turn['p99'] * 1e3:6.1f} ms"
                f"  processor {cpu * 1e6:5.1f} us (x {cpu / (middle['bare']['cpu'] or 1):.2f})"
            )


def middles(turns: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {key: median(turn[key] for turn in turns) for key in turns[0]}


def main(arguments: list[str]) -> None:
    """Without arguments the whole run; the rest are the parts it is made of."""
    match arguments:
        case ["serve", name]:
            pin(0)
            uvloop.run(SERVERS[name]())
        case ["load"]:
            pin(1)
            load()
        case targets:
            for line in run(("bare", *(targets or ("durable",)))):
                print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
