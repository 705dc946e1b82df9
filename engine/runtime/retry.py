"""When a delivery that failed is tried again, and when it is given up; pure, time and chance are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from engine.actions.base import DeliveryError, OnUnsure
from engine.model import DeliveryState

USUAL = (5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)
"""The usual waits between eight tries, in seconds: 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h."""

SPREAD = 0.2
"""Waits vary by this part up and down, so that what failed together does not come back together."""

LONGEST_ASKED = 3_600.0
"""So many seconds at most does a delivery wait because the other side asks for it."""

_FIRST = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a delivery is tried: `waits` are the seconds between the tries, one less than there are tries."""

    waits: tuple[float, ...] = USUAL
    on_unsure: OnUnsure = "resend"

    @classmethod
    def of(cls, setting: Mapping[str, Any] | None, on_unsure: OnUnsure = "resend") -> Policy:
        """The policy that a rule's `retry` setting means: `{"times": 8, "over": 86400}`, or None for the usual."""
        if setting is None:
            return cls(USUAL, on_unsure)
        gaps = int(setting["times"]) - 1
        over = setting.get("over")
        if over is None and gaps <= len(USUAL):
            return cls(USUAL[:gaps], on_unsure)
        return cls(growing(gaps, float(over if over is not None else sum(USUAL))), on_unsure)

    @property
    def tries(self) -> int:
        """How often it is tried in all."""
        return len(self.waits) + 1


def later_tries(policy: Policy, attempts: int, due_at: datetime) -> list[datetime]:
    """When, about, a delivery is tried again after its next try at `due_at`, each time that it fails.

    `attempts` are the tries it has had; what the other side asks for may make a wait longer or shorter.
    """
    times = list(accumulate(policy.waits[attempts:]))
    return [due_at + timedelta(seconds=seconds) for seconds in times]


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a delivery after a failed try: its state, when it is due again, and why, for people."""

    state: DeliveryState
    due_at: datetime | None
    reason: str


def decide(error: DeliveryError, attempt: int, policy: Policy, now: datetime, chance: float) -> Next:
    """What follows on a failed try. `attempt` counts from 1, `chance` is between 0 and 1."""
    told = str(error)
    if error.kind in ("permanent", "setup"):
        return Next(DeliveryState.FAILED, None, told)
    if error.kind == "unsure" and policy.on_unsure == "ask":
        return Next(DeliveryState.HELD, None, f"Nobody knows whether it went out: {told}")
    if attempt >= policy.tries:
        times = "once" if policy.tries == 1 else f"{policy.tries} times"
        return Next(DeliveryState.FAILED, None, f"Tried {times} without success: {told}")
    wait, why = _wait(error, policy.waits[attempt - 1], chance)
    return Next(DeliveryState.QUEUED, now + timedelta(seconds=wait), f"{told}{why}")


def _wait(error: DeliveryError, usual: float, chance: float) -> tuple[float, str]:
    asked = error.retry_after
    if asked is None or not asked > 0:
        return usual * (1 + SPREAD * (2 * chance - 1)), ""
    if asked > LONGEST_ASKED:
        return LONGEST_ASKED, " (it asks for a longer wait than one hour, which is the most)"
    return asked, ""


def growing(gaps: int, over: float) -> tuple[float, ...]:
    """So many waits, each longer than the one before by the same factor, that together last `over` seconds."""
    if gaps <= 0:
        return ()
    if over <= _FIRST * gaps:
        return (over / gaps,) * gaps
    factor = _factor(gaps, over / _FIRST)
    waits = [factor**place for place in range(gaps)]
    return tuple(wait * over / sum(waits) for wait in waits)


def _factor(gaps: int, wanted: float) -> float:
    """The factor by which waits grow that begin with 1 and sum up to `wanted`; found by halving."""
    low, high = 1.0, max(2.0, wanted)
    for _ in range(60):
        middle = (low + high) / 2
        if sum(middle**place for place in range(gaps)) < wanted:
            low = middle
        else:
            high = middle
    return low
