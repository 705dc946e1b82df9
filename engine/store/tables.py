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

mark = Table(
    "mark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Small numbers the store keeps about itself: up to which event the lists of subjects are written, the last probe."""


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


Index("ix_event_type", event.c.type, event.c.id)
Index("ix_event_received_at", event.c.received_at, event.c.id)
_partial("new", event, "state = 'new'", "id", "okey", "state")
_partial("failed", event, "state = 'failed'", "id", "state")
Index("ix_identity_expires_at", identity.c.expires_at)
Index("ix_delivery_rule", delivery.c.rule, delivery.c.id)
_partial("queued", delivery, "state = 'queued'", "connection", "due_at", "id", "state")
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
note = Table(
    "note",
    metadata,
    Column("name", LargeBinary, primary_key=True),
    Column("text", Text, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What deliveries remember for one another, such as the message that a thread hangs on; its name is a hash."""

Index("ix_note_kept_at", note.c.kept_at)
