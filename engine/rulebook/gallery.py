"""Rules that shops want, shipped with the product: each with its tests, to start one's own from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from engine.language.document import read_document
from engine.language.node import ScalarNode
from engine.language.problem import Problems
from engine.language.words import normal_key, write_value

_SETTING: Final = re.compile(r"([A-Za-z][A-Za-z _-]*):(?=\s|$)")


@dataclass(frozen=True, slots=True)
class GalleryRule:
    """One rule of the gallery: its id is its file's name, `text` the whole file."""

    id: str
    name: str
    why: str
    when: str
    text: str


@cache
def gallery() -> Mapping[str, GalleryRule]:
    """All rules of the gallery by id, in the order of their ids."""
    files = (resources.files("engine") / "gallery").iterdir()
    texts = {
        file.name.removesuffix(".yaml"): file.read_text("utf-8")
        for file in files
        if file.name.endswith(".yaml")
    }
    return {id: _read(id, texts[id]) for id in sorted(texts)}


def _read(id: str, text: str) -> GalleryRule:
    document = read_document(text, Problems(f"{id}.yaml"))
    found = {
        normal_key(entry.key.text): entry.value.text
        for entry in document or ()
        if isinstance(entry.value, ScalarNode)
    }
    return GalleryRule(id, found["name"], found["why"], found["when"], text)


def new_rule(rule: GalleryRule, name: str = "") -> str:
    """The text of a new rule made from one of the gallery: under another name if one is given, and in mode test.

    Everything else stays as it is, comments included.
    """
    lines = [line for line in rule.text.splitlines() if _word(line) != "mode"]
    if name.strip():
        lines = [f"name: {write_value(name.strip())}" if _word(line) == "name" else line for line in lines]
    place = max(at for at, line in enumerate(lines) if _word(line) in ("name", "why")) + 1
    mode = "mode: test                           # judges and shows, sends nothing; write `on` to go live"
    return "\n".join([*lines[:place], mode, *lines[place:], ""])


def _word(line: str) -> str:
    """The setting of a rule that a line begins with."""
    found = _SETTING.match(line)
    return normal_key(found[1]) if found else ""
