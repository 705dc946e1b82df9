"""Finds the few rules that an event can concern, so that ten thousand cost about what ten do.

A rule is filed once under each event type it listens to: under the equality that it shares with the fewest
others (`order.channel: chord` rather than `order.currency: USD`) where it has one, else in a list that is looked
through. What the index leaves out certainly does not fire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.language.condition import equality_keys
from engine.language.path import Path
from engine.model import Mode
from engine.rulebook.rule import Rule

Position = int
Equality = tuple[Path, frozenset[Hashable]]


@dataclass(frozen=True, slots=True)
class _Drawer:
    """The rules filed under the values of one path, by the keys of those values."""

    path: Path
    by_key: dict[Hashable, list[Position]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The rules of one event type: by path and the key of a value there, and those without an equality."""

    drawers: tuple[_Drawer, ...]
    others: tuple[Position, ...]

    def candidates(self, root: Mapping[str, Any]) -> list[Position]:
        found = set(self.others)
        for drawer in self.drawers:
            for value in drawer.path.find(root):
                for key in equality_keys(value):
                    found.update(drawer.by_key.get(key, ()))
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Index:
    """Rules by event type and by equality. `candidates` answers in the order the rules were given."""

    rules: tuple[Rule, ...]
    shelves: Mapping[str, _Shelf]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Index:
        """File each rule that is not switched off."""
        rules = tuple(rules)
        equalities = [_equalities(rule) for rule in rules]
        places: dict[str, list[Position]] = {}
        for position, rule in enumerate(rules):
            for event_type in rule.events if rule.mode is not Mode.OFF else ():
                places.setdefault(event_type, []).append(position)
        return cls(rules, {name: _shelf(equalities, positions) for name, positions in places.items()})

    def candidates(self, event_type: str, root: Mapping[str, Any]) -> list[Rule]:
        """The rules that might say something else than "does not fire" of such an event."""
        shelf = self.shelves.get(event_type)
        return [self.rules[position] for position in shelf.candidates(root)] if shelf else []


def _equalities(rule: Rule) -> tuple[Equality, ...]:
    """What must be met for the rule to say anything but no."""
    return tuple(equality for condition in rule.conditions for equality in condition.equalities())


def _shelf(equalities: Sequence[Sequence[Equality]], positions: Sequence[Position]) -> _Shelf:
    sharing = Counter(
        (path.text, key) for position in positions for path, keys in equalities[position] for key in keys
    )
    drawers: dict[str, _Drawer] = {}
    others: list[Position] = []
    for position in positions:
        if not equalities[position]:
            others.append(position)
            continue
        path, keys = min(
            equalities[position], key=lambda one: sum(sharing[one[0].text, key] for key in one[1])
        )
        drawer = drawers.setdefault(path.text, _Drawer(path))
        for key in keys:
            drawer.by_key.setdefault(key, []).append(position)
    return _Shelf(tuple(drawers.values()), tuple(others))
