"""What stands after a field and was meant as something else is told with the line that says it."""

from __future__ import annotations

from textwrap import indent

import pytest

from engine.language.condition import Condition, read_conditions
from engine.language.document import read_document
from engine.language.problem import Problem, Problems


def read(block: str) -> tuple[tuple[Condition, ...], list[Problem]]:
    """The conditions under `if:` and their faults."""
    problems = Problems("rule.yaml")
    document = read_document(f"if:\n{indent(block, '  ')}\n", problems)
    return (read_conditions(document.entries[0].value, problems) if document else ()), problems.sorted()


FAULTS = {
    # several values
    "order.country: in [Canada, Mexico]": "order.country: [Canada, Mexico]",
    "order.country: is in [Canada, Mexico]": "order.country: [Canada, Mexico]",
    "order.country: not in [Canada, Mexico]": "order.country: not one of [Canada, Mexico]",
    "order.country: is not in [Canada, Mexico]": "order.country: not one of [Canada, Mexico]",
    "order.country: in Canada, Mexico": "order.country: [Canada, Mexico]",
    "order.channel: either app or web": "order.channel: [app, web]",
    # conditions of items
    "any of order.line_items: quantity more than 5": "any of order.line_items: {quantity: more than 5}",
    "none of order.line_items: quantity > 5": 'none of order.line_items: {quantity: "> 5"}',
    "every one of order.line_items: sku is A": "every one of order.line_items: {sku: A}",
    "any of order.line_items: quantity more than 5 and sku starts with A":
        "any of order.line_items: {quantity: more than 5, sku: starts with A}",
    "sum of order.line_items: {quantity: more than 5}": "sum of order.line_items[*].quantity: more than 5",
    "sum of order.line_items[*]: {quantity: {more than: 5}}": "sum of order.line_items[*].quantity: …",
    "count of order.line_items: {quantity: more than 5}": "any of order.line_items: {quantity: more than 5}",
    # days
    "order.completed_at: weekend": "order.completed_at: on a weekend",
    "order.completed_at: is not weekend": "order.completed_at: on a weekday",
    "order.completed_at: on a Sunday": "order.completed_at: on a weekend",
    "order.completed_at: on Monday": "order.completed_at: on a weekday",
    "order.completed_at: Fridays": "order.completed_at: on a weekday",
    # amounts
    "order.total: 100-300": "order.total: between 100 and 300",
    "order.total: 100 - 300 USD": "order.total: between 100 and 300 USD",
    "order.total: $100 to $300": "order.total: between $100 and $300",
    "order.total: is not 100–300": "order.total: not between 100 and 300",
    "order.total: between 100-300": "order.total: between 100 and 300",
    "order.total: at least 100 and 300": "order.total: between 100 and 300",
    "order.total: 200 or more": "order.total: at least 200",
    "order.total: 200+": "order.total: at least 200",
    "order.total: at least 200 or more": "order.total: at least 200",
    "order.total: 5 euros or less": "order.total: at most 5 EUR",
    "order.total: 200 dollars": "order.total: 200 USD",
    "order.total: more than 150 euros": "Write 150 EUR",
    "order.total: more than 150 Canadian dollars": "Write 150 CAD",
    "order.total: at least about 200": "Write 200",
    # two conditions
    "order.total: at most 200 and at least 100": "order.total: between 100 and 200",
    "order.total: at least 100, at most 200": "order.total: between 100 and 200",
    "order.total: more than 100 but less than 200": "order.total: {more than: 100, less than: 200}",
    "order.total: less than 5 or more than 100":
        "any:\n  - order.total: less than 5\n  - order.total: more than 100",
    "order.email: contains a and contains b": "all:\n  - order.email: contains a\n  - order.email: contains b",
    "order.completed_at: after 2026-01-01 and before 2026-02-01":
        "order.completed_at: {after: 2026-01-01, before: 2026-02-01}",
    "order.total: at least 200 USD and order.channel is app":
        "order.total: at least 200 USD\norder.channel: app",
    "order.channel: app or order.total at least 5":
        "any:\n  - order.channel: app\n  - order.total: at least 5",
    # fields
    "order.total: more than order.payment_total": 'formula: "order.total > order.payment_total"',
    "order.total: order.item_total": 'formula: "order.total == order.item_total"',
    "order.completed_at: before order.updated_at": "",
    # nothing
    'order.total: ""': "For a field without value write `order.total: missing`",
    'order.total: is not ""': "For a field with any value write `order.total: present`",
    'order.email: contains ""': "For a field with any value write `order.email: present`",
    'order.email: {exactly: ""}': "For a field without value write `order.email: missing`",
    'order.channel: [app, ""]': "For a field without value write `order.channel: missing`",
}  # fmt: skip


@pytest.mark.parametrize(("block", "hint"), FAULTS.items(), ids=FAULTS)
def test_a_line_that_could_never_hold_is_a_fault_with_the_right_line(block: str, hint: str) -> None:
    conditions, problems = read(block)
    assert [(one.severity, one.hint) for one in problems] == [("error", hint)]
    assert conditions == ()


@pytest.mark.parametrize("hint", [hint for hint in FAULTS.values() if ": " in hint and "write" not in hint])
def test_what_is_to_be_written_instead_is_understood(hint: str) -> None:
    conditions, problems = read(hint.replace("…", "more than 5"))
    assert problems == []
    assert conditions


WARNINGS = {
    "order.country: Canada or Mexico": "order.country: [Canada, Mexico]",
    "order.country: Canada, Mexico, or Peru": "order.country: [Canada, Mexico, Peru]",
    "order.country: is not Canada or Mexico": "order.country: not one of [Canada, Mexico]",
    "order.country: {is: Canada or Mexico}": "order.country: [Canada, Mexico]",
    "order.state: changed to paid or void": "order.state: changed to [paid, void]",
    "order.state: in transit or delayed": "order.state: [in transit, delayed]",
    "order.email: contains example or test": "order.email: contains [example, test]",
    "order.email: {ends with: '@a.example or b'}": None,
    "order.email: does not contain a, b": "order.email: does not contain [a, b]",
}


@pytest.mark.parametrize(("block", "hint"), WARNINGS.items(), ids=WARNINGS)
def test_several_values_without_quotes_are_told_and_in_quotes_they_are_one(
    block: str, hint: str | None
) -> None:
    conditions, problems = read(block)
    assert [(one.severity, one.hint) for one in problems] == ([("warning", hint)] if hint else [])
    assert len(conditions) == 1


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ("order.x: one of [Canada, Mexico]", "order.x one of Canada, Mexico"),
        ("order.x: one of Canada, Mexico or Peru", "order.x one of Canada, Mexico, Peru"),
        ("order.x: not one of [a, b]", "order.x not one of a, b"),
        ("order.x: is not [a, b]", "order.x is not a, b"),
        ('order.x: one of ["New York, NY", b]', "order.x one of New York, NY, b"),
        ("order.x: contains [a, b]", "order.x contains a, b"),
        ("order.x: matches [a*, b*]", "order.x matches a*, b*"),
        ("order.x: changed to [a, b]", "order.x changed to a, b"),
    ],
)
def test_a_list_in_brackets_may_follow_a_comparison(block: str, sentence: str) -> None:
    conditions, problems = read(block)
    assert problems == []
    assert [one.text for one in conditions] == [sentence]


@pytest.mark.parametrize(
    "block",
    [
        'order.country: "Canada or Mexico"',
        'order.country: is "Canada, Mexico"',
        'order.country: {is: "in [a, b]"}',
        'order.size: "100-300"',
        "order.number: 100-300",
        "order.phone: 555-1234",
        "order.sku: 200+",
        "order.channel: on hold",
        "order.channel: Monday",
        "order.channel: weekend",
        "order.completed_at: 2026-01-01",
        "order.name: Salt and Pepper",
        "order.name: Mug - blue",
        "order.name: contains before and after",
        "order.state: in transit",
        "order.url: www.example.com",
        "order.note: exactly a or b",
        "order.note: matches regex a or b",
        "order.total: 1,234.50",
        "order.total: 200$",
        "order.total: at least 200 $ USD",
        "any of order.line_items: mug",
        "any of order.line_items.quantity: more than 5",
    ],
)
def test_a_line_that_may_be_meant_as_it_stands_is_left_alone(block: str) -> None:
    conditions, problems = read(block)
    assert problems == []
    assert len(conditions) == 1
