"""The one door to the network, tried on real servers on loopback: bounded, guarded, and silent about secrets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from engine.actions.base import DeliveryError, HttpAnswer
from engine.actions.email import Email
from engine.actions.http import Http
from engine.actions.slack import Slack
from engine.runtime.guard import AddressInfo, Guard
from engine.runtime.services import MASK, Services
from engine.runtime.web import MOST_READ

pytestmark = pytest.mark.anyio

LOOPBACK = ["127.0.0.0/8"]
CERTIFICATE = Path(__file__).parent / "loopback.pem"
CANARY = "canary-0123456789"
TLS = ssl.create_default_context()
"""Whom the world believes; read once, since it takes a while."""
LONG = 20.0
"""A limit that no good answer comes near."""
SHORT = 0.3
"""A limit that is waited for."""

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Answer = Callable[["Call", Writer], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Call:
    """One call as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Sink:
    """An HTTP server that keeps every call and answers as told."""

    port: int = 0
    answer: Answer | None = None
    calls: list[Call] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *lines = head.decode().strip().split("\r\n")
                headers = {
                    name.casefold(): value for name, _, value in (one.partition(": ") for one in lines)
                }
                call = Call(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
                self.calls.append(call)
                await (self.answer or says(200, b"ok"))(call, writer)
                await writer.drain()
        writer.close()


def says(status: int, body: bytes = b"", *headers: str) -> Answer:
    async def answer(call: Call, writer: Writer) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return answer


@asynccontextmanager
async def listening(talk: Callable[[Reader, Writer], Awaitable[None]], **how: Any) -> AsyncIterator[int]:
    """A server on a free port of loopback; at the end its connections are cut."""
    tasks: set[asyncio.Task[Any]] = set()

    async def served(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(asyncio.CancelledError, ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0, **how)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    found = Sink()
    async with listening(found.talk) as found.port:
        yield found


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    async with Services({}, secrets=[CANARY], guard=Guard(LOOPBACK), tls=TLS) as found:
        yield found


async def call(services: Services, url: str, limit: float = LONG, **changes: Any) -> HttpAnswer:
    usual: dict[str, Any] = {"headers": {}, "content": b"hi"}
    return await services.http("POST", url, timeout=limit, **{**usual, **changes})


async def failure(services: Services, url: str, limit: float = LONG, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await call(services, url, limit, **changes)
    return caught.value


# HTTP


async def test_a_call_arrives_as_it_was_meant(services: Services, sink: Sink) -> None:
    answer = await call(services, f"{sink.url}/a?b=c", headers={"x-a": "é\u00a0–"}, content=b"{}")
    (found,) = sink.calls
    assert (answer.status, answer.body) == (200, b"ok")
    assert found.line == "POST /a?b=c HTTP/1.1"
    assert found.body == b"{}"
    assert found.headers["x-a"] == "é\u00a0–"
    assert found.headers["host"] == f"127.0.0.1:{sink.port}"
    assert found.headers["user-agent"] == "Shopbell"
    assert found.headers["accept-encoding"] == "identity"
    assert not {"cookie", "transfer-encoding"} & set(found.headers)


async def test_calls_share_a_connection_and_keep_no_cookie(services: Services, sink: Sink) -> None:
    sink.answer = says(200, b"ok", "Set-Cookie: a=b")
    for _ in range(3):
        await call(services, sink.url)
    assert sink.connections == 1
    assert not any("cookie" in found.headers for found in sink.calls)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_is_a_failure_that_says_where_to(
    services: Services, sink: Sink, status: int
) -> None:
    sink.answer = says(status, b"", "Location: /other?token=x")
    answer = await call(services, f"{sink.url}/first")
    assert (answer.status, answer.headers["location"]) == (status, "/other?token=x")
    with pytest.raises(DeliveryError, match="redirected to /other, which is not followed"):
        await Http().deliver(
            {"connection": "", "method": "POST", "url": f"{sink.url}/first", "headers": {}}, "key-1", services
        )
    assert [found.line.split()[1] for found in sink.calls] == ["/first", "/first"]


async def test_of_a_huge_answer_only_the_start_is_read(services: Services, sink: Sink) -> None:
    written = 0

    async def endless(call: Call, writer: Writer) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 200000000\r\n\r\n")
        while written < 200_000_000:
            writer.write(b"x" * 65536)
            written += 65536
            await writer.drain()

    sink.answer = endless
    answer = await call(services, sink.url)
    assert answer.status == 500
    assert len(answer.body) == MOST_READ
    assert written < 20_000_000


async def test_a_packed_answer_is_not_unpacked(services: Services, sink: Sink) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    sink.answer = says(200, bomb, "Content-Encoding: gzip")
    assert (await call(services, sink.url)).body == bomb


async def test_an_answer_that_drips_ends_in_time_and_its_status_counts(
    services: Services, sink: Sink
) -> None:
    async def drip(call: Call, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3600\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(SHORT / 10)

    sink.answer = drip
    async with asyncio.timeout(LONG):
        answer = await call(services, sink.url, SHORT)
    assert answer.status == 200
    assert 1 <= len(answer.body) < 3600


async def test_headers_and_then_nothing_end_in_time_too(services: Services, sink: Sink) -> None:
    async def headers(call: Call, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 3600\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()

    sink.answer = headers
    async with asyncio.timeout(LONG):
        assert await call(services, sink.url, SHORT) == HttpAnswer(503, {"content-length": "3600"}, b"")


async def test_no_answer_in_time_is_unsure(services: Services, sink: Sink) -> None:
    async def silence(call: Call, writer: Writer) -> None:
        await asyncio.Event().wait()

    sink.answer = silence
    async with asyncio.timeout(LONG):
        error = await failure(services, f"{sink.url}/{CANARY}", SHORT)
    assert (error.kind, str(error)) == ("unsure", "127.0.0.1 did not answer within 0.3 seconds")


async def test_a_hanging_target_does_not_hold_up_another(services: Services, sink: Sink) -> None:
    async def silence(call: Call, writer: Writer) -> None:
        if call.line.startswith("POST /hang"):
            await asyncio.Event().wait()
        await says(200, b"ok")(call, writer)

    sink.answer = silence
    other = Sink()
    async with listening(other.talk) as other.port:
        hanging = [asyncio.ensure_future(failure(services, f"{sink.url}/hang", LONG)) for _ in range(150)]
        async with asyncio.timeout(LONG / 2):
            for _ in range(100):
                await call(services, other.url)
        assert len(other.calls) == 100
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_connection_that_breaks_off_is_unsure(services: Services, sink: Sink) -> None:
    async def breaks(call: Call, writer: Writer) -> None:
        writer.close()

    sink.answer = breaks
    error = await failure(services, f"{sink.url}/{CANARY}")
    assert (error.kind, str(error)) == ("unsure", "127.0.0.1 broke off before it answered")


async def test_an_answer_that_is_no_http_is_told_without_the_address(services: Services, sink: Sink) -> None:
    async def garbage(call: Call, writer: Writer) -> None:
        writer.write(b"220 mail.test ESMTP\r\n\r\n")
        writer.close()

    sink.answer = garbage
    error = await failure(services, f"{sink.url}/{CANARY}")
    assert error.kind == "unsure"
    assert CANARY not in str(error)


async def test_nobody_there_is_told_in_plain_words_and_may_come_back(services: Services) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await failure(services, f"http://127.0.0.1:{port}/{CANARY}")
    assert (error.kind, str(error)) == ("temporary", "Nothing answers at 127.0.0.1 (connection refused)")


async def test_an_unknown_name_is_told(sink: Sink) -> None:
    async def lookup(host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with Services({}, guard=Guard(LOOPBACK, lookup), tls=TLS) as services:
        error = await failure(services, "https://hooks.example.test/x")
    assert (error.kind, str(error)) == ("temporary", "There is no address for the name hooks.example.test")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:x",
        "//x.test",
        "http://",
        "http://u:p@x.test/",
        "ftp://x.test",
        "http://x:y",
    ],
)
async def test_what_is_no_web_address_is_refused(services: Services, url: str) -> None:
    assert (await failure(services, url)).kind == "permanent"


@pytest.mark.parametrize("headers", [{"x-a": "a\r\nx-b: c"}, {"x-a": "\x00"}, {"x\n": "b"}, {"é": "b"}])
async def test_a_header_that_would_be_two_is_not_sent(
    services: Services, sink: Sink, headers: dict[str, str]
) -> None:
    assert (await failure(services, sink.url, headers=headers)).kind == "permanent"
    assert sink.calls == []


INTERNAL_HOSTS = [
    "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1", "0.0.0.0", "localhost.",
    "localhost", "169.254.169.254", "100.64.0.1", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0", "0177.0.0.1",
    "0x7f.1", "[::]", "[::127.0.0.1]", "①②⑦.⓪.⓪.①", "LOCALHOST",
]  # fmt: skip


@pytest.mark.parametrize("host", INTERNAL_HOSTS)
async def test_no_spelling_of_an_internal_address_is_reached(sink: Sink, host: str) -> None:
    async with Services({}, tls=TLS) as services:
        error = await failure(services, f"http://{host}:{sink.port}/", 2)
    assert error.kind in ("setup", "permanent", "temporary")
    assert sink.connections == 0


async def test_the_address_that_was_judged_is_the_one_connected_to(sink: Sink) -> None:
    answers = ["127.0.0.1", "10.0.0.1"]

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    url = f"http://rebind.test:{sink.port}/"
    async with Services({}, guard=Guard(LOOPBACK, lookup), tls=TLS) as services:
        assert (await call(services, url)).status == 200
    assert answers == ["10.0.0.1"]
    async with Services({}, guard=Guard(LOOPBACK, lookup), tls=TLS) as services:
        error = await failure(services, url)
    assert (error.kind, answers) == ("setup", [])
    assert sink.connections == 1
    assert sink.calls[0].headers["host"] == f"rebind.test:{sink.port}"


async def test_an_internal_address_is_told_with_the_remedy() -> None:
    async with Services({}, tls=TLS) as services:
        error = await failure(services, f"http://127.0.0.1:1/{CANARY}")
    assert error.kind == "setup"
    assert str(error) == (
        "127.0.0.1 is an internal address, which outgoing calls may not reach. "
        "If it is meant, allow it in shopbell.yaml under `network`, `allow`"
    )


async def test_a_certificate_that_is_not_valid_is_a_matter_of_the_settings() -> None:
    sink = Sink()
    async with (
        listening(sink.talk, ssl=server_tls()) as port,
        Services({}, guard=Guard(LOOPBACK), tls=TLS) as services,
    ):
        error = await failure(services, f"https://localhost:{port}/{CANARY}")
    assert (error.kind, str(error)) == ("setup", "The certificate of localhost is not valid")
    assert sink.calls == []


async def test_with_a_certificate_that_is_believed_the_name_must_fit() -> None:
    sink = Sink()
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with (
        listening(sink.talk, ssl=server_tls()) as port,
        Services({}, guard=Guard(LOOPBACK, lookup), tls=tls) as services,
    ):
        assert (await call(services, f"https://mail.test:{port}/")).status == 200
        error = await failure(services, f"https://other.test:{port}/")
    assert str(error) == "The certificate of other.test is not valid"


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


# secrets


async def test_an_answer_that_repeats_a_secret_comes_back_without_it(services: Services, sink: Sink) -> None:
    sink.answer = says(500, b"you sent " + CANARY.encode(), f"Location: /{CANARY}")
    answer = await call(services, sink.url)
    assert answer.body == b"you sent " + MASK.encode()
    assert answer.headers["location"] == f"/{MASK}"


async def test_no_log_line_and_no_error_holds_a_secret(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = f"{sink.url}/services/T0/{CANARY}"
    closed = f"http://127.0.0.1:1/services/T0/{CANARY}"
    connections = {"slack": {"default": {"webhook": secret}, "gone": {"webhook": closed}}}
    told: list[str] = []
    async with Services(connections, secrets=[secret, closed], guard=Guard(LOOPBACK), tls=TLS) as services:
        for name, answer in (("default", says(404, CANARY.encode())), ("gone", says(200))):
            sink.answer = answer
            with pytest.raises(DeliveryError) as caught:
                await Slack().deliver({"connection": name, "channel": "ops", "text": "hi"}, "key-1", services)
            told += [str(caught.value), caught.value.detail, repr(caught.value.__cause__)]
    assert not [text for text in (*told, caplog.text) if CANARY in text]


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ("abcd1234", "a abcd1234 b", f"a {MASK} b"),
        ("Bearer abcd1234", "token abcd1234", f"token {MASK}"),
        ("https://h.test/services/T0/B0", "POST /services/T0/B0", f"POST /{MASK}"),
        ("a b/c+d", "see a%20b%2Fc%2Bd", f"see {MASK}"),
        ("abc", "abc", "abc"),
    ],
)
def test_a_text_is_masked_in_every_form_of_a_secret(secret: str, text: str, masked: str) -> None:
    assert Services({}, secrets=[secret]).mask(text) == masked


def test_a_connection_that_is_not_there_is_a_matter_of_the_settings() -> None:
    with pytest.raises(DeliveryError, match='no slack connection called "ops"') as caught:
        Services({"slack": {}}).connection("slack", "ops")
    assert caught.value.kind == "setup"


def test_the_time_is_aware() -> None:
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    assert Services({}, now=lambda: moment).now() == moment
    assert Services({}).now().tzinfo is not None


# SMTP


@dataclass
class Mailbox:
    """What an SMTP server keeps, and what it answers to whom."""

    mails: list[tuple[list[str], bytes]] = field(default_factory=list)
    recipients: dict[str, str] = field(default_factory=dict)
    data: str = "250 2.0.0 kept"
    sessions: list[Session] = field(default_factory=list)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.sessions.append(session)
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipients.get(address, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append((envelope.rcpt_tos, envelope.content))
        return self.data


@asynccontextmanager
async def mail_server(mailbox: Mailbox, **how: Any) -> AsyncIterator[dict[str, Any]]:
    """A real SMTP server on loopback, and the connection settings that reach it."""
    loop = asyncio.get_running_loop()
    tls = how.pop("tls", None)
    served: list[SMTP] = []

    def serve() -> SMTP:
        served.append(SMTP(mailbox, loop=loop, hostname="mail.test", **how))
        return served[-1]

    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield {"host": "127.0.0.1", "port": port, "security": "none", "from": "Shop <care@shop.example>"}
    finally:
        server.close()
        for one in served:
            if one.transport:
                one.transport.abort()
        await asyncio.sleep(0)


def mail(*to: str, **changes: Any) -> dict[str, Any]:
    usual = {"connection": "default", "from": "", "to": list(to), "cc": [], "bcc": [], "reply_to": []}
    return {**usual, "subject": "Hi", "text": "Hello\n.\n..dots\n", "html": "", "headers": {}, **changes}


def with_mail(connection: dict[str, Any], **how: Any) -> Services:
    usual: dict[str, Any] = {"guard": Guard(LOOPBACK), "secrets": [CANARY], "tls": TLS}
    return Services({"email": {"default": connection}}, **{**usual, **how})


async def send(services: Services, request: dict[str, Any]) -> str:
    return (await Email().deliver(request, "key-1", services)).detail


async def refusal(services: Services, request: dict[str, Any]) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(services, request)
    return caught.value


async def test_a_mail_arrives_whole() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as connection, with_mail(connection) as services:
        assert await send(services, mail("ana@x.test")) == "250 2.0.0 kept"
    ((people, raw),) = mailbox.mails
    assert people == ["ana@x.test"]
    assert b"To: ana@x.test\r\n" in raw
    assert raw.endswith(b"Hello\r\n.\r\n..dots\r\n")
    assert mailbox.sessions[0].host_name == "[127.0.0.1]"


async def test_mails_to_one_server_share_a_connection_while_it_lives() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as connection, with_mail(connection) as services:
        for _ in range(3):
            await send(services, mail("ana@x.test"))
    assert len(mailbox.mails) == 3
    assert len(mailbox.sessions) == 1


async def test_a_connection_that_the_server_closed_meanwhile_costs_nothing() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox, timeout=0.05) as connection, with_mail(connection) as services:
        await send(services, mail("ana@x.test"))
        await asyncio.sleep(0.15)
        await send(services, mail("ana@x.test"))
    assert len(mailbox.mails) == 2
    assert len(mailbox.sessions) == 2


@pytest.mark.parametrize(("answer", "kind"), [("550 no such user", "permanent"), ("451 busy", "temporary")])
async def test_one_bad_recipient_of_three_hurts_only_itself(answer: str, kind: str) -> None:
    mailbox = Mailbox(recipients={"b@x.test": answer})
    people = ("a@x.test", "b@x.test", "c@x.test")
    async with mail_server(mailbox) as connection, with_mail(connection) as services:
        for person in people:
            request = mail(*people, recipient=person)
            if person == "b@x.test":
                error = await refusal(services, request)
            else:
                await send(services, request)
        assert error.kind == kind
        assert str(error) == f"127.0.0.1 refused the mail for b@x.test: {answer}"
        mailbox.recipients.clear()
        if kind == "temporary":
            await send(services, mail(*people, recipient="b@x.test"))
    again = [["b@x.test"]] if kind == "temporary" else []
    assert [people for people, _ in mailbox.mails] == [["a@x.test"], ["c@x.test"], *again]


async def test_of_several_in_one_mail_those_who_got_it_are_never_sent_it_again() -> None:
    mailbox = Mailbox(recipients={"b@x.test": "451 busy"})
    async with mail_server(mailbox) as connection, with_mail(connection) as services:
        error = await refusal(services, mail("a@x.test", "b@x.test"))
    assert error.kind == "permanent"
    assert str(error) == "127.0.0.1 refused some recipients, the others got the mail: b@x.test: 451 busy"
    assert [people for people, _ in mailbox.mails] == [["a@x.test"]]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("451 try later", "temporary"), ("421 closing", "temporary"), ("554 spam", "permanent")],
)
async def test_what_the_server_says_to_the_mail_itself_counts(answer: str, kind: str) -> None:
    async with mail_server(Mailbox(data=answer)) as connection, with_mail(connection) as services:
        error = await refusal(services, mail("ana@x.test"))
    assert (error.kind, error.status) == (kind, answer[:3])


async def test_a_mailbox_beyond_ascii_needs_a_server_that_offers_it() -> None:
    plain, offering = Mailbox(), Mailbox()
    async with mail_server(plain) as connection, with_mail(connection) as services:
        error = await refusal(services, mail("jörg@example.test"))
        shown = await refusal(services, mail("ana@x.test", cc=["jörg@x.test"], recipient="ana@x.test"))
    async with mail_server(offering, enable_SMTPUTF8=True) as connection, with_mail(connection) as services:
        await send(services, mail("jörg@example.test"))
    assert error.kind == shown.kind == "permanent"
    assert "jörg@example.test has letters beyond a-z" in str(error)
    assert plain.mails == []
    assert offering.mails[0][0] == ["jörg@example.test"]
    assert "To: jörg@example.test".encode() in offering.mails[0][1]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_login_goes_over_an_encrypted_line(security: str) -> None:
    mailbox = Mailbox()
    seen: list[bytes] = []

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        seen.append(data.password)
        return AuthResult(success=data.password == CANARY.encode(), handled=False)

    how: dict[str, Any] = {"authenticator": check, "auth_require_tls": security == "starttls"}
    how |= {"tls_context" if security == "starttls" else "tls": server_tls()}
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with mail_server(mailbox, **how) as connection:
        connection |= {"security": security, "username": "u", "password": CANARY}
        async with with_mail(connection, tls=tls) as services:
            await send(services, mail("ana@x.test"))
        async with with_mail({**connection, "password": "wrong"}, tls=tls) as services:
            error = await refusal(services, mail("ana@x.test"))
        async with with_mail(connection) as services:
            invalid = await refusal(services, mail("ana@x.test"))
    assert len(mailbox.mails) == 1
    assert (error.kind, str(error)) == ("setup", "127.0.0.1 does not accept the name and password")
    assert (invalid.kind, str(invalid)) == ("setup", "The certificate of 127.0.0.1 is not valid")
    assert set(seen) == {CANARY.encode(), b"wrong"}


async def test_a_server_without_encryption_gets_no_mail_unless_that_is_meant() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as connection:
        for security in ("starttls", "tls"):
            async with with_mail({**connection, "security": security}) as services:
                error = await refusal(services, mail("ana@x.test"))
            assert error.kind == "setup"
            assert "encryption" in str(error)
    assert mailbox.mails == []


async def test_a_login_that_the_server_does_not_offer_is_told() -> None:
    login = {"username": "u", "password": CANARY}
    async with mail_server(Mailbox()) as connection, with_mail({**connection, **login}) as services:
        error = await refusal(services, mail("ana@x.test"))
    assert error.kind == "setup"
    assert "no way to log in" in str(error)


async def test_a_mail_server_at_an_internal_address_is_refused() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as connection, with_mail(connection, guard=Guard()) as services:
        error = await refusal(services, mail("ana@x.test"))
    assert error.kind == "setup"
    assert "127.0.0.1 is an internal address" in str(error)
    assert mailbox.sessions == []


async def test_no_mail_server_there_is_told_and_may_come_back() -> None:
    connection = {"host": "127.0.0.1", "port": 1, "security": "none", "from": "care@shop.example"}
    async with with_mail(connection) as services:
        error = await refusal(services, mail("ana@x.test"))
    assert (error.kind, str(error)) == ("temporary", "127.0.0.1 does not answer (connection refused)")


def script(*lines: bytes, hang: bool = False) -> Callable[[Reader, Writer], Awaitable[None]]:
    """A mail server that says one line after another, whatever it hears, then breaks off or hangs."""

    async def talk(reader: Reader, writer: Writer) -> None:
        for line in lines:
            writer.write(line + b"\r\n")
            await writer.drain()
            heard = await reader.readline()
            while heard[:5] == b"From:" or (line.startswith(b"354") and heard not in (b".\r\n", b"")):
                heard = await reader.readline()
        if hang:
            await asyncio.Event().wait()

    return talk


GREETING = (b"220 hi", b"250 mail.test", b"250 ok", b"250 ok", b"354 go")


@pytest.mark.parametrize(
    ("talk", "kind", "told"),
    [
        (script(b"421 too many connections"), "temporary", "421 too many connections"),
        (script(hang=True), "temporary", "did not answer within 0.3 seconds"),
        (script(b"220 hi", hang=True), "temporary", "did not answer within 0.3 seconds"),
        (script(*GREETING, hang=True), "unsure", "did not answer within 0.3 seconds"),
        (script(*GREETING), "unsure", "broke off"),
        (script(b"220 hi", b"250 mail.test"), "temporary", "does not answer"),
        (script(b"HTTP/1.1 400 Bad Request"), "setup", "does not speak mail"),
        (script(b"554 go away"), "permanent", "554 go away"),
    ],
)
async def test_a_broken_or_silent_mail_server_ends_in_time_and_says_what_is_known(
    talk: Callable[[Reader, Writer], Awaitable[None]], kind: str, told: str
) -> None:
    async with listening(talk) as port:
        connection = {"host": "127.0.0.1", "port": port, "security": "none", "from": "care@shop.example"}
        async with with_mail(connection) as services, asyncio.timeout(LONG):
            error = await refusal(services, mail("ana@x.test", timeout=SHORT))
    assert error.kind == kind
    assert told in str(error)


async def test_a_dripping_mail_server_does_not_hold_up_other_calls(sink: Sink) -> None:
    async def drip(reader: Reader, writer: Writer) -> None:
        while True:
            writer.write(b"220-still here\r\n")
            await writer.drain()
            await asyncio.sleep(SHORT / 20)

    async with listening(drip) as port:
        connection = {"host": "127.0.0.1", "port": port, "security": "none", "from": "care@shop.example"}
        async with with_mail(connection) as services, asyncio.timeout(LONG):
            slow = asyncio.ensure_future(refusal(services, mail("ana@x.test", timeout=SHORT)))
            assert (await call(services, sink.url)).status == 200
            assert not slow.done()
            assert (await slow).kind == "temporary"


async def test_a_password_that_the_server_repeats_is_hidden() -> None:
    answer = f"554 I will not take {CANARY}"
    async with mail_server(Mailbox(data=answer)) as connection, with_mail(connection) as services:
        error = await refusal(services, mail("ana@x.test"))
    assert MASK in str(error)
    assert CANARY not in str(error) + error.detail
