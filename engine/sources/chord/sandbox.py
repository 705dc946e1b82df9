"""The sandbox: a stand-in for Chord OMS with its API, its pages of attempts, and ways to send an event by hand.

What belongs to the OMS needs its token, as in the guide. What belongs to the sandbox alone (sending events, the
shop's life, the pages) works on the same machine without one.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.sources.chord.byhand import (
    Run,
    SandboxError,
    run_straight,
    run_through,
    send_straight,
    send_through,
)
from engine.sources.chord.catalogue import EVENT_TYPES
from engine.sources.chord.changes import CannotChange, read_change
from engine.sources.chord.client import COLLECTION
from engine.sources.chord.oms import Life, Oms, Refused, read_fault
from engine.sources.chord.pages import endpoint_page, first_page, style
from engine.sources.chord.repeats import Attempt, Clock, Endpoint, Sleep
from engine.sources.chord.shop import ORDINARY_RATE

__all__ = [
    "Life",
    "Run",
    "SandboxError",
    "build_sandbox",
    "run_straight",
    "run_through",
    "send_straight",
    "send_through",
]


_MOST_BYTES = 65_536
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LIFE = ("orders", "seed", "speed", "orders_per_hour", "faults")
_read = msgspec.json.Decoder(float_hook=Decimal).decode

Handler = Callable[[Request], Awaitable[Response]]


def _real_time() -> datetime:
    return datetime.now(UTC)


def build_sandbox(
    *,
    token: str,
    seed: int = 1,
    speed: float = 1.0,
    orders_per_hour: float = ORDINARY_RATE,
    clock: Clock = _real_time,
    sleep: Sleep = asyncio.sleep,
    client: httpx.AsyncClient | None = None,
    tell: Callable[[Attempt], None] | None = None,
) -> Starlette:
    """The sandbox as an app. Its OMS is `app.state.oms`; its shop lives only once it is told to.

    `token` is what the endpoints API asks for, `speed` shortens the pauses between repeats and the shop's days,
    `tell` hears of every try.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await app.state.oms.close()

    app = Starlette(routes=_routes(), lifespan=lifespan, exception_handlers=_ANSWERS)
    app.router.redirect_slashes = False
    app.state.token = token.encode()
    app.state.oms = Oms(
        clock=clock,
        seed=seed,
        speed=speed,
        orders_per_hour=orders_per_hour,
        sleep=sleep,
        client=client,
        tell=tell,
    )
    return app


def _routes() -> list[Route]:
    one = COLLECTION + "/{id:int}"
    table: list[tuple[str, str, Handler]] = [
        ("GET", COLLECTION, _with_token(_list)),
        ("POST", COLLECTION, _with_token(_create)),
        ("GET", one, _with_token(_show)),
        ("PUT", one, _with_token(_update)),
        ("PATCH", one, _with_token(_update)),
        ("DELETE", one, _with_token(_delete)),
        ("GET", one + "/attempts", _with_token(_attempts)),
        ("GET", "/api/sandbox", _from_here(_state)),
        ("POST", "/api/sandbox/send", _from_here(_send)),
        ("POST", "/api/sandbox/run", _from_here(_run)),
        ("DELETE", "/api/sandbox/run", _from_here(_stop)),
        ("GET", "/", _from_here(_first)),
        ("GET", "/sandbox.css", _style),
        ("POST", "/endpoints", _from_here(_form_create)),
        ("GET", "/endpoints/{id:int}", _from_here(_page)),
        ("POST", "/endpoints/{id:int}", _from_here(_form_update)),
        ("POST", "/endpoints/{id:int}/delete", _from_here(_form_delete)),
        ("POST", "/send", _from_here(_form_send)),
        ("POST", "/life", _from_here(_form_life)),
    ]
    return [
        Route(path, handler, methods=[method], max_body_size=_MOST_BYTES) for method, path, handler in table
    ]


# who may


def _with_token(handler: Handler) -> Handler:
    """Only with the token, as the guide's registration call sends it."""

    async def guarded(request: Request) -> Response:
        if not _knows_token(request):
            raise HTTPException(
                401, "The token is missing or wrong: send Authorization: Bearer and the token."
            )
        return await handler(request)

    return guarded


def _from_here(handler: Handler) -> Handler:
    """With the token, or without one from this machine and not sent by another site's page."""

    async def guarded(request: Request) -> Response:
        if "authorization" in request.headers:
            return await _with_token(handler)(request)
        if not _is_local(request):
            raise HTTPException(
                403, "Without the token this works only on the machine that the sandbox runs on."
            )
        return await handler(request)

    return guarded


def _knows_token(request: Request) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    token: bytes = request.app.state.token
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token)


def _is_local(request: Request) -> bool:
    """Whether a person or a command on this machine asks, and no page of another site through their browser."""
    host = urlsplit("//" + request.headers.get("host", "")).hostname or ""
    if not (request.client and _loopback(request.client.host) and _loopback(host)):
        return False
    origin = request.headers.get("origin")
    foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        foreign = True
    return request.method == "GET" or not foreign


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


# the OMS's API


async def _list(request: Request) -> Response:
    return JSONResponse({"endpoints": [_view(endpoint) for endpoint in _oms(request).endpoints.values()]})


async def _create(request: Request) -> Response:
    wanted = await _wanted(request)
    endpoint = _oms(request).register(wanted.get("target_url"), wanted.get("events"))
    return JSONResponse(_view(endpoint), 201)


async def _show(request: Request) -> Response:
    return JSONResponse(_view(_endpoint(request)))


async def _update(request: Request) -> Response:
    endpoint = _endpoint(request)
    _oms(request).update(endpoint, await _wanted(request))
    return JSONResponse(_view(endpoint))


async def _delete(request: Request) -> Response:
    _oms(request).remove(_endpoint(request))
    return Response(status_code=204)


async def _attempts(request: Request) -> Response:
    endpoint = _endpoint(request)
    return JSONResponse({"attempts": [_attempt_view(attempt) for attempt in endpoint.attempts]})


def _oms(request: Request) -> Oms:
    oms: Oms = request.app.state.oms
    return oms


def _endpoint(request: Request) -> Endpoint:
    number = request.path_params["id"]
    endpoint = _oms(request).endpoints.get(number)
    if endpoint is None:
        raise HTTPException(404, f"There is no endpoint {number}.")
    return endpoint


async def _wanted(request: Request) -> Mapping[str, Any]:
    """What stands under `endpoint` in a request's body."""
    document = await _document(request)
    endpoint = document.get("endpoint")
    if not isinstance(endpoint, dict):
        reason = 'The body needs {"endpoint": {"target_url": …, "events": […]}}.'
        raise Refused({"endpoint": [reason]})
    return endpoint


async def _document(request: Request) -> Mapping[str, Any]:
    """A request's body, which must be one JSON object; the kind must be named, so that no form can pass for it."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "The body must be JSON: send Content-Type: application/json.")
    try:
        document = _read(await request.body())
    except (msgspec.DecodeError, UnicodeError):
        document = None
    if not isinstance(document, dict):
        raise HTTPException(400, "The body is no JSON object.")
    return document


def _view(endpoint: Endpoint) -> dict[str, Any]:
    latest = endpoint.attempts[0] if endpoint.attempts else None
    return {
        "id": endpoint.id,
        "target_url": endpoint.target_url,
        "events": list(endpoint.events),
        "created_at": endpoint.created_at.isoformat(timespec="milliseconds"),
        "updated_at": endpoint.updated_at.isoformat(timespec="milliseconds"),
        "latest_response": _attempt_view(latest) if latest else None,
    }


def _attempt_view(attempt: Attempt) -> dict[str, Any]:
    return {
        "event": attempt.event,
        "about": attempt.about,
        "try": attempt.number,
        "at": attempt.at.isoformat(timespec="milliseconds"),
        "took_ms": attempt.took_ms,
        "status": attempt.status,
        "acknowledged": attempt.acknowledged,
        "answer": attempt.excerpt,
    }


# the sandbox's own API


async def _state(request: Request) -> Response:
    oms = _oms(request)
    waiting = sum(endpoint.waiting for endpoint in oms.endpoints.values())
    return JSONResponse(
        {"endpoints": len(oms.endpoints), "living": oms.living, "orders": oms.orders, "waiting": waiting}
    )


async def _send(request: Request) -> Response:
    order = await _document(request)
    changes = order.get("set", {})
    if not isinstance(changes, dict):
        raise Refused(
            {"set": ['Under "set" paths and values are wanted, such as {"order.total": "250.00"}.']}
        )
    event, times = order.get("event", ""), order.get("times", 1)
    listening = _oms(request).send(event, changes, times, read_fault(order.get("fault")))
    endpoints = [{"id": endpoint.id, "target_url": endpoint.target_url} for endpoint in listening]
    return JSONResponse({"event": event, "times": times, "endpoints": endpoints})


async def _run(request: Request) -> Response:
    wanted = await _document(request)
    life = Life(**{key: wanted[key] for key in _LIFE if wanted.get(key) is not None})
    _oms(request).begin(life)
    return JSONResponse({"orders": life.orders}, 202)


async def _stop(request: Request) -> Response:
    await _oms(request).stop()
    return Response(status_code=204)


# pages


async def _first(request: Request) -> Response:
    return _html(first_page(_oms(request), _told(request)))


async def _style(request: Request) -> Response:
    return Response(style(), media_type="text/css", headers=_HEADERS)


async def _page(request: Request) -> Response:
    return _html(endpoint_page(_endpoint(request)))


async def _form_create(request: Request) -> Response:
    form = await _form(request)
    try:
        endpoint = _oms(request).register(_last(form, "target_url"), form.get("events", []))
    except Refused as refused:
        return _html(first_page(_oms(request), str(refused), wrong=True), 422)
    return RedirectResponse(f"/endpoints/{endpoint.id}", 303)


async def _form_update(request: Request) -> Response:
    endpoint, form = _endpoint(request), await _form(request)
    changes = {"target_url": _last(form, "target_url"), "events": form.get("events", [])}
    try:
        _oms(request).update(endpoint, changes)
    except Refused as refused:
        return _html(endpoint_page(endpoint, str(refused)), 422)
    return RedirectResponse(f"/endpoints/{endpoint.id}", 303)


async def _form_delete(request: Request) -> Response:
    _oms(request).remove(_endpoint(request))
    return RedirectResponse("/", 303)


async def _form_send(request: Request) -> Response:
    form = await _form(request)
    event = _last(form, "event")
    try:
        lines = filter(None, map(str.strip, _last(form, "changes").splitlines()))
        changes = dict(read_change(event, line) for line in lines)
        times = _last(form, "times") or "1"
        listening = _oms(request).send(
            event, changes, int(times) if times.isdecimal() else 0, read_fault(_last(form, "fault"))
        )
    except (Refused, CannotChange) as refused:
        return _html(first_page(_oms(request), str(refused), wrong=True), 422)
    return RedirectResponse(f"/?event={event}&listening={len(listening)}", 303)


async def _form_life(request: Request) -> Response:
    form = await _form(request)
    try:
        if "stop" in form:
            await _oms(request).stop()
        else:
            _oms(request).begin(_life(form))
    except Refused as refused:
        return _html(first_page(_oms(request), str(refused), wrong=True), 422)
    return RedirectResponse("/", 303)


def _life(form: Mapping[str, list[str]]) -> Life:
    """How the shop shall live, as the page says it; the share of faults is in percent there."""
    orders, faults = _last(form, "orders").strip(), _number(_last(form, "faults"))
    return Life(
        orders=int(orders) if orders.isdecimal() else -1 if orders else None,
        speed=_number(_last(form, "speed")),
        faults=0.0 if faults is None else faults / 100,
    )


def _number(text: str) -> float | None:
    """What was typed as a number; None for nothing, and -1, which is refused everywhere, for anything else."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return -1.0


async def _form(request: Request) -> dict[str, list[str]]:
    text = (await request.body()).decode("utf-8", "replace")
    return parse_qs(text, keep_blank_values=True, max_num_fields=50)


def _last(form: Mapping[str, list[str]], name: str) -> str:
    return form.get(name, [""])[-1]


def _told(request: Request) -> str:
    """What the last form did, said with words of our own only."""
    event, listening = request.query_params.get("event"), request.query_params.get("listening", "")
    if event not in EVENT_TYPES or not listening.isdecimal():
        return ""
    if int(listening) == 0:
        return f"No endpoint listens to {event}, so nothing was sent. Add one below."
    return f"{event} is on its way to {int(listening)} endpoint{'s' * (listening != '1')}."


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers=_HEADERS)


# answers to what cannot be done


async def _refused(request: Request, refused: Exception) -> Response:
    reasons = refused.reasons if isinstance(refused, Refused) else {"set": [str(refused)]}
    return JSONResponse({"error": str(refused), "errors": reasons}, 422)


async def _impossible(request: Request, fault: Exception) -> Response:
    if not isinstance(fault, HTTPException):
        raise fault
    headers = {"WWW-Authenticate": "Bearer"} if fault.status_code == 401 else None
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": fault.detail}, fault.status_code, headers)
    return PlainTextResponse(fault.detail, fault.status_code, headers)


_ANSWERS: Mapping[Any, Any] = {Refused: _refused, CannotChange: _refused, HTTPException: _impossible}
