"""An event becomes a plan: outcomes, reasons and requests, the same whether or not the reasons are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model import Answer, Event, Memory, Mode, Outcome, RulePlan
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.planner import answered, plan
from engine.rulebook.timeline import Timeline
from engine.rulebook.vocabulary import Language

Judge = Callable[..., RulePlan]
Load = Callable[..., Rulebook]
Happen = Callable[..., Event]

NOW = datetime(2021, 10, 5, 15, 0, tzinfo=UTC)
BIG = "when: order_completed\nif:\n  order.total: at least 200\n"
NOT_WHOLESALE = BIG + "unless:\n  order.channel: wholesale\n"


def answers(judged: RulePlan) -> list[tuple[str, Answer]]:
    return [(reason.under, reason.answer) for reason in judged.reasons]


# outcomes


def test_a_rule_fires_when_every_line_of_if_holds(judge: Judge) -> None:
    text = BIG + "  order.currency: USD\n"
    assert judge(text, changes={"order.total": "250.00"}).outcome is Outcome.FIRES


def test_a_rule_does_not_fire_when_one_line_of_if_does_not_hold(judge: Judge) -> None:
    text = BIG + "  order.currency: EUR\n"
    assert judge(text, changes={"order.total": "250.00"}).outcome is Outcome.DOES_NOT_FIRE


def test_a_rule_without_conditions_fires_for_every_event_of_its_type(judge: Judge) -> None:
    assert judge("when: order_completed\n").outcome is Outcome.FIRES


def test_a_rule_does_not_fire_for_other_events_and_says_which_came(judge: Judge) -> None:
    judged = judge(BIG, "shipment_shipped")
    assert judged.outcome is Outcome.DOES_NOT_FIRE
    assert answers(judged) == [("when", Answer.NO)]
    assert judged.reasons[0].because == "the event is shipment_shipped"


def test_a_value_that_cannot_be_read_leaves_the_rule_open(judge: Judge) -> None:
    assert judge(BIG, changes={"order.total": "N/A"}).outcome is Outcome.COULD_NOT_TELL


def test_a_line_that_could_not_be_told_does_not_matter_where_another_says_no(judge: Judge) -> None:
    text = BIG + "  order.currency: EUR\n"
    assert judge(text, changes={"order.total": "N/A"}).outcome is Outcome.DOES_NOT_FIRE


def test_one_line_of_unless_that_holds_stops_the_rule(judge: Judge) -> None:
    changes = {"order.total": "250.00", "order.channel": "wholesale"}
    assert judge(NOT_WHOLESALE, changes=changes).outcome is Outcome.DOES_NOT_FIRE


def test_an_unless_that_could_not_be_told_does_not_stop_the_rule_silently(judge: Judge) -> None:
    text = "when: order_completed\nunless:\n  order.total: less than 200\n"
    judged = judge(text, changes={"order.total": "N/A"})
    assert judged.outcome is Outcome.COULD_NOT_TELL
    assert ("unless", Answer.UNKNOWN) in answers(judged)


def test_an_unless_that_could_not_be_told_does_not_matter_where_another_line_stops_the_rule(
    judge: Judge,
) -> None:
    text = "when: order_completed\nunless:\n  order.total: less than 200\n  order.channel: chord\n"
    assert judge(text, changes={"order.total": "N/A"}).outcome is Outcome.DOES_NOT_FIRE


def test_all_reasons_are_given_and_not_only_the_first_that_failed(judge: Judge) -> None:
    judged = judge(NOT_WHOLESALE + "  order.currency: USD\n")
    assert answers(judged) == [
        ("when", Answer.YES),
        ("if", Answer.NO),
        ("unless", Answer.NO),
        ("unless", Answer.NO),
        ("unless", Answer.YES),
    ]


def test_each_reason_names_the_line_it_stands_on_and_what_was_found(judge: Judge) -> None:
    reason = judge(BIG).reasons[1]
    assert (reason.line, reason.found, reason.because) == (3, ("10.63",), "it is '10.63'")


# modes


def test_a_rule_that_is_off_does_not_fire_and_says_so(judge: Judge) -> None:
    judged = judge("when: order_completed\nmode: off\n")
    assert judged.outcome is Outcome.DOES_NOT_FIRE
    assert judged.reasons[-1].because == "the rule is switched off"
    assert not judged.actions


def test_a_rule_in_test_judges_and_renders_like_one_that_is_on(judge: Judge) -> None:
    trial = judge("when: order_completed\nmode: test\n")
    live = judge("when: order_completed\nmode: on\n")
    assert (trial.outcome, trial.actions) == (live.outcome, live.actions)
    assert trial.mode is Mode.TEST


def test_a_time_word_holds_a_rule_with_its_reason_and_until_when(judge: Judge) -> None:
    judged = judge("when: order_completed\nwait: 1 day\n")
    assert judged.outcome is Outcome.HELD
    assert not judged.actions
    assert judged.reasons[-1].under == "wait"
    assert judged.waits_until is not None


def test_a_held_rule_still_says_no_where_its_conditions_do(judge: Judge) -> None:
    assert judge(BIG + "wait: 1 day\n").outcome is Outcome.DOES_NOT_FIRE


# late events


def test_a_late_event_does_not_fire_a_rule_and_is_told_as_the_reason(judge: Judge) -> None:
    judged = judge("when: order_completed\n", late=True)
    assert judged.outcome is Outcome.DOES_NOT_FIRE
    assert "`late events: yes` would let it through" in judged.reasons[-1].because


def test_a_rule_may_ask_for_late_events(judge: Judge) -> None:
    assert judge("when: order_completed\nlate events: yes\n", late=True).outcome is Outcome.FIRES


def test_a_change_is_never_seen_in_a_late_event(judge: Judge, happen: Happen) -> None:
    text = "when: order_completed\nlate events: yes\nif:\n  order.state: changed to complete\n"
    before = Memory(before=happen("order_completed", {"order.state": "confirm"}).payload)
    assert judge(text, memory=before, late=True).outcome is Outcome.DOES_NOT_FIRE
    assert judge(text, memory=before).outcome is Outcome.FIRES


# what a rule sees


def test_a_change_is_told_by_the_last_payload_of_the_same_object(judge: Judge, happen: Happen) -> None:
    text = "when: order_completed\nif:\n  order.state: changed to complete\n"
    same = Memory(before=happen("order_completed").payload)
    other = Memory(before=happen("order_completed", {"order.state": "confirm"}).payload)
    assert judge(text, memory=same).outcome is Outcome.DOES_NOT_FIRE
    assert judge(text, memory=other).outcome is Outcome.FIRES


def test_days_are_those_of_the_shop_or_of_the_rules_own_zone(judge: Judge) -> None:
    text = "when: order_completed\nif:\n  order.completed_at: on a weekend\n"
    friday_night_in_new_york = {"order.completed_at": "2021-10-08T23:30:00-04:00"}
    new_york = text + "timezone: America/New_York\n"
    assert judge(text, changes=friday_night_in_new_york).outcome is Outcome.FIRES
    assert judge(new_york, changes=friday_night_in_new_york).outcome is Outcome.DOES_NOT_FIRE


def test_one_rules_zone_is_not_the_next_ones(load: Load, happen: Happen) -> None:
    weekend = "when: order_completed\nif:\n  order.completed_at: on a weekend\n"
    book = load(a=weekend + "timezone: America/New_York\n", b=weekend)
    event = happen("order_completed", {"order.completed_at": "2021-10-08T23:30:00-04:00"})
    planned = plan(event, book, Memory(), NOW, explain=True).rules
    assert [one.outcome for one in planned] == [Outcome.DOES_NOT_FIRE, Outcome.FIRES]


def test_ages_are_told_from_the_moment_that_is_handed_in(judge: Judge) -> None:
    text = "when: order_completed\nif:\n  order.completed_at: within last 2 hours\n"
    assert judge(text).outcome is Outcome.FIRES
    assert judge(text, now=datetime(2021, 10, 6, tzinfo=UTC)).outcome is Outcome.DOES_NOT_FIRE


def test_a_shipment_rule_sees_the_order_once_it_is_known(judge: Judge, happen: Happen) -> None:
    text = "when: shipment_shipped\nif:\n  order.total: at least 5\n"
    known = Memory(order=happen("order_completed").payload)
    assert judge(text, "shipment_shipped", memory=known).outcome is Outcome.FIRES
    assert judge(text, "shipment_shipped").outcome is Outcome.HELD
    assert judge(text, "shipment_shipped", now=NOW + timedelta(minutes=2)).outcome is Outcome.DOES_NOT_FIRE


def test_a_field_of_the_payload_is_never_hidden_by_what_is_known_beside_it(
    judge: Judge, happen: Happen
) -> None:
    text = "when: order_completed\nif:\n  order.total: 10.63\n"
    other = Memory(order=happen("order_completed", {"order.total": "1.00"}).payload)
    assert judge(text, memory=other).outcome is Outcome.FIRES


# what must be looked up


def never() -> Any:
    raise AssertionError("the payload was read although nothing needs it")


def test_the_past_is_asked_for_only_for_events_that_a_rule_compares_with_it(load: Load) -> None:
    book = load(
        "when: order_completed\nif:\n  order.state: changed to complete\n",
        "when: order_cancelled\nif:\n  order.state: canceled\n",
    )
    assert book.wants("chord", "order_completed", never).before
    assert not book.wants("chord", "order_cancelled", never).before


def test_a_change_in_unless_asks_for_the_past_too(load: Load) -> None:
    book = load(
        "when: order_completed\nunless:\n  any:\n    - order.state: changed\n    - order.channel: app\n"
    )
    assert book.wants("chord", "order_completed", never).before


@pytest.mark.parametrize(
    "rule",
    [
        "when: shipment_shipped\nif:\n  order.total: at least 5\n",
        "when: shipment_shipped\nunless:\n  any of order.line_items:\n    sku: mug\n",
        'when: shipment_shipped\nthen:\n  - slack:\n      text: "{{ order.number }}"\n',
        'when: shipment_shipped\nif:\n  formula: "order.total > 5"\n',
        "when: shipment_shipped\nif:\n  $.order.line_items[?(@.quantity > 1)].sku: present\n",
        "when: shipment_shipped\nif:\n  shipment.cost: at least 5 USD\n",
        "when: shipment_*\n",
    ],
    ids=["if", "unless", "message", "formula", "JSONPath", "currency", "nothing of it"],
)
def test_the_order_of_a_shipment_is_asked_for_whatever_a_rule_says_of_it(
    load: Load, happen: Happen, rule: str
) -> None:
    payload = happen("shipment_shipped").payload
    assert (
        load(rule).wants("chord", "shipment_shipped", lambda: payload).joins.order_of
        == "shipment:H44458074123"
    )


def test_nothing_is_looked_up_and_no_payload_read_where_no_rule_needs_it(load: Load) -> None:
    book = load("when: [order_cancelled, order_completed]\n", BIG)
    for event_type in ("shipment_shipped", "order_completed", "never_heard_of"):
        wants = book.wants("chord", event_type, never)
        assert not wants.before
        assert not wants.joins.order_of


def test_product_names_are_asked_for_by_the_skus_of_the_event(load: Load, happen: Happen) -> None:
    book = load('when: stock_item_back_in_stock\nthen:\n  - slack:\n      text: "{{ product.name }}"\n')
    payload = happen("stock_item_back_in_stock").payload
    assert book.wants("chord", "stock_item_back_in_stock", lambda: payload).joins.products == ("product-3",)


def test_a_name_from_the_shops_own_table_wins_over_one_that_orders_showed(
    language: Language, happen: Happen
) -> None:
    rule = 'when: stock_item_back_in_stock\nthen:\n  - slack:\n      text: "{{ product.name }}"\n'
    book = Loader(language).load({"a.yaml": rule, "lists/products.csv": "sku,name\nproduct-3,Blue mug\n"})
    memory = Memory(products={"product-3": "Stoneware mug, blue"})
    planned = plan(happen("stock_item_back_in_stock"), book, memory, NOW)
    assert planned.rules[0].actions[0].request["text"] == "Blue mug"


# actions


TWO_ACTIONS = """\
when: order_completed
then:
  - slack:
      channel: big-orders
      text: "{{ order.number }}"
  - http:
      post: https://erp.example.com/orders
      json:
        number: "{{ order.number }}"
"""


def test_each_action_has_its_number_line_request_and_a_key_of_its_own(judge: Judge) -> None:
    slack, http = judge(TWO_ACTIONS).actions
    assert (slack.kind, slack.number, slack.line) == ("slack", 1, 3)
    assert (http.kind, http.number, http.line) == ("http", 2, 6)
    assert slack.request["text"] == "ACS-176461162"
    assert http.request["json"] == {"number": "ACS-176461162"}
    assert slack.idempotency_key != http.idempotency_key


def test_a_key_is_the_same_each_time_and_another_for_another_event_or_rule(
    load: Load, happen: Happen
) -> None:
    event = happen("order_completed")
    once, again = (plan(event, load(TWO_ACTIONS), Memory(), NOW).rules[0] for _ in range(2))
    other_event = plan(replace(event, id="8"), load(TWO_ACTIONS), Memory(), NOW).rules[0]
    other_rule = plan(event, load(other=TWO_ACTIONS), Memory(), NOW).rules[0]
    keys = [
        [action.idempotency_key for action in one.actions] for one in (once, again, other_event, other_rule)
    ]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])
    assert not set(keys[0]) & set(keys[3])


def test_a_message_with_a_gap_goes_out_to_slack_and_a_call_with_one_is_held(judge: Judge) -> None:
    slack, http = judge(TWO_ACTIONS.replace("order.number", "order.line_items[3].name")).actions
    assert slack.gaps
    assert not slack.held
    assert http.gaps
    assert http.held


def test_one_rule_with_a_broken_message_costs_the_others_nothing(load: Load, happen: Happen) -> None:
    divides = TWO_ACTIONS.replace('"{{ order.number }}"', '"{{ 1 / (order.item_count - 1) }}"')
    planned = plan(happen("order_completed"), load(divides, TWO_ACTIONS), Memory(), NOW).rules
    assert [bool(one.actions[0].gaps) for one in planned] == [True, False]


def test_the_plan_names_the_rulebook_it_is_by(load: Load, happen: Happen) -> None:
    book = load(BIG)
    assert plan(happen("order_completed"), book, Memory(), NOW).rulebook == book.hash


def test_without_reasons_only_rules_that_say_something_else_than_no_are_in_the_plan(
    load: Load, happen: Happen
) -> None:
    book = load("when: order_completed\n", BIG, "when: order_completed\nwait: 1 day\n")
    planned = plan(happen("order_completed"), book, Memory(), NOW).rules
    assert [(one.id, one.outcome) for one in planned] == [("rule-1", Outcome.FIRES), ("rule-3", Outcome.HELD)]


def test_an_event_of_an_unknown_type_makes_an_empty_plan(load: Load) -> None:
    event = Event("7", "chord", "order_returned", "order:1", {"event_name": "order_returned"}, NOW)
    assert not plan(event, load(BIG), Memory(), NOW).rules


def test_an_event_of_an_unknown_source_is_judged_by_its_payload(load: Load, happen: Happen) -> None:
    event = replace(happen("order_completed", {"order.total": "250.00"}), source="elsewhere")
    assert plan(event, load(BIG), Memory(), NOW).rules[0].outcome is Outcome.FIRES


# laws


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_quick_way_says_and_sends_the_same_as_the_explained_way(
    language: Language, random_rules: ModuleType, data: st.DataObject
) -> None:
    texts = {f"r{number}.yaml": data.draw(random_rules.rules()).text for number in range(4)}
    book = Loader(language).load(texts)
    event, memory = data.draw(random_rules.events(language))
    known = Timeline(book).answers
    quick, _ = answered(lambda memory: plan(event, book, memory, NOW), memory, known)
    full, _ = answered(lambda memory: plan(event, book, memory, NOW, explain=True), memory, known)
    told = [replace(one, reasons=()) for one in full.rules if one.outcome is not Outcome.DOES_NOT_FIRE]
    assert list(quick.rules) == told
    assert len(full.rules) == len(book.rules)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_plan_depends_on_nothing_but_what_is_handed_in(
    language: Language, random_rules: ModuleType, data: st.DataObject
) -> None:
    text = data.draw(random_rules.rules()).text
    event, memory = data.draw(random_rules.events(language))
    plans = [
        plan(event, Loader(language).load({"a.yaml": text}), memory, NOW, explain=True) for _ in range(2)
    ]
    assert plans[0] == plans[1]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_reasons_account_for_the_outcome(
    language: Language, random_rules: ModuleType, data: st.DataObject
) -> None:
    book = Loader(language).load({"a.yaml": data.draw(random_rules.rules()).text})
    event, memory = data.draw(random_rules.events(language))
    made, _ = answered(
        lambda memory: plan(event, book, memory, NOW, explain=True), memory, Timeline(book).answers
    )
    (judged,) = made.rules
    top = [reason.answer for reason in judged.reasons if reason.depth == 0]
    waits = bool(book.rules[0].postponed) or judged.waits_until is not None
    assert (judged.outcome is Outcome.DOES_NOT_FIRE) == (Answer.NO in top and not waits)
    assert (judged.outcome is Outcome.FIRES) == (set(top) == {Answer.YES})
    assert bool(judged.actions) == (judged.outcome is Outcome.FIRES)
    assert judged.outcome is not Outcome.HELD or waits
