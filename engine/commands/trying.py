"""Rules tried, checked, tested, written: nothing here sends anything."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from engine.commands.common import (
    book_of,
    config_option,
    count_rules,
    event_types,
    json_option,
    language_of,
    moment_of,
    passed_over,
    print_json,
    read_record,
    rules_folder,
    settings_of,
    texts_of,
    trial_of,
    wrong_use,
)


@click.command("dry-run")
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--event",
    "event",
    help="An event type, a JSON file, the number of a recorded event, - , or clock.",
)
@click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a field first, e.g. order.total=250.00"
)
@click.option("--at", "at", help="Pretend that it is this moment, e.g. 2026-12-24T08:00.")
@json_option
@config_option
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
    from engine.desk import clock_trial, planned, planned_by_clock
    from engine.present import plan_json, plan_lines
    from engine.rulebook.reading import CLOCK

    settings = settings_of(config)
    if event is None:
        wrong_use(f"say which event to try with --event: a file, or one of {event_types(settings)}")
    language = language_of(settings)
    book = book_of(rules, settings, language)
    now = moment_of(at, settings)
    if event == CLOCK:
        trial, result = clock_trial(now), planned_by_clock(book, now)
    else:
        trial = trial_of(event, sets, language, now, settings)
        result = planned(trial.event, book, trial.memory, now)
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
        print_json({**plan_json(facts, result), **({"skipped": faulty} if faulty else {})})
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


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option("--strict", is_flag=True, help="Warnings count as faults.")
@json_option
@config_option
def check(rules: Path | None, strict: bool, as_json: bool, config: Path | None) -> None:
    """Say every fault of the rules, and what to write instead."""
    from engine.language.present import present
    from engine.present import colours

    settings = settings_of(config)
    folder = rules_folder(rules, settings)
    book = book_of(rules, settings, language_of(settings))
    shown = [problem for problem in book.problems if not (as_json and problem.severity == "note")]
    errors = sum(problem.severity == "error" for problem in shown)
    warnings = sum(problem.severity == "warning" for problem in shown)
    if as_json:
        print_json({"rules": count_rules(folder), "problems": [_problem_json(problem) for problem in shown]})
    else:
        texts = texts_of(folder)
        for problem in shown:
            click.echo(present(problem, texts.get(problem.file, ""), colours()) + "\n")
        for name in passed_over(folder):
            click.echo(
                click.style("! ", fg="yellow") + f"{name} is not read: the name of a rule file ends in .yaml"
            )
        click.echo(_verdict(count_rules(folder), errors, warnings))
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


@click.command("test")
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@config_option
def test(rules: Path | None, config: Path | None) -> None:
    """Run the tests that stand in the rule files."""
    from engine.language.problem import Problems
    from engine.language.words import plural
    from engine.present import rule_lines
    from engine.rulebook.trial import read_tests, run_test

    settings = settings_of(config)
    language = language_of(settings)
    book = book_of(rules, settings, language)
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


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--check", "only_check", is_flag=True, help="Change nothing; end with 1 if a file would change."
)
@config_option
def fmt(rules: Path | None, only_check: bool, config: Path | None) -> None:
    """Give rule files one spelling; comments and meaning stay.

    A file with faults is left as it is.
    """
    from engine.language.format import format_document
    from engine.language.words import plural
    from engine.runtime.editing import write_whole

    folder = rules_folder(rules, settings_of(config))
    files = [folder] if folder.is_file() else [folder / name for name in texts_of(folder) if "/" not in name]
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


@click.command()
@click.argument("event")
@json_option
@config_option
def fields(event: str, as_json: bool, config: Path | None) -> None:
    """List the fields that an EVENT has, with their values."""
    from engine.present import field_row, table
    from engine.rulebook.shapes import Shape

    settings = settings_of(config)
    language = language_of(settings)
    known = language.event_types.get(language.renamed.get(event, event))
    if known is None:
        wrong_use(f'the OMS has no event "{event}": {event_types(settings)}')
    found = [
        info for info in Shape.of([known], language.sources.values()).fields.values() if info.kind != "object"
    ]
    if as_json:
        shown = [
            {"path": one.path, "kind": one.kind, "help": one.help, "values": one.values} for one in found
        ]
        print_json({"fields": shown})
        return
    click.echo(f"{click.style(known.name, bold=True)}  {known.help}\n")
    for line in table(("field", "kind", "for example", ""), [field_row(one) for one in found]):
        click.echo(line)


@click.command()
@config_option
def schema(config: Path | None) -> None:
    """Print the JSON Schema of rule files, for editors."""
    import json

    from engine.rulebook.schema import schema

    click.echo(json.dumps(schema(language_of(settings_of(config))), indent=2, ensure_ascii=False))


@click.command()
@json_option
def gallery(as_json: bool) -> None:
    """List ready-made rules, to start your own from."""
    from engine.present import table
    from engine.rulebook.gallery import gallery

    rules = gallery()
    if as_json:
        print_json(
            {"rules": [{"id": rule.id, "name": rule.name, "why": rule.why} for rule in rules.values()]}
        )
        return
    for line in table(("rule", "name", "why"), [(rule.id, rule.name, rule.why) for rule in rules.values()]):
        click.echo(line)


@click.command()
@click.argument("rule")
@click.option("--name", help="What the new rule is called; left out, as in the gallery.")
@click.option("--rules", type=click.Path(path_type=Path), help="The folder it goes to; left out: rules/.")
@config_option
def new(rule: str, name: str | None, rules: Path | None, config: Path | None) -> None:
    """Start a rule of your own from the gallery's RULE, in mode test."""
    from engine.language.words import listing, nearest, normal_key
    from engine.rulebook.gallery import gallery, new_rule
    from engine.runtime.editing import write_whole

    known = gallery()
    if rule not in known:
        near = next(iter(nearest(rule, known)), None)
        mean = f" Did you mean {near}?" if near else ""
        wrong_use(f'the gallery has no rule "{rule}".{mean} There are {listing(known)}')
    folder = rules or settings_of(config).rules
    if name is not None and not normal_key(name):
        wrong_use("the name is empty")
    letters = "".join(letter if letter.isalnum() else " " for letter in normal_key(name or rule))
    stem = "-".join(letters.split()) or rule
    file = folder / f"{stem}.yaml"
    if file.exists():
        wrong_use(f"there is a rule {file} already; give the new one another name with --name")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, new_rule(known[rule], name or ""))
    click.echo(
        f"{click.style('✓', fg='green')} {file}, in mode test: it judges live events and sends nothing"
    )
    click.echo(f"change it, then: shopbell check {folder}, shopbell test {folder}; `mode: on` sets it live")


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option(
    "--since", default="30 days", show_default=True, help="How far back to look, e.g. 12 hours or 30d."
)
@json_option
@config_option
def backtest(rules: Path | None, since: str, as_json: bool, config: Path | None) -> None:
    """Say how often each rule would have fired on past events."""
    from engine.desk import backtest
    from engine.language.words import plural, read_duration
    from engine.present import table, tally_json, tally_row

    settings = settings_of(config)
    length = read_duration(since)
    if length is None:
        wrong_use(f'"{since}" is not a length of time: write for example 30 days')
    book = book_of(rules, settings, language_of(settings))
    number, tallies = read_record(settings, lambda record: backtest(record, book, datetime.now(UTC) - length))
    if as_json:
        print_json({"events": number, "rules": [tally_json(rule, tallies[rule.id]) for rule in book.rules]})
        return
    click.echo(f"{plural(number, 'event')} of the last {since}\n")
    rows = [tally_row(rule, tallies[rule.id], length) for rule in book.rules]
    for line in table(("rule", "would have fired", "a day", "could not tell", "held", "latest events"), rows):
        click.echo(line)
