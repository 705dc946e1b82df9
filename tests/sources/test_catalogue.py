"""The catalogue says what Chord's webhook guide says: seven events, three objects, every field and value."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from engine.sources.chord.catalogue import EVENT_TYPES, US_STATES, hint

TIMES = "created_at updated_at"
ADJUSTMENT = f"id amount label source_type promotion_code {TIMES}"
SHIPMENT = (
    f"id tracking number cost shipped_at state {TIMES} adjustment_total additional_tax_total promo_total"
    " included_tax_total pushed delivered_at delivery_status external_tracking_url label_url adjustments"
)
ADDRESS = "id firstname lastname address1 address2 city zipcode phone state country state_name alternative_phone company"
KEYS = {
    "order": (
        f"id number item_total total state adjustment_total completed_at payment_total shipment_state payment_state"
        f" email {TIMES} currency last_ip_address shipment_total additional_tax_total promo_total channel"
        " included_tax_total item_count confirmation_delivered canceled_at canceler_id store_id"
        " checkout_session_id commission_total stripe_automatic_taxes subscription_order subscription_id cart_url"
        " user line_items shipments ship_address bill_address payments adjustments"
    ),
    "order.user": "id email stripe_user_id",
    "order.line_items[*]": "id name sku quantity total adjustments",
    "order.line_items[*].adjustments[*]": ADJUSTMENT,
    "order.shipments[*]": SHIPMENT,
    "order.shipments[*].adjustments[*]": ADJUSTMENT,
    "order.ship_address": ADDRESS,
    "order.bill_address": ADDRESS,
    "order.payments[*]": f"id amount payment_method state {TIMES}",
    "order.adjustments[*]": ADJUSTMENT,
    "shipment": f"{SHIPMENT} status_detail tracking_detail",
    "shipment.adjustments[*]": ADJUSTMENT,
    "stock_item": f"id stock_location count_on_hand backorderable {TIMES} variant",
    "stock_item.variant": f"id sku is_master amount subscribable bundle url main_image {TIMES}",
}
"""The keys of the guide's three objects ("Examples of event payloads"), by the path of what holds them."""


def key_sets(value: Any, path: str) -> Iterator[tuple[str, set[str]]]:
    """Every object inside a payload with its keys."""
    if isinstance(value, dict):
        yield path, set(value)
        for key, inner in value.items():
            yield from key_sets(inner, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        yield from key_sets(item, f"{path}[*]")


def test_the_guide_lists_seven_event_types_about_three_objects() -> None:
    """Guide, "Event types": the table."""
    assert {name: event.object for name, event in EVENT_TYPES.items()} == {
        "order_completed": "order",
        "order_cancelled": "order",
        "shipment_shipped": "shipment",
        "shipment_updated": "shipment",
        "shipment_delivery_status_updated": "shipment",
        "stock_item_back_in_stock": "stock_item",
        "stock_item_out_of_stock": "stock_item",
    }


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_a_sample_has_a_real_name_and_exactly_the_keys_of_the_guides_object(event: Any) -> None:
    """Guide, "Examples of event payloads"."""
    assert list(event.sample) == ["event_name", event.object]
    assert event.sample["event_name"] == event.name
    for path, keys in key_sets(event.sample[event.object], event.object):
        assert keys == set(KEYS[path].split()), path


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_the_field_table_has_every_path_of_the_guides_object_and_no_other(event: Any) -> None:
    """Guide, "Examples of event payloads"."""
    wanted = {"event_name"}
    for path, keys in KEYS.items():
        if path.split(".")[0] == event.object:
            wanted |= {path} | {path.removesuffix("[*]")} | {f"{path}.{key}" for key in keys.split()}
    assert set(event.fields) == wanted
    assert all(path == field.path for path, field in event.fields.items())


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_field_has_help_and_every_value_an_example_of_its_kind(event: Any) -> None:
    kinds = {"text": str, "amount": str, "time": str, "number": int, "truth": bool}
    for field in event.fields.values():
        assert field.help.endswith("."), field.path
        if field.kind in kinds:
            assert isinstance(field.example, kinds[field.kind]), field.path


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_sample_values_fit_the_kind_the_nulls_and_the_known_values_of_their_field(event: Any) -> None:
    def check(value: Any, path: str) -> None:
        field = event.fields[path]
        if value is None:
            assert field.nullable, path
        elif field.kind == "object":
            for key, inner in value.items():
                check(inner, f"{path}.{key}")
        elif field.kind == "list":
            for item in value:
                check(item, f"{path}[*]")
        elif field.values:
            assert value in field.values, path

    check(event.sample[event.object], event.object)


def test_the_sample_order_is_the_guides_order_where_rules_look() -> None:
    order = EVENT_TYPES["order_completed"].sample["order"]
    seen = {
        key: order[key] for key in ("number", "total", "currency", "channel", "payment_state", "cart_url")
    }
    assert seen == {
        "number": "ACS-176461162",
        "total": "10.63",
        "currency": "USD",
        "channel": "chord",
        "payment_state": "paid",
        "cart_url": None,
    }
    assert order["line_items"][0]["total"] == "$10.00"
    assert order["subscription_order"] is False


def test_the_samples_tell_one_story_so_that_joins_between_them_work() -> None:
    def sample(name: str) -> Any:
        return EVENT_TYPES[name].sample[EVENT_TYPES[name].object]

    parcel = sample("order_completed")["shipments"][0]["number"]
    for name in ("shipment_shipped", "shipment_updated", "shipment_delivery_status_updated"):
        assert sample(name)["number"] == parcel
    assert sample("order_cancelled")["number"] == sample("order_completed")["number"]
    assert sample("order_cancelled")["payment_state"] == "credit_owed"
    assert (
        sample("stock_item_out_of_stock")["variant"]["sku"]
        == sample("order_completed")["line_items"][0]["sku"]
    )


def test_numbers_of_a_sample_are_never_floats() -> None:
    def check(value: Any) -> None:
        assert not isinstance(value, float)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for event in EVENT_TYPES.values():
        check(event.sample)
        assert isinstance(event.sample[event.object]["id"], int | Decimal)


def test_status_detail_comes_with_shipment_events_only() -> None:
    assert "shipment.status_detail" in EVENT_TYPES["shipment_updated"].fields
    assert "order.shipments[*].status_detail" not in EVENT_TYPES["order_completed"].fields
    assert len(EVENT_TYPES["shipment_updated"].fields["shipment.status_detail"].values) == 28
    assert EVENT_TYPES["shipment_updated"].fields["shipment.tracking_detail"].values == ()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("order.state", "cancelled", 'Chord writes this state "canceled" (one l)'),
        ("order.shipment_state", "Cancelled", 'Chord writes this state "canceled" (one l)'),
        ("shipment.state", "cancelled", 'Chord writes this state "canceled" (one l)'),
        ("order.shipments[0].state", "cancelled", 'Chord writes this state "canceled" (one l)'),
        ("order.shipments.state", "cancelled", 'Chord writes this state "canceled" (one l)'),
        (
            "shipment.delivery_status",
            "canceled",
            'The carrier\'s tracker writes this status "cancelled" (two l)',
        ),
        ("shipment.delivery_status", "lost", "lost is a word of shipment.status_detail"),
        ("shipment.status_detail", "delivered", "delivered is a word of shipment.delivery_status"),
        (
            "order.ship_address.state",
            "NY",
            'order.ship_address.state holds full names ("New York"); "NY" has never been seen',
        ),
        (
            "order.bill_address.country",
            "us",
            'order.bill_address.country holds full names ("United States"); "us" has never been seen',
        ),
        (
            "order.payment_state",
            "refunded",
            "For a cancelled order with money still held use credit_owed; void means that nothing is left",
        ),
        ("event_name", "order_canceled", 'Chord writes this event "order_cancelled" (two l)'),
        (
            "event_name",
            "shipping_delivery_status_updated",
            'Chord writes this event "shipment_delivery_status_updated"',
        ),
    ],
)
def test_a_usual_mistake_gets_the_senders_own_spelling(path: str, value: str, said: str) -> None:
    assert hint(path, value) == said


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_no_known_value_is_taken_for_a_mistake(event: Any) -> None:
    for path, field in event.fields.items():
        assert [hint(path, value) for value in field.values] == [None] * len(field.values)


def test_full_names_are_no_mistake() -> None:
    assert all(hint("order.ship_address.state", name) is None for name in US_STATES.values())
    assert hint("order.line_items[*].sku", "NY") is None
