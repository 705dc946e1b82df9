"""The log: one line for each thing, without secrets, with nothing in it that could forge a second line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

LONGEST = 2_000
"""Letters of one line."""


class _Plain(logging.Formatter):
    """Time, level, place and text; secrets masked, control characters made visible, long lines cut."""

    def __init__(self, hidden: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._hidden = sorted(hidden, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._hidden:
            text = text.replace(secret, "•••")
        lines = text.splitlines() or [""]
        # A traceback keeps its lines; a value from outside can start none, since repr-like escapes replace breaks.
        shown = lines if record.exc_info else [" ⏎ ".join(lines)]
        return "\n".join(_visible(line)[:LONGEST] for line in shown)


def _visible(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def log_to_stderr(hidden: Iterable[str], level: int = logging.INFO) -> None:
    """Log to standard error; `hidden` are the texts that must never show."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain(hidden))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "aiohttp", "uvicorn", "apscheduler", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # httpx logs whole addresses, secrets included
