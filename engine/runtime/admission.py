"""A receiver behind a check of who sends: what is not admitted is answered 401, and leaves nothing but a count.

The body of a signed request is read whole, under the receiver's bound, and verified as it came: only then does the
receiver look at it, so that nobody without a key can have a body unpacked, read, or kept as unreadable.
"""

from __future__ import annotations

from engine.runtime.clock import Clock
from engine.runtime.metrics import Metrics
from engine.runtime.receiver import BODY_LIMIT, Answering, Message, Receive, Scope, Send, SenderGone
from engine.runtime.senders import Headers, Senders, Signing


class Admission:
    """Lets through to a receiver what the settings ask of a request beside its secret."""

    def __init__(
        self,
        receiver: Answering,
        senders: Senders,
        *,
        clock: Clock,
        metrics: Metrics,
        limit: int = BODY_LIMIT,
    ) -> None:
        self.name = receiver.name
        self._receiver = receiver
        self._senders = senders
        self._clock = clock
        self._metrics = metrics
        self._limit = limit

    async def answer(self, scope: Scope, receive: Receive, send: Send, given: bytes = b"") -> None:
        """Answer one request; `given` is the secret in its address."""
        headers: Headers = dict(scope["headers"])
        signing = self._senders.signing
        if scope["method"] != "POST":  # the receiver says so
            await self._receiver.answer(scope, receive, send, given)
        elif not self._senders.admit(scope.get("client"), headers, self._clock()):
            await self._refuse(send, 401)
        elif signing is None:
            await self._receiver.answer(scope, receive, send, given)
        else:
            await self._verified(signing, headers, scope, receive, send, given)

    async def _verified(
        self, signing: Signing, headers: Headers, scope: Scope, receive: Receive, send: Send, given: bytes
    ) -> None:
        try:
            body = await self._whole(receive, headers)
        except SenderGone:
            self._metrics.refused("gone")
            return
        if body is None:
            await self._refuse(send, 413)
        elif not signing.holds(headers, body):
            await self._refuse(send, 401)
        else:
            await self._receiver.answer(scope, _again(body, receive), send, given)

    async def _whole(self, receive: Receive, headers: Headers) -> bytes | None:
        """The body as it came, None where it is over the limit."""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._limit:
            return None
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise SenderGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._limit:
                return None
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def _refuse(self, send: Send, status: int) -> None:
        self._metrics.refused(str(status))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, and then what else comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return waiting.pop() if waiting else await receive()

    return given
