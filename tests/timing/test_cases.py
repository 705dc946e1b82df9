"""What happens at shops over time, case by case; the clock is moved and never slept on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine import actions, sources
from engine.language.change import replaced
from engine.language.path import parse_path
from engine.language.scope import Shop
from engine.model import Event, Outcome, RulePlan
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.timeline import Moment, Timeline
from engine.rulebook.vocabulary import Language
from engine.timing.schedule import read_cron, read_schedule

NEW_YORK = ZoneInfo("America/New_York")
CHORD = sources.found()["chord"]
STOCK = "when: stock_item_back_in_stock\n"
THEN = "then:\n  - slack: {channel: x, text: '{{ count or 1 }}'}\n"
ONE = "then:\n  - slack: {channel: x, text: hello}\n"
Happen = Callable[..., Event]


def book(text: str, zone: str = "UTC") -> Rulebook:
    """The rulebook of one rule."""
    shop = Shop(timezone=ZoneInfo(zone))
    found = Loader(Language(sources.found(), actions.found(), shop)).load({"r.yaml": text})
    assert not [one for one in found.problems if one.severity == "error"], found.problems
    return found


def event(number: int, kind: str, at: datetime, changes: Mapping[str, Any] | None = None) -> Event:
    """A sample that comes at a time, with some fields changed."""
    payload: Any = CHORD.event_types[kind].sample
    for path, value in (changes or {}).items():
        payload = replaced(payload, parse_path(path).steps or (), lambda _, value=value: value)
    about = "stock_item" if kind.startswith("stock") else kind.partition("_")[0]
    name = payload[about].get("number") or payload[about]["id"]
    return Event(str(number), "chord", kind, f"{about}:{name}", payload, at, "0123456789abcdef")


def sent(moments: list[Moment]) -> list[datetime]:
    """When messages went out."""
    return [
        one.at
        for one in moments
        for rule in one.plan.rules
        for action in rule.actions
        if not action.suppressed
    ]


def outcome(moment: Moment) -> Outcome:
    """What the only rule said."""
    return moment.plan.rules[0].outcome if moment.plan.rules else Outcome.DOES_NOT_FIRE


def restarted(timeline: Timeline, of: Rulebook) -> Timeline:
    """The same after the service was stopped and started."""
    return Timeline.of_json(of, timeline.to_json())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# schedules


def test_sch_01_a_daily_time_in_the_repeated_hour_comes_once() -> None:
    rules = book("when: every day at 01:30\n" + ONE, "America/New_York")
    timeline = Timeline(rules)
    timeline.start(datetime(2024, 11, 3, 0, 0, tzinfo=NEW_YORK))
    moments = list(timeline.pass_to(datetime(2024, 11, 4, 4, 0, tzinfo=NEW_YORK)))
    assert sent(moments) == [utc("2024-11-03T05:30"), utc("2024-11-04T06:30")]


def test_sch_03_midnight_comes_each_day_around_the_change() -> None:
    zone = ZoneInfo("America/Los_Angeles")
    timeline = Timeline(book("when: every day at 00:00\n" + ONE, "America/Los_Angeles"))
    timeline.start(datetime(2022, 3, 11, 12, 0, tzinfo=zone))
    moments = list(timeline.pass_to(datetime(2022, 3, 15, 12, 0, tzinfo=zone)))
    assert [one.astimezone(zone).day for one in sent(moments)] == [12, 13, 14, 15]


@pytest.mark.parametrize(
    ("cron", "days"),
    [("0 9 * * 0", "Sun"), ("0 9 * * 7", "Sun"), ("0 9 * * 1-5", "Mon Tue Wed Thu Fri"), ("0 9 * * sun", "Sun"),
     ("0 9 * * */2", "Sun Tue Thu Sat")],
)  # fmt: skip
def test_sch_05_weekdays_are_counted_as_crontab_does(cron: str, days: str) -> None:
    schedule = read_cron(cron)
    assert schedule is not None
    found, at = set(), utc("2024-01-01T00:00")
    while (at := schedule.next(at, UTC)) < utc("2024-01-15T00:00"):
        found.add(f"{at:%a}")
    assert found == set(days.split())


def test_sch_07_after_three_days_away_there_is_one_digest() -> None:
    rules = book("when: stock_item_out_of_stock\ndigest: {every: hour}\n" + THEN)
    timeline = Timeline(rules)
    start = utc("2024-05-01T10:10")
    for number in range(3):
        timeline.happen(event(number, "stock_item_out_of_stock", start, {"stock_item.id": number}))
    back = start + timedelta(days=3)
    later = restarted(timeline, rules)
    moments = [later.fire(one, back) for one in later.due(back)]
    moments += later.pass_to(back + timedelta(hours=5))
    assert sent(moments) == [back]
    assert moments[0].plan.rules[0].actions[0].request["text"] == "3"


def test_a_clock_missed_for_three_days_starts_once_or_within_its_grace_not_at_all() -> None:
    rules = book("when: every hour\n" + ONE)
    timeline = Timeline(rules)
    timeline.start(utc("2024-05-01T10:10"))
    back = utc("2024-05-04T10:10")
    moments = [timeline.fire(one, back) for one in timeline.due(back)]
    assert not sent(moments)
    assert [one.arm.due_at for one in timeline.state.timers.values()] == [utc("2024-05-04T11:00")]


# quiet hours


@pytest.mark.parametrize(
    ("text", "clock", "quiet"),
    [
        *(("21:00 to 07:00", at, at not in ("20:59", "07:00", "12:00"))
          for at in ("20:59", "21:00", "23:59", "00:00", "03:00", "06:59", "07:00", "12:00")),
        ("20:00 to 07:00", "19:59:59.999", False), ("20:00 to 07:00", "20:00:00.000", True),
        ("20:00 to 07:00", "06:59:59.999", True), ("20:00 to 07:00", "07:00:00.000", False),
    ],
)  # fmt: skip
def test_sch_09_and_11_quiet_hours_cross_midnight_start_in_and_end_out(
    text: str, clock: str, quiet: bool
) -> None:
    timeline = Timeline(book(f"when: order_completed\nquiet hours: {text}, then send\n" + ONE))
    moment = timeline.happen(event(1, "order_completed", utc(f"2024-05-02T{clock}")))
    assert (outcome(moment) is Outcome.HELD) is quiet
    assert bool(sent([moment])) is not quiet


def test_sch_13_what_was_held_leaves_by_the_clock_once_also_after_a_restart() -> None:
    rules = book("when: order_completed\nquiet hours: 21:00 to 07:00, then send\n" + ONE)
    timeline = Timeline(rules)
    timeline.happen(event(1, "order_completed", utc("2024-05-01T23:00")))
    assert not list(timeline.pass_to(utc("2024-05-02T03:00")))
    moments = list(restarted(timeline, rules).pass_to(utc("2024-05-03T12:00")))
    assert sent(moments) == [utc("2024-05-02T07:00")]


@pytest.mark.parametrize("day", ["2024-03-10", "2024-11-03"])
def test_sch_15_a_quiet_night_ends_by_the_clock_on_the_wall(day: str) -> None:
    rules = book("when: order_completed\nquiet hours: 22:00 to 07:00, then send\n" + ONE, "America/New_York")
    end = datetime.fromisoformat(f"{day}T07:00").replace(tzinfo=NEW_YORK).astimezone(UTC)
    timeline = Timeline(rules)
    timeline.happen(event(1, "order_completed", end - timedelta(hours=7)))
    assert sent(list(timeline.pass_to(end + timedelta(days=1)))) == [end]


def test_sch_15_a_limit_counts_real_time() -> None:
    timeline = Timeline(book("when: order_completed\nlimit: 1 per 2 hours\n" + ONE, "America/New_York"))
    times = [utc(f"2024-11-03T{at}") for at in ("04:30", "05:30", "06:30", "07:31")]
    moments = [timeline.happen(event(number, "order_completed", at)) for number, at in enumerate(times)]
    assert sent(moments) == [times[0], times[2]]


# fewer messages


def test_thr_01_a_restart_forgets_nothing_of_what_was_sent() -> None:
    rules = book(STOCK + "limit: 1 per hour for each stock_item.variant.sku\n" + ONE)
    timeline = Timeline(rules)
    first = timeline.happen(event(1, "stock_item_back_in_stock", utc("2024-05-01T10:00")))
    later = restarted(timeline, rules)
    second = later.happen(event(2, "stock_item_back_in_stock", utc("2024-05-01T10:10")))
    third = later.happen(event(3, "stock_item_back_in_stock", utc("2024-05-01T11:01")))
    assert [outcome(one) for one in (first, second, third)] == [Outcome.FIRES, Outcome.HELD, Outcome.FIRES]
    assert second.plan.rules[0].actions[0].suppressed


def test_thr_03_a_burst_in_two_parts_is_one_message() -> None:
    timeline = Timeline(book("when: order_completed\ndigest: {wait: 30 seconds}\n" + THEN))
    start = utc("2024-05-01T10:00")
    for number in range(10):
        at = start + timedelta(seconds=0 if number < 6 else 20)
        timeline.happen(event(number, "order_completed", at, {"order.number": f"R{number}"}))
    moments = list(timeline.pass_to(start + timedelta(hours=1)))
    assert sent(moments) == [start + timedelta(seconds=30)]
    assert moments[0].plan.rules[0].actions[0].request["text"] == "10"


def test_thr_05_a_digest_tells_both_changes_and_none_twice() -> None:
    rule = "when: shipment_delivery_status_updated\ndigest: {wait: 5 minutes, for each: shipment.number}\n"
    timeline = Timeline(book(rule + THEN))
    start = utc("2024-05-01T10:00")
    for minute, status in ((1, "failure"), (3, "in_transit"), (8, "delivered")):
        at = start + timedelta(minutes=minute)
        list(timeline.pass_to(at))
        change = {"shipment.delivery_status": status}
        timeline.happen(event(minute, "shipment_delivery_status_updated", at, change))
        if minute == 3:
            told = list(timeline.pass_to(start + timedelta(minutes=7)))
    later = list(timeline.pass_to(start + timedelta(hours=1)))
    assert [one.plan.rules[0].actions[0].request["text"] for one in (*told, *later)] == ["2", "1"]


def test_thr_07_a_rule_in_progress_swallows_nothing() -> None:
    timeline = Timeline(book("when: order_completed\nwait: 60 seconds\n" + ONE))
    start = utc("2024-05-01T10:00")
    for number in range(2):
        at = start + timedelta(seconds=10 * number)
        timeline.happen(event(number, "order_completed", at, {"order.number": f"R{number}"}))
    assert len(sent(list(timeline.pass_to(start + timedelta(hours=1))))) == 2


def test_thr_09_the_message_after_the_window_says_how_many_were_held_back() -> None:
    timeline = Timeline(book("when: order_completed\nlimit: 1 per 10 minutes\n" + ONE), explain=True)
    start = utc("2024-05-01T10:00")
    moments = [
        timeline.happen(event(number, "order_completed", start + timedelta(seconds=12 * number)))
        for number in range(25)
    ]
    assert len(sent(moments)) == 1
    after = timeline.happen(event(99, "order_completed", start + timedelta(minutes=10)))
    assert "24 were held back since 10:00" in after.plan.rules[0].reasons[-1].because
    held: RulePlan = moments[-1].plan.rules[0]
    assert "the last went out at 10:00; next possible 10:10" in held.reasons[-1].because


def test_thr_11_variants_of_one_product_make_one_mail_with_a_line_each() -> None:
    timeline = Timeline(book("when: stock_item_out_of_stock\ndigest: 1 minute\n" + THEN))
    start = utc("2024-05-01T10:00")
    for number in range(10):
        at = start + timedelta(milliseconds=200 * number)
        timeline.happen(event(number, "stock_item_out_of_stock", at, {"stock_item.id": number}))
    moments = list(timeline.pass_to(start + timedelta(hours=1)))
    assert [one.plan.rules[0].actions[0].request["text"] for one in moments] == ["10"]


def test_rst_01_forty_returns_of_one_article_are_one_alert() -> None:
    timeline = Timeline(book(STOCK + "limit: 1 per 6 hours for each stock_item.variant.sku\n" + ONE))
    start = utc("2024-05-01T10:00")
    moments = [
        timeline.happen(event(number, "stock_item_back_in_stock", start + timedelta(minutes=2 * number)))
        for number in range(40)
    ]
    assert len(sent(moments)) == 1
    assert sum(outcome(one) is Outcome.HELD for one in moments) == 39


# absence


LATE = (
    "when: order_completed\nunless followed by: {event: shipment_shipped, within: 48 hours, same: order}\n"
    + ONE
)


def test_an_order_that_does_not_ship_is_told_of_and_one_that_ships_is_not() -> None:
    start = utc("2021-10-05T15:00")
    for shipped in (False, True):
        timeline = Timeline(book(LATE))
        timeline.happen(event(1, "order_completed", start))
        if shipped:
            timeline.happen(event(2, "shipment_shipped", start + timedelta(hours=20)))
        moments = list(timeline.pass_to(start + timedelta(days=3)))
        assert sent(moments) == ([] if shipped else [start + timedelta(hours=48)])


def test_what_came_before_its_trigger_but_happened_after_it_counts() -> None:
    timeline = Timeline(book(LATE))
    timeline.happen(event(1, "shipment_shipped", utc("2021-10-06T14:00")))
    late = timeline.happen(event(2, "order_completed", utc("2021-10-06T15:00")))
    assert outcome(late) is Outcome.DOES_NOT_FIRE
    assert not timeline.waits


# the clock of the machine


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Sydney", "Asia/Tokyo", "Asia/Kolkata"])
@pytest.mark.parametrize("clock", ["02:30", "08:00", "00:00"])
def test_a_daily_time_comes_once_on_every_local_day_of_a_leap_year(zone: str, clock: str) -> None:
    schedule = read_schedule(f"day at {clock}")
    assert schedule is not None
    local, at = ZoneInfo(zone), datetime(2023, 12, 31, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    days = []
    while (at := schedule.next(at, local)) < datetime(2025, 1, 1, tzinfo=local):
        days.append(at.astimezone(local).date())
    assert len(days) == len(set(days)) == 366


@pytest.mark.parametrize("jump", [timedelta(minutes=10), timedelta(days=1), timedelta(days=-1)])
def test_a_jump_of_the_clock_loses_and_doubles_nothing(jump: timedelta) -> None:
    timeline = Timeline(book("when: order_completed\nwait: 2 hours\n" + ONE))
    start = utc("2024-05-01T10:00")
    timeline.happen(event(1, "order_completed", start))
    moments = []
    for now in (
        start + jump,
        start + timedelta(minutes=5),
        start + timedelta(hours=2),
        start + timedelta(days=2),
    ):
        moments += [timeline.fire(one, now) for one in timeline.due(now)]
    assert len(sent(moments)) == 1


def test_a_clock_set_back_does_not_start_a_rule_twice_for_one_time() -> None:
    rules = book("when: every day at 08:00\n" + ONE)
    timeline = Timeline(rules)
    timeline.start(utc("2024-05-01T07:00"))
    moments = list(timeline.pass_to(utc("2024-05-01T09:00")))
    timeline.state.timers.clear()  # the rules are loaded anew while the clock shows an earlier time
    timeline.start(utc("2024-05-01T07:00"))
    moments += timeline.pass_to(utc("2024-05-02T07:00"))
    assert sent(moments) == [utc("2024-05-01T08:00")]
