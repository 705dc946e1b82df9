"""However a database is damaged, a start ends well or with the reason, and no message goes out that nobody made.

The long form hurts 300 files and more: `python tests/long/damage.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "long"))

from damage import WAYS, run

pytestmark = pytest.mark.anyio


async def test_starts_on_damaged_records_end_well_and_send_nothing_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await run(4 * len(WAYS), seed=7), capsys.readouterr().out
