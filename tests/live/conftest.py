"""What the live tests share: the real service in a process, a sender and a catcher, and the whole service in this one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from loopback import Catcher, Orders, Served


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def catcher(anyio_backend: str) -> AsyncIterator[Catcher]:
    """Where everything is sent to."""
    async with Catcher() as catcher:
        yield catcher


@pytest.fixture
def orders() -> Orders:
    return Orders()


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path, catcher: Catcher) -> Iterator[Serve]:
    """Makes a service with these rules, not yet started; it has ended when the test has."""
    made: list[Served] = []

    def serve(rules: Mapping[str, str] | None = None) -> Served:
        made.append(Served(tmp_path / f"service-{len(made)}", catcher.port, rules))
        return made[-1]

    yield serve
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()
