"""A mail: values can add no header and no recipient, and a text part is always there."""

from __future__ import annotations

import email.policy
import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email import message_from_string
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from html.parser import HTMLParser
from typing import Any, ClassVar

from engine.actions.base import (
    COMMON_FIELDS,
    PACE,
    Action,
    DeliveryError,
    Destinations,
    OnGap,
    OnUnsure,
    Receipt,
    Rendered,
    Services,
    chosen,
    gap_line,
    unknown_connection,
)
from engine.actions.layout import Look, inlined, is_document, laid_out, last_lines, paragraphs
from engine.language.appearance import Color, WayOut
from engine.language.fields import (
    Choice,
    Connection,
    Field,
    FieldValue,
    Named,
    Number,
    Text,
    Texts,
    WebAddress,
    Word,
)
from engine.language.plain import cut, one_line, printable
from engine.language.problem import Mark, Problems
from engine.language.recipients import Mailbox, NotAnAddress, Recipients, Sender
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target
from engine.language.words import listing
from engine.model import Gap

RECIPIENTS = ("to", "cc", "bcc")
SUBJECT_LIMIT = 250
HEADER_LIMIT = 900
_QUOTED_NAME = 60
HEADERS = (
    "Auto-Submitted", "Importance", "In-Reply-To", "List-Help", "List-Id", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Precedence", "Priority", "References", "Sensitivity",
)  # fmt: skip
"""Headers that a rule may set beside its own X- headers; all others belong to the mail itself."""

_OWN_HEADER = re.compile(r"[Xx]-[A-Za-z0-9-]{1,60}")


def _link(address: str, text: str) -> str:
    return f'<a href="{html.escape(address)}">{html.escape(text)}</a>'


HTML = Target("HTML", html.escape, _link)
"""Values as parts of an HTML page: shown as typed, in texts and in quoted attributes."""


def header_text(text: str) -> str:
    """A text as it may stand in a header: one line, no hidden characters, nothing that a reader decodes."""
    return one_line(printable(text)).replace("=?", "= ?")


LAYOUT = Choice(
    "layout",
    "How the mail looks: `shop` puts it on the page that all the shop's mails have, `none` sends it as it is "
    "written. Left out, mail to customers has the shop's, mail to one's own people none.",
    choices=("shop", "none"),
    example="none",
)


class Email(Action):
    """Sends a mail through an SMTP server.

    A mail is to a customer when a recipient comes from the event: with a gap it is held, and a person is asked
    when nobody knows whether it went out. A mail whose recipients are written in the rule is internal: it goes out
    with [?] in the place of a gap, and is sent again. Of several recipients each is a delivery of its own. A mail to
    a customer comes in the shop's layout, which fits a phone and the dark, even where only `text` is written.
    """

    fields: ClassVar[tuple[Field, ...]] = (
        Recipients(
            "to",
            "Who gets the mail: addresses with commas between, or a list; from the event one address, or a list.",
            required=True,
            example='"{{ order.email }}"',
        ),
        Recipients("cc", "Who gets a copy that all can see.", example="ops@example.com"),
        Recipients("bcc", "Who gets a copy that nobody sees.", example="archive@example.com"),
        Recipients("reply to", "Where answers go; left out, to the sender.", example="care@example.com"),
        Connection(
            "from",
            "The name of an e-mail connection, which says the server and the sender; left out, `default`.",
            default="default",
            example="care",
        ),
        Text(
            "subject", "The subject, on one line.", required=True, example='"Your order {{ order.number }}"'
        ),
        Text(
            "text",
            "The mail as plain text; left out, it is made from `html`.",
            lines="many",
            example='"Thank you!"',
        ),
        Text(
            "html",
            'The mail as HTML, of which the layout makes a page (`<a class="button">` is a button there); a whole page, '
            "beginning with <html>, stays as it is. Values in it are shown as typed.",
            lines="many",
            example='"<p>Thank you, {{ order.bill_address.firstname }}!</p>"',
        ),
        LAYOUT,
        Texts(
            "headers",
            f"More headers: {listing(HEADERS)}, and any that begin with X-.",
            example="X-Shop: example",
            headers=True,
        ),
        *COMMON_FIELDS,
    )
    connection_fields: ClassVar[tuple[Field, ...]] = (
        Word("host", "The name of the SMTP server.", required=True, example="smtp.example.com"),
        Number(
            "port", "Its port; left out, 587, with tls 465, with none 25.", least=1, most=65535, example="587"
        ),
        Choice(
            "security",
            "`starttls` and `tls` encrypt; `none` does not, for a server on the same machine.",
            choices=("starttls", "tls", "none"),
            default="starttls",
            example="starttls",
        ),
        Word("username", "The name to log in with.", example="care@example.com"),
        Word("password", "The password to log in with.", example='"${SMTP_PASSWORD}"', secret=True),
        Sender("from", "The sender of the mails.", required=True, example='"Shop <care@example.com>"'),
        Color("color", "The colour of links and buttons in the shop's layout.", example='"#1f6f54"'),
        WebAddress(
            "logo",
            "The address of a picture that stands above the mails.",
            example="https://example.com/logo.png",
        ),
        Word(
            "footer",
            "The last lines of mails to customers.",
            example="Corner shop, 1 Main Street, Springfield",
        ),
        WayOut(
            "unsubscribe",
            "Where customers ask for no more mails, as mailto: or https: address; it stands below their mails and in "
            "the header that mail programs show as a button.",
            example="mailto:unsubscribe@example.com",
        ),
        PACE,
    )
    on_unsure: ClassVar[OnUnsure] = "ask"
    notice: ClassVar[Mapping[str, str]] = {"to": "to", "subject": "title", "text": "text"}
    example: ClassVar[str] = (
        "email:\n"
        "  from: care\n"
        '  to: "{{ order.email }}"\n'
        '  subject: "Your order {{ order.number }}"\n'
        "  text: Your order is in good hands.\n"
    )

    def check(
        self, values: Mapping[str, FieldValue], mark: Mark, problems: Problems, destinations: Destinations
    ) -> None:
        """A mail needs a body, a known connection, and only headers that a rule may set."""
        if "text" not in values and "html" not in values:
            problems.error(mark, "email has nothing to say: it needs `text` or `html`", "text: |")
        known = destinations.of("email")
        name = chosen(values, "from")
        if name and destinations.known and name not in known:
            if "@" in name:
                message = (
                    "from takes the name of an e-mail connection: its address stands in shopbell.yaml, too"
                )
                problems.error(values["from"].mark, message, "from: care")
            else:
                unknown_connection("e-mail", "from", values["from"].mark, name, known, problems)
        headers = values.get("headers")
        for header, value in headers.entries if isinstance(headers, Named) else ():
            if not _allowed(header):
                message = f"a rule cannot set the header {header}. It may set {listing(HEADERS)}, or one beginning with X-"
                problems.error(value.mark, message)

    def check_connection(self, settings: Mapping[str, FieldValue], mark: Mark, problems: Problems) -> None:
        """A password needs a name, and is not sent over an open line without a word about it."""
        if ("password" in settings) != ("username" in settings):
            problems.error(mark, "an e-mail connection has both `username` and `password`, or neither")
        if "password" in settings and chosen(settings, "security") == "none":
            message = "with `security: none` the password goes over the line for anybody to read"
            problems.warning(mark, message, "security: starttls")

    def for_customer(self, values: Mapping[str, FieldValue]) -> bool:
        """Whether a recipient comes from the event."""
        return any(values[name].varies for name in RECIPIENTS if name in values)

    def default_on_gap(self, values: Mapping[str, FieldValue]) -> OnGap:
        """Held for customers, sent to one's own people."""
        return "hold" if self.for_customer(values) else "send"

    def default_on_unsure(self, values: Mapping[str, FieldValue]) -> OnUnsure:
        """A person is asked about a customer's mail; one's own people can bear a double."""
        return "ask" if self.for_customer(values) else "resend"

    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        """One mail, or the same one for each of several recipients, so that none depends on another's address."""
        request, gaps = self._mail(values, scope, destinations)
        people = everybody(request)
        if not people:
            return (Rendered(request, "nobody", gaps, blocked=True),)
        if len(people) == 1:
            return (Rendered(request, people[0], gaps),)
        return tuple(Rendered({**request, "recipient": one}, one, gaps) for one in people)

    def _mail(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[dict[str, Any], tuple[Gap, ...]]:
        gaps: list[Gap] = []

        def fill(name: str, empty: Any, target: Target = PLAIN) -> Any:
            value, more = values[name].render(scope, target) if name in values else (empty, ())
            gaps.extend(gap for gap in more if gap not in gaps)
            return value

        people = {name: fill(name, []) for name in (*RECIPIENTS, "reply to")}
        subject = cut(header_text(fill("subject", "")), SUBJECT_LIMIT)
        page = fill("html", "", HTML)
        text = fill("text", "") if "text" in values else text_of(page)
        headers = {name: cut(header_text(value), HEADER_LIMIT) for name, value in fill("headers", {}).items()}
        text, page = self._ended(values, scope, text, page, tuple(gaps))
        connection = chosen(values, "from") or "default"
        facts = destinations.of("email").get(connection, {})
        if self.for_customer(values):
            text = with_last_lines(text, look_of(scope, facts))
        if self.layout_of(values) == "shop":
            page = dressed(subject, text, page, look_of(scope, facts))
        request = {
            "connection": connection,
            "from": facts.get("from", ""),
            **{name: people[name] for name in RECIPIENTS},
            "reply_to": people["reply to"],
            "subject": subject,
            "text": text,
            "html": inlined(page),
            "headers": headers,
            **({"unsubscribe": facts["unsubscribe"]} if self._can_leave(values, facts) else {}),
            **self.carried(values),
        }
        return request, tuple(gaps)

    def _ended(
        self, values: Mapping[str, FieldValue], scope: Scope, text: str, page: str, gaps: tuple[Gap, ...]
    ) -> tuple[str, str]:
        """Text and HTML with the last line about gaps, and within the shop with what else there is to say."""
        lines = [] if self.for_customer(values) else [scope.footnote]
        lines += [gap_line(gaps)] if self.on_gap_for(values) == "send" else []
        for line in filter(None, lines):
            text = f"{text.rstrip()}\n\n{line}\n"
            page = f"{page}\n<p>{html.escape(line)}</p>\n" if page else page
        return text, page

    def _can_leave(self, values: Mapping[str, FieldValue], facts: Mapping[str, Any]) -> bool:
        return self.for_customer(values) and "unsubscribe" in facts

    def layout_of(self, values: Mapping[str, FieldValue]) -> str:
        """`shop` or `none`: as the rule says, else the shop's for customers."""
        return str(chosen(values, LAYOUT.name) or ("shop" if self.for_customer(values) else "none"))

    async def deliver(self, request: Mapping[str, Any], key: str, services: Services) -> Receipt:
        """Hand the mail to the connection's server."""
        connection = services.connection("email", request["connection"])
        try:
            sender = Mailbox.read(request["from"] or connection["from"])
            message = build(request, sender, key, format_datetime(services.now()))
            people = _envelope(request)
        except NotAnAddress as error:
            raise DeliveryError(f"The mail cannot be sent: {error}", "permanent") from error
        said = await services.smtp(
            connection, sender.envelope, people, message, timeout=request.get("timeout", 30)
        )
        return Receipt(said[:3], cut(one_line(printable(said)), 500))

    async def try_connection(self, name: str, services: Services) -> str:
        """Connect to the server and log in, as for a mail; none is sent."""
        connection = services.connection("email", name)
        await services.smtp_greeting(connection)
        line = "over an open line" if connection.get("security") == "none" else "encrypted"
        login = "takes the login" if connection.get("username") else "answers without a login"
        return f"{connection['host']} {login}, {line}. No mail was sent"


def look_of(scope: Scope, facts: Mapping[str, Any], unsubscribe: str = "") -> Look:
    """How the mails of a connection look: the shop's facts and the connection's own."""
    look = Look(
        scope.shop.name,
        scope.shop.locale.replace("_", "-"),
        logo=facts.get("logo", ""),
        footer=facts.get("footer", ""),
        unsubscribe=unsubscribe or facts.get("unsubscribe", ""),
    )
    return replace(look, accent=facts["color"]) if "color" in facts else look


def dressed(subject: str, text: str, page: str, look: Look) -> str:
    """The page of a mail in the shop's layout, made of its text where it has no HTML; a whole page stays as it is."""
    if is_document(page):
        return page
    bare = text.removesuffix(last_lines(look))
    return laid_out(page or paragraphs(bare), subject, bare, look)


def with_last_lines(text: str, look: Look) -> str:
    """The text of a mail with the shop's last lines below it."""
    last = last_lines(look)
    return f"{text.rstrip()}\n\n{last}" if last else text


def _allowed(header: str) -> bool:
    return bool(_OWN_HEADER.fullmatch(header)) or header.casefold() in {name.casefold() for name in HEADERS}


def everybody(request: Mapping[str, Any]) -> list[str]:
    """The addresses of all recipients as a mail server wants them, each once."""
    return list(dict.fromkeys(Mailbox.read(text).envelope for name in RECIPIENTS for text in request[name]))


def _envelope(request: Mapping[str, Any]) -> list[str]:
    if "recipient" in request:
        return [request["recipient"]]
    people = everybody(request)
    if not people:
        raise NotAnAddress("no recipient has an address")
    return people


def build(request: Mapping[str, Any], sender: Mailbox, key: str, date: str) -> bytes:
    """The mail as bytes. Raises `DeliveryError` if it would not read back with the headers that it was given.

    `key` makes the Message-ID, so that it is the same on every try. The headers are written here: the library's own
    writing of them loses the quotes of a long name, which turns a comma in it into another recipient.
    """
    people = {
        header: [Mailbox.read(text) for text in request[name]]
        for header, name in (("To", "to"), ("Cc", "cc"), ("Reply-To", "reply_to"))
        if request[name]
    }
    headers = {
        header: ",\r\n ".join(map(written, some)) for header, some in {"From": [sender], **people}.items()
    }
    headers["Subject"] = encoded("Subject", request["subject"])
    headers["Date"] = date
    headers["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{sender.domain}>"
    headers |= _ways_out(request)
    own = {name.title(): text for name, text in request["headers"].items() if _allowed(name)}
    headers |= {
        name: encoded(name, text) for name, text in {"Auto-Submitted": "auto-generated", **own}.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raw = head.encode() + _content(request["text"] or text_of(request["html"]), request["html"], key)
    return _proved(raw, list(headers), people)


def _ways_out(request: Mapping[str, Any]) -> dict[str, str]:
    """The headers by which mail programs show how to get no more of such mails, with one click where that works."""
    if not request.get("unsubscribe"):
        return {}
    found = {"List-Unsubscribe": f"<{request['unsubscribe']}>"}
    return found | (
        {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if request.get("one_click") else {}
    )


def _content(text: str, page: str, key: str) -> bytes:
    """The body with the headers that describe it, in seven bits throughout, and the same for the same key."""
    content = EmailMessage(email.policy.SMTP.clone(cte_type="7bit"))
    content.set_content(_body(text))
    if page:
        content.add_alternative(_body(page), subtype="html")
        # Of its own choice the library takes another one on every try. No text can guess this one.
        content.set_boundary(f"=_{hashlib.sha256(f'boundary {key}'.encode()).hexdigest()[:40]}")
    return content.as_bytes()


def _body(text: str) -> str:
    return printable(text.replace("\r\n", "\n").replace("\r", "\n")).rstrip("\n") + "\n"


def encoded(name: str, text: str) -> str:
    """A text as the value of a header; beyond ASCII all of it is encoded, so that no part can pose as such.

    An ASCII one is not folded: with its limit here it stays below the 998 letters that a line may have.
    """
    text = header_text(text)
    return text if text.isascii() else Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


def written(mailbox: Mailbox) -> str:
    """A mailbox as it stands in a header: a short plain name in quotes, any other encoded."""
    name = header_text(mailbox.name)
    if not name:
        return mailbox.envelope
    if name.isascii() and len(name) <= _QUOTED_NAME:
        shown = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        shown = Header(name, "utf-8").encode(linesep="\r\n")
    return f"{shown} <{mailbox.envelope}>"


def _proved(raw: bytes, names: list[str], people: Mapping[str, list[Mailbox]]) -> bytes:
    """The bytes, if a reader finds in them exactly the headers and the people that were set."""
    read = message_from_string(raw.decode())
    described = ["content-type", "content-transfer-encoding", "mime-version"]
    found = [name.casefold() for name in read]
    same = [name for name in found if name not in described] == [name.casefold() for name in names]
    for header, some in people.items():
        same &= [address for _, address in getaddresses([read[header]])] == [one.envelope for one in some]
    if not same:
        text = "The mail cannot be sent safely: a value would have added a header or a recipient to it"
        raise DeliveryError(text, "permanent")
    return raw


def text_of(page: str) -> str:
    """The text of an HTML page, for those who read mail as text: blocks on lines, links with their address."""
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return "\n".join(_without_double_blanks(lines)).strip() + "\n" if page else ""


def _without_double_blanks(lines: Iterator[str]) -> Iterator[str]:
    last = ""
    for line in lines:
        if line or last:
            yield line
        last = line


_BREAKS = frozenset(
    {"br", "p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "hr", "blockquote"}
)
_UNREAD = frozenset({"style", "script", "head", "title"})


class _TextReader(HTMLParser):
    """Collects what a person would read on a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.unread = 0
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line, an unread part, or a link."""
        self.unread += tag in _UNREAD
        if tag in _BREAKS:
            self.pieces.append("\n- " if tag == "li" else "\n")
        if tag == "a":
            self.addresses.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        """End a line, an unread part, or a link."""
        self.unread -= tag in _UNREAD and self.unread > 0
        if tag in ("p", "h1", "h2", "h3", "h4", "table", "ul", "ol"):
            self.pieces.append("\n")
        if tag == "a" and self.addresses:
            address = self.addresses.pop()
            if address and address not in "".join(self.pieces[-1:]):
                self.pieces.append(f" ({address})")

    def handle_data(self, data: str) -> None:
        """Keep what is read; line breaks in the source are blanks."""
        if not self.unread:
            self.pieces.append(data.replace("\n", " "))
