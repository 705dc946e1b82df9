"""A person's texts, found and taken out of what is kept, in whatever way they are written there.

Pure: bytes go in, and come out with a mark in the place of what named the person. JSON stays JSON.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import re2

MARK = "[erased]"
"""What stands where a person's text stood."""

SHORTEST = 3
"""Letters of a name or a street at least: what is shorter is looked for in its own field only, not in running text."""

TOGETHER = 50
"""Texts looked for at once."""

MOST_MEMORY = 64 * 1024 * 1024
"""Bytes that looking for all texts of a person at once may take."""

MOST_UNPACKED = 4 * 1024 * 1024
"""Bytes to which a packed body is unpacked to look into it."""


class Traces:
    """What names one person: e-mail addresses, and other texts (a name, a street) that stand beside them.

    Looked for without regard to case, as they are and as JSON, addresses of pages, HTML and mails write them.
    """

    def __init__(self, addresses: Iterable[str], others: Iterable[str] = ()) -> None:
        wanted = [_address(one) for one in sorted({one.strip() for one in addresses}) if one]
        # The longest first: a full name before its parts.
        longest = sorted({one.strip() for one in others if _tells(one)}, key=len, reverse=True)
        names = [_text(one) for one in longest]
        self._sought = [
            *(_Sought(some, address=True) for some in _parts(wanted)),
            *(_Sought(some, address=False) for some in _parts(names)),
        ]

    def among(self, data: bytes) -> bool:
        """Whether any of them is in the data."""
        return self._seen(data) or any(self._seen(other) for other in _disguised(data))

    def _seen(self, data: bytes) -> bool:
        return any(sought.within(data) for sought in self._sought)

    def wiped(self, data: bytes, fields: Collection[str] = ()) -> bytes | None:
        """The data without them; None where it holds none. In JSON the values of `fields` go with them, whatever they are."""
        text = _decoded(data)
        found = self._wiped_json(text, fields) if _is_json(data) else self.wiped_text(text)
        if found is not None:
            return found.encode("utf-8", "surrogateescape")
        return MARK.encode() if any(self._seen(other) for other in _disguised(data)) else None

    def wiped_text(self, text: str) -> str | None:
        """The text without them; None where it holds none."""
        after = text
        for sought in self._sought:
            after = sought.replaced(after)
        return after if after != text else None

    def _wiped_json(self, text: str, fields: Collection[str]) -> str | None:
        """The strings of a JSON text one by one, so that it stays one; all else stays as it is written."""
        name = ""

        def replaced(match: re.Match[str]) -> str:
            nonlocal name
            token = match.group()
            said = json.loads(token) if token[0] == '"' else token
            is_name = token[0] == '"' and _COLON.match(text, match.end()) is not None
            if not is_name and name in fields and said:
                return _QUOTED_MARK
            if is_name:
                name = said
            found = self.wiped_text(said) if token[0] == '"' else None
            return token if found is None else json.dumps(found)

        after = _TOKEN.sub(replaced, text)
        return after if after != text else None


class _Sought:
    """Some patterns that are looked for together: quickly in bytes, and exactly in a text."""

    def __init__(self, patterns: Sequence[str], *, address: bool) -> None:
        options = re2.Options()
        options.max_mem = MOST_MEMORY
        self._quick = re2.compile("|".join(patterns), options)
        self._exact = re.compile("|".join(patterns))
        self._address = address

    def within(self, data: bytes) -> bool:
        """Whether any of them stands alone in the data."""
        if self._quick.search(data) is None:
            return False
        text = _decoded(data)
        return any(_stands_alone(text, match, self._address) for match in self._exact.finditer(text))

    def replaced(self, text: str) -> str:
        """The text with the mark wherever one of them stands alone."""

        def mark(match: re.Match[str]) -> str:
            return MARK if _stands_alone(text, match, self._address) else match.group()

        return self._exact.sub(mark, text)


def _parts(patterns: Sequence[str]) -> list[Sequence[str]]:
    return [patterns[at : at + TOGETHER] for at in range(0, len(patterns), TOGETHER)]


def values_of(data: bytes, fields: Collection[str]) -> set[str]:
    """The texts that stand in a JSON document under any of these names; none where it is no JSON."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return set()
    return {text for text in _values(document, fields) if text != MARK}


def _values(node: Any, fields: Collection[str]) -> Iterable[str]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            yield from (said for name, said in one.items() if name in fields and isinstance(said, str))
            waiting += one.values()


# forms


def _address(address: str) -> str:
    """A pattern for an e-mail address, its local part perhaps in quotes, its domain also as networks write it."""
    local, _, domain = address.rpartition("@")
    name = "".join(map(_letter, local))
    quoted = rf'\\{{0,8}}"{name}\\{{0,8}}"'
    domains = "|".join("".join(map(_letter, one)) for one in sorted(_domains(domain)))
    return f"(?:{quoted}|{name}){_letter('@')}(?:{domains})"


def _domains(domain: str) -> set[str]:
    forms = {domain}
    with suppress(UnicodeError):
        forms.add(domain.encode("idna").decode())
    with suppress(UnicodeError):
        forms.add(domain.encode().decode("idna"))
    return forms


def _text(text: str) -> str:
    return "".join(
        _SPACE if part.isspace() else "".join(map(_letter, part)) for part in re.split(r"(\s+)", text)
    )


def _letter(letter: str) -> str:
    """A pattern for one letter in every way it may be written."""
    forms: dict[str, None] = {}
    for one in dict.fromkeys((letter, letter.lower(), letter.upper())):
        if len(one) > 2:
            continue
        units = one.encode("utf-16-be")
        octets = one.encode()
        forms[re.escape(one)] = None
        forms["".join(rf"\\{{1,8}}u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))] = None
        forms["".join(f"%(?:25){{0,4}}(?i:{octet:02x})" for octet in octets)] = None
        forms["".join(f"=(?i:{octet:02x})" for octet in octets)] = None
        if len(one) == 1:
            forms[rf"&(?:amp;)?#(?:0{{0,8}}{ord(one)}|[xX]0{{0,8}}(?i:{ord(one):x}));"] = None
    forms |= dict.fromkeys(rf"&(?:amp;)?{name};" for name in _NAMED.get(letter, ()))
    return f"(?:{'|'.join(forms)})"


_NAMED = {"@": ("commat",), ".": ("period",), "+": ("plus",), "_": ("lowbar",), "&": ("amp",), "'": ("apos",)}
_SPACE = r"(?:\s|\+|%(?:25){0,4}20|=20|\\{1,8}u0020|&nbsp;){1,8}"
_QUOTED_MARK = json.dumps(MARK)
_COLON = re.compile(r"\s*:")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')


# boundaries


def _stands_alone(text: str, match: re.Match[str], address: bool) -> bool:
    """Whether what was found is a whole address or name, and not a part of a longer one."""
    after = _LONGER_ADDRESS if address else _LONGER_NAME
    return after.match(text, match.end()) is None and not _goes_on_before(text, match.start(), address)


def _goes_on_before(text: str, start: int, address: bool) -> bool:
    window = text[max(0, start - 80) : start]
    escape = _ESCAPE.search(window)
    if escape is not None:
        digits = escape.group(1) or escape.group(2)
        return bool(digits) and chr(int(digits, 16)).isalnum()
    return (window.rstrip(_JOINING) if address else window)[-1:].isalnum()


_JOINING = ".+_-"
"""Punctuation that an address may hold; alone before one it belongs to the text around it."""

_ESCAPE = re.compile(r"(?:\\+u([0-9a-fA-F]{4})|(?:\\+x|%(?:25)*|=)([0-9a-fA-F]{2})|\\+[nrtbf]|&#?\w+;)$")
_LONGER_ADDRESS = re.compile(r"[.-]?[^\W_]")
_LONGER_NAME = re.compile(r"[^\W_]")


# what data is


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
        data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _disguised(data: bytes) -> Iterable[bytes]:
    """The data read in other ways: in letters of two bytes, or unpacked."""
    if b"\0" in data:
        yield data.replace(b"\0", b"")
    if data[:1] in (b"\x1f", b"\x78"):
        try:
            yield zlib.decompressobj(47).decompress(data, MOST_UNPACKED)
        except zlib.error:
            return


def _tells(text: str) -> bool:
    return sum(letter.isalnum() for letter in text) >= SHORTEST
