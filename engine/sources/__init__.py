"""Who sends events: how their requests are verified, read, and made one of a kind."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from engine.sources.base import Source


@cache
def found() -> Mapping[str, Source]:
    """The sources of this folder by name: each module or folder in it that has a class derived from Source."""
    sources: dict[str, Source] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        content = importlib.import_module(f"{__name__}.{module.name}")
        for value in vars(content).values():
            if isinstance(value, type) and issubclass(value, Source) and value.__module__ == content.__name__:
                sources[module.name] = value()
    return sources
