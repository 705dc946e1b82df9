"""What the commands share: their options, the rules and settings they work on, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from engine.desk import Trial
    from engine.rulebook.book import Rulebook
    from engine.rulebook.vocabulary import Language
    from engine.settings import Settings
    from engine.store.store import Reader

Found = TypeVar("Found")
Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="SHOPBELL_CONFIG",
        help="The settings file. Left out: shopbell.yaml in this folder, if there is one.",
    )
    return option(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(
        command
    )


def settings_of(config: Path | None, *, secrets: bool = False) -> Settings:
    from engine import actions
    from engine.settings import Settings, SettingsFaulty, read_settings

    path = config or Path("shopbell.yaml")
    if not path.is_file():
        if config is not None:
            wrong_use(f"there is no settings file {path}")
        return Settings()
    text = path.read_bytes()
    try:
        return read_settings(text, path.resolve(), os.environ, actions.found(), lenient=not secrets)
    except SettingsFaulty as faulty:
        from engine.language.present import present
        from engine.present import colours

        for problem in faulty.problems:
            click.echo(present(problem, text.decode("utf-8", "replace"), colours()) + "\n", err=True)
        wrong_use(f"the settings in {path} cannot be used")


def language_of(settings: Settings) -> Language:
    from engine import actions, sources
    from engine.rulebook.vocabulary import Language

    return Language(sources.found(), actions.found(), settings.shop, settings.destinations())


def rules_folder(rules: Path | None, settings: Settings) -> Path:
    folder = rules or settings.rules
    if not folder.exists():
        wrong_use(f"there is no rule file or folder {folder}")
    return folder


def texts_of(folder: Path) -> dict[str, str]:
    from engine.runtime.rulefiles import FolderUnreadable, read_folder

    try:
        if not folder.is_file():
            return read_folder(folder)
        beside = {
            name: text for name, text in read_folder(folder.parent).items() if name.startswith("lists/")
        }
        return {**beside, folder.name: folder.read_bytes().decode("utf-8", "surrogateescape")}
    except FolderUnreadable as reason:
        wrong_use(str(reason))


def book_of(rules: Path | None, settings: Settings, language: Language) -> Rulebook:
    from engine.rulebook.loader import Loader

    return Loader(language).load(texts_of(rules_folder(rules, settings)))


def passed_over(folder: Path) -> list[str]:
    """Files that somebody probably meant as rules: `big.yaml.txt`, `big.YAML`."""
    if not folder.is_dir():
        return []
    read = texts_of(folder)
    names = (path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(
        name for name in names if name not in read and (".yaml" in name.lower() or ".yml" in name.lower())
    )


def count_rules(folder: Path) -> int:
    return sum("/" not in name for name in texts_of(folder))


def moment_of(at: str | None, settings: Settings) -> datetime:
    from engine.language.moment import read_moment

    if at is None:
        return datetime.now(UTC)
    moment = read_moment(at, settings.shop.timezone)
    if moment is None:
        wrong_use(f'"{at}" is not a moment: write for example 2026-12-24T08:00')
    return moment


def trial_of(words: str, sets: Iterable[str], language: Language, now: datetime, settings: Settings) -> Trial:
    from engine.desk import CannotTry, body_of, recorded_trial, trial

    try:
        if words.isascii() and words.isdigit():
            return read_record(settings, lambda store: recorded_trial(store, words, tuple(sets)))
        return trial(body_of(words, language), language, now, tuple(sets), words)
    except CannotTry as reason:
        wrong_use(str(reason))


def event_types(settings: Settings) -> str:
    from engine.language.words import listing

    return listing(language_of(settings).event_types)


def print_json(document: Any) -> None:
    from engine.rulebook.frames import to_json

    click.echo(to_json(document).decode())


def wrong_use(message: str) -> NoReturn:
    """End with exit code 2 and a sentence: the command was used wrongly."""
    click.echo(click.style("✗ ", fg="red") + message, err=True)
    sys.exit(2)


def read_record(settings: Settings, look: Callable[[Reader], Found]) -> Found:
    """Read the record, beside a running service or without one; nothing is written to it."""
    from contextlib import closing

    from engine.store.store import Reader, StoreError

    try:
        with closing(Reader(settings.database)) as record:
            return look(record)
    except StoreError as reason:
        wrong_use(str(reason))


def print_table(lines: Iterable[str], following: str | None, number: int) -> None:
    if not number:
        click.echo("nothing yet")
        return
    for line in lines:
        click.echo(line)
    if following:
        click.echo(f"\nmore: --after {following}")
