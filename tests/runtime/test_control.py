"""Orders to the running service: carried out by it, answered with the reason where they cannot be, private to its owner."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from engine.model import DeliveryState, EventState
from engine.runtime.control import (
    LONGEST,
    Answer,
    Cancel,
    Control,
    NoService,
    Replay,
    Retry,
    give,
    socket_beside,
)
from engine.store.store import Arrival, Judged, NewDelivery, Store

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "record.db"


@pytest.fixture
async def store(database: Path) -> AsyncIterator[Store]:
    """A record with one judged event, whose one delivery is held, and somebody who takes orders for it."""
    async with await Store.open(f"sqlite:///{database}") as store:
        arrival = Arrival(
            source="chord", type="order_completed", subject="order:R1", body=b"{}", identity=bytes(32),
            window=timedelta(days=7),
        )  # fmt: skip
        appended = await store.append(arrival, NOW)
        await store.take_new(1, NOW)
        held = NewDelivery(
            rule="a", action=1, kind="slack", to="#a", connection="slack/default", request_json="{}",
            state=DeliveryState.HELD, due_at=NOW, okey=None, idempotency_key="1-a-1", reason="a gap",
        )  # fmt: skip
        await store.record(
            [Judged(event_id=appended.id, rulebook="", outcomes={}, planned_at=NOW, deliveries=[held])]
        )
        control = Control(store, lambda: NOW, socket_beside(database))
        await control.start()
        yield store
        await control.stop()


async def test_a_held_delivery_is_sent_when_told(store: Store, database: Path) -> None:
    assert await give(Retry("1"), database) == Answer()
    assert (await store.delivery("1")).delivery.state is DeliveryState.QUEUED


async def test_a_cancelled_delivery_keeps_the_reason(store: Store, database: Path) -> None:
    assert await give(Cancel("1", "the customer called"), database) == Answer()
    delivery = (await store.delivery("1")).delivery
    assert (delivery.state, delivery.reason) == (DeliveryState.CANCELLED, "the customer called")


async def test_an_event_is_judged_again_when_told(store: Store, database: Path) -> None:
    assert await give(Replay("1"), database) == Answer()
    assert (await store.event("1")).state is EventState.NEW


async def test_an_order_that_cannot_be_carried_out_is_answered_with_the_reason(
    store: Store, database: Path
) -> None:
    answer = await give(Retry("7"), database)
    assert "no delivery 7" in answer.error


async def test_nonsense_is_answered_and_does_not_end_the_service(store: Store, database: Path) -> None:
    import asyncio

    for line in (b"nonsense\n", b"{}\n", b'{"type": "dance"}\n', b"[" * (LONGEST + 9) + b"\n"):
        reader, writer = await asyncio.open_unix_connection(socket_beside(database))
        writer.write(line)
        answer = await reader.readline()
        writer.close()
        assert not answer or msgspec.json.decode(answer)["error"]
    assert await give(Retry("1"), database) == Answer()


async def test_only_the_owner_may_give_orders(store: Store, database: Path) -> None:
    assert stat.S_IMODE(socket_beside(database).stat().st_mode) == 0o600


async def test_without_a_service_nobody_takes_orders(database: Path) -> None:
    with pytest.raises(NoService):
        await give(Retry("1"), database)


async def test_what_a_killed_service_left_behind_does_not_stop_the_next(
    store: Store, database: Path, tmp_path: Path
) -> None:
    left = tmp_path / "left.db"
    socket_beside(left).touch()
    control = Control(store, lambda: NOW, socket_beside(left))
    await control.start()
    assert await give(Retry("1"), left) == Answer()
    await control.stop()
    assert not socket_beside(left).exists()
