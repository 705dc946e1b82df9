"""Mails handed to SMTP servers: bounded in time as a whole, to permitted addresses only, told in plain words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from engine.actions.base import DeliveryError, FailureKind
from engine.language.plain import cut, one_line, printable
from engine.runtime.guard import Forbidden, Guard
from engine.runtime.web import causes, network_word

IDLE = 10.0
"""So many seconds does a connection stay open for the next mail."""

_LEAVE = 1.0

PORTS = {"starttls": 587, "tls": 465, "none": 25}

_Key = tuple[str, int, str, str]


class Mail:
    """Hands mails to SMTP servers, keeping a connection for a short while for the next mail to the same one."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext) -> None:
        self._guard = guard
        self._tls = tls
        self._idle: dict[_Key, list[SMTP]] = {}

    async def send(
        self,
        connection: Mapping[str, Any],
        sender: str,
        recipients: list[str],
        message: bytes,
        seconds: float,
    ) -> str:
        """Hand over one mail within `seconds`; the server's last line. Raises `DeliveryError`."""
        talk = _Talk(str(connection["host"]), sender, recipients, message)
        key = _key(connection)
        try:
            async with asyncio.timeout(seconds):
                client = await self._client(connection, key)
                try:
                    said = await talk.hand_over(client)
                except BaseException:
                    client.close()
                    raise
        except TimeoutError as error:
            raise talk.failure(f"did not answer within {seconds:g} seconds") from error
        except (SMTPException, OSError) as error:
            # The cause is told in our own words only: a server can repeat anything, even a password.
            raise talk.failed(error) from None
        self._keep(key, client)
        return said

    async def greet(self, connection: Mapping[str, Any], seconds: float) -> str:
        """Connect and log in within `seconds` as for a mail, without one; the server's last line. Raises `DeliveryError`."""
        talk = _Talk(str(connection["host"]), "", [], b"")
        try:
            async with asyncio.timeout(seconds):
                client = await self._connect(connection, _key(connection))
                try:
                    answer = await client.noop()
                except BaseException:
                    client.close()
                    raise
        except TimeoutError as error:
            raise talk.failure(f"did not answer within {seconds:g} seconds") from error
        except (SMTPException, OSError) as error:  # told in our own words only, as above
            raise talk.failed(error) from None
        await _take_leave(client)
        return f"{answer.code} {answer.message}"

    async def close(self) -> None:
        """Take leave of the servers whose connections are kept, and close them."""
        for kept in self._idle.values():
            while kept:
                await _take_leave(kept.pop())

    async def _client(self, connection: Mapping[str, Any], key: _Key) -> SMTP:
        """A connection that was kept and is still alive, or a new one."""
        kept = self._idle.get(key, [])
        while kept:
            client = kept.pop()
            with contextlib.suppress(SMTPException, OSError):  # the server closed it meanwhile: take another
                await client.rset()
                return client
            client.close()
        return await self._connect(connection, key)

    async def _connect(self, connection: Mapping[str, Any], key: _Key) -> SMTP:
        host, port, security, _ = key
        plug = await self._guard.connect(host, port)
        client = SMTP(
            hostname=host,
            sock=plug,
            local_hostname=_own_name(plug),
            use_tls=security == "tls",
            start_tls=security == "starttls",
            tls_context=self._tls,
            username=connection.get("username"),
            password=connection.get("password"),
            timeout=None,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            client.close()
            raise
        return client

    def _keep(self, key: _Key, client: SMTP) -> None:
        kept = self._idle.setdefault(key, [])
        kept.append(client)
        asyncio.get_running_loop().call_later(IDLE, _let_go, kept, client)


async def _take_leave(client: SMTP) -> None:
    # The mails are delivered: whether the server hears us is no matter.
    with contextlib.suppress(SMTPException, OSError):
        async with asyncio.timeout(_LEAVE):
            await client.quit()
    client.close()


def _let_go(kept: list[SMTP], client: SMTP) -> None:
    if client in kept:
        kept.remove(client)
        client.close()


def _key(connection: Mapping[str, Any]) -> _Key:
    security = str(connection.get("security", "starttls"))
    port = int(connection.get("port") or PORTS[security])
    return str(connection["host"]), port, security, str(connection.get("username", ""))


def _own_name(plug: socket.socket) -> str:
    """How we name ourselves to a mail server: by address, since few machines know their name in the world."""
    address = plug.getsockname()[0]
    return f"[IPv6:{address}]" if plug.family == socket.AF_INET6 else f"[{address}]"


class _Talk:
    """One mail on its way to a server, and how far it has come: after the end of the data it may have arrived."""

    def __init__(self, host: str, sender: str, recipients: list[str], message: bytes) -> None:
        self.host = host
        self.sender = sender
        self.recipients = recipients
        self.message = message
        self.handed_over = False

    async def hand_over(self, client: SMTP) -> str:
        """Say who writes to whom, then the mail. Raises what the library raises, or `DeliveryError`."""
        beyond = self._beyond_ascii()
        if beyond and not client.supports_extension("smtputf8"):
            raise DeliveryError(
                f"{beyond} has letters beyond a-z, which needs a mail server that offers SMTPUTF8; {self.host} does not",
                "permanent",
            )
        options = ["SMTPUTF8"] if beyond else []
        encoding = "utf-8" if beyond else "ascii"
        await client.mail(self.sender, options=options, encoding=encoding)
        refused = await self._name_recipients(client, encoding)
        self.handed_over = True
        answer = await client.data(self.message)
        if refused:
            raise self._partly(refused)
        return f"{answer.code} {answer.message}"

    async def _name_recipients(self, client: SMTP, encoding: str) -> list[SMTPRecipientRefused]:
        refused: list[SMTPRecipientRefused] = []
        for recipient in self.recipients:
            try:
                await client.rcpt(recipient, encoding=encoding)
            except SMTPRecipientRefused as error:
                refused.append(error)
        if len(refused) == len(self.recipients):
            raise refused[0]
        return refused

    def _beyond_ascii(self) -> str:
        """The address (or header) that needs SMTPUTF8, empty where none does."""
        for address in (self.sender, *self.recipients):
            if not address.isascii():
                return address
        return "" if self.message.partition(b"\r\n\r\n")[0].isascii() else "An address of the mail"

    def _partly(self, refused: list[SMTPRecipientRefused]) -> DeliveryError:
        """Some took it: it is never sent to all of them again."""
        told = "; ".join(f"{error.recipient}: {error.code} {_said(error.message)}" for error in refused)
        return DeliveryError(
            f"{self.host} refused some recipients, the others got the mail: {told}", "permanent"
        )

    def failure(self, what: str, status: str = "") -> DeliveryError:
        """A failure of the line, which is unsure once the mail was handed over."""
        return DeliveryError(
            f"{self.host} {what}", "unsure" if self.handed_over else "temporary", status=status
        )

    def failed(self, error: Exception) -> DeliveryError:
        """What a failure means."""
        chain = list(causes(error))
        if any(isinstance(one, Forbidden) for one in chain):
            text = f"{self.host} is an internal address, which mails may not be sent through"
            return DeliveryError(
                f"{text}. If it is meant, allow it in shopbell.yaml under `network`, `allow`", "setup"
            )
        if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
            return DeliveryError(f"The certificate of {self.host} is not valid", "setup")
        if any(isinstance(one, ssl.SSLError) for one in chain):
            text = f"{self.host} does not speak the encryption that we know. Check port and security in shopbell.yaml"
            return DeliveryError(text, "setup")
        if isinstance(error, SMTPResponseException) and error.code >= 400:
            return self._refused(error)
        if any(isinstance(one, socket.gaierror) for one in chain):
            return DeliveryError(f"There is no address for the name {self.host}", "temporary")
        if isinstance(error, SMTPServerDisconnected | ConnectionError | TimeoutError):
            return self.failure(
                "broke off" if self.handed_over else f"does not answer ({network_word(chain)})"
            )
        if isinstance(error, OSError):
            return self.failure(f"does not answer ({network_word(chain)})")
        if self.handed_over:
            return self.failure("answered something that we do not understand")
        return DeliveryError(f"{self.host} {_set_up(str(error))}", "setup")

    def _refused(self, error: SMTPResponseException) -> DeliveryError:
        status, told = str(error.code), f"{error.code} {_said(error.message)}"
        if isinstance(error, SMTPAuthenticationError) and error.code >= 500:
            return DeliveryError(f"{self.host} does not accept the name and password", "setup", status=status)
        kind: FailureKind = "temporary" if error.code < 500 else "permanent"
        whom = f" for {error.recipient}" if isinstance(error, SMTPRecipientRefused) else ""
        return DeliveryError(f"{self.host} refused the mail{whom}: {told}", kind, status=status, detail=told)


def _said(message: str) -> str:
    return cut(one_line(printable(message)), 300)


def _set_up(text: str) -> str:
    """Why a server and our settings do not fit together."""
    if "AUTH" in text or "authentication" in text:
        return "offers no way to log in that we know. Leave out username and password, or check port and security"
    if "STARTTLS" in text:
        return "does not offer encryption. Write `security: tls`, or `none` where that is meant"
    return "does not speak mail as we know it. Check host, port and security in shopbell.yaml"
