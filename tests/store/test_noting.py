"""What deliveries remember for one another outlives the process, and no name of it can be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.store.store import Store

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


async def test_a_note_is_there_after_a_restart_under_its_own_name_only(open_store: Any) -> None:
    store: Store = await open_store()
    assert await store.note("thread R1") == ""
    await store.keep_note("thread R1", "1.1", NOW)
    await store.keep_note("thread R1", "2.2", NOW)
    await store.close()
    again: Store = await open_store()
    assert await again.note("thread R1") == "2.2"
    assert await again.note("thread R2") == ""


async def test_old_notes_go_with_the_deliveries_of_their_time(store: Store) -> None:
    await store.keep_note("old", "1.1", NOW - timedelta(days=91))
    await store.keep_note("new", "2.2", NOW)
    await store.purge(NOW - timedelta(days=90))
    assert (await store.note("old"), await store.note("new")) == ("", "2.2")


async def test_the_name_of_a_note_stands_nowhere_in_the_record(store: Store) -> None:
    await store.keep_note("thread canary@example.test", "1.1", NOW)
    rows = await store._writer.call(
        lambda runner: list(runner.connection.cursor().execute("SELECT * FROM note"))
    )
    assert [row[1] for row in rows] == ["1.1"]
    assert b"canary" not in rows[0][0]
