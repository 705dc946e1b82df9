"""What Chord OMS sends: its seven event types with a sample each, every field of the three objects, and its spellings.

The lists of values can grow at the sender's side: an unknown value is worth a warning, never a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from types import MappingProxyType
from typing import Any

import msgspec

from engine.sources.base import EventType, FieldInfo, FieldKind


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DELIVERY_STATUSES = _words(
    "unknown pre_transit in_transit out_for_delivery available_for_pickup delivered return_to_sender failure"
    " cancelled error"
)
"""What a carrier's tracker says of a parcel."""

STATUS_DETAILS = _words(
    "label_created status_update unknown received_at_origin_facility departed_origin_facility arrived_at_facility"
    " departed_facility in_transit transferred_to_destination_carrier received_at_destination_facility"
    " out_for_delivery arrived_at_pickup_location arrived_at_destination delayed weather_delay held missorted"
    " awaiting_information address_correction delivery_exception transit_exception damaged lost refused failure"
    " return expired cancelled"
)
"""The finer word beside the tracker's status."""

ORDER_STATES = _words(
    "cart address delivery payment confirm complete canceled resumed awaiting_return returned"
)
ORDER_PAYMENT_STATES = _words("paid balance_due credit_owed failed void")
ORDER_SHIPMENT_STATES = _words("pending ready partial shipped backorder canceled")
SHIPMENT_STATES = _words("pending ready shipped canceled")
PAYMENT_STATES = _words("checkout processing pending completed failed void invalid")


@dataclass(frozen=True, slots=True)
class _Spec:
    """One line of the field table; `inside` are the fields of an object, or of each item of a list."""

    name: str
    kind: FieldKind
    help: str
    nullable: bool = False
    values: tuple[str, ...] = ()
    example: Any = None
    inside: tuple[_Spec, ...] = ()


def _id(of: str) -> _Spec:
    return _Spec("id", "number", f"The OMS's own number of {of}.", example=5)


_WHEN = "2021-10-05T10:44:10.000-04:00"


def _times(of: str) -> tuple[_Spec, ...]:
    return (
        _Spec("created_at", "time", f"When {of} was first recorded.", example=_WHEN),
        _Spec("updated_at", "time", f"When {of} last changed.", example=_WHEN),
    )


_ADJUSTMENTS = _Spec(
    "adjustments",
    "list",
    "Taxes added and promotions taken off, one entry each.",
    inside=(
        _id("the adjustment"),
        _Spec(
            "amount",
            "amount",
            "What is added, or taken off when it starts with a minus: $0.63, -$5.00.",
            example="$0.63",
        ),
        _Spec("label", "text", "The name customers see: NY 6.250%.", example="NY 6.250%"),
        _Spec(
            "source_type", "text", "Where it comes from, such as Tax Rate or Promotion.", example="Tax Rate"
        ),
        _Spec(
            "promotion_code",
            "text",
            "The code the customer typed, empty for taxes.",
            True,
            example="SPRING10",
        ),
        *_times("the adjustment"),
    ),
)

_SHIPMENT_COSTS = (
    _Spec("adjustment_total", "amount", "Taxes and promotions on the shipping, together."),
    _Spec("additional_tax_total", "amount", "Tax added on top of the shipping cost."),
    _Spec("promo_total", "amount", "What promotions take off the shipping: zero or below."),
    _Spec("included_tax_total", "amount", "Tax already inside the shipping cost."),
)

_SHIPMENT_HEAD = (
    _id("the shipment"),
    _Spec(
        "tracking",
        "text",
        "The carrier's tracking code; empty until there is one.",
        True,
        example="9400136105596003218846",
    ),
    _Spec("number", "text", "The shipment's number; it joins a shipment event with its order."),
    _Spec("cost", "amount", "What the shipping costs before taxes and promotions."),
    _Spec("shipped_at", "time", "When it left; empty before.", True, example="2021-10-06T09:12:40.377-04:00"),
    _Spec(
        "state",
        "text",
        'Where the shipment stands in the OMS. A stopped one is written "canceled" (one l).',
        values=SHIPMENT_STATES,
    ),
    *_times("the shipment"),
    *_SHIPMENT_COSTS,
    _Spec("pushed", "truth", "Whether the warehouse or carrier has been told."),
    _Spec(
        "delivered_at",
        "time",
        "When it was handed over; empty before.",
        True,
        example="2021-10-08T13:04:00.000-04:00",
    ),
    _Spec(
        "delivery_status",
        "text",
        'What the carrier\'s tracker says; empty until it knows the parcel. It writes "cancelled" (two l).',
        True,
        DELIVERY_STATUSES,
        "in_transit",
    ),
)

_SHIPMENT_TAIL = (
    _Spec(
        "external_tracking_url",
        "text",
        "The page where the customer can follow the parcel.",
        True,
        example="https://track.example.com/9400136105596003218846",
    ),
    _Spec(
        "label_url",
        "text",
        "The shipping label to print.",
        True,
        example="https://labels.example.com/H44458074123.pdf",
    ),
    _ADJUSTMENTS,
)

_TRACKER_WORDS = (
    _Spec(
        "status_detail",
        "text",
        "The finer word beside delivery_status. Only shipment events carry it, orders do not.",
        True,
        STATUS_DETAILS,
    ),
    _Spec(
        "tracking_detail",
        "text",
        "The carrier's own sentence, free text. Only shipment events carry it.",
        True,
    ),
)


def _address(name: str, help: str) -> _Spec:
    return _Spec(
        name,
        "object",
        help,
        True,
        inside=(
            _id("the address"),
            _Spec("firstname", "text", "First name.", True),
            _Spec("lastname", "text", "Last name.", True),
            _Spec("address1", "text", "Street and house number.", True),
            _Spec("address2", "text", "Second line, often empty.", True, example="Apartment 4"),
            _Spec("city", "text", "City.", True),
            _Spec("zipcode", "text", "Postal code; text, so that 01234 keeps its zero.", True),
            _Spec("phone", "text", "Telephone number, often empty.", True, example="+1 518 555 0142"),
            _Spec("state", "text", 'State by its full name ("New York"), not by its code.', True),
            _Spec("country", "text", 'Country by its full name ("United States"), not by its code.', True),
            _Spec(
                "state_name",
                "text",
                "A region typed in by hand, for countries without a list.",
                True,
                example="Kent",
            ),
            _Spec("alternative_phone", "text", "Second telephone number.", True, example="+1 518 555 0199"),
            _Spec("company", "text", "Company name.", True, example="Orchard Street Press"),
        ),
    )


_USER = _Spec(
    "user",
    "object",
    "The customer's account; empty for a guest.",
    True,
    inside=(
        _id("the account"),
        _Spec("email", "text", "The account's e-mail address."),
        _Spec(
            "stripe_user_id", "text", "The customer at the payment provider.", True, example="cus_K9dQ2vXmN4"
        ),
    ),
)

_LINE_ITEMS = _Spec(
    "line_items",
    "list",
    "What was ordered, one line per product.",
    inside=(
        _id("the line"),
        _Spec("name", "text", "The product's name."),
        _Spec("sku", "text", "The product's SKU; for a bundle several, joined with |."),
        _Spec("quantity", "number", "How many of it."),
        _Spec("total", "amount", "The line's total, with its currency sign: $10.00."),
        _ADJUSTMENTS,
    ),
)

_PAYMENTS = _Spec(
    "payments",
    "list",
    "Every try to pay, those that came to nothing included.",
    inside=(
        _id("the payment"),
        _Spec("amount", "amount", "The amount of this try, with its currency sign: $10.63."),
        _Spec("payment_method", "text", "How it was paid."),
        _Spec("state", "text", "What became of it; completed is money received.", values=PAYMENT_STATES),
        *_times("the payment"),
    ),
)

_ORDER = _Spec(
    "order",
    "object",
    "The order.",
    inside=(
        _id("the order"),
        _Spec("number", "text", "The order number customers know."),
        _Spec("item_total", "amount", "All lines together, before taxes, shipping and promotions."),
        _Spec("total", "amount", "What the customer pays in all."),
        _Spec(
            "state",
            "text",
            'Where the order stands. A cancelled order is written "canceled" (one l), though its event is'
            " order_cancelled.",
            values=ORDER_STATES,
        ),
        _Spec("adjustment_total", "amount", "Taxes and promotions together; below zero when promotions win."),
        _Spec("completed_at", "time", "When the customer placed the order."),
        _Spec("payment_total", "amount", "The money received so far."),
        _Spec(
            "shipment_state",
            "text",
            'All shipments together; partial means they stand differently. Written "canceled" (one l).',
            True,
            ORDER_SHIPMENT_STATES,
        ),
        _Spec(
            "payment_state",
            "text",
            "Whether the money is right. On a cancelled order credit_owed means that money is still held, void"
            " that none is left. There is no word for refunded.",
            values=ORDER_PAYMENT_STATES,
        ),
        _Spec("email", "text", "Where the customer gets mail about this order.", True),
        *_times("the order"),
        _Spec("currency", "text", "The three letters of the currency, such as USD."),
        _Spec(
            "last_ip_address",
            "text",
            "The customer's internet address, mostly empty.",
            True,
            example="203.0.113.7",
        ),
        _Spec("shipment_total", "amount", "What all shipping costs, before promotions."),
        _Spec("additional_tax_total", "amount", "Tax added on top of the prices."),
        _Spec("promo_total", "amount", "What promotions take off: zero or below."),
        _Spec("channel", "text", "Where the order was placed."),
        _Spec("included_tax_total", "amount", "Tax already inside the prices."),
        _Spec("item_count", "number", "How many pieces in all lines together."),
        _Spec("confirmation_delivered", "truth", "Whether the OMS has mailed its confirmation."),
        _Spec("canceled_at", "time", "When the order was cancelled; empty unless it was.", True),
        _Spec("canceler_id", "number", "The account of whoever cancelled it.", True),
        _Spec("store_id", "number", "The store, where there are several."),
        _Spec("checkout_session_id", "text", "The checkout at the payment provider.", True),
        _Spec("commission_total", "amount", "Commissions on this order."),
        _Spec("stripe_automatic_taxes", "truth", "Whether the payment provider worked out the taxes."),
        _Spec("subscription_order", "truth", "Whether the order belongs to a subscription."),
        _Spec(
            "subscription_id", "number", "The subscription it belongs to; empty otherwise.", True, example=318
        ),
        _Spec(
            "cart_url",
            "text",
            "The address of the cart, mostly empty.",
            True,
            example="https://shop.example.com/cart/7f3a",
        ),
        _USER,
        _LINE_ITEMS,
        _Spec(
            "shipments",
            "list",
            "The parcels of the order. status_detail and tracking_detail come only with shipment events.",
            inside=(*_SHIPMENT_HEAD, *_SHIPMENT_TAIL),
        ),
        _address("ship_address", "Where it goes."),
        _address("bill_address", "Who pays."),
        _PAYMENTS,
        _ADJUSTMENTS,
    ),
)

_SHIPMENT = _Spec(
    "shipment",
    "object",
    "The parcel. It names neither its order nor the customer; those are joined through shipment.number.",
    inside=(*_SHIPMENT_HEAD, *_TRACKER_WORDS, *_SHIPMENT_TAIL),
)

_STOCK_ITEM = _Spec(
    "stock_item",
    "object",
    "One product at one place. The same product at two places sends two events.",
    inside=(
        _id("the stock item"),
        _Spec("stock_location", "text", "The place where the stock lies."),
        _Spec(
            "count_on_hand",
            "number",
            "How many are there; below zero when more was sold than there was and backorderable is true.",
        ),
        _Spec("backorderable", "truth", "Whether it is sold even when none is there."),
        *_times("the stock item"),
        _Spec(
            "variant",
            "object",
            "The product in its size or colour. Its name is not sent; it is known from earlier orders.",
            inside=(
                _id("the product variant"),
                _Spec("sku", "text", "The SKU; for a bundle several, joined with |.", True),
                _Spec(
                    "is_master",
                    "truth",
                    "Whether it stands for the product itself, not for a size or colour.",
                ),
                _Spec("amount", "amount", "The price, with its currency sign: $20.00.", True),
                _Spec("subscribable", "truth", "Whether it can be had as a subscription."),
                _Spec("bundle", "truth", "Whether it is a bundle of several products."),
                _Spec("url", "text", "The product's page in the shop.", True),
                _Spec("main_image", "text", "The address of its picture.", True),
                _Spec("updated_at", "time", "When the product variant last changed."),
                _Spec("created_at", "time", "When the product variant was first recorded."),
            ),
        ),
    ),
)

_OBJECTS = {spec.name: spec for spec in (_ORDER, _SHIPMENT, _STOCK_ITEM)}

_EVENTS = {
    "order_completed": ("order", "An order was placed and is complete."),
    "order_cancelled": (
        "order",
        "An order was cancelled; order.payment_state says whether money is still held.",
    ),
    "shipment_shipped": ("shipment", "A parcel left."),
    "shipment_updated": (
        "shipment",
        "Something about a parcel changed: a state other than shipped, or its tracking details.",
    ),
    "shipment_delivery_status_updated": (
        "shipment",
        "The carrier reported where a parcel is. Sent only with an EasyPost fulfilment integration.",
    ),
    "stock_item_back_in_stock": ("stock_item", "A product is in stock again at one place."),
    "stock_item_out_of_stock": ("stock_item", "A product ran out at one place."),
}


def _sample(event: str) -> dict[str, Any]:
    file = resources.files("engine.sources.chord") / "samples" / f"{event}.json"
    body: dict[str, Any] = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode(file.read_bytes())
    return body


_SAMPLES = {event: _sample(event) for event in _EVENTS}


def _first(value: Any, steps: list[str]) -> Any:
    """The first value in a body at a path whose `[*]` means any item; None where there is none."""
    if not steps:
        return value
    if steps[0] == "[*]":
        found = (_first(item, steps[1:]) for item in value or ())
        return next((one for one in found if one is not None), None)
    return _first(value.get(steps[0]), steps[1:]) if isinstance(value, dict) else None


def _example(path: str, event: str, spec: _Spec) -> Any:
    """A value as the event's own sample has it, else as a sample of the same object has it, else a made-up one."""
    if spec.kind in ("object", "list"):
        return None
    steps = path.replace("[*]", ".[*]").split(".")
    bodies = [_SAMPLES[event], *_SAMPLES.values()]
    return next((one for body in bodies if (one := _first(body, steps)) is not None), spec.example)


def _walk(spec: _Spec, path: str) -> Iterator[tuple[str, _Spec]]:
    yield path, spec
    under = f"{path}[*]" if spec.kind == "list" else path
    if spec.kind == "list":
        yield under, _Spec("", "object", f"One entry of {spec.name}.")
    for field in spec.inside:
        yield from _walk(field, f"{under}.{field.name}")


def _event_name(event: str) -> FieldInfo:
    return FieldInfo("event_name", "text", values=(event,), help="The event's name.", example=event)


def _fields(event: str, object: str) -> Mapping[str, FieldInfo]:
    found = {"event_name": _event_name(event)}
    for path, spec in _walk(_OBJECTS[object], object):
        example = _example(path, event, spec)
        found[path] = FieldInfo(path, spec.kind, spec.nullable, spec.values, spec.help, example)
    return MappingProxyType(found)


EVENT_TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        event: EventType(event, object, help, _fields(event, object), _SAMPLES[event])
        for event, (object, help) in _EVENTS.items()
    }
)
"""The seven event types of the webhook guide, by name."""

MISPRINTS: Mapping[str, str] = MappingProxyType(
    {"shipping_delivery_status_updated": "shipment_delivery_status_updated"}
)
"""Names that the guide prints in one place, by the name of its table."""


def _names(text: str) -> Mapping[str, str]:
    """Names by code, from `NY=New_York` and so on."""
    pairs = (pair.split("=") for pair in text.split())
    return MappingProxyType({code: name.replace("_", " ") for code, name in pairs})


US_STATES = _names(
    "AL=Alabama AK=Alaska AZ=Arizona AR=Arkansas CA=California CO=Colorado CT=Connecticut DE=Delaware"
    " DC=District_of_Columbia FL=Florida GA=Georgia HI=Hawaii ID=Idaho IL=Illinois IN=Indiana IA=Iowa KS=Kansas"
    " KY=Kentucky LA=Louisiana ME=Maine MD=Maryland MA=Massachusetts MI=Michigan MN=Minnesota MS=Mississippi"
    " MO=Missouri MT=Montana NE=Nebraska NV=Nevada NH=New_Hampshire NJ=New_Jersey NM=New_Mexico NY=New_York"
    " NC=North_Carolina ND=North_Dakota OH=Ohio OK=Oklahoma OR=Oregon PA=Pennsylvania RI=Rhode_Island"
    " SC=South_Carolina SD=South_Dakota TN=Tennessee TX=Texas UT=Utah VT=Vermont VA=Virginia WA=Washington"
    " WV=West_Virginia WI=Wisconsin WY=Wyoming"
)
"""The names of the states of the USA by their postal codes."""
_COUNTRIES = _names(
    "US=United_States USA=United_States UK=United_Kingdom GB=United_Kingdom CA=Canada MX=Mexico DE=Germany"
    " FR=France AU=Australia"
)

_REFUNDED = "For a cancelled order with money still held use credit_owed; void means that nothing is left"
_ONE_L = dict.fromkeys(("cancelled", "cancel"), 'Chord writes this state "canceled" (one l)')
_TWO_L = {"canceled": 'The carrier\'s tracker writes this status "cancelled" (two l)'}
_SHIPPED_ELSEWHERE = "Delivery is told by delivery_status, not by the state, which ends at shipped"
_HINTS: Mapping[str, Mapping[str, str]] = {
    "event_name": {
        "order_canceled": 'Chord writes this event "order_cancelled" (two l)',
        **{wrong: f'Chord writes this event "{right}"' for wrong, right in MISPRINTS.items()},
    },
    "order.state": {
        **_ONE_L,
        "completed": 'Chord writes this state "complete"',
        "shipped": "Shipping is told by order.shipment_state, not by order.state",
        "paid": "Payment is told by order.payment_state, not by order.state",
        "refunded": f"Refunds are told by order.payment_state. {_REFUNDED}",
    },
    "order.shipment_state": {
        **_ONE_L,
        "backordered": 'Chord writes this state "backorder"',
        "partially_shipped": 'Chord writes this state "partial"',
        "delivered": f"{_SHIPPED_ELSEWHERE}; it comes with shipment events",
    },
    "order.payment_state": {
        "refunded": _REFUNDED,
        "refund": _REFUNDED,
        "partially_refunded": _REFUNDED,
        "canceled": _REFUNDED,
        "cancelled": _REFUNDED,
        "completed": 'Chord writes this state "paid"; completed is the state of one payment',
        "unpaid": 'Chord writes this state "balance_due"',
        "pending": 'Chord writes this state "balance_due"; pending is the state of one payment',
    },
    "order.payments[*].state": {
        "paid": 'Chord writes this state "completed"; paid is a word of order.payment_state',
        "refunded": f"A payment has no such state. Look at order.payment_state. {_REFUNDED}",
        "canceled": 'Chord writes this state "void"',
        "cancelled": 'Chord writes this state "void"',
    },
    **{
        f"{shipment}.state": {**_ONE_L, "delivered": _SHIPPED_ELSEWHERE}
        for shipment in ("shipment", "order.shipments[*]")
    },
    **{f"{shipment}.delivery_status": _TWO_L for shipment in ("shipment", "order.shipments[*]")},
    "shipment.status_detail": {
        **_TWO_L,
        **{
            status: f"{status} is a word of shipment.delivery_status"
            for status in DELIVERY_STATUSES
            if status not in STATUS_DETAILS
        },
    },
}
_DETAILS_ONLY = {status for status in STATUS_DETAILS if status not in DELIVERY_STATUSES}
_NAMED_IN_FULL = {f"order.{of}_address.{field}" for of in ("ship", "bill") for field in ("state", "country")}
_ITEM = re.compile(r"\[\d+\]")


def hint(path: str, value: str) -> str | None:
    """What to write instead, where `value` is a usual mistake for the field at a bare path; None where it is none.

    Items of lists may be written as `[*]`, by number, or not at all (`order.payments.state`).
    """
    where = _known_path(path)
    word = value.strip().lower().replace(" ", "_").replace("-", "_")
    return _HINTS.get(where, {}).get(word) or _sibling(where, word) or _full_name(where, value.strip())


def _known_path(path: str) -> str:
    """The path with `[*]` at its lists, whichever way they were written."""
    where = _ITEM.sub("[*]", path)
    return _BY_LOOSE_PATH.get(where.replace("[*]", ""), where)


_BY_LOOSE_PATH = {
    path.replace("[*]", ""): path
    for event in EVENT_TYPES.values()
    for path in event.fields
    if not path.endswith("[*]")
}


def _sibling(where: str, word: str) -> str | None:
    """The tracker has two fields with words of their own, easily taken for one another."""
    if where == "shipment.delivery_status" and word in _DETAILS_ONLY:
        return f"{word} is a word of shipment.status_detail"
    return None


def _full_name(where: str, value: str) -> str | None:
    """Addresses hold full names: codes such as NY and US have never been seen."""
    field = where.rpartition(".")[2]
    if where not in _NAMED_IN_FULL:
        return None
    names, usual = (US_STATES, "New York") if field == "state" else (_COUNTRIES, "United States")
    name = names.get(value.upper())
    if not name and not (len(value) == 2 and value.isupper()):
        return None
    return f'{where} holds full names ("{name or usual}"); "{value}" has never been seen'
