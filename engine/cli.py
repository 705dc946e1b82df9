"""The command line: `shopbell` and its words, found in the files of engine/commands."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import click

from engine import __version__, commands


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shopbell")
def main() -> None:
    """Rings when something happens in the shop: rules turn its events into messages, mails and calls."""


def _found() -> Iterator[click.Command]:
    """Every command of the folder that belongs to no group of commands."""
    modules = [
        importlib.import_module(f"{commands.__name__}.{one.name}")
        for one in pkgutil.iter_modules(commands.__path__)
    ]
    found = [
        value for module in modules for value in vars(module).values() if isinstance(value, click.Command)
    ]
    inside = {id(one) for group in found if isinstance(group, click.Group) for one in group.commands.values()}
    return (one for one in found if id(one) not in inside)


for command in _found():
    main.add_command(command)
