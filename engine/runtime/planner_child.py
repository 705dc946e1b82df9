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
from datetime import datetime
from typing import BinaryIO

from engine import actions, sources
from engine.model import Event, Memory
from engine.rulebook.book import Rulebook
from engine.rulebook.frames import (
    Job,
    Judged,
    Load,
    Loaded,
    Reply,
    Request,
    Verdict,
    decode_request,
    destinations_of,
    encode,
    verdict_of,
)
from engine.rulebook.loader import Loader
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
        book = self._book
        if book is None:
            raise RuntimeError("asked to judge before any rules were handed over")
        return Judged(book.hash, [judge_one(job, book, request.now) for job in request.jobs])

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


def event_of(job: Job) -> Event:
    """The event of a job, its body read exactly."""
    return Event(
        job.id, job.source, job.type, job.subject, parse(job.body), job.received_at, job.identity, job.late
    )


def memory_of(job: Job) -> Memory:
    """What a job says of the past."""
    return Memory(
        before=parse(job.before) if job.before is not None else None,
        order=parse(job.order) if job.order is not None else None,
        products=job.products,
    )


def judge_one(job: Job, book: Rulebook, now: datetime) -> Verdict:
    """The verdict on one event; whatever goes wrong with it is said in its place and hurts no other."""
    try:
        event = event_of(job)
        source = book.sources.get(job.source)
        teaches = source.teaches(job.type, event.payload) if source else {}
        return verdict_of(event, plan(event, book, memory_of(job), now), teaches)
    except MemoryError:
        return Verdict(job.id, error="judging it took more memory than planning may have")
    except Exception as error:  # one event's fault must not take the batch with it: it is set aside with this
        _tell(job, error)
        return Verdict(
            job.id, error="judging it failed, which is a fault of Shopbell's own; the log says where"
        )


def _tell(job: Job, error: Exception) -> None:
    """Say on standard error where a fault of ours is, without its text, which could hold what customers wrote."""
    places = [
        f"{frame.name} ({frame.filename}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    print(f"event {job.id}: {type(error).__name__} in {' > '.join(places[-4:])}", file=sys.stderr, flush=True)


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
