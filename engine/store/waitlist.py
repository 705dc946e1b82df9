"""The people who wait for a product: their places in the order they signed up, and what became of each."""

from __future__ import annotations

from typing import Any

from engine.model import Tell, Waiting
from engine.store.sql import Runner


def next_in_turn(runner: Runner, ask: Waiting) -> dict[str, Any]:
    """Who is next for a SKU."""
    return {"waiting": 0, "next": []}


def told(runner: Runner, effect: Tell, event: int, now: int) -> None:
    """Note that people have had their turn."""
