"""Regular expressions that cannot hang: every pattern an author or a payload brings runs through RE2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import re2

LONGEST: Final = 1000
"""The most letters a pattern may have."""

_LOOKAROUND: Final = ("(?=", "(?!", "(?<=", "(?<!")


class PatternError(ValueError):
    """A pattern that cannot be read; its text says why in plain words."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. Its time grows with the length of the text and with nothing else."""

    source: str
    compiled: Any

    def search(self, text: str) -> bool:
        """Whether the pattern is found anywhere in the text."""
        try:
            return self.compiled.search(text) is not None
        except UnicodeEncodeError:
            return self.compiled.search(_encodable(text)) is not None

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern describes the whole text."""
        try:
            return self.compiled.fullmatch(text) is not None
        except UnicodeEncodeError:
            return self.compiled.fullmatch(_encodable(text)) is not None


@lru_cache(maxsize=1024)
def compile_pattern(source: str, *, ignore_case: bool = False) -> Pattern:
    """Compile a regular expression in RE2's syntax. Raises `PatternError`."""
    if len(source) > LONGEST:
        raise PatternError(f"the pattern is longer than {LONGEST:,} letters")
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    try:
        return Pattern(source, re2.compile(_encodable(source), options))
    except re2.error as error:
        raise PatternError(_reason(source, str(error.args[0], "utf-8", "replace"))) from None


def compile_wildcards(source: str) -> Pattern:
    """Compile a text in which `*` stands for any letters and `?` for exactly one; case does not count."""
    parts = {"*": ".*", "?": "."}
    return compile_pattern("(?s)" + "".join(parts.get(c) or re2.escape(c) for c in source), ignore_case=True)


def compile_iregexp(source: str) -> Pattern:
    """Compile a pattern of JSONPath's `match` and `search`, whose dot stands for all but CR and LF (RFC 9485)."""
    return compile_pattern(_spell_out_dots(source))


def _spell_out_dots(source: str) -> str:
    parts: list[str] = []
    escaped = in_class = False
    for letter in source:
        plain = not escaped and not in_class
        parts.append(r"[^\n\r]" if letter == "." and plain else letter)
        if not escaped and letter in "[]":
            in_class = letter == "["
        escaped = letter == "\\" and not escaped
    return "".join(parts)


def _reason(source: str, detail: str) -> str:
    """What is wrong with a pattern, for a person."""
    if any(sign in source for sign in _LOOKAROUND):
        return (
            "it looks ahead or behind with (?=, (?!, (?<= or (?<!, which this product's patterns do not have"
        )
    reasons = {
        "missing )": "a closing ) is missing",
        "unexpected )": "there is a ) without its (",
        "missing ]": "a closing ] is missing",
        "no argument for repetition": "there is nothing before a *, + or ? for it to repeat",
        "bad repetition": "two of *, + and ? follow each other",
        "invalid repetition size": "a repetition such as {1000} is too large",
        "pattern too large": "a repetition such as {1000} is too large",
        "trailing \\": "it ends with a single \\",
        "invalid escape sequence": "a \\ stands before a letter or digit it does not go with",
        "invalid character class range": "a range such as [z-a] is the wrong way round, or a class such as \\p{…} is not known",
    }
    return next((words for sign, words in reasons.items() if sign in detail), detail)


def _encodable(text: str) -> str:
    """The text with half characters (lone surrogates), which RE2 cannot take, replaced."""
    return text.encode("utf-8", "replace").decode()
