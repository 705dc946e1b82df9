"""Times of the clock that come again and again: read from words or from cron, and when the next one is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from engine.language.words import normal_key
from engine.timing.parts import read_time

_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_OFTEN: Final = re.compile(r"(?:(\d{1,2}) )?(minute|hour)s?")
_MONTHLY: Final = re.compile(r"month on the (?:(\d{1,2})(?:st|nd|rd|th)?|(last) day)(?: at (.+))?")
_DAILY: Final = re.compile(r"(?P<days>.+?) at (?P<times>.+)")
_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A time that comes again, by the clock on the wall. `text` is it for people, `crons` are five fields each.

    Autumn's repeated hour counts once; a time that spring skips is the next minute that exists. Schedules of every
    hour or some minutes go by real time.
    """

    text: str
    crons: tuple[str, ...]

    def next(self, after: datetime, zone: tzinfo) -> datetime:
        """The first time after a moment, in UTC."""
        return min(_next(cron, after, zone) for cron in self.crons)


def _next(cron: str, after: datetime, zone: tzinfo) -> datetime:
    for moment in CronSim(cron, after.astimezone(zone)):
        if (
            found := moment.astimezone(UTC)
        ) > after:  # in the repeated hour it starts with the first of the two
            return found
    raise CronSimError("it never comes")


def read_cron(text: str) -> Schedule | None:
    """Five fields as crontab has them (0 and 7 are Sunday); None for what is none, or never comes."""
    fields = text.upper().split()
    if len(fields) != 5:
        return None
    if fields[0].startswith("*") and not fields[1].startswith("*"):
        fields[0] = fields[0].replace(
            "*", "0-59", 1
        )  # minutes of a certain hour: by the wall, once in autumn
    try:
        schedule = Schedule(f"cron {text}", (" ".join(fields),))
        schedule.next(_EPOCH, UTC)
    except (CronSimError, StopIteration, RuntimeError):
        return None
    return schedule


def read_schedule(words: str) -> Schedule | None:
    """What follows `every`: `day at 08:00`, `monday and thursday at 9:00`, `hour`, `month on the 1st at 09:00`."""
    text = normal_key(words).removeprefix("every ")
    crons = _often(text) or _monthly(text) or _daily(text)
    return Schedule(f"every {text}", crons) if crons else None


def _often(text: str) -> tuple[str, ...]:
    match = _OFTEN.fullmatch(text)
    if match is None:
        return ()
    number, whole = int(match[1] or 1), 60 if match[2] == "minute" else 24
    if not number or whole % number:
        return ()
    step = "*" if number == 1 else f"*/{number}"
    return (f"{step} * * * *",) if match[2] == "minute" else (f"0 {step} * * *",)


def _monthly(text: str) -> tuple[str, ...]:
    match = _MONTHLY.fullmatch(text)
    clock = read_time(match[3]) if match and match[3] else None
    if match is None or clock is None:
        return ()
    day = "L" if match[2] else match[1]
    return (f"{clock.minute} {clock.hour} {day} * *",) if day == "L" or 1 <= int(day) <= 31 else ()


def _daily(text: str) -> tuple[str, ...]:
    match = _DAILY.fullmatch(text)
    days = _weekdays(match["days"]) if match else None
    times = [read_time(one) for one in re.split(r",| and ", match["times"])] if match else []
    if days is None or None in times:
        return ()
    return tuple(f"{clock.minute} {clock.hour} * * {days}" for clock in times if clock is not None)


def _weekdays(text: str) -> str | None:
    """Days of the week as cron has them, None for none."""
    usual = {"day": "*", "weekday": "1-5", "working day": "1-5", "weekend": "0,6", "weekend day": "0,6"}
    if text in usual:
        return usual[text]
    numbers = [_weekday(one.strip()) for one in re.split(r",| and ", text) if one.strip()]
    return None if None in numbers or not numbers else ",".join(str(one) for one in numbers)


def _weekday(text: str) -> int | None:
    short = text.removesuffix("s") if len(text) > 4 else text
    return next((place for place, day in enumerate(_DAYS) if len(short) >= 3 and day.startswith(short)), None)
