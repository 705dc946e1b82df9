"""The endpoints at the order system, by the command line against the sandbox over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import actions, sources
from engine.cli import main
from engine.demo import beside
from engine.rulebook.loader import Loader
from engine.rulebook.needs import needed_events
from engine.rulebook.vocabulary import Language
from engine.sources.chord.sandbox import build_sandbox

TOKEN = "t0ken-of-the-oms"
URL = "https://shop.example/events/chord/a-secret-that-is-long-enough"
RULE = "name: A\nwhen: order_completed\nthen:\n  - slack: {text: hi}\n"


@pytest.fixture
def api() -> Iterator[str]:
    """A sandbox that runs beside the test; gives its address."""
    ready, done, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with beside(build_sandbox(token=TOKEN)) as port:
            found.append(f"http://127.0.0.1:{port}")
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(20)
    yield found[0]
    done.set()
    thread.join()


@pytest.fixture
def shop(tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(RULE)
    (tmp_path / "shopbell.yaml").write_text(
        "connections: {slack: {default: {webhook: 'https://hooks.example.com/x'}}}\n"
        "sources:\n  chord:\n    secrets: [a-secret-that-is-long-enough]\n"
        f"    api: {{url: '{api}', token: '${{CHORD_TOKEN}}'}}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHORD_TOKEN", TOKEN)
    return tmp_path


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, ["oms", *words])


def test_sync_registers_for_exactly_what_the_rules_need(shop: Path) -> None:
    shown = _run("sync", "--url", URL)
    assert (shown.exit_code, "+ order_completed" in shown.output) == (1, True)
    assert "no endpoint" in _run("list").output
    assert _run("sync", "--url", URL, "--yes").exit_code == 0
    assert "order_completed" in _run("list").output
    assert "nothing to mend" in _run("sync", "--url", URL).output


def test_sync_takes_back_what_no_rule_needs_any_more(shop: Path) -> None:
    _run("register", "--url", URL, "--event", "order_completed", "--event", "shipment_updated")
    shown = _run("sync", "--url", URL)
    assert "- shipment_updated" in shown.output
    assert _run("sync", "--url", URL, "--yes").exit_code == 0
    assert "shipment_updated" not in _run("list").output


def test_no_secret_of_an_address_is_shown(shop: Path) -> None:
    _run("register", "--url", URL)
    result = _run("list", "--json")
    assert "a-secret-that-is-long-enough" not in result.output
    assert "https://shop.example/events/chord/•••" in result.output


def test_an_endpoint_is_updated_and_deleted(shop: Path) -> None:
    _run("register", "--url", URL)
    assert "order_cancelled" in _run("update", "1", "--event", "order_cancelled").output
    assert _run("delete", "1").exit_code == 0
    assert "no endpoint" in _run("list").output
    assert _run("delete", "1").exit_code == 1


def test_a_refused_token_is_told_without_showing_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORD_TOKEN", "another-token")
    result = _run("list")
    assert result.exit_code == 1
    assert "another-token" not in result.output
    assert "token" in result.output


def test_without_the_address_of_the_api_the_settings_to_write_are_shown(shop: Path) -> None:
    (shop / "shopbell.yaml").write_text("shop: {name: x}\n")
    result = _run("list")
    assert (result.exit_code, "api:" in result.output) == (2, True)


def test_an_event_that_is_not_there_cannot_be_listened_to(shop: Path) -> None:
    assert _run("register", "--url", URL, "--event", "order_canceled").exit_code == 2


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        ("when: order_*\n", ("order_completed", "order_cancelled")),
        ("when: shipment_shipped\n", ("shipment_shipped",)),
        (
            "when: shipment_shipped\nif:\n  order.total: more than 0 USD\n",
            ("order_completed", "shipment_shipped"),
        ),
        (
            'when: shipment_shipped\nif:\n  formula: "order.total > 5"\n',
            ("order_completed", "shipment_shipped"),
        ),
        (
            "when: stock_item_back_in_stock\nif:\n  product.name: present\n",
            ("order_completed", "stock_item_back_in_stock"),
        ),
        (
            "when: order_completed\nunless followed by:\n  event: [shipment_shipped, order_cancelled]\n"
            "  within: 48 hours\n  same: order\n",
            ("order_completed", "order_cancelled", "shipment_shipped"),
        ),
        (
            "when: stock_item_out_of_stock\ndigest:\n  every: day at 08:00\n  forget when: stock_item_back_in_stock\n",
            ("stock_item_back_in_stock", "stock_item_out_of_stock"),
        ),
        (
            "when: every weekday at 08:00\nover: {event: order_cancelled, within: 1 day}\n",
            ("order_cancelled",),
        ),
        (
            "when: shipment_shipped\nlimit: 1 per day for each order.email\n",
            ("order_completed", "shipment_shipped"),
        ),
        ("when: order_completed\nmode: off\n", ()),
        ("when: order_completed\nmode: test\n", ("order_completed",)),
    ],
)
def test_the_events_that_are_needed_are_those_listened_to_and_those_that_teach(
    rule: str, needed: tuple[str, ...]
) -> None:
    text = f"name: A\n{rule}then:\n  - slack: {{text: hi}}\n"
    book = Loader(Language(sources.found(), actions.found())).load({"a.yaml": text})
    assert needed_events(book, "chord") == needed
