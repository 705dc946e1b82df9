"""A service whose database is taken away saves what it had, says so, and ends; the next start has it all."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from loopback import every, post_all

from engine.store.store import Reader

if TYPE_CHECKING:
    from loopback import Catcher, Orders

pytestmark = pytest.mark.anyio


async def test_a_database_that_is_deleted_under_the_service_loses_nothing_acknowledged(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    service = serve()
    await service.start()
    answers = await post_all(service.port, [orders.body(f"R{number}") for number in range(100)])
    for file in service.home.glob("record.db*"):
        if file.suffix in (".db", ".db-wal", ".db-shm"):
            file.unlink()
    answers += await post_all(service.port, [orders.body(f"S{number}") for number in range(20)])
    assert await asyncio.to_thread(service.process.wait, 30) == 2
    assert "was removed or replaced while the service worked with it" in service.log
    await service.start()
    assert await asyncio.to_thread(service.stop) == 0
    with closing(Reader(service.database)) as record:
        kept = {line.subject for line in every(record.events)}
    acknowledged = sum(answer.status == 202 for answer in answers)
    assert acknowledged >= 100
    assert len(kept) >= acknowledged
