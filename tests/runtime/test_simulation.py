"""Lives of the core, by chance from one seed: every promise is kept, and a core that breaks one is found out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "long"))

from simulation import Broken, Life

from engine.model import DeliveryState
from engine.runtime import delivering, judging
from engine.runtime.delivering import Delivering
from engine.runtime.judging import Judging
from engine.store.store import StoreUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def test_in_whatever_order_events_faults_crashes_and_time_come_every_promise_is_kept(
    tmp_path: Path,
) -> None:
    crashes = 0
    for seed in range(12):
        life = Life(seed, tmp_path)
        await life.live()
        crashes += life.crashes
    assert crashes > 25


async def test_a_seed_is_lived_again_step_by_step(tmp_path: Path) -> None:
    told: list[list[str]] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        steps: list[str] = []
        await Life(7, tmp_path / name, steps.append).live()
        told.append(steps)
    assert told[0] == told[1]


# a core that breaks a promise


async def _once(call: Callable[[], Awaitable[Any]], wait: Any = None) -> Any:
    try:
        return await call()
    except StoreUnavailable:
        return []


async def _nothing(self: Delivering) -> None:
    pass


async def _aside_at_once(self: Judging, batch: Any, reason: str) -> None:
    for event in batch:
        await self._set_aside(event, reason)


def _no_order(due: Any, now: Any, okey: str) -> Any:
    return replace(WHOLE_NEW_DELIVERY(due, now, okey), okey=None)


def _as_done(self: Delivering, delivery: Any, outcome: Any, took: int) -> Any:
    finished = WHOLE_FINISHED(self, delivery, outcome, took)
    return type(finished)(finished.delivery_id, finished.attempt, "done", state=DeliveryState.DONE)


WHOLE_NEW_DELIVERY = judging._new_delivery
WHOLE_FINISHED = Delivering._finished

FAULTS = {
    "what was under way at a crash is not taken up": (Delivering, "take_up", _nothing, "I7"),
    "a result that could not be noted is let go": (delivering, "insist", _once, "I7"),
    "a judgement that could not be noted is let go": (judging, "insist", _once, "I2"),
    "a failed try is noted as done": (Delivering, "_finished", _as_done, "I2"),
    "what dies together is set aside together": (Judging, "_died", _aside_at_once, "I2"),
    "calls go out in any order": (judging, "_new_delivery", _no_order, "I5"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_core_that_breaks_a_promise_is_found_out(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, broken, promise = FAULTS[fault]
    monkeypatch.setattr(place, name, broken)
    with pytest.raises(Broken, match=f"^{promise}"):
        await _lives(tmp_path)


async def _lives(folder: Path) -> None:
    """Lives enough for every fault; the one that shows least is seen in the first of them."""
    for seed in (20, *range(20), *range(21, 100)):
        await Life(seed, folder).live()
