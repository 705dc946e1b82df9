"""The service as a whole: what its pages say, and that its settings reach the rooms they are for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.app import Role, Service
from engine.rulebook.frames import to_json
from engine.settings import Settings
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import StoreUnavailable

pytestmark = pytest.mark.anyio

SECRET = "a-secret-that-is-long-enough"
RULE = "name: All\nwhen: order_completed\nmode: test\nthen:\n  - slack: {text: hi}\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[Service]:
    """A service with one good rule and one broken one, that keeps repeats for three days."""
    (tmp_path / "all.yaml").write_text(RULE)
    (tmp_path / "broken.yaml").write_text(RULE.replace("then:", "thn:"))
    settings = Settings(
        rules=tmp_path,
        database=f"sqlite:///{tmp_path / 'record.db'}",
        secrets=(SECRET,),
        keep_repeats=timedelta(days=3),
    )
    service = Service(settings, clock=clock)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        yield client


async def _post(client: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    sample = EVENT_TYPES["order_completed"].sample
    body = to_json({**sample, "order": {**sample["order"], **changes}})
    return await client.post(f"/events/chord/{SECRET}", content=body)


@pytest.mark.parametrize("role", [Role.RECEIVER, Role.WORKER])
async def test_on_sqlite_one_process_does_it_all_and_another_role_is_refused(
    tmp_path: Path, role: Role
) -> None:
    service = Service(Settings(rules=tmp_path, database=f"sqlite:///{tmp_path}/record.db"), role=role)
    with pytest.raises(StoreUnavailable, match="on SQLite one process does it all"):
        await service.start()


async def test_a_service_with_a_broken_rule_is_ready_and_counts_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).text == "ready\n"
    assert "shopbell_rule_files_broken 1.0" in (await client.get("/metrics")).text


async def test_the_figures_say_what_waits(client: httpx.AsyncClient) -> None:
    assert "shopbell_events_needing_attention 0.0" in (await client.get("/metrics")).text


async def test_a_repeat_is_one_for_as_long_as_the_settings_say(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    answers = []
    for days in (0, 2, 2):
        clock.now += timedelta(days=days)
        answers.append((await _post(client)).json()["repeat"])
    assert answers == [False, True, False]


@pytest.mark.parametrize("path", ["/", "/healthz/", "/events", "/events/shopify/x", "/console"])
async def test_what_is_not_there_is_not_found_and_never_a_redirect(
    client: httpx.AsyncClient, path: str
) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_service_whose_worker_has_ended_is_not_ready(
    service: Service, client: httpx.AsyncClient
) -> None:
    for task in service.tasks:
        task.cancel()
    await asyncio.gather(*service.tasks, return_exceptions=True)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready: the worker has ended\n")
