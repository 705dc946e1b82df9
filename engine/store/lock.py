"""The lock that keeps a second process from a database file: a file beside it, held as long as the process lives."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.store.values import AnotherProcess

if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    _FAR = 1 << 30  # the locked byte lies behind the text, which others may then still read
else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from its making to `release`; the system lets go of it when the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        """Take the lock of a database file. Raises `AnotherProcess` where somebody has it."""
        path = database.with_name(database.name + ".lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(self._file)
        except OSError:
            holder = _holder(self._file)
            os.close(self._file)
            raise AnotherProcess(
                f"Another Shopbell{holder} is already working with the database {database}. Stop that one first, or "
                "give this one a database of its own (database: in shopbell.yaml). Several can share one on PostgreSQL "
                "(database: postgresql://…)."
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Let the next process have the database. The file stays: removing it would let two hold two of the name."""
        os.close(self._file)


def _holder(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    number = os.read(file, 20)
    return f" (process {int(number)})" if number.isdigit() else ""
