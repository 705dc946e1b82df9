"""Failed deliveries come back at the right time, not all together, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions.base import DeliveryError
from engine.model import DeliveryState
from engine.runtime.retry import USUAL, Policy, decide, growing, later_tries

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
MIDDLE = 0.5
BUSY = DeliveryError("erp answered 503. It will be tried again", "temporary")


def wait(error: DeliveryError, attempt: int, policy: Policy | None = None, chance: float = MIDDLE) -> float:
    due = decide(error, attempt, policy or Policy(), NOW, chance).due_at
    assert due is not None
    return (due - NOW).total_seconds()


def test_eight_tries_come_after_longer_and_longer_waits() -> None:
    waits = [wait(BUSY, attempt) for attempt in range(1, 8)]
    assert waits == [5, 30, 300, 1800, 7200, 18000, 36000]
    assert decide(BUSY, 1, Policy(), NOW, MIDDLE).state is DeliveryState.QUEUED


def test_after_the_last_try_it_has_failed_and_says_how_often_it_was_tried() -> None:
    last = decide(BUSY, 8, Policy(), NOW, MIDDLE)
    assert (last.state, last.due_at) == (DeliveryState.FAILED, None)
    assert last.reason == "Tried 8 times without success: erp answered 503. It will be tried again"


@given(st.floats(0, 1), st.integers(1, 7))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_wait_varies_by_a_fifth_and_no_more(chance: float, attempt: int) -> None:
    usual = USUAL[attempt - 1]
    assert 0.8 * usual - 1e-6 <= wait(BUSY, attempt, chance=chance) <= 1.2 * usual + 1e-6


def test_what_failed_together_does_not_come_back_together() -> None:
    assert len({wait(BUSY, 4, chance=chance / 10) for chance in range(11)}) == 11


@pytest.mark.parametrize("kind", ["permanent", "setup"])
def test_what_will_not_work_is_not_tried_again(kind: str) -> None:
    refused = DeliveryError("erp answered 422", kind)  # type: ignore[arg-type]
    assert decide(refused, 1, Policy(), NOW, MIDDLE) == decide(refused, 5, Policy(), NOW, MIDDLE)
    assert decide(refused, 1, Policy(), NOW, MIDDLE).state is DeliveryState.FAILED


def test_when_unsure_it_is_sent_again_or_a_person_is_asked() -> None:
    unsure = DeliveryError("smtp.example.com broke off", "unsure")
    asked = decide(unsure, 1, Policy(on_unsure="ask"), NOW, MIDDLE)
    assert decide(unsure, 1, Policy(), NOW, MIDDLE).state is DeliveryState.QUEUED
    assert (asked.state, asked.due_at) == (DeliveryState.HELD, None)
    assert asked.reason == "Nobody knows whether it went out: smtp.example.com broke off"


@pytest.mark.parametrize(
    ("asked", "seconds"), [(2, 2), (None, 5), (-5, 5), (0, 5), (float("nan"), 5), (3600, 3600), (1e9, 3600)]
)
def test_a_wait_that_is_asked_for_is_kept_up_to_an_hour(asked: float | None, seconds: float) -> None:
    assert wait(DeliveryError("busy", "temporary", retry_after=asked), 1) == seconds


def test_a_wait_that_is_cut_is_told() -> None:
    told = decide(DeliveryError("busy", "temporary", retry_after=1e9), 1, Policy(), NOW, MIDDLE).reason
    assert told == "busy (it asks for a longer wait than one hour, which is the most)"


@pytest.mark.parametrize(
    ("setting", "tries", "over"),
    [
        (None, 8, sum(USUAL)),
        ({"times": 1}, 1, 0),
        ({"times": 3}, 3, 35),
        ({"times": 8, "over": 86400}, 8, 86400),
        ({"times": 2, "over": 60}, 2, 60),
        ({"times": 20}, 20, sum(USUAL)),
        ({"times": 50, "over": 604800}, 50, 604800),
        ({"times": 10, "over": 9}, 10, 9),
    ],
)
def test_a_rule_says_how_often_and_over_how_long(
    setting: dict[str, int] | None, tries: int, over: float
) -> None:
    policy = Policy.of(setting)
    assert policy.tries == tries
    assert sum(policy.waits) == pytest.approx(over)


def test_one_try_means_one_try() -> None:
    assert decide(BUSY, 1, Policy.of({"times": 1}), NOW, MIDDLE).reason.startswith(
        "Tried once without success"
    )


@given(st.integers(1, 49), st.integers(1, 604_800))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_waits_grow_and_together_last_as_long_as_was_said(gaps: int, over: int) -> None:
    waits = growing(gaps, over)
    assert len(waits) == gaps
    assert sum(waits) == pytest.approx(over)
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(waits))


def test_a_spread_of_a_day_begins_soon() -> None:
    waits = Policy.of({"times": 8, "over": 86400}).waits
    assert waits[0] == pytest.approx(5, rel=0.01)
    assert timedelta(seconds=waits[-1]) > timedelta(hours=10)


def test_the_times_of_the_later_tries_can_be_told() -> None:
    minute = timedelta(minutes=1)
    assert later_tries(Policy.of({"times": 4}), 1, NOW) == [NOW + minute / 2, NOW + 5.5 * minute]
    assert later_tries(Policy.of({"times": 4}), 3, NOW) == []
