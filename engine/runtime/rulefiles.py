"""The rule folder: its texts read whole, and read again when they change, never while they are half written.

Editors write files in place and in pieces, and a cut-off rule file is often still valid YAML. So a change counts
only when two looks in a row found the same, and what vanishes or shrinks by half must stay so for longer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

from watchfiles import awatch

Texts = Mapping[str, str]

SETTLE = 0.5
"""Seconds between the two looks that must agree."""

PATIENCE = 2.0
"""Seconds that a file must stay away, or stay small, before that is believed."""

LARGEST = 5_000_000
"""Bytes of all rule texts together, beyond which a folder is not read."""


class Wait(Protocol):
    """Waits for some seconds; the clock of tests does not."""

    async def __call__(self, seconds: float, /) -> None: ...


class FolderUnreadable(Exception):
    """The rule folder is not there or too large; the text says so in plain words."""


def read_folder(folder: Path) -> dict[str, str]:
    """All rule and list texts by name below the folder. Bytes that are no UTF-8 arrive as lone surrogates."""
    if not folder.is_dir():
        raise FolderUnreadable(f"there is no folder {folder}")
    texts: dict[str, str] = {}
    size = 0
    for path in _files(folder):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # it went away since it was listed: the next look tells
            continue
        size += len(content)
        if size > LARGEST:
            raise FolderUnreadable(f"{folder} holds more than {LARGEST // 1_000_000} MB of rules")
        texts[path.relative_to(folder).as_posix()] = content.decode("utf-8", "surrogateescape")
    return texts


def _files(folder: Path) -> list[Path]:
    rules = [path for path in folder.iterdir() if path.suffix in (".yaml", ".yml")]
    lists = list((folder / "lists").glob("*.csv"))
    return sorted(path for path in rules + lists if path.is_file() and not path.name.startswith("."))


async def settled(folder: Path, known: Texts, wait: Wait = asyncio.sleep) -> dict[str, str]:
    """The folder's texts once two looks agree; a file that vanished or lost half its text is given more time."""
    seen = read_folder(folder)
    while True:
        await wait(PATIENCE if _doubtful(known, seen) else SETTLE)
        again = read_folder(folder)
        if again == seen:
            return seen
        seen = again


def _doubtful(known: Texts, seen: Texts) -> bool:
    return any(len(seen.get(name, "")) < len(text) / 2 for name, text in known.items())


async def changes(
    folder: Path, known: Texts, stop: asyncio.Event, wait: Wait = asyncio.sleep
) -> AsyncIterator[Texts]:
    """The folder's new texts after each change, until told to stop.

    The folder is also looked at every five seconds, for file systems that tell nobody of changes.
    """
    watched = awatch(folder, stop_event=stop, rust_timeout=5_000, yield_on_timeout=True, debounce=200)
    async for _ in watched:
        try:
            if read_folder(folder) == known:
                continue
            texts = await settled(folder, known, wait)
        except FolderUnreadable:  # being moved or swapped: what is in force stays so until it is back
            continue
        if texts != known:
            known = texts
            yield texts


def write_whole(file: Path, text: str) -> None:
    """Replace a file's text in one step, so that whoever reads it sees the old or the new, never a part."""
    beside = file.with_name(f".{file.name}.new")
    with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    if file.exists():
        beside.chmod(file.stat().st_mode & 0o777)
    beside.replace(file)
