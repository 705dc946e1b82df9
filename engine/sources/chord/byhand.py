"""What the command line does with the sandbox: send events through a running one, or straight to a receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.changes import CannotChange, changed, read_change
from engine.sources.chord.faults import Fault, messages
from engine.sources.chord.oms import Life, Oms, Refused, check_endpoint, check_order, read_fault
from engine.sources.chord.repeats import Attempt, Clock, Deliveries, Endpoint
from engine.sources.chord.shop import Shop

_encode = msgspec.json.Encoder(decimal_format="number").encode


class SandboxError(Exception):
    """A sandbox that cannot be reached or does not take what it was told; the text says why in plain words."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a shop's life: its orders, the tries, those not acknowledged, the events given up."""

    orders: int
    tries: int
    refused: int
    lost: int


def _real_time() -> datetime:
    return datetime.now(UTC)


def send_through(
    at_url: str,
    event: str,
    sets: Iterable[str] = (),
    times: int = 1,
    *,
    fault: str | None = None,
    token: str | None = None,
) -> list[str]:
    """Have a running sandbox send an event; the answer is the addresses that listen to it.

    `sets` are changes as `PATH=VALUE`. Raises `SandboxError`.
    """
    try:
        changes = dict(read_change(event, words) for words in sets)
    except CannotChange as reason:
        raise SandboxError(str(reason)) from None
    order = {"event": event, "set": changes, "times": times, "fault": fault}
    answer = _call(at_url, "/api/sandbox/send", order, token)
    return [endpoint["target_url"] for endpoint in answer["endpoints"]]


def run_through(at_url: str, life: Life, *, token: str | None = None) -> None:
    """Have a running sandbox's shop live. Raises `SandboxError`."""
    _call(at_url, "/api/sandbox/run", asdict(life), token)


def send_straight(
    to_url: str,
    event: str,
    sets: Iterable[str] = (),
    times: int = 1,
    *,
    fault: str | None = None,
    seed: int | None = None,
    speed: float = 1.0,
    clock: Clock = _real_time,
) -> list[Attempt]:
    """Send an event to a receiver without a sandbox between, each once and without repeats.

    Without a seed every call makes other orders. Raises `SandboxError`.
    """
    try:
        check_endpoint({"target_url": to_url})
        check_order(event, times)
        wrong = read_fault(fault)
        bodies = _made(event, sets, max(times, 2) if wrong is Fault.OUT_OF_ORDER else times, seed, clock())
    except (Refused, CannotChange) as reason:
        raise SandboxError(str(reason)) from None
    return asyncio.run(_straight(to_url, bodies, wrong, speed, clock))


def run_straight(
    to_url: str,
    life: Life,
    *,
    tell: Callable[[Attempt], None] | None = None,
    clock: Clock = _real_time,
) -> Run:
    """Let a shop live in front of a receiver, with repeats; `tell` hears of every try. Raises `SandboxError`."""
    return asyncio.run(_live(to_url, life, tell, clock))


async def _straight(
    to_url: str, bodies: list[Mapping[str, Any]], fault: Fault | None, speed: float, clock: Clock
) -> list[Attempt]:
    endpoint = _everything(to_url, clock())
    deliveries = Deliveries(clock=clock, speed=speed, repeats=False)
    try:
        for group in messages(bodies, fault):
            deliveries.send(endpoint, group)
        await deliveries.settle()
    finally:
        await deliveries.close()
    return list(reversed(endpoint.attempts))


async def _live(to_url: str, life: Life, tell: Callable[[Attempt], None] | None, clock: Clock) -> Run:
    oms = Oms(clock=clock, tell=tell)
    try:
        endpoint = oms.register(to_url, list(EVENT_TYPES))
        await oms.live(life)
        await oms.deliveries.settle()
    except Refused as reason:
        raise SandboxError(str(reason)) from None
    finally:
        await oms.close()
    return Run(oms.orders, endpoint.tries, endpoint.refused, endpoint.lost)


def _everything(url: str, now: datetime) -> Endpoint:
    """An endpoint that is registered nowhere."""
    return Endpoint(0, url, tuple(EVENT_TYPES), now, now)


def _made(
    event: str, sets: Iterable[str], times: int, seed: int | None, now: datetime
) -> list[Mapping[str, Any]]:
    """So many bodies of an event, changed as told. Raises `CannotChange`."""
    changes = dict(read_change(event, words) for words in sets)
    dice = Random(int(now.timestamp() * 1e6) if seed is None else seed)  # noqa: S311  # made-up orders
    shop = Shop(dice, now)
    return [changed(shop.sample(event, now), changes) for _ in range(times)]


def _call(at_url: str, path: str, document: Mapping[str, Any], token: str | None) -> Any:
    """Post a document to a running sandbox and return its answer. Raises `SandboxError`."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    where = at_url.rstrip("/")
    try:
        answer = httpx.post(
            where + path, content=_encode(document), headers=headers, timeout=10, trust_env=False
        )
    except httpx.TimeoutException:
        raise SandboxError(f"The sandbox at {where} did not answer within 10 seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise SandboxError(f"No sandbox answers at {where}. Start one with `shopbell sandbox`.") from None
    return _answered(where, answer)


def _answered(where: str, answer: httpx.Response) -> Any:
    if answer.status_code in (200, 202):
        return answer.json()
    try:
        reason = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        port = urlsplit(where).port
        raise SandboxError(
            f"What answers at {where} is no sandbox (code {answer.status_code}); is {port} its port?"
        ) from None
    raise SandboxError(str(reason))
