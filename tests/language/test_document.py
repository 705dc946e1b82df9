"""What a rule file's text becomes: every value as it was typed, every slip told on its line, nothing that costs or raises."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, read_document
from engine.language.node import Entry, MappingNode, Node, ScalarNode, SequenceNode
from engine.language.problem import Mark, Problem, Problems
from engine.language.words import quoted, write_value

BAD_RULES = Path(__file__).parent.parent / "bad_rules"
HEAD = "name: T\nwhen: order_completed\n"
THEN = "then:\n  - slack:\n      channel: ops\n      text: hello\n"
ACTION = HEAD + "then:\n  - slack:\n      "
RULE = """\
# big-order.yaml
name: Big order                      # shown to people
why: Finance wants to look at large orders before they ship.
when: [order_completed, order_cancelled]
if:
  order.total: at least 200 USD
  stock_item.count_on_hand: {more than: 0, at most: 5}
  any of order.line_items:
    sku: starts with product-
    quantity: at least 10
  $.order.line_items[?(@.quantity >= 10)].sku: present
unless:
  any:
    - order.channel: wholesale
    - shipment.delivery_status: {changed to: [failure, return_to_sender,
        error]}
quiet hours: 21:00 to 08:00, then send
then:
- slack:
    channel: big-orders
    text: |
      :moneybag: *{{ order.number }}* for {{ order.total | money }} #1

        {% for item in order.line_items %}- {{ item.name }}
      {% endfor %}
- email:
    to: "{{ order.email }}"
    subject: 'It''s big: {{ order.number }}'
    text: >-
      folded text
      over lines
    note: a longer text
      over two lines
"""


def read(text: str | bytes) -> tuple[MappingNode | None, list[Problem]]:
    problems = Problems("big-order.yaml")
    return read_document(text, problems), problems.sorted()


def accepted(text: str) -> MappingNode:
    node, problems = read(text)
    assert problems == []
    assert node is not None
    return node


def at(node: Node, *path: str | int) -> Node:
    for step in path:
        if isinstance(step, int):
            assert isinstance(node, SequenceNode)
            node = node.items[step]
        else:
            assert isinstance(node, MappingNode)
            node = next(entry.value for entry in node if entry.key.text == step)
    return node


def scalar(node: Node, *path: str | int) -> ScalarNode:
    found = at(node, *path)
    assert isinstance(found, ScalarNode)
    return found


def plain(node: Node) -> Any:
    """The texts of a node as dictionaries and lists."""
    if isinstance(node, MappingNode):
        return {entry.key.text: plain(entry.value) for entry in node}
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node]
    return node.text


def scalars(node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    else:
        for child in node:
            if isinstance(child, Entry):
                yield child.key
                yield from scalars(child.value)
            else:
                yield from scalars(child)


# the slips of messages.md


def in_action(line: str) -> str:
    return f"{ACTION}{line}\n"


def in_if(line: str) -> str:
    return f"{HEAD}if:\n  {line}\n{THEN}"


TOLD = {
    "channel: #ops": (in_action("channel: #ops"), 5, "the channel is empty", "channel: ops"),
    "text: order #123 shipped": (
        in_action("text: order #123 shipped"),
        5,
        'everything from "#123 shipped" on would be dropped',
        'text: "order #123 shipped"',
    ),
    "text: &co": (in_action("text: &co"), 5, '"&" at the start of a value', 'text: "&co"'),
    "two equal keys": (
        in_if("order.total: at least 100\n  order.total: less than 500"),
        5,
        "order.total is already on line 4 of this block and only one could count",
        "order.total: {at least: 100, less than: 500}",
    ),
    "name:Big order": (f"name:Big order\n{THEN}", 1, 'a space is missing after "name:"', "name: Big order"),
    "name: and a non-breaking space": (
        f"name:\u00a0Big order\n{THEN}",
        1,
        "no plain space",
        "name: Big order",
    ),
    "- slack: with its body beside it": (
        f"{HEAD}then:\n  - slack:\n    channel: ops\n    text: hi\n",
        4,
        '"slack" has nothing under it. Indent the lines below by two more spaces',
        "- slack:\n    channel: ops",
    ),
    "to: {{ order.email }}": (
        in_action("to: {{ order.email }}"),
        5,
        "a value that starts with {{ needs quotes",
        'to: "{{ order.email }}"',
    ),
    "text: {{ order.number }} is big": (
        in_action("text: {{ order.number }} is big"),
        5,
        "a value that starts with {{ needs quotes",
        'text: "{{ order.number }} is big"',
    ),
    "text: Big order: {{ order.total }}": (
        in_action("text: Big order: {{ order.total }}"),
        5,
        'this text contains ": ", which YAML takes for a new setting',
        'text: "Big order: {{ order.total }}"',
    ),
    "text: :moneybag: big order": (
        in_action("text: :moneybag: big order"),
        5,
        'this text contains ": "',
        'text: ":moneybag: big order"',
    ),
    "> 200": (
        in_if("order.total: > 200"),
        4,
        '`at least 200` (or quote it: `"> 200"`)',
        "order.total: more than 200",
    ),
    ">200": (in_if("order.total: >200"), 4, "write `more than 200`", "order.total: more than 200"),
    ">= 200": (in_if("order.total: >= 200"), 4, "write `at least 200`", "order.total: at least 200"),
    "!= complete": (
        in_if("order.state: != complete"),
        4,
        "write `is not complete`",
        "order.state: is not complete",
    ),
    "text: !important": (in_action("text: !important"), 5, '"!" at the start', 'text: "!important"'),
    "text: *Big order*": (in_action("text: *Big order*"), 5, '"*" at the start', 'text: "*Big order*"'),
    "text: @channel": (in_action("text: @channel big"), 5, '"@" at the start', 'text: "@channel big"'),
    "text: %discount": (in_action("text: %discount"), 5, '"%" at the start', 'text: "%discount"'),
    "text: `code`": (in_action("text: `code`"), 5, '"`" at the start', 'text: "`code`"'),
    "tab": (
        f"{HEAD}if:\n\torder.total: at least 5\n{THEN}",
        4,
        "indented with a tab; YAML allows only spaces",
        "  order.total: at least 5",
    ),
    "wrong indent": (
        in_action("channel: ops\n       text: hi"),
        6,
        'begins with 7 spaces, but the lines of its block begin with 6 (see "channel" on line 5)',
        "      text: hi",
    ),
    "text: 'it's here'": (in_action("text: 'it's here'"), 5, "Double it (''), or put", 'text: "it\'s here"'),
    "text: ? hi": (in_action("text: ? hi"), 5, '"?" at the start', 'text: "? hi"'),
    "text: - hi": (in_action("text: - hi"), 5, '"-" at the start', 'text: "- hi"'),
    "curly quotes": (in_action("text: “Big order”"), 5, "these curly quotes are a part", 'text: "Big order"'),
}

WORKS = {
    "order.ship_address.country: NO": "NO",
    "send at: 22:00": "22:00",
    "zipcode: 01234": "01234",
    "sku: 1_000": "1_000",
    "order.total: < 5": "< 5",
    "order.subscription_order: yes": "yes",
    "order.completed_at: 2026-01-01": "2026-01-01",
    "send at: 08:00": "08:00",
    "zipcode: 08123": "08123",
    "sku: 1e3": "1e3",
    "sku: a|b": "a|b",
    "text: order#123": "order#123",
    "order.total: $200": "$200",
    "order.total: 1,000": "1,000",
    "x: ~": "~",
    "text: big order # notify finance": "big order",
}


@pytest.mark.parametrize(("text", "line", "message", "hint"), TOLD.values(), ids=TOLD.keys())
def test_a_slip_is_told_on_its_line_with_the_line_as_it_should_be(
    text: str, line: int, message: str, hint: str
) -> None:
    _, (problem,) = read(text)
    assert problem.line == line
    assert message in problem.message
    assert problem.hint == hint


@pytest.mark.parametrize(("line", "text"), WORKS.items(), ids=WORKS.keys())
def test_what_other_readers_turn_into_something_else_stays_as_typed(line: str, text: str) -> None:
    node = accepted(in_if(line))
    assert scalar(node, "if", line.split(":")[0]).text == text


def test_all_43_slips_of_the_table_are_tried() -> None:
    assert len(TOLD) + len(WORKS) + 1 == 43  # and `on:`, below


def test_on_and_yes_and_no_are_names_like_any_other() -> None:
    node = accepted("on: order_completed\nyes: a\nno: b\noff: c\nnull: d\n~: e\n")
    assert plain(node) == {"on": "order_completed", "yes": "a", "no": "b", "off": "c", "null": "d", "~": "e"}


def test_truth_words_and_nothing_are_told_from_the_same_words_in_quotes() -> None:
    node = accepted("a: yes\nb: 'yes'\nc: ~\nd: '~'\ne:\nf: NO\n")
    assert [scalar(node, key).truth for key in "abf"] == [True, None, False]
    assert [scalar(node, key).empty for key in "cde"] == [True, False, True]


@pytest.mark.parametrize(
    "value",
    [
        "02134", "09876", "0123", "0o14", "0x1F", "1.10", "1.0e+3", "1e3", "+1", "-5", "-$5.00", ".5", "1.", "12:30",
        "22:00", "190:20:30", "2026-01-01", "2026-01-01T10:00:00Z", "NO", "Off", "TRUE", "null", ".inf", ".nan", "1_000",
        "($5.00)", "10 EUR", "¥5,400", "a#b", "a:b", "http://x.y/z?a=b#c", "it's", 'say "hi"', "a & b", "a * b", "a | b",
        "a > b", "100%", "order_*", "?x", "-x", "product-*", "=", "<<", "a, b", "x]", "\\d+",
    ],
)  # fmt: skip
def test_a_value_without_quotes_is_the_text_that_stands_there(value: str) -> None:
    assert scalar(accepted(f"a: {value}\nb:\n  - {value}\n"), "a").text == value
    assert scalar(accepted(f"a: {value}\nb:\n  - {value}\n"), "b", 0).text == value


def test_a_slip_does_not_hide_the_rest_of_the_file() -> None:
    node, problems = read((BAD_RULES / "several-slips.yaml").read_text("utf-8"))
    assert [problem.line for problem in problems] == [1, 4, 5, 7, 8, 9, 11, 12, 13]
    assert node is not None
    assert plain(at(node, "if")) == {"order.total": "more than 200 USD", "order.state": "is not complete"}
    assert plain(at(node, "then", 0, "slack")) == {
        "channel": "big-orders",
        "text": "order #{{ order.number }}: {{ order.total }}",
    }
    assert scalar(node, "then", 1, "email", "subject").text == "it's big"


def test_places_behind_a_mended_slip_are_those_of_the_file() -> None:
    text = f"{HEAD}then:\n  - slack:\n    channel: ops\n    text: |\n      {{{{ order.nmae }}}}\n"
    node, _ = read(text)
    assert node is not None
    assert scalar(node, "then", 0, "slack", "channel").mark == Mark(5, 14)
    assert scalar(node, "then", 0, "slack", "text").content == Mark(7, 7)


def test_at_most_twenty_slips_are_told_of_one_file() -> None:
    node, problems = read("if:\n" + "".join(f"  order.f{number}: > 200\n" for number in range(50)))
    assert len(problems) == 20
    assert node is None


def test_the_same_key_again_and_again_is_told_a_hundred_times_at_most() -> None:
    _, problems = read("a: b\n" * 5000)
    assert len(problems) == 100


# nodes and their places


def test_nodes_know_where_they_stand_and_how_they_were_written() -> None:
    node = accepted(RULE)
    number = scalar(node, "then", 0, "slack", "text")
    assert (number.mark, number.style, number.content) == (Mark(21, 11), "literal", Mark(22, 7))
    assert number.text.splitlines()[2] == "  {% for item in order.line_items %}- {{ item.name }}"
    assert scalar(node, "then", 1, "email", "to") == ScalarNode("{{ order.email }}", Mark(27, 9), "double")
    assert scalar(node, "then", 1, "email", "subject").text == "It's big: {{ order.number }}"
    assert scalar(node, "then", 1, "email", "note").text == "a longer text over two lines"
    assert scalar(node, "when", 1) == ScalarNode("order_cancelled", Mark(4, 25))
    assert at(node, "then").mark == Mark(19, 1)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_usual_way_and_the_file_may_begin_with_a_mark(ends: str) -> None:
    text = "\ufeff" + RULE.replace("\n", ends)
    assert accepted(text) == accepted(RULE)
    assert read(text.encode())[0] == accepted(RULE)


def test_a_block_text_after_blank_lines_begins_right_below_its_bar() -> None:
    text = scalar(accepted("a:\n  b: |\n\n    x\n"), "a", "b")
    assert (text.text, text.content) == ("\nx\n", Mark(3, 5))


def test_a_block_text_with_its_own_indentation_begins_there() -> None:
    text = scalar(accepted("a:\n  b: |2\n      x\n"), "a", "b")
    assert (text.text, text.content) == ("  x\n", Mark(3, 5))


# what is no rule file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this file is empty"),
        ("# only a comment\n", "this file is empty"),
        ("---\n", "this file is empty"),
        ("~\n", "this file is empty"),
        ("- a\n", "this file is a list"),
        ("hello\n", "this file is only a text"),
        ("a: b\n---\nc: d\n", "a second document begins here"),
        ("a: b\n...\nc: d\n", "a second document begins here"),
        ("%YAML 1.2\n---\na: b\n", "instructs YAML"),
        ("[a]: b\n", '"[" at the start of a line'),
        (": b\n", "a name is missing before the colon"),
        ("a: b\n<<: *c\n", '"<<" would copy the lines of another block'),
        ('a: "\\0"\n', "a control character"),
    ],
)
def test_what_is_no_block_of_settings_gets_its_own_sentence(text: str, message: str) -> None:
    problem = read(text)[1][0]
    assert message in problem.message


@pytest.mark.parametrize(
    ("data", "mark", "message"),
    [
        ("name: T\n".encode("utf-16"), Mark(1, 1), "saved as UTF-16"),
        ("name: T\n".encode("utf-16-le"), Mark(1, 1), "saved as UTF-16"),
        ("name: T\n".encode("utf-32"), Mark(1, 1), "saved as UTF-16"),
        (b"name: T\r\nwhy: caf\xe9\n", Mark(2, 9), 'the letter after "caf" cannot be read. Save it as UTF-8'),
        (b"name: T\nwhy: a\x00b\n", Mark(2, 7), "invisible character here (U+0000)"),
        ("name: T\nwhy: a\x1bb\n", Mark(2, 7), "invisible character here (U+001B)"),
        ("name: a\u2028b\n", Mark(1, 8), "invisible character here (U+2028)"),
        ("name: a\ufeffb\n", Mark(1, 8), "invisible character here (U+FEFF)"),
        ("name: T\nwhy: caf\udce9\n", Mark(2, 9), "Save it as UTF-8"),
        ("name: a\ud800b\udce9\n", Mark(1, 8), "invisible character here (U+D800)"),
        ("name: a\ud800b\n", Mark(1, 8), "invisible character here (U+D800)"),
    ],
)
def test_what_is_no_plain_text_in_utf_8_is_refused_with_its_place(
    data: str | bytes, mark: Mark, message: str
) -> None:
    node, (problem,) = read(data)
    assert node is None
    assert Mark(problem.line, problem.column) == mark
    assert message in problem.message


def test_emoji_of_several_signs_and_letters_of_any_script_are_welcome() -> None:
    assert scalar(accepted("a: 👩\u200d💻 é 日本 \u00a0x\n"), "a").text == "👩\u200d💻 é 日本 \u00a0x"


# bounds


def test_a_file_that_is_too_big_is_not_read() -> None:
    node, (problem,) = read("a: b\n" + "#" * MAX_BYTES)
    assert node is None
    assert "257 kB" in problem.message
    assert accepted("a: b\n#" + "x" * (MAX_BYTES - 6))


def test_blocks_in_one_another_end_at_their_bound() -> None:
    deepest = "\n".join(f"{'  ' * depth}a:" for depth in range(MAX_DEPTH))
    assert accepted(deepest)
    node, (problem,) = read(f"{deepest}\n{'  ' * MAX_DEPTH}a: {{b: c}}")
    assert node is None
    assert "more than 40 deep" in problem.message
    assert read("a: " + "[" * 5000 + "]" * 5000)[0] is None


def test_more_values_than_a_rule_can_need_are_not_read() -> None:
    most = "a: [" + "x, " * (MAX_NODES - 3) + "]"
    assert accepted(most)
    node, (problem,) = read(most.replace("[", "[x, "))
    assert node is None
    assert "more than 20,000 values" in problem.message


def test_names_and_repeats_are_refused_before_anything_is_repeated() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10))
    node, problems = read(f"l0: &l0 [x, x]\n{levels}\n")
    assert all(problem.severity == "error" for problem in problems)
    assert {problem.line for problem in problems} >= {1, 2}
    assert node is None or len(list(scalars(node))) < 400


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.system [ls]", "!!int 3", "! x", "!x y", "{a: !!str b}"]
)
def test_no_value_is_of_a_type(value: str) -> None:
    _, problems = read(f"a: {value}\n")
    assert [problem.severity for problem in problems] == ["error"]
    assert problems[0].line == 1


# keys


def test_a_setting_in_two_spellings_is_one_setting_twice() -> None:
    _, (problem,) = read("once per: a\nOnce_Per: b\n")
    assert problem.message.startswith('"Once_Per" is already on line 1 of this block (as "once per")')


@pytest.mark.parametrize(
    "text",
    [
        "then:\n  - http:\n      json: {a_b: 1, a-b: 2, A_B: 3}\n",
        "if:\n  order.sku: a\n  Order.sku: b\n",
        "if:\n  any of order.line_items: {sku: a, SKU: b}\n",
        "then:\n  - http:\n      headers:\n        X-A: 1\n        X_A: 2\n",
    ],
)
def test_names_of_the_payload_and_of_the_authors_own_data_differ_by_every_letter(text: str) -> None:
    assert accepted(text)


@pytest.mark.parametrize(
    "text", ["json: {a: 1, a: 2}\n", "if:\n  order.sku: a\n  order.sku: a\n", "a: b\n'a': c\n"]
)
def test_the_very_same_name_twice_is_always_told(text: str) -> None:
    _, (problem,) = read(text)
    assert "is already on line" in problem.message


@pytest.mark.parametrize(
    ("one", "other", "hint"),
    [
        ("at least 1", "less than 5", "a.b: {at least: 1, less than: 5}"),
        ("more than $1,000", "at most 5", 'a.b: {more than: "$1,000", at most: 5}'),
        ("chord", "app", "a.b: [chord, app]"),
        ("a, b", "yes", 'a.b: ["a, b", "yes"]'),
        ("is not x", "present", ""),
        ("at least 1", "at least 2", ""),
        ("x", "x", "a.b: x"),
    ],
)
def test_two_conditions_on_one_field_are_shown_as_one(one: str, other: str, hint: str) -> None:
    _, (problem,) = read(f"if:\n  a.b: {one}\n  a.b: {other}\n")
    assert problem.hint == hint


# laws

WORDS = ("Error", "None", "mapping", "scanner", "scalar", "unhashable", "token", "exception")
SIGNS = [
    "", " ", "  ", "\n", "\t", ":", ": ", "- ", "-", "#", " #", "#x", "{", "}", "{{ a }}", "[", "]", "'", '"', "|", ">",
    "*", "&", "&a ", "*a", "!", "!x", "a", "\\", ",", "?", "? ", "%", "@", "`", "---", "\n---\n", "x: y", "\n- ", "\n  ",
    "~", "|2", "\u00a0", "“", "”", "<<: ", "...", "é", "\u200b",
]  # fmt: skip
LAWFUL = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def slipped(draw: st.DrawFn) -> str:
    """A rule with a few signs put in and a few letters taken out."""
    text = RULE
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(SIGNS)) + text[place + draw(st.integers(0, 3)) :]
    return text


@LAWFUL
@given(slipped())
def test_no_slip_raises_and_each_is_told_inside_the_file_in_plain_words(text: str) -> None:
    node, problems = read(text)
    lines = text.split("\n")
    assert node is not None or problems
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert not [word for word in WORDS if word in problem.message]


@LAWFUL
@given(slipped())
def test_what_is_accepted_is_read_alike_by_the_yaml_parser(text: str) -> None:
    node, problems = read(text)
    if any(problem.severity == "error" for problem in problems) or node is None:
        return
    tidy = re.sub(r"^[ \t]*\t[ \t]*(?=#|$)", "", text, flags=re.MULTILINE)
    assert plain(node) == yaml.load(tidy, Loader=yaml.CBaseLoader)


@LAWFUL
@given(st.integers(0, len(RULE)))
def test_no_prefix_of_a_rule_raises(length: int) -> None:
    node, problems = read(RULE[:length])
    assert node is not None or problems


@LAWFUL
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_nothing_at_all_raises(text: str | bytes) -> None:
    node, problems = read(text)
    assert node is not None or problems


LETTERS = "ab \n:#-{}[]'\"|>*&!%@`,?.~é\\😀/=$01"
TEXTS = st.text(LETTERS, max_size=24)
KEYS = st.text("abcdefgh_.-$ é", min_size=1, max_size=8).map(lambda key: f"k{key.strip()}")
BLOCKS = st.dictionaries(KEYS, st.deferred(lambda: VALUES), min_size=1, max_size=4)
VALUES: st.SearchStrategy[Any] = (
    TEXTS | st.lists(st.deferred(lambda: VALUES), min_size=1, max_size=3) | BLOCKS
)


@LAWFUL
@given(BLOCKS, st.sampled_from([True, False, None]), st.integers(2, 6), st.sampled_from([20, 80, 1000]))
def test_any_well_written_file_is_read_without_complaint(
    data: dict[str, Any], flow: bool | None, indent: int, width: int
) -> None:
    text = yaml.dump({"json": data}, default_flow_style=flow, indent=indent, width=width, allow_unicode=True)
    node, problems = read(text)
    assert problems == []
    assert node is not None
    assert plain(node) == yaml.load(text, Loader=yaml.CBaseLoader)


@LAWFUL
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t#:'\"-{[&"), max_size=40)
)
def test_a_value_as_we_write_it_reads_back_as_that_text(text: str) -> None:
    value = write_value(text)
    node = accepted(
        f"a: {value}\nb:\n  - {value}\nc: [{write_value(text, inside=True)}, x]\nd: {quoted(text)}\n"
    )
    assert plain(node) == {"a": text, "b": [text], "c": [text, "x"], "d": text}
    assert scalar(node, "a").truth is None
    assert not scalar(node, "a").empty


@pytest.mark.parametrize(("text", "hint"), [("", "shop:"), ("- a\n", "shop:"), ("a\n", "shop:")])
def test_a_file_without_settings_is_answered_with_a_line_of_its_own_kind(text: str, hint: str) -> None:
    problems = Problems("shopbell.yaml")
    assert read_document(text, problems, example=hint) is None
    assert [problem.hint for problem in problems.found] == [hint]
    assert "name" not in problems.found[0].message
