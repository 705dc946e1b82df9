"""The tables of the record. Times are whole microseconds since 1970 in UTC; states are the words of `engine.model`.

What changes often is kept apart from what is big: a change rewrites its whole page, so bodies and rendered requests
have tables of their own and are written once.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

ASIDE = ("held", "failed", "dead", "suppressed", "cancelled")
"""The states of deliveries that are neither on their way nor done."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")
"""A row's number: 64 bits; only a plain INTEGER numbers rows by itself on SQLite."""

event = Table(
    "event",
    metadata,
    Column("id", Number, primary_key=True),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # The subject whose order of events this one belongs to: an order for its shipments, else its own.
    Column("okey", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("resend", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("known", Boolean, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("last_seen_at", BigInteger),
    Column("before_id", Number),
    Column("updated_at", BigInteger),
    Column("identity", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("aliases", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Who judges it, for more than one process on PostgreSQL.
    Column("owner", Text),
    sqlite_autoincrement=True,
)

body = Table(
    "body",
    metadata,
    Column("event_id", Number, primary_key=True, autoincrement=False),
    Column("body", LargeBinary),
    Column("headers", Text, nullable=False),
)

identity = Table(
    "identity",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("event_id", Number, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

subject = Table(
    "subject",
    metadata,
    Column("subject", Text, primary_key=True),
    # The newest event that is not late, which is the subject's state, and the newest of all.
    Column("event_id", Number),
    Column("last_id", Number, nullable=False),
    Column("updated_at", BigInteger),
    sqlite_with_rowid=False,
)

alias = Table(
    "alias",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("event_id", Number, nullable=False),
    sqlite_with_rowid=False,
)

judgement = Table(
    "judgement",
    metadata,
    Column("event_id", Number, nullable=False),
    Column("run", Integer, nullable=False),
    Column("rulebook", Text, nullable=False),
    Column("outcomes", Text, nullable=False),
    Column("memory", Text, nullable=False),
    Column("planned_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("event_id", "run"),
    sqlite_with_rowid=False,
)

name = Table(
    "name",
    metadata,
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("event_id", Number, nullable=False),
    PrimaryKeyConstraint("kind", "key"),
    sqlite_with_rowid=False,
)

rulebook = Table(
    "rulebook",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("texts", Text, nullable=False),
    Column("loaded_at", BigInteger, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", Number, primary_key=True),
    Column("event_id", Number, nullable=False),
    Column("run", Integer, nullable=False),
    Column("rule", Text, nullable=False),
    Column("action", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("okey", Text),
    Column("attempt", Integer, nullable=False),
    Column("owner", Text),
    Column("idempotency_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    UniqueConstraint("event_id", "run", "idempotency_key"),
    sqlite_autoincrement=True,
)

request = Table(
    "request",
    metadata,
    Column("delivery_id", Number, primary_key=True, autoincrement=False),
    Column("request", Text, nullable=False),
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", Number, nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("took_ms", BigInteger),
    Column("status", Text, nullable=False),
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("delivery_id", "number"),
    sqlite_with_rowid=False,
)

limiter = Table(
    "limiter",
    metadata,
    # A connection, or what is paced by itself within one (`slack/default#refunds`).
    Column("connection", Text, primary_key=True),
    Column("next_free_at", BigInteger, nullable=False),
    Column("paused_until", BigInteger, nullable=False),
    # Since when it has failed again and again, and why; null while it works.
    Column("failing_since", BigInteger),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""When a connection may be used next; of one that was never paced, paused or broken there is no row."""

cap = Table(
    "cap",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""How many messages a rule has made since the hour began in which it was last counted, and how many were held."""

fallback = Table(
    "fallback",
    metadata,
    Column("delivery_id", Number, primary_key=True, autoincrement=False),
    Column("deliveries", Text, nullable=False),
    # The numbers of the deliveries that were made for it, "-" where none was needed any more.
    Column("made", Text, nullable=False),
)
"""What is done when a delivery has finally failed, as JSON."""

replay = Table(
    "replay",
    metadata,
    Column("id", Number, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("types", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("resend", Boolean, nullable=False),
    # How far it has come: the time and the number of the last event that it gave to be judged.
    Column("at", BigInteger, nullable=False),
    Column("after_id", Number, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    sqlite_autoincrement=True,
)

choice = Table(
    "choice",
    metadata,
    Column("event_id", Number, nullable=False),
    Column("run", Integer, nullable=False),
    Column("rules", Text, nullable=False),
    Column("actions", Text, nullable=False),
    PrimaryKeyConstraint("event_id", "run"),
    sqlite_with_rowid=False,
)
"""Which rules and actions an event is judged again for, where not for all, as JSON lists."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Number, primary_key=True),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Index(None, "received_at"),
    sqlite_autoincrement=True,
)

worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True),
    # By the clock of the database, which all of them share.
    Column("seen_at", BigInteger, nullable=False),
    Column("idle", Boolean, nullable=False),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""The processes that judge and deliver beside each other on PostgreSQL, and when each was last heard of."""

mark = Table(
    "mark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Small numbers the store keeps about itself: up to which event the lists of subjects are written, the last probe."""

note = Table(
    "note",
    metadata,
    Column("name", LargeBinary, primary_key=True),
    Column("text", Text, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What deliveries remember for one another, such as the message that a thread hangs on; its name is a hash."""


cell = Table(
    "cell",
    metadata,
    Column("rule", Text, nullable=False),
    Column("word", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    # Grows with each change, so that what was decided by an older value is noticed.
    Column("version", BigInteger, nullable=False),
    Column("until", BigInteger),
    PrimaryKeyConstraint("rule", "word", "key"),
    sqlite_with_rowid=False,
)
"""What rules remember, as JSON; it may be forgotten after `until`."""

timer = Table(
    "timer",
    metadata,
    Column("id", Number, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("word", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("armed_at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    # The event that it goes on with, null for the next time of a clock, and what that is about.
    Column("event_id", Number),
    Column("about", Text, nullable=False),
    Column("rulebook", Text, nullable=False),
    Column("fresh", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ended_at", BigInteger),
    sqlite_autoincrement=True,
)
"""What falls due: armed, fired (it has become an event of the schedule), or cancelled for a reason."""

timer_key = Table(
    "timer_key",
    metadata,
    Column("key", Text, nullable=False),
    Column("timer_id", Number, nullable=False),
    PrimaryKeyConstraint("key", "timer_id"),
    Index(None, "timer_id"),
    sqlite_with_rowid=False,
)
"""Under which keys an armed timer is found by what cancels it."""

collected = Table(
    "collected",
    metadata,
    Column("rule", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("event_id", Number, nullable=False),
    Column("about", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("rule", "key", "event_id"),
    Index(None, "rule", "about"),
    Index(None, "event_id"),
    sqlite_with_rowid=False,
)
"""The events that rules have collected and not yet told of."""

entry = Table(
    "entry",
    metadata,
    Column("id", Number, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("email", Text, nullable=False),
    # The address as addresses are compared: without case.
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("signed_up_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("ended_at", BigInteger),
    UniqueConstraint("token"),
    sqlite_autoincrement=True,
    info={"people": True},
)
"""The people on the waitlist: pending (not confirmed yet), waiting, told, left, or removed."""

trail = Table(
    "trail",
    metadata,
    Column("entry_id", Number, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("event_id", Number),
    PrimaryKeyConstraint("entry_id", "at", "what"),
    sqlite_with_rowid=False,
)
"""What became of a place on the waitlist, step by step."""


def _partial(name: str, table: Table, where: str, *columns: str) -> Index:
    """An index of the few rows that wait; a statement must write the same words as literals to use it.

    The state is a column of it too, so that counting need not look at the rows.
    """
    condition = text(where)
    return Index(
        f"ix_{table.name}_{name}",
        *(table.c[column] for column in columns),
        sqlite_where=condition,
        postgresql_where=condition,
    )


Index("ix_cell_until", cell.c.until)
_partial("waiting", entry, "state = 'waiting'", "sku", "signed_up_at", "id", "state")
_partial("ended", entry, "state IN ('pending', 'told', 'left', 'removed')", "ended_at", "signed_up_at")
Index("ix_entry_person", entry.c.person, entry.c.sku)
Index(
    "ix_entry_one",
    entry.c.sku,
    entry.c.person,
    unique=True,
    sqlite_where=text("state IN ('pending', 'waiting')"),
    postgresql_where=text("state IN ('pending', 'waiting')"),
)
Index("ix_timer_rule", timer.c.rule, timer.c.id)
Index("ix_timer_event_id", timer.c.event_id)
_partial("armed", timer, "state = 'armed'", "due_at", "id", "state")
_partial("ended", timer, "state IN ('fired', 'cancelled')", "ended_at")
Index(
    "ix_timer_one",
    timer.c.rule,
    timer.c.word,
    timer.c.key,
    unique=True,
    sqlite_where=text("state = 'armed'"),
    postgresql_where=text("state = 'armed'"),
)
Index("ix_event_type", event.c.type, event.c.id)
Index("ix_event_received_at", event.c.received_at, event.c.id)
_partial("new", event, "state = 'new'", "id", "okey", "state")
_partial("taken", event, "state = 'new' AND owner IS NOT NULL", "owner", "id")
_partial("failed", event, "state = 'failed'", "id", "state")
Index("ix_identity_expires_at", identity.c.expires_at)
Index("ix_note_kept_at", note.c.kept_at)
Index("ix_delivery_rule", delivery.c.rule, delivery.c.id)
_partial("queued", delivery, "state = 'queued'", "connection", "due_at", "id", "state", "attempt")
_partial("running", delivery, "state = 'running'", "connection", "id", "state")
_partial(
    "order",
    delivery,
    "state IN ('queued', 'running') AND okey IS NOT NULL",
    "okey",
    "event_id",
    "id",
    "state",
)
_partial("aside", delivery, f"state IN {ASIDE}", "state", "id")
_partial("settled", delivery, "state IN ('done', 'suppressed', 'cancelled')", "finished_at")
