"""How a shop's mails look and how to get no more of them: a colour, and an address to unsubscribe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from engine.language.fields import FieldValue, Fixed, Word, address_fault
from engine.language.node import ScalarNode
from engine.language.problem import Problems
from engine.language.recipients import NotAnAddress, checked_address

_COLOR = re.compile(r"#?([0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})")
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Color(Word):
    """A colour in hexadecimal digits, filled in as `#rrggbb`."""

    kind: ClassVar[str] = "colour"

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Take `#1f6f54`, `1f6f54` or `#abc`."""
        match = _COLOR.fullmatch(text)
        if match is None:
            told = f"{self.name} takes a colour in hexadecimal digits, in quotes, not {self.quoted(node)}"
            self.fault(node, problems, told)
            return None
        digits = match[1].lower()
        return Fixed(node.mark, f"#{digits if len(digits) == 6 else ''.join(one * 2 for one in digits)}")


@dataclass(frozen=True, slots=True)
class WayOut(Word):
    """Where somebody asks for no more mails: `mailto:…` or `https://…`."""

    kind: ClassVar[str] = "address to unsubscribe"

    def word(self, node: ScalarNode, text: str, problems: Problems) -> FieldValue | None:
        """Take a mail address or the address of a page."""
        told = _fault(text)
        if told is None:
            return Fixed(node.mark, text)
        self.fault(node, problems, f"{self.name} {told}")
        return None


def _fault(text: str) -> str | None:
    if len(text) > _LONGEST or not text.isascii() or set("<>,\"' ") & set(text):
        return f"is one address of at most {_LONGEST} plain letters"
    if text.startswith("mailto:"):
        try:
            checked_address(text.removeprefix("mailto:").partition("?")[0])
        except NotAnAddress as error:
            return f"is no mail address: {error}"
        return None
    if not text.startswith("https://"):
        return "must begin with mailto: or https://"
    return address_fault(text)
