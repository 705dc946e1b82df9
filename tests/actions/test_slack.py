"""What a Slack channel sees: values as typed, the format as its author meant it, never more than Slack takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions.base import DeliveryError, Destinations, HttpAnswer, Receipt
from engine.actions.slack import BLOCKS_LIMIT, FIELDS_LIMIT, TEXT_LIMIT, Slack, escape, fit, fit_blocks, link
from engine.language.document import read_document
from engine.language.plain import units
from engine.language.problem import Problems

pytestmark = pytest.mark.anyio

KNOWN = Destinations(
    {
        "slack": {
            "default": {"webhook": True},
            "big-orders": {"webhook": True},
            "ops": {"token": True, "channel": "C1"},
        }
    },
    known=True,
)
WITH_TOKEN = Destinations({"slack": {"default": {"token": True}}}, known=True)


async def post(request: Any, services: Any) -> Receipt:
    return await Slack().deliver(request, "key-1", services)


def items(number: int) -> list[dict[str, Any]]:
    return [{"name": f"Item {place}"} for place in range(number)]


# what values can do


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel> Mug", "&lt;!channel&gt; Mug"),
        ("<@U123> Tee", "&lt;@U123&gt; Tee"),
        ("<http://x.test|free>", "&lt;http://x.test|free&gt;"),
        ("Salt & Pepper", "Salt &amp; Pepper"),
        ("a < b > c", "a &lt; b &gt; c"),
        ("{{ 7*7 }}", "{{ 7∗7 }}"),
    ],
)
def test_a_value_alerts_nobody_and_reads_as_typed(
    render: Any, make_order: Any, name: str, shown: str
) -> None:
    (one,) = render("slack", 'text: "Sold: {{ order.number }}"', make_order(number=name))
    assert one.request["text"] == f"Sold: {shown}".replace("7∗7", "7*7")


def test_the_authors_own_mentions_and_formats_stay(render: Any) -> None:
    (one,) = render("slack", 'text: "<!here> *{{ order.number }}* & `code`"')
    assert one.request["text"] == "<!here> *R1* & `code`"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("*Sale* Mug_large", "∗Sale∗ Mug_large"),
        ("`", "ˋ"),
        ("~~", "∼∼"),
        ("> quoted", "\u2060&gt; quoted"),
        ("Mug\n```", "Mug\nˋˋˋ"),
        ("_note_ 5*3", "ˍnoteˍ 5*3"),
    ],
)
def test_a_value_formats_nothing_around_it_and_stays_readable(
    render: Any, make_order: Any, name: str, shown: str
) -> None:
    (one,) = render("slack", 'text: "*{{ order.number }}* sold"', make_order(number=name))
    assert one.request["text"] == f"*{shown}* sold"


def test_hidden_and_turning_characters_are_dropped(render: Any, make_order: Any) -> None:
    (one,) = render("slack", 'text: "a {{ order.number }} b"', make_order(number="x\u0000\u202e\x1by"))
    assert one.request["text"] == "a xy b"


@given(st.text())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_value_at_all_can_hold_an_active_sign(value: str) -> None:
    shown = escape(value)
    assert "<" not in shown
    assert ">" not in shown
    assert "`" not in shown
    assert "*" not in (shown[:1], shown[-1:])
    assert not any(line.startswith("&gt;") for line in shown.split("\n"))


def test_a_link_keeps_its_label_inside() -> None:
    assert link("https://x.test/?a=1&b=2", "<b> & co") == "<https://x.test/?a=1&amp;b=2|&lt;b&gt; &amp; co>"


# what Slack takes


def test_a_long_text_ends_with_whole_entities_and_an_ellipsis(render: Any, make_order: Any) -> None:
    (one,) = render("slack", 'text: "{{ order.number }}"', make_order(number="x" * 2990 + "&" * 8))
    text = one.request["text"]
    assert units(text) <= TEXT_LIMIT
    assert text == "x" * 2990 + "&amp;" + "…"


@pytest.mark.parametrize("character", ["👨‍👩‍👧‍👦", "بِ", "🇩🇪", "👍🏽", "é"])
def test_a_long_name_is_cut_between_whole_characters(render: Any, make_order: Any, character: str) -> None:
    name = character * 5000
    (one,) = render("slack", 'text: "{{ order.number }}"', make_order(number=name))
    kept = one.request["text"].removesuffix("…")
    assert units(one.request["text"]) <= TEXT_LIMIT
    assert len(kept) % len(character) == 0
    assert kept == character * (len(kept) // len(character))


def test_a_long_list_is_cut_at_a_line_and_says_how_many_are_left_out() -> None:
    text = fit("\n".join(f"- item number {place} of the morning" for place in range(1000)))
    last = text.split("\n")[-1]
    shown = text.count("- item number")
    assert units(text) <= TEXT_LIMIT
    assert last == f"…and {1000 - shown} more"
    assert text.split("\n")[-2].endswith("of the morning")


def test_a_long_line_in_the_middle_keeps_its_start() -> None:
    text = fit("first\n" + "x" * 5000 + "\nlast")
    assert text.startswith("first\nxxx")
    assert text.endswith("x…\n…and 1 more")
    assert units(text) <= TEXT_LIMIT


@given(st.text(alphabet="ab\n&<👍", max_size=200), st.integers(40, 120))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_cut_text_is_never_longer_than_it_may_be(text: str, limit: int) -> None:
    assert units(fit(escape(text), limit)) <= limit


@given(st.lists(st.integers(0, 700), max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_lines_of_any_length_are_cut_within_the_limit(lengths: list[int]) -> None:
    text = "\n".join("x" * length for length in lengths)
    assert units(fit(text, 600)) <= 600


def test_a_field_per_item_and_a_block_per_item_fit_into_a_message(render: Any, make_order: Any) -> None:
    text = """
blocks:
  - type: section
    fields: "{{ order.line_items[:20] | map(attribute='name') }}"
  - "{{ order.line_items | map(attribute='name') }}"
"""
    (one,) = render("slack", text.replace("[:20]", ""), make_order(line_items=items(60)))
    blocks = one.request["blocks"]
    fields = blocks[0]["fields"]
    assert len(blocks) == BLOCKS_LIMIT
    assert blocks[-1]["elements"][0]["text"] == "…and 12 more"
    assert len(fields) == FIELDS_LIMIT
    assert fields[-1] == {"type": "mrkdwn", "text": "…and 51 more"}
    assert blocks[1] == {"type": "section", "text": {"type": "mrkdwn", "text": "Item 0"}}


def test_texts_in_blocks_are_cut_and_those_of_values_are_made_safe(render: Any, make_order: Any) -> None:
    text = """
blocks:
  - type: section
    text: {type: mrkdwn, text: "*{{ order.number }}*"}
  - type: header
    text: {type: plain_text, text: "{{ order.email }}", emoji: true}
  - type: actions
    elements:
      - {type: button, text: {type: plain_text, text: Open}, url: "https://x.test/?a=1&n={{ order.ship_address.firstname }}"}
"""
    root = make_order(number="<!here>" + "x" * 4000, email="y" * 200, ship_address__firstname="A&B")
    (one,) = render("slack", text, root)
    section, header, actions = one.request["blocks"]
    assert section["text"]["text"].startswith("*&lt;!here&gt;xxx")
    assert units(section["text"]["text"]) == TEXT_LIMIT
    assert header["text"] == {"type": "plain_text", "text": "y" * 149 + "…", "emoji": True}
    assert actions["elements"][0]["url"] == "https://x.test/?a=1&n=A&B"
    assert one.request["text"] == section["text"]["text"]


def test_no_more_blocks_than_slack_takes_even_with_the_line_about_gaps() -> None:
    blocks = fit_blocks([{"type": "divider"}] * 60, "one value could not be filled in: order.foo")
    assert len(blocks) == BLOCKS_LIMIT
    assert blocks[-2]["elements"][0]["text"] == "…and 12 more"
    assert blocks[-1]["elements"][0]["text"] == "one value could not be filled in: order.foo"


# gaps


def test_a_message_with_a_gap_goes_out_and_says_so_in_its_last_line(
    render: Any, write: Any, make_order: Any
) -> None:
    rule = 'text: "Call {{ order.foo }} of {{ order.number }}"'
    (one,) = render("slack", rule, make_order(number="x" * 5000))
    assert write("slack", rule).action.on_gap_for(write("slack", rule).values) == "send"
    assert one.request["text"].startswith("Call [?] of xxx")
    assert one.request["text"].endswith("…\none value could not be filled in: order.foo")
    assert units(one.request["text"]) <= TEXT_LIMIT
    assert [gap.expression for gap in one.gaps] == ["order.foo"]
    assert not one.blocked


def test_an_author_can_have_a_message_with_gaps_held(render: Any, write: Any) -> None:
    rule = 'text: "{{ order.foo }}"\non gap: hold\n'
    found = write("slack", rule)
    assert found.action.on_gap_for(found.values) == "hold"
    assert render("slack", rule)[0].request["text"] == "[?]"


def test_a_message_that_comes_out_empty_is_held_whatever_the_rule_says(render: Any) -> None:
    (one,) = render("slack", 'text: "{{ order.cart_url }}"')
    assert one.blocked
    assert [gap.because for gap in one.gaps] == ["the message is empty"]


# where it goes


@pytest.mark.parametrize(
    ("channel", "destinations", "connection", "to"),
    [
        ("big-orders", KNOWN, "big-orders", "big-orders"),
        ('"#big-orders"', KNOWN, "big-orders", "big-orders"),
        ("ops", KNOWN, "ops", "C1"),
        ("refunds", WITH_TOKEN, "default", "refunds"),
        ("anything", Destinations(), "anything", "anything"),
    ],
)
def test_a_channel_is_a_connection_or_goes_through_the_default_one(
    render: Any, channel: str, destinations: Destinations, connection: str, to: str
) -> None:
    (one,) = render("slack", f"channel: {channel}\ntext: hi\n", destinations=destinations)
    assert (one.request["connection"], one.request["channel"]) == (connection, to)
    assert one.to == f"#{to}"


def test_without_a_channel_it_goes_to_the_default_connection(render: Any) -> None:
    (one,) = render("slack", "text: hi", destinations=KNOWN)
    assert one.request == {"connection": "default", "channel": "", "text": "hi"}
    assert one.to == "#default"


def test_a_channel_that_nobody_knows_is_told_with_the_nearest_one(write: Any) -> None:
    (problem,) = write("slack", "channel: big-ordres\ntext: hi\n", KNOWN).problems
    assert problem.line == 1
    assert 'no Slack connection or channel rule covers "big-ordres"' in problem.message
    assert problem.hint == "channel: big-orders"


def test_a_channel_without_a_connection_goes_to_the_webhook_that_there_is_and_says_so(write: Any) -> None:
    only_a_webhook = Destinations({"slack": {"default": {"webhook": True}}}, known=True)
    (problem,) = write("slack", "channel: warehouse\ntext: hi\n", only_a_webhook).problems
    assert problem.severity == "warning"
    assert "goes to the one channel of the webhook" in problem.message


def test_a_channel_without_any_way_to_it_is_a_fault(write: Any) -> None:
    (problem,) = write("slack", "channel: warehouse\ntext: hi\n", Destinations(known=True)).problems
    assert problem.severity == "error"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("channel: ops\n", "it needs `text` or `blocks`"),
        ("text: hi\nwebhook: https://hooks.slack.com/services/x\n", "takes a name, not an address"),
        ("text: hi\nchannel: a\nwebhook: b\n", "not both"),
        ("channel: '{{ order.channel }}'\ntext: hi\n", "cannot come from the event"),
        ("blocks:\n  type: section\n", "blocks is a list"),
        ("text:\n", "text is empty"),
        ("text: [a]\n", "takes one text, not a list"),
        ("text: hi\non gap: later\n", "takes send or hold"),
        ("text: hi\nretry: often\n", "`8 times over 24 hours`"),
        ("text: hi\ntimeout: 2 hours\n", "at most 5 minutes"),
    ],
)
def test_slips_are_told_in_plain_words_and_only_once(write: Any, text: str, told: str) -> None:
    (message,) = write("slack", text).messages
    assert told in message
    assert "hooks.slack.com" not in message


def test_a_misspelt_setting_is_told_without_further_faults_because_of_it(write: Any) -> None:
    (problem,) = write("slack", "txt: hi\nchannel: ops\n").problems
    assert problem.message == 'slack has no setting called "txt". Did you mean `text`?'


# sending


async def test_by_webhook_the_text_goes_out_as_plain_utf8_without_a_mark(render: Any, services: Any) -> None:
    (one,) = render("slack", 'text: "\U0001f600 مرحبا {{ order.number }}"')
    receipt = await post(one.request | {"connection": "hook"}, services)
    (sent,) = services.sent
    assert receipt.status == "200"
    assert sent.headers["Content-Type"] == "application/json; charset=utf-8"
    assert sent.content.startswith(b'{"text":"\xf0\x9f\x98\x80 ')
    assert sent.json == {"text": "😀 مرحبا R1", "unfurl_links": False, "unfurl_media": False}


def test_a_rule_file_with_a_byte_order_mark_puts_none_into_the_message() -> None:
    document = read_document("\ufefftext: hi\n".encode(), Problems("x.yaml"))
    assert document is not None
    assert [(entry.key.text, entry.value.text) for entry in document] == [("text", "hi")]


async def test_by_token_the_channel_is_named_and_the_token_joins_at_the_last_moment(services: Any) -> None:
    services.answer = HttpAnswer(200, {}, b'{"ok":true,"ts":"1"}')
    request = {"connection": "default", "channel": "refunds", "text": "hi", "timeout": 4}
    await post(request, services)
    (sent,) = services.sent
    assert sent.url == "https://slack.com/api/chat.postMessage"
    assert sent.headers["Authorization"] == "Bearer xoxb-canary"
    assert sent.json["channel"] == "refunds"
    assert sent.timeout == 4


async def test_a_long_answer_that_was_cut_is_still_an_ok(services: Any) -> None:
    services.answer = HttpAnswer(200, {}, b'{"ok":true,"message":{"text":"cut of')
    await post({"connection": "default", "channel": "x", "text": "hi"}, services)


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (400, b"invalid_payload", "permanent", "does not understand the message"),
        (404, b"channel_not_found", "setup", "no channel #refunds"),
        (404, b"no_service", "setup", "webhook of connection default no longer exists"),
        (410, b"channel_is_archived", "setup", "channel #refunds is archived"),
        (403, b"action_prohibited", "setup", "does not let the app post in channel #refunds"),
        (200, b"no_text", "permanent", "has no text"),
        (200, b"", "permanent", "did not answer ok"),
        (200, b'{"ok":false,"error":"not_in_channel"}', "setup", "Invite it there with /invite"),
        (200, b'{"ok":false,"error":"token_revoked"}', "setup", "token of connection default"),
        (200, b'{"ok":false,"error":"ratelimited"}', "temporary", "busy"),
        (302, b"", "permanent", "redirected to"),
        (429, b"", "temporary", "429"),
        (500, b"internal", "temporary", "500"),
        (418, b"short and stout", "permanent", '"short and stout"'),
    ],
)
async def test_only_ok_is_success_and_a_refusal_says_what_to_do(
    services: Any, status: int, body: bytes, kind: str, told: str
) -> None:
    services.answer = HttpAnswer(status, {"retry-after": "7"}, body)
    with pytest.raises(DeliveryError) as caught:
        await post({"connection": "default", "channel": "refunds", "text": "hi"}, services)
    assert caught.value.kind == kind
    assert told in str(caught.value)
    assert caught.value.status == str(status)
    assert caught.value.retry_after == 7
    assert "canary" not in str(caught.value)


# threads

ASKING = "channel: refunds\ntext: hi\nthread per: order.number\n"


def posted(ts: str) -> HttpAnswer:
    return HttpAnswer(200, {}, f'{{"ok":true,"channel":"C1","ts":"{ts}","message":{{"ts":"9.9"}}}}'.encode())


def refused(word: str) -> HttpAnswer:
    return HttpAnswer(200, {}, f'{{"ok":false,"error":"{word}"}}'.encode())


def threads(services: Any) -> list[str | None]:
    """The message that each one sent answers, None for those that answer none."""
    return [sent.json.get("thread_ts") for sent in services.sent]


async def test_messages_about_one_order_stand_in_one_thread_whichever_rule_wrote_them(
    render: Any, make_order: Any, services: Any
) -> None:
    services.answers = [posted("1.1"), posted("2.2"), posted("3.3"), posted("4.4")]
    for number, text in (("R1", "hi"), ("R1", "again"), ("R2", "hi"), ("R1", "hi")):
        rule = ASKING.replace("hi", text)
        (one,) = render("slack", rule, make_order(number=number), WITH_TOKEN)
        await post(one.request, services)
    assert threads(services) == [None, "1.1", None, "1.1"]


async def test_two_messages_at_the_same_moment_start_one_thread(render: Any, services: Any) -> None:
    (one,) = render("slack", ASKING, destinations=WITH_TOKEN)
    services.answers = [posted("1.1"), posted("2.2"), posted("3.3")]
    await asyncio.gather(*(post(one.request, services) for _ in range(3)))
    assert threads(services) == [None, "1.1", "1.1"]


async def test_another_channel_has_a_thread_of_its_own(render: Any, services: Any) -> None:
    services.answers = [posted("1.1"), posted("2.2")]
    for channel in ("refunds", "ops"):
        (one,) = render("slack", ASKING.replace("refunds", channel), destinations=WITH_TOKEN)
        await post(one.request, services)
    assert threads(services) == [None, None]


async def test_a_thread_whose_start_was_deleted_is_started_anew(render: Any, services: Any) -> None:
    (one,) = render("slack", ASKING, destinations=WITH_TOKEN)
    services.answers = [posted("1.1"), refused("thread_not_found"), posted("5.5"), posted("6.6")]
    for _ in range(3):
        await post(one.request, services)
    assert threads(services) == [None, "1.1", None, "5.5"]


async def test_a_refused_start_starts_nothing_and_a_refused_answer_is_told(
    render: Any, services: Any
) -> None:
    (one,) = render("slack", ASKING, destinations=WITH_TOKEN)
    services.answers = [refused("not_in_channel"), posted("1.1"), refused("ratelimited"), posted("2.2")]
    for expected in ("not in channel #refunds", None, "busy", None):
        if expected is None:
            await post(one.request, services)
            continue
        with pytest.raises(DeliveryError, match=expected):
            await post(one.request, services)
    assert threads(services) == [None, None, "1.1", "1.1"]


async def test_an_order_without_a_number_has_no_thread_and_the_message_says_so(
    render: Any, make_order: Any, services: Any
) -> None:
    (one,) = render("slack", ASKING, make_order(number=None), WITH_TOKEN)
    assert "thread" not in one.request
    assert one.request["text"].endswith("one value could not be filled in: order.number")


def test_a_thread_through_a_webhook_is_told_at_check_time(write: Any) -> None:
    (problem,) = write("slack", ASKING.replace("refunds", "big-orders"), KNOWN).problems
    assert (problem.severity, problem.line) == ("error", 3)
    assert "a thread needs a connection with a token" in problem.message
    assert write("slack", ASKING.replace("refunds", "ops"), KNOWN).problems == ()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("order.line_items[*].sku", "takes one field"),
        ("order.", "thread per: "),
        ("[a]", "takes one field of the event"),
    ],
)
def test_a_thread_is_kept_by_one_field(write: Any, written: str, told: str) -> None:
    (message,) = write("slack", f"text: hi\nthread per: {written}\n").messages
    assert told in message


# trying a connection


async def test_a_token_is_tried_without_a_message(services: Any) -> None:
    told = b'{"ok":true,"team":"Corner shop","user":"bell"}'
    services.answer = HttpAnswer(200, {"x-oauth-scopes": "chat:write,users:read"}, told)
    assert "bell in Corner shop" in await Slack().try_connection("default", services)
    assert [sent.url for sent in services.sent] == ["https://slack.com/api/auth.test"]
    services.answer = HttpAnswer(200, {"x-oauth-scopes": "users:read"}, told)
    with pytest.raises(DeliveryError, match="scope chat:write"):
        await Slack().try_connection("default", services)
    services.answer = refused("invalid_auth")
    with pytest.raises(DeliveryError, match="no longer accepts the token") as caught:
        await Slack().try_connection("default", services)
    assert caught.value.kind == "setup"


@pytest.mark.parametrize("word", [b"no_text", b"invalid_payload"])
async def test_a_webhook_is_tried_with_a_message_that_slack_refuses(services: Any, word: bytes) -> None:
    services.answer = HttpAnswer(400, {}, word)
    assert "Nothing was posted" in await Slack().try_connection("hook", services)
    assert "text" not in services.sent[0].json
    services.answer = HttpAnswer(404, {}, b"no_service")
    with pytest.raises(DeliveryError, match="no longer exists"):
        await Slack().try_connection("hook", services)


# what Slack takes of buttons and remarks


def test_buttons_and_remarks_beyond_the_limit_are_cut_where_one_sees_it() -> None:
    button = {"type": "button", "text": {"type": "plain_text", "text": "B" * 100}}
    remark = {"type": "mrkdwn", "text": "x"}
    made = fit_blocks(
        [{"type": "actions", "elements": [button] * 27}, {"type": "context", "elements": [remark] * 12}]
    )
    buttons, left_out, remarks = made
    assert len(buttons["elements"]) == 25
    assert units(buttons["elements"][0]["text"]["text"]) == 75
    assert left_out["elements"] == [{"type": "mrkdwn", "text": "…and 2 more"}]
    assert len(remarks["elements"]) == 10
    assert remarks["elements"][-1]["text"] == "…and 3 more"


def test_with_a_token_a_near_name_is_probably_a_slip(write: Any) -> None:
    known = Destinations({"slack": {"default": {"token": True}, "big-orders": {"webhook": True}}}, known=True)
    (problem,) = write("slack", "channel: big-ordres\ntext: hi\n", known).problems
    assert (problem.severity, problem.hint) == ("warning", "channel: big-orders")
    assert write("slack", "channel: refunds\ntext: hi\n", known).problems == ()
