"""The slips that only the whole rule shows: each bad rule stands beside the exact text that people see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.language.present import present_all
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language

BAD_RULES = Path(__file__).parent.parent / "bad_rules" / "rules"
LISTS = {
    "lists/vip-customers.csv": "email\nmaya@example.com\n",
    "lists/wholesale-accounts.csv": "email\nbob@example.com\n",
}
FILES = sorted(BAD_RULES.glob("*.yaml"))

UGLY = re.compile(
    r"\b(None|NoneType|\w+Error|[Mm]apping|[Ss]calar|dict|str|unhashable|[Uu]ndefined|[Ee]xception|pydantic|scanner)\b"
)
"""Words of programmers; the files speak of none of them."""


def shown(path: Path, language: Language) -> str:
    """What `check` prints of a rule file."""
    text = path.read_text(encoding="utf-8")
    book = Loader(language).load({**LISTS, path.name: text})
    return present_all(book.problems, {path.name: text}) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_slip_is_told_in_exactly_these_words(settled_language: Language, path: Path) -> None:
    assert shown(path, settled_language) == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_message_has_a_word_of_programmers_in_it(settled_language: Language, path: Path) -> None:
    assert not UGLY.findall(shown(path, settled_language))


def test_every_text_has_its_rule() -> None:
    assert [path.stem for path in FILES] == [path.stem for path in sorted(BAD_RULES.glob("*.txt"))]


HEAD = "name: T\nwhen: order_completed\n"
THEN = "then:\n  - slack:\n      channel: big-orders\n      text: hello\n"
SLACK = "then:\n  - slack:\n      channel: ops\n      text: "
USUAL = {
    "a channel after #": (HEAD + "then:\n  - slack:\n      channel: #ops\n      text: hi\n", 5),
    "a # in a text": (HEAD + SLACK + "order #123 shipped\n", 6),
    "a text after &": (HEAD + SLACK + "&co\n", 6),
    "the same field twice": (
        HEAD + "if:\n  order.total: at least 100\n  order.total: less than 500\n" + THEN,
        5,
    ),
    "braces without quotes": (
        HEAD + "then:\n  - email:\n      to: {{ order.email }}\n      subject: x\n      text: y\n",
        5,
    ),
    "a sign for a comparison": (HEAD + "if:\n  order.total: > 200\n" + THEN, 4),
    "a star at the start": (HEAD + SLACK + "*Big order*\n", 6),
    "a colon in a text": (HEAD + SLACK + "Big order: {{ order.total }}\n", 6),
    "a body without indentation": (HEAD + "then:\n  - slack:\n    channel: ops\n    text: hi\n", 4),
    "a tab": (HEAD + "if:\n\torder.total: at least 5\n" + THEN, 4),
    "an event in the other spelling": ("name: T\nwhen: order_canceled\n" + THEN, 2),
    "a misspelt field": (HEAD + "if:\n  order.totl: at least 5\n" + THEN, 4),
    "another word for if": (HEAD + "condition:\n  order.total: at least 5\n" + THEN, 3),
    "a misspelt field in a message": (HEAD + SLACK + "'{{ order.nmber }}'\n", 6),
}


@pytest.mark.parametrize(("text", "line"), USUAL.values(), ids=USUAL)
def test_the_usual_slips_keep_a_rule_from_running_and_are_told_on_their_line(
    language: Language, text: str, line: int
) -> None:
    book = Loader(language).load({"r.yaml": text})
    assert not book.rules
    assert line in [problem.line for problem in book.problems if problem.severity == "error"]
    assert not any(UGLY.search(f"{problem.message} {problem.hint}") for problem in book.problems)


def test_all_usual_slips_of_a_folder_are_told_at_once(language: Language) -> None:
    texts = {f"{name.replace(' ', '-')}.yaml": text for name, (text, _) in USUAL.items()}
    book = Loader(language).load(texts)
    assert {problem.file for problem in book.problems if problem.severity == "error"} == set(texts)
