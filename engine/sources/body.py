"""A body becomes a payload: unpacked under a bound, and read as strict JSON or refused with a reason in plain words.

Strict means the standard and bounds that keep every later step cheap: one object, UTF-8 (with or without one byte
order mark), at most `MAX_DEPTH` levels and `MAX_VALUES` values, no number longer than `MAX_DIGITS`. Two things are
taken that the standard allows and stores choke on: half of a surrogate pair and the NUL character, each written as
an escape, are read as U+FFFD. A name that stands twice in one object counts with its last value.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn, TypeVar

import msgspec
import re2

from engine.sources.base import Unreadable

MAX_DEPTH = 100
"""Levels of objects and lists inside one another."""

MAX_DIGITS = 1000
"""Characters of one number, also of one that is written short with an exponent."""

MAX_VALUES = 20_000
"""Values in one body, those inside lists and objects counted one by one."""

BOM = b"\xef\xbb\xbf"

T = TypeVar("T")


class Malformed(Unreadable):
    """A body that is not strict JSON of one object; `kind` is one word for counting, the text is for people."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


class TooLarge(Exception):
    """A packed body that unpacks to more than the limit."""


PACKINGS = ("identity", "gzip", "x-gzip", "deflate")
"""The content encodings that are unpacked."""


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding, which is one of `PACKINGS`; at most `limit` bytes.

    Raises `TooLarge` as soon as more than that come out, and `Malformed` for a body that is not packed as it says.
    """
    if encoding == "identity":
        return body
    window = 16 + zlib.MAX_WBITS
    if encoding == "deflate":
        window = zlib.MAX_WBITS if _has_zlib_head(body) else -zlib.MAX_WBITS
    return _inflate(body, window, encoding, limit)


def _has_zlib_head(body: bytes) -> bool:
    """Whether a deflate body has the head the standard asks for; many senders leave it out."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _inflate(body: bytes, window: int, encoding: str, limit: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    try:
        text = unpacker.decompress(body, limit + 1)  # never more than this is held
    except zlib.error:
        raise Malformed(
            f"The body is not packed with {encoding}, as its Content-Encoding says.", "packing"
        ) from None
    if len(text) > limit:
        raise TooLarge
    if not unpacker.eof:
        raise Malformed(f"The body, packed with {encoding}, breaks off before its end.", "packing")
    if unpacker.unused_data:
        raise Malformed(f"Something follows the end of the body that is packed with {encoding}.", "packing")
    return text


def _number(text: str) -> Decimal | str:
    """A number with a point or an exponent, exactly; as its text where writing it out would take too many digits."""
    _, letter, exponent = text.lower().partition("e")
    if letter and (len(exponent) > 5 or abs(int(exponent)) > MAX_DIGITS):
        return text
    return Decimal(text)


_exact = msgspec.json.Decoder(float_hook=_number).decode
_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def parse(body: bytes) -> Mapping[str, Any]:
    """The whole payload of a body: whole numbers as `int` of any size, others as `Decimal`, both exact.

    Raises `Malformed`, with a reason in plain words, for a body that is not strict JSON of one object.
    """
    payload = decoded(body, _exact)
    if not isinstance(payload, dict):
        raise Malformed(
            f"The body is {_KINDS[type(payload)]}; one JSON object was expected, one event.", "shape"
        )
    return payload


_KINDS: Mapping[type, str] = {
    list: "a list",
    str: "a text",
    int: "a number",
    Decimal: "a number",
    bool: "true or false",
    type(None): "null",
}


def canonical(payload: Mapping[str, Any]) -> bytes:
    """The same bytes for every way of spacing and ordering a payload; numbers stay as they were written."""
    return _canonical(payload)


def repeated_keys(body: bytes) -> list[str]:
    """The names that stand more than once in one object of a readable body, each once; a slower look."""
    repeated: dict[str, None] = {}

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.update(dict.fromkeys(name for name in found if names.count(name) > 1))
        return found

    json.loads(body.removeprefix(BOM), object_pairs_hook=note, parse_int=str, parse_float=str)
    return list(repeated)


def decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    """What `decode`, of a msgspec decoder, makes of a strict body; it may skip what it does not need.

    Raises `Malformed` for a body that is not strict JSON. A `msgspec.ValidationError` goes through: the JSON is then
    not of the shape that the decoder wants, and may be broken besides.
    """
    text = body.removeprefix(BOM)
    try:
        if not text.isascii():
            text.decode()  # a decoder does not look into the texts that it skips
        # Only a body with many brackets or digits is looked at closely. Brackets are counted by taking them out: four
        # times faster than by count().
        brackets = len(text) - len(text.replace(b"{", b"").replace(b"[", b""))
        if brackets > MAX_DEPTH or len(text) > 2 * MAX_VALUES:
            _check_shape(text)
        if _MANY_DIGITS in text[::_STRIDE].translate(_DIGITS):
            _check_digits(text)
        if b"\\" in text and rb"\u0000" in text:
            text = _mended(text)
        return decode(text)
    except UnicodeDecodeError as error:
        raise Malformed(_not_utf8(body, error), "encoding") from None
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        return _decoded_mended(text, decode)


def _decoded_mended(text: bytes, decode: Callable[[bytes], T]) -> T:
    """The second try, for a body that may only have half of a surrogate pair in it."""
    try:
        return decode(_mended(text))
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        _explain(text)


_STRIDE = 100
_DIGITS = bytes.maketrans(b".123456789", b"0" * 10)
_MANY_DIGITS = b"0" * (MAX_DIGITS // _STRIDE)
"""A number of more than `MAX_DIGITS` shows at least so many of them when every hundredth byte is looked at."""

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(set(range(256)) - set(_STEPS))
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{},"'))


def _check_shape(text: bytes) -> None:
    marks = _unescaped(text).translate(None, _NOT_MARKS)
    bare = _unquoted(marks.replace(b'""', b""))
    brackets = bare.translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise Malformed(f"The JSON is nested more than {MAX_DEPTH} levels deep.", "limit")
    if len(brackets) // 2 + bare.count(b",") > MAX_VALUES:
        raise Malformed(f"The JSON holds more than {MAX_VALUES:,} values.", "limit")


def _check_digits(text: bytes) -> None:
    if b"0" * (MAX_DIGITS + 1) in _unquoted(_unescaped(text)).translate(_DIGITS):
        raise Malformed(f"The JSON has a number of more than {MAX_DIGITS:,} digits.", "limit")


def _unescaped(text: bytes) -> bytes:
    """A JSON text without its escaped quotes, so that each quote left starts or ends a text."""
    return text.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in text else text


def _unquoted(text: bytes) -> bytes:
    """A text without what stands between its quotes."""
    return b'"'.join(text.split(b'"')[::2])


_HALF_OR_NUL = re2.compile(
    rb"\\u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[dD][89a-fA-F][0-9a-fA-F]{2}|0000)"
)
_PAIR = len(rb"\ud83d\ude00")


def _mended(text: bytes) -> bytes:
    r"""The text with U+FFFD for each half of a surrogate pair and each NUL, where they are written as escapes.

    It is cut at escaped backslashes first, so that `\\u0000`, a backslash and five letters, stays what it is.
    """
    parts = (_HALF_OR_NUL.sub(_keep_pairs, part) for part in text.split(rb"\\"))
    return rb"\\".join(parts)


def _keep_pairs(found: Any) -> bytes:
    escape: bytes = found.group()
    return escape if len(escape) == _PAIR else rb"\ufffd"


def _not_utf8(body: bytes, error: UnicodeDecodeError) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _OTHER_UNICODE
    place = error.start + len(body) - len(error.object)
    return f"The body is not UTF-8: byte {place + 1} is {body[place]:#04x}. Send the JSON in UTF-8."


_OTHER_UNICODE = "The body looks like UTF-16 or UTF-32. Send the JSON in UTF-8."


def _explain(text: bytes) -> NoReturn:
    """Say in plain words why a text is no JSON."""
    if not text.strip():
        raise Malformed("The body is empty; one JSON object was expected, one event.", "empty")
    if text.startswith(BOM):
        raise Malformed("The body starts with more than one byte order mark; one is taken.", "encoding")
    if b"\x00" in text[:4]:
        raise Malformed(_OTHER_UNICODE, "encoding")
    letters = text.decode()
    try:
        json.loads(letters, parse_constant=_no_number, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise Malformed(_broken_at(letters, error), "json") from None
    raise Malformed("The JSON is broken.", "json")


def _no_number(word: str) -> NoReturn:
    raise Malformed(
        f"{word} stands where a value is due, but JSON has no such number. Send null or a number.", "json"
    )


def _broken_at(text: str, error: json.JSONDecodeError) -> str:
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return f"The JSON breaks off at its end, in or after line {error.lineno}, column {error.colno}."
    found = text[error.pos : error.pos + 20]
    return f"The JSON is broken at line {error.lineno}, column {error.colno}, where {found!r} stands."
