"""The checks of a rule that reads well: what they find, and what they leave in peace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from engine.actions.base import Action, Destinations, Rendered
from engine.cli import main
from engine.language.fields import FieldValue, Text
from engine.language.scope import Scope
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.reading import read_rule
from engine.rulebook.vocabulary import Language

Load = Callable[..., Rulebook]
EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def told(language: Language) -> Callable[..., list[str]]:
    """What is said of a rule with these conditions, notes left out."""

    def messages(conditions: str, event: str = "order_completed") -> list[str]:
        text = f"when: {event}\nif:\n  {conditions}\nthen:\n  - slack: {{text: hello}}\n"
        lists = {"vip customers": frozenset({"ana@example.com"})}
        found = read_rule("r.yaml", text, language, lists).problems
        return [problem.message for problem in found if problem.severity != "note"]

    return messages


@pytest.fixture
def told_of_text(language: Language) -> Callable[..., list[str]]:
    """What is said of a rule with this message, and perhaps further settings."""

    def messages(text: str, event: str = "order_completed", settings: str = "") -> list[str]:
        rule = f"when: {event}\n{settings}then:\n  - slack:\n      text: |\n        Hello\n        {text}\n"
        return [problem.message for problem in read_rule("r.yaml", rule, language).problems]

    return messages


# what is right is left in peace


@pytest.mark.parametrize(
    "conditions",
    [
        "order.total: at least 200 USD",
        "order.total: more than 0",
        "order.total: between 100 and 200 EUR",
        "order.total: $10.63",
        "order.item_count: at least 3",
        "order.ship_address.zipcode: between 10000 and 20000",
        "order.ship_address.zipcode: 02134",
        "order.ship_address.country: NO WAY",
        "order.subscription_order: yes",
        "order.subscription_order: is not true",
        "order.subscription_order: [yes, no]",
        "order.completed_at: within last 2 hours",
        "order.completed_at: 2026-12-24",
        "order.completed_at: on a weekend",
        "order.user: missing",
        "order.line_items: present",
        "order.line_items: is empty",
        "count of order.line_items: at least 3",
        "count of order.line_items[*].sku: at least 3",
        "sum of order.line_items[*].total: at least 100 USD",
        "sum of order.line_items[*].quantity: at least 3",
        "any of order.line_items: {sku: starts with product-, quantity: at least 10}",
        "every one of order.payments: {state: completed}",
        "any of order.line_items: {any of adjustments: {label: contains Sale}}",
        "any of order.line_items.sku: ends with blue",
        "order.state: changed to canceled",
        "order.state: changed",
        "order.payment_state: [paid, credit_owed]",
        "order.payment_state: Credit_Owed",
        "order.payments[0].state: completed",
        "order.email: in list vip customers",
        "order.email: is not ana@example.com",
        "order.channel: a channel of tomorrow",
        "order.canceler_id: 9",
        "$.order.line_items[?(@.quantity >= 10)].sku: present",
        "$..sku: product-3",
        "$.order['total']: at least 200 USD",
        'formula: "order.total > order.item_total * 2"',
        'any of order.line_items: {formula: "quantity > order.item_count / 2"}',
        "event.late: no",
        "event.type: order_completed",
        "event_name: order_completed",
    ],
)
def test_a_right_condition_is_left_in_peace(told: Callable[..., list[str]], conditions: str) -> None:
    assert not told(conditions)


@pytest.mark.parametrize(
    "text",
    [
        "{{ order.number }} for {{ order.total | money }}",
        "{{ order.ship_address.phone or 'no phone' }}",
        "{{ order.ship_address.phone | default('no phone') }}",
        "{% if order.ship_address.phone %}{{ order.ship_address.phone }}{% endif %}",
        "{% for item in order.line_items %}{{ item.quantity }} x {{ item.name }}{% endfor %}",
        "{{ order.line_items | map(attribute='name') | join(', ') }}",
        "{{ order.line_items[0].name }}",
        "{{ order.ship_address.city }}",
        "{{ event.id }} {{ event.received_at | day }}",
        "{{ order.total + 5 }} {% if order.total > 200 %}big{% endif %}",
        "{{ order.total | number }}",
    ],
)
def test_a_right_message_is_left_in_peace(told_of_text: Callable[..., list[str]], text: str) -> None:
    assert not told_of_text(text)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_of_the_language_are_told_nothing_but_what_waits_for_a_later_version(
    language: Language, path: Path
) -> None:
    texts = {path.name: path.read_text(), "lists/vip-customers.csv": "email\nmaya.lindqvist@example.com\n"}
    told = [problem.message for problem in Loader(language).load(texts).problems]
    assert all("not in this version yet" in message for message in told)


# fields


def test_a_field_that_only_one_of_several_events_has_is_known(language: Language) -> None:
    text = "when: [order_completed, shipment_shipped]\nif:\n  shipment.number: present\nthen:\n  - slack: {text: hi}\n"
    assert not read_rule("r.yaml", text, language).problems


@pytest.mark.parametrize(
    "event", ["shipment_shipped", "shipment_updated", "shipment_delivery_status_updated"]
)
def test_the_order_of_a_shipment_may_be_spoken_of(told: Callable[..., list[str]], event: str) -> None:
    assert not told("order.total: at least 200 USD", event)
    assert "order.totl. Did you mean `order.total`" in told("order.totl: at least 200 USD", event)[0]


def test_the_name_of_a_product_may_be_spoken_of_where_stock_is(
    told_of_text: Callable[..., list[str]],
) -> None:
    known = "{{ product.name or stock_item.variant.sku or 'a product' }}"
    assert not told_of_text(known, "stock_item_back_in_stock")
    assert "product.name does not exist in order_completed events" in told_of_text("{{ product.name }}")[0]


@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        ("all: [{order.totl: 5}]", "order.totl"),
        ("not: [{any: [{order.totl: 5}]}]", "order.totl"),
        ("any of order.line_items: {skuu: x}", "order.line_items[*].skuu"),
        ("none of order.line_itms: {sku: x}", "order.line_itms"),
        ("any of order.line_items: {any of adjustmnts: {label: x}}", "order.line_items[*].adjustmnts"),
        ("count of order.line_itms: 3", "order.line_itms"),
        ("$.order.totl: 5", "order.totl"),
        ("$.order.line_items[?(@.quantty > 1)].sku: present", "order.line_items.quantty"),
        ('formula: "order.totl > 5"', "order.totl"),
        ('any of order.line_items: {formula: "quantty > 5"}', "quantty"),
    ],
)
def test_a_misspelt_field_is_found_wherever_it_stands(
    told: Callable[..., list[str]], conditions: str, path: str
) -> None:
    assert any(f"{path}," in message or f"{path}. " in message for message in told(conditions)), told(
        conditions
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ order.nmber }}",
        "{{ order.nmber or 'x' }}",
        "{% if order.nmber is defined %}x{% endif %}",
        "{% for item in order.line_items %}{{ item.nmber }}{% endfor %}",
        "{{ order.line_items | map(attribute='nmber') | join(', ') }}",
        "{% set number = order.nmber %}{{ number }}",
        "{{ (order.nmber | upper) ~ 'x' }}",
    ],
)
def test_a_misspelt_field_of_a_message_is_found_wherever_it_stands(
    told_of_text: Callable[..., list[str]], text: str
) -> None:
    assert any("nmber, which order events do not have" in message for message in told_of_text(text))


# holes


def test_a_field_that_the_rule_asks_for_leaves_no_hole(told_of_text: Callable[..., list[str]]) -> None:
    text = "Call {{ order.ship_address.phone }} today"
    assert told_of_text(text)
    assert not told_of_text(text, settings="if:\n  order.ship_address.phone: present\n")
    assert not told_of_text(text, settings="if:\n  all:\n    - order.ship_address.phone: starts with +1\n")


@pytest.mark.parametrize(
    "settings",
    [
        "unless:\n  order.ship_address.phone: present\n",
        "if:\n  order.ship_address.phone: is not 5\n",
        "if:\n  any:\n    - order.ship_address.phone: present\n    - order.channel: chord\n",
        "if:\n  not:\n    - order.ship_address.phone: present\n",
    ],
)
def test_a_condition_that_also_holds_without_the_field_does_not_fill_the_hole(
    told_of_text: Callable[..., list[str]], settings: str
) -> None:
    assert told_of_text("Call {{ order.ship_address.phone }} today", settings=settings)


def test_each_hole_of_a_line_is_told_once(told_of_text: Callable[..., list[str]]) -> None:
    phone = "{{ order.ship_address.phone }}"
    assert len(told_of_text(f"{phone} or {phone}")) == 1


# filling messages in


def test_a_message_is_tried_with_each_nullable_field_empty_and_with_all_of_them(
    told_of_text: Callable[..., list[str]],
) -> None:
    either = "{{ (stock_item.variant.sku or stock_item.variant.url) | truncate(20) | upper }}"
    assert not told_of_text(either, "stock_item_back_in_stock")
    price = told_of_text("{{ stock_item.variant.amount | money }}", "stock_item_back_in_stock")
    assert [message.split(",")[0] for message in price] == ["where stock_item.variant.amount is empty"]
    both = "{% if not (stock_item.variant.sku or stock_item.variant.url) %}{{ stock_item.variant.sku | money }}{% endif %}"
    told = told_of_text(both, "stock_item_back_in_stock")
    assert [message.split(",")[0] for message in told] == ["where several fields are empty"]


@pytest.mark.parametrize(
    ("event", "text", "name", "hint"),
    [
        ("shipment_shipped", "{{ order.number }}", "order", "{{ order.number or '…' }}"),
        ("shipment_shipped", "{{ order.total | money }}", "order", ""),
        ("stock_item_back_in_stock", "{{ product.name }}", "product", "{{ product.name or '…' }}"),
    ],
)
def test_what_is_known_beside_an_event_may_be_unknown_and_that_is_told(
    language: Language, event: str, text: str, name: str, hint: str
) -> None:
    rule = f'when: {event}\nthen:\n  - slack:\n      text: "Hello {text}"\n'
    (problem,) = read_rule("r.yaml", rule, language).problems
    assert problem.message.startswith(f"where the {name} is not known, ")
    assert (problem.severity, problem.hint) == ("warning", hint)


def test_a_rule_that_asks_for_the_order_of_a_shipment_may_speak_of_it(language: Language) -> None:
    rule = 'when: shipment_shipped\nif:\n  order.email: present\nthen:\n  - slack:\n      text: "{{ order.number }}"\n'
    assert not read_rule("r.yaml", rule, language).problems


def test_a_rule_that_collects_events_is_tried_with_a_list_of_one(
    told_of_text: Callable[..., list[str]],
) -> None:
    digest = "digest: {every: day at 08:00}\n"
    text = "{{ events | length }} {{ count }} {{ first.order.number }} {% for e in events %}{{ e.order.total | money }}{% endfor %}"
    assert all("not in this version yet" in message for message in told_of_text(text, settings=digest))
    wrong = told_of_text("{% for e in events %}{{ e.order.number | money }}{% endfor %}", settings=digest)
    assert any("`e.order.number | money` cannot be filled in" in message for message in wrong)


def test_a_message_is_tried_in_the_rules_own_zone(told_of_text: Callable[..., list[str]]) -> None:
    text = "{% if '11:44' in (order.completed_at | time) %}{{ order.number | money }}{% endif %}"
    assert told_of_text(text, settings="timezone: Asia/Tokyo\n")
    assert not told_of_text(text)


def test_a_message_that_may_be_all_empty_is_told(language: Language) -> None:
    text = "when: order_completed\nthen:\n  - slack:\n      text: '{{ order.ship_address.city }}'\n"
    (problem,) = read_rule("r.yaml", text, language).problems
    assert (
        problem.message
        == "where order.ship_address.city is empty, `slack` cannot be sent: the message is empty"
    )
    assert problem.hint == "if:\n  order.ship_address.city: present"


class Stumbling(Action):
    """An action that nobody foresaw to fail."""

    fields: ClassVar[Any] = (Text("text", "What it says."),)

    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        raise ZeroDivisionError

    async def deliver(self, request: Any, key: str, services: Any) -> Any:
        raise NotImplementedError


def test_a_message_that_cannot_even_be_tried_costs_only_its_own_rule(language: Language) -> None:
    odd = replace(language, actions={**language.actions, "stumble": Stumbling()})
    texts = {
        "a.yaml": "when: order_completed\nthen:\n  - stumble: {text: '{{ order.number }}'}\n",
        "b.yaml": "when: order_completed\nthen:\n  - slack: {text: '{{ order.number }}'}\n",
    }
    book = Loader(odd).load(texts)
    assert [rule.id for rule in book.rules] == ["b"]
    assert [(problem.file, problem.line) for problem in book.problems] == [("a.yaml", 3)]


def test_checking_a_rule_takes_milliseconds(language: Language) -> None:
    texts = [path.read_text() for path in sorted(EXAMPLES.glob("*.yaml"))]
    for text in texts:
        read_rule("r.yaml", text, language)
    start = perf_counter()
    for text in texts:
        read_rule("r.yaml", text, language)
    assert (perf_counter() - start) / len(
        texts
    ) < 0.1  # a twentieth of that is usual; the machine may be busy


# the command


@pytest.mark.parametrize(
    ("text", "strict", "code"),
    [
        ("if:\n  order.total: at least 200 USD\n", False, 0),
        ("if:\n  order.total: at least 200 USD\n", True, 0),
        ("if:\n  order.total: at least 200\n", False, 0),
        ("if:\n  order.total: at least 200\n", True, 1),
        ("if:\n  order.totl: at least 200\n", False, 1),
        ("if:\n  order.line_items.sku: mug\n", True, 0),
    ],
    ids=["right", "right, strict", "a warning", "a warning, strict", "a fault", "a note, strict"],
)
def test_check_ends_with_1_for_faults_and_strictly_also_for_warnings(
    tmp_path: Path, text: str, strict: bool, code: int
) -> None:
    (tmp_path / "r.yaml").write_text(f"when: order_completed\n{text}then:\n  - slack: {{text: hello}}\n")
    result = CliRunner().invoke(main, ["check", str(tmp_path), *(["--strict"] if strict else [])])
    assert result.exit_code == code, result.output


def test_check_tells_all_faults_of_all_files_with_file_and_line(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(
            "when: order_complete\nif:\n  order.totl: 5\nthen:\n  - slak: {text: hi}\n"
        )
    output = CliRunner().invoke(main, ["check", str(tmp_path)]).output
    assert all(f"{name}.yaml:{line}:" in output for name in "ab" for line in (1, 3, 5))
