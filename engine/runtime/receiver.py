"""Takes events in: who sends is checked first, the body is read under bounds, and 202 is answered once it is on disk.

Nothing else happens before the answer: no rule, no template, no network; and no rule's result ever changes it. The
receiver is a plain ASGI callable: it costs half of what a request object and routing would.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hmac import compare_digest
from time import perf_counter
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from engine.runtime.clock import Clock
from engine.runtime.metrics import Metrics
from engine.sources.base import Reading, Source, Unreadable
from engine.sources.body import PACKINGS, TooLarge, unpack
from engine.store.store import Appended, Arrival, StoreUnavailable

log = logging.getLogger("shopbell.receiver")

BODY_LIMIT = 256 * 1024
"""Bytes of a body, packed and unpacked, unless the settings say otherwise."""

RETRY_AFTER = 10
"""Seconds after which a sender is asked to try again when the store cannot take an event."""

KEPT_HEADERS = (
    "content-type",
    "content-encoding",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "x-request-id",
)
"""The headers kept with an event: none that could carry a secret."""

LONGEST_HEADER = 500
"""Bytes of a header that is kept; a longer one is left out, since half an id would be another's."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class EventLog(Protocol):
    """What the receiver needs of the store. Both answer once it is on the disk, or raise `StoreUnavailable`."""

    def append(self, arrival: Arrival, received_at: datetime) -> Awaitable[Appended]:
        """Keep an event."""
        ...

    def quarantine(
        self, *, source: str, reason: str, body: bytes, headers: Mapping[str, str], received_at: datetime
    ) -> Awaitable[object]:
        """Keep an authentic body that could not be read."""
        ...


class Refused(Exception):
    """A request that is not taken: the status of its answer, why in plain words, and one word for counting.

    `body` is what is kept of it for a person to look at.
    """

    def __init__(self, status: int, kind: str, reason: str, body: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.body = body


class SenderGone(Exception):
    """The sender closed the connection before its body was here."""


class Label(NamedTuple):
    """What a request's headers say of its body: those that are kept, how it is packed, and whether it is in parts."""

    kept: Mapping[str, str]
    encoding: str
    parts: bool


class Receiver:
    """Answers the requests of one source. `secrets` are the texts of which a request must show one.

    Without any, nobody may send, unless `verified` says that somebody in front tells who does. `window` is how long a
    repeat may come after, where the source does not say that its own is short (stock).
    """

    def __init__(
        self,
        source: Source,
        store: EventLog,
        secrets: Sequence[str],
        *,
        clock: Clock,
        metrics: Metrics,
        limit: int = BODY_LIMIT,
        window: timedelta | None = None,
        verified: bool = False,
    ) -> None:
        if not all(secret.strip() for secret in secrets):
            raise ValueError(f"A secret of the source {source.name} is empty.")
        self.name = source.name
        self._source = source
        self._store = store
        self._secrets = tuple(form for secret in secrets for form in _forms(secret))
        self._open = verified and not secrets
        self._clock = clock
        self._metrics = metrics
        self._limit = limit
        self._window = window
        self._limit_digits = len(str(limit))

    async def answer(self, scope: Scope, receive: Receive, send: Send, given: bytes = b"") -> None:
        """Answer one request; `given` is the secret in its address, percent signs still in place."""
        began = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] != "POST":
            await self._turn_away(send, 405, headers=((b"allow", b"POST"),))
            return
        if not (self._open or self._authentic(given, headers)):
            await self._turn_away(send, 401)
            return
        label, received_at = _label(tuple(map(headers.get, _KEPT))), self._clock()
        try:
            self._look_at(label, headers)
            body = await self._whole(receive)
            if label.encoding:
                body = self._unpacked(body, label.encoding)
            reading = self._read(body, label)
            appended = await self._store.append(
                arrival_of(self.name, reading, body, label.kept, self._window), received_at
            )
        except Refused as refusal:
            await self._refuse(send, refusal, label, received_at)
        except StoreUnavailable as reason:
            await self._unavailable(send, reason)
        except SenderGone:
            self._metrics.refused("gone")
        else:
            answer = b'{"event":"%b","repeat":%b}' % (appended.id.encode(), _TRUTH[appended.repeat])
            await _reply(send, 202, answer)
            type = reading.type if reading.known else "unknown"
            self._metrics.received(type, appended.repeat, perf_counter() - began)

    def _authentic(self, given: bytes, headers: Mapping[bytes, bytes]) -> bool:
        """Whether any of the places for a secret holds one of ours."""
        right = self._is_secret(unquote_to_bytes(given) if b"%" in given else given)
        if (named := headers.get(b"x-webhook-secret")) is not None:
            right |= self._is_secret(named)
        if (authorization := headers.get(b"authorization")) is not None:
            right |= self._is_secret(_credential(authorization))
        return right

    def _is_secret(self, shown: bytes) -> bool:
        right = False
        for secret in self._secrets:  # all are compared, so that the time tells nothing
            right |= compare_digest(secret, shown)
        return right

    def _look_at(self, label: Label, headers: Mapping[bytes, bytes]) -> None:
        """Refuse what its headers say cannot be taken, before it is read."""
        if label.parts:
            raise Refused(415, "content type", "The body is a form of several parts; JSON was expected.")
        length = headers.get(b"content-length", b"")
        if len(length) >= self._limit_digits and length.isdigit() and int(length) > self._limit:
            raise self._too_large(f"The body has {int(length):,} bytes")
        if label.encoding and label.encoding not in PACKINGS:
            reason = f"A body packed with {label.encoding[:40]!r} cannot be read; use gzip or none."
            raise Refused(415, "packing", reason)

    async def _whole(self, receive: Receive) -> bytes:
        """All of the body as it comes, as long as it stays under the limit; how long it may take, the protocol says."""
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise SenderGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._limit:
                raise self._too_large(f"The body has more than {self._limit:,} bytes")
            more = message.get("more_body", False)
        return b"".join(pieces)

    def _unpacked(self, packed: bytes, encoding: str) -> bytes:
        try:
            return unpack(packed, encoding, self._limit)
        except TooLarge:
            reason = f"The body of {len(packed):,} bytes unpacks to more than {self._limit:,}"
            raise self._too_large(reason) from None
        except Unreadable as reason:
            raise Refused(400, _kind(reason), str(reason), packed) from None

    def _too_large(self, what: str) -> Refused:
        return Refused(413, "too large", f"{what}; at most {self._limit:,} are taken.")

    def _read(self, body: bytes, label: Label) -> Reading:
        try:
            return self._source.read(body, label.kept)
        except Unreadable as reason:
            raise Refused(400, _kind(reason), str(reason), body) from None

    async def _refuse(self, send: Send, refusal: Refused, label: Label, received_at: datetime) -> None:
        """Keep what cannot be taken where a person finds it, and say why."""
        reason = str(refusal)
        try:
            await self._store.quarantine(
                source=self.name,
                reason=reason,
                body=refusal.body,
                headers=label.kept,
                received_at=received_at,
            )
        except StoreUnavailable as unavailable:
            await self._unavailable(send, unavailable)
            return
        log.warning("a body for %s was set aside: %s", self.name, reason)
        self._metrics.quarantined(refusal.kind)
        await self._turn_away(send, refusal.status, _encode({"error": reason}))

    async def _unavailable(self, send: Send, reason: StoreUnavailable) -> None:
        log.error(
            "an event for %s could not be kept, its sender is asked to send it again: %s", self.name, reason
        )
        body = _encode({"error": "The event could not be kept just now. Send it again."})
        await self._turn_away(send, 503, body, headers=((b"retry-after", b"%d" % RETRY_AFTER),))

    async def _turn_away(
        self, send: Send, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self._metrics.refused(str(status))
        await _reply(send, status, body, headers)


class Answering(Protocol):
    """What answers the requests of one source: a receiver, or what stands in front of one."""

    name: str

    async def answer(self, scope: Scope, receive: Receive, send: Send, given: bytes = b"") -> None:
        """Answer one request; `given` is the secret in its address."""
        ...


class Intake:
    """The service with its receivers in front: `/events/NAME` and what follows go to them, all else to the app.

    One slash too many, before or after, changes nothing: a sender would take a redirect for a failure.
    """

    def __init__(self, app: App, receivers: Iterable[Answering]) -> None:
        self._app = app
        self._receivers = {receiver.name.encode(): receiver for receiver in receivers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to where it belongs."""
        if scope["type"] == "http":
            path: bytes = scope.get("raw_path") or scope["path"].encode()
            first, _, rest = path.lstrip(b"/").partition(b"/")
            if first == b"events":
                name, _, given = rest.partition(b"/")
                receiver = self._receivers.get(name)
                if receiver is not None:
                    await receiver.answer(scope, receive, send, given.strip(b"/"))
                    return
        await self._app(scope, receive, send)


def arrival_of(
    source: str, reading: Reading, body: bytes, headers: Mapping[str, str], window: timedelta | None
) -> Arrival:
    """A body that was read, ready to be kept. `window` is the settings' for repeats, None where they say none."""
    return Arrival(
        source=source,
        type=reading.type,
        subject=reading.subject,
        body=body,
        identity=reading.identity,
        window=reading.window if reading.superseded else window or reading.window,
        superseded=reading.superseded,
        updated_at=reading.updated_at,
        aliases=reading.aliases,
        known=reading.known,
        note=reading.note,
        headers=headers,
    )


_KEPT = tuple(name.encode() for name in KEPT_HEADERS)
_TRUTH = {False: b"false", True: b"true"}
_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.encode


async def _reply(
    send: Send, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    head = [(b"content-length", b"%d" % len(body)), *headers]
    if body:
        head.append(_JSON)
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=256)
def _label(values: tuple[bytes | None, ...]) -> Label:
    """What the values of `KEPT_HEADERS` say; a sender's are the same from one request to the next."""
    said = {
        name: (value or b"").decode("latin-1").strip()
        for name, value in zip(KEPT_HEADERS, values, strict=True)
    }
    kept = {name: value for name, value in said.items() if 0 < len(value) <= LONGEST_HEADER}
    parts = said["content-type"].lower().startswith("multipart/")
    return Label(kept, said["content-encoding"].lower(), parts)


def _kind(reason: Unreadable) -> str:
    return str(getattr(reason, "kind", "unreadable"))


def _forms(secret: str) -> Iterable[bytes]:
    """The bytes that a secret may arrive as: clients differ in how they send a letter like é in a header."""
    yield secret.encode()
    if not secret.isascii():
        try:
            yield secret.encode("latin-1")
        except UnicodeEncodeError:
            return  # it has letters that only UTF-8 can write


def _credential(authorization: bytes) -> bytes:
    """The secret in an Authorization header: a bearer's token, or the password of basic; nothing in another."""
    scheme, _, value = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return b64decode(value.strip(), validate=True).partition(b":")[2]
        except NotBase64:
            return b""
    return b""
