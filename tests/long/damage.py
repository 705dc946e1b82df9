"""Damaged databases: however the files are hurt, a start ends whole, repaired, fresh or refused with a reason.

`python tests/long/damage.py [--files 300] [--seed 1]` hurts the files of a record in many ways (bit flips, a log cut short,
files gone), starts the store on them as the service does, and takes what is due. It prints what each start came to, and
ends with 1 if one ended otherwise, if a second start did not end well, or if a message would go out that nobody made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from engine.model import DeliveryState
from engine.store.backup import back_up
from engine.store.repair import made_whole
from engine.store.store import Arrival, Judged, NewDelivery, Store, StoreError

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENTS = 60
ENDS = ("", "-wal", "-shm")
WAYS = (
    "flip one bit",
    "flip 20 bits",
    "flip 400 bits",
    "cut the log",
    "log gone",
    "index gone",
    "file gone",
    "cut the file",
)


async def make(folder: Path, copies: Path) -> None:
    """A record with judged and new events and due deliveries, whose log is still beside it."""
    store = await Store.open(f"sqlite:///{folder}/shop.db")
    for number in range(EVENTS):
        body = b'{"number":"R%d","x":"%s"}' % (number, b"y" * (number * 31 % 900))
        arrival = Arrival(
            source="chord", type="order_completed", subject=f"order:R{number}", body=body,
            identity=number.to_bytes(32, "big"), window=timedelta(days=9),
        )  # fmt: skip
        id = (await store.append(arrival, NOW)).id
        if number % 4:
            text = json.dumps({"text": f"order R{number} of event {id}"})
            due = NewDelivery(
                "r", 1, "slack", "#a", "slack/default", text, DeliveryState.QUEUED, NOW, None, f"{id}-r"
            )
            await store.record([Judged(id, "b00c", {}, NOW, deliveries=[due])])
        if number == EVENTS // 2:
            back_up(folder / "shop.db", copies, NOW)
        if number == EVENTS * 3 // 4:  # a part of it is carried over into the file
            await store._writer.apart(lambda database: database.scrub())
    for end in ENDS:
        shutil.copy(folder / f"shop.db{end}", folder / f"left{end}")  # what a killed process leaves behind
    await store.close()


def hurt(database: Path, way: str, chance: Random) -> None:
    """Hurt the files of a database."""
    log = database.with_name(database.name + "-wal")
    if way.startswith("flip"):
        flip(chance.choice([database, log]), int(way.split()[1].replace("one", "1")), chance)
    elif way.startswith("cut"):
        file = log if way == "cut the log" else database
        file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])
    else:
        end = {"log": "-wal", "index": "-shm", "file": ""}[way.split()[0]]
        database.with_name(database.name + end).unlink()


def flip(file: Path, bits: int, chance: Random) -> None:
    """Flip bits of a file."""
    data = bytearray(file.read_bytes())
    for _ in range(bits):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


async def start(database: Path, copies: Path | None) -> tuple[str, list[str]]:
    """Start on a database as the service does, and take what is due: how it ended, and messages nobody made."""
    try:
        found = made_whole(database, copies, NOW + HOUR)
        async with await Store.open(f"sqlite:///{database}") as store:
            await store.recover(frozenset(), NOW + HOUR)
            await store.take_new(100, NOW + HOUR)
            claimed = await store.claim(1000, NOW + HOUR)
            wrong = [
                str(one.request)
                for one in claimed
                if not is_ours(one.idempotency_key, one.request, one.connection)
            ]
            await store.append(
                Arrival(
                    source="c", type="t", subject="s", body=b"{}", identity=bytes(31) + b"\xff", window=HOUR
                ),
                NOW,
            )
    except StoreError:
        return "refused with the reason", []
    return found.outcome, wrong


def is_ours(key: str, request: object, connection: str) -> bool:
    """Whether a message is as it was made."""
    id = key.partition("-")[0]
    return (
        key == f"{id}-r"
        and connection == "slack/default"
        and request == {"text": f"order R{int(id) - 1} of event {id}"}
    )


async def run(files: int, seed: int) -> bool:
    """Hurt so many and print what came of it; whether all is well."""
    chance = Random(seed)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        folder, copies = Path(home) / "made", Path(home) / "copies"
        folder.mkdir()
        await make(folder, copies)
        for number in range(files):
            way, with_copy = WAYS[number % len(WAYS)], bool(number // len(WAYS) % 2)
            database = Path(home) / f"{number}" / "shop.db"
            database.parent.mkdir()
            for end in ENDS:
                shutil.copy(folder / f"left{end}", database.with_name(f"shop.db{end}"))
            database.with_name("shop.db.lock").touch()
            hurt(database, way, chance)
            try:
                first, wrong = await start(database, copies if with_copy else None)
                second, more = await start(database, copies if with_copy else None)
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                faults.append(
                    f"file {number}, {way}: {type(error).__name__} {error} at {place.filename}:{place.lineno}"
                )
                continue
            outcomes[first] += 1
            if second not in ("ok", first):
                faults.append(f"file {number}, {way}: {first}, and then {second}")
            faults += [f"file {number}, {way}: a message nobody made: {one}" for one in wrong + more]
            shutil.rmtree(database.parent)
    print(f"seed {seed}; {files} damaged records; starts: {dict(outcomes)}; faults: {len(faults)}")
    for fault in faults[:20]:
        print(f"  {fault}")
    return not faults


def main() -> None:
    """Read the arguments, run, and say by the exit code how it went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.exit(0 if asyncio.run(run(given.files, given.seed)) else 1)


if __name__ == "__main__":
    main()
