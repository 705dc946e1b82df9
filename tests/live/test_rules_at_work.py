"""Rule files are edited while the service works: a broken one hurts only itself, and no event is judged by a mixture."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from loopback import every, post_all, until

from engine.store.store import Reader

if TYPE_CHECKING:
    from loopback import Catcher, Orders

pytestmark = pytest.mark.anyio

BROKEN = "shopbell_rule_files_broken"


def rule(name: str, version: int = 1) -> str:
    return (
        f"name: {name}\nwhen: order_completed\nthen:\n  - http:\n      post: /{name}\n      connection: erp\n"
        f'      json: {{number: "{{{{ order.number }}}}", version: {version}}}\n'
    )


async def test_of_ten_files_one_is_broken_and_nine_run_and_the_fault_is_told_everywhere(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    names = [f"r{number}" for number in range(10)]
    rules = {f"{name}.yaml": rule(name) for name in names}
    rules["r7.yaml"] = rule("r7").replace("when: order_completed", "when: order_complete")
    service = serve(rules)
    await service.start()
    await post_all(service.port, [orders.body("R1")])
    assert await until(lambda: len(catcher.got) == 9)
    assert {one.path for one in catcher.got} == {f"/erp/{name}" for name in names if name != "r7"}
    assert service.status("/readyz") == 200
    assert service.metrics()[BROKEN] == 1.0
    checked = service.command("check", "--json")
    (problem,) = json.loads(checked.stdout)["problems"]
    assert checked.returncode == 1
    assert (problem["file"], problem["line"]) == ("r7.yaml", 2)
    assert "order_completed" in problem["hint"]

    (service.rules / "r7.yaml").write_text(rule("r7"))
    assert await until(lambda: service.metrics()[BROKEN] == 0.0, 20)
    await post_all(service.port, [orders.body("R2")])
    assert await until(lambda: len(catcher.got) == 19)

    (service.rules / "r3.yaml").write_text(rule("r3", version=2).replace("then:", "thn:"))
    assert await until(lambda: service.metrics()[BROKEN] == 1.0, 20)
    await post_all(service.port, [orders.body("R3")])
    assert await until(lambda: len(catcher.got) == 29)
    assert [one.json["version"] for one in catcher.to("/erp/r3")] == [1, 1, 1]


async def test_while_rules_change_each_event_is_judged_wholly_by_one_version_and_its_record_says_which(
    serve: Any, catcher: Catcher, orders: Orders
) -> None:
    names = [f"r{number}" for number in range(5)]
    service = serve({f"{name}.yaml": rule(name) for name in names})
    await service.start()
    folder, events = service.rules, 0
    for version in range(2, 5):
        for name in names:
            new = rule(name, version)
            if name == "r1":  # in place, in two pieces
                (folder / f"{name}.yaml").write_text(new[: len(new) // 2])
            if name == "r2":  # by rename
                (folder / "new").write_text(new)
                os.rename(folder / "new", folder / f"{name}.yaml")
            else:
                (folder / f"{name}.yaml").write_text(new)
        seen = service.log.count("in force")
        while service.log.count("in force") == seen:
            await post_all(service.port, [orders.body(f"R{events + number}") for number in range(10)], 2)
            events += 10
    for _ in range(30):  # until the last version is at work
        await post_all(service.port, [orders.body(f"R{events + number}") for number in range(10)], 2)
        events += 10
        assert await until(lambda due=5 * events: len(catcher.got) >= due)
        if catcher.got[-1].json["version"] == 4:
            break

    versions = defaultdict(Counter)
    for one in catcher.got:
        versions[one.json["number"]][one.json["version"]] += 1
    assert set(map(len, versions.values())) == {1}
    with closing(Reader(service.database)) as record:
        for line in every(record.events):
            (version,) = versions[line.subject.removeprefix("order:")]
            texts = record.rulebook(record.event(line.id).rulebook).texts
            assert all(f"version: {version}" in text for text in texts.values())
    assert {version for found in versions.values() for version in found} >= {1, 4}
