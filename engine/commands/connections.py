"""The connections of the settings: listed without their secrets, and tried."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.common import (
    book_of,
    config_option,
    json_option,
    language_of,
    print_json,
    settings_of,
    wrong_use,
)

if TYPE_CHECKING:
    from engine.connecting import Line, Tried
    from engine.settings import Settings

_NONE = (
    "there are no connections yet. Write them into shopbell.yaml:\n\n"
    '  connections:\n    slack:\n      default: {webhook: "${SLACK_WEBHOOK}"}'
)


@click.group()
def connections() -> None:
    """Slack, mail servers and other systems that the settings know."""


@connections.command("list")
@json_option
@config_option
def connections_list(as_json: bool, config: Path | None) -> None:
    """List the connections, without their secrets, and the rules that use them."""
    from engine import actions
    from engine.connecting import connection_lines
    from engine.present import table

    settings = settings_of(config)
    book = book_of(None, settings, language_of(settings)) if settings.rules.exists() else None
    lines = list(connection_lines(settings, actions.found(), book))
    if as_json:
        print_json({"connections": [_line_json(line) for line in lines]})
        return
    if not lines:
        click.echo(_NONE)
        return
    rows = [(f"{line.kind}/{line.name}", _facts(line), ", ".join(line.rules) or "no rule") for line in lines]
    for text in table(("connection", "settings", "used by"), rows):
        click.echo(text)
    faulty = sorted({one.file for one in book.problems if one.severity == "error"}) if book else []
    if faulty:
        click.echo(f"\nnot looked at, because they have faults: {', '.join(faulty)}")


def _facts(line: Line) -> str:
    shown = [f"{name} {value}" for name, value in line.settings.items()]
    secret = [
        f"{name} {'(secret)' if there else '(secret, missing in the environment)'}"
        for name, there in line.secrets.items()
    ]
    return ", ".join([*secret, *shown])


def _line_json(line: Line) -> dict[str, object]:
    secrets = {name: "set" if there else "missing" for name, there in line.secrets.items()}
    return {
        "kind": line.kind,
        "name": line.name,
        "settings": line.settings,
        "secrets": secrets,
        "rules": line.rules,
    }


@connections.command("test")
@click.argument("name", required=False)
@json_option
@config_option
def connections_test(name: str | None, as_json: bool, config: Path | None) -> None:
    """Try connections: all of them, or the one called NAME (`default`, `slack/default`).

    Slack is asked whether it knows the token or the webhook, a mail server for the login, another system for its base
    address. Nobody gets a message by that. Ends with 1 if one does not work.
    """
    import asyncio

    from engine import actions
    from engine.connecting import named, try_connections

    settings = settings_of(config, secrets=True)
    wanted = named(settings, name)
    if not wanted:
        wrong_use(_unknown(name, settings))
    tried = asyncio.run(try_connections(settings, actions.found(), wanted))
    if as_json:
        print_json({"connections": [_tried_json(one) for one in tried]})
    else:
        for one in tried:
            click.echo(_told(one))
    sys.exit(1 if any(one.result == "fails" for one in tried) else 0)


def _unknown(name: str | None, settings: Settings) -> str:
    from engine.connecting import named
    from engine.language.words import listing, nearest

    known = [f"{kind}/{one}" for kind, one in named(settings, None)]
    if name is None or not known:
        return _NONE
    near = next(iter(nearest(name, [*known, *(one.partition("/")[2] for one in known)])), None)
    mean = f" Did you mean {near}?" if near else ""
    return f'no connection is called "{name}".{mean} There are {listing(known)}'


_MARKS = {"works": ("✓", "green"), "fails": ("✗", "red")}


def _told(one: Tried) -> str:
    mark, colour = _MARKS[one.result]
    return f"{click.style(mark, fg=colour)} {one.kind}/{one.name}  {one.told}"


def _tried_json(one: Tried) -> dict[str, str]:
    return {"kind": one.kind, "name": one.name, "result": one.result, "told": one.told}
