"""The sandbox behaves as Chord's webhook guide says; each docstring names the section of the guide that it holds to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.oms import Oms
from engine.sources.chord.repeats import PAUSES
from engine.sources.chord.sandbox import (
    Life,
    SandboxError,
    build_sandbox,
    run_straight,
    run_through,
    send_straight,
    send_through,
)
from engine.sources.chord.shop import Shop

pytestmark = pytest.mark.anyio

TOKEN = "t0k3n"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
COLLECTION = "/api/webhook/endpoints"
GUIDE = {
    "target_url": "https://example.com/my/webhook/endpoint",
    "events": ["order_completed", "order_cancelled"],
}
START = datetime(2026, 10, 28, 14, tzinfo=UTC)

Reply = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A sandbox with a clock of its own and a made-up network.

    Pauses are written down and pass at once; with `may_pass` cleared they last, and `pausing` says that one began.
    """

    def __init__(self, reply: Reply, speed: float = 1.0) -> None:
        self.now = START
        self.pauses: list[float] = []
        self.pausing, self.may_pass = asyncio.Event(), asyncio.Event()
        self.may_pass.set()
        self.got: list[httpx.Request] = []
        self._reply = reply
        self.heard: list[Any] = []
        self.app: Starlette = build_sandbox(
            token=TOKEN,
            seed=7,
            speed=speed,
            clock=lambda: self.now,
            sleep=self._sleep,
            client=httpx.AsyncClient(transport=httpx.MockTransport(self._receive)),
            tell=self.heard.append,
        )
        self.oms: Oms = self.app.state.oms
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 50000))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000")

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)
        self.pausing.set()
        await asyncio.sleep(0)
        await self.may_pass.wait()

    async def _receive(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.got.append(request)
        answer = self._reply(request)
        return unread(answer) if answer.is_stream_consumed else answer

    async def register(self, **changes: Any) -> Any:
        answer = await self.http.post(COLLECTION, json={"endpoint": {**GUIDE, **changes}}, headers=BEARER)
        assert answer.status_code == 201
        return answer.json()

    async def send(self, event: str = "order_completed", **more: Any) -> httpx.Response:
        answer = await self.http.post("/api/sandbox/send", json={"event": event, **more})
        await self.oms.deliveries.settle()
        return answer

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.got]


def unread(answer: httpx.Response) -> httpx.Response:
    """The same answer as it comes over a network: not yet read."""

    async def content() -> AsyncIterator[bytes]:
        yield answer.content

    return httpx.Response(answer.status_code, headers=answer.headers, content=content())


@asynccontextmanager
async def world(*codes: int, reply: Reply | None = None, speed: float = 1.0) -> AsyncIterator[World]:
    """A world whose receivers answer with the codes in turn, the last one for ever."""
    left = list(codes or (200,))
    made = World(reply or (lambda _: httpx.Response(left.pop(0) if len(left) > 1 else left[0])), speed)
    async with made.app.router.lifespan_context(made.app), made.http:
        yield made


# registering


async def test_an_endpoint_is_registered_by_the_guides_call() -> None:
    """Guide, "Add endpoints with the API": a POST with the token and the endpoint's address and events."""
    async with world() as here:
        made = await here.register()
        assert made["id"] == 1
        assert {key: made[key] for key in GUIDE} == GUIDE
        listed = await here.http.get(COLLECTION, headers=BEARER)
        assert listed.json() == {"endpoints": [made]}


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", ""),
        ("GET", "/1"),
        ("PUT", "/1"),
        ("PATCH", "/1"),
        ("DELETE", "/1"),
        ("GET", "/1/attempts"),
    ],
)
async def test_without_the_token_nothing_can_be_seen_or_done(
    method: str, path: str, header: dict[str, str]
) -> None:
    """Guide, "Add endpoints with the API": Authorization: Bearer."""
    async with world() as here:
        made = await here.register()
        answer = await here.http.request(method, COLLECTION + path, json={"endpoint": GUIDE}, headers=header)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]
        assert (await here.http.get(COLLECTION, headers=BEARER)).json() == {"endpoints": [made]}


@pytest.mark.parametrize(
    ("endpoint", "about", "reason"),
    [
        ({**GUIDE, "events": ["order_canceled"]}, "events", "Did you mean order_cancelled?"),
        (
            {**GUIDE, "events": ["shipping_delivery_status_updated"]},
            "events",
            "shipment_delivery_status_updated?",
        ),
        ({**GUIDE, "events": [7]}, "events", 'The OMS has no event "7".'),
        ({**GUIDE, "events": []}, "events", "The list of events is missing."),
        ({**GUIDE, "events": "order_completed"}, "events", "The list of events is missing."),
        ({"events": ["order_completed"]}, "target_url", "The address is missing"),
        ({**GUIDE, "target_url": "example.com/hook"}, "target_url", "must start with https:// (or http://)"),
        ({**GUIDE, "target_url": "http://a b"}, "target_url", "has a blank"),
        ({**GUIDE, "target_url": "http://x/" + "y" * 2000}, "target_url", "2,000 is the most"),
        (None, "endpoint", "target_url"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_refused_with_the_reason(
    endpoint: Any, about: str, reason: str
) -> None:
    """Guide, "Event types": this is a list of all the types of events."""
    async with world() as here:
        answer = await here.http.post(COLLECTION, json={"endpoint": endpoint}, headers=BEARER)
        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [about]
        assert reason in answer.json()["error"]
        assert here.oms.endpoints == {}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"x" * 70_000, "application/json", 413),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(content: bytes, kind: str, status: int) -> None:
    async with world() as here:
        answer = await here.http.post(COLLECTION, content=content, headers={**BEARER, "Content-Type": kind})
        assert answer.status_code == status
        assert answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_endpoint_can_be_updated_and_hears_from_then_on_what_it_wants(method: str) -> None:
    """Guide, "Manage webhook endpoints": existing endpoints can be updated."""
    async with world() as here:
        await here.register()
        changes = {"endpoint": {"target_url": "https://example.com/new", "events": ["shipment_shipped"]}}
        answer = await here.http.request(method, f"{COLLECTION}/1", json=changes, headers=BEARER)
        assert answer.json()["events"] == ["shipment_shipped"]
        await here.send("order_completed")
        await here.send("shipment_shipped")
        assert [str(request.url) for request in here.got] == ["https://example.com/new"]


async def test_a_wrong_update_changes_nothing() -> None:
    async with world() as here:
        made = await here.register()
        changes = {"endpoint": {"target_url": "https://example.com/new", "events": ["nothing"]}}
        answer = await here.http.patch(f"{COLLECTION}/1", json=changes, headers=BEARER)
        assert answer.status_code == 422
        assert (await here.http.get(f"{COLLECTION}/1", headers=BEARER)).json() == made


async def test_an_endpoint_can_be_deleted_and_hears_nothing_more() -> None:
    """Guide, "Manage webhook endpoints": existing endpoints can be deleted."""
    async with world() as here:
        await here.register()
        assert (await here.http.delete(f"{COLLECTION}/1", headers=BEARER)).status_code == 204
        assert (await here.http.get(f"{COLLECTION}/1", headers=BEARER)).status_code == 404
        assert (await here.http.delete(f"{COLLECTION}/1", headers=BEARER)).status_code == 404
        await here.send()
        assert here.got == []


async def test_what_waits_to_be_repeated_is_given_up_when_its_endpoint_is_deleted() -> None:
    async with world(reply=lambda _: httpx.Response(500)) as here:
        await here.register()
        here.may_pass.clear()
        here.oms.send("order_completed")
        await here.pausing.wait()
        here.oms.remove(here.oms.endpoints[1])
        here.may_pass.set()
        await here.oms.deliveries.settle()
        assert len(here.got) == 1


# delivering


@pytest.mark.parametrize("event", EVENT_TYPES)
async def test_each_of_the_seven_events_is_posted_as_json_with_its_whole_object(event: str) -> None:
    """Guide, "Key considerations": for each event the OMS POSTs the data in JSON; the full details are included."""
    async with world() as here:
        await here.register(events=[event])
        await here.send(event)
        (request,) = here.got
        assert (request.method, str(request.url)) == ("POST", GUIDE["target_url"])
        assert request.headers["content-type"] == "application/json"
        (body,) = here.bodies()
        object = EVENT_TYPES[event].object
        assert body["event_name"] == event
        assert set(body[object]) == set(EVENT_TYPES[event].sample[object])


@pytest.mark.parametrize("code", [200, 201, 202, 204])
async def test_the_four_codes_acknowledge_an_event(code: int) -> None:
    """Guide, "Allowed HTTP status code"."""
    async with world(code) as here:
        await here.register()
        await here.send()
        assert len(here.got) == 1


@pytest.mark.parametrize(
    "code", [100 + 103, 206, 301, 302, 303, 304, 307, 308, 400, 401, 404, 409, 410, 429, 500, 503]
)
async def test_every_other_code_is_repeated_up_to_five_times(code: int) -> None:
    """Guide, "Key considerations": all other codes, 3xx included, mean not received; repeated up to 5 times."""
    elsewhere = {"Location": "https://example.com/elsewhere"}
    async with world(reply=lambda _: httpx.Response(code, headers=elsewhere)) as here:
        await here.register()
        await here.send()
        assert [str(request.url) for request in here.got] == [GUIDE["target_url"]] * 6
        assert len({request.content for request in here.got}) == 1
        assert here.oms.endpoints[1].lost == 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (httpx.ConnectError("refused"), "nobody answers there"),
        (httpx.ReadTimeout("slow"), "no answer within 10 seconds"),
        (httpx.RemoteProtocolError("closed"), "the call broke off"),
    ],
)
async def test_no_answer_is_repeated_too_and_said_in_words(failure: Exception, words: str) -> None:
    """Guide, "Key considerations": without a valid code the attempt is repeated."""

    def reply(_: httpx.Request) -> httpx.Response:
        raise failure

    async with world(reply=reply) as here:
        await here.register()
        await here.send()
        attempts = (await here.http.get(f"{COLLECTION}/1/attempts", headers=BEARER)).json()["attempts"]
        assert [(one["try"], one["status"]) for one in attempts] == [(n, None) for n in (6, 5, 4, 3, 2, 1)]
        assert words in attempts[0]["answer"]


async def test_an_event_is_not_repeated_once_it_was_acknowledged() -> None:
    """Guide, "Key considerations": repeated if no valid code is received."""
    async with world(500, 302, 204) as here:
        await here.register()
        await here.send()
        assert len(here.got) == 3
        assert here.oms.endpoints[1].lost == 0


async def test_the_pauses_between_repeats_grow_and_the_speed_shortens_them() -> None:
    async with world(500, speed=3600) as here:
        await here.register()
        await here.send()
        assert here.pauses == [pause / 3600 for pause in PAUSES]
    assert all(second > first for first, second in pairwise(PAUSES))
    assert sum(PAUSES) / 3600 < 2


async def test_each_endpoint_hears_only_the_events_it_was_registered_for() -> None:
    """Guide, "Event types": endpoints should receive only the types of events required."""
    async with world() as here:
        await here.register(target_url="https://a.example/orders", events=["order_completed"])
        await here.register(target_url="https://b.example/parcels", events=["shipment_shipped"])
        await here.register(target_url="https://c.example/all", events=list(EVENT_TYPES))
        for event in EVENT_TYPES:
            await here.send(event)
        heard: dict[str, list[str]] = {}
        for request, body in zip(here.got, here.bodies(), strict=True):
            heard.setdefault(request.url.host, []).append(body["event_name"])
        assert heard == {
            "a.example": ["order_completed"],
            "b.example": ["shipment_shipped"],
            "c.example": list(EVENT_TYPES),
        }


async def test_one_endpoint_failing_does_not_repeat_the_event_at_another() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.url.host == "bad.example" else 200)

    async with world(reply=reply) as here:
        await here.register(target_url="https://bad.example/")
        await here.register(target_url="https://good.example/")
        await here.send()
        hosts = [request.url.host for request in here.got]
        assert (hosts.count("bad.example"), hosts.count("good.example")) == (6, 1)


async def test_an_endpoint_shows_its_latest_response_and_all_attempts_with_their_codes() -> None:
    """Guide, "View events": the latest response, a list of all attempted webhooks, and their status codes."""
    async with world(500, 302, 200) as here:
        await here.register()
        await here.send()
        shown = (await here.http.get(f"{COLLECTION}/1", headers=BEARER)).json()["latest_response"]
        assert (shown["event"], shown["status"], shown["try"]) == ("order_completed", 200, 3)
        attempts = (await here.http.get(f"{COLLECTION}/1/attempts", headers=BEARER)).json()["attempts"]
        assert [(one["status"], one["acknowledged"]) for one in attempts] == [
            (200, True),
            (302, False),
            (500, False),
        ]
        assert {one["about"] for one in attempts} == {here.bodies()[0]["order"]["number"]}
        assert [attempt.status for attempt in here.heard] == [500, 302, 200]


async def test_only_the_beginning_of_an_answer_is_read() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"<p>\n no  end </p>"

    async with world(reply=lambda _: httpx.Response(200, content=endless())) as here:
        await here.register()
        await here.send()
        (attempt,) = here.oms.endpoints[1].attempts
        assert attempt.excerpt.startswith("<p> no end </p>")
        assert len(attempt.excerpt) <= 200


# sending by hand


async def test_an_event_sent_by_hand_can_be_changed_first() -> None:
    async with world() as here:
        await here.register()
        changes = {"order.total": "250.00", "order.user": None, "order.line_items[0].quantity": 12}
        answer = await here.send(set=changes, times=2)
        assert answer.json()["endpoints"] == [{"id": 1, "target_url": GUIDE["target_url"]}]
        orders = [body["order"] for body in here.bodies()]
        assert [order["total"] for order in orders] == ["250.00"] * 2
        assert all(order["user"] is None and order["line_items"][0]["quantity"] == 12 for order in orders)
        assert orders[0]["number"] != orders[1]["number"]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"event": "order_canceled"}, "Did you mean order_cancelled?"),
        ({"event": "order_completed", "times": 0}, "1 to 1,000 times, not 0"),
        ({"event": "order_completed", "times": True}, "1 to 1,000 times"),
        ({"event": "order_completed", "set": {"order.line_items[99].sku": "x"}}, "leads nowhere"),
        ({"event": "order_completed", "set": {"$..sku": "x"}}, "names no single field"),
        ({"event": "order_completed", "set": ["order.total=1"]}, "paths and values are wanted"),
        ({"event": "order_completed", "fault": "lost"}, 'There is no fault "lost"'),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_the_reason(order: Any, reason: str) -> None:
    async with world() as here:
        await here.register()
        answer = await here.http.post("/api/sandbox/send", json=order)
        assert answer.status_code == 422
        assert reason in answer.json()["error"]
        assert here.got == []


async def test_several_events_by_hand_arrive_in_the_order_of_their_time() -> None:
    async with world() as here:
        await here.register(events=list(EVENT_TYPES))
        await here.send("shipment_delivery_status_updated", times=4)
        times = [body["shipment"]["updated_at"] for body in here.bodies()]
        assert times == sorted(times)
        assert len(set(times)) == 4


async def test_late_holds_an_event_back() -> None:
    async with world(speed=10) as here:
        await here.register()
        await here.send(fault="late")
        assert here.pauses == [60.0]
        assert len(here.got) == 1


async def test_doubled_sends_the_same_again_after_it_was_acknowledged() -> None:
    async with world(202) as here:
        await here.register()
        await here.send(fault="doubled")
        assert here.got[0].content == here.got[1].content
        assert (len(here.got), here.pauses) == (2, [24.0])


async def test_re_rendered_sends_the_same_content_in_other_bytes() -> None:
    async with world(202) as here:
        await here.register()
        await here.send(fault="re-rendered")
        first, second = here.got
        assert first.content != second.content
        assert json.loads(first.content) == json.loads(second.content)
        assert list(json.loads(second.content)) == ["order", "event_name"]


async def test_out_of_order_sends_the_newest_first() -> None:
    async with world() as here:
        await here.register(events=list(EVENT_TYPES))
        await here.send("shipment_delivery_status_updated", fault="out of order")
        times = [body["shipment"]["updated_at"] for body in here.bodies()]
        assert len(times) == 2
        assert times[0] > times[1]
        assert len({body["shipment"]["number"] for body in here.bodies()}) == 1


async def test_slow_lets_the_body_dribble_in_whole() -> None:
    async with world() as here:
        await here.register()
        await here.send(fault="slow")
        assert here.bodies()[0]["event_name"] == "order_completed"
        assert sum(here.pauses) == pytest.approx(4.0)


async def test_cut_off_breaks_the_first_try_and_repeats_whole() -> None:
    async with world(400, 200) as here:
        await here.register()
        await here.send(fault="cut off")
        cut, whole = (request.content for request in here.got)
        assert whole.startswith(cut)
        assert len(cut) == len(whole) // 2
        assert json.loads(whole)["event_name"] == "order_completed"


async def test_wrong_type_labels_the_body_as_plain_text() -> None:
    async with world() as here:
        await here.register()
        await here.send(fault="wrong type")
        assert here.got[0].headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, "192.0.2.7"),
        ({"Host": "rebound.example"}, "127.0.0.1"),
        ({"Origin": "https://evil.example"}, "127.0.0.1"),
        ({"Sec-Fetch-Site": "cross-site"}, "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("path", ["/api/sandbox/send", "/api/sandbox/run", "/send", "/life", "/endpoints"])
async def test_other_machines_and_other_sites_pages_can_send_nothing_without_the_token(
    path: str, headers: dict[str, str], client: str
) -> None:
    async with world() as here:
        transport = httpx.ASGITransport(here.app, client=(client, 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as http:
            answer = await http.post(path, json={"event": "order_completed"}, headers=headers)
            assert answer.status_code == 403
            allowed = await http.get("/api/sandbox", headers={**headers, **BEARER})
            assert allowed.status_code == 200


# the shop


async def test_the_shop_lives_only_when_told_and_then_as_its_seed_says() -> None:
    async with world() as here:
        await here.register(events=list(EVENT_TYPES))
        assert (await here.http.get("/api/sandbox")).json()["living"] is False
        answer = await here.http.post("/api/sandbox/run", json={"orders": 5})
        assert answer.status_code == 202
        await here.oms.settle()
        told = sorted(json.dumps(body) for body in here.bodies())
        shop = Shop(Random(7), START)
        assert told == sorted(json.dumps(one.body) for one in shop.events(5, START))
        assert (await here.http.get("/api/sandbox")).json()["orders"] == 5


async def test_each_event_of_the_shop_is_sent_when_it_is_due_shortened_by_the_speed() -> None:
    async with world(speed=60) as here:
        await here.register(events=list(EVENT_TYPES))
        due = [one.due for one in Shop(Random(7), START).events(3, START)]
        await here.oms.live(Life(3))
        assert here.now - START == pytest.approx((due[-1] - START) / 60, abs=timedelta(milliseconds=1))


async def test_a_shop_that_lives_is_not_begun_again_and_can_be_stopped() -> None:
    async with world() as here:
        await here.http.post("/api/sandbox/run", json={})
        answer = await here.http.post("/api/sandbox/run", json={"orders": 1})
        assert (answer.status_code, answer.json()["error"]) == (422, "The shop lives already. Stop it first.")
        assert (await here.http.delete("/api/sandbox/run")).status_code == 204
        assert here.oms.living is False


@pytest.mark.parametrize("orders", [0, -1, "many", 1.5])
async def test_a_number_of_orders_that_is_none_is_refused(orders: Any) -> None:
    async with world() as here:
        answer = await here.http.post("/api/sandbox/run", json={"orders": orders})
        assert answer.status_code == 422
        assert here.oms.living is False


# pages


async def test_the_pages_show_endpoints_with_their_latest_answer_and_every_attempt() -> None:
    """Guide, "View events": clicking on an endpoint shows the latest response and all attempts with their codes."""
    async with world(500, 204) as here:
        await here.register()
        await here.send()
        first = (await here.http.get("/")).text
        assert GUIDE["target_url"] in first
        assert 'href="/endpoints/1"' in first
        assert ">204<" in first
        page = (await here.http.get("/endpoints/1")).text
        assert page.index(">204<") < page.index(">500<")
        assert here.bodies()[0]["order"]["number"] in page
        assert "2 of 6" in page


async def test_pages_need_no_scripts_and_nothing_from_elsewhere() -> None:
    async with world() as here:
        await here.register()
        for path in ("/", "/endpoints/1"):
            answer = await here.http.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "<script" not in answer.text
            assert [
                part.split('"')[0] for part in answer.text.split('<link rel="stylesheet" href="')[1:]
            ] == ["/sandbox.css"]
        css = await here.http.get("/sandbox.css")
        assert css.headers["content-type"].startswith("text/css")
        assert "prefers-color-scheme: dark" in css.text


async def test_what_others_sent_is_shown_as_text() -> None:
    async with world(reply=lambda _: httpx.Response(500, text="<script>alert(1)</script>")) as here:
        await here.register(target_url="https://example.com/<b>")
        await here.send(set={"order.number": "<i>7</i>"})
        page = (await here.http.get("/endpoints/1")).text
        assert "<script>" not in page
        assert "<b>" not in page
        assert "<i>" not in page
        assert "&lt;script&gt;alert(1)" in page


async def test_an_endpoint_is_added_changed_and_deleted_in_the_browser() -> None:
    """Guide, "Add endpoints from the Dashboard" and "Manage webhook endpoints"."""
    async with world() as here:
        form = {"target_url": "https://example.com/hook", "events": ["order_completed", "shipment_shipped"]}
        added = await here.http.post("/endpoints", data=form)
        assert (added.status_code, added.headers["location"]) == (303, "/endpoints/1")
        assert here.oms.endpoints[1].events == ("order_completed", "shipment_shipped")
        await here.http.post("/endpoints/1", data={**form, "events": ["order_cancelled"]})
        assert here.oms.endpoints[1].events == ("order_cancelled",)
        await here.http.post("/endpoints/1/delete")
        assert here.oms.endpoints == {}


async def test_a_form_that_cannot_be_is_answered_with_the_reason_on_the_page() -> None:
    async with world() as here:
        await here.register()
        for path, form, reason in (
            ("/endpoints", {"target_url": "nowhere"}, "must start with https://"),
            ("/endpoints/1", {"target_url": GUIDE["target_url"]}, "The list of events is missing"),
            (
                "/send",
                {"event": "order_completed", "changes": "order.total", "times": "1"},
                "is not PATH=VALUE",
            ),
            ("/send", {"event": "order_completed", "times": "x"}, "1 to 1,000 times"),
            ("/life", {"orders": "0"}, "1 or more"),
        ):
            answer = await here.http.post(path, data=form)
            assert answer.status_code == 422
            assert reason in answer.text
        assert here.oms.endpoints[1].events == tuple(GUIDE["events"])


async def test_an_event_is_sent_in_the_browser() -> None:
    async with world() as here:
        await here.register()
        form = {
            "event": "order_completed",
            "changes": "order.total=250.00\r\norder.item_count=3",
            "times": "2",
            "fault": "",
        }
        sent = await here.http.post("/send", data=form)
        assert sent.status_code == 303
        await here.oms.deliveries.settle()
        assert [(body["order"]["total"], body["order"]["item_count"]) for body in here.bodies()] == [
            ("250.00", 3)
        ] * 2
        assert (
            "order_completed is on its way to 1 endpoint."
            in (await here.http.get(sent.headers["location"])).text
        )


async def test_an_event_that_nobody_listens_to_is_said_to_be_unsent() -> None:
    async with world() as here:
        sent = await here.http.post("/send", data={"event": "shipment_shipped", "changes": "", "times": "1"})
        told = await here.http.get(sent.headers["location"])
        assert "No endpoint listens to shipment_shipped" in told.text


async def test_a_page_that_is_not_there_says_so_in_words() -> None:
    async with world() as here:
        answer = await here.http.get("/endpoints/9")
        assert (answer.status_code, answer.text) == (404, "There is no endpoint 9.")


# from the command line, over real HTTP


def test_a_refused_event_arrives_once_and_five_times_again(served: Any, receiver: Any) -> None:
    """Guide, "Key considerations"."""
    with receiver(500) as hook, served(build_sandbox(token=TOKEN, speed=100_000)) as url:
        endpoint = {"target_url": f"{hook.url}/hook", "events": ["order_completed"]}
        answer = httpx.post(url + COLLECTION, json={"endpoint": endpoint}, headers=BEARER, trust_env=False)
        assert answer.status_code == 201
        assert send_through(url, "order_completed", ["order.total=250.00"]) == [f"{hook.url}/hook"]
        hook.wait_for(6)
        assert len(hook.bodies) == 6
        assert {json.loads(body)["order"]["total"] for body in hook.bodies} == {"250.00"}


def test_an_event_goes_straight_to_a_receiver_once(receiver: Any) -> None:
    with receiver(500, 202, answer=b'{"event": "1"}') as hook:
        attempts = send_straight(hook.url, "shipment_updated", ["shipment.tracking=null"], times=2)
        assert [(one.status, one.acknowledged, one.number) for one in attempts] == [
            (500, False, 1),
            (202, True, 1),
        ]
        assert [json.loads(body)["shipment"]["tracking"] for body in hook.bodies] == [None, None]
        assert attempts[1].excerpt == '{"event": "1"}'


def test_a_shop_lives_in_front_of_a_receiver_and_the_figures_are_told(receiver: Any) -> None:
    heard: list[Any] = []
    with receiver(500, 202) as hook:
        run = run_straight(hook.url, Life(3, seed=7, speed=1e6), tell=heard.append)
        assert (run.orders, run.refused, run.lost) == (3, 1, 0)
        assert run.tries == len(hook.bodies) == len(heard) > 10


def test_a_running_sandboxs_shop_is_told_to_live(served: Any, receiver: Any) -> None:
    with receiver(200) as hook, served(build_sandbox(token=TOKEN, speed=1e9)) as url:
        endpoint = {"target_url": hook.url, "events": ["order_completed"]}
        httpx.post(url + COLLECTION, json={"endpoint": endpoint}, headers=BEARER, trust_env=False)
        run_through(url, Life(4), token=TOKEN)
        hook.wait_for(4)
        with pytest.raises(SandboxError, match="The token is missing or wrong"):
            run_through(url, Life(4), token="wrong")


def test_what_cannot_be_sent_is_said_in_words(nobody: str, receiver: Any) -> None:
    def said(call: Callable[[], Any]) -> str:
        with pytest.raises(SandboxError) as raised:
            call()
        return str(raised.value)

    assert said(lambda: send_through(nobody, "order_completed")) == (
        f"No sandbox answers at {nobody}. Start one with `shopbell sandbox`."
    )
    with receiver(404, answer=b"not here") as other:
        assert "is no sandbox (code 404)" in said(lambda: send_through(other.url, "order_completed"))
    assert "Did you mean order_cancelled?" in said(lambda: send_straight(nobody, "order_canceled"))
    assert "is not PATH=VALUE" in said(lambda: send_straight(nobody, "order_completed", ["order.total"]))
    assert 'There is no fault "lost"' in said(lambda: send_straight(nobody, "order_completed", fault="lost"))
    assert "must start with https://" in said(lambda: send_straight("example.com", "order_completed"))
    assert "leads nowhere" in said(
        lambda: send_straight(nobody, "order_completed", ["order.line_items[9].sku=1"])
    )
    assert "must start with https://" in said(lambda: run_straight("example.com", Life(1)))


async def test_a_life_has_the_seed_the_speed_and_the_rate_that_it_is_told() -> None:
    async with world() as here:
        await here.register(events=["order_completed"])
        wanted = {"orders": 4, "seed": 11, "speed": 3600, "orders_per_hour": 2.5}
        assert (await here.http.post("/api/sandbox/run", json=wanted)).status_code == 202
        await here.oms.settle()
        life = Shop(Random(11), START, orders_per_hour=2.5).events(4, START)
        told = [one.body for one in life if one.event == "order_completed"]
        assert sorted(map(json.dumps, here.bodies())) == sorted(map(json.dumps, told))
        assert here.oms.speed == 3600


@pytest.mark.parametrize(
    ("wanted", "about"),
    [
        ({"seed": "seven"}, "seed"),
        ({"speed": 0}, "speed"),
        ({"speed": True}, "speed"),
        ({"orders_per_hour": 1e9}, "orders_per_hour"),
        ({"faults": 1.5}, "faults"),
    ],
)
async def test_a_life_that_cannot_be_is_refused_with_the_reason(wanted: Any, about: str) -> None:
    async with world() as here:
        answer = await here.http.post("/api/sandbox/run", json=wanted)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [about])
        assert here.oms.living is False


async def test_some_events_of_a_life_go_wrong_on_their_way_and_none_is_lost_by_that() -> None:
    async with world(reply=lambda one: httpx.Response(202 if _is_whole(one.content) else 400)) as here:
        await here.register(events=list(EVENT_TYPES))
        await here.oms.live(Life(40, faults=0.5))
        await here.oms.deliveries.settle()
        happened = [json.dumps(one.body, sort_keys=True) for one in Shop(Random(7), START).events(40, START)]
        whole = [request for request in here.got if _is_whole(request.content)]
        came = [json.dumps(json.loads(request.content), sort_keys=True) for request in whole]
        assert set(came) == set(happened)
        assert len(came) > len(happened)
        assert "text/plain" in {request.headers["content-type"] for request in here.got}
        assert len({request.content for request in whole}) > len(happened)
        assert _turned(came) > 0


def _is_whole(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _turned(came: list[str]) -> int:
    """How many events came after a newer one of the same shipment."""
    newest: dict[str, str] = {}
    turned = 0
    for body in map(json.loads, came):
        if parcel := body.get("shipment"):
            turned += parcel["updated_at"] < newest.get(parcel["number"], "")
            newest[parcel["number"]] = max(parcel["updated_at"], newest.get(parcel["number"], ""))
    return turned


async def test_a_life_is_begun_in_the_browser_with_its_speed_and_faults() -> None:
    async with world() as here:
        await here.register(events=["order_completed"])
        await here.http.post("/life", data={"orders": "2", "speed": "60", "faults": "100"})
        assert here.oms.living
        assert here.oms.speed == 60
        await here.oms.settle()
        assert here.oms.orders == 2


async def test_a_redirect_to_nowhere_is_told_in_words() -> None:
    async with world(302) as here:
        await here.register()
        await here.send()
        assert (
            here.oms.endpoints[1].attempts[0].excerpt
            == "sends on to another address, which does not count as received"
        )
