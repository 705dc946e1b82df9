"""Each filter and test does what its help says, for amounts, times, texts and lists as shops send them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.language.node import ScalarNode
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope, Shop
from engine.language.template import compile_template
from engine.language.templates.filters import FILTERS
from engine.language.templates.helpers import Helper
from engine.language.templates.tests import TESTS

NOW = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)
SHOP = Shop(timezone=ZoneInfo("America/New_York"), currency="USD", locale="en_US")
GERMAN = Shop(timezone=ZoneInfo("Europe/Berlin"), currency="EUR", locale="de_DE")

LINES = [
    {"name": "Mug", "sku": "mug-1", "quantity": 2, "total": "$10.00", "gift": None},
    {"name": "Tee", "sku": "tee-1", "quantity": 3, "total": "$5.00", "gift": "yes"},
    {"name": "cap", "sku": "cap-1", "quantity": 3, "total": "$1,000.00", "gift": ""},
]


def fill(expression: str, shop: Shop = SHOP, **root: Any) -> tuple[str, list[str]]:
    problems = Problems("rule.yaml")
    text = expression if "{%" in expression else f"{{{{ {expression} }}}}"
    template = compile_template(ScalarNode(text, Mark(1, 1), "double"), problems)
    assert template is not None, problems.sorted()
    written, gaps = template.render(Scope(root, NOW, shop))
    return written, [gap.because for gap in gaps]


def shown(expression: str, shop: Shop = SHOP, **root: Any) -> str:
    written, gaps = fill(expression, shop, **root)
    assert gaps == []
    return written


def because(expression: str, shop: Shop = SHOP, **root: Any) -> str:
    written, gaps = fill(expression, shop, **root)
    assert written == "[?]"
    return gaps[0]


# money


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1250.5", "$1,250.50"),
        ("$1,234.56", "$1,234.56"),
        ("-$5.00", "-$5.00"),
        ("($5.00)", "-$5.00"),
        ("2.675", "$2.68"),
        ("2.665", "$2.67"),
        (Decimal("0.005"), "$0.01"),
        (7, "$7.00"),
        ("10 EUR", "€10.00"),
        ("¥5,400", "¥5,400"),
    ],
)
def test_money_is_written_as_the_shop_does_and_rounded_as_tills_do(value: object, expected: str) -> None:
    assert shown("v | money", v=value) == expected


def test_money_is_in_the_currency_of_the_object_the_amount_belongs_to() -> None:
    yen = {"currency": "JPY", "total": "5400.0", "lines": [{"total": "¥5,400"}, {"total": "540"}]}
    assert shown("order.total | money", order=yen) == "¥5,400"
    assert shown("order.lines[1].total | money", order=yen) == "¥540"
    assert shown("{% for l in order.lines %}{{ l.total | money }} {% endfor %}", order=yen) == "¥5,400 ¥540 "
    assert shown("{% set t = order.total %}{{ t | money }}", order=yen) == "¥5,400"
    assert shown("order.lines | sum(attribute='total') | money", order=yen) == "¥5,940"
    assert shown("(order.total + 5) | money", order=yen) == "¥5,405"
    assert (
        shown("{% for l in order.lines %}{{ (l.total + 1) | money }}{% endfor %}", order=yen) == "¥5,401¥541"
    )
    assert shown("order.lines | map(attribute='total') | map('money') | join", order=yen) == "¥5,400, ¥540"


def test_money_of_a_digest_is_in_the_currency_of_its_event() -> None:
    events = [{"order": {"total": "5", "currency": "JPY"}}, {"order": {"total": "5", "currency": "EUR"}}]
    text = "{% for e in events %}{{ e.order.total | money }} {% endfor %}"
    assert shown(text, events=events) == "¥5 €5.00 "


def test_money_of_what_has_no_currency_is_in_the_orders_and_else_in_the_shops() -> None:
    assert shown("shipment.cost | money", shipment={"cost": "22.0"}, order={"currency": "CAD"}) == "CA$22.00"
    assert shown("shipment.cost | money", shipment={"cost": "22.0"}) == "$22.00"
    assert shown("shipment.cost | money", GERMAN, shipment={"cost": "1022.0"}) == "1.022,00\xa0€"


def test_money_in_brackets_or_written_with_the_amount_wins() -> None:
    order = {"total": "10", "currency": "USD", "paid": "10 EUR", "yuan": "¥10"}
    assert shown("order.total | money('eur')", order=order) == "€10.00"
    assert shown("order.total | money(order.currency)", order=order) == "$10.00"
    assert shown("order.paid | money", order=order) == "€10.00"
    assert shown("order.yuan | money", order=order | {"currency": "CNY"}) == "CN¥10.00"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("order.name | money", 'order.name is "Ana", which is no amount'),
        ("order.none | money", "order.none is empty, so there is no amount"),
        ("order.foo | money", "order.foo is not in this event"),
        ("order.comma | money", 'order.comma is "10,63", which is no amount'),
        ("order.flag | money", "order.flag is yes or no, and an amount is wanted"),
        ("order.list | money", "order.list is a list, and an amount is wanted"),
        (
            "order.total | money('euro')",
            '"euro" is no currency code: a currency is three letters such as USD',
        ),
    ],
)
def test_what_is_no_amount_is_a_gap_and_never_zero(expression: str, reason: str) -> None:
    order = {"name": "Ana", "none": None, "comma": "10,63", "flag": True, "list": [1], "total": "1"}
    assert because(expression, order=order) == reason


def test_an_empty_amount_gives_way_to_a_default() -> None:
    assert shown("order.none | money or 'free'", order={"none": None}) == "free"
    assert shown("order.none | money | default('free')", order={"none": ""}) == "free"


# numbers


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'$1,234.50' | number", "1234.50"),
        ("'$1,234.56' | float", "1234.56"),
        ("'$1,234.56' | int", "1234"),
        ("'10.0' | number", "10.0"),
        ("12345678901234567890 | number", "12345678901234567890"),
        ("none | number", ""),
        ("none | int", ""),
        ("2.675 | round(2)", "2.68"),
        ("'10.63' | round", "11"),
        ("'10.65' | round(1)", "10.7"),
        ("'-$18.50' | abs", "18.50"),
        ("-3 | abs", "3"),
        ("'10.6 EUR' | round | money", "€11.00"),
    ],
)
def test_numbers_are_read_from_amounts(expression: str, expected: str) -> None:
    assert shown(expression) == expected


def test_rounding_takes_a_whole_number_of_digits() -> None:
    assert because("1 | round('x')") == '"x" stands where a whole number from 0 to 20 is wanted'


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 | plural('item')", "1 item"),
        ("2 | plural('item')", "2 items"),
        ("0 | plural('item')", "0 items"),
        ("'1.0' | plural('item')", "1.0 item"),
        ("2 | plural('box')", "2 boxes"),
        ("2 | plural('delivery')", "2 deliveries"),
        ("2 | plural('day')", "2 days"),
        ("2 | plural('child', 'children')", "2 children"),
        ("lines | length | plural('line')", "3 lines"),
    ],
)
def test_nouns_follow_their_number(expression: str, expected: str) -> None:
    assert shown(expression, lines=LINES) == expected


# times


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("t | day", "Oct 5, 2021"),
        ("t | day('short')", "10/5/21"),
        ("t | day('long')", "October 5, 2021"),
        ("t | day('full')", "Tuesday, October 5, 2021"),
        ("t | day('iso')", "2021-10-05"),
        ("t | time", "10:44 AM"),
        ("t | time('iso')", "2021-10-05T10:44:38-04:00"),
        ("'2021-10-05T02:00:00Z' | day", "Oct 4, 2021"),
        ("'2021-10-05T10:44:38' | time", "10:44 AM"),
        ("'2021-10-05' | day", "Oct 5, 2021"),
        ("'2026-11-25T15:00:00Z' | ago", "2 hours ago"),
        ("'2026-11-25T19:00:00Z' | ago", "in 2 hours"),
    ],
)
def test_times_are_written_in_the_shops_zone_and_language(expression: str, expected: str) -> None:
    assert shown(expression, t="2021-10-05T10:44:38.312-04:00") == expected


def test_times_follow_the_shops_locale() -> None:
    assert shown("'2021-10-05T14:44:38Z' | day('long')", GERMAN) == "5. Oktober 2021"
    assert shown("'2021-10-05T14:44:38Z' | time", GERMAN) == "16:44"
    assert shown("'2026-11-25T15:00:00Z' | ago", GERMAN) == "vor 2 Stunden"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("o.t | day", 'o.t is "soon", which is no time'),
        ("o.n | ago", "o.n is empty, so there is no time"),
        ("o.n | day", "o.n is empty, so there is no day"),
        ("o.x | time", "o.x is not in this event"),
        (
            "'2021-10-05' | day('%Y')",
            '"%Y" is no way to write a time; there are short, medium, long, full and iso',
        ),
    ],
)
def test_what_is_no_time_is_a_gap(expression: str, reason: str) -> None:
    assert because(expression, o={"t": "soon", "n": None}) == reason


# texts


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'Straße' | upper", "STRASSE"),
        ("'ABC' | lower", "abc"),
        ("'ana maria' | capitalize", "Ana maria"),
        ("\"o'neil's new-york mug\" | title", "O'neil's New-York Mug"),
        ("'  x ' | trim", "x"),
        ("'R-1-2' | replace('-', '/')", "R/1/2"),
        ("'a|b | c' | split('|')", "a, b, c"),
        ("'a,b' | split | last", "b"),
        ("none | upper", ""),
        ("12 | upper", "12"),
        ("'x' | default('y')", "x"),
        ("0 | default('y')", "0"),
        ("0 | default('y', true)", "y"),
        ("none | d('y')", "y"),
    ],
)
def test_texts_are_changed_as_asked(expression: str, expected: str) -> None:
    assert shown(expression) == expected


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("short", 10, "short"),
        ("exactly10!", 10, "exactly10!"),
        ("a longer text", 9, "a longer…"),
        ("a longer text", 3, "a…"),
        ("👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 2, "👩‍👩‍👧‍👦…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("🇩🇪🇫🇷🇮🇹", 2, "🇩🇪…"),
    ],
)
def test_a_text_is_cut_between_whole_characters(text: str, length: int, expected: str) -> None:
    assert shown(f"t | truncate({length})", t=text) == expected


def test_a_text_may_end_otherwise() -> None:
    assert shown("t | truncate(6, '..')", t="a longer text") == "a lo.."


def test_a_link_needs_a_web_address() -> None:
    assert shown("u | link('Track')", u="https://x.test/a?b=c") == "Track: https://x.test/a?b=c"
    assert shown("u | link", u="http://x.test") == "http://x.test"
    assert because("o.u | link('x')", o={"u": None}) == "o.u is empty, so there is no address to link to"
    for bad in (
        "javascript:alert(1)",
        "ftp://x",
        "https://x y",
        'https://x"onclick="',
        "https://x\ny",
        "//x",
        "x.test",
    ):
        assert "a link needs an address with https://" in because("o.u | link('x')", o={"u": bad})


def test_a_link_comes_last() -> None:
    assert (
        because("u | link('x') | upper", u="https://x.test")
        == "a link cannot be changed any more: put `link` last"
    )


# lists


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("lines | map(attribute='name') | join(', ')", "Mug, Tee, cap"),
        ("lines | map(attribute='name') | join", "Mug, Tee, cap"),
        ("lines | join(' / ', attribute='name')", "Mug / Tee / cap"),
        ("lines | map(attribute='gift') | join(', ')", "yes, "),
        ("lines | map(attribute='name') | map('upper') | join(' ')", "MUG TEE CAP"),
        ("lines | length", "3"),
        ("lines | count", "3"),
        ("'abc' | length", "3"),
        ("none | length", "0"),
        ("(lines | first).name", "Mug"),
        ("(lines | last).name", "cap"),
        ("lines | sum(attribute='total')", "1015.00"),
        ("lines | sum(attribute='quantity')", "8"),
        ("lines | sum(attribute='quantity', start=1)", "9"),
        ("['0.1', '0.2'] | sum", "0.30"),
        ("[0.1, 0.2] | sum | money", "$0.30"),
        ("lines | sum(attribute='total') | money", "$1,015.00"),
        ("lines | sort(attribute='name') | map(attribute='name') | join", "cap, Mug, Tee"),
        ("lines | sort(attribute='total') | map(attribute='name') | join", "Tee, Mug, cap"),
        ("lines | sort(attribute='total', reverse=true) | map(attribute='name') | join", "cap, Mug, Tee"),
        ("lines | map(attribute='quantity') | unique | join", "2, 3"),
        ("lines | unique(attribute='quantity') | map(attribute='name') | join", "Mug, Tee"),
        ("lines | reverse | map(attribute='name') | join", "cap, Tee, Mug"),
        ("lines | selectattr('gift') | map(attribute='name') | join", "Tee"),
        ("lines | rejectattr('gift') | map(attribute='name') | join", "Mug, cap"),
        ("lines | selectattr('quantity', 'gt', 2) | map(attribute='name') | join", "Tee, cap"),
        ("lines | selectattr('total', 'ge', '10') | map(attribute='name') | join", "Mug, cap"),
        ("lines | selectattr('sku', 'startingwith', 'tee') | list | length", "1"),
        ("lines | rejectattr('name', 'in', ['Mug', 'Tee']) | map(attribute='name') | join", "cap"),
        ("lines | selectattr('gift', 'none') | length", "1"),
        ("none | map(attribute='name') | join(', ')", ""),
        ("[] | map(attribute='name') | join(', ')", ""),
        ("none | sum(attribute='total')", "0"),
        ("deep | map(attribute='a.b') | join", "1, 2"),
    ],
)
def test_lists_are_worked_with_by_their_fields(expression: str, expected: str) -> None:
    assert shown(expression, lines=LINES, deep=[{"a": {"b": 1}}, {"a": {"b": 2}}]) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("o.lines | map(attribute='nme') | join", "item 1 of o.lines has no nme"),
        ("o.foo | map(attribute='name') | join", "o.foo is not in this event"),
        ("o.lines | sum", "an item of o.lines is an object, and an amount is wanted"),
        ("o.lines | sum(attribute='name')", 'name is "Mug", which is no amount'),
        ("o.mixed | sum(attribute='total')", "EUR and USD cannot be brought together"),
        ("o.lines | sort(attribute='both')", "item 1 of o.lines has no both"),
        ("o.odd | sort", '"abc" cannot be compared with another one'),
        ("o.number | join", "o.number is a number, and a list is wanted"),
        ("o.text | first", "o.text is a text, and a list is wanted"),
        ("o.empty | first", "o.empty is empty, so it has no first item"),
        ("o.empty | last", "o.empty is empty, so it has no last item"),
        ("o.number | length", "o.number is a number, which has no length"),
        ("o.text | items | length", "o.text is a text, and an object is wanted"),
        ("'x' | replace('', 'y')", "`replace` has nothing to look for"),
    ],
)
def test_what_a_filter_cannot_use_is_a_gap_with_the_reason(expression: str, reason: str) -> None:
    mixed = [{"total": "5 EUR"}, {"total": "5 USD"}]
    o = {"lines": LINES, "number": 3, "text": "abc", "empty": [], "mixed": mixed, "odd": [1, "abc"]}
    assert because(expression, o=o) == reason


# the tables


def _helpers(*tables: dict[str, Helper]) -> list[Helper]:
    return [helper for table in tables for helper in table.values()]


@pytest.mark.parametrize("helper", _helpers(FILTERS, TESTS), ids=lambda helper: helper.name)
def test_each_filter_and_test_has_a_help_and_an_example_that_reads_well(helper: Helper) -> None:
    assert helper.help[0].isupper()
    assert helper.help.endswith(".")
    problems = Problems("help")
    assert compile_template(ScalarNode(helper.example, Mark(1, 1), "double"), problems) is not None, (
        problems.found
    )


VALUES: list[Any] = [
    None,
    "",
    "x",
    "10.63",
    0,
    -3,
    Decimal("1E+900"),
    True,
    [],
    [1, "a", None],
    {"a": 1},
    {},
    "ü" * 900,
]


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_no_filter_fails_otherwise_than_with_a_reason(name: str) -> None:
    needs = {"plural": "('x')", "replace": "('x', 'y')", "selectattr": "('a')", "rejectattr": "('a')"}
    for value in VALUES:
        text, reasons = fill(f"v | {name}{needs.get(name, '')}", v=value)
        assert "it cannot be worked out" not in reasons, value
        assert bool(reasons) == ("[?]" in text)


def _plain(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").splitlines()[0]


def test_the_help_of_a_filter_is_its_docstring() -> None:
    assert FILTERS["money"].help.startswith(_plain(FILTERS["money"].call))
    assert FILTERS["count"].call is FILTERS["length"].call
