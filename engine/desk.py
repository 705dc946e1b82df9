"""Trying rules by hand: an event from a sample, a file or the record, changed as told, and the plan for it.

Reads files and nothing else; sends nothing, writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.language.path import PathError, parse_path
from engine.language.words import listing, nearest
from engine.model import Event, Memory
from engine.rulebook.frames import from_json, to_json
from engine.rulebook.loader import Language
from engine.sources.base import Source, Unreadable
from engine.sources.body import parse


class CannotTry(Exception):
    """The event to try cannot be had; the text says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An event to try, and what is known beside it."""

    event: Event
    memory: Memory


def body_of(words: str, language: Language) -> bytes:
    """The body that `--event` names: an event type's sample, a file, or standard input (`-`)."""
    sample = language.event_types.get(language.renamed.get(words, words))
    if sample is not None:
        return to_json(sample.sample)
    if words == "-":
        return sys.stdin.buffer.read()
    path = Path(words)
    if path.is_file():
        return path.read_bytes()
    near = next(iter(nearest(words, language.event_types)), None)
    mean = f" Did you mean {near}?" if near else ""
    raise CannotTry(
        f'there is no event type and no file called "{words}".{mean} Event types: {listing(language.event_types)}'
    )


def changed(payload: Mapping[str, Any], sets: Sequence[str]) -> Mapping[str, Any]:
    """The payload with each `PATH=VALUE` set; a value that is JSON is taken as such, any other as text."""
    for one in sets:
        path, equals, text = one.partition("=")
        if not equals:
            raise CannotTry(f'"{one}" is not PATH=VALUE: write for example order.total=250.00')
        payload = with_value(payload, path.strip(), _value(text))
    return payload


def _value(text: str) -> Any:
    """`true`, `null`, `42`, lists and objects are themselves; `10.63` and words are text, as the OMS sends them."""
    if text[:1] in '[{"' or text in ("true", "false", "null") or text.lstrip("-").isdigit():
        try:
            return from_json(text.encode())
        except ValueError:
            return text
    return text


def with_value(payload: Mapping[str, Any], path: str, value: Any) -> Mapping[str, Any]:
    """A copy of a payload with one place set. Raises `CannotTry` where the path leads nowhere."""
    try:
        steps = parse_path(path).steps
    except PathError as fault:
        raise CannotTry(f"{path}: {fault}") from None
    if steps is None:
        raise CannotTry(f"{path} names no single field: write for example order.line_items[0].quantity")
    return _set(payload, steps, value, path)  # type: ignore[no-any-return]


def _set(node: Any, steps: Sequence[Any], value: Any, path: str) -> Any:
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str) and isinstance(node, Mapping):
        return {**node, step: _set(node.get(step, {}), rest, value, path)}
    if isinstance(step, int) and isinstance(node, list) and -len(node) <= step < len(node):
        items = list(node)
        items[step] = _set(items[step], rest, value, path)
        return items
    if not isinstance(step, str | int) and isinstance(node, list):
        return [_set(item, rest, value, path) for item in node]
    raise CannotTry(f"{path} leads nowhere in this event")


def trial(
    body: bytes, language: Language, now: datetime, sets: Sequence[str] = (), name: str = "the event"
) -> Trial:
    """An event to try, read as the receiver would read it. Raises `CannotTry` with the reason when it cannot be."""
    source_name, source = next(iter(language.sources.items()))
    try:
        payload = parse(body)
        if sets:
            payload = changed(payload, sets)
            body = to_json(payload)
        reading = source.read(body, {})
    except Unreadable as reason:
        raise CannotTry(f"{name} cannot be read: {reason}") from None
    event = Event("sample", source_name, reading.type, reading.subject, payload, now, reading.identity.hex())
    return Trial(event, sample_memory(event, source))


def sample_memory(event: Event, source: Source) -> Memory:
    """What is known beside a sample: the samples belong to one shop, so a sample shipment's order is the sample order."""
    joins = source.joins(event.type, event.payload)
    if not joins.order_of:
        return Memory()
    for event_type in source.event_types.values():
        if joins.order_of in source.read(to_json(event_type.sample), {}).aliases:
            return Memory(order=event_type.sample)
    return Memory()
