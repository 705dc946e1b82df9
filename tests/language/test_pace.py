"""How fast something may go is read as people write it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.language.document import read_document
from engine.language.fields import Fixed
from engine.language.pace import Rate, read_rate
from engine.language.problem import Problems

PACE = Rate("pace", "How fast.", example="10 per second")


def read(text: str) -> tuple[object, list[str]]:
    problems = Problems("shopbell.yaml")
    document = read_document(f"pace: {text}", problems)
    assert document is not None
    value = PACE.read(next(iter(document)).value, problems)
    return value.value if isinstance(value, Fixed) else None, [one.message for one in problems.sorted()]


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("10 per second", 10, 1),
        ("60 per minute", 60, 60),
        ("200 Per Hour", 200, 3600),
        ("5 an hour", 5, 3600),
        ("1/second", 1, 1),
        ("3 per 10 seconds", 3, 10),
        ("1000 every day", 1000, 86400),
    ],
)
def test_a_number_and_a_time(text: str, count: int, seconds: int) -> None:
    assert read_rate(text) == (count, timedelta(seconds=seconds))
    assert read(text) == ({"count": count, "per": float(seconds)}, [])


@pytest.mark.parametrize("text", ["no", "off"])
def test_no_means_as_fast_as_it_can(text: str) -> None:
    assert read(text) == (None, [])


@pytest.mark.parametrize(
    "text", ["fast", "10", "0 per second", "10 per week", "-1 per hour", "1.5 per second"]
)
def test_anything_else_is_told_with_a_line_that_would_do(text: str) -> None:
    value, told = read(text)
    assert value is None
    assert told == [f'pace takes a number and a time, such as `10 per second`, or `no`, not "{text}"']
