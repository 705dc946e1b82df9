"""`when: every weekday at 08:00`: a rule that the clock starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Any, ClassVar, Final, Self

from engine.language.match import Match
from engine.language.node import Entry, MappingNode
from engine.language.problem import Mark
from engine.language.words import normal_key
from engine.model import Arm, Ask, Remember
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import at_time, happened_of, in_words, not_understood, text_of
from engine.timing.schedule import Schedule, read_cron, read_schedule

GRACE: Final = timedelta(days=1)
"""So long after its time a missed clock still starts its rule, once."""


@dataclass(frozen=True, slots=True)
class Clock(Timing):
    """Starts the rule at times of the clock, in the rule's zone. A time that was missed while the service was away is
    made up for once, up to a day later; in the hour that autumn repeats it starts once."""

    place: ClassVar[int] = 10
    example: ClassVar[str] = "when: every weekday at 08:00"
    mark: Mark
    schedule: Schedule

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`every …` as a text, or `{cron: …}`, `{every: day, at: 08:00}`."""
        schedule = _schedule(setting)
        if schedule is None:
            not_understood(setting, reading.problems, _right(setting))
            return None
        return cls(setting.key.mark, schedule)

    @property
    def text(self) -> str:
        """It in one line."""
        return f"when {self.schedule.text}"

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """The time that it last started for."""
        return (match.cell(),)

    def decide(self, match: Match) -> Decision:
        """Start once for each time, unless that is too long ago."""
        at = match.due.at if match.due is not None else match.now
        last = match.answers.get(match.cell())
        again = (self.standing(match.rule, match.timezone, max(at, match.now)),)
        if last is not None and at <= happened_of(last):
            return Decision("drop", "it was started for this time already", regardless=again)
        if match.now - at > GRACE:
            because = f"its time was {at_time(at, match)}, more than {in_words(GRACE)} ago"
            return Decision("drop", because, regardless=again)
        done = Remember(match.cell(), at.isoformat())
        return Decision("send", f"it is {at_time(at, match)}", regardless=(*again, done))

    def standing(self, rule: str, timezone: tzinfo, now: Any) -> Arm:
        """The next time."""
        due_at = self.schedule.next(now, timezone)
        return Arm(rule, self.word(), "", due_at, f"{self.schedule.text} ({timezone})", fresh=True)


def _schedule(setting: Entry) -> Schedule | None:
    if not isinstance(setting.value, MappingNode):
        return read_schedule(text_of(setting.value))
    found = {normal_key(one.key.text): text_of(one.value) for one in setting.value}
    if "cron" in found:
        return read_cron(found["cron"]) if len(found) == 1 else None
    at = f" at {found['at']}" if "at" in found else ""
    return read_schedule(f"{found.get('every', 'day')}{at}")


def _right(setting: Entry) -> str:
    """A line that would do, near to what was written."""
    if isinstance(setting.value, MappingNode):
        return 'when: {cron: "0 8 * * 1-5"}'
    words = normal_key(text_of(setting.value)).removeprefix("every ").partition(" at ")[0]
    return (
        f"when: every {words} at 08:00"
        if read_schedule(f"{words} at 08:00")
        else "when: every weekday at 08:00"
    )
