"""The index leaves out only rules that certainly do not fire, and few others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.model import Event, Memory, Outcome
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.planner import plan, scope_of
from engine.rulebook.vocabulary import Language

Load = Callable[..., Rulebook]
Happen = Callable[..., Event]
NOW = datetime(2021, 10, 5, 15, 0, tzinfo=UTC)


def looked_at(book: Rulebook, event: Event) -> list[str]:
    root = scope_of(event, book, Memory(), NOW).root
    return [rule.id for rule in book.index.candidates(event.type, root)]


def test_rules_of_other_events_are_left_out(load: Load, happen: Happen) -> None:
    book = load(a="when: order_completed\n", b="when: order_cancelled\n")
    assert looked_at(book, happen("order_completed")) == ["a"]


def test_a_rule_on_another_value_is_left_out(load: Load, happen: Happen) -> None:
    book = load(
        a="when: order_completed\nif:\n  order.channel: chord\n",
        b="when: order_completed\nif:\n  order.channel: [app, wholesale]\n",
    )
    assert looked_at(book, happen("order_completed")) == ["a"]


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("order.total: 10.63", "$10.630"),
        ("order.total: $10.63", Decimal("10.63")),
        ("order.item_count: 3", "3.0"),
        ("order.channel: Chord", " chord "),
        ("order.subscription_order: yes", True),
        ("order.completed_at: 2021-10-05", "2021-10-05T23:00:00Z"),
        ("order.channel: [app, chord]", "chord"),
        ("{all: [{order.channel: chord}]}", "chord"),
        ("order.line_items.sku: product-3", None),
        ("{any of order.line_items: {sku: product-3, quantity: 1}}", None),
    ],
)
def test_a_rule_that_holds_in_another_spelling_is_not_left_out(
    load: Load, happen: Happen, condition: str, value: object
) -> None:
    line = condition if condition.startswith("{") else f"\n  {condition}"
    book = load(f"when: order_completed\nif: {line}\n")
    path = condition.strip("{}").split(":")[0] if value is not None and "all" not in condition else ""
    event = happen("order_completed", {path: value} if path else {})
    assert looked_at(book, event) == ["rule-1"]
    assert plan(event, book, Memory(), NOW).rules[0].outcome is Outcome.FIRES


def test_a_rule_is_filed_under_the_condition_that_it_shares_with_the_fewest_others(
    load: Load, happen: Happen
) -> None:
    text = "when: order_completed\nif:\n  order.currency: USD\n  order.channel: "
    book = load(*(f"{text}shop-{number}\n" for number in range(50)))
    event = happen("order_completed", {"order.channel": "shop-7"})
    assert looked_at(book, event) == ["rule-8"]


def test_a_rule_that_is_off_is_left_out(load: Load, happen: Happen) -> None:
    book = load(a="when: order_completed\nmode: off\n", b="when: order_completed\nmode: test\n")
    assert looked_at(book, happen("order_completed")) == ["b"]


def test_rules_are_found_in_the_order_of_their_files(load: Load, happen: Happen) -> None:
    book = load(
        c="when: order_completed\nif:\n  order.currency: USD\n",
        a="when: order_completed\n",
        b="when: order_completed\nif:\n  order.channel: chord\n",
    )
    assert looked_at(book, happen("order_completed")) == ["a", "b", "c"]


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_rule_that_the_index_leaves_out_does_not_fire_when_it_is_judged(
    language: Language, random_rules: ModuleType, data: st.DataObject
) -> None:
    texts = {f"r{number}.yaml": data.draw(random_rules.rules()).text for number in range(3)}
    book = Loader(language).load(texts)
    event, memory = data.draw(random_rules.events(language))
    candidates = book.index.candidates(event.type, scope_of(event, book, memory, NOW).root)
    for judged in plan(event, book, memory, NOW, explain=True).rules:
        if book.by_id[judged.id] not in candidates:
            assert judged.outcome is Outcome.DOES_NOT_FIRE


VALUES = (
    "10.63",
    "$10.63",
    "10",
    "yes",
    "true",
    "no",
    "007",
    "7",
    "chord",
    "CHORD",
    "2021-10-05",
    "1e3",
    "1,000",
    '"yes"',
    "¥5",
    "1.0",
)
FOUND = (
    *VALUES,
    10,
    Decimal("10.63"),
    7,
    True,
    False,
    None,
    [],
    ["chord", 7],
    {"a": 1},
    1000,
    "2021-10-05T10:00:00Z",
    "ſ",
    "ß",
    "K",
    10**40,
)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    written=st.sampled_from(VALUES),
    found=st.sampled_from(FOUND),
    field=st.sampled_from(("channel", "total", "number")),
)
@example(written="true", found=True, field="channel")
def test_every_value_that_equals_what_a_rule_says_leads_to_the_rule(
    load: Load, happen: Happen, written: str, found: object, field: str
) -> None:
    book = load(f"when: order_completed\nif:\n  order.{field}: {written}\n")
    event = happen("order_completed", {f"order.{field}": found})
    judged = plan(event, book, Memory(), NOW, explain=True).rules[0]
    assert judged.outcome is Outcome.DOES_NOT_FIRE or looked_at(book, event) == ["rule-1"]
