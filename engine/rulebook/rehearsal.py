"""Every message of a rule is filled in before it is ever sent: from each sample, and without what may be empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.model import Gap
from engine.rulebook.rule import ActionSpec, Rule

if TYPE_CHECKING:
    from engine.rulebook.loader import Language

COLLECTING: Final = ("digest", "over")
"""The words after which a message speaks of several events: `events`, `count`, `first` and `last`."""

MOST_ALONE: Final = 12
"""So many fields of a rule are left empty one at a time; more are only left empty together."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What a message is filled in from, in words when that is so, and the one field that was left empty for it."""

    scope: Scope
    when: str
    field: str = ""


def rehearse(rule: Rule, language: Language, nullable: Iterable[str], problems: Problems) -> None:
    """Note, as warnings, what of a rule's messages could not be filled in; only where the rule has no error yet.

    `nullable` are the fields that may be empty, by bare path.
    """
    varying = [spec for spec in rule.actions if any(value.varies for value in spec.values.values())]
    if problems.broken or not varying:
        return
    attempts = list(_attempts(rule, language, sorted(nullable)))
    for spec in varying:
        _Rehearsal(spec, language, problems).run(attempts)


def _attempts(rule: Rule, language: Language, nullable: list[str]) -> Iterator[_Attempt]:
    for name in sorted(rule.events):
        sample = language.samples[name]
        known = [path for path in nullable if path.partition(".")[0] in sample.scope.root]
        yield _Attempt(_for_rule(rule, sample.scope), f"with the sample of {name}")
        for path in known[:MOST_ALONE]:
            yield _Attempt(_for_rule(rule, sample.without([path])), f"where {path} is empty", path)
        if len(known) > 1:
            yield _Attempt(_for_rule(rule, sample.without(known)), "where several fields are empty")


def _for_rule(rule: Rule, scope: Scope) -> Scope:
    """The scope in the rule's own zone; for a rule that collects events, as its message sees them."""
    if rule.timezone is not None:
        scope = replace(scope, shop=replace(scope.shop, timezone=rule.timezone))
    if any(word.word in COLLECTING for word in rule.postponed):
        one: Mapping[str, Any] = scope.root
        scope = replace(scope, root={**one, "events": [one], "count": 1, "first": one, "last": one})
    return scope


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """One action, filled in again and again."""

    spec: ActionSpec
    language: Language
    problems: Problems

    def run(self, attempts: Iterable[_Attempt]) -> None:
        told: set[tuple[int, str]] = set()
        for attempt in attempts:
            for gap, blocked in self._gaps(attempt.scope):
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
        hint = _remedy(gap.expression, attempt.field, blocked)
        self.problems.warning(mark, f"{attempt.when}, {what}: {gap.because}", hint)

    def _mark(self, gap: Gap) -> Mark:
        """The place of the field that the gap is about, else its line."""
        reads = (
            read
            for value in self.spec.values.values()
            for template in value.templates()
            for read in template.reads
            if read.mark.line == gap.line and gap.expression.startswith(read.expression)
        )
        return next((read.mark for read in reads), Mark(gap.line or self.spec.mark.line, 1))


def _remedy(expression: str, field: str, blocked: bool) -> str:
    """What to write for a field that may be empty: a condition on it, a default, or an `if` around the expression."""
    if not field or "[" in field:
        return ""
    if blocked:
        return f"if:\n  {field}: present"
    if expression == field:
        return f"{{{{ {field} or '…' }}}}"
    return f"{{% if {field} %}}{{{{ {expression} }}}}{{% endif %}}" if expression.startswith(field) else ""
