"""The planner process gives true verdicts, can reach nothing, and costs its owner nothing when it hangs or dies."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine import actions, sources
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import Job, Judged, Kept, from_json, to_json
from engine.rulebook.loader import Loader
from engine.rulebook.vocabulary import Language
from engine.runtime.planner_process import BOOT, PlannerDied, PlannerProcess, PlannerUnready
from engine.sources.chord.catalogue import EVENT_TYPES

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
DEADLINE = 2.0
TROUBLED = str(Path(__file__).with_name("troubled_planner.py"))
RULE = """name: Every order
when: order_completed
then:
  - slack:
      channel: orders
      text: "{greeting} {{{{ order.number }}}}"
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def book(greeting: str = "new:", **more: str) -> Rulebook:
    texts = {"every-order.yaml": RULE.format(greeting=greeting), **more}
    return Loader(Language(sources.found(), actions.found())).load(texts)


def job(number: int, body: Mapping[str, Any] = EVENT_TYPES["order_completed"].sample) -> Job:
    return Job(
        Kept(str(number), "chord", "order_completed", "order:R1", NOW, "ab" * 32, False, to_json(body))
    )


def deed(number: int, what: str) -> Job:
    return job(number, {"do": what})


@pytest.fixture(scope="module")
async def process(anyio_backend: str) -> AsyncIterator[PlannerProcess]:
    """A planner in which events do what their body tells."""
    command = (sys.executable, "-I", "-B", TROUBLED, *map(os.path.abspath, sys.path))
    process = PlannerProcess(DEADLINE, command)
    yield process
    await process.stop()


def texts(judged: Judged) -> list[str]:
    return [from_json(due.request)["text"] for verdict in judged.verdicts for due in verdict.due]


def said(judged: Judged) -> dict[str, str]:
    return {verdict.id: verdict.error for verdict in judged.verdicts}


async def test_a_verdict_holds_the_outcome_and_the_message_as_the_same_rules_give_it_here(
    process: PlannerProcess,
) -> None:
    rules = book()
    judged = await process.judge(rules, [job(7)], NOW)
    (verdict,) = judged.verdicts
    assert judged.rulebook == rules.hash
    assert verdict.outcomes == {"every-order": "fires"}
    number = EVENT_TYPES["order_completed"].sample["order"]["number"]
    assert from_json(verdict.due[0].request)["text"] == f"new: {number}"


async def test_every_batch_is_judged_by_the_rules_it_came_with_and_says_by_which(
    process: PlannerProcess,
) -> None:
    first, second = book("one"), book("two")
    judged = await asyncio.gather(
        *(process.judge(rules, [job(1), job(2)], NOW) for rules in (first, second, first, second))
    )
    assert [one.rulebook for one in judged] == [first.hash, second.hash] * 2
    assert [{text.split()[0] for text in texts(one)} for one in judged] == [{"one"}, {"two"}] * 2


async def test_one_event_that_fails_hurts_no_other_and_its_content_is_not_logged(
    process: PlannerProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        judged = await process.judge(book(), [job(1), deed(2, "fail"), job(3)], NOW)
    assert [bool(verdict.due) for verdict in judged.verdicts] == [True, False, True]
    assert "a fault of Shopbell's own" in said(judged)["2"]
    assert "event 2: KeyError in judge_one" in caplog.text
    assert "ana@example.test" not in caplog.text + said(judged)["2"]


async def test_what_an_event_has_printed_does_not_get_between_the_answers(process: PlannerProcess) -> None:
    judged = await process.judge(book(), [deed(1, "speak"), job(2)], NOW)
    assert said(judged) == {"1": "spoke", "2": ""}


async def test_an_event_that_takes_all_memory_fails_alone_and_the_process_lives_on(
    process: PlannerProcess,
) -> None:
    jobs = [deed(1, "memory"), job(2), deed(3, "much at once"), job(4)]
    await process.warm(book())
    before = process.pid
    judged = await process.judge(book(), jobs, NOW)
    assert process.pid == before
    too_much = "judging it took more memory than planning may have"
    assert said(judged) == {"1": too_much, "2": "", "3": too_much, "4": ""}


async def test_a_process_that_hangs_is_ended_at_the_deadline_and_started_anew(
    process: PlannerProcess,
) -> None:
    await process.warm(book())
    hung, restarts = process.pid, process.restarts
    with pytest.raises(PlannerDied, match="took more than 2 seconds"):
        await process.judge(book(), [deed(1, "hang in c")], NOW)
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(hung or 0, 0)
    assert said(await process.judge(book(), [job(2)], NOW)) == {"2": ""}
    assert process.restarts == restarts + 1


async def test_a_process_that_is_stopped_by_a_signal_is_ended_at_the_deadline_and_started_anew(
    process: PlannerProcess,
) -> None:
    rules = book()
    await process.warm(rules)
    os.kill(process.pid or 0, signal.SIGSTOP)
    with pytest.raises(PlannerDied):
        await process.judge(rules, [job(1)], NOW)
    assert said(await process.judge(rules, [job(1)], NOW)) == {"1": ""}


async def test_a_process_that_ends_in_the_middle_is_told_apart_and_started_anew(
    process: PlannerProcess,
) -> None:
    with pytest.raises(PlannerDied, match="judging it ended the planner process"):
        await process.judge(book(), [job(1), deed(2, "end")], NOW)
    assert said(await process.judge(book(), [job(1)], NOW)) == {"1": ""}


async def test_a_process_that_was_killed_while_idle_is_started_anew_before_events_are_handed_over(
    process: PlannerProcess,
) -> None:
    rules = book()
    await process.warm(rules)
    restarts = process.restarts
    os.kill(process.pid or 0, signal.SIGKILL)
    while process.pid is not None:  # noqa: ASYNC110  # until the loop has heard of it
        await asyncio.sleep(0.01)
    assert said(await process.judge(rules, [job(1)], NOW)) == {"1": ""}
    assert process.restarts == restarts + 1


async def test_a_process_can_be_started_before_its_rules_are_there() -> None:
    process = PlannerProcess()
    await process.boot()
    started = process.pid
    await process.boot()
    assert said(await process.judge(book(), [job(1)], NOW)) == {"1": ""}
    assert process.pid == started
    await process.stop()
    with pytest.raises(PlannerUnready):
        await PlannerProcess(1.0, ("/there/is/no/such/program",)).boot()


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-c", "raise SystemExit(1)"),
        ("/there/is/no/such/program",),
        (sys.executable, "-c", "print('x' * 100)"),
    ],
)
async def test_a_process_that_cannot_be_made_ready_blames_no_event(command: tuple[str, ...]) -> None:
    with pytest.raises(PlannerUnready):
        await PlannerProcess(5.0, command).judge(book(), [job(1)], NOW)


async def test_rules_that_are_never_taken_in_blame_no_event() -> None:
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    with pytest.raises(PlannerUnready, match="the rules were not taken in"):
        await PlannerProcess(0.1, command).judge(book(), [job(1)], NOW)


async def test_rules_are_not_looked_through_for_garbage_while_events_wait(process: PlannerProcess) -> None:
    judged = await process.judge(book(), [deed(1, "what is looked through")], NOW)
    assert int(said(judged)["1"]) < 5_000


# what it can reach


async def test_no_secret_of_the_environment_gets_there(
    process: PlannerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-secret")
    await process.stop()
    judged = await process.judge(book(), [deed(1, "environment")], NOW)
    assert set(said(judged)["1"].split(",")) <= {"LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "SYSTEMROOT"}


REACHING = (
    "socket", "connect", "resolve", "program", "shell", "fork", "write", "append", "remove", "kill",
    "settings", "environment of the owner", "other files", "up and away", "machine code",
)  # fmt: skip


async def test_network_programs_processes_and_files_are_refused_in_words(process: PlannerProcess) -> None:
    jobs = [deed(number, what) for number, what in enumerate(REACHING)]
    judged = await process.judge(book(), jobs, NOW)
    answers = dict(zip(REACHING, (verdict.error for verdict in judged.verdicts), strict=True))
    assert [what for what, said in answers.items() if not said.startswith("refused: planning may not ")] == []
    assert not os.path.exists("/tmp/shopbell-was-here")  # noqa: ASYNC240


UNSEEN = (
    "kernel socket", "kernel fork", "kernel kill", "kernel write", "kernel remove", "kernel program", "fork unseen",
)  # fmt: skip


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the kernel is asked only on Linux",
)
async def test_what_asks_python_nothing_is_refused_by_the_kernel(process: PlannerProcess) -> None:
    jobs = [deed(number, what) for number, what in enumerate(UNSEEN)]
    judged = await process.judge(book(), jobs, NOW)
    assert {what: verdict.error[:7] for what, verdict in zip(UNSEEN, judged.verdicts, strict=True)} == (
        dict.fromkeys(UNSEEN, "refused")
    )


async def test_signals_to_the_whole_group_are_its_owners_business(process: PlannerProcess) -> None:
    rules = book()
    await process.warm(rules)
    before = process.pid
    os.kill(before or 0, signal.SIGTERM)
    os.kill(before or 0, signal.SIGINT)
    assert said(await process.judge(rules, [job(1)], NOW)) == {"1": ""}
    assert process.pid == before


async def test_every_example_rule_judges_every_sample_behind_the_walls(
    process: PlannerProcess, request: pytest.FixtureRequest
) -> None:
    folder = request.config.rootpath / "rules"
    texts = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    rules = Loader(Language(sources.found(), actions.found())).load(texts)
    jobs = [
        Job(Kept(str(number), "chord", one.name, f"{one.object}:1", NOW, "", False, to_json(one.sample)))
        for number, one in enumerate(EVENT_TYPES.values())
    ]
    judged = await process.judge(rules, jobs, NOW)
    assert [verdict.error for verdict in judged.verdicts] == [""] * len(jobs)
    assert sum(len(verdict.due) for verdict in judged.verdicts) >= len(jobs)


def test_the_process_as_the_service_starts_it_ends_when_its_owner_is_gone() -> None:
    command = [sys.executable, "-I", "-B", "-c", BOOT, *map(os.path.abspath, sys.path)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"")
