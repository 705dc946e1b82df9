"""`once per: order.number`: once for each value, ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from engine.language.match import Match
from engine.language.node import Entry
from engine.language.path import Path
from engine.language.problem import Mark
from engine.model import Ask, Remember
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import at_time, happened_of


@dataclass(frozen=True, slots=True)
class OncePer(Timing):
    """Lets the rule fire once for each value of this field, ever. An event without a value there is not counted."""

    place: ClassVar[int] = 60
    example: ClassVar[str] = "once per: order.number"
    mark: Mark
    path: Path
    path_mark: Mark

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """A field."""
        path = reading.path(setting.value)
        return cls(setting.key.mark, path, setting.value.mark) if path else None

    @property
    def text(self) -> str:
        """It in one line."""
        return f"once per {self.path.text}"

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """The field."""
        return ((self.path, self.path_mark),)

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """When it went out."""
        return (match.cell(match.key(self.path)),)

    def decide(self, match: Match) -> Decision:
        """Go on unless it went out before."""
        cell = match.cell(match.key(self.path))
        if cell.key == "(none)":
            return Decision("send", f"{self.path.text} is empty, so this one is not counted")
        before = match.answers.get(cell)
        if before is not None:
            return Decision("drop", f"it went out for {cell.key} at {at_time(happened_of(before), match)}")
        return Decision("send", f"the first for {cell.key}", (Remember(cell, match.now.isoformat()),))
