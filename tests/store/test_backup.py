"""Copies are made while the record is in use, are whole, can be put back, and a damaged database never stops a start for long."""

# ruff: noqa: ASYNC240  # files are what this is about, and nothing waits beside it

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.store import repair
from engine.store.backup import back_up, copies, restore
from engine.store.disk import Disk, Room
from engine.store.integrity import DAMAGED, first_fault
from engine.store.repair import made_whole
from engine.store.store import AnotherProcess, NotPossible, Store, StoreUnavailable

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "shop.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copies"


async def opened(file: Path) -> Store:
    return await Store.open(f"sqlite:///{file}")


async def started(file: Path, shop: Any) -> Store:
    """A record as the service opens it."""
    made_whole(file, None, shop.now)
    return await opened(file)


async def filled(file: Path, shop: Any, events: int = 3) -> Store:
    """A record with some judged events, each with a delivery that is due."""
    store = await opened(file)
    for _ in range(events):
        await shop.due(store, shop.delivery())
    return store


async def test_a_copy_made_under_load_is_whole_and_holds_what_was_answered_before(
    file: Path, folder: Path, shop: Any
) -> None:
    async with await filled(file, shop, 200) as store:
        copying = asyncio.create_task(asyncio.to_thread(back_up, file, folder, shop.now))
        while not copying.done():
            await store.append(shop.arrival(body=b"x" * 5000), shop.now)
        made = await copying
    assert first_fault(made.path) == ""
    assert [path.name for path in folder.iterdir()] == ["shop-20261125T090000Z.db"]
    connection = sqlite3.connect(made.path)
    assert connection.execute("SELECT count(*) FROM event").fetchone()[0] >= 200
    connection.close()


async def test_only_the_newest_copies_are_kept(file: Path, folder: Path, shop: Any) -> None:
    folder.mkdir()
    (folder / "shop-notes.db").write_text("somebody's")
    async with await filled(file, shop):
        for number in range(5):
            back_up(file, folder, shop.now + number * HOUR, keep=2)
    assert [one.made_at for one in copies(file, folder)] == [shop.now + 4 * HOUR, shop.now + 3 * HOUR]
    assert (folder / "shop-notes.db").exists()


async def test_a_copy_that_cannot_be_made_costs_no_older_one(file: Path, folder: Path, shop: Any) -> None:
    async with await filled(file, shop):
        back_up(file, folder, shop.now, keep=1)
    damage(file)
    with pytest.raises(StoreUnavailable):
        back_up(file, folder, shop.now + HOUR, keep=1)
    assert [path.name for path in folder.iterdir()] == ["shop-20261125T090000Z.db"]


async def test_restored_it_goes_on_with_new_numbers_and_sends_nothing_unasked(
    file: Path, folder: Path, shop: Any
) -> None:
    async with await filled(file, shop, 3) as store:
        await store.append(shop.arrival("to be judged"), shop.now)
        copy = back_up(file, folder, shop.now)
        for _ in range(4):
            await shop.due(store, shop.delivery())
    done = restore(copy.path, file, shop.now + HOUR)
    assert (done.held, done.set_aside) == (3, 1)
    assert all(path.exists() for path in done.kept)
    async with await opened(file) as store:
        assert await store.claim(10, shop.now + HOUR) == []
        assert await store.take_new(10, shop.now) == []
        assert "restored from a copy of 2026-11-25 09:00 UTC" in (await store.delivery(1)).delivery.reason
        assert (await store.append(shop.arrival("new"), shop.now)).id == "9"
        await store.record([shop.judged("9", shop.delivery())])
        assert [one.id for one in await store.claim(10, shop.now + HOUR)] == [8]


async def test_what_waits_in_a_copy_is_sent_if_somebody_says_so(file: Path, folder: Path, shop: Any) -> None:
    async with await filled(file, shop):
        copy = back_up(file, folder, shop.now)
    restore(copy.path, file, shop.now, hold=False)
    async with await opened(file) as store:
        assert len(await store.claim(10, shop.now)) == 3


async def test_nothing_is_restored_over_a_service_or_from_a_file_that_is_not_whole(
    file: Path, folder: Path, shop: Any
) -> None:
    async with await filled(file, shop):
        copy = back_up(file, folder, shop.now)
        with pytest.raises(AnotherProcess):
            restore(copy.path, file, shop.now)
    before = file.read_bytes()
    bad = folder / "bad.db"
    shutil.copy(copy.path, bad)
    damage(bad)
    for wrong in (bad, folder / "gone.db"):
        with pytest.raises(NotPossible):
            restore(wrong, file, shop.now)
    assert file.read_bytes() == before


# damage


def settle(file: Path) -> None:
    """Have all of it in the one file."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def damage(file: Path, at: int = 5000, size: int = 20_000) -> None:
    """Overwrite a good part of a file."""
    settle(file)
    data = bytearray(file.read_bytes())
    data[at : at + size] = Random(3).randbytes(min(size, len(data) - at))
    file.write_bytes(data)


async def test_a_whole_database_is_left_alone(file: Path, folder: Path, shop: Any) -> None:
    assert made_whole(file, folder, shop.now).outcome == "ok"
    async with await filled(file, shop):
        pass
    assert made_whole(file, folder, shop.now) == repair.Start()
    assert not list(file.parent.glob("*.kept-*"))
    async with await opened(file) as store:
        assert len(await store.claim(10, shop.now)) == 3


@pytest.mark.parametrize("how", ["damaged", "gone", "emptied", "without its head"])
async def test_with_a_copy_it_is_repaired_and_the_damaged_file_kept(
    file: Path, folder: Path, shop: Any, how: str
) -> None:
    async with await filled(file, shop):
        back_up(file, folder, shop.now)
    hurt(file, how)
    found = made_whole(file, folder, shop.now + HOUR)
    assert found.outcome == "repaired"
    assert "shop-20261125T090000Z.db was put in its place" in found.said
    async with await opened(file) as store:
        assert len((await store.events()).items) == 3
        assert await store.claim(10, shop.now + HOUR) == []
    assert made_whole(file, folder, shop.now + HOUR).outcome == "ok"
    assert how == "gone" or list(file.parent.glob("shop.db.kept-*"))


def hurt(file: Path, how: str) -> None:
    if how == "damaged":
        damage(file)
    elif how == "gone":
        file.unlink()
    else:
        settle(file)
        file.write_bytes(b"" if how == "emptied" else b"\0" * 100 + file.read_bytes()[100:])


@pytest.mark.parametrize("how", ["damaged", "gone", "emptied"])
async def test_without_a_copy_a_fresh_one_is_begun_that_gives_no_number_again(
    file: Path, folder: Path, shop: Any, how: str
) -> None:
    async with await filled(file, shop):
        pass
    hurt(file, how)
    found = made_whole(file, None, shop.now)
    assert found.outcome == "fresh"
    assert "a fresh record was begun" in found.said
    async with await opened(file) as store:
        assert int((await store.append(shop.arrival(), shop.now)).id) > 3


async def test_a_file_that_is_no_database_is_not_touched_without_a_copy(file: Path, shop: Any) -> None:
    file.parent.mkdir()
    file.write_bytes(b"Dear diary, " * 1000)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await started(file, shop)
    assert file.read_bytes() == b"Dear diary, " * 1000


async def test_a_copy_that_is_damaged_itself_is_passed_over(file: Path, folder: Path, shop: Any) -> None:
    async with await filled(file, shop):
        back_up(file, folder, shop.now)
        damage(back_up(file, folder, shop.now + HOUR).path)
    damage(file)
    assert "shop-20261125T090000Z.db was put" in made_whole(file, folder, shop.now + 2 * HOUR).said


async def test_a_damaged_event_is_found_named_and_set_aside(file: Path, shop: Any) -> None:
    async with await filled(file, shop, 5):
        pass
    connection = sqlite3.connect(file)
    connection.execute("UPDATE body SET body = 'nonsense' WHERE event_id = 2")
    connection.execute("UPDATE body SET body = X'00ff' WHERE event_id = 4")
    connection.commit()
    connection.close()
    async with await opened(file) as store:
        bad, further = await store.integrity.slice(0)
        assert (bad, further, await store.integrity.slice(5)) == ([2, 4], 5, ([], None))
        assert await store.integrity.set_aside(2, shop.now)
        assert await store.integrity.set_aside(4, shop.now)
        assert not await store.integrity.set_aside(1, shop.now)
        record = await store.event(2)
        assert (record.body, record.reason) == (None, DAMAGED)
        assert (await store.quarantined_body(1)).body == b"nonsense"
        assert (await store.integrity.slice(0))[0] == []


async def test_a_database_that_is_taken_away_is_written_again_and_the_service_told_to_start_anew(
    file: Path, shop: Any
) -> None:
    store = await filled(file, shop)
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink()
    with pytest.raises(StoreUnavailable, match="was removed or replaced"):
        await store.append(shop.arrival(), shop.now)
    assert "start the service again" in await store.broken()
    await store.close()
    async with await opened(file) as store:
        assert len((await store.events()).items) == 3


# room on the disk


async def test_senders_are_turned_away_before_the_disk_is_full_and_heard_again_by_itself(
    file: Path, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.disk.EVERY", -1.0)
    room = Room(1 << 30, 10 << 30)
    async with await filled(file, shop) as store:
        assert store.disk is not None
        store.disk._measure = lambda folder: room
        await store.append(shop.arrival(), shop.now)
        room = Room(100 << 20, 10 << 30)
        with pytest.raises(StoreUnavailable, match=r"almost full: 100.0 MB are free, 200.0 MB must be"):
            await store.append(shop.arrival(), shop.now)
        with pytest.raises(StoreUnavailable):
            await store.writable()
        assert len(await store.claim(10, shop.now)) == 3  # what is on record is worked off
        room = Room(1 << 30, 10 << 30)
        await store.append(shop.arrival(), shop.now)


@pytest.mark.parametrize(("total", "least"), [(1 << 40, 200 << 20), (1 << 30, (1 << 30) // 20)])
def test_a_small_disk_needs_a_share_of_it_free_a_big_one_no_more_than_200_megabytes(
    tmp_path: Path, total: int, least: int
) -> None:
    disk = Disk(tmp_path / "shop.db", measure=lambda folder: Room(total, total))
    assert disk.low == ""
    assert disk.least == least


def test_the_ballast_takes_its_space_once_and_is_let_go_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "shop.db", measure=lambda folder: Room(50 << 20, 100 << 20))
    disk.load()
    disk.load()
    assert (tmp_path / "shop.db.ballast").stat().st_size == (100 << 20) // 50
    assert (disk.relieve(), disk.relieve()) == (True, False)
    Disk(tmp_path / "full.db", measure=lambda folder: Room(1 << 20, 100 << 20)).load()
    assert not (tmp_path / "full.db.ballast").exists()


async def test_a_full_disk_lets_the_ballast_go_and_what_is_under_way_is_noted(file: Path, shop: Any) -> None:
    async with await filled(file, shop) as store:
        database: Any = store._writer._database
        database._disk._measure = lambda folder: Room(50 << 20, 100 << 20)
        database._disk.load()
        commit, full = database.commit, [True]

        def commit_if_there_is_room() -> None:
            if file.with_name("shop.db.ballast").exists():
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                full.append(True)
                raise error
            commit()

        database.commit = commit_if_there_is_room
        assert len(await store.claim(10, shop.now)) == 3
        assert len(full) == 2
