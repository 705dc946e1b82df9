"""Measures what the guard on templates costs: our rendering against Jinja's own immutable sandbox, in one run.

Run by hand: `python bench/templates.py`. Both render the same 15 lines for the same order to the same text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf
from time import perf_counter

from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.language.node import ScalarNode
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, compile_template
from engine.language.templates.filters import FILTERS
from engine.language.templates.run import Run, Use

MESSAGE = """\
*{{ order.number }}* for {{ order.total | money }}
Channel: {{ order.channel | upper }}
{% if order.subscription_order %}
This is a subscription order.
{% else %}
This is a single order.
{% endif %}
{{ order.item_count }} item(s), ships to {{ order.ship_address.city }}, {{ order.ship_address.state }}
{% for item in order.line_items %}
- {{ item.quantity }} x {{ item.name }} ({{ item.sku }}): {{ item.total }}
{% endfor %}
Phone: {{ order.ship_address.phone or 'no phone' }}
Paid: {{ order.payment_total | money }}, {{ order.payment_state }}
Mail: {{ order.email | default('none') }}
Names: {{ order.line_items | map(attribute='name') | join(', ') }}
"""
ORDER = {
    "order": {
        "number": "R1001",
        "total": "148.50",
        "payment_total": "148.50",
        "payment_state": "paid",
        "currency": "USD",
        "channel": "chord",
        "subscription_order": False,
        "item_count": 4,
        "email": "maya@example.com",
        "ship_address": {"city": "Portland", "state": "Oregon", "phone": None},
        "line_items": [
            {"name": f"Mug {n}", "sku": f"mug-{n}", "quantity": n, "total": f"${n * 10}.00"}
            for n in range(1, 5)
        ],
    }
}


def sandbox() -> ImmutableSandboxedEnvironment:
    """Jinja's immutable sandbox, with the same `money`."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    run = Run(Scope(ORDER, datetime.now(UTC)), PLAIN, 0)
    money = FILTERS["money"].call
    environment.filters["money"] = lambda value: money(Use(run, "", ()), value)
    return environment


def stock() -> Callable[[], str]:
    """Jinja's own rendering."""
    template = sandbox().from_string(MESSAGE)
    return lambda: template.render(ORDER)


def ours() -> Callable[[], str]:
    """Our compiled template."""
    problems = Problems("bench")
    template = compile_template(ScalarNode(MESSAGE, Mark(1, 1)), problems)
    if template is None:
        raise SystemExit(str(problems.sorted()))
    scope = Scope(ORDER, datetime.now(UTC))
    return lambda: template.render(scope)[0]


def reading() -> list[Callable[[], object]]:
    """What reading the message costs at load, with Jinja and with us."""
    environment = sandbox()
    node = ScalarNode(MESSAGE, Mark(1, 1))
    return [lambda: environment.from_string(MESSAGE), lambda: compile_template(node, Problems("bench"))]


def microseconds(works: Sequence[Callable[[], object]], times: int, rounds: int = 15) -> list[float]:
    """The time of one call of each, the best of several rounds in turn, so that a busy machine slows all alike."""
    best = [inf] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            start = perf_counter()
            for _ in range(times):
                work()
            best[place] = min(best[place], (perf_counter() - start) / times * 1e6)
    return best


def main() -> None:
    """Print the times and their ratio as one JSON object."""
    one, other = stock(), ours()
    if one().strip() != other().strip():
        sys.exit(f"the two do not write the same:\n{one()}\n---\n{other()}")
    rendered = microseconds([one, other], 1000)
    read = microseconds(reading(), 20)
    result = {
        "render_us": {"jinja_sandbox": round(rendered[0], 1), "ours": round(rendered[1], 1)},
        "render_ratio": round(rendered[1] / rendered[0], 2),
        "read_us": {"jinja_sandbox": round(read[0]), "ours": round(read[1])},
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
