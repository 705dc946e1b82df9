"""Changing one place of plain JSON, along the steps of a simple path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.language.path import Step


def replaced(node: Any, steps: Sequence[Step], change: Callable[[Any], Any]) -> Any:
    """A copy of plain JSON with what the steps lead to changed by a function of its old value.

    A name also leads into every item of a list, as it does in bare paths; the last name may be new. Raises
    `LookupError` where the steps lead nowhere.
    """
    if not steps:
        return change(node)
    step, rest = steps[0], steps[1:]
    if isinstance(node, Mapping) and isinstance(step, str):
        return {**node, step: replaced(node.get(step, {} if rest else None), rest, change)}
    if isinstance(node, list) and isinstance(step, int):
        items = list(node)
        items[step] = replaced(items[step], rest, change)
        return items
    if isinstance(node, list):
        return [replaced(item, rest if step is None else steps, change) for item in node]
    raise LookupError(step)
