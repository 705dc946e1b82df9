"""What Chord sends becomes an event: its type, its subject, what makes it a repeat, and what belongs beside it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import Memory
from engine.sources.base import Joins, Reading
from engine.sources.body import BOM, Malformed, parse
from engine.sources.chord import Chord
from engine.sources.chord.catalogue import EVENT_TYPES

chord = Chord()
as_json = msgspec.json.Encoder(decimal_format="number").encode

ORDER = "order_completed"
SHIPMENT = "shipment_delivery_status_updated"
BACK = "stock_item_back_in_stock"
OUT = "stock_item_out_of_stock"


def payload(type: str, **changes: Any) -> dict[str, Any]:
    """The sample of an event type with fields of its object changed; `__` steps into one (`variant__sku`)."""
    body: dict[str, Any] = copy.deepcopy(dict(EVENT_TYPES[type].sample))
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = body[EVENT_TYPES[type].object]
        for step in steps:
            place = place[step]
        place[last] = value
    return body


def read(body: Mapping[str, Any] | bytes, **headers: str) -> Reading:
    raw = body if isinstance(body, bytes) else as_json(body)
    return chord.read(raw, {name.replace("_", "-"): value for name, value in headers.items()})


def same(one: Mapping[str, Any] | bytes, other: Mapping[str, Any] | bytes) -> bool:
    return read(one).identity == read(other).identity


# types and subjects


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_every_sample_is_read_as_its_own_type_about_its_own_object(type: str) -> None:
    sample = EVENT_TYPES[type].sample
    object = EVENT_TYPES[type].object
    about = sample[object]
    reading = read(sample)
    assert (reading.type, reading.known, reading.note) == (type, True, "")
    assert reading.subject == f"{object}:{about['number'] if object != 'stock_item' else about['id']}"
    assert len(reading.identity) == 32
    assert reading.updated_at is not None


def test_repeats_are_known_for_a_week_and_those_of_stock_for_a_day_against_the_newest_only() -> None:
    week = timedelta(days=7)
    assert [(read(EVENT_TYPES[type].sample).window, read(EVENT_TYPES[type].sample).superseded) for type in EVENT_TYPES] == [
        (week, False)] * 5 + [(timedelta(hours=24), True)] * 2  # fmt: skip


def test_an_order_is_also_known_by_its_shipments() -> None:
    shipments = [{"number": "H4", "id": 4}, {"number": "H5"}, {"id": 6}, {}]
    assert read(payload(ORDER, shipments=shipments)).aliases == ("shipment:H4", "shipment:H5", "shipment:6")
    assert read(payload(ORDER, shipments=[])).aliases == ()


def test_an_object_without_a_number_is_known_by_its_id_and_without_that_by_itself_alone() -> None:
    assert read(payload(ORDER, number=None)).subject == f"order:{EVENT_TYPES[ORDER].sample['order']['id']}"
    nameless = [
        read(payload(ORDER, number=None, id=None, email=email)).subject for email in ("a@x.test", "b@x.test")
    ]
    assert nameless[0] != nameless[1]
    assert all(subject.startswith("order:(") for subject in nameless)


def test_big_and_long_numbers_make_subjects_too() -> None:
    assert (
        read(payload(ORDER, number=123456789012345678901234567890)).subject
        == "order:123456789012345678901234567890"
    )
    assert len(read(payload(ORDER, number="R" * 50_000)).subject) == 206


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("order_*", 'unknown event "order_*"'),
        ("order_completed_v2", 'unknown event "order_completed_v2"; perhaps order_completed was meant'),
        ("order_canceled", 'unknown event "order_canceled"; perhaps order_cancelled was meant'),
        ("x\n2024-01-01 INFO all good", r'unknown event "x\n2024-01-01 INFO all good"'),
        ("refund", 'unknown event "refund"'),
    ],
)
def test_an_unknown_event_is_read_and_marked_with_what_was_perhaps_meant(name: str, note: str) -> None:
    reading = read({**payload(ORDER), "event_name": name})
    assert (reading.type, reading.known, reading.note) == (name.replace("\n", "\ufffd"), False, note)
    assert reading.subject == read(payload(ORDER)).subject
    assert (reading.updated_at, reading.aliases) == (None, ())


def test_an_unknown_event_about_nothing_known_has_a_subject_of_its_own() -> None:
    one, other = read(b'{"event_name":"refund","n":1}'), read(b'{"event_name":"refund","n":2}')
    assert one.subject.startswith("event:(")
    assert one.subject != other.subject


def test_no_control_character_gets_into_a_subject() -> None:
    assert read(payload(ORDER, number="R\x1b[31m\n1")).subject == "order:R\ufffd[31m\ufffd1"


def test_a_very_long_name_is_cut_and_still_told_from_its_like() -> None:
    one, other = ({**payload(ORDER), "event_name": "x" * 5000 + end} for end in "ab")
    assert read(one).type == read(other).type == "x" * 100
    assert not same(one, other)


def test_the_guides_misprint_is_read_as_the_name_in_its_table_and_said() -> None:
    misprinted = {**payload(SHIPMENT), "event_name": "shipping_delivery_status_updated"}
    reading = read(misprinted)
    assert (reading.type, reading.known) == (SHIPMENT, True)
    assert (
        reading.note
        == f"sent as shipping_delivery_status_updated, a misprint of Chord's guide; read as {SHIPMENT}"
    )
    assert same(misprinted, payload(SHIPMENT))


# what is missing, or of another shape


@pytest.mark.parametrize("body", [b"{}", b'{"event_name":null}', b'{"event_name":7}', b'{"event_name":" "}', b'{"event_name":[]}'])  # fmt: skip
def test_a_body_without_an_event_name_is_unreadable(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        read(body)
    assert str(refusal.value).startswith("event_name missing")
    assert refusal.value.kind == "event name"


def test_the_name_is_not_guessed_from_the_object() -> None:
    body = payload(ORDER)
    del body["event_name"]
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize("object", [None, [], "R1", 7, [{"number": "R1"}]])
def test_a_known_event_without_its_object_is_told_by_its_content(object: Any) -> None:
    body = {"event_name": ORDER, "order": object, "n": 1}
    reading = read(body)
    assert (reading.type, reading.known) == (ORDER, True)
    assert reading.note == "the body has no order, which order_completed events are about"
    assert reading.subject.startswith("order:(")
    assert same(body, {"n": 1, "order": object, "event_name": ORDER})
    assert not same(body, {**body, "n": 2})


@pytest.mark.parametrize("shipments", [None, "none", {"number": "H1"}, [None, 7, {"number": "H1"}]])
def test_a_list_of_another_shape_than_the_guides_hides_nothing_else(shipments: Any) -> None:
    reading = read(payload(ORDER, shipments=shipments))
    plain = read(payload(ORDER))
    assert (reading.subject, reading.identity, reading.updated_at) == (
        plain.subject,
        plain.identity,
        plain.updated_at,
    )
    assert reading.aliases == (("shipment:H1",) if isinstance(shipments, list) else ())


@pytest.mark.parametrize("variant", [None, "mug", [], {}])
def test_a_stock_item_without_its_variant_is_told_by_its_content(variant: Any) -> None:
    assert same(payload(BACK, variant=variant), payload(BACK, variant=variant))
    assert not same(payload(BACK, variant=variant), payload(BACK, variant=variant, backorderable="x"))


def test_half_a_pair_in_a_name_is_no_reason_to_refuse_an_order() -> None:
    body = as_json(payload(ORDER, email="EMAIL")).replace(b"EMAIL", rb"Mug \ud83d red")
    assert rb"\ud83d" in body
    assert read(body).subject == read(payload(ORDER)).subject
    assert read(as_json(payload(ORDER, number="R1")).replace(b"R1", rb"R\u00001")).subject == "order:R�1"


# repeats


def test_the_same_order_in_another_order_and_spacing_is_a_repeat() -> None:
    body = payload(ORDER)
    other = {"order": dict(reversed(body["order"].items())), "event_name": body["event_name"]}
    assert same(as_json(body), msgspec.json.format(as_json(other), indent=4))
    assert same(BOM + as_json(body), as_json(body))


def test_a_re_send_whose_body_was_rendered_anew_is_a_repeat() -> None:
    assert same(
        payload(ORDER), payload(ORDER, updated_at="2021-10-05T10:45:00.000-04:00", shipment_state="partial")
    )
    assert same(
        payload("shipment_shipped"), payload("shipment_shipped", tracking="1Z999", updated_at="2026-01-01")
    )


@pytest.mark.parametrize(
    ("type", "changes"),
    [
        (ORDER, {"number": "R2"}),
        (ORDER, {"completed_at": "2030-01-01T00:00:00Z"}),
        ("order_cancelled", {"canceled_at": "2030-01-01T00:00:00Z"}),
        ("shipment_shipped", {"shipped_at": "2030-01-01T00:00:00Z"}),
        ("shipment_updated", {"updated_at": "2030-01-01T00:00:00Z"}),
        (SHIPMENT, {"delivery_status": "failure"}),
        (SHIPMENT, {"status_detail": "lost"}),
        (SHIPMENT, {"updated_at": "2030-01-01T00:00:00Z"}),
        (BACK, {"id": 99}),
        (BACK, {"updated_at": "2030-01-01T00:00:00Z"}),
        (BACK, {"variant__updated_at": "2030-01-01T00:00:00Z"}),
        (BACK, {"count_on_hand": 77}),
    ],
)
def test_another_date_or_state_is_another_event(type: str, changes: dict[str, Any]) -> None:
    assert not same(payload(type), payload(type, **changes))


@pytest.mark.parametrize(
    ("type", "field"),
    [
        (ORDER, "completed_at"),
        ("order_cancelled", "canceled_at"),
        (SHIPMENT, "status_detail"),
        (BACK, "count_on_hand"),
    ],
)
@pytest.mark.parametrize("empty", [None, ""])
def test_without_a_date_only_equal_content_is_a_repeat(type: str, field: str, empty: Any) -> None:
    undated = payload(type, **{field: empty})
    assert same(undated, dict(reversed(undated.items())))
    assert not same(undated, {**undated, "more": 1})


def test_the_same_facts_under_another_name_are_another_event() -> None:
    assert not same({**payload(BACK), "event_name": OUT}, payload(BACK))


def test_out_back_out_and_back_within_a_minute_are_four_events() -> None:
    steps = [(OUT, 0, 0), (BACK, 5, 20), (OUT, 0, 40), (BACK, 4, 59)]
    readings = [
        read(
            {
                **payload(BACK, count_on_hand=n, updated_at=f"2024-05-14T10:00:{s:02}.000-04:00"),
                "event_name": type,
            }
        )
        for type, n, s in steps
    ]
    assert len({reading.identity for reading in readings}) == 4
    assert len({reading.subject for reading in readings}) == 1
    assert all(reading.superseded for reading in readings)


def test_a_senders_own_id_is_the_identity_where_there_is_one() -> None:
    one, other = read(payload(BACK), webhook_id="msg_1"), read(payload(BACK), webhook_id="msg_2")
    assert one.identity != other.identity
    assert one.identity == read(payload(BACK, count_on_hand=1), webhook_id="msg_1").identity
    assert read(payload(BACK), webhook_id="") == read(payload(BACK))
    assert not one.superseded  # its name is its own, so an older one is a repeat as well


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.text(max_size=5), st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2)
    ),
    st.integers(0, 4),
)
def test_where_the_content_is_the_identity_spacing_and_order_do_not_count(
    facts: dict[str, Any], indent: int
) -> None:
    body = {**facts, "event_name": "loyalty_earned"}
    other = msgspec.json.format(as_json(dict(reversed(body.items()))), indent=indent)
    assert same(other, body)


# late


@pytest.mark.parametrize(
    ("stamp", "microseconds"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2024-05-14T09:58:33.010-04:00", 1_715_695_113_010_000),
        ("2024-05-14T13:58:33.010Z", 1_715_695_113_010_000),
        ("2024-05-14T13:58:33.010", 1_715_695_113_010_000),
        ("2024-05-14T13:58:33.123456+00:00", 1_715_695_113_123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1_715_695_113, None),
        ("9999-12-31T23:59:59-14:00", 253_402_351_199_000_000),
    ],
)
def test_the_objects_stamp_is_read_to_the_microsecond(stamp: Any, microseconds: int | None) -> None:
    assert read(payload(ORDER, updated_at=stamp)).updated_at == microseconds


# what belongs beside an event


def test_a_shipment_wants_its_order_and_shows_it_when_it_is_known() -> None:
    body = payload("shipment_shipped", number="H1")
    assert chord.joins("shipment_shipped", body) == Joins(order_of="shipment:H1")
    known = chord.joined("shipment_shipped", body, Memory(order=payload(ORDER)))
    assert known == {"order": EVENT_TYPES[ORDER].sample["order"]}
    assert chord.joined("shipment_shipped", body, Memory()) == {}


def test_a_stock_item_wants_its_products_names_and_those_of_a_bundles_parts() -> None:
    bundle = payload(BACK, variant__sku="mug | pot|lid")
    assert chord.joins(BACK, payload(BACK, variant__sku="mug")) == Joins(products=("mug",))
    assert chord.joins(BACK, bundle) == Joins(products=("mug | pot|lid", "mug", "pot", "lid"))
    assert chord.joins(BACK, payload(BACK, variant__sku=None)) == Joins()


def test_a_product_is_named_as_it_is_known_and_a_bundle_by_its_parts() -> None:
    names = {"mug": "Blue Mug", "pot": "Teapot"}
    shown = [
        chord.joined(BACK, payload(BACK, variant__sku=sku), Memory(products=known))
        for sku, known in (
            ("mug", names),
            ("mug|pot", names),
            ("mug|pot", {**names, "mug|pot": "Tea set"}),
            ("mug|lid", names),
            ("lid", names),
            (None, names),
        )
    ]
    assert shown == [
        {"product": {"sku": "mug", "name": "Blue Mug"}},
        {"product": {"sku": "mug|pot", "name": "Blue Mug + Teapot"}},
        {"product": {"sku": "mug|pot", "name": "Tea set"}},
        {"product": {"sku": "mug|lid"}},
        {"product": {"sku": "lid"}},
        {},
    ]


def test_orders_teach_product_names_and_other_events_none() -> None:
    lines = [
        {"sku": "mug", "name": "Blue Mug"},
        {"sku": None, "name": "x"},
        {"sku": "pot", "name": ""},
        "odd",
        {},
    ]
    assert chord.teaches(ORDER, payload(ORDER, line_items=lines)) == {"mug": "Blue Mug"}
    assert chord.teaches(ORDER, payload(ORDER, line_items=None)) == {}
    assert chord.teaches(BACK, payload(BACK)) == {}
    assert chord.teaches("order_*", payload(ORDER)) == {}


def test_the_checks_know_the_fields_of_what_is_joined() -> None:
    assert "order.line_items[*].sku" in chord.joined_fields("shipment_shipped")
    assert "product.name" in chord.joined_fields(BACK)
    assert chord.joined_fields(ORDER) == {}


def test_what_is_joined_survives_odd_payloads() -> None:
    for type in (*EVENT_TYPES, "order_*"):
        for body in (
            {},
            {"order": []},
            {"shipment": None},
            {"stock_item": 7},
            {"stock_item": {"variant": []}},
        ):
            assert chord.joins(type, body) in (Joins(), Joins(order_of=""))
            assert chord.joined(type, body, Memory(order={"order": None})) == {}
            assert chord.teaches(type, body) == {}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(EVENT_TYPES)), st.data())
def test_any_json_in_any_field_is_read(type: str, data: st.DataObject) -> None:
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=4)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )
    fields = [
        "number",
        "id",
        "updated_at",
        "completed_at",
        "shipments",
        "variant",
        "count_on_hand",
        "status_detail",
    ]
    body = msgspec.json.encode(payload(type, **data.draw(st.dictionaries(st.sampled_from(fields), anything))))
    reading = read(body)
    whole = parse(body)
    assert (reading.type, reading.known) == (type, True)
    assert reading.subject
    assert chord.joins(type, whole) is not None


TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"1e999999", rb"\ud83d", rb"\ude00", rb"\u0000",
    b"\x00", b"\xff", b"\xed\xa0\x80", b"-", b".", b"0", b"9" * 1001, b"[" * 120, b"\xef\xbb\xbf", b'"event_name":"x",', b"\n",
]  # fmt: skip


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(EVENT_TYPES)),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(TOKENS), st.integers(0, 5)), min_size=1, max_size=4),
)
def test_what_is_read_before_the_answer_can_be_read_whole_afterwards(
    type: str, damages: list[tuple[float, bytes, int]]
) -> None:
    body = as_json(payload(type))
    for where, token, cut in damages:
        place = int(where * len(body))
        body = body[:place] + token + body[place + cut :]
    try:
        reading = read(body)
    except Malformed:
        return
    name = parse(body)["event_name"]
    assert reading.type == name if name in EVENT_TYPES else not reading.known or name in chord.renamed
