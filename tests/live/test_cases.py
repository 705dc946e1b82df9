"""What happens at shops, from the request that comes in to the message that arrives, through the whole service."""

from __future__ import annotations

import asyncio
import copy
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from engine.app import Service
from engine.demo import Catcher, demo_settings
from engine.model import DeliveryState, EventState
from engine.rulebook.frames import to_json
from engine.runtime.server import listen_on, port_of
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import Arrival, EventLine, Judged, Store

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-the-shop-0123456789"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
BUSY = (DeliveryState.QUEUED, DeliveryState.RUNNING)


def rule(when: str, actions: str) -> str:
    return f"when: {when}\nthen:\n{actions}"


SLACK = '  - slack: {channel: ops, text: "{{ order.number }}"}\n'


def to(sink: str) -> str:
    return f'  - http: {{post: /orders, connection: {sink}, json: {{number: "{{{{ order.number }}}}"}}}}\n'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Sinks(Catcher):
    """Everybody the rules send to; what goes to `slow` is answered only once the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def http(self, request: Request) -> Response:
        answer = await super().http(request)
        if request.path_params["path"].startswith("slow"):
            self.reached.set()
            await self.gate.wait()
        return answer

    def sent(self, kind: str, where: str = "") -> list[Any]:
        """The contents of what arrived there: JSON, or the subject and text of a mail."""
        found = [one for one in self.caught if one.kind == kind and where in one.where]
        if kind != "email":
            return [json.loads(one.content) for one in found]
        mails = [message_from_bytes(one.content, policy=policy.default) for one in found]
        return [f"{mail['subject']}: {mail.get_content().strip()}" for mail in mails]


@dataclass
class Shop:
    """A running service with its clock in hand."""

    home: Path
    sinks: Sinks
    now: datetime = NOON
    service: Service = field(init=False)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The service at work while inside; every time from the record of the time before."""
        listening = listen_on("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{port_of(listening)}/events/chord/{SECRET}"
        settings = demo_settings(self.home / "rules", self.home, SECRET, self.sinks)
        self.service = Service(settings, clock=lambda: self.now)
        async with self.service.running(listening):
            yield

    async def post(self, body: Any, **more: Any) -> httpx.Response:
        """Send a body, or an event given as a value."""
        content = body if isinstance(body, bytes) else to_json(body)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.post(self.url, content=content, **more)

    async def quiet(self) -> list[EventLine]:
        """Wait until all has come of everything that will; the events, oldest first."""
        async with asyncio.timeout(30):
            while True:
                events = (await self.service.store.events(limit=1000)).items
                made = (await self.service.store.deliveries(limit=1000)).items
                busy = any(one.state in BUSY for one in made)
                if not busy and all(one.state is not EventState.NEW for one in events):
                    return list(events)[::-1]
                await asyncio.sleep(0.01)


@asynccontextmanager
async def shop(home: Path, **rules: str) -> AsyncIterator[Shop]:
    """A shop with these rules, its service running."""
    (home / "rules").mkdir()
    for name, text in rules.items():
        (home / "rules" / f"{name.replace('_', '-')}.yaml").write_text(text)
    sinks = Sinks()
    async with sinks.open():
        keeper = Shop(home, sinks)
        async with keeper.running():
            yield keeper


def event(type: str = "order_completed", **changes: Any) -> dict[str, Any]:
    """A sample event with fields of its object changed."""
    body: dict[str, Any] = copy.deepcopy(dict(EVENT_TYPES[type].sample))
    body[EVENT_TYPES[type].object] |= changes
    return body


# receiving


async def raw(url: str, path: str, body: bytes) -> bytes:
    """The status line that a request for this very path is answered with."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    return line.rstrip()


async def test_every_form_of_the_address_is_answered_directly_on_the_wire(tmp_path: Path) -> None:
    """RCV-01: a trailing slash, a doubled one in front, a query; never a redirect."""
    async with shop(tmp_path, a=rule("order_completed", to("a"))) as keeper:
        path = f"/events/chord/{SECRET}"
        for form in (path, f"{path}/", f"/{path}", f"{path}?from=oms", f"{path}//"):
            assert await raw(keeper.url, form, to_json(event())) == b"HTTP/1.1 202 Accepted"
        assert (await raw(keeper.url, f"/v1{path}", to_json(event()))).startswith(b"HTTP/1.1 404 ")
        assert [one.arrivals for one in await keeper.quiet()] == [5]
        assert len(keeper.sinks.sent("http", "/a")) == 1


async def test_half_a_character_arrives_as_a_replacement_everywhere(tmp_path: Path) -> None:
    """RCV-11: the escape of half a surrogate pair in a name, to Slack, e-mail and HTTP alike."""
    text = "{{ order.line_items[0].name }}"
    actions = (
        f'  - slack: {{channel: ops, text: "{text}"}}\n'
        f'  - email: {{to: ops@shop.example, subject: "{text}", text: "{text}"}}\n'
        f'  - http: {{post: /x, connection: erp, json: {{name: "{text}"}}}}\n'
    )
    async with shop(tmp_path, a=rule("order_completed", actions)) as keeper:
        body = to_json(event()).replace(
            event()["order"]["line_items"][0]["name"].encode(), rb"Mug \ud83d red"
        )
        assert (await keeper.post(body)).status_code == 202
        (line,) = await keeper.quiet()
        assert (await keeper.service.store.event(line.id)).body == body
        assert keeper.sinks.sent("slack")[0]["text"] == "Mug � red"
        assert keeper.sinks.sent("email") == ["Mug � red: Mug � red"]
        assert keeper.sinks.sent("http") == [{"name": "Mug � red"}]


@pytest.mark.parametrize("number", [9007199254740993, 123456789012345678901234567890])
async def test_long_numbers_are_matched_and_sent_on_exactly(tmp_path: Path, number: int) -> None:
    """RCV-13: beyond 2^53 and beyond 64 bits."""
    send = '  - http: {post: /x, connection: erp, json: {id: "{{ order.id }}"}}\n'
    equal = f"when: order_completed\nif:\n  $.order.id: {number}\nthen:\n{send}"
    near = f"when: order_completed\nif:\n  $.order.id: {number - 1}\nthen:\n{send}"
    async with shop(tmp_path, equal=equal, near=near) as keeper:
        assert (await keeper.post(event(id=number))).status_code == 202
        await keeper.quiet()
        (sent,) = [one.content for one in keeper.sinks.caught]
        assert str(number).encode() in sent
        assert {one.rule for one in (await keeper.service.store.deliveries()).items} == {"equal"}


async def test_a_destination_that_hangs_delays_no_answer_and_gets_one_request(tmp_path: Path) -> None:
    """RCV-15: the answer is there while the action still waits for its own."""
    async with shop(tmp_path, a=rule("order_completed", to("slow"))) as keeper:
        began = perf_counter()
        assert (await keeper.post(event())).status_code == 202
        assert perf_counter() - began < 1.0
        async with asyncio.timeout(10):
            await keeper.sinks.reached.wait()
        assert not keeper.sinks.gate.is_set()
        keeper.sinks.gate.set()
        await keeper.quiet()
        assert len(keeper.sinks.caught) == 1


async def test_a_record_that_cannot_be_written_is_told_to_the_sender_and_shown_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RCV-17: 503 while another program holds the file, and a red /readyz; then it is taken, and acted on once."""
    monkeypatch.setattr("engine.store.sqlite.BUSY_MS", 20)
    monkeypatch.setattr("engine.store.store.FRESH", 0.0)
    async with shop(tmp_path, a=rule("order_completed", to("a"))) as keeper:
        base = keeper.url.partition("/events")[0]
        with closing(sqlite3.connect(tmp_path / "demo.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await keeper.post(event())
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{base}/readyz")).status_code == 503
            other.execute("ROLLBACK")
        assert (await keeper.post(event())).json()["repeat"] is False
        assert len(await keeper.quiet()) == 1
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{base}/readyz")).status_code == 200
        assert len(keeper.sinks.sent("http")) == 1


async def test_of_three_rules_for_one_event_each_acts_once(tmp_path: Path) -> None:
    """RCV-19."""
    rules = {name: rule("order_completed", to(name)) for name in ("a", "b", "c")}
    async with shop(tmp_path, **rules) as keeper:
        await keeper.post(event())
        await keeper.quiet()
        assert sorted(one.where for one in keeper.sinks.caught) == [f"POST /{name}/orders" for name in "abc"]


# repeats and order


async def test_the_same_bytes_and_the_same_content_are_one_event_and_one_message(tmp_path: Path) -> None:
    """DUP-01 and DUP-03: 24 seconds later, and with other spacing and order of keys."""
    async with shop(tmp_path, a=rule("order_completed", SLACK)) as keeper:
        body = to_json(event())
        turned = json.dumps(dict(reversed(json.loads(body).items())), indent=2).encode()
        answers = []
        for sent in (body, body, turned):
            answers.append(await keeper.post(sent))
            keeper.now += timedelta(seconds=24)
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert [answer.json()["repeat"] for answer in answers] == [False, True, True]
        (line,) = await keeper.quiet()
        assert line.arrivals == 3
        assert len(keeper.sinks.sent("slack")) == 1


async def test_stock_that_goes_and_comes_within_a_minute_is_four_events(tmp_path: Path) -> None:
    """DUP-05: bodies equal but for the name and updated_at."""
    text = '  - slack: {channel: ops, text: "{{ event.type }}"}\n'
    async with shop(tmp_path, a=rule("stock_item_*", text)) as keeper:
        for number, type in enumerate(("out_of_stock", "back_in_stock") * 2):
            stamp = f"2026-11-25T10:0{number // 3}:{number * 20 % 60:02}Z"
            body = event("stock_item_back_in_stock", updated_at=stamp) | {"event_name": f"stock_item_{type}"}
            assert (await keeper.post(body)).json()["repeat"] is False
        assert [one.arrivals for one in await keeper.quiet()] == [1, 1, 1, 1]
        assert len(keeper.sinks.sent("slack")) == 4


PARCEL = '  - email: {to: ops@shop.example, subject: "Parcel {{ shipment.number }}", text: "{{ shipment.delivery_status }}"}\n'


def parcel(status: str, minute: int) -> dict[str, Any]:
    stamp = f"2026-11-25T10:{minute:02}:00Z"
    return event(
        "shipment_delivery_status_updated", number="H1", id=1, delivery_status=status, updated_at=stamp
    )


async def test_a_late_notice_moves_no_parcel_backwards_and_a_rule_may_ask_for_it(tmp_path: Path) -> None:
    """DUP-07: delivered at 10:10, then in_transit of 10:05."""
    usual = rule("shipment_delivery_status_updated", PARCEL)
    asking = "late events: yes\n" + rule(
        "shipment_delivery_status_updated", to("late").replace("order.", "shipment.")
    )
    async with shop(tmp_path, usual=usual, asking=asking) as keeper:
        for status, minute in (("delivered", 10), ("in_transit", 5)):
            assert (await keeper.post(parcel(status, minute))).status_code == 202
            await keeper.quiet()
        assert [one.late for one in await keeper.quiet()] == [False, True]
        assert keeper.sinks.sent("email") == ["Parcel H1: delivered"]
        assert len(keeper.sinks.sent("http")) == 2


async def test_a_repeat_after_a_restart_and_fifty_thousand_other_events_leads_to_nothing_more(
    tmp_path: Path,
) -> None:
    """DUP-11: the memory of what was seen is kept on disk, and bounded in time."""
    async with shop(tmp_path, a=rule("order_completed", SLACK)) as keeper:
        await keeper.post(event())
        await keeper.quiet()
    async with await Store.open(f"sqlite:///{tmp_path / 'demo.db'}") as store:
        for start in range(0, 50_000, 10_000):
            await asyncio.gather(*(store.append(other(start + number), NOON) for number in range(10_000)))
        assert (await store.events(limit=1)).items[0].id == "50001"
    async with keeper.sinks.open():
        async with await Store.open(f"sqlite:///{tmp_path / 'demo.db'}") as store:
            number, judged = "0", 0
            while batch := await store.take_new(1000, NOON, number):
                number, judged = batch[-1].id, judged + len(batch)
                said = [Judged(event_id=one.id, rulebook="", outcomes={}, planned_at=NOON) for one in batch]
                await store.record(said)
            assert judged == 50_000
        async with keeper.running():
            answer = await keeper.post(event())
            assert answer.json() == {"event": "1", "repeat": True}
            await keeper.quiet()
            assert len(keeper.sinks.sent("slack")) == 1
            keeper.now += timedelta(days=8)
            while await keeper.service.store.purge_identities(keeper.now):
                pass
            assert (await keeper.post(event())).json()["repeat"] is False


def other(number: int) -> Arrival:
    return Arrival(
        source="chord", type="order_completed", subject=f"order:X{number}", body=b"{}", window=timedelta(days=7),
        identity=sha256(b"%d" % number).digest(),
    )  # fmt: skip


async def test_the_state_of_each_parcel_is_its_own(tmp_path: Path) -> None:
    """DUP-13: two shipments of one order, each with its tracking number, and each compared with itself."""
    changed = (
        "when: shipment_updated\nif:\n  shipment.tracking: changed\nthen:\n"
        '  - slack: {channel: ops, text: "{{ shipment.number }} {{ shipment.tracking }}"}\n'
    )
    shipped = rule("shipment_shipped", '  - slack: {channel: all, text: "{{ shipment.tracking }}"}\n')
    async with shop(tmp_path, changed=changed, shipped=shipped) as keeper:
        for id, tracking in ((4, "AAA"), (5, "BBB")):
            body = event(
                "shipment_shipped",
                id=id,
                number=f"H{id}",
                tracking=tracking,
                updated_at="2026-11-25T10:00:00Z",
            )
            await keeper.post(body)
        for id, tracking in ((4, "AAA"), (5, "CCC")):
            stamp = "2026-11-25T10:01:00Z"
            await keeper.post(
                event("shipment_updated", id=id, number=f"H{id}", tracking=tracking, updated_at=stamp)
            )
        await keeper.quiet()
        assert sorted(one["text"] for one in keeper.sinks.sent("slack", "#all")) == ["AAA", "BBB"]
        assert [one["text"] for one in keeper.sinks.sent("slack", "#ops")] == ["H5 CCC"]
