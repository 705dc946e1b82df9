"""Chord OMS as a source: what one of its bodies tells of, what makes it a repeat, and what belongs beside it.

Chord sends no id of the event and no time of sending, so the identity of an event is made of the fields that date it:
a body that is sent again, or rendered anew, is then still the same event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from engine.language.words import nearest
from engine.model import Memory
from engine.sources.base import EventType, FieldInfo, Joins, Reading, Source
from engine.sources.body import Malformed, canonical, decoded, parse
from engine.sources.chord.catalogue import EVENT_TYPES, MISPRINTS, hint

ID_HEADER = "webhook-id"
"""A header that, should the sender have one, names the event and is the same on each repeat."""

LONGEST_NAME = 100
"""Letters kept of an event's name."""

LONGEST_NUMBER = 200
"""Letters kept of an object's number in its subject."""

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


class _Variant(msgspec.Struct, gc=False):
    updated_at: Any = None


class _Known(msgspec.Struct, gc=False):
    """What is read of an object before the answer; the rest waits until the event is judged."""

    id: Any = None
    number: Any = None
    updated_at: Any = None


class _Order(_Known, gc=False):
    completed_at: Any = None
    canceled_at: Any = None
    shipments: list[_Known] = []


class _Shipment(_Known, gc=False):
    shipped_at: Any = None
    delivery_status: Any = None
    status_detail: Any = None


class _StockItem(_Known, gc=False):
    count_on_hand: Any = None
    variant: _Variant = msgspec.field(default_factory=_Variant)


class _Body(msgspec.Struct, gc=False):
    event_name: str
    order: _Order | None = None
    shipment: _Shipment | None = None
    stock_item: _StockItem | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one event type is told from others: its object, the fields that date it, and how long it may repeat.

    Stock goes out, back and out again with equal fields, so there a repeat counts only against the newest event.
    """

    type: str
    object: str
    dated_by: Callable[[Any], tuple[Any, ...]]
    window: timedelta = WEEK
    superseded: bool = False


_STATUS = attrgetter("number", "delivery_status", "status_detail", "updated_at")
_STOCK = attrgetter("id", "updated_at", "variant.updated_at", "count_on_hand")
_KINDS: Mapping[str, _Kind] = {
    kind.type: kind
    for kind in (
        _Kind("order_completed", "order", attrgetter("number", "completed_at")),
        _Kind("order_cancelled", "order", attrgetter("number", "canceled_at")),
        _Kind("shipment_shipped", "shipment", attrgetter("number", "shipped_at")),
        _Kind("shipment_updated", "shipment", attrgetter("number", "updated_at")),
        _Kind("shipment_delivery_status_updated", "shipment", _STATUS),
        _Kind("stock_item_back_in_stock", "stock_item", _STOCK, DAY, True),
        _Kind("stock_item_out_of_stock", "stock_item", _STOCK, DAY, True),
    )
}

_HAPPENED: Mapping[str, str] = {"order_completed": "completed_at", "order_cancelled": "canceled_at"}
_OBJECTS = ("order", "shipment", "stock_item")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_decode = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Chord(Source):
    """The order management system of Chord, as its webhook guide describes it."""

    name: ClassVar[str] = "chord"
    event_types: ClassVar[Mapping[str, EventType]] = EVENT_TYPES
    renamed: ClassVar[Mapping[str, str]] = MISPRINTS
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {"order": ("shipment",)}
    personal: ClassVar[frozenset[str]] = frozenset(
        {
            "email",
            "firstname",
            "lastname",
            "full_name",
            "company",
            "address1",
            "address2",
            "city",
            "zipcode",
            "phone",
            "alternative_phone",
            "last_ip_address",
            "stripe_user_id",
        }
    )

    def read(self, body: bytes, headers: Mapping[str, str]) -> Reading:
        """The event in a body: its type, what it is about, and what makes a repeat of it.

        `headers` have names in small letters. Raises `Malformed` for a body that is no strict JSON of one object,
        or has no event name. An unknown event, or a known one without its object, is read by its content.
        """
        try:
            found = decoded(body, _decode)
        except msgspec.ValidationError:
            found = _loosely(parse(body))
        kind = _KINDS.get(found.event_name)
        about = getattr(found, kind.object) if kind else None
        if kind is None or about is None:
            return _unusual(found, body, headers)
        return _reading(kind, about, body, headers)

    def joins(self, type: str, payload: Mapping[str, Any]) -> Joins:
        """The order of a shipment, and the product names of a stock item."""
        about = _about(type, payload)
        if _object_of(type) == "shipment":
            return Joins(order_of=_subject("shipment", about.get("number"), about.get("id")))
        return Joins(products=_skus(about)) if _object_of(type) == "stock_item" else Joins()

    def joined(self, type: str, payload: Mapping[str, Any], memory: Memory) -> Mapping[str, Any]:
        """`order` beside a shipment and `product` beside a stock item, as far as they are known."""
        if _object_of(type) == "shipment":
            order = (memory.order or {}).get("order")
            return {"order": order} if isinstance(order, Mapping) else {}
        skus = _skus(_about(type, payload)) if _object_of(type) == "stock_item" else ()
        return {"product": _product(skus, memory.products)} if skus else {}

    def joined_fields(self, type: str) -> Mapping[str, FieldInfo]:
        """The fields of `order` beside a shipment, and of `product` beside a stock item."""
        return _JOINED_FIELDS.get(_object_of(type), {})

    def taught_by(self, type: str) -> Mapping[str, tuple[str, ...]]:
        """Completed orders teach the order of a shipment and the names of products."""
        name = {"shipment": "order", "stock_item": "product"}.get(_object_of(type))
        return {name: ("order_completed",)} if name else {}

    def hint(self, path: str, value: str) -> str | None:
        """What to write instead of a value that Chord spells otherwise."""
        return hint(path, value)

    def names(self, type: str, payload: Mapping[str, Any], memory: Memory) -> Mapping[str, tuple[str, ...]]:
        """An order by its number and its shipments, a shipment by its number and its order, stock by its item and SKU."""
        about, object = _about(type, payload), _object_of(type)
        own = filter(None, [_subject(object, about.get("number"), about.get("id"))])
        if object == "order":
            return {"order": tuple(own), "shipment": _parcels(about)}
        if object == "shipment":
            order = (memory.order or {}).get("order")
            owner = (
                _subject("order", order.get("number"), order.get("id")) if isinstance(order, Mapping) else ""
            )
            return {"shipment": tuple(own), "order": tuple(filter(None, [owner]))}
        skus = tuple(f"sku:{sku}" for sku in _skus(about)[:1])
        return {"stock_item": tuple(own), "sku": skus} if object == "stock_item" else {}

    def happened_at(self, type: str, payload: Mapping[str, Any]) -> datetime | None:
        """When an order was completed or cancelled, when a shipment last changed.

        Of stock it is not told: its time stamp does not move with what is on hand.
        """
        if _object_of(type) == "stock_item":
            return None
        about = _about(type, payload)
        stamp = about.get(_HAPPENED.get(type, "updated_at")) or about.get("updated_at")
        since = _microseconds(stamp)
        return None if since is None else _EPOCH + timedelta(microseconds=since)

    def teaches(self, type: str, payload: Mapping[str, Any]) -> Mapping[str, str]:
        """The product names by SKU that the lines of an order show."""
        lines = _about(type, payload).get("line_items") if _object_of(type) == "order" else None
        items = [line for line in lines if isinstance(line, Mapping)] if isinstance(lines, list) else []
        names = {_text(item.get("sku")): _text(item.get("name")) for item in items}
        return {sku: name for sku, name in names.items() if sku and name}


def _reading(kind: _Kind, about: Any, body: bytes, headers: Mapping[str, str], note: str = "") -> Reading:
    identity = _identity(kind.type, kind.dated_by(about), body, headers)
    return Reading(
        type=kind.type,
        subject=_subject(kind.object, about.number, about.id) or _unnamed(kind.object, identity),
        identity=identity,
        window=kind.window,
        superseded=kind.superseded and not headers.get(ID_HEADER),
        updated_at=_microseconds(about.updated_at),
        aliases=_shipments(about) if kind.object == "order" else (),
        note=note,
    )


def _unusual(found: _Body, body: bytes, headers: Mapping[str, str]) -> Reading:
    """A known event under a misprinted name or without the object that it is about, or an unknown event."""
    written = found.event_name
    type = MISPRINTS.get(written, written)
    kind = _KINDS.get(type)
    if kind is None:
        return _unknown(found, body, headers)
    misprint = f"sent as {written}, a misprint of Chord's guide; read as {type}" if type != written else ""
    about = getattr(found, kind.object)
    if about is not None:
        return _reading(kind, about, body, headers, misprint)
    missing = f"the body has no {kind.object.replace('_', ' ')}, which {type} events are about"
    identity = _identity(type, (), body, headers)
    note = "; ".join(filter(None, (misprint, missing)))
    return Reading(type, _unnamed(kind.object, identity), identity, kind.window, note=note)


def _unknown(found: _Body, body: bytes, headers: Mapping[str, str]) -> Reading:
    """An event that the guide does not know: kept and marked, told from others by its content."""
    if not found.event_name.strip():
        raise _nameless()
    name = found.event_name[:LONGEST_NAME]
    identity = _identity(found.event_name, (), body, headers)
    about = ((object, getattr(found, object)) for object in _OBJECTS)
    subjects = (_subject(object, value.number, value.id) for object, value in about if value is not None)
    subject = next(filter(None, subjects), "") or _unnamed("event", identity)
    return Reading(_printable(name), subject, identity, WEEK, known=False, note=_on_unknown_name(name))


@lru_cache(maxsize=512)
def _on_unknown_name(name: str) -> str:
    near = nearest(name, EVENT_TYPES)
    return f"unknown event {_encode(name).decode()}" + (f"; perhaps {near[0]} was meant" if near else "")


def _nameless() -> Malformed:
    return Malformed(
        'event_name missing: under "event_name" the body has no text that says what happened.', "event name"
    )


def _loosely(payload: Mapping[str, Any]) -> _Body:
    """What the quick reading takes, out of a payload of another shape than the guide's; what does not fit is left out."""
    if not isinstance(payload.get("event_name"), str):
        raise _nameless()
    fitting = {
        object: dict(payload[object]) for object in _OBJECTS if isinstance(payload.get(object), Mapping)
    }
    shipments = fitting.get("order", {}).get("shipments")
    if isinstance(shipments, list):
        fitting["order"]["shipments"] = [one for one in shipments if isinstance(one, Mapping)]
    elif "order" in fitting:
        fitting["order"]["shipments"] = []
    if "stock_item" in fitting and not isinstance(fitting["stock_item"].get("variant"), Mapping):
        fitting["stock_item"]["variant"] = {}
    return msgspec.convert({"event_name": payload["event_name"], **fitting}, _Body)


def _identity(type: str, dated: tuple[Any, ...], body: bytes, headers: Mapping[str, str]) -> bytes:
    """What a repeat shares: the sender's own id, else the fields that date what happened, else the content."""
    if id := headers.get(ID_HEADER):
        return sha256(_encode(("chord", type, "id", id))).digest()
    if dated and None not in dated and "" not in dated:
        return sha256(_encode(("chord", type, "dated", dated))).digest()
    return sha256(_encode(("chord", type, "content")) + canonical(parse(body))).digest()


def _subject(object: str, number: Any, id: Any) -> str:
    name = number if isinstance(number, str) and number else _text(number) or _text(id)
    if len(name) > LONGEST_NUMBER or not name.isprintable():
        name = _printable(name[:LONGEST_NUMBER])
    return f"{object}:{name}" if name else ""


def _unnamed(object: str, identity: bytes) -> str:
    """A subject of its own for an event whose object has neither number nor id."""
    return f"{object}:({identity.hex()[:12]})"


def _parcels(order: Mapping[str, Any]) -> tuple[str, ...]:
    """The shipments that an order lists, as subjects."""
    listed = order.get("shipments")
    parcels = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return tuple(filter(None, (_subject("shipment", one.get("number"), one.get("id")) for one in parcels)))


def _shipments(order: _Order) -> tuple[str, ...]:
    subjects = [_subject("shipment", one.number, one.id) for one in order.shipments]
    return tuple(subjects) if "" not in subjects else tuple(filter(None, subjects))


def _printable(text: str) -> str:
    """A text that stays on its line wherever it is shown."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def _text(value: Any) -> str:
    """A text or number as text; nothing for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else ""


def _microseconds(stamp: Any) -> int | None:
    """A time stamp as microseconds since 1970, None where it is none; without an offset it is taken for UTC."""
    try:
        moment = datetime.fromisoformat(stamp)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    except (TypeError, ValueError, OverflowError):
        return None


def _object_of(type: str) -> str:
    event = EVENT_TYPES.get(MISPRINTS.get(type, type))
    return event.object if event else ""


def _about(type: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a payload is about; empty where it has none."""
    about = payload.get(_object_of(type))
    return about if isinstance(about, Mapping) else {}


def _skus(stock_item: Mapping[str, Any]) -> tuple[str, ...]:
    """The SKU of a stock item's product, and for a bundle also those of its parts."""
    variant = stock_item.get("variant")
    sku = _text(variant.get("sku")) if isinstance(variant, Mapping) else ""
    parts = tuple(part.strip() for part in sku.split("|") if part.strip())
    return (sku, *parts) if len(parts) > 1 else (sku,) * bool(sku)


def _product(skus: tuple[str, ...], names: Mapping[str, str]) -> Mapping[str, str]:
    """A product by its SKU; its name where it is known, for a bundle made of its parts' names."""
    whole, *parts = skus
    name = names.get(whole, "")
    if not name and parts and all(names.get(part) for part in parts):
        name = " + ".join(names[part] for part in parts)
    return {"sku": whole, "name": name} if name else {"sku": whole}


_PRODUCT = (
    FieldInfo("product", "object", help="The product of the stock item."),
    FieldInfo("product.sku", "text", help="Its SKU; a bundle's parts are joined by |.", example="product-3"),
    FieldInfo(
        "product.name",
        "text",
        help="Its name, from products.csv or as an earlier order showed it; for a bundle its parts' names.",
        example="Product 3",
    ),
)
_JOINED_FIELDS: Mapping[str, Mapping[str, FieldInfo]] = {
    "shipment": {
        path: info for path, info in EVENT_TYPES["order_completed"].fields.items() if path != "event_name"
    },
    "stock_item": {info.path: info for info in _PRODUCT},
}
