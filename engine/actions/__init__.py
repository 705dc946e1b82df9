"""What a rule can do, one file per word; the only place from which something is sent."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from engine.actions.base import Action


def found() -> Mapping[str, Action]:
    """The words of this folder: every module that defines an action is one, `_` in its name a space."""
    return dict(_words())


def _words() -> Iterator[tuple[str, Action]]:
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if _is_action(value) and value.__module__ == module.__name__:
                yield info.name.replace("_", " "), value()


def _is_action(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Action) and not value.__abstractmethods__
