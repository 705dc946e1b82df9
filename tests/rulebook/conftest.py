"""What the tests of the rulebook share: rule texts become rulebooks, samples become events, and both meet."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine import actions, sources
from engine.actions.base import Destinations
from engine.language.change import replaced
from engine.language.path import parse_path
from engine.language.scope import Shop
from engine.model import Event, Memory, Payload, RulePlan
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.planner import answered, plan
from engine.rulebook.timeline import Timeline
from engine.rulebook.vocabulary import Language

HERE = Path(__file__).parent
NOW = datetime(2021, 10, 5, 15, 0, tzinfo=UTC)
"""A quarter of an hour after the sample order was placed."""

SLACK = "then:\n  - slack:\n      channel: big-orders\n      text: hello\n"

Load = Callable[..., Rulebook]
Happen = Callable[..., Event]
Judge = Callable[..., RulePlan]


@pytest.fixture(scope="session")
def language() -> Language:
    """All sources and actions, no settings file: any connection may be named."""
    return Language(sources.found(), actions.found())


@pytest.fixture(scope="session")
def settled_language() -> Language:
    """A language with a settings file: three Slack connections with webhooks, a mail server and an API."""
    hook: Mapping[str, Any] = {"webhook": True}
    destinations = Destinations(
        {
            "slack": {"big-orders": hook, "refunds": hook, "fulfilment": hook},
            "email": {"default": {"from": "Shop <care@shop.example>"}},
            "http": {"erp": {"base_url": "https://erp.example.com"}},
        },
        known=True,
    )
    return Language(sources.found(), actions.found(), Shop(), destinations)


@pytest.fixture
def load(language: Language) -> Load:
    """The rulebook of rule bodies by file name (endings and the usual action added where they are left out)."""

    def loaded(*rules: str, loader: Loader | None = None, **named: str) -> Rulebook:
        texts = {f"rule-{number}.yaml": text for number, text in enumerate(rules, start=1)}
        texts |= {f"{name.replace('_', '-')}.yaml": text for name, text in named.items()}
        whole = {name: text if "then:" in text else text + SLACK for name, text in texts.items()}
        return (loader or Loader(language)).load(whole)

    return loaded


@pytest.fixture
def happen(language: Language) -> Happen:
    """An event of a type: its sample, with some fields changed."""

    def happened(event_type: str, changes: Mapping[str, Any] | None = None, **facts: Any) -> Event:
        payload: Payload = language.event_types[event_type].sample
        for path, value in (changes or {}).items():
            payload = replaced(payload, parse_path(path).steps or (), lambda _, value=value: value)
        return Event("7", "chord", event_type, "order:1", payload, NOW, "0123456789abcdef", **facts)

    return happened


@pytest.fixture
def judge(load: Load, happen: Happen) -> Judge:
    """What the only rule of a text says of an event."""

    def judged(
        text: str,
        event_type: str = "order_completed",
        changes: Mapping[str, Any] | None = None,
        *,
        memory: Memory = Memory(),  # noqa: B008 - it is frozen
        now: datetime = NOW,
        **facts: Any,
    ) -> RulePlan:
        book = load(text)
        assert not [problem for problem in book.problems if problem.severity == "error"]
        event = happen(event_type, changes, **facts)
        made, _ = answered(
            lambda known: plan(event, book, known, now, explain=True), memory, Timeline(book).answers
        )
        return made.rules[0]

    return judged


def _module(name: str) -> ModuleType:
    """A module of this folder that holds no tests; the folder itself is no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def random_rules() -> ModuleType:
    """The generators of random rules, payloads and slips."""
    return _module("random_rules")
