"""The demo: a real service, seven events over real HTTP, every message caught word for word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine import demo
from engine.cli import main
from engine.demo import live, names_used, rules_folder
from engine.sources.chord.catalogue import EVENT_TYPES

RULES = Path(__file__).parent.parent / "rules"


def test_the_demo_sends_all_seven_events_and_catches_every_message() -> None:
    result = CliRunner().invoke(main, ["demo", "--once", "--rules", str(RULES)])
    assert result.exit_code == 0, result.output
    for event_type in EVENT_TYPES:
        assert f"● {event_type}  received (202)" in result.output
    assert "sent  slack to #big-orders" in result.output
    assert "sent  email to" in result.output
    assert "sent  http to POST /erp/sales-orders" in result.output
    assert "Subscription order does not fire" in result.output
    assert "7 events sent, 11 messages due, 11 delivered, 11 caught" in result.output


def test_the_demo_fails_when_a_message_is_held(tmp_path: Path) -> None:
    rule = 'name: Gap\nwhen: order_completed\nthen:\n  - http:\n      post: /x\n      connection: erp\n      json: {a: "{{ order.user.stripe_user_id | money }}"}\n'
    (tmp_path / "gap.yaml").write_text(rule)
    from engine.demo import once

    said: list[str] = []
    assert asyncio.run(once(tmp_path, said.append, patience=0.5)) is False


def test_the_living_demo_shows_messages_as_they_are_caught() -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(click.unstyle(line))
        if click.unstyle(line).startswith("  sent") and not task.cancelling():
            asyncio.get_running_loop().call_soon(task.cancel)

    async def watch() -> None:
        nonlocal task
        task = asyncio.create_task(live(RULES, say))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)

    task: asyncio.Task[None]
    asyncio.run(watch())
    assert any("stand-in order system: http://127.0.0.1:" in line for line in said)
    assert any(line.startswith("  sent") for line in said)


def test_the_living_demo_shows_a_doubled_event_as_a_repeat_and_an_overtaken_one_as_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "PACE", 0.0)
    said: list[str] = []
    enough = asyncio.Event()

    def say(line: str) -> None:
        said.append(click.unstyle(line))
        if all(any(word in line for line in said) for word in ("  a repeat: ", "  late: ")):
            enough.set()

    async def watch() -> None:
        task = asyncio.create_task(live(RULES, say))
        await asyncio.wait_for(enough.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watch())
    repeat = next(line for line in said if "  a repeat: " in line)
    assert sum(line.startswith(repeat.partition("  a repeat")[0]) for line in said) == 2


def test_every_connection_that_the_rules_name_leads_to_the_catcher(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: a\nwhen: order_completed\nthen:\n  - slack: {channel: ops, text: x}\n"
    )
    assert names_used(tmp_path) == {
        ("slack", "ops"),
        *((kind, "default") for kind in ("slack", "email", "http")),
    }


def test_the_rules_of_the_folder_come_before_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(rules_folder(None).glob("*.yaml"))
    (tmp_path / "rules").mkdir()
    assert rules_folder(None) == Path("rules")
