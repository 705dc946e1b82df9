"""The `tests:` of a rule file: read with their places, and run through the same plan() as everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.path import PathError, parse_path
from engine.language.problem import Mark, Problems
from engine.language.words import listing, nearest, normal_key, read_duration
from engine.model import Event, Memory, Outcome, Payload, RulePlan
from engine.rulebook.book import Rulebook
from engine.rulebook.planner import plan
from engine.rulebook.rule import Rule

if TYPE_CHECKING:
    from engine.rulebook.loader import Language

SETTINGS = ("name", "given", "with", "before", "then after", "expect", "expect text")
EXPECTED = (Outcome.FIRES, Outcome.DOES_NOT_FIRE, Outcome.COULD_NOT_TELL)


@dataclass(frozen=True, slots=True)
class Step:
    """Time that passes in a test, and the event that comes then, if one does."""

    after: timedelta
    event: str = ""


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test of a rule: the event it is given, what is expected of the rule, and of its messages."""

    name: str
    mark: Mark
    given: str
    payload: Payload
    before: Payload | None
    steps: tuple[Step, ...]
    expect: Outcome
    contains: tuple[str, ...] = ()


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
    if not isinstance(rule.tests, SequenceNode):
        problems.error(rule.tests.mark, "tests takes a list, each test after a dash", "tests:\n  - name: …")
        return ()
    reader = _Reader(rule, language, problems)
    found = (reader.test(number, item) for number, item in enumerate(rule.tests, start=1))
    return tuple(test for test in found if test is not None)


def run_test(test: RuleTest, rule: Rule, book: Rulebook, source: str, now: datetime) -> Result:
    """Run one test at a moment; the time words it needs may not be there yet, which is said."""
    if rule.postponed:
        words = listing([f"`{word.word}`" for word in rule.postponed])
        return Result(test, None, f"{words} cannot be tried in this version yet")
    event = Event("sample", source, test.given, rule.id, test.payload, now)
    planned = next(
        one for one in plan(event, book, Memory(before=test.before), now, explain=True).rules if one.id == rule.id
    )
    return _result(test, planned)


def _result(test: RuleTest, planned: RulePlan) -> Result:
    if planned.outcome is not test.expect:
        return Result(test, False, f"the rule {_says(planned.outcome)}; expected was: {test.expect.value}", planned)
    text = "\n".join(_texts([action.request for action in planned.actions]))
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
            self.problems.error(node.mark, "a test has lines of its own", "- given: order_completed\n  expect: fires")
            return None
        found, steps = self._settings(node)
        given = self._given(found.get("given"), node.mark)
        expect = self._expect(found.get("expect"), node.mark)
        if given is None or expect is None:
            return None
        sample = self.language.event_types[given].sample
        payload = self._changed(sample, found.get("with"))
        before = self._changed(sample, found["before"]) if "before" in found else None
        name = self._text(found.get("name")) or f"test {number}"
        return RuleTest(name, node.mark, given, payload, before, steps, expect, self._contains(found.get("expect text")))

    def _settings(self, node: MappingNode) -> tuple[dict[str, Entry], tuple[Step, ...]]:
        found: dict[str, Entry] = {}
        steps: list[Step] = []
        for entry in node:
            key = normal_key(entry.key.text)
            if key.startswith("then after"):
                steps += self._step(key.removeprefix("then after").strip(), entry)
            elif key in SETTINGS:
                found[key] = entry
            else:
                near = next(iter(nearest(key, SETTINGS)), None)
                mean = f" Did you mean `{near}`?" if near else f" A test has {listing(SETTINGS)}"
                message = f'a test has no setting called "{entry.key.text}".{mean}'
                self.problems.error(entry.key.mark, message, f"{near}:" if near else "")
        return found, tuple(steps)

    def _step(self, written: str, entry: Entry) -> Iterator[Step]:
        value = entry.value.text if isinstance(entry.value, ScalarNode) else ""
        length = read_duration(written or value)
        if length is None:
            message = f'"{written or value}" is not a length of time'
            self.problems.error(entry.value.mark, message, "then after: 48 hours")
        elif written and value not in self.language.event_types:
            self.problems.error(entry.value.mark, f"the OMS has no event {value}", self._near_event(value))
        else:
            yield Step(length, value if written else "")

    def _given(self, entry: Entry | None, mark: Mark) -> str | None:
        if entry is None:
            self.problems.error(mark, "the test is given no event: `given` is missing", "given: order_completed")
            return None
        text = self._text(entry)
        if text in self.language.event_types:
            return text
        near = self._near_event(text)
        mean = f" Did you mean `{near}`?" if near else ""
        message = f"the OMS has no event {text}.{mean} Known events: {listing(self.language.event_types)}"
        self.problems.error(entry.value.mark, message, f"given: {near}" if near else "")
        return None

    def _near_event(self, text: str) -> str:
        return next(iter(nearest(text, self.language.event_types)), "")

    def _expect(self, entry: Entry | None, mark: Mark) -> Outcome | None:
        if entry is None:
            self.problems.error(mark, "the test expects nothing: `expect` is missing", "expect: fires")
            return None
        text = normal_key(self._text(entry))
        for outcome in EXPECTED:
            if text == outcome.value:
                return outcome
        near = next(iter(nearest(text, [one.value for one in EXPECTED])), "fires")
        message = f'"{self._text(entry)}" is not an answer of a rule: fires, does not fire, could not tell'
        self.problems.error(entry.value.mark, message, f"expect: {near}")
        return None

    def _contains(self, entry: Entry | None) -> tuple[str, ...]:
        if entry is None:
            return ()
        nodes = entry.value.items if isinstance(entry.value, SequenceNode) else (entry.value,)
        texts = []
        for node in nodes:
            text = node.text.strip() if isinstance(node, ScalarNode) else ""
            word, _, rest = text.partition(" ")
            if normal_key(word) != "contains" or not rest.strip():
                self.problems.error(node.mark, "expect text takes contains and some words", "expect text: contains $250.00")
                continue
            texts.append(rest.strip())
        return tuple(texts)

    def _text(self, entry: Entry | None) -> str:
        return entry.value.text.strip() if entry is not None and isinstance(entry.value, ScalarNode) else ""

    # payloads

    def _changed(self, sample: Payload, entry: Entry | None) -> Payload:
        if entry is None:
            return sample
        if not isinstance(entry.value, MappingNode):
            message = f"{entry.key.text} takes fields with their values"
            self.problems.error(entry.value.mark, message, "with: {order.total: \"250.00\"}")
            return sample
        for change in entry.value:
            sample = self._with(sample, change)
        return sample

    def _with(self, payload: Payload, change: Entry) -> Payload:
        try:
            steps = parse_path(change.key.text).steps
        except PathError as fault:
            self.problems.error(change.key.mark, f"{change.key.text}: {fault}")
            return payload
        try:
            return replaced(payload, steps or (), lambda old: _value(change.value, old))  # type: ignore[no-any-return]
        except LookupError:
            message = f"{change.key.text} leads nowhere in the sample of this event"
            self.problems.error(change.key.mark, message)
            return payload


def replaced(node: Any, steps: tuple[Any, ...], change: Any) -> Any:
    """A copy of plain JSON with one place changed by a function of its old value. Raises `LookupError` off the map."""
    if not steps:
        return change(node)
    step, rest = steps[0], steps[1:]
    if isinstance(step, str) and isinstance(node, Mapping):
        return {**node, step: replaced(node.get(step, {} if rest else None), rest, change)}
    if isinstance(node, list) and isinstance(step, int):
        items = list(node)
        items[step] = replaced(items[step], rest, change)
        return items
    if isinstance(node, list) and not isinstance(step, str):
        return [replaced(item, rest, change) for item in node]
    raise LookupError(step)


def _value(node: Node, old: Any) -> Any:
    """A written value as JSON: typed like the value it replaces where that is possible, else as it is written."""
    if isinstance(node, SequenceNode):
        return [_value(item, None) for item in node]
    if isinstance(node, MappingNode):
        kept = old if isinstance(old, Mapping) else {}
        return {entry.key.text: _value(entry.value, kept.get(entry.key.text)) for entry in node}
    if node.style != "plain":
        return node.text
    if node.empty:
        return None
    if node.truth is not None and (isinstance(old, bool) or node.text in ("true", "false")):
        return node.truth
    return node.text if isinstance(old, str) else _number(node.text)


def _number(text: str) -> Any:
    digits = text.removeprefix("-").replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()) or text.startswith(("0", "-0")) and len(digits) > 1 and "." not in text:
        return text
    return Decimal(text) if "." in text else int(text)
