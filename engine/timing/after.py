"""`after: 3 within 1 hour for each order.email`: only from the N-th match in a time on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from engine.language.match import Match
from engine.language.node import Entry, MappingNode, ScalarNode
from engine.language.path import Path
from engine.language.problem import Mark
from engine.language.words import normal_key, plural
from engine.model import Ask, Remember
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import for_each, happened_of, in_words, not_understood, read_period, text_of

_WORDS = re.compile(r"([1-9][0-9]{0,3})(?: times)? (?:within|in) (.+?)(?: for each (\S.*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class After(Timing):
    """Lets the rule fire only from the N-th match within a time on, for each value of a field. What counts is when
    the things happened."""

    place: ClassVar[int] = 30
    example: ClassVar[str] = "after: 3 within 1 hour for each order.email"
    mark: Mark
    count: int
    within: timedelta
    key: Path | None
    key_mark: Mark

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """`3 within 1 hour for each path`, or `{count, within, for each}`."""
        count, within, key = _parts(setting)
        length = read_period(within)
        if not (count.isdecimal() and 0 < int(count) < 10_000 and length):
            not_understood(setting, reading.problems, cls.example)
            return None
        path = reading.path(ScalarNode(key, setting.value.mark)) if key else None
        if key and path is None:
            return None
        return cls(setting.key.mark, int(count), length, path, setting.value.mark)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """A text or a block."""
        return {"type": ["string", "object"], "examples": ["3 within 1 hour for each order.email"]}

    @property
    def text(self) -> str:
        """It in one line."""
        return f"after {self.count} within {in_words(self.within)}{for_each(self.key)}"

    @property
    def paths(self) -> tuple[tuple[Path, Mark], ...]:
        """What it counts for each."""
        return ((self.key, self.key_mark),) if self.key else ()

    def asks(self, match: Match) -> tuple[Ask, ...]:
        """When the newest matches happened."""
        return (match.cell(match.key(self.key)),)

    def decide(self, match: Match) -> Decision:
        """Count those in the time before this one, and this one."""
        cell = match.cell(match.key(self.key))
        known = [happened_of(one) for one in match.answers.get(cell) or ()]
        times = sorted([*known, match.happened_at])
        inside = sum(match.happened_at - self.within < one <= match.happened_at for one in times)
        kept = [one.isoformat() for one in times[-2 * self.count :]]
        noted = (Remember(cell, kept, match.now + self.within + timedelta(days=7)),)
        told = f"{plural(inside, 'match', 'matches')} within {in_words(self.within)}"
        if self.key is not None:
            told = f"{told} for {cell.key}"
        if inside < self.count:
            return Decision("drop", f"{told}; it fires from number {self.count} on", regardless=noted)
        return Decision("send", told, regardless=noted)


def _parts(setting: Entry) -> tuple[str, str, str]:
    """The number, the time and the field, as they were written."""
    if isinstance(setting.value, MappingNode):
        found = {normal_key(one.key.text): text_of(one.value) for one in setting.value}
        known = found.keys() <= {"count", "within", "for each"}
        return (
            (found.get("count", ""), found.get("within", ""), found.get("for each", ""))
            if known
            else ("", "", "")
        )
    match = _WORDS.fullmatch(text_of(setting.value))
    return (match[1], match[2], match[3] or "") if match else ("", "", "")
