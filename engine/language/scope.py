"""What conditions and templates can see: one event, what is known beside it, the shop, and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop's own facts, which say how amounts and times are read and written, and on which days it rests."""

    name: str = "Example shop"
    timezone: tzinfo = field(default_factory=lambda: ZoneInfo("UTC"))
    currency: str = "USD"
    locale: str = "en_US"
    holidays: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """One event as conditions and templates see it.

    `root` is the event's payload, joined with what is known beside it (`order` of a shipment, `product`
    of a stock item, `event` with type, id, received_at and late). `before` is the same object's last known
    payload, None when this is the first. `now` is aware. `lists` holds the shop's named lists, each a set of
    case-folded, stripped texts. `footnote` is a last line for messages that stay within the shop.
    """

    root: Mapping[str, Any]
    now: datetime
    shop: Shop = field(default_factory=Shop)
    before: Mapping[str, Any] | None = None
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)
    footnote: str = ""
