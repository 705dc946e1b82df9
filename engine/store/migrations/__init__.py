"""The tables from one version to the next, brought up to date when a database is opened."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

from engine.store.values import NewerSchema, StoreUnavailable

HEAD = "0002"
"""The newest revision: a database that has it is opened without looking further."""

log = logging.getLogger("shopbell.store")


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a database up to date, all or nothing, with a copy made before. Raises `NewerSchema` for one of a newer version."""
    current = revision(connection)
    if current == HEAD:
        return
    known = _known()
    if current and current not in known:
        raise NewerSchema(
            f"The database {path} was last used by a newer version of Shopbell (its tables are of version {current}, "
            f"this Shopbell knows {HEAD}). Start that version again, or give this one another database."
        )
    if current:
        copy_aside(connection, path.with_name(f"{path.name}.before-{HEAD}"))
        log.info("the tables of %s are brought from version %s to %s", path, current, HEAD)
    _run(connection)


def revision(connection: sqlite3.Connection) -> str:
    """The revision of a database's tables, "" for an empty one."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else ""
    if tables:
        raise StoreUnavailable("the file is a database of another program; give Shopbell one of its own")
    return ""


def copy_aside(connection: sqlite3.Connection, path: Path) -> None:
    """Keep a copy of a database as it is."""
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()


# Alembic and the engine it wants are read only when there is something to do: that is a third of the start.
def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(Path(__file__).parent)).walk_revisions()}


def _run(connection: sqlite3.Connection) -> None:
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as used:
        used.exec_driver_sql("BEGIN IMMEDIATE")
        run(used)
        used.commit()


def run(connection: Any) -> None:
    """Run the revisions that are missing on SQLAlchemy's connection, within its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
