"""A clerk who reads every event as it comes and writes by hand what each rule of the gallery and of `rules/` should send.

Slow and obvious on purpose: plain Python per rule, from what its text means. Nothing here comes from the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

Message = tuple[str, str, str]
"""Slack, email or http; where it goes; what is in it."""


@dataclass(frozen=True)
class Heard:
    """One event with what the clerk knew when it came: the object as it was before, and its order or product."""

    type: str
    about: Any
    before: Any
    order: Any = None
    product: str = ""


Rule = Callable[[Heard], Iterator[Message]]
RULES: dict[str, Rule] = {}


def rule(*files: str) -> Callable[[Rule], Rule]:
    """The function that says what the rules of these files send."""

    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(files, function))
        return function

    return keep


@dataclass
class Clerk:
    """Hears events, and keeps what should have been sent for them, by the file of the rule."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    heard: int = 0
    repeats: int = 0
    late: int = 0
    _seen: dict[Any, datetime] = field(default_factory=dict)
    _newest: dict[str, Any] = field(default_factory=dict)
    _latest: dict[str, Any] = field(default_factory=dict)
    _order_of: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def hear(self, body: Any, at: datetime) -> bool:
        """One acknowledged arrival; whether it is a repeat."""
        kind = next(key for key in body if key != "event_name")
        about, name = body[kind], f"{kind} {body[kind].get('number') or body[kind]['id']}"
        if self._repeated(body["event_name"], name, about, at):
            self.repeats += 1
            return True
        self.heard += 1
        before = self._newest.get(name)
        self._latest[name] = _occurrence(body["event_name"], about)
        late = before is not None and moment(about) < moment(before)
        self.late += late
        if kind == "order":
            self._learn(about, name)
        if not late:
            self._newest[name] = about
            self._write(body["event_name"], kind, about, before)
        return False

    def _repeated(self, event: str, name: str, about: Any, at: datetime) -> bool:
        """The same occurrence within a week; of stock within a day, and only if nothing newer came meanwhile."""
        stock = event.startswith("stock")
        key = (event, name, _occurrence(event, about))
        seen = self._seen.get(key)
        again = seen is not None and at - seen < timedelta(days=1 if stock else 7)
        if again and stock:
            again = self._latest[name] == key[2]
        if not again:
            self._seen[key] = at
        return again

    def _learn(self, order: Any, name: str) -> None:
        for parcel in order["shipments"]:
            self._order_of[parcel["number"]] = name
        for line in order["line_items"]:
            self._names[line["sku"]] = line["name"]

    def _write(self, event: str, kind: str, about: Any, before: Any) -> None:
        order = self._newest.get(self._order_of.get(about["number"], "")) if kind == "shipment" else None
        product = self._product(about["variant"]["sku"]) if kind == "stock_item" else ""
        one = Heard(event, about, before, order, product)
        for file, function in RULES.items():
            self.sent += [(file, message) for message in function(one)]

    def _product(self, sku: str) -> str:
        parts = [self._names.get(part) for part in sku.split("|")]
        joined = " + ".join(part or "" for part in parts) if all(parts) else ""
        return self._names.get(sku) or joined or sku


def _occurrence(event: str, about: Any) -> Any:
    return {
        "order_completed": lambda: about["completed_at"],
        "order_cancelled": lambda: about["canceled_at"],
        "shipment_shipped": lambda: about["shipped_at"],
        "shipment_updated": lambda: about["updated_at"],
        "shipment_delivery_status_updated": lambda: (
            about["delivery_status"], about["status_detail"], about["updated_at"],
        ),
    }.get(event, lambda: (event, about["updated_at"], about["count_on_hand"]))()  # fmt: skip


# how things are written


def moment(about: Any) -> datetime:
    """When an object last changed."""
    return datetime.fromisoformat(about["updated_at"])


def amount(text: str) -> Decimal:
    """The amount in a text."""
    return Decimal(text.replace("$", "").replace(",", ""))


def dollars(text: str) -> str:
    """An amount as people in the United States write it."""
    value = amount(text)
    return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"


def safe(text: Any) -> str:
    """A value as Slack is given it."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def slack(channel: str, *lines: str) -> Message:
    """A message to a channel."""
    return "slack", f"#{channel}", "\n".join(lines)


def mail(to: str, subject: str, *lines: str) -> Message:
    """A mail."""
    return "email", to, "\n".join((f"Subject: {subject}", *lines))


def call(method: str, path: str, content: Any) -> Message:
    """A call of the ERP."""
    return "http", f"{method} /erp{path}", canonical(content)


def canonical(content: Any) -> str:
    """A JSON value as one text, whatever the order of its keys."""
    return json.dumps(content, sort_keys=True, default=lambda number: float(number))


def became(one: Heard, name: str, values: str) -> bool:
    """Whether a field of the object is one of these now and was not the same before."""
    now = one.about[name]
    return now in values.split() and (one.before is None or one.before[name] != now)


# the rules


def _big(one: Heard, where: str) -> Iterator[Message]:
    order = one.about
    if one.type == "order_completed" and amount(order["total"]) >= 200 and order["channel"] != "wholesale":
        items = f"{order['item_count']:,} item{'s' * (order['item_count'] != 1)}"
        city, last = order["ship_address"]["city"], order["ship_address"][where]
        yield slack(
            "big-orders",
            f":moneybag: *{order['number']}* for {dollars(order['total'])}",
            f"{items}, ships to {safe(city)}, {safe(last or '')}",
        )


RULES["rules/big-order"] = lambda one: _big(one, "state")
RULES["gallery/big-order"] = lambda one: _big(one, "country")


@rule("rules/cancelled-refund", "gallery/cancelled-refund")
def cancelled_refund(one: Heard) -> Iterator[Message]:
    """A cancelled order whose money is still held."""
    order = one.about
    if (
        one.type == "order_cancelled"
        and order["payment_state"] == "credit_owed"
        and amount(order["payment_total"]) > 0
    ):
        held = f"{order['number']} was cancelled and we still hold {dollars(order['payment_total'])}"
        yield slack("refunds", f":leftwards_arrow_with_hook: {held} of {order['email']}")


@rule("rules/subscription-order", "gallery/subscription-order")
def subscription_order(one: Heard) -> Iterator[Message]:
    """An order of a subscription."""
    order = one.about
    if one.type == "order_completed" and order["subscription_order"] and order["subscription_id"] is not None:
        belongs = f"{order['number']} belongs to subscription {order['subscription_id']}"
        yield slack("subscriptions", f":repeat: {belongs} ({dollars(order['total'])})")


@rule("rules/erp-order")
def erp_order(one: Heard) -> Iterator[Message]:
    """Every order goes into the books."""
    order = one.about
    if one.type == "order_completed":
        yield call("POST", "/sales-orders", {
            "reference": order["number"], "total": amount(order["total"]), "currency": order["currency"],
            "subscription": order["subscription_order"], "lines": order["line_items"],
        })  # fmt: skip


@rule("gallery/wholesale-order")
def wholesale_order(one: Heard) -> Iterator[Message]:
    """So does a wholesale order, in its own way."""
    order = one.about
    if one.type == "order_completed" and order["channel"] == "wholesale":
        yield call("POST", "/sales-orders", {
            "reference": order["number"], "total": amount(order["total"]), "currency": order["currency"],
            "company": order["bill_address"]["company"] or "", "lines": order["line_items"],
        })  # fmt: skip


@rule("rules/order-confirmation")
def order_confirmation(one: Heard) -> Iterator[Message]:
    """The customer is thanked."""
    order = one.about
    if one.type == "order_completed" and order["email"]:
        lines = [
            f"- {item['quantity']} x {item['name']}: {dollars(item['total'])}" for item in order["line_items"]
        ]
        yield mail(
            order["email"],
            f"Thank you, {order['bill_address']['firstname']}: order {order['number']}",
            f"Your order {order['number']} is in good hands.", "", *lines, "",
            f"Together {dollars(order['total'])}. We write again when it ships.",
        )  # fmt: skip


@rule("gallery/vip-order")
def vip_order(one: Heard) -> Iterator[Message]:
    """Two customers are thanked by name, and the team hears of it."""
    order = one.about
    if one.type == "order_completed" and order["email"] in ("maya.lindqvist@example.com", "ben@example.com"):
        lines = [f"- {item['quantity']} x {item['name']}" for item in order["line_items"]]
        yield mail(
            order["email"],
            f"Thank you, {order['bill_address']['firstname']}",
            f"Your order {order['number']} is in good hands.", "", *lines, "",
            "If anything is not right, just answer this mail.",
        )  # fmt: skip
        yield slack(
            "vip", f":star: {order['email']} ordered for {dollars(order['total'])} ({order['number']})"
        )


def _reseller(one: Heard, wholesale: bool) -> Iterator[Message]:
    order = one.about
    if one.type == "order_completed" and (wholesale or order["channel"] != "wholesale"):
        many = [item for item in order["line_items"] if item["quantity"] >= 10]
        if many:
            lines = [f"• {item['quantity']} x {safe(item['name'])}" for item in many]
            yield slack("sales", f"{order['number']} has a line of ten or more:", *lines)


RULES["rules/reseller-line"] = lambda one: _reseller(one, wholesale=True)
RULES["gallery/reseller-line"] = lambda one: _reseller(one, wholesale=False)


@rule("gallery/ships-abroad")
def ships_abroad(one: Heard) -> Iterator[Message]:
    """An order that leaves the country."""
    if one.type == "order_completed" and one.about["ship_address"]["country"] != "United States":
        place = f"{safe(one.about['ship_address']['city'])}, {safe(one.about['ship_address']['country'])}"
        yield slack("fulfilment", f":airplane: {one.about['number']} goes to {place}: customs papers, please")


@rule("gallery/unpaid-order")
def unpaid_order(one: Heard) -> Iterator[Message]:
    """An order that is not paid in full."""
    order = one.about
    if one.type == "order_completed" and order["payment_state"] in ("balance_due", "failed"):
        came = f"of which {dollars(order['payment_total'])} came in"
        yield slack("payments", f":hourglass: {order['number']} is {dollars(order['total'])}, {came}")


@rule("gallery/staff-code")
def staff_code(one: Heard) -> Iterator[Message]:
    """A code for staff or friends, used by somebody from outside."""
    order = one.about
    if one.type == "order_completed" and not order["email"].endswith("@shop.example"):
        every = [*order["adjustments"], *(one for line in order["line_items"] for one in line["adjustments"])]
        if any(adjustment["promotion_code"] in ("STAFF50", "FRIENDS") for adjustment in every):
            who = f"{order['number']} of {order['email']}"
            yield slack("fraud", f":label: {who} used a staff code and paid {dollars(order['total'])}")


@rule("rules/parcel-shipped")
def parcel_shipped(one: Heard) -> Iterator[Message]:
    """A parcel has left."""
    if one.type == "shipment_shipped":
        code = one.about["tracking"] or "no tracking code yet"
        yield slack("fulfilment", f":package: {one.about['number']} has left ({code})")


@rule("rules/parcel-update")
def parcel_update(one: Heard) -> Iterator[Message]:
    """The ERP hears of each parcel."""
    parcel = one.about
    if one.type in ("shipment_updated", "shipment_delivery_status_updated"):
        yield call("PUT", f"/parcels/{parcel['number']}", {
            "state": parcel["state"], "tracking": parcel["tracking"],
            "delivery": parcel["delivery_status"], "detail": parcel["tracking_detail"],
        })  # fmt: skip


@rule("rules/delivery-trouble")
def delivery_trouble(one: Heard) -> Iterator[Message]:
    """Each report of trouble with a delivery."""
    parcel = one.about
    if one.type == "shipment_delivery_status_updated" and (
        parcel["delivery_status"] in ("failure", "return_to_sender", "error")
        or parcel["status_detail"]
        in ("address_correction", "damaged", "lost", "refused", "missorted", "delivery_exception")
    ):
        which = f"{parcel['number']} ({parcel['tracking']})"
        yield slack(
            "delivery-trouble",
            f":rotating_light: {which}: {parcel['delivery_status']} / {parcel['status_detail']}",
            safe(parcel["tracking_detail"]),
        )


@rule("gallery/delivery-trouble")
def delivery_failed(one: Heard) -> Iterator[Message]:
    """A delivery has failed now, and had not before."""
    parcel = one.about
    if one.type == "shipment_delivery_status_updated" and became(one, "delivery_status", "failure error"):
        yield slack(
            "delivery-trouble",
            f":rotating_light: {parcel['number']} ({parcel['tracking']}): {parcel['delivery_status']}",
            safe(parcel["tracking_detail"]),
        )


@rule("gallery/carrier-needs-us")
def carrier_needs_us(one: Heard) -> Iterator[Message]:
    """The carrier waits for an address or an answer."""
    parcel = one.about
    if one.type == "shipment_delivery_status_updated" and became(
        one, "status_detail", "address_correction awaiting_information"
    ):
        yield slack(
            "delivery-trouble",
            f":telephone_receiver: The carrier waits for us: {parcel['number']} ({parcel['tracking']})",
            safe(parcel["tracking_detail"]),
        )


@rule("gallery/parcel-at-risk")
def parcel_at_risk(one: Heard) -> Iterator[Message]:
    """A parcel that may be lost."""
    parcel, detail = one.about, one.about.get("status_detail")
    risks = "damaged lost refused missorted delivery_exception transit_exception expired"
    if one.type == "shipment_delivery_status_updated" and became(one, "status_detail", risks):
        order = one.order["number"] if one.order else "not known"
        yield slack("delivery-trouble", f":warning: {parcel['number']} is {detail}. Order: {order}")
        yield mail(
            "care@shop.example",
            f"Parcel {parcel['number']}: {detail}",
            f"The carrier says: {parcel['tracking_detail']}",
            f"Follow it: {parcel['external_tracking_url']}",
        )


@rule("gallery/parcel-returned")
def parcel_returned(one: Heard) -> Iterator[Message]:
    """A parcel comes back."""
    if one.type == "shipment_delivery_status_updated" and (
        became(one, "delivery_status", "return_to_sender") or became(one, "status_detail", "return")
    ):
        order = one.order["number"] if one.order else "not known"
        yield slack(
            "returns", f":leftwards_arrow_with_hook: {one.about['number']} comes back. Order: {order}"
        )


@rule("rules/sold-out")
def sold_out(one: Heard) -> Iterator[Message]:
    """A product has run out, and nobody can order it any more."""
    if one.type == "stock_item_out_of_stock" and not one.about["backorderable"]:
        sku, place = one.about["variant"]["sku"], one.about["stock_location"]
        yield slack("buying", f":no_entry: {sku} is sold out at {place}")
        yield mail(
            "buying@shop.example",
            f"Sold out: {sku}",
            f"{sku} is sold out at {place}.",
            f"Its price is {one.about['variant']['amount']}.",
        )


@rule("gallery/sold-out")
def sold_out_by_name(one: Heard) -> Iterator[Message]:
    """The same by the product's name."""
    if one.type == "stock_item_out_of_stock" and not one.about["backorderable"]:
        yield slack("buying", f":no_entry: {safe(one.product)} is sold out at {one.about['stock_location']}")


@rule("rules/came-back-few")
def came_back_few(one: Heard) -> Iterator[Message]:
    """A handful came back."""
    if one.type == "stock_item_back_in_stock" and 0 < one.about["count_on_hand"] <= 5:
        yield slack("buying", f"Only {one.about['count_on_hand']} of {one.about['variant']['sku']} came back")


@rule("gallery/came-back-few")
def came_back_few_by_name(one: Heard) -> Iterator[Message]:
    """The same by the product's name, and where."""
    if one.type == "stock_item_back_in_stock" and 0 < one.about["count_on_hand"] <= 5:
        many, place = one.about["count_on_hand"], one.about["stock_location"]
        yield slack("buying", f"Only {many} of {safe(one.product)} came back at {place}")
