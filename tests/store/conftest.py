"""What the tests of the store share: the databases every promise is tried on, and values to try it with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

import pytest

from engine.model import Delivery, DeliveryState
from engine.store import known, workers
from engine.store.store import Arrival, Judged, NewDelivery, Store, StoredEvent

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)

DATABASES = {"sqlite": {}, "sqlite, written at once": {"keep": 1}, "postgresql": {}}
"""The databases that keep the promises, each with how it is opened. Every test with `store` runs on each."""

Open = Callable[..., Awaitable[Store]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _few_rows_at_a_time() -> Iterator[None]:
    """Rows leave the memory in many small shares, as they do where there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "LEAST", 1)
        yield


ON_FILES = (
    "test_sqlite", "test_crash", "test_people", "test_plans", "test_backup", "test_damage", "test_powercut",
)  # fmt: skip
"""The files of tests whose promises are about the files of a database, or about one process alone."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test with a database runs on each, but for those that are about files."""
    if "database" in metafunc.fixturenames:
        files = metafunc.module.__name__.rpartition(".")[2] in ON_FILES
        files = files or metafunc.definition.get_closest_marker("on_files") is not None
        names = [name for name in DATABASES if not (files and name == "postgresql")]
        metafunc.parametrize("database", names, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The name of a database in `DATABASES`."""
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, database: str) -> str:
    """The address of a database that has nothing in it yet."""
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{request.getfixturevalue('tmp_path')}/shop.db"


@pytest.fixture
async def open_store(database: str, url: str) -> AsyncIterator[Open]:
    """Opens the store, again after `close`; what is still open at the end is closed."""
    opened: list[Store] = []

    async def open_store(**more: Any) -> Store:
        store = await Store.open(url, **{**DATABASES[database], **more})
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: Open) -> Store:
    """A store that is open and empty."""
    return await open_store()


@dataclass(frozen=True)
class Shop:
    """Makes arrivals, judgements and deliveries, and takes them a step further."""

    now: datetime = NOW
    numbers: Any = None

    def arrival(self, name: str = "", **more: Any) -> Arrival:
        """An arrival with an identity of its own for each name; without a name, one like no other."""
        name = name or f"unique {next(self.numbers)}"
        given: dict[str, Any] = {
            "source": "chord",
            "type": "order_completed",
            "subject": f"order:{name}",
            "body": b'{"name":"%s"}' % name.encode(),
            "identity": sha256(name.encode()).digest(),
            "window": WEEK,
        }
        return Arrival(**{**given, **more})

    def delivery(self, rule: str = "big-order", **more: Any) -> NewDelivery:
        """A delivery that is due now."""
        given: dict[str, Any] = {
            "rule": rule,
            "action": 1,
            "kind": "http",
            "to": "POST erp /orders",
            "connection": "http/erp",
            "request_json": b'{"total":10.50}',
            "state": DeliveryState.QUEUED,
            "due_at": self.now,
            "okey": None,
            "idempotency_key": f"{rule}-{next(self.numbers)}",
        }
        return NewDelivery(**{**given, **more})

    def judged(self, event: StoredEvent | str, *deliveries: NewDelivery, **more: Any) -> Judged:
        """A judgement of an event."""
        id = event if isinstance(event, str) else event.id
        given: dict[str, Any] = {
            "rulebook": "b00c",
            "outcomes": {"big-order": "fires"},
            "planned_at": self.now,
        }
        return Judged(id, **{**given, "deliveries": deliveries, **more})

    async def taken_up(self, store: Store, asking: frozenset[str], now: datetime) -> list[Delivery]:
        """What a process that ended had in its hands, taken up; where others are there to do it, by one of them."""
        if not store.shared:
            return await store.recover(asking, now)
        moment = int(now.timestamp() * 1_000_000)
        return await store._writer.call(lambda runner: workers.take_back(runner, asking, moment))

    async def due(self, store: Store, *deliveries: NewDelivery, **arrival: Any) -> list[Delivery]:
        """Deliveries of one new event that is judged."""
        appended = await store.append(self.arrival(**arrival), self.now)
        await store.record([self.judged(appended.id, *deliveries)])
        page = await store.deliveries(event=appended.id)
        return sorted(page.items, key=lambda one: one.id)


@pytest.fixture(scope="session")
def shop() -> Shop:
    """A shop, whose numbers are never the same twice."""
    return Shop(numbers=count(1))
