"""The client of the OMS's API for webhook endpoints: list, create, update, delete, with plain words for what fails.

The guide shows only how an endpoint is created. That the others are GET, PATCH and DELETE on the same collection is
the custom of such APIs, not the guide's word.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from engine.language.fields import address_fault

COLLECTION = "/api/webhook/endpoints"
PATIENCE = 15.0
"""Seconds that a whole call may take."""
_MOST_BYTES = 1_000_000
_EXCERPT = 200


class OmsError(Exception):
    """A call that the OMS did not answer as wanted; the text says why and what to do, and holds no token."""


@dataclass(frozen=True, slots=True)
class RegisteredEndpoint:
    """An endpoint as the OMS knows it."""

    id: str
    target_url: str
    events: tuple[str, ...]


class OmsClient:
    """Talks to the OMS at `url` with its bearer token. Close it, or use it in a `with`.

    Every method raises `OmsError`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = PATIENCE,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base = url.rstrip("/").removesuffix(COLLECTION)
        self._token = token
        self._patience = patience
        self._client = httpx.Client(timeout=patience, trust_env=False, transport=transport)

    def __enter__(self) -> OmsClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def endpoints(self) -> list[RegisteredEndpoint]:
        """All endpoints (GET on the collection, by custom)."""
        listed = self._call("GET", "")
        if isinstance(listed, dict):
            listed = next((listed[key] for key in ("endpoints", "data") if key in listed), None)
        if not isinstance(listed, list):
            raise self._unexpected("a list of endpoints")
        return [self._endpoint(one) for one in listed]

    def create(self, target_url: str, events: Iterable[str]) -> RegisteredEndpoint:
        """A new endpoint for these events, as the guide registers one."""
        return self._endpoint(self._call("POST", "", {"target_url": target_url, "events": list(events)}))

    def update(
        self, id: str, *, target_url: str | None = None, events: Iterable[str] | None = None
    ) -> RegisteredEndpoint:
        """Change an endpoint's address, its events, or both (PATCH on the endpoint, by custom)."""
        wanted = {"target_url": target_url, "events": None if events is None else list(events)}
        changes = {key: value for key, value in wanted.items() if value is not None}
        return self._endpoint(self._call("PATCH", f"/{quote(id, safe='')}", changes))

    def delete(self, id: str) -> None:
        """Delete an endpoint (DELETE on the endpoint, by custom)."""
        self._call("DELETE", f"/{quote(id, safe='')}")

    def _call(self, method: str, path: str, endpoint: Mapping[str, Any] | None = None) -> Any:
        """The answer's document, None where it is empty."""
        status, headers, body = self._exchange(method, path, endpoint)
        if not 200 <= status < 300:
            raise OmsError(self._why(status, path, headers, body))
        return self._document(body) if body.strip() else None

    def _exchange(
        self, method: str, path: str, endpoint: Mapping[str, Any] | None
    ) -> tuple[int, httpx.Headers, bytes]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        json = None if endpoint is None else {"endpoint": endpoint}
        if fault := address_fault(self._base):
            raise OmsError(f"The address of the OMS {fault}. Write for example https://oms.example.com")
        until = time.monotonic() + self._patience
        try:
            with self._client.stream(
                method, self._base + COLLECTION + path, headers=headers, json=json
            ) as answer:
                return answer.status_code, answer.headers, self._bounded(answer, until)
        except httpx.TimeoutException:
            raise self._too_slow() from None
        except httpx.ConnectError as refused:
            raise OmsError(f"The OMS at {self._base} cannot be reached: {_reason(refused)}.") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            raise OmsError(f"The connection to the OMS at {self._base} broke off. Try again.") from None

    def _bounded(self, answer: httpx.Response, until: float) -> bytes:
        """The whole answer, unless it is endless in size or time: httpx's limit is only for each read."""
        body = b""
        for piece in answer.iter_bytes():
            body += piece
            if time.monotonic() > until:
                raise self._too_slow()
            if len(body) > _MOST_BYTES:
                raise OmsError(
                    f"The OMS at {self._base} sent more than {_MOST_BYTES:,} bytes; is this its address?"
                )
        return body

    def _too_slow(self) -> OmsError:
        return OmsError(
            f"The OMS at {self._base} did not answer within {self._patience:g} seconds. Try again later."
        )

    def _unexpected(self, wanted: str) -> OmsError:
        return OmsError(f"What answers at {self._base} did not send {wanted}. Is this the OMS's address?")

    def _why(self, status: int, path: str, headers: httpx.Headers, body: bytes) -> str:
        if status in (401, 403):
            return f"The OMS at {self._base} refused the token (code {status}). Make a new one there, or check the setting."
        if status == 404:
            missing = (
                f"has no endpoint {path[1:]}"
                if path
                else "has no API for webhook endpoints; is this its address?"
            )
            return f"The OMS at {self._base} {missing}" + ("." if path else "")
        if 300 <= status < 400:
            return f"The OMS at {self._base} sends on to {headers.get('location', 'another address')}. Use that address."
        if status == 422:
            return f"The OMS did not take it: {self._reasons(body)}"
        return f"The OMS at {self._base} answered with code {status}: {self._reasons(body)}"

    def _reasons(self, body: bytes) -> str:
        """The reasons in an error's body: its own sentences where they can be found, else its beginning."""
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            return self._safe(body.decode("utf-8", "replace")) or "no reason given"
        found = (document.get("error") or document.get("errors")) if isinstance(document, dict) else document
        return (
            self._safe(found if isinstance(found, str) else "; ".join(_sentences(found))) or "no reason given"
        )

    def _safe(self, text: str) -> str:
        """One line of an answer, without the token should it be echoed."""
        line = " ".join(text.replace(self._token, "…").split()) if self._token else " ".join(text.split())
        return line[:_EXCERPT]

    def _document(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError):
            raise self._unexpected("JSON") from None

    def _endpoint(self, document: Any) -> RegisteredEndpoint:
        """An endpoint out of an answer, bare or under `endpoint`."""
        if isinstance(document, dict) and isinstance(document.get("endpoint"), dict):
            document = {**document, **document["endpoint"]}
        try:
            events = tuple(str(event) for event in document["events"])
            return RegisteredEndpoint(str(document["id"]), str(document["target_url"]), events)
        except (KeyError, TypeError):
            raise self._unexpected("an endpoint with id, target_url and events") from None


def _reason(refused: httpx.ConnectError) -> str:
    if "certificate" in str(refused).lower():
        return "its certificate is not valid for this address"
    return "the connection was refused, or the name is not known"


def _sentences(reasons: Any) -> list[str]:
    """Every text in a structure of reasons, with the name of what it is about."""
    if isinstance(reasons, dict):
        return [f"{key}: {text}" for key, inner in reasons.items() for text in _sentences(inner)]
    if isinstance(reasons, list):
        return [text for inner in reasons for text in _sentences(inner)]
    return [str(reasons)] if reasons else []
