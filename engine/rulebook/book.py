"""All valid rules together, compiled once, frozen, and swapped in at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from engine.actions.base import Destinations
from engine.language.problem import Problem
from engine.language.scope import Shop
from engine.model import Arm, Mode, Payload
from engine.rulebook.index import Index
from engine.rulebook.rule import Rule
from engine.sources.base import Joins, Source


@dataclass(frozen=True, slots=True)
class Wants:
    """What must be looked up before an event can be judged: its object's last state, and the source's joins."""

    before: bool = False
    joins: Joins = field(default_factory=Joins)


@dataclass(frozen=True)
class Rulebook:
    """The rules in force. `hash` names exactly these texts; `problems` are the faults of their files.

    `texts` are the rule and list texts it was made of, by file name: with them the same rulebook can be made
    again, to explain an old event truthfully. `older` names the files whose newest text is broken, so that
    their last good text is in force. `products` are the names by SKU that the shop wrote down.
    """

    rules: tuple[Rule, ...]
    hash: str
    texts: Mapping[str, str]
    problems: tuple[Problem, ...]
    shop: Shop
    lists: Mapping[str, frozenset[str]]
    destinations: Destinations
    sources: Mapping[str, Source]
    older: frozenset[str] = frozenset()
    products: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def index(self) -> Index:
        """The rules filed by what they listen to."""
        return Index.of(self.rules)

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        """The rules by their file's name."""
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def _remembering(self) -> frozenset[str]:
        return frozenset(
            event
            for rule in self.rules
            if any(condition.needs_before for condition in rule.judges)
            for event in rule.events
        )

    @cached_property
    def _joining(self) -> frozenset[str]:
        """The event types that something is joined to and that a rule listens to, whatever it says of it.

        Which fields a rule really looks at cannot be told from outside for every path and formula.
        """
        return frozenset(event for rule in self.rules for event in rule.events if self._is_joined(event))

    @cached_property
    def timed(self) -> bool:
        """Whether any rule has words of time, or actions that watch."""
        return any(rule.timing or rule.watches or rule.actions for rule in self.rules)

    def watching(self, event_type: str) -> tuple[Rule, ...]:
        """The rules whose time words or actions watch such events."""
        return self._watching.get(event_type, ())

    @cached_property
    def _watching(self) -> Mapping[str, tuple[Rule, ...]]:
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for event_type in rule.watches:
                found.setdefault(event_type, []).append(rule)
        return {event_type: tuple(rules) for event_type, rules in found.items()}

    def standing(self, now: datetime) -> tuple[Arm, ...]:
        """What has to fall due though nothing happens: the next times of clocks, for all rules that are not off."""
        return tuple(
            arm
            for rule in self.rules
            if rule.mode is not Mode.OFF
            for word in rule.timing
            if (arm := word.standing(rule.id, rule.timezone or self.shop.timezone, now)) is not None
        )

    def _is_joined(self, event_type: str) -> bool:
        return any(source.joined_fields(event_type) for source in self.sources.values())

    def wants(self, source: str, event_type: str, payload: Callable[[], Payload]) -> Wants:
        """What of the past the rules need for such an event; its payload is read only if that matters."""
        before = event_type in self._remembering
        if event_type not in self._joining or source not in self.sources:
            return Wants(before)
        return Wants(before, self.sources[source].joins(event_type, payload()))
