"""The address of a call: its host is written in the rule, and values fill only its path and query, encoded."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from engine.language.fields import FieldValue, Filled, ScalarField, address_fault
from engine.language.node import ScalarNode
from engine.language.plain import LINE_BREAKS
from engine.language.problem import Problems
from engine.language.scope import Scope
from engine.language.template import PLAIN, Target, Template, compile_template
from engine.model import Gap

_EMPTY = "\ufdd0"
"""Stands for a value that printed nothing: a code point that no text holds."""

_TAG = re.compile(r"\{[{%#]")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_ORIGIN = re.compile(r"(?P<origin>https?://[^/?#{]+)(?=[/?#]|$)", re.IGNORECASE)


def _encoded(value: str) -> str:
    return quote(value, safe="") if value.strip() else _EMPTY


ADDRESS_PART = Target("address", _encoded, lambda address, text: _encoded(address))
"""Values as parts of an address: everything but letters, digits and `-._~` is percent-encoded."""


@dataclass(frozen=True, slots=True)
class AddressValue(FieldValue):
    """An address to call: whole where `absolute`, else a path to join to a connection's base address."""

    template: Template
    absolute: bool

    def render(self, scope: Scope, target: Target = PLAIN) -> Filled:
        """The address; a value that is empty or would climb out of its place in the path is a gap."""
        text, gaps = self.template.render(scope, ADDRESS_PART)
        path, mark, query = text.strip().partition("?")
        told = _path_fault(path)
        if told and not gaps:
            gaps = (Gap(self.mark.line, self.template.source.strip(), told),)
        return path.replace(_EMPTY, "") + mark + query.replace(_EMPTY, ""), gaps

    def templates(self) -> tuple[Template, ...]:
        """The one template."""
        return (self.template,)


def _path_fault(path: str) -> str | None:
    if _EMPTY in path:
        return "a value in the path of the address is empty"
    if any(unquote(part) in (".", "..") for part in path.split("/")):
        return "a value would lead to another path of the address"
    return None


@dataclass(frozen=True, slots=True)
class Address(ScalarField):
    """An address to call: `/path` under a connection's base address, or `https://host/path` with a fixed host."""

    kind: ClassVar[str] = "address"

    def value(self, node: ScalarNode, problems: Problems) -> FieldValue | None:
        """Take an address whose host does not come from the event."""
        text = node.text.strip()
        told = _fault(text)
        if told:
            self.fault(node, problems, f"{self.name} {told}")
            return None
        template = compile_template(replace(node, text=text), problems)
        return AddressValue(node.mark, template, "://" in _literal(text)) if template else None

    def shape(self) -> dict[str, Any]:
        """A text."""
        return {"type": "string"}


def _literal(text: str) -> str:
    """What is written out before the first value."""
    tag = _TAG.search(text)
    return text[: tag.start()] if tag else text


def _fault(text: str) -> str | None:
    literal = _literal(text)
    if "\\" in literal or any(letter in text for letter in LINE_BREAKS):
        return "has a backslash or a line break in it"
    scheme = _SCHEME.match(literal)
    if scheme is None:
        return "must start with a single /" if literal.startswith("//") else None
    if scheme["scheme"].casefold() not in ("http", "https"):
        return "must start with https:// (or http://), or be a path such as /orders"
    origin = _ORIGIN.match(text)
    if origin is None:
        return "must have its host written out; values can fill only the path and the query behind it"
    return address_fault(origin["origin"])
