"""Messages are filled in as their authors expect, and what cannot be filled in is said plainly."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.language.document import read_document
from engine.language.node import MappingNode, ScalarNode, Style
from engine.language.problem import Mark, Problem, Problems
from engine.language.scope import Scope, Shop
from engine.language.template import (
    FormulaGap,
    Read,
    Target,
    Template,
    compile_formula,
    compile_template,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SHOP = Shop(timezone=ZoneInfo("America/New_York"), currency="USD", locale="en_US")
HTML = Target(
    "HTML", html.escape, lambda url, label: f'<a href="{html.escape(url)}">{html.escape(label)}</a>'
)

ORDER: dict[str, Any] = {
    "event": {"type": "order_completed"},
    "order": {
        "number": "R1",
        "total": "10.63",
        "item_total": "10.0",
        "currency": "USD",
        "channel": "chord",
        "email": "ana@example.com",
        "item_count": 1,
        "subscription_order": False,
        "subscription_id": None,
        "cart_url": None,
        "completed_at": "2026-11-25T10:44:38.312-05:00",
        "user": None,
        "line_items": [
            {"name": "Mug", "sku": "mug", "quantity": 2, "total": "$10.00"},
            {"name": "Tee", "sku": "tee", "quantity": 3, "total": "$5.00"},
        ],
        "ship_address": {"firstname": "John", "city": "Herndon", "phone": None, "address2": ""},
        "gift note": "Hooray",
    },
}


def order(**fields: Any) -> dict[str, Any]:
    return {**ORDER, "order": {**ORDER["order"], **fields}}


def without(*names: str) -> dict[str, Any]:
    return {"order": {name: value for name, value in ORDER["order"].items() if name not in names}}


def scope(root: dict[str, Any] = ORDER) -> Scope:
    return Scope(root, NOW, SHOP)


def compiled(text: str, style: Style = "double") -> Template:
    problems = Problems("rule.yaml")
    content = Mark(2, 1) if style in ("literal", "folded") else None
    template = compile_template(ScalarNode(text, Mark(1, 1), style, content), problems)
    assert template is not None, problems.sorted()
    return template


def shown(text: str, root: dict[str, Any] = ORDER) -> str:
    """The text where everything could be filled in."""
    written, gaps = compiled(text).render(scope(root))
    assert gaps == ()
    return written


def reasons(text: str, root: dict[str, Any] = ORDER) -> list[str]:
    _, gaps = compiled(text).render(scope(root))
    return [gap.because for gap in gaps]


def faults(text: str) -> list[Problem]:
    problems = Problems("rule.yaml")
    assert compile_template(ScalarNode(text, Mark(7, 9), "double"), problems) is None
    return problems.sorted()


def said(text: str) -> str:
    return "; ".join(f"{fault.message} -> {fault.hint}" for fault in faults(text))


# what is printed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Order {{ order.number }}", "Order R1"),
        ("{{ order.total }}", "10.63"),
        ("{{ order.item_count }} item(s)", "1 item(s)"),
        ('{{ order["gift note"] }}!', "Hooray!"),
        ("{{ order.line_items[0].name }}", "Mug"),
        ("{{ order.line_items[-1].name }}", "Tee"),
        ("{{ order.number ~ '/' ~ order.item_count }}", "R1/1"),
        ("{{ 'a' if order.item_count == 1 else 'b' }}", "a"),
        ("{{ 'a' if order.item_count == 2 }}", ""),
        ("{{ order.subscription_order }}", "no"),
        ("{{ order.item_count == 1 }}", "yes"),
        ("{% raw %}{{ order.number }}{% endraw %}", "{{ order.number }}"),
        ("a{# never mind #}b", "ab"),
        ("{{ 2 * 3 + 1 }} {{ 7 // 2 }} {{ 7 % 2 }} {{ 10 / 4 }} {{ 10 / 5 }}", "7 3 1 2.5 2"),
        ("{{ order.line_items[:1] | map(attribute='name') | join }}", "Mug"),
        (
            "{{ 'x' in order.number }} {{ 'R' in order.number }} {{ order.channel in ['chord', 'app'] }}",
            "no yes yes",
        ),
    ],
)
def test_fields_of_the_event_are_printed_as_they_were_sent(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_null_prints_nothing() -> None:
    assert shown("Tracking: {{ order.subscription_id }}.") == "Tracking: ."


@pytest.mark.parametrize("root", [order(tracking=None), order(tracking=""), without("tracking")])
@pytest.mark.parametrize("text", ["{{ order.tracking or 'soon' }}", "{{ order.tracking | default('soon') }}"])
def test_null_missing_and_empty_give_way_to_a_default(text: str, root: dict[str, Any]) -> None:
    assert shown(text, root) == "soon"


def test_a_default_helps_below_an_empty_object_too() -> None:
    assert shown("Dear {{ order.user.name or 'friend' }}") == "Dear friend"


def test_zero_and_no_are_values_to_the_default_filter() -> None:
    assert shown("{{ order.n | default(5) }} {{ order.b | default('x') }}", order(n=0, b=False)) == "0 no"


def test_a_list_of_texts_prints_with_commas_and_an_object_with_its_names() -> None:
    assert shown("{{ order.tags }}", order(tags=["a", None, 3])) == "a, , 3"
    assert shown("{{ order.items }}", order(items=[{"n": 1, "ok": True}])) == "(n: 1, ok: yes)"


@pytest.mark.parametrize("name", ["items", "keys", "values", "get", "copy", "pop", "update", "count"])
def test_a_field_named_like_a_method_is_the_field(name: str) -> None:
    assert shown(f"{{{{ order.{name} }}}}", order(**{name: "mine"})) == "mine"
    text, gaps = compiled(f"{{{{ order.{name} }}}}").render(scope())
    assert (text, gaps[0].because) == ("[?]", f"order.{name} is not in this event")


def test_a_loop_over_a_field_named_like_a_method_goes_through_the_field() -> None:
    assert shown("{% for i in order.items %}x{% endfor %}", order(items=[1, 2])) == "xx"


def test_big_numbers_and_decimals_are_printed_digit_for_digit() -> None:
    root = order(id=123456789012345678901234567890, rate=Decimal("0.10"), far=Decimal("1E+400"))
    assert shown("{{ order.id }} {{ order.rate }}", root) == "123456789012345678901234567890 0.10"
    assert shown("{{ order.far }}", root) == "1E+400"


# amounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ order.total + order.item_total }}", "20.63"),
        ("{{ order.total + 5 }}", "15.63"),
        ("{{ order.total - '0.63' }}", "10.00"),
        ("{{ order.line_items[0].total * 3 }}", "30.00"),
        ("{{ order.total / 3 }}", "3.54"),
        ("{{ -order.total }}", "-10.63"),
        ("{{ '3' + 1 }}", "4"),
        ("{{ order.line_items[0].total / order.line_items[1].total }}", "2"),
        ("{{ 0.1 + 0.2 }}", "0.3"),
        ("{{ '0.1' + '0.2' }}", "0.30"),
        ("{{ 2.675 | round(2) }}", "2.68"),
        ("{{ 'R' + order.channel }}", "Rchord"),
    ],
)
def test_amounts_add_up_as_decimals_and_print_with_cents(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ("order.total > 10", True),
        ("order.total > 200", False),
        ("order.total >= '10.63'", True),
        ("order.total == 10.63", True),
        ("order.line_items[0].total == 10", True),
        ("order.item_total == '10.00'", True),
        ("'007' == '7'", False),
        ("'100.0' > 20", True),
        ("'9.5' > 20", False),
        ("'$1,234.56' > 1000", True),
        ("1 < order.total < 20", True),
        ("order.number == 'R1'", True),
        ("order.number == 'r1'", False),
        ("order.subscription_order == false", True),
        ("order.subscription_order == 0", False),
        ("order.user == none", True),
        ("order.nowhere == 'x'", False),
        ("order.nowhere != 'x'", True),
        ("order.completed_at > '2026-11-25T15:00:00Z'", True),
        ("order.completed_at < '2026-11-26'", True),
        ("order.channel < 'D'", True),
        ("order.line_items == []", False),
        ("order.line_items", True),
        ("order.user or order.nowhere", False),
        ("not order.subscription_id", True),
        ("order.number is defined and order.nowhere is undefined", True),
        ("order.user is none and order.user is defined", True),
        ("order.user is missing and order.number is present", True),
        ("order.total is number and order.number is string", True),
        ("order.item_count is odd and 4 is even and 9 is divisibleby 3", True),
        ("order.number is startingwith 'R' and order.email is endingwith '.com'", True),
    ],
)
def test_conditions_in_templates_read_amounts_times_and_texts(test: str, holds: bool) -> None:
    assert shown(f"{{% if {test} %}}yes{{% else %}}no{{% endif %}}") == ("yes" if holds else "no")


def test_a_currency_is_never_mixed_with_another() -> None:
    root = order(a="10 EUR", b="5 USD")
    assert reasons("{{ order.a + order.b }}", root) == ["EUR and USD cannot be brought together"]
    assert reasons("{% if order.a > order.b %}x{% endif %}", root) == ["EUR and USD cannot be compared"]


# what cannot be filled in


@pytest.mark.parametrize(
    ("text", "root", "because"),
    [
        ("{{ order.foo }}", ORDER, "order.foo is not in this event"),
        ("{{ shipment.number }}", ORDER, "there is no shipment in this event"),
        ("{{ order.user.email }}", ORDER, "order.user is empty, so it has no email"),
        ("{{ order.number.length }}", ORDER, "order.number is a text, so it has no length"),
        (
            "{{ order.line_items.name }}",
            ORDER,
            "order.line_items is a list: name one of its items, as in order.line_items[0].name",
        ),
        (
            "{{ order.line_items[0].name }}",
            order(line_items=[]),
            "order.line_items is empty, so it has no first item",
        ),
        (
            "{{ order.line_items[0].name }}",
            order(line_items=None),
            "order.line_items is empty, so it has no first item",
        ),
        ("{{ order.line_items[0].name }}", without("line_items"), "order.line_items is not in this event"),
        (
            "{{ order.line_items.length }}",
            ORDER,
            "order.line_items is a list: write order.line_items | length",
        ),
        (
            "{{ order.line_items[5].name }}",
            ORDER,
            "order.line_items has only 2 items, so it has no item [5]",
        ),
        ("{{ 1 / 0 }}", ORDER, "division by zero: the divisor is 0"),
        ("{{ order.total / order.n }}", order(n=0), "division by zero: order.n is 0"),
        ("{{ order.total % order.n }}", order(n="0.0"), 'division by zero: order.n is "0.0"'),
        ("{{ order.number * 3 }}", ORDER, 'order.number is "R1", which is no amount'),
        ("{{ order.line_items * 3 }}", ORDER, "order.line_items is a list, and an amount is wanted"),
        ("{{ order.user + 1 }}", ORDER, "order.user is empty, and an amount is wanted"),
        (
            "{{ order.subscription_order + 1 }}",
            ORDER,
            "order.subscription_order is yes or no, and an amount is wanted",
        ),
        ("{{ order.foo ~ 'x' }}", ORDER, "order.foo is not in this event"),
        ("{{ order.foo | upper }}", ORDER, "order.foo is not in this event"),
        ("{% if order.foo > 3 %}x{% endif %}", ORDER, "order.foo is not in this event"),
        (
            "{% if order.total > 200 %}x{% endif %}",
            order(total="N/A"),
            'order.total is "N/A" and cannot be compared with 200',
        ),
        ("{% if order.user > 3 %}x{% endif %}", ORDER, "order.user is empty and cannot be compared with 3"),
        ("{% for i in order.foo %}x{% endfor %}", ORDER, "order.foo is not in this event"),
        (
            "{% for i in order.number %}x{% endfor %}",
            ORDER,
            "order.number is a text, and a loop needs a list",
        ),
        ("{{ order[order.number] }}", ORDER, "order.R1 is not in this event"),
    ],
)
def test_a_gap_says_why_in_plain_words(text: str, root: dict[str, Any], because: str) -> None:
    written, gaps = compiled(text).render(scope(root))
    assert [gap.because for gap in gaps] == [because]
    assert written == ("" if text.startswith("{%") else "[?]")


def test_a_gap_leaves_a_mark_and_the_rest_of_the_message_is_written() -> None:
    text, gaps = compiled("A {{ order.foo }} B {{ order.number }} C {{ 1 / 0 }} D").render(scope())
    assert text == "A [?] B R1 C [?] D"
    assert [(gap.line, gap.expression) for gap in gaps] == [(1, "order.foo"), (1, "1 / 0")]


def test_a_gap_in_a_loop_is_told_once() -> None:
    text, gaps = compiled("{% for i in order.line_items %}{{ i.foo }}{% endfor %}").render(scope())
    assert text == "[?][?]"
    assert [(gap.expression, gap.because) for gap in gaps] == [("i.foo", "i.foo is not in this event")]


def test_a_gap_in_a_head_leaves_out_its_block_and_its_else() -> None:
    text, gaps = compiled("a{% if order.user > 3 %}b{% else %}c{% endif %}d").render(scope())
    assert (text, [gap.expression for gap in gaps]) == ("ad", ["order.user > 3"])
    text, gaps = compiled("a{% for x in order.foo %}b{% else %}c{% endfor %}d").render(scope())
    assert (text, [gap.expression for gap in gaps]) == ("ad", ["order.foo"])


def test_a_value_set_from_a_gap_is_told_where_it_is_used() -> None:
    text, gaps = compiled("{% set x = 1 / order.n %}{{ x }}|{{ x or 'none' }}").render(scope(order(n=0)))
    assert text == "[?]|none"
    assert [(gap.expression, gap.because) for gap in gaps] == [("x", "division by zero: order.n is 0")]


def test_a_gap_in_a_block_text_has_its_line_in_the_file() -> None:
    source = "name: x\nthen:\n  text: |\n    Hello\n\n    {{ order.number }} and {{ order.foo }}\n"
    template = _field(source, "text")
    text, gaps = template.render(scope())
    assert text == "Hello\n\nR1 and [?]"
    assert [(gap.line, gap.expression) for gap in gaps] == [(6, "order.foo")]


def _field(source: str, name: str, problems: Problems | None = None) -> Template:
    document = read_document(source, problems or Problems("rule.yaml"))
    assert document is not None
    node: Any = document.entries[-1].value
    assert isinstance(node, MappingNode)
    scalar = next(entry.value for entry in node if entry.key.text == name)
    assert isinstance(scalar, ScalarNode)
    template = compile_template(scalar, problems or Problems("rule.yaml"))
    assert template is not None
    return template


# loops, if, set


def test_a_running_total_in_a_loop_keeps_its_value() -> None:
    text = (
        "{% set n = 0 %}{% for i in order.line_items %}{% set n = n + i.quantity %}{% endfor %}{{ n }} items"
    )
    assert shown(text) == "5 items"


def test_a_name_keeps_what_the_turn_before_gave_it() -> None:
    text = "{% for i in order.line_items %}{{ before or '-' }}{% set before = i.name %}{% endfor %}"
    assert shown(text) == "-Mug"


def test_the_name_of_a_loop_ends_with_it() -> None:
    text = "{% for order in order.line_items %}{{ order.name }} {% endfor %}{{ order.number }}"
    assert shown(text) == "Mug Tee R1"


def test_a_loop_counts() -> None:
    text = "{% for i in order.line_items %}{{ loop.index }}/{{ loop.length }}{{ ', ' if not loop.last }}{% endfor %}"
    assert shown(text) == "1/2, 2/2"
    text = "{% for i in order.line_items %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.nextitem.name or '.' }} {% endfor %}"
    assert shown(text) == "02yesTee 11no. "


def test_an_inner_loop_has_its_own_counter() -> None:
    text = "{% for i in order.line_items %}{% for j in order.line_items %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}"
    assert shown(text) == "121 122 "


def test_a_loop_over_nothing_takes_its_else() -> None:
    text = "{% for i in order.line_items %}x{% else %}none{% endfor %}"
    assert shown(text, order(line_items=[])) == shown(text, order(line_items=None)) == "none"


def test_a_loop_may_choose_its_items() -> None:
    text = "{% for i in order.line_items if i.quantity > 2 %}{{ i.name }}{{ loop.length }}{% else %}none{% endfor %}"
    assert shown(text) == "Tee1"


def test_a_loop_may_go_through_the_fields_of_an_object() -> None:
    root = order(extra={"gift": True, "note": "hi"})
    text = "{% for name, value in order.extra | items %}{{ name }}={{ value }};{% endfor %}"
    assert shown(text, root) == "gift=yes;note=hi;"
    assert shown("{% for name in order.extra %}{{ name }};{% endfor %}", root) == "gift;note;"


def test_elif_and_else() -> None:
    text = "{% if order.n > 10 %}big{% elif order.n > 5 %}middling{% else %}small{% endif %}"
    assert [shown(text, order(n=n)) for n in (11, 6, 1)] == ["big", "middling", "small"]


# lines


VIP = """\
Your order {{ order.number }} is in good hands.
{% for item in order.line_items %}- {{ item.quantity }} x {{ item.name }}
{% endfor %}
"""


def test_the_lines_of_a_loop_flow_without_blank_lines() -> None:
    text, _ = compiled(VIP, "literal").render(scope())
    assert text == "Your order R1 is in good hands.\n- 2 x Mug\n- 3 x Tee"


def test_lines_with_nothing_but_tags_are_left_out() -> None:
    text = "Hello\n  {% for i in order.line_items %}\n    - {{ i.name }}\n  {% endfor %}\n{# a note #}\nBye\n"
    assert compiled(text, "literal").render(scope())[0] == "Hello\n    - Mug\n    - Tee\nBye"


def test_a_line_that_a_tag_leaves_empty_is_left_out() -> None:
    text = "Order {{ order.number }}\n{% if order.subscription_order %}(subscription){% endif %}\nBye"
    assert shown(text) == "Order R1\nBye"
    assert shown(text, order(subscription_order=True)) == "Order R1\n(subscription)\nBye"


def test_a_tag_at_the_end_of_a_line_keeps_the_line_break() -> None:
    assert shown("A{% if order.number %}B{% endif %}\nC") == "AB\nC"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n  {% raw %}x{{ y }}{% endraw %}\nb", "a\n  x{{ y }}\nb"),
        ("a\n{# one\ntwo #}\nb", "a\nb"),
        ("a\n{% if order.number\n   and order.total %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("a\n{% set x = 1 %}  {% set y = 2 %}\n{{ x }}{{ y }}", "a\n12"),
        ("{% if order.foo %}a{% endif %}\nb", "b"),
        ("a\n{% if order.foo %}x{% endif %}", "a\n"),
        ("a\n{% if order.foo %}x{% endif %} {{ order.number }}\nb", "a\n R1\nb"),
    ],
)
def test_a_line_is_left_out_only_where_nothing_else_is_on_it(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_blank_lines_of_the_author_stay() -> None:
    assert shown("A\n\n{% if order.number %}\nB\n{% endif %}\n\nC") == "A\n\nB\n\nC"


def test_a_block_text_ends_without_a_line_break_and_a_quoted_one_as_written() -> None:
    assert compiled("{{ order.number }}\n", "literal").render(scope())[0] == "R1"
    assert compiled("plain\n", "literal").render(scope())[0] == "plain"
    assert compiled("{{ order.number }}\n").render(scope())[0] == "R1\n"


def test_dashes_in_tags_take_the_blanks_around_them() -> None:
    assert shown("a {%- if order.number -%} b {%- endif -%} c {{- order.number -}} d") == "abcR1d"


# values that keep their type


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ order.total | number }}", Decimal("10.63")),
        ("{{ order.line_items[0].total | number }}", Decimal("10.00")),
        ("{{ order.item_count }}", 1),
        ("{{ order.subscription_order }}", False),
        ("{{ order.cart_url }}", None),
        ("{{ order.cart_url | number }}", None),
        ("{{ order.line_items }}", ORDER["order"]["line_items"]),
        ("{{ order.ship_address }}", ORDER["order"]["ship_address"]),
        ("{{ order.number }}", "R1"),
        ("{{ order.total + 5 }}", Decimal("15.63")),
        ("{{ order.total / 3 }}", Decimal("3.54")),
        ("{{ (order.total | number) * 1.125 }}", Decimal("11.95875")),
        ("{{ order.line_items | map(attribute='quantity') }}", [2, 3]),
        (
            "{{ order.line_items | map(attribute='total') | map('number') }}",
            [Decimal("10.00"), Decimal("5.00")],
        ),
        (" {{ order.item_count }}", " 1"),
        ("{{ order.item_count }}{{ order.item_count }}", "11"),
        ("10", "10"),
        ("{{ order.subscription_order or none }}", None),
    ],
)
def test_a_text_that_is_one_value_keeps_its_type(text: str, value: object) -> None:
    found, gaps = compiled(text).value(scope())
    assert gaps == ()
    assert (found, type(found)) == (value, type(value))


def test_a_block_text_of_one_value_keeps_its_type_too() -> None:
    assert compiled("{{ order.item_count }}\n", "literal").value(scope()) == (1, ())


def test_a_value_with_a_gap_is_nothing_and_told() -> None:
    value, gaps = compiled("{{ order.foo | number }}").value(scope())
    assert value is None
    assert [(gap.expression, gap.because) for gap in gaps] == [
        ("order.foo | number", "order.foo is not in this event")
    ]


# targets


def test_every_value_is_made_safe_for_its_target_and_the_authors_text_is_not() -> None:
    root = order(number="<b>&")
    template = compiled("<p>{{ order.number }}</p>{{ order.number ~ '<i>' }}{{ order.x or '<u>' }}")
    assert template.render(scope(root), HTML)[0] == "<p>&lt;b&gt;&amp;</p>&lt;b&gt;&amp;&lt;i&gt;&lt;u&gt;"
    assert compiled("{{ order.number }}").value(scope(root), HTML)[0] == "&lt;b&gt;&amp;"


def test_truth_values_are_written_as_the_target_wants_them() -> None:
    machine = Target("machine", str.upper, lambda url, label: url, yes="true", no="false")
    template = compiled("{{ order.subscription_order }}")
    assert template.render(scope())[0] == "no"
    assert template.render(scope(), machine)[0] == "FALSE"


def test_a_link_is_written_by_the_target_and_not_escaped_twice() -> None:
    root = order(url="https://x.test/?a=1&b=2", name="A & B")
    text = "{{ order.url | link(order.name) }}"
    assert shown(text, root) == "A & B: https://x.test/?a=1&b=2"
    expected = '<a href="https://x.test/?a=1&amp;b=2">A &amp; B</a>'
    assert compiled(text).render(scope(root), HTML)[0] == expected
    joined = compiled("{{ '<' ~ (order.url | link(order.name)) }}")
    assert joined.render(scope(root), HTML)[0] == "&lt;" + expected


def test_values_are_never_read_as_templates() -> None:
    for name in (
        "{{ 7*7 }}",
        "{% for i in range(9) %}x{% endfor %}",
        "${SLACK_URL}",
        "{{ secrets }}",
        "{# c #}",
    ):
        assert shown(
            "{{ order.name }}|{{ order.name ~ '' }}|{{ [order.name] | join }}", order(name=name)
        ) == "|".join([name] * 3)


# faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ order.total | mony }}", 'there is no filter "mony" -> did you mean `money`?'),
        ("{% if order.total is nmber %}x{% endif %}", 'there is no test "nmber" -> did you mean `number`?'),
        ("{{ order.total | money(1, 2) }}", "`money` takes at most 1 value in brackets, and here are 2"),
        (
            "{{ order.total | money(curency='EUR') }}",
            '`money` has no setting "curency" here; did you mean `currency`?',
        ),
        (
            "{{ order.n | plural }}",
            "`plural` needs a value in brackets: one -> {{ order.item_count | plural('item') }}",
        ),
        ("{{ order.items() }}", "a template cannot call anything: `items(…)`"),
        ("{{ range(9) }}", "a template cannot call anything: `range(…)` -> loop over a list"),
        (
            "{{ money(order.total) }}",
            "a template cannot call anything: `money(…)` -> a filter goes behind its value",
        ),
        ("{% include '/etc/passwd' %}", "a template cannot read another file"),
        ("{{ order.number }", "a single } does not close `{{` -> write }}"),
        ("{{ order.number", "`{{` is never closed"),
        ("{{ order number }}", '"number" is not expected here'),
        ("{{ }}", "there is nothing where a value is wanted"),
        (
            "{{ order.adjustments[*].promotion_code }}",
            "it needs a loop -> {% for one in order.adjustments %}{{ one.promotion_code }} {% endfor %}",
        ),
        (
            "{{ order.shipments[*].line_items[*].sku | upper }}",
            "{% for one in order.shipments %}{% for one_more in one.line_items %}{{ one_more.sku }} {% endfor %}{% endfor %}",
        ),
        ("{% for i in order.line_items[*] %}x{% endfor %}", "without [*] -> {% for i in order.line_items %}"),
        ("{% if order.total = 3 %}x{% endif %}", "a single = gives a value; to compare, there are two -> =="),
        ("{% if order.total %}x", "`{% if … %}` is never closed -> {% endif %}"),
        (
            "{% for a in order.b %}x{% endif %}",
            "`{% endif %}` comes before `{% for … %}` was closed -> {% endfor %}",
        ),
        ("{% endfr %}", 'there is no tag "endfr" -> did you mean `endfor`?'),
        ("{% if a %}x{% else if b %}y{% endif %}", "`else if` is one word here -> elif"),
        ("{{ a && b }}", "& has no meaning here -> to say that both must hold, write `and`"),
        ("{{ “x” }}", "“ has no meaning here -> write straight quotation marks"),
        (
            "{{ order.gift-note }}",
            '`gift-note` is read as gift minus note -> a field with a dash is written ["gift-note"]',
        ),
        ("{{ loop.index }}", "`loop` is only known inside of `{% for … %}`"),
        ("{% for i in order.l %}{{ loop.idex }}{% endfor %}", "there is no loop.idex"),
        (
            "{{ order.total | safe }}",
            'there is no filter "safe" -> every value is made safe for where it goes',
        ),
        ("{{ 1,000 }}", "A number is written without commas"),
        ("{% set x %}a{% endset %}", "`set` takes its value on one line"),
        (
            "{{ order.total * 1.1 | money }}",
            "`| money` belongs to the last value only -> put the calculation in brackets",
        ),
        ("{% if order.total > 20 USD %}x{% endif %}", "an amount with its currency needs quotes: '20 USD'"),
        ("{% if order.total => 20 %}x{% endif %}", "at least is `>=`"),
        ("{{ order.total | money: 'EUR' }}", "what a filter needs stands in brackets: | money('EUR')"),
        ("{{ if order.number }}", "a tag is written {% if … %}"),
        ("{{ endif }}", "`endif` is a tag -> {% endif %}"),
        ("{{ {{ order.number }} }}", "a field inside of {{ }} is written without braces of its own"),
        ("{{{ order.number }}}", "a field inside of {{ }} is written without braces of its own"),
        ("{{ order->number }}", "a field is written with a dot"),
        ("{{ order.a || order.b }}", "to say or, write `or`"),
        ("{% unless order.a %}x{% endunless %}", 'there is no tag "unless" -> did you mean `if not`?'),
        ("{{ order.number | upcase }}", 'there is no filter "upcase" -> write `| upper`'),
        (
            "{{ order.total.toFixed(2) }}",
            "a template cannot call anything: `toFixed(…)` -> write `| round(2)`",
        ),
        ("{{ order.l | map('name') }}", "for a field: map(attribute='name')"),
        ("{{ order.l | map('uper') }}", 'there is no filter "uper" -> did you mean `upper`?'),
    ],
)
def test_a_fault_is_told_when_the_rule_is_loaded(text: str, words: str) -> None:
    assert words in said(text)


@pytest.mark.parametrize(
    "text", ["{{ a b }}", "{{ 1 | x }}", "{{ x() }}", "{% wrong %}", "{{ a.__class__ }}"]
)
def test_a_fault_never_speaks_of_python(text: str) -> None:
    words = said(text).casefold()
    for word in ("exception", "syntax", "error", "token", "nonetype", "jinja2", "traceback", "node"):
        assert word not in words


def test_all_faults_of_a_text_are_told_at_once_each_at_its_letter() -> None:
    found = faults("{{ order.a | mony }} {{ order.b() }}")
    assert [(fault.line, fault.column) for fault in found] == [(7, 23), (7, 39)]


def test_a_fault_in_a_block_text_has_its_line_and_column_in_the_file() -> None:
    problems = Problems("rule.yaml")
    source = "name: x\nthen:\n  text: |\n    Hello\n    {{ order.number }}\n      {{ order.total | mony }}\n"
    document = read_document(source, problems)
    assert document is not None
    node = document.entries[-1].value
    assert isinstance(node, MappingNode)
    assert compile_template(node.entries[0].value, problems) is None  # type: ignore[arg-type]
    assert [(fault.line, fault.column) for fault in problems.sorted()] == [(6, 24)]


@pytest.mark.parametrize("end", [" {{ order.total }}", ""])
def test_a_field_in_single_braces_is_warned_of(end: str) -> None:
    problems = Problems("rule.yaml")
    node = ScalarNode("Order { order.number }" + end, Mark(3, 5), "plain")
    template = compile_template(node, problems)
    assert template is not None
    assert template.render(scope())[0].startswith("Order { order.number }")
    assert [(problem.severity, problem.line, problem.column) for problem in problems.found] == [
        ("warning", 3, 11)
    ]
    assert problems.found[0].hint == "{{ order.number }}"


# what is read


def reads(text: str) -> list[Read]:
    return list(compiled(text).reads)


def paths(text: str) -> list[tuple[str | int | None, ...]]:
    return [read.path for read in reads(text)]


ITEM = ("order", "line_items", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ order.number }}", [("order", "number")]),
        ("{{ order.line_items[0].name }}", [("order", "line_items", 0, "name")]),
        ('{{ order["gift note"] }}', [("order", "gift note")]),
        (
            "{% for item in order.line_items %}{{ item.name }}{% endfor %}",
            [("order", "line_items"), (*ITEM, "name")],
        ),
        (
            "{% for e in events %}{% for i in e.order.line_items %}{{ i.sku }}{% endfor %}{% endfor %}",
            [
                ("events",),
                ("events", None, "order", "line_items"),
                ("events", None, "order", "line_items", None, "sku"),
            ],
        ),
        (
            "{% set to = order.ship_address %}{{ to.city }}",
            [("order", "ship_address"), ("order", "ship_address", "city")],
        ),
        (
            "{{ order.line_items | map(attribute='name') | join(', ') }}",
            [("order", "line_items"), (*ITEM, "name")],
        ),
        (
            "{% for n in order.line_items | map(attribute='adjustments.label') %}{{ n }}{% endfor %}",
            [("order", "line_items"), (*ITEM, "adjustments", "label"), (*ITEM, "adjustments", "label")],
        ),
        (
            "{{ (order.line_items | selectattr('sku', 'eq', order.number) | first).name }}",
            [("order", "line_items"), (*ITEM, "sku"), ("order", "number"), (*ITEM, "name")],
        ),
        (
            "{{ (order.a or order.b).c }}",
            [("order", "a"), ("order", "b"), ("order", "a", "c"), ("order", "b", "c")],
        ),
        ("{% for i in order.line_items %}{{ loop.index }}{% endfor %}", [("order", "line_items")]),
        ("{% set n = 0 %}{{ n }}", []),
        ("{{ order.total | money(order.currency) }}", [("order", "total"), ("order", "currency")]),
        (
            "{% if order.total > 3 %}{% elif order.channel == 'x' %}{% endif %}",
            [("order", "total"), ("order", "channel")],
        ),
    ],
)
def test_every_field_a_template_reads_is_known_at_load(
    text: str, expected: list[tuple[str | int | None, ...]]
) -> None:
    found = paths(text)
    assert [path for place, path in enumerate(found) if path not in found[:place]] == [
        path for place, path in enumerate(expected) if path not in expected[:place]
    ]


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("{{ order.phone }}", False),
        ("{{ order.phone or 'none' }}", True),
        ("{{ 'none' or order.phone }}", False),
        ("{{ order.phone | default('none') }}", True),
        ("{{ order.phone | upper | default('none') }}", True),
        ("{% if order.phone %}{{ order.phone }}{% endif %}", True),
        ("{% if order.phone is defined %}{{ order.phone }}{% endif %}", True),
        ("{% if order.phone and order.n %}{{ order.phone }}{% endif %}", True),
        ("{% if order.n %}{{ order.phone }}{% endif %}", False),
        ("{% if order.phone or order.n %}{{ order.phone }}{% endif %}", False),
        ("{% if not order.phone %}none{% else %}{{ order.phone }}{% endif %}", True),
        ("{% if order.phone is none %}none{% else %}{{ order.phone }}{% endif %}", True),
        ("{% if order.phone == 'x' %}{{ order.phone }}{% endif %}", True),
        ("{% if order.phone != none %}{{ order.phone }}{% endif %}", False),
        ("{% if order.phone %}x{% endif %}{{ order.phone }}", False),
        ("{{ order.phone if order.phone else 'none' }}", True),
        ("{{ 'none' if order.phone is missing else order.phone }}", True),
        ("{% set p = order.phone %}{{ p or 'none' }}", True),
        ("{% set p = order.phone %}{{ p }}", False),
        ("{% for x in order.phone %}{% endfor %}", True),
    ],
)
def test_a_read_says_whether_an_empty_value_leaves_a_hole(text: str, guarded: bool) -> None:
    found = [read.guarded for read in reads(text) if read.path == ("order", "phone")]
    assert all(found) is guarded


def test_a_read_names_its_filters_its_place_and_its_words() -> None:
    template = compiled("Hi {{ order.total | number | round(2) }} and {{ order.number }}")
    assert template.reads == (
        Read(("order", "total"), Mark(1, 8), "order.total", False, ("number", "round")),
        Read(("order", "number"), Mark(1, 50), "order.number"),
    )
    assert compiled("{{ order.note }}").reads[0].typed
    assert not compiled("Note: {{ order.note }}").reads[0].typed


def test_a_text_without_braces_is_constant() -> None:
    template = compiled("just text } and { more")
    assert template.constant
    assert template.reads == ()
    assert template.render(scope()) == ("just text } and { more", ())
    assert not compiled("{{ order.number }}").constant


# formulas


def formula(text: str, root: dict[str, Any] = ORDER) -> object:
    problems = Problems("rule.yaml")
    found = compile_formula(ScalarNode(text, Mark(4, 12), "double"), problems)
    assert found is not None, problems.sorted()
    return found.value(scope(root))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("order.total > order.item_total * 2", False),
        ("order.total > order.item_total", True),
        ("order.line_items | length", 2),
        ("order.line_items | sum(attribute='total')", Decimal("15.00")),
        ("order.number", "R1"),
        ("order.user", None),
        ("order.total | number > 10 and not order.subscription_order", True),
    ],
)
def test_a_formula_is_worked_out(text: str, value: object) -> None:
    assert formula(text) == value


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("order.foo", "order.foo is not in this event"),
        ("order.total / 0", "division by zero: the divisor is 0"),
        ("order.user > 3", "order.user is empty and cannot be compared with 3"),
    ],
)
def test_a_formula_without_an_answer_says_why(text: str, because: str) -> None:
    with pytest.raises(FormulaGap) as gap:
        formula(text)
    assert gap.value.because == because


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ order.total > 3 }}", "a formula is written without {{ }}"),
        ("order.total >", "there is nothing where a value is wanted"),
        ("sum(order.line_items[*].quantity) > 3", "a formula takes one of them: [0] is the first"),
        ("order.total > 3 order", '"order" is not expected here'),
        ("order.total | mony > 3", 'there is no filter "mony"'),
        ("order.total() > 3", "a template cannot call anything"),
        ("", "there is nothing where a value is wanted"),
    ],
)
def test_a_faulty_formula_is_refused_at_load(text: str, words: str) -> None:
    problems = Problems("rule.yaml")
    assert compile_formula(ScalarNode(text, Mark(4, 12), "double"), problems) is None
    assert words in problems.found[0].message
    assert problems.found[0].line == 4


def test_a_formula_tells_what_it_reads() -> None:
    problems = Problems("rule.yaml")
    found = compile_formula(ScalarNode("order.total > order.item_total * 2", Mark(4, 12), "double"), problems)
    assert found is not None
    assert [(read.path, read.mark) for read in found.reads] == [
        (("order", "total"), Mark(4, 13)),
        (("order", "item_total"), Mark(4, 27)),
    ]
