"""A rule as it runs: checked, compiled and frozen, with the places its author wrote it at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from engine.actions.base import Action
from engine.language.condition import Condition
from engine.language.fields import FieldValue
from engine.language.node import Node
from engine.language.problem import Mark
from engine.model import Mode
from engine.timing.base import Timing


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action of a rule: its word, its place, and its settings, read and compiled."""

    word: str
    number: int
    mark: Mark
    action: Action
    values: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Postponed:
    """A word of the language that this version reads but cannot keep yet; its rule is held, never half obeyed."""

    word: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule file. `events` are the event types it listens to, patterns expanded; `timing` its time words in order."""

    id: str
    file: str
    name: str
    mark: Mark
    why: str
    mode: Mode
    when: str
    when_mark: Mark
    events: frozenset[str]
    conditions: tuple[Condition, ...]
    exceptions: tuple[Condition, ...]
    actions: tuple[ActionSpec, ...]
    postponed: tuple[Postponed, ...] = ()
    timezone: tzinfo | None = None
    late_events: bool = False
    timing: tuple[Timing, ...] = ()
    tests: Node | None = field(default=None, repr=False)

    @property
    def judges(self) -> tuple[Condition, ...]:
        """All its conditions: those of `if`, of `unless`, and of its time words."""
        timed = tuple(condition for word in self.timing for condition in word.conditions)
        return self.conditions + self.exceptions + timed

    @property
    def collects(self) -> bool:
        """Whether its messages speak of several events: `events`, `count`, `first` and `last`."""
        return any(word.collects for word in self.timing)

    @property
    def watches(self) -> frozenset[str]:
        """The event types that its time words and actions watch, beside those it listens to."""
        words = [word.watches for word in self.timing]
        return frozenset().union(*words, *(spec.action.watches(spec.values) for spec in self.actions))

    @property
    def needs(self) -> frozenset[str]:
        """The event types without which it cannot do what it says, as far as it names or watches them."""
        words = [word.needs for word in self.timing]
        watched = (spec.action.watches(spec.values) for spec in self.actions)
        return self.speaks_of.union(*words, *watched)

    @property
    def speaks_of(self) -> frozenset[str]:
        """The event types that its conditions and messages speak of: those it listens to, or looks back on."""
        return self.events.union(*(word.speaks_of for word in self.timing))

    @property
    def roots(self) -> frozenset[str]:
        """The first names of the fields that its conditions, formulas and messages name."""
        reads = [
            read for condition in self.judges for formula in condition.formulas() for read in formula.reads
        ]
        reads += [
            read
            for action in self.actions
            for value in action.values.values()
            for template in value.templates()
            for read in template.reads
        ]
        named = {leaf.path.first for condition in self.judges for leaf in condition.leaves()}
        named |= {path.first for word in self.timing for path, _ in word.paths}
        return frozenset(named | {str(read.path[0]) for read in reads if read.path})
