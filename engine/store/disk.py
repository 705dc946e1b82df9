"""Room on the disk: senders are turned away before it is full, and a ballast is let go when it is full all the same.

What is under way can then still be noted and swept; when there is room again, everything goes on by itself.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

log = logging.getLogger("shopbell.store")

LEAST_FREE = 200 * 1024 * 1024
"""Bytes that must be free for senders to be heard, where nothing else is said and the disk is not small."""

LEAST_SHARE = 0.05
"""On a small disk, this part of it."""

BALLAST = 16 * 1024 * 1024
"""Bytes of a file that is there only to be let go."""

BALLAST_SHARE = 0.02
"""On a small disk, this part of it."""

EVERY = 0.25
"""Seconds for which a look at the disk counts."""

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes free on a disk, for us, and bytes in all."""

    free: int
    total: int


Measure = Callable[[Path], Room]


def measured(folder: Path) -> Room:
    """The room on the disk of a folder."""
    usage = shutil.disk_usage(folder)
    return Room(usage.free, usage.total)


class Disk:
    """The disk that a database is on. Every method may be called by any thread, and costs next to nothing."""

    def __init__(self, database: Path, least: int | None = None, measure: Measure = measured) -> None:
        """`least` are the bytes that must be free; left out, 200 MB, or a twentieth of a smaller disk."""
        self._folder = database.absolute().parent
        self._ballast = database.with_name(database.name + ".ballast")
        self._least = least
        self._measure = measure
        self._looked_at = float("-inf")
        self._low = ""
        self.room = Room(0, 0)

    @property
    def low(self) -> str:
        """Why nothing new may be kept, in plain words; "" while there is room."""
        now = monotonic()
        if now - self._looked_at > EVERY:
            self._looked_at = now
            self._look()
        return self._low

    @property
    def least(self) -> int:
        """Bytes that must be free."""
        if self._least is not None:
            return self._least
        return min(LEAST_FREE, int(self.room.total * LEAST_SHARE))

    @least.setter
    def least(self, least: int | None) -> None:
        self._least = least

    def _look(self) -> None:
        try:
            self.room = self._measure(self._folder)
        except OSError as error:  # the folder is gone: the database will say so
            log.error("the room on the disk cannot be measured: %s", error.strerror)
            return
        before = self._low
        self._low = ""
        if self.room.free < self.least:
            self._low = f"the disk is almost full: {_megabytes(self.room.free)} are free, {_megabytes(self.least)} must be"
        if bool(before) != bool(self._low):
            self._tell()

    def _tell(self) -> None:
        if self._low:
            log.error("%s. Senders are asked to send again later; what is on record is worked off", self._low)
        else:
            log.warning("there is room on the disk again: events are taken in")

    # the ballast

    def load(self) -> None:
        """Put the ballast on the disk, where there is room for it; with zeros written, so that it takes its space."""
        self._look()
        size = min(BALLAST, int(self.room.total * BALLAST_SHARE))
        if self._ballast.exists() or self.room.free < self.least + 2 * size:
            return
        try:
            with self._ballast.open("xb") as file:
                for start in range(0, size, CHUNK):
                    file.write(bytes(min(CHUNK, size - start)))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._ballast.unlink(missing_ok=True)

    def relieve(self) -> bool:
        """Let the ballast go, because the disk is full; whether there was any."""
        self._looked_at = float("-inf")
        try:
            self._ballast.unlink()
        except OSError:
            return False
        log.error("the disk is full: the ballast was let go, so that what is under way can be noted")
        return True


def _megabytes(size: int) -> str:
    return f"{size / 1_048_576:,.1f} MB"
