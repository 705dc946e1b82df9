"""What rules wait for: armed when the rules are taken in, and made into events when its time has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from engine.language.words import plural
from engine.rulebook.book import Rulebook
from engine.runtime.clock import Clock, Wait
from engine.runtime.persist import insist
from engine.store.store import Store, StoreUnavailable
from engine.timing.base import Timing

log = logging.getLogger("shopbell.scheduler")

EVERY_SECONDS = 1

TURNS = 15
"""How often a tick looks for more while there is a backlog: it ends before the next one."""

PAUSE = 0.05


class FallingDue:
    """Keeps what waits in step with the rules, and the record in step with the clock. `words` are the time words."""

    def __init__(
        self, store: Store, words: Mapping[str, type[Timing]], clock: Clock, wait: Wait = asyncio.sleep
    ) -> None:
        self._store = store
        self._words = words
        self._clock = clock
        self._wait = wait

    async def begin(self, book: Rulebook) -> None:
        """Take up work after a pause: what fell due meanwhile waits until the sender has said what it could not say."""
        grace = {word: kind.grace for word, kind in self._words.items() if kind.grace > timedelta(0)}
        await insist(lambda: self._store.times.give_grace(grace, self._clock()), self._wait)
        await self.taken(book)

    async def taken(self, book: Rulebook) -> None:
        """Have all armed that these rules need, and nothing for rules that are gone."""
        now = self._clock()
        rules = book.by_id.keys()
        await insist(lambda: self._store.keep_rulebook(book.hash, book.texts, now), self._wait)
        lost = await insist(
            lambda: self._store.times.stand(book.standing(now), rules, book.hash, now), self._wait
        )
        if lost:
            log.warning(
                "%s waited for rules that are there no more, and will not be sent; `shopbell pending list --ended` "
                "shows what",
                plural(lost, "message"),
            )

    async def tick(self) -> None:
        """Make events of what has fallen due; while there is a backlog, some at a time as they are judged."""
        try:
            for _ in range(TURNS):
                await self._store.times.fire(self._clock())
                due_at = await self._store.times.next_due()
                if due_at is None or due_at > self._clock():
                    return
                await self._wait(PAUSE)
        except StoreUnavailable as reason:
            log.error("what fell due could not be looked for, and is again in a second: %s", reason)
