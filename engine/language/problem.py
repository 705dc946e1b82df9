"""A fault in a text that a person wrote: where it is, what is wrong, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file: line and column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of one file, in the author's words; `hint` is the corrected line or the remedy.

    An `error` keeps the file from running; a `warning` is probably not what was meant; a `note` only tells.
    """

    file: str
    line: int
    column: int
    severity: Severity
    message: str
    hint: str = ""


@dataclass(slots=True)
class Problems:
    """Collects the faults of one file, so that a person sees all of them at once."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def error(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note a fault that keeps the file from running."""
        self._add(mark, "error", message, hint)

    def warning(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note something that runs but is probably not what was meant."""
        self._add(mark, "warning", message, hint)

    def note(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note how something was understood."""
        self._add(mark, "note", message, hint)

    @property
    def broken(self) -> bool:
        """Whether any fault keeps the file from running."""
        return any(problem.severity == "error" for problem in self.found)

    def sorted(self) -> list[Problem]:
        """All faults in the order of the file, each once."""
        return sorted(set(self.found))

    def _add(self, mark: Mark, severity: Severity, message: str, hint: str) -> None:
        self.found.append(Problem(self.file, mark.line, mark.column, severity, message, hint))
