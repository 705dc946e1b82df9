"""The JSON Schema of a rule file, for editors: completion, help under the mouse, and faults at the right word.

Made of the same descriptions that the rules are read by: settings, events and their fields, comparisons, actions.
An editor knows no more than a schema can say; `shopbell check` says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from engine.actions.base import Action
from engine.language.fields import Field
from engine.language.operators import COMPARISONS, Comparison
from engine.language.words import RULE_SETTINGS
from engine.model import Mode
from engine.rulebook.reading import CLOCK, LATER_ACTIONS
from engine.rulebook.shapes import Shape
from engine.rulebook.trial import EXPECTED
from engine.rulebook.trial import SETTINGS as TEST_SETTINGS
from engine.rulebook.vocabulary import Language
from engine.sources.base import EventType, FieldInfo
from engine.timing.base import Timing

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_SCALAR: Final = ["string", "number", "boolean"]
_TEXT: Final[Schema] = {"type": _SCALAR}
_TRUTH: Final[Schema] = {"enum": [True, False, "yes", "no", "on", "off"]}


def schema(language: Language) -> Schema:
    """The schema (draft 2020-12) of rule files in a language, as plain JSON."""
    types = tuple(language.event_types.values())
    shapes = {name: language.shape(frozenset(some)) for name, some in _by_object(types).items()}
    every = language.shape(frozenset(language.event_types))
    definitions: Schema = {"comparisons": _comparisons()}
    for name, shape in {**shapes, "event": every}.items():
        definitions[f"{name} conditions"] = _conditions(f"{name} conditions", shape)
    for info in every.fields.values():
        if info.kind == "list":
            definitions[f"entries of {info.path}"] = _entries(info, every.fields.values())
    return {
        "$schema": DRAFT,
        "title": "Shopbell rule",
        "description": "When this happens in the shop, if these things hold, do that.",
        "type": "object",
        "properties": _properties(language, types, every),
        "patternProperties": _spellings(RULE_SETTINGS),
        "additionalProperties": False,
        "required": ["when", "then"],
        **_conditions_by_event(_by_object(types)),
        "$defs": definitions,
    }


def _by_object(types: Iterable[EventType]) -> dict[str, list[str]]:
    """The names of the event types by what they are about."""
    found: dict[str, list[str]] = {}
    for event_type in types:
        found.setdefault(event_type.object, []).append(event_type.name)
    return found


# settings


def _properties(language: Language, types: Iterable[EventType], every: Shape) -> Schema:
    special: Schema = {
        "name": _TEXT,
        "why": _TEXT,
        "mode": {"enum": [*Mode, True, False]},
        "when": _when(tuple(types)),
        "late events": _TRUTH,
        "timezone": {"type": "string", "examples": [str(language.shop.timezone), "Europe/Paris"]},
        "then": _then(language.actions),
        "tests": _tests(language, every),
    }
    timed = {word: kind.schema() for word, kind in language.timing.items() if kind.example}
    help = {**{word: _help_of(language.timing[word]) for word in timed if word != CLOCK}, **RULE_SETTINGS}
    order = [*RULE_SETTINGS, *(word for word in help if word not in RULE_SETTINGS)]
    return {word: {"description": help[word], **special.get(word, timed.get(word, {}))} for word in order}


def _help_of(kind: type[Timing]) -> str:
    return " ".join((kind.__doc__ or "").split())


_CONDITIONS: Final = ("if", "unless", "still if")


def _spellings(words: Iterable[str]) -> Schema:
    """The other spellings of words with a blank, which no editor need offer: `late_events`, `late-events`."""
    several = [word for word in words if " " in word]
    return {f"^{word.replace(' ', '[_-]')}$": {} for word in several}


def _when(types: tuple[EventType, ...]) -> Schema:
    names = _events(types)
    pattern = {"type": "string", "pattern": "[*?]", "examples": [f"{name}_*" for name in _by_object(types)]}
    clock = {"type": "string", "pattern": "^[Ee]very ", "examples": ["every weekday at 08:00"]}
    several = {"type": "array", "minItems": 1, "items": {"anyOf": [names, pattern]}}
    return {"anyOf": [names, pattern, clock, several, {"type": "object"}]}


def _events(types: Iterable[EventType]) -> Schema:
    """The names of event types; editors show the sentence beside each."""
    told = {event_type.name: event_type.help for event_type in types}
    return {"enum": list(told), "enumDescriptions": list(told.values())}


def _conditions_by_event(objects: Mapping[str, list[str]]) -> Schema:
    """What may stand under `if` depends on the event: a chain of `if … then … else`, at its end any field."""
    chain: Schema = _conditions_of("event")
    for name, events in reversed(list(objects.items())):
        about: Schema = {"type": "string", "pattern": f"^({'|'.join(events)}|{name}_[*])$"}
        when = {"anyOf": [about, {"type": "array", "items": about}]}
        test = {"required": ["when"], "properties": {"when": when}}
        chain = {"if": test, "then": _conditions_of(name), "else": chain}
    return chain


def _conditions_of(name: str) -> Schema:
    return {"properties": {word: {"$ref": f"#/$defs/{name} conditions"} for word in _CONDITIONS}}


# conditions


def _conditions(name: str, shape: Shape) -> Schema:
    """A block of conditions, or a list of such blocks."""
    block = {"$ref": f"#/$defs/{name}"}
    fields = _own_first(shape)
    properties = {info.path: _field(info) for info in fields}
    patterns = {_loosely(info.path): _field(info) for info in fields if "[*]" in info.path}
    for info in fields:
        if info.kind == "list":
            listed, loose = _list_conditions(info)
            properties |= listed
            patterns |= loose
    return _block({**properties, **_groups(block), **_LONG_FORM}, {**patterns, **_PATHS}, block)


def _own_first(shape: Shape) -> list[FieldInfo]:
    """The fields in the order in which an editor offers them: what the events carry before what is known beside it."""
    own = {path: info for event_type in shape.types for path, info in event_type.fields.items()}
    return [info for info in {**own, **shape.fields}.values() if not info.path.endswith("[*]")]


def _block(properties: Schema, patterns: Schema, items: Schema) -> Schema:
    return {
        "type": ["object", "array"],
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": False,
        "minProperties": 1,
        "items": items,
        "minItems": 1,
    }


_PATHS: Final[Schema] = {
    r"^\$": {
        "description": "JSONPath as written; several results mean any of them.",
        "$ref": "#/$defs/comparisons",
    },
    r"^([Aa]ny|[Ee]very[ _-]one|[Nn]one)[ _-]of \$": {"type": ["object", "array", *_SCALAR]},
    r"^([Cc]ount|[Ss]um)[ _-]of \$": {"$ref": "#/$defs/comparisons"},
}
_LONG_FORM: Final[Schema] = {
    "path": {"description": "The long form: the field.", "type": "string"},
    "is": {"description": "The long form: the comparison.", "type": ["object", "array", *_SCALAR]},
    "value": {"description": "The long form: what the field is compared with.", "type": ["array", *_SCALAR]},
    "formula": {
        "description": "An expression that is true or false, for developers.",
        "type": "string",
        "examples": ["order.total > order.item_total * 2"],
    },
}


def _groups(block: Schema) -> Schema:
    told = {
        "all": "All of these must hold.",
        "any": "One of these must hold.",
        "not": "None of these may hold.",
    }
    return {word: {"description": help, **block} for word, help in told.items()}


def _loosely(path: str) -> str:
    """A pattern for a path whose list steps may be any item, one by its number, or left out."""
    return "^" + re.escape(path).replace(r"\[\*\]", r"(\[(\*|-?[0-9]+)\])?") + "$"


def _list_conditions(info: FieldInfo) -> tuple[Schema, Schema]:
    """The lines that begin with `any of`, `count of` and so on, by name and by pattern."""
    entries = {"$ref": f"#/$defs/entries of {info.path}"}
    told = {
        "any of": "Holds when all lines below hold of one and the same entry.",
        "every one of": "Holds when the lines below hold of every entry, and there is one.",
        "none of": "Holds when the lines below hold of no entry.",
    }
    named = {
        f"{word} {info.path}": {"description": f"{help} {info.help}", **entries}
        for word, help in told.items()
    }
    count = {"description": f"How many there are. {info.help}", "$ref": "#/$defs/comparisons"}
    path = _loosely(info.path)[1:-1]
    patterns: Schema = {f"{_OF_ITEMS}{path}$": entries, f"^([Cc]ount|[Ss]um)[ _-]of {path}": count}
    inner = {f"{_OF_ITEMS}{path}\\..": {"$ref": "#/$defs/comparisons"}}
    return {**named, f"count of {info.path}": count}, {**patterns, **inner}


_OF_ITEMS: Final = "^([Aa]ny|[Ee]very[ _-]one|[Nn]one)[ _-]of "


def _entries(info: FieldInfo, fields: Iterable[FieldInfo]) -> Schema:
    """Lines about one entry of a list."""
    head = f"{info.path}[*]."
    inner = {
        one.path.removeprefix(head): _field(one)
        for one in fields
        if one.path.startswith(head) and not one.path.endswith("[*]")
    }
    loose = {_loosely(path): value for path, value in inner.items() if "[*]" in path}
    lines: Schema = _block({**inner, **_groups({}), **_LONG_FORM}, {**loose, **_PATHS, _OF_ITEMS: {}}, {})
    return {**lines, "type": ["object", "array", *_SCALAR]}


def _field(info: FieldInfo) -> Schema:
    return {"description": _help(info), "$ref": "#/$defs/comparisons", "examples": _examples(info)}


def _help(info: FieldInfo) -> str:
    example = "" if info.example is None else f" For example {info.example}."
    empty = " May be empty." if info.nullable else ""
    return f"{info.help or info.path}{empty}{example}"


def _examples(info: FieldInfo) -> list[str | bool]:
    usual: dict[str, list[str | bool]] = {
        "amount": ["at least 200 USD", "more than 0", "between 100 and 200 USD"],
        "number": ["at least 3", "more than 0"],
        "time": ["within last 2 hours", "older than 48 hours", "on a weekend"],
        "truth": ["yes", "no"],
    }
    return usual.get(info.kind, [*info.values, "present", "missing"])


def _comparisons() -> Schema:
    """A value, a comparison as a text, a list of values, or a block of comparisons by their words.

    Only the usual words are offered; other spellings are taken.
    """
    words: Schema = {}
    for one in COMPARISONS.values():
        words[one.word] = _operand(one, negated=False)
        if one.negative:
            words[one.said(True)] = _operand(one, negated=True)
    return {
        "type": ["object", "array", *_SCALAR],
        "properties": words,
        "patternProperties": _other_words(),
        "additionalProperties": False,
        "minProperties": 1,
        "items": {"type": _SCALAR},
        "minItems": 1,
    }


@cache
def _other_words() -> Schema:
    """Every spelling of every comparison, as one pattern."""
    spelled = [word for one in COMPARISONS.values() for word in (*one.words, *one.negative)]
    loose = (re.escape(word).replace("\\ ", "[ _-]") for word in sorted(spelled))
    return {f"^({'|'.join(loose)})$": {}}


def _operand(comparison: Comparison, negated: bool) -> Schema:
    lead = f"The opposite of `{comparison.word}`. " if negated else ""
    description = f"{lead}{comparison.help}"
    if comparison.takes_nothing:
        return {"description": description, "enum": [True, False, "yes", "no", None]}
    return {
        "description": description,
        "type": ["array", *_SCALAR] if comparison.operand.several else _SCALAR,
    }


# actions


def _then(actions: Mapping[str, Action]) -> Schema:
    later = {f"^{word.replace(' ', '[ _-]')}$": _LATER for word in (*LATER_ACTIONS, "or else")}
    item = {
        "type": "object",
        "properties": {word: _action(action) for word, action in actions.items()},
        "patternProperties": later,
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"type": "array", "items": item, "minItems": 1}


_LATER: Final[Schema] = {"type": "object", "description": "Not in this version yet."}


def _action(action: Action) -> Schema:
    fields = action.fields
    return {
        "description": " ".join((type(action).__doc__ or "").split()),
        "type": "object",
        "properties": {field.name: _setting(field) for field in fields},
        "patternProperties": {**_spellings(field.name for field in fields), "^or[ _-]else$": _LATER},
        "additionalProperties": False,
        "required": [field.name for field in fields if field.required],
    }


def _setting(field: Field) -> Schema:
    """The setting's own schema, with its examples as values and not as they are written in YAML."""
    found = field.schema()
    examples = [_plain(text) for text in found.pop("examples", ())]
    return found if "object" in found.get("type", ()) else {**found, "examples": examples}


def _plain(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text


# tests


def _tests(language: Language, every: Shape) -> Schema:
    known = [info for info in every.fields.values() if not info.path.endswith("[*]")]
    changes = {
        "type": ["object", "null"],
        "properties": {info.path: {"description": _help(info)} for info in known},
        "patternProperties": {_loosely(info.path): {} for info in known if "[*]" in info.path},
        "additionalProperties": False,
    }
    special: Schema = {
        "name": _TEXT,
        "given": _events(language.event_types.values()),
        "with": changes,
        "before": changes,
        "at": {"type": "string", "examples": ["2026-12-24 18:00"]},
        "then after": {"type": "string", "examples": ["48 hours"]},
        "expect": {"enum": [outcome.value for outcome in EXPECTED]},
        "expect text": {"type": ["string", "array"], "examples": ["contains $250.00"]},
    }
    item = {
        "type": "object",
        "properties": {word: {"description": help, **special[word]} for word, help in TEST_SETTINGS.items()},
        "patternProperties": {"^then[ _-]after": {}, **_spellings(TEST_SETTINGS)},
        "additionalProperties": False,
        "required": ["given", "expect"],
    }
    return {"type": "array", "items": item, "minItems": 1}
