"""Trying rules by hand: samples, recorded events explained as they were judged, and the past judged again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine import actions, sources
from engine.desk import CannotTry, backtest, explain, recorded_trial, trial
from engine.model import Answer, Outcome
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import to_json
from engine.rulebook.loader import Loader
from engine.rulebook.planner import plan
from engine.rulebook.vocabulary import Language
from engine.sources.body import parse
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import Arrival, Judged, Reader, Store

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LANGUAGE = Language(sources.found(), actions.found())
CHORD = LANGUAGE.sources["chord"]

CHANGED = """name: Trouble
when: shipment_delivery_status_updated
if:
  shipment.delivery_status: changed to failure
then:
  - slack: {text: "{{ shipment.number }} of {{ order.email or 'nobody known' }}"}
"""
BIG = (
    "name: Big\nwhen: order_completed\nif:\n  order.total: at least 200 USD\nthen:\n  - slack: {text: big}\n"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'record.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with await Store.open(url) as opened:
        yield opened


def _book(**rules: str) -> Rulebook:
    return Loader(LANGUAGE).load({f"{name}.yaml": text for name, text in rules.items()})


def _body(type: str, **changes: Any) -> bytes:
    sample = EVENT_TYPES[type].sample
    about = EVENT_TYPES[type].object
    return to_json({**sample, about: {**sample[about], **changes}})


async def _arrive(store: Store, body: bytes, at: datetime) -> str:
    reading = CHORD.read(body, {})
    arrival = Arrival(
        source="chord", type=reading.type, subject=reading.subject, body=body, identity=reading.identity,
        window=reading.window, updated_at=reading.updated_at, aliases=reading.aliases,
    )  # fmt: skip
    return (await store.append(arrival, at)).id


async def _judge(store: Store, book: Rulebook, at: datetime) -> None:
    """Record every new event as judged by a rulebook, with what was known of the past."""
    for event in await store.take_new(100, at):
        wants = book.wants(event.source, event.type, lambda body=event.body: parse(body))
        memory = await store.memory(event, wants.before, wants.joins.order_of, wants.joins.products)
        await store.keep_rulebook(book.hash, book.texts, at)
        await store.record(
            [Judged(event_id=event.id, rulebook=book.hash, outcomes={}, planned_at=at, memory=memory)]
        )


# samples


def test_a_sample_shipment_is_tried_with_the_sample_order_it_belongs_to() -> None:
    tried = trial(to_json(EVENT_TYPES["shipment_shipped"].sample), LANGUAGE, NOW)
    assert tried.memory.order is not None
    assert tried.memory.order["order"]["number"] == "ACS-176461162"


def test_a_changed_sample_is_another_event() -> None:
    body = to_json(EVENT_TYPES["order_completed"].sample)
    tried = trial(body, LANGUAGE, NOW, ["order.number=R7"])
    assert (tried.event.subject, tried.event.payload["order"]["number"]) == ("order:R7", "R7")
    assert tried.event.identity != trial(body, LANGUAGE, NOW).event.identity


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe{", b'{"event_name": 5}'])
def test_what_cannot_be_read_is_refused_with_its_name_and_why(body: bytes) -> None:
    with pytest.raises(CannotTry, match=r"my file cannot be read: \S"):
        trial(body, LANGUAGE, NOW, name="my file")


# the record


async def test_an_event_is_explained_by_what_was_known_when_it_was_judged(store: Store, url: str) -> None:
    book = _book(trouble=CHANGED)
    statuses: Mapping[str, str] = {
        "in_transit": "2026-11-25T10:00:00.000Z",
        "failure": "2026-11-25T11:00:00.000Z",
    }
    await _arrive(store, _body("order_completed"), NOW)
    numbers = [
        await _arrive(
            store, _body("shipment_delivery_status_updated", delivery_status=status, updated_at=at), NOW
        )
        for status, at in statuses.items()
    ]
    await _judge(store, book, NOW)
    again = _body(
        "shipment_delivery_status_updated", delivery_status="failure", updated_at="2026-11-25T12:00:00.000Z"
    )
    numbers.append(await _arrive(store, again, NOW))
    await _judge(store, book, NOW)
    with closing(Reader(url)) as record:
        plans = [explain(record, number, LANGUAGE).plan for number in numbers]
    assert [one.rules[0].outcome for one in plans if one] == [
        Outcome.DOES_NOT_FIRE, Outcome.FIRES, Outcome.DOES_NOT_FIRE,
    ]  # fmt: skip
    assert plans[1] is not None
    assert "of maya.lindqvist@example.com" in plans[1].rules[0].actions[0].request["text"]


async def test_an_event_is_explained_by_the_rules_that_judged_it_not_by_those_of_today(
    store: Store, url: str
) -> None:
    number = await _arrive(store, _body("order_completed", total="250.00"), NOW)
    await _judge(store, _book(big=BIG), NOW)
    await store.keep_rulebook("newer", {"big.yaml": BIG.replace("200", "900")}, NOW)
    with closing(Reader(url)) as record:
        explained = explain(record, number, LANGUAGE)
    assert explained.plan is not None
    assert explained.plan.rules[0].outcome is Outcome.FIRES
    assert [reason.answer for reason in explained.plan.rules[0].reasons] == [Answer.YES, Answer.YES]


async def test_an_event_that_waits_has_no_reasons_yet(store: Store, url: str) -> None:
    number = await _arrive(store, _body("order_completed"), NOW)
    with closing(Reader(url)) as record:
        assert explain(record, number, LANGUAGE).plan is None


async def test_a_key_that_a_body_repeats_is_told(store: Store, url: str) -> None:
    body = b'{"event_name": "order_completed", "order": {"number": "R1", "number": "R2", "completed_at": "2026-11-25T10:00:00Z"}}'
    number = await _arrive(store, body, NOW)
    with closing(Reader(url)) as record:
        assert [key for key in explain(record, number, LANGUAGE).repeated if "number" in key]


async def test_a_recorded_event_can_be_tried_with_other_values(store: Store, url: str) -> None:
    number = await _arrive(store, _body("order_completed"), NOW)
    with closing(Reader(url)) as record:
        tried = recorded_trial(record, number, ["order.total=999.00"])
    assert plan(tried.event, _book(big=BIG), tried.memory, NOW).rules[0].outcome is Outcome.FIRES


# the past


async def test_the_past_is_judged_again_with_what_it_said_itself(store: Store, url: str) -> None:
    for status, minute in (("in_transit", "00"), ("failure", "10"), ("failure", "20")):
        at = f"2026-11-25T11:{minute}:00.000Z"
        await _arrive(
            store, _body("shipment_delivery_status_updated", delivery_status=status, updated_at=at), NOW
        )
    await _arrive(store, _body("order_completed", number="R2", total="300.00"), NOW)
    await _arrive(store, _body("order_completed", number="R3", total="N/A"), NOW)
    with closing(Reader(url)) as record:
        number, tallies = backtest(record, _book(trouble=CHANGED, big=BIG), NOW - timedelta(days=1))
    assert number == 5
    assert (tallies["trouble"].fired, tallies["big"].fired, tallies["big"].unsure) == (["2"], ["4"], ["5"])


async def test_only_events_since_the_given_time_are_judged_again(store: Store, url: str) -> None:
    await _arrive(store, _body("order_completed", number="R1", total="300.00"), NOW - timedelta(days=40))
    await _arrive(store, _body("order_completed", number="R2", total="300.00"), NOW)
    with closing(Reader(url)) as record:
        number, tallies = backtest(record, _book(big=BIG), NOW - timedelta(days=30))
    assert (number, tallies["big"].fired) == (1, ["2"])
