"""What rules wait for: listed, let go, or sent now."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands.common import (
    config_option,
    json_option,
    print_json,
    print_table,
    read_record,
    settings_of,
)
from engine.commands.record import give_orders


@click.group()
def pending() -> None:
    """What rules wait for, until when and why."""


@pending.command("list")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many to show."
)
@click.option("--after", help="Go on after this one, as `next` of the last page said.")
@click.option("--rule", help="Only what this rule waits for.")
@click.option("--ended", is_flag=True, help="Also what waits no more, the newest first, with the reason.")
@json_option
@config_option
def pending_list(
    limit: int, after: str | None, rule: str | None, ended: bool, as_json: bool, config: Path | None
) -> None:
    """What waits, the next to fall due first."""
    from engine.present import moment, pending_json, table

    settings = settings_of(config)
    page = read_record(settings, lambda store: store.pending(limit, after, rule, ended))
    if as_json:
        print_json({"pending": [pending_json(one) for one in page.items], "next": page.next})
        return
    zone = settings.shop.timezone
    rows = [
        (
            one.id,
            one.rule,
            moment(one.due_at, zone),
            one.event or "the clock",
            one.about,
            one.text,
            one.reason,
        )
        if ended
        else (one.id, one.rule, moment(one.due_at, zone), one.event or "the clock", one.about, one.text)
        for one in page.items
    ]
    titles = ("number", "rule", "due", "event", "about", "waits for", *(("ended because",) if ended else ()))
    print_table(table(titles, rows), page.next, len(rows))


@pending.command("show")
@click.argument("number")
@json_option
@config_option
def pending_show(number: str, as_json: bool, config: Path | None) -> None:
    """One thing that a rule waits for, or waited for."""
    from engine.present import pending_json, pending_lines

    settings = settings_of(config)
    one = read_record(settings, lambda store: store.pending_one(number))
    if as_json:
        print_json(pending_json(one))
        return
    for line in pending_lines(one, settings.shop.timezone):
        click.echo(line)


@pending.command("cancel")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--why", default="cancelled by hand", show_default=True, help="The reason, for the record.")
@config_option
def pending_cancel(numbers: tuple[str, ...], why: str, config: Path | None) -> None:
    """Let what waits never fall due."""
    from engine.runtime.control import Drop

    give_orders(settings_of(config), [Drop(number, why) for number in numbers], "is cancelled")


@pending.command("send-now")
@click.argument("numbers", nargs=-1, required=True)
@config_option
def pending_send_now(numbers: tuple[str, ...], config: Path | None) -> None:
    """Let what waits fall due now; what the rule says of that moment still counts."""
    from engine.runtime.control import Hurry

    give_orders(settings_of(config), [Hurry(number) for number in numbers], "falls due now")
