"""How a SQLite file is opened: by one process only, with every commit on the disk, its tables brought up to date."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from engine.store import migrations
from engine.store.sqlite import SqliteDatabase, open_writer
from engine.store.store import AnotherProcess, NewerSchema, Store, StoreUnavailable
from engine.store.tables import metadata

pytestmark = pytest.mark.anyio


def asked(database: SqliteDatabase, pragma: str) -> Any:
    return database.runner.connection.cursor().execute(f"PRAGMA {pragma}").fetchone()[0]


def test_a_commit_is_on_the_disk_and_space_can_be_given_back(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "shop.db")
    pragmas = {name: asked(database, name) for name in ("journal_mode", "synchronous", "auto_vacuum")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}
    assert asked(database, "busy_timeout") == 5000
    assert asked(database, "secure_delete") == 1
    database.close()


def test_closed_in_the_middle_of_its_work_it_undoes_that_and_lets_go_of_the_file(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "shop.db")
    database.begin()
    database.runner.cursor.execute("INSERT INTO mark VALUES ('a', 1), ('b', 2)")
    database.runner.cursor.execute("SELECT * FROM mark")
    database.close()
    assert not (
        tmp_path / "shop.db-wal"
    ).exists()  # it goes with the last connection, and only if that has ended
    again = SqliteDatabase(tmp_path / "shop.db")
    again.runner.cursor.execute("SELECT count(*) FROM mark")
    assert again.runner.cursor.fetchall() == [(0,)]
    again.close()


# addresses


async def test_the_folder_of_the_database_is_made(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/var/lib/shop.db"):
        assert os.listdir(tmp_path / "var" / "lib").count("shop.db") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "a database in memory would lose the events it accepted"),
        ("sqlite:///:memory:", "a database in memory would lose the events it accepted"),
        ("mysql://localhost/shop", "a database of the kind mysql cannot be used"),
        ("shop.db", 'the database "shop.db" is no address; name a file, such as sqlite:///var/shopbell.db'),
    ],
)
async def test_an_address_that_names_no_file_is_refused_with_a_right_one(url: str, said: str) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        await Store.open(url)
    assert said in str(refusal.value)
    assert "sqlite:///var/shopbell.db" in str(refusal.value)


async def test_a_place_where_no_database_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match=r"the database .*/file/shop.db cannot be made"):
        await Store.open(f"sqlite:///{tmp_path}/file/shop.db")


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match="the file is not a database of Shopbell"):
        await Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"Dear diary, " * 1000


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "shop.db")
    other.execute("CREATE TABLE customers (name)")
    other.close()
    with pytest.raises(StoreUnavailable, match="a database of another program; give Shopbell one of its own"):
        await Store.open(f"sqlite:///{tmp_path}/shop.db")


# read-only: as a user without rights, for the tests may run as one who has them all

NOBODY = 65534
AS_NOBODY = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can become somebody without rights"
)

OPEN = """
import asyncio, os, sys
sys.path[:0] = {path!r}
from engine.store.store import Store, StoreUnavailable
import alembic.command, alembic.config, sqlalchemy, encodings.idna
os.chdir({folder!r})
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    try:
        await Store.open("sqlite:///shop.db")
    except StoreUnavailable as reason:
        print(reason)
asyncio.run(main())
"""


def as_nobody(folder: Path) -> str:
    code = OPEN.format(path=sys.path, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_to_all(folder: Path) -> None:
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)


@AS_NOBODY
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir(mode=0o755)
    open_to_all(folder)
    assert "shop.db cannot be made: Permission denied" in as_nobody(folder)


@AS_NOBODY
def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    SqliteDatabase(folder / "shop.db").close()
    (folder / "shop.db.lock").chmod(0o666)
    (folder / "shop.db").chmod(0o444)
    open_to_all(folder)
    folder.chmod(0o777)
    said = as_nobody(folder)
    assert said.startswith("the database shop.db: the database file cannot be written"), said


LIMITED = """
import asyncio, resource, signal, sys
sys.path[:0] = {path!r}
from datetime import UTC, datetime, timedelta
from engine.store.store import Arrival, Store, StoreUnavailable
async def main():
    async with await Store.open({url!r}) as store:
        arrival = lambda name, size: Arrival(source="chord", type="t", subject=name, body=b"x" * size,
            identity=name.encode() * 32, window=timedelta(days=1))
        now = datetime.now(UTC)
        await store.append(arrival("a", 10), now)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        try:
            await store.append(arrival("b", 900_000), now)
        except StoreUnavailable as reason:
            print(reason)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print(await store.append(arrival("b", 900_000), now))
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are known on Unix only")
def test_a_write_that_the_system_refuses_loses_nothing_and_can_be_done_again(url: str) -> None:
    code = LIMITED.format(path=sys.path, url=url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first in ("the disk could not be read or written", "the disk is full"), done.stderr
    assert second == "Appended(id='2', repeat=False)"


# one process


async def test_a_second_store_on_the_same_file_is_refused_and_told_what_to_do(store: Store, url: str) -> None:
    with pytest.raises(AnotherProcess) as refusal:
        await Store.open(url)
    said = str(refusal.value)
    assert f"Another Shopbell (process {os.getpid()}) is already working with the database" in said
    assert "Stop that one first, or give this one a database of its own" in said


HOLD = """
import sys
sys.path[:0] = {path!r}
from engine.store.lock import FileLock
from pathlib import Path
lock = FileLock(Path({file!r}))
print("held", flush=True)
sys.stdin.read()
"""


def holding(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def test_the_lock_goes_with_the_process_that_held_it_however_it_ends(url: str) -> None:
    file = url.removeprefix("sqlite:///")
    code = HOLD.format(path=sys.path, file=file)
    with holding(code) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AnotherProcess, match=f"process {other.pid}"):
            await Store.open(url)
        other.kill()
    async with await Store.open(url) as store:
        await store.writable()


# migrations


def tables(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]


def test_an_empty_database_is_brought_to_the_tables_of_this_version(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path / "shop.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_tables_are_made_word_for_word_as_they_are_described(tmp_path: Path) -> None:
    """What a comparison does not see: conditions of indexes, tables without row numbers, numbers never given twice."""
    SqliteDatabase(tmp_path / "migrated.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/described.db")
    metadata.create_all(engine)
    engine.dispose()
    said = []
    for name in ("migrated", "described"):
        connection = sqlite3.connect(tmp_path / f"{name}.db")
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' AND sql NOT NULL"
        )
        said.append(sorted(" ".join(row[0].split()) for row in rows))
        connection.close()
    assert said[0] == said[1]


def test_the_head_that_is_looked_for_is_the_newest_revision() -> None:
    folder = str(Path(migrations.__file__).parent)
    assert ScriptDirectory(folder).get_current_head() == migrations.HEAD


async def test_a_database_of_a_newer_version_is_refused_in_plain_words(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.executescript(
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999')"
    )
    other.close()
    with pytest.raises(NewerSchema) as refusal:
        await Store.open(f"sqlite:///{tmp_path}/other.db")
    assert "was last used by a newer version of Shopbell" in str(refusal.value)
    assert "Start that version again, or give this one another database" in str(refusal.value)


def test_a_migration_that_breaks_off_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = Operations.create_table, []

    def break_off(self: Operations, name: str, *given: Any, **more: Any) -> Any:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(name)
        return create(self, name, *given, **more)

    monkeypatch.setattr(Operations, "create_table", break_off)
    with pytest.raises(KeyboardInterrupt):
        SqliteDatabase(tmp_path / "shop.db")
    assert len(made) == 5
    connection = open_writer(tmp_path / "shop.db")
    assert tables(connection) == []
    connection.close()
    monkeypatch.undo()
    database = SqliteDatabase(tmp_path / "shop.db")
    assert migrations.revision(database.runner.connection) == migrations.HEAD  # type: ignore[arg-type]
    database.close()


def test_a_copy_is_kept_before_the_tables_of_an_older_version_are_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = open_writer(tmp_path / "shop.db")
    migrations.upgrade(connection, tmp_path / "shop.db")
    connection.execute("INSERT INTO mark VALUES ('kept', 7)")
    monkeypatch.setattr(migrations, "HEAD", "9999")
    monkeypatch.setattr(migrations, "_run", lambda _: None)
    migrations.upgrade(connection, tmp_path / "shop.db")
    connection.close()
    copy = sqlite3.connect(tmp_path / "shop.db.before-9999")
    assert copy.execute("SELECT value FROM mark WHERE name = 'kept'").fetchone() == (7,)
    copy.close()


async def test_a_database_that_is_up_to_date_is_opened_without_the_migration_tool(url: str) -> None:
    async with await Store.open(url):
        pass
    code = (
        f"import asyncio, sys; sys.path[:0] = {sys.path!r}\n"
        "from engine.store.store import Store\n"
        f"async def main():\n    async with await Store.open({url!r}): print('alembic' in sys.modules)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)  # noqa: ASYNC221
    assert done.stdout == "False\n", done.stderr


def test_a_record_of_the_first_version_keeps_its_rows_and_gets_the_tables_of_this_one(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO mark (name, value) VALUES ('kept', 7)")
    SqliteDatabase(tmp_path / "shop.db").close()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql("SELECT value FROM mark WHERE name = 'kept'").scalar() == 7
    engine.dispose()
