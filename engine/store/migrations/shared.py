"""The tables of a database that several processes share, brought up to date by one of them while others work.

Each revision only adds, and what it makes superfluous goes with a later one: so processes of the version before go on
working beside those of the next. A revision that they could not work with sets the mark `oldest` to its own number.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engine.store import migrations
from engine.store.address import shown
from engine.store.hands import LOCKS
from engine.store.sql import Runner
from engine.store.values import NewerSchema, StoreUnavailable

log = logging.getLogger("shopbell.store")


def upgrade(url: str, runner: Runner, connect: Callable[[], Any]) -> None:
    """Bring a database up to date, all or nothing, unless somebody has. `connect` gives a connection for that alone."""
    if current_revision(runner) != migrations.HEAD:
        connection = connect()
        try:
            _upgrade_locked(connection, url)
        finally:
            connection.close()


def current_revision(runner: Runner) -> str:
    """The revision by which this program uses the tables, "" where there are none: a newer one that it can work with
    counts as its own. Raises `NewerSchema` for one it cannot work with."""
    if not _one(runner, "SELECT to_regclass('alembic_version')::text"):
        return ""
    found = str(_one(runner, "SELECT version_num FROM alembic_version") or "")
    if found <= migrations.HEAD or not found:
        return found
    if not _one(runner, "SELECT to_regclass('mark')::text"):
        raise StoreUnavailable("the database has tables of another program; give Shopbell one of its own")
    if int(_one(runner, "SELECT value FROM mark WHERE name = 'oldest'") or 0) <= int(migrations.HEAD):
        return migrations.HEAD
    raise NewerSchema(
        f"The tables of the database are of a newer version of Shopbell ({found}; this one knows {migrations.HEAD}) that "
        "this one cannot work beside. Start that version, or give this one another database."
    )


def _one(runner: Runner, text: str) -> Any:
    runner.cursor.execute(text)
    rows = runner.cursor.fetchall()
    return rows[0][0] if rows else None


def _upgrade_locked(connection: Any, url: str) -> None:
    from sqlalchemy import StaticPool, create_engine

    # No look at types of its own: it would change how the connection reads rows.
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    with engine.connect() as used:
        used.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCKS['tables']})")
        runner = Runner(connection, "postgresql")
        before = current_revision(runner)
        if before != migrations.HEAD:
            log.info(
                "the tables of %s are brought from version %s to %s",
                shown(url),
                before or "none",
                migrations.HEAD,
            )
            migrations.run(used)
        used.commit()
