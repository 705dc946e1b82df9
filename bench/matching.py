"""What judging an event costs with ten thousand rules, against ten: the ratio must stay at most two.

    python bench/matching.py --rules 10000

Each rule has a selective condition, as shops with many rules have: one channel, one product, one customer each.
Another kind has none, and shows what a rule costs that every event must be held against.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import click

from engine import actions, sources
from engine.model import Event, Memory
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.planner import plan
from engine.rulebook.vocabulary import Language

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MOST = 2.0
"""Ten thousand selective rules may cost so many times what ten do."""

RULE = """\
name: Rule {number}
when: order_completed
if:
{conditions}
then:
  - slack:
      channel: big-orders
      text: "{{{{ order.number }}}} for {{{{ order.total | money }}}}"
"""

KINDS: dict[str, str] = {
    "one channel each": "  order.currency: USD\n  order.channel: channel-{number}\n  order.total: at least 5 USD",
    "one product each": "  any of order.line_items: {{sku: product-{number}, quantity: at least 1}}",
    "one of three customers each": "  order.email: [a{number}@x.test, b{number}@x.test, c{number}@x.test]",
    "one ZIP code each": "  order.ship_address.zipcode: {number:05}",
}
SELECTIVE_FREE = "  order.total: at least {number} USD"


@click.command()
@click.option("--rules", "many", default=10_000, help="So many rules are compared with ten.")
@click.option("--events", default=2_000, help="So many events are judged for each figure.")
def main(many: int, events: int) -> None:
    """Print the time of one event with few and with many rules; exit 1 if many cost more than twice what few do."""
    language = Language(sources.found(), actions.found())
    click.echo(f"{'rules':<32}{'10':>10}{f'{many:,}':>12}{'ratio':>8}")
    ratios = [_ratio(language, name, conditions, many, events) for name, conditions in KINDS.items()]
    _ratio(language, "none selective (300 rules)", SELECTIVE_FREE, 300, min(events, 300))
    click.echo(f"\nat most {MOST:g} times for selective rules: {'yes' if max(ratios) <= MOST else 'NO'}")
    sys.exit(0 if max(ratios) <= MOST else 1)


def _ratio(language: Language, name: str, conditions: str, many: int, events: int) -> float:
    few, all_of_them = (_book(language, conditions, count) for count in (10, many))
    samples = list(_events(language, events))
    least, most = _compared(
        lambda event: plan(event, few, Memory(), NOW),
        lambda event: plan(event, all_of_them, Memory(), NOW),
        samples,
    )
    click.echo(f"{name:<32}{least * 1e6:>8.0f}µs{most * 1e6:>10.0f}µs{most / least:>8.2f}")
    return most / least


def _book(language: Language, conditions: str, count: int) -> Rulebook:
    """A rulebook of so many rules; the loader is given each text once."""
    texts = {
        f"rule-{number}.yaml": RULE.format(number=number, conditions=conditions.format(number=number))
        for number in range(count)
    }
    start = time.perf_counter()
    book = Loader(language).load(texts)
    assert len(book.rules) == count, book.problems[:1]
    book.index  # noqa: B018 - filing the rules is not part of judging
    if count > 1000:
        click.echo(f"  ({count:,} rules read in {time.perf_counter() - start:.1f} s)")
    return book


def _events(language: Language, count: int) -> Iterator[Event]:
    """Orders that no two rules concern at once: of ten channels, products, customers and places."""
    sample = language.event_types["order_completed"].sample
    for number in range(count):
        place = number % 10
        order = {
            **sample["order"],
            "channel": f"channel-{place}",
            "email": f"b{place}@x.test",
            "line_items": [{**sample["order"]["line_items"][0], "sku": f"product-{place}"}],
            "ship_address": {**sample["order"]["ship_address"], "zipcode": f"{place:05}"},
        }
        yield Event(
            str(number), "chord", "order_completed", "order:1", {**sample, "order": order}, NOW, "0" * 64
        )


def _compared(
    few: Callable[[Event], object], many: Callable[[Event], object], events: list[Event]
) -> tuple[float, float]:
    """The median seconds of one event each way, taken in turns so that a busy machine bothers both alike."""
    rounds: list[tuple[float, float]] = []
    for start in range(0, len(events), 100):
        some = events[start : start + 100]
        rounds.append((_seconds(few, some), _seconds(many, some)))
    return statistics.median(one for one, _ in rounds), statistics.median(one for _, one in rounds)


def _seconds(judge: Callable[[Event], object], events: list[Event]) -> float:
    start = time.perf_counter()
    for event in events:
        judge(event)
    return (time.perf_counter() - start) / len(events)


if __name__ == "__main__":
    main()
