"""The watch behind alarms: an outage becomes one event when it begins to count and one when it is over.

Those events are of a source of their own and go the way of all: kept first, judged in turn, their notices delivered with
retries under stable keys. What tells one outage from the next is when it began, so that a restart repeats nothing, and
a notice that cannot be delivered is one delivery that waits, never a new alarm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from statistics import fmean
from typing import Any

import msgspec

from engine.actions.base import Action, Destinations, Rendered
from engine.language.scope import Scope, Shop
from engine.model import DeliveryState
from engine.runtime.alarms import (
    Alarm,
    Failing,
    Notice,
    Silence,
    Span,
    does_not_work,
    earlier,
    not_quiet_any_more,
    quiet,
    too_quiet,
    works_again,
)
from engine.runtime.clock import Clock, Wait
from engine.runtime.metrics import Metrics
from engine.runtime.persist import faultless
from engine.store.store import Arrival, NewDelivery, Store, StoredEvent, StoreUnavailable

log = logging.getLogger("shopbell.alarms")

SOURCE = "alarms"
"""The source of the events that alarms make."""

RAISED, OVER = "alarm_raised", "alarm_over"

EVERY = 60.0
"""Seconds between two looks."""

GRACE = timedelta(minutes=10)
"""How long after a start nothing counts as staying away: what was missed meanwhile is sent again first."""

FOR_GOOD = timedelta(days=3650)
"""How long an outage is recognised as one that was told already."""


class Said(msgspec.Struct, frozen=True):
    """What an alarm's event says: the alarm's name, a title and a text for people, and since when the outage is."""

    name: str
    title: str
    text: str
    since: datetime


class _Body(msgspec.Struct, frozen=True):
    event_name: str
    alarm: Said


_bodies = msgspec.json.Decoder(_Body)


class Alarming:
    """Looks after alarms until told to stop. `connections` are those of the settings, as `kind/name`."""

    def __init__(
        self,
        store: Store,
        alarms: Sequence[Alarm],
        actions: Mapping[str, Action],
        destinations: Destinations,
        shop: Shop,
        clock: Clock,
        metrics: Metrics,
        connections: Iterable[str] = (),
        wait: Wait = asyncio.sleep,
    ) -> None:
        self._store = store
        self._alarms = alarms
        self._actions = actions
        self._destinations = destinations
        self._shop = shop
        self._clock = clock
        self._metrics = metrics
        self._connections = sorted(set(connections))
        self._wait = wait
        self._started = clock()

    async def run(self) -> None:
        """Look every minute, until cancelled; whatever goes wrong with that is told, and looking goes on."""
        while self._alarms:
            await faultless(self.look, self._wait)
            await self._wait(EVERY)

    async def look(self) -> None:
        """See what has been quiet for too long, and what is not any more."""
        try:
            for alarm in self._alarms:
                if isinstance(alarm, Silence):
                    await self._silence(alarm, self._clock())
                else:
                    await self._failing(alarm, self._clock())
        except StoreUnavailable as reason:
            log.error("alarms cannot be looked after just now: %s", reason)

    def deliveries(self, event: StoredEvent, now: datetime) -> list[NewDelivery]:
        """The notices that are due for an event of an alarm; none for any other event."""
        if event.source != SOURCE:
            return []
        said = _bodies.decode(event.body).alarm
        told = [notice for alarm in self._alarms if alarm.name == said.name for notice in alarm.notices]
        return [
            _delivery(event, notice, place, rendered, now)
            for place, notice in enumerate(told, start=1)
            for rendered in self._rendered(notice, said, now)
        ]

    def _rendered(self, notice: Notice, said: Said, now: datetime) -> Sequence[Rendered]:
        scope = Scope({"alarm": msgspec.to_builtins(said)}, now, self._shop)
        return self._actions[notice.word].render(notice.values, scope, self._destinations)

    # events that stay away

    async def _silence(self, alarm: Silence, now: datetime) -> None:
        zone, rhythm = self._shop.timezone, self._store.rhythm
        last = await rhythm.last(alarm.types)
        told = (await self._told([alarm.name])).get(alarm.name)
        self._metrics.alarm(alarm.name, told is not None)
        if told is not None:
            if last is not None and last > told.since:
                title, text = not_quiet_any_more(alarm, told.since, last, zone)
                await self._tell(OVER, alarm.name, Said(alarm.name, title, text, told.since), now)
            return
        since = last or self._started
        spans = quiet(alarm.length, since, now, alarm.hours, zone)
        if spans is not None and now - self._started >= GRACE:
            title, text = too_quiet(alarm, await self._usual(alarm, spans), last, zone)
            await self._tell(RAISED, alarm.name, Said(alarm.name, title, text, since), now)

    async def _usual(self, alarm: Silence, spans: Sequence[Span]) -> float | None:
        """How many events came in the same hours before, on average; None where the record is too young to say."""
        first = await self._store.rhythm.first()
        before = earlier(spans, first, self._shop.timezone) if first else []
        counts = [await self._store.rhythm.count(alarm.types, one) for one in before]
        return fmean(counts) if counts else None

    # connections that keep failing

    async def _failing(self, alarm: Failing, now: datetime) -> None:
        outages = {one.connection: one for one in await self._store.pacing.outages()}
        watched = sorted({*self._connections, *outages})
        told = await self._told([_about(alarm, name) for name in watched])
        for name in watched:
            outage, before = outages.get(name), told.get(_about(alarm, name))
            self._metrics.alarm(_about(alarm, name), before is not None)
            if before is not None and (outage is None or outage.since != before.since):
                title, text = works_again(name, before.since, now, self._shop.timezone)
                await self._tell(OVER, _about(alarm, name), Said(alarm.name, title, text, before.since), now)
                before = None
            if before is None and outage is not None and now - outage.since >= alarm.length:
                title, text = does_not_work(name, outage.since, now, outage.reason, self._shop.timezone)
                await self._tell(
                    RAISED, _about(alarm, name), Said(alarm.name, title, text, outage.since), now
                )

    # the record

    async def _told(self, about: Sequence[str]) -> Mapping[str, Said]:
        """What was told and is not over yet."""
        newest = await self._store.times.newest([_subject(name) for name in about])
        bodies = {
            name: _bodies.decode(newest[_subject(name)][1]) for name in about if _subject(name) in newest
        }
        return {name: body.alarm for name, body in bodies.items() if body.event_name == RAISED}

    async def _tell(self, type: str, about: str, said: Said, now: datetime) -> None:
        """Make an event of it; one that is there already, because the process ended right after, is only a repeat."""
        identity = sha256(msgspec.json.encode((SOURCE, type, about, said.since))).digest()
        body = msgspec.json.encode(_Body(type, said))
        arrival = Arrival(
            source=SOURCE, type=type, subject=_subject(about), body=body, identity=identity, window=FOR_GOOD
        )  # fmt: skip
        appended = await self._store.append(arrival, now)
        self._metrics.alarm(about, type == RAISED)
        if not appended.repeat:
            log.warning("alarm: %s", said.text)


def _about(alarm: Failing, connection: str) -> str:
    return f"{alarm.name}: {connection}"


def _subject(about: str) -> str:
    return f"alarm:{about}"


def _delivery(
    event: StoredEvent, notice: Notice, place: int, rendered: Rendered, now: datetime
) -> NewDelivery:
    request: Mapping[str, Any] = rendered.request
    return NewDelivery(
        rule="alarms",
        action=place,
        kind=notice.word,
        to=rendered.to,
        connection=f"{notice.word}/{request.get('connection', 'default')}",
        request_json=msgspec.json.encode(request),
        state=DeliveryState.HELD if rendered.blocked else DeliveryState.QUEUED,
        due_at=now,
        okey=None,
        idempotency_key=f"{event.id}-{event.identity[:8]}-alarms-{place}-{_short(rendered.to)}",
        reason="the message has no recipient" if rendered.blocked else "",
    )


def _short(to: str) -> str:
    return sha256(to.encode()).hexdigest()[:8]
