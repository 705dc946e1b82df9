"""Lanes: how much is under way to each connection, and which connections have failed so often that they break.

A destination that hangs takes no more than its lane, so that others are not delayed. What is paced by itself within a
connection (`slack/default#refunds`) shares its lane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from engine.store.pacing import Pace, Paces, whole

LANE = 8
"""Deliveries under way to one connection at a time: as many can be doubled when the process is killed."""

FAILURES = 5
"""Failures in a row after which a connection counts as broken."""


def paces_of(connections: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Paces:
    """How fast each connection of the settings may be used, by `kind/name`, whatever stands behind `#`."""
    paces = {
        f"{kind}/{name}": Pace(facts["pace"]["count"], timedelta(seconds=facts["pace"]["per"]))
        for kind, named in connections.items()
        for name, facts in named.items()
        if facts.get("pace")
    }
    return lambda connection: paces.get(whole(connection))


class Lanes:
    """The lane of each connection, in one process."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def room(self) -> Mapping[str, int]:
        """How many more each connection takes that something is under way to; the others take `LANE`."""
        return {name: LANE - many for name, many in self._under_way.items()}

    def began(self, connection: str) -> None:
        """A delivery is under way."""
        self._under_way[whole(connection)] += 1

    def ended(self, connection: str) -> None:
        """A delivery is no longer under way."""
        about = whole(connection)
        self._under_way[about] -= 1
        if not self._under_way[about]:
            del self._under_way[about]

    def answered(self, connection: str) -> None:
        """The other side took a delivery, or refused it for good: it works."""
        self._failures.pop(whole(connection), None)

    def failed(self, connection: str) -> bool:
        """A delivery has not arrived; whether that was one too many in a row."""
        about = whole(connection)
        self._failures[about] += 1
        return self._failures[about] >= FAILURES
