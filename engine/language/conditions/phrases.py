"""Which comparison the words of a rule say, and which one a misspelt one was meant for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from engine.language.conditions.operands import AmountOperand, MomentOperand
from engine.language.operators import COMPARISONS, Comparison
from engine.language.words import nearest, normal_key


@dataclass(frozen=True, slots=True)
class Said:
    """A comparison that a text begins with, whether its opposite is said, and where the operand begins."""

    comparison: Comparison
    negated: bool
    end: int


_SYMBOLS: Final = re.compile(r"(>=|<=|!=|<>|==|=|>|<|≥|≤|≠)\s*")
_COPULA: Final = re.compile(r"(?:is|are|was|were)[\s_-]+", re.IGNORECASE)
_AMOUNT_AHEAD: Final = re.compile(r"[-+(]?[^\w\s]?[0-9]")


@cache
def _spellings() -> Mapping[str, tuple[Comparison, bool]]:
    """Every spelling, as a normal key, with its comparison and whether it says the opposite."""
    spellings: dict[str, tuple[Comparison, bool]] = {}
    for one in COMPARISONS.values():
        spellings.update((normal_key(word), (one, False)) for word in one.words)
        spellings.update((normal_key(word), (one, True)) for word in one.negative)
    return spellings


@cache
def _words() -> re.Pattern[str]:
    worded = sorted((key for key in _spellings() if key[0].isalpha()), key=len, reverse=True)
    return re.compile(
        "(" + "|".join(re.escape(key).replace(r"\ ", r"[\s_-]+") for key in worded) + r")(?=\s|$)",
        re.IGNORECASE,
    )


def comparison_called(word: str) -> tuple[Comparison, bool] | None:
    """The comparison of exactly this word, and whether the word says its opposite."""
    key = normal_key(word)
    bare = _COPULA.sub("", key, count=1)
    return _spellings().get(key) or _spellings().get(bare) or _spellings().get(word.strip())


def comparison_said(text: str) -> Said | None:
    """The comparison that a text begins with, None where it is a plain value."""
    symbol = _SYMBOLS.match(text)
    if symbol:
        found, negated = _spellings()[symbol[1]]
        return Said(found, negated, symbol.end())
    copula = _COPULA.match(text)
    return (copula and _said_at(text, copula.end())) or _said_at(text, 0)


def _said_at(text: str, start: int) -> Said | None:
    match = _words().match(text, start)
    if match is None:
        return None
    found, negated = _spellings()[normal_key(match[1])]
    if found.takes_nothing and text[match.end() :].strip():
        return None
    return Said(found, negated, match.end())


def comparison_meant(text: str) -> str | None:
    """The text with the comparison that its author probably meant, None where it reads as a plain value."""
    words = text.split()
    for length in range(min(4, len(words)), 0, -1):
        head, rest = "".join(words[:length]).casefold(), " ".join(words[length:])
        for attempt in _attempts_like(head[0], head[-1], not rest):
            if attempt.is_meant(head, rest):
                return f"{attempt.comparison.said(attempt.negated)} {rest}".strip()
    return _opposite_meant(text) if len(words) > 1 and words[0].casefold() == "not" else None


def _opposite_meant(text: str) -> str:
    rest = text[3:].strip()
    return f"is not {rest}" if comparison_said(rest) is None else f"not: {{…: {rest}}}"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A way in which people write a comparison: one of its spellings, or a word that is not taken."""

    word: str
    letters: str
    comparison: Comparison
    negated: bool
    taken: bool

    def is_meant(self, head: str, rest: str) -> bool:
        """Whether first words that say no comparison were probably meant as this."""
        near = head == self.letters or (len(head) >= 5 and _one_slip(head, self.letters))
        if not near:
            return False
        if self.comparison.takes_nothing:
            return len(head) >= 5
        of_amounts = isinstance(self.comparison.operand, AmountOperand | MomentOperand)
        return not of_amounts or (self.taken and head == self.letters) or bool(_AMOUNT_AHEAD.match(rest))


@lru_cache(maxsize=4096)
def _attempts_like(first: str, last: str, alone: bool) -> tuple[_Attempt, ...]:
    """The attempts that one slip could make of a word with these letters at its ends, alone or with a text after it."""
    return tuple(
        attempt
        for attempt in _attempts()
        if attempt.comparison.takes_nothing is alone
        and (attempt.letters[0] == first or attempt.letters[-1] == last)
    )


@cache
def _attempts() -> tuple[_Attempt, ...]:
    taken = [(word, one, negated, True) for word, (one, negated) in _spellings().items() if word[0].isalpha()]
    tried = [(word, one, False, False) for one in COMPARISONS.values() for word in one.tried]
    tried += [(word, one, True, False) for one in COMPARISONS.values() for word in one.tried_negative]
    return tuple(
        _Attempt(word, word.replace(" ", ""), one, negated, is_taken)
        for word, one, negated, is_taken in taken + tried
        if len(word) > 2
    )


def _one_slip(one: str, other: str) -> bool:
    """Whether two words differ by one letter left out, put in or mistaken, or by two neighbours swapped."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return (len(one) <= 1 and len(other) <= 1) or (len(one) == 2 and one == other[::-1])


def nearest_word(word: str) -> str | None:
    """The comparison whose word is nearest to one that is none."""
    attempts = {attempt.word: attempt for attempt in _attempts()}
    key = normal_key(word)
    near = [key] if key in attempts else nearest(word, attempts)
    return attempts[near[0]].comparison.said(attempts[near[0]].negated) if near else None
