"""A structure keeps the shape and the types that its author wrote; values only fill its leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.document import read_document
from engine.language.problem import Problems
from engine.language.scope import Scope
from engine.language.structure import Structure
from engine.language.template import Target

SHOUT = Target("shout", lambda text: f"<{text}>", lambda address, text: f"<{address}>")


def filled(
    text: str, root: dict[str, Any], target: Target | None = None, **how: Any
) -> tuple[Any, list[str]]:
    problems = Problems("rule.yaml")
    document = read_document(text, problems)
    assert document is not None
    value = Structure("json", "help", **how).read(document, problems)
    assert value is not None, problems.found
    scope = Scope(root, datetime(2026, 11, 25, tzinfo=UTC))
    found, gaps = value.render(scope, target) if target else value.render(scope)
    return found, [gap.because for gap in gaps]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("0.50", Decimal("0.50")),
        ("12345678901234567890123", 12345678901234567890123),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("05", "05"),
        ("1e3", "1e3"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("22:00", "22:00"),
        (".5", ".5"),
        ("+5", "+5"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("2026-01-01", "2026-01-01"),
        ("5 pieces", "5 pieces"),
    ],
)
def test_only_plain_numbers_truth_values_and_null_are_typed(written: str, value: Any) -> None:
    found, _ = filled(f"a: {written}\n", {})
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    "value", [5, Decimal("10.63"), True, False, None, [1, {"a": None}], {"b": []}, "text"]
)
def test_a_leaf_that_is_one_value_keeps_its_type(value: Any) -> None:
    assert filled('a: "{{ v }}"', {"v": value}) == ({"a": value}, [])


def test_a_leaf_with_text_around_is_a_text() -> None:
    assert filled('a: "{{ v }} pieces"', {"v": 5})[0] == {"a": "5 pieces"}


def test_a_value_that_is_missing_is_a_gap_and_the_rest_is_filled_in() -> None:
    found, gaps = filled('a: "{{ w }}"\nb: "{{ v }}"\n', {"v": 5})
    assert found == {"a": None, "b": 5}
    assert len(gaps) == 1


def test_texts_are_made_safe_for_the_target_wherever_they_come_from() -> None:
    root = {"v": "x", "w": ["x", {"y": "x", "n": 1}]}
    found, _ = filled('a: "b {{ v }}"\nc: "{{ v }}"\nd: "{{ w }}"\ne: f\n', root, SHOUT)
    assert found == {"a": "b <x>", "c": "<x>", "d": ["<x>", {"y": "<x>", "n": 1}], "e": "f"}


def test_where_texts_are_wanted_a_number_is_one_but_a_list_stays_a_list() -> None:
    found, gaps = filled('a: "{{ v }}"\nb: "{{ w }}"\nc: "{{ u }}"\n', {"v": 5, "w": [1]}, SHOUT, texts=True)
    assert found == {"a": "<5>", "b": [1], "c": "[?]"}
    assert len(gaps) == 1


def test_parts_that_no_person_reads_take_values_as_they_are() -> None:
    text = 'button: {url: "https://x.test/{{ v }}", text: "{{ v }}"}\n'
    found, _ = filled(text, {"v": "x"}, SHOUT, bare=frozenset({"url"}))
    assert found == {"button": {"url": "https://x.test/x", "text": "<x>"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"{{ v }}": 1\n', "a name in a structure cannot come from the event: write it out"),
        ('a: "{{ v"\n', ""),
    ],
)
def test_a_structure_with_a_fault_cannot_be_used(text: str, told: str) -> None:
    problems = Problems("rule.yaml")
    document = read_document(text, problems)
    assert document is not None
    assert Structure("json", "help").read(document, problems) is None
    assert told in problems.found[0].message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_value_goes_in_whole_and_alone(value: Any) -> None:
    assert filled('a: {b: "{{ v }}"}\nadmin: false\n', {"v": value})[0] == {"a": {"b": value}, "admin": False}
