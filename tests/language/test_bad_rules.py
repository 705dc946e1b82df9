"""Every slip in tests/bad_rules is told with exactly the text that stands beside it."""

from pathlib import Path

import pytest

from engine.language.document import read_document
from engine.language.present import present_all
from engine.language.problem import Problem, Problems

FOLDER = Path(__file__).parent.parent / "bad_rules"
RULES = sorted(FOLDER.glob("*.yaml"))


def faults_of(path: Path) -> list[Problem]:
    """What is wrong in a rule file, in the order of its lines."""
    problems = Problems(path.name)
    read_document(path.read_bytes(), problems)
    return problems.sorted()


def shown(path: Path) -> str:
    """What a person sees of a rule file's faults."""
    text = path.read_bytes().decode(errors="replace")
    return present_all(faults_of(path), {path.name: text}) + "\n"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_slip_is_told_with_its_line_its_reason_and_the_remedy(path: Path) -> None:
    assert shown(path) == path.with_suffix(".txt").read_text("utf-8")


def test_each_rule_has_its_text_and_each_text_its_rule() -> None:
    assert [path.stem for path in RULES] == [path.stem for path in sorted(FOLDER.glob("*.txt"))]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_what_is_told_is_in_plain_words_without_anything_of_the_machinery(path: Path) -> None:
    for problem in faults_of(path):
        told = f"{problem.message} {problem.hint}"
        for word in (
            "Error",
            "None",
            "mapping",
            "scanner",
            "scalar",
            "unhashable",
            "token",
            "exception",
            "Traceback",
        ):
            assert word not in told
