"""Rule files count once they are whole: never half written, never mixed, and what is missing for a moment is not lost."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from engine.runtime.rulefiles import (
    LARGEST,
    PATIENCE,
    SETTLE,
    FolderUnreadable,
    Texts,
    changes,
    read_folder,
    settled,
)

pytestmark = pytest.mark.anyio

RULE = "name: {}\nwhen: order_completed\nthen:\n  - slack:\n      channel: ops\n      text: hello\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    return folder


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


# reading


def test_rules_and_lists_are_read_by_name_and_nothing_else(folder: Path) -> None:
    (folder / "lists").mkdir()
    (folder / "..2026_11_25").mkdir()
    (folder / "old.yaml").mkdir()
    for name in ("a.yaml", "b.yml", "lists/vip.csv", "notes.txt", "a.yaml~", ".a.yaml.swp", ".hidden.yaml", "c.csv",
                 "lists/d.yaml", "..2026_11_25/a.yaml"):  # fmt: skip
        (folder / name).write_text(name)
    os.symlink("nowhere", folder / "dangling.yaml")
    assert read_folder(folder) == {name: name for name in ("a.yaml", "b.yml", "lists/vip.csv")}


def test_bytes_that_are_no_utf_8_arrive_so_that_the_loader_can_tell(folder: Path) -> None:
    (folder / "a.yaml").write_bytes("name: Malmö".encode("latin-1"))
    assert read_folder(folder)["a.yaml"].encode("utf-8", "surrogateescape") == b"name: Malm\xf6"


def test_a_folder_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(FolderUnreadable, match=r"there is no folder .*/rules$"):
        read_folder(tmp_path / "rules")


def test_a_folder_with_too_much_in_it_is_not_read_into_memory(folder: Path) -> None:
    with (folder / "huge.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FolderUnreadable, match=f"more than {LARGEST // 1_000_000} MB of rules"):
        read_folder(folder)


def test_a_file_that_may_not_be_read_is_told_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, a="x")

    def refused(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(FolderUnreadable, match=r"a\.yaml cannot be read: Permission denied"):
        read_folder(folder)


# settling


@dataclass
class Meanwhile:
    """Does something each time somebody waits, and notes how long they wanted to."""

    deeds: list[Callable[[], object]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self.deeds:
            self.deeds.pop(0)()


async def test_a_text_counts_when_two_looks_agree(folder: Path) -> None:
    write(folder, a="one\n", b="two\n")
    wait = Meanwhile()
    assert await settled(folder, {}, wait) == ({"a.yaml": "one\n", "b.yaml": "two\n"}, True)
    assert wait.waited == [SETTLE]


async def test_a_text_that_changes_between_the_looks_stays_as_it_is_known_and_the_others_count(
    folder: Path,
) -> None:
    known = {"a.yaml": "old\n", "b.yaml": "old\n"}
    write(folder, a="half\n", b="new\n", c="new\n")
    wait = Meanwhile([lambda: write(folder, a="half\nand the rest\n")])
    texts, all_settled = await settled(folder, known, wait)
    assert (texts, all_settled) == ({"a.yaml": "old\n", "b.yaml": "new\n", "c.yaml": "new\n"}, False)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param({"a.yaml": "name: a\nwhen: order_com"}, id="within a line"),
        pytest.param({"a.yaml": "name: a\n"}, id="shorter than it was"),
        pytest.param({}, id="gone"),
        pytest.param({"a.yaml": ""}, id="emptied"),
    ],
)
async def test_what_looks_cut_off_or_gone_is_given_more_time(folder: Path, cut: dict[str, str]) -> None:
    whole = "name: a\nwhen: order_completed\n"
    for name, text in cut.items():
        (folder / name).write_text(text)
    wait = Meanwhile()
    assert await settled(folder, {"a.yaml": whole}, wait) == (cut, True)
    assert wait.waited == [PATIENCE]


async def test_a_text_that_always_ended_within_a_line_is_given_no_more_time_than_others(folder: Path) -> None:
    write(folder, a="name: a", b="new\n")
    wait = Meanwhile()
    await settled(folder, {"a.yaml": "name: a"}, wait)
    assert wait.waited == [SETTLE]


# changes


@dataclass
class Watched:
    """A folder under watch: its news one after the other. Waiting takes no time."""

    folder: Path
    known: Texts
    wait: Meanwhile = field(default_factory=Meanwhile)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.news = changes(self.folder, self.known, self.stop, self.wait)

    async def next(self) -> Texts:
        async with asyncio.timeout(20):
            return await anext(self.news)


@pytest.fixture
async def watched(folder: Path) -> AsyncIterator[Watched]:
    write(folder, a=RULE.format("a"), b=RULE.format("b"))
    watched = Watched(folder, read_folder(folder))
    yield watched
    watched.stop.set()
    await watched.news.aclose()  # type: ignore[attr-defined]


async def later(deed: Callable[[], object]) -> None:
    await asyncio.sleep(
        0.1
    )  # the watch has begun by then; if it has not, the first look finds the change all the same
    deed()


async def test_a_file_written_in_two_pieces_counts_once_it_is_whole_without_another_save(
    watched: Watched,
) -> None:
    whole = RULE.format("a new and longer name")
    half = whole[: whole.index("then")]
    watched.wait.deeds = [lambda: write(watched.folder, a=whole)]
    task = asyncio.create_task(later(lambda: write(watched.folder, a=half)))
    texts = await watched.next()
    await task
    assert texts == {"a.yaml": whole, "b.yaml": RULE.format("b")}


async def test_a_folder_of_links_that_is_swapped_as_a_whole_is_read_as_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    for version in ("1", "2"):
        (folder / f"..{version}").mkdir(parents=True)
        for name in ("a", "b", "c"):
            write(folder / f"..{version}", **{name: RULE.format(f"{name} {version}")})
    os.symlink("..1", folder / "..data")
    for name in ("a", "b", "c"):
        os.symlink(f"..data/{name}.yaml", folder / f"{name}.yaml")
    watched = Watched(folder, read_folder(folder))

    def swap() -> None:
        os.symlink("..2", folder / "..data_tmp")
        os.rename(folder / "..data_tmp", folder / "..data")

    task = asyncio.create_task(later(swap))
    assert await watched.next() == {f"{name}.yaml": RULE.format(f"{name} 2") for name in ("a", "b", "c")}
    await task
    watched.stop.set()
    await watched.news.aclose()  # type: ignore[attr-defined]


def test_a_folder_swapped_while_it_is_read_is_never_seen_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.runtime import rulefiles

    mixed, new = {"a": "1", "b": "2"}, {"a": "2", "b": "2"}
    reads = iter([mixed, new, new])
    monkeypatch.setattr(rulefiles, "read_folder", lambda folder: next(reads))
    assert rulefiles._snapshot(tmp_path) == new


async def test_a_file_that_is_missing_for_a_moment_is_not_lost_and_the_new_one_counts(
    watched: Watched,
) -> None:
    new = RULE.format("a new")
    watched.wait.deeds = [lambda: write(watched.folder, a=new)]
    task = asyncio.create_task(later(lambda: (watched.folder / "a.yaml").unlink()))
    texts = await watched.next()
    await task
    assert texts == {"a.yaml": new, "b.yaml": RULE.format("b")}


async def test_a_file_that_stays_away_is_gone(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(later(lambda: (watched.folder / "a.yaml").unlink()))
    with caplog.at_level(logging.INFO):
        assert await watched.next() == {"b.yaml": RULE.format("b")}
    await task
    assert "rule files gone: a.yaml" in caplog.text


async def test_a_folder_that_is_away_for_a_moment_leaves_the_rules_in_force(watched: Watched) -> None:
    away = watched.folder.with_name("away")
    shutil.copytree(watched.folder, away)
    write(away, a=RULE.format("moved"))
    missing = asyncio.Event()

    async def wait(seconds: float) -> None:
        missing.set()
        await asyncio.sleep(0)

    watched.news = changes(watched.folder, watched.known, watched.stop, wait)

    async def swap() -> None:
        await later(lambda: shutil.rmtree(watched.folder))
        await missing.wait()
        os.rename(away, watched.folder)

    task = asyncio.create_task(swap())
    moved = {"a.yaml": RULE.format("moved"), "b.yaml": RULE.format("b")}
    assert await watched.next() == moved
    await task
    task = asyncio.create_task(later(lambda: write(watched.folder, b=RULE.format("watched again"))))
    assert await watched.next() == {**moved, "b.yaml": RULE.format("watched again")}
    await task


async def test_while_one_file_never_settles_the_others_count(watched: Watched) -> None:
    restless = iter(range(10_000))

    class Restless(Meanwhile):
        async def __call__(self, seconds: float) -> None:
            write(watched.folder, a=RULE.format(f"a version {next(restless):05}"))

    watched.news = changes(watched.folder, watched.known, watched.stop, Restless())
    task = asyncio.create_task(later(lambda: write(watched.folder, b=RULE.format("b new"))))
    texts = await watched.next()
    await task
    assert texts == {"a.yaml": RULE.format("a"), "b.yaml": RULE.format("b new")}


async def test_no_text_that_was_never_whole_is_ever_given_however_the_writer_cuts(folder: Path) -> None:
    chance = Random(5)
    names = [f"r{number}" for number in range(5)]
    wholes: dict[str, set[str]] = {name: {RULE.format(f"{name} 0")} for name in names}
    write(folder, **{name: RULE.format(f"{name} 0") for name in names})
    known: Texts = read_folder(folder)
    for version in range(1, 200):
        name = chance.choice(names)
        whole = RULE.format(f"{name} {version}")
        cut = chance.randrange(len(whole))
        write(folder, **{name: whole[:cut]})
        other = chance.choice(names)

        def finish(name: str = name, whole: str = whole) -> None:
            write(folder, **{name: whole})
            wholes[name].add(whole)

        def rename(other: str = other, version: int = version) -> None:
            text = RULE.format(f"{other} by rename {version}")
            wholes[other].add(text)
            write(folder, tmp=text)
            os.rename(folder / "tmp.yaml", folder / f"{other}.yaml")

        wait = Meanwhile([chance.choice([finish, lambda f=finish, r=rename: (r(), f())])])
        known, _ = await settled(folder, known, wait)
        assert all(text in wholes[name.removesuffix(".yaml")] for name, text in known.items())
        assert len(known) == len(names)
    known, _ = await settled(folder, known, Meanwhile())
    assert known == read_folder(folder)


async def test_the_watch_ends_when_it_is_told_to(watched: Watched) -> None:
    watched.stop.set()
    with pytest.raises(StopAsyncIteration):
        await watched.next()


async def test_a_system_without_a_watch_left_is_looked_at_by_the_clock(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.runtime.rulefiles.awatch", none_left)
    watched.wait.deeds = [lambda: write(watched.folder, a=RULE.format("a new"))]
    assert (await watched.next())["a.yaml"] == RULE.format("a new")
    assert "cannot be watched" in caplog.text
