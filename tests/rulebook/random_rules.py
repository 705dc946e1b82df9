"""Random rules as a shop's person might write them, random events, and the slips people make; and a long run of them.

    python tests/rulebook/random_rules.py --count 10000 --seed 7

Every rule must be read without a fault; every slip must be told on its line, in words without a programmer's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st

from engine import actions, sources
from engine.language.change import replaced
from engine.language.path import parse_path
from engine.language.problem import Problem
from engine.model import Event, Memory, Payload
from engine.rulebook.loader import Loader
from engine.rulebook.reading import read_rule
from engine.rulebook.vocabulary import Language
from engine.sources.base import FieldInfo
from engine.sources.chord.catalogue import EVENT_TYPES

UGLY = re.compile(
    r"\b(None|NoneType|Traceback|\w+Error|Exception|mapping|scalar|unhashable|dict|tuple|str|int|float|Decimal"
    r"|bool|jinja\w*|yaml\.\w+|re2|regex error|token|parser|undefined|Undefined|Node|object at)\b|<class|0x[0-9a-f]{6}"
)
"""What no person should be shown."""

NOW = datetime(2021, 10, 5, 15, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """A line of a rule file; `kind` says what stands on it, `about` which word of the language or field."""

    text: str
    kind: str = ""
    about: str = ""


@dataclass(frozen=True)
class RandomRule:
    """A rule file as lines, and the type of event that it listens to."""

    event: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The file."""
        return "".join(f"{line.text}\n" for line in self.lines)

    def places(self, kind: str) -> list[int]:
        """The lines, from 0, of a kind."""
        return [place for place, line in enumerate(self.lines) if line.kind == kind]


@dataclass(frozen=True)
class Slip:
    """A rule with one slip in it: what was done, and the line, from 1, on which it must be told."""

    name: str
    text: str
    line: int


# fields and values

WORDS = (
    "USD",
    "chord",
    "wholesale",
    "New York",
    "product-3",
    "app",
    "Mug, blue",
    "it's",
    "50% off",
    "Zürich",
    "東京",
    "a: b",
)
_words = st.sampled_from(WORDS)
_amounts = st.sampled_from(("0", "5", "10.63", "200", "1,234.50", "99.99"))
_counts = st.integers(0, 20).map(str)


def quoted(text: str) -> str:
    """A text as YAML, in quotes unless it is one plain word."""
    return text if re.fullmatch(r"[A-Za-z][\w.-]*", text) else json.dumps(text, ensure_ascii=False)


def fields(event: str, *kinds: str) -> list[FieldInfo]:
    """The plain fields of an event type that are of these kinds."""
    found = EVENT_TYPES[event].fields.values()
    return [
        info for info in found if info.kind in kinds and not info.path.endswith("[*]") and "." in info.path
    ]


@st.composite
def comparisons(draw: Any, info: FieldInfo, alone: bool) -> str:
    """What may stand after a field, as YAML; `alone` where it is not about items of a list."""
    return str(draw(_COMPARED[info.kind](info)))


def _text(info: FieldInfo) -> st.SearchStrategy[str]:
    value = st.sampled_from(info.values) if info.values else _words
    known = value.map(quoted)
    plain = value.filter(lambda text: re.fullmatch(r"[\w.-]+", text))
    worded = st.sampled_from(
        ("is not", "contains", "starts with", "ends with", "exactly", "does not contain")
    )
    return st.one_of(
        known,
        st.lists(known, min_size=1, max_size=3, unique=True).map(lambda some: f"[{', '.join(some)}]"),
        st.builds("{} {}".format, worded, plain),
        st.builds("{{{}: {}}}".format, st.sampled_from(("contains", "is", "is not")), known),
        st.sampled_from(("present", "missing", "exists", "is null", "matches a*", "matches regex ^[A-Z]+$")),
    )


def _amount(info: FieldInfo) -> st.SearchStrategy[str]:
    worded = st.sampled_from(("at least", "more than", "at most", "less than"))
    return st.one_of(
        st.builds("{} {} USD".format, worded, _amounts),
        st.builds("{} {}".format, worded, _amounts),
        st.builds('">= {}"'.format, _amounts),
        st.just("between 10 and 200.50 USD"),
        st.just("{more than: 0, at most: 500}"),
        st.sampled_from(("present", "missing", "10.63", "is not 10.63")),
    )


def _number(info: FieldInfo) -> st.SearchStrategy[str]:
    worded = st.sampled_from(("at least", "more than", "at most", "less than", "is not"))
    return st.one_of(
        _counts,
        st.builds("{} {}".format, worded, _counts),
        st.just("{more than: 0, at most: 5}"),
        st.just("present"),
    )


def _truth(info: FieldInfo) -> st.SearchStrategy[str]:
    return st.sampled_from(("yes", "no", "true", "false", "is not yes", "present"))


def _time(info: FieldInfo) -> st.SearchStrategy[str]:
    return st.sampled_from(
        ("within last 2 hours", "older than 48 hours", "before 2026-12-24", "after 2021-10-05 12:00", "on a weekend",
         "on a weekday", "2021-10-05", "present", "missing")
    )  # fmt: skip


_COMPARED: dict[str, Callable[[FieldInfo], st.SearchStrategy[str]]] = {
    "text": _text, "amount": _amount, "number": _number, "truth": _truth, "time": _time,
}  # fmt: skip


# conditions


@st.composite
def condition(draw: Any, event: str, indent: str, depth: int = 0) -> list[Line]:
    """One condition as its lines."""
    form = draw(st.sampled_from(("field",) * 6 + ("group", "items", "count", "path", "formula", "change")))
    if form == "group" and depth < 2:
        word = draw(st.sampled_from(("any", "all", "not")))
        inner = [draw(condition(event, f"{indent}    ", depth + 1)) for _ in range(draw(st.integers(1, 2)))]
        return [Line(f"{indent}{word}:", "group"), *(line for one in inner for line in _item(one, indent))]
    if form in ("items", "path") and event.startswith("order"):
        return draw(_items(indent) if form == "items" else _json_path(indent))  # type: ignore[no-any-return]
    if form == "count" and event.startswith("order"):
        return [
            Line(f"{indent}count of order.line_items: at least {draw(_counts)}", "count", "order.line_items")
        ]
    if form == "formula":
        object = EVENT_TYPES[event].object
        return [Line(f'{indent}formula: "{object}.id > 0"', "formula", f"{object}.id")]
    if form == "change":
        info = draw(st.sampled_from([one for one in fields(event, "text") if "[*]" not in one.path]))
        said = draw(st.sampled_from(("changed", f"changed to {quoted((info.values or ('x',))[0])}")))
        return [Line(f"{indent}{info.path}: {said}", "condition", info.path)]
    info = draw(st.sampled_from(fields(event, *_COMPARED)))
    path = draw(st.sampled_from(_spellings(info.path)))
    return [Line(f"{indent}{path}: {draw(comparisons(info, True))}", "condition", path)]


def _item(lines: list[Line], indent: str) -> list[Line]:
    """The lines as an item of a list."""
    first, *rest = lines
    return [
        Line(f"{indent}  - {first.text.strip()}", first.kind and f"{first.kind} item", first.about),
        *rest,
    ]


def _spellings(path: str) -> list[str]:
    return [path] if "[*]" not in path else [path, path.replace("[*]", "[0]"), path.replace("[*]", "")]


@st.composite
def _items(draw: Any, indent: str) -> list[Line]:
    word = draw(st.sampled_from(("any of", "every one of", "none of")))
    quantity = draw(_counts)
    return [
        Line(f"{indent}{word} order.line_items:", "group"),
        Line(f"{indent}  quantity: at least {quantity}", "inner", "quantity"),
        Line(f"{indent}  sku: starts with product", "inner", "sku"),
    ]


@st.composite
def _json_path(draw: Any, indent: str) -> list[Line]:
    path = draw(
        st.sampled_from(
            (
                "$.order.line_items[?(@.quantity >= 2)].sku",
                "$.order.total",
                "$..sku",
                "$.order['email']",
                "$.order.payments[0].state",
            )
        )
    )
    return [Line(f"{indent}{path}: present", "json path", path)]


def _unique(lines: list[list[Line]]) -> list[Line]:
    """The conditions without those whose key is there already."""
    kept: dict[str, list[Line]] = {}
    for one in lines:
        kept.setdefault(one[0].text.partition(": ")[0].rstrip(":"), one)
    return [line for one in kept.values() for line in one]


# messages


@st.composite
def _printed(draw: Any, event: str) -> Line:
    """A line of a message, with a field in it."""
    info = draw(st.sampled_from([one for one in fields(event, *_COMPARED) if "[*]" not in one.path]))
    filters = {"amount": " | money", "time": " | day"}.get(info.kind, "")
    form = draw(
        st.sampled_from(("{{{{ {0} or 'none' }}}}", "{{{{ {0}{1} }}}}", "{{% if {0} %}}there{{% endif %}}"))
    )
    lead = draw(st.sampled_from(("Hello", ":bell: *new*", "Größe", "an item - and one: more")))
    return Line(f"{lead} {form.format(info.path, filters)}", "message", info.path)


@st.composite
def _actions(draw: Any, event: str) -> list[Line]:
    lines = [Line("then:", "setting", "then")]
    for kind in draw(
        st.lists(st.sampled_from(("slack", "slack block", "email", "http")), min_size=1, max_size=2)
    ):
        lines += draw(_ACTIONS[kind](event))
    return lines


@st.composite
def _slack(draw: Any, event: str) -> list[Line]:
    printed = draw(_printed(event))
    return [
        Line("  - slack:", "action", "slack"),
        Line("      channel: big-orders", "action setting", "channel"),
        Line(f'      text: "{printed.text}"', "quoted message", printed.about),
    ]


@st.composite
def _slack_block(draw: Any, event: str) -> list[Line]:
    printed = draw(st.lists(_printed(event), min_size=1, max_size=3))
    return [
        Line("  - slack:", "action", "slack"),
        Line("      channel: big-orders", "action setting", "channel"),
        Line("      text: |", "block"),
        *(Line(f"        {one.text}", "message", one.about) for one in printed),
    ]


@st.composite
def _email(draw: Any, event: str) -> list[Line]:
    printed = draw(_printed(event))
    return [
        Line("  - email:", "action", "email"),
        Line("      to: ops@shop.example", "action setting", "to"),
        Line(f'      subject: "{printed.text}"', "quoted message", printed.about),
        Line("      text: hello", "action setting", "text"),
    ]


@st.composite
def _http(draw: Any, event: str) -> list[Line]:
    printed = draw(_printed(event))
    return [
        Line("  - http:", "action", "http"),
        Line("      post: https://erp.example.com/events", "action setting", "post"),
        Line("      json:", "block"),
        Line(f'        told: "{printed.text}"', "quoted message", printed.about),
    ]


_ACTIONS = {"slack": _slack, "slack block": _slack_block, "email": _email, "http": _http}


# rules


@st.composite
def rules(draw: Any) -> RandomRule:
    """A rule that must be read without a fault."""
    event = draw(st.sampled_from(sorted(EVENT_TYPES)))
    lines = [Line(f"name: {draw(st.sampled_from(('Big order', 'VIP', '50 % off')))}", "setting", "name")]
    lines += [Line(text, "setting", text.partition(":")[0]) for text in draw(_settings())]
    lines += [Line(f"when: {event}", "setting", "when")]
    for word in draw(st.sampled_from((("if",), ("if", "unless"), ("unless",), ()))):
        found = [draw(condition(event, "  ")) for _ in range(draw(st.integers(1, 3)))]
        lines += [Line(f"{word}:", "setting", word), *_unique(found)]
    lines += draw(_actions(event))
    if draw(st.booleans()):
        expected = draw(st.sampled_from(("fires", "does not fire", "could not tell")))
        lines += [
            Line("tests:", "setting", "tests"),
            Line("  - name: a test", "test setting", "name"),
            Line(f"    given: {event}", "test setting", "given"),
            Line(f"    expect: {expected}", "test setting", "expect"),
        ]
    return RandomRule(event, tuple(lines))


@st.composite
def _settings(draw: Any) -> list[str]:
    possible = (
        "why: Finance wants to know.",
        "mode: test",
        "timezone: Europe/Paris",
        "late events: yes",
        "limit: 1 per day",
    )
    return [one for one in possible if draw(st.integers(0, 3)) == 0]


# events

_ODD = st.sampled_from(
    (None, "", " ", "N/A", "10.63", "$250.00", "10,63", "007", 0, 3, -1, 10**30, Decimal("0.1"), True, False, [], {},
     [1, "a"], {"a": 1}, "complete", "New York", "2021-10-05T10:44:38", "2026-13-45", "mug|plate", "<!channel>", "ß")
)  # fmt: skip


def odd_payload(draw: Any, event: str) -> Payload:
    """The sample of an event type with a few fields changed to anything."""
    payload: Payload = EVENT_TYPES[event].sample
    for info in draw(st.lists(st.sampled_from(list(EVENT_TYPES[event].fields.values())), max_size=4)):
        value = draw(_ODD)
        try:
            payload = replaced(payload, parse_path(info.path).steps or (), lambda _, value=value: value)
        except LookupError:  # an earlier change took the place away
            continue
    return payload


@st.composite
def events(draw: Any, language: Language) -> tuple[Event, Memory]:
    """An event of some type with odd values, and what is known of the past."""
    event_type = draw(st.sampled_from(sorted(EVENT_TYPES)))
    payload = odd_payload(draw, event_type)
    before = odd_payload(draw, event_type) if draw(st.booleans()) else None
    order = odd_payload(draw, "order_completed") if draw(st.booleans()) else None
    late = draw(st.integers(0, 5)) == 0
    event = Event("7", "chord", event_type, "order:1", payload, NOW, "0123456789abcdef", late=late)
    return event, Memory(before, order)


# slips


def _misspelt(draw: Any, word: str) -> str:
    """The word with two letters swapped, one left out, or one doubled."""
    place = draw(st.integers(0, len(word) - 2))
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    found = (swapped, word[:place] + word[place + 1 :], word[: place + 1] + word[place:])
    return str(draw(st.sampled_from([one for one in found if one != word] or [word + "x"])))


Make = Callable[[Any, RandomRule, int], "str | None"]


@dataclass(frozen=True)
class _Kind:
    """A slip that can be made on lines of a kind: gives the line instead, or None where it cannot be made there."""

    name: str
    on: str
    make: Make


def _replace(line: Line, old: str, new: str) -> str:
    head, found, tail = line.text.rpartition(old)
    return f"{head}{new}{tail}" if found else line.text


def _setting_misspelt(draw: Any, rule: RandomRule, place: int) -> str | None:
    line = rule.lines[place]
    wrong = _misspelt(draw, line.about)
    return line.text.replace(line.about, wrong, 1) if wrong.strip() == wrong else None


def _event_misspelt(draw: Any, rule: RandomRule, place: int) -> str | None:
    wrong = _misspelt(draw, rule.event)
    if rule.lines[place].about != "when" or re.sub("[_-]+", "_", wrong) in EVENT_TYPES:
        return None
    return f"when: {wrong}"


def _is_field(event: str, path: str) -> bool:
    flat = re.sub(r"\[[*0-9]*\]", "", path)
    return any(known.replace("[*]", "") == flat for known in EVENT_TYPES[event].fields)


def _field_misspelt(draw: Any, rule: RandomRule, place: int) -> str | None:
    line = rule.lines[place]
    head, _, name = line.about.rpartition(".")
    wrong = f"{head}.{_misspelt(draw, name)}" if head else _misspelt(draw, name)
    if _is_field(rule.event, wrong) or line.about not in line.text:
        return None
    return line.text.replace(line.about, wrong, 1)


def _comparison(value: str) -> Make:
    def make(draw: Any, rule: RandomRule, place: int) -> str:
        line = rule.lines[place]
        return line.text.partition(": ")[0] + f": {value}"

    return make


def _text_line(value: str) -> Make:
    def make(draw: Any, rule: RandomRule, place: int) -> str | None:
        line = rule.lines[place]
        return f"      text: {value}" if line.text.startswith("      text: ") else None

    return make


def _in_message(add: str) -> Make:
    def make(draw: Any, rule: RandomRule, place: int) -> str:
        line = rule.lines[place]
        end = '"' if line.text.endswith('"') else ""
        return f"{line.text.removesuffix(end) if end else line.text} {add}{end}"

    return make


def _on_the_last_line(add: str) -> Make:
    """Only there: braces that are left open go on over the lines below, and what is wrong shows there."""

    def make(draw: Any, rule: RandomRule, place: int) -> str | None:
        below = rule.lines[place + 1 : place + 2]
        return f"{rule.lines[place].text} {add}" if not below or below[0].kind != "message" else None

    return make


def _only(word: str, text: str) -> Make:
    def make(draw: Any, rule: RandomRule, place: int) -> str | None:
        return text if rule.lines[place].about == word else None

    return make


def _action_misspelt(draw: Any, rule: RandomRule, place: int) -> str | None:
    line = rule.lines[place]
    wrong = _misspelt(draw, line.about)
    return line.text.replace(line.about, wrong) if wrong not in ("slack", "email", "http") else None


def _no_colon(draw: Any, rule: RandomRule, place: int) -> str:
    return rule.lines[place].text.replace(":", "", 1)


def _no_space(draw: Any, rule: RandomRule, place: int) -> str | None:
    line = rule.lines[place].text
    return line.replace(": ", ":", 1) if ": " in line else None


def _tab(draw: Any, rule: RandomRule, place: int) -> str:
    return "\t" + rule.lines[place].text.lstrip()


def _indented(by: int) -> Make:
    def make(draw: Any, rule: RandomRule, place: int) -> str | None:
        above = rule.lines[place - 1]
        return " " * by + rule.lines[place].text if above.kind in ("condition", "action setting") else None

    return make


def _twice(draw: Any, rule: RandomRule, place: int) -> str:
    """Both lines; the fault is told on the second."""
    line = rule.lines[place].text
    return f"{line}\n{line.partition(': ')[0]}: missing"


def _elsewhere(draw: Any, rule: RandomRule, place: int) -> str | None:
    """A field of other events than the rule's."""
    line = rule.lines[place]
    other = "stock_item.count_on_hand" if rule.event.startswith(("order", "shipment")) else "shipment.number"
    return line.text.replace(line.about, other, 1)


def _never_seen(draw: Any, rule: RandomRule, place: int) -> str | None:
    """A value that a field with known values never has."""
    line = rule.lines[place]
    known = EVENT_TYPES[rule.event].fields.get(line.about)
    if known is None or not known.values:
        return None
    return line.text.partition(": ")[0] + f": {draw(st.sampled_from(('shiped', 'refundedd', 'never seen')))}"


SLIPS = (
    _Kind("a field of another event", "condition", _elsewhere),
    _Kind("a value never seen", "condition", _never_seen),
    _Kind("another word for when", "setting", _only("when", "trigger: order_completed")),
    _Kind("a quote not closed", "quoted message", _text_line('"hello')),
    _Kind("an apostrophe in quotes", "quoted message", _text_line("'it's here'")),
    _Kind("an exclamation mark first", "quoted message", _text_line("!important")),
    _Kind("an ampersand first", "quoted message", _text_line("&co")),
    _Kind("a percent sign first", "quoted message", _text_line("%discount")),
    _Kind("an emoji first", "quoted message", _text_line(":moneybag: big order")),
    _Kind("a question mark first", "quoted message", _text_line("? hi")),
    _Kind("a dash first", "quoted message", _text_line("- hi")),
    _Kind("curly quotes", "quoted message", _text_line("“hello”")),
    _Kind("unequal not in quotes", "condition", _comparison("!= complete")),
    _Kind("a list not closed", "condition", _comparison("[a, b")),
    _Kind("a block not closed", "condition", _comparison("{at least: 5")),
    _Kind("a setting misspelt", "setting", _setting_misspelt),
    _Kind("a setting of an action misspelt", "action setting", _setting_misspelt),
    _Kind("a setting of a test misspelt", "test setting", _setting_misspelt),
    _Kind("an event misspelt", "setting", _event_misspelt),
    _Kind("a mode that is none", "setting", _only("mode", "mode: live")),
    _Kind("a zone that is none", "setting", _only("timezone", "timezone: Europe/Pariss")),
    _Kind("a limit in words", "setting", _only("limit", "limit: once an hour")),
    _Kind("an answer that is none", "test setting", _only("expect", "    expect: fire")),
    _Kind("a field misspelt", "condition", _field_misspelt),
    _Kind("a field of an item misspelt", "inner", _field_misspelt),
    _Kind("a counted list misspelt", "count", _field_misspelt),
    _Kind("a field in a formula misspelt", "formula", _field_misspelt),
    _Kind("a field in a message misspelt", "message", _field_misspelt),
    _Kind("a field in a quoted message misspelt", "quoted message", _field_misspelt),
    _Kind("a sign not in quotes", "condition", _comparison("> 200")),
    _Kind("a number in words", "condition", _comparison("at least two hundred")),
    _Kind("a comparison misspelt", "condition", _comparison("at laest 200")),
    _Kind("a comparison with nothing after it", "condition", _comparison("at least")),
    _Kind("a list that is none", "condition", _comparison("in list vip custmers")),
    _Kind("nothing after the colon", "condition", _comparison("")),
    _Kind("a line twice", "condition", _twice),
    _Kind("a tab", "condition", _tab),
    _Kind("no colon", "condition", _no_colon),
    _Kind("no space after the colon", "setting", _no_space),
    _Kind("a line too far in", "condition", _indented(3)),
    _Kind("an action misspelt", "action", _action_misspelt),
    _Kind("braces first", "quoted message", _text_line("{{ order.number }} came")),
    _Kind("a star first", "quoted message", _text_line("*Big order*")),
    _Kind("an at sign first", "quoted message", _text_line("@all big order")),
    _Kind("a colon inside", "quoted message", _text_line("Big order: come")),
    _Kind("a number sign inside", "quoted message", _text_line("order #123 shipped")),
    _Kind("a number sign first", "action setting", _only("channel", "      channel: #ops")),
    _Kind("braces not closed", "message", _on_the_last_line("{{ order.number")),
    _Kind("braces not closed in quotes", "quoted message", _in_message("{{ order.number")),
    _Kind("a tag not closed", "quoted message", _in_message("{% if 1 %}x")),
    _Kind("a filter that is none", "message", _in_message("{{ 'a' | monney }}")),
    _Kind("a helper that is none", "quoted message", _in_message("{{ range(9) }}")),
)
"""Every slip that can be made; each must be told on its line."""


@st.composite
def slips(draw: Any) -> Slip:
    """A rule with one slip of a kind drawn first, so that all kinds come about as often."""
    kind = draw(st.sampled_from(SLIPS))
    for _ in range(60):
        rule = draw(rules())
        for place in draw(st.permutations(rule.places(kind.on))):
            line = kind.make(draw, rule, place)
            if line is not None and line != rule.lines[place].text:
                texts = [one.text for one in rule.lines]
                texts[place] = line
                return Slip(kind.name, "\n".join([*texts, ""]), place + 1 + line.count("\n"))
    return reject()


# what must hold


def check_valid(rule: RandomRule, language: Language) -> None:
    """A rule without a slip has no error, and nothing ugly is said of it."""
    book = Loader(language).load({"r.yaml": rule.text})
    errors = [problem for problem in book.problems if problem.severity == "error"]
    assert not errors, f"{errors[0]}\n{rule.text}"
    check_words(book.problems)


def check_slip(slip: Slip, language: Language) -> None:
    """A slip is told on its line, and nothing ugly is said of it."""
    problems = read_rule("r.yaml", slip.text, language).problems
    told = [problem for problem in problems if problem.line == slip.line and problem.severity != "note"]
    assert told, f"{slip.name}, line {slip.line}\n{slip.text}\n{problems}"
    check_words(problems)


def check_words(problems: tuple[Problem, ...]) -> None:
    """Nothing that is said has a programmer's word in it."""
    for problem in problems:
        found = UGLY.search(f"{problem.message}\n{problem.hint}")
        assert not found, f"{found[0]}: {problem.message}\n{problem.hint}"


@click.command()
@click.option("--count", default=10_000, help="So many rules are tried, half of them with a slip.")
@click.option("--seed", "start", default=1, help="The same seed tries the same rules.")
def main(count: int, start: int) -> None:
    """Try many random rules, and say how it went."""
    language = Language(sources.found(), actions.found())
    made: dict[str, int] = {}
    options = settings(
        max_examples=count // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink), print_blob=True,
    )  # fmt: skip

    @seed(start)
    @options
    @given(rules())
    def every_rule_is_read(rule: RandomRule) -> None:
        check_valid(rule, language)

    @seed(start)
    @options
    @given(slips())
    def every_slip_is_told(slip: Slip) -> None:
        made[slip.name] = made.get(slip.name, 0) + 1
        check_slip(slip, language)

    click.echo(f"seed {start}")
    every_rule_is_read()
    click.echo(f"{count // 2:,} rules read without a fault")
    every_slip_is_told()
    click.echo(f"{count // 2:,} slips told on their line:")
    for name, number in sorted(made.items()):
        click.echo(f"  {number:6,} {name}")


if __name__ == "__main__":
    sys.exit(main())
