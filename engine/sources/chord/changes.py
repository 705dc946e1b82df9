"""Changing fields of an event before it is sent: `order.total=250.00` in words, or paths and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.language.path import PathError, parse_path
from engine.sources.chord.catalogue import EVENT_TYPES

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


class CannotChange(ValueError):
    """A change that cannot be made; the text says why and what to write instead."""


def read_change(event: str, words: str) -> tuple[str, Any]:
    """`PATH=VALUE` as a path and a value of the kind that the event's field has.

    `null` is nothing; texts and amounts are taken as written; in a field that Chord does not send, JSON is
    taken as such and anything else as text. Raises `CannotChange` where there is no `=` or the kind does not fit.
    """
    path, equals, text = words.partition("=")
    if not equals or not path.strip():
        raise CannotChange(f'"{words}" is not PATH=VALUE: write for example order.total=250.00')
    path = path.strip()
    field = EVENT_TYPES[event].fields.get(_any_item(path)) if event in EVENT_TYPES else None
    return path, _value(path, field.kind if field else "", text)


def changed(body: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a body with each path set to its value. Raises `CannotChange` where a path leads nowhere."""
    for path, value in changes.items():
        body = _set(body, _steps(path), value, path)
    return body


def _any_item(path: str) -> str:
    """The path as the catalogue writes it: `[*]` for the places in lists."""
    steps = _steps(path)
    return "".join(f".{step}" if isinstance(step, str) else "[*]" for step in steps).removeprefix(".")


def _steps(path: str) -> Sequence[str | int | None]:
    try:
        steps = parse_path(path).steps
    except PathError as fault:
        raise CannotChange(f"{path}: {fault}") from None
    if steps is None:
        raise CannotChange(f"{path} names no single field: write for example order.line_items[0].quantity=12")
    return steps


def _value(path: str, kind: str, text: str) -> Any:
    if text == "null":
        return None
    if kind in ("text", "amount", "time"):
        return text
    if kind == "truth" and text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    try:
        value = _JSON.decode(text.encode())
    except msgspec.DecodeError:
        value = text
    if kind in ("number", "truth") and not _fits(kind, value):
        raise CannotChange(f"{path} is {'a number' if kind == 'number' else 'true or false'}, not {text!r}")
    return value


def _fits(kind: str, value: Any) -> bool:
    return (
        isinstance(value, bool) if kind == "truth" else isinstance(value, int | Decimal) and value is not True
    )


def _set(node: Any, steps: Sequence[str | int | None], value: Any, path: str) -> Any:
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str) and isinstance(node, Mapping):
        return {**node, step: _set(node.get(step, {}), rest, value, path)}
    if isinstance(node, list) and step is None:
        return [_set(item, rest, value, path) for item in node]
    if isinstance(node, list) and isinstance(step, int) and -len(node) <= step < len(node):
        items = list(node)
        items[step] = _set(items[step], rest, value, path)
        return items
    raise CannotChange(f"{path} leads nowhere in this event")
