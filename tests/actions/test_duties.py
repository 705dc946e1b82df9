"""What every action owes: its help, a request that is plain JSON without secrets, and failures told without any."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine import actions
from engine.actions.base import (
    COMMON_FIELDS,
    Action,
    DeliveryError,
    Destinations,
    HttpAnswer,
    Receipt,
    Rendered,
    gap_line,
)
from engine.language.document import read_document
from engine.language.fields import Field, fixed_values, public_facts, read_fields, secret_texts
from engine.language.problem import Mark, Problems
from engine.model import Gap

pytestmark = pytest.mark.anyio

WORDS = sorted(actions.found())
every_action = pytest.mark.parametrize("word", WORDS)

SECRETS = ("canary-one-0123456789", "canary-two-0123456789", "canary-three-0123456789")
CONNECTIONS: Mapping[str, str] = {
    "slack": f"webhook: https://hooks.example.com/services/{SECRETS[0]}\n",
    "email": f"host: smtp.example.com\nusername: u\npassword: {SECRETS[1]}\nfrom: Shop <care@shop.example>\n",
    "http": "base_url: https://erp.example.com\nheaders:\n"
    f"  Authorization: Bearer {SECRETS[2]}\nsigning_secret: {SECRETS[0]}\n",
}
"""A connection of each kind, as the settings file has it."""


def example(word: str) -> str:
    """The settings of an action's own example, without the line that names it."""
    lines = actions.found()[word].example.splitlines()
    assert lines[0] == f"{word}:"
    return "\n".join(line.removeprefix("  ") for line in lines[1:]) + "\n"


def connection(word: str) -> dict[str, Any]:
    problems = Problems("shopbell.yaml")
    document = read_document(CONNECTIONS[word], problems)
    assert document is not None
    fields = actions.found()[word].connection_fields
    values = read_fields(document, fields, problems, f"a {word} connection")
    actions.found()[word].check_connection(values, Mark(1, 1), problems)
    assert problems.found == []
    return fixed_values(values)


def destinations(word: str) -> Destinations:
    facts = public_facts(actions.found()[word].connection_fields, connection(word))
    names = ("default", "big-orders", "care", "erp")
    return Destinations({word: dict.fromkeys(names, facts)}, known=True)


ANSWERS = (*(HttpAnswer(status, {}, b"no") for status in (200, 302, 400, 401, 429, 503)),
           DeliveryError("smtp.example.com broke off", "unsure"))  # fmt: skip
"""What services can give back: answers in which they have hidden our secrets, or a failure of their own."""


def test_the_words_of_the_folder_are_found_without_a_list() -> None:
    assert {"slack", "email", "http"} <= set(WORDS)
    assert "base" not in WORDS
    assert "answers" not in WORDS


@every_action
def test_each_has_help_for_itself_and_each_of_its_settings(word: str) -> None:
    action = actions.found()[word]
    settings: tuple[Field, ...] = (*action.fields, *action.connection_fields)
    assert action.__doc__
    assert all(field.help.endswith(".") and field.example for field in settings)


@every_action
def test_each_takes_the_settings_that_all_take(word: str) -> None:
    assert set(COMMON_FIELDS) <= set(actions.found()[word].fields)


@every_action
def test_no_setting_has_two_meanings(word: str) -> None:
    names = [field.name for field in actions.found()[word].fields]
    assert len(names) == len(set(names))


@every_action
def test_each_example_line_of_help_reads_well(word: str) -> None:
    action = actions.found()[word]
    for field in (*action.fields, *action.connection_fields):
        text = (
            f"{field.name}:\n  {field.example}\n"
            if "name" in field.kind and ": " in field.example
            else field.line
        )
        text = text.replace("${SLACK_WEBHOOK}", "https://hooks.example.com/x")
        problems = Problems("rule.yaml")
        document = read_document(text + "\n", problems)
        assert document is not None, (text, problems.found)
        assert field.read(next(iter(document)).value, problems) is not None, (text, problems.found)
        assert problems.found == []


@every_action
def test_the_example_is_a_rule_that_checks_and_renders(word: str, write: Any, render: Any) -> None:
    assert write(word, example(word), destinations(word)).problems == ()
    assert render(word, example(word), destinations=destinations(word))


@every_action
def test_a_request_is_plain_json_and_comes_back_the_same_from_the_record(word: str, render: Any) -> None:
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    encode = msgspec.json.Encoder(decimal_format="number").encode
    for one in render(word, example(word), destinations=destinations(word)):
        assert isinstance(one, Rendered)
        assert decode(encode(one.request)) == one.request
        assert one.request["connection"]
        assert one.to


@every_action
def test_no_request_and_no_public_fact_holds_a_secret(word: str, render: Any) -> None:
    shown = repr(render(word, example(word), destinations=destinations(word))) + repr(destinations(word))
    assert not [secret for secret in SECRETS if secret in shown]
    secret = "".join(secret_texts(actions.found()[word].connection_fields, connection(word)))
    assert any(one in secret for one in SECRETS)


@every_action
def test_the_same_event_gives_the_same_request(word: str, render: Any) -> None:
    first, again = (render(word, example(word), destinations=destinations(word)) for _ in range(2))
    assert first == again


@every_action
async def test_no_failure_tells_a_secret_and_each_says_what_kind_it_is(
    word: str, render: Any, services: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    services.connections = {word: dict.fromkeys(("default", "big-orders", "care", "erp"), connection(word))}
    (one,) = render(word, example(word), destinations=destinations(word))
    told: list[str] = []
    kinds: set[str] = set()
    for answer in ANSWERS:
        services.answer = answer
        try:
            receipt = await actions.found()[word].deliver(one.request, "key-1", services)
            told.append(repr(receipt))
        except DeliveryError as error:
            told += [str(error), error.detail, error.status]
            kinds.add(error.kind)
    assert services.sent
    assert kinds <= {"permanent", "temporary", "setup", "unsure"}
    assert not [text for text in (*told, caplog.text) for secret in SECRETS if secret in text]


@every_action
async def test_what_is_sent_is_what_was_rendered_every_time(word: str, render: Any, services: Any) -> None:
    services.connections = {word: dict.fromkeys(("default", "big-orders", "care", "erp"), connection(word))}
    (one,) = render(word, example(word), destinations=destinations(word))
    before = msgspec.json.encode(one.request)
    for _ in range(2):
        receipt = await actions.found()[word].deliver(one.request, "key-1", services)
        assert isinstance(receipt, Receipt)
    first, again = services.sent
    assert msgspec.json.encode(one.request) == before
    assert first == again


@every_action
def test_what_a_rule_says_about_retrying_travels_with_the_request(word: str, render: Any) -> None:
    rule = example(word) + "retry: 3 times over 1 hour\ntimeout: 7 seconds\non unsure: "
    usual = actions.found()[word].on_unsure
    other = "ask" if usual == "resend" else "resend"
    (one,) = render(word, rule + other + "\n", destinations=destinations(word))
    assert one.request["retry"] == {"times": 3, "over": 3600}
    assert one.request["timeout"] == 7
    assert one.request["on_unsure"] == other
    (same,) = render(word, rule + usual + "\n", destinations=destinations(word))
    assert "on_unsure" not in same.request


@every_action
def test_nothing_is_carried_that_the_rule_does_not_say(word: str, render: Any) -> None:
    (one,) = render(word, example(word), destinations=destinations(word))
    assert not {"retry", "timeout", "on_unsure"} & set(one.request)


@pytest.mark.parametrize(
    ("expressions", "line"),
    [
        ((), ""),
        (("order.foo",), "one value could not be filled in: order.foo"),
        (("order.foo", "order.foo"), "one value could not be filled in: order.foo"),
        (("order.foo", "order.bar"), "2 values could not be filled in: order.foo, order.bar"),
    ],
)
def test_the_last_line_of_a_message_with_gaps_names_them(expressions: tuple[str, ...], line: str) -> None:
    assert gap_line(tuple(Gap(1, expression, "it is not there") for expression in expressions)) == line


def test_a_module_without_an_action_is_no_word() -> None:
    assert all(isinstance(action, Action) for action in actions.found().values())


@pytest.mark.parametrize(
    ("word", "text", "told"),
    [
        ("slack", "channel: x\n", "either `webhook` or `token`"),
        ("slack", "webhook: https://h.example\ntoken: x\n", "either `webhook` or `token`"),
        ("slack", "webhook: canary\n", "webhook must start with https://"),
        ("slack", "webhook: https://canary@h.example/\n", "has a name or password in it"),
        ("email", "host: h\nfrom: a@b.test\npassword: canary\n", "both `username` and `password`"),
        ("email", "host: h\nfrom: nobody\n", '"nobody" is not a mail address'),
        ("email", "from: a@b.test\n", "a email connection needs `host`"),
        (
            "email",
            "host: h\nfrom: a@b.test\nsecurity: none\nusername: u\npassword: canary\n",
            "for anybody to read",
        ),
        ("http", "base_url: ftp://x.test\n", "base_url must start with https://"),
        ("http", "base_url: https://x.test\nheaders:\n  A b: canary\n", "cannot be the name of a header"),
        ("http", "base_url: https://x.test\nheaders: canary\n", "takes lines of its own"),
    ],
)
def test_a_connection_is_checked_without_showing_its_secrets(word: str, text: str, told: str) -> None:
    problems = Problems("shopbell.yaml")
    document = read_document(text, problems)
    assert document is not None
    values = read_fields(document, actions.found()[word].connection_fields, problems, f"a {word} connection")
    actions.found()[word].check_connection(values, Mark(1, 1), problems)
    assert [problem.message for problem in problems.found if told in problem.message]
    assert "canary" not in repr(problems.found)
