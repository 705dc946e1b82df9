"""Which events the rules of a book need from a sender, so that no endpoint listens to more."""

from __future__ import annotations

from collections.abc import Iterator

from engine.model import Mode
from engine.rulebook.book import Rulebook
from engine.rulebook.rule import Rule


def needed_events(book: Rulebook, source: str) -> tuple[str, ...]:
    """The event types that the rules listen to, and those that teach what the rules read beside them.

    A rule that is switched off needs nothing. The order is that of the sender's own list.
    """
    sender = book.sources[source]
    needed = {event for rule in book.rules if rule.mode is not Mode.OFF for event in _of(rule, book, source)}
    return tuple(name for name in sender.event_types if name in needed)


def _of(rule: Rule, book: Rulebook, source: str) -> Iterator[str]:
    sender = book.sources[source]
    read = rule.roots
    for event in rule.needs & sender.event_types.keys():
        yield event
        for name, teachers in sender.taught_by(event).items():
            if name in read:
                yield from teachers
