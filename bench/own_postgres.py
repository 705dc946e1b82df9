"""A PostgreSQL database of one's own for tests and benches, on the server of SHOPBELL_TEST_POSTGRES or of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit
from uuid import uuid4

NAME = "SHOPBELL_TEST_POSTGRES"
LOCAL = ("postgresql://root@127.0.0.1:5432/postgres", "postgresql://postgres@127.0.0.1:5432/postgres")


@cache
def server() -> tuple[str, str]:
    """The address of a server on which databases can be made, "" where there is none, and then why."""
    try:
        import psycopg
    except ImportError:
        return "", "psycopg is not installed (pip install 'shopbell[postgres]')"
    given = os.environ.get(NAME)
    reasons = []
    for address in (given,) if given else LOCAL:
        try:
            psycopg.connect(address, connect_timeout=3).close()
            return address, ""
        except psycopg.Error as error:
            reasons.append(str(error).strip().splitlines()[-1].strip())
    where = f"at {NAME}" if given else f"at 127.0.0.1:5432, and {NAME} names no other"
    return "", f"no PostgreSQL {where}: {reasons[0]}"


@contextmanager
def own_database() -> Iterator[str]:
    """The address of an empty database, which is gone afterwards."""
    import psycopg

    address, why = server()
    if not address:
        raise RuntimeError(why)
    name = f"shopbell_{os.getpid()}_{uuid4().hex[:6]}"
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(address)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(address, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


EMPTY = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r'
        AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    LOOP EXECUTE 'DELETE FROM ' || one.name; END LOOP;
    FOR one IN SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'S'
        AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE 'ALTER SEQUENCE ' || one.name || ' RESTART'; END LOOP;
END $$
"""


def emptied(url: str) -> None:
    """Take all rows out of a database, and let its numbers begin again."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EMPTY)
