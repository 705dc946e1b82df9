"""The one door to the network: connections with their secrets, HTTP and SMTP, and no secret in any text."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from engine.actions.base import DeliveryError, HttpAnswer, Note
from engine.runtime.guard import Guard
from engine.runtime.mail import Mail
from engine.runtime.notes import Notes
from engine.runtime.web import Web

MASK = "•••"
SHORTEST_SECRET = 4
"""A shorter text is no secret, and hiding it would only garble what people read."""

_LONG_ENOUGH_ALONE = 12
"""A part of a secret address that is as long is a secret by itself."""

Connections = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""The connections by kind and name, with their settings, secrets included."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Services:
    """Gives actions their connections and the network. `secrets` are all texts that nobody may see.

    `guard` says which addresses may be reached, `tls` whose certificates are believed, `agent` who calls, `notes` what
    deliveries remember for one another. Use it in `async with`, in the event loop that makes the calls.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        secrets: Iterable[str] = (),
        guard: Guard | None = None,
        now: Callable[[], datetime] = _utc_now,
        tls: ssl.SSLContext | None = None,
        agent: str = "Shopbell",
        notes: Notes | None = None,
    ) -> None:
        guard = guard or Guard()
        self._guard = guard
        self._notes = notes or Notes()
        tls = tls or httpx.create_ssl_context()
        self._connections = connections
        self._forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
        self._now = now
        self._web = Web(guard, tls, agent)
        self._mail = Mail(guard, tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._web.close()
        await self._mail.close()

    def connection(self, kind: str, name: str) -> Mapping[str, Any]:
        """The settings of a connection, secrets included. Raises `DeliveryError` (setup) for an unknown one."""
        try:
            return self._connections[kind][name]
        except KeyError:
            text = f'There is no {kind} connection called "{name}". Write it into shopbell.yaml under `connections`'
            raise DeliveryError(text, "setup") from None

    def now(self) -> datetime:
        """The time, aware."""
        return self._now()

    def mask(self, text: str) -> str:
        """The text with every secret in it made unreadable."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    async def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        timeout: float = 15.0,  # noqa: ASYNC109 - the whole call keeps to it, so no caller needs a limit around it
    ) -> HttpAnswer:
        """One HTTP call within `timeout` seconds, redirects not followed; the answer holds no secret of ours.

        Raises `DeliveryError` when no answer came.
        """
        try:
            answer = await self._web.call(method, url, headers, content, timeout)
        except DeliveryError as error:
            raise self._masked(error) from None
        shown = {name: self.mask(value) for name, value in answer.headers.items()}
        return HttpAnswer(answer.status, shown, self._masked_bytes(answer.body))

    async def smtp(
        self,
        connection: Mapping[str, Any],
        sender: str,
        recipients: list[str],
        message: bytes,
        timeout: float = 30.0,  # noqa: ASYNC109 - as above
    ) -> str:
        """Hand one mail to the connection's server within `timeout` seconds; the server's last line.

        Raises `DeliveryError`.
        """
        try:
            return self.mask(await self._mail.send(connection, sender, recipients, message, timeout))
        except DeliveryError as error:
            raise self._masked(error) from None

    async def smtp_greeting(
        self,
        connection: Mapping[str, Any],
        timeout: float = 30.0,  # noqa: ASYNC109 - as above
    ) -> str:
        """Connect to the connection's server and log in, without a mail; its last line. Raises `DeliveryError`."""
        try:
            return self.mask(await self._mail.greet(connection, timeout))
        except DeliveryError as error:
            raise self._masked(error) from None

    def note(self, name: str) -> AbstractAsyncContextManager[Note]:
        """What deliveries remember under a name; while it is held, no other delivery has it."""
        return self._notes.hold(name)

    def _masked(self, error: DeliveryError) -> DeliveryError:
        return DeliveryError(
            self.mask(str(error)),
            error.kind,
            status=error.status,
            detail=self.mask(error.detail),
            retry_after=error.retry_after,
        )

    def _masked_bytes(self, body: bytes) -> bytes:
        for form in self._forms:
            body = body.replace(form.encode(), MASK.encode())
        return body


def _forms(secret: str) -> Iterator[str]:
    """A secret in the forms it can turn up in: as it is, in an address, the path of an address, without `Bearer`."""
    parts = [secret]
    scheme, _, rest = secret.partition(" ")
    if scheme.casefold() in ("bearer", "basic", "token"):
        parts.append(rest)
    if "://" in secret:
        address = urlsplit(secret)
        parts += [f"{address.path}?{address.query}".strip("?/"), address.path.strip("/")]
        parts += [part for part in address.path.split("/") if len(part) >= _LONG_ENOUGH_ALONE]
    for part in parts:
        if len(part) >= SHORTEST_SECRET:
            yield part
            yield quote(part, safe="")
