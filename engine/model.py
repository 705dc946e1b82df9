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

import msgspec

Payload = Mapping[str, Any]

SCHEDULE = "schedule"
"""The source of the events that the service makes itself, when something it waited for falls due."""


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


class Cell(msgspec.Struct, frozen=True, tag=True):
    """What a rule remembers under one of its words for one key, as plain JSON; None where that is nothing."""

    rule: str
    word: str
    key: str


class Gathered(msgspec.Struct, frozen=True, tag=True):
    """The events that a rule has collected under a key, oldest first, as a tuple of `Event`."""

    rule: str
    key: str


class Happened(msgspec.Struct, frozen=True, tag=True):
    """The newest events on record of some types from a time on, at most so many, oldest first, as a tuple of `Event`."""

    types: tuple[str, ...]
    since: datetime
    limit: int = 1000


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """The people next in turn for a SKU: `{"waiting": how many in all, "next": [{"entry", "email", "name", "locale", "token"}]}`.

    `next` has those who signed up first, at most `limit`; who was told already is not among them.
    """

    sku: str
    limit: int


Ask = Cell | Gathered | Happened | Waiting
"""What a rule may want to know of the past. What the answer is stands with each."""


class Remember(msgspec.Struct, frozen=True, tag=True):
    """Put a value into a cell, or empty it with None. It may be forgotten after `until`; None keeps it for good."""

    cell: Cell
    value: Any
    until: datetime | None = None


class Arm(msgspec.Struct, frozen=True, tag=True):
    """Let something of a rule fall due at a time: a timer, of which there is one for each rule, word and key.

    Where one is armed already it stays as it is, unless this one is to `replace` it. `cancelled_by` are keys under
    which `Cancel` finds it; `text` says to people what it waits for. A `fresh` one stands for nothing that happened: it is
    made anew when the rules change and not listed among what waits (a clock's next time).
    """

    rule: str
    word: str
    key: str
    due_at: datetime
    text: str
    cancelled_by: tuple[str, ...] = ()
    replace: bool = False
    fresh: bool = False


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Let nothing fall due any more of what a rule's word armed under any of these keys, for a reason people see."""

    rule: str
    word: str
    keys: tuple[str, ...]
    because: str


class Hasten(msgspec.Struct, frozen=True, tag=True):
    """Let what a rule's word armed under any of these keys fall due now."""

    rule: str
    word: str
    keys: tuple[str, ...]


class Gather(msgspec.Struct, frozen=True, tag=True):
    """Add this event to what the rule collects under a key."""

    rule: str
    key: str


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Take events out of all that a rule has collected: those of one object, or those of some numbers under a key."""

    rule: str
    about: str = ""
    key: str = ""
    events: tuple[str, ...] = ()


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Note that people on a waitlist have had their turn: their entries."""

    rule: str
    sku: str
    entries: tuple[int, ...]


Effect = Remember | Arm | Cancel | Hasten | Gather | Leave | Tell
"""What an event changes beside its deliveries; recorded with them in one transaction."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the planner may know of the past, looked up before it is asked.

    `before` is the last payload seen of the same object, `order` the order that a shipment belongs to,
    `products` the names by SKU that earlier orders showed. Each is None or empty where nothing is known.
    For an event of the schedule, `origin` is the event it goes on with, and `newest` the newest payload known of its
    object; the others are then what is known beside the origin. `answers` holds what rules asked for, see `Plan.asks`.
    """

    before: Payload | None = None
    order: Payload | None = None
    products: Mapping[str, str] = field(default_factory=dict)
    origin: Event | None = None
    newest: Payload | None = None
    answers: Mapping[Ask, Any] = field(default_factory=dict)


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
    that must not go out with one), `suppressed` why it is only put on record (a limit). One for many people has
    `parts`, one for each: those are delivered. `lane` is what it is kept apart and paced with, of its kind.
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
    suppressed: str = ""
    parts: tuple[PlannedAction, ...] = ()
    lane: str = "default"


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What one rule says of one event, why, what it would do, and what it remembers or lets fall due for that.

    `waits_until` is when it goes on, for one that is held until a time.
    """

    id: str
    name: str
    file: str
    line: int
    mode: Mode
    outcome: Outcome
    reasons: tuple[Reason, ...]
    actions: tuple[PlannedAction, ...]
    effects: tuple[Effect, ...] = ()
    waits_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen for one event, and which rulebook says so.

    Without reasons asked for, `rules` holds only those that do something else than not fire. `effects` are those of
    rules that only watch such an event. With `asks` it is no plan yet: it is made again with the answers in memory.
    """

    rules: tuple[RulePlan, ...]
    rulebook: str
    effects: tuple[Effect, ...] = ()
    asks: tuple[Ask, ...] = ()

    @property
    def all_effects(self) -> tuple[Effect, ...]:
        """What the event changes beside its deliveries."""
        return (*(effect for rule in self.rules for effect in rule.effects), *self.effects)


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
