"""The service and the demo, run until they are told to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.common import (
    config_option,
    settings_of,
    wrong_use,
)

if TYPE_CHECKING:
    from socket import socket

    from engine.app import Service


@click.command()
@click.option(
    "--role",
    type=click.Choice(["all", "receiver", "worker"]),
    default="all",
    show_default=True,
    help="What this process does; several share one record on PostgreSQL.",
)
@config_option
def serve(config: Path | None, role: str) -> None:
    """Run the service: take events in, judge them, send messages."""
    from engine.app import Role, Service
    from engine.runtime.logs import log_to_stderr
    from engine.runtime.rulefiles import FolderUnreadable
    from engine.runtime.server import CannotListen, listen_on, run
    from engine.store.store import StoreError

    settings = settings_of(config, secrets=True)
    if not settings.guarded and role != "worker":
        wrong_use(
            "nobody could send events: no secret is set. Put one into shopbell.yaml, and into the address at the "
            'order system:\n\n  sources: {chord: {secrets: ["${CHORD_SECRET}"]}}'
        )
    log_to_stderr(settings.hidden)
    try:
        listening = listen_on(settings.listen.host, settings.listen.port)
        run(_until_told(Service(settings, role=Role(role)), listening))
    except CannotListen as reason:
        wrong_use(f"{reason} under `listen` in the settings")
    except (FolderUnreadable, StoreError) as reason:
        wrong_use(str(reason))


async def _until_told(service: Service, listening: socket) -> None:
    """Serve until told to end, and say where, and that it has ended."""
    import asyncio
    import logging

    from engine.runtime.server import told_to_end
    from engine.store.store import StoreUnavailable

    log = logging.getLogger("shopbell")
    host, port = listening.getsockname()[:2]
    async with service.running(listening):
        log.info("listening on http://%s:%s, events at /events/chord/{secret}", host, port)
        told = asyncio.create_task(told_to_end())
        broken = asyncio.create_task(service.store.broken())
        await asyncio.wait((told, broken), return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            raise StoreUnavailable(await broken)
        log.info("told to end by %s", await told)
        broken.cancel()
    log.info("ended")


@click.command()
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
        wrong_use(f"there is no folder {rules}")
    folder = rules_folder(rules)
    try:
        if just_once:
            sys.exit(0 if run(once(folder, click.echo, port=port)) else 1)
        run(live(folder, click.echo, port))
    except CannotListen as reason:
        wrong_use(str(reason))
    except KeyboardInterrupt:
        click.echo("\nbye")
