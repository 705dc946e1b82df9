"""Measures paths and comparisons: ours against the libraries that parse them, and the costliest path that is allowed.

Run by hand: `python bench/paths.py`. Every path must find the same values on each side before it is timed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import jsonpath
import jsonpath_ng.ext

from engine.language.condition import Condition, read_conditions
from engine.language.document import read_document
from engine.language.path import PathLimit, parse_path
from engine.language.problem import Problems
from engine.language.scope import Scope

LINE = {"sku": "product-3", "quantity": 2, "total": "$10.00", "adjustments": [{"amount": "$1.11"}]}
EVENT: dict[str, Any] = {
    "order": {"total": "10.63", "channel": "chord", "line_items": [LINE, {**LINE, "quantity": 1}]}
}
BIG: dict[str, Any] = {"order": {"line_items": [{**LINE, "sku": f"product-{n}"} for n in range(2500)]}}
PATHS = ("$.order.total", "$.order.line_items[*].sku", "$.order.line_items[0].adjustments[0].amount", "$..sku",
         "$.order.line_items[?(@.quantity > 1)].sku")  # fmt: skip
COSTLY = ("$..*", "$..[*,*,*,*,*]", "$..[?@.*]", "$..[?match(@.sku, @.sku)]", "$..[?@[*][?@[*][?@[*]]]]")
LINES = ("order.total: at least 200", "order.total: at least 200 USD", "order.channel: wholesale", "order.channel: [a, b, c]",
         "order.line_items.sku: contains x", "any of order.line_items: {sku: A, quantity: at least 10}")  # fmt: skip


def microseconds(work: Callable[[Any], object], value: object, repeats: int = 2000) -> float:
    """The best of five rounds, per call."""
    rounds = []
    for _ in range(5):
        started = perf_counter()
        for _ in range(repeats):
            work(value)
        rounds.append((perf_counter() - started) / repeats * 1e6)
    return min(rounds)


def condition(line: str) -> Condition:
    """The condition of one line."""
    document = read_document(f"if:\n  {line}\n", Problems("bench"))
    assert document is not None
    return read_conditions(document.entries[0].value, Problems("bench"))[0]


def main() -> int:
    """Print the tables; 1 if a side finds something else than ours."""
    strict = jsonpath.JSONPathEnvironment(strict=True)
    print(f"{'path':52}{'ours':>8}{'python-jsonpath':>17}{'jsonpath-ng':>13}   us a lookup")
    for text in PATHS:
        ours, theirs, others = parse_path(text), strict.compile(text), jsonpath_ng.ext.parse(text)
        if not ours.find(EVENT) == theirs.findall(EVENT) == [found.value for found in others.find(EVENT)]:
            print(f"{text} finds different values")
            return 1
        row = (microseconds(find, EVENT, 500) for find in (ours.find, theirs.findall, others.find))
        print(
            f"{text:52}" + "".join(f"{one:{width}.2f}" for one, width in zip(row, (8, 17, 13), strict=True))
        )
    scope = Scope(EVENT, datetime(2026, 11, 25, tzinfo=UTC))
    print(f"\n{'condition':64}{'answer':>8}{'judge':>8}   us")
    for line in LINES:
        one = condition(line)
        print(f"{line:64}{microseconds(one.answer, scope):8.2f}{microseconds(one.judge, scope):8.2f}")
    print("\ncostliest paths on 2,500 lines, ms")
    for text in COSTLY:
        started = perf_counter()
        try:
            said = f"{len(parse_path(text).find(BIG)):,} found"
        except PathLimit as limit:
            said = str(limit)
        print(f"{text:52}{(perf_counter() - started) * 1000:8.1f}   {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
