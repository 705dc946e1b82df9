"""What the store takes and gives: arrivals, events and deliveries on their way, pages of the record, and its refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from engine.model import Ask, Attempt, Delivery, DeliveryState, Effect, EventState

Row = TypeVar("Row")


class StoreError(Exception):
    """The store could not do what was asked; the text says why in plain words."""


class StoreUnavailable(StoreError):
    """The database cannot be written or read just now: locked, full, read-only, damaged. Nothing was recorded."""


class AnotherProcess(StoreError):
    """Another process works with the same database file."""


class NewerSchema(StoreError):
    """The database was last opened by a newer version, whose tables this one does not know."""


class FileGone(BaseException):
    """The database file is no longer where it was: whoever writes it must end. The text says what was done and to do."""


class NotPossible(StoreError):
    """What was asked does not fit the state of a row; nothing was changed."""


class Overtaken(NotPossible):
    """What rules were told has changed before their judgement was recorded; they are to be asked again."""


class NotFound(StoreError):
    """The record has no such row."""


# Arrival and Appended are made once for each request, before its answer: a struct costs a sixth of a frozen dataclass.
class Arrival(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An event as its source read it, ready to be kept.

    `identity` is the 32 bytes that a repeat shares, `window` how long a repeat may come after. `superseded` says that
    a repeat counts only while its event is the newest of its subject. `updated_at` is the object's own time stamp in
    microseconds since 1970. `aliases` are other subjects that belong to this one. `note` says what was unusual.
    """

    source: str
    type: str
    subject: str
    body: bytes
    identity: bytes
    window: timedelta
    superseded: bool = False
    updated_at: int | None = None
    aliases: tuple[str, ...] = ()
    known: bool = True
    note: str = ""
    headers: Mapping[str, str] = {}


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The number of the event that an arrival became, as text, and whether it was a repeat of that event."""

    id: str
    repeat: bool


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event to be judged, with its body as it was received.

    `starts` counts how often it was handed out, this time included. `before` is the number of its subject's newest
    event at its turn, late ones left out; 0 where there was none. `run` grows with each replay. `okey` is the subject
    within which its ordered deliveries go out: the order it belongs to, where that was known, else its own.
    """

    id: str
    source: str
    type: str
    subject: str
    body: bytes
    received_at: datetime
    identity: str
    late: bool
    known: bool
    starts: int
    before: int = 0
    run: int = 1
    okey: str = ""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What is known beside an event: its subject's state before, the order it belongs to, names by key.

    Bodies are as received, None where nothing is known or it is no longer kept; the numbers say which events they are.
    Beside an event of the schedule it is what is known beside `origin`, the event it goes on with, and the newest of that
    one's object. `answers` hold what rules asked for.
    """

    before_event: str | None = None
    before_body: bytes | None = None
    order_event: str | None = None
    order_body: bytes | None = None
    products: Mapping[str, str] = field(default_factory=dict)
    origin: StoredEvent | None = None
    newest_event: str | None = None
    newest_body: bytes | None = None
    answers: Mapping[Ask, Answered] = field(default_factory=dict)


class Answered(msgspec.Struct, frozen=True):
    """What the record answers: plain JSON as text, or events, oldest first.

    `version` grows with each change of a cell, 0 where it is empty: what was decided by an older one does not count.
    """

    value: bytes = b"null"
    version: int = 0
    events: tuple[StoredEvent, ...] | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many deliveries of a rule in a time; what is over waits for a person."""

    count: int
    per: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be recorded: where it goes, its rendered request as JSON text, and when it is due.

    `okey` is the subject within which deliveries go out in order, None for no order. `reason` says why it is held.
    It counts towards the `cap` of its rule, None for none. `or_else` is made when it has finally failed.
    """

    rule: str
    action: int
    kind: str
    to: str
    connection: str
    request_json: str | bytes
    state: DeliveryState
    due_at: datetime
    okey: str | None
    idempotency_key: str
    reason: str = ""
    cap: Cap | None = None
    or_else: tuple[NewDelivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rulebook said of an event: the outcomes other than "does not fire", and what is due for it.

    `memory` is what the planner was told of the past, `names` what this event teaches, by kind and key
    (`("product", "mug-blue")`), `effects` what else it changes: `origin` is the event that what they let fall due goes on
    with, "" for none, and `about` what that one is about.
    """

    event_id: str
    rulebook: str
    outcomes: Mapping[str, str]
    planned_at: datetime
    memory: MemoryRow = field(default_factory=MemoryRow)
    deliveries: Sequence[NewDelivery] = ()
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    effects: Sequence[Effect] = ()
    origin: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that a rule waits for: until when, in words, and for which event.

    `state` is `armed`, `fired` (it has become an event of the schedule) or `cancelled` with its `reason`. `event` is the
    event it goes on with, "" for the next time of a clock. `rulebook` holds the rule as it was when it began to wait.
    """

    id: str
    rule: str
    word: str
    key: str
    text: str
    event: str
    about: str
    state: str
    armed_at: datetime
    due_at: datetime
    rulebook: str
    reason: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a try of a delivery ended: its outcome, what the other side said, and where the delivery stands now.

    `outcome` is `done`, `retry`, `failed` or `unsure`. `due_at` is when the next try is due, None where none is.
    """

    delivery_id: int
    attempt: int
    outcome: str
    status: str = ""
    detail: str = ""
    took_ms: int | None = None
    due_at: datetime | None = None
    state: DeliveryState = DeliveryState.DONE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, newest first; `next` is what to ask for to go on, None on the last page."""

    items: tuple[Row, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event as lists show it. `arrivals` counts it and its repeats."""

    id: str
    source: str
    type: str
    subject: str
    received_at: datetime
    state: EventState
    arrivals: int
    late: bool
    known: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Everything kept of an event.

    `body` is None once it is no longer kept. `outcomes` are those of the newest judgement by rule, others than "does
    not fire"; `rulebook` is the one that judged, "" before. `intact` is false where the body is not as it was received.
    """

    id: str
    source: str
    type: str
    subject: str
    body: bytes | None
    headers: Mapping[str, str]
    received_at: datetime
    last_seen_at: datetime | None
    state: EventState
    arrivals: int
    late: bool
    known: bool
    starts: int
    identity: str
    note: str
    reason: str
    run: int
    rulebook: str = ""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    planned_at: datetime | None = None
    intact: bool = True


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery with every try, what orders it, and when it was made and ended."""

    delivery: Delivery
    tries: tuple[Attempt, ...]
    okey: str | None
    run: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An authentic body that could not be read, and why."""

    id: str
    source: str
    reason: str
    body: bytes
    headers: Mapping[str, str]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class KeptRulebook:
    """The texts of a rulebook by file name, and when it was first in force."""

    hash: str
    texts: Mapping[str, str]
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """What waits: events to be judged and the oldest's arrival, deliveries by state and connection, the oldest due.

    `deliveries` leaves out those that need nothing more (done, suppressed, cancelled).
    """

    new_events: int
    oldest_new: datetime | None
    failed_events: int
    deliveries: Mapping[tuple[DeliveryState, str], int]
    oldest_due: datetime | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class Purged:
    """How many rows went; `kept` counts old events that stay because a delivery of theirs is not settled."""

    events: int
    deliveries: int
    quarantined: int
    kept: int

    @property
    def any(self) -> bool:
        """Whether anything went, so that another batch may be worth it."""
        return bool(self.events or self.deliveries or self.quarantined)


@dataclass(frozen=True, slots=True)
class Health:
    """The database as operators see it: its kind and version, its size in bytes, and how commits went lately."""

    database: str
    version: str
    size: int
    commits: int
    rows_in_last_commit: int
    last_commit_ms: float


Wanted = tuple[StoredEvent, bool, str, Sequence[str]]
"""What is wanted beside an event: its subject's state before, the subject whose order is sought, keys of products."""
