"""The stand-in for the order system, and events sent from it."""

from __future__ import annotations

import sys
from typing import Any

import click

from engine.commands.common import wrong_use

_speed: dict[str, Any] = {"type": click.FloatRange(0.001, 1e6), "help": "How much faster time passes."}
_rate: dict[str, Any] = {
    "type": click.FloatRange(0.01, 10_000),
    "help": "How many orders an hour, on average.",
}
_seed: dict[str, Any] = {"type": int, "help": "The same seed makes the same orders."}


@click.group(invoke_without_command=True)
@click.option(
    "--port",
    default=3000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where it listens, on this machine only.",
)
@click.option("--token", help="The token of its API; left out: a random one, printed.")
@click.option("--seed", default=1, show_default=True, **_seed)
@click.option("--speed", default=1.0, show_default=True, **_speed)
@click.option("--rate", default=12.0, show_default=True, **_rate)
@click.pass_context
def sandbox(
    context: click.Context, port: int, token: str | None, seed: int, speed: float, rate: float
) -> None:
    """A stand-in for the order system, with its API and pages. A faster time also shortens the pauses between repeats."""
    if context.invoked_subcommand is not None:
        return
    import secrets

    from engine.demo import sandbox
    from engine.runtime.server import CannotListen, run
    from engine.sources.chord.sandbox import build_sandbox

    shown = token or secrets.token_hex(24)
    app = build_sandbox(token=shown, seed=seed, speed=speed, orders_per_hour=rate)
    try:
        run(sandbox(app, port, shown, click.echo))
    except CannotListen as reason:
        wrong_use(str(reason))


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
        wrong_use(str(reason))
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
@click.option("--seed", **_seed)
@click.option("--speed", **_speed)
@click.option("--rate", **_rate)
@click.option(
    "--faults",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="How many of a hundred events go wrong on their way.",
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
    orders: int,
    seed: int | None,
    speed: float | None,
    rate: float | None,
    faults: float,
    at_url: str,
    to_url: str | None,
    token: str | None,
) -> None:
    """Let the shop live for some orders: placed, cancelled, shipped, tracked, sold out and back.

    Left out, seed, speed and rate are those of the running sandbox; with --to, seed 1, 3600 times real time and 12
    orders an hour.
    """
    from dataclasses import replace

    from engine.language.words import plural
    from engine.sources.chord.sandbox import Life, SandboxError, run_straight, run_through

    life = Life(orders, seed, speed, rate, faults / 100)
    try:
        if to_url is None:
            run_through(at_url, life, token=token)
            click.echo(f"the shop of {at_url} lives for {plural(orders, 'order')}; see {at_url}/")
            return
        run = run_straight(
            to_url, replace(life, speed=speed or 3600.0), tell=lambda one: click.echo(_attempt_line(one))
        )
    except SandboxError as reason:
        wrong_use(str(reason))
    click.echo(
        f"{plural(run.orders, 'order')}: {plural(run.tries, 'try', 'tries')}, {run.refused} not acknowledged, {run.lost} given up"
    )
    sys.exit(1 if run.lost else 0)


def _attempt_line(attempt: Any) -> str:
    mark = click.style("✓", fg="green") if attempt.acknowledged else click.style("✗", fg="red")
    return f"{mark} {attempt.event}  {attempt.about}  {attempt.status or attempt.excerpt}"
