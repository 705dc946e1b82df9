"""Real HTTP on loopback for the tests of the sandbox and its client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import uvicorn


@dataclass
class Receiver:
    """Somebody who listens on loopback: keeps what came, answers with the codes in turn, the last one for ever.

    `late` are seconds until the answer, `kinds` the method and content type of each request.
    """

    codes: list[int]
    url: str = ""
    answer: bytes | Callable[[], bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    late: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    kinds: list[tuple[str, str]] = field(default_factory=list)
    enough: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def said(self) -> bytes:
        """What the next answer says."""
        return self.answer if isinstance(self.answer, bytes) else self.answer()

    def wait_for(self, requests: int) -> None:
        """Wait until so many more requests came."""
        for _ in range(requests):
            assert self.enough.acquire(timeout=20)


@contextmanager
def _receiver(
    *codes: int,
    answer: bytes | Callable[[], bytes] = b"",
    headers: dict[str, str] | None = None,
    late: float = 0.0,
) -> Iterator[Receiver]:
    receiver = Receiver(list(codes), answer=answer, headers=headers or {}, late=late)

    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def answer_with_the_next_code(self) -> None:
            receiver.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            receiver.kinds.append((self.command, self.headers.get("Content-Type", "")))
            code = receiver.codes.pop(0) if len(receiver.codes) > 1 else receiver.codes[0]
            answer = b"" if code in (204, 304) else receiver.said()
            ended.wait(receiver.late)
            with suppress(ConnectionError):
                self.answer(code, answer)
            receiver.enough.release()

        def answer(self, code: int, answer: bytes) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(answer)), **receiver.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = do_DELETE = answer_with_the_next_code

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            ended.set()
            server.shutdown()
            thread.join()


@contextmanager
def _served(app: Any) -> Iterator[str]:
    """An app behind a real server; connections wait in line until it has started."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def receiver() -> Callable[..., AbstractContextManager[Receiver]]:
    return _receiver


@pytest.fixture(scope="session")
def served() -> Callable[[Any], AbstractContextManager[str]]:
    return _served


@pytest.fixture
def nobody() -> str:
    """An address on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"
