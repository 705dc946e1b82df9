"""`quiet hours: 21:00 to 08:00, then send`: nothing goes out at night."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar, Final, Self

from engine.language.match import Match
from engine.language.node import Entry, MappingNode
from engine.language.problem import Mark
from engine.language.words import normal_key
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import at_time, name_of, not_understood, on_the_wall, read_time, text_of

_WORDS: Final = re.compile(
    r"(?:from )?(?P<from>.+?) ?(?:to|until|-|–) ?(?P<to>[^,]+?)(?:,? then (?P<then>send|drop))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class QuietHours(Timing):
    """Holds what falls between these times of the rule's clock and lets it go at the end, or drops it with `then drop`.
    The start is quiet, the end no more. It is the clock that lets it go, also when nothing else happens."""

    place: ClassVar[int] = 90
    example: ClassVar[str] = "quiet hours: 21:00 to 08:00, then send"
    mark: Mark
    start: time
    end: time
    drop: bool = False

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`21:00 to 08:00, then send`, or `{from, to, then}`."""
        start, end, then = _parts(setting)
        first, last = read_time(start), read_time(end)
        if first is None or last is None or then not in ("send", "drop"):
            not_understood(setting, reading.problems, cls.example)
            return None
        if first == last:
            not_understood(setting, reading.problems, cls.example, "it would be quiet all day, or never")
            return None
        return cls(setting.key.mark, first, last, then == "drop")

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A text or a block."""
        return {"type": ["string", "object"], "examples": ["21:00 to 08:00, then send"]}

    @property
    def text(self) -> str:
        """It in one line."""
        return f"quiet hours {self.start:%H:%M} to {self.end:%H:%M}, then {'drop' if self.drop else 'send'}"

    def decide(self, match: Match) -> Decision:
        """Hold or drop what falls into them."""
        if not self._quiet(match.local(match.now)):
            return Decision("send", f"it is {match.local(match.now):%H:%M}")
        if match.due is not None and match.is_due and self._quiet(match.local(match.due.at)):
            return Decision("send", "somebody let it go before the end")
        if self.drop:
            return Decision("drop", f"it is {match.local(match.now):%H:%M}")
        until = self._over(match)
        armed = match.arm(match.own, until, f"the end of quiet hours: {name_of(match.event)}")
        return Decision("hold", f"it is quiet until {at_time(until, match)}", (armed,), until=until)

    def _quiet(self, local: datetime) -> bool:
        clock = local.time()
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def _over(self, match: Match) -> datetime:
        """The next end: today's, tomorrow's, or the second of two where autumn repeats the hour."""
        local = match.local(match.now)
        first = on_the_wall(local.date(), self.end, match.timezone)
        second = datetime.combine(local.date(), self.end, match.timezone).replace(fold=1).astimezone(UTC)
        tomorrow = on_the_wall(local.date() + timedelta(days=1), self.end, match.timezone)
        return next(one for one in (first, second, tomorrow) if one > match.now)


def _parts(setting: Entry) -> tuple[str, str, str]:
    """The start, the end and what then, as they were written."""
    if isinstance(setting.value, MappingNode):
        found = {normal_key(one.key.text): text_of(one.value) for one in setting.value}
        known = found.keys() <= {"from", "to", "then"}
        return (
            (found.get("from", ""), found.get("to", ""), found.get("then", "send")) if known else ("", "", "")
        )
    match = _WORDS.fullmatch(text_of(setting.value))
    return (match["from"], match["to"], (match["then"] or "send").casefold()) if match else ("", "", "")
