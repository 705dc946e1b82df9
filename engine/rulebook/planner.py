"""An event becomes a plan: which rules fire and why, and what each action would send. Pure, and the only way.

The live path, the dry run, rule tests and the back-test all come through `plan`, so what is tried is what is
sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.language.condition import Condition, Verdict
from engine.language.scope import Scope
from engine.model import (
    Answer,
    Event,
    Memory,
    Mode,
    Outcome,
    Plan,
    PlannedAction,
    Reason,
    RulePlan,
)
from engine.rulebook.book import Rulebook
from engine.rulebook.rule import ActionSpec, Rule


def plan(event: Event, rulebook: Rulebook, memory: Memory, now: datetime, *, explain: bool = False) -> Plan:
    """What the rulebook says of an event, and what would be sent.

    `memory` is what `rulebook.wants(event)` asked for, `now` an aware time. With `explain`, every rule is in
    the plan with a reason for each of its lines; without, only those that do something else than not fire.
    """
    scope = scope_of(event, rulebook, memory, now)
    if explain:
        rules = list(rulebook.rules)
        return Plan(tuple(_explained(rule, event, scope, rulebook) for rule in rules), rulebook.hash)
    candidates = rulebook.index.candidates(event.type, scope.root)
    judged = (_judged(rule, event, scope, rulebook) for rule in candidates)
    return Plan(tuple(one for one in judged if one is not None), rulebook.hash)


def scope_of(event: Event, rulebook: Rulebook, memory: Memory, now: datetime) -> Scope:
    """What conditions and templates see of an event: its payload and what is known beside it."""
    source = rulebook.sources.get(event.source)
    root: dict[str, Any] = {"event": _facts(event), **event.payload}
    if source is not None:
        known = replace(memory, products={**memory.products, **rulebook.products})
        for name, value in source.joined(event.type, event.payload, known).items():
            root.setdefault(name, value)
    before = memory.before if not event.late else None
    return Scope(root, now, rulebook.shop, before, rulebook.lists)


def _facts(event: Event) -> Mapping[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "received_at": event.received_at.isoformat(timespec="seconds"),
        "late": event.late,
    }


def _judged(rule: Rule, event: Event, scope: Scope, rulebook: Rulebook) -> RulePlan | None:
    """The quick way: no reasons, and None for a rule that does not fire."""
    if rule.mode is Mode.OFF or (event.late and not rule.late_events):
        return None
    scope = _in_zone(rule, scope)
    outcome = _outcome(
        (condition.answer(scope) for condition in rule.conditions),
        (condition.answer(scope) for condition in rule.exceptions),
        rule,
    )
    if outcome is Outcome.DOES_NOT_FIRE:
        return None
    return _rule_plan(rule, event, scope, rulebook, outcome, ())


def _explained(rule: Rule, event: Event, scope: Scope, rulebook: Rulebook) -> RulePlan:
    """The full way: every line of the rule with its answer."""
    scope = _in_zone(rule, scope)
    heads = list(_head_reasons(rule, event))
    if any(reason.answer is Answer.NO for reason in heads):
        return _rule_plan(rule, event, scope, rulebook, Outcome.DOES_NOT_FIRE, tuple(heads))
    conditions = [condition.judge(scope) for condition in rule.conditions]
    exceptions = [condition.judge(scope) for condition in rule.exceptions]
    outcome = _outcome((v.answer for v in conditions), (v.answer for v in exceptions), rule)
    reasons = [
        *heads,
        *(reason for verdict in conditions for reason in _reasons(verdict, "if")),
        *_unless_reasons(rule.exceptions, exceptions),
        *_postponed_reasons(rule),
    ]
    return _rule_plan(rule, event, scope, rulebook, outcome, tuple(reasons))


def _outcome(conditions: Iterator[Answer], exceptions: Iterator[Answer], rule: Rule) -> Outcome:
    """All of `if` and none of `unless`, where a line that could not tell leaves the rule open unless another says no."""
    unknown = False
    for answer in conditions:
        if answer is Answer.NO:
            return Outcome.DOES_NOT_FIRE
        unknown = unknown or answer is Answer.UNKNOWN
    for answer in exceptions:
        if answer is Answer.YES:
            return Outcome.DOES_NOT_FIRE
        unknown = unknown or answer is Answer.UNKNOWN
    if unknown:
        return Outcome.COULD_NOT_TELL
    return Outcome.HELD if rule.postponed else Outcome.FIRES


def _in_zone(rule: Rule, scope: Scope) -> Scope:
    if rule.timezone is None:
        return scope
    return replace(scope, shop=replace(scope.shop, timezone=rule.timezone))


def _head_reasons(rule: Rule, event: Event) -> Iterator[Reason]:
    listens = Answer.YES if event.type in rule.events else Answer.NO
    because = f"the event is {event.type}"
    yield Reason(rule.when_mark.line, "when", f"when {rule.when}", listens, (event.type,), because)
    if rule.mode is Mode.OFF:
        yield Reason(rule.mark.line, "mode", "mode: off", Answer.NO, (), "the rule is switched off")
    if event.late and not rule.late_events:
        because = "something newer is known of the same object; `late events: yes` would let it through"
        yield Reason(rule.when_mark.line, "when", "the event is not late", Answer.NO, (), because)


def _unless_reasons(exceptions: tuple[Condition, ...], verdicts: list[Verdict]) -> Iterator[Reason]:
    if not exceptions:
        return
    stops = any(verdict.answer is Answer.YES for verdict in verdicts)
    open_ = any(verdict.answer is Answer.UNKNOWN for verdict in verdicts)
    answer = Answer.NO if stops else Answer.UNKNOWN if open_ else Answer.YES
    because = {
        Answer.YES: "none of these holds",
        Answer.NO: "one of these holds, so the rule does not fire",
        Answer.UNKNOWN: "one of these could not be told",
    }[answer]
    yield Reason(exceptions[0].mark.line, "unless", "unless:", answer, (), because)
    for verdict in verdicts:
        yield from _reasons(verdict, "unless", 1)


def _postponed_reasons(rule: Rule) -> Iterator[Reason]:
    for word in rule.postponed:
        because = "this version reads it but cannot keep it yet, so the rule sends nothing"
        yield Reason(word.mark.line, word.word, f"{word.word}: …", Answer.UNKNOWN, (), because)


def _reasons(verdict: Verdict, under: str, depth: int = 0) -> Iterator[Reason]:
    yield Reason(
        verdict.mark.line, under, verdict.text, verdict.answer, tuple(verdict.found), verdict.because, depth
    )
    for part in verdict.parts:
        yield from _reasons(part, under, depth + 1)


def _rule_plan(
    rule: Rule, event: Event, scope: Scope, rulebook: Rulebook, outcome: Outcome, reasons: tuple[Reason, ...]
) -> RulePlan:
    actions: tuple[PlannedAction, ...] = ()
    if outcome is Outcome.FIRES:
        actions = tuple(
            planned for spec in rule.actions for planned in _planned(spec, rule, event, scope, rulebook)
        )
    return RulePlan(rule.id, rule.name, rule.file, rule.mark.line, rule.mode, outcome, reasons, actions)


def _planned(
    spec: ActionSpec, rule: Rule, event: Event, scope: Scope, rulebook: Rulebook
) -> Iterator[PlannedAction]:
    rendered = spec.action.render(spec.values, scope, rulebook.destinations)
    holds = spec.action.on_gap_for(spec.values) == "hold"
    for place, one in enumerate(rendered, start=1):
        yield PlannedAction(
            kind=spec.word,
            number=spec.number,
            line=spec.mark.line,
            to=one.to,
            request=one.request,
            gaps=one.gaps,
            idempotency_key=_key(event, rule, spec, place if len(rendered) > 1 else 0),
            held=one.blocked or (bool(one.gaps) and holds),
            ordered=spec.action.ordered_for(spec.values),
        )


def _key(event: Event, rule: Rule, spec: ActionSpec, place: int) -> str:
    """The stable name of a delivery: the event (its number, and its identity's start), rule and action."""
    key = f"{event.id}-{event.identity[:8]}-{rule.id}-{spec.number}"
    return f"{key}-{place}" if place else key
