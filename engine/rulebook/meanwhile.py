"""What the earlier events of a batch changed, while the record does not know it yet: so that the later ones do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.model import Ask, Cell, Effect, Event, Gather, Gathered, Leave, Remember, Tell, Waiting


class Meanwhile:
    """Notes the effects of events in their order, and amends what the record answers by them."""

    def __init__(self) -> None:
        self._cells: dict[Cell, Any] = {}
        self._collecting: list[tuple[Event, Gather | Leave]] = []
        self._told: set[int] = set()

    def note(self, event: Event, effects: Iterable[Effect]) -> None:
        """An event's effects will be recorded."""
        for effect in effects:
            if isinstance(effect, Remember):
                self._cells[effect.cell] = effect.value
            elif isinstance(effect, Gather | Leave):
                self._collecting.append((event, effect))
            elif isinstance(effect, Tell):
                self._told.update(effect.entries)

    def amended(self, ask: Ask, answer: Any) -> Any:
        """What the record will answer once it knows."""
        if isinstance(ask, Cell):
            return self._cells.get(ask, answer)
        if isinstance(ask, Gathered) and self._collecting:
            return self._gathered(ask, answer)
        if isinstance(ask, Waiting) and self._told:
            return self._waiting(answer)
        return answer

    def _gathered(self, ask: Gathered, events: tuple[Event, ...]) -> tuple[Event, ...]:
        for event, effect in self._collecting:
            if effect.rule != ask.rule:
                continue
            if isinstance(effect, Leave):
                events = tuple(one for one in events if not leaves(effect, one, ask.key))
            elif effect.key == ask.key:
                events = (*events, event)
        return events

    def _waiting(self, answer: Any) -> Any:
        still = [one for one in answer["next"] if one["entry"] not in self._told]
        return {"waiting": answer["waiting"] - len(answer["next"]) + len(still), "next": still}


def leaves(effect: Leave, event: Event, key: str) -> bool:
    """Whether an event that is collected under a key is taken out."""
    if effect.about:
        return event.subject == effect.about
    return effect.key == key and event.id in effect.events
