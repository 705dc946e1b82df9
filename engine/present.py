"""Plans, events and deliveries as people read them on a terminal: aligned, with a mark for every answer.

The lines carry colours; whoever prints them to a pipe takes the colours out (click does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click
import msgspec

from engine.language.present import Paint
from engine.language.words import listing, plural
from engine.model import (
    Answer,
    Attempt,
    Delivery,
    DeliveryState,
    EventState,
    Outcome,
    Plan,
    PlannedAction,
    Reason,
    RulePlan,
)
from engine.rulebook.frames import to_json
from engine.rulebook.rule import Rule
from engine.runtime.retry import Policy, later_tries
from engine.sources.base import FieldInfo
from engine.store.values import DeliveryRecord, EventLine, EventRecord, Pending, Quarantined

if TYPE_CHECKING:
    from engine.desk import Explained, Preview, Tally

WIDTH = 96
"""Letters of a line of names."""

WHY = 48
WHERE = 32
"""Letters of a reason and of a destination in a table; `show` has the whole."""

NARROW = 80
"""Letters of JSON that are shown on one line; more are spread over several."""

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
        verb = "listens" if len(deaf) == 1 else "listen"
        yield dim(f"{plural(len(deaf), 'rule')} {verb} to other events:")
        for line in wrap("; ".join(rule.name for rule in deaf), WIDTH):
            yield dim(f"   {line}")


def rule_lines(rule: RulePlan) -> Iterator[str]:
    """One rule: what it says, every line with its answer, and what it would send."""
    mark, colour = _OUTCOMES[rule.outcome]
    test = dim("  (mode test: nothing is sent)") if rule.mode == "test" else ""
    head = click.style(f"{mark} {rule.name}", bold=True)
    yield f"{head} {click.style(rule.outcome.value, fg=colour)}{test}  {dim(f'{rule.file}:{rule.line}')}"
    width = max((len(reason.text) for reason in rule.reasons), default=0)
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
        if name in ("connection", "on_unsure") or value in (None, "", [], {}):
            continue
        if name in ("text", "body", "html") and isinstance(value, str):
            yield from visible(value).splitlines()
        else:
            yield from _setting_lines(name, value)


def _setting_lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    if isinstance(value, str):
        yield f"{dim(name + ':')} {visible(value)}"
        return
    text = to_json(value)
    if len(text) <= NARROW:
        yield f"{dim(name + ':')} {text.decode()}"
        return
    yield dim(name + ":")
    yield from (f"  {line}" for line in msgspec.json.format(text, indent=2).decode().splitlines())


def _reason_line(reason: Reason, width: int) -> str:
    mark, colour = _MARKS[reason.answer]
    because = f" {dim('→')} {reason.because}" if reason.because else ""
    indent = "   " + "  " * reason.depth
    return f"{indent}{click.style(mark, fg=colour)} {reason.text:<{width}}{because}".rstrip()


def _listens(rule: RulePlan) -> bool:
    return not any(reason.under == "when" and reason.answer is Answer.NO for reason in rule.reasons[:1])


def colours() -> Paint:
    """How faults are coloured on a terminal."""
    return Paint(
        place=_dye(bold=True), error=_dye(fg="red"), warning=_dye(fg="yellow"), note=_dye(fg="blue"), frame=_dye(dim=True),
        hint=_dye(fg="green"),
    )  # fmt: skip


def _dye(**how: Any) -> Callable[[str], str]:
    return lambda text: click.style(text, **how)


def dim(text: str) -> str:
    """Text that steps back."""
    return click.style(text, dim=True)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Rows in aligned columns under their titles."""
    cells = [[*map(str, row)] for row in rows]
    widths = [max([len(title), *(len(row[at]) for row in cells)]) for at, title in enumerate(titles)]
    yield dim("  ".join(title.ljust(width) for title, width in zip(titles, widths, strict=True)).rstrip())
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def moment(when: datetime, zone: tzinfo) -> str:
    """A time on the shop's clock, to the second."""
    return when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


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


# the record


def event_json(line: EventLine) -> dict[str, Any]:
    """An event in the shape of `events list --json`."""
    return {
        "id": line.id,
        "type": line.type,
        "subject": line.subject,
        "received_at": line.received_at.isoformat(),
        "state": line.state.value,
        "arrivals": line.arrivals,
        "late": line.late,
    }


def event_row(line: EventLine, zone: tzinfo) -> tuple[str, ...]:
    """An event as a row of a table."""
    state = f"{line.state.value}{', late' if line.late else ''}{'' if line.known else ', unknown type'}"
    return (
        line.id,
        visible(line.type),
        visible(line.subject),
        moment(line.received_at, zone),
        state,
        str(line.arrivals),
    )


def explained_lines(explained: Explained, made: Sequence[Delivery], zone: tzinfo) -> Iterator[str]:
    """A recorded event: what came, what every rule said and why, and what became of its deliveries."""
    record = explained.record
    yield f"{click.style(visible(record.type), bold=True)}  {visible(record.subject)}  event {record.id}"
    yield f"received {moment(record.received_at, zone)}, {_arrivals(record, zone)}{', late' if record.late else ''}"
    for note in (record.note, record.reason, _repeated(explained.repeated)):
        if note:
            yield click.style(f"! {visible(note)}", fg="yellow")
    yield ""
    if explained.plan is not None:
        yield from plan_lines(explained.plan)
    else:
        yield dim("not judged yet" if record.state is EventState.NEW else "its reasons are no longer kept")
    if made:
        yield ""
        titles = ("delivery", "rule", "to", "state", "tries", "why")
        rows = [
            (one.id, one.rule, f"{one.kind} {one.to}", one.state.value, one.attempts, one.reason)
            for one in made
        ]
        yield from table(titles, rows)


def _arrivals(record: EventRecord, zone: tzinfo) -> str:
    if record.arrivals == 1 or record.last_seen_at is None:
        return "once"
    return f"{record.arrivals} times, last {moment(record.last_seen_at, zone)}"


def _repeated(keys: Sequence[str]) -> str:
    return f"its body says {listing(keys)} more than once; the last one counted" if keys else ""


def explained_json(explained: Explained, made: Sequence[Delivery]) -> dict[str, Any]:
    """A recorded event in the shape of `events show --json`: everything kept, and the plan made again."""
    record = explained.record
    return {
        "id": record.id,
        "type": record.type,
        "source": record.source,
        "subject": record.subject,
        "received_at": record.received_at.isoformat(),
        "last_seen_at": record.last_seen_at.isoformat() if record.last_seen_at else None,
        "state": record.state.value,
        "arrivals": record.arrivals,
        "late": record.late,
        "known": record.known,
        "note": record.note,
        "reason": record.reason,
        "repeated_keys": list(explained.repeated),
        "headers": dict(record.headers),
        "payload": plain(explained.event.payload),
        "rulebook": record.rulebook,
        "planned_at": record.planned_at.isoformat() if record.planned_at else None,
        "outcomes": dict(record.outcomes),
        "rules": [_rule_json(rule) for rule in explained.plan.rules] if explained.plan else [],
        "deliveries": [delivery_json(one) for one in made],
    }


def delivery_json(one: Delivery) -> dict[str, Any]:
    """A delivery in the shape of `deliveries list --json`."""
    return {
        "id": one.id,
        "event": one.event,
        "rule": one.rule,
        "action": one.action,
        "kind": one.kind,
        "to": one.to,
        "state": one.state.value,
        "attempts": one.attempts,
        "due_at": one.due_at.isoformat(),
        "reason": one.reason,
    }


def delivery_row(one: Delivery, zone: tzinfo) -> tuple[str, ...]:
    """A delivery as a row of a table."""
    due = moment(one.due_at, zone) if one.state is DeliveryState.QUEUED else ""
    return (
        str(one.id), one.event, one.rule, one.kind, visible(one.to), one.state.value, str(one.attempts), due,
        short(visible(one.reason), WHY),
    )  # fmt: skip


def delivery_lines(record: DeliveryRecord, zone: tzinfo) -> Iterator[str]:
    """One delivery: where it stands, what is sent word for word, and every try."""
    one = record.delivery
    yield f"{click.style(f'{one.kind} to {visible(one.to)}', bold=True)}  delivery {one.id}"
    yield f"for event {one.event}, rule {one.rule}, action {one.action}; key {one.idempotency_key}"
    yield f"{one.state.value}{f': {visible(one.reason)}' if one.reason else ''}"
    if one.state is DeliveryState.QUEUED:
        yield f"next try {moment(one.due_at, zone)}"
        later = later_tries(Policy.of(one.request.get("retry")), one.attempts, one.due_at)
        if later:
            told = ", ".join(moment(when, zone) for when in later)
            yield dim(f"should it fail, about {told}; then it needs a person")
    yield ""
    for line in request_lines(one.request):
        yield f"   {line}"
    if record.tries:
        yield ""
        rows = [
            (
                one.number,
                moment(one.started_at, zone),
                one.outcome,
                _took(one),
                one.status,
                visible(one.detail),
            )
            for one in record.tries
        ]
        yield from table(("try", "started", "outcome", "took", "status", "answer"), rows)


def _took(attempt: Attempt) -> str:
    return "" if attempt.took_ms is None else f"{attempt.took_ms} ms"


def delivery_record_json(record: DeliveryRecord) -> dict[str, Any]:
    """One delivery in the shape of `deliveries show --json`: everything kept."""
    return {
        **delivery_json(record.delivery),
        "connection": record.delivery.connection,
        "idempotency_key": record.delivery.idempotency_key,
        "request": record.delivery.request,
        "created_at": record.created_at.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        "tries": [
            {
                "number": one.number,
                "started_at": one.started_at.isoformat(),
                "outcome": one.outcome,
                "took_ms": one.took_ms,
                "status": one.status,
                "detail": one.detail,
            }
            for one in record.tries
        ],
    }


def quarantined_json(one: Quarantined) -> dict[str, Any]:
    """An unreadable body as JSON; its bytes as text, what is no UTF-8 escaped."""
    return {
        "id": one.id,
        "source": one.source,
        "reason": one.reason,
        "received_at": one.received_at.isoformat(),
        "headers": dict(one.headers),
        "body": one.body.decode("utf-8", "backslashreplace"),
    }


def field_row(info: FieldInfo) -> tuple[str, ...]:
    """A field as a row of a table: its path, kind, an example, and its values or what to know of it."""
    example = (
        ""
        if info.example is None or isinstance(info.example, list | dict)
        else to_json(info.example).decode().strip('"')
    )
    return info.path, info.kind, short(example, 30), ", ".join(info.values) or info.help


def short(text: str, most: int) -> str:
    """A text cut to so many letters, visibly."""
    return text if len(text) <= most else text[: most - 1] + "…"


def visible(text: str) -> str:
    """Text from outside for a terminal: what could move the cursor or change colours is shown as an escape."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def tally_row(rule: Rule, tally: Tally, length: timedelta) -> tuple[str, ...]:
    """How often a rule would have fired, as a row of a table."""
    days = max(length / timedelta(days=1), 1.0)
    latest = ", ".join(tally.fired[-3:][::-1])
    return (
        rule.name,
        str(len(tally.fired)),
        f"{len(tally.fired) / days:.1f}",
        str(len(tally.unsure)),
        str(len(tally.held)),
        latest,
    )


def tally_json(rule: Rule, tally: Tally) -> dict[str, Any]:
    """How often a rule would have fired, and for which events."""
    return {"id": rule.id, "fired": tally.fired, "could_not_tell": tally.unsure, "held": tally.held}


def preview_lines(shown: Preview) -> Iterator[str]:
    """What judging an event again would do: each message, and whether it goes out."""
    yield f"event {shown.number}  {click.style(visible(shown.event.type), bold=True)}  {visible(shown.event.subject)}"
    actions = [(rule, action) for rule in shown.plan.rules for action in rule.actions]
    if not actions:
        yield "   nothing would be sent"
    for rule, action in actions:
        told = dim("was sent, and is not sent again")
        if rule.mode == "test":
            told = dim("mode test: nothing is sent")
        elif action.held:
            told = click.style("would be held", fg="yellow")
        elif shown.again(action):
            told = click.style("would be sent", fg="green")
        yield f"   {rule.name}: {action.kind} to {visible(action.to)}  {told}"


# what waits


def pending_json(one: Pending) -> dict[str, Any]:
    """Something that a rule waits for, as plain JSON."""
    return {
        "id": one.id,
        "rule": one.rule,
        "word": one.word,
        "text": one.text,
        "event": one.event or None,
        "about": one.about,
        "state": one.state,
        "armed_at": one.armed_at.isoformat(),
        "due_at": one.due_at.isoformat(),
        "reason": one.reason,
    }


def pending_lines(one: Pending, zone: tzinfo) -> Iterator[str]:
    """Something that a rule waits for, in words."""
    yield f"{one.rule} waits: {one.text}"
    yield f"for      {f'event {one.event}, {one.about}' if one.event else 'the clock'}"
    yield f"since    {moment(one.armed_at, zone)}"
    yield f"due      {moment(one.due_at, zone)}"
    state = {"armed": "waiting", "fired": "fell due, and is an event of the schedule"}.get(
        one.state, one.state
    )
    yield f"state    {state}{f': {one.reason}' if one.reason else ''}"
