"""The rule folder: its texts read whole, and read again when they change, never while they are half written.

Editors write files in place and in pieces, and a cut-off rule file is often still valid YAML. So a text counts only
when two looks in a row found the same, and what looks cut off or vanished must stay so for longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from engine.runtime.clock import Wait

log = logging.getLogger("shopbell.rules")

Texts = Mapping[str, str]

SETTLE = 0.7
"""Seconds between the two looks that must agree."""

PATIENCE = 2.0
"""Seconds that a file must stay away, or look cut off, before that is believed."""

LOOK_MS = 5_000
"""Milliseconds between two looks at a folder that tells of no changes."""

PAUSE = 1.0
"""Seconds between two looks at a folder that cannot be watched."""

LARGEST = 5_000_000
"""Bytes of all rule texts together, beyond which a folder is not read."""


class FolderUnreadable(Exception):
    """The rule folder is not there, too large, or not ours to read; the text says so in plain words."""


def read_folder(folder: Path) -> dict[str, str]:
    """All rule and list texts by name below the folder. Bytes that are no UTF-8 arrive as lone surrogates."""
    texts: dict[str, str] = {}
    room = LARGEST
    for path in _files(folder):
        try:
            with path.open("rb") as file:
                content = file.read(room + 1)
        except FileNotFoundError:  # it went away since it was listed: the next look tells
            continue
        except OSError as reason:
            raise FolderUnreadable(f"{path} cannot be read: {reason.strerror}") from None
        room -= len(content)
        if room < 0:
            raise FolderUnreadable(f"{folder} holds more than {LARGEST // 1_000_000} MB of rules")
        texts[path.relative_to(folder).as_posix()] = content.decode("utf-8", "surrogateescape")
    return texts


def _files(folder: Path) -> list[Path]:
    """The rule files, and the lists beside them; hidden ones are some editor's or some deployment's own."""
    if not folder.is_dir():
        raise FolderUnreadable(f"there is no folder {folder}")
    try:
        found = [*_named(folder, (".yaml", ".yml")), *_named(folder / "lists", (".csv",))]
    except OSError as reason:
        raise FolderUnreadable(f"{folder} cannot be read: {reason.strerror}") from None
    return sorted(found)


def _named(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (
                folder / entry.name
                for entry in entries
                if entry.name.endswith(endings) and not entry.name.startswith(".") and entry.is_file()
            )


async def settled(folder: Path, known: Texts, wait: Wait = asyncio.sleep) -> tuple[dict[str, str], bool]:
    """The folder's texts, each as two looks found it, or as it is known where they differ; and whether none did.

    What looks cut off, shrank or vanished is given more time between the looks.
    """
    seen = await asyncio.to_thread(_snapshot, folder)
    await wait(PATIENCE if _doubtful(known, seen) else SETTLE)
    again = await asyncio.to_thread(_snapshot, folder)
    if again == seen:
        return seen, True
    names = sorted({*known, *seen, *again})
    texts = {name: (seen if seen.get(name) == again.get(name) else known).get(name) for name in names}
    return {name: text for name, text in texts.items() if text is not None}, False


def _snapshot(folder: Path) -> dict[str, str]:
    """The folder at one moment: a folder may be swapped for another as a whole while it is read."""
    seen = read_folder(folder)
    for _ in range(5):
        again, seen = seen, read_folder(folder)
        if again == seen:
            break
    return seen


def _doubtful(known: Texts, seen: Texts) -> bool:
    """Whether something is gone or shorter than it was, or a text that changed breaks off within a line."""
    if any(len(seen.get(name, "")) < len(text) for name, text in known.items()):
        return True
    return any(not text.endswith("\n") for name, text in seen.items() if known.get(name) != text)


async def changes(
    folder: Path, known: Texts, stop: asyncio.Event, wait: Wait = asyncio.sleep
) -> AsyncGenerator[Texts, None]:
    """The folder's new texts after each change, until told to stop."""
    unreadable = ""
    async for _ in _looks(folder, stop, wait):
        try:
            async for texts in _news(folder, known, wait):
                _tell(known, texts)
                known = texts
                yield texts
            unreadable = ""
        except (
            FolderUnreadable
        ) as reason:  # being moved or swapped: what is in force stays so until it is back
            if str(reason) != unreadable:
                log.error("the rules in force stay so: %s", reason)
            unreadable = str(reason)


async def _news(folder: Path, known: Texts, wait: Wait) -> AsyncGenerator[Texts, None]:
    """What has settled that was not known, until everything has."""
    all_settled = await asyncio.to_thread(read_folder, folder) == known
    while not all_settled:
        texts, all_settled = await settled(folder, known, wait)
        if texts != known:
            known = texts
            yield texts


async def _looks(folder: Path, stop: asyncio.Event, wait: Wait) -> AsyncGenerator[None, None]:
    """A moment to look whenever something happened in the folder, and else when its marks differ after some seconds.

    Not every file system tells of changes, and a folder that is a link to another one never does.
    """
    marks: object = None
    async for told in _moments(folder, stop, wait):
        before, marks = marks, await asyncio.to_thread(_marks, folder)
        if told or marks != before:
            yield


async def _moments(folder: Path, stop: asyncio.Event, wait: Wait) -> AsyncGenerator[bool, None]:
    """Moments every few seconds, and whenever the system tells of something in the folder: that is True."""
    logged = ""
    while not stop.is_set():
        try:
            watched = awatch(
                folder,
                watch_filter=None,
                stop_event=stop,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                debounce=200,
            )
            own = os.stat(folder).st_ino
            async with aclosing(watched):
                async for told in watched:
                    yield bool(told)
                    if (
                        os.stat(folder).st_ino != own
                    ):  # another folder by this name: the watch is on the old one
                        break
        except (
            OSError,
            RuntimeError,
        ) as reason:  # it is not there at this moment, or the system has no watch left
            if str(reason) != logged:
                log.warning("%s is looked at by the clock, because it cannot be watched: %s", folder, reason)
            logged = str(reason)
            await wait(PAUSE)
            yield False


def _marks(folder: Path) -> object:
    """What changes when a file does, without reading it; nothing for a folder that cannot be read."""
    try:
        return [
            (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
            for path in _files(folder)
            for stat in [path.stat()]
        ]
    except (FolderUnreadable, OSError):
        return None


def _tell(before: Texts, now: Texts) -> None:
    for verb, names in (
        ("changed", [name for name in now if name in before and now[name] != before[name]]),
        ("new", now.keys() - before.keys()),
        ("gone", before.keys() - now.keys()),
    ):
        if names:
            log.info("rule files %s: %s", verb, ", ".join(sorted(names)))
