"""Small texts that deliveries remember for one another, under names of which only the hash is kept."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import bindparam, delete, select

from engine.store.sql import Runner, Statement, Upsert
from engine.store.tables import note
from engine.store.text import clean


def noted(runner: Runner, name: str) -> str:
    """What is remembered under a name, empty where nothing is."""
    rows = runner.rows(_NOTED, name=_key(name))
    return str(rows[0][0]) if rows else ""


def keep_note(runner: Runner, name: str, text: str, now: int) -> None:
    """Remember a text under a name, in the place of what was remembered before."""
    runner.run(_KEEP, name=_key(name), text=clean(text), kept_at=now)


def forget_notes(runner: Runner, before: int) -> None:
    """Let go of what was last kept before a time."""
    runner.run(_FORGET, before=before)


def _key(name: str) -> bytes:
    """A name can hold what comes from an event, such as an address: of that nothing stays."""
    return sha256(clean(name).encode()).digest()


_NOTED = Statement(select(note.c.text).where(note.c.name == bindparam("name")))
_KEEP = Upsert(note)
_FORGET = Statement(delete(note).where(note.c.kept_at < bindparam("before")))
