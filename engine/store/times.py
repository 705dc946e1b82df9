"""What waits and what is remembered, as judging and people use it.

* What falls due becomes an event of the schedule in the same transaction: it fires once, whoever stops when.
* It does not fire while an event that came before its time waits to be judged: that one may cancel it.
* At most so many events of the schedule wait at a time, so that new events are not held up by a backlog.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import bindparam, false, func, select, tuple_, update

from engine.model import SCHEDULE, Arm, Ask, Cell, Gathered, Happened, Waiting
from engine.store import effects
from engine.store.places import Knowledge
from engine.store.remembering import EVENT, WITH_BODY, events_of, newest, stored
from engine.store.sql import Runner, Statement, number, word
from engine.store.tables import body, collected, event, timer
from engine.store.text import clean, maybe_moment, micros, moment
from engine.store.thread import Appending
from engine.store.values import Answered, Arrival, NotFound, NotPossible, Page, Pending, StoredEvent
from engine.store.waitlist import next_in_turn

Result = TypeVar("Result")


class Runs(Protocol):
    """Runs a call with the database's statements, in the thread that they belong to."""

    def __call__(self, call: Callable[[Runner], Result], /) -> Awaitable[Result]:
        """What the call gives."""
        ...


TOGETHER = 200
"""Events of the schedule that wait to be judged at most: more fall due as these are judged."""

FOREVER = timedelta(days=36500)

_json = msgspec.json.encode


class Times:
    """The part of the record that rules' words of time need.

    `write` and `read` run a call on the store's threads, `appender` gives what keeps events, `fired` tells that there are
    new ones.
    """

    def __init__(
        self,
        write: Runs,
        read: Runs,
        knowledge: Knowledge,
        appender: Callable[[], Appending],
        fired: Callable[[], None],
    ) -> None:
        self._write = write
        self._read = read
        self._knowledge = knowledge
        self._appender = appender
        self._fired = fired

    # for judging

    async def origins(self, events: Sequence[str]) -> Mapping[str, StoredEvent]:
        """Events by number, without those whose content is no longer kept."""
        ids = {int(one) for one in events}
        found: dict[int, StoredEvent] = await self._read(lambda runner: events_of(runner, ids))
        return {event.id: event for event in found.values()}

    async def newest(self, subjects: Sequence[str]) -> Mapping[str, tuple[str, bytes]]:
        """The number and body of each subject's newest event, late ones left out."""
        wanted = frozenset(subjects)
        return await self._read(lambda runner: newest(runner, self._knowledge, wanted))

    async def answers(self, asks: Sequence[Ask]) -> Mapping[Ask, Answered]:
        """What the record answers to rules."""
        return await self._read(lambda runner: {ask: answer(runner, ask) for ask in asks})

    # what falls due

    async def fire(self, now: datetime, limit: int = TOGETHER) -> int:
        """Make events of what has fallen due, oldest first; their number."""
        at = micros(now)
        fired: int = await self._write(lambda runner: _fire(runner, self._appender(), at, limit))
        if fired:
            self._fired()
        return fired

    async def next_due(self) -> datetime | None:
        """When the next thing falls due."""
        rows: list[Any] = await self._read(lambda runner: runner.rows(_NEXT))
        return maybe_moment(rows[0][0])

    async def stand(self, arms: Sequence[Arm], rules: Collection[str], rulebook: str, now: datetime) -> int:
        """Have all armed that must fall due though nothing happens, and nothing for rules that are not there any more.

        A clock whose words are the same keeps its next time, also one that has passed: it fires late, and once. What
        waits for events of a rule that is gone is cancelled, with that reason; its number is given.
        """
        at, there = micros(now), frozenset(rules)
        return await self._write(lambda runner: _stand(runner, arms, there, rulebook, at))

    async def give_grace(self, words: Mapping[str, timedelta], now: datetime) -> None:
        """Let what fell due while the service was away wait a moment longer, by word: what was missed arrives first."""
        at = micros(now)
        until = {each: micros(now + grace) for each, grace in words.items()}
        await self._write(
            lambda runner: [runner.run(_GRACE, word=each, until=then, now=at) for each, then in until.items()]
        )

    # for people

    async def pending(
        self, limit: int = 50, after: str | None = None, rule: str | None = None, ended: bool = False
    ) -> Page[Pending]:
        """What waits, the next first; with `ended` also what does no longer, the newest first."""
        return await self._read(lambda runner: pending_page(runner, limit, after, rule, ended))

    async def cancel(self, id: str, now: datetime, reason: str) -> None:
        """Let something never fall due. Raises `NotFound`, and `NotPossible` where it waits no more."""
        at = micros(now)
        await self._write(lambda runner: effects.end(runner, [_waiting(runner, id)], "cancelled", reason, at))

    async def send_now(self, id: str, now: datetime) -> None:
        """Let something fall due now. Raises as `cancel` does."""
        at = micros(now)
        await self._write(lambda runner: runner.change(effects.HASTEN, [_waiting(runner, id)], now=at))

    async def move(self, rule: str, rulebook: str) -> int:
        """Have all that waits for a rule go on with its version of today; how many that are."""
        changed: int = await self._write(
            lambda runner: runner.run(_MOVE, rule=clean(rule), rulebook=rulebook)
        )
        return changed


def answer(runner: Runner, ask: Ask) -> Answered:
    """What the record answers to a rule."""
    if isinstance(ask, Cell):
        return effects.cell_answer(runner, ask)
    if isinstance(ask, Gathered):
        rows = runner.rows(_GATHERED, rule=clean(ask.rule), key=clean(ask.key))
        return Answered(events=tuple(stored(row) for row in rows))
    if isinstance(ask, Happened):
        return Answered(events=_happened(runner, ask))
    return _people(runner, ask)


def _people(runner: Runner, ask: Waiting) -> Answered:
    return Answered(_json(next_in_turn(runner, ask)))


def _happened(runner: Runner, ask: Happened) -> tuple[StoredEvent, ...]:
    since = micros(ask.since)
    ((first,),) = runner.rows(_FIRST_SINCE, since=since)
    if first is None:
        return ()
    rows = [
        row
        for name in ask.types
        for row in runner.rows(_OF_TYPE, type=clean(name), first=first, since=since, limit=ask.limit)
    ]
    newest = sorted(rows, key=lambda row: row[0])[-ask.limit :]
    return tuple(stored(row) for row in newest)


# falling due


def _fire(runner: Runner, appender: Appending, now: int, limit: int) -> int:
    waiting = runner.rows(_NEW)
    scheduled = sum(1 for source, _ in waiting if source == SCHEDULE)
    before = next((at for source, at in waiting if source != SCHEDULE), None)
    room = min(limit, TOGETHER - scheduled)
    until = now if before is None else min(now, before - 1)
    rows = runner.rows(_DUE, until=until, limit=room) if room > 0 else []
    if not rows:
        return 0
    effects.end(runner, [row[0] for row in rows], "fired", "", now)
    appender.append(runner, [(_arrival(row), now) for row in rows])
    return len(rows)


def _arrival(row: Any) -> Arrival:
    id, rule, each, key, due_at, origin, rulebook = row
    said = {
        "rule": rule,
        "word": each,
        "key": key,
        "due_at": moment(due_at).isoformat(),
        "event": None if origin is None else str(origin),
        "rulebook": rulebook,
    }
    name = f"{each.replace(' ', '_')}_due"
    return Arrival(
        source=SCHEDULE,
        type=name,
        subject=f"due:{id}",
        body=_json({"event_name": name, SCHEDULE: said}),
        identity=sha256(b"due:%d" % id).digest(),
        window=FOREVER,
        known=True,
    )


def _stand(runner: Runner, arms: Sequence[Arm], rules: frozenset[str], rulebook: str, now: int) -> int:
    wanted = {(arm.rule, arm.word, arm.key): arm for arm in arms}
    gone: list[int] = []
    lost = 0
    for id, rule, each, key, text, fresh in runner.rows(_STANDING):
        arm = wanted.get((rule, each, key))
        if rule not in rules or (fresh and (arm is None or arm.text != text)):
            gone.append(id)
            lost += not fresh
        else:
            wanted.pop((rule, each, key), None)
    effects.end(runner, gone, "cancelled", "the rule is there no more, or says another time", now)
    effects.apply(runner, list(wanted.values()), effects.Cause(0, None, "", rulebook, now))
    return lost


# people


def _waiting(runner: Runner, id: str) -> int:
    rows = runner.rows(_TIMER, number=int(id)) if id.isascii() and id.isdigit() else []
    if not rows:
        raise NotFound(f"Nothing with the number {id} is waiting.")
    one = _pending(rows[0])
    if one.state != "armed":
        happened = "has fallen due already" if one.state == "fired" else "was cancelled already"
        raise NotPossible(f"Number {id} waits no more: it {happened}.")
    return int(id)


def pending_page(
    runner: Runner, limit: int, after: str | None, rule: str | None, ended: bool
) -> Page[Pending]:
    """A page of what waits, or of all that ever did."""
    most = max(1, min(limit, 1000))
    wanted = {"rule": clean(rule)} if rule is not None else {}
    statement = _page(ended, rule is not None)
    if ended:
        rows = runner.rows(statement, after=int(after or 1 << 62), limit=most + 1, **wanted)
        items = [_pending(row) for row in rows]
        return Page(tuple(items[:most]), items[most - 1].id if len(items) > most else None)
    due_at, id = (int(part) for part in (after or "-1.0").split("."))
    rows = runner.rows(statement, due_at=due_at, after=id, limit=most + 1, **wanted)
    items = [_pending(row) for row in rows]
    last = items[most - 1] if len(items) > most else None
    return Page(tuple(items[:most]), f"{micros(last.due_at)}.{last.id}" if last else None)


def pending_one(runner: Runner, id: str) -> Pending:
    """One thing that waits or did. Raises `NotFound`."""
    rows = runner.rows(_TIMER, number=int(id)) if id.isascii() and id.isdigit() else []
    if not rows:
        raise NotFound(f"Nothing with the number {id} is waiting.")
    return _pending(rows[0])


def _pending(row: Any) -> Pending:
    return Pending(
        id=str(row[0]),
        rule=row[1],
        word=row[2],
        key=row[3],
        text=row[4],
        event="" if row[5] is None else str(row[5]),
        about=row[6],
        state=row[7],
        armed_at=moment(row[8]),
        due_at=moment(row[9]),
        rulebook=row[10],
        reason=row[11],
        ended_at=maybe_moment(row[12]),
    )


_GATHERED = Statement(
    select(*EVENT)
    .select_from(collected.join(WITH_BODY, event.c.id == collected.c.event_id))
    .where(
        collected.c.rule == bindparam("rule"),
        collected.c.key == bindparam("key"),
        body.c.body.is_not(None),
    )
    .order_by(collected.c.event_id)
)
_FIRST_SINCE = Statement(select(func.min(event.c.id)).where(event.c.received_at >= bindparam("since")))
_OF_TYPE = Statement(
    select(*EVENT)
    .select_from(WITH_BODY)
    .where(
        event.c.type == bindparam("type"),
        event.c.id >= bindparam("first"),
        event.c.received_at >= bindparam("since"),
        body.c.body.is_not(None),
    )
    .order_by(event.c.id.desc())
    .limit(bindparam("limit"))
    .offset(number(0))
)
_NEW = Statement(
    select(event.c.source, event.c.received_at)
    .where(event.c.state == word("new"))
    .order_by(event.c.id)
    .limit(number(TOGETHER + 1))
    .offset(number(0))
)
_DUE = Statement(
    select(
        timer.c.id,
        timer.c.rule,
        timer.c.word,
        timer.c.key,
        timer.c.due_at,
        timer.c.event_id,
        timer.c.rulebook,
    )
    .where(timer.c.state == word("armed"), timer.c.due_at <= bindparam("until"))
    .order_by(timer.c.due_at, timer.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_NEXT = Statement(select(func.min(timer.c.due_at)).where(timer.c.state == word("armed")))
_STANDING = Statement(
    select(timer.c.id, timer.c.rule, timer.c.word, timer.c.key, timer.c.text, timer.c.fresh).where(
        timer.c.state == word("armed")
    )
)
_GRACE = Statement(
    update(timer)
    .values(due_at=bindparam("until"))
    .where(
        timer.c.state == word("armed"), timer.c.word == bindparam("word"), timer.c.due_at <= bindparam("now")
    )
)
_MOVE = Statement(
    update(timer)
    .values(rulebook=bindparam("rulebook"))
    .where(timer.c.rule == bindparam("rule"), timer.c.state == word("armed"))
)
_PENDING_COLUMNS = (
    timer.c.id,
    timer.c.rule,
    timer.c.word,
    timer.c.key,
    timer.c.text,
    timer.c.event_id,
    timer.c.about,
    timer.c.state,
    timer.c.armed_at,
    timer.c.due_at,
    timer.c.rulebook,
    timer.c.reason,
    timer.c.ended_at,
)


@cache
def _page(ended: bool, of_rule: bool) -> Statement:
    """What waits in the order in which it falls due, or all that ever did, the newest first; of one rule or of all."""
    wanted = select(*_PENDING_COLUMNS).limit(bindparam("limit")).offset(number(0))
    if of_rule:
        wanted = wanted.where(timer.c.rule == bindparam("rule"))
    if ended:
        return Statement(wanted.where(timer.c.id < bindparam("after")).order_by(timer.c.id.desc()))
    further = tuple_(timer.c.due_at, timer.c.id) > tuple_(bindparam("due_at"), bindparam("after"))
    armed = timer.c.state == word("armed")
    return Statement(
        wanted.where(armed, timer.c.fresh.is_(false()), further).order_by(timer.c.due_at, timer.c.id)
    )


_TIMER = Statement(select(*_PENDING_COLUMNS).where(timer.c.id == bindparam("number")))
