"""What several time words share: reading their settings with every fault, and saying times and lengths to people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from engine.language.match import Match
from engine.language.node import Entry, MappingNode, Node, ScalarNode
from engine.language.path import Path
from engine.language.plain import cut, one_line
from engine.language.problem import Problems
from engine.language.words import listing, nearest, normal_key, plural, read_duration
from engine.model import Event
from engine.timing.base import Reading

_SHOWN: Final = 60
_LENGTHS: Final = (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_CLOCK: Final = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?\s*(am|pm)?", re.IGNORECASE)
_BUSINESS: Final = re.compile(r"([1-9][0-9]{0,2}) (?:business|working) days?", re.IGNORECASE)


# reading


def written(node: Node) -> str:
    """What an author wrote, on one line; `…` for what takes several."""
    return cut(one_line(node.text), _SHOWN) if isinstance(node, ScalarNode) else "…"


def not_understood(entry: Entry, problems: Problems, right: str, why: str = "") -> None:
    """Note that a word cannot be read, with the line that would do."""
    told = f"; {why}" if why else ""
    message = f'"{entry.key.text}: {written(entry.value)}" is not understood{told}. Write `{right}`'
    problems.error(entry.value.mark, message, right)


def settings(entry: Entry, names: Sequence[str], problems: Problems, example: str) -> dict[str, Entry] | None:
    """The settings below a word by normal key; None, with a fault noted, where there are none."""
    if not isinstance(entry.value, MappingNode) or not entry.value.entries:
        message = f"`{entry.key.text}` needs its settings: {listing(names)}"
        problems.error(entry.value.mark, message, example)
        return None
    found: dict[str, Entry] = {}
    for one in entry.value:
        key = normal_key(one.key.text)
        if key in names:
            found[key] = one
        else:
            _unknown(one, names, entry, problems)
    return found


def _unknown(one: Entry, names: Sequence[str], entry: Entry, problems: Problems) -> None:
    near = next(iter(nearest(one.key.text, names)), None)
    mean = f" Did you mean `{near}`?" if near else f" It has {listing(names)}"
    message = f'`{entry.key.text}` has no setting called "{cut(one_line(one.key.text), _SHOWN)}".{mean}'
    problems.error(one.key.mark, message, f"{near}: {written(one.value)}" if near else "")


def text_of(node: Node) -> str:
    """A single value as text, trimmed; "" for anything else."""
    return " ".join(node.text.split()) if isinstance(node, ScalarNode) else ""


def length_of(entry: Entry, problems: Problems, example: str) -> timedelta | None:
    """A length of time that is more than none; None after noting a fault."""
    length = read_period(text_of(entry.value))
    if length:
        return length
    message = f'"{written(entry.value)}" is not a length of time'
    problems.error(entry.value.mark, message, f"{entry.key.text}: {example}")
    return None


def read_period(text: str) -> timedelta | None:
    """A length of time whose number may be left out: `6 hours`, `day`. None for none."""
    return read_duration(text) or read_duration(f"1 {text}") or None


def events_of(entry: Entry | None, word: str, reading: Reading, example: str) -> tuple[str, ...]:
    """The events that a setting names; empty after noting a fault."""
    if entry is None:
        return ()
    if isinstance(entry.value, ScalarNode) and not entry.value.text.strip():
        reading.problems.error(entry.key.mark, f"`{word}` names no event", example)
        return ()
    return reading.event_names(entry.value)


# times of day


def read_time(text: str) -> time | None:
    """A time of day: `08:00`, `8:00`, `8 am`. None for none."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None or not (match[2] or match[3]):
        return None
    hour, half = int(match[1]), (match[3] or "").casefold()
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    minute = int(match[2] or 0)
    return time(hour, minute) if hour < 24 and minute < 60 else None


def on_the_wall(day: date, clock: time, zone: tzinfo) -> datetime:
    """When the clock on the wall shows a time of a day, the first time where autumn repeats it.

    A time that spring skips is the next minute that exists.
    """
    moment = datetime.combine(day, clock)
    while moment != moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None):
        moment += timedelta(minutes=1)
    return moment.replace(tzinfo=zone).astimezone(UTC)


# lengths


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: exact, or in days on which the shop works."""

    text: str
    length: timedelta
    business_days: int = 0

    def after(self, start: datetime, zone: tzinfo, holidays: frozenset[date]) -> datetime:
        """When it is over, in UTC. What starts on a day of rest starts with the next day of work."""
        if not self.business_days:
            return start + self.length
        local = start.astimezone(zone)
        day, clock = local.date(), local.time().replace(fold=0)
        if not _works(day, holidays):
            day, clock = _next_day_of_work(day, holidays), time()
        for _ in range(self.business_days):
            day = _next_day_of_work(day, holidays)
        return on_the_wall(day, clock, zone)


def _works(day: date, holidays: frozenset[date]) -> bool:
    return day.weekday() < 5 and day not in holidays


def _next_day_of_work(day: date, holidays: frozenset[date]) -> date:
    day += timedelta(days=1)
    while not _works(day, holidays):
        day += timedelta(days=1)
    return day


def read_span(text: str) -> Span | None:
    """A length as authors write it: `48 hours`, `2 business days`. None for none."""
    match = _BUSINESS.fullmatch(text)
    if match:
        days = int(match[1])
        return Span(plural(days, "business day"), timedelta(days=days), days)
    length = read_period(text)
    return Span(text if text[0].isdigit() else in_words(length), length) if length else None


def in_words(length: timedelta) -> str:
    """A length for people: `6 hours`, `90 minutes`."""
    seconds = int(length.total_seconds())
    name, size = next(one for one in _LENGTHS if seconds % one[1] == 0)
    return plural(seconds // size, name)


# times for people


def at_time(moment: datetime, match: Match) -> str:
    """A moment on the rule's clock: the time of a day alone where it is today's."""
    local = match.local(moment)
    today = match.local(match.now).date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def listed(events: Iterable[str]) -> str:
    """Event types as a sentence has them."""
    return listing(list(events), "or")


def for_each(path: Path | None) -> str:
    """The end of a sentence about groups."""
    return f" for each {path.text}" if path is not None else ""


def happened_of(iso: str) -> datetime:
    """A moment out of memory."""
    return datetime.fromisoformat(iso)


def name_of(event: Event) -> str:
    """An event's object for people: `order ACS-9`."""
    kind, _, number = event.subject.partition(":")
    return f"{kind.replace('_', ' ')} {number}".strip()
