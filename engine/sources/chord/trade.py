"""What can happen in the sandbox's shop: an order is placed, cancelled, shipped, followed; stock runs out and returns.

Every step is told its time and changes the papers; chance comes from the dice handed in.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from engine.sources.chord import wares
from engine.sources.chord.papers import Address, Adjustment, Customer, Line, Order, Parcel, Payment, StockItem
from engine.sources.chord.wares import Product

T = TypeVar("T")


class Dice(Protocol):
    """Chance, as `random.Random` with a seed gives it."""

    def random(self) -> float:
        """A number from 0 up to 1."""

    def randint(self, a: int, b: int) -> int:
        """A whole number from a to b."""

    def choice(self, seq: Sequence[T]) -> T:
        """One of them."""

    def choices(self, population: Sequence[T], weights: Sequence[float] | None, *, k: int) -> list[T]:
        """Several of them, the heavy ones more often."""

    def expovariate(self, lambd: float) -> float:
        """The gap to the next of things that happen `lambd` times a unit."""


def ago(now: datetime, seconds: float) -> datetime:
    """A moment before now, right also across a clock change."""
    return (now.astimezone(UTC) - timedelta(seconds=seconds)).astimezone(now.tzinfo)


def sold_out(order: Order) -> list[StockItem]:
    """The stock that ran out with this order, asked right after it was placed."""
    return [line.stock for line in order.lines if line.stock.count <= 0 < line.stock.count + line.quantity]


class Trade:
    """A shop with stock and regular customers. `scale` is how many times the ordinary stock it holds."""

    def __init__(self, dice: Dice, start: datetime, scale: float = 1) -> None:
        self._dice = dice
        self._last: Counter[str] = Counter()
        self._taken: set[str] = set()
        self._subscriptions: dict[str, int] = {}
        self._scale = scale
        self.stock = [item for product in wares.PRODUCTS for item in self._stocked(product, start)]
        self._regulars = [self._customer(account=True) for _ in range(60)]
        for place, (email, (first, last)) in enumerate(wares.KNOWN_BY_NAME.items()):
            one = self._regulars[place]
            address = replace(one.address, firstname=first, lastname=last)
            self._regulars[place] = replace(one, email=email, address=address)

    # orders

    def place(self, now: datetime, *, channel: str | None = None) -> Order:
        """An order placed and paid (or not) just before now, in the channel wished for."""
        channel = channel or self._weighted(wares.CHANNELS)
        customer = self._buyer()
        lines = self._lines(channel, now)
        order = Order(
            id=self._next("order", self._dice.choice((1, 1, 1, 2))),
            number=self._number("ACS-", 9),
            customer=customer,
            ship_to=self._ship_to(customer),
            channel=channel,
            store=2,
            session=None if channel == "wholesale" else "cs_live_" + self._letters(11),
            created_at=ago(now, self._dice.randint(90, 900)),
            completed_at=ago(now, 1.4),
            updated_at=ago(now, 0.2),
            lines=lines,
            parcels=self._parcels(lines, now),
            cart_url=self._maybe(0.1, "https://shop.example.com/cart/" + self._letters(8)),
            backordered=any(line.stock.count < 0 for line in lines),
        )
        order.subscription = self._subscription(order)
        self._adjust(order, now)
        self._pay(order, now)
        for parcel in order.parcels:
            parcel.state = "ready" if order.payment_state == "paid" and not order.backordered else "pending"
        return order

    def cancel(self, order: Order, now: datetime, *, keep_money: bool) -> None:
        """The order is cancelled; what was paid is still held, or given back at once."""
        order.canceled_at, order.updated_at = ago(now, 0.9), ago(now, 0.1)
        order.canceler = self._maybe(0.5, self._dice.randint(9, 12))
        for payment in order.payments:
            if payment.state == "pending" or (payment.state == "completed" and not keep_money):
                payment.state, payment.updated_at = "void", ago(now, 0.5)
        for parcel in order.parcels:
            parcel.state, parcel.updated_at = "canceled", ago(now, 0.3)

    # parcels

    def ready(self, order: Order, parcel: Parcel, now: datetime) -> None:
        """A parcel that waited for money or stock can be packed."""
        parcel.state, parcel.updated_at, parcel.pushed = "ready", ago(now, 0.2), True
        for payment in order.payments:
            if payment.state == "pending":
                payment.state, payment.updated_at = "completed", ago(now, 0.4)

    def label(self, parcel: Parcel, now: datetime) -> None:
        """A parcel gets its tracking code, and with it the way that it will take."""
        parcel.tracking, parcel.updated_at, parcel.pushed = "94001" + self._digits(17), ago(now, 0.2), True
        parcel.journey = self._weighted(wares.JOURNEYS).split()

    def ship(self, parcel: Parcel, now: datetime) -> None:
        """A parcel leaves; a few leave without a tracking code and are never heard of again."""
        if parcel.tracking is None and self._dice.random() > 0.04:
            self.label(parcel, now)
        parcel.state, parcel.pushed = "shipped", True
        parcel.shipped_at, parcel.updated_at = ago(now, 0.3), ago(now, 0.2)

    def track(self, parcel: Parcel, step: str, now: datetime) -> str:
        """The carrier reports `status/detail`; the answer is the event that tells of it.

        One more scan on the way is an update of the shipment, everything else one of its delivery status.
        """
        status, detail = step.split("/")
        scan = status == parcel.delivery_status and detail in wares.SCANS
        parcel.delivery_status, parcel.status_detail = status, detail
        parcel.tracking_detail = wares.SENTENCES.get(detail, detail.replace("_", " ").capitalize())
        parcel.updated_at = ago(now, 0.2)
        if status == "delivered":
            parcel.delivered_at = ago(now, 60)
        return "shipment_updated" if scan else "shipment_delivery_status_updated"

    # stock

    def move(self, item: StockItem, change: int, now: datetime) -> str | None:
        """Stock comes or goes; the answer is the event that tells of it, if it ran out or came back."""
        before, item.count, item.updated_at = item.count, item.count + change, ago(now, 0.2)
        if before <= 0 < item.count:
            return "stock_item_back_in_stock"
        return "stock_item_out_of_stock" if item.count <= 0 < before else None

    def refill(self, item: StockItem) -> int:
        """How many a supplier brings; every fourth time a handful."""
        return self._dice.randint(2, 5) if self._dice.random() < 0.25 else self._fill(item.product)

    # what orders are made of

    def _lines(self, channel: str, now: datetime) -> list[Line]:
        wholesale = channel == "wholesale"
        count = self._weighted({1: 52, 2: 27, 3: 13, 4: 6, 6: 2})
        wanted: dict[Product, int] = {}
        for product in self._dice.choices(wares.PRODUCTS, [one.weight for one in wares.PRODUCTS], k=count):
            wanted[product] = (
                self._dice.randint(10, 48) if wholesale else self._weighted({1: 760, 2: 170, 3: 65, 12: 5})
            )
        found = [(item, many) for product, many in wanted.items() if (item := self._shelf(product, many))]
        if not found:
            always = next(item for item in self.stock if item.product.backorderable)
            found = [(always, 1)]
        return [self._line(item, many, now) for item, many in found]

    def _line(self, item: StockItem, many: int, now: datetime) -> Line:
        self.move(item, -many, now)
        return Line(self._next("line"), item.product, many, item)

    def _shelf(self, product: Product, many: int) -> StockItem | None:
        """Where so many of it can be had; in need from the first place that takes orders beyond its stock."""
        places = [item for item in self.stock if item.product is product]
        full = [item for item in places if item.count >= many]
        if full:
            return self._dice.choice(full)
        return places[0] if product.backorderable else None

    def _parcels(self, lines: list[Line], now: datetime) -> list[Parcel]:
        """One parcel for each place the lines come from; the more expensive orders ship for nothing."""
        free = sum(line.cents for line in lines) >= 7500
        places = dict.fromkeys(line.stock.location for line in lines)
        return [self._parcel(0 if free else self._dice.choice((500, 850, 1200, 2200)), now) for _ in places]

    def _parcel(self, cost: int, now: datetime) -> Parcel:
        return Parcel(
            self._next("parcel"), self._number("H", 11), cost, "pending", ago(now, 25), ago(now, 0.1)
        )

    def _adjust(self, order: Order, now: datetime) -> None:
        """Promotions first, then taxes on what is left of each line and parcel."""
        if self._dice.random() < 0.12:
            code = self._weighted(wares.PROMOTIONS_USED)
            off = -_share(order.item_total, wares.PROMOTIONS[code] * 1000)
            order.adjustments.append(
                self._adjustment(off, f"Promotion ({code.title()})", "Promotion", code, now)
            )
        if self._dice.random() < 0.05:
            line = order.lines[0]
            off = -_share(line.cents, 10_000)
            code_of_line = self._maybe(0.15, "FRIENDS")
            line.adjustments.append(
                self._adjustment(off, "Promotion (Tenth off)", "Promotion", code_of_line, now)
            )
        if self._dice.random() < 0.06 and order.parcels[0].cost:
            parcel = order.parcels[0]
            label = "Promotion (Free shipping)"
            parcel.adjustments.append(self._adjustment(-parcel.cost, label, "Promotion", "FREESHIP", now))
        self._tax(order, now)

    def _tax(self, order: Order, now: datetime) -> None:
        place = order.ship_to.place
        if not place.tax:
            return
        label = f"{place.code} {place.tax // 1000}.{place.tax % 1000:03d}%"
        for line in order.lines:
            left = line.cents + sum(one.cents for one in line.adjustments)
            line.adjustments.append(self._adjustment(_share(left, place.tax), label, "Tax Rate", None, now))
        for parcel in order.parcels:
            tax = _share(parcel.cents, place.tax)
            parcel.adjustments.append(self._adjustment(tax, label, "Tax Rate", None, now))

    def _adjustment(self, cents: int, label: str, source: str, code: str | None, now: datetime) -> Adjustment:
        return Adjustment(self._next("adjustment"), cents, label, source, code, ago(now, 24), ago(now, 1.5))

    def _pay(self, order: Order, now: datetime) -> None:
        """Most pay at the first try; some try twice, some are only authorised, one in a hundred fails."""
        if self._dice.random() < 0.12:
            cents, state = self._dice.choice(((0, "invalid"), (order.total, "failed")))
            order.payments.append(self._payment(cents, state, ago(now, 30)))
        state = self._weighted({"completed": 92, "pending": 7, "failed": 1})
        order.payments.append(self._payment(order.total, state, ago(now, 1.6)))

    def _payment(self, cents: int, state: str, at: datetime) -> Payment:
        method = self._weighted(wares.PAYMENT_METHODS)
        return Payment(self._next("payment"), cents, method, state, ago(at, 1.2), at)

    def _subscription(self, order: Order) -> int | None:
        """The subscription an order belongs to; a customer keeps theirs from order to order."""
        renewable = any(line.product.subscribable for line in order.lines)
        if order.customer.account is None or not renewable or self._dice.random() > 0.25:
            return None
        email = order.customer.email
        if email not in self._subscriptions:
            self._subscriptions[email] = self._next("subscription")
        return self._subscriptions[email]

    # who buys

    def _buyer(self) -> Customer:
        guest = self._dice.random() < 0.25
        return self._customer(account=False) if guest else self._dice.choice(self._regulars)

    def _customer(self, *, account: bool) -> Customer:
        address = self._address(self._dice.choice(wares.FIRST_NAMES), self._dice.choice(wares.LAST_NAMES))
        if not account:
            return Customer(_mailbox(address, self._next("guest")), address, None, None)
        number = self._next("account")
        return Customer(
            _mailbox(address, number), address, number, self._maybe(0.4, "cus_" + self._letters(10))
        )

    def _address(self, first: str, last: str) -> Address:
        return Address(
            id=self._next("address"),
            firstname=first,
            lastname=last,
            address1=f"{self._dice.randint(1, 220)} {self._dice.choice(wares.STREETS)}",
            place=self._dice.choice(wares.PLACES),
            address2=self._maybe(0.2, f"Apartment {self._dice.randint(1, 40)}"),
            phone=self._maybe(0.35, f"+1 555 {self._digits(3)} {self._digits(4)}"),
            company=self._maybe(0.08, self._dice.choice(wares.COMPANIES)),
        )

    def _ship_to(self, customer: Customer) -> Address:
        """Mostly home; now and then a present goes to somebody else."""
        if self._dice.random() > 0.1:
            return customer.address
        return replace(
            self._address(self._dice.choice(wares.FIRST_NAMES), customer.address.lastname), phone=None
        )

    # stock, numbers and chance

    def _stocked(self, product: Product, start: datetime) -> list[StockItem]:
        places = wares.LOCATIONS[: self._dice.randint(1, len(wares.LOCATIONS))]
        variant = self._next("variant")
        since = ago(start, self._dice.randint(20, 200) * 86_400)
        return [
            StockItem(self._next("stock"), variant, product, place, self._fill(product), since, since)
            for place in places
        ]

    def _fill(self, product: Product) -> int:
        return round(product.weight * self._dice.randint(3, 20) * self._scale)

    def _next(self, kind: str, step: int = 1) -> int:
        self._last[kind] += step
        return self._last[kind]

    def _number(self, prefix: str, digits: int) -> str:
        number = prefix + self._digits(digits)
        if number in self._taken:
            return self._number(prefix, digits)
        self._taken.add(number)
        return number

    def _digits(self, many: int) -> str:
        return "".join(str(self._dice.randint(0, 9)) for _ in range(many))

    def _letters(self, many: int) -> str:
        return "".join(self._dice.choices("abcdefghjkmnpqrstuvwxyz23456789", None, k=many))

    def _maybe(self, chance: float, value: T) -> T | None:
        return value if self._dice.random() < chance else None

    def _weighted(self, weights: Mapping[T, int]) -> T:
        return self._dice.choices(tuple(weights), tuple(weights.values()), k=1)[0]


def _share(cents: int, thousandths: int) -> int:
    """So many thousandths of a percent, rounded half up."""
    return (cents * thousandths + 50_000) // 100_000


def _mailbox(address: Address, number: int) -> str:
    """An e-mail address in plain letters for somebody's name."""
    name = unicodedata.normalize("NFKD", f"{address.firstname}.{address.lastname}".lower())
    plain = "".join(sign for sign in name if sign.isascii() and (sign.isalnum() or sign == "."))
    return f"{plain.strip('.').replace('..', '.')}.{number}@example.com"
