"""The gallery: fifteen rules that are right as they are, and a good start for one's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.language.problem import Problems
from engine.model import Mode
from engine.rulebook.gallery import GalleryRule, gallery, new_rule
from engine.rulebook.loader import Loader
from engine.rulebook.trial import read_tests, run_test
from engine.rulebook.vocabulary import Language

NOW = datetime(2026, 11, 25, tzinfo=UTC)
RULES = list(gallery().values())
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def test_there_are_fifteen_rules_each_with_a_name_of_its_own() -> None:
    assert len(RULES) == 15
    assert len({rule.name for rule in RULES}) == 15


def test_they_stand_in_the_order_of_their_ids() -> None:
    assert [rule.id for rule in RULES] == sorted(rule.id for rule in RULES)


@each_rule
def test_nothing_is_told_of_a_rule_of_the_gallery(language: Language, rule: GalleryRule) -> None:
    assert not Loader(language).load({f"{rule.id}.yaml": rule.text}).problems


@each_rule
def test_each_says_why_it_is_there(rule: GalleryRule) -> None:
    assert rule.why.endswith(".")
    assert rule.when


@each_rule
def test_each_has_tests_for_yes_and_no_and_passes_them(language: Language, rule: GalleryRule) -> None:
    book = Loader(language).load({f"{rule.id}.yaml": rule.text})
    tests = read_tests(book.rules[0], language, Problems(rule.id))
    assert {test.expect.value for test in tests} >= {"fires", "does not fire"}
    results = [run_test(test, book.rules[0], book, "chord", NOW) for test in tests]
    assert [(result.test.name, result.because) for result in results if not result.passed] == []


@each_rule
def test_a_new_rule_starts_in_test_under_its_own_name_and_is_otherwise_the_same(
    language: Language, rule: GalleryRule
) -> None:
    made = Loader(language).load({"mine.yaml": new_rule(rule, "Mine: the #1")})
    assert not made.problems
    assert made.rules[0].name == "Mine: the #1"
    assert made.rules[0].mode is Mode.TEST
    original = Loader(language).load({f"{rule.id}.yaml": rule.text}).rules[0]
    texts = ([one.text for one in some.judges] for some in (made.rules[0], original))
    assert next(texts) == next(texts)
    assert len(made.rules[0].actions) == len(original.actions)


@each_rule
def test_a_new_rule_keeps_its_name_where_none_is_given_and_its_comments(rule: GalleryRule) -> None:
    made = new_rule(rule)
    assert f"name: {rule.name}\n" in made
    assert all(line in made.splitlines() for line in rule.text.splitlines())
    assert made.endswith("\n")
    assert made.count("\nmode: test ") == 1


def test_a_new_rule_has_one_mode_even_where_the_gallery_sets_one() -> None:
    rule = GalleryRule("x", "X", "Y.", "order_completed", "name: X\nMode: on\nwhen: order_completed\n")
    assert new_rule(rule).lower().count("mode:") == 1
