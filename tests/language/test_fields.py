"""Settings: what each kind takes, how a slip is told, and what of a connection may be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from engine.language.document import read_document
from engine.language.fields import (
    Choice,
    Connection,
    Duration,
    Faulty,
    Field,
    FieldValue,
    Fixed,
    Number,
    Retry,
    Text,
    Texts,
    Truth,
    WebAddress,
    Word,
    address_fault,
    fixed_values,
    public_facts,
    read_fields,
    secret_texts,
    spoken,
)
from engine.language.problem import Mark, Problems
from engine.language.recipients import Recipients, Sender
from engine.language.scope import Scope
from engine.language.structure import Structure
from engine.language.url import Address

HELP = "What it is for."
SCOPE = Scope({"order": {"number": "R1", "total": "10.63"}}, datetime(2026, 11, 25, tzinfo=UTC))


def read(text: str, *fields: Field) -> tuple[dict[str, FieldValue], Problems]:
    problems = Problems("rule.yaml")
    document = read_document(text, problems)
    assert document is not None, problems.found
    return read_fields(document, fields, problems, "slack"), problems


def value(text: str, field: Field) -> Any:
    values, problems = read(text, field)
    assert problems.found == []
    found, gaps = values[field.name].render(SCOPE)
    assert gaps == ()
    return found


def told(text: str, *fields: Field) -> tuple[str, str]:
    """The one fault: its message and hint."""
    _, problems = read(text, *fields)
    (problem,) = problems.found
    return problem.message, problem.hint


# what each kind takes


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        (Text("x", HELP), 'x: "a {{ order.number }}"', "a R1"),
        (Text("x", HELP), "x: |\n\n  a\n  b\n", "a b"),
        (Text("x", HELP, lines="many"), "x: |\n  a\n\n  b\n", "a\n\nb"),
        (Text("x", HELP), "x: 05", "05"),
        (Text("x", HELP), "x: yes", "yes"),
        (Word("x", HELP), "x: ' smtp.example.com '", "smtp.example.com"),
        (Connection("x", HELP), "x: big-orders", "big-orders"),
        (WebAddress("x", HELP), "x: https://erp.example.com:8443/api", "https://erp.example.com:8443/api"),
        (Choice("x", HELP, choices=("per order", "none")), "x: Per_Order", "per order"),
        (Choice("x", HELP, choices=("per order", "none")), "x: none", "none"),
        (Truth("x", HELP), "x: yes", True),
        (Truth("x", HELP), "x: off", False),
        (Number("x", HELP, least=1, most=65535), "x: 587", 587),
        (Duration("x", HELP), "x: 2 minutes", 120),
        (Duration("x", HELP), "x: 15 s", 15),
        (Retry("x", HELP), "x: 8 times over 24 hours", {"times": 8, "over": 86400}),
        (Retry("x", HELP), "x: 3 times", {"times": 3}),
        (Retry("x", HELP), "x: 1 time", {"times": 1}),
        (Retry("x", HELP), "x: no", {"times": 1}),
        (Retry("x", HELP), "x: never", {"times": 1}),
        (Texts("x", HELP), 'x:\n  a: "{{ order.number }}"\n  B c: d\n', {"a": "R1", "B c": "d"}),
        (Texts("form", HELP), "form:\n  a: 1\n  A: |\n    2\n    3\n", {"a": "1", "A": "2\n3"}),
        (Texts("x", HELP, headers=True), "x:\n  X-A: |\n    1\n    2\n", {"X-A": "1 2"}),
        (Texts("x", HELP, fixed=True), "x:\n  yes: no\n", {"yes": "no"}),
        (Recipients("x", HELP), "x: a@x.test; B <b@x.test>", ["a@x.test", "B <b@x.test>"]),
        (Sender("x", HELP), 'x: "Shop, Inc <care@x.test>"', '"Shop, Inc" <care@x.test>'),
        (Address("x", HELP), "x: /orders/{{ order.number }}", "/orders/R1"),
        (Structure("x", HELP), 'x: [1, "{{ order.number }}", {a: null}]', [1, "R1", {"a": None}]),
    ],
)
def test_a_setting_takes_what_it_is_for(field: Field, text: str, found: Any) -> None:
    assert value(text, field) == found


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        (Text("x", HELP), "x: {a: b}", "x takes one text, not settings of its own"),
        (Text("x", HELP), "x: [a]", "x takes one text, not a list"),
        (Word("x", HELP), 'x: "{{ order.number }}"', "x cannot come from the event: write it out"),
        (
            Choice("x", HELP, choices=("send", "hold")),
            "x: sned",
            'x is "sned"; it takes send or hold. Did you mean `send`?',
        ),
        (Choice("x", HELP, choices=("send", "hold")), "x: [a]", "x takes one word, not a list"),
        (Truth("x", HELP), "x: maybe", 'x takes yes or no, not "maybe"'),
        (
            Number("x", HELP, least=1, most=65535),
            "x: 65536",
            'x takes a whole number from 1 to 65,535, not "65536"',
        ),
        (Number("x", HELP), "x: ten", 'x takes a whole number from 0 to 1,000,000, not "ten"'),
        (Number("x", HELP), "x: -1", 'x takes a whole number from 0 to 1,000,000, not "-1"'),
        (Duration("x", HELP), "x: soon", 'x takes a length of time, not "soon"'),
        (
            Duration("x", HELP, longest=timedelta(minutes=5)),
            "x: 1 hour",
            'x takes a length of time of at most 5 minutes, not "1 hour"',
        ),
        (Retry("x", HELP), "x: 0 times", 'x takes 1 to 50 times, not "0 times"'),
        (
            Retry("x", HELP),
            "x: 9 times over 8 days",
            'x takes a time of at most 7 days, not "9 times over 8 days"',
        ),
        (
            Retry("x", HELP),
            "x: 9 times over lunch",
            'x takes a time of at most 7 days, not "9 times over lunch"',
        ),
        (Texts("x", HELP), "x: a", "x takes lines of its own below it, each with a name and a text"),
        (
            Texts("x", HELP, headers=True),
            "x:\n  X-A:\n",
            "X-A is empty: write its text, or leave the line out",
        ),
        (
            Texts("headers", HELP, headers=True),
            "headers:\n  X-A: 1\n  x-a: 2\n",
            "x-a is X-A once more, since headers ignore case, and only one could count",
        ),
        (WebAddress("x", HELP), "x: example.com", "x must start with https:// (or http://)"),
        (Sender("x", HELP), "x: shop", 'x: "shop" is not a mail address'),
    ],
)
def test_what_cannot_be_meant_is_told_beside_what_it_takes(field: Field, text: str, message: str) -> None:
    assert told(text, field)[0] == message


def test_a_long_value_is_shown_cut_and_on_one_line() -> None:
    message, _ = told('x: "' + "maybe " * 40 + '"', Truth("x", HELP))
    assert message == 'x takes yes or no, not "' + ("maybe " * 40)[:59].rstrip() + '…"'


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://x.test", None),
        ("http://[::1]:80/a", None),
        ("ftp://x.test", "must start with https:// (or http://)"),
        ("https://", "has no host"),
        ("https://a b", "has a blank or a backslash in it"),
        ("https://x\\@y", "has a blank or a backslash in it"),
        ("https://u:p@x.test", "has a name or password in it: give them as a header of the connection"),
        ("https://x:port", "is not a web address"),
        ("http://[::1", "is not a web address"),
    ],
)
def test_a_web_address_has_a_host_and_no_password(address: str, fault: str | None) -> None:
    assert address_fault(address) == fault


# blocks of settings


def test_every_fault_of_a_block_is_told_with_its_place_and_a_line_that_would_do() -> None:
    fields = (
        Text("text", "The message.", required=True, example="hi"),
        Choice("on gap", HELP, choices=("send", "hold"), example="hold"),
        Connection("channel", HELP, example="ops"),
        Number("port", HELP, default=25),
    )
    values, problems = read("chanel: ops\non_gap: later\nport:\nwhatever: 1\n", *fields)
    assert [(one.line, one.message, one.hint) for one in problems.sorted()] == [
        (1, 'slack has no setting called "chanel". Did you mean `channel`?', "channel:"),
        (1, "slack needs `text`: The message.", "text: hi"),
        (2, 'on gap is "later"; it takes send or hold.', "on gap: send"),
        (3, "port is empty: write its value, or leave the line out", "port: …"),
        (4, 'slack has no setting called "whatever". It takes text, on gap, channel and port', ""),
    ]
    assert values == {
        "channel": Fixed(Mark(1, 9), "ops"),
        "on gap": Faulty(Mark(2, 9), None),
        "port": values["port"],
    }
    assert isinstance(values["port"], Faulty)


def test_what_is_left_out_has_its_default() -> None:
    values, problems = read(
        "a: 1\n", Number("a", HELP), Number("port", HELP, default=25), Truth("b", HELP, default=False)
    )
    assert problems.found == []
    assert fixed_values(values) == {"a": 1, "port": 25, "b": False}


@pytest.mark.parametrize("text", ["x:\n", "x: ''\n", "x: '  '\n", "x: ~\n", "x: null\n"])
def test_an_empty_setting_is_told(text: str) -> None:
    assert told(text, Text("x", HELP, example="hi")) == (
        "x is empty: write its value, or leave the line out",
        "x: hi",
    )


def test_a_fault_inside_a_template_stands_at_its_place_in_the_file() -> None:
    _, problems = read('a: 1\nx: "ok {{ order. }}"\n', Text("a", HELP), Text("x", HELP))
    assert [one.line for one in problems.found] == [2]
    assert problems.broken


def test_the_templates_of_every_kind_can_be_checked() -> None:
    template = '"{{ order.number }}"'
    fields = (
        Text("a", HELP),
        Texts("b", HELP),
        Structure("c", HELP),
        Recipients("d", HELP),
        Address("e", HELP),
    )
    text = f"a: {template}\nb: {{x: {template}}}\nc: [{{y: {template}}}, {template}]\nd: {template}\ne: {template}\n"
    values, problems = read(text, *fields)
    assert problems.found == []
    assert {name: len(one.templates()) for name, one in values.items()} == {
        "a": 1,
        "b": 1,
        "c": 2,
        "d": 1,
        "e": 1,
    }
    assert all(one.varies for one in values.values())
    assert all(
        read.path == ("order", "number")
        for one in values.values()
        for t in one.templates()
        for read in t.reads
    )


def test_a_setting_that_depends_on_no_event_says_so() -> None:
    values, _ = read("a: hi\nd: ops@x.test\n", Text("a", HELP), Recipients("d", HELP))
    assert not any(one.varies for one in values.values())


# connections


CONNECTION = (
    WebAddress("base_url", HELP),
    Texts("headers", HELP, secret=True, fixed=True, headers=True),
    Word("token", HELP, secret=True),
)


def test_of_a_secret_only_that_it_is_there_may_be_known() -> None:
    values, problems = read(
        "base_url: https://x.test\ntoken: canary-1\nheaders:\n  Authorization: canary-2\n", *CONNECTION
    )
    settings = fixed_values(values)
    assert problems.found == []
    assert settings["headers"] == {"Authorization": "canary-2"}
    assert public_facts(CONNECTION, settings) == {
        "base_url": "https://x.test",
        "token": True,
        "headers": True,
    }
    assert sorted(secret_texts(CONNECTION, settings)) == ["canary-1", "canary-2"]


@pytest.mark.parametrize(
    "text",
    [
        "token: [canary]\n",
        "token: '{{ canary }}'\n",
        "headers: canary\n",
        "headers:\n  X-A: '{{ canary }}'\n",
        "token: {a: canary}\n",
    ],
)
def test_no_fault_shows_a_secret(text: str) -> None:
    _, problems = read(text, *CONNECTION)
    assert problems.broken
    assert "canary" not in repr(problems.found)


def test_a_setting_that_depends_on_an_event_is_none_of_a_connection() -> None:
    values, _ = read('x: "{{ order.number }}"', Text("x", HELP))
    with pytest.raises(TypeError, match="depends on an event"):
        fixed_values(values)


# help


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (172800, "2 days"),
    ],
)
def test_a_length_of_time_is_spoken_in_its_largest_unit(seconds: int, words: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (Text("x", HELP), ["a", 5, True], [[], {}]),
        (Choice("x", HELP, choices=("send", "hold")), ["send"], ["later"]),
        (Truth("x", HELP), [True, "no"], ["maybe"]),
        (Number("x", HELP, most=9), [5], [10, "five"]),
        (Duration("x", HELP), ["5 seconds"], [5, "soon"]),
        (Retry("x", HELP), ["8 times over 24 hours", False], [8]),
        (Texts("x", HELP), [{"a": "b"}], ["a", [1]]),
        (Recipients("x", HELP), ["a@x.test", ["a@x.test"]], [5, {}]),
        (Structure("x", HELP), [{"a": [1]}, [], "{{ x }}"], [5]),
        (Address("x", HELP), ["/x"], [5]),
    ],
)
def test_each_kind_has_its_part_of_a_schema(field: Field, good: list[Any], bad: list[Any]) -> None:
    schema = field.schema()
    assert schema["description"] == HELP
    check = jsonschema.Draft202012Validator(schema)
    assert all(check.is_valid(one) for one in good)
    assert not any(check.is_valid(one) for one in bad)


def test_lines_that_were_to_stand_below_a_setting_are_one_fault_and_no_unknown_settings() -> None:
    fields = Structure("json", HELP), Word("connection", HELP), Word("note", HELP)
    values, problems = read("json:\nreference: a\ntotal: 5\nconnection: erp\n", *fields)
    assert [(one.line, one.hint) for one in problems.found] == [(1, "json:\n  reference: a")]
    assert isinstance(values["json"], Faulty)
    assert isinstance(values["connection"], Fixed)
    assert [one.line for one in read("note:\ntotal: 5\n", *fields)[1].found] == [1, 2]
