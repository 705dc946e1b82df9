"""Events on their way to being judged: handed out, set aside, recorded with what follows from them, judged again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import bindparam, null, or_, select, update

from engine.store.effects import Cause, apply, check_cells, still_due
from engine.store.hands import Busy, Hands
from engine.store.making import Caps, runs, wanted, write
from engine.store.numbering import Numbers
from engine.store.remembering import kept_memory
from engine.store.sql import Insert, Listed, Runner, Statement, Upsert, number, word
from engine.store.tables import body, event, judgement, name, rulebook
from engine.store.text import clean, micros, moment
from engine.store.values import Judged, NotFound, NotPossible, StoredEvent

log = logging.getLogger("shopbell.store")

STARTS = 3
"""How often an event is handed out without an end before it is set aside."""

BYTES = 8 * 1024 * 1024
"""Bytes of bodies handed out together, about."""

_json = msgspec.json.encode


def take_new(runner: Runner, limit: int, after: int, hands: Hands) -> list[StoredEvent]:
    """The oldest events that wait and nobody else has, in their order, each counted as started before it is handed out.

    Of a subject that somebody else is judging an event of, later events wait.

    One that was started before and did not end comes alone, so that whoever it brings down is known; started three
    times, it is set aside, and so is one whose body is not as it was received.
    """
    busy = hands.turn(runner)
    if busy is None:
        return []
    taken: list[StoredEvent] = []
    bad: list[tuple[str, int]] = []
    size = 0
    for row in runner.each(_NEW, after=after, limit=limit, me=hands.owner):
        if busy and _behind(row, busy):
            continue
        stored, sha, starts = _stored(row), row[11], row[8]
        reason = _hindrance(stored, sha, starts)
        if reason:
            bad.append((reason, row[0]))
            continue
        if taken and (starts or taken[0].starts > 1 or size + len(stored.body) > BYTES):
            break
        size += len(stored.body)
        taken.append(stored)
    for reason, id in bad:
        set_aside(runner, id, reason, hands.owner)
    if taken:
        runner.change(_START, [int(one.id) for one in taken], me=hands.owner)
    return taken


def _behind(row: Any, busy: Busy) -> bool:
    """Whether an earlier event of the same is being judged elsewhere."""
    id: int = row[0]
    return min(busy.get(row[3], id), busy.get(row[13], id)) < id


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(
        id=str(row[0]),
        source=row[1],
        type=row[2],
        subject=row[3],
        received_at=moment(row[4]),
        identity=row[5].hex(),
        late=bool(row[6]),
        known=bool(row[7]),
        starts=row[8] + 1,
        before=row[9] or 0,
        run=row[10],
        body=row[12] or b"",
        okey=row[13],
    )


def _hindrance(stored: StoredEvent, sha: bytes, starts: int) -> str:
    if starts >= STARTS:
        return f"the service ended {STARTS} times while this event was being judged; it was set aside so that others go on"
    if sha256(stored.body).digest() != sha:
        return "what is kept of this event is not what was received; the database file may be damaged"
    return ""


def set_aside(runner: Runner, id: int, reason: str, owner: str | None) -> None:
    """Judge an event no more, for a reason that people see; one that somebody else has taken is left as it is."""
    if runner.run(_SET_ASIDE, why=clean(reason), number=id, me=owner):
        log.error("event %s was set aside: %s", id, reason)


def replay(runner: Runner, id: int, resend: bool) -> None:
    """Have an event judged again; what it already sent is sent again only if told. Raises `NotPossible`."""
    rows = runner.rows(_STATE, number=id)
    if not rows:
        raise NotFound(f"There is no event {id} in the record.")
    state, kept = rows[0]
    if state == "new":
        raise NotPossible(f"Event {id} still waits to be judged.")
    if not kept:
        raise NotPossible(f"Event {id} cannot be judged again: its content is no longer kept.")
    runner.run(_REPLAY, again=resend, number=id)


# recording


class Recorder:
    """Records judgements. `numbers` are those of deliveries."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.caps = Caps()

    def record(self, runner: Runner, judged: Sequence[Judged], owner: str | None) -> list[str]:
        """Record judgements and all that follows, and give the numbers of the events that counted.

        An event that does not wait for its judgement any more, or that somebody else has taken, is left as it is.
        """
        ids = [int(one.event_id) for one in judged]
        waiting = {row[0]: row for row in runner.listed(_WAITING, ids, me=owner)}
        counted = {int(one.event_id): one for one in judged if int(one.event_id) in waiting}
        if not counted:
            return []
        check_cells(runner, list(counted.values()))
        runner.change(_EVALUATED, list(counted))
        runner.many(_JUDGEMENT, [_judgement(id, waiting[id][1], one) for id, one in counted.items()])
        runner.many(_NAME, [row for id, one in counted.items() for row in _names(id, one)])
        of = runs(runner, {id: (waiting[id][1], bool(waiting[id][2])) for id in counted})
        write(runner, self.numbers, self.caps.hold(runner, wanted(runner, counted, of)))
        for id, one in counted.items():
            if one.effects:
                again = of[id].number > 1 and not of[id].resend
                effects = still_due(runner, one) if again else one.effects
                apply(runner, of[id].effects(effects), Cause.of(id, one))
        return [str(id) for id in counted]


def _judgement(id: int, run: int, one: Judged) -> tuple[object, ...]:
    outcomes = clean(_json(dict(one.outcomes)).decode())
    return (id, run, one.rulebook, outcomes, kept_memory(one.memory), micros(one.planned_at))


def _names(id: int, one: Judged) -> list[tuple[object, ...]]:
    return [(clean(kind), clean(key), clean(value), id) for (kind, key), value in one.names.items()]


# rulebooks


def keep_rulebook(runner: Runner, hash: str, texts: str, now: int) -> None:
    """Keep the texts of a rulebook, as the one that is now in force."""
    runner.run(_RULEBOOK, hash=hash, texts=texts, loaded_at=now)


_ours = or_(event.c.owner.is_(None), event.c.owner == bindparam("me"))
_NEW = Statement(
    select(
        event.c.id,
        event.c.source,
        event.c.type,
        event.c.subject,
        event.c.received_at,
        event.c.identity,
        event.c.late,
        event.c.known,
        event.c.starts,
        event.c.before_id,
        event.c.run,
        event.c.body_sha256,
        body.c.body,
        event.c.okey,
    )
    .select_from(event.outerjoin(body, body.c.event_id == event.c.id))
    .where(event.c.state == word("new"), event.c.id > bindparam("after"), _ours)
    .order_by(event.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
    .with_for_update(of=event, skip_locked=True)
)
_START = Listed(
    lambda keys: (
        update(event)
        .values(starts=event.c.starts + number(1), owner=bindparam("me"))
        .where(event.c.id.in_(keys))
    )
)
_SET_ASIDE = Statement(
    update(event)
    .values(state=word("failed"), reason=bindparam("why"), owner=null())
    .where(event.c.id == bindparam("number"), event.c.state == word("new"), _ours)
)
_STATE = Statement(
    select(event.c.state, body.c.body.is_not(None))
    .select_from(event.outerjoin(body, body.c.event_id == event.c.id))
    .where(event.c.id == bindparam("number"))
)
_REPLAY = Statement(
    update(event)
    .values(
        state=word("new"),
        run=event.c.run + number(1),
        starts=number(0),
        reason=word(""),
        resend=bindparam("again"),
    )
    .where(event.c.id == bindparam("number"))
)
_WAITING = Listed(
    lambda keys: (
        select(event.c.id, event.c.run, event.c.resend)
        .where(event.c.id.in_(keys), event.c.state == word("new"), _ours)
        .order_by(event.c.id)
        .with_for_update()
    )
)
_EVALUATED = Listed(
    lambda keys: update(event).values(state=word("evaluated"), owner=null()).where(event.c.id.in_(keys))
)
_JUDGEMENT = Insert(judgement)
_NAME = Upsert(name)
_RULEBOOK = Upsert(rulebook)
