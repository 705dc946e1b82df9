"""A connection takes so much and no more, rests when it fails again and again, and is found to work again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from engine.actions.base import DeliveryError
from engine.runtime.lanes import FAILURES, LANE, LONGEST_REST, REST, Lanes

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
DOWN = DeliveryError("erp.example.com: connection refused", "temporary")
REFUSED = DeliveryError("erp answered 422", "permanent", status="422")


def busy(seconds: float | None, status: str = "429") -> DeliveryError:
    return DeliveryError("slack answered 429", "temporary", status=status, retry_after=seconds)


def broken(lanes: Lanes, now: datetime = NOW) -> Lanes:
    for _ in range(FAILURES):
        lanes.began("http/erp")
        lanes.failed("http/erp", DOWN, now)
    return lanes


def test_a_lane_takes_so_many_at_a_time() -> None:
    lanes = Lanes()
    for taken in range(LANE):
        assert lanes.full(NOW) == frozenset()
        assert lanes.room(NOW) == LANE - taken
        lanes.began("http/erp")
    assert lanes.full(NOW) == {"http/erp"}
    lanes.worked("http/erp")
    assert (lanes.full(NOW), lanes.room(NOW)) == (frozenset(), 1)


def test_what_was_dropped_gives_its_place_free() -> None:
    lanes = Lanes()
    for _ in range(LANE):
        lanes.began("http/erp")
    lanes.dropped("http/erp")
    assert lanes.room(NOW) == 1


def test_a_full_lane_leaves_the_others_their_room() -> None:
    lanes = Lanes()
    for _ in range(LANE):
        lanes.began("http/erp")
    lanes.began("slack/buying")
    assert (lanes.full(NOW), lanes.room(NOW)) == ({"http/erp"}, LANE - 1)


def test_after_some_failures_in_a_row_a_connection_rests_and_then_is_tried_with_one_at_a_time() -> None:
    lanes = broken(Lanes())
    assert lanes.full(NOW + REST - timedelta(seconds=1)) == {"http/erp"}
    assert (lanes.full(NOW + REST), lanes.room(NOW + REST)) == (frozenset(), 1)
    lanes.began("http/erp")
    assert lanes.full(NOW + REST) == {"http/erp"}


def test_a_try_that_fails_makes_it_rest_again() -> None:
    lanes = broken(Lanes())
    lanes.began("http/erp")
    lanes.failed("http/erp", DOWN, NOW + REST)
    assert lanes.full(NOW + 2 * REST - timedelta(seconds=1)) == {"http/erp"}
    assert lanes.full(NOW + 2 * REST) == frozenset()


@pytest.mark.parametrize("refused", [False, True])
def test_one_answer_shows_that_it_works_again(refused: bool) -> None:
    lanes = broken(Lanes())
    lanes.began("http/erp")
    if refused:
        lanes.failed("http/erp", REFUSED, NOW)
    else:
        lanes.worked("http/erp")
    assert not lanes.broken("http/erp")
    assert (lanes.full(NOW), lanes.room(NOW)) == (frozenset(), LANE)


def test_failures_with_an_answer_between_them_are_not_in_a_row() -> None:
    lanes = Lanes()
    for number in range(FAILURES * 3):
        lanes.began("http/erp")
        lanes.failed("http/erp", REFUSED if number % FAILURES == 0 else DOWN, NOW)
    assert lanes.full(NOW) == frozenset()


def test_breaking_and_working_again_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        lanes = broken(broken(Lanes()))
        lanes.began("http/erp")
        lanes.worked("http/erp")
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("http/erp failed 5 times in a row")
    assert told[0].endswith("erp.example.com: connection refused")
    assert told[1] == "http/erp works again"


def test_a_connection_that_asks_for_a_pause_gets_it_for_all_that_is_due() -> None:
    lanes = Lanes()
    lanes.began("slack/buying")
    lanes.failed("slack/buying", busy(30), NOW)
    assert lanes.full(NOW + timedelta(seconds=29)) == {"slack/buying"}
    assert lanes.full(NOW + timedelta(seconds=30)) == frozenset()


def test_what_was_under_way_when_a_pause_was_asked_for_does_not_end_it() -> None:
    lanes = Lanes()
    for _ in range(3):
        lanes.began("slack/buying")
    lanes.failed("slack/buying", busy(30), NOW)
    lanes.failed("slack/buying", busy(None), NOW)
    lanes.worked("slack/buying")
    assert lanes.full(NOW + timedelta(seconds=29)) == {"slack/buying"}


def test_a_pause_is_never_longer_than_an_hour() -> None:
    lanes = Lanes()
    lanes.began("slack/buying")
    lanes.failed("slack/buying", busy(1e9), NOW)
    assert lanes.full(NOW + LONGEST_REST) == frozenset()


def test_a_conflict_over_one_call_makes_no_pause_for_the_others() -> None:
    lanes = Lanes()
    lanes.began("http/erp")
    lanes.failed("http/erp", busy(30, "409"), NOW)
    assert lanes.full(NOW) == frozenset()
