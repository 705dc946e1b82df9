"""`wait: 2 hours`: act later, and only if things still stand so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Self

from engine.language.condition import Condition, read_conditions
from engine.language.match import Match
from engine.language.node import Entry
from engine.language.problem import Mark
from engine.model import Answer, Outcome
from engine.timing.base import Decision, Reading, Timing
from engine.timing.parts import Span, at_time, name_of, not_understood, read_span, text_of


@dataclass(frozen=True, slots=True)
class Wait(Timing):
    """Acts this much later, counted from when the event came in. The conditions under `still if` are judged then, on
    the newest state that is known of the object."""

    place: ClassVar[int] = 50
    beside: ClassVar[tuple[str, ...]] = ("still if",)
    example: ClassVar[str] = "wait: 2 hours"
    mark: Mark
    span: Span
    still_if: tuple[Condition, ...]
    holidays: frozenset[date]

    @classmethod
    def read(cls, setting: Entry, beside: Mapping[str, Entry], reading: Reading) -> Self | None:
        """A length, with `still if` beside it."""
        still = beside.get("still if")
        conditions = read_conditions(still.value, reading.problems) if still is not None else ()
        for one in conditions:
            if one.needs_before:
                message = (
                    "`still if` looks at the newest state, which has not just changed: say what it must be"
                )
                reading.problems.error(one.mark, message)
        span = read_span(text_of(setting.value))
        if span is None:
            not_understood(setting, reading.problems, cls.example)
            return None
        return cls(setting.key.mark, span, conditions, reading.shop.holidays)

    @property
    def text(self) -> str:
        """It in one line."""
        return f"wait {self.span.text}"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Those of `still if`."""
        return self.still_if

    def decide(self, match: Match) -> Decision:
        """Hold until the time is over, then judge."""
        if match.is_due:
            return self._when_over(match)
        until = self.span.after(match.reached_at, match.timezone, self.holidays)
        armed = match.arm(
            match.own, until, f"{self.span.text} after {match.event.type} of {name_of(match.event)}"
        )
        return Decision("hold", f"it waits until {at_time(until, match)}", (armed,), until=until)

    def _when_over(self, match: Match) -> Decision:
        for condition in self.still_if:
            verdict = condition.judge(match.scope)
            if verdict.answer is not Answer.YES:
                unsure = verdict.answer is Answer.UNKNOWN
                outcome = Outcome.COULD_NOT_TELL if unsure else Outcome.DOES_NOT_FIRE
                because = f"still if {verdict.text}: {verdict.because or verdict.answer.value}"
                return Decision("drop", because, outcome=outcome)
        still = ", and things still stand so" if self.still_if else ""
        return Decision("send", f"{self.span.text} are over{still}")
