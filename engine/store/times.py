"""What waits and what is remembered: rules' cells, timers, and collected events; see `Times` for what it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.model import Ask
from engine.store.values import Answered, StoredEvent


class Times:
    """The part of the record that time words need."""

    async def origins(self, events: Sequence[str]) -> Mapping[str, StoredEvent]:
        """Events by number."""
        raise NotImplementedError

    async def newest(self, subjects: Sequence[str]) -> Mapping[str, tuple[str, bytes]]:
        """The number and body of each subject's newest event."""
        raise NotImplementedError

    async def answers(self, asks: Sequence[Ask]) -> Mapping[Ask, Answered]:
        """What the record answers."""
        raise NotImplementedError
