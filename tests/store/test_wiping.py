"""What names a person is found however it is written, taken out whole, and nothing else is."""

from __future__ import annotations

import gzip
import html
import json
import quopri
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.wiping import MARK, Traces, values_of

ANA = "ana.o+shop@example.test"

WRITTEN = {
    "as it is": ANA,
    "in capitals": ANA.upper(),
    "mixed": "Ana.O+Shop@Example.TEST",
    "JSON, every letter": "".join(f"\\u{ord(letter):04x}" for letter in ANA),
    "JSON within JSON": json.dumps("".join(f"\\u{ord(letter):04X}" for letter in ANA))[1:-1],
    "address of a page": quote(ANA, safe=""),
    "address of a page, twice": quote(quote(ANA, safe=""), safe=""),
    "HTML by number": "".join(f"&#{ord(letter)};" for letter in ANA),
    "HTML by hex": "".join(f"&#x{ord(letter):X};" for letter in ANA),
    "HTML by name": ANA.replace("@", "&commat;").replace(".", "&period;"),
    "HTML twice": html.escape("".join(f"&#{ord(letter)};" for letter in ANA)),
    "mail": "".join(f"={ord(letter):02X}" for letter in ANA),
    "local part in quotes": '"ana.o+shop"@example.test',
}  # fmt: skip

AROUND = {
    "alone": "{}", "in a sentence": "Write to {}, please.", "at the end": "It is {}.", "in brackets": "Ana <{}>",
    "in a link": "mailto:{}?subject=x", "in a query": "https://x.test/?email={}&a=1", "in a Slack link": "<mailto:{}|x>",
    "in italics": "_{}_", "after a line": "a\n{}\nb", "after HTML": "<b>{}</b>", "after an entity": "&lt;{}&gt;",
}  # fmt: skip

OTHERS = [
    "joana.o+shop@example.test", "x.ana.o+shop@example.test", "ana.o+shop@example.test.uk", "ana.o+shop@example.testing",
    "ana.o@example.test", "ana.o+shop@mail-example.test", "ana.o+shop.example.test", "éana.o+shop@example.test",
]  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("around", AROUND)
def test_an_address_is_found_and_taken_out_however_it_is_written(written: str, around: str) -> None:
    text = AROUND[around].format(WRITTEN[written])
    assert Traces([ANA]).wiped(text.encode()) == AROUND[around].format(MARK).encode()


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("ascii", [True, False])
def test_json_stays_json_and_loses_nothing_else(written: str, ascii: bool) -> None:
    document = {"a": [1.50, f"x {WRITTEN[written]} y"], WRITTEN[written]: "é\n\\u0041", "n": 10**30}
    wiped = Traces([ANA]).wiped(json.dumps(document, ensure_ascii=ascii).encode())
    assert wiped is not None
    assert json.loads(wiped) == {"a": [1.50, f"x {MARK} y"], MARK: "é\n\\u0041", "n": 10**30}


@pytest.mark.parametrize("other", OTHERS)
def test_the_address_of_somebody_else_stays(other: str) -> None:
    for text in (other, f"<{other}>", json.dumps({"email": other})):
        assert Traces([ANA]).wiped(text.encode()) is None
        assert not Traces([ANA]).among(text.encode())


def test_a_mail_in_quoted_printable_is_cleaned() -> None:
    mail = quopri.encodestring(f"Grüße an {ANA}".encode(), quotetabs=True)
    assert b"example" not in (Traces([ANA]).wiped(mail) or mail)


def test_a_domain_is_found_as_people_and_as_networks_write_it() -> None:
    for address in ("jörg@bücher.example", "jörg@xn--bcher-kva.example"):
        for written in (
            "JÖRG@bücher.example",
            "jörg@xn--bcher-kva.example",
            quote("jörg@bücher.example", safe=""),
        ):
            assert Traces([address]).wiped(f"to {written}!".encode()) == b"to [erased]!"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_what_cannot_be_read_in_place_goes_as_a_whole(codec: str) -> None:
    assert Traces([ANA]).wiped(f"an order of {ANA}".encode(codec)) == MARK.encode()
    assert Traces([ANA]).wiped(gzip.compress(f"an order of {ANA}".encode())) == MARK.encode()
    assert Traces([ANA]).wiped("an order of Bo".encode(codec)) is None


def test_half_a_json_document_and_bytes_that_are_no_text_are_cleaned_too() -> None:
    assert Traces([ANA]).wiped(b'{"order": {"email": "' + ANA.encode()) == b'{"order": {"email": "[erased]'
    assert Traces([ANA]).wiped(b"\xff\xfe " + ANA.encode() + b" \x80") == b"\xff\xfe [erased] \x80"


FIELDS = frozenset({"email", "firstname", "phone", "tags"})


def test_the_values_of_personal_fields_go_whatever_they_are() -> None:
    order = b'{"total": 555, "firstname": "Al", "phone": 555, "email": null, "tags": ["a", 1], "n": {"firstname": "", "z": 555}}'
    assert Traces([ANA]).wiped(order, FIELDS) == (
        b'{"total": 555, "firstname": "[erased]", "phone": "[erased]", "email": null, "tags": ["[erased]", "[erased]"],'
        b' "n": {"firstname": "", "z": 555}}'
    )


def test_names_are_taken_out_of_running_text_as_whole_words() -> None:
    traces = Traces([ANA], ["Ana", "O'Neill", "12 Long Street", "Al"])
    text = "ANA O&#39;Neill (O'NEILL), 12%20Long+street: Anabel, Al, ana_x, Jo-Ana"
    assert (
        traces.wiped_text(text)
        == "[erased] [erased] ([erased]), [erased]: Anabel, Al, [erased]_x, Jo-[erased]"
    )


def test_the_texts_of_personal_fields_can_be_collected() -> None:
    order = b'{"order": {"email": "a@b.test", "lines": [{"firstname": "Ana", "phone": 5}], "firstname": "[erased]"}}'
    assert values_of(order, FIELDS) == {"a@b.test", "Ana"}
    assert values_of(b"no json", FIELDS) == set()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values, ascii=st.booleans())
def test_any_json_without_the_person_is_left_as_it_is_and_with_them_stays_readable(
    value: object, ascii: bool
) -> None:
    alone = json.dumps(value, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    assert Traces([ANA]).wiped(alone) is None
    with_ana = json.dumps([value, {"email": ANA}, value], ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    wiped = Traces([ANA]).wiped(with_ana)
    assert wiped is not None
    assert json.loads(wiped.decode("utf-8", "surrogatepass")) == [value, {"email": MARK}, value]


@given(before=st.text(max_size=5), after=st.text(max_size=5))
def test_nothing_is_left_of_an_address_that_stands_alone_between_spaces(before: str, after: str) -> None:
    wiped = Traces([ANA]).wiped(f"{before} {ANA} {after}".encode("utf-8", "replace"))
    assert wiped is not None
    assert ANA.encode() not in wiped
