"""Random rules are read without a fault, and random slips are told on their line, in words that people use.

The long form tries ten thousand: `python tests/rulebook/random_rules.py --count 10000 --seed 1`.
"""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.language.problem import Mark, Problems
from engine.rulebook.vocabulary import Language

modestly = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(modestly, max_examples=120)
@given(data=st.data())
def test_a_right_rule_has_no_fault(language: Language, random_rules: ModuleType, data: st.DataObject) -> None:
    random_rules.check_valid(data.draw(random_rules.rules()), language)


@settings(modestly, max_examples=200)
@given(data=st.data())
def test_a_slip_is_told_on_its_line_and_without_a_programmers_word(
    language: Language, random_rules: ModuleType, data: st.DataObject
) -> None:
    random_rules.check_slip(data.draw(random_rules.slips()), language)


@pytest.mark.parametrize("message", ["it is NoneType", "a mapping", "KeyError", "Undefined", "<class 'x'>"])
def test_a_programmers_word_would_be_found(random_rules: ModuleType, message: str) -> None:
    problems = Problems("r.yaml")
    problems.error(Mark(1, 1), message)
    with pytest.raises(AssertionError):
        random_rules.check_words(problems.found)


def test_a_slip_that_is_not_told_would_be_found(language: Language, random_rules: ModuleType) -> None:
    right = "when: order_completed\nthen:\n  - slack: {text: hello}\n"
    with pytest.raises(AssertionError):
        random_rules.check_slip(random_rules.Slip("none", right, 1), language)
