"""What a setting takes: each kind of setting reads its node, tells what is wrong, and is filled in for an event.

One description serves the rule's reader, the connections of the settings file, the JSON schema and the reference.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from engine.language.node import Entry, MappingNode, Node, ScalarNode
from engine.language.plain import cut, one_line
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template
from engine.language.words import listing, nearest, normal_key, plural, read_duration, write_value
from engine.model import Gap

Filled: TypeAlias = tuple[Any, tuple[Gap, ...]]
"""A setting filled in for one event: plain JSON, and what could not be filled in."""

_SHOWN = 60
_SCALAR = ["string", "number", "boolean"]


@dataclass(frozen=True, slots=True)
class FieldValue(ABC):
    """A setting as its author wrote it, read and compiled; `mark` is the place of its value."""

    mark: Mark

    @abstractmethod
    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The value for one event as plain JSON, and what could not be filled in."""

    def templates(self) -> tuple[Template, ...]:
        """Every template inside."""
        return ()

    @property
    def varies(self) -> bool:
        """Whether the value depends on the event."""
        return any(not template.constant for template in self.templates())


@dataclass(frozen=True, slots=True)
class Fixed(FieldValue):
    """A setting that is the same for every event."""

    value: Any

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The value itself."""
        return self.value, ()


@dataclass(frozen=True, slots=True)
class Faulty(Fixed):
    """A setting that was written but cannot be used; its fault is noted, so that no other is told because of it."""


@dataclass(frozen=True, slots=True)
class Written(FieldValue):
    """A text with `{{ }}` in it; on one line where the setting wants one."""

    template: Template
    single: bool

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The text, each value made safe for the target."""
        text, gaps = self.template.render(scope, target)
        return (one_line(text) if self.single else text), gaps

    def templates(self) -> tuple[Template, ...]:
        """The one template."""
        return (self.template,)


@dataclass(frozen=True, slots=True)
class Named(FieldValue):
    """Settings with names of their author's choice."""

    entries: tuple[tuple[str, FieldValue], ...]

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """A table of the names and their values."""
        filled = [(name, *value.render(scope, target)) for name, value in self.entries]
        return {name: value for name, value, _ in filled}, tuple(gap for _, _, gaps in filled for gap in gaps)

    def templates(self) -> tuple[Template, ...]:
        """Those of every entry."""
        return tuple(template for _, value in self.entries for template in value.templates())


@dataclass(frozen=True, slots=True)
class Field(ABC):
    """One setting: its name as it is written, a sentence of help, and what it takes.

    `default` is the value, ready made, where the setting is left out. `example` is what may stand after the
    colon. A `secret` is never quoted in a message and never leaves its connection.
    """

    name: str
    help: str
    required: bool = False
    default: Any = None
    example: str = ""
    secret: bool = False

    kind: ClassVar[str] = "text"
    """What it takes, in the words of the reference."""

    @abstractmethod
    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read what was written; None, with a fault noted, where it cannot be used."""

    def schema(self) -> dict[str, Any]:
        """The setting's part of a JSON schema."""
        shown = {"examples": [self.example]} if self.example else {}
        return {"description": self.help, **self.shape(), **shown}

    def shape(self) -> dict[str, Any]:
        """The JSON schema of what it takes."""
        return {"type": _SCALAR}

    @property
    def line(self) -> str:
        """A line that would do, to show to its author."""
        return f"{self.name}: {self.example or '…'}"

    def fault(self, node: Node, problems: Problems, message: str) -> None:
        """Note a fault of this setting, with a line that would do."""
        problems.error(node.mark, message, self.line)

    def quoted(self, node: ScalarNode) -> str:
        """What was written, in quotes and cut; never a secret."""
        return "what is written there" if self.secret else f'"{cut(one_line(node.text), _SHOWN)}"'


class ScalarField(Field):
    """A setting that takes one value, not a list and not settings of its own."""

    __slots__ = ()

    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read a single value."""
        if isinstance(node, ScalarNode):
            return self.value(node, problems)
        what = "settings of its own" if isinstance(node, MappingNode) else "a list"
        self.fault(node, problems, f"{self.name} takes one {self.kind}, not {what}")
        return None

    @abstractmethod
    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Read a single value that is not empty."""


@dataclass(frozen=True, slots=True)
class Text(ScalarField):
    """A text that may hold `{{ }}`; on one line unless `many` are wanted."""

    lines: Literal["one", "many"] = "one"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Compile the text."""
        template = compile_template(node, problems)
        return Written(node.mark, template, self.lines == "one") if template else None


@dataclass(frozen=True, slots=True)
class Word(ScalarField):
    """A text that is the same for every event."""

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take the text, unless it wants to be filled in."""
        if "{{" in node.text or "{%" in node.text:
            self.fault(node, problems, f"{self.name} cannot come from the event: write it out")
            return None
        return self.word(node, node.text.strip(), problems)

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Check the trimmed text."""
        return Fixed(node.mark, text)


@dataclass(frozen=True, slots=True)
class Connection(Word):
    """The name of a connection in the settings file."""

    kind: ClassVar[str] = "name of a connection"

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Take a name; an address is a secret and belongs into the settings file."""
        if "://" not in text:
            return Fixed(node.mark, text)
        message = (
            f"{self.name} takes a name, not an address. An address can be a secret: keep it in shopbell.yaml "
            "under `connections` and write its name here"
        )
        self.fault(node, problems, message)
        return None


@dataclass(frozen=True, slots=True)
class WebAddress(Word):
    """The fixed address of a web server, `http://` or `https://`."""

    kind: ClassVar[str] = "web address"

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Take an address with a host, without a name and password in it."""
        told = address_fault(text)
        if told is None:
            return Fixed(node.mark, text)
        self.fault(node, problems, f"{self.name} {told}")
        return None


def address_fault(text: str) -> str | None:
    """What is wrong with a web address, None where nothing is; never quotes it."""
    if any(letter.isspace() or letter == "\\" or not letter.isprintable() for letter in text):
        return "has a blank or a backslash in it"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a web address"
    if parts.scheme not in ("http", "https"):
        return "must start with https:// (or http://)"
    if not host:
        return "has no host"
    if "@" in parts.netloc:
        return "has a name or password in it: give them as a header of the connection"
    return None


@dataclass(frozen=True, slots=True)
class Choice(ScalarField):
    """One of a few words."""

    choices: tuple[str, ...] = ()
    kind: ClassVar[str] = "word"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take one of the words, however its blanks are written."""
        for choice in self.choices:
            if normal_key(node.text) == normal_key(choice):
                return Fixed(node.mark, choice)
        near = next(iter(nearest(node.text, self.choices)), None)
        mean = f" Did you mean `{near}`?" if near else ""
        message = f"{self.name} is {self.quoted(node)}; it takes {listing(self.choices, 'or')}.{mean}"
        problems.error(node.mark, message, f"{self.name}: {near or self.choices[0]}")
        return None

    def shape(self) -> dict[str, Any]:
        """One of the words."""
        return {"enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class Truth(ScalarField):
    """Yes or no."""

    kind: ClassVar[str] = "yes or no"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take yes, no, true, false, on, off."""
        if node.truth is not None:
            return Fixed(node.mark, node.truth)
        self.fault(node, problems, f"{self.name} takes yes or no, not {self.quoted(node)}")
        return None

    def shape(self) -> dict[str, Any]:
        """A truth value; `yes` and `no` are texts to a schema."""
        return {"enum": [True, False, "yes", "no"]}


@dataclass(frozen=True, slots=True)
class Number(ScalarField):
    """A whole number within bounds."""

    least: int = 0
    most: int = 1_000_000
    kind: ClassVar[str] = "whole number"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take digits."""
        text = node.text.strip()
        if text.isascii() and text.isdecimal() and len(text) < 10 and self.least <= int(text) <= self.most:
            return Fixed(node.mark, int(text))
        told = f"a whole number from {self.least:,} to {self.most:,}"
        self.fault(node, problems, f"{self.name} takes {told}, not {self.quoted(node)}")
        return None

    def shape(self) -> dict[str, Any]:
        """An integer within the bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Duration(ScalarField):
    """A length of time, filled in as a whole number of seconds."""

    longest: timedelta = timedelta(weeks=52)
    kind: ClassVar[str] = "length of time"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take `30 seconds`, `2 minutes`."""
        length = read_duration(node.text)
        if length is not None and timedelta() < length <= self.longest:
            return Fixed(node.mark, int(length.total_seconds()))
        most = f" of at most {spoken(self.longest)}" if length is not None else ""
        self.fault(node, problems, f"{self.name} takes a length of time{most}, not {self.quoted(node)}")
        return None

    def shape(self) -> dict[str, Any]:
        """A text such as `30 seconds`."""
        return {"type": "string", "pattern": "^ *[0-9]+ *[A-Za-z]+ *$"}


def spoken(length: timedelta) -> str:
    """A length of time in the largest unit that fits it: `90 minutes`, `2 days`."""
    seconds = int(length.total_seconds())
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
    return plural(seconds // size, unit)


_RETRY = re.compile(r"(?P<times>[0-9]{1,3}) times?(?: (?:over|within|in) (?P<over>.+))?")
_MOST_TRIES = 50
_LONGEST_RETRY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Retry(ScalarField):
    """How often a failed delivery is tried, and over how long: `8 times over 24 hours`, or `no`.

    Filled in as `{"times": 8, "over": 86400}`, in seconds; without `over` where none was written.
    """

    kind: ClassVar[str] = "number of tries"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take `8 times over 24 hours`, `3 times`, `no`."""
        if node.truth is False or normal_key(node.text) in ("never", "once"):
            return Fixed(node.mark, {"times": 1})
        told = self._told(_RETRY.fullmatch(normal_key(node.text)))
        if isinstance(told, dict):
            return Fixed(node.mark, told)
        self.fault(node, problems, f"{self.name} {told}, not {self.quoted(node)}")
        return None

    def _told(self, match: re.Match[str] | None) -> dict[str, int] | str:
        if match is None:
            return "takes a number of tries and a time, such as `8 times over 24 hours`"
        times = int(match["times"])
        over = read_duration(match["over"]) if match["over"] else None
        if not 1 <= times <= _MOST_TRIES:
            return f"takes 1 to {_MOST_TRIES} times"
        if match["over"] and (over is None or not timedelta() < over <= _LONGEST_RETRY):
            return f"takes a time of at most {spoken(_LONGEST_RETRY)}"
        return {"times": times} if over is None else {"times": times, "over": int(over.total_seconds())}

    def shape(self) -> dict[str, Any]:
        """A text such as `8 times over 24 hours`, or no."""
        return {"type": ["string", "boolean"]}


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True, slots=True)
class Texts(Field):
    """Texts by name; those of headers on one line each. `fixed` ones come not from the event."""

    fixed: bool = False
    headers: bool = False
    kind: ClassVar[str] = "list of names with a text each"

    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read `name: text` lines."""
        if not isinstance(node, MappingNode):
            message = f"{self.name} takes lines of its own below it, each with a name and a text"
            problems.error(node.mark, message, f"{self.name}:\n  {self.example or 'name: text'}")
            return None
        found: dict[str, FieldValue] = {}
        for entry in node:
            value = self._entry(entry, found, problems)
            if value is not None:
                found[entry.key.text] = value
        return Named(node.mark, tuple(found.items()))

    def _entry(self, entry: Entry, found: Mapping[str, Any], problems: Problems) -> FieldValue | None:
        name = entry.key.text
        told = self._name_fault(name, found) if self.headers else None
        if told:
            problems.error(entry.key.mark, told)
            return None
        if isinstance(entry.value, ScalarNode) and entry.value.empty and self.headers:
            problems.error(entry.key.mark, f"{name} is empty: write its text, or leave the line out")
            return None
        return self._field(name).read(entry.value, problems)

    def _field(self, name: str) -> Field:
        if self.fixed:
            return Word(name, self.help, secret=self.secret)
        return Text(name, self.help, lines="one" if self.headers else "many")

    def _name_fault(self, name: str, found: Mapping[str, Any]) -> str | None:
        if not _HEADER.fullmatch(name):
            return (
                f'"{cut(one_line(name), _SHOWN)}" cannot be the name of a header: use letters, digits and -'
            )
        other = next((one for one in found if one.casefold() == name.casefold() and one != name), None)
        return (
            f"{name} is {other} once more, since headers ignore case, and only one could count"
            if other
            else None
        )

    def shape(self) -> dict[str, Any]:
        """An object of texts."""
        return {"type": "object", "additionalProperties": {"type": [*_SCALAR, "null"]}}


def read_fields(
    mapping: MappingNode, fields: Sequence[Field], problems: Problems, what: str
) -> dict[str, FieldValue]:
    """The settings of a block by the names of their fields, defaults filled in, and every fault noted.

    `what` is what the block is called in messages (`slack`). A setting that was written but cannot be used is
    there as `Faulty`; a misspelt one counts as the one that was probably meant.
    """
    known = {normal_key(field.name): field for field in fields}
    values: dict[str, FieldValue] = {}
    for entry, beside in _with_lines_beside(mapping, known):
        if beside:
            _nothing_under(entry, beside[0], problems)
            values.setdefault(known[normal_key(entry.key.text)].name, Faulty(entry.value.mark, None))
            continue
        field = known.get(normal_key(entry.key.text)) or _unknown(entry, fields, problems, what)
        if field is None or field.name in values:  # one written twice is told where the document is read
            continue
        values[field.name] = _read(field, entry, problems) or Faulty(entry.value.mark, None)
    for field in fields:
        if field.name in values:
            continue
        if field.default is not None:
            values[field.name] = Fixed(mapping.mark, field.default)
        elif field.required:
            problems.error(mapping.mark, f"{what} needs `{field.name}`: {field.help}", field.line)
    return values


def fixed_values(values: Mapping[str, FieldValue]) -> dict[str, Any]:
    """The values of settings that do not depend on an event, as those of a connection do not."""
    return {name: _plain(value) for name, value in values.items()}


def public_facts(fields: Sequence[Field], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a connection that may be known: of a secret only that it is there (True)."""
    secret = {field.name for field in fields if field.secret}
    return {name: True if name in secret else value for name, value in settings.items()}


def secret_texts(fields: Sequence[Field], settings: Mapping[str, Any]) -> Iterator[str]:
    """Every secret text of a connection, each header of it by itself."""
    for field in fields:
        value = settings.get(field.name) if field.secret else None
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from value.values()


def _plain(value: FieldValue) -> Any:
    if isinstance(value, Named):
        return fixed_values(dict(value.entries))
    if isinstance(value, Fixed):
        return value.value
    raise TypeError(f"a setting at line {value.mark.line} depends on an event")


def _with_lines_beside(
    mapping: MappingNode, known: Mapping[str, Field]
) -> Iterator[tuple[Entry, tuple[Entry, ...]]]:
    """Each setting with the lines that were to stand below it: strange ones right after an empty one of many lines."""
    entries = list(mapping)
    while entries:
        entry = entries.pop(0)
        beside: list[Entry] = []
        field = known.get(normal_key(entry.key.text))
        if field is not None and not isinstance(field, ScalarField) and _is_empty(entry.value):
            while entries and normal_key(entries[0].key.text) not in known:
                beside.append(entries.pop(0))
        yield entry, tuple(beside)


def _nothing_under(entry: Entry, first: Entry, problems: Problems) -> None:
    message = f'"{entry.key.text}" has nothing under it. Indent the lines below by two more spaces'
    value = first.value.text if isinstance(first.value, ScalarNode) else "…"
    problems.error(entry.key.mark, message, f"{entry.key.text}:\n  {first.key.text}: {write_value(value)}")


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and (node.empty or not node.text.strip())


def _read(field: Field, entry: Entry, problems: Problems) -> FieldValue | None:
    if _is_empty(entry.value):
        message = f"{field.name} is empty: write its value, or leave the line out"
        problems.error(entry.key.mark, message, field.line)
        return None
    return field.read(entry.value, problems)


def _unknown(entry: Entry, fields: Sequence[Field], problems: Problems, what: str) -> Field | None:
    """Note a setting that is not there; the field that was probably meant."""
    by_name = {field.name: field for field in fields}
    right = next(iter(nearest(entry.key.text, by_name)), None)
    message = f'{what} has no setting called "{cut(one_line(entry.key.text), _SHOWN)}".'
    if right:
        problems.error(entry.key.mark, f"{message} Did you mean `{right}`?", f"{right}:")
    else:
        problems.error(entry.key.mark, f"{message} It takes {listing(by_name)}")
    return by_name.get(right or "")
