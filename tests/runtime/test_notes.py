"""Notes go from hand to hand, one at a time, and a record that fails costs no message."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.runtime.notes import Notes

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_who_holds_a_note_keeps_others_waiting_and_they_read_what_was_kept() -> None:
    notes = Notes()
    order: list[str] = []

    async def turn(name: str) -> None:
        async with notes.hold(name) as note:
            order.append(note.text)
            await asyncio.sleep(0)
            await note.keep(f"{note.text}+")

    await asyncio.gather(*(turn("a") for _ in range(3)), turn("b"))
    assert sorted(order) == ["", "", "+", "++"]


async def test_another_name_is_not_waited_for() -> None:
    notes = Notes()
    async with notes.hold("a"), asyncio.timeout(5), notes.hold("b") as other:
        assert other.text == ""


async def test_nothing_stays_behind_of_a_turn_that_failed() -> None:
    notes = Notes()
    with pytest.raises(ValueError, match="oh"):
        async with notes.hold("a"):
            raise ValueError("oh")
    async with asyncio.timeout(5), notes.hold("a") as note:
        assert note.text == ""
    assert notes._turns == {}


async def test_a_record_that_cannot_keep_a_note_is_logged_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def recall(name: str) -> str:
        return "1.1"

    async def keep(name: str, text: str) -> None:
        raise OSError("disk full")

    with caplog.at_level(logging.ERROR):
        async with Notes(recall, keep).hold("a") as note:
            await note.keep("2.2")
    assert "could not be kept" in caplog.text
