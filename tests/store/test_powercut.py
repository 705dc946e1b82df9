"""A power cut takes back what was not synced, and nothing that was acknowledged; the long form has 200 seeds and more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "long"))

from powercut import lived

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("by_sector", [False, True])
async def test_after_a_power_cut_everything_acknowledged_is_there_and_whole(by_sector: bool) -> None:
    lives = [await lived(seed, False, by_sector) for seed in range(12)]
    assert sum(one.acknowledged for one in lives) > 300
    assert [(one.lost, one.torn, one.damaged) for one in lives] == [(0, 0, 0)] * 12


async def test_without_syncs_something_is_lost_so_that_the_layer_is_known_to_see() -> None:
    lives = [await lived(seed, True, False) for seed in range(12)]
    assert sum(one.lost for one in lives) > 0
    assert not any(one.torn or one.damaged for one in lives)
