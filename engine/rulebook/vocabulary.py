"""What rules may speak of: events, actions, the shop and its connections, handed in by whoever loads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from engine.actions.base import Action, Destinations
from engine.language.scope import Shop
from engine.model import Memory
from engine.rulebook.shapes import Sample, Shape
from engine.sources.base import EventType, Source
from engine.timing import found
from engine.timing.base import Timing


@dataclass(frozen=True)
class Language:
    """What a rule may speak of here: the sources with their events, the actions, the shop, its connections, time words."""

    sources: Mapping[str, Source]
    actions: Mapping[str, Action]
    shop: Shop = field(default_factory=Shop)
    destinations: Destinations = field(default_factory=Destinations)
    timing: Mapping[str, type[Timing]] = field(default_factory=found)

    @cached_property
    def event_types(self) -> Mapping[str, EventType]:
        """Every event type that some source sends, by name."""
        return {
            name: event_type
            for source in self.sources.values()
            for name, event_type in source.event_types.items()
        }

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """Misprinted event names by the right one."""
        return {wrong: right for source in self.sources.values() for wrong, right in source.renamed.items()}

    @cached_property
    def kinds(self) -> Mapping[str, frozenset[str]]:
        """The kinds of names that the objects of each event type are known by: order, shipment, sku."""
        return {
            name: frozenset(source.names(name, event_type.sample, Memory()))
            for source in self.sources.values()
            for name, event_type in source.event_types.items()
        }

    def shape(self, events: frozenset[str]) -> Shape:
        """What events of these types look like."""
        if events not in self._shapes:
            types = (self.event_types[name] for name in sorted(events))
            self._shapes[events] = Shape.of(types, self.sources.values())
        return self._shapes[events]

    @cached_property
    def _shapes(self) -> dict[frozenset[str], Shape]:
        return {}

    @cached_property
    def samples(self) -> Mapping[str, Sample]:
        """The sample of every event type as rules see it, by the type's name."""
        return {
            event_type.name: Sample.of(event_type, name, source, self.shop)
            for name, source in self.sources.items()
            for event_type in source.event_types.values()
        }
