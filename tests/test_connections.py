"""Connections on the command line: shown without their secrets, and tried against real servers without a message."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.cli import main
from engine.demo import beside

TOKEN = "xoxb-canary-0123456789"
PASSWORD = "canary-password-0123"
RULE = "name: A\nwhen: order_completed\nthen:\n  - slack: {channel: big-orders, text: hi}\n"


@dataclass
class World:
    """Stands for Slack, a mail server and an ERP; `heard` is what was said to them."""

    http: int = 0
    mail: int = 0
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)

    async def hook(self, request: Request) -> Response:
        body = await request.body()
        self.heard.append((request.url.path, body))
        if request.path_params["name"] == "gone":
            return PlainTextResponse("no_service", 404)
        return PlainTextResponse("ok" if b'"text"' in body else "no_text", 200 if b'"text"' in body else 400)

    async def auth(self, request: Request) -> Response:
        known = request.headers["authorization"] == f"Bearer {TOKEN}"
        told: dict[str, Any] = {"ok": True, "team": "Corner shop", "user": "bell"}
        return JSONResponse(told if known else {"ok": False, "error": "invalid_auth"})

    async def erp(self, request: Request) -> Response:
        return PlainTextResponse("hello", 200 if request.headers.get("x-key") == PASSWORD else 401)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # aiosmtpd's name
        self.mails.append(envelope.content)
        return "250 kept"

    async def serve(self, ready: threading.Event, done: threading.Event) -> None:
        routes = [
            Route("/hook/{name}", self.hook, methods=["POST"]),
            Route("/api/auth.test", self.auth, methods=["POST"]),
            Route("/erp", self.erp),
        ]

        def accepts(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

        how: dict[str, Any] = {"authenticator": accepts, "auth_require_tls": False}
        mail = await asyncio.get_running_loop().create_server(lambda: SMTP(self, **how), "127.0.0.1", 0)
        self.mail = mail.sockets[0].getsockname()[1]
        async with mail, beside(Starlette(routes=routes)) as self.http:
            ready.set()
            await asyncio.to_thread(done.wait)


@pytest.fixture
def world() -> Iterator[World]:
    found, ready, done = World(), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(found.serve(ready, done)))
    thread.start()
    assert ready.wait(20)
    yield found
    done.set()
    thread.join()


@pytest.fixture
def shop(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = f"http://127.0.0.1:{world.http}"
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(RULE)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "shopbell.yaml").write_text(
        "connections:\n"
        "  slack:\n"
        f'    default: {{token: "${{SLACK_TOKEN}}", api: "{here}/api"}}\n'
        f'    big-orders: {{webhook: "{here}/hook/one"}}\n'
        f'    old: {{webhook: "{here}/hook/gone"}}\n'
        "  email:\n"
        f"    default: {{host: 127.0.0.1, port: {world.mail}, security: none, username: u, "
        'password: "${file:password}", from: Shop <care@shop.example>}\n'
        "  http:\n"
        f'    erp: {{base_url: "{here}/erp", headers: {{X-Key: "${{file:password}}"}}}}\n'
        f'    locked: {{base_url: "{here}/erp", token: "${{file:password}}"}}\n'
        "network: {allow: [127.0.0.0/8]}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    return tmp_path


def _run(*words: str) -> Result:
    found = CliRunner().invoke(main, ["connections", *words])
    assert TOKEN not in found.output
    assert PASSWORD not in found.output
    return found


def _tried(*words: str) -> dict[str, tuple[str, str]]:
    document = json.loads(_run("test", *words, "--json").output)
    return {f"{one['kind']}/{one['name']}": (one["result"], one["told"]) for one in document["connections"]}


def test_each_kind_is_tried_and_nobody_gets_a_message(shop: Path, world: World) -> None:
    tried = _tried()
    works = {name for name, (result, _) in tried.items() if result == "works"}
    assert works == {"slack/default", "slack/big-orders", "email/default", "http/erp"}
    assert "Slack knows the token: bell in Corner shop" in tried["slack/default"][1]
    assert "Nothing was posted" in tried["slack/big-orders"][1]
    assert tried["email/default"][1] == "127.0.0.1 takes the login, over an open line. No mail was sent"
    assert tried["http/erp"][1] == "its base address answers (200)"
    assert "the webhook of connection old no longer exists" in tried["slack/old"][1]
    assert "does not accept our access data" in tried["http/locked"][1]
    assert world.mails == []
    assert [body for _, body in world.heard] == [b"{}", b"{}"]


def test_one_connection_can_be_tried_by_its_name(shop: Path) -> None:
    assert set(_tried("erp")) == {"http/erp"}
    assert set(_tried("default")) == {"slack/default", "email/default"}
    assert set(_tried("email/default")) == {"email/default"}


def test_the_command_ends_with_1_if_one_does_not_work(shop: Path) -> None:
    assert _run("test", "erp").exit_code == 0
    failed = _run("test", "old")
    assert failed.exit_code == 1
    assert failed.output.startswith("✗ slack/old  Slack refused the message: the webhook")


def test_wrong_access_data_are_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-another-one")
    (shop / "password").write_text("wrong-password\n")
    tried = _tried("default")
    assert "no longer accepts the token" in tried["slack/default"][1]
    assert tried["email/default"] == ("fails", "127.0.0.1 does not accept the name and password")


def test_an_unknown_name_is_told_with_the_nearest_one(shop: Path) -> None:
    found = CliRunner().invoke(main, ["connections", "test", "big-ordres"])
    assert found.exit_code == 2
    assert 'no connection is called "big-ordres". Did you mean big-orders?' in found.output


def test_the_list_shows_who_uses_a_connection_and_of_secrets_only_that_they_are_there(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = _run("list").output.splitlines()
    assert any(line.startswith("slack/big-orders") and line.endswith(" a") for line in listed)
    assert any("token (secret)" in line and line.endswith("no rule") for line in listed)
    monkeypatch.delenv("SLACK_TOKEN")
    document = json.loads(_run("list", "--json").output)
    by_name = {f"{one['kind']}/{one['name']}": one for one in document["connections"]}
    assert by_name["slack/default"]["secrets"] == {"token": "missing"}
    assert by_name["email/default"]["secrets"] == {"password": "set"}
    assert by_name["slack/big-orders"]["rules"] == ["a"]


def test_without_connections_the_remedy_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there are no connections yet" in _run("list").output
    found = _run("test")
    assert found.exit_code == 2
    assert 'webhook: "${SLACK_WEBHOOK}"' in found.output
