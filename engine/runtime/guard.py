"""Which addresses outgoing calls may reach: public ones, and those that the settings allow.

Names are resolved once, the addresses found are judged, and the connection goes to exactly one of these. So a
name that answers differently the second time reaches nothing, and neither does another spelling of an address.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

AddressInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""One address of a host as the system's resolver gives it; the last part begins with address and port."""

Lookup: TypeAlias = Callable[[str, int], Awaitable[list[AddressInfo]]]

_WORLD = ip_network("2000::/3")
_TUNNELS = (ip_network("2002::/16"), ip_network("2001::/32"))
"""Addresses that carry an IPv4 address, perhaps an internal one: 6to4 and Teredo. NAT64 is outside of `_WORLD`."""


class Forbidden(OSError):
    """A connection to an address that may not be reached; the text names host and address."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where} is an internal address, which outgoing calls may not reach")
        self.address = address


class Guard:
    """Judges addresses. `allow` are the internal ranges that may be reached (`10.1.0.0/16`)."""

    def __init__(self, allow: Iterable[str] = (), lookup: Lookup | None = None) -> None:
        self._allowed = tuple(ip_network(one, strict=False) for one in allow)
        self._lookup = lookup or system_lookup

    def permits(self, address: str) -> bool:
        """Whether a connection to this numeric address may be made."""
        try:
            ip = _plain(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        return _within(ip, self._allowed) or _public(ip)

    async def addresses(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of a host that may be reached, resolved once.

        Raises `Forbidden` where it has only others, `OSError` where it has none.
        """
        found = await self._lookup(host, port)
        good = [info for info in found if self.permits(info[4][0])]
        if good:
            return good
        if found:
            raise Forbidden(host, found[0][4][0])
        raise OSError("no address")

    def plug(self, info: AddressInfo) -> socket.socket:
        """A socket for an address that is about to be connected to: the last word, whoever resolved it."""
        family, kind, protocol, _, place = info
        if not self.permits(place[0]):
            raise Forbidden(place[0], place[0])
        return socket.socket(family, kind, protocol)

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket to one of the host's addresses. Raises `OSError`, `Forbidden` among them."""
        failure = OSError("no address")
        for info in await self.addresses(host, port):
            connection = self.plug(info)
            connection.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(connection, info[4])
            except OSError as error:  # the next address may answer; the last failure is told
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure


class GuardedResolver(AbstractResolver):
    """Gives an HTTP client only those addresses of a host that may be reached."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses that the guard lets through. Raises `OSError`."""
        return [
            ResolveResult(
                hostname=host,
                host=info[4][0],
                port=port,
                family=info[0],
                proto=info[2],
                flags=socket.AI_NUMERICHOST,
            )
            for info in await self._guard.addresses(host, port)
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def system_lookup(host: str, port: int) -> list[AddressInfo]:
    """The addresses of a host by the system's resolver, for a stream. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [info for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address written as IPv6 is judged as what it is."""
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _within(ip: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(ip in network for network in networks)


def _public(ip: IPv4Address | IPv6Address) -> bool:
    if not ip.is_global or ip.is_multicast:
        return False
    return ip.version == 4 or (ip in _WORLD and not _within(ip, _TUNNELS))
