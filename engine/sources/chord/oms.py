"""The stand-in for Chord OMS without its pages: endpoints, sending to those that listen, and a shop that lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import httpx

from engine.language.fields import address_fault
from engine.language.words import listing, nearest
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.changes import changed
from engine.sources.chord.faults import Fault, Message, Mishaps, message, messages
from engine.sources.chord.repeats import Attempt, Clock, Deliveries, Endpoint, Sleep
from engine.sources.chord.shop import ORDINARY_RATE, Shop

MOST_TIMES = 1000
MOST_SPEED = 1e6
MOST_ORDERS_PER_HOUR = 10_000.0
_LONGEST_URL = 2000


class Refused(Exception):
    """A request that the OMS does not take: the reasons in plain words, by what is wrong."""

    def __init__(self, reasons: Mapping[str, list[str]]) -> None:
        super().__init__(" ".join(reason for some in reasons.values() for reason in some))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Life:
    """How the shop shall live: for so many orders (None: on and on), and what is to change for that.

    With a seed or a rate the shop begins anew, else it goes on. `faults` is the share of events that go wrong on
    their way, from 0 to 1. Raises `Refused` for what cannot be.
    """

    orders: int | None = None
    seed: int | None = None
    speed: float | None = None
    orders_per_hour: float | None = None
    faults: float = 0.0

    def __post_init__(self) -> None:
        reasons = {
            "orders": _unless(
                self.orders is None or (_whole(self.orders) and self.orders >= 1),
                "The number of orders must be 1 or more; left out, the shop lives on and on.",
            ),
            "seed": _unless(self.seed is None or _whole(self.seed), "The seed must be a whole number."),
            "speed": _unless(
                self.speed is None or _within(self.speed, 0.001, MOST_SPEED),
                f"The speed must be between 0.001 and {MOST_SPEED:,.0f} times real time.",
            ),
            "orders_per_hour": _unless(
                self.orders_per_hour is None or _within(self.orders_per_hour, 0.01, MOST_ORDERS_PER_HOUR),
                f"The orders an hour must be between 0.01 and {MOST_ORDERS_PER_HOUR:,.0f}.",
            ),
            "faults": _unless(_within(self.faults, 0, 1), "The share of faults must be between 0 and 1."),
        }
        if any(reasons.values()):
            raise Refused({name: found for name, found in reasons.items() if found})


def _unless(fine: bool, reason: str) -> list[str]:
    return [] if fine else [reason]


def _whole(value: Any) -> bool:
    return type(value) is int


def _within(value: Any, least: float, most: float) -> bool:
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return number and least <= value <= most


class Oms:
    """A little OMS: what its endpoints are told, it tells as Chord does. Needs a running event loop.

    `speed` is how many seconds of the shop's life and of the pauses between repeats pass in one second.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        seed: int = 1,
        speed: float = 1.0,
        orders_per_hour: float = ORDINARY_RATE,
        sleep: Sleep = asyncio.sleep,
        client: httpx.AsyncClient | None = None,
        tell: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.endpoints: dict[int, Endpoint] = {}
        self.deliveries = Deliveries(clock=clock, speed=speed, sleep=sleep, client=client, tell=tell)
        self.orders = 0
        self._clock = clock
        self._sleep = sleep
        self._latest = clock()
        self._seed = seed
        self._rate = orders_per_hour
        self._shop = self._new_shop()
        self._mishaps = self._new_mishaps(0.0)
        self._life: asyncio.Task[None] | None = None
        self._last_id = 0

    def _new_shop(self) -> Shop:
        dice = Random(self._seed)  # noqa: S311  # a made-up life, the same for the same seed
        return Shop(dice, self._now(), orders_per_hour=self._rate)

    def _new_mishaps(self, share: float) -> Mishaps:
        return Mishaps(Random(self._seed + 1), share)  # noqa: S311  # as above, and apart from the life itself

    @property
    def speed(self) -> float:
        """How many seconds pass here in one second."""
        return self.deliveries.speed

    # endpoints

    def register(self, target_url: Any, events: Any) -> Endpoint:
        """A new endpoint for these events. Raises `Refused`."""
        check_endpoint({"target_url": target_url, "events": events})
        self._last_id += 1
        now = self._clock()
        endpoint = Endpoint(self._last_id, target_url, tuple(dict.fromkeys(events)), now, now)
        self.endpoints[endpoint.id] = endpoint
        return endpoint

    def update(self, endpoint: Endpoint, changes: Mapping[str, Any]) -> None:
        """Change an endpoint's address, its events, or both; nothing where anything is wrong. Raises `Refused`."""
        wanted = {key: changes[key] for key in ("target_url", "events") if key in changes}
        check_endpoint(wanted)
        endpoint.target_url = wanted.get("target_url", endpoint.target_url)
        endpoint.events = tuple(dict.fromkeys(wanted.get("events", endpoint.events)))
        endpoint.updated_at = self._clock()

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint; what waited to be sent to it again is given up."""
        endpoint.removed = True
        del self.endpoints[endpoint.id]

    def listening(self, event: str) -> list[Endpoint]:
        """The endpoints that want an event."""
        return [endpoint for endpoint in self.endpoints.values() if event in endpoint.events]

    # events

    def send(
        self, event: str, changes: Mapping[str, Any] | None = None, times: int = 1, fault: Fault | None = None
    ) -> list[Endpoint]:
        """Make an event so many times, changed as told, and begin to send it; the answer is who listens.

        Raises `Refused` for an event that Chord does not send or a number of times out of bounds, and
        `CannotChange` for a path that leads nowhere.
        """
        check_order(event, times)
        times = max(times, 2) if fault is Fault.OUT_OF_ORDER else times
        bodies = [changed(self._shop.sample(event, self._now()), changes or {}) for _ in range(times)]
        listening = self.listening(event)
        self._send_out(messages(bodies, fault))
        return listening

    def publish(self, body: Mapping[str, Any]) -> None:
        """Begin to send a body to the endpoints that listen to its event."""
        self._send_out([[message(body)]])

    def _send_out(self, groups: Iterable[list[Message]]) -> None:
        for group in groups:
            for endpoint in self.endpoints.values():
                if wanted := [one for one in group if one.event in endpoint.events]:
                    self.deliveries.send(endpoint, wanted)

    def _now(self) -> datetime:
        """The shop's time: real time, or the time that its life has come to."""
        return max(self._clock(), self._latest)

    # life

    @property
    def living(self) -> bool:
        """Whether the shop lives by itself at the moment."""
        return self._life is not None and not self._life.done()

    def begin(self, life: Life | None = None) -> None:
        """Let the shop live; it goes on beside everything else. Raises `Refused` where it lives already."""
        if self.living:
            raise Refused({"orders": ["The shop lives already. Stop it first."]})
        self._prepare(life or Life())
        self._life = asyncio.create_task(self._go_on((life or Life()).orders))

    async def stop(self) -> None:
        """End the shop's life as it is now."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    async def live(self, life: Life | None = None) -> None:
        """Live until so many orders have run their course: each event is sent when it is due."""
        self._prepare(life or Life())
        await self._go_on((life or Life()).orders)

    async def _go_on(self, orders: int | None) -> None:
        began, since = self._clock(), self._now()
        for happening in self._shop.events(orders, since):
            due = (happening.due - since) / self.speed
            await self._sleep(max(0.0, (due - (self._clock() - began)).total_seconds()))
            await self.deliveries.room()
            self._latest = happening.due
            self.orders += happening.event == "order_completed"
            self._send_out(self._mishaps.groups(happening.body, happening.due))
        self._send_out(self._mishaps.rest())

    def _prepare(self, life: Life) -> None:
        """Change what a life wants otherwise; with another seed or rate the shop begins anew."""
        self.deliveries.speed = float(life.speed or self.speed)
        self._seed = self._seed if life.seed is None else life.seed
        self._rate = float(life.orders_per_hour or self._rate)
        if life.seed is not None or life.orders_per_hour is not None:
            self._shop = self._new_shop()
        self._mishaps = self._new_mishaps(float(life.faults))

    async def settle(self) -> None:
        """Wait until the shop's life has run its course and everything was acknowledged or given up."""
        if self._life is not None:
            await asyncio.wait([self._life])
        await self.deliveries.settle()

    async def close(self) -> None:
        """End everything that is under way."""
        await self.stop()
        await self.deliveries.close()


def check_endpoint(endpoint: Mapping[str, Any]) -> None:
    """Raise `Refused` with every reason why an endpoint cannot have this `target_url` and these `events`."""
    checks = {"target_url": _wrong_url, "events": _wrong_events}
    reasons = {key: checks[key](value) for key, value in endpoint.items()}
    if any(reasons.values()):
        raise Refused({key: found for key, found in reasons.items() if found})


def _wrong_url(url: Any) -> list[str]:
    example = "write for example https://example.com/my/webhook/endpoint"
    if not isinstance(url, str) or not url.strip():
        return [f"The address is missing: {example}."]
    if len(url) > _LONGEST_URL:
        return [f"The address has {len(url):,} letters; {_LONGEST_URL:,} is the most."]
    fault = address_fault(url)
    return [f"The address {fault}: {example}."] if fault else []


def _wrong_events(events: Any) -> list[str]:
    if not isinstance(events, list | tuple) or not events:
        return [f"The list of events is missing. There are: {listing(EVENT_TYPES)}."]
    return [_unknown(event) for event in events if not isinstance(event, str) or event not in EVENT_TYPES]


def _unknown(event: Any) -> str:
    near = nearest(event, EVENT_TYPES) if isinstance(event, str) else []
    meant = f"Did you mean {near[0]}?" if near else f"There are: {listing(EVENT_TYPES)}."
    return f'The OMS has no event "{event}". {meant}'


def check_order(event: str, times: int) -> None:
    """Raise `Refused` for an event that Chord does not send, or a number of times out of bounds."""
    reasons = {}
    if not isinstance(event, str) or event not in EVENT_TYPES:
        reasons["event"] = [_unknown(event)]
    if type(times) is not int or not 1 <= times <= MOST_TIMES:
        reasons["times"] = [f"An event can be sent 1 to {MOST_TIMES:,} times, not {times}."]
    if reasons:
        raise Refused(reasons)


def read_fault(word: Any) -> Fault | None:
    """A fault by its name; None for no word. Raises `Refused` for a word that names none."""
    if not word:
        return None
    try:
        return Fault(word)
    except ValueError:
        raise Refused({"fault": [f'There is no fault "{word}". There are: {listing(Fault)}.']}) from None
