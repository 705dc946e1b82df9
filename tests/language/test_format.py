"""The formatter gives rule files one spelling, keeps what they say and what their authors noted, and is done after once."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.document import read_document
from engine.language.format import format_document
from engine.language.node import MappingNode, Node, SequenceNode
from engine.language.problem import Problems
from engine.language.words import normal_key

BAD_RULES = Path(__file__).parent.parent / "bad_rules"
LAWFUL = settings(max_examples=120, deadline=None, derandomize=True)

WILD = """\
# top

Name:   Big order      # shown
WHEN: order_completed
IF:     # every line
   # about the total
   order.total:   at least 200 USD
   Any_Of order.line_items:
       SKU: {Starts-With: "x", At_Least: 3}
   # the end
   Stock.count: {More_Than: 0,
      At_Most: 5}
Once_per: order.number

Quiet_Hours : 21:00 to 08:00, then send
then:
- slack:
    Channel: ops
    text: |
         hello   #1
           there

         x
# between
-   Email:
       TO: a long
          text here
       Reply_To: x
       subject: "one
           text"
       JSON:
          A_b: 1
          c:
          - D-e: d
          -   - e
tests:
- Name: x
  With: {order.Total: 5}
  Then_After_20_hours: shipment_shipped
# the very end
"""

TIDY = """\
# top

name: Big order      # shown
when: order_completed
if:     # every line
  # about the total
  order.total: at least 200 USD
  any of order.line_items:
    SKU: {starts with: "x", at least: 3}
  # the end
  Stock.count: {more than: 0,
     at most: 5}
once per: order.number

quiet hours: 21:00 to 08:00, then send
then:
  - slack:
      channel: ops
      text: |
        hello   #1
          there

        x
  # between
  - email:
      to: a long
         text here
      reply to: x
      subject: "one
          text"
      json:
        A_b: 1
        c:
          - D-e: d
          - - e
tests:
  - name: x
    with: {order.Total: 5}
    then after 20 hours: shipment_shipped
# the very end
"""


def read(text: str) -> MappingNode | None:
    problems = Problems("a.yaml")
    node = read_document(text, problems)
    return None if problems.broken else node


def said(node: Node | None, key: str = "") -> Any:
    """What a file says, with keys as they are compared."""
    if isinstance(node, MappingNode):
        return [(normal_key(entry.key.text), said(entry.value)) for entry in node]
    if isinstance(node, SequenceNode):
        return [said(item) for item in node]
    return node and (node.style, node.text)


def notes(text: str) -> list[str]:
    """The comments of a file that stand on lines of their own."""
    return [row.strip() for row in text.split("\n") if row.strip().startswith("#")]


def test_words_get_one_spelling_and_lines_two_spaces_a_step() -> None:
    assert format_document(WILD) == TIDY


def test_a_tidy_file_stays_as_it_is() -> None:
    assert format_document(TIDY) == TIDY


@pytest.mark.parametrize(
    ("line", "formatted"),
    [
        ("if:\n  All:\n    - Order.total: {At_Least: 5}", "if:\n  all:\n    - Order.total: {at least: 5}"),
        ("if:\n  - {Path: $.a, IS: at least, Value: 5}", "if:\n  - {path: $.a, is: at least, value: 5}"),
        ("if:\n  count_of order.items: {At_Least: 5}", "if:\n  count of order.items: {at least: 5}"),
        ("if:\n  Every-One-Of a: {Value: {Less_Than: 5}}", "if:\n  every one of a: {Value: {less than: 5}}"),
        ("digest:\n  Every: day\n  Forget_When: x", "digest:\n  every: day\n  forget when: x"),
        ("when: {Cron: 0 8 * * 1-5}", "when: {cron: 0 8 * * 1-5}"),
        ("'Name': T", "'Name': T"),
        ("then:\n  - HTTP:\n      Headers: {X_Key: 1}", "then:\n  - http:\n      headers: {X_Key: 1}"),
        (
            "then:\n  - http:\n      post: x\n      Or_Else:\n        Email:\n          TO: y",
            "then:\n  - http:\n      post: x\n      or else:\n        email:\n          to: y",
        ),
        ("Unknown_Word: {A_b: 1}", "Unknown_Word: {A_b: 1}"),
    ],
)
def test_only_words_of_the_language_are_respelled_and_never_names_of_data(line: str, formatted: str) -> None:
    assert format_document(f"{line}\n") == f"{formatted}\n"


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("a:\n    b", "a:\n  b\n"),
        ("a: |2\n    x\n   y\n", "a: |2\n    x\n   y\n"),
        ("a:\n    b: |1\n       x\n", "a:\n  b: |1\n     x\n"),
        (
            "a:\n    - |\n        x\n\n      # y\n    - >-\n        z\n",
            "a:\n  - |\n    x\n\n  # y\n  - >-\n    z\n",
        ),
        ("a: |+\n    x\n\n\n", "a: |+\n  x\n\n\n"),
        ("a: |\n    x", "a: |\n  x"),
        ("a: [\n  b,\n  c\n]\n", "a: [\n  b,\n  c\n]\n"),
        ("a:\n- b\n-\n    c: d\n", "a:\n  - b\n  -\n    c: d\n"),
        ("---\na: b   \n...\n", "---\na: b\n...\n"),
        ("a:\t b\t# c\r\nd: e\r\n", "a: b\t# c\nd: e\n"),
        ("a:\n    # b\n\n# c\nd: e\n", "a:\n  # b\n\n# c\nd: e\n"),
    ],
)
def test_texts_lists_and_notes_keep_their_shape_where_they_move(text: str, formatted: str) -> None:
    assert format_document(text) == formatted


@pytest.mark.parametrize("path", sorted(BAD_RULES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_with_faults_comes_back_unchanged(path: Path) -> None:
    text = path.read_bytes().decode(errors="surrogateescape")
    if read(text) is None:
        assert format_document(text) == text


SIGNS = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "# x\n",
    "\n# x\n",
    "\n  # x\n",
    "\n      # x\n",
    " # x",
    "a",
    "- ",
    "A_b",
    ": ",
    "é",
    "\r\n",
]


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A rule with a few blanks, notes and letters put in and taken out."""
    text = draw(st.sampled_from([WILD, TIDY]))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place] + draw(st.sampled_from(SIGNS)) + text[place + draw(st.sampled_from([0, 0, 1, 2])) :]
        )
    return text


@LAWFUL
@given(changed())
def test_formatting_keeps_what_is_said_and_noted_and_is_done_after_once(text: str) -> None:
    formatted = format_document(text)
    assert format_document(formatted) == formatted
    if read(text) is None:
        assert formatted == text
        return
    assert said(read(formatted)) == said(read(text))
    assert notes(formatted) == notes(text)
    assert len(formatted.rstrip("\n").split("\n")) == len(text.rstrip().replace("\r\n", "\n").split("\n"))


LETTERS = "ab \n:#-{}[]'\"|>*&!%@`,?.~é\\=$01"
KEYS = st.text("abcdefgh_-é", min_size=1, max_size=8).map(lambda key: f"k{key}")
TEXTS = st.text(LETTERS, max_size=16)
VALUES: st.SearchStrategy[Any] = st.deferred(
    lambda: TEXTS | st.lists(VALUES, min_size=1, max_size=3) | BLOCKS
)
BLOCKS: st.SearchStrategy[Any] = st.dictionaries(KEYS, VALUES, min_size=1, max_size=3)


@LAWFUL
@given(BLOCKS, st.integers(2, 7), st.integers(2, 7))
def test_however_a_file_was_indented_it_comes_out_the_same(data: Any, one: int, other: int) -> None:
    ways = [
        yaml.dump({"json": data}, indent=indent, width=10_000, allow_unicode=True) for indent in (one, other)
    ]
    formatted = [format_document(way) for way in ways]
    assert [said(read(text)) for text in formatted] == [said(read(way)) for way in ways]
    if not any(row.startswith(" ") and "'" in row for row in ways[0].split("\n")):
        assert formatted[0] == formatted[1]


@LAWFUL
@given(st.text(max_size=80))
def test_nothing_at_all_raises(text: str) -> None:
    assert format_document(format_document(text)) == format_document(text)
