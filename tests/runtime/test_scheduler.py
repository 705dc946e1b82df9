"""Sweeps let go of what is old, in batches, and a record that is away is swept later."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from engine.runtime.scheduler import Scheduler
from engine.runtime.upkeep import Keep
from engine.store.store import Purged, StoreUnavailable

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Record:
    """A record with so many old rows, of which each batch takes some."""

    identities: int = 0
    events: int = 0
    kept: int = 0
    away: bool = False
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def purge_identities(self, now: datetime, limit: int = 1000) -> int:
        if self.away:
            raise StoreUnavailable("the disk is full")
        assert now == NOW
        gone = min(limit, self.identities)
        self.identities -= gone
        return gone

    async def purge(self, before: datetime, *, deliveries_before: datetime, limit: int = 100) -> Purged:
        self.asked.append((before, deliveries_before))
        gone = min(limit, self.events)
        self.events -= gone
        return Purged(gone, 0, 0, self.kept)

    @property
    def disk(self) -> None:
        return None


def scheduler(record: Record, **keep: timedelta) -> Scheduler:
    return Scheduler(record, lambda: NOW, keep=Keep(**keep))  # type: ignore[arg-type]


async def test_a_sweep_goes_on_until_nothing_old_is_left() -> None:
    record = Record(identities=2_500, events=250)
    await scheduler(record).sweep()
    assert (record.identities, record.events) == (0, 0)


async def test_each_kind_is_kept_as_long_as_the_settings_say() -> None:
    record = Record()
    await scheduler(record, events=timedelta(days=30), deliveries=timedelta(days=60)).sweep()
    assert record.asked == [(NOW - timedelta(days=30), NOW - timedelta(days=60))]


async def test_what_stays_because_a_person_has_to_decide_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sweeps = scheduler(Record(kept=3))
    await sweeps.sweep()
    await sweeps.sweep()
    assert caplog.text.count("3 events older than 90 days stay") == 1


async def test_a_record_that_is_away_is_told_and_swept_the_next_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = Record(identities=10, events=10, away=True)
    sweeps = scheduler(record)
    await sweeps.sweep()
    assert "could not be swept" in caplog.text
    record.away = False
    await sweeps.sweep()
    assert (record.identities, record.events) == (0, 0)


async def test_a_sweep_that_is_late_runs_once_and_never_beside_another() -> None:
    sweeps = scheduler(Record())
    sweeps.start()
    jobs = {job.name.rpartition(".")[2]: job for job in sweeps._scheduler.get_jobs()}
    assert set(jobs) == {"sweep", "look_for_damage"}
    assert {(job.misfire_grace_time, job.coalesce, job.max_instances) for job in jobs.values()} == {
        (None, True, 1)
    }
    assert jobs["sweep"].trigger.interval == timedelta(minutes=10)
    sweeps.stop()
    await asyncio.sleep(0)


async def test_once_started_it_sweeps_by_the_clock(caplog: pytest.LogCaptureFixture) -> None:
    swept = asyncio.Event()
    record = Record()
    sweeps = scheduler(record)

    async def purge(*args: object, **more: object) -> Purged:
        swept.set()
        return Purged(0, 0, 0, 0)

    record.purge = purge  # type: ignore[method-assign]
    sweeps.start()
    with caplog.at_level(logging.ERROR):
        job = next(job for job in sweeps._scheduler.get_jobs() if job.name.endswith("sweep"))
        job.modify(next_run_time=datetime.now(UTC))
        async with asyncio.timeout(10):
            await swept.wait()
    sweeps.stop()
