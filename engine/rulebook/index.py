"""Finds the few rules that an event can concern, so that ten thousand cost about what ten do.

A rule is filed once under each event type it listens to: under its first equality (`order.currency: USD`)
where it has one, else in a list that is looked through. What the index leaves out certainly does not fire.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.language.condition import equality_keys
from engine.language.path import Path
from engine.rulebook.rule import Rule

Position = int


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The rules of one event type: by path and the key of a value there, and those without an equality."""

    by_path: tuple[tuple[Path, Mapping[Hashable, tuple[Position, ...]]], ...]
    others: tuple[Position, ...]

    def candidates(self, root: Mapping[str, Any]) -> list[Position]:
        found = set(self.others)
        for path, by_key in self.by_path:
            for value in path.find(root):
                for key in equality_keys(value):
                    found.update(by_key.get(key, ()))
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
        places: dict[str, list[Position]] = defaultdict(list)
        for position, rule in enumerate(rules):
            for event_type in rule.events:
                places[event_type].append(position)
        return cls(rules, {name: _shelf(rules, positions) for name, positions in places.items()})

    def candidates(self, event_type: str, root: Mapping[str, Any]) -> list[Rule]:
        """The rules that might say something else than "does not fire" of such an event."""
        shelf = self.shelves.get(event_type)
        return [self.rules[position] for position in shelf.candidates(root)] if shelf else []


def _shelf(rules: tuple[Rule, ...], positions: list[Position]) -> _Shelf:
    paths: dict[str, Path] = {}
    by_path: dict[str, dict[Hashable, list[Position]]] = {}
    others: list[Position] = []
    for position in positions:
        equality = _first_equality(rules[position])
        if equality is None:
            others.append(position)
            continue
        path, keys = equality
        paths[path.text] = path
        drawer = by_path.setdefault(path.text, {})
        for key in keys:
            drawer.setdefault(key, []).append(position)
    filed = tuple(
        (paths[text], {key: tuple(found) for key, found in drawer.items()}) for text, drawer in by_path.items()
    )
    return _Shelf(filed, tuple(others))


def _first_equality(rule: Rule) -> tuple[Path, frozenset[Hashable]] | None:
    for condition in rule.conditions:
        equality = condition.equality()
        if equality is not None:
            return equality
    return None
