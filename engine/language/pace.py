"""How fast something may go: `10 per second`, `60 per minute`, `no` for as fast as it can."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from engine.language.fields import FieldValue, Fixed, ScalarField
from engine.language.node import ScalarNode
from engine.language.problem import Problems
from engine.language.words import read_duration

_RATE = re.compile(r"(?P<count>[0-9]{1,7}) (?:per|an|a|each|every|/) (?P<per>.+)")
_LONGEST = timedelta(days=1)


def read_rate(text: str) -> tuple[int, timedelta] | None:
    """The number and the time of `10 per second` or `200 per 2 hours`; None for anything else."""
    match = _RATE.fullmatch(" ".join(text.replace("/", " / ").casefold().split()))
    if match is None or int(match["count"]) == 0:
        return None
    per = read_duration(match["per"]) or read_duration(f"1 {match['per']}")
    return (int(match["count"]), per) if per and timedelta() < per <= _LONGEST else None


@dataclass(frozen=True, slots=True)
class Rate(ScalarField):
    """So many in a time; filled in as `{"count": 10, "per": 1}`, with the time in seconds, and None for `no`."""

    kind: ClassVar[str] = "number in a time"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take `10 per second`, `600 per hour`, `no`."""
        if node.truth is False:
            return Fixed(node.mark, None)
        rate = read_rate(node.text)
        if rate is not None:
            return Fixed(node.mark, {"count": rate[0], "per": rate[1].total_seconds()})
        told = "a number and a time, such as `10 per second`, or `no`"
        self.fault(node, problems, f"{self.name} takes {told}, not {self.quoted(node)}")
        return None

    def shape(self) -> dict[str, Any]:
        """A text such as `10 per second`, or no."""
        return {"type": ["string", "boolean"]}
