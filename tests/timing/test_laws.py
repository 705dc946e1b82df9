"""Laws of time words: nothing matched is lost, and a restart anywhere changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import actions, sources
from engine.language.change import replaced
from engine.model import Event, Outcome
from engine.rulebook.loader import Loader
from engine.rulebook.timeline import Moment, Timeline
from engine.rulebook.vocabulary import Language

LANGUAGE = Language(sources.found(), actions.found())
START = datetime(2024, 5, 1, 18, tzinfo=UTC)
WORDS = (
    "wait: 2 hours",
    "limit: 2 per 3 hours",
    "digest: {every: 'hour'}",
    "quiet hours: 21:00 to 08:00, then send",
    "unless followed by: {event: order_cancelled, within: 5 hours}",
)


def _rule(words: list[str]) -> str:
    told = "{{ count }}" if any("digest" in word for word in words) else "1"
    return "\n".join(["when: order_completed", *words, f"then:\n  - slack: {{channel: x, text: '{told}'}}\n"])


rules = st.lists(st.sampled_from(WORDS), unique=True, max_size=4).map(_rule)
minutes = st.lists(st.integers(0, 1800), min_size=1, max_size=8).map(sorted)


def order(number: int, minute: int) -> Event:
    payload: Any = replaced(
        LANGUAGE.event_types["order_completed"].sample, ("order", "number"), lambda _: f"R{number}"
    )
    return Event(
        str(number),
        "chord",
        "order_completed",
        f"order:R{number}",
        payload,
        START + timedelta(minutes=minute),
    )


def course(text: str, times: list[int], restart: int = -1) -> tuple[list[Moment], Timeline]:
    """All that is judged within ten days; after so many events the service is stopped and started."""
    book = Loader(LANGUAGE).load({"r.yaml": text})
    assert book.rules
    timeline, moments = Timeline(book), []
    for number, minute in enumerate(times):
        event = order(number, minute)
        moments += [*timeline.pass_to(event.received_at), timeline.happen(event)]
        if number == restart:
            timeline = Timeline.of_json(book, timeline.to_json())
    moments += timeline.pass_to(START + timedelta(days=10))
    return moments, timeline


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=rules, times=minutes)
def test_every_match_is_told_held_back_with_a_reason_or_still_waits(text: str, times: list[int]) -> None:
    moments, timeline = course(text, times)
    told = kept = 0
    for moment in moments:
        for rule in moment.plan.rules:
            for action in rule.actions:
                told += 0 if action.suppressed else int(action.request["text"].splitlines()[0])
                kept += bool(action.suppressed)
            assert rule.outcome is not Outcome.HELD or rule.waits_until or rule.actions[0].suppressed
    assert told + kept == len(times)
    assert not timeline.waits


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=rules, times=minutes, restart=st.integers(0, 7))
def test_a_restart_anywhere_changes_nothing(text: str, times: list[int], restart: int) -> None:
    whole, _ = course(text, times)
    stopped, _ = course(text, times, restart)
    assert [(one.at, one.plan.rules) for one in stopped] == [(one.at, one.plan.rules) for one in whole]
