"""The `tests:` of a rule file: read with their places, and run through the same plan() as everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from engine.language.change import replaced
from engine.language.moment import read_moment
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.path import PathError, parse_path
from engine.language.plain import cut, one_line
from engine.language.problem import Mark, Problems
from engine.language.words import listing, nearest, normal_key, read_duration
from engine.model import Outcome, Payload, RulePlan
from engine.rulebook.book import Rulebook
from engine.rulebook.rule import Rule
from engine.rulebook.samples import beside, event_of
from engine.rulebook.shapes import field_path
from engine.rulebook.timeline import Moment, Timeline
from engine.rulebook.vocabulary import Language
from engine.sources.base import FieldInfo

SETTINGS: Final[Mapping[str, str]] = {
    "name": "What the test shows, in a few words.",
    "given": "The event that the rule gets: the sample of this type.",
    "with": "Fields of the sample that are otherwise in this test.",
    "before": "Fields as they were in the last event of the same object, for `changed to` and its like.",
    "at": "The moment at which the event arrives, such as 2026-12-24 18:00; left out, when its object last changed.",
    "then after": "Time that passes, such as 48 hours; `then after 20 hours: shipment_shipped` lets an event come then.",
    "expect": "What the rule must say in the whole time: fires, does not fire, could not tell, or held.",
    "expect text": "Words that one of the messages must hold: contains $250.00. Several as a list.",
}
"""The settings of a test, each with a sentence of help."""

EXPECTED: Final = (Outcome.FIRES, Outcome.DOES_NOT_FIRE, Outcome.COULD_NOT_TELL, Outcome.HELD)


@dataclass(frozen=True, slots=True)
class Step:
    """Time that passes in a test, and the event that comes then, if one does."""

    after: timedelta
    event: str = ""


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test of a rule: the event it is given, what is expected of the rule, and of its messages.

    `at` is the moment as its author wrote it, "" for the sample's own.
    """

    name: str
    mark: Mark
    given: str
    payload: Payload
    before: Payload | None
    steps: tuple[Step, ...]
    expect: Outcome
    contains: tuple[str, ...] = ()
    at: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went: `passed` is None for one that this version cannot run; `because` says why in words."""

    test: RuleTest
    passed: bool | None
    because: str
    plan: RulePlan | None = None


def read_tests(rule: Rule, language: Language, problems: Problems) -> tuple[RuleTest, ...]:
    """The tests of a rule, and every fault in them."""
    if rule.tests is None:
        return ()
    if not isinstance(rule.tests, SequenceNode) or not rule.tests.items:
        message = "tests takes a list, each test after a dash"
        problems.error(rule.tests.mark, message, "tests:\n  - given: order_completed\n    expect: fires")
        return ()
    reader = _Reader(rule, language, problems)
    found = (reader.test(number, item) for number, item in enumerate(rule.tests, start=1))
    return tuple(test for test in found if test is not None)


def run_test(test: RuleTest, rule: Rule, book: Rulebook, source: str, now: datetime) -> Result:
    """Run one test; `now` counts only where neither the test nor its event says when it happens.

    The clock is moved through the steps of the test. The rule fires if it acts at any time in it.
    """
    if rule.postponed:
        words = listing([f"`{word.word}`" for word in rule.postponed])
        return Result(test, None, f"{words} cannot be tried in this version yet")
    sender = book.sources[source]
    event = event_of(test.payload, test.given, source, sender, now)
    zone = rule.timezone or book.shop.timezone
    moment = read_moment(test.at, zone) or event.received_at
    alone = replace(book, rules=(rule,), problems=())
    timeline = Timeline(alone, explain=True, aside=lambda one: beside(one, sender))
    timeline.start(moment)
    plans = [_plan_of(timeline.happen(event, beside(event, sender, test.before), moment))]
    for number, step in enumerate(test.steps, start=2):
        moment += step.after
        plans += [_plan_of(one) for one in timeline.pass_to(moment)]
        if step.event:
            later = event_of(sender.event_types[step.event].sample, step.event, source, sender, moment)
            happened = timeline.happen(replace(later, id=f"sample-{number}", received_at=moment))
            plans += [_plan_of(happened)] if step.event in rule.events else []
    return _result(test, [one for one in plans if one is not None], timeline.waits)


def _plan_of(moment: Moment) -> RulePlan | None:
    return next(iter(moment.plan.rules), None)


def _result(test: RuleTest, plans: Sequence[RulePlan], waits: bool) -> Result:
    """What came of it in the whole time: it acted, or could not tell, or how it stands in the end."""
    telling = (Outcome.FIRES, Outcome.COULD_NOT_TELL)
    planned = next((one for wanted in telling for one in plans if one.outcome is wanted), plans[-1])
    if planned.outcome is Outcome.HELD and planned.waits_until is not None and not waits:
        planned = replace(planned, outcome=Outcome.DOES_NOT_FIRE)  # what it waited for came
    if planned.outcome is not test.expect:
        told = f"the rule {_says(planned.outcome)}; expected was: {test.expect.value}"
        if planned.outcome is Outcome.HELD and planned.waits_until is not None:
            told = f"{told}. Let time pass: `then after: 48 hours`"
        return Result(test, False, told, planned)
    acted = (one for one in plans if one.outcome is planned.outcome)
    text = "\n".join(_texts([action.request for one in acted for action in one.actions]))
    for wanted in test.contains:
        if wanted.casefold() not in text.casefold():
            return Result(test, False, f'no message contains "{wanted}"', planned)
    return Result(test, True, f"the rule {_says(planned.outcome)}", planned)


def _says(outcome: Outcome) -> str:
    return {Outcome.HELD: "is held"}.get(outcome, outcome.value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


class _Reader:
    """Reads the tests of one rule."""

    def __init__(self, rule: Rule, language: Language, problems: Problems) -> None:
        self.rule = rule
        self.language = language
        self.problems = problems

    def test(self, number: int, node: Node) -> RuleTest | None:
        if not isinstance(node, MappingNode):
            message = "a test has lines of its own"
            self.problems.error(node.mark, message, "- given: order_completed\n  expect: fires")
            return None
        found, steps = self._settings(node)
        given = self._given(found.get("given"), node.mark)
        expect = self._expect(found.get("expect"), node.mark)
        contains = self._contains(found.get("expect text"), expect)
        at = self._at(found.get("at"))
        name = self._text(found.get("name")) or f"test {number}"
        if given is None or expect is None:
            return None
        payload = self._changed(given, found.get("with"))
        before = self._changed(given, found["before"]) if "before" in found else None
        return RuleTest(name, node.mark, given, payload, before, steps, expect, contains, at)

    def _settings(self, node: MappingNode) -> tuple[dict[str, Entry], tuple[Step, ...]]:
        found: dict[str, Entry] = {}
        steps: list[Step] = []
        for entry in node:
            key = normal_key(entry.key.text)
            if key == "then after" or key.startswith("then after "):
                steps += self._step(key.removeprefix("then after").strip(), entry)
            elif key in SETTINGS:
                found[key] = entry
            else:
                meant = self._unknown(entry, key)
                found.setdefault(meant or key, entry)
        return found, tuple(steps)

    def _unknown(self, entry: Entry, key: str) -> str | None:
        """Note a setting that is not there; the one that was probably meant."""
        near = next(iter(nearest(key, SETTINGS)), None)
        mean = f" Did you mean `{near}`?" if near else f" A test has {listing(SETTINGS)}"
        message = f'a test has no setting called "{cut(one_line(entry.key.text), 60)}".{mean}'
        self.problems.error(entry.key.mark, message, f"{near}:" if near else "")
        return near

    def _step(self, written: str, entry: Entry) -> Iterator[Step]:
        value = entry.value.text.strip() if isinstance(entry.value, ScalarNode) else ""
        length = read_duration(written or value)
        event = self._event_name(value) if written else ""
        if length is None:
            message = f'"{written or value}" is not a length of time'
            self.problems.error(entry.value.mark, message, "then after: 48 hours")
        elif event is None:
            self._unknown_event(value, entry.value.mark, f"then after {written}: ")
        else:
            yield Step(length, event)

    # what is given

    def _given(self, entry: Entry | None, mark: Mark) -> str | None:
        if entry is None:
            example = f"given: {next(iter(sorted(self.rule.events)), 'order_completed')}"
            self.problems.error(mark, "the test is given no event: `given` is missing", example)
            return None
        event = self._event_name(self._text(entry))
        if event is None:
            self._unknown_event(self._text(entry), entry.value.mark, "given: ")
        return event

    def _event_name(self, text: str) -> str | None:
        name = normal_key(text).replace(" ", "_")
        return name if name in self.language.event_types else None

    def _unknown_event(self, text: str, mark: Mark, lead: str) -> None:
        known = self.language.event_types
        near = self.language.renamed.get(text) or next(iter(nearest(text, known)), None)
        mean = f" Did you mean `{near}`?" if near else ""
        message = f"the OMS has no event {cut(one_line(text), 60)}.{mean} Known events: {listing(known)}"
        self.problems.error(mark, message, f"{lead}{near}" if near else "")

    def _at(self, entry: Entry | None) -> str:
        text = self._text(entry)
        if entry is not None and read_moment(text, self.language.shop.timezone) is None:
            message = f'"{cut(one_line(text), 60)}" cannot be read as a day or time'
            self.problems.error(entry.value.mark, message, "at: 2026-12-24 18:00")
            return ""
        return text

    # what is expected

    def _expect(self, entry: Entry | None, mark: Mark) -> Outcome | None:
        if entry is None:
            self.problems.error(mark, "the test expects nothing: `expect` is missing", "expect: fires")
            return None
        text = normal_key(self._text(entry))
        for outcome in EXPECTED:
            if text == outcome.value:
                return outcome
        near = next(iter(nearest(text, [one.value for one in EXPECTED])), "fires")
        message = f'"{cut(one_line(self._text(entry)), 60)}" is no answer of a rule. Write fires, does not fire or could not tell'
        self.problems.error(entry.value.mark, message, f"expect: {near}")
        return None

    def _contains(self, entry: Entry | None, expect: Outcome | None) -> tuple[str, ...]:
        if entry is None:
            return ()
        if expect not in (None, Outcome.FIRES):
            message = "a rule that does not fire sends no message, so its text cannot be looked at"
            self.problems.error(entry.key.mark, message, "expect: fires")
        nodes = entry.value.items if isinstance(entry.value, SequenceNode) else (entry.value,)
        return tuple(text for node in nodes if (text := self._contained(node)))

    def _contained(self, node: Node) -> str:
        text = node.text.strip() if isinstance(node, ScalarNode) else ""
        word, _, rest = text.partition(" ")
        if normal_key(word) == "contains" and rest.strip():
            return _without_quotes(rest.strip())
        example = f"expect text: contains {cut(one_line(text), 60) or '$250.00'}"
        self.problems.error(node.mark, "expect text takes `contains` and some words", example)
        return ""

    def _text(self, entry: Entry | None) -> str:
        return entry.value.text.strip() if entry is not None and isinstance(entry.value, ScalarNode) else ""

    # payloads

    def _changed(self, event: str, entry: Entry | None) -> Payload:
        payload: Payload = self.language.event_types[event].sample
        if entry is None or (isinstance(entry.value, ScalarNode) and entry.value.empty):
            return payload
        if not isinstance(entry.value, MappingNode):
            message = f"{entry.key.text} takes fields with their values"
            self.problems.error(entry.value.mark, message, f'{entry.key.text}: {{order.total: "250.00"}}')
            return payload
        for change in entry.value:
            payload = self._with(payload, event, change)
        return payload

    def _with(self, payload: Payload, event: str, change: Entry) -> Payload:
        try:
            steps = parse_path(change.key.text).steps
        except PathError as fault:
            self.problems.error(change.key.mark, fault.message, fault.hint)
            return payload
        path = field_path(steps or ())
        fields = self.language.event_types[event].fields
        if steps is None or not _leads_somewhere(path, fields):
            self._unknown_field(change, event, path, fields)
            return payload
        value = _value(change.value, path, fields)
        try:
            return replaced(payload, steps, lambda _: value)  # type: ignore[no-any-return]
        except LookupError:
            message = f"{change.key.text} leads nowhere in the sample of {event}"
            self.problems.error(change.key.mark, message)
            return payload

    def _unknown_field(self, change: Entry, event: str, path: str, fields: Mapping[str, FieldInfo]) -> None:
        near = next(iter(nearest(path, fields)), None) if path else None
        mean = f" Did you mean `{near}`?" if near else ""
        message = f"{event} events have no field {cut(one_line(change.key.text), 60)}.{mean}"
        self.problems.error(change.key.mark, message, near or "")


def _without_quotes(text: str) -> str:
    quoted = len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]
    return text[1:-1] if quoted else text


def _leads_somewhere(path: str, fields: Mapping[str, FieldInfo]) -> bool:
    """Whether it is a field, or one of a list whose `[*]` was left out."""
    flat = path.replace("[*]", "")
    return path in fields or any(known.replace("[*]", "") == flat for known in fields)


def _value(node: Node, path: str, fields: Mapping[str, FieldInfo]) -> Any:
    """A written value as the sender would send it: of its field's kind where it can be read so, else as written."""
    if isinstance(node, SequenceNode):
        return [_value(item, f"{path}[*]", fields) for item in node]
    if isinstance(node, MappingNode):
        return {entry.key.text: _value(entry.value, f"{path}.{entry.key.text}", fields) for entry in node}
    if node.style != "plain":
        return node.text
    if node.empty:
        return None
    info = fields.get(path)
    if info is not None and info.kind in ("text", "amount", "time"):
        return node.text
    if node.truth is not None and (info is None or info.kind == "truth"):
        return node.truth
    return _number(node.text)


def _number(text: str) -> Any:
    """Digits as a number, anything else (also `007`) as the text it is."""
    digits = text.removeprefix("-")
    whole, point, rest = digits.partition(".")
    if not (digits.isascii() and (whole + rest).isdigit() and whole) or (point and not rest):
        return text
    if whole.startswith("0") and whole != "0":
        return text
    return Decimal(text) if point else int(text)
