"""Amounts are read as shops write them, and never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.amount import Amount, money_in_words, read_amount


@pytest.mark.parametrize(
    ("written", "number", "currency"),
    [
        (3, "3", ""),
        (Decimal("10.630"), "10.630", ""),
        ("10.63", "10.63", ""),
        ("  10.63 ", "10.63", ""),
        ("0.0", "0.0", ""),
        ("007", "7", ""),
        (".5", "0.5", ""),
        ("$10.00", "10.00", ""),
        ("$1,234.50", "1234.50", ""),
        ("1,000", "1000", ""),
        ("1 234 567.5", "1234567.5", ""),
        ("1\u202f234.50 €", "1234.50", "EUR"),
        ("-$5.00", "-5.00", ""),
        ("$-5.00", "-5.00", ""),
        ("\u2212$5.00", "-5.00", ""),
        ("+5", "5", ""),
        ("($5.00)", "-5.00", ""),
        ("10 EUR", "10", "EUR"),
        ("EUR 10", "10", "EUR"),
        ("200 usd", "200", "USD"),
        ("US$200", "200", "USD"),
        ("$200.00 USD", "200.00", "USD"),
        ("$ 200 CAD", "200", "CAD"),
        ("¥5,400", "5400", "JPY"),
        ("£3", "3", "GBP"),
        ("(3.50 EUR)", "-3.50", "EUR"),
        ("25 kr", "25", ""),
        ("200$", "200", ""),
        ("200 $ USD", "200", "USD"),
        ("200€ EUR", "200", "EUR"),
    ],
)
def test_an_amount_is_read_exactly_whatever_sign_commas_or_brackets_it_wears(
    written: object, number: str, currency: str
) -> None:
    amount = read_amount(written)
    assert amount is not None
    assert str(amount.value) == number
    assert amount.currency == currency


@pytest.mark.parametrize(
    "written",
    [
        "10,63", "1.234,56", "1.234.567", "0,500", "1,23", "12,34,567", "1,234,56", "abc", "", " ", "-", "$", "EUR", "()",
        "($5", "(-5)", "--5", "-$-5", "1e3", "1_000", "0x10", "10 20", "10 apples", "10 abc", "5.", "N/A", "NaN", "Infinity",
        "٣", "10 EUR USD", "€10 USD", "10%", "1" * 81, None, True, False, [], {}, ["5"], {"amount": 5},
        Decimal("NaN"), Decimal("Infinity"), float("nan"),
    ],
)  # fmt: skip
def test_what_is_no_amount_or_could_be_two_is_refused_rather_than_guessed(written: object) -> None:
    assert read_amount(written) is None


def test_a_whole_number_of_any_size_stays_exact() -> None:
    assert read_amount(10**60 + 1) == Amount(Decimal(10**60 + 1))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_every_way_to_write_one_amount_reads_the_same(number: Decimal) -> None:
    written = [number, str(number), f"{number:,.2f}", f"{number:,.2f} USD", f"${number:.2f}"]
    if number < 0:
        written.append(f"(${-number:,.2f})")
    read = [read_amount(text) for text in written]
    assert [amount and amount.value for amount in read] == [number] * len(read)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_text_makes_reading_an_amount_fail(text: str) -> None:
    amount = read_amount(text)
    assert amount is None or amount.value.is_finite()


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("150 euros", "150 EUR"),
        ("1,200.50 Euro", "1,200.50 EUR"),
        ("$20 dollars", "20 USD"),
        ("5 canadian  dollars", None),
        ("5 Canadian dollars", "5 CAD"),
        ("5 pounds", "5 GBP"),
        ("200 items", None),
        ("10,63 euro", None),
        ("euros", None),
    ],
)
def test_an_amount_with_the_name_of_its_currency_is_known_for_a_hint(written: str, right: str | None) -> None:
    assert read_amount(written) is None
    assert money_in_words(written) == right
