"""Plans, events and deliveries as people read them on a terminal: aligned, with a mark for every answer.

The lines carry colours; whoever prints them to a pipe takes the colours out (click does).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from engine.language.words import listing, plural
from engine.model import Answer, Outcome, Plan, PlannedAction, Reason, RulePlan
from engine.rulebook.frames import to_json

_MARKS = {Answer.YES: ("✓", "green"), Answer.NO: ("✗", "red"), Answer.UNKNOWN: ("?", "yellow")}
_OUTCOMES = {
    Outcome.FIRES: ("✓", "green"),
    Outcome.DOES_NOT_FIRE: ("✗", "red"),
    Outcome.COULD_NOT_TELL: ("?", "yellow"),
    Outcome.HELD: ("…", "yellow"),
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """A whole plan: the rules that listen to the event, each with its reasons, then the others in one line."""
    deaf = [rule for rule in plan.rules if not _listens(rule)]
    for rule in plan.rules:
        if _listens(rule):
            yield from rule_lines(rule)
            yield ""
    if deaf:
        names = listing([rule.name for rule in deaf])
        verb = "listens" if len(deaf) == 1 else "listen"
        yield dim(f"{plural(len(deaf), 'rule')} {verb} to other events: {names}")


def rule_lines(rule: RulePlan) -> Iterator[str]:
    """One rule: what it says, every line with its answer, and what it would send."""
    mark, colour = _OUTCOMES[rule.outcome]
    test = dim("  (mode test: nothing is sent)") if rule.mode == "test" else ""
    head = click.style(f"{mark} {rule.name}", bold=True)
    yield f"{head} {click.style(rule.outcome.value, fg=colour)}{test}  {dim(f'{rule.file}:{rule.line}')}"
    width = max((len(_sentence(reason)) for reason in rule.reasons), default=0)
    for reason in rule.reasons:
        yield _reason_line(reason, min(width, 60))
    for action in rule.actions:
        yield from action_lines(action)


def action_lines(action: PlannedAction) -> Iterator[str]:
    """One action: where it goes, and word for word what is sent."""
    held = click.style("  held: it needs a person", fg="yellow") if action.held else ""
    yield f"   {click.style('→', fg='cyan')} {action.kind} to {click.style(action.to, fg='cyan')}{held}"
    for line in request_lines(action.request):
        yield f"       {line}"
    for gap in action.gaps:
        yield click.style(f"       ! line {gap.line}: {gap.expression}: {gap.because}", fg="yellow")


def request_lines(request: Mapping[str, Any]) -> Iterator[str]:
    """A request as text: its settings, then its body as it will be read."""
    for name, value in request.items():
        if name == "connection" or value in (None, "", [], {}):
            continue
        if isinstance(value, str):
            lines = value.splitlines() or [""]
            if name in ("text", "body", "html"):
                yield from lines
            else:
                yield f"{dim(name + ':')} {lines[0]}"
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            yield f"{dim(name + ':')} {', '.join(value)}"
        else:
            yield f"{dim(name + ':')} {to_json(value).decode()}"


def _reason_line(reason: Reason, width: int) -> str:
    mark, colour = _MARKS[reason.answer]
    because = f" {dim('→')} {reason.because}" if reason.because else ""
    indent = "   " + "  " * reason.depth
    return f"{indent}{click.style(mark, fg=colour)} {_sentence(reason):<{width}}{because}".rstrip()


def _sentence(reason: Reason) -> str:
    return reason.text


def _listens(rule: RulePlan) -> bool:
    return not any(reason.under == "when" and reason.answer is Answer.NO for reason in rule.reasons[:1])


def dim(text: str) -> str:
    """Text that steps back."""
    return click.style(text, dim=True)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows in aligned columns under their titles."""
    rows = [[*map(str, row)] for row in rows]
    widths = [max([len(title), *(len(row[at]) for row in rows)]) for at, title in enumerate(titles)]
    yield dim("  ".join(title.ljust(width) for title, width in zip(titles, widths, strict=True)).rstrip())
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def moment(when: datetime, zone: Any) -> str:
    """A time on the shop's clock, to the second."""
    return when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def span(length: timedelta) -> str:
    """A length of time in one unit: `5 seconds`, `3 hours`."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return plural(seconds // size, unit)
    return plural(seconds, "second")


def plan_json(event: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """A plan in the shape of `dry-run --json`."""
    return {"event": dict(event), "rules": [_rule_json(rule) for rule in plan.rules]}


def _rule_json(rule: RulePlan) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "file": rule.file,
        "line": rule.line,
        "mode": rule.mode.value,
        "outcome": rule.outcome.value,
        "reasons": [
            {
                "line": reason.line,
                "under": reason.under,
                "text": reason.text,
                "answer": reason.answer.value,
                "found": [plain(value) for value in reason.found],
                "because": reason.because,
                "depth": reason.depth,
            }
            for reason in rule.reasons
        ],
        "actions": [
            {
                "kind": action.kind,
                "line": action.line,
                "to": action.to,
                "request": action.request,
                "gaps": [
                    {"line": gap.line, "expression": gap.expression, "because": gap.because}
                    for gap in action.gaps
                ],
                "held": action.held,
                "idempotency_key": action.idempotency_key,
            }
            for action in rule.actions
        ],
    }


def plain(value: Any) -> Any:
    """A found value as plain JSON; what is none (an absent field) becomes null."""
    if value is None or isinstance(value, bool | int | Decimal | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)
