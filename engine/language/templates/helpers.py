"""What filters and tests have in common: a name, a help text, an example, and what goes into their brackets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.language.words import listing, nearest

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Helper:
    """A filter or a test: its name, its help, an example, and the function behind it.

    `takes_missing` says that it answers for what is not in the event too; for the others that is the answer.
    """

    name: str
    help: str
    example: str
    call: Callable[..., Any]
    parameters: tuple[inspect.Parameter, ...]
    takes_missing: bool

    def wrong_arguments(self, count: int, keywords: Sequence[str]) -> str:
        """What is wrong with so many values and these names in its brackets, "" if nothing."""
        names = [parameter.name for parameter in self.parameters]
        if count > len(names):
            return f"`{self.name}` takes {_values(len(names))} in brackets, and here are {count}"
        for keyword in keywords:
            if keyword not in names[count:]:
                near = nearest(keyword, names)
                known = f"did you mean `{near[0]}`?" if near else f"it has {listing(names) or 'none'}"
                return f'`{self.name}` has no setting "{keyword}" here; {known}'
        for parameter in self.parameters[count:]:
            if parameter.default is parameter.empty and parameter.name not in keywords:
                return f"`{self.name}` needs a value in brackets: {parameter.name}"
        return ""

    def named(self, values: Sequence[_T], keywords: Iterable[tuple[str, _T]]) -> dict[str, _T]:
        """The values in its brackets by the names of its settings."""
        return {
            parameter.name: value for parameter, value in zip(self.parameters, values, strict=False)
        } | dict(keywords)


def _values(count: int) -> str:
    return {0: "no value", 1: "at most 1 value"}.get(count, f"at most {count} values")


def noted_in(
    table: dict[str, Helper], example: str, also: tuple[str, ...], takes_missing: bool
) -> Callable[[_F], _F]:
    """A mark for a function, which puts it into a table under its name and its other names."""

    def note(function: _F) -> _F:
        name = function.__name__.strip("_")
        parameters = tuple(inspect.signature(function).parameters.values())[2:]
        help = inspect.getdoc(function) or ""
        for one in (name, *also):
            table[one] = Helper(one, help, example, function, parameters, takes_missing)
        return function

    return note
