"""Fields are changed by path, and a value written on the command line gets the kind that its field has."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.changes import CannotChange, changed, read_change

SAMPLE = EVENT_TYPES["order_completed"].sample


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        ("order.total=250.00", "order.total", "250.00"),
        ("order.number=42", "order.number", "42"),
        ("order.ship_address.zipcode=01234", "order.ship_address.zipcode", "01234"),
        ("order.email=null", "order.email", None),
        ("order.cart_url=https://x.example/?a=b", "order.cart_url", "https://x.example/?a=b"),
        ("order.item_count=12", "order.item_count", 12),
        ("order.line_items[0].quantity=12", "order.line_items[0].quantity", 12),
        ("order.id=123456789012345678901234567890", "order.id", 123456789012345678901234567890),
        ("order.subscription_order=true", "order.subscription_order", True),
        ("order.subscription_order=Yes", "order.subscription_order", True),
        ("order.line_items=[]", "order.line_items", []),
        ("order.line_items[-1].sku=007", "order.line_items[-1].sku", "007"),
        ("order.line_items.sku=007", "order.line_items.sku", "007"),
        ("order.completed_at = 2026-11-28", "order.completed_at", "2026-11-28"),
        (" order.total =", "order.total", ""),
    ],
)
def test_a_value_gets_the_kind_of_its_field(words: str, path: str, value: Any) -> None:
    read = read_change("order_completed", words)
    assert read == (path, value)
    assert type(read[1]) is type(value)


@pytest.mark.parametrize(
    ("words", "value"),
    [("gift.price=1.50", Decimal("1.50")), ("gift.note=for you", "for you"), ("gift.to=[]", [])],
)
def test_an_event_type_that_is_not_known_may_have_any_field(words: str, value: Any) -> None:
    assert read_change("gift_given", words)[1] == value


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("order.total", '"order.total" is not PATH=VALUE: write for example order.total=250.00'),
        ("=5", "is not PATH=VALUE"),
        ("order.item_count=many", "order.item_count is a number, not 'many'"),
        ("order.item_count=true", "order.item_count is a number, not 'true'"),
        ("order.subscription_order=maybe", "order.subscription_order is true or false, not 'maybe'"),
        ("order.=5", "order."),
        ("order.totl=5", "order_completed events have no field order.totl. Did you mean `order.total`?"),
        (
            "order.complted_at=2026-11-28",
            "order_completed events have no field order.complted_at. Did you mean `order.completed_at`?",
        ),
        ("order.line_items[0].skuu=A", "Did you mean `order.line_items[*].sku`?"),
        ("stock_item.count_on_hand=5", "order_completed events have no field stock_item.count_on_hand"),
        ("$..sku=5", "$..sku names no single field"),
    ],
)
def test_a_change_that_cannot_be_read_is_refused_with_the_reason(words: str, reason: str) -> None:
    with pytest.raises(CannotChange) as raised:
        read_change("order_completed", words)
    assert reason in str(raised.value)


def test_only_the_named_places_change_and_the_original_not_at_all() -> None:
    before = SAMPLE["order"]["total"]
    body = changed(SAMPLE, {"order.total": "1.00", "order.payments[*].state": "failed", "order.new.key": 5})
    assert body["order"]["total"] == "1.00"
    assert [payment["state"] for payment in body["order"]["payments"]] == ["failed", "failed"]
    assert body["order"]["new"] == {"key": 5}
    assert body["order"]["email"] == SAMPLE["order"]["email"]
    assert SAMPLE["order"]["total"] == before
    assert "new" not in SAMPLE["order"]


@pytest.mark.parametrize(
    "path", ["order.line_items[5].sku", "order.total.cents", "order[0]", "order.user[*].id"]
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(CannotChange, match="leads nowhere in this event"):
        changed(SAMPLE, {path: "x"})
