"""`limit: 1 per 6 hours for each stock_item.variant.sku`: at most so many in a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self

from engine.language.match import Match
from engine.language.node import Entry, MappingNode
from engine.language.path import Path, PathError, parse_path
from engine.language.problem import Mark
from engine.language.words import normal_key
from engine.model import Ask, Cell, Effect, Outcome, Remember
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import (
    at_time,
    for_each,
    happened_of,
    in_words,
    not_understood,
    read_period,
    text_of,
    written,
)

REMEMBERED: Final = timedelta(days=30)
"""So long it is known how many were held back, for the message after them."""

_WORDS: Final = re.compile(
    r"([1-9][0-9]{0,5}) (?:times? )?(?:per|in|every) (.+?)(?: for each (\S.*))?", re.IGNORECASE
)
_KEYS: Final = {
    "order": "order.number",
    "shipment": "shipment.number",
    "stock_item": "stock_item.variant.sku",
}
"""What tells the objects of each kind apart."""


@dataclass(frozen=True, slots=True)
class Limit(Timing):
    """Lets the rule fire at most so often in a time, for each value of a field. Time is real time, and slides: after
    1 per 6 hours the next may go six hours later to the second. What is held back is kept on record and counted, and the
    next message says how many there were."""

    place: ClassVar[int] = 70
    example: ClassVar[str] = "limit: 1 per 6 hours for each order.email"
    mark: Mark
    count: int
    per: timedelta
    key: Path | None
    key_mark: Mark

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`1 per 6 hours for each path`, or `{count, per, for each}`."""
        count, per, key = _parts(setting)
        length, path = read_period(per), _path(key)
        if not (
            count.isascii()
            and count.isdecimal()
            and 0 < int(count[:9]) < 1_000_000
            and length
            and path is not None
        ):
            not_understood(setting, reading.problems, _right(setting, reading))
            return None
        key_path = path if isinstance(path, Path) else None
        return cls(setting.key.mark, int(count), length, key_path, setting.value.mark)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A text or a block."""
        return {"type": ["string", "object"], "examples": ["1 per 6 hours for each order.email"]}

    @property
    def text(self) -> str:
        """It in one line."""
        return f"limit {self.count} per {in_words(self.per)}{for_each(self.key)}"

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """What it counts for each."""
        return ((self.key, self.key_mark),) if self.key else ()

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """When the last ones went out, and how many were held back since."""
        return (match.cell(match.key(self.key)),)

    def decide(self, match: Match) -> Decision:
        """Go on while there is room."""
        cell = match.cell(match.key(self.key))
        known = match.answers.get(cell) or {}
        held = known.get("held", 0)
        # A clock that was set back must not shut the rule up for as long: nothing went out later than now.
        sent = [min(happened_of(one), match.now) for one in known.get("sent", ())]
        inside = [one for one in sent if match.now - one < self.per]
        if len(inside) < self.count:
            return self._send(match, cell, inside, held, known.get("since"))
        return self._hold_back(match, cell, inside, held, known.get("since"))

    def _send(
        self, match: Match, cell: Cell, inside: list[datetime], held: int, since: str | None
    ) -> Decision:
        counted = _noted(cell, [*inside, match.now], 0, None, match.now + self.per)
        room = f"number {len(inside) + 1} of {self.count} per {in_words(self.per)}{_of(cell)}"
        told = _told(held, since, match) if held and since else ""
        return Decision("send", f"{room}; {told}" if told else room, (counted,), footnote=told)

    def _hold_back(
        self, match: Match, cell: Cell, inside: list[datetime], held: int, since: str | None
    ) -> Decision:
        since = since or match.now.isoformat()
        noted = _noted(cell, inside, held + 1, since, match.now + self.per + REMEMBERED)
        last, free = at_time(inside[-1], match), at_time(inside[-self.count] + self.per, match)
        because = f"{self.count} per {in_words(self.per)}{_of(cell)}; the last went out at {last}; next possible {free}"
        return Decision("drop", because, regardless=(noted,), outcome=Outcome.HELD)


def _of(cell: Cell) -> str:
    return f" for {cell.key}" if cell.key else ""


def _noted(cell: Cell, sent: list[datetime], held: int, since: str | None, until: datetime) -> Effect:
    value = {"sent": [one.isoformat() for one in sent], "held": held, "since": since}
    return Remember(cell, value, until)


def _told(held: int, since: str, match: Match) -> str:
    verb = "was" if held == 1 else "were"
    listed = f"shopbell deliveries list --rule {match.rule} --state suppressed"
    return f"{held:,} {verb} held back since {at_time(happened_of(since), match)} ({listed})"


def _parts(setting: Entry) -> tuple[str, str, str]:
    """The number, the time and the field, as they were written."""
    if isinstance(setting.value, MappingNode):
        found = {normal_key(one.key.text): text_of(one.value) for one in setting.value}
        known = found.keys() <= {"count", "per", "for each"}
        return (
            (found.get("count", ""), found.get("per", ""), found.get("for each", ""))
            if known
            else ("", "", "")
        )
    match = _WORDS.fullmatch(text_of(setting.value))
    return (match[1], match[2], match[3] or "") if match else ("", "", "")


def _path(key: str) -> Path | str | None:
    """The field, "" for none, None for what is no field."""
    try:
        return parse_path(key) if key else ""
    except PathError:
        return None


def _right(setting: Entry, reading: Reading) -> str:
    """A line that would do, near to what was written."""
    text = written(setting.value).casefold()
    per = next((unit for unit in ("minute", "hour", "day", "week") if unit in text), "hour")
    objects = sorted({reading.event_types[event] for event in reading.events})
    return f"limit: 1 per {per} for each {_KEYS.get(next(iter(objects), ''), 'order.number')}"
