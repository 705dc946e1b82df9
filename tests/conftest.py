"""What all tests share: a PostgreSQL database of the session's own, and a word in the summary where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from own_postgres import NAME, emptied, own_database, server

NOT_RUN = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def _own_postgres() -> Iterator[str]:
    with own_database() as url:
        yield url


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty PostgreSQL database; where there is none, the test does not run, and the summary says so."""
    _, why = server()
    if why:
        request.config.stash.setdefault(NOT_RUN, []).append(request.node.nodeid)
        pytest.skip(why)
    url: str = request.getfixturevalue("_own_postgres")
    emptied(url)
    return url


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which tests did not run for want of a PostgreSQL server, and why."""
    not_run = config.stash.get(NOT_RUN, [])
    if not_run:
        files = sorted({node.partition("::")[0] for node in not_run})
        terminalreporter.section("not tried on PostgreSQL", yellow=True)
        terminalreporter.line(f"{len(not_run)} tests did not run: {server()[1]}.")
        terminalreporter.line(f"They are in {', '.join(files)}.")
        terminalreporter.line(f"Name a server in {NAME}, e.g. postgresql://postgres@127.0.0.1:5432/postgres.")
