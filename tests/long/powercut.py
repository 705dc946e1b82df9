"""Power cuts by simulation: what was written and not synced is taken back, and nothing acknowledged may be missing.

`python tests/long/powercut.py [--seeds 200] [--loose]` lets the real store work over a layer of files that knows what was
synced. At a random write the power goes: unsynced writes are taken back as a whole, or sector by sector by chance. What is
left is opened and held against what was answered by then. It prints its figures and ends with 1 if anything is lost, torn
or damaged. With `--loose`, commits are not synced, and something has to be lost: else this would see nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import apsw

from engine.store import sqlite
from engine.store.sqlite import SqliteDatabase
from engine.store.store import Arrival, Judged, Store

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
SECTOR = 512
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
ROUNDS = 12
CHECKPOINT_PAGES = 30
"""Few, so that the log is carried over into the file often in a short life."""

_numbers = count()


@dataclass
class Kept:
    """One file: its content at the last sync, and what was written since."""

    path: Path
    synced: bytearray
    dirty: list[tuple[int, int]] = field(default_factory=list)

    def sync(self) -> None:
        """All that was written is safe."""
        now = self.path.read_bytes()
        for start, size in self.dirty:
            end = min(start + size, len(now))
            if len(self.synced) < end:
                self.synced.extend(bytes(end - len(self.synced)))
            self.synced[start:end] = now[start:end]
        del self.synced[len(now) :]
        self.dirty.clear()

    def after_a_cut(self, chance: Random, by_sector: bool) -> bytes:
        """What is left when the power goes."""
        left, now = bytearray(self.synced), self.path.read_bytes()
        if not by_sector:
            return bytes(left)
        sectors = {
            at for start, size in self.dirty for at in range(start // SECTOR, -(-(start + size) // SECTOR))
        }
        for sector in sorted(sectors):
            if chance.random() < 0.5:
                start = sector * SECTOR
                piece = now[start : start + SECTOR]
                if len(left) < start + len(piece):
                    left.extend(bytes(start + len(piece) - len(left)))
                left[start : start + len(piece)] = piece
        return bytes(left)


class Files(apsw.VFS):
    """The real files, with note of what was synced. `at` is called before each write and sync."""

    def __init__(self, at: Any) -> None:
        self.name = f"cut-{next(_numbers)}"
        self.kept: dict[str, Kept] = {}
        self.at = at
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Noted:  # SQLite's name
        """Open a file."""
        file = Noted(name, flags)
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        kept = self.kept.setdefault(str(path), Kept(path, bytearray(path.read_bytes())))
        file.kept, file.files = kept, self
        return file


class Noted(apsw.VFSFile):
    """A file whose writes and syncs are noted."""

    kept: Kept
    files: Files

    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        """Write, unsynced."""
        self.files.at()
        super().xWrite(data, offset)
        self.kept.dirty.append((offset, len(data)))

    def xTruncate(self, size: int) -> None:
        """Cut the file; that is safe with the next sync."""
        self.files.at()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        """What was written so far is safe."""
        self.files.at()
        super().xSync(flags)
        self.kept.sync()


class Cursor:
    """A cursor as the standard library's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""
        return self._connection.changes()

    def execute(self, text: str, parameters: Any = ()) -> Cursor:
        """Run a statement."""
        self._cursor.execute(text, tuple(parameters))
        return self

    def executemany(self, text: str, rows: Any) -> Cursor:
        """Run a statement for each row."""
        self._cursor.executemany(text, [tuple(row) for row in rows])
        return self

    def fetchall(self) -> list[Any]:
        """All rows."""
        return self._cursor.fetchall()

    def fetchone(self) -> Any:
        """The next row."""
        return self._cursor.fetchone()

    def __iter__(self) -> Any:
        return iter(self._cursor)

    def close(self) -> None:
        """Let go of it."""
        self._cursor.close(True)


class Connection:
    """A connection as the standard library's, over files that are watched."""

    def __init__(self, path: Path, files: Files, loose: bool) -> None:
        self._connection = apsw.Connection(str(path), vfs=files.name)
        self._loose = loose

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def cursor(self) -> Cursor:
        """A cursor."""
        return Cursor(self._connection)

    def execute(self, text: str, parameters: Any = ()) -> Cursor:
        """Run a statement; syncing less where that is wanted."""
        if self._loose:
            text = text.replace("synchronous = full", "synchronous = normal")
        return self.cursor().execute(text, parameters)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


@dataclass
class Found:
    """What the cuts of one life left: events acknowledged, and those lost or torn, and faults of files."""

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    damaged: int = 0


class Life:
    """One life of a store, with a power cut at a write by chance."""

    def __init__(self, seed: int, folder: Path, loose: bool, by_sector: bool) -> None:
        self.chance = Random(seed)
        self.path = folder / "shop.db"
        self.left = folder / "left"
        self.loose = loose
        self.by_sector = by_sector
        self.acknowledged: list[tuple[str, bytes]] = []
        self.answered = 0
        self.cut_after = self.chance.randrange(30, 1200)
        self.files = Files(self.pass_by)

    def pass_by(self) -> None:
        """One more write or sync; before one of them the power goes."""
        self.cut_after -= 1
        if self.cut_after == 0:
            self.cut()

    def cut(self) -> None:
        """Keep what would be left."""
        self.answered = len(self.acknowledged)
        self.left.mkdir()
        for kept in self.files.kept.values():
            if kept.path.exists() and kept.path.name in ("shop.db", "shop.db-wal"):
                data = kept.after_a_cut(self.chance, self.by_sector)
                (self.left / kept.path.name).write_bytes(data)

    async def live(self) -> Found:
        """Live it, and look at what the cut left."""
        SqliteDatabase(self.path).close()
        real = sqlite3.connect

        def connect(database: Any, **more: Any) -> Any:
            return real(database, **more) if more.get("uri") else Connection(database, self.files, self.loose)

        with (
            patch.object(sqlite.sqlite3, "connect", connect),
            patch.object(sqlite, "CHECKPOINT_PAGES", CHECKPOINT_PAGES),
        ):
            async with await Store.open(f"sqlite:///{self.path}", keep=5) as store:
                for turn in range(ROUNDS):
                    await self.work(store, turn)
        if not self.left.exists():
            self.cut()
        self.files.unregister()
        return await self.look()

    async def work(self, store: Store, turn: int) -> None:
        """Some arrivals at once, each answered for itself, and judgements."""

        async def arrive(number: int) -> None:
            body = b'{"number":"%d-%d","x":"%s"}' % (turn, number, b"x" * self.chance.choice([10, 500, 3000]))
            appended = await store.append(
                Arrival(
                    source="chord", type="t", subject=f"order:{number}", body=body, identity=sha256(body).digest(),
                    window=timedelta(days=1),
                ),
                NOW,
            )  # fmt: skip
            self.acknowledged.append((appended.id, body))

        await asyncio.gather(*(arrive(number) for number in range(self.chance.randint(1, 12))))
        taken = await store.take_new(8, NOW)
        await store.record([Judged(one.id, "b00c", {}, NOW) for one in taken])

    async def look(self) -> Found:
        """Hold what is left against what was answered."""
        answered = self.acknowledged[: self.answered]
        found = Found(len(answered))
        place = self.left / "shop.db"
        try:
            async with await Store.open(f"sqlite:///{place}"):
                pass
            with closing(sqlite3.connect(place)) as connection:
                found.damaged = connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
                bodies = dict(connection.execute("SELECT event_id, body FROM body"))
                events = dict(connection.execute("SELECT id, body_sha256 FROM event"))
        except Exception as error:  # whatever it is, this database is of no use any more
            print(f"damaged: {error}")
            return Found(len(answered), len(answered), 0, 1)
        found.lost = sum(bodies.get(int(id)) != body for id, body in answered)
        found.torn = sum(sha256(bodies.get(id, b"")).digest() != sha for id, sha in events.items())
        found.torn += len(bodies.keys() - events.keys())
        return found


async def lived(seed: int, loose: bool, by_sector: bool) -> Found:
    """One life in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return await Life(seed, Path(folder), loose, by_sector).live()


def main() -> None:
    """Live the lives that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--loose", action="store_true")
    given = parser.parse_args()
    well = True
    for by_sector in (False, True):
        lives = [asyncio.run(lived(seed, given.loose, by_sector)) for seed in range(given.seeds)]
        lost, torn, damaged = (
            sum(getattr(one, name) for one in lives) for name in ("lost", "torn", "damaged")
        )
        how = "sector by sector" if by_sector else "as a whole"
        print(
            f"{given.seeds} cuts, taken back {how}: {sum(one.acknowledged for one in lives)} acknowledged, {lost} lost "
            f"(in {sum(one.lost > 0 for one in lives)} cuts), {torn} torn, {damaged} damaged"
        )
        well = well and not torn and not damaged and (lost > 0 if given.loose else lost == 0)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
