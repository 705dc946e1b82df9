"""When a rule acts, or whether yet: one file per time word."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache

from engine.timing.base import Timing


@cache
def found() -> Mapping[str, type[Timing]]:
    """The words of this folder: every module that defines a time word is one, `_` in its name a space."""
    return dict(_words())


def _words() -> Iterator[tuple[str, type[Timing]]]:
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if _is_word(value) and value.__module__ == module.__name__:
                yield value.word(), value


def _is_word(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Timing) and not value.__abstractmethods__
