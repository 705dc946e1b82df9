"""The shop's lists: what counts as a member, whichever program wrote the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from engine.language.problem import Problems
from engine.model import Event, Memory, Outcome
from engine.rulebook.lists import read_list, read_products
from engine.rulebook.loader import Loader
from engine.rulebook.planner import plan
from engine.rulebook.vocabulary import Language


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("ana@example.com\nben@example.com\n", {"ana@example.com", "ben@example.com"}),
        ("email\nana@example.com\n", {"ana@example.com"}),
        ("E-Mail,Name\nana@example.com,Ana\n", {"ana@example.com"}),
        ("Customers we like\nana@example.com\n", {"ana@example.com"}),
        ("sku\nmug\n", {"mug"}),
        ("mug\nplate\n", {"mug", "plate"}),
        ("  Ana@Example.com , Ana\n", {"ana@example.com"}),
        ("ana@example.com;Ana;1,5\nben@example.com;Ben;2\n", {"ana@example.com", "ben@example.com"}),
        ("ana@example.com\tAna\n", {"ana@example.com"}),
        ("\ufeffemail\r\nana@example.com\r\n\r\n", {"ana@example.com"}),
        ('"Mug, blue"\nplate\n', {"mug, blue", "plate"}),
        ("# our best\n\nana@example.com\n#ben@example.com\n", {"ana@example.com"}),
        ("ana@example.com", {"ana@example.com"}),
        ("01234\n1.10\n", {"01234", "1.10"}),
        ("STRASSE\nstraße\n", {"strasse"}),
    ],
)
def test_the_first_column_counts_however_the_file_was_written(text: str, members: set[str]) -> None:
    problems = Problems("lists/vip.csv")
    assert read_list(text, problems) == members
    assert not problems.found


@pytest.mark.parametrize("text", ["", "\n\n", "email\n", "# nobody yet\n"])
def test_an_empty_list_is_told(text: str) -> None:
    problems = Problems("lists/vip.csv")
    assert not read_list(text, problems)
    assert [problem.message for problem in problems.found] == ["this list is empty: nothing can be in it"]


def test_a_line_that_is_no_row_is_told_with_its_number() -> None:
    problems = Problems("lists/vip.csv")
    read_list("ana@example.com\n" + "x" * 200_000 + "\n", problems)
    assert [(problem.line, problem.severity) for problem in problems.found] == [(2, "error")]


def test_a_quote_that_is_left_open_is_told_with_its_line() -> None:
    problems = Problems("lists/vip.csv")
    read_list('ana@example.com\n"ben@example.com\ncarl@example.com\n', problems)
    assert [(problem.line, problem.severity) for problem in problems.found] == [(2, "warning")]


def test_products_have_names_by_sku() -> None:
    problems = Problems("lists/products.csv")
    names = read_products("sku,name\nmug,Blue mug\nmug|plate, Set \n\n# old\n", problems)
    assert names == {"mug": "Blue mug", "mug|plate": "Set"}
    assert not problems.found


def test_a_product_without_a_name_is_told() -> None:
    problems = Problems("lists/products.csv")
    assert read_products("sku,name\nmug\nplate,Plate\n", problems) == {"plate": "Plate"}
    assert [(problem.line, problem.message) for problem in problems.found] == [
        (2, 'the product "mug" has no name beside it')
    ]


def test_faults_of_lists_are_told_with_those_of_the_rules(language: Language) -> None:
    texts = {"lists/vip.csv": "", "lists/products.csv": "sku,name\nmug\n"}
    book = Loader(language).load(texts)
    told = [(problem.file, problem.line) for problem in book.problems]
    assert told == [("lists/products.csv", 2), ("lists/vip.csv", 1)]


def test_two_files_for_one_list_are_told(language: Language) -> None:
    texts = {"lists/vip-customers.csv": "ana@example.com\n", "lists/vip_customers.csv": "ben@example.com\n"}
    book = Loader(language).load(texts)
    assert [(problem.file, problem.severity) for problem in book.problems] == [
        ("lists/vip_customers.csv", "warning")
    ]


@pytest.mark.parametrize("name", ["vip customers", "VIP customers", "vip-customers", "vip_customers"])
def test_a_list_is_known_by_its_files_name_in_any_spelling(language: Language, name: str) -> None:
    rule = f"when: order_completed\nif:\n  order.email: in list {name}\nthen:\n  - slack: {{text: hello}}\n"
    book = Loader(language).load({"r.yaml": rule, "lists/vip-customers.csv": "maya.lindqvist@example.com\n"})
    assert len(book.rules) == 1
    assert "vip customers" in book.lists


def test_a_member_in_other_case_is_a_member(language: Language, happen: Callable[..., Event]) -> None:
    rule = "when: order_completed\nif:\n  order.email: in list vip\nthen:\n  - slack: {text: hello}\n"
    book = Loader(language).load({"r.yaml": rule, "lists/vip.csv": "MAYA.Lindqvist@example.com\n"})
    planned = plan(happen("order_completed"), book, Memory(), datetime(2021, 10, 5, tzinfo=UTC)).rules
    assert [one.outcome for one in planned] == [Outcome.FIRES]
