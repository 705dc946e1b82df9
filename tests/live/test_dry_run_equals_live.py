"""What a dry run shows is what is sent, word for word: every example rule, every sample, generated and hostile events."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions.email import everybody
from engine.demo import Catcher, Caught, Stage, stage
from engine.desk import explain, memory_of, trial
from engine.model import DeliveryState, EventState, Plan
from engine.present import plan_json
from engine.rulebook.frames import from_json, to_json
from engine.rulebook.planner import plan
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.shop import Shop
from engine.store.store import EventRecord, MemoryRow, Reader

pytestmark = pytest.mark.anyio

RULES = Path(__file__).resolve().parents[2] / "rules"
NUMBERS = count(1)
MOVING = (DeliveryState.QUEUED, DeliveryState.RUNNING)

Sent = tuple[str, str, Any]
"""The kind of a message, where it went, and what was in it."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def on(anyio_backend: str) -> AsyncIterator[Stage]:
    """The whole service with the example rules, everything they send to being caught."""
    async with stage(RULES, Catcher()) as on:
        yield on


@pytest.fixture(scope="module")
async def client(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


# what was said, and what arrived


def shown(plan: Plan) -> list[Sent]:
    """The messages of a plan as `dry-run --json` shows it."""
    document = from_json(to_json(plan_json({}, plan)))
    return [
        _request(action["kind"], action["request"])
        for rule in document["rules"]
        if rule["mode"] == "on"
        for action in rule["actions"]
        if not action["held"]
    ]


def _request(kind: str, request: Mapping[str, Any]) -> Sent:
    if kind == "http":
        return kind, f"{request['method']} /{request['connection']}{request['url']}", to_json(request["json"])
    if kind == "slack":
        return (
            kind,
            f"#{request['connection']}",
            {name: request[name] for name in ("text", "blocks") if request.get(name)},
        )
    return kind, ", ".join(everybody(request)), (request["subject"], request["text"].rstrip())


def arrived(caught: Caught) -> Sent:
    """A message as it arrived."""
    if caught.kind == "http":
        return caught.kind, caught.where, caught.content
    if caught.kind == "slack":
        message = from_json(caught.content)
        return (
            caught.kind,
            caught.where,
            {name: message[name] for name in ("text", "blocks") if message.get(name)},
        )
    mail = message_from_bytes(caught.content, policy=policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    return (
        caught.kind,
        caught.where,
        (str(mail["subject"]), body.get_content().replace("\r\n", "\n").rstrip()),
    )


def alike(messages: list[Sent]) -> Counter[str]:
    return Counter(map(repr, messages))


async def happened(
    on: Stage, client: httpx.AsyncClient, body: bytes
) -> tuple[EventRecord, list[Sent]] | None:
    """Send an event, wait until all has come of it that will; its record and what arrived. None for a repeat."""
    before = len(on.catcher.caught)
    answer = await client.post(on.url, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    if answer.json()["repeat"]:
        return None
    number = str(answer.json()["event"])
    async with asyncio.timeout(30):
        while True:
            record = await on.service.store.event(number)
            made = (await on.service.store.deliveries(event=number, limit=200)).items
            if record.state is not EventState.NEW and not any(one.state in MOVING for one in made):
                return record, [arrived(caught) for caught in on.catcher.caught[before:]]
            await asyncio.sleep(0.005)


async def compare(on: Stage, client: httpx.AsyncClient, body: bytes) -> None:
    """Hold what an event led to against the plan of its body with what was known of the past, as a dry run has it."""
    found = await happened(on, client, body)
    if found is None:
        return
    record, sent = found
    assert record.state is EventState.EVALUATED, record.reason
    assert record.planned_at is not None
    known = await on.service.store.memory_of(record.id)
    tried = trial(body, on.service.language, record.planned_at)
    event = replace(tried.event, id=record.id, received_at=record.received_at, late=record.late)
    planned = plan(event, on.service.book, memory_of(known), record.planned_at, explain=True)
    assert alike(sent) == alike(shown(planned))
    if known == MemoryRow() and not record.late:
        dry = plan(tried.event, on.service.book, tried.memory, record.planned_at, explain=True)
        assert alike(sent) == alike(shown(dry))


# the laws


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_of_every_sample_exactly_what_the_dry_run_shows_arrives(
    on: Stage, client: httpx.AsyncClient, event_type: str
) -> None:
    found = await happened(on, client, to_json(_unique(EVENT_TYPES[event_type].sample)))
    assert found is not None
    record, sent = found
    with closing(Reader(on.service.settings.database)) as reader:
        explained = explain(reader, record.id, on.service.language).plan
    assert explained is not None
    assert alike(sent) == alike(shown(explained))
    await compare(on, client, to_json(EVENT_TYPES[event_type].sample))


async def test_every_example_rule_sends_what_the_dry_run_of_its_own_tests_shows(
    on: Stage, client: httpx.AsyncClient
) -> None:
    fired: set[str] = set()
    for body in _given_in_tests():
        before = {one.rule for one in (await on.service.store.deliveries(limit=1000)).items}
        await compare(on, client, body)
        fired |= {one.rule for one in (await on.service.store.deliveries(limit=1000)).items} - before
    every = {one.rule for one in (await on.service.store.deliveries(limit=1000)).items}
    waiting = {one.rule for one in (await on.service.store.times.pending(limit=1000, ended=True)).items}
    assert every | waiting == {rule.id for rule in on.service.book.rules}


def _given_in_tests() -> Iterator[bytes]:
    """The events of the tests that stand in the example rules, each one of its own kind."""
    from engine import actions, sources
    from engine.language.problem import Problems
    from engine.rulebook.loader import Loader
    from engine.rulebook.trial import read_tests
    from engine.rulebook.vocabulary import Language

    language = Language(sources.found(), actions.found())
    texts = {path.name: path.read_text() for path in RULES.glob("*.yaml")}
    for rule in Loader(language).load(texts).rules:
        for one in read_tests(rule, language, Problems(rule.file)):
            yield to_json(_unique(one.payload))


def _unique(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that no other event can be taken for."""
    body: dict[str, Any] = copy.deepcopy(dict(payload))
    number = next(NUMBERS)
    now = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    for name in ("order", "shipment"):
        if name in body:
            body[name] |= {"number": f"{name[0].upper()}{number}", "id": number, "updated_at": now}
    if "stock_item" in body:
        body["stock_item"] |= {"id": number, "updated_at": now}
    return body


@given(st.integers(0, 10**6))
@settings(max_examples=6, deadline=None, derandomize=True)
async def test_of_whatever_happens_in_a_shop_exactly_what_the_dry_run_shows_arrives(
    on: Stage, client: httpx.AsyncClient, seed: int
) -> None:
    start = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=next(NUMBERS))
    for happening in Shop(Random(seed), start).events(orders=1):
        await compare(on, client, to_json(happening.body))


TEXTS = st.one_of(
    st.sampled_from(
        [None, "", "{{ 7*7 }}", "<!channel> & <b>", 'a "quote", \\ and \'s', "Malmö 日本 🛎", "\u202egnol", "a\nb\r\nc",
         "=?utf-8?q?a=0D=0ABcc:_evil@x?=", "10,63", "1250.00", "abc", "x" * 400, "\u0000", "a@b.example, c@d.example"]
    ),
    st.text(max_size=30),
)  # fmt: skip


@given(
    st.sampled_from(sorted(EVENT_TYPES)),
    st.lists(st.tuples(st.integers(0, 10**6), TEXTS), max_size=6),
)
@settings(max_examples=60, deadline=None, derandomize=True)
async def test_of_hostile_and_broken_values_exactly_what_the_dry_run_shows_arrives(
    on: Stage, client: httpx.AsyncClient, event_type: str, changes: list[tuple[int, str | None]]
) -> None:
    body = copy.deepcopy(from_json(to_json(EVENT_TYPES[event_type].sample)))
    for place, text in changes:
        owner, key = _place(body[EVENT_TYPES[event_type].object], place)
        owner[key] = text
    await compare(on, client, to_json(_unique(body)))


def _place(value: Any, number: int) -> tuple[Any, Any]:
    """One of the places in a payload that hold a plain value."""
    places = list(_places(value))
    return places[number % len(places)]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        if isinstance(inner, dict | list):
            yield from _places(inner)
        else:
            yield value, key
