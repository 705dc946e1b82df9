"""Paths into an event: parsed once when a rule is read, then followed by direct lookups.

A bare path (`order.line_items[*].sku`) is JSONPath without its `$.`, and a name in it also looks into the items
of a list. A path that starts with `$` is JSONPath as written: the standard, else the known extensions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from jsonpath import JSONPathError
from jsonpath_ng.exceptions import JSONPathError as ExtensionError
from jsonpath_ng.ext.string import DefintionInvalid

from engine.language.amount import read_amount
from engine.language.paths.extended import compile_extended
from engine.language.paths.standard import compile_standard
from engine.language.paths.walking import Comparing, Compiled, FilterUse, Refused, TooMuchWork
from engine.language.pattern import PatternError

MOST_STEPS: Final = 12
MOST_RESULTS: Final = 1000
LONGEST: Final = 500

Step: TypeAlias = str | int | None
"""A field's name, a place in a list, or None for any item."""


class PathError(ValueError):
    """A path that cannot be read: why in plain words, the offset of the fault in its text, and what to write."""

    def __init__(self, message: str, offset: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


class PathLimit(Exception):
    """A path that leads to more than it may in one event; its text says so for a person."""


@dataclass(frozen=True, slots=True)
class PathNote:
    """What the author of a path should know about it."""

    severity: Literal["warning", "note"]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read. Two paths of the same text are the same.

    `steps` are those of a simple path (fields, places, any item), None for any other. `standard` is False
    for JSONPath beyond RFC 9535. `filters` tells, for each filter, the simple steps it stands on and what it
    compares, for those who know what an event looks like.
    """

    text: str
    steps: tuple[Step, ...] | None = field(compare=False)
    standard: bool = field(compare=False)
    notes: tuple[PathNote, ...] = field(compare=False)
    filters: tuple[FilterUse, ...] = field(compare=False)
    _find: Callable[[object], list[object]] = field(compare=False, repr=False)

    @property
    def bare(self) -> bool:
        """Whether it is written without `$`."""
        return not self.text.startswith("$")

    @property
    def last(self) -> str:
        """The name of the field it leads to, "" where it ends otherwise."""
        names = [step for step in self.steps or () if isinstance(step, str)]
        ending = _LAST_NAME.search(self.text) if self.steps is None else None
        return names[-1] if names else ending[1] if ending else ""

    @property
    def first(self) -> str:
        """The name of the field it starts at, "" where it starts otherwise."""
        start = _FIRST_NAME.match(self.text)
        return start[1] if start else ""

    def find(self, root: object) -> list[object]:
        """Every value in an event (or an item of one) that the path leads to, in order; empty where there is none.

        Raises `PathLimit` where a path that is not simple leads to too much.
        """
        if not isinstance(root, dict) and isinstance(root, Mapping):
            root = dict(root)
        return self._find(root)


_LAST_NAME: Final = re.compile(r"\.([A-Za-z_]\w*)$")
_FIRST_NAME: Final = re.compile(r"(?:\$\.)?([A-Za-z_]\w*)")


@lru_cache(maxsize=8192)
def parse_path(text: str) -> Path:
    """Read a path. Raises `PathError` for what is no path, and for one that would cost too much."""
    _refuse_at_sight(text)
    if text.startswith("$"):
        compiled, standard = _compile(text)
    else:
        compiled, standard = _compile_bare(text)
    _refuse_costly(text, compiled)
    steps = None if compiled.shape is None else tuple(compiled.shape)
    find = _bounded(compiled) if steps is None else _direct(steps, through_lists=not text.startswith("$"))
    return Path(text, steps, standard, _notes(text, compiled, standard), tuple(compiled.filters), find)


def join_paths(outer: Path, inner: Path) -> Path | None:
    """The path to what `inner` finds in each item that `outer` finds, None where that cannot be said simply.

    It may lead to more than the items' values, never to less.
    """
    if not (outer.bare and inner.bare and outer.steps and inner.steps and isinstance(inner.steps[0], str)):
        return None
    inner_text = inner.text if inner.text.startswith("[") else f".{inner.text}"
    try:
        return parse_path(outer.text + inner_text)
    except PathError:  # each is short enough, both together are not
        return None


def _compile(text: str) -> tuple[Compiled, bool]:
    """The standard first, then the extensions."""
    try:
        return compile_standard(text), True
    except (JSONPathError, RecursionError, Refused) as error:
        fault = error
    try:
        return compile_extended(text), False
    except Refused as refused:
        raise PathError(f"the path `{text}` is refused: {refused}") from None
    except PatternError as bad:
        raise PathError(f"the pattern in the path `{text}` cannot be read: {bad}") from None
    except (ExtensionError, DefintionInvalid, RecursionError, re.error, AttributeError):
        raise _explained(text, _offset(text, fault)) from None


def _compile_bare(text: str) -> tuple[Compiled, bool]:
    written = f"${text}" if text.startswith("[") else f"$.{text}"
    try:
        return compile_standard(written, through_lists=True), True
    except (JSONPathError, RecursionError, Refused) as error:
        if not _EXTENSION.search(text):
            raise _explained(text, max(0, _offset(written, error) - len(written) + len(text))) from None
    try:
        return _compile(written)
    except PathError as fault:
        offset = max(0, fault.offset - len(written) + len(text))
        raise PathError(fault.message.replace(f"`{written}`", f"`{text}`"), offset, fault.hint) from None


_EXTENSION: Final = re.compile(r"`|=~|\[[\\/]")


def _offset(text: str, error: Exception) -> int:
    token = error.token if isinstance(error, JSONPathError) else None
    return len(text) if token is None or token.index < 0 else token.index


# What cannot be a path, said in plain words.

_SCRAP: Final = re.compile(r"""\[[^\]]*\]?|"[^"]*"?|'[^']*'?""")
_COMPARISON: Final = re.compile(r"\s*(==|!=|<=|>=|=|<|>)\s*(.*)$")
_WORDS: Final = {
    "==": "",
    "=": "",
    "!=": "is not ",
    "<=": "at most ",
    ">=": "at least ",
    "<": "less than ",
    ">": "more than ",
}
_ODD_NAME: Final = re.compile(r"(?:^|\.)([A-Za-z_]\w*[ -][\w -]*\w)")


def _refuse_at_sight(text: str) -> None:
    if not text.strip():
        raise PathError("the path is empty", 0, "Write the field, for example `order.total`")
    if "{{" in text:
        inner = text.strip("{} ") or "order.total"
        raise PathError(f"a path is written without {{{{ }}}}: `{text}`", text.index("{{"), inner)
    if len(text) > LONGEST:
        raise PathError(f"the path is longer than {LONGEST} letters", LONGEST)
    if text.startswith("."):
        raise PathError(f"the path `{text}` starts with a dot", 0, text.lstrip("."))
    if not text.startswith("$") and ".." in _SCRAP.sub(_blank, text):
        at = _SCRAP.sub(_blank, text).index("..")
        message = (
            f"there are two dots in a row in `{text}`; for a field at any depth write JSONPath, from the $ on"
        )
        raise PathError(message, at, text.replace("..", "."))


def _refuse_costly(text: str, compiled: Compiled) -> None:
    if compiled.descents > 1:
        first = text.index("..")
        at = text.find("..", first + 2)
        raise PathError(
            f"the path `{text}` has more than one `..`, which would take too long", max(at, first)
        )
    if compiled.length > MOST_STEPS:
        raise PathError(f"the path `{text}` has more than {MOST_STEPS} steps", 0)


def _blank(match: re.Match[str]) -> str:
    return "_" * len(match[0])


def _explained(text: str, at: int) -> PathError:
    """A fault that the readers found at an offset, in words for the author."""
    outside = _SCRAP.sub(_blank, text)
    comparison = _COMPARISON.search(outside)
    odd = _ODD_NAME.search(outside)
    if text.endswith("."):
        message = f"the path `{text}` ends too early: a field name is missing after the last dot"
        return PathError(message, len(text) - 1, _without_jsonpath(text.rstrip(".")))
    if re.match(r"\$[A-Za-z_]", text):
        return PathError(f"a dot is missing after the $ in `{text}`", 1, _without_jsonpath(f"$.{text[1:]}"))
    if comparison:
        sign, wanted = comparison[1], text[comparison.start(2) :]
        corrected = f"{text[: comparison.start()].removeprefix('$.')}: {_WORDS[sign]}{wanted}"
        return PathError(
            f"a comparison goes after the colon, not into the path `{text}`", comparison.start(1), corrected
        )
    if odd:
        corrected = f'{text[: odd.start()]}["{odd[1]}"]{text[odd.end() :]}'
        if " " in odd[1] and not text.startswith("$"):
            right = _without_blanks(text, odd)
            brackets = f"; a name that has the blank in it is written `{corrected}`" if "." in text else ""
            return PathError(
                f"there is a blank in the path `{text}`{brackets}", odd.start(1) + odd[1].index(" "), right
            )
        return PathError(
            f"a name with a blank or a dash is written in brackets and quotes: `{text}`",
            odd.start(1),
            corrected,
        )
    if text.count("[") > text.count("]"):
        return PathError(f"a closing ] is missing in the path `{text}`", text.rindex("["), f"{text}]")
    rest = text[at : at + 20] or text[-1]
    return PathError(f'the path `{text}` cannot be read from "{rest}" on', min(at, len(text) - 1))


def _without_blanks(text: str, odd: re.Match[str]) -> str:
    """A path whose blanks were probably a dot (`order total`) or `_` (`order.ship address.city`)."""
    object_, _, field = odd[1].partition(" ")
    words = odd[1] if "." in text else field
    name = re.sub(r"[ -]+", "_", words)
    return f"{text[: odd.start(1)]}{name if '.' in text else f'{object_}.{name}'}{text[odd.end() :]}"


def _without_jsonpath(text: str) -> str:
    return (
        f"If you do not need JSONPath, write `{text[2:]}` without the `$.`"
        if text[:2] == "$." and text[2:]
        else text
    )


# What its author should know.


def _notes(text: str, compiled: Compiled, standard: bool) -> tuple[PathNote, ...]:
    notes = [] if standard else [PathNote("note", f"not standard JSONPath: `{text}` uses an extension of it")]
    for use in compiled.filters:
        notes += [_on_the_event(compare) for compare in use.compares if use.parent == ()]
        notes += [_letter_by_letter(use, compare) for compare in use.compares if _looks_numeric(compare)]
    return tuple(notes)


def _looks_numeric(compare: Comparing) -> bool:
    return (
        compare.operator in ("<", ">", "<=", ">=")
        and isinstance(compare.literal, str)
        and read_amount(compare.literal) is not None
    )


def _letter_by_letter(use: FilterUse, compare: Comparing) -> PathNote:
    literal = str(compare.literal)
    message = f"'{literal}' is a text here, so it is compared letter by letter and not as an amount"
    if literal.replace(".", "", 1).isdigit():
        return PathNote("warning", message, f"Write {literal} without quotes")
    line = f"{'.'.join(compare.names)}: {_WORDS[compare.operator]}{literal}"
    parent = "".join(f".{step}" for step in use.parent or () if isinstance(step, str)).lstrip(".")
    return PathNote("warning", message, f"any of {parent or 'the list'}: {{{line}}}")


def _on_the_event(compare: Comparing) -> PathNote:
    message = "this filter stands on the event itself, which is no list, so it looks one level too deep"
    return PathNote(
        "warning", message, f"{'.'.join(compare.names)}: {_WORDS[compare.operator]}{compare.literal}"
    )


# Following a path.


def _bounded(compiled: Compiled) -> Callable[[object], list[object]]:
    def find(root: object) -> list[object]:
        try:
            found = compiled.find(root)
        except TooMuchWork:
            raise PathLimit("the path passes too many values of this event") from None
        if len(found) > MOST_RESULTS:
            raise PathLimit(f"the path leads to more than {MOST_RESULTS:,} values of this event")
        return found

    return find


def _direct(steps: tuple[Step, ...], through_lists: bool) -> Callable[[object], list[object]]:
    """The lookup of a simple path; its work is bounded by the event, since it passes no value twice."""
    if all(isinstance(step, str) for step in steps):
        return _names(steps, through_lists)
    return lambda root: _follow(steps, [root], through_lists)


def _names(names: tuple[Step, ...], through_lists: bool) -> Callable[[object], list[object]]:
    def find(root: Any) -> list[object]:
        for place, name in enumerate(names):
            if isinstance(root, dict):
                if name not in root:
                    return []
                root = root[name]
            elif through_lists and isinstance(root, list):
                return _follow(names[place:], [root], True)
            else:
                return []
        return [root]

    return find


def _follow(steps: tuple[Step, ...], values: list[Any], through_lists: bool) -> list[Any]:
    for step in steps:
        if isinstance(step, str):
            values = _named(step, values, through_lists)
        elif step is None:
            values = [child for value in values for child in _children(value)]
        else:
            values = [v[step] for v in values if isinstance(v, list) and -len(v) <= step < len(v)]
    return values


def _named(name: str, values: list[Any], through_lists: bool) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, dict):
            if name in value:
                found.append(value[name])
        elif through_lists and isinstance(value, list):
            found += _named(name, value, True)
    return found


def _children(value: object) -> Any:
    return value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
