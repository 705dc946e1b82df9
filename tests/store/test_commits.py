"""What waits is committed together, a faulty job fails alone, and a database that cannot be written says so plainly."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from engine.store.store import Store, StoreUnavailable

pytestmark = pytest.mark.anyio


async def commits(store: Store) -> int:
    return (await store.health()).commits


async def together(store: Store, *calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Have calls wait at the same moment: the thread is busy until all of them are there."""
    started, go = Event(), Event()
    busy = store._writer.call(lambda _: started.set() or go.wait(10))
    await asyncio.to_thread(started.wait, 10)
    waiting = asyncio.gather(*(call() for call in calls), return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    go.set()
    await busy
    return await waiting


# together


async def test_two_arrivals_at_once_share_a_commit(store: Store, shop: Any) -> None:
    before = await commits(store)
    await asyncio.gather(store.append(shop.arrival(), shop.now), store.append(shop.arrival(), shop.now))
    assert await commits(store) == before + 1
    assert (await store.health()).rows_in_last_commit == 2


async def test_an_arrival_and_the_worker_share_a_commit(store: Store, shop: Any) -> None:
    await shop.due(store, shop.delivery())
    before = await commits(store)
    await together(
        store,
        lambda: store.append(shop.arrival(), shop.now),
        lambda: store.claim(1, shop.now),
        lambda: store.take_new(1, shop.now),
    )
    assert await commits(store) == before + 2


async def test_what_comes_in_while_the_disk_is_busy_is_the_next_group(open_store: Any, shop: Any) -> None:
    reached, go = Event(), Event()
    store = await open_store(
        failpoint=lambda name: name == "before commit" and (reached.set() or go.wait(10))
    )
    before = await commits(store)
    waiting = [store.append(shop.arrival(), shop.now)]
    await asyncio.to_thread(reached.wait, 10)
    for _ in range(3):
        waiting += [store.append(shop.arrival(), shop.now) for _ in range(5)]
        await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    go.set()
    await asyncio.gather(*waiting)
    assert await commits(store) == before + 2


@pytest.mark.on_files
async def test_nobody_is_answered_before_the_commit(open_store: Any, shop: Any, url: str) -> None:
    seen: dict[str, int] = {}

    def look(name: str) -> None:
        other = sqlite3.connect(url.removeprefix("sqlite:///"))
        seen[name] = other.execute("SELECT count(*) FROM event").fetchone()[0]
        other.close()

    store = await open_store(failpoint=look)
    future = store.append(shop.arrival(), shop.now)
    future.add_done_callback(lambda _: seen.setdefault("answered", 1))
    await future
    assert list(seen.items()) == [
        ("after appending", 0),
        ("before commit", 0),
        ("after commit", 1),
        ("before answer", 1),
        ("answered", 1),
    ]


# one at fault


@pytest.mark.on_files
async def test_a_job_that_fails_fails_alone(store: Store, shop: Any) -> None:
    await store.append(shop.arrival("A"), shop.now)
    broken = shop.judged("1", shop.delivery(request_json=b"\xff"))
    results = await together(
        store,
        lambda: store.append(shop.arrival("B"), shop.now),
        lambda: store.append(shop.arrival("C", identity=None), shop.now),
        lambda: store.append(shop.arrival("A"), shop.now),
        lambda: store.record([broken]),
        lambda: store.set_aside("1", "it came too late"),
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, False, True, False]
    events = (await store.events()).items
    assert [(event.id, event.arrivals) for event in events] == [("2", 1), ("1", 2)]
    assert (await store.append(shop.arrival("D"), shop.now)).id == "3"


async def test_a_refusal_costs_the_others_nothing(store: Store, shop: Any) -> None:
    before = await commits(store)
    results = await together(
        store,
        lambda: store.append(shop.arrival(), shop.now),
        lambda: store.retry(99, shop.now),
        lambda: store.append(shop.arrival(), shop.now),
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert await commits(store) == before + 2


# the database at fault


def pages(store: Store, many: int) -> None:
    """Bound the file to its present size and some pages: what a full disk does, at the place where it does it."""
    connection: Any = store._writer._database.runner.connection
    present = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {present + many}").fetchone()


async def on_thread(store: Store, call: Any) -> None:
    await store._writer.call(lambda _: call())


@pytest.mark.on_files
async def test_on_a_full_disk_nothing_is_taken_until_there_is_space_again(store: Store, shop: Any) -> None:
    first = await store.append(shop.arrival("A"), shop.now)
    await on_thread(store, lambda: pages(store, 1))
    big = b"[%s]" % (b" " * 50_000)
    results = await asyncio.gather(
        store.append(shop.arrival("B", body=big), shop.now),
        store.append(shop.arrival("C"), shop.now),
        return_exceptions=True,
    )
    assert [str(result) for result in results] == ["the disk is full", "the disk is full"]
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert [event.id for event in (await store.events()).items] == [first.id]
    await on_thread(store, lambda: pages(store, 1000))
    again = await store.append(shop.arrival("B", body=big), shop.now)
    assert (again.id, again.repeat) == ("2", False)
    assert (await store.event("2")).body == big


@pytest.mark.on_files
async def test_a_store_on_a_full_disk_says_that_it_cannot_be_written(store: Store, shop: Any) -> None:
    await store.writable()
    await on_thread(store, lambda: pages(store, 0))
    store._writer.figures.at = float("-inf")
    big = b"[%s]" % (b" " * 50_000)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        await store.append(shop.arrival(body=big), shop.now)


@pytest.mark.on_files
async def test_a_file_that_another_program_holds_is_unavailable_and_then_there_again(
    store: Store, shop: Any, url: str
) -> None:
    await on_thread(store, lambda: busy(store))
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="the database is held by another program"):
        await store.append(shop.arrival("A"), shop.now)
    other.execute("ROLLBACK")
    other.close()
    assert (await store.append(shop.arrival("A"), shop.now)).id == "1"


def busy(store: Store) -> None:
    connection: Any = store._writer._database.runner.connection
    connection.execute("PRAGMA busy_timeout = 10").fetchone()


async def test_writing_is_proved_by_a_commit_and_not_asked_again_within_a_second(
    store: Store, shop: Any
) -> None:
    await store.writable()
    before = await commits(store)
    await store.writable()
    assert await commits(store) == before
    store._writer.figures.at -= 2
    await store.writable()
    assert await commits(store) == before + 1
    await store.append(shop.arrival(), shop.now)
    await store.writable()
    assert await commits(store) == before + 2


@pytest.mark.on_files
async def test_a_failed_commit_is_no_proof_of_writing(store: Store, shop: Any, url: str) -> None:
    await store.writable()
    await on_thread(store, lambda: busy(store))
    store._writer.figures.at -= 2
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the database is held by another program"):
            await store.writable()
    other.close()
    await store.writable()


async def test_when_the_thread_has_ended_every_call_says_so(open_store: Any, shop: Any) -> None:
    class Crash(BaseException):
        """Stands for what nobody expects."""

    def crash(name: str) -> None:
        if name == "before commit":
            raise Crash

    store = await open_store(failpoint=crash)
    results = await asyncio.gather(
        store.append(shop.arrival(), shop.now), store.take_new(1, shop.now), return_exceptions=True
    )
    assert all(isinstance(result, StoreUnavailable) for result in results)
    with pytest.raises(StoreUnavailable, match="start the service again"):
        await store.append(shop.arrival(), shop.now)
    with pytest.raises(StoreUnavailable):
        await store.writable()


def test_the_disk_that_is_full_is_the_one_of_the_test(tmp_path: Path) -> None:
    """SQLite answers to a bounded file as to a full disk."""
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA max_page_count = 2").fetchone()
    with pytest.raises(sqlite3.OperationalError) as error:
        connection.execute("INSERT INTO t VALUES (?)", (b" " * 50_000,))
    connection.close()
    assert error.value.sqlite_errorcode == sqlite3.SQLITE_FULL
