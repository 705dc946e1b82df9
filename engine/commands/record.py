"""The record: events, deliveries and quarantine, read beside a running service, and orders to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands.common import (
    book_of,
    config_option,
    event_types,
    json_option,
    language_of,
    print_json,
    print_table,
    read_record,
    settings_of,
    wrong_use,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.desk import Explained
    from engine.model import Delivery
    from engine.runtime.control import Answer, Order
    from engine.settings import Settings
    from engine.store.store import Reader


_limit = click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many to show."
)
_after = click.option("--after", help="Go on after this one, as `next` of the last page said.")


@click.group()
def events() -> None:
    """What happened in the shop."""


@events.command("list")
@_limit
@_after
@click.option("--type", "type_", help="Only events of this type.")
@json_option
@config_option
def events_list(limit: int, after: str | None, type_: str | None, as_json: bool, config: Path | None) -> None:
    """The events on record, newest first."""
    from engine.present import event_json, event_row, table

    settings = settings_of(config)
    page = read_record(settings, lambda store: store.events(limit=limit, after=after, type=type_))
    if not page.items and type_ is not None and type_ not in language_of(settings).event_types:
        wrong_use(
            f'no event of the type "{type_}" is on record, and the OMS sends none: {event_types(settings)}'
        )
    if as_json:
        print_json({"events": [event_json(line) for line in page.items], "next": page.next})
        return
    rows = [event_row(line, settings.shop.timezone) for line in page.items]
    print_table(
        table(("number", "event", "about", "received", "state", "arrivals"), rows), page.next, len(rows)
    )


@events.command("show")
@click.argument("number")
@json_option
@config_option
def events_show(number: str, as_json: bool, config: Path | None) -> None:
    """One event: what came, what each rule said of it and why, and what was sent."""
    from engine.desk import explain
    from engine.present import explained_json, explained_lines

    settings = settings_of(config)
    language = language_of(settings)

    def look(record: Reader) -> tuple[Explained, Sequence[Delivery]]:
        return explain(record, number, language), record.deliveries(event=number, limit=1000).items

    explained, made = read_record(settings, look)
    if as_json:
        print_json(explained_json(explained, made))
        return
    for line in explained_lines(explained, made, settings.shop.timezone):
        click.echo(line)


@events.command("replay")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--resend", is_flag=True, help="Send again what these events have sent already.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def events_replay(numbers: tuple[str, ...], resend: bool, yes: bool, config: Path | None) -> None:
    """Judge events again by the rules of today. Shows what would be sent first, and asks.

    What an event has sent already, or is about to send, is not sent again unless told.
    """
    from engine.desk import CannotTry, preview
    from engine.present import preview_lines
    from engine.runtime.control import Replay

    settings = settings_of(config)
    book = book_of(None, settings, language_of(settings))
    for number in numbers:
        try:
            shown = read_record(settings, lambda record, number=number: preview(record, number, book, resend))  # type: ignore[misc]
        except CannotTry as reason:
            wrong_use(str(reason))
        for line in preview_lines(shown):
            click.echo(line)
    if yes or click.confirm("\nReplay?"):
        give_orders(settings, [Replay(number, resend) for number in numbers], "is judged again")


@click.group()
def deliveries() -> None:
    """What was due for it, and what became of that."""


@deliveries.command("list")
@_limit
@_after
@click.option("--state", help="Only those in this state, e.g. failed, held, queued.")
@click.option("--event", "event", help="Only those of the event with this number.")
@json_option
@config_option
def deliveries_list(
    limit: int, after: str | None, state: str | None, event: str | None, as_json: bool, config: Path | None
) -> None:
    """The deliveries on record, newest first."""
    from engine.model import DeliveryState
    from engine.present import delivery_json, delivery_row, table

    if state is not None and state not in list(DeliveryState):
        wrong_use(f'there is no state "{state}": {", ".join(DeliveryState)}')
    settings = settings_of(config)
    wanted = DeliveryState(state) if state else None
    page = read_record(
        settings, lambda store: store.deliveries(limit=limit, after=after, state=wanted, event=event)
    )
    if as_json:
        print_json({"deliveries": [delivery_json(one) for one in page.items], "next": page.next})
        return
    rows = [delivery_row(one, settings.shop.timezone) for one in page.items]
    titles = ("number", "event", "rule", "action", "to", "state", "tries", "due", "why")
    print_table(table(titles, rows), page.next, len(rows))


@deliveries.command("show")
@click.argument("number")
@json_option
@config_option
def deliveries_show(number: str, as_json: bool, config: Path | None) -> None:
    """One delivery: what is sent, word for word, and every try."""
    from engine.present import delivery_lines, delivery_record_json

    settings = settings_of(config)
    record = read_record(settings, lambda store: store.delivery(number))
    if as_json:
        print_json(delivery_record_json(record))
        return
    for line in delivery_lines(record, settings.shop.timezone):
        click.echo(line)


@deliveries.command("retry")
@click.argument("numbers", nargs=-1, required=True)
@config_option
def deliveries_retry(numbers: tuple[str, ...], config: Path | None) -> None:
    """Send deliveries now: those that failed, were held, or wait for their next try."""
    from engine.runtime.control import Retry

    give_orders(settings_of(config), [Retry(number) for number in numbers], "is sent now")


@deliveries.command("cancel")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--why", default="cancelled by hand", show_default=True, help="The reason, for the record.")
@config_option
def deliveries_cancel(numbers: tuple[str, ...], why: str, config: Path | None) -> None:
    """Never send deliveries that have not gone out."""
    from engine.runtime.control import Cancel

    give_orders(settings_of(config), [Cancel(number, why) for number in numbers], "is cancelled")


@click.group()
def quarantine() -> None:
    """What came and could not be read."""


@quarantine.command("list")
@_limit
@_after
@json_option
@config_option
def quarantine_list(limit: int, after: str | None, as_json: bool, config: Path | None) -> None:
    """The unreadable bodies, newest first."""
    from engine.present import moment, quarantined_json, table

    settings = settings_of(config)
    page = read_record(settings, lambda store: store.quarantined(limit=limit, after=after))
    if as_json:
        print_json({"quarantine": [quarantined_json(one) for one in page.items], "next": page.next})
        return
    zone = settings.shop.timezone
    rows = [
        (one.id, one.source, moment(one.received_at, zone), str(len(one.body)), one.reason)
        for one in page.items
    ]
    print_table(table(("number", "source", "received", "bytes", "why"), rows), page.next, len(rows))


@quarantine.command("show")
@click.argument("number")
@json_option
@config_option
def quarantine_show(number: str, as_json: bool, config: Path | None) -> None:
    """One unreadable body: why, and its first 2,000 bytes."""
    from engine.present import moment, quarantined_json, visible

    settings = settings_of(config)
    one = read_record(settings, lambda store: store.quarantined_body(number))
    if as_json:
        print_json(quarantined_json(one))
        return
    click.echo(f"{one.reason}\nfrom {one.source}, {moment(one.received_at, settings.shop.timezone)}\n")
    click.echo(visible(one.body[:2000].decode("utf-8", "backslashreplace")))


@quarantine.command("retry")
@click.argument("numbers", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that is in quarantine, oldest first.")
@config_option
def quarantine_retry(numbers: tuple[str, ...], everything: bool, config: Path | None) -> None:
    """Read bodies again, after an upgrade say: what can be read now becomes an event and leaves the quarantine."""
    from engine.runtime.control import Reread

    if bool(numbers) == everything:
        wrong_use("say which bodies: their numbers, as `shopbell quarantine list` shows them, or --all")
    settings = settings_of(config)
    wanted = read_record(settings, _all_quarantined) if everything else list(numbers)
    if not wanted:
        click.echo("nothing is in quarantine")
        return
    give_orders(settings, [Reread(number) for number in wanted], "was read")


def _all_quarantined(record: Reader) -> list[str]:
    """The numbers of all bodies in quarantine, in the order they came."""
    page = record.quarantined(limit=1000)
    numbers = [one.id for one in page.items]
    while page.next is not None:
        page = record.quarantined(limit=1000, after=page.next)
        numbers += [one.id for one in page.items]
    return numbers[::-1]


def give_orders(settings: Settings, orders: Sequence[Order], done: str) -> None:
    """Have the running service carry out orders, or do it here where none runs; one that fails stops no other."""
    import asyncio

    answers = asyncio.run(_given(settings, orders))
    for order, answer in zip(orders, answers, strict=True):
        mark = click.style("✗", fg="red") if answer.error else click.style("✓", fg="green")
        number = next(
            getattr(order, name) for name in ("delivery", "event", "body", "waiting") if hasattr(order, name)
        )
        click.echo(f"{mark} {number} {answer.error or answer.done or done}")
    sys.exit(1 if any(answer.error for answer in answers) else 0)


async def _given(settings: Settings, orders: Sequence[Order]) -> list[Answer]:
    from engine.runtime.clock import system_clock
    from engine.runtime.control import Answer, NoService, carry_out, give
    from engine.store.store import AnotherProcess, Reader, Store, StoreError

    try:
        with Reader(settings.database) as record:
            database = record.path
        if database is None:  # a record that several processes may write: nobody has to be asked
            raise NoService
        return [await give(order, database) for order in orders]
    except NoService:
        pass  # then the record is ours to write
    except StoreError as reason:
        wrong_use(str(reason))
    answers = []
    try:
        async with await Store.open(settings.database) as store:
            for order in orders:
                try:
                    done = await carry_out(order, store, system_clock, settings.keep_repeats)
                    answers.append(Answer(done=done))
                except StoreError as reason:
                    answers.append(Answer(str(reason)))
    except AnotherProcess as reason:
        wrong_use(str(reason))
    return answers
