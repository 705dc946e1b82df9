"""The nouns that cross rooms: what happened, what is due for it, and what became of that.

Every value here is frozen; a payload is plain JSON in which whole numbers are `int` (of any size) and
others `Decimal`, never `float`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Payload = Mapping[str, Any]


class Answer(StrEnum):
    """What a condition says about an event."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "could not tell"


class Outcome(StrEnum):
    """What a rule says about an event."""

    FIRES = "fires"
    DOES_NOT_FIRE = "does not fire"
    COULD_NOT_TELL = "could not tell"
    HELD = "held"


class Mode(StrEnum):
    """Whether a rule acts: `test` judges and shows, but sends nothing."""

    ON = "on"
    TEST = "test"
    OFF = "off"


class EventState(StrEnum):
    """Where an event stands: waiting to be judged, judged, or set aside with its reason."""

    NEW = "new"
    EVALUATED = "evaluated"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """Where a delivery stands. `held`, `failed` and `dead` need a person's attention."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # it was refused for good, or every try failed
    DEAD = "dead"  # the process died with it too often
    HELD = "held"  # a value of its message could not be filled in, or nobody knows whether it went out
    SUPPRESSED = "suppressed"  # the rule is in mode test
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in the shop.

    `id` is the number in the record as text, or `sample` for one that is only tried. `identity` is the
    hexadecimal SHA-256 that makes two arrivals the same event. Times are UTC.
    """

    id: str
    source: str
    type: str
    subject: str
    payload: Payload
    received_at: datetime
    identity: str = ""
    late: bool = False
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What the planner may know of the past, looked up before it is asked.

    `before` is the last payload seen of the same object, `order` the order that a shipment belongs to,
    `products` the names by SKU that earlier orders showed. Each is None or empty where nothing is known.
    """

    before: Payload | None = None
    order: Payload | None = None
    products: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of a rule and what it said: the sentence, the answer, what was found, and why."""

    line: int
    under: str
    text: str
    answer: Answer
    found: tuple[Any, ...] = ()
    because: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A place in a message that could not be filled in."""

    line: int
    expression: str
    because: str


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """What one action would send: a request of plain JSON without secrets, or the reason why it is held.

    `number` counts the rule's actions from 1; `held` says that it waits for a person (a gap in a message
    that must not go out with one).
    """

    kind: str
    number: int
    line: int
    to: str
    request: Mapping[str, Any]
    gaps: tuple[Gap, ...]
    idempotency_key: str
    held: bool = False
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What one rule says of one event, why, and what it would do."""

    id: str
    name: str
    file: str
    line: int
    mode: Mode
    outcome: Outcome
    reasons: tuple[Reason, ...]
    actions: tuple[PlannedAction, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen for one event, and which rulebook says so.

    Without reasons asked for, `rules` holds only those that do something else than not fire.
    """

    rules: tuple[RulePlan, ...]
    rulebook: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One action of one rule for one event, with its rendered request, on its way.

    `connection` is `kind/name` of the destination: what is paced and kept apart together.
    """

    id: int
    event: str
    rule: str
    action: int
    kind: str
    to: str
    connection: str
    request: Mapping[str, Any]
    state: DeliveryState
    attempts: int
    due_at: datetime
    idempotency_key: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery: when, how long, and what the other side said.

    `outcome` is `running`, `done`, `retry`, `failed` or `unsure` (the process ended before the answer was noted).
    """

    number: int
    started_at: datetime
    outcome: str
    took_ms: int | None = None
    status: str = ""
    detail: str = ""
