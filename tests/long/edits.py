"""Rule edits under load: in place, in pieces, by rename, a fifth invalid, a fifth left half written for a while.

`python tests/long/edits.py [--edits 1000] [--seconds 600] [--seed 1] [--rate 100]` edits five rules while orders come in.
At the end each event is held against the rulebook that its record names: every call carries the version that stands there,
and every text there was once written as a whole and is valid. It prints its figures and ends with 1 at a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import uvloop
from loopback import Catcher, Orders, Served, every, post_all, until

from engine.store.store import Reader

RULES = [f"r{number}" for number in range(5)]


def rule(name: str, version: int) -> str:
    """A rule that sends its version."""
    return (
        f"name: {name}\nwhen: order_completed\nthen:\n  - http:\n      post: /{name}\n      connection: erp\n"
        f'      json: {{number: "{{{{ order.number }}}}", version: {version}}}\n'
    )


class Editor:
    """Somebody who edits rules, carelessly; `whole` are the valid texts that were ever written as a whole."""

    def __init__(self, folder: Path, chance: Random) -> None:
        self.folder = folder
        self.chance = chance
        self.versions = dict.fromkeys(RULES, 1)
        self.whole = {rule(name, 1) for name in RULES}
        self.kinds: defaultdict[str, int] = defaultdict(int)

    async def edit(self, pause: float) -> None:
        """One edit, and some time."""
        name = self.chance.choice(RULES)
        self.versions[name] += 1
        text = rule(name, self.versions[name])
        kind = self.chance.choice(["in place", "by rename", "away for a moment", "invalid", "in pieces"])
        self.kinds[kind] += 1
        path = self.folder / f"{name}.yaml"
        if kind == "invalid":
            path.write_text(text.replace("when:", "whn:"))
        else:
            self.whole.add(text)
        if kind == "in place":
            path.write_text(text)
        if kind == "by rename":
            (self.folder / ".new").write_text(text)
            os.rename(self.folder / ".new", path)
        if kind == "away for a moment":
            path.unlink(missing_ok=True)
            await asyncio.sleep(min(pause, 0.4))
            path.write_text(text)
        if kind == "in pieces":
            path.write_text(text[: self.chance.randrange(len(text))])
            await asyncio.sleep(min(pause, 0.5))
            path.write_text(text)
        await asyncio.sleep(pause * self.chance.uniform(0.2, 1.0))


async def run(edits: int, seconds: float, seed: int, rate: int) -> bool:
    """Carry it out and print the figures; whether all is well."""
    with tempfile.TemporaryDirectory() as home:
        async with Catcher() as catcher:
            service = Served(Path(home), catcher.port, {f"{name}.yaml": rule(name, 1) for name in RULES})
            await service.start()
            editor = Editor(service.rules, Random(seed))
            posted, slowest = 0, 0.0
            editing = asyncio.create_task(edit_all(editor, edits, seconds / edits))
            orders = Orders()
            while not editing.done():
                began = time.monotonic()
                bodies = [orders.body(f"R{posted + number}") for number in range(rate // 10)]
                answers = await post_all(service.port, bodies, 8)
                if {answer.status for answer in answers} != {202}:
                    print("an event was not acknowledged")
                    return False
                posted += len(bodies)
                slowest = max(slowest, *(answer.seconds for answer in answers))
                await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
            await editing
            await until(lambda: len(catcher.got) >= posted * len(RULES), 300)
            await asyncio.to_thread(service.stop)
            reloads = service.log.count("in force")
            with closing(Reader(service.database)) as record:
                faults, books = judged(record, catcher, editor.whole)
    print(
        f"seed {seed}; edits: {dict(editor.kinds)}; {reloads} reloads; {posted} events; slowest answer {slowest:.3f} s"
    )
    print(
        f"judged by {books} rulebooks; calls: {len(catcher.got)} of {posted * len(RULES)}; faults: {len(faults)}"
    )
    for fault in faults[:10]:
        print(f"  {fault}")
    return not faults and len(catcher.got) == posted * len(RULES)


async def edit_all(editor: Editor, edits: int, pause: float) -> None:
    """All edits, one after the other."""
    for _ in range(edits):
        await editor.edit(pause)


def judged(record: Reader, catcher: Catcher, whole: set[str]) -> tuple[list[str], int]:
    """Every event whose calls are not what its rulebook says, or whose rulebook holds what was never whole."""
    called: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for caught in catcher.got:
        called[caught.json["number"]][caught.path.rpartition("/")[2]] = caught.json["version"]
    books: dict[str, dict[str, str]] = {}
    faults = []
    for line in every(record.events):
        name = record.event(line.id).rulebook
        if name not in books:
            books[name] = dict(record.rulebook(name).texts)
            faults += [
                f"rulebook {name}: {file} was never whole"
                for file, text in books[name].items()
                if text not in whole
            ]
        said = {
            file.removesuffix(".yaml"): int(text.split("version: ")[1].split("}")[0])
            for file, text in books[name].items()
        }
        if called[line.subject.removeprefix("order:")] != said:
            faults.append(f"event {line.id}: {called[line.subject.removeprefix('order:')]} instead of {said}")
    return faults, len(books)


def main() -> None:
    """Read the arguments, run, and say by the exit code how it went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=100)
    given = parser.parse_args()
    sys.exit(0 if uvloop.run(run(given.edits, given.seconds, given.seed, given.rate)) else 1)


if __name__ == "__main__":
    main()
