"""The papers of the sandbox's shop (orders, parcels, stock), and how each is written into a payload of the guide's shape.

Amounts are whole cents; times carry the shop's offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.sources.chord.wares import Place, Product


def plain(cents: int) -> str:
    """An amount as order and shipment totals have it: 10.63, 10.0, -18.5."""
    whole, rest = divmod(abs(cents), 100)
    fraction = f"{rest:02d}".rstrip("0") or "0"
    return f"{'-' if cents < 0 else ''}{whole}.{fraction}"


def shown(cents: int) -> str:
    """An amount as lines, adjustments, payments and prices have it: $10.00, -$5.00, $1,234.56."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}${whole:,}.{rest:02d}"


def when(at: datetime | None) -> str | None:
    """A time as the OMS writes it: with milliseconds and offset, or nothing."""
    return at.isoformat(timespec="milliseconds") if at else None


@dataclass(slots=True)
class Adjustment:
    """A tax (added) or a promotion (taken off)."""

    id: int
    cents: int
    label: str
    source: str
    code: str | None
    created_at: datetime
    updated_at: datetime

    def body(self) -> dict[str, Any]:
        """The adjustment in the guide's shape."""
        return {
            "id": self.id,
            "amount": shown(self.cents),
            "label": self.label,
            "source_type": self.source,
            "promotion_code": self.code,
            "created_at": when(self.created_at),
            "updated_at": when(self.updated_at),
        }


def taxes(adjustments: list[Adjustment]) -> int:
    """The taxes among adjustments, in cents."""
    return sum(one.cents for one in adjustments if one.source == "Tax Rate")


def promotions(adjustments: list[Adjustment]) -> int:
    """The promotions among adjustments, in cents: zero or below."""
    return sum(one.cents for one in adjustments if one.source != "Tax Rate")


@dataclass(slots=True)
class Line:
    """One product in an order. `stock` is where it was taken from."""

    id: int
    product: Product
    quantity: int
    stock: StockItem
    adjustments: list[Adjustment] = field(default_factory=list)

    @property
    def cents(self) -> int:
        """Price times quantity, before taxes and promotions."""
        return self.product.cents * self.quantity

    def body(self) -> dict[str, Any]:
        """The line in the guide's shape."""
        return {
            "id": self.id,
            "name": self.product.name,
            "sku": self.product.sku,
            "quantity": self.quantity,
            "total": shown(self.cents),
            "adjustments": [one.body() for one in self.adjustments],
        }


@dataclass(slots=True)
class Parcel:
    """A shipment, in the warehouse or on its way."""

    id: int
    number: str
    cost: int
    state: str
    created_at: datetime
    updated_at: datetime
    adjustments: list[Adjustment] = field(default_factory=list)
    tracking: str | None = None
    shipped_at: datetime | None = None
    pushed: bool = False
    delivered_at: datetime | None = None
    delivery_status: str | None = None
    status_detail: str | None = None
    tracking_detail: str | None = None
    journey: list[str] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The shipment object in the guide's shape."""
        tracker = {"status_detail": self.status_detail, "tracking_detail": self.tracking_detail}
        return {**self._head(), **tracker, **self._tail()}

    def in_order(self) -> dict[str, Any]:
        """The shipment inside an order, which lacks the tracker's details."""
        return {**self._head(), **self._tail()}

    @property
    def cents(self) -> int:
        """What the customer pays for it."""
        return self.cost + taxes(self.adjustments) + promotions(self.adjustments)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "tracking": self.tracking,
            "number": self.number,
            "cost": plain(self.cost),
            "shipped_at": when(self.shipped_at),
            "state": self.state,
            "created_at": when(self.created_at),
            "updated_at": when(self.updated_at),
            "adjustment_total": plain(self.cents - self.cost),
            "additional_tax_total": plain(taxes(self.adjustments)),
            "promo_total": plain(promotions(self.adjustments)),
            "included_tax_total": plain(0),
            "pushed": self.pushed,
            "delivered_at": when(self.delivered_at),
            "delivery_status": self.delivery_status,
        }

    def _tail(self) -> dict[str, Any]:
        followed = self.tracking is not None
        return {
            "external_tracking_url": f"https://track.example.com/{self.tracking}" if followed else None,
            "label_url": f"https://labels.example.com/{self.number}.pdf" if followed else None,
            "adjustments": [one.body() for one in self.adjustments],
        }


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody lives."""

    id: int
    firstname: str
    lastname: str
    address1: str
    place: Place
    address2: str | None = None
    phone: str | None = None
    company: str | None = None

    def body(self) -> dict[str, Any]:
        """The address in the guide's shape: full names of state and country."""
        return {
            "id": self.id,
            "firstname": self.firstname,
            "lastname": self.lastname,
            "address1": self.address1,
            "address2": self.address2,
            "city": self.place.city,
            "zipcode": self.place.zipcode,
            "phone": self.phone,
            "state": self.place.state,
            "country": self.place.country,
            "state_name": self.place.typed,
            "alternative_phone": None,
            "company": self.company,
        }


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who buys; a guest has no account."""

    email: str
    address: Address
    account: int | None
    stripe: str | None

    def user(self) -> dict[str, Any] | None:
        """The account in the guide's shape; None for a guest."""
        if self.account is None:
            return None
        return {"id": self.account, "email": self.email, "stripe_user_id": self.stripe}


@dataclass(slots=True)
class Payment:
    """One try to pay."""

    id: int
    cents: int
    method: str
    state: str
    created_at: datetime
    updated_at: datetime

    def body(self) -> dict[str, Any]:
        """The payment in the guide's shape."""
        return {
            "id": self.id,
            "amount": shown(self.cents),
            "payment_method": self.method,
            "state": self.state,
            "created_at": when(self.created_at),
            "updated_at": when(self.updated_at),
        }


@dataclass(slots=True)
class Order:
    """An order with all that belongs to it; its totals and states follow from its parts."""

    id: int
    number: str
    customer: Customer
    ship_to: Address
    channel: str
    store: int
    session: str | None
    created_at: datetime
    completed_at: datetime
    updated_at: datetime
    lines: list[Line]
    parcels: list[Parcel]
    payments: list[Payment] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    subscription: int | None = None
    cart_url: str | None = None
    backordered: bool = False
    canceled_at: datetime | None = None
    canceler: int | None = None

    @property
    def every_adjustment(self) -> list[Adjustment]:
        """The adjustments of the order, its lines and its parcels."""
        parts: list[Line | Parcel] = [*self.lines, *self.parcels]
        return [*self.adjustments, *(one for part in parts for one in part.adjustments)]

    @property
    def item_total(self) -> int:
        """All lines, before taxes, shipping and promotions."""
        return sum(line.cents for line in self.lines)

    @property
    def shipment_total(self) -> int:
        """All shipping, before taxes and promotions."""
        return sum(parcel.cost for parcel in self.parcels)

    @property
    def total(self) -> int:
        """What the customer pays in all."""
        return self.item_total + self.shipment_total + sum(one.cents for one in self.every_adjustment)

    @property
    def paid(self) -> int:
        """The money received."""
        return sum(payment.cents for payment in self.payments if payment.state == "completed")

    @property
    def payment_state(self) -> str:
        """Whether the money is right; a cancelled order owes back what was paid, or is void."""
        if self.canceled_at:
            return "credit_owed" if self.paid else "void"
        if self.payments and self.payments[-1].state == "failed":
            return "failed"
        return "paid" if self.paid == self.total else "balance_due"

    @property
    def shipment_state(self) -> str:
        """All parcels together."""
        states = {parcel.state for parcel in self.parcels}
        if self.backordered and "pending" in states:
            return "backorder"
        return states.pop() if len(states) == 1 else "partial"

    def body(self) -> dict[str, Any]:
        """The order object in the guide's shape."""
        every = self.every_adjustment
        return {
            "id": self.id,
            "number": self.number,
            "item_total": plain(self.item_total),
            "total": plain(self.total),
            "state": "canceled" if self.canceled_at else "complete",
            "adjustment_total": plain(sum(one.cents for one in every)),
            "completed_at": when(self.completed_at),
            "payment_total": plain(self.paid),
            "shipment_state": self.shipment_state,
            "payment_state": self.payment_state,
            "email": self.customer.email,
            "created_at": when(self.created_at),
            "updated_at": when(self.updated_at),
            "currency": "USD",
            "last_ip_address": None,
            "shipment_total": plain(self.shipment_total),
            "additional_tax_total": plain(taxes(every)),
            "promo_total": plain(promotions(every)),
            "channel": self.channel,
            "included_tax_total": plain(0),
            "item_count": sum(line.quantity for line in self.lines),
            "confirmation_delivered": True,
            "canceled_at": when(self.canceled_at),
            "canceler_id": self.canceler,
            "store_id": self.store,
            "checkout_session_id": self.session,
            "commission_total": plain(0),
            "stripe_automatic_taxes": False,
            "subscription_order": self.subscription is not None,
            "subscription_id": self.subscription,
            "cart_url": self.cart_url,
            "user": self.customer.user(),
            "line_items": [line.body() for line in self.lines],
            "shipments": [parcel.in_order() for parcel in self.parcels],
            "ship_address": self.ship_to.body(),
            "bill_address": self.customer.address.body(),
            "payments": [payment.body() for payment in self.payments],
            "adjustments": [one.body() for one in self.adjustments],
        }


@dataclass(slots=True)
class StockItem:
    """One product at one place, with how many are there."""

    id: int
    variant: int
    product: Product
    location: str
    count: int
    created_at: datetime
    updated_at: datetime

    def body(self) -> dict[str, Any]:
        """The stock item in the guide's shape."""
        return {
            "id": self.id,
            "stock_location": self.location,
            "count_on_hand": self.count,
            "backorderable": self.product.backorderable,
            "created_at": when(self.created_at),
            "updated_at": when(self.updated_at),
            "variant": self._variant(),
        }

    def _variant(self) -> dict[str, Any]:
        slug = self.product.name.split(",")[0].lower().replace(" & ", "-").replace(" ", "-")
        folder = "bundles" if self.product.bundle else "products"
        image = None if self.product.master else f"https://images.example.com/{slug}/small.jpg?{self.variant}"
        return {
            "id": self.variant,
            "sku": self.product.sku,
            "is_master": self.product.master,
            "amount": shown(self.product.cents),
            "subscribable": self.product.subscribable,
            "bundle": self.product.bundle,
            "url": f"https://shop.example.com/{folder}/{slug}",
            "main_image": image,
            "updated_at": when(self.created_at),
            "created_at": when(self.created_at),
        }
