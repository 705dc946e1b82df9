"""HTTP calls: one client for the process, bounded in time and size, never redirected, and told in plain words."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping

import aiohttp
import httpx
import re2
from httpx_aiohttp import AiohttpTransport

from engine.actions.base import DeliveryError, HttpAnswer
from engine.runtime.guard import Forbidden, Guard, GuardedResolver

MOST_READ = 64 * 1024
"""So many bytes of an answer are read; the rest is not."""

_CONNECTING = 2 / 3
"""The part of a try's time that connecting may take, so that a silent host is told from a silent answer."""

_CONTROL = re2.compile(r"[\x00-\x1f\x7f]")

for _name in (
    "httpx",
    "httpcore",
    "aiohttp",
):  # their lines hold whole addresses, and some addresses are secrets
    logging.getLogger(_name).setLevel(logging.WARNING)


class Web:
    """Makes HTTP calls to the addresses that the guard permits; `agent` is who it says it is.

    The transport is called as it is: a client around it would follow, log and keep cookies, and take as long again.
    """

    def __init__(self, guard: Guard, tls: ssl.SSLContext, agent: str) -> None:
        self._guard = guard
        self._tls = tls
        self._agent = agent
        self._transport: AiohttpTransport | None = None

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes, seconds: float
    ) -> HttpAnswer:
        """One call; raises `DeliveryError` where no answer came within `seconds`.

        An answer whose body stops coming is still an answer, with what was read of it.
        """
        request = self._request(method, _address(url), headers, content, seconds)
        host = request.url.host
        response: httpx.Response | None = None
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                response = await self._open().handle_async_request(request)
                await _read(response, body)
        except TimeoutError as error:
            if response is None:
                raise DeliveryError(f"{host} did not answer within {seconds:g} seconds", "unsure") from error
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if response is None:
                # Told in our own words only: the library's hold the whole address.
                raise _failure(host, error, seconds) from None
        finally:
            if response is not None:
                await response.aclose()
        return HttpAnswer(response.status_code, _texts(response), bytes(body[:MOST_READ]))

    async def close(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def _request(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes, seconds: float
    ) -> httpx.Request:
        limits = httpx.Timeout(seconds, connect=seconds * _CONNECTING).as_dict()
        usual = {"user-agent": self._agent, "accept": "*/*", "accept-encoding": "identity"}
        if any(_CONTROL.search(text) for header in headers.items() for text in header):
            raise DeliveryError("A header of the call has hidden characters in it", "permanent")
        try:
            sent = [(name.encode("ascii"), value.encode()) for name, value in {**usual, **headers}.items()]
        except UnicodeError as error:
            raise DeliveryError("A header of the call cannot be sent", "permanent") from error
        return httpx.Request(method, url, headers=sent, content=content, extensions={"timeout": limits})

    def _open(self) -> AiohttpTransport:
        if self._transport is None:
            self._transport = AiohttpTransport(verify=self._tls, trust_env=False, client=self._session)
        return self._transport

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=GuardedResolver(self._guard),
            socket_factory=self._guard.plug,  # judges literal addresses, which need no resolver
            limit=0,  # so that hanging targets leave room for others; how many run at once is the worker's to say
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )


async def _read(response: httpx.Response, body: bytearray) -> None:
    """Read the body as it comes, packed or not, up to the bound; the rest goes when the answer is closed."""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MOST_READ:
            return


def _texts(response: httpx.Response) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("utf-8", "replace")
        for name, value in response.headers.raw
    }


def _address(url: str) -> httpx.URL:
    """The address, read. Raises `DeliveryError` for what is no web address."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise DeliveryError("The address of the call is not a web address", "permanent") from error
    if address.scheme not in ("http", "https") or not address.host or address.userinfo:
        raise DeliveryError(
            "The address of the call is not a web address with http:// or https://", "permanent"
        )
    return address


_WORDS: Mapping[int, str] = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no way there",
    errno.ENETUNREACH: "no network",
    errno.ETIMEDOUT: "timed out",
}


def _failure(host: str, error: Exception, seconds: float) -> DeliveryError:
    """What a call without an answer means. Nothing of it was sent where the connection was never made."""
    chain = list(causes(error))
    if any(isinstance(one, Forbidden) for one in chain):
        text = f"{host} is an internal address, which outgoing calls may not reach"
        return DeliveryError(
            f"{text}. If it is meant, allow it in shopbell.yaml under `network`, `allow`", "setup"
        )
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return DeliveryError(f"The certificate of {host} is not valid", "setup")
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return DeliveryError(f"{host} does not speak a secure connection that we know", "setup")
    if any(isinstance(one, aiohttp.InvalidURL) for one in chain) or isinstance(
        error, httpx.UnsupportedProtocol
    ):
        return DeliveryError(f"The address of the call to {host} cannot be read", "permanent")
    if any(isinstance(one, socket.gaierror | aiohttp.ClientConnectorDNSError) for one in chain):
        return DeliveryError(f"There is no address for the name {host}", "temporary")
    if any(isinstance(one, aiohttp.ClientConnectorError) for one in chain):
        return DeliveryError(f"Nothing answers at {host} ({network_word(chain)})", "temporary")
    if any(isinstance(one, aiohttp.ConnectionTimeoutError) for one in chain):
        return DeliveryError(
            f"Nothing answers at {host} (no connection within {seconds:g} seconds)", "temporary"
        )
    return DeliveryError(f"{host} broke off before it answered", "unsure")


def network_word(chain: list[BaseException]) -> str:
    """What the network said, in a few words."""
    numbers = (one.errno or 0 for one in chain if isinstance(one, OSError))
    return next((_WORDS[number] for number in numbers if number in _WORDS), "no connection")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, the operating system's own included."""
    while error is not None:
        yield error
        inner = getattr(error, "os_error", None)
        if isinstance(inner, BaseException):
            yield inner
        error = error.__cause__ or error.__context__
