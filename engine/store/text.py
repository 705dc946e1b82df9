"""Texts and times as both databases can keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def clean(text: str) -> str:
    """The text with U+FFFD for what a database cannot keep: halves of surrogate pairs, and NUL."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """The time, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def maybe_micros(moment: datetime | None) -> int | None:
    """Microseconds since 1970, None for None."""
    return None if moment is None else micros(moment)


def maybe_moment(micros: int | None) -> datetime | None:
    """The time, None for None."""
    return None if micros is None else moment(micros)
