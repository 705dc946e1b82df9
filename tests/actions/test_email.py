"""What arrives in a mailbox: one mail, its headers as set, its recipients as meant, whatever a value holds."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions.base import DeliveryError, Destinations
from engine.actions.email import Email, build, text_of
from engine.actions.layout import Look, inlined, laid_out, paragraphs
from engine.language.recipients import Mailbox, clean_name

pytestmark = pytest.mark.anyio

DATE = "Wed, 25 Nov 2026 09:30:00 +0000"
SHOP = Mailbox("care@shop.example", "Shop")
KNOWN = Destinations(
    {"email": {"default": {"from": "Shop <care@shop.example>"}, "care": {"from": "Care <c@shop.example>"}}},
    known=True,
)
CUSTOMER = 'to: "{{ order.email }}"\nsubject: "Order for {{ order.ship_address.firstname }}"\ntext: hi\n'
INTERNAL = 'to: ops@x.test\nsubject: "Order {{ order.foo }}"\ntext: hi\n'


def mail(request: Any, **changes: Any) -> EmailMessage:
    """The built mail as a mail program reads it."""
    raw = build({**request, **changes}, SHOP, "key-1", DATE)
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


class _Page(HTMLParser):
    """Reads a page as a mail program does: each element with its attributes, and the text in it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[tuple[dict[str, str], str]]] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = {name: value or "" for name, value in attrs if name != "style"}
        self.found.setdefault(tag, []).append((kept, ""))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open:
            attributes, text = self.found[self.open[-1]][-1]
            self.found[self.open[-1]][-1] = attributes, text + data


def read_page(page: str) -> dict[str, list[tuple[dict[str, str], str]]]:
    """The elements of a page by their tag, styles left out."""
    reader = _Page()
    reader.feed(page)
    reader.close()
    return reader.found


def text_part(message: EmailMessage) -> list[str]:
    """The lines of the part that is read as text."""
    body = message.get_body(("plain",))
    assert body is not None
    return body.get_content().splitlines()  # type: ignore[no-any-return]


def request(**changes: Any) -> dict[str, Any]:
    usual = {
        "to": ["ana@example.test"],
        "cc": [],
        "bcc": [],
        "reply_to": [],
        "subject": "Hello",
        "text": "Hi\n",
    }
    return {
        "connection": "default",
        "from": "Shop <care@shop.example>",
        **usual,
        "html": "",
        "headers": {},
        **changes,
    }


# headers


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Al\r\nBcc: spy@evil.test", "Order for Al Bcc: spy@evil.test"),
        ("Al\nX: 1", "Order for Al X: 1"),
        ("Al\u2028B", "Order for Al B"),
        ("Al\u0085B", "Order for Al B"),
        ("Al\u0000B", "Order for AlB"),
        ("=?utf-8?q?a=0D=0ABcc:_evil@x?=", "Order for = ?utf-8?q?a=0D=0ABcc:_evil@x?="),
        ("José 😀", "Order for José 😀"),
    ],
)
def test_a_name_adds_no_header_and_no_recipient_and_the_mail_is_still_sent(
    render: Any, make_order: Any, name: str, subject: str
) -> None:
    (one,) = render("email", CUSTOMER, make_order(ship_address__firstname=name))
    message = mail(one.request)
    assert one.request["subject"] == subject
    assert message["Subject"] == subject
    assert message["To"] == "ana@example.test"
    assert set(message.keys()) == USUAL_HEADERS - {"Content-Transfer-Encoding"}


USUAL_HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
    "MIME-Version",
}  # fmt: skip


@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=300))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_whatever_stands_in_a_request_the_set_of_headers_is_the_same(
    subject: str, name: str, text: str
) -> None:
    to = [str(Mailbox("ana@example.test", name))]
    raw = build(request(subject=subject, text=text, to=to, headers={"X-A": text}), SHOP, "key-1", DATE)
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert set(found.keys()) == USUAL_HEADERS | {"X-A"}
    assert [address.addr_spec for address in found["To"].addresses] == ["ana@example.test"]


def test_a_mail_whose_headers_do_not_read_back_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.actions.email.header_text", lambda text: text)
    monkeypatch.setattr("engine.actions.email.encoded", lambda name, text: text)
    with pytest.raises(DeliveryError, match="would have added a header") as caught:
        build(request(subject="x\r\nBcc: spy@evil.test"), SHOP, "key-1", DATE)
    assert caught.value.kind == "permanent"


def test_a_subject_in_a_block_text_is_one_trimmed_line(render: Any, make_order: Any) -> None:
    text = """
to: "{{ order.email }}"
subject: |

  Order {{ order.number }}
  {% if order.subscription_order %}(subscription){% endif %}
text: |
  Hello

  {% if order.subscription_order %}
  again
  {% endif %}
  bye
"""
    (one,) = render("email", text)
    assert one.request["subject"] == "Order R1"
    assert one.request["text"] == "Hello\n\nbye"
    assert text_part(mail(one.request)) == ["Hello", "", "bye"]
    (subscription,) = render("email", text, make_order(subscription_order=True))
    assert subscription.request["subject"] == "Order R1 (subscription)"


def test_a_subject_without_end_is_cut(render: Any, make_order: Any) -> None:
    (one,) = render("email", CUSTOMER, make_order(ship_address__firstname="x" * 5000))
    assert len(one.request["subject"]) == 250
    assert one.request["subject"].endswith("…")


def test_the_message_id_is_the_same_on_every_try_and_another_for_another_delivery() -> None:
    first, again, other = (
        email.message_from_bytes(build(request(), SHOP, key, DATE))["Message-ID"]
        for key in ("k1", "k1", "k2")
    )
    assert first == again != other
    assert first.endswith("@shop.example>")


def test_a_rule_sets_only_headers_of_its_own(write: Any, render: Any) -> None:
    rule = CUSTOMER + 'headers:\n  X-Order: "{{ order.number }}"\n  List-Id: shop\n  Bcc: spy@evil.test\n'
    (message,) = write("email", rule).messages
    assert message.startswith("a rule cannot set the header Bcc")
    (one,) = render("email", rule.replace("  Bcc: spy@evil.test\n", ""))
    assert mail(one.request)["X-Order"] == "R1"
    assert "Bcc" not in mail(request(headers={"Bcc": "spy@evil.test", "X-A": "1"}))


def test_a_rule_may_say_that_a_mail_is_no_automatic_one() -> None:
    raw = build(request(headers={"auto-submitted": "no"}), SHOP, "key-1", DATE)
    assert email.message_from_bytes(raw).get_all("Auto-Submitted") == ["no"]


# recipients


def test_a_comma_in_a_name_makes_no_second_recipient(render: Any) -> None:
    rule = """
to: "{{ order.ship_address.lastname }}, {{ order.ship_address.firstname }} <{{ order.email }}>"
subject: x
text: x
"""
    (one,) = render("email", rule)
    (address,) = mail(one.request)["To"].addresses
    assert (address.display_name, address.addr_spec) == ("Doe, Ana", "ana@example.test")
    assert one.to == "ana@example.test"


@pytest.mark.parametrize(
    "name", ['José "Pepe" (VIP) <x>', "a@b.test, c", "\\", '"', "<evil@x.test>", "名前", "Mr. X"]
)
def test_a_name_arrives_intact_and_is_never_an_address(render: Any, make_order: Any, name: str) -> None:
    rule = 'to: "{{ order.ship_address.firstname }} <{{ order.email }}>"\nsubject: x\ntext: x\n'
    (one,) = render("email", rule, make_order(ship_address__firstname=name))
    (address,) = mail(one.request)["To"].addresses
    assert (address.display_name, address.addr_spec) == (name, "ana@example.test")


@pytest.mark.parametrize(
    "value",
    [
        "ok@x.test, evil@y.test",
        "ok@x.test\nBcc: evil@y.test",
        "evil@y.test>",
        "x <a@b.test>",
        "ana",
        "a@b c.test",
        "@",
    ],
)
def test_a_value_that_is_not_exactly_one_address_holds_the_mail(
    render: Any, make_order: Any, value: str
) -> None:
    (one,) = render("email", CUSTOMER, make_order(email=value))
    assert one.blocked
    assert one.request["to"] == []
    assert "mail address" in one.gaps[0].because


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_order_without_an_address_holds_the_mail_for_want_of_a_recipient(
    render: Any, make_order: Any, value: str | None
) -> None:
    (one,) = render("email", CUSTOMER + "on gap: send\n", make_order(email=value))
    assert one.blocked
    assert one.to == "nobody"
    assert [gap.because for gap in one.gaps] == ["no recipient: the address is empty"]


@pytest.mark.parametrize(
    "to",
    [
        "ops@x.test; cfo@x.test",
        "ops@x.test,cfo@x.test",
        "[ops@x.test, cfo@x.test]",
        "\n  - ops@x.test\n  - cfo@x.test",
    ],
)
def test_several_recipients_may_be_a_text_or_a_list_and_each_is_a_delivery(render: Any, to: str) -> None:
    both = render("email", f"to: {to}\nsubject: x\ntext: x\n")
    assert [one.to for one in both] == ["ops@x.test", "cfo@x.test"]
    assert [one.request["recipient"] for one in both] == ["ops@x.test", "cfo@x.test"]
    assert all(one.request["to"] == ["ops@x.test", "cfo@x.test"] for one in both)


def test_one_recipient_named_twice_gets_one_mail(render: Any) -> None:
    rule = "to: ops@x.test, OPS@x.test\ncc: ops@x.test\nsubject: x\ntext: x\n"
    assert [one.to for one in render("email", rule)] == ["ops@x.test"]


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("[ops@x.test, '']", "an entry that is empty"),
        ("ops", '"ops" is not a mail address'),
        ("Doe, Jane <jane@x.test>", '"Doe" is not a mail address'),
        ("'{{ order.email }}, ops@x.test'", "is one recipient"),
        ("'A <{{ order.email }}>, B <b@x.test>'", "is one recipient"),
        ("{a: b}", "an entry that is empty"),
    ],
)
def test_recipients_that_cannot_be_meant_are_refused_at_load(write: Any, to: str, told: str) -> None:
    (message,) = write("email", f"to: {to}\nsubject: x\ntext: x\n").messages
    assert told in message


def test_the_domain_of_an_address_is_sent_in_ascii(render: Any, make_order: Any) -> None:
    (one,) = render("email", CUSTOMER, make_order(email="info@bücher.test"))
    assert one.request["to"] == ["info@bücher.test"]
    assert one.to == "info@xn--bcher-kva.test"
    assert b"To: info@xn--bcher-kva.test" in build(one.request, SHOP, "key-1", DATE)


def test_a_mailbox_beyond_ascii_is_never_rewritten_into_an_encoded_word() -> None:
    raw = build(request(to=["jörg@example.test"]), SHOP, "key-1", DATE)
    assert "To: jörg@example.test".encode() in raw
    assert b"=?utf-8?q?j" not in raw


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_recipient_that_was_written_down_reads_back_the_same(name: str) -> None:
    mailbox = Mailbox("ana@example.test", clean_name(name))
    assert Mailbox.read(str(mailbox)) == mailbox


# whom it is for


def test_mail_to_a_customer_is_held_on_a_gap_and_asked_about_when_unsure(write: Any) -> None:
    found = write("email", CUSTOMER)
    assert found.action.for_customer(found.values)
    assert found.action.on_gap_for(found.values) == "hold"
    assert found.action.on_unsure_for(found.values) == "ask"
    assert found.action.carried(found.values) == {}


def test_mail_to_ones_own_people_goes_out_with_a_gap_and_is_sent_again(write: Any, render: Any) -> None:
    found = write("email", INTERNAL)
    (one,) = render("email", INTERNAL)
    assert found.action.on_gap_for(found.values) == "send"
    assert found.action.on_unsure_for(found.values) == "resend"
    assert one.request["subject"] == "Order [?]"
    assert one.request["text"] == "hi\n\none value could not be filled in: order.foo\n"
    assert one.request["on_unsure"] == "resend"


def test_an_author_can_choose_otherwise(write: Any) -> None:
    found = write("email", CUSTOMER + "on gap: send\non unsure: resend\nordering: per order\n")
    assert found.action.on_gap_for(found.values) == "send"
    assert found.action.on_unsure_for(found.values) == "resend"
    assert found.action.ordered_for(found.values)


def test_the_sender_is_a_connection_and_its_address_is_shown(render: Any, write: Any) -> None:
    (one,) = render("email", CUSTOMER + "from: care\n", destinations=KNOWN)
    assert one.request["connection"] == "care"
    assert one.request["from"] == "Care <c@shop.example>"
    (message,) = write("email", CUSTOMER + "from: carr\n", KNOWN).messages
    assert message == 'no e-mail connection is called "carr". Nearest: care'


def test_a_mail_without_a_body_is_told(write: Any) -> None:
    (message,) = write("email", "to: a@x.test\nsubject: x\n").messages
    assert "it needs `text` or `html`" in message


# the body


def test_markup_in_a_name_is_shown_as_typed_in_html_and_in_an_attribute(render: Any, make_order: Any) -> None:
    rule = """
to: "{{ order.email }}"
subject: x
layout: LAYOUT
html: '<p title="{{ order.ship_address.firstname }}">Hi {{ order.ship_address.firstname }}</p>'
"""
    name = "<h1>Al</h1><img src=x onerror=1>\"'"
    event = make_order(ship_address__firstname=name)
    (one,) = render("email", rule.replace("LAYOUT", "none"), event)
    (laid,) = render("email", rule.replace("LAYOUT", "shop"), event)
    safe = "&lt;h1&gt;Al&lt;/h1&gt;&lt;img src=x onerror=1&gt;&quot;&#x27;"
    assert one.request["html"] == f'<p title="{safe}">Hi {safe}</p>'
    assert one.request["text"] == laid.request["text"] == f"Hi {name}\n"
    assert "<h1" not in laid.request["html"]
    assert "<img" not in laid.request["html"]
    assert read_page(laid.request["html"])["p"] == [({"title": name}, f"Hi {name}")]


def test_a_mail_in_html_always_has_a_text_part() -> None:
    page = "<html><head><style>p {}</style></head><body><h1>Hi</h1><p>See <a href='https://x.test/a'>here</a></p>"
    page += "<ul><li>one</li><li>two &amp; three</li></ul></body></html>"
    message = mail(request(text="", html=page))
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines() == [
        "Hi",
        "",
        "See here (https://x.test/a)",
        "",
        "- one",
        "- two & three",
    ]
    assert message.get_content_type() == "multipart/alternative"


def test_an_empty_page_has_an_empty_text() -> None:
    assert text_of("") == ""


def test_a_gap_is_told_in_the_html_part_too(render: Any) -> None:
    (one,) = render("email", "to: ops@x.test\nsubject: x\nhtml: '<b>{{ order.foo }}</b>'\n")
    assert one.request["html"] == "<b>[?]</b>\n<p>one value could not be filled in: order.foo</p>\n"
    assert one.request["text"].endswith("one value could not be filled in: order.foo\n")


def test_values_that_look_like_templates_come_out_literally(render: Any, make_order: Any) -> None:
    hostile = "{{ 7*7 }}{% for i in range(9) %}x{% endfor %}${SLACK_URL}{{ secrets }}"
    rule = CUSTOMER.replace("text: hi", 'text: "{{ order.ship_address.firstname }}"')
    (one,) = render("email", rule, make_order(ship_address__firstname=hostile))
    assert one.request["subject"] == f"Order for {hostile}"
    assert one.request["text"] == hostile


# sending


async def test_the_bytes_sent_hold_what_the_request_says_and_the_bcc_nowhere(services: Any) -> None:
    receipt = await Email().deliver(
        request(bcc=["spy@x.test"], recipient="spy@x.test", timeout=9), "key-1", services
    )
    (sent,) = services.sent
    assert receipt.status == "250"
    assert sent.recipients == ("spy@x.test",)
    assert sent.sender == "care@shop.example"
    assert sent.timeout == 9
    assert b"spy@x.test" not in sent.content
    assert b"Auto-Submitted: auto-generated" in sent.content
    assert b"Date: Wed, 25 Nov 2026 09:30:00 +0000" in sent.content


async def test_a_mail_to_nobody_fails_for_good(services: Any) -> None:
    with pytest.raises(DeliveryError, match="no recipient has an address") as caught:
        await Email().deliver(request(to=[]), "key-1", services)
    assert caught.value.kind == "permanent"
    assert services.sent == []


# how it looks, and how to get no more


BRANDED = Destinations(
    {
        "email": {
            "default": {
                "from": "Shop <care@shop.example>",
                "color": "#aa3322",
                "footer": "Corner shop, 1 Main Street",
                "unsubscribe": "https://shop.example/no-more?a=1&b=2",
            }
        }
    },
    known=True,
)


def test_mail_to_a_customer_has_the_shops_page_even_where_only_text_is_written(render: Any) -> None:
    rule = CUSTOMER.replace("text: hi", 'text: "Hi <b>\\n\\n- one\\n- see https://x.test/a?b=c&d."')
    (one,) = render("email", rule, destinations=BRANDED)
    page = read_page(one.request["html"])
    assert [text for _, text in page["p"]][:1] == ["Hi <b>"]
    assert [text for _, text in page["li"]] == ["one", "see ."]
    assert page["a"][0] == ({"href": "https://x.test/a?b=c&d"}, "https://x.test/a?b=c&d")
    assert "#aa3322" in one.request["html"]
    assert "prefers-color-scheme: dark" in one.request["html"]
    assert one.request["text"].endswith(
        "-- \nCorner shop, 1 Main Street\nUnsubscribe: https://shop.example/no-more?a=1&b=2\n"
    )


def test_mail_to_ones_own_people_stays_as_it_is_written_unless_the_rule_says_otherwise(render: Any) -> None:
    internal = "to: ops@x.test\nsubject: x\ntext: hi\n"
    (plain,) = render("email", internal, destinations=BRANDED)
    (laid,) = render("email", internal + "layout: shop\n", destinations=BRANDED)
    (bare,) = render("email", CUSTOMER + "layout: none\n", destinations=BRANDED)
    assert (plain.request["html"], plain.request["text"]) == ("", "hi")
    assert "unsubscribe" not in plain.request
    assert "<title>x</title>" in laid.request["html"]
    assert bare.request["html"] == ""


def test_a_whole_page_keeps_its_own_look_with_its_styles_at_each_element(render: Any) -> None:
    page = "<html><head><style>p { color: red }</style></head><body><p>Hi</p></body></html>"
    (one,) = render("email", CUSTOMER.replace("text: hi", f"html: '{page}'"))
    assert '<p style="color: red;">Hi</p>' in one.request["html"]
    assert "max-width: 600px" not in one.request["html"]


def test_no_style_is_loaded_from_anywhere() -> None:
    page = '<html><head><link rel="stylesheet" href="file:///etc/passwd"><style>p{color:red}</style></head><p>x</p></html>'
    assert "root:" not in inlined(page)


def test_customers_mail_says_in_its_headers_how_to_get_no_more(render: Any) -> None:
    (one,) = render("email", CUSTOMER, destinations=BRANDED)
    message = mail(one.request)
    assert message["List-Unsubscribe"] == "<https://shop.example/no-more?a=1&b=2>"
    assert message["List-Unsubscribe-Post"] is None
    clicked = mail(one.request, one_click=True)
    assert clicked["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("color", "ink"), [("#1f6f54", "#ffffff"), ("#ffdd00", "#1f2421"), ("#000000", "#ffffff")]
)
def test_letters_on_a_button_can_be_read_on_any_colour(color: str, ink: str) -> None:
    page = laid_out('<a class="button" href="https://x.test">Go</a>', "s", "p", Look("Shop", accent=color))
    assert f"color: {ink};" in page.partition("</head>")[2]


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_text_adds_an_element_to_the_page(text: str, subject: str, shop: str) -> None:
    hostile = f"<script>alert(1)</script> {text}"
    found = read_page(laid_out(paragraphs(hostile), subject + "</title><img>", hostile, Look(shop + "<i>")))
    assert not {"script", "img", "i", "b"} & set(found)
