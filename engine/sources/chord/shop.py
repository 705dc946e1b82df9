"""The little shop behind the sandbox: it lives from order to order and tells of each event with a whole payload.

Chance and time are handed in: the same seed and start give the same life, event for event.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from engine.sources.chord.papers import Line, Order, Parcel, StockItem
from engine.sources.chord.trade import Dice, Trade, ago, sold_out
from engine.sources.chord.wares import Product

ORDINARY_RATE = 12.0
"""Orders an hour for which the shop's stock is made; a busier shop holds more."""

HOME = "America/New_York"
"""Where the shop stands unless told otherwise: the offset of all times in its payloads."""

_RUSH = (3, 2, 1, 1, 1, 2, 4, 6, 9, 11, 12, 13, 13, 12, 11, 11, 12, 13, 15, 17, 18, 15, 10, 6)
"""How busy each hour of the day is; the mean is 9."""


class Happening(NamedTuple):
    """An event when it is due to be sent: its time (UTC), its name, and the whole body."""

    due: datetime
    event: str
    body: dict[str, Any]


Step = Callable[[datetime], Iterable[Happening]]


class Shop:
    """A shop that lives. Chance comes from `dice` (`random.Random(seed)`), its first day from `start`.

    `zone` is where the shop stands, `orders_per_hour` how busy it is.
    """

    def __init__(
        self,
        dice: Dice,
        start: datetime,
        *,
        orders_per_hour: float = ORDINARY_RATE,
        zone: tzinfo | None = None,
    ) -> None:
        self._dice = dice
        self._zone = zone or ZoneInfo(HOME)
        self._start = start.astimezone(UTC)
        self._rate = orders_per_hour
        self._trade = Trade(dice, start.astimezone(self._zone), max(1.0, orders_per_hour / ORDINARY_RATE))
        self._agenda: list[tuple[datetime, int, Step | Happening]] = []
        self._turn = count()
        self._orders_left: int | None = None
        self._latest_sample = self._start
        self._recent: deque[Order] = deque(maxlen=100)

    # life

    def events(self, orders: int | None = None, since: datetime | None = None) -> Iterator[Happening]:
        """What happens, in the order of its time; endless, or until so many orders have run their course.

        It begins at the shop's start or `since`; asked for again, what was left open then goes on.
        """
        self._orders_left = orders
        self._later(since or self._start, 0, self._arrival)
        while self._agenda:
            due, _, next_up = heapq.heappop(self._agenda)
            if isinstance(next_up, Happening):
                yield next_up
            else:
                for happening in next_up(due.astimezone(self._zone)):
                    self._note(happening.due, happening)

    def _note(self, due: datetime, what: Step | Happening) -> None:
        heapq.heappush(self._agenda, (due.astimezone(UTC), next(self._turn), what))

    def _later(self, now: datetime, hours: float, step: Step) -> None:
        self._note(now.astimezone(UTC) + timedelta(hours=hours), step)

    def _hours(self, least: float, most: float) -> float:
        return least + (most - least) * self._dice.random()

    def _arrival(self, now: datetime) -> Iterator[Happening]:
        """The next customer buys, and the one after that is on the way."""
        if self._orders_left == 0:
            return
        if self._orders_left is not None:
            self._orders_left -= 1
        self._later(now, self._dice.expovariate(self._rate * _RUSH[now.hour] / 9), self._arrival)
        order = self._placed(now)
        yield self._tell(now, "order_completed", order)
        for item in sold_out(order):
            yield self._tell(ago(now, -1), "stock_item_out_of_stock", item)
            self._later(now, self._hours(6, 72), partial(self._refilled, item))
        self._plan(order, now)

    def _plan(self, order: Order, now: datetime) -> None:
        """Most orders ship within two days, a few late; some are cancelled before, those without money always."""
        if order.payment_state == "failed" or self._dice.random() < 0.07:
            return self._later(now, self._hours(0.1, 2), partial(self._cancelled, order))
        for parcel in order.parcels:
            wait = self._wait(order, parcel, now)
            late = self._dice.random() < 0.06
            wait += self._hours(50, 90) if late else self._hours(2, 44)
            if self._dice.random() < 0.2:
                self._later(now, wait - 1, partial(self._labelled, parcel))
            self._later(now, wait, partial(self._shipped, parcel))
        return None

    def _wait(self, order: Order, parcel: Parcel, now: datetime) -> float:
        """Hours until a parcel that misses money or stock is ready."""
        if parcel.state != "pending":
            return 0
        hours = self._hours(24, 72) if order.backordered else self._hours(1, 6)
        self._later(now, hours, partial(self._readied, order, parcel))
        return hours

    def _cancelled(self, order: Order, now: datetime) -> Iterator[Happening]:
        """An order is cancelled and its goods go back; some parcels may have left meanwhile by hand."""
        if order.canceled_at or any(parcel.shipped_at for parcel in order.parcels):
            return
        self._trade.cancel(order, now, keep_money=self._dice.random() < 0.6)
        yield self._tell(now, "order_cancelled", order)
        for parcel in order.parcels:
            yield self._tell(ago(now, -1), "shipment_updated", parcel)
        for line in order.lines:
            if event := self._trade.move(line.stock, line.quantity, now):
                yield self._tell(ago(now, -2), event, line.stock)

    def _readied(self, order: Order, parcel: Parcel, now: datetime) -> Iterator[Happening]:
        if parcel.state == "pending":
            self._trade.ready(order, parcel, now)
            yield self._tell(now, "shipment_updated", parcel)

    def _labelled(self, parcel: Parcel, now: datetime) -> Iterator[Happening]:
        if parcel.state == "ready" and parcel.tracking is None:
            self._trade.label(parcel, now)
            yield self._tell(now, "shipment_updated", parcel)

    def _shipped(self, parcel: Parcel, now: datetime) -> Iterator[Happening]:
        if parcel.state in ("ready", "pending"):
            self._trade.ship(parcel, now)
            yield self._tell(now, "shipment_shipped", parcel)
            self._later(now, self._hours(1, 5), partial(self._followed, parcel))

    def _followed(self, parcel: Parcel, now: datetime) -> Iterator[Happening]:
        """The carrier reports the next step of the parcel's way."""
        if not parcel.journey:
            return
        event = self._trade.track(parcel, parcel.journey.pop(0), now)
        yield self._tell(now, event, parcel)
        self._later(now, self._hours(3, 20), partial(self._followed, parcel))

    def _refilled(self, item: StockItem, now: datetime) -> Iterator[Happening]:
        """The supplier comes; where more was sold than there was, once more than that."""
        if event := self._trade.move(item, self._trade.refill(item) - min(0, item.count), now):
            yield self._tell(now, event, item)

    # one event by hand

    def sample(self, event: str, now: datetime) -> dict[str, Any]:
        """The body of one event as it would happen now: it continues with the newest order where that fits.

        Asked twice for the same moment, the second happens a moment later. Raises KeyError for an event that
        Chord does not send.
        """
        make: dict[str, Callable[[datetime], dict[str, Any]]] = {
            "order_completed": lambda at: _body("order_completed", self._placed(at)),
            "order_cancelled": self._sample_cancelled,
            "shipment_shipped": lambda at: _body("shipment_shipped", self._sample_shipped(at)),
            "shipment_updated": self._sample_scan,
            "shipment_delivery_status_updated": self._sample_tracked,
            "stock_item_out_of_stock": self._sample_out,
            "stock_item_back_in_stock": self._sample_back,
        }
        self._latest_sample = max(now.astimezone(UTC), self._latest_sample + timedelta(milliseconds=1))
        return make[event](self._latest_sample.astimezone(self._zone))

    def _placed(self, now: datetime) -> Order:
        order = self._trade.place(now)
        self._recent.append(order)
        return order

    def _sample_cancelled(self, now: datetime) -> dict[str, Any]:
        waiting = (order for order in reversed(self._recent) if _cancellable(order))
        order = next(waiting, None) or self._placed(ago(now, 1800))
        self._trade.cancel(order, now, keep_money=True)
        return _body("order_cancelled", order)

    def _sample_shipped(self, now: datetime) -> Parcel:
        parcels = (parcel for parcel in self._newest_parcels() if parcel.state in ("ready", "pending"))
        parcel = next(parcels, None) or self._placed(ago(now, 7200)).parcels[0]
        self._trade.ship(parcel, now)
        return parcel

    def _sample_scan(self, now: datetime) -> dict[str, Any]:
        parcel = self._travelling(now)
        parcel.delivery_status = "in_transit"
        return _body(self._trade.track(parcel, "in_transit/arrived_at_facility", now), parcel)

    def _sample_tracked(self, now: datetime) -> dict[str, Any]:
        while True:
            parcel = self._travelling(now)
            event = self._trade.track(parcel, parcel.journey.pop(0), now)
            if event == "shipment_delivery_status_updated":
                return _body(event, parcel)

    def _travelling(self, now: datetime) -> Parcel:
        """The newest parcel that the carrier still has something to say about; one is shipped if there is none."""
        parcels = (parcel for parcel in self._newest_parcels() if parcel.shipped_at and parcel.journey)
        found = next(parcels, None)
        while found is None:
            shipped = self._sample_shipped(ago(now, 3600))
            found = shipped if shipped.journey else None
        return found

    def _newest_parcels(self) -> Iterator[Parcel]:
        return (parcel for order in reversed(self._recent) for parcel in order.parcels)

    def _sample_out(self, now: datetime) -> dict[str, Any]:
        item = self._some_stock(lambda one: one.count > 0)
        self._trade.move(item, -item.count, now)
        return _body("stock_item_out_of_stock", item)

    def _sample_back(self, now: datetime) -> dict[str, Any]:
        item = self._some_stock(lambda one: one.count <= 0)
        item.count = 0
        self._trade.move(item, self._trade.refill(item), now)
        return _body("stock_item_back_in_stock", item)

    def _some_stock(self, fits: Callable[[StockItem], bool]) -> StockItem:
        """Stock that fits; any, where none does."""
        return self._dice.choice([item for item in self._trade.stock if fits(item)] or self._trade.stock)

    # telling

    def _tell(self, now: datetime, event: str, of: Order | Parcel | StockItem) -> Happening:
        return Happening(now.astimezone(UTC), event, _body(event, of))


def one_of_each(dice: Dice, now: datetime, zone: tzinfo | None = None) -> list[dict[str, Any]]:
    """The seven bodies of a short story, one of each event type, in their order in time and ending now.

    A big paid order takes the last of a product, ships, and gets stuck on an incomplete address; another order
    is cancelled while its money is still held; a handful of the product comes back.
    """
    now = now.astimezone(zone or ZoneInfo(HOME))
    trade = Trade(dice, ago(now, 86_400))
    order = _wanted(trade, ago(now, 6 * 3600), _big)
    bodies = [_body("order_completed", order)]
    parcel, line = order.parcels[0], _last(order) or order.lines[0]
    bodies += _told(trade.move(line.stock, -line.stock.count, ago(now, 6 * 3600 - 1)), line.stock)
    trade.label(parcel, ago(now, 5 * 3600 + 60))
    trade.ship(parcel, ago(now, 5 * 3600))
    bodies.append(_body("shipment_shipped", parcel))
    trade.track(parcel, "in_transit/received_at_origin_facility", ago(now, 4 * 3600))
    bodies += _told(trade.track(parcel, "in_transit/arrived_at_facility", ago(now, 3 * 3600)), parcel)
    other = _wanted(trade, ago(now, 2.5 * 3600), lambda one: True)
    trade.cancel(other, ago(now, 2 * 3600), keep_money=True)
    bodies.append(_body("order_cancelled", other))
    bodies += _told(trade.track(parcel, "failure/address_correction", ago(now, 3600)), parcel)
    return bodies + _told(trade.move(line.stock, 4, now), line.stock)


def _wanted(trade: Trade, now: datetime, fits: Callable[[Order], bool]) -> Order:
    """A paid order that fits; others are let go."""
    while True:
        order = trade.place(now, channel="chord")
        if order.payment_state == "paid" and fits(order):
            return order


def _big(order: Order) -> bool:
    """Several lines for more than 250 dollars, to a place that knows taxes."""
    return (
        order.total > 25_000
        and len(order.lines) > 1
        and order.ship_to.place.tax > 0
        and _last(order) is not None
    )


def _last(order: Order) -> Line | None:
    """A line of a single product that ends when its stock does, while some is left."""
    return next((line for line in order.lines if _ordinary(line.product) and line.stock.count > 0), None)


def _ordinary(product: Product) -> bool:
    return not (product.backorderable or product.master or product.bundle)


def _told(event: str | None, of: Parcel | StockItem) -> list[dict[str, Any]]:
    return [_body(event, of)] if event else []


def _cancellable(order: Order) -> bool:
    return not order.canceled_at and not any(parcel.shipped_at for parcel in order.parcels)


def _body(event: str, of: Order | Parcel | StockItem) -> dict[str, Any]:
    """The whole body that tells of an event."""
    names = {Order: "order", Parcel: "shipment", StockItem: "stock_item"}
    return {"event_name": event, names[type(of)]: of.body()}
