"""What rules remember, wait for and collect, the people who wait for a product, paces, caps and several processes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of time words, the waitlist, delivering in step, and processes beside each other."""
    op.create_table(
        "cell",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("rule", "word", "key", name="pk_cell"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cell_until", "cell", ["until"])
    op.create_table(
        "timer",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("armed_at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("event_id", NUMBER, nullable=True),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("rulebook", sa.Text(), nullable=False),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_timer"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_timer_rule", "timer", ["rule", "id"])
    op.create_index("ix_timer_event_id", "timer", ["event_id"])
    _partial("ix_timer_armed", "timer", "state = 'armed'", "due_at", "id", "state")
    _partial("ix_timer_ended", "timer", "state IN ('fired', 'cancelled')", "ended_at")
    _partial("ix_timer_one", "timer", "state = 'armed'", "rule", "word", "key", unique=True)
    op.create_table(
        "timer_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("timer_id", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("key", "timer_id", name="pk_timer_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_timer_key_timer_id", "timer_key", ["timer_id"])
    op.create_table(
        "collected",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event_id", NUMBER, nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "key", "event_id", name="pk_collected"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_collected_rule_about", "collected", ["rule", "about"])
    op.create_index("ix_collected_event_id", "collected", ["event_id"])
    op.create_table(
        "entry",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("signed_up_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_entry"),
        sa.UniqueConstraint("token", name="uq_entry_token"),
        sqlite_autoincrement=True,
    )
    _partial("ix_entry_waiting", "entry", "state = 'waiting'", "sku", "signed_up_at", "id", "state")
    _partial(
        "ix_entry_ended",
        "entry",
        "state IN ('pending', 'told', 'left', 'removed')",
        "ended_at",
        "signed_up_at",
    )
    _partial("ix_entry_one", "entry", "state IN ('pending', 'waiting')", "sku", "person", unique=True)
    op.create_index("ix_entry_person", "entry", ["person", "sku"])
    op.create_table(
        "trail",
        sa.Column("entry_id", NUMBER, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("event_id", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("entry_id", "at", "what", name="pk_trail"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cap",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name="pk_cap"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "choice",
        sa.Column("event_id", NUMBER, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "run", name="pk_choice"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fallback",
        sa.Column("delivery_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("deliveries", sa.Text(), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_fallback"),
    )
    op.create_table(
        "limiter",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("next_free_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_until", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", name="pk_limiter"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "note",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_note"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_note_kept_at", "note", ["kept_at"])
    op.create_table(
        "replay",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("resend", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("after_id", NUMBER, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_replay"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("idle", sa.Boolean(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
        sqlite_with_rowid=False,
    )
    _partial("ix_event_taken", "event", "state = 'new' AND owner IS NOT NULL", "owner", "id")
    op.drop_index("ix_delivery_queued", "delivery")
    _partial(
        "ix_delivery_queued",
        "delivery",
        "state = 'queued'",
        "connection",
        "due_at",
        "id",
        "state",
        "attempt",
    )


def _partial(name: str, table: str, where: str, *columns: str, **more: Any) -> None:
    condition = sa.text(where)
    op.create_index(name, table, list(columns), sqlite_where=condition, postgresql_where=condition, **more)
