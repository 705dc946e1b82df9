"""Paths find what the standard says, are refused with the place of their fault, and can cost little."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.path import Path, PathError, PathLimit, join_paths, parse_path

ORDER: dict[str, Any] = {
    "order": {
        "total": "10.63",
        "state": "complete",
        "gift note": "hi",
        "line_items": [
            {
                "sku": "A",
                "quantity": 12,
                "total": "$10.00",
                "price": Decimal("1.1"),
                "adjustments": [{"amount": 1}, {"amount": 2}],
            },
            {"sku": "B", "quantity": 1, "total": "$0.63", "price": Decimal("2"), "adjustments": []},
        ],
    }
}


def find(path: str, root: object = ORDER) -> list[object]:
    return parse_path(path).find(root)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("order.total", ["10.63"]),
        ("$.order.total", ["10.63"]),
        ("order.nothing", []),
        ("order.total.more", []),
        ("order.line_items[0].sku", ["A"]),
        ("order.line_items[-1].sku", ["B"]),
        ("order.line_items[7].sku", []),
        ("order.line_items[*].sku", ["A", "B"]),
        ("order.line_items[*].adjustments[*].amount", [1, 2]),
        ('order["gift note"]', ["hi"]),
        ("order['gift note']", ["hi"]),
        ('["order"].total', ["10.63"]),
        ("$['order']['gift note']", ["hi"]),
        ("$.order.line_items[?(@.quantity >= 10)].sku", ["A"]),
        ("order.line_items[?@.quantity >= 10].sku", ["A"]),
        ("$..amount", [1, 2]),
        ("$.order.line_items[::-1].sku", ["B", "A"]),
        ("$.order.line_items[0]['sku','quantity']", ["A", 12]),
        ("$.order.line_items[?length(@.adjustments) > 1 && @.sku != 'B'].sku", ["A"]),
        ("$.order.line_items[?count(@.adjustments[*]) == 0].sku", ["B"]),
        ("$.order.line_items[?!@.adjustments[0]].sku", ["B"]),
        ("$.order.line_items[?match(@.sku, '[AX]')].quantity", [12]),
        ("$.order.line_items[?search(@.total, '63')].sku", ["B"]),
        ("$.order.line_items[?value(@.adjustments[?@.amount > 1]) == null || @.sku == 'B'].sku", ["B"]),
    ],
)  # fmt: skip
def test_a_path_finds_what_the_standard_says(path: str, found: list[object]) -> None:
    assert find(path) == found


@pytest.mark.parametrize("path", ["order.line_items.sku", "order.line_items.adjustments.amount"])
def test_a_bare_path_looks_into_the_items_of_a_list_and_jsonpath_does_not(path: str) -> None:
    assert find(path) == find(path.replace("items.", "items[*].").replace("adjustments.", "adjustments[*]."))
    assert find(path) != []
    assert find(f"$.{path}") == []


def test_the_steps_of_a_simple_path_are_known_and_those_of_others_are_not() -> None:
    assert parse_path("order.line_items[*].adjustments[0].amount").steps == (
        "order", "line_items", None, "adjustments", 0, "amount",
    )  # fmt: skip
    assert parse_path("$.order.total").steps == ("order", "total")
    assert parse_path("$..sku").steps is None
    assert parse_path("$.order.line_items[?@.sku]").steps is None


def test_nulls_and_plain_values_among_the_items_are_passed_over() -> None:
    event = {"order": {"line_items": [None, 5, {"sku": "A", "quantity": 2}, [], "text"]}}
    for path in (
        "$.order.line_items[?(@.quantity > 1)].sku",
        "order.line_items.sku",
        "order.line_items[*].sku",
        "$..sku",
    ):
        assert find(path, event) == ["A"]
    assert find("$.order.line_items[?(@.sku =~ 'A')].sku", event) == ["A"]
    assert find("$.order.line_items.`sorted`", event) == [[5, "text", None, {"sku": "A", "quantity": 2}, []]]


def test_an_event_may_be_any_mapping() -> None:
    event: Mapping[str, Any] = MappingProxyType({"order": {"total": 1}})
    assert find("order.total", event) == [1]


# Numbers in filters.


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("@.n == 1.1", [Decimal("1.1")]),
        ("@.n == 1.10", [Decimal("1.1")]),
        ("@.n == 9007199254740993", [9007199254740993]),
        ("@.n > 9007199254740992", [9007199254740993, 10**400]),
        ("@.n < 1e400 && @.n > 1e10", [9007199254740993]),
        ("@.n == 1e400", [10**400]),
        ("@.n == true", [True]),
        ("@.n == 1", []),
        ("@.n <= null", [None]),
        ("@.n == 'x'", ["x"]),
        ("@.n < 'y'", ["x"]),
    ],
)
def test_numbers_in_a_filter_compare_exactly_and_with_their_own_kind_only(
    filter: str, found: list[object]
) -> None:
    values = [Decimal("1.1"), 9007199254740992, 9007199254740993, 10**400, True, None, "x"]
    event = {"list": [{"n": value} for value in values if value != 9007199254740992]}
    assert find(f"$.list[?{filter}].n", event) == found


def test_true_and_one_are_not_the_same_even_deep_inside() -> None:
    event = {"list": [{"a": [True]}, {"a": [1]}], "one": [1]}
    assert find("$.list[?@.a == $.one].a", event) == [[1]]


def test_a_dollar_in_a_filter_inside_a_filter_is_still_the_whole_event() -> None:
    event = {"wanted": 2, "list": [{"parts": [{"n": 1}, {"n": 2}]}, {"parts": [{"n": 3}]}]}
    assert find("$.list[?@.parts[?@.n == $.wanted]].parts[*].n", event) == [1, 2]


# Beyond the standard.


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.order.line_items.`len`", [2]),
        ("$.order.line_items[0].`keys`", ["sku", "quantity", "total", "price", "adjustments"]),
        ("$.order.line_items[?(@.sku =~ '^[AX]$')].quantity", [12]),
        ("$.order.line_items[?(@.quantity > 0 & @.sku == 'B')].quantity", [1]),
        ("$.order.line_items[?(@.price == 1.1)].`len`", [5]),
        ("$.order.line_items[\\quantity][0].sku", ["A"]),
        ("$.order.line_items[/quantity][0].sku", ["B"]),
        ("order.line_items.`len`", [2]),
        ("$.order where total", [ORDER["order"]]),
    ],
)
def test_the_known_extensions_work_and_are_noted_as_not_standard(path: str, found: list[object]) -> None:
    parsed = parse_path(path)
    assert parsed.find(ORDER) == found
    assert not parsed.standard
    assert any("not standard JSONPath" in note.message for note in parsed.notes)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("$.order.email.`sub(/a/, b)`", "matches regex"),
        ("$.order.email.`split(@, 0, -1)`", "has part"),
        ("$.order.total * 2", "formula"),
        ("$.order.total + $.order.total", "formula"),
        ("$.order.`parent`", "not offered"),
        ("$.order.total.`str()`", "not offered"),
        ("$.list[?(@.x & @.y)]", "&&"),
        ("$.order.total | $.order.state", "any:"),
        ("$.list[?(@.x =~ '(a')]", "closing )"),
        ("$.list[?(@.x =~ '(?=a)b')]", "looks ahead"),
    ],
)
def test_extensions_that_rewrite_or_calculate_are_refused_with_the_way_to_say_it_here(
    path: str, word: str
) -> None:
    with pytest.raises(PathError) as fault:
        parse_path(path)
    assert word in fault.value.message


# Faults.


@pytest.mark.parametrize(
    ("path", "offset", "message", "hint"),
    [
        ("$.order.total > 100", 14, "a comparison goes after the colon", "order.total: more than 100"),
        ("order.total >= 100", 12, "a comparison goes after the colon", "order.total: at least 100"),
        ("{{ order.total }}", 0, "without {{ }}", "order.total"),
        ("$order.total", 1, "a dot is missing after the $", "write `order.total`"),
        (
            "$.order.total.",
            13,
            "a field name is missing after the last dot",
            "write `order.total` without the `$.`",
        ),
        ("$.order.", 7, "ends too early", "write `order` without"),
        ("order.total.", 11, "ends too early", "order.total"),
        ("", 0, "the path is empty", "order.total"),
        ("   ", 0, "the path is empty", "order.total"),
        (".order", 0, "starts with a dot", "order"),
        ("order..total", 5, "two dots", "order.total"),
        (
            "order.gift note",
            10,
            'a name that has the blank in it is written `order["gift note"]`',
            "order.gift_note",
        ),
        ("order.ship address.city", 10, "there is a blank in the path", "order.ship_address.city"),
        ("order total", 5, "there is a blank in the path `order total`", "order.total"),
        ("order payment state", 5, "there is a blank in the path", "order.payment_state"),
        ("stock item.count_on_hand", 5, "there is a blank in the path", "stock_item.count_on_hand"),
        ("order.gift-note.x", 6, "brackets and quotes", 'order["gift-note"].x'),
        ("order.line_items[0", 16, "a closing ] is missing", "order.line_items[0]"),
        ("order.1st", 6, 'cannot be read from "1st" on', ""),
        ("order,total", 5, 'cannot be read from ",total" on', ""),
        ("$[?(__import__('os').system('x'))]", 4, "cannot be read", ""),
    ],
)
def test_what_is_no_path_is_refused_at_its_fault_with_what_to_write(
    path: str, offset: int, message: str, hint: str
) -> None:
    with pytest.raises(PathError) as fault:
        parse_path(path)
    assert message in fault.value.message
    assert fault.value.offset == offset
    assert hint in fault.value.hint
    assert not any(word in fault.value.message for word in ("TOKEN", "Error", "None"))


def read(text: str) -> tuple[Path | None, PathError | None]:
    try:
        return parse_path(text), None
    except PathError as fault:
        return None, fault


@given(st.text(alphabet="$.@[]()?*'\"`:,<>=!&|/\\{}ab1 -_\n", max_size=30))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_text_is_either_a_path_or_refused_in_words(text: str) -> None:
    path, fault = read(text)
    if fault is not None:
        assert fault.message
        assert 0 <= fault.offset <= max(len(text), 1)
    else:
        assert path is not None
        path.find(ORDER)
        path.find({"a": [None, 1, "x", {"b": []}]})


# What the author should know.


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("$.order.line_items[?(@.quantity > '0')].sku", "Write 0 without quotes"),
        ("$.order.line_items[?(@.total > '$9.50')].sku", "any of order.line_items: {total: more than $9.50}"),
        ("$[?(@.order.state=='complete')]", "order.state: complete"),
    ],
)
def test_a_filter_that_cannot_mean_what_it_says_is_warned_about(path: str, hint: str) -> None:
    warnings = [note for note in parse_path(path).notes if note.severity == "warning"]
    assert [note.hint for note in warnings] == [hint]


def test_what_a_filter_stands_on_and_compares_is_told_to_those_who_know_the_event() -> None:
    (use,) = parse_path("$.order[?(@.state=='complete')]").filters
    assert use.parent == ("order",)
    assert [(one.names, one.operator, one.literal) for one in use.compares] == [
        (("state",), "==", "complete")
    ]


# Bounds.


@pytest.mark.parametrize(
    "path", ["$..a..b", "$..a[?@..b]", "$.a[?@..b && @..c]", "$.a.b.c.d.e.f.g.h.i.j.k.l.m", "a" * 501]
)
def test_a_path_that_could_cost_much_is_refused_at_load(path: str) -> None:
    with pytest.raises(PathError):
        parse_path(path)


def test_twelve_steps_and_one_descent_are_still_fine() -> None:
    assert parse_path("$..a.b.c.d.e.f.g.h.i.j.k.l")
    assert parse_path("a.b.c.d.e.f.g.h.i.j.k.l")


def big_event() -> dict[str, Any]:
    """About 256 kB and 20,000 values."""
    lines = [
        {"id": i, "sku": f"s{i}", "quantity": i % 5, "parts": [{"amount": "$1.11"}]} for i in range(2500)
    ]
    return {"order": {"line_items": lines}}


@pytest.mark.parametrize(
    "path",
    [
        "$..*",
        "$..[*,*,*,*,*]",
        "$..[?@.*]",
        "$.order.line_items[?count($.order.line_items[*]) > 3]",
        "$[*,*,*][*,*,*][*,*,*][*,*,*][*,*,*][*,*,*][*,*,*]",
    ],
)
def test_the_costliest_paths_end_in_a_sentence_soon(path: str) -> None:
    event = big_event()
    started = time.perf_counter()
    with pytest.raises(PathLimit, match="of this event"):
        parse_path(path).find(event)
    assert (
        time.perf_counter() - started < 2
    )  # a quarter of a second on a quiet machine; unbounded it is minutes


def test_a_simple_path_finds_everything_however_much_it_is() -> None:
    assert len(find("order.line_items[*].sku", big_event())) == 2500


def test_the_paths_of_fifty_rules_over_three_hundred_lines_take_no_time() -> None:
    line = {"sku": "A", "adjustments": [{"amount": "$1.00"}]}
    event = {"order": {"line_items": [dict(line) for _ in range(300)]}}
    paths = [
        parse_path(text) for text in ("$..sku", "$..amount", "$.order.line_items[*].adjustments[*].amount")
    ]
    started = time.perf_counter()
    for _ in range(50):
        assert [len(path.find(event)) for path in paths] == [300, 300, 300]
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "([a-z]+)*x", "(.*a){20}", "^(a?){30}a{30}$"]
)
def test_an_evil_pattern_in_a_path_takes_no_time(pattern: str) -> None:
    event = {"list": [{"x": "a" * 5000 + "!"}]}
    paths = [parse_path(f"$.list[?search(@.x, '{pattern}')]"), parse_path(f"$.list[?(@.x =~ '{pattern}')]")]
    started = time.perf_counter()
    for path in paths:
        path.find(event)
    assert time.perf_counter() - started < 1


# Laws.

names = st.sampled_from(["a", "b", "c d"])
documents = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
simple_steps = st.lists(names | st.integers(-2, 2) | st.none(), min_size=1, max_size=4)


def written(steps: list[str | int | None]) -> str:
    return "".join(
        f'["{step}"]' if isinstance(step, str) else f"[{'*' if step is None else step}]" for step in steps
    )


def plainly(values: list[Any], steps: list[str | int | None], through: bool) -> list[Any]:
    """The same, written so plainly that it can be believed."""
    for step in steps:
        found: list[Any] = []
        for value in values:
            if isinstance(step, str) and through and isinstance(value, list):
                found += [one for item in value for one in plainly([item], [step], True)]
            elif isinstance(step, str):
                found += [value[step]] if isinstance(value, dict) and step in value else []
            elif step is None:
                found += (
                    list(value.values())
                    if isinstance(value, dict)
                    else value
                    if isinstance(value, list)
                    else []
                )
            elif isinstance(value, list) and -len(value) <= step < len(value):
                found.append(value[step])
        values = found
    return values


@given(documents, simple_steps)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_direct_lookup_finds_what_a_plain_walk_finds(document: Any, steps: list[str | int | None]) -> None:
    assert parse_path(written(steps)).find(document) == plainly([document], steps, through=True)
    assert parse_path(f"${written(steps)}").find(document) == plainly([document], steps, through=False)


@given(documents, st.lists(names, min_size=1, max_size=2), st.lists(names, min_size=1, max_size=2))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_joined_path_finds_all_that_the_inner_one_finds_in_each_item(
    document: Any, outer: list[str], inner: list[str]
) -> None:
    first, second = parse_path(written(list(outer))), parse_path(written(list(inner)))
    joined = join_paths(first, second)
    assert joined is not None
    items = [
        item for value in first.find(document) for item in (value if isinstance(value, list) else [value])
    ]
    found = joined.find(document)
    assert all(value in found for item in items for value in second.find(item))
