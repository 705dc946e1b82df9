"""An outage is told once when it begins to count and once when it is over, over restarts, with what is usual."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine import actions
from engine.actions.base import Destinations
from engine.model import Delivery, DeliveryState
from engine.runtime.alarming import GRACE, SOURCE, Alarming
from engine.runtime.alarms import Failing, Hours, Silence, earlier, in_words, quiet, too_quiet
from engine.runtime.metrics import Metrics
from engine.settings import Settings, SettingsFaulty, read_settings
from engine.store.store import Arrival, Judged, Store

pytestmark = pytest.mark.anyio

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 11, 25, 17, tzinfo=UTC)  # a Wednesday, 12:00 in New York
HOUR = timedelta(hours=1)
DAYTIME = Hours(time(8), time(22))

ALARMS = """
shop: {timezone: America/New_York}
connections:
  slack: {ops: {webhook: "https://hooks.example.com/ops"}}
  email: {default: {host: smtp.example.com, from: "Shop <care@example.com>"}}
alarms:
  - no: order_completed
    for: 6 hours
    slack: ops
    email: [ops@shop.example, it@shop.example]
  - connection fails for: 15 minutes
    slack: ops
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# what counts as quiet


@pytest.mark.parametrize(
    ("hours", "since", "now", "spans"),
    [
        (None, NOON - 6 * HOUR, NOON, [(NOON - 6 * HOUR, NOON)]),
        (None, NOON - 6 * HOUR + timedelta(seconds=1), NOON, None),
        (None, NOON - 90 * HOUR, NOON, [(NOON - 6 * HOUR, NOON)]),
        # 12:00 in New York: four hours of today count since 8:00, and two of last evening before 22:00
        (DAYTIME, NOON - 30 * HOUR, NOON, [(NOON - 16 * HOUR, NOON - 14 * HOUR), (NOON - 4 * HOUR, NOON)]),
        (DAYTIME, NOON - 16 * HOUR + timedelta(minutes=1), NOON, None),
        (DAYTIME, NOON - 12 * HOUR, NOON, None),
        # over midnight: 20:00 to 02:00
        (Hours(time(20), time(2)), NOON - 90 * HOUR, NOON, [(NOON - 16 * HOUR, NOON - 10 * HOUR)]),
    ],
)
def test_quiet_time_counts_within_the_hours_of_each_day(
    hours: Hours | None, since: datetime, now: datetime, spans: object
) -> None:
    assert quiet(6 * HOUR, since, now, hours, NEW_YORK) == spans


def test_hours_keep_to_the_clock_on_the_wall_when_it_is_changed() -> None:
    after = datetime(2026, 11, 1, 18, tzinfo=UTC)  # 13:00, hours after the clock went back
    (span,) = quiet(5 * HOUR, after - 90 * HOUR, after, DAYTIME, NEW_YORK) or []
    assert span == (datetime(2026, 11, 1, 13, tzinfo=UTC), after)
    night = Hours(time(0), time(4))
    assert quiet(5 * HOUR, after - 20 * HOUR, after, night, NEW_YORK) == [
        (datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 11, 1, 9, tzinfo=UTC))
    ]


def test_the_same_hours_of_past_weeks_are_compared_with_and_of_past_days_while_the_record_is_young() -> None:
    spans = [(NOON - 6 * HOUR, NOON)]
    assert [span[0][0] for span in earlier(spans, NOON - timedelta(days=20), NEW_YORK)] == [
        NOON - 6 * HOUR - timedelta(days=7),
        NOON - 6 * HOUR - timedelta(days=14),
    ]
    assert len(earlier(spans, NOON - timedelta(days=300), NEW_YORK)) == 4
    assert len(earlier(spans, NOON - timedelta(days=3), NEW_YORK)) == 2
    assert earlier(spans, NOON - HOUR, NEW_YORK) == []


def test_weeks_are_compared_by_the_clock_on_the_wall() -> None:
    monday = datetime(
        2026, 11, 2, 17, tzinfo=UTC
    )  # 12:00 after the change; a week before it was 16:00 in UTC
    (week, *_) = earlier([(monday - HOUR, monday)], monday - timedelta(days=40), NEW_YORK)
    assert week == [(datetime(2026, 10, 26, 15, tzinfo=UTC), datetime(2026, 10, 26, 16, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (6 * HOUR, "6 hours"),
        (timedelta(minutes=15), "15 minutes"),
        (timedelta(days=1, hours=2, minutes=5), "1 day 2 hours"),
        (timedelta(days=1, minutes=5), "1 day"),
        (timedelta(), "no time"),
    ],
)
def test_lengths_are_said_in_words(length: timedelta, words: str) -> None:
    assert in_words(length) == words


@pytest.mark.parametrize(
    ("usual", "said"),
    [(None, "6 hours. "), (41.5, "usually about 40. "), (3.2, "usually about 3. "), (0.25, "usually none or one. ")],
)  # fmt: skip
def test_what_is_usual_is_said_as_far_as_it_is_known(usual: float | None, said: str) -> None:
    title, text = too_quiet(Silence(("order_completed",), 6 * HOUR, ()), usual, NOON, NEW_YORK)
    assert title == "No order_completed for 6 hours"
    assert said in text
    assert "The last one came on Wednesday, 25 November at 12:00." in text


# the watch


class Shopkeeper:
    """A service's alarms on a record, with a clock that is moved by hand; its worker's part is done by hand too."""

    def __init__(self, store: Store, now: datetime, alarms: str = ALARMS) -> None:
        self.store = store
        self.now = now
        self.settings: Settings = read_settings(alarms, Path("/shop/shopbell.yaml"), {}, actions.found())
        self.metrics = Metrics()
        self.restart()

    def restart(self) -> None:
        self.alarming = Alarming(
            self.store,
            self.settings.alarms,
            actions.found(),
            Destinations(self.settings.public, known=True),
            self.settings.shop,
            lambda: self.now,
            self.metrics,
            ["slack/ops", "email/default"],
        )

    async def order(self, at: datetime, type: str = "order_completed") -> None:
        """An order came at a time."""
        number = f"{type} {at}"
        arrival = Arrival(
            source="chord", type=type, subject=f"order:{number}", body=b"{}", window=timedelta(days=7),
            identity=sha256(number.encode()).digest(),
        )  # fmt: skip
        await self.store.append(arrival, at)

    async def look(self, after: timedelta = timedelta()) -> list[str]:
        """Look once, so much later; the texts of what is told anew."""
        self.now += after
        told = len(await self.notices())
        await self.alarming.look()
        await self.judge()
        return [notice.request.get("text", "") for notice in (await self.notices())[told:]]

    async def judge(self) -> None:
        for event in await self.store.take_new(1000, self.now):
            due = self.alarming.deliveries(event, self.now)
            judged = Judged(event_id=event.id, rulebook="", outcomes={}, planned_at=self.now, deliveries=due)
            await self.store.record([judged])

    async def notices(self) -> list[Delivery]:
        """All messages that were made so far, in their order."""
        return list((await self.store.deliveries(limit=1000)).items)[::-1]

    def raised(self) -> set[str]:
        """The alarms that /metrics shows as raised."""
        return {
            sample.labels["alarm"]
            for family in text_string_to_metric_families(self.metrics.text().decode())
            for sample in family.samples
            if sample.name == "shopbell_alarms" and sample.value
        }


@asynccontextmanager
async def shop(path: Path, alarms: str = ALARMS) -> AsyncIterator[Shopkeeper]:
    async with await Store.open(f"sqlite:///{path / 'record.db'}") as store:
        yield Shopkeeper(store, NOON, alarms)


async def test_orders_that_stay_away_are_told_once_with_what_is_usual_and_once_when_they_come_again(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as keeper:
        for week in range(4, 0, -1):
            for number in range(38 + week)[::-1]:
                await keeper.order(NOON + 6 * HOUR - timedelta(days=7 * week, minutes=5 + 8 * number))
        await keeper.order(NOON)
        assert await keeper.look() == []
        assert await keeper.look(6 * HOUR - timedelta(minutes=1)) == []
        (first, *mails) = await keeper.look(timedelta(minutes=1))
        assert first.startswith("No order_completed for 6 hours, usually about 40. The last one came on Wednesday, 25 November at 12:00.")  # fmt: skip
        assert len(mails) == 2
        for _ in range(5):
            assert await keeper.look(HOUR) == []
        assert keeper.raised() == {"no order_completed for 6 hours"}
        await keeper.order(keeper.now)
        (over, *mails) = await keeper.look(timedelta(minutes=1))
        assert over.startswith("order_completed comes again, the newest on Wednesday, 25 November at 23:00.")
        assert len(mails) == 2
        assert (await keeper.look(HOUR), keeper.raised()) == ([], set())
        assert len(await keeper.look(6 * HOUR)) == 3, "the next outage is another one"


async def test_each_notice_goes_to_whom_the_alarm_names_under_a_key_of_its_own(tmp_path: Path) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.look(7 * HOUR)
        notices = await keeper.notices()
        assert [(one.kind, one.to, one.state) for one in notices] == [
            ("slack", "#ops", DeliveryState.QUEUED),
            ("email", "ops@shop.example", DeliveryState.QUEUED),
            ("email", "it@shop.example", DeliveryState.QUEUED),
        ]
        assert notices[1].request["subject"] == "No order_completed for 6 hours"
        assert len({one.idempotency_key for one in notices}) == 3
        event = await keeper.store.event(notices[0].event)
        assert (event.source, event.type, event.known) == (SOURCE, "alarm_raised", True)


@pytest.mark.parametrize("after", ["looking", "keeping", "judging"])
async def test_a_restart_repeats_nothing_wherever_it_falls(
    tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.judge()
        keeper.now += 7 * HOUR
        if after == "looking":  # another process tells the same at the same moment
            other = Shopkeeper(keeper.store, keeper.now)
            other.alarming._started = NOON
            await other.alarming.look()
        await keeper.alarming.look()
        if after == "judging":
            await keeper.judge()
        keeper.restart()
        keeper.now += GRACE
        await keeper.look(HOUR)
        await keeper.look(HOUR)
        assert len(await keeper.notices()) == 3
        await keeper.order(keeper.now)
        keeper.restart()
        assert len(await keeper.look(timedelta(minutes=1))) == 3


async def test_right_after_a_start_nothing_counts_as_staying_away(tmp_path: Path) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON - 20 * HOUR)
        assert await keeper.look() == []
        assert await keeper.look(GRACE - timedelta(seconds=1)) == []
        assert len(await keeper.look(timedelta(seconds=1))) == 3


async def test_where_none_ever_came_the_start_counts(tmp_path: Path) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON, "shipment_shipped")
        assert await keeper.look(6 * HOUR - timedelta(minutes=1)) == []
        (text, *_) = await keeper.look(timedelta(minutes=1))
        assert text.startswith("No order_completed for 6 hours. None has come since the service started.")


async def test_a_connection_that_keeps_failing_is_told_once_and_once_when_it_works_again(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.store.pacing.breaks("email/default", "no answer within <30> seconds", NOON)
        assert await keeper.look(timedelta(minutes=14)) == []
        (text,) = await keeper.look(timedelta(minutes=1))
        assert text.startswith("email/default has not worked for 15 minutes, since Wednesday, 25 November at 12:00: no answer within &lt;30&gt; seconds.")  # fmt: skip
        keeper.restart()
        for _ in range(3):
            assert await keeper.look(HOUR) == []
        assert keeper.raised() == {"a connection fails for 15 minutes: email/default"}
        await keeper.store.pacing.mends("email/default")
        keeper.restart()
        (over,) = await keeper.look()
        assert over.startswith("email/default works again, after 3 hours 15 minutes.")
        assert await keeper.look(HOUR) == []


async def test_a_connection_that_worked_for_a_moment_between_two_looks_is_another_outage(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.store.pacing.breaks("slack/ops", "503", NOON)
        assert len(await keeper.look(timedelta(minutes=20))) == 1
        await keeper.store.pacing.mends("slack/ops")
        await keeper.store.pacing.breaks("slack/ops", "503", keeper.now)
        assert [text[:21] for text in await keeper.look()] == ["slack/ops works again"]
        assert len(await keeper.look(timedelta(minutes=15))) == 1


async def test_the_notice_of_an_alarm_whose_own_connection_fails_waits_and_raises_no_other(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.store.pacing.breaks("slack/ops", "the channel is gone", NOON)
        for _ in range(20):
            await keeper.look(timedelta(minutes=15))
        assert [(one.kind, one.state) for one in await keeper.notices()] == [("slack", DeliveryState.QUEUED)]


async def test_an_alarm_that_was_taken_out_of_the_settings_tells_nobody(tmp_path: Path) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        keeper.now += 7 * HOUR
        await keeper.alarming.look()
        keeper.settings = read_settings("shop: {}\n", Path("/shop/shopbell.yaml"), {}, actions.found())
        keeper.restart()
        await keeper.judge()
        assert await keeper.notices() == []


async def test_a_text_from_outside_alerts_nobody(tmp_path: Path) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.order(NOON)
        await keeper.store.pacing.breaks("email/default", "<!channel> {{ 7*7 }} *now*", NOON)
        (text,) = await keeper.look(timedelta(minutes=20))
        assert "<!channel>" not in text
        assert "{{ 7" in text
        assert "*now*" not in text


async def test_without_a_record_the_watch_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with shop(tmp_path) as keeper:
        await keeper.store.close()
        await keeper.alarming.look()
        assert "alarms cannot be looked after just now" in caplog.text


# the settings


def alarms_of(text: str) -> tuple[Any, ...]:
    return read_settings(text, Path("/shop/shopbell.yaml"), {}, actions.found()).alarms


def test_alarms_are_read_from_the_settings() -> None:
    silence, failing = alarms_of(ALARMS)
    assert (silence.types, silence.length, silence.hours) == (("order_completed",), 6 * HOUR, None)
    assert [notice.word for notice in silence.notices] == ["slack", "email"]
    assert (failing.length, failing.name) == (timedelta(minutes=15), "a connection fails for 15 minutes")
    assert isinstance(failing, Failing)
    more = (
        "  - {no: [order_completed, order_cancelled], for: 2 h, during: 8:00 - 22:00, email: a@b.example}\n"
    )
    *_, one = alarms_of(ALARMS + more)
    assert one.name == "no order_completed or order_cancelled for 2 hours (08:00 to 22:00)"


FAULTS: Mapping[str, tuple[str, str]] = {
    "no: order_complete, for: 6 hours, slack: ops": ('there is no event "order_complete". Did you mean', "order_completed"),
    "no: order_completed, slack: ops": ("say how long no such event may come", "for: 6 hours"),
    "no: order_completed, for: a while, slack: ops": ("not a length of time", "for: 90 days"),
    "no: order_completed, for: 6 hours": ("nobody is told of this alarm: say whom, by email or slack", "slack: ops"),
    "no: order_completed, for: 6 hours, during: morning, slack: ops": ("not hours of the day", "during: 08:00 to 22:00"),
    "no: order_completed, for: 6 hours, during: '25:00 to 26:00', slack: ops": ("not hours of the day", "during: 08:00 to 22:00"),
    "no: order_completed, for: 6 hours, during: '08:00 to 08:00', slack: ops": ("not hours of the day", "during: 08:00 to 22:00"),
    "no: order_completed, for: 6 hours, slack: opps": ('no Slack connection or channel rule covers "opps". Nearest: ops', "channel: ops"),
    "no: order_completed, for: 6 hours, email: nobody": ("nobody", ""),
    "connection fails for: 15 minutes, during: '08:00 to 22:00', slack: ops": ("`during` belongs to an alarm of its own", ""),
    "slack: ops": ("an alarm watches for events that stay away", "no: order_completed, or connection fails for: 15 minutes"),
    "non: order_completed, for: 6 hours, slack: ops": ("Did you mean `no`", "no"),
}  # fmt: skip


@pytest.mark.parametrize("said", FAULTS)
def test_a_fault_of_an_alarm_is_told_with_its_place_and_a_remedy(said: str) -> None:
    told, remedy = FAULTS[said]
    text = f"connections:\n  slack: {{ops: {{webhook: 'https://hooks.example.com/x'}}}}\nalarms:\n  - {{{said}}}\n"
    with pytest.raises(SettingsFaulty) as caught:
        alarms_of(text)
    (problem, *_) = [one for one in caught.value.problems if told in one.message]
    assert problem.line == 4
    assert not remedy or problem.hint == remedy


def test_the_same_alarm_twice_is_told() -> None:
    with pytest.raises(SettingsFaulty) as caught:
        alarms_of(f"{ALARMS}  - {{connection fails for: 15 min, slack: ops}}\n")
    (problem,) = caught.value.problems
    assert problem.message == "this alarm is there already: a connection fails for 15 minutes"
