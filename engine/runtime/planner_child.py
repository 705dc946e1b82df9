"""What runs in the planner process: rules and events come in on standard input, verdicts go out on standard output.

It is handed everything it may know and can reach nothing else, see `confinement`. The other end is in
`planner_process`.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from typing import Any, BinaryIO

from engine import actions, sources
from engine.model import Event, Memory
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import (
    Job,
    Judged,
    Kept,
    Known,
    Load,
    Loaded,
    Reply,
    Request,
    Verdict,
    decode_request,
    destinations_of,
    encode,
    from_json,
    verdict_of,
)
from engine.rulebook.loader import Loader
from engine.rulebook.meanwhile import Meanwhile
from engine.rulebook.planner import plan
from engine.rulebook.vocabulary import Language
from engine.runtime.confinement import confine
from engine.sources.body import parse

LENGTH = struct.Struct(">I")
"""What stands before each frame: its length."""

GIVE_UP = 900
"""Seconds after which a request ends the process by itself, should nobody be left to end it."""


class Planner:
    """A rulebook, and the answers to what is asked."""

    def __init__(self) -> None:
        self._loader: Loader | None = None
        self._book: Rulebook | None = None

    def answer(self, request: Request) -> Reply:
        """Take new rules, or judge events."""
        if isinstance(request, Load):
            return self._take(request)
        loader, book = self._loader, self._book
        if loader is None or book is None:
            raise RuntimeError("asked to judge before any rules were handed over")
        return Judged(book.hash, judge_all(request.jobs, loader, book, request.now))

    def _take(self, load: Load) -> Loaded:
        language = Language(sources.found(), actions.found(), load.shop.shop(), destinations_of(load))
        if self._loader is None or self._loader.language != language:
            self._loader = Loader(language)
        gc.unfreeze()
        self._book = self._loader.load(load.texts)
        _ = self._book.index  # made now, so that no event waits for it
        gc.collect()
        gc.freeze()  # ten thousand rules would be looked through again and again while events wait
        return Loaded(self._book.hash, len(self._book.rules))


def judge_all(jobs: Sequence[Job], loader: Loader, book: Rulebook, now: datetime) -> list[Verdict]:
    """The verdicts on events, in their order; each knows what those before it changed."""
    meanwhile = Meanwhile()
    return [judge_one(job, loader, book, now, meanwhile) for job in jobs]


def event_of(kept: Kept) -> Event:
    """An event, its body read exactly."""
    return Event(
        kept.id,
        kept.source,
        kept.type,
        kept.subject,
        parse(kept.body),
        kept.received_at,
        kept.identity,
        kept.late,
    )


def memory_of(job: Job, meanwhile: Meanwhile) -> Memory:
    """What a job says of the past, and what was changed meanwhile."""
    return Memory(
        before=parse(job.before) if job.before is not None else None,
        order=parse(job.order) if job.order is not None else None,
        products=job.products,
        origin=event_of(job.origin) if job.origin is not None else None,
        newest=parse(job.newest) if job.newest is not None else None,
        answers={known.ask: meanwhile.amended(known.ask, _answer(known)) for known in job.answers},
    )


def _answer(known: Known) -> Any:
    if known.events is None:
        return from_json(known.value)
    return tuple(event_of(kept) for kept in known.events)


def judge_one(
    job: Job, loader: Loader, book: Rulebook, now: datetime, meanwhile: Meanwhile | None = None
) -> Verdict:
    """The verdict on one event; whatever goes wrong with it is said in its place and hurts no other."""
    meanwhile = meanwhile or Meanwhile()
    try:
        event = event_of(job.event)
        source = book.sources.get(event.source)
        teaches = source.teaches(event.type, event.payload) if source else {}
        rules = loader.alone(job.older.file, job.older.text, book) if job.older else book
        memory = memory_of(job, meanwhile)
        verdict = verdict_of(event, plan(event, rules, memory, now), teaches)
        meanwhile.note(memory.origin or event, verdict.effects)
        return verdict
    except MemoryError:
        return Verdict(job.event.id, error="judging it took more memory than planning may have")
    except Exception as error:  # one event's fault must not take the batch with it: it is set aside with this
        _tell(job, error)
        return Verdict(
            job.event.id, error="judging it failed, which is a fault of Shopbell's own; the log says where"
        )


def _tell(job: Job, error: Exception) -> None:
    """Say on standard error where a fault of ours is, without its text, which could hold what customers wrote."""
    places = [
        f"{frame.name} ({frame.filename}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    print(
        f"event {job.event.id}: {type(error).__name__} in {' > '.join(places[-4:])}",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    """Answer requests on standard input until it closes."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; whoever started us ends us
        signal.signal(ending, signal.SIG_IGN)
    read, write = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what prints must not get between the frames
    planner = Planner()
    confine()
    while (request := _receive(read)) is not None:
        _set_alarm(GIVE_UP)
        frame = encode(planner.answer(request))
        _set_alarm(0)
        write.write(LENGTH.pack(len(frame)) + frame)
        write.flush()


def _receive(stream: BinaryIO) -> Request | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return decode_request(stream.read(LENGTH.unpack(head)[0]))


def _set_alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):  # not on Windows
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
