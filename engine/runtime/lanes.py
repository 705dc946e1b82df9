"""Lanes: how much is under way to each connection, and which connections rest because they do not work.

A destination that hangs takes no more than its lane, and one that fails again and again is left alone for a moment,
so that others are not delayed and what waits for it keeps its tries.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.actions.base import DeliveryError

log = logging.getLogger("shopbell.worker")

LANE = 8
"""Deliveries under way to one connection at a time: as many can be doubled when the process is killed."""

FAILURES = 5
"""Failures in a row after which a connection rests."""

REST = timedelta(seconds=10)
"""How long it rests; then one delivery at a time tries whether it works again."""

TO_ALL = frozenset({"429", "503"})
"""Answers whose wish for a pause is meant for all calls, not for the one."""

BROKEN = "%s failed %d times in a row; until it works again it is tried every %d seconds, and what is due for it waits: %s"

LONGEST_REST = timedelta(hours=1)
"""How long a connection rests at most because the other side asks for it."""


@dataclass(slots=True)
class _Lane:
    under_way: int = 0
    failures: int = 0
    rests_until: datetime | None = None

    @property
    def broken(self) -> bool:
        return self.failures >= FAILURES

    def rest(self, until: datetime) -> None:
        self.rests_until = max(until, self.rests_until or until)

    def room(self, now: datetime) -> int:
        if self.rests_until is not None and now < self.rests_until:
            return 0
        return (1 if self.broken else LANE) - self.under_way


class Lanes:
    """The lane of each connection."""

    def __init__(self) -> None:
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)

    def full(self, now: datetime) -> frozenset[str]:
        """The connections that take nothing more at this moment."""
        return frozenset(name for name, lane in self._lanes.items() if lane.room(now) <= 0)

    def room(self, now: datetime) -> int:
        """How many more each of the others takes."""
        return min((room for lane in self._lanes.values() if (room := lane.room(now)) > 0), default=LANE)

    def broken(self, connection: str) -> bool:
        """Whether a connection has failed so often that it rests between tries."""
        return connection in self._lanes and self._lanes[connection].broken

    def began(self, connection: str) -> None:
        """A delivery is under way."""
        self._lanes[connection].under_way += 1

    def dropped(self, connection: str) -> None:
        """A delivery is no longer under way, and nobody knows how it went."""
        self._lanes[connection].under_way -= 1

    def worked(self, connection: str) -> None:
        """A delivery has been answered."""
        lane = self._lanes[connection]
        lane.under_way -= 1
        if lane.broken:
            log.warning("%s works again", connection)
            lane.rests_until = None
        lane.failures = 0
        if not lane.under_way and lane.rests_until is None:
            del self._lanes[connection]

    def failed(self, connection: str, error: DeliveryError, now: datetime) -> None:
        """A delivery has not arrived. A connection that refuses it for good works all the same."""
        if error.kind == "permanent":
            self.worked(connection)
            return
        lane = self._lanes[connection]
        lane.under_way -= 1
        lane.failures += 1
        if lane.failures == FAILURES:
            log.error(BROKEN, connection, FAILURES, REST.seconds, error)
        if lane.broken:
            lane.rest(now + REST)
        if error.retry_after is not None and error.status in TO_ALL:
            lane.rest(now + min(timedelta(seconds=error.retry_after), LONGEST_REST))
