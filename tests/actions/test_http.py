"""What another system receives: the shape its author wrote, values exact, secrets only at the last moment."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from engine.actions.answers import retry_after
from engine.actions.base import DeliveryError, Destinations, HttpAnswer, Receipt
from engine.actions.http import Http, signature
from engine.language.document import read_document
from engine.language.fields import read_fields
from engine.language.problem import Problems
from engine.language.scope import Scope

pytestmark = pytest.mark.anyio

KNOWN = Destinations({"http": {"erp": {"base_url": "https://erp.example.com"}}}, known=True)
ERP = "post: /sales-orders\nconnection: erp\n"
exact = msgspec.json.Decoder(float_hook=Decimal)


async def call(request: Any, services: Any) -> Receipt:
    return await Http().deliver(request, "key-1", services)


def request(**changes: Any) -> dict[str, Any]:
    return {"connection": "erp", "method": "POST", "url": "/orders", "headers": {}, **changes}


# the body


async def test_a_value_that_is_all_of_a_leaf_keeps_its_type_exactly(
    render: Any, make_order: Any, services: Any
) -> None:
    rule = """
json:
  reference: "{{ order.number }}"
  total: "{{ order.total | number }}"
  subscription: "{{ order.subscription_order }}"
  note: "{{ order.cart_url }}"
  lines: "{{ order.line_items }}"
  big: "{{ order.total_big }}"
  told: "total {{ order.total }}"
  five: 5
  half: 0.50
  yes: yes
  zip: 01234
  nothing:
"""
    big = 2**64 + 1
    (one,) = render("http", ERP + rule, make_order(total_big=big))
    await call(one.request, services)
    assert services.sent[0].headers["content-type"] == "application/json"
    assert exact.decode(services.sent[0].content) == {
        "reference": "R1",
        "total": Decimal("10.63"),
        "subscription": False,
        "note": None,
        "lines": [{"name": "Mug", "sku": "mug", "quantity": 2}],
        "big": big,
        "told": "total 10.63",
        "five": 5,
        "half": Decimal("0.50"),
        "yes": "yes",
        "zip": "01234",
        "nothing": None,
    }
    assert b'"half":0.50' in services.sent[0].content


@given(st.text())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_value_changes_the_shape_of_a_body(value: str) -> None:
    text = 'post: /x\nconnection: erp\njson: {note: "{{ v }}", told: "a {{ v }}", admin: false}\n'
    problems = Problems("x.yaml")
    document = read_document(text, problems)
    assert document is not None
    values = read_fields(document, Http.fields, problems, "http")
    (one,) = Http().render(values, Scope({"v": value}, datetime.now(UTC)), Destinations())
    assert one.request["json"] == {"note": value, "told": f"a {value}", "admin": False}


HOSTILE = 'Flat "B"\nback door \\ left'


@pytest.mark.parametrize("header", ["", "headers:\n  Content-Type: application/json\n"])
async def test_a_hand_written_json_body_arrives_as_json_with_exactly_that_text(
    render: Any, make_order: Any, services: Any, header: str
) -> None:
    rule = (
        ERP + header + """body: '{"note": "{{ order.ship_address.address2 }}", "n": {{ order.total }}}'\n"""
    )
    (one,) = render("http", rule, make_order(ship_address__address2=HOSTILE))
    await call(one.request, services)
    assert services.sent[0].headers["content-type"] == "application/json"
    assert exact.decode(services.sent[0].content) == {"note": HOSTILE, "n": Decimal("10.63")}


def test_a_hand_written_body_that_is_no_json_in_the_end_is_never_sent(render: Any, make_order: Any) -> None:
    rule = ERP + "on gap: send\nbody: '{\"n\": {{ order.number }}}'\n"
    (one,) = render("http", rule, make_order(number="R1"))
    assert one.blocked
    assert [gap.because for gap in one.gaps] == [
        "the body does not come out as JSON; write it under `json` instead"
    ]


async def test_a_text_body_goes_out_as_it_is(render: Any, make_order: Any, services: Any) -> None:
    rule = ERP + "body: |\n  {{ order.number }}\n  {{ order.ship_address.address2 }}\n"
    (one,) = render("http", rule, make_order(ship_address__address2=HOSTILE))
    await call(one.request, services)
    assert services.sent[0].content == f"R1\n{HOSTILE}".encode()
    assert services.sent[0].headers["content-type"] == "text/plain; charset=utf-8"


async def test_form_fields_are_encoded(render: Any, make_order: Any, services: Any) -> None:
    (one,) = render(
        "http", ERP + 'form:\n  a&b: "{{ order.number }}"\n  c: d e\n', make_order(number="1&2=3\n4")
    )
    await call(one.request, services)
    assert services.sent[0].content == b"a%26b=1%262%3D3%0A4&c=d+e"
    assert services.sent[0].headers["content-type"] == "application/x-www-form-urlencoded"


# the address


@pytest.mark.parametrize(
    ("number", "url"),
    [
        ("R1", "https://api.test/R1"),
        ("a b/c", "https://api.test/a%20b%2Fc"),
        ("../admin?x=1#", "https://api.test/..%2Fadmin%3Fx%3D1%23"),
        ("@evil.test", "https://api.test/%40evil.test"),
        ("é", "https://api.test/%C3%A9"),
    ],
)
def test_values_in_a_path_are_percent_encoded(render: Any, make_order: Any, number: str, url: str) -> None:
    (one,) = render("http", 'post: "https://api.test/{{ order.number }}"', make_order(number=number))
    assert one.request["url"] == url
    assert not one.blocked
    assert one.to == f"POST {url}"


@pytest.mark.parametrize("number", ["..", ".", "", None])
def test_a_value_that_would_call_another_path_is_never_sent(
    render: Any, make_order: Any, number: str | None
) -> None:
    (one,) = render(
        "http", 'delete: "/orders/{{ order.number }}"\nconnection: erp\n', make_order(number=number)
    )
    assert one.blocked
    assert one.gaps


def test_an_empty_value_in_a_query_is_fine(render: Any) -> None:
    (one,) = render(
        "http", 'get: "/orders?note={{ order.cart_url }}&n={{ order.number }}"\nconnection: erp\n'
    )
    assert one.request["url"] == "/orders?note=&n=R1"
    assert not one.blocked


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ('"{{ shipment.external_tracking_url }}"', "the address has no host"),
        ("file:///etc/passwd", "must start with https://"),
        ("javascript:x", "must start with https://"),
        ("//x.test/a", "single /"),
        ("http://user@127.0.0.1/", "has a name or password in it"),
        ("https:///x", "must have its host written out"),
        ('"https://{{ order.channel }}.test/x"', "must have its host written out"),
        ('"https://api{{ order.channel }}"', "must have its host written out"),
        ('"https://x.test\\\\@evil.test/"', "backslash"),
        ('"{{ order.channel }}://x.test"', "the address has no host"),
    ],
)
def test_only_http_to_a_host_that_is_written_out(write: Any, address: str, told: str) -> None:
    (message,) = write("http", f"post: {address}\n").messages
    assert told in message


def test_a_connection_gives_its_secrets_to_its_own_address_only(write: Any) -> None:
    (message,) = write("http", "post: https://evil.test/x\nconnection: erp\n").messages
    assert "so that erp gets its secrets alone" in message


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("connection: erp\n", "http takes one of post"),
        ("post: /a\nput: /b\nconnection: erp\n", "not post and put"),
        (ERP + "json: {a: 1}\nbody: x\n", "takes one body"),
        ("get: /x\nconnection: erp\njson: {a: 1}\n", "a get sends no body"),
        (ERP + "expect: fine\n", "takes status codes"),
        (ERP + "headers:\n  Host: evil.test\n", "set by the call itself"),
        (ERP + 'headers:\n  "X\\r\\nY": a\n', "cannot be the name of a header"),
        (ERP + "headers:\n  X-A: 1\n  x-a: 2\n", "ignore case"),
        (ERP + 'json: {"{{ order.number }}": 1}\n', "a name in a structure"),
        ("post: /a\nconnection: epr\n", 'no HTTP connection is called "epr". Nearest: erp'),
    ],
)
def test_slips_are_told_in_plain_words(write: Any, rule: str, told: str) -> None:
    (message,) = write("http", rule, KNOWN).messages
    assert told in message


def test_a_secret_written_into_a_rule_is_warned_of(write: Any) -> None:
    (problem,) = write("http", ERP + "headers:\n  Authorization: Bearer abc\n").problems
    assert problem.severity == "warning"
    assert "looks like a secret" in problem.message


# sending


async def test_the_path_joins_the_base_address_and_the_secret_headers_join_at_sending(services: Any) -> None:
    await call(request(headers={"X-Shop": "a"}, json={"a": 1}, timeout=3), services)
    (sent,) = services.sent
    assert sent.url == "https://erp.example.com/api/orders"
    assert sent.headers["authorization"] == "Bearer canary"
    assert sent.headers["x-shop"] == "a"
    assert sent.headers["idempotency-key"] == "key-1"
    assert sent.timeout == 3


async def test_an_idempotency_key_of_the_authors_own_stays(render: Any, services: Any) -> None:
    (one,) = render("http", ERP + 'headers:\n  Idempotency-Key: "{{ order.number }}"\n')
    await call(one.request, services)
    assert services.sent[0].headers["idempotency-key"] == "R1"


def test_a_line_break_in_a_header_value_is_a_blank(render: Any, make_order: Any) -> None:
    (one,) = render(
        "http", ERP + 'headers:\n  X-A: "{{ order.number }}"\n', make_order(number="a\r\nX-B: c\u0000")
    )
    assert one.request["headers"] == {"X-A": "a X-B: c"}


async def test_calls_are_signed_as_standard_webhooks_has_it(services: Any) -> None:
    await call(request(connection="signed", json={"test": 1}), services)
    headers = services.sent[0].headers
    assert headers["webhook-id"] == "key-1"
    assert headers["webhook-timestamp"] == "1795599000"
    assert headers == headers | signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "key-1", 1795599000, b'{"test":1}'
    )


def test_the_signature_is_that_of_the_published_example() -> None:
    key, moment = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    found = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", key, moment, b'{"test": 2432232314}')
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signing_secret_may_be_any_text_and_a_broken_one_is_told() -> None:
    assert signature("plain secret", "k", 1, b"")["webhook-signature"].startswith("v1,")
    with pytest.raises(DeliveryError, match="not readable") as caught:
        signature("whsec_canary!", "k", 1, b"")
    assert caught.value.kind == "setup"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "permanent"),
        (302, "permanent"),
        (303, "permanent"),
        (307, "permanent"),
        (308, "permanent"),
        (400, "permanent"),
        (401, "setup"),
        (403, "setup"),
        (404, "permanent"),
        (408, "temporary"),
        (409, "permanent"),
        (422, "permanent"),
        (425, "temporary"),
        (429, "temporary"),
        (500, "temporary"),
        (503, "temporary"),
    ],
)
async def test_an_answer_says_whether_another_try_is_worth_it(services: Any, status: int, kind: str) -> None:
    services.answer = HttpAnswer(status, {"location": "/elsewhere?token=canary"}, b"unknown currency")
    with pytest.raises(DeliveryError) as caught:
        await call(request(), services)
    assert caught.value.kind == kind
    assert caught.value.status == str(status)
    if status < 400:
        assert str(caught.value).startswith("erp redirected to /elsewhere,")
        assert "canary" not in str(caught.value)
    else:
        assert f'erp answered {status} "unknown currency"' in str(caught.value)


async def test_a_conflict_with_a_time_to_wait_is_still_at_work_and_tried_again(services: Any) -> None:
    services.answer = HttpAnswer(409, {"retry-after": "3"}, b"")
    with pytest.raises(DeliveryError) as caught:
        await call(request(), services)
    assert (caught.value.kind, caught.value.retry_after) == ("temporary", 3)


async def test_a_rule_says_which_answers_it_expects(render: Any, services: Any) -> None:
    (one,) = render("http", ERP + "expect: 201, 404-410\n")
    services.answer = HttpAnswer(404, {}, b"gone")
    assert await call(one.request, services) == Receipt("404", "gone")
    services.answer = HttpAnswer(200, {}, b"")
    with pytest.raises(DeliveryError, match="but the rule expects 201 or 404-410"):
        await call(one.request, services)


@pytest.mark.parametrize("text", ["expect: 2xx\n", ""])
async def test_any_2xx_is_success_unless_the_rule_says_otherwise(
    render: Any, services: Any, text: str
) -> None:
    (one,) = render("http", ERP + text)
    services.answer = HttpAnswer(204, {}, b"")
    assert await call(one.request, services) == Receipt("204", "")


async def test_an_excerpt_of_an_answer_is_short_and_printable(services: Any) -> None:
    services.answer = HttpAnswer(200, {}, b"a\x1b[31m\x00" + b"x" * 60_000)
    receipt = await call(request(), services)
    assert receipt.detail.startswith("a[31mxxx")
    assert len(receipt.detail) == 2000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("Wed, 25 Nov 2026 09:30:02 GMT", 2),
        ("Wed, 25 Nov 2026 09:30:02 -0000", 2),
        ("Wed, 25 Nov 2026 09:00:00 GMT", None),
        ("-5", None),
        ("0", None),
        ("abc", None),
        ("1e9", 1e9),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_wait_asked_for_comes_as_seconds_or_as_a_date(
    services: Any, text: str, seconds: float | None
) -> None:
    assert retry_after({"retry-after": text}, services.now()) == seconds


def test_calls_of_one_order_keep_their_sequence_unless_the_rule_says_none(write: Any) -> None:
    usual, free = write("http", ERP), write("http", ERP + "ordering: none\n")
    assert usual.action.ordered_for(usual.values)
    assert not free.action.ordered_for(free.values)


# what counts as success


ANSWER = "expect:\n  status: 2xx\n  $.ok: yes\n  $.booked[*].lines: at least 2\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"ok": true, "booked": [{"lines": 1}, {"lines": 2}]}', ""),
        (b'{"ok": false, "booked": [{"lines": 2}]}', "$.ok is yes, but it is false"),
        (b'{"ok": true, "booked": [{"lines": 1}]}', "$.booked[*].lines at least 2, but"),
        (b'{"ok": true}', "$.booked[*].lines at least 2"),
        (b"<html>", "$.ok: yes, but the answer is not JSON"),
        (b'{"ok": true, "booked": [{"li', "$.ok: yes, but the answer is not JSON, or longer than is read"),
        (b"7", "$.ok is yes"),
        (b"[]", "$.ok is yes"),
    ],
)
async def test_a_rule_says_what_must_hold_in_the_answer(
    render: Any, services: Any, body: bytes, told: str
) -> None:
    (one,) = render("http", ERP + ANSWER)
    kept = exact.decode(msgspec.json.encode(one.request))
    services.answer = HttpAnswer(200, {}, body)
    if not told:
        assert await call(kept, services) == Receipt("200", body.decode())
        return
    with pytest.raises(DeliveryError) as caught:
        await call(kept, services)
    assert f"erp answered 200, but the rule expects {told}" in str(caught.value)
    assert (caught.value.kind, caught.value.detail) == ("permanent", body.decode())


async def test_a_refusal_is_judged_before_its_answer(render: Any, services: Any) -> None:
    (one,) = render("http", ERP + ANSWER)
    services.answer = HttpAnswer(503, {}, b'{"ok": true, "booked": [{"lines": 2}]}')
    with pytest.raises(DeliveryError) as caught:
        await call(one.request, services)
    assert caught.value.kind == "temporary"


@pytest.mark.parametrize(
    ("written", "told", "hint"),
    [
        ("{ok: yes}", 'which begin with $., not "ok"', "$.ok: yes"),
        ("{status: fine}", "takes status codes", ""),
        ("{$.ok: changed}", "has no past", ""),
        ("{$.: yes}", "ends too early", ""),
        ("fine", "takes status codes", ""),
        ("{$.total: at least many}", "many", ""),
    ],
)
def test_an_expectation_that_cannot_be_meant_is_told(write: Any, written: str, told: str, hint: str) -> None:
    (problem,) = write("http", ERP + f"expect: {written}\n").problems
    assert told in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2xx", ["2xx"]),
        ("[200, 404]", ["200", "404"]),
        ("{status: 201}", ["201"]),
        ('{$.state: ["a, b", c]}', {"status": ["2xx"], "answer": ['$.state: ["a, b", c]']}),
        (
            "{$.n: {more than: 1, at most: 3}}",
            {"status": ["2xx"], "answer": ["$.n: {more than: 1, at most: 3}"]},
        ),
    ],
)
def test_what_is_expected_stands_in_the_request(render: Any, written: str, kept: Any) -> None:
    (one,) = render("http", ERP + f"expect: {written}\n")
    assert one.request["expect"] == kept


# access data of a connection


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"token": "canary"}, "Bearer canary"),
        ({"username": "shop", "password": "canary:ü"}, "Basic c2hvcDpjYW5hcnk6w7w="),
        ({"headers": {"Authorization": "Key canary"}}, "Key canary"),
    ],
)
async def test_a_connection_shows_its_access_data_in_each_usual_way(
    services: Any, settings: dict[str, Any], sent: str
) -> None:
    services.connections["http"]["erp"] = {"base_url": "https://erp.example.com", **settings}
    await call(request(), services)
    assert services.sent[0].headers["authorization"] == sent
    hidden = list(Http().secrets({"base_url": "https://erp.example.com", **settings}))
    assert sent in hidden


async def test_a_signed_call_is_verified_by_the_librarys_own_verifier(
    services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.now(UTC)  # the verifier looks at the clock itself
    monkeypatch.setattr(services, "now", lambda: moment, raising=False)
    await call(request(connection="signed", json={"note": "Malmö", "total": Decimal("10.63")}), services)
    (sent,) = services.sent
    verifier = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert verifier.verify(sent.content, dict(sent.headers)) == {"note": "Malmö", "total": 10.63}
    with pytest.raises(WebhookVerificationError):
        verifier.verify(sent.content.replace(b"10.63", b"99.99"), dict(sent.headers))


async def test_a_connection_is_tried_at_its_base_address_with_its_access_data(services: Any) -> None:
    services.answer = HttpAnswer(404, {}, b"")
    assert await Http().try_connection("erp", services) == "its base address answers (404)"
    (sent,) = services.sent
    assert (sent.method, sent.url) == ("GET", "https://erp.example.com/api/")
    assert sent.headers["authorization"] == "Bearer canary"
    for status, kind in ((401, "setup"), (503, "temporary")):
        services.answer = HttpAnswer(status, {}, b"")
        with pytest.raises(DeliveryError) as caught:
            await Http().try_connection("erp", services)
        assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("name", "told", "hint"),
    [
        ("erpp", "Nearest: erp", "connection: erp"),
        ("warehouse", "There are erp. Connections stand in shopbell.yaml under `connections`, `http`", ""),
    ],
)
def test_an_unknown_connection_gets_the_line_that_was_probably_meant(
    write: Any, name: str, told: str, hint: str
) -> None:
    (problem,) = write("http", f"post: /x\nconnection: {name}\n", KNOWN).problems
    assert problem.message == f'no HTTP connection is called "{name}". {told}'
    assert problem.hint == hint
