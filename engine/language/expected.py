"""What answer of another system means success: its status code, and what must hold in the answer itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from engine.language.condition import Condition, read_conditions
from engine.language.document import read_document
from engine.language.fields import Field, FieldValue, Fixed
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.plain import cut, one_line
from engine.language.problem import Problems
from engine.language.scope import Scope
from engine.language.words import normal_key
from engine.model import Answer

_STATUS = re.compile(r"(?P<low>[1-5][0-9]{2})(?:-(?P<high>[1-5][0-9]{2}))?|(?P<class>[1-5])xx", re.IGNORECASE)
_UNSAFE_IN_A_LIST = re.compile(r"[,\[\]{}#:]")
_SHOWN = 60
_USUAL = ["2xx"]
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class Expected(Field):
    """The answers that mean success: `2xx`, `200, 404`, or `{status: 2xx, $.ok: yes}`.

    Filled in as a list of status codes, classes and ranges; with conditions on the answer as
    `{"status": [...], "answer": ["$.ok: yes"]}`, each condition on a line as it would stand in a rule.
    """

    kind: ClassVar[str] = "status codes, or conditions on the answer"

    def read(self, node: Node, problems: Problems) -> FieldValue | None:
        """Read codes, or lines with `status` and paths into the answer."""
        if isinstance(node, MappingNode):
            return self._block(node, problems)
        codes = self._codes(node, problems)
        return None if codes is None else Fixed(node.mark, codes)

    def _block(self, node: MappingNode, problems: Problems) -> FieldValue | None:
        before = len(problems.found)
        codes: list[str] | None = _USUAL
        conditions: list[Entry] = []
        for entry in node:
            if normal_key(entry.key.text) == "status":
                codes = self._codes(entry.value, problems)
            elif "$" in entry.key.text:
                conditions.append(entry)
            else:
                self._no_place(entry, problems)
        for condition in (
            read_conditions(MappingNode(tuple(conditions), node.mark), problems) if conditions else ()
        ):
            if condition.needs_before:
                problems.error(condition.mark, "an answer has no past that it could have changed from")
        if codes is None or any(one.severity == "error" for one in problems.found[before:]):
            return None
        lines = [_line(entry) for entry in conditions]
        return Fixed(node.mark, {"status": codes, "answer": lines} if lines else codes)

    def _no_place(self, entry: Entry, problems: Problems) -> None:
        name = cut(one_line(entry.key.text), _SHOWN)
        message = f'{self.name} takes `status` and places in the answer, which begin with $., not "{name}"'
        problems.error(entry.key.mark, message, f"$.{name}: {_written(entry.value)}")

    def _codes(self, node: Node, problems: Problems) -> list[str] | None:
        parts = list(_parts(node))
        if parts and all(_STATUS.fullmatch(part) for part in parts):
            return [part.casefold() for part in parts]
        shown = self.quoted(node) if isinstance(node, ScalarNode) else "what is written there"
        self.fault(node, problems, f"{self.name} takes status codes such as 2xx or 200, 404, not {shown}")
        return None

    def shape(self) -> dict[str, Any]:
        """A text or number, a list of them, or an object."""
        return {"type": ["string", "integer", "array", "object"]}


def _parts(node: Node) -> Iterator[str]:
    if isinstance(node, ScalarNode):
        yield from (part.strip() for part in node.text.split(","))
    elif isinstance(node, SequenceNode):
        for item in node:
            yield item.text.strip() if isinstance(item, ScalarNode) else ""
    else:
        yield ""


def _line(entry: Entry) -> str:
    """A condition on one line, so that it reads back as it was."""
    value = entry.value
    text = value.text if isinstance(value, ScalarNode) and value.style == "plain" else _written(value)
    return f"{_written(entry.key)}: {text}"


def _written(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return f"[{', '.join(_written(item) for item in node)}]"
    if isinstance(node, MappingNode):
        return f"{{{', '.join(f'{_written(one.key)}: {_written(one.value)}' for one in node)}}}"
    plain = node.style == "plain" and not _UNSAFE_IN_A_LIST.search(node.text)
    return node.text if plain else json.dumps(node.text, ensure_ascii=False)


def expected(status: int, expect: Any) -> bool:
    """Whether a status code is one of those that an `Expected` setting names."""
    codes = expect["status"] if isinstance(expect, dict) else expect
    return any(_covers(_STATUS.fullmatch(part), status) for part in codes)


def unmet(expect: Any, body: bytes, now: datetime) -> str:
    """What of an `Expected` setting does not hold of an answer, empty where all does."""
    if not isinstance(expect, dict) or not expect["answer"]:
        return ""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError):
        return f"{expect['answer'][0]}, but the answer is not JSON, or longer than is read of it"
    scope = Scope(answer, now)
    verdicts = (condition.judge(scope) for condition in _conditions(tuple(expect["answer"])))
    wrong = next((verdict for verdict in verdicts if verdict.answer is not Answer.YES), None)
    if wrong is None:
        return ""
    return f"{wrong.text}, but {wrong.because}" if wrong.because else wrong.text


@lru_cache(maxsize=256)
def _conditions(lines: tuple[str, ...]) -> tuple[Condition, ...]:
    problems = Problems("expect")
    document = read_document("\n".join(lines), problems)
    found = read_conditions(document, problems) if document is not None else ()
    if problems.broken or len(found) != len(lines):
        raise ValueError("the conditions on the answer cannot be read")
    return found


def _covers(match: re.Match[str] | None, status: int) -> bool:
    if match is None:
        return False
    if match["class"]:
        return status // 100 == int(match["class"])
    return int(match["low"]) <= status <= int(match["high"] or match["low"])
