"""Outgoing calls reach public addresses and those that were allowed, whatever an address looks like."""

from __future__ import annotations

import socket

import pytest

from engine.runtime.guard import AddressInfo, Forbidden, Guard, GuardedResolver

pytestmark = pytest.mark.anyio

INTERNAL = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",
    "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1", "100::1", "fec0::1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "2a00:1450:4001::1"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def info(address: str) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    place = (address, 80, 0, 0) if ":" in address else (address, 80)
    return family, socket.SOCK_STREAM, 6, "", place


class Names:
    """A resolver whose answers change from one question to the next, as a rebinding one does."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[AddressInfo]:
        self.asked += 1
        return [
            info(address) for address in (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        ]


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_refused(address: str) -> None:
    assert not Guard().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert Guard().permits(address)


@pytest.mark.parametrize("address", ["", "example.com", "0x7f000001", "2130706433", "127.1", "1.1.1.1 "])
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    assert not Guard().permits(address)


@pytest.mark.parametrize(
    ("allow", "address", "allowed"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8", "::1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3/16", "10.1.9.9", True),
        ("fd00::/8", "fd00:ec2::254", True),
        ("64:ff9b::/96", "64:ff9b::7f00:1", True),
    ],
)
def test_the_settings_can_allow_an_internal_range(allow: str, address: str, allowed: bool) -> None:
    assert Guard([allow]).permits(address) is allowed


async def test_of_several_addresses_only_the_permitted_are_handed_over() -> None:
    found = await Guard(lookup=Names(["10.0.0.1", "1.1.1.1"])).addresses("x.test", 80)
    assert [one[4][0] for one in found] == ["1.1.1.1"]


async def test_a_name_with_internal_addresses_only_is_refused_by_name_and_address() -> None:
    with pytest.raises(Forbidden, match=r"x\.test \(10\.0\.0\.1\) is an internal address"):
        await Guard(lookup=Names(["10.0.0.1"])).addresses("x.test", 80)


async def test_a_name_without_addresses_is_told() -> None:
    with pytest.raises(OSError, match="no address"):
        await Guard(lookup=Names([])).addresses("x.test", 80)


async def test_the_resolver_asks_once_and_hands_over_what_it_judged() -> None:
    names = Names(["1.1.1.1"], ["127.0.0.1"])
    (found,) = await GuardedResolver(Guard(lookup=names)).resolve("x.test", 443)
    assert (found["host"], found["hostname"], found["port"]) == ("1.1.1.1", "x.test", 443)
    assert found["flags"] & socket.AI_NUMERICHOST
    assert names.asked == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254"])
def test_no_socket_is_made_for_an_internal_address_whoever_resolved_it(address: str) -> None:
    with pytest.raises(Forbidden, match="is an internal address"):
        Guard().plug(info(address))


async def test_a_connection_goes_to_the_address_that_was_judged() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    names = Names(["127.0.0.1"], ["10.0.0.1"])

    async def lookup(host: str, place: int) -> list[AddressInfo]:
        return [(*one[:4], (one[4][0], port)) for one in await names(host, place)]

    with server, await Guard(["127.0.0.0/8"], lookup).connect("x.test", port) as plug:
        assert plug.getpeername() == ("127.0.0.1", port)
    assert names.asked == 1
