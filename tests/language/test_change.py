"""One place of an event is changed in a copy, and a path that leads nowhere is told."""

from __future__ import annotations

from typing import Any

import pytest

from engine.language.change import replaced
from engine.language.path import parse_path

EVENT = {"order": {"total": "5", "lines": [{"sku": "A"}, {"sku": "B"}], "user": None}}


def change(path: str) -> Any:
    """The event with what a path leads to put in brackets."""
    return replaced(EVENT, parse_path(path).steps or (), lambda old: f"({old})")["order"]


def test_what_the_path_leads_to_is_changed_from_its_old_value_and_the_original_stays() -> None:
    assert change("order.total") == {**EVENT["order"], "total": "(5)"}
    assert change("order.lines[1].sku")["lines"] == [{"sku": "A"}, {"sku": "(B)"}]
    assert change("order.lines[-1].sku")["lines"] == [{"sku": "A"}, {"sku": "(B)"}]
    assert EVENT["order"]["total"] == "5"
    assert EVENT["order"]["lines"] == [{"sku": "A"}, {"sku": "B"}]


@pytest.mark.parametrize("path", ["order.lines[*].sku", "order.lines.sku"])
def test_every_item_of_a_list_is_changed_where_none_is_named(path: str) -> None:
    assert change(path)["lines"] == [{"sku": "(A)"}, {"sku": "(B)"}]


def test_names_that_are_new_are_made() -> None:
    assert change("order.gift.note")["gift"] == {"note": "(None)"}


@pytest.mark.parametrize(
    "path", ["order.lines[5].sku", "order.total.cents", "order[0]", "order.user.id", "order[*].x"]
)
def test_a_path_that_leads_nowhere_is_told(path: str) -> None:
    with pytest.raises(LookupError):
        change(path)
