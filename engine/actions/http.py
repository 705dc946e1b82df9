"""A call to another system: the shape of its body is the author's, and values only fill it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import msgspec

from engine.actions.answers import excerpt, refusal
from engine.actions.base import (
    COMMON_FIELDS,
    PACE,
    Action,
    DeliveryError,
    Destinations,
    HttpAnswer,
    Receipt,
    Rendered,
    Services,
    chosen,
    unknown_connection,
)
from engine.language.expected import Expected, expected, unmet
from engine.language.fields import (
    Connection,
    Field,
    FieldValue,
    Named,
    Text,
    Texts,
    WebAddress,
    Word,
    Written,
)
from engine.language.plain import one_line, printable
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.structure import Structure
from engine.language.template import PLAIN, Target
from engine.language.url import Address, AddressValue
from engine.language.words import listing
from engine.model import Gap

METHODS = ("post", "put", "patch", "get", "delete")
BODIES = ("json", "form", "body")
NOT_YOURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"}
)
"""Headers that the call itself sets; another value would break it."""

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})

_encode = msgspec.json.Encoder(decimal_format="number").encode


def _json_escape(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


JSON_TEXT = Target("JSON", _json_escape, lambda address, text: _json_escape(address))
"""Values as parts of a hand-written JSON body: quotes, backslashes and line breaks are escaped."""


_ADDRESSES = tuple(
    Address(
        method,
        f"Calls this address with {method.upper()}: a path under the connection's base address, or https://… with "
        "its host written out. Values in it are encoded.",
        example="/sales-orders",
    )
    for method in METHODS
)


class Http(Action):
    """Calls another system over HTTP.

    The call carries an Idempotency-Key, which stays the same on every try, so that the other side can tell a
    repeat; after a crash at the wrong moment it is sent again with that key. Redirects are not followed. For one
    order, calls run in the sequence of its events.
    """

    fields: ClassVar[tuple[Field, ...]] = (
        *_ADDRESSES,
        Connection(
            "connection",
            "The HTTP connection of the settings file that gives the base address and the secret headers.",
            example="erp",
        ),
        Texts(
            "headers",
            "Headers of the call, beside those of the connection. Secrets belong to the connection.",
            example="X-Shop: example",
            headers=True,
        ),
        Structure(
            "json",
            "The body as a structure, sent as JSON. A value that is exactly one {{ }} keeps its type.",
            example='{reference: "{{ order.number }}", lines: "{{ order.line_items }}"}',
        ),
        Texts("form", "The body as form fields.", example='number: "{{ order.number }}"'),
        Text(
            "body",
            "The body as text; where it is JSON, values are escaped for it and the whole is checked.",
            example='"{{ order.number }}"',
            lines="many",
        ),
        Expected(
            "expect",
            "The answers that mean success: status codes, or `{status: 2xx, $.ok: yes}` with what must hold in a JSON "
            "answer; left out, 2xx.",
            example="{status: 2xx, $.ok: yes}",
        ),
        *COMMON_FIELDS,
    )
    connection_fields: ClassVar[tuple[Field, ...]] = (
        WebAddress(
            "base_url",
            "The address that the paths of the rules are joined to.",
            required=True,
            example="https://erp.example.com",
        ),
        Word(
            "token",
            "The token that every call shows, as `Authorization: Bearer …`.",
            example='"${ERP_TOKEN}"',
            secret=True,
        ),
        Word("username", "The name that every call shows, as `Authorization: Basic …`.", example="shop"),
        Word("password", "The password that goes with it.", example='"${ERP_PASSWORD}"', secret=True),
        Texts(
            "headers",
            "Headers that every call gets, such as access data of another kind.",
            example='X-Api-Key: "${ERP_KEY}"',
            secret=True,
            fixed=True,
            headers=True,
        ),
        Word(
            "signing_secret",
            "Signs every call as Standard Webhooks has it; `whsec_` and base64, or any text.",
            example='"${ERP_SIGNING}"',
            secret=True,
        ),
        PACE,
    )
    ordered: ClassVar[bool] = True
    example: ClassVar[str] = (
        "http:\n"
        "  post: /sales-orders\n"
        "  connection: erp\n"
        "  json:\n"
        '    reference: "{{ order.number }}"\n'
        '    total: "{{ order.total | number }}"\n'
    )

    def check_connection(self, settings: Mapping[str, FieldValue], mark: Mark, problems: Problems) -> None:
        """Access data are of one kind, and a signing secret can be read."""
        if ("password" in settings) != ("username" in settings):
            problems.error(mark, "an HTTP connection has both `username` and `password`, or neither")
        headers = settings.get("headers")
        written = {name.casefold() for name, _ in headers.entries} if isinstance(headers, Named) else set()
        kinds = [name for name in ("token", "username") if name in settings]
        if len(kinds) + ("authorization" in written) > 1:
            told = "the access data are there twice: take `token`, or `username` and `password`, or a header"
            problems.error(mark, told)
        secret = chosen(settings, "signing_secret")
        if secret is not None and not _readable(secret):
            message = "signing_secret is not readable: after whsec_ it must be base64"
            problems.error(settings["signing_secret"].mark, message)

    def secrets(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Those of its settings, and the name and password in the form in which they are sent."""
        yield from super().secrets(settings)
        yield from _authorization(settings).values()

    def check(
        self, values: Mapping[str, FieldValue], mark: Mark, problems: Problems, destinations: Destinations
    ) -> None:
        """A call has one address and at most one body, and its connection is known."""
        methods = [method for method in METHODS if method in values]
        if len(methods) != 1:
            told = f"http takes one of {listing(METHODS, 'or')} with the address"
            problems.error(
                mark, f"{told}, not {listing(methods)}" if methods else told, "post: /sales-orders"
            )
            return
        self._check_body(values, methods[0], problems)
        self._check_place(values, values[methods[0]], problems, destinations)
        self._check_headers(values.get("headers"), problems)

    def _check_body(self, values: Mapping[str, FieldValue], method: str, problems: Problems) -> None:
        bodies = [name for name in BODIES if name in values]
        for name in bodies[1:]:
            problems.error(values[name].mark, f"http takes one body: `{bodies[0]}` is there already")
        if method == "get" and bodies:
            problems.error(
                values[bodies[0]].mark, "a get sends no body: put the values into the address", "get: /x?…"
            )

    def _check_place(
        self,
        values: Mapping[str, FieldValue],
        address: FieldValue,
        problems: Problems,
        destinations: Destinations,
    ) -> None:
        if not isinstance(address, AddressValue):
            return
        absolute = address.absolute
        name = chosen(values, "connection")
        if name is None and not absolute:
            message = "the address has no host: name a connection, or write the whole address with https://"
            problems.error(address.mark, message, "connection: erp")
        elif name is not None and absolute:
            message = f"with a connection the address is a path under its base address, so that {name} gets its secrets alone"
            problems.error(address.mark, message, "post: /sales-orders")
        known = destinations.of("http")
        if name is not None and destinations.known and name not in known:
            unknown_connection("HTTP", "connection", values["connection"].mark, name, known, problems)

    def _check_headers(self, headers: FieldValue | None, problems: Problems) -> None:
        for name, value in headers.entries if isinstance(headers, Named) else ():
            if name.casefold() in NOT_YOURS:
                problems.error(value.mark, f"{name} is set by the call itself: leave it out")
            elif name.casefold() in SECRET_HEADERS and not value.varies:
                message = (
                    f"{name} looks like a secret: keep it in shopbell.yaml, as a header of the connection"
                )
                problems.warning(value.mark, message)

    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        """One call; an address or a JSON body that does not come out whole is never sent."""
        method = next(method for method in METHODS if method in values)
        url, gaps = values[method].render(scope)
        blocked = bool(gaps)
        headers, more = _headers(values, scope)
        name, content, told = _body(values, headers, scope)
        request = {
            "connection": chosen(values, "connection") or "",
            "method": method.upper(),
            "url": url,
            "headers": headers,
            **({name: content} if name else {}),
            **({"expect": chosen(values, "expect")} if "expect" in values else {}),
            **self.carried(values),
        }
        wrong = tuple(_json_fault(values, name, content, headers, told))
        gaps += (*more, *told, *wrong)
        to = " ".join(
            part for part in (request["method"], request["connection"], url.partition("?")[0]) if part
        )
        return (Rendered(request, to, gaps, blocked=blocked or bool(wrong)),)

    def lane(self, request: Mapping[str, Any]) -> str:
        """Its connection; without one, the host that is called."""
        return str(
            request.get("connection") or urlsplit(str(request.get("url", ""))).netloc.lower() or "default"
        )

    async def deliver(self, request: Mapping[str, Any], key: str, services: Services) -> Receipt:
        """Make the call, with the connection's headers, the key and the signature."""
        name = request["connection"]
        connection = services.connection("http", name) if name else {}
        content, kind = _content(request)
        headers = {"idempotency-key": key, **({"content-type": kind} if kind else {})}
        headers |= _standing(connection) | _small(request["headers"])
        if connection.get("signing_secret"):
            moment = int(services.now().timestamp())
            headers |= signature(connection["signing_secret"], key, moment, content)
        url = _joined(connection.get("base_url", ""), request["url"])
        answer = await services.http(
            request["method"], url, headers=headers, content=content, timeout=request.get("timeout", 15)
        )
        expect = request.get("expect", ["2xx"])
        if not expected(answer.status, expect):
            raise _unexpected(
                name or urlsplit(url).hostname or "the other side", answer, expect, services.now()
            )
        told = unmet(expect, answer.body, services.now())
        if told:
            message = (
                f"{name or urlsplit(url).hostname} answered {answer.status}, but the rule expects {told}"
            )
            raise DeliveryError(message, "permanent", status=str(answer.status), detail=excerpt(answer.body))
        return Receipt(str(answer.status), excerpt(answer.body))

    async def try_connection(self, name: str, services: Services) -> str:
        """Get the base address with the connection's access data; what it answers to that."""
        connection = services.connection("http", name)
        headers = _standing(connection)
        answer = await services.http("GET", connection["base_url"], headers=headers, content=b"")
        if answer.status in (401, 403, 407):
            raise refusal(name, answer, services.now())
        if answer.status >= 500:
            message = f"{name} answers, but with {answer.status}: it has trouble of its own at the moment"
            raise DeliveryError(message, "temporary", status=str(answer.status), detail=excerpt(answer.body))
        return f"its base address answers ({answer.status})"


def _standing(connection: Mapping[str, Any]) -> dict[str, str]:
    """The headers that every call of a connection gets, access data included."""
    return _authorization(connection) | _small(connection.get("headers", {}))


def _authorization(connection: Mapping[str, Any]) -> dict[str, str]:
    if "token" in connection:
        return {"authorization": f"Bearer {connection['token']}"}
    if "username" in connection:
        pair = f"{connection['username']}:{connection['password']}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _headers(values: Mapping[str, FieldValue], scope: Scope) -> tuple[dict[str, str], tuple[Gap, ...]]:
    if "headers" not in values:
        return {}, ()
    filled, gaps = values["headers"].render(scope)
    return {name: one_line(printable(text)) for name, text in filled.items()}, gaps


def _body(
    values: Mapping[str, FieldValue], headers: Mapping[str, str], scope: Scope
) -> tuple[str, Any, tuple[Gap, ...]]:
    """The name of the body that was written, its content, and its gaps; no name where there is none."""
    name = next((name for name in BODIES if name in values), "")
    if not name:
        return "", None, ()
    target = JSON_TEXT if name == "body" and _is_json(values[name], headers) else PLAIN
    content, gaps = values[name].render(scope, target)
    return name, content, gaps


def _is_json(body: FieldValue, headers: Mapping[str, str]) -> bool:
    """Whether a hand-written body is meant as JSON: its content type says so, or it looks like it."""
    kind = _small(headers).get("content-type")
    if kind is not None:
        return "json" in kind.casefold()
    source = body.template.source.strip() if isinstance(body, Written) else ""
    return source.startswith("[") or (source.startswith("{") and source[1:2] not in ("{", "%", "#"))


def _json_fault(
    values: Mapping[str, FieldValue],
    name: str,
    content: Any,
    headers: Mapping[str, str],
    gaps: tuple[Gap, ...],
) -> Iterator[Gap]:
    """A gap where a hand-written JSON body did not come out as JSON."""
    if name != "body" or gaps or not _is_json(values["body"], headers):
        return
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError:
        yield Gap(
            values["body"].mark.line,
            "body",
            "the body does not come out as JSON; write it under `json` instead",
        )


def _content(request: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body as bytes, and its content type."""
    if "json" in request:
        return _encode(request["json"]), "application/json"
    if "form" in request:
        return urlencode(request["form"]).encode(), "application/x-www-form-urlencoded"
    if "body" in request:
        text = request["body"]
        return text.encode(), "application/json" if text.lstrip()[:1] in (
            "{",
            "[",
        ) else "text/plain; charset=utf-8"
    return b"", ""


def _small(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.casefold(): value for name, value in headers.items()}


def _joined(base: str, path: str) -> str:
    if not base:
        return path
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def signature(secret: str, key: str, moment: int, content: bytes) -> dict[str, str]:
    """The headers that sign a call as Standard Webhooks has it; `moment` is in seconds since 1970."""
    signed = f"{key}.{moment}.".encode() + content
    digest = hmac.new(_signing_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": key,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _readable(secret: str) -> bool:
    try:
        return bool(_signing_key(secret))
    except DeliveryError:
        return False


def _signing_key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise DeliveryError(
            "The signing secret is not readable: after whsec_ it must be base64", "setup"
        ) from error


def _unexpected(who: str, answer: HttpAnswer, expect: Any, now: datetime) -> DeliveryError:
    if 200 <= answer.status < 300:
        codes = expect["status"] if isinstance(expect, dict) else expect
        message = f"{who} answered {answer.status}, but the rule expects {listing(codes, 'or')}"
        return DeliveryError(message, "permanent", status=str(answer.status), detail=excerpt(answer.body))
    return refusal(who, answer, now)
