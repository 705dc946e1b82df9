"""What could not be read is read again by a newer version: it becomes an event, once, or stays with its reason."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import sources
from engine.cli import main
from engine.rulebook.frames import to_json
from engine.runtime.control import Answer, Control, Reread, give, socket_beside
from engine.runtime.rereading import reread
from engine.sources.base import Reading, Unreadable
from engine.sources.chord import Chord
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import NotFound, NotPossible, Store

pytestmark = pytest.mark.anyio

THEN = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORDER = to_json(EVENT_TYPES["order_completed"].sample)
REASON = "The JSON is nested more than 100 levels deep."
BROKEN = b'{"event_name": "order_completed"'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "shopbell.db"


@pytest.fixture
async def store(database: Path) -> AsyncIterator[Store]:
    async with await Store.open(f"sqlite:///{database}") as store:
        yield store


async def quarantined(
    store: Store, body: bytes, headers: Mapping[str, str] = {}, source: str = "chord"
) -> str:
    """A body as an older version set it aside."""
    return await store.quarantine(source=source, reason=REASON, body=body, headers=headers, received_at=THEN)


async def test_what_can_be_read_now_becomes_an_event_of_its_own_time_and_leaves_the_quarantine(
    store: Store,
) -> None:
    number = await quarantined(store, ORDER, {"user-agent": "Chord/1"})
    assert await reread(store, number, sources.found()) == "is event 1 now"
    event = await store.event("1")
    assert (event.type, event.body, event.received_at) == ("order_completed", ORDER, THEN)
    assert event.headers == {"user-agent": "Chord/1"}
    assert (await store.quarantined()).items == ()
    assert [one.id for one in await store.take_new(10, THEN)] == ["1"]


async def test_what_came_again_in_the_meantime_becomes_no_second_event(store: Store) -> None:
    first, second = [
        await quarantined(store, body) for body in (ORDER, json.dumps(json.loads(ORDER), indent=3).encode())
    ]
    assert await reread(store, first, sources.found()) == "is event 1 now"
    assert await reread(store, second, sources.found()) == "is one more arrival of event 1"
    assert (await store.event("1")).arrivals == 2
    assert (await store.quarantined()).items == ()


async def test_a_process_that_ends_between_keeping_and_releasing_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await quarantined(store, ORDER)

    async def ended(id: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(store, "release", ended)
        with pytest.raises(asyncio.CancelledError):
            await reread(store, number, sources.found())
    assert await reread(store, number, sources.found()) == "is one more arrival of event 1"
    assert len((await store.events()).items) == 1


@pytest.mark.parametrize(
    ("body", "headers", "source", "reason"),
    [
        (BROKEN, {}, "chord", "still cannot be read: The JSON breaks off"),
        (gzip.compress(BROKEN), {"content-encoding": "gzip"}, "chord", "still cannot be read: The JSON breaks off"),
        (b"\x1f\x8b broken", {"content-encoding": "gzip"}, "chord", "still cannot be read: The body is not UTF-8"),
        (b"", {}, "chord", f"cannot be read: nothing of it was kept. {REASON}"),
        (ORDER, {}, "oms", "cannot be read: this version knows no source oms"),
    ],
)  # fmt: skip
async def test_what_still_cannot_be_read_stays_where_it_is_and_says_why(
    store: Store, body: bytes, headers: Mapping[str, str], source: str, reason: str
) -> None:
    number = await quarantined(store, body, headers, source)
    with pytest.raises(NotPossible) as told:
        await reread(store, number, sources.found())
    assert str(told.value).startswith(reason)
    assert [one.id for one in (await store.quarantined()).items] == [number]
    assert (await store.events()).items == ()


async def test_a_body_that_was_kept_packed_is_unpacked_and_one_that_was_unpacked_is_taken_as_it_is(
    store: Store,
) -> None:
    for body in (gzip.compress(ORDER), ORDER):
        await reread(store, await quarantined(store, body, {"content-encoding": "gzip"}), sources.found())
    event = await store.event("1")
    assert (event.body, event.arrivals) == (ORDER, 2)


async def test_the_windows_of_the_settings_hold(store: Store) -> None:
    await reread(store, await quarantined(store, ORDER), sources.found(), timedelta(days=1))
    appended = await reread(store, await quarantined(store, ORDER), sources.found(), timedelta(days=1))
    assert appended == "is one more arrival of event 1"


async def test_there_is_no_reading_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound):
        await reread(store, "7", sources.found())


# from the command line


class Old(Chord):
    """The version before, which took orders for unreadable."""

    def read(self, body: bytes, headers: Mapping[str, str]) -> Reading:
        raise Unreadable(REASON)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["quarantine", *words])


@pytest.fixture
def folder(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(database.parent)
    monkeypatch.delenv("SHOPBELL_CONFIG", raising=False)
    return database.parent


async def test_the_running_service_is_asked_and_says_what_became_of_each(
    store: Store, database: Path, folder: Path
) -> None:
    for body in (ORDER, BROKEN, ORDER):
        await quarantined(store, body)
    control = Control(store, lambda: THEN, socket_beside(database))
    await control.start()
    assert await give(Reread("9"), database) == Answer("There is no body 9 in quarantine.")
    result = await asyncio.to_thread(run, "retry", "--all")
    await control.stop()
    lines = result.output.splitlines()
    assert result.exit_code == 1
    assert [lines[0], lines[2]] == ["✓ 1 is event 1 now", "✓ 3 is one more arrival of event 1"]
    assert lines[1].startswith("✗ 2 still cannot be read: The JSON breaks off")
    assert [one.id for one in (await store.quarantined()).items] == ["2"]


async def test_without_a_service_the_record_is_worked_on_directly(database: Path, folder: Path) -> None:
    async with await Store.open(f"sqlite:///{database}") as store:
        await quarantined(store, ORDER)
    result = await asyncio.to_thread(run, "retry", "1")
    assert (result.exit_code, result.output) == (0, "✓ 1 is event 1 now\n")
    assert (await asyncio.to_thread(run, "retry", "--all")).output == "nothing is in quarantine\n"
    async with await Store.open(f"sqlite:///{database}") as store:
        assert [one.type for one in (await store.events()).items] == ["order_completed"]


def test_an_upgrade_reads_what_the_version_before_could_not(
    database: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keep() -> None:
        async with await Store.open(f"sqlite:///{database}") as store:
            await quarantined(store, ORDER)

    asyncio.run(keep())
    with monkeypatch.context() as before:
        before.setattr(sources, "found", lambda: {"chord": Old()})
        assert run("retry", "1").output == f"✗ 1 still cannot be read: {REASON}\n"
    assert run("retry", "1").output == "✓ 1 is event 1 now\n"


@pytest.mark.parametrize("words", [("retry",), ("retry", "1", "--all")])
def test_which_bodies_must_be_said(words: tuple[str, ...], folder: Path) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "--all" in result.output
