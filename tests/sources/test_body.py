"""A body is read as strict JSON under bounds, exactly, or refused with a reason that a shop's person understands."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sources.base import Unreadable
from engine.sources.body import (
    BOM,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    Malformed,
    TooLarge,
    canonical,
    decoded,
    parse,
    repeated_keys,
    unpack,
)

law = settings(max_examples=60, deadline=None, derandomize=True)

SMILE = "\N{GRINNING FACE}"


def kind_of(body: bytes) -> str:
    with pytest.raises(Malformed) as refusal:
        parse(body)
    return refusal.value.kind


def reason_of(body: bytes) -> str:
    with pytest.raises(Unreadable) as refusal:
        parse(body)
    return str(refusal.value)


def nested(levels: int) -> bytes:
    """An object of so many levels, itself counted."""
    return b'{"a":' * levels + b"1" + b"}" * levels


# what is taken


def test_whole_numbers_of_any_size_and_decimals_stay_exact() -> None:
    payload = parse(b'{"a":9007199254740993,"b":123456789012345678901234567890,"c":10.10,"d":-0.0,"e":1e2}')
    assert payload["a"] == 9007199254740993
    assert payload["b"] == 123456789012345678901234567890
    assert [str(payload[key]) for key in "cde"] == ["10.10", "-0.0", "1E+2"]
    assert not any(isinstance(value, float) for value in payload.values())


def test_one_byte_order_mark_is_taken_off() -> None:
    assert parse(BOM + b'{"a":1}') == {"a": 1}


def test_half_of_a_surrogate_pair_is_read_as_a_replacement_character_and_a_whole_pair_stays() -> None:
    payload = parse(rb'{"a":"Mug \ud83d red","b":"\ud83d\ude00","c":"\ude00\ud83d","d":"\ud83d\uD83D\uDE00"}')
    assert payload == {"a": "Mug � red", "b": SMILE, "c": "��", "d": "�" + SMILE}


def test_a_nul_written_as_an_escape_is_read_as_a_replacement_character() -> None:
    assert parse(rb'{"a\u0000":"b\u0000c"}') == {"a�": "b�c"}


def test_an_escaped_backslash_before_such_letters_is_left_alone() -> None:
    body = rb'{"a":"\\ud83d","b":"\\u0000","c":"\\\ud83d","d":"\ud83d\\ude00","e":"\u0000"}'
    assert parse(body) == {"a": "\\ud83d", "b": "\\u0000", "c": "\\�", "d": "�\\ude00", "e": "�"}


def test_the_last_of_two_equal_names_counts_and_both_are_told() -> None:
    body = b'{"event_name":"a","event_name":"b","order":{"total":"900.0","total":"9.0","n":1},"n":2}'
    assert parse(body) == {"event_name": "b", "order": {"total": "9.0", "n": 1}, "n": 2}
    assert sorted(repeated_keys(body)) == ["event_name", "total"]


def test_equal_names_in_different_objects_are_no_repetition() -> None:
    assert repeated_keys(BOM + b'{"a":{"id":1e5},"b":[{"id":2},{"id":3}],"id":' + b"9" * 900 + b"}") == []


def test_a_number_that_would_take_too_many_digits_written_out_stays_a_text() -> None:
    payload = parse(b'{"a":1e1000,"b":1e1001,"c":-2E-99999,"d":1e99999999999999999999}')
    assert payload == {"a": Decimal("1e1000"), "b": "1e1001", "c": "-2E-99999", "d": "1e99999999999999999999"}


def test_a_body_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    assert parse(nested(MAX_DEPTH))
    assert reason_of(nested(MAX_DEPTH + 1)) == "The JSON is nested more than 100 levels deep."
    mixed = b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    assert kind_of(mixed) == "limit"


def test_brackets_inside_texts_are_no_depth() -> None:
    text = '"[{[{' * 40 + "\\"
    assert parse(json.dumps({text: text}).encode()) == {text: text}


def test_many_brackets_side_by_side_are_no_depth() -> None:
    assert len(parse(b'{"a":[' + b"[],{}," * 2000 + b"0]}")["a"]) == 4001


def test_a_number_may_have_as_many_digits_as_the_limit_and_no_more() -> None:
    assert parse(b'{"a":' + b"9" * MAX_DIGITS + b"}")["a"] == 10**MAX_DIGITS - 1
    assert (
        reason_of(b'{"a":' + b"9" * (MAX_DIGITS + 1) + b"}")
        == "The JSON has a number of more than 1,000 digits."
    )
    assert kind_of(b'{"a":0.' + b"1" * MAX_DIGITS + b"}") == "limit"


@pytest.mark.parametrize("before", range(0, 101, 7))
def test_a_long_number_is_seen_wherever_it_starts(before: int) -> None:
    body = b'{"a":' + b" " * before + b"7" * (MAX_DIGITS + 1) + b',"b":"x"}'
    assert kind_of(body) == "limit"


def test_digits_inside_a_text_are_no_number() -> None:
    text = 'he said "' + "9" * 5000
    assert parse(json.dumps({"a": text}).encode()) == {"a": text}


def test_values_are_counted_up_to_a_limit() -> None:
    assert parse(b'{"a":[' + b"0," * (MAX_VALUES - 10) + b"0]}")
    assert reason_of(b'{"a":[' + b"0," * MAX_VALUES + b"0]}") == "The JSON holds more than 20,000 values."


def test_commas_inside_texts_are_no_values() -> None:
    text = 'a,",' * MAX_VALUES
    assert parse(json.dumps({"a": text}).encode()) == {"a": text}


# what is refused, and in which words


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"", "empty", "The body is empty; one JSON object was expected, one event."),
        (b" \n\t", "empty", "The body is empty; one JSON object was expected, one event."),
        (BOM, "empty", "The body is empty; one JSON object was expected, one event."),
        (b"[]", "shape", "The body is a list; one JSON object was expected, one event."),
        (b'[{"event_name":"a"}]', "shape", "The body is a list; one JSON object was expected, one event."),
        (b'"order_completed"', "shape", "The body is a text; one JSON object was expected, one event."),
        (b"42", "shape", "The body is a number; one JSON object was expected, one event."),
        (b"4.2", "shape", "The body is a number; one JSON object was expected, one event."),
        (b"null", "shape", "The body is null; one JSON object was expected, one event."),
        (b"true", "shape", "The body is true or false; one JSON object was expected, one event."),
        (
            BOM + BOM + b"{}",
            "encoding",
            "The body starts with more than one byte order mark; one is taken.",
        ),
        (
            b'{"city":"Malm\xf6"}',
            "encoding",
            "The body is not UTF-8: byte 14 is 0xf6. Send the JSON in UTF-8.",
        ),
        (
            BOM + b'{"city":"Malm\xf6"}',
            "encoding",
            "The body is not UTF-8: byte 17 is 0xf6. Send the JSON in UTF-8.",
        ),
        (
            b'{"a":"\xed\xa0\x80"}',
            "encoding",
            "The body is not UTF-8: byte 7 is 0xed. Send the JSON in UTF-8.",
        ),
        (
            "﻿{}".encode("utf-16-le"),
            "encoding",
            "The body looks like UTF-16 or UTF-32. Send the JSON in UTF-8.",
        ),
        (
            '{"a":1}'.encode("utf-16-be"),
            "encoding",
            "The body looks like UTF-16 or UTF-32. Send the JSON in UTF-8.",
        ),
        (
            b'{"total":NaN}',
            "json",
            "NaN stands where a value is due, but JSON has no such number. Send null or a number.",
        ),
        (
            b'{"total":-Infinity}',
            "json",
            "-Infinity stands where a value is due, but JSON has no such number. Send null or a number.",
        ),
        (b'{"a":1,}', "json", "The JSON is broken at line 1, column 8, where '}' stands."),
        (b'{"a":1}\n{"a":2}', "json", "The JSON is broken at line 2, column 1, where '{\"a\":2}' stands."),
        (b'{"a":"x\ny"}', "json", "The JSON is broken at line 1, column 8, where '\\ny\"}' stands."),
        (b'{"a":007}', "json", "The JSON is broken at line 1, column 7, where '07}' stands."),
        (b"{'a':1}", "json", "The JSON is broken at line 1, column 2, where \"'a':1}\" stands."),
        (b'{"a":1', "json", "The JSON breaks off at its end, in or after line 1, column 7."),
        (b'{"a":"x', "json", "The JSON breaks off at its end, in or after line 1, column 6."),
        (b"[" * 100_000, "limit", "The JSON is nested more than 100 levels deep."),
        (b"[" * 1000, "limit", "The JSON is nested more than 100 levels deep."),
    ],
)
def test_each_unreadable_body_has_its_own_reason(body: bytes, kind: str, reason: str) -> None:
    assert (kind_of(body), reason_of(body)) == (kind, reason)


@pytest.mark.parametrize(
    "broken",
    [
        b"NaN", b"01", b"1.", b".5", b"+1", b"tru", b"'x'", b"[1,]", b'{"b":1,}', b"{1:2}", b'"\\x41"', b'"\\u12G4"',
        b'"a\x01"', b'"a\x00"', b'"\xff"', b"1 /* one */", b"\x0c1", b"[", b'"',
    ],
)  # fmt: skip
def test_a_reader_that_skips_a_value_refuses_what_the_whole_reader_refuses(broken: bytes) -> None:
    class Wanted(msgspec.Struct):
        a: int

    body = b'{"a":1,"skipped":' + broken + b"}"
    with pytest.raises(Malformed):
        parse(body)
    with pytest.raises(Malformed):
        decoded(body, msgspec.json.Decoder(Wanted).decode)


def test_a_reader_that_skips_a_value_takes_half_a_pair_inside_it() -> None:
    class Wanted(msgspec.Struct):
        a: str

    for body in (rb'{"a":"x","skipped":"\ud83d"}', rb'{"skipped":"y","a":"\ud83d"}', rb'{"a":"\u0000"}'):
        assert decoded(body, msgspec.json.Decoder(Wanted).decode).a in ("x", "�")


# laws

numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
payloads = st.dictionaries(texts, values, max_size=5)
as_json = msgspec.json.Encoder(decimal_format="number").encode


@law
@given(payloads)
def test_what_is_written_is_read_back_exactly(payload: dict[str, Any]) -> None:
    read = parse(as_json(payload))
    assert read == payload
    assert as_json(read) == as_json(payload)


def shuffled(value: Any) -> Any:
    """The same with the names of every object the other way round."""
    if isinstance(value, dict):
        return {name: shuffled(inner) for name, inner in reversed(value.items())}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


@law
@given(payloads, st.integers(1, 4))
def test_order_of_names_and_spacing_do_not_change_the_canonical_form(
    payload: dict[str, Any], indent: int
) -> None:
    other = msgspec.json.format(as_json(shuffled(payload)), indent=indent)
    assert canonical(parse(other)) == canonical(parse(as_json(payload)))


@law
@given(payloads)
def test_the_canonical_form_leaves_nothing_out(payload: dict[str, Any]) -> None:
    assert parse(canonical(payload)) == payload


@settings(max_examples=150, deadline=None, derandomize=True)
@given(payloads, st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_body_is_read_or_refused_with_a_sentence_and_nothing_else(
    payload: dict[str, Any], place: int, put_in: bytes, cut: int
) -> None:
    body = as_json(payload)
    place %= len(body) + 1
    body = body[:place] + put_in + body[place + cut :]
    try:
        parse(body)
    except Malformed as refusal:
        sentence = str(refusal)
    else:
        json.loads(body.removeprefix(BOM))  # whatever is taken is JSON for the standard library, too
        return
    assert sentence.endswith(".")


# unpacking


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-zlib.MAX_WBITS)),
    ],
)
def test_packed_bodies_come_out_as_they_went_in(encoding: str, pack: Any) -> None:
    body = b'{"event_name":"order_completed"}' * 20
    assert unpack(pack(body), encoding, 1000) == body


def test_a_body_may_unpack_to_the_limit_and_no_further() -> None:
    assert len(unpack(gzip.compress(b"a" * 1000), "gzip", 1000)) == 1000
    with pytest.raises(TooLarge):
        unpack(gzip.compress(b"a" * 1001), "gzip", 1000)


def test_a_bomb_is_given_up_at_the_limit_with_no_more_memory_than_that() -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unpack(bomb, "gzip", 262_144)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_packed_as_it_says_is_refused(encoding: str) -> None:
    with pytest.raises(Malformed, match="is not packed with"):
        unpack(b'{"event_name":"order_completed"}', encoding, 1000)
    with pytest.raises(Malformed, match="breaks off"):
        unpack(
            gzip.compress(b"a" * 500)[:-9] if encoding == "gzip" else zlib.compress(b"a" * 500)[:-6],
            encoding,
            1000,
        )
    with pytest.raises(Malformed, match="follows the end"):
        unpack((gzip.compress(b"a") if encoding == "gzip" else zlib.compress(b"a")) + b"tail", encoding, 1000)
