"""Reads the lines under `if`, `unless` and `still if` into conditions, with every fault at its word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

from engine.language.conditions.judging import (
    QUANTIFIERS,
    Condition,
    FormulaCondition,
    Group,
    Items,
    Leaf,
    Measure,
    Quantifier,
    Verdict,
    sentence,
)
from engine.language.conditions.meant import Line, other_meaning
from engine.language.conditions.operands import AMOUNT, RANGE, OperandError, Wanted, part
from engine.language.conditions.phrases import (
    comparison_called,
    comparison_meant,
    comparison_said,
    nearest_word,
)
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.operators import COMPARISONS, Comparison, equality_keys
from engine.language.path import Path, PathError, Step, parse_path
from engine.language.plain import one_line
from engine.language.problem import Mark, Problems
from engine.language.words import nearest, normal_key

__all__ = ["Condition", "Leaf", "Verdict", "equality_keys", "read_conditions"]

GroupKind = Literal["all", "any", "not"]

_EMPTY: Final = (
    "the conditions are empty; leave the block out to match every event, or indent the lines under it"
)
_GROUPS: Final[dict[str, GroupKind]] = {
    "all": "all", "all of": "all", "any": "any", "any of": "any", "not": "not", "none of": "not",
}  # fmt: skip
_GROUP_TEXTS: Final = {"all": "all of these", "any": "any of these", "not": "none of these"}
_MEASURES: Final = ("count of", "sum of")
_OF: Final = re.compile(r"(?:any|every[\s_-]+one|none|count|sum)[\s_-]+of[\s_-]+(?=\S)", re.IGNORECASE)
_MISTAKEN_GROUPS: Final = {
    "and": "all",
    "both": "all",
    "or": "any",
    "either": "any",
    "nor": "not",
    "neither": "not",
}
_MISTAKEN_OF: Final = {
    "each of": "every one of", "every of": "every one of", "all of": "every one of", "each": "every one of",
    "every": "every one of", "some of": "any of", "one of": "any of", "any one of": "any of", "any": "any of",
    "no": "none of", "number of": "count of", "count": "count of", "total of": "sum of", "sum": "sum of",
}  # fmt: skip


def read_conditions(node: Node, problems: Problems) -> tuple[Condition, ...]:
    """The conditions of a block, one for each of its lines, in order; faults go to `problems`.

    A line with a fault is left out, so that all faults of the block are told at once.
    """
    return tuple(_Reader(problems).lines(node))


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a comparison is about: a path, what is asked of its values, and how a sentence names it."""

    path: Path
    mark: Mark
    label: str
    quantifier: Quantifier | None = None
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads blocks of lines; a line with a fault is told of and comes out as None.

    `outer` is the list whose items the lines are about, None for the event itself.
    """

    problems: Problems
    outer: Leaf | None = None

    # Blocks and their lines.

    def lines(self, node: Node) -> list[Condition]:
        """The conditions of a block, or of a list of blocks."""
        if isinstance(node, ScalarNode):
            self._no_block(node)
            return []
        if isinstance(node, SequenceNode):
            read: Iterable[Condition | None] = [self._item(item) for item in node]
        elif _is_long_form(node):
            read = [self._long_form(node)]
        else:
            read = [self._entry(entry) for entry in node]
        if not (node.items if isinstance(node, SequenceNode) else node.entries):
            self.problems.error(node.mark, _EMPTY)
        return [condition for condition in read if condition is not None]

    def _no_block(self, node: ScalarNode) -> None:
        text = node.text.strip()
        if node.empty or not text:
            self.problems.error(node.mark, _EMPTY)
            return
        field, _, rest = text.partition(" ")
        message = f'"{one_line(text)}" is no condition; a condition is a field, a colon, and what must hold'
        self.problems.error(node.mark, message, f"{field}: {rest}" if rest else "order.total: at least 200")

    def _item(self, node: Node) -> Condition | None:
        """One block of a list, whose lines must hold together."""
        return _together(self.lines(node), node.mark, _GROUP_TEXTS["all"])

    def _entry(self, entry: Entry) -> Condition | None:
        key = normal_key(entry.key.text)
        if key in _GROUPS:
            return self._group(entry, _GROUPS[key])
        if key == "formula":
            return self._formula(entry)
        of = _OF.match(entry.key.text)
        if of:
            return self._of(entry, normal_key(of[0]), of.end())
        if key in _MISTAKEN_GROUPS and not isinstance(entry.value, ScalarNode):
            right = _MISTAKEN_GROUPS[key]
            self.problems.error(
                entry.key.mark, f'a group is not called "{key}". Did you mean `{right}`?', f"{right}:"
            )
            return None
        path = self._path(entry.key)
        if path is None:
            return None
        return self._about(_Subject(path, entry.key.mark, path.text), entry.value)

    def _group(self, entry: Entry, kind: GroupKind) -> Condition | None:
        lines = self.lines(entry.value)
        return Group(entry.key.mark, _GROUP_TEXTS[kind], kind, tuple(lines)) if lines else None

    def _formula(self, entry: Entry) -> Condition | None:
        from engine.language.template import compile_formula

        if not isinstance(entry.value, ScalarNode):
            self.problems.error(
                entry.value.mark, "a formula is one text", 'formula: "order.total > order.item_total"'
            )
            return None
        formula = compile_formula(entry.value, self.problems)
        text = f"formula: {one_line(entry.value.text)}"
        return None if formula is None else FormulaCondition(entry.key.mark, text, formula)

    def _long_form(self, node: MappingNode) -> Condition | None:
        """`{path: order.total, is: at least, value: 200}`."""
        keys = {normal_key(entry.key.text): entry for entry in node}
        for name in keys.keys() - {"path", "is", "value"}:
            self._unknown_setting(keys[name])
        written = self._scalar(keys["path"])
        path = self._path(written) if written else None
        if written is None or path is None:
            return None
        subject = _Subject(path, written.mark, path.text)
        if "value" not in keys:
            return self._about(subject, keys["is"].value)
        return self._keyed(subject, keys["is"].value, keys["value"].value)

    def _unknown_setting(self, entry: Entry) -> None:
        message = f'a condition has no setting called "{entry.key.text}"; it has path, is and value'
        self.problems.error(entry.key.mark, message)

    def _scalar(self, entry: Entry) -> ScalarNode | None:
        if isinstance(entry.value, ScalarNode):
            return entry.value
        self.problems.error(entry.value.mark, f"`{entry.key.text}` takes a single text")
        return None

    # Lines about lists.

    def _of(self, entry: Entry, word: str, start: int) -> Condition | None:
        path = self._path(entry.key, start)
        if path is None:
            return None
        subject = _Subject(path, entry.key.mark, f"{word} {path.text}")
        if word in _MEASURES:
            if isinstance(entry.value, MappingNode) and _is_block(entry.value):
                self._measured_block(subject, word, entry.value)
                return None
            return self._about(replace(subject, measure=cast(Measure, word)), entry.value)
        quantifier = cast(Quantifier, word)
        if _is_block(entry.value):
            return self._items(subject, quantifier, entry.value)
        return self._about(replace(subject, quantifier=quantifier), entry.value)

    def _measured_block(self, subject: _Subject, word: str, block: MappingNode) -> None:
        """Tell of fields in braces after a word that takes a comparison: `sum of order.line_items: {quantity: …}`."""
        first = block.entries[0]
        name, list_ = first.key.text, subject.path.text.removesuffix("[*]")
        says = f" {first.value.text}" if isinstance(first.value, ScalarNode) else " …"
        if word == "sum of":
            message = f"`{subject.label}` takes a comparison; which field is added up is a part of the path"
            hint = f"sum of {list_}[*].{name}:{says}"
        else:
            message = f"`{subject.label}` counts all of them, whatever their {name} is"
            hint = f"any of {list_}: {{{name}:{says}}}"
        self.problems.error(first.key.mark, message, hint)

    def _items(self, subject: _Subject, quantifier: Quantifier, node: Node) -> Condition | None:
        whole = self._leaf(subject, COMPARISONS["present"], False, ())
        if whole is None:
            return None
        lines = replace(self, outer=whole).lines(node)
        text = f"{subject.label}: {', '.join(line.text for line in lines)}"
        return Items(subject.mark, text, quantifier, whole, tuple(lines)) if lines else None

    # Paths.

    def _path(self, node: ScalarNode, start: int = 0) -> Path | None:
        """The path in a key (or in a text), from a letter on."""
        written = part(replace(node, style="plain"), start)
        quoted = node.style in ("single", "double")
        mark = Mark(written.mark.line, written.mark.column + quoted)
        try:
            path = parse_path(node.text[start:].strip())
        except PathError as error:
            self._bad_path(node, start, error, mark)
            return None
        for note in path.notes:
            tell = self.problems.warning if note.severity == "warning" else self.problems.note
            tell(mark, note.message, note.hint)
        return path

    def _bad_path(self, node: ScalarNode, start: int, error: PathError, mark: Mark) -> None:
        head, _, last = node.text.strip().rpartition(" ")
        right = None if start else _quantifier_meant(normal_key(head))
        if right:
            message = f'"{head}" is not known before a list. Did you mean `{right}`?'
            self.problems.error(node.mark, message, f"{right} {last}")
            return
        self.problems.error(Mark(mark.line, mark.column + error.offset), error.message, error.hint)

    # Comparisons.

    def _about(self, subject: _Subject, node: Node) -> Condition | None:
        """What must hold of one subject: a text, a list of values, or a block of comparisons."""
        if isinstance(node, ScalarNode):
            return self._written(subject, node)
        if isinstance(node, SequenceNode):
            return self._one_of(subject, node)
        if not node.entries:
            self.problems.error(node.mark, f"there is nothing to compare {subject.label} with")
            return None
        leaves = [self._keyed(subject, entry.key, entry.value) for entry in node]
        told = [leaf for leaf in leaves if leaf is not None]
        rest = (leaf.text.removeprefix(subject.label).strip() for leaf in told)
        return _together(told, subject.mark, f"{subject.label} {' and '.join(rest)}")

    def _one_of(self, subject: _Subject, node: SequenceNode) -> Leaf | None:
        values = self._values(node)
        if values is None or any(self._compares(value) for value in values):
            return None
        return self._leaf(subject, COMPARISONS["one of"], False, values)

    def _compares(self, node: ScalarNode) -> bool:
        """Whether a comparison stands where a list has a value, which is told."""
        text = node.text.strip()
        said = comparison_said(text) if node.style == "plain" else None
        if said is None or not (text[said.end :].strip() or said.comparison.takes_nothing):
            return False
        message = (
            f"a list names values, and `{text}` is a comparison; write each in a line of its own under `any:`"
        )
        self.problems.error(node.mark, message, f'For the text itself write "{text}" in quotes')
        return True

    def _values(self, node: SequenceNode) -> tuple[ScalarNode, ...] | None:
        """The values of a list, each a single one."""
        values = tuple(item for item in node if isinstance(item, ScalarNode) and not item.empty)
        for item in node:
            if item not in values:
                self.problems.error(item.mark, "a list of values has one value a line; this is none")
        if not node.items:
            self.problems.error(node.mark, "the list of values is empty, so nothing is ever one of them")
        return values if values and len(values) == len(node.items) else None

    def _written(self, subject: _Subject, node: ScalarNode) -> Leaf | None:
        """A comparison as a text: `at least 200 USD`, or a plain value."""
        text = node.text.strip()
        if node.empty or (not text and node.style == "plain"):
            hint = f"For a field without value write `{subject.label}: missing`"
            self.problems.error(node.mark, f"there is nothing after {subject.label}", hint)
            return None
        said = comparison_said(text)
        if said is None:
            return None if self._meant(subject, "is", False, node) else self._plain(subject, node, text)
        start = len(node.text) - len(node.text.lstrip()) + said.end
        operand = part(node, start, start + len(text) - said.end)
        if self._meant(subject, said.comparison.word, said.negated, operand):
            return None
        if said.comparison.word == "is" and operand.style == "plain" and self._twice(operand, said.negated):
            return None
        return self._leaf(subject, said.comparison, said.negated, said.comparison.operands_in(operand), text)

    def _meant(self, subject: _Subject, word: str, negated: bool, operand: ScalarNode) -> bool:
        """Tell of an operand that was meant as something else; whether that is sure, so that the line is of no use."""
        items = subject.quantifier is not None
        plain = subject.path.bare and not (items or subject.measure or self.outer)
        field = subject.path.last
        line = Line(
            subject.label, subject.path.first, field, COMPARISONS[word], negated, operand, items, plain
        )
        remark = other_meaning(line)
        if remark is None:
            return False
        tell = self.problems.error if remark.sure else self.problems.warning
        tell(operand.mark, remark.message, remark.hint)
        return remark.sure

    def _plain(self, subject: _Subject, node: ScalarNode, text: str) -> Leaf | None:
        """A plain value; one that reads like a comparison gone wrong is told."""
        meant = comparison_meant(text)
        if meant is None and text[:1] not in ("~", "!", "≈"):
            return self._leaf(subject, COMPARISONS["is"], False, (node,))
        right = (
            f"Write `{meant}`"
            if meant
            else "Write `at least`, `at most`, `more than`, `less than` or `is not`"
        )
        hint = f'{right}; for the text itself, `{{is: "{text}"}}`'
        self.problems.error(node.mark, f'"{one_line(text)}" says no comparison that is known here', hint)
        return None

    def _twice(self, operand: ScalarNode, negated: bool) -> bool:
        """Whether another comparison, or one gone wrong, follows `is` or `is not`, which is told."""
        meant = comparison_meant(operand.text)
        if meant is None and comparison_said(operand.text) is None and not re.match(r"[<>=!~]", operand.text):
            return False
        message = f'"{operand.text}" after `{"is not" if negated else "is"}` is a comparison of its own'
        hint = f"Write `{meant or operand.text}`" + (" under a line `not:`" if negated else "")
        self.problems.error(operand.mark, message, hint)
        return True

    def _keyed(self, subject: _Subject, key: Node, value: Node) -> Leaf | None:
        """A comparison written as a key: `at least: 200`."""
        called = comparison_called(key.text) if isinstance(key, ScalarNode) else None
        if called is None:
            self._unknown_comparison(subject, key)
            return None
        comparison, negated = called
        if isinstance(value, MappingNode):
            self.problems.error(
                value.mark, f"`{comparison.word}` takes {comparison.operand.takes or 'nothing'}"
            )
            return None
        if comparison.takes_nothing:
            return self._switched(subject, comparison, negated, value)
        if isinstance(value, SequenceNode):
            values = self._values(value)
            return None if values is None else self._leaf(subject, comparison, negated, values)
        if comparison.word == "is" and not negated and value.style == "plain":
            return self._written(subject, value)
        if self._meant(subject, comparison.word, negated, value):
            return None
        return self._leaf(subject, comparison, negated, comparison.operands_in(value))

    def _switched(self, subject: _Subject, comparison: Comparison, negated: bool, value: Node) -> Leaf | None:
        """A comparison that takes nothing, written as a key: `present: yes`, `present: no`."""
        if isinstance(value, ScalarNode) and (value.empty or value.truth is not None):
            return self._leaf(subject, comparison, negated is not (value.truth is False), ())
        message = f"nothing goes after `{comparison.said(negated)}` but yes or no"
        self.problems.error(value.mark, message, f"{subject.label}: {comparison.said(negated)}")
        return None

    def _unknown_comparison(self, subject: _Subject, key: Node) -> None:
        if not isinstance(key, ScalarNode):
            self.problems.error(key.mark, "a comparison is a single text such as `at least`")
            return
        near = nearest_word(key.text)
        mean = f" Did you mean `{near}`?" if near else ""
        hint = (
            near
            or f"To look further into {subject.path.text}, write one path: `{subject.path.text}.{key.text}: …`"
        )
        self.problems.error(key.mark, f'there is no comparison called "{key.text}".{mean}', hint)

    def _leaf(
        self,
        subject: _Subject,
        comparison: Comparison,
        negated: bool,
        operands: Sequence[ScalarNode],
        text: str = "",
    ) -> Leaf | None:
        """One comparison, its operands read; `text` is the whole of what was written, if it was one text."""
        blank = next((one for one in operands if _says_nothing(one, comparison)), None)
        if blank is not None:
            self._nothing(subject, comparison, negated, blank)
            return None
        fault = self._misplaced(subject, comparison, operands)
        if fault is not None:
            self.problems.error(subject.mark, *fault)
            return None
        field = "" if subject.measure else subject.path.last or (self.outer.path.last if self.outer else "")
        try:
            wanted = _read(comparison, operands, field, subject.measure)
        except OperandError as error:
            literal = f'For the text itself write `{{is: "{text}"}}`' if text[:1].isupper() else ""
            mark = error.node.mark if error.node else subject.mark
            self.problems.error(mark, error.message, ". ".join(filter(None, (error.hint, literal))))
            return None
        return Leaf(
            mark=subject.mark,
            text=sentence(subject.label, comparison, negated, operands),
            path=subject.path,
            comparison=comparison,
            negated=negated,
            operands=tuple(operands),
            wanted=wanted,
            field=self._field(subject.path),
            money=self.outer.money if self.outer and subject.path.bare else subject.path.first,
            currency=comparison.operand.currency(wanted) if wanted else "",
            quantifier=subject.quantifier,
            measure=subject.measure,
        )

    def _nothing(self, subject: _Subject, comparison: Comparison, negated: bool, blank: ScalarNode) -> None:
        """Tell of an operand in quotes with nothing in them."""
        of_value = comparison.word in ("is", "one of", "exactly") and not negated
        right = f"{subject.label}: {'missing' if of_value else 'present'}"
        without = "without" if of_value else "with any"
        message = f"there is nothing between these quotes to compare {subject.label} with"
        self.problems.error(blank.mark, message, f"For a field {without} value write `{right}`")

    def _misplaced(
        self, subject: _Subject, comparison: Comparison, operands: Sequence[ScalarNode]
    ) -> tuple[str, str] | None:
        """Why a comparison does not go where it stands, and what to write, or None."""
        if comparison.needs_before and (self.outer or subject.quantifier or subject.measure):
            message = f"`{comparison.word}` looks at the field of an event, not at the items of a list"
            return message, f"Write `{subject.path.text}: {comparison.word}` in a line of its own"
        if (
            subject.measure
            and comparison.operand not in (AMOUNT, RANGE)
            and comparison.word not in ("is", "one of")
        ):
            return (
                f"`{subject.label}` is a number, so `{comparison.word}` does not go with it",
                "Write `at least 3`",
            )
        if operands and comparison.takes_nothing:
            return f"nothing goes after `{comparison.word}`", ""
        if not operands and not comparison.takes_nothing:
            return f"`{comparison.word}` needs {comparison.operand.takes} after it", ""
        return None

    def _field(self, path: Path) -> str | None:
        """The bare path of a field from the event's root."""
        if path.steps is None or (self.outer and path.bare and self.outer.field is None):
            return None
        before = ""
        if self.outer and self.outer.field and path.bare:
            before = self.outer.field if self.outer.field.endswith("[*]") else f"{self.outer.field}[*]"
        return before + _bare(path.steps, first=not before)


def _read(
    comparison: Comparison, operands: Sequence[ScalarNode], field: str, measure: Measure | None
) -> tuple[object, ...]:
    """What a comparison is given for its operands. Raises `OperandError`."""
    if len(operands) > 1 and not comparison.operand.several:
        raise OperandError(
            f"`{comparison.word}` takes one operand: {comparison.operand.takes}", "", operands[1]
        )
    for operand in operands:
        if "{{" in operand.text:
            raise OperandError("a comparison takes no {{ }}; use a formula", _formula_hint(operand), operand)
    wanted = comparison.operand.read(operands, field) if operands else ()
    for operand, one in zip(operands, wanted, strict=False):
        if measure and isinstance(one, Wanted) and one.amount is None:
            raise OperandError(
                f'"{operand.text.strip()}" cannot be read as an amount', "Write 3 or 3.00", operand
            )
    return wanted


def _says_nothing(operand: ScalarNode, comparison: Comparison) -> bool:
    """Whether there are no letters in an operand; blanks count for `exactly` alone."""
    return not (operand.text if comparison.word == "exactly" else operand.text.strip())


def _formula_hint(operand: ScalarNode) -> str:
    inner = operand.text.strip().strip("{} ")
    return f'formula: "order.total >= {inner}"'


def _together(lines: Sequence[Condition], mark: Mark, text: str) -> Condition | None:
    """Conditions that must all hold, as one."""
    if len(lines) < 2:
        return lines[0] if lines else None
    return Group(mark, text, "all", tuple(lines))


def _is_long_form(node: MappingNode) -> bool:
    return {"path", "is"} <= {normal_key(entry.key.text) for entry in node}


def _is_block(node: Node) -> bool:
    """Whether lines about an item stand here, and not comparisons or values."""
    if isinstance(node, SequenceNode):
        return any(not isinstance(item, ScalarNode) for item in node)
    return isinstance(node, MappingNode) and not all(comparison_called(entry.key.text) for entry in node)


def _quantifier_meant(head: str) -> str | None:
    """What words before a list were probably meant for."""
    return _MISTAKEN_OF.get(head) or next(iter(nearest(head, (*QUANTIFIERS, *_MEASURES))), None)


def _bare(steps: Iterable[Step], first: bool) -> str:
    """Steps as a bare path, any place in a list written `[*]`."""
    return "".join(_bare_parts(steps, first))


def _bare_parts(steps: Iterable[Step], first: bool) -> Iterator[str]:
    for step in steps:
        if not isinstance(step, str):
            yield "[*]"
        else:
            yield step if first else f".{step}"
        first = False
