"""Each comparison means what its help says, in every spelling, and equality is one documented table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.condition import Leaf, equality_keys, read_conditions
from engine.language.conditions import phrases
from engine.language.conditions.operands import TEXT
from engine.language.document import read_document
from engine.language.operators import COMPARISONS, comparison
from engine.language.problem import Problems
from engine.language.scope import Scope, Shop
from engine.model import Answer

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
NEW_YORK = Shop(timezone=ZoneInfo("America/New_York"))
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LISTS = {"vip customers": frozenset({"ana@example.com", "bob@example.com"})}
ABSENT = object()


def leaf(line: str) -> Leaf:
    """The one comparison of a line of a rule, `field: …`."""
    problems = Problems("rule.yaml")
    document = read_document(f"if:\n  {line}\n", problems)
    assert document is not None
    (condition,) = read_conditions(document.entries[0].value, problems)
    assert not problems.broken, problems.found
    assert isinstance(condition, Leaf)
    return condition


def says(operand: str, value: object, field: str = "value", before: object = None) -> Answer:
    """What `o.field: operand` says when the field has this value."""
    parts = {} if value is ABSENT else {field: value}
    earlier = None if before is None else {"o": {} if before is ABSENT else {field: before}}
    scope = Scope({"o": parts}, NOON, NEW_YORK, earlier, LISTS)
    return leaf(f"o.{field}: {operand}").judge(scope).answer


# Equality.


@pytest.mark.parametrize(
    ("operand", "values", "others"),
    [
        ("USD", ["USD", "usd", " USD "], ["EUR", "", None, ABSENT, 1, [], {}]),
        ("Grüße", ["GRÜSSE", "grüße"], ["Gruse"]),
        ("10", [10, Decimal("10.0"), "10", "10.0", "10.00", "$10.00", "10 EUR", "¥10"], ["10,0", "1e1", "11", True, "010"]),
        ("10.0", ["10", "10.00", 10, "$10.00"], ["10.01"]),
        ("$10.00", ["10", "10.0", "$10.00", 10], ["-10", "($10.00)"]),
        ("1,234.5", ["1234.50", "$1,234.50"], ["1.234,50"]),
        ("3", [3, Decimal("3.0"), "3", "3.0"], ["03", "4"]),
        ('"007"', ["007", " 007"], ["7", 7, "0070"]),
        ("02134", ["02134"], ["2134", 2134, "1116"]),
        ("1e3", ["1e3", "1E3"], ["1000", 1000]),
        ("1_000", ["1_000"], ["1000"]),
        ("yes", [True, "yes", "YES"], [False, "true", "no", 1, "1"]),
        ("on", [True, "on"], [False, "yes"]),
        ("no", [False, "no", "NO"], [True, 0, "false", None]),
        ("true", [True, "true"], [False, "yes"]),
        ('"true"', ["true", "TRUE"], [True, False, "yes"]),
        ("2026-01-01", ["2026-01-01", "2026-01-01T10:00:00-05:00", "2026-01-02T04:59:59Z", "2026-01-01 23:59"],
         ["2026-01-02T05:00:00Z", "2025-12-31T23:00:00-05:00", "2026-01-02"]),
        ("vip", [["new", "VIP"], "vip"], [["new"], [], [None]]),
        ("[chord, app]", ["chord", "APP", ["web", "app"]], ["web", None, ABSENT]),
        ("one of chord, app", ["chord", "app"], ["web", "chord, app"]),
        ("[10, 20]", ["20.0", 10], ["30"]),
    ],
)  # fmt: skip
def test_equality_follows_its_table(operand: str, values: list[object], others: list[object]) -> None:
    assert [says(operand, value) for value in values] == [YES] * len(values)
    assert [says(operand, value) for value in others] == [NO] * len(others)


@pytest.mark.parametrize("field", ["sku", "number", "zipcode", "promotion_code", "stripe_user_id"])
def test_a_field_that_holds_codes_is_compared_as_it_was_typed(field: str) -> None:
    for typed, other in [("1.10", "1.1"), ("1.0e+3", "1000.0"), ("1116", "01116"), ("10", "$10.00")]:
        assert says(typed, typed, field) is YES
        assert says(typed, other, field) is NO
    assert says("4107", 4107, field) is YES
    assert says("is not 1.10", "1.1", field) is YES


def test_exactly_minds_case_and_blanks() -> None:
    assert says("exactly Ana", "Ana") is YES
    assert says("exactly Ana", "ana") is NO
    assert says("exactly Ana", "Ana ") is NO
    assert says('{exactly: "Ana "}', "Ana ") is YES
    assert says("exactly 10.0", Decimal("10.0")) is YES


def test_a_negative_word_means_none_of_them_and_is_true_of_a_missing_field() -> None:
    for value in ["retail", None, ABSENT, "", ["a", "b"], []]:
        assert says("is not wholesale", value) is YES
    assert says("is not wholesale", "Wholesale") is NO
    assert says("is not wholesale", ["retail", "wholesale"]) is NO
    assert says("not one of a, b", "c") is YES
    assert says("not one of a, b", ["c", "b"]) is NO
    assert says('"!= a"', "b") is YES


# Amounts.


@pytest.mark.parametrize(
    ("operand", "yes", "no"),
    [
        ("at least 20", ["100.0", "20.0", 20, "$20.00", "1,000"], ["9.5", "19.999", "-20", "($20.00)"]),
        ('">= 20"', ["20"], ["19.99"]),
        ('">=20"', ["20"], ["19.99"]),
        ("more than 20", ["20.01", 21], ["20.0", 20]),
        ('"> 20"', ["21"], ["20"]),
        ("at most 20", ["20", "-5"], ["20.01"]),
        ("less than 20", ["19.99"], ["20"]),
        ("< 20", ["19.99"], ["20"]),
        ("between 10 and 20", ["10", "20", 15], ["9.99", "20.01"]),
        ("{between: [10, 20]}", ["10"], ["21"]),
        ("between 10 to 20", ["10"], ["21"]),
        ("not between 10 and 20", ["9", None], ["15"]),
        ("{more than: 10}", ["11"], ["10"]),
        ("AT LEAST 20", ["20"], ["19"]),
        ("at_least 20", ["20"], ["19"]),
        ("is at least 20", ["20"], ["19"]),
    ],
)
def test_amounts_are_compared_as_amounts(operand: str, yes: list[object], no: list[object]) -> None:
    assert [says(operand, value) for value in yes] == [YES] * len(yes)
    assert [says(operand, value) for value in no] == [NO] * len(no)


def test_a_money_text_over_a_thousand_is_more_than_a_thousand() -> None:
    assert says("more than 1000", "$1,234.56") is YES


@pytest.mark.parametrize("value", ["N/A", "10,63", "1.234,56", True, {"amount": 5}, "1e3", "1" * 100])
def test_what_is_no_amount_could_not_be_told_and_is_never_zero(value: object) -> None:
    for operand in ("at least 5", "at most 5", "between 1 and 2", "not between 1 and 2"):
        assert says(operand, value) is UNKNOWN


@pytest.mark.parametrize("value", [None, ABSENT, "", "  ", [], {}])
def test_every_ordering_of_a_missing_value_is_no(value: object) -> None:
    for operand in (
        "at least 0",
        "at most 5",
        "less than 5",
        "before 2030-01-01",
        "older than 1 day",
        "contains a",
        "on a weekend",
    ):
        assert says(operand, value) is NO


def test_several_values_need_only_one_that_holds() -> None:
    assert says("at least 5", ["1", "7"]) is YES
    assert says("at least 5", ["1", "N/A", "7"]) is YES
    assert says("at least 5", ["1", "N/A"]) is UNKNOWN
    assert says("at least 5", ["1", None]) is NO


# Texts.


@pytest.mark.parametrize(
    ("operand", "yes", "no"),
    [
        ("contains blue", ["Mug, Blue", "BLUE"], ["red", None, ABSENT]),
        ("contains 17", [4175], [4200]),
        ("does not contain blue", ["red", None, ABSENT], ["Blue mug"]),
        ("starts with product-1", ["product-1-large-blue|product-2", "PRODUCT-10"], ["a product-1"]),
        ("does not start with a", ["b", ABSENT], ["Ab"]),
        ("ends with @example.com", ["Ana@Example.com", "b@example.com "], ["ana@example.org"]),
        ("does not end with x", ["y"], ["aX"]),
        ("matches product-*", ["product-1", "Product-"], ["a-product-1", None]),
        ("matches p?t", ["pat", "PET"], ["part", "pt"]),
        ("matches a.b*", ["a.b", "a.bc\nd"], ["axb"]),
        ("does not match p*", ["mug", ABSENT], ["pan"]),
        ("matches regex ^ana@", ["Ana@x"], ["diana@x"]),
        ("matches regex [0-9]{3}", ["no 123"], ["no 12"]),
        ("matches regex (?-i)^Ana", ["Ana"], ["ana"]),
        ("does not match regex ^a", ["b", ABSENT], ["A"]),
        ("has part product-1", ["product-1|x", "x|Product-1 ", "product-1"], ["product-10|x", "product-1-large-blue|product-2", None]),
        ("has no part a", ["b|c"], ["a|b"]),
        ("[contains, x]", ["contains"], ["contains it"]),
        ("{starts with: [a, b]}", ["ax", "bx"], ["cx"]),
        ('is "wholesale"', ["wholesale"], ['"wholesale"']),
        ('starts with "ab "', ["AB c"], ["c"]),
        ("in list vip customers", ["Ana@example.com ", "bob@example.com"], ["eve@example.com", None, ABSENT]),
        ("in list VIP_Customers", ["ana@example.com"], []),
        ("not in list vip customers", ["eve@example.com", None], ["ana@example.com"]),
    ],
)  # fmt: skip
def test_texts_are_compared_without_case_and_outer_blanks(
    operand: str, yes: list[object], no: list[object]
) -> None:
    assert [says(operand, value) for value in yes] == [YES] * len(yes)
    assert [says(operand, value) for value in no] == [NO] * len(no)


def test_a_list_that_is_not_there_could_not_be_told() -> None:
    assert says("in list vips", "ana@example.com") is UNKNOWN
    assert says("not in list vips", "ana@example.com") is UNKNOWN


def test_an_object_is_no_text() -> None:
    assert says("contains a", {"a": 1}) is UNKNOWN


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "([a-z]+)*x", "(.*a){20}", "(x+x+)+y", "^(a?){30}a{30}$"]
)
def test_an_evil_pattern_takes_no_time(pattern: str) -> None:
    started = time.perf_counter()
    says(f"matches regex {pattern}", "a" * 5000 + "!")
    says(f"matches {'*a' * 30}", "a" * 5000 + "!")
    assert time.perf_counter() - started < 1


def test_half_a_character_in_a_payload_breaks_no_pattern() -> None:
    assert says("matches regex b$", "\ud800b") is YES
    assert says("matches *b", "\ud800b") is YES


# Presence.


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ABSENT, "missing, is absent"),
        (None, "missing, exists, is null"),
        ("", "missing, exists, is empty"),
        (" ", "missing, exists, is empty"),
        ([], "missing, exists, is empty"),
        ({}, "missing, exists, is empty"),
        (0, "present, exists"),
        ("0.0", "present, exists"),
        (False, "present, exists"),
        ("1Z9", "present, exists"),
        ([None], "present, exists"),
    ],
)
def test_present_and_missing_are_for_people_and_three_exact_tests_for_developers(
    value: object, words: str
) -> None:
    tests = ["present", "missing", "exists", "is absent", "is null", "is empty"]
    assert ", ".join(test for test in tests if says(test, value) is YES) == words


def test_what_is_written_for_missing_and_present_means_it() -> None:
    for word in ("missing", "is missing", "not present", "{present: no}", "{missing: yes}", "{missing: }"):
        assert says(word, None) is YES, word
        assert says(word, "x") is NO, word
    for word in ("present", "is present", "is not empty", "not missing", "is not missing", "{present: yes}"):
        assert says(word, None) is NO, word
        assert says(word, "x") is YES, word


# Times: it is noon in Greenwich, a Wednesday.


@pytest.mark.parametrize(
    ("operand", "yes", "no"),
    [
        ("within last 2 hours", ["2026-11-25T10:00:00Z", "2026-11-25T05:30:00", "2026-11-25T12:04:00Z"],
         ["2026-11-25T09:59:59Z", "2026-11-25T04:00:00", "2026-11-26T12:00:00Z"]),
        ("within the last 30 min", ["2026-11-25T11:45:00Z"], ["2026-11-25T11:15:00Z"]),
        ("older than 48 hours", ["2026-11-23T11:59:59Z"], ["2026-11-23T12:00:00Z", "2026-11-25T11:00:00Z"]),
        ("before 2021-10-05T15:00:00Z",
         ["2021-10-05T10:44:38.312-04:00", "2021-10-05T10:44:38", "2021-10-05T14:44:38Z", "2021-10-05"],
         ["2021-10-05T11:00:00", "2021-10-05T15:00:00Z", None, ABSENT]),
        ("before 2026-12-24", ["2026-12-24T04:59:59Z", "2026-12-23"], ["2026-12-24T05:00:00Z", "2026-12-24"]),
        ("after 2026-12-24", ["2026-12-25T05:00:00Z", "2026-12-25"], ["2026-12-24T23:00:00-05:00", "2026-12-24"]),
        ("after 2026-12-24 18:00", ["2026-12-24T18:00:01", "2026-12-24T23:00:01Z"], ["2026-12-24T23:00:00Z"]),
        ("on a weekend", ["2026-11-28T12:00:00Z", "2026-11-29", "2026-11-30T04:59:00Z"], ["2026-11-27T12:00:00Z", "2026-11-28T04:59:00Z"]),
        ("on a weekday", ["2026-11-27", "2026-11-28T04:59:00Z"], ["2026-11-28", None]),
        ("on weekends", ["2026-11-28"], ["2026-11-27"]),
    ],
)  # fmt: skip
def test_times_are_compared_in_the_shops_zone(operand: str, yes: list[object], no: list[object]) -> None:
    assert [says(operand, value) for value in yes] == [YES] * len(yes)
    assert [says(operand, value) for value in no] == [NO] * len(no)


@pytest.mark.parametrize("value", ["soon", 1633444478, True, "10:44", "2021-02-30"])
def test_what_is_no_time_could_not_be_told(value: object) -> None:
    for operand in ("before 2030-01-01", "within last 1 day", "on a weekend"):
        assert says(operand, value) is UNKNOWN


# Changes.


@pytest.mark.parametrize(
    ("operand", "now", "before", "answer"),
    [
        ("changed", "b", "a", YES),
        ("changed", "A ", "a", NO),
        ("changed", "10.0", 10, NO),
        ("changed", "01", "1", YES),
        ("changed", None, "", NO),
        ("changed", None, "a", YES),
        ("changed", "a", ABSENT, YES),
        ("changed", ["a", "b"], ["a"], YES),
        ("not changed", "a", "a", YES),
        ("changed to failure", "failure", "in_transit", YES),
        ("changed to failure", "failure", "failure", NO),
        ("changed to failure", "in_transit", "failure", NO),
        ("changed to failure", "failure", ABSENT, YES),
        ("{changed to: [failure, error]}", "error", "failure", YES),
        ("{changed to: [failure, error]}", "ok", "failure", NO),
        ("changed from a", "b", "a", YES),
        ("changed from a", "a", "a", NO),
        ("changed from a", "b", "c", NO),
        ("changed from a", None, "a", YES),
    ],
)
def test_a_change_is_told_from_the_last_payload_of_the_same_object(
    operand: str, now: object, before: object, answer: Answer
) -> None:
    assert says(operand, now, before=before) is answer


def test_an_object_seen_for_the_first_time_became_what_it_is_but_did_not_change() -> None:
    assert says("changed to failure", "failure") is YES
    assert says("changed to failure", "ok") is NO
    assert says("changed", "failure") is NO
    assert says("changed from ok", "failure") is NO


def test_nothing_changed_on_an_event_that_came_late() -> None:
    scope = Scope({"o": {"value": "b"}, "event": {"late": True}}, NOON, before={"o": {"value": "a"}})
    for operand in ("changed", "changed to b", "changed from a"):
        verdict = leaf(f"o.value: {operand}").judge(scope)
        assert verdict.answer is NO
        assert "late" in verdict.because


def test_what_is_joined_to_an_event_has_no_earlier_state() -> None:
    scope = Scope({"o": {}, "joined": {"state": "b"}}, NOON, before={"o": {}})
    assert leaf("joined.state: changed").judge(scope).answer is NO


def test_only_changes_need_the_earlier_payload() -> None:
    assert leaf("o.value: changed to x").needs_before
    assert not leaf("o.value: x").needs_before


# The vocabulary.


def test_every_comparison_has_help_and_no_two_share_a_spelling() -> None:
    spellings = [word for one in COMPARISONS.values() for word in (*one.words, *one.negative)]
    assert len(spellings) == len(set(spellings))
    assert all(one.help.endswith(".") or one.help.endswith("`") for one in COMPARISONS.values())
    tried = [word for one in COMPARISONS.values() for word in (*one.tried, *one.tried_negative)]
    assert len(tried) == len(set(tried))


@pytest.fixture
def rhymes_with() -> Iterator[None]:
    caches = (phrases._spellings, phrases._words, phrases._attempts, phrases._attempts_like)

    @comparison("rhymes with", operand=TEXT, negative=("does not rhyme with",))
    def rhymes_with(found: str, wanted: str, scope: Scope) -> bool:
        """The text ends like this."""
        return found[-3:] == wanted[-3:]

    for cache in caches:
        cache.cache_clear()
    yield
    del COMPARISONS["rhymes with"]
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("rhymes_with")
def test_a_new_comparison_is_one_function_and_nothing_else() -> None:
    assert says("rhymes with bell", "Shell") is YES
    assert says("does not rhyme with bell", "Shop") is YES
    assert says("{rhymes with: bell}", "well") is YES


# The index.

texts = st.sampled_from(
    [
        "10",
        "10.0",
        "$10.00",
        "1.10",
        "007",
        "7",
        "yes",
        "no",
        "true",
        "",
        " ",
        "USD",
        "usd",
        "1e3",
        "10,5",
        "2026-01-01",
        "a, b",
    ]
)
values = st.recursive(
    texts
    | st.none()
    | st.booleans()
    | st.integers(0, 12)
    | st.decimals(allow_nan=False, allow_infinity=False, places=1, min_value=0, max_value=12)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner, max_size=1),
    max_leaves=4,
)


@given(
    st.lists(texts.filter(str.strip), min_size=1, max_size=2),
    values,
    st.sampled_from(["value", "sku"]),
    st.booleans(),
)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_values_that_share_no_key_with_an_equality_are_certainly_not_equal(
    operands: list[str], value: Any, field: str, quoted: bool
) -> None:
    plain: Callable[[str], str] = lambda text: f"'{text}'" if quoted else text  # noqa: E731
    condition = leaf(
        f"o.{field}: {{is: [{', '.join(plain(one) for one in operands if ',' not in one) or 'x'}]}}"
    )
    answer = condition.judge(Scope({"o": {field: value}}, NOON, NEW_YORK)).answer
    equality = condition.equality()
    if equality is None:
        return
    path, keys = equality
    found = path.find({"o": {field: value}})
    shared = any(equality_keys(one) & keys for one in found)
    assert answer in (YES, NO)
    assert shared or answer is NO
