"""What the events of a rule look like: their fields by path, and a sample of each with what is known beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from engine.actions.base import Destinations
from engine.language.path import parse_path
from engine.language.scope import Scope, Shop
from engine.language.words import nearest
from engine.model import Event, Memory
from engine.rulebook.book import Rulebook
from engine.rulebook.planner import scope_of
from engine.rulebook.samples import beside, event_of
from engine.sources.base import EventType, FieldInfo, Source

NO_TIME = datetime(2026, 1, 1, tzinfo=UTC)
"""When a sample happens that does not say it."""

EVENT_FIELDS: Mapping[str, FieldInfo] = {
    info.path: info
    for info in (
        FieldInfo("event", "object", help="The event itself."),
        FieldInfo("event.id", "text", help="The event's number in the record.", example="1042"),
        FieldInfo("event.type", "text", help="The event's type.", example="order_completed"),
        FieldInfo("event.received_at", "time", help="When it arrived.", example="2026-11-25T09:30:00+00:00"),
        FieldInfo(
            "event.late", "truth", help="Whether something newer of the same object was known already."
        ),
    )
}
"""What every event has beside its payload."""


@dataclass(frozen=True)
class Sample:
    """The sample of an event type as rules see it: with what is known beside it, and alone."""

    event: Event
    scope: Scope
    alone: Scope

    @classmethod
    def of(cls, event_type: EventType, name: str, source: Source, shop: Shop) -> Sample:
        """The sample of a type that the source of this name sends."""
        event = event_of(event_type.sample, event_type.name, name, source, NO_TIME)
        book = Rulebook((), "", {}, (), shop, {}, Destinations(), {name: source})
        known = scope_of(event, book, beside(event, source), event.received_at)
        return cls(event, known, scope_of(event, book, Memory(), event.received_at))

    @property
    def beside(self) -> frozenset[str]:
        """The names that rules see beside the payload, as far as more is known: the order of a shipment."""
        return frozenset(
            name for name, value in self.scope.root.items() if self.alone.root.get(name) != value
        )

    def without(self, paths: Iterable[str]) -> Scope:
        """What rules see where these fields are empty."""
        root: Any = self.scope.root
        for path in paths:
            root = emptied(root, parse_path(path).steps or ())
        return replace(self.scope, root=root)


def emptied(node: Any, steps: tuple[str | int | None, ...]) -> Any:
    """A copy of plain JSON with null at a place, in every item where a step is any item; as it is where it leads nowhere."""
    if not steps:
        return None
    step, rest = steps[0], steps[1:]
    if isinstance(node, Mapping) and isinstance(step, str) and step in node:
        return {**node, step: emptied(node[step], rest)}
    if isinstance(node, list) and step is None:
        return [emptied(item, rest) for item in node]
    if isinstance(node, list) and isinstance(step, int) and -len(node) <= step < len(node):
        items = list(node)
        items[step] = emptied(items[step], rest)
        return items
    return node


@dataclass(frozen=True)
class Shape:
    """The events of some types: every field that one of them can have, joined ones and the event's own included."""

    types: tuple[EventType, ...]
    fields: Mapping[str, FieldInfo]

    @classmethod
    def of(cls, types: Iterable[EventType], sources: Iterable[Source]) -> Shape:
        """The shape of these types, with what the sources know beside them."""
        types, sources = tuple(types), tuple(sources)
        fields = dict(EVENT_FIELDS)
        for event_type in types:
            for source in sources:
                fields |= source.joined_fields(event_type.name)
        for event_type in types:
            fields |= event_type.fields
        return cls(types, fields)

    @cached_property
    def _loose(self) -> Mapping[str, FieldInfo]:
        return {
            path.replace("[*]", ""): info for path, info in self.fields.items() if not path.endswith("[*]")
        }

    @cached_property
    def _by_parent(self) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for path in self._loose:
            parent, _, name = path.rpartition(".")
            found.setdefault(parent, {})[name] = self._loose[path].path
        return found

    def field(self, path: str) -> FieldInfo | None:
        """The field at a bare path, whose list steps may be written or left out."""
        return self.fields.get(path) or self._loose.get(path.replace("[*]", ""))

    def nearest(self, path: str) -> str | None:
        """The field most like a path: among its neighbours first, then among all of them."""
        parent, _, name = path.replace("[*]", "").rpartition(".")
        neighbours = self._by_parent.get(parent, {})
        near = nearest(name, neighbours)
        if near:
            return neighbours[near[0]]
        return next(iter(nearest(path, self.fields)), None) or self._nearest_name(name)

    def _nearest_name(self, name: str) -> str | None:
        """A field of exactly this name elsewhere, the one that stands least deep."""
        same = [info.path for path, info in self._loose.items() if path.rpartition(".")[2] == name]
        return min(same, key=lambda path: (path.count("."), len(path)), default=None)

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """What the events are about, as people say it: order, stock item."""
        return tuple(sorted({event_type.object.replace("_", " ") for event_type in self.types}))

    @cached_property
    def _often_empty(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for event_type in self.types:
            for path, info in event_type.fields.items():
                if info.nullable and any(
                    value in (None, "") for value in parse_path(path).find(event_type.sample)
                ):
                    found.setdefault(path, event_type.name)
        return found

    def empty_in(self, info: FieldInfo) -> str | None:
        """The event type in whose sample a field is empty, None where it is in none."""
        return self._often_empty.get(info.path)


def field_path(steps: Iterable[str | int | None]) -> str:
    """The bare path of the steps of a lookup, any place in a list written `[*]`."""
    text = ""
    for step in steps:
        text += "[*]" if not isinstance(step, str) else f".{step}" if text else step
    return text
