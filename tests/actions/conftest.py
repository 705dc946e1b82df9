"""What the tests of all actions share: rule texts become settings, settings become requests, services are fakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from engine import actions
from engine.actions.base import Action, DeliveryError, Destinations, HttpAnswer, Note, Rendered
from engine.language.document import read_document
from engine.language.fields import FieldValue, read_fields
from engine.language.problem import Mark, Problem, Problems
from engine.language.scope import Scope
from engine.runtime.notes import Notes

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)

ORDER: Mapping[str, Any] = {
    "number": "R1",
    "email": "ana@example.test",
    "total": "10.63",
    "subscription_order": False,
    "cart_url": None,
    "ship_address": {"firstname": "Ana", "lastname": "Doe", "address2": None},
    "line_items": [{"name": "Mug", "sku": "mug", "quantity": 2}],
}


def order(**changes: Any) -> dict[str, Any]:
    """The root of an order event; `ship_address__firstname` changes a field inside."""
    found = msgspec.json.decode(msgspec.json.encode(ORDER))
    for path, value in changes.items():
        *outer, name = path.split("__")
        place = found
        for step in outer:
            place = place[step]
        place[name] = value
    return {"order": found}


@dataclass(frozen=True)
class Written:
    """An action's settings as a rule has them, and what was found wrong with them."""

    action: Action
    values: Mapping[str, FieldValue]
    problems: tuple[Problem, ...]

    @property
    def messages(self) -> list[str]:
        return [problem.message for problem in self.problems]


Write = Callable[..., Written]
Render = Callable[..., tuple[Rendered, ...]]


def written(word: str, text: str, destinations: Destinations | None = None) -> Written:
    """Read the settings of an action from YAML."""
    problems = Problems("rule.yaml")
    document = read_document(text, problems)
    assert document is not None, problems.found
    action = actions.found()[word]
    values = read_fields(document, action.fields, problems, word)
    action.check(values, Mark(1, 1), problems, destinations or Destinations())
    return Written(action, values, tuple(problems.sorted()))


def rendered(
    word: str, text: str, root: Mapping[str, Any] | None = None, destinations: Destinations | None = None
) -> tuple[Rendered, ...]:
    """The requests that an action's settings give for an event."""
    found = written(word, text, destinations)
    assert [problem for problem in found.problems if problem.severity == "error"] == []
    return found.action.render(found.values, Scope(root or order(), NOW), destinations or Destinations())


@pytest.fixture
def write() -> Write:
    return written


@pytest.fixture
def render() -> Render:
    return rendered


@pytest.fixture
def make_order() -> Callable[..., dict[str, Any]]:
    return order


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Sent:
    """One HTTP call or mail that an action wanted to make."""

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    timeout: float = 0
    sender: str = ""
    recipients: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


@dataclass
class FakeServices:
    """Services that reach nothing: calls are kept, and answered as told; `answers` come before `answer`."""

    connections: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    answer: HttpAnswer | DeliveryError | str = field(default_factory=lambda: HttpAnswer(200, {}, b"ok"))
    sent: list[Sent] = field(default_factory=list)
    answers: list[HttpAnswer | DeliveryError] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    def connection(self, kind: str, name: str) -> Mapping[str, Any]:
        return self.connections[kind][name]

    def now(self) -> datetime:
        return NOW

    async def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        timeout: float = 15.0,  # noqa: ASYNC109
    ) -> HttpAnswer:
        self.sent.append(Sent(method, url, headers, content, timeout))
        answer = self.answers.pop(0) if self.answers else self.answer
        if isinstance(answer, DeliveryError):
            raise answer
        assert isinstance(answer, HttpAnswer)
        return answer

    async def smtp(
        self,
        connection: Mapping[str, Any],
        sender: str,
        recipients: list[str],
        message: bytes,
        timeout: float = 30.0,  # noqa: ASYNC109 - as services have it
    ) -> str:
        self.sent.append(Sent(content=message, timeout=timeout, sender=sender, recipients=tuple(recipients)))
        if isinstance(self.answer, DeliveryError):
            raise self.answer
        return "250 2.0.0 kept"

    async def smtp_greeting(
        self,
        connection: Mapping[str, Any],
        timeout: float = 30.0,  # noqa: ASYNC109 - as services have it
    ) -> str:
        if isinstance(self.answer, DeliveryError):
            raise self.answer
        return "250 2.0.0 here"

    def note(self, name: str) -> AbstractAsyncContextManager[Note]:
        return self.notes.hold(name)


@pytest.fixture
def services() -> FakeServices:
    """A Slack webhook and a Slack token, a mail server, and an API with its secrets."""
    return FakeServices(
        {
            "slack": {
                "default": {"token": "xoxb-canary", "api": "https://slack.com/api"},
                "hook": {"webhook": "https://hooks.example.com/services/T0/B0/canary", "api": ""},
            },
            "email": {"default": {"host": "smtp.example.com", "from": "Shop <care@shop.example>"}},
            "http": {
                "erp": {
                    "base_url": "https://erp.example.com/api/",
                    "headers": {"Authorization": "Bearer canary"},
                },
                "signed": {
                    "base_url": "https://erp.example.com",
                    "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                },
            },
        }
    )
