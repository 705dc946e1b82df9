"""The log: one line for each thing, with no secret and no customer in it, and nothing that could forge a second line.

On a terminal a line is for people, anywhere else it is one JSON object.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

import re2

LONGEST = 2_000
"""Letters of one text."""

MASK = "•••"

ADDRESS = re2.compile(r"[^\s@<>()\[\]{}\"',;:=|]+@([^\s@<>()\[\]{}\"',;:=|]+\.[^\s@<>()\[\]{}\"',;:=|.]+)")
"""A mail address, with its domain."""

NOISY = ("httpx", "httpcore", "aiohttp", "uvicorn", "apscheduler", "watchfiles", "alembic")
"""Libraries that tell too much; httpx's lines hold whole addresses, secrets included."""


class _Masked(logging.Formatter):
    """Texts of a record with secrets and mail addresses masked, cut to a bound."""

    def __init__(self, hidden: Iterable[str]) -> None:
        super().__init__()
        self._hidden = sorted(filter(None, hidden), key=len, reverse=True)

    def message(self, record: logging.LogRecord) -> str:
        """What it tells; its beginning says most."""
        text = self._masked(record.getMessage())
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"

    def fault(self, record: logging.LogRecord) -> str:
        """The traceback, if there is one; its end says most."""
        return self._masked(self.formatException(record.exc_info))[-LONGEST:] if record.exc_info else ""

    def _masked(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode()  # half characters, as file names may have them
        for secret in self._hidden:
            text = text.replace(secret, MASK)
        return ADDRESS.sub(rf"{MASK}@\1", text)  # type: ignore[no-any-return]


class ForPrograms(_Masked):
    """One JSON object of plain ASCII on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = {
            "time": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "where": record.name,
            "message": self.message(record),
        }
        if fault := self.fault(record):
            said["fault"] = fault
        return json.dumps(said)


class ForPeople(_Masked):
    """Time, level and text on a line; control characters made visible. Only a traceback has more lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        text = " ⏎ ".join(self.message(record).splitlines())
        lines = [
            f"{_moment(record):%H:%M:%S} {record.levelname.lower():7} {text}",
            *self.fault(record).splitlines(),
        ]
        return "\n".join(map(_visible, lines))


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _visible(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def log_to(stream: TextIO, hidden: Iterable[str], level: int = logging.INFO) -> None:
    """Log to a stream; `hidden` are the texts that must never show."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter((ForPeople if stream.isatty() else ForPrograms)(hidden))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_to_stderr(hidden: Iterable[str], level: int = logging.INFO) -> None:
    """Log to standard error; `hidden` are the texts that must never show."""
    log_to(sys.stderr, hidden, level)
