"""One rule text becomes a rule: its settings, events, conditions and actions, with every fault at its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.actions.base import Action
from engine.language.condition import Condition, read_conditions
from engine.language.document import read_document
from engine.language.fields import FieldValue, read_fields
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.path import Path, PathError, parse_path
from engine.language.plain import cut, one_line
from engine.language.problem import Mark, Problem, Problems
from engine.language.words import (
    OTHER_WORDS,
    RULE_SETTINGS,
    listing,
    nearest,
    normal_key,
    write_value,
)
from engine.model import Mode
from engine.rulebook.checks import check_rule
from engine.rulebook.rule import ActionSpec, Postponed, Rule
from engine.rulebook.vocabulary import Language
from engine.sources.base import EventType
from engine.timing.base import Reading as TimeReading
from engine.timing.base import Timing

LATER_ACTIONS: Final = ("restock alert",)
"""Actions of the language that this version reads and cannot do yet."""

CLOCK: Final = "clock"
"""The time word that `when` stands for where it holds a time of the clock and no event."""

SETTINGS: Final = tuple(RULE_SETTINGS)
_USUAL: Final = ("name", "why", "mode", "when", "if", "unless", "then", "tests")
_SOME_ACTIONS: Final = "then:\n  - slack:\n      text: …"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One rule file, read: its rule where it has no error, and all its faults."""

    rule: Rule | None
    problems: tuple[Problem, ...]


def read_rule(
    name: str, text: str, language: Language, lists: Mapping[str, frozenset[str]] | None = None
) -> RuleFile:
    """One rule file: the rule, unless an error keeps it from running, and every fault that was found."""
    problems = Problems(name)
    document = read_document(text, problems)
    if document is None:
        return RuleFile(None, tuple(problems.sorted()))
    rule = _Reader(name, language, problems).rule(document)
    check_rule(rule, language, lists or {}, problems)
    return RuleFile(None if problems.broken else rule, tuple(problems.sorted()))


def rule_id(file: str) -> str:
    """The id of the rule in a file: the file's name without its ending."""
    return file.rsplit("/", 1)[-1].rsplit(".", 1)[0]


class _Reader:
    """Reads the nodes of one rule file, setting by setting."""

    def __init__(self, file: str, language: Language, problems: Problems) -> None:
        self.file = file
        self.language = language
        self.problems = problems
        self.settings: dict[str, Entry] = {}
        self.postponed: list[Postponed] = []
        self._clock: Entry | None = None

    def rule(self, document: MappingNode) -> Rule:
        self._collect(document)
        timezone = self._timezone()
        when, when_mark, events = self._when(document)
        reading = self._time_reading(events, timezone)
        timing = self._timing(reading)
        rule = Rule(
            id=rule_id(self.file),
            file=self.file,
            name=self._text("name") or rule_id(self.file),
            mark=document.mark,
            why=self._text("why"),
            mode=self._mode(),
            when=when,
            when_mark=when_mark,
            events=events,
            conditions=self._conditions("if"),
            exceptions=self._conditions("unless"),
            actions=self._actions(document),
            postponed=tuple(self.postponed),
            timezone=timezone,
            timing=timing,
            late_events=self._truth("late events"),
            tests=self.settings["tests"].value if "tests" in self.settings else None,
        )
        return replace(rule, timing=self._with_implied(rule, reading))

    # settings

    def _collect(self, document: MappingNode) -> None:
        for entry in document:
            word = normal_key(entry.key.text)
            if word in SETTINGS or (word in self.language.timing and self.language.timing[word].example):
                self.settings[word] = entry
            else:
                self._unknown(entry, word)

    def _unknown(self, entry: Entry, word: str) -> None:
        """Note a setting that is not there; the rest is read as if it were the one that was meant."""
        if word in self.language.actions or word in LATER_ACTIONS:
            message = f'"{entry.key.text}" is an action: it stands in the list under `then`'
            self.problems.error(entry.key.mark, message, f"then:\n  - {word}:\n      …")
            return
        shown = cut(one_line(entry.key.text), 60)
        right = OTHER_WORDS.get(word) or next(iter(nearest(word, SETTINGS)), None)
        message = f'there is no setting called "{shown}".'
        if right is None:
            self.problems.error(entry.key.mark, f"{message} A rule has {listing(_USUAL)}")
            return
        self.problems.error(entry.key.mark, f"{message} Did you mean `{right}`?", _line(right, entry.value))
        self.settings.setdefault(right, entry)

    def _text(self, word: str) -> str:
        entry = self.settings.get(word)
        if entry is None:
            return ""
        if isinstance(entry.value, ScalarNode) and not entry.value.empty and entry.value.text.strip():
            return entry.value.text.strip()
        what = "is empty" if isinstance(entry.value, ScalarNode) else "takes one text"
        self.problems.error(entry.key.mark, f"{word} {what}", f"{word}: …")
        return ""

    def _mode(self) -> Mode:
        entry = self.settings.get("mode")
        text = self._text("mode").casefold()
        if entry is None or not text:
            return Mode.ON
        truth = entry.value.truth if isinstance(entry.value, ScalarNode) else None
        if text in tuple(Mode) or truth is not None:
            return Mode(text) if text in tuple(Mode) else Mode.ON if truth else Mode.OFF
        near = next(iter(nearest(text, list(Mode))), Mode.TEST)
        self.problems.error(
            entry.value.mark, f'there is no mode "{text}". Write on, test or off', f"mode: {near}"
        )
        return Mode.OFF

    def _truth(self, word: str) -> bool:
        entry = self.settings.get(word)
        if entry is None:
            return False
        if isinstance(entry.value, ScalarNode) and entry.value.truth is not None:
            return entry.value.truth
        self.problems.error(entry.value.mark, f"{word} takes yes or no", f"{word}: yes")
        return False

    def _timezone(self) -> ZoneInfo | None:
        text = self._text("timezone")
        if not text:
            return None
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # no such name, a bad name, a folder of zones
            mark = self.settings["timezone"].value.mark
            self.problems.error(mark, f'"{text}" is not a time zone', "timezone: America/New_York")
            return None

    # time words

    def _time_reading(self, events: frozenset[str], timezone: tzinfo | None) -> TimeReading:
        """What time words need to be read."""
        sources = self.language.sources.values()
        return TimeReading(
            problems=self.problems,
            shop=self.language.shop,
            timezone=timezone or self.language.shop.timezone,
            events=events,
            event_types={name: one.object for name, one in self.language.event_types.items()},
            kinds=self.language.kinds,
            parts={kind: parts for source in sources for kind, parts in source.parts.items()},
            path=self._path,
            event_names=self._named_events,
        )

    def _timing(self, reading: TimeReading) -> tuple[Timing, ...]:
        """The rule's time words in the order in which they are asked."""
        found = [self._time_word(word, kind, reading) for word, kind in self.language.timing.items()]
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.place))

    def _with_implied(self, rule: Rule, reading: TimeReading) -> tuple[Timing, ...]:
        """The time words with those that nobody writes."""
        implied = (kind.implied(rule.roots, rule.events, reading) for kind in self.language.timing.values())
        found = (*rule.timing, *(one for one in implied if one is not None))
        return tuple(sorted(found, key=lambda one: one.place))

    def _time_word(self, word: str, kind: type[Timing], reading: TimeReading) -> Timing | None:
        entry = self._clock if word == CLOCK else self.settings.get(word)
        beside = {name: self.settings[name] for name in kind.beside if name in self.settings}
        if entry is not None:
            return kind.read(entry, beside, reading)
        for name, alone in beside.items():
            message = f"`{name}` belongs to `{word}`, which is missing"
            self.problems.error(alone.key.mark, message, f"{kind.example}")
        return None

    def _path(self, node: Node) -> Path | None:
        """The path that a node holds; None after noting what is wrong with it."""
        text = node.text.strip() if isinstance(node, ScalarNode) else ""
        if not text:
            self.problems.error(node.mark, "a field of the event is expected here, such as order.number")
            return None
        try:
            return parse_path(text)
        except PathError as fault:
            self.problems.error(node.mark, fault.message, fault.hint)
            return None

    def _named_events(self, node: Node) -> tuple[str, ...]:
        """The event types that a node names: one, a list, or patterns."""
        nodes = [*node] if isinstance(node, SequenceNode) else [node]
        return tuple(dict.fromkeys(event for one in nodes for event in self._events(one)))

    def _later(self, word: str, mark: Mark, what: str = "") -> None:
        message = (
            f"{what or f'`{word}`'} is not in this version yet: the rule is read, but held, and sends nothing"
        )
        self.problems.warning(mark, message)
        self.postponed.append(Postponed(word, mark))

    # when

    def _when(self, document: MappingNode) -> tuple[str, Mark, frozenset[str]]:
        entry = self.settings.get("when")
        if entry is None:
            message = "the rule does not say when it applies: `when` is missing"
            self.problems.error(document.mark, message, "when: order_completed")
            return "", document.mark, frozenset()
        mark = entry.key.mark
        if _is_clock(entry.value):
            self._clock = entry
            return _clock_text(entry.value), mark, frozenset()
        nodes = [*entry.value] if isinstance(entry.value, SequenceNode) else [entry.value]
        if not nodes or any(isinstance(node, ScalarNode) and not node.text.strip() for node in nodes):
            message = "when is empty: name the event that starts the rule"
            self.problems.error(mark, message, "when: order_completed")
        events = frozenset(event for node in nodes for event in self._events(node))
        return listing([node.text for node in nodes if isinstance(node, ScalarNode)], "or"), mark, events

    def _events(self, node: Node) -> Iterable[str]:
        if not isinstance(node, ScalarNode):
            message = "when takes the name of an event, or a list of names"
            self.problems.error(node.mark, message, "when: [order_completed, order_cancelled]")
            return ()
        name = normal_key(node.text).replace(" ", "_")
        if not name or name in self.language.event_types:
            return (name,) if name else ()
        if "*" in name or "?" in name:
            return self._pattern(node, name)
        return self._unknown_event(node, name)

    def _pattern(self, node: ScalarNode, pattern: str) -> Iterable[str]:
        known = self.language.event_types
        events = [name for name in known if fnmatchcase(name, pattern)]
        if not events:
            near = next(iter(nearest(pattern, (*known, *_patterns(known.values())))), "")
            mean = f" Did you mean `{near}`?" if near else ""
            shown = cut(one_line(node.text), 60)
            message = f'no event is ever called like "{shown}".{mean} Known events: {listing(known)}'
            self.problems.error(node.mark, message, f"when: {near}" if near else "")
        return events

    def _unknown_event(self, node: ScalarNode, name: str) -> Iterable[str]:
        """Note an event that nobody sends; the rest is read as if it were the one that was probably meant."""
        known = self.language.event_types
        right = self.language.renamed.get(name) or next(iter(nearest(name, known)), None)
        mean = f" Did you mean `{right}`?" if right else ""
        shown = cut(one_line(node.text), 60)
        message = f"the OMS has no event {shown}.{mean} Known events: {listing(known)}"
        self.problems.error(node.mark, message, f"when: {right}" if right else "")
        return (right,) if right else ()

    # if, unless

    def _conditions(self, word: str) -> tuple[Condition, ...]:
        entry = self.settings.get(word)
        if entry is None:
            return ()
        if isinstance(entry.value, ScalarNode) and entry.value.empty:
            about = self._text("when") if "when" in self.settings else "event"
            what = f"match every {about}" if word == "if" else "let nothing stop the rule"
            message = f"`{word}` is empty; leave it out to {what}, or indent the conditions under it"
            self.problems.error(entry.key.mark, message)
            return ()
        return read_conditions(entry.value, self.problems)

    # then

    def _actions(self, document: MappingNode) -> tuple[ActionSpec, ...]:
        entry = self.settings.get("then")
        if entry is None:
            self.problems.error(document.mark, "the rule does nothing: `then` is missing", _SOME_ACTIONS)
            return ()
        if not isinstance(entry.value, SequenceNode) or not entry.value.items:
            message = "`then` takes a list of actions, each on its own line after a dash"
            self.problems.error(entry.key.mark, message, _as_list(entry.value))
            return ()
        found = (self._action(number, item) for number, item in enumerate(entry.value, start=1))
        return tuple(spec for spec in found if spec is not None)

    def _action(self, number: int, item: Node) -> ActionSpec | None:
        if not isinstance(item, MappingNode) or not item.entries:
            self._no_action(item)
            return None
        head, *rest = item.entries
        word = normal_key(head.key.text)
        for extra in rest:
            self._beside(word, extra)
        if word in LATER_ACTIONS:
            self._later(word, head.key.mark)
            return None
        action = self.language.actions.get(word)
        if action is None:
            self._unknown_action(head.key)
            return None
        return self._spec(number, word, head, action)

    def _no_action(self, item: Node) -> None:
        word = one_line(item.text) if isinstance(item, ScalarNode) and not item.empty else ""
        if not word:
            self.problems.error(item.mark, "an action is missing after the dash", "- slack:\n    text: …")
            return
        known = normal_key(word) in self.language.actions
        right = word if known else next(iter(nearest(word, self._action_words())), "slack")
        message = f'"{cut(word, 60)}" has nothing under it' if known else f'"{cut(word, 60)}" is no action'
        self.problems.error(item.mark, message, f"- {right}:\n    text: …")

    def _beside(self, word: str, entry: Entry) -> None:
        beside = normal_key(entry.key.text)
        if beside == "or else":
            self._later(beside, entry.key.mark)
        elif beside in self.language.actions or beside in LATER_ACTIONS:
            message = f'each action has a dash of its own: put one before "{entry.key.text}"'
            self.problems.error(entry.key.mark, message, f"- {entry.key.text}:")
        else:
            message = f'"{entry.key.text}" belongs to "{word}": indent it by two more spaces'
            self.problems.error(entry.key.mark, message, f"    {entry.key.text}: …")

    def _action_words(self) -> tuple[str, ...]:
        return (*self.language.actions, *LATER_ACTIONS)

    def _unknown_action(self, key: ScalarNode) -> None:
        known = self._action_words()
        right = next(iter(nearest(normal_key(key.text), known)), None)
        mean = f" Did you mean `{right}`?" if right else ""
        message = (
            f'there is no action called "{cut(one_line(key.text), 60)}".{mean} Actions: {listing(known)}'
        )
        self.problems.error(key.mark, message, f"- {right}:" if right else "")

    def _spec(self, number: int, word: str, head: Entry, action: Action) -> ActionSpec | None:
        if not isinstance(head.value, MappingNode):
            message = f'"{word}" needs its settings below it, indented by two more spaces'
            mark = (
                head.key.mark if isinstance(head.value, ScalarNode) and head.value.empty else head.value.mark
            )
            self.problems.error(mark, message, f"- {word}:\n    {action.fields[0].name}: …")
            return None
        values = self._values(word, head.value, action)
        action.check(values, head.key.mark, self.problems, self.language.destinations)
        return ActionSpec(word, number, head.key.mark, action, values)

    def _values(self, word: str, block: MappingNode, action: Action) -> Mapping[str, FieldValue]:
        later = [entry for entry in block if normal_key(entry.key.text) == "or else"]
        for entry in later:
            self._later("or else", entry.key.mark)
        kept = MappingNode(tuple(entry for entry in block if entry not in later), block.mark)
        return read_fields(kept, action.fields, self.problems, word)


def _line(word: str, value: Node) -> str:
    """A setting with the value its author gave it, where that stands on the same line."""
    inline = isinstance(value, ScalarNode) and value.text and "\n" not in value.text
    return f"{word}: {write_value(value.text)}" if inline and isinstance(value, ScalarNode) else f"{word}:"


def _patterns(types: Iterable[EventType]) -> list[str]:
    return sorted({f"{event_type.object}_*" for event_type in types})


def _as_list(value: Node) -> str:
    """The actions that were written without a dash, with one."""
    if isinstance(value, MappingNode) and value.entries:
        return f"then:\n  - {value.entries[0].key.text}:\n      …"
    return _SOME_ACTIONS


# the clock


def _is_clock(node: Node) -> bool:
    """Whether a rule is started by the clock: `every weekday at 08:00`, or `{cron: …}`, `{every: …}`."""
    if isinstance(node, MappingNode):
        return {normal_key(entry.key.text) for entry in node} <= {"cron", "every", "at"} and bool(
            node.entries
        )
    return isinstance(node, ScalarNode) and normal_key(node.text).startswith("every ")


def _clock_text(node: Node) -> str:
    return " ".join(_texts(node))


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node, ScalarNode):
        yield one_line(node.text)
    elif isinstance(node, MappingNode):
        for entry in node:
            yield entry.key.text
            yield from _texts(entry.value)
