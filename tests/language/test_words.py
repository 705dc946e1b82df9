"""The small words of the language: keys, near misses, lengths of time, lists in a sentence."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.words import (
    OTHER_WORDS,
    RULE_SETTINGS,
    listing,
    nearest,
    normal_key,
    plural,
    read_duration,
)

EVENTS = ["order_completed", "order_cancelled", "shipment_shipped", "stock_item_back_in_stock"]


@pytest.mark.parametrize(
    "text", ["unless followed by", "Unless_Followed_By", " unless-followed  by ", "unless\u00a0followed\tby"]
)
def test_keys_ignore_case_and_treat_blanks_underscores_and_dashes_alike(text: str) -> None:
    assert normal_key(text) == "unless followed by"


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("order_canceled", EVENTS, "order_cancelled"),
        ("order completed", EVENTS, "order_completed"),
        ("Order-Complete", EVENTS, "order_completed"),
        ("odrer_completed", EVENTS, "order_completed"),
        ("shipment_ship", EVENTS, "shipment_shipped"),
        ("back in stock", EVENTS, "stock_item_back_in_stock"),
        ("order.totl", ["order.number", "order.total", "order.item_total"], "order.total"),
        ("order.nmber", ["order.name", "order.number"], "order.number"),
        ("big-ordres", ["refunds", "big-orders"], "big-orders"),
        ("vip customer", ["vip customers", "wholesale accounts"], "vip customers"),
        ("vip", ["wholesale accounts", "vip customers"], "vip customers"),
        ("nmae", RULE_SETTINGS, "name"),
        ("wehn", RULE_SETTINGS, "when"),
        ("fi", RULE_SETTINGS, "if"),
        ("quiethours", RULE_SETTINGS, "quiet hours"),
        ("once_per", RULE_SETTINGS, "once per"),
    ],
)
def test_the_nearest_word_is_the_one_that_was_meant(word: str, known: list[str], meant: str) -> None:
    assert nearest(word, known) == [meant]


@pytest.mark.parametrize("word", ["", "xyz", "customer_created", "zzzzzzzzzzzz", "o"])
def test_a_word_that_is_like_no_other_gets_no_suggestion(word: str) -> None:
    assert nearest(word, EVENTS) == []


def test_several_near_words_come_with_the_nearest_first() -> None:
    assert nearest("order.total", ["order.totals", "order.total", "order.tota", "stock"], 2) == [
        "order.total",
        "order.totals",
    ]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("48 hours", timedelta(hours=48)),
        ("1 hour", timedelta(hours=1)),
        ("2h", timedelta(hours=2)),
        ("30 min", timedelta(minutes=30)),
        ("30 Minutes", timedelta(minutes=30)),
        ("5 mins", timedelta(minutes=5)),
        ("90 s", timedelta(seconds=90)),
        ("1 sec", timedelta(seconds=1)),
        (" 2 days ", timedelta(days=2)),
        ("20 weeks", timedelta(weeks=20)),
        ("0 seconds", timedelta(0)),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, length: timedelta) -> None:
    assert read_duration(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "once an hour", "2 business days", "1.5 hours", "1,5 hours", "-2 days", "2", "hours", "", "2 m", "2 months",
        "2 years", "2 ss", "2 hs", "999999999 weeks", "9" * 5000 + " s", "2 hours 5", "½ hour", "٣ hours",
    ],
)  # fmt: skip
def test_what_is_no_length_of_time_is_none(text: str) -> None:
    assert read_duration(text) is None


def test_a_list_in_a_sentence_has_its_word_before_the_last() -> None:
    assert listing([]) == ""
    assert listing(["a"]) == "a"
    assert listing(["a", "b"]) == "a and b"
    assert listing(iter(["a", "b", "c"]), "or") == "a, b or c"


def test_a_number_agrees_with_its_noun() -> None:
    assert plural(1, "rule") == "1 rule"
    assert plural(0, "rule") == "0 rules"
    assert plural(1940, "rule") == "1,940 rules"
    assert plural(2, "entry", "entries") == "2 entries"


def test_every_setting_is_spelled_as_its_own_normal_key_and_every_other_word_means_one() -> None:
    assert [normal_key(word) for word in RULE_SETTINGS] == list(RULE_SETTINGS)
    assert all(help.endswith(".") for help in RULE_SETTINGS.values())
    assert set(OTHER_WORDS.values()) <= set(RULE_SETTINGS)
    assert not set(OTHER_WORDS) & set(RULE_SETTINGS)


LETTERS = st.text("abcdelor_ -", max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(LETTERS, st.lists(LETTERS, max_size=6))
def test_what_is_near_is_always_one_of_the_known_words_and_a_known_word_is_nearest_to_itself(
    word: str, known: list[str]
) -> None:
    assert set(nearest(word, known, 3)) <= set(known)
    if normal_key(word):
        best = nearest(word, [*known, word])
        assert normal_key(best[0]).replace(" ", "") == normal_key(word).replace(" ", "")
