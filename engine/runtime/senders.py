"""Who may send, beyond a secret: requests that are signed, that name a user, that come from known addresses.

Signatures are made of the very bytes that arrived, before they are unpacked or read. Whatever is wrong with a header
only ever makes a request one that is not taken; and texts are compared in a time that tells nothing.
"""

from __future__ import annotations

import hmac
import ipaddress
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Mapping[bytes, bytes]

TOLERANCE = timedelta(minutes=5)
"""How far the time in a signature may be from ours, before and after."""

PREFIX = "whsec_"
"""What a secret of Standard Webhooks begins with when it is shown to people."""

SHORTEST_KEY = 16
"""Bytes of a key of Standard Webhooks; the specification asks for 24, some senders have fewer."""

MOST_SIGNATURES = 20
"""Signatures looked at in one header; senders send one for each of their keys."""


class Signing(ABC):
    """How the requests of a sender are signed."""

    @abstractmethod
    def plausible(self, headers: Headers, now: datetime) -> bool:
        """Whether the headers are there and in time, so that the body is worth reading."""

    @abstractmethod
    def holds(self, headers: Headers, body: bytes) -> bool:
        """Whether one of the signatures in the headers is that of the body by one of our secrets."""


@dataclass(frozen=True, slots=True)
class Hmac(Signing):
    """HMAC-SHA256 over the body in one header, as hexadecimal or base64 text behind a prefix such as `sha256=`.

    It holds no time: a request that somebody kept is taken again, and recognised as a repeat.
    """

    header: bytes
    keys: tuple[bytes, ...]
    prefix: bytes = b""
    encoding: Literal["hex", "base64"] = "hex"

    def plausible(self, headers: Headers, now: datetime) -> bool:
        """Whether the header is there, and begins as it shall."""
        return headers.get(self.header, b"").strip().startswith(self.prefix)

    def holds(self, headers: Headers, body: bytes) -> bool:
        """Whether the header holds the body's signature."""
        shown = headers.get(self.header, b"").strip()
        digest = _digest(shown.removeprefix(self.prefix), self.encoding)
        return shown.startswith(self.prefix) and _matches((digest,), self.keys, body)


@dataclass(frozen=True, slots=True)
class StandardWebhooks(Signing):
    """Signatures by the Standard Webhooks specification: over id, time and body, several in one header."""

    keys: tuple[bytes, ...]

    def plausible(self, headers: Headers, now: datetime) -> bool:
        """Whether all three headers are there, and the time is a whole number not far from ours."""
        stamp = headers.get(b"webhook-timestamp", b"")
        if not (0 < len(stamp) <= 12 and stamp.isdigit()):
            return False
        near = abs(int(stamp) - now.timestamp()) <= TOLERANCE.total_seconds()
        return near and bool(headers.get(b"webhook-id")) and bool(headers.get(b"webhook-signature"))

    def holds(self, headers: Headers, body: bytes) -> bool:
        """Whether one of the signatures of version 1 is that of this id, time and body."""
        parts = (headers.get(b"webhook-id", b""), headers.get(b"webhook-timestamp", b""), body)
        shown = headers.get(b"webhook-signature", b"").split(b" ")[:MOST_SIGNATURES]
        digests = [_digest(one.removeprefix(b"v1,"), "base64") for one in shown if one.startswith(b"v1,")]
        return _matches(digests, self.keys, b".".join(parts))


def standard_key(secret: str) -> bytes | None:
    """The key in a secret of Standard Webhooks as people are shown it (`whsec_…`), None where it is none."""
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)  # often shown without its padding
    except (NotBase64, ValueError):
        return None
    return key if len(key) >= SHORTEST_KEY else None


def _matches(shown: Iterable[bytes], keys: Sequence[bytes], signed: bytes) -> bool:
    """Whether any digest is the right one by any key; all are compared, so that the time tells nothing."""
    right = False
    expected = [hmac.digest(key, signed, sha256) for key in keys]
    for one in shown:
        for digest in expected:
            right |= hmac.compare_digest(digest, one)
    return right


def _digest(text: bytes, encoding: str) -> bytes:
    """The bytes that a text of a signature stands for; none for a text that is no such thing."""
    try:
        return b64decode(text, validate=True) if encoding == "base64" else bytes.fromhex(text.decode("ascii"))
    except (NotBase64, ValueError):
        return b""


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and its passwords, of which one must come in an `Authorization: Basic` header."""

    username: str
    passwords: tuple[str, ...]

    def holds(self, headers: Headers) -> bool:
        """Whether the header names this user with one of the passwords."""
        scheme, _, shown = headers.get(b"authorization", b"").strip().partition(b" ")
        right = False
        for password in self.passwords:
            expected = b64encode(f"{self.username}:{password}".encode())
            right |= hmac.compare_digest(expected, shown.strip())
        return right and scheme.lower() == b"basic"


@dataclass(frozen=True, slots=True)
class Senders:
    """All that a request must show beside a secret; what is not set is not asked for.

    `networks` are the ranges of addresses it may come from, empty for any: the address of the connection, or the one
    that a proxy named in the settings gives.
    """

    signing: Signing | None = None
    basic: Basic | None = None
    networks: tuple[Network, ...] = ()

    @property
    def verify(self) -> bool:
        """Whether this alone tells who sends, so that no secret is needed. An address can be many people's."""
        return self.signing is not None or self.basic is not None

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return self.verify or bool(self.networks)

    def admit(self, client: object, headers: Headers, now: datetime) -> bool:
        """Whether a request may be read: it comes from where it may, and shows what can be seen without its body."""
        near = not self.networks or _within(client, self.networks)
        known = self.basic is None or self.basic.holds(headers)
        return near and known and (self.signing is None or self.signing.plausible(headers, now))


def _within(client: object, networks: Iterable[Network]) -> bool:
    """Whether the other end of a connection, as the server knows it (host and port), is in one of some ranges."""
    try:
        address = ipaddress.ip_address(client[0])  # type: ignore[index]
    except (
        TypeError,
        ValueError,
        LookupError,
    ):  # no address: a socket file, or a word that a proxy passed on
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
