"""What rules wait for can be listed, looked at, let go and sent now from the command line."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.model import Arm
from engine.store.store import Arrival, Judged, Store

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record in which two orders wait for their parcels."""
    (tmp_path / "shopbell.yaml").write_text("database: sqlite:///shop.db\n")
    monkeypatch.chdir(tmp_path)

    async def fill() -> None:
        async with await Store.open(f"sqlite:///{tmp_path}/shop.db") as store:
            for place in (1, 2):
                about = f"order:R{place}"
                arrival = Arrival(
                    source="chord",
                    type="order_completed",
                    subject=about,
                    body=b"{}",
                    identity=sha256(about.encode()).digest(),
                    window=timedelta(days=7),
                )
                event = (await store.append(arrival, NOW)).id
                due_at = NOW + place * timedelta(days=2)
                arm = Arm("late", "unless followed by", event, due_at, "nothing ships within 48 hours")
                await store.record([Judged(event, "b00c", {}, NOW, effects=[arm], origin=event, about=about)])

    asyncio.run(fill())
    return tmp_path


def run(*words: str) -> str:
    """What the command line prints."""
    result = CliRunner().invoke(main, list(words))
    return result.output


def states() -> dict[str, str]:
    """The state of all that waits or did, by what it is about."""
    listed = json.loads(run("pending", "list", "--ended", "--json"))["pending"]
    return {one["about"]: one["state"] for one in listed}


@pytest.mark.usefixtures("record")
def test_what_waits_is_listed_with_the_next_first_and_says_what_for() -> None:
    shown = run("pending", "list")
    assert shown.index("order:R1") < shown.index("order:R2")
    assert "nothing ships within 48 hours" in shown
    assert "order:R1" not in run("pending", "list", "--rule", "another")


@pytest.mark.usefixtures("record")
def test_one_thing_that_waits_is_shown_in_words() -> None:
    shown = run("pending", "show", "1")
    assert "late waits: nothing ships within 48 hours" in shown
    assert "event 1, order:R1" in shown


@pytest.mark.usefixtures("record")
def test_what_waits_is_cancelled_with_a_reason_or_falls_due_now() -> None:
    assert "is cancelled" in run("pending", "cancel", "1", "--why", "shipped by hand")
    assert "falls due now" in run("pending", "send-now", "2")
    assert states() == {"order:R1": "cancelled", "order:R2": "armed"}
    assert "shipped by hand" in run("pending", "show", "1")
    assert "waits no more: it was cancelled already" in run("pending", "cancel", "1")
