"""A line of the log tells one thing, forges no other, and shows neither a secret nor a customer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runtime.logs import LONGEST, ForPeople, ForPrograms, log_to

SECRET = "xoxb-4711-secret"
log = logging.getLogger("shopbell.test")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before


def told(stream: StringIO, say: Any) -> list[str]:
    log_to(stream, [SECRET, ""])
    say()
    return stream.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_each_line_is_one_json_object() -> None:
    (line,) = told(StringIO(), lambda: log.warning("delivery %d did not arrive: %s", 7, "busy"))
    said = json.loads(line)
    assert {**said, "time": ""} == {
        "time": "",
        "level": "warning",
        "where": "shopbell.test",
        "message": "delivery 7 did not arrive: busy",
    }
    assert said["time"].endswith("+00:00")


def test_on_a_terminal_a_line_is_for_people() -> None:
    (line,) = told(Terminal(), lambda: log.warning("delivery %d did not arrive", 7))
    assert line[8:] == " warning delivery 7 did not arrive"


HOSTILE = [
    "two\nlines",
    "\r\nERROR forged",
    "\x1b[2Jgone",
    "half of a pair \ud83d",
    "\u202eright to left",
    "\x00\x07\x85\u2028\u2029",
    '"}\n{"level": "error"',
]


@pytest.mark.parametrize("stream", [StringIO, Terminal])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_from_outside_can_begin_a_line_or_steer_a_terminal(stream: type[StringIO], text: str) -> None:
    lines = told(stream(), lambda: log.warning("it said %s", text))
    assert len(lines) == 1
    assert all(letter.isprintable() for letter in lines[0])


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_told_takes_one_line_of_what_can_be_printed(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, text, (), None)
    for formatter in (ForPrograms([SECRET]), ForPeople([SECRET])):
        line = formatter.format(record)
        assert line.isprintable()
    assert ForPrograms([SECRET]).format(record).isascii()


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_secrets_and_mail_addresses_are_masked_in_texts_and_in_tracebacks(stream: type[StringIO]) -> None:
    def say() -> None:
        log.error("token %s of ana.doe+shop@mail.example.com, <bo@x.example>", SECRET)
        try:
            raise ValueError(f"{SECRET} for cy@example.org")
        except ValueError:
            log.exception("it failed")

    text = "\n".join(told(stream(), say))
    assert not any(word in text for word in (SECRET, "ana", "doe", "bo@", "cy@"))
    assert "@mail.example.com" in text
    assert "ValueError" in text


def test_an_address_with_a_port_or_a_name_at_a_channel_is_no_mail_address() -> None:
    (line,) = told(StringIO(), lambda: log.info("at http://127.0.0.1:8000/ for @channel, 5 @ 3"))
    assert json.loads(line)["message"] == "at http://127.0.0.1:8000/ for @channel, 5 @ 3"


def test_a_long_text_is_cut() -> None:
    (line,) = told(StringIO(), lambda: log.info("x" * 100_000))
    assert len(json.loads(line)["message"]) == LONGEST + 1


def test_a_secret_is_masked_before_the_text_is_cut() -> None:
    (line,) = told(StringIO(), lambda: log.info("x" * (LONGEST - 5) + SECRET))
    assert SECRET[:4] not in line


def test_libraries_that_tell_whole_addresses_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(
        StringIO(), lambda: logging.getLogger("httpx").info("POST https://hooks.slack.com/services/T0/B0/x")
    )
    assert lines == []
