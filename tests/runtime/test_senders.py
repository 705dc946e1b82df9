"""Senders that sign, name a user, or come from known addresses are let in; nobody else is, and nothing of theirs is read."""

from __future__ import annotations

import gzip
import hmac
import json
import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runtime.admission import Admission
from engine.runtime.metrics import Metrics
from engine.runtime.receiver import Intake, Receiver
from engine.runtime.senders import Basic, Hmac, Senders, StandardWebhooks, standard_key
from engine.sources.chord import Chord
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.store.store import Appended, Arrival

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp())).encode()
BODY = msgspec.json.Encoder(decimal_format="number").encode(EVENT_TYPES["order_completed"].sample)
KEY, OLD_KEY, FOREIGN_KEY = (bytes([n]) * 24 for n in (1, 2, 3))
PLAIN = b"a-secret-of-the-path-0123456789"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Log:
    """A record in memory."""

    kept: list[Arrival] = field(default_factory=list)
    quarantined: list[Mapping[str, Any]] = field(default_factory=list)

    async def append(self, arrival: Arrival, received_at: datetime) -> Appended:
        repeat = any(one.identity == arrival.identity for one in self.kept)
        self.kept.append(arrival)
        return Appended("1", repeat)

    async def quarantine(self, **what: Any) -> None:
        self.quarantined.append(what)


@dataclass
class Shop:
    """The service as a sender meets it, at a moment."""

    senders: Senders
    secrets: tuple[str, ...] = ()
    now: datetime = NOW
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    read: int = 0

    def __post_init__(self) -> None:
        how: dict[str, Any] = {"clock": lambda: self.now, "metrics": self.metrics}
        receiver = Receiver(Chord(), self.log, self.secrets, verified=self.senders.verify, **how)
        self.app = Intake(_nothing, [Admission(receiver, self.senders, **how)])

    async def send(
        self,
        body: bytes | Iterable[bytes] = BODY,
        headers: Mapping[bytes, bytes] | None = None,
        *,
        path: bytes = b"/events/chord",
        method: str = "POST",
        client: object = ("198.51.100.7", 40000),
        gone: bool = False,
    ) -> int:
        """The status that one request is answered with; 0 where no answer came."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        statuses = [0]

        async def receive() -> dict[str, Any]:
            self.read += 1
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or gone}

        async def send(message: Mapping[str, Any]) -> None:
            statuses.append(message.get("status", statuses[-1]))

        scope = {"type": "http", "method": method, "path": path.decode(), "raw_path": path, "client": client}
        await self.app({**scope, "headers": list((headers or {}).items())}, receive, send)
        return statuses[-1]


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request of these tests goes elsewhere")


def signature(body: bytes, key: bytes = KEY, id: bytes = b"msg_1", stamp: bytes = STAMP) -> bytes:
    return b"v1," + b64encode(hmac.digest(key, b".".join((id, stamp, body)), sha256))


def signed(
    body: bytes = BODY, key: bytes = KEY, id: bytes = b"msg_1", stamp: bytes = STAMP
) -> dict[bytes, bytes]:
    """The three headers of Standard Webhooks."""
    return {
        b"webhook-id": id,
        b"webhook-timestamp": stamp,
        b"webhook-signature": signature(body, key, id, stamp),
    }


STANDARD = Senders(StandardWebhooks((KEY, OLD_KEY)))


# Standard Webhooks


def test_the_example_of_the_specification_verifies() -> None:
    key = standard_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert key is not None
    headers = {
        b"webhook-id": b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        b"webhook-timestamp": b"1614265330",
        b"webhook-signature": b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    signing = StandardWebhooks((key,))
    assert signing.plausible(headers, datetime.fromtimestamp(1614265330, UTC))
    assert signing.holds(headers, b'{"test": 2432232314}')
    assert not signing.holds(headers, b'{"test": 2432232315}')


async def test_a_signed_event_is_taken_without_any_other_secret() -> None:
    shop = Shop(STANDARD)
    assert await shop.send(headers=signed()) == 202
    assert await shop.send([BODY[:9], b"", BODY[9:]], signed(id=b"msg_2"), path=b"/events/chord/") == 202
    assert [one.body for one in shop.log.kept] == [BODY, BODY]


async def test_either_of_two_secrets_signs_while_they_change() -> None:
    shop = Shop(STANDARD)
    assert await shop.send(headers=signed(key=OLD_KEY)) == 202
    assert await Shop(Senders(StandardWebhooks((KEY,)))).send(headers=signed(key=OLD_KEY)) == 401


async def test_one_right_signature_among_several_is_enough() -> None:
    headers = signed(key=FOREIGN_KEY)
    for others in (b"v1," + b64encode(bytes(32)), b"v1a,x v2,y", b"v1,!!!"):
        several = {**headers, b"webhook-signature": others + b" " + signature(BODY)}
        assert await Shop(STANDARD).send(headers=several) == 202


GOOD = signature(BODY)
NOT_UTF_8 = BODY + b"\xf6"
CASES: Mapping[str, tuple[Mapping[bytes, bytes], bytes]] = {
    "no id": ({b"webhook-id": b""}, BODY),
    "an id of no ASCII": ({b"webhook-id": b"\xe9\xff"}, BODY),
    "another id": ({b"webhook-id": b"msg_2"}, BODY),
    "no time": ({b"webhook-timestamp": b""}, BODY),
    "a time with a fraction": ({b"webhook-timestamp": STAMP + b".9"}, BODY),
    "a time with an exponent": ({b"webhook-timestamp": b"1.7e9"}, BODY),
    "a time with a sign": ({b"webhook-timestamp": b"+" + STAMP}, BODY),
    "a time before 1970": ({b"webhook-timestamp": b"-1"}, BODY),
    "a time that is no number": ({b"webhook-timestamp": b"nan"}, BODY),
    "a time of other digits": ({b"webhook-timestamp": "١٧٠٠".encode()}, BODY),
    "a time without end": ({b"webhook-timestamp": b"9" * 5000}, BODY),
    "a blank before the time": ({b"webhook-timestamp": b" " + STAMP}, BODY),
    "no signature": ({b"webhook-signature": b""}, BODY),
    "a version alone": ({b"webhook-signature": b"v1"}, BODY),
    "a version and a comma": ({b"webhook-signature": b"v1,"}, BODY),
    "three parts": ({b"webhook-signature": b"v1,a,b"}, BODY),
    "a signature of no ASCII": ({b"webhook-signature": "v1,é".encode("latin-1")}, BODY),
    "base64 that breaks off": ({b"webhook-signature": GOOD[:-3]}, BODY),
    "the signature without its version": ({b"webhook-signature": GOOD[3:]}, BODY),
    "the version of another method": ({b"webhook-signature": b"v1a" + GOOD[2:]}, BODY),
    "ten thousand signatures": ({b"webhook-signature": b" ".join([b"v1,AAAA"] * 10_000)}, BODY),
    "a body that is no UTF-8": ({}, NOT_UTF_8),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_malformed_header_is_answered_401_and_never_a_fault_of_the_server(case: str) -> None:
    """The table of the signature headers that bring verifiers down (T18)."""
    changed, body = CASES[case]
    shop = Shop(STANDARD)
    assert await shop.send(body, {**signed(), **changed}) == 401
    assert (shop.log.kept, shop.log.quarantined) == ([], [])
    assert shop.metrics.registry.get_sample_value("shopbell_requests_refused_total", {"code": "401"}) == 1


def test_the_table_has_all_its_cases() -> None:
    assert len(CASES) == 22


async def test_a_signed_body_that_cannot_be_read_is_quarantined_since_it_is_authentic() -> None:
    shop = Shop(STANDARD)
    assert await shop.send(NOT_UTF_8, signed(NOT_UTF_8)) == 400
    assert [one["body"] for one in shop.log.quarantined] == [NOT_UTF_8]


@pytest.mark.parametrize(
    ("seconds", "status"), [(-300, 202), (300, 202), (-301, 401), (301, 401), (-3600, 401), (3600, 401)]
)
async def test_a_time_may_differ_by_five_minutes_both_ways(seconds: int, status: int) -> None:
    """A request that somebody kept for an hour is not taken any more (T19)."""
    shop = Shop(STANDARD, now=NOW + timedelta(seconds=seconds))
    assert await shop.send(headers=signed()) == status
    assert shop.read == (status == 202)


async def test_a_request_sent_again_within_five_minutes_is_a_repeat() -> None:
    shop = Shop(STANDARD)
    for _ in range(2):
        assert await shop.send(headers=signed()) == 202
    first, second = shop.log.kept
    assert first.identity == second.identity


@pytest.mark.parametrize("secret", ["whsec_" + b64encode(KEY).decode(), b64encode(KEY).decode(), b64encode(b"k" * 32).decode().rstrip("=")])  # fmt: skip
def test_a_secret_is_read_as_the_sender_shows_it(secret: str) -> None:
    assert standard_key(secret) in (KEY, b"k" * 32)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64", "whsec_é", "sk_live_x-y"]
)
def test_what_is_no_secret_of_standard_webhooks_is_none(secret: str) -> None:
    assert standard_key(secret) is None


# HMAC over the body

HEX = hmac.digest(b"k" * 16, BODY, sha256).hex().encode()
BASE64 = b64encode(hmac.digest(b"k" * 16, BODY, sha256))
KEYS = (b"another-key-0123456789", b"k" * 16)


@pytest.mark.parametrize(
    ("signing", "value"),
    [
        (Hmac(b"x-signature", KEYS), HEX),
        (Hmac(b"x-signature", KEYS), HEX.upper()),
        (Hmac(b"x-signature", KEYS, b"sha256="), b"sha256=" + HEX),
        (Hmac(b"x-signature", KEYS, b"sha256="), b" sha256=" + HEX + b" "),
        (Hmac(b"x-signature", KEYS, encoding="base64"), BASE64),
        (Hmac(b"x-signature", KEYS, b"sha256=", "base64"), b"sha256=" + BASE64),
    ],
)
async def test_a_signature_over_the_body_is_taken_in_its_spelling(signing: Hmac, value: bytes) -> None:
    shop = Shop(Senders(signing))
    assert await shop.send(headers={b"x-signature": value}) == 202
    assert await shop.send(BODY + b" ", {b"x-signature": value}) == 401
    for wrong in (
        b"",
        b"\xff",
        b"sha256=",
        value.strip()[:-1],
        value.strip()[1:],
        HEX[:32],
        b"sha1=" + HEX,
        b"sha256=" * 2 + HEX,
    ):
        assert await shop.send(headers={b"x-signature": wrong}) == 401
    assert await shop.send(headers={b"x-other": value}) == 401
    assert len(shop.log.kept) == 1


async def test_the_signature_is_of_the_bytes_as_they_came() -> None:
    """AUT-03: odd spacing, keys in reverse order, `10.0` and `\\u00e9` verify; one space less does not."""
    payload = json.loads(BODY)
    payload["order"] |= {"total": 10.0, "email": "josé@example.com"}
    odd = json.dumps(dict(reversed(payload.items())), indent=3, separators=(" ,", ":  ")).encode()
    assert rb"\u00e9" in odd
    assert b"10.0" in odd
    for senders, headers in (
        (STANDARD, signed(odd)),
        (Senders(Hmac(b"x-sum", (KEY,))), {b"x-sum": hmac.digest(KEY, odd, sha256).hex().encode()}),
    ):
        shop = Shop(senders)
        assert await shop.send(odd, headers) == 202
        assert await shop.send(odd.replace(b":  ", b": ", 1), headers) == 401
        assert shop.log.kept[0].body == odd


# nobody else


async def test_of_ten_thousand_wrong_signatures_none_is_taken() -> None:
    """T17, for senders that sign: also with a right signature of another body, another time, another key."""
    chance = Random(17)
    shop = Shop(STANDARD)
    good = signature(BODY)
    for number in range(10_000):
        place = chance.randrange(3, len(good) - 2)
        letter = bytes([chance.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")])
        wrong = good[:place] + letter + good[place + 1 :]
        if number % 3 == 0:
            wrong = signature(BODY, chance.randbytes(24))
        if wrong != good:
            assert await shop.send(headers={**signed(), b"webhook-signature": wrong}) == 401
    assert shop.log.kept == []


async def test_of_ten_thousand_wrong_secrets_none_is_taken() -> None:
    """T17: wrong, missing and old secrets, near misses of the right one, in all places a secret may stand."""
    chance = Random(71)
    shop = Shop(Senders(), secrets=(PLAIN.decode(),))
    for number in range(10_000):
        wrong = bytearray(PLAIN)
        wrong[chance.randrange(len(wrong))] ^= chance.randrange(1, 16)
        shown = [
            bytes(wrong),
            PLAIN[: chance.randrange(len(PLAIN))],
            secrets.token_urlsafe(24).encode(),
            b"",
        ][number % 4]
        place = number // 4 % 4
        path = (
            b"/events/chord/" + shown.replace(b"/", b"").replace(b"?", b"")
            if place == 0
            else b"/events/chord"
        )
        headers = {
            1: {b"authorization": b"Bearer " + shown},
            2: {b"x-webhook-secret": shown},
            3: {b"authorization": b"Basic " + b64encode(b"oms:" + shown)},
        }.get(place, {})
        assert await shop.send(path=path, headers=headers) == 401
    assert (shop.read, shop.log.kept) == (0, [])
    assert await shop.send(path=b"/events/chord/" + PLAIN) == 202


async def test_what_is_not_signed_is_neither_unpacked_nor_kept_nor_read_beyond_the_limit() -> None:
    """AUT-07 for senders that sign: 5 MiB of text, a gzip bomb and malformed JSON, two hundred times."""
    shop = Shop(STANDARD)
    bomb = gzip.compress(b"\0" * 50_000_000)
    for number in range(200):
        headers = {**signed(), b"content-encoding": b"gzip", b"content-type": b"multipart/form-data"}
        body = ([b"x" * 65_536] * 80, bomb, b"{")[number % 3]
        assert await shop.send(body, headers) in (401, 413)
        assert await shop.send(body, {b"content-length": b"5242880"}) == 401
        assert await shop.send(body, {**headers, b"content-length": b"5242880"}) == 413
    assert (shop.log.kept, shop.log.quarantined) == ([], [])
    assert shop.read < 67 * 7


async def test_a_sender_that_goes_away_leaves_nothing() -> None:
    shop = Shop(STANDARD)
    assert await shop.send(BODY[:50], signed(), gone=True) == 0
    assert (shop.log.kept, shop.log.quarantined) == ([], [])


async def test_every_signature_is_compared_with_every_key_also_after_a_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("engine.runtime.senders.hmac.compare_digest", compare)
    headers = {**signed(), b"webhook-signature": signature(BODY) + b" v1,AAAA"}
    assert await Shop(STANDARD).send(headers=headers) == 202
    assert len(compared) == 4


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x-sum", b"authorization"]),
        st.binary(max_size=60) | st.sampled_from([b"v1," + b"A" * 43 + b"=", STAMP, b"sha256=" + b"0" * 64, b"Basic Og=="]),
    ),
    st.binary(max_size=60),
)  # fmt: skip
def test_no_headers_whatsoever_are_the_servers_fault(headers: dict[bytes, bytes], body: bytes) -> None:
    async def everywhere() -> set[int]:
        kinds = (
            STANDARD,
            Senders(Hmac(b"x-sum", (KEY,), b"sha256=")),
            Senders(basic=Basic("oms", ("p" * 16,))),
        )
        return {await Shop(senders).send(body, headers) for senders in kinds}

    assert anyio.run(everywhere) == {401}


# a user, an address, and all together


def basic(user: str, password: str, scheme: bytes = b"Basic") -> dict[bytes, bytes]:
    return {b"authorization": scheme + b" " + b64encode(f"{user}:{password}".encode())}


async def test_a_user_with_its_password_is_let_in_and_no_other() -> None:
    shop = Shop(Senders(basic=Basic("oms", ("old-password-0123", "new-pässword-0123"))))
    assert await shop.send(headers=basic("oms", "old-password-0123")) == 202
    assert await shop.send(headers=basic("oms", "new-pässword-0123", b"basic")) == 202
    for wrong in (
        basic("other", "old-password-0123"),
        basic("oms", "old-password-0123", b"Bearer"),
        basic("oms", ""),
        {b"authorization": b"Basic"},
        {b"authorization": b"\xff"},
        {},
    ):
        assert await shop.send(headers=wrong) == 401


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("203.0.113.9", 1), 202),
        (("::ffff:203.0.113.9", 1), 202),
        (("2001:db8::7", 1), 202),
        (("198.51.100.7", 1), 401),
        (("::1", 1), 401),
        (("unknown", 0), 401),
        (("203.0.113.9, 198.51.100.7", 0), 401),
        (("", 0), 401),
        (None, 401),
    ],
)
async def test_only_the_listed_addresses_may_send(client: object, status: int) -> None:
    networks = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    shop = Shop(Senders(networks=networks), secrets=(PLAIN.decode(),))
    assert await shop.send(path=b"/events/chord/" + PLAIN, client=client) == status
    assert await shop.send(path=b"/events/chord/wrong", client=client) == 401
    assert len(shop.log.kept) == (status == 202)


async def test_all_that_is_set_must_hold_together() -> None:
    every = Senders(StandardWebhooks((KEY,)), Basic("oms", ("p" * 16,)), (ip_network("198.51.100.0/24"),))
    right = {**signed(), **basic("oms", "p" * 16)}
    path = b"/events/chord/" + PLAIN
    assert await Shop(every, (PLAIN.decode(),)).send(headers=right, path=path) == 202
    for headers, address, client in (
        (signed(), path, ("198.51.100.7", 1)),
        (basic("oms", "p" * 16), path, ("198.51.100.7", 1)),
        (right, b"/events/chord", ("198.51.100.7", 1)),
        (right, path, ("203.0.113.1", 1)),
    ):
        assert await Shop(every, (PLAIN.decode(),)).send(headers=headers, path=address, client=client) == 401


async def test_an_address_alone_lets_nobody_in() -> None:
    assert await Shop(Senders(networks=(ip_network("0.0.0.0/0"),))).send() == 401


async def test_other_methods_than_post_are_answered_as_ever() -> None:
    assert await Shop(STANDARD).send(method="GET") == 405
