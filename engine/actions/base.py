"""What an action is: the fields it takes, the request it renders, and how that request is delivered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol

from engine.language.fields import Choice, Connection, Duration, Field, FieldValue, Fixed, Retry, secret_texts
from engine.language.match import Match
from engine.language.pace import Rate
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.words import listing, nearest
from engine.model import Ask, Effect, Gap

OnGap = Literal["send", "hold"]
OnUnsure = Literal["resend", "ask"]
FailureKind = Literal["permanent", "temporary", "setup", "unsure"]


@dataclass(frozen=True, slots=True)
class Destinations:
    """The connections a rule may name, by kind (`slack`), each with the public facts of it; never a secret.

    A secret setting shows only as True: it is there. `known` is False where no settings were read (a dry run on
    somebody's desk): then any name is taken.
    """

    by_kind: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    known: bool = False

    def of(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """The connections of a kind by name."""
        return self.by_kind.get(kind, {})


@dataclass(frozen=True, slots=True)
class Rendered:
    """One request of an action, ready to be kept and sent, and what could not be filled in.

    `to` names the destination for people (`#refunds`, `ana@example.com`, `POST erp /sales-orders`). `blocked`
    says that it cannot go out as it is, whatever `on gap` says: a mail to nobody, a call to half an address.
    A request for many people has `parts`, one for each, told apart by their `name`: those are what is delivered.
    """

    request: Mapping[str, Any]
    to: str
    gaps: tuple[Gap, ...] = ()
    blocked: bool = False
    parts: tuple[Rendered, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Acted:
    """What an action does for a match: its requests, what it remembers or lets fall due, and why it does nothing."""

    rendered: tuple[Rendered, ...]
    effects: tuple[Effect, ...] = ()
    because: str = ""


class DeliveryError(Exception):
    """A try that did not succeed, in facts: is another try worth it, when, and what was said.

    `kind`: `permanent` will never work as it is, `temporary` may work later, `setup` needs a person at the
    settings, `unsure` may have arrived. `retry_after` is in seconds. The text has no secret in it and is
    written for a shop's person.
    """

    def __init__(
        self,
        message: str,
        kind: FailureKind,
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
    """An HTTP answer: header names in small letters, the body cut to a bound and without our secrets."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Note(Protocol):
    """Something small that deliveries remember for one another, such as the message that a thread hangs on."""

    @property
    def text(self) -> str:
        """What is remembered, empty where nothing is."""
        ...

    async def keep(self, text: str) -> None:
        """Remember this from now on. It never fails: a message that went out is no failure for want of a note."""
        ...


class Services(Protocol):
    """The one door to the network. Every call is bounded in time and size and checks where it goes."""

    def connection(self, kind: str, name: str) -> Mapping[str, Any]:
        """The settings of a connection, secrets included. Raises `DeliveryError` (setup) for an unknown one."""
        ...

    def now(self) -> datetime:
        """The time, aware, for what a message says of when it was sent."""
        ...

    async def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        timeout: float = 15.0,  # noqa: ASYNC109
    ) -> HttpAnswer:
        """One HTTP call, redirects not followed. Raises `DeliveryError` when no answer came."""
        ...

    async def smtp(
        self,
        connection: Mapping[str, Any],
        sender: str,
        recipients: list[str],
        message: bytes,
        timeout: float = 30.0,  # noqa: ASYNC109 - every call keeps to its limit by itself
    ) -> str:
        """Hand one mail to the SMTP server of a connection; the server's last line. Raises `DeliveryError`."""
        ...

    async def smtp_greeting(
        self,
        connection: Mapping[str, Any],
        timeout: float = 30.0,  # noqa: ASYNC109 - as above
    ) -> str:
        """Connect to an SMTP server and log in, without a mail; its last line. Raises `DeliveryError`."""
        ...

    def note(self, name: str) -> AbstractAsyncContextManager[Note]:
        """What deliveries remember under a name; while it is held, no other delivery has it."""
        ...


ON_GAP = Choice(
    "on gap",
    "What happens when a value of the message could not be filled in: `send` it with [?] in the place and a line "
    "that says so, or `hold` it for a person.",
    choices=("send", "hold"),
    example="hold",
)
ON_UNSURE = Choice(
    "on unsure",
    "What happens when nobody knows whether it went out, because the service or the line broke at that moment: "
    "`resend`, or `ask` a person.",
    choices=("resend", "ask"),
    example="ask",
)
ORDERING = Choice(
    "ordering",
    "`per order` keeps the sequence of the events of one order, so that a failing delivery holds back the later "
    "ones; with `none` each goes by itself.",
    choices=("per order", "none"),
    example="per order",
)
RETRY = Retry(
    "retry",
    "How often a failed delivery is tried, and over how long; left out, 8 times over 18 hours. `no` tries once.",
    example="8 times over 24 hours",
)
TIMEOUT = Duration(
    "timeout",
    "How long one try may take.",
    example="15 seconds",
    longest=timedelta(minutes=5),
)

PACE = Rate(
    "pace",
    "How many deliveries a time this connection may get; left out or `no`, as many as it takes.",
    example="10 per second",
)
"""The setting of every connection that says how fast it may be used."""

COMMON_FIELDS: tuple[Field, ...] = (ON_GAP, ON_UNSURE, ORDERING, RETRY, TIMEOUT)
"""The settings that every action takes."""


class Action(ABC):
    """Something a rule can do. Its word in YAML is its module's name, `_` written as a space.

    `help` is the class's docstring. `fields` are its settings in a rule, the common ones last,
    `connection_fields` those of a connection of this kind in the settings file.
    """

    fields: ClassVar[tuple[Field, ...]]
    connection_fields: ClassVar[tuple[Field, ...]] = ()
    on_gap: ClassVar[OnGap] = "hold"
    on_unsure: ClassVar[OnUnsure] = "resend"
    ordered: ClassVar[bool] = False
    example: ClassVar[str] = ""
    notice: ClassVar[Mapping[str, str]] = {}
    """For an action that can tell an alarm: which of its settings take its `to`, its `title` and its `text`."""

    def check(  # noqa: B027 - most actions have nothing to check here
        self, values: Mapping[str, FieldValue], mark: Mark, problems: Problems, destinations: Destinations
    ) -> None:
        """Note what is wrong with the settings taken together; nothing unless an action says so."""

    def check_connection(  # noqa: B027 - nor here
        self, settings: Mapping[str, FieldValue], mark: Mark, problems: Problems
    ) -> None:
        """Note what is wrong with the settings of a connection taken together; nothing unless an action says so."""

    @abstractmethod
    def render(
        self, values: Mapping[str, FieldValue], scope: Scope, destinations: Destinations
    ) -> tuple[Rendered, ...]:
        """The requests for one event: mostly one, none is never right. Pure; what cannot be filled in is a gap."""

    def act(self, values: Mapping[str, FieldValue], match: Match, destinations: Destinations) -> Acted:
        """What is done for a match; the requests for its event, unless an action has more to consider."""
        return Acted(self.render(values, match.scope, destinations))

    def asks(self, values: Mapping[str, FieldValue], match: Match) -> tuple[Ask, ...]:
        """What must be known to act."""
        return ()

    def watches(self, values: Mapping[str, FieldValue]) -> frozenset[str]:
        """Event types that concern it, though the rule does not listen to them."""
        return frozenset()

    def watch_asks(self, values: Mapping[str, FieldValue], match: Match) -> tuple[Ask, ...]:
        """What must be known to watch such an event."""
        return ()

    def watch(self, values: Mapping[str, FieldValue], match: Match) -> tuple[Effect, ...]:
        """What an event of those types changes."""
        return ()

    @abstractmethod
    async def deliver(self, request: Mapping[str, Any], key: str, services: Services) -> Receipt:
        """Send a request that `render` made, unchanged. `key` is the idempotency key. Raises `DeliveryError`."""

    async def try_connection(self, name: str, services: Services) -> str:
        """Try a connection and say in one sentence what was found. Raises `DeliveryError` where it would not work."""
        services.connection(self.word, name)
        return "it has settings; more cannot be tried"

    def connection_of(self, values: Mapping[str, FieldValue], destinations: Destinations) -> str:
        """The name of the connection that a rule's settings go through, empty for none."""
        named = (chosen(values, field.name) for field in self.fields if isinstance(field, Connection))
        return next((str(name) for name in named if name), "")

    def secrets(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Every text of a connection that nobody may see, in each form that goes over the line."""
        yield from secret_texts(self.connection_fields, settings)

    @property
    def word(self) -> str:
        """Its word in YAML."""
        return type(self).__module__.rpartition(".")[2].replace("_", " ")

    def lane(self, request: Mapping[str, Any]) -> str:
        """Where a request goes, as far as that is kept apart and paced by itself: its connection.

        What is paced by itself within a connection stands behind `#`: `default#refunds`.
        """
        return str(request.get("connection") or "default")

    def on_gap_for(self, values: Mapping[str, FieldValue]) -> OnGap:
        """What happens to a message of these settings when a value could not be filled in."""
        return chosen(values, ON_GAP.name) or self.default_on_gap(values)

    def on_unsure_for(self, values: Mapping[str, FieldValue]) -> OnUnsure:
        """What happens when nobody knows whether a message of these settings went out."""
        return chosen(values, ON_UNSURE.name) or self.default_on_unsure(values)

    def ordered_for(self, values: Mapping[str, FieldValue]) -> bool:
        """Whether deliveries of these settings keep the sequence of the events of one order."""
        written = chosen(values, ORDERING.name)
        return self.ordered if written is None else bool(written == "per order")

    def default_on_gap(self, values: Mapping[str, FieldValue]) -> OnGap:
        """`on gap` where the rule does not say it."""
        return self.on_gap

    def default_on_unsure(self, values: Mapping[str, FieldValue]) -> OnUnsure:
        """`on unsure` where the rule does not say it."""
        return self.on_unsure

    def carried(self, values: Mapping[str, FieldValue]) -> dict[str, Any]:
        """What the request takes along so that delivering needs no rule, each only where it is not the usual.

        `timeout` in seconds, `retry` as `{"times", "over"}`, `on_unsure` where it differs from the action's.
        """
        found = {name: chosen(values, name) for name in (TIMEOUT.name, RETRY.name)}
        on_unsure = self.on_unsure_for(values)
        found["on_unsure"] = on_unsure if on_unsure != self.on_unsure else None
        return {name: value for name, value in found.items() if value is not None}


def chosen(values: Mapping[str, FieldValue], name: str) -> Any:
    """What a rule says for a setting that does not depend on the event; None where it says nothing."""
    value = values.get(name)
    return value.value if isinstance(value, Fixed) else None


def unknown_connection(
    kind: str, setting: str, mark: Mark, name: str, known: Iterable[str], problems: Problems
) -> None:
    """Note that the settings have no connection of that name, with the line that was probably meant.

    `kind` is what people call it (`e-mail`), `setting` where the rule names it.
    """
    near = next(iter(nearest(name, known)), None)
    if near:
        told, hint = f"Nearest: {near}", f"{setting}: {near}"
    else:
        some = sorted(known)
        told = f"There are {listing(some)}" if some else "There is none yet"
        section = kind.lower().replace("-", "")
        told, hint = f"{told}. Connections stand in shopbell.yaml under `connections`, `{section}`", ""
    problems.error(mark, f'no {kind} connection is called "{name}". {told}', hint)


def gap_line(gaps: tuple[Gap, ...]) -> str:
    """The last line of a message that went out with gaps, empty for one without."""
    if not gaps:
        return ""
    places = ", ".join(dict.fromkeys(gap.expression for gap in gaps))
    number = len({gap.expression for gap in gaps})
    told = "one value could not be filled in" if number == 1 else f"{number} values could not be filled in"
    return f"{told}: {places}"
