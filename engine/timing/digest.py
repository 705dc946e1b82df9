"""`digest: {every: day at 08:00}`: collect matches, and act once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, ClassVar, Self

from engine.language.match import Match
from engine.language.node import Entry, MappingNode
from engine.language.path import Path
from engine.language.problem import Mark
from engine.language.words import normal_key, plural, read_duration
from engine.model import Arm, Ask, Effect, Gather, Gathered, Leave
from engine.timing.base import Decision, Reading, Timing
from engine.timing.over import read_when_empty
from engine.timing.parts import at_time, events_of, for_each, in_words, not_understood, settings, text_of
from engine.timing.schedule import Schedule, read_schedule

_NAMES = ("every", "at", "wait", "forget when", "when empty", "for each")


@dataclass(frozen=True, slots=True)
class Digest(Timing):
    """Collects the matches and acts once for all of them: `every` day at 08:00, or once `wait` is over since the first
    one. Messages get `events`, `count`, `first` and `last`. What was told leaves; so does an object for which a `forget
    when` event comes. `for each` makes one message for each value of a field. With `when empty: send anyway` a message
    goes out though there is nothing to tell. After a time away there is one message, not one for each time missed."""

    place: ClassVar[int] = 80
    collects: ClassVar[bool] = True
    example: ClassVar[str] = "digest: {every: day at 08:00}"
    mark: Mark
    schedule: Schedule | None
    wait: timedelta
    forget: tuple[str, ...] = ()
    when_empty: bool = False
    key: Path | None = None
    key_mark: Mark | None = None
    objects: frozenset[str] = frozenset()

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`{every|at|wait, forget when, when empty, for each}`, or a length or time alone."""
        objects = frozenset(reading.event_types[event] for event in reading.events)
        if not isinstance(setting.value, MappingNode):
            return cls._short(setting, reading, objects)
        found = settings(setting, _NAMES, reading.problems, cls.example)
        if found is None:
            return None
        when = _when(setting, found, reading)
        example = "forget when: stock_item_back_in_stock"
        forget = events_of(found.get("forget when"), "forget when", reading, example)
        empty = read_when_empty(found.get("when empty"), reading)
        key = reading.path(found["for each"].value) if "for each" in found else None
        if empty and (key is not None or (when is not None and when[0] is None)):
            message = "what is collected for each value, or waits for a first one, cannot be sent when empty"
            reading.problems.error(found["when empty"].key.mark, message, "when empty: send nothing")
        if when is None or ("for each" in found and key is None):
            return None
        mark = found["for each"].value.mark if key is not None else None
        return cls(setting.key.mark, *when, forget, empty, key, mark, objects)

    @classmethod
    def _short(cls, setting: Entry, reading: Reading, objects: frozenset[str]) -> Self | None:
        when = _read_when(text_of(setting.value))
        if when is None:
            not_understood(setting, reading.problems, cls.example)
            return None
        return cls(setting.key.mark, *when, objects=objects)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A text or a block."""
        return {
            "type": ["string", "object"],
            "examples": ["30 seconds"],
            "properties": {
                "every": {"type": "string", "examples": ["day at 08:00"]},
                "at": {"type": "string", "examples": ["08:00"]},
                "wait": {"type": "string", "examples": ["30 seconds"]},
                "forget when": {"type": ["string", "array"]},
                "when empty": {"enum": ["send nothing", "send anyway"]},
                "for each": {"type": "string"},
            },
        }

    @property
    def text(self) -> str:
        """It in one line."""
        when = self.schedule.text if self.schedule else f"of {in_words(self.wait)}"
        return f"digest {when}{for_each(self.key)}"

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """What it collects for each."""
        return ((self.key, self.key_mark),) if self.key and self.key_mark else ()

    @property
    def watches(self) -> frozenset[str]:
        """What makes it forget."""
        return frozenset(self.forget)

    def watch(self, match: Match) -> tuple[Effect, ...]:
        """Forget the object."""
        names = (name for kind in sorted(self.objects) for name in match.names.get(kind, ()))
        return tuple(Leave(match.rule, about=name) for name in dict.fromkeys((match.event.subject, *names)))

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """What was collected, once it is time to tell."""
        return (Gathered(match.rule, match.due.key),) if match.due is not None and match.is_due else ()

    def decide(self, match: Match) -> Decision:
        """Collect; once it is due, tell."""
        if match.due is not None and match.is_due:
            return self._tell(match, match.due.key)
        key = match.key(self.key)
        until = self._next(match.now, match.timezone)
        armed = match.arm(key, until, f"{self.text}{f': {key}' if key else ''}")
        because = f"it is collected, and told with the others at {at_time(until, match)}"
        return Decision("hold", because, (Gather(match.rule, key), armed), until=until)

    def _tell(self, match: Match, key: str) -> Decision:
        events = match.answers[Gathered(match.rule, key)]
        again = self.standing(match.rule, match.timezone, match.now)
        further = (again,) if again is not None else ()
        if not events and not self.when_empty:
            return Decision("drop", "nothing is left to tell", regardless=further)
        leaving = Leave(match.rule, key=key, events=tuple(one.id for one in events))
        told = f"{plural(len(events), 'event')} collected"
        return Decision("send", told, regardless=further, told=(leaving,), events=tuple(events))

    def _next(self, now: datetime, zone: tzinfo) -> datetime:
        return self.schedule.next(now, zone) if self.schedule else now + self.wait

    def standing(self, rule: str, timezone: tzinfo, now: datetime) -> Arm | None:
        """The next time, where something is sent also for nothing."""
        if not self.when_empty or self.schedule is None:
            return None
        return Arm(rule, self.word(), "", self._next(now, timezone), self.text, fresh=True)


def _when(
    setting: Entry, found: Mapping[str, Entry], reading: Reading
) -> tuple[Schedule | None, timedelta] | None:
    """When it tells; None after noting a fault."""
    written = {name: text_of(found[name].value) for name in ("every", "at", "wait") if name in found}
    if "wait" in written and len(written) > 1:
        message = "a digest waits for some time or goes by the clock, not both: write `every` or `wait`"
        reading.problems.error(found["wait"].key.mark, message, Digest.example)
        return None
    at = f" at {written['at']}" if "at" in written else ""
    text = written.get("wait") or f"{written.get('every', 'day' if at else '')}{at}"
    when = _read_when(text)
    if when is None or ("wait" in written) is not (when[0] is None):
        one = next((found[name] for name in ("every", "at", "wait") if name in found), setting)
        right = "wait: 30 seconds" if "wait" in written else "every: day at 08:00"
        if one is setting:
            reading.problems.error(setting.key.mark, "`digest` does not say when it is sent", Digest.example)
        else:
            not_understood(one, reading.problems, right)
        return None
    return when


def _read_when(text: str) -> tuple[Schedule | None, timedelta] | None:
    """A length to wait, or a time of the clock."""
    length = read_duration(text)
    if length:
        return None, length
    schedule = read_schedule(normal_key(text))
    return (schedule, timedelta()) if schedule else None
