"""Bodies in quarantine, read again: what this version can read becomes an event, as if it had come only now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from engine.runtime.receiver import BODY_LIMIT, arrival_of
from engine.sources.base import Reading, Source, Unreadable
from engine.sources.body import PACKINGS, TooLarge, unpack
from engine.store.store import Arrival, NotPossible, Quarantined, Store


async def reread(
    store: Store,
    id: str | int,
    sources: Mapping[str, Source],
    window: timedelta | None = None,
    limit: int = BODY_LIMIT,
) -> str:
    """Read a body again and take it out of quarantine; what became of it, in words that follow its number.

    A body that arrived in the meantime is told from others as ever, so it becomes no second event. Raises `NotFound`,
    and `NotPossible` with the reason for one that still cannot be read: that stays where it is.
    """
    kept = await store.quarantined_body(id)
    appended = await store.append(_arrival(kept, sources, window, limit), kept.received_at)
    await store.release(id)  # should the process end before this, the next time finds a repeat
    if appended.repeat:
        return f"is one more arrival of event {appended.id}"
    return f"is event {appended.id} now"


def _arrival(
    kept: Quarantined, sources: Mapping[str, Source], window: timedelta | None, limit: int
) -> Arrival:
    source = sources.get(kept.source)
    if source is None:
        raise NotPossible(f"cannot be read: this version knows no source {kept.source}")
    if not kept.body:
        raise NotPossible(f"cannot be read: nothing of it was kept. {kept.reason}")
    body, reading = _read(kept, source, limit)
    return arrival_of(kept.source, reading, body, kept.headers, window)


def _read(kept: Quarantined, source: Source, limit: int) -> tuple[bytes, Reading]:
    """The body as it is read: kept packed where it could not be unpacked, else unpacked already."""
    try:
        return kept.body, source.read(kept.body, kept.headers)
    except Unreadable as reason:
        body = _unpacked(kept, limit)
        if body is None:
            raise NotPossible(f"still cannot be read: {reason}") from None
    try:
        return body, source.read(body, kept.headers)
    except Unreadable as reason:
        raise NotPossible(f"still cannot be read: {reason}") from None


def _unpacked(kept: Quarantined, limit: int) -> bytes | None:
    encoding = kept.headers.get("content-encoding", "").lower()
    if encoding not in PACKINGS or encoding == "identity":
        return None
    try:
        return unpack(kept.body, encoding, limit)
    except (Unreadable, TooLarge):
        return None
