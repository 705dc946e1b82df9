"""Amounts as shops write them, read into exact decimals: `10.63`, `"$1,234.50"`, `"($5.00)"`, `"10 EUR"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

LONGEST: Final = 80
"""No amount is written with more letters than this; longer texts are no amounts."""

_ISO_CODES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ
GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR
LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN
PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
_CODES: Final = frozenset(_ISO_CODES.split())

# A sign that several currencies share names none of them.
_SIGNS: Final = {
    "$": "", "US$": "USD", "CA$": "CAD", "C$": "CAD", "AU$": "AUD", "A$": "AUD", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD", "MX$": "MXN", "R$": "BRL", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "JPY", "JP¥": "JPY",
    "CN¥": "CNY", "元": "CNY", "₹": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₫": "VND", "₪": "ILS",
    "฿": "THB", "₱": "PHP", "₦": "NGN", "KR": "", "ZŁ": "PLN", "KČ": "CZK",
}  # fmt: skip

_SPACE: Final = r"[ \u00a0\u2009\u202f]"
_FORM: Final = re.compile(
    rf"(?P<minus>[-\u2212+]?){_SPACE}?(?P<before>[^\s\d.,()+\u2212-]{{0,4}}){_SPACE}?(?P<inner>[-\u2212+]?)"
    rf"(?P<whole>[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+|[1-9][0-9]{{0,2}}(?:{_SPACE}[0-9]{{3}})+|[0-9]+|(?=\.[0-9]))"
    rf"(?P<part>\.[0-9]+)?"
    rf"{_SPACE}?(?P<after>[^\s\d.,()+\u2212-]{{0,4}})(?:{_SPACE}(?P<code>[A-Za-z]{{3}}))?"
)
_THOUSANDS: Final = re.compile(rf",|{_SPACE}")
_MINUS: Final = ("-", "\u2212")


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact number and its ISO currency code, "" where none is named (`$` alone names none)."""

    value: Decimal
    currency: str = ""


def read_amount(value: object) -> Amount | None:
    """The amount in a payload's or an author's value, or None where it holds none.

    Takes whole numbers, decimals and texts: a currency sign or code before or after, commas or blanks between
    groups of three, a sign, or brackets for minus. `10,63` and `1.234,56` are refused rather than guessed,
    as are truth values, exponents (`1e3`) and empty texts.
    """
    if isinstance(value, str):
        return _read_text(value) if len(value) <= LONGEST else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Amount(Decimal(value))
    if isinstance(value, float):
        value = Decimal(repr(value))
    return Amount(value) if isinstance(value, Decimal) and value.is_finite() else None


@lru_cache(maxsize=4096)  # an event's few amounts are read by every rule that compares them
def _read_text(text: str) -> Amount | None:
    text = text.strip()
    if not text:
        return None
    bracketed = text[0] == "(" and text[-1] == ")"
    match = _FORM.fullmatch(text[1:-1] if bracketed else text)
    if match is None:
        return None
    currency = _currency(match["before"], match["after"], match["code"] or "")
    signs = match["minus"] + match["inner"]
    if currency is None or len(signs) + bracketed > 1:
        return None
    number = Decimal(_THOUSANDS.sub("", match["whole"]) + (match["part"] or ""))
    return Amount(number.copy_negate() if bracketed or signs in _MINUS else number, currency)


def _currency(*words: str) -> str | None:
    """The code that signs and codes beside a number name: "" for none, None where one is not understood."""
    named = {code for word in words if word and (code := _code(word)) != ""}
    if None in named or len(named) > 1:
        return None
    return named.pop() if named else ""


_NAMES: Final = {
    "dollar": "USD", "buck": "USD", "us dollar": "USD", "american dollar": "USD", "canadian dollar": "CAD",
    "australian dollar": "AUD", "euro": "EUR", "pound": "GBP", "pound sterling": "GBP", "british pound": "GBP",
    "yen": "JPY", "swiss franc": "CHF", "franc": "CHF", "rupee": "INR", "zloty": "PLN",
}  # fmt: skip
_WORDED: Final = re.compile(r"(?P<number>\S*\d)[ \u00a0]*(?P<name>[a-z]+(?: [a-z]+)?)", re.IGNORECASE)


def money_in_words(text: str) -> str | None:
    """An amount with its currency's code where a text has the name of one (`150 euros` is `150 EUR`), else None."""
    found = _WORDED.fullmatch(text.strip()) if len(text) <= LONGEST else None
    name = " ".join(found["name"].casefold().split()) if found else ""
    code = (
        _NAMES.get(name) or _NAMES.get(name.removesuffix("s")) or _NAMES.get(name.replace("pounds", "pound"))
    )
    if found is None or code is None or read_amount(found["number"]) is None:
        return None
    return f"{found['number'].lstrip('$€£¥')} {code}"


def _code(word: str) -> str | None:
    word = word.upper()
    return word if word in _CODES else _SIGNS.get(word)
