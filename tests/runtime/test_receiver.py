"""The receiver takes what the right sender sends, keeps it before it answers, and says plainly what it cannot take."""

from __future__ import annotations

import copy
import gzip
import json
import logging
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runtime.metrics import Metrics
from engine.runtime.receiver import BODY_LIMIT, Intake, Receiver
from engine.sources.body import BOM
from engine.sources.chord import Chord
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import Appended, Arrival, Store, StoreUnavailable

pytestmark = pytest.mark.anyio

SECRET = "a-long-secret-0123456789"
OLD_SECRET = "the-secret-before-9876543210"
NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
ORDER: Mapping[str, Any] = EVENT_TYPES["order_completed"].sample
BODY = msgspec.json.Encoder(decimal_format="number").encode(ORDER)
NAME = ORDER["order"]["line_items"][0]["name"].encode()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Log:
    """A record in memory that knows repeats by identity, and fails when told."""

    kept: list[Arrival] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    failing: str = ""

    async def append(self, arrival: Arrival, received_at: datetime) -> Appended:
        self._work()
        assert received_at == NOW
        ids = {one.identity: str(place) for place, one in reversed(list(enumerate(self.kept, start=1)))}
        known = ids.get(arrival.identity)
        self.kept.append(arrival)
        return Appended(known or str(len(self.kept)), repeat=known is not None)

    async def quarantine(self, **what: Any) -> None:
        self._work()
        self.quarantined.append(what)

    def _work(self) -> None:
        if self.failing:
            raise StoreUnavailable(self.failing)


@dataclass
class Shop:
    """The service as a sender meets it: its answers, and what it keeps and counts behind them."""

    secrets: tuple[str, ...] = (SECRET,)
    log: Any = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    read: int = 0

    def __post_init__(self) -> None:
        receiver = Receiver(Chord(), self.log, self.secrets, clock=lambda: NOW, metrics=self.metrics)
        self.app = Intake(elsewhere, [receiver])

    async def send(
        self,
        body: bytes | Iterable[bytes] = BODY,
        *,
        path: str | bytes = f"/events/chord/{SECRET}",
        method: str = "POST",
        headers: Mapping[str, str | bytes] | None = None,
        length: int | None = None,
    ) -> Answer:
        """One request, its body in the pieces given, and the answer."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        raw = {
            name.encode(): each.encode() if isinstance(each, str) else each
            for name, each in (headers or {}).items()
        }
        if length is not None:
            raw[b"content-length"] = str(length).encode()
        address, _, query = (path if isinstance(path, bytes) else path.encode()).partition(b"?")
        scope = {
            "type": "http",
            "method": method,
            "path": address.decode("latin-1"),
            "raw_path": address,
            "query_string": query,
            "headers": list(raw.items()),
        }
        answer = Answer()

        async def receive() -> dict[str, Any]:
            self.read += 1
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or not closed}

        async def send(message: Any) -> None:
            answer.take(message)

        closed = not (isinstance(body, Gone))
        await self.app(scope, receive, send)
        return answer

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"shopbell_{name}", labels) or 0.0


class Gone(tuple[bytes, ...]):
    """Pieces of a body whose sender goes away before the last one."""


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """The rest of the service: here nothing but 404."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def order(**changes: Any) -> dict[str, Any]:
    """The sample order with fields changed."""
    body = copy.deepcopy(dict(ORDER))
    body["order"].update(changes)
    return body


def bearer(token: str | bytes) -> dict[str, bytes]:
    return {"authorization": b"Bearer " + (token if isinstance(token, bytes) else token.encode())}


# receiving and acknowledging


async def test_an_event_is_kept_as_it_came_and_acknowledged() -> None:
    shop = Shop()
    answer = await shop.send(headers={"content-type": "application/json", "user-agent": "Chord/1"})
    assert (answer.status, answer.json) == (202, {"event": "1", "repeat": False})
    assert answer.headers == {"content-length": str(len(answer.body)), "content-type": "application/json"}
    (arrival,) = shop.log.kept
    assert (arrival.source, arrival.type, arrival.subject, arrival.body) == (
        "chord", "order_completed", f"order:{ORDER['order']['number']}", BODY)  # fmt: skip
    assert arrival.headers == {"content-type": "application/json", "user-agent": "Chord/1"}
    assert shop.counted("events_received_total", type="order_completed") == 1
    assert shop.counted("ack_seconds_count") == 1


@pytest.mark.parametrize("type", EVENT_TYPES)
async def test_every_event_type_is_taken(type: str) -> None:
    shop = Shop()
    answer = await shop.send(msgspec.json.Encoder(decimal_format="number").encode(EVENT_TYPES[type].sample))
    assert answer.status == 202
    assert shop.log.kept[0].known


@pytest.mark.parametrize(
    "path",
    [
        f"/events/chord/{SECRET}",
        f"/events/chord/{SECRET}/",
        f"//events/chord/{SECRET}",
        f"/events/chord/{SECRET}?from=oms",
        f"/events/chord/{SECRET}/?from=oms",
        f"/events/chord/{SECRET.replace('-', '%2D')}",
    ],
)
async def test_every_form_of_the_address_is_answered_directly(path: str) -> None:
    assert (await Shop().send(path=path)).status == 202


@pytest.mark.parametrize("path", ["/events/chord", "/events/chord/", "//events/chord", "/events/chord?a=b"])
async def test_the_secret_may_come_in_a_header_instead(path: str) -> None:
    shop = Shop()
    basic = {"authorization": b"Basic " + b64encode(f"oms:{SECRET}".encode())}
    for headers in (
        bearer(SECRET),
        {"authorization": f"bearer  {SECRET}"},
        {"x-webhook-secret": SECRET},
        basic,
    ):
        assert (await shop.send(path=path, headers=headers)).status == 202


@pytest.mark.parametrize(
    "path", ["/events", "/events/", "/events/other/x", "/events/chordx", "/event/chord", "/", "/console"]
)
async def test_every_other_address_is_for_the_rest_of_the_service(path: str) -> None:
    answer = await Shop().send(path=path)
    assert answer.status == 404


async def test_what_is_no_request_is_for_the_rest_of_the_service() -> None:
    seen: list[str] = []

    async def rest(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for type in ("lifespan", "websocket"):
        await Intake(rest, [])({"type": type, "path": f"/events/chord/{SECRET}"}, rest, rest)
    assert seen == ["lifespan", "websocket"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_posts_are_taken(method: str) -> None:
    shop = Shop()
    answer = await shop.send(method=method)
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")
    assert shop.read == 0


async def test_a_body_in_pieces_is_taken_whole() -> None:
    shop = Shop()
    assert (await shop.send([BODY[:7], b"", BODY[7:1000], BODY[1000:]])).status == 202
    assert shop.log.kept[0].body == BODY


@pytest.mark.parametrize("label", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "text/html; charset=x"])  # fmt: skip
async def test_json_is_read_under_any_label(label: str | None) -> None:
    assert (await Shop().send(headers={"content-type": label} if label else {})).status == 202


async def test_a_form_of_several_parts_is_refused_unread_and_listed() -> None:
    shop = Shop()
    answer = await shop.send(headers={"content-type": "Multipart/Form-Data; boundary=x"})
    assert (answer.status, answer.json) == (
        415,
        {"error": "The body is a form of several parts; JSON was expected."},
    )
    assert (shop.read, len(shop.log.quarantined)) == (0, 1)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_packed_bodies_are_kept_unpacked(encoding: str, pack: Any) -> None:
    shop = Shop()
    assert (await shop.send(pack(BODY), headers={"content-encoding": encoding})).status == 202
    assert shop.log.kept[0].body == BODY


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "\xe9"])
async def test_another_encoding_is_refused_unread_and_listed(encoding: str) -> None:
    shop = Shop()
    answer = await shop.send(headers={"content-encoding": encoding.encode("latin-1")})
    assert answer.status == 415
    assert answer.json["error"].endswith("cannot be read; use gzip or none.")
    assert (shop.read, len(shop.log.quarantined)) == (0, 1)


async def test_an_encoding_that_lies_is_refused_and_the_bytes_are_kept() -> None:
    shop = Shop()
    answer = await shop.send(headers={"content-encoding": "gzip"})
    assert (answer.status, answer.json) == (400, {"error": "The body is not packed with gzip, as its Content-Encoding says."})  # fmt: skip
    assert shop.log.quarantined[0]["body"] == BODY
    assert shop.counted("bodies_quarantined_total", kind="packing") == 1


UNREADABLE = {
    "two marks": (BOM + BOM + BODY, "The body starts with more than one byte order mark; one is taken."),
    "a list": (
        b"[" + BODY + b"," + BODY + b"]",
        "The body is a list; one JSON object was expected, one event.",
    ),
    "an empty list": (b"[]", "The body is a list; one JSON object was expected, one event."),
    "a text": (b'"order_completed"', "The body is a text; one JSON object was expected, one event."),
    "a number": (b"42", "The body is a number; one JSON object was expected, one event."),
    "null": (b"null", "The body is null; one JSON object was expected, one event."),
    "nothing": (b"", "The body is empty; one JSON object was expected, one event."),
    "Latin-1": (BODY.replace(NAME, b"Malm\xf6"), "The body is not UTF-8: byte "),
    "UTF-16": (
        BODY.decode().encode("utf-16"),
        "The body looks like UTF-16 or UTF-32. Send the JSON in UTF-8.",
    ),
    "NaN": (
        b'{"event_name":"order_completed","order":{"number":"R","total":NaN}}',
        "NaN stands where a value is due",
    ),
    "cut off": (BODY[:900], "The JSON breaks off at its end, in or after line 1, column "),
    "very deep": (b"[" * 19_000, "The JSON is nested more than 100 levels deep."),
    "no name": (b'{"order":{"number":"R1"}}', "event_name missing: "),
    "a name that is no text": (b'{"event_name":5,"order":{}}', "event_name missing: "),
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_an_unreadable_body_is_answered_400_with_a_plain_reason_and_kept(case: str) -> None:
    body, reason = UNREADABLE[case]
    shop = Shop()
    answer = await shop.send(body, headers={"content-type": "application/json"})
    assert answer.status == 400
    assert answer.json["error"].startswith(reason)
    assert shop.log.quarantined == [
        {
            "source": "chord",
            "reason": answer.json["error"],
            "body": body,
            "headers": {"content-type": "application/json"},
            "received_at": NOW,
        }
    ]
    assert shop.log.kept == []


async def test_what_is_odd_but_readable_is_taken() -> None:
    shop = Shop()
    deep: Any = 1
    for _ in range(64):
        deep = {"n": deep}
    for body in (
        BOM + BODY,
        BODY.replace(NAME, rb"Mug \ud83d red \ud83d\ude00"),
        json.dumps({**order(), "deep": deep}).encode(),
        b'{"event_name":"order_completed","event_name":"order_cancelled","order":{"number":"R1"}}',
        json.dumps(order(line_items=[{"name": "<&>" * 60, "sku": str(n)} for n in range(500)])).encode(),
        json.dumps(order(id=123456789012345678901234567890)).encode(),
        json.dumps({**order(), "event_name": "order_*"}).encode(),
        json.dumps({"event_name": "shipping_delivery_status_updated", "shipment": {"number": "H1"}}).encode(),
    ):
        answer = await shop.send(body)
        assert answer.status == 202
        assert shop.log.kept[-1].body == body
    assert shop.log.quarantined == []
    assert [one.type for one in shop.log.kept[-2:]] == ["order_*", "shipment_delivery_status_updated"]
    assert [one.known for one in shop.log.kept[-2:]] == [False, True]
    assert all(one.note for one in shop.log.kept[-2:])
    assert shop.counted("events_received_total", type="unknown") == 1


async def test_a_body_over_the_limit_is_refused_unread_and_listed_with_its_size() -> None:
    shop = Shop()
    answer = await shop.send(b"x", length=6_291_456)
    assert (answer.status, answer.json) == (
        413,
        {"error": "The body has 6,291,456 bytes; at most 262,144 are taken."},
    )
    assert shop.read == 0
    assert (shop.log.quarantined[0]["body"], shop.log.quarantined[0]["reason"]) == (b"", answer.json["error"])


async def test_a_body_of_unknown_length_is_read_up_to_the_limit_and_no_further() -> None:
    shop = Shop()
    answer = await shop.send([b"a" * 65_536] * 100)
    assert (answer.status, answer.json) == (413, {"error": "The body has more than 262,144 bytes; at most 262,144 are taken."})  # fmt: skip
    assert shop.read == 5


async def test_a_body_that_unpacks_over_the_limit_is_refused() -> None:
    shop = Shop()
    bomb = gzip.compress(b"\0" * 20_000_000)
    answer = await shop.send(bomb, headers={"content-encoding": "gzip"})
    assert answer.status == 413
    assert answer.json == {"error": f"The body of {len(bomb):,} bytes unpacks to more than 262,144; at most 262,144 are taken."}  # fmt: skip
    assert shop.log.quarantined[0]["body"] == b""


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    body = BODY + b" " * (BODY_LIMIT - len(BODY))
    assert (await Shop().send(body, length=len(body))).status == 202
    assert (await Shop().send(gzip.compress(body), headers={"content-encoding": "gzip"})).status == 202
    assert (await Shop().send(body + b" ")).status == 413


async def test_a_sender_that_goes_away_gets_no_answer_and_leaves_nothing() -> None:
    shop = Shop()
    assert (await shop.send(Gone([BODY[:100]]))).status == 0
    assert (await shop.send(Gone())).status == 0
    assert (shop.log.kept, shop.log.quarantined) == ([], [])
    assert shop.counted("requests_refused_total", code="gone") == 2


# the record


async def test_without_a_record_the_sender_is_asked_to_send_again() -> None:
    shop = Shop()
    shop.log.failing = "the disk is full"
    for body in (BODY, b"[]"):
        answer = await shop.send(body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert answer.json == {"error": "The event could not be kept just now. Send it again."}
    shop.log.failing = ""
    assert (await shop.send()).json == {"event": "1", "repeat": False}
    assert shop.counted("requests_refused_total", code="503") == 2


async def test_a_repeat_is_acknowledged_as_one() -> None:
    shop = Shop()
    body = dict(reversed(order().items()))
    answers = [await shop.send(raw) for raw in (BODY, BODY, json.dumps(body, indent=3).encode())]
    assert [answer.json for answer in answers] == [
        {"event": "1", "repeat": False},
        {"event": "1", "repeat": True},
        {"event": "1", "repeat": True},
    ]
    assert shop.counted("events_repeated_total", type="order_completed") == 2


# the record on disk


def shipment(status: str, stamp: str) -> bytes:
    body = copy.deepcopy(dict(EVENT_TYPES["shipment_delivery_status_updated"].sample))
    body["shipment"].update(delivery_status=status, updated_at=stamp)
    return json.dumps(body).encode()


def stock(type: str, count: int, stamp: str) -> bytes:
    body = copy.deepcopy(dict(EVENT_TYPES["stock_item_back_in_stock"].sample))
    body["stock_item"].update(count_on_hand=count, updated_at=stamp)
    return json.dumps({**body, "event_name": f"stock_item_{type}"}).encode()


async def test_a_repeat_is_recognised_after_a_restart_too(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/shop.db"
    reversed_order = json.dumps(dict(reversed(order().items())), indent=1).encode()
    async with await Store.open(address) as store:
        assert [(await Shop(log=store).send(body)).json["repeat"] for body in (BODY, BODY, reversed_order)] == [
            False, True, True]  # fmt: skip
    async with await Store.open(address) as store:
        assert (await Shop(log=store).send()).json == {"event": "1", "repeat": True}
        (line,) = (await store.events()).items
        assert (line.arrivals, line.type, line.subject) == (
            4,
            "order_completed",
            f"order:{ORDER['order']['number']}",
        )
        assert (await store.event("1")).body == BODY


async def test_stock_that_goes_and_comes_is_kept_each_time(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/shop.db") as store:
        shop = Shop(log=store)
        for body in (
            stock("out_of_stock", 0, "2026-11-25T10:00:00Z"),
            stock("back_in_stock", 5, "2026-11-25T10:00:20Z"),
            stock("out_of_stock", 0, "2026-11-25T10:00:40Z"),
            stock("back_in_stock", 4, "2026-11-25T10:01:00Z"),
            # fields that do not move: out, back and out again are three events all the same, a re-send is none
            stock("out_of_stock", 0, "2026-11-25T10:01:00Z"),
            stock("out_of_stock", 0, "2026-11-25T10:01:00Z"),
            stock("back_in_stock", 4, "2026-11-25T10:01:00Z"),
        ):
            assert (await shop.send(body)).status == 202
        assert [line.arrivals for line in (await store.events()).items] == [1, 2, 1, 1, 1, 1]


async def test_what_is_older_than_what_is_known_is_marked_late(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/shop.db") as store:
        shop = Shop(log=store)
        for body in (
            shipment("delivered", "2024-05-14T18:10:00.400-04:00"),
            shipment("in_transit", "2024-05-14T18:05:00.000-04:00"),
            shipment("failure", "2024-05-14T22:15:00.000Z"),
        ):
            assert (await shop.send(body)).status == 202
        assert [line.late for line in (await store.events()).items] == [False, True, False]


async def test_what_cannot_be_read_is_listed_with_its_bytes(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path}/shop.db") as store:
        answer = await Shop(log=store).send(
            b'{"event_name":"order_completed\xf6', headers={"user-agent": "a\xe9"}
        )
        (one,) = (await store.quarantined()).items
        assert (one.reason, one.body) == (answer.json["error"], b'{"event_name":"order_completed\xf6')


async def test_a_closed_record_is_answered_503(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/shop.db")
    await store.close()
    assert [(await Shop(log=store).send(body)).status for body in (BODY, b"[]")] == [503, 503]


# who may send


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        bearer(SECRET + "x"),
        bearer(SECRET.upper()),
        {"authorization": SECRET},
        {"authorization": f"Digest {SECRET}"},
        {"authorization": "Basic not base64!"},
        {"authorization": b"Basic " + b64encode(SECRET.encode())},
        {"authorization": b"Basic \xff\xfe"},
        {"x-webhook-secret": ""},
        {"x-webhook-secret": b"s\xe9cret"},
        {"x-forwarded-for": "127.0.0.1", "x-secret": SECRET},
    ],
)
async def test_a_wrong_or_missing_secret_is_answered_401_before_anything_is_read(
    headers: dict[str, str],
) -> None:
    shop = Shop()
    for path in (
        "/events/chord",
        "/events/chord/wrong",
        f"/events/chord/{SECRET}x",
        f"/events/chord?secret={SECRET}",
    ):
        answer = await shop.send(b"\xff" * 100, path=path, headers=headers, length=5_000_000)
        assert (answer.status, answer.body) == (401, b"")
    assert (shop.read, shop.log.kept, shop.log.quarantined) == (0, [], [])
    assert shop.counted("requests_refused_total", code="401") == 4


async def test_of_several_secrets_each_is_right_while_they_change() -> None:
    shop = Shop(secrets=(SECRET, OLD_SECRET))
    for secret in (SECRET, OLD_SECRET):
        assert (await shop.send(path=f"/events/chord/{secret}")).status == 202
        assert (await shop.send(path="/events/chord", headers=bearer(secret))).status == 202
    assert (await Shop(secrets=(SECRET,)).send(path=f"/events/chord/{OLD_SECRET}")).status == 401


async def test_every_secret_is_compared_also_after_a_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("engine.runtime.receiver.compare_digest", compare)
    assert (await Shop(secrets=(SECRET, OLD_SECRET)).send()).status == 202
    assert compared == [SECRET.encode(), OLD_SECRET.encode()]


async def test_without_secrets_nobody_may_send() -> None:
    assert (await Shop(secrets=()).send()).status == 401


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_secret_is_no_secret(empty: str) -> None:
    with pytest.raises(ValueError, match="A secret of the source chord is empty"):
        Shop(secrets=(SECRET, empty))


@pytest.mark.parametrize("sent", ["sécret".encode(), "sécret".encode("latin-1")])
async def test_a_secret_with_other_letters_than_ascii_works_however_they_are_sent(sent: bytes) -> None:
    shop = Shop(secrets=("sécret", "ключ"))
    for headers in ({"x-webhook-secret": sent}, bearer(sent)):
        assert (await shop.send(path="/events/chord", headers=headers)).status == 202
    assert (await shop.send(path="/events/chord/s%C3%A9cret")).status == 202
    assert (await shop.send(path="/events/chord", headers=bearer("ключ"))).status == 202
    assert (
        await shop.send(path="/events/chord", headers=bearer("s\xe8cret".encode("latin-1")))
    ).status == 401


async def test_no_secret_is_kept_logged_or_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop = Shop()
    said = b""
    for body in (BODY, b"[]", b"{"):
        for path, headers in (
            (f"/events/chord/{SECRET}", {}),
            ("/events/chord", bearer(SECRET)),
            ("/events/chord", {"x-webhook-secret": SECRET, "cookie": SECRET, "x-api-key": SECRET}),
            (f"/events/chord/{SECRET}x", bearer("wrong")),
        ):
            said += (await shop.send(body, path=path, headers={**headers, "user-agent": "Chord"})).body
    shop.log.failing = "the disk is full"
    said += (await shop.send()).body
    record = f"{shop.log.kept}{shop.log.quarantined}{caplog.text}{said!r}{shop.metrics.text()!r}"
    assert "Chord" in record
    assert SECRET not in record


async def test_a_very_long_or_empty_header_is_not_kept() -> None:
    shop = Shop()
    await shop.send(headers={"user-agent": "x" * 8000, "webhook-id": "msg_1", "content-type": ""})
    assert shop.log.kept[0].headers == {"webhook-id": "msg_1"}


async def test_events_with_equal_beginnings_of_their_ids_are_no_repeats() -> None:
    shop = Shop()
    for number, id in enumerate(("m" * 600 + "1", "m" * 600 + "2", "", " ", "", " ")):
        body = json.dumps(order(number=f"R{number}")).encode()
        assert not (await shop.send(body, headers={"webhook-id": id})).json["repeat"]


async def test_a_hostile_body_makes_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await Shop().send(b'{"event_name": x\n2024-01-01 INFO all good \x1b[31m')
    (entry,) = caplog.records
    assert entry.getMessage().isprintable()


# laws


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda junk: BODY[:300] + junk + BODY[300:]))
def test_no_bytes_whatsoever_are_the_servers_fault(body: bytes) -> None:
    async def all_ways() -> list[int]:
        shop = Shop()
        sent = [await shop.send(body, headers={"content-encoding": name}) for name in ("", "gzip", "deflate")]
        assert len(shop.log.kept) + len(shop.log.quarantined) == len(sent)
        return [answer.status for answer in sent]

    assert set(anyio.run(all_ways)) <= {202, 400}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "authorization",
                "x-webhook-secret",
                "content-type",
                "content-encoding",
                "content-length",
                "webhook-id",
            ]
        ),
        st.binary(max_size=30)
        | st.sampled_from([b"Basic ====", b"Bearer", b"Basic OnM=", b"gzip", b"-5", b"1e9"]),
    ),
    st.binary(max_size=20),
)
def test_no_headers_or_address_whatsoever_are_the_servers_fault(
    headers: dict[str, bytes], end: bytes
) -> None:
    async def once() -> int:
        return (await Shop().send(path=b"/events/chord/" + end, headers=headers)).status

    assert anyio.run(once) == 401
