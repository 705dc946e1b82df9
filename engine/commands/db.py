"""The database: its tables, what is let go of, people in it, copies, and whether it is whole."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands.common import config_option, json_option, print_json, read_record, settings_of, wrong_use

if TYPE_CHECKING:
    from engine.runtime.control import Order
    from engine.settings import Settings
    from engine.store.people import Person

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_email = click.option("--email", default="", help="The person's e-mail address.")
_numbers = click.option("--order", "numbers", multiple=True, help="The number of an order; may be repeated.")


@click.group()
def db() -> None:
    """The database: tables, retention, people, copies."""


@db.command()
@config_option
def upgrade(config: Path | None) -> None:
    """Bring the tables up to date; a copy is kept beside them. The service does it by itself when it starts."""
    import asyncio

    from engine.store.store import AnotherProcess, Store, StoreError

    settings = settings_of(config)
    try:
        asyncio.run(_open_and_close(Store, settings))
    except AnotherProcess:
        click.echo("a service works with the database, so its tables are up to date")
    except StoreError as reason:
        wrong_use(str(reason))
    else:
        click.echo("the tables are up to date")


async def _open_and_close(store: Any, settings: Settings) -> None:
    async with await store.open(settings.database):
        pass


@db.command()
@click.option("--events", help="Let go of events older than this; left out: as the settings say, or 90 days.")
@click.option("--deliveries", help="Let go of settled deliveries older than this.")
@click.option("--bodies", help="Let go of the content of events older than this, while the events stay.")
@_yes
@config_option
def purge(
    events: str | None, deliveries: str | None, bodies: str | None, yes: bool, config: Path | None
) -> None:
    """Let go of what is old. What somebody has to decide on stays, and is counted.

    Repeats and what rules remember go by their own time. The service does all this by itself every ten minutes.
    """
    from engine.runtime.control import Purge

    settings = settings_of(config)
    keep_events = _length(events, settings.keep_events)
    keep_deliveries = _length(deliveries, settings.keep_deliveries)
    keep_bodies = settings.keep_bodies if bodies is None else _length(bodies, timedelta(0))
    click.echo(
        f"events older than {_days(keep_events)} and deliveries older than {_days(keep_deliveries)} go"
    )
    if yes or click.confirm("Purge?"):
        seconds = None if keep_bodies is None else keep_bodies.total_seconds()
        _order(settings, Purge(keep_events.total_seconds(), keep_deliveries.total_seconds(), seconds))


def _length(text: str | None, usual: timedelta) -> timedelta:
    from engine.language.words import read_duration

    length = usual if text is None else read_duration(text)
    if length is None:
        wrong_use(f'"{text}" is not a length of time: write for example "30 days"')
    return length


def _days(length: timedelta) -> str:
    return f"{length.total_seconds() / 86_400:g} days"


# people


@db.command()
@_email
@_numbers
@_yes
@config_option
def erase(email: str, numbers: tuple[str, ...], yes: bool, config: Path | None) -> None:
    """Erase a person everywhere, by e-mail address or by orders. Shows what would go first, and asks.

    What names them is replaced by [erased]; messages still to be sent are cancelled. Later events about them are kept
    as any other: have them erased in the order system, too.
    """
    from engine.runtime.control import Erase, personal_fields
    from engine.runtime.upkeep import traced_words
    from engine.store.people import look

    settings, person = settings_of(config), _person(email, numbers)
    found = read_record(settings, lambda record: look(record.runner, person, personal_fields()).traced())
    click.echo(f"found: {traced_words(found)}")
    if not found.number:
        return
    if found.unsent:
        click.echo(f"{found.unsent} messages still to be sent name them, and would be cancelled")
    for name in _other_files(settings):
        click.echo(f"not looked into: {name}, an older copy; delete it, or wait until it is replaced")
    if yes or click.confirm("Erase? This cannot be undone."):
        _order(settings, Erase(person.email, person.subjects))


@db.command()
@_email
@_numbers
@config_option
def export(email: str, numbers: tuple[str, ...], config: Path | None) -> None:
    """Print everything kept of a person as one JSON document."""
    from engine.runtime.control import personal_fields
    from engine.store.people import export as exported
    from engine.store.people import look

    settings, person = settings_of(config), _person(email, numbers)
    print_json(
        read_record(
            settings, lambda record: exported(record.runner, look(record.runner, person, personal_fields()))
        )
    )


def _person(email: str, numbers: tuple[str, ...]) -> Person:
    from engine.store.people import Person

    if not email and not numbers:
        wrong_use("say who: --email ana@example.com, or --order R123")
    if email and "@" not in email.strip("@"):
        wrong_use(f'"{email}" is not an e-mail address')
    return Person(email.strip(), tuple(f"order:{number}" for number in numbers))


def _other_files(settings: Settings) -> list[str]:
    """Copies of the database that may still name somebody."""
    from engine.store.backup import copies

    if not settings.database.startswith("sqlite"):
        return []
    database = _file(settings)
    beside = [
        *database.parent.glob(f"{database.name}.before-*"),
        *database.parent.glob(f"{database.name}.kept-*"),
    ]
    made = copies(database, settings.backups) if settings.backups and settings.backups.is_dir() else []
    return [str(path) for path in (*sorted(beside), *(one.path for one in made))]


# copies


@db.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where to; left out: as the settings say.")
@config_option
def backup(folder: Path | None, config: Path | None) -> None:
    """Copy the database, also while the service works with it. With `backup` in the settings that happens each hour."""
    from engine.store.backup import back_up
    from engine.store.store import StoreError

    settings = settings_of(config)
    target = folder or settings.backups
    if target is None:
        wrong_use("say where to: --folder backups, or in the settings: backup: {folder: backups, keep: 24}")
    try:
        made = back_up(_existing(settings), target, datetime.now(UTC), settings.keep_backups)
    except StoreError as reason:
        wrong_use(str(reason))
    click.echo(f"{made.path} ({made.size:,} bytes)")


@db.command()
@click.argument("copy", type=click.Path(path_type=Path))
@click.option(
    "--send", is_flag=True, help="Send what the copy had still to send; nothing of it has gone out since."
)
@_yes
@config_option
def restore(copy: Path, send: bool, yes: bool, config: Path | None) -> None:
    """Put a copy in the place of the database, while no service runs. The old files stay under other names.

    What was still to be sent then waits for you, because it may have gone out since the copy was made.
    """
    from engine.store.backup import restore as put_back
    from engine.store.store import StoreError

    database = _file(settings_of(config))
    if not yes and not click.confirm(f"Put {copy} in the place of {database}?"):
        return
    try:
        done = put_back(copy, database, datetime.now(UTC), hold=not send)
    except StoreError as reason:
        wrong_use(str(reason))
    for old in done.kept:
        click.echo(f"kept: {old}")
    click.echo(f"restored from {done.copy}; {done.held} messages and {done.set_aside} events wait for you")


@db.command()
@json_option
@config_option
def check(as_json: bool, config: Path | None) -> None:
    """Look through all of the database: the file as a whole, and each event by the hash of its content."""
    from engine.store.integrity import every_damaged, first_fault

    settings = settings_of(config)
    fault = first_fault(_existing(settings)) if settings.database.startswith("sqlite") else ""
    damaged: list[int] = []
    if not fault:
        damaged = read_record(
            settings, lambda record: [one for some in every_damaged(record.runner) for one in some]
        )
    if as_json:
        print_json({"fault": fault, "damaged": damaged})
    elif fault:
        click.echo(f"✗ the database: {fault}. Stop the service and start it again, or restore a copy")
    else:
        for number in damaged:
            click.echo(f"✗ event {number} is not what was received")
        click.echo("✓ the database is whole" if not damaged else f"{len(damaged)} events are damaged")
    sys.exit(1 if fault or damaged else 0)


def _file(settings: Settings) -> Path:
    from engine.store.sqlite import path_of
    from engine.store.store import StoreError

    try:
        return path_of(settings.database)
    except StoreError:
        wrong_use("this is for SQLite; copies of a PostgreSQL database are made with its own tools (pg_dump)")


def _existing(settings: Settings) -> Path:
    database = _file(settings)
    if not database.exists():
        wrong_use(f"there is no database {database} yet; it is made when the service first starts")
    return database


def _order(settings: Settings, order: Order) -> None:
    """Have the running service carry out an order, or do it here where none runs."""
    import asyncio

    from engine.commands.record import _given

    [answer] = asyncio.run(_given(settings, [order]))
    if answer.error:
        click.echo(click.style("✗ ", fg="red") + answer.error, err=True)
        sys.exit(1)
    click.echo(answer.done)
