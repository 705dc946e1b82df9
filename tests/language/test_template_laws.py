"""What holds for every template and every event, tried on made-up ones."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.language.node import ScalarNode
from engine.language.problem import Mark, Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template
from engine.language.templates.filters import FILTERS
from engine.language.templates.tests import TESTS

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LAW = settings(max_examples=100, deadline=None, derandomize=True)


def read(text: str, problems: Problems | None = None) -> Template | None:
    return compile_template(ScalarNode(text, Mark(1, 1), "double"), problems or Problems("rule.yaml"))


def scope(root: dict[str, Any]) -> Scope:
    return Scope(root, NOW)


# made-up templates

NAMES = st.sampled_from(
    ["order", "order.name", "order.total", "order.n", "order.lines", "order.nothing", "x", "order.foo.bar"]
)
LITERALS = st.sampled_from(
    ["1", "0", "2.5", "'abc'", "'$5.00'", "''", "none", "true", "['a', 1]", "[]", "'{{ x }}'"]
)
BINARY = st.sampled_from(["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "and", "or"])
NEEDS = {
    "plural": "('x')",
    "replace": "('a', 'b')",
    "selectattr": "('name')",
    "rejectattr": "('name')",
    "map": "(attribute='name')",
    "truncate": "(3)",
    "money": "('EUR')",
}
FILTER = st.sampled_from(sorted(name + NEEDS.get(name, "") for name in FILTERS))
NEED_ONE = {name for name, helper in TESTS.items() if helper.parameters}
TEST = st.sampled_from(sorted(name + ("('1')" if name in NEED_ONE else "") for name in TESTS))


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, BINARY, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, FILTER).map(lambda parts: f"({parts[0]} | {parts[1]})"),
        st.tuples(inner, TEST).map(lambda parts: f"({parts[0]} is {parts[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
        inner.map(lambda part: f"(not {part})"),
        inner.map(lambda part: f"(-{part})"),
        inner.map(lambda part: f"{part}[0]"),
        inner.map(lambda part: f"{part}.name"),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, LITERALS), _more, max_leaves=6)


def _blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(EXPRESSIONS, inner, inner).map(
            lambda p: f"{{% if {p[0]} %}}{p[1]}{{% else %}}{p[2]}{{% endif %}}"
        ),
        st.tuples(EXPRESSIONS, inner).map(lambda p: f"{{% for x in {p[0]} %}}{p[1]}{{% endfor %}}"),
        EXPRESSIONS.map(lambda part: f"{{% set x = {part} %}}"),
        st.lists(inner, min_size=2, max_size=3).map("\n".join),
    )


OUTPUTS = EXPRESSIONS.map(lambda part: f"{{{{ {part} }}}}")
TEMPLATES = st.recursive(st.one_of(OUTPUTS, st.just("TEXT"), st.just("TEXT\n")), _blocks, max_leaves=5)

TEXTS = st.text(max_size=30)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False), TEXTS
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "total": st.one_of(st.sampled_from(["10.63", "$1,250.00", "N/A", "10 EUR", ""]), VALUES),
        "n": VALUES,
        "lines": st.one_of(st.lists(st.fixed_dictionaries({"name": VALUES}), max_size=3), VALUES),
    },
)


@given(TEMPLATES, ORDERS)
@LAW
def test_every_template_that_is_read_renders_for_every_event(text: str, order: dict[str, Any]) -> None:
    template = read(text)
    assume(template is not None)
    assert template is not None
    written, gaps = template.render(scope({"order": order}))
    value, value_gaps = template.value(scope({"order": order}))
    assert isinstance(written, str)
    assert not isinstance(value, float)
    for gap in (*gaps, *value_gaps):
        assert gap.line == 1 + text.count("\n", 0, 0)
        assert gap.expression
        assert gap.because
        assert "it cannot be worked out" not in gap.because


@given(st.lists(st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", " ", "\n", "if", "for", "in", "set", "endif", "endfor", "else", "raw", "endraw", "order",
     ".", "|", "(", ")", "[", "]", "'", '"', "=", "==", "+", "-", "**", ",", ":", "1", "money", "is", "x", "é", "}", "{", "\\", "~"]
), max_size=25).map("".join))  # fmt: skip
@settings(LAW, max_examples=200)
def test_any_jumble_is_read_or_refused_with_a_place_and_a_sentence(text: str) -> None:
    problems = Problems("rule.yaml")
    template = read(text, problems)
    if template is None:
        assert problems.broken
        for problem in problems.found:
            assert problem.line == 1
            assert problem.column >= 1
            assert problem.message[:1].islower() or not problem.message[:1].isalpha()
    else:
        assert isinstance(template.render(scope({"order": {}}))[0], str)


@given(TEXTS)
@LAW
def test_a_text_of_the_event_comes_out_letter_for_letter(value: str) -> None:
    root = {"order": {"name": value, "lines": [{"name": value}]}}
    for text in (
        "{{ order.name }}",
        "{% for l in order.lines %}{{ l.name }}{% endfor %}",
        "{{ '' ~ order.name }}",
    ):
        template = read(text)
        assert template is not None
        assert template.render(scope(root)) == (value, ())


@given(st.sampled_from(["{{ 7*7 }}", "{% if a %}", "{# x #}", "}}", "{{", "%}", "{{ order.name }}"]), TEXTS)
@LAW
def test_template_signs_in_a_value_stay_as_they_are(sign: str, around: str) -> None:
    value = around + sign + around
    template = read("{% set n = order.name %}{{ n }}{{ [n] | join }}{{ (n ~ n) | truncate(500) }}")
    assert template is not None
    text, gaps = template.render(scope({"order": {"name": value}}))
    assert gaps == ()
    assert text == value * 4


@given(TEMPLATES, ORDERS)
@LAW
def test_every_inserted_value_goes_through_the_targets_escape(text: str, order: dict[str, Any]) -> None:
    """With an escape that swallows everything, only the author's own text and the holes are left."""
    template = read(text)
    assume(template is not None)
    assert template is not None
    swallow = Target("nothing", lambda value: "", lambda url, label: "")
    written, _ = template.render(scope({"order": order}), swallow)
    assert not written.replace("TEXT", "").replace("[?]", "").strip()


@given(TEXTS)
@LAW
def test_html_in_a_value_is_always_escaped_once(value: str) -> None:
    target = Target("HTML", html.escape, PLAIN.link)
    template = read('<p title="{{ order.name }}">{{ order.name }}</p>')
    assert template is not None
    text, _ = template.render(scope({"order": {"name": value}}), target)
    assert text == f'<p title="{html.escape(value)}">{html.escape(value)}</p>'


@given(st.lists(OUTPUTS, min_size=1, max_size=2).map("TEXT".join), ORDERS)
@LAW
def test_a_hole_has_its_gap_and_a_gap_in_an_output_its_hole(text: str, order: dict[str, Any]) -> None:
    template = read(text)
    assume(template is not None)
    assert template is not None
    written, gaps = template.render(
        scope({"order": order}), Target("x", lambda value: "", lambda url, label: "")
    )
    assert ("[?]" in written) == bool(gaps)


class Spy(dict[str, Any]):
    """An object that notes which of its fields were looked up."""

    def __init__(self, fields: dict[str, Any], path: tuple[Any, ...], seen: set[tuple[Any, ...]]) -> None:
        super().__init__({key: spied(value, (*path, key), seen) for key, value in fields.items()})
        self.path = path
        self.seen = seen

    def __getitem__(self, key: str) -> Any:
        self.seen.add((*self.path, key if isinstance(key, str) else None))
        return super().__getitem__(key)


def spied(value: Any, path: tuple[Any, ...], seen: set[tuple[Any, ...]]) -> Any:
    if isinstance(value, dict):
        return Spy(value, path, seen)
    return [spied(item, (*path, None), seen) for item in value] if isinstance(value, list) else value


@given(TEMPLATES)
@LAW
def test_whatever_is_looked_up_was_announced_at_load(text: str) -> None:
    template = read(text)
    assume(template is not None)
    assert template is not None
    seen: set[tuple[Any, ...]] = set()
    lines = [{"name": "Mug"}, {"name": {"name": "Tee"}}]
    root = {"order": {"name": {"name": "Ana"}, "total": "10.63", "n": 3, "lines": lines}}
    template.render(scope(Spy(root, (), seen)))
    announced = {
        tuple(None if isinstance(step, int) else step for step in read.path[:end])
        for read in template.reads
        for end in range(len(read.path) + 1)
    }
    assert seen <= announced


@given(
    st.lists(
        st.sampled_from(["", "plain", "  {{ order.n }}", "{% if order.n %}", "{% endif %}", "é"]), max_size=6
    ),
    st.integers(0, 6),
)
@LAW
def test_a_fault_is_told_at_its_line_and_column(lines: list[str], column: int) -> None:
    assume(lines.count("{% if order.n %}") == lines.count("{% endif %}") == 0)
    text = "\n".join([*lines, " " * column + "{{ order.n | nofilter }}", "end"])
    problems = Problems("rule.yaml")
    node = ScalarNode(text, Mark(3, 9), "literal", Mark(4, 7))
    assert compile_template(node, problems) is None
    assert [(problem.line, problem.column) for problem in problems.found] == [
        (4 + len(lines), 7 + column + 13)
    ]


# the same as Jinja

COUNTS = st.sampled_from(["order.n", "order.m", "1", "2", "7", "loop_free", "(order.lines | length)"])
WORDS = st.sampled_from(["order.name", "order.city", "'abc'", "'b'", "''"])


def _count(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(
            lambda p: f"({' '.join(p)})"
        ),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({' '.join(p)})"),
        st.tuples(inner, TRUTHS, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        inner.map(lambda part: f"(-{part})"),
    )


TRUTHS = st.one_of(
    st.tuples(COUNTS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), COUNTS).map(" ".join),
    st.tuples(WORDS, st.sampled_from(["==", "!=", "in", "not in"]), WORDS).map(" ".join),
    st.sampled_from(
        ["order.n is odd", "order.n is even", "order.n is defined", "order.zzz is defined", "not order.name"]
    ),
)
NUMBERS = st.recursive(COUNTS, _count, max_leaves=5).map(lambda part: part.replace("loop_free", "3"))
STRINGS = st.one_of(
    st.tuples(WORDS, WORDS).map(" ~ ".join),
    st.tuples(WORDS, NUMBERS).map(" ~ ".join),
    st.tuples(WORDS, st.sampled_from(["upper", "lower", "capitalize", "trim", "replace('a', 'xy')"])).map(
        " | ".join
    ),
    st.sampled_from(
        ["order.lines | map(attribute='name') | join('; ')", "(order.lines | first).name", "order.name[0:2]"]
    ),
)
COMMON = st.one_of(NUMBERS, STRINGS).map(lambda part: f"{{{{ {part} }}}}")
ALIKE = st.recursive(
    st.one_of(COMMON, st.just("text ")),
    lambda inner: st.one_of(
        st.tuples(TRUTHS, inner, inner).map(
            lambda p: f"{{% if {p[0]} %}}{p[1]}{{% else %}}{p[2]}{{% endif %}}"
        ),
        inner.map(
            lambda part: (
                "{% for l in order.lines %}{{ loop.index }}{{ l.name }}{{ loop.last and 1 or 2 }}"
                + part
                + "{% endfor %}"
            )
        ),
        st.tuples(NUMBERS, inner).map(lambda p: f"{{% set v = {p[0]} %}}{{{{ v }}}}{p[1]}"),
        st.lists(inner, max_size=3).map("".join),
    ),
    max_leaves=5,
).map(lambda text: text.replace("loop_free", "3"))
SMALL = st.integers(-50, 50)
LETTERS = st.text("abcdef ", max_size=6)


@given(ALIKE, st.fixed_dictionaries({"n": SMALL, "m": SMALL, "name": LETTERS, "city": LETTERS,
                                     "lines": st.lists(st.fixed_dictionaries({"name": LETTERS}), min_size=1, max_size=3)}))  # fmt: skip
@settings(LAW, max_examples=150)
def test_what_jinja_writes_for_whole_numbers_and_texts_we_write_too(text: str, order: dict[str, Any]) -> None:
    try:
        theirs = (
            ImmutableSandboxedEnvironment(keep_trailing_newline=True).from_string(text).render(order=order)
        )
    except ZeroDivisionError:
        assume(False)
    template = read(text)
    assert template is not None
    assert template.render(scope({"order": order})) == (theirs, ())


@given(st.lists(st.decimals(min_value=-10_000, max_value=10_000, places=2), min_size=1, max_size=8))
@LAW
def test_amounts_add_up_to_the_cent(amounts: list[Decimal]) -> None:
    lines = [{"total": f"${amount:,}" if amount >= 0 else f"-${-amount:,}"} for amount in amounts]
    template = read("{{ order.lines | sum(attribute='total') | number }}")
    assert template is not None
    value, gaps = template.value(scope({"order": {"lines": lines}}))
    assert gaps == ()
    assert value == sum(amounts)


@pytest.mark.parametrize("name", sorted({*FILTERS, *TESTS}))
def test_names_of_filters_and_tests_are_words(name: str) -> None:
    assert name.isalpha()
    assert name.islower()
