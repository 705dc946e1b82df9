"""The words of a rule file: how keys are compared, near misses, lengths of time, values as they are written, grammar."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

RULE_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "name": "What people call the rule; left out, it is the name of the file.",
        "why": "One sentence on what the rule is for, shown beside what it did.",
        "mode": "`on` acts, `test` judges and shows but sends nothing, `off` rests; left out, it is on.",
        "when": "The event that starts the rule: a name, a list of names, a pattern such as order_*, or a clock time.",
        "over": "For a rule started by the clock: which events of the record it looks at, and how far back.",
        "if": "The conditions; every line must hold.",
        "unless": "The exceptions; the rule does not fire if any line holds.",
        "wait": "Act this much later, such as 2 hours.",
        "still if": "Conditions judged when the wait is over, on the newest state that is known.",
        "unless followed by": "Fire only if none of these events comes for the same object within the time.",
        "after": "Fire only from the N-th match in a time on, such as 3 within 1 hour for each order.email.",
        "once per": "Fire once for each value of this field, ever, such as order.number.",
        "limit": "Fire at most so often in a time, such as 1 per 6 hours for each order.email.",
        "digest": "Collect the matches and act once for all of them, such as every day at 08:00.",
        "quiet hours": "Hold what falls between these clock times, such as 21:00 to 08:00, then send.",
        "timezone": "The rule's own time zone, such as Europe/Paris; left out, the shop's.",
        "late events": "`yes` lets the rule act on events that came after newer ones of the same object.",
        "then": "The actions, each on its own line after a dash.",
        "tests": "Examples that `shopbell test` tries: an event given, and what is expected.",
    }
)
"""The settings of a rule in their one spelling and usual order, each with a sentence of help."""

OTHER_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "condition": "if",
        "conditions": "if",
        "where": "if",
        "filter": "if",
        "only if": "if",
        "on": "when",
        "event": "when",
        "events": "when",
        "trigger": "when",
        "do": "then",
        "action": "then",
        "actions": "then",
        "except": "unless",
        "exceptions": "unless",
        "if not": "unless",
        "title": "name",
        "description": "why",
        "reason": "why",
        "active": "mode",
        "enabled": "mode",
        "status": "mode",
        "throttle": "limit",
        "delay": "wait",
        "summary": "digest",
        "once": "once per",
        "time zone": "timezone",
        "example": "tests",
        "examples": "tests",
        "test": "tests",
    }
)
"""Words that people write for a setting of a rule, by normal key, with the setting that they mean."""

_UNITS: Mapping[str, timedelta] = {
    word: length
    for words, length in (
        ("s sec secs second seconds", timedelta(seconds=1)),
        ("min mins minute minutes", timedelta(minutes=1)),
        ("h hour hours", timedelta(hours=1)),
        ("d day days", timedelta(days=1)),
        ("w week weeks", timedelta(weeks=1)),
    )
    for word in words.split()
}
_DURATION = re.compile(r"\s*([0-9]{1,9})\s*([a-z]+)\s*", re.IGNORECASE)
_LONGEST = timedelta(days=36500)
_GAPS = re.compile(r"[\s_-]+")
_LONGEST_WORD = 80
_TRUTHS = frozenset({"", "~", "null", "true", "false", "yes", "no", "on", "off"})
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_SIGN_AT_START = re.compile(r"[,\[\]{}#&*!|>'\"%@`]|[-?:](?=\s|$)|(?:---|\.\.\.)(?=\s|$)")
_SIGN_INSIDE = re.compile(r":(?=\s|$)|\s#")
_SIGN_IN_LIST = re.compile(r"[,\[\]{}]|^[-?:]")
_CURLY: Mapping[str, str] = {"“": "”", "„": "“”", "”": "”", "«": "»", "‘": "’", "’": "’"}


def normal_key(text: str) -> str:
    """A key as keys are compared: without case, and with single blanks for any blanks, `_` and `-`."""
    return _GAPS.sub(" ", text).strip().casefold()


def nearest(word: str, known: Iterable[str], n: int = 1) -> list[str]:
    """The up to `n` words of `known` that `word` most likely means, the best first; empty if none is near.

    Case, blanks, `_` and `-` do not count; two letters swapped count as one slip. A word that only holds
    the other (`vip` for `vip customers`) comes after those with few slips.
    """
    wanted = _letters(word)
    ranked: list[tuple[int, int, str]] = []
    for place, candidate in enumerate(known):
        rank = _rank(wanted, _letters(candidate))
        if rank is not None:
            ranked.append((rank, place, candidate))
    return [candidate for _, _, candidate in sorted(ranked)[:n]]


def read_duration(text: str) -> timedelta | None:
    """A length of time as people write it (`48 hours`, `30 min`, `2 weeks`), None if it is none.

    Whole numbers of seconds (s, sec), minutes (min), hours (h), days and weeks, up to a hundred years.
    """
    match = _DURATION.fullmatch(text)
    unit = _UNITS.get(match[2].casefold()) if match else None
    if match is None or unit is None:
        return None
    length = int(match[1]) * unit.total_seconds()
    return timedelta(seconds=length) if length <= _LONGEST.total_seconds() else None


def write_value(text: str, *, inside: bool = False) -> str:
    """A text as a value that reads back as that very text, in quotes only where YAML or a truth word needs them.

    `inside` says that it stands in a `[ ]` or `{ }` list. Line ends and control characters are written as `\\n`, `\\u…`.
    """
    if text.strip() != text or text.casefold() in _TRUTHS or _ESCAPED.search(text):
        return quoted(text)
    if without_curly_quotes(text) is not None:
        return quoted(text)
    if _SIGN_AT_START.match(text) or _SIGN_INSIDE.search(text) or (inside and _SIGN_IN_LIST.search(text)):
        return quoted(text)
    return text


def quoted(text: str) -> str:
    """A text in quotes: those that need no change inside, if there are any."""
    if _ESCAPED.search(text) or ("'" in text and ('"' in text or "\\" in text)):
        return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
    return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'


def without_curly_quotes(text: str) -> str | None:
    """What stands between curly quotes that enclose a whole text, None where none do."""
    ends = _CURLY.get(text[:1])
    return text[1:-1] if ends and len(text) > 1 and text[-1] in ends else None


def listing(items: Iterable[str], word: str = "and") -> str:
    """Items as a sentence has them: `a, b and c` (or with another word before the last)."""
    names = list(items)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def plural(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 rule`, `1,940 rules`; `many` where the plural is not just an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _letters(word: str) -> str:
    return normal_key(word[:_LONGEST_WORD]).replace(" ", "")


def _rank(wanted: str, candidate: str) -> int | None:
    """How far two words are apart, None if too far for one to be meant by the other."""
    limit = max(1, min(len(wanted), len(candidate)) // 3)
    if _could_be_near(wanted, candidate, limit):
        slips = _slips(wanted, candidate)
        if slips <= limit:
            return slips
    if len(wanted) >= 3 and wanted in candidate:
        return _LONGEST_WORD + len(candidate)
    return None


def _could_be_near(one: str, other: str, limit: int) -> bool:
    """A cheap check first, since the exact one costs a table of letters by letters."""
    if not one or abs(len(one) - len(other)) > limit:
        return False
    ours, theirs = Counter(one), Counter(other)
    return max((ours - theirs).total(), (theirs - ours).total()) <= limit


def _slips(one: str, other: str) -> int:
    """How many letters were left out, put in, mistaken, or swapped with their neighbour."""
    older: Sequence[int] = ()
    last: Sequence[int] = range(len(other) + 1)
    for i, letter in enumerate(one):
        row = [i + 1]
        for j, wanted in enumerate(other):
            row.append(min(last[j] + (letter != wanted), last[j + 1] + 1, row[j] + 1))
            if i and j and letter == other[j - 1] and one[i - 1] == wanted:
                row[-1] = min(row[-1], older[j - 1] + 1)
        older, last = last, row
    return last[-1]
