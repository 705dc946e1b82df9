"""Days of a shop with every rule of the gallery and of `rules/` on: what is sent is what a clerk writes by hand."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "long"))

from clerk import RULES
from week import known_files, lived

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_clerk_knows_every_rule_that_there_is() -> None:
    assert set(RULES) == known_files()


async def test_in_the_days_of_a_busy_shop_exactly_what_is_due_is_sent_and_a_missing_message_is_found_out() -> (
    None
):
    result = await lived(40, seed=7, faults=0.2, orders_per_hour=60)
    assert [one for one in result.differences if not one.startswith("never fired")] == []
    assert result.clerk.repeats > 0
    assert result.clerk.late > 0
    assert result.got.total() > result.clerk.heard > 300
    assert len({file for file, _ in result.clerk.sent}) > 12
    result.got.subtract([result.clerk.sent[5][1]])
    assert any(one.startswith("missing") for one in result.differences)
