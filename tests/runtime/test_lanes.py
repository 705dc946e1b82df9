"""A connection takes so much at a time and no more, and breaks when it fails again and again."""

from __future__ import annotations

from datetime import timedelta

from engine.runtime.lanes import FAILURES, LANE, Lanes, paces_of
from engine.store.pacing import Pace


def test_a_lane_takes_so_many_at_a_time_and_the_others_keep_theirs() -> None:
    lanes = Lanes()
    for taken in range(1, LANE + 1):
        lanes.began("http/erp")
        assert lanes.room() == {"http/erp": LANE - taken}
    lanes.began("slack/buying")
    assert lanes.room() == {"http/erp": 0, "slack/buying": LANE - 1}


def test_what_ended_gives_its_place_free() -> None:
    lanes = Lanes()
    lanes.began("http/erp")
    lanes.began("http/erp")
    lanes.ended("http/erp")
    assert lanes.room() == {"http/erp": LANE - 1}
    lanes.ended("http/erp")
    assert lanes.room() == {}


def test_the_channels_of_a_connection_share_its_lane() -> None:
    lanes = Lanes()
    lanes.began("slack/default#refunds")
    lanes.began("slack/default#buying")
    lanes.ended("slack/default#refunds")
    assert lanes.room() == {"slack/default": LANE - 1}


def test_so_many_failures_in_a_row_are_one_too_many() -> None:
    lanes = Lanes()
    assert [lanes.failed("slack/default#a") for _ in range(FAILURES + 1)] == [False] * (FAILURES - 1) + [
        True,
        True,
    ]


def test_failures_with_an_answer_between_them_are_not_in_a_row() -> None:
    lanes = Lanes()
    for _ in range(3):
        assert not any(lanes.failed("http/erp") for _ in range(FAILURES - 1))
        lanes.answered("http/erp")


def test_a_connection_is_as_fast_as_its_settings_say_and_each_of_its_channels_by_itself() -> None:
    slack = {"default": {"token": "xoxb", "pace": {"count": 1, "per": 1}}, "fast": {"pace": None}}
    paces = paces_of({"slack": slack, "http": {"erp": {"pace": {"count": 600, "per": 60.0}}, "crm": {}}})
    assert paces("slack/default") == paces("slack/default#refunds") == Pace(1)
    assert paces("http/erp") == Pace(600, timedelta(minutes=1))
    assert [paces(name) for name in ("slack/fast", "http/crm", "http/hooks.example.com")] == [None] * 3
