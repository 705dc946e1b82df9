"""Chord's webhook guide, sentence by sentence, held against the sandbox over real HTTP.

Each docstring names the section that its test holds to. What the shapes say is written here by hand, as the guide's three
samples have it, and not taken from the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sources.chord import repeats
from engine.sources.chord.sandbox import Life, build_sandbox, run_through, send_through
from engine.sources.chord.shop import Shop, one_of_each

TOKEN = "1dad20831dc47cb20f8a3a8dc73a0ae41d83b32efadae4c2"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
COLLECTION = "/api/webhook/endpoints"
START = datetime(2026, 10, 28, 14, tzinfo=UTC)
INSTANT = 100_000.0
"""A speed at which all repeats of an event take less than a tenth of a second."""

PAYLOAD_OBJECT = {
    "order_completed": "order",
    "order_cancelled": "order",
    "shipment_shipped": "shipment",
    "shipment_updated": "shipment",
    "shipment_delivery_status_updated": "shipment",
    "stock_item_back_in_stock": "stock_item",
    "stock_item_out_of_stock": "stock_item",
}
"""The table of the section "Event types"."""

ALLOWED = (200, 201, 202, 204)
"""The list of the section "Allowed HTTP status code"."""


# the three objects of the section "Examples of event payloads"


@dataclass(frozen=True)
class Kind:
    """What a plain value looks like; `null` says that there may be none."""

    type: type
    pattern: str = ".*"
    null: bool = False

    def __or__(self, none: None) -> Kind:
        return Kind(self.type, self.pattern, null=True)

    def fits(self, value: Any) -> bool:
        if value is None:
            return self.null
        right = type(value) is self.type
        return right and (self.type is not str or re.fullmatch(self.pattern, value, re.DOTALL) is not None)


NUMBER = Kind(int)
TRUTH = Kind(bool)
TEXT = Kind(str, ".+")
TOTAL = Kind(str, r"-?\d+\.\d{1,2}")
"""An amount as the guide writes totals: "10.63", "0.0"."""
AMOUNT = Kind(str, r"-?\$\d{1,3}(,\d{3})*\.\d\d")
"""An amount as the guide writes those of lines, adjustments, payments and prices: "$10.63"."""
TIME = Kind(str, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
LINK = Kind(str, r"https?://\S+")


class OrNothing(dict[str, Any]):
    """An object in whose place there may be null."""


ADJUSTMENT = {
    "id": NUMBER,
    "amount": AMOUNT,
    "label": TEXT,
    "source_type": TEXT,
    "promotion_code": TEXT | None,
    "created_at": TIME,
    "updated_at": TIME,
}
ADDRESS = {
    "id": NUMBER,
    "firstname": TEXT,
    "lastname": TEXT,
    "address1": TEXT,
    "address2": TEXT | None,
    "city": TEXT,
    "zipcode": TEXT,
    "phone": TEXT | None,
    "state": TEXT | None,
    "country": TEXT,
    "state_name": TEXT | None,
    "alternative_phone": TEXT | None,
    "company": TEXT | None,
}
PARCEL_IN_ORDER = {
    "id": NUMBER,
    "tracking": TEXT | None,
    "number": TEXT,
    "cost": TOTAL,
    "shipped_at": TIME | None,
    "state": TEXT,
    "created_at": TIME,
    "updated_at": TIME,
    "adjustment_total": TOTAL,
    "additional_tax_total": TOTAL,
    "promo_total": TOTAL,
    "included_tax_total": TOTAL,
    "pushed": TRUTH,
    "delivered_at": TIME | None,
    "delivery_status": TEXT | None,
    "external_tracking_url": LINK | None,
    "label_url": LINK | None,
    "adjustments": [ADJUSTMENT],
}
GUIDE: Mapping[str, Any] = {
    "order": {
        "id": NUMBER,
        "number": TEXT,
        "item_total": TOTAL,
        "total": TOTAL,
        "state": TEXT,
        "adjustment_total": TOTAL,
        "completed_at": TIME,
        "payment_total": TOTAL,
        "shipment_state": TEXT,
        "payment_state": TEXT,
        "email": Kind(str, r"\S+@\S+"),
        "created_at": TIME,
        "updated_at": TIME,
        "currency": Kind(str, "[A-Z]{3}"),
        "last_ip_address": TEXT | None,
        "shipment_total": TOTAL,
        "additional_tax_total": TOTAL,
        "promo_total": TOTAL,
        "channel": TEXT,
        "included_tax_total": TOTAL,
        "item_count": NUMBER,
        "confirmation_delivered": TRUTH,
        "canceled_at": TIME | None,
        "canceler_id": NUMBER | None,
        "store_id": NUMBER,
        "checkout_session_id": TEXT | None,
        "commission_total": TOTAL,
        "stripe_automatic_taxes": TRUTH,
        "subscription_order": TRUTH,
        "subscription_id": NUMBER | None,
        "cart_url": LINK | None,
        "user": OrNothing(id=NUMBER, email=Kind(str, r"\S+@\S+"), stripe_user_id=TEXT | None),
        "line_items": [
            {
                "id": NUMBER,
                "name": TEXT,
                "sku": TEXT,
                "quantity": NUMBER,
                "total": AMOUNT,
                "adjustments": [ADJUSTMENT],
            }
        ],
        "shipments": [PARCEL_IN_ORDER],
        "ship_address": ADDRESS,
        "bill_address": ADDRESS,
        "payments": [
            {
                "id": NUMBER,
                "amount": AMOUNT,
                "payment_method": TEXT,
                "state": TEXT,
                "created_at": TIME,
                "updated_at": TIME,
            }
        ],
        "adjustments": [ADJUSTMENT],
    },
    "shipment": {**PARCEL_IN_ORDER, "status_detail": TEXT | None, "tracking_detail": TEXT | None},
    "stock_item": {
        "id": NUMBER,
        "stock_location": TEXT,
        "count_on_hand": NUMBER,
        "backorderable": TRUTH,
        "created_at": TIME,
        "updated_at": TIME,
        "variant": {
            "id": NUMBER,
            "sku": TEXT,
            "is_master": TRUTH,
            "amount": AMOUNT,
            "subscribable": TRUTH,
            "bundle": TRUTH,
            "url": LINK,
            "main_image": LINK | None,
            "updated_at": TIME,
            "created_at": TIME,
        },
    },
}


def faults(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Every place where a value differs from its shape: other keys, another type, another way of writing."""
    if isinstance(shape, Kind):
        if not shape.fits(value):
            yield f"{place} is {value!r}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place} is no list"
            return
        for number, item in enumerate(value):
            yield from faults(item, shape[0], f"{place}[{number}]")
    elif value is None:
        if not isinstance(shape, OrNothing):
            yield f"{place} is null"
    elif set(value) != set(shape):
        yield f"{place} has other keys: {set(value) ^ set(shape)}"
    else:
        for key, inner in value.items():
            yield from faults(inner, shape[key], f"{place}.{key}")


def hold(body: Mapping[str, Any]) -> None:
    """Hold one body against the guide: its name, its one object, and every key and value in it."""
    event = body["event_name"]
    object = PAYLOAD_OBJECT[event]
    assert list(body) == ["event_name", object]
    assert list(faults(body[object], GUIDE[object], object)) == []


def test_the_shapes_here_find_what_differs_from_them() -> None:
    body = one_of_each(Random(1), START)[0]
    order = body["order"]
    for change, told in (
        ({"total": 10.63}, "order.total is 10.63"),
        ({"id": True}, "order.id is True"),
        ({"user": {"id": 1}}, "order.user has other keys"),
        ({"ship_address": None}, "order.ship_address is null"),
        ({"adjustments": [{**order["line_items"][0]}]}, "order.adjustments[0] has other keys"),
        ({"completed_at": "2021-10-05"}, "order.completed_at is"),
    ):
        (fault,) = faults({**order, **change}, GUIDE["order"], "order")
        assert fault.startswith(told)


@given(
    seed=st.integers(0, 2**32),
    orders_per_hour=st.sampled_from([0.5, 12.0, 400.0]),
    day=st.integers(0, 400),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_whatever_happens_in_the_living_shop_has_the_guides_keys_nested_and_its_types(
    seed: int, orders_per_hour: float, day: int
) -> None:
    """Guide, "Examples of event payloads"."""
    start = START + timedelta(days=day)
    for happening in Shop(Random(seed), start, orders_per_hour=orders_per_hour).events(orders=15):
        assert happening.body["event_name"] == happening.event
        hold(happening.body)


@given(seed=st.integers(0, 2**32), event=st.sampled_from(sorted(PAYLOAD_OBJECT)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_is_sent_by_hand_has_the_guides_keys_nested_and_its_types(seed: int, event: str) -> None:
    """Guide, "Examples of event payloads"."""
    shop = Shop(Random(seed), START)
    for minute in range(3):
        hold(shop.sample(event, START + timedelta(minutes=minute)))


def test_the_living_shop_makes_every_variety_that_rules_ask_for() -> None:
    """Guide, "Examples of event payloads": what is null, empty or several there is so in some payloads, not in all."""
    seen = {name: set[bool]() for name in VARIETIES}
    for happening in Shop(Random(7), START).events(orders=600):
        for name, (object, holds) in VARIETIES.items():
            if object in happening.body:
                seen[name].add(bool(holds(happening.body[object])))
    assert {name for name, found in seen.items() if found != {True, False}} == set()


VARIETIES: Mapping[str, tuple[str, Any]] = {
    "guests": ("order", lambda order: order["user"] is None),
    "customers without Stripe": (
        "order",
        lambda order: order["user"] and not order["user"]["stripe_user_id"],
    ),
    "several lines": ("order", lambda order: len(order["line_items"]) > 1),
    "several parcels": ("order", lambda order: len(order["shipments"]) > 1),
    "several payments": ("order", lambda order: len(order["payments"]) > 1),
    "bundles": ("order", lambda order: any("|" in line["sku"] for line in order["line_items"])),
    "subscriptions": ("order", lambda order: order["subscription_id"] is not None),
    "promotions": ("order", lambda order: order["promo_total"] != "0.0"),
    "codes": ("order", lambda order: any(one["promotion_code"] for one in order["adjustments"])),
    "no taxes": ("order", lambda order: order["additional_tax_total"] == "0.0"),
    "free shipping": ("order", lambda order: order["shipment_total"] == "0.0"),
    "second address lines": ("order", lambda order: order["ship_address"]["address2"]),
    "companies": ("order", lambda order: order["bill_address"]["company"]),
    "presents": ("order", lambda order: order["ship_address"] != order["bill_address"]),
    "places without a state": ("order", lambda order: order["ship_address"]["state"] is None),
    "carts": ("order", lambda order: order["cart_url"]),
    "unpaid": ("order", lambda order: order["payment_state"] == "balance_due"),
    "failed payments": ("order", lambda order: order["payment_state"] == "failed"),
    "backorders": ("order", lambda order: order["shipment_state"] == "backorder"),
    "no checkout": ("order", lambda order: order["checkout_session_id"] is None),
    "parcels without a code": ("shipment", lambda parcel: parcel["tracking"] is None),
    "deliveries": ("shipment", lambda parcel: parcel["delivered_at"]),
    "parcels untaxed": ("shipment", lambda parcel: not parcel["adjustments"]),
    "places to store": ("stock_item", lambda item: item["stock_location"].endswith("warehouse")),
    "more than is there": ("stock_item", lambda item: item["count_on_hand"] < 0),
    "products without a picture": ("stock_item", lambda item: item["variant"]["main_image"] is None),
    "bundles in stock": ("stock_item", lambda item: item["variant"]["bundle"]),
}


# over real HTTP


@dataclass
class Oms:
    """The sandbox behind its address, and the number of the endpoint registered last."""

    url: str
    number: int = 0

    def register(self, target_url: str, *events: str) -> Any:
        """The guide's call, header for header."""
        headers = {"Accept": "*/*", **BEARER, "Content-Type": "application/json"}
        endpoint = {"target_url": target_url, "events": list(events)}
        content = json.dumps({"endpoint": endpoint})
        answer = httpx.post(self.url + COLLECTION, content=content, headers=headers, trust_env=False)
        assert answer.status_code == 201
        self.number = answer.json()["id"]
        return answer.json()

    def call(self, method: str, path: str = "", **more: Any) -> httpx.Response:
        """A call of the API with the token."""
        return httpx.request(method, self.url + COLLECTION + path, headers=BEARER, trust_env=False, **more)

    def page(self, path: str, **form: Any) -> httpx.Response:
        """A page, or what its form leads to."""
        method = "POST" if form else "GET"
        return httpx.request(method, self.url + path, data=form, follow_redirects=True, trust_env=False)

    def send(self, event: str, *sets: str, times: int = 1, fault: str | None = None) -> list[str]:
        """Have an event happen."""
        return send_through(self.url, event, sets, times, fault=fault)

    @property
    def last(self) -> str:
        """The path of the endpoint registered last."""
        return f"/{self.number}"

    def attempts(self, wanted: int) -> list[Any]:
        """The attempts of the endpoint registered last, once there are so many."""
        while True:
            found = self.call("GET", f"{self.last}/attempts").json()["attempts"]
            if len(found) >= wanted:
                return list(found)


@pytest.fixture(scope="module")
def sandbox(served: Any) -> Iterator[str]:
    with served(build_sandbox(token=TOKEN, seed=7, speed=INSTANT)) as url:
        yield url


@pytest.fixture
def oms(sandbox: str) -> Iterator[Oms]:
    oms = Oms(sandbox)
    yield oms
    for endpoint in oms.call("GET").json()["endpoints"]:
        oms.call("DELETE", f"/{endpoint['id']}")


def test_two_steps_are_enough_to_be_told(oms: Oms, receiver: Any) -> None:
    """Guide, introduction: create a webhook endpoint on your server; register the endpoint."""
    with receiver(202) as hook:
        oms.register(f"{hook.url}/webhooks", "order_completed")
        oms.send("order_completed")
        hook.wait_for(1)
        assert json.loads(hook.bodies[0])["event_name"] == "order_completed"


@pytest.mark.parametrize("event", PAYLOAD_OBJECT)
def test_each_of_the_seven_events_is_posted_as_json_and_can_be_used_after_parsing(
    oms: Oms, receiver: Any, event: str
) -> None:
    """Guide, "Event types" and "Key considerations": POST, JSON, the full details, the table's payload object."""
    with receiver(200) as hook:
        oms.register(hook.url, event)
        assert oms.send(event, times=2) == [hook.url]
        hook.wait_for(2)
        for body in hook.bodies:
            hold(json.loads(body))
            assert json.loads(body)["event_name"] == event
        assert hook.kinds == [("POST", "application/json")] * 2


@pytest.mark.parametrize(
    "event", ["order_*", "shipment_*", "stock_item_*", "order", "", "order_updated", "*"]
)
def test_these_seven_are_all_the_types_that_are_sent(oms: Oms, event: str) -> None:
    """Guide, "Event types": a list of all the types; the stars in the samples stand for the rest of a name."""
    endpoint = {"target_url": "https://example.com/webhooks", "events": [event]}
    answer = oms.call("POST", json={"endpoint": endpoint})
    assert answer.status_code == 422
    assert f'The OMS has no event "{event}".' in answer.json()["error"]


def test_the_guides_misprinted_name_leads_to_the_one_of_its_table(oms: Oms) -> None:
    """Guide, "Event types": the hint below the table writes shipping_delivery_status_updated."""
    endpoint = {"target_url": "https://example.com/webhooks", "events": ["shipping_delivery_status_updated"]}
    answer = oms.call("POST", json={"endpoint": endpoint})
    assert "Did you mean shipment_delivery_status_updated?" in answer.json()["error"]


def test_each_event_occurs_when_the_guide_says(served: Any, receiver: Any) -> None:
    """Guide, "Event types", the column "Description"."""
    with receiver(204) as hook, served(build_sandbox(token=TOKEN, seed=61, speed=1e6)) as url:
        Oms(url).register(hook.url, *PAYLOAD_OBJECT)
        run_through(url, Life())
        heard: set[str] = set()
        for number in count():
            hook.wait_for(1)
            body = json.loads(hook.bodies[number])
            occurred(body)
            heard.add(body["event_name"])
            if heard == set(PAYLOAD_OBJECT):
                break


def occurred(body: Mapping[str, Any]) -> None:
    """Hold an event against what its description says must have happened to its object."""
    event = body["event_name"]
    about = body[PAYLOAD_OBJECT[event]]
    if event == "order_completed":
        assert (about["state"], about["canceled_at"]) == ("complete", None)
    elif event == "order_cancelled":
        assert about["state"] == "canceled"
        assert about["canceled_at"] > about["completed_at"]
    elif event == "shipment_shipped":
        assert about["state"] == "shipped"
        assert about["shipped_at"]
    elif event == "shipment_updated":
        assert about["state"] != "shipped" or about["tracking_detail"]
    elif event == "shipment_delivery_status_updated":
        assert about["tracking"]
        assert about["delivery_status"]
    elif event == "stock_item_back_in_stock":
        assert about["count_on_hand"] > 0
    else:
        assert about["count_on_hand"] <= 0


@pytest.mark.parametrize("code", ALLOWED)
def test_each_of_the_four_codes_confirms_the_receipt(oms: Oms, receiver: Any, code: int) -> None:
    """Guide, "Allowed HTTP status code"."""
    with receiver(code) as hook:
        oms.register(hook.url, "order_completed", "order_cancelled")
        oms.send("order_completed")
        (attempt,) = oms.attempts(1)
        assert (attempt["status"], attempt["acknowledged"]) == (code, True)
        oms.send("order_cancelled")
        hook.wait_for(2)
        assert len(hook.bodies) == 2


@pytest.mark.parametrize(
    "code", [203, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 410, 422, 429, 500, 503]
)
def test_every_other_code_means_not_received_and_is_repeated_five_times(
    oms: Oms, receiver: Any, code: int
) -> None:
    """Guide, "Key considerations": all codes outside these, 3xx included; repeated up to 5 times."""
    with receiver(200) as elsewhere, receiver(code, headers={"Location": elsewhere.url}) as hook:
        oms.register(hook.url, "order_completed")
        oms.send("order_completed")
        found = oms.attempts(6)
        assert [(one["try"], one["status"]) for one in found] == [(n, code) for n in (6, 5, 4, 3, 2, 1)]
        assert not any(one["acknowledged"] for one in found)
        assert len(set(hook.bodies)) == 1
        oms.send("order_completed", times=1)
        assert len(oms.attempts(12)) == 12
        assert elsewhere.bodies == []


@pytest.mark.parametrize("refusals", range(6))
def test_the_repeats_end_with_the_first_valid_code(oms: Oms, receiver: Any, refusals: int) -> None:
    """Guide, "Key considerations": repeated if no valid code is received, up to 5 times."""
    with receiver(*[500] * refusals, 200) as hook:
        oms.register(hook.url, "order_completed")
        oms.send("order_completed")
        found = oms.attempts(refusals + 1)
        assert [one["status"] for one in found] == [200, *[500] * refusals]
        hook.wait_for(refusals + 1)
        assert len(hook.bodies) == refusals + 1


def test_an_endpoint_that_answers_too_late_did_not_receive_the_event(
    oms: Oms, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guide, "Key considerations": answer before any complex logic that could cause a timeout."""
    monkeypatch.setattr(repeats, "PATIENCE", 0.1)
    with receiver(200, late=0.4) as hook:
        oms.register(hook.url, "order_completed")
        oms.send("order_completed")
        found = oms.attempts(2)
        assert found[-1]["status"] is None
        assert "no answer within" in found[-1]["answer"]


def test_an_endpoint_receives_only_the_types_it_was_configured_for(oms: Oms, receiver: Any) -> None:
    """Guide, "Event types": configured to receive only the types of events required."""
    with receiver(200) as orders, receiver(200) as parcels, receiver(200) as everything:
        oms.register(orders.url, "order_completed", "order_cancelled")
        oms.register(parcels.url, "shipment_shipped")
        oms.register(everything.url, *PAYLOAD_OBJECT)
        for event in PAYLOAD_OBJECT:
            oms.send(event)
        for hook, heard in (
            (orders, {"order_completed", "order_cancelled"}),
            (parcels, {"shipment_shipped"}),
            (everything, set(PAYLOAD_OBJECT)),
        ):
            hook.wait_for(len(heard))
            assert {json.loads(body)["event_name"] for body in hook.bodies} == heard
            assert len(hook.bodies) == len(heard)


# registering and managing


def test_an_endpoint_is_added_with_the_guides_call(oms: Oms) -> None:
    """Guide, "Add endpoints with the API"."""
    made = oms.register("https://example.com/my/webhook/endpoint", "order_completed", "order_cancelled")
    assert made["target_url"] == "https://example.com/my/webhook/endpoint"
    assert made["events"] == ["order_completed", "order_cancelled"]
    assert oms.call("GET").json()["endpoints"] == [made]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer another"}, {"Authorization": TOKEN}])
def test_without_the_token_no_endpoint_can_be_added_seen_changed_or_deleted(
    oms: Oms, header: dict[str, str]
) -> None:
    """Guide, "Add endpoints with the API": the call carries a bearer token."""
    made = oms.register("https://example.com/a", "order_completed")
    for method, path in (("POST", ""), ("GET", ""), *((one, oms.last) for one in ("GET", "PATCH", "DELETE"))):
        document = {"endpoint": {"target_url": "https://example.com/b", "events": ["order_cancelled"]}}
        answer = httpx.request(
            method, oms.url + COLLECTION + path, json=document, headers=header, trust_env=False
        )
        assert answer.status_code == 401
    assert oms.call("GET").json()["endpoints"] == [made]


def test_an_endpoint_is_added_changed_and_deleted_in_the_dashboard(oms: Oms, receiver: Any) -> None:
    """Guide, "Add endpoints from the Dashboard" and "Manage webhook endpoints"."""
    with receiver(200) as old, receiver(200) as new:
        page = oms.page("/endpoints", target_url=old.url, events=["order_completed"])
        assert (page.status_code, old.url in page.text) == (200, True)
        endpoint = page.url.path
        oms.send("order_completed")
        old.wait_for(1)
        oms.page(endpoint, target_url=new.url, events=["order_cancelled"])
        assert oms.send("order_completed") == []
        assert oms.send("order_cancelled") == [new.url]
        new.wait_for(1)
        oms.page(f"{endpoint}/delete", sure="yes")
        assert oms.send("order_cancelled") == []
        assert oms.call("GET").json() == {"endpoints": []}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_existing_endpoints_can_be_updated_and_deleted(oms: Oms, receiver: Any, method: str) -> None:
    """Guide, "Manage webhook endpoints"."""
    with receiver(200) as old, receiver(200) as new:
        oms.register(old.url, "order_completed")
        changes = {"endpoint": {"target_url": new.url, "events": ["order_cancelled"]}}
        assert oms.call(method, oms.last, json=changes).json()["target_url"] == new.url
        assert oms.send("order_completed") == []
        oms.send("order_cancelled")
        new.wait_for(1)
        assert oms.call("DELETE", oms.last).status_code == 204
        assert oms.send("order_cancelled") == []
        assert (old.bodies, len(new.bodies)) == ([], 1)


def test_an_endpoint_shows_its_latest_response_and_every_attempt_with_its_code(
    oms: Oms, receiver: Any
) -> None:
    """Guide, "View events": the latest response, a list of all attempted webhooks, and the codes received."""
    codes = [500, 302, 201, 404, 200]
    numbers = count(1)
    with receiver(*codes, answer=lambda: f"answer {next(numbers)}".encode()) as hook:
        oms.register(hook.url, "order_completed", "shipment_shipped")
        oms.send("order_completed")
        oms.attempts(3)
        oms.send("shipment_shipped")
        found = oms.attempts(5)
        assert [one["status"] for one in found] == list(reversed(codes))
        assert [one["event"] for one in found] == ["shipment_shipped"] * 2 + ["order_completed"] * 3
        latest = oms.call("GET", oms.last).json()["latest_response"]
        assert latest == found[0]
        assert latest["answer"] == "answer 5"
        page = oms.page(f"/endpoints{oms.last}").text
        shown = [int(code) for code in re.findall(r'<span class="code (?:good|bad)">(\d+)<', page)]
        assert shown == [200, *reversed(codes)]
        assert "answer 5" in page


def test_the_attempts_are_found_by_clicking_on_an_endpoint(oms: Oms, receiver: Any) -> None:
    """Guide, "View events": clicking on that endpoint in the Webhooks section."""
    with receiver(200) as hook:
        oms.register(hook.url, "order_completed")
        oms.send("order_completed")
        (attempt,) = oms.attempts(1)
        link = re.search(r'<a class="address" href="([^"]+)">', oms.page("/").text)
        assert link is not None
        assert attempt["about"] in oms.page(link[1]).text
