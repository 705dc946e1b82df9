"""How events go wrong on their way, on request: late, doubled, out of order and so on.

What comes out is what is sent, in groups: within a group one message goes after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from engine.sources.chord.trade import Dice

_encode = msgspec.json.Encoder(decimal_format="number").encode

LATE = 600.0
"""Seconds by which a late event is held back (divided by the sandbox's speed)."""
AGAIN = 24.0
"""Seconds after which an event that was doubled comes again (divided by the sandbox's speed)."""
OVERTAKEN = timedelta(days=1)
"""So long an event of a life waits to be overtaken by the next one of its object."""


class Fault(StrEnum):
    """What can go wrong."""

    LATE = "late"
    DOUBLED = "doubled"
    OUT_OF_ORDER = "out of order"
    RE_RENDERED = "re-rendered"
    SLOW = "slow"
    CUT_OFF = "cut off"
    WRONG_TYPE = "wrong type"

    @property
    def help(self) -> str:
        """A sentence for people."""
        return _HELP[self]


_HELP = {
    Fault.LATE: "held back for ten minutes",
    Fault.DOUBLED: "sent again after 24 seconds, although it was acknowledged",
    Fault.OUT_OF_ORDER: "the newest first; at least two are sent",
    Fault.RE_RENDERED: "sent again after 24 seconds with other spacing and another order of keys",
    Fault.SLOW: "the body dribbles in over four seconds",
    Fault.CUT_OFF: "the first try ends in the middle of the body, the repeats are whole",
    Fault.WRONG_TYPE: "labelled text/plain instead of JSON",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One body to send. `first` is what the first try sends instead; `after` are seconds to wait before it."""

    event: str
    about: str
    body: bytes
    first: bytes | None = None
    content_type: str = "application/json"
    slow: bool = False
    after: float = 0.0


def message(body: Mapping[str, Any]) -> Message:
    """A body as it is sent when nothing goes wrong."""
    event = str(body["event_name"])
    about = next((value for key, value in body.items() if key != "event_name"), None)
    return Message(event, _named(about), _encode(body))


def messages(bodies: Sequence[Mapping[str, Any]], fault: Fault | None) -> list[list[Message]]:
    """Bodies as they are sent with a fault, or without one."""
    if fault is None or fault is Fault.OUT_OF_ORDER:
        return [[message(body) for body in (reversed(bodies) if fault else bodies)]]
    return [_group(body, fault) for body in bodies]


class Mishaps:
    """Lets some events of a shop's life go wrong on their way: `share` of them, chosen by dice of their own.

    One that comes out of order waits until the next event of its object has gone, at most a day.
    """

    def __init__(self, dice: Dice, share: float) -> None:
        self._dice = dice
        self._share = share
        self._held: dict[str, tuple[Message, datetime]] = {}

    def groups(self, body: Mapping[str, Any], now: datetime) -> list[list[Message]]:
        """What is to be sent now that this has happened."""
        group, *others = self._one(body, now) or [[]]
        overtaken = self._overtaken(message(body).about if group else "", now)
        return [group + overtaken, *others] if group or overtaken else []

    def rest(self) -> list[list[Message]]:
        """What still waits to be overtaken."""
        held, self._held = self._held, {}
        return [[one] for one, _ in held.values()]

    def _one(self, body: Mapping[str, Any], now: datetime) -> list[list[Message]]:
        if self._dice.random() >= self._share:
            return messages([body], None)
        fault = self._dice.choice(tuple(Fault))
        if fault is not Fault.OUT_OF_ORDER:
            return messages([body], fault)
        one = message(body)
        if not one.about or one.about in self._held:
            return [[one]]
        self._held[one.about] = (one, now + OVERTAKEN)
        return []

    def _overtaken(self, about: str, now: datetime) -> list[Message]:
        """Those that waited for an event of this object, or long enough."""
        ready = [name for name, (_, until) in self._held.items() if name == about or until <= now]
        return [self._held.pop(name)[0] for name in ready]


def _group(body: Mapping[str, Any], fault: Fault) -> list[Message]:
    whole = message(body)
    match fault:
        case Fault.LATE:
            return [replace(whole, after=LATE)]
        case Fault.DOUBLED:
            return [whole, replace(whole, after=AGAIN)]
        case Fault.RE_RENDERED:
            return [whole, replace(whole, body=_rendered_anew(body), after=AGAIN)]
        case Fault.SLOW:
            return [replace(whole, slow=True)]
        case Fault.CUT_OFF:
            return [replace(whole, first=whole.body[: len(whole.body) // 2])]
        case Fault.WRONG_TYPE:
            return [replace(whole, content_type="text/plain")]
        case _:
            return [whole]


def _rendered_anew(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(_encode(_turned(body)), indent=1)


def _turned(value: Any) -> Any:
    """The same value with the keys of every object in the opposite order."""
    if isinstance(value, Mapping):
        return {key: _turned(value[key]) for key in reversed(list(value))}
    return [_turned(item) for item in value] if isinstance(value, list) else value


def _named(about: Any) -> str:
    """What an event is about, in a word: an order's or a shipment's number, or a product's SKU."""
    if not isinstance(about, Mapping):
        return ""
    variant = about.get("variant")
    return str(about.get("number") or (variant.get("sku") if isinstance(variant, Mapping) else None) or "")
