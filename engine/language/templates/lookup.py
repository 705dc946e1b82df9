"""Lookups such as `order.line_items[0].name`: read from the syntax tree, written for people, and followed.

A lookup follows fields of objects and places in lists, never an attribute of a Python value; where it leads
nowhere it answers `Missing`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import nodes

from engine.language.templates.run import Evaluate, Run
from engine.language.templates.values import Missing, is_empty, kind
from engine.language.words import plural

Step = str | int
"""A field of an object, or a place in a list."""


def chain(node: nodes.Node) -> tuple[nodes.Node, tuple[Step, ...]]:
    """What a lookup such as `order.line_items[0].name` starts from, and its steps."""
    steps: list[Step] = []
    while True:
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node, nodes.Getitem) and (step := _step(node.arg)) is not None:
            steps.append(step)
        else:
            return node, tuple(reversed(steps))
        node = node.node


def _step(node: nodes.Node) -> Step | None:
    """The step that a literal in [ ] is, None for anything else."""
    if isinstance(node, nodes.Neg):
        step = _step(node.node)
        return -step if isinstance(step, int) else None
    plain = (
        isinstance(node, nodes.Const)
        and isinstance(node.value, str | int)
        and not isinstance(node.value, bool)
    )
    return node.value if plain else None  # type: ignore[attr-defined]


def path_text(name: str, steps: Sequence[Step]) -> str:
    """A lookup as people write it."""
    for step in steps:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            name += f".{step}" if step.isidentifier() else f'["{step}"]'
    return name


def name_of(node: nodes.Node) -> str:
    """How the author named a value: its lookup, "" for a longer expression."""
    start, steps = chain(node)
    return path_text(start.name, steps) if isinstance(start, nodes.Name) else ""


def from_root(name: str, path: tuple[Step, ...]) -> Evaluate:
    """A lookup in the event."""

    def look(run: Run) -> Any:
        value: Any = run.root
        try:
            for step in path:
                value = value[step]
        except (KeyError, IndexError, TypeError):
            return _slowly(run.root, "", path)
        return value

    return look


def from_value(evaluate: Evaluate, name: str, steps: tuple[Step, ...]) -> Evaluate:
    """A lookup in a value that the template worked out."""

    def look(run: Run) -> Any:
        start = value = evaluate(run)
        try:
            for step in steps:
                value = value[step]
        except (KeyError, IndexError, TypeError):
            return _slowly(start, name, steps)
        return value

    return look


def _slowly(value: Any, name: str, steps: Sequence[Step]) -> Any:
    """A lookup step by step, which can tell what is not there."""
    for step in steps:
        value = stepped(value, step, name)
        name = path_text(name, (step,)) if name else str(step)
    return value


def stepped(value: Any, step: Step, name: str) -> Any:
    """One step into a value, which is called `name`; `Missing`, with the reason, where it leads nowhere."""
    if isinstance(value, Missing):
        return value
    called = name or "the value"
    if isinstance(value, Mapping):
        key = str(step)
        if key in value:
            return value[key]
        return Missing(
            f"{path_text(name, (key,))} is not in this event" if name else f"there is no {key} in this event"
        )
    if isinstance(step, int) and isinstance(value, list | tuple | str):
        return _place_in(value, step, called)
    if is_empty(value):
        return Missing(f"{called} is empty, so it has no {_ordinal(step)}")
    if isinstance(value, list | tuple):
        return Missing(f"{called} is a list: {_of_list(called, step)}")
    return Missing(f"{called} is {kind(value)}, so it has no {_ordinal(step)}")


def _of_list(called: str, step: Step) -> str:
    """What somebody means who asks a list for a field."""
    if step in ("length", "count", "size", "first", "last"):
        return f"write {called} | {'length' if step == 'size' else step}"
    return f"name one of its items, as in {path_text(called, (0, step))}"


def _place_in(value: Sequence[Any], place: int, called: str) -> Any:
    if -len(value) <= place < len(value):
        return value[place]
    if not value:
        return Missing(f"{called} is empty, so it has no {_ordinal(place)}")
    return Missing(f"{called} has only {plural(len(value), 'item')}, so it has no {_ordinal(place)}")


def _ordinal(step: Step) -> str:
    """What a step leads to: `first item`, `item 5`, or the name of a field."""
    if isinstance(step, str):
        return step
    return {0: "first item", 1: "second item", -1: "last item"}.get(step, f"item [{step}]")
