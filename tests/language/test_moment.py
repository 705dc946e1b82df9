"""Times are read with their offset, else in the shop's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.moment import local_day, names_its_zone, read_day, read_moment

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2021-10-05T10:44:38.312-04:00", datetime(2021, 10, 5, 14, 44, 38, 312000, UTC)),
        ("2021-10-05T14:44:38Z", datetime(2021, 10, 5, 14, 44, 38, tzinfo=UTC)),
        ("2021-10-05 14:44:38 UTC", datetime(2021, 10, 5, 14, 44, 38, tzinfo=UTC)),
        ("2021-10-05 10:44:38 -0400", datetime(2021, 10, 5, 14, 44, 38, tzinfo=UTC)),
        ("2021-10-05T10:44:38+05", datetime(2021, 10, 5, 5, 44, 38, tzinfo=UTC)),
        ("2021-10-05T10:44:38", datetime(2021, 10, 5, 14, 44, 38, tzinfo=UTC)),
        ("2021-10-05 10:44", datetime(2021, 10, 5, 14, 44, tzinfo=UTC)),
        ("2021-10-05", datetime(2021, 10, 5, 4, 0, tzinfo=UTC)),
        (" 2021-01-05 ", datetime(2021, 1, 5, 5, 0, tzinfo=UTC)),
        ("2021-10-05T10:44:38.123456789Z", datetime(2021, 10, 5, 10, 44, 38, 123456, UTC)),
    ],
)
def test_a_time_is_read_by_its_offset_and_without_one_in_the_shops_zone(
    written: str, moment: datetime
) -> None:
    assert read_moment(written, NEW_YORK) == moment


@pytest.mark.parametrize(
    "written",
    [
        None, 0, 1633444478, True, "", "yesterday", "10:44", "2021-13-01", "2021-02-30", "2021-10-05T25:00:00Z",
        "2021-10-05T10:61Z", "2021-10-05T10:44:38+99:00", "20211005", "2021-W40-2", "05/10/2021", "2021-10-05T",
        "0001-01-01T00:00+10:00", "9999-12-31T23:59:59-10:00", "२०२१-10-05",
    ],
)  # fmt: skip
def test_what_names_no_moment_is_refused_and_never_fails(written: object) -> None:
    assert read_moment(written, ZoneInfo("Pacific/Kiritimati")) is None


def test_the_two_half_past_ones_of_autumn_are_an_hour_apart() -> None:
    first = read_moment("2021-11-07T01:30:00-04:00", NEW_YORK)
    second = read_moment("2021-11-07T01:30:00-05:00", NEW_YORK)
    assert first is not None
    assert second is not None
    assert (second - first).total_seconds() == 3600


def test_a_day_alone_is_told_from_a_time() -> None:
    assert read_day("2026-12-24") == date(2026, 12, 24)
    assert read_day("2026-12-24T00:00") is None
    assert read_day(20261224) is None


def test_whether_a_time_names_its_zone_can_be_told() -> None:
    assert names_its_zone("2021-10-05T10:44:38Z")
    assert names_its_zone("2021-10-05T10:44:38-04:00")
    assert not names_its_zone("2021-10-05T10:44:38")
    assert not names_its_zone("2021-10-05")


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_moment_written_in_any_zone_is_the_same_moment(moment: datetime) -> None:
    for zone in (UTC, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")):
        local = moment.astimezone(zone)
        if local.utcoffset() is not None and local.utcoffset().total_seconds() % 60 == 0:  # type: ignore[union-attr]
            assert read_moment(local.isoformat(), NEW_YORK) == moment


def test_a_moment_near_midnight_is_on_the_day_of_the_zone() -> None:
    moment = datetime(2026, 12, 24, 3, 30, tzinfo=UTC)
    assert local_day(moment, NEW_YORK) == date(2026, 12, 23)
    assert local_day(moment, UTC) == date(2026, 12, 24)
    assert local_day(datetime.max.replace(tzinfo=UTC), ZoneInfo("Asia/Tokyo")) == date.max
