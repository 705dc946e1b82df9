"""The schema of rule files: a valid one, which takes every right rule and refuses what an editor can know is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from engine.language.document import read_document
from engine.language.node import MappingNode, Node, ScalarNode
from engine.language.problem import Problems
from engine.language.words import RULE_SETTINGS
from engine.rulebook.schema import schema
from engine.rulebook.vocabulary import Language

ROOT = Path(__file__).parent.parent.parent
RULES = [
    *sorted((ROOT / "rules").glob("*.yaml")),
    *sorted((ROOT / "engine" / "gallery").glob("*.yaml")),
    *sorted((Path(__file__).parent / "examples").glob("*.yaml")),
]
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
THEN = "then: [{slack: {text: hello}}]\n"


@pytest.fixture(scope="module")
def made(language: Language) -> dict[str, Any]:
    """The schema as an editor gets it."""
    return json.loads(json.dumps(schema(language)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def validator(made: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(made)


def as_json(node: Node) -> Any:
    """A node as an editor types it, by the core schema of YAML 1.2."""
    if isinstance(node, MappingNode):
        return {entry.key.text: as_json(entry.value) for entry in node}
    if not isinstance(node, ScalarNode):
        return [as_json(item) for item in node]
    if node.style != "plain":
        return node.text
    if NUMBER.fullmatch(node.text):
        return float(node.text) if "." in node.text else int(node.text)
    return {"": None, "~": None, "null": None, "true": True, "false": False}.get(node.text, node.text)


def rule(text: str) -> Any:
    document = read_document(text, Problems("r.yaml"))
    assert document is not None
    return as_json(document)


def faults(validator: Draft202012Validator, text: str) -> list[str]:
    """The places of the deepest faults, as paths into the file."""
    return sorted(
        {"/".join(map(str, one.absolute_path)) for one in _deepest(validator.iter_errors(rule(text)))}
    )


def _deepest(errors: Any) -> Iterator[Any]:
    for error in errors:
        yield from _deepest(error.context) if error.context else [error]


def test_it_is_a_valid_schema(made: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(made)


def test_every_reference_in_it_leads_somewhere(made: dict[str, Any]) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, Mapping):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    assert {one.removeprefix("#/$defs/") for one in references(made)} == set(made["$defs"])


@pytest.mark.parametrize("path", RULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_takes_every_rule_that_is_right(validator: Draft202012Validator, path: Path) -> None:
    assert validator.is_valid(rule(path.read_text(encoding="utf-8"))), faults(validator, path.read_text())


@pytest.mark.parametrize(
    "conditions",
    [
        "order.total: at least 200 USD",
        "order.total: {at least: 100, less than: 500}",
        'order.total: {">=": 100}',
        "order.line_items.sku: mug",
        '"order.line_items[0].sku": mug',
        '"order.line_items[*].adjustments.label": contains Sale',
        "any of order.line_items: {sku: mug, quantity: 2}",
        "any_of order.line_items: {adjustments.label: Sale}",
        "none of order.payments: {state: failed}",
        "count of order.line_items: at least 3",
        '"sum of order.line_items[*].quantity": at least 3',
        "any of order.line_items.sku: starts with mug",
        "all: [{any: [{order.state: complete}]}]",
        '"$.order.line_items[?(@.quantity >= 10)].sku": present',
        'formula: "order.total > 5"',
        "order.state: {changed_to: complete}",
        "order.state: [complete, canceled]",
        "order.state: a state of tomorrow",
        "event.late: no",
    ],
)
def test_it_takes_every_way_to_write_a_condition(validator: Draft202012Validator, conditions: str) -> None:
    assert not faults(validator, f"when: order_completed\nif:\n  {conditions}\n{THEN}")


@pytest.mark.parametrize(
    "text",
    [
        f"when: order_completed\nif: [{{path: order.total, is: at least, value: 200}}]\n{THEN}",
        f"when: [order_completed, shipment_shipped]\nif: {{shipment.number: present}}\n{THEN}",
        f"when: order_*\nif: {{order.number: present}}\n{THEN}",
        f"when: every weekday at 08:00\nover: {{event: order_completed, within: 1 day}}\n{THEN}",
        f"when: shipment_shipped\nif: {{order.total: at least 5 USD}}\n{THEN}",
        f"when: order_completed\nlate-events: yes\n{THEN}",
        "when: order_completed\nthen: [{http: {post: /a, connection: erp, json: {a: 1}, on_gap: send}}]\n",
    ],
)
def test_it_takes_every_form_of_a_rule(validator: Draft202012Validator, text: str) -> None:
    assert not faults(validator, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"wehn: order_completed\n{THEN}", ""),
        (f"when: order_completed\nunles: {{order.state: complete}}\n{THEN}", ""),
        (f"when: order_completed\nmode: live\n{THEN}", "mode"),
        (f"when: order_complete\n{THEN}", "when"),
        (f"when: order_completed\nif: {{order.totl: 5}}\n{THEN}", "if"),
        (f"when: order_completed\nif: {{stock_item.count_on_hand: 5}}\n{THEN}", "if"),
        (f"when: order_completed\nif: {{order.total: {{at laest: 5}}}}\n{THEN}", "if/order.total"),
        (
            f"when: order_completed\nif: {{any of order.line_items: {{skuu: mug}}}}\n{THEN}",
            "if/any of order.line_items",
        ),
        ("when: order_completed\nthen: [{slak: {text: hello}}]\n", "then/0"),
        ("when: order_completed\nthen: [{slack: {txt: hello}}]\n", "then/0/slack"),
        ("when: order_completed\nthen: [{email: {subject: hello}}]\n", "then/0/email"),
        ("when: order_completed\nthen: {slack: {text: hello}}\n", "then"),
        (
            f"when: order_completed\n{THEN}tests: [{{given: order_completed, expect: fire}}]\n",
            "tests/0/expect",
        ),
        (
            f"when: order_completed\n{THEN}tests: [{{given: order_completed, expect: fires, with: {{order.totl: 5}}}}]\n",
            "tests/0/with",
        ),
    ],
)
def test_it_refuses_what_is_misspelt_at_the_right_place(
    validator: Draft202012Validator, text: str, place: str
) -> None:
    assert place in faults(validator, text)


def test_every_setting_and_field_has_its_help(made: dict[str, Any], language: Language) -> None:
    assert [made["properties"][word]["description"] for word in RULE_SETTINGS] == list(RULE_SETTINGS.values())
    lines = made["$defs"]["order conditions"]["properties"]
    for path, info in language.event_types["order_completed"].fields.items():
        if not path.endswith("[*]"):
            assert lines[path]["description"].startswith(info.help)


def test_known_values_are_offered(made: dict[str, Any]) -> None:
    state = made["$defs"]["order conditions"]["properties"]["order.payment_state"]
    assert state["examples"][:5] == ["paid", "balance_due", "credit_owed", "failed", "void"]


def test_the_fields_that_an_event_carries_are_offered_before_those_known_beside_it(
    made: dict[str, Any],
) -> None:
    offered = list(made["$defs"]["shipment conditions"]["properties"])
    assert offered.index("shipment.number") < offered.index("order.number")


def test_words_of_later_versions_are_taken_and_not_offered(made: dict[str, Any], language: Language) -> None:
    assert set(made["properties"]["then"]["items"]["properties"]) == set(language.actions)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_takes_whatever_the_rulebook_takes(
    validator: Draft202012Validator, random_rules: ModuleType, data: st.DataObject
) -> None:
    text = data.draw(random_rules.rules()).text
    assert not faults(validator, text), text
