"""The endpoints at the order system: listed, registered, and brought in step with what the rules need."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from engine.commands.common import (
    book_of,
    config_option,
    event_types,
    json_option,
    language_of,
    print_json,
    settings_of,
    wrong_use,
)

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.sources.chord.client import OmsClient

Answer = TypeVar("Answer")

_url = click.option(
    "--url", required=True, help="The address that the order system posts to, the secret included."
)
_event = click.option(
    "--event", "event", multiple=True, help="An event to listen to; left out, those the rules need."
)


@click.group()
def oms() -> None:
    """The endpoints at the order system, through its API."""


@oms.command("list")
@json_option
@config_option
def oms_list(as_json: bool, config: Path | None) -> None:
    """The endpoints that are registered, with their events."""
    from engine.present import table

    settings = settings_of(config, secrets=True)
    found = _asked(settings, lambda client: client.endpoints())
    if as_json:
        shown = [
            {"id": one.id, "target_url": _safe(one.target_url, settings), "events": one.events}
            for one in found
        ]
        print_json({"endpoints": shown})
        return
    if not found:
        click.echo("no endpoint is registered")
        return
    rows = [(one.id, _safe(one.target_url, settings), ", ".join(one.events)) for one in found]
    for line in table(("number", "address", "events"), rows):
        click.echo(line)


@oms.command("register")
@_url
@_event
@config_option
def oms_register(url: str, event: tuple[str, ...], config: Path | None) -> None:
    """Register an endpoint."""
    settings = settings_of(config, secrets=True)
    events = _events(event, settings)
    made = _asked(settings, lambda client: client.create(url, events))
    click.echo(f"{click.style('✓', fg='green')} endpoint {made.id} listens to {', '.join(made.events)}")


@oms.command("update")
@click.argument("number")
@click.option("--url", help="Its new address; left out, the old one.")
@_event
@config_option
def oms_update(number: str, url: str | None, event: tuple[str, ...], config: Path | None) -> None:
    """Change an endpoint's address, or the events it listens to."""
    settings = settings_of(config, secrets=True)
    events = _events(event, settings) if event or url is None else None
    made = _asked(settings, lambda client: client.update(number, target_url=url, events=events))
    click.echo(f"{click.style('✓', fg='green')} endpoint {made.id} listens to {', '.join(made.events)}")


@oms.command("delete")
@click.argument("number")
@config_option
def oms_delete(number: str, config: Path | None) -> None:
    """Delete an endpoint: the order system sends it nothing any more."""
    _asked(settings_of(config, secrets=True), lambda client: client.delete(number))
    click.echo(f"{click.style('✓', fg='green')} endpoint {number} is deleted")


@oms.command("sync")
@_url
@click.option("--yes", is_flag=True, help="Mend what differs.")
@config_option
def oms_sync(url: str, yes: bool, config: Path | None) -> None:
    """Show the events that the rules need against those subscribed; --yes mends it."""
    settings = settings_of(config, secrets=True)
    needed = _events((), settings)
    found = _asked(settings, lambda client: client.endpoints())
    ours = next((one for one in found if one.target_url == url), None)
    subscribed = ours.events if ours else ()
    for event in dict.fromkeys((*needed, *subscribed)):
        if event not in subscribed:
            click.echo(f"{click.style('+', fg='green')} {event}  a rule needs it, and it is not sent")
        elif event not in needed:
            click.echo(f"{click.style('-', fg='red')} {event}  it is sent, and no rule needs it")
        else:
            click.echo(f"  {event}")
    if set(needed) == set(subscribed):
        click.echo("nothing to mend")
        return
    if not yes:
        click.echo("\n--yes mends it")
        sys.exit(1)
    if ours is None:
        _asked(settings, lambda client: client.create(url, needed))
    elif needed:
        _asked(settings, lambda client: client.update(ours.id, events=needed))
    else:
        _asked(settings, lambda client: client.delete(ours.id))
    click.echo(f"{click.style('✓', fg='green')} mended")


def _events(named: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """The events to listen to: those named, else those that the rules need."""
    from engine.rulebook.needs import needed_events

    language = language_of(settings)
    for name in named:
        if name not in language.event_types:
            wrong_use(f'the OMS has no event "{name}": {event_types(settings)}')
    return named or needed_events(book_of(None, settings, language), next(iter(language.sources)))


def _asked(settings: Settings, ask: Callable[[OmsClient], Answer]) -> Answer:
    """What the order system's API answers; ends with a sentence where it refuses or cannot be reached."""
    from engine.sources.chord.client import OmsClient, OmsError

    if not settings.api.get("url") or not settings.api.get("token"):
        wrong_use(
            "the settings do not say where the order system's API is:\n\n  sources:\n    chord:\n      api: "
            '{url: https://oms.example.com, token: "${CHORD_TOKEN}"}'
        )
    try:
        with OmsClient(settings.api["url"], settings.api["token"]) as client:
            return ask(client)
    except OmsError as reason:
        click.echo(click.style("✗ ", fg="red") + _safe(str(reason), settings), err=True)
        sys.exit(1)


def _safe(text: str, settings: Settings) -> str:
    for secret in settings.hidden:
        text = text.replace(secret, "•••")
    return text
