"""The connections of the settings: what can be told of them, who uses them, and whether they work."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine import __version__
from engine.actions.base import Action, DeliveryError
from engine.rulebook.book import Rulebook
from engine.runtime.guard import Guard
from engine.runtime.services import Services
from engine.settings import UNSET, Settings

Result = Literal["works", "fails"]


@dataclass(frozen=True, slots=True)
class Line:
    """A connection as it may be shown: its public settings, of each secret whether it is there, and who uses it."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, bool]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try of a connection ended, in a sentence."""

    kind: str
    name: str
    result: Result
    told: str


def connection_lines(
    settings: Settings, actions: Mapping[str, Action], book: Rulebook | None
) -> Iterator[Line]:
    """The connections of the settings by kind and name; `book` says which rules use them."""
    used = _used(book) if book is not None else {}
    for kind, named in sorted(settings.connections.items()):
        fields = actions[kind].connection_fields
        secret = {field.name for field in fields if field.secret}
        usual = {field.name: field.default for field in fields}
        for name, facts in sorted(named.items()):
            public = {key: value for key, value in facts.items() if key not in secret and value != usual[key]}
            there = {key: UNSET not in repr(value) for key, value in facts.items() if key in secret}
            yield Line(kind, name, public, there, tuple(used.get((kind, name), ())))


def _used(book: Rulebook) -> Mapping[tuple[str, str], list[str]]:
    used: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule in book.rules:
        for spec in rule.actions:
            name = spec.action.connection_of(spec.values, book.destinations)
            if rule.id not in used[spec.word, name]:
                used[spec.word, name].append(rule.id)
    return used


def named(settings: Settings, words: str | None) -> list[tuple[str, str]]:
    """The connections that somebody means by `default` or `slack/default`; all of them by None."""
    every = [(kind, name) for kind, some in sorted(settings.connections.items()) for name in sorted(some)]
    if words is None:
        return every
    kind, slash, name = words.partition("/")
    return (
        [one for one in every if one == (kind, name)] if slash else [one for one in every if one[1] == words]
    )


async def try_connections(
    settings: Settings, actions: Mapping[str, Action], wanted: list[tuple[str, str]]
) -> list[Tried]:
    """Try connections side by side; nobody gets a message by it."""
    guard = Guard(str(network) for network in settings.allow)
    agent = f"Shopbell/{__version__}"
    async with Services(settings.connections, secrets=settings.hidden, guard=guard, agent=agent) as services:
        tries = (_tried(kind, name, actions[kind], services) for kind, name in wanted)
        return await asyncio.gather(*tries)


async def _tried(kind: str, name: str, action: Action, services: Services) -> Tried:
    try:
        return Tried(kind, name, "works", services.mask(await action.try_connection(name, services)))
    except DeliveryError as error:
        return Tried(kind, name, "fails", str(error))
