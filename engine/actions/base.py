"""What an action is: the fields it takes, the request it renders, and how that request is delivered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from engine.language.fields import Field, FieldValue
from engine.language.problem import Mark
from engine.language.scope import Scope
from engine.model import Gap


@dataclass(frozen=True, slots=True)
class Destinations:
    """The connections a rule may name, by kind (`slack`), each with the public facts of it; never a secret.

    `known` is False where no settings were read (a dry run on somebody's desk): then any name is taken.
    """

    by_kind: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    known: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """One request of an action, ready to be kept and sent, and what could not be filled in.

    `to` names the destination for people (`#refunds`, `ana@example.com`, `POST erp /sales-orders`).
    """

    request: Mapping[str, Any]
    to: str
    gaps: tuple[Gap, ...] = ()


class DeliveryError(Exception):
    """A try that did not succeed, in facts: is another try worth it, when, and what was said.

    `kind`: `permanent` will never work as it is, `temporary` may work later, `setup` needs a person at the
    settings, `unsure` may have arrived. `retry_after` is in seconds. The text has no secret in it and is
    written for a shop's person.
    """

    def __init__(
        self,
        message: str,
        kind: Literal["permanent", "temporary", "setup", "unsure"],
        *,
        status: str = "",
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the other side answered when it took a delivery: a status (`200`, `250 2.0.0`) and an excerpt."""

    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer, its body cut to a bound."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Services(Protocol):
    """The one door to the network. Every call is bounded in time and size and checks where it goes."""

    def connection(self, kind: str, name: str) -> Mapping[str, Any]:
        """The settings of a connection, secrets included. Raises `DeliveryError` (setup) for an unknown one."""
        ...

    async def http(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, timeout: float = 15.0
    ) -> HttpAnswer:
        """One HTTP call, redirects not followed. Raises `DeliveryError` when no answer came."""
        ...

    async def smtp(self, connection: Mapping[str, Any], sender: str, recipients: list[str], message: bytes) -> str:
        """Hand one mail to the SMTP server of a connection; the server's last line. Raises `DeliveryError`."""
        ...


class Action(ABC):
    """Something a rule can do. Its word in YAML is its module's name, `_` written as a space.

    `help` is the class's docstring. `fields` are its settings in a rule, `connection_fields` those of a
    connection of this kind in the settings file.
    """

    fields: ClassVar[tuple[Field, ...]]
    connection_fields: ClassVar[tuple[Field, ...]] = ()
    on_gap: ClassVar[Literal["send", "hold"]] = "hold"
    on_unsure: ClassVar[Literal["resend", "ask"]] = "resend"
    ordered: ClassVar[bool] = False
    example: ClassVar[str] = ""

    def check(self, values: Mapping[str, FieldValue], mark: Mark, problems: Any, destinations: Destinations) -> None:
        """Note what is wrong with the settings taken together; nothing unless an action says so."""

    @abstractmethod
    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        """The requests for one event: mostly one, none is never right. Pure; what cannot be filled in is a gap."""

    @abstractmethod
    async def deliver(self, request: Mapping[str, Any], key: str, services: Services) -> Receipt:
        """Send a request that `render` made, unchanged. `key` is the idempotency key. Raises `DeliveryError`."""
