"""Rule texts become rules, or faults with their places and remedies; a broken file hurts only itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.actions.base import Action, Destinations
from engine.language.condition import Condition, read_conditions
from engine.language.document import read_document
from engine.language.fields import FieldValue, read_fields
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Mark, Problem, Problems
from engine.language.scope import Shop
from engine.language.words import listing, nearest, normal_key
from engine.model import Mode
from engine.rulebook.book import Rulebook
from engine.rulebook.checks import check_rule
from engine.rulebook.lists import read_list, read_products
from engine.rulebook.rule import ActionSpec, Postponed, Rule
from engine.sources.base import EventType, Source

TIME_WORDS = ("wait", "still if", "unless followed by", "limit", "after", "once per", "digest", "quiet hours", "over")
"""The time words of the language, which this version reads and does not keep yet."""

PRODUCTS = "lists/products.csv"
"""The shop's own names of its SKUs."""

LATER_ACTIONS = ("restock alert",)
"""Actions of the language that this version reads and cannot do yet."""


@dataclass(frozen=True)
class Language:
    """What a rule may speak of here: the sources with their events, the actions, the shop and its connections."""

    sources: Mapping[str, Source]
    actions: Mapping[str, Action]
    shop: Shop = field(default_factory=Shop)
    destinations: Destinations = field(default_factory=Destinations)

    @cached_property
    def event_types(self) -> Mapping[str, EventType]:
        """Every event type that some source sends, by name."""
        return {
            name: event_type
            for source in self.sources.values()
            for name, event_type in source.event_types.items()
        }

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """Misprinted event names by the right one."""
        return {wrong: right for source in self.sources.values() for wrong, right in source.renamed.items()}


@dataclass(frozen=True, slots=True)
class _File:
    """One rule file, read: its rule where it has no error, and all its faults."""

    rule: Rule | None
    problems: tuple[Problem, ...]


class Loader:
    """Reads rule texts into a rulebook, and reads again only the texts that changed since."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._read: dict[tuple[str, str, str], _File] = {}

    def load(self, texts: Mapping[str, str], last_good: Mapping[str, str] | None = None) -> Rulebook:
        """The rulebook of these texts by file name (`big-order.yaml`, `lists/vip-customers.csv`).

        Where a file is broken, its text in `last_good` stays in force, if it has one there.
        """
        lists, list_problems = _lists(texts)
        found = {name: self._file(name, text, lists) for name, text in sorted(texts.items()) if _is_rule(name)}
        in_force = {name: text for name, text in texts.items() if not _is_rule(name) or found[name].rule}
        rules = [file.rule for file in found.values() if file.rule]
        older = set()
        for name in found:
            old = (last_good or {}).get(name)
            if found[name].rule is None and old is not None:
                rule = self._file(name, old, lists).rule
                if rule is not None:
                    rules.append(rule)
                    in_force[name] = old
                    older.add(name)
        problems = [*list_problems, *(problem for file in found.values() for problem in file.problems)]
        problems += _same_names(rules)
        self._forget(lists, {**texts, **in_force})
        return Rulebook(
            rules=tuple(sorted(rules, key=lambda rule: rule.file)),
            hash=_hash(in_force, self.language.shop),
            texts=in_force,
            problems=tuple(sorted(problems)),
            shop=self.language.shop,
            lists=lists,
            destinations=self.language.destinations,
            sources=self.language.sources,
            older=frozenset(older),
            products=read_products(texts.get(PRODUCTS, ""), Problems(PRODUCTS)),
        )

    def _file(self, name: str, text: str, lists: Mapping[str, frozenset[str]]) -> _File:
        key = (name, text, listing(sorted(lists)))
        if key not in self._read:
            self._read[key] = read_rule(name, text, self.language, lists)
        return self._read[key]

    def _forget(self, lists: Mapping[str, frozenset[str]], texts: Mapping[str, str]) -> None:
        names = listing(sorted(lists))
        kept = {(name, text, names) for name, text in texts.items()}
        self._read = {key: file for key, file in self._read.items() if key in kept}


def read_rule(
    name: str, text: str, language: Language, lists: Mapping[str, frozenset[str]] | None = None
) -> _File:
    """One rule file: the rule, unless an error keeps it from running, and every fault that was found."""
    problems = Problems(name)
    document = read_document(text, problems)
    rule = _Reader(name, language, problems).rule(document) if document else None
    if rule is not None:
        check_rule(rule, language, lists or {}, problems)
    return _File(None if problems.broken else rule, tuple(problems.sorted()))


class _Reader:
    """Reads the nodes of one rule file, setting by setting."""

    def __init__(self, file: str, language: Language, problems: Problems) -> None:
        self.file = file
        self.language = language
        self.problems = problems
        self.settings: dict[str, Entry] = {}

    def rule(self, document: MappingNode) -> Rule | None:
        self._collect(document)
        when, when_mark, events = self._when(document)
        actions, later = self._actions(document)
        rule = Rule(
            id=self.file.rsplit("/", 1)[-1].rsplit(".", 1)[0],
            file=self.file,
            name=self._text("name") or self.file.rsplit("/", 1)[-1].rsplit(".", 1)[0],
            mark=document.mark,
            why=self._text("why"),
            mode=self._mode(),
            when=when,
            when_mark=when_mark,
            events=events,
            conditions=self._conditions("if"),
            exceptions=self._conditions("unless"),
            actions=actions,
            postponed=(*self._postponed(), *later),
            timezone=self._timezone(),
            late_events=self._truth("late events"),
            tests=self.settings["tests"].value if "tests" in self.settings else None,
        )
        return rule

    # settings

    def _collect(self, document: MappingNode) -> None:
        for entry in document:
            word = normal_key(entry.key.text)
            if word in SETTINGS:
                self.settings[word] = entry
            elif word == "on" or entry.key.text in ("True", "true"):
                self._slip(entry, "when", "a rule names its event with `when`")
            else:
                self._unknown(entry)

    def _slip(self, entry: Entry, right: str, why: str) -> None:
        hint = f"{right}: {entry.value.text}" if isinstance(entry.value, ScalarNode) else f"{right}:"
        self.problems.error(entry.key.mark, f"{why}, not with `{entry.key.text}`", hint)
        self.settings.setdefault(right, entry)

    def _unknown(self, entry: Entry) -> None:
        word = entry.key.text
        right = SYNONYMS.get(normal_key(word)) or next(iter(nearest(normal_key(word), SETTINGS)), None)
        if right is None and normal_key(word) in self.language.actions:
            message = f'"{word}" is an action: it stands in the list under `then`'
            self.problems.error(entry.key.mark, message, f"then:\n  - {word}:")
            return
        message = f'there is no setting called "{word}"'
        if right:
            self.problems.error(entry.key.mark, f"{message}. Did you mean `{right}`?", f"{right}:")
        else:
            self.problems.error(entry.key.mark, f"{message}. A rule has {listing(SHOWN, 'and')}")

    def _text(self, word: str) -> str:
        entry = self.settings.get(word)
        if entry is None:
            return ""
        if isinstance(entry.value, ScalarNode) and not entry.value.empty:
            return entry.value.text
        self.problems.error(entry.key.mark, f"{word} is empty or not a text", f"{word}: …")
        return ""

    def _mode(self) -> Mode:
        text = self._text("mode").casefold()
        if text in ("", *Mode):
            return Mode(text or "on")
        if text in ("true", "yes", "false", "no"):
            return Mode.ON if text in ("true", "yes") else Mode.OFF
        mark = self.settings["mode"].value.mark
        self.problems.error(mark, f'there is no mode "{text}". Write on, test or off', "mode: test")
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
        except (ZoneInfoNotFoundError, ValueError, OSError):
            mark = self.settings["timezone"].value.mark
            self.problems.error(mark, f'"{text}" is not a time zone', "timezone: America/New_York")
            return None

    def _postponed(self) -> Iterator[Postponed]:
        for word in TIME_WORDS:
            if word in self.settings:
                yield self._later(word, self.settings[word].key.mark)

    def _later(self, word: str, mark: Mark) -> Postponed:
        message = (
            f"`{word}` is not in this version yet: the rule is read and judged, but it is held and sends nothing"
        )
        self.problems.warning(mark, message)
        return Postponed(word, mark)

    # when

    def _when(self, document: MappingNode) -> tuple[str, Mark, frozenset[str]]:
        entry = self.settings.get("when")
        if entry is None:
            message = "the rule does not say when it applies: `when` is missing"
            self.problems.error(document.mark, message, "when: order_completed")
            return "", document.mark, frozenset()
        if isinstance(entry.value, MappingNode):
            return "by the clock", entry.key.mark, frozenset()
        nodes = list(_scalars(entry.value))
        if not nodes or any(node.empty for node in nodes):
            message = "when is empty: name the event that starts the rule"
            self.problems.error(entry.key.mark, message, "when: order_completed")
        events = frozenset(event for node in nodes for event in self._events(node))
        return listing([node.text for node in nodes], "or"), entry.key.mark, events

    def _events(self, node: ScalarNode) -> Iterable[str]:
        name = normal_key(node.text).replace(" ", "_")
        known = self.language.event_types
        if node.empty or name.startswith("every_"):
            return ()
        if name in known:
            return (name,)
        if "*" in name or "?" in name:
            return self._pattern(node, name)
        self._unknown_event(node, name)
        return ()

    def _pattern(self, node: ScalarNode, pattern: str) -> Iterable[str]:
        events = [name for name in self.language.event_types if fnmatchcase(name, pattern)]
        if not events:
            known = listing(self.language.event_types)
            self.problems.error(node.mark, f'no event matches "{node.text}". Known events: {known}')
        return events

    def _unknown_event(self, node: ScalarNode, name: str) -> None:
        known = listing(self.language.event_types)
        right = self.language.renamed.get(name) or next(iter(nearest(name, self.language.event_types)), None)
        mean = f" Did you mean `{right}`?" if right else ""
        message = f"the OMS has no event {node.text}.{mean} Known events: {known}"
        self.problems.error(node.mark, message, f"when: {right}" if right else "")

    # if, unless

    def _conditions(self, word: str) -> tuple[Condition, ...]:
        entry = self.settings.get(word)
        if entry is None:
            return ()
        if isinstance(entry.value, ScalarNode) and entry.value.empty:
            about = self._text("when") if "when" in self.settings else "event"
            what = f"match every {about}" if word == "if" else "never be stopped"
            message = f"`{word}` is empty; leave it out to {what}, or indent the conditions under it"
            self.problems.error(entry.key.mark, message)
            return ()
        return read_conditions(entry.value, self.problems)

    # then

    def _actions(self, document: MappingNode) -> tuple[tuple[ActionSpec, ...], list[Postponed]]:
        entry = self.settings.get("then")
        if entry is None:
            message = "the rule does nothing: `then` is missing"
            self.problems.error(document.mark, message, "then:\n  - slack:\n      text: …")
            return (), []
        if not isinstance(entry.value, SequenceNode) or not entry.value.items:
            message = "`then` needs a list of actions, each on its own line after a dash"
            self.problems.error(entry.key.mark, message, "then:\n  - slack:\n      text: …")
            return (), []
        specs: list[ActionSpec] = []
        later: list[Postponed] = []
        for number, item in enumerate(entry.value, start=1):
            found = self._action(number, item)
            if isinstance(found, ActionSpec):
                specs.append(found)
            elif found is not None:
                later.append(found)
        return tuple(specs), later

    def _action(self, number: int, item: Node) -> ActionSpec | Postponed | None:
        if not isinstance(item, MappingNode) or not item.entries:
            word = item.text if isinstance(item, ScalarNode) else ""
            message = f'"{word}" has nothing under it' if word else "an action is missing after the dash"
            self.problems.error(item.mark, message, f"- {word or 'slack'}:\n    text: …")
            return None
        head, *rest = item.entries
        word = normal_key(head.key.text)
        if word in LATER_ACTIONS:
            return self._later(word, head.key.mark)
        action = self.language.actions.get(word)
        if action is None:
            self._unknown_action(head.key)
            return None
        if isinstance(head.value, ScalarNode) and head.value.empty:
            message = f'"{word}" has nothing under it. Indent the lines below by two more spaces'
            self.problems.error(head.key.mark, message, self._indented(word, rest))
            return None
        for extra in rest:
            self._beside(word, extra)
        return self._spec(number, word, head, action)

    def _indented(self, word: str, rest: list[Entry]) -> str:
        first = rest[0].key.text if rest else "text"
        return f"- {word}:\n    {first}: …"

    def _beside(self, word: str, entry: Entry) -> None:
        if normal_key(entry.key.text) == "or else":
            self._later("or else", entry.key.mark)
        elif normal_key(entry.key.text) in self.language.actions:
            message = f'each action has a dash of its own: put one before "{entry.key.text}"'
            self.problems.error(entry.key.mark, message, f"- {entry.key.text}:")
        else:
            message = f'"{entry.key.text}" belongs to "{word}": indent it by two more spaces'
            self.problems.error(entry.key.mark, message, f"    {entry.key.text}: …")

    def _unknown_action(self, key: ScalarNode) -> None:
        known = (*self.language.actions, *LATER_ACTIONS)
        right = next(iter(nearest(normal_key(key.text), known)), None)
        mean = f" Did you mean `{right}`?" if right else ""
        message = f'there is no action called "{key.text}".{mean} Actions: {listing(known)}'
        self.problems.error(key.mark, message, f"- {right}:" if right else "")

    def _spec(self, number: int, word: str, head: Entry, action: Action) -> ActionSpec | None:
        if not isinstance(head.value, MappingNode):
            message = f'"{word}" needs its settings below it, indented'
            self.problems.error(head.value.mark, message, f"- {word}:\n    {action.fields[0].name}: …")
            return None
        values = self._values(word, head.value, action)
        action.check(values, head.key.mark, self.problems, self.language.destinations)
        return ActionSpec(word, number, head.key.mark, action, values)

    def _values(self, word: str, block: MappingNode, action: Action) -> Mapping[str, FieldValue]:
        return read_fields(block, action.fields, self.problems, word)


SETTINGS: tuple[str, ...] = (
    "name", "why", "mode", "when", "timezone", "if", "unless", "late events", *TIME_WORDS, "then", "tests",
)  # fmt: skip
SHOWN: tuple[str, ...] = ("name", "why", "mode", "when", "if", "unless", "then", "tests")
SYNONYMS: Mapping[str, str] = {
    "condition": "if", "conditions": "if", "where": "if", "event": "when", "trigger": "when", "events": "when",
    "do": "then", "action": "then", "actions": "then", "except": "unless", "title": "name", "description": "why",
    "enabled": "mode", "active": "mode", "throttle": "limit", "delay": "wait", "test": "tests",
}  # fmt: skip


def _scalars(node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, SequenceNode):
        for item in node:
            yield from _scalars(item)


def _is_rule(name: str) -> bool:
    return "/" not in name and name.endswith((".yaml", ".yml"))


def _lists(texts: Mapping[str, str]) -> tuple[dict[str, frozenset[str]], list[Problem]]:
    lists: dict[str, frozenset[str]] = {}
    found: list[Problem] = []
    for name, text in sorted(texts.items()):
        if name.startswith("lists/") and name.endswith(".csv"):
            problems = Problems(name)
            lists[normal_key(name.removeprefix("lists/").removesuffix(".csv"))] = read_list(text, problems)
            found += problems.found
    return lists, found


def _same_names(rules: list[Rule]) -> Iterator[Problem]:
    first: dict[str, Rule] = {}
    for rule in rules:
        other = first.setdefault(normal_key(rule.name), rule)
        if other is not rule:
            message = f'{other.file} has the same name, "{rule.name}": people will not tell them apart'
            yield Problem(rule.file, rule.mark.line, rule.mark.column, "warning", message)


def _hash(texts: Mapping[str, str], shop: Shop) -> str:
    """Names exactly these texts under exactly these facts of the shop: 16 hexadecimal letters of SHA-256."""
    digest = hashlib.sha256(f"{shop.timezone}\0{shop.currency}\0{shop.locale}\0".encode())
    for name, text in sorted(texts.items()):
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


