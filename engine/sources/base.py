"""What a source is: the event types somebody sends, and how one of their bodies becomes an event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

import msgspec

from engine.model import Memory

FieldKind = Literal["text", "amount", "number", "truth", "time", "list", "object"]


class Unreadable(ValueError):
    """An authentic body that cannot be read; its text says why in plain words, for the quarantine."""


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of an event type's payload, as the sender documents it or as it was seen.

    `path` is a bare path from the payload's root (`order.line_items[*].sku`). `values` are the known values,
    which may grow: others are warned about, never refused. `help` is a sentence for people.
    """

    path: str
    kind: FieldKind
    nullable: bool = False
    values: tuple[str, ...] = ()
    help: str = ""
    example: Any = None


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event: its name, what it is about (`order`), a sentence for people, its fields, a sample body."""

    name: str
    object: str
    help: str
    fields: Mapping[str, FieldInfo]
    sample: Mapping[str, Any]


# A struct, since one is made for each request before its answer: it costs a twentieth of a frozen dataclass.
class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a source read in a body, just enough to keep it and tell it from others.

    `identity` is the 32 bytes that a repeat shares, `window` how long a repeat may come after. `superseded`
    says that a repeat counts only against the newest event of the same subject (stock goes out, back and out
    with equal fields). `updated_at` is the object's own time stamp as the number of microseconds since 1970,
    None where it has none: it tells late events. `aliases` are other subjects this event's subject is known
    by (an order's shipments: `shipment:H1`). `note` says what was unusual, in plain words.
    """

    type: str
    subject: str
    identity: bytes
    window: timedelta
    known: bool = True
    superseded: bool = False
    updated_at: int | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""


class Source(ABC):
    """Somebody who sends events. Its name in addresses and rules is its module's."""

    name: ClassVar[str]
    event_types: ClassVar[Mapping[str, EventType]]
    personal: ClassVar[frozenset[str]] = frozenset()
    """The names under which its payloads keep what names a person, wherever they stand in them."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Names that arrive or are written but mean another event type (misprints), by the right one."""
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Which kinds of objects are parts of which: events about the part are about the whole, too."""

    @abstractmethod
    def read(self, body: bytes, headers: Mapping[str, str]) -> Reading:
        """Read a body of strict JSON, already unpacked. Raises `Unreadable` with a reason in plain words."""

    def joins(self, type: str, payload: Mapping[str, Any]) -> Joins:
        """Which facts beside the payload belong to such an event; nothing unless a source says so."""
        return Joins()

    def joined(self, type: str, payload: Mapping[str, Any], memory: Memory) -> Mapping[str, Any]:
        """The names that templates and conditions see beside the payload, from what is known."""
        return {}

    def joined_fields(self, type: str) -> Mapping[str, FieldInfo]:
        """The fields of those joined names, by bare path, for the checks of rules."""
        return {}

    def taught_by(self, type: str) -> Mapping[str, tuple[str, ...]]:
        """The event types that teach each name joined to such an event; they must be listened to as well."""
        return {}

    def hint(self, path: str, value: str) -> str | None:
        """What to say of a value that people write for a field and that the sender spells otherwise."""
        return None

    def names(self, type: str, payload: Mapping[str, Any], memory: Memory) -> Mapping[str, tuple[str, ...]]:
        """What the object of such an event is known by, by kind of object (`order`, `shipment`), as subjects.

        Events are about the same order if they share a name of that kind, or one of a kind of its parts.
        """
        return {}

    def happened_at(self, type: str, payload: Mapping[str, Any]) -> datetime | None:
        """When it happened, as the payload says; None where it does not."""
        return None

    def teaches(self, type: str, payload: Mapping[str, Any]) -> Mapping[str, str]:
        """Names by key that this payload teaches (product names by SKU)."""
        return {}


@dataclass(frozen=True, slots=True)
class Joins:
    """What to look up beside an event: the subject whose owner is wanted, and names by key."""

    order_of: str = ""
    products: tuple[str, ...] = field(default=())
