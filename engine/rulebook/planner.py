"""An event becomes a plan: which rules fire and why, what each action would send, and what is remembered. Pure.

The live path, the dry run, rule tests and the back-test all come through `plan`, so what is tried is what is
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from engine.actions.base import Acted, Rendered
from engine.language.condition import Condition, Verdict
from engine.language.match import Due, Match
from engine.language.scope import Scope
from engine.model import (
    SCHEDULE,
    Answer,
    Ask,
    Effect,
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
from engine.timing.base import Decision, Timing

THEN = "then "
"""What stands before an action's number in the name under which it remembers and waits."""


def plan(event: Event, rulebook: Rulebook, memory: Memory, now: datetime, *, explain: bool = False) -> Plan:
    """What the rulebook says of an event, what would be sent, and what is remembered.

    `memory` is what `rulebook.wants(event)` asked for, `now` an aware time. With `explain`, every rule is in
    the plan with a reason for each of its lines; without, only those that do something else than not fire. Where the
    plan `asks`, it is to be made again with the answers in the memory.
    """
    if event.source == SCHEDULE:
        return _of_schedule(event, rulebook, memory, now)
    case = _Case.of(event, rulebook, memory, now)
    if explain:
        rules = [_explained(rule, case) for rule in rulebook.rules]
    else:
        candidates = rulebook.index.candidates(event.type, case.scope.root)
        rules = [one for rule in candidates if (one := _judged(rule, case)) is not None]
    effects = tuple(effect for rule in rulebook.watching(event.type) for effect in _watched(rule, case))
    return Plan(tuple(rules), rulebook.hash, effects, case.asked)


def scope_of(event: Event, rulebook: Rulebook, memory: Memory, now: datetime) -> Scope:
    """What conditions and templates see of an event: its payload and what is known beside it."""
    before = memory.before if not event.late else None
    return Scope(root_of(event, rulebook, memory), now, rulebook.shop, before, rulebook.lists)


def root_of(event: Event, rulebook: Rulebook, memory: Memory) -> Mapping[str, Any]:
    """The names that rules see of an event: `event`, its payload, and what its source joins to it."""
    source = rulebook.sources.get(event.source)
    root: dict[str, Any] = {"event": _facts(event), **event.payload}
    if source is not None:
        known = replace(memory, products={**memory.products, **rulebook.products})
        for name, value in source.joined(event.type, event.payload, known).items():
            root.setdefault(name, value)
    return root


def _facts(event: Event) -> Mapping[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "received_at": event.received_at.isoformat(timespec="seconds"),
        "late": event.late,
    }


@dataclass(frozen=True, slots=True)
class _Case:
    """One event before a rulebook: what is seen of it, what is known, and what else must be known (`asks` grows).

    `event` is what rules are asked about; for something that fell due, `due` says what, and `cause` is its own event.
    """

    event: Event
    cause: Event
    rulebook: Rulebook
    memory: Memory
    now: datetime
    scope: Scope
    due: Due | None = None
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    happened_at: datetime | None = None
    asks: dict[Ask, None] = field(default_factory=dict)

    @classmethod
    def of(cls, event: Event, rulebook: Rulebook, memory: Memory, now: datetime) -> _Case:
        return cls.about(event, event, rulebook, memory, now)

    @classmethod
    def about(
        cls,
        event: Event,
        cause: Event,
        rulebook: Rulebook,
        memory: Memory,
        now: datetime,
        due: Due | None = None,
    ) -> _Case:
        scope = scope_of(event, rulebook, memory, now)
        source = rulebook.sources.get(event.source)
        # Only where some word of time may ask: most rulebooks have rules of which none does.
        timed = source is not None and rulebook.timed
        names = source.names(event.type, event.payload, memory) if source and timed else {}
        happened = source.happened_at(event.type, event.payload) if source and timed else None
        moment = min(happened, event.received_at) if happened else event.received_at
        return cls(event, cause, rulebook, memory, now, scope, due, dict(names), moment)

    @property
    def asked(self) -> tuple[Ask, ...]:
        return tuple(self.asks)

    def knows(self, asks: Iterable[Ask]) -> bool:
        """Whether all that is asked for is known; what is not is noted."""
        lacking = dict.fromkeys(ask for ask in asks if ask not in self.memory.answers)
        self.asks.update(lacking)
        return not lacking

    def match(self, rule: Rule, word: str, scope: Scope) -> Match:
        """The event as a word of a rule sees it."""
        return Match(
            rule=rule.id,
            word=word,
            event=self.event,
            scope=scope,
            now=self.now,
            timezone=rule.timezone or self.rulebook.shop.timezone,
            happened_at=self.happened_at or self.event.received_at,
            names=self.names,
            answers=self.memory.answers,
            due=self.due,
            lets_through=partial(self._lets_through, rule),
            own=self.event.id,
        )

    def _lets_through(self, rule: Rule, event: Event) -> bool:
        """Whether a rule's conditions hold for another event than the one at hand."""
        beside = replace(self.memory, before=None, order=None)
        scope = _in_zone(rule, scope_of(event, self.rulebook, beside, self.now))
        conditions = (condition.answer(scope) for condition in rule.conditions)
        exceptions = (condition.answer(scope) for condition in rule.exceptions)
        return _outcome(conditions, exceptions) is Outcome.FIRES


# an event of a sender


def _judged(rule: Rule, case: _Case) -> RulePlan | None:
    """The quick way: no reasons, and None for a rule that does not fire and changes nothing."""
    if rule.mode is Mode.OFF or (case.event.late and not rule.late_events):
        return None
    scope = _in_zone(rule, case.scope)
    course = _Course(rule, case, scope)
    if not course.asked_before():
        return course.plan(())
    outcome = _outcome(
        (condition.answer(scope) for condition in rule.conditions),
        (condition.answer(scope) for condition in rule.exceptions),
    )
    if outcome is Outcome.DOES_NOT_FIRE:
        return None
    course.matched(outcome)
    planned = course.plan(())
    nothing = planned.outcome is Outcome.DOES_NOT_FIRE and not planned.effects
    return None if nothing else planned


def _explained(rule: Rule, case: _Case) -> RulePlan:
    """The full way: every line of the rule with its answer."""
    scope = _in_zone(rule, case.scope)
    heads = list(_head_reasons(rule, case.event))
    course = _Course(rule, case, scope)
    if any(reason.answer is Answer.NO for reason in heads):
        course.outcome = Outcome.DOES_NOT_FIRE
        return course.plan(heads)
    if not course.asked_before():
        return course.plan([*heads, *course.reasons])
    conditions = [condition.judge(scope) for condition in rule.conditions]
    exceptions = [condition.judge(scope) for condition in rule.exceptions]
    course.matched(_outcome((v.answer for v in conditions), (v.answer for v in exceptions)))
    return course.plan(
        [
            *heads,
            *(reason for verdict in conditions for reason in _reasons(verdict, "if")),
            *_unless_reasons(rule.exceptions, exceptions),
            *_postponed_reasons(rule),
            *course.reasons,
        ]
    )


def _outcome(conditions: Iterator[Answer], exceptions: Iterator[Answer]) -> Outcome:
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
    return Outcome.COULD_NOT_TELL if unknown else Outcome.FIRES


def _watched(rule: Rule, case: _Case) -> Iterator[Effect]:
    """What an event changes for a rule that watches such events."""
    if rule.mode is Mode.OFF:
        return
    scope = _in_zone(rule, case.scope)
    for word in rule.timing:
        if case.event.type in word.watches:
            match = case.match(rule, word.word(), scope)
            if case.knows(word.watch_asks(match)):
                yield from word.watch(match)
    for spec in rule.actions:
        if case.event.type in spec.action.watches(spec.values):
            match = case.match(rule, f"{THEN}{spec.number}", scope)
            if case.knows(spec.action.watch_asks(spec.values, match)):
                yield from spec.action.watch(spec.values, match)


# an event of the schedule


def _of_schedule(event: Event, rulebook: Rulebook, memory: Memory, now: datetime) -> Plan:
    """What the one rule does, for which something fell due, always with its reasons."""
    said = event.payload[SCHEDULE]
    due = Due(said["word"], said["key"], datetime.fromisoformat(said["due_at"]))
    rule = rulebook.by_id.get(said["rule"])
    if rule is None or rule.mode is Mode.OFF:
        return Plan((), rulebook.hash)
    about = memory.origin or event
    if not any(word.place < 0 and word.word() == due.word for word in rule.timing):
        about = replace(about, payload={**about.payload, **(memory.newest or {})})
    case = _Case.about(about, event, rulebook, memory, now, due)
    return Plan((_gone_on(rule, case, due),), rulebook.hash, (), case.asked)


def _gone_on(rule: Rule, case: _Case, due: Due) -> RulePlan:
    course = _Course(rule, case, _in_zone(rule, case.scope))
    if due.word.startswith(THEN):
        course.act_again(int(due.word.removeprefix(THEN)))
        return course.plan(course.reasons)
    before = [word for word in rule.timing if word.place < 0 and word.word() == due.word]
    if before:
        return _explained(rule, case)
    reached = next((place for place, word in enumerate(rule.timing) if word.word() == due.word), None)
    if reached is None:
        course.stopped(due, "the rule has no such line any more")
    else:
        course.go_on(rule.timing[_collecting(rule.timing, reached) :])
    return course.plan(course.reasons)


def _collecting(words: Sequence[Timing], reached: int) -> int:
    """Where to go on: at the word that collects what a later one held, since that is told as it stands then."""
    return next((place for place in range(reached - 1, -1, -1) if words[place].collects), reached)


class _Course:
    """The way of one rule for one case once its lines are reached: what its time words and actions say, in order."""

    def __init__(self, rule: Rule, case: _Case, scope: Scope) -> None:
        self.rule = rule
        self.case = case
        self.scope = scope
        self.outcome = Outcome.DOES_NOT_FIRE
        self.reasons: list[Reason] = []
        self.suppressed = ""
        self._actions: tuple[PlannedAction, ...] = ()
        self._effects: list[Effect] = []
        self._regardless: list[Effect] = []
        self._told: list[Effect] = []
        self._until: datetime | None = None
        self._own: str | None = None

    def plan(self, reasons: Sequence[Reason]) -> RulePlan:
        """What has come out."""
        return RulePlan(
            self.rule.id,
            self.rule.name,
            self.rule.file,
            self.rule.mark.line,
            self.rule.mode,
            self.outcome,
            tuple(reasons),
            self._actions,
            (*self._effects, *self._regardless, *(self._told if self._acts else ())),
            self._until,
        )

    @property
    def _acts(self) -> bool:
        """Whether something goes out now."""
        return self.outcome is Outcome.FIRES and not self.suppressed

    def asked_before(self) -> bool:
        """Ask the words that come before the conditions; whether the rule may be judged now."""
        words = [word for word in self.rule.timing if word.place < 0]
        return not words or self._asked(words)

    def matched(self, outcome: Outcome) -> None:
        """The conditions have been judged."""
        self.outcome = outcome
        if outcome is Outcome.FIRES and self.rule.postponed:
            self.outcome = Outcome.HELD
        elif outcome is Outcome.FIRES:
            self.go_on([word for word in self.rule.timing if word.place >= 0])

    def go_on(self, words: Sequence[Timing]) -> None:
        """Ask the words from one on, and act if they all let it."""
        self.outcome = Outcome.FIRES
        if not words or self._asked(words):
            self._act(self.rule.actions)
        elif self.suppressed:
            self._act(self.rule.actions, effects=False)

    def act_again(self, number: int) -> None:
        """Act once more with one action, for which something fell due."""
        self.outcome = Outcome.FIRES
        self._act([spec for spec in self.rule.actions if spec.number == number])
        if not self._actions:
            self.outcome = Outcome.DOES_NOT_FIRE

    def stopped(self, due: Due, because: str) -> None:
        """What fell due leads nowhere."""
        self.outcome = Outcome.DOES_NOT_FIRE
        self.reasons.append(Reason(self.rule.mark.line, due.word, due.word, Answer.NO, (), because))

    def _asked(self, words: Sequence[Timing]) -> bool:
        """Ask words in turn; whether all of them let the rule go on."""
        matches = [self._match(word) for word in words]
        if not self.case.knows(
            ask for word, match in zip(words, matches, strict=True) for ask in word.asks(match)
        ):
            return False
        for word, match in zip(words, matches, strict=True):
            decision = word.decide(
                replace(match, scope=self.scope, own=match.own if self._own is None else self._own)
            )
            if decision.events is not None:
                self._own = match.due.key if match.due is not None else ""
            self._note(word, decision)
            if decision.answer != "send":
                return False
        return True

    def _match(self, word: Timing) -> Match:
        """The match as a word sees it; one that collects is due whenever its rule goes on after it."""
        match = self.case.match(self.rule, word.word(), self.scope)
        if word.collects and match.due is not None and self._goes_on_from(match.due, word):
            return replace(match, due=replace(match.due, word=word.word()))
        return match

    def _goes_on_from(self, due: Due, word: Timing) -> bool:
        places = {one.word(): one.place for one in self.rule.timing}
        return places.get(due.word, word.place - 1) > word.place

    def _note(self, word: Timing, decision: Decision) -> None:
        answer = Answer.YES if decision.answer == "send" else Answer.NO
        if decision.because:
            self.reasons.append(Reason(word.mark.line, word.word(), word.text, answer, (), decision.because))
        self._regardless += decision.regardless
        if decision.answer == "drop":
            self._effects.clear()
            self.outcome = decision.outcome
            self.suppressed = decision.because if decision.outcome is Outcome.HELD else ""
            return
        self._effects += decision.effects
        self._told += decision.told
        if decision.answer == "hold":
            self.outcome = Outcome.HELD
            self._until = decision.until
        if decision.events is not None:
            self.scope = self._collected(decision.events)
        if decision.footnote:
            self.scope = replace(self.scope, footnote=decision.footnote)

    def _collected(self, events: Sequence[Event]) -> Scope:
        """The scope with `events`, `count`, `first` and `last`, each event as rules see it."""
        seen = [root_of(event, self.case.rulebook, self.case.memory) for event in events]
        ends = {"first": seen[0], "last": seen[-1]} if seen else {"first": {}, "last": {}}
        return replace(self.scope, root={**self.scope.root, "events": seen, "count": len(seen), **ends})

    # actions

    def _act(self, specs: Sequence[ActionSpec], *, effects: bool = True) -> None:
        matches = [self.case.match(self.rule, f"{THEN}{spec.number}", self.scope) for spec in specs]
        if not self.case.knows(
            ask
            for spec, match in zip(specs, matches, strict=True)
            for ask in spec.action.asks(spec.values, match)
        ):
            return
        planned: list[PlannedAction] = []
        for spec, match in zip(specs, matches, strict=True):
            acted = spec.action.act(spec.values, match, self.case.rulebook.destinations)
            planned += self._planned(spec, acted)
            self._effects += acted.effects if effects else ()
            if acted.because:
                answer = Answer.YES if acted.rendered else Answer.NO
                self.reasons.append(Reason(spec.mark.line, "then", spec.word, answer, (), acted.because))
        self._actions = tuple(planned)

    def _planned(self, spec: ActionSpec, acted: Acted) -> Iterator[PlannedAction]:
        for place, one in enumerate(acted.rendered, start=1):
            key = _key(self.case.cause, self.rule, spec, str(place) if len(acted.rendered) > 1 else "")
            yield self._action(spec, one, key)

    def _action(self, spec: ActionSpec, one: Rendered, key: str) -> PlannedAction:
        holds = spec.action.on_gap_for(spec.values) == "hold"
        return PlannedAction(
            kind=spec.word,
            number=spec.number,
            line=spec.mark.line,
            to=one.to,
            request=one.request,
            gaps=one.gaps,
            idempotency_key=key,
            held=one.blocked or (bool(one.gaps) and holds),
            ordered=spec.action.ordered_for(spec.values),
            lane=spec.action.lane(one.request),
            suppressed=self.suppressed,
            parts=tuple(self._action(spec, part, f"{key}-{part.name}") for part in one.parts),
        )


def _key(event: Event, rule: Rule, spec: ActionSpec, part: str) -> str:
    """The stable name of a delivery: the event (its number, and its identity's start), rule and action."""
    key = f"{event.id}-{event.identity[:8]}-{rule.id}-{spec.number}"
    return f"{key}-{part}" if part else key


# reasons


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


def answered(
    make: Callable[[Memory], Plan], memory: Memory, answer: Callable[[Sequence[Ask]], Mapping[Ask, Any]]
) -> tuple[Plan, Memory]:
    """A plan made as often as it asks, each time with the answers; the plan, and the memory that it was made with."""
    planned = make(memory)
    while planned.asks:
        memory = replace(memory, answers={**memory.answers, **answer(planned.asks)})
        planned = make(memory)
    return planned, memory
