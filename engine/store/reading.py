"""The record as people and pages read it: lists with stable cursors, newest first, and everything kept of one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import msgspec
from sqlalchemy import Select, bindparam, func, select, tuple_

from engine.model import Attempt, Delivery, DeliveryState, EventState
from engine.store.delivering import DELIVERY, connections, delivery_of, with_requests
from engine.store.known import KEEP
from engine.store.migrations import HEAD
from engine.store.pacing import Outage, outages
from engine.store.places import place_of
from engine.store.remembering import memory_of
from engine.store.sql import Runner, Statement, number, word, words
from engine.store.tables import ASIDE, attempt, body, delivery, event, judgement, quarantine, rulebook
from engine.store.text import maybe_moment, micros, moment
from engine.store.times import pending_one, pending_page
from engine.store.values import (
    Counts,
    DeliveryRecord,
    EventLine,
    EventRecord,
    KeptRulebook,
    MemoryRow,
    NewerSchema,
    NotFound,
    Page,
    Pending,
    Quarantined,
    StoredEvent,
)

Method = TypeVar("Method", bound=Callable[..., Any])

MOST = 1000
"""Rows on a page at most."""

FAR = 1 << 62
"""A number that no row has."""


def _plainly(method: Method) -> Method:
    """Errors of the database in plain words."""

    @wraps(method)
    def asked(self: Reader, *args: Any, **named: Any) -> Any:
        with self.looking():
            return method(self, *args, **named)

    return cast("Method", asked)


class Reader:
    """Reads the record, and can only read; also beside a service that runs. Used by one thread at a time."""

    def __init__(self, url: str) -> None:
        """Open the database at an address. Raises `StoreUnavailable` and `NewerSchema`."""
        self._database = place_of(url, KEEP).read()
        try:
            self._check()
        except BaseException:
            self._database.close()
            raise

    @_plainly
    def _check(self) -> None:
        current = self._database.revision()
        if current != HEAD:
            raise NewerSchema(
                f"The tables of the database {self._database.place} are of another version of Shopbell "
                f"({current or 'none'}; this one reads {HEAD}). Start the service of this version once, or use that one."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    @contextmanager
    def looking(self) -> Iterator[Runner]:
        """One look at the record; errors of the database in plain words. Raises `StoreUnavailable`."""
        try:
            with self._database.looking():
                yield self._database.runner
        except Exception as error:
            reason = self._database.unavailable(error)
            if reason is None:
                raise
            raise reason from error

    @property
    def runner(self) -> Runner:
        """Runs statements within a look."""
        return self._database.runner

    @property
    def path(self) -> Path | None:
        """The file that is read, None where it is a database that others share."""
        return Path(self._database.place) if self._database.name == "SQLite" else None

    @property
    def kind(self) -> tuple[str, str]:
        """The database's kind and version."""
        return self._database.name, self._database.version

    # events

    @_plainly
    def events(
        self, limit: int = 50, after: str | None = None, type: str | None = None, state: str | None = None
    ) -> Page[EventLine]:
        """Events, newest first, from behind the cursor `after`; of a type and in a state where these are given."""
        statement = _events(type is not None, EventState(state).value if state else "")
        rows = self.runner.rows(statement, after=_cursor(after), limit=_most(limit) + 1, type=type)
        return _page([_line(row) for row in rows], limit)

    @_plainly
    def event(self, id: str | int) -> EventRecord:
        """Everything kept of an event. Raises `NotFound`."""
        rows = self.runner.rows(_EVENT, number=number_of(id, "event"))
        if not rows:
            raise NotFound(f"There is no event {id} in the record.")
        judged = self.runner.rows(_JUDGED, number=rows[0][0])
        return _record(rows[0], judged[0] if judged else None)

    @_plainly
    def history(self, since: datetime, after: str | None = None, limit: int = 200) -> list[StoredEvent]:
        """Events from a time on with their bodies, by the time they came, from behind the one with the number `after`."""
        at, number = micros(since), 0
        if after is not None:
            number = number_of(after, "event")
            at = micros(self.event(number).received_at)
        rows = self.runner.rows(_HISTORY, at=at, after=number, limit=limit)
        return [_stored(row) for row in rows]

    @_plainly
    def memory_of(self, id: str | int) -> MemoryRow:
        """What the planner was told of the past when it last judged an event. Raises `NotFound`."""
        return memory_of(self.runner, number_of(id, "event"))

    # what waits

    @_plainly
    def pending(
        self, limit: int = 50, after: str | None = None, rule: str | None = None, ended: bool = False
    ) -> Page[Pending]:
        """What rules wait for, the next first; with `ended` all that they ever did, the newest first."""
        return pending_page(self.runner, limit, after, rule, ended)

    @_plainly
    def pending_one(self, id: str) -> Pending:
        """One thing that a rule waits for, or did. Raises `NotFound`."""
        return pending_one(self.runner, id)

    # deliveries

    @_plainly
    def deliveries(
        self,
        limit: int = 50,
        after: str | None = None,
        state: str | None = None,
        event: str | int | None = None,
        rule: str | None = None,
    ) -> Page[Delivery]:
        """Deliveries, newest first, from behind the cursor; in a state, of an event, of a rule where these are given."""
        statement = _deliveries(
            DeliveryState(state).value if state else "", event is not None, rule is not None
        )
        about = number_of(event, "event") if event is not None else None
        rows = self.runner.rows(
            statement, after=_cursor(after), limit=_most(limit) + 1, event=about, rule=rule
        )
        return _page([delivery_of(row) for row in rows], limit)

    @_plainly
    def delivery(self, id: str | int) -> DeliveryRecord:
        """Everything kept of a delivery. Raises `NotFound`."""
        rows = self.runner.rows(_DELIVERY, number=number_of(id, "delivery"))
        if not rows:
            raise NotFound(f"There is no delivery {id} in the record.")
        okey, run, created_at, finished_at = rows[0][len(DELIVERY) :]
        tries = tuple(_attempt(row) for row in self.runner.rows(_ATTEMPTS, number=rows[0][0]))
        return DeliveryRecord(
            delivery_of(rows[0]), tries, okey, run, moment(created_at), maybe_moment(finished_at)
        )

    # the rest

    @_plainly
    def quarantined(self, limit: int = 50, after: str | None = None) -> Page[Quarantined]:
        """Bodies that could not be read, newest first, from behind the cursor `after`."""
        rows = self.runner.rows(_QUARANTINE, after=_cursor(after), limit=_most(limit) + 1)
        return _page([_quarantined(row) for row in rows], limit)

    @_plainly
    def quarantined_body(self, id: str | int) -> Quarantined:
        """One body that could not be read. Raises `NotFound`."""
        rows = self.runner.rows(_ONE_QUARANTINED, number=number_of(id, "body"))
        if not rows:
            raise NotFound(f"There is no body {id} in quarantine.")
        return _quarantined(rows[0])

    @_plainly
    def rulebook(self, hash: str) -> KeptRulebook:
        """A rulebook that was in force. Raises `NotFound`."""
        rows = self.runner.rows(_RULEBOOK, hash=hash)
        if not rows:
            raise NotFound(f"There is no rulebook {hash[:12]} in the record.")
        return _kept(rows[0])

    @_plainly
    def latest_rulebook(self) -> Mapping[str, str]:
        """The texts of the rulebook that was last in force, by file name; empty where none ever was."""
        rows = self.runner.rows(_LATEST)
        return _kept(rows[0]).texts if rows else {}

    @_plainly
    def counts(self) -> Counts:
        """What waits, for metrics. The cost grows with what waits, not with what is kept."""
        runner = self.runner
        oldest_new = runner.rows(_OLDEST_NEW)
        grouped = runner.rows(_UNDECIDED)
        for state, statement in _ON_THEIR_WAY.items():
            grouped += [(state, *row) for row in runner.rows(statement)]
        # what was due at one statement can be gone at the next
        dues = [
            row[0] for one in connections(runner) for row in runner.rows(_FIRST_DUE, connection=one) if row[0]
        ]
        return Counts(
            new_events=runner.rows(_NEW)[0][0],
            oldest_new=maybe_moment(oldest_new[0][0] if oldest_new else None),
            failed_events=runner.rows(_FAILED)[0][0],
            deliveries={(DeliveryState(state), connection): many for state, connection, many in grouped},
            oldest_due=maybe_moment(min(dues, default=None)),
            quarantined=runner.rows(_QUARANTINES)[0][0],
        )

    @_plainly
    def outages(self) -> list[Outage]:
        """The connections that fail, by name, with since when and why."""
        return outages(self.runner)

    @_plainly
    def size(self) -> int:
        """Bytes of the database."""
        return self._database.size()


def number_of(id: str | int, kind: str) -> int:
    """The number of a row as a person gave it. Raises `NotFound` for what is no number."""
    text = str(id).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        shown = text if len(text) <= 30 else text[:30] + "…"
        raise NotFound(f'There is no {kind} "{shown}" in the record: each has a number, such as 42.')
    return int(text)


def _cursor(after: str | None) -> int:
    return FAR if after is None else number_of(after, "page")


def _most(limit: int) -> int:
    return max(1, min(limit, MOST))


def _page(items: Sequence[Any], limit: int) -> Page[Any]:
    """A page of those read, one more than shown where another page follows."""
    shown = tuple(items[: _most(limit)])
    return Page(shown, str(shown[-1].id) if len(items) > len(shown) else None)


def _line(row: Any) -> EventLine:
    return EventLine(
        id=str(row[0]),
        source=row[1],
        type=row[2],
        subject=row[3],
        received_at=moment(row[4]),
        state=EventState(row[5]),
        arrivals=row[6],
        late=bool(row[7]),
        known=bool(row[8]),
        reason=row[9],
    )


def _record(row: Any, judged: Any | None) -> EventRecord:
    line = _line(row)
    last_seen_at, starts, identity, note, run, sha, kept, headers = row[10:]
    return EventRecord(
        id=line.id,
        source=line.source,
        type=line.type,
        subject=line.subject,
        body=kept,
        headers=_texts(headers),
        received_at=line.received_at,
        last_seen_at=maybe_moment(last_seen_at),
        state=line.state,
        arrivals=line.arrivals,
        late=line.late,
        known=line.known,
        starts=starts,
        identity=identity.hex(),
        note=note,
        reason=line.reason,
        run=run,
        rulebook=judged[0] if judged else "",
        outcomes=_texts(judged[1]) if judged else {},
        planned_at=moment(judged[2]) if judged else None,
        intact=kept is None or sha256(kept).digest() == sha,
    )


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
        starts=row[8],
        before=row[9] or 0,
        run=row[10],
        body=row[11],
        okey=row[12],
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(row[0], moment(row[1]), row[2], row[3], row[4], row[5])


def _quarantined(row: Any) -> Quarantined:
    return Quarantined(str(row[0]), row[1], row[2], row[3], _texts(row[4]), moment(row[5]))


def _kept(row: Any) -> KeptRulebook:
    return KeptRulebook(row[0], _texts(row[1]), moment(row[2]))


def _texts(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}


_LINE = (
    event.c.id,
    event.c.source,
    event.c.type,
    event.c.subject,
    event.c.received_at,
    event.c.state,
    event.c.seen,
    event.c.late,
    event.c.known,
    event.c.reason,
)


def _paged(statement: Select[Any], id: Any) -> Statement:
    return Statement(
        statement.where(id < bindparam("after"))
        .order_by(id.desc())
        .limit(bindparam("limit"))
        .offset(number(0))
    )


@lru_cache
def _events(type: bool, state: str) -> Statement:
    statement = select(*_LINE)
    if type:
        statement = statement.where(event.c.type == bindparam("type"))
    if state:
        statement = statement.where(event.c.state == word(state))
    return _paged(statement, event.c.id)


@lru_cache
def _deliveries(state: str, event: bool, rule: bool) -> Statement:
    statement = with_requests()
    if state:
        statement = statement.where(delivery.c.state == word(state))
    if (
        state in ASIDE
    ):  # said in full, or SQLite does not see that the index of these holds what is looked for
        statement = statement.where(delivery.c.state.in_(words(*ASIDE)))
    if event:
        statement = statement.where(delivery.c.event_id == bindparam("event"))
    if rule:
        statement = statement.where(delivery.c.rule == bindparam("rule"))
    # Of those on their way there are few: they are found by their index and sorted, not sought in the whole table.
    few = state in ("queued", "running")
    return _paged(statement, delivery.c.id + number(0) if few else delivery.c.id)


_EVENT = Statement(
    select(
        *_LINE,
        event.c.last_seen_at,
        event.c.starts,
        event.c.identity,
        event.c.note,
        event.c.run,
        event.c.body_sha256,
        body.c.body,
        body.c.headers,
    )
    .select_from(event.outerjoin(body, body.c.event_id == event.c.id))
    .where(event.c.id == bindparam("number"))
)
_JUDGED = Statement(
    select(judgement.c.rulebook, judgement.c.outcomes, judgement.c.planned_at)
    .where(judgement.c.event_id == bindparam("number"))
    .order_by(judgement.c.run.desc())
    .limit(number(1))
    .offset(number(0))
)
_HISTORY = Statement(
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
        body.c.body,
        event.c.okey,
    )
    .select_from(event.join(body, body.c.event_id == event.c.id))
    .where(
        tuple_(event.c.received_at, event.c.id) > tuple_(bindparam("at"), bindparam("after")),
        body.c.body.is_not(None),
    )
    .order_by(event.c.received_at, event.c.id)
    .limit(bindparam("limit"))
    .offset(number(0))
)
_DELIVERY = Statement(
    with_requests()
    .add_columns(delivery.c.okey, delivery.c.run, delivery.c.created_at, delivery.c.finished_at)
    .where(delivery.c.id == bindparam("number"))
)
_ATTEMPTS = Statement(
    select(
        attempt.c.number,
        attempt.c.started_at,
        attempt.c.outcome,
        attempt.c.took_ms,
        attempt.c.status,
        attempt.c.detail,
    )
    .where(attempt.c.delivery_id == bindparam("number"))
    .order_by(attempt.c.number)
)
_QUARANTINE_COLUMNS = (
    quarantine.c.id,
    quarantine.c.source,
    quarantine.c.reason,
    quarantine.c.body,
    quarantine.c.headers,
    quarantine.c.received_at,
)
_QUARANTINE = _paged(select(*_QUARANTINE_COLUMNS), quarantine.c.id)
_ONE_QUARANTINED = Statement(select(*_QUARANTINE_COLUMNS).where(quarantine.c.id == bindparam("number")))
_RULEBOOK = Statement(select(rulebook).where(rulebook.c.hash == bindparam("hash")))
_LATEST = Statement(select(rulebook).order_by(rulebook.c.loaded_at.desc()).limit(number(1)).offset(number(0)))
_NEW = Statement(select(func.count()).select_from(event).where(event.c.state == word("new")))
_OLDEST_NEW = Statement(
    select(event.c.received_at)
    .where(event.c.state == word("new"))
    .order_by(event.c.id)
    .limit(number(1))
    .offset(number(0))
)
_FAILED = Statement(select(func.count()).select_from(event).where(event.c.state == word("failed")))


def _on_their_way(state: str) -> Statement:
    """Grouped by the connection alone, which is the order of the index: nothing is sorted."""
    return Statement(
        select(delivery.c.connection, func.count())
        .where(delivery.c.state == word(state))
        .group_by(delivery.c.connection)
    )


_ON_THEIR_WAY = {state: _on_their_way(state) for state in ("queued", "running")}
_UNDECIDED = Statement(
    select(delivery.c.state, delivery.c.connection, func.count())
    .where(delivery.c.state.in_(words(*ASIDE)), delivery.c.state.in_(words("held", "failed", "dead")))
    .group_by(delivery.c.state, delivery.c.connection)
)
_FIRST_DUE = Statement(
    select(func.min(delivery.c.due_at)).where(
        delivery.c.state == word("queued"), delivery.c.connection == bindparam("connection")
    )
)
_QUARANTINES = Statement(select(func.count()).select_from(quarantine))
