"""The sandbox's shop lives believably, always in the guide's shapes, and the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import islice
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from engine.sources.chord import Chord
from engine.sources.chord.catalogue import DELIVERY_STATUSES, EVENT_TYPES, STATUS_DETAILS
from engine.sources.chord.shop import Happening, Shop, one_of_each

START = datetime(2026, 10, 28, 14, tzinfo=UTC)
TOTAL = re.compile(r"-?\d+\.\d{1,2}")
SHOWN = re.compile(r"-?\$\d{1,3}(,\d{3})*\.\d\d")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[45]:00")


@pytest.fixture(scope="module")
def life() -> list[Happening]:
    return list(Shop(Random(7), START).events(orders=500))


def bodies(life: list[Happening], event: str) -> Iterator[dict[str, Any]]:
    object = EVENT_TYPES[event].object
    return (happening.body[object] for happening in life if happening.event == event)


def amount(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))


def added(items: list[dict[str, Any]], key: str = "amount") -> Decimal:
    return sum((amount(item[key]) for item in items), Decimal())


def test_the_same_seed_and_start_give_the_same_life() -> None:
    first = list(islice(Shop(Random(3), START).events(), 300))
    assert first == list(islice(Shop(Random(3), START).events(), 300))
    assert first != list(islice(Shop(Random(4), START).events(), 300))


def test_all_seven_events_happen_in_the_order_of_their_time_and_the_life_of_a_given_number_of_orders_ends(
    life: list[Happening],
) -> None:
    assert {happening.event for happening in life} == set(EVENT_TYPES)
    assert [happening.due for happening in life] == sorted(happening.due for happening in life)
    assert sum(happening.event == "order_completed" for happening in life) == 500


def test_every_payload_has_exactly_the_keys_and_types_of_the_guides_objects(life: list[Happening]) -> None:
    """Guide, "Examples of event payloads"."""
    made = [
        *((one.event, one.body) for one in life),
        *((one["event_name"], one) for one in one_of_each(Random(1), START)),
    ]
    for event, body in made:
        assert body["event_name"] == event
        assert list(body) == ["event_name", EVENT_TYPES[event].object]
        check(body[EVENT_TYPES[event].object], EVENT_TYPES[event].object, event)


@cache
def keys_of(path: str, event: str) -> set[str]:
    """The keys that the catalogue knows right under a path."""
    paths = (key.rpartition(".") for key in EVENT_TYPES[event].fields)
    return {last.removesuffix("[*]") for above, _, last in paths if above == path}


def check(value: Any, path: str, event: str) -> None:
    """A value has the kind that the catalogue says, and where it has keys, exactly the catalogue's."""
    fields = EVENT_TYPES[event].fields
    field = fields[path]
    if value is None:
        assert field.nullable, path
    elif field.kind == "object":
        assert set(value) == keys_of(path, event), path
        for key, inner in value.items():
            check(inner, f"{path}.{key}", event)
    elif field.kind == "list":
        assert isinstance(value, list), path
        for item in value:
            check(item, f"{path}[*]", event)
    else:
        check_plain(value, field.kind, path)
        assert not field.values or value in field.values, (path, value)


def check_plain(value: Any, kind: str, path: str) -> None:
    if kind in ("number", "truth"):
        assert type(value) is (int if kind == "number" else bool), path
    elif kind == "time":
        assert STAMP.fullmatch(value), (path, value)
    elif kind == "amount":
        signed = path.endswith((".amount", "line_items[*].total"))
        assert (SHOWN if signed else TOTAL).fullmatch(value), (path, value)
    else:
        assert isinstance(value, str), path


def test_the_sums_of_an_order_are_right(life: list[Happening]) -> None:
    for order in (*bodies(life, "order_completed"), *bodies(life, "order_cancelled")):
        lines, parcels = order["line_items"], order["shipments"]
        every = [*order["adjustments"], *(one for part in (*lines, *parcels) for one in part["adjustments"])]
        taxes = [one for one in every if one["source_type"] == "Tax Rate"]
        paid = [one for one in order["payments"] if one["state"] == "completed"]
        wanted = {
            "item_total": added(lines, "total"),
            "shipment_total": added(parcels, "cost"),
            "adjustment_total": added(every),
            "additional_tax_total": added(taxes),
            "promo_total": added(every) - added(taxes),
            "total": added(lines, "total") + added(parcels, "cost") + added(every),
            "payment_total": added(paid),
        }
        assert {key: amount(order[key]) for key in wanted} == wanted
        assert order["item_count"] == sum(line["quantity"] for line in lines)


def test_the_sums_of_a_shipment_are_right(life: list[Happening]) -> None:
    for parcel in bodies(life, "shipment_shipped"):
        assert amount(parcel["adjustment_total"]) == added(parcel["adjustments"])
        assert amount(parcel["additional_tax_total"]) + amount(parcel["promo_total"]) == added(
            parcel["adjustments"]
        )


def test_payloads_are_varied_in_believable_proportions(life: list[Happening]) -> None:
    orders = list(bodies(life, "order_completed"))
    shares = {
        "guests": (sum(order["user"] is None for order in orders), 0.15, 0.4),
        "several lines": (sum(len(order["line_items"]) > 1 for order in orders), 0.2, 0.6),
        "several parcels": (sum(len(order["shipments"]) > 1 for order in orders), 0.05, 0.4),
        "subscriptions": (sum(order["subscription_order"] for order in orders), 0.05, 0.3),
        "promotions": (sum(amount(order["promo_total"]) < 0 for order in orders), 0.1, 0.4),
        "bundles": (sum("|" in line["sku"] for order in orders for line in order["line_items"]), 0.03, 0.3),
        "paid": (sum(order["payment_state"] == "paid" for order in orders), 0.85, 0.97),
        "backordered": (sum(order["shipment_state"] == "backorder" for order in orders), 0.0, 0.2),
        "from abroad": (
            sum(order["ship_address"]["country"] != "United States" for order in orders),
            0.03,
            0.3,
        ),
        "cancelled": (sum(1 for _ in bodies(life, "order_cancelled")), 0.03, 0.15),
        "stock that ran out": (sum(1 for _ in bodies(life, "stock_item_out_of_stock")), 0.005, 0.15),
    }
    for what, (seen, least, most) in shares.items():
        assert least * len(orders) <= seen <= most * len(orders), (what, seen)
    assert len({order["ship_address"]["state"] for order in orders}) > 8
    assert len({order["channel"] for order in orders}) > 2


def test_a_state_outside_the_list_is_typed_in_and_subscriptions_keep_their_number(
    life: list[Happening],
) -> None:
    orders = list(bodies(life, "order_completed"))
    abroad = [order["ship_address"] for order in orders if order["ship_address"]["state"] is None]
    assert abroad
    assert all(address["state_name"] for address in abroad)
    renewed = defaultdict(set)
    for order in orders:
        assert order["subscription_order"] == (order["subscription_id"] is not None)
        if order["subscription_order"]:
            renewed[order["email"]].add(order["subscription_id"])
    assert all(len(numbers) == 1 for numbers in renewed.values())


def test_a_cancelled_order_owes_what_was_paid_or_is_void(life: list[Happening]) -> None:
    """Known values: credit_owed is money still held, void is nothing left; the state has one l."""
    states = Counter()
    for order in bodies(life, "order_cancelled"):
        states[order["payment_state"]] += 1
        assert order["state"] == order["shipment_state"] == "canceled"
        assert order["canceled_at"] is not None
        assert (amount(order["payment_total"]) > 0) == (order["payment_state"] == "credit_owed")
    assert set(states) == {"credit_owed", "void"}


def test_a_parcel_belongs_to_an_earlier_order_and_its_papers_only_grow_newer(life: list[Happening]) -> None:
    known: set[str] = set()
    newest: dict[str, datetime] = {}
    for happening in life:
        known |= {parcel["number"] for parcel in happening.body.get("order", {}).get("shipments", ())}
        if parcel := happening.body.get("shipment"):
            assert parcel["number"] in known
            changed = datetime.fromisoformat(parcel["updated_at"])
            assert newest.get(parcel["number"], START) < changed <= happening.due
            newest[parcel["number"]] = changed


def test_parcels_travel_through_the_trackers_words_to_delivery_or_trouble(life: list[Happening]) -> None:
    """Guide, "Event types": a shipment is shipped, updated, and its delivery status updated."""
    ends: dict[str, Any] = {}
    for happening in life:
        parcel = happening.body.get("shipment")
        if parcel and parcel["delivery_status"]:
            assert parcel["shipped_at"]
            assert parcel["delivery_status"] in DELIVERY_STATUSES
            assert parcel["status_detail"] in STATUS_DETAILS
            assert (parcel["delivered_at"] is not None) == (parcel["delivery_status"] == "delivered")
            ends[parcel["number"]] = parcel["delivery_status"]
    counted = Counter(ends.values())
    assert counted["delivered"] > 0.9 * counted.total()
    assert set(counted) - {"delivered"}
    assert set(counted) <= {"delivered", "failure", "return_to_sender", "error"}


def test_stock_runs_out_and_comes_back_in_turn(life: list[Happening]) -> None:
    last: dict[int, str] = {}
    for happening in life:
        if item := happening.body.get("stock_item"):
            gone = happening.event == "stock_item_out_of_stock"
            assert (item["count_on_hand"] <= 0) == gone
            assert last.get(item["id"], "stock_item_back_in_stock") != happening.event
            last[item["id"]] = happening.event
    assert len({item["stock_location"] for item in bodies(life, "stock_item_out_of_stock")}) > 1


def test_times_carry_the_offset_of_the_shops_zone_on_both_sides_of_a_clock_change() -> None:
    shop = Shop(Random(2), datetime(2026, 10, 31, tzinfo=UTC), zone=ZoneInfo("America/New_York"))
    orders = [one for one in shop.events(orders=900) if one.event == "order_completed"]
    offsets = {one.body["order"]["completed_at"][-6:] for one in orders}
    assert offsets == {"-04:00", "-05:00"}
    for one in orders:
        assert datetime.fromisoformat(one.body["order"]["completed_at"]) <= one.due
        assert one.due - datetime.fromisoformat(one.body["order"]["created_at"]) < timedelta(hours=1)


@pytest.mark.parametrize("event", EVENT_TYPES)
def test_an_event_made_by_hand_is_new_each_time_and_in_the_guides_shape(event: str) -> None:
    shop = Shop(Random(5), START)
    made = [shop.sample(event, START + timedelta(minutes=number)) for number in range(20)]
    for body in made:
        assert body["event_name"] == event
        check(body[EVENT_TYPES[event].object], EVENT_TYPES[event].object, event)
    assert all(one != other for number, one in enumerate(made) for other in made[:number])


def test_events_made_by_hand_continue_with_the_newest_order() -> None:
    shop = Shop(Random(5), START)
    order = shop.sample("order_completed", START)["order"]
    parcels = [parcel["number"] for parcel in order["shipments"]]
    shipped = shop.sample("shipment_shipped", START + timedelta(hours=1))["shipment"]
    assert shipped["number"] in parcels
    reported = shop.sample("shipment_delivery_status_updated", START + timedelta(hours=2))["shipment"]
    assert reported["number"] == shipped["number"]
    cancelled = shop.sample("order_cancelled", START + timedelta(hours=3))["order"]
    assert cancelled["number"] != order["number"]


def test_a_product_made_to_run_out_by_hand_is_the_one_that_comes_back() -> None:
    shop = Shop(Random(5), START)
    gone = shop.sample("stock_item_out_of_stock", START)["stock_item"]
    back = shop.sample("stock_item_back_in_stock", START)["stock_item"]
    assert gone["count_on_hand"] == 0 < back["count_on_hand"]
    assert back["id"] == gone["id"]


@pytest.mark.parametrize("seed", range(20))
def test_one_of_each_tells_one_story_that_the_example_rules_listen_to(seed: int) -> None:
    story: Mapping[str, Any] = {body["event_name"]: body for body in one_of_each(Random(seed), START)}
    assert set(story) == set(EVENT_TYPES)
    order = story["order_completed"]["order"]
    assert amount(order["total"]) > 250
    assert order["channel"] == "chord"
    parcels = [story[event]["shipment"] for event in ("shipment_shipped", "shipment_updated")]
    trouble = story["shipment_delivery_status_updated"]["shipment"]
    assert {parcel["number"] for parcel in (*parcels, trouble)} == {order["shipments"][0]["number"]}
    assert (trouble["delivery_status"], trouble["status_detail"]) == ("failure", "address_correction")
    assert trouble["tracking"]
    cancelled = story["order_cancelled"]["order"]
    assert cancelled["payment_state"] == "credit_owed"
    assert amount(cancelled["payment_total"]) > 0
    gone, back = (story[f"stock_item_{what}"]["stock_item"] for what in ("out_of_stock", "back_in_stock"))
    assert gone["variant"] == back["variant"]
    assert (gone["count_on_hand"], back["count_on_hand"], back["backorderable"]) == (0, 4, False)
    assert back["variant"]["sku"] in {line["sku"] for line in order["line_items"]}
    assert back["variant"]["is_master"] is False


def test_a_story_is_told_in_the_order_of_its_time_and_ends_now() -> None:
    def changed(body: Mapping[str, Any]) -> datetime:
        return datetime.fromisoformat(
            next(value for key, value in body.items() if key != "event_name")["updated_at"]
        )

    times = [changed(body) for body in one_of_each(Random(9), START)]
    assert times == sorted(times)
    assert START - timedelta(seconds=1) < times[-1] <= START


def test_no_two_events_of_a_life_are_taken_for_repeats_of_each_other(life: list[Happening]) -> None:
    chord = Chord()
    readings = [chord.read(msgspec.json.encode(happening.body), {}) for happening in life]
    assert all(reading.known and not reading.note for reading in readings)
    assert len({reading.identity for reading in readings}) == len(life)
