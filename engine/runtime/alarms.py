"""Alarms: what is watched, when it has been too quiet for too long, and the words for it. Pure: facts are handed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from engine.language.fields import FieldValue
from engine.language.words import listing, plural

Span = tuple[datetime, datetime]
"""From a moment on, until before another."""

WEEKS = 4
"""Weeks back that are compared with; days, where the record is younger than a week."""

DAYS = 6


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of each day that count, by the shop's clock; over midnight where the end comes before the start."""

    start: time
    end: time

    def of(self, now: datetime, zone: tzinfo) -> Iterator[Span]:
        """These hours up to now, the newest first, without end."""
        day = now.astimezone(zone).date() + timedelta(days=1)
        while True:
            last = day if self.start < self.end else day + timedelta(days=1)
            start, end = datetime.combine(day, self.start, zone), datetime.combine(last, self.end, zone)
            if start < now:
                yield start.astimezone(UTC), min(end.astimezone(UTC), now)
            day -= timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M}"


@dataclass(frozen=True, slots=True)
class Notice:
    """How an alarm is told: an action's word, and its settings, whose texts are filled in with `alarm`."""

    word: str
    values: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Silence:
    """Expected events stay away: none of some types for a length of time, counted only within some hours."""

    types: tuple[str, ...]
    length: timedelta
    notices: tuple[Notice, ...]
    hours: Hours | None = None

    @property
    def name(self) -> str:
        """What people call it, which is also what tells it from others."""
        during = f" ({self.hours})" if self.hours else ""
        return f"no {listing(self.types, 'or')} for {in_words(self.length)}{during}"


@dataclass(frozen=True, slots=True)
class Failing:
    """A connection keeps failing: none of its deliveries has arrived for a length of time."""

    length: timedelta
    notices: tuple[Notice, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return f"a connection fails for {in_words(self.length)}"


Alarm = Silence | Failing


def quiet(
    length: timedelta, since: datetime, now: datetime, hours: Hours | None, zone: tzinfo
) -> list[Span] | None:
    """The newest times that count and together are so long, oldest first; None where less has passed since then."""
    found: list[Span] = []
    left = length
    for start, end in hours.of(now, zone) if hours else iter([(since, now)]):
        start = max(start, since, end - left)
        if start >= end:
            return None
        found.append((start, end))
        left -= end - start
        if left <= timedelta():
            return found[::-1]
    return None


def earlier(spans: Sequence[Span], first: datetime, zone: tzinfo) -> list[list[Span]]:
    """The same hours of past weeks that the record reaches back to, or of past days where that is less than a week."""
    weeks = [_days_before(spans, 7 * week, zone) for week in range(1, WEEKS + 1)]
    days = [_days_before(spans, day, zone) for day in range(1, DAYS + 1)]
    covered = [one for one in weeks if one[0][0] >= first]
    return covered or [one for one in days if one[0][0] >= first and one[-1][1] <= spans[0][0]]


def _days_before(spans: Sequence[Span], days: int, zone: tzinfo) -> list[Span]:
    """The same times by the clock on the wall, so many days before."""

    def back(moment: datetime) -> datetime:
        return (moment.astimezone(zone) - timedelta(days=days)).astimezone(UTC)

    return [(back(start), back(end)) for start, end in spans]


# words


def in_words(length: timedelta) -> str:
    """A length of time in its two largest units: `6 hours`, `1 day 2 hours`, `15 minutes`."""
    seconds = int(length.total_seconds())
    parts = []
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        many, seconds = divmod(seconds, size)
        if many:
            parts.append(plural(many, unit))
        elif parts:
            break
    return " ".join(parts[:2]) or "no time"


def too_quiet(alarm: Silence, usual: float | None, last: datetime | None, zone: tzinfo) -> tuple[str, str]:
    """The title and the text of a notice that events stay away; `usual` is how many come in that time."""
    what = f"No {listing(alarm.types, 'or')} for {in_words(alarm.length)}"
    expected = "" if usual is None else f", usually {_about(usual)}"
    before = (
        f"The last one came on {_when(last, zone)}." if last else "None has come since the service started."
    )
    within = f" Only the time from {alarm.hours} counts." if alarm.hours else ""
    return what, f"{what}{expected}. {before}{within} Look whether the order system still sends."


def not_quiet_any_more(alarm: Silence, since: datetime, last: datetime, zone: tzinfo) -> tuple[str, str]:
    """The title and the text of the notice that events come again."""
    what = f"{listing(alarm.types, 'or')} comes again"
    return (
        what,
        f"{what}, the newest on {_when(last, zone)}. Until then there was none after {_when(since, zone)}.",
    )


def does_not_work(
    connection: str, since: datetime, now: datetime, reason: str, zone: tzinfo
) -> tuple[str, str]:
    """The title and the text of a notice that a connection keeps failing."""
    what = f"{connection} has not worked for {in_words(now - since)}"
    waits = "What is due for it is kept and tried again; nothing is lost."
    return f"{connection} does not work", f"{what}, since {_when(since, zone)}: {reason}. {waits}"


def works_again(connection: str, since: datetime, now: datetime, zone: tzinfo) -> tuple[str, str]:
    """The title and the text of the notice that a connection works again."""
    what = f"{connection} works again"
    return what, f"{what}, after {in_words(now - since)}. It had failed since {_when(since, zone)}."


def _about(usual: float) -> str:
    number = round(usual) if usual < 20 else round(usual / 5) * 5
    return f"about {number:,}" if number else "none or one"


def _when(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%A, %d %B at %H:%M}"
