"""What goes to the planner process and comes back: plain values, with bodies and requests as JSON text.

JSON text keeps whole numbers of any size and decimals exact on their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from engine.actions.base import Destinations
from engine.language.scope import Shop
from engine.model import Ask, Effect, Event, Gap, Outcome, Plan, PlannedAction, RulePlan

_json = msgspec.json.Encoder(decimal_format="number")
_exact = msgspec.json.Decoder(float_hook=Decimal)


class ShopFacts(msgspec.Struct, frozen=True):
    """The shop's facts as plain values."""

    name: str
    timezone: str
    currency: str
    locale: str
    holidays: frozenset[date] = frozenset()

    @classmethod
    def of(cls, shop: Shop) -> ShopFacts:
        """The facts of a shop; its zone must have a name."""
        return cls(shop.name, str(shop.timezone), shop.currency, shop.locale, shop.holidays)

    def shop(self) -> Shop:
        """The shop that these facts describe."""
        return Shop(self.name, ZoneInfo(self.timezone), self.currency, self.locale, self.holidays)


class Load(msgspec.Struct, frozen=True, tag=True):
    """Texts to make a rulebook of."""

    texts: dict[str, str]
    shop: ShopFacts
    destinations: dict[str, dict[str, dict[str, Any]]]
    destinations_known: bool


class Kept(msgspec.Struct, frozen=True):
    """An event on record, its body as it was received."""

    id: str
    source: str
    type: str
    subject: str
    received_at: datetime
    identity: str
    late: bool
    body: bytes


class Known(msgspec.Struct, frozen=True):
    """The answer to what a rule asked: plain JSON as text, or events."""

    ask: Ask
    value: bytes = b"null"
    events: list[Kept] | None = None


class Older(msgspec.Struct, frozen=True):
    """The text that a rule had when it began to wait for what now falls due, where it has another one today."""

    file: str
    text: str


class Job(msgspec.Struct, frozen=True):
    """One event to judge, with what is known of the past; bodies as they were received.

    `origin`, `newest` and `older` are for an event of the schedule: the event it goes on with, the newest body of that
    one's object, and the rule as it then was.
    """

    event: Kept
    before: bytes | None = None
    order: bytes | None = None
    products: dict[str, str] = msgspec.field(default_factory=dict)
    origin: Kept | None = None
    newest: bytes | None = None
    older: Older | None = None
    answers: list[Known] = msgspec.field(default_factory=list)


class Judge(msgspec.Struct, frozen=True, tag=True):
    """Events to judge at a moment."""

    jobs: list[Job]
    now: datetime


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The rulebook is in force."""

    hash: str
    rules: int


class Due(msgspec.Struct, frozen=True):
    """One action that is due: its request as JSON text, where it goes, and why it may be held."""

    rule: str
    action: int
    kind: str
    to: str
    connection: str
    request: bytes
    key: str
    held: str = ""
    suppressed: str = ""
    ordered: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What the rulebook said of one event; `error` says why it could not be judged, `asks` what must be known first."""

    id: str
    outcomes: dict[str, str] = msgspec.field(default_factory=dict)
    due: list[Due] = msgspec.field(default_factory=list)
    teaches: dict[str, str] = msgspec.field(default_factory=dict)
    effects: list[Effect] = msgspec.field(default_factory=list)
    asks: list[Ask] = msgspec.field(default_factory=list)
    error: str = ""


class Judged(msgspec.Struct, frozen=True, tag=True):
    """The verdicts, in the order of the jobs, and the rulebook they are by."""

    rulebook: str
    verdicts: list[Verdict]


Request = Load | Judge
Reply = Loaded | Judged
encode = msgspec.msgpack.Encoder().encode
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def to_json(value: Any) -> bytes:
    """Compact JSON with decimals as numbers, exactly as they are."""
    return _json.encode(value)


def from_json(text: bytes) -> Any:
    """JSON with whole numbers of any size, and others as Decimal."""
    return _exact.decode(text)


def destinations_of(load: Load) -> Destinations:
    """The connections that rules may name."""
    return Destinations(load.destinations, load.destinations_known)


def verdict_of(event: Event, plan: Plan, teaches: Mapping[str, str]) -> Verdict:
    """A plan as a verdict: outcomes other than "does not fire", what is due and what is remembered."""
    if plan.asks:
        return Verdict(event.id, asks=list(plan.asks))
    return Verdict(
        id=event.id,
        outcomes={
            rule.id: rule.outcome.value for rule in plan.rules if rule.outcome is not Outcome.DOES_NOT_FIRE
        },
        due=[
            _due(rule, one)
            for rule in plan.rules
            for action in rule.actions
            for one in (action.parts or (action,))
        ],
        teaches=dict(teaches),
        effects=list(plan.all_effects),
    )


def _due(rule: RulePlan, action: PlannedAction) -> Due:
    in_test = "the rule is in mode test" if rule.mode == "test" else ""
    return Due(
        rule=rule.id,
        action=action.number,
        kind=action.kind,
        to=action.to,
        connection=f"{action.kind}/{action.lane}",
        request=to_json(action.request),
        key=action.idempotency_key,
        held=held_reason(action.gaps) if action.held else "",
        suppressed=in_test or action.suppressed,
        ordered=action.ordered,
    )


def held_reason(gaps: Iterable[Gap]) -> str:
    """Why a message with gaps waits for a person, in one sentence."""
    told = "; ".join(f"line {gap.line}: {gap.because}" for gap in gaps)
    return f"a value could not be filled in ({told})"


def decode_request(frame: bytes) -> Request:
    """What the planner process is asked."""
    return _requests.decode(frame)


def decode_reply(frame: bytes) -> Reply:
    """What the planner process answers."""
    return _replies.decode(frame)
