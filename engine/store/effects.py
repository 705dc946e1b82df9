"""What an event changes beside its deliveries, written in the transaction that records its judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from engine.model import Arm, Cancel, Cell, Effect, Gather, Hasten, Leave, Remember, Tell
from engine.store.sql import Insert, Listed, Runner, Statement, Upsert, word
from engine.store.tables import cell, collected, timer, timer_key
from engine.store.text import clean, maybe_micros, micros
from engine.store.values import Answered, Judged, Overtaken
from engine.store.waitlist import told

_json = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Cause:
    """The event whose effects are written, by which rulebook and when.

    `origin` is the event that a timer goes on with, None for a clock's; `about` is what that one is about.
    """

    event: int
    origin: int | None
    about: str
    rulebook: str
    now: int

    @classmethod
    def of(cls, event: int, judged: Judged) -> Cause:
        """A judged event as the cause of its effects."""
        origin = int(judged.origin) if judged.origin else None
        return cls(event, origin, clean(judged.about), judged.rulebook, micros(judged.planned_at))


def still_due(runner: Runner, judged: Judged) -> list[Effect]:
    """The effects of an event that is judged again, without what it set going already: nothing is done twice for it."""
    going = {(row[0], row[1]) for row in runner.rows(_OF_EVENT, number=int(judged.origin or 0))}
    return [
        effect
        for effect in judged.effects
        if not isinstance(effect, Gather | Tell)
        and not (isinstance(effect, Arm) and (effect.rule, effect.word) in going)
    ]


def check_cells(runner: Runner, judged: Sequence[Judged]) -> None:
    """Raise `Overtaken` where what rules remember has changed since they were told it: another process was quicker."""
    seen: dict[Cell, int] = {}
    for one in judged:
        for ask, answer in one.memory.answers.items():
            if isinstance(ask, Cell):
                seen.setdefault(ask, answer.version)
    for asked, version in sorted(seen.items(), key=lambda one: (one[0].rule, one[0].word, one[0].key)):
        if version_of(runner, asked) != version:
            raise Overtaken("what a rule remembers was changed by somebody else meanwhile")


def version_of(runner: Runner, asked: Cell) -> int:
    """How often a cell was changed."""
    rows = runner.rows(_CELL, rule=clean(asked.rule), word=clean(asked.word), key=clean(asked.key))
    return rows[0][1] if rows else 0


def cell_answer(runner: Runner, asked: Cell) -> Answered:
    """What a rule remembers."""
    rows = runner.rows(_CELL, rule=clean(asked.rule), word=clean(asked.word), key=clean(asked.key))
    return Answered(rows[0][0].encode(), rows[0][1]) if rows else Answered()


def apply(runner: Runner, effects: Sequence[Effect], cause: Cause) -> None:
    """Write effects in their order."""
    for effect in effects:
        _WRITERS[type(effect)](runner, effect, cause)


def _remember(runner: Runner, effect: Remember, cause: Cause) -> None:
    at = (clean(effect.cell.rule), clean(effect.cell.word), clean(effect.cell.key))
    version = version_of(runner, effect.cell) + 1
    # An emptied one stays for a while, so that its version goes on.
    value = clean(_json(effect.value).decode())
    runner.many(_PUT_CELL, [(*at, value, version, maybe_micros(effect.until))])


def _arm(runner: Runner, effect: Arm, cause: Cause) -> None:
    where = {"rule": clean(effect.rule), "word": clean(effect.word), "key": clean(effect.key)}
    there = runner.rows(_ARMED, **where)
    if there and not effect.replace:
        return
    if there:
        end(runner, [there[0][0]], "cancelled", "another time was set for it", cause.now)
    runner.run(
        _ARM,
        **where,
        due_at=micros(effect.due_at),
        armed_at=cause.now,
        text=clean(effect.text),
        event_id=cause.origin,
        about=cause.about,
        rulebook=cause.rulebook,
        fresh=effect.fresh,
    )
    if effect.cancelled_by:
        (made,) = runner.rows(_ARMED, **where)
        runner.many(_KEY, [(clean(key), made[0]) for key in dict.fromkeys(effect.cancelled_by)])


def end(runner: Runner, ids: Sequence[int], state: str, reason: str, now: int) -> int:
    """Let timers wait no more; how many still did."""
    if not ids:
        return 0
    statement = {"cancelled": _CANCELLED, "fired": _FIRED}[state]
    changed = runner.change(statement, list(ids), why=clean(reason), now=now)
    runner.change(_FORGET_KEYS, list(ids))
    return changed


def _found(runner: Runner, effect: Cancel | Hasten) -> list[int]:
    keys = [clean(key) for key in dict.fromkeys(effect.keys)]
    found = runner.listed(_BY_KEYS, keys, rule=clean(effect.rule), word=clean(effect.word)) if keys else []
    return sorted({row[0] for row in found})


def _cancel(runner: Runner, effect: Cancel, cause: Cause) -> None:
    end(runner, _found(runner, effect), "cancelled", effect.because, cause.now)


def _hasten(runner: Runner, effect: Hasten, cause: Cause) -> None:
    if ids := _found(runner, effect):
        runner.change(HASTEN, ids, now=cause.now)


def _gather(runner: Runner, effect: Gather, cause: Cause) -> None:
    if cause.origin is not None:
        row = (clean(effect.rule), clean(effect.key), cause.origin, cause.about, cause.now)
        runner.many(_COLLECT, [row])


def _leave(runner: Runner, effect: Leave, cause: Cause) -> None:
    if effect.about:
        runner.run(_LEAVE_ABOUT, rule=clean(effect.rule), about=clean(effect.about))
    elif effect.events:
        events = [int(event) for event in effect.events]
        runner.change(_LEAVE, events, rule=clean(effect.rule), key=clean(effect.key))


def _tell(runner: Runner, effect: Tell, cause: Cause) -> None:
    told(runner, effect, cause.event, cause.now)


_WRITERS: Mapping[type, Callable[[Runner, Any, Cause], None]] = {
    Remember: _remember,
    Arm: _arm,
    Cancel: _cancel,
    Hasten: _hasten,
    Gather: _gather,
    Leave: _leave,
    Tell: _tell,
}

_CELL = Statement(
    select(cell.c.value, cell.c.version).where(
        cell.c.rule == bindparam("rule"), cell.c.word == bindparam("word"), cell.c.key == bindparam("key")
    )
)
_PUT_CELL = Upsert(cell)
_OF_EVENT = Statement(select(timer.c.rule, timer.c.word).where(timer.c.event_id == bindparam("number")))
_ARMED = Statement(
    select(timer.c.id).where(
        timer.c.rule == bindparam("rule"),
        timer.c.word == bindparam("word"),
        timer.c.key == bindparam("key"),
        timer.c.state == word("armed"),
    )
)
_ARM = Statement(
    insert(timer).values(
        {
            column.name: bindparam(column.name)
            for column in (
                timer.c.rule,
                timer.c.word,
                timer.c.key,
                timer.c.due_at,
                timer.c.armed_at,
                timer.c.text,
                timer.c.event_id,
                timer.c.about,
                timer.c.rulebook,
                timer.c.fresh,
            )
        }
        | {"state": word("armed"), "reason": word("")}
    )
)
_KEY = Insert(timer_key)
_FORGET_KEYS = Listed(lambda keys: delete(timer_key).where(timer_key.c.timer_id.in_(keys)))
_BY_KEYS = Listed(
    lambda keys: (
        select(timer.c.id)
        .select_from(timer_key.join(timer, timer.c.id == timer_key.c.timer_id))
        .where(
            timer_key.c.key.in_(keys),
            timer.c.rule == bindparam("rule"),
            timer.c.word == bindparam("word"),
            timer.c.state == word("armed"),
        )
    )
)


def _ended(state: str) -> Listed:
    return Listed(
        lambda keys: (
            update(timer)
            .values(state=word(state), reason=bindparam("why"), ended_at=bindparam("now"))
            .where(timer.c.id.in_(keys), timer.c.state == word("armed"))
        )
    )


_CANCELLED = _ended("cancelled")
_FIRED = _ended("fired")
HASTEN = Listed(
    lambda keys: (
        update(timer)
        .values(due_at=bindparam("now"))
        .where(timer.c.id.in_(keys), timer.c.state == word("armed"), timer.c.due_at > bindparam("now"))
    )
)
"""Lets timers fall due now that would later."""
_COLLECT = Upsert(collected)
_LEAVE_ABOUT = Statement(
    delete(collected).where(collected.c.rule == bindparam("rule"), collected.c.about == bindparam("about"))
)
_LEAVE = Listed(
    lambda keys: delete(collected).where(
        collected.c.rule == bindparam("rule"),
        collected.c.key == bindparam("key"),
        collected.c.event_id.in_(keys),
    )
)
