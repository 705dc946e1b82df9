"""The host of a call is its author's; values fill path and query, and stay in their place."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.node import ScalarNode
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.url import Address, AddressValue


def address(text: str) -> AddressValue:
    problems = Problems("rule.yaml")
    value = Address("post", "help").read(ScalarNode(text, Mark(3, 7), "double"), problems)
    assert isinstance(value, AddressValue), problems.found
    return value


def filled(text: str, value: object) -> tuple[str, list[str]]:
    found, gaps = address(text).render(Scope({"v": value}, datetime(2026, 11, 25, tzinfo=UTC)))
    return found, [gap.because for gap in gaps]


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("/orders", False),
        ("orders", False),
        ("https://x.test/a", True),
        ("HTTPS://x.test", True),
        ("{{ v }}", False),
    ],
)
def test_an_address_is_whole_or_a_path(text: str, absolute: bool) -> None:
    assert address(text).absolute is absolute


@given(st.text(min_size=1))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_value_leaves_its_place_in_the_path(value: str) -> None:
    found, gaps = filled("https://api.test/orders/{{ v }}/lines?note={{ v }}#end", value)
    if gaps:
        return
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.test", "end")
    first, orders, number, lines = parts.path.split("/")
    assert (first, orders, lines) == ("", "orders", "lines")
    assert unquote(number) == value
    assert unquote(parts.query) == f"note={value}"


@pytest.mark.parametrize("value", ["..", ".", "../..", "a/../b"])
def test_dots_that_would_climb_are_a_gap_or_encoded(value: str) -> None:
    found, gaps = filled("/orders/{{ v }}", value)
    assert gaps == ["a value would lead to another path of the address"] or ".." not in found.split("/")


@pytest.mark.parametrize("text", ["/orders/.{{ v }}", "/orders/{{ v }}{{ v }}", "/orders/%2e{{ v }}"])
def test_dots_that_come_together_are_a_gap_too(text: str) -> None:
    assert filled(text, ".")[1] == ["a value would lead to another path of the address"]


def test_a_gap_names_the_line_of_the_rule() -> None:
    _, gaps = address("/orders/{{ v }}").render(Scope({"v": None}, datetime(2026, 11, 25, tzinfo=UTC)))
    assert [(gap.line, gap.because) for gap in gaps] == [(3, "a value in the path of the address is empty")]
