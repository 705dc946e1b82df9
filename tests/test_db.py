"""`shopbell db`: without a service and beside one; it says what it would do before it does it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.runtime.control import Control, socket_beside
from engine.store.store import Arrival, Store

ANA = "ana.canary@example.test"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with settings, and a record of two orders in it, one of them Ana's."""
    (tmp_path / "shopbell.yaml").write_text(
        "database: sqlite:///shop.db\nbackup: {folder: copies, keep: 2}\nretention: {events: 3000 days}\n"
    )
    anyio.run(fill, f"sqlite:///{tmp_path}/shop.db")
    return tmp_path


async def fill(url: str) -> None:
    async with await Store.open(url) as store:
        for number, email in (("R1", ANA), ("R2", "bo@example.test")):
            body = json.dumps(
                {"order": {"number": number, "email": email, "ship_address": {"firstname": f"First{number}"}}}
            )
            arrival = Arrival(
                source="chord", type="order_completed", subject=f"order:{number}", body=body.encode(),
                identity=number.encode() * 16, window=timedelta(days=1),
            )  # fmt: skip
            await store.append(arrival, LONG_AGO)


def shopbell(home: Path, *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, [*words, "--config", str(home / "shopbell.yaml")], input=answer)


def in_files(home: Path, word: str) -> list[str]:
    return [path.name for path in home.iterdir() if path.is_file() and word.encode() in path.read_bytes()]


def test_a_person_is_erased_after_a_look_and_a_question(home: Path) -> None:
    asked = shopbell(home, "db", "erase", "--email", ANA, answer="n\n")
    assert "found: 1 in contents of events" in asked.output
    assert in_files(home, ANA)
    done = shopbell(home, "db", "erase", "--email", ANA.upper(), answer="y\n")
    assert (done.exit_code, "1 in contents of events: erased" in done.output) == (0, True)
    assert in_files(home, ANA) == in_files(home, "FirstR1") == []
    assert "found: nothing" in shopbell(home, "db", "erase", "--email", ANA).output
    assert in_files(home, "bo@example.test")


def test_a_copy_that_may_still_name_the_person_is_named(home: Path) -> None:
    shopbell(home, "db", "backup")
    assert "not looked into: " in shopbell(home, "db", "erase", "--email", ANA, answer="n\n").output


def test_everything_kept_of_an_order_is_printed_as_json(home: Path) -> None:
    said = json.loads(shopbell(home, "db", "export", "--order", "R2").output)
    assert said["body"][0]["body"]["order"]["email"] == "bo@example.test"


@pytest.mark.parametrize("words", [(), ("--email", "ana")])
def test_somebody_must_be_named(home: Path, words: tuple[str, ...]) -> None:
    assert shopbell(home, "db", "erase", *words).exit_code == 2


def test_what_is_old_goes_as_the_settings_or_the_words_say(home: Path) -> None:
    anyio.run(judge, f"sqlite:///{home}/shop.db")
    assert "0 events" in shopbell(home, "db", "purge", "--yes").output
    assert "2 events" in shopbell(home, "db", "purge", "--events", "30 days", "--yes").output
    assert shopbell(home, "db", "purge", "--events", "soon").exit_code == 2


async def judge(url: str) -> None:
    from engine.store.store import Judged

    async with await Store.open(url) as store:
        await store.record([Judged(number, "b00c", {}, LONG_AGO) for number in ("1", "2")])


def test_a_copy_is_made_and_put_back(home: Path) -> None:
    made = shopbell(home, "db", "backup")
    (copy,) = (home / "copies").iterdir()
    assert copy.name in made.output
    shopbell(home, "db", "erase", "--email", ANA, "--yes")
    restored = shopbell(home, "db", "restore", str(copy), "--yes")
    assert "0 messages and 2 events wait for you" in restored.output
    assert ANA in shopbell(home, "db", "export", "--order", "R1").output
    assert shopbell(home, "db", "restore", str(home / "nothing.db"), "--yes").exit_code == 2


def test_a_damaged_event_is_named_by_check(home: Path) -> None:
    import sqlite3

    assert "the database is whole" in shopbell(home, "db", "check").output
    connection = sqlite3.connect(home / "shop.db")
    connection.execute("UPDATE body SET body = X'7b7d' WHERE event_id = 2")
    connection.commit()
    connection.close()
    checked = shopbell(home, "db", "check", "--json")
    assert (checked.exit_code, json.loads(checked.output)) == (1, {"fault": "", "damaged": [2]})


def test_the_tables_are_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "shopbell.yaml").write_text("database: sqlite:///new.db\n")
    assert "up to date" in shopbell(tmp_path, "db", "upgrade").output
    assert (tmp_path / "new.db").exists()


def test_beside_a_service_the_service_does_it(home: Path) -> None:
    async def beside() -> list[Any]:
        async with await Store.open(f"sqlite:///{home}/shop.db") as store:
            control = Control(store, lambda: datetime.now(UTC), socket_beside(home / "shop.db"))
            await control.start()
            words = (("erase", "--email", ANA, "--yes"), ("backup",), ("purge", "--yes"), ("upgrade",))
            done = [
                await anyio.to_thread.run_sync(lambda one=one: shopbell(home, "db", *one)) for one in words
            ]
            done.append(
                await anyio.to_thread.run_sync(lambda: shopbell(home, "db", "restore", "x.db", "--yes"))
            )
            await control.stop()
            return done

    *done, restored = anyio.run(beside)
    assert [one.exit_code for one in done] == [0, 0, 0, 0], [one.output for one in done]
    assert "erased" in done[0].output
    assert restored.exit_code == 2
    assert in_files(home, ANA) == []
