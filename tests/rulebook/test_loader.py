"""Rule texts become a rulebook: broken ones hurt only themselves, and the same texts always give the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.language.scope import Shop
from engine.model import Mode
from engine.rulebook.book import Rulebook
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language

Load = Callable[..., Rulebook]
THEN = "then:\n  - slack:\n      text: hello\n"
GOOD = f"name: Big order\nwhen: order_completed\nif:\n  order.total: at least 200 USD\n{THEN}"
BROKEN = GOOD.replace("order_completed", "order_complete")
EXAMPLES = Path(__file__).parent / "examples"


def messages(book: Rulebook, severity: str = "error") -> list[str]:
    return [problem.message for problem in book.problems if problem.severity == severity]


# files


def test_the_rules_stand_in_the_order_of_their_files(load: Load) -> None:
    book = load(zebra=GOOD, apple=GOOD.replace("Big", "Small"))
    assert [rule.file for rule in book.rules] == ["apple.yaml", "zebra.yaml"]


def test_a_rule_is_known_by_the_name_of_its_file_and_shown_by_its_name(load: Load) -> None:
    assert load(big_order=GOOD).by_id["big-order"].name == "Big order"


def test_a_rule_without_a_name_is_shown_by_the_name_of_its_file(load: Load) -> None:
    assert load(big_order=GOOD.replace("name: Big order\n", "")).rules[0].name == "big-order"


def test_only_yaml_files_beside_the_lists_are_rules(language: Language) -> None:
    texts = {
        "a.yaml": GOOD,
        "b.yml": GOOD,
        "README.md": "# hello",
        "old/c.yaml": BROKEN,
        "lists/vip.csv": "a@b.c\n",
    }
    book = Loader(language).load(texts)
    assert [rule.file for rule in book.rules] == ["a.yaml", "b.yml"]
    assert not messages(book)


def test_two_files_that_differ_only_in_their_ending_would_be_one_rule_and_are_refused(
    language: Language,
) -> None:
    book = Loader(language).load({"a.yaml": GOOD, "a.yml": GOOD})
    assert [rule.file for rule in book.rules] == ["a.yaml"]
    assert messages(book) == [
        "a.yaml is there already, and both would be the rule a. Give this file another name"
    ]


def test_a_broken_file_hurts_only_itself(load: Load) -> None:
    book = load(good=GOOD, broken=BROKEN)
    assert [rule.id for rule in book.rules] == ["good"]
    assert {problem.file for problem in book.problems if problem.severity == "error"} == {"broken.yaml"}


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_its_lines(load: Load) -> None:
    text = "when: order_complete\nif:\n  order.totl: at least two\ncolour: red\nthen:\n  - slak: {text: hi}\n"
    assert [problem.line for problem in load(text).problems] == [1, 3, 4, 6]


def test_a_file_of_other_bytes_than_utf_8_is_told_and_not_a_crash(language: Language) -> None:
    text = b"name: Caf\xe9\nwhen: order_completed\n".decode("utf-8", "surrogateescape") + THEN
    book = Loader(language).load({"a.yaml": text})
    assert not book.rules
    assert book.problems[0].line == 1


# the last good version


def test_the_last_good_version_of_a_broken_file_stays_in_force(language: Language) -> None:
    book = Loader(language).load({"a.yaml": BROKEN}, last_good={"a.yaml": GOOD})
    assert [rule.name for rule in book.rules] == ["Big order"]
    assert book.texts["a.yaml"] == GOOD
    assert book.older == {"a.yaml"}


def test_the_fault_of_the_newest_version_is_told_while_the_last_good_one_runs(language: Language) -> None:
    book = Loader(language).load({"a.yaml": BROKEN}, last_good={"a.yaml": GOOD})
    assert "the OMS has no event order_complete." in messages(book)[0]


def test_a_last_good_version_that_is_broken_by_now_does_not_run_either(language: Language) -> None:
    book = Loader(language).load({"a.yaml": BROKEN}, last_good={"a.yaml": BROKEN + "\n"})
    assert not book.rules
    assert not book.older


def test_a_file_that_was_removed_is_gone_although_a_good_version_is_remembered(language: Language) -> None:
    assert not Loader(language).load({}, last_good={"a.yaml": GOOD}).rules


def test_a_mended_file_is_no_longer_old(language: Language) -> None:
    loader = Loader(language)
    loader.load({"a.yaml": BROKEN}, last_good={"a.yaml": GOOD})
    mended = GOOD.replace("200", "300")
    book = loader.load({"a.yaml": mended}, last_good={"a.yaml": GOOD})
    assert book.texts["a.yaml"] == mended
    assert not book.older
    assert not book.problems


def test_only_files_that_changed_are_read_again(language: Language) -> None:
    loader = Loader(language)
    first = loader.load({"a.yaml": GOOD, "b.yaml": GOOD.replace("Big", "Small")})
    second = loader.load({"a.yaml": GOOD, "b.yaml": GOOD.replace("Big", "Tiny")})
    assert second.by_id["a"] is first.by_id["a"]
    assert second.by_id["b"] is not first.by_id["b"]


def test_a_rule_on_a_list_is_read_again_when_the_list_appears(language: Language) -> None:
    loader = Loader(language)
    text = f"when: order_completed\nif:\n  order.email: in list vip customers\n{THEN}"
    assert not loader.load({"a.yaml": text}).rules
    assert loader.load({"a.yaml": text, "lists/vip-customers.csv": "ana@example.com\n"}).rules


# the hash


@pytest.mark.parametrize(
    "changed",
    [
        {"a.yaml": GOOD.replace("200", "201"), "lists/vip.csv": "ana@example.com\n"},
        {"a.yaml": GOOD + "# finance asked for this\n", "lists/vip.csv": "ana@example.com\n"},
        {"b.yaml": GOOD, "lists/vip.csv": "ana@example.com\n"},
        {"a.yaml": GOOD, "lists/vip.csv": "bob@example.com\n"},
        {"a.yaml": GOOD, "lists/gold.csv": "ana@example.com\n"},
        {"a.yaml": GOOD, "b.yaml": GOOD, "lists/vip.csv": "ana@example.com\n"},
        {"a.yaml": GOOD},
    ],
    ids=["a rule", "a comment", "a file's name", "a list", "a list's name", "one more file", "one file less"],
)
def test_the_hash_changes_with_any_text(language: Language, changed: dict[str, str]) -> None:
    texts = {"a.yaml": GOOD, "lists/vip.csv": "ana@example.com\n"}
    assert Loader(language).load(changed).hash != Loader(language).load(texts).hash


def test_the_hash_is_the_same_for_the_same_texts_in_any_order(language: Language) -> None:
    texts = {"a.yaml": GOOD, "b.yaml": GOOD.replace("Big", "Small")}
    turned = dict(reversed(texts.items()))
    assert Loader(language).load(turned).hash == Loader(language).load(texts).hash


def test_the_hash_tells_two_texts_from_one_that_holds_both(language: Language) -> None:
    apart = Loader(language).load({"lists/a.csv": "1", "lists/b.csv": "2"})
    together = Loader(language).load({"lists/a.csv": "1\0lists/b.csv\0001\0002"})
    assert apart.hash != together.hash


@pytest.mark.parametrize(
    "shop", [Shop(timezone=ZoneInfo("Asia/Tokyo")), Shop(currency="EUR"), Shop(locale="de_DE")], ids=str
)
def test_the_hash_changes_with_the_shop_since_amounts_and_days_do(language: Language, shop: Shop) -> None:
    other = replace(language, shop=shop)
    assert Loader(other).load({"a.yaml": GOOD}).hash != Loader(language).load({"a.yaml": GOOD}).hash


def test_the_hash_names_what_is_in_force_and_not_a_broken_text(language: Language) -> None:
    good = Loader(language).load({"a.yaml": GOOD})
    broken = Loader(language).load({"a.yaml": BROKEN}, last_good={"a.yaml": GOOD})
    assert broken.hash == good.hash


def test_the_texts_of_a_rulebook_make_the_same_rulebook_again(language: Language) -> None:
    book = Loader(language).load({"a.yaml": BROKEN, "b.yaml": GOOD, "lists/v.csv": "1\n"}, {"a.yaml": GOOD})
    again = Loader(language).load(book.texts)
    assert again.hash == book.hash
    assert [rule.id for rule in again.rules] == ["a", "b"]


# settings


def test_two_rules_of_one_name_are_told_with_the_other_file(load: Load) -> None:
    book = load(one=GOOD, two=GOOD.replace("Big order", "big  order"))
    assert messages(book, "warning") == [
        'one.yaml has the same name, "big  order": people will not tell them apart'
    ]
    assert len(book.rules) == 2


@pytest.mark.parametrize("key", ["late events", "late_events", "Late-Events", "LATE EVENTS"])
def test_settings_are_read_in_any_spelling(load: Load, key: str) -> None:
    assert load(f"when: order_completed\n{key}: yes\n").rules[0].late_events


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        ("on", Mode.ON),
        ("off", Mode.OFF),
        ("test", Mode.TEST),
        ("yes", Mode.ON),
        ("no", Mode.OFF),
        ('"off"', Mode.OFF),
    ],
)
def test_a_mode_is_read_as_its_author_meant_it(load: Load, written: str, mode: Mode) -> None:
    assert load(f"when: order_completed\nmode: {written}\n").rules[0].mode is mode


def test_a_rule_without_a_mode_is_on(load: Load) -> None:
    assert load("when: order_completed\n").rules[0].mode is Mode.ON


@pytest.mark.parametrize(
    ("when", "events"),
    [
        ("order_completed", {"order_completed"}),
        ("Order Completed", {"order_completed"}),
        ("[order_completed, order_cancelled]", {"order_completed", "order_cancelled"}),
        ("order_*", {"order_completed", "order_cancelled"}),
        ("stock_item_*", {"stock_item_back_in_stock", "stock_item_out_of_stock"}),
    ],
)
def test_when_takes_a_name_a_list_or_a_pattern(load: Load, when: str, events: set[str]) -> None:
    assert load(f"when: {when}\n").rules[0].events == events


def test_a_pattern_may_name_every_event(load: Load, language: Language) -> None:
    assert load('when: "*"\n').rules[0].events == set(language.event_types)


# the examples of the language


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_example_of_the_language_loads_as_it_is_printed(language: Language, path: Path) -> None:
    texts = {path.name: path.read_text(), "lists/vip-customers.csv": "email\nmaya.lindqvist@example.com\n"}
    book = Loader(language).load(texts)
    assert not messages(book)
    assert [rule.file for rule in book.rules] == [path.name]


HELD = {"back-in-stock-waitlist": {"restock alert": 7}}


@pytest.mark.parametrize(
    "when", ["every weekday at 08:00", '{cron: "0 8 * * 1-5"}', "\n  every: day at 08:00"]
)
def test_a_rule_may_be_started_by_the_clock(load: Load, when: str) -> None:
    book = load(f"when: {when}\nover: {{event: order_completed, within: 1 day}}\n")
    assert not messages(book)
    assert [word.word() for word in book.rules[0].timing] == ["clock", "over"]


@pytest.mark.parametrize(
    "limit",
    [
        "1 per day",
        "1 per 6 hours for each order.channel",
        "3 times per week",
        "2 per 30 min for each order.email",
        "{count: 1, per: 6 hours}",
        "{count: 1, per: day, for each: order.email}",
    ],
)
def test_a_limit_may_be_written_in_words_or_in_parts(load: Load, limit: str) -> None:
    book = load(f"when: order_completed\nlimit: {limit}\n")
    assert not messages(book)
    assert [word.word() for word in book.rules[0].timing] == ["limit"]


@pytest.mark.parametrize(
    "limit", ["once an hour", "daily", "per day", "0 per day", "1 per blue moon", "{count: 1}", "{per: day}", "[1, day]",
              "{count: many, per: day}", "1 per day for each order total", "{count: 1, per: day, each: order.email}"]
)  # fmt: skip
def test_a_limit_that_is_none_is_a_fault_with_a_line_that_would_do(load: Load, limit: str) -> None:
    book = load(f"when: order_completed\nlimit: {limit}\n")
    assert not book.rules
    assert any("is not understood. Write `limit: 1 per " in message for message in messages(book))


def test_what_stands_under_a_misspelt_setting_is_read_as_if_it_were_the_right_one(load: Load) -> None:
    book = load("wehn: order_completed\ncondition:\n  order.totl: 5\nthen:\n  - slack: {text: hi}\n")
    assert [(problem.line, problem.message.split("`")[1]) for problem in book.problems] == [
        (1, "when"),
        (2, "if"),
        (3, "order.total"),
    ]


def test_a_list_that_goes_away_stays_in_force_while_rules_need_it(language: Language) -> None:
    rule = (
        "name: VIP\nwhen: order_completed\nif:\n  order.email: in list vip customers\n"
        "then:\n  - slack:\n      text: VIP\n"
    )
    loader = Loader(language)
    before = loader.load({"vip.yaml": rule, "lists/vip-customers.csv": "a@shop.example\n"})
    after = loader.load({"vip.yaml": rule}, before.texts)
    assert [one.id for one in after.rules] == ["vip"]
    assert after.lists == {"vip customers": frozenset({"a@shop.example"})}
    assert [(one.file, one.severity) for one in after.problems] == [("lists/vip-customers.csv", "error")]
    again = loader.load({"vip.yaml": rule}, after.texts)
    assert again.lists == after.lists


def test_a_list_that_no_rule_needs_goes_with_its_file(language: Language) -> None:
    rule = "name: All\nwhen: order_completed\nthen:\n  - slack:\n      text: hi\n"
    loader = Loader(language)
    before = loader.load({"all.yaml": rule, "lists/vip-customers.csv": "a@shop.example\n"})
    after = loader.load({"all.yaml": rule}, before.texts)
    assert not after.lists
    assert not after.problems
