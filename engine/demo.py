"""The demo: a real service on loopback, a stand-in order system, and a catcher in place of Slack, mail and HTTP."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import click
import httpx
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine import actions, sources
from engine.actions.base import chosen
from engine.app import Service
from engine.desk import explain
from engine.language.fields import Connection
from engine.language.scope import Shop
from engine.language.words import plural
from engine.model import DeliveryState, EventState, Plan
from engine.present import plan_lines
from engine.rulebook.frames import from_json, to_json
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language
from engine.runtime.clock import Clock, system_clock
from engine.runtime.rulefiles import read_folder
from engine.runtime.server import listen_on, port_of, serving, told_to_end
from engine.settings import Settings
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.faults import Fault
from engine.sources.chord.oms import Life, Oms
from engine.sources.chord.repeats import Attempt
from engine.sources.chord.sandbox import build_sandbox
from engine.sources.chord.shop import one_of_each
from engine.store.store import Reader

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Caught:
    """Something that arrived where Slack, a mail server or another system would have been."""

    kind: str
    where: str
    lines: tuple[str, ...]
    content: bytes


@dataclass
class Catcher:
    """Stands for everybody the rules send to, and keeps what arrives, word for word."""

    told: Callable[[Caught], None] = lambda caught: None
    caught: list[Caught] = field(default_factory=list)
    http_port: int = 0
    mail_port: int = 0

    def keep(self, caught: Caught) -> None:
        """Keep an arrival, and tell whoever watches."""
        self.caught.append(caught)
        self.told(caught)

    async def slack(self, request: Request) -> Response:
        """An incoming webhook."""
        content = await request.body()
        text = str(from_json(content).get("text", ""))
        self.keep(Caught("slack", f"#{request.path_params['name']}", tuple(text.splitlines()), content))
        return PlainTextResponse("ok")

    async def http(self, request: Request) -> Response:
        """Any other system."""
        content = await request.body()
        where = f"{request.method} /{request.path_params['path']}"
        self.keep(Caught("http", where, (content.decode("utf-8", "replace"),), content))
        return PlainTextResponse("ok")

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # aiosmtpd's name
        """A mail server."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        mail = message_from_bytes(content, policy=policy.default)
        body = mail.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        lines = (f"Subject: {mail['subject']}", *text.rstrip().splitlines())
        self.keep(Caught("email", ", ".join(envelope.rcpt_tos), lines, content))
        return "250 kept"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Catch on two free ports of this machine until left."""
        routes = [
            Route("/slack/{name}", self.slack, methods=["POST"]),
            Route("/{path:path}", self.http, methods=METHODS),
        ]
        mail = await asyncio.get_running_loop().create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True), "127.0.0.1", 0
        )
        self.mail_port = mail.sockets[0].getsockname()[1]
        async with mail, beside(Starlette(routes=routes)) as self.http_port:
            yield


@asynccontextmanager
async def beside(app: Any) -> AsyncIterator[int]:
    """A small HTTP server on any free port of this machine while inside; gives the port."""
    listening = listen_on("127.0.0.1", 0)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    async with serving(config, listening):
        yield port_of(listening)


async def sandbox(app: Any, port: int, token: str, say: Callable[[str], None]) -> None:
    """The stand-in order system by itself, until told to end."""
    listening = listen_on("127.0.0.1", port)
    here = f"http://127.0.0.1:{port_of(listening)}"
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False)
    async with serving(config, listening):
        say(f"the stand-in order system: {here}/")
        say(f"its API: POST {here}/api/webhook/endpoints with Authorization: Bearer {token}")
        await told_to_end()


# the shop of the demo


@dataclass(frozen=True, slots=True)
class Stage:
    """The running demo: the service, where to send events to, and the catcher."""

    service: Service
    url: str
    catcher: Catcher


@asynccontextmanager
async def stage(
    rules: Path, catcher: Catcher, port: int = 0, clock: Clock = system_clock
) -> AsyncIterator[Stage]:
    """A real service with the rules of a folder, everything they send to standing on this machine."""
    listening = listen_on("127.0.0.1", port)
    with tempfile.TemporaryDirectory(prefix="shopbell-demo-") as home:
        async with catcher.open():
            secret = secrets.token_urlsafe(24)
            service = Service(demo_settings(rules, Path(home), secret, catcher), clock=clock)
            async with service.running(listening):
                yield Stage(service, f"http://127.0.0.1:{port_of(listening)}/events/chord/{secret}", catcher)


def demo_settings(rules: Path, home: Path, secret: str, catcher: Catcher) -> Settings:
    """Settings with a connection for every name that the rules use, each leading to the catcher."""
    connections: dict[str, dict[str, dict[str, Any]]] = {"slack": {}, "email": {}, "http": {}}
    for kind, name in sorted(names_used(rules)):
        connections[kind][name] = _caught(kind, name, catcher)
    shop = Shop("Example shop", ZoneInfo("America/New_York"), "USD", "en_US")
    return Settings(
        shop=shop,
        rules=rules,
        database=f"sqlite:///{home / 'demo.db'}",
        secrets=(secret,),
        connections=connections,
        public={kind: {name: {} for name in named} for kind, named in connections.items()},
        allow=(ip_network("127.0.0.0/8"),),
        file=rules,
    )


def names_used(rules: Path) -> set[tuple[str, str]]:
    """The connections that the rules of a folder name, and the default of each kind."""
    book = Loader(Language(sources.found(), actions.found())).load(read_folder(rules))
    named = {
        (spec.word, str(chosen(spec.values, setting.name)))
        for rule in book.rules
        for spec in rule.actions
        for setting in spec.action.fields
        if isinstance(setting, Connection) and chosen(spec.values, setting.name)
    }
    return named | {(kind, "default") for kind in ("slack", "email", "http")}


def _caught(kind: str, name: str, catcher: Catcher) -> dict[str, Any]:
    here = f"http://127.0.0.1:{catcher.http_port}"
    settings: dict[str, dict[str, Any]] = {
        "slack": {"webhook": f"{here}/slack/{name}"},
        "email": {
            "host": "127.0.0.1",
            "port": catcher.mail_port,
            "security": "none",
            "from": "Shop <care@shop.example>",
        },
        "http": {"base_url": f"{here}/{name}"},
    }
    return settings[kind]


def rules_folder(given: Path | None) -> Path:
    """The rules to show: those named, those of this folder, or the examples that come along."""
    here = given or Path("rules")
    if here.is_dir():
        return here
    packaged = Path(__file__).parent / "examples"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "rules"


# once through


async def once(rules: Path, say: Callable[[str], None], patience: float = 60.0, port: int = 0) -> bool:
    """Send each of the seven events through the real receiver, and say what came of it; whether all arrived."""
    async with stage(rules, Catcher(), port) as on, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        told = 0
        right = True
        for body in one_of_each(Random(7), datetime.now(UTC)):  # noqa: S311  # a story, not a secret
            answer = await client.post(
                on.url, content=to_json(body), headers={"Content-Type": "application/json"}
            )
            say(
                f"{click.style('●', fg='cyan')} {click.style(body['event_name'], bold=True)}  received ({answer.status_code})"
            )
            if answer.status_code != 202:
                right = False
                continue
            number = str(answer.json()["event"])
            right &= await _settled(on.service, number, patience)
            for line in plan_lines(_explained(on.service, number)):
                say(f"  {line}" if line else "")
            for caught in on.catcher.caught[told:]:
                _tell(caught, say)
            told = len(on.catcher.caught)
            say("")
        return right & await _all_arrived(on, told, say)


def _explained(service: Service, event: str) -> Plan:
    """What every rule said of a recorded event, and why."""
    with closing(Reader(service.settings.database)) as record:
        plan = explain(record, event, service.language).plan
    return plan or Plan((), "")


async def _settled(service: Service, event: str, patience: float) -> bool:
    """Wait until an event is judged and each of its deliveries has gone out; whether that came in time."""
    until = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < until:
        record = await service.store.event(event)
        page = await service.store.deliveries(event=event, limit=200)
        if record.state is EventState.EVALUATED and all(
            one.state is DeliveryState.DONE for one in page.items
        ):
            return True
        await asyncio.sleep(0.02)
    return False


async def _all_arrived(on: Stage, told: int, say: Callable[[str], None]) -> bool:
    made = (await on.service.store.deliveries(limit=1000)).items
    done = sum(one.state is DeliveryState.DONE for one in made)
    say(f"7 events sent, {plural(len(made), 'message')} due, {done} delivered, {told} caught")
    return done == len(made) == told > 0


def _tell(caught: Caught, say: Callable[[str], None]) -> None:
    say(
        f"  {click.style('sent', fg='green', bold=True)}  {caught.kind} to {click.style(caught.where, fg='cyan')}"
    )
    for line in caught.lines:
        say(f"        {line}")


# a living shop

SPEED = 600.0
"""Seconds of the shop's life that pass in one second of the demo."""

FAULTS = 0.05
"""So many of the shop's events are doubled, late, cut off or otherwise wrong on their way."""

PACE = 1.0
"""Seconds between the events of the story that the demo begins with."""


async def live(rules: Path, say: Callable[[str], None], port: int = 0) -> None:
    """A shop that lives in front of a person: its events come in, and each message shows as it is caught."""

    def tell(caught: Caught) -> None:
        _tell(caught, say)

    def received(attempt: Attempt) -> None:
        answer = attempt.status or attempt.excerpt
        name = click.style(attempt.event, bold=True)
        remark = _remark(attempt, database)
        say(f"{click.style('●', fg='cyan')} {name}  {attempt.about}  received ({answer}){remark}")

    database = ""
    async with stage(rules, Catcher(tell), port) as on:
        database = on.service.settings.database
        app = build_sandbox(token=secrets.token_hex(24), seed=7, speed=SPEED, tell=received)
        oms: Oms = app.state.oms
        oms.register(on.url, list(EVENT_TYPES))
        try:
            async with beside(app) as sandbox:
                say(f"the stand-in order system: http://127.0.0.1:{sandbox}/  (send an event from there)")
                say(f"the service:               {on.url}")
                say(f"the rules:                 {rules}  (change one and it counts at once)")
                say("Ctrl-C ends it\n")
                for body in one_of_each(Random(7), datetime.now(UTC)):  # noqa: S311  # a story, not a secret
                    oms.publish(body)
                    await asyncio.sleep(PACE)
                oms.send("order_completed", fault=Fault.DOUBLED)
                oms.send("shipment_delivery_status_updated", fault=Fault.OUT_OF_ORDER)
                await oms.live(Life(faults=FAULTS))
        finally:
            await oms.close()


def _remark(attempt: Attempt, database: str) -> str:
    """What is special about an event that was received: it came before, or newer news came before it."""
    if not attempt.acknowledged:
        return click.style("  not taken, it will be sent again", fg="yellow")
    answer = from_json(attempt.excerpt.encode())
    if answer["repeat"]:
        return click.style("  a repeat: nothing is sent a second time", fg="yellow")
    with closing(Reader(database)) as record:
        late = record.event(str(answer["event"])).late
    return click.style("  late: something newer is known already", fg="yellow") if late else ""
