"""Deliveries on their way: claimed in order, finished by whoever claimed them, taken up again, decided on by people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import msgspec
from sqlalchemy import Select, and_, bindparam, exists, func, null, or_, select, tuple_, update

from engine.model import Delivery, DeliveryState
from engine.store.pacing import Claiming, Limits, Paces, Rooms, whole
from engine.store.sql import Insert, Listed, Runner, Statement, number, word, words
from engine.store.tables import attempt, delivery, event, request
from engine.store.text import clean, maybe_micros, moment
from engine.store.values import Finished, NotFound, NotPossible

UNSURE = 3
"""How often the process may end with a delivery under way before it is not tried again."""

FRESH = 4_000_000
"""Microseconds for which a delivery that was never tried is new, and passes by what has been due for longer."""

_request = msgspec.json.Decoder(float_hook=Decimal).decode


def claim(
    runner: Runner, limit: int, now: int, rooms: Rooms, owner: str, limits: Limits, paces: Paces
) -> list[Delivery]:
    """Take deliveries that are due, and note the try of each before it is made.

    No connection gets more than its room, or more than its pace and its pauses leave it. Each takes its oldest first;
    where more is due than it has room for, half of its places go to what is new. An ordered one
    is not due while an earlier one of its order is on its way, or an earlier event of it waits to be judged.
    """
    claiming = Claiming(runner, limits, paces, now)
    found: list[tuple[int, Any]] = []
    for connection in connections(runner):
        most = claiming.room(connection, min(limit, rooms.of(whole(connection))))
        if most > 0:
            found += enumerate(_due(runner, connection, now, most, limits))
    taken = sorted(_within(found, limit, rooms), key=lambda row: (row[_DUE_AT], row[0]))
    if taken:
        claiming.took(Counter(row[_CONNECTION] for row in taken))
        runner.change(_CLAIM, [row[0] for row in taken], me=owner)
        runner.many(_ATTEMPT, [(row[0], row[_ATTEMPTS] + 1, now, "running", None, "", "") for row in taken])
    return [delivery_of(row, DeliveryState.RUNNING, row[_ATTEMPTS] + 1) for row in taken]


def _due(runner: Runner, connection: str, now: int, most: int, limits: Limits) -> list[Any]:
    """What is due for a connection: the oldest, beside a backlog by turns with what is new."""
    oldest = runner.rows(_DUE, connection=connection, now=now, limit=most)
    if len(oldest) < most:
        return oldest
    half = (most + limits.turn(connection)) // 2
    if not half:
        return oldest
    new = runner.rows(_NEW, connection=connection, now=now, since=now - FRESH, limit=half)
    rows = {row[0]: row for pair in zip_longest(new, oldest) for row in pair if row is not None}
    return list(rows.values())[:most]


def _within(found: list[tuple[int, Any]], limit: int, rooms: Rooms) -> Iterator[Any]:
    """Of what was found, with its place within its connection, what there is room for; all connections in turn."""
    left = Counter[str]()
    for _, row in sorted(found, key=lambda one: (one[0], one[1][_DUE_AT], one[1][0])):
        about = whole(row[_CONNECTION])
        if left.total() < limit and left[about] < rooms.of(about):
            left[about] += 1
            yield row


def connections(runner: Runner) -> list[str]:
    """The connections that anything is queued for, found by stepping from one to the next in the index."""
    return [row[0] for row in runner.rows(_CONNECTIONS) if row[0] is not None]


def next_due(runner: Runner, now: int, exclude: Collection[str]) -> int | None:
    """When the next delivery falls due that is not due yet, those to connections in `exclude` left out."""
    times = [
        row[0]
        for connection in connections(runner)
        if connection not in exclude
        for row in runner.rows(_NEXT, connection=connection, now=now)
        if row[0] is not None
    ]
    return min(times, default=None)


def strays(runner: Runner, owner: str, known: Collection[int], now: int) -> None:
    """Put back what a process has without knowing: it was claimed in a transaction whose answer was lost on its way."""
    lost = [row[0] for row in runner.listed(_RUNNING_OF, [owner]) if row[0] not in known]
    runner.change(_NOT_BEGUN, lost, why=_LOST)
    for id in lost:
        _place(runner, id, DeliveryState.QUEUED, now)


def finish(runner: Runner, finished: Sequence[Finished], owner: str) -> list[int]:
    """Note how tries ended, and give the deliveries that counted.

    One whose delivery was taken up by somebody else meanwhile does not count and changes nothing.
    """
    return [one.delivery_id for one in finished if _finish(runner, one, owner)]


def _finish(runner: Runner, one: Finished, owner: str) -> bool:
    waits = one.state is DeliveryState.QUEUED
    counted = runner.run(
        _FINISH,
        then=str(one.state),
        due=maybe_micros(one.due_at),
        why=clean(one.reason),
        took=None if waits else (one.took_ms or 0) * 1000,
        number=one.delivery_id,
        attempt_no=one.attempt,
        me=owner,
    )
    if counted:
        runner.run(
            _END_ATTEMPT,
            how=one.outcome,
            took=one.took_ms,
            code=clean(one.status),
            said=clean(one.detail),
            number=one.delivery_id,
            attempt_no=one.attempt,
        )
    return bool(counted)


def recover(
    runner: Runner, asking: Collection[str], now: int, owners: Sequence[str] | None = None
) -> list[Delivery]:
    """Take up what was under way when the process last ended, and give it as it stands now.

    Where several processes share the record, what those in `owners` had under way, and nobody else.

    Nobody knows whether it went out, so its try ends as unsure. It is sent again or waits for a person, as its request
    says, else as is usual for its kind: those in `asking` wait. One that the process has ended with three times is not
    tried again.
    """
    found = runner.rows(_RUNNING) if owners is None else runner.listed(_RUNNING_OF, owners)
    rows = sorted(
        {row[0]: row for row in found}.values()
    )  # there, the table would be read for that, not the index
    if not rows:
        return []
    ids = [row[0] for row in rows]
    runner.change(_UNSURE, ids, why=_STOPPED)
    unsure = Counter(id for (id,) in runner.listed(_UNSURE_TRIES, ids))
    changed = []
    for row in rows:
        state, reason = _then(row, unsure[row[0]], asking)
        ended = None if state is DeliveryState.QUEUED else now
        _place(runner, row[0], state, now, reason, ended)
        changed.append(delivery_of(row, state, row[_ATTEMPTS], reason, now))
    return changed


def _then(row: Any, unsure: int, asking: Collection[str]) -> tuple[DeliveryState, str]:
    if unsure >= UNSURE:
        reason = (
            f"the service ended {unsure} times while this was being sent; it is not tried again by itself"
        )
        return DeliveryState.DEAD, reason
    usual = "ask" if row[_KIND] in asking else "resend"
    if _request(row[_REQUEST]).get("on_unsure", usual) == "ask":
        reason = "the service ended while this was being sent, and nobody knows whether it arrived; send it again or cancel it"
        return DeliveryState.HELD, reason
    return DeliveryState.QUEUED, "the service ended while this was being sent; it is sent again"


def retry(runner: Runner, id: int, now: int) -> None:
    """Have a delivery sent now. Raises `NotPossible` for one that was sent, is being sent, or is only a test."""
    state = _state(runner, id)
    refusal = {
        "done": f"Delivery {id} was sent already; sending it again would double it.",
        "running": f"Delivery {id} is being sent at this moment.",
        "suppressed": f"Delivery {id} belongs to a rule in mode test, which sends nothing.",
    }.get(state)
    if refusal:
        raise NotPossible(refusal)
    _place(runner, id, DeliveryState.QUEUED, now)


def cancel(runner: Runner, id: int, now: int, reason: str) -> None:
    """Have a delivery never sent. Raises `NotPossible` for one that was, is being sent, or is cancelled."""
    state = _state(runner, id)
    refusal = {
        "done": f"Delivery {id} was sent already.",
        "running": f"Delivery {id} is being sent at this moment; cancel it once that has ended.",
        "suppressed": f"Delivery {id} belongs to a rule in mode test, which sends nothing.",
        "cancelled": f"Delivery {id} is cancelled already.",
    }.get(state)
    if refusal:
        raise NotPossible(refusal)
    _place(runner, id, DeliveryState.CANCELLED, now, clean(reason), now)


def _place(
    runner: Runner, id: int, state: DeliveryState, now: int, reason: str = "", ended: int | None = None
) -> None:
    runner.run(_PLACE, then=str(state), due=now, why=reason, ended=ended, number=id)


def _state(runner: Runner, id: int) -> str:
    rows = runner.rows(_STATE, number=id)
    if not rows:
        raise NotFound(f"There is no delivery {id} in the record.")
    return str(rows[0][0])


def delivery_of(
    row: Any,
    state: DeliveryState | None = None,
    attempts: int | None = None,
    reason: str | None = None,
    due: int | None = None,
) -> Delivery:
    """A row of the columns in `DELIVERY` as a delivery, with what has changed since it was read."""
    return Delivery(
        id=row[0],
        event=str(row[1]),
        rule=row[2],
        action=row[3],
        kind=row[_KIND],
        to=row[5],
        connection=row[6],
        request=_request(row[12]),
        state=state or DeliveryState(row[7]),
        attempts=row[_ATTEMPTS] if attempts is None else attempts,
        due_at=moment(row[_DUE_AT] if due is None else due),
        idempotency_key=row[10],
        reason=row[11] if reason is None else reason,
    )


DELIVERY = (
    delivery.c.id,
    delivery.c.event_id,
    delivery.c.rule,
    delivery.c.action,
    delivery.c.kind,
    delivery.c.recipient,
    delivery.c.connection,
    delivery.c.state,
    delivery.c.due_at,
    delivery.c.attempt,
    delivery.c.idempotency_key,
    delivery.c.reason,
    request.c.request,
)
"""The columns a delivery is made of."""

_KIND, _CONNECTION, _DUE_AT, _ATTEMPTS, _REQUEST = 4, 6, 8, 9, 12
_LOST = "the connection to the database broke before this was begun"
_STOPPED = "the process ended before the answer was noted"
_one = number(1)
_earlier = delivery.alias("earlier")


def with_requests() -> Select[Any]:
    """Deliveries with their requests."""
    return select(*DELIVERY).select_from(delivery.join(request, request.c.delivery_id == delivery.c.id))


def _in_turn() -> Any:
    """Whether nothing earlier of the same order is on its way or still to be judged."""
    on_its_way = exists(_one).where(
        _earlier.c.okey == delivery.c.okey,
        _earlier.c.state.in_(words("queued", "running")),
        tuple_(_earlier.c.event_id, _earlier.c.id) < tuple_(delivery.c.event_id, delivery.c.id),
    )
    to_be_judged = exists(_one).where(
        or_(event.c.okey == delivery.c.okey, event.c.subject == delivery.c.okey),
        event.c.state == word("new"),
        event.c.id < delivery.c.event_id,
    )
    return or_(delivery.c.okey.is_(None), and_(~on_its_way, ~to_be_judged))


def _connections() -> Any:
    queued = delivery.c.state == word("queued")
    steps = (
        select(func.min(delivery.c.connection).label("connection")).where(queued).cte("steps", recursive=True)
    )
    further = select(func.min(delivery.c.connection)).where(
        queued, delivery.c.connection > steps.c.connection
    )
    steps = steps.union_all(select(further.scalar_subquery()).where(steps.c.connection.is_not(None)))
    return select(steps.c.connection)


_CONNECTIONS = Statement(_connections())
_DUE = Statement(
    with_requests()
    .where(
        delivery.c.state == word("queued"),
        delivery.c.connection == bindparam("connection"),
        delivery.c.due_at <= bindparam("now"),
        _in_turn(),
    )
    .order_by(delivery.c.due_at, delivery.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
    .with_for_update(of=delivery, skip_locked=True)
)
_NEW = Statement(
    with_requests()
    .where(
        delivery.c.state == word("queued"),
        delivery.c.connection == bindparam("connection"),
        delivery.c.due_at <= bindparam("now"),
        delivery.c.due_at > bindparam("since"),
        delivery.c.attempt == number(0),
        _in_turn(),
    )
    .order_by(delivery.c.due_at, delivery.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
    .with_for_update(of=delivery, skip_locked=True)
)
_NEXT = Statement(
    select(func.min(delivery.c.due_at)).where(
        delivery.c.state == word("queued"),
        delivery.c.connection == bindparam("connection"),
        delivery.c.due_at > bindparam("now"),
    )
)
_CLAIM = Listed(
    lambda keys: (
        update(delivery)
        .values(state=word("running"), attempt=delivery.c.attempt + _one, owner=bindparam("me"))
        .where(delivery.c.id.in_(keys))
    )
)
_ATTEMPT = Insert(attempt)
_FINISH = Statement(
    update(delivery)
    .values(
        state=bindparam("then"),
        due_at=func.coalesce(bindparam("due"), delivery.c.due_at),
        reason=bindparam("why"),
        # The end is the beginning and how long it took, so that no clock is asked here.
        finished_at=select(attempt.c.started_at + bindparam("took"))
        .where(attempt.c.delivery_id == delivery.c.id, attempt.c.number == delivery.c.attempt)
        .scalar_subquery(),
        owner=null(),
    )
    .where(
        delivery.c.id == bindparam("number"),
        delivery.c.attempt == bindparam("attempt_no"),
        delivery.c.owner == bindparam("me"),
        delivery.c.state == word("running"),
    )
)
_END_ATTEMPT = Statement(
    update(attempt)
    .values(
        outcome=bindparam("how"),
        took_ms=bindparam("took"),
        status=bindparam("code"),
        detail=bindparam("said"),
    )
    .where(attempt.c.delivery_id == bindparam("number"), attempt.c.number == bindparam("attempt_no"))
)
_RUNNING = Statement(with_requests().where(delivery.c.state == word("running")))
_RUNNING_OF = Listed(
    lambda keys: (
        with_requests()
        .where(delivery.c.state == word("running"), delivery.c.owner.in_(keys))
        .with_for_update(of=delivery, skip_locked=True)
    )
)
_UNSURE = Listed(
    lambda keys: (
        update(attempt)
        .values(outcome=word("unsure"), detail=bindparam("why"))
        .where(attempt.c.outcome == word("running"), attempt.c.delivery_id.in_(keys))
    )
)
_NOT_BEGUN = Listed(
    lambda keys: (
        update(attempt)
        .values(outcome=word("retry"), detail=bindparam("why"))
        .where(attempt.c.outcome == word("running"), attempt.c.delivery_id.in_(keys))
    )
)
_UNSURE_TRIES = Listed(
    lambda keys: select(attempt.c.delivery_id).where(
        attempt.c.delivery_id.in_(keys), attempt.c.outcome == word("unsure")
    )
)
_STATE = Statement(select(delivery.c.state).where(delivery.c.id == bindparam("number")).with_for_update())
_PLACE = Statement(
    update(delivery)
    .values(
        state=bindparam("then"),
        due_at=bindparam("due"),
        reason=bindparam("why"),
        finished_at=bindparam("ended"),
        owner=null(),
    )
    .where(delivery.c.id == bindparam("number"))
)
