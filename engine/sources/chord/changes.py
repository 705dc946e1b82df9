"""Changing fields of an event before it is sent: `order.total=250.00` in words, or paths and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.language.change import replaced
from engine.language.path import PathError, parse_path
from engine.language.words import nearest
from engine.sources.base import FieldInfo
from engine.sources.chord.catalogue import EVENT_TYPES

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


class CannotChange(ValueError):
    """A change that cannot be made; the text says why and what to write instead."""


def read_change(event: str, words: str) -> tuple[str, Any]:
    """`PATH=VALUE` as a path and a value of the kind that the event's field has; blanks around `=` do not count.

    `null` is nothing; texts and amounts are taken as written; of an event type that is not known, JSON is taken
    as such and anything else as text. Raises `CannotChange` where there is no `=`, the event's type has no such
    field, or the kind does not fit.
    """
    path, equals, text = (part.strip() for part in words.partition("="))
    if not equals or not path:
        raise CannotChange(f'"{words}" is not PATH=VALUE: write for example order.total=250.00')
    kind = _field(event, path, EVENT_TYPES[event].fields).kind if event in EVENT_TYPES else ""
    return path, _value(path, kind, text)


def changed(body: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a body with each path set to its value. Raises `CannotChange` where a path leads nowhere."""
    for path, value in changes.items():
        try:
            body = replaced(body, _steps(path), _to(value))
        except LookupError:
            raise CannotChange(f"{path} leads nowhere in this event") from None
    return body


def _to(value: Any) -> Callable[[Any], Any]:
    return lambda old: value


def _field(event: str, path: str, fields: Mapping[str, FieldInfo]) -> FieldInfo:
    """The field that a path names; the `[*]` of lists may be left out. Raises `CannotChange` for any other."""
    name = _any_item(path)
    bare = name.replace("[*]", "")
    found = fields.get(name) or next((fields[one] for one in fields if one.replace("[*]", "") == bare), None)
    if found is not None:
        return found
    near = next(iter(nearest(name, fields)), None)
    mean = f". Did you mean `{near}`?" if near else ""
    raise CannotChange(f"{event} events have no field {path}{mean}")


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
