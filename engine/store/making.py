"""Deliveries in the making: what of a judgement is sent (again), what its rule's cap holds, and what is done if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec
from sqlalchemy import bindparam, select, update

from engine.model import DeliveryState, Effect
from engine.store.numbering import Numbers
from engine.store.sql import Insert, Listed, Missing, Runner, Statement, number, words
from engine.store.tables import cap, choice, delivery, fallback, request
from engine.store.text import clean, micros, moment
from engine.store.values import Cap, Judged, NewDelivery


@dataclass(frozen=True, slots=True)
class Run:
    """Which time an event is judged, whether what it sent is sent again, and the rules and actions it is judged for."""

    number: int
    resend: bool
    rules: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()

    def wants(self, new: NewDelivery) -> bool:
        """Whether a delivery is among those chosen; without a choice all are."""
        chosen = not self.rules or new.rule in self.rules
        return chosen and (not self.actions or new.kind in self.actions)

    def effects(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        """The effects of the rules that were chosen."""
        if not self.rules:
            return effects
        return [
            one for one in effects if getattr(one, "rule", None) in self.rules or _of_cell(one) in self.rules
        ]


def _of_cell(effect: Effect) -> str:
    return str(getattr(getattr(effect, "cell", None), "rule", ""))


@dataclass(frozen=True, slots=True)
class Made:
    """A delivery that is made, of which event and run, and when."""

    event: int
    run: int
    new: NewDelivery
    at: int


def runs(runner: Runner, waiting: Mapping[int, tuple[int, bool]]) -> dict[int, Run]:
    """The runs of events, of which the number and whether to send again are given."""
    again = [id for id, (run, _) in waiting.items() if run > 1]
    choices = {(row[0], row[1]): row[2:] for row in runner.listed(_CHOICES, again)} if again else {}
    found = {}
    for id, (run, resend) in waiting.items():
        rules, actions = choices.get((id, run), ("[]", "[]"))
        found[id] = Run(run, resend, _names(rules), _names(actions))
    return found


def _names(text: str) -> frozenset[str]:
    return frozenset(msgspec.json.decode(text, type=list[str]))


def wanted(runner: Runner, judged: Mapping[int, Judged], of: Mapping[int, Run]) -> list[Made]:
    """The deliveries of judgements that are made.

    Of an event that is judged again only the chosen ones; what it has sent is sent again only if told, under a new key,
    so that nobody takes it for a repeat.
    """
    again = [id for id in judged if of[id].number > 1]
    sent = {(id, key) for id, key in runner.listed(_SENT, again)} if again else set()
    made: dict[tuple[int, str], Made] = {}
    for id, one in judged.items():
        run, now = of[id], micros(one.planned_at)
        for new in one.deliveries if run.number == 1 else filter(run.wants, one.deliveries):
            key = new.idempotency_key
            if (id, key) in sent:
                if not run.resend:
                    continue
                new = _renamed(new, run.number)
                key = new.idempotency_key
            made.setdefault((id, key), Made(id, run.number, new, now))
    return list(made.values())


def _renamed(new: NewDelivery, run: int) -> NewDelivery:
    """The delivery under a key that no run before had."""
    instead = tuple(_renamed(one, run) for one in new.or_else)
    return replace(new, idempotency_key=f"{new.idempotency_key}-r{run}", or_else=instead)


# caps


class Caps:
    """Holds what is over a rule's cap. `reached` are the rules that came to theirs and were not told of yet."""

    def __init__(self) -> None:
        self.reached: dict[str, Cap] = {}

    def hold(self, runner: Runner, made: Sequence[Made]) -> list[Made]:
        """The same deliveries, those over their rule's cap held with the reason."""
        rules = {one.new.rule for one in made if _counts(one)}
        if not rules:
            return list(made)
        counts = {
            rule: _Count.locked(runner, rule) for rule in sorted(rules)
        }  # sorted, so that no two wait crosswise
        held = [self._held(counts[one.new.rule], one) if _counts(one) else one for one in made]
        for rule, count in counts.items():
            runner.run(_COUNTED, name=rule, begin=count.since, made=count.sent, over=count.held)
        return held

    def _held(self, count: _Count, one: Made) -> Made:
        limit = one.new.cap
        if limit is None or count.takes(limit, one.at):
            return one
        if count.held == 1:
            self.reached[one.new.rule] = limit
        return replace(one, new=replace(one.new, state=DeliveryState.HELD, reason=over(limit)))


def _counts(one: Made) -> bool:
    return one.new.cap is not None and one.new.state is DeliveryState.QUEUED


def over(limit: Cap) -> str:
    """Why a delivery is held that is over its rule's cap."""
    many = "1 message" if limit.count == 1 else f"{limit.count} messages"
    return f"its rule has made {many} in {_spoken(limit.per)}, which is its cap; send it, or cancel it"


def _spoken(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
    many = seconds // size
    return f"one {unit}" if many == 1 else f"{many} {unit}s"


@dataclass(slots=True)
class _Count:
    """How many deliveries a rule has made and how many were held since its time began."""

    since: int
    sent: int
    held: int

    @classmethod
    def locked(cls, runner: Runner, rule: str) -> _Count:
        runner.run(_BEGIN, rule=rule)
        return cls(*runner.rows(_COUNT, rule=rule)[0])

    def takes(self, limit: Cap, now: int) -> bool:
        """Count one more; whether there is room for it."""
        if now - self.since >= limit.per // timedelta(microseconds=1):
            self.since, self.sent, self.held = now, 0, 0
        room = self.sent < limit.count
        self.sent += room
        self.held += not room
        return room


# writing


def write(runner: Runner, numbers: Numbers, made: Sequence[Made]) -> Sequence[int]:
    """Put deliveries on record, each with its request and what is done if it fails; their numbers."""
    ids = numbers.take(runner, len(made))
    numbered = list(zip(ids, made, strict=True))
    runner.many(_DELIVERY, [_row(id, one) for id, one in numbered])
    runner.many(_REQUEST, [(id, _text(one.new.request_json)) for id, one in numbered])
    runner.many(_FALLBACK, [(id, _encode(one.new.or_else), "") for id, one in numbered if one.new.or_else])
    return ids


def _row(id: int, one: Made) -> tuple[object, ...]:
    new = one.new
    ended = one.at if new.state in ("done", "suppressed", "cancelled") else None
    return (
        id,
        one.event,
        one.run,
        clean(new.rule),
        new.action,
        new.kind,
        clean(new.to),
        clean(new.connection),
        str(new.state),
        micros(new.due_at),
        None if new.okey is None else clean(new.okey),
        0,
        None,
        clean(new.idempotency_key),
        clean(new.reason),
        one.at,
        ended,
    )


def _text(request_json: str | bytes) -> str:
    return clean(request_json if isinstance(request_json, str) else request_json.decode())


# what is done if one fails


class _Kept(msgspec.Struct, frozen=True):
    """A delivery that is made when another has finally failed."""

    rule: str
    action: int
    kind: str
    to: str
    connection: str
    request: str
    state: DeliveryState
    okey: str | None
    key: str
    reason: str
    or_else: list[_Kept] = []


_kept = msgspec.json.Decoder(list[_Kept])


def _encode(or_else: Iterable[NewDelivery]) -> str:
    return clean(msgspec.json.encode([_keep(one) for one in or_else]).decode())


def _keep(new: NewDelivery) -> _Kept:
    return _Kept(
        new.rule,
        new.action,
        new.kind,
        new.to,
        new.connection,
        _text(new.request_json),
        new.state,
        new.okey,
        new.idempotency_key,
        new.reason,
        [_keep(one) for one in new.or_else],
    )


def _again(one: _Kept, now: int) -> NewDelivery:
    return NewDelivery(
        rule=one.rule,
        action=one.action,
        kind=one.kind,
        to=one.to,
        connection=one.connection,
        request_json=one.request,
        state=one.state,
        due_at=moment(now),
        okey=one.okey,
        idempotency_key=one.key,
        reason=one.reason,
        or_else=tuple(_again(other, now) for other in one.or_else),
    )


def release(runner: Runner, numbers: Numbers, failed: Sequence[int], now: int) -> None:
    """Make what is to be done instead of deliveries that have finally failed: of each once, and nothing that went out.

    It is due when they ended, or `now`.
    """
    for id, event, run, ended, text, made in runner.listed(_INSTEAD, failed) if failed else ():
        if made:
            continue
        at = now if ended is None else ended
        sent = {key for _, key in runner.listed(_SENT, [event])}
        instead = [Made(event, run, _again(one, at), at) for one in _kept.decode(text) if one.key not in sent]
        runner.run(_RELEASED, made=",".join(map(str, write(runner, numbers, instead))) or "-", number=id)


def or_else(runner: Runner, id: int) -> tuple[list[NewDelivery], list[int]]:
    """What is done if a delivery finally fails, and the numbers of the deliveries that were made for that."""
    rows = runner.rows(_ONE_INSTEAD, number=id)
    if not rows:
        return [], []
    text, made = rows[0]
    return [_again(one, 0) for one in _kept.decode(text)], [
        int(one) for one in made.split(",") if one.isdigit()
    ]


_SENT = Listed(
    lambda keys: select(delivery.c.event_id, delivery.c.idempotency_key).where(
        delivery.c.event_id.in_(keys),
        delivery.c.state.in_(words("queued", "running", "done")),
    )
)
_CHOICES = Listed(lambda keys: select(choice).where(choice.c.event_id.in_(keys)))
_BEGIN = Missing(cap, since=number(0), sent=number(0), held=number(0))
_COUNT = Statement(
    select(cap.c.since, cap.c.sent, cap.c.held).where(cap.c.rule == bindparam("rule")).with_for_update()
)
_COUNTED = Statement(
    update(cap)
    .values(since=bindparam("begin"), sent=bindparam("made"), held=bindparam("over"))
    .where(cap.c.rule == bindparam("name"))
)
_DELIVERY = Insert(delivery)
_REQUEST = Insert(request)
_FALLBACK = Insert(fallback)
_INSTEAD = Listed(
    lambda keys: (
        select(
            fallback.c.delivery_id,
            delivery.c.event_id,
            delivery.c.run,
            delivery.c.finished_at,
            fallback.c.deliveries,
            fallback.c.made,
        )
        .select_from(fallback.join(delivery, delivery.c.id == fallback.c.delivery_id))
        .where(fallback.c.delivery_id.in_(keys))
    )
)
_ONE_INSTEAD = Statement(
    select(fallback.c.deliveries, fallback.c.made).where(fallback.c.delivery_id == bindparam("number"))
)
_RELEASED = Statement(
    update(fallback).values(made=bindparam("made")).where(fallback.c.delivery_id == bindparam("number"))
)
