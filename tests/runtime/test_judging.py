"""Each event is judged by one rulebook and recorded; what brings the planner down is found alone and set aside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from engine import sources
from engine.model import DeliveryState, EventState
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import Due, Job, Judged, Verdict
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language
from engine.runtime.judging import BATCH, Judging
from engine.runtime.metrics import Metrics
from engine.runtime.planner_process import PlannerDied, PlannerUnready
from engine.store.store import Arrival, Store, StoreUnavailable

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def rules(text: str = "") -> Rulebook:
    texts = {"a.yaml": text} if text else {}
    return Loader(Language(sources.found(), {})).load(texts)


def fires(job: Job) -> Verdict:
    due = Due(
        "every",
        1,
        "http",
        "POST erp /orders",
        "http/erp",
        b'{"connection":"erp"}',
        f"{job.event.id}-every-1",
        ordered=True,
    )
    return Verdict(job.event.id, {"every": "fires"}, [due])


@dataclass
class Planner:
    """Judges as told, ends over some events, and notes what it was asked."""

    verdict: Callable[[Job], Verdict] = fires
    deadly: set[str] = field(default_factory=set)
    unready: int = 0
    asked: list[list[str]] = field(default_factory=list)

    async def warm(self, book: Rulebook) -> None:
        if self.unready:
            self.unready -= 1
            raise PlannerUnready("it cannot be started")

    async def judge(self, book: Rulebook, jobs: list[Job], now: datetime) -> Judged:
        self.asked.append([job.event.id for job in jobs])
        if any(job.event.subject in self.deadly for job in jobs):
            raise PlannerDied("judging it ended the planner process")
        return Judged(book.hash, [self.verdict(job) for job in jobs])


class Flaky:
    """A store of which some calls find the database away, so many times."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        if self.away.get(name):
            self.away[name] -= 1

            async def away(*args: Any, **more: Any) -> None:
                raise StoreUnavailable("the disk is full")

            return away
        return getattr(self.store, name)


@dataclass
class Shop:
    """A store with events, and the judging of them."""

    url: str
    store: Flaky
    planner: Planner = field(default_factory=Planner)
    book: Rulebook = field(default_factory=rules)
    metrics: Metrics = field(default_factory=Metrics)
    waited: list[float] = field(default_factory=list)
    now: datetime = NOW

    def judging(self) -> Judging:
        async def wait(seconds: float) -> None:
            self.waited.append(seconds)

        return Judging(self.store, self.planner, lambda: self.book, lambda: self.now, self.metrics, wait)  # type: ignore[arg-type]

    async def arrives(self, *names: str, **more: Any) -> list[str]:
        """Events of orders by these names."""
        found = []
        for name in names:
            given: dict[str, Any] = {
                "source": "chord",
                "type": "order_completed",
                "subject": f"order:{name}",
                "body": b'{"event_name":"order_completed","order":{"number":"%s"}}' % name.encode(),
                "identity": sha256(name.encode()).digest(),
                "window": timedelta(days=7),
            }
            arrival = Arrival(**{**given, **more})
            found.append((await self.store.append(arrival, NOW)).id)
        return found

    async def judged(self) -> None:
        """Judge until nothing waits."""
        judging = self.judging()
        while await judging.judge_some():
            pass

    async def reopened(self) -> None:
        """The store closed and opened again, as after a restart."""
        await self.store.close()
        self.store = Flaky(await Store.open(self.url))

    async def state(self, id: str) -> EventState:
        return (await self.store.event(id)).state


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    url = f"sqlite:///{tmp_path}/shop.db"
    shop = Shop(url, Flaky(await Store.open(url)))
    yield shop
    await shop.store.close()


async def test_events_are_judged_together_and_recorded_with_their_deliveries_and_the_rulebook(
    shop: Shop,
) -> None:
    ids = await shop.arrives("R1", "R2", "R3")
    await shop.judged()
    assert shop.planner.asked == [ids]
    records = [await shop.store.event(id) for id in ids]
    assert [(one.state, one.rulebook, one.outcomes) for one in records] == [
        (EventState.EVALUATED, shop.book.hash, {"every": "fires"})
    ] * 3
    made = (await shop.store.deliveries()).items
    assert {one.event for one in made} == set(ids)
    assert {(one.state, one.due_at) for one in made} == {(DeliveryState.QUEUED, NOW)}


async def test_a_long_queue_is_judged_in_batches_in_its_order(shop: Shop) -> None:
    ids = await shop.arrives(*(f"R{number}" for number in range(BATCH + 3)))
    await shop.judged()
    assert shop.planner.asked == [ids[:BATCH], ids[BATCH:]]


async def test_each_batch_is_recorded_under_the_rulebook_it_began_with_though_another_comes_meanwhile(
    shop: Shop,
) -> None:
    first, second = rules(), rules("name: x\nwhen: order_completed\nthen: []\n")
    second = Rulebook(
        **{**{name: getattr(first, name) for name in first.__dataclass_fields__}, "hash": "5ec0"}
    )

    def verdict(job: Job) -> Verdict:
        shop.book = second
        return fires(job)

    shop.book, shop.planner.verdict = first, verdict
    before = await shop.arrives("R1", "R2")
    judging = shop.judging()
    await judging.judge_some()
    after = await shop.arrives("R3")
    await judging.judge_some()
    assert [(await shop.store.event(id)).rulebook for id in before + after] == [
        first.hash,
        first.hash,
        "5ec0",
    ]


async def test_an_event_that_ends_the_planner_each_time_is_tried_alone_and_set_aside_at_the_third_time(
    shop: Shop,
) -> None:
    ids = await shop.arrives("good-1", "bad", "good-2")
    shop.planner.deadly = {"order:bad"}
    await shop.judged()
    assert shop.planner.asked == [ids, [ids[0]], [ids[1]], [ids[1]], [ids[2]]]
    assert [await shop.state(id) for id in ids] == [
        EventState.EVALUATED,
        EventState.FAILED,
        EventState.EVALUATED,
    ]
    record = await shop.store.event(ids[1])
    assert record.reason == "judging it ended the planner process (3 times)"
    assert "shopbell_events_set_aside_total 1.0" in shop.metrics.text().decode()


async def test_a_hundred_good_events_behind_a_bad_one_are_judged_with_a_restart_in_between_and_it_can_be_run_again(
    shop: Shop,
) -> None:
    (bad,) = await shop.arrives("bad")
    good = await shop.arrives(*(f"R{number}" for number in range(100)))
    shop.planner.deadly = {"order:bad"}
    judging = shop.judging()
    await judging.judge_some()
    await judging.judge_some()
    await shop.reopened()
    await shop.judged()
    assert {await shop.state(id) for id in good} == {EventState.EVALUATED}
    assert await shop.state(bad) is EventState.FAILED
    shop.planner.deadly = set()
    await shop.store.replay(bad)
    await shop.judged()
    assert await shop.state(bad) is EventState.EVALUATED


async def test_a_planner_that_cannot_be_started_costs_no_event_a_start(shop: Shop) -> None:
    (id,) = await shop.arrives("R1")
    shop.planner.unready = 5
    judging = shop.judging()
    for _ in range(5):
        with pytest.raises(PlannerUnready):
            await judging.judge_some()
    assert (await shop.store.event(id)).starts == 0
    await judging.judge_some()
    assert await shop.state(id) is EventState.EVALUATED


async def test_an_event_that_cannot_be_judged_is_set_aside_with_the_reason_and_the_others_are_recorded(
    shop: Shop,
) -> None:
    ids = await shop.arrives("R1", "R2", "R3")

    def verdict(job: Job) -> Verdict:
        return (
            Verdict(job.event.id, error="it took too much") if job.event.subject == "order:R2" else fires(job)
        )

    shop.planner.verdict = verdict
    await shop.judged()
    assert [await shop.state(id) for id in ids] == [
        EventState.EVALUATED,
        EventState.FAILED,
        EventState.EVALUATED,
    ]
    assert (await shop.store.event(ids[1])).reason == "it took too much"


async def test_a_fault_of_ours_over_one_event_stops_no_other(shop: Shop) -> None:
    ids = await shop.arrives("R1")
    ids += await shop.arrives("strange", body=b"not json at all", type="shipment_shipped")
    ids += await shop.arrives("R2")
    shop.book = rules(
        "name: x\nwhen: shipment_shipped\nif:\n  order.number: present\nthen:\n"
        "  - http:\n      post: /x\n      connection: erp\n"
    )
    shop.book.__dict__["_joining"] = frozenset({"shipment_shipped"})
    await shop.judged()
    assert [await shop.state(id) for id in ids] == [
        EventState.EVALUATED,
        EventState.FAILED,
        EventState.EVALUATED,
    ]
    assert "fault of Shopbell's own" in (await shop.store.event(ids[1])).reason


@pytest.mark.parametrize("call", ["take_new", "keep_rulebook", "record"])
async def test_a_record_that_is_away_for_long_costs_no_event_a_start(shop: Shop, call: str) -> None:
    (id,) = await shop.arrives("R1")
    shop.store.away[call] = 10
    await shop.judged()
    record = await shop.store.event(id)
    assert (record.state, record.starts) == (EventState.EVALUATED, 1)
    assert shop.planner.asked == [[id]]
    assert shop.waited == [1.0] * 10


async def test_setting_aside_waits_for_the_record_too(shop: Shop) -> None:
    (id,) = await shop.arrives("bad")
    shop.planner.deadly = {"order:bad"}
    shop.store.away["set_aside"] = 10
    await shop.judged()
    assert await shop.state(id) is EventState.FAILED


async def test_deliveries_of_rules_in_mode_test_or_with_gaps_are_kept_but_do_not_become_due(
    shop: Shop,
) -> None:
    def verdict(job: Job) -> Verdict:
        request = b'{"connection":"default"}'
        return Verdict(
            job.event.id,
            {"a": "fires", "b": "fires"},
            [
                Due(
                    "a",
                    1,
                    "slack",
                    "#a",
                    "slack/default",
                    request,
                    "a-1",
                    suppressed="the rule is in mode test",
                ),
                Due(
                    "b",
                    1,
                    "slack",
                    "#b",
                    "slack/default",
                    request,
                    "b-1",
                    held="a value could not be filled in",
                ),
            ],
        )

    shop.planner.verdict = verdict
    await shop.arrives("R1")
    await shop.judged()
    made = {one.rule: (one.state, one.reason) for one in (await shop.store.deliveries()).items}
    assert made == {
        "a": (DeliveryState.SUPPRESSED, "the rule is in mode test"),
        "b": (DeliveryState.HELD, "a value could not be filled in"),
    }


async def test_what_an_event_teaches_is_kept_with_its_judgement(shop: Shop) -> None:
    shop.planner.verdict = lambda job: Verdict(job.event.id, teaches={"mug": "Blue mug"})
    await shop.arrives("R1")
    await shop.judged()
    taken = await shop.store.history(NOW - timedelta(days=1))
    memory = await shop.store.memory(taken[0], products=["mug", "cup"])
    assert memory.products == {"mug": "Blue mug"}


async def test_no_memory_is_looked_up_where_no_rule_looks_at_any(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(wanted: object) -> Awaitable[object]:
        raise AssertionError("looked up")

    monkeypatch.setattr(shop.store.store, "memories", never)
    (id,) = await shop.arrives("R1")
    await shop.judged()
    assert await shop.state(id) is EventState.EVALUATED


async def test_an_event_that_is_judged_again_leads_to_what_is_new_and_doubles_nothing_unless_told(
    shop: Shop,
) -> None:
    (id,) = await shop.arrives("R1")
    await shop.judged()

    def more(job: Job) -> Verdict:
        first = fires(job)
        new = Due(
            "new", 1, "http", "POST crm /x", "http/crm", b'{"connection":"crm"}', f"{job.event.id}-new-1"
        )
        return Verdict(job.event.id, {**first.outcomes, "new": "fires"}, [*first.due, new])

    shop.planner.verdict = more
    await shop.store.replay(id)
    await shop.judged()
    made = (await shop.store.deliveries(event=id)).items
    assert sorted(one.rule for one in made) == ["every", "new"]
    await shop.store.replay(id, resend=True)
    await shop.judged()
    made = (await shop.store.deliveries(event=id)).items
    assert sorted(one.rule for one in made) == ["every", "every", "new", "new"]
    assert len({one.idempotency_key for one in made}) == 4
