"""Every message of a rule is filled in before it is ever sent: from each sample, and without what may be empty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import Read
from engine.model import Gap
from engine.rulebook.rule import ActionSpec, Rule
from engine.rulebook.shapes import Sample, field_path
from engine.rulebook.vocabulary import Language

MOST_ALONE: Final = 12
"""So many fields of a rule are left empty one at a time; more are only left empty together."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What a message is filled in from, in words when that is so, and what was left empty for it.

    That is one field, or all fields of a name, or nothing that an author could name.
    """

    scope: Scope
    when: str
    field: str = ""
    name: str = ""

    def emptied(self, expression: str) -> str:
        """The field at the start of an expression that could not be filled in, "" where it is none of those emptied."""
        if self.name and re.fullmatch(rf"{self.name}(\.\w+)+", expression):
            return expression
        return self.field if expression.startswith(self.field) else ""


def rehearse(rule: Rule, language: Language, asked_for: frozenset[str], problems: Problems) -> None:
    """Note, as warnings, what of a rule's messages could not be filled in.

    `asked_for` are the fields without which the rule does not fire, by bare path.
    """
    for spec in rule.actions:
        if any(value.varies for value in spec.values.values()):
            _Rehearsal(rule, spec, language, asked_for, problems).run()


def path_of(read: Read, rule: Rule) -> tuple[str | int | None, ...]:
    """The steps to a field that a message reads, in one event also where the rule collects several.

    `events[*].order.total` is then `order.total`.
    """
    path = read.path
    if not rule.collects:
        return path
    if path[:1] == ("events",):
        return path[2:]
    return path[1:] if path[:1] in (("first",), ("last",), ("count",)) else path


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """One action, filled in again and again."""

    rule: Rule
    spec: ActionSpec
    language: Language
    asked_for: frozenset[str]
    problems: Problems

    def _attempts(self) -> Iterator[_Attempt]:
        paths = {field_path(path_of(read, self.rule)) for read in self._reads()}
        shape = self.language.shape(self.rule.speaks_of)
        found = (shape.field(path) for path in paths)
        nullable = {info.path for info in found if info is not None and info.nullable} - self.asked_for
        for name in sorted(self.rule.speaks_of):
            sample = self.language.samples[name]
            yield from self._of_sample(sample, sorted(nullable), {_root(path) for path in paths})

    def _of_sample(self, sample: Sample, nullable: list[str], roots: set[str]) -> Iterator[_Attempt]:
        yield _Attempt(sample.scope, f"with the sample of {sample.event.type}")
        known = [path for path in nullable if _root(path) in sample.scope.root]
        for path in known[:MOST_ALONE]:
            yield _Attempt(sample.without([path]), f"where {path} is empty", path)
        if len(known) > 1:
            yield _Attempt(sample.without(known), "where several fields are empty")
        for name in sorted(sample.beside & roots - {_root(path) for path in self.asked_for}):
            yield _Attempt(sample.alone, f"where the {name} is not known", name=name)

    def _reads(self) -> Iterator[Read]:
        for value in self.spec.values.values():
            for template in value.templates():
                yield from template.reads

    def _for_rule(self, scope: Scope) -> Scope:
        """The scope in the rule's own zone; where it collects events, as its message sees them."""
        if self.rule.timezone is not None:
            scope = replace(scope, shop=replace(scope.shop, timezone=self.rule.timezone))
        if self.rule.collects:
            one = scope.root
            scope = replace(scope, root={**one, "events": [one], "count": 1, "first": one, "last": one})
        return scope

    def run(self) -> None:
        told: set[tuple[int, str]] = set()
        for attempt in self._attempts():
            for gap, blocked in self._gaps(self._for_rule(attempt.scope)):
                if (gap.line, gap.expression) not in told:
                    told.add((gap.line, gap.expression))
                    self._tell(gap, blocked, attempt)

    def _gaps(self, scope: Scope) -> tuple[tuple[Gap, bool], ...]:
        """Each gap, and whether nothing can be sent because of it."""
        try:
            rendered = self.spec.action.render(self.spec.values, scope, self.language.destinations)
        except Exception:  # one message that nobody foresaw must not keep all other rules from being loaded
            message = f"this {self.spec.word} cannot be filled in. Write it in a simpler way"
            self.problems.error(self.spec.mark, message)
            return ()
        return tuple((gap, one.blocked) for one in rendered for gap in one.gaps)

    def _tell(self, gap: Gap, blocked: bool, attempt: _Attempt) -> None:
        mark = self._mark(gap)
        if any((one.line, one.column) == (mark.line, mark.column) for one in self.problems.found):
            return
        if blocked:
            what = f"`{self.spec.word}` cannot be sent"
        elif self.spec.action.on_gap_for(self.spec.values) == "hold":
            what = f"`{gap.expression}` cannot be filled in and `{self.spec.word}` waits for a person"
        else:
            what = f"`{gap.expression}` cannot be filled in and the text shows [?]"
        field = attempt.emptied(gap.expression) or (attempt.field if blocked else "")
        hint = _remedy(gap.expression, field, blocked)
        self.problems.warning(mark, f"{attempt.when}, {what}: {gap.because}", hint)

    def _mark(self, gap: Gap) -> Mark:
        """The place of the field that the gap is about, else its line."""
        near = (
            r for r in self._reads() if r.mark.line == gap.line and gap.expression.startswith(r.expression)
        )
        return next((read.mark for read in near), Mark(gap.line or self.spec.mark.line, 1))


def _root(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _remedy(expression: str, field: str, blocked: bool) -> str:
    """What to write for a field that may be empty: a condition on it, a default, or an `if` around the expression."""
    if not field or "[" in field:
        return ""
    if blocked:
        return f"if:\n  {field}: present"
    if expression == field:
        return f"{{{{ {field} or '…' }}}}"
    return f"{{% if {field} %}}{{{{ {expression} }}}}{{% endif %}}"
