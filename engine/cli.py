"""The command line: every word a person types, thin over the rooms that do the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine import __version__

if TYPE_CHECKING:
    from engine.rulebook.book import Rulebook
    from engine.rulebook.loader import Language
    from engine.settings import Settings

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
    required=True,
    help="An event type, a JSON file, the number of a recorded event, or - .",
)
@click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a field first, e.g. order.total=250.00"
)
@click.option("--at", "at", help="Pretend that it is this moment, e.g. 2026-12-24T08:00.")
@_json
@_config
def dry_run(
    rules: Path | None, event: str, sets: tuple[str, ...], at: str | None, as_json: bool, config: Path | None
) -> None:
    """Show what an event would send, and why. Sends nothing and opens no connection.

    RULES is a rule file or a folder of them (left out: the folder of the settings, else rules/).
    """
    from engine.present import plan_json, plan_lines
    from engine.rulebook.planner import plan

    settings = _settings(config)
    language = _language(settings)
    book = _book(rules, settings, language)
    now = _moment(at, settings)
    trial = _trial(event, sets, language, now, settings)
    result = plan(trial.event, book, trial.memory, now, explain=True)
    errors = [problem for problem in book.problems if problem.severity == "error"]
    if as_json:
        facts = {"id": trial.event.id, "type": trial.event.type, "source": trial.event.source,
                 "subject": trial.event.subject, "late": trial.event.late, "repeat": trial.event.repeat}  # fmt: skip
        _print_json(plan_json(facts, result))
        return
    click.echo(
        f"{click.style(trial.event.type, bold=True)}  {trial.event.subject}  (dry run: nothing is sent)\n"
    )
    for line in plan_lines(result):
        click.echo(line)
    if errors:
        files = sorted({problem.file for problem in errors})
        click.echo(click.style(f"\nnot looked at, because they have faults: {', '.join(files)}", fg="red"))
        click.echo("`shopbell check` says what to change")
        sys.exit(1)


@main.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option("--strict", is_flag=True, help="Warnings count as faults.")
@_json
@_config
def check(rules: Path | None, strict: bool, as_json: bool, config: Path | None) -> None:
    """Say every fault of the rule files, with its place and what to write instead."""
    from engine.language.present import present

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
            click.echo(present(problem, texts.get(problem.file, ""), colour=True) + "\n")
        click.echo(_verdict(_count_rules(folder), errors, warnings))
    sys.exit(1 if errors or (strict and warnings) else 0)


def _verdict(rules: int, errors: int, warnings: int) -> str:
    from engine.language.words import plural

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
    """Run the `tests:` that stand in the rule files."""
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
    untried = f", {skipped} not tried" if skipped else ""
    click.echo(f"{plural(passed + failed + skipped, 'test')}: {passed} passed, {failed} failed{untried}")
    sys.exit(1 if failed or faulty else 0)


# running


@main.command()
@_config
def serve(config: Path | None) -> None:
    """Run the service: take events in, judge them, and send what the rules say."""
    import asyncio

    from engine.app import Service
    from engine.runtime.logs import log_to_stderr
    from engine.runtime.rulefiles import FolderUnreadable
    from engine.store.store import AnotherProcess, StoreUnavailable

    settings = _settings(config, secrets=True)
    if not settings.secrets:
        _wrong(
            "nobody could send events: no secret is set. Put one into shopbell.yaml, and into the address at the "
            'order system:\n\n  sources: {chord: {secrets: ["${CHORD_SECRET}"]}}'
        )
    log_to_stderr(settings.hidden)
    service = Service(settings)
    try:
        asyncio.run(service.serve(service.server()))
    except (FolderUnreadable, AnotherProcess, StoreUnavailable) as reason:
        _wrong(str(reason))


@main.command()
@click.option(
    "--once", "just_once", is_flag=True, help="Send each kind of event once, say what came of it, and end."
)
@click.option(
    "--rules", type=click.Path(path_type=Path), help="The rules to show; left out: rules/ or the examples."
)
@click.option("--port", type=int, default=0, help="Where the service listens; left out: any free port.")
def demo(just_once: bool, rules: Path | None, port: int) -> None:
    """Everything at once, with nothing configured: a service, a stand-in order system, and a catcher."""
    import asyncio

    from engine.demo import live, once, rules_folder

    folder = rules_folder(rules)
    if just_once:
        sys.exit(0 if asyncio.run(once(folder, click.echo)) else 1)
    try:
        asyncio.run(live(folder, click.echo, port))
    except KeyboardInterrupt:
        click.echo("\nbye")


# the record


@main.group()
def events() -> None:
    """What happened in the shop: the record of all events."""


@main.group()
def deliveries() -> None:
    """What was due for it: every message, mail and call, and what became of it."""


@main.group()
def quarantine() -> None:
    """Bodies that were authentic but could not be read, kept with the reason."""


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

        for problem in faulty.problems:
            click.echo(present(problem, text.decode("utf-8", "replace"), colour=True) + "\n", err=True)
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


def _trial(words: str, sets: Iterable[str], language: Language, now: datetime, settings: Settings) -> Any:
    from engine.desk import CannotTry, body_of, trial

    try:
        return trial(body_of(words, language), language, now, tuple(sets), words)
    except CannotTry as reason:
        _wrong(str(reason))


def _print_json(document: Any) -> None:
    from engine.rulebook.frames import to_json

    click.echo(to_json(document).decode())


def _wrong(message: str) -> Any:
    """End with exit code 2 and a sentence: the command was used wrongly."""
    click.echo(click.style("✗ ", fg="red") + message, err=True)
    sys.exit(2)
