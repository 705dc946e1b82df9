"""Days and times as payloads and authors write them, read as exact moments."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt]|[ ]+)(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<part>[0-9]{1,18}))?)?"
    r"[ ]?(?P<offset>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_LONGEST: Final = 80


def read_moment(value: object, zone: tzinfo) -> datetime | None:
    """The moment that a text names, in UTC, or None where it names none.

    Reads ISO 8601 with an offset or `Z`; without one it is a time in `zone`; a day alone is its start there.
    """
    return _read_text(value, zone) if isinstance(value, str) and len(value) <= _LONGEST else None


@lru_cache(maxsize=4096)  # an event's few times are read by every rule that compares them
def _read_text(text: str, zone: tzinfo) -> datetime | None:
    text = text.strip()
    day = read_day(text)
    if day is not None:
        return _in_utc(datetime.combine(day, time(), zone))
    match = _TIME.fullmatch(text)
    return _moment(match, zone) if match else None


def read_day(value: object) -> date | None:
    """The day that a text such as `2026-12-24` names, None where it names none or also a time of day."""
    match = _DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:  # there is no such day
        return None


def names_its_zone(text: str) -> bool:
    """Whether a time says which zone it is in, by an offset or `Z`."""
    match = _TIME.fullmatch(text.strip())
    return match is not None and match["offset"] is not None


def local_day(moment: datetime, zone: tzinfo) -> date:
    """The day on the calendar of a zone at a moment."""
    try:
        return moment.astimezone(zone).date()
    except OverflowError:  # the first or last day of the calendar
        return moment.date()


def _moment(match: re.Match[str], zone: tzinfo) -> datetime | None:
    day = read_day(match["day"])
    if day is None:
        return None
    micros = int(((match["part"] or "0") + "000000")[:6])
    try:
        clock = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0), micros)
        return _in_utc(datetime.combine(day, clock, _offset(match["offset"], zone)))
    except ValueError:  # there is no such time of day, or no such offset
        return None


def _offset(text: str | None, zone: tzinfo) -> tzinfo:
    if text is None:
        return zone
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-distance if text[0] == "-" else distance)


def _in_utc(moment: datetime) -> datetime | None:
    """In UTC, since times of one zone compare by the clock on its wall, which autumn turns back."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar
        return None
