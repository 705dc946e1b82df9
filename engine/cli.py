"""The command line: every word a person types, thin over the rooms that do the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from engine import __version__

if TYPE_CHECKING:
    from socket import socket

    from engine.app import Service
    from engine.desk import Explained, Trial
    from engine.model import Delivery
    from engine.rulebook.book import Rulebook
    from engine.rulebook.loader import Language
    from engine.runtime.control import Answer, Order
    from engine.settings import Settings
    from engine.store.store import Reader

Found = TypeVar("Found")
Command = TypeVar("Command", bound=Callable[..., Any])


def _config(command: Command) -> Command:
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="SHOPBELL_CONFIG",
        help="The settings file. Left out: shopbell.yaml in this folder, if there is one.",
    )
    return option(command)


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shopbell")
def main() -> None:
    """Rings when something happens in the shop: rules turn its events into messages, mails and calls."""


# trying rules


@main.command("dry-run")
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--event",
    "event",
    help="An event type, a JSON file, the number of a recorded event, or - .",
)
@click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a field first, e.g. order.total=250.00"
)
@click.option("--at", "at", help="Pretend that it is this moment, e.g. 2026-12-24T08:00.")
@_json
@_config
def dry_run(
    rules: Path | None,
    event: str | None,
    sets: tuple[str, ...],
    at: str | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Show what an event would send, and why; sends nothing.

    RULES is a rule file or a folder of them (left out: the folder of the settings, else rules/).
    """
    from engine.present import plan_json, plan_lines
    from engine.rulebook.planner import plan

    settings = _settings(config)
    if event is None:
        _wrong(f"say which event to try with --event: a file, or one of {_event_types(settings)}")
    language = _language(settings)
    book = _book(rules, settings, language)
    now = _moment(at, settings)
    trial = _trial(event, sets, language, now, settings)
    result = plan(trial.event, book, trial.memory, now, explain=True)
    faulty = sorted({problem.file for problem in book.problems if problem.severity == "error"})
    if as_json:
        facts = {
            "id": trial.event.id,
            "type": trial.event.type,
            "source": trial.event.source,
            "subject": trial.event.subject,
            "late": trial.event.late,
            "repeat": trial.event.repeat,
        }
        _print_json({**plan_json(facts, result), **({"skipped": faulty} if faulty else {})})
        sys.exit(1 if faulty else 0)
    click.echo(
        f"{click.style(trial.event.type, bold=True)}  {trial.event.subject}  (dry run: nothing is sent)\n"
    )
    for line in plan_lines(result):
        click.echo(line)
    if faulty:
        click.echo(click.style(f"\nnot looked at, because they have faults: {', '.join(faulty)}", fg="red"))
        click.echo("`shopbell check` says what to change")
    sys.exit(1 if faulty else 0)


@main.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option("--strict", is_flag=True, help="Warnings count as faults.")
@_json
@_config
def check(rules: Path | None, strict: bool, as_json: bool, config: Path | None) -> None:
    """Say every fault of the rules, and what to write instead."""
    from engine.language.present import present
    from engine.present import colours

    settings = _settings(config)
    folder = _rules_folder(rules, settings)
    book = _book(rules, settings, _language(settings))
    shown = [problem for problem in book.problems if not (as_json and problem.severity == "note")]
    errors = sum(problem.severity == "error" for problem in shown)
    warnings = sum(problem.severity == "warning" for problem in shown)
    if as_json:
        _print_json(
            {"rules": _count_rules(folder), "problems": [_problem_json(problem) for problem in shown]}
        )
    else:
        texts = _texts(folder)
        for problem in shown:
            click.echo(present(problem, texts.get(problem.file, ""), colours()) + "\n")
        for name in _passed_over(folder):
            click.echo(
                click.style("! ", fg="yellow") + f"{name} is not read: the name of a rule file ends in .yaml"
            )
        click.echo(_verdict(_count_rules(folder), errors, warnings))
    sys.exit(1 if errors or (strict and warnings) else 0)


def _verdict(rules: int, errors: int, warnings: int) -> str:
    from engine.language.words import plural

    if not rules:
        return (
            click.style("! ", fg="yellow")
            + "no rules found: put one into the folder, in a file that ends in .yaml"
        )
    told = f"{plural(rules, 'rule')} checked: "
    if not errors and not warnings:
        return click.style("✓ ", fg="green") + told + "no faults"
    mark = click.style("✗ ", fg="red") if errors else click.style("! ", fg="yellow")
    return f"{mark}{told}{plural(errors, 'fault')}, {plural(warnings, 'warning')}"


def _problem_json(problem: Any) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "message": problem.message,
        "hint": problem.hint,
    }


@main.command("test")
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@_config
def test(rules: Path | None, config: Path | None) -> None:
    """Run the tests that stand in the rule files."""
    from engine.language.problem import Problems
    from engine.language.words import plural
    from engine.present import rule_lines
    from engine.rulebook.trial import read_tests, run_test

    settings = _settings(config)
    language = _language(settings)
    book = _book(rules, settings, language)
    source = next(iter(language.sources))
    passed = failed = skipped = 0
    for rule in book.rules:
        for one in read_tests(rule, language, Problems(rule.file)):
            result = run_test(one, rule, book, source, datetime.now(UTC))
            mark = {True: ("✓", "green"), False: ("✗", "red"), None: ("-", "yellow")}[result.passed]
            click.echo(f"{click.style(mark[0], fg=mark[1])} {rule.name}: {one.name}")
            passed, failed = passed + (result.passed is True), failed + (result.passed is False)
            skipped += result.passed is None
            if not result.passed:
                click.echo(f"   {rule.file}:{one.mark.line}: {result.because}")
            if result.passed is False and result.plan is not None:
                for line in rule_lines(result.plan):
                    click.echo(f"   {line}")
    faulty = sorted({problem.file for problem in book.problems if problem.severity == "error"})
    click.echo()
    if faulty:
        click.echo(click.style(f"not tried, because they have faults: {', '.join(faulty)}", fg="red"))
    if not passed + failed + skipped:
        click.echo(
            "no rule has tests yet: write them under `tests:`, as the rules of `shopbell gallery` have them"
        )
        sys.exit(1 if faulty else 0)
    untried = f", {skipped} not tried" if skipped else ""
    click.echo(f"{plural(passed + failed + skipped, 'test')}: {passed} passed, {failed} failed{untried}")
    sys.exit(1 if failed or faulty else 0)


@main.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--check", "only_check", is_flag=True, help="Change nothing; end with 1 if a file would change."
)
@_config
def fmt(rules: Path | None, only_check: bool, config: Path | None) -> None:
    """Give rule files one spelling; comments and meaning stay.

    A file with faults is left as it is.
    """
    from engine.language.format import format_document
    from engine.language.words import plural
    from engine.runtime.editing import write_whole

    folder = _rules_folder(rules, _settings(config))
    files = [folder] if folder.is_file() else [folder / name for name in _texts(folder) if "/" not in name]
    changed = 0
    for file in files:
        before = file.read_bytes().decode("utf-8", "surrogateescape")
        after = format_document(before)
        if after != before:
            changed += 1
            click.echo(f"{'would change' if only_check else 'changed'}  {file}")
            if not only_check:
                write_whole(file, after)
    click.echo(f"{plural(len(files), 'rule')}: {changed} {'to change' if only_check else 'changed'}")
    sys.exit(1 if changed and only_check else 0)


@main.command()
@click.argument("event")
@_json
@_config
def fields(event: str, as_json: bool, config: Path | None) -> None:
    """List the fields that an EVENT has, with their values."""
    from engine.present import field_row, table
    from engine.rulebook.shapes import Shape

    settings = _settings(config)
    language = _language(settings)
    known = language.event_types.get(language.renamed.get(event, event))
    if known is None:
        _wrong(f'the OMS has no event "{event}": {_event_types(settings)}')
    found = [
        info for info in Shape.of([known], language.sources.values()).fields.values() if info.kind != "object"
    ]
    if as_json:
        shown = [
            {"path": one.path, "kind": one.kind, "help": one.help, "values": one.values} for one in found
        ]
        _print_json({"fields": shown})
        return
    click.echo(f"{click.style(known.name, bold=True)}  {known.help}\n")
    for line in table(("field", "kind", "for example", ""), [field_row(one) for one in found]):
        click.echo(line)


@main.command()
@_config
def schema(config: Path | None) -> None:
    """Print the JSON Schema of rule files, for editors."""
    import json

    from engine.rulebook.schema import schema

    click.echo(json.dumps(schema(_language(_settings(config))), indent=2, ensure_ascii=False))


@main.command()
@_json
def gallery(as_json: bool) -> None:
    """List ready-made rules, to start your own from."""
    from engine.present import table
    from engine.rulebook.gallery import gallery

    rules = gallery()
    if as_json:
        _print_json(
            {"rules": [{"id": rule.id, "name": rule.name, "why": rule.why} for rule in rules.values()]}
        )
        return
    for line in table(("rule", "name", "why"), [(rule.id, rule.name, rule.why) for rule in rules.values()]):
        click.echo(line)


@main.command()
@click.argument("rule")
@click.option("--name", help="What the new rule is called; left out, as in the gallery.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder it goes to; left out: rules/.")
@_config
def new(rule: str, name: str | None, rules: Path | None, config: Path | None) -> None:
    """Start a rule of your own from the gallery's RULE, in mode test."""
    from engine.language.words import listing, nearest, normal_key
    from engine.rulebook.gallery import gallery, new_rule
    from engine.runtime.editing import write_whole

    known = gallery()
    if rule not in known:
        near = next(iter(nearest(rule, known)), None)
        mean = f" Did you mean {near}?" if near else ""
        _wrong(f'the gallery has no rule "{rule}".{mean} There are {listing(known)}')
    folder = rules or _settings(config).rules
    if name is not None and not normal_key(name):
        _wrong("the name is empty")
    letters = "".join(letter if letter.isalnum() else " " for letter in normal_key(name or rule))
    stem = "-".join(letters.split()) or rule
    file = folder / f"{stem}.yaml"
    if file.exists():
        _wrong(f"there is a rule {file} already; give the new one another name with --name")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, new_rule(known[rule], name or ""))
    click.echo(
        f"{click.style('✓', fg='green')} {file}, in mode test: it judges live events and sends nothing"
    )
    click.echo(f"change it, then: shopbell check {folder}, shopbell test {folder}; `mode: on` sets it live")


@main.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--since", default="30 days", show_default=True, help="How far back to look, e.g. 12 hours or 30d."
)
@_json
@_config
def backtest(rules: Path | None, since: str, as_json: bool, config: Path | None) -> None:
    """Say how often each rule would have fired on past events."""
    from engine.desk import backtest
    from engine.language.words import plural, read_duration
    from engine.present import table, tally_json, tally_row

    settings = _settings(config)
    length = read_duration(since)
    if length is None:
        _wrong(f'"{since}" is not a length of time: write for example 30 days')
    book = _book(rules, settings, _language(settings))
    number, tallies = _read(settings, lambda record: backtest(record, book, datetime.now(UTC) - length))
    if as_json:
        _print_json({"events": number, "rules": [tally_json(rule, tallies[rule.id]) for rule in book.rules]})
        return
    click.echo(f"{plural(number, 'event')} of the last {since}\n")
    rows = [tally_row(rule, tallies[rule.id], length) for rule in book.rules]
    for line in table(("rule", "would have fired", "a day", "could not tell", "held", "latest events"), rows):
        click.echo(line)


# running


@main.command()
@_config
def serve(config: Path | None) -> None:
    """Run the service: take events in, judge them, send messages."""
    from engine.app import Service
    from engine.runtime.logs import log_to_stderr
    from engine.runtime.rulefiles import FolderUnreadable
    from engine.runtime.server import CannotListen, listen_on, run
    from engine.store.store import StoreError

    settings = _settings(config, secrets=True)
    if not settings.secrets:
        _wrong(
            "nobody could send events: no secret is set. Put one into shopbell.yaml, and into the address at the "
            'order system:\n\n  sources: {chord: {secrets: ["${CHORD_SECRET}"]}}'
        )
    log_to_stderr(settings.hidden)
    try:
        listening = listen_on(settings.listen.host, settings.listen.port)
        run(_until_told(Service(settings), listening))
    except CannotListen as reason:
        _wrong(f"{reason} under `listen` in the settings")
    except (FolderUnreadable, StoreError) as reason:
        _wrong(str(reason))


async def _until_told(service: Service, listening: socket) -> None:
    """Serve until told to end, and say where, and that it has ended."""
    import logging

    from engine.runtime.server import told_to_end

    log = logging.getLogger("shopbell")
    host, port = listening.getsockname()[:2]
    async with service.running(listening):
        log.info("listening on http://%s:%s, events at /events/chord/{secret}", host, port)
        log.info("told to end by %s", await told_to_end())
    log.info("ended")


@main.command()
@click.option(
    "--once", "just_once", is_flag=True, help="Send each kind of event once, say what came of it, and end."
)
@click.option(
    "--rules", type=click.Path(path_type=Path), help="The rules to show; left out: rules/ or the examples."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where the service listens; left out: any free port.",
)
def demo(just_once: bool, rules: Path | None, port: int) -> None:
    """Everything at once: a service, a stand-in order system, a catcher."""
    from engine.demo import live, once, rules_folder
    from engine.runtime.server import CannotListen, run

    if rules is not None and not rules.is_dir():
        _wrong(f"there is no folder {rules}")
    folder = rules_folder(rules)
    try:
        if just_once:
            sys.exit(0 if run(once(folder, click.echo, port=port)) else 1)
        run(live(folder, click.echo, port))
    except CannotListen as reason:
        _wrong(str(reason))
    except KeyboardInterrupt:
        click.echo("\nbye")


# the record

_limit = click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many to show."
)
_after = click.option("--after", help="Go on after this one, as `next` of the last page said.")


@main.group()
def events() -> None:
    """What happened in the shop."""


@events.command("list")
@_limit
@_after
@click.option("--type", "type_", help="Only events of this type.")
@_json
@_config
def events_list(limit: int, after: str | None, type_: str | None, as_json: bool, config: Path | None) -> None:
    """The events on record, newest first."""
    from engine.present import event_json, event_row, table

    settings = _settings(config)
    page = _read(settings, lambda store: store.events(limit=limit, after=after, type=type_))
    if not page.items and type_ is not None and type_ not in _language(settings).event_types:
        _wrong(
            f'no event of the type "{type_}" is on record, and the OMS sends none: {_event_types(settings)}'
        )
    if as_json:
        _print_json({"events": [event_json(line) for line in page.items], "next": page.next})
        return
    rows = [event_row(line, settings.shop.timezone) for line in page.items]
    _print_table(
        table(("number", "event", "about", "received", "state", "arrivals"), rows), page.next, len(rows)
    )


@events.command("show")
@click.argument("number")
@_json
@_config
def events_show(number: str, as_json: bool, config: Path | None) -> None:
    """One event: what came, what each rule said of it and why, and what was sent."""
    from engine.desk import explain
    from engine.present import explained_json, explained_lines

    settings = _settings(config)
    language = _language(settings)

    def look(record: Reader) -> tuple[Explained, Sequence[Delivery]]:
        return explain(record, number, language), record.deliveries(event=number, limit=1000).items

    explained, made = _read(settings, look)
    if as_json:
        _print_json(explained_json(explained, made))
        return
    for line in explained_lines(explained, made, settings.shop.timezone):
        click.echo(line)


@events.command("replay")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--resend", is_flag=True, help="Send again what these events have sent already.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_config
def events_replay(numbers: tuple[str, ...], resend: bool, yes: bool, config: Path | None) -> None:
    """Judge events again by the rules of today. Shows what would be sent first, and asks.

    What an event has sent already, or is about to send, is not sent again unless told.
    """
    from engine.desk import CannotTry, preview
    from engine.present import preview_lines
    from engine.runtime.control import Replay

    settings = _settings(config)
    book = _book(None, settings, _language(settings))
    for number in numbers:
        try:
            shown = _read(settings, lambda record, number=number: preview(record, number, book, resend))  # type: ignore[misc]
        except CannotTry as reason:
            _wrong(str(reason))
        for line in preview_lines(shown):
            click.echo(line)
    if yes or click.confirm("\nReplay?"):
        _order(settings, [Replay(number, resend) for number in numbers], "is judged again")


@main.group()
def deliveries() -> None:
    """What was due for it, and what became of that."""


@deliveries.command("list")
@_limit
@_after
@click.option("--state", help="Only those in this state, e.g. failed, held, queued.")
@click.option("--event", "event", help="Only those of the event with this number.")
@_json
@_config
def deliveries_list(
    limit: int, after: str | None, state: str | None, event: str | None, as_json: bool, config: Path | None
) -> None:
    """The deliveries on record, newest first."""
    from engine.model import DeliveryState
    from engine.present import delivery_json, delivery_row, table

    if state is not None and state not in list(DeliveryState):
        _wrong(f'there is no state "{state}": {", ".join(DeliveryState)}')
    settings = _settings(config)
    wanted = DeliveryState(state) if state else None
    page = _read(
        settings, lambda store: store.deliveries(limit=limit, after=after, state=wanted, event=event)
    )
    if as_json:
        _print_json({"deliveries": [delivery_json(one) for one in page.items], "next": page.next})
        return
    rows = [delivery_row(one, settings.shop.timezone) for one in page.items]
    titles = ("number", "event", "rule", "action", "to", "state", "tries", "due", "why")
    _print_table(table(titles, rows), page.next, len(rows))


@deliveries.command("show")
@click.argument("number")
@_json
@_config
def deliveries_show(number: str, as_json: bool, config: Path | None) -> None:
    """One delivery: what is sent, word for word, and every try."""
    from engine.present import delivery_lines, delivery_record_json

    settings = _settings(config)
    record = _read(settings, lambda store: store.delivery(number))
    if as_json:
        _print_json(delivery_record_json(record))
        return
    for line in delivery_lines(record, settings.shop.timezone):
        click.echo(line)


@deliveries.command("retry")
@click.argument("numbers", nargs=-1, required=True)
@_config
def deliveries_retry(numbers: tuple[str, ...], config: Path | None) -> None:
    """Send deliveries now: those that failed, were held, or wait for their next try."""
    from engine.runtime.control import Retry

    _order(_settings(config), [Retry(number) for number in numbers], "is sent now")


@deliveries.command("cancel")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--why", default="cancelled by hand", show_default=True, help="The reason, for the record.")
@_config
def deliveries_cancel(numbers: tuple[str, ...], why: str, config: Path | None) -> None:
    """Never send deliveries that have not gone out."""
    from engine.runtime.control import Cancel

    _order(_settings(config), [Cancel(number, why) for number in numbers], "is cancelled")


@main.group()
def quarantine() -> None:
    """What came and could not be read."""


@quarantine.command("list")
@_limit
@_after
@_json
@_config
def quarantine_list(limit: int, after: str | None, as_json: bool, config: Path | None) -> None:
    """The unreadable bodies, newest first."""
    from engine.present import moment, quarantined_json, table

    settings = _settings(config)
    page = _read(settings, lambda store: store.quarantined(limit=limit, after=after))
    if as_json:
        _print_json({"quarantine": [quarantined_json(one) for one in page.items], "next": page.next})
        return
    zone = settings.shop.timezone
    rows = [
        (one.id, one.source, moment(one.received_at, zone), str(len(one.body)), one.reason)
        for one in page.items
    ]
    _print_table(table(("number", "source", "received", "bytes", "why"), rows), page.next, len(rows))


@quarantine.command("show")
@click.argument("number")
@_json
@_config
def quarantine_show(number: str, as_json: bool, config: Path | None) -> None:
    """One unreadable body: why, and its first 2,000 bytes."""
    from engine.present import moment, quarantined_json, visible

    settings = _settings(config)
    one = _read(settings, lambda store: store.quarantined_body(number))
    if as_json:
        _print_json(quarantined_json(one))
        return
    click.echo(f"{one.reason}\nfrom {one.source}, {moment(one.received_at, settings.shop.timezone)}\n")
    click.echo(visible(one.body[:2000].decode("utf-8", "backslashreplace")))


def _read(settings: Settings, look: Callable[[Reader], Found]) -> Found:
    """Read the record, beside a running service or without one; nothing is written to it."""
    from contextlib import closing

    from engine.store.store import Reader, StoreError

    try:
        with closing(Reader(settings.database)) as record:
            return look(record)
    except StoreError as reason:
        _wrong(str(reason))


def _order(settings: Settings, orders: Sequence[Order], done: str) -> None:
    """Have the running service carry out orders, or do it here where none runs; one that fails stops no other."""
    import asyncio

    answers = asyncio.run(_given(settings, orders))
    for order, answer in zip(orders, answers, strict=True):
        mark = click.style("✗", fg="red") if answer.error else click.style("✓", fg="green")
        number = getattr(order, "delivery", None) or getattr(order, "event", "")
        click.echo(f"{mark} {number} {answer.error or done}")
    sys.exit(1 if any(answer.error for answer in answers) else 0)


async def _given(settings: Settings, orders: Sequence[Order]) -> list[Answer]:
    from engine.runtime.clock import system_clock
    from engine.runtime.control import Answer, NoService, carry_out, give
    from engine.store.store import AnotherProcess, Reader, Store, StoreError

    try:
        with Reader(settings.database) as record:
            database = record.path
        return [await give(order, database) for order in orders]
    except NoService:
        pass  # then the record is ours to write
    except StoreError as reason:
        _wrong(str(reason))
    answers = []
    try:
        async with await Store.open(settings.database) as store:
            for order in orders:
                try:
                    await carry_out(order, store, system_clock)
                    answers.append(Answer())
                except StoreError as reason:
                    answers.append(Answer(str(reason)))
    except AnotherProcess as reason:
        _wrong(str(reason))
    return answers


def _print_table(lines: Iterable[str], following: str | None, number: int) -> None:
    if not number:
        click.echo("nothing yet")
        return
    for line in lines:
        click.echo(line)
    if following:
        click.echo(f"\nmore: --after {following}")


# the order system's side


@main.group(invoke_without_command=True)
@click.option(
    "--port",
    default=3000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where it listens, on this machine only.",
)
@click.option("--token", help="The token of its API; left out: a random one, printed.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same orders.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.001, 1e6),
    help="How much faster time passes.",
)
@click.pass_context
def sandbox(context: click.Context, port: int, token: str | None, seed: int, speed: float) -> None:
    """A stand-in for the order system, with its API and pages."""
    if context.invoked_subcommand is not None:
        return
    import secrets

    from engine.demo import sandbox
    from engine.runtime.server import CannotListen, run
    from engine.sources.chord.sandbox import build_sandbox

    shown = token or secrets.token_hex(24)
    app = build_sandbox(token=shown, seed=seed, speed=speed)
    try:
        run(sandbox(app, port, shown, click.echo))
    except CannotListen as reason:
        _wrong(str(reason))


_sets = click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a field, e.g. order.total=250.00"
)


@sandbox.command("send")
@click.argument("event")
@_sets
@click.option(
    "--times", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many different ones."
)
@click.option(
    "--at",
    "at_url",
    default="http://127.0.0.1:3000",
    show_default=True,
    help="The running sandbox to send through.",
)
@click.option("--to", "to_url", help="Send straight to this receiver instead, once and without repeats.")
@click.option(
    "--fault", help="Send it late, doubled, out of order, re-rendered, slow, cut off or as a wrong type."
)
@click.option("--token", help="The sandbox's token, for one on another machine.")
def sandbox_send(
    event: str,
    sets: tuple[str, ...],
    times: int,
    at_url: str,
    to_url: str | None,
    fault: str | None,
    token: str | None,
) -> None:
    """Send an EVENT: through a running sandbox, or straight to a receiver."""
    from engine.sources.chord.sandbox import SandboxError, send_straight, send_through

    try:
        if to_url is not None:
            attempts = send_straight(to_url, event, sets, times, fault=fault)
            for attempt in attempts:
                click.echo(_attempt_line(attempt))
            sys.exit(0 if attempts and all(attempt.acknowledged for attempt in attempts) else 1)
        listening = send_through(at_url, event, sets, times, fault=fault, token=token)
    except SandboxError as reason:
        _wrong(str(reason))
    click.echo(
        f"{event} is on its way to {', '.join(listening)}" if listening else f"nobody listens to {event}"
    )


@sandbox.command("run")
@click.option(
    "--orders",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many orders to live through.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same orders.")
@click.option(
    "--speed",
    default=3600.0,
    show_default=True,
    type=click.FloatRange(0.001, 1e6),
    help="How much faster time passes.",
)
@click.option(
    "--at",
    "at_url",
    default="http://127.0.0.1:3000",
    show_default=True,
    help="The running sandbox to live in.",
)
@click.option("--to", "to_url", help="Send straight to this receiver instead, with repeats.")
@click.option("--token", help="The sandbox's token, for one on another machine.")
def sandbox_run(
    orders: int, seed: int, speed: float, at_url: str, to_url: str | None, token: str | None
) -> None:
    """Let the shop live for some orders: placed, cancelled, shipped, tracked, sold out and back."""
    from engine.language.words import plural
    from engine.sources.chord.sandbox import SandboxError, run_straight, run_through

    try:
        if to_url is None:
            run_through(at_url, orders, token=token)
            click.echo(f"the shop of {at_url} lives for {plural(orders, 'order')}")
            return
        run = run_straight(
            to_url, orders, seed=seed, speed=speed, tell=lambda one: click.echo(_attempt_line(one))
        )
    except SandboxError as reason:
        _wrong(str(reason))
    click.echo(
        f"{plural(run.orders, 'order')}: {plural(run.tries, 'try', 'tries')}, {run.refused} not acknowledged, {run.lost} given up"
    )
    sys.exit(1 if run.lost else 0)


def _attempt_line(attempt: Any) -> str:
    mark = click.style("✓", fg="green") if attempt.acknowledged else click.style("✗", fg="red")
    return f"{mark} {attempt.event}  {attempt.about}  {attempt.status or attempt.excerpt}"


# helpers of the commands


def _settings(config: Path | None, *, secrets: bool = False) -> Settings:
    from engine import actions
    from engine.settings import Settings, SettingsFaulty, read_settings

    path = config or Path("shopbell.yaml")
    if not path.is_file():
        if config is not None:
            _wrong(f"there is no settings file {path}")
        return Settings()
    text = path.read_bytes()
    try:
        return read_settings(text, path.resolve(), os.environ, actions.found(), lenient=not secrets)
    except SettingsFaulty as faulty:
        from engine.language.present import present
        from engine.present import colours

        for problem in faulty.problems:
            click.echo(present(problem, text.decode("utf-8", "replace"), colours()) + "\n", err=True)
        _wrong(f"the settings in {path} cannot be used")


def _language(settings: Settings) -> Language:
    from engine import actions, sources
    from engine.rulebook.loader import Language

    return Language(sources.found(), actions.found(), settings.shop, settings.destinations())


def _rules_folder(rules: Path | None, settings: Settings) -> Path:
    folder = rules or settings.rules
    if not folder.exists():
        _wrong(f"there is no rule file or folder {folder}")
    return folder


def _texts(folder: Path) -> dict[str, str]:
    from engine.runtime.rulefiles import FolderUnreadable, read_folder

    try:
        if not folder.is_file():
            return read_folder(folder)
        beside = {
            name: text for name, text in read_folder(folder.parent).items() if name.startswith("lists/")
        }
        return {**beside, folder.name: folder.read_bytes().decode("utf-8", "surrogateescape")}
    except FolderUnreadable as reason:
        _wrong(str(reason))


def _book(rules: Path | None, settings: Settings, language: Language) -> Rulebook:
    from engine.rulebook.loader import Loader

    return Loader(language).load(_texts(_rules_folder(rules, settings)))


def _passed_over(folder: Path) -> list[str]:
    """Files that somebody probably meant as rules: `big.yaml.txt`, `big.YAML`."""
    if not folder.is_dir():
        return []
    read = _texts(folder)
    names = (path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(
        name for name in names if name not in read and (".yaml" in name.lower() or ".yml" in name.lower())
    )


def _count_rules(folder: Path) -> int:
    return sum("/" not in name for name in _texts(folder))


def _moment(at: str | None, settings: Settings) -> datetime:
    from engine.language.moment import read_moment

    if at is None:
        return datetime.now(UTC)
    moment = read_moment(at, settings.shop.timezone)
    if moment is None:
        _wrong(f'"{at}" is not a moment: write for example 2026-12-24T08:00')
    return moment


def _trial(words: str, sets: Iterable[str], language: Language, now: datetime, settings: Settings) -> Trial:
    from engine.desk import CannotTry, body_of, recorded_trial, trial

    try:
        if words.isascii() and words.isdigit():
            return _read(settings, lambda store: recorded_trial(store, words, tuple(sets)))
        return trial(body_of(words, language), language, now, tuple(sets), words)
    except CannotTry as reason:
        _wrong(str(reason))


def _event_types(settings: Settings) -> str:
    from engine.language.words import listing

    return listing(_language(settings).event_types)


def _print_json(document: Any) -> None:
    from engine.rulebook.frames import to_json

    click.echo(to_json(document).decode())


def _wrong(message: str) -> NoReturn:
    """End with exit code 2 and a sentence: the command was used wrongly."""
    click.echo(click.style("✗ ", fg="red") + message, err=True)
    sys.exit(2)
